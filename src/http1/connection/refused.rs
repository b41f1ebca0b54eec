//! What is known of a request whose head is refused: who is told of requests is told of it, too.

use super::{Answering, Http1Connection, State};
use crate::http::{Method, Version};
use crate::http1::request_head::HeadScan;
use crate::moment::Moment;

/// The first line of a request whose head is refused.
#[derive(Debug)]
pub(crate) struct RefusedHead {
    pub(crate) method: Method,
    pub(crate) target: Box<str>,
    pub(crate) version: Version,
}

impl Http1Connection {
    /// The head that begins with `bytes` is refused, which began then.
    pub(super) fn expect_refusal(&mut self, scan: &HeadScan, bytes: &[u8], began: Moment) {
        self.since = began;
        self.state = match scan.request_line(bytes) {
            Some((method, target, version)) => State::Refused(Box::new(RefusedHead {
                method: method.clone(),
                target: target.into(),
                version,
            })),
            None => State::Answering(Answering::last(false)),
        };
    }

    /// What is known of the request whose refusal is due.
    pub(crate) fn refused_head(&self) -> Option<&RefusedHead> {
        match &self.state {
            State::Refused(head) => Some(head),
            _ => None,
        }
    }
}
