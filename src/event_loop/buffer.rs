//! The one buffer that every read goes into.
//!
//! Where a large message lies in it is seen in the time: what unmasks it, and the kernel when it
//! takes it back, step over borders of the cache's lines else (some 5 % of a 16 KiB echo).

use std::ops::{Deref, DerefMut};

/// Bytes in a line of the cache.
const LINE: usize = 64;

/// A buffer that is in line with the cache from its byte `LEAD` on.
#[derive(Debug, Default)]
pub(crate) struct ReadBuffer {
    bytes: Box<[u8]>,
    front: usize,
}

impl ReadBuffer {
    /// Header of a client's frame whose payload is so long that its place matters.
    const LEAD: usize = 8;

    pub(crate) fn new(len: usize) -> Self {
        let bytes: Box<[u8]> = vec![0; len + LINE].into();
        let lead = bytes.as_ptr().addr() + Self::LEAD;
        let front = lead.next_multiple_of(LINE) - lead;
        Self { bytes, front }
    }
}

impl Deref for ReadBuffer {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.bytes[self.front..]
    }
}

impl DerefMut for ReadBuffer {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.front..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_of_a_large_frame_begins_with_a_line_of_the_cache() {
        for len in [1, 100, 256 * 1024] {
            let mut buffer = ReadBuffer::new(len);
            assert!(buffer.len() >= len);
            assert!((buffer.as_ptr().addr() + ReadBuffer::LEAD).is_multiple_of(LINE));
            buffer[len - 1] = 7;
        }
        assert!(ReadBuffer::default().is_empty());
    }
}
