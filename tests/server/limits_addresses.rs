//! Connections from one address: who has as many as it may, and that it has one more whenever one of
//! them is gone, in whatever way it went.

use std::io::Read as _;
#[cfg(feature = "tls")]
use std::io::Write as _;

use aerys::{Config, Request, Response, Router, Server, TrustedProxy, websocket};
use socket2::SockRef;

use crate::client::{Client, handshake};
#[cfg(feature = "http2")]
use crate::http2_client::Http2Client;
use crate::support::{Recorder, TestServer, echo, wait_until};
#[cfg(feature = "tls")]
use crate::tls_client::{Authority, TlsClient, localhost};

const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn at_most(count: usize) -> Config {
    Config {
        max_connections_per_address: Some(count),
        ..Config::default()
    }
}

/// A page at `/`, one of 8 MiB at `/large`, an echo at `/ws`.
fn start_at(address: &str, config: Config) -> TestServer {
    TestServer::start_at(address, move |host, events| {
        let router = Router::new()
            .get("/", page)
            .get("/large", |_: &mut Request, response: &mut Response| {
                response.end(vec![b'x'; 8 << 20]);
            })
            .post("/", page)
            .get("/ws", websocket(|ws| Recorder::new(ws, events, echo)));
        Server::new().config(config).host(host.add(router))
    })
}

fn page(_: &mut Request, response: &mut Response) {
    response.end("page");
}

fn start(config: Config) -> TestServer {
    start_at("127.0.0.1:0", config)
}

/// Whether a client that has just connected is answered its request. Of many who are refused at once
/// not all can read why.
fn is_served(client: &mut Client) -> bool {
    let mut answer = Vec::new();
    if client.try_send_raw(GET) {
        let mut buffer = [0; 1000];
        let mut stream = client.writer();
        while !answer.ends_with(b"page")
            && let Ok(len @ 1..) = stream.read(&mut buffer)
        {
            answer.extend(&buffer[..len]);
        }
    }
    answer.starts_with(b"HTTP/1.1 200 OK\r\n")
}

#[cfg(target_os = "linux")]
#[test]
fn who_has_as_many_as_it_may_is_answered_503_and_others_are_served() {
    let server = start(at_most(2));
    let from = |last: u8| Client::connect_from(([127, 0, 0, last], 0).into(), server.address);
    let mut clients: Vec<_> = [1, 2, 1, 2].map(from).into();
    for client in &mut clients {
        assert!(is_served(client));
    }
    for last in [1, 2] {
        for _ in 0..40 {
            let mut refused = from(last);
            let answer = refused.read_response();
            assert_eq!(
                (answer.status, answer.field("Retry-After")),
                (503, Some("1"))
            );
            refused.expect_eof();
        }
    }
    for client in &mut clients {
        assert!(is_served(client));
    }
    assert!(is_served(&mut from(3)));
    drop(clients.remove(0));
    wait_until("the first has one less", || is_served(&mut from(1)));
    assert!(!is_served(&mut from(2)));
}

#[test]
fn all_addresses_of_a_network_of_ipv6_are_one() {
    let server = start_at("[::1]:0", at_most(1));
    let _first = Client::open(server.address, "/ws");
    assert!(!is_served(&mut Client::connect(server.address)));
}

/// With one place that is left, whatever were left over of anybody would show.
#[test]
fn whoever_leaves_over_plain_tcp_makes_room() {
    let server = start(at_most(1));
    let come = |before: &str| {
        wait_until(&format!("somebody is served after {before}"), || {
            is_served(&mut Client::connect(server.address))
        });
        let mut client = None;
        wait_until("the place is free", || {
            let mut next = Client::connect(server.address);
            let is_served = is_served(&mut next);
            client = is_served.then_some(next);
            is_served
        });
        client.expect("it is served")
    };
    for _ in 0..5 {
        drop(come("nothing"));
        come("a FIN").reset();
        let mut client = come("a reset");
        client.send_raw(&GET[..9]);
        client.reset();
        let mut client = come("a reset amid a request");
        client.send_raw("GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n");
        client.read_bytes(1000);
        client.reset();
        let mut client = come("a reset amid an answer");
        client.send_raw("nonsense\r\n\r\n");
        client.read_to_end_or_reset();
        drop(client);
        let mut client = come("a refusal");
        client.send_raw("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf");
        client.shut_down_write();
        client.read_to_end_or_reset();
        drop(client);
        let mut client = come("half of a body");
        client.send_raw(handshake("/ws"));
        assert_eq!(client.read_response().status, 101);
        client.send_close(1000);
        client.expect_close(1000);
        client.expect_eof();
        drop(client);
        let mut client = come("a closing handshake");
        client.send_raw(handshake("/ws"));
        assert_eq!(client.read_response().status, 101);
        client.reset();
        let mut client = come("a WebSocket that was reset");
        client.send_raw("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        assert_eq!(client.read_response().status, 200);
        client.expect_eof();
        drop(client);
        // Gone before it is accepted.
        for _ in 0..20 {
            Client::connect(server.address).reset();
        }
        drop(come("clients that were gone at once"));
    }
}

#[cfg(feature = "http2")]
#[test]
fn whoever_leaves_over_http_2_makes_room() {
    let server = start(at_most(1));
    let mut number = 0;
    let mut connect = || {
        let mut client = None;
        wait_until(&format!("number {number} is served"), || {
            let mut next = Client::connect(server.address);
            next.send_raw("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
            // A frame of SETTINGS begins with its length, an answer of HTTP/1.1 with its name.
            let is_served = next.read_bytes(1) == [0];
            client = is_served.then_some(next);
            is_served
        });
        number += 1;
        client.expect("it is served")
    };
    for _ in 0..5 {
        drop(connect());
        connect().reset();
        let mut client = connect();
        // An error of the connection: DATA for no stream.
        client.send_raw(b"\0\0\0\0\0\0\0\0\0");
        client.read_to_end_or_reset();
        drop(client);
        let mut client = connect();
        client.send_raw(b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0");
        client.read_to_end_or_reset();
    }
    drop(connect());
    // Streams are nobody's connection.
    let mut streams = None;
    wait_until("the last one is gone", || {
        let mut next = Client::connect(server.address);
        let is_served = is_served(&mut next);
        drop(next);
        is_served
    });
    wait_until("the place is free", || {
        let next = std::panic::catch_unwind(|| Http2Client::connect(server.address));
        streams = next.ok();
        streams.is_some()
    });
    let mut streams = streams.expect("it is served");
    let all: Vec<_> = (0..50).map(|_| streams.ask("/")).collect();
    for stream in all {
        assert_eq!(streams.read_response(stream).status, 200);
    }
}

#[cfg(feature = "tls")]
fn start_tls(address: &str, config: Config) -> (TestServer, Authority) {
    let (authority, secure) = localhost();
    let server = TestServer::start_at(address, |host, _| {
        Server::new().config(config).host(secure(host).add(page))
    });
    (server, authority)
}

#[cfg(feature = "tls")]
#[test]
fn whoever_leaves_over_tls_makes_room_and_who_is_too_many_is_closed() {
    let (server, authority) = start_tls("127.0.0.1:0", at_most(1));
    let config = authority.config();
    let connect = || TlsClient::connect(server.address, &config, "localhost");
    let mut number = 0;
    let mut open = || {
        let mut client = None;
        wait_until(&format!("number {number} is served"), || {
            let mut next = connect();
            let is_served = shakes_hands(&mut next);
            client = is_served.then_some(next);
            is_served
        });
        number += 1;
        client.expect("it is served")
    };
    for _ in 0..5 {
        let mut first = open();
        for _ in 0..20 {
            assert!(!shakes_hands(&mut connect()));
        }
        first.send(GET);
        assert_eq!(first.read(15), b"HTTP/1.1 200 OK");
        drop(first);
        let mut client = open();
        client.send_close_notify();
        client.read_to_end();
        drop(client);
        open().into_client().reset();
        // Handshakes that come to nothing: garbage, plain HTTP, half of one.
        drop(open());
        for bytes in [
            &b"\x16\x03\x01\0\x05garbage"[..],
            GET.as_bytes(),
            b"\x16\x03",
        ] {
            let mut client = Client::from_stream(connect().stream);
            client.try_send_raw(bytes);
            client.try_shut_down_write();
            client.read_to_end_or_reset();
        }
    }
    drop(open());
}

#[cfg(feature = "tls")]
fn shakes_hands(client: &mut TlsClient) -> bool {
    let records = client.records();
    if client.stream.write_all(&records).is_err() {
        return false;
    }
    while client.tls.is_handshaking() {
        match client.tls.read_tls(&mut client.stream) {
            Ok(1..) => {}
            Ok(0) | Err(_) => return false,
        }
        client.tls.process_new_packets().expect("records");
        let records = client.records();
        if client.stream.write_all(&records).is_err() {
            return false;
        }
    }
    true
}

#[cfg(feature = "tls")]
#[test]
fn behind_a_proxy_it_is_the_client_that_counts_over_tls_too() {
    let (server, authority) = start_tls("127.0.0.1:0?proxy-protocol", at_most(1));
    let config = authority.config();
    let connect = |ip: &str| {
        let mut client = TlsClient::connect(server.address, &config, "localhost");
        client.send_raw(format!("PROXY TCP4 {ip} 192.0.2.99 1234 443\r\n").as_bytes());
        client
    };
    for _ in 0..5 {
        let clients = ["192.0.2.1", "192.0.2.2"].map(|ip| {
            let mut client = connect(ip);
            wait_until("it is served", || {
                let is_served = shakes_hands(&mut client);
                if !is_served {
                    client = connect(ip);
                }
                is_served
            });
            client
        });
        assert!(!shakes_hands(&mut connect("192.0.2.1")));
        assert!(!shakes_hands(&mut connect("192.0.2.2")));
        drop(clients);
        wait_until("both are gone", || {
            ["192.0.2.1", "192.0.2.2"]
                .iter()
                .all(|ip| shakes_hands(&mut connect(ip)))
        });
    }
}

/// They speak for many.
#[test]
fn trusted_proxies_and_unix_sockets_are_not_counted() {
    let config = Config {
        trusted_proxies: vec!["127.0.0.0/8".parse::<TrustedProxy>().expect("a network")],
        ..at_most(1)
    };
    let server = start(config);
    let mut clients: Vec<_> = (0..10).map(|_| Client::connect(server.address)).collect();
    assert!(clients.iter_mut().all(is_served));

    let path = std::env::temp_dir().join(format!("aerys-addresses-{}", std::process::id()));
    let _server = start_at(&format!("unix:{}", path.display()), at_most(1));
    let mut clients: Vec<_> = (0..10).map(|_| Client::connect_unix(&path)).collect();
    assert!(clients.iter_mut().all(is_served));
}

/// Few of those who are refused are waited for, however many come, and whether or not they read.
#[test]
fn a_flood_from_one_address_keeps_nobody_else_out() {
    let config = Config {
        max_connections: Some(10),
        ..at_most(3)
    };
    let server = start(config);
    let _three: Vec<_> = (0..3)
        .map(|_| Client::open(server.address, "/ws"))
        .collect();
    let flood: Vec<_> = (0..200).map(|_| Client::connect(server.address)).collect();
    for client in &flood {
        // They are there to stay.
        SockRef::from(&client.writer())
            .set_linger(None)
            .expect("a TCP socket");
    }
    #[cfg(target_os = "linux")]
    for last in 2..=8 {
        let mut other = Client::connect_from(([127, 0, 0, last], 0).into(), server.address);
        assert!(is_served(&mut other), "{last}");
    }
}
