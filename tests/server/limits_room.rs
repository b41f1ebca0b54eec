//! A newcomer where all places are taken: who was answered and is idle leaves for it.

use aerys::{Config, Request, Response, Router, Server, websocket};

use crate::client::{Client, handshake};
#[cfg(feature = "http2")]
use crate::http2_client::{Http2Client, NO_ERROR};
use crate::support::{Recorder, TestServer, echo};
#[cfg(feature = "tls")]
use crate::tls_client::{TlsClient, localhost};

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
    let mut idle = TlsClient::open(server.address, &authority.config()).into_client();
    for _ in 0..10 {
        assert_eq!(idle.get("/").status, 200);
        let newcomer = TlsClient::open(server.address, &authority.config());
        idle.expect_eof();
        idle = newcomer.into_client();
    }
    // Amid its handshake nobody is idle.
    let (server, authority) = start();
    let mut slow = TlsClient::connect(server.address, &authority.config(), "localhost");
    let hello = slow.records();
    slow.send_raw(&hello[..20]);
    let mut refused = Client::connect(server.address);
    refused.try_send_raw(handshake("/"));
    assert_eq!(refused.read_to_end_or_reset(), b"");
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
