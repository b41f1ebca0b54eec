//! How long turns of the loop took: a histogram of plain integers.
//!
//! Log-linear: each power of two has eight steps of the same length, so that what is read from it is
//! right by an eighth, from nanoseconds to minutes, in as many places as are fixed from the start. To
//! note a time is to find its highest bit.

use std::time::Duration;

/// Steps in each power of two, as a power of two.
const STEP_BITS: u32 = 3;
const STEPS: usize = 1 << STEP_BITS;
/// Times from 2^36 ns (a minute) on are in the last place.
const POWERS: usize = 36 - STEP_BITS as usize + 1;
const PLACES: usize = POWERS * STEPS;

/// Powers of two in nanoseconds that [`TurnTimes::at_most`] is exposed for: 1 µs to 17 s.
pub(super) const EXPOSED_POWERS: std::ops::RangeInclusive<u32> = 10..=34;

/// How long the turns of a server's loop took: from the return of a poll to the moment when all was
/// served that it brought.
///
/// While a turn goes on nobody else is served: these are what every client waits for at least.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnTimes {
    places: [u64; PLACES],
    count: u64,
    sum: u64,
    max: u64,
}

impl Default for TurnTimes {
    fn default() -> Self {
        Self {
            places: [0; PLACES],
            count: 0,
            sum: 0,
            max: 0,
        }
    }
}

/// Where a time in nanoseconds is counted.
#[inline]
fn place_of(nanos: u64) -> usize {
    let Some(power) = nanos.checked_ilog2().filter(|power| *power >= STEP_BITS) else {
        // Below eight nanoseconds each has its own place.
        return usize::try_from(nanos).unwrap_or(0);
    };
    let shift = power - STEP_BITS;
    // From the second row on: the highest bit is the row, the three behind it the place in it.
    let step = usize::try_from(nanos >> shift).unwrap_or(0) - STEPS;
    ((shift as usize + 1) * STEPS + step).min(PLACES - 1)
}

/// The least time, in nanoseconds, that is counted behind the place.
fn end_of(place: usize) -> u64 {
    let (row, step) = (place / STEPS, place % STEPS);
    let steps = (STEPS + step + 1) as u64;
    match row {
        0 => step as u64 + 1,
        row => steps << (row - 1),
    }
}

impl TurnTimes {
    /// A turn took so many nanoseconds.
    #[inline]
    pub(crate) fn note(&mut self, nanos: u64) {
        self.places[place_of(nanos)] += 1;
        self.count += 1;
        self.sum = self.sum.wrapping_add(nanos);
        self.max = self.max.max(nanos);
    }

    /// How many turns there were.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// How long all of them took together.
    #[must_use]
    pub const fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum)
    }

    /// How long the longest one took.
    #[must_use]
    pub const fn max(&self) -> Duration {
        Duration::from_nanos(self.max)
    }

    /// The time that such a share of all turns (0 to 1) did not exceed, right by an eighth and never
    /// too short; zero without turns.
    ///
    /// ```
    /// # let times = aerys::stats::TurnTimes::default();
    /// let (median, p99) = (times.quantile(0.5), times.quantile(0.99));
    /// ```
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank, between one and the count"
    )]
    pub fn quantile(&self, share: f64) -> Duration {
        if self.count == 0 {
            return Duration::ZERO;
        }
        let rank = (share.clamp(0.0, 1.0) * self.count as f64).ceil() as u64;
        let mut left = rank.clamp(1, self.count);
        for (place, count) in self.places.iter().enumerate() {
            if *count >= left {
                return Duration::from_nanos(self.longest_in(place));
            }
            left -= count;
        }
        self.max()
    }

    /// Those that were noted since `earlier`, which is an older state of the same. The longest of them
    /// is right by an eighth.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut since = Self {
            places: std::array::from_fn(|place| {
                self.places[place].saturating_sub(earlier.places[place])
            }),
            count: self.count.saturating_sub(earlier.count),
            sum: self.sum.wrapping_sub(earlier.sum),
            max: self.max,
        };
        if self.max == earlier.max {
            let last = since.places.iter().rposition(|count| *count > 0);
            since.max = last.map_or(0, |place| self.longest_in(place));
        }
        since
    }

    /// The longest that one which is counted there may have taken.
    fn longest_in(&self, place: usize) -> u64 {
        if place == PLACES - 1 {
            self.max // whatever is longer is there, too
        } else {
            self.max.min(end_of(place) - 1)
        }
    }

    /// How many took less than 2 to the `power` nanoseconds.
    pub(super) fn below(&self, power: u32) -> u64 {
        let row = (power - STEP_BITS + 1) as usize;
        self.places[..row * STEPS].iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn places_follow_each_other_without_a_gap() {
        let mut place = 0;
        for nanos in 0..100_000 {
            let next = place_of(nanos);
            assert!(next == place || next == place + 1, "{nanos} ns");
            place = next;
            assert!(nanos < end_of(place), "{nanos} ns");
            assert!(place == 0 || nanos >= end_of(place - 1), "{nanos} ns");
        }
        assert_eq!(place_of(u64::MAX), PLACES - 1);
    }

    proptest! {
        #[test]
        fn a_quantile_is_never_too_short_and_right_by_an_eighth(nanos in 8_u64..1 << 36) {
            let mut times = TurnTimes::default();
            times.note(nanos);
            times.note(1 << 36);
            let told = u64::try_from(times.quantile(0.5).as_nanos()).unwrap();
            prop_assert!(told >= nanos && told - nanos <= nanos / 8, "{told} of {nanos}");
        }
    }

    #[test]
    fn quantiles_are_by_rank_and_the_last_one_is_the_longest() {
        let mut times = TurnTimes::default();
        assert_eq!(times.quantile(0.5), Duration::ZERO);
        for nanos in 1..=7 {
            times.note(nanos);
        }
        let nanos = |share| times.quantile(share).as_nanos();
        assert_eq!([0.0, 0.5, 0.99, 1.0].map(nanos), [1, 4, 7, 7]);
        times.note(1_000_003);
        assert_eq!(times.quantile(1.0), times.max());
        assert_eq!((times.count(), times.sum().as_nanos()), (8, 1_000_031));
    }

    #[test]
    fn what_took_more_than_a_minute_is_not_told_as_less() {
        let mut times = TurnTimes::default();
        times.note(100_000_000_000);
        assert_eq!(times.quantile(0.5).as_secs(), 100);
        assert_eq!(
            times.since(&TurnTimes::default()).quantile(0.5).as_secs(),
            100
        );
    }

    #[test]
    fn what_was_since_is_without_what_was_before() {
        let mut times = TurnTimes::default();
        times.note(5_000_000);
        let earlier = times.clone();
        times.note(1_000);
        let since = times.since(&earlier);
        assert_eq!((since.count(), since.sum().as_nanos()), (1, 1_000));
        let max = since.max().as_nanos();
        assert!((1_000..=1_125).contains(&max), "{max}");
        times.note(9_000_000);
        assert_eq!(times.since(&earlier).max().as_nanos(), 9_000_000);
        assert_eq!(times.since(&times).max(), Duration::ZERO);
    }

    #[test]
    fn what_took_less_than_a_power_of_two_is_exact() {
        let mut times = TurnTimes::default();
        for nanos in [0, 7, 8, 1023, 1024, 1025, 2047, 2048, 1 << 34] {
            times.note(nanos);
        }
        assert_eq!(
            [3, 10, 11, 34].map(|power| times.below(power)),
            [2, 4, 7, 8]
        );
    }
}
