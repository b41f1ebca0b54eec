//! permessage-deflate (RFC 7692): messages compressed one by one.
//!
//! ```text
//!  Sec-WebSocket-Extensions ──▶ negotiation ──▶ Agreement
//!  frames with RSV1 ──▶ inflation ──▶ codec ──▶ message
//!  message ──▶ codec ──▶ frames with RSV1 (which of them, and for whom: `app/compression.rs`)
//! ```
//!
//! Deflate itself (RFC 1951) is a library's, behind `codec.rs`.

pub(crate) mod codec;
pub(crate) mod inflation;
pub(crate) mod negotiation;

pub(crate) use inflation::Inflaters;
pub(crate) use negotiation::Agreement;
