//! Responses whose bodies are sent piece by piece, long after their requests.

use std::cell::RefCell;
use std::io::Read as _;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use aerys::{
    Config, Request, Response, ResponseStream, Router, Server, StreamError, WebSocketConfig,
    respond, websocket,
};

use crate::client::{Client, PATIENCE};
use crate::support::{Recorder, TestServer};

/// Streams that are kept, and what was heard of them.
#[derive(Clone)]
struct Streams {
    kept: Rc<RefCell<Vec<ResponseStream>>>,
    heard: Sender<&'static str>,
}

impl Streams {
    fn keep(&self, stream: ResponseStream) {
        let heard = self.heard.clone();
        stream.on_close(move || _ = heard.send("close"));
        let heard = self.heard.clone();
        stream.on_stop(move |stream| {
            let _ = heard.send("stop");
            let _ = stream.send("bye");
            stream.end();
        });
        self.kept.borrow_mut().push(stream);
    }

    /// Sends to all, and forgets those that are over.
    fn publish(&self, text: &str) -> usize {
        let mut kept = self.kept.borrow_mut();
        kept.retain(|stream| stream.send(text) != Err(StreamError::Closed));
        kept.len()
    }
}

pub(crate) const MEGABYTES: usize = 4 << 20;

fn routes(streams: &Streams) -> Router {
    let streams = streams.clone();
    let (kept, published, ended, flooded) = (
        streams.clone(),
        streams.clone(),
        streams.clone(),
        streams.clone(),
    );
    Router::new()
        .get(
            "/events",
            respond(move |_, response| {
                response.set_header("Content-Type", "text/event-stream");
                let stream = response.stream();
                stream.send("data: hello\n\n").expect("it is open");
                kept.keep(stream);
            }),
        )
        .post(
            "/publish",
            respond(move |request, response| {
                let text = String::from_utf8(request.take_body()).expect("text");
                response.end(published.publish(&text).to_string());
            }),
        )
        .post(
            "/end",
            respond(move |_, response| {
                for stream in ended.kept.take() {
                    stream.end();
                    assert_eq!(stream.send("late"), Err(StreamError::Closed));
                }
                response.end("ended");
            }),
        )
        .get(
            "/at-once",
            respond(|_, response| {
                let stream = response.stream();
                stream.send("all ").expect("it is open");
                stream.send("of it").expect("it is open");
                stream.end();
            }),
        )
        .get(
            "/later",
            respond(|_, response| {
                let stream = response.stream();
                stream.after(Duration::from_millis(20), |stream| {
                    stream.send("second").expect("it is open");
                    stream.after(Duration::from_millis(20), ResponseStream::end);
                });
                stream.send("first").expect("it is open");
            }),
        )
        .get(
            "/panic",
            respond(|_, response| {
                let stream = response.stream();
                stream.send("begun").expect("it is open");
                stream.after(Duration::from_millis(1), |_| panic!("later, on purpose"));
            }),
        )
        .get(
            "/flood",
            respond(move |_, response| {
                let stream = response.stream();
                let heard = flooded.heard.clone();
                let mut sent = 0;
                let mut fill = move |stream: &ResponseStream| {
                    while sent < MEGABYTES {
                        match stream.send([b'x'; 1000]) {
                            Ok(()) => sent += 1000,
                            Err(StreamError::Full) => {
                                assert!(stream.backlog_bytes() < (1 << 20) + 10_000);
                                let _ = heard.send("full");
                                return;
                            }
                            Err(StreamError::Closed) => return,
                        }
                    }
                    stream.end();
                };
                fill(&stream);
                stream.on_drain(fill);
            }),
        )
}

pub(crate) fn server_with(config: Config) -> (TestServer, Receiver<&'static str>) {
    let (sender, heard) = channel();
    let server = TestServer::start(|host, _| {
        let kept = Rc::default();
        let streams = Streams {
            kept,
            heard: sender,
        };
        let plain = |_: &mut Request, response: &mut Response| _ = response.end("plain");
        let router = routes(&streams).get("/plain", plain);
        Server::new().config(config).host(host.add(router))
    });
    (server, heard)
}

pub(crate) fn server() -> (TestServer, Receiver<&'static str>) {
    server_with(Config::default())
}

pub(crate) fn hear(heard: &Receiver<&'static str>) -> &'static str {
    heard.recv_timeout(PATIENCE).expect("something is heard")
}

/// A client that was sent the first event.
fn subscribe(server: &TestServer) -> Client {
    let mut client = Client::connect(server.address);
    client.send_raw("GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = client.read_response_head();
    assert_eq!(head.field("transfer-encoding"), Some("chunked"));
    assert_eq!(head.field("content-length"), None);
    assert_eq!(client.read_chunk(), b"data: hello\n\n");
    client
}

#[test]
fn what_is_sent_later_reaches_all_who_listen_and_the_connection_lives_on() {
    let (server, _heard) = server_with(Config {
        // No deadline is to help what waits.
        keep_alive_timeout: Duration::from_secs(3600),
        header_timeout: Duration::from_secs(3600),
        ..Config::default()
    });
    let mut subscribers = [(); 3].map(|()| subscribe(&server));
    let mut publisher = Client::connect(server.address);
    for text in ["data: one\n\n", "data: two\n\n"] {
        assert_eq!(publisher.post("/publish", text).body, b"3");
        for subscriber in &mut subscribers {
            assert_eq!(subscriber.read_chunk(), text.as_bytes());
        }
    }
    // What is asked meanwhile waits for its turn.
    subscribers[0].send_raw("GET /plain HTTP/1.1\r\nHost: a\r\n\r\n");
    subscribers[0].expect_silence(Duration::from_millis(50));
    publisher.post("/end", "");
    for subscriber in &mut subscribers {
        assert_eq!(subscriber.read_chunk(), b"", "the last chunk");
    }
    assert_eq!(subscribers[0].read_response().body, b"plain");
    assert_eq!(subscribers[1].get("/plain").body, b"plain");
}

#[test]
fn a_client_that_left_is_told_once_and_sent_to_no_more() {
    let (server, heard) = server();
    let mut publisher = Client::connect(server.address);
    let (reset, closed, half) = (subscribe(&server), subscribe(&server), subscribe(&server));
    reset.reset();
    assert_eq!(hear(&heard), "close");
    drop(closed);
    assert_eq!(hear(&heard), "close");
    half.shut_down_write();
    assert_eq!(hear(&heard), "close");
    assert_eq!(publisher.post("/publish", "x").body, b"0");
    let mut stays = subscribe(&server);
    assert_eq!(publisher.post("/publish", "x").body, b"1");
    assert_eq!(stays.read_chunk(), b"x");
    assert!(heard.try_recv().is_err(), "each is told once");
}

#[test]
fn a_stream_that_is_ended_at_once_is_an_ordinary_body() {
    let (server, _heard) = server();
    let mut client = Client::connect(server.address);
    let response = client.get("/at-once");
    assert_eq!(response.field("content-length"), Some("9"));
    assert_eq!(response.body, b"all of it");
}

#[test]
fn a_head_request_gets_the_head_and_its_stream_is_closed() {
    let (server, heard) = server();
    let mut client = Client::connect(server.address);
    let answer = client.request("HEAD", "/events", &[]);
    assert_eq!(answer.field("transfer-encoding"), Some("chunked"));
    assert_eq!(hear(&heard), "close");
    assert_eq!(client.get("/plain").body, b"plain");
}

#[test]
fn a_client_of_http_1_0_is_sent_the_bytes_alone_until_the_end() {
    let (server, _heard) = server();
    let mut client = Client::connect(server.address);
    client.send_raw("GET /later HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let head = client.read_response_head();
    assert_eq!(head.field("transfer-encoding"), None);
    assert_eq!(head.field("connection"), Some("close"));
    assert_eq!(client.read_to_eof(), b"firstsecond");
}

#[test]
fn delayed_calls_happen_while_the_stream_is_open() {
    let (server, _heard) = server();
    let mut client = Client::connect(server.address);
    client.send_raw("GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    client.read_response_head();
    for chunk in ["first", "second", ""] {
        assert_eq!(client.read_chunk(), chunk.as_bytes());
    }
    assert_eq!(client.get("/plain").body, b"plain");
}

#[test]
fn a_panic_in_a_delayed_call_cuts_the_response_so_that_it_does_not_look_complete() {
    let (server, _heard) = server();
    let mut client = Client::connect(server.address);
    client.send_raw("GET /panic HTTP/1.1\r\nHost: a\r\n\r\n");
    client.read_response_head();
    let rest = client.read_to_end_or_reset();
    assert_eq!(rest, b"5\r\nbegun\r\n");
    assert_eq!(Client::connect(server.address).get("/plain").body, b"plain");
}

#[test]
fn another_thread_sends_as_fast_as_the_client_reads() {
    let (sender, heard) = channel();
    let server = TestServer::start(|host, _| {
        let feed = move |_: &mut Request, response: &mut Response| {
            let (remote, sender) = (response.stream().remote(), sender.clone());
            std::thread::spawn(move || {
                let mut sent = 0_u32;
                while sent < 1_000_000 {
                    let piece = sent.to_be_bytes().repeat(8);
                    match remote.send(&piece) {
                        Ok(()) => sent += 1,
                        Err(StreamError::Full) => {
                            let _ = sender.send("full");
                            std::thread::sleep(Duration::from_millis(1));
                        }
                        Err(StreamError::Closed) => break,
                    }
                }
                remote.end();
                let is_closed = remote.send("late") == Err(StreamError::Closed);
                let _ = sender.send(if is_closed { "closed" } else { "open" });
            });
        };
        let router = Router::new().get("/feed", feed).get(
            "/plain",
            respond(|_, response| {
                response.end("plain");
            }),
        );
        Server::new().host(host.add(router))
    });
    let mut client = Client::connect(server.address);
    client.send_raw("GET /feed HTTP/1.1\r\nHost: a\r\n\r\n");
    // Nothing is read until the socket, the backlog and the queue are full.
    assert_eq!(hear(&heard), "full");
    client.read_response_head();
    let mut body = Vec::new();
    loop {
        let chunk = client.read_chunk();
        if chunk.is_empty() {
            break;
        }
        body.extend(chunk);
    }
    let mut numbers = body
        .chunks(4)
        .map(|four| u32::from_be_bytes(four.try_into().expect("four")));
    let in_order = (0_u32..8_000_000).all(|n| numbers.next() == Some(n / 8));
    assert!(
        in_order && numbers.next().is_none(),
        "{} bytes came",
        body.len()
    );
    assert_eq!(client.get("/plain").body, b"plain");
    // One whose client is gone hears of it.
    client.send_raw("GET /feed HTTP/1.1\r\nHost: a\r\n\r\n");
    client.read_response_head();
    drop(client);
    let last = |heard: &Receiver<&'static str>| loop {
        match hear(heard) {
            "full" => {}
            other => return other,
        }
    };
    assert_eq!(last(&heard), "closed");
    assert_eq!(last(&heard), "closed");
}

/// Backpressure: what waits stays below the limit, and goes on when it was read.
#[test]
fn a_stream_that_is_full_says_so_and_when_to_go_on() {
    let (server, heard) = server();
    let mut client = Client::connect(server.address);
    client.send_raw("GET /flood HTTP/1.1\r\nHost: a\r\n\r\n");
    // First while the head was not queued, then with what the limit and the socket hold.
    assert_eq!(hear(&heard), "full");
    assert_eq!(hear(&heard), "full");
    client.read_response_head();
    let mut len = 0;
    loop {
        match client.read_chunk().len() {
            0 => break,
            chunk => len += chunk,
        }
    }
    assert_eq!(len, MEGABYTES.next_multiple_of(1000));
    assert_eq!(client.get("/plain").body, b"plain");
}

#[test]
fn a_reader_that_takes_nothing_is_dropped_and_that_is_told() {
    let (server, heard) = server_with(Config {
        write_timeout: Duration::from_millis(100),
        ..Config::default()
    });
    let _client = subscribe(&server);
    let mut publisher = Client::connect(server.address);
    let megabyte = "x".repeat(100_000);
    while publisher.post("/publish", &megabyte).body == b"1" && heard.try_recv().is_err() {}
    assert_eq!(publisher.post("/publish", "x").body, b"0");
}

#[test]
fn a_stop_is_told_and_what_is_ended_then_is_complete() {
    let (mut server, heard) = server();
    let mut client = subscribe(&server);
    server.stop();
    assert_eq!(hear(&heard), "stop");
    assert_eq!(client.read_chunk(), b"bye");
    assert_eq!(client.read_chunk(), b"");
    client.expect_eof();
    server.join().expect("it ends in time");
}

/// What a WebSocket client says is published to those who listen by HTTP.
#[test]
fn a_stream_is_fed_from_a_websocket_handler() {
    let (sender, _heard) = channel();
    let server = TestServer::start(|host, events| {
        let kept = Rc::default();
        let streams = Streams {
            kept,
            heard: sender,
        };
        let publisher = streams.clone();
        let react = move |_: &aerys::Endpoint, event: &crate::support::Event| {
            if let crate::support::Event::Text(_, text) = event {
                publisher.publish(text);
            }
        };
        let endpoint = websocket(|ws| Recorder::new(ws, events, react));
        let router = routes(&streams).get("/ws", endpoint.config(WebSocketConfig::default()));
        Server::new().host(host.add(router))
    });
    let mut subscriber = subscribe(&server);
    let mut client = Client::open(server.address, "/ws");
    client.send_text("from a client");
    assert_eq!(subscriber.read_chunk(), b"from a client");
}

#[test]
fn a_stream_that_goes_on_by_itself_is_complete_at_a_stop() {
    let mut server = TestServer::start(|host, _| {
        let s = respond(|_, response: &mut Response| {
            let stream = response.stream();
            stream.send("first").unwrap();
            stream.after(Duration::from_millis(300), |stream| {
                stream.send("second").unwrap();
                stream.end();
            });
        });
        Server::new()
            .config(Config {
                stop_timeout: Duration::from_secs(2),
                ..Config::default()
            })
            .host(host.add(Router::new().get("/s", s)))
    });
    let mut client = Client::connect(server.address);
    client.send_raw("GET /s HTTP/1.1\r\nHost: a\r\n\r\n");
    client.read_response_head();
    client.read_chunk();
    server.stop();
    let rest = client.read_to_end_or_reset();
    server.join().unwrap();
    assert!(rest.ends_with(b"second\r\n0\r\n\r\n"));
}

#[test]
fn a_cut_http_1_0_stream_does_not_look_complete() {
    let server = TestServer::start(|host, _| {
        let s = respond(|_, response: &mut Response| {
            let stream = response.stream();
            stream.send("begun").unwrap();
            stream.after(Duration::from_millis(50), |_| panic!("on purpose"));
        });
        Server::new().host(host.add(Router::new().get("/s", s)))
    });
    let mut stream = std::net::TcpStream::connect(server.address).unwrap();
    std::io::Write::write_all(&mut stream, b"GET /s HTTP/1.0\r\n\r\n").unwrap();
    let mut all = Vec::new();
    let result = stream.read_to_end(&mut all);
    assert!(result.is_err(), "{result:?} {}", all.escape_ascii());
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "in a drop, on purpose");
    }
}

#[test]
fn a_panicking_drop_of_a_callback_harms_nobody_else() {
    let server = TestServer::start(|host, _| {
        let s = respond(|_, response: &mut Response| {
            let bomb = Bomb;
            response.stream().on_drain(move |_| {
                let _ = &bomb;
            });
        });
        Server::new().host(
            host.add(
                Router::new()
                    .get("/s", s)
                    .get("/plain", respond(|_, response| _ = response.end("plain"))),
            ),
        )
    });
    let mut client = Client::connect(server.address);
    client.send_raw("GET /s HTTP/1.1\r\nHost: a\r\n\r\n");
    client.read_response_head();
    drop(client);
    assert_eq!(Client::connect(server.address).get("/plain").body, b"plain");
}
