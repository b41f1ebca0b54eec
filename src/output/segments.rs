//! The memory that waiting bytes lie in: segments, counted by what points at them.
//!
//! A segment is written from the front and never changed behind its end. Whoever points at it
//! (a range of a client's queue, a log, an [`Arena`] that still writes it) counts as one; when
//! nobody does, its memory is used again or given back. No segment knows what its bytes mean.

mod invariants;

use std::cmp::Ordering;
use std::sync::Arc;

use slab::Slab;

use super::bytes::Bytes;

/// Size of an ordinary segment. Large enough that its bookkeeping is lost in the bytes, small
/// enough that a slow client which holds the last byte of one does not hold much.
pub(super) const SEGMENT_BYTES: usize = 16 * 1024;

/// Ordinary segments kept for reuse (1 MiB of them). What a peak took beyond it is given back.
const SPARE_COUNT: usize = 64;

/// Bytes of larger buffers kept for reuse: an echo of 64 KiB messages, or a file that is read
/// in pieces of that size, allocates nothing.
const SPARE_LARGE_BYTES: usize = 1024 * 1024;

/// Which segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentId(pub(super) u32);

/// Some bytes of one segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) segment: SegmentId,
    pub(super) start: u32,
    pub(super) len: u32,
}

/// Who writes a segment, and so what a full socket does with what is left of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Messages to single clients, side by side. A client that blocks copies its own out, so
    /// that it does not hold those of all the others.
    Turn,
    /// The same bytes for several clients: the point is that all who wait hold one copy.
    Shared,
    /// Pointed at by exactly one range, whose client alone may append to it.
    Private,
}

#[derive(Debug)]
enum Storage {
    Own(Vec<u8>),
    Shared(Arc<[u8]>),
}

impl Storage {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }

    fn capacity(&self) -> usize {
        match self {
            Self::Own(bytes) => bytes.capacity(),
            Self::Shared(bytes) => bytes.len(),
        }
    }

    /// The buffer, to be written: only for ids that [`Segments::fits`] said yes to, or that
    /// were created to be written.
    fn buffer(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(_) => unreachable!("a shared frame never has room"),
        }
    }
}

#[derive(Debug)]
struct Segment {
    storage: Storage,
    pointers: u32,
    kind: Kind,
}

/// All segments of a server, and the buffers kept for the next ones.
#[derive(Debug, Default)]
pub(super) struct Segments {
    entries: Slab<Segment>,
    /// Empty buffers of `SEGMENT_BYTES`, at most `SPARE_COUNT`.
    spare: Vec<Vec<u8>>,
    /// Empty buffers that are larger, at most `SPARE_LARGE_BYTES` of them.
    spare_large: Vec<Vec<u8>>,
    spare_large_bytes: usize,
    /// Capacity of all segments and spares.
    memory_bytes: usize,
}

impl Segments {
    /// Capacity of all that is held, kept buffers included, in bytes.
    #[cfg(test)]
    pub(super) const fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// How many segments something points at.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.entries.len()
    }

    fn segment(&self, id: SegmentId) -> &Segment {
        &self.entries[id.0 as usize]
    }

    fn segment_mut(&mut self, id: SegmentId) -> &mut Segment {
        &mut self.entries[id.0 as usize]
    }

    /// The bytes of `piece`.
    pub(super) fn bytes(&self, piece: Piece) -> &[u8] {
        &self.segment(piece.segment).storage.bytes()[piece.start as usize..][..piece.len as usize]
    }

    /// Who writes the segment.
    pub(super) fn kind(&self, id: SegmentId) -> Kind {
        self.segment(id).kind
    }

    /// What the segment holds in memory.
    pub(super) fn capacity(&self, id: SegmentId) -> usize {
        self.segment(id).storage.capacity()
    }

    /// Whether `len` more bytes may be written behind the others.
    pub(super) fn fits(&self, id: SegmentId, len: usize) -> bool {
        match &self.segment(id).storage {
            Storage::Own(bytes) => bytes.len() + len <= SEGMENT_BYTES,
            Storage::Shared(_) => false,
        }
    }

    /// Whether nothing but the one who asks points at the segment.
    pub(super) fn is_sole(&self, id: SegmentId) -> bool {
        self.segment(id).pointers == 1
    }

    /// One more points at the segment.
    pub(super) fn retain(&mut self, id: SegmentId) {
        self.segment_mut(id).pointers += 1;
    }

    /// One less points at the segment; after the last, it is gone.
    pub(super) fn release(&mut self, id: SegmentId) {
        let segment = self.segment_mut(id);
        segment.pointers -= 1;
        if segment.pointers > 0 {
            return;
        }
        match self.entries.remove(id.0 as usize).storage {
            Storage::Own(buffer) => self.give_back(buffer),
            Storage::Shared(bytes) => self.memory_bytes -= bytes.len(),
        }
    }

    /// An empty buffer with room for `capacity` bytes, from the spares if one is like it.
    pub(super) fn take(&mut self, capacity: usize) -> Vec<u8> {
        let spare = match capacity.cmp(&SEGMENT_BYTES) {
            Ordering::Less => None,
            Ordering::Equal => self.spare.pop(),
            Ordering::Greater => {
                // Not one of more than twice the size: a slow client might hold it for long.
                let fitting =
                    |buffer: &Vec<u8>| (capacity..=capacity * 2).contains(&buffer.capacity());
                let found = self.spare_large.iter().position(fitting);
                found.map(|index| self.spare_large.swap_remove(index))
            }
        };
        if let Some(buffer) = spare {
            if buffer.capacity() > SEGMENT_BYTES {
                self.spare_large_bytes -= buffer.capacity();
            }
            return buffer;
        }
        let buffer = Vec::with_capacity(capacity);
        self.memory_bytes += buffer.capacity();
        buffer
    }

    /// Takes back what [`take`](Self::take) gave: kept if there is place among the spares.
    pub(super) fn give_back(&mut self, mut buffer: Vec<u8>) {
        let capacity = buffer.capacity();
        buffer.clear();
        if capacity == SEGMENT_BYTES && self.spare.len() < SPARE_COUNT {
            self.spare.push(buffer);
        } else if capacity > SEGMENT_BYTES && self.spare_large_bytes + capacity <= SPARE_LARGE_BYTES
        {
            self.spare_large_bytes += capacity;
            self.spare_large.push(buffer);
        } else {
            self.memory_bytes -= capacity;
        }
    }

    /// The holder of a buffer changed its capacity.
    pub(super) const fn resized(&mut self, before: usize, after: usize) {
        self.memory_bytes = self.memory_bytes + after - before;
    }

    /// Makes a segment of a buffer that [`take`](Self::take) gave. One points at it: the caller.
    pub(super) fn adopt(&mut self, kind: Kind, buffer: Vec<u8>) -> SegmentId {
        self.insert(kind, Storage::Own(buffer))
    }

    fn insert(&mut self, kind: Kind, storage: Storage) -> SegmentId {
        let id = self.entries.insert(Segment {
            storage,
            pointers: 1,
            kind,
        });
        SegmentId(narrow(id))
    }

    /// Stores one of [`Bytes::pieces`] behind those of `last` if they fit there, else in a
    /// new segment with room for at least `capacity` bytes. If it is new, one points at it:
    /// the caller.
    pub(super) fn append(
        &mut self,
        last: Option<SegmentId>,
        bytes: Bytes<'_>,
        kind: Kind,
        capacity: usize,
    ) -> Piece {
        let len = bytes.len();
        match bytes {
            Bytes::Parts(head, body) => {
                let id = last
                    .filter(|&last| self.fits(last, len))
                    .unwrap_or_else(|| {
                        let buffer = self.take(len.max(capacity));
                        self.adopt(kind, buffer)
                    });
                self.make_room(id, len);
                let buffer = self.segment_mut(id).storage.buffer();
                let start = buffer.len();
                buffer.extend_from_slice(head);
                buffer.extend_from_slice(body);
                Piece {
                    segment: id,
                    start: narrow(start),
                    len: narrow(len),
                }
            }
            Bytes::Shared(shared) => {
                self.memory_bytes += len;
                let id = self.insert(kind, Storage::Shared(Arc::clone(shared)));
                Piece {
                    segment: id,
                    start: 0,
                    len: narrow(len),
                }
            }
        }
    }

    /// Writes the bytes of a segment that was taken for them and is still empty.
    pub(super) fn fill(&mut self, id: SegmentId, head: &[u8], body: &[u8]) {
        let buffer = self.segment_mut(id).storage.buffer();
        debug_assert!(buffer.is_empty() && buffer.capacity() >= head.len() + body.len());
        buffer.extend_from_slice(head);
        buffer.extend_from_slice(body);
    }

    /// Drops what is written behind `piece`, at which all that points at the segment ends.
    pub(super) fn cut_behind(&mut self, piece: Piece) {
        if let Storage::Own(bytes) = &mut self.segment_mut(piece.segment).storage {
            bytes.truncate((piece.start + piece.len) as usize);
        }
    }

    /// Copies `piece` behind the bytes of `to`, another segment, in which it fits.
    pub(super) fn append_copy(&mut self, to: SegmentId, piece: Piece) {
        debug_assert!(self.fits(to, piece.len as usize), "asked before");
        self.make_room(to, piece.len as usize);
        let (from, to) = self
            .entries
            .get2_mut(piece.segment.0 as usize, to.0 as usize)
            .expect("both are pointed at");
        let bytes = &from.storage.bytes()[piece.start as usize..][..piece.len as usize];
        to.storage.buffer().extend_from_slice(bytes);
    }

    /// Grows a segment that started small by doubling, up to the ordinary size.
    fn make_room(&mut self, id: SegmentId, len: usize) {
        let buffer = self.segment_mut(id).storage.buffer();
        let (before, needed) = (buffer.capacity(), buffer.len() + len);
        if needed > before {
            let wanted = (before * 2).min(SEGMENT_BYTES).max(needed);
            buffer.reserve_exact(wanted - buffer.len());
            let after = buffer.capacity();
            self.resized(before, after);
        }
    }

    /// Gives back all of a private segment but `piece`, which then starts at 0.
    pub(super) fn shrink_to(&mut self, piece: Piece) {
        let buffer = self.segment_mut(piece.segment).storage.buffer();
        let before = buffer.capacity();
        let start = piece.start as usize;
        buffer.copy_within(start..start + piece.len as usize, 0);
        buffer.truncate(piece.len as usize);
        buffer.shrink_to_fit();
        let after = buffer.capacity();
        self.resized(before, after);
    }

    /// Begins anew at the front of an ordinary segment that nothing else points at; `false`
    /// if this is none.
    fn rewind(&mut self, id: SegmentId) -> bool {
        let segment = self.segment_mut(id);
        match &mut segment.storage {
            Storage::Own(buffer) if segment.pointers == 1 && buffer.capacity() == SEGMENT_BYTES => {
                buffer.clear();
                true
            }
            Storage::Own(_) | Storage::Shared(_) => false,
        }
    }
}

/// Where a series of messages is written, one behind the other.
#[derive(Debug)]
pub(super) struct Arena {
    kind: Kind,
    /// The segment being written; counted as one pointer.
    current: Option<SegmentId>,
}

impl Arena {
    /// Nothing written, nothing held.
    pub(super) const fn new(kind: Kind) -> Self {
        Self {
            kind,
            current: None,
        }
    }

    /// Stores one of [`Bytes::pieces`]. The arena points at it until the next call, so the
    /// caller must add pointers before.
    pub(super) fn append(&mut self, segments: &mut Segments, bytes: Bytes<'_>) -> Piece {
        // What was flushed at once is overwritten at once, while the cache still has it.
        if let Some(current) = self.current {
            segments.rewind(current);
        }
        let piece = segments.append(self.current, bytes, self.kind, SEGMENT_BYTES);
        if self.current != Some(piece.segment)
            && let Some(old) = self.current.replace(piece.segment)
        {
            segments.release(old);
        }
        piece
    }

    /// The same for what fits behind the others in the segment being written; `None`: nothing
    /// was stored.
    #[inline]
    pub(super) fn append_behind(
        &mut self,
        segments: &mut Segments,
        head: &[u8],
        body: &[u8],
    ) -> Option<Piece> {
        let id = self.current?;
        let segment = segments.segment_mut(id);
        let Storage::Own(buffer) = &mut segment.storage else {
            return None;
        };
        // What was flushed at once is overwritten at once, while the cache still has it.
        if segment.pointers == 1 {
            buffer.clear();
        }
        let (start, len) = (buffer.len(), head.len() + body.len());
        if len == 0 || start + len > SEGMENT_BYTES || buffer.capacity() < SEGMENT_BYTES {
            return None;
        }
        buffer.extend_from_slice(head);
        buffer.extend_from_slice(body);
        Some(Piece {
            segment: id,
            start: narrow(start),
            len: narrow(len),
        })
    }

    /// Lets go of a segment that nothing else points at.
    pub(super) fn tidy(&mut self, segments: &mut Segments) {
        if let Some(current) = self.current.take_if(|current| segments.is_sole(*current)) {
            segments.release(current);
        }
    }
}

/// Lengths and ids are below 2^32 by construction: a piece has its limit, and no memory holds
/// so many segments.
pub(super) fn narrow(value: usize) -> u32 {
    u32::try_from(value).expect("bounded by MAX_PIECE_BYTES")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(segments: &Segments, piece: Piece) -> String {
        String::from_utf8_lossy(segments.bytes(piece)).into_owned()
    }

    #[test]
    fn an_arena_fills_a_segment_to_its_last_byte_and_then_takes_a_new_one() {
        let mut segments = Segments::default();
        let mut arena = Arena::new(Kind::Turn);
        let first = arena.append(&mut segments, Bytes::Parts(b"ab", b"cd"));
        segments.retain(first.segment);
        let rest = arena.append(&mut segments, Bytes::Parts(&[0; SEGMENT_BYTES - 5], b"!"));
        assert_eq!((rest.segment, rest.start), (first.segment, 4));
        let next = arena.append(&mut segments, Bytes::Parts(b"x", b""));
        assert_ne!(next.segment, first.segment);
        assert_eq!(text(&segments, first), "abcd");
        segments.release(first.segment);
        arena.tidy(&mut segments);
        assert_eq!(segments.count(), 0);
    }

    #[test]
    fn an_arena_that_nothing_points_into_is_written_from_the_front() {
        let mut segments = Segments::default();
        let mut arena = Arena::new(Kind::Turn);
        for _ in 0..10_000 {
            assert_eq!(
                arena
                    .append(&mut segments, Bytes::Parts(b"head", b"payload"))
                    .start,
                0
            );
        }
        assert_eq!(segments.memory_bytes(), SEGMENT_BYTES);
    }

    #[test]
    fn buffers_are_used_again_and_a_bounded_number_is_kept() {
        let mut segments = Segments::default();
        let many: Vec<_> = (0..2 * SPARE_COUNT)
            .map(|_| segments.take(SEGMENT_BYTES))
            .collect();
        let large: Vec<_> = (0..32).map(|_| segments.take(65_536)).collect();
        for buffer in many.into_iter().chain(large) {
            segments.give_back(buffer);
        }
        let kept = SPARE_COUNT * SEGMENT_BYTES + SPARE_LARGE_BYTES;
        assert_eq!(segments.memory_bytes(), kept);
        let (small, large) = (segments.take(SEGMENT_BYTES), segments.take(65_536));
        assert_eq!(segments.memory_bytes(), kept, "no new memory");
        let huge = segments.take(200_000);
        assert!(
            segments.memory_bytes() > kept,
            "none of the kept is that large"
        );
        for buffer in [small, large, huge] {
            segments.give_back(buffer);
        }
        assert_eq!(segments.memory_bytes(), kept, "the huge one was given back");
    }

    #[test]
    fn a_small_request_does_not_take_a_much_larger_buffer() {
        let mut segments = Segments::default();
        let large = segments.take(90_000);
        segments.give_back(large);
        assert_eq!(segments.take(44_000).capacity(), 44_000);
        assert_eq!(segments.take(45_000).capacity(), 90_000);
    }

    #[test]
    fn an_arena_goes_on_in_ordinary_segments_behind_a_large_message() {
        let mut segments = Segments::default();
        let mut arena = Arena::new(Kind::Shared);
        let frame: Arc<[u8]> = Arc::from(vec![0; 50_000]);
        arena.append(&mut segments, Bytes::Shared(&frame));
        arena.append(&mut segments, Bytes::Parts(&frame, b""));
        let small = arena.append(&mut segments, Bytes::Parts(b"small", b""));
        assert_eq!(segments.capacity(small.segment), SEGMENT_BYTES);
        let kept = 50_000 + SEGMENT_BYTES;
        assert_eq!(segments.memory_bytes(), kept, "the frame is no more ours");
    }

    #[test]
    fn a_segment_that_starts_small_grows_to_an_ordinary_one_and_not_beyond() {
        let mut segments = Segments::default();
        let mut last = None;
        for _ in 0..SEGMENT_BYTES / 1000 {
            let bytes = Bytes::Parts(&[0; 1000], b"");
            last = Some(segments.append(last, bytes, Kind::Private, 0).segment);
        }
        assert_eq!((segments.count(), segments.memory_bytes()), (1, 16_000));
        segments.append(last, Bytes::Parts(&[0; 300], b""), Kind::Private, 0);
        assert_eq!(
            (segments.count(), segments.memory_bytes()),
            (1, SEGMENT_BYTES)
        );
    }

    #[test]
    fn shrinking_keeps_the_bytes_and_gives_back_the_rest() {
        let mut segments = Segments::default();
        let whole = segments.append(None, Bytes::Parts(&[b'.'; 9000], b"end"), Kind::Private, 0);
        let end = Piece {
            start: 9000,
            len: 3,
            ..whole
        };
        segments.shrink_to(end);
        assert_eq!(text(&segments, Piece { start: 0, ..end }), "end");
        assert!(segments.memory_bytes() < 16);
    }
}
