//! How long heads, bodies, answers and idle connections may take.

use crate::{
    GET, HANDSHAKE, TEXT, World, answer_count, echo, frame, greeting, just_before, millis, seconds,
    status,
};
use aerys::{BodyHandler, Config, Request, Response, StatusCode, WebSocketConfig, upload};

/// Takes a body as a whole at `/whole`, and in pieces at `/pieces`.
fn start(config: Config) -> World {
    let quiet = WebSocketConfig {
        heartbeat: None,
        ..WebSocketConfig::default()
    };
    let whole = |request: &mut Request, response: &mut Response| {
        response.end(request.take_body().len().to_string());
    };
    let router = greeting()
        .post("/whole", whole)
        .post("/pieces", upload(|_, _| Some(Count(0))))
        .get("/long", |_: &mut Request, response: &mut Response| {
            response.end(vec![b'x'; 10_000]);
        })
        .get("/ws", echo(quiet));
    World::start_with(config, router)
}

/// Answers with how much came.
struct Count(usize);

impl BodyHandler for Count {
    fn on_data(&mut self, bytes: &[u8], _: &mut Response) {
        self.0 += bytes.len();
    }

    fn on_end(self: Box<Self>, _: &mut Request, response: &mut Response) {
        response.end(self.0.to_string());
    }
}

#[test]
fn a_head_that_is_not_complete_in_time_is_answered_408() {
    let mut world = start(Config::default());
    let (dripping, silent) = (world.connect(), world.connect());
    for byte in GET.iter().take(19) {
        world.send(dripping, &[*byte]);
        world.pass(millis(520));
    }
    world.pass(millis(119));
    assert_eq!(world.server.client_count(), 2);
    world.pass(millis(1));
    assert_eq!(status(&world.server.take_output(dripping)), 408);
    // There is nothing to answer.
    assert_eq!(world.server.take_output(silent), b"");
    assert!(world.server.is_closed(silent));
}

#[test]
fn a_thousand_heads_that_take_all_of_their_time_are_answered_again_and_again() {
    let mut world = start(Config::default());
    let crowd: Vec<_> = (0..1000).map(|_| world.connect()).collect();
    for round in 0..3 {
        let (last, first) = GET.split_last().expect("some");
        for piece in first.chunks(2) {
            for peer in &crowd {
                world.server.send(*peer, piece);
            }
            world.settle();
            // Of the first request since the accept, of others since their first byte.
            world.pass(millis(700));
        }
        assert_eq!(first.chunks(2).count(), 13);
        world.pass(millis(899));
        for peer in &crowd {
            assert_eq!(status(&world.ask(*peer, &[*last])), 200, "round {round}");
        }
    }
}

#[test]
fn a_body_below_the_least_rate_is_answered_408_however_it_is_taken() {
    let mut world = start(Config::default());
    for path in ["whole", "pieces"] {
        let peer = world.connect();
        let head = format!("POST /{path} HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
        world.send(peer, head.as_bytes());
        // The grace, and what was sent by then at the least rate.
        world.send(peer, &[b'x'; 2048]);
        world.pass(just_before(seconds(10)));
        assert_eq!(world.server.take_output(peer), b"", "{path}");
        world.pass(millis(1));
        assert_eq!(status(&world.server.take_output(peer)), 408, "{path}");
    }
}

#[test]
fn a_body_at_the_least_rate_is_taken_however_long_it_is() {
    let mut world = start(Config::default());
    let len = 120 << 10;
    for path in ["whole", "pieces"] {
        let peer = world.connect();
        let head = format!("POST /{path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n");
        world.send(peer, head.as_bytes());
        for _ in 0..120 {
            assert_eq!(world.ask(peer, &[b'x'; 1023]), b"", "{path}");
            world.send(peer, b"x");
            world.pass(just_before(seconds(1)));
        }
        let answer = world.server.take_output(peer);
        assert!(
            answer.ends_with(len.to_string().as_bytes()),
            "{path}: {}",
            answer.escape_ascii()
        );
    }
}

#[test]
fn a_body_in_pieces_that_stands_still_is_answered_408() {
    let mut world = start(Config {
        max_body_bytes: 1 << 20,
        ..Config::default()
    });
    let peer = world.connect();
    world.send(
        peer,
        b"POST /pieces HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n",
    );
    // Enough for minutes of the least rate.
    world.send(peer, &vec![b'x'; 900_000]);
    world.pass(just_before(seconds(30)));
    assert_eq!(world.server.take_output(peer), b"");
    world.pass(millis(1));
    assert_eq!(status(&world.server.take_output(peer)), 408);
}

#[test]
fn a_body_in_pieces_that_goes_on_just_before_is_taken() {
    let mut world = start(Config {
        max_body_bytes: 1 << 20,
        ..Config::default()
    });
    let peer = world.connect();
    world.send(
        peer,
        b"POST /pieces HTTP/1.1\r\nHost: a\r\nContent-Length: 900020\r\n\r\n",
    );
    world.send(peer, &vec![b'x'; 900_000]);
    for _ in 0..20 {
        world.pass(just_before(seconds(30)));
        world.send(peer, b"x");
    }
    assert!(world.server.take_output(peer).ends_with(b"900020"));
}

/// The poll that says so is later than the deadline, and so short a time after the last one that it is no
/// stall: what it brings is read first.
#[test]
fn who_spoke_before_its_deadline_is_read_before_it_is_judged() {
    let mut world = start(Config::default());
    let peer = world.connect();
    world.send(peer, b"GET / HTTP/1.1\r\nHost: a\r\n");
    let timeout = Config::default().header_timeout;
    world.pass(timeout.saturating_sub(millis(50)));
    world.server.turn().expect("it lives");
    world.server.send(peer, b"\r\n");
    world.server.advance(millis(60));
    world.settle();
    assert_eq!(status(&world.server.take_output(peer)), 200);
}

#[test]
fn a_connection_is_closed_when_it_was_idle_so_long() {
    let mut world = start(Config::default());
    let idle = world.visitor();
    world.pass(just_before(seconds(15)));
    assert!(!world.server.is_closed(idle));
    world.pass(millis(1));
    assert!(world.server.is_closed(idle));
    assert_eq!(world.server.client_count(), 0);
}

#[test]
fn a_connection_that_asks_just_before_is_kept_for_hours() {
    let mut world = start(Config::default());
    let steady = world.visitor();
    for _ in 0..500 {
        world.pass(just_before(seconds(15)));
        assert_eq!(status(&world.ask(steady, GET)), 200);
    }
}

#[test]
fn a_client_that_takes_nothing_of_its_answer_is_dropped() {
    let mut world = start(Config::default());
    let stuck = world.connect();
    world.server.set_room(stuck, 100);
    world.send(stuck, b"GET /long HTTP/1.1\r\nHost: a\r\n\r\n");
    world.pass(just_before(seconds(30)));
    assert_eq!(world.server.client_count(), 1);
    world.pass(millis(1));
    assert_eq!(world.server.client_count(), 0);
    assert_eq!(world.server.take_output(stuck).len(), 100);
}

/// The server finds that out when it tries, at the timeout, since nothing tells of so little room.
#[test]
fn a_client_that_takes_less_than_a_kibibyte_in_the_timeout_is_dropped() {
    for (bytes, is_kept) in [(0, false), (1, false), (1023, false), (1024, true)] {
        for is_websocket in [false, true] {
            let mut world = start(Config::default());
            let slow = world.connect();
            if is_websocket {
                world.ask(slow, HANDSHAKE);
            }
            world.server.set_room(slow, 100);
            if is_websocket {
                world.send(slow, &frame(TEXT, &[b'x'; 9_000]));
            } else {
                world.send(slow, b"GET /long HTTP/1.1\r\nHost: a\r\n\r\n");
            }
            for _ in 0..4 {
                world.pass(just_before(seconds(30)));
                assert_eq!(world.server.client_count(), 1);
                world.server.set_untold_room(slow, bytes);
                world.pass(millis(1));
                if !is_kept {
                    break;
                }
            }
            let is_there = world.server.client_count() == 1;
            assert_eq!(is_there, is_kept, "{bytes} bytes, {is_websocket}");
            assert_eq!(world.server.is_reset(slow), !is_kept);
        }
    }
}

/// Or as little as there is left.
#[test]
fn a_client_that_takes_the_last_bytes_at_the_timeout_is_kept() {
    let mut world = start(Config::default());
    let slow = world.connect();
    world.server.set_room(slow, 9_900);
    world.send(slow, b"GET /long HTTP/1.1\r\nHost: a\r\n\r\n");
    world.pass(just_before(seconds(30)));
    world.server.set_untold_room(slow, 1_000);
    world.pass(seconds(1));
    assert!(world.server.take_output(slow).len() > 10_000);
    world.server.set_room(slow, u64::MAX);
    assert_eq!(status(&world.ask(slow, GET)), 200);
}

#[test]
fn a_client_that_takes_a_byte_just_before_gets_all_of_it() {
    let mut world = start(Config::default());
    let slow = world.connect();
    world.server.set_room(slow, 100);
    world.send(slow, b"GET /long HTTP/1.1\r\nHost: a\r\n\r\n");
    for _ in 0..100 {
        world.pass(just_before(seconds(30)));
        world.server.set_room(slow, 1);
        world.settle();
    }
    assert_eq!(world.server.take_output(slow).len(), 200);
    world.server.set_room(slow, u64::MAX);
    world.settle();
    assert!(world.server.take_output(slow).len() > 9_800);
    assert_eq!(status(&world.ask(slow, GET)), 200);
}

const LAST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

#[test]
fn who_never_ends_its_side_is_cut_at_the_linger_timeout() {
    let mut world = start(Config::default());
    let peer = world.connect();
    assert_eq!(status(&world.ask(peer, LAST)), 200);
    assert!(world.server.is_closed(peer));
    for _ in 0..19 {
        world.pass(millis(100));
        world.send(peer, b"more");
    }
    world.pass(millis(99));
    assert_eq!(world.server.client_count(), 1);
    world.pass(millis(1));
    assert_eq!(world.server.client_count(), 0);
}

/// The time runs from the last byte that it took.
#[test]
fn who_takes_its_last_answer_slowly_is_not_cut_for_lingering() {
    let mut world = start(Config::default());
    let slow = world.connect();
    world.server.set_room(slow, 10);
    world.send(slow, LAST);
    let mut answer = Vec::new();
    while !answer.ends_with(b"hello") {
        world.pass(seconds(20));
        world.server.set_room(slow, 10);
        world.settle();
        answer.extend(world.server.take_output(slow));
        assert_eq!(world.server.client_count(), 1);
    }
    world.pass(just_before(seconds(2)));
    assert_eq!(world.server.client_count(), 1);
    world.server.end(slow);
    world.settle();
    assert_eq!(world.server.client_count(), 0);
}

#[test]
fn what_a_stop_waits_for_is_cut_at_its_timeout() {
    let mut world = start(Config::default());
    let (websocket, uploading) = (world.open(), world.connect());
    world.send(
        uploading,
        b"POST /whole HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n",
    );
    world.server.set_room(websocket, 0);
    world.server.stop();
    world.settle();
    world.pass(just_before(seconds(5)));
    assert!(world.server.client_count() >= 1);
    world.pass(millis(1));
    assert_eq!(world.server.client_count(), 0);
}

#[test]
fn what_is_done_just_before_the_stop_timeout_is_whole() {
    let mut world = start(Config::default());
    let crowd: Vec<_> = (0..500).map(|_| world.connect()).collect();
    for peer in &crowd {
        world.server.set_room(*peer, 100);
        world
            .server
            .send(*peer, b"GET /long HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    world.settle();
    world.server.stop();
    world.settle();
    world.pass(just_before(seconds(5)));
    for peer in crowd {
        world.server.set_room(peer, u64::MAX);
        world.settle();
        let answer = world.server.take_output(peer);
        assert_eq!(status(&answer), 200);
        assert!(answer.ends_with(&[b'x'; 9_000]));
    }
}

/// Who asks while the server stops is told when to come back.
#[test]
fn a_request_amid_a_stop_is_answered_503_with_retry_after() {
    let mut world = start(Config::default());
    let late = world.connect();
    world.send(late, &GET[..10]);
    world.server.stop();
    world.settle();
    let answer = world.ask(late, &GET[10..]);
    assert_eq!(status(&answer), StatusCode::SERVICE_UNAVAILABLE.as_u16());
    let text = String::from_utf8_lossy(&answer).to_lowercase();
    assert!(text.contains("\r\nretry-after: 1\r\n"), "{text}");
    assert_eq!(answer_count(&answer), 1);
}

#[test]
fn timeouts_without_end_cut_nobody_off_in_a_year() {
    let never = std::time::Duration::MAX;
    let config = Config {
        header_timeout: never,
        body_grace: never,
        body_stall_timeout: never,
        keep_alive_timeout: never,
        write_timeout: never,
        tls_handshake_timeout: never,
        ..Config::default()
    };
    let mut world = start(config);
    let (head, idle, body, pieces, stuck) = (
        world.connect(),
        world.visitor(),
        world.connect(),
        world.connect(),
        world.connect(),
    );
    world.send(head, &GET[..10]);
    for (peer, path) in [(body, "whole"), (pieces, "pieces")] {
        let head = format!("POST /{path} HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf");
        world.send(peer, head.as_bytes());
    }
    world.server.set_room(stuck, 100);
    world.send(stuck, b"GET /long HTTP/1.1\r\nHost: a\r\n\r\n");
    for _ in 0..365 {
        world.server.advance(seconds(24 * 3600));
        world.settle();
    }
    assert_eq!(status(&world.ask(head, &GET[10..])), 200);
    assert_eq!(status(&world.ask(idle, GET)), 200);
    assert!(world.ask(body, b"whole").ends_with(b"9"));
    assert!(world.ask(pieces, b"whole").ends_with(b"9"));
    world.server.set_room(stuck, u64::MAX);
    world.settle();
    assert!(world.server.take_output(stuck).len() > 10_000);
}
