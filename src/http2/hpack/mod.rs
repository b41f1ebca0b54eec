//! Header compression of HTTP/2 (RFC 7541).
//!
//! ```text
//!  field block ──▶ decoder ──▶ names and values       table: static and dynamic entries (2.3)
//!  names and values ──▶ encoder ──▶ field block       huffman: the code of strings (5.2)
//! ```
//!
//! Two directions that share nothing but the static table and the code. The decoder keeps the
//! dynamic table of a connection, since the peer says what goes into it; the encoder keeps none.
//! What fields mean, and whether they may stand where they do, is not known here.

mod decoder;
mod encoder;
mod huffman;
mod table;

pub(crate) use decoder::Decoder;
pub(crate) use encoder::{encode_field, encode_status};

/// The block breaks RFC 7541: a connection error of type `COMPRESSION_ERROR` (RFC 9113 section
/// 4.3). What was wrong, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InvalidBlock(pub(crate) &'static str);

#[cfg(test)]
mod tests;
