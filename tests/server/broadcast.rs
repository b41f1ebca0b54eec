//! One message to many clients: complete, in order, and by every way of saying who.

use std::time::Duration;

use aerys::{ClientId, Endpoint, Everyone, Frame, Server, WebSocketConfig, respond, websocket};

use crate::client::{BINARY, Client, TEXT, server_frame};
use crate::support::{Event, Recorder, TestServer, broadcast};

#[test]
fn everyone_gets_every_broadcast_in_the_same_order() {
    const MESSAGES: usize = 500;
    let server = TestServer::websocket(WebSocketConfig::default(), broadcast);
    let mut clients: Vec<_> = (0..50).map(|_| server.open("/").0).collect();
    // Two senders at once, each of which reads everything as well.
    for number in 0..MESSAGES {
        clients[0].send_text(&format!("a {number}"));
        clients[1].send_text(&format!("b {number}"));
    }
    let mut first: Option<Vec<String>> = None;
    for client in &mut clients {
        let texts: Vec<_> = (0..2 * MESSAGES).map(|_| client.read_text()).collect();
        match &first {
            None => first = Some(texts),
            Some(first) => assert!(*first == texts),
        }
    }
    for sender in ["a", "b"] {
        let of_sender = first
            .iter()
            .flatten()
            .filter(|text| text.starts_with(sender));
        assert!(
            of_sender.eq((0..MESSAGES)
                .map(|number| format!("{sender} {number}"))
                .collect::<Vec<_>>()
                .iter())
        );
    }
}

#[test]
fn recipients_are_one_some_all_or_all_but_some() {
    let react = |ws: &Endpoint, event: &Event| {
        if let Event::Text(sender, text) = event {
            let clients = ws.clients();
            let others: Vec<ClientId> = clients
                .iter()
                .copied()
                .filter(|client| client != sender)
                .collect();
            match text.as_str() {
                "one" => ws.send(*sender, "one"),
                "list" => ws.send(&[*sender, *sender, others[0], others[0]], "list"),
                "except" => ws.send(Everyone.except(&[*sender]), "except"),
                "except nobody" => ws.send(Everyone.except(&[]), "except nobody"),
                "none" => ws.send(&Vec::<ClientId>::new(), "none"),
                "unknown" => ws.send("123456789".parse::<ClientId>().expect("an id"), "unknown"),
                _ => ws.broadcast("end"),
            }
        }
    };
    let server = TestServer::websocket(WebSocketConfig::default(), react);
    let mut clients: Vec<_> = (0..3).map(|_| server.open("/").0).collect();
    for what in [
        "one",
        "list",
        "except",
        "except nobody",
        "none",
        "unknown",
        "end",
    ] {
        clients[1].send_text(what);
    }
    let expected = [
        &["list", "except", "except nobody", "end"][..],
        &["one", "list", "except nobody", "end"],
        &["except", "except nobody", "end"],
    ];
    for (client, expected) in clients.iter_mut().zip(expected) {
        for text in expected {
            assert_eq!(client.read_text(), *text);
        }
        client.expect_silence(Duration::from_millis(50));
    }
}

/// A broadcast and a message of a client's own share one order, whatever way each takes.
#[test]
fn broadcasts_and_direct_sends_keep_their_order_for_each_client() {
    const ROUNDS: usize = 300;
    let react = |ws: &Endpoint, event: &Event| {
        if let Event::Text(sender, _) = event {
            for number in 0..ROUNDS {
                ws.broadcast(format!("{number} to all"));
                for (index, client) in ws.clients().into_iter().enumerate() {
                    if (number + index) % 3 == 0 {
                        ws.send(client, format!("{number} to one"));
                    }
                }
                ws.send(Everyone.except(&[*sender]), format!("{number} to others"));
            }
        }
    };
    let server = TestServer::websocket(WebSocketConfig::default(), react);
    let mut clients: Vec<_> = (0..6).map(|_| server.open("/").0).collect();
    clients[2].send_text("go");
    for (index, client) in clients.iter_mut().enumerate() {
        for number in 0..ROUNDS {
            assert_eq!(client.read_text(), format!("{number} to all"));
            if (number + index) % 3 == 0 {
                assert_eq!(client.read_text(), format!("{number} to one"));
            }
            if index != 2 {
                assert_eq!(client.read_text(), format!("{number} to others"));
            }
        }
    }
}

#[test]
fn a_frame_is_encoded_once_and_sent_any_number_of_times() {
    let large = vec![9; 100_000];
    let (text, binary) = (Frame::text("prepared"), Frame::binary(&large));
    let react = move |ws: &Endpoint, event: &Event| {
        if let Event::Text(client, _) = event {
            ws.send(*client, &text);
            ws.broadcast(&binary);
            ws.broadcast(text.clone());
        }
    };
    let server = TestServer::websocket(WebSocketConfig::default(), react);
    let mut clients: Vec<_> = (0..3).map(|_| server.open("/").0).collect();
    clients[0].send_text("go");
    assert_eq!(clients[0].read_text(), "prepared");
    for client in &mut clients {
        let expected = server_frame(BINARY, &large);
        assert!(client.read_bytes(expected.len()) == expected);
        assert_eq!(client.read_bytes(10), server_frame(TEXT, b"prepared"));
    }
}

#[test]
fn endpoints_are_independent_and_a_route_may_publish() {
    let server = TestServer::start(|host, events| {
        let one = websocket(|ws| Recorder::new(ws, events.clone(), broadcast));
        let two = websocket(|ws| Recorder::new(ws, events, broadcast));
        let publisher = one.endpoint();
        let router = aerys::Router::new().get("/one", one).get("/two", two).post(
            "/publish",
            respond(move |request, response| {
                publisher.broadcast(String::from_utf8_lossy(request.body()));
                response.end(publisher.client_count().to_string());
            }),
        );
        Server::new().host(host.add(router))
    });
    let mut one = Client::open(server.address, "/one");
    let mut two = Client::open(server.address, "/two");
    one.send_text("to one");
    assert_eq!(one.read_text(), "to one");
    let mut http = Client::connect(server.address);
    http.send_raw("POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nnews");
    assert_eq!(http.read_response().body, b"1");
    assert_eq!(one.read_text(), "news");
    two.send_text("to two");
    assert_eq!(two.read_text(), "to two");
}

/// What a handler asks for is carried out before the next callback begins.
#[test]
fn who_comes_later_does_not_get_what_was_broadcast_before() {
    let react = |ws: &Endpoint, event: &Event| {
        if let Event::Open(client, _) = event {
            ws.broadcast(format!("welcome {client}"));
        }
    };
    let server = TestServer::websocket(WebSocketConfig::default(), react);
    let mut clients = Vec::new();
    for _ in 0..20 {
        let (mut client, id) = server.open("/");
        assert_eq!(
            client.read_text(),
            format!("welcome {id}"),
            "the first thing that it hears"
        );
        clients.push((client, id));
    }
    let ids: Vec<_> = clients.iter().map(|(_, id)| *id).collect();
    for (index, (client, _)) in clients.iter_mut().enumerate() {
        for id in &ids[index + 1..] {
            assert_eq!(client.read_text(), format!("welcome {id}"));
        }
    }
}
