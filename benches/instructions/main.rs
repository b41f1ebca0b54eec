//! How many instructions does the server take for a message, a request, a client? A figure that
//! holds still on a noisy machine, so that a regression of a few percent shows in CI.
//!
//! `instructions SCENARIO COUNT` runs so many units of one scenario over simulated sockets; under
//! callgrind, which counts what [`serve_counted`] executes. Two runs of different length give the
//! price of one unit. The simulated sockets are part of it (about two hundred instructions of an
//! echo: poll, read, write), what the clients do is not, and a kernel there is none.
//! `benches/instructions/check` does all that, and compares with `budget.txt`.

#[path = "../support/echo.rs"]
mod echo;
#[path = "../support/frames.rs"]
mod frames;

mod http2;

use aerys::internals::{Deflater, Peer, Simulation};
use aerys::{
    ClientId, Compression, Config, Endpoint, Host, Message, Request, Response, Router, Server,
    WebSocketConfig, WebSocketHandler, websocket,
};
use echo::Echo;
use frames::{answer_bytes, masked_frame, opening_handshake};
use std::process::ExitCode;
use std::time::Duration;

/// Opcodes, with FIN.
const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const PING: u8 = 0x89;
/// Beside an opcode: the message is compressed.
const RSV1: u8 = 0x40;

/// Opening handshakes that come in one turn.
const NEWCOMERS: usize = 10;

/// What is counted, by name, with the units of the shorter run: whole rounds, and enough of them
/// that every buffer has its size before the longer run begins to differ.
const SCENARIOS: &[(&str, usize)] = &[
    ("echo-20", 4_000),
    ("echo-20-metrics", 4_000),
    ("echo-20-burst", 16_000),
    ("echo-1k", 4_000),
    ("echo-16k", 1_000),
    ("echo-text-128", 4_000),
    ("echo-4-fragments", 4_000),
    ("deflate-5", 4_000),
    ("deflate-echo-1k", 4_000),
    ("ping", 4_000),
    ("broadcast-1000", 20_000),
    ("deflate-broadcast-1000", 20_000),
    ("list-1000", 20_000),
    ("each-1000", 20_000),
    ("handshake", 500),
    ("http-get", 4_000),
    ("http-get-pipelined", 8_000),
    ("http2-get", 4_000),
    ("http2-echo-20", 4_000),
    ("http2-broadcast-1000", 20_000),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        // Cargo's call has this flag, and whatever is meant for criterion.
        _ if arguments.is_empty() || arguments.contains(&"--bench") => {
            println!("instructions: counted under callgrind, run benches/instructions/check");
        }
        ["list"] => {
            for (name, count) in SCENARIOS {
                println!("{name} {count}");
            }
        }
        [name, count] => run(name, count.parse().expect("a number")),
        _ => {
            eprintln!("usage: instructions SCENARIO COUNT | list");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

/// Runs `count` units of the scenario `name`.
fn run(name: &str, count: usize) {
    match name {
        "echo-20" => exchange("/echo", 100, 1, &echo(BINARY, &[b'x'; 20]), count),
        // Somebody asked for the counters: turns are timed, too.
        "echo-20-metrics" => exchange("/metrics/echo", 100, 1, &echo(BINARY, &[b'x'; 20]), count),
        "echo-20-burst" => exchange("/echo", 100, 16, &echo(BINARY, &[b'x'; 20]), count),
        "echo-1k" => exchange("/echo", 100, 1, &echo(BINARY, &[b'x'; 1024]), count),
        // Few clients, so that a turn's output is written in its end and not before.
        "echo-16k" => exchange("/echo", 10, 1, &echo(BINARY, &[b'x'; 16_384]), count),
        // Two bytes, three, and one that is ASCII: validation has no short way past it.
        "echo-text-128" => {
            let text = "Grüße, 世界!".repeat(8);
            assert_eq!(text.len(), 128);
            exchange("/echo", 100, 1, &echo(TEXT, text.as_bytes()), count);
        }
        "echo-4-fragments" => exchange("/echo", 100, 1, &fragments(), count),
        // Comes compressed and goes back as it is: RFC 7692 section 7.2.3.1, "Hello".
        "deflate-5" => {
            let call = Call {
                request: masked_frame(TEXT | RSV1, b"\xf2\x48\xcd\xc9\xc9\x07\x00"),
                answer_bytes: answer_bytes(5),
            };
            exchange("/deflate/echo", 100, 1, &call, count);
        }
        "deflate-echo-1k" => {
            let payload = deflated();
            let call = Call {
                request: masked_frame(TEXT | RSV1, &payload),
                answer_bytes: answer_bytes(payload.len()),
            };
            exchange("/deflate/echo", 100, 1, &call, count);
        }
        "ping" => exchange("/echo", 100, 1, &echo(PING, b"ping"), count),
        "broadcast-1000" => fan_out("/broadcast", &echo(BINARY, &[b'x'; 64]), count),
        // Compressed anew for each round, and none of it for each receiver.
        "deflate-broadcast-1000" => {
            let payload = deflated();
            let call = Call {
                request: masked_frame(TEXT | RSV1, &payload),
                answer_bytes: answer_bytes(payload.len()),
            };
            fan_out("/deflate/broadcast", &call, count);
        }
        "list-1000" => fan_out("/list", &echo(BINARY, &[b'x'; 64]), count),
        "each-1000" => fan_out("/each", &echo(BINARY, &[b'x'; 64]), count),
        "handshake" => handshakes(count),
        "http-get" => exchange("/", 100, 1, &get(), count),
        "http-get-pipelined" => exchange("/", 50, 16, &get(), count),
        "http2-get" => http2::requests(count),
        "http2-echo-20" => http2::echoes(count),
        "http2-broadcast-1000" => http2::fan_out(count),
        _ => panic!("no scenario {name}"),
    }
}

/// The one function whose instructions count, with all that it calls. The check names it; no
/// other function's name may contain this one's.
#[inline(never)]
fn serve_counted(simulation: &mut Simulation) {
    let _ = simulation.settle();
}

/// What a client sends, and how long the answer is.
struct Call {
    request: Vec<u8>,
    answer_bytes: usize,
}

fn echo(first: u8, payload: &[u8]) -> Call {
    Call {
        request: masked_frame(first, payload),
        answer_bytes: answer_bytes(payload.len()),
    }
}

/// A binary message of four fragments with 20 bytes each, which comes back as one frame.
fn fragments() -> Call {
    let firsts = [0x02, 0x00, 0x00, 0x80];
    let fragments = firsts.map(|first| masked_frame(first, &[b'x'; 20]));
    Call {
        request: fragments.concat(),
        answer_bytes: answer_bytes(80),
    }
}

/// A request as browsers and load generators send it, in the least form.
fn get() -> Call {
    let mut simulation = start();
    let request = b"GET / HTTP/1.1\r\nHost: bench\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n";
    let peer = simulation.connect(true);
    simulation.send(peer, request);
    simulation.settle().expect("it goes on");
    let answer = simulation.take_output(peer);
    assert!(answer.starts_with(b"HTTP/1.1 200 ") && answer.ends_with(b"Hello, world!"));
    Call {
        request: request.to_vec(),
        answer_bytes: answer.len(),
    }
}

/// `client_count` clients send `burst` calls each, all ready in one poll, and get their answers.
fn exchange(path: &str, client_count: usize, burst: usize, call: &Call, count: usize) {
    let mut simulation = match path {
        "/metrics/echo" => start_measured(),
        _ => start(),
    };
    let peers: Vec<Peer> = (0..client_count)
        .map(|_| match path {
            "/" => simulation.connect(false),
            path => open(&mut simulation, path),
        })
        .collect();
    simulation.settle().expect("it goes on");
    let before: Vec<u64> = peers.iter().map(|peer| simulation.taken(*peer)).collect();
    let request = call.request.repeat(burst);
    let rounds = rounds(count, client_count * burst);
    for _ in 0..rounds {
        for peer in &peers {
            simulation.send(*peer, &request);
        }
        turn(&mut simulation);
    }
    let expected = (rounds * burst * call.answer_bytes) as u64;
    for (peer, before) in peers.iter().zip(before) {
        assert_eq!(simulation.taken(*peer) - before, expected);
    }
}

/// One client's message goes to all of 1,000. A unit is a delivery.
fn fan_out(path: &str, call: &Call, count: usize) {
    let mut simulation = start();
    let peers: Vec<Peer> = (0..1000).map(|_| open(&mut simulation, path)).collect();
    let before: Vec<u64> = peers.iter().map(|peer| simulation.taken(*peer)).collect();
    let rounds = rounds(count, peers.len());
    for _ in 0..rounds {
        simulation.send(peers[0], &call.request);
        turn(&mut simulation);
    }
    let expected = (rounds * call.answer_bytes) as u64;
    for (peer, before) in peers.iter().zip(before) {
        assert_eq!(simulation.taken(*peer) - before, expected);
    }
}

/// Clients connect, are let in and leave without a Close.
fn handshakes(count: usize) {
    let mut simulation = start();
    let request = opening_handshake("/echo");
    for _ in 0..rounds(count, NEWCOMERS) {
        let peers: [Peer; NEWCOMERS] = std::array::from_fn(|_| {
            let peer = simulation.connect(false);
            simulation.send(peer, &request);
            peer
        });
        turn(&mut simulation);
        assert_eq!(simulation.client_count(), NEWCOMERS);
        for peer in peers {
            assert!(simulation.taken(peer) > 100, "a 101 with its fields");
            simulation.end(peer);
        }
        turn(&mut simulation);
        assert_eq!(simulation.client_count(), 0);
    }
}

/// Lets a little time pass, as it does, and the server serve what came.
fn turn(simulation: &mut Simulation) {
    simulation.advance(Duration::from_micros(10));
    serve_counted(simulation);
}

fn rounds(count: usize, round: usize) -> usize {
    assert_eq!(count % round, 0, "COUNT must be a multiple of {round}");
    count / round
}

/// A server that has every scenario's route.
fn start() -> Simulation {
    Simulation::new(server()).expect("it starts")
}

/// The same, whose counters somebody asked for.
fn start_measured() -> Simulation {
    let server = server();
    let stats = server.stats();
    let simulation = Simulation::new(server).expect("it starts");
    assert_eq!(stats.snapshot().connections, 0);
    simulation
}

fn server() -> Server {
    let router = Router::new()
        .get("/", |_: &mut Request, response: &mut Response| {
            response.end("Hello, world!");
        })
        .get("/echo", websocket(|ws| Echo { ws }))
        .get("/metrics/echo", websocket(|ws| Echo { ws }))
        .get("/broadcast", websocket(|ws| Broadcast { ws }))
        .get("/list", websocket(List::new))
        .get("/each", websocket(|ws| Each(List::new(ws))))
        .get(
            "/deflate/echo",
            websocket(|ws| Echo { ws }).config(deflate()),
        )
        .get(
            "/deflate/broadcast",
            websocket(|ws| Broadcast { ws }).config(deflate()),
        );
    let config = Config {
        // Not what the machine has descriptors for.
        max_connections: Some(2000),
        ..Config::default()
    };
    Server::new().config(config).host(Host::new().add(router))
}

fn deflate() -> WebSocketConfig {
    WebSocketConfig {
        compression: Some(Compression::default()),
        ..WebSocketConfig::default()
    }
}

/// 1 KiB of JSON, as the server compresses it.
fn deflated() -> Vec<u8> {
    let entries =
        (0..).map(|n: u32| format!("{{\"symbol\":\"S{n}\",\"price\":{}}},", n * 7919 % 1000));
    let text = entries.take(100).collect::<String>();
    let text = &text.as_bytes()[..1024];
    let mut output = vec![0; 1100];
    let len = Deflater::new(15, 1).compress(std::iter::once(text), &mut output, text.len());
    output.truncate(len.expect("it becomes smaller"));
    output
}

/// A client past its opening handshake.
fn open(simulation: &mut Simulation, path: &str) -> Peer {
    let peer = simulation.connect(false);
    let mut request = opening_handshake(path);
    if path.starts_with("/deflate/") {
        request.truncate(request.len() - 2);
        request.extend_from_slice(b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n");
    }
    simulation.send(peer, &request);
    simulation.settle().expect("it goes on");
    assert!(simulation.taken(peer) > 100, "a 101 with its fields");
    peer
}

/// Sends every message to everyone.
struct Broadcast {
    ws: Endpoint,
}

impl WebSocketHandler for Broadcast {
    type HandshakeData = ();

    fn on_handshake(&mut self, _: &Request, _: &mut Response) -> Option<()> {
        Some(())
    }

    fn on_data(&mut self, _: ClientId, message: Message<'_>) {
        self.ws.broadcast(message);
    }
}

/// Sends every message to the clients on a list of its own, at once.
struct List {
    ws: Endpoint,
    clients: Vec<ClientId>,
}

impl List {
    fn new(ws: Endpoint) -> Self {
        let clients = Vec::new();
        Self { ws, clients }
    }
}

impl WebSocketHandler for List {
    type HandshakeData = ();

    fn on_handshake(&mut self, _: &Request, _: &mut Response) -> Option<()> {
        Some(())
    }

    fn on_open(&mut self, client: ClientId, (): ()) {
        self.clients.push(client);
    }

    fn on_data(&mut self, _: ClientId, message: Message<'_>) {
        self.ws.send(&self.clients, message);
    }
}

/// The same, one after the other.
struct Each(List);

impl WebSocketHandler for Each {
    type HandshakeData = ();

    fn on_handshake(&mut self, _: &Request, _: &mut Response) -> Option<()> {
        Some(())
    }

    fn on_open(&mut self, client: ClientId, (): ()) {
        self.0.clients.push(client);
    }

    fn on_data(&mut self, _: ClientId, message: Message<'_>) {
        for client in &self.0.clients {
            self.0.ws.send(*client, message);
        }
    }
}
