//! The unread rest of what one read from a socket brought.
//!
//! The bytes belong to the event loop's one read buffer. Connections take from the front
//! and may change what they take (unmasking is done in place); what they leave is offered
//! again, or held by the loop while the client's reads are paused.

/// A cursor over the loop's read buffer that hands out disjoint mutable pieces.
#[derive(Debug)]
pub(crate) struct Input<'b> {
    rest: &'b mut [u8],
}

impl<'b> Input<'b> {
    /// All of `bytes` is still to be read.
    pub(crate) const fn new(bytes: &'b mut [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been taken yet.
    pub(crate) const fn rest(&self) -> &[u8] {
        self.rest
    }

    /// How many bytes have not been taken yet.
    pub(crate) const fn len(&self) -> usize {
        self.rest.len()
    }

    /// Whether everything was taken.
    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// All that has not been taken.
    pub(crate) const fn into_rest(self) -> &'b mut [u8] {
        self.rest
    }

    /// Takes up to `len` bytes off the front; they outlive the cursor.
    pub(crate) fn take(&mut self, len: usize) -> &'b mut [u8] {
        let rest = std::mem::take(&mut self.rest);
        let (taken, rest) = rest.split_at_mut(len.min(rest.len()));
        self.rest = rest;
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_taken_are_disjoint_and_in_order() {
        let mut bytes = *b"abcdef";
        let mut input = Input::new(&mut bytes);
        let first = input.take(2);
        let second = input.take(9);
        first[0] = b'A';
        assert_eq!((&*first, &*second), (&b"Ab"[..], &b"cdef"[..]));
        assert!(input.is_empty());
        assert_eq!(input.len(), 0);
    }
}
