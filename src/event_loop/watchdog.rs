//! A thread that watches the loop's: a callback that does not return holds up everybody, and who waits
//! for it cannot say so.
//!
//! It looks once per period, and more often where something runs. What runs at two looks in the same
//! turn of the loop, which has taken a period by then, is named; once more when the time has doubled.
//! Many short calls in such a turn are named as one that is long: nobody is served by either. A loop
//! that waits in its poll is in none.

use crate::app::running::{Callback, Place, Running};
use crate::event_loop::EventLoop;
use crate::event_loop::system::System;
use crate::http::Request;
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

/// How often in a period something that runs is looked at.
const LOOKS_PER_PERIOD: u32 = 4;

/// The watching thread, which ends with this.
pub(super) struct Watchdog {
    period: Duration,
    names: Arc<Names>,
    /// Nothing is sent: the other end sees when it is gone.
    _end: Sender<()>,
}

/// What endpoints are called, by index.
struct Names(Vec<String>);

impl Names {
    /// A callback with the endpoint that it is one of.
    fn name(&self, place: Place) -> String {
        let callback = place.callback.name();
        let endpoint = place.endpoint.map(usize::from);
        match endpoint.and_then(|index| self.0.get(index)) {
            Some(endpoint) => format!("{callback} of {endpoint}"),
            None => callback.to_owned(),
        }
    }
}

impl Watchdog {
    /// Begins to watch. Without a thread nobody does, which is logged.
    fn start(
        period: Duration,
        names: Vec<String>,
        running: Arc<Running>,
        clock: fn() -> u64,
    ) -> Option<Self> {
        let names = Arc::new(Names(names));
        let (end, ended) = channel();
        let known = Arc::clone(&names);
        let watch = move || watch(&ended, period, &known, &running, clock);
        let thread = thread::Builder::new().name("watchdog".to_owned());
        match thread.spawn(watch) {
            Ok(_) => Some(Self {
                period,
                names,
                _end: end,
            }),
            Err(error) => {
                log::warn!("nobody watches for callbacks that block: {error}");
                None
            }
        }
    }
}

fn watch(
    ended: &Receiver<()>,
    period: Duration,
    names: &Names,
    running: &Running,
    clock: fn() -> u64,
) {
    let mut watch = Watch::new(period, clock());
    while ended.recv_timeout(watch.interval()) == Err(RecvTimeoutError::Timeout) {
        let (turn_began, place) = (running.turn_began(), running.place());
        if let Some((place, time)) = watch.look(place, turn_began, clock()) {
            running.tell(place);
            let (name, time) = (names.name(place), Seconds(time));
            log::warn!("nobody has been served for {time}: {name} is running");
        }
    }
}

/// What was seen so far. Times are in nanoseconds of the loop's clock.
struct Watch {
    period: Duration,
    /// What ran at the last look, and when its turn began.
    seen: Option<(Place, u64)>,
    looked_at: u64,
    /// Since when this thread has slept as long as it wants to.
    awake_since: u64,
    /// How long the turn may take until that is told.
    limit: Duration,
}

impl Watch {
    fn new(period: Duration, now: u64) -> Self {
        Self {
            period,
            seen: None,
            looked_at: now,
            awake_since: now,
            limit: period,
        }
    }

    /// How long to sleep before the next look.
    fn interval(&self) -> Duration {
        let interval = match self.seen {
            None => self.period,
            Some(_) => self.period / LOOKS_PER_PERIOD,
        };
        interval.max(Duration::from_millis(1))
    }

    /// Looks at what runs, if something does, in a turn that began then. That and how long the turn
    /// takes by now, if it is to be told.
    fn look(
        &mut self,
        place: Option<Place>,
        turn_began: u64,
        now: u64,
    ) -> Option<(Place, Duration)> {
        let since = |then: u64| Duration::from_nanos(now.saturating_sub(then));
        // Whoever sleeps much longer than it wants to stands still, and the loop may have, too: the
        // process was stopped, or the machine has too much to do.
        if since(self.looked_at) > 2 * self.interval() {
            self.awake_since = now;
        }
        self.looked_at = now;
        let seen = place.map(|place| (place, turn_began));
        if seen != std::mem::replace(&mut self.seen, seen) {
            self.limit = self.period;
            return None;
        }
        let time = since(turn_began.max(self.awake_since));
        if time < self.limit {
            return None;
        }
        self.limit = 2 * time;
        Some((place?, time))
    }
}

/// A length of time as it is logged.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} s", self.0.as_secs_f64())
    }
}

impl<S: System> EventLoop<S> {
    /// Begins to watch this loop, if that is asked for.
    pub(super) fn begin_watch(&mut self) {
        let Some(period) = self.settings.server.watchdog else {
            return;
        };
        let endpoints = self.app.endpoints().iter();
        let names = endpoints.map(|endpoint| endpoint.state().name()).collect();
        let running = Arc::clone(self.app.running());
        // Bound it may have been long before.
        self.polled = (self.clock)();
        running.begin_turn(self.polled);
        self.watchdog = Watchdog::start(period, names, running, self.clock);
    }

    /// Application code has returned, or the turn ends: tells so if the watchdog told of it. A responder
    /// was asked something.
    #[inline]
    pub(super) fn note_returned(&self, asked: Option<&Request>) {
        if self.app.running().is_told() {
            self.tell_returned(asked);
        }
    }

    /// Since the turn began nobody else was served.
    #[cold]
    fn tell_returned(&self, asked: Option<&Request>) {
        let (Some(watchdog), Some(place)) = (&self.watchdog, self.app.running().take_told()) else {
            return;
        };
        let time = Duration::from_nanos((self.clock)().saturating_sub(self.polled));
        if time < watchdog.period {
            return; // It was told when the turn was over just then.
        }
        let (name, time) = (watchdog.names.name(place), Seconds(time));
        let is_asked = matches!(place.callback, Callback::Responder | Callback::Handshake);
        match asked.filter(|_| is_asked) {
            // Neither can have anything in it that has no place in a line.
            Some(request) => log::warn!(
                "nobody was served for {time}: {name} has returned, asked {} {}",
                request.method(),
                request.path()
            ),
            None => log::warn!("nobody was served for {time}: {name} has returned"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::running::Callback;

    const PERIOD: Duration = Duration::from_secs(1);
    const QUARTER: Duration = Duration::from_millis(250);
    const NONE: [Duration; 0] = [];

    /// What is watched, and when it was looked at last.
    struct Test {
        running: Running,
        watch: Watch,
        now: Duration,
    }

    impl Test {
        fn new() -> Self {
            Self {
                running: Running::default(),
                watch: Watch::new(PERIOD, 0),
                now: Duration::ZERO,
            }
        }

        fn begin_turn(&self) {
            self.running.begin_turn(self.nanos());
        }

        fn enter(&self) {
            self.running.enter(Callback::Data, Some(0));
        }

        fn nanos(&self) -> u64 {
            u64::try_from(self.now.as_nanos()).expect("a few hours")
        }

        /// What is told of the next look, after such a sleep.
        fn look_after(&mut self, slept: Duration) -> Option<Duration> {
            self.now += slept;
            let (place, turn_began) = (self.running.place(), self.running.turn_began());
            let told = self.watch.look(place, turn_began, self.nanos());
            told.map(|(_, time)| time)
        }

        /// The same of so many looks, each after a sleep as it is asked for.
        fn told(&mut self, looks: usize) -> Vec<Duration> {
            let look = |_| self.look_after(self.watch.interval());
            (0..looks).filter_map(look).collect()
        }
    }

    #[test]
    fn a_call_that_does_not_return_is_told_of_after_a_period_and_when_that_has_doubled() {
        let mut test = Test::new();
        test.begin_turn();
        test.enter();
        assert_eq!(test.watch.interval(), PERIOD);
        assert_eq!(test.told(1), NONE, "it may have begun just now");
        assert_eq!(test.watch.interval(), QUARTER);
        assert_eq!(test.told(1), [PERIOD + QUARTER]);
        let doubled = [2, 4].map(|times| times * (PERIOD + QUARTER));
        assert_eq!(test.told(4 * 4), doubled);
    }

    #[test]
    fn one_that_begins_between_two_looks_is_told_of_when_its_turn_has_taken_a_period() {
        let mut test = Test::new();
        test.now = Duration::from_millis(800);
        test.begin_turn();
        test.enter();
        test.now = Duration::ZERO;
        assert_eq!(test.told(4), NONE);
        assert_eq!(test.now, Duration::from_millis(1750));
        assert_eq!(test.told(1), [Duration::from_millis(1200)]);
    }

    #[test]
    fn a_loop_that_waits_is_never_told_of_nor_one_whose_turns_are_short() {
        let mut test = Test::new();
        for _ in 0..100 {
            test.begin_turn();
            test.enter();
            assert_eq!(test.told(1), NONE);
            test.running.leave();
        }
        assert_eq!(test.told(100), NONE);
        assert_eq!(test.watch.interval(), PERIOD);
    }

    #[test]
    fn many_short_calls_in_one_turn_are_told_of_as_one_that_is_long() {
        let mut test = Test::new();
        test.begin_turn();
        test.enter();
        assert_eq!(test.told(1), NONE);
        test.running.leave();
        test.enter();
        assert_eq!(test.told(1), [PERIOD + QUARTER]);
        test.running.leave();
        test.running.enter(Callback::Close, Some(0));
        assert_eq!(test.told(1), NONE, "of another kind");
        assert_eq!(test.told(1), [PERIOD + 3 * QUARTER]);
    }

    /// SIGSTOP, or a machine that was suspended.
    #[test]
    fn a_process_that_stood_still_is_no_call_s_fault() {
        let mut test = Test::new();
        test.begin_turn();
        test.enter();
        assert_eq!(test.told(1), NONE);
        assert_eq!(test.look_after(3600 * PERIOD), None);
        assert_eq!(test.told(3), NONE);
        assert_eq!(test.told(1), [PERIOD], "since it goes on");
    }

    #[test]
    fn the_thread_ends_with_its_loop() {
        let running = Arc::new(Running::default());
        let hour = Duration::from_secs(3600);
        let watchdog = Watchdog::start(hour, Vec::new(), Arc::clone(&running), || 0);
        assert_eq!(Arc::strong_count(&running), 2);
        drop(watchdog);
        while Arc::strong_count(&running) > 1 {
            thread::yield_now();
        }
    }

    #[test]
    fn a_call_is_named_with_its_endpoint() {
        let names = Names(vec!["/chat".to_owned()]);
        let name = |callback, endpoint| names.name(Place { callback, endpoint });
        assert_eq!(name(Callback::Data, Some(0)), "on_data of /chat");
        assert_eq!(name(Callback::Responder, None), "a responder");
    }
}
