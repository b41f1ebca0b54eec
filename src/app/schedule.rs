//! Every deadline of the server in one timer wheel, and the messages that wait for theirs.
//!
//! What a handler asks for (timers, delayed sends) is counted against limits; the server's own
//! deadlines are not, since each client has at most one.

mod invariants;

use crate::app::endpoint::{OwnedRecipients, TimerId};
use crate::http::stream::{Later, WeakStream};
use crate::moment::Moment;
use crate::timer_wheel::{TimerKey, TimerWheel};
use crate::websocket::Frame;
use slab::Slab;
use std::fmt;
use std::num::TryFromIntError;

/// A place in a table, below 2^24: three bytes, so that what falls due takes four.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Index24([u8; 3]);

impl TryFrom<u32> for Index24 {
    type Error = TryFromIntError;

    #[inline]
    fn try_from(index: u32) -> Result<Self, TryFromIntError> {
        let high = u8::try_from(index >> 16)?;
        let [low, middle, ..] = index.to_le_bytes();
        Ok(Self([low, middle, high]))
    }
}

impl From<Index24> for u32 {
    #[inline]
    fn from(Index24([low, middle, high]): Index24) -> Self {
        Self::from_le_bytes([low, middle, high, 0])
    }
}

/// What falls due. Four bytes, also as an `Option`: a million clients have a million of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// A client's nearest deadline, whichever it is.
    Client(Index24),
    /// A delayed send, by its place among them.
    Delayed(Index24),
    /// A timer of an endpoint's handler.
    Timer(u16),
    /// A call that a response asked for that is sent in pieces, by its place among them.
    Call(Index24),
    /// Compressors may be idle.
    IdleCompressors,
    /// Files may be open that nobody asks for.
    IdleFiles,
    /// Accepting was paused for want of descriptors.
    ResumeAccepting,
    /// A stop was asked for, and begins.
    Stop,
    /// The graceful stop has taken long enough.
    StopTimeout,
    /// Who observes the server is to be told that its loop turns.
    Alive,
}

/// A message that waits for its time.
#[derive(Debug)]
pub(crate) struct Delayed {
    pub(crate) endpoint: u16,
    pub(crate) to: OwnedRecipients,
    pub(crate) frame: Frame,
}

impl Delayed {
    /// Bytes that it holds.
    fn len(&self) -> usize {
        self.frame.wire_len() + self.to.held_bytes()
    }
}

/// What a response in pieces wants to be called later.
pub(crate) struct Call {
    pub(crate) stream: WeakStream,
    pub(crate) later: Later,
    timer: TimerKey,
}

/// The wheel and what hangs on it.
pub(crate) struct Schedule {
    pub(crate) wheel: TimerWheel<Due>,
    delayed: Slab<Delayed>,
    delayed_bytes: usize,
    calls: Slab<Call>,
    handler_timers: usize,
    max_timers: usize,
    max_delayed_bytes: usize,
    /// What was refused over a limit.
    dropped_count: u64,
    /// Set by a stop: nothing that a handler asked for happens any more.
    stopped: bool,
}

impl Schedule {
    pub(crate) fn new(max_timers: usize, max_delayed_bytes: usize) -> Self {
        Self {
            wheel: TimerWheel::new(),
            delayed: Slab::new(),
            delayed_bytes: 0,
            calls: Slab::new(),
            handler_timers: 0,
            max_timers,
            max_delayed_bytes,
            dropped_count: 0,
            stopped: false,
        }
    }

    /// Whether one more timer, with so many bytes to hold, is within the limits.
    fn has_room(&self, bytes: usize) -> bool {
        self.handler_timers + self.delayed.len() + self.calls.len() < self.max_timers
            && self.delayed_bytes.saturating_add(bytes) <= self.max_delayed_bytes
    }

    /// How much was refused over a limit.
    pub(crate) const fn dropped_count(&self) -> u64 {
        self.dropped_count
    }

    /// What is asked for over a limit.
    fn refuse(&mut self) -> TimerId {
        self.dropped_count += 1;
        // Not each time: clients may cause it as fast as they send.
        if self.dropped_count.is_power_of_two() {
            log::warn!(
                "{} timers or delayed sends were dropped so far, over a limit of {} pending or {} bytes",
                self.dropped_count,
                self.max_timers,
                self.max_delayed_bytes
            );
        }
        TimerId::DEAD
    }

    /// A timer of `endpoint`'s handler; a dead id over the limit.
    pub(crate) fn set_timer(&mut self, endpoint: u16, deadline: Moment) -> TimerId {
        if self.stopped {
            return TimerId::DEAD;
        }
        if !self.has_room(0) {
            return self.refuse();
        }
        self.handler_timers += 1;
        TimerId(Some(self.wheel.insert(deadline, Due::Timer(endpoint))))
    }

    /// A delayed send; a dead id over the limits.
    pub(crate) fn delay(&mut self, deadline: Moment, send: Delayed) -> TimerId {
        if self.stopped {
            return TimerId::DEAD;
        }
        let bytes = send.len();
        let index = u32::try_from(self.delayed.vacant_key()).and_then(Index24::try_from);
        let (true, Ok(index)) = (self.has_room(bytes), index) else {
            return self.refuse();
        };
        self.delayed.insert(send);
        self.delayed_bytes += bytes;
        TimerId(Some(self.wheel.insert(deadline, Due::Delayed(index))))
    }

    /// A call for a stream; its number. What is refused over the limit is returned, to be dropped.
    pub(crate) fn delay_call(
        &mut self,
        deadline: Moment,
        stream: WeakStream,
        later: Later,
    ) -> Result<u32, Later> {
        let index = u32::try_from(self.calls.vacant_key()).and_then(Index24::try_from);
        let (true, Ok(index)) = (self.has_room(0), index) else {
            self.refuse();
            return Err(later);
        };
        let timer = self.wheel.insert(deadline, Due::Call(index));
        self.calls.insert(Call {
            stream,
            later,
            timer,
        });
        Ok(index.into())
    }

    /// Takes out a call whose time has come.
    pub(crate) fn take_call(&mut self, index: Index24) -> Option<Call> {
        self.calls.try_remove(u32::from(index) as usize)
    }

    /// Takes out a call whose stream is over.
    pub(crate) fn cancel_call(&mut self, number: u32) -> Option<Later> {
        let call = self.calls.try_remove(number as usize)?;
        self.wheel.cancel(call.timer);
        Some(call.later)
    }

    /// Takes out all calls.
    pub(crate) fn take_calls(&mut self) -> Vec<Call> {
        std::mem::take(&mut self.calls)
            .into_iter()
            .map(|(_, call)| call)
            .collect()
    }

    /// Cancels what `endpoint` asked for. Whether it was still pending.
    pub(crate) fn cancel(&mut self, endpoint: u16, timer: TimerId) -> bool {
        let TimerId(Some(key)) = timer else {
            return false;
        };
        match self.wheel.get(key).copied() {
            Some(Due::Timer(owner)) if owner == endpoint => {
                self.wheel.cancel(key);
                self.timer_expired();
                true
            }
            Some(Due::Delayed(index)) if self.owns(endpoint, index) => {
                self.wheel.cancel(key);
                self.take_delayed(index).is_some()
            }
            _ => false,
        }
    }

    fn owns(&self, endpoint: u16, index: Index24) -> bool {
        self.delayed
            .get(u32::from(index) as usize)
            .is_some_and(|send| send.endpoint == endpoint)
    }

    /// Notes that a handler's timer is pending no more. Whether it still counts.
    pub(crate) fn timer_expired(&mut self) -> bool {
        self.handler_timers = self.handler_timers.saturating_sub(1);
        !self.stopped
    }

    /// Takes out a send whose time has come.
    pub(crate) fn take_delayed(&mut self, index: Index24) -> Option<Delayed> {
        let send = self.delayed.try_remove(u32::from(index) as usize)?;
        self.delayed_bytes -= send.len();
        Some(send)
    }

    /// Drops what endpoints' handlers asked for: none of it happens. Responses in pieces go on.
    pub(crate) fn stop(&mut self) {
        self.stopped = true;
        self.delayed.clear();
        self.delayed_bytes = 0;
    }

    /// Moves a client's deadline to `deadline` if that is earlier than the one it is armed for.
    ///
    /// A later one is left to the expiry of the earlier: most deadlines are postponed by
    /// traffic far more often than they expire.
    pub(crate) fn arm(&mut self, slot: u32, armed: &mut Option<TimerKey>, deadline: Moment) {
        if let Some(key) = *armed {
            if self.wheel.deadline_of(key).is_some_and(|at| at <= deadline) {
                return;
            }
            self.wheel.cancel(key);
        }
        let slot = Index24::try_from(slot).expect("a client's slot has 24 bits");
        *armed = Some(self.wheel.insert(deadline, Due::Client(slot)));
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schedule")
            .field("wheel", &self.wheel)
            .field("delayed", &self.delayed.len())
            .field("calls", &self.calls.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Moment = Moment::from_millis(5);

    fn send(len: usize) -> Delayed {
        Delayed {
            endpoint: 0,
            to: OwnedRecipients::Everyone,
            frame: Frame::binary(vec![0; len]),
        }
    }

    #[test]
    fn an_index_is_below_two_to_the_24_and_what_falls_due_takes_four_bytes() {
        for index in [0, 1, 0xFF, 0x100, 0xFFFF, 0x1_0000, 0x01_02_03, 0xFF_FFFF] {
            assert_eq!(Index24::try_from(index).map(u32::from), Ok(index));
        }
        for beyond in [1 << 24, u32::MAX] {
            assert!(Index24::try_from(beyond).is_err());
        }
        assert_eq!(size_of::<Option<Due>>(), 4);
        assert_eq!(size_of::<Option<TimerKey>>(), 8);
    }

    #[test]
    fn over_the_limits_a_timer_is_dead_and_costs_nothing() {
        let mut schedule = Schedule::new(2, 100);
        assert_ne!(schedule.set_timer(0, SOON), TimerId::DEAD);
        assert_eq!(schedule.delay(SOON, send(200)), TimerId::DEAD);
        let delayed = schedule.delay(SOON, send(20));
        assert_ne!(delayed, TimerId::DEAD);
        assert_eq!(schedule.set_timer(0, SOON), TimerId::DEAD);
        assert!(schedule.cancel(0, delayed));
        assert_ne!(schedule.set_timer(0, SOON), TimerId::DEAD);
        assert_eq!(schedule.delayed_bytes, 0);
    }

    #[test]
    fn an_endpoint_cannot_cancel_what_another_asked_for() {
        let mut schedule = Schedule::new(10, 100);
        let timer = schedule.set_timer(1, SOON);
        assert!(!schedule.cancel(0, timer));
        assert!(schedule.cancel(1, timer));
        assert!(!schedule.cancel(1, timer));
        assert!(!schedule.cancel(1, TimerId::DEAD));
    }

    #[test]
    fn a_later_deadline_waits_for_the_expiry_of_the_earlier() {
        let mut schedule = Schedule::new(1, 1);
        let mut armed = None;
        let at = Moment::from_millis;
        schedule.arm(4, &mut armed, at(5000));
        let first = armed;
        schedule.arm(4, &mut armed, at(5000));
        schedule.arm(4, &mut armed, at(9000));
        assert_eq!(armed, first);
        schedule.arm(4, &mut armed, at(1000));
        assert_ne!(armed, first);
        assert_eq!(schedule.wheel.len(), 1);
        assert_eq!(schedule.wheel.next_deadline(), Some(at(1000)));
    }

    #[test]
    fn an_expired_deadline_keeps_no_later_one_from_being_armed() {
        let mut schedule = Schedule::new(1, 1);
        let mut armed = None;
        schedule.arm(0xFF_FFFF, &mut armed, SOON);
        let (key, due) = schedule.wheel.pop_expired(SOON).expect("it is due");
        assert_eq!(Some(key), armed);
        assert_eq!(due, Due::Client(Index24([0xFF; 3])));
        schedule.arm(4, &mut armed, Moment::from_millis(9000));
        assert_ne!(armed, Some(key));
        assert_eq!(schedule.wheel.len(), 1);
    }

    #[test]
    fn after_a_stop_nothing_of_the_handlers_is_left() {
        let mut schedule = Schedule::new(10, 100);
        schedule.delay(SOON, send(20));
        schedule.stop();
        assert_eq!(schedule.delayed_bytes, 0);
        let Some((_, Due::Delayed(index))) = schedule.wheel.pop_expired(SOON) else {
            panic!("the send was not due");
        };
        assert!(schedule.take_delayed(index).is_none());
        assert_eq!(schedule.set_timer(0, SOON), TimerId::DEAD);
    }
}
