//! Request bodies that are handed on piece by piece.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use aerys::middleware::{after, before};
use aerys::{
    BodyFlow, BodyHandler, Config, Host, Request, Response, Router, Server, body_limit, upload,
};

use crate::client::{Client, HttpResponse, PATIENCE, pattern};
use crate::support::{TestServer, expect_refused};

/// What happened to an upload.
#[derive(Debug)]
pub(crate) enum Seen {
    Begin(BodyFlow),
    Data(Vec<u8>),
    End,
    Abort,
}

impl Seen {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Begin(_) => "begin",
            Self::Data(_) => "data",
            Self::End => "end",
            Self::Abort => "abort",
        }
    }
}

struct Recorder {
    seen: Sender<Seen>,
    received: u64,
    /// Refuses what comes when so much has.
    refuse_after: u64,
    panics: bool,
}

impl BodyHandler for Recorder {
    fn on_data(&mut self, bytes: &[u8], response: &mut Response) {
        assert!(!bytes.is_empty());
        self.received += bytes.len() as u64;
        let _ = self.seen.send(Seen::Data(bytes.to_vec()));
        assert!(!self.panics, "in on_data, on purpose");
        if self.received > self.refuse_after {
            response.set_status(507).end("the disk is full");
        }
    }

    fn on_end(self: Box<Self>, request: &mut Request, response: &mut Response) {
        let _ = self.seen.send(Seen::End);
        let answer = format!("{} {} bytes", request.path(), self.received);
        if request.path() != "/silent" {
            response.end(answer);
        }
    }

    fn on_abort(self: Box<Self>) {
        let _ = self.seen.send(Seen::Abort);
    }
}

struct Count(usize);

impl BodyHandler for Count {
    fn on_data(&mut self, bytes: &[u8], _: &mut Response) {
        self.0 += bytes.len();
    }

    fn on_end(self: Box<Self>, request: &mut Request, response: &mut Response) {
        response.end(format!("{} {} bytes", request.path(), self.0));
    }
}

pub(crate) fn server_with(config: Config) -> (TestServer, Receiver<Seen>) {
    let (sender, seen) = channel();
    let server = TestServer::start(move |host, _| {
        let take = move |request: &mut Request, response: &mut Response| {
            if request.header("X-Key") == Some("wrong") {
                response.set_status(403).end("not you");
                return None;
            }
            let flow = request.body_flow();
            if let Some(flow) = flow {
                if request.path() == "/paused" {
                    flow.pause();
                }
                let _ = sender.send(Seen::Begin(flow));
            }
            response.set_header("X-Begun", "yes");
            Some(Recorder {
                seen: sender.clone(),
                received: 0,
                refuse_after: if request.path() == "/full" {
                    10
                } else {
                    u64::MAX
                },
                panics: request.path() == "/panic",
            })
        };
        let take = Rc::new(RefCell::new(take));
        let mut router = Router::new();
        for path in ["/take", "/paused", "/full", "/panic", "/silent", "/guarded"] {
            let take = Rc::clone(&take);
            let route = upload(move |request: &mut Request, response: &mut Response| {
                (take.borrow_mut())(request, response)
            });
            router = router.post(path, route.max_bytes(1 << 20));
        }
        let len = |request: &mut Request, response: &mut Response| {
            response.end(request.body().len().to_string());
        };
        let large = upload(|_, _| Some(Count(0))).max_bytes(1 << 30);
        let router = router
            .post("/large", large)
            .post("/whole", body_limit(300_000, len))
            .post("/usual", len);
        let guard = before(|request, response| {
            if request.header("X-Key").is_none() && request.path() == "/guarded" {
                response.set_status(401).end("who are you?");
            }
        });
        let router = router.middleware(after(|_, response| {
            let status = response.status().as_u16().to_string();
            response.set_header("X-After", status);
        }));
        let host = host.middleware(after(|_, response| {
            let inner = response.headers().get_str("X-After").unwrap_or("nobody");
            let both = format!("{inner}, then the host");
            response.set_header("X-After", both);
        }));
        let host = host.middleware(guard);
        Server::new().config(config).host(host.add(router))
    });
    (server, seen)
}

pub(crate) fn server() -> (TestServer, Receiver<Seen>) {
    server_with(Config::default())
}

pub(crate) fn next(seen: &Receiver<Seen>) -> Seen {
    seen.recv_timeout(PATIENCE).expect("something happens")
}

/// All pieces until the end, as one.
pub(crate) fn collect(seen: &Receiver<Seen>) -> Vec<u8> {
    assert_eq!(next(seen).name(), "begin");
    let mut all = Vec::new();
    loop {
        match next(seen) {
            Seen::Data(bytes) => all.extend(bytes),
            Seen::End => return all,
            other => panic!("neither data nor end but {other:?}"),
        }
    }
}

fn chunked(body: &[u8], chunk_len: usize) -> Vec<u8> {
    let mut wire = Vec::new();
    for chunk in body.chunks(chunk_len) {
        wire.extend(format!("{:x};x=y\r\n", chunk.len()).bytes());
        wire.extend(chunk);
        wire.extend(b"\r\n");
    }
    wire.extend(b"0\r\nX-Trailer: 1\r\n\r\n");
    wire
}

const GET: &str = "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn a_body_comes_in_pieces_and_the_next_request_behind_it_is_answered() {
    let (server, seen) = server();
    let body = pattern(700_000);
    let mut client = Client::connect(server.address);
    for framing in ["length", "chunks"] {
        let wire = if framing == "length" {
            let mut wire = format!("Content-Length: {}\r\n\r\n", body.len()).into_bytes();
            wire.extend(&body);
            wire
        } else {
            let mut wire = b"Transfer-Encoding: chunked\r\n\r\n".to_vec();
            wire.extend(chunked(&body, 10_001));
            wire
        };
        client.send_raw("POST /take HTTP/1.1\r\nHost: a\r\n");
        client.send_raw(&wire);
        client.send_raw(GET);
        assert_eq!(collect(&seen), body, "{framing}");
        let response = client.read_response();
        assert_eq!(response.status, 200);
        assert_eq!(response.body, b"/take 700000 bytes", "{framing}");
        assert_eq!(response.field("x-begun"), Some("yes"));
        assert_eq!(client.read_response().status, 404);
    }
}

#[test]
fn pieces_are_handed_on_before_the_body_is_complete() {
    let (server, seen) = server();
    let mut client = Client::connect(server.address);
    client.send_raw("POST /take HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n");
    assert_eq!(next(&seen).name(), "begin");
    for piece in ["ab", "cd"] {
        client.send_raw(piece);
        assert!(matches!(next(&seen), Seen::Data(bytes) if bytes == piece.as_bytes()));
    }
    client.send_raw("ef");
    assert_eq!(client.read_response().body, b"/take 6 bytes");
}

#[test]
fn a_chunked_body_may_be_split_at_every_byte() {
    let (server, seen) = server();
    let mut client = Client::connect(server.address);
    client.send_bytewise("POST /take HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send_bytewise(chunked(b"hello, this is text", 7));
    assert_eq!(collect(&seen), b"hello, this is text");
    assert_eq!(client.read_response().body, b"/take 19 bytes");
}

#[test]
fn a_request_without_a_body_ends_at_once_and_silence_is_a_204() {
    let (server, seen) = server();
    let mut client = Client::connect(server.address);
    let response = client.post("/take", "");
    assert_eq!(response.body, b"/take 0 bytes");
    assert_eq!(next(&seen).name(), "end");
    let response = client.post("/silent", "abc");
    assert_eq!(response.status, 204);
}

#[test]
fn who_waits_for_a_100_is_told_to_go_on_only_when_accepted() {
    let (server, seen) = server();
    let head = "POST /take HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n";
    let mut client = Client::connect(server.address);
    client.send_raw(format!("{head}\r\n"));
    assert_eq!(client.read_bytes(25), b"HTTP/1.1 100 Continue\r\n\r\n");
    client.send_raw("abc");
    assert_eq!(collect(&seen), b"abc");
    assert_eq!(client.read_response().body, b"/take 3 bytes");
    client.send_raw(format!("{head}X-Key: wrong\r\n\r\n"));
    let response = client.read_response();
    assert_eq!((response.status, &*response.body), (403, &b"not you"[..]));
    assert_eq!(response.field("connection"), Some("close"));
    client.expect_eof();
    // A whole body on a route of its own limit: too long is told before it is sent.
    for (path, len, status) in [("/whole", 300_001, 413), ("/usual", 131_073, 413)] {
        let mut client = Client::connect(server.address);
        client.send_raw(format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\nExpect: 100-continue\r\n\r\n"
        ));
        assert_eq!(client.read_response().status, status, "{path}");
    }
}

#[test]
fn a_refusal_amid_the_body_is_read_although_the_rest_was_not() {
    let (server, seen) = server();
    let mut client = Client::connect(server.address);
    client.send_raw("POST /full HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\n");
    client.send_raw(pattern(900_000));
    let response = client.read_response();
    assert_eq!(response.status, 507);
    assert_eq!(response.body, b"the disk is full");
    client.expect_eof();
    assert_eq!(next(&seen).name(), "begin");
    assert_eq!(next(&seen).name(), "data");
    assert!(
        seen.recv_timeout(Duration::from_millis(100)).is_err(),
        "nothing is called after it"
    );
}

#[test]
fn a_body_over_its_limit_is_refused_and_the_handler_told() {
    let (server, seen) = server();
    let mut client = Client::connect(server.address);
    client.send_raw("POST /take HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n");
    assert_eq!(client.read_response().status, 413);
    client.expect_eof();
    let mut client = Client::connect(server.address);
    client.send_raw("POST /take HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send_raw("3\r\nabc\r\nffffe\r\n");
    assert_eq!(client.read_response().status, 413);
    client.expect_eof();
    let seen: Vec<_> = [(); 3].map(|()| next(&seen).name()).into();
    assert_eq!(seen, ["begin", "data", "abort"]);
}

#[test]
fn a_client_that_leaves_or_breaks_the_framing_aborts_its_upload() {
    let (server, seen) = server_with(Config {
        // That the connection ends must not be what tells it.
        linger_timeout: Duration::from_secs(3600),
        ..Config::default()
    });
    let mut clients = Vec::new();
    for ending in ["reset", "end", "garbage"] {
        let mut client = Client::connect(server.address);
        client.send_raw("POST /take HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        client.send_raw("3\r\nabc");
        assert_eq!(next(&seen).name(), "begin");
        assert_eq!(next(&seen).name(), "data");
        match ending {
            "reset" => client.reset(),
            "end" => drop(client),
            _ => {
                client.send_raw("x");
                assert_eq!(client.read_response().status, 400);
                clients.push(client);
            }
        }
        assert_eq!(next(&seen).name(), "abort", "{ending}");
    }
}

#[test]
fn a_body_that_comes_too_slowly_is_answered_408_and_aborted() {
    let (server, seen) = server_with(Config {
        body_grace: Duration::from_millis(50),
        linger_timeout: Duration::from_secs(3600),
        ..Config::default()
    });
    let mut client = Client::connect(server.address);
    client.send_raw("POST /take HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n");
    assert_eq!(client.read_response().status, 408);
    assert_eq!(next(&seen).name(), "begin");
    assert_eq!(next(&seen).name(), "abort");
}

/// Backpressure: while it is paused, the client's sending stops at what sockets hold; the time is
/// not held against it.
#[test]
fn a_paused_body_waits_in_the_clients_socket_and_goes_on_from_any_thread() {
    let (server, seen) = server_with(Config {
        body_grace: Duration::from_millis(1),
        min_body_bytes_per_second: 1 << 30,
        ..Config::default()
    });
    let mut client = Client::connect(server.address);
    client.send_raw("POST /paused HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    let Seen::Begin(flow) = next(&seen) else {
        panic!("it begins")
    };
    assert!(flow.is_paused());
    assert!(
        seen.recv_timeout(Duration::from_millis(200)).is_err(),
        "nothing is handed on meanwhile"
    );
    flow.resume();
    assert!(matches!(next(&seen), Seen::Data(bytes) if bytes == b"hello"));
    assert_eq!(client.read_response().body, b"/paused 5 bytes");
}

#[test]
fn a_panic_in_a_handler_is_a_500_for_its_client_alone() {
    let (server, _seen) = server();
    let mut client = Client::connect(server.address);
    client.send_raw("POST /panic HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabc");
    assert_eq!(client.read_response().status, 500);
    client.expect_eof();
    let mut other = Client::connect(server.address);
    assert_eq!(other.post("/take", "x").status, 200);
}

/// Those of the host around those of the router, and each sees the answer that is sent.
#[test]
fn middleware_sees_the_request_at_its_head_and_the_answer_at_its_end() {
    let (server, seen) = server();
    let mut client = Client::connect(server.address);
    let both = |status| Some(format!("{status}, then the host"));
    let shown = |response: &HttpResponse| response.field("x-after").map(str::to_owned);
    assert_eq!(shown(&client.post("/take", "abc")), both(200));
    assert_eq!(shown(&client.post("/silent", "abc")), both(204));
    assert_eq!(shown(&client.post("/full", "abc")), both(200));
    assert_eq!(collect(&seen), b"abc");
    let response = client.post("/full", pattern(20));
    assert_eq!(response.status, 507);
    assert_eq!(shown(&response), both(507));
    let mut client = Client::connect(server.address);
    client.send_raw("POST /guarded HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n");
    let response = client.read_response();
    assert_eq!(response.status, 401);
    assert_eq!(shown(&response).as_deref(), Some("nobody, then the host"));
    client.expect_eof();
}

#[test]
fn a_route_may_take_longer_bodies_as_a_whole() {
    let (server, _seen) = server();
    let mut client = Client::connect(server.address);
    let body = pattern(300_000);
    let response = client.post("/whole", &body);
    assert_eq!(response.body, b"300000");
    assert_eq!(client.post("/usual", &body).status, 413);
}

#[test]
fn the_limit_of_a_body_is_that_of_the_host_it_is_for() {
    let server = TestServer::start(|host, _| {
        let len = |request: &mut Request, response: &mut Response| {
            response.end(request.body().len().to_string());
        };
        let small = host.name("small.example").add(body_limit(10, len));
        let large = Host::new().name("large.example").add(body_limit(1000, len));
        Server::new().host(small).host(large)
    });
    for (name, status) in [("small.example", 413), ("large.example", 200)] {
        let mut client = Client::connect(server.address);
        let head = format!("POST / HTTP/1.1\r\nHost: {name}\r\nContent-Length: 500\r\n\r\n");
        client.send_raw(head);
        client.try_send_raw(pattern(500));
        assert_eq!(client.read_response().status, status, "{name}");
    }
}

#[test]
fn a_paused_upload_whose_client_resets_is_aborted() {
    let (server, seen) = server();
    let mut client = Client::connect(server.address);
    client.send_raw("POST /paused HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel");
    assert_eq!(next(&seen).name(), "begin");
    client.reset();
    assert_eq!(next(&seen).name(), "abort");
}

/// As some object stores sign each chunk.
#[test]
fn chunk_extensions_may_grow_with_the_body() {
    let (server, _seen) = server();
    let mut client = Client::connect(server.address);
    let chunk = |extension: usize| {
        let signature = "a".repeat(extension);
        let head = format!("10000;chunk-signature={signature}\r\n");
        [head.as_bytes(), &vec![b'x'; 65536], b"\r\n"].concat()
    };
    let head = "POST /large HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.send_raw(head);
    for _ in 0..300 {
        client.send_raw(chunk(64));
    }
    client.send_raw("0\r\n\r\n");
    assert_eq!(client.read_response().body, b"/large 19660800 bytes");
    client.send_raw(head);
    client.try_send_raw(chunk(16 * 1024));
    assert_eq!(client.read_response().status, 400);
}

/// Answers its upload by a stream that is ended by the stop.
struct Farewell(Sender<Seen>);

impl BodyHandler for Farewell {
    fn on_data(&mut self, bytes: &[u8], _: &mut Response) {
        let _ = self.0.send(Seen::Data(bytes.to_vec()));
    }

    fn on_end(self: Box<Self>, _: &mut Request, response: &mut Response) {
        response.stream().on_stop(|stream| {
            let _ = stream.send("bye");
            stream.end();
        });
    }
}

#[test]
fn an_upload_goes_on_while_the_server_stops_and_a_stream_that_answers_it_is_told() {
    let (sender, seen) = channel();
    let mut server = TestServer::start(move |host, _| {
        let take = upload(move |_, _| Some(Farewell(sender.clone())));
        Server::new().host(host.add(Router::new().post("/", take)))
    });
    let mut client = Client::connect(server.address);
    client.send_raw("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na");
    assert_eq!(next(&seen).name(), "data");
    server.stop();
    expect_refused(server.address);
    client.send_raw("b");
    let head = client.read_response_head();
    assert_eq!(head.field("connection"), Some("close"));
    assert_eq!(client.read_chunk(), b"bye");
    assert_eq!(client.read_chunk(), b"");
    client.expect_eof();
    server.join().expect("it ends in time");
}
