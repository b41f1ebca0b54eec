//! All that is counted, at one moment, as plain values.

use super::TurnTimes;
use super::counts::{CLOSE_CODES, Limit};
use crate::client_id::ClientId;
use crate::http::Address;
use std::time::Duration;

/// What a server counted since it was bound, and what it has now: see
/// [`Stats::snapshot`](crate::Stats::snapshot).
///
/// Numbers that only grow are named by what happened (`connections_accepted`), those of what there is
/// now by what that is (`connections`).
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Snapshot {
    /// How long ago the server was bound.
    pub uptime: Duration,
    /// A stop was asked for: the server drains, or its clients are leaving.
    pub is_draining: bool,
    /// Connections accepted, those that were refused then included.
    pub connections_accepted: u64,
    /// Connections, those included that are only told that they are refused.
    pub connections: u64,
    /// What was turned away by which limit, with the names that the metrics have for them.
    pub refused: Vec<(&'static str, u64)>,
    /// Responses by the first digit of their status: `[0]` is 1xx. A 101 is one, a 100 is not.
    pub responses: [u64; 5],
    /// WebSocket clients that were opened.
    pub websockets_opened: u64,
    /// WebSocket clients that closed, by close code: 1000 to 1015 each, others by range.
    pub websockets_closed: Vec<(&'static str, u64)>,
    /// WebSocket clients that are open, by endpoint. Endpoints of one name are one here.
    pub endpoints: Vec<EndpointClients>,
    /// WebSocket frames read, control frames included.
    pub frames_read: u64,
    /// WebSocket frames sent or queued, those of dropped messages that had been queued included.
    pub frames_sent: u64,
    /// WebSocket messages read.
    pub messages_read: u64,
    /// WebSocket messages sent or queued, a broadcast once for each of its recipients. It counts when it
    /// is queued, also for who turns out to have no room for it.
    pub messages_sent: u64,
    /// WebSocket messages that a client was to be sent and was not, as its backlog was at its limit,
    /// whether they were queued before or not.
    pub messages_dropped: u64,
    /// Broadcasts, whoever they went to.
    pub broadcasts: u64,
    /// Bytes that sockets gave. Over TLS these are records.
    pub bytes_read: u64,
    /// Bytes that sockets took.
    pub bytes_written: u64,
    /// Handshakes of TLS that were completed.
    pub tls_handshakes: u64,
    /// Those that were not, whoever broke them off.
    pub tls_handshakes_failed: u64,
    /// Those that go on.
    pub tls_handshakes_pending: u64,
    /// Connections that turned out to speak HTTP/2.
    pub http2_connections: u64,
    /// Streams of HTTP/2 that were opened.
    pub http2_streams_opened: u64,
    /// Streams of HTTP/2.
    pub http2_streams: u64,
    /// Bytes that wait for sockets, all clients together; what files have not given yet is not among
    /// them.
    pub backlog_bytes: u64,
    /// Clients, streams and plain HTTP included, that take nothing more at the moment.
    pub blocked_clients: u64,
    /// WebSocket clients with the longest backlogs, the longest first: at most ten, of those that are
    /// blocked. With more than 4,096 of them each look finds the longest among as many, and the ten that
    /// were found before.
    pub slowest: Vec<SlowClient>,
    /// Deadlines of clients, and what handlers asked for.
    pub timers: u64,
    /// Timers and deadlines that fell due.
    pub timers_fired: u64,
    /// How long turns of the loop took.
    pub turns: TurnTimes,
    /// Panics of the application that were caught on the server's thread.
    pub panics: u64,
}

/// Open clients of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointClients {
    /// What it is called: the path of its route.
    pub name: String,
    /// How many are open.
    pub clients: u64,
}

/// A client for which much waits.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlowClient {
    /// Which one.
    pub id: ClientId,
    /// Where it is.
    pub remote_address: Address,
    /// The name of its endpoint.
    pub endpoint: String,
    /// Bytes that wait for it.
    pub backlog_bytes: u64,
}

impl Snapshot {
    /// WebSocket clients that are open, of all endpoints.
    #[must_use]
    pub fn websockets(&self) -> u64 {
        self.endpoints.iter().map(|endpoint| endpoint.clients).sum()
    }

    /// All that is counted, as Prometheus reads it (text format 0.0.4, to be sent as
    /// `text/plain; version=0.0.4`).
    #[must_use]
    pub fn to_prometheus(&self) -> String {
        super::metrics::prometheus(self)
    }

    /// All that is counted, as one JSON object, which has the slowest clients too.
    #[must_use]
    pub fn to_json(&self) -> String {
        super::metrics::json(self)
    }

    /// With the names of limits and close codes, and zero for each of them.
    pub(crate) fn with_names(
        refused: impl Fn(Limit) -> u64,
        closed: [u64; CLOSE_CODES.len()],
    ) -> Self {
        let refused = Limit::ALL.map(|(limit, name)| (name, refused(limit)));
        Self {
            refused: refused.into(),
            websockets_closed: CLOSE_CODES.into_iter().zip(closed).collect(),
            ..Self::default()
        }
    }
}
