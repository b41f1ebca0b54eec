//! A server that becomes another while it runs: who is there stays, who comes sees the new one.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt as _;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};

use aerys::{
    ClientId, Compression, Config, Endpoint, Host, Message, RemoteError, Request, Responder,
    Response, Router, Server, ServerEvent, StartError, WebSocket, WebSocketConfig,
    WebSocketHandler, websocket,
};

use crate::client::{Client, PATIENCE, handshake_with};
use crate::support::{TestServer, expect_refused};

/// What becomes of the server at each reload, and how that went.
struct Reloads {
    server: TestServer,
    outcomes: Receiver<Result<Vec<String>, String>>,
    reloaded: Receiver<ServerEvent>,
}

impl Reloads {
    /// A server whose `number`-th self is what `make` says; with the address that it has.
    fn start<S: 'static>(
        state: impl FnOnce() -> S + Send + 'static,
        make: impl Fn(&S, Host, usize) -> Server + Send + 'static,
    ) -> Self {
        let (outcome, outcomes) = channel();
        let (told, reloaded) = channel();
        let server = TestServer::start(move |host, _| {
            let state = state();
            let first = make(&state, host, 0);
            let mut number = 0;
            let first = first.observe(None, move |event| {
                let _: Result<_, _> = told.send(event);
            });
            first.on_reload(move |reloading| {
                number += 1;
                let next = make(&state, Host::new().listen("127.0.0.1:0"), number);
                let became = reloading.become_server(next);
                let addresses = reloading.addresses().into_iter();
                let addresses = addresses.map(|(address, _)| address.to_string()).collect();
                let became = became
                    .map(|()| addresses)
                    .map_err(|error| error.to_string());
                let _: Result<_, _> = outcome.send(became);
            })
        });
        Self {
            server,
            outcomes,
            reloaded,
        }
    }

    /// Reloads; where it listens then.
    fn reload(&self) -> Result<Vec<String>, String> {
        self.server.handle.reload();
        let outcome = self.outcomes.recv_timeout(PATIENCE).expect("it reloads");
        let events = || self.reloaded.recv_timeout(PATIENCE).expect("an event");
        while events() != ServerEvent::Reloaded {}
        outcome
    }

    fn connect(&self) -> Client {
        Client::connect(self.server.address)
    }
}

/// A responder that says which it is, and how long the body was.
fn say(number: usize) -> impl Responder + 'static {
    move |request: &mut Request, response: &mut Response| {
        response.end(format!("{number}: {}", request.body().len()));
    }
}

#[test]
fn a_request_under_way_is_answered_by_the_host_that_it_began_with() {
    let reloads = Reloads::start(
        || (),
        |(), host, number| Server::new().host(host.add(say(number))),
    );
    let mut idle = reloads.connect();
    assert_eq!(idle.get("/").body, b"0: 0");
    let mut begun = reloads.connect();
    begun.send_raw("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345");
    let mut half = reloads.connect();
    half.send_raw("GET / HTTP/1.1\r\nHo");
    // Answered behind both, since they came first.
    assert_eq!(reloads.connect().get("/").body, b"0: 0");
    for number in 1..4 {
        assert_eq!(reloads.reload().expect("it may").len(), 1);
        for client in [&mut idle, &mut reloads.connect()] {
            assert_eq!(client.get("/").body, format!("{number}: 0").as_bytes());
        }
    }
    begun.send_raw("67890");
    assert_eq!(begun.read_response().body, b"0: 10");
    half.send_raw("st: a\r\n\r\n");
    assert_eq!(half.read_response().body, b"0: 0");
    // What begins now is for who is there now.
    for client in [&mut begun, &mut half] {
        assert_eq!(client.get("/").body, b"3: 0");
    }
}

/// Sends all that comes to everybody, and says where it was started.
struct Room {
    ws: Endpoint,
    name: &'static str,
}

impl WebSocketHandler for Room {
    type HandshakeData = ();

    fn on_start(&mut self) -> Result<(), StartError> {
        match self.name {
            "bad" => Err("it is bad".into()),
            _ => Ok(()),
        }
    }

    fn on_handshake(&mut self, _: &Request, _: &mut Response) -> Option<()> {
        Some(())
    }

    fn on_data(&mut self, _: ClientId, message: Message<'_>) {
        let text = format!("{} {}", self.name, message.to_text());
        self.ws.broadcast(text);
    }
}

fn room(name: &'static str) -> WebSocket<Room> {
    let compression = Some(Compression::default());
    websocket(|ws| Room { ws, name }).config(WebSocketConfig {
        compression,
        ..WebSocketConfig::default()
    })
}

#[test]
fn websockets_stay_with_their_endpoint_which_takes_new_clients_too() {
    let reloads = Reloads::start(
        || room("room"),
        |room, host, number| {
            let (body, path) = (say(number), if number == 0 { "/a" } else { "/b" });
            Server::new().host(host.add(Router::new().get(path, room.clone())).add(body))
        },
    );
    let mut old = Client::open(reloads.server.address, "/a");
    reloads.reload().expect("it may");
    assert_eq!(
        reloads.connect().get("/a").status,
        200,
        "no endpoint any more"
    );
    let mut new = Client::open(reloads.server.address, "/b");
    for text in ["one", "other"] {
        old.send_text(text);
        for client in [&mut old, &mut new] {
            assert_eq!(client.read_text(), format!("room {text}"));
        }
    }
}

#[test]
fn an_endpoint_that_is_new_is_one_of_its_own_and_one_that_is_gone_serves_on() {
    let reloads = Reloads::start(
        || (),
        |(), host, number| Server::new().host(host.add(room(["first", "second", "third"][number]))),
    );
    let mut rooms = vec![Client::open(reloads.server.address, "/")];
    for _ in 0..2 {
        // Whose messages are compressed is in a log of its own, beside those of endpoints.
        let mut compressed = reloads.connect();
        let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
        compressed.send_raw(handshake_with("/", offer));
        assert!(
            compressed
                .read_response()
                .field("Sec-WebSocket-Extensions")
                .is_some()
        );
        reloads.reload().expect("it may");
        rooms.push(Client::open(reloads.server.address, "/"));
    }
    for (client, name) in rooms.iter_mut().zip(["first", "second", "third"]) {
        client.send_text("hello");
        assert_eq!(client.read_text(), format!("{name} hello"));
    }
    for client in &mut rooms {
        client.send_close(1000);
        client.expect_close(1000);
    }
}

#[test]
fn what_cannot_be_changes_nothing() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    let occupied = address.clone();
    let reloads = Reloads::start(
        || room("good"),
        move |good, host, number| {
            let host = host.add(say(number));
            Server::new().host(match number {
                0 => host.add(good.clone()),
                1 => host.listen(&occupied),
                2 => host.add(room("first")).add(room("bad")),
                3 => host.name("a b"),
                _ => Host::new(),
            })
        },
    );
    for problem in [
        &*address,
        "it is bad",
        "\"a b\" is no name",
        "no host has an address",
    ] {
        let mut client = reloads.connect();
        client.send_raw("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n1");
        let error = reloads.reload().expect_err("it is wrong");
        assert!(error.contains(problem), "{error}");
        client.send_raw("2");
        assert_eq!(client.read_response().body, b"0: 2");
        assert_eq!(reloads.connect().get("/").body, b"0: 0");
    }
}

#[test]
fn listeners_come_and_go_and_leave_whom_they_brought() {
    let reloads = Reloads::start(
        || room("room"),
        |room, host, number| {
            let host = match number {
                0 => host.listen("127.0.0.2:0"),
                1 => Host::new().listen("127.0.0.3:0").listen("127.0.0.1:0"),
                _ => host,
            };
            let router = Router::new().get("/room", room.clone());
            Server::new().host(host.add(router).add(say(number)))
        },
    );
    let other = reloads.server.other_address.expect("a second one");
    let mut websocket = Client::open(other, "/room");
    let mut idle = Client::connect(other);
    assert_eq!(idle.get("/").body, b"0: 0");
    let mut begun = Client::connect(other);
    begun.send_raw("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n1");
    assert_eq!(Client::connect(other).get("/").body, b"0: 0");

    let addresses = reloads.reload().expect("it may");
    let [third, first] = &addresses[..] else {
        panic!("{addresses:?}")
    };
    assert_eq!(*first, reloads.server.address.to_string());
    expect_refused(other);
    idle.expect_eof();
    begun.send_raw("2");
    assert_eq!(begun.read_response().body, b"0: 2");
    let last = begun.get("/");
    assert_eq!(
        (last.status, last.field("Connection")),
        (421, Some("close"))
    );
    let mut there = Client::connect(third.parse().expect("an address"));
    assert_eq!(there.get("/").body, b"1: 0");
    assert_eq!(reloads.connect().get("/").body, b"1: 0");
    websocket.send_text("still here");
    assert_eq!(websocket.read_text(), "room still here");

    assert_eq!(reloads.reload().expect("it may").len(), 1);
    there.expect_eof();
    assert_eq!(reloads.connect().get("/").body, b"2: 0");
}

#[test]
fn limits_and_options_count_from_then_on() {
    let reloads = Reloads::start(
        || room("room"),
        |room, host, number| {
            let config = Config {
                max_body_bytes: [10, 20][number],
                max_connections: [None, Some(2)][number],
                ..Config::default()
            };
            let room = room.clone().config(WebSocketConfig {
                max_message_bytes: [100, 5][number],
                ..WebSocketConfig::default()
            });
            let router = Router::new().get("/room", room);
            Server::new()
                .config(config)
                .host(host.add(router).add(say(number)))
        },
    );
    let mut websocket = Client::open(reloads.server.address, "/room");
    let mut client = reloads.connect();
    assert_eq!(client.post("/", [b'a'; 11]).status, 413);
    websocket.send_text("123456");
    assert_eq!(websocket.read_text(), "room 123456");
    drop(client);
    reloads.reload().expect("it may");
    let mut client = reloads.connect();
    assert_eq!(client.post("/", [b'a'; 20]).status, 200);
    websocket.send_text("12345");
    assert_eq!(websocket.read_text(), "room 12345");
    // Amid a request it is not idle, and nobody is sent away for the next one.
    client.send_raw("GET / HTTP/1.1\r\n");
    assert_eq!(reloads.connect().read_response().status, 503);
    websocket.send_text("123456");
    websocket.expect_close(1009);
}

/// All addresses of the machine in place of one: that one holds the port until they do.
#[cfg(target_os = "linux")]
#[test]
fn an_address_takes_the_place_of_another_on_the_same_port() {
    static PORT: OnceLock<u16> = OnceLock::new();
    let reloads = Reloads::start(
        || (),
        |(), host, number| {
            let host = match number {
                1 => Host::new().listen(format!("0.0.0.0:{}", PORT.get().expect("it began"))),
                2 => Host::new().listen(format!("127.0.0.2:{}", PORT.get().expect("it began"))),
                _ => host,
            };
            Server::new().host(host.add(say(number)))
        },
    );
    let port = reloads.server.address.port();
    PORT.set(port).expect("once");
    let mut idle = reloads.connect();
    assert_eq!(idle.get("/").body, b"0: 0");
    assert_eq!(
        reloads.reload().expect("it may"),
        [format!("0.0.0.0:{port}")]
    );
    idle.expect_eof();
    let other = SocketAddr::from(([127, 0, 0, 2], port));
    for address in [reloads.server.address, other] {
        assert_eq!(Client::connect(address).get("/").body, b"1: 0");
    }
    assert_eq!(
        reloads.reload().expect("it may"),
        [format!("127.0.0.2:{port}")]
    );
    expect_refused(reloads.server.address);
    assert_eq!(Client::connect(other).get("/").body, b"2: 0");
}

#[test]
fn the_file_of_a_unix_socket_stays_and_has_the_mode_that_is_asked_for_now() {
    let name = format!("aerys-reloads-{}.sock", std::process::id());
    let path = std::env::temp_dir().join(name);
    let known = path.clone();
    let reloads = Reloads::start(
        || (),
        move |(), host, number| {
            let mode = ["?mode=600", "?mode=660", "", "?mode=606"][number];
            let host = host.listen(format!("unix:{}{mode}", known.display()));
            Server::new().host(if number == 3 {
                host.name("a b")
            } else {
                host.add(say(number))
            })
        },
    );
    let facts = || {
        let metadata = std::fs::metadata(&path).expect("it is there");
        (metadata.ino(), metadata.mode() & 0o777)
    };
    let (file, mode) = facts();
    assert_eq!(mode, 0o600);
    for number in 1..3 {
        reloads.reload().expect("it may");
        assert_eq!(facts(), (file, 0o660));
        let answer = Client::connect_unix(&path).get("/").body;
        assert_eq!(answer, format!("{number}: 0").as_bytes());
    }
    reloads.reload().expect_err("a name that is none");
    assert_eq!(facts(), (file, 0o660));
}

/// It was one for no longer than that took.
#[test]
fn who_sends_to_an_endpoint_that_did_not_start_is_told() {
    let (sender, remotes) = channel();
    let reloads = Reloads::start(
        move || sender,
        |sender, host, number| {
            let first = room("first");
            let _: Result<_, _> = sender.send(first.endpoint().remote());
            let host = host.add(first);
            Server::new().host(if number == 1 {
                host.add(room("bad"))
            } else {
                host
            })
        },
    );
    let error = reloads.reload().expect_err("one does not start");
    assert!(error.contains("it is bad"), "{error}");
    let [here, gone] = [(); 2].map(|()| remotes.recv().expect("two of them"));
    assert_eq!(here.broadcast("to those who are there"), Ok(()));
    assert_eq!(gone.broadcast("to nobody"), Err(RemoteError::Stopped));
}

#[cfg(feature = "tls")]
#[test]
fn sessions_are_resumed_where_certificates_stay_and_others_are_shown_where_not() {
    use crate::tls_client::{ALL_VERSIONS, Authority, TlsClient};
    use rustls::HandshakeKind;
    use rustls::client::Resumption;

    let authority = Authority::new();
    let [before, after] = ["one", "two"].map(|name| authority.issue(name, &["localhost"]));
    let tls = [authority.tls("one"), authority.tls("two")];
    let reloads = Reloads::start(
        move || tls,
        |tls, host, number| {
            let tls = tls[usize::from(number == 2)].clone();
            Server::new().host(host.tls(tls).add(say(number)))
        },
    );
    let mut config = authority.client_config(ALL_VERSIONS);
    config.resumption = Resumption::in_memory_sessions(8);
    let config = std::sync::Arc::new(config);
    let ask = |client: &mut TlsClient| {
        client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(client.read(15), b"HTTP/1.1 200 OK");
    };
    let mut old = TlsClient::open(reloads.server.address, &config);
    ask(&mut old);
    assert!(old.certificate() == before);
    reloads.reload().expect("it may");
    let mut resumed = TlsClient::open(reloads.server.address, &config);
    ask(&mut resumed);
    assert_eq!(resumed.tls.handshake_kind(), Some(HandshakeKind::Resumed));
    reloads.reload().expect("it may");
    let new = TlsClient::open(reloads.server.address, &authority.config());
    assert!(new.certificate() == after && after != before);
}
