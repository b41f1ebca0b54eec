//! Which of the application's callbacks runs now, for who watches from another thread.
//!
//! The loop notes it with each call, so it costs no more than a few plain instructions. What takes too
//! long is `event_loop/watchdog.rs`.

use std::sync::atomic::{AtomicU64, Ordering};

/// What application code may be called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Callback {
    Start = 1,
    Handshake,
    Open,
    Data,
    Drain,
    Timer,
    Close,
    Stop,
    Responder,
    BodyData,
    BodyEnd,
    BodyAbort,
    After,
    RequestValues,
    StreamDrain,
    StreamCall,
    StreamStop,
    StreamClose,
}

impl Callback {
    const ALL: [Self; 18] = [
        Self::Start,
        Self::Handshake,
        Self::Open,
        Self::Data,
        Self::Drain,
        Self::Timer,
        Self::Close,
        Self::Stop,
        Self::Responder,
        Self::BodyData,
        Self::BodyEnd,
        Self::BodyAbort,
        Self::After,
        Self::RequestValues,
        Self::StreamDrain,
        Self::StreamCall,
        Self::StreamStop,
        Self::StreamClose,
    ];

    /// What it is called in the log.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Start => "on_start",
            Self::Handshake => "on_handshake",
            Self::Open => "on_open",
            Self::Data => "on_data",
            Self::Drain => "on_drain",
            Self::Timer => "on_timer",
            Self::Close => "on_close",
            Self::Stop => "on_stop",
            Self::Responder => "a responder",
            Self::BodyData => "on_data of a body",
            Self::BodyEnd => "on_end of a body",
            Self::BodyAbort => "on_abort of a body",
            Self::After => "a middleware's after",
            Self::RequestValues => "what a request kept",
            Self::StreamDrain => "on_drain of a response",
            Self::StreamCall => "a delayed call of a response",
            Self::StreamStop => "on_stop of a response",
            Self::StreamClose => "on_close of a response",
        }
    }
}

/// A callback, and the endpoint that it is one of, as bits of [`Running`]; 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(u64);

const ENDPOINT_SHIFT: u32 = 8;
/// In place of an endpoint where it is none's.
const NOBODY: u16 = u16::MAX;

impl Place {
    #[inline]
    pub(crate) const fn new(callback: Callback, endpoint: Option<u16>) -> Self {
        let endpoint = match endpoint {
            Some(endpoint) => endpoint,
            None => NOBODY,
        };
        Self((endpoint as u64) << ENDPOINT_SHIFT | callback as u64)
    }

    /// Of no callback.
    pub(crate) const fn is_none(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn callback(self) -> Option<Callback> {
        let mut all = Callback::ALL.into_iter();
        all.find(|callback| *callback as u64 == self.0 & 0xFF)
    }

    pub(crate) const fn endpoint(self) -> Option<u16> {
        match (self.0 >> ENDPOINT_SHIFT) as u16 {
            NOBODY => None,
            endpoint => Some(endpoint),
        }
    }
}

/// What runs now, written by the loop alone.
#[derive(Debug, Default)]
pub(crate) struct Running {
    /// The place of what runs in the lower bits; above them how many calls have returned, by which
    /// the next call from the same place is another one.
    state: AtomicU64,
    /// What it was when that had taken too long; 0 once the loop has noticed.
    told: AtomicU64,
    /// When the loop's turn began, in nanoseconds of its clock.
    turn_began: AtomicU64,
}

const PLACE_BITS: u32 = 24;

/// What [`Running`] was at a time: the same call is on as long as it is the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sample(u64);

impl Sample {
    /// The place of what ran.
    pub(crate) const fn place(self) -> Place {
        Place(self.0 & ((1 << PLACE_BITS) - 1))
    }
}

impl Running {
    /// A turn of the loop begins.
    #[inline]
    pub(crate) fn begin_turn(&self, now: u64) {
        self.turn_began.store(now, Ordering::Relaxed);
    }

    /// When the turn began, in nanoseconds of the loop's clock.
    pub(crate) fn turn_began(&self) -> u64 {
        self.turn_began.load(Ordering::Relaxed)
    }

    /// A call begins, and none is on: what to end it with.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "on the straight path of each message")]
    pub(crate) fn enter(&self, callback: Callback, endpoint: Option<u16>) -> Sample {
        let before = self.state.load(Ordering::Relaxed);
        let place = Place::new(callback, endpoint);
        self.state.store(before | place.0, Ordering::Relaxed);
        Sample(before)
    }

    /// The call that began with `before` has returned.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "on the straight path of each message")]
    pub(crate) fn leave(&self, Sample(before): Sample) {
        let after = before.wrapping_add(1 << PLACE_BITS);
        self.state.store(after, Ordering::Relaxed);
    }

    /// The call that is on has come to another place: where it was, to go back there.
    pub(crate) fn move_to(&self, place: Place) -> Place {
        let before = self.sample();
        let state = before.0 ^ before.place().0 | place.0;
        self.state.store(state, Ordering::Relaxed);
        before.place()
    }

    /// What it is now.
    pub(crate) fn sample(&self) -> Sample {
        Sample(self.state.load(Ordering::Relaxed))
    }

    /// Has the loop notice that this took too long, when it has returned.
    pub(crate) fn tell(&self, Sample(state): Sample) {
        self.told.store(state, Ordering::Relaxed);
    }

    /// Whether something took too long, and the loop has not [noticed](Self::take_told) yet.
    #[inline]
    pub(crate) fn is_told(&self) -> bool {
        self.told.load(Ordering::Relaxed) != 0
    }

    /// Whether that is the call that began with `before`.
    #[inline]
    pub(crate) fn is_told_of(&self, Sample(before): Sample) -> bool {
        let told = self.told.load(Ordering::Relaxed);
        told != 0 && told >> PLACE_BITS == before >> PLACE_BITS
    }

    /// Notices it: where it was.
    pub(crate) fn take_told(&self) -> Place {
        Sample(self.told.swap(0, Ordering::Relaxed)).place()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_says_what_it_is() {
        for callback in Callback::ALL {
            for endpoint in [None, Some(0), Some(u16::MAX - 1)] {
                let place = Place::new(callback, endpoint);
                assert_eq!(place.callback(), Some(callback));
                assert_eq!(place.endpoint(), endpoint);
                assert!(!place.is_none());
            }
        }
    }

    #[test]
    fn one_call_after_the_other_from_the_same_place_are_two() {
        let running = Running::default();
        assert!(running.sample().place().is_none());
        let entered = running.enter(Callback::Data, Some(7));
        let first = running.sample();
        assert_eq!(first.place(), Place::new(Callback::Data, Some(7)));
        running.leave(entered);
        assert!(running.sample().place().is_none());
        running.enter(Callback::Data, Some(7));
        let second = running.sample();
        assert_eq!(second.place(), first.place());
        assert_ne!(second, first);
    }

    #[test]
    fn a_call_that_comes_to_another_place_and_back_is_the_same() {
        let running = Running::default();
        let entered = running.enter(Callback::Responder, None);
        let outside = running.sample();
        let handshake = Place::new(Callback::Handshake, Some(3));
        let before = running.move_to(handshake);
        assert_eq!(running.sample().place(), handshake);
        running.move_to(before);
        assert_eq!(running.sample(), outside);
        running.tell(running.sample());
        running.leave(entered);
        assert!(running.sample().place().is_none());
        assert!(running.is_told() && running.is_told_of(entered));
        let next = running.enter(Callback::Responder, None);
        assert!(!running.is_told_of(next), "another call took long");
        assert_eq!(running.take_told(), Place::new(Callback::Responder, None));
        assert!(!running.is_told() && !running.is_told_of(next));
    }
}
