//! What is told of each kind of exchange and of each close, over simulated sockets.

mod endpoints;
mod refused;
mod upgraded;

use super::*;
use crate::simulation::Simulation;
use crate::{
    Config, Endpoint, Host, Message, Response, Router, Server, TrustedProxy, WebSocketConfig,
    WebSocketHandler, websocket,
};
use std::cell::RefCell;
use std::rc::Rc;

type Lines = Rc<RefCell<Vec<String>>>;

struct Told(Lines);

impl AccessLog for Told {
    fn on_exchange(&mut self, exchange: &FinishedExchange<'_>) {
        let request = exchange.request;
        let line = match (request.method(), request.target(), request.version()) {
            (Some(method), Some(target), Some(version)) => {
                format!("{method} {target} {version:?}")
            }
            _ => "-".to_owned(),
        };
        let status = exchange.status.map_or(0, |status| status.as_u16());
        let cut = if exchange.is_complete { "" } else { " cut" };
        let bytes = exchange.body_bytes;
        let millis = exchange.duration.as_millis();
        let mut lines = self.0.borrow_mut();
        lines.push(format!("{line}: {status} {bytes}{cut} {millis} ms"));
    }

    fn on_websocket(&mut self, it: &FinishedWebSocket<'_>) {
        let read = (it.bytes_read, it.frames_read, it.messages_read);
        let sent = (it.bytes_sent, it.frames_sent, it.messages_sent);
        let (target, code, by) = (it.request.target().unwrap_or("-"), it.code, it.closed_by);
        let (reason, millis) = (it.reason, it.duration.as_millis());
        let line = format!("{target}: {code} {by:?} {reason:?} {read:?} {sent:?} {millis} ms");
        self.0.borrow_mut().push(line);
    }
}

struct Echo {
    ws: Endpoint,
}

impl WebSocketHandler for Echo {
    type HandshakeData = ();

    fn on_handshake(&mut self, request: &Request, _: &mut Response) -> Option<()> {
        request.param("no").is_none().then_some(())
    }

    fn on_data(&mut self, client: ClientId, message: Message<'_>) {
        match message.as_bytes() {
            b"close" => {
                let code = CloseCode::from(4001);
                self.ws.close(client, code, "as asked").expect("a code");
            }
            b"panic" => panic!("on purpose"),
            _ => self.ws.send(client, message),
        }
    }
}

struct Test {
    simulation: Simulation,
    lines: Lines,
}

impl Test {
    fn new() -> Self {
        Self::with(Config::default())
    }

    fn with(config: Config) -> Self {
        let lines = Lines::default();
        let heartbeat = WebSocketConfig {
            heartbeat: Some(Duration::from_secs(1)),
            max_unanswered_pings: 0,
            ..WebSocketConfig::default()
        };
        let router = Router::new()
            .get("/echo", websocket(|ws| Echo { ws }).config(heartbeat))
            .get("/five", |_: &mut Request, response: &mut Response| {
                response.end("12345");
            })
            .get("/long", |_: &mut Request, response: &mut Response| {
                response.end(vec![b'x'; 1_000_000]);
            })
            .get("/304", |_: &mut Request, response: &mut Response| {
                response.set_status(304).end("never");
            })
            .get(
                "/stream",
                |request: &mut Request, response: &mut Response| {
                    let is_cut = request.query() == Some("cut");
                    let stream = response.stream();
                    stream.send("hello, ").expect("room");
                    stream.after(Duration::from_millis(10), move |stream| {
                        stream.send("world").expect("room");
                        if is_cut {
                            stream.cut();
                        } else {
                            stream.end();
                        }
                    });
                },
            )
            .post("/whole", |_: &mut Request, response: &mut Response| {
                response.end("taken");
            });
        let server = Server::new()
            .config(config)
            .host(Host::new().add(router))
            .access_log(Told(Rc::clone(&lines)));
        Self {
            simulation: Simulation::new(server).expect("it starts"),
            lines,
        }
    }

    fn send(&mut self, bytes: impl AsRef<[u8]>) -> crate::simulation::Peer {
        let peer = self.simulation.connect(false);
        self.send_to(peer, bytes);
        peer
    }

    fn send_to(&mut self, peer: crate::simulation::Peer, bytes: impl AsRef<[u8]>) {
        self.simulation.send(peer, bytes.as_ref());
        self.settle();
    }

    fn settle(&mut self) {
        self.simulation.settle().expect("it goes on");
    }

    /// What was told since this was asked last.
    fn take(&self) -> Vec<String> {
        self.lines.take()
    }

    /// Lets the peer go; what was told until nobody is there, and that nothing is kept then.
    fn end(&mut self, peer: crate::simulation::Peer) -> Vec<String> {
        self.simulation.end(peer);
        self.settle();
        assert_eq!(self.simulation.client_count(), 0);
        assert_eq!(self.simulation.aside_count(), 0);
        self.take()
    }
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")
}

#[test]
fn each_exchange_is_told_once_with_what_its_body_had() {
    let mut test = Test::new();
    let peer = test.simulation.connect(true);
    let post = "POST /whole HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    for (request, status) in [
        (get("/five?a=b"), 200),
        (get("/nothing"), 404),
        (get("/304"), 304),
        (get("/long"), 200),
        (get("/five").replace("GET", "HEAD"), 200),
        (post.to_owned(), 200),
        (
            get("/echo").replace("Host", "Upgrade: websocket\r\nHost"),
            426,
        ),
        (handshake("/echo?no=1"), 403),
    ] {
        test.send_to(peer, &request);
        let answer = test.simulation.take_output(peer);
        let head = answer.windows(4).position(|at| at == b"\r\n\r\n");
        let body_len = answer.len() - head.expect("a head") - 4;
        let line = request.lines().next().expect("a line");
        assert_eq!(test.take(), [format!("{line}: {status} {body_len} 0 ms")]);
    }
    assert_eq!(test.end(peer), Vec::<String>::new());
}

#[test]
fn pipelined_requests_are_told_in_their_order() {
    let mut test = Test::new();
    let targets: Vec<String> = (0..50).map(|index| format!("/five?{index}")).collect();
    let requests: String = targets.iter().map(|target| get(target)).collect();
    let peer = test.send(requests);
    let told = targets
        .iter()
        .map(|target| format!("GET {target} HTTP/1.1: 200 5 0 ms"));
    assert_eq!(test.take(), told.collect::<Vec<_>>());
    test.end(peer);
}

#[test]
fn an_answer_is_told_when_the_socket_took_its_end() {
    let mut test = Test::new();
    let peer = test.simulation.connect(true);
    test.simulation.set_room(peer, 200_000);
    test.send_to(peer, get("/long"));
    assert_eq!(test.take(), Vec::<String>::new());
    test.simulation.advance(Duration::from_millis(30));
    test.simulation.set_room(peer, u64::MAX);
    test.settle();
    assert_eq!(test.take(), ["GET /long HTTP/1.1: 200 1000000 30 ms"]);
    test.end(peer);
}

#[test]
fn who_leaves_amid_an_answer_had_what_its_socket_took() {
    let mut test = Test::new();
    let peer = test.simulation.connect(true);
    test.simulation.set_room(peer, 200_000);
    test.send_to(peer, get("/long") + &get("/five"));
    let taken = test.simulation.take_output(peer);
    let head = taken.windows(4).position(|at| at == b"\r\n\r\n");
    let body = taken.len() - head.expect("a head") - 4;
    test.simulation.reset(peer);
    test.settle();
    // The second one was not looked at: nothing is told of it.
    assert_eq!(
        test.take(),
        [format!("GET /long HTTP/1.1: 200 {body} cut 0 ms")]
    );
}

#[test]
fn who_leaves_before_an_answer_has_none() {
    let mut test = Test::new();
    let peer = test.send("POST /whole HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\n\r\nabc");
    assert_eq!(test.end(peer), ["POST /whole HTTP/1.1: 0 0 cut 0 ms"]);
    // Of half a head nobody knows what it would have been.
    let peer = test.send("GET /five HTTP/1.1\r\nHo");
    assert_eq!(test.end(peer), Vec::<String>::new());
}

#[test]
fn what_is_refused_before_it_is_a_request_is_told_with_what_is_known() {
    for (bytes, told) in [
        ("GET /a b HTTP/1.1\r\n\r\n".to_owned(), "-: 400 "),
        (
            format!(
                "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
                "x".repeat(20_000)
            ),
            "GET / HTTP/1.1: 431 ",
        ),
        (format!("GET /{} HTTP/1.1", "x".repeat(20_000)), "-: 414 "),
        ("GET / HTTP/3.0\r\nHost: a\r\n\r\n".to_owned(), "-: 505 "),
        (
            "\r\nPUT /p?q HTTP/1.0\r\nA b\r\n\r\n".to_owned(),
            "PUT /p?q HTTP/1.0: 400 ",
        ),
        (
            "HEAD / HTTP/1.1\r\nA: b\r\n\r\n".to_owned(),
            "HEAD / HTTP/1.1: 400 0 0",
        ),
        (
            "POST /whole HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999\r\n\r\n".to_owned(),
            "POST /whole HTTP/1.1: 413 ",
        ),
    ] {
        let mut test = Test::new();
        let peer = test.send(&bytes);
        let lines = test.end(peer);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].starts_with(told), "{lines:?}");
    }
}

#[test]
fn a_request_that_takes_too_long_is_told_with_its_408() {
    let mut test = Test::new();
    let peer = test.send("GET / HTTP/1.1\r\nHo");
    test.simulation.advance(Duration::from_secs(10));
    test.settle();
    assert_eq!(test.end(peer), ["GET / HTTP/1.1: 408 54 10000 ms"]);
    let peer = test.send("POST /whole HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\n\r\nabc");
    test.simulation.advance(Duration::from_secs(60));
    test.settle();
    assert_eq!(test.end(peer), ["POST /whole HTTP/1.1: 408 54 60000 ms"]);
}

#[test]
fn the_time_of_a_request_begins_with_its_first_byte() {
    let mut test = Test::new();
    let peer = test.send(get("/five"));
    test.simulation.advance(Duration::from_secs(2));
    test.send_to(peer, "GET /five HT");
    test.simulation.advance(Duration::from_millis(700));
    test.send_to(peer, "TP/1.1\r\nHost: a\r\n\r\n");
    let told = ["0 ms", "700 ms"].map(|time| format!("GET /five HTTP/1.1: 200 5 {time}"));
    assert_eq!(test.take(), told);
    test.end(peer);
    // However long nothing came before it, on a connection that was made in advance.
    for (behind, told) in [
        ("Host : a\r\n\r\n", "400 45 700 ms"),
        ("", "408 54 7000 ms"),
    ] {
        let peer = test.send("");
        test.simulation.advance(Duration::from_secs(3));
        test.send_to(peer, "GET / HTTP/1.1\r\n");
        test.simulation.advance(Duration::from_millis(700));
        test.send_to(peer, behind);
        test.simulation.advance(Duration::from_millis(6300));
        test.settle();
        assert_eq!(test.end(peer), [format!("GET / HTTP/1.1: {told}")]);
    }
}

#[test]
fn an_answer_in_pieces_counts_what_was_sent_without_its_framing() {
    for (version, target, told) in [
        ("1.1", "/stream", "12 10 ms"),
        ("1.0", "/stream", "12 10 ms"),
        // What was sent last never left: 7 bytes did, and 5 around them.
        ("1.1", "/stream?cut", "12 cut 10 ms"),
    ] {
        let mut test = Test::new();
        let peer = test.send(get(target).replace("1.1", version));
        assert_eq!(test.take(), Vec::<String>::new());
        test.simulation.advance(Duration::from_millis(10));
        test.settle();
        let told = format!("GET {target} HTTP/{version}: 200 {told}");
        assert_eq!(test.end(peer), [told]);
    }
}

/// RFC 6455 section 1.3.
fn handshake(target: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
}

/// A frame whose mask changes nothing.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let len = u8::try_from(payload.len()).expect("a short one");
    [&[first, 0x80 | len, 0, 0, 0, 0], payload].concat()
}

#[test]
fn a_websocket_is_told_at_its_end_with_what_went_both_ways() {
    let message = |text: &str| frame(0x81, text.as_bytes());
    let close = |code: u16| frame(0x88, &code.to_be_bytes());
    // Read: 11 + 6 bytes and 10. Sent: 7 + 2 bytes and 4.
    for (last, told) in [
        (close(1000), "1000 Client \"\" (25, 3, 1) (13, 3, 1)"),
        (frame(0x88, b""), "1005 Client \"\" (23, 3, 1) (11, 3, 1)"),
        (
            frame(0x88, b"\x0f\xa0bye"),
            "4000 Client \"bye\" (28, 3, 1) (13, 3, 1)",
        ),
        (
            message("close"),
            "4001 Server \"as asked\" (28, 3, 2) (21, 3, 1)",
        ),
        (
            message("panic"),
            "1011 Failure \"The application failed\" (28, 3, 2) (35, 3, 1)",
        ),
        (
            frame(0x83, b""),
            "1002 Failure \"reserved opcode\" (23, 2, 1) (28, 3, 1)",
        ),
        (Vec::new(), "1006 Nobody \"\" (17, 2, 1) (9, 2, 1)"),
    ] {
        let mut test = Test::new();
        let peer = test.send(handshake("/echo"));
        test.send_to(peer, [message("hello"), frame(0x89, b"")].concat());
        assert_eq!(test.take(), Vec::<String>::new());
        test.simulation.advance(Duration::from_millis(500));
        test.send_to(peer, &last);
        let told = format!("/echo: {told} 500 ms");
        assert_eq!(test.end(peer), [told], "{last:?}");
    }
}

#[test]
fn who_answers_our_close_is_read_to_the_end() {
    let mut test = Test::new();
    let peer = test.send(handshake("/echo"));
    test.send_to(peer, frame(0x81, b"close"));
    test.send_to(peer, frame(0x88, b"\x0f\xa1"));
    assert_eq!(
        test.end(peer),
        ["/echo: 4001 Server \"as asked\" (19, 2, 1) (12, 1, 0) 0 ms"]
    );
}

#[test]
fn a_websocket_that_does_not_answer_pings_is_told_as_failed() {
    let mut test = Test::new();
    let peer = test.send(handshake("/echo"));
    test.simulation.advance(Duration::from_secs(1));
    test.settle();
    assert_eq!(
        test.end(peer),
        ["/echo: 1008 Failure \"Too many pings went unanswered\" (0, 0, 0) (34, 1, 0) 1000 ms"]
    );
}

#[test]
fn a_stop_is_told_of_everybody() {
    let mut test = Test::new();
    let open = test.send(handshake("/echo"));
    let busy = test.send("POST /whole HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n");
    test.simulation.stop();
    test.settle();
    test.simulation.end(open);
    test.settle();
    assert_eq!(
        test.take(),
        ["/echo: 1001 Server \"The server stops\" (0, 0, 0) (20, 1, 0) 0 ms"]
    );
    test.send_to(busy, "abc");
    assert_eq!(test.end(busy), ["POST /whole HTTP/1.1: 503 43 0 ms"]);
}

#[test]
fn a_server_that_is_dropped_tells_of_who_is_left() {
    let mut test = Test::new();
    test.send(handshake("/echo"));
    test.send("POST /whole HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n");
    let Test { simulation, lines } = test;
    drop(simulation);
    let mut told = lines.take();
    told.sort();
    assert_eq!(
        told,
        [
            "/echo: 1006 Nobody \"\" (0, 0, 0) (0, 0, 0) 0 ms",
            "POST /whole HTTP/1.1: 0 0 cut 0 ms",
        ]
    );
}

#[test]
fn what_a_trusted_proxy_says_is_who_is_told_of() {
    struct Who(Lines);
    impl AccessLog for Who {
        fn on_exchange(&mut self, exchange: &FinishedExchange<'_>) {
            let it = exchange.request;
            let text = |value: Option<&[u8]>| value.map(|value| value.escape_ascii().to_string());
            let line = format!(
                "{} {} {:?} {:?} {:?}",
                it.client_address(),
                it.is_encrypted(),
                it.host(),
                text(it.referer()),
                text(it.user_agent())
            );
            self.0.borrow_mut().push(line);
        }

        fn on_websocket(&mut self, _: &FinishedWebSocket<'_>) {}
    }
    let lines = Lines::default();
    let config = Config {
        trusted_proxies: vec!["10.0.0.0/8".parse::<TrustedProxy>().expect("a network")],
        ..Config::default()
    };
    let server = Server::new()
        .config(config)
        .host(Host::new())
        .access_log(Who(Rc::clone(&lines)));
    let mut simulation = Simulation::new(server).expect("it starts");
    let peer = simulation.connect(false);
    for fields in [
        "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: b\r\n",
        "Referer: http://x/\r\n",
        "User-Agent: \u{ff}\r\n",
        "User-Agent: u\r\nReferer: \r\n",
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        simulation.send(peer, request.as_bytes());
        simulation.settle().expect("it goes on");
    }
    let told = lines.take();
    assert!(told[0].starts_with("192.0.2.7"), "{told:?}");
    assert!(told[0].ends_with(" true Some(\"b\") None None"), "{told:?}");
    for (line, end) in told[1..].iter().zip([
        " false Some(\"a\") Some(\"http://x/\") None",
        " false Some(\"a\") None Some(\"\\\\xc3\\\\xbf\")",
        " false Some(\"a\") Some(\"\") Some(\"u\")",
    ]) {
        assert!(line.ends_with(end), "{told:?}");
    }
    assert_eq!(told.len(), 4);
}
