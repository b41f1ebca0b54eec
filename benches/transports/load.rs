//! Clients of one server, all on the bench's thread.
//!
//! What each of them is to receive is known beforehand, so it is compared byte by byte as it comes:
//! a [`Load`] has one string of expected bytes, and each client its place in it.

use crate::connection::{Connection, Speech};
use crate::frames::opening_handshake;
use crate::http2::{Scheme, Session};
use crate::server::Addresses;
use crate::tls;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Connections that are opened before those before them are ready.
const CONNECTED_AT_ONCE: usize = 64;
/// For one thing that is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// How clients come.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    is_tls: bool,
    /// HTTP/2, with so many WebSocket connections on each; 0 is the bare connection.
    streams: Option<usize>,
}

impl Kind {
    const fn new(name: &'static str, is_tls: bool, streams: Option<usize>) -> Self {
        Self {
            name,
            is_tls,
            streams,
        }
    }

    pub(crate) const WS: Self = Self::new("ws", false, None);
    pub(crate) const WSS: Self = Self::new("wss", true, None);
    pub(crate) const H2C: Self = Self::new("h2c, 1 stream each", false, Some(1));
    pub(crate) const H2C_100: Self = Self::new("h2c, 100 streams each", false, Some(100));
    pub(crate) const H2: Self = Self::new("h2 over TLS, 1 stream each", true, Some(1));
    pub(crate) const H2_100: Self = Self::new("h2 over TLS, 100 streams each", true, Some(100));
    pub(crate) const H2C_BARE: Self = Self::new("h2c, no stream", false, Some(0));
    pub(crate) const H2_BARE: Self = Self::new("h2 over TLS, no stream", true, Some(0));

    /// What its connections speak, for the first so many WebSocket connections to `path`.
    fn speech(self, streams: usize, path: &str) -> (Speech, Vec<u8>) {
        if self.streams.is_none() {
            return (Speech::answer(b"\r\n\r\n"), opening_handshake(path));
        }
        let scheme = if self.is_tls {
            Scheme::Https
        } else {
            Scheme::Http
        };
        let (session, output) = Session::new(streams, scheme, path);
        (Speech::Http2(Box::new(session)), output)
    }
}

/// Connections, and the poll for them.
pub(crate) struct Connections {
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
    all: Vec<Connection>,
}

impl Connections {
    pub(crate) fn new() -> Self {
        Self {
            poll: Poll::new().expect("a poll"),
            events: Events::with_capacity(1024),
            buffer: vec![0; 64 * 1024],
            all: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, mut connection: Connection) {
        let (token, interest) = (
            Token(self.all.len()),
            Interest::READABLE | Interest::WRITABLE,
        );
        let registry = self.poll.registry();
        registry
            .register(connection.socket(), token, interest)
            .expect("registers");
        connection.write();
        self.all.push(connection);
    }

    /// Waits until something came, and reads it; `sink` is told the connection and its stream.
    pub(crate) fn turn(&mut self, sink: &mut dyn FnMut(usize, usize, &[u8])) {
        let patience = Some(PATIENCE);
        self.poll.poll(&mut self.events, patience).expect("a poll");
        assert!(!self.events.is_empty(), "nothing came for {PATIENCE:?}");
        for event in &self.events {
            let Token(index) = event.token();
            let connection = &mut self.all[index];
            connection.read(&mut self.buffer, &mut |stream, bytes| {
                sink(index, stream, bytes);
            });
        }
    }

    /// Waits until all from the one with the number `first` on are ready.
    pub(crate) fn until_ready(&mut self, first: usize) {
        let began = Instant::now();
        while !self.all[first..].iter().all(Connection::is_ready) {
            assert!(began.elapsed() < PATIENCE, "clients that are not ready");
            self.turn(&mut |_, _, bytes| panic!("too early: {}", bytes.escape_ascii()));
        }
    }

    /// All of them, no more to be polled.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Connection> {
        self.all.drain(..)
    }
}

/// A socket that does not block.
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let socket = std::net::TcpStream::connect(address).expect("the server listens");
    socket.set_nodelay(true).expect("an option");
    socket.set_nonblocking(true).expect("an option");
    TcpStream::from_std(socket)
}

/// WebSocket clients.
pub(crate) struct Load {
    connections: Connections,
    /// The first client of each connection.
    firsts: Vec<usize>,
    /// Connection and stream of each client.
    clients: Vec<(usize, usize)>,
    /// How much of what is expected came to each client.
    positions: Vec<usize>,
    expected: Vec<u8>,
}

impl Load {
    /// Clients of each kind, so many, past their opening handshakes at `path`.
    pub(crate) fn new(kinds: &[(Kind, usize)], addresses: Addresses, path: &str) -> Self {
        let mut load = Self {
            connections: Connections::new(),
            firsts: Vec::new(),
            clients: Vec::new(),
            positions: Vec::new(),
            expected: Vec::new(),
        };
        for &(kind, count) in kinds {
            load.open(kind, count, addresses, path);
        }
        load
    }

    /// Opens `count` clients more: WebSocket connections, or bare connections.
    pub(crate) fn open(&mut self, kind: Kind, count: usize, addresses: Addresses, path: &str) {
        let address = if kind.is_tls {
            addresses.tls
        } else {
            addresses.plain
        };
        let protocol = kind.streams.map_or("http/1.1", |_| "h2");
        let config = kind.is_tls.then(|| tls::config(protocol));
        let mut left = count;
        while left > 0 {
            let first = self.connections.all.len();
            while left > 0 && self.connections.all.len() < first + CONNECTED_AT_ONCE {
                let streams = kind.streams.unwrap_or(1).min(left);
                left -= streams.max(1);
                let (speech, output) = kind.speech(streams, path);
                let tls = config.as_ref().map(tls::client);
                let connection = Connection::new(connect(address), tls, speech, output);
                self.connections.add(connection);
                self.firsts.push(self.clients.len());
                let number = self.firsts.len() - 1;
                self.clients
                    .extend((0..streams).map(|stream| (number, stream)));
            }
            self.connections.until_ready(first);
            for connection in &self.connections.all[first..] {
                connection.assert_chosen(protocol);
            }
        }
        self.positions.resize(self.clients.len(), 0);
    }

    /// Each client sends a message.
    pub(crate) fn send(&mut self, frame: &[u8]) {
        for &(connection, stream) in &self.clients {
            self.connections.all[connection].send(stream, frame);
        }
    }

    /// This is to come to each client, after what it is still to get.
    pub(crate) fn expect(&mut self, bytes: &[u8]) {
        self.expected.extend_from_slice(bytes);
    }

    /// Reads until each client got what it is to get, to the byte.
    pub(crate) fn receive(&mut self) {
        let Self {
            firsts,
            positions,
            expected,
            ..
        } = self;
        let mut waiting = positions.len();
        while waiting > 0 {
            self.connections.turn(&mut |connection, stream, bytes| {
                let position = &mut positions[firsts[connection] + stream];
                let end = *position + bytes.len();
                assert!(
                    expected.get(*position..end) == Some(bytes),
                    "client {connection}/{stream} got other bytes than it was to, at {position}"
                );
                *position = end;
                waiting -= usize::from(end == expected.len() && !bytes.is_empty());
            });
        }
        positions.fill(0);
        expected.clear();
    }
}
