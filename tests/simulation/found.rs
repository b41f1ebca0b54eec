//! What seeds found, by hand.

use crate::chance::pattern;
#[cfg(feature = "http2")]
use crate::frames::{PING, connect, frame, get};
use crate::frames::{settle, start_with};
use aerys::{Config, Request, Response, ResponseStream, Router, respond};
use std::cell::RefCell;
use std::rc::Rc;

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
