//! What the loop needs of the world: sockets, a poll for them, a clock. One seam, two sides:
//! `kernel.rs` is the operating system's, `simulated.rs` is memory, in which a million clients
//! fit and time passes when it is told to.

use crate::event_loop::signals::Came;
use crate::http::Address;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::time::{Duration, SystemTime};

/// What a poll found of one registered thing.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one independent fact, as the poll tells them"
)]
pub(crate) struct Ready {
    /// What it was registered with.
    pub(crate) token: usize,
    /// There is input, or its end, or an error.
    pub(crate) readable: bool,
    /// Output is taken again.
    pub(crate) writable: bool,
    /// The peer sends no more, or the connection is broken: no later event will say so.
    pub(crate) read_closed: bool,
    /// The connection is broken: nothing can be sent either.
    pub(crate) broken: bool,
}

/// What a read came to. Answers are outcomes, not errors: what an error of one client's socket
/// means is always the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadOutcome {
    /// So many bytes, at least one.
    Bytes(usize),
    /// Nothing for now.
    Drained,
    /// The peer will send no more.
    End,
    /// The connection is broken.
    Broken,
}

/// What a write came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteOutcome {
    /// The socket took so many bytes.
    Bytes(usize),
    /// It takes nothing for now.
    Full,
    /// The connection is broken.
    Broken,
}

/// What sending from a file came to.
#[derive(Debug)]
#[cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "there, files are read")
)]
pub(crate) enum FileOutcome {
    /// The socket took so many bytes, at least one. Fewer than asked for says nothing: the next
    /// call tells why.
    Bytes(usize),
    /// The socket takes nothing for now.
    Full,
    /// Not from this file: it is to be read.
    Unsupported,
    /// The connection is broken.
    Broken,
    /// The file is: it became shorter, was changed, or cannot be read.
    Failed(io::Error),
}

/// What an accept came to.
#[derive(Debug)]
pub(crate) enum Accepted<S> {
    /// A client, and where it comes from.
    Client(S, Address),
    /// Nobody waits.
    Nobody,
    /// A client was lost before it could be accepted; others may wait.
    Lost(io::Error),
    /// No descriptor or no memory for another client.
    Exhausted(io::Error),
}

/// A client's byte stream, non-blocking.
pub(crate) trait Socket {
    /// None: of a client that another one carries. What it is asked for, it cannot do.
    fn none() -> Self;
    /// Reads into `buffer` with one call.
    fn read(&mut self, buffer: &mut [u8]) -> ReadOutcome;
    /// Writes `bytes` with one call.
    fn write(&mut self, bytes: &[u8]) -> WriteOutcome;
    /// Writes `slices`, one after the other, with one call.
    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> WriteOutcome;
    /// Whether [`send_file`](Self::send_file) ever does.
    const SENDS_FILES: bool = false;
    /// Writes `slices` as [`write_vectored`](Self::write_vectored) does; [`send_file`](Self::send_file)
    /// follows at once, so that they need not leave alone.
    fn write_before_file(&mut self, slices: &[IoSlice<'_>]) -> WriteOutcome {
        self.write_vectored(slices)
    }
    /// Writes up to `len` bytes of `file` from `offset` on with one call, and moves no position.
    fn send_file(&mut self, file: BorrowedFd<'_>, offset: u64, len: usize) -> FileOutcome {
        let _ = (file, offset, len);
        FileOutcome::Unsupported
    }
    /// Ends our sending side.
    fn shut_down(&mut self);
    /// Has the connection reset when it is closed, in place of an orderly end.
    fn reset_on_close(&mut self);
    /// The IP address and port that the peer connected to.
    ///
    /// # Errors
    ///
    /// It is no TCP socket, or broken.
    fn local_address(&self) -> io::Result<SocketAddr>;
}

/// Where clients come from.
pub(crate) trait Listener {
    type Socket: Socket;
    /// Where it listens, with the port that was picked.
    fn address(&self) -> &Address;
    /// Accepts one client.
    fn accept(&mut self) -> Accepted<Self::Socket>;
}

/// Sockets, their poll, and a clock.
pub(crate) trait System {
    type Socket: Socket;
    type Listener: Listener<Socket = Self::Socket>;

    /// What one poll brings.
    type Events;

    /// Room for what one poll brings, and how many events that is at most.
    fn events(&self) -> (Self::Events, usize);

    /// Puts what happened into `events`, in place of what was there; waits for the first of it,
    /// but no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// The poll itself failed: nothing can be served any more.
    fn poll(&mut self, events: &mut Self::Events, timeout: Option<Duration>) -> io::Result<()>;

    /// The events, in order.
    fn iter(events: &Self::Events) -> impl Iterator<Item = Ready>;

    /// Registers a client for its input, edge-triggered, once and for all.
    ///
    /// # Errors
    ///
    /// The client cannot be served.
    fn register(&mut self, socket: &mut Self::Socket, token: usize) -> io::Result<()>;

    /// Has it told from now on, too, when the socket takes output again; at once, if it does
    /// already.
    ///
    /// # Errors
    ///
    /// The client cannot be served.
    fn watch_writable(&mut self, socket: &mut Self::Socket, token: usize) -> io::Result<()>;

    /// Registers a listener, edge-triggered.
    ///
    /// # Errors
    ///
    /// The server cannot start.
    fn listen(&mut self, listener: &mut Self::Listener, token: usize) -> io::Result<()>;

    /// The same for one that is registered already, by another token.
    ///
    /// # Errors
    ///
    /// As [`listen`](Self::listen).
    fn relisten(&mut self, listener: &mut Self::Listener, token: usize) -> io::Result<()>;

    /// The listener tells of nobody any more, whoever else has its socket open.
    fn unlisten(&mut self, listener: &mut Self::Listener);

    /// The clock, to be read at any time: nanoseconds, never fewer than the time before.
    fn clock(&self) -> fn() -> u64;

    /// What the calendar says, for `Date`.
    fn calendar(&self) -> SystemTime;

    /// What signals came since the last call.
    fn signals(&mut self) -> Came;
}
