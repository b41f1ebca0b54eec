//! Requests that two servers could read differently, and bytes behind them that must never become a
//! request of their own.

use std::sync::{Arc, Mutex};

use aerys::{Router, Server, StatusCode, respond, websocket};

use crate::client::{Client, TEXT, frame, handshake, handshake_with};
use crate::support::{Recorder, TestServer, echo};

/// What the responder was asked for: method, target and body, in order.
pub(crate) type Seen = Arc<Mutex<Vec<String>>>;

/// A request that must not be seen.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// A server that answers everything with 200 and notes it; `/ws` is a WebSocket endpoint.
pub(crate) fn server() -> (TestServer, Seen) {
    let seen = Seen::default();
    let noted = Arc::clone(&seen);
    let server = TestServer::start(move |host, events| {
        let endpoint = websocket(|ws| Recorder::new(ws, events, echo));
        let host = host.add(Router::new().get("/ws", endpoint));
        Server::new().host(host.add(respond(move |request, response| {
            let mut noted = noted.lock().expect("no test panics with it");
            let body = String::from_utf8_lossy(request.body()).into_owned();
            noted.push(format!("{} {} {body}", request.method(), request.target()));
            if request.path() == "/bodiless" {
                let status = request.param("status").unwrap_or_default();
                let status: StatusCode = status.parse().expect("a status");
                response.set_status(status).end("dropped");
            } else {
                let host = request.host().unwrap_or("none").to_owned();
                response.end(host);
            }
        })))
    });
    (server, seen)
}

/// Sends `bytes` and ends our side: the statuses of all that is answered until the server ends its
/// own, and what the responder saw.
fn ask((server, seen): &(TestServer, Seen), bytes: impl AsRef<[u8]>) -> (Vec<u16>, Vec<String>) {
    seen.lock().expect("whole").clear();
    let mut client = Client::connect(server.address);
    // It may have refused, and gone, before the last byte.
    client.try_send_raw(bytes);
    client.try_shut_down_write();
    let answers = client.read_to_end_or_reset();
    let answers = String::from_utf8_lossy(&answers).into_owned();
    let statuses = answers.split("HTTP/1.1 ").skip(1);
    let statuses = statuses.map(|answer| answer[..3].parse().expect("a status"));
    (statuses.collect(), seen.lock().expect("whole").clone())
}

/// `request` is refused with one of these statuses, and what follows it is never looked at.
fn expect_refused(server: &(TestServer, Seen), allowed: &[u16], request: impl AsRef<[u8]>) {
    let bytes = [request.as_ref(), HIDDEN.as_bytes()].concat();
    let (statuses, seen) = ask(server, &bytes);
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]);
    assert!(
        statuses.len() == 1 && allowed.contains(&statuses[0]),
        "{statuses:?}: {shown:?}"
    );
    assert_eq!(seen, Vec::<String>::new(), "{shown:?}");
}

/// A POST with these fields, each with its line end, and this body.
pub(crate) fn post(fields: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n{body}")
}

/// The server is there for others yet.
fn expect_alive((server, _): &(TestServer, Seen)) {
    let mut client = Client::open(server.address, "/ws");
    client.send_text("alive");
    assert_eq!(client.read_text(), "alive");
}

#[test]
fn a_head_that_grows_without_end_is_refused_at_the_limit() {
    let server = server();
    let start = handshake_with("/ws", "");
    let start = start.strip_suffix("\r\n").expect("an empty line");
    // In one field, in pieces that end anywhere; and in the request line, and in a name.
    for (start, piece, status) in [
        (&*format!("{start}X: "), &*"a".repeat(4096), 431),
        (start, &*"X: a\r\nY: b\r\nZZ: c\r\n".repeat(200), 431),
        ("GET /", &*"a".repeat(5000), 414),
        ("GET / HTTP/1.1\r\n", &*"n".repeat(5000), 431),
        ("", &*"M".repeat(5000), 501),
    ] {
        let mut client = Client::connect(server.0.address);
        client.send_raw(start);
        let mut sent_bytes = 0;
        while sent_bytes < 20 << 20 && client.try_send_raw(piece) {
            sent_bytes += piece.len();
        }
        // What was sent behind the refusal was read and forgotten, so this is not reset away.
        assert_eq!(client.read_response().status, status);
    }
    expect_refused(
        &server,
        &[431],
        format!("{start}{}\r\n", "X-n: y\r\n".repeat(20_000)),
    );
    expect_alive(&server);
}

#[test]
fn a_list_of_blanks_is_no_work() {
    let server = server();
    for (blanks, status) in [(60_000, 431), (15_000, 101)] {
        for field in ["Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"] {
            let field = format!("{field}: a{}b\r\n", " ".repeat(blanks));
            let mut client = Client::connect(server.0.address);
            client.send_raw(handshake_with("/ws", &field));
            let response = client.read_response_head();
            assert_eq!(response.status, status, "{blanks}");
        }
    }
}

#[test]
fn a_body_that_is_framed_in_two_ways_is_refused() {
    let server = server();
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "transfer-encoding: chunked\r\nCONTENT-LENGTH: 0\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n",
        "Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
    ] {
        expect_refused(&server, &[400], post(fields, "0\r\n\r\n"));
    }
}

#[test]
fn a_coding_in_disguise_is_refused() {
    let server = server();
    for value in [
        "xchunked",
        "chunkedx",
        "chunked, identity",
        "identity, chunked",
        "chunked, chunked",
        "gzip, chunked",
        "identity",
        "\u{b}chunked",
        "\u{c}chunked",
        "\"chunked\"",
        "chunked;q=1",
        "chunked\u{a0}",
        ",chunked",
        "",
    ] {
        let fields = format!("Transfer-Encoding: {value}\r\n");
        expect_refused(&server, &[400, 501], post(&fields, "0\r\n\r\n"));
    }
    for line in [
        "Transfer-Encoding : chunked",
        "Transfer-Encoding\t: chunked",
        "Transfer-Encoding:\r\n chunked",
        "Transfer-Encoding\r\n: chunked",
        " Transfer-Encoding: chunked",
        "\u{b}Transfer-Encoding: chunked",
        "Transfer-Encoding chunked",
    ] {
        let fields = format!("{line}\r\n");
        expect_refused(&server, &[400], post(&fields, "0\r\n\r\n"));
    }
    // Blanks around a value are none of it, and a coding's name is one in any case.
    let fine = post("transfer-encoding: \t Chunked \t\r\n", "0\r\n\r\n");
    assert_eq!(ask(&server, fine).0, [200]);
}

#[test]
fn http_1_0_knows_no_chunks() {
    let server = server();
    let head = "POST / HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\
                Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    expect_refused(&server, &[400], head);
}

#[test]
fn a_length_is_digits_and_nothing_else() {
    let server = server();
    for value in [
        "+0",
        "-1",
        "-0",
        "0x5",
        "1_0",
        "0, 5",
        "5, 5",
        "5,",
        "",
        "5 5",
        "5;",
        "\u{665}",
        "1e1",
        "5.0",
        "18446744073709551616",
        "18446744073709551621",
        "99999999999999999999999999999999",
    ] {
        let fields = format!("Content-Length: {value}\r\n");
        expect_refused(&server, &[400], post(&fields, "hello"));
    }
    // The largest that can be said, and one that begins with zeros.
    let large = post("Content-Length: 18446744073709551615\r\n", "");
    expect_refused(&server, &[413], large);
    let (statuses, seen) = ask(&server, post("Content-Length: 0005\r\n", "hello"));
    assert_eq!(
        (statuses, seen),
        (vec![200], vec!["POST / hello".to_owned()])
    );
}

#[test]
fn chunks_have_one_reading() {
    let server = server();
    let body_of = |body: &str| post("Transfer-Encoding: chunked\r\n", body);
    for body in [
        // Sizes.
        "0x0\r\n\r\n",
        "+0\r\n\r\n",
        "-0\r\n\r\n",
        "0_0\r\n\r\n",
        "0 0\r\n\r\n",
        " 0\r\n\r\n",
        "0 \r\n\r\n",
        "\r\n\r\n",
        "g\r\n\r\n",
        "10000000000000000\r\n",
        "00000000000000000\r\n\r\n",
        // Extensions.
        "0;a\n\r\n",
        "0;a\r\r\n\r\n",
        "0;a\0\r\n\r\n",
        ";a\r\n\r\n",
        &format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(200_000)),
        &format!(
            "{}0\r\n\r\n",
            format!("1;{}\r\na\r\n", "x".repeat(1000)).repeat(100)
        ),
        // What ends the data.
        "1\r\nZZ0\r\n\r\n",
        "1\r\na0\r\n\r\n",
        "1\r\na\n0\r\n\r\n",
        "1\r\na\n\n0\r\n\r\n",
        "1\r\naX\n0\r\n\r\n",
        "1\r\na\rX0\r\n\r\n",
        "1\na\r\n0\r\n\r\n",
        "0\r\n\n",
        "0\n\r\n",
        // Trailers.
        "0\r\nA : b\r\n\r\n",
        "0\r\nA: b\n\r\n",
        "0\r\n A: b\r\n\r\n",
        "0\r\nA: b\r\n c\r\n\r\n",
        "0\r\n: b\r\n\r\n",
        "0\r\nA\r\n\r\n",
    ] {
        expect_refused(&server, &[400], body_of(body));
    }
    expect_refused(&server, &[413], body_of("ffffffffffffffff\r\n"));
    let trailers = format!("0\r\n{}\r\n", "A: b\r\n".repeat(20_000));
    expect_refused(&server, &[431], body_of(&trailers));
    // What a trailer says is nobody's business.
    let (statuses, seen) = ask(
        &server,
        body_of("A;x=\"y\"\r\n0123456789\r\n00\r\nContent-Length: 9\r\nHost: other\r\n\r\n"),
    );
    assert_eq!(
        (statuses, seen),
        (vec![200], vec!["POST / 0123456789".to_owned()])
    );
}

#[test]
fn lines_have_one_reading() {
    let server = server();
    for head in [
        // Blanks, folds, and names that are none.
        "GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length : 5\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: localhost\r\n\r\n",
        "GET / HTTP/1.1\r\n\tHost: localhost\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: local\r\n host\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\n\tX: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\n: value\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nX(y): z\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nX\u{e4}: z\r\n\r\n",
        // Line ends and controls.
        "GET / HTTP/1.1\nHost: localhost\n\n",
        "GET / HTTP/1.1\r\nHost: localhost\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\n\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nX: a\rContent-Length: 5\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nX\0: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nX: \u{7f}\r\n\r\n",
        "GET / HTTP/1.1\r\rHost: localhost\r\n\r\n",
        "GET /\u{1b}[31m HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /\u{202e} HTTP/1.1\r\nHost: localhost\r\n\r\n",
        // The request line.
        "GET  / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET\t/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET / HTTP/1.1 \r\nHost: localhost\r\n\r\n",
        " GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET / a HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET a HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /#a HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET * HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "G(T / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        // Versions: without one, an answer would be a body without a status.
        "GET /\r\n",
        "GET /\r\n\r\n",
        "GET / \r\n\r\n",
        "GET / HTTP/1.1x\r\nHost: localhost\r\n\r\n",
        "GET / http/1.1\r\nHost: localhost\r\n\r\n",
        "GET / HTTP/1\r\nHost: localhost\r\n\r\n",
        "GET / HTTP/11.1\r\nHost: localhost\r\n\r\n",
        "GET / HTTPS/1.1\r\nHost: localhost\r\n\r\n",
        "GET / HTTP/ 1.1\r\nHost: localhost\r\n\r\n",
    ] {
        expect_refused(&server, &[400], head);
    }
    for version in ["3.1", "2.0", "0.9", "1.2", "9.9"] {
        let head = format!("GET / HTTP/{version}\r\nHost: localhost\r\n\r\n");
        expect_refused(&server, &[505], head);
    }
    expect_refused(
        &server,
        &[501],
        "CONNECT other:80 HTTP/1.1\r\nHost: other:80\r\n\r\n",
    );
}

#[test]
fn there_is_one_host() {
    let server = server();
    for hosts in [
        "",
        "Host: a\r\nHost: b\r\n",
        "Host: a\r\nhost: a\r\n",
        "Host: a b\r\n",
        "Host: a, b\r\n",
        "Host: a/b\r\n",
        "Host: user@a\r\n",
        "Host: a:b\r\n",
        "Host:\r\n",
        "Host: [::1\r\n",
    ] {
        let head = format!("GET / HTTP/1.1\r\n{hosts}\r\n");
        expect_refused(&server, &[400], head);
        // A host in the target does not replace the field's own rules.
        let head = format!("GET http://c/ HTTP/1.1\r\n{hosts}\r\n");
        expect_refused(&server, &[400], head);
    }
    for target in [
        "http://",
        "http:///",
        "http://a b/",
        "http://user@a/",
        "ftp://a/",
        "//a/b c",
    ] {
        let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        expect_refused(&server, &[400], head);
    }
    let mut client = Client::connect(server.0.address);
    assert_eq!(client.get("http://target:81/path").body, b"target:81");
    assert_eq!(client.get("//not-a-host/path").body, b"localhost");
}

#[test]
fn a_body_on_get_is_never_a_request() {
    let server = server();
    let len = HIDDEN.len();
    let request = format!(
        "GET /first HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len}\r\n\r\n{HIDDEN}\
         GET /second HTTP/1.1\r\nHost: localhost\r\n\r\n"
    );
    let (statuses, seen) = ask(&server, request);
    assert_eq!(statuses, [200, 200]);
    assert_eq!(
        seen,
        [format!("GET /first {HIDDEN}"), "GET /second ".to_owned()]
    );
}

#[test]
fn what_follows_a_refused_handshake_is_http_and_what_follows_a_101_is_none() {
    let server = server();
    let next = "GET /next HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let bad_key = handshake("/ws").replace("Key: x3JJ", "Key: x3J!");
    let plain = handshake("/plain");
    for (first, status) in [(bad_key, 400), (plain, 200)] {
        let (statuses, seen) = ask(&server, format!("{first}{next}"));
        assert_eq!(statuses, [status, 200]);
        assert_eq!(seen.last().map(String::as_str), Some("GET /next "));
    }
    // And frames behind a refusal are no frames.
    let bad_version = handshake("/ws").replace("Version: 13", "Version: 12");
    let bytes = [bad_version.as_bytes(), &frame(true, TEXT, b"hello")].concat();
    assert_eq!(ask(&server, bytes).0, [426, 400]);
    let (statuses, seen) = ask(&server, format!("{}{HIDDEN}", handshake("/ws")));
    assert_eq!((statuses, seen), (vec![101], Vec::new()));
    // A handshake with a body: its bytes would stand where the first frame is expected.
    let with_body = handshake_with("/ws", &format!("Content-Length: {}\r\n", HIDDEN.len()));
    expect_refused(&server, &[400], with_body);
}

#[test]
fn pipelined_answers_come_in_the_order_of_their_requests() {
    let server = server();
    let requests: Vec<_> = (0..50)
        .map(|index| format!("GET /{index} HTTP/1.1\r\nHost: host-{index}\r\n\r\n"))
        .collect();
    let mut client = Client::connect(server.0.address);
    client.send_raw(requests.concat());
    for index in 0..50 {
        let host = format!("host-{index}");
        assert_eq!(client.read_response().body, host.as_bytes());
    }
    let expected: Vec<_> = (0..50).map(|index| format!("GET /{index} ")).collect();
    assert_eq!(*server.1.lock().expect("whole"), expected);
}
