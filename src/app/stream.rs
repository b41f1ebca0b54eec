//! From a [`ResponseStream`] to its client's queue.

use crate::app::hub::Hub;
use crate::client_id::ClientId;
use crate::http::StreamError;
use crate::http::remote_stream::Wake;
use crate::http::stream::{Later, Sink, WeakStream};
use crate::http1::message_body::{LAST_CHUNK, chunk_frame};
use crate::output::{Bytes, Output, Unit};
use std::rc::Rc;
use std::time::Duration;

/// The way to the client whose response is being sent in pieces. Dead with that response: the
/// stream forgets it.
#[derive(Debug)]
pub(crate) struct StreamSink {
    hub: Rc<Hub>,
    client: ClientId,
    /// Else the body ends with the connection.
    in_chunks: bool,
}

impl StreamSink {
    pub(crate) const fn new(hub: Rc<Hub>, client: ClientId, in_chunks: bool) -> Self {
        Self {
            hub,
            client,
            in_chunks,
        }
    }
}

impl StreamSink {
    fn push_to(&self, output: &mut Output, bytes: &[u8]) {
        let (slot, unit) = (self.client.slot(), Unit::default());
        if self.in_chunks {
            let (before, behind) = chunk_frame(bytes.len());
            output.send(slot, unit, Bytes::Parts(before.as_bytes(), bytes));
            output.send(slot, unit, Bytes::Parts(behind.as_bytes(), b""));
        } else {
            output.send(slot, unit, Bytes::Parts(bytes, b""));
        }
    }
}

impl Sink for StreamSink {
    fn send(&self, bytes: &[u8]) -> Result<(), StreamError> {
        let mut output = self.hub.output.borrow_mut();
        let backlog = output.backlog_bytes(self.client.slot());
        if backlog > self.hub.max_stream_backlog_bytes as u64 {
            return Err(StreamError::Full);
        }
        self.push_to(&mut output, bytes);
        Ok(())
    }

    fn push(&self, bytes: &[u8]) {
        self.push_to(&mut self.hub.output.borrow_mut(), bytes);
    }

    fn backlog_bytes(&self) -> u64 {
        self.hub.output.borrow().backlog_bytes(self.client.slot())
    }

    fn end(&self) {
        if self.in_chunks {
            let last = Bytes::Parts(LAST_CHUNK, b"");
            let mut output = self.hub.output.borrow_mut();
            output.send(self.client.slot(), Unit::default(), last);
        }
        self.hub.end_stream(self.client);
    }

    fn cut(&self) {
        self.hub.cut_stream(self.client);
    }

    fn wake(&self) -> Wake {
        self.hub.stream_waker(self.client)
    }

    fn after(&self, delay: Duration, stream: WeakStream, later: Later) -> Option<u32> {
        self.hub.stream_after(delay, stream, later)
    }

    fn cancel(&self, call: u32) -> Option<Later> {
        self.hub.schedule.borrow_mut().cancel_call(call)
    }
}
