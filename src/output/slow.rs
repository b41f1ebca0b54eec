//! Who is blocked: how many, and who of them has the longest backlog.
//!
//! Nobody walks through all clients for that. A client is listed when its socket is full for the first
//! time, and taken off when somebody looks and it is not any more; each new entry has two old ones
//! looked at, so the list is about as long as there are blocked clients, whether it is ever asked for or
//! not.

use super::{BLOCKED, Client, Output, SLOW};
use std::collections::VecDeque;

/// Entries that one look visits: 4,096 take some 20 µs.
const VISITS: usize = 4096;
/// Old entries that are looked at for each new one.
const TIDIED: usize = 2;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Slow {
    blocked_count: u64,
    /// Those that are or were blocked, each once.
    listed: VecDeque<u32>,
    /// Who had the longest backlogs at the last look, which may visit others.
    longest: Vec<u32>,
}

impl Slow {
    pub(super) fn note_blocked(&mut self, slot: u32, clients: &mut [Client]) {
        self.blocked_count += 1;
        let client = &mut clients[slot as usize];
        if client.has(SLOW) {
            return;
        }
        client.flags |= SLOW;
        for _ in 0..TIDIED {
            self.turn(clients);
        }
        self.listed.push_back(slot);
    }

    pub(super) const fn note_unblocked(&mut self) {
        self.blocked_count -= 1;
    }

    /// Looks at the first entry, which goes behind all others or off the list. Who it is, if it is blocked.
    fn turn(&mut self, clients: &mut [Client]) -> Option<u32> {
        let slot = self.listed.pop_front()?;
        let client = &mut clients[slot as usize];
        if !client.has(BLOCKED) {
            client.flags &= !SLOW;
            return None;
        }
        self.listed.push_back(slot);
        Some(slot)
    }

    /// Who is listed, for who checks that.
    pub(super) fn listed(&self) -> impl Iterator<Item = u32> {
        self.listed.iter().copied()
    }
}

impl Output {
    /// How many clients are blocked.
    pub(crate) const fn blocked_count(&self) -> u64 {
        self.slow.blocked_count
    }

    /// The blocked clients with the longest backlogs and these, the longest first: at most `count` of
    /// those that `is_meant`. Beyond [`VISITS`] blocked clients they are the longest of as many, whose turn it
    /// is, and of those that were found before.
    pub(crate) fn slowest(
        &mut self,
        count: usize,
        is_meant: impl Fn(u32) -> bool,
    ) -> Vec<(u32, u64)> {
        let mut found = std::mem::take(&mut self.slow.longest);
        for _ in 0..self.slow.listed.len().min(VISITS) {
            found.extend(self.slow.turn(&mut self.clients));
        }
        found.sort_unstable();
        found.dedup();
        let known = found.into_iter();
        let known = known.filter(|slot| self.is_blocked(*slot) && is_meant(*slot));
        let mut slowest: Vec<_> = known.map(|slot| (slot, self.backlog_bytes(slot))).collect();
        slowest.sort_unstable_by_key(|(slot, bytes)| (u64::MAX - bytes, *slot));
        slowest.truncate(count);
        self.slow.longest = slowest.iter().map(|(slot, _)| *slot).collect();
        slowest
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Bytes, Unit};
    use super::*;

    /// Clients, of which the first `blocked` are so and have that many bytes more than the one before.
    fn output(clients: u32, blocked: u32) -> Output {
        let mut output = Output::new();
        for slot in 0..clients {
            output.open(slot);
        }
        for slot in 0..blocked {
            output.block(slot);
            output.send(
                slot,
                Unit::default(),
                Bytes::Parts(b"", &vec![0; slot as usize + 1]),
            );
        }
        output
    }

    #[test]
    fn the_longest_backlogs_come_first_and_who_is_not_blocked_not_at_all() {
        let mut output = output(10, 6);
        assert_eq!(output.blocked_count(), 6);
        assert_eq!(output.slowest(3, |_| true), [(5, 6), (4, 5), (3, 4)]);
        output.unblock(5);
        output.block(4); // once more
        assert_eq!(
            output.slowest(3, |slot| slot != 3),
            [(4, 5), (2, 3), (1, 2)]
        );
        output.close(4);
        assert_eq!(output.blocked_count(), 4);
        assert_eq!(output.slowest(1, |_| true), [(3, 4)]);
    }

    #[test]
    fn who_was_found_is_found_again_though_others_have_their_turn() {
        let many = u32::try_from(3 * VISITS).expect("few");
        let mut output = output(many, many);
        for _ in 0..3 {
            output.slowest(1, |_| true);
        }
        let longest = [(many - 1, u64::from(many))];
        for _ in 0..3 {
            assert_eq!(output.slowest(1, |_| true), longest);
        }
    }

    #[test]
    fn who_left_the_list_is_found_again_and_who_is_on_it_is_there_once() {
        let mut output = output(8, 8);
        output.unblock(7);
        assert_eq!(output.slowest(1, |_| true), [(6, 7)]);
        output.block(7);
        assert_eq!(output.slowest(1, |_| true), [(7, 8)]);
        // Who is so again, and who comes to the slot of one who was, before anybody looks.
        for slot in [3, 4] {
            output.unblock(slot);
            output.block(slot);
        }
        for slot in [5, 6] {
            output.close(slot);
            output.open(slot);
            output.block(slot);
        }
        let mut listed: Vec<u32> = output.slow.listed().collect();
        listed.sort_unstable();
        assert_eq!(listed, [0, 1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn the_list_does_not_grow_with_those_who_were_blocked_before() {
        let mut output = output(1000, 0);
        for slot in 0..1000 {
            output.block(slot);
            output.unblock(slot);
        }
        assert!(
            output.slow.listed.len() <= 2,
            "{}",
            output.slow.listed.len()
        );
        output.slowest(1, |_| true);
        assert_eq!(output.slow.listed.len(), 0);
    }
}
