//! Which of the application's callbacks runs now, for who watches from another thread.
//!
//! The loop notes it with each call, so it costs no more than a few plain instructions. What takes too
//! long is `event_loop/watchdog.rs`.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64};

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

/// A callback, and the endpoint that it is one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) callback: Callback,
    pub(crate) endpoint: Option<u16>,
}

/// In place of an endpoint where it is none's.
const NOBODY: u16 = u16::MAX;

impl Place {
    /// By the numbers of both.
    fn new(callback: u8, endpoint: u16) -> Option<Self> {
        let mut all = Callback::ALL.into_iter();
        Some(Self {
            callback: all.find(|known| *known as u8 == callback)?,
            endpoint: Some(endpoint).filter(|endpoint| *endpoint != NOBODY),
        })
    }
}

/// What runs now. The loop writes it; who reads it may see a callback with the endpoint of the next
/// one, if it looks in that very moment.
#[derive(Debug, Default)]
pub(crate) struct Running {
    /// The callback; 0 is none.
    callback: AtomicU8,
    endpoint: AtomicU16,
    /// What was running when that had taken too long, both in one; 0 once the loop has noticed.
    told: AtomicU32,
    /// When the loop's turn began, in nanoseconds of its clock.
    turn_began: AtomicU64,
}

impl Running {
    /// A turn of the loop begins.
    #[inline]
    pub(crate) fn begin_turn(&self, now: u64) {
        self.turn_began.store(now, Relaxed);
    }

    /// When the turn began, in nanoseconds of the loop's clock.
    pub(crate) fn turn_began(&self) -> u64 {
        self.turn_began.load(Relaxed)
    }

    /// A call begins.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "on the straight path of each message")]
    pub(crate) fn enter(&self, callback: Callback, endpoint: Option<u16>) {
        self.endpoint.store(endpoint.unwrap_or(NOBODY), Relaxed);
        self.callback.store(callback as u8, Relaxed);
    }

    /// The call has returned.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "on the straight path of each message")]
    pub(crate) fn leave(&self) {
        self.callback.store(0, Relaxed);
    }

    /// What runs now.
    pub(crate) fn place(&self) -> Option<Place> {
        Place::new(self.callback.load(Relaxed), self.endpoint.load(Relaxed))
    }

    /// Has the loop notice that this took too long, when it has returned.
    pub(crate) fn tell(&self, place: Place) {
        let endpoint = u32::from(place.endpoint.unwrap_or(NOBODY));
        self.told
            .store(endpoint << 8 | place.callback as u32, Relaxed);
    }

    /// Whether something took too long, and the loop has not [noticed](Self::take_told) yet.
    #[inline]
    pub(crate) fn is_told(&self) -> bool {
        self.told.load(Relaxed) != 0
    }

    /// Notices it: what took too long.
    pub(crate) fn take_told(&self) -> Option<Place> {
        let [callback, low, high, _] = self.told.swap(0, Relaxed).to_le_bytes();
        Place::new(callback, u16::from_le_bytes([low, high]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_is_known_while_it_does_and_once_it_was_told_of() {
        let running = Running::default();
        assert_eq!(running.place(), None);
        for callback in Callback::ALL {
            for endpoint in [None, Some(0), Some(0x1234), Some(u16::MAX - 1)] {
                let place = Place { callback, endpoint };
                running.enter(callback, endpoint);
                assert_eq!(running.place(), Some(place));
                running.tell(place);
                running.leave();
                assert_eq!(running.place(), None);
                assert!(running.is_told());
                assert_eq!(running.take_told(), Some(place));
                assert!(!running.is_told());
            }
        }
    }
}
