//! Flushing: who is to be written next, what, and what the socket's answer changes.
//!
//! ```text
//!                 next_dirty, next_in_ring
//!   waiting ────────────────────────────────▶ visited ── all taken ──▶ empty
//!      ▲  ▲                                     │  │
//!      │  └── settle: neither full nor empty ───┘  │ block
//!      └───────────── unblock ◀── blocked ◀────────┘
//! ```

use std::io::{self, IoSlice};

use super::log::{Run, low};
use super::{BLOCKED, DIRTY, FilePart, Gathered, IN_TURN, OVERFLOWED, Output, REPORTED};

impl Output {
    /// The next client that has something of its own and is not blocked, each once a turn.
    pub(crate) fn next_dirty(&mut self) -> Option<u32> {
        self.settle();
        while let Some(slot) = self.dirty.pop_front() {
            let client = &mut self.clients[slot as usize];
            client.flags &= !DIRTY;
            if !client.has(BLOCKED) && client.has_own() {
                self.visited = Some(slot);
                return Some(slot);
            }
        }
        None
    }

    /// The next member of any log that lacks some of it and is not blocked. Each member looked
    /// at costs one of `visits`; `None` when they are spent or nobody is left. Blocked members
    /// are caught up on the way. Logs have their turns one member at a time.
    pub(crate) fn next_in_ring(&mut self, visits: &mut usize) -> Option<u32> {
        self.settle();
        while let Some(&id) = self.turning.front() {
            let log = &mut self.logs[usize::from(id.0)];
            if !log.ring.is_pending() {
                log.is_listed = false;
                log.clear(&mut self.store.segments);
                self.turning.pop_front();
                continue;
            }
            if *visits == 0 {
                return None;
            }
            *visits -= 1;
            let Some((slot, member)) = log.step(&mut self.store.segments) else {
                continue;
            };
            self.clients[slot as usize].member = member;
            let Some(rest) = self.rest(slot) else {
                continue;
            };
            if self.is_blocked(slot) || rest.bytes() == 0 {
                self.catch_up(slot);
                continue;
            }
            self.visited = Some(slot);
            self.turning.rotate_left(1);
            return Some(slot);
        }
        None
    }

    /// The straight path through the ring: visits the members of the log whose turn it is, as long
    /// as each has nothing of its own and lacks broadcasts that lie in one piece, which nearly all
    /// have in common. `write` is given a slot and these bytes, and says how many were taken.
    ///
    /// Each member costs one of `visits`. `None`: the next one, if any, is for
    /// [`next_in_ring`](Self::next_in_ring). Else the socket of this slot took only so many, which
    /// is to be [told](Self::advance).
    pub(crate) fn flush_straight(
        &mut self,
        visits: &mut usize,
        mut write: impl FnMut(u32, &[u8]) -> usize,
    ) -> Option<(u32, usize)> {
        self.settle();
        let &id = self.turning.front()?;
        let log = &mut self.logs[usize::from(id.0)];
        let end = low(log.end_sequence());
        let most = log.limits.soft_backlog_bytes;
        let mut common: Option<Run> = None;
        while *visits > 0 && log.ring.is_pending() {
            log.wrap_at_end(&mut self.store.segments);
            let (slot, cursor) = log.ring.peek()?;
            let client = &mut self.clients[slot as usize];
            if cursor == end || client.has(BLOCKED | OVERFLOWED) || !client.queue.is_empty() {
                return None;
            }
            let run = match common {
                Some(run) if run.cursor == cursor => run,
                _ => *common.insert(log.run(cursor)?),
            };
            // Above the soft limit there is more to do than to write.
            if run.piece.len as usize > most {
                return None;
            }
            *visits -= 1;
            let taken = write(slot, self.store.segments.bytes(run.piece));
            if taken < run.piece.len as usize {
                if let Some((_, member)) = log.step(&mut self.store.segments) {
                    client.member = member;
                }
                self.turning.rotate_left(1);
                return Some((slot, taken));
            }
            if let Some(member) = log.ring.pass(end) {
                client.member = member;
            }
            client.sent.bytes = client.sent.bytes.wrapping_add(u64::from(run.piece.len));
            client.sent.count(run.unit);
        }
        None
    }

    /// What was handed out last and could not be written as far as its socket goes (a budget,
    /// too few slices, a source) is remembered, and its log may forget.
    fn settle(&mut self) {
        let Some(slot) = self.visited.take() else {
            return;
        };
        if self.is_blocked(slot) || !self.has_output(slot) {
            return;
        }
        let client = &mut self.clients[slot as usize];
        if !client.has(DIRTY) {
            client.flags |= DIRTY;
            self.dirty_later.push(slot);
        }
        self.catch_up(slot);
    }

    /// Whether [`next_in_ring`](Self::next_in_ring) has members to look at.
    pub(crate) fn ring_pending(&self) -> bool {
        self.turning
            .iter()
            .any(|id| self.logs[usize::from(id.0)].ring.is_pending())
    }

    /// Whether [`next_dirty`](Self::next_dirty) has clients to look at, in this turn or the next.
    pub(crate) fn dirty_pending(&self) -> bool {
        !self.dirty.is_empty() || !self.dirty_later.is_empty()
    }

    /// If a source is next to be written, pulls up to 64 KiB of it. If it is longer than was
    /// said, the rest is cut.
    ///
    /// # Errors
    ///
    /// What the source reports, or `UnexpectedEof` if it ends early: close the client.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "two callers, of which one is plain")]
    pub(crate) fn fill(&mut self, slot: u32) -> io::Result<()> {
        if !self.store.has_sources() {
            return Ok(());
        }
        self.catch_up_if_blocked(slot);
        self.store.fill(&mut self.clients[slot as usize].queue)
    }

    /// If a part of a file is next to be written, which it is.
    #[inline]
    pub(crate) fn file_part(&self, slot: u32) -> Option<FilePart<'_>> {
        if !self.store.has_sources() {
            return None;
        }
        self.store.file_part(&self.clients[slot as usize].queue)
    }

    /// To be asked before the last of a [part of a file](Self::file_part) is sent.
    ///
    /// # Errors
    ///
    /// What was sent before does not belong to it: close the client.
    pub(crate) fn check_source(&self, slot: u32) -> io::Result<()> {
        self.store.check_source(&self.clients[slot as usize].queue)
    }

    /// The socket took the first `len` bytes of the [part of a file](Self::file_part).
    pub(crate) fn advance_in_file(&mut self, slot: u32, len: u64) {
        self.catch_up_if_blocked(slot);
        let client = &mut self.clients[slot as usize];
        client.sent.bytes = client.sent.bytes.wrapping_add(len);
        self.store.skip(&mut client.queue, len);
    }

    /// Sets `slices` to what the socket is to be given next: the client's own ranges, then what
    /// it lacks of its log, the latter in one slice for each segment.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "two callers, of which one is plain")]
    pub(crate) fn gather<'a>(&'a self, slot: u32, slices: &mut [IoSlice<'a>]) -> Gathered {
        let mut gathered = Gathered::default();
        let client = &self.clients[slot as usize];
        if self.store.gather(&client.queue, slices, &mut gathered)
            && let Some(rest) = self.rest(slot)
        {
            let log = &self.logs[usize::from(client.log.0)];
            let free = slices.len() - gathered.slices;
            for piece in log.pieces(rest.from.position, rest.to.position).take(free) {
                gathered.add(slices, self.store.segments.bytes(piece));
            }
        }
        gathered
    }

    /// The socket took the first `written` bytes of what was gathered.
    pub(crate) fn advance(&mut self, slot: u32, written: usize) {
        self.catch_up_if_blocked(slot);
        let client = &mut self.clients[slot as usize];
        client.sent.bytes = client.sent.bytes.wrapping_add(written as u64);
        let written = self.store.consume(&mut client.queue, written);
        if client.queue.is_empty() {
            client.flags &= !IN_TURN;
        }
        if written > 0 {
            self.advance_in_log(slot, written as u64);
        }
    }

    /// The socket took `written` bytes of what the client lacks of its log.
    fn advance_in_log(&mut self, slot: u32, written: u64) {
        let Some(rest) = self.rest(slot) else {
            debug_assert!(false, "more was written than was gathered");
            return;
        };
        debug_assert!(
            written <= rest.bytes(),
            "more was written than was gathered"
        );
        let client = &mut self.clients[slot as usize];
        let log = &mut self.logs[usize::from(client.log.0)];
        let taken = rest.from.position + written;
        if taken == rest.to.position && !rest.is_cut {
            // All of it, as nearly always.
            client.sent.count(rest.from.units_until(rest.to));
            let end = log.end_sequence();
            log.set_cursor(client.member, end);
            return;
        }
        // A message of which some bytes are out stays with the client; those after it are
        // still the log's, to be judged one by one if the socket is full.
        let mut cursor = log.sequence_at(taken);
        if log.mark(cursor).position < taken {
            cursor += 1;
            for piece in log.pieces(taken, log.mark(cursor).position) {
                self.store.push(&mut client.queue, piece);
            }
        }
        client.sent.count(rest.from.units_until(log.mark(cursor)));
        log.set_cursor(client.member, cursor);
        if !client.queue.is_empty() {
            self.mark_dirty(slot);
        }
    }

    /// The socket takes no more. What the client lacks of its log is judged message by message;
    /// what lies among the bytes of others is copied out.
    pub(crate) fn block(&mut self, slot: u32) {
        if !self.is_blocked(slot) {
            self.slow.note_blocked(slot, &mut self.clients);
        }
        let client = &mut self.clients[slot as usize];
        client.flags |= BLOCKED;
        self.judge_unjudged(slot);
        let client = &mut self.clients[slot as usize];
        if client.has(IN_TURN) {
            client.flags &= !IN_TURN;
            self.store.leave_turn(&mut client.queue);
        }
        self.store.shrink_front(&client.queue);
        self.catch_up(slot);
    }

    /// The socket takes bytes again.
    pub(crate) fn unblock(&mut self, slot: u32) {
        self.catch_up_if_blocked(slot);
        let client = &mut self.clients[slot as usize];
        if client.has(BLOCKED) {
            self.slow.note_unblocked();
        }
        client.flags &= !BLOCKED;
        if client.has_own() {
            self.mark_dirty(slot);
        }
    }

    /// Broadcasts are judged by the backlog at their time: before it changes, all are.
    fn catch_up_if_blocked(&mut self, slot: u32) {
        if self.is_blocked(slot) {
            self.catch_up(slot);
        }
    }

    /// The next member of a log with the policy `Close` that was refused a broadcast. It gets
    /// none any more; what else waits for it is left as it is.
    pub(crate) fn next_overflowed(&mut self) -> Option<u32> {
        while let Some(slot) = self.overflowed.pop() {
            let client = &mut self.clients[slot as usize];
            client.flags &= !REPORTED;
            if client.has(OVERFLOWED) {
                return Some(slot);
            }
        }
        None
    }

    /// Ends a flush phase: memory that nothing points at any more is given back or reused.
    pub(crate) fn end_turn(&mut self) {
        self.settle();
        let clients = &self.clients;
        self.unjudged
            .forget_if(|slot| clients[slot as usize].queue.is_empty());
        self.dirty.extend(self.dirty_later.drain(..));
        self.turn.tidy(&mut self.store.segments);
        self.lists.tidy(&mut self.store.segments);
        self.turn_bytes = 0;
        self.is_owing = false;
        for log in &mut self.logs {
            if !log.ring.is_pending() {
                log.clear(&mut self.store.segments);
            }
            for _ in 0..log.ring.take_owed() {
                if let Some((slot, member)) = log.step(&mut self.store.segments) {
                    self.clients[slot as usize].member = member;
                }
            }
        }
    }
}
