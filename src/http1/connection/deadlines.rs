//! How long a connection may take for what it is in the middle of.

use super::{Expiry, Http1Connection, State};
use crate::config::Config;
use crate::http::StatusCode;
use crate::http::pace::body_timeout;
use crate::http1::RefusedRequest;
use crate::moment::Moment;

pub(super) const HEAD_TOO_SLOW: RefusedRequest = RefusedRequest::new(
    StatusCode::REQUEST_TIMEOUT,
    "the header section took too long",
);
pub(super) const BODY_TOO_SLOW: RefusedRequest = RefusedRequest::new(
    StatusCode::REQUEST_TIMEOUT,
    "the request body came too slowly",
);

impl Http1Connection {
    /// When [`on_deadline`](Self::on_deadline) is to be called. It changes with each step; it
    /// is enough to ask for it again then.
    ///
    /// The deadline of an idle connection runs from its last response: if that is still
    /// waiting for the socket, the caller has a write deadline of its own.
    pub(crate) fn deadline(&self, config: &Config) -> Option<Moment> {
        let timeout = match &self.state {
            State::Idle if !self.is_new => config.keep_alive_timeout,
            State::Idle | State::Head(_) => config.header_timeout,
            State::Body(partial) => body_timeout(partial.request.body().len() as u64, config),
            State::Receiving(receiving) => receiving.pace.timeout(self.since, config)?,
            State::Announced(_)
            | State::Answering(_)
            | State::Refused(_)
            | State::Streaming(_)
            | State::Over => return None,
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
                self.expect_refusal(&partial.scan, &partial.bytes, partial.began);
                Expiry::Refuse(HEAD_TOO_SLOW)
            }
            State::Body(partial) => {
                self.expect_last_response(partial.answering.is_head_request);
                Expiry::Refuse(BODY_TOO_SLOW)
            }
            State::Receiving(receiving) => {
                self.expect_last_response(receiving.answering.is_head_request);
                Expiry::Refuse(BODY_TOO_SLOW)
            }
            // A connection that was opened in advance, or an empty line that nothing followed.
            State::Idle
            | State::Head(_)
            | State::Announced(_)
            | State::Answering(_)
            | State::Refused(_)
            | State::Streaming(_)
            | State::Over => Expiry::CloseIdle,
        }
    }

    /// Everything that was queued is written: the idle time of a connection runs from here, and
    /// not from when a long download began.
    pub(crate) fn drained(&mut self, now: Moment) {
        if matches!(self.state, State::Idle) && !self.is_new {
            self.since = now;
        }
    }
}
