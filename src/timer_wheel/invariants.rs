//! That each timer is in one list, the one in which its time is looked for.

use super::{LEVELS, LISTS, NONE, SLOTS, TimerKey, TimerWheel, list_at};
use crate::moment::Moment;

impl<T> TimerWheel<T> {
    /// The pending timers: key, deadline and value.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (TimerKey, Moment, &T)> {
        let entries = (0..).zip(&self.entries);
        entries.filter_map(|(index, entry)| {
            let key = TimerKey::new(index, entry.generation);
            Some((key, entry.deadline(), entry.value.as_ref()?))
        })
    }

    /// See the module. For tests.
    #[doc(hidden)]
    pub fn check_invariants(&self) {
        let mut linked = 0;
        for list_index in 0..LISTS {
            linked += self.check_list(list_index);
        }
        assert_eq!(linked, self.len, "timers in lists");
        assert_eq!(self.iter().count(), self.len, "timers with a value");
        for level in 0..LEVELS {
            let is_occupied = self.occupied_levels >> level & 1 == 1;
            assert_eq!(is_occupied, self.occupied_slots[level] != 0);
        }
        let (mut free, mut count) = (self.free, 0);
        while free != NONE {
            let entry = &self.entries[free as usize];
            assert!(entry.value.is_none(), "a free place has a timer");
            count += 1;
            assert!(count <= self.entries.len(), "free places in a circle");
            free = entry.next;
        }
        assert!(count + self.len <= self.entries.len(), "places");
        assert!(
            self.len == 0 || self.next_deadline().is_some(),
            "nobody asks"
        );
    }

    /// One list; how many timers it has.
    fn check_list(&self, list_index: usize) -> usize {
        let list = &self.lists[list_index];
        let (level, slot) = (list_index / SLOTS, list_index % SLOTS);
        let is_occupied = self.occupied_slots[level] >> slot & 1 == 1;
        assert_eq!(is_occupied, list.head != NONE, "list {list_index}");
        let (mut index, mut previous, mut count) = (list.head, NONE, 0);
        while index != NONE {
            let entry = &self.entries[index as usize];
            assert!(entry.value.is_some() && entry.list() == list_index);
            assert_eq!(entry.previous, previous, "list {list_index}");
            let deadline = entry.deadline();
            assert!(deadline >= self.position, "before the position");
            assert!(deadline >= list.earliest, "earlier than the earliest");
            if self.sorting != Some(list_index) {
                assert_eq!(list_at(level, deadline), list_index, "at {deadline:?}");
            }
            count += 1;
            (previous, index) = (index, entry.next);
        }
        assert_eq!(list.tail, previous, "the end of list {list_index}");
        count
    }
}
