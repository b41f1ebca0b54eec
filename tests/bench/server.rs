//! A little server that shares no code with the program, and does as each test wants.

use base64::Engine;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// Listens until the test's process ends.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Each connection is served by `serve` on a thread of its own, once the head of its first request
    /// came.
    pub(crate) fn start(serve: impl Fn(&mut Peer) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let serve = Arc::new(serve);
        thread::spawn(move || {
            for (number, stream) in listener.incoming().flatten().enumerate() {
                let serve = Arc::clone(&serve);
                stream.set_nodelay(true).expect("an open socket");
                thread::spawn(move || {
                    let mut peer = Peer {
                        number,
                        stream,
                        unread: Vec::new(),
                    };
                    serve(&mut peer);
                });
            }
        });
        Self { address }
    }

    pub(crate) fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}/x", self.address)
    }
}

/// One connection.
pub(crate) struct Peer {
    /// In order of arrival, from 0.
    pub(crate) number: usize,
    pub(crate) stream: TcpStream,
    unread: Vec<u8>,
}

impl Peer {
    /// So many bytes; `None` at the end of the stream.
    fn take(&mut self, len: usize) -> Option<Vec<u8>> {
        while self.unread.len() < len {
            self.read_more()?;
        }
        Some(self.unread.drain(..len).collect())
    }

    fn read_more(&mut self) -> Option<()> {
        let mut buffer = [0; 4096];
        let len = self.stream.read(&mut buffer).ok().filter(|len| *len > 0)?;
        self.unread.extend_from_slice(&buffer[..len]);
        Some(())
    }

    /// The head of a request.
    pub(crate) fn read_head(&mut self) -> Option<String> {
        loop {
            let end = self.unread.windows(4).position(|end| end == b"\r\n\r\n");
            if let Some(end) = end {
                let head = self.take(end + 4)?;
                return String::from_utf8(head).ok();
            }
            self.read_more()?;
        }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        // A client that is gone is the end of the next read.
        let _ = self.stream.write_all(bytes);
    }

    /// Takes the opening handshake.
    pub(crate) fn open(&mut self) -> Option<()> {
        let head = self.read_head()?;
        let key = head
            .lines()
            .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "))?;
        let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
        let hash = sha1_smol::Sha1::from(text).digest().bytes();
        let accept = base64::engine::general_purpose::STANDARD.encode(hash);
        self.switch(&accept);
        Some(())
    }

    /// Answers 101 with this accept key.
    pub(crate) fn switch(&mut self, accept: &str) {
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        self.write(head.as_bytes());
    }

    /// The next frame: opcode and payload, of at most 64 KiB.
    pub(crate) fn read_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let head = self.take(2)?;
        assert_eq!(head[1] & 0x80, 0x80, "a client's frame is masked");
        let len = match head[1] & 0x7F {
            126 => {
                let len = self.take(2)?;
                usize::from(u16::from_be_bytes([len[0], len[1]]))
            }
            127 => panic!("longer than a test wants"),
            short => usize::from(short),
        };
        let mask = self.take(4)?;
        let mut payload = self.take(len)?;
        for (byte, key) in payload.iter_mut().zip(mask.iter().cycle()) {
            *byte ^= key;
        }
        Some((head[0] & 0x0F, payload))
    }

    /// The payload of the next message that is one frame; `None` at a Close or the end.
    pub(crate) fn read_message(&mut self) -> Option<Vec<u8>> {
        let (opcode, payload) = self.read_frame()?;
        matches!(opcode, 1 | 2).then_some(payload)
    }

    /// Sends a text message.
    pub(crate) fn send(&mut self, payload: &[u8]) {
        self.write(&frame(0x81, payload));
    }

    /// Sends a Close and waits until the client is gone.
    pub(crate) fn close(&mut self, code: u16, reason: &str) {
        let payload = [&code.to_be_bytes(), reason.as_bytes()].concat();
        self.write(&frame(0x88, &payload));
        while self.read_more().is_some() {}
    }
}

/// A server's frame.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let len = u8::try_from(payload.len()).expect("short");
    assert!(len < 126);
    [&[first, len], payload].concat()
}
