//! What happens during a run, counted as it happens: integers, and no allocation for a message.
//!
//! Times are nanoseconds since measuring began, behind the warm-up: the clock is the caller's.

use super::histogram::Latencies;
use super::run::{Counts, ErrorKind, Interval, Intervals, Series};
use hdrhistogram::Histogram;
use std::time::Duration;

/// Counts, latencies, and how both went over time.
#[derive(Debug)]
pub(crate) struct Recorder {
    /// What is counted where it happens. Errors go through [`Recorder::error`].
    pub(crate) counts: Counts,
    series: Vec<Series>,
    intervals: Intervals,
    now: Current,
}

/// The interval that is going on.
#[derive(Debug)]
struct Current {
    end_nanos: u64,
    length_nanos: u64,
    messages: u64,
    errors: u64,
    /// Two digits and small counters: it is emptied once an interval, and shares the cache with what is
    /// measured.
    latencies: Histogram<u32>,
}

/// In a second digit nobody sees a difference: intervals are drawn.
const INTERVAL_DIGITS: u8 = 2;

impl Recorder {
    /// For latencies of these kinds, `round trip` for instance. The last is the one that the time line
    /// shows and that is meant where a report speaks of the latency.
    pub(crate) fn new(kinds: &[&str], interval: Duration) -> Self {
        let length_nanos = u64::try_from(interval.as_nanos())
            .unwrap_or(u64::MAX)
            .max(1);
        let series = kinds.iter().map(|kind| Series {
            kind: (*kind).to_owned(),
            latencies: Latencies::new(),
        });
        Self {
            counts: Counts::default(),
            series: series.collect(),
            intervals: Intervals {
                length_s: interval.as_secs_f64(),
                list: Vec::new(),
            },
            now: Current {
                end_nanos: length_nanos,
                length_nanos,
                messages: 0,
                errors: 0,
                latencies: Histogram::new_with_bounds(1, 3_600_000_000_000, INTERVAL_DIGITS)
                    .expect("bounds that are constant"),
            },
        }
    }

    /// How long intervals are for a run of `duration`: a hundredth of it, and no less than ten
    /// milliseconds.
    pub(crate) fn interval(duration: Duration) -> Duration {
        (duration / 100).max(Duration::from_millis(10))
    }

    /// `received` messages were received (or handshakes made, or responses), at `at_nanos`, with one
    /// latency in nanoseconds for each kind. Times do not go back.
    pub(crate) fn record(&mut self, at_nanos: u64, received: u64, latencies_nanos: &[u64]) {
        debug_assert_eq!(latencies_nanos.len(), self.series.len());
        self.pass_to(at_nanos);
        self.counts.received += received;
        self.now.messages += received;
        for (series, nanos) in self.series.iter_mut().zip(latencies_nanos) {
            series.latencies.record(*nanos);
        }
        if let Some(nanos) = latencies_nanos.last() {
            self.now.latencies.saturating_record(*nanos);
        }
    }

    /// Something went wrong at `at_nanos`.
    pub(crate) fn error(&mut self, at_nanos: u64, kind: ErrorKind) {
        self.pass_to(at_nanos);
        self.counts.errors.add(kind);
        self.now.errors += 1;
    }

    /// Ends the intervals that end before `at_nanos`: also for who shows progress, when nothing happens.
    pub(crate) fn pass_to(&mut self, at_nanos: u64) {
        while at_nanos >= self.now.end_nanos {
            self.end_interval();
        }
    }

    fn end_interval(&mut self) {
        let now = &mut self.now;
        self.intervals.list.push(Interval {
            messages: now.messages,
            errors: now.errors,
            p50_ns: now.latencies.value_at_quantile(0.5),
            p99_ns: now.latencies.value_at_quantile(0.99),
            max_ns: match now.messages {
                // Of nothing, the histogram's would not be 0.
                0 => 0,
                _ => now.latencies.max(),
            },
        });
        if now.messages > 0 {
            now.latencies.reset();
        }
        (now.messages, now.errors) = (0, 0);
        now.end_nanos = now.end_nanos.saturating_add(now.length_nanos);
    }

    /// The last interval that has ended, for who shows progress.
    pub(crate) fn last_interval(&self) -> Option<Interval> {
        self.intervals.list.last().copied()
    }

    /// What was counted, by kind of latency, over time. What is left of an interval is one of its own.
    pub(crate) fn finish(mut self) -> (Counts, Vec<Series>, Intervals) {
        if self.now.messages > 0 || self.now.errors > 0 {
            self.end_interval();
        }
        (self.counts, self.series, self.intervals)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn recorder(kinds: &[&str]) -> Recorder {
        Recorder::new(kinds, Duration::from_millis(10))
    }

    #[test]
    fn intervals_add_up_to_the_counts() {
        let mut recorder = recorder(&["round trip"]);
        for number in 0..1000_u64 {
            let at = number * MS / 7;
            recorder.record(at, 1, &[number * 1000]);
            if number % 50 == 0 {
                recorder.error(at, ErrorKind::Closed);
            }
        }
        let (counts, series, intervals) = recorder.finish();
        assert_eq!(intervals.list.len(), 15, "142.7 ms of 10 ms each");
        let sum = |of: fn(&Interval) -> u64| intervals.list.iter().map(of).sum::<u64>();
        assert_eq!(sum(|interval| interval.messages), 1000);
        assert_eq!(sum(|interval| interval.errors), 20);
        assert_eq!((counts.received, counts.errors.closed), (1000, 20));
        assert_eq!(series[0].latencies.count(), 1000);
        // At 7 a millisecond, the first holds latencies from 0 to 69 us, the second from 70 to 139.
        let first = intervals.list[0];
        assert_eq!(first.messages, 70);
        assert!((34_000..=35_500).contains(&first.p50_ns), "{first:?}");
        assert!((69_000..=70_000).contains(&first.max_ns), "{first:?}");
        let second = intervals.list[1];
        assert!((139_000..=141_000).contains(&second.max_ns), "{second:?}");
        assert!((104_000..=106_000).contains(&second.p50_ns), "{second:?}");
    }

    #[test]
    fn silence_makes_intervals_too() {
        let mut recorder = recorder(&["round trip"]);
        recorder.record(MS, 1, &[5000]);
        recorder.record(35 * MS, 1, &[9000]);
        assert_eq!(recorder.last_interval().map(|last| last.messages), Some(0));
        let (_, _, intervals) = recorder.finish();
        let messages: Vec<u64> = intervals.list.iter().map(|one| one.messages).collect();
        assert_eq!(messages, [1, 0, 0, 1]);
        assert_eq!((intervals.list[1].p99_ns, intervals.list[1].max_ns), (0, 0));
    }

    #[test]
    fn a_broadcast_has_three_latencies_and_the_last_is_the_one_over_time() {
        let mut recorder = recorder(&["first", "median", "last"]);
        recorder.record(MS, 100, &[10_000, 20_000, 90_000]);
        let (counts, series, intervals) = recorder.finish();
        assert_eq!((counts.received, intervals.list[0].messages), (100, 100));
        let medians = series
            .iter()
            .map(|one| one.latencies.percentile_nanos(50.0) / 1000);
        assert_eq!(medians.collect::<Vec<_>>(), [10, 20, 90]);
        assert_eq!(intervals.list[0].p50_ns / 1000, 90);
    }

    #[test]
    fn an_interval_is_a_hundredth_of_the_run() {
        let of = |millis| Recorder::interval(Duration::from_millis(millis)).as_millis();
        assert_eq!([of(10_000), of(100), of(600_000)], [100, 10, 6000]);
    }
}
