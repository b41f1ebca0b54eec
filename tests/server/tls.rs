//! HTTP and WebSocket over TLS: what a client sees is what it would see without.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use aerys::{
    BodyHandler, Config, Endpoint, Request, Response, Router, Server, StaticFiles, WebSocketConfig,
    respond, upload, websocket,
};

use crate::client::{BINARY, Client, PING, PONG, TEXT, frame, handshake, pattern, server_frame};
use crate::support::{Event, Recorder, TestServer, broadcast, echo};
use crate::tls_client::{Authority, TlsClient, localhost};

/// Tells what is known of a request.
fn tell(request: &mut Request, response: &mut Response) {
    response.end(format!("{} {}", request.scheme(), request.target()));
}

/// A server of `localhost` that tells of requests.
pub(crate) fn telling(config: Config) -> (TestServer, Authority) {
    let (authority, secure) = localhost();
    let server =
        TestServer::start(|host, _| Server::new().config(config).host(secure(host).add(tell)));
    (server, authority)
}

/// A server of `localhost` with an endpoint on any path, and a second address without TLS.
pub(crate) fn endpoint(
    config: Config,
    options: WebSocketConfig,
    react: impl FnMut(&Endpoint, &Event) + Send + 'static,
) -> (TestServer, Authority) {
    let (authority, secure) = localhost();
    let server = TestServer::start(|host, events| {
        let endpoint = websocket(|ws| Recorder::new(ws, events, react)).config(options);
        let host = host.listen("http://127.0.0.1:0");
        Server::new()
            .config(config)
            .host(secure(host).add(endpoint))
    });
    (server, authority)
}

fn open(server: &TestServer, authority: &Authority) -> Client {
    let mut client = TlsClient::open(server.address, &authority.config()).into_client();
    client.upgrade("/");
    client
}

#[test]
fn requests_are_answered_one_after_the_other_on_one_connection() {
    let (server, authority) = telling(Config::default());
    let mut client = TlsClient::open(server.address, &authority.config()).into_client();
    for target in ["/a", "/b?c=d"] {
        let response = client.get(target);
        assert_eq!(response.status, 200);
        assert_eq!(response.body, format!("https {target}").into_bytes());
    }
    // Pipelined, in one record.
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client.send_raw(["/1", "/2", "/3"].map(get).concat());
    for target in ["/1", "/2", "/3"] {
        let body = client.read_response().body;
        assert_eq!(body, format!("https {target}").into_bytes());
    }
}

#[test]
fn messages_go_back_over_tls_whatever_their_length() {
    let (server, authority) = endpoint(Config::default(), WebSocketConfig::default(), echo);
    let mut client = open(&server, &authority);
    client.send_text("Hello");
    assert_eq!(client.read_text(), "Hello");
    for len in [
        0, 1, 125, 126, 4095, 4096, 16_384, 65_536, 300_000, 1_500_000,
    ] {
        let message = pattern(len);
        client.send(true, BINARY, &message);
        assert_eq!(client.read_message(BINARY), message, "{len}");
    }
    client.send_close(1000);
    client.expect_close(1000);
    client.expect_eof();
}

#[test]
fn the_first_frames_may_come_in_one_record_with_the_handshake_and_in_many() {
    let (server, authority) = endpoint(Config::default(), WebSocketConfig::default(), echo);
    let bytes = [
        handshake("/").into_bytes(),
        frame(true, TEXT, b"one"),
        frame(true, PING, b"two"),
        frame(false, BINARY, b"th"),
        frame(true, 0, b"ree"),
    ]
    .concat();
    for piece in [1, 7, bytes.len()] {
        let mut client = TlsClient::open(server.address, &authority.config());
        for piece in bytes.chunks(piece) {
            client.send(piece);
        }
        let mut client = client.into_client();
        assert_eq!(client.read_response().status, 101);
        assert_eq!(client.read_text(), "one");
        assert_eq!(client.read_message(PONG), b"two");
        assert_eq!(client.read_message(BINARY), b"three");
    }
}

#[test]
fn a_broadcast_is_the_same_bytes_for_clients_with_tls_and_without() {
    let (server, authority) = endpoint(Config::default(), WebSocketConfig::default(), broadcast);
    let plain = server.other_address.expect("two addresses");
    let mut clients: Vec<Client> = (0..6)
        .map(|index| match index % 2 {
            0 => open(&server, &authority),
            _ => Client::open(plain, "/"),
        })
        .collect();
    let messages: Vec<Vec<u8>> = (0..40).map(|number| pattern(number * 997)).collect();
    let sent: Vec<u8> = messages
        .iter()
        .flat_map(|message| frame(true, BINARY, message))
        .collect();
    let expected: Vec<u8> = messages
        .iter()
        .flat_map(|message| server_frame(BINARY, message))
        .collect();
    for sender in [0, 1] {
        clients[sender].send_raw(&sent);
        for (index, client) in clients.iter_mut().enumerate() {
            assert!(
                client.read_bytes(expected.len()) == expected,
                "client {index}"
            );
        }
    }
}

#[test]
fn a_large_file_comes_whole_and_in_ranges() {
    let (authority, secure) = localhost();
    let content = pattern(5_000_000);
    authority.write("large.bin", &content);
    let folder = authority.path("");
    let server = TestServer::start(move |host, _| {
        let files = StaticFiles::new(folder).expect("a folder");
        Server::new().host(secure(host).add(files))
    });
    let mut client = TlsClient::open(server.address, &authority.config()).into_client();
    assert!(client.get("/large.bin").body == content);
    let range = client.request("GET", "/large.bin", &[("Range", "bytes=4000000-4999998")]);
    assert_eq!(range.status, 206);
    assert!(range.body == content[4_000_000..4_999_999]);
}

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
fn bodies_come_in_pieces_and_streams_go_out_in_pieces() {
    let (authority, secure) = localhost();
    let server = TestServer::start(|host, _| {
        let kept = Rc::new(RefCell::new(None));
        let keep = Rc::clone(&kept);
        let take = upload(|_: &mut Request, _: &mut Response| Some(Count(0))).max_bytes(10 << 20);
        let routes = Router::new()
            .post("/upload", take)
            .get(
                "/events",
                respond(move |_, response| {
                    let stream = response.stream();
                    stream.send("first").expect("it is open");
                    *keep.borrow_mut() = Some(stream);
                }),
            )
            .get(
                "/send",
                respond(move |_, response| {
                    if let Some(stream) = kept.borrow_mut().take() {
                        stream.send("second").expect("it is open");
                        stream.end();
                    }
                    response.end("sent");
                }),
            );
        Server::new().host(secure(host).add(routes))
    });
    let connect = || TlsClient::open(server.address, &authority.config()).into_client();
    let mut client = connect();
    assert_eq!(client.post("/upload", pattern(3_000_000)).body, b"3000000");
    let mut stream = connect();
    stream.send_raw("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(stream.read_response_head().status, 200);
    assert_eq!(stream.read_chunk(), b"first");
    assert_eq!(client.get("/send").body, b"sent");
    assert_eq!(stream.read_chunk(), b"second");
    assert_eq!(stream.read_chunk(), b"");
    assert_eq!(stream.get("/send").body, b"sent");
}

/// What a session holds for a socket that is full is bounded, and all others go on.
#[test]
fn a_client_that_never_reads_is_closed_at_its_limit_and_holds_nobody_up() {
    let options = WebSocketConfig {
        heartbeat: None,
        ..WebSocketConfig::default()
    };
    let (server, authority) = endpoint(Config::default(), options, broadcast);
    let mut stuck = TlsClient::open(server.address, &authority.config());
    stuck.send(handshake("/"));
    let mut reader = open(&server, &authority);
    let message = pattern(100_000);
    let begun = Instant::now();
    for number in 0..200 {
        reader.send(true, BINARY, &message);
        assert!(reader.read_message(BINARY) == message, "message {number}");
    }
    let took = begun.elapsed();
    assert!(
        took < Duration::from_secs(10),
        "the others waited: {took:?}"
    );
    let (_, code, reason) = server.close_event();
    assert_eq!(code, 1008, "{reason}");
}

#[test]
fn who_never_reads_is_dropped_when_the_write_timeout_passes() {
    let config = Config {
        write_timeout: Duration::from_millis(600),
        ..Config::default()
    };
    let options = WebSocketConfig {
        heartbeat: Some(Duration::from_millis(100)),
        max_unanswered_pings: 1000,
        hard_backlog_bytes: 100 << 20,
        ..WebSocketConfig::default()
    };
    let flood = |ws: &Endpoint, event: &Event| {
        if let Event::Open(client, _) = event {
            ws.send(*client, pattern(20 << 20));
        }
    };
    let (server, authority) = endpoint(config, options, flood);
    let mut stuck = TlsClient::open(server.address, &authority.config());
    stuck.send(handshake("/"));
    let begun = Instant::now();
    let (_, code, reason) = server.close_event();
    let took = begun.elapsed();
    assert_eq!(
        (code, reason.starts_with("Too slow")),
        (1008, true),
        "{reason}"
    );
    assert!(took >= Duration::from_millis(500), "after {took:?}");
    assert!(took < Duration::from_secs(4), "after {took:?}");
}

#[test]
fn a_silent_client_is_pinged_and_closed_when_it_does_not_answer() {
    let options = WebSocketConfig {
        heartbeat: Some(Duration::from_millis(150)),
        max_unanswered_pings: 2,
        ..WebSocketConfig::default()
    };
    let (server, authority) = endpoint(Config::default(), options, echo);
    let mut client = open(&server, &authority);
    let ping = client.read_message(PING);
    client.send(true, PONG, ping);
    for _ in 0..2 {
        client.read_message(PING);
    }
    client.expect_close(1008);
    client.expect_eof();
}

#[test]
fn a_slow_reader_gets_every_byte() {
    let config = Config {
        write_timeout: Duration::from_secs(5),
        ..Config::default()
    };
    let (authority, secure) = localhost();
    let content = pattern(30_000_000);
    let sent = content.clone();
    let server = TestServer::start(move |host, _| {
        let responder = move |_: &mut Request, response: &mut Response| {
            response.end(sent.clone());
        };
        Server::new()
            .config(config)
            .host(secure(host).add(responder))
    });
    let mut slow = TlsClient::open(server.address, &authority.config());
    slow.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut other = TlsClient::open(server.address, &authority.config()).into_client();
    assert_eq!(other.request("HEAD", "/", &[]).status, 200);
    assert!(slow.into_client().read_response().body == content);
}
