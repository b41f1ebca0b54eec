use super::*;

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// All that is due at `now`, called on as the loop does while work is left.
fn expire<T>(wheel: &mut TimerWheel<T>, now: Instant) -> Vec<T> {
    let mut expired = Vec::new();
    loop {
        while let Some((key, value)) = wheel.pop_expired(now) {
            assert!(wheel.cancel(key).is_none(), "an expired key is dead");
            expired.push(value);
        }
        if wheel.next_deadline().is_none_or(|next| next > now) {
            return expired;
        }
    }
}

/// The ticks at which a level begins to be used, and their neighbours.
fn level_borders() -> impl Iterator<Item = u64> {
    (1..LEVELS).flat_map(|level| {
        let span = 1_u64 << shift(level);
        [
            span - 1,
            span,
            span + 1,
            2 * span - 1,
            2 * span,
            2 * span + 1,
        ]
    })
}

#[test]
fn a_timer_expires_at_its_tick_and_never_before() {
    let start = Instant::now();
    let mut wheel = TimerWheel::new(start);
    wheel.insert(start + Duration::from_micros(4_001), 'a');
    assert_eq!(wheel.next_deadline(), Some(start + ms(5)));
    assert_eq!(
        wheel.pop_expired(start + Duration::from_micros(4_999)),
        None
    );
    assert_eq!(expire(&mut wheel, start + ms(5)), ['a']);
    assert!(wheel.is_empty());
    assert_eq!(wheel.next_deadline(), None);
}

#[test]
fn every_level_border_is_hit_exactly_from_wherever_the_wheel_stands() {
    for begin in [
        0,
        1,
        63,
        64,
        4095,
        4096,
        (1 << 32) - 1,
        1 << 32,
        (1 << 36) + 77,
    ] {
        for delay in level_borders().filter(|&delay| delay < 1 << 61) {
            let start = Instant::now();
            let mut wheel = TimerWheel::new(start);
            let begin = start + ms(begin);
            assert_eq!(wheel.pop_expired(begin), None::<(_, u64)>);
            wheel.insert(begin + ms(delay), delay);
            assert_eq!(wheel.next_deadline(), Some(begin + ms(delay)));
            assert!(expire(&mut wheel, begin + ms(delay - 1)).is_empty());
            assert_eq!(
                wheel.next_deadline(),
                Some(begin + ms(delay)),
                "delay {delay}"
            );
            assert_eq!(expire(&mut wheel, begin + ms(delay)), [delay]);
        }
    }
}

#[test]
fn all_level_borders_together_come_out_sorted() {
    let start = Instant::now();
    let mut wheel = TimerWheel::new(start);
    let mut delays: Vec<u64> = level_borders().filter(|&delay| delay < 1 << 61).collect();
    for &delay in delays.iter().rev() {
        wheel.insert(start + ms(delay), delay);
    }
    delays.sort_unstable();
    let mut expired = Vec::new();
    while let Some(next) = wheel.next_deadline() {
        let slice = expire(&mut wheel, next);
        assert!(!slice.is_empty(), "woken for nothing after {expired:?}");
        expired.extend(slice);
    }
    assert_eq!(expired, delays);
}

#[test]
fn the_last_ticks_of_time_are_ticks_like_others() {
    let start = Instant::now();
    let mut wheel = TimerWheel::new(start);
    let end = start + ms(u64::MAX);
    wheel.insert(end, "last");
    let last_but_one = start + ms(u64::MAX - 1);
    wheel.insert(last_but_one, "last but one");
    // Past the last tick: told as the last one, after those that are really for it.
    wheel.insert(end + ms(7), "never");
    assert_eq!(expire(&mut wheel, start + ms(u64::MAX - 2)), [""; 0]);
    assert_eq!(expire(&mut wheel, last_but_one), ["last but one"]);
    assert_eq!(expire(&mut wheel, end), ["last", "never"]);
    wheel.insert(end, "now");
    assert_eq!(expire(&mut wheel, end), ["now"]);
}

#[test]
fn equal_deadlines_keep_their_order_over_every_way_down_the_levels() {
    let start = Instant::now();
    for deadline in level_borders().filter(|&border| border < 1 << 40) {
        let mut wheel = TimerWheel::new(start);
        // Inserted from further and further on: at each level a deadline can lie at.
        let mut steps: Vec<u64> = level_borders().collect();
        steps.extend(level_borders().filter_map(|step| deadline.checked_sub(step)));
        steps.sort_unstable();
        steps.retain(|&step| step < deadline);
        for (order, step) in steps.iter().enumerate() {
            assert!(expire(&mut wheel, start + ms(*step)).is_empty());
            wheel.insert(start + ms(deadline), order);
        }
        let all: Vec<_> = (0..steps.len()).collect();
        assert_eq!(
            expire(&mut wheel, start + ms(deadline)),
            all,
            "deadline {deadline}"
        );
    }
}

#[test]
fn past_deadlines_are_due_at_once_and_after_what_is_due_already() {
    let start = Instant::now();
    let mut wheel = TimerWheel::new(start + ms(500));
    let now = start + ms(1000);
    wheel.insert(now, 1);
    assert_eq!(wheel.pop_expired(now).map(|(_, value)| value), Some(1));
    wheel.insert(now, 2);
    wheel.insert(start, 3);
    wheel.insert(start + ms(900), 4);
    assert!(wheel.next_deadline() <= Some(now));
    assert_eq!(expire(&mut wheel, now), [2, 3, 4]);
}

#[test]
fn a_clock_that_goes_back_changes_nothing() {
    let start = Instant::now();
    let mut wheel = TimerWheel::new(start);
    wheel.insert(start + ms(100), 'a');
    assert!(expire(&mut wheel, start + ms(99)).is_empty());
    assert!(expire(&mut wheel, start).is_empty());
    // In the digit in which the wheel stands, 36 and 100 are the same.
    wheel.insert(start + ms(36), 'b');
    assert_eq!(expire(&mut wheel, start + ms(36)), ['b']);
    assert_eq!(expire(&mut wheel, start + ms(100)), ['a']);
}

#[test]
fn a_dead_key_never_names_the_timer_that_took_its_place() {
    let start = Instant::now();
    let mut wheel = TimerWheel::new(start);
    let cancelled = wheel.insert(start + ms(10), 'a');
    assert_eq!(wheel.get(cancelled), Some(&'a'));
    assert_eq!(wheel.cancel(cancelled), Some('a'));
    assert_eq!(wheel.cancel(cancelled), None);
    let live = wheel.insert(start + ms(10), 'b');
    assert_eq!(wheel.entries.len(), 1, "the place is used again");
    for dead in [cancelled, TimerKey(u64::MAX)] {
        assert_eq!(wheel.get(dead), None);
        assert_eq!(wheel.cancel(dead), None);
    }
    assert_eq!(wheel.get(live), Some(&'b'));
    assert_eq!(wheel.len(), 1);
}

#[test]
fn a_place_with_spent_generations_is_retired() {
    let start = Instant::now();
    let mut wheel = TimerWheel::new(start);
    wheel.insert(start, 'a');
    wheel.entries[0].generation = u32::MAX;
    let (last, _) = wheel.pop_expired(start).unwrap();
    let next = wheel.insert(start, 'b');
    assert_eq!((wheel.get(last), wheel.get(next)), (None, Some(&'b')));
    assert_eq!((wheel.entries.len(), wheel.len()), (2, 1));
}

#[test]
fn timers_may_be_set_and_cancelled_while_others_are_handed_out() {
    let start = Instant::now();
    let mut wheel = TimerWheel::new(start);
    let now = start + ms(4096 * 3);
    let keys: Vec<_> = (0..20).map(|value| wheel.insert(now, value)).collect();
    let mut expired = Vec::new();
    while expired.len() < 21 {
        if let Some((_, value)) = wheel.pop_expired(now) {
            if value % 4 == 0 && value < 20 {
                assert_eq!(wheel.cancel(keys[value + 1]), Some(value + 1));
                wheel.insert(now, value + 100);
            }
            if value == 100 {
                wheel.insert(now, 200);
            }
            expired.push(value);
        }
    }
    assert_eq!(
        expired,
        [
            0, 2, 3, 4, 6, 7, 8, 10, 11, 12, 14, 15, 16, 18, 19, 100, 104, 108, 112, 116, 200
        ]
    );
    assert!(wheel.is_empty());
}

#[test]
fn a_crowded_slot_is_sorted_in_slices_with_order_and_keys_intact() {
    let start = Instant::now();
    let mut wheel = TimerWheel::new(start);
    let now = start + ms(5000);
    // One slot of level 2, two ticks, in turn.
    let keys: Vec<_> = (0..100_u64)
        .map(|n| wheel.insert(now + ms(n % 2), n))
        .collect();
    assert_eq!(wheel.pop_expired(now), None, "the moves end first");
    assert_eq!(
        wheel.next_deadline(),
        Some(now),
        "and the caller is told to come again"
    );
    // One that was moved, one that waits, one for the slot, one for a later slot.
    assert_eq!(wheel.cancel(keys[2]), Some(2));
    assert_eq!(wheel.cancel(keys[99]), Some(99));
    wheel.insert(now, 1000);
    wheel.insert(now + ms(50_000), 3000);
    wheel.insert(start, 2000);
    let even = (0..100)
        .filter(|n| n % 2 == 0 && *n != 2)
        .chain([1000, 2000]);
    assert_eq!(expire(&mut wheel, now), even.collect::<Vec<_>>());
    let odd = (0..99).filter(|n| n % 2 == 1);
    assert_eq!(expire(&mut wheel, now + ms(1)), odd.collect::<Vec<_>>());
    assert_eq!(wheel.next_deadline(), Some(now + ms(50_000)));
}

#[test]
fn cancelling_all_that_waits_to_be_sorted_ends_the_sorting() {
    let start = Instant::now();
    let mut wheel = TimerWheel::new(start);
    let now = start + ms(5000);
    let mut keys: Vec<_> = (0..50).map(|n| wheel.insert(now + ms(3), n)).collect();
    keys.push(wheel.insert(now, 50));
    assert_eq!(wheel.pop_expired(now), None);
    for key in keys {
        assert!(wheel.cancel(key).is_some());
    }
    assert_eq!((wheel.len(), wheel.next_deadline()), (0, None));
    wheel.insert(now + ms(7), 51);
    assert_eq!(wheel.next_deadline(), Some(now + ms(7)));
}

#[test]
fn the_next_deadline_is_exact_until_its_timer_is_cancelled_and_then_early_once() {
    let start = Instant::now();
    let mut wheel = TimerWheel::new(start);
    let first = wheel.insert(start + ms(100_000), 'a');
    wheel.insert(start + ms(100_100), 'b');
    wheel.insert(start + ms(900_000_000), 'c');
    assert_eq!(wheel.next_deadline(), Some(start + ms(100_000)));
    wheel.cancel(first);
    let early = wheel.next_deadline().unwrap();
    assert!(early <= start + ms(100_100));
    assert!(expire(&mut wheel, early).is_empty());
    assert_eq!(
        wheel.next_deadline(),
        Some(start + ms(100_100)),
        "exact again"
    );
}

#[test]
fn clearing_drops_every_timer_and_every_key() {
    let start = Instant::now();
    let mut wheel = TimerWheel::new(start);
    let keys: Vec<_> = (0..40)
        .map(|n| wheel.insert(start + ms(n * 999), n))
        .collect();
    assert!(wheel.pop_expired(start + ms(5_000)).is_some());
    wheel.clear();
    assert_eq!((wheel.len(), wheel.next_deadline()), (0, None));
    assert!(keys.iter().all(|&key| wheel.cancel(key).is_none()));
    let newcomers: Vec<_> = (0..41).map(|n| wheel.insert(start + ms(n), n)).collect();
    assert!(keys.iter().all(|&key| wheel.get(key).is_none()));
    assert!(newcomers.iter().all(|&key| wheel.get(key).is_some()));
    assert_eq!(
        (wheel.len(), wheel.entries.len()),
        (41, 41),
        "freed places are used again"
    );
}

#[test]
fn an_idle_wheel_moves_over_years_without_work() {
    let start = Instant::now();
    let mut wheel = TimerWheel::new(start);
    let year = Duration::from_secs(365 * 24 * 3600);
    wheel.insert(start + 100 * year, 'a');
    for n in 1..100 {
        assert_eq!(wheel.pop_expired(start + n * year), None);
    }
    assert_eq!(wheel.next_deadline(), Some(start + 100 * year));
    assert_eq!(expire(&mut wheel, start + 100 * year), ['a']);
}

#[test]
fn a_million_timers_take_the_memory_that_is_promised() {
    assert_eq!(size_of::<Entry<std::num::NonZeroU64>>(), 32);
    assert_eq!(size_of::<Entry<u64>>(), 8 + 32);
    let start = Instant::now();
    let mut wheel = TimerWheel::new(start);
    let count = if cfg!(miri) { 1_000 } else { 1_000_000 };
    wheel.reserve(count);
    let capacity = wheel.entries.capacity();
    for round in 0..3_u32 {
        let mut now = start + round * ms(20_000);
        for n in 0..count as u64 {
            wheel.insert(now + ms(1 + n * 7919 % 10_000), n);
        }
        assert_eq!(wheel.len(), count);
        let mut expired = 0;
        while let Some(next) = wheel.next_deadline() {
            now = next;
            expired += expire(&mut wheel, now).len();
        }
        assert_eq!(expired, count);
    }
    assert_eq!(
        wheel.entries.capacity(),
        capacity,
        "reserved once, reused since"
    );
}

/// `SplitMix64`: numbers without a pattern, the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Microseconds of any magnitude up to days, often whole milliseconds and often equal.
    fn delay(&mut self) -> Duration {
        let magnitude = self.below(38);
        let micros = self.below(1 << magnitude);
        match self.below(3) {
            0 => Duration::from_micros(micros),
            1 => ms(micros / 1000),
            _ => ms(1 << (magnitude / 2)),
        }
    }
}

/// What the wheel should hold: a list, searched from end to end.
struct Model {
    start: Instant,
    wheel: TimerWheel<u64>,
    /// Key, the tick that decides the order, deadline, number.
    timers: Vec<(TimerKey, u64, Instant, u64)>,
    inserted: u64,
}

impl Model {
    fn insert(&mut self, deadline: Instant) {
        let micros = deadline
            .saturating_duration_since(self.start)
            .as_nanos()
            .div_ceil(1_000_000);
        let tick = u64::try_from(micros).unwrap().max(self.wheel.position);
        let key = self.wheel.insert(deadline, self.inserted);
        self.timers.push((key, tick, deadline, self.inserted));
        self.inserted += 1;
    }

    fn cancel(&mut self, index: usize) {
        let (key, _, _, number) = self.timers.swap_remove(index);
        assert_eq!(self.wheel.get(key), Some(&number));
        assert_eq!(self.wheel.cancel(key), Some(number));
        assert_eq!(self.wheel.get(key), None);
    }

    fn pop(&mut self, now: Instant) -> bool {
        let first = (0..self.timers.len())
            .min_by_key(|&index| (self.timers[index].1, self.timers[index].3));
        let due = u64::try_from((now - self.start).as_millis()).unwrap();
        match self.wheel.pop_expired(now) {
            Some((key, number)) => {
                let (expected, _, deadline, expected_number) = self
                    .timers
                    .swap_remove(first.expect("a timer that was never inserted"));
                assert_eq!((key, number), (expected, expected_number));
                assert!(deadline <= now, "early");
                true
            }
            None if self.wheel.next_deadline().is_some_and(|next| next <= now) => true,
            None => {
                let left = first.map(|index| self.timers[index]);
                assert!(
                    left.is_none_or(|timer| timer.1 > due),
                    "{left:?} is lost at {due}"
                );
                false
            }
        }
    }

    fn check(&self) {
        assert_eq!(self.wheel.len(), self.timers.len());
        let earliest = self.timers.iter().map(|timer| timer.1).min();
        match (self.wheel.next_deadline(), earliest) {
            (None, None) => {}
            (Some(next), Some(tick)) => assert!(next <= self.start + ms(tick), "late wake-up"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn any_order_of_inserts_cancels_and_jumps_agrees_with_a_sorted_list() {
    for seed in 0..if cfg!(miri) { 2 } else { 60 } {
        let mut numbers = Numbers(seed);
        let start = Instant::now();
        let mut model = Model {
            start,
            wheel: TimerWheel::new(start),
            timers: Vec::new(),
            inserted: 0,
        };
        let mut now = start;
        for _ in 0..2_000 {
            match numbers.below(10) {
                0..=3 => model.insert(now + numbers.delay()),
                4 => model.insert(now.checked_sub(numbers.delay()).unwrap_or(start).max(start)),
                5 if !model.timers.is_empty() => {
                    let count = model.timers.len() as u64;
                    model.cancel(usize::try_from(numbers.below(count)).unwrap());
                }
                6 => now += numbers.delay(),
                7 => {
                    // Exactly the next one, as the loop sleeps; what is late stays late.
                    now = model
                        .wheel
                        .next_deadline()
                        .map_or(now, |next| next.max(now));
                }
                8 => {
                    let slice = numbers.below(6);
                    let _ = (0..slice).all(|_| model.pop(now));
                }
                _ => while model.pop(now) {},
            }
            model.check();
        }
        now += Duration::from_secs(1 << 30);
        while model.pop(now) {}
        assert!(model.timers.is_empty());
    }
}
