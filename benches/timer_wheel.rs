//! What does a timer cost: set and cancelled, as heartbeats are, and set and expired, as delayed
//! sends are? And does it stay the same with a million others pending?
//!
//! Decided: a `Vec` with indices in place of boxed nodes, and 64 slots a level.

use std::hint::black_box;
use std::time::{Duration, Instant};

use aerys::internals::TimerWheel;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

const PENDING: [u64; 3] = [0, 1_000, 1_000_000];

/// `count` timers, spread over ten minutes from an hour after `start`.
fn wheel_with(count: u64, start: Instant) -> TimerWheel<u64> {
    let mut wheel = TimerWheel::new(start);
    for n in 0..count {
        wheel.insert(start + Duration::from_secs(3600) + spread(n, 600_000), n);
    }
    wheel
}

/// Milliseconds below `bound` without a pattern.
fn spread(n: u64, bound: u64) -> Duration {
    Duration::from_millis(n.wrapping_mul(0x9E37_79B9_7F4A_7C15) % bound)
}

fn insert_and_cancel(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("timer_wheel/insert_and_cancel");
    for pending in PENDING {
        let start = Instant::now();
        let mut wheel = wheel_with(pending, start);
        let mut n = 0_u64;
        group.bench_function(format!("{pending} pending"), |bencher| {
            bencher.iter(|| {
                n += 1;
                let key = wheel.insert(start + spread(n, 30_000), n);
                black_box(wheel.cancel(black_box(key)))
            });
        });
    }
}

/// One timer ten seconds ahead at each millisecond: each goes down the levels and expires.
fn insert_and_expire(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("timer_wheel/insert_and_expire");
    for pending in PENDING {
        let mut now = Instant::now();
        let mut wheel = wheel_with(pending, now + Duration::from_secs(1 << 40));
        group.bench_function(format!("{pending} pending"), |bencher| {
            bencher.iter(|| {
                now += Duration::from_millis(1);
                wheel.insert(now + Duration::from_secs(10), 0);
                while let Some(expired) = wheel.pop_expired(now) {
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
        let start = Instant::now();
        let filled = || {
            let mut wheel = TimerWheel::new(start);
            for n in 0..COUNT {
                wheel.insert(start + Duration::from_secs(5) + spread(n, bound), n);
            }
            wheel
        };
        group.bench_function(name, |bencher| {
            let expire_all = |mut wheel: TimerWheel<u64>| {
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
    insert_and_cancel,
    insert_and_expire,
    expire_a_crowd
);
criterion_main!(benches);
