//! HTTP/2 behind proxies, for several hosts, and on Unix sockets.

use std::sync::mpsc::channel;

use aerys::{Config, Host, Request, Response, Server, TrustedProxy, websocket};

use crate::client::Client;
use crate::http2_client::Http2Client;
use crate::support::{Event, Recorder, TestServer};

/// Who asks, whom, and how, as a handler sees it.
fn who(request: &mut Request, response: &mut Response) {
    let client = request.client_address().to_string();
    let host = request.host().unwrap_or("").to_owned();
    response.end(format!("{client} {}://{host}", request.scheme()));
}

fn say(text: &'static str) -> impl FnMut(&mut Request, &mut Response) + 'static {
    move |_, response| {
        response.end(text);
    }
}

fn trusting() -> Config {
    Config {
        trusted_proxies: vec![
            TrustedProxy::Unix,
            "127.0.0.0/8".parse().expect("a network"),
        ],
        ..Config::default()
    }
}

fn text_of(client: &mut Http2Client, path: &str, fields: &[(&str, &str)]) -> String {
    let response = client.request("GET", path, fields);
    assert_eq!(response.status, 200, "{response:?}");
    String::from_utf8(response.body).expect("text")
}

const FORWARDED: [(&str, &str); 3] = [
    ("x-forwarded-for", "192.0.2.1"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "example.com"),
];

#[test]
fn a_trusted_proxy_tells_of_the_client_of_each_stream() {
    let server = TestServer::http(trusting(), who);
    let mut client = Http2Client::connect(server.address);
    let local = client.local_address();
    assert_eq!(
        text_of(&mut client, "/", &FORWARDED),
        "192.0.2.1:0 https://example.com"
    );
    let other = [("x-forwarded-for", "192.0.2.2")];
    assert_eq!(
        text_of(&mut client, "/", &other),
        "192.0.2.2:0 http://localhost"
    );
    assert_eq!(
        text_of(&mut client, "/", &[]),
        format!("{local} http://localhost")
    );
    // Nobody else is believed.
    let server = TestServer::http(Config::default(), who);
    let mut client = Http2Client::connect(server.address);
    let local = client.local_address();
    assert_eq!(
        text_of(&mut client, "/", &FORWARDED),
        format!("{local} http://localhost")
    );
}

#[test]
fn the_address_of_a_websocket_is_that_of_its_stream() {
    let (sender, addresses) = channel();
    let server = TestServer::start(|host, events| {
        let endpoint = websocket(|ws| {
            Recorder::new(ws, events, move |ws, event| {
                if let Event::Open(client, _) = event {
                    let _ = sender.send(ws.info(*client).expect("it is open").remote_address);
                }
            })
        });
        Server::new().config(trusting()).host(host.add(endpoint))
    });
    let mut client = Http2Client::connect(server.address);
    let local = client.local_address().to_string();
    for (fields, expected) in [
        (&[("x-forwarded-for", "192.0.2.1")][..], "192.0.2.1:0"),
        (&[("x-forwarded-for", "2001:db8::1")], "[2001:db8::1]:0"),
        (&[], &local),
    ] {
        let stream = client.ask_websocket("/", fields);
        assert_eq!(client.read_head(stream).0.status, 200);
        let address = addresses.recv().expect("a client");
        assert_eq!(address.to_string(), expected);
    }
}

/// RFC 9113 section 8.3.1: on one connection it may be another for each request.
#[test]
fn the_authority_chooses_the_host_of_each_stream() {
    let server = TestServer::start(|host, _| {
        Server::new()
            .config(trusting())
            .host(host.add(say("any")))
            .host(Host::new().name("example.com").add(say("named")))
            .host(Host::new().name("*.example.org").add(say("below")))
    });
    let mut client = Http2Client::connect(server.address);
    let mut ask = |lead: &[(&str, &str)]| {
        let mut fields = vec![(":method", "GET"), (":scheme", "http"), (":path", "/")];
        fields.extend(lead);
        let stream = client.send_fields(&fields, true);
        String::from_utf8(client.read_response(stream).body).expect("text")
    };
    for _ in 0..2 {
        assert_eq!(ask(&[(":authority", "example.com")]), "named");
        assert_eq!(ask(&[(":authority", "EXAMPLE.com:81")]), "named");
        assert_eq!(ask(&[(":authority", "a.example.org")]), "below");
        assert_eq!(ask(&[(":authority", "nobody.test")]), "any");
        // As a gateway of HTTP/1 sends it.
        assert_eq!(ask(&[("host", "example.com")]), "named");
        let both = [(":authority", "a"), ("x-forwarded-host", "example.com")];
        assert_eq!(ask(&both), "named");
    }
}

#[test]
fn the_addresses_of_a_proxy_header_are_those_of_all_streams() {
    let server = TestServer::start_at("127.0.0.1:0?proxy-protocol", |host, _| {
        let between = |request: &mut Request, response: &mut Response| {
            let info = request.connection();
            response.end(format!("{} {}", info.remote_address, info.local_address));
        };
        Server::new().host(host.add(between))
    });
    for header in [
        &b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n"[..],
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x02\xdc\x04\x01\xbb",
    ] {
        let mut plain = Client::connect(server.address);
        plain.send_raw(header);
        let mut client = Http2Client::over(plain, &[]);
        let streams = [(); 3].map(|()| client.ask("/"));
        for stream in streams {
            let body = client.read_response(stream).body;
            assert_eq!(body, b"192.0.2.1:56324 198.51.100.2:443");
        }
    }
}

#[test]
fn http_2_is_spoken_on_a_unix_socket() {
    let path = std::env::temp_dir().join(format!("aerys-http2-test-{}", std::process::id()));
    let address = format!("unix:{}", path.display());
    let _server = TestServer::start_at(&address, |host, _| {
        Server::new().config(trusting()).host(host.add(who))
    });
    let mut client = Http2Client::over(Client::connect_unix(&path), &[]);
    assert_eq!(
        text_of(&mut client, "/", &FORWARDED),
        "192.0.2.1:0 https://example.com"
    );
    let streams = [(); 10].map(|()| client.ask("/"));
    for stream in streams {
        let body = client.read_response(stream).body;
        assert!(
            body.ends_with(b" http://localhost"),
            "{}",
            body.escape_ascii()
        );
    }
}
