//! Responses that are being sent in pieces: which there are, and the way of each to its client's queue.

use crate::app::hub::Hub;
use crate::client_id::ClientId;
use crate::http::remote_stream::Wake;
use crate::http::stream::{Later, Sink, WeakStream};
use crate::http::{ResponseStream, StreamError};
use crate::http1::message_body::{LAST_CHUNK, chunk_frame};
use crate::output::{Bytes, Output, Unit};
use rustc_hash::FxHashMap;
use std::cell::{Cell, RefCell};
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
    /// Bytes of the body that were queued, without the framing of chunks.
    body_bytes: Cell<u64>,
}

impl StreamSink {
    pub(crate) const fn new(hub: Rc<Hub>, client: ClientId, in_chunks: bool) -> Self {
        Self {
            hub,
            client,
            in_chunks,
            body_bytes: Cell::new(0),
        }
    }
}

impl StreamSink {
    fn push_to(&self, output: &mut Output, bytes: &[u8]) {
        let (slot, unit) = (self.client.slot(), Unit::default());
        let body_bytes = self.body_bytes.get() + bytes.len() as u64;
        self.body_bytes.set(body_bytes);
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

/// Responses that are being sent in pieces, by the slot of their client.
#[derive(Default)]
pub(crate) struct Streams {
    open: RefCell<FxHashMap<u32, OpenStream>>,
}

struct OpenStream {
    stream: ResponseStream,
    sink: Rc<StreamSink>,
}

impl Streams {
    pub(crate) fn insert(&self, slot: u32, stream: ResponseStream, sink: Rc<StreamSink>) {
        let open = OpenStream { stream, sink };
        self.open.borrow_mut().insert(slot, open);
    }

    /// The response that is sent in pieces to the client in `slot`, if one is.
    pub(crate) fn get(&self, slot: u32) -> Option<ResponseStream> {
        let streams = self.open.borrow();
        streams.get(&slot).map(|open| open.stream.clone())
    }

    /// Whether the client in `slot` is sent a response whose end only that of the connection tells.
    pub(crate) fn is_sent_until_close(&self, slot: u32) -> bool {
        let streams = self.open.borrow();
        !streams.is_empty() && streams.get(&slot).is_some_and(|open| !open.sink.in_chunks)
    }

    /// Forgets the one to that client. With it, how many bytes of its body were queued.
    pub(crate) fn take(&self, slot: u32) -> Option<(ResponseStream, u64)> {
        let mut streams = self.open.borrow_mut();
        if streams.is_empty() {
            return None; // as nearly always, and a hash is not for nothing
        }
        let open = streams.remove(&slot)?;
        Some((open.stream, open.sink.body_bytes.get()))
    }

    /// The slot of the client that `stream` is sent to.
    pub(crate) fn slot_of(&self, stream: &ResponseStream) -> Option<u32> {
        let streams = self.open.borrow();
        let mut entries = streams.iter();
        let entry = entries.find(|(_, open)| open.stream.is_same(stream));
        entry.map(|(slot, _)| *slot)
    }

    /// The slots of the clients that are sent one.
    pub(crate) fn slots(&self) -> Vec<u32> {
        self.open.borrow().keys().copied().collect()
    }

    /// All that there are.
    pub(crate) fn all(&self) -> Vec<ResponseStream> {
        let streams = self.open.borrow();
        streams.values().map(|open| open.stream.clone()).collect()
    }

    /// Forgets all of them.
    pub(crate) fn take_all(&self) -> Vec<ResponseStream> {
        let streams = self.open.take().into_values();
        streams.map(|open| open.stream).collect()
    }
}
