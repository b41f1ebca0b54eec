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
            unit: Unit::default(),
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

    /// Whether nobody is corked, and nothing is gathered, lent or owed.
    pub(super) fn is_idle(&self) -> bool {
        self.slot == NOBODY && self.len == 0 && self.lent.is_none() && self.owed.is_none()
    }

    fn lent_bytes(&self) -> usize {
        match (self.lent, self.offer) {
            (Some(head), Some((_, len))) => head.len + len,
            _ => 0,
        }
    }

    /// What is gathered counts as, whoever it is for.
    pub(super) const fn unit(&self) -> Unit {
        self.unit
    }

    /// The same, if it is for `slot`.
    pub(super) fn unit_for(&self, slot: u32) -> Unit {
        if self.slot == slot {
            self.unit
        } else {
            Unit::default()
        }
    }

    /// Whether `owner` is corked, as a member of `log`.
    #[inline]
    fn is_for(&self, owner: u64, log: LogId) -> bool {
        self.owner == owner && self.log == log && self.slot != NOBODY
    }

    /// One message of one frame was gathered or lent.
    #[inline]
    const fn count(&mut self) {
        self.unit.frames += 1;
        self.unit.messages += 1;
    }

    /// Nobody is corked any more. The unit that was gathered.
    fn end(&mut self) -> Unit {
        self.slot = NOBODY;
        std::mem::take(&mut self.unit)
    }
}

impl Output {
    /// From now on [`answer`](Self::answer) gathers up to `most` bytes of what goes to the client
    /// in `slot`, whom the caller calls `owner`, a member of a log; but not if anything waits for
    /// it already.
    #[inline]
    pub(crate) fn cork(&mut self, slot: u32, owner: u64, most: usize) {
        debug_assert!(self.cork.slot == NOBODY, "one client is served at a time");
        let client = &self.clients[slot as usize];
        let log = client.log;
        if log == LogId::NONE
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
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "on the straight path")]
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
        if !cork.is_for(owner, log) || cork.len + SHORT_HEAD_BYTES + body.len() > cork.limit {
            return false;
        }
        let free = &mut cork.buffer[cork.len..];
        // All of the short array: what is too much is written over.
        free[..SHORT_HEAD_BYTES].copy_from_slice(head);
        free[head_len..head_len + body.len()].copy_from_slice(body);
        cork.len += head_len + body.len();
        cork.count();
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
            || !cork.is_for(owner, log)
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
        cork.count();
        true
    }

    /// The application has returned: the head of the message that was offered, if that is to go
    /// back before all else. Both are to be written, one behind the other; then
    /// [`lent_taken`](Self::lent_taken) must follow.
    ///
    /// `payload` is the message once more: where something else came first it is copied.
    pub(crate) fn lent(&mut self, payload: &[u8]) -> Option<Head> {
        if self.cork.lent.is_none() {
            self.repay(payload);
        }
        self.cork.lent
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
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "on the straight path")]
    pub(crate) fn corked(&self, slot: u32) -> Option<&[u8]> {
        (self.cork.slot == slot).then_some(&self.cork.buffer[..self.cork.len])
    }

    /// The socket took all that was gathered.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "on the straight path")]
    pub(crate) fn cork_taken(&mut self, slot: u32) {
        debug_assert!(self.cork.slot == slot, "it was corked");
        let client = &mut self.clients[slot as usize];
        client.sent.bytes = client.sent.bytes.wrapping_add(self.cork.len as u64);
        let unit = self.cork.end();
        client.sent.count(unit);
        self.total.count(unit);
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
        let unit = self.cork.end();
        client.sent.count(unit);
        self.total.count(unit);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BacklogPolicy;
    use crate::output::LogLimits;
    use std::io::IoSlice;

    const OWNER: u64 = 7;
    const UNIT: Unit = Unit {
        frames: 1,
        messages: 1,
    };

    /// One member of a log, corked for up to `most` bytes.
    fn corked(most: usize) -> (Output, LogId) {
        let mut output = Output::new();
        let limits = LogLimits {
            soft_backlog_bytes: usize::MAX,
            hard_backlog_bytes: usize::MAX,
            policy: BacklogPolicy::Close,
        };
        let log = output.add_log(limits).expect("few logs");
        output.open(0);
        output.join(0, log);
        output.cork(0, OWNER, most);
        (output, log)
    }

    fn queued(output: &Output) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 8];
        let gathered = output.gather(0, &mut slices);
        let slices = slices[..gathered.slices].iter();
        slices.flat_map(|slice| slice.to_vec()).collect()
    }

    #[test]
    fn answers_lie_one_behind_the_other_and_only_for_who_is_corked() {
        let (mut output, log) = corked(1000);
        assert!(output.answer(OWNER, log, b"ab--------", 2, b"one"));
        assert!(output.answer(OWNER, log, b"c---------", 1, b"two"));
        assert!(
            !output.answer(OWNER + 1, log, b"----------", 1, b"x"),
            "another client"
        );
        let other = LogId::from_index(1);
        assert!(
            !output.answer(OWNER, other, b"----------", 1, b"x"),
            "another endpoint"
        );
        assert_eq!(output.corked(0), Some(&b"abonectwo"[..]));
        output.cork_taken(0);
        assert!(!output.answer(OWNER, log, b"----------", 1, b"x"), "nobody");
        assert_eq!((output.sent(0).bytes, output.sent(0).messages), (9, 2));
    }

    #[test]
    fn no_more_is_gathered_and_lent_than_was_said() {
        let (mut output, log) = corked(2 * LEND_BYTES);
        let message = [b'm'; LEND_BYTES];
        output.offer(&message);
        assert!(output.answer(OWNER, log, b"head------", 4, &message));
        let rest = 2 * LEND_BYTES - LEND_BYTES - 4 - SHORT_HEAD_BYTES;
        assert!(!output.answer(OWNER, log, b"----------", 2, &vec![0; rest + 1]));
        assert!(output.answer(OWNER, log, b"----------", 2, &vec![0; rest]));
    }

    #[test]
    fn only_the_message_that_was_offered_is_lent_and_only_as_the_first() {
        let (mut output, log) = corked(1 << 20);
        let (message, copy) = ([b'm'; LEND_BYTES], [b'm'; LEND_BYTES]);
        output.offer(&message);
        assert!(output.answer(OWNER, log, b"h---------", 1, &copy));
        assert_eq!(
            output.lent(&message).map(|head| head.len),
            None,
            "a copy of it"
        );
        output.offer(&message);
        assert!(
            output.answer(OWNER, log, b"h---------", 1, &message),
            "gathered"
        );
        assert!(output.lent(&message).is_none(), "not the first");
        assert_eq!(
            output.corked(0).map(<[u8]>::len),
            Some(2 * (1 + LEND_BYTES))
        );
    }

    #[test]
    fn what_was_lent_keeps_its_place_whatever_follows_before_it_is_there() {
        let (mut output, log) = corked(1 << 20);
        let message = [b'm'; LEND_BYTES];
        output.offer(&message);
        assert!(output.answer(OWNER, log, b"head------", 4, &message));
        output.broadcast(log, UNIT, Bytes::Parts(b"", b"broadcast"));
        output.send(0, UNIT, Bytes::Parts(b"", b"after"));
        assert!(output.lent(&message).is_none());
        let expected = [b"head", &message[..], b"broadcast", b"after"].concat();
        assert_eq!(queued(&output), expected);
        assert_eq!(output.backlog_bytes(0), expected.len() as u64);
    }

    #[test]
    fn what_a_socket_leaves_of_what_was_lent_is_copied() {
        let (mut output, log) = corked(1 << 20);
        let message = [b'm'; LEND_BYTES];
        output.offer(&message);
        assert!(output.answer(OWNER, log, b"head------", 4, &message));
        assert!(output.answer(OWNER, log, b"----------", 0, b"after"));
        let head = output.lent(&message).expect("lent");
        assert_eq!(head.as_bytes(), b"head");
        output.lent_taken(&message, 6);
        let expected = [&message[2..], b"after"].concat();
        assert_eq!(queued(&output), expected);
        assert_eq!(output.sent(0).bytes, 6);
    }
}
