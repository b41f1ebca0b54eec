//! A response body that the application sends piece by piece, also long after the request.

use super::remote_stream::{Ending, RemoteQueue, RemoteStream, Wake};
use crate::panics::bury;
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
    /// Queues bytes, if there is room.
    fn send(&self, bytes: &[u8]) -> Result<(), StreamError>;
    /// Queues what was taken before.
    fn push(&self, bytes: &[u8]);
    fn backlog_bytes(&self) -> u64;
    /// All is sent: the loop is to end the response.
    fn end(&self);
    /// The loop is to cut the connection.
    fn cut(&self);
    /// Has `later` called; its number, if there is room for it.
    fn after(&self, delay: Duration, stream: WeakStream, later: Later) -> Option<u32>;
    /// Takes back what was to be called later.
    fn cancel(&self, call: u32) -> Option<Later>;
    /// What makes the loop look at what other threads sent.
    fn wake(&self) -> Wake;
}

struct Shared {
    state: RefCell<State>,
    /// Something was refused as too much, and nobody has been told since that there is room.
    is_refused: Cell<bool>,
    callbacks: RefCell<Callbacks>,
    /// Numbers of calls that are due later.
    calls: RefCell<Vec<u32>>,
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
        let sink = match &mut *self.shared.state.borrow_mut() {
            State::Early(early) => {
                if !early.is_ended {
                    early.is_ended = true;
                    early.bytes.extend(self.close_remote());
                }
                return;
            }
            State::Open(sink) => Rc::clone(sink),
            State::Over => return,
        };
        let rest = self.close_remote();
        if !rest.is_empty() {
            sink.push(&rest);
        }
        self.shared.state.replace(State::Over);
        sink.end();
        self.forget(Some(&*sink));
    }

    /// Cuts the connection, so that the client cannot take what it has for the whole: something went
    /// wrong. Of no effect on a stream that is over.
    pub fn cut(&self) {
        let old = match &*self.shared.state.borrow() {
            State::Early(early) if early.is_ended => return,
            State::Early(_) => None,
            State::Open(sink) => Some(Rc::clone(sink)),
            State::Over => return,
        };
        let early = self.shared.state.replace(State::Over);
        if let Some(sink) = &old {
            sink.cut();
        }
        self.forget(old.as_deref());
        bury(early);
    }

    /// The same for other threads.
    #[must_use]
    pub fn remote(&self) -> RemoteStream {
        let queue = self.shared.remote.get_or_init(|| {
            let queue = Arc::new(RemoteQueue::default());
            match &*self.shared.state.borrow() {
                State::Open(sink) => queue.attach(sink.wake()),
                State::Early(early) if !early.is_ended => {}
                State::Early(_) | State::Over => _ = queue.close(),
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
        let call = Box::new(call) as _;
        self.set(|callbacks| &mut callbacks.drain, call);
    }

    /// Sets what is called once if the stream is over before it was ended or cut: the client left
    /// (also by shutting down its sending side), or took nothing for
    /// [`write_timeout`](crate::Config::write_timeout); or nothing can be sent to it, since the
    /// request was a HEAD, the status has no body, or another response took its place.
    pub fn on_close(&self, call: impl FnOnce() + 'static) {
        let call = Box::new(call) as _;
        self.set(|callbacks| &mut callbacks.close, call);
    }

    /// Sets what is called once when the server begins to stop, or at once if it is stopping when the
    /// stream begins: a stream that is not ended within
    /// [`stop_timeout`](crate::Config::stop_timeout) is cut.
    pub fn on_stop(&self, call: impl FnOnce(&Self) + 'static) {
        let call = Box::new(call) as _;
        self.set(|callbacks| &mut callbacks.stop, call);
    }

    /// Calls `later` when `delay` is over, if the stream is open then. Over the limit
    /// [`max_timers`](crate::Config::max_timers): dropped with a warning.
    pub fn after(&self, delay: Duration, later: impl FnOnce(&Self) + 'static) {
        let sink = match &mut *self.shared.state.borrow_mut() {
            State::Early(early) if !early.is_ended => {
                return early.timers.push((delay, Box::new(later)));
            }
            State::Open(sink) => Some(Rc::clone(sink)),
            State::Early(_) | State::Over => None,
        };
        if let Some(sink) = sink {
            self.call_later(&*sink, delay, Box::new(later));
        } // else dropped here, when nothing is borrowed
    }

    fn call_later(&self, sink: &dyn Sink, delay: Duration, later: Later) {
        let call = sink.after(delay, self.downgrade(), later);
        self.shared.calls.borrow_mut().extend(call);
    }

    /// Replaces a callback. What it was is dropped when nothing is borrowed: a drop is code of the
    /// application, too.
    fn set<C>(&self, place: impl FnOnce(&mut Callbacks) -> &mut Option<C>, call: C) {
        let old = if self.is_open() {
            place(&mut self.shared.callbacks.borrow_mut()).replace(call)
        } else {
            Some(call) // it would never be called, and may hold this very stream
        };
        drop(old);
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
                calls: RefCell::default(),
                remote: OnceCell::new(),
            }),
        }
    }

    /// All of the body, if it was ended before its head is queued.
    pub(crate) fn take_whole(&self) -> Option<Vec<u8>> {
        let mut state = self.shared.state.borrow_mut();
        if !matches!(&*state, State::Early(early) if early.is_ended) {
            return None;
        }
        let old = std::mem::replace(&mut *state, State::Over);
        drop(state);
        let State::Early(Early { bytes, timers, .. }) = old else {
            return None;
        };
        bury(timers);
        self.forget(None);
        Some(bytes)
    }

    /// The head is queued: `sink` leads to the client from now on. Whether the stream is still open.
    pub(crate) fn attach(&self, sink: &Rc<dyn Sink>) -> bool {
        let mut state = self.shared.state.borrow_mut();
        let State::Early(early) = &mut *state else {
            return false;
        };
        let early = std::mem::take(early);
        *state = State::Open(Rc::clone(sink));
        drop(state);
        if !early.bytes.is_empty() {
            // Taken already, whatever waits before it.
            sink.push(&early.bytes);
        }
        for (delay, later) in early.timers {
            self.call_later(&**sink, delay, later);
        }
        if let Some(remote) = self.shared.remote.get() {
            remote.attach(sink.wake());
            self.take_in();
        }
        true
    }

    /// Sends what other threads did, as far as there is room.
    pub(crate) fn take_in(&self) {
        let asked = self.shared.remote.get();
        match asked.and_then(|remote| remote.drain(|bytes| self.send(bytes).is_ok())) {
            Some(Ending::End) => self.end(),
            Some(Ending::Cut) => self.cut(),
            None => {}
        }
    }

    /// The response cannot be sent in pieces, or not any more. What is to be called.
    pub(crate) fn close(&self) -> Option<Box<dyn FnOnce()>> {
        let old = self.shared.state.replace(State::Over);
        let close = self.shared.callbacks.borrow_mut().close.take();
        let was_open = match &old {
            State::Early(early) => !early.is_ended,
            State::Open(_) => true,
            State::Over => false,
        };
        self.forget(match &old {
            State::Open(sink) => Some(&**sink),
            _ => None,
        });
        bury(old);
        if was_open {
            return close;
        }
        bury(close);
        None
    }

    /// Whether its head was never queued.
    pub(crate) fn is_early(&self) -> bool {
        matches!(&*self.shared.state.borrow(), State::Early(_))
    }

    /// The call of that number is due.
    pub(crate) fn note_due(&self, call: u32) {
        self.shared.calls.borrow_mut().retain(|due| *due != call);
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
            let has_another = self.shared.callbacks.borrow().drain.is_some();
            if has_another || !self.is_open() {
                bury(drain);
            } else {
                self.shared.callbacks.borrow_mut().drain = Some(drain);
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
    fn forget(&self, sink: Option<&dyn Sink>) {
        self.close_remote();
        for call in self.shared.calls.take() {
            bury(sink.and_then(|sink| sink.cancel(call)));
        }
        // Taken first: a drop is code of the application, and nothing may be borrowed.
        let callbacks = self.shared.callbacks.take();
        bury(callbacks.drain);
        bury(callbacks.close);
        bury(callbacks.stop);
    }

    /// Takes nothing more of other threads; what they sent and was not taken in.
    fn close_remote(&self) -> Vec<u8> {
        let remote = self.shared.remote.get();
        remote.map_or_else(Vec::new, |remote| remote.close())
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
