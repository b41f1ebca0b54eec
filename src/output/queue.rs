//! One client's queue: a list of ranges, each a part of a segment, or a body yet to be pulled.
//!
//! All lists lie in one slab, 16 bytes a range, so a queue owns no memory and an empty one
//! costs nothing. Ranges that are neighbours in their segment are merged: what a slow client
//! lacks of a thousand broadcasts in a row is one range.

mod invariants;

pub(super) use invariants::Found;

use std::fmt;
use std::io::{self, IoSlice};

use slab::Slab;

use super::bytes::Bytes;
use super::segments::{Kind, Piece, SegmentId, Segments, narrow};
use super::{FilePart, Gathered, Source};

/// Ends a list; stands for no range.
const NIL: u32 = u32::MAX;

/// Most bytes pulled from a source at once: what a socket's buffer usually takes.
const PULL_BYTES: usize = 64 * 1024;

/// A part of a shared segment no longer than this is copied if there is room behind the last
/// range. A client to which single messages and broadcasts go in turns would else pay a
/// range and a segment for each few bytes, beyond every limit that counts payload.
const COPY_BYTES: u32 = 64;

/// Private memory below this is not worth shrinking.
const SHRINK_BYTES: usize = 512;

/// A part of one segment. With length 0 it is a source instead (then `segment` is its key in
/// `Store::sources`): no other range is ever empty.
#[derive(Clone, Copy, Debug)]
struct Range {
    segment: SegmentId,
    start: u32,
    len: u32,
    next: u32,
}

impl Range {
    const fn is_source(&self) -> bool {
        self.len == 0
    }

    const fn end(&self) -> u32 {
        self.start + self.len
    }

    const fn piece(&self) -> Piece {
        Piece {
            segment: self.segment,
            start: self.start,
            len: self.len,
        }
    }
}

/// The ranges of all queues; free ones are chained by `next`.
#[derive(Debug)]
struct Ranges {
    entries: Vec<Range>,
    free: u32,
    count: usize,
}

impl Ranges {
    fn insert(&mut self, piece: Piece) -> u32 {
        let range = Range {
            segment: piece.segment,
            start: piece.start,
            len: piece.len,
            next: NIL,
        };
        self.count += 1;
        if self.free == NIL {
            self.entries.push(range);
            return narrow(self.entries.len() - 1);
        }
        let index = self.free;
        self.free = self[index].next;
        self[index] = range;
        index
    }

    fn remove(&mut self, index: u32) -> Range {
        let range = self[index];
        self[index].next = self.free;
        self.free = index;
        self.count -= 1;
        range
    }
}

impl std::ops::Index<u32> for Ranges {
    type Output = Range;

    fn index(&self, index: u32) -> &Range {
        &self.entries[index as usize]
    }
}

impl std::ops::IndexMut<u32> for Ranges {
    fn index_mut(&mut self, index: u32) -> &mut Range {
        &mut self.entries[index as usize]
    }
}

/// A body of which `left` bytes have not been pulled yet.
struct Pulled {
    source: Box<dyn Source>,
    left: u64,
}

impl fmt::Debug for Pulled {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Pulled")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

/// What waits for one client and is its own. Only [`Store`] can read it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queue {
    head: u32,
    tail: u32,
    /// Bytes of all ranges; what sources still have is not among them.
    bytes: u64,
}

impl Queue {
    /// Nothing waits.
    pub(super) const EMPTY: Self = Self {
        head: NIL,
        tail: NIL,
        bytes: 0,
    };

    /// Whether neither bytes nor a source wait.
    pub(super) const fn is_empty(&self) -> bool {
        self.head == NIL
    }

    /// How many bytes wait, those that sources still have excluded.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// What all queues share: segments, ranges and sources.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) segments: Segments,
    ranges: Ranges,
    sources: Slab<Pulled>,
    /// Bytes of all queues.
    queued_bytes: u64,
}

impl Store {
    /// Holds nothing.
    pub(super) fn new() -> Self {
        Self {
            segments: Segments::default(),
            ranges: Ranges {
                entries: Vec::new(),
                free: NIL,
                count: 0,
            },
            sources: Slab::new(),
            queued_bytes: 0,
        }
    }

    /// Bytes of all queues together.
    pub(super) const fn queued_bytes(&self) -> u64 {
        self.queued_bytes
    }

    /// Ranges in use, and sources among them.
    #[cfg(test)]
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.ranges.count, self.sources.len())
    }

    /// Ranges that there is memory for.
    #[cfg(test)]
    pub(super) fn range_capacity(&self) -> usize {
        self.ranges.entries.len()
    }

    /// Appends `piece`; the queue adds a pointer of its own to the segment if it needs one.
    #[inline]
    pub(super) fn push(&mut self, queue: &mut Queue, piece: Piece) {
        queue.bytes += u64::from(piece.len);
        self.queued_bytes += u64::from(piece.len);
        if queue.tail != NIL {
            let tail = &mut self.ranges[queue.tail];
            if !tail.is_source() && tail.segment == piece.segment && tail.end() == piece.start {
                tail.len += piece.len;
                return;
            }
        }
        self.segments.retain(piece.segment);
        let index = self.ranges.insert(piece);
        self.link(queue, index);
    }

    fn link(&mut self, queue: &mut Queue, index: u32) {
        if queue.tail == NIL {
            queue.head = index;
        } else {
            self.ranges[queue.tail].next = index;
        }
        queue.tail = index;
    }

    /// Appends a piece of a log: as a range, or by copy where that is cheaper.
    pub(super) fn push_shared(&mut self, queue: &mut Queue, piece: Piece) {
        if piece.len <= COPY_BYTES && self.is_open(queue.tail, piece.len as usize) {
            let tail = &mut self.ranges[queue.tail];
            self.segments.append_copy(tail.segment, piece);
            tail.len += piece.len;
            queue.bytes += u64::from(piece.len);
            self.queued_bytes += u64::from(piece.len);
        } else {
            self.push(queue, piece);
        }
    }

    /// Appends one of [`Bytes::pieces`] in memory that this client alone holds, as little of
    /// it as will do.
    pub(super) fn push_private(&mut self, queue: &mut Queue, bytes: Bytes<'_>) {
        let last = self
            .is_open(queue.tail, bytes.len())
            .then(|| self.ranges[queue.tail].segment);
        let piece = self.segments.append(last, bytes, Kind::Private, 0);
        self.push(queue, piece);
        if last != Some(piece.segment) {
            self.segments.release(piece.segment); // from now on the range's alone
        }
    }

    /// Whether the range is the end of a private segment in which `len` more bytes fit.
    fn is_open(&self, index: u32, len: usize) -> bool {
        if index == NIL {
            return false;
        }
        let range = &self.ranges[index];
        // A private segment has one range, which reaches to its end.
        !range.is_source()
            && self.segments.kind(range.segment) == Kind::Private
            && self.segments.fits(range.segment, len)
    }

    /// Appends a body of `len` bytes that is pulled when all before it is written.
    pub(super) fn push_source(&mut self, queue: &mut Queue, len: u64, source: Box<dyn Source>) {
        let key = self.sources.insert(Pulled { source, left: len });
        let index = self.ranges.insert(Piece {
            segment: SegmentId(narrow(key)),
            start: 0,
            len: 0,
        });
        self.link(queue, index);
    }

    /// Whether a source is in any queue.
    #[inline]
    pub(super) fn has_sources(&self) -> bool {
        !self.sources.is_empty()
    }

    /// Whether a source is in `queue`.
    pub(super) fn has_source(&self, queue: &Queue) -> bool {
        let mut at = queue.head;
        // Few queues have many ranges while any source exists.
        while at != NIL && !self.sources.is_empty() {
            if self.ranges[at].is_source() {
                return true;
            }
            at = self.ranges[at].next;
        }
        false
    }

    /// If a source is next to be written, pulls some of it in front of what is left of it.
    ///
    /// # Errors
    ///
    /// The source's own, or `UnexpectedEof` if it ends before its length. The queue then
    /// stands as before.
    pub(super) fn fill(&mut self, queue: &mut Queue) -> io::Result<()> {
        if queue.head == NIL || !self.ranges[queue.head].is_source() {
            return Ok(());
        }
        let head = queue.head;
        let key = self.ranges[head].segment.0 as usize;
        let pulled = &mut self.sources[key];
        let max = usize::try_from(pulled.left).map_or(PULL_BYTES, |left| left.min(PULL_BYTES));
        let mut buffer = self.segments.take(max);
        let taken = buffer.capacity();
        let outcome = pulled.source.pull(&mut buffer, max);
        if buffer.capacity() != taken {
            self.segments.resized(taken, buffer.capacity());
        }
        buffer.truncate(max);
        if outcome.is_err() || buffer.is_empty() {
            self.segments.give_back(buffer);
            return outcome.and(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        let len = buffer.len();
        pulled.left -= len as u64;
        queue.bytes += len as u64;
        self.queued_bytes += len as u64;
        let segment = self.segments.adopt(Kind::Private, buffer);
        let range = &mut self.ranges[head];
        if pulled.left == 0 {
            self.sources.remove(key);
            (range.segment, range.len) = (segment, narrow(len));
        } else {
            let index = self.ranges.insert(Piece {
                segment,
                start: 0,
                len: narrow(len),
            });
            self.ranges[index].next = head;
            queue.head = index;
        }
        Ok(())
    }

    /// What is next to be written, if that is a part of a file.
    pub(super) fn file_part(&self, queue: &Queue) -> Option<FilePart<'_>> {
        if queue.head == NIL || !self.ranges[queue.head].is_source() {
            return None;
        }
        let pulled = &self.sources[self.ranges[queue.head].segment.0 as usize];
        let part = pulled.source.file_part()?;
        Some(FilePart {
            len: part.len.min(pulled.left),
            ..part
        })
    }

    /// Whether what was sent of the source at the front belongs together still.
    pub(super) fn check_source(&self, queue: &Queue) -> io::Result<()> {
        let key = self.ranges[queue.head].segment.0 as usize;
        self.sources[key].source.check()
    }

    /// Drops `len` bytes of the [part of a file](Self::file_part) at the front.
    pub(super) fn skip(&mut self, queue: &mut Queue, len: u64) {
        debug_assert!(self.file_part(queue).is_some_and(|part| len <= part.len));
        let pulled = &mut self.sources[self.ranges[queue.head].segment.0 as usize];
        pulled.source.skip(len);
        pulled.left -= len;
        if pulled.left == 0 {
            self.pop(queue);
        }
    }

    /// Adds slices for what waits, from the front. `false`: not all of it, for want of slices or
    /// because a source comes next, so nothing may be added behind.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "within each write")]
    pub(super) fn gather<'a>(
        &'a self,
        queue: &Queue,
        slices: &mut [IoSlice<'a>],
        gathered: &mut Gathered,
    ) -> bool {
        let mut index = queue.head;
        while index != NIL {
            let range = &self.ranges[index];
            if range.is_source() {
                let next = &self.sources[range.segment.0 as usize].source;
                gathered.before_file = next.file_part().is_some();
                return false;
            }
            if gathered.slices == slices.len() {
                return false;
            }
            gathered.add(slices, self.segments.bytes(range.piece()));
            index = range.next;
        }
        true
    }

    /// Drops `len` bytes from the front; returns by how many they are more than there were.
    pub(super) fn consume(&mut self, queue: &mut Queue, mut len: usize) -> usize {
        while len > 0 && queue.head != NIL {
            let range = &mut self.ranges[queue.head];
            if range.is_source() {
                break;
            }
            if len < range.len as usize {
                let part = narrow(len);
                range.start += part;
                range.len -= part;
                queue.bytes -= u64::from(part);
                self.queued_bytes -= u64::from(part);
                return 0;
            }
            len -= range.len as usize;
            self.pop(queue);
        }
        len
    }

    fn pop(&mut self, queue: &mut Queue) {
        let range = self.ranges.remove(queue.head);
        queue.head = range.next;
        if queue.head == NIL {
            queue.tail = NIL;
        }
        if range.is_source() {
            self.sources.remove(range.segment.0 as usize);
        } else {
            queue.bytes -= u64::from(range.len);
            self.queued_bytes -= u64::from(range.len);
            self.segments.release(range.segment);
        }
    }

    /// Drops all behind the first `keep` bytes. No source may be among those.
    pub(super) fn truncate(&mut self, queue: &mut Queue, keep: u64) {
        let mut kept = Queue::EMPTY;
        while queue.head != NIL && kept.bytes < keep {
            let index = queue.head;
            let range = &mut self.ranges[index];
            debug_assert!(!range.is_source(), "its length is not among the bytes");
            let len = u64::from(range.len);
            let taken = len.min(keep - kept.bytes);
            range.len = narrow(usize::try_from(taken).expect("within a range"));
            queue.head = range.next;
            queue.bytes -= len;
            self.queued_bytes -= len - taken;
            range.next = NIL;
            if kept.head == NIL {
                kept.head = index;
            } else {
                self.ranges[kept.tail].next = index;
            }
            kept.tail = index;
            kept.bytes += taken;
        }
        self.clear(queue);
        *queue = kept;
        if kept.tail != NIL {
            // A private segment ends where its range does, so that it can be written on.
            let tail = self.ranges[kept.tail].piece();
            if self.segments.kind(tail.segment) == Kind::Private {
                self.segments.cut_behind(tail);
            }
        }
    }

    /// Drops everything.
    pub(super) fn clear(&mut self, queue: &mut Queue) {
        while queue.head != NIL {
            self.pop(queue);
        }
    }

    /// Copies what lies in segments of the turn into private ones.
    pub(super) fn leave_turn(&mut self, queue: &mut Queue) {
        let (mut before, mut index) = (NIL, queue.head);
        while index != NIL {
            let range = self.ranges[index];
            if range.is_source() || self.segments.kind(range.segment) != Kind::Turn {
                before = index;
            } else if self.is_open(before, range.len as usize) {
                let open = &mut self.ranges[before];
                self.segments.append_copy(open.segment, range.piece());
                open.len += range.len;
                open.next = range.next;
                if queue.tail == index {
                    queue.tail = before;
                }
                self.ranges.remove(index);
                self.segments.release(range.segment);
            } else {
                let buffer = self.segments.take(range.len as usize);
                let segment = self.segments.adopt(Kind::Private, buffer);
                self.segments.append_copy(segment, range.piece());
                self.segments.release(range.segment);
                (self.ranges[index].segment, self.ranges[index].start) = (segment, 0);
                before = index;
            }
            index = range.next;
        }
    }

    /// Gives back the memory of a private segment of which little is left, so that a slow
    /// client holds at most four times what waits for it. Only the first range can be a rest.
    pub(super) fn shrink_front(&mut self, queue: &Queue) {
        if queue.head == NIL || self.ranges[queue.head].is_source() {
            return;
        }
        let range = &mut self.ranges[queue.head];
        let capacity = self.segments.capacity(range.segment);
        let is_little = capacity > SHRINK_BYTES && (range.len as usize) < capacity / 4;
        if is_little && self.segments.kind(range.segment) == Kind::Private {
            self.segments.shrink_to(range.piece());
            range.start = 0;
        }
    }
}

#[cfg(test)]
mod tests;
