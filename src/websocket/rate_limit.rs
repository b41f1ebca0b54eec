//! How fast a client may send: token buckets for frames and for bytes.
//!
//! A client over its rate is not closed: its reads pause until the bucket holds something
//! again, and TCP's flow control holds the peer back.

use crate::moment::Moment;
use crate::rate::Bucket;

/// The rates of one client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RateLimit {
    frames: Option<Bucket>,
    bytes: Option<Bucket>,
}

impl RateLimit {
    /// `None` if nothing is limited.
    pub(crate) fn new(frames: Option<u32>, bytes: Option<u64>, now: Moment) -> Option<Self> {
        if frames.is_none() && bytes.is_none() {
            return None;
        }
        Some(Self {
            frames: frames.map(|rate| Bucket::new(rate.into(), now)),
            bytes: bytes.map(|rate| Bucket::new(rate, now)),
        })
    }

    /// Counts what a client sent.
    pub(crate) fn take(&mut self, frames: u64, bytes: u64, now: Moment) {
        if let Some(bucket) = &mut self.frames {
            bucket.take(frames, now);
        }
        if let Some(bucket) = &mut self.bytes {
            bucket.take(bytes, now);
        }
    }

    /// Until when the client's reads pause, if they do.
    pub(crate) fn paused_until(&self) -> Option<Moment> {
        let frames = self.frames.and_then(|bucket| bucket.resumes());
        let bytes = self.bytes.and_then(|bucket| bucket.resumes());
        frames.max(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_second_worth_passes_at_once_and_more_waits() {
        let start = Moment::START;
        let mut limit = RateLimit::new(Some(10), None, start).expect("limited");
        limit.take(9, 1_000_000, start);
        assert_eq!(limit.paused_until(), None);
        limit.take(1, 0, start);
        assert_eq!(
            limit.paused_until(),
            Some(start + Duration::from_millis(100))
        );
        limit.take(0, 0, start + Duration::from_millis(100));
        assert_eq!(limit.paused_until(), None);
    }

    #[test]
    fn debt_of_a_large_read_is_paid_at_the_rate() {
        let start = Moment::START;
        let mut limit = RateLimit::new(None, Some(1000), start).expect("limited");
        limit.take(1, 3000, start);
        assert_eq!(
            limit.paused_until(),
            Some(start + Duration::from_millis(2100))
        );
    }

    #[test]
    fn an_idle_client_saves_up_one_second_and_no_more() {
        let start = Moment::START;
        let mut limit = RateLimit::new(Some(10), None, start).expect("limited");
        let later = start + Duration::from_secs(3600);
        limit.take(10, 0, later);
        assert!(limit.paused_until().is_some());
    }

    #[test]
    fn nothing_is_limited_by_default() {
        assert!(RateLimit::new(None, None, Moment::START).is_none());
    }
}
