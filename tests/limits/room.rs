//! All places are taken: who is idle makes room, and nobody else.

use crate::{GET, HANDSHAKE, TEXT, World, echo, frame, greeting, millis, seconds, status};
use aerys::internals::Peer;
use aerys::{Config, Request, Response, ResponseStream, WebSocketConfig};
use std::cell::RefCell;
use std::rc::Rc;

fn start(places: usize) -> World {
    let router = greeting()
        .post("/", |request: &mut Request, response: &mut Response| {
            response.end(request.take_body().len().to_string());
        })
        .get("/long", |_: &mut Request, response: &mut Response| {
            response.end(vec![b'x'; 10_000]);
        })
        .get("/ws", echo(WebSocketConfig::default()));
    let config = Config {
        max_connections: Some(places),
        ..Config::default()
    };
    World::start_with(config, router)
}

#[test]
fn the_connection_that_idles_longest_makes_room_for_a_newcomer() {
    let mut world = start(3);
    let idle: Vec<_> = (0..3)
        .map(|_| {
            world.pass(seconds(1));
            world.visitor()
        })
        .collect();
    // The first one is not that any more.
    world.pass(seconds(1));
    assert_eq!(status(&world.ask(idle[0], GET)), 200);
    for (index, gone) in [1, 2, 0].into_iter().enumerate() {
        world.pass(seconds(1));
        let newcomer = world.open();
        assert!(world.server.is_closed(idle[gone]), "{index}");
        assert_eq!(world.server.client_count(), 3);
        world.expect_echo(newcomer, "welcome");
    }
    // Nobody is idle now.
    let refused = world.connect();
    assert_eq!(status(&world.server.take_output(refused)), 503);
}

/// Whoever is amid anything, has not asked yet, or has just asked and was not read.
#[test]
fn nobody_who_is_amid_anything_makes_room() {
    let mut world = start(7);
    let new = world.connect();
    let (head, body, websocket) = (world.connect(), world.connect(), world.open());
    world.send(head, &GET[..10]);
    world.send(
        body,
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf",
    );
    let reading = world.connect();
    world.server.set_room(reading, 1000);
    world.send(reading, b"GET /long HTTP/1.1\r\nHost: a\r\n\r\n");
    let second_head = world.visitor();
    world.send(second_head, &GET[..20]);
    let pipelining = world.connect();
    world.server.set_room(pipelining, 0);
    world.send(pipelining, &GET.repeat(3));
    for _ in 0..50 {
        let refused = world.connect();
        let answer = world.server.take_output(refused);
        assert_eq!(status(&answer), 503);
        world.server.end(refused);
        world.settle();
    }
    world.expect_echo(websocket, "served");
    assert_eq!(status(&world.ask(new, GET)), 200);
    assert_eq!(status(&world.ask(head, &GET[10..])), 200);
    assert!(world.ask(body, b"whole").ends_with(b"9"));
    assert_eq!(status(&world.ask(second_head, &GET[20..])), 200);
    for (peer, len) in [(reading, 10_000), (pipelining, 300)] {
        world.server.set_room(peer, u64::MAX);
        world.settle();
        assert!(world.server.take_output(peer).len() > len);
    }
}

/// Its request lies in its socket while the newcomer is accepted: more happened than a poll tells.
#[test]
fn who_asks_at_the_same_time_as_somebody_comes_is_answered() {
    let mut world = start(1201);
    let crowd: Vec<_> = (0..1200).map(|_| world.open()).collect();
    let regular = world.visitor();
    for _ in 0..20 {
        for peer in &crowd {
            world.server.send(*peer, &frame(TEXT, b"a"));
        }
        world.server.send(regular, GET);
        let newcomer = world.server.connect(true);
        world.settle();
        assert!(!world.server.is_closed(regular));
        assert_eq!(status(&world.server.take_output(regular)), 200);
        assert_eq!(status(&world.server.take_output(newcomer)), 503);
        world.server.end(newcomer);
        world.settle();
    }
    // Without a request it would have been found by then.
    let mut refused = 0;
    loop {
        let newcomer = world.connect();
        if world.server.is_closed(regular) {
            break;
        }
        world.server.end(newcomer);
        world.settle();
        refused += 1;
        assert!(refused < 20);
    }
}

/// However many others there are, of whom 64 are looked at for each newcomer.
#[test]
fn one_idle_connection_among_thousands_is_found_after_some_newcomers() {
    let mut world = start(3000);
    let mut idle = None;
    for number in 0..3000 {
        let peer = world.open();
        if number == 2000 {
            world.server.end(peer);
            world.settle();
            idle = Some(world.visitor());
        }
    }
    let idle = idle.expect("one");
    if world.server.client_count() < 3000 {
        world.open();
    }
    let mut refused = 0;
    loop {
        world.pass(millis(20));
        let newcomer = world.connect();
        if world.server.is_closed(idle) {
            assert_eq!(status(&world.ask(newcomer, HANDSHAKE)), 101);
            break;
        }
        assert_eq!(status(&world.server.take_output(newcomer)), 503);
        world.server.end(newcomer);
        world.settle();
        refused += 1;
        assert!(refused <= 3000 / 64 + 1);
    }
    assert!(refused > 3, "{refused}");
}

/// A crowd that comes at once replaces the idle ones, and none of it the others of it.
#[test]
fn a_crowd_of_newcomers_takes_the_places_of_the_idle() {
    let mut world = start(200);
    let idle: Vec<_> = (0..200).map(|_| world.visitor()).collect();
    world.pass(seconds(1));
    let crowd: Vec<_> = (0..200).map(|_| world.server.connect(true)).collect();
    for peer in &crowd {
        world.server.send(*peer, HANDSHAKE);
    }
    world.settle();
    assert!(idle.iter().all(|peer| world.server.is_closed(*peer)));
    for peer in crowd {
        assert_eq!(status(&world.server.take_output(peer)), 101);
    }
    assert_eq!(world.server.client_count(), 200);
}

/// The frames of an HTTP/2 client that begins: its preface, and no settings of its own.
#[cfg(feature = "http2")]
const HTTP2_BEGIN: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Its request for `/` on that stream.
#[cfg(feature = "http2")]
fn http2_get(stream: u32) -> Vec<u8> {
    let [a, b, c, d] = stream.to_be_bytes();
    [&[0, 0, 6, 1, 5, a, b, c, d][..], b"\x82\x86\x84\x41\x01a"].concat()
}

/// Streams come to their end in each turn, and make no room.
#[cfg(feature = "http2")]
#[test]
fn who_asks_over_http2_without_a_pause_holds_up_no_newcomer() {
    let mut world = start(2);
    let busy = world.connect();
    world.send(busy, HTTP2_BEGIN);
    let idle = world.visitor();
    world.pass(seconds(1));
    let newcomer = world.server.connect(true);
    world.server.send(newcomer, GET);
    for turn in 0..20 {
        world.server.send(busy, &http2_get(2 * turn + 1));
        world.server.turn().expect("it lives");
        assert!(!world.server.take_output(busy).is_empty(), "turn {turn}");
    }
    assert!(world.server.is_closed(idle));
    assert_eq!(status(&world.server.take_output(newcomer)), 200);
}

/// A response that is sent in pieces waits for nobody's request.
#[test]
fn a_stream_that_says_nothing_is_not_idle() {
    let streams: Rc<RefCell<Vec<ResponseStream>>> = Rc::default();
    let kept = Rc::clone(&streams);
    let router = greeting().get(
        "/stream",
        move |_: &mut Request, response: &mut Response| {
            kept.borrow_mut().push(response.stream());
        },
    );
    let config = Config {
        max_connections: Some(1),
        ..Config::default()
    };
    let mut world = World::start_with(config, router);
    let listener: Peer = world.connect();
    assert_eq!(
        status(&world.ask(listener, b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")),
        200
    );
    world.pass(seconds(60));
    let refused = world.connect();
    assert_eq!(status(&world.server.take_output(refused)), 503);
    streams.borrow()[0].end();
    world.server.wake();
    world.settle();
    assert!(world.server.take_output(listener).ends_with(b"0\r\n\r\n"));
    // Now it is.
    let newcomer = world.visitor();
    assert!(world.server.is_closed(listener) && !world.server.is_closed(newcomer));
}
