//! What does a delivery cost when one message goes to many clients, over real sockets?
//!
//! A server on a thread of its own, clients on loopback; one iteration is one message from the
//! send to its last byte at the last client. `broadcast` hands the message over once, `each`
//! sends it to every client by its id: the difference is what the shared log saves. The
//! throughput shown is deliveries.
//!
//!     cargo bench --bench broadcast

use aerys::{
    ClientId, Endpoint, Host, Message, Request, Response, Server, WebSocketConfig,
    WebSocketHandler, websocket,
};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

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
    handle: aerys::Handle,
    server: Option<JoinHandle<()>>,
}

impl Bench {
    fn new(client_count: usize) -> Self {
        let (sender, receiver) = mpsc::channel();
        let server = std::thread::spawn(move || {
            // The clients count bytes and answer no pings.
            let config = WebSocketConfig {
                heartbeat: None,
                ..WebSocketConfig::default()
            };
            let fan = websocket(|ws| Fan { ws }).config(config);
            let server = Server::new().host(Host::new().listen("127.0.0.1:0").add(fan));
            let bound = server.bind().expect("a free port");
            sender
                .send((bound.addresses()[0], bound.handle()))
                .expect("the bench waits");
            bound.run().expect("a graceful stop");
        });
        let (address, handle) = receiver.recv().expect("the server starts");
        let poll = Poll::new().expect("a poll");
        let clients = (0..client_count)
            .map(|index| connect(&poll, address, index))
            .collect();
        Self {
            poll,
            events: Events::with_capacity(1024),
            clients,
            missing: vec![0; client_count],
            buffer: vec![0; 256 * 1024],
            handle,
            server: Some(server),
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

impl Drop for Bench {
    fn drop(&mut self) {
        self.clients.clear();
        self.handle.stop();
        if let Some(server) = self.server.take() {
            server.join().expect("the server stops");
        }
    }
}

/// A client past its opening handshake, registered for reads.
fn connect(poll: &Poll, address: SocketAddr, index: usize) -> TcpStream {
    let mut stream = std::net::TcpStream::connect(address).expect("the server listens");
    stream.set_nodelay(true).expect("an option");
    let request = b"GET / HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(request).expect("a small write");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an answer");
        answer.push(byte[0]);
    }
    assert!(
        answer.starts_with(b"HTTP/1.1 101"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    stream.set_nonblocking(true).expect("an option");
    let mut stream = TcpStream::from_std(stream);
    poll.registry()
        .register(&mut stream, Token(index), Interest::READABLE)
        .expect("registers");
    stream
}

/// A masked binary frame (with a mask of zeros) that asks for `size` bytes.
fn request(how: u8, size: usize) -> Vec<u8> {
    let len = size + 1;
    let mut bytes = vec![0x82];
    if len <= 125 {
        bytes.push(0x80 | u8::try_from(len).expect("short"));
    } else {
        bytes.push(0xFE);
        bytes.extend_from_slice(&u16::try_from(len).expect("medium").to_be_bytes());
    }
    bytes.extend_from_slice(&[0; 4]);
    bytes.push(how);
    bytes.resize(bytes.len() + size, b'x');
    bytes
}

fn fan_out(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fan_out");
    group
        .sample_size(20)
        .measurement_time(Duration::from_secs(3));
    for clients in [10, 100, 1000] {
        let mut bench = Bench::new(clients);
        for size in [64, 1024, 16_384] {
            let frame_bytes = size + if size <= 125 { 2 } else { 4 };
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
