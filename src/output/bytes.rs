//! Bytes as they are given to be queued, and how they are cut to fit in segments.

use std::sync::Arc;

/// From this length on a frame encoded before is shared as it is. Below, a copy is cheaper
/// than a slice of its own for the kernel.
const SHARE_BYTES: usize = 4 * 1024;

/// Longest piece in one segment, so that offsets fit in 32 bits. Small in tests, so that they
/// come across it.
const MAX_PIECE_BYTES: usize = if cfg!(test) { 100_000 } else { 1 << 30 };

/// Bytes to be queued.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bytes<'a> {
    /// Copied, the second part behind the first: a frame header and its payload.
    Parts(&'a [u8], &'a [u8]),
    /// Encoded before and kept by the application: copied when small, else shared.
    Shared(&'a Arc<[u8]>),
}

impl<'a> Bytes<'a> {
    /// Whether `bytes` are better shared than copied.
    pub(crate) fn are_worth_sharing(bytes: &[u8]) -> bool {
        bytes.len() >= SHARE_BYTES
    }

    /// How many they are.
    pub(super) fn len(self) -> usize {
        match self {
            Self::Parts(head, body) => head.len() + body.len(),
            Self::Shared(bytes) => bytes.len(),
        }
    }

    /// The same bytes in pieces that each fit in a segment, none empty. What comes out as
    /// `Shared` is worth sharing.
    pub(super) fn pieces(self) -> impl Iterator<Item = Self> {
        let is_short = self.len() <= MAX_PIECE_BYTES;
        let (first, head, body): (_, &[u8], &[u8]) = match self {
            Self::Shared(bytes) if is_short && Self::are_worth_sharing(bytes) => (self, &[], &[]),
            Self::Shared(bytes) => (Self::Parts(&[], &[]), &[], bytes),
            Self::Parts(..) if is_short => (self, &[], &[]),
            Self::Parts(head, body) => (Self::Parts(&[], &[]), head, body),
        };
        let cut = |bytes: &'a [u8]| {
            bytes
                .chunks(MAX_PIECE_BYTES)
                .map(|chunk| Self::Parts(&[], chunk))
        };
        std::iter::once(first)
            .chain(cut(head))
            .chain(cut(body))
            .filter(|piece| piece.len() > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cut_only_what_is_too_long_and_lose_no_byte() {
        let body: Vec<u8> = (0..2 * MAX_PIECE_BYTES + 7)
            .map(|at| at.to_le_bytes()[0])
            .collect();
        let shared: Arc<[u8]> = Arc::from(&body[..]);
        for (bytes, whole) in [
            (Bytes::Parts(b"head", &body), [b"head", &body[..]].concat()),
            (Bytes::Shared(&shared), body.clone()),
        ] {
            let mut joined = Vec::new();
            for piece in bytes.pieces() {
                assert!(piece.len() <= MAX_PIECE_BYTES);
                let Bytes::Parts(head, body) = piece else {
                    panic!("too long to be shared")
                };
                joined.extend_from_slice(head);
                joined.extend_from_slice(body);
            }
            assert_eq!(joined, whole);
        }
        assert_eq!(Bytes::Parts(&[], &[]).pieces().count(), 0);
    }

    #[test]
    fn a_frame_encoded_before_is_shared_from_4_kib_on() {
        let is_shared = |len: usize| {
            let bytes: Arc<[u8]> = Arc::from(vec![0; len]);
            let mut pieces = Bytes::Shared(&bytes).pieces();
            matches!(pieces.next(), Some(Bytes::Shared(_)))
        };
        assert!(!is_shared(SHARE_BYTES - 1));
        assert!(is_shared(SHARE_BYTES));
        assert!(is_shared(MAX_PIECE_BYTES));
        assert!(!is_shared(MAX_PIECE_BYTES + 1));
    }
}
