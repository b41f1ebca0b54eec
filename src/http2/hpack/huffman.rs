//! The Huffman code of strings (RFC 7541 section 5.2 and Appendix B).
//!
//! The code is canonical: codes are numbered from short to long and, among those of one length, in
//! the order of their symbols. So the lengths say all, and every table here is made of them by the
//! compiler.

use super::InvalidBlock;

/// How many bits the code of each byte has, and as the last that of EOS (Appendix B).
const LENGTHS: [u8; SYMBOL_COUNT] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, // 0x00
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, // 0x10
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, // 0x20, ' ' to '/'
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, // 0x30, '0' to '?'
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, // 0x40, '@' to 'O'
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, // 0x50, 'P' to '_'
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, // 0x60, '`' to 'o'
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, // 0x70, 'p' to DEL
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, // 0x80
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, // 0x90
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, // 0xA0
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, // 0xB0
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, // 0xC0
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, // 0xD0
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, // 0xE0
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, // 0xF0
    30, // EOS
];
const SYMBOL_COUNT: usize = 257;
const EOS: usize = 256;

const MIN_CODE_BITS: usize = 5;
const MAX_CODE_BITS: u32 = 30;
/// Codes up to here are found with one look at [`SHORT`].
const SHORT_BITS: u32 = 8;
/// How many lengths there are above [`SHORT_BITS`].
const LONG_COUNT: usize = 17;

/// The code of one symbol: the lowest `len` bits of `bits`.
#[derive(Clone, Copy)]
struct Code {
    bits: u32,
    len: u32,
}

/// The codes of all bytes and of EOS.
static CODES: [Code; SYMBOL_COUNT] = CANON.codes;
/// Bytes in the order of their codes. EOS would be the last.
static SYMBOLS: [u8; EOS] = CANON.symbols;
/// By the next eight bits: the byte whose code they begin with, and how long that is. 0 if it is
/// longer.
static SHORT: [(u8, u8); 1 << SHORT_BITS] = short_codes();
/// From short to long.
static LONG: [LongCodes; LONG_COUNT] = long_codes();

/// What the lengths come to.
struct Canon {
    codes: [Code; SYMBOL_COUNT],
    symbols: [u8; EOS],
}

const CANON: Canon = canon();

const fn canon() -> Canon {
    let mut codes = [Code { bits: 0, len: 0 }; SYMBOL_COUNT];
    let mut symbols = [0; EOS];
    let mut next = 0;
    let mut count = 0;
    let mut len = 1;
    while len <= MAX_CODE_BITS {
        next <<= 1;
        let mut symbol = 0;
        while symbol < SYMBOL_COUNT {
            if LENGTHS[symbol] as u32 == len {
                codes[symbol] = Code { bits: next, len };
                if symbol < EOS {
                    symbols[count] = symbol.to_le_bytes()[0];
                }
                next += 1;
                count += 1;
            }
            symbol += 1;
        }
        len += 1;
    }
    // Every sequence of bits is a code or the beginning of one.
    assert!(next == 1 << MAX_CODE_BITS && count == SYMBOL_COUNT);
    Canon { codes, symbols }
}

const fn short_codes() -> [(u8, u8); 1 << SHORT_BITS] {
    let mut short = [(0, 0); 1 << SHORT_BITS];
    let mut symbol = 0;
    while symbol < EOS {
        let code = CANON.codes[symbol];
        if code.len <= SHORT_BITS {
            let free_bits = SHORT_BITS - code.len;
            let mut place = 0;
            while place < 1 << free_bits {
                let index = (code.bits << free_bits) as usize + place;
                short[index] = (symbol.to_le_bytes()[0], LENGTHS[symbol]);
                place += 1;
            }
        }
        symbol += 1;
    }
    short
}

/// The codes of one length. Codes are compared as the highest bits of 32.
#[derive(Clone, Copy)]
struct LongCodes {
    len: u32,
    first: u32,
    last: u32,
    /// Where the symbol of the first lies in [`SYMBOLS`].
    index: usize,
}

const fn long_codes() -> [LongCodes; LONG_COUNT] {
    let none = LongCodes {
        len: 0,
        first: 0,
        last: 0,
        index: 0,
    };
    let mut long = [none; LONG_COUNT];
    let mut filled = 0;
    let mut index = 0;
    while index < EOS {
        let Code { bits, len } = CANON.codes[CANON.symbols[index] as usize];
        let aligned = bits << (32 - len);
        if len > SHORT_BITS {
            if filled == 0 || long[filled - 1].len != len {
                long[filled] = LongCodes {
                    len,
                    first: aligned,
                    last: aligned,
                    index,
                };
                filled += 1;
            }
            // What follows the code may be anything.
            long[filled - 1].last = aligned | (u32::MAX >> len);
        }
        index += 1;
    }
    assert!(filled == LONG_COUNT);
    long
}

/// How many bits `bytes` have when encoded.
#[inline]
pub(super) fn encoded_bits(bytes: impl Iterator<Item = u8>) -> usize {
    bytes
        .map(|byte| usize::from(LENGTHS[usize::from(byte)]))
        .sum()
}

/// Appends `bytes` to `out`, encoded, and padded with ones to a whole byte.
#[inline]
pub(super) fn encode(bytes: impl Iterator<Item = u8>, out: &mut Vec<u8>) {
    // The lowest `waiting` bits are still to be written: fewer than 32 before each byte.
    let mut window: u64 = 0;
    let mut waiting = 0;
    for byte in bytes {
        let Code { bits, len } = CODES[usize::from(byte)];
        window = (window << len) | u64::from(bits);
        waiting += len;
        if waiting >= 32 {
            waiting -= 32;
            out.extend_from_slice(&low_half(window >> waiting));
        }
    }
    let padded = (window << (32 - waiting)) | (u64::from(u32::MAX) >> waiting);
    // Four bytes and back: a copy whose length is not known would be a call.
    let len = out.len() + waiting.div_ceil(8) as usize;
    out.extend_from_slice(&low_half(padded));
    out.truncate(len);
}

#[inline]
const fn low_half(window: u64) -> [u8; 4] {
    let [_, _, _, _, low @ ..] = window.to_be_bytes();
    low
}

/// Appends what `input` is the code of to `out`: at most 8/5 of its length.
///
/// # Errors
///
/// EOS, and padding that is longer than 7 bits or not the beginning of EOS.
pub(super) fn decode(mut input: &[u8], out: &mut Vec<u8>) -> Result<(), InvalidBlock> {
    out.reserve(input.len() * 8 / MIN_CODE_BITS);
    // The highest `filled` bits are still to be decoded; those below are 0.
    let mut window: u64 = 0;
    let mut filled = 0;
    while let Some((&four, rest)) = input.split_first_chunk::<4>() {
        input = rest;
        // There were fewer than 30, see below.
        window |= u64::from(u32::from_be_bytes(four)) << (32 - filled);
        filled += 32;
        while filled >= MAX_CODE_BITS {
            let Some((byte, len)) = first_symbol(window) else {
                return Err(InvalidBlock("EOS in a string"));
            };
            out.push(byte);
            window <<= len;
            filled -= len;
        }
    }
    for &byte in input {
        window |= u64::from(byte) << (56 - filled);
        filled += 8;
    }
    while filled > 0 {
        // As if the padding went on: it is no whole code then, however many bits of it there are.
        let padded = window | (u64::MAX >> filled);
        match first_symbol(padded) {
            Some((byte, len)) if len <= filled => {
                out.push(byte);
                window <<= len;
                filled -= len;
            }
            _ if filled < 8 && padded == u64::MAX => break,
            _ => return Err(InvalidBlock("EOS or bad padding in a string")),
        }
    }
    Ok(())
}

/// The byte whose code the highest bits of `window` are, and how many. `None`: EOS.
#[inline]
fn first_symbol(window: u64) -> Option<(u8, u32)> {
    let [next, ..] = window.to_be_bytes();
    let (byte, len) = SHORT[usize::from(next)];
    if len == 0 {
        long_symbol((window >> 32) as u32)
    } else {
        Some((byte, u32::from(len)))
    }
}

/// The same for codes that are longer than [`SHORT_BITS`]: control characters, what is not ASCII,
/// and the rarest punctuation.
#[inline(never)]
fn long_symbol(window: u32) -> Option<(u8, u32)> {
    let codes = LONG.iter().find(|codes| window <= codes.last)?;
    let nth = (window - codes.first) >> (32 - codes.len);
    Some((SYMBOLS[codes.index + nth as usize], codes.len))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(input: &[u8]) -> Result<Vec<u8>, InvalidBlock> {
        let mut out = Vec::new();
        decode(input, &mut out).map(|()| out)
    }

    fn encoded(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(bytes.iter().copied(), &mut out);
        assert_eq!(
            out.len(),
            encoded_bits(bytes.iter().copied()).div_ceil(8),
            "{bytes:?}"
        );
        out
    }

    /// Rows of Appendix B: the first and the last of several lengths, and those around gaps.
    #[test]
    fn codes_are_those_of_appendix_b() {
        let rows = [
            (b'0', 0x0, 5),
            (b't', 0x9, 5),
            (b' ', 0x14, 6),
            (b'u', 0x2d, 6),
            (b':', 0x5c, 7),
            (b'z', 0x7b, 7),
            (b'&', 0xf8, 8),
            (b'Z', 0xfd, 8),
            (b'!', 0x3f8, 10),
            (b'|', 0x7fc, 11),
            (b'#', 0xffa, 12),
            (0, 0x1ff8, 13),
            (b'^', 0x3ffc, 14),
            (b'<', 0x7ffc, 15),
            (b'\\', 0x7fff0, 19),
            (0x80, 0xfffe6, 20),
            (0x99, 0x1f_ffdc, 21),
            (0x81, 0x3f_ffd2, 22),
            (1, 0x7f_ffd8, 23),
            (9, 0xff_ffea, 24),
            (0xC7, 0x1ff_ffec, 25),
            (0xFF, 0x3ff_ffee, 26),
            (0xFE, 0x7ff_fff0, 27),
            (0xF9, 0xfff_fffe, 28),
            (b'\n', 0x3fff_fffc, 30),
            (0x16, 0x3fff_fffe, 30),
        ];
        for (byte, bits, len) in rows {
            let code = CODES[usize::from(byte)];
            assert_eq!((code.bits, code.len), (bits, len), "{byte:#x}");
        }
        assert_eq!((CODES[EOS].bits, CODES[EOS].len), (0x3fff_ffff, 30));
    }

    #[test]
    fn every_pair_of_bytes_comes_back() {
        for pair in 0..=u16::MAX {
            // The third tells where the second ended.
            let [first, second] = pair.to_be_bytes();
            let bytes = [first, second, b'a'];
            assert_eq!(decoded(&encoded(&bytes)), Ok(bytes.to_vec()), "{bytes:?}");
        }
    }

    #[test]
    fn padding_is_up_to_seven_ones() {
        assert_eq!(decoded(&[]), Ok(vec![]));
        // '0' is 00000.
        assert_eq!(decoded(&[0b0000_0111]), Ok(b"0".to_vec()));
        for wrong in 0..7 {
            assert!(decoded(&[wrong]).is_err(), "padding {wrong:03b}");
        }
        // 'X' is 11111100: no padding at all.
        assert_eq!(decoded(&[0b1111_1100]), Ok(b"X".to_vec()));
        // Twice '0', and ':', which is 1011100: 17 bits, and so seven of padding.
        assert_eq!(
            decoded(&[0b0000_0000, 0b0010_1110, 0b0111_1111]),
            Ok(b"00:".to_vec())
        );
    }

    #[test]
    fn a_whole_byte_of_padding_and_eos_are_refused_wherever_they_are() {
        for len in 1..=9 {
            assert!(decoded(&vec![0xFF; len]).is_err(), "{len} bytes of ones");
        }
        for before in 0..12 {
            let mut block = encoded(&vec![b'X'; before]);
            block.push(0xFF);
            assert!(decoded(&block).is_err(), "{before} bytes, then ones");
            // EOS and then something.
            block.extend_from_slice(&[0xFF, 0xFF, 0xFC, 0xFC, 0xFC, 0xFC, 0xFC]);
            assert!(decoded(&block).is_err(), "{before} bytes, then EOS");
        }
    }

    #[test]
    fn a_code_that_is_cut_off_is_no_padding() {
        let whole = encoded(&[0xF9, 0xF9]);
        assert_eq!(whole.len(), 7);
        for len in 1..7 {
            // The first ends with the fourth bit of the fourth byte, and the second begins with
            // ones.
            assert_eq!(decoded(&whole[..len]).is_ok(), len == 4, "{len} bytes");
        }
    }
}
