//! The server's time: whole milliseconds since it was bound.
//!
//! One number where an `Instant` is two: a deadline is compared with one instruction, and what a
//! million idle clients each keep of the past takes six bytes ([`Stamp`]) and not sixteen. The
//! event loop alone knows the clock that it is read from.

use std::ops::{Add, AddAssign};
use std::time::{Duration, Instant};

/// A point of time, in milliseconds since the server was bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

const NANOS_PER_MILLI: u64 = 1_000_000;

impl Moment {
    /// When the server was bound.
    pub const START: Self = Self(0);
    /// Later than all that will come: 8,925 years, the most that a [`Stamp`] holds.
    pub const NEVER: Self = Self((1 << 48) - 1);

    /// So many milliseconds after the start, at most [`NEVER`](Self::NEVER).
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(if millis < Self::NEVER.0 {
            millis
        } else {
            Self::NEVER.0
        })
    }

    /// Milliseconds since the start.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The last moment at or before `nanos` nanoseconds after the start: what has surely come.
    #[must_use]
    #[inline]
    pub const fn at_or_before(nanos: u64) -> Self {
        Self::from_millis(nanos / NANOS_PER_MILLI)
    }

    /// The first moment at or after that: a delay that is counted from it is never short.
    #[must_use]
    pub const fn at_or_after(nanos: u64) -> Self {
        Self::from_millis(nanos.div_ceil(NANOS_PER_MILLI))
    }

    /// Nanoseconds since the start, or all that a `u64` can say.
    #[must_use]
    #[inline]
    pub const fn as_nanos(self) -> u64 {
        self.0.saturating_mul(NANOS_PER_MILLI)
    }

    /// This moment on the clock that began at `started`.
    #[must_use]
    pub fn instant(self, started: Instant) -> Instant {
        // The sum is of a clock that reads it, or of one that never will.
        started
            .checked_add(Duration::from_millis(self.0))
            .unwrap_or(started)
    }

    /// How long after `earlier` this is; nothing if it is before.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Rounded up to whole milliseconds, and at most [`Moment::NEVER`].
impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self::from_millis(self.0.saturating_add(millis_rounded_up(duration)))
    }
}

impl AddAssign<Duration> for Moment {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

/// Not `as_millis`, whose division of 128 bits would cost more than all that it is asked for.
fn millis_rounded_up(duration: Duration) -> u64 {
    let millis_of_second = duration.subsec_nanos().div_ceil(1_000_000);
    let millis = duration.as_secs().saturating_mul(1000);
    millis.saturating_add(u64::from(millis_of_second))
}

/// A [`Moment`] as it is kept: six bytes, aligned to two.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C, packed(2))]
pub(crate) struct Stamp {
    low: u32,
    high: u16,
}

impl From<Moment> for Stamp {
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "32 and 16 bits, of 48")]
    fn from(Moment(millis): Moment) -> Self {
        Self {
            low: millis as u32,
            high: (millis >> 32) as u16,
        }
    }
}

impl From<Stamp> for Moment {
    #[inline]
    fn from(Stamp { low, high }: Stamp) -> Self {
        Self(u64::from(high) << 32 | u64::from(low))
    }
}

impl std::fmt::Debug for Stamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Moment::from(*self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_gives_back_its_moment() {
        for millis in [
            0,
            1,
            0xFFFF,
            0x1_0000,
            0xFFFF_FFFF,
            0x1_0000_0000,
            (1 << 48) - 1,
        ] {
            let moment = Moment::from_millis(millis);
            assert_eq!(Moment::from(Stamp::from(moment)), moment);
        }
        assert_eq!((size_of::<Stamp>(), align_of::<Stamp>()), (6, 2));
    }

    #[test]
    fn delays_are_never_short_and_what_has_come_is_never_early() {
        assert_eq!(Moment::at_or_before(1_999_999).as_millis(), 1);
        assert_eq!(Moment::at_or_after(1_000_000).as_millis(), 1);
        assert_eq!(Moment::at_or_after(1_000_001).as_millis(), 2);
        let later = Moment::START + Duration::from_nanos(5_000_001);
        assert_eq!((later.as_millis(), later.as_nanos()), (6, 6_000_000));
        let started = Instant::now();
        assert_eq!(later.instant(started), started + Duration::from_millis(6));
    }

    #[test]
    fn no_sum_is_beyond_what_a_stamp_holds() {
        assert_eq!(Moment::START + Duration::MAX, Moment::NEVER);
        assert_eq!(Moment::NEVER + Duration::from_millis(1), Moment::NEVER);
        assert_eq!(Moment::from_millis(u64::MAX), Moment::NEVER);
    }

    #[test]
    fn time_does_not_run_backwards() {
        let (early, late) = (Moment::from_millis(5), Moment::from_millis(9));
        assert_eq!(late.since(early), Duration::from_millis(4));
        assert_eq!(early.since(late), Duration::ZERO);
    }
}
