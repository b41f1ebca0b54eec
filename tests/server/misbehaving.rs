//! Handlers that do odd things in their callbacks: nothing is borrowed twice (that would be a panic,
//! and 1011), nobody is skipped or served twice, each `on_open` has its `on_close`, order is kept.

use std::collections::HashSet;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use aerys::{
    ClientId, Config, Endpoint, Everyone, Handle, Host, Request, Response, Router, Server,
    WebSocketConfig, respond, websocket,
};

use crate::client::{BINARY, CLOSE, Client, TEXT, handshake};
use crate::support::{Event, Recorder, TestServer};

mod random;

/// What a client reads until its Close frame, whose code is the last of it.
fn read_all(mut client: Client) -> (Vec<String>, u16) {
    let mut texts = Vec::new();
    loop {
        let frame = client.read_frame();
        match frame.opcode {
            TEXT => texts.push(String::from_utf8(frame.payload).expect("text")),
            CLOSE => {
                let code = [frame.payload[0], frame.payload[1]];
                return (texts, u16::from_be_bytes(code));
            }
            other => panic!("opcode {other}"),
        }
    }
}

/// Each `on_close` closes the next one; all of them were asked for within the first.
#[test]
fn clients_that_are_closed_in_each_others_on_close_fall_like_dominoes() {
    let react = |ws: &Endpoint, event: &Event| match event {
        Event::Text(client, _) => ws.close(*client, 4000, "first").expect("a good code"),
        Event::Close(..) => {
            if let Some(next) = ws.clients().first() {
                ws.close(*next, 4001, "next").expect("a good code");
            }
        }
        _ => {}
    };
    let server = TestServer::websocket(WebSocketConfig::default(), react);
    let mut clients: Vec<_> = (0..100).map(|_| server.open("/")).collect();
    clients[50].0.send_text("go");
    let first = clients.remove(50);
    assert_eq!(server.event(), Event::Text(first.1, "go".into()));
    let ids = std::iter::once((first.1, 4000)).chain(clients.iter().map(|(_, id)| (*id, 4001)));
    for (id, code) in ids {
        let closed = server.close_event();
        assert_eq!((closed.0, closed.1), (id, code));
    }
    for (mut client, _) in clients {
        client.expect_close(4001);
    }
}

#[test]
fn all_may_be_closed_in_the_on_open_of_the_last_who_is_one_of_them() {
    let react = |ws: &Endpoint, event: &Event| {
        if let Event::Open(_, target) = event
            && target == "/last"
        {
            ws.broadcast("bye");
            for client in ws.clients() {
                ws.close(client, 4000, "all").expect("a good code");
                ws.broadcast("nobody but those after it");
            }
            assert_eq!(ws.client_count(), 0);
        }
    };
    let server = TestServer::websocket(WebSocketConfig::default(), react);
    let mut clients: Vec<_> = (0..10).map(|_| server.open("/").0).collect();
    clients.push(server.open("/last").0);
    for (index, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.read_text(), "bye");
        for _ in 0..index {
            assert_eq!(client.read_text(), "nobody but those after it");
        }
        client.expect_close(4000);
        server.close_event();
    }
    assert_eq!(server.remaining_events(), []);
}

#[test]
fn a_client_may_be_closed_in_its_own_on_drain() {
    let react = |ws: &Endpoint, event: &Event| match event {
        Event::Text(client, _) => ws.send(*client, vec![0; 300_000]),
        Event::Drain(client) => {
            ws.send(*client, "drained");
            ws.close(*client, 4000, "enough").expect("a good code");
        }
        _ => {}
    };
    let server = TestServer::websocket(WebSocketConfig::default(), react);
    let (mut client, id) = server.open("/");
    client.send_text("fill");
    assert_eq!(client.read_message(BINARY).len(), 300_000);
    assert_eq!(client.read_text(), "drained");
    assert_eq!(client.expect_close(4000), "enough");
    let closed = server.close_event();
    assert_eq!((closed.0, closed.1), (id, 4000));
}

#[test]
fn a_timer_of_another_endpoint_is_not_ones_own_to_cancel() {
    let timer = Arc::new(Mutex::new(None));
    let (set, known) = (Arc::clone(&timer), Arc::clone(&timer));
    let server = TestServer::start(move |host: Host, events| {
        let setting = move |ws: &Endpoint, event: &Event| match event {
            Event::Open(..) => {
                let timer = ws.set_timer(Duration::from_millis(50));
                *set.lock().expect("a timer") = Some(timer);
            }
            Event::Timer(_) => ws.broadcast("in time"),
            _ => {}
        };
        let cancelling = move |ws: &Endpoint, event: &Event| {
            if let Event::Open(client, _) = event {
                let timer = known.lock().expect("a timer").expect("it was set");
                ws.send(*client, ws.cancel(timer).to_string());
            }
        };
        let router = Router::new()
            .get(
                "/set",
                websocket(|ws| Recorder::new(ws, events.clone(), setting)),
            )
            .get(
                "/cancel",
                websocket(|ws| Recorder::new(ws, events, cancelling)),
            );
        Server::new().host(host.add(router))
    });
    let mut setting = Client::open(server.address, "/set");
    let mut cancelling = Client::open(server.address, "/cancel");
    assert_eq!(cancelling.read_text(), "false");
    assert_eq!(setting.read_text(), "in time");
}

#[test]
fn a_farewell_in_on_close_reaches_nobody_during_a_stop_and_each_is_told_once() {
    let react = |ws: &Endpoint, event: &Event| match event {
        Event::Stop => ws.broadcast("we stop"),
        Event::Close(client, ..) => {
            ws.broadcast("one has left");
            ws.send(*client, "to itself");
            assert!(ws.clients().is_empty());
            let timer = ws.set_timer(Duration::ZERO);
            ws.cancel(timer);
        }
        _ => {}
    };
    let mut server = TestServer::websocket(WebSocketConfig::default(), react);
    let clients: Vec<_> = (0..20).map(|_| server.open("/")).collect();
    server.stop();
    let mut left = HashSet::new();
    for (client, id) in clients {
        assert_eq!(read_all(client), (vec!["we stop".to_owned()], 1001));
        left.insert(id);
    }
    assert_eq!(server.join(), Ok(()));
    assert_eq!(server.event(), Event::Stop);
    for _ in 0..20 {
        let (id, code, _) = server.close_event();
        assert!(left.remove(&id) && code == 1001);
    }
    assert_eq!(server.remaining_events(), []);
}

type IsMeant = fn(&Event) -> bool;

/// A server that stops itself in the callbacks that `is_meant`.
fn stopping(is_meant: IsMeant) -> TestServer {
    let handle: Arc<OnceLock<Handle>> = Arc::default();
    let own = Arc::clone(&handle);
    let react = move |ws: &Endpoint, event: &Event| {
        match event {
            Event::Text(client, _) => ws.send(*client, vec![0; 300_000]),
            Event::Open(..) => drop(ws.set_timer(Duration::from_millis(20))),
            _ => {}
        }
        if is_meant(event) {
            // Twice is once.
            for _ in 0..2 {
                own.wait().stop();
            }
        }
    };
    let server = TestServer::websocket(WebSocketConfig::default(), react);
    assert!(handle.set(server.handle.clone()).is_ok());
    server
}

#[test]
fn a_server_may_be_stopped_from_any_callback() {
    let meant: [(&str, IsMeant); 7] = [
        ("on_handshake", |event| matches!(event, Event::Handshake(_))),
        ("on_open", |event| matches!(event, Event::Open(..))),
        ("on_data", |event| matches!(event, Event::Text(..))),
        ("on_drain", |event| matches!(event, Event::Drain(_))),
        ("on_timer", |event| matches!(event, Event::Timer(_))),
        ("on_close", |event| matches!(event, Event::Close(..))),
        ("on_start", |event| *event == Event::Start),
    ];
    for (name, is_meant) in meant {
        let mut server = stopping(is_meant);
        if name != "on_start" {
            let mut client = Client::connect(server.address);
            client.send_raw(handshake("/"));
            assert_eq!(client.read_response_head().status, 101, "{name}");
            match name {
                "on_data" | "on_drain" => {
                    client.send_text("fill");
                    assert_eq!(client.read_message(BINARY).len(), 300_000, "{name}");
                    client.expect_close(1001);
                }
                "on_close" => {
                    client.send_close(1000);
                    client.expect_close(1000);
                }
                _ => drop(client.expect_close(1001)),
            }
        }
        assert_eq!(server.join(), Ok(()), "{name}");
        let events = server.remaining_events();
        let count = |is_meant: IsMeant| events.iter().filter(|it| is_meant(it)).count();
        assert_eq!(count(|event| *event == Event::Stop), 1, "{name}");
        let opened = count(|event| matches!(event, Event::Open(..)));
        assert_eq!(opened, usize::from(name != "on_start"), "{name}");
        assert_eq!(
            count(|event| matches!(event, Event::Close(..))),
            opened,
            "{name}"
        );
    }
}

#[test]
fn a_server_may_be_stopped_from_a_responder_and_from_a_delayed_call() {
    for path in ["/now", "/later"] {
        let handle: Arc<OnceLock<Handle>> = Arc::default();
        let own = Arc::clone(&handle);
        let answer = move |request: &mut Request, response: &mut Response| {
            let handle = own.wait().clone();
            if request.path() == "/now" {
                handle.stop();
                response.end("whole");
                return;
            }
            response.stream().after(Duration::ZERO, move |stream| {
                handle.stop();
                let _ = stream.send("who");
                stream.after(Duration::from_millis(1), |stream| {
                    let _ = stream.send("le");
                    stream.end();
                });
            });
        };
        let mut server = TestServer::http(Config::default(), answer);
        assert!(handle.set(server.handle.clone()).is_ok());
        let mut client = Client::connect(server.address);
        client.send_raw(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        let answer = String::from_utf8(client.read_to_eof()).expect("text");
        let end = match path {
            "/now" => "\r\n\r\nwhole",
            _ => "\r\n\r\n3\r\nwho\r\n2\r\nle\r\n0\r\n\r\n",
        };
        assert!(
            answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(end),
            "{answer}"
        );
        assert_eq!(server.join(), Ok(()));
    }
}

/// A handler that gives away its sending side, of which it was the last.
#[test]
fn an_endpoint_may_be_dropped_in_a_callback() {
    struct Careless(Option<Endpoint>);
    impl aerys::WebSocketHandler for Careless {
        type HandshakeData = ();

        fn on_handshake(&mut self, _: &Request, _: &mut Response) -> Option<()> {
            Some(())
        }

        fn on_data(&mut self, client: ClientId, message: aerys::Message<'_>) {
            if let Some(ws) = self.0.take() {
                ws.send(client, message);
                ws.send_after(Duration::from_millis(1), Everyone, "later");
            }
        }
    }
    let server = TestServer::start(|host: Host, _| {
        Server::new().host(host.add(websocket(|ws| Careless(Some(ws)))))
    });
    let mut client = Client::open(server.address, "/");
    client.send_text("last words");
    assert_eq!(client.read_text(), "last words");
    assert_eq!(client.read_text(), "later");
    client.send_text("not answered");
    let mut other = Client::open(server.address, "/");
    other.send_close(1000);
    other.expect_close(1000);
}

/// A route that publishes and closes clients of an endpoint, whose `on_close` calls back.
#[test]
fn a_responder_may_close_the_clients_of_an_endpoint() {
    let (sender, closed) = channel();
    let server = TestServer::start(move |host: Host, events| {
        let react = move |ws: &Endpoint, event: &Event| {
            if matches!(event, Event::Close(..)) {
                ws.broadcast("one has left");
                let _ = sender.send(ws.client_count());
            }
        };
        let endpoint = websocket(|ws| Recorder::new(ws, events, react));
        let ws = endpoint.endpoint();
        let close = respond(move |_, response| {
            for client in ws.clients().into_iter().skip(1) {
                ws.close(client, 4000, "by a route").expect("a good code");
            }
            response.end(ws.client_count().to_string());
        });
        let router = Router::new().get("/ws", endpoint).post("/close", close);
        Server::new().host(host.add(router))
    });
    let mut clients: Vec<_> = (0..3)
        .map(|_| Client::open(server.address, "/ws"))
        .collect();
    let mut http = Client::connect(server.address);
    assert_eq!(http.post("/close", "").body, b"1");
    for client in &mut clients[1..] {
        assert_eq!(client.expect_close(4000), "by a route");
        assert_eq!(closed.recv().expect("on_close"), 1);
    }
    for _ in 0..2 {
        assert_eq!(clients[0].read_text(), "one has left");
    }
}
