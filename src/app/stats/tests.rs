//! Over simulated sockets, which say what they gave and took.

use super::*;
use crate::internals::Simulation;
use crate::{
    AccessLog, ClientId, CloseCode, Config, Endpoint, FinishedExchange, FinishedWebSocket, Host,
    Message, Request, Response, Router, Server, WebSocketConfig, WebSocketHandler, websocket,
};
use std::time::Duration;

/// Sends each message to everyone, but for one that it closes, sends later, sends to each alone, tells what
/// is counted, or fails at.
struct Room {
    ws: Endpoint,
    stats: Stats,
}

impl WebSocketHandler for Room {
    type HandshakeData = ();

    fn on_handshake(&mut self, _: &Request, _: &mut Response) -> Option<()> {
        Some(())
    }

    fn on_data(&mut self, client: ClientId, message: Message<'_>) {
        match message.as_bytes() {
            b"close" => self
                .ws
                .close(client, CloseCode::NORMAL, "")
                .expect("a code"),
            b"timer" => drop(self.ws.set_timer(Duration::from_millis(5))),
            b"panic" => panic!("on purpose"),
            b"count" => {
                let at = self.stats.snapshot();
                let text = format!("{} {}", at.messages_read, at.bytes_read);
                self.ws.send(client, text);
            }
            b"large" => self.ws.broadcast(vec![0; 1000]),
            b"alone" => {
                for client in self.ws.clients() {
                    self.ws.send(client, b"for you alone");
                }
            }
            _ => self.ws.broadcast(message),
        }
    }
}

fn simulation(config: WebSocketConfig) -> (Simulation, Stats) {
    simulation_with(Config::default(), config)
}

fn simulation_with(server: Config, config: WebSocketConfig) -> (Simulation, Stats) {
    let server = Server::new().config(server);
    let stats = server.stats();
    let known = stats.clone();
    let room = websocket(|ws| Room { ws, stats: known }).config(config);
    let router = Router::new().get("/room", room.clone()).get("/other", room);
    let simulation = Simulation::new(server.host(Host::new().add(router))).expect("it starts");
    (simulation, stats)
}

const HANDSHAKE: &[u8] = b"GET /room HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";

/// A text of five bytes, masked with zeros.
fn text(payload: &str) -> Vec<u8> {
    [b"\x81\x85\0\0\0\0", payload.as_bytes()].concat()
}

#[test]
fn without_a_server_there_is_nothing() {
    let snapshot = Stats::default().snapshot();
    assert!(!snapshot.is_draining && snapshot.connections_accepted == 0);
    assert_eq!(snapshot.websockets_closed.len(), CLOSE_CODES.len());
}

#[test]
fn all_bytes_messages_and_closes_are_counted_and_nothing_else() {
    let (mut simulation, stats) = simulation(WebSocketConfig::default());
    let peers = [(); 3].map(|()| simulation.connect(false));
    let mut read = 0;
    let mut say = |simulation: &mut Simulation, peer: usize, bytes: &[u8]| {
        simulation.advance(Duration::from_micros(100));
        simulation.send(peers[peer], bytes);
        simulation.settle().expect("it goes on");
        read += bytes.len() as u64;
    };
    for peer in 0..3 {
        say(&mut simulation, peer, HANDSHAKE);
    }
    for (peer, payload) in [
        (0, "hello"),
        (1, "hello"),
        (0, "panic"),
        (1, "close"),
        (2, "timer"),
    ] {
        say(&mut simulation, peer, &text(payload));
    }
    simulation.advance(Duration::from_millis(10));
    simulation.settle().expect("it goes on");
    simulation.check();
    let snapshot = stats.snapshot();
    let written: u64 = peers.iter().map(|peer| simulation.taken(*peer)).sum();
    assert_eq!(
        (snapshot.bytes_read, snapshot.bytes_written),
        (read, written)
    );
    assert_eq!((snapshot.messages_read, snapshot.frames_read), (5, 5));
    // Each hello for three, and two Close frames.
    assert_eq!((snapshot.messages_sent, snapshot.frames_sent), (6, 8));
    assert_eq!(snapshot.broadcasts, 2);
    assert_eq!(snapshot.responses, [3, 0, 0, 0, 0]);
    assert_eq!((snapshot.websockets_opened, snapshot.websockets()), (3, 1));
    let closed = snapshot
        .websockets_closed
        .iter()
        .filter(|(_, count)| *count > 0);
    assert_eq!(
        closed.copied().collect::<Vec<_>>(),
        [("1000", 1), ("1011", 1)]
    );
    assert_eq!((snapshot.panics, snapshot.connections), (1, 3));
    assert!(snapshot.timers_fired >= 1 && snapshot.turns.count() > 5);
}

#[test]
fn what_is_counted_is_right_for_who_looks_while_a_message_is_handed_over() {
    let (mut simulation, stats) = simulation(WebSocketConfig::default());
    let peer = simulation.connect(true);
    simulation.send(peer, HANDSHAKE);
    simulation.settle().expect("it goes on");
    let _ = simulation.take_output(peer);
    simulation.send(peer, &text("count").repeat(2));
    simulation.settle().expect("it goes on");
    let read = HANDSHAKE.len() + 2 * 11;
    assert_eq!(
        simulation.take_output(peer).escape_ascii().to_string(),
        format!(r"\x81\x051 {read}\x81\x052 {read}")
    );
    let snapshot = stats.snapshot();
    assert_eq!(
        (snapshot.messages_read, snapshot.bytes_read),
        (2, read as u64)
    );
}

/// Looks at the counts whenever something is over.
struct Told {
    stats: Stats,
    answered: Rc<Cell<u64>>,
}

impl AccessLog for Told {
    fn on_exchange(&mut self, _: &FinishedExchange<'_>) {
        self.answered
            .set(self.stats.snapshot().responses.iter().sum());
    }

    fn on_websocket(&mut self, _: &FinishedWebSocket<'_>) {
        self.answered
            .set(100 + self.stats.snapshot().websockets_opened);
    }
}

#[test]
fn an_access_log_may_look() {
    let answered = Rc::<Cell<u64>>::default();
    let server = Server::new();
    let stats = server.stats();
    let known = stats.clone();
    let room = websocket(|ws| Room { ws, stats: known });
    let server = server.access_log(Told {
        stats: stats.clone(),
        answered: Rc::clone(&answered),
    });
    let server = server.host(Host::new().add(Router::new().get("/room", room)));
    let mut simulation = Simulation::new(server).expect("it starts");
    let peer = simulation.connect(false);
    simulation.send(peer, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    simulation.settle().expect("it goes on");
    assert_eq!(answered.get(), 1);
    simulation.send(peer, HANDSHAKE);
    simulation.settle().expect("it goes on");
    simulation.end(peer);
    simulation.settle().expect("it goes on");
    assert_eq!((answered.get(), stats.snapshot().panics), (101, 0));
}

#[test]
fn panics_are_those_of_this_server_alone() {
    crate::panics::catch::<()>("an earlier server on this thread", || panic!("on purpose"));
    let (_, stats) = simulation(WebSocketConfig::default());
    assert_eq!(stats.snapshot().panics, 0);
}

#[test]
fn a_turn_that_serves_nobody_is_none() {
    let (mut simulation, stats) = simulation_with(
        Config {
            busy_poll: Duration::from_secs(1),
            ..Config::default()
        },
        WebSocketConfig::default(),
    );
    let peer = simulation.connect(false);
    simulation.send(peer, HANDSHAKE);
    simulation.settle().expect("it goes on");
    let spin = |simulation: &mut Simulation| {
        for _ in 0..1000 {
            simulation.turn().expect("it goes on");
        }
        stats.snapshot().turns.count()
    };
    let before = spin(&mut simulation);
    assert!((1..5).contains(&before), "{before}");
    simulation.send(peer, &text("hello"));
    assert_eq!(spin(&mut simulation), before + 1, "an event");
    simulation.send(peer, &text("timer"));
    assert_eq!(spin(&mut simulation), before + 2);
    simulation.advance(Duration::from_millis(10));
    assert_eq!(spin(&mut simulation), before + 3, "a timer");
}

/// A broadcast counts for all members at once, and for those of them that are not sent it once more.
#[test]
fn what_a_limit_keeps_from_a_client_counts_as_dropped() {
    let (mut simulation, stats) = simulation(WebSocketConfig {
        soft_backlog_bytes: 1000,
        hard_backlog_bytes: 2000,
        backlog_policy: crate::BacklogPolicy::DropMessages,
        ..WebSocketConfig::default()
    });
    let [fast, slow] = [(), ()].map(|()| simulation.connect(true));
    for peer in [fast, slow] {
        simulation.send(peer, HANDSHAKE);
        simulation.settle().expect("it goes on");
        let _ = simulation.take_output(peer);
    }
    simulation.set_room(slow, 100);
    for _ in 0..10 {
        simulation.send(fast, &text("large"));
        simulation.settle().expect("it goes on");
    }
    simulation.check();
    let snapshot = stats.snapshot();
    assert_eq!((snapshot.blocked_clients, snapshot.slowest.len()), (1, 1));
    assert_eq!(snapshot.slowest[0].endpoint, "/room");
    assert_eq!(snapshot.slowest[0].backlog_bytes, snapshot.backlog_bytes);
    assert!(
        (1900..4000).contains(&snapshot.backlog_bytes),
        "{}",
        snapshot.backlog_bytes
    );
    simulation.set_room(slow, u64::MAX);
    simulation.settle().expect("it goes on");
    let took = simulation.take_output(slow).len() + simulation.take_output(fast).len();
    let snapshot = stats.snapshot();
    assert_eq!((snapshot.backlog_bytes, snapshot.blocked_clients), (0, 0));
    assert!(snapshot.slowest.is_empty());
    assert_eq!((snapshot.messages_sent, snapshot.frames_sent), (20, 20));
    // Header and payload.
    assert_eq!(20 - snapshot.messages_dropped, took as u64 / 1004);
    assert_eq!(took % 1004, 0, "whole messages");
    assert!(
        (1..10).contains(&snapshot.messages_dropped),
        "{}",
        snapshot.messages_dropped
    );
}

/// It takes several turns until all are found not to take a broadcast. Meanwhile somebody looks.
#[test]
fn what_is_counted_as_sent_is_never_less_later() {
    const MEMBERS: u64 = 1000;
    let (mut simulation, stats) = simulation(WebSocketConfig {
        soft_backlog_bytes: 1000,
        hard_backlog_bytes: 1000,
        backlog_policy: crate::BacklogPolicy::DropMessages,
        ..WebSocketConfig::default()
    });
    let peers: Vec<_> = (0..MEMBERS)
        .map(|_| {
            let peer = simulation.connect(false);
            simulation.send(peer, HANDSHAKE);
            peer
        })
        .collect();
    simulation.settle().expect("it goes on");
    for peer in &peers[1..] {
        simulation.set_room(*peer, 0);
    }
    let mut told = 0;
    for _ in 0..4 {
        simulation.send(peers[0], &text("large"));
        while simulation.is_busy() {
            simulation.turn().expect("it goes on");
            let at = stats.snapshot();
            assert!(
                at.messages_sent >= told,
                "{} after {told}",
                at.messages_sent
            );
            told = at.messages_sent;
        }
    }
    // One takes all of them, the others the first, with which the limit is reached.
    let at = stats.snapshot();
    assert_eq!(
        (at.messages_sent, at.frames_sent),
        (4 * MEMBERS, 4 * MEMBERS)
    );
    assert_eq!(at.messages_dropped, 3 * (MEMBERS - 1));
    // What is for one alone is refused at once.
    simulation.send(peers[0], &text("alone"));
    simulation.settle().expect("it goes on");
    let at = stats.snapshot();
    assert_eq!(at.messages_sent, 4 * MEMBERS + 1);
    assert_eq!(at.messages_dropped, 4 * (MEMBERS - 1));
}
