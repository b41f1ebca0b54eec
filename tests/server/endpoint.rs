//! What an application can ask: ids, counts, counters, and the same from other threads.

use std::sync::mpsc::channel;
use std::time::Duration;

use aerys::{
    ClientId, Endpoint, Error, Everyone, Host, RemoteEndpoint, RemoteError, Router, Server,
    WebSocketConfig, websocket,
};

use crate::client::{BINARY, Client, PING, PONG};
use crate::support::{Event, Recorder, TestServer, echo};

#[test]
fn ids_are_never_used_again_and_print_as_integers_that_parse_back() {
    let server = TestServer::echo();
    let mut seen: Vec<ClientId> = Vec::new();
    for _ in 0..50 {
        let (client, id) = server.open("/");
        assert!(!seen.contains(&id), "{id} twice");
        let printed = id.to_string();
        assert!(
            printed.bytes().all(|byte| byte.is_ascii_digit()),
            "{printed}"
        );
        assert_eq!(printed.parse(), Ok(id));
        seen.push(id);
        drop(client);
        server.close_event();
    }
}

#[test]
fn a_dead_id_reaches_nobody_not_even_who_got_its_place() {
    let mut dead = None;
    let react = move |ws: &Endpoint, event: &Event| match event {
        Event::Close(client, ..) => dead = Some(*client),
        Event::Open(client, _) => {
            if let Some(dead) = dead {
                ws.send(dead, "for the dead");
                ws.send(&[dead, *client], "for both");
                ws.close(dead, 1000, "").expect("an unknown id is no error");
                assert!(ws.info(dead).is_none());
            }
        }
        _ => echo(ws, event),
    };
    let server = TestServer::websocket(WebSocketConfig::default(), react);
    let (client, _) = server.open("/");
    drop(client);
    server.close_event();
    let (mut client, _) = server.open("/");
    assert_eq!(client.read_text(), "for both");
    client.send_text("open");
    assert_eq!(client.read_text(), "open");
}

#[test]
fn info_counts_bytes_frames_and_messages_both_ways() {
    let (sender, infos) = channel();
    let react = move |ws: &Endpoint, event: &Event| {
        echo(ws, event);
        if let Event::Text(client, _) = event {
            sender
                .send(ws.info(*client).expect("an open client"))
                .expect("the test listens");
        }
    };
    let server = TestServer::websocket(WebSocketConfig::default(), react);
    let (mut client, _) = server.open("/");
    client.send(true, BINARY, [0; 200]);
    client.read_message(BINARY);
    client.send(true, PING, "p");
    client.read_message(PONG);
    client.send_text("now");
    client.read_text();
    let info = infos.recv().expect("an answer");
    assert_eq!(info.remote_address, client.local_address());
    // Headers of 4 and 2 bytes, and a mask of 4 on what the client sends.
    assert_eq!(
        (info.bytes_read, info.frames_read, info.messages_read),
        (8 + 200 + 6 + 1 + 6 + 3, 3, 2)
    );
    // The last echo is queued, and not with the socket yet.
    assert_eq!((info.frames_sent, info.messages_sent), (3, 2));
    assert_eq!(info.bytes_sent, 4 + 200 + 2 + 1);
    assert_eq!(info.backlog_bytes, 2 + 3);
    assert!(info.last_read.is_some_and(|read| read >= info.opened));
    assert!(info.last_sent.is_some_and(|sent| sent >= info.opened));
}

#[test]
fn clients_are_listed_in_the_order_in_which_they_came() {
    let (sender, lists) = channel();
    let react = move |ws: &Endpoint, event: &Event| {
        if let Event::Text(..) = event {
            sender
                .send((ws.clients(), ws.client_count()))
                .expect("the test listens");
        }
    };
    let server = TestServer::websocket(WebSocketConfig::default(), react);
    let mut clients: Vec<_> = (0..4).map(|_| server.open("/")).collect();
    clients.remove(1).0.reset();
    server.close_event();
    clients.push(server.open("/"));
    clients[0].0.send_text("who is there?");
    let ids: Vec<_> = clients.iter().map(|(_, id)| *id).collect();
    assert_eq!(lists.recv().expect("an answer"), (ids, 4));
}

/// Starts an echo and returns its remote side.
fn remote_server() -> (TestServer, RemoteEndpoint) {
    let (sender, remotes) = channel();
    let server = TestServer::start(move |host, events| {
        let endpoint = websocket(|ws| Recorder::new(ws, events, echo));
        sender
            .send(endpoint.endpoint().remote())
            .expect("the test listens");
        Server::new().host(host.add(endpoint))
    });
    (server, remotes.recv().expect("an endpoint"))
}

#[test]
fn other_threads_send_and_close_through_a_remote_endpoint() {
    let (server, remote) = remote_server();
    let (mut client, id) = server.open("/");
    let (mut other, _) = server.open("/");
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let remote = remote.clone();
            std::thread::spawn(move || {
                for number in 0..100 {
                    remote
                        .send(Everyone, format!("{thread} {number}"))
                        .expect("room in the queue");
                }
            })
        })
        .collect();
    for client in [&mut client, &mut other] {
        let mut next = [0; 4];
        for _ in 0..400 {
            let text = client.read_text();
            let (thread, number) = text.split_once(' ').expect("two numbers");
            let thread: usize = thread.parse().expect("a number");
            assert_eq!(
                number,
                next[thread].to_string(),
                "what one thread sends arrives in order"
            );
            next[thread] += 1;
        }
    }
    for thread in threads {
        thread.join().expect("no panic");
    }
    assert!(matches!(
        remote.close(id, 1005, ""),
        Err(RemoteError::InvalidClose(_))
    ));
    remote.close(id, 4000, "from afar").expect("a legal code");
    assert_eq!(client.expect_close(4000), "from afar");
    assert_eq!(server.close_event(), (id, 4000, "from afar".into()));
    other.expect_silence(Duration::from_millis(50));
}

#[test]
fn a_remote_endpoint_never_blocks_and_says_when_it_is_full_or_the_server_gone() {
    let (mut server, remote) = remote_server();
    let (client, _) = server.open("/");
    let refused =
        (0..200_000).any(|_| remote.broadcast("as fast as possible") == Err(RemoteError::Full));
    assert!(refused, "the queue has no end");
    drop(client);
    server.stop();
    server.join().expect("a graceful stop");
    assert_eq!(remote.broadcast("too late"), Err(RemoteError::Stopped));
}

/// The commands that came before there was a loop must not keep it from being woken later.
#[test]
fn a_remote_endpoint_that_was_used_before_the_server_was_bound_works() {
    let (sender, remotes) = channel();
    let server = TestServer::start(move |host, events| {
        let endpoint = websocket(|ws| Recorder::new(ws, events, echo));
        let remote = endpoint.endpoint().remote();
        remote.broadcast("to nobody").expect("room in the queue");
        sender.send(remote).expect("the test listens");
        Server::new().host(host.add(endpoint))
    });
    let remote = remotes.recv().expect("an endpoint");
    // Its answer is there: the loop has nothing to do but to wait.
    let (mut client, _) = server.open("/");
    client.send_text("ready");
    assert_eq!(client.read_text(), "ready");
    remote.broadcast("to all").expect("room in the queue");
    assert_eq!(client.read_text(), "to all");
}

#[test]
fn a_remote_endpoint_of_a_server_that_did_not_start_says_so() {
    let (events, _) = channel();
    let panics = |_: &Endpoint, _: &Event| panic!("in on_start, on purpose");
    let endpoint = websocket(|ws| Recorder::new(ws, events, panics));
    let remote = endpoint.endpoint().remote();
    let host = Host::new().listen("127.0.0.1:0").add(endpoint);
    assert!(matches!(
        Server::new().host(host).run(),
        Err(Error::Start(_))
    ));
    assert_eq!(remote.broadcast("too late"), Err(RemoteError::Stopped));
}

#[test]
fn an_endpoint_of_one_server_cannot_be_part_of_another() {
    let (events, _) = channel();
    let endpoint = websocket(|ws| Recorder::new(ws, events, echo));
    let bind = || {
        let host = Host::new().listen("127.0.0.1:0").add(endpoint.clone());
        Server::new().host(host).bind()
    };
    let _first = bind().expect("a free port");
    assert!(matches!(bind(), Err(Error::EndpointInUse)));
}

#[test]
fn a_server_without_an_address_is_not_bound() {
    for server in [Server::new(), Server::new().host(Host::new())] {
        assert!(matches!(server.bind(), Err(Error::NoAddress)));
    }
}

#[test]
fn ids_of_another_endpoint_are_unknown() {
    // What the clients of one send is the id of a client of the other.
    let react = |ws: &Endpoint, event: &Event| {
        if let Event::Text(client, text) = event {
            if let Ok(stranger) = text.parse::<ClientId>() {
                ws.send(stranger, "from the wrong endpoint");
                ws.send(&[stranger], "from the wrong endpoint");
                ws.send_after(Duration::ZERO, stranger, "from the wrong endpoint");
                ws.close(stranger, 4000, "from the wrong endpoint")
                    .expect("an unknown id is no error");
                let known = ws.info(stranger).is_some() || ws.clients().contains(&stranger);
                ws.send(*client, if known { "known" } else { "unknown" });
            } else {
                echo(ws, event);
            }
        }
    };
    let (sender, remotes) = channel();
    let server = TestServer::start(move |host, events| {
        let one = websocket(|ws| Recorder::new(ws, events.clone(), react));
        let two = websocket(|ws| Recorder::new(ws, events, react));
        sender
            .send(two.endpoint().remote())
            .expect("the test listens");
        Server::new().host(host.add(Router::new().get("/one", one).get("/two", two)))
    });
    let (mut client, id) = server.open("/one");
    let (mut stranger, _) = server.open("/two");
    let remote = remotes.recv().expect("an endpoint");
    remote
        .send(id, "from the wrong endpoint")
        .expect("room in the queue");
    remote.close(id, 4000, "").expect("room in the queue");
    stranger.send_text(&id.to_string());
    assert_eq!(stranger.read_text(), "unknown");
    client.send_text("undisturbed");
    assert_eq!(client.read_text(), "undisturbed");
}

/// Else one server's id would reach a stranger through the other.
#[test]
fn ids_of_two_servers_in_one_process_differ() {
    let servers = [TestServer::echo(), TestServer::echo()];
    let clients = servers.each_ref().map(|server| {
        let clients: Vec<(Client, ClientId)> = (0..5).map(|_| server.open("/")).collect();
        clients
    });
    for (_, id) in &clients[0] {
        assert!(clients[1].iter().all(|(_, other)| other != id), "{id}");
    }
}
