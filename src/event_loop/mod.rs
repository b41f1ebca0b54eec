//! The event loop: owns every descriptor and the only clock, moves bytes, interprets none.
//!
//! One turn has five phases (see [`EventLoop::turn`]), each with a budget, so that nobody waits
//! long for anybody. Application code is reached through [`App::call`] alone, which ends its panics.

mod accept;
pub(crate) mod clients;
pub(crate) mod control;
mod deadlines;
mod flush;
pub(crate) mod listener;
mod read;
pub(crate) mod signals;
pub(crate) mod socket;
mod stop;

use crate::app::App;
use crate::app::hub::Hub;
use crate::app::remote::RemoteCommand;
use crate::app::websocket::AnyApplication;
use crate::client_id::ClientId;
use crate::config::Config;
use crate::error::Error;
use crate::http::date::DateCache;
use crate::protocol::{Context, Protocol};
use crate::websocket::{CloseCode, Received};
use clients::{Client, Clients};
use control::Control;
use listener::Listener;
use mio::{Events, Poll, Token};
use signals::Signals;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant, SystemTime};
use stop::Stop;

/// Events taken from the poll at once.
const EVENTS_PER_POLL: usize = 1024;
/// Length of the read buffer, and so what one client may bring in a turn.
const READ_BUFFER_BYTES: usize = 256 * 1024;
/// Output queued in one turn, in bytes, past which it is written before anything else happens.
const EARLY_FLUSH_BYTES: usize = 1024 * 1024;
/// A time between two polls that brought events that is no work but a stall of the process.
const STALL: Duration = Duration::from_millis(100);

/// Tokens that are no client's: ids of the last generation of the last slots, which
/// [`Clients`] never gives.
const WAKER: Token = Token(usize::MAX);
const SIGNALS: Token = Token(usize::MAX - 1);
const FIRST_LISTENER: usize = usize::MAX - 2;

/// See the module.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one independent fact of the loop"
)]
pub(crate) struct EventLoop {
    poll: Poll,
    events: Events,
    listeners: Vec<Listener>,
    signals: Option<Signals>,
    control: Arc<Control>,
    clients: Clients,
    max_clients: usize,
    /// Clients to be read, each once.
    ready: VecDeque<u32>,
    /// Clients to be freed at the end of the turn.
    doomed: Vec<u32>,
    /// Where every read goes. Empty while a read from it is being served.
    buffer: Vec<u8>,
    /// Where response heads are put together.
    head: Vec<u8>,
    date: DateCache,
    hub: Rc<Hub>,
    app: App,
    config: Config,
    stop: Stop,
    /// Accepting waits until a descriptor may be free.
    accept_paused: bool,
    warned: Option<Instant>,
    /// When the last poll returned: what its events did not tell is later than this.
    polled_at: Instant,
    /// There may be events that no poll has brought yet.
    more_events: bool,
    /// Polls in a row that brought as many events as they could.
    full_polls: usize,
    /// The last turn took long.
    long_turn: bool,
    /// A signal came: the next one ends the server at once.
    signalled: bool,
    /// Half-read input of all clients, in bytes.
    buffered_bytes: usize,
}

impl EventLoop {
    /// A loop over bound `listeners`.
    ///
    /// # Errors
    ///
    /// What the system says to a new poll, or to registering with it.
    pub(crate) fn new(
        mut listeners: Vec<Listener>,
        hosts: Vec<Vec<Box<dyn crate::Responder>>>,
        config: Config,
        stop_on_signals: bool,
    ) -> Result<Self, Error> {
        let config = config.bounded();
        let poll = Poll::new().map_err(Error::Poll)?;
        let registry = poll.registry();
        for (index, listener) in listeners.iter_mut().enumerate() {
            listener
                .register(registry, Token(FIRST_LISTENER - index))
                .map_err(Error::Poll)?;
        }
        let signals = if stop_on_signals {
            Some(Signals::register(registry, SIGNALS).map_err(Error::Poll)?)
        } else {
            None
        };
        let control = Control::new(mio::Waker::new(registry, WAKER).map_err(Error::Poll)?);
        let max_clients = config
            .max_connections
            .unwrap_or_else(accept::descriptors_for_clients);
        let hub = Hub::new(&config, Instant::now);
        hub.output.borrow_mut().reserve(max_clients);
        hub.directory.borrow_mut().reserve(max_clients);
        let app = App::new(hosts, &hub).ok_or(Error::EndpointInUse)?;
        let waker = Waker::from(Arc::clone(&control));
        for (index, endpoint) in (0..).zip(app.endpoints()) {
            endpoint
                .state()
                .remote
                .attach(waker.clone(), &config, hub.max_frame_bytes(index));
        }
        Ok(Self {
            poll,
            events: Events::with_capacity(EVENTS_PER_POLL),
            listeners,
            signals,
            control,
            clients: Clients::with_capacity(max_clients),
            max_clients,
            ready: VecDeque::new(),
            doomed: Vec::new(),
            buffer: vec![0; READ_BUFFER_BYTES],
            head: Vec::new(),
            date: DateCache::new(SystemTime::now()),
            hub,
            app,
            config,
            stop: Stop::Running,
            accept_paused: false,
            warned: None,
            polled_at: Instant::now(),
            more_events: false,
            full_polls: 0,
            long_turn: false,
            signalled: false,
            buffered_bytes: 0,
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
        self.start()?;
        while !self.is_stopped() {
            self.turn()?;
        }
        Ok(())
    }

    /// Calls every `on_start`; after a failure `on_stop` of those that started.
    fn start(&mut self) -> Result<(), Error> {
        for index in 0..self.app.endpoints().len() {
            let endpoint = &self.app.endpoints()[index];
            let started = App::call("on_start", || endpoint.start());
            let error = match started {
                Some(Ok(())) => continue,
                Some(Err(error)) => error,
                None => "on_start panicked".into(),
            };
            for started in self.app.endpoints().iter().take(index).rev() {
                App::call("on_stop", || started.stop());
            }
            return Err(Error::Start(error));
        }
        Ok(())
    }

    /// One turn: five phases, each bounded.
    fn turn(&mut self) -> Result<(), Error> {
        self.wait_for_readiness()?; // until the next deadline; not at all while work is left
        self.accept_and_read(); // sockets to events to callbacks
        self.expire_deadlines(); // after reading, so that a stall of ours closes nobody
        self.flush(); // queues, then a slice of each ring, to sockets: the only writer
        self.reap_doomed(); // slots are freed last, so no event of this turn meets a stranger
        Ok(())
    }

    fn wait_for_readiness(&mut self) -> Result<(), Error> {
        let timeout = if self.has_work() {
            Some(Duration::ZERO)
        } else {
            let deadline = self.hub.schedule.borrow().wheel.next_deadline();
            deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
        };
        match self.poll.poll(&mut self.events, timeout) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.events.clear(),
            Err(error) => return Err(Error::Poll(error)),
        }
        self.read_clock();
        let before = std::mem::replace(&mut self.polled_at, self.hub.now.get());
        self.judge_poll(self.polled_at - before);
        self.sort_events()
    }

    /// Judges whether events are left that no poll has brought. A full poll means so; but as
    /// many of them in a row as all clients need have told of everybody, unless the process
    /// stood still in between.
    fn judge_poll(&mut self, since_the_last: Duration) {
        let full = self.events.iter().count() == EVENTS_PER_POLL;
        let long = since_the_last > STALL;
        // One long turn is a stall; one after the other is load, and must not put off every
        // deadline for ever.
        let stalled = long && !self.long_turn;
        self.long_turn = long;
        if !full || stalled {
            self.full_polls = 0;
        }
        self.full_polls += usize::from(full);
        self.more_events = full && self.full_polls <= self.clients.len() / EVENTS_PER_POLL + 1;
    }

    /// Whether something can be done without waiting.
    fn has_work(&self) -> bool {
        let output = self.hub.output.borrow();
        !self.ready.is_empty()
            || output.dirty_pending()
            || output.ring_pending()
            || (!self.accept_paused && self.listeners.iter().any(|listener| listener.ready))
    }

    /// Whether so much was queued that it is to be written first.
    fn is_output_full(&self) -> bool {
        self.hub.output.borrow().turn_bytes() > EARLY_FLUSH_BYTES
    }

    fn read_clock(&mut self) {
        self.hub.now.set(Instant::now());
    }

    /// Events to marks on clients and listeners; signals and wake-ups at once.
    fn sort_events(&mut self) -> Result<(), Error> {
        let mut signalled = false;
        let mut woken = false;
        for event in &self.events {
            match event.token() {
                WAKER => woken = true,
                SIGNALS => signalled = true,
                Token(token) if FIRST_LISTENER - token < self.listeners.len() => {
                    self.listeners[FIRST_LISTENER - token].ready = true;
                }
                Token(token) => {
                    let id = client_of(token);
                    // An event of a client that left this slot since is nobody's.
                    let Some(client) = self.clients.by_id(id) else {
                        continue;
                    };
                    if event.is_writable() && self.hub.output.borrow().is_blocked(id.slot()) {
                        client.progress = self.hub.now.get();
                        unblock(client, &self.hub);
                    }
                    if event.is_readable() || event.is_read_closed() || event.is_error() {
                        client.readable = true;
                        client.read_closed |= event.is_read_closed() || event.is_error();
                        if !client.listed {
                            client.listed = true;
                            self.ready.push_back(id.slot());
                        }
                    }
                }
            }
        }
        if woken {
            self.carry_out_remotes();
            if self.control.is_stop_requested() {
                self.begin_stop();
            }
        }
        if signalled {
            let count = self.signals.as_mut().map_or(0, Signals::count);
            for _ in 0..count {
                if std::mem::replace(&mut self.signalled, true) {
                    return Err(Error::Interrupted);
                }
                self.begin_stop();
            }
        }
        Ok(())
    }

    /// The socket of a client may take bytes again.
    fn unblock(&mut self, slot: u32) {
        if let Some(client) = self.clients.get_mut(slot) {
            unblock(client, &self.hub);
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
                        let message = crate::websocket::encoded::Encoded::Shared(&frame);
                        self.hub.send(endpoint, to.as_recipients(), &message);
                    }
                    RemoteCommand::Close(client, code, reason) => {
                        self.hub.close(endpoint, client, code, &reason);
                    }
                }
                self.carry_out();
            }
        }
    }

    fn accept_and_read(&mut self) {
        self.read_ready();
        for index in 0..self.listeners.len() {
            if self.listeners[index].ready && !self.accept_paused {
                self.accept_from(index);
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
            config: &self.config,
            output: &mut output,
            received: directory
                .entry_mut(slot)
                .map_or(&mut nobody, |entry| &mut entry.received),
            slot,
            now: self.hub.now.get(),
            date: self.date.as_str(),
            head: &mut self.head,
        };
        Some(act(&mut client.protocol, &mut context))
    }

    /// The one place where an endpoint's code runs: catches its panic, which fails `client`'s
    /// connection, and carries out what it asked for before anything else happens.
    fn call(
        &mut self,
        what: &'static str,
        endpoint: u16,
        client: Option<ClientId>,
        code: impl FnOnce(&dyn AnyApplication),
    ) {
        let application = self.app.endpoint(endpoint);
        if App::call(what, || code(application)).is_none()
            && let Some(client) = client
        {
            let reason = Cow::Borrowed("The application failed");
            self.hub.fail(client, CloseCode::INTERNAL_ERROR, reason);
        }
        self.carry_out();
    }

    /// Closes what callbacks asked to be closed, telling their endpoints, until nothing is left.
    fn carry_out(&mut self) {
        while let Some(request) = self.hub.next_close() {
            let slot = request.client.slot();
            if self.clients.by_id(request.client).is_some() {
                self.protocol(slot, |protocol, cx| {
                    protocol.close(request.code, &request.reason, request.fails, cx);
                });
                self.arm(slot);
                self.resume(slot);
            }
            self.tell_closed(
                request.endpoint,
                request.client,
                request.code,
                &request.reason,
            );
        }
    }

    /// Calls `on_close`. Its panic harms nobody: the client is gone already.
    fn tell_closed(&mut self, endpoint: u16, client: ClientId, code: CloseCode, reason: &str) {
        log::debug!("client {client} closes with {code}");
        let application = self.app.endpoint(endpoint);
        App::call("on_close", || application.close(client, code, reason));
    }

    /// The close of a WebSocket connection began by the peer, or for its fault.
    fn closed(&mut self, slot: u32, code: CloseCode, reason: &str) {
        let client = self.hub.directory.borrow().id_at(slot);
        let Some(client) = client else { return };
        let endpoint = self.hub.directory.borrow().endpoint_of(client);
        if self.hub.retire(client)
            && let Some(endpoint) = endpoint
        {
            self.tell_closed(endpoint, client, code, reason);
            self.carry_out();
        }
    }

    /// A client whose connection is lost, or over: freed at the end of the turn.
    fn doom(&mut self, slot: u32) {
        if let Some(client) = self.clients.get_mut(slot) {
            client.doomed = true;
            self.doomed.push(slot);
        }
        self.closed(slot, CloseCode::ABNORMAL, "");
    }

    /// Frees the clients that are gone.
    fn reap_doomed(&mut self) {
        while let Some(slot) = self.doomed.pop() {
            let Some(client) = self.clients.remove(slot) else {
                continue;
            };
            if let Some((key, _)) = client.armed {
                self.hub.schedule.borrow_mut().wheel.cancel(key);
            }
            self.hub.output.borrow_mut().close(slot);
            self.buffered_bytes -= client.buffered_bytes;
            // Its descriptor is free again: somebody may wait for one.
            self.accept_paused = false;
            log::debug!("client {} is gone", client.id);
        }
    }
}

fn unblock(client: &mut Client, hub: &Hub) {
    let slot = client.id.slot();
    let mut output = hub.output.borrow_mut();
    output.unblock(slot);
    client.protocol.unblocked(&mut output, slot, hub.now.get());
}

/// Whoever asks a remote after the loop's end, however it came, is told.
impl Drop for EventLoop {
    fn drop(&mut self) {
        for endpoint in self.app.endpoints() {
            endpoint.state().remote.stop();
        }
    }
}

/// The token of a client's events: its id, so that an event of a client that left is nobody's.
fn token_of(client: ClientId) -> Token {
    Token(usize::try_from(client.as_u64()).expect("64-bit tokens: see the assertion"))
}

fn client_of(token: usize) -> ClientId {
    ClientId::from_u64(token as u64)
}

const _: () = assert!(
    usize::BITS >= 64,
    "ids have 64 bits, and so must the tokens of the poll"
);
