//! A client for `aerys bench` and `aerys connect`, of this server or any other: WebSocket, and GETs.
//!
//! ```text
//!  url ──▶ target ──▶ transport (socket, tls) ──▶ bytes ──▶ connection ──▶ events
//!                          ▲                                 (opening, frames, deflate)
//!                          └──────────── bytes ◀── output ◀───────┘
//! ```
//!
//! `connection.rs` and what it is made of know no socket: bytes go in, events and bytes come out, however
//! the bytes are split. `transport.rs` and `target.rs` alone name sockets, `tls.rs` alone names rustls.

pub(crate) mod connection;
mod deflate;
pub(crate) mod flags;
pub(crate) mod frames;
pub(crate) mod opening;
pub(crate) mod response;
pub(crate) mod target;
#[cfg_attr(not(feature = "tls"), path = "tls_absent.rs")]
mod tls;
pub(crate) mod transport;
pub(crate) mod url;
