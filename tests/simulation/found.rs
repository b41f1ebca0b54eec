//! What seeds found, by hand.

use crate::chance::pattern;
#[cfg(feature = "http2")]
use crate::frames::{
    DATA, END_HEADERS, HEADERS, LARGEST_WINDOW, PING, connect, exchange, frame, frames, get,
    message, websocket_request,
};
use crate::frames::{settle, start_with};
#[cfg(feature = "http2")]
use aerys::{ClientId, Endpoint, Message, WebSocketConfig, WebSocketHandler, websocket};
use aerys::{Config, Request, Response, ResponseStream, Router, respond};
use std::cell::RefCell;
use std::rc::Rc;
#[cfg(feature = "http2")]
use std::time::Duration;

const LEN: usize = 300_000;

fn large() -> impl Fn(&mut Request, &mut Response) {
    |_: &mut Request, response: &mut Response| _ = response.end(pattern(1, LEN))
}

/// Its input was not looked at any more, and so its connection stayed until the linger timeout.
#[test]
fn who_ends_its_side_during_a_response_in_pieces_is_gone_when_that_is_written() {
    let kept: Rc<RefCell<Option<ResponseStream>>> = Rc::default();
    let keep = Rc::clone(&kept);
    let pieces = respond(move |_: &mut Request, response: &mut Response| {
        let stream = response.stream();
        stream.send(pattern(1, LEN)).expect("it is open");
        *keep.borrow_mut() = Some(stream);
    });
    let mut server = start_with(Router::new().get("/", pieces), Config::default());
    let peer = server.connect(true);
    server.set_room(peer, 100);
    server.send(peer, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    settle(&mut server);
    server.end(peer);
    settle(&mut server);
    server.check();
    assert!(kept.take().is_some_and(|stream| !stream.is_open()));
    server.set_room(peer, u64::MAX);
    settle(&mut server);
    server.turn().expect("it lives");
    assert_eq!(server.client_count(), 0);
}

/// A second request waited for the first answer to be taken; a stop answers no more, but kept it.
#[test]
fn a_stop_lets_go_of_requests_that_were_held_back() {
    let mut server = start_with(Router::new().get("/", large()), Config::default());
    let peer = server.connect(true);
    server.set_room(peer, 100);
    server.send(peer, &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3));
    settle(&mut server);
    assert!(server.held_bytes().1 > 0);
    server.stop();
    settle(&mut server);
    server.check();
    assert_eq!(server.held_bytes().1, 0);
    server.set_room(peer, u64::MAX);
    settle(&mut server);
    let answers = server.take_output(peer);
    assert!(answers.len() < 2 * LEN, "one answer: {}", answers.len());
}

/// The same of frames of HTTP/2, on a connection of which only its queue is left.
#[test]
#[cfg(feature = "http2")]
fn a_stop_lets_go_of_frames_that_were_held_back() {
    let config = Config {
        soft_backlog_bytes: 1000,
        ..Config::default()
    };
    let body = |_: &mut Request, response: &mut Response| _ = response.end(pattern(1, 10_000));
    let mut server = start_with(Router::new().get("/", body), config);
    let peer = connect(&mut server, 1 << 30, 0);
    server.set_room(peer, 100);
    server.send(peer, &get(1, "/"));
    settle(&mut server);
    server.send(peer, &frame(PING, 0, 0, &[7; 8]));
    settle(&mut server);
    server.stop();
    settle(&mut server);
    server.check();
}

/// Sends back what it is sent.
#[cfg(feature = "http2")]
struct Echo(Endpoint);

#[cfg(feature = "http2")]
impl WebSocketHandler for Echo {
    type HandshakeData = ();

    fn on_handshake(&mut self, _: &Request, _: &mut Response) -> Option<()> {
        Some(())
    }

    fn on_data(&mut self, client: ClientId, message: Message<'_>) {
        self.0.send(client, message);
    }
}

/// What it says lies in the socket of its connection, which is not read while another stream's answer
/// waits there: that is no idleness of its own.
#[test]
#[cfg(feature = "http2")]
fn a_websocket_is_not_idle_while_its_connection_is_not_read() {
    let config = Config {
        soft_backlog_bytes: 1000,
        write_timeout: Duration::from_secs(3600),
        ..Config::default()
    };
    let options = WebSocketConfig {
        idle_timeout: Some(Duration::from_secs(8)),
        heartbeat: None,
        ..WebSocketConfig::default()
    };
    let router = Router::new()
        .get("/", large())
        .get("/ws", websocket(Echo).config(options));
    let mut server = start_with(router, config);
    let peer = connect(&mut server, LARGEST_WINDOW, LARGEST_WINDOW - 65_535);
    let open = frame(HEADERS, END_HEADERS, 1, &websocket_request("/ws"));
    exchange(&mut server, peer, &open);
    server.set_room(peer, 100);
    server.send(peer, &get(3, "/"));
    settle(&mut server);
    server.send(peer, &frame(DATA, 0, 1, &message(b"not idle")));
    for _ in 0..30 {
        server.advance(Duration::from_secs(1));
        settle(&mut server);
    }
    server.set_room(peer, u64::MAX);
    settle(&mut server);
    let frames = frames(&server.take_output(peer));
    let of_stream = frames.iter().filter(|it| it.kind == DATA && it.stream == 1);
    let of_stream: Vec<_> = of_stream.flat_map(|it| it.payload.clone()).collect();
    assert_eq!(of_stream, b"\x82\x08not idle");
}
