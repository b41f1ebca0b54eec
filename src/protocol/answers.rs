//! Answers on their way into a queue, and what is noted of them for whoever is told when they are over.

use super::{Context, Protocol};
use crate::access::Answer;
use crate::http::response::Content;
use crate::http::{ConnectionInfo, Response, StatusCode};
use crate::moment::Moment;
use crate::output::{Bytes, Unit};

impl Context<'_> {
    /// Notes that a response was queued, for whom and since when if nothing asked for it.
    #[inline(never)]
    pub(super) fn note_answer(
        &mut self,
        queued: Queued,
        unasked: Option<(&ConnectionInfo, Moment)>,
    ) {
        let answer = Answer {
            status: queued.status,
            body_bytes: queued.body_bytes,
            until: self.output.position(self.slot) + queued.pulled_bytes,
            unasked: unasked.map(|(info, since)| (info, since.as_nanos())),
        };
        self.access.answered(self.slot, answer);
    }
}

impl Protocol {
    /// Notes what is known of a request whose head is refused.
    #[inline(never)]
    pub(super) fn note_refused(&self, cx: &mut Context<'_>) {
        if let Self::Http1(connection, _) = self
            && let Some(head) = connection.refused_head()
        {
            let (info, began) = (connection.info(), connection.since().as_nanos());
            let line = (&head.method, &*head.target, head.version);
            cx.access.begin_refused(cx.slot, info, line, began);
        }
    }
}

/// What is noted of a response when it is queued.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queued {
    status: StatusCode,
    /// `None`: it comes later.
    body_bytes: Option<u64>,
    /// Bytes of it that no queue has yet.
    pulled_bytes: u64,
}

impl Queued {
    #[inline(never)]
    pub(super) fn of(response: &Response, send_body: bool) -> Self {
        let (body_bytes, pulled_bytes) = match response.content() {
            Content::Stream(_) if send_body => (None, 0),
            Content::Source { len, .. } if send_body => (Some(*len), *len),
            content if send_body => (Some(content.len()), 0),
            _ => (Some(0), 0),
        };
        Self {
            status: response.status(),
            body_bytes,
            pulled_bytes,
        }
    }
}

/// Queues what lies in `cx.head`, and the content of `response` behind it if that is to be sent and
/// does not come later.
#[inline]
pub(super) fn queue(response: &mut Response, send_body: bool, cx: &mut Context<'_>) {
    let content = if send_body {
        response.content()
    } else {
        &Content::Empty
    };
    let inline = if let Content::Shared(bytes) = content
        && Bytes::are_worth_sharing(bytes)
    {
        None
    } else {
        content.as_bytes()
    };
    let parts = Bytes::Parts(cx.head, inline.unwrap_or_default());
    cx.output.send(cx.slot, Unit::default(), parts);
    if inline.is_none() && !content.is_stream() {
        match response.take_content() {
            Content::Source { len, source } => cx.output.send_source(cx.slot, len, source),
            Content::Shared(bytes) => {
                let bytes = Bytes::Shared(&bytes);
                cx.output.send(cx.slot, Unit::default(), bytes);
            }
            _ => {}
        }
    }
}
