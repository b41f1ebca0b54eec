//! How long WebSocket clients may be silent, idle, open, and closing.

use crate::{CLOSE, PING, PONG, TEXT, World, begin_of_frame, frame, just_before, millis, seconds};
use aerys::{Config, WebSocketConfig};

fn start(options: WebSocketConfig) -> World {
    World::start(Config::default(), options)
}

#[test]
fn a_client_that_answers_no_ping_is_closed_when_the_next_one_is_due() {
    let mut world = start(WebSocketConfig::default());
    let silent = world.open();
    world.pass(seconds(39) + millis(900));
    let pings = vec![(PING, vec![]); 3];
    assert_eq!(world.frames(silent), pings);
    world.pass(millis(100));
    assert_eq!(world.expect_close(silent).0, 1008);
}

/// Of four pings it answers the last one, and just in time.
#[test]
fn a_client_that_answers_its_last_ping_at_the_last_moment_stays_for_hours() {
    let mut world = start(WebSocketConfig::default());
    let sleepy = world.open();
    for _ in 0..300 {
        world.pass(seconds(39) + millis(900));
        assert_eq!(world.frames(sleepy).len(), 3);
        world.send(sleepy, &frame(PONG, b""));
    }
    world.expect_echo(sleepy, "still there");
}

#[test]
fn a_client_is_closed_with_1001_at_its_greatest_lifetime_whatever_it_does() {
    let mut world = start(WebSocketConfig {
        max_lifetime: Some(seconds(3600)),
        ..WebSocketConfig::default()
    });
    let (busy, quiet) = (world.open(), world.open());
    let mut late = None;
    for second in 0..3599 {
        world.pass_ponging(&[quiet], seconds(1));
        world.expect_echo(busy, &second.to_string());
        if second == 1800 {
            late = Some(world.open());
        } else if let Some(late) = late {
            world.expect_echo(late, "half as old");
        }
    }
    let late = late.expect("it came");
    world.pass_ponging(&[quiet], millis(999));
    world.expect_echo(busy, "to the last moment");
    // More than one read of it: it always has something to say.
    world
        .server
        .send(busy, &frame(TEXT, b"and on").repeat(50_000));
    world.pass(millis(1));
    let reason = (1001, "Open for as long as may be".to_owned());
    assert_eq!(world.expect_close(quiet), reason);
    let frames = world.frames(busy);
    let (last, echoes) = frames.split_last().expect("a Close");
    assert_eq!((last.0, &last.1[..2]), (CLOSE, &1001_u16.to_be_bytes()[..]));
    assert!(echoes.iter().all(|(opcode, _)| *opcode == TEXT));
    world.expect_echo(late, "for another half of an hour");
}

/// The streams of others that fall due go in slices, and nobody is overlooked.
#[test]
fn thousands_whose_lifetime_ends_at_once_are_all_closed_then() {
    let mut world = start(WebSocketConfig {
        heartbeat: None,
        max_lifetime: Some(seconds(60)),
        ..WebSocketConfig::default()
    });
    let crowd: Vec<_> = (0..3000).map(|_| world.open()).collect();
    world.pass(just_before(seconds(60)));
    assert_eq!(world.server.client_count(), 3000);
    world.pass(millis(1));
    for peer in crowd {
        assert_eq!(world.expect_close(peer).0, 1001);
        world
            .server
            .send(peer, &frame(CLOSE, &1001_u16.to_be_bytes()));
    }
    world.pass(seconds(3));
    assert_eq!(world.server.client_count(), 0);
}

/// An endpoint whose clients are to say or hear something in each 80 s.
fn start_with_idle_time() -> World {
    start(WebSocketConfig {
        idle_timeout: Some(seconds(80)),
        ..WebSocketConfig::default()
    })
}

#[test]
fn a_client_without_messages_is_closed_with_1001_though_it_answers_every_ping() {
    let mut world = start_with_idle_time();
    let silent = world.open();
    world.pass_ponging(&[silent], seconds(75));
    // Nor do its own pings count, whole or in pieces.
    world.send(silent, &frame(PING, b"?"));
    assert_eq!(world.frames(silent), [(PONG, b"?".to_vec())]);
    world.send(silent, &begin_of_frame(0x80 | PING, 2));
    world.send(silent, b"?");
    world.pass(just_before(seconds(5)));
    assert_eq!(world.frames(silent), []);
    world.pass(millis(1));
    let reason = (1001, "Idle for too long".to_owned());
    assert_eq!(world.expect_close(silent), reason);
}

/// What it said last may have been seen an eighth later.
#[test]
fn a_client_is_idle_from_its_last_message_on_and_closed_at_most_an_eighth_late() {
    let mut world = start_with_idle_time();
    let client = world.open();
    for _ in 0..5 {
        world.pass_ponging(&[client], seconds(79) + millis(900));
        world.expect_echo(client, "in time");
    }
    world.pass_ponging(&[client], just_before(seconds(80)));
    assert!(!world.server.is_closed(client));
    world.pass(seconds(10));
    assert_eq!(close_of(&mut world, client), Some(1001));
}

/// The code of the Close among the frames that a client got.
fn close_of(world: &mut World, peer: aerys::internals::Peer) -> Option<u16> {
    let frames = world.frames(peer);
    let close = frames.iter().find(|(opcode, _)| *opcode == CLOSE);
    close.map(|(_, payload)| crate::close_code(payload).0)
}

#[test]
fn who_only_speaks_is_not_idle() {
    let mut world = start_with_idle_time();
    let speaker = world.open();
    for _ in 0..10 {
        world.pass_ponging(&[speaker], seconds(79));
        world.send(speaker, &frame(TEXT, b""));
    }
    assert_eq!(world.frames(speaker), []);
    assert!(!world.server.is_closed(speaker));
}

#[test]
fn who_only_listens_is_not_idle_and_who_hears_nothing_is() {
    let mut world = start_with_idle_time();
    let (speaker, listener) = (world.open(), world.open());
    for _ in 0..10 {
        world.pass_ponging(&[speaker, listener], seconds(79));
        let everybody = frame(0x2, b"news");
        world.send(speaker, &everybody);
        for peer in [speaker, listener] {
            assert_eq!(world.frames(peer), [(0x2, b"news".to_vec())]);
        }
    }
    world.pass_ponging(&[speaker, listener], seconds(79));
    world.pass(seconds(11));
    assert_eq!(close_of(&mut world, speaker), Some(1001));
    assert_eq!(close_of(&mut world, listener), Some(1001));
    assert_eq!(world.server.aside_count(), 2);
    world.pass(seconds(3));
    assert_eq!(
        (world.server.client_count(), world.server.aside_count()),
        (0, 0)
    );
}

/// Its message takes seven times the idle time, and what it is sent does.
#[test]
fn who_is_amid_a_message_either_way_is_not_idle() {
    let mut world = start_with_idle_time();
    let (sender, receiver) = (world.open(), world.open());
    world.send(sender, &begin_of_frame(0x80 | TEXT, 20));
    world.server.set_room(receiver, 1);
    world.send(receiver, &frame(TEXT, &[b'a'; 20]));
    let mut bytes = world.server.take_output(receiver);
    for _ in 0..20 {
        for _ in 0..29 {
            world.pass(seconds(1));
            let _ = world.server.take_output(sender);
        }
        world.send(sender, b"a");
        for _ in 0..2 {
            // A byte more, and a sign of life.
            world.server.set_room(receiver, 1);
            world.settle();
            world.send(receiver, &frame(PONG, b""));
            world.pass(millis(1));
            bytes.extend(world.server.take_output(receiver));
        }
    }
    let echo = (TEXT, vec![b'a'; 20]);
    assert!(world.frames(sender).contains(&echo));
    world.server.set_room(receiver, u64::MAX);
    world.settle();
    bytes.extend(world.server.take_output(receiver));
    assert_eq!(crate::frames(&bytes)[0], echo);
    world.expect_echo(sender, "and on");
}

/// What it said lies in its socket, and it is we who do not read it.
#[test]
fn who_sends_faster_than_it_may_is_not_idle_meanwhile() {
    let mut world = start(WebSocketConfig {
        heartbeat: None,
        max_bytes_per_second: Some(100),
        idle_timeout: Some(seconds(20)),
        ..WebSocketConfig::default()
    });
    let fast = world.open();
    // A debt of more than a minute.
    world.send(fast, &frame(TEXT, b"a").repeat(1000));
    world.pass(seconds(69));
    assert_eq!(world.frames(fast), []);
    world.pass(seconds(2));
    assert_eq!(world.frames(fast).len(), 1000);
    world.pass(seconds(23));
    assert_eq!(world.expect_close(fast).0, 1001);
}

/// Half a message that does not go on is none.
#[test]
fn who_stopped_amid_a_message_is_idle() {
    let mut world = start(WebSocketConfig {
        heartbeat: None,
        idle_timeout: Some(seconds(80)),
        ..WebSocketConfig::default()
    });
    let client = world.open();
    world.send(client, &begin_of_frame(0x80 | TEXT, 20));
    world.send(client, b"half");
    world.pass(just_before(seconds(90)));
    assert_eq!(world.frames(client), []);
    world.pass(millis(1));
    assert_eq!(world.expect_close(client).0, 1001);
}

#[test]
fn without_these_times_a_client_may_say_nothing_for_a_week() {
    let never = Some(std::time::Duration::MAX);
    for time in [None, Some(seconds(0)), never] {
        let mut world = start(WebSocketConfig {
            heartbeat: None,
            max_lifetime: time,
            idle_timeout: time,
            ..WebSocketConfig::default()
        });
        let client = world.open();
        for _ in 0..7 {
            world.server.advance(seconds(24 * 3600));
            world.settle();
        }
        world.expect_echo(client, "hello");
    }
}

#[test]
fn a_peer_that_answers_no_close_is_cut_at_the_close_timeout() {
    let mut world = start(WebSocketConfig {
        max_lifetime: Some(seconds(1)),
        ..WebSocketConfig::default()
    });
    let silent = world.open();
    world.pass(seconds(1));
    assert_eq!(world.expect_close(silent).0, 1001);
    world.pass(just_before(seconds(3)));
    assert_eq!(world.server.client_count(), 1);
    world.pass(millis(1));
    assert_eq!(world.server.client_count(), 0);
}

/// Its Close comes late, and with it all that it was sent before.
#[test]
fn a_peer_that_takes_all_of_the_close_timeout_gets_all_that_was_sent() {
    let mut world = start(WebSocketConfig {
        max_lifetime: Some(seconds(2)),
        ..WebSocketConfig::default()
    });
    let slow = world.open();
    world.pass(seconds(1));
    world.server.set_room(slow, 0);
    world.send(slow, &frame(TEXT, &[b'a'; 300]));
    let mut received = Vec::new();
    for _ in 0..39 {
        world.pass(millis(100));
        world.server.set_room(slow, 10);
        world.settle();
        received.extend(world.server.take_output(slow));
    }
    let frames = crate::frames(&received);
    assert_eq!(frames[0], (TEXT, vec![b'a'; 300]));
    assert_eq!(frames[1].0, CLOSE);
    world.send(slow, &frame(CLOSE, &1001_u16.to_be_bytes()));
    world.server.end(slow);
    world.settle();
    assert_eq!(world.server.client_count(), 0);
}
