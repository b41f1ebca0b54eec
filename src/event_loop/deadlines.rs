//! What is due: one timer per client, for the nearest of its deadlines, and what handlers asked for.

use crate::app::running::Callback;
use crate::app::schedule::Due;
use crate::app::static_files::SWEEP_INTERVAL;
use crate::event_loop::EventLoop;
use crate::event_loop::clients::fact;
use crate::event_loop::polling::STALL_MILLIS;
use crate::event_loop::system::System;
use crate::moment::Moment;
use crate::panics::bury;
use crate::protocol::{Expiry, Protocol};
use crate::websocket::encoded::ToSend;
use crate::websocket::{CloseCode, ClosedBy};
use std::time::Duration;

/// Deadlines expired in a turn: no more than are flushed in one, or a million pings would pile up on
/// the list of those to be written (which grew, and took 3 ms for a copy of itself).
const EXPIRIES_PER_TURN: usize = 256;

/// Bytes that count as progress of a client that waits, unless it lacks none: who takes them one by one keeps
/// nothing open by that. Of streams the same is asked.
pub(super) const PROGRESS_BYTES: usize = 1024;

impl<S: System> EventLoop<S> {
    /// When a client is to be looked at, at the latest.
    pub(super) fn deadline(&mut self, slot: u32) -> Option<Moment> {
        let client = self.clients.get_mut(slot)?;
        let output = self.hub.output.borrow();
        // What waits for the peer is judged by its progress, an HTTP client by that alone.
        let waits = output.has_output(slot);
        let stalled = output
            .is_blocked(slot)
            .then(|| client.progress() + self.settings.server.write_timeout);
        let own = match client.protocol {
            Protocol::Http1(..) | Protocol::Http2(..) | Protocol::Exchange(_) if waits => None,
            _ => client.protocol.deadline(&self.settings),
        };
        let nearest = earlier(own, stalled);
        let Some(endpoint) = client.protocol.endpoint() else {
            return nearest;
        };
        let config = self.settings.endpoint(endpoint);
        earlier(nearest, self.lifetime_deadline(slot, config))
    }

    /// Sets the timer of a client's nearest deadline, unless it is set for an earlier time.
    pub(super) fn arm(&mut self, slot: u32) {
        if let Some(deadline) = self.deadline(slot)
            && let Some(client) = self.clients.get_mut(slot)
        {
            self.hub
                .schedule
                .borrow_mut()
                .arm(slot, &mut client.armed, deadline);
        }
    }

    /// Up to when polls have told of all that happened. Between the return of the last one and the
    /// reading of the clock the process may have stood still: a signal that stops it is obeyed
    /// there. Then that is as much as the one before knew, and the next one follows at once.
    fn told_until(&self) -> Moment {
        let is_long = self.since_last_poll > STALL_MILLIS;
        let since = if is_long { self.since_last_poll } else { 0 };
        Moment::from_millis(self.polled_at.as_millis() - since)
    }

    /// Expires what was due [up to then](Self::told_until): what came later may have brought input
    /// that nobody has looked at, and its time is the next turn.
    pub(super) fn expire_deadlines(&mut self) {
        let now = self.told_until();
        let mut any = false;
        for _ in 0..EXPIRIES_PER_TURN {
            if self.is_output_full() {
                break;
            }
            let due = self.hub.schedule.borrow_mut().wheel.pop_expired(now);
            let Some((key, due)) = due else { break };
            any = true;
            self.hub.counts.fired.one();
            self.hub.now.set(now);
            match due {
                Due::Client(slot) => self.expire_client(slot.into(), now),
                Due::Delayed(index) => {
                    let send = self.hub.schedule.borrow_mut().take_delayed(index);
                    if let Some(send) = send {
                        let message = ToSend::Frame(&send.frame);
                        self.hub
                            .send_to(send.endpoint, send.to.as_recipients(), message);
                        self.carry_out();
                    }
                }
                Due::Timer(endpoint) => {
                    if self.hub.schedule.borrow_mut().timer_expired() {
                        let timer = crate::TimerId(Some(key));
                        self.call(Callback::Timer, endpoint, None, |application| {
                            application.timer(timer);
                        });
                    }
                }
                Due::Call(index) => {
                    let call = self.hub.schedule.borrow_mut().take_call(index);
                    let Some(call) = call else { continue };
                    if let Some(stream) = call.stream.open() {
                        stream.note_due(index.into());
                        let later = call.later;
                        self.call_stream(Callback::StreamCall, &stream, || later(&stream));
                    } else {
                        bury(call.later);
                    }
                }
                Due::IdleCompressors => self.hub.free_idle_compressors(),
                Due::IdleFiles => self.close_idle_files(),
                Due::ResumeAccepting => self.accept_paused = false,
                Due::Stop => self.begin_stop(),
                Due::StopTimeout => self.cut_all(),
                Due::Alive => self.tell_alive(),
            }
        }
        if any {
            self.has_served = true;
            self.read_clock();
        }
    }

    /// Closes files that nobody asked for lately, now and from now on.
    pub(super) fn close_idle_files(&mut self) {
        self.sweeps_files = self.app.close_idle_files();
        if self.sweeps_files {
            let deadline = self.hub.now.get() + SWEEP_INTERVAL;
            let mut schedule = self.hub.schedule.borrow_mut();
            schedule.wheel.insert(deadline, Due::IdleFiles);
        }
    }

    /// Whether a client with waiting output has taken none of it for too long, or next to none.
    fn is_stalled(&mut self, slot: u32, now: Moment) -> bool {
        if !self.is_overdue(slot, now) {
            return false;
        }
        // The edge that says writable waits until a third of the socket's buffer is free: a
        // slow reader has made progress long before.
        self.unblock(slot);
        let taken = self.flush_client(slot);
        // Of a stream that is counted where its frames are made.
        let client = self.clients.get_mut(slot);
        let has_socket = client.is_some_and(|client| !client.is(fact::CARRIED));
        let is_full = self.hub.output.borrow().is_blocked(slot);
        (has_socket && is_full && taken < PROGRESS_BYTES) || self.is_overdue(slot, now)
    }

    fn is_overdue(&mut self, slot: u32, now: Moment) -> bool {
        let timeout = self.settings.server.write_timeout;
        if self.asides.streams.len() > 0 {
            self.note_turns(slot);
        }
        let blocked = self.hub.output.borrow().is_blocked(slot);
        let client = self.clients.get_mut(slot);
        blocked && client.is_some_and(|client| now >= client.progress() + timeout)
    }

    fn expire_client(&mut self, slot: u32, now: Moment) {
        let Some(client) = self.clients.get_mut(slot) else {
            return;
        };
        client.armed = None;
        let (is_carried, is_held) = (client.is(fact::CARRIED), client.is(fact::HELD));
        let mut unread = client.is(fact::READABLE) || self.more_events;
        let judged_by_input = match &client.protocol {
            Protocol::Proxied(_)
            | Protocol::Securing(_)
            | Protocol::Http1(..)
            | Protocol::Http2(..)
            | Protocol::Exchange(_) => true,
            protocol => protocol.endpoint().is_some(),
        };
        if self.is_stalled(slot, now) {
            log::debug!("the client in slot {slot} takes nothing: dropped");
            self.closed(
                slot,
                CloseCode::POLICY_VIOLATION,
                "Too slow: nothing was read for too long",
                ClosedBy::Failure,
            );
            self.note_stalled(slot);
            self.doom(slot);
            return;
        }
        if self.expire_lifetime(slot, now) {
            return;
        }
        let mut reads_paused = !self.may_read(slot);
        if is_carried && let Some(carrier) = self.carrier_of(slot) {
            // What it sent comes by way of that.
            reads_paused |= !self.may_read(carrier);
            let carrier = self.clients.get_mut(carrier);
            unread |= carrier.is_some_and(|carrier| carrier.is(fact::READABLE | fact::HELD));
        }
        let overdue = self.deadline(slot).is_some_and(|deadline| deadline <= now);
        if overdue && unread && !reads_paused && judged_by_input {
            // What it sent meanwhile lies in its socket: judged when that was read.
            self.resume(slot);
            if let Some(client) = self.clients.get_mut(slot) {
                let soon = now + Duration::from_millis(1);
                self.hub
                    .schedule
                    .borrow_mut()
                    .arm(slot, &mut client.armed, soon);
            }
            return;
        }
        if self.expire_idle(slot, now, reads_paused || is_held) {
            return;
        }
        match self.protocol(slot, |protocol, cx| protocol.on_deadline(reads_paused, cx)) {
            None | Some(Expiry::Nothing) => {}
            Some(Expiry::Closing(code, reason)) => {
                self.closed(slot, code, reason, ClosedBy::Failure);
            }
            Some(Expiry::Over) => self.end_carrier(slot),
            Some(Expiry::Drop) => self.doom(slot),
        }
        self.check_upload(slot);
        if is_carried {
            // What it was refused with has no content perhaps, whose end would be the stream's.
            self.settle(slot);
        }
        self.resume(slot);
        self.arm(slot);
    }
}

/// The earlier one of those that there are.
#[inline]
fn earlier(one: Option<Moment>, other: Option<Moment>) -> Option<Moment> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_loop::control::Control;
    use crate::event_loop::signals::Came;
    use crate::event_loop::simulated::{self, Simulated, SimulatedListener, SimulatedSocket};
    use crate::event_loop::system::Ready;
    use crate::{Host, Server};
    use std::cell::Cell;
    use std::io;
    use std::time::SystemTime;

    thread_local! {
        static BEHIND_THE_POLL: Cell<Option<Box<dyn FnOnce()>>> = const { Cell::new(None) };
    }

    /// The simulated system, in which something may happen between a poll and the reading of the clock.
    struct Stalling;

    impl System for Stalling {
        type Socket = SimulatedSocket;
        type Listener = SimulatedListener;
        type Events = Vec<Ready>;

        fn events(&self) -> (Vec<Ready>, usize) {
            Simulated.events()
        }

        fn poll(&mut self, events: &mut Vec<Ready>, timeout: Option<Duration>) -> io::Result<()> {
            Simulated.poll(events, timeout)?;
            if let Some(act) = BEHIND_THE_POLL.take() {
                act();
            }
            Ok(())
        }

        fn iter(events: &Vec<Ready>) -> impl Iterator<Item = Ready> {
            Simulated::iter(events)
        }

        fn register(&mut self, socket: &mut SimulatedSocket, token: usize) -> io::Result<()> {
            Simulated.register(socket, token)
        }

        fn watch_writable(&mut self, socket: &mut SimulatedSocket, token: usize) -> io::Result<()> {
            Simulated.watch_writable(socket, token)
        }

        fn listen(&mut self, listener: &mut SimulatedListener, token: usize) -> io::Result<()> {
            Simulated.listen(listener, token)
        }

        fn clock(&self) -> fn() -> u64 {
            Simulated.clock()
        }

        fn calendar(&self) -> SystemTime {
            Simulated.calendar()
        }

        fn relisten(&mut self, listener: &mut SimulatedListener, token: usize) -> io::Result<()> {
            Simulated.relisten(listener, token)
        }

        fn unlisten(&mut self, listener: &mut SimulatedListener) {
            Simulated.unlisten(listener);
        }

        fn signals(&mut self) -> Came {
            Simulated.signals()
        }
    }

    /// As when the process is stopped while its poll returns: what comes then is of no event yet.
    #[test]
    fn a_stall_behind_a_poll_closes_nobody_who_spoke_meanwhile() {
        simulated::reset(None);
        let server = Server::new().host(Host::new());
        let timeout = crate::Config::default().header_timeout;
        let (listening, responders, names, config) = server.into_parts(SimulatedListener).unwrap();
        let control = Control::new(None);
        let listening = vec![listening];
        let mut event_loop =
            EventLoop::new(Stalling, control, listening, responders, names, config).unwrap();
        event_loop.start().unwrap();
        let mut turn = || event_loop.turn().unwrap();
        let [healthy, silent] = [(), ()].map(|()| simulated::connect(true));
        for client in [healthy, silent] {
            simulated::send(client, b"GET / HTTP/1.1\r\nHost: a\r\n");
        }
        (0..3).for_each(|_| turn());
        simulated::advance(timeout / 2);
        turn();
        BEHIND_THE_POLL.set(Some(Box::new(move || {
            simulated::send(healthy, b"\r\n");
            simulated::advance(timeout);
        })));
        (0..2).for_each(|_| turn());
        for (client, answer) in [(healthy, "HTTP/1.1 404 "), (silent, "HTTP/1.1 408 ")] {
            let output = simulated::take_output(client);
            let output = String::from_utf8_lossy(&output);
            assert!(output.starts_with(answer), "{output}");
        }
    }
}
