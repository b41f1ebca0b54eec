//! Who may ask for `/_aerys/` of the program, and by which name.

use std::net::SocketAddr;

use crate::client::{Client, HttpResponse};
use crate::program::{Program, command};

const PATHS: [&str; 7] = [
    "",
    "live.css",
    "live.js",
    "live",
    "metrics",
    "stats.json",
    "health",
];

fn statuses(mut ask: impl FnMut(&str) -> HttpResponse) -> Vec<u16> {
    PATHS
        .map(|path| ask(&format!("/_aerys/{path}")).status)
        .into()
}

/// Without an upgrade, the one of the feed is answered so.
const SERVED: [u16; 7] = [200, 200, 200, 426, 200, 200, 200];

#[test]
fn nothing_is_there_unless_it_was_asked_for() {
    let server = Program::serve(&[]);
    let mut client = Client::connect(server.address);
    assert_eq!(statuses(|path| client.get(path)), [404; 7]);
}

#[test]
fn it_is_asked_for_by_names_that_nobody_elsewhere_can_have() {
    let server = Program::serve(&["--live", "--live-host", "stats.example"]);
    let asked = |fields: &str| {
        let address = server.address;
        statuses(|path| {
            let mut client = Client::connect(address);
            client.send_raw(format!("GET {path} HTTP/1.1\r\n{fields}\r\n"));
            client.read_response()
        })
    };
    let port = server.address.port();
    for fields in [
        format!("Host: 127.0.0.1:{port}\r\n"),
        format!("Host: localhost:{port}\r\nOrigin: http://localhost:{port}\r\n"),
        "Host: Stats.Example\r\nOrigin: https://stats.example\r\n".to_owned(),
    ] {
        assert_eq!(asked(&fields), SERVED, "{fields}");
    }
    for fields in [
        format!("Host: rebound.example:{port}\r\n"),
        format!("Host: localhost:{port}\r\nOrigin: http://elsewhere.example\r\n"),
        format!("Host: localhost:{port}\r\nOrigin: null\r\n"),
        format!(
            "Host: localhost:{port}\r\nOrigin: http://localhost:{}\r\n",
            port ^ 1
        ),
    ] {
        assert_eq!(asked(&fields), [403; 7], "{fields}");
    }
}

#[test]
fn it_is_for_clients_on_this_machine_whoever_speaks_for_them() {
    let server = Program::serve(&["--live"]);
    let mut client = Client::connect(server.address);
    for field in ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"] {
        let fields = [(field, "127.0.0.1")];
        let asked = statuses(|path| client.request("GET", path, &fields));
        assert_eq!(asked, [403; 7], "a proxy that is not trusted: {field}");
    }
    let server = Program::serve(&["--live", "--trusted-proxies", "127.0.0.1"]);
    let mut client = Client::connect(server.address);
    for (from, expected) in [("192.0.2.1", [403; 7]), ("127.0.0.9", SERVED)] {
        let fields = [("X-Forwarded-For", from)];
        let asked = statuses(|path| client.request("GET", path, &fields));
        assert_eq!(asked, expected, "{from}");
    }
}

/// A page sets what fields it likes, and its browser's connection may come from where a trusted proxy is.
#[test]
fn what_a_proxy_says_of_the_name_does_not_make_up_for_a_wrong_one() {
    let server = Program::serve(&["--live", "--trusted-proxies", "127.0.0.1"]);
    let mut client = Client::connect(server.address);
    for (host, forwarded, expected) in [
        ("rebound.example", "localhost", [403; 7]),
        ("localhost", "rebound.example", [403; 7]),
        ("localhost", "localhost", SERVED),
    ] {
        let asked = statuses(|path| {
            client.send_raw(format!(
                "GET {path} HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-Host: {forwarded}\r\n\r\n"
            ));
            client.read_response()
        });
        assert_eq!(asked, expected, "{host} for {forwarded}");
    }
}

/// As load balancers ask that speak HTTP/1.0; a browser always says whom it asks.
#[test]
fn who_names_nobody_is_no_page() {
    let server = Program::serve(&["--live"]);
    let asked = |fields: &str| {
        let mut client = Client::connect(server.address);
        client.send_raw(format!("GET /_aerys/health HTTP/1.0\r\n{fields}\r\n"));
        client.read_response().status
    };
    assert_eq!(asked(""), 200);
    assert_eq!(asked("Host: elsewhere.example\r\n"), 403);
    assert_eq!(asked("Origin: http://elsewhere.example\r\n"), 403);
}

/// Opens a connection that a proxy speaks for.
fn introduced(address: SocketAddr, from: &str) -> Client {
    let mut client = Client::connect(address);
    client.send_raw(format!("PROXY TCP4 {from} 127.0.0.1 4000 80\r\n"));
    client
}

#[test]
fn an_address_elsewhere_is_refused_but_where_only_this_is_served() {
    let mut serve = command();
    serve.args(["serve", "--listen", "127.0.0.1:0?proxy-protocol", "--live"]);
    serve.args(["--live-listen", "127.0.0.1:0?proxy-protocol"]);
    let mut server = Program::start(serve);
    let alone = server.next_address();
    for (from, expected) in [("192.0.2.1", [403; 7]), ("127.0.0.1", SERVED)] {
        let mut client = introduced(server.address, from);
        assert_eq!(statuses(|path| client.get(path)), expected, "{from}");
    }
    let mut client = introduced(alone, "192.0.2.1");
    assert_eq!(statuses(|path| client.get(path)), SERVED);
    assert_eq!(client.get("/").field("location"), Some("/_aerys/"));
    assert_eq!(client.get("/echo").status, 404, "nothing else");
    let mut client = introduced(alone, "192.0.2.1");
    client.send_raw("GET /_aerys/metrics HTTP/1.1\r\nHost: rebound.example\r\n\r\n");
    assert_eq!(client.read_response().status, 403);
}
