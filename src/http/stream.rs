//! A response body that the application sends piece by piece, also long after the request.

use super::remote_stream::{RemoteQueue, RemoteStream, Wake};
use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

/// Bytes that wait for the head of their response, above which a stream is full.
const MAX_EARLY_BYTES: usize = 64 * 1024;

/// The sending side of a response whose body comes in pieces: [`Response::stream`].
///
/// A cheap clone, for use on the server's thread: kept by a handler, it is sent to from any of its
/// callbacks, from other requests, and from [`after`](Self::after). Dropping it changes nothing: a
/// stream is over when it is [ended](Self::end), or when the client leaves.
///
/// ```
/// use aerys::{Request, Response};
/// use std::time::Duration;
/// fn events(_: &mut Request, response: &mut Response) {
///     response.set_header("Content-Type", "text/event-stream");
///     let events = response.stream();
///     let _ = events.send("data: hello\n\n");
///     events.after(Duration::from_secs(1), |events| {
///         let _ = events.send("data: a second later\n\n");
///         events.end();
///     });
/// }
/// ```
///
/// [`Response::stream`]: crate::Response::stream
#[derive(Clone)]
pub struct ResponseStream {
    shared: Rc<Shared>,
}

/// Why bytes were not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamError {
    /// More than [`max_stream_backlog_bytes`](crate::Config::max_stream_backlog_bytes) wait for
    /// the client: [`on_drain`](ResponseStream::on_drain) says when to go on.
    Full,
    /// The stream was ended, or its client left.
    Closed,
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "too many bytes wait for the client",
            Self::Closed => "the stream is over",
        })
    }
}

impl std::error::Error for StreamError {}

/// What is to be done later with a stream that is open then.
pub(crate) type Later = Box<dyn FnOnce(&ResponseStream)>;
/// What is done each time that there is room again.
type Drain = Box<dyn FnMut(&ResponseStream)>;

/// The way from a stream to its client's socket.
pub(crate) trait Sink {
    fn send(&self, bytes: &[u8]) -> Result<(), StreamError>;
    fn backlog_bytes(&self) -> u64;
    /// All is sent: the loop is to end the response.
    fn end(&self);
    fn after(&self, delay: Duration, stream: WeakStream, later: Later);
    /// What makes the loop look at what other threads sent.
    fn wake(&self) -> Wake;
}

struct Shared {
    state: RefCell<State>,
    /// Something was refused as too much, and nobody has been told since that there is room.
    is_refused: Cell<bool>,
    callbacks: RefCell<Callbacks>,
    /// What other threads sent, if there is a way for them.
    remote: OnceCell<Arc<RemoteQueue>>,
}

#[derive(Default)]
struct Callbacks {
    drain: Option<Drain>,
    close: Option<Box<dyn FnOnce()>>,
    stop: Option<Later>,
}

enum State {
    /// The head is not queued yet.
    Early(Early),
    Open(Rc<dyn Sink>),
    /// Ended, or left.
    Over,
}

/// What waits for the head.
#[derive(Default)]
struct Early {
    bytes: Vec<u8>,
    is_ended: bool,
    timers: Vec<(Duration, Later)>,
}

/// A stream, if somebody still has it.
pub(crate) struct WeakStream(Weak<Shared>);

impl WeakStream {
    /// The stream, if it is still open.
    pub(crate) fn open(&self) -> Option<ResponseStream> {
        let stream = ResponseStream {
            shared: self.0.upgrade()?,
        };
        stream.is_open().then_some(stream)
    }
}

/// For handlers.
impl ResponseStream {
    /// Queues bytes, each time as a chunk (RFC 9112 section 7.1) to a client that speaks HTTP/1.1.
    /// Nothing is queued if there are none.
    ///
    /// # Errors
    ///
    /// [`StreamError`], and nothing of it is queued. Judged before, so that one piece of any size
    /// fits.
    pub fn send(&self, bytes: impl AsRef<[u8]>) -> Result<(), StreamError> {
        let bytes = bytes.as_ref();
        let mut state = self.shared.state.borrow_mut();
        let result = match &mut *state {
            State::Early(early) if early.is_ended => Err(StreamError::Closed),
            State::Early(early) if early.bytes.len() > MAX_EARLY_BYTES => Err(StreamError::Full),
            State::Early(early) => {
                early.bytes.extend_from_slice(bytes);
                Ok(())
            }
            State::Open(_) if bytes.is_empty() => Ok(()), // an empty chunk would be the last
            State::Open(sink) => sink.send(bytes),
            State::Over => Err(StreamError::Closed),
        };
        if result == Err(StreamError::Full) {
            self.shared.is_refused.set(true);
        }
        result
    }

    /// Ends the response: what was sent still goes out. Of no effect on one that is over.
    pub fn end(&self) {
        let mut state = self.shared.state.borrow_mut();
        match &mut *state {
            State::Early(early) => early.is_ended = true,
            State::Open(sink) => {
                let sink = Rc::clone(sink);
                *state = State::Over;
                drop(state);
                sink.end();
                self.forget();
            }
            State::Over => {}
        }
    }

    /// The same for other threads.
    #[must_use]
    pub fn remote(&self) -> RemoteStream {
        let queue = self.shared.remote.get_or_init(|| {
            let queue = Arc::new(RemoteQueue::default());
            match &*self.shared.state.borrow() {
                State::Open(sink) => queue.attach(sink.wake()),
                State::Early(early) if !early.is_ended => {}
                State::Early(_) | State::Over => queue.close(),
            }
            queue
        });
        RemoteStream::new(Arc::clone(queue))
    }

    /// Whether the client is there and the stream was not ended.
    #[must_use]
    pub fn is_open(&self) -> bool {
        match &*self.shared.state.borrow() {
            State::Early(early) => !early.is_ended,
            State::Open(_) => true,
            State::Over => false,
        }
    }

    /// Bytes that wait for the client, framing included.
    #[must_use]
    pub fn backlog_bytes(&self) -> u64 {
        match &*self.shared.state.borrow() {
            State::Early(early) => early.bytes.len() as u64,
            State::Open(sink) => sink.backlog_bytes(),
            State::Over => 0,
        }
    }

    /// Sets what is called when [`send`](Self::send) said [`Full`](StreamError::Full) and the
    /// backlog is below [`soft_backlog_bytes`](crate::Config::soft_backlog_bytes) again.
    pub fn on_drain(&self, call: impl FnMut(&Self) + 'static) {
        self.shared.callbacks.borrow_mut().drain = Some(Box::new(call));
    }

    /// Sets what is called once if the client leaves before the stream is ended, also by shutting
    /// down its sending side, or takes nothing for
    /// [`write_timeout`](crate::Config::write_timeout); never after [`end`](Self::end).
    pub fn on_close(&self, call: impl FnOnce() + 'static) {
        self.shared.callbacks.borrow_mut().close = Some(Box::new(call));
    }

    /// Sets what is called once when the server begins to stop: a stream that is not ended within
    /// [`stop_timeout`](crate::Config::stop_timeout) is cut.
    pub fn on_stop(&self, call: impl FnOnce(&Self) + 'static) {
        self.shared.callbacks.borrow_mut().stop = Some(Box::new(call));
    }

    /// Calls `later` when `delay` is over, if the stream is open then. Over the limit
    /// [`max_timers`](crate::Config::max_timers): dropped with a warning.
    pub fn after(&self, delay: Duration, later: impl FnOnce(&Self) + 'static) {
        let sink = match &mut *self.shared.state.borrow_mut() {
            State::Early(early) => return early.timers.push((delay, Box::new(later))),
            State::Open(sink) => Rc::clone(sink),
            State::Over => return,
        };
        // Dropped over a limit, and a drop is code of the application: nothing is borrowed.
        sink.after(delay, self.downgrade(), Box::new(later));
    }
}

/// For the server.
impl ResponseStream {
    /// Of a response whose head is not queued yet.
    pub(crate) fn new() -> Self {
        Self {
            shared: Rc::new(Shared {
                state: RefCell::new(State::Early(Early::default())),
                is_refused: Cell::new(false),
                callbacks: RefCell::default(),
                remote: OnceCell::new(),
            }),
        }
    }

    /// All of the body, if it was ended before its head is queued.
    pub(crate) fn take_whole(&self) -> Option<Vec<u8>> {
        let mut state = self.shared.state.borrow_mut();
        let State::Early(early) = &mut *state else {
            return None;
        };
        if !early.is_ended {
            return None;
        }
        let bytes = std::mem::take(&mut early.bytes);
        *state = State::Over;
        drop(state);
        self.forget();
        Some(bytes)
    }

    /// The head is queued: `sink` leads to the client from now on.
    pub(crate) fn attach(&self, sink: &Rc<dyn Sink>) {
        let early = {
            let mut state = self.shared.state.borrow_mut();
            let State::Early(early) = &mut *state else {
                return;
            };
            let early = std::mem::take(early);
            *state = State::Open(Rc::clone(sink));
            early
        };
        if !early.bytes.is_empty() {
            // It is the first: there is room.
            let _ = sink.send(&early.bytes);
        }
        for (delay, later) in early.timers {
            sink.after(delay, self.downgrade(), later);
        }
        if let Some(remote) = self.shared.remote.get() {
            remote.attach(sink.wake());
            self.take_in();
        }
    }

    /// Sends what other threads did, as far as there is room.
    pub(crate) fn take_in(&self) {
        if let Some(remote) = self.shared.remote.get()
            && remote.drain(|bytes| self.send(bytes).is_ok())
        {
            self.end();
        }
    }

    /// The response cannot be sent in pieces, or not any more. What is to be called.
    pub(crate) fn close(&self) -> Option<Box<dyn FnOnce()>> {
        let was_over = matches!(
            self.shared.state.replace(State::Over),
            State::Over | State::Early(Early { is_ended: true, .. })
        );
        let close = self.shared.callbacks.borrow_mut().close.take();
        self.forget();
        close.filter(|_| !was_over)
    }

    /// Whether it is the same stream.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.shared, &other.shared)
    }

    /// There is room again. Whether somebody was refused before and is to be told.
    pub(crate) fn take_refused(&self) -> bool {
        self.shared.is_refused.take()
    }

    /// Calls what was set for a drain.
    pub(crate) fn drained(&self) {
        let drain = self.shared.callbacks.borrow_mut().drain.take();
        if let Some(mut drain) = drain {
            drain(self);
            // Unless it set another, or the stream is over.
            if self.is_open() {
                self.shared
                    .callbacks
                    .borrow_mut()
                    .drain
                    .get_or_insert(drain);
            }
        }
    }

    /// Calls what was set for a stop.
    pub(crate) fn stopped(&self) {
        let stop = self.shared.callbacks.borrow_mut().stop.take();
        if let Some(stop) = stop {
            stop(self);
        }
    }

    /// It is over. What callbacks hold may be this very stream.
    fn forget(&self) {
        // Dropped when nothing is borrowed: a drop is code of the application, too.
        let callbacks = self.shared.callbacks.take();
        drop(callbacks);
        if let Some(remote) = self.shared.remote.get() {
            remote.close();
        }
    }

    fn downgrade(&self) -> WeakStream {
        WeakStream(Rc::downgrade(&self.shared))
    }
}

impl fmt::Debug for ResponseStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseStream")
            .field("is_open", &self.is_open())
            .field("backlog_bytes", &self.backlog_bytes())
            .finish()
    }
}
