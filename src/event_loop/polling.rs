//! When the loop sleeps, how long, and what time it is then; whether a poll has told of all there is.

use crate::error::Error;
use crate::event_loop::EventLoop;
use crate::event_loop::system::System;
use crate::moment::Moment;
use std::time::Duration;

/// From so far ahead on a deadline is not slept to in one step.
const FAR: Duration = Duration::from_secs(1);
/// A time between two polls that brought events, in milliseconds, that is no work but a stall of the
/// process.
pub(super) const STALL_MILLIS: u64 = 100;

impl<S: System> EventLoop<S> {
    /// Sleeps until something happens or is due; not at all while work is left.
    ///
    /// # Errors
    ///
    /// What the poll says.
    pub(super) fn wait_for_readiness(&mut self) -> Result<(), Error> {
        let has_work = self.has_work();
        let timeout = if has_work {
            Some(Duration::ZERO)
        } else {
            let ended = self.end_turn();
            self.sleep(ended)
        };
        if let Some(events) = &mut self.events {
            self.system.poll(events, timeout).map_err(Error::Poll)?;
        }
        let polled = (self.clock)();
        if has_work {
            self.note_turn(polled); // it ended before the poll, which did not wait
        }
        self.has_served = has_work;
        self.polled = polled;
        self.app.running().begin_turn(self.polled);
        self.read_clock_at(self.polled);
        let now = self.hub.now.get();
        self.since_last_poll = now.as_millis() - self.polled_at.as_millis();
        self.polled_at = now;
        Ok(())
    }

    /// How long the poll may wait: until the next deadline, but not at all for some time after
    /// an event if the server is to spin.
    ///
    /// To one that is far it sleeps in two steps, of which the first is reckoned from the last
    /// poll: a loop that is woken by an event first has spared a reading of the clock, which may have
    /// been `read` just now all the same.
    fn sleep(&self, read: Option<u64>) -> Option<Duration> {
        let deadline = self.hub.schedule.borrow().wheel.next_deadline();
        let until = deadline.map(|deadline| self.started.saturating_add(deadline.as_nanos()));
        let busy_poll = self.settings.server.busy_poll;
        if busy_poll.is_zero() {
            let ahead = Duration::from_nanos(until?.saturating_sub(self.polled));
            if ahead >= FAR {
                // Early by half of that, if the turn since was not as long: a stall.
                return Some(ahead.saturating_sub(FAR / 2));
            }
        }
        let now = read.unwrap_or_else(self.clock);
        if Duration::from_nanos(now - self.last_event) < busy_poll {
            return Some(Duration::ZERO);
        }
        Some(Duration::from_nanos(until?.saturating_sub(now)))
    }

    /// Judges whether events are left that no poll has brought. A full poll means so; but as
    /// many of them in a row as all clients need have told of everybody, unless the process
    /// stood still in between.
    pub(super) fn judge_poll(&mut self, event_count: usize) {
        if event_count > 0 {
            self.last_event = self.polled;
            self.has_served = true;
        }
        let full = event_count >= self.events_per_poll;
        let long = self.since_last_poll > STALL_MILLIS;
        // One long turn is a stall; one after the other is load, and must not put off every
        // deadline for ever.
        let stalled = long && !self.long_turn;
        self.long_turn = long;
        if !full || stalled {
            self.full_polls = 0;
        }
        self.full_polls += usize::from(full);
        self.more_events = full && self.full_polls <= self.clients.len() / self.events_per_poll + 1;
    }

    /// Whether a turn would find something to do now, but for new events.
    pub(crate) fn is_busy(&self) -> bool {
        let now = Moment::at_or_before((self.clock)().saturating_sub(self.started));
        let deadline = self.hub.schedule.borrow().wheel.next_deadline();
        self.has_work() || deadline.is_some_and(|deadline| deadline <= now)
    }

    /// Whether something can be done without waiting.
    fn has_work(&self) -> bool {
        let output = self.hub.output.borrow();
        !self.ready.is_empty()
            || output.dirty_pending()
            || output.ring_pending()
            || self.asides.streams.is_any_postponed()
            || (self.listeners.iter().any(|listening| listening.ready) && self.may_accept())
    }

    pub(super) fn read_clock(&mut self) {
        self.read_clock_at((self.clock)());
    }

    fn read_clock_at(&mut self, clock: u64) {
        let now = Moment::at_or_before(clock.saturating_sub(self.started));
        self.hub.now.set(now);
    }
}
