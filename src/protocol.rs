//! One client without I/O: which protocol it speaks now, the upgrade, its deadlines.
//!
//! ```text
//! Proxied ──▶ Securing ──▶ Http1    where the PROXY protocol is spoken, and where TLS is
//!
//!            101                  both Close frames, a failure
//! Http1 ───────────▶ WebSocket ────────────────────────────────▶ Lingering ──▶ (socket closed)
//!   ├──────────────────────────────────────────────────────────────▲
//!   │        last answer of the connection                         │
//!   └──▶ Http2 ────────────────────────────────────────────────────┘
//!        the preface          GOAWAY, and no stream is left
//! ```
//!
//! A stream of HTTP/2 is a client of its own, carried by another:
//!
//! ```text
//!               200 to CONNECT                both Close frames, a failure
//! Exchange ──────────────────────▶ WebSocket ──────────────────────────────▶ Lingering ──▶ (stream closed)
//!   └──────────────────────────────────────────────────────────────────────────▲
//!               the answer
//! ```

mod answers;
mod deadlines;
mod pieces;
mod securing;
mod streams;

use self::answers::{Queued, queue};
pub(crate) use self::deadlines::Expiry;
use self::securing::Securing;
pub(crate) use self::streams::Fields;
use crate::access::Access;
use crate::config::{Config, Settings};
use crate::http::date::DateLine;
use crate::http::{ConnectionInfo, Request, Response, StatusCode};
use crate::http1::connection::{Http1Connection, Step, Then};
use crate::http2::connection::Http2Connection;
use crate::http2::exchange::Exchange;
use crate::input::Input;
use crate::moment::{Moment, Stamp};
use crate::output::Output;
use crate::proxy_protocol::Awaited;
use crate::stats::Counts;
use crate::websocket::connection::{self as websocket, Receiving, WebSocketConnection, Wire};
use crate::websocket::deflate::{Agreement, Inflaters};
use crate::websocket::{CloseCode, ClosedBy, Received};
use std::borrow::Cow;
use std::net::IpAddr;

/// What a client's bytes mean to the application.
#[derive(Debug)]
pub(crate) enum Event<'b> {
    /// A proxy said who is connected to it: from where, if it said that.
    Introduced(Option<IpAddr>),
    /// A request announces a body; [`Protocol::expect_body`] is to follow.
    Announced,
    /// A request, whole or with a body that follows in pieces; [`Protocol::respond`] is to follow, or
    /// [`Protocol::accept_body`].
    Request(Box<Request>),
    /// A piece of a body, and whether it is the last one.
    Body(&'b [u8], bool),
    /// A whole text message.
    Text(Cow<'b, str>),
    /// A whole binary message.
    Binary(Cow<'b, [u8]>),
    /// The close of a WebSocket connection began, by the peer or for its fault.
    Closing(CloseCode, Cow<'static, str>, ClosedBy),
}

impl<'b> From<websocket::Event<'b>> for Event<'b> {
    fn from(event: websocket::Event<'b>) -> Self {
        match event {
            websocket::Event::Text(text) => Self::Text(text),
            websocket::Event::Binary(bytes) => Self::Binary(bytes),
            websocket::Event::Closing { code, reason, by } => Self::Closing(code, reason, by),
        }
    }
}

/// What the protocols need of the server for one call.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) output: &'a mut Output,
    /// What the client of a WebSocket endpoint sent so far.
    pub(crate) received: &'a mut Received,
    /// What compressed messages are inflated with.
    pub(crate) inflaters: &'a mut Inflaters,
    pub(crate) slot: u32,
    pub(crate) now: Moment,
    /// The `Date` of responses.
    pub(crate) date_line: &'a DateLine,
    /// Where response heads are put together; kept for its allocation.
    pub(crate) head: &'a mut Vec<u8>,
    /// The fields of a head that an exchange is to be sent, which its carrier frames.
    pub(crate) fields: &'a mut Fields,
    /// What is left of an answered request, for the next one to be made of.
    pub(crate) spare: &'a mut Option<Box<Request>>,
    pub(crate) counts: &'a Counts,
    /// What is to be told of requests when they are over.
    pub(crate) access: &'a mut Access,
}

impl Context<'_> {
    fn wire(&mut self) -> Wire<'_> {
        Wire {
            output: self.output,
            slot: self.slot,
            now: self.now,
        }
    }
}

/// The endpoint that a connection becomes a client of.
fn upgrade_of(response: &Response) -> Answered {
    response
        .upgrade
        .and_then(|endpoint| u16::try_from(endpoint.0).ok())
        .map_or(Answered::Whole, Answered::Upgrade)
}

/// What follows when a response is queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// Nothing.
    Whole,
    /// The connection is this endpoint's.
    Upgrade(u16),
    /// The body, from the application: in chunks, or until the end of the connection.
    Stream { in_chunks: bool },
}

/// What a connection is now. 24 bytes: a server of a million clients has a million of these.
#[derive(Debug)]
pub(crate) enum Protocol {
    /// A proxy is to say first who is connected to it.
    Proxied(Box<Awaited>),
    /// A TLS handshake is to come first.
    Securing(Box<Securing>),
    /// HTTP/1.1 requests and responses, and the host whose listener accepted the connection, or the
    /// choice among several.
    Http1(Box<Http1Connection>, u16),
    /// HTTP/2, whose streams are clients of their own; the host as above.
    Http2(Box<Http2Connection>, u16),
    /// A request on one of these streams.
    Exchange(Box<Exchange>),
    /// Frames of an endpoint's client.
    WebSocket(WebSocketConnection),
    /// All was said: what is queued is written, what comes is discarded, so that the peer
    /// reads the end before it could see a reset. `None`: from when the queue is empty.
    Lingering(Option<Stamp>),
}

impl Protocol {
    /// A connection that was just accepted.
    pub(crate) fn accepted(host: u16, info: ConnectionInfo, now: Moment) -> Self {
        Self::Http1(Box::new(Http1Connection::new(info, now)), host)
    }

    /// The same where a PROXY header is to come first.
    pub(crate) fn proxied(host: u16, info: ConnectionInfo, now: Moment) -> Self {
        Self::Proxied(Box::new(Awaited::new(host, info, now)))
    }

    /// The same where a TLS handshake is to come first.
    pub(crate) fn securing(host: u16, info: ConnectionInfo, now: Moment) -> Self {
        Self::Securing(Box::new(Securing::new(host, info, now)))
    }

    /// The TLS handshake is over; whether the client and we agreed on HTTP/2 in it (RFC 9113 section
    /// 3.2). Who agreed on nothing speaks HTTP/1.1.
    pub(crate) fn secured(&mut self, is_http2: bool, cx: &mut Context<'_>) {
        if let Self::Securing(securing) = self {
            let (host, info) = securing.origin();
            *self = Self::accepted(host, info, cx.now);
            if is_http2 {
                self.begin_http2(Http2Connection::new, cx);
            }
        }
    }

    /// In place of a TLS handshake came something that may be a request: says so in plain.
    pub(crate) fn refuse_plain(&mut self, cx: &mut Context<'_>) {
        if let Self::Securing(securing) = self {
            let (host, mut info) = securing.origin();
            info.encrypted = false;
            *self = Self::accepted(host, info, cx.now);
            let reason = "This port speaks HTTPS: use https:// in place of http://.";
            self.refuse(StatusCode::BAD_REQUEST, reason, cx);
        }
    }

    /// The next event in `input`. `None`: all was consumed, or the rest is to be offered again
    /// when [`paused_until`](Self::paused_until) says so.
    #[inline(never)] // within its caller, both have too few registers: 200 instructions
    pub(crate) fn next_event<'b>(
        &mut self,
        input: &mut Input<'b>,
        cx: &mut Context<'_>,
    ) -> Option<Event<'b>> {
        match self {
            Self::Proxied(awaited) => {
                match awaited.receive(input) {
                    Ok(None) => None,
                    Ok(Some(info)) => {
                        let (slot, remote) = (cx.slot, &info.remote_address);
                        log::debug!("the client in slot {slot} is connected from {remote}");
                        let (host, since) = awaited.origin();
                        let ip = remote.ip().filter(|_| !info.is_anonymous);
                        // So it was accepted, if its listener speaks TLS.
                        *self = if info.encrypted {
                            Self::securing(host, info, since)
                        } else {
                            Self::accepted(host, info, since)
                        };
                        Some(Event::Introduced(ip))
                    }
                    Err(malformed) => {
                        log::debug!("the client in slot {} is closed: {malformed}", cx.slot);
                        // To answer would be to speak to nobody knows whom.
                        *self = Self::Lingering(None);
                        self.next_event(input, cx)
                    }
                }
            }
            Self::Http1(connection, _) => {
                let step = connection.next(input, &cx.settings.server, cx.now, cx.spare);
                let event = self.http1_event(step, cx);
                if self.is_lingering() {
                    // Nothing that follows is a request.
                    input.take(input.len());
                }
                event
            }
            Self::Exchange(exchange) => {
                let step = exchange.next(input, cx.now);
                self.exchange_event(step, cx)
            }
            // Records are the session's, and frames are read one by one: see `next_step`.
            Self::Securing(_) | Self::Http2(..) => None,
            Self::WebSocket(connection) => {
                let mut receiving = Receiving {
                    config: cx.settings.endpoint(connection.endpoint()),
                    wire: Wire {
                        output: cx.output,
                        slot: cx.slot,
                        now: cx.now,
                    },
                    received: cx.received,
                    inflaters: cx.inflaters,
                };
                let before = *receiving.received;
                let event = connection.next_event(input, &mut receiving);
                let (now, counts) = (receiving.received, cx.counts);
                counts.frames_read.add(now.frames - before.frames);
                counts.messages_read.add(now.messages - before.messages);
                // The peer's answer to our Close is no event, but the end all the same.
                self.linger_if_closed(cx.settings);
                event.map(Event::from)
            }
            Self::Lingering(_) => {
                input.take(input.len());
                None
            }
        }
    }

    /// What a step of an HTTP connection is to the application.
    fn http1_event<'b>(&mut self, step: Step<'b>, cx: &mut Context<'_>) -> Option<Event<'b>> {
        match step {
            Step::NeedInput => None,
            Step::Announced => Some(Event::Announced),
            Step::Request(request) => Some(Event::Request(request)),
            Step::Body(bytes, is_last) => Some(Event::Body(bytes, is_last)),
            Step::Continue => {
                self.ask_for_body(cx);
                None
            }
            Step::Refused(refused) => {
                log::debug!("request refused: {refused:?}");
                self.refuse(refused.status, refused.reason, cx);
                None
            }
            Step::Http2 => {
                self.begin_http2(Http2Connection::begun, cx);
                None
            }
        }
    }

    /// The host, or the choice among several, that requests are for.
    pub(crate) fn host(&self) -> Option<u16> {
        match self {
            Self::Http1(_, host) | Self::Http2(_, host) => Some(*host),
            Self::Exchange(exchange) => Some(exchange.host()),
            Self::Proxied(_) | Self::Securing(_) | Self::WebSocket(_) | Self::Lingering(_) => None,
        }
    }

    /// A WebSocket connection whose closing handshake is over needs no state any more.
    #[inline]
    fn linger_if_closed(&mut self, settings: &Settings) {
        if let Self::WebSocket(connection) = self
            && connection.is_closed()
        {
            let until = connection.deadline(settings.endpoint(connection.endpoint()));
            *self = Self::Lingering(until.map(Stamp::from));
        }
    }

    /// Queues the answer to the last request, and says what follows.
    pub(crate) fn respond(&mut self, response: &mut Response, cx: &mut Context<'_>) -> Answered {
        if !matches!(self, Self::Http1(..) | Self::Exchange(_)) {
            return Answered::Whole;
        }
        cx.counts.respond(response.status().as_u16());
        let Self::Http1(connection, _) = self else {
            return self.respond_on_stream(response, cx);
        };
        cx.head.clear();
        let since = connection.since();
        let after = connection.respond(response, cx.date_line, cx.now, cx.head);
        if cx.access.is_on() && after.then != Then::Upgrade {
            let queued = Queued::of(response, after.send_body);
            queue(response, after.send_body, cx);
            cx.note_answer(queued, Some((connection.info(), since)));
        } else {
            queue(response, after.send_body, cx);
        }
        match after.then {
            Then::KeepAlive => Answered::Whole,
            Then::Close => {
                *self = Self::Lingering(None);
                Answered::Whole
            }
            Then::Upgrade => upgrade_of(response),
            Then::Stream { in_chunks } => Answered::Stream { in_chunks },
        }
    }

    /// Answers with an error, amid a request too, and ends the connection.
    pub(crate) fn refuse(&mut self, status: StatusCode, reason: &str, cx: &mut Context<'_>) {
        if cx.access.is_on() {
            self.note_refused(cx);
        }
        let mut response = Response::error(status, reason);
        response.set_header("connection", "close");
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.set_header("retry-after", "1");
        }
        self.respond(&mut response, cx);
        *self = Self::Lingering(None);
    }

    /// The 101 is queued, and said `deflate`: frames follow.
    pub(crate) fn upgrade(
        &mut self,
        endpoint: u16,
        deflate: Option<Agreement>,
        cx: &mut Context<'_>,
    ) {
        let config = cx.settings.endpoint(endpoint);
        *self = Self::WebSocket(WebSocketConnection::new(endpoint, deflate, config, cx.now));
    }

    /// Begins a WebSocket connection's close, or fails it.
    pub(crate) fn close(
        &mut self,
        code: CloseCode,
        reason: &str,
        fails: bool,
        cx: &mut Context<'_>,
    ) {
        if let Self::WebSocket(connection) = self {
            if fails {
                connection.fail(code, reason, &mut cx.wire());
            } else {
                connection.close(code, reason, &mut cx.wire());
            }
            self.linger_if_closed(cx.settings);
        }
    }

    /// The peer will send no more. Whether the socket can be dropped at once, and the event,
    /// if it left without a Close.
    pub(crate) fn disconnected(&mut self, cx: &mut Context<'_>) -> (bool, Option<Event<'static>>) {
        let unwritten = cx.output.has_output(cx.slot);
        match self {
            Self::Proxied(_)
            | Self::Securing(_)
            | Self::Http1(..)
            | Self::Http2(..)
            | Self::Exchange(_) => {
                *self = Self::Lingering(None);
                (!unwritten, None)
            }
            Self::WebSocket(connection) => {
                let event = connection.disconnected(&mut cx.wire());
                self.linger_if_closed(cx.settings);
                (true, event.map(Event::from))
            }
            Self::Lingering(_) => (!unwritten, None),
        }
    }

    /// Bytes were read.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "on the straight path")]
    pub(crate) fn heard(&mut self, len: usize, now: Moment) {
        if let Self::WebSocket(connection) = self {
            connection.heard(len, now);
        }
    }

    /// The socket takes bytes again.
    pub(crate) fn unblocked(&mut self, output: &mut Output, slot: u32, now: Moment) {
        match self {
            Self::WebSocket(connection) => connection.unblocked(&mut Wire { output, slot, now }),
            Self::Http2(connection, _) => connection.unblocked(now),
            _ => {}
        }
    }

    /// Whether it is an open WebSocket connection on which nothing is unfinished, the usual
    /// case: no deadline of it comes nearer by what is read and written.
    #[inline]
    pub(crate) fn is_steady(&self) -> bool {
        matches!(self, Self::WebSocket(connection) if connection.is_steady())
    }

    /// The endpoint of an open WebSocket connection.
    #[inline]
    pub(crate) fn endpoint(&self) -> Option<u16> {
        match self {
            Self::WebSocket(connection) if connection.is_open() => Some(connection.endpoint()),
            _ => None,
        }
    }

    /// Whether it is a WebSocket connection, open or closing.
    #[inline]
    pub(crate) const fn is_websocket(&self) -> bool {
        matches!(self, Self::WebSocket(_))
    }

    /// Whether a PROXY header is to come first.
    pub(crate) const fn is_proxied(&self) -> bool {
        matches!(self, Self::Proxied(_))
    }

    /// Whether a TLS handshake is to come first.
    pub(crate) const fn is_securing(&self) -> bool {
        matches!(self, Self::Securing(_))
    }

    /// Whether all was said, and the socket is to be shut down when the queue is empty.
    pub(crate) const fn is_lingering(&self) -> bool {
        matches!(self, Self::Lingering(_))
    }

    /// The backlog above which this client's input waits. `None`: it never does, since only
    /// its end matters any more.
    #[inline]
    pub(crate) fn soft_backlog_bytes(&self, settings: &Settings) -> Option<usize> {
        match self {
            Self::Http1(..) | Self::Http2(..) | Self::Exchange(_) => {
                Some(settings.server.soft_backlog_bytes)
            }
            Self::WebSocket(connection) if connection.is_open() => {
                Some(settings.endpoint(connection.endpoint()).soft_backlog_bytes)
            }
            Self::Proxied(_) | Self::Securing(_) | Self::WebSocket(_) | Self::Lingering(_) => None,
        }
    }

    /// Until when reads pause since the client sends too fast.
    pub(crate) fn paused_until(&self) -> Option<Moment> {
        match self {
            Self::WebSocket(connection) => connection.paused_until(),
            Self::Http1(connection, _) => connection.is_paused().then_some(Moment::NEVER),
            Self::Exchange(exchange) => exchange.is_paused().then_some(Moment::NEVER),
            Self::Proxied(_) | Self::Securing(_) | Self::Http2(..) | Self::Lingering(_) => None,
        }
    }

    /// Bytes held for what is unfinished.
    pub(crate) fn buffered_bytes(&self) -> usize {
        match self {
            Self::Proxied(awaited) => awaited.buffered_bytes(),
            Self::Http1(connection, _) => connection.buffered_bytes(),
            Self::Http2(connection, _) => connection.buffered_bytes(),
            Self::Exchange(exchange) => exchange.buffered_bytes(),
            Self::WebSocket(connection) => connection.buffered_bytes(),
            Self::Securing(_) | Self::Lingering(_) => 0,
        }
    }

    /// All that was queued is written.
    pub(crate) fn drained(&mut self, now: Moment) {
        match self {
            Self::Http1(connection, _) => connection.drained(now),
            Self::Http2(connection, _) => connection.drained(now),
            _ => {}
        }
    }

    /// The queue is empty and the socket's sending side is shut down: lingers from now.
    pub(crate) fn shut_down(&mut self, config: &Config, now: Moment) {
        if let Self::Lingering(until @ None) = self {
            *until = Some((now + config.linger_timeout).into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_connection_is_takes_24_bytes() {
        assert_eq!(size_of::<Protocol>(), 24);
    }
}
