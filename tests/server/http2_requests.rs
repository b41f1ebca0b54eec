//! Requests over HTTP/2, which are to the application what they are over HTTP/1, and answers.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use aerys::middleware::{after, before};
use aerys::{
    Config, Cookie, Host, Request, Response, ResponseStream, Router, Server, Version, respond,
};

use crate::client::pattern;
use crate::http2_client::{Event, Http2Client, INITIAL_WINDOW_SIZE, NO_ERROR, PROTOCOL_ERROR};
use crate::static_files::Folder;
use crate::support::{TestServer, wait_until};

const MEBIBYTE: usize = 1 << 20;

/// Everything that a handler may ask a request for.
fn describe(request: &mut Request, response: &mut Response) {
    assert_eq!(request.version(), Version::HTTP_2);
    let cookies: Vec<_> = request.cookies().map(|(n, v)| format!("{n}={v}")).collect();
    let text = format!(
        "{} {} {:?} {:?} {:?} {} {} {:?} {:?} {}",
        request.method(),
        request.path(),
        request.capture("name"),
        request.param("q"),
        request.host(),
        request.scheme(),
        cookies.join(","),
        request.header("X-Field"),
        request.protocol(),
        String::from_utf8_lossy(request.body()),
    );
    response.end(text);
}

fn routes() -> Router {
    let kept: Rc<RefCell<Vec<ResponseStream>>> = Rc::default();
    let ended = Rc::clone(&kept);
    let get = |router: Router, path, answer: fn(&mut Request, &mut Response)| {
        router.get(path, respond(answer))
    };
    let mut router = Router::new()
        .get("/describe/{name}", describe)
        .post("/describe/{name}", describe)
        .get(
            "/kept",
            respond(move |request, response| {
                let stream = response.stream();
                stream.send(request.query().unwrap_or("")).expect("open");
                kept.borrow_mut().push(stream);
            }),
        )
        .post(
            "/end-backwards",
            respond(move |_, response| {
                for stream in ended.take().into_iter().rev() {
                    stream.end();
                }
                response.end("ended");
            }),
        );
    router = get(router, "/fields", |_, response| {
        for (name, value) in [
            ("X-MiXed", "Value"),
            ("Connection", "close"),
            ("Keep-Alive", "timeout=5"),
            ("Proxy-Connection", "close"),
            ("Transfer-Encoding", "chunked"),
            ("Upgrade", "h3"),
        ] {
            response.set_header(name, value);
        }
        response.set_cookie(Cookie::new("a", "1"));
        response.set_cookie(Cookie::new("b", "2"));
        response.end("fields");
    });
    router = get(router, "/large", |_, response| {
        response.end(pattern(MEBIBYTE));
    });
    router = get(router, "/empty", |_, response| {
        response.end("");
    });
    router = get(router, "/no-content", |_, response| {
        response.set_status(204);
    });
    router = get(router, "/redirect", |_, response| {
        response.redirect(307, "/empty");
    });
    router = get(router, "/panic", |_, _| {
        panic!("in a responder, on purpose")
    });
    get(router, "/slash/?", |_, response| {
        response.end("slash");
    })
}

fn server() -> TestServer {
    let config = Config {
        linger_timeout: Duration::from_millis(50),
        ..Config::default()
    };
    TestServer::start(|host, _| Server::new().config(config).host(host.add(routes())))
}

#[test]
fn a_request_says_what_it_says_over_http_1() {
    let server = server();
    let mut client = Http2Client::connect(server.address);
    let fields = [("cookie", "a=1"), ("x-field", "x"), ("cookie", "b=2; c=3")];
    let response = client.request("GET", "/describe/J%C3%B8rn?q=x%20y", &fields);
    assert_eq!(
        String::from_utf8_lossy(&response.body),
        "GET /describe/J%C3%B8rn Some(\"Jørn\") Some(\"x y\") Some(\"localhost\") http \
         a=1,b=2,c=3 Some(\"x\") None "
    );
    assert_eq!(
        response.field("content-type"),
        Some("text/plain; charset=utf-8")
    );
    let response = client.post("/describe/x", "the body");
    let text = String::from_utf8_lossy(&response.body);
    assert!(
        text.starts_with("POST ") && text.ends_with(" None the body"),
        "{text}"
    );
}

/// That of an HTTP/1 connection is left out, which the client sees to.
#[test]
fn fields_of_a_response_are_in_lower_case_and_say_nothing_of_the_connection() {
    let server = server();
    let mut client = Http2Client::connect(server.address);
    let response = client.get("/fields");
    assert_eq!(response.field("content-length"), Some("6"));
    assert!(response.field("date").is_some());
    let mine: Vec<_> = response
        .fields
        .iter()
        .filter(|(name, _)| !["content-length", "date", "content-type"].contains(&&**name))
        .map(|(name, value)| (&**name, value.split(';').next().unwrap_or("")))
        .collect();
    let expected = [
        ("x-mixed", "Value"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
    ];
    assert_eq!(mine, expected);
}

#[test]
fn a_response_without_a_body_ends_with_its_head() {
    let server = server();
    let mut client = Http2Client::connect(server.address);
    for (method, path, status, len) in [
        ("HEAD", "/large", 200, Some("1048576")),
        ("HEAD", "/fields", 200, Some("6")),
        ("GET", "/empty", 200, Some("0")),
        ("GET", "/no-content", 204, None),
    ] {
        let stream = client.send_request(method, path, &[], true);
        let (response, is_last) = client.read_head(stream);
        assert_eq!(
            (response.status, is_last),
            (status, true),
            "{method} {path}"
        );
        assert_eq!(response.field("content-length"), len, "{method} {path}");
    }
    assert_eq!(client.get("/fields").body, b"fields");
}

#[test]
fn the_router_answers_as_ever() {
    let server = server();
    let mut client = Http2Client::connect(server.address);
    assert_eq!(client.get("/missing").status, 404);
    let response = client.request("DELETE", "/describe/x", &[]);
    assert_eq!(response.status, 405);
    assert_eq!(response.field("allow"), Some("GET, HEAD, POST, OPTIONS"));
    assert_eq!(client.request("OPTIONS", "/describe/x", &[]).status, 204);
    let response = client.get("/redirect");
    let location = response.field("location");
    assert_eq!((response.status, location), (307, Some("/empty")));
    let response = client.get("/slash/");
    let location = response.field("location");
    assert_eq!((response.status, location), (308, Some("/slash")));
    assert_eq!(client.get("/panic").status, 500);
    assert_eq!(client.get("/slash").body, b"slash");
}

#[test]
fn middleware_stands_around_requests_of_streams() {
    let server = TestServer::start(|host, _| {
        let guard = before(|request, response| {
            if request.header("x-key").is_none() {
                response.set_status(401).end("who are you?");
            }
        });
        let status = after(|_, response| {
            let status = response.status().as_u16().to_string();
            response.set_header("X-After", status);
        });
        let host: Host = host.middleware(status).middleware(guard);
        Server::new().host(host.add(routes()))
    });
    let mut client = Http2Client::connect(server.address);
    let response = client.get("/fields");
    assert_eq!(
        (response.status, response.field("x-after")),
        (401, Some("401"))
    );
    let response = client.request("GET", "/fields", &[("x-key", "1")]);
    assert_eq!(
        (response.status, response.field("x-after")),
        (200, Some("200"))
    );
}

#[test]
fn files_are_sent_whole_in_parts_and_not_at_all() {
    let folder = Folder::new();
    let content = pattern(3 * MEBIBYTE);
    folder.write("root/large.bin", &content);
    let server = folder.serve();
    let mut client = Http2Client::connect(server.address);
    // Once its tag is a strong one, as a range needs it.
    wait_until("the file is settled", || {
        let response = client.request("HEAD", "/large.bin", &[]);
        !response.field("etag").expect("a tag").starts_with("W/")
    });
    let response = client.get("/large.bin");
    assert!(response.body == content);
    let tag = response.field("etag").expect("a tag").to_owned();
    let response = client.request("GET", "/large.bin", &[("range", "bytes=1000000-2000000")]);
    assert_eq!(response.status, 206);
    assert_eq!(
        response.field("content-range"),
        Some("bytes 1000000-2000000/3145728")
    );
    assert!(response.body == content[1_000_000..=2_000_000]);
    let response = client.request("GET", "/large.bin", &[("range", "bytes=9999999-")]);
    assert_eq!(response.status, 416);
    let stream = client.send_request("GET", "/large.bin", &[("if-none-match", &tag)], true);
    let (response, is_last) = client.read_head(stream);
    assert_eq!((response.status, is_last), (304, true));
    assert_eq!(response.field("etag"), Some(&*tag));
    let stream = client.send_request("HEAD", "/large.bin", &[], true);
    let (response, is_last) = client.read_head(stream);
    assert_eq!(response.field("content-length"), Some("3145728"));
    assert!(is_last);
}

#[test]
fn a_hundred_streams_are_answered_in_whatever_order() {
    let server = server();
    let mut client = Http2Client::connect(server.address);
    let streams: Vec<_> = (0..99).map(|n| client.ask(&format!("/kept?{n}"))).collect();
    for (stream, number) in streams.iter().zip(0..) {
        assert!(!client.read_head(*stream).1);
        let expected = (format!("{number}").into_bytes(), false);
        assert_eq!(client.read_data(*stream), expected);
    }
    let end = client.send_request("POST", "/end-backwards", &[], true);
    let mut ended = Vec::new();
    while ended.len() < streams.len() {
        match client.any() {
            (of, _) if of == end => {}
            (of, Event::Data(bytes, true)) if bytes.is_empty() => ended.push(of),
            other => panic!("not an end but {other:?}"),
        }
    }
    let expected: Vec<_> = streams.into_iter().rev().collect();
    assert_eq!(ended, expected);
}

/// Whose windows are as large as they can be takes turns, too.
#[test]
fn large_answers_take_turns() {
    const STREAMS: usize = 5;
    for window in [1000, 65_535, 4 << 20] {
        let server = server();
        let settings = [(INITIAL_WINDOW_SIZE, 0)];
        let mut client = Http2Client::connect_with(server.address, &settings);
        client.open_window(0, 16 << 20);
        let streams: Vec<_> = (0..STREAMS).map(|_| client.ask("/large")).collect();
        // All of them wait.
        client.sync();
        client.set_initial_window(window);
        let mut bodies = vec![Vec::new(); STREAMS];
        let (mut ended, mut run, mut previous) = (0, 0, 0);
        while ended < STREAMS {
            let (stream, event) = client.any();
            let Event::Data(bytes, is_last) = event else {
                continue;
            };
            let at = streams.iter().position(|it| *it == stream).expect("ours");
            bodies[at].extend(bytes);
            run = if stream == previous { run + 1 } else { 1 };
            previous = stream;
            // Once all of them wait for room alone, each is sent a frame in its turn.
            let has_begun = bodies.iter().all(|body| body.len() > 100_000);
            let is_in_turn = window < 1 << 20 || !has_begun || ended > 0 || run <= 2;
            assert!(is_in_turn, "window {window}: {run} frames in a row");
            if is_last {
                ended += 1;
                let least = bodies.iter().map(Vec::len).min().expect("some");
                assert!(
                    least > 0,
                    "window {window}: one ended, another has not begun"
                );
            }
        }
        assert!(bodies.iter().all(|body| *body == pattern(MEBIBYTE)));
    }
}

#[test]
fn a_malformed_request_costs_its_stream() {
    let server = server();
    let mut client = Http2Client::connect(server.address);
    let kept = client.ask("/kept?first");
    client.read_head(kept);
    let method = (":method", "GET");
    let scheme = (":scheme", "http");
    let authority = (":authority", "localhost");
    let path = (":path", "/fields");
    let lists: [&[(&str, &str)]; 9] = [
        &[method, scheme, authority],
        &[method, method, scheme, authority, path],
        &[method, authority, path],
        &[method, scheme, path],
        &[method, scheme, authority, path, ("Upper", "x")],
        &[method, scheme, authority, path, ("connection", "close")],
        &[method, scheme, authority, path, ("te", "gzip")],
        &[method, scheme, authority, ("x", "y"), path],
        &[method, scheme, authority, path, ("content-length", "1")],
    ];
    for list in lists {
        let stream = client.send_fields(list, true);
        client.expect_reset(stream, PROTOCOL_ERROR);
    }
    assert_eq!(client.get("/fields").body, b"fields");
    client.request("POST", "/end-backwards", &[]);
    assert_eq!(client.read_data(kept).0, b"first");
}

#[test]
fn what_is_too_much_of_a_request_is_refused_by_its_status() {
    let server = server();
    let mut client = Http2Client::connect(server.address);
    let long = format!("/{}", "x".repeat(9000));
    assert_eq!(client.get(&long).status, 414);
    let value = "x".repeat(4000);
    let fields: Vec<_> = (0..5).map(|_| ("x-long", &*value)).collect();
    assert_eq!(client.request("GET", "/fields", &fields).status, 431);
    let fields = vec![("x", "y"); 101];
    assert_eq!(client.request("GET", "/fields", &fields).status, 431);
    let plain = [(":method", "CONNECT"), (":authority", "localhost:80")];
    let stream = client.send_fields(&plain, false);
    assert_eq!(client.read_response(stream).status, 501);
    client.expect_reset(stream, NO_ERROR);
    let other = [(":protocol", "connect-udp")];
    let stream = client.send_request("CONNECT", "/", &other, true);
    assert_eq!(client.read_response(stream).status, 501);
    assert_eq!(client.get("/fields").body, b"fields");
}

#[test]
fn a_panic_is_a_500_on_its_stream_and_others_go_on() {
    let server = server();
    let mut client = Http2Client::connect(server.address);
    let kept = client.ask("/kept?first");
    client.read_head(kept);
    let panicking = client.ask("/panic");
    let asked = client.ask("/fields");
    assert_eq!(client.read_response(panicking).status, 500);
    assert_eq!(client.read_response(asked).body, b"fields");
    client.request("POST", "/end-backwards", &[]);
    assert_eq!(client.read_data(kept).0, b"first");
    assert_eq!(client.read_data(kept), (Vec::new(), true));
}
