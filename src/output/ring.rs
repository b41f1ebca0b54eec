//! The members of a log, in order of joining, and who of them is to be visited next.
//!
//! ```text
//!   0 ........ kept ........ next ................ len
//!   visited,      left behind     to be visited before the wrap
//!   moved down    (all gone)
//! ```
//!
//! Each step moves the member at `next` down to `kept`, so the gaps of those who left are
//! closed as the ring goes round: never all at once, which would stop a server of a million
//! members. After a broadcast `remaining` steps lead past every member.

mod invariants;

/// Stands for one who left.
const GONE: u32 = u32::MAX;

/// Steps that each leaving pays for while no broadcast drives the ring. With four, a revolution
/// of `n` entries makes `n / 4` new gaps, and so there are always fewer gaps than members.
const STEPS_PER_LEAVE: usize = 4;

/// One member: who it is, and the sequence number of the first message that it lacks, of which
/// the lower half is enough: a log never holds 2^32 messages.
#[derive(Clone, Copy, Debug)]
struct Member {
    slot: u32,
    cursor: u32,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Ring {
    members: Vec<Member>,
    kept: usize,
    next: usize,
    /// Steps until all members were visited since the last broadcast. May be too many by the
    /// gaps, never too few.
    remaining: usize,
    live_count: usize,
    /// Steps that those who left while the ring rested still owe.
    owed: usize,
}

impl Ring {
    /// Adds a member that lacks nothing before `cursor`; returns where it stands.
    pub(super) fn join(&mut self, slot: u32, cursor: u32) -> u32 {
        let index = u32::try_from(self.members.len())
            .expect("fewer gaps than members, and those have 24 bits");
        self.members.push(Member { slot, cursor });
        self.live_count += 1;
        if self.remaining > 0 {
            // It may stand between `next` and one that is still to be visited.
            self.remaining += 1;
        }
        index
    }

    /// Removes the member that stands at `index`.
    pub(super) fn leave(&mut self, index: u32) {
        self.members[index as usize].slot = GONE;
        self.live_count -= 1;
        self.owed += STEPS_PER_LEAVE;
        if self.live_count == 0 {
            self.members.clear();
            (self.kept, self.next, self.remaining, self.owed) = (0, 0, 0, 0);
        }
    }

    /// The first message that the member at `index` lacks.
    #[inline]
    pub(super) fn cursor(&self, index: u32) -> u32 {
        self.members[index as usize].cursor
    }

    /// The member at `index` lacks nothing before `cursor`.
    #[inline]
    pub(super) fn set_cursor(&mut self, index: u32, cursor: u32) {
        self.members[index as usize].cursor = cursor;
    }

    /// Every member is to be visited, from here on once round.
    pub(super) fn restart(&mut self) {
        self.remaining = self.members.len();
    }

    /// Whether some member was not visited since the last broadcast.
    pub(super) const fn is_pending(&self) -> bool {
        self.remaining > 0
    }

    /// Whether the next step begins a revolution; then [`wrap`](Self::wrap) must come first.
    pub(super) fn at_end(&self) -> bool {
        self.next == self.members.len()
    }

    /// Ends a revolution: every member that was there at its begin has been visited.
    pub(super) fn wrap(&mut self) {
        self.members.truncate(self.kept);
        (self.kept, self.next) = (0, 0);
        self.remaining = self.remaining.min(self.members.len());
    }

    /// Who is to be visited next, and the first message that it lacks; `None` for a gap.
    #[inline]
    pub(super) fn peek(&self) -> Option<(u32, u32)> {
        let member = self.members[self.next];
        (member.slot != GONE).then_some((member.slot, member.cursor))
    }

    /// Goes on over the member that [`peek`](Self::peek) gave, which lacks nothing before `cursor`
    /// any more. Returns the place where it stands from now on, if that is another.
    #[inline]
    pub(super) fn pass(&mut self, cursor: u32) -> Option<u32> {
        self.members[self.next].cursor = cursor;
        if self.kept < self.next {
            return self.step().map(|(_, index)| index);
        }
        // Without gaps before it, it stays.
        self.remaining = self.remaining.saturating_sub(1);
        self.next += 1;
        self.kept += 1;
        None
    }

    /// Goes on by one. Returns the member that was there, with the place where it stands from
    /// now on; `None` for a gap.
    pub(super) fn step(&mut self) -> Option<(u32, u32)> {
        self.remaining = self.remaining.saturating_sub(1);
        let member = self.members[self.next];
        self.next += 1;
        if member.slot == GONE {
            return None;
        }
        self.members[self.next - 1].slot = GONE;
        self.members[self.kept] = member;
        self.kept += 1;
        Some((
            member.slot,
            u32::try_from(self.kept - 1).expect("not beyond where it stood"),
        ))
    }

    /// Steps to be made although nobody lacks anything, to close gaps; they count as made.
    pub(super) fn take_owed(&mut self) -> usize {
        let owed = std::mem::take(&mut self.owed);
        if self.remaining > 0 || self.members.len() == self.live_count {
            0
        } else {
            owed.min(2 * self.members.len())
        }
    }

    /// How many members there are.
    pub(super) const fn live_count(&self) -> usize {
        self.live_count
    }

    /// Members and gaps.
    #[cfg(test)]
    pub(super) fn entry_count(&self) -> usize {
        self.members.len()
    }

    /// The members in order of joining.
    pub(super) fn slots(&self) -> impl Iterator<Item = u32> {
        self.members
            .iter()
            .map(|member| member.slot)
            .filter(|&slot| slot != GONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goes round until nothing is pending; returns whom it met, and keeps `places` current.
    fn visit_all(ring: &mut Ring, places: &mut [u32]) -> Vec<u32> {
        let mut met = Vec::new();
        while ring.is_pending() {
            if ring.at_end() {
                ring.wrap();
            }
            if let Some((slot, index)) = ring.step() {
                places[slot as usize] = index;
                met.push(slot);
            }
        }
        met
    }

    fn ring_of(count: u32) -> (Ring, Vec<u32>) {
        let mut ring = Ring::default();
        let places = (0..count).map(|slot| ring.join(slot, 0)).collect();
        (ring, places)
    }

    fn steps(ring: &mut Ring, places: &mut [u32], count: usize) {
        for _ in 0..count {
            if ring.at_end() {
                ring.wrap();
            }
            if let Some((slot, index)) = ring.step() {
                places[slot as usize] = index;
            }
        }
    }

    #[test]
    fn a_broadcast_at_any_place_leads_past_every_member_once() {
        for before in 0..12 {
            let (mut ring, mut places) = ring_of(5);
            steps(&mut ring, &mut places, before);
            ring.restart();
            let mut met = visit_all(&mut ring, &mut places);
            met.sort_unstable();
            assert_eq!(met, [0, 1, 2, 3, 4], "after {before} steps");
        }
    }

    #[test]
    fn nobody_is_missed_when_others_leave_and_join_during_a_revolution() {
        for begin in 0..12 {
            for at in 0..6 {
                for leaver in 0..5 {
                    let (mut ring, mut places) = ring_of(5);
                    places.push(0);
                    steps(&mut ring, &mut places, begin);
                    ring.restart();
                    steps(&mut ring, &mut places, 2);
                    ring.restart();
                    let mut met = Vec::new();
                    for _ in 0..at {
                        if ring.is_pending() {
                            if ring.at_end() {
                                ring.wrap();
                            }
                            let (slot, index) = ring.step().expect("nobody left yet");
                            places[slot as usize] = index;
                            met.push(slot);
                        }
                    }
                    ring.leave(places[leaver]);
                    places[5] = ring.join(5, 0);
                    met.extend(visit_all(&mut ring, &mut places));
                    for slot in (0..5).filter(|&slot| slot as usize != leaver) {
                        assert!(
                            met.contains(&slot),
                            "{slot} missed: begin {begin}, at {at}, leaver {leaver}"
                        );
                    }
                    ring.restart();
                    let mut all = visit_all(&mut ring, &mut places);
                    all.sort_unstable();
                    all.dedup(); // a gap may lead past somebody twice
                    assert_eq!((all.len(), all.contains(&5)), (5, true));
                }
            }
        }
    }

    #[test]
    fn members_keep_their_order_while_gaps_close() {
        let (mut ring, mut places) = ring_of(9);
        for leaver in [0, 3, 4, 8] {
            ring.leave(places[leaver]);
        }
        ring.restart();
        for _ in 0..30 {
            assert_eq!(ring.slots().collect::<Vec<_>>(), [1, 2, 5, 6, 7]);
            steps(&mut ring, &mut places, 1);
        }
        for slot in [1, 2, 5, 6, 7_usize] {
            assert_eq!(ring.members[places[slot] as usize].slot as usize, slot);
        }
        assert!(ring.members.len() == 5);
    }

    #[test]
    fn a_revolution_is_no_longer_than_the_members_that_are_left() {
        let (mut ring, mut places) = ring_of(100);
        for &place in &places[10..90] {
            ring.leave(place);
        }
        steps(&mut ring, &mut places, 90);
        ring.restart();
        let mut count = 0;
        while ring.is_pending() {
            steps(&mut ring, &mut places, 1);
            count += 1;
        }
        assert_eq!(count, 30, "ten up to the wrap, then all twenty");
    }

    #[test]
    fn gaps_stay_few_although_nobody_broadcasts() {
        let (mut ring, mut places) = ring_of(100);
        for turn in 0..10_000_u32 {
            let slot = turn * 37 % 100;
            ring.leave(places[slot as usize]);
            places[slot as usize] = ring.join(slot, 0);
            let owed = ring.take_owed();
            steps(&mut ring, &mut places, owed);
            assert!(
                ring.members.len() < 200,
                "{} entries for 100 members",
                ring.members.len()
            );
        }
        assert_eq!(ring.live_count(), 100);
    }

    #[test]
    fn a_member_costs_8_bytes() {
        assert_eq!(size_of::<Member>(), 8);
    }
}
