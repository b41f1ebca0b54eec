//! A panic in a callback costs one client its connection and nobody else anything.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use aerys::{
    BodyHandler, ClientId, Config, Endpoint, Host, Message, Request, Response, Router, Server,
    WebSocketConfig, WebSocketHandler, respond, upload, websocket,
};

use crate::client::{BINARY, CLOSE, Client, PATIENCE, close_payload, handshake};
use crate::support::{Event, Recorder, TestServer, wait_until};

/// Has panics that are meant say nothing: thousands would, each with a backtrace.
fn keep_quiet() {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let payload = panic.payload();
            let text = payload.downcast_ref::<&str>().copied();
            let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
            if !text.is_some_and(|text| text.contains("on purpose")) {
                usual(panic);
            }
        }));
    });
}

/// Panics where it is told to, by the request target or by a text.
fn fragile(ws: &Endpoint, event: &Event) {
    match event {
        Event::Handshake(target) if target == "/handshake" => {
            panic!("in on_handshake, on purpose");
        }
        Event::Open(_, target) if target == "/open" => panic!("in on_open, on purpose"),
        Event::Text(_, text) if text == "panic" => panic!("in on_data, on purpose"),
        Event::Text(client, text) if text == "send, then panic" => {
            ws.send(*client, "sent");
            panic!("in on_data, on purpose");
        }
        Event::Text(client, text) if text == "drain" => ws.send(*client, vec![0; 300_000]),
        Event::Drain(_) => panic!("in on_drain, on purpose"),
        Event::Text(..) => {
            crate::support::echo(ws, event);
        }
        Event::Close(_, _, reason) if reason == "panic" => panic!("in on_close, on purpose"),
        Event::Timer(_) => panic!("in on_timer, on purpose"),
        _ => {}
    }
}

/// Scenario 16.
#[test]
fn a_panic_closes_that_client_with_1011_and_the_others_live_on() {
    keep_quiet();
    let server = TestServer::websocket(WebSocketConfig::default(), fragile);
    let (mut witness, _) = server.open("/");

    let (mut client, id) = server.open("/open");
    client.expect_close(1011);
    client.expect_eof();
    let closed = server.close_event();
    assert_eq!((closed.0, closed.1), (id, 1011));

    for _ in 0..100 {
        let (mut client, id) = server.open("/");
        client.send_text("panic");
        client.send_text("not delivered any more");
        client.expect_close(1011);
        client.expect_eof();
        assert_eq!(server.event(), Event::Text(id, "panic".into()));
        let closed = server.close_event();
        assert_eq!((closed.0, closed.1), (id, 1011));
    }

    let (mut client, id) = server.open("/");
    client.send_text("drain");
    assert!(client.read_message(BINARY) == vec![0; 300_000]);
    client.expect_close(1011);
    client.expect_eof();
    let closed = server.close_event();
    assert_eq!((closed.0, closed.1), (id, 1011));

    // The close had begun: its code stands.
    let (mut client, id) = server.open("/");
    client.send(true, CLOSE, close_payload(1000, "panic"));
    client.expect_close(1000);
    client.expect_eof();
    assert_eq!(server.close_event(), (id, 1000, "panic".into()));

    witness.send_text("alive");
    assert_eq!(witness.read_text(), "alive");
    assert!(
        server
            .remaining_events()
            .iter()
            .all(|event| !matches!(event, Event::Close(..)))
    );
}

#[test]
fn what_a_callback_sent_before_it_panicked_is_sent() {
    let server = TestServer::websocket(WebSocketConfig::default(), fragile);
    let (mut client, _) = server.open("/");
    client.send_text("send, then panic");
    assert_eq!(client.read_text(), "sent");
    client.expect_close(1011);
}

/// A payload of a panic that panics when it is dropped, so many times over.
struct Bomb(u32);

impl Drop for Bomb {
    fn drop(&mut self) {
        if self.0 > 0 {
            std::panic::panic_any(Self(self.0 - 1));
        }
    }
}

#[test]
fn a_panic_whose_payload_panics_is_a_panic() {
    let respond = |request: &mut Request, response: &mut Response| {
        if request.path() == "/bomb" {
            std::panic::panic_any(Bomb(2));
        }
        response.end("alive");
    };
    let server = TestServer::http(Config::default(), respond);
    assert_eq!(Client::connect(server.address).get("/bomb").status, 500);
    assert_eq!(Client::connect(server.address).get("/").body, b"alive");
}

/// F17.
#[test]
fn a_thousand_panics_in_each_callback_leave_nothing_behind() {
    keep_quiet();
    let fired = Arc::new(Mutex::new(0));
    let count = Arc::clone(&fired);
    let react = move |ws: &Endpoint, event: &Event| match event {
        Event::Text(client, text) if text == "count" => {
            ws.send(*client, ws.client_count().to_string());
        }
        Event::Text(_, text) if text == "timer" => {
            for _ in 0..1000 {
                let _ = ws.set_timer(Duration::ZERO);
            }
        }
        Event::Timer(_) => {
            *count.lock().expect("a count") += 1;
            panic!("in on_timer, on purpose");
        }
        _ => fragile(ws, event),
    };
    let server = TestServer::websocket(WebSocketConfig::default(), react);
    let (mut witness, own) = server.open("/");
    let mut http = Client::connect(server.address);
    for _ in 0..1000 {
        http.send_raw(handshake("/handshake"));
        assert_eq!(http.read_response().status, 500, "and it may go on");

        let mut client = Client::open(server.address, "/open");
        client.expect_close(1011);

        let mut client = Client::open(server.address, "/");
        client.send_text("panic");
        client.expect_close(1011);

        let mut client = Client::open(server.address, "/");
        client.send(true, CLOSE, close_payload(1000, "panic"));
        client.expect_close(1000);
    }
    witness.send_text("timer");
    wait_until("all timers fire", || {
        *fired.lock().expect("a count") == 1000
    });
    // Whom they were set for is not known: nobody pays for them.
    witness.send_text("count");
    assert_eq!(witness.read_text(), "1");

    let events = server.remaining_events();
    let opened = |event: &Event| match event {
        Event::Open(client, _) if *client != own => Some(*client),
        _ => None,
    };
    let closed = |event: &Event| match event {
        Event::Close(client, ..) => Some(*client),
        _ => None,
    };
    let mut opened: Vec<_> = events.iter().filter_map(opened).collect();
    let mut closed: Vec<_> = events.iter().filter_map(closed).collect();
    assert_eq!(opened.len(), 3000);
    opened.sort_unstable_by_key(ToString::to_string);
    closed.sort_unstable_by_key(ToString::to_string);
    assert_eq!(opened, closed);
}

#[test]
fn a_panic_in_on_stop_keeps_no_other_endpoint_from_stopping_and_nobody_from_a_farewell() {
    keep_quiet();
    let (sender, stopped) = channel();
    let mut server = TestServer::start(move |host: Host, events| {
        let panicking = |_: &Endpoint, event: &Event| {
            assert!(*event != Event::Stop, "in on_stop, on purpose");
        };
        let witness = move |ws: &Endpoint, event: &Event| {
            if *event == Event::Stop {
                ws.broadcast("we stop");
                let _ = sender.send(());
            }
        };
        let router = Router::new()
            .get(
                "/panicking",
                websocket(|ws| Recorder::new(ws, events.clone(), panicking)),
            )
            .get(
                "/witness",
                websocket(|ws| Recorder::new(ws, events, witness)),
            );
        Server::new().host(host.add(router))
    });
    let mut of_it = Client::open(server.address, "/panicking");
    let mut other = Client::open(server.address, "/witness");
    server.stop();
    of_it.expect_close(1001);
    assert_eq!(other.read_text(), "we stop");
    other.expect_close(1001);
    drop((of_it, other));
    assert_eq!(server.join(), Ok(()));
    assert_eq!(stopped.recv_timeout(PATIENCE), Ok(()));
}

/// Panics when it is dropped, and tells of that before.
#[derive(Clone)]
struct Dropped(Sender<()>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send(());
        // A second one while a first unwinds would end the process.
        assert!(std::thread::panicking(), "in a drop, on purpose");
    }
}

/// A handler whose drop panics, and what its closures captured.
struct Falling(#[expect(dead_code, reason = "it is dropped")] Dropped);

impl WebSocketHandler for Falling {
    type HandshakeData = ();

    fn on_handshake(&mut self, _: &Request, _: &mut Response) -> Option<()> {
        Some(())
    }

    fn on_data(&mut self, _: ClientId, _: Message<'_>) {}
}

#[test]
fn handlers_and_responders_whose_drops_panic_let_the_server_end_well() {
    keep_quiet();
    let (sender, dropped) = channel();
    let mut server = TestServer::start(move |host: Host, _| {
        let handlers = [0; 2].map(|_| websocket(|_| Falling(Dropped(sender.clone()))));
        let [one, two] = handlers;
        let captured = Dropped(sender.clone());
        let responder = move |_: &mut Request, response: &mut Response| {
            let _ = &captured;
            response.end("alive");
        };
        let host = host.add(Router::new().get("/one", one).get("/two", two));
        Server::new().host(host.add(responder))
    });
    let mut client = Client::open(server.address, "/one");
    assert_eq!(Client::connect(server.address).get("/").body, b"alive");
    server.stop();
    client.expect_close(1001);
    drop(client);
    assert_eq!(server.join(), Ok(()));
    for _ in 0..3 {
        assert_eq!(dropped.recv_timeout(PATIENCE), Ok(()));
    }
}

/// Panics in what its path says.
struct Fragile(String);

impl BodyHandler for Fragile {
    fn on_data(&mut self, _: &[u8], _: &mut Response) {
        assert!(self.0 != "/data", "in on_data of a body, on purpose");
    }

    fn on_end(self: Box<Self>, _: &mut Request, response: &mut Response) {
        assert!(self.0 != "/end", "in on_end of a body, on purpose");
        response.end("taken");
    }

    fn on_abort(self: Box<Self>) {
        panic!("in on_abort of a body, on purpose");
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        let panics = self.0 == "/drop" && !std::thread::panicking();
        assert!(!panics, "in the drop of a body's handler, on purpose");
    }
}

/// What panics in a responder, or in what takes a body.
fn fragile_http() -> Router {
    let take = || {
        upload(|request: &mut Request, _: &mut Response| {
            assert!(
                request.path() != "/begin",
                "in the begin of a body, on purpose"
            );
            Some(Fragile(request.path().to_owned()))
        })
    };
    let panicking = respond(|_, response| {
        response.end("never seen");
        panic!("in a responder, on purpose");
    });
    let keeping = respond(|request, response| {
        let (sender, _) = channel();
        request.set(Dropped(sender));
        response.end("alive");
    });
    let mut router = Router::new()
        .get("/respond", panicking)
        .get("/kept", keeping)
        .get(
            "/alive",
            respond(|_, response| {
                response.end("alive");
            }),
        );
    for path in ["/begin", "/data", "/end", "/drop", "/abort", "/take"] {
        router = router.post(path, take());
    }
    router
}

/// Streams whose callbacks panic, each in what its path says.
fn fragile_streams(_: &mut Request, response: &mut Response) {
    let stream = response.stream();
    stream.on_close(|| panic!("in on_close of a response, on purpose"));
    stream.on_stop(|_| panic!("in on_stop of a response, on purpose"));
    stream.on_drain(|_| panic!("in on_drain of a response, on purpose"));
    while stream.send([b'x'; 10_000]).is_ok() {}
}

#[test]
fn panics_in_the_callbacks_of_streams_cost_those_alone() {
    keep_quiet();
    let mut server = TestServer::start(|host: Host, _| {
        let router = fragile_http().get("/stream", respond(fragile_streams));
        Server::new().host(host.add(router))
    });
    let ask = "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n";
    for _ in 0..20 {
        // It leaves, or it takes all that there is: it is told that it may be sent more.
        let mut leaving = Client::connect(server.address);
        leaving.send_raw(ask);
        assert_eq!(leaving.read_response_head().status, 200);
        leaving.reset();
        let mut drained = Client::connect(server.address);
        drained.send_raw(ask);
        let all = drained.read_to_end_or_reset();
        assert!(
            !all.ends_with(b"\r\n0\r\n\r\n"),
            "it must not look complete"
        );
    }
    assert_eq!(Client::connect(server.address).get("/alive").body, b"alive");
    let mut stopped = Client::connect(server.address);
    stopped.send_raw(ask);
    assert_eq!(stopped.read_response_head().status, 200);
    server.stop();
    assert!(!stopped.read_to_end_or_reset().ends_with(b"\r\n0\r\n\r\n"));
    assert_eq!(server.join(), Ok(()));
}

/// What another thread asks for is carried out, whatever `on_close` makes of it.
#[test]
fn a_panic_in_on_close_keeps_no_command_of_another_thread_from_being_carried_out() {
    keep_quiet();
    let (sender, remotes) = channel();
    let react = move |ws: &Endpoint, event: &Event| match event {
        Event::Start => drop(sender.send(ws.remote())),
        Event::Close(..) => panic!("in on_close, on purpose"),
        _ => {}
    };
    let server = TestServer::websocket(WebSocketConfig::default(), react);
    let remote = remotes.recv_timeout(PATIENCE).expect("it starts");
    let (mut witness, _) = server.open("/");
    let mut clients: Vec<_> = (0..100).map(|_| server.open("/")).collect();
    for (_, id) in &clients {
        remote
            .close(*id, 4000, "from elsewhere")
            .expect("there is room");
    }
    remote.broadcast("to who is left").expect("there is room");
    for (client, id) in &mut clients {
        assert_eq!(client.expect_close(4000), "from elsewhere");
        assert_eq!(server.close_event().0, *id);
    }
    assert_eq!(witness.read_text(), "to who is left");
}

/// F17 over HTTP/1.1.
#[test]
fn a_thousand_panics_of_responders_and_body_handlers_are_so_many_answers() {
    keep_quiet();
    let server = TestServer::start(|host: Host, _| Server::new().host(host.add(fragile_http())));
    let mut client = Client::connect(server.address);
    for _ in 0..1000 {
        assert_eq!(client.get("/respond").status, 500);
        assert_eq!(client.get("/kept").body, b"alive");
        for path in ["/begin", "/data", "/end", "/drop"] {
            let response = client.post(path, "a body");
            assert_eq!(response.status, 500, "{path}");
            if response.field("connection") == Some("close") {
                client = Client::connect(server.address);
            }
        }
    }
    for _ in 0..100 {
        let mut client = Client::connect(server.address);
        client.send_raw("POST /abort HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
        client.reset();
    }
    assert_eq!(client.get("/alive").body, b"alive");
}

/// The same over HTTP/2, where others are on the same connection.
#[cfg(feature = "http2")]
#[test]
fn a_thousand_panics_on_streams_cost_no_other_stream_anything() {
    use crate::http2_client::Http2Client;
    keep_quiet();
    let server = TestServer::start(|host: Host, _| Server::new().host(host.add(fragile_http())));
    let mut client = Http2Client::connect(server.address);
    let witness = client.send_request("POST", "/take", &[], false);
    for _ in 0..1000 {
        assert_eq!(client.get("/respond").status, 500);
        assert_eq!(client.get("/kept").body, b"alive");
        for path in ["/begin", "/data", "/end", "/drop"] {
            assert_eq!(client.post(path, "a body").status, 500, "{path}");
        }
    }
    client.send_data(witness, b"all the time", true);
    assert_eq!(client.read_response(witness).body, b"taken");
}

#[cfg(feature = "http2")]
#[test]
fn a_panic_on_a_websocket_of_a_stream_closes_that_with_1011() {
    use crate::http2_client::Http2Client;
    keep_quiet();
    let server = TestServer::websocket(WebSocketConfig::default(), fragile);
    let mut client = Http2Client::connect(server.address);
    let witness = client.open_websocket("/");
    for _ in 0..100 {
        let opened = client.open_websocket("/open");
        client.expect_close(opened, 1011);
        let stream = client.open_websocket("/");
        client.send_text(stream, "panic");
        client.expect_close(stream, 1011);
        for stream in [opened, stream] {
            client.expect_end(stream);
            client.send_data(stream, b"", true);
        }
    }
    client.send_text(witness, "alive");
    assert_eq!(client.read_text(witness), "alive");
}
