//! Frames of HTTP/2, and a server to exchange them with.

use aerys::internals::{Peer, Simulation};
use aerys::{Config, Host, Router, Server};

pub(crate) const DATA: u8 = 0x0;
pub(crate) const HEADERS: u8 = 0x1;
pub(crate) const RST_STREAM: u8 = 0x3;
pub(crate) const SETTINGS: u8 = 0x4;
pub(crate) const PING: u8 = 0x6;
pub(crate) const GOAWAY: u8 = 0x7;
pub(crate) const WINDOW_UPDATE: u8 = 0x8;

pub(crate) const END_STREAM: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;

pub(crate) const LARGEST_WINDOW: u32 = 0x7FFF_FFFF;

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).expect("a short frame");
    let mut frame = len.to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A literal without indexing, whose name is one of the static table or new.
pub(crate) fn literal(name: u8, new_name: &str, value: &str) -> Vec<u8> {
    let len = |text: &str| u8::try_from(text.len()).expect("a short field");
    let mut field = vec![name];
    if name == 0 {
        field.push(len(new_name));
        field.extend(new_name.bytes());
    }
    field.push(len(value));
    field.extend(value.bytes());
    field
}

/// The fields of a request over plain TCP.
pub(crate) fn request(method: &str, path: &str) -> Vec<u8> {
    let method = literal(0x2, "", method);
    [
        &method[..],
        &literal(0x4, "", path),
        &literal(0x1, "", "a"),
        b"\x86",
    ]
    .concat()
}

pub(crate) fn websocket_request(path: &str) -> Vec<u8> {
    let protocol = literal(0, ":protocol", "websocket");
    let version = literal(0, "sec-websocket-version", "13");
    [&protocol[..], &request("CONNECT", path), &version].concat()
}

pub(crate) fn get(stream: u32, path: &str) -> Vec<u8> {
    let flags = END_HEADERS | END_STREAM;
    frame(HEADERS, flags, stream, &request("GET", path))
}

pub(crate) fn open_window(stream: u32, bytes: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes())
}

/// A masked frame of a WebSocket, whose key is 0.
pub(crate) fn message(payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len()).expect("a short message");
    let mut frame = vec![0x82];
    if len < 126 {
        frame.push(0x80 | len.to_be_bytes()[1]);
    } else {
        frame.push(0xFE);
        frame.extend(len.to_be_bytes());
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// A frame as the server sent it.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn ends_stream(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }
}

/// The frames of what the server sent, which is to be whole.
pub(crate) fn frames(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let (head, rest) = bytes.split_at(9);
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (payload, rest) = rest.split_at(len);
        frames.push(Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
            payload: payload.to_vec(),
        });
        bytes = rest;
    }
    frames
}

pub(crate) fn start_with(router: Router, config: Config) -> Simulation {
    let host = Host::new().listen("127.0.0.1:0").add(router);
    Simulation::new(Server::new().config(config).host(host)).expect("it starts")
}

/// Turns as long as there is something to do; that it ends.
pub(crate) fn settle(server: &mut Simulation) {
    for _ in 0..1000 {
        if !server.is_busy() {
            return;
        }
        server.turn().expect("it lives");
        server.check();
    }
    panic!("it goes round for nothing");
}

/// Connects with that initial window of streams, and that of the connection beside the 65,535 bytes
/// that it has anyway.
pub(crate) fn connect(server: &mut Simulation, stream_window: u32, connection_window: u32) -> Peer {
    let peer = server.connect(true);
    let mut preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let window = [&[0, 4][..], &stream_window.to_be_bytes()].concat();
    preface.extend(frame(SETTINGS, 0, 0, &window));
    if connection_window > 0 {
        preface.extend(open_window(0, connection_window));
    }
    server.send(peer, &preface);
    settle(server);
    let _ = server.take_output(peer);
    peer
}

/// Sends, and reads what comes of it.
pub(crate) fn exchange(server: &mut Simulation, peer: Peer, bytes: &[u8]) -> Vec<Frame> {
    server.send(peer, bytes);
    settle(server);
    frames(&server.take_output(peer))
}
