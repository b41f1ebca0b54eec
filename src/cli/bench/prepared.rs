//! Messages encoded once and sent again and again.
//!
//! Each frame has a masking key, and these share one: section 5.3 of RFC 6455 wants keys that an attacker
//! who chooses a payload cannot foretell, and here nobody else chooses it. Nothing is left to do
//! for a message but to write it.

use super::run::Payload;
use crate::cli::client::frames::{Compressor, Masks, encode};
use aerys::internals::{Agreement, Opcode};
use std::io;

use crate::cli::client::transport::Transport;

/// Copies are kept until they are this long together, for what goes out with one call.
const COPIES_BYTES: usize = 64 * 1024;

/// Text of `len` bytes, in which a compressor finds as much as in text of some kind.
pub(super) fn content(len: usize) -> Vec<u8> {
    let words = b"the quick brown fox jumps over the lazy dog 0123456789 ";
    words.iter().copied().cycle().take(len).collect()
}

/// What the opcode of a payload is.
pub(super) const fn opcode(payload: Payload) -> Opcode {
    match payload {
        Payload::Text => Opcode::Text,
        Payload::Binary => Opcode::Binary,
    }
}

/// Bytes that are sent over and over.
#[derive(Debug)]
pub(super) struct Prepared {
    copies: Vec<u8>,
    len: usize,
}

/// What a connection has yet to write.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Unsent {
    pub(super) count: u32,
    /// Bytes of the first of them that are written.
    offset: usize,
}

impl Unsent {
    /// So many, from their first byte on.
    pub(super) const fn all(count: u32) -> Self {
        Self { count, offset: 0 }
    }
}

impl Prepared {
    /// `unit`, in copies.
    pub(super) fn new(unit: &[u8]) -> Self {
        let count = (COPIES_BYTES / unit.len().max(1)).max(1);
        Self {
            copies: unit.repeat(count),
            len: unit.len(),
        }
    }

    /// A message to a server with which this was agreed on.
    pub(super) fn message(
        payload: Payload,
        content: &[u8],
        agreed: Option<Agreement>,
        masks: &mut Masks,
    ) -> Self {
        let mut unit = Vec::new();
        let (opcode, mask) = (opcode(payload), masks.next());
        match agreed {
            Some(agreed) => {
                let mut compressor = Compressor::new(agreed.client_window_bits);
                compressor.encode(opcode, content, mask, &mut unit);
            }
            None => encode(opcode, content, mask, &mut unit),
        }
        Self::new(&unit)
    }

    /// Writes at most `most` of what is unsent. How many bytes went, and how many messages are out
    /// with them.
    ///
    /// # Errors
    ///
    /// The connection is lost.
    #[inline]
    pub(super) fn write(
        &self,
        unsent: &mut Unsent,
        most: u32,
        mut write: impl FnMut(&[u8]) -> io::Result<usize>,
    ) -> io::Result<(usize, u32)> {
        let (mut bytes, mut messages) = (0, 0);
        loop {
            let left = unsent.count.min(most - messages) as usize;
            let end = left.saturating_mul(self.len).min(self.copies.len());
            if left == 0 {
                return Ok((bytes, messages));
            }
            let written = write(&self.copies[unsent.offset..end])?;
            bytes += written;
            let all = unsent.offset + written;
            let whole = u32::try_from(all / self.len).unwrap_or(u32::MAX);
            unsent.offset = all % self.len;
            unsent.count -= whole;
            messages += whole;
            if all < end {
                // The socket is full, and tells when it is not.
                return Ok((bytes, messages));
            }
        }
    }
}

/// Writes to `transport`.
pub(super) fn to(transport: &mut Transport) -> impl FnMut(&[u8]) -> io::Result<usize> {
    |bytes| transport.write(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_taken_at_a_time_all_of_it_goes_out_in_order() {
        let unit = content(100);
        let prepared = Prepared::new(&unit);
        for step in [1, 7, 99, 100, 101, 350, usize::MAX] {
            let mut unsent = Unsent::all(2000);
            let (mut taken, mut messages) = (Vec::new(), 0);
            while unsent.count > 0 {
                let mut is_full = false;
                let written = prepared.write(&mut unsent, 3, |bytes| {
                    let len = if is_full { 0 } else { bytes.len().min(step) };
                    is_full = len < bytes.len();
                    taken.extend_from_slice(&bytes[..len]);
                    Ok(len)
                });
                let (_, whole) = written.expect("no socket");
                assert!(whole <= 3, "{whole} at a step of {step}");
                messages += whole;
            }
            assert_eq!(messages, 2000);
            assert!(taken == unit.repeat(2000), "step {step}");
        }
    }

    #[test]
    fn content_has_its_length_and_is_text() {
        for len in [0, 1, 55, 56, 1000] {
            assert_eq!(content(len).len(), len);
        }
        assert!(String::from_utf8(content(1000)).is_ok());
    }
}
