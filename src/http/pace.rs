//! How fast a request body has to come, whatever carries it.

use crate::config::Config;
use crate::moment::Moment;
use std::time::Duration;

/// How a body comes that is handed on in pieces, and whether the application lets it wait.
#[derive(Debug)]
pub(crate) struct BodyPace {
    received_bytes: u64,
    /// When the last of them came, or the body was let go on.
    progress: Moment,
    /// Since when the application lets it wait.
    paused: Option<Moment>,
}

impl BodyPace {
    /// That of a body of which nothing has come at `now`.
    pub(crate) const fn new(now: Moment) -> Self {
        Self {
            received_bytes: 0,
            progress: now,
            paused: None,
        }
    }

    /// So many bytes came at `now`. How many that are in all.
    pub(crate) const fn receive(&mut self, len: usize, now: Moment) -> u64 {
        self.received_bytes += len as u64;
        self.progress = now;
        self.received_bytes
    }

    /// Whether the application lets it wait.
    pub(crate) const fn is_paused(&self) -> bool {
        self.paused.is_some()
    }

    /// Lets the body wait from `now` on, or no longer. How long it has waited then: that time is not
    /// the client's.
    pub(crate) fn pause(&mut self, pause: bool, now: Moment) -> Duration {
        match self.paused {
            None if pause => self.paused = Some(now),
            Some(since) if !pause => {
                self.paused = None;
                self.progress = now;
                return now.since(since);
            }
            _ => {}
        }
        Duration::ZERO
    }

    /// How long a body that began at `since` may have taken; `None` while it is let wait.
    pub(crate) fn timeout(&self, since: Moment, config: &Config) -> Option<Duration> {
        if self.is_paused() {
            return None;
        }
        // What was fast has so much time left that a peer which is gone would keep it for days.
        let stalled = self.progress.since(since) + config.body_stall_timeout;
        Some(body_timeout(self.received_bytes, config).min(stalled))
    }
}

/// How long a body may have taken when so much of it is there: a grace, then a least rate
/// over the whole time.
pub(crate) fn body_timeout(received_bytes: u64, config: &Config) -> Duration {
    // Without a least rate nothing can fall below it.
    let Some(millis) = received_bytes
        .saturating_mul(1000)
        .checked_div(config.min_body_bytes_per_second as u64)
    else {
        return Duration::MAX;
    };
    Duration::from_millis(millis).max(config.body_grace)
}
