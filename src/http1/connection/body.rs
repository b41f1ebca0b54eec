//! How the body of a request is taken: as a whole before it is handed out, or in pieces behind it.

use crate::config::Config;
use crate::http::pace::BodyPace;
use crate::http::{BodyPlan, Request};
use crate::http1::message_body::{BodyDecoder, Decoded};
use crate::input::Input;
use crate::moment::Moment;

use super::{Answering, Http1Connection, State, Step};

#[derive(Debug)]
pub(super) struct PartialBody {
    /// With as much of its body as is there.
    pub(super) request: Box<Request>,
    pub(super) decoder: BodyDecoder,
    pub(super) answering: Answering,
    /// Whether the client waits for a 100 before it sends the body.
    pub(super) expects_continue: bool,
}

/// A body that is handed on in pieces.
#[derive(Debug)]
pub(super) struct Receiving {
    pub(super) decoder: BodyDecoder,
    pub(super) answering: Answering,
    pub(super) expects_continue: bool,
    pub(super) pace: BodyPace,
    /// Bytes of the head, which somebody keeps.
    pub(super) head_bytes: usize,
}

impl Http1Connection {
    /// The request that announces a body, if one did.
    pub(crate) fn announced(&mut self) -> Option<&mut Request> {
        match &mut self.state {
            State::Announced(partial) => Some(&mut partial.request),
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
        let State::Announced(mut partial) = std::mem::replace(&mut self.state, State::Over) else {
            debug_assert!(false, "no body was announced");
            return Step::NeedInput;
        };
        if let Err(refused) = partial.decoder.allow(plan.max_bytes.unwrap_or(u64::MAX)) {
            return self.refuse(refused, partial.answering.is_head_request);
        }
        self.since = now;
        // Who sends without waiting needs no 100.
        let expects_continue = partial.expects_continue && !is_there;
        if plan.in_pieces {
            let PartialBody {
                request,
                decoder,
                answering,
                ..
            } = *partial;
            self.state = State::Receiving(Box::new(Receiving {
                pace: BodyPace::new(now),
                head_bytes: request.headers().as_section().len(),
                decoder,
                answering,
                expects_continue,
            }));
            return Step::Request(request);
        }
        // It may take long: what it holds of an earlier request is not counted.
        partial.request.shrink_to_fit();
        self.state = State::Body(partial);
        if expects_continue {
            Step::Continue
        } else {
            Step::NeedInput
        }
    }

    /// The application takes the body in pieces. Whether [`CONTINUE`] is to be sent.
    pub(crate) fn accept_body(&mut self) -> bool {
        match &mut self.state {
            State::Receiving(receiving) => std::mem::take(&mut receiving.expects_continue),
            _ => false,
        }
    }

    /// Whether the body of a request is handed on in pieces and more of it is to come.
    pub(crate) const fn is_receiving(&self) -> bool {
        matches!(self.state, State::Receiving(_))
    }

    /// Whether a response is being sent in pieces.
    pub(crate) const fn is_streaming(&self) -> bool {
        matches!(self.state, State::Streaming(_))
    }

    /// Whether input waits: for the application to take more of a body, or for the end of a
    /// response that it sends in pieces.
    pub(crate) fn is_paused(&self) -> bool {
        match &self.state {
            State::Receiving(receiving) => receiving.pace.is_paused(),
            State::Streaming(_) => true,
            _ => false,
        }
    }

    /// Lets the body wait from `now` on, or no longer: that time is not the client's.
    pub(crate) fn pause_body(&mut self, pause: bool, now: Moment) {
        if let State::Receiving(receiving) = &mut self.state {
            self.since += receiving.pace.pause(pause, now);
        }
    }

    pub(super) fn read_body(
        &mut self,
        mut partial: Box<PartialBody>,
        input: &mut Input<'_>,
        config: &Config,
    ) -> Step<'static> {
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

    /// The next piece of a body that is handed on.
    pub(super) fn read_piece<'b>(
        &mut self,
        mut receiving: Box<Receiving>,
        input: &mut Input<'b>,
        config: &Config,
        now: Moment,
    ) -> Step<'b> {
        match receiving.decoder.next_piece(input.rest(), config) {
            Ok(piece) => {
                input.take(piece.framing_len);
                let content = input.take(piece.content_len);
                receiving.pace.receive(content.len(), now);
                self.state = if piece.is_last {
                    State::Answering(receiving.answering)
                } else {
                    State::Receiving(receiving)
                };
                Step::Body(content, piece.is_last)
            }
            Err(refused) => self.refuse(refused, receiving.answering.is_head_request),
        }
    }
}
