//! A token bucket: how often something may happen.
//!
//! Whoever passes a rate is either made to wait until [`resumes`](Bucket::resumes), or refused
//! ([`try_take`](Bucket::try_take)).

use crate::moment::Moment;
use std::time::Duration;

/// Tokens a second, with room for one second's worth. A rate of 0 counts as 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    per_second: u64,
    /// What is left, in billionths of a token, so that no refill is lost to rounding. May be
    /// in debt by what one read brought.
    level: i128,
    refilled: Moment,
}

const NANOS: i128 = 1_000_000_000;

impl Bucket {
    /// A full one.
    pub(crate) fn new(per_second: u64, now: Moment) -> Self {
        let per_second = per_second.max(1);
        Self {
            per_second,
            level: i128::from(per_second) * NANOS,
            refilled: now,
        }
    }

    /// How many tokens a second it gets.
    pub(crate) const fn rate(&self) -> u64 {
        self.per_second
    }

    fn refill(&mut self, now: Moment) {
        let elapsed = now.since(self.refilled).as_nanos();
        self.refilled = self.refilled.max(now);
        let full = i128::from(self.per_second) * NANOS;
        let refill = i128::try_from(elapsed)
            .unwrap_or(full)
            .saturating_mul(i128::from(self.per_second));
        self.level = self.level.saturating_add(refill).min(full);
    }

    /// Takes `count` tokens, also those that are not there: who pauses for it owes them.
    pub(crate) fn take(&mut self, count: u64, now: Moment) {
        self.refill(now);
        self.level -= i128::from(count) * NANOS;
    }

    /// Takes a token if there is one: for who is refused, and owes nothing.
    pub(crate) fn try_take(&mut self, now: Moment) -> bool {
        self.refill(now);
        let has_one = self.level >= NANOS;
        if has_one {
            self.level -= NANOS;
        }
        has_one
    }

    /// When a tenth of a second's worth is there again; `None` if the bucket is not empty.
    ///
    /// Not the first token: pausing and resuming for each frame would cost more than it holds off.
    pub(crate) fn resumes(&self) -> Option<Moment> {
        if self.level > 0 {
            return None;
        }
        let wanted = i128::from(self.per_second) * NANOS / 10 - self.level;
        let nanos = wanted / i128::from(self.per_second);
        Some(self.refilled + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_refused_has_taken_nothing() {
        let start = Moment::START;
        let mut bucket = Bucket::new(2, start);
        assert!(bucket.try_take(start) && bucket.try_take(start));
        for _ in 0..1000 {
            assert!(!bucket.try_take(start + Duration::from_millis(499)));
        }
        assert!(bucket.try_take(start + Duration::from_millis(500)));
        assert!(!bucket.try_take(start + Duration::from_millis(500)));
    }

    #[test]
    fn no_rate_and_no_time_is_too_large_or_too_small() {
        let late = Moment::NEVER;
        for rate in [0, 1, u64::MAX] {
            let mut bucket = Bucket::new(rate, Moment::START);
            assert!(bucket.try_take(late), "{rate}");
            bucket.take(u64::MAX, late);
            assert!(
                bucket.resumes().is_some_and(|until| until >= late),
                "{rate}"
            );
        }
    }
}
