//! Limits: each with a client that passes it, and a heavy but honest one that must not be stopped.

use std::time::{Duration, Instant};

use aerys::{ClientId, Config, Endpoint, Request, Response, WebSocketConfig};

use crate::client::{BINARY, CONTINUATION, Client, MASK, TEXT, frame, handshake};
use crate::support::{Event, TestServer, echo, wait_until};

#[test]
fn a_frame_over_its_limit_is_refused_on_its_header() {
    let config = WebSocketConfig {
        max_frame_bytes: 1000,
        max_message_bytes: 5000,
        ..WebSocketConfig::default()
    };
    let server = TestServer::websocket(config, echo);
    let mut client = Client::open(server.address, "/");
    client.send(true, BINARY, [1; 1000]);
    assert_eq!(client.read_message(BINARY), [1; 1000]);
    client.send_raw([&[0x82, 0xFE, 0x03, 0xE9], &MASK[..]].concat());
    client.expect_close(1009);
    client.expect_eof();
    assert_eq!(server.close_event().1, 1009);
}

/// Nothing is reserved for what a header only promises.
#[test]
fn a_promise_of_a_tebibyte_is_refused_at_once() {
    let server = TestServer::echo();
    let mut client = Client::open(server.address, "/");
    client.send_raw([&[0x82, 0xFF, 0, 0, 1, 0, 0, 0, 0, 0], &MASK[..]].concat());
    client.expect_close(1009);
    client.expect_eof();
}

#[test]
fn a_message_over_its_limit_is_refused_on_the_header_that_passes_it() {
    let config = WebSocketConfig {
        max_frame_bytes: 1000,
        max_message_bytes: 2500,
        ..WebSocketConfig::default()
    };
    let server = TestServer::websocket(config, echo);
    let mut client = Client::open(server.address, "/");
    client.send(false, BINARY, [1; 1000]);
    client.send(false, CONTINUATION, [1; 1000]);
    client.send(true, CONTINUATION, [1; 500]);
    assert_eq!(client.read_message(BINARY), [1; 2500]);

    client.send(false, BINARY, [1; 1000]);
    client.send(false, CONTINUATION, [1; 1000]);
    client.send_raw(&frame(true, CONTINUATION, &[1; 501])[..8]);
    client.expect_close(1009);
    client.expect_eof();
}

#[test]
fn empty_fragments_in_a_row_are_counted_and_others_start_anew() {
    let config = WebSocketConfig {
        max_empty_fragments: 10,
        ..WebSocketConfig::default()
    };
    let server = TestServer::websocket(config, echo);
    let mut client = Client::open(server.address, "/");
    for _ in 0..5 {
        client.send(false, TEXT, "a");
        for _ in 0..10 {
            client.send(false, CONTINUATION, "");
        }
        client.send(true, CONTINUATION, "b");
        assert_eq!(client.read_text(), "ab");
    }
    client.send(false, TEXT, "a");
    for _ in 0..11 {
        client.send(false, CONTINUATION, "");
    }
    client.expect_close(1008);
    client.expect_eof();
}

#[test]
fn binary_is_refused_where_only_text_is_spoken() {
    let config = WebSocketConfig {
        text_only: true,
        ..WebSocketConfig::default()
    };
    let server = TestServer::websocket(config, echo);
    let mut client = Client::open(server.address, "/");
    client.send_text("text");
    assert_eq!(client.read_text(), "text");
    // On its header: the payload does not come.
    client.send_raw(&frame(true, BINARY, b"binary")[..6]);
    client.expect_close(1003);
    client.expect_eof();
}

#[test]
fn a_rate_limit_slows_a_client_down_and_loses_nothing() {
    let config = WebSocketConfig {
        max_frames_per_second: Some(100),
        ..WebSocketConfig::default()
    };
    let server = TestServer::websocket(config, echo);
    let mut fast = Client::open(server.address, "/");
    let mut calm = Client::open(server.address, "/");
    let begun = Instant::now();
    for number in 0..250 {
        fast.send_text(&number.to_string());
    }
    calm.send_text("not slowed");
    assert_eq!(calm.read_text(), "not slowed");
    assert!(begun.elapsed() < Duration::from_secs(1));
    for number in 0..250 {
        assert_eq!(fast.read_text(), number.to_string());
    }
    // A second's worth at once may pass.
    assert!(
        begun.elapsed() > Duration::from_millis(1200),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn a_rate_in_bytes_slows_a_client_down_and_loses_nothing() {
    let config = WebSocketConfig {
        max_bytes_per_second: Some(50_000),
        ..WebSocketConfig::default()
    };
    let server = TestServer::websocket(config, echo);
    let mut fast = Client::open(server.address, "/");
    let mut calm = Client::open(server.address, "/");
    let begun = Instant::now();
    let message = |number: u8| vec![number; 1000];
    let sent: Vec<u8> = (0..150)
        .flat_map(|number| frame(true, BINARY, &message(number)))
        .collect();
    fast.send_raw(sent);
    calm.send_text("not slowed");
    assert_eq!(calm.read_text(), "not slowed");
    for number in 0..150 {
        assert!(fast.read_message(BINARY) == message(number), "{number}");
    }
    // A second's worth at once may pass: two seconds are left.
    assert!(
        begun.elapsed() > Duration::from_millis(1500),
        "{:?}",
        begun.elapsed()
    );
}

/// Starts an echo with these limits of the whole server.
fn limited(config: Config) -> TestServer {
    TestServer::limited(config, WebSocketConfig::default(), echo)
}

#[test]
fn a_connection_too_many_is_told_so_and_a_place_that_is_free_again_is_given_away() {
    let server = limited(Config {
        max_connections: Some(3),
        ..Config::default()
    });
    let mut clients: Vec<_> = (0..3).map(|_| server.open("/").0).collect();
    let mut refused = Client::connect(server.address);
    assert_eq!(refused.read_response().status, 503);
    refused.expect_eof();
    for client in &mut clients {
        client.send_text("still served");
        assert_eq!(client.read_text(), "still served");
    }
    clients.pop();
    server.close_event();
    wait_until("a place is free", || {
        let mut client = Client::connect(server.address);
        client.try_send_raw(handshake("/")) && client.read_response().status == 101
    });
}

/// A total, so that a client which sends a byte at a time is not served for ever.
#[test]
fn a_header_section_that_takes_too_long_is_answered_408() {
    let server = limited(Config {
        header_timeout: Duration::from_millis(400),
        ..Config::default()
    });
    let mut client = Client::connect(server.address);
    let begun = Instant::now();
    for byte in handshake("/").as_bytes().iter().take(16) {
        if !client.try_send_raw([*byte]) {
            break;
        }
        std::thread::sleep(Duration::from_millis(40));
    }
    assert_eq!(client.read_response().status, 408);
    client.expect_eof();
    let took = begun.elapsed();
    assert!(
        (Duration::from_millis(350)..Duration::from_secs(4)).contains(&took),
        "{took:?}"
    );
}

#[test]
fn an_idle_connection_is_closed_and_a_websocket_is_none() {
    let config = Config {
        keep_alive_timeout: Duration::from_millis(300),
        header_timeout: Duration::from_millis(300),
        write_timeout: Duration::from_millis(300),
        ..Config::default()
    };
    let server = limited(config);
    let (mut websocket, _) = server.open("/");
    let mut client = Client::connect(server.address);
    assert_eq!(client.get("/").status, 426);
    let begun = Instant::now();
    client.expect_eof();
    let took = begun.elapsed();
    assert!(
        (Duration::from_millis(250)..Duration::from_secs(3)).contains(&took),
        "{took:?}"
    );
    std::thread::sleep(Duration::from_millis(300));
    websocket.send_text("older than any HTTP timeout");
    assert_eq!(websocket.read_text(), "older than any HTTP timeout");
}

/// Else its request, which nobody reads, would be answered by a reset that takes the 503 along.
#[test]
fn a_refused_client_that_asks_late_still_reads_why() {
    let server = limited(Config {
        max_connections: Some(1),
        ..Config::default()
    });
    let (_first, _) = server.open("/");
    let mut refused = Client::connect(server.address);
    wait_until("the refusal is there", || refused.has_input());
    refused.send_raw(handshake("/"));
    refused.send_raw("more that nobody wants");
    let response = refused.read_response();
    assert_eq!(
        (response.status, response.field("Connection")),
        (503, Some("close"))
    );
    refused.expect_eof();
}

/// At the limit, too: both are seen by the same poll.
#[test]
fn who_leaves_makes_room_for_who_comes_at_the_same_time() {
    let react = |ws: &Endpoint, event: &Event| match event {
        Event::Text(_, text) if text == "stall" => std::thread::sleep(Duration::from_secs(1)),
        _ => echo(ws, event),
    };
    let config = Config {
        max_connections: Some(2),
        ..Config::default()
    };
    let server = TestServer::limited(config, WebSocketConfig::default(), react);
    let (mut first, id) = server.open("/");
    let (leaving, _) = server.open("/");
    first.send_text("stall");
    assert_eq!(server.event(), Event::Text(id, "stall".into()));
    drop(leaving);
    let mut coming = Client::connect(server.address);
    coming.upgrade("/");
    coming.send_text("welcome");
    assert_eq!(coming.read_text(), "welcome");
}

#[test]
fn a_body_that_comes_too_slowly_is_answered_408() {
    let config = Config {
        body_grace: Duration::from_millis(400),
        min_body_bytes_per_second: 10_000,
        ..Config::default()
    };
    let respond = |request: &mut Request, response: &mut Response| {
        response.end(request.take_body());
    };
    let server = TestServer::http(config, respond);
    let head = |len| format!("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len}\r\n\r\n");
    // Fast enough on the whole, though its last byte comes after the grace.
    let mut steady = Client::connect(server.address);
    steady.send_raw(head(100_000));
    steady.send_raw(vec![b'x'; 99_999]);
    let begun = Instant::now();
    let mut slow = Client::connect(server.address);
    slow.send_raw(head(100));
    for _ in 0..20 {
        if !slow.try_send_raw("x") {
            break;
        }
        std::thread::sleep(Duration::from_millis(40));
    }
    steady.send_raw("x");
    assert_eq!(slow.read_response().status, 408);
    slow.expect_eof();
    assert!(begun.elapsed() >= Duration::from_millis(400));
    assert_eq!(steady.read_response().body.len(), 100_000);
}

/// Each is small by its own limit, all together need not be.
#[test]
fn half_read_input_of_all_clients_is_limited_in_total() {
    const HALF: usize = 100_000;
    // Every frame lacks its last byte.
    let whole = frame(true, BINARY, &vec![8; HALF]);
    let (half, rest) = whole.split_at(whole.len() - 1);
    // To an id: how much was read from that client.
    let react = |ws: &Endpoint, event: &Event| match event {
        Event::Text(client, text) => {
            let asked = text.parse::<ClientId>().expect("an id");
            let read = ws.info(asked).map_or(0, |info| info.bytes_read);
            ws.send(*client, read.to_string());
        }
        _ => echo(ws, event),
    };
    let config = Config {
        max_buffered_input_bytes: 3 * HALF + HALF / 2,
        ..Config::default()
    };
    let server = TestServer::limited(config, WebSocketConfig::default(), react);
    let (mut asker, _) = server.open("/");
    let mut open_half = || {
        let (mut client, id) = server.open("/");
        client.send_raw(half);
        wait_until("the half is read", || {
            asker.send_text(&id.to_string());
            asker.read_text() == half.len().to_string()
        });
        client
    };
    let finish = |client: &mut Client| {
        client.send_raw(rest);
        assert!(client.read_message(BINARY) == vec![8; HALF]);
    };

    let mut clients = [(); 3].map(|()| open_half());
    // Who passes it is closed, whatever it speaks; its own part is free again at once.
    for _ in 0..2 {
        let (mut passing, id) = server.open("/");
        passing.send_raw(half);
        passing.expect_close(1013);
        let closed = server.close_event();
        assert_eq!((closed.0, closed.1), (id, 1013));
        let mut passing = Client::connect(server.address);
        passing.send_raw("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 120000\r\n\r\n");
        passing.try_send_raw(vec![b'x'; HALF]);
        assert_eq!(passing.read_response().status, 503);
        passing.expect_eof();
    }
    // Who is done makes room, and who leaves without having been done.
    finish(&mut clients[0]);
    let next = open_half();
    let [_, second, leaving] = clients;
    leaving.reset();
    server.close_event();
    let last = open_half();
    for client in &mut [second, next, last] {
        finish(client);
    }
}

/// Clocks could not hold some of these, nor could tables.
#[test]
fn values_that_are_too_large_are_no_limits() {
    let never = Duration::MAX;
    let (server, websocket) = (Config::default, WebSocketConfig::default);
    let cases = [
        (
            Config {
                header_timeout: never,
                body_grace: never,
                keep_alive_timeout: never,
                write_timeout: never,
                linger_timeout: never,
                ..server()
            },
            websocket(),
        ),
        (
            Config {
                stop_timeout: never,
                max_connections: Some(usize::MAX),
                ..server()
            },
            WebSocketConfig {
                close_timeout: never,
                heartbeat: Some(never),
                max_bytes_per_second: Some(u64::MAX),
                max_frames_per_second: Some(u32::MAX),
                ..websocket()
            },
        ),
        (
            Config {
                max_header_section_bytes: usize::MAX,
                max_header_count: usize::MAX,
                max_target_bytes: usize::MAX,
                max_body_bytes: usize::MAX,
                min_body_bytes_per_second: usize::MAX,
                soft_backlog_bytes: usize::MAX,
                max_buffered_input_bytes: usize::MAX,
                max_timers: usize::MAX,
                max_delayed_bytes: usize::MAX,
                max_remote_commands: usize::MAX,
                max_remote_bytes: usize::MAX,
                listen_backlog: u32::MAX,
                ..server()
            },
            WebSocketConfig {
                max_frame_bytes: u64::MAX,
                max_message_bytes: u64::MAX,
                max_unanswered_pings: u32::MAX,
                max_empty_fragments: u32::MAX,
                max_outgoing_frame_bytes: Some(usize::MAX),
                soft_backlog_bytes: usize::MAX,
                hard_backlog_bytes: usize::MAX,
                ..websocket()
            },
        ),
    ];
    for (config, options) in cases {
        // One that does not read, for the write timeout.
        let react = |ws: &Endpoint, event: &Event| match event {
            Event::Text(client, text) if text == "clog" => ws.send(*client, vec![0; 12 << 20]),
            _ => echo(ws, event),
        };
        let server = TestServer::limited(config, options, react);
        let mut stuck = Client::open_narrow(server.address, "/");
        stuck.send_text("clog");
        let (mut client, _) = server.open("/");
        client.send(true, BINARY, [0; 1000]);
        assert_eq!(client.read_message(BINARY), [0; 1000]);
        client.send_close(1000);
        client.expect_close(1000);
        client.expect_eof();
        let mut client = Client::connect(server.address);
        assert_eq!(client.get("/").status, 426);
        let body = "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
        client.send_raw(body);
        client.read_response();
        client.expect_eof();
        stuck.reset();
    }
}

/// What is served then is little; that the server lives and ends well is what its drop asks.
#[test]
fn limits_of_zero_refuse_and_break_nothing() {
    let config = Config {
        max_header_section_bytes: 0,
        max_header_count: 0,
        max_target_bytes: 0,
        max_connections: Some(0),
        ..Config::default()
    };
    let server = limited(config);
    let mut client = Client::connect(server.address);
    assert_eq!(client.read_response().status, 503);

    let config = Config {
        max_body_bytes: 0,
        soft_backlog_bytes: 0,
        max_buffered_input_bytes: 0,
        max_timers: 0,
        max_delayed_bytes: 0,
        max_remote_commands: 0,
        max_remote_bytes: 0,
        min_body_bytes_per_second: 0,
        linger_timeout: Duration::ZERO,
        ..Config::default()
    };
    let options = WebSocketConfig {
        max_frame_bytes: 0,
        max_message_bytes: 0,
        max_empty_fragments: 0,
        max_outgoing_frame_bytes: Some(0),
        max_frames_per_second: Some(0),
        max_bytes_per_second: Some(0),
        soft_backlog_bytes: 0,
        hard_backlog_bytes: 0,
        close_timeout: Duration::ZERO,
        ..WebSocketConfig::default()
    };
    let react = |ws: &Endpoint, event: &Event| {
        if let Event::Open(client, _) = event {
            let _ = ws.set_timer(Duration::ZERO);
            ws.send_after(Duration::ZERO, *client, "refused");
            ws.send(*client, "welcome");
        }
    };
    let server = TestServer::limited(config, options, react);
    let mut client = Client::open(server.address, "/");
    let mut welcome = Vec::new();
    while welcome != b"welcome" {
        welcome.extend(client.read_frame().payload);
    }
    client.send_text("one byte too many");
    client.read_to_end_or_reset();
    let mut client = Client::connect(server.address);
    client.send_raw(&handshake("/")[..20]);
    client.read_to_end_or_reset();
}
