//! Messages queued beyond the hard limit for a client whose socket has not been asked yet.
//!
//! What a handler sends in one callback waits until that returns, so the queue of a client that
//! reads well may be long, too. A backlog is only what its socket refuses: when it does, the
//! messages noted here are judged as if each had been queued then.

use std::collections::HashMap;

use super::{BLOCKED, CUT, Output, Rest, Unit};

/// One message, by the place of its first byte among all that its client is sent.
#[derive(Clone, Copy, Debug)]
struct Noted {
    begin: u64,
    unit: Unit,
}

/// What is to be cut off a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// Bytes that stay.
    pub(super) keep: u64,
    /// What the rest counted as.
    pub(super) dropped: Unit,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Unjudged {
    by_slot: HashMap<u32, Vec<Noted>>,
}

impl Unjudged {
    pub(super) fn note(&mut self, slot: u32, begin: u64, unit: Unit) {
        self.by_slot
            .entry(slot)
            .or_default()
            .push(Noted { begin, unit });
    }

    /// Judges all that is noted of `slot`, of which the socket took `taken` bytes: the first
    /// message before which more than `limit` waits is one too many, and so are those behind
    /// it, since nothing was taken in between.
    pub(super) fn judge(&mut self, slot: u32, taken: u64, limit: u64) -> Option<Cut> {
        if self.by_slot.is_empty() {
            return None;
        }
        let noted = self.by_slot.remove(&slot)?;
        // Begun already: less than nothing waits before it.
        let waits = |noted: &Noted| {
            noted
                .begin
                .wrapping_sub(taken)
                .cast_signed()
                .max(0)
                .cast_unsigned()
        };
        let first = noted
            .iter()
            .position(|noted| noted.unit.messages > 0 && waits(noted) > limit)?;
        let mut dropped = Unit::default();
        for noted in &noted[first..] {
            dropped.frames += noted.unit.frames;
            dropped.messages += noted.unit.messages;
        }
        Some(Cut {
            keep: waits(&noted[first]),
            dropped,
        })
    }

    pub(super) fn forget(&mut self, slot: u32) {
        if !self.by_slot.is_empty() {
            self.by_slot.remove(&slot);
        }
    }

    /// Forgets the slots that `is_done` says.
    pub(super) fn forget_if(&mut self, is_done: impl Fn(u32) -> bool) {
        if !self.by_slot.is_empty() {
            self.by_slot.retain(|slot, _| !is_done(*slot));
        }
    }

    /// Whether something is noted of `slot`.
    pub(super) fn is_noted(&self, slot: u32) -> bool {
        self.by_slot.contains_key(&slot)
    }

    /// Whether nothing is noted of anybody.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.by_slot.is_empty()
    }
}

/// Noting and judging.
impl Output {
    /// Notes a message that would be one too many if the socket took nothing.
    #[inline]
    pub(super) fn note_unjudged(&mut self, slot: u32, unit: Unit, len: usize) {
        let client = &self.clients[slot as usize];
        let Some(log) = self.logs.get(usize::from(client.log.0)) else {
            return;
        };
        let queued = client.queue.bytes();
        let is_over = !client.has(BLOCKED) && queued > log.limits.hard_backlog_bytes as u64;
        if is_over && len > 0 && !self.store.has_source(&client.queue) {
            let begin = client.sent.bytes.wrapping_add(queued);
            self.unjudged.note(slot, begin, unit);
        }
    }

    /// The same for each broadcast that a client takes over from its log.
    pub(super) fn note_unjudged_rest(&mut self, slot: u32, rest: Rest) {
        let client = &self.clients[slot as usize];
        let log = &self.logs[usize::from(client.log.0)];
        let queued = client.queue.bytes();
        let limit = log.limits.hard_backlog_bytes as u64;
        let fits = queued + rest.bytes() <= limit;
        if client.has(BLOCKED) || rest.is_cut || fits || self.store.has_source(&client.queue) {
            return;
        }
        let cursor = log.cursor(client.member);
        for sequence in log.accepted(cursor, queued)..log.end_sequence() {
            let (mark, next) = (log.mark(sequence), log.mark(sequence + 1));
            let begin = client
                .sent
                .bytes
                .wrapping_add(queued + mark.position - rest.from.position);
            self.unjudged.note(slot, begin, mark.units_until(next));
        }
    }

    /// Cuts off what was queued beyond the hard limit while the client was not blocked.
    pub(super) fn judge_unjudged(&mut self, slot: u32) {
        let client = &mut self.clients[slot as usize];
        let Some(log) = self.logs.get(usize::from(client.log.0)) else {
            return;
        };
        let limit = log.limits.hard_backlog_bytes as u64;
        let Some(cut) = self.unjudged.judge(slot, client.sent.bytes, limit) else {
            return;
        };
        self.store.truncate(&mut client.queue, cut.keep);
        client.sent.frames -= u64::from(cut.dropped.frames);
        client.sent.messages -= u64::from(cut.dropped.messages);
        client.flags |= CUT;
        self.drop_counted(cut.dropped);
        self.overflow(slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: Unit = Unit {
        frames: 2,
        messages: 1,
    };
    const CONTROL: Unit = Unit {
        frames: 1,
        messages: 0,
    };

    #[test]
    fn the_first_message_too_many_takes_all_behind_it_along() {
        let mut unjudged = Unjudged::default();
        for (begin, unit) in [
            (150, MESSAGE),
            (180, CONTROL),
            (200, MESSAGE),
            (220, CONTROL),
        ] {
            unjudged.note(3, begin, unit);
        }
        let cut = unjudged.judge(3, 60, 100);
        let dropped = Unit {
            frames: 3,
            messages: 1,
        };
        assert_eq!(cut, Some(Cut { keep: 140, dropped }));
        assert_eq!(unjudged.judge(3, 60, 100), None, "judged once");
    }

    #[test]
    fn what_the_socket_took_is_no_backlog_and_control_frames_are_exempt() {
        let mut unjudged = Unjudged::default();
        unjudged.note(0, 150, MESSAGE);
        unjudged.note(0, 400, CONTROL);
        assert_eq!(unjudged.judge(0, 200, 100), None);
        unjudged.note(0, 5, MESSAGE);
        assert_eq!(unjudged.judge(0, 10_u64.wrapping_neg(), 15), None);
    }
}
