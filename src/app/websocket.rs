//! A WebSocket endpoint as a responder: the opening handshake's way to a handler, and the
//! handler's type forgotten, so that the loop can keep endpoints of any kind.

use crate::app::endpoint::{Endpoint, EndpointState, TimerId};
use crate::app::handler::{Responder, StartError, WebSocketHandler};
use crate::app::running::Callback;
use crate::client_id::ClientId;
use crate::config::WebSocketConfig;
use crate::http::response::UpgradeTo;
use crate::http::{Request, Response, StatusCode};
use crate::moment::Moment;
use crate::panics;
use crate::rate::Bucket;
use crate::stats::Limit;
use crate::websocket::{CloseCode, Message, handshake};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

/// Makes a WebSocket endpoint: a responder to be mounted on a route (or on a whole host).
///
/// `make` is called at once with the endpoint's sending side and returns its handler. A host
/// has to see the endpoint: added to it, or mounted on a [`Router`](crate::Router) that is; one
/// that a closure hides answers 503.
///
/// ```
/// use aerys::{ClientId, Endpoint, Message, Request, Response, Router, WebSocketHandler, websocket};
///
/// struct Echo { ws: Endpoint }
///
/// impl WebSocketHandler for Echo {
///     type HandshakeData = ();
///     fn on_handshake(&mut self, _: &Request, _: &mut Response) -> Option<()> {
///         Some(())
///     }
///     fn on_data(&mut self, client: ClientId, message: Message<'_>) {
///         self.ws.send(client, message);
///     }
/// }
///
/// let router = Router::new().get("/echo", websocket(|ws| Echo { ws }));
/// ```
pub fn websocket<H: WebSocketHandler>(make: impl FnOnce(Endpoint) -> H) -> WebSocket<H> {
    let state = EndpointState::new();
    let handler = make(Endpoint::new(Rc::clone(&state)));
    let handler = RefCell::new(handler);
    WebSocket {
        application: Rc::new(Application {
            state,
            handler,
            handshake_data: RefCell::new(None),
            handshakes: Cell::new(None),
        }),
    }
}

/// A WebSocket endpoint; made by [`websocket`].
///
/// A clone is the same endpoint: mounted on two routes it has one handler and one set of
/// clients.
pub struct WebSocket<H: WebSocketHandler> {
    application: Rc<Application<H>>,
}

impl<H: WebSocketHandler> Clone for WebSocket<H> {
    fn clone(&self) -> Self {
        Self {
            application: Rc::clone(&self.application),
        }
    }
}

impl<H: WebSocketHandler> WebSocket<H> {
    /// Sets the endpoint's options. What is set once the server is bound counts from its next
    /// [reload](crate::Server::on_reload) on.
    #[must_use]
    pub fn config(self, config: WebSocketConfig) -> Self {
        self.application.state.config.replace(Rc::new(config));
        self
    }

    /// The sending side, for an HTTP route or another handler that publishes here.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::new(Rc::clone(&self.application.state))
    }
}

impl<H: WebSocketHandler> Responder for WebSocket<H> {
    fn respond(&mut self, request: &mut Request, response: &mut Response) {
        self.application.handshake(request, response);
    }

    fn visit_endpoints(&self, visit: &mut dyn FnMut(&dyn Any)) {
        let erased: Rc<dyn AnyApplication> = Rc::clone(&self.application) as _;
        visit(&erased);
    }
}

impl<H: WebSocketHandler> fmt::Debug for WebSocket<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket")
            .field("endpoint", &self.endpoint())
            .finish()
    }
}

struct Application<H: WebSocketHandler> {
    state: Rc<EndpointState>,
    /// Never borrowed twice: no callback runs inside another.
    handler: RefCell<H>,
    /// Between `on_handshake` and `on_open`, which follow each other directly.
    handshake_data: RefCell<Option<H::HandshakeData>>,
    /// Handshakes that may come now, once the first one came.
    handshakes: Cell<Option<Bucket>>,
}

impl<H: WebSocketHandler> Application<H> {
    /// Whether one more handshake is within the rate. What is refused does not count.
    fn may_shake_hands(&self, rate: u32, now: Moment) -> bool {
        let bucket = self.handshakes.get();
        // The rate may be another by now.
        let bucket = bucket.filter(|bucket| bucket.rate() == u64::from(rate.max(1)));
        let mut bucket = bucket.unwrap_or_else(|| Bucket::new(rate.into(), now));
        let may = bucket.try_take(now);
        self.handshakes.set(Some(bucket));
        may
    }

    fn handshake(&self, request: &Request, response: &mut Response) {
        let Some((hub, index)) = self.state.server() else {
            log::error!(
                "a WebSocket endpoint was asked that no host has: mount it on a Router or add it to the Host"
            );
            *response = Response::error(
                StatusCode::SERVICE_UNAVAILABLE,
                "The endpoint is not running.",
            );
            return;
        };
        let config = hub.config(*index);
        let compression = hub.compression(&config);
        let acceptance = match handshake::judge(request, &config, compression.as_ref()) {
            Ok(acceptance) => acceptance,
            Err(refusal) => {
                *response = refusal.answer();
                return;
            }
        };
        if let Some(rate) = config.max_handshakes_per_second
            && !self.may_shake_hands(rate, hub.now.get())
        {
            hub.counts.refuse(Limit::Handshakes);
            let reason = "Too many clients connect at the same time.";
            *response = Response::error(StatusCode::SERVICE_UNAVAILABLE, reason);
            response.set_header("retry-after", "1");
            return;
        }
        *response = Response::switching_protocols();
        hub.running.enter(Callback::Handshake, Some(*index));
        let data = self.handler.borrow_mut().on_handshake(request, response);
        hub.running.enter(Callback::Responder, None); // which is around it
        match response.status().as_u16() {
            101 if response.content().len() > 0 || response.content().is_stream() => {
                log::error!("on_handshake gave a 101 a body, which no 101 can have");
                *response =
                    Response::error(StatusCode::INTERNAL_SERVER_ERROR, "The handshake failed.");
            }
            101 if data.is_some() => {
                self.handshake_data.replace(data);
                hub.agreed.set(acceptance.deflate());
                acceptance.complete(response);
                response.upgrade = Some(UpgradeTo(usize::from(*index)));
            }
            101 => *response = Response::error(StatusCode::FORBIDDEN, "You may not connect here."),
            200..=599 => {}
            status => {
                log::error!("on_handshake set status {status}; 101 or 200 to 599 is possible");
                *response =
                    Response::error(StatusCode::INTERNAL_SERVER_ERROR, "The handshake failed.");
            }
        }
    }
}

/// An endpoint whose handler's type is forgotten.
pub(crate) trait AnyApplication {
    fn state(&self) -> &Rc<EndpointState>;
    fn start(&self) -> Result<(), StartError>;
    /// Drops what `on_handshake` returned, if it is still there: nobody is let in.
    fn forget_handshake(&self);
    /// Hands over what `on_handshake` returned for this client.
    fn open(&self, client: ClientId);
    fn data(&self, client: ClientId, message: Message<'_>);
    fn drain(&self, client: ClientId);
    fn timer(&self, timer: TimerId);
    fn close(&self, client: ClientId, code: CloseCode, reason: &str);
    fn stop(&self);
}

/// No endpoint, where one has yet to be or could not start.
struct Vacant(Rc<EndpointState>);

/// No endpoint: nobody is a client of it.
pub(crate) fn vacant() -> Rc<dyn AnyApplication> {
    Rc::new(Vacant(EndpointState::new()))
}

impl AnyApplication for Vacant {
    fn state(&self) -> &Rc<EndpointState> {
        &self.0
    }

    fn start(&self) -> Result<(), StartError> {
        Ok(())
    }

    fn forget_handshake(&self) {}
    fn open(&self, _: ClientId) {}
    fn data(&self, _: ClientId, _: Message<'_>) {}
    fn drain(&self, _: ClientId) {}
    fn timer(&self, _: TimerId) {}
    fn close(&self, _: ClientId, _: CloseCode, _: &str) {}
    fn stop(&self) {}
}

impl<H: WebSocketHandler> AnyApplication for Application<H> {
    fn state(&self) -> &Rc<EndpointState> {
        &self.state
    }

    fn start(&self) -> Result<(), StartError> {
        self.handler.borrow_mut().on_start()
    }

    fn forget_handshake(&self) {
        let data = self.handshake_data.take();
        // Its drop is code of the application.
        panics::catch("what on_handshake returned", || drop(data));
    }

    fn open(&self, client: ClientId) {
        let data = self.handshake_data.take();
        let data = data.expect("on_open follows the on_handshake that accepted");
        self.handler.borrow_mut().on_open(client, data);
    }

    fn data(&self, client: ClientId, message: Message<'_>) {
        self.handler.borrow_mut().on_data(client, message);
    }

    fn drain(&self, client: ClientId) {
        self.handler.borrow_mut().on_drain(client);
    }

    fn timer(&self, timer: TimerId) {
        self.handler.borrow_mut().on_timer(timer);
    }

    fn close(&self, client: ClientId, code: CloseCode, reason: &str) {
        self.handler.borrow_mut().on_close(client, code, reason);
    }

    fn stop(&self) {
        self.handler.borrow_mut().on_stop();
    }
}
