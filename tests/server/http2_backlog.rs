//! Streams that open no window, drip it, or send too fast: each by its own backlog, deadlines and
//! rate, while others of the same connection go on.

use std::time::Duration;

use aerys::{BacklogPolicy, ClientId, Config, Endpoint, WebSocketConfig};

use crate::client::{BINARY, CLOSE, PONG, TEXT, frame};
use crate::http2_client::{self, CANCEL, Http2Client};
use crate::http2_websockets::open;
use crate::support::{Event, TestServer, echo};

const PIECES: usize = 120;
const PIECE_BYTES: usize = 32 * 1024;

/// On "flood": so many pieces to everyone, each with its number in front, one a timer. On "clog": a
/// message that no window takes at once, to the sender. An echo else, to a broadcast of "seen".
fn react() -> impl FnMut(&Endpoint, &Event) + Send + 'static {
    let mut next = PIECES;
    move |ws, event| match event {
        Event::Text(_, text) if text == "flood" => {
            next = 0;
            let _ = ws.set_timer(Duration::ZERO);
        }
        Event::Text(client, text) if text == "clog" => {
            ws.send(*client, vec![b'.'; PIECE_BYTES * 8]);
        }
        Event::Timer(_) => {
            let mut piece = vec![b'.'; PIECE_BYTES];
            piece[..4].copy_from_slice(format!("{next:04}").as_bytes());
            ws.broadcast(piece);
            next += 1;
            if next < PIECES {
                let _ = ws.set_timer(Duration::ZERO);
            }
        }
        Event::Drain(client) => ws.send(*client, "drained"),
        _ => echo(ws, event),
    }
}

fn number_of(payload: &[u8]) -> usize {
    assert_eq!(payload.len(), PIECE_BYTES);
    String::from_utf8_lossy(&payload[..4])
        .parse()
        .expect("a number")
}

/// A connection whose own window is no limit, a stream that will be opened no window and its id, and
/// one whose window is open.
fn stuck_and_open(server: &TestServer) -> (Http2Client, u32, ClientId, u32) {
    let mut client = Http2Client::connect(server.address);
    client.open_window(0, 1 << 30);
    let (stuck, id) = open(server, &mut client, "/");
    let (open, _) = open(server, &mut client, "/");
    client.open_window(open, 1 << 30);
    client.gives_back = false;
    (client, stuck, id, open)
}

/// What comes on a stream whose window is open, which may have drained as well.
fn read_message(client: &mut Http2Client, stream: u32) -> Vec<u8> {
    loop {
        let payload = client.read_frame(stream).payload;
        if payload != b"drained" {
            return payload;
        }
    }
}

fn expect_all_pieces(client: &mut Http2Client, stream: u32) {
    for number in 0..PIECES {
        assert_eq!(number_of(&read_message(client, stream)), number);
    }
}

fn expect_alive(client: &mut Http2Client, stream: u32) {
    client.send_text(stream, "alive");
    assert_eq!(read_message(client, stream), b"alive");
}

#[test]
fn a_stream_over_the_hard_limit_is_closed_with_1008_behind_a_gapless_prefix() {
    let config = WebSocketConfig {
        close_timeout: Duration::from_secs(60),
        ..WebSocketConfig::default()
    };
    let server = TestServer::websocket(config, react());
    let (mut client, stuck, id, open) = stuck_and_open(&server);
    client.send_text(open, "flood");
    expect_all_pieces(&mut client, open);
    let (closed, code, _) = server.close_event();
    assert_eq!((closed, code), (id, 1008));
    client.open_window(stuck, 1 << 30);
    let mut count = 0;
    loop {
        let frame = client.read_frame(stuck);
        if frame.opcode == CLOSE {
            assert_eq!(frame.payload[..2], 1008_u16.to_be_bytes());
            break;
        }
        assert_eq!(number_of(&frame.payload), count);
        count += 1;
    }
    // The limit, one message, and what the window took.
    assert!((32..38).contains(&count), "{count} arrived");
    client.send_close(stuck, 1008);
    client.expect_end(stuck);
    expect_alive(&mut client, open);
}

#[test]
fn where_messages_are_dropped_a_stream_lives_on_and_is_told_when_it_drained() {
    let config = WebSocketConfig {
        backlog_policy: BacklogPolicy::DropMessages,
        ..WebSocketConfig::default()
    };
    let server = TestServer::websocket(config, react());
    let (mut client, stuck, id, open) = stuck_and_open(&server);
    client.send_text(open, "flood");
    expect_all_pieces(&mut client, open);
    // A round more, so that nothing of the flood is to be judged yet.
    expect_alive(&mut client, open);
    assert!(!server.remaining_events().contains(&Event::Drain(id)));
    client.open_window(stuck, 1 << 30);
    let mut numbers = Vec::new();
    loop {
        let frame = client.read_frame(stuck);
        if frame.opcode == TEXT {
            assert_eq!(frame.payload, b"drained");
            break;
        }
        numbers.push(number_of(&frame.payload));
    }
    assert!(numbers.iter().copied().eq(0..numbers.len()));
    assert!((32..38).contains(&numbers.len()), "{numbers:?}");
    assert_eq!(server.remaining_events(), [Event::Drain(id)]);
    client.send_text(open, "flood");
    expect_all_pieces(&mut client, stuck);
}

/// Its payload waits in its window, as that of a connection does in its socket.
#[test]
fn a_stream_above_the_soft_limit_is_not_read_from_until_it_reads() {
    let server = TestServer::websocket(WebSocketConfig::default(), react());
    let (mut client, stuck, id, open) = stuck_and_open(&server);
    client.send_text(stuck, "clog");
    assert_eq!(server.event(), Event::Text(id, "clog".into()));
    client.sync();
    let held = [
        frame(true, PONG, &[0; 100]).repeat(400),
        frame(true, TEXT, b"held back"),
    ];
    client.send_data(stuck, &held.concat(), false);
    client.sync();
    expect_alive(&mut client, open);
    let events = server.remaining_events();
    assert!(
        matches!(&events[..], [Event::Text(other, _)] if *other != id),
        "{events:?}"
    );
    let window = *client.send_window(stuck);
    assert!(window < 30_000, "its window is open by {window}");
    client.open_window(stuck, 1 << 20);
    assert_eq!(client.read_message(stuck, BINARY).len(), PIECE_BYTES * 8);
    let mut texts = [client.read_text(stuck), client.read_text(stuck)];
    texts.sort();
    assert_eq!(texts, ["drained", "held back"]);
    client.sync();
    assert!(*client.send_window(stuck) > window);
}

#[test]
fn a_stream_that_takes_nothing_is_reset_at_the_write_timeout() {
    let limits = Config {
        write_timeout: Duration::from_millis(400),
        ..Config::default()
    };
    let server = TestServer::limited(limits, WebSocketConfig::default(), react());
    let (mut client, stuck, id, open) = stuck_and_open(&server);
    client.send_text(stuck, "clog");
    loop {
        match client.event(stuck) {
            http2_client::Event::Data(_, false) => {}
            http2_client::Event::Reset(CANCEL) => break,
            other => panic!("not a reset but {other:?}"),
        }
    }
    let (closed, code, reason) = server.close_event();
    assert_eq!((closed, code), (id, 1008), "{reason}");
    expect_alive(&mut client, open);
}

/// Each byte is a little progress, and not enough of it.
#[test]
fn a_window_that_drips_keeps_nothing_open() {
    let limits = Config {
        write_timeout: Duration::from_millis(500),
        ..Config::default()
    };
    let server = TestServer::limited(limits, WebSocketConfig::default(), react());
    let (mut client, stuck, id, open) = stuck_and_open(&server);
    client.send_text(stuck, "clog");
    let mut drips = 0;
    while !server
        .event_within(Duration::from_millis(5))
        .is_some_and(|event| matches!(event, Event::Close(closed, 1008, _) if closed == id))
    {
        client.open_window(stuck, 1);
        drips += 1;
        assert!(drips < 1000, "it is not reset");
    }
    assert!(drips > 20, "{drips}");
    // One that drips faster lives.
    let (dripping, id) = crate::http2_websockets::open(&server, &mut client, "/");
    client.send_text(dripping, "clog");
    for _ in 0..100 {
        client.open_window(dripping, 700);
        let event = server.event_within(Duration::from_millis(10));
        assert!(!matches!(event, Some(Event::Close(closed, ..)) if closed == id));
    }
    expect_alive(&mut client, open);
}

#[test]
fn the_rate_of_one_stream_is_no_other_ones() {
    let config = WebSocketConfig {
        max_frames_per_second: Some(20),
        ..WebSocketConfig::default()
    };
    let server = TestServer::websocket(config, echo);
    let mut client = Http2Client::connect(server.address);
    let (fast, _) = open(&server, &mut client, "/");
    let (slow, _) = open(&server, &mut client, "/");
    let begun = std::time::Instant::now();
    client.send_data(fast, &frame(true, TEXT, b"x").repeat(50), false);
    client.send_text(slow, "meanwhile");
    assert_eq!(client.read_text(slow), "meanwhile");
    let mut before = 0;
    while let Some(event) = client.event_by_now(fast) {
        let http2_client::Event::Data(bytes, false) = event else {
            panic!("not data but {event:?}")
        };
        before += bytes.len() / 3;
    }
    assert!((20..45).contains(&before), "{before} came before the other");
    for _ in before..50 {
        assert_eq!(client.read_text(fast), "x");
    }
    let took = begun.elapsed();
    assert!(took > Duration::from_millis(900), "{took:?}");
}

/// As on a connection of its own: what its socket takes at once is no backlog.
#[test]
fn what_one_callback_sends_is_judged_when_the_socket_is_full() {
    // More than the hard limit of 1 MiB.
    const BURST: usize = 19;
    let server = TestServer::websocket(WebSocketConfig::default(), |ws, event| {
        if let Event::Text(client, _) = event {
            for number in 0..BURST {
                let mut piece = vec![b'.'; PIECE_BYTES];
                piece[..4].copy_from_slice(format!("{number:04}").as_bytes());
                ws.send(*client, piece);
            }
        }
    });
    let mut client = crate::client::Client::open(server.address, "/");
    client.send_text("burst");
    for number in 0..BURST {
        assert_eq!(number_of(&client.read_message(BINARY)), number);
    }
    let (mut client, _, _, open) = stuck_and_open(&server);
    client.send_text(open, "burst");
    for number in 0..BURST {
        assert_eq!(number_of(&client.read_message(open, BINARY)), number);
    }
}
