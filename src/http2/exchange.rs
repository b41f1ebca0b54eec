//! One request and its answer on a stream (RFC 9113 section 8.1): the body as the application takes
//! it, the head of the response, and when either was too slow. No I/O.
//!
//! ```text
//!   a body ─▶ Announced ──┬──▶ Body ───────┐ END_STREAM
//!                         └──▶ Receiving ──┤
//!   no body ───────────────────────────────┴──▶ Answering ──▶ (Streaming) ──▶ over
//! ```
//!
//! What comes for the stream is the payload of its DATA frames, and what is queued for it becomes
//! that of others: how, the carrier knows.

use super::connection::NewRequest;
use super::response_head::{self, DateField};
use crate::config::Config;
use crate::http::pace::{BodyPace, body_timeout};
use crate::http::refused::{BODY_TOO_LONG, RefusedRequest};
use crate::http::{BodyPlan, Method, Request, Response, StatusCode};
use crate::input::Input;
use crate::moment::Moment;

const BODY_TOO_SLOW: RefusedRequest = RefusedRequest::new(
    StatusCode::REQUEST_TIMEOUT,
    "the request body came too slowly",
);

const CONNECT_AND_END: RefusedRequest =
    RefusedRequest::bad("the stream of a WebSocket ended before it began");

/// See the module.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// The host whose listener accepted the connection, or the choice among several.
    host: u16,
    is_head_request: bool,
    state: State,
    /// When `state` began, or how much later, by the time that the application let the body wait.
    since: Moment,
}

#[derive(Debug)]
enum State {
    /// A body follows; [`Exchange::expect_body`] is due.
    Announced(Box<Announced>),
    /// A body is incomplete that is taken as a whole.
    Body {
        request: Box<Request>,
        max_bytes: u64,
    },
    /// A request was handed out whose body follows in pieces.
    Receiving(Box<Receiving>),
    /// A request was handed out; [`Exchange::respond`] is due.
    Answering,
    /// A response has begun whose body comes from the application in pieces.
    Streaming,
    /// All of the response is queued.
    Over,
}

#[derive(Debug)]
struct Announced {
    request: Box<Request>,
    content_length: Option<u64>,
    expects_continue: bool,
}

#[derive(Debug)]
struct Receiving {
    max_bytes: u64,
    expects_continue: bool,
    pace: BodyPace,
    /// Bytes of the head, which somebody keeps.
    head_bytes: usize,
}

/// What an exchange begins with.
#[derive(Debug)]
pub(crate) enum First {
    /// A request without a body, or whose body is no matter of this exchange.
    Request(Box<Request>),
    /// A body follows; [`Exchange::expect_body`] is due.
    Announced,
    /// It must be answered so.
    Refused(RefusedRequest),
}

/// What became of the input, or of its end.
#[derive(Debug)]
pub(crate) enum Step<'b> {
    /// All input is taken.
    NeedInput,
    /// The head of a [100](Exchange::encode_continue) is to be sent: the client holds the body back until then.
    Continue,
    /// A whole request, or one whose body follows in pieces.
    Request(Box<Request>),
    /// A piece of a body, and whether it is the last one.
    Body(&'b [u8], bool),
    /// It must be answered so.
    Refused(RefusedRequest),
}

/// What a response came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// Its head ended the stream.
    Ended,
    /// Its content is to be queued.
    Content,
    /// The stream is a WebSocket's.
    Upgrade,
    /// The content comes from the application, in pieces.
    Stream,
}

impl Exchange {
    /// The exchange that a request begins at `now`, and what is to be done first.
    pub(crate) fn begin(new: NewRequest, host: u16, now: Moment) -> (Self, First) {
        let NewRequest {
            request,
            is_last,
            content_length,
            expects_continue,
            refused,
            ..
        } = new;
        let is_head_request = *request.method() == Method::HEAD;
        let mut state = State::Answering;
        let is_connect = request.protocol().is_some();
        let first = if let Some(refused) = refused {
            First::Refused(refused)
        } else if is_connect && is_last {
            First::Refused(CONNECT_AND_END)
        } else if is_connect || is_last {
            // What follows an extended CONNECT is no body.
            First::Request(request)
        } else {
            state = State::Announced(Box::new(Announced {
                request,
                content_length,
                expects_continue,
            }));
            First::Announced
        };
        let exchange = Self {
            host,
            is_head_request,
            state,
            since: now,
        };
        (exchange, first)
    }

    /// The listener that accepted its connection.
    pub(crate) const fn listener_mut(&mut self) -> &mut u16 {
        &mut self.host
    }

    /// The host that it is for.
    pub(crate) const fn host(&self) -> u16 {
        self.host
    }

    /// The request that announces a body, if one did.
    pub(crate) fn announced(&mut self) -> Option<&mut Request> {
        match &mut self.state {
            State::Announced(announced) => Some(&mut announced.request),
            _ => None,
        }
    }

    /// Says how the announced body is taken. `is_there`: some of it has come already.
    pub(crate) fn expect_body(
        &mut self,
        plan: BodyPlan,
        is_there: bool,
        now: Moment,
    ) -> Step<'static> {
        let State::Announced(announced) = std::mem::replace(&mut self.state, State::Answering)
        else {
            debug_assert!(false, "no body was announced");
            return Step::NeedInput;
        };
        let Announced {
            mut request,
            content_length,
            expects_continue,
        } = *announced;
        let max_bytes = plan.max_bytes.unwrap_or(u64::MAX);
        if content_length.is_some_and(|len| len > max_bytes) {
            return Step::Refused(BODY_TOO_LONG);
        }
        self.since = now;
        // Who sends without waiting needs no 100.
        let expects_continue = expects_continue && !is_there;
        if plan.in_pieces {
            self.state = State::Receiving(Box::new(Receiving {
                max_bytes,
                expects_continue,
                pace: BodyPace::new(now),
                head_bytes: request.headers().as_section().len(),
            }));
            return Step::Request(request);
        }
        // It may take long: what it holds of an earlier request is not counted.
        request.shrink_to_fit();
        self.state = State::Body { request, max_bytes };
        if expects_continue {
            Step::Continue
        } else {
            Step::NeedInput
        }
    }

    /// The application takes the body in pieces. Whether a 100 is to be sent.
    pub(crate) fn accept_body(&mut self) -> bool {
        match &mut self.state {
            State::Receiving(receiving) => std::mem::take(&mut receiving.expects_continue),
            _ => false,
        }
    }

    /// Takes payload.
    pub(crate) fn next<'b>(&mut self, input: &mut Input<'b>, now: Moment) -> Step<'b> {
        match &mut self.state {
            State::Body { request, max_bytes } => {
                let body = request.body_mut();
                if (body.len() + input.len()) as u64 > *max_bytes {
                    self.state = State::Answering;
                    input.take(input.len());
                    return Step::Refused(BODY_TOO_LONG);
                }
                body.extend_from_slice(input.take(input.len()));
                Step::NeedInput
            }
            State::Receiving(receiving) if !input.is_empty() => {
                let bytes = input.take(input.len());
                if receiving.pace.receive(bytes.len(), now) > receiving.max_bytes {
                    self.state = State::Answering;
                    return Step::Refused(BODY_TOO_LONG);
                }
                Step::Body(bytes, false)
            }
            // Nobody wants it.
            State::Announced(_)
            | State::Receiving(_)
            | State::Answering
            | State::Streaming
            | State::Over => {
                input.take(input.len());
                Step::NeedInput
            }
        }
    }

    /// The peer ended its side of the stream: all of the body was taken.
    pub(crate) fn end_input(&mut self) -> Step<'static> {
        match std::mem::replace(&mut self.state, State::Answering) {
            State::Body { request, .. } => Step::Request(request),
            State::Receiving(_) => Step::Body(&[], true),
            unchanged => {
                self.state = unchanged;
                Step::NeedInput
            }
        }
    }

    /// Whether the body of a request is handed on in pieces and more of it is to come.
    pub(crate) const fn is_receiving(&self) -> bool {
        matches!(self.state, State::Receiving(_))
    }

    /// Whether a response is being sent in pieces.
    pub(crate) const fn is_streaming(&self) -> bool {
        matches!(self.state, State::Streaming)
    }

    /// Whether input waits for the application to take more of a body.
    pub(crate) fn is_paused(&self) -> bool {
        matches!(&self.state, State::Receiving(receiving) if receiving.pace.is_paused())
    }

    /// Lets the body wait from `now` on, or no longer: that time is not the client's.
    pub(crate) fn pause_body(&mut self, pause: bool, now: Moment) {
        if let State::Receiving(receiving) = &mut self.state {
            self.since += receiving.pace.pause(pause, now);
        }
    }

    /// Appends the fields of the interim response that asks for a body (RFC 9110 section 15.2.1).
    pub(crate) fn encode_continue(block: &mut Vec<u8>) {
        response_head::encode_interim(StatusCode::CONTINUE, block);
    }

    /// Appends the fields of `response` to `block`.
    pub(crate) fn respond(
        &mut self,
        response: &Response,
        date: &DateField,
        block: &mut Vec<u8>,
    ) -> After {
        response_head::encode(response, self.is_head_request, date, block);
        let after = if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            After::Upgrade
        } else if self.is_head_request || !response.may_have_body() {
            After::Ended
        } else if response.content().is_stream() {
            After::Stream
        } else if response.content().len() == 0 {
            After::Ended
        } else {
            After::Content
        };
        self.state = if after == After::Stream {
            State::Streaming
        } else {
            State::Over
        };
        after
    }

    /// When [`on_deadline`](Self::on_deadline) is to be called.
    pub(crate) fn deadline(&self, config: &Config) -> Option<Moment> {
        let timeout = match &self.state {
            State::Body { request, .. } => body_timeout(request.body().len() as u64, config),
            State::Receiving(receiving) => receiving.pace.timeout(self.since, config)?,
            _ => return None,
        };
        // A timeout beyond what the clock can say is none.
        Some(self.since + timeout).filter(|deadline| *deadline < Moment::NEVER)
    }

    /// Judges at `now` whether the body was too slow: then it must be answered so.
    pub(crate) fn on_deadline(&mut self, now: Moment, config: &Config) -> Option<RefusedRequest> {
        if self.deadline(config).is_none_or(|deadline| now < deadline) {
            return None;
        }
        self.state = State::Answering;
        Some(BODY_TOO_SLOW)
    }

    /// Bytes of an unfinished request that are held.
    pub(crate) fn buffered_bytes(&self) -> usize {
        match &self.state {
            State::Announced(announced) => announced.request.headers().as_section().len(),
            State::Body { request, .. } => {
                request.headers().as_section().len() + request.body().len()
            }
            State::Receiving(receiving) => receiving.head_bytes,
            State::Answering | State::Streaming | State::Over => 0,
        }
    }
}
