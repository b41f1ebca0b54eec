//! Bodies of requests over HTTP/2: in pieces and whole, too long, too slow, paused and given up.

use std::sync::mpsc::Receiver;
use std::time::Duration;

use aerys::Config;

use crate::client::pattern;
use crate::http2_client::{CANCEL, Http2Client, NO_ERROR, PROTOCOL_ERROR};
use crate::support::TestServer;
use crate::uploads::{Seen, collect, next, server_with};

const WINDOW: usize = 64 << 10;

/// A server that waits for the rest of a body that it answered already, but not for long.
fn server() -> (TestServer, Receiver<Seen>) {
    server_with(Config {
        linger_timeout: Duration::from_millis(50),
        ..Config::default()
    })
}

fn status_of(client: &mut Http2Client, stream: u32) -> u16 {
    client.read_response(stream).status
}

#[test]
fn a_body_comes_in_pieces_and_the_connection_lives_on() {
    let (server, seen) = server();
    let mut client = Http2Client::connect(server.address);
    let body = pattern(700_000);
    for _ in 0..3 {
        let stream = client.send_request("POST", "/take", &[], false);
        client.send_data(stream, &body, true);
        assert!(collect(&seen) == body);
        let response = client.read_response(stream);
        assert_eq!(response.body, b"/take 700000 bytes");
        assert_eq!(response.field("x-begun"), Some("yes"));
        assert_eq!(response.field("x-after"), Some("200, then the host"));
    }
    assert!(client.post("/whole", &body[..300_000]).body == b"300000");
}

#[test]
fn pieces_are_handed_on_before_the_body_is_complete() {
    let (server, seen) = server();
    let mut client = Http2Client::connect(server.address);
    let stream = client.send_request("POST", "/take", &[], false);
    assert_eq!(next(&seen).name(), "begin");
    for piece in ["ab", "cd"] {
        client.send_piece(stream, piece.as_bytes(), false);
        assert!(matches!(next(&seen), Seen::Data(bytes) if bytes == piece.as_bytes()));
    }
    client.send_piece(stream, b"", true);
    assert_eq!(client.read_response(stream).body, b"/take 4 bytes");
    let stream = client.send_request("POST", "/take", &[], false);
    client.send_piece(stream, b"abc", false);
    client.send_trailers(stream, &[("x-sum", "17")]);
    assert_eq!(client.read_response(stream).body, b"/take 3 bytes");
    // A body that is none, by both of its spellings.
    assert_eq!(client.post("/take", "").body, b"/take 0 bytes");
    assert_eq!(client.request("POST", "/take", &[]).body, b"/take 0 bytes");
    assert_eq!(client.post("/silent", "abc").status, 204);
}

#[test]
fn who_waits_for_a_100_is_told_to_go_on_only_when_accepted() {
    let (server, seen) = server();
    let mut client = Http2Client::connect(server.address);
    let expects = ("expect", "100-continue");
    for path in ["/take", "/whole"] {
        let stream = client.send_request("POST", path, &[expects], false);
        let (interim, is_last) = client.read_head(stream);
        assert_eq!((interim.status, is_last), (100, false), "{path}");
        client.send_piece(stream, b"abc", true);
        assert_eq!(status_of(&mut client, stream), 200, "{path}");
    }
    assert_eq!(collect(&seen), b"abc");
    let wrong = [expects, ("x-key", "wrong")];
    let stream = client.send_request("POST", "/take", &wrong, false);
    assert_eq!(client.read_response(stream).body, b"not you");
    client.expect_reset(stream, NO_ERROR);
    let long = [expects, ("content-length", "131073")];
    let stream = client.send_request("POST", "/usual", &long, false);
    assert_eq!(status_of(&mut client, stream), 413);
    client.expect_reset(stream, NO_ERROR);
}

/// RFC 9113 section 8.1: the answer is whole, then the rest of the body is declined.
#[test]
fn an_answer_amid_the_body_costs_the_connection_nothing() {
    let (server, seen) = server();
    let mut client = Http2Client::connect(server.address);
    let stream = client.send_request("POST", "/full", &[], false);
    client.send_piece(stream, &pattern(20), false);
    let response = client.read_response(stream);
    assert_eq!(
        (response.status, &*response.body),
        (507, &b"the disk is full"[..])
    );
    client.expect_reset(stream, NO_ERROR);
    // What had been sent before the reset was heard of is ignored, and does not use up the window of
    // the connection: more than two of it.
    for _ in 0..150 {
        if *client.send_window(0) < 16_384 {
            client.sync();
        }
        client.send_piece(stream, &[b'x'; 16_384], false);
    }
    client.send_piece(stream, b"", true);
    assert_eq!(client.post("/take", "abc").body, b"/take 3 bytes");
    let names: Vec<_> = [(); 5].map(|()| next(&seen).name()).into();
    assert_eq!(names, ["begin", "data", "begin", "data", "end"]);
}

/// Some take a reset for a failure, though they have the whole answer.
#[test]
fn who_ends_its_body_behind_the_answer_is_not_reset() {
    let (server, _seen) = server_with(Config {
        linger_timeout: Duration::from_secs(3600),
        ..Config::default()
    });
    let mut client = Http2Client::connect(server.address);
    for _ in 0..200 {
        let stream = client.send_request("POST", "/full", &[], false);
        client.send_piece(stream, &pattern(20), false);
        assert_eq!(status_of(&mut client, stream), 507);
        client.send_piece(stream, b"the rest", false);
        client.send_piece(stream, b"", true);
        assert!(client.event_by_now(stream).is_none());
    }
}

/// Backpressure: the window of a body that waits stays shut, and that of others opens.
#[test]
fn a_paused_body_holds_up_its_own_stream_alone() {
    let (server, seen) = server();
    let mut client = Http2Client::connect(server.address);
    let body = pattern(300_000);
    let paused = client.send_request("POST", "/paused", &[], false);
    let Seen::Begin(flow) = next(&seen) else {
        panic!("it begins")
    };
    client.send_data(paused, &body[..WINDOW], false);
    client.sync();
    assert_eq!(*client.send_window(paused), 0);
    let large = client.post("/large", pattern(1 << 20));
    assert_eq!(large.body, b"/large 1048576 bytes");
    assert!(
        seen.try_recv().is_err(),
        "it is handed on while it is paused"
    );
    client.sync();
    assert_eq!(*client.send_window(paused), 0, "its window is opened");
    flow.resume();
    client.send_data(paused, &body[WINDOW..], true);
    assert_eq!(client.read_response(paused).body, b"/paused 300000 bytes");
    let mut received = Vec::new();
    while let Seen::Data(bytes) = next(&seen) {
        received.extend(bytes);
    }
    assert!(received == body);
}

#[test]
fn the_time_of_a_pause_is_not_the_clients() {
    let (server, seen) = server_with(Config {
        body_grace: Duration::from_millis(200),
        ..Config::default()
    });
    let mut client = Http2Client::connect(server.address);
    let paused = client.send_request("POST", "/paused", &[], false);
    client.send_piece(paused, b"hello", false);
    let Seen::Begin(flow) = next(&seen) else {
        panic!("it begins")
    };
    // Twice the time that a body has.
    for _ in 0..2 {
        let slow = client.send_request("POST", "/usual", &[], false);
        assert_eq!(status_of(&mut client, slow), 408);
    }
    flow.resume();
    client.send_piece(paused, b"", true);
    assert_eq!(client.read_response(paused).body, b"/paused 5 bytes");
}

/// What was sent before the pause, and the end of it, wait in the server.
#[test]
fn a_body_that_ended_while_it_was_paused_ends_when_it_goes_on() {
    let (server, seen) = server();
    let mut client = Http2Client::connect(server.address);
    let stream = client.send_request("POST", "/paused", &[], false);
    client.send_piece(stream, b"hello", true);
    let Seen::Begin(flow) = next(&seen) else {
        panic!("it begins")
    };
    assert!(client.event_by_now(stream).is_none());
    assert!(seen.try_recv().is_err());
    flow.resume();
    assert_eq!(client.read_response(stream).body, b"/paused 5 bytes");
    assert!(matches!(next(&seen), Seen::Data(bytes) if bytes == b"hello"));
    // One that is given up meanwhile is told, too.
    let stream = client.send_request("POST", "/paused", &[], false);
    client.send_piece(stream, b"hello", false);
    assert_eq!(next(&seen).name(), "end");
    assert_eq!(next(&seen).name(), "begin");
    client.reset_stream(stream, CANCEL);
    assert_eq!(next(&seen).name(), "abort");
}

#[test]
fn a_body_over_its_limit_is_refused_by_its_length_and_by_its_bytes() {
    let (server, seen) = server();
    let mut client = Http2Client::connect(server.address);
    for (path, len) in [
        ("/usual", "131073"),
        ("/whole", "300001"),
        ("/take", "1048577"),
    ] {
        let fields = [("content-length", len)];
        let stream = client.send_request("POST", path, &fields, false);
        assert_eq!(status_of(&mut client, stream), 413, "{path}");
        client.expect_reset(stream, NO_ERROR);
    }
    let mut refused = |path, len| {
        let stream = client.send_request("POST", path, &[], false);
        client.send_data(stream, &pattern(len), false);
        client.sync();
        assert!(client.event_by_now(stream).is_none(), "{path}");
        client.send_piece(stream, b"x", false);
        assert_eq!(status_of(&mut client, stream), 413, "{path}");
        client.expect_reset(stream, NO_ERROR);
    };
    refused("/usual", 131_072);
    refused("/whole", 300_000);
    refused("/take", 1 << 20);
    let names: Vec<_> = seen.try_iter().map(|seen| seen.name()).collect();
    assert_eq!((names[0], names[names.len() - 1]), ("begin", "abort"));
    assert!(names[1..names.len() - 1].iter().all(|name| *name == "data"));
    assert_eq!(client.post("/usual", "abc").body, b"3");
}

#[test]
fn an_upload_that_is_given_up_is_aborted() {
    let (server, seen) = server();
    let mut client = Http2Client::connect(server.address);
    let begin = |client: &mut Http2Client, fields: &[(&str, &str)]| {
        let stream = client.send_request("POST", "/take", fields, false);
        client.send_piece(stream, b"abc", false);
        assert_eq!(next(&seen).name(), "begin");
        assert_eq!(next(&seen).name(), "data");
        stream
    };
    let stream = begin(&mut client, &[]);
    client.reset_stream(stream, CANCEL);
    assert_eq!(next(&seen).name(), "abort");
    // Neither more nor less than was said may come.
    for (piece, is_last) in [("de", false), ("", true)] {
        let stream = begin(&mut client, &[("content-length", "4")]);
        client.send_piece(stream, piece.as_bytes(), is_last);
        client.expect_reset(stream, PROTOCOL_ERROR);
        assert_eq!(next(&seen).name(), "abort");
    }
    assert_eq!(client.post("/usual", "abc").body, b"3");
    begin(&mut client, &[]);
    begin(&mut client, &[]);
    drop(client);
    assert_eq!(next(&seen).name(), "abort");
    assert_eq!(next(&seen).name(), "abort");
}

#[test]
fn a_body_that_comes_too_slowly_is_answered_408_on_its_stream() {
    let (server, seen) = server_with(Config {
        body_grace: Duration::from_millis(100),
        linger_timeout: Duration::from_millis(50),
        ..Config::default()
    });
    let mut client = Http2Client::connect(server.address);
    for path in ["/take", "/usual"] {
        let stream = client.send_request("POST", path, &[], false);
        client.send_piece(stream, b"a", false);
        assert_eq!(status_of(&mut client, stream), 408);
        client.expect_reset(stream, NO_ERROR);
    }
    let names: Vec<_> = seen.try_iter().map(|seen| seen.name()).collect();
    assert_eq!(names, ["begin", "data", "abort"]);
    assert_eq!(client.post("/usual", "abc").body, b"3");
}

#[test]
fn a_panic_in_a_body_handler_is_a_500_on_its_stream() {
    let (server, seen) = server();
    let mut client = Http2Client::connect(server.address);
    let other = client.send_request("POST", "/take", &[], false);
    let stream = client.send_request("POST", "/panic", &[], false);
    client.send_piece(stream, b"abc", false);
    assert_eq!(status_of(&mut client, stream), 500);
    client.expect_reset(stream, NO_ERROR);
    client.send_piece(other, b"abc", true);
    assert_eq!(client.read_response(other).body, b"/take 3 bytes");
    assert_eq!(next(&seen).name(), "begin");
}

/// What was asked later is answered earlier, while a body is still on its way.
#[test]
fn uploads_do_not_wait_for_each_other() {
    let (server, _seen) = server();
    let mut client = Http2Client::connect(server.address);
    let streams: Vec<_> = (0..50)
        .map(|_| client.send_request("POST", "/large", &[], false))
        .collect();
    for number in 0..20 {
        for stream in &streams {
            client.send_piece(*stream, &[b'x'; 50], number == 19);
        }
        if number < 19 {
            for stream in &streams {
                assert!(client.event_by_now(*stream).is_none());
            }
            assert_eq!(client.post("/usual", "abc").body, b"3");
        }
    }
    for stream in streams {
        assert_eq!(client.read_response(stream).body, b"/large 1000 bytes");
    }
    assert_eq!(client.get("/nothing").status, 404);
}
