//! That the ring knows its members, and leads past whoever lacks something.

use super::{GONE, Ring};

impl Ring {
    /// See the module.
    pub(in crate::output) fn check_invariants(&self) {
        assert_eq!(self.slots().count(), self.live_count, "members of a ring");
        assert!(self.kept <= self.next && self.next <= self.members.len());
        let between = &self.members[self.kept..self.next];
        assert!(between.iter().all(|member| member.slot == GONE));
        assert!(self.remaining <= self.members.len(), "steps of a ring");
    }

    /// Who stands at `index`.
    pub(in crate::output) fn slot_at(&self, index: u32) -> Option<u32> {
        let member = self.members.get(index as usize)?;
        (member.slot != GONE).then_some(member.slot)
    }

    /// Whether the ring, without another broadcast, leads past the member at `index` again.
    pub(in crate::output) fn is_to_visit(&self, index: u32) -> bool {
        let (index, to_end) = (index as usize, self.members.len() - self.next);
        let steps = match index.checked_sub(self.next) {
            Some(steps) => steps,
            None => to_end + index,
        };
        steps < self.remaining
    }
}
