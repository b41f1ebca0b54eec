//! What all clients may have together: half-read input, timers, and what is to be sent later.

use crate::{
    HANDSHAKE, TEXT, World, begin_of_frame, frame, frames, greeting, millis, seconds, status,
};
use aerys::{
    ClientId, Config, Endpoint, Message, Request, Response, WebSocketConfig, WebSocketHandler,
    websocket,
};
use std::time::Duration;

/// Of text it sends each byte later, of binary messages all; both a second.
struct Later {
    ws: Endpoint,
}

impl WebSocketHandler for Later {
    type HandshakeData = ();

    fn on_handshake(&mut self, _: &Request, _: &mut Response) -> Option<()> {
        Some(())
    }

    fn on_data(&mut self, client: ClientId, message: Message<'_>) {
        let delay = Duration::from_secs(1);
        match message {
            Message::Text(text) => {
                for letter in text.split_inclusive(|_| true) {
                    self.ws.send_after(delay, client, letter);
                }
            }
            Message::Binary(bytes) => _ = self.ws.send_after(delay, client, bytes),
        }
    }
}

fn start(config: Config) -> World {
    let later = websocket(|ws| Later { ws });
    World::start_with(config, greeting().get("/ws", later))
}

#[test]
fn more_delayed_sends_than_there_may_be_are_dropped() {
    let mut world = start(Config {
        max_timers: 100,
        ..Config::default()
    });
    let peer = world.open();
    world.send(peer, &frame(TEXT, &[b'a'; 60]));
    world.send(peer, &frame(TEXT, &[b'b'; 60]));
    world.pass(seconds(1));
    let came = world.frames(peer);
    let count = |letter| came.iter().filter(|(_, text)| text == &[letter]).count();
    assert_eq!((count(b'a'), count(b'b')), (60, 40));
}

#[test]
fn as_many_delayed_sends_as_there_may_be_come_second_after_second() {
    let mut world = start(Config {
        max_timers: 100,
        ..Config::default()
    });
    let peer = world.open();
    for _ in 0..100 {
        world.send(peer, &frame(TEXT, &[b'a'; 100]));
        world.pass(seconds(1));
        assert_eq!(world.frames(peer).len(), 100);
    }
}

#[test]
fn delayed_sends_of_more_bytes_than_there_may_be_are_dropped() {
    let mut world = start(Config {
        max_delayed_bytes: 100_000,
        ..Config::default()
    });
    let peer = world.open();
    for _ in 0..20 {
        world.send(peer, &frame(0x2, &[7; 10_000]));
    }
    world.pass(seconds(1));
    assert_eq!(world.frames(peer).len(), 9, "each has a header");
}

/// What is sent makes room.
#[test]
fn delayed_sends_of_as_many_bytes_as_there_may_be_come_second_after_second() {
    let mut world = start(Config {
        max_delayed_bytes: 100_000,
        ..Config::default()
    });
    let peer = world.open();
    for _ in 0..100 {
        for _ in 0..9 {
            world.send(peer, &frame(0x2, &[7; 10_000]));
        }
        world.pass(seconds(1));
        assert_eq!(world.frames(peer).len(), 9);
    }
}

#[test]
fn who_brings_more_half_read_input_than_there_may_be_is_told_when_to_try_again() {
    let mut world = start(Config {
        max_buffered_input_bytes: 100_000,
        ..Config::default()
    });
    let half = [&begin_of_frame(0x82, 100_000)[..], &vec![0; 60_000]].concat();
    let first = world.open();
    world.send(first, &half);
    let second = world.open();
    world.send(second, &half);
    assert_eq!(world.expect_close(second).0, 1013);
    let third = world.connect();
    world.send(
        third,
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n",
    );
    let answer = world.ask(third, &vec![b'x'; 60_000]);
    assert_eq!(status(&answer), 503);
    let text = String::from_utf8_lossy(&answer).to_lowercase();
    assert!(text.contains("\r\nretry-after: 1\r\n"), "{text}");
    // The first one is not disturbed.
    world.send(first, &vec![0; 40_000]);
    world.pass(seconds(1));
    assert_eq!(world.frames(first), [(0x2, vec![0; 100_000])]);
}

#[test]
fn hundreds_of_halves_just_below_the_total_become_messages() {
    let mut world = start(Config {
        max_buffered_input_bytes: 200 * 20_000,
        ..Config::default()
    });
    let crowd: Vec<_> = (0..200).map(|_| world.open()).collect();
    for _ in 0..5 {
        for peer in &crowd {
            let half = [&begin_of_frame(0x82, 11_000)[..], &[0; 10_000]].concat();
            world.send(*peer, &half);
        }
        for peer in &crowd {
            world.send(*peer, &[0; 1000]);
        }
        world.pass(seconds(1) + millis(100));
        for peer in &crowd {
            assert_eq!(
                frames(&world.server.take_output(*peer)),
                [(0x2, vec![0; 11_000])]
            );
        }
    }
}

/// None of these is a limit that anybody meets.
#[test]
fn endpoints_with_times_and_rates_beyond_all_bounds_serve() {
    for (time, rate) in [(Duration::ZERO, 0), (Duration::MAX, u32::MAX)] {
        let mut world = World::start(
            Config {
                max_connections_per_address: Some(usize::MAX),
                max_connections_per_second: Some(rate),
                ..Config::default()
            },
            WebSocketConfig {
                max_lifetime: Some(time),
                idle_timeout: Some(time),
                max_handshakes_per_second: Some(rate),
                max_frames_per_second: Some(rate),
                max_bytes_per_second: Some(rate.into()),
                ..WebSocketConfig::default()
            },
        );
        let peer = world.connect();
        assert_eq!(status(&world.ask(peer, HANDSHAKE)), 101);
        world.pass(seconds(9));
        if rate > 0 {
            world.expect_echo(peer, "hello");
        } else {
            // A frame a second, and a byte.
            world.send(peer, &frame(TEXT, b"h"));
            world.pass(seconds(8));
            assert!(world.frames(peer).contains(&(TEXT, b"h".to_vec())));
        }
    }
}
