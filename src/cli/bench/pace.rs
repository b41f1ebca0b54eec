//! When messages are due at a fixed rate, and how long may be slept until then.

use std::time::Duration;

/// Below this, waiting is watching: the poll counts in milliseconds, and what it oversleeps would be
/// taken for the server's.
const WATCHED_NANOS: u64 = 1_000_000;

/// The longest that is slept, so that progress is shown.
const MAX_SLEEP: Duration = Duration::from_millis(100);

/// A schedule: message `k` is due `k / rate` seconds after it began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    began: u64,
    rate: u32,
    issued: u64,
    measured_from: u64,
    /// How late the latest was taken up of those that are measured, in nanoseconds: the fault of the load
    /// generator.
    pub(super) late_nanos: u64,
}

impl Pace {
    /// `rate` a second from `began` on, measured from `measured_from` on.
    pub(super) const fn new(rate: u32, began: u64, measured_from: u64) -> Self {
        Self {
            began,
            rate,
            issued: 0,
            measured_from,
            late_nanos: 0,
        }
    }

    /// When the next one is due.
    pub(super) fn next_due(&self) -> u64 {
        let after = u128::from(self.issued) * 1_000_000_000 / u128::from(self.rate);
        self.began
            .saturating_add(u64::try_from(after).unwrap_or(u64::MAX))
    }

    /// Takes up the next one if it is due by `now`: when it was.
    pub(super) fn take(&mut self, now: u64) -> Option<u64> {
        let due = self.next_due();
        let late = now.checked_sub(due)?;
        self.issued += 1;
        if due >= self.measured_from {
            self.late_nanos = self.late_nanos.max(late);
        }
        Some(due)
    }
}

/// How long may be slept at `now` if something is to be done at `next`: whole milliseconds, since the poll
/// rounds up what is not, and what it has in reserve would be gone.
pub(super) fn sleep(now: u64, next: u64) -> Duration {
    let nanos = next.saturating_sub(now).saturating_sub(WATCHED_NANOS);
    Duration::from_millis(nanos / 1_000_000).min(MAX_SLEEP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_due_evenly_and_the_sum_of_them_is_the_rate() {
        let mut pace = Pace::new(3, 1000, 333_334_333);
        let due: Vec<_> = std::iter::from_fn(|| pace.take(1_000_001_000)).collect();
        assert_eq!(due, [1000, 333_334_333, 666_667_666, 1_000_001_000]);
        // Of the first, which is not measured, it does not count.
        assert_eq!(pace.late_nanos, 666_666_667);
        assert_eq!(pace.take(1_000_001_000), None);
        // Whoever comes late gets all that were due, with the times at which they were.
        let mut pace = Pace::new(1_000_000, 0, 0);
        let mut all = std::iter::from_fn(|| pace.take(999_999_999));
        assert_eq!(all.next(), Some(0));
        assert_eq!((all.count(), pace.next_due()), (999_999, 1_000_000_000));
    }

    #[test]
    fn what_is_due_soon_is_watched_for() {
        assert_eq!(sleep(5, 5), Duration::ZERO);
        assert_eq!(sleep(9, 5), Duration::ZERO);
        assert_eq!(sleep(0, WATCHED_NANOS), Duration::ZERO);
        assert_eq!(sleep(0, 5 * WATCHED_NANOS), Duration::from_millis(4));
        assert_eq!(sleep(0, u64::MAX), MAX_SLEEP);
        // The poll would make a millisecond of it, and be late.
        assert_eq!(sleep(0, WATCHED_NANOS + 100_000), Duration::ZERO);
        assert_eq!(sleep(0, 3 * WATCHED_NANOS - 1), Duration::from_millis(1));
    }
}
