//! HTTP/2 (RFC 9113), without I/O and without a clock.

pub(crate) mod hpack;
