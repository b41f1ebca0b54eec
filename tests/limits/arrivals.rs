//! How many connections and handshakes there may be in a second.

use crate::{GET, HANDSHAKE, World, millis, seconds, status};
use aerys::{ClientId, Config, Message, Request, Response, Router, WebSocketConfig};
use aerys::{WebSocketHandler, websocket};
use std::cell::Cell;
use std::rc::Rc;

#[test]
fn those_beyond_the_rate_wait_and_are_all_served_in_the_end() {
    let mut world = World::start(
        Config {
            max_connections_per_second: Some(100),
            ..Config::default()
        },
        WebSocketConfig::default(),
    );
    let early = world.visitor();
    let crowd: Vec<_> = (0..500).map(|_| world.server.connect(true)).collect();
    for peer in &crowd {
        world.server.send(*peer, GET);
    }
    world.settle();
    assert_eq!(world.server.client_count(), 100);
    // Who is connected does not wait with them.
    assert_eq!(status(&world.ask(early, GET)), 200);
    for tenths in 1..=40_usize {
        assert!(world.server.client_count() <= 100 + tenths * 10, "{tenths}");
        world.pass(millis(100));
    }
    world.pass(millis(200));
    assert_eq!(world.server.client_count(), 501);
    for peer in crowd {
        assert_eq!(status(&world.server.take_output(peer)), 200);
    }
}

/// Nothing is to be done while they wait: the loop sleeps until the next may come.
#[test]
fn a_loop_whose_newcomers_wait_is_not_busy() {
    let mut world = World::start(
        Config {
            max_connections_per_second: Some(10),
            ..Config::default()
        },
        WebSocketConfig::default(),
    );
    for _ in 0..50 {
        world.server.connect(false);
    }
    world.settle();
    assert_eq!(world.server.client_count(), 10);
    world.server.turn().expect("it lives");
    assert_eq!(world.server.last_timeout(), Some(millis(100)));
    world.server.exhaust_descriptors(1);
    world.pass(seconds(5));
    assert_eq!(world.server.client_count(), 50);
}

#[test]
fn newcomers_just_below_the_rate_never_wait() {
    let mut world = World::start(
        Config {
            max_connections_per_second: Some(100),
            ..Config::default()
        },
        WebSocketConfig::default(),
    );
    for _ in 0..60 {
        for _ in 0..99 {
            let peer = world.visitor();
            world.server.end(peer);
        }
        world.pass(seconds(1));
    }
    for _ in 0..1000 {
        let peer = world.visitor();
        world.server.end(peer);
        world.pass(millis(11));
    }
    assert_eq!(world.server.client_count(), 0);
}

/// Counts whom it is asked for.
struct Door(Rc<Cell<usize>>);

impl WebSocketHandler for Door {
    type HandshakeData = ();

    fn on_handshake(&mut self, _: &Request, _: &mut Response) -> Option<()> {
        self.0.set(self.0.get() + 1);
        Some(())
    }

    fn on_data(&mut self, _: ClientId, _: Message<'_>) {}
}

fn start_door(rate: u32) -> (World, Rc<Cell<usize>>) {
    let count = Rc::new(Cell::new(0));
    let asked = Rc::clone(&count);
    let door = websocket(|_| Door(asked)).config(WebSocketConfig {
        max_handshakes_per_second: Some(rate),
        ..WebSocketConfig::default()
    });
    let world = World::start_with(Config::default(), Router::new().get("/ws", door));
    (world, count)
}

#[test]
fn handshakes_beyond_the_rate_are_answered_503_and_the_handler_is_not_asked() {
    let (mut world, count) = start_door(10);
    let mut waiting = Vec::new();
    for number in 0..30 {
        let peer = world.connect();
        // One that is none costs nobody's place.
        assert_eq!(
            status(&world.ask(peer, b"GET /ws HTTP/1.1\r\nHost: a\r\n\r\n")),
            426
        );
        let answer = world.ask(peer, HANDSHAKE);
        if number < 10 {
            assert_eq!(status(&answer), 101);
            continue;
        }
        assert_eq!(status(&answer), 503);
        let text = String::from_utf8_lossy(&answer).to_lowercase();
        assert!(text.contains("\r\nretry-after: 1\r\n"), "{text}");
        waiting.push(peer);
    }
    assert_eq!(count.get(), 10);
    // They may ask again on the same connection, when they were told to.
    for (index, peer) in waiting.into_iter().enumerate() {
        if index % 10 == 0 {
            world.pass(seconds(1));
        }
        assert_eq!(status(&world.ask(peer, HANDSHAKE)), 101, "{index}");
    }
    assert_eq!(count.get(), 30);
}

#[test]
fn handshakes_just_below_the_rate_are_all_accepted() {
    let (mut world, count) = start_door(10);
    for number in 0..600 {
        let peer = world.open();
        world.server.end(peer);
        world.pass(millis(101));
        assert_eq!(count.get(), number + 1);
    }
}
