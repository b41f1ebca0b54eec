//! What is told of each request that was answered and of each WebSocket that ended: the matter of an
//! access log, in whatever form.
//!
//! `table.rs` keeps what is to be told until it is over: nothing, where nobody asked for it.

mod table;

use crate::client_id::ClientId;
use crate::http::{Address, ConnectionInfo, Method, Request, StatusCode, Version};
use crate::websocket::{CloseCode, ClosedBy};
use std::time::Duration;

pub(crate) use table::{Access, Answer, Reached};

/// Who is told of each request when its answer has left, and of each WebSocket when its connection is
/// over: see [`Server::access_log`](crate::Server::access_log).
///
/// Called on the thread of the server, between two turns of other things: it may not block. A panic in
/// it is logged, and ends there. What it asks of an [`Endpoint`](crate::Endpoint) or a
/// [`ResponseStream`](crate::ResponseStream) is done when it has returned.
///
/// ```
/// use aerys::{AccessLog, FinishedExchange, FinishedWebSocket, Server};
///
/// struct Slow;
///
/// impl AccessLog for Slow {
///     fn on_exchange(&mut self, exchange: &FinishedExchange<'_>) {
///         if exchange.duration.as_secs() > 1 {
///             eprintln!("{:?} took {:?}", exchange.request.target(), exchange.duration);
///         }
///     }
///
///     fn on_websocket(&mut self, websocket: &FinishedWebSocket<'_>) {
///         eprintln!("closed with {} by {:?}", websocket.code, websocket.closed_by);
///     }
/// }
///
/// let server = Server::new().access_log(Slow);
/// ```
pub trait AccessLog {
    /// A request is over: each that was read, once, and each answer that none asked for, as a 408, or
    /// the 503 to a connection that is one too many.
    /// Those of one connection of HTTP/1.1 come in their order.
    fn on_exchange(&mut self, exchange: &FinishedExchange<'_>);

    /// The connection of a WebSocket is over, once for each that was opened: its opening handshake is
    /// part of it, and no exchange of its own.
    fn on_websocket(&mut self, websocket: &FinishedWebSocket<'_>);
}

/// A request and what became of it.
#[derive(Debug)]
#[non_exhaustive]
pub struct FinishedExchange<'a> {
    /// What was asked, by whom.
    pub request: &'a RequestSummary,
    /// What it was answered; `None` if the client left before it was.
    pub status: Option<StatusCode>,
    /// Bytes of the answer's body that were given to the socket, without chunked framing, but for that
    /// of an answer that was cut off: none of an
    /// answer that has no body, as that to a HEAD. Over TLS and HTTP/2, to what lies in between.
    pub body_bytes: u64,
    /// Whether it was given all of the answer.
    pub is_complete: bool,
    /// From the first byte of the request to the last one of the answer.
    pub duration: Duration,
}

/// A WebSocket and what happened on it. What is counted is counted as
/// [`ClientInfo`](crate::ClientInfo) has it.
#[derive(Debug)]
#[non_exhaustive]
pub struct FinishedWebSocket<'a> {
    /// What was asked in its opening handshake, by whom.
    pub request: &'a RequestSummary,
    /// What [`on_close`](crate::WebSocketHandler::on_close) was told.
    pub code: CloseCode,
    /// The same: perhaps the client's own words.
    pub reason: &'a str,
    /// Whose fault or wish it was.
    pub closed_by: ClosedBy,
    /// Bytes read behind the opening handshake, frame headers included.
    pub bytes_read: u64,
    /// Bytes that the socket took, counted alike.
    pub bytes_sent: u64,
    /// Frames read, control frames included.
    pub frames_read: u64,
    /// Frames sent or queued, control frames included.
    pub frames_sent: u64,
    /// Whole messages read.
    pub messages_read: u64,
    /// Messages sent or queued.
    pub messages_sent: u64,
    /// From the first byte of its opening handshake to the end of its connection.
    pub duration: Duration,
}

/// What is kept of a request until it is over.
#[derive(Debug)]
pub struct RequestSummary {
    connection: Option<ClientId>,
    client_address: Address,
    is_encrypted: bool,
    /// `None`: nothing was read that is a request.
    line: Option<(Method, Version)>,
    /// The target, and the host behind it.
    text: String,
    target_len: usize,
    has_host: bool,
    /// The value of `Referer`, and that of `User-Agent` behind it.
    values: Vec<u8>,
    referer_len: Option<usize>,
    has_user_agent: bool,
    /// When it began, in nanoseconds.
    began: u64,
}

impl RequestSummary {
    fn new() -> Self {
        Self {
            connection: None,
            client_address: Address::Ip(([0; 4], 0).into()),
            is_encrypted: false,
            line: None,
            text: String::new(),
            target_len: 0,
            has_host: false,
            values: Vec::new(),
            referer_len: None,
            has_user_agent: false,
            began: 0,
        }
    }

    fn fill(&mut self, connection: ClientId, request: &Request, began: u64) {
        self.clear();
        self.connection = Some(connection);
        self.client_address.clone_from(request.client_address());
        self.is_encrypted = request.is_encrypted();
        self.line = Some((request.method().clone(), request.version()));
        self.text.push_str(request.target());
        self.target_len = self.text.len();
        if let Some(host) = request.host() {
            self.text.push_str(host);
            self.has_host = true;
        }
        let headers = request.headers();
        if let Some(referer) = headers.get("Referer") {
            self.values.extend_from_slice(referer);
            self.referer_len = Some(referer.len());
        }
        if let Some(user_agent) = headers.get("User-Agent") {
            self.values.extend_from_slice(user_agent);
            self.has_user_agent = true;
        }
        self.began = began;
    }

    /// Of a connection, if nothing that it sent is a request.
    fn fill_unknown(&mut self, info: &ConnectionInfo, began: u64) {
        self.clear();
        self.client_address.clone_from(&info.remote_address);
        self.is_encrypted = info.encrypted;
        self.began = began;
    }

    /// Of a request whose head is refused: no more than its first line is known.
    fn fill_refused(&mut self, info: &ConnectionInfo, line: (&Method, &str, Version), began: u64) {
        self.fill_unknown(info, began);
        let (method, target, version) = line;
        self.line = Some((method.clone(), version));
        self.text.push_str(target);
        self.target_len = target.len();
    }

    /// Of the last one its allocations are left.
    fn clear(&mut self) {
        self.connection = None;
        self.line = None;
        self.text.clear();
        self.target_len = 0;
        self.has_host = false;
        self.values.clear();
        self.referer_len = None;
        self.has_user_agent = false;
    }

    /// Of what is no request at least the connection is known at the end.
    fn set_connection_if_unknown(&mut self, connection: ClientId) {
        self.connection.get_or_insert(connection);
    }

    fn capacity_bytes(&self) -> usize {
        self.text.capacity() + self.values.capacity()
    }

    /// The connection that it came on, for as long as the process lives the only one with this number:
    /// over HTTP/2 that of all its streams. `None` if it was refused before it had one.
    #[must_use]
    pub const fn connection(&self) -> Option<ClientId> {
        self.connection
    }

    /// Where the client is, as [`Request::client_address`] says; without one, or if its head was refused,
    /// the peer.
    #[must_use]
    pub const fn client_address(&self) -> &Address {
        &self.client_address
    }

    /// As [`Request::is_encrypted`].
    #[must_use]
    pub const fn is_encrypted(&self) -> bool {
        self.is_encrypted
    }

    /// The method; `None` if nothing was read that begins as a request.
    #[must_use]
    pub fn method(&self) -> Option<&Method> {
        self.line.as_ref().map(|(method, _)| method)
    }

    /// The request target as it was sent, if there is one.
    #[must_use]
    pub fn target(&self) -> Option<&str> {
        self.line.as_ref().map(|_| &self.text[..self.target_len])
    }

    /// The version, if there is a request.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        self.line.as_ref().map(|(_, version)| *version)
    }

    /// As [`Request::host`].
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.has_host.then(|| &self.text[self.target_len..])
    }

    /// The value of the first `Referer` field: any bytes that a field may have.
    #[must_use]
    pub fn referer(&self) -> Option<&[u8]> {
        self.referer_len.map(|len| &self.values[..len])
    }

    /// The value of the first `User-Agent` field, alike.
    #[must_use]
    pub fn user_agent(&self) -> Option<&[u8]> {
        let begin = self.referer_len.unwrap_or(0);
        self.has_user_agent.then(|| &self.values[begin..])
    }

    fn duration(&self, now: u64) -> Duration {
        Duration::from_nanos(now.saturating_sub(self.began))
    }
}

#[cfg(test)]
mod tests;
