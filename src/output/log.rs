//! The broadcasts of one endpoint: each stored once, each member with a cursor into them.
//!
//! Positions are absolute byte counts since the log began and never go back. A cursor is the
//! sequence number of a message, so it always lies between two of them. The [`Ring`] visits
//! all members after a broadcast; at each wrap the log forgets what all have been past, and
//! when the ring rests, everything. So endless broadcasts hold at most two revolutions.

mod invariants;

use std::collections::VecDeque;

use super::bytes::Bytes;
use super::ring::Ring;
use super::segments::{Kind, Piece, SEGMENT_BYTES, SegmentId, Segments};
use super::{LogId, LogLimits, Output, Unit};

/// Messages that an empty log keeps room for (16 bytes each).
const KEPT_MESSAGES: usize = 4096;

/// A place between two messages.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mark {
    /// Bytes before it.
    pub(super) position: u64,
    /// Frames before it. Only differences count, and no log spans 2^32 of them.
    frames: u32,
    messages: u32,
}

impl Mark {
    /// Frames and messages from `self` on up to `end`.
    pub(super) const fn units_until(self, end: Self) -> Unit {
        Unit {
            frames: end.frames.wrapping_sub(self.frames),
            messages: end.messages.wrapping_sub(self.messages),
        }
    }
}

/// A segment of the log, and the position of its first byte.
#[derive(Clone, Copy, Debug)]
struct Placed {
    segment: SegmentId,
    start: u64,
}

/// What all members with the same cursor lack, in one piece.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) cursor: u32,
    pub(super) piece: Piece,
    pub(super) unit: Unit,
}

impl LogId {
    /// Which it is, of all that were added.
    pub(crate) const fn index(self) -> u16 {
        self.0
    }
}

impl Output {
    /// Gives the members of a log other limits from now on.
    pub(crate) fn set_limits(&mut self, log: LogId, limits: LogLimits) {
        self.logs[usize::from(log.0)].limits = limits;
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) limits: LogLimits,
    pub(super) ring: Ring,
    /// Whether it is on the list of logs whose ring turns.
    pub(super) is_listed: bool,
    /// In order of position; the log points at each. Only the last is written.
    placed: VecDeque<Placed>,
    /// Where the first message that is kept begins, and its sequence number.
    begin: Mark,
    begin_sequence: u64,
    /// Where each message that is kept ends.
    messages: VecDeque<Mark>,
    /// What `end_sequence` was at the last wrap: nobody lacks anything before it at the next.
    wrap_sequence: u64,
}

impl Log {
    /// A log without members.
    pub(super) fn new(limits: LogLimits) -> Self {
        Self {
            limits,
            ring: Ring::default(),
            is_listed: false,
            placed: VecDeque::new(),
            begin: Mark::default(),
            begin_sequence: 0,
            messages: VecDeque::new(),
            wrap_sequence: 0,
        }
    }

    /// The sequence number of the next message.
    #[inline]
    pub(super) fn end_sequence(&self) -> u64 {
        self.begin_sequence + self.messages.len() as u64
    }

    /// Adds a member that lacks nothing of what is there; returns where it stands.
    pub(super) fn join(&mut self, slot: u32) -> u32 {
        self.ring.join(slot, low(self.end_sequence()))
    }

    /// Whether the member at `index` lacks anything.
    #[inline]
    pub(super) fn is_lacked(&self, index: u32) -> bool {
        self.ring.cursor(index) != low(self.end_sequence())
    }

    /// The first message that the member at `index` lacks.
    #[inline]
    pub(super) fn cursor(&self, index: u32) -> u64 {
        self.sequence_of(self.ring.cursor(index))
    }

    /// The member at `index` lacks nothing before `cursor`.
    #[inline]
    pub(super) fn set_cursor(&mut self, index: u32, cursor: u64) {
        self.ring.set_cursor(index, low(cursor));
    }

    /// Where the message `sequence` begins, which for the next one is the end of all.
    pub(super) fn mark(&self, sequence: u64) -> Mark {
        match self.count_before(sequence) {
            0 => self.begin,
            count => self.messages[count - 1],
        }
    }

    /// How many of the kept messages come before `sequence`.
    fn count_before(&self, sequence: u64) -> usize {
        debug_assert!(
            sequence >= self.begin_sequence,
            "trimmed although somebody lacks it"
        );
        usize::try_from(sequence - self.begin_sequence).expect("they are in memory")
    }

    /// Stores a message behind the others.
    pub(super) fn append(&mut self, segments: &mut Segments, unit: Unit, bytes: Bytes<'_>) {
        let mut end = self.mark(self.end_sequence());
        for piece in bytes.pieces() {
            let last = self.placed.back().map(|placed| placed.segment);
            let piece = segments.append(last, piece, Kind::Shared, SEGMENT_BYTES);
            if last != Some(piece.segment) {
                self.placed.push_back(Placed {
                    segment: piece.segment,
                    start: end.position,
                });
            }
            end.position += u64::from(piece.len);
        }
        end.frames = end.frames.wrapping_add(unit.frames);
        end.messages = end.messages.wrapping_add(unit.messages);
        self.messages.push_back(end);
    }

    /// The bytes between two positions, one piece for each segment.
    pub(super) fn pieces(&self, from: u64, to: u64) -> impl Iterator<Item = Piece> {
        let first = self
            .placed
            .partition_point(|placed| placed.start <= from)
            .saturating_sub(1);
        let mut from = from;
        (first..self.placed.len()).map_while(move |index| {
            let Placed { segment, start } = self.placed[index];
            let end = self
                .placed
                .get(index + 1)
                .map_or(to, |next| next.start.min(to));
            let inside =
                |position: u64| u32::try_from(position - start).expect("inside of a segment");
            let piece = (from < end).then(|| Piece {
                segment,
                start: inside(from),
                len: inside(end) - inside(from),
            });
            from = end;
            piece
        })
    }

    /// Up to where a blocked client takes messages from `cursor` on if `queued` bytes wait for
    /// it: one after the other, as long as no more than the hard limit waits before it.
    pub(super) fn accepted(&self, cursor: u64, queued: u64) -> u64 {
        let Some(room) = (self.limits.hard_backlog_bytes as u64).checked_sub(queued) else {
            return cursor;
        };
        // A message is judged where it begins, which is where the one before it ends.
        let limit = self.mark(cursor).position.saturating_add(room);
        let fitting = self.messages.partition_point(|end| end.position <= limit);
        (self.begin_sequence + fitting as u64 + 1).min(self.end_sequence())
    }

    /// Which message the byte at `position` belongs to.
    pub(super) fn sequence_at(&self, position: u64) -> u64 {
        self.begin_sequence
            + self
                .messages
                .partition_point(|end| end.position <= position) as u64
    }

    fn sequence_of(&self, cursor: u32) -> u64 {
        // Nothing that somebody lacks was trimmed.
        let behind = cursor.wrapping_sub(low(self.begin_sequence));
        self.begin_sequence + u64::from(behind)
    }

    /// What a member lacks whose cursor is `cursor`, if it lies in one piece.
    pub(super) fn run(&self, cursor: u32) -> Option<Run> {
        let sequence = self.sequence_of(cursor);
        let (from, to) = (self.mark(sequence), self.mark(self.end_sequence()));
        let piece = self.pieces(from.position, to.position).next()?;
        (u64::from(piece.len) == to.position - from.position).then_some(Run {
            cursor,
            piece,
            unit: from.units_until(to),
        })
    }

    /// Moves the ring on by one. Returns the member that was visited and where it now stands.
    ///
    /// Whoever was visited before must lack nothing of what was there at its visit.
    pub(super) fn step(&mut self, segments: &mut Segments) -> Option<(u32, u32)> {
        self.wrap_at_end(segments);
        self.ring.step()
    }

    /// Ends a revolution, if it is over.
    #[inline]
    pub(super) fn wrap_at_end(&mut self, segments: &mut Segments) {
        if self.ring.at_end() {
            self.ring.wrap();
            self.trim(segments, self.wrap_sequence);
            self.wrap_sequence = self.end_sequence();
        }
    }

    /// Removes a member; the log of nobody keeps nothing.
    pub(super) fn leave(&mut self, segments: &mut Segments, index: u32) {
        self.ring.leave(index);
        if self.ring.live_count() == 0 {
            self.clear(segments);
        }
    }

    /// Forgets the messages before `sequence`.
    fn trim(&mut self, segments: &mut Segments, sequence: u64) {
        if sequence <= self.begin_sequence {
            return; // cleared since
        }
        let count = self.count_before(sequence);
        self.begin = self.messages[count - 1];
        self.begin_sequence = sequence;
        self.messages.drain(..count);
        while self
            .placed
            .get(1)
            .is_some_and(|next| next.start <= self.begin.position)
        {
            if let Some(first) = self.placed.pop_front() {
                segments.release(first.segment);
            }
        }
    }

    /// Forgets all messages: nobody lacks one. Only a segment that slow clients hold anyway is
    /// written on, so that they do not come to hold one for each broadcast.
    pub(super) fn clear(&mut self, segments: &mut Segments) {
        self.trim(segments, self.end_sequence());
        self.messages.shrink_to(KEPT_MESSAGES);
        if let Some(&Placed { segment, .. }) = self.placed.back()
            && segments.is_sole(segment)
        {
            segments.release(segment);
            self.placed.pop_back();
        }
    }
}

/// The part of a sequence number that the ring keeps.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the lower half")]
pub(super) const fn low(sequence: u64) -> u32 {
    sequence as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BacklogPolicy;

    const UNIT: Unit = Unit {
        frames: 2,
        messages: 1,
    };

    fn log_of(messages: &[&[u8]], hard_backlog_bytes: usize) -> (Log, Segments) {
        let policy = BacklogPolicy::Close;
        let mut log = Log::new(LogLimits {
            soft_backlog_bytes: usize::MAX,
            hard_backlog_bytes,
            policy,
        });
        let mut segments = Segments::default();
        for message in messages {
            log.append(&mut segments, UNIT, Bytes::Parts(b"", message));
        }
        (log, segments)
    }

    fn bytes(log: &Log, segments: &Segments, from: u64, to: u64) -> Vec<u8> {
        let (from, to) = (log.mark(from).position, log.mark(to).position);
        log.pieces(from, to)
            .flat_map(|piece| segments.bytes(piece).to_vec())
            .collect()
    }

    #[test]
    fn trimming_keeps_the_last_byte_of_a_segment_that_somebody_lacks() {
        let first = [b'a'; SEGMENT_BYTES - 1];
        let (mut log, mut segments) = log_of(&[&first, b"b", b"c"], 0);
        log.trim(&mut segments, 1);
        assert_eq!(bytes(&log, &segments, 1, 3), b"bc");
        assert_eq!(
            log.mark(1).units_until(log.mark(3)),
            Unit {
                frames: 4,
                messages: 2
            }
        );
        log.trim(&mut segments, 2);
        assert_eq!(
            (segments.count(), bytes(&log, &segments, 2, 3)),
            (1, b"c".to_vec())
        );
    }

    #[test]
    fn any_part_is_found_again_across_segments_of_all_sizes() {
        let (large, small) = (vec![b'x'; 3 * SEGMENT_BYTES], [b'y'; SEGMENT_BYTES / 2 + 1]);
        let messages: [&[u8]; 6] = [b"1", &large, b"2", &small, &small, b""];
        let (log, segments) = log_of(&messages, 0);
        for from in 0..=6 {
            for to in from..=6 {
                let expected = messages[from..to].concat();
                assert!(
                    bytes(&log, &segments, from as u64, to as u64) == expected,
                    "{from} to {to}"
                );
            }
        }
    }

    #[test]
    fn messages_are_accepted_while_no_more_than_the_limit_waits_before_them() {
        let (log, _) = log_of(&[b"aa", b"bb", b"cc"], 4);
        let accepted = |queued| {
            (0..=3)
                .map(|cursor| log.accepted(cursor, queued))
                .collect::<Vec<_>>()
        };
        assert_eq!(accepted(0), [3, 3, 3, 3]);
        assert_eq!(accepted(1), [2, 3, 3, 3]);
        assert_eq!(accepted(2), [2, 3, 3, 3]);
        assert_eq!(accepted(4), [1, 2, 3, 3]);
        assert_eq!(accepted(5), [0, 1, 2, 3]);
    }

    #[test]
    fn room_for_a_burst_of_messages_is_given_back() {
        let (mut log, mut segments) = log_of(&vec![&b"x"[..]; 3 * KEPT_MESSAGES], 0);
        log.clear(&mut segments);
        assert!(log.messages.capacity() <= KEPT_MESSAGES);
        assert_eq!(
            (segments.count(), log.end_sequence()),
            (0, 3 * KEPT_MESSAGES as u64)
        );
    }
}
