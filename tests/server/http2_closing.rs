//! Every end of a WebSocket on a stream of HTTP/2 (RFC 8441 section 5): its code, told once, and what
//! becomes of the stream. The connection and its other streams go on.

use std::time::{Duration, Instant};

use aerys::{ClientId, Endpoint, WebSocketConfig};

use crate::client::{BINARY, CLOSE, MASK, PING, PONG, TEXT, close_payload, frame};
use crate::http2_client::{self, CANCEL, Http2Client, INTERNAL_ERROR, PROTOCOL_ERROR};
use crate::http2_websockets::open;
use crate::support::{Event, TestServer, echo};

/// The next close, and no other for the same client.
fn expect_closed(server: &TestServer, id: ClientId, code: u16) -> String {
    let (closed, told, reason) = server.close_event();
    assert_eq!((closed, told), (id, code), "{reason}");
    reason
}

/// The server's last words, the end of its side, and of the stream by ours.
fn end(client: &mut Http2Client, stream: u32) {
    client.expect_end(stream);
    client.send_piece(stream, b"", true);
    assert!(client.event_by_now(stream).is_none(), "behind the end");
}

#[test]
fn a_close_handshake_ends_both_sides() {
    let server = TestServer::echo();
    let mut client = Http2Client::connect(server.address);
    let (witness, _) = open(&server, &mut client, "/");
    for code in [1000, 1001, 1014, 3000, 4999] {
        let (stream, id) = open(&server, &mut client, "/");
        client.send_message(stream, CLOSE, close_payload(code, "Grüße"));
        client.expect_close(stream, code);
        end(&mut client, stream);
        assert_eq!(server.event(), Event::Close(id, code, "Grüße".into()));
    }
    // An empty one is answered alike, also if the end of the stream comes with it.
    let (stream, id) = open(&server, &mut client, "/");
    client.send_piece(stream, &frame(true, CLOSE, b""), true);
    assert_eq!(client.read_message(stream, CLOSE), b"");
    client.expect_end(stream);
    assert_eq!(server.event(), Event::Close(id, 1005, String::new()));
    client.send_text(witness, "alive");
    assert_eq!(client.read_text(witness), "alive");
    let rest = server.remaining_events();
    assert!(matches!(rest[..], [Event::Text(..)]), "{rest:?}");
}

#[test]
fn an_end_without_a_close_is_1006() {
    let server = TestServer::websocket(WebSocketConfig::default(), |ws, event| {
        if !matches!(event, Event::Text(_, text) if text == "last words") {
            echo(ws, event);
        }
    });
    let mut client = Http2Client::connect(server.address);
    let (witness, witness_id) = open(&server, &mut client, "/");
    for has_data in [false, true] {
        let (stream, id) = open(&server, &mut client, "/");
        let last = frame(true, TEXT, b"last words");
        client.send_piece(stream, if has_data { &last } else { b"" }, true);
        if has_data {
            assert_eq!(server.event(), Event::Text(id, "last words".into()));
        }
        expect_closed(&server, id, 1006);
        client.expect_end(stream);
    }
    // Amid a frame, and by a reset.
    let (stream, id) = open(&server, &mut client, "/");
    client.send_piece(stream, &frame(true, TEXT, b"half")[..7], true);
    expect_closed(&server, id, 1006);
    client.expect_end(stream);
    let (stream, id) = open(&server, &mut client, "/");
    client.send_text(stream, "hello");
    assert_eq!(client.read_text(stream), "hello");
    client.reset_stream(stream, CANCEL);
    expect_closed(&server, id, 1006);
    assert!(client.event_by_now(stream).is_none());
    // With the connection goes each of its streams.
    let (_, id) = open(&server, &mut client, "/");
    client.send_text(witness, "alive");
    assert_eq!(client.read_text(witness), "alive");
    client.into_client().reset();
    let mut closed = [(); 2]
        .map(|()| server.close_event())
        .map(|(id, code, _)| (id, code));
    closed.sort_by_key(|(closed, _)| *closed == id);
    assert_eq!(closed, [(witness_id, 1006), (id, 1006)]);
    assert_eq!(server.remaining_events(), []);
}

/// A client that ended its side with its handshake could say nothing.
#[test]
fn a_handshake_that_ends_its_stream_opens_nothing() {
    let server = TestServer::echo();
    let mut client = Http2Client::connect(server.address);
    let fields = [(":protocol", "websocket"), ("sec-websocket-version", "13")];
    let stream = client.send_request("CONNECT", "/", &fields, true);
    assert_eq!(client.read_response(stream).status, 400);
    assert!(client.event_by_now(stream).is_none());
    assert_eq!(server.remaining_events(), []);
}

/// RFC 9113 section 8.5: what ends a tunnel otherwise is no trailer section.
#[test]
fn a_trailer_section_is_no_end_of_a_websocket() {
    let server = TestServer::echo();
    let mut client = Http2Client::connect(server.address);
    let (stream, id) = open(&server, &mut client, "/");
    client.send_trailers(stream, &[("x", "y")]);
    client.expect_reset(stream, PROTOCOL_ERROR);
    expect_closed(&server, id, 1006);
}

#[test]
fn a_violation_is_answered_with_its_code_and_costs_its_stream_alone() {
    let config = WebSocketConfig {
        max_frame_bytes: 1000,
        max_message_bytes: 1000,
        text_only: true,
        ..WebSocketConfig::default()
    };
    let server = TestServer::websocket(config, |ws, event| match event {
        Event::Text(_, text) if text == "panic" => panic!("in on_data, on purpose"),
        _ => echo(ws, event),
    });
    let mut client = Http2Client::connect(server.address);
    let (witness, _) = open(&server, &mut client, "/");
    let too_long = [&[0x81, 0xFE, 0x03, 0xE9], &MASK[..]].concat();
    for (bytes, code) in [
        (b"\x81\x02hi".to_vec(), 1002),
        (frame(true, 0x3, b""), 1002),
        (frame(true, CLOSE, &1005_u16.to_be_bytes()), 1002),
        (frame(true, BINARY, b"x"), 1003),
        (frame(true, TEXT, b"\xC3"), 1007),
        (too_long, 1009),
        (frame(true, TEXT, b"panic"), 1011),
    ] {
        let (stream, id) = open(&server, &mut client, "/");
        client.send_data(stream, &bytes, false);
        client.expect_close(stream, code);
        end(&mut client, stream);
        expect_closed(&server, id, code);
        client.send_text(witness, "alive");
        assert_eq!(client.read_text(witness), "alive");
    }
    assert!(
        !server
            .remaining_events()
            .iter()
            .any(|event| matches!(event, Event::Close(..)))
    );
}

fn close_on_request(ws: &Endpoint, event: &Event) {
    if let Event::Text(client, text) = event {
        ws.send(*client, "farewell");
        ws.close(*client, 4001, text).expect("a legal code");
        ws.send(*client, "never sent");
        assert!(ws.info(*client).is_none());
    }
}

#[test]
fn the_servers_close_comes_behind_what_was_queued_and_waits_for_ours() {
    let server = TestServer::websocket(WebSocketConfig::default(), close_on_request);
    let mut client = Http2Client::connect(server.address);
    let (stream, id) = open(&server, &mut client, "/");
    client.send_text(stream, "enough");
    assert_eq!(client.read_text(stream), "farewell");
    assert_eq!(client.expect_close(stream, 4001), "enough");
    assert_eq!(server.event(), Event::Text(id, "enough".into()));
    assert_eq!(expect_closed(&server, id, 4001), "enough");
    client.send_message(stream, PING, "ignored");
    assert!(client.event_by_now(stream).is_none(), "ours is waited for");
    client.send_close(stream, 4001);
    end(&mut client, stream);
    assert_eq!(server.remaining_events(), []);
}

/// Neither who reads nor who does not.
#[test]
fn who_never_answers_a_close_is_reset_at_the_timeout() {
    let config = WebSocketConfig {
        close_timeout: Duration::from_millis(400),
        ..WebSocketConfig::default()
    };
    let react = |ws: &Endpoint, event: &Event| match event {
        Event::Text(client, text) if text == "large" => {
            ws.send(*client, vec![0; 200_000]);
            ws.close(*client, 1000, "").expect("a legal code");
        }
        Event::Text(_, text) if text == "alive" => echo(ws, event),
        _ => close_on_request(ws, event),
    };
    let server = TestServer::websocket(config, react);
    let mut client = Http2Client::connect(server.address);
    client.open_window(0, 1 << 20);
    let (witness, _) = open(&server, &mut client, "/");
    let (stream, id) = open(&server, &mut client, "/");
    let begun = Instant::now();
    client.send_text(stream, "enough");
    assert_eq!(client.read_text(stream), "farewell");
    client.expect_close(stream, 4001);
    client.expect_reset(stream, CANCEL);
    let took = begun.elapsed();
    let expected = Duration::from_millis(390)..Duration::from_secs(3);
    assert!(expected.contains(&took), "{took:?}");
    expect_closed(&server, id, 4001);

    client.gives_back = false;
    let (stream, id) = open(&server, &mut client, "/");
    client.send_text(stream, "large");
    let code = loop {
        match client.event(stream) {
            http2_client::Event::Data(..) => {}
            http2_client::Event::Reset(code) => break code,
            other => panic!("not a reset but {other:?}"),
        }
    };
    assert_eq!(code, CANCEL);
    expect_closed(&server, id, 1000);
    client.send_text(witness, "alive");
    assert_eq!(client.read_text(witness), "alive");
}

#[test]
fn a_silent_stream_is_pinged_and_closed_and_one_that_answers_is_not() {
    let config = WebSocketConfig {
        heartbeat: Some(Duration::from_millis(300)),
        max_unanswered_pings: 1,
        ..WebSocketConfig::default()
    };
    let server = TestServer::websocket(config, echo);
    let mut client = Http2Client::connect(server.address);
    let (silent, silent_id) = open(&server, &mut client, "/");
    let (answers, _) = open(&server, &mut client, "/");
    // What arrives for one stream is no sign of life of the other.
    for _ in 0..4 {
        let payload = client.read_message(answers, PING);
        client.send_message(answers, PONG, payload);
    }
    client.read_message(silent, PING);
    client.expect_close(silent, 1008);
    client.expect_end(silent);
    expect_closed(&server, silent_id, 1008);
    client.send_text(answers, "alive");
    loop {
        let frame = client.read_frame(answers);
        if frame.opcode == TEXT {
            break;
        }
        assert_eq!(frame.opcode, PING);
    }
}

#[test]
fn a_panic_when_a_client_leaves_harms_no_other() {
    let server = TestServer::websocket(WebSocketConfig::default(), |ws, event| match event {
        Event::Open(_, target) if target == "/panic" => panic!("in on_open, on purpose"),
        Event::Close(_, 1006, _) => panic!("in on_close, on purpose"),
        _ => echo(ws, event),
    });
    let mut client = Http2Client::connect(server.address);
    let (witness, _) = open(&server, &mut client, "/");
    let stream = client.open_websocket("/panic");
    client.expect_close(stream, 1011);
    end(&mut client, stream);
    assert_eq!(server.close_event().1, 1011);
    let (stream, id) = open(&server, &mut client, "/");
    client.reset_stream(stream, INTERNAL_ERROR);
    expect_closed(&server, id, 1006);
    client.send_text(witness, "alive");
    assert_eq!(client.read_text(witness), "alive");
}
