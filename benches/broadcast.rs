//! What does a delivery cost when one message goes to many clients, over real sockets?
//!
//! A server on a thread of its own, clients on loopback; one iteration is one message from the
//! send to its last byte at the last client. `broadcast` hands the message over once, `each`
//! sends it to every client by its id: the difference is what the shared log saves. The
//! throughput shown is deliveries.
//!
//!     cargo bench --bench broadcast

mod support;

use aerys::{ClientId, Config, Endpoint, Message, Request, Response, WebSocketHandler};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::io::{ErrorKind, Read, Write};
use std::time::Duration;
use support::Running;
use support::frames::{answer_bytes, masked_frame};

/// Sends what it is told to from the bench: `b` and a payload to all at once, `e` one by one.
struct Fan {
    ws: Endpoint,
}

impl WebSocketHandler for Fan {
    type HandshakeData = ();

    fn on_handshake(&mut self, _: &Request, _: &mut Response) -> Option<()> {
        Some(())
    }

    fn on_data(&mut self, _: ClientId, message: Message<'_>) {
        match message.as_bytes() {
            [b'b', payload @ ..] => self.ws.broadcast(payload),
            [b'e', payload @ ..] => {
                for client in self.ws.clients() {
                    self.ws.send(client, payload);
                }
            }
            _ => {}
        }
    }
}

/// A running server, and the clients whose reads end an iteration.
struct Bench {
    poll: Poll,
    events: Events,
    clients: Vec<TcpStream>,
    /// Bytes that each client is still to get.
    missing: Vec<usize>,
    buffer: Vec<u8>,
    /// Dropped last: it waits for its clients to leave.
    _server: Running,
}

impl Bench {
    fn new(client_count: usize) -> Self {
        let server = Running::start(Config::default(), |ws| Fan { ws });
        let poll = Poll::new().expect("a poll");
        let connect = |index| {
            let stream = server.connect();
            stream.set_nonblocking(true).expect("an option");
            let mut stream = TcpStream::from_std(stream);
            poll.registry()
                .register(&mut stream, Token(index), Interest::READABLE)
                .expect("registers");
            stream
        };
        Self {
            clients: (0..client_count).map(connect).collect(),
            poll,
            events: Events::with_capacity(1024),
            missing: vec![0; client_count],
            buffer: vec![0; 256 * 1024],
            _server: server,
        }
    }

    /// Asks for one message to all and reads it at every client.
    fn deliver(&mut self, request: &[u8], frame_bytes: usize) {
        self.clients[0].write_all(request).expect("a small write");
        self.missing.fill(frame_bytes);
        let mut waiting = self.clients.len();
        while waiting > 0 {
            self.poll
                .poll(&mut self.events, Some(Duration::from_secs(10)))
                .expect("a poll");
            assert!(
                !self.events.is_empty(),
                "{waiting} clients got nothing for ten seconds"
            );
            for event in &self.events {
                let index = event.token().0;
                loop {
                    match self.clients[index].read(&mut self.buffer) {
                        Ok(0) => panic!("the server closed a client"),
                        Ok(len) => {
                            self.missing[index] -= len;
                            if self.missing[index] == 0 {
                                waiting -= 1;
                            }
                        }
                        Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        }
    }
}

/// A message that asks for `size` bytes.
fn request(how: u8, size: usize) -> Vec<u8> {
    let mut payload = vec![how];
    payload.resize(1 + size, b'x');
    masked_frame(0x82, &payload)
}

fn fan_out(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fan_out");
    group
        .sample_size(20)
        .measurement_time(Duration::from_secs(3));
    for clients in [10, 100, 1000] {
        let mut bench = Bench::new(clients);
        for size in [64, 1024, 16_384] {
            let frame_bytes = answer_bytes(size);
            group.throughput(Throughput::Elements(clients as u64));
            for (name, how) in [("broadcast", b'b'), ("each", b'e')] {
                let request = request(how, size);
                let id = BenchmarkId::new(name, format!("{clients} clients, {size} B"));
                group.bench_function(id, |bencher| {
                    bencher.iter(|| bench.deliver(&request, frame_bytes));
                });
            }
        }
    }
    group.finish();
}

criterion_group!(benches, fan_out);
criterion_main!(benches);
