//! Bytes in and out of one socket. Answers with outcomes, not with errors: what an error of
//! one client's socket means is always the same.

use mio::event::Source;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;

/// What a read came to.
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

/// A client's TCP socket, non-blocking.
#[derive(Debug)]
pub(crate) struct Socket(TcpStream);

impl Socket {
    pub(crate) const fn new(stream: TcpStream) -> Self {
        Self(stream)
    }

    /// Registers for both directions, edge-triggered, once and for all: an idle socket's
    /// writability costs nothing.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        self.0
            .register(registry, token, Interest::READABLE | Interest::WRITABLE)
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> ReadOutcome {
        loop {
            return match self.0.read(buffer) {
                Ok(0) => ReadOutcome::End,
                Ok(len) => ReadOutcome::Bytes(len),
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => continue,
                    ErrorKind::WouldBlock => ReadOutcome::Drained,
                    _ => ReadOutcome::Broken,
                },
            };
        }
    }

    /// Writes `slices`, one after the other, with one call.
    pub(crate) fn write(&mut self, slices: &[IoSlice<'_>]) -> WriteOutcome {
        loop {
            let result = match slices {
                // `send` is cheaper than `writev` of one piece.
                [slice] => self.0.write(slice),
                slices => self.0.write_vectored(slices),
            };
            return match result {
                Ok(0) => WriteOutcome::Full,
                Ok(len) => WriteOutcome::Bytes(len),
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => continue,
                    ErrorKind::WouldBlock => WriteOutcome::Full,
                    _ => WriteOutcome::Broken,
                },
            };
        }
    }

    /// Ends our sending side.
    pub(crate) fn shut_down(&self) {
        // Fails only if the peer is gone already, which a read will tell.
        let _ = self.0.shutdown(Shutdown::Write);
    }

    pub(crate) fn local_address(&self) -> io::Result<std::net::SocketAddr> {
        self.0.local_addr()
    }
}
