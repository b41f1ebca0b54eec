//! Ping and Pong (RFC 6455 sections 5.5.2 and 5.5.3), and the server's own heartbeat.

use std::io::Write;
use std::time::{Duration, Instant};

use aerys::WebSocketConfig;

use crate::client::{Client, PING, PONG, TEXT, frame};
use crate::support::{Event, TestServer, echo};

/// Scenario 4.
#[test]
fn a_ping_is_answered_with_its_payload() {
    let server = TestServer::echo();
    let mut client = Client::open(server.address, "/");
    client.send_raw([0x89, 0x83, 0xF4, 0x37, 0x7A, 0x9C, 0x92, 0x58, 0x15]);
    assert_eq!(client.read_bytes(5), [0x8A, 0x03, 0x66, 0x6F, 0x6F]);
    for len in [0, 1, 124, 125] {
        client.send(true, PING, vec![0xFE; len]);
        assert_eq!(client.read_message(PONG), vec![0xFE; len]);
    }
}

#[test]
fn a_pong_that_nobody_asked_for_is_ignored() {
    let server = TestServer::echo();
    let mut client = Client::open(server.address, "/");
    for _ in 0..1000 {
        client.send(true, PONG, "unasked");
    }
    client.send_text("still here");
    assert_eq!(client.read_text(), "still here");
}

/// Pongs of 12 MB meet a receive buffer of a few KiB: as RFC 6455 section 5.5.3 allows, some of them
/// may be left out, so that such a flood cannot grow the backlog; the last may not.
#[test]
fn a_flood_of_pings_is_survived_and_its_last_ping_answered() {
    const PINGS: usize = 100_000;
    let server = TestServer::echo();
    let mut client = Client::open_narrow(server.address, "/");
    let mut writer = client.writer();
    let sender = std::thread::spawn(move || {
        for number in 0..PINGS {
            let payload = format!("{number:0125}");
            writer
                .write_all(&frame(true, PING, payload.as_bytes()))
                .expect("it reads on");
        }
    });
    // Meanwhile both directions fill up.
    std::thread::sleep(Duration::from_millis(500));
    let mut last = None;
    while last != Some(PINGS - 1) {
        let payload = String::from_utf8(client.read_message(PONG)).expect("digits");
        let number = payload.parse().expect("a number");
        assert!(last < Some(number), "{number} behind {last:?}");
        last = Some(number);
    }
    sender.join().expect("the server took all pings");
    assert!(
        server
            .remaining_events()
            .iter()
            .all(|event| !matches!(event, Event::Close(..)))
    );
}

#[test]
fn a_silent_client_is_pinged_and_closed_with_1008_when_it_does_not_answer() {
    let config = WebSocketConfig {
        heartbeat: Some(Duration::from_millis(100)),
        max_unanswered_pings: 3,
        ..WebSocketConfig::default()
    };
    let server = TestServer::websocket(config, echo);
    let begun = Instant::now();
    let (mut client, id) = server.open("/");
    for _ in 0..3 {
        client.read_message(PING);
    }
    client.expect_close(1008);
    let took = begun.elapsed();
    assert!(
        (Duration::from_millis(400)..Duration::from_secs(3)).contains(&took),
        "{took:?}"
    );
    client.expect_eof();
    let (closed, code, _) = server.close_event();
    assert_eq!((closed, code), (id, 1008));
}

#[test]
fn a_pong_or_any_other_byte_is_an_answer() {
    let config = WebSocketConfig {
        heartbeat: Some(Duration::from_millis(250)),
        max_unanswered_pings: 1,
        ..WebSocketConfig::default()
    };
    let server = TestServer::websocket(config, echo);
    let mut client = Client::open(server.address, "/");
    for round in 0..6 {
        let payload = client.read_message(PING);
        match round % 3 {
            0 => client.send(true, PONG, payload),
            1 => client.send(true, PONG, "not what was asked"),
            // The first bytes of a frame that is completed in the next round.
            _ => client.send_raw(&frame(true, PONG, b"late")[..7]),
        }
        if round % 3 == 2 {
            client.read_message(PING);
            client.send_raw(&frame(true, PONG, b"late")[7..]);
        }
    }
    client.send_text("alive");
    let answer = loop {
        let frame = client.read_frame();
        if frame.opcode != PING {
            break frame;
        }
    };
    assert_eq!((answer.opcode, &answer.payload[..]), (TEXT, &b"alive"[..]));
}

#[test]
fn traffic_postpones_the_heartbeat_and_none_switches_it_off() {
    let config = WebSocketConfig {
        heartbeat: Some(Duration::from_secs(1)),
        ..WebSocketConfig::default()
    };
    let server = TestServer::websocket(config, echo);
    let mut client = Client::open(server.address, "/");
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(2200) {
        client.send_text("busy");
        assert_eq!(client.read_text(), "busy");
        std::thread::sleep(Duration::from_millis(40));
    }
    drop(client);
    drop(server);

    for heartbeat in [None, Some(Duration::ZERO)] {
        let config = WebSocketConfig {
            heartbeat,
            ..WebSocketConfig::default()
        };
        let server = TestServer::websocket(config, echo);
        let mut client = Client::open(server.address, "/");
        client.expect_silence(Duration::from_millis(300));
    }
}
