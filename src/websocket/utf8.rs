//! UTF-8 of text messages: whole, or piece by piece (RFC 6455 section 8.1, RFC 3629 section 4).
//!
//! The piecewise decoder refuses at the first byte that no continuation could make good, inside
//! a character too, so that a peer cannot have us wait for the rest of what is lost already.

/// The bytes are not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InvalidUtf8;

/// A whole text in one pass; `None` if it is not UTF-8, a cut character at its end included.
#[inline]
pub(crate) fn from_utf8(bytes: &[u8]) -> Option<&str> {
    simdutf8::basic::from_utf8(bytes).ok()
}

/// Decodes a text that arrives in pieces, cut anywhere, in one pass over all of them.
///
/// It keeps the bytes of a cut character, and what the next of them may be: the second byte's
/// range depends on the first, and that is where overlong forms, surrogates and code points above
/// U+10FFFF are told.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Utf8Decoder {
    /// The cut character: `len` bytes of it.
    cut: [u8; 4],
    len: u8,
    /// Bytes that it still lacks, 0 to 3. With 0 nothing is cut.
    missing: u8,
    /// Least and greatest value of the next of them.
    low: u8,
    high: u8,
}

impl Utf8Decoder {
    /// Appends the next piece to `text`, without a character that is cut at its end.
    ///
    /// # Errors
    ///
    /// [`InvalidUtf8`] if the pieces so far are not the beginning of any UTF-8 text. The text is
    /// lost then: what more is decoded has no meaning.
    pub(crate) fn decode(
        &mut self,
        mut piece: &[u8],
        text: &mut String,
    ) -> Result<(), InvalidUtf8> {
        while self.missing > 0 {
            let Some((&byte, rest)) = piece.split_first() else {
                return Ok(());
            };
            self.continue_character(byte)?;
            if self.missing == 0 {
                let character = &self.cut[..usize::from(self.len)];
                text.push_str(from_utf8(character).ok_or(InvalidUtf8)?);
            }
            piece = rest;
        }
        let (whole, cut) = piece.split_at(piece.len() - cut_len(piece));
        text.push_str(from_utf8(whole).ok_or(InvalidUtf8)?);
        if let Some((&lead, rest)) = cut.split_first() {
            self.begin_character(lead);
            for &byte in rest {
                self.continue_character(byte)?;
            }
        }
        Ok(())
    }

    /// What came of the character that is cut.
    pub(crate) fn cut_character(&self) -> &[u8] {
        if self.missing == 0 {
            return &[];
        }
        &self.cut[..usize::from(self.len)]
    }

    /// Ends the text.
    ///
    /// # Errors
    ///
    /// [`InvalidUtf8`] if the last character is cut.
    pub(crate) const fn finish(self) -> Result<(), InvalidUtf8> {
        if self.missing == 0 {
            Ok(())
        } else {
            Err(InvalidUtf8)
        }
    }

    /// Takes the first byte of a character that is longer than one byte.
    const fn begin_character(&mut self, lead: u8) {
        // The table "Syntax of UTF-8 Byte Sequences" in RFC 3629 section 4.
        (self.low, self.high) = match lead {
            0xE0 => (0xA0, 0xBF), // below: overlong
            0xED => (0x80, 0x9F), // above: surrogates
            0xF0 => (0x90, 0xBF), // below: overlong
            0xF4 => (0x80, 0x8F), // above: beyond U+10FFFF
            _ => (0x80, 0xBF),
        };
        self.missing = character_len(lead) - 1;
        self.cut[0] = lead;
        self.len = 1;
    }

    const fn continue_character(&mut self, byte: u8) -> Result<(), InvalidUtf8> {
        if byte < self.low || byte > self.high {
            return Err(InvalidUtf8);
        }
        // `len` and `missing` are at most 4 together.
        self.cut[self.len as usize] = byte;
        self.len += 1;
        self.missing -= 1;
        (self.low, self.high) = (0x80, 0xBF);
        Ok(())
    }
}

/// How many bytes at the end of `piece` look like a cut character: they begin with a lead byte
/// that announces more than is there. Whether they are any good is not judged.
fn cut_len(piece: &[u8]) -> usize {
    for (len, &byte) in (1..=3).zip(piece.iter().rev()) {
        match byte {
            0x80..=0xBF => {}
            _ if usize::from(character_len(byte)) > len => return len,
            _ => return 0,
        }
    }
    0
}

/// How long a character is by its first byte; 1 for bytes that begin none, which need no more
/// bytes to be refused.
const fn character_len(lead: u8) -> u8 {
    match lead {
        0xC2..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF4 => 4,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the standard library says of the beginning of a text: the text may still become good.
    fn may_become_good(bytes: &[u8]) -> bool {
        std::str::from_utf8(bytes).map_or_else(|error| error.error_len().is_none(), |_| true)
    }

    fn decode_all(pieces: &[&[u8]]) -> Result<String, InvalidUtf8> {
        let (mut decoder, mut text) = (Utf8Decoder::default(), String::new());
        for piece in pieces {
            decoder.decode(piece, &mut text)?;
        }
        decoder.finish().map(|()| text)
    }

    /// Decodes `bytes` in one piece and byte by byte; both must agree with `std`.
    fn check_beginning(bytes: &[u8]) {
        let expected = may_become_good(bytes);
        let (mut whole, mut text) = (Utf8Decoder::default(), String::new());
        assert_eq!(
            whole.decode(bytes, &mut text).is_ok(),
            expected,
            "{bytes:02x?} at once"
        );
        let (mut single, mut single_text) = (Utf8Decoder::default(), String::new());
        let decoded = bytes
            .iter()
            .try_for_each(|byte| single.decode(&[*byte], &mut single_text));
        assert_eq!(decoded.is_ok(), expected, "{bytes:02x?} byte by byte");
        if expected {
            assert_eq!(whole.missing, single.missing, "{bytes:02x?}");
            assert_eq!(text, single_text, "{bytes:02x?}");
            assert!(bytes.starts_with(text.as_bytes()));
            assert_eq!(
                whole.finish().is_ok(),
                text.len() == bytes.len(),
                "{bytes:02x?}"
            );
        }
    }

    #[test]
    fn every_beginning_of_up_to_three_bytes_is_judged_as_the_standard_library_does() {
        check_beginning(&[]);
        for first in 0..=255 {
            check_beginning(&[first]);
            for second in 0..=255 {
                check_beginning(&[first, second]);
                // ASCII letters are all alike, and DEL stands for them.
                for third in (0x7F..=0xFF).filter(|_| first >= 0x7F && second >= 0x7F) {
                    check_beginning(&[first, second, third]);
                }
            }
        }
    }

    #[test]
    fn every_beginning_of_four_bytes_is_judged_as_the_standard_library_does() {
        // Third and fourth bytes: each border of the ranges, and its neighbours.
        let borders = [
            0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC2, 0xED, 0xF5, 0xFF,
        ];
        for first in 0..=255 {
            for second in 0..=255 {
                for third in borders {
                    for fourth in borders {
                        check_beginning(&[first, second, third, fourth]);
                    }
                }
            }
        }
    }

    #[test]
    fn fails_at_the_very_byte_that_is_wrong() {
        let cases: [(&[u8], u8); 9] = [
            (b"", 0x80),             // a continuation of nothing
            (b"", 0xC0),             // overlong
            (b"", 0xF5),             // beyond U+10FFFF whatever follows
            (b"\xE0", 0x80),         // overlong
            (b"\xF0", 0x8F),         // overlong
            (b"\xED", 0xA0),         // a surrogate
            (b"\xF4", 0x90),         // beyond U+10FFFF
            (b"\xF0\x9F\x98", b'a'), // cut by a letter
            (b"\xCE\xBA\xE1", 0xE1), // cut by another character
        ];
        for (good, bad) in cases {
            let (mut decoder, mut text) = (Utf8Decoder::default(), String::new());
            assert_eq!(decoder.decode(good, &mut text), Ok(()), "{good:02x?}");
            let refused = decoder.decode(&[bad], &mut text);
            assert_eq!(refused, Err(InvalidUtf8), "{good:02x?}, {bad:02x}");
        }
    }

    const CORPUS: &str = "plain \u{7F}\u{80}\u{7FF}\u{800}\u{D7FF}\u{E000}\u{FFFF}\u{10000}\u{10FFFF} \
        κόσμε, ἀέρας, 风, वायु, 🌬️ and once more in plain letters, longer than a vector is wide: \
        κόσμε κόσμε κόσμε 🌬️🌬️🌬️🌬️";

    #[test]
    fn a_good_text_is_good_however_it_is_cut_in_three() {
        let bytes = CORPUS.as_bytes();
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                let decoded = decode_all(&pieces);
                assert_eq!(
                    decoded.as_deref(),
                    Ok(CORPUS),
                    "cut at {first} and {second}"
                );
            }
        }
    }

    #[test]
    fn a_cut_text_is_refused_at_its_end_only() {
        for end in 0..CORPUS.len() {
            let expected = CORPUS.is_char_boundary(end);
            let bytes = &CORPUS.as_bytes()[..end];
            assert_eq!(decode_all(&[bytes]).is_ok(), expected, "cut at {end}");
            assert_eq!(from_utf8(bytes).is_some(), expected, "cut at {end}");
        }
    }

    #[test]
    fn one_bad_byte_anywhere_is_found_however_the_text_is_cut() {
        for position in 0..CORPUS.len() {
            let mut bytes = CORPUS.as_bytes().to_vec();
            bytes[position] = 0xFF;
            assert_eq!(from_utf8(&bytes), None);
            for cut in 0..=bytes.len() {
                let (mut decoder, mut text) = (Utf8Decoder::default(), String::new());
                let first = decoder.decode(&bytes[..cut], &mut text);
                assert_eq!(
                    first.is_err(),
                    cut > position,
                    "0xFF at {position}, cut at {cut}"
                );
                if first.is_ok() {
                    assert_eq!(decoder.decode(&bytes[cut..], &mut text), Err(InvalidUtf8));
                }
            }
        }
    }

    #[test]
    fn a_whole_text_comes_back_as_it_is() {
        assert_eq!(from_utf8(CORPUS.as_bytes()), Some(CORPUS));
        assert_eq!(from_utf8(b"\xED\xA0\x80"), None);
    }
}
