//! HTTP/2 on the wire (RFC 9113): bytes to requests on streams, and back. No I/O, no clock.
//!
//! ```text
//!  bytes ──▶ connection: frames, streams, windows ──▶ hpack ──▶ fields ──▶ requests
//!                 │
//!                 └──▶ payload of DATA frames, each for the slot of its stream ──▶ exchange
//! ```
//!
//! [`connection`] is what one socket carries; [`exchange`] is what one stream of it carries, a request
//! and its answer, until it is a WebSocket's. [`frame`] is how frames look, [`hpack`] how fields are
//! compressed, [`fields`] which of them make a request, `response_head` which make a response.

pub(crate) mod connection;
pub(crate) mod exchange;
pub(crate) mod fields;
pub(crate) mod frame;
pub(crate) mod hpack;
pub(crate) mod response_head;
