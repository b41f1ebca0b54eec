use super::*;

/// The moment so many milliseconds after the start.
fn at(tick: u64) -> Moment {
    Moment::from_millis(tick)
}

/// The last tick of time.
const LAST: u64 = Moment::NEVER.as_millis();

/// All that is due at `now`, called on as the loop does while work is left.
fn expire<T>(wheel: &mut TimerWheel<T>, now: Moment) -> Vec<T> {
    let mut expired = Vec::new();
    for _ in 0..100_000 {
        while let Some((key, value)) = wheel.pop_expired(now) {
            assert!(wheel.cancel(key).is_none(), "an expired key is dead");
            expired.push(value);
        }
        if wheel.next_deadline().is_none_or(|next| next > now) {
            return expired;
        }
    }
    panic!("there is work for {now:?} that is never done");
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
    let mut wheel = TimerWheel::new();
    let key = wheel.insert(at(5), 'a');
    assert_eq!(wheel.next_deadline(), Some(at(5)));
    assert_eq!(wheel.pop_expired(at(4)), None);
    assert_eq!(wheel.pop_expired(at(5)), Some((key, 'a')));
    assert!(wheel.is_empty());
    assert_eq!(wheel.next_deadline(), None);
    assert_eq!(wheel.pop_expired(at(5)), None);
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
        for delay in level_borders() {
            let mut wheel = TimerWheel::new();
            let deadline = begin + delay;
            assert_eq!(wheel.pop_expired(at(begin)), None::<(_, u64)>);
            wheel.insert(at(deadline), delay);
            assert_eq!(wheel.next_deadline(), Some(at(deadline)));
            assert!(expire(&mut wheel, at(deadline - 1)).is_empty());
            assert_eq!(wheel.next_deadline(), Some(at(deadline)), "delay {delay}");
            assert_eq!(expire(&mut wheel, at(deadline)), [delay]);
        }
    }
}

#[test]
fn all_level_borders_together_come_out_sorted() {
    let mut wheel = TimerWheel::new();
    let mut delays: Vec<u64> = level_borders().collect();
    for &delay in delays.iter().rev() {
        wheel.insert(at(delay), delay);
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
    let mut wheel = TimerWheel::new();
    wheel.insert(Moment::NEVER, "last");
    wheel.insert(at(LAST - 1), "last but one");
    wheel.insert(at(u64::MAX), "never");
    assert_eq!(expire(&mut wheel, at(LAST - 2)), [""; 0]);
    assert_eq!(expire(&mut wheel, at(LAST - 1)), ["last but one"]);
    assert_eq!(expire(&mut wheel, Moment::NEVER), ["last", "never"]);
    let key = wheel.insert(Moment::NEVER, "now");
    assert_eq!(wheel.deadline_of(key), Some(Moment::NEVER));
    assert_eq!(expire(&mut wheel, Moment::NEVER), ["now"]);
}

#[test]
fn equal_deadlines_keep_their_order_over_every_way_down_the_levels() {
    for deadline in level_borders() {
        let mut wheel = TimerWheel::new();
        // Inserted from further and further on: at each level a deadline can lie at.
        let mut steps: Vec<u64> = level_borders().collect();
        steps.extend(level_borders().filter_map(|step| deadline.checked_sub(step)));
        steps.sort_unstable();
        steps.retain(|&step| step < deadline);
        for (order, step) in steps.iter().enumerate() {
            assert!(expire(&mut wheel, at(*step)).is_empty());
            wheel.insert(at(deadline), order);
        }
        let all: Vec<_> = (0..steps.len()).collect();
        assert_eq!(expire(&mut wheel, at(deadline)), all, "deadline {deadline}");
    }
}

#[test]
fn past_deadlines_are_due_at_once_and_after_what_is_due_already() {
    let mut wheel = TimerWheel::new();
    let now = at(1000);
    wheel.insert(now, 1);
    assert_eq!(wheel.pop_expired(now).map(|(_, value)| value), Some(1));
    wheel.insert(now, 2);
    wheel.insert(Moment::START, 3);
    wheel.insert(at(900), 4);
    assert!(wheel.next_deadline() <= Some(now));
    assert_eq!(expire(&mut wheel, now), [2, 3, 4]);
}

#[test]
fn a_clock_that_goes_back_changes_nothing() {
    let mut wheel = TimerWheel::new();
    wheel.insert(at(100), 'a');
    assert!(expire(&mut wheel, at(99)).is_empty());
    assert!(expire(&mut wheel, Moment::START).is_empty());
    // In the digit in which the wheel stands, 36 and 100 are the same.
    wheel.insert(at(36), 'b');
    assert_eq!(expire(&mut wheel, at(36)), ['b']);
    assert_eq!(expire(&mut wheel, at(100)), ['a']);
}

#[test]
fn a_dead_key_never_names_the_timer_that_took_its_place() {
    let mut wheel = TimerWheel::new();
    let cancelled = wheel.insert(at(10), 'a');
    assert_eq!(wheel.get(cancelled), Some(&'a'));
    assert_eq!(wheel.deadline_of(cancelled), Some(at(10)));
    assert_eq!(wheel.cancel(cancelled), Some('a'));
    assert_eq!(wheel.cancel(cancelled), None);
    let live = wheel.insert(at(10), 'b');
    assert_eq!(wheel.entries.len(), 1, "the place is used again");
    for dead in [cancelled, TimerKey(NonZeroU64::MAX)] {
        assert_eq!(wheel.get(dead), None);
        assert_eq!(wheel.deadline_of(dead), None);
        assert_eq!(wheel.cancel(dead), None);
    }
    assert_eq!(wheel.get(live), Some(&'b'));
    assert_eq!(wheel.len(), 1);
}

#[test]
fn a_place_with_spent_generations_is_retired() {
    let mut wheel = TimerWheel::new();
    wheel.insert(at(0), 'a');
    wheel.entries[0].generation = NonZeroU32::MAX;
    let (last, _) = wheel.pop_expired(at(0)).unwrap();
    let next = wheel.insert(at(0), 'b');
    assert_eq!((wheel.get(last), wheel.get(next)), (None, Some(&'b')));
    assert_eq!(
        (wheel.deadline_of(last), wheel.deadline_of(next)),
        (None, Some(at(0)))
    );
    assert_eq!(wheel.cancel(last), None);
    assert_eq!((wheel.entries.len(), wheel.len()), (2, 1));
}

#[test]
fn timers_may_be_set_and_cancelled_while_others_are_handed_out() {
    let mut wheel = TimerWheel::new();
    let now = at(4096 * 3);
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
    let mut wheel = TimerWheel::new();
    let now = 5000;
    // One slot of level 2, two ticks, in turn.
    let keys: Vec<_> = (0..100_u64)
        .map(|n| wheel.insert(at(now + n % 2), n))
        .collect();
    assert_eq!(wheel.pop_expired(at(now)), None, "the moves end first");
    assert_eq!(
        wheel.next_deadline(),
        Some(at(now)),
        "and the caller is told to come again"
    );
    // One that was moved, one that waits, one for the slot, one for a later slot.
    assert_eq!(wheel.cancel(keys[2]), Some(2));
    assert_eq!(wheel.cancel(keys[99]), Some(99));
    wheel.insert(at(now), 1000);
    wheel.insert(at(now + 50_000), 3000);
    wheel.insert(at(0), 2000);
    let even = (0..100)
        .filter(|n| n % 2 == 0 && *n != 2)
        .chain([1000, 2000]);
    assert_eq!(expire(&mut wheel, at(now)), even.collect::<Vec<_>>());
    let odd = (0..99).filter(|n| n % 2 == 1);
    assert_eq!(expire(&mut wheel, at(now + 1)), odd.collect::<Vec<_>>());
    assert_eq!(wheel.next_deadline(), Some(at(now + 50_000)));
}

#[test]
fn cancelling_all_that_waits_to_be_sorted_ends_the_sorting() {
    let mut wheel = TimerWheel::new();
    let now = 5000;
    let mut keys: Vec<_> = (0..50).map(|n| wheel.insert(at(now + 3), n)).collect();
    keys.push(wheel.insert(at(now), 50));
    assert_eq!(wheel.pop_expired(at(now)), None);
    for key in keys {
        assert!(wheel.cancel(key).is_some());
    }
    assert_eq!((wheel.len(), wheel.next_deadline()), (0, None));
    wheel.insert(at(now + 7), 51);
    assert_eq!(wheel.next_deadline(), Some(at(now + 7)));
}

#[test]
fn the_next_deadline_is_exact_until_its_timer_is_cancelled_and_then_early_once() {
    let mut wheel = TimerWheel::new();
    let first = wheel.insert(at(100_000), 'a');
    wheel.insert(at(100_100), 'b');
    wheel.insert(at(900_000_000), 'c');
    assert_eq!(wheel.next_deadline(), Some(at(100_000)));
    wheel.cancel(first);
    let early = wheel.next_deadline().unwrap();
    assert!(early <= at(100_100));
    assert!(expire(&mut wheel, early).is_empty());
    assert_eq!(wheel.next_deadline(), Some(at(100_100)), "exact again");
}

#[test]
fn clearing_drops_every_timer_and_every_key() {
    let mut wheel = TimerWheel::new();
    let keys: Vec<_> = (0..40).map(|n| wheel.insert(at(n * 999), n)).collect();
    assert!(wheel.pop_expired(at(5_000)).is_some());
    wheel.clear();
    assert_eq!((wheel.len(), wheel.next_deadline()), (0, None));
    assert!(keys.iter().all(|&key| wheel.cancel(key).is_none()));
    let newcomers: Vec<_> = (0..41).map(|n| wheel.insert(at(n), n)).collect();
    assert!(keys.iter().all(|&key| wheel.get(key).is_none()));
    assert!(newcomers.iter().all(|&key| wheel.get(key).is_some()));
    assert_eq!(
        (wheel.len(), wheel.entries.len()),
        (41, 41),
        "freed places are used again"
    );
}

#[test]
fn clearing_ends_the_sorting() {
    let mut wheel = TimerWheel::new();
    for n in 0..50 {
        wheel.insert(at(5000), n);
    }
    assert_eq!(wheel.pop_expired(at(5000)), None);
    wheel.clear();
    assert_eq!((wheel.len(), wheel.next_deadline()), (0, None));
    wheel.insert(at(5003), 50);
    assert_eq!(wheel.next_deadline(), Some(at(5003)));
    assert_eq!(expire(&mut wheel, at(5003)), [50]);
}

#[test]
fn an_idle_wheel_moves_over_years_without_work() {
    const YEAR: u64 = 365 * 24 * 3600 * 1000;
    let mut wheel = TimerWheel::new();
    wheel.insert(at(100 * YEAR), 'a');
    for n in 1..100 {
        assert_eq!(wheel.pop_expired(at(n * YEAR)), None);
    }
    assert_eq!(wheel.next_deadline(), Some(at(100 * YEAR)));
    assert_eq!(expire(&mut wheel, at(100 * YEAR)), ['a']);
}

#[test]
fn an_idle_wheel_stands_where_it_was_last_asked() {
    let mut wheel = TimerWheel::new();
    let far = wheel.insert(at(4096), 'a');
    assert_eq!(wheel.pop_expired(at(4000)), None);
    // The one whose deadline is past queues up behind the one that is due.
    wheel.insert(at(4000), 'b');
    let past = wheel.insert(at(3000), 'c');
    assert_eq!(wheel.deadline_of(past), Some(at(4000)));
    assert_eq!(wheel.deadline_of(far), Some(at(4096)));
    assert_eq!(expire(&mut wheel, at(4095)), ['b', 'c']);
    assert_eq!(wheel.deadline_of(past), None);
    assert_eq!(expire(&mut wheel, at(4096)), ['a']);
}

#[test]
fn a_timer_takes_24_bytes_and_a_key_as_much_as_none() {
    assert_eq!(size_of::<Entry<NonZeroU32>>(), 24);
    assert_eq!(size_of::<Entry<NonZeroU64>>(), 32);
    assert_eq!(size_of::<Entry<u64>>(), 40);
    assert_eq!(size_of::<Option<TimerKey>>(), 8);
    assert_eq!(size_of::<[List; LISTS]>(), 8 * 1024);
}

#[test]
fn a_million_timers_take_the_memory_that_is_promised() {
    let mut wheel = TimerWheel::new();
    let count = if cfg!(miri) { 1_000 } else { 1_000_000 };
    wheel.reserve(count);
    let capacity = wheel.entries.capacity();
    for round in 0..3 {
        let begin = round * 20_000;
        for n in 0..count as u64 {
            wheel.insert(at(begin + 1 + n * 7919 % 10_000), n);
        }
        assert_eq!(wheel.len(), count);
        let mut expired = 0;
        while let Some(next) = wheel.next_deadline() {
            expired += expire(&mut wheel, next).len();
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

    /// Milliseconds of any magnitude up to days, often few and often equal.
    fn delay(&mut self) -> u64 {
        let magnitude = self.below(28);
        match self.below(3) {
            0 | 1 => self.below(1 << magnitude),
            _ => 1 << magnitude,
        }
    }
}

/// A timer as the model knows it; what decides the order comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Timer {
    tick: u64,
    number: u64,
}

/// What the wheel should hold: a list, searched from end to end.
#[derive(Default)]
struct Model {
    wheel: TimerWheel<u64>,
    timers: Vec<(Timer, TimerKey)>,
    inserted: u64,
}

impl Model {
    fn insert(&mut self, deadline: u64) {
        let number = self.inserted;
        let tick = deadline.max(self.wheel.position.as_millis());
        let key = self.wheel.insert(at(deadline), number);
        assert_eq!(self.wheel.deadline_of(key), Some(at(tick)));
        self.timers.push((Timer { tick, number }, key));
        self.inserted += 1;
    }

    fn cancel(&mut self, index: usize) {
        let (timer, key) = self.timers.swap_remove(index);
        assert_eq!(self.wheel.get(key), Some(&timer.number));
        assert_eq!(self.wheel.deadline_of(key), Some(at(timer.tick)));
        assert_eq!(self.wheel.cancel(key), Some(timer.number));
        assert_eq!(self.wheel.get(key), None);
        assert_eq!(self.wheel.deadline_of(key), None);
    }

    /// Whether there may be more.
    fn pop(&mut self, now: u64) -> bool {
        let first = (0..self.timers.len()).min_by_key(|&index| self.timers[index].0);
        match self.wheel.pop_expired(at(now)) {
            Some((key, number)) => {
                let (timer, expected_key) = self
                    .timers
                    .swap_remove(first.expect("a timer that was never inserted"));
                assert_eq!((key, number), (expected_key, timer.number));
                assert!(timer.tick <= now, "early");
                true
            }
            None if self
                .wheel
                .next_deadline()
                .is_some_and(|next| next <= at(now)) =>
            {
                true
            }
            None => {
                let left = first.map(|index| self.timers[index].0);
                assert!(
                    left.is_none_or(|timer| timer.tick > now),
                    "{left:?} is lost at {now}"
                );
                assert_eq!(self.wheel.position, at(now), "stands where it was asked");
                false
            }
        }
    }

    fn check(&self) {
        assert_eq!(self.wheel.len(), self.timers.len());
        let earliest = self.timers.iter().map(|(timer, _)| at(timer.tick)).min();
        match (self.wheel.next_deadline(), earliest) {
            (None, None) => {}
            (Some(next), Some(earliest)) => assert!(next <= earliest, "late wake-up"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn any_order_of_inserts_cancels_and_jumps_agrees_with_a_sorted_list() {
    for seed in 0..if cfg!(miri) { 2 } else { 60 } {
        let mut numbers = Numbers(seed);
        let mut model = Model::default();
        let mut now = 0;
        for _ in 0..2_000 {
            match numbers.below(10) {
                0..=3 => model.insert(now + numbers.delay()),
                4 => model.insert(now.saturating_sub(numbers.delay())),
                5 if !model.timers.is_empty() => {
                    let count = model.timers.len() as u64;
                    model.cancel(usize::try_from(numbers.below(count)).unwrap());
                }
                6 => now += numbers.delay(),
                7 => {
                    // Exactly the next one, as the loop sleeps; what is late stays late.
                    let next = model.wheel.next_deadline();
                    now = next.map_or(now, |next| next.as_millis().max(now));
                }
                8 => {
                    let slice = numbers.below(6);
                    let _ = (0..slice).all(|_| model.pop(now));
                }
                _ => while model.pop(now) {},
            }
            model.check();
        }
        now += 1 << 40;
        while model.pop(now) {}
        assert!(model.timers.is_empty());
    }
}
