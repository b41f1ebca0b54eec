//! What the library tells of itself, and sockets that it is given.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use aerys::{Host, PassedListener, Request, Response, Server, ServerEvent};
use socket2::{Domain, Socket, Type};

use crate::client::{Client, PATIENCE};
use crate::support::TestServer;

#[test]
fn an_observer_is_told_of_the_start_and_the_stop() {
    let (told, events) = channel();
    let mut server = TestServer::start(move |host, _| {
        let host = host.add(|_: &mut Request, response: &mut Response| {
            response.end("");
        });
        Server::new().host(host).observe(None, move |event| {
            let _ = told.send(event);
            panic!("an observer's panic is its own");
        })
    });
    assert_eq!(events.recv_timeout(PATIENCE), Ok(ServerEvent::Ready));
    assert_eq!(Client::connect(server.address).get("/").status, 200);
    server.stop();
    server.join().expect("it ends well");
    assert_eq!(events.iter().collect::<Vec<_>>(), [ServerEvent::Stopping]);
}

fn alive(events: &Receiver<ServerEvent>, time: Duration) -> Result<ServerEvent, RecvTimeoutError> {
    events.recv_timeout(time)
}

/// What a watchdog is for: it is fed by the loop, which has to turn.
#[test]
fn nobody_is_told_that_the_loop_turns_while_a_handler_holds_it_up() {
    const INTERVAL: Duration = Duration::from_millis(20);
    let (told, events) = channel();
    let (blocks, blocked) = channel();
    let (release, released) = channel::<()>();
    let server = TestServer::start(move |host, _| {
        let host = host.add(move |_: &mut Request, response: &mut Response| {
            let _ = blocks.send(());
            let _ = released.recv_timeout(PATIENCE);
            response.end("at last");
        });
        Server::new()
            .host(host)
            .observe(Some(INTERVAL), move |event| {
                let _ = told.send(event);
            })
    });
    assert_eq!(alive(&events, PATIENCE), Ok(ServerEvent::Ready));
    for _ in 0..3 {
        assert_eq!(alive(&events, PATIENCE), Ok(ServerEvent::Alive));
    }
    let mut client = Client::connect(server.address);
    client.send_raw("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    blocked.recv_timeout(PATIENCE).expect("it is asked");
    while events.try_recv().is_ok() {}
    assert_eq!(
        alive(&events, 10 * INTERVAL),
        Err(RecvTimeoutError::Timeout)
    );
    release.send(()).expect("it waits");
    assert_eq!(client.read_response().body, b"at last");
    assert_eq!(alive(&events, PATIENCE), Ok(ServerEvent::Alive));
}

/// Answers with the addresses of the connection.
fn addresses(request: &mut Request, response: &mut Response) {
    let info = request.connection();
    response.end(format!("{} {}", info.remote_address, info.local_address));
}

#[test]
fn a_passed_socket_of_ipv6_may_take_ipv4_whose_clients_have_addresses_of_that() {
    let Ok(socket) = Socket::new(Domain::IPV6, Type::STREAM, None) else {
        eprintln!("this machine has no IPv6");
        return;
    };
    socket.set_only_v6(false).expect("an option");
    let any = "[::]:0"
        .parse::<std::net::SocketAddr>()
        .expect("an address");
    if socket.bind(&any.into()).is_err() {
        eprintln!("this machine has no IPv6");
        return;
    }
    socket.listen(16).expect("it is bound");
    let port = TcpListener::from(socket.try_clone().expect("a descriptor"));
    let port = port.local_addr().expect("its address").port();
    let server = TestServer::start_at(&format!("[::]:{port}"), move |host, _| {
        let listener = PassedListener::new(socket).expect("it listens");
        Server::new().host(host.add(addresses)).listener(listener)
    });
    let mut client = Client::connect(([127, 0, 0, 1], server.address.port()).into());
    let expected = format!("{} 127.0.0.1:{port}", client.local_address());
    let body = client.get("/").body;
    assert_eq!(String::from_utf8(body).expect("text"), expected);
}

#[test]
fn a_passed_socket_has_to_be_asked_for_and_its_mode_is_its_makers() {
    let listener = || TcpListener::bind("127.0.0.1:0").expect("a free port");
    let passed = PassedListener::new(listener()).expect("it listens");
    let address = passed.address().clone();
    let host = Host::new().listen("127.0.0.1:0");
    let error = Server::new().host(host).listener(passed).bind();
    assert_eq!(
        error.expect_err("nobody asks for it").to_string(),
        format!(
            "cannot listen on {address}: a socket was passed for it, and no host listens there"
        )
    );

    let path = std::env::temp_dir().join(format!("aerys-passed-{}.sock", std::process::id()));
    let socket = UnixListener::bind(&path).expect("a free path");
    let passed = PassedListener::new(socket).expect("it listens");
    let host = Host::new().listen(format!("{}?mode=600", passed.address()));
    let error = Server::new().host(host).listener(passed).bind();
    std::fs::remove_file(&path).expect("it is there");
    let error = error.expect_err("its mode").to_string();
    assert!(error.contains("the mode that its maker chose"), "{error}");
}
