//! What does compression cost a message to 1,000 clients: once for each window, or for each client?
//!
//! On simulated sockets, whose writes only count, so that what differs is what the server does. One
//! iteration is one message of JSON for everybody: `plain` to clients that do not compress, `one
//! window` and `three windows` as the server does it, `each client` compressed for one after the
//! other without a context (`plain, each client`: what the sending takes of that), `each context` with
//! a compressor for each of them, at its best: the message is a little different each time. The
//! throughput shown is deliveries.
//!
//! Decided: broadcasts are compressed once for each window, in both modes.
//!
//!     cargo bench --bench compression

use aerys::internals::Simulation;
use aerys::{
    ClientId, Compression, CompressionMode, Endpoint, Host, Message, Request, Response, Router,
    Server, WebSocketConfig, WebSocketHandler, websocket,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::cell::RefCell;
use std::rc::Rc;

const CLIENTS: usize = 1000;

/// Nothing but a place for clients: what they are sent comes from the bench.
struct Members(Rc<RefCell<Vec<ClientId>>>);

impl WebSocketHandler for Members {
    type HandshakeData = ();

    fn on_handshake(&mut self, _: &Request, _: &mut Response) -> Option<()> {
        Some(())
    }

    fn on_open(&mut self, client: ClientId, (): ()) {
        self.0.borrow_mut().push(client);
    }

    fn on_data(&mut self, _: ClientId, _: Message<'_>) {}
}

struct Bench {
    simulation: Simulation,
    ws: Endpoint,
    clients: Vec<ClientId>,
    /// The message, of which a number changes each time.
    count: u32,
    rest: String,
}

impl Bench {
    /// Clients that make these offers in turn.
    fn new(mode: CompressionMode, offers: &[&str], len: usize) -> Self {
        let opened = Rc::default();
        let endpoint = websocket(|_| Members(Rc::clone(&opened))).config(WebSocketConfig {
            heartbeat: None,
            compression: Some(Compression {
                mode,
                ..Compression::default()
            }),
            ..WebSocketConfig::default()
        });
        let ws = endpoint.endpoint();
        let host = Host::new().add(Router::new().get("/", endpoint));
        let mut simulation = Simulation::new(Server::new().host(host)).expect("starts");
        for offer in offers.iter().cycle().take(CLIENTS) {
            let peer = simulation.connect(false);
            let request = format!(
                "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Extensions: {offer}\r\n\r\n"
            );
            simulation.send(peer, request.as_bytes());
            simulation.settle().expect("it goes on");
        }
        let entries = (0..).map(|n: u32| {
            let price = n.wrapping_mul(7919) % 1000;
            format!(
                "{{\"symbol\":\"S{n}\",\"price\":{price}.25,\"volume\":{}}},",
                price * 7
            )
        });
        let rest: String = entries.take(len / 30).collect();
        Self {
            simulation,
            ws,
            clients: opened.take(),
            count: 0,
            rest: rest[..len - 10].to_owned(),
        }
    }

    fn message(&mut self) -> String {
        self.count += 1;
        format!("{:010}{}", self.count, self.rest)
    }

    fn broadcast(&mut self) {
        let message = self.message();
        self.ws.broadcast(message);
        self.simulation.settle().expect("it goes on");
    }

    fn send_to_each(&mut self) {
        let message = self.message();
        for client in &self.clients {
            self.ws.send(*client, message.as_str());
        }
        self.simulation.settle().expect("it goes on");
    }
}

fn fan_out(criterion: &mut Criterion) {
    use CompressionMode::{Dedicated, Shared};
    let one = ["permessage-deflate"];
    let three = [
        "permessage-deflate",
        "permessage-deflate; server_max_window_bits=12",
        "permessage-deflate; server_max_window_bits=9",
    ];
    for len in [1024, 16 * 1024] {
        let mut group = criterion.benchmark_group(format!("compression/{len} bytes to 1,000"));
        group.throughput(Throughput::Elements(CLIENTS as u64));
        let mut run = |name, mode, offers: &[&str], act: fn(&mut Bench)| {
            let mut bench = Bench::new(mode, offers, len);
            group.bench_function(name, |bencher| bencher.iter(|| act(&mut bench)));
        };
        run("plain", Shared, &["none"], Bench::broadcast);
        run("one window", Shared, &one, Bench::broadcast);
        run("three windows", Shared, &three, Bench::broadcast);
        run("plain, each client", Shared, &["none"], Bench::send_to_each);
        run("each client", Shared, &one, Bench::send_to_each);
        run("each context", Dedicated, &one, Bench::send_to_each);
    }
}

criterion_group!(benches, fan_out);
criterion_main!(benches);
