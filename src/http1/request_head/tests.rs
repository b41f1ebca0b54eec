//! Tests of `request_head.rs`. The rows are those of the catalogue of smuggling attempts:
//! each was a hole in a server that people trust.

use super::*;
use crate::http::ConnectionInfo;

/// A request and what its head says besides.
struct ParsedHead {
    request: Request,
    outline: Outline,
}

/// The verdict on `wire` given in pieces of `piece_len` bytes, each judged with all before it.
fn judge(
    wire: &[u8],
    piece_len: usize,
    config: &Config,
) -> Result<Option<(ParsedHead, usize)>, RefusedRequest> {
    let mut scan = HeadScan::default();
    let mut len = 0;
    while len < wire.len() {
        len = (len + piece_len).min(wire.len());
        if let Some(end) = scan.find_end(&wire[..len], config)? {
            let mut request = Request::new(ConnectionInfo::for_test());
            let outline = scan.parse(&wire[..end], &mut request)?;
            return Ok(Some((ParsedHead { request, outline }, end)));
        }
    }
    Ok(None)
}

/// The verdict, which must be the same for pieces of every length.
fn verdict(wire: &[u8], config: &Config) -> Result<Option<usize>, RefusedRequest> {
    let whole = judge(wire, wire.len(), config).map(|parsed| parsed.map(|(_, end)| end));
    for piece_len in (1..wire.len().min(70)).chain([1024]) {
        let pieces = judge(wire, piece_len, config).map(|parsed| parsed.map(|(_, end)| end));
        assert_eq!(
            pieces,
            whole,
            "pieces of {piece_len} of {}",
            wire.escape_ascii()
        );
    }
    whole
}

fn parsed(wire: &str) -> ParsedHead {
    let config = Config::default();
    assert!(
        matches!(verdict(wire.as_bytes(), &config), Ok(Some(_))),
        "{wire:?}: {:?}",
        verdict(wire.as_bytes(), &config)
    );
    judge(wire.as_bytes(), wire.len(), &config)
        .unwrap()
        .unwrap()
        .0
}

/// The status that `wire` is refused with.
fn refused(wire: impl AsRef<[u8]>) -> u16 {
    let wire = wire.as_ref();
    match verdict(wire, &Config::default()) {
        Err(refused) => refused.status.as_u16(),
        Ok(end) => panic!("{} was not refused: {end:?}", wire.escape_ascii()),
    }
}

/// A POST with these field lines besides the Host.
fn post(lines: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n")
}

#[test]
fn a_request_comes_apart_into_its_words() {
    let ParsedHead { request, outline } = parsed(
        "GET /chat?x=1 HTTP/1.1\r\nHost: example.com:80\r\nX-Empty:\r\nX-Pad: \t a b \t\r\nEmpty-2:  \r\nUpgrade:websocket\r\n\r\n",
    );
    assert_eq!(
        (request.method().as_str(), request.path(), request.query()),
        ("GET", "/chat", Some("x=1"))
    );
    assert_eq!(request.version(), Version::HTTP_11);
    let fields: Vec<_> = request.headers().iter().collect();
    assert_eq!(
        fields,
        [
            ("Host", &b"example.com:80"[..]),
            ("X-Empty", b""),
            ("X-Pad", b"a b"),
            ("Empty-2", b""),
            ("Upgrade", b"websocket"),
        ]
    );
    assert_eq!(
        outline,
        Outline {
            framing: BodyFraming::Length(0),
            keep_alive: true,
            expects_continue: false,
        }
    );
    assert!(!request.has_body());
}

#[test]
fn the_head_ends_where_its_empty_line_does() {
    let wire = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /next";
    assert_eq!(verdict(wire, &Config::default()), Ok(Some(27)));
    for len in 1..27 {
        assert_eq!(
            verdict(&wire[..len], &Config::default()),
            Ok(None),
            "{len} bytes"
        );
    }
}

#[test]
fn removing_a_field_of_a_parsed_request_leaves_the_others() {
    let request = parsed("GET / HTTP/1.1\r\nA:1\r\nHost: a\r\nB:  2  \r\nC:\r\n\r\n").request;
    let mut headers = request.headers().clone();
    headers.remove("host");
    assert_eq!(headers.as_section(), b"A:1\r\nB:  2  \r\nC:\r\n");
    headers.append("D", "4").unwrap();
    assert_eq!(
        headers.iter().map(|(_, value)| value).collect::<Vec<_>>(),
        [&b"1"[..], b"2", b"", b"4"]
    );
}

#[test]
fn many_fields_are_parsed_like_few() {
    let lines = (0..99)
        .map(|n| format!("X-{n}: {n}\r\n"))
        .collect::<Vec<_>>()
        .concat();
    let request = parsed(&format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")).request;
    assert_eq!(
        (request.headers().len(), request.headers().get("x-98")),
        (100, Some(&b"98"[..]))
    );
}

#[test]
fn a_request_line_is_three_parts_and_two_spaces() {
    for line in [
        "GET /",
        "GET",
        " GET / HTTP/1.1",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET\t/ HTTP/1.1",
        "GET / HTTP/1.1x",
        "GET / http/1.1",
        "GET / HTTP/11",
        "GET / HTTP/1.",
        "GET / HTTP/01.1",
        "GET / HTTPS/1.1",
        "G\u{e4}T / HTTP/1.1",
        "G(T / HTTP/1.1",
        "GET a HTTP/1.1",
        "GET /a#b HTTP/1.1",
        "GET /\u{e4} HTTP/1.1",
        "GET * HTTP/1.1",
        "GET ftp://a/ HTTP/1.1",
        "dajfalkjf jslfhalsdjf",
        "GET /a b HTTP/1.1",
    ] {
        assert_eq!(
            refused(format!("{line}\r\nHost: a\r\n\r\n")),
            400,
            "{line:?}"
        );
    }
}

#[test]
fn a_bad_request_line_is_refused_without_what_follows() {
    assert_eq!(refused("GET /\r\n"), 400);
    assert_eq!(refused("GET / HTTP/2.0\r\n"), 505);
}

#[test]
fn versions_other_than_1_0_and_1_1_are_505() {
    for version in ["1.3", "2.0", "3.1", "0.9", "1.2"] {
        assert_eq!(
            refused(format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n")),
            505,
            "{version}"
        );
    }
    assert_eq!(refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505);
}

#[test]
fn methods_are_tokens_of_any_name_in_any_case() {
    for method in ["ZZZ", "get", "M-SEARCH", "UPDATEREDIRECTREF", "!"] {
        assert_eq!(
            parsed(&format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"))
                .request
                .method()
                .as_str(),
            method
        );
    }
    assert_eq!(
        refused(format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "A".repeat(33))),
        501
    );
    assert_eq!(refused("A".repeat(33)), 501);
    assert_eq!(
        refused("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"),
        501
    );
    assert!(
        parsed("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")
            .request
            .is_for_whole_server()
    );
}

#[test]
fn a_few_empty_lines_before_a_request_are_tolerated() {
    assert_eq!(
        parsed("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .request
            .path(),
        "/"
    );
    assert_eq!(refused("\r\n\r\n\r\n"), 400);
    let mut scan = HeadScan::default();
    assert_eq!(scan.find_end(b"\r\n", &Config::default()), Ok(None));
    assert!(!scan.has_begun());
    assert_eq!(scan.find_end(b"\r\nG", &Config::default()), Ok(None));
    assert!(scan.has_begun());
}

#[test]
fn bare_line_ends_and_controls_are_refused_at_once() {
    for wire in [
        "GET / HTTP/1.1\n",
        "GET / HTTP/1.1\r\nHost: a\n",
        "GET / HTTP/1.1\r\nX: a\rContent-Length: 5",
        "GET / HTTP/1.1\r\nX: a\r\r\n",
        "GET / HTTP/1.1\r\nX: a\0",
        "GET / HTTP/1.1\r\nX\0",
        "GET / HTTP/1.1\r\nX: \x1b",
        "GET / HTTP/1.1\r\nX: \x7f",
        "GET /\0",
        "\n",
        "\0",
        "\x16\x03\x01\x02\x00\x01",
    ] {
        assert_eq!(refused(wire), 400, "{wire:?}");
    }
}

#[test]
fn field_lines_with_two_readings_are_refused() {
    for line in [
        "Content-Length : 5",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding\t: chunked",
        "Transfer-Encoding:\r\n chunked",
        "X: a\r\n\tb",
        ": value",
        "no colon",
        "X y: z",
        "X(: z",
        "X\u{e4}: z",
        " X: y",
    ] {
        assert_eq!(refused(post(line)), 400, "{line:?}");
    }
    assert_eq!(refused("GET / HTTP/1.1\r\n Host: x\r\n\r\n"), 400);
}

#[test]
fn a_host_is_there_once_and_well_formed() {
    for lines in [
        "X: a",
        "Host:",
        "Host: a b",
        "Host: a, b",
        "Host: u@a",
        "Host: a/b",
        "Host: a:x",
        "Host: \u{e4}",
        "Host: a\r\nHost: a",
        "Host: a\r\nhost: b",
    ] {
        assert_eq!(
            refused(format!("GET / HTTP/1.1\r\n{lines}\r\n\r\n")),
            400,
            "{lines:?}"
        );
    }
    assert_eq!(refused("GET http://b/ HTTP/1.1\r\n\r\n"), 400);
    assert_eq!(refused("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"), 400);
    parsed("GET / HTTP/1.0\r\n\r\n");
    let request = parsed("GET http://b/x HTTP/1.1\r\nHost: a\r\n\r\n").request;
    assert_eq!((request.host(), request.path()), (Some("b"), "/x"));
}

#[test]
fn a_body_is_framed_in_one_way_or_not_at_all() {
    assert_eq!(
        parsed(&post("Content-Length: 5")).outline.framing,
        BodyFraming::Length(5)
    );
    assert_eq!(
        parsed(&post("Content-Length: 007")).outline.framing,
        BodyFraming::Length(7)
    );
    assert_eq!(
        parsed(&post("Transfer-Encoding: Chunked")).outline.framing,
        BodyFraming::Chunked
    );
    assert_eq!(
        parsed(&post("Content-Length: 0")).outline.framing,
        BodyFraming::Length(0)
    );
    assert!(
        parsed(&post("Transfer-Encoding: chunked"))
            .request
            .has_body()
    );
    for lines in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 0",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: chunked,",
        "Transfer-Encoding:",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
    ] {
        assert_eq!(refused(post(lines)), 400, "{lines:?}");
    }
    assert_eq!(
        refused(
            "POST / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n"
        ),
        400
    );
}

#[test]
fn unknown_codings_are_501() {
    for coding in [
        "xchunked",
        "\"chunked\"",
        "gzip, chunked",
        "identity",
        "chunked;q=1",
        "chunkedx",
        "x chunked",
    ] {
        assert_eq!(
            refused(post(&format!("Transfer-Encoding: {coding}"))),
            501,
            "{coding:?}"
        );
    }
    for coding in ["\x0bchunked", "\x0cchunked"] {
        assert_eq!(
            refused(post(&format!("Transfer-Encoding: {coding}"))),
            400,
            "{coding:?}"
        );
    }
}

#[test]
fn a_length_is_digits_and_fits() {
    for length in [
        "+0",
        "-1",
        "0x5",
        "1_0",
        "0, 5",
        "5,5",
        "",
        "5 5",
        "5;",
        "18446744073709551621",
        "\u{664}",
    ] {
        assert_eq!(
            refused(post(&format!("Content-Length: {length}"))),
            400,
            "{length:?}"
        );
    }
    assert_eq!(
        parsed(&post("Content-Length: 18446744073709551615"))
            .outline
            .framing,
        BodyFraming::Length(u64::MAX)
    );
}

#[test]
fn keep_alive_follows_version_and_connection() {
    let keep_alive = |version: &str, lines: &str| {
        parsed(&format!("GET / HTTP/{version}\r\nHost: a\r\n{lines}\r\n"))
            .outline
            .keep_alive
    };
    assert!(keep_alive("1.1", ""));
    assert!(!keep_alive("1.1", "Connection: x, Close\r\n"));
    assert!(!keep_alive(
        "1.1",
        "Connection: keep-alive\r\nConnection: close\r\n"
    ));
    assert!(keep_alive("1.1", "Connection: closed\r\n"));
    assert!(!keep_alive("1.0", ""));
    assert!(keep_alive("1.0", "Connection: Keep-Alive\r\n"));
    assert!(!keep_alive("1.0", "Connection: keep-alive, close\r\n"));
}

#[test]
fn only_100_continue_is_expected() {
    assert!(
        parsed(&post("Expect: 100-Continue\r\nContent-Length: 1"))
            .outline
            .expects_continue
    );
    assert!(
        !parsed(&post("Expect: 100-continue"))
            .outline
            .expects_continue
    );
    assert!(
        !parsed("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
            .outline
            .expects_continue
    );
    assert_eq!(refused(post("Expect: tea")), 417);
    assert_eq!(refused(post("Expect: tea\r\nExpect: 100-continue")), 417);
}

#[test]
fn limits_are_judged_as_soon_as_they_are_passed() {
    let config = Config {
        max_header_section_bytes: 200,
        max_header_count: 3,
        max_target_bytes: 20,
        ..Config::default()
    };
    let status =
        |wire: &str| verdict(wire.as_bytes(), &config).map_err(|refused| refused.status.as_u16());
    let target = "/".repeat(20);
    assert_eq!(status(&format!("GET {target}")), Ok(None));
    assert_eq!(status(&format!("GET {target}x")), Err(414));
    assert!(matches!(
        status(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")),
        Ok(Some(_))
    ));
    assert_eq!(
        status(&format!("GET {target}x HTTP/1.1\r\nHost: a\r\n\r\n")),
        Err(414)
    );
    assert_eq!(status(&format!("\r\nGET {target}x")), Err(414));
    assert_eq!(
        status("GET / HTTP/1.1\r\nA: a\r\nB: b\r\nC: c\r\n"),
        Ok(None)
    );
    assert_eq!(
        status("GET / HTTP/1.1\r\nA: a\r\nB: b\r\nC: c\r\nD: d\r\n"),
        Err(431)
    );
    let endless = format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(300));
    assert_eq!(status(&endless[..200]), Ok(None));
    assert_eq!(status(&endless[..201]), Err(431));
    let fitting = |pad: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
            "a".repeat(pad)
        )
    };
    let overhead = fitting(0).len();
    assert_eq!(status(&fitting(200 - overhead)), Ok(Some(200)));
    assert_eq!(status(&fitting(201 - overhead)), Err(431));
}

#[test]
fn each_byte_of_a_dripping_head_is_looked_at_once() {
    let line = format!("GET /{} HTTP/1.1\r\n", "p".repeat(4000));
    let wire = format!("{line}Host: a\r\nX: {}", "a".repeat(10_000));
    let mut scan = HeadScan::default();
    for len in 1..=wire.len() {
        assert_eq!(
            scan.find_end(&wire.as_bytes()[..len], &Config::default()),
            Ok(None)
        );
        // A CR is looked at again with what follows it; nothing else is.
        assert!(scan.scanned + 1 >= len, "{} of {len}", scan.scanned);
        if (5..4000).contains(&len) {
            assert_eq!(scan.open_line.judged, len);
        }
    }
}

/// What the straight path makes of `wire`, if it takes it. Then the strict path must have made
/// the same of it, however it is cut.
fn taken_straight(wire: &[u8], config: &Config) -> Option<usize> {
    // What an earlier request left must not show.
    let mut request = Request::new(ConnectionInfo::for_test());
    request.headers_mut().append("Old", "field").unwrap();
    let (outline, len) = straight::parse(wire, config, &mut request)?;
    for piece_len in [1, 7, wire.len()] {
        let Ok(Some((strict, strict_len))) = judge(wire, piece_len, config) else {
            panic!("only straight: {}", wire.escape_ascii());
        };
        let words = |request: &Request| {
            let target = (request.target().to_owned(), request.path().to_owned());
            let fields: Vec<_> = request.headers().iter().map(owned).collect();
            let section = request.headers().as_section().to_vec();
            let query = request.query().map(str::to_owned);
            let begin = (request.method().clone(), request.version());
            (begin, target, query, fields, section, request.has_body())
        };
        assert_eq!(
            (words(&request), &outline, len),
            (words(&strict.request), &strict.outline, strict_len),
            "{}",
            wire.escape_ascii()
        );
    }
    Some(len)
}

fn owned((name, value): (&str, &[u8])) -> (String, Vec<u8>) {
    (name.to_owned(), value.to_vec())
}

/// Requests as clients send them.
const USUAL: [&str; 7] = [
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: 127.0.0.1:1337\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n",
    "GET /a/b.css?v=1&x=%20 HTTP/1.1\r\nHost: example.com\r\nConnection: keep-alive\r\n\
     Cache-Control: max-age=0\r\n\
     sec-ch-ua: \"Chromium\";v=\"130\", \"Not?A_Brand\";v=\"99\"\r\nsec-ch-ua-mobile: ?0\r\n\
     sec-ch-ua-platform: \"Linux\"\r\nUpgrade-Insecure-Requests: 1\r\n\
     User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
     Chrome/130.0.0.0 Safari/537.36\r\n\
     Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8\r\n\
     Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-User: ?1\r\n\
     Sec-Fetch-Dest: document\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
     Accept-Language: en-US,en;q=0.9\r\nCookie: a=b; c=d\r\n\r\n",
    "GET /chat HTTP/1.1\r\nHost: a:80\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    "HEAD /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "POST /f HTTP/1.1\r\nHost:a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n12345",
    "PUT /f HTTP/1.1\r\nHOST: a\r\nX-Empty:\r\nX-Pad: \t a \u{e4} \t\r\nEmpty-2: \t \r\n\
     Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n",
];

/// What the straight path leaves to the strict one, right or wrong.
const UNUSUAL: [&str; 24] = [
    "",
    "\r\n",
    "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n\r",
    "GET / HTTP/1.1\nHost: a\n\n",
    "GET / HTTP/1.1\r\nHost: a\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n\n",
    "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
    "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\r\n\r\n",
    "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
    "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "CONNECT /a HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
];

#[test]
fn usual_requests_take_the_straight_path() {
    for wire in USUAL {
        let end = wire.find("\r\n\r\n").unwrap() + 4;
        let config = Config::default();
        assert_eq!(
            taken_straight(wire.as_bytes(), &config),
            Some(end),
            "{wire}"
        );
    }
    for wire in UNUSUAL {
        let config = Config::default();
        assert_eq!(taken_straight(wire.as_bytes(), &config), None, "{wire:?}");
    }
}

#[test]
fn the_straight_path_has_the_limits_of_the_strict_one() {
    let wire = "GET /1234 HTTP/1.1\r\nHost: a\r\nA: 1\r\n\r\n";
    let limits = |section, target, count| Config {
        max_header_section_bytes: section,
        max_target_bytes: target,
        max_header_count: count,
        ..Config::default()
    };
    let len = wire.len();
    for (config, is_taken) in [
        (limits(len, 5, 2), true),
        (limits(len - 1, 5, 2), false),
        (limits(len, 4, 2), false),
        (limits(len, 5, 1), false),
    ] {
        let taken = taken_straight(wire.as_bytes(), &config);
        assert_eq!(taken, is_taken.then_some(len), "{config:?}");
        assert_eq!(verdict(wire.as_bytes(), &config).is_ok(), is_taken);
    }
    let method = |len| format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "M".repeat(len));
    let taken = |wire: String| taken_straight(wire.as_bytes(), &Config::default()).is_some();
    assert!(taken(method(MAX_METHOD_BYTES)) && !taken(method(MAX_METHOD_BYTES + 1)));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(4096))]

    #[test]
    fn what_goes_straight_is_what_the_strict_path_makes_of_it(
        base in 0..USUAL.len() + UNUSUAL.len(),
        // Where, what to do there, and with which bytes.
        changes in proptest::collection::vec(
            (proptest::prelude::any::<proptest::sample::Index>(), 0..4, 0..20_usize),
            0..4,
        ),
        byte: u8,
        limits in (1..300_usize, 1..12_usize, 1..6_usize),
        has_limits: bool,
    ) {
        const ODD: [&[u8]; 19] = [
            b"\r", b"\n", b"\r\n", b"\r\n\r\n", b" ", b"\t", b":", b"\0", b"\x7f", b"\xff", b",", b"?",
            b"#", b"/", b"\r\n ", b"Host: a\r\n", b"Content-Length: 3\r\n", b"Connection: close\r\n",
            b"Expect: x\r\n",
        ];
        let mut wire = USUAL.iter().chain(&UNUSUAL).nth(base).unwrap().as_bytes().to_vec();
        for (index, action, odd) in changes {
            let at = index.index(wire.len() + 1);
            let end = (at + 1).min(wire.len());
            let bytes = ODD.get(odd).map_or_else(|| vec![byte], |odd| odd.to_vec());
            match action {
                0 => drop(wire.splice(at..at, bytes)),
                1 => drop(wire.splice(at..end, bytes)),
                2 => drop(wire.drain(at..end)),
                _ => wire.truncate(wire.len() - wire.len().min(odd)),
            }
        }
        let (max_header_section_bytes, max_target_bytes, max_header_count) = limits;
        let config = if has_limits {
            Config { max_header_section_bytes, max_header_count, max_target_bytes, ..Config::default() }
        } else {
            Config::default()
        };
        taken_straight(&wire, &config);
    }
}
