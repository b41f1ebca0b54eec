//! What does a timer cost: set and cancelled, as heartbeats are, and set and expired, as delayed
//! sends are? What does a turn of the event loop in which none is due? And does it all stay the
//! same with a million others pending?
//!
//! Decided: a `Vec` with indices in place of boxed nodes, 64 slots a level, and to remember until
//! when there is nothing to do.

use std::hint::black_box;
use std::num::NonZeroU32;

use aerys::internals::{Moment, TimerWheel};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

const PENDING: [u64; 3] = [0, 1_000, 1_000_000];

const HOUR: u64 = 3_600_000;

/// As large as what the server's wheel holds: four bytes, also as an `Option`.
const VALUE: NonZeroU32 = NonZeroU32::MIN;

/// `count` timers, spread over ten minutes from `begin`, in milliseconds.
fn wheel_with(count: u64, begin: u64) -> TimerWheel<NonZeroU32> {
    let mut wheel = TimerWheel::new();
    for n in 0..count {
        wheel.insert(Moment::from_millis(begin + spread(n, 600_000)), VALUE);
    }
    wheel
}

/// Milliseconds below `bound` without a pattern.
const fn spread(n: u64, bound: u64) -> u64 {
    n.wrapping_mul(0x9E37_79B9_7F4A_7C15) % bound
}

/// A millisecond passes and nothing is due: what every turn of the loop asks.
fn idle_turn(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("timer_wheel/idle_turn");
    for pending in PENDING {
        let mut wheel = wheel_with(pending, HOUR);
        let mut now = 0;
        group.bench_function(format!("{pending} pending"), |bencher| {
            bencher.iter(|| {
                now = (now + 1) % 1_000_000;
                black_box(wheel.next_deadline());
                black_box(wheel.pop_expired(Moment::from_millis(now)))
            });
        });
    }
}

fn insert_and_cancel(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("timer_wheel/insert_and_cancel");
    for pending in PENDING {
        let mut wheel = wheel_with(pending, HOUR);
        let mut n = 0;
        group.bench_function(format!("{pending} pending"), |bencher| {
            bencher.iter(|| {
                n += 1;
                let key = wheel.insert(Moment::from_millis(spread(n, 30_000)), VALUE);
                black_box(wheel.cancel(black_box(key)))
            });
        });
    }
}

/// One timer ten seconds ahead at each millisecond: each goes down the levels and expires.
fn insert_and_expire(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("timer_wheel/insert_and_expire");
    for pending in PENDING {
        let mut now = 0;
        let mut wheel = wheel_with(pending, 1 << 47);
        group.bench_function(format!("{pending} pending"), |bencher| {
            bencher.iter(|| {
                now += 1;
                wheel.insert(Moment::from_millis(now + 10_000), VALUE);
                while let Some(expired) = wheel.pop_expired(Moment::from_millis(now)) {
                    black_box(expired);
                }
            });
        });
    }
}

/// All of a million timers: set, then expired at the ticks of ten seconds or on one tick.
fn expire_a_crowd(criterion: &mut Criterion) {
    const COUNT: u64 = 1_000_000;
    let mut group = criterion.benchmark_group("timer_wheel/expire_a_million");
    group
        .throughput(Throughput::Elements(COUNT))
        .sample_size(10);
    for (name, bound) in [("over ten seconds", 10_000), ("on one tick", 1)] {
        let filled = || {
            let mut wheel = TimerWheel::new();
            for n in 0..COUNT {
                wheel.insert(Moment::from_millis(5_000 + spread(n, bound)), VALUE);
            }
            wheel
        };
        group.bench_function(name, |bencher| {
            let expire_all = |mut wheel: TimerWheel<NonZeroU32>| {
                while let Some(now) = wheel.next_deadline() {
                    while let Some(expired) = wheel.pop_expired(now) {
                        black_box(expired);
                    }
                }
                wheel
            };
            bencher.iter_batched(filled, expire_all, BatchSize::PerIteration);
        });
    }
}

criterion_group!(
    benches,
    idle_turn,
    insert_and_cancel,
    insert_and_expire,
    expire_a_crowd
);
criterion_main!(benches);
