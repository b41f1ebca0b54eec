//! Numbers that look like chance, the same in each run of a seed.

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }

    /// A number below `most`, or 0.
    pub(crate) fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.next()).expect("64 bits") % most.max(1)
    }

    pub(crate) fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    /// Often little, seldom much.
    pub(crate) fn len(&mut self, most: usize) -> usize {
        let most = match self.below(8) {
            0..=2 => 20.min(most),
            3..=5 => 1000.min(most),
            6 => 20_000.min(most),
            _ => most,
        };
        self.below(most + 1)
    }

    pub(crate) fn pick<T: Copy>(&mut self, things: &[T]) -> T {
        things[self.below(things.len())]
    }
}

/// The bytes of a body, by its key.
pub(crate) fn pattern(key: u32, len: usize) -> Vec<u8> {
    let mut chance = Chance::new(key.into());
    (0..len).map(|_| chance.next().to_be_bytes()[4]).collect()
}

/// A text of about that length, by its key: words that repeat, some beyond ASCII.
pub(crate) fn text(key: u32, len: usize) -> String {
    let mut chance = Chance::new(key.into());
    let mut text = String::with_capacity(len);
    while text.len() + 4 <= len {
        text.push_str(chance.pick(&["a", "bc", "def ", "é", "世", "🜚", "lorem ipsum "]));
    }
    text
}
