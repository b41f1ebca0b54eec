//! Deadlines to keys: a hierarchical timer wheel whose ticks are the milliseconds of a [`Moment`].
//!
//! Owns who waits for which tick. Reads no clock (`now` is passed in), calls nobody, and
//! does not know what its values mean.
//!
//! ```text
//!             slot 0     1     2    ...    63      a slot spans
//!  level 0      [ ]     [ ]   [a]         [ ]      1 ms
//!  level 1      [ ]     [b]   [ ]         [c]      64 ms
//!  level 2      [ ]     [ ]   [d]         [ ]      4,096 ms        ... 8 levels: 48 bits
//! ```
//!
//! Each slot is a list in order of insertion. A timer lies at the level of the highest
//! six-bit digit in which its tick differs from the wheel's position. Four things follow:
//! timers of one tick always share a list, so their order is kept; a level's slots all come
//! after those of the level below; the first timer is in the first occupied slot of the lowest
//! occupied level, which bitmaps find however long the gap; and no list is due "one round
//! later". When the position enters a slot of a higher level, that slot is *sorted* into the
//! levels below.
//!
//! Cost: insert and cancel touch one list. A timer is moved at most once per level; as a slot
//! is entered at its earliest timer rather than at its border, one that is alone is moved once.
//! Memory: 20 bytes a timer and an `Option<T>`, in all a multiple of 8: 24 bytes if the option
//! takes four. And 8 KiB for the lists. It grows to the most timers at once and stays.

mod invariants;

use crate::moment::Moment;
use std::num::{NonZeroU32, NonZeroU64};

/// Bits of a tick that one level resolves: 64 slots, so that a `u64` says which are occupied.
const BITS: usize = 6;
const SLOTS: usize = 1 << BITS;
/// Enough for every [`Moment`], so that no delay is too long and there is no overflow list.
const LEVELS: usize = (Moment::NEVER.as_millis().ilog2() as usize + 1).div_ceil(BITS);
const LISTS: usize = LEVELS * SLOTS;

/// Moves between two answers of `None` while crowded slots are sorted: few enough to poll in
/// between. With a million timers it is some 25 µs where they lie in order, and ten times that
/// where each move misses every cache. Tests take a number that they reach at once.
const MOVES_AT_ONCE: u32 = if cfg!(test) { 8 } else { 1024 };

/// The end of a list.
const NONE: u32 = u32::MAX;

/// Names one timer of one wheel: place and generation. The key of a timer that expired or was
/// cancelled never names a later one: a place whose generations are spent is not used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerKey(NonZeroU64);

impl TimerKey {
    #[inline]
    fn new(index: u32, generation: NonZeroU32) -> Self {
        Self(NonZeroU64::from(generation) | u64::from(index) << 32)
    }

    #[inline]
    const fn index(self) -> u32 {
        (self.0.get() >> 32) as u32
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
    const fn generation(self) -> u32 {
        self.0.get() as u32
    }
}

/// A timer, or a free place for one. Free places are chained by `next`.
#[derive(Debug)]
struct Entry<T> {
    /// The tick, 48 bits, above the list it is in, 16 bits: level times [`SLOTS`] plus slot.
    tick_and_list: u64,
    previous: u32,
    next: u32,
    generation: NonZeroU32,
    /// `None`: the place is free.
    value: Option<T>,
}

impl<T> Entry<T> {
    #[inline]
    const fn deadline(&self) -> Moment {
        Moment::from_millis(self.tick_and_list >> 16)
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the lower 16 bits")]
    const fn list(&self) -> usize {
        self.tick_and_list as u16 as usize
    }

    #[inline]
    const fn set_deadline_and_list(&mut self, deadline: Moment, list: usize) {
        self.tick_and_list = deadline.as_millis() << 16 | list as u64;
    }
}

/// One slot: its timers in order of insertion.
#[derive(Clone, Copy, Debug)]
struct List {
    head: u32,
    tail: u32,
    /// Not later than any timer in the list, and inside the slot. Cancelling does not raise it:
    /// that costs at most one needless wake-up, when the slot is entered and sorted.
    earliest: Moment,
}

impl List {
    const EMPTY: Self = Self {
        head: NONE,
        tail: NONE,
        earliest: Moment::NEVER,
    };
}

/// Timers, each a deadline and a `T`.
#[derive(Debug)]
pub struct TimerWheel<T> {
    /// What the wheel has reached. No timer lies before it; those at it are due.
    position: Moment,
    /// Before this tick [`pop_expired`](Self::pop_expired) finds nothing: no timer is due and no
    /// slot is entered. Cancelling does not raise it: that costs one look in vain. Nor does
    /// anything else while work is left: then it is not after the position.
    idle_until: u64,
    entries: Vec<Entry<T>>,
    /// Head of the chain of free entries.
    free: u32,
    len: usize,
    lists: Box<[List; LISTS]>,
    /// Per level, which slots are not empty.
    occupied_slots: [u64; LEVELS],
    /// Which levels are not empty.
    occupied_levels: u8,
    /// The list being sorted into lower levels. The position is inside its slot; nothing is
    /// handed out, and newcomers for that slot queue up behind, until it is empty.
    sorting: Option<usize>,
    /// Moves left until `pop_expired` answers `None` to let others run; all of them while idle.
    moves_left: u32,
}

impl<T> Default for TimerWheel<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> TimerWheel<T> {
    /// An empty wheel that stands at [`Moment::START`].
    #[must_use]
    pub fn new() -> Self {
        Self {
            position: Moment::START,
            idle_until: u64::MAX,
            entries: Vec::new(),
            free: NONE,
            len: 0,
            lists: Box::new([List::EMPTY; LISTS]),
            occupied_slots: [0; LEVELS],
            occupied_levels: 0,
            sorting: None,
            moves_left: MOVES_AT_ONCE,
        }
    }

    /// Makes room for `additional` more timers, so that inserting them does not allocate.
    pub fn reserve(&mut self, additional: usize) {
        let free = self.entries.len() - self.len;
        self.entries.reserve(additional.saturating_sub(free));
    }

    /// How many timers are pending.
    #[inline]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether no timer is pending.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a timer. One whose deadline is past is due at the next
    /// [`pop_expired`](Self::pop_expired), after those that are due already.
    ///
    /// # Panics
    ///
    /// With 2^32 - 1 timers pending (96 GiB of them, or more).
    pub fn insert(&mut self, deadline: Moment, value: T) -> TimerKey {
        let deadline = deadline.max(self.position);
        let level = self.level_for(deadline);
        self.idle_until = self.idle_until.min(slot_begin(deadline, level));
        let list = match self.sorting {
            Some(sorted) if level < sorted / SLOTS => sorted,
            _ => list_at(level, deadline),
        };
        let (index, generation) = self.allocate(value);
        self.len += 1;
        self.link(index, deadline, list);
        TimerKey::new(index, generation)
    }

    /// Removes a timer; its value, or `None` if it expired or was cancelled before.
    pub fn cancel(&mut self, key: TimerKey) -> Option<T> {
        let entry = self.entries.get_mut(key.index() as usize)?;
        if entry.generation.get() != key.generation() {
            return None;
        }
        let value = entry.value.take()?;
        self.unlink(key.index());
        self.release(key.index());
        Some(value)
    }

    /// The value of a pending timer.
    #[inline]
    #[must_use]
    pub fn get(&self, key: TimerKey) -> Option<&T> {
        self.entry(key)?.value.as_ref()
    }

    /// When a pending timer is due: its deadline, or where the wheel stood if that was later.
    #[inline]
    #[must_use]
    pub fn deadline_of(&self, key: TimerKey) -> Option<Moment> {
        let entry = self.entry(key)?;
        // Without a value it is a place whose generations are spent.
        entry.value.as_ref()?;
        Some(entry.deadline())
    }

    /// When [`pop_expired`](Self::pop_expired) should be called next: at the very tick of the first
    /// timer, not at the border of its slot. Only if that one was cancelled it may be earlier, never
    /// later. `None`: no timer is pending.
    ///
    /// It is not after the `now` of the last call as long as work for that `now` is left.
    #[inline]
    #[must_use]
    pub fn next_deadline(&self) -> Option<Moment> {
        match self.sorting {
            Some(_) => Some(self.position),
            None => Some(self.lists[self.first_list()?].earliest),
        }
    }

    /// Removes and returns the next timer whose tick has come: by tick, then in order of
    /// insertion. Call it again, in slices of any size; inserting and cancelling between the
    /// calls is fine.
    ///
    /// `None`: nothing is left for `now`, or a crowded slot is being sorted and others should have
    /// their turn; then [`next_deadline`](Self::next_deadline) is not after `now`.
    #[inline]
    pub fn pop_expired(&mut self, now: Moment) -> Option<(TimerKey, T)> {
        // A `now` before that of an earlier call finds what is due already, no more.
        let due = now.max(self.position);
        if due.as_millis() < self.idle_until {
            self.position = due;
            return None;
        }
        self.pop_due(due)
    }

    /// Drops all timers. Their keys stay dead.
    pub fn clear(&mut self) {
        self.lists.fill(List::EMPTY);
        self.occupied_slots = [0; LEVELS];
        self.occupied_levels = 0;
        self.sorting = None;
        let mut index = 0;
        while let Some(entry) = self.entries.get_mut(index as usize) {
            if entry.value.take().is_some() {
                self.release(index);
            }
            index += 1;
        }
    }

    /// The entry that `key` names or, if its generations are spent, named last.
    #[inline]
    fn entry(&self, key: TimerKey) -> Option<&Entry<T>> {
        self.entries
            .get(key.index() as usize)
            .filter(|entry| entry.generation.get() == key.generation())
    }

    /// [`pop_expired`](Self::pop_expired) where there may be something to do up to `due`. Apart, so
    /// that the call which finds nothing has no registers to save.
    #[inline(never)]
    fn pop_due(&mut self, due: Moment) -> Option<(TimerKey, T)> {
        while self.sort() {
            let Some(list) = self.first_list() else {
                return self.rest_at(due, u64::MAX);
            };
            let level = list / SLOTS;
            let earliest = self.lists[list].earliest;
            let begin = slot_begin(earliest, level);
            if begin > due.as_millis() {
                return self.rest_at(due, begin);
            }
            // Not the border of the slot: the nearer the position, the fewer moves to come.
            self.position = earliest.min(due);
            if level == 0 {
                return self.pop_front(list);
            }
            self.sorting = Some(list);
        }
        self.moves_left = MOVES_AT_ONCE;
        None
    }

    /// Nothing is due up to `now`: the wheel stands there, and is idle until a slot begins.
    const fn rest_at(&mut self, now: Moment, idle_until: u64) -> Option<(TimerKey, T)> {
        self.position = now;
        self.idle_until = idle_until;
        self.moves_left = MOVES_AT_ONCE;
        None
    }

    /// Goes on with the list being sorted. False if the moves ran out before its end.
    fn sort(&mut self) -> bool {
        while let Some(list) = self.sorting {
            if self.moves_left == 0 {
                return false;
            }
            self.moves_left -= 1;
            let index = self.unlink_first(list);
            let deadline = self.entries[index as usize].deadline();
            self.link(index, deadline, list_at(self.level_for(deadline), deadline));
        }
        true
    }

    fn pop_front(&mut self, list: usize) -> Option<(TimerKey, T)> {
        let index = self.unlink_first(list);
        let entry = &mut self.entries[index as usize];
        let key = TimerKey::new(index, entry.generation);
        let value = entry.value.take()?;
        self.release(index);
        Some((key, value))
    }

    /// The list of the earliest timer.
    #[inline]
    const fn first_list(&self) -> Option<usize> {
        if self.occupied_levels == 0 {
            return None;
        }
        let level = self.occupied_levels.trailing_zeros() as usize;
        Some(level * SLOTS + self.occupied_slots[level].trailing_zeros() as usize)
    }

    /// The level at which a timer belongs as the wheel stands: that of the highest digit in which
    /// they differ.
    #[inline]
    const fn level_for(&self, deadline: Moment) -> usize {
        let differing = deadline.as_millis() ^ self.position.as_millis();
        (differing | 1).ilog2() as usize / BITS
    }

    /// Appends an entry to a list.
    fn link(&mut self, index: u32, deadline: Moment, list_index: usize) {
        let list = &mut self.lists[list_index];
        let entry = &mut self.entries[index as usize];
        entry.set_deadline_and_list(deadline, list_index);
        entry.previous = list.tail;
        entry.next = NONE;
        list.earliest = list.earliest.min(deadline);
        if list.tail == NONE {
            list.head = index;
            let level = list_index / SLOTS;
            self.occupied_slots[level] |= 1 << (list_index % SLOTS);
            self.occupied_levels |= 1 << level;
        } else {
            self.entries[list.tail as usize].next = index;
        }
        list.tail = index;
    }

    /// Takes the first entry out of a list that is not empty.
    fn unlink_first(&mut self, list: usize) -> u32 {
        let index = self.lists[list].head;
        let next = self.entries[index as usize].next;
        if next == NONE {
            self.list_became_empty(list);
        } else {
            self.lists[list].head = next;
            self.entries[next as usize].previous = NONE;
        }
        index
    }

    /// Takes an entry out of its list.
    fn unlink(&mut self, index: u32) {
        let entry = &self.entries[index as usize];
        let (previous, next, list_index) = (entry.previous, entry.next, entry.list());
        let list = &mut self.lists[list_index];
        if previous == NONE {
            list.head = next;
        } else {
            self.entries[previous as usize].next = next;
        }
        if next == NONE {
            list.tail = previous;
        } else {
            self.entries[next as usize].previous = previous;
        }
        if list.head == NONE {
            self.list_became_empty(list_index);
        }
    }

    fn list_became_empty(&mut self, list: usize) {
        self.lists[list] = List::EMPTY;
        let level = list / SLOTS;
        self.occupied_slots[level] &= !(1 << (list % SLOTS));
        if self.occupied_slots[level] == 0 {
            self.occupied_levels &= !(1 << level);
        }
        if self.sorting == Some(list) {
            self.sorting = None;
        }
    }

    /// A place for a timer, in no list yet; and its generation.
    fn allocate(&mut self, value: T) -> (u32, NonZeroU32) {
        if let Some(entry) = self.entries.get_mut(self.free as usize) {
            let index = self.free;
            self.free = entry.next;
            entry.value = Some(value);
            return (index, entry.generation);
        }
        let index = u32::try_from(self.entries.len()).unwrap_or(NONE);
        assert!(index != NONE, "2^32 - 1 timers are pending");
        self.entries.push(Entry {
            tick_and_list: 0,
            previous: NONE,
            next: NONE,
            generation: NonZeroU32::MIN,
            value: Some(value),
        });
        (index, NonZeroU32::MIN)
    }

    /// Frees the place of a timer that is in no list, and ends its key.
    fn release(&mut self, index: u32) {
        self.len -= 1;
        let entry = &mut self.entries[index as usize];
        // A place whose generations are spent is lost: some 24 bytes per 2^32 timers.
        if let Some(generation) = entry.generation.checked_add(1) {
            entry.generation = generation;
            entry.next = self.free;
            self.free = index;
        }
    }
}

/// The list of the slot in which `deadline` lies at `level`.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "six bits of it are used")]
const fn list_at(level: usize, deadline: Moment) -> usize {
    level * SLOTS + (deadline.as_millis() >> shift(level)) as usize % SLOTS
}

/// The first tick of that slot.
#[inline]
const fn slot_begin(deadline: Moment, level: usize) -> u64 {
    deadline.as_millis() >> shift(level) << shift(level)
}

/// Bits of a tick below the digit of `level`.
#[inline]
const fn shift(level: usize) -> usize {
    BITS * level
}

#[cfg(test)]
mod tests;
