//! The time, as the cache of files needs it: no responder is told it.

use std::time::{Instant, SystemTime};

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
