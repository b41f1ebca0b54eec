//! The words of HTTP that all its versions share (RFC 9110).
//!
//! Plain values: a [`Request`] to read, a [`Response`] to fill, the [`Headers`] of both. How
//! they look on the wire is `http1/` and `http2/`. [`Method`], [`StatusCode`], [`Version`], [`HeaderName`]
//! and [`HeaderValue`] are those of the `http` crate.

pub(crate) mod accept;
pub(crate) mod address;
pub(crate) mod bytes;
pub(crate) mod cookie;
pub(crate) mod date;
pub(crate) mod form;
pub(crate) mod forwarded;
pub(crate) mod gzip;
pub(crate) mod headers;
pub(crate) mod pace;
pub(crate) mod refused;
pub(crate) mod remote_stream;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod server_sent_event;
pub(crate) mod stream;
pub(crate) mod target;
pub(crate) mod upload;

pub use self::address::{Address, UnixAddress};
pub use self::cookie::{Cookie, InvalidCookie, SameSite};
pub use self::form::{Form, FormError, FormField};
pub use self::headers::{Headers, InvalidField};
pub use self::remote_stream::RemoteStream;
pub use self::request::{ConnectionInfo, Request};
pub use self::response::{Body, Response};
pub use self::server_sent_event::ServerSentEvent;
pub use self::stream::{ResponseStream, StreamError};
pub use self::upload::{BodyFlow, BodyHandler, BodyPlan};
pub use ::http::{HeaderName, HeaderValue, Method, StatusCode, Version};
