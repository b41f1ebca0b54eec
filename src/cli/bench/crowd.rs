//! The connections of a bench and the loop that serves them: who connects from where, what comes, who is
//! lost. What is sent, and what an answer means, is a [`Load`]'s.

use super::flags::TargetArgs;
use super::run::ErrorKind;
use super::sources::Sources;
use super::troubles::Troubles;
use crate::cli::client::connection::{Connection, Event, Shared};
use crate::cli::client::opening::Wishes;
use crate::cli::client::response::{Answered, Responses};
use crate::cli::client::target::Target;
use crate::cli::client::transport::{Brought, Transport};
use crate::cli::client::url::Url;
use crate::cli::descriptors;
use aerys::internals::{Agreement, Printable};
use aerys::{CloseCode, Message};
use mio::{Events, Interest, Poll, Token};
use std::io::{self, ErrorKind as IoErrorKind};
use std::time::{Duration, Instant};

/// What is read at a time.
const BUFFER_BYTES: usize = 256 * 1024;
/// Longest message that is taken: a server that announces more is broken.
const MAX_MESSAGE_BYTES: usize = 1 << 30;
/// Descriptors beside those of connections.
const OTHER_DESCRIPTORS: u64 = 32;
/// How long all connections together are given to close.
const LEAVE_TIMEOUT: Duration = Duration::from_millis(500);

/// What is answered.
#[derive(Debug)]
pub(super) enum Answer<'a> {
    Message(Message<'a>),
    Response(Answered),
}

/// What is done with connections. Times are nanoseconds of [`Crowd::now`].
pub(super) trait Load {
    /// What it keeps for each connection.
    type State: Default;

    /// A connection is open, `took` after it was begun.
    fn opened(
        &mut self,
        at: u64,
        took: u64,
        index: usize,
        agreed: Option<Agreement>,
        state: &mut Self::State,
    );

    /// Something came.
    fn answered(&mut self, at: u64, state: &mut Self::State, answer: Answer<'_>);

    /// All that came was told, or there is room again: now is the time to write.
    ///
    /// # Errors
    ///
    /// The connection is lost.
    fn ready(
        &mut self,
        at: u64,
        state: &mut Self::State,
        transport: &mut Transport,
    ) -> io::Result<()>;

    /// A connection is gone, or was never there.
    fn lost(&mut self, at: u64, index: usize, kind: ErrorKind, state: Self::State);
}

/// What is spoken.
#[derive(Debug)]
enum Speaker {
    WebSocket(Connection),
    Http(Responses),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Of TCP.
    Connecting,
    /// The opening handshake.
    Opening,
    Open,
}

#[derive(Debug)]
struct Peer<S> {
    transport: Transport,
    speaker: Speaker,
    phase: Phase,
    began: u64,
    state: S,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Crowd<S> {
    poll: Poll,
    url: Url,
    /// What handshakes offer; `None`: plain HTTP is spoken.
    wishes: Option<Wishes>,
    target: Target,
    sources: Sources,
    timeout: Duration,
    clock: Instant,
    peers: Vec<Option<Peer<S>>>,
    open_count: usize,
    shared: Shared,
    buffer: Vec<u8>,
    /// What a connection answers by itself.
    output: Vec<u8>,
    pub(super) received_bytes: u64,
    pub(super) troubles: Troubles,
}

impl<S: Default> Crowd<S> {
    /// Nobody yet, and room for `count` connections.
    ///
    /// # Errors
    ///
    /// A line on what there is not: the host, TLS's certificates, descriptors.
    pub(super) fn new(
        args: TargetArgs,
        wishes: Option<Wishes>,
        count: usize,
    ) -> Result<Self, String> {
        let target = Target::find(&args.url, &args.tls)?;
        let needed = count as u64 + OTHER_DESCRIPTORS;
        let (limit, _) = descriptors::raise();
        if let Some(limit) = limit.filter(|limit| *limit < needed) {
            return Err(format!(
                "{count} connections need {needed} open files, and {limit} are allowed: raise the hard \
                 limit with `ulimit -Hn {needed}` as root"
            ));
        }
        Ok(Self {
            poll: Poll::new().map_err(|error| error.to_string())?,
            sources: Sources::new(args.source, target.address().ip()),
            url: args.url,
            wishes,
            target,
            timeout: args.timeout,
            clock: Instant::now(),
            peers: Vec::with_capacity(count),
            open_count: 0,
            shared: Shared::default(),
            buffer: vec![0; BUFFER_BYTES],
            output: Vec::new(),
            received_bytes: 0,
            troubles: Troubles::default(),
        })
    }

    /// Nanoseconds since this crowd was made.
    pub(super) fn now(&self) -> u64 {
        nanos(self.clock.elapsed())
    }

    pub(super) const fn open_count(&self) -> usize {
        self.open_count
    }

    /// Opens so many connections, `at_once` at the same time, and says to `on_turn` how many are there.
    ///
    /// # Errors
    ///
    /// A line: not one could be opened.
    pub(super) fn open<L: Load<State = S>>(
        &mut self,
        count: usize,
        at_once: usize,
        load: &mut L,
        mut on_turn: impl FnMut(usize),
    ) -> Result<(), String> {
        let mut events = Events::with_capacity(1024);
        self.find_address();
        let mut pending: Vec<usize> = Vec::new();
        loop {
            while pending.len() < at_once && self.peers.len() < count {
                pending.push(self.peers.len());
                self.begin(load);
            }
            pending.retain(|index| {
                let peer = self.peers[*index].as_ref();
                peer.is_some_and(|peer| peer.phase != Phase::Open)
            });
            if pending.is_empty() && self.peers.len() == count {
                break;
            }
            self.turn(Duration::from_millis(50), &mut events, load);
            let now = self.now();
            for index in &pending {
                let began = self.peers[*index]
                    .as_ref()
                    .filter(|peer| peer.phase != Phase::Open);
                if began.is_some_and(|peer| now - peer.began > nanos(self.timeout)) {
                    self.lose(*index, ErrorKind::Timeout, "no handshake in time", load);
                }
            }
            on_turn(self.open_count);
        }
        if self.open_count == 0 {
            let why = self.troubles.first().unwrap_or("all are closed again");
            return Err(format!(
                "no connection to {} could be opened: {why}",
                self.url
            ));
        }
        Ok(())
    }

    /// Chooses the first address of the host where someone listens: `localhost` has two, and many
    /// servers are at one.
    fn find_address(&mut self) {
        // The only one is tried by the connections themselves.
        while self.target.has_several_addresses() {
            let address = self.target.address();
            let is_there = std::net::TcpStream::connect_timeout(&address, self.timeout).is_ok();
            if is_there || !self.target.next_address() {
                return;
            }
        }
    }

    /// Begins a connection.
    fn begin<L: Load<State = S>>(&mut self, load: &mut L) {
        let index = self.peers.len();
        let began = self.now();
        let connected = self
            .sources
            .connect(&self.target)
            .and_then(|mut transport| {
                let both = Interest::READABLE | Interest::WRITABLE;
                let registry = self.poll.registry();
                registry.register(&mut transport, Token(index), both)?;
                Ok(transport)
            });
        match connected {
            Ok(transport) => self.peers.push(Some(Peer {
                transport,
                speaker: Speaker::Http(Responses::default()),
                phase: Phase::Connecting,
                began,
                state: S::default(),
            })),
            Err(error) => {
                self.peers.push(None);
                self.troubles.add(&error.to_string());
                load.lost(began, index, ErrorKind::Connect, S::default());
            }
        }
    }

    /// Waits for events, no longer than `timeout`, and serves them.
    pub(super) fn turn<L: Load<State = S>>(
        &mut self,
        timeout: Duration,
        events: &mut Events,
        load: &mut L,
    ) {
        if let Err(error) = self.poll.poll(events, Some(timeout)) {
            if error.kind() != IoErrorKind::Interrupted {
                self.troubles.add(&error.to_string());
            }
            return;
        }
        for event in events.iter() {
            let index = event.token().0;
            let served = self.serve(index, event, load);
            if let Err((kind, why)) = served {
                self.lose(index, kind, &why, load);
            }
        }
    }

    /// Serves one connection. Why it is lost, if it is.
    fn serve<L: Load<State = S>>(
        &mut self,
        index: usize,
        event: &mio::event::Event,
        load: &mut L,
    ) -> Result<(), (ErrorKind, String)> {
        let Some(peer) = &mut self.peers[index] else {
            return Ok(());
        };
        let phase = peer.phase;
        let io = |error: io::Error| (kind_of(phase, &error), error.to_string());
        if phase == Phase::Connecting {
            if !peer.transport.poll_connected().map_err(io)? {
                return Ok(());
            }
            self.connected(index, load).map_err(io)?;
        } else if event.is_writable() {
            peer.transport.flush().map_err(io)?;
        }
        if event.is_readable() || event.is_read_closed() {
            self.read(index, event.is_read_closed(), load)?;
        }
        self.poke(index, load).map_err(io)
    }

    /// TCP is there: the handshake begins, if there is one.
    fn connected<L: Load<State = S>>(&mut self, index: usize, load: &mut L) -> io::Result<()> {
        let at = nanos(self.clock.elapsed());
        let Some(peer) = &mut self.peers[index] else {
            return Ok(());
        };
        let Some(wishes) = &self.wishes else {
            peer.phase = Phase::Open;
            self.open_count += 1;
            load.opened(at, at - peer.began, index, None, &mut peer.state);
            // Of TLS, what it begins with.
            return peer.transport.flush().map(drop);
        };
        self.output.clear();
        let (shared, output) = (&mut self.shared, &mut self.output);
        let connection = Connection::new(&self.url, wishes, MAX_MESSAGE_BYTES, shared, output);
        peer.speaker = Speaker::WebSocket(connection);
        peer.phase = Phase::Opening;
        peer.transport.send(&self.output)
    }

    /// Reads what is there.
    fn read<L: Load<State = S>>(
        &mut self,
        index: usize,
        has_end: bool,
        load: &mut L,
    ) -> Result<(), (ErrorKind, String)> {
        let Some(peer) = &mut self.peers[index] else {
            return Ok(());
        };
        loop {
            let brought = peer.transport.read(&mut self.buffer);
            let at = nanos(self.clock.elapsed());
            let brought =
                brought.map_err(|error| (kind_of(peer.phase, &error), error.to_string()))?;
            let (Brought::Some(len) | Brought::Last(len)) = brought else {
                if brought == Brought::Nothing {
                    return Ok(());
                }
                if let Speaker::Http(responses) = &mut peer.speaker
                    && let Some(answered) = responses.end()
                {
                    load.answered(at, &mut peer.state, Answer::Response(answered));
                }
                let why = "the server ended the connection";
                return Err((lost_kind(peer.phase), why.to_owned()));
            };
            self.received_bytes += len as u64;
            let input = &self.buffer[..len];
            let (phase, state) = (&mut peer.phase, &mut peer.state);
            let mut closed = None;
            match &mut peer.speaker {
                Speaker::Http(responses) => {
                    let told = responses.receive(input, |answered| {
                        load.answered(at, state, Answer::Response(answered));
                    });
                    told.map_err(|error| (ErrorKind::Protocol, error.to_string()))?;
                }
                Speaker::WebSocket(connection) => {
                    self.output.clear();
                    let (shared, output) = (&mut self.shared, &mut self.output);
                    let open_count = &mut self.open_count;
                    let told = connection.receive(input, shared, output, |event| match event {
                        Event::Message(message) => {
                            load.answered(at, state, Answer::Message(message));
                        }
                        Event::Opened(agreed) => {
                            *phase = Phase::Open;
                            *open_count += 1;
                            load.opened(at, at - peer.began, index, agreed.deflate, state);
                        }
                        Event::Closed(code, reason) => {
                            closed = Some(format!(
                                "the server closed with {code} {}",
                                Printable(reason)
                            ));
                        }
                        Event::Ping(_) | Event::Pong(_) => {}
                    });
                    if !self.output.is_empty() {
                        // If that is not taken, reading will tell.
                        let _ = peer.transport.send(&self.output);
                    }
                    let kind = match peer.phase {
                        Phase::Open => ErrorKind::Protocol,
                        _ => ErrorKind::Handshake,
                    };
                    told.map_err(|error| (kind, error.to_string()))?;
                }
            }
            if let Some(why) = closed {
                return Err((ErrorKind::Closed, why.trim_end().to_owned()));
            }
            if matches!(brought, Brought::Last(_)) && !has_end {
                return Ok(());
            }
        }
    }

    /// Has the load write to a connection, if it is open. What is to be written is known to the load.
    ///
    /// # Errors
    ///
    /// The connection is lost; it is not taken out yet.
    fn poke<L: Load<State = S>>(&mut self, index: usize, load: &mut L) -> io::Result<()> {
        let at = nanos(self.clock.elapsed());
        match &mut self.peers[index] {
            Some(peer) if peer.phase == Phase::Open => {
                load.ready(at, &mut peer.state, &mut peer.transport)
            }
            _ => Ok(()),
        }
    }

    /// Changes what the load keeps for a connection, and has it written to.
    pub(super) fn change<L: Load<State = S>>(
        &mut self,
        index: usize,
        load: &mut L,
        change: impl FnOnce(&mut S),
    ) {
        if let Some(peer) = &mut self.peers[index] {
            change(&mut peer.state);
        }
        if let Err(error) = self.poke(index, load) {
            self.lose(index, ErrorKind::Closed, &error.to_string(), load);
        }
    }

    /// What the load keeps for those that are open.
    pub(super) fn states(&self) -> impl Iterator<Item = &S> {
        self.peers.iter().flatten().map(|peer| &peer.state)
    }

    fn lose<L: Load<State = S>>(&mut self, index: usize, kind: ErrorKind, why: &str, load: &mut L) {
        let at = self.now();
        if let Some(peer) = self.peers[index].take() {
            if peer.phase == Phase::Open {
                self.open_count -= 1;
            }
            self.troubles.add(why);
            load.lost(at, index, kind, peer.state);
        }
    }

    /// Closes all connections, and waits a little for the server to do so too.
    pub(super) fn leave(mut self) {
        for peer in self.peers.iter_mut().flatten() {
            self.output.clear();
            if let Speaker::WebSocket(connection) = &mut peer.speaker {
                let (shared, output) = (&mut self.shared, &mut self.output);
                connection.close(CloseCode::NORMAL, "", shared, output);
                // Whoever is lost by now is gone.
                let _ = peer.transport.send(&self.output);
            }
            let _ = peer.transport.end();
        }
        let deadline = self.now() + nanos(LEAVE_TIMEOUT);
        let mut events = Events::with_capacity(1024);
        let mut leaving = Leaving(
            self.peers.iter().flatten().count(),
            std::marker::PhantomData,
        );
        while leaving.0 > 0 && self.now() < deadline {
            self.turn(Duration::from_millis(50), &mut events, &mut leaving);
        }
    }
}

/// All are leaving: how many are still there.
struct Leaving<S>(usize, std::marker::PhantomData<S>);

impl<S: Default> Load for Leaving<S> {
    type State = S;

    fn opened(&mut self, _: u64, _: u64, _: usize, _: Option<Agreement>, _: &mut S) {}

    fn answered(&mut self, _: u64, _: &mut S, _: Answer<'_>) {}

    fn ready(&mut self, _: u64, _: &mut S, _: &mut Transport) -> io::Result<()> {
        Ok(())
    }

    fn lost(&mut self, _: u64, _: usize, _: ErrorKind, _: S) {
        self.0 -= 1;
    }
}

/// What it is to lose a connection in this phase.
const fn lost_kind(phase: Phase) -> ErrorKind {
    match phase {
        Phase::Connecting => ErrorKind::Connect,
        Phase::Opening => ErrorKind::Handshake,
        Phase::Open => ErrorKind::Closed,
    }
}

fn kind_of(phase: Phase, error: &io::Error) -> ErrorKind {
    match error.kind() {
        // TLS that cannot be believed.
        IoErrorKind::InvalidData => ErrorKind::Connect,
        _ => lost_kind(phase),
    }
}

/// A length of time in nanoseconds.
pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
