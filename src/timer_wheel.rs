//! Deadlines to keys: a hierarchical timer wheel with ticks of one millisecond.
//!
//! Owns who waits for which tick. Reads no clock (`now` is passed in), calls nobody, and
//! does not know what its values mean.
//!
//! ```text
//!             slot 0     1     2    ...    63      a slot spans
//!  level 0      [ ]     [ ]   [a]         [ ]      1 ms
//!  level 1      [ ]     [b]   [ ]         [c]      64 ms
//!  level 2      [ ]     [ ]   [d]         [ ]      4,096 ms        ... 11 levels: 64 bits
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
//! Memory: 24 bytes a timer and an `Option<T>` (at most 32 bytes more than `T` for values
//! aligned to 8), and 11 KiB for the lists. It grows to the most timers at once and stays.

use std::time::{Duration, Instant};

/// Bits of a tick that one level resolves: 64 slots, so that a `u64` says which are occupied.
const BITS: usize = 6;
const SLOTS: usize = 1 << BITS;
/// Enough for every `u64`, so that no delay is too long and there is no overflow list.
const LEVELS: usize = (u64::BITS as usize).div_ceil(BITS);

/// Moves between two answers of `None` while crowded slots are sorted: some 100 µs with a
/// million timers, few enough to poll in between. Tests take a number that they reach at once.
const MOVES_AT_ONCE: u32 = if cfg!(test) { 8 } else { 4096 };

/// The end of a list.
const NONE: u32 = u32::MAX;

/// Names one timer of one wheel: slot and generation. The key of a timer that expired or was
/// cancelled never names a later one: a slot whose generations are spent is not used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerKey(u64);

impl TimerKey {
    const fn new(index: u32, generation: u32) -> Self {
        Self((generation as u64) << 32 | index as u64)
    }

    #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
    const fn index(self) -> u32 {
        self.0 as u32
    }

    const fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// A timer, or a free place for one. Free places are chained by `next`.
#[derive(Debug)]
struct Entry<T> {
    tick: u64,
    previous: u32,
    next: u32,
    generation: u32,
    /// The list it is in: level times [`SLOTS`] plus slot.
    list: u16,
    /// `None`: the place is free.
    value: Option<T>,
}

/// One slot: its timers in order of insertion.
#[derive(Clone, Copy, Debug)]
struct List {
    head: u32,
    tail: u32,
    /// Not later than any timer in the list, and inside the slot. Cancelling does not raise it:
    /// that costs at most one needless wake-up, when the slot is entered and sorted.
    earliest: u64,
}

impl List {
    const EMPTY: Self = Self {
        head: NONE,
        tail: NONE,
        earliest: u64::MAX,
    };
}

/// Timers, each a deadline and a `T`.
#[derive(Debug)]
pub struct TimerWheel<T> {
    /// Tick 0.
    start: Instant,
    /// The tick the wheel has reached. No timer lies before it; those at it are due.
    position: u64,
    entries: Vec<Entry<T>>,
    /// Head of the chain of free entries.
    free: u32,
    len: usize,
    lists: Box<[List]>,
    /// Per level, which slots are not empty.
    occupied_slots: [u64; LEVELS],
    /// Which levels are not empty.
    occupied_levels: u16,
    /// The list being sorted into lower levels. The position is inside its slot; nothing is
    /// handed out, and newcomers for that slot queue up behind, until it is empty.
    sorting: Option<u16>,
    /// Moves left until `pop_expired` answers `None` to let others run.
    moves_left: u32,
}

impl<T> TimerWheel<T> {
    /// An empty wheel. No deadline before `start` is told from `start`.
    #[must_use]
    pub fn new(start: Instant) -> Self {
        Self {
            start,
            position: 0,
            entries: Vec::new(),
            free: NONE,
            len: 0,
            lists: vec![List::EMPTY; LEVELS * SLOTS].into_boxed_slice(),
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
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether no timer is pending.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a timer for the first tick at or after `deadline`. One whose deadline is past is
    /// due at the next [`pop_expired`](Self::pop_expired), after those that are due already.
    ///
    /// # Panics
    ///
    /// With 2^32 - 1 timers pending (128 GiB of them).
    pub fn insert(&mut self, deadline: Instant, value: T) -> TimerKey {
        let tick = self.tick_at_or_after(deadline).max(self.position);
        let index = self.allocate(tick, value);
        self.len += 1;
        let list = match self.sorting {
            Some(sorted) if level_of(tick ^ self.position) < usize::from(sorted) / SLOTS => sorted,
            _ => self.list_for(tick),
        };
        self.link(index, list);
        TimerKey::new(index, self.entries[index as usize].generation)
    }

    /// Removes a timer; its value, or `None` if it expired or was cancelled before.
    pub fn cancel(&mut self, key: TimerKey) -> Option<T> {
        let entry = self.entries.get_mut(key.index() as usize)?;
        if entry.generation != key.generation() {
            return None;
        }
        let value = entry.value.take()?;
        self.unlink(key.index());
        self.release(key.index());
        Some(value)
    }

    /// The value of a pending timer.
    #[must_use]
    pub fn get(&self, key: TimerKey) -> Option<&T> {
        let entry = self.entries.get(key.index() as usize)?;
        if entry.generation != key.generation() {
            return None;
        }
        entry.value.as_ref()
    }

    /// When [`pop_expired`](Self::pop_expired) should be called next: at the very tick of the first
    /// timer, not at the border of its slot. Only if that one was cancelled it may be earlier, never
    /// later. `None`: no timer is pending, or none before time itself ends.
    ///
    /// It is not after the `now` of the last call as long as work for that `now` is left.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let tick = match self.sorting {
            Some(_) => self.position,
            None => self.lists[self.first_list()?].earliest,
        };
        self.start.checked_add(Duration::from_millis(tick))
    }

    /// Removes and returns the next timer whose tick has come: by tick, then in order of
    /// insertion. Call it again, in slices of any size; inserting and cancelling between the
    /// calls is fine.
    ///
    /// `None`: nothing is left for `now`, or a crowded slot is being sorted and others should have
    /// their turn; then [`next_deadline`](Self::next_deadline) is not after `now`.
    pub fn pop_expired(&mut self, now: Instant) -> Option<(TimerKey, T)> {
        // A `now` before that of an earlier call finds what is due already, no more.
        let due = self.tick_at_or_before(now).max(self.position);
        while self.sort() {
            let Some(list) = self.first_list() else {
                return self.rest_at(due);
            };
            let earliest = self.lists[list].earliest;
            let level = list / SLOTS;
            let slot_begin = earliest >> shift(level) << shift(level);
            if slot_begin > due {
                return self.rest_at(due);
            }
            // Not the border of the slot: the nearer the position, the fewer moves to come.
            self.position = earliest.min(due);
            if level == 0 {
                return self.pop_front(list);
            }
            self.sorting = u16::try_from(list).ok();
        }
        self.moves_left = MOVES_AT_ONCE;
        None
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

    /// Nothing is due up to `tick`: the wheel stands there.
    const fn rest_at(&mut self, tick: u64) -> Option<(TimerKey, T)> {
        self.position = tick;
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
            let index = self.lists[usize::from(list)].head;
            self.unlink(index);
            let list = self.list_for(self.entries[index as usize].tick);
            self.link(index, list);
        }
        true
    }

    fn pop_front(&mut self, list: usize) -> Option<(TimerKey, T)> {
        let index = self.lists[list].head;
        let entry = &mut self.entries[index as usize];
        let key = TimerKey::new(index, entry.generation);
        let value = entry.value.take()?;
        self.unlink(index);
        self.release(index);
        Some((key, value))
    }

    /// The list of the earliest timer.
    const fn first_list(&self) -> Option<usize> {
        if self.occupied_levels == 0 {
            return None;
        }
        let level = self.occupied_levels.trailing_zeros() as usize;
        Some(level * SLOTS + self.occupied_slots[level].trailing_zeros() as usize)
    }

    /// Where a timer for `tick` belongs as the wheel stands.
    fn list_for(&self, tick: u64) -> u16 {
        let level = level_of(tick ^ self.position);
        #[expect(clippy::cast_possible_truncation, reason = "six bits of it are used")]
        let slot = (tick >> shift(level)) as usize % SLOTS;
        u16::try_from(level * SLOTS + slot).expect("there are 704 lists")
    }

    /// Appends an entry to a list.
    fn link(&mut self, index: u32, list_index: u16) {
        let list = &mut self.lists[usize::from(list_index)];
        let entry = &mut self.entries[index as usize];
        entry.list = list_index;
        entry.previous = list.tail;
        entry.next = NONE;
        list.earliest = list.earliest.min(entry.tick);
        if list.tail == NONE {
            list.head = index;
            let level = usize::from(list_index) / SLOTS;
            self.occupied_slots[level] |= 1 << (usize::from(list_index) % SLOTS);
            self.occupied_levels |= 1 << level;
        } else {
            self.entries[list.tail as usize].next = index;
        }
        list.tail = index;
    }

    /// Takes an entry out of its list.
    fn unlink(&mut self, index: u32) {
        let entry = &self.entries[index as usize];
        let (previous, next, list_index) = (entry.previous, entry.next, entry.list);
        let list = &mut self.lists[usize::from(list_index)];
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

    fn list_became_empty(&mut self, list: u16) {
        self.lists[usize::from(list)] = List::EMPTY;
        let level = usize::from(list) / SLOTS;
        self.occupied_slots[level] &= !(1 << (usize::from(list) % SLOTS));
        if self.occupied_slots[level] == 0 {
            self.occupied_levels &= !(1 << level);
        }
        if self.sorting == Some(list) {
            self.sorting = None;
        }
    }

    /// A place for a timer, in no list yet.
    fn allocate(&mut self, tick: u64, value: T) -> u32 {
        if let Some(entry) = self.entries.get_mut(self.free as usize) {
            let index = self.free;
            self.free = entry.next;
            entry.tick = tick;
            entry.value = Some(value);
            return index;
        }
        let index = u32::try_from(self.entries.len()).unwrap_or(NONE);
        assert!(index != NONE, "2^32 - 1 timers are pending");
        self.entries.push(Entry {
            tick,
            previous: NONE,
            next: NONE,
            generation: 0,
            list: 0,
            value: Some(value),
        });
        index
    }

    /// Frees the place of a timer that is in no list, and ends its key.
    fn release(&mut self, index: u32) {
        self.len -= 1;
        let entry = &mut self.entries[index as usize];
        // A place whose generations are spent is lost: some 32 bytes per 2^32 timers.
        if let Some(generation) = entry.generation.checked_add(1) {
            entry.generation = generation;
            entry.next = self.free;
            self.free = index;
        }
    }

    /// Rounded up: a timer never expires early.
    fn tick_at_or_after(&self, deadline: Instant) -> u64 {
        let delay = deadline.saturating_duration_since(self.start);
        whole_seconds_in_ticks(delay)
            .saturating_add(u64::from(delay.subsec_nanos().div_ceil(1_000_000)))
    }

    fn tick_at_or_before(&self, now: Instant) -> u64 {
        let elapsed = now.saturating_duration_since(self.start);
        whole_seconds_in_ticks(elapsed).saturating_add(u64::from(elapsed.subsec_millis()))
    }
}

/// The level of the highest digit set in `differing`, the xor of a tick and the position.
const fn level_of(differing: u64) -> usize {
    (differing | 1).ilog2() as usize / BITS
}

/// Bits of a tick below the digit of `level`.
const fn shift(level: usize) -> usize {
    BITS * level
}

const fn whole_seconds_in_ticks(duration: Duration) -> u64 {
    // Not `as_millis`: its 128-bit division is most of what an insert would cost.
    duration.as_secs().saturating_mul(1000)
}

#[cfg(test)]
mod tests;
