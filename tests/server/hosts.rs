//! Where a server listens: Unix sockets.

use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;

use aerys::{Error, Host, Request, Response, Server, WebSocketConfig, respond};

use crate::client::Client;
use crate::support::{Event, TestServer, echo, wait_until};

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

/// A server at `address` that says `name`.
fn named(address: &str, name: &'static str) -> TestServer {
    TestServer::start_at(address, move |host, _| {
        let say = move |_: &mut Request, response: &mut Response| {
            response.end(name);
        };
        Server::new().host(host.add(say))
    })
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
fn http_and_websocket_are_served_on_a_unix_socket_which_is_gone_with_the_server() {
    let folder = Folder::new();
    let path = folder.socket();
    let mut server = TestServer::start_at(&text_of(&path), |host, events| {
        let endpoint = aerys::websocket(|ws| crate::support::Recorder::new(ws, events, echo));
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
            crate::support::Recorder::new(ws, events, move |ws, event| {
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
    // And where nobody accepts, and where it is another kind of socket.
    let full = folder.0.join("full.sock");
    let listener = UnixListener::bind(&full).expect("a path");
    rustix::net::listen(&listener, 0).expect("a listening socket");
    let _waiting = std::os::unix::net::UnixStream::connect(&full).expect("room for one");
    assert_eq!(bind_error(&text_of(&full)).0, ErrorKind::AddrInUse);
    let datagrams = folder.0.join("datagrams.sock");
    let _datagrams = UnixDatagram::bind(&datagrams).expect("a path");
    assert_eq!(bind_error(&text_of(&datagrams)).0, ErrorKind::AddrInUse);
    assert!(is_socket(&full) && is_socket(&datagrams));
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
