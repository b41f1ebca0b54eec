//! One connection of a client: a socket that does not block, TLS or not, HTTP/1.1 or HTTP/2.

use crate::http2::Session;
use mio::net::TcpStream;
use rustls::{ClientConnection, HandshakeKind};
use std::io::{ErrorKind, Read, Write};

/// What is spoken on it.
pub(crate) enum Speech {
    /// HTTP/1.1: an answer is awaited, which ends like this.
    Answer {
        received: Vec<u8>,
        end: &'static [u8],
    },
    /// It came, and was no 101.
    Answered,
    /// HTTP/1.1 became this.
    WebSocket,
    Http2(Box<Session>),
}

impl Speech {
    /// Waits for an answer that ends like this.
    pub(crate) fn answer(end: &'static [u8]) -> Self {
        let received = Vec::new();
        Self::Answer { received, end }
    }

    /// Takes what the server sent. `sink` is given the bytes of WebSocket connections, with the
    /// number of their stream.
    fn receive(&mut self, bytes: &[u8], output: &mut Vec<u8>, sink: &mut dyn FnMut(usize, &[u8])) {
        match self {
            Self::Answer { received, end } => {
                received.extend_from_slice(bytes);
                if received.ends_with(end) {
                    let next = match &received[..12] {
                        b"HTTP/1.1 101" => Self::WebSocket,
                        b"HTTP/1.1 200" => Self::Answered,
                        _ => panic!("{}", received.escape_ascii()),
                    };
                    *self = next;
                }
            }
            Self::Answered => panic!("more than an answer: {}", bytes.escape_ascii()),
            Self::WebSocket => sink(0, bytes),
            Self::Http2(session) => session.receive(bytes, output, sink),
        }
    }
}

pub(crate) struct Connection {
    socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
    /// What is still to be written, before TLS.
    output: Vec<u8>,
    speech: Speech,
}

impl Connection {
    /// `output` goes out first.
    pub(crate) fn new(
        socket: TcpStream,
        tls: Option<ClientConnection>,
        speech: Speech,
        output: Vec<u8>,
    ) -> Self {
        let tls = tls.map(|mut tls| {
            tls.set_buffer_limit(None);
            Box::new(tls)
        });
        Self {
            socket,
            tls,
            output,
            speech,
        }
    }

    pub(crate) fn socket(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    /// How the handshake of TLS went, if there was one.
    pub(crate) fn handshake_kind(&self) -> Option<HandshakeKind> {
        self.tls.as_ref().and_then(|tls| tls.handshake_kind())
    }

    /// Whether TLS agreed on `protocol`, if there is TLS (RFC 7301).
    pub(crate) fn assert_chosen(&self, protocol: &str) {
        if let Some(tls) = &self.tls {
            assert_eq!(tls.alpn_protocol(), Some(protocol.as_bytes()));
        }
    }

    /// Whether all that it was made for is answered: its request, its opening handshakes.
    pub(crate) fn is_ready(&self) -> bool {
        match &self.speech {
            Speech::Answer { .. } => false,
            Speech::Answered | Speech::WebSocket => true,
            Speech::Http2(session) => session.is_ready(),
        }
    }

    /// Queues bytes of the WebSocket connection on `stream`, and writes what can be.
    pub(crate) fn send(&mut self, stream: usize, bytes: &[u8]) {
        match &mut self.speech {
            Speech::Http2(session) => session.send(stream, bytes, &mut self.output),
            _ => self.output.extend_from_slice(bytes),
        }
        self.write();
    }

    /// Writes until nothing is left or the socket is full.
    pub(crate) fn write(&mut self) {
        if let Some(tls) = &mut self.tls {
            // During the handshake it keeps them.
            tls.writer().write_all(&self.output).expect("no limit");
            self.output.clear();
            while tls.wants_write() {
                match tls.write_tls(&mut self.socket) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => panic!("{error}"),
                }
            }
            return;
        }
        while !self.output.is_empty() {
            match self.socket.write(&self.output) {
                Ok(len) => drop(self.output.drain(..len)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Reads until the socket is empty, and answers what HTTP/2 and TLS want answered.
    pub(crate) fn read(&mut self, buffer: &mut [u8], sink: &mut dyn FnMut(usize, &[u8])) {
        while let Some(len) = self.read_once(buffer) {
            if self.tls.is_none() {
                self.speech.receive(&buffer[..len], &mut self.output, sink);
                continue;
            }
            while let Some(len) = self.plain(buffer) {
                self.speech.receive(&buffer[..len], &mut self.output, sink);
            }
        }
        self.write();
    }

    /// Bytes that came from the socket, in `buffer` or in TLS's own; `None` if it is empty.
    fn read_once(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let read = match &mut self.tls {
            Some(tls) => tls.read_tls(&mut self.socket),
            None => self.socket.read(buffer),
        };
        match read {
            Ok(0) => panic!("the server closed a client"),
            Ok(len) => Some(len),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Deciphered bytes, as far as there are any.
    fn plain(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let tls = self.tls.as_mut()?;
        tls.process_new_packets().expect("legal TLS");
        match tls.reader().read(buffer) {
            Ok(len @ 1..) => Some(len),
            Ok(0) => panic!("the server closed a client"),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Says goodbye as TLS has it, without which the end is no end.
    pub(crate) fn close(mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
        }
        self.write();
    }
}
