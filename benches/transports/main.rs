//! What do TLS and HTTP/2 add to a handshake, an echo and a delivery, over real loopback sockets, and
//! does every client get the very same bytes?
//!
//! The server has a thread of its own, whose processor time on the scheduler's account is what
//! counts; all clients are on the bench's thread, and compare each byte that comes. Kinds of
//! clients are measured in turns, since the speed of a machine drifts.
//!
//!     cargo bench --bench transports                          # all of it, about four minutes
//!     cargo bench --bench transports -- fanout --rounds 5
//!     cargo bench --bench transports -- echo --clients 50
//!     cargo bench --bench transports -- echo fanout --calls   # system calls, by perf, as root
//!     cargo bench --bench transports -- --check               # few of all: are the bytes right?
//!
//! | part | what |
//! |---|---|
//! | `handshakes` | connect, GET, close: without TLS, TLS 1.3 and 1.2, full and resumed |
//! | `echo` | 64 B and 16 KiB |
//! | `fanout` | 64 B and 1 KiB to 300 and to 1,000 clients |
//! | `mixed` | 1,000 broadcasts to 300 clients of each kind at once, and to each kind alone |
//! | `memory` | resident bytes of an idle client of each kind |

#[path = "../support/anybody.rs"]
mod anybody;
mod connection;
#[path = "../support/echo.rs"]
mod echo_handler;
mod figures;
#[path = "../support/frames.rs"]
#[expect(
    dead_code,
    reason = "other benches count bytes where this one compares them"
)]
mod frames;
mod handshakes;
mod http2;
mod load;
mod memory;
mod messages;
mod server;
mod tls;

use rustix::process::{Resource, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};
use std::process::ExitCode;

/// How much of everything is done.
pub(crate) struct Settings {
    pub(crate) rounds: usize,
    clients: Option<usize>,
    /// For a look at the bytes, not at the times.
    is_short: bool,
    /// System calls are counted, which takes time.
    pub(crate) counts_calls: bool,
}

impl Settings {
    /// As many as were asked for, or `usual`.
    fn clients(&self, usual: usize) -> usize {
        let few = self.is_short.then_some(30);
        self.clients.or(few).unwrap_or(usual)
    }

    /// `usual` times, or few.
    fn scaled(&self, usual: usize) -> usize {
        if self.is_short { usual.min(20) } else { usual }
    }
}

type Part = (&'static str, fn(&Settings));
const PARTS: [Part; 5] = [
    ("handshakes", handshakes::run),
    ("echo", messages::echoes),
    ("fanout", messages::fan_out),
    ("mixed", messages::mixture),
    ("memory", memory::run),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    raise_descriptor_limit();
    if arguments == ["serve"] {
        server::serve_as_process();
        return ExitCode::SUCCESS;
    }
    let Some((settings, parts)) = parse(&arguments) else {
        let names = PARTS.map(|(name, _)| name).join("|");
        eprintln!("usage: transports [{names}]... [--clients N] [--rounds N] [--calls] [--check]");
        return ExitCode::from(2);
    };
    figures::print_machine();
    pin(1);
    for (_, run) in parts {
        run(&settings);
    }
    ExitCode::SUCCESS
}

fn parse(arguments: &[String]) -> Option<(Settings, Vec<Part>)> {
    let (mut rounds, mut clients) = (None, None);
    let (mut is_short, mut is_bench, mut counts_calls) = (false, false, false);
    let mut parts = Vec::new();
    let mut words = arguments.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "--bench" => is_bench = true,
            "--check" => is_short = true,
            "--calls" => counts_calls = true,
            "--rounds" => rounds = Some(words.next()?.parse().ok().filter(|n| *n > 0)?),
            "--clients" => clients = Some(words.next()?.parse().ok().filter(|n| *n > 0)?),
            name => parts.push(*PARTS.iter().find(|part| part.0 == name)?),
        }
    }
    if parts.is_empty() {
        parts = PARTS.to_vec();
    }
    // `cargo test --benches` only wants to know whether it runs.
    is_short |= !is_bench;
    let settings = Settings {
        rounds: rounds.unwrap_or(if is_short { 1 } else { 9 }),
        clients,
        is_short,
        counts_calls,
    };
    Some((settings, parts))
}

/// Keeps this thread on one processor.
pub(crate) fn pin(processor: usize) {
    let mut set = CpuSet::new();
    set.set(processor);
    // Where there is none with this number, figures are only less steady.
    let _ = sched_setaffinity(None, &set);
}

/// Both ends of each connection are in this process.
fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("up to the maximum");
}
