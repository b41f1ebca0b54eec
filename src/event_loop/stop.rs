//! The graceful stop: nobody comes in, everybody gets what is queued and a farewell, and what
//! takes too long is cut.

use crate::app::running::Callback;
use crate::app::schedule::Due;
use crate::event_loop::EventLoop;
use crate::event_loop::observer::ServerEvent;
use crate::event_loop::system::System;
use crate::moment::Moment;
use crate::protocol::Protocol;
use crate::websocket::CloseCode;
use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// How far a stop is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Nobody asked for one.
    Running,
    /// One was asked for, and begins when those who send clients here have seen that: all goes on.
    Draining,
    /// Clients are leaving.
    Stopping,
}

impl Stop {
    /// Whether clients are leaving: nothing new is begun.
    pub(super) fn is_begun(self) -> bool {
        self == Self::Stopping
    }
}

/// A time as people say it, in its two greatest units.
struct Uptime(Duration);

impl fmt::Display for Uptime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
        match (days, hours, minutes) {
            (0, 0, 0) => write!(f, "{:.1} s", self.0.as_secs_f64()),
            (0, 0, _) => write!(f, "{minutes} min {} s", seconds % 60),
            (0, ..) => write!(f, "{hours} h {minutes} min"),
            _ => write!(f, "{days} d {hours} h"),
        }
    }
}

impl<S: System> EventLoop<S> {
    /// Whether a stop is complete.
    pub(super) fn is_stopped(&self) -> bool {
        self.stop == Stop::Stopping && self.clients.is_empty()
    }

    /// A stop was asked for: begins it, or waits before that as long as was configured. A second call
    /// changes nothing.
    pub(super) fn ask_to_stop(&mut self) {
        if self.stop != Stop::Running {
            return;
        }
        self.observer.tell(ServerEvent::Stopping);
        self.hub.counts.is_draining.set(true);
        let delay = self.settings.server.drain_delay;
        if delay.is_zero() {
            return self.begin_stop();
        }
        log::info!("draining for {} s before the stop", delay.as_secs_f64());
        self.stop = Stop::Draining;
        let deadline = self.hub.now.get() + delay;
        let mut schedule = self.hub.schedule.borrow_mut();
        schedule.wheel.insert(deadline, Due::Stop);
    }

    /// Begins the stop.
    pub(super) fn begin_stop(&mut self) {
        log::info!("stopping: {} clients are connected", self.clients.len());
        self.stop = Stop::Stopping;
        // Closed sockets refuse; those that wait in the backlog are reset by the system.
        self.listeners.clear();
        for index in 0..self.app.endpoints().len() {
            let Ok(endpoint) = u16::try_from(index) else {
                continue;
            };
            self.call(Callback::Stop, endpoint, None, |application| {
                application.stop();
            });
        }
        for endpoint in self.app.endpoints() {
            endpoint.state().remote.stop();
        }
        for stream in self.hub.streams.all() {
            self.call_stream(Callback::StreamStop, &stream, || stream.stopped());
        }
        self.hub.schedule.borrow_mut().stop();
        let deadline = self.hub.now.get() + self.settings.server.stop_timeout;
        self.hub
            .schedule
            .borrow_mut()
            .wheel
            .insert(deadline, Due::StopTimeout);
        self.close_all();
    }

    /// All ids die before the first `on_close`: a farewell broadcast in it reaches nobody, which
    /// else would be quadratic in the number of clients.
    fn close_all(&mut self) {
        let slots = self.clients.slots();
        for slot in &slots {
            let client = self.hub.directory.borrow().id_at(*slot);
            if let Some(client) = client {
                self.hub.dismiss(
                    client,
                    CloseCode::GOING_AWAY,
                    Cow::Borrowed("The server stops"),
                );
            }
        }
        self.carry_out();
        for slot in &slots {
            self.dismiss_carrier(*slot);
        }
        for slot in slots {
            self.dismiss_idle(slot);
        }
    }

    /// Closes a connection on which nothing is asked for.
    pub(super) fn dismiss_idle(&mut self, slot: u32) {
        let client = self.clients.get_mut(slot);
        let Some(client) = client.filter(|client| client.protocol.is_idle_http()) else {
            return;
        };
        // What it asked for is still written; nothing more is read.
        client.protocol = Protocol::Lingering(None);
        self.settle(slot);
        self.arm(slot);
        // What was held back for the length of its queue is nobody's any more.
        self.resume(slot);
    }

    /// The stop has taken long enough.
    pub(super) fn cut_all(&mut self) {
        let slots = self.clients.slots();
        log::warn!("the stop timeout passed: {} clients are cut", slots.len());
        self.cut_count = slots.len();
        for slot in slots {
            self.doom(slot);
        }
    }

    /// What was done, in one line, when it is over.
    pub(super) fn tell_summary(&self) {
        let counts = &self.hub.counts;
        let sent = self.hub.output.borrow().total_sent();
        let read = counts.messages_read.get() + self.hub.whole_messages_read();
        let answers: u64 = counts.responses().iter().sum();
        log::info!(
            "stopped after {}: {} connections, {answers} requests, {} WebSockets, messages {} in and {} out, \
             bytes {} in and {} out, {} cut at the stop timeout",
            Uptime(self.hub.now.get().since(Moment::START)),
            counts.accepted.get(),
            counts.opened.get(),
            read,
            sent.messages,
            self.hub.bytes_read(),
            counts.bytes_written.get(),
            self.cut_count,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_said_in_its_two_greatest_units() {
        for (seconds, text) in [
            (0, "0.0 s"),
            (59, "59.0 s"),
            (60, "1 min 0 s"),
            (3_599, "59 min 59 s"),
            (3_600, "1 h 0 min"),
            (86_399, "23 h 59 min"),
            (86_400, "1 d 0 h"),
            (1_000_000, "11 d 13 h"),
        ] {
            assert_eq!(Uptime(Duration::from_secs(seconds)).to_string(), text);
        }
    }
}
