//! Responders that say how the body of their requests is taken: piece by piece, or up to another
//! length.

use crate::app::handler::Responder;
use crate::http::{BodyHandler, BodyPlan, Request, Response};
use std::any::Any;
use std::fmt;

/// Longest body that is taken in pieces, in bytes, if the route says nothing else.
const DEFAULT_MAX_BYTES: u64 = 1 << 30;

/// Makes a responder that is asked when the head of a request is there, and takes the body piece
/// by piece: uploads that need not fit in memory.
///
/// `begin` returns who takes the body, or nothing: then the response that it started is sent and
/// the connection ends, without the body having been read. (Of a request without a body nothing is
/// to be read, and the connection lives on.) Responders that a host asks before this one find the
/// request without its body; in a router, the first route that matches says how it is taken. A client that waits for a 100 (RFC 9110
/// section 10.1.1) is told to go on only when it was accepted.
///
/// ```
/// use aerys::{BodyHandler, Request, Response, Router, upload};
///
/// struct Count(u64);
///
/// impl BodyHandler for Count {
///     fn on_data(&mut self, bytes: &[u8], _: &mut Response) {
///         self.0 += bytes.len() as u64;
///     }
///     fn on_end(self: Box<Self>, _: &mut Request, response: &mut Response) {
///         response.end(format!("{} bytes\n", self.0));
///     }
/// }
///
/// let router = Router::new().post("/count", upload(|_, _| Some(Count(0))).max_bytes(8 << 30));
/// ```
pub fn upload<F, H>(begin: F) -> Upload<F>
where
    F: FnMut(&mut Request, &mut Response) -> Option<H> + 'static,
    H: BodyHandler,
{
    Upload {
        begin,
        max_bytes: DEFAULT_MAX_BYTES,
    }
}

/// A responder that takes bodies in pieces; made by [`upload`].
pub struct Upload<F> {
    begin: F,
    max_bytes: u64,
}

impl<F> Upload<F> {
    /// Sets the longest body, in bytes, framing removed. Default 1 GiB. Beyond it: 413, at once if
    /// the request says its length.
    #[must_use]
    pub const fn max_bytes(mut self, max_bytes: u64) -> Self {
        self.max_bytes = max_bytes;
        self
    }
}

impl<F, H> Responder for Upload<F>
where
    F: FnMut(&mut Request, &mut Response) -> Option<H> + 'static,
    H: BodyHandler,
{
    fn respond(&mut self, request: &mut Request, response: &mut Response) {
        let Some(handler) = (self.begin)(request, response) else {
            return;
        };
        let handler = Box::new(handler);
        if request.is_incoming() {
            request.receive(handler);
        } else {
            // It has no body, or had it read as a whole since a wrapper asked for that.
            let mut handler = handler;
            let body = request.take_body();
            if !body.is_empty() {
                handler.on_data(&body, response);
            }
            if response.is_started() {
                handler.on_abort();
            } else {
                end(handler, request, response);
            }
        }
    }

    fn body_plan(&self, _: &Request) -> Option<BodyPlan> {
        Some(BodyPlan {
            max_bytes: Some(self.max_bytes),
            in_pieces: true,
        })
    }
}

/// Lets a handler answer; its silence is a 204.
pub(crate) fn end(handler: Box<dyn BodyHandler>, request: &mut Request, response: &mut Response) {
    handler.on_end(request, response);
    if !response.is_started() {
        response.set_status(204);
    }
}

impl<F> fmt::Debug for Upload<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload")
            .field("max_bytes", &self.max_bytes)
            .finish_non_exhaustive()
    }
}

/// Makes `responder` take whole bodies of up to `max_bytes` bytes in place of
/// [`max_body_bytes`](crate::Config::max_body_bytes).
///
/// ```
/// use aerys::{Request, Response, Router, body_limit};
/// let save = |request: &mut Request, response: &mut Response| {
///     response.end(format!("{} bytes", request.body().len()));
/// };
/// let router = Router::new().post("/images", body_limit(8 << 20, save));
/// ```
pub const fn body_limit<R: Responder>(max_bytes: usize, responder: R) -> BodyLimit<R> {
    BodyLimit {
        max_bytes,
        responder,
    }
}

/// A responder with its own limit of bodies; made by [`body_limit`].
pub struct BodyLimit<R> {
    max_bytes: usize,
    responder: R,
}

impl<R: Responder> Responder for BodyLimit<R> {
    fn respond(&mut self, request: &mut Request, response: &mut Response) {
        self.responder.respond(request, response);
    }

    fn visit_endpoints(&self, visit: &mut dyn FnMut(&dyn Any)) {
        self.responder.visit_endpoints(visit);
    }

    fn body_plan(&self, _: &Request) -> Option<BodyPlan> {
        Some(BodyPlan {
            max_bytes: Some(self.max_bytes as u64),
            in_pieces: false,
        })
    }
}

impl<R> fmt::Debug for BodyLimit<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyLimit")
            .field("max_bytes", &self.max_bytes)
            .finish_non_exhaustive()
    }
}
