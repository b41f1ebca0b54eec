//! Fragmented messages, in both directions (RFC 6455 section 5.4).

use std::sync::mpsc::channel;
use std::time::Duration;

use aerys::{Endpoint, Server, WebSocketConfig, websocket};

use crate::client::{BINARY, CONTINUATION, Client, PING, PONG, TEXT, pattern};
use crate::support::{Event, Recorder, TestServer};

/// Scenario 9.
#[test]
fn a_ping_between_two_fragments_is_answered_first_and_the_message_is_one() {
    let server = TestServer::echo();
    let (mut client, id) = server.open("/");
    client.send(false, TEXT, "foo");
    client.send(true, PING, "foo");
    client.send(true, CONTINUATION, "bar");
    assert_eq!(client.read_bytes(5), b"\x8A\x03foo");
    assert_eq!(client.read_bytes(8), b"\x81\x06foobar");
    assert_eq!(
        server.remaining_events(),
        [Event::Text(id, "foobar".into())]
    );
}

#[test]
fn a_ping_is_answered_while_a_message_waits_for_its_end() {
    let server = TestServer::echo();
    let mut client = Client::open(server.address, "/");
    client.send(false, BINARY, [0xFF; 300]);
    client.send(true, PING, "");
    assert_eq!(client.read_message(PONG), b"");
    client.send(false, CONTINUATION, "");
    client.send(true, CONTINUATION, "");
    assert_eq!(client.read_message(BINARY), [0xFF; 300]);
}

#[test]
fn many_small_fragments_are_one_message() {
    let server = TestServer::echo();
    let mut client = Client::open(server.address, "/");
    let text = "Grüße, 世界! ".repeat(500);
    let bytes = text.as_bytes();
    let last = bytes.len() - 1;
    // One byte each: every character that has several is cut at every place.
    for (index, byte) in bytes.iter().enumerate() {
        client.send(
            index == last,
            if index == 0 { TEXT } else { CONTINUATION },
            [*byte],
        );
    }
    assert_eq!(client.read_text(), text);
}

/// Scenario 14.
#[test]
fn a_long_message_leaves_in_frames_of_equal_size_where_that_is_asked() {
    let config = WebSocketConfig {
        max_outgoing_frame_bytes: Some(65527),
        ..WebSocketConfig::default()
    };
    let payload = pattern(131_046);
    let expected = payload.clone();
    let react = move |ws: &Endpoint, event: &Event| {
        if let Event::Open(client, _) = event {
            ws.send(*client, &payload);
            ws.send(*client, &payload[..65527]);
        }
    };
    let server = TestServer::websocket(config, react);
    let mut client = Client::open(server.address, "/");
    assert_eq!(client.read_bytes(4), [0x02, 0x7E, 0xFF, 0xF3]);
    assert!(client.read_bytes(65523) == expected[..65523]);
    assert_eq!(client.read_bytes(4), [0x80, 0x7E, 0xFF, 0xF3]);
    assert!(client.read_bytes(65523) == expected[65523..]);
    // What fits stays whole.
    assert!(client.read_message(BINARY) == expected[..65527]);
}

#[test]
fn a_message_is_one_frame_unless_that_is_asked() {
    let react = |ws: &Endpoint, event: &Event| {
        if let Event::Open(client, _) = event {
            ws.send(*client, vec![7; 3 << 20]);
        }
    };
    let server = TestServer::websocket(WebSocketConfig::default(), react);
    let mut client = Client::open(server.address, "/");
    assert!(client.read_message(BINARY) == vec![7; 3 << 20]);
}

/// Other threads encode for themselves, and what is delayed is encoded early.
#[test]
fn what_is_sent_from_afar_or_later_leaves_in_such_frames_too() {
    let options = WebSocketConfig {
        max_outgoing_frame_bytes: Some(4),
        ..WebSocketConfig::default()
    };
    let react = |ws: &Endpoint, event: &Event| {
        if let Event::Text(client, text) = event {
            ws.send_after(Duration::ZERO, *client, text);
        }
    };
    let (sender, remotes) = channel();
    let server = TestServer::start(move |host, events| {
        let endpoint = websocket(|ws| Recorder::new(ws, events, react)).config(options);
        sender
            .send(endpoint.endpoint().remote())
            .expect("the test listens");
        Server::new().host(host.add(endpoint))
    });
    let (mut client, id) = server.open("/");
    let expect_pieces = |client: &mut Client| {
        let first = client.read_frame();
        assert_eq!(
            (first.fin, first.opcode, &first.payload[..]),
            (false, TEXT, &b"pie"[..])
        );
        let last = client.read_frame();
        assert_eq!(
            (last.fin, last.opcode, &last.payload[..]),
            (true, CONTINUATION, &b"ces"[..])
        );
    };
    let remote = remotes.recv().expect("an endpoint");
    remote.send(id, "pieces").expect("room in the queue");
    expect_pieces(&mut client);
    client.send_text("pieces");
    expect_pieces(&mut client);
}
