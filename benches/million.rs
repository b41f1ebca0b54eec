//! What does each of a million idle WebSocket clients take, and for how long does the loop hold
//! everybody up when all of them are to be written at once?
//!
//! One server with the defaults of `aerys serve` over simulated sockets and a simulated clock
//! ([`Simulation`]): a write counts its bytes and no more, so what is measured is this program
//! without the kernel. Times are of the thread's processor time.
//!
//!     cargo bench --bench million                    # a million
//!     cargo bench --bench million -- 100000          # fewer
//!     cargo bench --bench million -- --check         # fails above 205 bytes a client
//!
//! Decided: tables by slot with no allocation for an idle client, the ring, and how much each phase
//! of a turn may do.

#![expect(clippy::cast_precision_loss, reason = "figures to be read")]

use aerys::internals::{Peer, Simulation};
use aerys::{
    ClientId, Config, Endpoint, Frame, Host, Message, Request, Response, Router, Server,
    WebSocketConfig, WebSocketHandler, websocket,
};
use rustix::time::{ClockId, clock_gettime};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// What the figures are to be at most.
const CLIENT_BYTES: f64 = 205.0;
const DELIVERY: Duration = Duration::from_nanos(60);
const TURN: Duration = Duration::from_millis(2);

/// How often a broadcast is measured.
const ROUNDS: usize = 11;
/// Clients that connect before the loop has its turns.
const CONNECTED_AT_ONCE: usize = 256;
/// Clients whose output is looked at byte by byte.
const WATCHED: usize = 8;
/// The server's heartbeat period.
const HEARTBEAT: Duration = Duration::from_secs(10);
const MILLI: Duration = Duration::from_millis(1);
/// Over so many milliseconds is spread what must be over within a heartbeat period.
const SPREAD: u32 = 9900;

const HANDSHAKE: &[u8] = b"GET /broadcast HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";
/// An answer to a ping, with a mask of zeros.
const PONG: &[u8] = b"\x8A\x80\0\0\0\0";
const PAYLOAD_BYTES: usize = 64;
/// What it makes on the wire.
const FRAME_BYTES: u64 = PAYLOAD_BYTES as u64 + 2;

/// Broadcasts text as the program's endpoint does; binary messages are the bench's commands.
struct Application {
    ws: Endpoint,
    clients: Vec<ClientId>,
    shared: Frame,
}

impl WebSocketHandler for Application {
    type HandshakeData = ();

    fn on_handshake(&mut self, _: &Request, _: &mut Response) -> Option<()> {
        Some(())
    }

    fn on_data(&mut self, _: ClientId, message: Message<'_>) {
        match message {
            Message::Text(_) => self.ws.broadcast(message),
            Message::Binary(b"clients") => self.clients = self.ws.clients(),
            Message::Binary(b"forget") => self.clients = Vec::new(),
            Message::Binary(command) => self.delay(command),
        }
    }
}

impl Application {
    /// Delays sends to clients as a [`Delays`] asks for.
    fn delay(&mut self, command: &[u8]) {
        let delays = Delays::decode(command);
        let payload = [b'x'; 32];
        for index in delays.first..delays.first + delays.count {
            let delay = delays.least + u32::try_from(index).expect("small") % delays.ticks * MILLI;
            let client = self.clients[index];
            if delays.shared {
                self.ws.send_after(delay, client, &self.shared);
            } else {
                self.ws.send_after(delay, client, &payload);
            }
        }
    }
}

/// A command: to send to each of so many clients later.
#[derive(Clone, Copy)]
struct Delays {
    first: usize,
    count: usize,
    /// From this on, over so many milliseconds.
    least: Duration,
    ticks: u32,
    /// One frame for all of them, in place of a payload for each.
    shared: bool,
}

impl Delays {
    fn encode(self) -> Vec<u8> {
        let millis = u64::try_from(self.least.as_millis()).expect("small");
        let numbers = [
            self.first as u64,
            self.count as u64,
            millis,
            self.ticks.into(),
            self.shared.into(),
        ];
        numbers.iter().flat_map(|n| n.to_le_bytes()).collect()
    }

    fn decode(bytes: &[u8]) -> Self {
        let number = |index: usize| {
            let bytes = bytes[8 * index..][..8].try_into().expect("eight");
            u64::from_le_bytes(bytes)
        };
        let small = |index| usize::try_from(number(index)).expect("small");
        Self {
            first: small(0),
            count: small(1),
            least: Duration::from_millis(number(2)),
            ticks: u32::try_from(number(3)).expect("small"),
            shared: number(4) == 1,
        }
    }
}

/// What some turns of the loop took.
#[derive(Clone, Copy, Debug, Default)]
struct Turns {
    count: usize,
    total: Duration,
    /// The longest ones.
    longest: [Duration; 3],
}

impl Turns {
    fn add(&mut self, turn: Duration) {
        self.count += 1;
        self.total += turn;
        self.note(turn);
    }

    fn note(&mut self, mut turn: Duration) {
        for longest in &mut self.longest {
            if turn > *longest {
                std::mem::swap(longest, &mut turn);
            }
        }
    }

    fn add_all(&mut self, others: Self) {
        self.count += others.count;
        self.total += others.total;
        for turn in others.longest {
            self.note(turn);
        }
    }
}

struct Bench {
    simulation: Simulation,
    peers: Vec<Peer>,
}

impl Bench {
    /// A server without clients, for `count` of them at most.
    fn new(count: usize) -> Self {
        let websocket_config = WebSocketConfig {
            max_frame_bytes: 16 << 20,
            max_message_bytes: 16 << 20,
            ..WebSocketConfig::default()
        };
        let application = websocket(|ws| Application {
            ws,
            clients: Vec::new(),
            shared: Frame::binary([b'x'; 32]),
        });
        let router = Router::new().get("/broadcast", application.config(websocket_config));
        let config = Config {
            max_connections: Some(count),
            // A million delayed sends of 32 bytes are 34 MB; several kinds follow each other.
            max_delayed_bytes: 256 << 20,
            ..Config::default()
        };
        let server = Server::new().config(config).host(Host::new().add(router));
        let mut simulation = Simulation::new(server).expect("it starts");
        simulation.reserve(2 * count);
        Self {
            simulation,
            peers: Vec::with_capacity(count),
        }
    }

    fn count(&self) -> u32 {
        u32::try_from(self.peers.len()).expect("fewer than 2^24")
    }

    /// Opens `count` clients by handshakes, over almost a heartbeat period of the simulated time.
    fn open(&mut self, count: usize) -> Turns {
        let mut turns = Turns::default();
        let mut passed = 0;
        let first = self.peers.len();
        while self.peers.len() < count {
            let missing = count - self.peers.len();
            let batch = missing.min(CONNECTED_AT_ONCE);
            for _ in 0..batch {
                let peer = self.simulation.connect(self.peers.len() < WATCHED);
                self.simulation.send(peer, HANDSHAKE);
                self.peers.push(peer);
            }
            turns.add_all(self.settle());
            let opened = self.peers.len() - first;
            let due = SPREAD as usize * opened / (count - first);
            let step = u32::try_from(due - passed).expect("small");
            self.simulation.advance(step * MILLI);
            passed = due;
        }
        for &peer in &self.peers[..WATCHED.min(count)] {
            let answer = self.simulation.take_output(peer);
            assert!(answer.starts_with(b"HTTP/1.1 101 "), "no 101 for {peer:?}");
        }
        assert_eq!(self.simulation.client_count(), count);
        turns
    }

    /// Turns until nothing is left to do now.
    fn settle(&mut self) -> Turns {
        let mut turns = Turns::default();
        while self.simulation.is_busy() {
            turns.add(self.turn());
        }
        turns
    }

    fn turn(&mut self) -> Duration {
        let begin = thread_time();
        self.simulation.turn().expect("it goes on");
        since(begin)
    }

    /// A client sends a message (masked, with a mask of zeros).
    fn send(&mut self, opcode: u8, payload: &[u8]) {
        let sender = self.peers[self.peers.len() / 2];
        let mut bytes = vec![0x80 | opcode];
        bytes.push(0x80 | u8::try_from(payload.len()).expect("a short one"));
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(payload);
        self.simulation.send(sender, &bytes);
    }

    fn taken(&self) -> Vec<u64> {
        let taken = |peer: &Peer| self.simulation.taken(*peer);
        self.peers.iter().map(taken).collect()
    }

    /// Whether each client was given `bytes` since `before`.
    fn assert_given(&self, before: &[u64], bytes: u64, what: &str) {
        for (before, peer) in before.iter().zip(&self.peers) {
            let given = self.simulation.taken(*peer) - before;
            assert_eq!(given, bytes, "{what}: {peer:?}");
        }
    }

    /// Whether each watched client was given exactly `bytes` since the last look.
    fn assert_watched(&mut self, bytes: &[u8], what: &str) {
        for &peer in &self.peers[..WATCHED.min(self.peers.len())] {
            let output = self.simulation.take_output(peer);
            assert!(output == bytes, "{what}: {}", output.escape_ascii());
        }
    }

    fn forget_watched(&mut self) {
        for &peer in &self.peers[..WATCHED.min(self.peers.len())] {
            let _ = self.simulation.take_output(peer);
        }
    }

    /// One message to all, some times; each time what its turns took.
    fn broadcasts(&mut self) -> Vec<Turns> {
        let before = self.taken();
        let rounds = (0..ROUNDS)
            .map(|_| {
                self.send(1, &[b'x'; PAYLOAD_BYTES]);
                self.settle()
            })
            .collect();
        self.assert_given(&before, ROUNDS as u64 * FRAME_BYTES, "broadcasts");
        self.forget_watched();
        rounds
    }

    /// The same with one message more in each turn until `count` were sent, and then to the end.
    fn broadcast_each_turn(&mut self, count: usize) -> Turns {
        let before = self.taken();
        let mut turns = Turns::default();
        for _ in 0..count {
            self.send(1, &[b'x'; PAYLOAD_BYTES]);
            turns.add(self.turn());
        }
        turns.add_all(self.settle());
        self.assert_given(&before, count as u64 * FRAME_BYTES, "broadcasts in turns");
        self.forget_watched();
        turns
    }

    /// What the simulated sockets' own counting takes of a broadcast.
    fn socket_times(&mut self) -> Vec<Turns> {
        let frame = [b'x'; PAYLOAD_BYTES + 2];
        let rounds = (0..ROUNDS)
            .map(|_| {
                let begin = thread_time();
                for &peer in &self.peers {
                    self.simulation.count_as_write(peer, &frame);
                }
                let mut turns = Turns::default();
                turns.add(since(begin));
                turns
            })
            .collect();
        self.forget_watched();
        rounds
    }

    /// So much time passes in steps, each with the turns that it takes.
    fn pass(&mut self, duration: Duration, step: Duration) -> Turns {
        let mut turns = Turns::default();
        let mut passed = Duration::ZERO;
        while passed < duration {
            self.simulation.advance(step);
            passed += step;
            turns.add_all(self.settle());
        }
        turns
    }

    /// A period passes, and every client is pinged.
    fn heartbeats(&mut self, step: Duration) -> Turns {
        let before = self.taken();
        let turns = self.pass(HEARTBEAT, step);
        self.assert_given(&before, 2, "heartbeats");
        self.assert_watched(b"\x89\x00", "heartbeats");
        turns
    }

    /// Every client answers.
    fn pongs(&mut self) -> Turns {
        let mut turns = Turns::default();
        for first in (0..self.peers.len()).step_by(CONNECTED_AT_ONCE) {
            let end = self.peers.len().min(first + CONNECTED_AT_ONCE);
            for &peer in &self.peers[first..end] {
                self.simulation.send(peer, PONG);
            }
            turns.add_all(self.settle());
        }
        turns
    }

    /// Delays one send for each client; what that took, and the bytes that it takes.
    fn delay(&mut self, delays: Delays) -> (Turns, usize) {
        let before = resident_bytes();
        let mut turns = Turns::default();
        for first in (0..self.peers.len()).step_by(1000) {
            let count = 1000.min(self.peers.len() - first);
            let command = Delays {
                first,
                count,
                ..delays
            };
            self.send(2, &command.encode());
            turns.add_all(self.settle());
        }
        (turns, resident_bytes().saturating_sub(before))
    }

    /// All leave, in an order that has no pattern, and come again: a member of the ring and its
    /// neighbour have nothing to do with each other in any table by slot then.
    fn mix(&mut self) {
        let count = self.peers.len();
        let mut order: Vec<usize> = (0..count).collect();
        let mut state = 1_u64;
        for last in (1..count).rev() {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let other = (state >> 33) % (last as u64 + 1);
            order.swap(last, usize::try_from(other).expect("an index"));
        }
        for batch in order.chunks(CONNECTED_AT_ONCE) {
            for &index in batch {
                self.simulation.end(self.peers[index]);
            }
            self.settle();
        }
        assert_eq!(self.simulation.client_count(), 0);
        self.peers.clear();
        self.open(count);
    }
}

/// The processor time of this thread.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).expect("not negative");
    let nanos = u32::try_from(time.tv_nsec).expect("below 10^9");
    Duration::new(seconds, nanos)
}

/// The processor time of this thread since it was `begin`.
fn since(begin: Duration) -> Duration {
    thread_time().saturating_sub(begin)
}

/// Memory of the whole process that is resident, in bytes.
fn resident_bytes() -> usize {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").expect("Linux");
    let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    1024 * kib.and_then(|kib| kib.parse::<usize>().ok()).expect("kB")
}

/// Prints one line of the table, with `!` if the figure is above what it is to be.
fn print(what: &str, figure: &str, target: &str, above: bool) {
    let mark = if above { "!" } else { "" };
    println!("{what:<56} {figure:>34}  {target:<10} {mark}");
}

fn print_each(what: &str, rounds: &[Turns], count: u32, target: Option<Duration>) {
    let mut each: Vec<Duration> = rounds.iter().map(|turns| turns.total).collect();
    each.sort_unstable();
    let nanos = |total: Duration| total.as_nanos() as f64 / f64::from(count);
    let median = nanos(each[each.len() / 2]);
    let (least, most) = (nanos(each[0]), nanos(each[each.len() - 1]));
    let figure = if each.len() > 1 {
        format!("{median:.1} ns ({least:.1} to {most:.1})")
    } else {
        format!("{median:.0} ns")
    };
    let above = target.is_some_and(|target| median > target.as_nanos() as f64);
    let target = target.map_or(String::new(), |target| format!("<= {target:?}"));
    print(what, &figure, &target, above);
}

fn print_longest(what: &str, rounds: &[Turns]) {
    let mut all = Turns::default();
    for turns in rounds {
        all.add_all(*turns);
    }
    let [first, second, third] = all.longest.map(|turn| turn.as_micros());
    let figure = format!("{first}, {second}, {third} us of {}", all.count);
    print(
        what,
        &figure,
        &format!("<= {TURN:?}"),
        all.longest[0] > TURN,
    );
}

/// The clients are opened. What each takes, in bytes.
fn memory(bench: &mut Bench, count: usize) -> f64 {
    let (before, begin) = (resident_bytes(), Instant::now());
    let turns = bench.open(count);
    let grown = resident_bytes() - before;
    let own = Simulation::SOCKET_BYTES + size_of::<Peer>();
    let each = grown as f64 / count as f64 - own as f64;
    print(
        "memory of a client (resident)",
        &format!("{each:.1} B"),
        &format!("<= {CLIENT_BYTES} B"),
        each > CLIENT_BYTES,
    );
    print(
        "  beside it: simulated socket, the bench's number of it",
        &format!("{own} B"),
        "",
        false,
    );
    let each_open = [turns];
    print_each("opening handshake", &each_open, bench.count(), None);
    print_longest("  longest turns", &each_open);
    print(
        "  all of them, by the wall clock",
        &format!("{:.1} s", begin.elapsed().as_secs_f64()),
        "",
        false,
    );
    each
}

fn broadcasts(bench: &mut Bench) {
    let sockets = bench.socket_times();
    let rounds = bench.broadcasts();
    let all = "64 B broadcast, for each client";
    print_each(all, &rounds, bench.count(), Some(DELIVERY));
    let own = "  of that the simulated socket";
    print_each(own, &sockets, bench.count(), None);
    print_longest("  longest turns", &rounds);
    for count in [200, 2000] {
        let turns = bench.broadcast_each_turn(count);
        let what = format!("  longest turns with a broadcast in each of {count}");
        print_longest(&what, &[turns]);
    }
}

fn heartbeats(bench: &mut Bench) {
    let count = bench.count();
    for (what, step) in [
        ("ping, spread over 10 s", MILLI),
        ("ping, all due since up to 10 s", HEARTBEAT),
        ("ping, all due at the same tick", HEARTBEAT),
    ] {
        let turns = [bench.heartbeats(step)];
        print_each(what, &turns, count, None);
        print_longest("  longest turns", &turns);
    }
    let turns = [bench.pongs()];
    print_each("pong", &turns, count, None);
    print_longest("  longest turns", &turns);
}

fn delayed_sends(bench: &mut Bench) {
    let count = bench.count();
    bench.send(2, b"clients");
    bench.settle();
    let one_tick = Delays {
        first: 0,
        count: 0,
        least: 5000 * MILLI,
        ticks: 1,
        shared: true,
    };
    let spread = Delays {
        least: MILLI,
        ticks: SPREAD,
        ..one_tick
    };
    for (what, delays, step) in [
        ("spread over 10 s, one frame", spread, MILLI),
        ("all on one tick, one frame", one_tick, 5000 * MILLI),
        (
            "all on one tick, 32 B each",
            Delays {
                shared: false,
                ..one_tick
            },
            5000 * MILLI,
        ),
    ] {
        // Else their heartbeats come between.
        bench.pongs();
        let (insert, bytes) = bench.delay(delays);
        print_each(&format!("delayed send, {what}"), &[insert], count, None);
        let each = bytes as f64 / f64::from(count);
        let reused = if delays.least == MILLI { "" } else { " more" };
        print("  memory", &format!("{each:.1} B{reused}"), "", false);
        let before = bench.taken();
        let duration = if delays.ticks > 1 {
            SPREAD * MILLI
        } else {
            step
        };
        let expire = [bench.pass(duration, step)];
        bench.assert_given(&before, 34, "delayed sends");
        bench.forget_watched();
        print_each("  sending it", &expire, count, None);
        print_longest("  longest turns of that", &expire);
    }
    bench.send(2, b"forget");
    bench.settle();
}

/// Nobody answers: three pings, and then the close of all at once.
fn silence(bench: &mut Bench) {
    bench.pongs();
    for _ in 0..3 {
        bench.heartbeats(HEARTBEAT);
    }
    let turns = [bench.pass(HEARTBEAT, HEARTBEAT)];
    bench.assert_watched(
        b"\x88\x20\x03\xF0Too many pings went unanswered",
        "the close",
    );
    print_each(
        "close for three unanswered pings",
        &turns,
        bench.count(),
        None,
    );
    print_longest("  longest turns", &turns);
}

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut take = |flag: &str| {
        let before = arguments.len();
        arguments.retain(|argument| argument != flag);
        arguments.len() < before
    };
    let (check, is_bench) = (take("--check"), take("--bench"));
    let count = arguments.iter().find_map(|argument| argument.parse().ok());
    // `cargo test --benches` only wants to know whether it runs.
    let count: usize = count.unwrap_or(if is_bench { 1_000_000 } else { 5000 });

    // So that pages of code are none of the first client's.
    let mut warm_up = Bench::new(1000);
    warm_up.open(1000);
    warm_up.broadcasts();
    drop(warm_up);

    println!("{count} clients");
    let mut bench = Bench::new(count);
    let each = memory(&mut bench, count);
    broadcasts(&mut bench);
    heartbeats(&mut bench);
    delayed_sends(&mut bench);
    silence(&mut bench);
    drop(bench);

    let mut bench = Bench::new(count);
    bench.open(count);
    bench.mix();
    println!("slots in an order without a pattern");
    broadcasts(&mut bench);
    heartbeats(&mut bench);

    if check && each > CLIENT_BYTES {
        eprintln!("a client takes {each:.1} bytes, more than {CLIENT_BYTES}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
