//! Answers to the client that is being served, gathered to be written right after.
//!
//! While one client's input is handed to the application, what it is answered nearly always goes
//! to itself and fits in one write. Such messages lie in one buffer, without a range, a segment or
//! a place on a list. All else ends that: whatever is to happen to the client first
//! [uncorks](Output::uncork) it, and what was gathered becomes a range of its queue like any other.

use super::segments::{Kind, Piece, narrow};
use super::{BLOCKED, LogId, OVERFLOWED, Output, Unit};

/// Most that is gathered. What is more takes the way through the queue, and is written as well
/// after the read.
const CORK_BYTES: usize = 32 * 1024;

/// Room that a short head is copied with: a copy of a known length needs no call.
const SHORT_HEAD_BYTES: usize = 10;

/// No slot: nobody is corked.
const NOBODY: u32 = u32::MAX;

/// See the module.
#[derive(Debug)]
pub(super) struct Cork {
    slot: u32,
    log: LogId,
    /// What the loop calls the client: it outlives its slot.
    owner: u64,
    bytes: Vec<u8>,
    unit: Unit,
    /// Most bytes to be gathered for this client.
    limit: usize,
}

impl Cork {
    pub(super) const fn new() -> Self {
        Self {
            slot: NOBODY,
            log: LogId::NONE,
            owner: 0,
            bytes: Vec::new(),
            unit: Unit {
                frames: 0,
                messages: 0,
            },
            limit: 0,
        }
    }

    /// What is gathered for `slot`.
    #[inline]
    pub(super) const fn bytes_for(&self, slot: u32) -> usize {
        if self.slot == slot {
            self.bytes.len()
        } else {
            0
        }
    }

    /// What that counts as.
    pub(super) fn unit_for(&self, slot: u32) -> Unit {
        if self.slot == slot {
            self.unit
        } else {
            Unit::default()
        }
    }

    /// Nobody is corked any more. The unit that was gathered.
    const fn end(&mut self) -> Unit {
        self.slot = NOBODY;
        std::mem::replace(
            &mut self.unit,
            Unit {
                frames: 0,
                messages: 0,
            },
        )
    }
}

impl Output {
    /// From now on [`answer`](Self::answer) gathers up to `most` bytes of what goes to the client
    /// in `slot`, whom the caller calls `owner`, a member of `log`; but not if anything waits for
    /// it already.
    #[inline]
    pub(crate) fn cork(&mut self, slot: u32, owner: u64, log: LogId, most: usize) {
        debug_assert!(self.cork.slot == NOBODY, "one client is served at a time");
        let client = &self.clients[slot as usize];
        if client.log != log
            || client.flags & (BLOCKED | OVERFLOWED) != 0
            || !client.queue.is_empty()
            // While no ring turns, nobody lacks anything.
            || (!self.turning.is_empty() && self.rest(slot).is_some())
        {
            return;
        }
        let cork = &mut self.cork;
        (cork.slot, cork.owner, cork.log) = (slot, owner, log);
        cork.limit = CORK_BYTES.min(most);
        if cork.bytes.capacity() < CORK_BYTES {
            cork.bytes = self.store.segments.take(CORK_BYTES);
        }
    }

    /// Gathers one message of one frame, the first `head_len` bytes of `head` and `body`. Whether
    /// it did: the client must be corked, and there must be room.
    #[inline]
    pub(crate) fn answer(
        &mut self,
        owner: u64,
        log: LogId,
        head: &[u8; SHORT_HEAD_BYTES],
        head_len: usize,
        body: &[u8],
    ) -> bool {
        let cork = &mut self.cork;
        let begin = cork.bytes.len();
        if cork.owner != owner
            || cork.log != log
            || cork.slot == NOBODY
            || begin + SHORT_HEAD_BYTES + body.len() > cork.limit
        {
            return false;
        }
        cork.bytes.extend_from_slice(head);
        cork.bytes.truncate(begin + head_len);
        cork.bytes.extend_from_slice(body);
        cork.unit.frames += 1;
        cork.unit.messages += 1;
        true
    }

    /// What is gathered for the client in `slot`, to be written; `None` if it is not corked.
    #[inline]
    pub(crate) fn corked(&self, slot: u32) -> Option<&[u8]> {
        (self.cork.slot == slot).then_some(&self.cork.bytes[..])
    }

    /// The socket took all that was gathered.
    #[inline]
    pub(crate) fn cork_taken(&mut self, slot: u32) {
        debug_assert!(self.cork.slot == slot, "it was corked");
        let client = &mut self.clients[slot as usize];
        client.sent.bytes = client.sent.bytes.wrapping_add(self.cork.bytes.len() as u64);
        client.sent.count(self.cork.end());
        self.cork.bytes.clear();
    }

    /// What was gathered for the client in `slot` becomes a range of its queue, and what follows
    /// is queued behind it.
    #[inline]
    pub(crate) fn uncork(&mut self, slot: u32) {
        if self.cork.slot == slot {
            self.uncork_now();
        }
    }

    /// The same, whoever is corked.
    #[inline]
    pub(super) fn uncork_any(&mut self) {
        if self.cork.slot != NOBODY {
            self.uncork_now();
        }
    }

    fn uncork_now(&mut self) {
        let slot = self.cork.slot;
        let client = &mut self.clients[slot as usize];
        client.sent.count(self.cork.end());
        if self.cork.bytes.is_empty() {
            return;
        }
        let buffer = std::mem::take(&mut self.cork.bytes);
        self.turn_bytes += buffer.len();
        let len = narrow(buffer.len());
        let segment = self.store.segments.adopt(Kind::Private, buffer);
        let piece = Piece {
            segment,
            start: 0,
            len,
        };
        self.store.push(&mut client.queue, piece);
        self.store.segments.release(segment); // from now on the range's alone
        self.mark_dirty(slot);
    }
}
