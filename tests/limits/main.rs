//! Limits and deadlines on simulated sockets, where an hour passes at once: each with who passes it,
//! and with who does as much as is allowed and is never cut off.

mod addresses;
mod arrivals;
mod http_sizes;
mod http_times;
mod leaving;
mod room;
mod totals;
mod websocket_rates;
mod websocket_times;

use aerys::internals::{Peer, Simulation};
use aerys::{
    ClientId, Config, Endpoint, Host, Message, Request, Response, Router, Server, WebSocketConfig,
    WebSocketHandler, websocket,
};
use std::time::Duration;

pub(crate) const HANDSHAKE: &[u8] = b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";
pub(crate) const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

pub(crate) const TEXT: u8 = 0x1;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xA;

pub(crate) const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub(crate) const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// A millisecond less.
pub(crate) const fn just_before(time: Duration) -> Duration {
    time.saturating_sub(millis(1))
}

/// A whole frame, masked with a key of 0.
pub(crate) fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = begin_of_frame(0x80 | opcode, payload.len());
    frame.extend(payload);
    frame
}

/// The first byte of a frame and the rest of its header.
pub(crate) fn begin_of_frame(first: u8, len: usize) -> Vec<u8> {
    let mut header = vec![first];
    match u16::try_from(len) {
        Ok(short @ 0..126) => header.push(0x80 | short.to_be_bytes()[1]),
        Ok(medium) => {
            header.push(0xFE);
            header.extend(medium.to_be_bytes());
        }
        Err(_) => {
            header.push(0xFF);
            header.extend((len as u64).to_be_bytes());
        }
    }
    header.extend([0; 4]);
    header
}

/// The frames that the server sent, which are to be whole: opcode and payload.
pub(crate) fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let [first, len, rest @ ..] = bytes {
        let (len, rest) = match len {
            126 => (usize::from(rest[0]) << 8 | usize::from(rest[1]), &rest[2..]),
            127 => {
                let (len, rest) = rest.split_at(8);
                let len = len
                    .iter()
                    .fold(0, |len, byte| len << 8 | usize::from(*byte));
                (len, rest)
            }
            len => (usize::from(*len), rest),
        };
        let (payload, rest) = rest.split_at(len);
        frames.push((first & 0x0F, payload.to_vec()));
        bytes = rest;
    }
    frames
}

/// The status of the first answer in `output`.
pub(crate) fn status(output: &[u8]) -> u16 {
    let text = String::from_utf8_lossy(output);
    let status = text
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3));
    status.map_or(0, |status| status.parse().expect("three digits"))
}

/// How many answers there are in `output`.
pub(crate) fn answer_count(output: &[u8]) -> usize {
    String::from_utf8_lossy(output).matches("HTTP/1.1 ").count()
}

/// What a Close frame says.
pub(crate) fn close_code(payload: &[u8]) -> (u16, String) {
    let (code, reason) = payload.split_at(2);
    let reason = String::from_utf8(reason.to_vec()).expect("a text");
    (u16::from_be_bytes([code[0], code[1]]), reason)
}

/// Sends each text back that is not empty, and a binary message to everybody.
pub(crate) struct Echo {
    ws: Endpoint,
}

impl WebSocketHandler for Echo {
    type HandshakeData = ();

    fn on_handshake(&mut self, _: &Request, _: &mut Response) -> Option<()> {
        Some(())
    }

    fn on_data(&mut self, client: ClientId, message: Message<'_>) {
        match message {
            Message::Text("") => {}
            Message::Text(text) => self.ws.send(client, text),
            Message::Binary(bytes) => self.ws.broadcast(bytes),
        }
    }
}

/// A server, its network and its time.
pub(crate) struct World {
    pub(crate) server: Simulation,
}

impl World {
    /// One with an echo at `/ws`, and a greeting at `/`.
    pub(crate) fn start(config: Config, options: WebSocketConfig) -> Self {
        Self::start_with(config, greeting().get("/ws", echo(options)))
    }

    pub(crate) fn start_with(config: Config, router: Router) -> Self {
        Self::listening("127.0.0.1:0", config, router)
    }

    /// The same at an address that may ask for more.
    pub(crate) fn listening(address: &str, config: Config, router: Router) -> Self {
        let host = Host::new().listen(address).add(router);
        let server = Server::new().config(config).host(host);
        Self {
            server: Simulation::new(server).expect("it starts"),
        }
    }

    /// Turns as long as there is something to do; that it ends.
    pub(crate) fn settle(&mut self) {
        for _ in 0..100_000 {
            if !self.server.is_busy() {
                return;
            }
            self.server.turn().expect("it lives");
        }
        panic!("it goes round for nothing");
    }

    /// Time passes, and what is due in it happens then.
    pub(crate) fn pass(&mut self, mut time: Duration) {
        let step = millis(100);
        while !time.is_zero() {
            let step = time.min(step);
            time = time.saturating_sub(step);
            self.server.advance(step);
            self.settle();
        }
    }

    pub(crate) fn connect(&mut self) -> Peer {
        let peer = self.server.connect(true);
        self.settle();
        peer
    }

    pub(crate) fn send(&mut self, peer: Peer, bytes: &[u8]) {
        self.server.send(peer, bytes);
        self.settle();
    }

    /// What came of sending `bytes`.
    pub(crate) fn ask(&mut self, peer: Peer, bytes: &[u8]) -> Vec<u8> {
        self.send(peer, bytes);
        self.server.take_output(peer)
    }

    /// Connects, and asks for the greeting.
    pub(crate) fn visitor(&mut self) -> Peer {
        let peer = self.connect();
        assert_eq!(status(&self.ask(peer, GET)), 200);
        peer
    }

    /// Connects, and opens a WebSocket.
    pub(crate) fn open(&mut self) -> Peer {
        let peer = self.connect();
        assert_eq!(status(&self.ask(peer, HANDSHAKE)), 101);
        peer
    }

    /// The frames that a client got since the last call.
    pub(crate) fn frames(&mut self, peer: Peer) -> Vec<(u8, Vec<u8>)> {
        frames(&self.server.take_output(peer))
    }

    /// That a client gets its echo.
    pub(crate) fn expect_echo(&mut self, peer: Peer, text: &str) {
        let sent = frame(TEXT, text.as_bytes());
        let came = self.ask(peer, &sent);
        assert_eq!(frames(&came), [(TEXT, text.as_bytes().to_vec())]);
    }

    /// Has time pass while `peer` answers its pings.
    pub(crate) fn pass_ponging(&mut self, peers: &[Peer], time: Duration) {
        let mut left = time;
        while !left.is_zero() {
            let step = left.min(seconds(1));
            left = left.saturating_sub(step);
            self.pass(step);
            for peer in peers {
                for (opcode, payload) in self.frames(*peer) {
                    assert_eq!(opcode, PING, "{payload:?}");
                    self.send(*peer, &frame(PONG, &payload));
                }
            }
        }
    }

    /// The code and the reason that a client was closed with, which is all that it got.
    pub(crate) fn expect_close(&mut self, peer: Peer) -> (u16, String) {
        let frames = self.frames(peer);
        let [(CLOSE, payload)] = &frames[..] else {
            panic!("no Close alone: {frames:?}");
        };
        close_code(payload)
    }
}

/// A router that says something at `/`.
pub(crate) fn greeting() -> Router {
    Router::new().get("/", |_: &mut Request, response: &mut Response| {
        response.end("hello");
    })
}

pub(crate) fn echo(options: WebSocketConfig) -> aerys::WebSocket<Echo> {
    websocket(|ws| Echo { ws }).config(options)
}
