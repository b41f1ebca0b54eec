//! Connections of HTTP/2 on which streams get in each other's way, on simulated sockets and by hand.
#![cfg(feature = "http2")]

use aerys::internals::{Peer, Simulation};
use aerys::{
    ClientId, Config, Endpoint, Host, Message, Request, Response, Router, Server, WebSocketConfig,
    WebSocketHandler, websocket,
};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const RST_STREAM: u8 = 0x3;
const SETTINGS: u8 = 0x4;
const WINDOW_UPDATE: u8 = 0x8;

const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

const LARGEST_WINDOW: u32 = 0x7FFF_FFFF;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).expect("a short frame");
    let mut frame = len.to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A literal without indexing, whose name is one of the static table or new.
fn literal(name: u8, new_name: &str, value: &str) -> Vec<u8> {
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
fn request(method: &str, path: &str) -> Vec<u8> {
    let method = literal(0x2, "", method);
    [
        &method[..],
        &literal(0x4, "", path),
        &literal(0x1, "", "a"),
        b"\x86",
    ]
    .concat()
}

fn websocket_request(path: &str) -> Vec<u8> {
    let protocol = literal(0, ":protocol", "websocket");
    let version = literal(0, "sec-websocket-version", "13");
    [&protocol[..], &request("CONNECT", path), &version].concat()
}

fn get(stream: u32, path: &str) -> Vec<u8> {
    let flags = END_HEADERS | END_STREAM;
    frame(HEADERS, flags, stream, &request("GET", path))
}

fn open_window(stream: u32, bytes: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes())
}

/// A masked frame of a WebSocket, whose key is 0.
fn message(payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len()).expect("a short message");
    let mut frame = vec![0x82];
    if len < 126 {
        frame.push(0x80 | len.to_be_bytes()[1]);
    } else {
        frame.push(0x80 | 126);
        frame.extend(len.to_be_bytes());
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// A frame as the server sent it.
#[derive(Debug)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Frame {
    fn ends_stream(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }
}

/// The frames of what the server sent, which is to be whole.
fn frames(mut bytes: &[u8]) -> Vec<Frame> {
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

fn start_with(router: Router, config: Config) -> Simulation {
    let host = Host::new().listen("127.0.0.1:0").add(router);
    Simulation::new(Server::new().config(config).host(host)).expect("it starts")
}

/// Turns as long as there is something to do; that it ends.
fn settle(server: &mut Simulation) {
    for _ in 0..1000 {
        if !server.is_busy() {
            return;
        }
        server.turn().expect("it lives");
    }
    panic!("it goes round for nothing");
}

/// Connects with that initial window of streams, and that of the connection beside the 65,535 bytes
/// that it has anyway.
fn connect(server: &mut Simulation, stream_window: u32, connection_window: u32) -> Peer {
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
fn exchange(server: &mut Simulation, peer: Peer, bytes: &[u8]) -> Vec<Frame> {
    server.send(peer, bytes);
    settle(server);
    frames(&server.take_output(peer))
}

/// How many bytes of payload came on a stream.
fn payload_len(frames: &[Frame], stream: u32) -> usize {
    let of_stream = |frame: &&Frame| frame.kind == DATA && frame.stream == stream;
    frames
        .iter()
        .filter(of_stream)
        .map(|frame| frame.payload.len())
        .sum()
}

fn bytes_of(len: usize) -> impl Fn(&mut Request, &mut Response) {
    move |_, response| _ = response.end(vec![b'x'; len])
}

/// One stream takes the last byte of the connection's window and has all; the next one in line has
/// had its turn announced already.
#[test]
fn a_stream_that_waits_goes_on_though_another_one_took_all_of_the_window() {
    let router = Router::new()
        .get("/65535", bytes_of(65_535))
        .get("/100", bytes_of(100))
        .get("/200", bytes_of(200));
    let mut server = start_with(router, Config::default());
    let peer = connect(&mut server, LARGEST_WINDOW, 0);
    let answer = exchange(&mut server, peer, &get(1, "/65535"));
    assert_eq!(payload_len(&answer, 1), 65_535);
    let answers = [get(3, "/100"), get(5, "/200")].concat();
    let answers = exchange(&mut server, peer, &answers);
    assert_eq!(payload_len(&answers, 3) + payload_len(&answers, 5), 0);
    let answer = exchange(&mut server, peer, &open_window(0, 100));
    assert_eq!(payload_len(&answer, 3), 100);
    let answer = exchange(&mut server, peer, &open_window(0, 200));
    assert_eq!(payload_len(&answer, 5), 200);
}

/// The clients that streams were count for nobody's connection, also in the turn in which they end.
#[test]
fn requests_of_one_connection_keep_nobody_out() {
    let config = Config {
        max_connections: Some(2),
        ..Config::default()
    };
    let mut server = start_with(Router::new().get("/", bytes_of(1)), config);
    let peer = connect(&mut server, LARGEST_WINDOW, 0);
    let other = server.connect(true);
    server.send(other, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut streams = (1..).step_by(2);
    for _ in 0..3 {
        let requests = streams.by_ref().take(2).map(|id| get(id, "/"));
        server.send(peer, &requests.flatten().collect::<Vec<u8>>());
        server.turn().expect("it lives");
    }
    assert!(server.take_output(other).starts_with(b"HTTP/1.1 200"));
}

/// Keeps how many bytes came, and answers nothing.
struct Count {
    bytes: Rc<RefCell<usize>>,
    closed: Rc<RefCell<Vec<u16>>>,
}

impl WebSocketHandler for Count {
    type HandshakeData = ();

    fn on_handshake(&mut self, _: &Request, _: &mut Response) -> Option<()> {
        Some(())
    }

    fn on_data(&mut self, _: ClientId, message: Message<'_>) {
        *self.bytes.borrow_mut() += message.len();
    }

    fn on_close(&mut self, _: ClientId, code: aerys::CloseCode, _: &str) {
        self.closed.borrow_mut().push(code.into());
    }
}

/// What was taken of it is not kept, though more comes behind before all is.
#[test]
fn input_that_is_held_back_does_not_grow_by_what_was_taken() {
    const WINDOW: usize = 65_535;
    let (bytes, closed) = (Rc::default(), Rc::default());
    let count = Count {
        bytes: Rc::clone(&bytes),
        closed: Rc::clone(&closed),
    };
    let count = RefCell::new(Some(count));
    let endpoint =
        websocket(move |_: Endpoint| count.take().expect("once")).config(WebSocketConfig {
            max_frames_per_second: Some(20),
            heartbeat: None,
            ..WebSocketConfig::default()
        });
    let config = Config {
        http2_stream_window_bytes: WINDOW,
        max_buffered_input_bytes: 4 * WINDOW,
        ..Config::default()
    };
    let mut server = start_with(Router::new().get("/", endpoint), config);
    let peer = connect(&mut server, LARGEST_WINDOW, 0);
    exchange(
        &mut server,
        peer,
        &frame(HEADERS, END_HEADERS, 1, &websocket_request("/")),
    );
    let piece = message(&[b'x'; 1000]);
    let (mut window, mut sent) = (WINDOW, 0);
    for _ in 0..200 {
        while window >= piece.len() {
            server.send(peer, &frame(DATA, 0, 1, &piece));
            window -= piece.len();
            sent += 1000;
        }
        for frame in exchange(&mut server, peer, &[]) {
            assert_eq!(
                (frame.kind, frame.stream == 1),
                (WINDOW_UPDATE, frame.stream != 0)
            );
            if frame.stream == 1 {
                window += u32::from_be_bytes(frame.payload.try_into().expect("4 bytes")) as usize;
            }
        }
        server.advance(Duration::from_millis(250));
    }
    assert!(
        *bytes.borrow() > 10 * WINDOW,
        "{} of {sent}",
        bytes.borrow()
    );
    assert!(closed.borrow().is_empty(), "{closed:?}");
}

/// A HEAD is answered without content also if what is said is that its body was too slow.
#[test]
fn a_refusal_without_content_ends_its_stream_too() {
    let config = Config {
        body_grace: Duration::from_secs(1),
        keep_alive_timeout: Duration::from_secs(1),
        linger_timeout: Duration::from_secs(1),
        ..Config::default()
    };
    let mut server = start_with(Router::new().get("/", bytes_of(1)), config);
    let peer = connect(&mut server, LARGEST_WINDOW, 0);
    exchange(
        &mut server,
        peer,
        &frame(HEADERS, END_HEADERS, 1, &request("HEAD", "/")),
    );
    server.advance(Duration::from_secs(1));
    let answer = exchange(&mut server, peer, &[]);
    assert!(answer.iter().any(Frame::ends_stream), "{answer:?}");
    server.advance(Duration::from_secs(1));
    let reset = exchange(&mut server, peer, &[]);
    assert_eq!(reset[0].kind, RST_STREAM, "{reset:?}");
    assert_eq!(server.client_count(), 1);
    server.advance(Duration::from_secs(1));
    settle(&mut server);
    assert!(server.is_closed(peer));
}
