//! How often which latency was seen.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// The longest latency that is told from longer ones: an hour, in nanoseconds.
const MAX_NANOS: u64 = 3_600_000_000_000;

/// Of a latency, that many decimal digits are right: it is in error by a thousandth at most.
const DIGITS: u8 = 3;

/// Latencies of one kind, in nanoseconds, as a histogram of a bounded size (about 260 KiB).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "Written", try_from = "Written")]
pub(crate) struct Latencies(Histogram<u64>);

/// What is written of them. The percentiles are there for who reads the file with another program:
/// when it is read here, the counts say it all.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Written {
    count: u64,
    min_ns: u64,
    mean_ns: f64,
    p50_ns: u64,
    p75_ns: u64,
    p90_ns: u64,
    p99_ns: u64,
    p99_9_ns: u64,
    p99_99_ns: u64,
    max_ns: u64,
    /// Pairs: the longest latency of a bucket, and how many latencies are in it. Ascending, none empty.
    buckets_ns_count: Vec<(u64, u64)>,
}

impl Latencies {
    pub(crate) fn new() -> Self {
        Self(Histogram::new_with_bounds(1, MAX_NANOS, DIGITS).expect("bounds that are constant"))
    }

    /// Counts one. No allocation; a latency over an hour counts as one of an hour.
    pub(crate) fn record(&mut self, nanos: u64) {
        self.0.saturating_record(nanos);
    }

    /// Adds those of another run, or of another worker.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("the bounds are the same");
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// The latency that `percent` of all did not exceed, in nanoseconds: 0 if there are none.
    pub(crate) fn percentile_nanos(&self, percent: f64) -> u64 {
        self.0.value_at_percentile(percent)
    }

    /// 0 if there are none.
    pub(crate) fn min_nanos(&self) -> u64 {
        self.0.min()
    }

    /// 0 if there are none.
    pub(crate) fn max_nanos(&self) -> u64 {
        self.0.max()
    }

    /// 0 if there are none.
    pub(crate) fn mean_nanos(&self) -> f64 {
        self.0.mean()
    }

    /// The longest latency of each bucket that is not empty, and how many are in it; ascending.
    pub(crate) fn buckets(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let recorded = self.0.iter_recorded();
        recorded.map(|step| (step.value_iterated_to(), step.count_at_value()))
    }
}

impl From<Latencies> for Written {
    fn from(latencies: Latencies) -> Self {
        let at = |percent| latencies.percentile_nanos(percent);
        Self {
            count: latencies.count(),
            min_ns: latencies.min_nanos(),
            mean_ns: latencies.mean_nanos(),
            p50_ns: at(50.0),
            p75_ns: at(75.0),
            p90_ns: at(90.0),
            p99_ns: at(99.0),
            p99_9_ns: at(99.9),
            p99_99_ns: at(99.99),
            max_ns: latencies.max_nanos(),
            buckets_ns_count: latencies.buckets().collect(),
        }
    }
}

impl TryFrom<Written> for Latencies {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let mut latencies = Self::new();
        let mut sum = 0_u64;
        for (nanos, count) in written.buckets_ns_count {
            sum = sum
                .checked_add(count)
                .ok_or("more latencies than can be counted")?;
            latencies
                .0
                .record_n(nanos, count)
                .map_err(|_| format!("a latency of {nanos} ns is over an hour"))?;
        }
        if sum != written.count {
            return Err(format!(
                "{} latencies are announced, and {sum} counted",
                written.count
            ));
        }
        Ok(latencies)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that look random and are the same each time.
    fn latencies(count: usize) -> Vec<u64> {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let next = |_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            // From a microsecond to half a minute, as many in each power of two.
            1000 << (state % 25) | (state >> 32) & 0x3FF
        };
        (0..count).map(next).collect()
    }

    #[test]
    fn percentiles_are_those_of_the_sorted_list_within_a_thousandth() {
        let mut sorted = latencies(10_000);
        let mut histogram = Latencies::new();
        for nanos in &sorted {
            histogram.record(*nanos);
        }
        sorted.sort_unstable();
        for (percent, rank) in [
            (0.01, 1),
            (25.0, 2500),
            (50.0, 5000),
            (90.0, 9000),
            (99.0, 9900),
            (99.9, 9990),
            (99.99, 9999),
            (100.0, 10_000),
        ] {
            let exact = sorted[rank - 1];
            let told = histogram.percentile_nanos(percent);
            assert!(
                told >= exact && told - exact <= exact / 1000,
                "p{percent}: {told}, exactly {exact}"
            );
        }
        assert_eq!(histogram.count(), 10_000);
        assert!(histogram.max_nanos() - sorted[9999] <= sorted[9999] / 1000);
        let mean = sorted.iter().sum::<u64>() as f64 / 10_000.0;
        assert!((histogram.mean_nanos() - mean).abs() <= mean / 1000.0);
    }

    #[test]
    fn what_is_merged_is_what_is_recorded_together() {
        let all = latencies(1000);
        let (mut together, mut one, mut other) =
            (Latencies::new(), Latencies::new(), Latencies::new());
        for (index, nanos) in all.iter().enumerate() {
            together.record(*nanos);
            if index % 3 == 0 { &mut one } else { &mut other }.record(*nanos);
        }
        assert_ne!(one, together);
        one.merge(&other);
        assert_eq!(one, together);
        let buckets = together.buckets().map(|(_, count)| count);
        assert_eq!(buckets.sum::<u64>(), 1000);
    }

    #[test]
    fn nothing_and_too_much_have_numbers_too() {
        let mut histogram = Latencies::new();
        let told = [
            histogram.percentile_nanos(99.99),
            histogram.min_nanos(),
            histogram.max_nanos(),
        ];
        assert_eq!(told, [0; 3]);
        histogram.record(u64::MAX);
        assert!(histogram.max_nanos() >= MAX_NANOS && histogram.max_nanos() < MAX_NANOS * 2);
        // It is read again, too.
        let text = serde_json::to_string(&histogram).expect("it is JSON");
        assert!(serde_json::from_str::<Latencies>(&text).is_ok());
    }

    #[test]
    fn a_file_whose_counts_do_not_add_up_is_refused() {
        let mut histogram = Latencies::new();
        for nanos in [1000, 2000, 2000] {
            histogram.record(nanos);
        }
        let text = serde_json::to_string(&histogram).expect("it is JSON");
        let of = |text: &str| serde_json::from_str::<Latencies>(text);
        assert_eq!(of(&text).expect("it is read again"), histogram);
        for (from, to) in [
            ("\"count\":3", "\"count\":4"),
            ("[2000,2]", "[9999999999999999,2]"),
            ("[2000,2]", "[2000,18446744073709551615]"),
        ] {
            assert!(text.contains(from), "{text}");
            assert!(of(&text.replace(from, to)).is_err(), "{to}");
        }
    }
}
