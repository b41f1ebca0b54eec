//! Who is told how the server is: a service manager, by the program.

use crate::app::schedule::Due;
use crate::event_loop::EventLoop;
use crate::event_loop::system::System;
use crate::panics;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

/// What a server tells of itself: see [`Server::observe`](crate::Server::observe).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerEvent {
    /// Every endpoint has started, and every address accepts.
    Ready,
    /// The loop turns: told at the start, and then once in each interval that was asked for.
    Alive,
    /// `SIGHUP` came, or a [handle](crate::Handle::reload) asked, and files are about to be read again.
    Reloading,
    /// They were, well or not.
    Reloaded,
    /// A stop begins.
    Stopping,
}

/// Least time between two of [`ServerEvent::Alive`].
const SHORTEST: Duration = Duration::from_millis(1);

/// Who is told, if anybody is, and how often that the loop turns.
#[derive(Clone, Default)]
pub(crate) struct Observer {
    tell: Option<Rc<dyn Fn(ServerEvent)>>,
    alive_interval: Option<Duration>,
}

impl Observer {
    pub(crate) fn new(
        alive_interval: Option<Duration>,
        tell: impl Fn(ServerEvent) + 'static,
    ) -> Self {
        Self {
            tell: Some(Rc::new(tell)),
            // In less the loop would do nothing else.
            alive_interval: alive_interval.map(|interval| interval.max(SHORTEST)),
        }
    }

    /// Tells it. A panic ends there.
    pub(crate) fn tell(&self, event: ServerEvent) {
        if let Some(tell) = &self.tell {
            panics::catch("an observer", || tell(event));
        }
    }

    /// Whether anybody is told.
    pub(crate) const fn is_any(&self) -> bool {
        self.tell.is_some()
    }
}

impl<S: System> EventLoop<S> {
    /// Has `observer` told how the server is.
    pub(crate) fn observe(&mut self, observer: Observer) {
        self.observer = observer;
    }

    /// Tells that clients are served from now on.
    pub(super) fn tell_ready(&self) {
        self.observer.tell(ServerEvent::Ready);
        self.tell_alive();
    }

    /// Tells that the loop turns, now and from now on, if somebody wants to know.
    pub(super) fn tell_alive(&self) {
        if let Some(interval) = self.observer.alive_interval {
            self.observer.tell(ServerEvent::Alive);
            let deadline = self.hub.now.get() + interval;
            let mut schedule = self.hub.schedule.borrow_mut();
            schedule.wheel.insert(deadline, Due::Alive);
        }
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer")
            .field("is_any", &self.tell.is_some())
            .field("alive_interval", &self.alive_interval)
            .finish()
    }
}
