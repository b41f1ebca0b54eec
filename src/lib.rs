//! A non-blocking HTTP, WebSocket and static file server that pushes data to very many clients
//! at once: one thread, one poll loop, a slab of clients.
//!
//! ```no_run
//! use aerys::{
//!     ClientId, CloseCode, Endpoint, Everyone, Host, Message, Request, Response, Router, Server,
//!     StaticFiles, WebSocketHandler, websocket,
//! };
//! use std::time::Duration;
//!
//! /// A chat: greets, answers, and tells everyone five seconds later.
//! struct MiniChat {
//!     ws: Endpoint,
//! }
//!
//! impl WebSocketHandler for MiniChat {
//!     type HandshakeData = ();
//!
//!     fn on_handshake(&mut self, _: &Request, _: &mut Response) -> Option<()> {
//!         Some(()) // anyone may come in
//!     }
//!
//!     fn on_open(&mut self, client: ClientId, _: ()) {
//!         self.ws.broadcast(format!("Welcome new client {client}!"));
//!     }
//!
//!     fn on_data(&mut self, client: ClientId, message: Message<'_>) {
//!         self.ws.send(client, "<i>Message received ... Sending in 5 seconds ...</i>");
//!         let text = format!("Client {client} said: {}", message.to_text());
//!         self.ws.send_after(Duration::from_secs(5), Everyone, text);
//!     }
//!
//!     fn on_close(&mut self, client: ClientId, code: CloseCode, _reason: &str) {
//!         self.ws.broadcast(format!("User with client id {client} closed connection with code {code}"));
//!     }
//! }
//!
//! let router = Router::new().get("/ws", websocket(|ws| MiniChat { ws }));
//! let host = Host::new().listen("127.0.0.1:1337").add(router).add(StaticFiles::new("public")?);
//! Server::new().host(host).run()?;
//! # Ok::<(), aerys::Error>(())
//! ```
//!
//! # The walk
//!
//! ```text
//!  sockets ──▶ event_loop ──▶ protocol ──▶ http1 │ http2 │ websocket ──▶ events ──▶ app ──▶ handlers
//!     ▲         (tls)                                                                          │
//!     └─────────── flush ◀── output: log, queues, segments ◀───────────── endpoint ◀────────────┘
//! ```
//!
//! A byte meets the modules of this crate in the order in which its source lists them: accepted
//! and read by `event_loop`, understood by `protocol` and below it `http1`, `http2` or `websocket`,
//! handed to a handler by `app`; what the handler sends lies in `output` until `event_loop`
//! writes it. Where TLS is spoken, `event_loop` opens and seals records on the way; a stream of HTTP/2
//! is a client like any other, which `event_loop` has carried by another one in place of a socket.
//! `timer_wheel` holds every deadline, `config` every limit.

#![forbid(unsafe_code)]

mod config;

mod trust;

mod access;

mod error;

mod server;

#[cfg(feature = "tls")]
mod tls;

mod simulation;

mod event_loop;

mod client_id;

mod moment;

mod rate;

pub mod stats;

mod printable;

mod panics;

mod input;

mod proxy_protocol;

mod protocol;

mod http1;

#[cfg_attr(not(feature = "http2"), path = "http2/absent.rs")]
mod http2;

mod http;

mod app;

mod websocket;

mod output;

mod timer_wheel;

pub use access::{AccessLog, FinishedExchange, FinishedWebSocket, RequestSummary};
pub use app::compress_response::{ResponseCompression, compress_response};
pub use app::directory::ClientInfo;
pub use app::endpoint::{Endpoint, Everyone, EveryoneExcept, Outgoing, Recipients, TimerId};
pub use app::handler::{Responder, StartError, WebSocketHandler, respond};
pub use app::middleware::Middleware;
pub use app::remote::{RemoteEndpoint, RemoteError};
pub use app::router::Router;
pub use app::static_files::{FileCache, InvalidHeaderRule, StaticFiles};
pub use app::stats::Stats;
pub use app::upload::{BodyLimit, Upload, body_limit, upload};
pub use app::websocket::{WebSocket, websocket};
pub use client_id::ClientId;
pub use config::{BacklogPolicy, Compression, CompressionMode, Config, WebSocketConfig};
pub use error::Error;
pub use event_loop::observer::ServerEvent;
pub use event_loop::passed::PassedListener;
pub use http::{
    Address, Body, BodyFlow, BodyHandler, BodyPlan, ConnectionInfo, Cookie, Form, FormError,
    FormField, HeaderName, HeaderValue, Headers, InvalidCookie, InvalidField, Method, RemoteStream,
    Request, Response, ResponseStream, SameSite, ServerSentEvent, StatusCode, StreamError,
    UnixAddress, Version,
};
pub use ipnet::IpNet;
pub use server::{Bound, Handle, Host, Reloading, Server};
#[cfg(feature = "tls")]
pub use tls::{Tls, TlsError};
pub use trust::{ForwardedField, InvalidProxy, TrustedProxy};
pub use websocket::{CloseCode, ClosedBy, Frame, InvalidClose, Message};

/// What stands around the responders of a host or a router: the [`Middleware`] that there is
/// already, and two ways to make one of a closure.
pub mod middleware {
    pub use crate::app::middleware::basic_auth::BasicAuth;
    pub use crate::app::middleware::cors::Cors;
    pub use crate::app::middleware::request_id::RequestId;
    pub use crate::app::middleware::security_headers::{Framing, SecurityHeaders};
    pub use crate::app::middleware::{After, Before, Middleware, after, before};
}

#[doc(hidden)]
pub mod internals;

#[cfg(all(doctest, feature = "http2", feature = "self-signed"))]
mod pages;
