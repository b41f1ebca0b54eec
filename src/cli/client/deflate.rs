//! Compressed messages of servers, inflated (RFC 7692 section 6.2).
//!
//! One inflater does for all connections: what a message may refer to is handed to it with the message.

use aerys::internals::{BrokenDeflate, Inflater};

/// Greatest window that a message refers to.
const MAX_WINDOW_BYTES: usize = 1 << 15;
/// What is inflated at a time.
const STEP_BYTES: usize = 16 * 1024;

/// Why a message is not inflated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InflateError {
    Broken,
    /// It is longer than is taken.
    TooBig,
}

impl From<BrokenDeflate> for InflateError {
    fn from(_: BrokenDeflate) -> Self {
        Self::Broken
    }
}

/// Inflates messages of any connection.
#[derive(Debug, Default)]
pub(crate) struct Inflating {
    inflater: Inflater,
    output: Vec<u8>,
}

impl Inflating {
    /// Inflates a message that may refer to `window`, to at most `max_bytes`.
    ///
    /// # Errors
    ///
    /// It is not deflate, or too long.
    pub(crate) fn inflate(
        &mut self,
        mut input: &[u8],
        window: &[u8],
        max_bytes: usize,
    ) -> Result<&[u8], InflateError> {
        self.inflater.restart(window);
        let mut len = 0;
        loop {
            self.output.resize(len + STEP_BYTES, 0);
            let step = self.inflater.inflate(input, &mut self.output[len..])?;
            input = &input[step.consumed..];
            len += step.produced;
            if len > max_bytes {
                return Err(InflateError::TooBig);
            }
            let is_full = step.produced == STEP_BYTES;
            match (step.ended, input.is_empty()) {
                // A block that says that it is the last may be (section 7.2.3.4), and need not.
                (true, true) => break,
                (true, false) => {
                    let before = last(&[window, &self.output[..len]].concat()).to_vec();
                    self.inflater.restart(&before);
                }
                (false, true) if !is_full => {
                    self.inflater.finish()?;
                    break;
                }
                // Neither read nor written: it would be so for ever.
                (false, false) if step.consumed == 0 && step.produced == 0 => {
                    return Err(InflateError::Broken);
                }
                (false, _) => {}
            }
        }
        Ok(&self.output[..len])
    }
}

/// Puts `message` behind `window`, of which what is too old goes.
pub(crate) fn remember(window: &mut Vec<u8>, message: &[u8]) {
    let message = last(message);
    let over = (window.len() + message.len()).saturating_sub(MAX_WINDOW_BYTES);
    window.drain(..over);
    window.extend_from_slice(message);
}

/// The end of `bytes` that a window has room for.
fn last(bytes: &[u8]) -> &[u8] {
    &bytes[bytes.len().saturating_sub(MAX_WINDOW_BYTES)..]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7692 section 7.2.3.1.
    const HELLO: &[u8] = b"\xf2\x48\xcd\xc9\xc9\x07\x00";

    fn inflated(input: &[u8], window: &[u8], max_bytes: usize) -> Result<Vec<u8>, InflateError> {
        let mut inflating = Inflating::default();
        inflating
            .inflate(input, window, max_bytes)
            .map(<[u8]>::to_vec)
    }

    #[test]
    fn the_examples_of_the_rfc_are_inflated() {
        let hello = || Ok(b"Hello".to_vec());
        assert_eq!(inflated(HELLO, b"", 5), hello());
        // 7.2.3.2: it refers to the message before it.
        assert_eq!(inflated(b"\xf2\x00\x11\x00\x00", b"Hello", 5), hello());
        // 7.2.3.3: without compression; 7.2.3.4: a block that says it is the last; 7.2.3.5: two blocks.
        assert_eq!(inflated(b"\x00\x05\x00\xfa\xffHello\x00", b"", 5), hello());
        assert_eq!(
            inflated(b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", b"", 5),
            hello()
        );
        let two = b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00";
        assert_eq!(inflated(two, b"", 5), hello());
        assert_eq!(inflated(b"\x00", b"", 5), Ok(Vec::new()));
    }

    #[test]
    fn what_is_broken_cut_or_too_long_is_refused() {
        assert_eq!(inflated(HELLO, b"", 4), Err(InflateError::TooBig));
        assert_eq!(inflated(b"\xff\xff", b"", 5), Err(InflateError::Broken));
        assert_eq!(inflated(&HELLO[..3], b"", 5), Err(InflateError::Broken));
        // It refers to what was never sent.
        let without = inflated(b"\xf2\x00\x11\x00\x00", b"", 5);
        assert_eq!(without, Err(InflateError::Broken));
    }

    #[test]
    fn a_message_longer_than_a_step_comes_out_whole() {
        let text: Vec<u8> = (0..100_000_u32)
            .flat_map(|n| (n / 9).to_le_bytes())
            .collect();
        for len in [STEP_BYTES - 1, STEP_BYTES, STEP_BYTES + 1, text.len()] {
            let mut output = vec![0; len + 4];
            let mut deflater = aerys::internals::Deflater::new(15, 1);
            let pieces = std::iter::once(&text[..len]);
            let compressed = deflater
                .compress(pieces, &mut output, len)
                .expect("shorter");
            let whole = inflated(&output[..compressed], b"", len);
            assert!(whole.is_ok_and(|whole| whole == text[..len]), "{len}");
        }
    }

    #[test]
    fn a_window_keeps_what_came_last() {
        let mut window = Vec::new();
        remember(&mut window, &vec![1; 40_000]);
        remember(&mut window, &[2; 10]);
        assert_eq!(window.len(), MAX_WINDOW_BYTES);
        assert_eq!(
            window[MAX_WINDOW_BYTES - 11..],
            [1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2]
        );
    }
}
