//! A client's socket, with TLS or without: bytes in, bytes out, nothing waits.

use crate::cli::client::tls::{Session, Tls};
use mio::event::Source;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use std::io::{self, ErrorKind, Read, Write};

/// What a call of [`Transport::read`] brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Brought {
    /// So many bytes, and there may be more.
    Some(usize),
    /// So many bytes, and no more at the moment, unless the end of the stream is there already.
    Last(usize),
    Nothing,
    /// The server ended the stream.
    End,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Transport {
    stream: TcpStream,
    tls: Option<Box<Session>>,
    /// What the socket did not take.
    unwritten: Vec<u8>,
    is_connected: bool,
}

impl Transport {
    pub(super) fn new(stream: TcpStream, tls: Option<&Tls>) -> io::Result<Self> {
        Ok(Self {
            stream,
            tls: tls.map(Tls::session).transpose()?.map(Box::new),
            unwritten: Vec::new(),
            is_connected: false,
        })
    }

    /// Whether the TCP connection is there; to be asked when the socket can be written to.
    ///
    /// # Errors
    ///
    /// It will never be.
    pub(crate) fn poll_connected(&mut self) -> io::Result<bool> {
        if !self.is_connected {
            if let Some(error) = self.stream.take_error()? {
                return Err(error);
            }
            self.is_connected = match self.stream.peer_addr() {
                Ok(_) => true,
                Err(error) if error.kind() == ErrorKind::NotConnected => false,
                Err(error) => return Err(error),
            };
        }
        Ok(self.is_connected)
    }

    /// Whether TLS is not agreed on yet.
    pub(crate) fn is_in_handshake(&self) -> bool {
        self.tls
            .as_ref()
            .is_some_and(|session| session.is_in_handshake())
    }

    /// Reads what is there into `buffer`.
    ///
    /// # Errors
    ///
    /// The connection is lost, or what came is not TLS that can be believed.
    #[inline]
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Brought> {
        if let Some(session) = &mut self.tls {
            return session.read(&mut self.stream, buffer);
        }
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Ok(Brought::End),
                Ok(len) if len == buffer.len() => return Ok(Brought::Some(len)),
                Ok(len) => return Ok(Brought::Last(len)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Brought::Nothing),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes the front of `bytes`, and says how much that is: if not all, there is no room now.
    ///
    /// # Errors
    ///
    /// The connection is lost.
    #[inline]
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if (!self.unwritten.is_empty() || self.tls.is_some()) && !self.flush()? {
            return Ok(0);
        }
        match &mut self.tls {
            Some(session) => session.write(&mut self.stream, bytes),
            None => write_some(&mut self.stream, bytes),
        }
    }

    /// Writes all of `bytes`, in a while what cannot be written now.
    ///
    /// # Errors
    ///
    /// The connection is lost.
    pub(crate) fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        loop {
            let len = if bytes.is_empty() {
                0
            } else {
                self.write(bytes)?
            };
            bytes = &bytes[len..];
            if len == 0 {
                self.unwritten.extend_from_slice(bytes);
                return Ok(());
            }
        }
    }

    /// Writes what waits. Whether nothing waits any more.
    ///
    /// # Errors
    ///
    /// The connection is lost.
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        loop {
            if let Some(session) = &mut self.tls
                && !session.flush(&mut self.stream)?
            {
                return Ok(false);
            }
            if self.unwritten.is_empty() {
                return Ok(true);
            }
            let len = match &mut self.tls {
                Some(session) => session.write(&mut self.stream, &self.unwritten)?,
                None => write_some(&mut self.stream, &self.unwritten)?,
            };
            self.unwritten.drain(..len);
            if len == 0 {
                return Ok(false);
            }
        }
    }

    /// Says that nothing more is sent.
    ///
    /// # Errors
    ///
    /// The connection is lost.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        if let Some(session) = &mut self.tls {
            session.end(&mut self.stream)?;
        }
        self.stream.shutdown(std::net::Shutdown::Write)
    }
}

/// Writes the front of `bytes`. How much that is.
fn write_some(stream: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match stream.write(bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            written => return written,
        }
    }
}

impl Source for Transport {
    fn register(
        &mut self,
        registry: &Registry,
        token: Token,
        interests: Interest,
    ) -> io::Result<()> {
        self.stream.register(registry, token, interests)
    }

    fn reregister(
        &mut self,
        registry: &Registry,
        token: Token,
        interests: Interest,
    ) -> io::Result<()> {
        self.stream.reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.stream.deregister(registry)
    }
}
