//! Warnings that peers may cause as often as they like, and get a line a second for.

use crate::event_loop::EventLoop;
use crate::event_loop::system::System;
use crate::moment::Moment;
use std::fmt;
use std::time::Duration;

/// Least time between two warnings of one kind.
const INTERVAL: Duration = Duration::from_secs(1);

/// What is warned of. Each kind has a line a second: none is lost for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Warning {
    /// Accepting pauses for want of descriptors or memory.
    AcceptingPauses,
    /// A client is refused, as many as may be are connected.
    Full,
    /// A client is refused, its address has as many connections as it may.
    FullAddress,
    /// A client is refused, its socket could not be registered.
    Unregistered,
    /// Half-read input passed its limit.
    BufferedInput,
}

const KINDS: usize = Warning::BufferedInput as usize + 1;

/// When each kind was last warned of.
#[derive(Debug, Default)]
pub(super) struct Warnings([Option<Moment>; KINDS]);

impl Warnings {
    /// Whether a warning of this kind is to be logged. Then the next one is not, for a while.
    fn is_due(&mut self, kind: Warning, now: Moment) -> bool {
        let last = &mut self.0[kind as usize];
        let is_due = last.is_none_or(|last| now >= last + INTERVAL);
        if is_due {
            *last = Some(now);
        }
        is_due
    }
}

impl<S: System> EventLoop<S> {
    /// Warns, but once a second at most of each kind: the cause may come back with every connect.
    pub(super) fn warn(&mut self, kind: Warning, message: fmt::Arguments<'_>) {
        if self.warnings.is_due(kind, self.hub.now.get()) {
            log::warn!("{message}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_a_line_a_second_whatever_the_others_have() {
        let mut warnings = Warnings::default();
        let at = Moment::from_millis;
        assert!(warnings.is_due(Warning::Full, at(0)));
        assert!(!warnings.is_due(Warning::Full, at(999)));
        assert!(warnings.is_due(Warning::FullAddress, at(999)));
        assert!(warnings.is_due(Warning::Full, at(1000)));
        assert!(!warnings.is_due(Warning::FullAddress, at(1998)));
        assert!(warnings.is_due(Warning::BufferedInput, at(1998)));
    }
}
