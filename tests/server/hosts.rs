//! Hosts by name, and where a server listens: addresses that are shared, Unix sockets.

use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;

use aerys::{Error, Host, Request, Responder, Response, Server, WebSocketConfig, respond};

use crate::client::Client;
use crate::support::{Event, Recorder, TestServer, echo, wait_until};

/// A folder that is gone after the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("aerys-hosts-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("a.sock")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn text_of(path: &Path) -> String {
    format!("unix:{}", path.display())
}

/// A responder that says `text`.
fn say(text: &'static str) -> impl Responder + 'static {
    move |_: &mut Request, response: &mut Response| {
        response.end(text);
    }
}

/// A server at `address` that says `name`.
fn named(address: &str, name: &'static str) -> TestServer {
    TestServer::start_at(address, move |host, _| {
        Server::new().host(host.add(say(name)))
    })
}

/// What is answered to a request for `target` with those lines behind its first one.
fn ask(client: &mut Client, target: &str, lines: &str) -> String {
    client.send_raw(format!("GET {target} HTTP/1.1\r\n{lines}\r\n"));
    let response = client.read_response();
    assert_eq!(response.status, 200, "{response:?}");
    String::from_utf8(response.body).expect("text")
}

/// What is answered to a request for `host`.
fn ask_host(client: &mut Client, host: &str) -> String {
    ask(client, "/", &format!("Host: {host}\r\n"))
}

/// What binding `address` fails with.
fn bind_error(address: &str) -> (ErrorKind, String) {
    match Server::new().host(Host::new().listen(address)).bind() {
        Err(error @ Error::Bind { .. }) => {
            let text = error.to_string();
            let Error::Bind { source, .. } = error else {
                unreachable!("it was one");
            };
            (source.kind(), text)
        }
        Err(error) => panic!("another error: {error}"),
        Ok(bound) => panic!("it listens: {bound:?}"),
    }
}

fn is_socket(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket())
}

#[test]
fn hosts_that_share_a_listener_are_told_apart_by_the_name_in_the_request() {
    let server = TestServer::start(|host, _| {
        Server::new()
            .host(
                host.name("example.com")
                    .name("www.example.com")
                    .add(say("site")),
            )
            .host(Host::new().name("*.example.com").add(say("below")))
            .host(Host::new().name("example.com:8080").add(say("port")))
            .host(Host::new().name("other.example").add(say("other")))
    });
    let mut client = Client::connect(server.address);
    for (host, answer) in [
        ("example.com", "site"),
        ("EXAMPLE.com.:1337", "site"),
        ("www.example.com", "site"),
        ("api.example.com", "below"),
        ("v2.api.example.com:99", "below"),
        ("example.com:8080", "port"),
        ("Other.Example", "other"),
        // Whatever nobody is called: as a proxy or Docker asks for it.
        ("localhost:32768", "site"),
        ("127.0.0.1", "site"),
    ] {
        assert_eq!(ask_host(&mut client, host), answer, "{host}");
    }
    let absolute = "http://other.example:8080/x";
    assert_eq!(ask(&mut client, absolute, "Host: example.com\r\n"), "other");
    // Without any name at all, as only HTTP/1.0 may.
    client.send_raw("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.read_response().body, b"site");
}

#[test]
fn a_host_without_a_name_answers_to_all_that_no_other_has() {
    let folder = Folder::new();
    let address = text_of(&folder.socket());
    let also = address.clone();
    let _server = TestServer::start_at(&address, move |host, _| {
        let first = Host::new().listen(also).name("a").add(say("a"));
        Server::new().host(first).host(host.add(say("all")))
    });
    let mut client = Client::connect_unix(&folder.socket());
    assert_eq!(ask_host(&mut client, "a"), "a");
    assert_eq!(ask_host(&mut client, "b"), "all");
}

#[test]
fn a_host_answers_only_where_it_listens() {
    let folder = Folder::new();
    let (both, one) = (folder.0.join("both"), folder.0.join("one"));
    let addresses = [text_of(&both), text_of(&one)];
    let _server = TestServer::start_at(&addresses[0].clone(), move |host, _| {
        let everywhere = Host::new().name("everywhere").add(say("everywhere"));
        Server::new()
            .host(host.listen(&addresses[1]).name("x").add(say("x")))
            .host(Host::new().listen(&addresses[0]).name("y").add(say("y")))
            .host(everywhere)
    });
    for (path, answers) in [(both, ["x", "y"]), (one, ["x", "x"])] {
        let mut client = Client::connect_unix(&path);
        assert_eq!(ask_host(&mut client, "x"), answers[0]);
        assert_eq!(ask_host(&mut client, "y"), answers[1]);
        assert_eq!(ask_host(&mut client, "everywhere"), "everywhere");
    }
}

#[test]
fn a_single_host_answers_to_every_name() {
    let server = TestServer::start(|host, _| Server::new().host(host.name("a").add(say("a"))));
    let mut client = Client::connect(server.address);
    assert_eq!(ask_host(&mut client, "b"), "a");
}

#[test]
fn names_that_tell_no_two_hosts_apart_are_errors_at_bind() {
    let folder = Folder::new();
    let address = text_of(&folder.socket());
    let error_of = |names: [Option<&str>; 2]| {
        let mut server = Server::new();
        for name in names {
            let host = Host::new().listen(&address);
            server = server.host(match name {
                Some(name) => host.name(name),
                None => host,
            });
        }
        server
            .bind()
            .map(|_| ())
            .expect_err("they are the same")
            .to_string()
    };
    let same = format!(
        "two hosts that listen on {address} have the same name, example.com and Example.COM."
    );
    assert_eq!(error_of([Some("example.com"), Some("Example.COM.")]), same);
    let nameless = error_of([None, None]);
    assert!(nameless.contains("have no name"), "{nameless}");
    let invalid = error_of([Some("a"), Some("http://a")]);
    assert!(invalid.contains("\"http://a\" is no name"), "{invalid}");
    let nowhere = Server::new().host(Host::new().name("a")).bind();
    assert!(matches!(nowhere, Err(Error::NoAddress)), "{nowhere:?}");
    let two_ways = Server::new()
        .host(Host::new().listen(format!("{address}?mode=600")).name("a"))
        .host(Host::new().listen(format!("{address}?mode=660")).name("b"));
    let two_ways = two_ways
        .bind()
        .expect_err("one file has one mode")
        .to_string();
    assert!(two_ways.contains("with another mode"), "{two_ways}");
    assert!(!folder.socket().exists(), "nothing was bound");
    // The same at another address is another matter, as are two free ports.
    let other = text_of(&folder.0.join("other"));
    let bound = Server::new()
        .host(Host::new().listen(&address).listen("127.0.0.1:0").name("a"))
        .host(Host::new().listen(&other).listen("127.0.0.1:0").name("a"))
        .bind()
        .expect("four addresses");
    assert_eq!(bound.addresses().len(), 4);
}

#[test]
fn a_websocket_endpoint_is_that_of_the_host_with_the_name() {
    let server = TestServer::start(|host, events| {
        let endpoint = aerys::websocket(|ws| Recorder::new(ws, events, echo));
        Server::new()
            .host(host.name("plain").add(say("plain")))
            .host(Host::new().name("localhost").add(endpoint))
    });
    let mut client = Client::open(server.address, "/");
    client.send_text("hello");
    assert_eq!(client.read_text(), "hello");
}

#[test]
fn http_and_websocket_are_served_on_a_unix_socket_which_is_gone_with_the_server() {
    let folder = Folder::new();
    let path = folder.socket();
    let mut server = TestServer::start_at(&text_of(&path), |host, events| {
        let endpoint = aerys::websocket(|ws| Recorder::new(ws, events, echo));
        let router = aerys::Router::new()
            .get("/ws", endpoint.config(WebSocketConfig::default()))
            .get(
                "/who",
                respond(|request, response| {
                    let info = request.connection();
                    response.end(format!("{} to {}", info.remote_address, info.local_address));
                }),
            );
        Server::new().host(host.add(router))
    });
    let mut client = Client::connect_unix(&path);
    let expected = format!("unix: to {}", text_of(&path));
    assert_eq!(client.get("/who").body, expected.as_bytes());
    client.upgrade("/ws");
    // More than one write takes, so that the socket is full meanwhile.
    let long = "x".repeat(1 << 20);
    client.send_text(&long);
    assert_eq!(client.read_text(), long);
    server.stop();
    assert_eq!(client.expect_close(1001), "The server stops");
    client.send_close(1001);
    drop(client);
    assert_eq!(server.join(), Ok(()));
    assert!(!path.exists());
}

#[test]
fn the_address_of_a_client_on_a_unix_socket_is_known_to_its_endpoint() {
    let folder = Folder::new();
    let path = folder.socket();
    let (sender, infos) = channel();
    let _server = TestServer::start_at(&text_of(&path), |host, events| {
        let endpoint = aerys::websocket(|ws| {
            Recorder::new(ws, events, move |ws, event| {
                if let Event::Open(client, _) = event {
                    let _ = sender.send(ws.info(*client).expect("it is open").remote_address);
                }
            })
        });
        Server::new().host(host.add(endpoint))
    });
    Client::connect_unix(&path).upgrade("/");
    let address = infos.recv().expect("a client");
    assert_eq!(
        (address.to_string().as_str(), address.ip()),
        ("unix:", None)
    );
}

#[test]
fn a_socket_file_that_a_killed_server_left_behind_is_replaced() {
    let folder = Folder::new();
    let path = folder.socket();
    drop(UnixListener::bind(&path).expect("a path"));
    assert!(is_socket(&path), "std leaves it behind");
    let _server = named(&text_of(&path), "new");
    assert_eq!(Client::connect_unix(&path).get("/").body, b"new");
}

#[test]
fn a_unix_socket_at_which_somebody_listens_is_in_use() {
    let folder = Folder::new();
    let path = folder.socket();
    let _server = named(&text_of(&path), "first");
    let (kind, text) = bind_error(&text_of(&path));
    assert_eq!(kind, ErrorKind::AddrInUse);
    assert!(text.contains("is in use"), "{text}");
    assert_eq!(Client::connect_unix(&path).get("/").body, b"first");
    // And where it is another kind of socket.
    let datagrams = folder.0.join("datagrams.sock");
    let _datagrams = UnixDatagram::bind(&datagrams).expect("a path");
    assert_eq!(bind_error(&text_of(&datagrams)).0, ErrorKind::AddrInUse);
    assert!(is_socket(&datagrams));
}

#[cfg(target_os = "linux")]
#[test]
fn a_unix_socket_whose_backlog_is_full_is_in_use() {
    let folder = Folder::new();
    let path = folder.socket();
    let listener = UnixListener::bind(&path).expect("a path");
    rustix::net::listen(&listener, 0).expect("a listening socket");
    let _waiting = std::os::unix::net::UnixStream::connect(&path).expect("room for one");
    assert_eq!(bind_error(&text_of(&path)).0, ErrorKind::AddrInUse);
    assert!(is_socket(&path));
}

#[test]
fn what_is_no_socket_is_left_alone() {
    let folder = Folder::new();
    let file = folder.0.join("file");
    std::fs::write(&file, "precious").expect("a temporary file");
    let link = folder.0.join("link");
    std::os::unix::fs::symlink(folder.socket(), &link).expect("a link");
    for path in [&file, &link, &folder.0] {
        assert_eq!(bind_error(&text_of(path)).0, ErrorKind::AlreadyExists);
    }
    assert_eq!(std::fs::read(&file).expect("it is there"), b"precious");
    assert!(link.symlink_metadata().is_ok() && !folder.socket().exists());
}

#[test]
fn a_file_that_took_the_place_of_the_servers_own_is_not_removed() {
    let folder = Folder::new();
    let path = folder.socket();
    let first = named(&text_of(&path), "first");
    std::fs::remove_file(&path).expect("it is there");
    let second = named(&text_of(&path), "second");
    drop(first);
    assert_eq!(Client::connect_unix(&path).get("/").body, b"second");
    drop(second);
    assert!(!path.exists());
}

#[test]
fn the_mode_of_the_socket_file_can_be_set() {
    let folder = Folder::new();
    let path = folder.socket();
    for (text, expected) in [("600", 0o600), ("666", 0o666)] {
        let _server = named(&format!("{}?mode={text}", text_of(&path)), "here");
        let mode = path.metadata().expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, expected);
        assert_eq!(Client::connect_unix(&path).get("/").body, b"here");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_abstract_unix_socket_is_listened_on() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixStream};
    let name = format!("aerys-test-{}", std::process::id());
    let _server = named(&format!("unix:@{name}"), "abstract");
    let address = SocketAddr::from_abstract_name(&name).expect("a short name");
    let stream = UnixStream::connect_addr(&address).expect("it listens");
    let mut client = Client::from_unix(stream);
    assert_eq!(client.get("/").body, b"abstract");
    assert_eq!(bind_error(&format!("unix:@{name}")).0, ErrorKind::AddrInUse);
}

#[test]
fn a_unix_socket_refuses_from_the_begin_of_a_stop_on() {
    let folder = Folder::new();
    let path = folder.socket();
    let server = named(&text_of(&path), "here");
    // Keeps the server from ending.
    let mut client = Client::connect_unix(&path);
    client.send_raw("GET / HTTP/1.1\r\n");
    server.stop();
    wait_until("the file is gone", || !path.exists());
}

#[cfg(feature = "cli")]
#[test]
fn the_program_listens_on_a_unix_socket_and_says_so() {
    let folder = Folder::new();
    let path = folder.socket();
    let mut program = crate::program::Program::serve(&["--listen", &text_of(&path)]);
    assert_eq!(program.next_line(), format!("{}\n", text_of(&path)));
    let mut client = Client::connect_unix(&path);
    client.upgrade("/echo");
    client.send_text("here too");
    assert_eq!(client.read_text(), "here too");
}
