//! A callback that does not return is named in the log while it holds up everybody, and when it has
//! returned. Nobody loses a connection by it.

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use aerys::{Config, Endpoint, Host, Request, Response, Router, Server, websocket};

use crate::client::{CONTINUATION, Client, TEXT, handshake};
use crate::logged;
use crate::support::{Event, Recorder, TestServer, wait_until};

fn watched(period: Duration) -> Config {
    Config {
        watchdog: Some(period),
        ..Config::default()
    }
}

const SOON: Duration = Duration::from_millis(20);

/// A server whose endpoint at `path` waits in the callbacks that `is_meant`, until the test says so.
fn blocking(path: &'static str, is_meant: fn(&Event) -> bool) -> (TestServer, impl FnOnce()) {
    logged::keep();
    let (release, released) = channel::<()>();
    let react = move |ws: &Endpoint, event: &Event| {
        if is_meant(event) {
            let _ = released.recv();
        }
        crate::support::echo(ws, event);
    };
    let server = TestServer::start(move |host: Host, events| {
        let endpoint = websocket(|ws| Recorder::new(ws, events, react));
        let router = Router::new().get(path, endpoint).prefix("/watched");
        Server::new().config(watched(SOON)).host(host.add(router))
    });
    (server, move || drop(release))
}

/// Waits until `callback` of the endpoint is named, releases it, and waits until that is told too.
fn expect_named(callback: &str, path: &str, release: impl FnOnce()) {
    let name = format!("{callback} of /watched{path}");
    let line = logged::wait_for(&format!("{name} is running"));
    assert!(line.starts_with("nobody has been served for "), "{line}");
    let has_returned = format!("{name} has returned");
    assert_eq!(logged::lines_with(&has_returned), [""; 0]);
    release();
    let line = logged::wait_for(&has_returned);
    assert!(line.starts_with("nobody was served for "), "{line}");
}

#[test]
fn on_start_is_named() {
    let (_server, release) = blocking("/start", |event| *event == Event::Start);
    expect_named("on_start", "/start", release);
}

#[test]
fn on_handshake_is_named_though_a_responder_is_around_it() {
    let is_meant = |event: &Event| matches!(event, Event::Handshake(_));
    let (server, release) = blocking("/handshake", is_meant);
    let mut client = Client::connect(server.address);
    client.send_raw(handshake("/watched/handshake"));
    expect_named("on_handshake", "/handshake", release);
    logged::wait_for(
        "on_handshake of /watched/handshake has returned, asked GET /watched/handshake",
    );
    assert_eq!(client.read_response_head().status, 101);
}

#[test]
fn on_open_is_named() {
    let (server, release) = blocking("/open", |event| matches!(event, Event::Open(..)));
    let mut client = Client::connect(server.address);
    client.send_raw(handshake("/watched/open"));
    expect_named("on_open", "/open", release);
    assert_eq!(client.read_response_head().status, 101);
}

#[test]
fn on_data_is_named() {
    let (server, release) = blocking("/data", |event| matches!(event, Event::Text(..)));
    let mut client = Client::open(server.address, "/watched/data");
    client.send_text("block");
    expect_named("on_data", "/data", release);
    assert_eq!(client.read_text(), "block");
}

#[test]
fn on_data_is_named_where_a_message_comes_in_pieces() {
    let (server, release) = blocking("/pieces", |event| matches!(event, Event::Text(..)));
    let mut client = Client::open(server.address, "/watched/pieces");
    client.send(false, TEXT, "bl");
    client.send(true, CONTINUATION, "ock");
    expect_named("on_data", "/pieces", release);
    assert_eq!(client.read_text(), "block");
}

#[test]
fn on_close_is_named() {
    let (server, release) = blocking("/close", |event| matches!(event, Event::Close(..)));
    let mut client = Client::open(server.address, "/watched/close");
    client.send_close(1000);
    expect_named("on_close", "/close", release);
    client.expect_close(1000);
}

#[test]
fn on_stop_is_named() {
    let (mut server, release) = blocking("/stop", |event| *event == Event::Stop);
    server.stop();
    expect_named("on_stop", "/stop", release);
    assert_eq!(server.join(), Ok(()));
}

#[test]
fn on_timer_is_named() {
    logged::keep();
    let (release, released) = channel::<()>();
    let react = move |ws: &Endpoint, event: &Event| match event {
        Event::Start => drop(ws.set_timer(Duration::ZERO)),
        Event::Timer(_) => drop(released.recv()),
        _ => {}
    };
    let _server = TestServer::start(move |host: Host, events| {
        let endpoint = websocket(|ws| Recorder::new(ws, events, react));
        let router = Router::new().get("/watched/timer", endpoint);
        Server::new().config(watched(SOON)).host(host.add(router))
    });
    expect_named("on_timer", "/timer", || drop(release));
}

#[test]
fn a_responder_is_named_with_what_it_was_asked_when_it_has_returned() {
    logged::keep();
    let (release, released) = channel::<()>();
    let respond = move |_: &mut Request, response: &mut Response| {
        let _ = released.recv();
        response.end("late");
    };
    let server = TestServer::http(watched(SOON), respond);
    let release = release; // A test that fails lets the server go before it waits for it.
    let mut client = Client::connect(server.address);
    client.send_raw("DELETE /watched/%1b?%0a HTTP/1.1\r\nHost: localhost\r\n\r\n");
    logged::wait_for("a responder is running");
    drop(release);
    let line = logged::wait_for("a responder has returned, asked DELETE ");
    assert!(line.ends_with(" asked DELETE /watched/%1b"), "{line}");
    assert_eq!(client.read_response().body, b"late");
}

/// How it is with a deadlock: it never comes back, and is told of again and again.
#[test]
fn a_callback_that_does_not_return_is_told_of_again() {
    let (server, release) = blocking("/again", |event| matches!(event, Event::Text(..)));
    let mut client = Client::open(server.address, "/watched/again");
    client.send_text("block");
    wait_until("it is told of three times", || {
        logged::lines_with("on_data of /watched/again is running").len() == 3
    });
    release();
    assert_eq!(client.read_text(), "block");
}

/// How long nobody was served, as a line says it.
fn seconds(line: &str) -> f64 {
    let (_, time) = line.split_once(" served for ").expect("a time");
    let (seconds, _) = time.split_once(" s: ").expect("seconds");
    seconds.parse().expect("a number")
}

#[test]
fn the_time_that_is_told_is_that_of_the_turn() {
    logged::keep();
    let (release, released) = channel::<()>();
    let react = move |ws: &Endpoint, event: &Event| {
        if matches!(event, Event::Text(..)) {
            let _ = released.recv();
        }
        crate::support::echo(ws, event);
    };
    let server = TestServer::start(move |host: Host, events| {
        let endpoint = websocket(|ws| Recorder::new(ws, events, react));
        let router = Router::new().get("/watched/turns", endpoint);
        Server::new()
            .config(watched(5 * SOON))
            .host(host.add(router))
    });
    let release = release; // A test that fails lets the server go before it waits for it.
    let told = || logged::lines_with("on_data of /watched/turns is running");
    let mut client = Client::open(server.address, "/watched/turns");
    client.send_text("one");
    wait_until("it has taken four periods", || told().len() == 3);
    release.send(()).expect("it waits");
    assert_eq!(client.read_text(), "one");
    let begun = Instant::now();
    client.send_text("two");
    wait_until("that is told, too", || told().len() > 3);
    let most = begun.elapsed().as_secs_f64() + 0.1;
    assert!(seconds(&told()[3]) < most, "{}", told()[3]);
    release.send(()).expect("it waits");
    assert_eq!(client.read_text(), "two");
}

#[test]
fn nobody_is_named_by_a_server_without_a_watchdog() {
    logged::keep();
    let react = |ws: &Endpoint, event: &Event| {
        if matches!(event, Event::Text(..)) {
            std::thread::sleep(5 * SOON);
        }
        crate::support::echo(ws, event);
    };
    let server = TestServer::start(move |host: Host, events| {
        let endpoint = websocket(|ws| Recorder::new(ws, events, react));
        let router = Router::new().get("/watched/off", endpoint);
        let config = Config {
            watchdog: None,
            ..Config::default()
        };
        Server::new().config(config).host(host.add(router))
    });
    let mut client = Client::open(server.address, "/watched/off");
    client.send_text("block");
    assert_eq!(client.read_text(), "block");
    assert_eq!(logged::lines_with("/watched/off"), [""; 0]);
}

/// F18. Whom a stall costs nothing, whatever deadlines pass in it, is in `stalls.rs`.
#[test]
fn a_handler_that_blocks_is_named_after_a_second_if_nobody_says_otherwise() {
    logged::keep();
    let (release, released) = channel::<()>();
    let react = move |ws: &Endpoint, event: &Event| {
        if matches!(event, Event::Text(_, text) if text == "block") {
            let _ = released.recv();
        }
        crate::support::echo(ws, event);
    };
    let server = TestServer::start(move |host: Host, events| {
        let endpoint = websocket(|ws| Recorder::new(ws, events, react));
        let router = Router::new().get("/watched/default", endpoint);
        Server::new().host(host.add(router))
    });
    let release = release; // A test that fails lets the server go before it waits for it.
    let mut other = Client::open(server.address, "/watched/default");
    let mut client = Client::open(server.address, "/watched/default");
    client.send_text("block");
    other.send_text("wait");
    let line = logged::wait_for("on_data of /watched/default is running");
    assert!(seconds(&line) >= 1.0, "{line}");
    drop(release);
    assert_eq!(client.read_text(), "block");
    assert_eq!(other.read_text(), "wait");
}

#[cfg(all(feature = "cli", target_os = "linux"))]
#[test]
fn the_program_has_a_watchdog_unless_it_is_off() {
    use crate::program::Program;
    let on = Program::serve(&[]);
    // Its address is told before it runs.
    wait_until("it is watched", || {
        on.thread_names().contains(&"watchdog".to_owned())
    });
    let off = Program::serve(&["--watchdog", "off"]);
    assert_eq!(Client::connect(off.address).get("/").status, 200);
    let names = off.thread_names();
    assert!(names.contains(&"log".to_owned()), "{names:?}");
    assert!(!names.contains(&"watchdog".to_owned()), "{names:?}");
}
