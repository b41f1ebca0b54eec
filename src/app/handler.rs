//! The traits that applications implement. No implementation but closures'.

use crate::app::endpoint::TimerId;
use crate::client_id::ClientId;
use crate::http::{BodyPlan, Request, Response};
use crate::websocket::{CloseCode, Message};
use std::any::Any;

/// Why an application could not start. Any error will do: `?` boxes it.
pub type StartError = Box<dyn std::error::Error + Send + Sync>;

/// A WebSocket application: what happens to the clients of one endpoint.
///
/// Methods run on the event loop's thread, one at a time, none from inside another. None may
/// block: while one runs, nobody else is served, which is logged after a while (see
/// [`Config::watchdog`](crate::Config::watchdog)). What they send reaches sockets after they
/// return. A panic is caught and logged; it closes the client that the call was about with
/// 1011 and nobody else: none in a timer, in [`on_stop`](Self::on_stop), or in
/// [`on_start`](Self::on_start), which has failed then. What is dropped may panic, too; only two
/// panics at once, one in a drop while another unwinds, end the process, as everywhere in Rust.
///
/// All but [`on_handshake`](Self::on_handshake) and [`on_data`](Self::on_data) do nothing
/// unless they are written.
pub trait WebSocketHandler: 'static {
    /// What [`on_handshake`](Self::on_handshake) learned and [`on_open`](Self::on_open) needs:
    /// a name, an address, `()`.
    type HandshakeData: 'static;

    /// Called once, after the listeners are bound and before the first client is accepted.
    ///
    /// # Errors
    ///
    /// Any error stops the start: [`Bound::run`](crate::Bound::run) returns it, after
    /// [`on_stop`](Self::on_stop) of the endpoints that had started.
    fn on_start(&mut self) -> Result<(), StartError> {
        Ok(())
    }

    /// Decides on an opening handshake that is valid by RFC 6455 section 4.2.1.
    ///
    /// `response` starts at status 101. `Some` with the status still 101 opens the connection;
    /// header fields and cookies set on the response go out with it. Any status from 200 to
    /// 599 makes it an ordinary answer with its body, and the connection stays an HTTP
    /// connection; another status is answered 500. `None` at 101 is answered 403.
    fn on_handshake(
        &mut self,
        request: &Request,
        response: &mut Response,
    ) -> Option<Self::HandshakeData>;

    /// A client is connected: its 101 is queued, and what is sent to it here goes out behind
    /// that. It already is part of a broadcast.
    fn on_open(&mut self, client: ClientId, data: Self::HandshakeData) {
        let _ = (client, data);
    }

    /// One whole message, in order of arrival, of at most
    /// [`max_message_bytes`](crate::WebSocketConfig::max_message_bytes); text is valid UTF-8.
    /// It borrows the server's buffer: keep a copy of what is needed later.
    fn on_data(&mut self, client: ClientId, message: Message<'_>);

    /// The client's backlog was above the
    /// [soft limit](crate::WebSocketConfig::soft_backlog_bytes) and is not any more.
    fn on_drain(&mut self, client: ClientId) {
        let _ = client;
    }

    /// A timer set with [`Endpoint::set_timer`](crate::Endpoint::set_timer) expired.
    fn on_timer(&mut self, timer: TimerId) {
        let _ = timer;
    }

    /// The client's close began, for whatever cause; called exactly once for each
    /// [`on_open`](Self::on_open), also after a close that this endpoint asked for. The id is
    /// dead: sending to it does nothing.
    ///
    /// `code` is 1005 if the peer's Close had none, and 1006 if the connection was lost
    /// without one. `reason` came from the peer if the close did: print it with care.
    fn on_close(&mut self, client: ClientId, code: CloseCode, reason: &str) {
        let _ = (client, code, reason);
    }

    /// The server begins to stop. What is sent here still goes out; then every client is
    /// closed with 1001, timers are dropped, and only [`on_close`](Self::on_close) follows.
    fn on_stop(&mut self) {}
}

/// Answers HTTP requests.
///
/// A closure `|request: &mut Request, response: &mut Response| ..` is a responder;
/// [`respond`] spares it the types. A host asks its responders in the order in which they
/// were added until one [starts](Response::is_started) a response.
pub trait Responder {
    /// Answers `request`, or leaves `response` unstarted for the next responder.
    fn respond(&mut self, request: &mut Request, response: &mut Response);

    /// Shows the WebSocket endpoints inside, so that the server can start and stop them, and what keeps
    /// files open, so that it can have them closed.
    /// A responder that wraps others forwards it to them; no other has a use for it.
    #[doc(hidden)]
    fn visit_endpoints(&self, visit: &mut dyn FnMut(&dyn Any)) {
        let _ = visit;
    }

    /// How the body of this request is taken, if this responder says so. A responder that wraps
    /// others forwards it to the one that will answer.
    #[doc(hidden)]
    fn body_plan(&self, request: &Request) -> Option<BodyPlan> {
        let _ = request;
        None
    }
}

impl<F> Responder for F
where
    F: FnMut(&mut Request, &mut Response) + 'static,
{
    fn respond(&mut self, request: &mut Request, response: &mut Response) {
        self(request, response);
    }
}

/// Asks `responders` one after the other until one answers, or takes the body of the request first.
/// Whether one did.
#[inline]
pub(crate) fn ask_each(
    responders: &mut [Box<dyn Responder>],
    request: &mut Request,
    response: &mut Response,
) -> bool {
    responders.iter_mut().any(|responder| {
        responder.respond(request, response);
        is_answered(request, response)
    })
}

/// Whether a responder answered `request`, or takes its body first: nobody else is to be asked.
#[inline]
pub(crate) fn is_answered(request: &Request, response: &Response) -> bool {
    response.is_started() || request.has_receiver()
}

/// How the body of `request` is taken, as the first of `responders` says that says anything.
pub(crate) fn first_plan(responders: &[Box<dyn Responder>], request: &Request) -> Option<BodyPlan> {
    let mut plans = responders.iter();
    plans.find_map(|responder| responder.body_plan(request))
}

/// Shows what is inside each of `responders`.
pub(crate) fn visit_each(responders: &[Box<dyn Responder>], visit: &mut dyn FnMut(&dyn Any)) {
    for responder in responders {
        responder.visit_endpoints(visit);
    }
}

/// Makes a responder of a closure whose parameters have no types written out.
///
/// ```
/// use aerys::{Router, respond};
/// let router = Router::new().get("/hello", respond(|request, response| {
///     let name = request.param("name").unwrap_or_else(|| "you".into());
///     response.end(format!("Hello {name}!"));
/// }));
/// ```
pub fn respond<F>(closure: F) -> F
where
    F: FnMut(&mut Request, &mut Response) + 'static,
{
    closure
}
