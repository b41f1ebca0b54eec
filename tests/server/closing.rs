//! The closing handshake and every other end of a connection (RFC 6455 sections 5.5.1, 7.1, 7.4).

use std::time::{Duration, Instant};

use aerys::{Endpoint, WebSocketConfig};

use crate::client::{CLOSE, Client, PING, PONG, TEXT, close_payload, frame};
use crate::support::{Event, TestServer, echo};

/// Scenario 5.
#[test]
fn an_empty_close_is_answered_with_an_empty_close() {
    let server = TestServer::echo();
    let (mut client, id) = server.open("/");
    client.send_raw([0x88, 0x80, 0xF4, 0x37, 0x7A, 0x9C]);
    assert_eq!(client.read_to_eof(), [0x88, 0x00]);
    assert_eq!(
        server.remaining_events(),
        [Event::Close(id, 1005, String::new())]
    );
}

/// Scenario 6.
#[test]
fn a_close_with_a_code_is_answered_with_that_code() {
    let server = TestServer::echo();
    let (mut client, id) = server.open("/");
    client.send_raw([0x88, 0x82, 0xF4, 0x37, 0x7A, 0x9C, 0xF7, 0xDE]);
    assert_eq!(client.read_to_eof(), [0x88, 0x02, 0x03, 0xE9]);
    assert_eq!(
        server.remaining_events(),
        [Event::Close(id, 1001, String::new())]
    );
}

/// Scenario 7, and the whole registry.
#[test]
fn legal_close_codes_are_echoed_and_all_others_refused() {
    let server = TestServer::echo();
    for code in [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000,
        4999,
    ] {
        let (mut client, id) = server.open("/");
        client.send(true, CLOSE, close_payload(code, "Grüße"));
        client.expect_close(code);
        client.expect_eof();
        assert_eq!(server.event(), Event::Close(id, code, "Grüße".into()));
    }
    for code in [
        0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 9999, 65535,
    ] {
        let (mut client, id) = server.open("/");
        client.send_close(code);
        client.expect_close(1002);
        client.expect_eof();
        let closed = server.close_event();
        assert_eq!((closed.0, closed.1), (id, 1002), "{code}");
    }
}

#[test]
fn a_close_payload_that_is_none_is_refused() {
    let server = TestServer::echo();
    for (payload, code) in [
        (&b"\x03"[..], 1002),
        (b"\x03\xE8\xFF", 1007),
        (b"\x03\xE8ok \xC3", 1007),
    ] {
        let (mut client, id) = server.open("/");
        client.send(true, CLOSE, payload);
        client.expect_close(code);
        client.expect_eof();
        let closed = server.close_event();
        assert_eq!((closed.0, closed.1), (id, code));
    }
}

#[test]
fn the_longest_reason_arrives_whole_in_both_directions() {
    let reason = "r".repeat(123);
    let answer = reason.clone();
    let react = move |ws: &Endpoint, event: &Event| {
        if let Event::Text(client, _) = event {
            assert!(
                ws.close(*client, 4000, &format!("{answer}!")).is_err(),
                "124 bytes"
            );
            for code in [0, 999, 1004, 1005, 1006, 1015, 2999, 5000] {
                assert!(ws.close(*client, code, "").is_err(), "{code}");
            }
            ws.close(*client, 4000, &answer).expect("123 bytes fit");
        }
    };
    let server = TestServer::websocket(WebSocketConfig::default(), react);
    let (mut client, id) = server.open("/");
    client.send_text("close me");
    assert_eq!(client.expect_close(4000), reason);
    client.send_close(4000);
    client.expect_eof();
    assert_eq!(server.close_event(), (id, 4000, reason.clone()));

    let (mut client, id) = server.open("/");
    client.send(true, CLOSE, close_payload(3001, &reason));
    client.expect_close(3001);
    assert_eq!(server.close_event(), (id, 3001, reason));
}

/// Scenario 8.
#[test]
fn a_connection_lost_without_a_close_is_1006_and_others_hear_of_it() {
    let react = |ws: &Endpoint, event: &Event| {
        if let Event::Close(client, code, _) = event {
            ws.broadcast(format!("{client} left with {code}"));
        }
    };
    let server = TestServer::websocket(WebSocketConfig::default(), react);
    let (mut witness, _) = server.open("/");
    for way in ["half close", "full close", "reset"] {
        let (mut client, id) = server.open("/");
        match way {
            "half close" => {
                client.shut_down_write();
                client.expect_eof();
            }
            "full close" => drop(client),
            _ => client.reset(),
        }
        assert_eq!(server.close_event().0, id, "{way}");
        assert_eq!(witness.read_text(), format!("{id} left with 1006"), "{way}");
    }
    assert_eq!(server.remaining_events(), []);
}

#[test]
fn messages_that_came_before_the_fin_are_delivered() {
    let server = TestServer::echo();
    let (mut client, id) = server.open("/");
    client.send_text("last words");
    client.shut_down_write();
    let events = server.remaining_events();
    assert_eq!(events[0], Event::Text(id, "last words".into()));
    assert!(
        matches!(events[1..], [Event::Close(closed, 1006, _)] if closed == id),
        "{events:?}"
    );
}

#[test]
fn what_is_behind_a_close_does_not_count_not_even_a_second_close() {
    let server = TestServer::echo();
    let (mut client, id) = server.open("/");
    let bytes = [
        frame(false, TEXT, b"never finished"),
        frame(true, CLOSE, &close_payload(1000, "first")),
        frame(true, TEXT, b"late"),
        frame(true, PING, b"late"),
        frame(true, CLOSE, &close_payload(1001, "second")),
    ];
    client.send_raw(bytes.concat());
    client.expect_close(1000);
    client.expect_eof();
    assert_eq!(
        server.remaining_events(),
        [Event::Close(id, 1000, "first".into())]
    );
}

#[test]
fn the_servers_close_comes_behind_what_was_queued_and_waits_for_ours() {
    let react = |ws: &Endpoint, event: &Event| {
        if let Event::Text(client, _) = event {
            ws.send(*client, "farewell");
            ws.broadcast("to all");
            ws.close(*client, 4001, "enough").expect("a legal code");
            // The id is dead at once.
            ws.send(*client, "never sent");
            assert_eq!(ws.client_count(), 0);
            assert!(ws.clients().is_empty() && ws.info(*client).is_none());
        }
    };
    let server = TestServer::websocket(WebSocketConfig::default(), react);
    let (mut client, id) = server.open("/");
    client.send_raw([frame(true, TEXT, b"one"), frame(true, TEXT, b"two")].concat());
    assert_eq!(client.read_text(), "farewell");
    assert_eq!(client.read_text(), "to all");
    assert_eq!(client.expect_close(4001), "enough");
    // Ours is waited for, and nothing else counts: no pong, no message.
    client.expect_silence(Duration::from_millis(200));
    client.send(true, PING, "");
    client.send_text("three");
    client.expect_silence(Duration::from_millis(100));
    client.send_close(1000);
    client.expect_eof();
    assert_eq!(
        server.event(),
        Event::Text(id, "one".into()),
        "a closed client is not handed the next"
    );
    assert_eq!(
        server.remaining_events(),
        [Event::Close(id, 4001, "enough".into())]
    );
}

/// Scenario 15. The order of what one handler sends by four different calls, with a ping that is
/// answered meanwhile.
#[test]
fn broadcast_send_list_pong_and_close_keep_their_order() {
    // As much as its socket takes: behind a full one no Pong is queued, and none behind a Close.
    let big = format!("foo{}", "*".repeat(1 << 17));
    let expected = big.clone();
    let react = move |ws: &Endpoint, event: &Event| match event {
        Event::Text(client, _) => {
            ws.broadcast(&big);
            ws.send(*client, "bar");
            ws.send(&[*client], "baz");
            let _ = ws.set_timer(Duration::from_millis(300));
        }
        Event::Timer(_) => {
            for client in ws.clients() {
                ws.close(client, 1000, "").expect("a legal code");
            }
        }
        _ => {}
    };
    // Room for all of it, and no pause of reading: the ping is read while "foo" waits.
    let config = WebSocketConfig {
        soft_backlog_bytes: 4 << 20,
        hard_backlog_bytes: 4 << 20,
        close_timeout: Duration::from_secs(8),
        ..WebSocketConfig::default()
    };
    let server = TestServer::websocket(config, react);
    let mut client = Client::open_narrow(server.address, "/");
    client.send_text("go");
    client.send(true, PING, "pingpong");
    std::thread::sleep(Duration::from_millis(400));
    let (mut texts, mut pongs) = (Vec::new(), 0);
    loop {
        let frame = client.read_frame();
        match frame.opcode {
            TEXT => texts.push(String::from_utf8(frame.payload).expect("UTF-8")),
            PONG => {
                assert_eq!(frame.payload, b"pingpong");
                pongs += 1;
            }
            _ => {
                assert_eq!(
                    (frame.opcode, &frame.payload[..]),
                    (CLOSE, &[0x03, 0xE8][..])
                );
                break;
            }
        }
    }
    client.send_close(1000);
    client.expect_eof();
    assert_eq!(pongs, 1);
    assert!(
        texts == [&expected, "bar", "baz"],
        "{:?}",
        texts.iter().map(String::len).collect::<Vec<_>>()
    );
}

#[test]
fn a_peer_that_never_answers_a_close_is_cut_at_the_timeout() {
    let react = |ws: &Endpoint, event: &Event| {
        if let Event::Text(client, _) = event {
            ws.send(*client, vec![0; 12 << 20]);
            ws.close(*client, 1000, "").expect("a legal code");
        }
    };
    let config = WebSocketConfig {
        close_timeout: Duration::from_millis(500),
        ..WebSocketConfig::default()
    };
    let server = TestServer::websocket(config, react);

    // One that reads, and never answers.
    let (mut client, id) = server.open("/");
    let begun = Instant::now();
    client.send_text("close me");
    client.read_frame();
    client.expect_close(1000);
    client.expect_eof();
    let took = begun.elapsed();
    assert!(
        (Duration::from_millis(450)..Duration::from_secs(3)).contains(&took),
        "{took:?}"
    );
    assert_eq!(server.close_event(), (id, 1000, String::new()));

    // One that does not even read: its socket, too, is gone, which its own writes find out.
    let mut client = Client::open_narrow(server.address, "/");
    client.send_text("close me");
    assert_eq!(server.close_event().1, 1000);
    crate::support::wait_until("the socket is cut", || {
        !client.try_send_raw(frame(true, PING, b""))
    });
}

#[test]
fn on_close_comes_once_for_each_on_open() {
    let server = TestServer::websocket(WebSocketConfig::default(), |ws, event| match event {
        Event::Text(client, _) => {
            for _ in 0..3 {
                ws.close(*client, 4002, "again and again")
                    .expect("a legal code");
            }
        }
        Event::Close(client, ..) => {
            ws.close(*client, 4003, "too late").expect("a legal code");
            ws.send(*client, "too late");
        }
        _ => echo(ws, event),
    });
    let (mut client, id) = server.open("/");
    client.send_text("go");
    client.expect_close(4002);
    client.reset();
    assert_eq!(server.event(), Event::Text(id, "go".into()));
    assert_eq!(
        server.remaining_events(),
        [Event::Close(id, 4002, "again and again".into())]
    );
}

/// Both the pause and the close take longer than this client waits for its end.
#[test]
fn a_client_whose_reads_pause_for_its_rate_can_still_answer_a_close() {
    let config = WebSocketConfig {
        max_bytes_per_second: Some(100),
        close_timeout: Duration::from_secs(60),
        heartbeat: None,
        ..WebSocketConfig::default()
    };
    // Closes the client when so much was read of it that its reads pause for a minute.
    let react = |ws: &Endpoint, event: &Event| {
        if let Event::Open(..) | Event::Timer(_) = event {
            for client in ws.clients() {
                let read = ws.info(client).map_or(0, |info| info.bytes_read);
                if read >= 6000 {
                    ws.close(client, 1000, "").expect("a legal code");
                } else {
                    let _ = ws.set_timer(Duration::from_millis(5));
                }
            }
        }
    };
    let server = TestServer::websocket(config, react);
    let (mut client, _) = server.open("/");
    client.send_raw(frame(true, PONG, &[0; 120]).repeat(48));
    client.expect_close(1000);
    client.send_close(1000);
    client.expect_late_eof();
}
