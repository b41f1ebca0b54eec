//! The connections of a bench and the loop that serves them: who connects from where, what comes, who is
//! lost. What is sent, and what an answer means, is a [`Load`]'s.
//!
//! ```text
//!  Connecting ──▶ Opening (TLS, the opening handshake) ──▶ Open ◀──▶ Ended (HTTP: opened again when needed)
//!       └──────────────┴───────────── lost ◀─────────────────┘
//! ```

mod leaving;
mod opening;

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
use aerys::Message;
use aerys::internals::{Agreement, Printable};
use mio::{Events, Interest, Poll, Token};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;
use std::io::{self, ErrorKind as IoErrorKind};
use std::time::{Duration, Instant};

/// What is read at a time.
const BUFFER_BYTES: usize = 256 * 1024;
/// Longest message that is taken: a server that announces more is broken.
const MAX_MESSAGE_BYTES: usize = 1 << 30;
/// Descriptors beside those of connections.
const OTHER_DESCRIPTORS: u64 = 32;
/// Why a connection is lost, in most cases.
const ENDED: &str = "the server ended the connection";
/// Of what somebody interrupts by; other tokens are indices.
const SIGNALS: Token = Token(usize::MAX);

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

    /// An HTTP connection is over between two responses, as servers end them. Whether something waits for
    /// one that is opened again: what was sent and not answered, too.
    fn ended(&mut self, _: &mut Self::State) -> bool {
        false
    }

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
    /// The handshakes: of TLS, and the opening handshake.
    Opening,
    Open,
    /// The server ended it between two responses, and nothing waits to be sent.
    Ended,
}

#[derive(Debug)]
struct Peer<S> {
    transport: Transport,
    speaker: Speaker,
    phase: Phase,
    began: u64,
    /// Whether the load knows it.
    is_told: bool,
    state: S,
}

/// See the module.
pub(super) struct Crowd<S> {
    poll: Poll,
    signals: Signals,
    interrupts: usize,
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
    /// Of opening handshakes.
    pub(super) sent_bytes: u64,
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
        let watched = || {
            let poll = Poll::new()?;
            let mut signals = Signals::new([SIGINT, SIGTERM])?;
            poll.registry()
                .register(&mut signals, SIGNALS, Interest::READABLE)?;
            Ok((poll, signals))
        };
        let (poll, signals) = watched().map_err(|error: io::Error| error.to_string())?;
        Ok(Self {
            poll,
            signals,
            interrupts: 0,
            sources: Sources::new(args.source),
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
            sent_bytes: 0,
            troubles: Troubles::default(),
        })
    }

    /// Nanoseconds since this crowd was made.
    pub(super) fn now(&self) -> u64 {
        nanos(self.clock.elapsed())
    }

    /// How often somebody wanted it to end: Ctrl-C, or SIGTERM.
    pub(super) const fn interrupts(&self) -> usize {
        self.interrupts
    }

    pub(super) const fn open_count(&self) -> usize {
        self.open_count
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
            if event.token() == SIGNALS {
                self.interrupts += self.signals.pending().count();
                continue;
            }
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
        match phase {
            Phase::Ended => return Ok(()),
            Phase::Connecting => {
                if !peer.transport.poll_connected().map_err(io)? {
                    return Ok(());
                }
                self.connected(index).map_err(io)?;
                self.begin_http(index, load);
            }
            // What is wrong with it, reading tells, behind what came before.
            Phase::Opening | Phase::Open if event.is_writable() => drop(peer.transport.flush()),
            Phase::Opening | Phase::Open => {}
        }
        if event.is_readable() || event.is_read_closed() {
            self.read(index, event.is_read_closed(), load)?;
        }
        self.begin_http(index, load);
        self.poke(index, load)
    }

    /// TCP is there: the handshake begins, if there is one.
    fn connected(&mut self, index: usize) -> io::Result<()> {
        let Some(peer) = &mut self.peers[index] else {
            return Ok(());
        };
        peer.phase = Phase::Opening;
        let Some(wishes) = &self.wishes else {
            // Of TLS, what it begins with.
            return peer.transport.flush().map(drop);
        };
        self.output.clear();
        let (shared, output) = (&mut self.shared, &mut self.output);
        let connection = Connection::new(&self.url, wishes, MAX_MESSAGE_BYTES, shared, output);
        peer.speaker = Speaker::WebSocket(connection);
        self.sent_bytes += self.output.len() as u64;
        peer.transport.send(&self.output)
    }

    /// HTTP has no handshake of its own: once that of TLS is over, requests may be sent.
    fn begin_http<L: Load<State = S>>(&mut self, index: usize, load: &mut L) {
        let at = nanos(self.clock.elapsed());
        if let Some(peer) = &mut self.peers[index]
            && matches!(peer.speaker, Speaker::Http(_))
            && peer.phase == Phase::Opening
            && !peer.transport.is_in_handshake()
        {
            peer.phase = Phase::Open;
            if !std::mem::replace(&mut peer.is_told, true) {
                self.open_count += 1;
                load.opened(at, at - peer.began, index, None, &mut peer.state);
            }
        }
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
            let (brought, len) = match brought {
                Ok(Brought::Nothing) => return Ok(()),
                Ok(brought @ (Brought::Some(len) | Brought::Last(len))) => (brought, len),
                Ok(Brought::End) => {
                    let why = (lost_kind(peer.phase), ENDED.to_owned());
                    return self.stream_ended(at, index, load).ok_or(why);
                }
                Err(error) if error.kind() == IoErrorKind::InvalidData => {
                    return Err((kind_of(peer.phase, &error), error.to_string()));
                }
                Err(error) => {
                    let why = (kind_of(peer.phase, &error), error.to_string());
                    return self.stream_ended(at, index, load).ok_or(why);
                }
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
                    if responses.is_over() {
                        return self
                            .ended(index, load)
                            .ok_or((ErrorKind::Closed, ENDED.to_owned()));
                    }
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
                            peer.is_told = true;
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

    /// The stream of a connection is over. `None`: the connection is lost by it.
    fn stream_ended<L: Load<State = S>>(
        &mut self,
        at: u64,
        index: usize,
        load: &mut L,
    ) -> Option<()> {
        let peer = self.peers[index].as_mut()?;
        let Speaker::Http(responses) = &mut peer.speaker else {
            return None;
        };
        if let Some(answered) = responses.end() {
            load.answered(at, &mut peer.state, Answer::Response(answered));
        }
        let is_between = peer.phase == Phase::Open && responses.is_between();
        is_between.then(|| self.ended(index, load)).flatten()
    }

    /// Has the load write to a connection, if it is open. What is to be written is known to the load.
    ///
    /// # Errors
    ///
    /// The connection is lost; it is not taken out yet.
    fn poke<L: Load<State = S>>(
        &mut self,
        index: usize,
        load: &mut L,
    ) -> Result<(), (ErrorKind, String)> {
        let at = nanos(self.clock.elapsed());
        let Some(peer) = &mut self.peers[index] else {
            return Ok(());
        };
        if peer.phase != Phase::Open {
            return Ok(());
        }
        let Err(error) = load.ready(at, &mut peer.state, &mut peer.transport) else {
            return Ok(());
        };
        // The server may have answered before it went, and said why.
        self.read(index, true, load)?;
        match &self.peers[index] {
            Some(peer) if peer.phase == Phase::Open => Err((ErrorKind::Closed, error.to_string())),
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
        let Some(peer) = &mut self.peers[index] else {
            return;
        };
        change(&mut peer.state);
        if peer.phase == Phase::Ended && load.ended(&mut peer.state) {
            self.open_again(index, load);
        } else if let Err((kind, why)) = self.poke(index, load) {
            self.lose(index, kind, &why, load);
        }
    }

    /// What the load keeps for those that are open.
    pub(super) fn states(&self) -> impl Iterator<Item = &S> {
        self.peers.iter().flatten().map(|peer| &peer.state)
    }

    fn lose<L: Load<State = S>>(&mut self, index: usize, kind: ErrorKind, why: &str, load: &mut L) {
        let at = self.now();
        if let Some(peer) = self.peers[index].take() {
            if peer.is_told {
                self.open_count -= 1;
            }
            self.troubles.add(why);
            load.lost(at, index, kind, peer.state);
        }
    }
}

/// What it is to lose a connection in this phase.
const fn lost_kind(phase: Phase) -> ErrorKind {
    match phase {
        Phase::Connecting => ErrorKind::Connect,
        Phase::Opening => ErrorKind::Handshake,
        Phase::Open | Phase::Ended => ErrorKind::Closed,
    }
}

fn kind_of(phase: Phase, error: &io::Error) -> ErrorKind {
    match (error.kind(), phase) {
        // TLS that is broken.
        (IoErrorKind::InvalidData, Phase::Open) => ErrorKind::Protocol,
        // TLS that cannot be believed.
        (IoErrorKind::InvalidData, _) => ErrorKind::Connect,
        (_, phase) => lost_kind(phase),
    }
}

/// A length of time in nanoseconds.
pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
