//! Answers to the client that is being served, gathered to be written right after.
//!
//! While one client's input is handed to the application, what it is answered nearly always goes
//! to itself and fits in one write. Such messages lie in one buffer, without a range, a segment or
//! a place on a list. All else ends that: whatever is to happen to the client first
//! [uncorks](Output::uncork) it, and what was gathered becomes a range of its queue like any other.
//!
//! A large message that goes back as it came is not even copied: it is *lent*, and written from
//! where it was read. Only the caller can see it there, once the application has returned; if
//! something else came first, a segment of its length stands in for it until then.

use super::segments::{Kind, Piece, SegmentId, narrow};
use super::{BLOCKED, Bytes, LogId, OVERFLOWED, Output, Unit};

/// Most that is gathered. What is more takes the way through the queue, and is written as well
/// after the read.
const CORK_BYTES: usize = 32 * 1024;

/// Room that a short head is copied with: a copy of a known length needs no call.
const SHORT_HEAD_BYTES: usize = 10;

/// From this length on a message that goes back is lent. Below, the copy is cheaper than the
/// write that it takes for itself where there are others.
pub(crate) const LEND_BYTES: usize = 4 * 1024;

/// No slot: nobody is corked.
const NOBODY: u32 = u32::MAX;

/// See the module.
#[derive(Debug)]
pub(super) struct Cork {
    slot: u32,
    log: LogId,
    /// What the loop calls the client: it outlives its slot.
    owner: u64,
    /// `CORK_BYTES`, or none before the first client is corked.
    buffer: Box<[u8]>,
    /// How many of them are gathered.
    len: usize,
    unit: Unit,
    /// Most bytes to be gathered for this client.
    limit: usize,
    /// Most bytes to be gathered and lent together.
    most: usize,
    /// Where the message that the application sees lies, if it is large: its address and length.
    offer: Option<(usize, usize)>,
    /// The message goes back, in front of what is gathered.
    lent: Option<Head>,
    /// What stands in for it in the queue.
    owed: Option<(SegmentId, Head)>,
}

/// The first bytes of a frame, and how many they are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    bytes: [u8; SHORT_HEAD_BYTES],
    len: usize,
}

impl Head {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Cork {
    pub(super) fn new() -> Self {
        Self {
            slot: NOBODY,
            log: LogId::NONE,
            owner: 0,
            buffer: Box::new([]),
            len: 0,
            unit: Unit {
                frames: 0,
                messages: 0,
            },
            limit: 0,
            most: 0,
            offer: None,
            lent: None,
            owed: None,
        }
    }

    /// What is gathered for `slot`.
    #[inline]
    pub(super) fn bytes_for(&self, slot: u32) -> usize {
        if self.slot == slot {
            self.len + self.lent_bytes()
        } else {
            0
        }
    }

    fn lent_bytes(&self) -> usize {
        match (self.lent, self.offer) {
            (Some(head), Some((_, len))) => head.len + len,
            _ => 0,
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
        (cork.limit, cork.most) = (CORK_BYTES.min(most), most);
        if cork.buffer.is_empty() {
            cork.buffer = vec![0; CORK_BYTES].into();
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
        if body.len() >= LEND_BYTES && self.lend(owner, log, head, head_len, body) {
            return true;
        }
        let cork = &mut self.cork;
        if cork.owner != owner
            || cork.log != log
            || cork.slot == NOBODY
            || cork.len + SHORT_HEAD_BYTES + body.len() > cork.limit
        {
            return false;
        }
        let free = &mut cork.buffer[cork.len..];
        // All of the short array: what is too much is written over.
        free[..SHORT_HEAD_BYTES].copy_from_slice(head);
        free[head_len..head_len + body.len()].copy_from_slice(body);
        cork.len += head_len + body.len();
        cork.unit.frames += 1;
        cork.unit.messages += 1;
        true
    }

    /// The application is about to see a large message of the client that is corked, `message`:
    /// if it goes back as it is, it need not be copied. [`lent`](Self::lent) is to be asked then.
    pub(crate) fn offer(&mut self, message: &[u8]) {
        self.cork.offer = Some((message.as_ptr().addr(), message.len()));
    }

    /// [`answer`](Self::answer) with a large message: lends it if it is the one that was offered.
    fn lend(
        &mut self,
        owner: u64,
        log: LogId,
        head: &[u8; SHORT_HEAD_BYTES],
        head_len: usize,
        body: &[u8],
    ) -> bool {
        let cork = &mut self.cork;
        let is_offered = cork.offer == Some((body.as_ptr().addr(), body.len()));
        if !is_offered
            || cork.slot == NOBODY
            || cork.owner != owner
            || cork.log != log
            || cork.len > 0
            || cork.lent.is_some()
            || head_len + body.len() > cork.most
        {
            return false;
        }
        cork.lent = Some(Head {
            bytes: *head,
            len: head_len,
        });
        cork.limit = cork.limit.min(cork.most - head_len - body.len());
        cork.unit.frames += 1;
        cork.unit.messages += 1;
        true
    }

    /// The application has returned: the head of the message that was offered, if that is to go
    /// back before all else, and alone so far. Both are to be written, one behind the other; then
    /// [`lent_taken`](Self::lent_taken) must follow.
    ///
    /// `payload` is the message once more: where it cannot be written at once it is copied.
    pub(crate) fn lent(&mut self, payload: &[u8]) -> Option<Head> {
        if let Some(head) = self.cork.lent {
            if self.cork.len == 0 {
                return Some(head);
            }
            self.uncork_now();
        }
        self.repay(payload);
        None
    }

    /// The socket took `written` bytes of what was [`lent`](Self::lent), head and `payload`.
    pub(crate) fn lent_taken(&mut self, payload: &[u8], written: usize) {
        let (slot, len) = (self.cork.slot, self.cork.lent_bytes());
        if written == len {
            let client = &mut self.clients[slot as usize];
            client.sent.bytes = client.sent.bytes.wrapping_add(len as u64);
            (self.cork.lent, self.cork.offer) = (None, None);
            self.cork.limit = CORK_BYTES.min(self.cork.most);
            return;
        }
        self.uncork_now();
        self.repay(payload);
        self.advance(slot, written);
    }

    /// Copies the message that was offered to where a segment stands in for it.
    fn repay(&mut self, payload: &[u8]) {
        self.cork.offer = None;
        if let Some((segment, head)) = self.cork.owed.take() {
            self.store.segments.fill(segment, head.as_bytes(), payload);
            self.store.segments.release(segment);
        }
    }

    /// What is gathered for the client in `slot`, to be written; `None` if it is not corked.
    #[inline]
    pub(crate) fn corked(&self, slot: u32) -> Option<&[u8]> {
        (self.cork.slot == slot).then_some(&self.cork.buffer[..self.cork.len])
    }

    /// The socket took all that was gathered.
    #[inline]
    pub(crate) fn cork_taken(&mut self, slot: u32) {
        debug_assert!(self.cork.slot == slot, "it was corked");
        let client = &mut self.clients[slot as usize];
        client.sent.bytes = client.sent.bytes.wrapping_add(self.cork.len as u64);
        client.sent.count(self.cork.end());
        self.cork.len = 0;
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
        if let Some(head) = self.cork.lent.take()
            && let Some((_, payload_len)) = self.cork.offer
        {
            let len = head.len + payload_len;
            let buffer = self.store.segments.take(len);
            // Not private: nobody may write behind what is not there yet.
            let segment = self.store.segments.adopt(Kind::Shared, buffer);
            let piece = Piece {
                segment,
                start: 0,
                len: narrow(len),
            };
            self.store.push(&mut client.queue, piece);
            self.cork.owed = Some((segment, head));
            self.turn_bytes += len;
            self.mark_dirty(slot);
        }
        let len = std::mem::take(&mut self.cork.len);
        if len > 0 {
            let buffer = std::mem::take(&mut self.cork.buffer);
            self.enqueue(slot, Bytes::Parts(&buffer[..len], &[]));
            self.cork.buffer = buffer;
        }
    }
}
