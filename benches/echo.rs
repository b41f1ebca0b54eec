//! What does an echo cost over real loopback sockets: alone, and when a hundred clients ask at
//! once? And what does a loop that spins ([`Config::busy_poll`]) spare the lone one?
//!
//! A server on a thread of its own, clients of plain sockets on this one. `lone` is one connection
//! in lockstep: an iteration is a round trip, most of it the kernel's going to sleep and waking
//! up, on both sides. `hundred` sends a message on each connection, then reads each echo: an
//! iteration is a hundred echoes, and the server finds many ready in one poll.
//!
//! Decided: `busy_poll` is off by default. On a machine of two processors that others wanted too,
//! lone round trips of 16 µs took 23 µs and more with it.
//!
//!     cargo bench --bench echo

#[path = "support/echo.rs"]
mod handler;
mod support;

use aerys::Config;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use handler::Echo;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use support::Running;
use support::frames::{answer_bytes, masked_frame};

const SIZES: [usize; 3] = [20, 1024, 16_384];

/// Clients of one server.
struct Bench {
    clients: Vec<TcpStream>,
    buffer: Vec<u8>,
    /// Dropped last: it waits for its clients to leave.
    _server: Running,
}

impl Bench {
    fn new(client_count: usize, busy_poll: Duration) -> Self {
        let config = Config {
            busy_poll,
            ..Config::default()
        };
        let server = Running::start(config, |ws| Echo { ws });
        Self {
            clients: (0..client_count).map(|_| server.connect()).collect(),
            buffer: vec![0; 64 * 1024],
            _server: server,
        }
    }

    /// One message on each connection, and its echo.
    fn echo(&mut self, request: &[u8], answer_bytes: usize) {
        for client in &mut self.clients {
            client.write_all(request).expect("a server that reads");
        }
        for client in &mut self.clients {
            client
                .read_exact(&mut self.buffer[..answer_bytes])
                .expect("an echo within ten seconds");
        }
    }
}

fn measure(criterion: &mut Criterion, name: &str, bench: &mut Bench) {
    let mut group = criterion.benchmark_group("echo");
    group.throughput(Throughput::Elements(bench.clients.len() as u64));
    for size in SIZES {
        let request = masked_frame(0x82, &vec![b'x'; size]);
        let answer_bytes = answer_bytes(size);
        group.bench_function(BenchmarkId::new(name, format!("{size} B")), |bencher| {
            bencher.iter(|| bench.echo(&request, answer_bytes));
        });
    }
    group.finish();
}

fn lone(criterion: &mut Criterion) {
    let mut bench = Bench::new(1, Duration::ZERO);
    measure(criterion, "lone", &mut bench);
}

fn lone_and_spinning(criterion: &mut Criterion) {
    let mut bench = Bench::new(1, Duration::from_millis(1));
    measure(criterion, "lone, busy_poll 1 ms", &mut bench);
}

fn hundred(criterion: &mut Criterion) {
    let mut bench = Bench::new(100, Duration::ZERO);
    measure(criterion, "hundred", &mut bench);
}

criterion_group!(benches, lone, lone_and_spinning, hundred);
criterion_main!(benches);
