//! HTTP/1.1 on the wire (RFC 9112): bytes to requests, responses to bytes. No I/O, no clock.
//!
//! [`connection`] is the request-response cycle; the others are the codecs it is made of.
//! Whatever two servers could read differently is refused: a request is one request to
//! everybody, or none.

pub(crate) use crate::http::refused::{BODY_TOO_LONG, RefusedRequest};

pub(crate) mod connection;
pub(crate) mod message_body;
pub(crate) mod request_head;
pub(crate) mod response_head;
