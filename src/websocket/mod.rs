//! The WebSocket protocol (RFC 6455), without I/O and without a clock.

pub(crate) mod close;
pub(crate) mod connection;
pub(crate) mod deflate;
pub(crate) mod encoded;
pub(crate) mod frame;
pub(crate) mod handshake;
pub(crate) mod mask;
pub(crate) mod message;
pub(crate) mod rate_limit;
pub(crate) mod utf8;

pub(crate) use connection::Received;

pub use close::{CloseCode, ClosedBy, InvalidClose};
pub use encoded::Frame;
pub use message::Message;
