//! Tests of `fields.rs`: lists without the codec.

use super::*;
use crate::http::ConnectionInfo;

type Field<'f> = (&'f str, &'f str);

const GET: [Field<'_>; 4] = [
    (":method", "GET"),
    (":scheme", "https"),
    (":path", "/a?b"),
    (":authority", "example.com"),
];

/// What the list is, with a body to follow or not.
fn judged(fields: &[Field<'_>], is_last: bool, config: &Config) -> Result<Decoded, Malformed> {
    let request = Box::new(Request::new(ConnectionInfo::for_test()));
    let mut list = RequestFields::new(request, config);
    for (name, value) in fields {
        list.add(name.as_bytes(), value.as_bytes());
    }
    let mut spare = None;
    let verdict = list.finish(is_last, &mut spare);
    assert_eq!(verdict.is_err(), spare.is_some(), "nothing is wasted");
    verdict
}

fn decoded(fields: &[Field<'_>]) -> Decoded {
    let decoded = judged(fields, true, &Config::default());
    decoded.unwrap_or_else(|malformed| panic!("{fields:?}: {}", malformed.0))
}

/// What a trailer section of one field is.
fn check_trailer(name: &[u8], value: &[u8]) -> Result<(), Malformed> {
    let mut list = TrailerFields::new(&Config::default());
    list.add(name, value);
    list.finish()
}

/// A GET with more fields.
fn with(fields: &[Field<'_>]) -> Vec<Field<'static>> {
    let leaked = |text: &str| &*text.to_owned().leak();
    let fields = fields.iter();
    let fields = fields.map(|(name, value)| (leaked(name), leaked(value)));
    GET.into_iter().chain(fields).collect()
}

/// A GET in which one field is another, or is left out.
fn changed(name: &str, value: Option<&str>) -> Vec<Field<'static>> {
    let value = value.map(|value| &*value.to_owned().leak());
    let fields = GET.iter().filter_map(|field| match value {
        _ if field.0 != name => Some(*field),
        Some(value) => Some((field.0, value)),
        None => None,
    });
    fields.collect()
}

fn assert_malformed(fields: &[Field<'_>]) {
    let verdict = judged(fields, false, &Config::default());
    assert!(verdict.is_err(), "{fields:?}");
}

fn refusal(fields: &[Field<'_>], config: &Config) -> Option<u16> {
    let decoded = judged(fields, false, config).expect("not malformed");
    decoded.refused.map(|refused| refused.status.as_u16())
}

fn names(request: &Request) -> Vec<(&str, &[u8])> {
    request.headers().iter().collect()
}

#[test]
fn a_list_is_a_request() {
    let fields = with(&[("accept", "*/*"), ("x-empty", ""), ("accept", "text/plain")]);
    let decoded = decoded(&fields);
    let request = decoded.request;
    assert_eq!(*request.method(), Method::GET);
    assert_eq!((request.path(), request.query()), ("/a", Some("b")));
    assert_eq!(request.version(), Version::HTTP_2);
    assert_eq!(request.host(), Some("example.com"));
    assert_eq!(request.protocol(), None);
    assert!(!request.has_body() && !decoded.expects_continue);
    assert_eq!((decoded.content_length, decoded.refused), (None, None));
    let expected: [(&str, &[u8]); 4] = [
        ("host", b"example.com"),
        ("accept", b"*/*"),
        ("x-empty", b""),
        ("accept", b"text/plain"),
    ];
    assert_eq!(names(&request), expected);
    let with_body = judged(&GET, false, &Config::default()).unwrap();
    assert!(with_body.request.has_body());
}

/// RFC 9113 section 8.2.1.
#[test]
fn names_are_tokens_in_lower_case() {
    for byte in 0..=255_u8 {
        let name = [b'x', byte, b'y'];
        let config = Config::default();
        let request = Box::new(Request::new(ConnectionInfo::for_test()));
        let mut list = RequestFields::new(request, &config);
        for (name, value) in GET {
            list.add(name.as_bytes(), value.as_bytes());
        }
        list.add(&name, b"z");
        let is_legal = byte.is_ascii_lowercase()
            || byte.is_ascii_digit()
            || b"!#$%&'*+-.^_`|~".contains(&byte);
        assert_eq!(list.finish(true, &mut None).is_ok(), is_legal, "{byte}");
        assert_eq!(check_trailer(&name, b"z").is_ok(), is_legal, "{byte}");
    }
    assert_malformed(&with(&[("", "x")]));
    assert_malformed(&with(&[("Accept", "x")]));
}

/// RFC 9113 section 8.2.1, and RFC 9110 section 5.5 for the other controls.
#[test]
fn values_have_no_controls_and_no_whitespace_at_their_ends() {
    for byte in 0..=127_u8 {
        let value = format!("a{}b", char::from(byte));
        let is_legal = byte == b'\t' || !byte.is_ascii_control();
        let verdict = judged(&with(&[("x", &value)]), true, &Config::default());
        assert_eq!(verdict.is_ok(), is_legal, "{byte}");
        assert_eq!(check_trailer(b"x", value.as_bytes()).is_ok(), is_legal);
    }
    assert!(check_trailer(b"x", b"\x80\xFF").is_ok());
    for value in [" a", "a ", "\ta", "a\t", " "] {
        assert_malformed(&with(&[("x", value)]));
        assert_malformed(&with(&[("cookie", value)]));
    }
}

/// RFC 9113 section 8.2.2.
#[test]
fn fields_of_an_http1_connection_are_malformed() {
    for (name, value) in [
        ("connection", "close"),
        ("connection", ""),
        ("proxy-connection", "keep-alive"),
        ("keep-alive", "timeout=5"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("te", "gzip"),
        ("te", "trailers, gzip"),
        ("te", ""),
    ] {
        assert_malformed(&with(&[(name, value)]));
        assert!(check_trailer(name.as_bytes(), value.as_bytes()).is_err());
    }
    let te = decoded(&with(&[("te", "trailers")]));
    assert_eq!(te.request.header("te"), Some("trailers"));
}

/// RFC 9113 section 8.2.3.
#[test]
fn crumbs_are_one_cookie() {
    let crumbs = [("cookie", "a=b"), ("accept", "*/*"), ("cookie", "c=d; e=f")];
    let decoded = decoded(&with(&crumbs));
    let cookies: Vec<_> = decoded.request.headers().get_all("cookie").collect();
    assert_eq!(cookies, [b"a=b; c=d; e=f"]);
    assert_eq!(decoded.request.cookie("e"), Some("f"));
    // And count as one.
    let config = Config {
        max_header_count: 2,
        ..Config::default()
    };
    let crumb = ("cookie", "a=b");
    assert_eq!(
        refusal(&with(&[crumb, crumb, crumb, ("x", "y")]), &config),
        None
    );
    let one_more = with(&[crumb, crumb, ("x", "y"), ("x", "y")]);
    assert_eq!(refusal(&one_more, &config), Some(431));
}

/// RFC 9113 section 8.3.
#[test]
fn pseudo_fields_are_known_and_come_once_and_first() {
    for (name, value) in GET {
        assert_malformed(&with(&[(name, value)]));
        let mut twice = vec![(name, value)];
        twice.extend(GET);
        assert_malformed(&twice);
        let mut behind = changed(name, None);
        behind.extend([("x", "y"), (name, value)]);
        assert_malformed(&behind);
        if name != ":authority" {
            assert_malformed(&changed(name, None));
        }
    }
    for name in [":status", ":", ":x", ":Method", ":protocol"] {
        let mut fields = vec![(name, "websocket")];
        fields.extend(GET);
        assert_malformed(&fields);
    }
    // In any order among themselves.
    let mut reversed = GET;
    reversed.reverse();
    assert_eq!(decoded(&reversed).request.target(), "/a?b");
}

/// RFC 9113 section 8.3.1.
#[test]
fn a_path_begins_with_a_slash_or_is_that_of_options() {
    for path in [
        "",
        "a",
        "*",
        "/a b",
        "/a#b",
        "/\u{e4}",
        "http://a/",
        "?a",
        "a:80",
    ] {
        assert_malformed(&changed(":path", Some(path)));
    }
    let options = |path| {
        let method = (":method", "OPTIONS");
        [
            method,
            (":scheme", "http"),
            (":path", path),
            (":authority", "a"),
        ]
    };
    assert_eq!(decoded(&options("*")).request.path(), "*");
    assert_eq!(decoded(&options("/")).request.path(), "/");
    assert_malformed(&options("**"));
}

/// RFC 9113 section 8.3.1.
#[test]
fn methods_are_tokens_and_schemes_http() {
    for method in ["", "G ET", "GE\u{e4}", "GET\0"] {
        assert_malformed(&changed(":method", Some(method)));
    }
    let method = |method: &str| decoded(&changed(":method", Some(method)));
    assert_eq!(method("get").request.method().as_str(), "get");
    assert_eq!(method("PROPFIND").request.method().as_str(), "PROPFIND");
    assert_eq!(method(&"M".repeat(32)).refused, None);
    let refused = method(&"M".repeat(33)).refused.unwrap();
    assert_eq!(refused.status, StatusCode::NOT_IMPLEMENTED);
    for scheme in ["", "ftp", "httpss", "http:"] {
        assert_malformed(&changed(":scheme", Some(scheme)));
    }
    decoded(&changed(":scheme", Some("http")));
    decoded(&changed(":scheme", Some("HTTPS")));
}

/// RFC 9113 section 8.3.1.
#[test]
fn host_and_authority_say_the_same() {
    let hosts = |fields: &[Field<'_>]| {
        let request = decoded(fields).request;
        let hosts: Vec<_> = request
            .headers()
            .get_all("host")
            .map(<[u8]>::to_vec)
            .collect();
        assert_eq!(hosts.len(), 1);
        (request.host().map(str::to_owned), hosts[0].clone())
    };
    let both = |host: &str| (Some(host.to_owned()), host.as_bytes().to_vec());
    assert_eq!(hosts(&GET), both("example.com"));
    assert_eq!(
        hosts(&with(&[("host", "EXAMPLE.com")])),
        both("example.com")
    );
    let mut host_alone = changed(":authority", None);
    host_alone.push(("host", "b:80"));
    assert_eq!(hosts(&host_alone), both("b:80"));
    assert_malformed(&changed(":authority", None));
    assert_malformed(&with(&[("host", "example.org")]));
    assert_malformed(&with(&[("host", "example.com:443")]));
    assert_malformed(&with(&[("host", "example.com"), ("host", "example.com")]));
    for authority in ["", "user@a", "user:word@a", "a b", "a/b", "a:b", "http://a"] {
        assert_malformed(&changed(":authority", Some(authority)));
        let mut host_alone = changed(":authority", None);
        host_alone.push(("host", authority));
        assert_malformed(&host_alone);
    }
}

/// RFC 9113 section 8.1.1.
#[test]
fn a_content_length_is_one_number() {
    let length = |text: &str| {
        let decoded = judged(
            &with(&[("content-length", text)]),
            false,
            &Config::default(),
        );
        decoded.map(|decoded| decoded.content_length)
    };
    assert_eq!(length("0"), Ok(Some(0)));
    assert_eq!(length("007"), Ok(Some(7)));
    assert_eq!(length("18446744073709551615"), Ok(Some(u64::MAX)));
    for text in ["", "+1", "-1", "1,1", "1 1", "0x1", "18446744073709551616"] {
        assert!(length(text).is_err(), "{text}");
    }
    let field = ("content-length", "1");
    assert_malformed(&with(&[field, field]));
    // And no content is announced where none follows.
    let config = Config::default();
    assert!(judged(&with(&[field]), true, &config).is_err());
    assert!(judged(&with(&[("content-length", "0")]), true, &config).is_ok());
}

#[test]
fn one_expectation_is_known() {
    let expects = |value: &str, is_last: bool| {
        let decoded = judged(&with(&[("expect", value)]), is_last, &Config::default());
        let decoded = decoded.unwrap();
        let refused = decoded.refused.map(|refused| refused.status.as_u16());
        (decoded.expects_continue, refused)
    };
    assert_eq!(expects("100-Continue", false), (true, None));
    assert_eq!(expects("100-continue", true), (false, None));
    assert_eq!(expects("a miracle", false).1, Some(417));
}

/// RFC 9113 section 8.5.
#[test]
fn a_connect_is_refused_unless_it_is_malformed() {
    let connect = [(":method", "CONNECT"), (":authority", "a:443")];
    assert_eq!(refusal(&connect, &Config::default()), Some(501));
    for more in [
        &[(":scheme", "https")][..],
        &[(":path", "/")],
        &[("content-length", "0")],
        &[(":scheme", "https"), (":path", "/")],
    ] {
        assert_malformed(&[&connect[..], more].concat());
    }
    assert_malformed(&[(":method", "CONNECT")]);
    assert_malformed(&[(":method", "CONNECT"), ("host", "a")]);
}

/// RFC 8441 section 4.
#[test]
fn an_extended_connect_is_a_get_with_a_protocol() {
    let connect = |protocol: &'static str, without: &str| -> Vec<Field<'static>> {
        let fields = [
            (":method", "CONNECT"),
            (":protocol", protocol),
            (":scheme", "https"),
            (":path", "/chat?x"),
            (":authority", "a"),
            ("sec-websocket-version", "13"),
        ];
        let fields = fields.into_iter();
        fields.filter(|(name, _)| *name != without).collect()
    };
    let config = Config::default();
    let open = judged(&connect("websocket", ""), false, &config).unwrap();
    assert_eq!(*open.request.method(), Method::GET);
    assert_eq!(open.request.protocol(), Some("websocket"));
    assert_eq!((open.request.target(), open.refused), ("/chat?x", None));
    assert!(!open.request.has_body());
    for without in [":scheme", ":path", ":authority", ":method"] {
        assert_malformed(&connect("websocket", without));
    }
    let mut with_host = connect("websocket", ":authority");
    with_host.push(("host", "a"));
    assert_malformed(&with_host);
    let mut with_length = connect("websocket", "");
    with_length.push(("content-length", "0"));
    assert_malformed(&with_length);
    assert_malformed(&connect("", ""));
    assert_malformed(&connect("web socket", ""));
    assert_eq!(refusal(&connect("connect-udp", ""), &config), Some(501));
    assert_eq!(refusal(&connect("WebSocket", ""), &config), Some(501));
    // The next request is none.
    let spare = open.request.into_spare().unwrap();
    assert_eq!(spare.protocol(), None);
}

/// RFC 9113 section 6.5.2: by what fields count, which is not what they take on the wire.
#[test]
fn what_is_more_than_is_taken_is_refused() {
    let config = Config {
        max_header_section_bytes: 1000,
        max_header_count: 5,
        max_target_bytes: 100,
        ..Config::default()
    };
    let of_get: usize = GET
        .iter()
        .map(|field| field.0.len() + field.1.len() + 32)
        .sum();
    let room = 1000 - of_get - 32 - 1;
    let value = |len: usize| "v".repeat(len);
    assert_eq!(refusal(&with(&[("x", &value(room))]), &config), None);
    assert_eq!(
        refusal(&with(&[("x", &value(room + 1))]), &config),
        Some(431)
    );
    let fields = |count| with(&vec![("x", "y"); count]);
    assert_eq!(refusal(&fields(5), &config), None);
    assert_eq!(refusal(&fields(6), &config), Some(431));
    let path = |len: usize| changed(":path", Some(&format!("/{}", value(len - 1))));
    assert_eq!(refusal(&path(100), &config), None);
    assert_eq!(refusal(&path(101), &config), Some(414));
    // The target goes before the section that it is part of.
    assert_eq!(refusal(&path(5000), &config), Some(414));
    let refused = judged(&path(5000), false, &config).unwrap();
    assert_eq!(refused.request.target(), "/");
    // What comes behind is not looked at, so that nothing is missing.
    let host_last = changed(":authority", None);
    let large = value(2000);
    let mut host_last: Vec<Field<'_>> = host_last;
    host_last.extend([("x", &*large), ("X", "\0"), ("host", "a")]);
    assert_eq!(refusal(&host_last, &config), Some(431));
    // But what comes first is.
    let mut without_path = changed(":path", None);
    without_path.extend(with(&[("x", &value(2000))]).last());
    assert!(judged(&without_path, false, &config).is_err());
}

#[test]
fn of_what_is_refused_nothing_more_is_kept() {
    let config = Config {
        max_header_section_bytes: 1000,
        ..Config::default()
    };
    let large = "v".repeat(600);
    let fields = with(&[("a", &large), ("b", &large), ("c", "c"), ("cookie", &large)]);
    let decoded = judged(&fields, false, &config).unwrap();
    assert!(decoded.refused.is_some());
    assert_eq!(decoded.request.header("a"), Some(&*large));
    assert_eq!(names(&decoded.request).len(), 2);
    assert!(decoded.request.capacity_bytes() < 2000);
}

#[test]
fn a_trailer_section_is_no_longer_than_a_header_section() {
    let config = Config {
        max_header_section_bytes: 100,
        ..Config::default()
    };
    let verdict = |len: usize| {
        let mut list = TrailerFields::new(&config);
        list.add(b"x", b"y");
        list.add(b"x", &vec![b'y'; len]);
        list.finish()
    };
    assert_eq!(verdict(33), Ok(()));
    assert!(verdict(34).is_err());
}
