//! How much a client may ask for that costs it nothing: leaky buckets against floods.
//!
//! A stream that is reset takes no place among those that may be open at once, so their number
//! limits no work (CVE-2023-44487); nor does it if the client has us reset it (CVE-2025-8671). Frames
//! that carry nothing are cheap to send, and many of them have to be answered (CVE-2019-9512, -9515,
//! -9518). All of them are legal, and few of each are usual.

use crate::http2::frame::{ConnectionError, ErrorCode};
use crate::moment::Moment;

/// So many at once, and so many a second.
#[derive(Clone, Copy, Debug)]
struct Rate {
    burst: u32,
    per_second: u32,
}

/// Streams that the client reset, or had us reset: what other servers found no client to need.
const RESETS: Rate = Rate {
    burst: 1000,
    per_second: 33,
};

/// Frames that carry nothing. A client that is asked for much may answer each frame with two
/// `WINDOW_UPDATE` frames: what is useful gives back ([`Floods::requested`], [`Floods::sent`]).
const EMPTY_FRAMES: Rate = Rate {
    burst: 10_000,
    per_second: 1000,
};

/// What a request gives back: it may be followed by a reprioritization and window updates.
const PER_REQUEST: u32 = 8;

/// What a DATA frame of ours gives back.
const PER_DATA_FRAME: u32 = 2;

/// Bytes of DATA frames of ours that give back one more.
const BYTES_PER_FRAME: usize = 256;

/// Thousandths of what is counted, so that no refill is lost to rounding.
const SCALE: u32 = 1000;

/// What is left of a [`Rate`].
#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// In units of 1/[`SCALE`].
    level: u32,
    refilled: Moment,
}

impl Bucket {
    const fn full(rate: Rate, now: Moment) -> Self {
        Self {
            level: rate.burst * SCALE,
            refilled: now,
        }
    }

    /// Takes one, if there is one.
    fn take(&mut self, rate: Rate, now: Moment) -> bool {
        // One a second is a thousandth a millisecond.
        let elapsed = now.since(self.refilled).as_millis();
        let refill = elapsed.saturating_mul(u128::from(rate.per_second));
        self.refilled = self.refilled.max(now);
        self.give(rate, u32::try_from(refill).unwrap_or(u32::MAX));
        match self.level.checked_sub(SCALE) {
            Some(level) => {
                self.level = level;
                true
            }
            None => false,
        }
    }

    /// Adds `level` thousandths, as far as there is room.
    fn give(&mut self, rate: Rate, level: u32) {
        self.level = self.level.saturating_add(level).min(rate.burst * SCALE);
    }
}

/// What a client may still ask for in vain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Floods {
    resets: Bucket,
    empty_frames: Bucket,
}

impl Floods {
    pub(super) const fn new(now: Moment) -> Self {
        Self {
            resets: Bucket::full(RESETS, now),
            empty_frames: Bucket::full(EMPTY_FRAMES, now),
        }
    }

    /// The client reset a stream, or broke a rule for which we do.
    pub(super) fn count_reset(&mut self, now: Moment) -> Result<(), ConnectionError> {
        if self.resets.take(RESETS, now) {
            return Ok(());
        }
        let reason = "too many streams were reset";
        Err(ConnectionError::new(ErrorCode::ENHANCE_YOUR_CALM, reason))
    }

    /// A frame came that carries nothing.
    pub(super) fn count_empty_frame(&mut self, now: Moment) -> Result<(), ConnectionError> {
        if self.empty_frames.take(EMPTY_FRAMES, now) {
            return Ok(());
        }
        let reason = "too many frames carry nothing";
        Err(ConnectionError::new(ErrorCode::ENHANCE_YOUR_CALM, reason))
    }

    /// A request came.
    pub(super) fn requested(&mut self) {
        self.empty_frames.give(EMPTY_FRAMES, PER_REQUEST * SCALE);
    }

    /// A DATA frame of `len` bytes goes out.
    ///
    /// However short it is: a client that gives back each frame's window at once may have short rests
    /// of it go round for long. Who opens it byte by byte on purpose (CVE-2019-9511) is asked for
    /// progress by the loop.
    pub(super) fn sent(&mut self, len: usize) {
        let by_length = u32::try_from(len / BYTES_PER_FRAME).unwrap_or(u32::MAX);
        let count = by_length.saturating_add(PER_DATA_FRAME);
        self.empty_frames
            .give(EMPTY_FRAMES, count.saturating_mul(SCALE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// How many pass at once.
    fn passing(mut take: impl FnMut() -> Result<(), ConnectionError>) -> usize {
        std::iter::repeat_with(|| take().is_ok())
            .take(100_000)
            .take_while(|passes| *passes)
            .count()
    }

    #[test]
    fn a_thousand_resets_pass_and_then_33_a_second() {
        let mut now = Moment::START;
        let mut floods = Floods::new(now);
        assert_eq!(passing(|| floods.count_reset(now)), 1000);
        now += Duration::from_secs(2);
        assert_eq!(passing(|| floods.count_reset(now)), 66);
        // No more is saved up than the burst.
        now += Duration::from_secs(1_000_000_000);
        assert_eq!(passing(|| floods.count_reset(now)), 1000);
    }

    #[test]
    fn a_refill_in_parts_is_a_refill_in_whole() {
        let mut now = Moment::START;
        let mut floods = Floods::new(now);
        assert_eq!(passing(|| floods.count_reset(now)), 1000);
        let mut passed = 0;
        for _ in 0..10_000 {
            now += Duration::from_millis(1);
            passed += usize::from(floods.count_reset(now).is_ok());
        }
        assert_eq!(passed, 330);
    }

    #[test]
    fn requests_and_data_give_back_frames_that_carry_nothing() {
        let now = Moment::START;
        let mut floods = Floods::new(now);
        assert_eq!(passing(|| floods.count_empty_frame(now)), 10_000);
        floods.requested();
        assert_eq!(passing(|| floods.count_empty_frame(now)), 8);
        floods.sent(1);
        assert_eq!(passing(|| floods.count_empty_frame(now)), 2);
        floods.sent(16_384);
        assert_eq!(passing(|| floods.count_empty_frame(now)), 66);
        assert_eq!(passing(|| floods.count_empty_frame(now)), 0);
        let error = floods.count_empty_frame(now).unwrap_err();
        assert_eq!(error.code, ErrorCode::ENHANCE_YOUR_CALM);
    }
}
