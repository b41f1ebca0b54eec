//! A panic in a callback costs one client its connection and nobody else anything.

use aerys::{Config, Endpoint, Request, Response, WebSocketConfig};

use crate::client::{BINARY, CLOSE, Client, close_payload};
use crate::support::{Event, TestServer};

/// Panics where it is told to, by the request target or by a text.
fn fragile(ws: &Endpoint, event: &Event) {
    match event {
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
