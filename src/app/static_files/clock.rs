//! The time, as the cache of files needs it, and the log: no responder is told it.

use std::time::{Duration, Instant, SystemTime};

/// Where the time comes from.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    /// How long ago something was. About 25 ns a call.
    pub(super) instant: fn() -> Instant,
    /// What the times of files are compared with.
    pub(super) calendar: fn() -> SystemTime,
}

impl Clock {
    /// The system's.
    pub(super) const SYSTEM: Self = Self {
        instant: Instant::now,
        calendar: SystemTime::now,
    };
}

/// Lets through one line of the log a second: its cause may come back with each request of anybody.
#[derive(Debug, Default)]
pub(super) struct Pace {
    last: Option<Instant>,
}

impl Pace {
    /// Whether it is time for a line, which then is written.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        const INTERVAL: Duration = Duration::from_secs(1);
        let is_due = |last| now.saturating_duration_since(last) >= INTERVAL;
        let is_due = self.last.is_none_or(is_due);
        if is_due {
            self.last = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_second_is_let_through() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        let due = [0, 0, 999, 1000, 1999, 2000].map(|ms| pace.is_due(at(ms)));
        assert_eq!(due, [true, false, false, true, false, true]);
    }
}
