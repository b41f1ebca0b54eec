//! A client's frames on the wire: masked (RFC 6455 sections 5.1, 5.3).

use aerys::internals::{Deflater, Opcode, encode_header, unmask};
use std::hash::{BuildHasher as _, RandomState};

/// The bit of the second byte that says that a masking key follows.
const MASK: u8 = 0x80;
/// The bit of the first byte that says that the message is compressed (RFC 7692 section 6).
const RSV1: u8 = 0x40;

/// How hard messages are compressed, as the server does by default.
const LEVEL: u8 = 1;

/// Masking keys that nobody can foretell (section 5.3): the standard library's keyed hash of a number.
#[derive(Debug, Default)]
pub(crate) struct Masks {
    key: RandomState,
    count: u64,
}

impl Masks {
    /// The next key.
    pub(crate) fn next(&mut self) -> [u8; 4] {
        self.count += 1;
        let [a, b, c, d, ..] = self.key.hash_one(self.count).to_ne_bytes();
        [a, b, c, d]
    }
}

/// Puts one frame behind `output`: all of a message, or a control frame of at most 125 bytes.
pub(crate) fn encode(opcode: Opcode, payload: &[u8], mask: [u8; 4], output: &mut Vec<u8>) {
    let begin = output.len();
    output.extend_from_slice(&encode_header(true, opcode, payload.len() as u64));
    output[begin + 1] |= MASK;
    output.extend_from_slice(&mask);
    let payload_begin = output.len();
    output.extend_from_slice(payload);
    unmask(&mut output[payload_begin..], mask, 0);
}

/// Compresses messages on their own: none refers to one before it. A client may always do so (RFC 7692
/// section 7.1.1.2), and what it comes to may be sent on every connection, again and again.
#[derive(Debug)]
pub(crate) struct Compressor {
    deflater: Deflater,
    window_bits: u8,
    output: Vec<u8>,
}

impl Compressor {
    /// For a window of `1 << window_bits` bytes.
    pub(crate) fn new(window_bits: u8) -> Self {
        Self {
            deflater: Deflater::new(window_bits, LEVEL),
            window_bits,
            output: Vec::new(),
        }
    }

    pub(crate) const fn window_bits(&self) -> u8 {
        self.window_bits
    }

    /// As [`encode`], compressed unless the message would be no shorter.
    pub(crate) fn encode(
        &mut self,
        opcode: Opcode,
        payload: &[u8],
        mask: [u8; 4],
        output: &mut Vec<u8>,
    ) {
        // Room for what ends a message and is not sent.
        self.output.resize(payload.len() + 4, 0);
        self.deflater.restart();
        let pieces = std::iter::once(payload);
        let compressed = self
            .deflater
            .compress(pieces, &mut self.output, payload.len());
        match compressed {
            Some(len) => {
                let begin = output.len();
                encode(opcode, &self.output[..len], mask, output);
                output[begin] |= RSV1;
            }
            None => encode(opcode, payload, mask, output),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

    #[test]
    fn the_masked_hello_of_section_5_7_is_encoded() {
        let mut output = b"before".to_vec();
        encode(Opcode::Text, b"Hello", KEY, &mut output);
        let hello = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
        assert_eq!(output, [b"before", &hello[..]].concat());
    }

    #[test]
    fn each_form_of_the_length_is_the_shortest_with_the_mask_bit() {
        for (len, begin) in [
            (0, &b"\x82\x80"[..]),
            (125, b"\x82\xFD"),
            (126, b"\x82\xFE\x00\x7E"),
            (65_535, b"\x82\xFE\xFF\xFF"),
            (65_536, b"\x82\xFF\x00\x00\x00\x00\x00\x01\x00\x00"),
        ] {
            let mut output = Vec::new();
            encode(Opcode::Binary, &vec![7; len], KEY, &mut output);
            assert_eq!(output[..begin.len()], *begin, "{len}");
            assert_eq!(output.len(), begin.len() + 4 + len);
        }
    }

    #[test]
    fn what_is_no_shorter_is_not_compressed_and_the_next_one_is_as_the_first() {
        let mut compressor = Compressor::new(15);
        let text = b"again and again and again and again and again";
        let mut encoded = |payload: &[u8]| {
            let mut output = Vec::new();
            compressor.encode(Opcode::Text, payload, KEY, &mut output);
            output
        };
        let first = encoded(text);
        assert_eq!(first[0], 0xC1);
        assert!(first.len() < text.len());
        assert_eq!(encoded(b"x")[0], 0x81);
        assert_eq!(encoded(text), first);
    }

    #[test]
    fn masks_differ() {
        let mut masks = Masks::default();
        let drawn: std::collections::HashSet<_> = (0..64).map(|_| masks.next()).collect();
        assert!(drawn.len() > 60, "{} of 64", drawn.len());
    }
}
