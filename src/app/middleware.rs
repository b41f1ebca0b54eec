//! What stands around responders: who sees a request before them and the answer after them.
//!
//! [`ask_within`] is the one place that calls middleware: its order, and what a panic or a mistake
//! in it means, is decided there. A host without middleware has nothing of this.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use crate::app::handler::{Responder, ask_each, first_plan, visit_each};
use crate::app::websocket::AnyApplication;
use crate::app::{failed, not_found};
use crate::http::{BodyPlan, Request, Response, StatusCode};
use crate::panics;

pub(crate) mod basic_auth;
pub(crate) mod cors;
pub(crate) mod request_id;
pub(crate) mod security_headers;

/// Sees the requests of a host or a router before its responders do, and the answers after them.
///
/// Several stand around each other like the layers of an onion: [`before`](Self::before) is called
/// in the order in which they were [added](crate::Host::middleware), [`after`](Self::after) in the
/// reverse order, those of a [host](crate::Host::middleware) around those of a
/// [router](crate::Router::middleware) in it. `after` is called for each whose `before` returned,
/// and for no other: who answers in `before` sees that answer too, those added behind it do not.
///
/// Opening handshakes of WebSocket clients are requests like all others: `before` refuses one with any
/// status, and what `after` sets on the 101 goes out with it. It cannot break one, though: another
/// status, a body, or a change of the handshake's own fields (`Upgrade`, `Sec-WebSocket-*`) in
/// `after` is answered 500, and nobody is let in.
///
/// What the server refuses before it is a request (400, 408, 413, 431 and the like), or since it stops
/// (503), is shown to nobody. Of a request whose body is taken [in pieces](crate::upload), `before`
/// sees the head and `after` the answer at the end; if the body fails, a 400 in place of what
/// the client is told. A panic, and a response that cannot be sent, is logged and answered 500; the others'
/// `after` see that. Like handlers, middleware must not block.
///
/// ```
/// use aerys::{Host, Middleware, Request, Response};
///
/// /// Refuses whoever does not know the word.
/// struct Password(&'static str);
///
/// impl Middleware for Password {
///     fn before(&mut self, request: &mut Request, response: &mut Response) {
///         if request.header("X-Password") != Some(self.0) {
///             response.set_status(403).end("not you");
///         }
///     }
/// }
///
/// let host = Host::new().middleware(Password("sesame"));
/// ```
pub trait Middleware: 'static {
    /// Before any responder. A response that it starts is the answer, and nobody else is asked.
    ///
    /// What it learned it can [keep](Request::set) in the request. Fields that it sets on a
    /// response which it does not start are sent only if the responder does not begin anew, as a
    /// handshake and the server's own errors do: those for every answer are set in `after`.
    fn before(&mut self, request: &mut Request, response: &mut Response) {
        let _ = (request, response);
    }

    /// The answer, whoever gave it (the server's own 404 and 500 are among them), before it is
    /// sent. All of it may be changed, but of a 101 only fields that are not the handshake's.
    ///
    /// Around a router whose routes all kept silent, nobody [started](Response::is_started) it:
    /// the host's next responder is asked, and finds the fields that were set.
    fn after(&mut self, request: &Request, response: &mut Response) {
        let _ = (request, response);
    }
}

impl Middleware for Box<dyn Middleware> {
    fn before(&mut self, request: &mut Request, response: &mut Response) {
        (**self).before(request, response);
    }

    fn after(&mut self, request: &Request, response: &mut Response) {
        (**self).after(request, response);
    }
}

/// Makes a middleware of a closure that is called [before](Middleware::before) the responders.
///
/// ```
/// use aerys::{Host, StatusCode, middleware::before};
/// let host = Host::new().middleware(before(|request, response| {
///     if request.path().starts_with("/internal/") {
///         response.set_status(StatusCode::FORBIDDEN);
///     }
/// }));
/// ```
pub const fn before<F>(closure: F) -> Before<F>
where
    F: FnMut(&mut Request, &mut Response) + 'static,
{
    Before(closure)
}

/// Makes a middleware of a closure that is called [after](Middleware::after) the responders.
///
/// ```
/// use aerys::{Host, middleware::after};
/// let host = Host::new().middleware(after(|_, response| {
///     response.set_header("Server", "aerys");
/// }));
/// ```
pub const fn after<F>(closure: F) -> After<F>
where
    F: FnMut(&Request, &mut Response) + 'static,
{
    After(closure)
}

/// A closure as a middleware; made by [`before`].
pub struct Before<F>(F);

/// A closure as a middleware; made by [`after`].
pub struct After<F>(F);

impl<F: FnMut(&mut Request, &mut Response) + 'static> Middleware for Before<F> {
    fn before(&mut self, request: &mut Request, response: &mut Response) {
        (self.0)(request, response);
    }
}

impl<F: FnMut(&Request, &mut Response) + 'static> Middleware for After<F> {
    fn after(&mut self, request: &Request, response: &mut Response) {
        (self.0)(request, response);
    }
}

impl<F> fmt::Debug for Before<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Before").finish_non_exhaustive()
    }
}

impl<F> fmt::Debug for After<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("After").finish_non_exhaustive()
    }
}

/// Middleware around the same responders, the outermost first. Shared with the requests whose bodies
/// come in pieces, and which are answered later.
#[derive(Clone, Default)]
pub(crate) struct Layers(Rc<RefCell<Vec<Box<dyn Middleware>>>>);

impl Layers {
    pub(crate) fn push(&self, middleware: impl Middleware) {
        self.0.borrow_mut().push(Box::new(middleware));
    }

    pub(crate) fn len(&self) -> usize {
        self.0.borrow().len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }
}

/// The responders of a host that has middleware, as one that always answers.
pub(crate) struct Surrounded {
    middleware: Layers,
    responders: Vec<Box<dyn Responder>>,
}

impl Surrounded {
    pub(crate) const fn new(middleware: Layers, responders: Vec<Box<dyn Responder>>) -> Self {
        Self {
            middleware,
            responders,
        }
    }
}

impl Responder for Surrounded {
    fn respond(&mut self, request: &mut Request, response: &mut Response) {
        let Self {
            middleware,
            responders,
        } = self;
        ask_within(
            middleware,
            responders,
            request,
            response,
            |responders, request, response| {
                if !ask_each(responders, request, response) {
                    *response = not_found(response);
                }
            },
        );
    }

    fn visit_endpoints(&self, visit: &mut dyn FnMut(&dyn Any)) {
        visit_each(&self.responders, visit);
    }

    fn body_plan(&self, request: &Request) -> Option<BodyPlan> {
        first_plan(&self.responders, request)
    }
}

/// Calls `ask` for `responders` with `layers` around it: the first is the outermost. Nothing unwinds
/// from here.
pub(crate) fn ask_within(
    layers: &Layers,
    responders: &mut [Box<dyn Responder>],
    request: &mut Request,
    response: &mut Response,
    ask: impl FnOnce(&mut [Box<dyn Responder>], &mut Request, &mut Response),
) {
    let let_in = surround(layers, request, response, |request, response| {
        ask(responders, request, response);
    });
    if let_in == Err(Spoiled) {
        forget_handshake(responders);
    }
}

/// A handler accepted a handshake, and a middleware made another answer of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Spoiled;

/// Calls `ask` with `layers` around it.
///
/// # Errors
///
/// [`Spoiled`], if the handshake is to be [forgotten](forget_handshake): the answer is a 500 then.
fn surround(
    layers: &Layers,
    request: &mut Request,
    response: &mut Response,
    ask: impl FnOnce(&mut Request, &mut Response),
) -> Result<(), Spoiled> {
    let mut passed = 0;
    for index in 0..layers.len() {
        let before = || layers.0.borrow_mut()[index].before(request, response);
        if panics::catch("a middleware's before", before).is_none() {
            *response = failed();
            break;
        }
        passed += 1;
        settle(response);
        if response.is_started() {
            break;
        }
    }
    if !response.is_started() {
        // Its panic ends here, and not further out: the 500 is an answer that `after` is to see.
        if panics::catch("a responder", || ask(request, response)).is_none() {
            *response = failed();
        }
        settle(response);
    }
    if request.has_receiver() && !response.is_started() {
        // It is answered when its body has come.
        let layers = layers.clone();
        request.answer_later(Box::new(move |request, response| {
            // What takes a body is no handshake.
            let _ = leave(&layers, passed, request, response);
        }));
        return Ok(());
    }
    leave(layers, passed, request, response)
}

/// Shows the answer to the first `passed` of `layers`, from the innermost.
fn leave(
    layers: &Layers,
    passed: usize,
    request: &Request,
    response: &mut Response,
) -> Result<(), Spoiled> {
    let handshake = Handshake::of(response);
    for index in (0..passed).rev() {
        let after = || layers.0.borrow_mut()[index].after(request, response);
        if panics::catch("a middleware's after", after).is_none() {
            *response = failed();
        }
        settle(response);
        if let Some(handshake) = &handshake
            && response.upgrade.is_some()
            && !handshake.stands_in(response)
        {
            log::error!("a middleware's after changed a 101, which may only get further fields");
            *response = Response::error(StatusCode::INTERNAL_SERVER_ERROR, "The handshake failed.");
        }
    }
    if handshake.is_some() && response.upgrade.is_none() {
        return Err(Spoiled);
    }
    Ok(())
}

/// Drops what `on_handshake` of one of these returned for an `on_open` that will not follow.
fn forget_handshake(responders: &[Box<dyn Responder>]) {
    visit_each(responders, &mut |endpoint: &dyn Any| {
        if let Some(endpoint) = endpoint.downcast_ref::<Rc<dyn AnyApplication>>() {
            endpoint.forget_handshake();
        }
    });
}

/// A response that cannot be sent is a 500 already: logged, it is one that can be changed on.
fn settle(response: &mut Response) {
    if let Some(fault) = response.take_fault() {
        log::error!("a responder or a middleware failed: {fault}");
    }
}

/// What a 101 must say, and still has to when middleware has seen it.
struct Handshake {
    section: Vec<u8>,
}

impl Handshake {
    /// `None` if `response` is no 101.
    fn of(response: &Response) -> Option<Self> {
        response.upgrade.map(|_| Self {
            section: own_fields(response),
        })
    }

    fn stands_in(&self, response: &Response) -> bool {
        response.status() == StatusCode::SWITCHING_PROTOCOLS
            && response.content().len() == 0
            && !response.content().is_stream()
            && own_fields(response) == self.section
    }
}

/// The fields of an opening handshake (RFC 6455 section 4.2.2), as one text. `Connection` is
/// written by the connection itself.
fn own_fields(response: &Response) -> Vec<u8> {
    let mut section = Vec::new();
    for (name, value) in response.headers().iter() {
        let name = name.to_ascii_lowercase();
        if name == "upgrade" || name.starts_with("sec-websocket-") {
            section.extend_from_slice(name.as_bytes());
            section.push(b':');
            section.extend_from_slice(value);
            section.push(b'\n');
        }
    }
    section
}

#[cfg(test)]
mod tests;
