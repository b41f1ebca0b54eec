//! The request-response cycle of one connection: keep-alive, pipelining, upgrade, and when it
//! ends (RFC 9112 section 9). No I/O.
//!
//! ```text
//!           first byte          head complete
//!   Idle ─────────────▶ Head ──────┬──▶ Announced ──┬──▶ Body ────┐ complete
//!    ▲                    │        │    (a body)    └─▶ Receiving ┤
//!    │                    │ refused▼                              ▼
//!    │                    └────────┴────────────────────────▶ Answering
//!    │     respond, end_stream: the connection lives on     │        │
//!    └──────────────────────────────────────────────────────┤    Streaming
//!                                                 Over ◀────┘ close or upgrade
//! ```
//!
//! A body is read as a whole before its request is handed out, or handed on in pieces behind it,
//! as the application says when it was announced. One request at a time: while one is answered,
//! what is pipelined behind it stays in the input. A connection in `Idle` owns no heap memory.

use crate::config::Config;
use crate::http::date::DateLine;
use crate::http::{ConnectionInfo, Method, Request, Response, StatusCode, Version};
use crate::input::Input;
use crate::moment::Moment;

use super::RefusedRequest;
use super::message_body::BodyDecoder;
use super::request_head::{HeadScan, Outline, straight};
use super::response_head::{self, ResponseFraming};

mod body;
mod deadlines;
mod preface;
mod refused;

use body::{PartialBody, Receiving};
use preface::{PREFACE, Preface, preface};
use refused::RefusedHead;

/// One client that speaks HTTP/1.
#[derive(Debug)]
pub(crate) struct Http1Connection {
    info: ConnectionInfo,
    state: State,
    /// When `state` began; for the head of a first request, the accept; for what refuses a head, that head.
    since: Moment,
    /// Whether nothing was answered yet.
    is_new: bool,
}

/// What is large lies in a box: an idle connection is small.
#[derive(Debug)]
enum State {
    /// Nothing of a request is there.
    Idle,
    /// A head is incomplete.
    Head(Box<PartialHead>),
    /// A head says that a body follows; [`Http1Connection::expect_body`] is due.
    Announced(Box<PartialBody>),
    /// A body is incomplete.
    Body(Box<PartialBody>),
    /// A request was handed out whose body follows in pieces.
    Receiving(Box<Receiving>),
    /// A request was handed out; [`Http1Connection::respond`] is due.
    Answering(Answering),
    /// A head was refused whose first line is known; the same.
    Refused(Box<RefusedHead>),
    /// A response has begun whose body comes from the application in pieces;
    /// [`Http1Connection::end_stream`] is due.
    Streaming(Then),
    /// No request will follow.
    Over,
}

#[derive(Debug)]
struct PartialHead {
    bytes: Vec<u8>,
    scan: HeadScan,
    /// When the first of it was read.
    began: Moment,
}

impl PartialHead {
    const fn new(bytes: Vec<u8>, scan: HeadScan, began: Moment) -> Self {
        Self { bytes, scan, began }
    }
}

/// What must be known of a request when it is answered.
#[derive(Clone, Copy, Debug)]
struct Answering {
    version: Version,
    is_head_request: bool,
    /// Whether the request leaves the connection open.
    keep_alive: bool,
}

impl Answering {
    /// The last answer of a connection. The version does not matter for it: it says close.
    const fn last(is_head_request: bool) -> Self {
        Self {
            version: Version::HTTP_11,
            is_head_request,
            keep_alive: false,
        }
    }
}

/// What [`Http1Connection::next`] came to.
#[derive(Debug)]
pub(crate) enum Step<'b> {
    /// All input is taken, or a response is due first.
    NeedInput,
    /// Send [`CONTINUE`] now: the client holds the body back until then.
    Continue,
    /// A body follows. [`Http1Connection::expect_body`] must come before the next step.
    Announced,
    /// A whole request, or one whose body follows in pieces. It must be answered before the next
    /// step, or its body [accepted](Http1Connection::accept_body).
    Request(Box<Request>),
    /// A piece of a body, and whether it is the last one.
    Body(&'b [u8], bool),
    /// It must be answered, then the connection ends.
    Refused(RefusedRequest),
    /// The client speaks HTTP/2 by prior knowledge (RFC 9113 section 3.3): this was the first line
    /// of its [preface](PREFACE), and what follows is not ours.
    Http2,
}

/// The interim response that asks for a body (RFC 9110 section 15.2.1).
pub(crate) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What follows the head of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct After {
    /// Whether the content of the response is to be sent. If not, it is to be dropped.
    pub(crate) send_body: bool,
    /// What the connection does then.
    pub(crate) then: Then,
}

/// What a connection does after a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// Call [`Http1Connection::next`] again, at once if there is input.
    KeepAlive,
    /// End it; nothing more is parsed.
    Close,
    /// It speaks another protocol from the next byte on, also from what is in the input.
    Upgrade,
    /// The body follows from the application, in chunks or until the end of the connection, and then
    /// [`Http1Connection::end_stream`].
    Stream { in_chunks: bool },
}

/// What a deadline came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// It is not due, or no more; the next one, if any.
    Nothing(Option<Moment>),
    /// Nobody waits for anything: close without an answer.
    CloseIdle,
    /// It must be answered, then the connection ends.
    Refuse(RefusedRequest),
}

impl Http1Connection {
    /// A connection that was accepted at `now`.
    pub(crate) const fn new(info: ConnectionInfo, now: Moment) -> Self {
        Self {
            info,
            state: State::Idle,
            since: now,
            is_new: true,
        }
    }

    /// Takes input up to the next thing to do. What follows a complete request stays in
    /// `input`, as does everything while a response is due or once the connection is over.
    ///
    /// A request is made of `spare`, if there is one: of an earlier request of anybody, whose
    /// allocations are left.
    pub(crate) fn next<'b>(
        &mut self,
        input: &mut Input<'b>,
        config: &Config,
        now: Moment,
        spare: &mut Option<Box<Request>>,
    ) -> Step<'b> {
        if matches!(self.state, State::Idle) && !input.is_empty() {
            return self.begin_head(input, config, now, spare);
        }
        match std::mem::replace(&mut self.state, State::Over) {
            State::Head(partial) if !input.is_empty() => {
                self.continue_head(partial, input, config, spare)
            }
            State::Body(partial) if !input.is_empty() => self.read_body(partial, input, config),
            State::Receiving(receiving) if !input.is_empty() => {
                self.read_piece(receiving, input, config, now)
            }
            unchanged => {
                self.state = unchanged;
                Step::NeedInput
            }
        }
    }

    /// Appends the head of `response` to `out`. `date_line` is that of now.
    ///
    /// Due once after each [`Step::Request`], [`Step::Refused`] and [`Expiry::Refuse`]. The
    /// response of a refusal always closes, as does one that no request asked for: a 503 in
    /// the middle of one.
    pub(crate) fn respond(
        &mut self,
        response: &Response,
        date_line: &DateLine,
        now: Moment,
        out: &mut Vec<u8>,
    ) -> After {
        let answering = match &self.state {
            State::Answering(answering) => *answering,
            State::Refused(head) => Answering::last(head.method == Method::HEAD),
            // The server has a reason of its own to end it.
            State::Idle => Answering::last(false),
            State::Head(partial) => Answering::last(partial.scan.is_head_request()),
            State::Body(partial) | State::Announced(partial) => {
                Answering::last(partial.answering.is_head_request)
            }
            // What is left of the body is not told from a request behind it.
            State::Receiving(receiving) => Answering {
                keep_alive: false,
                ..receiving.answering
            },
            State::Streaming(_) | State::Over => {
                debug_assert!(false, "a response behind the last one");
                return After {
                    send_body: false,
                    then: Then::Close,
                };
            }
        };
        let is_until_close =
            response.content().is_stream() && answering.version == Version::HTTP_10;
        let then = if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            Then::Upgrade
        } else if !answering.keep_alive
            || is_until_close
            || response.headers().has_token("connection", "close")
        {
            Then::Close
        } else {
            Then::KeepAlive
        };
        let framing = ResponseFraming {
            version: answering.version,
            to_head_request: answering.is_head_request,
            close: then == Then::Close,
        };
        response_head::encode(response, framing, date_line, out);
        let send_body = response_head::has_body(response, framing);
        self.since = now;
        self.is_new = false;
        if send_body && response.content().is_stream() {
            self.state = State::Streaming(then);
            return After {
                send_body,
                then: Then::Stream {
                    in_chunks: answering.version == Version::HTTP_11,
                },
            };
        }
        self.end_answer(then);
        After { send_body, then }
    }

    /// A response is complete as far as it is ours to say.
    #[inline]
    fn end_answer(&mut self, then: Then) {
        self.enter(if then == Then::KeepAlive {
            State::Idle
        } else {
            State::Over
        });
    }

    /// Enters `state`. As an assignment does, but where there is nothing to be freed it takes no call
    /// to find that out (15 instructions each time).
    #[inline]
    fn enter(&mut self, state: State) {
        let old = std::mem::replace(&mut self.state, state);
        if matches!(
            old,
            State::Idle | State::Answering(_) | State::Streaming(_) | State::Over
        ) {
            std::mem::forget(old);
        }
    }

    /// All of a response that came in pieces is queued. What the connection does then.
    pub(crate) fn end_stream(&mut self, now: Moment) -> Then {
        let State::Streaming(then) = self.state else {
            return Then::Close;
        };
        self.end_answer(then);
        self.since = now;
        then
    }

    /// Who is connected.
    pub(crate) const fn info(&self) -> &ConnectionInfo {
        &self.info
    }

    /// When what it is in the middle of began: of a connection that brought nothing yet, when it was
    /// accepted.
    pub(crate) const fn since(&self) -> Moment {
        match &self.state {
            State::Head(partial) => partial.began,
            _ => self.since,
        }
    }

    /// Whether nothing of a request is there and none is being answered: a server that stops
    /// may close it.
    pub(crate) const fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Since when it is that and waits for another request, as one was answered.
    pub(crate) fn idle_since(&self) -> Option<Moment> {
        (self.is_idle() && !self.is_new).then_some(self.since)
    }

    /// Bytes of an unfinished request that are held.
    pub(crate) fn buffered_bytes(&self) -> usize {
        match &self.state {
            State::Head(partial) => partial.bytes.len(),
            State::Body(partial) | State::Announced(partial) => {
                partial.request.headers().as_section().len() + partial.request.body().len()
            }
            State::Receiving(receiving) => receiving.head_bytes,
            // What is refused is answered at once.
            State::Idle
            | State::Answering(_)
            | State::Refused(_)
            | State::Streaming(_)
            | State::Over => 0,
        }
    }

    /// The usual case: the whole head is there, and nothing is copied but what is kept of it.
    fn begin_head(
        &mut self,
        input: &mut Input<'_>,
        config: &Config,
        now: Moment,
        spare: &mut Option<Box<Request>>,
    ) -> Step<'static> {
        if !self.is_new {
            self.since = now;
        }
        let mut request = Request::boxed(spare.take(), self.info.clone(), now);
        if let Some((outline, len)) = straight::parse(input.rest(), config, &mut request) {
            input.take(len);
            return self.begin_answer(request, &outline);
        }
        *spare = request.into_spare();
        let mut scan = HeadScan::default();
        if self.is_new {
            match preface(input.rest()) {
                Some(Preface::Whole) => {
                    input.take(PREFACE.len());
                    return Step::Http2;
                }
                Some(Preface::Begun) => {
                    let bytes = input.take(input.len()).to_vec();
                    self.state = State::Head(Box::new(PartialHead::new(bytes, scan, now)));
                    return Step::NeedInput;
                }
                None => {}
            }
        }
        match scan.find_end(input.rest(), config) {
            Ok(Some(len)) => self.end_head(&mut scan, input.take(len), now, spare),
            Ok(None) => {
                let bytes = input.take(input.len()).to_vec();
                self.state = State::Head(Box::new(PartialHead::new(bytes, scan, now)));
                Step::NeedInput
            }
            Err(refused) => {
                self.expect_refusal(&scan, input.rest(), now);
                Step::Refused(refused)
            }
        }
    }

    fn continue_head(
        &mut self,
        mut partial: Box<PartialHead>,
        input: &mut Input<'_>,
        config: &Config,
        spare: &mut Option<Box<Request>>,
    ) -> Step<'static> {
        let held = partial.bytes.len();
        // One byte more than allowed is enough to see that it is too long.
        let room = config
            .max_header_section_bytes
            .saturating_add(1)
            .saturating_sub(held);
        partial
            .bytes
            .extend_from_slice(&input.rest()[..room.min(input.len())]);
        if self.is_new {
            match preface(&partial.bytes) {
                Some(Preface::Whole) => {
                    input.take(PREFACE.len() - held);
                    return Step::Http2;
                }
                Some(Preface::Begun) => {
                    input.take(input.len());
                    self.state = State::Head(partial);
                    return Step::NeedInput;
                }
                None => {}
            }
        }
        match partial.scan.find_end(&partial.bytes, config) {
            Ok(Some(len)) => {
                input.take(len - held);
                let PartialHead { bytes, scan, began } = &mut *partial;
                self.end_head(scan, &bytes[..len], *began, spare)
            }
            Ok(None) => {
                input.take(partial.bytes.len() - held);
                self.state = State::Head(partial);
                Step::NeedInput
            }
            Err(refused) => {
                self.expect_refusal(&partial.scan, &partial.bytes, partial.began);
                Step::Refused(refused)
            }
        }
    }

    fn end_head(
        &mut self,
        scan: &mut HeadScan,
        head: &[u8],
        began: Moment,
        spare: &mut Option<Box<Request>>,
    ) -> Step<'static> {
        let mut request = Request::boxed(spare.take(), self.info.clone(), began);
        match scan.parse(head, &mut request) {
            Ok(outline) => self.begin_answer(request, &outline),
            Err(refused) => {
                self.expect_refusal(scan, head, began);
                Step::Refused(refused)
            }
        }
    }

    /// The head is complete: the request is as well, or its body begins.
    fn begin_answer(&mut self, request: Box<Request>, outline: &Outline) -> Step<'static> {
        let answering = Answering {
            version: request.version(),
            is_head_request: *request.method() == Method::HEAD,
            keep_alive: outline.keep_alive,
        };
        if !request.has_body() {
            self.enter(State::Answering(answering));
            return Step::Request(request);
        }
        self.state = State::Announced(Box::new(PartialBody {
            request,
            decoder: BodyDecoder::new(outline.framing),
            answering,
            expects_continue: outline.expects_continue,
        }));
        Step::Announced
    }

    fn refuse(&mut self, refused: RefusedRequest, is_head_request: bool) -> Step<'static> {
        self.expect_last_response(is_head_request);
        Step::Refused(refused)
    }

    fn expect_last_response(&mut self, is_head_request: bool) {
        self.state = State::Answering(Answering::last(is_head_request));
    }
}

#[cfg(test)]
mod tests;
