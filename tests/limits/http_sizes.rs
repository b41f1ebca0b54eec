//! How much of a request is taken, and how much waits of what is answered.

use crate::{GET, World, answer_count, status};
use aerys::{Config, Request, Response, ResponseStream, Router, StreamError};
use std::cell::RefCell;
use std::fmt::Write as _;
use std::rc::Rc;

/// A head with so many fields beside `Host`, which is so long in all.
fn head(target_len: usize, field_count: usize, len: usize) -> Vec<u8> {
    let mut head = format!(
        "GET /{} HTTP/1.1\r\nHost: a\r\n",
        "a".repeat(target_len - 1)
    );
    for number in 0..field_count {
        write!(head, "X-{number:03}: b\r\n").expect("memory");
    }
    let missing = len.saturating_sub(head.len() + 2);
    head.insert_str(head.len() - 2, &"b".repeat(missing));
    head.push_str("\r\n");
    head.into_bytes()
}

/// Answers wherever it is asked.
fn start(config: Config) -> World {
    let anywhere = |request: &mut Request, response: &mut Response| {
        response.end(request.take_body().len().to_string());
    };
    World::start_with(
        config,
        Router::new()
            .route(aerys::Method::GET, "/{*rest}", anywhere)
            .post("/", anywhere),
    )
}

const LONGEST: usize = 16 << 10;

#[test]
fn a_head_that_passes_a_limit_is_refused_whole_and_in_pieces() {
    let mut world = start(Config::default());
    for (head, refusal) in [
        (head(1, 1, LONGEST + 1), 431),
        (head(1, 100, 0), 431),
        (head((8 << 10) + 1, 1, 0), 414),
    ] {
        for piece in [head.len(), 1000, 1] {
            let peer = world.connect();
            for piece in head.chunks(piece) {
                world.server.send(peer, piece);
                world.server.turn().expect("it lives");
            }
            world.settle();
            assert_eq!(status(&world.server.take_output(peer)), refusal);
            assert!(world.server.is_closed(peer));
        }
    }
}

#[test]
fn heads_that_are_all_that_they_may_be_are_answered_one_after_the_other() {
    let mut world = start(Config::default());
    let peer = world.connect();
    for head in [
        head(1, 1, LONGEST),
        head(1, 99, 0),
        head(8 << 10, 1, 0),
        head(8 << 10, 99, LONGEST),
    ] {
        for piece in [head.len(), 1000, 1] {
            for piece in head.chunks(piece) {
                world.server.send(peer, piece);
                world.server.turn().expect("it lives");
            }
            world.settle();
            assert_eq!(status(&world.server.take_output(peer)), 200);
        }
        let many = world.ask(peer, &head.repeat(100));
        assert_eq!(answer_count(&many), 100);
    }
}

fn post(len: usize) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n").into_bytes()
}

const CHUNKED: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn a_body_with_a_byte_too_many_is_answered_413() {
    let mut world = start(Config::default());
    let announced = world.connect();
    assert_eq!(status(&world.ask(announced, &post((128 << 10) + 1))), 413);
    let chunked = world.connect();
    world.send(chunked, CHUNKED);
    let chunk = [&b"1000\r\n"[..], &[b'x'; 4096], b"\r\n"].concat();
    assert_eq!(world.ask(chunked, &chunk.repeat(32)), b"");
    assert_eq!(status(&world.ask(chunked, b"1\r\nx")), 413);
}

#[test]
fn bodies_as_long_as_may_be_are_taken_one_after_the_other() {
    let mut world = start(Config::default());
    let peer = world.connect();
    let chunk = [&b"1000\r\n"[..], &[b'x'; 4096], b"\r\n"].concat();
    for _ in 0..20 {
        let whole = [&post(128 << 10)[..], &vec![b'x'; 128 << 10]].concat();
        assert!(world.ask(peer, &whole).ends_with(b"131072"));
        world.send(peer, CHUNKED);
        for _ in 0..32 {
            world.send(peer, &chunk);
        }
        assert!(world.ask(peer, b"0\r\n\r\n").ends_with(b"131072"));
    }
}

/// Answers with 10,000 bytes, and counts how often it was asked.
fn start_counting() -> (World, Rc<RefCell<usize>>) {
    let count = Rc::new(RefCell::new(0));
    let asked = Rc::clone(&count);
    let long = move |_: &mut Request, response: &mut Response| {
        *asked.borrow_mut() += 1;
        response.end(vec![b'x'; 10_000]);
    };
    let world = World::start_with(Config::default(), Router::new().get("/", long));
    (world, count)
}

#[test]
fn requests_wait_while_more_than_the_soft_backlog_of_their_answers_does() {
    let (mut world, count) = start_counting();
    let stuck = world.connect();
    world.server.set_room(stuck, 0);
    world.send(stuck, &GET.repeat(10_000));
    // Those that fit, the one that passes it, and one that was about to be answered.
    assert!((6..=8).contains(&*count.borrow()), "{}", count.borrow());
}

#[test]
fn requests_that_waited_are_all_answered_when_their_answers_are_read() {
    let (mut world, count) = start_counting();
    let slow = world.connect();
    world.server.set_room(slow, 0);
    world.send(slow, &GET.repeat(1000));
    let mut answered = 0;
    while *count.borrow() < 1000 || answered < 1000 {
        world.server.set_room(slow, 50_000);
        world.settle();
        let output = world.server.take_output(slow);
        assert!(!output.is_empty(), "{answered} of {}", count.borrow());
        answered += output
            .windows(9)
            .filter(|part| part == b"HTTP/1.1 ")
            .count();
        if answered + 10 >= 1000 {
            world.server.set_room(slow, u64::MAX);
        }
    }
    assert_eq!((answered, *count.borrow()), (1000, 1000));
}

/// Streams at `/`; the stream is handed over.
fn start_streaming() -> (World, Rc<RefCell<Option<ResponseStream>>>) {
    let slot = Rc::new(RefCell::new(None));
    let kept = Rc::clone(&slot);
    let begin = move |_: &mut Request, response: &mut Response| {
        *kept.borrow_mut() = Some(response.stream());
    };
    let world = World::start_with(Config::default(), Router::new().get("/", begin));
    (world, slot)
}

#[test]
fn a_stream_takes_no_more_than_its_backlog_and_all_again_once_it_was_read() {
    let (mut world, slot) = start_streaming();
    let peer = world.connect();
    world.server.set_room(peer, 0);
    world.send(peer, GET);
    let stream = slot.borrow().clone().expect("a stream");
    for round in 0..5 {
        let mut taken = 0;
        let refused = loop {
            match stream.send(vec![b'x'; 10_000]) {
                Ok(()) => taken += 10_000,
                Err(refused) => break refused,
            }
        };
        assert_eq!(refused, StreamError::Full, "round {round}");
        assert!((1 << 20..(1 << 20) + 20_000).contains(&taken), "{taken}");
        world.server.set_room(peer, u64::MAX);
        world.settle();
        assert!(world.server.take_output(peer).len() > taken);
        world.server.set_room(peer, 0);
    }
    // Below it, nothing is ever refused.
    world.server.set_room(peer, u64::MAX);
    for _ in 0..1000 {
        assert_eq!(stream.send(vec![b'x'; 100_000]), Ok(()));
        world.server.wake();
        world.settle();
        assert!(world.server.take_output(peer).len() > 100_000);
    }
    assert_eq!(greeting_of(&mut world), 200);
}

/// Others are served beside it.
fn greeting_of(world: &mut World) -> u16 {
    let peer = world.connect();
    status(&world.ask(peer, GET))
}
