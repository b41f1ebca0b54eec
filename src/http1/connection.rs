//! The request-response cycle of one connection: keep-alive, pipelining, upgrade, and when it
//! ends (RFC 9112 section 9). No I/O.
//!
//! ```text
//!           first byte          head complete
//!   Idle ─────────────▶ Head ───────────────┬──▶ Body ──┐ complete
//!    ▲                    │ refused         │           ▼
//!    │                    └────────────────▶└─────▶ Answering
//!    └───────── respond: the connection lives on ───────┤
//!                                            Over ◀─────┘ close or upgrade
//! ```
//!
//! One request at a time: while one is answered, what is pipelined behind it stays in the
//! input. A connection in `Idle` owns no heap memory.

use std::time::Duration;

use crate::config::Config;
use crate::http::date::DateLine;
use crate::http::{ConnectionInfo, Method, Request, Response, StatusCode, Version};
use crate::input::Input;
use crate::moment::Moment;

use super::RefusedRequest;
use super::message_body::{BodyDecoder, Decoded};
use super::request_head::{HeadScan, Outline, straight};
use super::response_head::{self, ResponseFraming};

const HEAD_TOO_SLOW: RefusedRequest = RefusedRequest::new(
    StatusCode::REQUEST_TIMEOUT,
    "the header section took too long",
);
const BODY_TOO_SLOW: RefusedRequest = RefusedRequest::new(
    StatusCode::REQUEST_TIMEOUT,
    "the request body came too slowly",
);

/// One client that speaks HTTP/1.
#[derive(Debug)]
pub(crate) struct Http1Connection {
    info: ConnectionInfo,
    state: State,
    /// When `state` began; for the head of a first request, the accept.
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
    /// A body is incomplete.
    Body(Box<PartialBody>),
    /// A request was handed out; [`Http1Connection::respond`] is due.
    Answering(Answering),
    /// No request will follow.
    Over,
}

#[derive(Debug)]
struct PartialHead {
    bytes: Vec<u8>,
    scan: HeadScan,
}

#[derive(Debug)]
struct PartialBody {
    /// With as much of its body as is there.
    request: Box<Request>,
    decoder: BodyDecoder,
    answering: Answering,
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
pub(crate) enum Step {
    /// All input is taken, or a response is due first.
    NeedInput,
    /// Send [`CONTINUE`] now: the client holds the body back until then.
    Continue,
    /// A whole request. It must be answered before the next step.
    Request(Box<Request>),
    /// It must be answered, then the connection ends.
    Refused(RefusedRequest),
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
    pub(crate) fn next(
        &mut self,
        input: &mut Input<'_>,
        config: &Config,
        now: Moment,
        spare: &mut Option<Box<Request>>,
    ) -> Step {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Idle if !input.is_empty() => self.begin_head(input, config, now, spare),
            State::Head(partial) if !input.is_empty() => {
                self.continue_head(partial, input, config, now, spare)
            }
            State::Body(partial) if !input.is_empty() => self.read_body(partial, input, config),
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
            // The server has a reason of its own to end it.
            State::Idle => Answering::last(false),
            State::Head(partial) => Answering::last(partial.scan.is_head_request()),
            State::Body(partial) => Answering::last(partial.answering.is_head_request),
            State::Over => {
                debug_assert!(false, "a response behind the last one");
                return After {
                    send_body: false,
                    then: Then::Close,
                };
            }
        };
        let then = if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            Then::Upgrade
        } else if !answering.keep_alive || response.headers().has_token("connection", "close") {
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
        self.state = if then == Then::KeepAlive {
            State::Idle
        } else {
            State::Over
        };
        self.since = now;
        self.is_new = false;
        After {
            send_body: response_head::has_body(response, framing),
            then,
        }
    }

    /// When [`on_deadline`](Self::on_deadline) is to be called. It changes with each step; it
    /// is enough to ask for it again then.
    ///
    /// The deadline of an idle connection runs from its last response: if that is still
    /// waiting for the socket, the caller has a write deadline of its own.
    pub(crate) fn deadline(&self, config: &Config) -> Option<Moment> {
        let timeout = match &self.state {
            State::Idle if !self.is_new => config.keep_alive_timeout,
            State::Idle | State::Head(_) => config.header_timeout,
            State::Body(partial) => body_timeout(partial.request.body().len(), config),
            State::Answering(_) | State::Over => return None,
        };
        // A timeout beyond what the clock can say is none.
        Some(self.since + timeout).filter(|deadline| *deadline < Moment::NEVER)
    }

    /// Judges at `now` whether the client was too slow.
    pub(crate) fn on_deadline(&mut self, now: Moment, config: &Config) -> Expiry {
        let deadline = self.deadline(config);
        if deadline.is_none_or(|deadline| now < deadline) {
            return Expiry::Nothing(deadline);
        }
        match std::mem::replace(&mut self.state, State::Over) {
            State::Head(partial) if partial.scan.has_begun() => {
                self.expect_last_response(partial.scan.is_head_request());
                Expiry::Refuse(HEAD_TOO_SLOW)
            }
            State::Body(partial) => {
                self.expect_last_response(partial.answering.is_head_request);
                Expiry::Refuse(BODY_TOO_SLOW)
            }
            // A connection that was opened in advance, or an empty line that nothing followed.
            State::Idle | State::Head(_) | State::Answering(_) | State::Over => Expiry::CloseIdle,
        }
    }

    /// Everything that was queued is written: the idle time of a connection runs from here, and
    /// not from when a long download began.
    pub(crate) fn drained(&mut self, now: Moment) {
        if matches!(self.state, State::Idle) && !self.is_new {
            self.since = now;
        }
    }

    /// Whether nothing of a request is there and none is being answered: a server that stops
    /// may close it.
    pub(crate) const fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Bytes of an unfinished request that are held.
    pub(crate) fn buffered_bytes(&self) -> usize {
        match &self.state {
            State::Head(partial) => partial.bytes.len(),
            State::Body(partial) => {
                partial.request.headers().as_section().len() + partial.request.body().len()
            }
            State::Idle | State::Answering(_) | State::Over => 0,
        }
    }

    /// The usual case: the whole head is there, and nothing is copied but what is kept of it.
    fn begin_head(
        &mut self,
        input: &mut Input<'_>,
        config: &Config,
        now: Moment,
        spare: &mut Option<Box<Request>>,
    ) -> Step {
        if !self.is_new {
            self.since = now;
        }
        let mut request = Request::boxed(spare.take(), self.info.clone());
        if let Some((outline, len)) = straight::parse(input.rest(), config, &mut request) {
            input.take(len);
            return self.begin_answer(request, &outline, input, config, now);
        }
        *spare = request.into_spare();
        let mut scan = HeadScan::default();
        match scan.find_end(input.rest(), config) {
            Ok(Some(len)) => self.end_head(&mut scan, input.take(len), input, config, now, spare),
            Ok(None) => {
                let bytes = input.take(input.len()).to_vec();
                self.state = State::Head(Box::new(PartialHead { bytes, scan }));
                Step::NeedInput
            }
            Err(refused) => self.refuse(refused, scan.is_head_request()),
        }
    }

    fn continue_head(
        &mut self,
        mut partial: Box<PartialHead>,
        input: &mut Input<'_>,
        config: &Config,
        now: Moment,
        spare: &mut Option<Box<Request>>,
    ) -> Step {
        let held = partial.bytes.len();
        // One byte more than allowed is enough to see that it is too long.
        let room = config
            .max_header_section_bytes
            .saturating_add(1)
            .saturating_sub(held);
        partial
            .bytes
            .extend_from_slice(&input.rest()[..room.min(input.len())]);
        match partial.scan.find_end(&partial.bytes, config) {
            Ok(Some(len)) => {
                input.take(len - held);
                let PartialHead { bytes, scan } = &mut *partial;
                self.end_head(scan, &bytes[..len], input, config, now, spare)
            }
            Ok(None) => {
                input.take(partial.bytes.len() - held);
                self.state = State::Head(partial);
                Step::NeedInput
            }
            Err(refused) => self.refuse(refused, partial.scan.is_head_request()),
        }
    }

    fn end_head(
        &mut self,
        scan: &mut HeadScan,
        head: &[u8],
        input: &mut Input<'_>,
        config: &Config,
        now: Moment,
        spare: &mut Option<Box<Request>>,
    ) -> Step {
        let is_head_request = scan.is_head_request();
        let mut request = Request::boxed(spare.take(), self.info.clone());
        match scan.parse(head, config, &mut request) {
            Ok(outline) => self.begin_answer(request, &outline, input, config, now),
            Err(refused) => self.refuse(refused, is_head_request),
        }
    }

    /// The head is complete: the request is as well, or its body begins.
    fn begin_answer(
        &mut self,
        request: Box<Request>,
        outline: &Outline,
        input: &mut Input<'_>,
        config: &Config,
        now: Moment,
    ) -> Step {
        let answering = Answering {
            version: request.version(),
            is_head_request: *request.method() == Method::HEAD,
            keep_alive: outline.keep_alive,
        };
        if !request.has_body() {
            self.state = State::Answering(answering);
            return Step::Request(request);
        }
        self.since = now;
        let partial = PartialBody {
            request,
            decoder: BodyDecoder::new(outline.framing),
            answering,
        };
        let wait_for_body = outline.expects_continue && input.is_empty();
        let step = self.read_body(Box::new(partial), input, config);
        if let State::Body(partial) = &mut self.state {
            // It may take long: what it holds of an earlier request is not counted.
            partial.request.shrink_to_fit();
        }
        match step {
            Step::NeedInput if wait_for_body => Step::Continue,
            step => step,
        }
    }

    fn read_body(
        &mut self,
        mut partial: Box<PartialBody>,
        input: &mut Input<'_>,
        config: &Config,
    ) -> Step {
        match partial
            .decoder
            .decode(input.rest(), partial.request.body_mut(), config)
        {
            Ok(Decoded {
                consumed,
                is_complete,
            }) => {
                input.take(consumed);
                if !is_complete {
                    self.state = State::Body(partial);
                    return Step::NeedInput;
                }
                self.state = State::Answering(partial.answering);
                Step::Request(partial.request)
            }
            Err(refused) => self.refuse(refused, partial.answering.is_head_request),
        }
    }

    fn refuse(&mut self, refused: RefusedRequest, is_head_request: bool) -> Step {
        self.expect_last_response(is_head_request);
        Step::Refused(refused)
    }

    fn expect_last_response(&mut self, is_head_request: bool) {
        self.state = State::Answering(Answering::last(is_head_request));
    }
}

/// How long a body may have taken when so much of it is there: a grace, then a least rate
/// over the whole time.
fn body_timeout(received_bytes: usize, config: &Config) -> Duration {
    // Without a least rate nothing can fall below it.
    let Some(millis) = received_bytes
        .saturating_mul(1000)
        .checked_div(config.min_body_bytes_per_second)
    else {
        return Duration::MAX;
    };
    Duration::from_millis(millis as u64).max(config.body_grace)
}

#[cfg(test)]
mod tests;
