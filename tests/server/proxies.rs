//! Clients behind proxies: who is believed, and what.

use std::net::SocketAddr;
use std::sync::mpsc::channel;
use std::time::Duration;

use aerys::{Config, ForwardedField, Host, Request, Response, Server, TrustedProxy};

use crate::client::{Client, handshake, handshake_with};
use crate::support::{Event, Recorder, TestServer, echo};

/// Tells what is known of the client of a request.
fn who(request: &mut Request, response: &mut Response) {
    response.end(format!(
        "{} {}://{}",
        request.client_address(),
        request.scheme(),
        request.host().unwrap_or_default()
    ));
}

/// A configuration that trusts those.
fn trusting(proxies: &[&str]) -> Config {
    let proxies = proxies.iter().map(|proxy| proxy.parse().expect("one"));
    Config {
        trusted_proxies: proxies.collect(),
        ..Config::default()
    }
}

fn ask(client: &mut Client, fields: &[(&str, &str)]) -> String {
    let response = client.request("GET", "/", fields);
    assert_eq!(response.status, 200, "{response:?}");
    String::from_utf8(response.body).expect("text")
}

/// What a client behind a proxy, and one that claims to be, are sent through with.
const FORWARDED: &[(&str, &str)] = &[
    ("X-Forwarded-For", "198.51.100.9, 192.0.2.1, 127.0.0.9"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "example.com"),
    ("Forwarded", "for=192.0.2.2;host=other.example;proto=https"),
];

#[test]
fn a_trusted_proxy_is_believed_and_its_client_is_the_client() {
    let server = TestServer::http(trusting(&["10.0.0.0/8", "127.0.0.0/8"]), who);
    let mut client = Client::connect(server.address);
    assert_eq!(
        ask(&mut client, FORWARDED),
        "192.0.2.1:0 https://example.com"
    );
    // The next request of the proxy is another client's.
    let peer = client.local_address();
    assert_eq!(ask(&mut client, &[]), format!("{peer} http://localhost"));
}

#[test]
fn whoever_is_not_trusted_is_the_client_itself() {
    for proxies in [&[][..], &["10.0.0.0/8", "unix"]] {
        let server = TestServer::http(trusting(proxies), who);
        let mut client = Client::connect(server.address);
        let peer = client.local_address();
        let expected = format!("{peer} http://localhost");
        assert_eq!(ask(&mut client, FORWARDED), expected, "{proxies:?}");
    }
}

/// What is kept of a request for the next one, for its allocations, is nobody's address.
#[cfg(target_os = "linux")]
#[test]
fn who_is_not_trusted_comes_after_who_is() {
    let server = TestServer::http(trusting(&["127.0.0.1"]), who);
    let mut proxy = Client::connect(server.address);
    let from = ([127, 0, 0, 2], 0).into();
    let mut other = Client::connect_from(from, server.address);
    for _ in 0..2 {
        assert_eq!(
            ask(&mut proxy, FORWARDED),
            "127.0.0.9:0 https://example.com"
        );
        let expected = format!("{} http://localhost", other.local_address());
        assert_eq!(ask(&mut other, FORWARDED), expected);
    }
}

#[test]
fn the_field_of_the_rfc_counts_if_it_is_chosen_and_the_other_does_not_then() {
    let config = Config {
        forwarded_field: ForwardedField::Forwarded,
        ..trusting(&["127.0.0.1"])
    };
    let server = TestServer::http(config, who);
    let mut client = Client::connect(server.address);
    let expected = "192.0.2.2:0 https://other.example";
    assert_eq!(ask(&mut client, FORWARDED), expected);
}

#[test]
fn a_proxy_on_a_unix_socket_is_trusted_if_those_are() {
    let path = std::env::temp_dir().join(format!("aerys-proxy-test-{}", std::process::id()));
    let address = format!("unix:{}", path.display());
    let _server = TestServer::start_at(&address, |host, _| {
        let config = Config {
            trusted_proxies: vec![
                TrustedProxy::Unix,
                "127.0.0.0/8".parse().expect("a network"),
            ],
            ..Config::default()
        };
        Server::new().config(config).host(host.add(who))
    });
    let mut client = Client::connect_unix(&path);
    assert_eq!(
        ask(&mut client, FORWARDED),
        "192.0.2.1:0 https://example.com"
    );
}

#[test]
fn the_address_of_a_websocket_client_behind_a_proxy_is_its_own() {
    let (sender, infos) = channel();
    let server = TestServer::start(|host, events| {
        let endpoint = aerys::websocket(|ws| {
            Recorder::new(ws, events, move |ws, event| {
                if let Event::Open(client, _) = event {
                    let _ = sender.send(ws.info(*client).expect("it is open").remote_address);
                }
            })
        });
        let config = trusting(&["127.0.0.1"]);
        Server::new().config(config).host(host.add(endpoint))
    });
    let mut addresses = Vec::new();
    for fields in [
        "X-Forwarded-For: 192.0.2.1\r\n",
        "X-Forwarded-For: 2001:db8::1\r\n",
        "",
    ] {
        let mut client = Client::connect(server.address);
        client.send_raw(handshake_with("/", fields));
        assert_eq!(client.read_response().status, 101);
        addresses.push((infos.recv().expect("a client"), client.local_address()));
    }
    assert_eq!(addresses[0].0.to_string(), "192.0.2.1:0");
    assert_eq!(addresses[1].0.to_string(), "[2001:db8::1]:0");
    assert_eq!(addresses[2].0, addresses[2].1);
}

#[test]
fn the_host_that_the_client_asked_the_proxy_for_answers() {
    let server = TestServer::start(|host, _| {
        let named = |name: &'static str| {
            move |_: &mut Request, response: &mut Response| {
                response.end(name);
            }
        };
        Server::new()
            .config(trusting(&["127.0.0.1"]))
            .host(host.add(named("any")))
            .host(Host::new().name("example.com").add(named("named")))
            .host(Host::new().name("tls.example:443").add(named("encrypted")))
    });
    let mut client = Client::connect(server.address);
    let mut host = |fields: &[(&str, &str)]| ask(&mut client, fields);
    assert_eq!(host(&[]), "any");
    assert_eq!(host(&[("X-Forwarded-Host", "example.com")]), "named");
    let tls = ("X-Forwarded-Host", "tls.example");
    assert_eq!(host(&[tls]), "any");
    assert_eq!(host(&[tls, ("X-Forwarded-Proto", "https")]), "encrypted");
}

/// Headers of the PROXY protocol that tell of the same client, in both versions.
const HEADERS: [&[u8]; 2] = [
    b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x02\xdc\x04\x01\xbb",
];

/// The same about the proxy itself, as when it looks whether the server lives.
const LOCAL: [&[u8]; 2] = [
    b"PROXY UNKNOWN\r\n",
    b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00",
];

/// A server that asks the PROXY protocol and tells between whom a request travelled.
fn behind_haproxy(config: Config) -> TestServer {
    TestServer::start_at("127.0.0.1:0?proxy-protocol", |host, _| {
        let between = |request: &mut Request, response: &mut Response| {
            let info = request.connection();
            let (remote, local) = (&info.remote_address, &info.local_address);
            response.end(format!("{remote} {local} {}", request.client_address()));
        };
        Server::new().config(config).host(host.add(between))
    })
}

fn expect_answer(client: &mut Client, expected: &str) {
    let response = client.read_response();
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(String::from_utf8_lossy(&response.body), expected);
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const BETWEEN: &str = "192.0.2.1:56324 198.51.100.2:443 192.0.2.1:56324";

#[test]
fn the_addresses_of_a_proxy_header_are_those_of_the_connection() {
    let server = behind_haproxy(Config::default());
    for header in HEADERS {
        // With the first request in one segment, before it, and in pieces.
        let mut client = Client::connect(server.address);
        client.send_raw([header, GET, GET].concat());
        expect_answer(&mut client, BETWEEN);
        expect_answer(&mut client, BETWEEN);
        client.send_raw(GET);
        expect_answer(&mut client, BETWEEN);
        let mut client = Client::connect(server.address);
        client.send_bytewise([header, GET].concat());
        expect_answer(&mut client, BETWEEN);
    }
    for header in LOCAL {
        let mut client = Client::connect(server.address);
        client.send_raw([header, GET].concat());
        let (peer, server) = (client.local_address(), server.address);
        expect_answer(&mut client, &format!("{peer} {server} {peer}"));
    }
}

#[test]
fn a_websocket_is_opened_behind_a_proxy_header() {
    let (sender, infos) = channel();
    let server = TestServer::start_at("127.0.0.1:0?proxy-protocol", |host, events| {
        let endpoint = aerys::websocket(|ws| {
            Recorder::new(ws, events, move |ws, event| {
                echo(ws, event);
                if let Event::Open(client, _) = event {
                    let _ = sender.send(ws.info(*client).expect("it is open").remote_address);
                }
            })
        });
        Server::new().host(host.add(endpoint))
    });
    let mut client = Client::connect(server.address);
    client.send_raw([HEADERS[1], handshake("/").as_bytes()].concat());
    assert_eq!(client.read_response().status, 101);
    client.send_text("hello");
    assert_eq!(client.read_text(), "hello");
    let address: SocketAddr = "192.0.2.1:56324".parse().expect("an address");
    assert_eq!(infos.recv().expect("a client"), address);
}

#[test]
fn without_a_proxy_header_a_connection_is_closed_and_nothing_answered() {
    let server = behind_haproxy(Config::default());
    for bytes in [
        GET,
        b"\x16\x03\x01\x02\x00",
        b"PROXY TCP4 192.0.2.1\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\n",
        b"\r\n\r\n\0\r\nQUIT\n\x11",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
        &[b'P'; 300],
    ] {
        let mut client = Client::connect(server.address);
        client.send_raw(bytes);
        client.expect_eof();
    }
    // One that leaves amid it does no harm.
    let mut client = Client::connect(server.address);
    client.send_raw("PROXY ");
    client.shut_down_write();
    client.expect_eof();
}

#[test]
fn a_proxy_header_and_the_first_request_share_the_header_timeout() {
    let config = Config {
        header_timeout: Duration::from_millis(300),
        ..Config::default()
    };
    let server = behind_haproxy(config);
    for bytes in [&b""[..], &HEADERS[0][..20], &HEADERS[1][..13], HEADERS[0]] {
        let mut client = Client::connect(server.address);
        client.send_raw(bytes);
        client.expect_late_eof();
    }
    let mut client = Client::connect(server.address);
    client.send_raw([HEADERS[0], b"GET / HTTP/1.1\r\n"].concat());
    assert_eq!(client.read_response().status, 408);
}

#[test]
fn a_proxy_header_is_taken_from_trusted_proxies_alone_if_there_are_some() {
    let server = behind_haproxy(trusting(&["127.0.0.1"]));
    let mut client = Client::connect(server.address);
    // It replaces the peer, which is no proxy itself: what it forwards is not believed.
    client.send_raw(
        [
            HEADERS[0],
            b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.1\r\n\r\n",
        ]
        .concat(),
    );
    expect_answer(&mut client, BETWEEN);
    let server = behind_haproxy(trusting(&["10.0.0.0/8"]));
    let mut client = Client::connect(server.address);
    client.try_send_raw(HEADERS[0]);
    client.try_send_raw(GET);
    assert_eq!(client.read_to_end_or_reset(), b"");
}

#[test]
fn a_proxy_of_http_behind_one_of_tcp_is_believed_by_its_own_address() {
    let server = behind_haproxy(trusting(&["127.0.0.1", "192.0.2.1"]));
    let mut client = Client::connect(server.address);
    client.send_raw(
        [
            HEADERS[1],
            b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.1\r\n\r\n",
        ]
        .concat(),
    );
    let expected = "192.0.2.1:56324 198.51.100.2:443 203.0.113.1:0";
    expect_answer(&mut client, expected);
}

/// A proxy of TCP neither writes nor replaces the fields: where it named nobody, they are the client's.
#[test]
fn fields_behind_a_header_that_names_nobody_are_not_believed() {
    let server = behind_haproxy(trusting(&["127.0.0.1"]));
    for header in LOCAL {
        let mut client = Client::connect(server.address);
        let forged = b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n";
        client.send_raw([header, forged].concat());
        let (peer, server) = (client.local_address(), server.address);
        expect_answer(&mut client, &format!("{peer} {server} {peer}"));
    }
}

#[test]
fn an_ipv4_address_in_the_clothes_of_ipv6_is_one_of_ipv4() {
    let server = behind_haproxy(Config::default());
    let header = "PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.2 56324 443\r\n";
    let mut client = Client::connect(server.address);
    client.send_raw([header.as_bytes(), GET].concat());
    expect_answer(&mut client, BETWEEN);
}

#[test]
fn a_stop_waits_for_no_proxy_header() {
    let mut server = behind_haproxy(Config::default());
    let mut client = Client::connect(server.address);
    client.send_raw("PROXY ");
    let mut other = Client::connect(server.address);
    other.send_raw([HEADERS[0], GET].concat());
    expect_answer(&mut other, BETWEEN);
    drop(other);
    server.stop();
    client.expect_eof();
    drop(client);
    assert_eq!(server.join(), Ok(()));
}
