//! Handshakes: a connection, TLS or not, one request, its answer, and the end.

use crate::connection::{Connection, Speech};
use crate::figures::{self, Measured};
use crate::load::{Connections, connect};
use crate::server::Running;
use crate::{Settings, tls};
use rustls::client::{ClientConfig, Resumption};
use rustls::{HandshakeKind, version};
use std::sync::Arc;

/// Connections that are under way at once. rustls keeps eight tickets of a server, each for once.
const AT_ONCE: usize = 8;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
const ANSWER_END: &[u8] = b"\r\n\r\nHello, World!";

/// One way to connect.
struct Way {
    name: &'static str,
    config: Option<Arc<ClientConfig>>,
    kind: Option<HandshakeKind>,
}

impl Way {
    fn of_tls(
        name: &'static str,
        version: &'static rustls::SupportedProtocolVersion,
        is_resumed: bool,
    ) -> Self {
        let (resumption, kind) = if is_resumed {
            (Resumption::in_memory_sessions(1), HandshakeKind::Resumed)
        } else {
            (Resumption::disabled(), HandshakeKind::Full)
        };
        Self {
            name,
            config: Some(tls::config_of(version, "http/1.1", resumption)),
            kind: Some(kind),
        }
    }

    fn all() -> Vec<Self> {
        vec![
            Self {
                name: "no TLS",
                config: None,
                kind: None,
            },
            Self::of_tls("TLS 1.3, full", &version::TLS13, false),
            Self::of_tls("TLS 1.3, resumed", &version::TLS13, true),
            Self::of_tls("TLS 1.2, full", &version::TLS12, false),
            Self::of_tls("TLS 1.2, resumed", &version::TLS12, true),
        ]
    }

    /// So many connections at once, from the first byte to the last. How the handshakes went is
    /// looked at unless this is to make sessions that can be resumed.
    fn connect(
        &self,
        server: &Running,
        connections: &mut Connections,
        count: usize,
        is_first: bool,
    ) {
        for _ in 0..count {
            let (address, tls) = match &self.config {
                None => (server.addresses.plain, None),
                Some(config) => (server.addresses.tls, Some(tls::client(config))),
            };
            let speech = Speech::answer(ANSWER_END);
            connections.add(Connection::new(
                connect(address),
                tls,
                speech,
                REQUEST.to_vec(),
            ));
        }
        connections.until_ready(0);
        for connection in connections.drain() {
            assert!(
                is_first || connection.handshake_kind() == self.kind,
                "{}: {:?}",
                self.name,
                connection.handshake_kind()
            );
            connection.close();
        }
    }

    fn measure(&self, server: &Running, count: usize) -> Measured {
        let mut connections = Connections::new();
        self.connect(server, &mut connections, AT_ONCE, true);
        let batches = count.div_ceil(AT_ONCE);
        server.measure(batches * AT_ONCE, || {
            for _ in 0..batches {
                self.connect(server, &mut connections, AT_ONCE, false);
            }
        })
    }
}

pub(crate) fn run(settings: &Settings) {
    let server = Running::start(settings);
    let ways = Way::all();
    let count = settings.scaled(400);
    let measured = figures::alternate(&ways, settings.rounds, |way| way.measure(&server, count));
    let rows: Vec<_> = ways.iter().map(|way| way.name).zip(measured).collect();
    let title = format!(
        "Handshakes: connect, GET, close; {AT_ONCE} at once, {} rounds of {count}",
        settings.rounds
    );
    figures::print(&title, "connection", "connections", &rows);
}
