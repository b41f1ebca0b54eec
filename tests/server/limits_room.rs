//! A newcomer where all places are taken: who was answered and is idle leaves for it.

use aerys::{Config, Request, Response, Router, Server, websocket};

use crate::client::Client;
#[cfg(feature = "http2")]
use crate::http2_client::{Http2Client, NO_ERROR};
use crate::support::{Recorder, TestServer, echo};
#[cfg(feature = "tls")]
use crate::tls_client::{End, TlsClient, localhost};

fn start(places: usize) -> TestServer {
    TestServer::start(move |host, events| {
        let page = |_: &mut Request, response: &mut Response| _ = response.end("page");
        let router = Router::new()
            .get("/", page)
            .get("/ws", websocket(|ws| Recorder::new(ws, events, echo)));
        let config = Config {
            max_connections: Some(places),
            ..Config::default()
        };
        Server::new().config(config).host(host.add(router))
    })
}

#[test]
fn an_idle_connection_ends_in_order_for_a_newcomer() {
    let server = start(2);
    let mut websocket = Client::open(server.address, "/ws");
    let mut idle = Client::connect(server.address);
    for _ in 0..20 {
        assert_eq!(idle.get("/").status, 200);
        let mut newcomer = Client::connect(server.address);
        assert_eq!(newcomer.get("/").status, 200);
        // A FIN, and no reset.
        idle.expect_eof();
        idle = newcomer;
    }
    websocket.send_text("still served");
    assert_eq!(websocket.read_text(), "still served");
}

#[test]
fn who_is_open_or_has_not_asked_yet_does_not_leave() {
    let server = start(2);
    let mut websocket = Client::open(server.address, "/ws");
    let mut new = Client::connect(server.address);
    for _ in 0..20 {
        let mut refused = Client::connect(server.address);
        let answer = refused.read_response();
        assert_eq!(
            (answer.status, answer.field("Retry-After")),
            (503, Some("1"))
        );
        refused.expect_eof();
    }
    websocket.send_text("still served");
    assert_eq!(websocket.read_text(), "still served");
    new.upgrade("/ws");
    new.send_text("served");
    assert_eq!(new.read_text(), "served");
}

#[cfg(feature = "http2")]
#[test]
fn an_idle_connection_of_http_2_is_told_to_go_away() {
    let server = start(1);
    let mut idle = Http2Client::connect(server.address);
    assert_eq!(idle.get("/").status, 200);
    let mut newcomer = Http2Client::connect(server.address);
    idle.expect_go_away(NO_ERROR);
    idle.expect_eof();
    // One with a stream is not idle.
    assert_eq!(newcomer.get("/").status, 200);
    let stream = newcomer.ask_websocket("/ws", &[]);
    assert_eq!(newcomer.read_head(stream).0.status, 200);
    let mut refused = Client::connect(server.address);
    assert_eq!(refused.read_response().status, 503);
    newcomer.send_text(stream, "still served");
    assert_eq!(newcomer.read_text(stream), "still served");
}

#[cfg(feature = "tls")]
#[test]
fn an_idle_connection_of_tls_leaves_for_a_newcomer_too() {
    let start = || {
        let (authority, secure) = localhost();
        let server = TestServer::start(|host, _| {
            let page = |_: &mut Request, response: &mut Response| _ = response.end("page");
            let config = Config {
                max_connections: Some(1),
                ..Config::default()
            };
            Server::new().config(config).host(secure(host).add(page))
        });
        (server, authority)
    };
    let (server, authority) = start();
    let open = || TlsClient::open(server.address, &authority.config());
    let mut idle = open();
    for _ in 0..10 {
        idle.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        while !idle.read(1).ends_with(b"\n") {}
        let newcomer = open();
        let (rest, end) = idle.read_to_end();
        assert!(rest.ends_with(b"page"));
        assert_eq!(end, End::Orderly);
        idle = newcomer;
    }
    // With a part of a record nobody is idle, nor amid a handshake.
    idle.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut answer = Vec::new();
    while !answer.ends_with(b"page") {
        answer.extend(idle.read(1));
    }
    let record = idle.seal("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    idle.send_raw(&record[..20]);
    for _ in 0..10 {
        let mut refused = Client::connect(server.address);
        assert_eq!(refused.read_to_end_or_reset(), b"");
    }
    idle.send_raw(&record[20..]);
    assert_eq!(idle.read(15), b"HTTP/1.1 200 OK");
    let (server, authority) = start();
    let mut slow = TlsClient::connect(server.address, &authority.config(), "localhost");
    let hello = slow.records();
    slow.send_raw(&hello[..20]);
    let mut refused = Client::connect(server.address);
    refused.try_send_raw("GET / HTTP/1.1\r\n\r\n");
    assert_eq!(refused.read_to_end_or_reset(), b"");
}

/// They wait for as long as they are many, whoever comes to another address does not.
#[test]
fn a_crowd_at_one_address_does_not_keep_those_out_who_come_to_another() {
    let server = TestServer::start(|host, _| {
        let config = Config {
            max_connections_per_second: Some(20),
            ..Config::default()
        };
        let host = host
            .listen("127.0.0.1:0")
            .add(|_: &mut Request, response: &mut Response| {
                response.end("page");
            });
        Server::new().config(config).host(host)
    });
    let mut crowd: Vec<_> = (0..100).map(|_| Client::connect(server.address)).collect();
    for client in &mut crowd {
        client.send_raw("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
    let mut other = Client::connect(server.other_address.expect("another"));
    assert_eq!(other.get("/").status, 200);
    let last = crowd.last_mut().expect("one");
    assert!(!last.has_input(), "the whole crowd came first");
    assert_eq!(last.read_response().status, 200);
}

/// Of a Unix socket the kernel says so at once; of TCP it lets newcomers wait.
#[cfg(target_os = "linux")]
#[test]
fn those_who_wait_in_the_kernel_are_as_many_as_may() {
    use socket2::{Domain, SockAddr, Socket, Type};
    let path = std::env::temp_dir().join(format!("aerys-backlog-{}", std::process::id()));
    let begun = std::time::Instant::now();
    let config = Config {
        listen_backlog: 5,
        // Others wait.
        max_connections_per_second: Some(1),
        ..Config::default()
    };
    let _server = TestServer::start_at(&format!("unix:{}", path.display()), |host, _| {
        Server::new().config(config).host(host)
    });
    let address = SockAddr::unix(&path).expect("a short path");
    let connected: Vec<_> = (0..30)
        .filter_map(|_| {
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
            socket.set_nonblocking(true).expect("a socket");
            socket.connect(&address).is_ok().then_some(socket)
        })
        .collect();
    let accepted = usize::try_from(begun.elapsed().as_secs()).expect("few") + 1;
    // Linux lets one more wait than it is told.
    let expected = 5..=6 + accepted;
    assert!(expected.contains(&connected.len()), "{}", connected.len());
}
