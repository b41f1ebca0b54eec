//! A decoder of raw deflate as RFC 1951 describes it, slow and plain, for messages that lack the
//! four bytes of a sync flush.

/// Bits of a message, least significant first, with what was left away behind them.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: u32) -> u32 {
        (0..count).fold(0, |value, bit| {
            let byte = match self.at / 8 {
                index if index < self.bytes.len() => self.bytes[index],
                index => [0, 0, 0xFF, 0xFF][index - self.bytes.len()],
            };
            let set = u32::from(byte) >> (self.at % 8) & 1;
            self.at += 1;
            value | set << bit
        })
    }

    fn is_at_end(&self) -> bool {
        self.at == 8 * (self.bytes.len() + 4)
    }
}

/// A canonical Huffman code (section 3.2.2): how many codes there are of each length, and their
/// symbols in order.
struct Code {
    counts: [u32; 16],
    symbols: Vec<u16>,
}

impl Code {
    fn new(lengths: &[u8]) -> Self {
        let mut counts = [0; 16];
        let mut symbols = Vec::new();
        for length in 1..16 {
            for (symbol, _) in (0..).zip(lengths).filter(|(_, l)| **l == length) {
                counts[usize::from(length)] += 1;
                symbols.push(symbol);
            }
        }
        Self { counts, symbols }
    }

    fn decode(&self, bits: &mut Bits<'_>) -> u16 {
        let (mut code, mut first, mut index) = (0, 0, 0);
        for length in 1..16 {
            code |= bits.take(1);
            let count = self.counts[length];
            if code < first + count {
                return self.symbols[(index + code - first) as usize];
            }
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        panic!("no code of the alphabet");
    }
}

pub(super) struct Inflated {
    pub(super) bytes: Vec<u8>,
    pub(super) greatest_distance: usize,
}

/// Inflates one message, behind `window`.
pub(super) fn inflate(message: &[u8], window: &[u8]) -> Inflated {
    const LENGTHS: [u32; 29] = [
        3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115,
        131, 163, 195, 227, 258,
    ];
    const DISTANCES: [usize; 30] = [
        1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537,
        2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577,
    ];
    let mut bits = Bits {
        bytes: message,
        at: 0,
    };
    let mut all = window.to_vec();
    let mut greatest_distance = 0;
    while !bits.is_at_end() {
        assert_eq!(bits.take(1), 0, "no block says that it is the last");
        let (literals, distances) = match bits.take(2) {
            0 => {
                bits.at = bits.at.next_multiple_of(8);
                let len = bits.take(16);
                assert_eq!(len ^ 0xFFFF, bits.take(16));
                (0..len).for_each(|_| all.push(bits.take(8).to_le_bytes()[0]));
                continue;
            }
            1 => {
                let mut lengths = [8; 288];
                lengths[144..256].fill(9);
                lengths[256..280].fill(7);
                (Code::new(&lengths), Code::new(&[5; 30]))
            }
            2 => dynamic_codes(&mut bits),
            _ => panic!("reserved block type"),
        };
        loop {
            match literals.decode(&mut bits) {
                256 => break,
                literal @ ..=255 => all.push(literal.to_le_bytes()[0]),
                symbol => {
                    let symbol = symbol - 257;
                    let extra = match symbol {
                        ..8 | 28 => 0,
                        symbol => symbol / 4 - 1,
                    };
                    let length = LENGTHS[usize::from(symbol)] + bits.take(extra.into());
                    let symbol = distances.decode(&mut bits);
                    let extra = (symbol / 2).saturating_sub(1);
                    let distance =
                        DISTANCES[usize::from(symbol)] + bits.take(extra.into()) as usize;
                    greatest_distance = greatest_distance.max(distance);
                    for _ in 0..length {
                        all.push(all[all.len() - distance]);
                    }
                }
            }
        }
    }
    all.drain(..window.len());
    Inflated {
        bytes: all,
        greatest_distance,
    }
}

/// Section 3.2.7.
fn dynamic_codes(bits: &mut Bits<'_>) -> (Code, Code) {
    const ORDER: [usize; 19] = [
        16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15,
    ];
    let literal_count = bits.take(5) as usize + 257;
    let distance_count = bits.take(5) as usize + 1;
    let mut code_lengths = [0; 19];
    for place in &ORDER[..bits.take(4) as usize + 4] {
        code_lengths[*place] = bits.take(3).to_le_bytes()[0];
    }
    let code = Code::new(&code_lengths);
    let mut lengths = Vec::new();
    while lengths.len() < literal_count + distance_count {
        let (length, times) = match code.decode(bits) {
            16 => (*lengths.last().expect("not the first"), 3 + bits.take(2)),
            17 => (0, 3 + bits.take(3)),
            18 => (0, 11 + bits.take(7)),
            length => (length.to_le_bytes()[0], 1),
        };
        lengths.extend(std::iter::repeat_n(length, times as usize));
    }
    let (literals, distances) = lengths.split_at(literal_count);
    (Code::new(literals), Code::new(distances))
}
