//! Whatever comes, the table is what it should be.

use proptest::prelude::*;

use super::*;

/// The dynamic table as the RFC describes it.
#[derive(Default)]
struct NaiveTable {
    entries: Fields,
    max_size_bytes: usize,
}

impl NaiveTable {
    fn size_bytes(entries: &[(Vec<u8>, Vec<u8>)]) -> usize {
        entries
            .iter()
            .map(|(name, value)| name.len() + value.len() + 32)
            .sum()
    }

    fn insert(&mut self, name: Vec<u8>, value: Vec<u8>) {
        self.entries.insert(0, (name, value));
        self.evict();
    }

    fn evict(&mut self) {
        while Self::size_bytes(&self.entries) > self.max_size_bytes {
            self.entries.pop();
        }
    }
}

/// What a block may bring, as the table sees it.
#[derive(Clone, Debug)]
enum Step {
    Insert(Vec<u8>, Vec<u8>),
    /// With the name of the entry at that place, if there is one.
    InsertNamed(usize, Vec<u8>),
    Resize(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bytes = || {
        prop_oneof![
            4 => prop::collection::vec(any::<u8>(), 0..40),
            1 => prop::collection::vec(any::<u8>(), 0..2500),
        ]
    };
    let step = prop_oneof![
        4 => (bytes(), bytes()).prop_map(|(name, value)| Step::Insert(name, value)),
        4 => (0..100_usize, bytes()).prop_map(|(index, value)| Step::InsertNamed(index, value)),
        1 => (0..=4096_usize).prop_map(Step::Resize),
    ];
    prop::collection::vec(step, 0..80)
}

proptest! {
    #[test]
    fn the_table_is_that_of_a_naive_one(steps in steps()) {
        let mut decoder = Decoder::new();
        let mut naive = NaiveTable { max_size_bytes: 4096, ..NaiveTable::default() };
        for step in steps {
            let mut block = Vec::new();
            match step {
                Step::Insert(name, value) => {
                    block.push(0x40);
                    put_plain(&name, &mut block);
                    put_plain(&value, &mut block);
                    naive.insert(name, value);
                }
                Step::InsertNamed(index, value) => {
                    let Some((name, _)) = naive.entries.get(index).cloned() else {
                        continue;
                    };
                    put_integer(index + 62, 0x40, 0x3F, &mut block);
                    put_plain(&value, &mut block);
                    naive.insert(name, value);
                }
                Step::Resize(size_bytes) => {
                    put_integer(size_bytes, 0x20, 0x1F, &mut block);
                    naive.max_size_bytes = size_bytes;
                    naive.evict();
                }
            }
            decode(&mut decoder, &block).unwrap();
            prop_assert_eq!(&table(&decoder), &naive.entries);
            let size_bytes = NaiveTable::size_bytes(&naive.entries);
            prop_assert_eq!(decoder.table.size_bytes(), size_bytes);
            prop_assert!(decoder.table.memory_bytes() <= 4096 + 128 * 6);
        }
    }

    #[test]
    fn no_bytes_make_it_panic_or_decode_to_more_than_it_may(
        blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20),
    ) {
        let mut decoder = Decoder::new();
        for block in blocks {
            let result = decoder.decode(&block, |name, value| {
                // One of a table, or one of a block with Huffman.
                assert!(name.len() + value.len() <= 4096);
            });
            prop_assert!(decoder.table.size_bytes() <= 4096);
            if result.is_err() {
                break;
            }
        }
    }
}
