//! Responses that are sent piece by piece, on streams of HTTP/2.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::time::Duration;

use aerys::{Config, ResponseStream, Router, Server, ServerSentEvent, StreamError, respond};

use crate::http2_client::{
    CANCEL, Event, Http2Client, INITIAL_WINDOW_SIZE, INTERNAL_ERROR, NO_ERROR,
};
use crate::streams::{MEGABYTES, hear, server, server_with};
use crate::support::{TestServer, expect_refused};

/// A stream that was sent the first event.
fn subscribe(client: &mut Http2Client) -> u32 {
    let stream = client.ask("/events");
    let (head, is_last) = client.read_head(stream);
    assert_eq!((head.status, is_last), (200, false));
    assert_eq!(head.field("content-type"), Some("text/event-stream"));
    assert_eq!(head.field("content-length"), None);
    assert_eq!(
        client.read_data(stream),
        (b"data: hello\n\n".to_vec(), false)
    );
    stream
}

/// All that comes, up to the end.
fn read_rest(client: &mut Http2Client, stream: u32) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let (bytes, is_last) = client.read_data(stream);
        all.extend(bytes);
        if is_last {
            return all;
        }
    }
}

#[test]
fn what_is_sent_later_reaches_all_streams_of_all_connections() {
    let (server, _heard) = server();
    let mut clients = [(); 2].map(|()| Http2Client::connect(server.address));
    let mut streams = Vec::new();
    for at in [0, 1, 0, 1, 1] {
        streams.push((at, subscribe(&mut clients[at])));
    }
    let mut publisher = Http2Client::connect(server.address);
    for text in ["data: one\n\n", "data: two\n\n"] {
        assert_eq!(publisher.post("/publish", text).body, b"5");
        for (at, stream) in &streams {
            let expected = (text.as_bytes().to_vec(), false);
            assert_eq!(clients[*at].read_data(*stream), expected);
        }
    }
    // Who listens asks, too.
    assert_eq!(clients[0].get("/plain").body, b"plain");
    assert_eq!(clients[0].post("/end", "").body, b"ended");
    for (at, stream) in streams {
        assert_eq!(read_rest(&mut clients[at], stream), b"");
        assert!(clients[at].event_by_now(stream).is_none(), "behind the end");
    }
}

#[test]
fn who_left_is_told_once_and_sent_to_no_more() {
    let (server, heard) = server();
    let mut client = Http2Client::connect(server.address);
    let mut publisher = Http2Client::connect(server.address);
    let streams = [(); 3].map(|()| subscribe(&mut client));
    client.reset_stream(streams[1], CANCEL);
    assert_eq!(hear(&heard), "close");
    assert_eq!(publisher.post("/publish", "x").body, b"2");
    assert_eq!(client.read_data(streams[0]).0, b"x");
    assert_eq!(client.read_data(streams[2]).0, b"x");
    assert!(client.event_by_now(streams[1]).is_none());
    // With the connection all of its streams are lost.
    drop(client);
    assert_eq!(hear(&heard), "close");
    assert_eq!(hear(&heard), "close");
    assert_eq!(publisher.post("/publish", "x").body, b"0");
    assert!(heard.try_recv().is_err(), "each is told once");
}

#[test]
fn what_is_ended_at_once_is_an_ordinary_body_and_a_head_has_none() {
    let (server, heard) = server();
    let mut client = Http2Client::connect(server.address);
    let response = client.get("/at-once");
    assert_eq!(response.field("content-length"), Some("9"));
    assert_eq!(response.body, b"all of it");
    let stream = client.send_request("HEAD", "/events", &[], true);
    assert!(client.read_head(stream).1, "it ends with its head");
    assert_eq!(hear(&heard), "close");
    let stream = client.ask("/later");
    client.read_head(stream);
    assert_eq!(client.read_data(stream), (b"first".to_vec(), false));
    assert_eq!(read_rest(&mut client, stream), b"second");
    assert_eq!(client.get("/plain").body, b"plain");
}

/// So that it does not look complete.
#[test]
fn a_response_that_is_cut_is_reset() {
    let (server, _heard) = server();
    let mut client = Http2Client::connect(server.address);
    let stream = client.ask("/panic");
    client.read_head(stream);
    assert_eq!(client.read_data(stream), (b"begun".to_vec(), false));
    client.expect_reset(stream, INTERNAL_ERROR);
    assert_eq!(client.get("/plain").body, b"plain");

    let server = TestServer::start(|host, _| {
        let cut = respond(|_, response| {
            let stream = response.stream();
            stream.send("begun").expect("it is open");
            stream.after(Duration::from_millis(1), ResponseStream::cut);
        });
        Server::new().host(host.add(Router::new().get("/cut", cut)))
    });
    let mut client = Http2Client::connect(server.address);
    for _ in 0..2 {
        let stream = client.ask("/cut");
        client.read_head(stream);
        assert_eq!(client.read_data(stream), (b"begun".to_vec(), false));
        client.expect_reset(stream, INTERNAL_ERROR);
    }
}

#[test]
fn events_of_a_server_are_what_browsers_read() {
    let server = TestServer::start(|host, _| {
        let events = respond(|_, response| {
            response.set_header("Content-Type", "text/event-stream");
            let stream = response.stream();
            let number = RefCell::new(0);
            let send = move |stream: &ResponseStream| {
                *number.borrow_mut() += 1;
                let event = ServerSentEvent::new("two\nlines").name("news");
                let event = event.id(&number.borrow().to_string());
                stream.send(event.to_string()).expect("it is open");
            };
            let send = Rc::new(send);
            let again = Rc::clone(&send);
            stream.after(Duration::from_millis(1), move |stream| again(stream));
            stream.after(Duration::from_millis(30), ResponseStream::end);
            send(&stream);
        });
        Server::new().host(host.add(Router::new().get("/", events)))
    });
    let mut client = Http2Client::connect(server.address);
    let stream = client.ask("/");
    client.read_head(stream);
    let event = |id| format!("event: news\nid: {id}\ndata: two\ndata: lines\n\n");
    assert_eq!(client.read_data(stream).0, event(1).as_bytes());
    assert_eq!(client.read_data(stream).0, event(2).as_bytes());
    assert_eq!(read_rest(&mut client, stream), b"");
}

/// Backpressure: what waits for the window stays below the limit, and goes on when it opens.
#[test]
fn a_stream_without_a_window_is_full_and_told_when_to_go_on() {
    let (server, heard) = server();
    let settings = [(INITIAL_WINDOW_SIZE, 1000)];
    let mut client = Http2Client::connect_with(server.address, &settings);
    client.gives_back = false;
    let stream = client.ask("/flood");
    // First while the head was not queued, then with what the limit and the window hold.
    assert_eq!(hear(&heard), "full");
    assert_eq!(hear(&heard), "full");
    client.read_head(stream);
    let mut len = client.read_data(stream).0.len();
    assert_eq!(len, 1000);
    // Nothing more comes, and others are answered.
    assert_eq!(client.get("/plain").body, b"plain");
    assert!(client.event_by_now(stream).is_none());
    assert!(heard.try_recv().is_err(), "it goes on without a window");
    client.gives_back = true;
    client.open_window(0, 1000);
    client.open_window(stream, 100_000);
    let (rest, others) = (read_rest(&mut client, stream), b'x');
    assert!(rest.iter().all(|byte| *byte == others));
    len += rest.len();
    assert_eq!(len, MEGABYTES.next_multiple_of(1000));
}

#[test]
fn another_thread_sends_as_fast_as_the_window_opens() {
    const PIECES: u32 = 100_000;
    let (sender, heard) = channel();
    let server = TestServer::start(|host, _| {
        let feed = respond(move |_, response| {
            let (remote, sender) = (response.stream().remote(), sender.clone());
            std::thread::spawn(move || {
                let mut sent = 0;
                while sent < PIECES {
                    match remote.send(sent.to_be_bytes().repeat(8)) {
                        Ok(()) => sent += 1,
                        Err(StreamError::Full) => {
                            let _ = sender.send("full");
                            std::thread::sleep(Duration::from_millis(1));
                        }
                        Err(StreamError::Closed) => break,
                    }
                }
                remote.end();
                let _ = sender.send("over");
            });
        });
        Server::new().host(host.add(Router::new().get("/feed", feed)))
    });
    let mut client = Http2Client::connect(server.address);
    let streams = [(); 2].map(|()| client.ask("/feed"));
    assert_eq!(hear(&heard), "full");
    // One that is reset hears of it; the other is complete.
    client.reset_stream(streams[0], CANCEL);
    client.read_head(streams[1]);
    let body = read_rest(&mut client, streams[1]);
    let numbers = body.chunks(4).map(|four| four.try_into().expect("four"));
    let expected = (0..PIECES * 8).map(|at| at / 8);
    assert!(numbers.map(u32::from_be_bytes).eq(expected));
    let mut over = 0;
    while over < 2 {
        over += u32::from(hear(&heard) == "over");
    }
}

/// The windows of the connection and of others are open all the while.
#[test]
fn a_stream_whose_window_stays_shut_is_reset_at_the_write_timeout() {
    let (server, heard) = server_with(Config {
        write_timeout: Duration::from_millis(300),
        ..Config::default()
    });
    let mut client = Http2Client::connect(server.address);
    client.open_window(0, 10 << 20);
    let stuck = subscribe(&mut client);
    let lives = subscribe(&mut client);
    client.gives_back = false;
    let text = "x".repeat(100_000);
    assert_eq!(client.post("/publish", &text).body, b"2");
    client.open_window(lives, 100_000);
    loop {
        match client.event(stuck) {
            Event::Data(_, false) => {}
            Event::Reset(CANCEL) => break,
            other => panic!("not a reset but {other:?}"),
        }
    }
    assert_eq!(hear(&heard), "close");
    let mut len = 0;
    while len < text.len() {
        len += client.read_data(lives).0.len();
    }
    assert_eq!(client.post("/publish", "more").body, b"1");
    assert_eq!(client.read_data(lives).0, b"more");
}

#[test]
fn a_stop_is_told_and_what_is_ended_then_is_complete() {
    let (mut server, heard) = server();
    let mut client = Http2Client::connect(server.address);
    let streams = [(); 3].map(|()| subscribe(&mut client));
    server.stop();
    assert_eq!(client.expect_go_away(NO_ERROR), streams[2]);
    for stream in streams {
        assert_eq!(read_rest(&mut client, stream), b"bye");
        assert_eq!(hear(&heard), "stop");
    }
    client.expect_eof();
    drop(client);
    server.join().expect("it ends in time");
    expect_refused(server.address);
}
