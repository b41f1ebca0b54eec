//! How many frames and bytes a client may send in a second, and what its messages are made of.

use crate::{CLOSE, TEXT, World, begin_of_frame, close_code, frame, millis, seconds};
use aerys::{Config, WebSocketConfig};

fn start(options: WebSocketConfig) -> World {
    World::start(Config::default(), options)
}

#[test]
fn frames_beyond_the_rate_wait_and_none_is_lost() {
    let mut world = start(WebSocketConfig {
        max_frames_per_second: Some(100),
        ..WebSocketConfig::default()
    });
    let (fast, calm) = (world.open(), world.open());
    world.send(fast, &frame(TEXT, b"a").repeat(1000));
    let mut count = 0;
    for second in 1..=9 {
        count += world.frames(fast).len();
        assert!(count <= second * 100, "{count} in second {second}");
        world.expect_echo(calm, "not slowed");
        world.pass(millis(999));
    }
    world.pass(seconds(1));
    assert_eq!(count + world.frames(fast).len(), 1000);
}

#[test]
fn bytes_beyond_the_rate_wait_and_none_is_lost() {
    let mut world = start(WebSocketConfig {
        heartbeat: None,
        max_bytes_per_second: Some(10_000),
        ..WebSocketConfig::default()
    });
    let fast = world.open();
    let message = frame(TEXT, &[b'a'; 494]);
    assert_eq!(message.len(), 502);
    let mut count = 0;
    for sent in 0..200 {
        world.send(fast, &message);
        count += world.frames(fast).len();
        assert!(count <= 21, "{count} of {sent}");
    }
    for second in 1..=9 {
        world.pass(seconds(1));
        count += world.frames(fast).len();
        // What one read brings is not cut.
        assert!(count <= 200, "{count} in second {second}");
    }
    world.pass(seconds(2));
    assert_eq!(count + world.frames(fast).len(), 200);
}

#[test]
fn a_client_just_below_both_rates_is_answered_at_once_for_minutes() {
    let mut world = start(WebSocketConfig {
        max_frames_per_second: Some(100),
        max_bytes_per_second: Some(100_000),
        ..WebSocketConfig::default()
    });
    let peer = world.open();
    let text = "a".repeat(990);
    for _ in 0..100 {
        for _ in 0..99 {
            world.expect_echo(peer, &text);
        }
        world.pass(seconds(1));
    }
    for _ in 0..3000 {
        world.expect_echo(peer, &text);
        world.pass(millis(11));
    }
}

#[test]
fn a_million_empty_fragments_are_refused_after_a_thousand() {
    let mut world = start(WebSocketConfig::default());
    let peer = world.open();
    world.send(peer, &begin_of_frame(TEXT, 0));
    let empty = begin_of_frame(0, 0);
    world.send(peer, &empty.repeat(999));
    assert_eq!(world.frames(peer), []);
    world.send(peer, &empty.repeat(100_000));
    assert_eq!(world.expect_close(peer).0, 1008);
}

/// Neither a thousand empty fragments in a row nor a million that are not.
#[test]
fn messages_of_very_many_fragments_are_whole() {
    let mut world = start(WebSocketConfig::default());
    let peer = world.open();
    let empty = begin_of_frame(0, 0).repeat(999);
    let one = [&begin_of_frame(0, 1)[..], b"a"].concat();
    world.send(peer, &begin_of_frame(TEXT, 0));
    for _ in 0..100 {
        world.send(peer, &empty);
        world.send(peer, &one);
    }
    world.send(peer, &one.repeat(200_000));
    world.send(peer, &begin_of_frame(0x80, 0));
    let frames = world.frames(peer);
    assert_eq!(frames, [(TEXT, vec![b'a'; 200_100])]);
}

/// Whatever a client does with its pings, it has one answer to wait for.
#[test]
fn pings_that_nobody_reads_the_answers_of_cost_one_pong() {
    let mut world = start(WebSocketConfig::default());
    let peer = world.open();
    world.server.set_room(peer, 0);
    for number in 0..10_000_u32 {
        world.server.send(peer, &frame(0x9, &number.to_be_bytes()));
        if number % 100 == 0 {
            world.settle();
        }
    }
    world.settle();
    world.server.set_room(peer, u64::MAX);
    world.settle();
    let frames = world.frames(peer);
    let (last, first) = frames.split_last().expect("a Pong");
    assert_eq!(*last, (0xA, 9999_u32.to_be_bytes().to_vec()));
    // Those of the first read, which found out that the socket is full.
    assert!(first.len() <= 200, "{}", first.len());
}

#[test]
fn sizes_are_judged_to_the_byte_again_and_again() {
    let mut world = start(WebSocketConfig {
        max_frame_bytes: 10_000,
        max_message_bytes: 25_000,
        ..WebSocketConfig::default()
    });
    let peer = world.open();
    let fragment = |first, len: usize| [begin_of_frame(first, len), vec![b'a'; len]].concat();
    let longest = [
        fragment(TEXT, 10_000),
        fragment(0, 10_000),
        fragment(0x80, 5000),
    ]
    .concat();
    for _ in 0..200 {
        world.send(peer, &longest);
        assert_eq!(world.frames(peer), [(TEXT, vec![b'a'; 25_000])]);
    }
    let too_long = [
        begin_of_frame(0x80 | TEXT, 10_001),
        [
            &fragment(TEXT, 10_000)[..],
            &fragment(0, 10_000),
            &begin_of_frame(0, 5001),
        ]
        .concat(),
    ];
    for bytes in too_long {
        let peer = world.open();
        let came = world.ask(peer, &bytes);
        let [(CLOSE, payload)] = &crate::frames(&came)[..] else {
            panic!("{}", came.escape_ascii());
        };
        assert_eq!(close_code(payload).0, 1009);
    }
}
