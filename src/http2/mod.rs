//! HTTP/2 (RFC 9113) and what bootstraps WebSockets on it (RFC 8441). No I/O.
//!
//! [`connection`] is the carrier: frames, streams, windows, limits. What one stream carries is
//! [`exchange`], a request and its answer, until it is a WebSocket's.

pub(crate) mod connection;
pub(crate) mod exchange;
pub(crate) mod frame;
pub(crate) mod hpack;
mod response_head;
