//! Requests whose answers are on their way, and open WebSocket connections, by the slot of their client.
//!
//! ```text
//!            a head was read          a response is queued         the socket took its end
//!   nothing ────────────────▶ begun ──────────────────────▶ waiting ──────────────────────▶ told
//!                               │ a 101                                                       ▲
//!                               └─────▶ open ─────────────────────────────────────────────────┘
//!                                                 the connection is over
//! ```
//!
//! An answer ends at a place among all bytes that its client's socket is given: no write has to be
//! told apart from another. Where nobody is to be told, all of it is empty and nothing is noted.

use super::{AccessLog, FinishedExchange, FinishedWebSocket, RequestSummary};
use crate::client_id::ClientId;
use crate::http::{ConnectionInfo, Method, Request, StatusCode, Version};
use crate::output::Sent;
use crate::panics;
use crate::websocket::{CloseCode, ClosedBy, Received};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

/// As many of what is used again are kept as few connections at a time need.
const MAX_SPARE: usize = 64;
/// Bytes up to which the allocations of a summary are kept.
const MAX_SPARE_BYTES: usize = 4 * 1024;

/// See the module.
#[derive(Default)]
#[expect(
    clippy::vec_box,
    reason = "a box that is used again is not copied out and in"
)]
pub(crate) struct Access {
    log: Option<Box<dyn AccessLog>>,
    clients: FxHashMap<u32, Box<Client>>,
    /// Answers on their way, of all clients.
    waiting_count: usize,
    spare_clients: Vec<Box<Client>>,
    spare_requests: Vec<Box<RequestSummary>>,
}

/// One client, from its first request on.
#[derive(Debug, Default)]
struct Client {
    begun: Option<Box<RequestSummary>>,
    waiting: VecDeque<Waiting>,
    websocket: Option<OpenWebSocket>,
}

/// An answer on its way.
#[derive(Debug)]
struct Waiting {
    request: Box<RequestSummary>,
    status: StatusCode,
    /// Where its body begins among all that the client is sent.
    from: u64,
    /// Where it ends; `None`: more of it is to come.
    until: Option<u64>,
    /// Bytes of the body, as far as they are known.
    body_bytes: u64,
}

impl Waiting {
    /// How many bytes of its body the client was given.
    fn given_bytes(&self, taken: u64) -> u64 {
        beyond(self.from, taken).unwrap_or(0).min(self.body_bytes)
    }

    fn is_complete(&self, taken: u64) -> bool {
        self.until
            .is_some_and(|until| beyond(until, taken).is_some())
    }
}

/// How far `taken` is beyond `place`, unless it is before that. Either may be below zero: what is still to
/// be written when a count begins anew.
fn beyond(place: u64, taken: u64) -> Option<u64> {
    u64::try_from(taken.wrapping_sub(place).cast_signed()).ok()
}

#[derive(Debug)]
struct OpenWebSocket {
    request: Box<RequestSummary>,
    /// How its close began, once it did.
    close: Option<(CloseCode, Box<str>, ClosedBy)>,
}

/// A response that was queued.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) status: StatusCode,
    /// Bytes of its body, of which the last is at `until`. `None`: they come later, from there on.
    pub(crate) body_bytes: Option<u64>,
    pub(crate) until: u64,
    /// Whom it is for, and since when, in nanoseconds, if nothing was read that is a request.
    pub(crate) unasked: Option<(&'a ConnectionInfo, u64)>,
}

/// How far a client is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reached {
    pub(crate) client: ClientId,
    /// Bytes that it was given.
    pub(crate) taken: u64,
    /// In nanoseconds.
    pub(crate) now: u64,
}

impl Access {
    /// Has `log` told from now on.
    pub(crate) fn set(&mut self, log: Box<dyn AccessLog>) {
        self.log = Some(log);
    }

    /// Whether somebody is to be told.
    #[inline]
    pub(crate) const fn is_on(&self) -> bool {
        self.log.is_some()
    }

    /// Whether any answer is on its way.
    #[inline]
    pub(crate) const fn is_waiting(&self) -> bool {
        self.waiting_count > 0
    }

    /// How many clients something is kept of.
    pub(crate) fn len(&self) -> usize {
        self.clients.len()
    }

    /// The slots of clients of whom something is left to tell.
    pub(crate) fn slots(&self) -> Vec<u32> {
        self.clients.keys().copied().collect()
    }

    /// What is kept is of somebody, and counted: see `docs/simulation.md`.
    pub(crate) fn check_invariants(&self, is_live: impl Fn(u32) -> bool) {
        let mut slots = self.clients.keys();
        assert!(slots.all(|slot| is_live(*slot)), "kept for nobody");
        let waiting = self.clients.values().map(|client| client.waiting.len());
        assert_eq!(waiting.sum::<usize>(), self.waiting_count, "answers");
    }

    fn client(&mut self, slot: u32) -> &mut Client {
        let spare = &mut self.spare_clients;
        let entry = self.clients.entry(slot);
        entry.or_insert_with(|| spare.pop().unwrap_or_default())
    }

    fn spare_request(&mut self) -> Box<RequestSummary> {
        let spare = self.spare_requests.pop();
        spare.unwrap_or_else(|| Box::new(RequestSummary::new()))
    }

    /// A request was read, which began then, in nanoseconds.
    pub(crate) fn begin(&mut self, slot: u32, connection: ClientId, request: &Request, began: u64) {
        let earlier = self.client(slot).begun.take();
        let mut summary = earlier.unwrap_or_else(|| self.spare_request());
        summary.fill(connection, request, began);
        self.client(slot).begun = Some(summary);
    }

    /// The head of a request is refused, of which no more is known than its first line.
    pub(crate) fn begin_refused(
        &mut self,
        slot: u32,
        info: &ConnectionInfo,
        line: (&Method, &str, Version),
        began: u64,
    ) {
        let mut summary = self.spare_request();
        summary.fill_refused(info, line, began);
        self.client(slot).begun = Some(summary);
    }

    /// The request that was read last has its answer, or the connection one that nobody asked for.
    pub(crate) fn answered(&mut self, slot: u32, answer: Answer<'_>) {
        let begun = self.client(slot).begun.take();
        let request = begun.unwrap_or_else(|| {
            let mut summary = self.spare_request();
            if let Some((info, began)) = answer.unasked {
                summary.fill_unknown(info, began);
            }
            summary
        });
        let until = answer.body_bytes.map(|_| answer.until);
        let body_bytes = answer.body_bytes.unwrap_or(0);
        self.client(slot).waiting.push_back(Waiting {
            request,
            status: answer.status,
            from: answer.until.saturating_sub(body_bytes),
            until,
            body_bytes,
        });
        self.waiting_count += 1;
    }

    /// A connection is refused as it comes, with a 503 that ends at `until`.
    pub(crate) fn refuse(&mut self, slot: u32, info: &ConnectionInfo, until: u64, began: u64) {
        let answer = Answer {
            status: StatusCode::SERVICE_UNAVAILABLE,
            body_bytes: Some(0),
            until,
            unasked: Some((info, began)),
        };
        self.answered(slot, answer);
    }

    /// The same of one that never was a client: whether its socket took all of the answer.
    pub(crate) fn tell_refused(&mut self, info: &ConnectionInfo, is_complete: bool) {
        let mut request = self.spare_request();
        request.fill_unknown(info, 0);
        let finished = FinishedExchange {
            request: &request,
            status: Some(StatusCode::SERVICE_UNAVAILABLE),
            body_bytes: 0,
            is_complete,
            duration: Duration::ZERO,
        };
        self.tell(|log| log.on_exchange(&finished));
        self.keep(request);
    }

    /// So many bytes of a body that comes in pieces were queued, and the last of them if it `ended`.
    pub(crate) fn note_pieces(&mut self, slot: u32, body_bytes: u64, until: Option<u64>) {
        let client = self.clients.get_mut(&slot);
        if let Some(last) = client.and_then(|client| client.waiting.back_mut())
            && last.until.is_none()
        {
            (last.body_bytes, last.until) = (body_bytes, until);
        }
    }

    /// The request that was read last has made a WebSocket of its client, whose bytes are counted anew
    /// from `position` on.
    pub(crate) fn open(&mut self, slot: u32, position: u64) {
        let client = self.client(slot);
        for waiting in &mut client.waiting {
            waiting.from = waiting.from.wrapping_sub(position);
            waiting.until = waiting.until.map(|until| until.wrapping_sub(position));
        }
        if let Some(request) = client.begun.take() {
            let close = None;
            client.websocket = Some(OpenWebSocket { request, close });
        }
    }

    /// The close of a WebSocket begins, which it does once.
    pub(crate) fn close(&mut self, slot: u32, code: CloseCode, reason: &str, by: ClosedBy) {
        let client = self.clients.get_mut(&slot);
        if let Some(websocket) = client.and_then(|client| client.websocket.as_mut()) {
            websocket.close = Some((code, reason.into(), by));
        }
    }

    /// Whether there are answers of which the client was given all.
    pub(crate) fn has_finished(&self, slot: u32, taken: u64) -> bool {
        let client = self.clients.get(&slot);
        let first = client.and_then(|client| client.waiting.front());
        first.is_some_and(|first| first.is_complete(taken))
    }

    /// Tells of them.
    pub(crate) fn finish(&mut self, slot: u32, reached: Reached) {
        while self.has_finished(slot, reached.taken)
            && let Some(client) = self.clients.get_mut(&slot)
            && let Some(finished) = client.waiting.pop_front()
        {
            self.tell_exchange(finished, reached);
        }
    }

    /// The client is lost, or its connection over: tells of all that is left.
    pub(crate) fn leave(&mut self, slot: u32, reached: Reached, sent: Sent, received: Received) {
        self.finish(slot, reached);
        let Some(mut client) = self.clients.remove(&slot) else {
            return;
        };
        while let Some(waiting) = client.waiting.pop_front() {
            self.tell_exchange(waiting, reached);
        }
        if let Some(mut request) = client.begun.take() {
            request.set_connection_if_unknown(reached.client);
            let finished = FinishedExchange {
                request: &request,
                status: None,
                body_bytes: 0,
                is_complete: false,
                duration: request.duration(reached.now),
            };
            self.tell(|log| log.on_exchange(&finished));
            self.keep(request);
        }
        if let Some(websocket) = client.websocket.take() {
            self.tell_websocket(websocket, reached, sent, received);
        }
        if self.spare_clients.len() < MAX_SPARE {
            self.spare_clients.push(client);
        }
    }

    fn tell_exchange(&mut self, waiting: Waiting, reached: Reached) {
        let (body_bytes, is_complete) = (
            waiting.given_bytes(reached.taken),
            waiting.is_complete(reached.taken),
        );
        let Waiting {
            mut request,
            status,
            ..
        } = waiting;
        self.waiting_count -= 1;
        request.set_connection_if_unknown(reached.client);
        let finished = FinishedExchange {
            request: &request,
            status: Some(status),
            body_bytes,
            is_complete,
            duration: request.duration(reached.now),
        };
        self.tell(|log| log.on_exchange(&finished));
        self.keep(request);
    }

    fn tell_websocket(
        &mut self,
        websocket: OpenWebSocket,
        reached: Reached,
        sent: Sent,
        received: Received,
    ) {
        let OpenWebSocket { request, close } = websocket;
        let lost = || (CloseCode::ABNORMAL, Box::from(""), ClosedBy::Nobody);
        let (code, reason, closed_by) = close.unwrap_or_else(lost);
        let finished = FinishedWebSocket {
            request: &request,
            code,
            reason: &reason,
            closed_by,
            bytes_read: received.bytes,
            bytes_sent: sent.bytes,
            frames_read: received.frames,
            frames_sent: sent.frames,
            messages_read: received.messages,
            messages_sent: sent.messages,
            duration: request.duration(reached.now),
        };
        self.tell(|log| log.on_websocket(&finished));
        self.keep(request);
    }

    fn tell(&mut self, tell: impl FnOnce(&mut dyn AccessLog)) {
        if let Some(log) = &mut self.log {
            panics::catch("an access log", || tell(&mut **log));
        }
    }

    /// Keeps the allocations of a summary for another request.
    fn keep(&mut self, request: Box<RequestSummary>) {
        let is_small = request.capacity_bytes() <= MAX_SPARE_BYTES;
        if is_small && self.spare_requests.len() < MAX_SPARE {
            self.spare_requests.push(request);
        }
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("is_on", &self.is_on())
            .field("clients", &self.clients.len())
            .field("waiting", &self.waiting_count)
            .finish_non_exhaustive()
    }
}
