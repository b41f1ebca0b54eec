use super::*;

/// Memory that a table owns, and how often that changed, while entries of `len` bytes are inserted.
fn memory_of(len: usize, count: usize) -> (usize, usize) {
    let mut table = DynamicTable::new();
    let value = vec![b'v'; len];
    let mut memory = 0;
    let mut changes = 0;
    for _ in 0..count {
        table.insert(b"", &value);
        assert_eq!(table.entry(62), Some((&b""[..], &value[..])));
        changes += usize::from(table.memory_bytes() != memory);
        memory = table.memory_bytes();
    }
    (memory, changes)
}

#[test]
fn a_table_owns_what_its_entries_need_and_at_most_its_size() {
    assert_eq!(DynamicTable::new().memory_bytes(), 0);
    // The smallest buffer, and the first four places of the list.
    assert_eq!(memory_of(10, 1), (256 + 4 * 6, 1));
    // 97 of 42 bytes, of which 10 are in the buffer: 1,024, and a list of 128.
    assert_eq!(memory_of(10, 10_000).0, 1024 + 128 * 6);
    assert_eq!(memory_of(4064, 10).0, 4096 + 4 * 6);
    // 128 entries that are nothing.
    assert_eq!(memory_of(0, 10_000).0, 128 * 6);
}

#[test]
fn nothing_is_allocated_any_more_once_the_table_was_full() {
    for len in [1, 10, 100, 1000, 2000, 3000] {
        let (_, at_first) = memory_of(len, 200);
        assert_eq!(memory_of(len, 10_000).1, at_first, "{len} bytes");
    }
}

#[test]
fn the_static_table_has_61_entries_and_ends_there() {
    let table = DynamicTable::new();
    assert_eq!(table.entry(0), None);
    assert_eq!(table.entry(1), Some((&b":authority"[..], &b""[..])));
    assert_eq!(
        table.entry(16),
        Some((&b"accept-encoding"[..], &b"gzip, deflate"[..]))
    );
    assert_eq!(table.entry(61), Some((&b"www-authenticate"[..], &b""[..])));
    assert_eq!(table.entry(62), None);
    assert_eq!(table.entry(usize::MAX), None);
}
