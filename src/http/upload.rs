//! A request body that is handed on while it comes, and how its flow is held back.

use super::{Request, Response};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Takes the body of one request piece by piece; made for each by [`upload`](crate::upload).
///
/// Methods run on the event loop's thread: none may block for long. A panic is answered with 500, and
/// if there is more of the body to come, the connection ends; nobody else's.
pub trait BodyHandler: 'static {
    /// The next bytes, at least one. They borrow the server's buffer.
    ///
    /// To refuse the rest, start `response`: it is sent and the connection ends, and nothing else is
    /// called.
    fn on_data(&mut self, bytes: &[u8], response: &mut Response);

    /// All of it has come: answers the request, which has no body of its own. A response that is
    /// not started is a 204.
    fn on_end(self: Box<Self>, request: &mut Request, response: &mut Response);

    /// It will not come: the client left, was too slow, broke the framing or passed the limit, or
    /// the server stops.
    fn on_abort(self: Box<Self>) {}
}

/// How the body of a request is taken, as its responder says.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BodyPlan {
    /// Most bytes of content, if not as many as the configuration says. Beyond it: 413.
    pub max_bytes: Option<u64>,
    /// Whether the responder is asked before the body, which follows in pieces.
    pub in_pieces: bool,
}

impl BodyPlan {
    /// The same, with so many bytes if it says nothing of them.
    pub(crate) fn or_at_most(self, max_bytes: u64) -> Self {
        Self {
            max_bytes: self.max_bytes.or(Some(max_bytes)),
            ..self
        }
    }
}

/// Holds the body of one request back, from any thread: while it is paused nothing is read from
/// the client's socket, so that TCP slows the client down. The time does not count as the client's.
///
/// From [`Request::body_flow`].
#[derive(Clone)]
pub struct BodyFlow {
    shared: Arc<Shared>,
}

struct Shared {
    is_paused: AtomicBool,
    /// Makes the loop look at it.
    wake: Box<dyn Fn() + Send + Sync>,
}

impl BodyFlow {
    /// Not paused; `wake` makes the loop look at it again.
    pub(crate) fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            shared: Arc::new(Shared {
                is_paused: AtomicBool::new(false),
                wake: Box::new(wake),
            }),
        }
    }

    /// Hands on no more after what [`on_data`](BodyHandler::on_data) is being given. On another
    /// thread: after what it is given next, at the latest.
    pub fn pause(&self) {
        self.shared.is_paused.store(true, Ordering::Release);
    }

    /// Goes on.
    pub fn resume(&self) {
        if self.shared.is_paused.swap(false, Ordering::AcqRel) {
            (self.shared.wake)();
        }
    }

    /// Whether it is paused.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.shared.is_paused.load(Ordering::Acquire)
    }
}

impl fmt::Debug for BodyFlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyFlow")
            .field("is_paused", &self.is_paused())
            .finish()
    }
}

/// What a request has whose body follows in pieces.
pub(crate) struct Incoming {
    pub(crate) flow: BodyFlow,
    /// Who takes them, once somebody said so.
    pub(crate) handler: Option<Box<dyn BodyHandler>>,
    /// Who is to see the answer, in this order.
    pub(crate) witnesses: Vec<Witness>,
}

/// Sees the answer to a request that is not given at once.
pub(crate) type Witness = Box<dyn FnOnce(&Request, &mut Response)>;

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming")
            .field("flow", &self.flow)
            .field("is_taken", &self.handler.is_some())
            .finish_non_exhaustive()
    }
}
