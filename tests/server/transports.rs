//! Clients of every transport on one endpoint: HTTP/1.1 and HTTP/2, each with and without TLS. What
//! they are sent is the same, byte by byte.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use aerys::{
    ClientId, Config, Endpoint, Everyone, Frame, Request, Response, Server, WebSocketConfig,
};

use crate::client::{BINARY, Client, TEXT, pattern, read_frame, server_frame};
use crate::http2_client::{HEADERS, Http2Client, NO_ERROR, PREFACE, SETTINGS, raw_frame};
use crate::http2_fields;
use crate::support::{Event, TestServer, broadcast, echo};
use crate::tls::{endpoint, telling};
use crate::tls_client::{ALL_VERSIONS, Authority, End, TlsClient, localhost};

/// A connection of HTTP/2 over TLS, as ALPN agreed on it.
fn connect_http2_over_tls(server: &TestServer, authority: &Authority) -> TlsClient {
    let mut config = authority.client_config(ALL_VERSIONS);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let client = TlsClient::open(server.address, &Arc::new(config));
    assert_eq!(client.tls.alpn_protocol(), Some(&b"h2"[..]));
    client
}

fn http2_over_tls(server: &TestServer, authority: &Authority) -> Http2Client {
    Http2Client::over(connect_http2_over_tls(server, authority).into_client(), &[])
}

/// A WebSocket, whatever carries it.
enum Peer {
    Connection(Client),
    Stream(Rc<RefCell<Http2Client>>, u32),
}

impl Peer {
    fn send(&mut self, opcode: u8, payload: impl AsRef<[u8]>) {
        let payload = payload.as_ref();
        match self {
            Self::Connection(client) => client.send(true, opcode, payload),
            Self::Stream(client, stream) => {
                client.borrow_mut().send_message(*stream, opcode, payload);
            }
        }
    }

    fn read_bytes(&mut self, len: usize) -> Vec<u8> {
        match self {
            Self::Connection(client) => client.read_bytes(len),
            Self::Stream(client, stream) => client.borrow_mut().read_bytes(*stream, len),
        }
    }

    fn read_text(&mut self) -> String {
        match self {
            Self::Connection(client) => client.read_text(),
            Self::Stream(client, stream) => client.borrow_mut().read_text(*stream),
        }
    }
}

/// Two of each, of HTTP/2 on one connection, and one on a connection of HTTP/2 of its own; with
/// their ids.
fn peers(server: &TestServer, authority: &Authority) -> Vec<(Peer, ClientId)> {
    let plain = server.other_address.expect("a second address");
    let mut peers = Vec::new();
    let mut add = |peer| loop {
        if let Event::Open(id, _) = server.event() {
            peers.push((peer, id));
            return;
        }
    };
    for _ in 0..2 {
        add(Peer::Connection(Client::open(plain, "/")));
        let tls = TlsClient::open(server.address, &authority.config());
        let mut client = tls.into_client();
        client.upgrade("/");
        add(Peer::Connection(client));
    }
    let connections = [
        (Http2Client::connect(plain), 2),
        (http2_over_tls(server, authority), 2),
        (Http2Client::connect(plain), 1),
        (http2_over_tls(server, authority), 1),
    ];
    for (client, streams) in connections {
        let client = Rc::new(RefCell::new(client));
        for _ in 0..streams {
            let stream = client.borrow_mut().open_websocket("/");
            add(Peer::Stream(Rc::clone(&client), stream));
        }
    }
    peers
}

/// Room for all that a test has waiting while it reads from one peer after the other.
fn roomy() -> WebSocketConfig {
    WebSocketConfig {
        soft_backlog_bytes: 64 << 20,
        hard_backlog_bytes: 64 << 20,
        ..WebSocketConfig::default()
    }
}

#[test]
fn everyone_gets_the_same_bytes_in_the_same_order() {
    let (server, authority) = endpoint(Config::default(), roomy(), broadcast);
    let mut peers = peers(&server, &authority);
    let large = pattern(1 << 20);
    let mut len = 0;
    for number in 0..20 {
        for (index, (peer, _)) in peers.iter_mut().enumerate() {
            let text = format!("{index}: {number}");
            peer.send(TEXT, &text);
            len += server_frame(TEXT, text.as_bytes()).len();
            let piece = &large[..number * 1000];
            peer.send(BINARY, piece);
            len += server_frame(BINARY, piece).len();
        }
    }
    peers[7].0.send(BINARY, &large);
    len += server_frame(BINARY, &large).len();
    let first = peers[0].0.read_bytes(len);
    for (index, (peer, _)) in peers.iter_mut().enumerate().skip(1) {
        assert!(peer.read_bytes(len) == first, "peer {index}");
    }
    // And it is what was sent: by each sender, in its order.
    let mut at = 0;
    let mut read = |len| {
        at += len;
        first[at - len..at].to_vec()
    };
    let mut next = vec![0; peers.len()];
    while next.iter().any(|number| *number < 20) {
        let frame = read_frame(&mut read);
        if frame.opcode == TEXT {
            let text = String::from_utf8(frame.payload).expect("text");
            let (index, number) = text.split_once(": ").expect("two numbers");
            let next = &mut next[index.parse::<usize>().expect("a number")];
            assert_eq!(number, next.to_string());
            *next += 1;
        } else {
            assert!(large.starts_with(&frame.payload));
        }
    }
}

#[test]
fn recipients_are_told_apart_whatever_carries_them() {
    let prepared = Frame::text("prepared");
    let react = move |ws: &Endpoint, event: &Event| {
        let Event::Text(sender, text) = event else {
            return;
        };
        let clients = ws.clients();
        let every_third: Vec<_> = clients.iter().copied().step_by(3).collect();
        match text.as_str() {
            "one" => ws.send(*sender, "one"),
            "list" => ws.send(&every_third, "list"),
            "except list" => ws.send(Everyone.except(&every_third), "except list"),
            "except" => ws.send(Everyone.except(&[*sender]), "except"),
            "frame" => ws.send(Everyone, &prepared),
            _ => {}
        }
    };
    let (server, authority) = endpoint(Config::default(), roomy(), react);
    let mut peers = peers(&server, &authority);
    // In the order of `clients()`, which need not be that of their coming.
    peers.sort_by_key(|(_, id)| *id);
    for sender in 0..peers.len() {
        for what in ["one", "list", "except list", "except", "frame"] {
            peers[sender].0.send(TEXT, what);
            // One after the other, since they come on several connections.
            for (index, (peer, _)) in peers.iter_mut().enumerate() {
                let is_sent = match what {
                    "one" => index == sender,
                    "list" => index % 3 == 0,
                    "except list" => index % 3 != 0,
                    "except" => index != sender,
                    _ => true,
                };
                let expected = if what == "frame" { "prepared" } else { what };
                if is_sent {
                    assert_eq!(peer.read_text(), expected, "{index} by {sender}");
                }
            }
        }
    }
}

#[test]
fn broadcasts_and_direct_sends_keep_their_order_for_each() {
    const ROUNDS: usize = 200;
    let react = |ws: &Endpoint, event: &Event| {
        let Event::Text(sender, _) = event else {
            return;
        };
        for number in 0..ROUNDS {
            ws.broadcast(format!("{number} to all"));
            for client in ws.clients() {
                ws.send(client, format!("{number} to {client}"));
            }
            ws.send(Everyone.except(&[*sender]), format!("{number} to others"));
        }
    };
    let (server, authority) = endpoint(Config::default(), roomy(), react);
    let mut peers = peers(&server, &authority);
    peers[5].0.send(TEXT, "go");
    for (index, (peer, id)) in peers.iter_mut().enumerate() {
        for number in 0..ROUNDS {
            assert_eq!(peer.read_text(), format!("{number} to all"));
            assert_eq!(peer.read_text(), format!("{number} to {id}"));
            if index != 5 {
                assert_eq!(peer.read_text(), format!("{number} to others"));
            }
        }
    }
}

#[test]
fn each_is_told_once_when_its_peer_leaves() {
    let (server, authority) = endpoint(Config::default(), roomy(), echo);
    let mut peers = peers(&server, &authority);
    let (last, last_id) = peers.pop().expect("some");
    let mut ids: Vec<_> = peers.iter().map(|(_, id)| *id).collect();
    drop(peers);
    let mut closed: Vec<_> = ids.iter().map(|_| server.close_event()).collect();
    assert!(closed.iter().all(|(_, code, _)| *code == 1006));
    ids.sort_unstable();
    closed.sort_unstable_by_key(|(id, ..)| *id);
    assert!(closed.iter().map(|(id, ..)| id).eq(&ids));
    drop(last);
    assert_eq!(server.close_event().0, last_id);
    assert_eq!(server.remaining_events(), []);
}

#[test]
fn a_stop_says_good_bye_to_each() {
    let react = |ws: &Endpoint, event: &Event| {
        if let Event::Stop = event {
            ws.broadcast("bye");
        }
    };
    let (mut server, authority) = endpoint(Config::default(), roomy(), react);
    let mut peers = peers(&server, &authority);
    server.stop();
    for (peer, _) in &mut peers {
        assert_eq!(peer.read_text(), "bye");
        match peer {
            Peer::Connection(client) => {
                client.expect_close(1001);
                client.send_close(1001);
                client.expect_eof();
            }
            Peer::Stream(client, stream) => {
                let mut client = client.borrow_mut();
                client.expect_close(*stream, 1001);
                client.send_close(*stream, 1001);
                client.expect_end(*stream);
                client.send_piece(*stream, b"", true);
            }
        }
    }
    for (peer, _) in peers {
        if let Peer::Stream(client, _) = peer
            && let Some(client) = Rc::into_inner(client)
        {
            let mut client = client.into_inner();
            client.expect_go_away(NO_ERROR);
            client.expect_eof();
        }
    }
    server.join().expect("it ends in time");
}

#[test]
fn http_2_over_tls_is_encrypted_to_a_handler() {
    let (server, authority) = telling(Config::default());
    let mut client = http2_over_tls(&server, &authority);
    let streams = [(); 20].map(|()| client.ask("/a?b"));
    for stream in streams {
        assert_eq!(client.read_response(stream).body, b"https /a?b");
    }
    // Who agrees on nothing, or on HTTP/1.1, is spoken to in HTTP/1.1.
    let mut config = authority.client_config(ALL_VERSIONS);
    for offered in [vec![], vec![b"http/1.1".to_vec()]] {
        config.alpn_protocols = offered;
        let tls = TlsClient::open(server.address, &Arc::new(config.clone()));
        assert_eq!(tls.into_client().get("/a?b").body, b"https /a?b");
    }
}

/// Larger than the windows, the records and what waits for the socket.
#[test]
fn large_bodies_go_both_ways_over_tls() {
    let (authority, secure) = localhost();
    let config = Config {
        max_body_bytes: 4 << 20,
        ..Config::default()
    };
    let server = TestServer::start(|host, _| {
        let mirror = |request: &mut Request, response: &mut Response| {
            response.end(request.take_body());
        };
        Server::new().config(config).host(secure(host).add(mirror))
    });
    let mut client = http2_over_tls(&server, &authority);
    let body = pattern(3 << 20);
    for _ in 0..2 {
        assert!(client.post("/", &body).body == body);
    }
}

/// What follows the client's `close_notify` is nothing; the server answers with its own.
#[test]
fn the_end_of_a_connection_over_tls_is_no_truncation() {
    let (server, authority) = telling(Config {
        keep_alive_timeout: Duration::from_millis(200),
        ..Config::default()
    });
    let mut tls = connect_http2_over_tls(&server, &authority);
    tls.send(PREFACE);
    tls.send(raw_frame(SETTINGS, 0, 0, b""));
    let mut get = http2_fields::encode(&[
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", "/"),
    ]);
    get = raw_frame(HEADERS, 0x5, 1, &get);
    tls.send(get);
    let (bytes, end) = tls.read_to_end();
    assert_eq!(end, End::Orderly);
    assert!(bytes.windows(7).any(|seven| seven == b"https /"));
}

/// The carrier says nothing more then: its streams are lost with it, and nothing of them is left.
#[test]
fn the_streams_of_a_connection_end_with_its_session() {
    let (mut server, authority) = endpoint(Config::default(), roomy(), echo);
    let mut tls = connect_http2_over_tls(&server, &authority);
    tls.send(PREFACE);
    tls.send(raw_frame(SETTINGS, 0, 0, b""));
    let connect = http2_fields::encode(&[
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", "/"),
        ("sec-websocket-version", "13"),
    ]);
    for stream in [1, 3] {
        tls.send(raw_frame(HEADERS, 0x4, stream, &connect));
        while !matches!(server.event(), Event::Open(..)) {}
    }
    let mut record = tls.seal("x");
    *record.last_mut().expect("a record") ^= 1;
    tls.send_raw(&record);
    for _ in 0..2 {
        assert_eq!(server.close_event().1, 1006);
    }
    drop(tls);
    server.stop();
    server.join().expect("nobody is left to be cut");
}

#[test]
fn both_versions_are_spoken_at_one_port_without_tls() {
    let server = TestServer::http(
        Config::default(),
        |request: &mut Request, response: &mut Response| {
            response.end(format!("{:?}", request.version()));
        },
    );
    let mut one = Client::connect(server.address);
    let mut two = Http2Client::connect(server.address);
    for _ in 0..3 {
        assert_eq!(one.get("/").body, b"HTTP/1.1");
        assert_eq!(two.get("/").body, b"HTTP/2.0");
    }
    // Byte by byte it is no other, and what is only like it is a request.
    let mut client = Client::connect(server.address);
    client.send_bytewise(&PREFACE[..20]);
    client.send_bytewise(&PREFACE[20..]);
    client.send_bytewise(raw_frame(SETTINGS, 0, 0, b""));
    let start = client.read_bytes(9);
    assert_eq!((start[3], &start[5..]), (SETTINGS, &[0; 4][..]), "SETTINGS");
    let mut client = Client::connect(server.address);
    client.send_raw("PRI * HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.read_response().status >= 400);
}
