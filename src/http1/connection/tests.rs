//! Tests of `connection.rs`, against simulated time.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::deadlines::{BODY_TOO_SLOW, HEAD_TOO_SLOW};
use super::*;
use crate::http::{Address, BodyPlan};
use std::time::Duration;

const DATE: &[u8; 37] = b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";

/// A connection under test, its input, its output and its clock.
struct Peer {
    connection: Http1Connection,
    config: Config,
    now: Moment,
    unread: Vec<u8>,
    spare: Option<Box<Request>>,
}

impl Peer {
    fn new() -> Self {
        let now = Moment::START;
        let connection = Http1Connection::new(ConnectionInfo::for_test(), now);
        Self {
            connection,
            config: Config::default(),
            now,
            unread: Vec::new(),
            spare: None,
        }
    }

    /// What the connection makes of `bytes` behind what it left over before.
    ///
    /// Bodies are taken as a whole.
    fn send(&mut self, bytes: impl AsRef<[u8]>) -> Step<'static> {
        self.unread.extend_from_slice(bytes.as_ref());
        match self.next() {
            Step::Announced => {
                let plan = BodyPlan {
                    max_bytes: Some(self.config.max_body_bytes as u64),
                    in_pieces: false,
                };
                match self.expect(plan) {
                    Step::NeedInput => self.send(""),
                    step => step,
                }
            }
            step => step,
        }
    }

    /// What the connection makes of what it left over.
    fn next(&mut self) -> Step<'static> {
        let mut input = Input::new(&mut self.unread);
        let step = self
            .connection
            .next(&mut input, &self.config, self.now, &mut self.spare);
        let step = match step {
            Step::Body(bytes, is_last) => Step::Body(bytes.to_vec().leak(), is_last),
            Step::NeedInput => Step::NeedInput,
            Step::Continue => Step::Continue,
            Step::Announced => Step::Announced,
            Step::Request(request) => Step::Request(request),
            Step::Refused(refused) => Step::Refused(refused),
            Step::Http2 => Step::Http2,
        };
        let left = input.len();
        self.unread.drain(..self.unread.len() - left);
        step
    }

    /// Says how an announced body is taken.
    fn expect(&mut self, plan: BodyPlan) -> Step<'static> {
        let is_there = !self.unread.is_empty();
        self.connection.expect_body(plan, is_there, self.now)
    }

    fn answer(&mut self, fill: impl FnOnce(&mut Response)) -> (String, After) {
        let (mut response, mut out) = (Response::new(), Vec::new());
        fill(&mut response);
        let after = self.connection.respond(&response, DATE, self.now, &mut out);
        (String::from_utf8(out).unwrap(), after)
    }

    fn wait(&mut self, seconds: f64) {
        self.now += Duration::from_secs_f64(seconds);
    }

    fn expire(&mut self) -> Expiry {
        self.connection.on_deadline(self.now, &self.config)
    }

    fn seconds_to_deadline(&self) -> Option<f64> {
        self.connection
            .deadline(&self.config)
            .map(|deadline| deadline.since(self.now).as_secs_f64())
    }
}

fn request(step: Step<'_>) -> Request {
    match step {
        Step::Request(request) => *request,
        other => panic!("no request but {other:?}"),
    }
}

fn refused(step: &Step<'_>) -> u16 {
    match step {
        Step::Refused(refused) => refused.status.as_u16(),
        other => panic!("not refused but {other:?}"),
    }
}

/// All that happens when `wire` comes in pieces of these lengths (repeated), each request
/// being answered at once.
fn transcript(wire: &[u8], piece_lens: &[usize]) -> String {
    let mut peer = Peer::new();
    peer.config = Config {
        max_header_section_bytes: 300,
        max_body_bytes: 100,
        ..peer.config
    };
    let mut text = String::new();
    let mut position = 0;
    for len in piece_lens.iter().cycle() {
        let end = (position + len).min(wire.len());
        let mut step = peer.send(&wire[position..end]);
        position = end;
        loop {
            let after = match step {
                Step::NeedInput => break,
                Step::Announced | Step::Body(..) => unreachable!("bodies come as a whole"),
                Step::Http2 => return text + "HTTP/2",
                Step::Continue => {
                    step = peer.send("");
                    continue;
                }
                Step::Request(request) => {
                    let (method, target) = (request.method(), request.target());
                    writeln!(
                        text,
                        "{method} {target} {:?} {}",
                        request.headers(),
                        request.body().escape_ascii()
                    )
                    .unwrap();
                    peer.answer(|response| _ = response.end("ok")).1
                }
                Step::Refused(refused) => {
                    writeln!(text, "{refused}").unwrap();
                    peer.answer(|response| _ = response.set_status(refused.status))
                        .1
                }
            };
            if after.then != Then::KeepAlive {
                assert!(
                    matches!(peer.send(""), Step::NeedInput),
                    "something was parsed after the end"
                );
                return text + "end";
            }
            step = peer.send("");
        }
        assert!(peer.connection.buffered_bytes() <= 300 + 100 + 300);
        if position == wire.len() {
            return text;
        }
    }
    unreachable!("the pieces have lengths")
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn a_request_is_answered_and_the_connection_lives_on() {
    let mut peer = Peer::new();
    let first = request(peer.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_eq!(
        (first.path(), first.host(), first.has_body()),
        ("/a", Some("a"), false)
    );
    assert_eq!(first.connection(), &ConnectionInfo::for_test());
    let (head, after) = peer.answer(|response| _ = response.end("hi"));
    assert!(
        head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("Content-Length: 2\r\n"),
        "{head}"
    );
    assert_eq!(
        after,
        After {
            send_body: true,
            then: Then::KeepAlive
        }
    );
    assert_eq!(
        request(peer.send("GET /b HTTP/1.1\r\nHost: a\r\n\r\n")).path(),
        "/b"
    );
}

#[test]
fn pipelined_requests_wait_for_the_answer_before() {
    let mut peer = Peer::new();
    let wire = (0..50)
        .map(|n| format!("POST /{n} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{n:02}"))
        .collect::<Vec<_>>()
        .concat();
    let mut step = peer.send(&wire);
    for n in 0..50 {
        let request = request(step);
        assert_eq!(
            (request.path(), request.body()),
            (format!("/{n}").as_str(), format!("{n:02}").as_bytes())
        );
        assert!(
            matches!(peer.send(""), Step::NeedInput),
            "the next request overtook an answer"
        );
        peer.answer(|response| _ = response.end(""));
        step = peer.send("");
    }
    assert!(matches!(step, Step::NeedInput) && peer.unread.is_empty());
}

#[test]
fn a_body_on_get_is_part_of_the_request_and_never_a_request() {
    let mut peer = Peer::new();
    let hidden = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";
    let first = request(peer.send(format!(
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{hidden}{GET}",
        hidden.len()
    )));
    assert_eq!((first.body(), first.has_body()), (hidden.as_bytes(), true));
    peer.answer(|response| _ = response.end(""));
    assert_eq!(request(peer.send("")).path(), "/");
}

#[test]
fn what_follows_a_refused_request_is_never_parsed() {
    for lines in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Content-Length: +0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n1\r\nZZ0\r\n\r\n",
    ] {
        let mut peer = Peer::new();
        let step = peer.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}{GET}"));
        assert_eq!(refused(&step), 400, "{lines:?}");
        let (head, after) = peer.answer(|response| _ = response.set_status(400));
        assert!(head.contains("Connection: close\r\n"), "{head}");
        assert_eq!(after.then, Then::Close);
        assert!(matches!(peer.send(GET), Step::NeedInput), "{lines:?}");
        assert_eq!(peer.connection.deadline(&peer.config), None);
    }
}

#[test]
fn http_1_0_with_chunks_and_keep_alive_gets_one_answer() {
    let wire = format!(
        "POST / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{GET}"
    );
    let text = transcript(wire.as_bytes(), &[wire.len()]);
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.ends_with("end"));
}

#[test]
fn a_connection_ends_when_either_side_says_close() {
    for (wire, own, expected) in [
        (GET, "", Then::KeepAlive),
        (GET, "close", Then::Close),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "",
            Then::Close,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "keep-alive",
            Then::Close,
        ),
        ("GET / HTTP/1.0\r\n\r\n", "", Then::Close),
        (
            "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            "",
            Then::KeepAlive,
        ),
    ] {
        let mut peer = Peer::new();
        request(peer.send(wire));
        let (head, after) =
            peer.answer(|response| _ = response.end("").set_header("Connection", own));
        assert_eq!(after.then, expected, "{wire:?} {own:?}");
        assert_eq!(
            head.contains("Connection: close"),
            expected == Then::Close,
            "{head}"
        );
        assert_eq!(
            matches!(peer.send(GET), Step::Request(_)),
            expected == Then::KeepAlive
        );
    }
}

#[test]
fn answers_without_a_body_leave_the_next_request_alone() {
    let mut peer = Peer::new();
    request(peer.send(format!("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n{GET}{GET}{GET}")));
    for (status, send_body) in [(200, false), (204, false), (304, false), (200, true)] {
        let (_, after) = peer.answer(|response| _ = response.set_status(status).end("body"));
        assert_eq!(
            after,
            After {
                send_body,
                then: Then::KeepAlive
            },
            "{status}"
        );
        peer.send("");
    }
}

#[test]
fn a_refused_head_request_is_answered_without_a_body() {
    for wire in [
        "HEAD / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "HEAD / HTTP/1.1\r\nX: \n",
        "HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 999999\r\n\r\n",
    ] {
        let mut peer = Peer::new();
        assert!(matches!(peer.send(wire), Step::Refused(_)));
        assert!(
            !peer
                .answer(|response| _ = response.set_status(400).end("x"))
                .1
                .send_body,
            "{wire:?}"
        );
    }
}

#[test]
fn a_101_ends_http_and_leaves_what_follows() {
    let mut peer = Peer::new();
    request(peer.send(format!("{GET}\x01\u{2}frames")));
    let (mut out, mut response) = (Vec::new(), Response::switching_protocols());
    response.set_header("Upgrade", "websocket");
    let after = peer.connection.respond(&response, DATE, peer.now, &mut out);
    assert_eq!(
        after,
        After {
            send_body: false,
            then: Then::Upgrade
        }
    );
    assert!(matches!(peer.send(""), Step::NeedInput));
    assert_eq!(peer.unread, b"\x01\x02frames");
    assert_eq!(peer.connection.deadline(&peer.config), None);
}

#[test]
fn without_a_101_the_bytes_that_follow_are_http() {
    let mut peer = Peer::new();
    request(peer.send(format!(
        "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n{GET}"
    )));
    assert_eq!(
        peer.answer(|response| _ = response.set_status(400)).1.then,
        Then::KeepAlive
    );
    assert_eq!(request(peer.send("")).path(), "/");
}

#[test]
fn a_client_that_waits_is_asked_for_the_body_once() {
    let mut peer = Peer::new();
    let head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    assert!(matches!(peer.send(head), Step::Continue));
    assert!(matches!(peer.send(""), Step::NeedInput));
    assert!(matches!(peer.send("a"), Step::NeedInput));
    assert_eq!(request(peer.send("b")).body(), b"ab");
    peer.answer(|response| _ = response.end(""));
    assert!(
        matches!(peer.send(format!("{head}a")), Step::NeedInput),
        "the body had begun"
    );
    assert_eq!(request(peer.send("b")).body(), b"ab");
    peer.answer(|response| _ = response.end(""));
    assert!(matches!(
        peer.send(head.replace("Length: 2", "Length: 0")),
        Step::Request(_)
    ));
    peer.answer(|response| _ = response.end(""));
    assert_eq!(
        refused(&peer.send(head.replace("Length: 2", "Length: 200000"))),
        413
    );
}

#[test]
fn a_silent_new_connection_is_closed_at_the_header_timeout() {
    let mut peer = Peer::new();
    assert_eq!(peer.seconds_to_deadline(), Some(10.0));
    peer.wait(9.9);
    assert!(matches!(peer.expire(), Expiry::Nothing(Some(_))));
    peer.wait(0.1);
    assert_eq!(peer.expire(), Expiry::CloseIdle);
    assert!(matches!(peer.send(GET), Step::NeedInput), "it is over");
}

#[test]
fn a_dripping_head_is_cut_at_its_total_time() {
    let mut peer = Peer::new();
    peer.wait(1.0);
    for byte in "GET / HTT".bytes() {
        assert!(matches!(peer.send([byte]), Step::NeedInput));
        assert!(matches!(peer.expire(), Expiry::Nothing(Some(_))));
        peer.wait(1.0);
    }
    assert_eq!(peer.expire(), Expiry::Refuse(HEAD_TOO_SLOW));
    let (head, after) = peer.answer(|response| _ = response.set_status(408));
    assert!(head.contains("Connection: close\r\n"));
    assert_eq!(after.then, Then::Close);
}

#[test]
fn an_idle_connection_is_closed_and_a_begun_request_has_its_own_time() {
    let mut peer = Peer::new();
    request(peer.send(GET));
    assert_eq!(peer.seconds_to_deadline(), None, "a handler is not hurried");
    peer.wait(60.0);
    peer.answer(|response| _ = response.end(""));
    assert_eq!(peer.seconds_to_deadline(), Some(15.0));
    peer.wait(14.0);
    assert!(matches!(peer.send("GET"), Step::NeedInput));
    assert_eq!(peer.seconds_to_deadline(), Some(10.0));
    peer.wait(10.0);
    assert_eq!(peer.expire(), Expiry::Refuse(HEAD_TOO_SLOW));
}

#[test]
fn an_empty_line_alone_is_no_request_to_answer() {
    let mut peer = Peer::new();
    peer.send("\r\n");
    peer.wait(10.0);
    assert_eq!(peer.expire(), Expiry::CloseIdle);
}

#[test]
fn a_body_has_a_grace_and_then_a_least_rate() {
    let mut peer = Peer::new();
    peer.wait(5.0);
    peer.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    assert_eq!(peer.seconds_to_deadline(), Some(10.0));
    peer.send(vec![b'x'; 20 * 1024]);
    assert_eq!(peer.seconds_to_deadline(), Some(20.0));
    peer.wait(10.0);
    assert!(matches!(peer.expire(), Expiry::Nothing(Some(_))));
    peer.send(vec![b'x'; 1024]);
    assert_eq!(peer.seconds_to_deadline(), Some(11.0));
    peer.wait(11.0);
    assert_eq!(peer.expire(), Expiry::Refuse(BODY_TOO_SLOW));
    assert_eq!(
        peer.answer(|response| _ = response.set_status(408)).1.then,
        Then::Close
    );
}

#[test]
fn a_byte_a_second_is_cut_at_the_end_of_the_grace() {
    let mut peer = Peer::new();
    peer.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for _ in 0..9 {
        peer.send("1\r\nx\r\n");
        peer.wait(1.0);
        assert!(matches!(peer.expire(), Expiry::Nothing(Some(_))));
    }
    peer.wait(1.0);
    assert_eq!(peer.expire(), Expiry::Refuse(BODY_TOO_SLOW));
}

#[test]
fn a_timeout_for_ever_is_no_deadline() {
    let mut peer = Peer::new();
    peer.config.header_timeout = Duration::MAX;
    peer.config.min_body_bytes_per_second = 0;
    assert_eq!(peer.expire(), Expiry::Nothing(None));
    peer.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n");
    assert_eq!(peer.expire(), Expiry::Nothing(None));
}

#[test]
fn the_idle_time_runs_from_the_last_byte_of_an_answer() {
    let mut peer = Peer::new();
    request(peer.send(GET));
    peer.answer(|response| _ = response.end(""));
    peer.now += Duration::from_secs(60);
    peer.connection.drained(peer.now);
    assert_eq!(
        peer.connection.deadline(&peer.config),
        Some(peer.now + peer.config.keep_alive_timeout)
    );
}

#[test]
fn what_is_written_does_not_prolong_the_wait_for_a_request() {
    let mut peer = Peer::new();
    peer.send("GET /");
    let deadline = peer.connection.deadline(&peer.config);
    peer.now += Duration::from_secs(5);
    peer.connection.drained(peer.now);
    assert_eq!(peer.connection.deadline(&peer.config), deadline);
}

#[test]
fn the_server_may_end_a_connection_in_the_middle_of_a_request() {
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx";
    for (begun, send_body) in [
        ("", true),
        ("GET / HT", true),
        (post, true),
        ("HEAD / HTTP/1.1\r\nX", false),
    ] {
        let mut peer = Peer::new();
        peer.send(begun);
        let (head, after) = peer.answer(|response| _ = response.set_status(503).end("full"));
        assert!(
            head.starts_with("HTTP/1.1 503 ") && head.contains("Connection: close\r\n"),
            "{head}"
        );
        assert_eq!(
            after,
            After {
                send_body,
                then: Then::Close
            },
            "{begun:?}"
        );
        assert_eq!(peer.connection.buffered_bytes(), 0);
        assert!(matches!(peer.send(GET), Step::NeedInput));
    }
}

#[test]
fn what_is_held_is_counted_and_given_back() {
    let mut peer = Peer::new();
    assert!(peer.connection.is_idle());
    peer.send(&GET[..10]);
    assert_eq!(peer.connection.buffered_bytes(), 10);
    request(peer.send(&GET[10..]));
    assert_eq!(peer.connection.buffered_bytes(), 0);
    peer.answer(|response| _ = response.end(""));
    peer.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
    assert_eq!(
        peer.connection.buffered_bytes(),
        "Host: a\r\nContent-Length: 9\r\n".len() + 3
    );
    assert!(!peer.connection.is_idle());
}

#[test]
fn a_head_without_end_is_held_up_to_the_limit_and_refused() {
    let mut peer = Peer::new();
    peer.send("GET / HTTP/1.1\r\nX: ");
    let mut steps = 0;
    let step = loop {
        steps += 1;
        match peer.send(vec![b'a'; 4096]) {
            Step::NeedInput => {
                assert!(peer.connection.buffered_bytes() <= peer.config.max_header_section_bytes);
            }
            step => break step,
        }
    };
    assert_eq!((refused(&step), steps), (431, 4));
}

#[test]
fn an_idle_connection_is_small() {
    let size = size_of::<Http1Connection>();
    assert!(size <= 112, "{size} bytes");
}

/// A mixture of all that a connection can meet.
const MIXTURE: &str = "\r\nPOST /a?b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwoot!\r\n4;x\r\ntest\r\n0\r\nT: u\r\n\r\n\
                       GET / HTTP/1.1\r\nHost: a\r\nCookie: x=y\r\n\r\n\
                       PUT /c HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc\
                       HEAD / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.3\r\n\r\n";

#[test]
fn any_chunking_gives_the_same_steps() {
    let whole = transcript(MIXTURE.as_bytes(), &[MIXTURE.len()]);
    assert_eq!(whole.lines().count(), 6, "{whole}");
    assert!(
        whole.contains("woot!test") && whole.contains("505"),
        "{whole}"
    );
    for len in 1..MIXTURE.len() {
        assert_eq!(
            transcript(MIXTURE.as_bytes(), &[len]),
            whole,
            "pieces of {len}"
        );
    }
}

proptest! {
    #[test]
    fn any_chunking_of_a_damaged_stream_gives_the_same_steps(
        lens in prop::collection::vec(1_usize..40, 1..20),
        damage in prop::collection::vec((0..MIXTURE.len(), any::<u8>()), 0..4),
    ) {
        let mut wire = MIXTURE.as_bytes().to_vec();
        for (position, byte) in damage {
            wire[position] = byte;
        }
        prop_assert_eq!(transcript(&wire, &lens), transcript(&wire, &[wire.len()]));
    }

    #[test]
    fn garbage_ends_in_steps_and_never_in_a_panic(
        wire in prop::collection::vec(prop_oneof![
            prop::sample::select(b" \r\n\t:/;,0123456789abcdefGETHTTP/1.1".to_vec()), any::<u8>(),
        ], 1..600),
        lens in prop::collection::vec(1_usize..40, 1..20),
    ) {
        prop_assert_eq!(transcript(&wire, &lens), transcript(&wire, &[wire.len()]));
    }
}

/// Requests that differ in all that a request has.
const DIFFERENT: [&str; 6] = [
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "PUT /secret/path?token=secret HTTP/1.1\r\nHost: b\r\nCookie: secret\r\nContent-Length: 6\r\n\r\nsecret",
    "GET http://other.example/x HTTP/1.1\r\nHost: c\r\n\r\n",
    "M-SEARCH-FOR-SECRETS /s HTTP/1.0\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: d\r\nA:\r\nB:\r\nC:\r\nD:\r\nE:\r\nF:\r\nG:\r\nSecret: 1\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: e\r\nTransfer-Encoding: chunked\r\n\r\n1\r\ns\r\n0\r\n\r\n",
];

/// The request that `wire` is, made of `spare`.
fn request_of(wire: &str, spare: Option<Box<Request>>) -> Box<Request> {
    let mut peer = Peer::new();
    peer.spare = spare;
    let Step::Request(request) = peer.send(wire) else {
        panic!("{wire:?} is no request");
    };
    assert!(peer.spare.is_none(), "it was made use of");
    request
}

#[test]
fn nothing_of_a_request_shows_in_the_next_one() {
    for first in DIFFERENT {
        for next in DIFFERENT {
            let mut request = request_of(first, None);
            request.set_captures(vec![("name".into(), "secret".to_owned())]);
            let spare = request.into_spare();
            assert!(spare.is_some(), "{first:?} is small");
            let (request, anew) = (request_of(next, spare), request_of(next, None));
            // All there is to see, and what is behind it.
            assert_eq!(format!("{request:?}"), format!("{anew:?}"));
            let section = |request: &Request| request.headers().as_section().to_vec();
            assert_eq!(section(&request), section(&anew));
            assert_eq!(request.capture("name"), None);
        }
    }
}

#[test]
fn a_request_made_of_another_has_its_own_connection() {
    let spare = request_of(DIFFERENT[0], None).into_spare();
    let mut peer = Peer::new();
    peer.spare = spare;
    let info = ConnectionInfo {
        remote_address: Address::Ip(([198, 51, 100, 7], 7).into()),
        encrypted: true,
        ..ConnectionInfo::for_test()
    };
    peer.connection = Http1Connection::new(info.clone(), peer.now);
    let Step::Request(request) = peer.send(DIFFERENT[0]) else {
        panic!("no request");
    };
    assert_eq!(*request.connection(), info);
}

#[test]
fn a_refused_head_leaves_nothing_behind() {
    let mut peer = Peer::new();
    peer.spare = request_of(DIFFERENT[0], None).into_spare();
    let half = "GET /secret HTTP/1.1\r\nHost: a\r\nSecret: 1\r\nHost: a\r\n\r\n";
    assert!(matches!(peer.send(half), Step::Refused(_)));
    assert!(peer.spare.is_none());
}

#[test]
fn a_slow_body_does_not_hold_what_an_earlier_request_needed() {
    let text = "t".repeat(5000);
    let large = format!(
        "POST /{text} HTTP/1.1\r\nHost: a\r\nX: {text}\r\nContent-Length: 5000\r\n\r\n{text}"
    );
    let mut peer = Peer::new();
    peer.spare = request_of(&large, None).into_spare();
    assert!(peer.spare.as_ref().unwrap().capacity_bytes() > 15_000);
    let slow = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\nb";
    assert!(matches!(peer.send(slow), Step::NeedInput));
    let State::Body(partial) = &peer.connection.state else {
        panic!("its body is incomplete");
    };
    assert!(partial.request.capacity_bytes() < 100);
}

#[test]
fn a_request_that_grew_large_is_not_kept() {
    let is_kept = |wire: String| request_of(&wire, None).into_spare().is_some();
    let with = |path: usize, value: usize, body: usize| {
        let (path, value, text) = ("p".repeat(path), "v".repeat(value), "b".repeat(body));
        format!(
            "POST /{path} HTTP/1.1\r\nHost: a\r\nX: {value}\r\nContent-Length: {body}\r\n\r\n{text}"
        )
    };
    assert!(is_kept(with(1000, 1000, 1000)));
    assert!(!is_kept(with(1, 1, 20_000)));
    assert!(!is_kept(with(1, 12_000, 5000)));
    assert!(!is_kept(with(7000, 6000, 4000)));
    let fields = "X: 1\r\n".repeat(Config::default().max_header_count - 1);
    assert!(is_kept(format!(
        "GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"
    )));
}

/// RFC 9113 section 3.4: the preface is made to be no request of HTTP/1.1, however it is cut.
#[test]
fn the_preface_of_an_http2_client_is_told_from_requests() {
    const PREFACE: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    for cut in 1..=PREFACE.len() {
        let mut peer = Peer::new();
        let mut step = peer.send(&PREFACE[..cut]);
        if matches!(step, Step::NeedInput) {
            step = peer.send(&PREFACE[cut..]);
        }
        assert!(matches!(step, Step::Http2), "{cut}: {step:?}");
        let sent = cut.max(18);
        let left = if sent == cut {
            cut - 18
        } else {
            PREFACE.len() - 18
        };
        assert_eq!(peer.unread.len(), left, "what follows is not ours");
    }
    // What only begins like it is a request, or none.
    for (text, cut) in [
        ("PUT / HTTP/1.1\r\nHost: a\r\n\r\n", 1),
        ("PRI / HTTP/1.1\r\nHost: a\r\n\r\n", 4),
    ] {
        let mut peer = Peer::new();
        assert!(matches!(peer.send(&text[..cut]), Step::NeedInput));
        assert!(
            matches!(peer.send(&text[cut..]), Step::Request(_)),
            "{text}"
        );
    }
    let mut peer = Peer::new();
    let refused = peer.send("PRI * HTTP/2.0\r\nA: b\r\n\r\n");
    assert!(matches!(refused, Step::Refused(refused) if refused.status == 505));
    // Later it is nothing but a request that is wrong.
    let mut peer = Peer::new();
    assert!(matches!(
        peer.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        Step::Request(_)
    ));
    peer.answer(|response| _ = response.end("ok"));
    assert!(matches!(peer.send(PREFACE), Step::Refused(_)));
}
