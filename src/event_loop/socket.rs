//! Bytes in and out of one TCP socket.

use crate::event_loop::system::{ReadOutcome, Socket, WriteOutcome};
use mio::event::Source;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};

/// A client's TCP socket, non-blocking.
#[derive(Debug)]
pub(crate) struct TcpSocket(pub(super) TcpStream);

impl TcpSocket {
    pub(crate) const fn new(stream: TcpStream) -> Self {
        Self(stream)
    }

    /// Registers for both directions, edge-triggered.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        self.0
            .register(registry, token, Interest::READABLE | Interest::WRITABLE)
    }
}

impl Socket for TcpSocket {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> ReadOutcome {
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

    #[inline]
    fn write(&mut self, slices: &[IoSlice<'_>]) -> WriteOutcome {
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

    fn shut_down(&mut self) {
        // Fails only if the peer is gone already, which a read will tell.
        let _ = self.0.shutdown(Shutdown::Write);
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}
