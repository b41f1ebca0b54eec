//! HTTP/1.1 on the wire: the router, and what is refused (RFC 9110, RFC 9112).

use std::time::{Duration, Instant};

use aerys::{Config, Request, Response, Router, Server, respond};

use crate::client::Client;
use crate::support::{TestServer, wait_until};

fn say(text: &'static str) -> impl FnMut(&mut Request, &mut Response) + 'static {
    move |_, response| {
        response.end(text);
    }
}

fn server() -> TestServer {
    TestServer::start(|host, _| {
        let people = Router::new().get(
            "/{name}/{age}/?",
            respond(|request, response| {
                let (name, age) = (request.capture("name"), request.capture("age"));
                response.end(format!(
                    "name={} age={}",
                    name.unwrap_or("?"),
                    age.unwrap_or("?")
                ));
            }),
        );
        let routes = Router::new()
            .get("/", say("home"))
            .get("/two", |_: &mut Request, _: &mut Response| ())
            .get("/two", say("the second action"))
            .post(
                "/upper",
                respond(|request, response| {
                    let body = request.take_body();
                    response.end(body.to_ascii_uppercase());
                }),
            )
            .get(
                "/query",
                respond(|request, response| {
                    response.end(request.param("q").unwrap_or_default());
                }),
            )
            .get("/panic", |_: &mut Request, _: &mut Response| {
                panic!("in a responder, on purpose")
            })
            .get(
                "/splitting",
                respond(|_, response| {
                    response
                        .set_header("X-Bad", "a\r\nX-Injected: yes")
                        .end("never sent");
                }),
            )
            .get(
                "/switching",
                respond(|_, response| {
                    response.set_status(101).end("never sent");
                }),
            )
            .get(
                "/big",
                respond(|_, response| {
                    response.end(vec![b'b'; 8 << 20]);
                }),
            );
        Server::new().host(host.add(routes).add(people.prefix("/dev")).add(respond(
            |request, response| {
                if request.path() == "/fallback" {
                    response.end("the next responder");
                }
            },
        )))
    })
}

/// Scenario 19.
#[test]
fn the_router_finds_redirects_refuses_and_passes_on() {
    let server = server();
    let mut client = Client::connect(server.address);
    let response = client.get("/dev/bob/19/?x=1");
    assert_eq!(
        (response.status, response.field("Location")),
        (308, Some("/dev/bob/19?x=1"))
    );
    let response = client.get("/dev/bob/19");
    assert_eq!(
        (response.status, &response.body[..]),
        (200, &b"name=bob age=19"[..])
    );
    assert_eq!(
        client.get("/dev/J%C3%BCrgen%2Fx/1").body,
        "name=Jürgen/x age=1".as_bytes()
    );
    let response = client.request("POST", "/dev/bob/19", &[("Content-Length", "0")]);
    assert_eq!(response.status, 405);
    assert!(
        response
            .field("Allow")
            .is_some_and(|allow| allow.split(", ").any(|method| method == "GET"))
    );
    assert_eq!(client.get("/nope").status, 404);
    assert_eq!(client.get("/fallback").body, b"the next responder");
    assert_eq!(client.get("/two").body, b"the second action");
    assert_eq!(client.get("/query?q=a%20b+%C3%A9").body, "a b é".as_bytes());
    let response = client.request("HEAD", "/", &[]);
    assert_eq!(
        (response.status, response.field("Content-Length")),
        (200, Some("4"))
    );
    assert_eq!(
        client.get("/").body,
        b"home",
        "no body came behind the HEAD"
    );
}

/// Sends `request` at once, and byte by byte; the answers must not differ in status.
fn status_of(server: &TestServer, request: &[u8]) -> (u16, Client) {
    let mut slow = Client::connect(server.address);
    // A refusal may come, and the connection go, before the last byte.
    request.iter().all(|byte| slow.try_send_raw([*byte]));
    let slow = slow.read_response();
    let mut client = Client::connect(server.address);
    client.send_raw(request);
    let response = client.read_response();
    assert_eq!(
        response.status,
        slow.status,
        "{:?}",
        String::from_utf8_lossy(request)
    );
    if (400..405).contains(&response.status) || response.status > 405 {
        assert_eq!(response.field("Connection"), Some("close"), "{response:?}");
    }
    (response.status, client)
}

/// Scenario 20, its refusals.
#[test]
fn what_two_servers_could_read_differently_is_refused_and_the_connection_closed() {
    let server = server();
    let host = "Host: localhost\r\n";
    let cases = [
        (400, "dajfalkjf jslfhalsdjf\r\n\r\n".into()),
        (400, "GET /\r\n\r\n".into()),
        (400, format!("GET  / HTTP/1.1\r\n{host}\r\n")),
        (400, "GET / HTTP/1.1\r\nHost: local\r\n host\r\n\r\n".into()),
        (400, "GET / HTTP/1.1\r\n\r\n".into()),
        (400, format!("GET / HTTP/1.1\r\n{host}{host}\r\n")),
        (400, format!("GET / HTTP/1.1\r\n{host}X : 1\r\n\r\n")),
        (400, format!("GET / HTTP/1.1\r\n{host}: 1\r\n\r\n")),
        (400, format!("GET / HTTP/1.1\r\n{host}X: a\rb\r\n\r\n")),
        (400, format!("GET / HTTP/1.1\r\n{host}X: a\0b\r\n\r\n")),
        (400, format!("GET / HTTP/1.1\n{host}\r\n")),
        (400, format!("GET / HTTP/1.1\r\n{host}X: 1\n\r\n")),
        (
            400,
            format!(
                "POST /upper HTTP/1.1\r\n{host}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            ),
        ),
        (
            400,
            format!(
                "POST /upper HTTP/1.1\r\n{host}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"
            ),
        ),
        (
            400,
            format!("POST /upper HTTP/1.1\r\n{host}Content-Length: +5\r\n\r\nhello"),
        ),
        (
            400,
            format!(
                "POST /upper HTTP/1.1\r\n{host}Content-Length: 18446744073709551621\r\n\r\nhello"
            ),
        ),
        (
            400,
            format!(
                "POST /upper HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n"
            ),
        ),
        (
            400,
            format!(
                "POST /upper HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n1\r\nab0\r\n\r\n"
            ),
        ),
        (
            501,
            format!("POST /upper HTTP/1.1\r\n{host}Transfer-Encoding: gzip\r\n\r\n"),
        ),
        (
            413,
            format!("POST /upper HTTP/1.1\r\n{host}Content-Length: 131073\r\n\r\n"),
        ),
        (
            414,
            format!("GET /{} HTTP/1.1\r\n{host}\r\n", "a".repeat(8192)),
        ),
        (
            431,
            format!("GET / HTTP/1.1\r\n{host}X: {}\r\n\r\n", "a".repeat(32768)),
        ),
        (
            431,
            format!("GET / HTTP/1.1\r\n{host}{}\r\n", "X: 1\r\n".repeat(101)),
        ),
        (
            417,
            format!(
                "POST /upper HTTP/1.1\r\n{host}Expect: the-unexpected\r\nContent-Length: 1\r\n\r\nx"
            ),
        ),
        (505, format!("GET / HTTP/1.3\r\n{host}\r\n")),
        (505, format!("GET / HTTP/2.0\r\n{host}\r\n")),
    ];
    for (status, request) in cases {
        // Were the connection not closed, this would be answered too.
        let request = format!("{request}GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let (answer, mut client) = status_of(&server, request.as_bytes());
        assert_eq!(answer, status, "{:?}", &request[..request.len().min(200)]);
        client.expect_eof();
    }
}

/// Scenario 20, the rest of it.
#[test]
fn methods_chunks_and_pipelining_work_whole_and_byte_by_byte() {
    let server = server();
    // A method that is none of HTTP's: the path is known, and nothing else is to be expected.
    let (status, mut client) = status_of(&server, b"ZZZ / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(status, 405);
    client.expect_eof();
    let response = Client::connect(server.address).request("ZZZ", "/", &[]);
    assert!(
        response
            .field("Allow")
            .is_some_and(|allow| allow.split(", ").any(|method| method == "GET"))
    );
    assert_eq!(response.field("Connection"), Some("close"));
    assert_eq!(
        status_of(&server, b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n").0,
        200
    );

    let mut client = Client::connect(server.address);
    let response = client.request("OPTIONS", "*", &[]);
    assert!(response.body.is_empty());
    assert!(
        response
            .field("Allow")
            .is_some_and(|allow| allow.contains("GET") && allow.contains("POST"))
    );

    let chunked = "POST /upper HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n\
                   5\r\nwoot!\r\n4;name=\"value\"\r\ntest\r\n0\r\nTrailer: yes\r\n\r\n";
    let plain = "POST /upper HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc";
    let pipelined = format!("{chunked}{plain}GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    for bytewise in [false, true] {
        let mut client = Client::connect(server.address);
        if bytewise {
            client.send_bytewise(&pipelined);
        } else {
            client.send_raw(&pipelined);
        }
        assert_eq!(client.read_response().body, b"WOOT!TEST");
        assert_eq!(client.read_response().body, b"ABC");
        assert_eq!(client.read_response().body, b"home");
    }
}

#[test]
fn a_body_that_waits_for_100_gets_it_once() {
    let server = server();
    let mut client = Client::connect(server.address);
    client.send_raw("POST /upper HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    assert_eq!(client.read_bytes(25), b"HTTP/1.1 100 Continue\r\n\r\n");
    client.send_raw("ok");
    assert_eq!(client.read_response().body, b"OK");
}

#[test]
fn a_body_at_its_limit_is_taken() {
    let server = server();
    let mut client = Client::connect(server.address);
    client.send_raw("POST /upper HTTP/1.1\r\nHost: localhost\r\nContent-Length: 131072\r\n\r\n");
    client.send_raw(vec![b'a'; 131_072]);
    assert!(client.read_response().body == vec![b'A'; 131_072]);
}

#[test]
fn connections_live_as_long_as_both_sides_want() {
    let server = server();
    let mut client = Client::connect(server.address);
    for _ in 0..200 {
        assert_eq!(client.get("/").status, 200);
    }
    let response = client.request("GET", "/", &[("Connection", "close")]);
    assert_eq!(response.field("Connection"), Some("close"));
    client.expect_eof();

    let mut client = Client::connect(server.address);
    client.send_raw("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.read_response().body, b"home");
    client.expect_eof();
}

#[test]
fn a_responders_bug_is_answered_500_and_nothing_of_it_is_on_the_wire() {
    let server = server();
    let mut client = Client::connect(server.address);
    client.send_raw("GET /splitting HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let response = client.read_response();
    assert_eq!((response.status, response.field("X-Injected")), (500, None));
    assert!(!String::from_utf8_lossy(&response.body).contains("never sent"));
    // A 101 is an endpoint's to give: nobody would know what comes behind this one.
    let mut client = Client::connect(server.address);
    assert_eq!(client.get("/switching").status, 500);
    assert_eq!(client.get("/").body, b"home", "a connection like any other");
    let mut client = Client::connect(server.address);
    assert_eq!(client.get("/panic").status, 500);
    let mut client = Client::connect(server.address);
    assert_eq!(client.get("/").status, 200, "the server lives on");
}

#[test]
fn a_peer_that_half_closes_behind_its_request_gets_the_whole_answer() {
    let server = server();
    let mut client = Client::connect(server.address);
    client.send_raw("GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client.shut_down_write();
    assert!(client.read_response().body == vec![b'b'; 8 << 20]);
    client.expect_eof();
}

/// Responses of 80 MB to one peer that reads none of them: they wait, and others do not.
#[test]
fn pipelined_requests_wait_while_a_response_does() {
    let server = server();
    let mut client = Client::connect(server.address);
    client.send_raw("GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(10));
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert_eq!(Client::connect(server.address).get("/").body, b"home");
    for _ in 0..10 {
        assert!(client.read_response().body == vec![b'b'; 8 << 20]);
    }
}

#[test]
fn every_answer_has_a_date() {
    let server = server();
    let response = Client::connect(server.address).get("/");
    let date = response.field("Date").expect("RFC 9110 section 6.6.1");
    assert!(date.len() == 29 && date.ends_with(" GMT"), "{date}");
}

/// It read its answer and stays, against what was said.
#[test]
fn a_peer_that_never_closes_is_cut_at_the_linger_timeout() {
    const LINGER: Duration = Duration::from_millis(600);
    let config = Config {
        linger_timeout: LINGER,
        ..Config::default()
    };
    let server = TestServer::http(config, say("bye"));
    let mut client = Client::connect(server.address);
    let begun = Instant::now();
    let response = client.request("GET", "/", &[("Connection", "close")]);
    assert_eq!(response.field("Connection"), Some("close"));
    client.expect_eof();
    // Read and forgotten until then.
    wait_until("the socket is cut", || !client.try_send_raw("x"));
    assert!(begun.elapsed() >= LINGER, "{:?}", begun.elapsed());
}

#[test]
fn forms_of_both_kinds_are_read_and_others_refused_with_their_status() {
    let server = TestServer::http(
        Config::default(),
        |request: &mut Request, response: &mut Response| {
            let all: Vec<_> = request.params_named("all").map(String::from).collect();
            match request.form_with_limit(3) {
                Ok(form) => {
                    let fields = form.fields().iter().map(|field| {
                        let file = field.file_name().unwrap_or_default();
                        format!("{}[{file}]={}", field.name(), field.text())
                    });
                    let fields: Vec<_> = fields.collect();
                    response.end(format!("{} {}", all.join("+"), fields.join(" ")));
                }
                Err(error) => {
                    response.set_status(error.status()).end(error.to_string());
                }
            }
        },
    );
    let mut client = Client::connect(server.address);
    let mut post = |content_type: &str, body: &str| {
        let len = body.len();
        client.send_raw(format!(
            "POST /?all=1&other=2&all=%2B HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\n\
             Content-Length: {len}\r\n\r\n{body}"
        ));
        let response = client.read_response();
        (
            response.status,
            String::from_utf8(response.body).expect("text"),
        )
    };
    let urlencoded = "application/x-www-form-urlencoded";
    let answer = post(urlencoded, "a=1+2&b=%C3%A4");
    assert_eq!(answer, (200, "1++ a[]=1 2 b[]=\u{e4}".to_owned()));
    let multipart = "multipart/form-data; boundary=----x";
    let body = "------x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.txt\"\r\n\
        Content-Type: text/plain\r\n\r\nline\r\n--x\r\n------x--\r\n";
    let answer = post(multipart, body);
    assert_eq!(answer, (200, "1++ f[a.txt]=line\r\n--x".to_owned()));
    assert_eq!(post(multipart, "nothing").0, 400);
    assert_eq!(post("application/json", "{}").0, 415);
    assert_eq!(post(urlencoded, "a&b&c&d").0, 413);
}
