//! What a connection of HTTP/2 may take, and how it ends: numbers, deadlines, stops, errors.

use std::time::{Duration, Instant};

use aerys::{Config, Endpoint, Request, Response, Router, Server, WebSocketConfig, websocket};

use crate::client::{CONTINUATION, Client, TEXT, frame};
use crate::http2_client::{
    DATA, HEADERS, Http2Client, MAX_CONCURRENT_STREAMS, NO_ERROR, PING, PREFACE, PROTOCOL_ERROR,
    REFUSED_STREAM, SETTINGS, WINDOW_UPDATE, raw_frame,
};
use crate::http2_websockets::open;
use crate::support::{Event, Recorder, TestServer, echo, expect_refused, wait_until};

const ENHANCE_YOUR_CALM: u32 = 0xB;
const FRAME_SIZE_ERROR: u32 = 0x6;
const COMPRESSION_ERROR: u32 = 0x9;

fn limited(config: Config) -> TestServer {
    TestServer::limited(config, WebSocketConfig::default(), echo)
}

/// A server that answers with a page of some length, 8 MiB at "/large".
fn pages(config: Config) -> TestServer {
    TestServer::http(config, |request: &mut Request, response: &mut Response| {
        if request.path() == "/large" {
            response.end(vec![b'x'; 8 << 20]);
        } else {
            response.end("page");
        }
    })
}

#[test]
fn connections_are_counted_and_streams_are_not() {
    let server = limited(Config {
        max_connections: Some(2),
        ..Config::default()
    });
    let mut first = Http2Client::connect(server.address);
    let streams: Vec<_> = (0..30).map(|_| open(&server, &mut first, "/").0).collect();
    let second = Http2Client::connect(server.address);
    let mut refused = Client::connect(server.address);
    assert_eq!(refused.read_response().status, 503);
    refused.expect_eof();
    for stream in streams {
        first.send_text(stream, "still served");
        assert_eq!(first.read_text(stream), "still served");
    }
    drop(second);
    wait_until("a place is free", || {
        let mut client = Client::connect(server.address);
        client.try_send_raw(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            && client.read_response().status == 426
    });
}

#[test]
fn a_stream_too_many_is_refused_and_may_be_tried_again() {
    let server = limited(Config {
        http2_max_streams: 3,
        ..Config::default()
    });
    let mut client = Http2Client::connect(server.address);
    assert_eq!(client.server_settings[&MAX_CONCURRENT_STREAMS], 3);
    let streams = [(); 3].map(|()| open(&server, &mut client, "/").0);
    for _ in 0..2 {
        let refused = client.ask("/");
        client.expect_reset(refused, REFUSED_STREAM);
        let refused = client.ask_websocket("/", &[]);
        client.expect_reset(refused, REFUSED_STREAM);
    }
    client.send_close(streams[1], 1000);
    client.expect_close(streams[1], 1000);
    client.send_piece(streams[1], b"", true);
    assert_eq!(client.get("/").status, 400);
    client.send_text(streams[2], "alive");
    assert_eq!(client.read_text(streams[2]), "alive");
}

/// Section 9.1: a connection that carries a stream is in use, however long nothing happens.
#[test]
fn as_many_streams_as_there_may_be_are_answered_round_after_round() {
    let server = pages(Config {
        http2_max_streams: 3,
        ..Config::default()
    });
    let mut client = Http2Client::connect(server.address);
    for round in 0..300 {
        for stream in [(); 3].map(|()| client.ask("/")) {
            assert_eq!(client.read_response(stream).status, 200, "round {round}");
        }
    }
}

#[test]
fn an_idle_connection_is_told_to_go_away() {
    let server = limited(Config {
        keep_alive_timeout: Duration::from_millis(300),
        header_timeout: Duration::from_secs(3600),
        ..Config::default()
    });
    let mut client = Http2Client::connect(server.address);
    assert_eq!(client.get("/").status, 400);
    let (stream, _) = open(&server, &mut client, "/");
    client.expect_silence(Duration::from_millis(600));
    client.send_text(stream, "alive");
    assert_eq!(client.read_text(stream), "alive");
    client.send_close(stream, 1000);
    client.expect_close(stream, 1000);
    client.send_piece(stream, b"", true);
    client.expect_end(stream);
    let begun = Instant::now();
    assert_eq!(client.expect_go_away(NO_ERROR), stream);
    client.expect_eof();
    let took = begun.elapsed();
    let expected = Duration::from_millis(250)..Duration::from_secs(3);
    assert!(expected.contains(&took), "{took:?}");
}

/// A total, of each of them.
#[test]
fn what_is_begun_has_to_be_completed_in_time() {
    let server = limited(Config {
        header_timeout: Duration::from_millis(300),
        ..Config::default()
    });
    // A connection on which nothing is asked, and one whose preface is incomplete.
    let mut client = Http2Client::connect(server.address);
    client.expect_go_away(NO_ERROR);
    client.expect_eof();
    let mut client = Client::connect(server.address);
    client.send_raw(&PREFACE[..20]);
    let rest = client.read_to_eof();
    assert!(
        rest.ends_with(b"the connection was idle"),
        "{}",
        rest.escape_ascii()
    );
    // A frame and a field block, while a stream is open.
    let part = raw_frame(HEADERS, 0, 3, &[0; 5]);
    for len in [10, part.len()] {
        let mut client = Http2Client::connect(server.address);
        let (_, id) = open(&server, &mut client, "/");
        client.send_raw(&part[..len]);
        client.expect_go_away(ENHANCE_YOUR_CALM);
        client.expect_eof();
        assert_eq!(server.close_event().0, id);
    }
}

/// Section 5.4.1.
#[test]
fn a_violation_of_the_connection_ends_it_and_its_websockets() {
    let server = TestServer::echo();
    for (bytes, code) in [
        (raw_frame(DATA, 0, 0, b"x"), PROTOCOL_ERROR),
        (raw_frame(DATA, 0, 99, b"x"), PROTOCOL_ERROR),
        (raw_frame(HEADERS, 0x5, 4, b"\x82"), PROTOCOL_ERROR),
        (
            raw_frame(HEADERS, 0x5, 9, b"\xFF\xFF\xFF"),
            COMPRESSION_ERROR,
        ),
        (raw_frame(PING, 0, 0, b"short"), FRAME_SIZE_ERROR),
        (raw_frame(SETTINGS, 0, 0, b"short"), FRAME_SIZE_ERROR),
        (raw_frame(WINDOW_UPDATE, 0, 0, &[0; 4]), PROTOCOL_ERROR),
        (vec![0xFF; 9], FRAME_SIZE_ERROR),
    ] {
        let mut client = Http2Client::connect(server.address);
        let opened = [(); 3].map(|()| open(&server, &mut client, "/"));
        client.send_raw(bytes);
        assert!(client.expect_go_away(code) >= opened[2].0);
        client.expect_eof();
        let mut closed = [(); 3].map(|()| server.close_event());
        closed.sort_by_key(|(id, ..)| *id);
        let mut ids = opened.map(|(_, id)| id);
        ids.sort_unstable();
        assert_eq!(
            closed.map(|(id, code, _)| (id, code)),
            ids.map(|id| (id, 1006))
        );
    }
    assert_eq!(server.remaining_events(), []);
}

/// RFC 9113 section 6.8: what was asked is answered, what is asked later is not.
#[test]
fn a_stop_finishes_what_is_under_way() {
    let mut server = pages(Config::default());
    let mut client = Http2Client::connect(server.address);
    let mut idle = Http2Client::connect(server.address);
    assert_eq!(idle.get("/").body, b"page");
    client.gives_back = false;
    let streams = [(); 3].map(|()| client.ask("/large"));
    for stream in streams {
        client.read_head(stream);
    }
    server.stop();
    idle.expect_go_away(NO_ERROR);
    idle.expect_eof();
    assert_eq!(client.expect_go_away(NO_ERROR), streams[2]);
    expect_refused(server.address);
    let late = client.ask("/");
    client.gives_back = true;
    client.open_window(0, 10 << 20);
    for stream in streams {
        client.open_window(stream, 10 << 20);
    }
    for stream in streams {
        let mut len = 0;
        loop {
            let (bytes, is_last) = client.read_data(stream);
            len += bytes.len();
            if is_last {
                break;
            }
        }
        assert_eq!(len, 8 << 20);
    }
    let rest = client.read_to_eof();
    assert!(rest.is_empty(), "{late} was answered: {rest:?}");
    drop((client, idle));
    server.join().expect("it ends in time");
}

#[test]
fn a_stop_cuts_what_is_left_at_its_timeout() {
    let react = |ws: &Endpoint, event: &Event| {
        if let Event::Text(client, _) = event {
            ws.send(*client, vec![3; 1 << 20]);
        }
    };
    let mut server = TestServer::start(move |host, events| {
        let options = WebSocketConfig {
            close_timeout: Duration::from_secs(60),
            ..WebSocketConfig::default()
        };
        let endpoint = websocket(|ws| Recorder::new(ws, events, react)).config(options);
        let page = |_: &mut Request, response: &mut Response| {
            response.end(vec![b'x'; 1 << 20]);
        };
        let router = Router::new().get("/ws", endpoint).get("/page", page);
        let config = Config {
            stop_timeout: Duration::from_millis(600),
            ..Config::default()
        };
        Server::new().config(config).host(host.add(router))
    });
    let mut client = Http2Client::connect(server.address);
    client.open_window(0, 1 << 30);
    client.gives_back = false;
    let silent = open(&server, &mut client, "/ws").0;
    let stuck = open(&server, &mut client, "/ws").0;
    client.send_text(stuck, "go");
    let page = client.ask("/page");
    client.read_head(page);
    client.sync();
    let begun = Instant::now();
    server.stop();
    client.expect_close(silent, 1001);
    server.join().expect("a graceful stop");
    let took = begun.elapsed();
    let expected = Duration::from_millis(500)..Duration::from_secs(3);
    assert!(expected.contains(&took), "{took:?}");
}

/// What is half said on all streams together has a limit, and who passes it is told.
#[test]
fn input_that_is_held_for_all_streams_has_a_limit() {
    let options = WebSocketConfig {
        max_message_bytes: 4 << 20,
        ..WebSocketConfig::default()
    };
    let server = TestServer::start(|host, events| {
        let endpoint = websocket(|ws| Recorder::new(ws, events, echo)).config(options);
        let len = |request: &mut Request, response: &mut Response| {
            response.end(request.body().len().to_string());
        };
        let router = Router::new()
            .get("/ws", endpoint)
            .post("/len", aerys::body_limit(4 << 20, len));
        let config = Config {
            max_buffered_input_bytes: 2 << 20,
            ..Config::default()
        };
        Server::new().config(config).host(host.add(router))
    });
    let mut client = Http2Client::connect(server.address);
    let mut opened = Vec::new();
    let part = frame(false, TEXT, &vec![b'x'; 400_000]);
    for _ in 0..3 {
        let (stream, id) = open(&server, &mut client, "/ws");
        client.send_data(stream, &part, false);
        opened.push((stream, id));
    }
    // One more, which passes it.
    let (over, id) = open(&server, &mut client, "/ws");
    let mut opcode = TEXT;
    while !client.has_event_by_now(over) {
        client.send_data(over, &frame(false, opcode, &vec![b'x'; 100_000]), false);
        opcode = CONTINUATION;
    }
    client.expect_close(over, 1013);
    let (closed, code, _) = server.close_event();
    assert_eq!((closed, code), (id, 1013));
    // Others go on.
    for (stream, _) in &opened {
        client.send_data(*stream, &frame(true, CONTINUATION, b"!"), false);
        assert_eq!(client.read_text(*stream).len(), 400_001);
    }
    let stream = client.send_request("POST", "/len", &[], false);
    client.send_data(stream, &vec![b'x'; 3 << 20], true);
    assert_eq!(client.read_response(stream).status, 503);
    assert_eq!(client.post("/len", "abc").body, b"3");
}
