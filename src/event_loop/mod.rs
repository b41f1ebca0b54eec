//! The event loop: owns every descriptor and the only clock, moves bytes, interprets none.
//!
//! One turn has five phases (see [`EventLoop::turn`]), each with a budget, so that nobody waits
//! long for anybody. Application code is reached through [`App::call`] alone, which ends its panics.

mod accept;
mod access;
mod addresses;
mod answer;
mod asides;
mod calls;
mod carried;
pub(crate) mod clients;
pub(crate) mod control;
mod counting;
mod deadlines;
mod flush;
mod invariants;
pub(crate) mod kernel;
mod lifetimes;
pub(crate) mod listener;
mod listening;
pub(crate) mod observer;
pub(crate) mod passed;
mod read;
mod room;
mod signals;
pub(crate) mod simulated;
mod socket;
mod stop;
pub(crate) mod system;
pub(crate) mod tls;
mod unix;
mod warnings;
mod watchdog;

use crate::access::Access;
use crate::app::App;
use crate::app::hub::Hub;
use crate::app::names::Names;
use crate::app::remote::RemoteCommand;
use crate::app::running::Callback;
use crate::config::{Config, Settings};
use crate::error::Error;
use crate::http::Request;
use crate::http::date::DateCache;
use crate::moment::Moment;
use crate::panics::bury;
use crate::protocol::{Context, Fields, Protocol};
use crate::rate::Bucket;
use crate::websocket::deflate::Inflaters;
use crate::websocket::encoded::ToSend;
use crate::websocket::{CloseCode, ClosedBy, Received};
use addresses::Addresses;
use asides::{Asides, Held};
use clients::{Client, Clients, client_of, fact, token_of};
use control::Control;
pub(crate) use listening::Listening;
use observer::Observer;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};
use stop::Stop;
use system::{Socket as _, System};
use tls::Pump;
use warnings::Warnings;
use watchdog::Watchdog;

/// Length of the read buffer, and so what one client may bring in a turn.
const READ_BUFFER_BYTES: usize = 256 * 1024;
/// Output queued in one turn, in bytes, past which it is written before anything else happens.
const EARLY_FLUSH_BYTES: usize = 1024 * 1024;
/// From so far ahead on a deadline is not slept to in one step.
const FAR: Duration = Duration::from_secs(1);
/// A time between two polls that brought events, in milliseconds, that is no work but a stall of the
/// process.
const STALL_MILLIS: u64 = 100;

/// Tokens that are no client's: ids of the last generation of the last slots, which
/// [`Clients`] never gives.
pub(crate) const WAKER: usize = usize::MAX;
pub(crate) const SIGNALS: usize = usize::MAX - 1;
const FIRST_LISTENER: usize = usize::MAX - 2;

/// See the module.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one independent fact of the loop"
)]
pub(crate) struct EventLoop<S: System> {
    system: S,
    /// What the last poll brought; `None` while it is served.
    events: Option<S::Events>,
    /// Most events that one poll brings.
    events_per_poll: usize,
    listeners: Vec<Listening<S::Listener>>,
    control: Arc<Control>,
    observer: Observer,
    clients: Clients<S::Socket>,
    asides: Asides,
    max_clients: usize,
    /// Clients to be read although no event of this turn says so, each once.
    ready: VecDeque<u32>,
    /// Clients to be freed at the end of the turn.
    doomed: Vec<u32>,
    /// Clients whose backlog is below its soft limit again, which is to be told.
    drained: Vec<u32>,
    /// Where every read goes. Empty while a read from it is being served.
    buffer: Vec<u8>,
    /// Where records of TLS are opened and sealed.
    pump: Pump,
    /// Where response heads are put together.
    head: Vec<u8>,
    /// Where heads for streams are put together.
    fields: Fields,
    /// What is left of the request that was answered last.
    spare: Option<Box<Request>>,
    /// What is to be told of requests and WebSocket connections when they are over.
    access: Access,
    /// What compressed messages are inflated with.
    inflaters: Inflaters,
    date: DateCache,
    /// When `date` was last compared with the calendar.
    dated: Moment,
    hub: Rc<Hub>,
    app: App,
    settings: Settings,
    stop: Stop,
    clock: fn() -> u64,
    /// What moments are counted from, in the clock's nanoseconds.
    started: u64,
    /// Accepting waits until a descriptor may be free.
    accept_paused: bool,
    /// How often somebody may come, if that is limited.
    arrivals: Option<Bucket>,
    /// Whose newcomers are the first in the next turn.
    next_listener: usize,
    /// Where the search for an idle client goes on.
    next_look: u32,
    warnings: Warnings,
    /// When the last poll returned: what its events did not tell is later than this.
    polled_at: Moment,
    /// The same, as the clock said it.
    polled: u64,
    /// How long before that the one before it did, in milliseconds.
    since_last_poll: u64,
    /// When a poll last brought an event, for busy polling.
    last_event: u64,
    /// There may be events that no poll has brought yet.
    more_events: bool,
    /// Polls in a row that brought as many events as they could.
    full_polls: usize,
    /// The last turn took long.
    long_turn: bool,
    /// A signal came: the next one ends the server at once.
    signalled: bool,
    /// Who sees that a callback does not return.
    watchdog: Option<Watchdog>,
}

impl<S: System> EventLoop<S> {
    /// A loop over bound listeners. The number of a host behind the last one is the place in `names`
    /// of the choice among several.
    ///
    /// # Errors
    ///
    /// What the system says to registering them, or an endpoint that is another server's.
    pub(crate) fn new(
        mut system: S,
        control: Arc<Control>,
        mut listeners: Vec<Listening<S::Listener>>,
        hosts: Vec<Vec<Box<dyn crate::Responder>>>,
        names: Vec<Names>,
        config: Config,
    ) -> Result<Self, Error> {
        let config = config.bounded();
        for (index, listening) in listeners.iter_mut().enumerate() {
            system
                .listen(&mut listening.listener, FIRST_LISTENER - index)
                .map_err(Error::Poll)?;
        }
        let (events, events_per_poll) = system.events();
        let clock = system.clock();
        // The first moment of an event is the second of all: the first one says never.
        let before = Duration::from_millis(1);
        let started = clock().saturating_sub(1_000_000);
        let started_at = Instant::now();
        let started_at = started_at.checked_sub(before).unwrap_or(started_at);
        let max_clients = config
            .max_connections
            .unwrap_or_else(accept::descriptors_for_clients);
        let ceiling = Box::new(move || Moment::at_or_after(clock().saturating_sub(started)));
        let waking = Arc::clone(&control);
        let waker = Box::new(move |client| {
            let control = Arc::clone(&waking);
            Box::new(move || control.look_at(client)) as _
        });
        let hub = Hub::new(&config, started_at, ceiling, waker);
        hub.output.borrow_mut().reserve(max_clients);
        hub.directory.borrow_mut().reserve(max_clients);
        hub.schedule.borrow_mut().wheel.reserve(max_clients);
        let app = App::new(hosts, names, &config, &hub).ok_or(Error::EndpointInUse)?;
        let asides = Asides {
            addresses: Addresses::new(config.max_connections_per_address),
            ..Asides::default()
        };
        let rate = config.max_connections_per_second;
        let arrivals = rate.map(|rate| Bucket::new(rate.into(), Moment::START));
        let waker = Waker::from(Arc::clone(&control));
        let mut endpoints = Vec::new();
        for (index, endpoint) in (0..).zip(app.endpoints()) {
            endpoint
                .state()
                .remote
                .attach(waker.clone(), &config, hub.max_frame_bytes(index));
            endpoints.push(hub.config(index));
        }
        Ok(Self {
            events: Some(events),
            events_per_poll,
            listeners,
            control,
            observer: Observer::default(),
            clients: Clients::with_capacity(max_clients),
            asides,
            max_clients,
            ready: VecDeque::new(),
            doomed: Vec::new(),
            drained: Vec::new(),
            buffer: vec![0; READ_BUFFER_BYTES],
            pump: Pump::default(),
            head: Vec::new(),
            fields: Fields::default(),
            spare: None,
            access: Access::default(),
            inflaters: Inflaters::default(),
            date: DateCache::new(system.calendar()),
            dated: Moment::START,
            hub,
            app,
            settings: Settings {
                server: config,
                endpoints,
            },
            stop: Stop::Running,
            clock,
            started,
            accept_paused: false,
            arrivals,
            next_listener: 0,
            next_look: 0,
            warnings: Warnings::default(),
            polled_at: Moment::START,
            polled: started,
            since_last_poll: 0,
            last_event: started,
            more_events: false,
            full_polls: 0,
            long_turn: false,
            signalled: false,
            watchdog: None,
            system,
        })
    }

    /// What other threads reach the loop by.
    pub(crate) fn control(&self) -> Arc<Control> {
        Arc::clone(&self.control)
    }

    /// Serves until the server is stopped.
    ///
    /// # Errors
    ///
    /// An endpoint that did not start, a poll that failed, or a stop cut short.
    pub(crate) fn run(mut self) -> Result<(), Error> {
        self.begin_watch();
        self.start()?;
        while !self.is_stopped() {
            self.turn()?;
        }
        Ok(())
    }

    /// Calls every `on_start`; after a failure `on_stop` of those that started.
    pub(crate) fn start(&mut self) -> Result<(), Error> {
        for (index, endpoint) in (0..).zip(self.app.endpoints()) {
            let start = || endpoint.start();
            let error = match self.app.call(Callback::Start, Some(index), start) {
                Some(Ok(())) => continue,
                Some(Err(error)) => error,
                None => "on_start panicked".into(),
            };
            for index in (0..index).rev() {
                let started = self.app.endpoint(index);
                self.app
                    .call(Callback::Stop, Some(index), || started.stop());
            }
            return Err(Error::Start(error));
        }
        self.note_returned(None);
        self.close_idle_files();
        self.tell_ready();
        Ok(())
    }

    /// One turn: five phases, each bounded.
    pub(crate) fn turn(&mut self) -> Result<(), Error> {
        self.wait_for_readiness()?; // until the next deadline; not at all while work is left
        self.accept_and_read()?; // sockets to events to callbacks
        self.expire_deadlines(); // after reading, so that a stall of ours closes nobody
        if !self.hub.output.borrow().is_quiet() || self.asides.streams.is_any_postponed() {
            self.flush(); // queues, then a slice of each ring, to sockets
        }
        if !self.drained.is_empty() {
            self.tell_all_drained(); // what is sent now has its turn in the next one
        }
        self.reap_doomed(); // slots are freed last, so no event of this turn meets a stranger
        self.note_returned(None); // what the watchdog told of
        Ok(())
    }

    fn wait_for_readiness(&mut self) -> Result<(), Error> {
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
    fn judge_poll(&mut self, event_count: usize) {
        if event_count > 0 {
            self.last_event = self.polled;
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

    /// How many clients are connected.
    pub(crate) fn client_count(&self) -> usize {
        self.clients.len()
    }

    /// How many entries the tables have of what few clients have at a time.
    pub(crate) fn aside_count(&self) -> usize {
        self.asides.len() + self.access.len()
    }

    /// How many messages were compressed so far.
    pub(crate) fn compressed_count(&self) -> u64 {
        self.hub.compressors.borrow().compressed_count()
    }

    /// How many clients have a compressor to themselves.
    pub(crate) fn compressor_count(&self) -> usize {
        self.hub.compressors.borrow().dedicated_count()
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

    /// Whether so much was queued that it is to be written first.
    #[inline]
    fn is_output_full(&self) -> bool {
        self.hub.output.borrow().turn_bytes() > EARLY_FLUSH_BYTES
    }

    fn read_clock(&mut self) {
        self.read_clock_at((self.clock)());
    }

    fn read_clock_at(&mut self, clock: u64) {
        let now = Moment::at_or_before(clock.saturating_sub(self.started));
        self.hub.now.set(now);
    }

    /// Serves what the poll brought: clients one after the other, each read and answered while
    /// its bytes are in the cache; then who was left over from turns before, then newcomers.
    fn accept_and_read(&mut self) -> Result<(), Error> {
        let mut signalled = false;
        let mut woken = false;
        let left_over = self.ready.len();
        let Some(events) = self.events.take() else {
            return Ok(());
        };
        let mut event_count = 0;
        for event in S::iter(&events) {
            event_count += 1;
            match FIRST_LISTENER.checked_sub(event.token) {
                None if event.token == WAKER => woken = true,
                None => signalled = true,
                Some(index) if index < self.listeners.len() => self.listeners[index].ready = true,
                Some(_) => self.serve_event(event),
            }
        }
        self.events = Some(events);
        self.judge_poll(event_count);
        if woken {
            self.carry_out_remotes();
            self.look_at_asked();
            if self.control.is_stop_requested() {
                self.ask_to_stop();
            }
        }
        if signalled {
            for _ in 0..self.system.signals() {
                if std::mem::replace(&mut self.signalled, true) {
                    return Err(Error::Interrupted);
                }
                self.ask_to_stop();
            }
        }
        self.read_ready(left_over);
        let mut index = self.next_listener;
        for _ in 0..self.listeners.len() {
            if self.listeners[index].ready && self.may_accept() {
                self.accept_from(index);
                // If not all may come, those of the others are next.
                self.next_listener = self.listener_after(index);
            }
            index = self.listener_after(index);
        }
        Ok(())
    }

    /// Writes everything, if so much was queued that nothing else may happen first.
    pub(super) fn flush_early(&mut self) {
        if self.is_output_full() {
            self.flush();
            self.read_clock();
        }
    }

    /// The socket of a client may take bytes again.
    fn unblock(&mut self, slot: u32) {
        if let Some(client) = self.clients.get_mut(slot) {
            unblock(client, slot, &self.hub);
        }
    }

    /// Commands of other threads.
    fn carry_out_remotes(&mut self) {
        for index in 0..self.app.endpoints().len() {
            let commands = self.app.endpoints()[index].state().remote.drain();
            let Ok(endpoint) = u16::try_from(index) else {
                continue;
            };
            for command in commands {
                match command {
                    RemoteCommand::Send(to, frame) => {
                        let message = ToSend::Frame(&frame);
                        self.hub.send_to(endpoint, to.as_recipients(), message);
                    }
                    RemoteCommand::Close(client, code, reason) => {
                        self.hub.close(endpoint, client, code, &reason);
                    }
                }
                self.carry_out();
            }
        }
    }

    /// Lends the protocol of `slot` what it needs.
    fn protocol<R>(
        &mut self,
        slot: u32,
        act: impl FnOnce(&mut Protocol, &mut Context<'_>) -> R,
    ) -> Option<R> {
        let client = self.clients.get_mut(slot)?;
        let mut output = self.hub.output.borrow_mut();
        let mut directory = self.hub.directory.borrow_mut();
        let mut nobody = Received::default();
        let mut context = Context {
            settings: &self.settings,
            output: &mut output,
            received: directory
                .entry_mut(slot)
                .map_or(&mut nobody, |entry| &mut entry.received),
            inflaters: &mut self.inflaters,
            slot,
            now: self.hub.now.get(),
            date_line: self.date.line(),
            head: &mut self.head,
            fields: &mut self.fields,
            spare: &mut self.spare,
            counts: &self.hub.counts,
            access: &mut self.access,
        };
        let result = act(&mut client.protocol, &mut context);
        if client.is(fact::CARRIED) {
            drop((output, directory));
            self.send_fields(slot);
        }
        Some(result)
    }

    /// A client whose connection is lost, or over: freed at the end of the turn.
    fn doom(&mut self, slot: u32) {
        self.part(slot);
        let id = self.access.is_on().then(|| self.clients.id_of(slot));
        if let Some(client) = self.clients.get_mut(slot) {
            // An orderly end would say that the response is complete; and for who does not read, the
            // kernel would hold what it was given for minutes, with nobody to limit it.
            let is_full = self.hub.output.borrow().is_blocked(slot);
            if is_full || self.hub.streams.is_sent_until_close(slot) {
                client.socket.reset_on_close();
            }
            client.set(fact::DOOMED);
            self.doomed.push(slot);
            // At once, for who comes in its place in this turn.
            self.asides.addresses.leave(slot);
        }
        self.closed(slot, CloseCode::ABNORMAL, "", ClosedBy::Nobody);
        self.abandon(slot);
        if let Some(Some(id)) = id {
            self.tell_left(id);
            self.carry_out();
        }
        self.leave_carrier(slot);
        self.lose_streams(slot);
    }

    /// Frees the clients that are gone.
    fn reap_doomed(&mut self) {
        while let Some(slot) = self.doomed.pop() {
            let Some(client) = self.clients.remove(slot) else {
                continue;
            };
            self.count_gone(&client);
            if let Some(key) = client.armed {
                self.hub.schedule.borrow_mut().wheel.cancel(key);
            }
            self.hub.output.borrow_mut().close(slot);
            self.inflaters.forget(slot);
            self.asides.forget(slot, &client);
            // Its descriptor is free again: somebody may wait for one.
            self.accept_paused = false;
            log::debug!("the client in slot {slot} is gone");
        }
    }
}

fn unblock<K>(client: &mut Client<K>, slot: u32, hub: &Hub) {
    let mut output = hub.output.borrow_mut();
    client.take(fact::FULL);
    output.unblock(slot);
    client.protocol.unblocked(&mut output, slot, hub.now.get());
}

/// Whoever asks a remote after the loop's end, however it came, is told.
impl<S: System> Drop for EventLoop<S> {
    fn drop(&mut self) {
        for endpoint in self.app.endpoints() {
            endpoint.state().remote.stop();
        }
        // Streams hold what holds them.
        for stream in self.hub.streams.take_all() {
            if let Some(close) = stream.close() {
                self.app.call(Callback::StreamClose, None, close);
            }
        }
        for (_, upload) in std::mem::take(&mut self.asides.uploads) {
            self.abort(upload);
        }
        self.tell_rest();
        let calls = self.hub.schedule.borrow_mut().take_calls();
        bury(calls);
        self.app.bury();
    }
}
