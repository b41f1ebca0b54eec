//! Answers that peers do not wait for, cannot have, or try to write themselves.

use std::time::{Duration, Instant};

use aerys::{Config, Request, Response, Router, Server, respond};

use crate::client::Client;
use crate::smuggling::{post, server};
use crate::support::{TestServer, wait_until};

#[test]
fn an_answer_without_a_body_leaves_the_next_one_whole() {
    let server = server();
    for (method, status) in [
        ("HEAD", 200),
        ("GET", 204),
        ("GET", 304),
        ("GET", 205),
        ("HEAD", 304),
    ] {
        let mut client = Client::connect(server.0.address);
        client.send_raw(format!(
            "{method} /bodiless?status={status} HTTP/1.1\r\nHost: localhost\r\n\r\n\
             GET /next HTTP/1.1\r\nHost: next\r\n\r\n"
        ));
        assert_eq!(client.read_response_head().status, status);
        assert_eq!(client.read_response().body, b"next", "{method} {status}");
    }
}

#[test]
fn a_request_that_expects_100_and_has_no_body_is_answered_at_once() {
    let server = server();
    let mut client = Client::connect(server.0.address);
    for fields in [
        &[("Expect", "100-continue")][..],
        &[("Expect", "100-Continue"), ("Content-Length", "0")],
    ] {
        assert_eq!(client.request("POST", "/", fields).status, 200);
    }
}

#[test]
fn a_compressed_body_is_handed_over_as_it_came() {
    let (server, seen) = server();
    // Whatever it would become: nobody asked for it.
    let mut client = Client::connect(server.address);
    client.send_raw(post(
        "Content-Encoding: gzip\r\nContent-Length: 5\r\n",
        "bytes",
    ));
    assert_eq!(client.read_response().status, 200);
    assert_eq!(*seen.lock().expect("whole"), ["POST / bytes"]);
}

#[test]
fn a_refusal_is_readable_behind_a_body_that_nobody_reads() {
    let server = server();
    let piece = vec![b'x'; 1 << 20];
    let head = |len: &str| format!("POST /nothing HTTP/1.1\r\nHost: localhost\r\n{len}\r\n");
    for head in [
        head("Content-Length: 10485760\r\n"),
        head("Transfer-Encoding: chunked\r\n") + "a00000\r\n",
    ] {
        let mut client = Client::connect(server.0.address);
        client.send_raw(head);
        for _ in 0..10 {
            client.send_raw(&piece);
        }
        let response = client.read_response();
        assert_eq!(response.status, 413);
        assert_eq!(response.field("Connection"), Some("close"));
        client.expect_eof();
    }
}

#[test]
fn an_answer_that_nobody_takes_is_cut_at_the_write_timeout() {
    const TIMEOUT: Duration = Duration::from_millis(400);
    const LEN: usize = 32 << 20;
    let config = Config {
        write_timeout: TIMEOUT,
        ..Config::default()
    };
    let server = TestServer::http(config, |_: &mut Request, response: &mut Response| {
        response.end(vec![b'b'; LEN]);
    });
    let mut client = Client::connect(server.address);
    let begun = Instant::now();
    client.send_raw("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    // What it sends meanwhile is no progress.
    wait_until("the connection is cut", || !client.try_send_raw("G"));
    assert!(begun.elapsed() >= TIMEOUT, "{:?}", begun.elapsed());
    assert!(client.read_to_end_or_reset().len() < LEN);
}

#[test]
fn no_path_splits_a_response_or_redirects_to_another_host() {
    let server = TestServer::start(|host, _| {
        let name = respond(|request, response| {
            let name = request.capture("name").unwrap_or_default().to_owned();
            response.set_header("X-Name", name).end("text");
        });
        let target = respond(|request, response| {
            let target = request.capture("target").unwrap_or_default().to_owned();
            response.redirect(302, format!("/{target}"));
        });
        let routes = Router::new()
            .get("/{name}/?", name)
            .get("/to/{*target}", target);
        Server::new().host(host.add(routes))
    });
    for path in [
        "/%0d%0aX-Injected:1/",
        "/%0d%0aX-Injected:1",
        "/%0aX-Injected:1",
        "/%00",
        "//evil.example/",
        "//evil.example/%2e%2e",
        "/\\evil.example/",
        "/%5cevil.example/",
        "/%2fevil.example/",
        "/to/%5cevil.example",
        "/to/a%0d%0aX-Injected:1",
    ] {
        let response = Client::connect(server.address).get(path);
        assert_eq!(response.field("X-Injected"), None, "{path}");
        let location = response.field("Location").unwrap_or_default();
        assert!(
            !location.starts_with("//") && !location.starts_with("/\\"),
            "{path}: {location}"
        );
    }
}
