//! The handle by which an application sees what its server counts.

use crate::app::hub::Hub;
use crate::moment::Moment;
use crate::panics;
use crate::stats::{CLOSE_CODES, EndpointClients, Limit, SlowClient, Snapshot, state_lines};
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

/// Slowest clients that a snapshot has.
const SLOWEST: usize = 10;

/// What a server counts, for who runs on its thread: responders, handlers of endpoints, observers.
///
/// A cheap clone. From [`Server::stats`](crate::Server::stats), before the server is bound: until then
/// everything is zero.
///
/// ```
/// use aerys::{Host, Request, Response, Router, Server};
/// let server = Server::new();
/// let stats = server.stats();
/// let router = Router::new().get("/metrics", move |_: &mut Request, response: &mut Response| {
///     response.set_header("content-type", "text/plain; version=0.0.4");
///     response.end(stats.snapshot().to_prometheus());
/// });
/// let server = server.host(Host::new().listen("127.0.0.1:0").add(router));
/// ```
#[derive(Clone, Default)]
pub struct Stats {
    shared: Rc<Shared>,
}

#[derive(Default)]
struct Shared {
    hub: OnceCell<Rc<Hub>>,
    /// What endpoints are called, by index.
    names: RefCell<Rc<[String]>>,
    /// Somebody has a handle.
    is_asked_for: Cell<bool>,
}

impl Stats {
    /// A handle for the application: what is measured for it alone is measured from now on.
    pub(crate) fn asked_for(&self) -> Self {
        self.shared.is_asked_for.set(true);
        self.clone()
    }

    /// The server is there: `names` are those of its endpoints, empty where there is none.
    pub(crate) fn attach(&self, hub: &Rc<Hub>, names: Vec<String>) {
        let is_known = self.shared.hub.get().is_some();
        if self.shared.is_asked_for.get() && !is_known {
            hub.counts.turns.replace(Some(Box::default()));
        }
        let known = self.shared.hub.get_or_init(|| Rc::clone(hub));
        debug_assert!(Rc::ptr_eq(known, hub), "a server has its own");
        self.shared.names.replace(names.into());
    }

    fn names(&self) -> Rc<[String]> {
        Rc::clone(&self.shared.names.borrow())
    }

    /// Whether a stop was asked for: the server drains, or its clients are leaving. What a check of its
    /// health should say, at the price of reading one flag.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        let hub = self.shared.hub.get();
        hub.is_some_and(|hub| hub.counts.is_draining.get())
    }

    /// All that is counted, at this moment. It costs some microseconds however many clients there are:
    /// none of them is visited, but for up to 4,096 of those for which something waits.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let Some(hub) = self.shared.hub.get() else {
            return Snapshot::with_names(|_| 0, [0; CLOSE_CODES.len()]);
        };
        let counts = &hub.counts;
        let output = hub.output.borrow();
        let sent = output.total_sent();
        let whole = counts.whole_messages_read.get() + hub.uncounted_messages();
        let schedule = hub.schedule.borrow();
        let snapshot = Snapshot {
            uptime: hub.now.get().since(Moment::START),
            is_draining: counts.is_draining.get(),
            connections_accepted: counts.accepted.get(),
            connections: counts.connections.get(),
            responses: counts.responses(),
            websockets_opened: counts.opened.get(),
            endpoints: self.endpoints(hub),
            frames_read: counts.frames_read.get() + whole,
            frames_sent: sent.frames,
            messages_read: counts.messages_read.get() + whole,
            messages_sent: sent.messages,
            broadcasts: counts.broadcasts.get(),
            bytes_read: counts.bytes_read.get(),
            bytes_written: counts.bytes_written.get(),
            tls_handshakes: counts.tls_handshakes.get(),
            tls_handshakes_failed: counts.tls_failures.get(),
            tls_handshakes_pending: counts.securing.get(),
            http2_connections: counts.http2_connections.get(),
            http2_streams_opened: counts.streams.get(),
            http2_streams: counts.open_streams.get(),
            backlog_bytes: output.queued_bytes(),
            blocked_clients: output.blocked_count(),
            timers: schedule.wheel.len() as u64,
            timers_fired: counts.fired.get(),
            turns: counts
                .turns
                .borrow()
                .as_deref()
                .cloned()
                .unwrap_or_default(),
            panics: panics::count(),
            ..Snapshot::with_names(
                |limit| match limit {
                    Limit::Timers => schedule.dropped_count(),
                    limit => counts.refused(limit),
                },
                counts.closed(),
            )
        };
        drop(output);
        Snapshot {
            slowest: self.slowest(hub),
            ..snapshot
        }
    }

    /// Logs what the server has now, at `info`: who is connected, what waits, how long turns take. What
    /// `SIGUSR1` does where the server takes signals.
    pub fn log_state(&self) {
        for line in state_lines(&self.snapshot()) {
            log::info!("{line}");
        }
    }

    fn endpoints(&self, hub: &Hub) -> Vec<EndpointClients> {
        let mut clients = BTreeMap::<&str, u64>::new();
        let names = self.names();
        for (endpoint, name) in (0..=u16::MAX).zip(&*names) {
            // Without a name it is no endpoint.
            if !name.is_empty() {
                *clients.entry(name).or_default() += hub.client_count(endpoint) as u64;
            }
        }
        let clients = clients.into_iter();
        let told = clients.map(|(name, clients)| EndpointClients {
            name: name.to_owned(),
            clients,
        });
        told.collect()
    }

    fn slowest(&self, hub: &Hub) -> Vec<SlowClient> {
        let names = self.names();
        let directory = hub.directory.borrow();
        let mut output = hub.output.borrow_mut();
        let is_open = |slot| directory.id_at(slot).is_some();
        let slowest = output.slowest(SLOWEST, is_open).into_iter();
        let told = slowest.filter_map(|(slot, backlog_bytes)| {
            let id = directory.id_at(slot)?;
            Some(SlowClient {
                id,
                remote_address: directory.info(slot)?.remote_address,
                endpoint: names.get(usize::from(directory.endpoint_of(id)?))?.clone(),
                backlog_bytes,
            })
        });
        told.collect()
    }
}

impl fmt::Debug for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stats")
            .field("is_bound", &self.shared.hub.get().is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::internals::Simulation;
    use crate::{
        ClientId, CloseCode, Config, Endpoint, Host, Message, Request, Response, Router, Server,
        WebSocketConfig, WebSocketHandler, websocket,
    };
    use std::time::Duration;

    /// Sends each message to everyone, but for one that it closes, sends later, or fails at.
    struct Room {
        ws: Endpoint,
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
                b"large" => self.ws.broadcast(vec![0; 1000]),
                _ => self.ws.broadcast(message),
            }
        }
    }

    fn simulation(config: WebSocketConfig) -> (Simulation, Stats) {
        let room = websocket(|ws| Room { ws }).config(config);
        let server = Server::new().config(Config::default());
        let stats = server.stats();
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

    /// A broadcast counts for all members at once; what some of them are not sent is taken back.
    #[test]
    fn what_a_limit_keeps_from_a_client_does_not_count_as_sent() {
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
        // Header and payload.
        assert_eq!(snapshot.messages_sent, took as u64 / 1004);
        assert_eq!(took % 1004, 0, "whole messages");
        assert!(
            (11..20).contains(&snapshot.messages_sent),
            "{}",
            snapshot.messages_sent
        );
    }
}
