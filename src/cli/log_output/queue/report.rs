//! Lines that were lost, and who is told of it when.

use std::time::{Duration, Instant};

/// Lines that were lost, and that nobody was told of yet.
#[derive(Debug, Default)]
pub(super) struct Lost {
    line_count: u64,
    /// Why the last of them were.
    reason: String,
}

impl Lost {
    pub(super) fn add(&mut self, line_count: u64, reason: &str) {
        if line_count > 0 {
            self.line_count += line_count;
            reason.clone_into(&mut self.reason);
        }
    }

    /// What says so.
    pub(super) fn word(&self, name: &str) -> Option<String> {
        let lines = match self.line_count {
            0 => return None,
            1 => format!("1 line of {name} was lost"),
            count => format!("{count} lines of {name} were lost"),
        };
        Some(format!("{lines}: {}", self.reason))
    }
}

/// The same where it is told elsewhere, once in an interval at most.
#[derive(Debug, Default)]
pub(super) struct Report {
    lost: Lost,
    told: Option<Instant>,
}

impl Report {
    pub(super) fn add(&mut self, line_count: u64, reason: &str) {
        self.lost.add(line_count, reason);
    }

    /// In what time something is to be told, if anything is.
    pub(super) fn due_in(&self, interval: Duration) -> Option<Duration> {
        if self.lost.line_count == 0 {
            return None;
        }
        let since = self.told.map_or(interval, |told| told.elapsed());
        Some(interval.saturating_sub(since))
    }

    /// What is to be told now, if that is not too soon after the last time.
    pub(super) fn take_due(&mut self, interval: Duration) -> Option<Lost> {
        self.due_in(interval)?.is_zero().then(|| self.take())
    }

    /// What is to be told, however soon.
    pub(super) fn take(&mut self) -> Lost {
        self.told = Some(Instant::now());
        std::mem::take(&mut self.lost)
    }
}
