//! What lets a million clients idle on one server, on fewer of them and without a clock: what each
//! takes, and that no turn does for all of them what it can do for some.

use aerys::internals::{Peer, Simulation};
use aerys::{
    ClientId, Compression, Config, Endpoint, Host, Message, Request, Response, Router, Server,
    WebSocketConfig, WebSocketHandler, websocket,
};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

thread_local! {
    /// Bytes that this thread allocated and did not free: below 0 if it freed another's.
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

fn count(came: usize, went: usize) {
    let live = LIVE.get().wrapping_add_unsigned(came);
    LIVE.set(live.wrapping_sub_unsigned(went));
}

struct Counting;

// SAFETY: every call is handed on to the system's allocator as it is; the count lies in a
// thread-local that needs neither initialisation nor a destructor, so it allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller's promise about `layout` is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: `pointer` came from `alloc` above, and so from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size, layout.size());
        // SAFETY: as for `dealloc`; the caller's promise about `new_size` is handed on.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// The most that an idle client may take.
const CLIENT_BYTES: usize = 205;
/// Clients that are written to in a turn.
const SLICE: usize = 256;
const CLIENTS: usize = 20_000;
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Broadcasts text, echoes bytes.
struct Handler {
    ws: Endpoint,
}

impl WebSocketHandler for Handler {
    type HandshakeData = ();

    fn on_handshake(&mut self, _: &Request, _: &mut Response) -> Option<()> {
        Some(())
    }

    fn on_data(&mut self, client: ClientId, message: Message<'_>) {
        match message {
            Message::Text(_) => self.ws.broadcast(message),
            Message::Binary(_) => self.ws.send(client, message),
        }
    }
}

const HANDSHAKE: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";
const COMPRESSING: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";
/// Masked with zeros.
const TEXT: &[u8] = b"\x81\x82\0\0\0\0hi";
const BYTES: &[u8] = b"\x82\x81\0\0\0\0!";

/// A server with `count` clients, all open and idle; of the last, what it is sent is kept.
fn simulation_of(count: usize) -> (Simulation, Vec<Peer>) {
    simulation_with(count, HANDSHAKE)
}

/// The same with this handshake.
fn simulation_with(count: usize, handshake: &[u8]) -> (Simulation, Vec<Peer>) {
    let config = Config {
        max_connections: Some(count),
        ..Config::default()
    };
    let options = WebSocketConfig {
        heartbeat: Some(HEARTBEAT),
        compression: Some(Compression {
            threshold_bytes: 20,
            ..Compression::default()
        }),
        ..WebSocketConfig::default()
    };
    let endpoint = websocket(|ws| Handler { ws }).config(options);
    let host = Host::new().add(Router::new().get("/", endpoint));
    let mut simulation = Simulation::new(Server::new().config(config).host(host)).expect("starts");
    simulation.reserve(count);
    let mut peers = Vec::with_capacity(count);
    while peers.len() < count {
        for _ in 0..128.min(count - peers.len()) {
            let peer = simulation.connect(peers.len() + 1 == count);
            simulation.send(peer, handshake);
            peers.push(peer);
        }
        simulation.settle().expect("it goes on");
    }
    let answer = simulation.take_output(peers[count - 1]);
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
    (simulation, peers)
}

/// Heap that a server with `count` clients holds, without the simulation's own part of it. On a
/// thread of its own, which nothing else counts on.
fn held_bytes(count: usize) -> usize {
    held_bytes_after(count, HANDSHAKE, |_, _| {})
}

/// The same after something was done with them.
fn held_bytes_after(
    count: usize,
    handshake: &'static [u8],
    act: impl FnOnce(&mut Simulation, &[Peer]) + Send + 'static,
) -> usize {
    let measure = move || {
        let before = LIVE.get();
        let (mut simulation, peers) = simulation_with(count, handshake);
        act(&mut simulation, &peers);
        let held = usize::try_from(LIVE.get() - before).expect("it holds something");
        held - count * (Simulation::SOCKET_BYTES + size_of::<Peer>())
    };
    let thread = std::thread::spawn(measure);
    thread.join().expect("no panic")
}

#[test]
fn an_idle_client_takes_at_most_205_bytes() {
    // Powers of two, since what grows by doubling is just full then; and the difference of two,
    // since the buffers that a server has once are no client's.
    let (few, many) = (1 << 13, 1 << 14);
    let each = (held_bytes(many) - held_bytes(few)).div_ceil(many - few);
    assert!(each <= CLIENT_BYTES, "{each} bytes a client");
    // So that it is they who were counted.
    assert!(each > 100, "{each} bytes a client");
}

/// Everybody sends ten messages, and is sent ten of its own and ten broadcasts.
fn converse(simulation: &mut Simulation, peers: &[Peer], message: &[u8]) {
    for _ in 0..10 {
        for peers in peers.chunks(128) {
            for peer in peers {
                simulation.send(*peer, message);
            }
            simulation.settle().expect("it goes on");
        }
        simulation.send(
            peers[0],
            &[&[message[0] & 0xF0 | 1], &message[1..]].concat(),
        );
        simulation.settle().expect("it goes on");
    }
}

#[test]
fn a_client_whose_messages_are_compressed_takes_as_much_as_any_other() {
    // 40 times the same byte, in both forms, masked with zeros.
    let plain = [&b"\x82\xA8\0\0\0\0"[..], &[b'a'; 40]].concat();
    let compressed = b"\xC2\x86\0\0\0\0\x4a\x4c\x24\x0e\x00\x00";
    let (few, many) = (1 << 9, 1 << 10);
    let each = |handshake, message: &[u8]| {
        let held = |count| {
            let message = message.to_vec();
            held_bytes_after(count, handshake, move |simulation, peers| {
                converse(simulation, peers, &message);
                let expected = if handshake == HANDSHAKE {
                    0
                } else {
                    count as u64 * 10 + 10
                };
                assert_eq!(simulation.compressed_count(), expected);
            })
        };
        held(many) - held(few)
    };
    assert_eq!(each(COMPRESSING, compressed), each(HANDSHAKE, &plain));
}

/// Turns until nothing is left to do. No turn may give anything to more than [`SLICE`] clients but
/// the last, who sends in the third turn and is to have its answer after that one, `expected` with
/// all that it was sent until then; and everybody but the last is to be given `bytes` in all.
fn assert_sliced(simulation: &mut Simulation, peers: &[Peer], bytes: u64, expected: &[u8]) {
    let (&last, others) = peers.split_last().expect("some");
    let begin: Vec<u64> = others.iter().map(|&peer| simulation.taken(peer)).collect();
    let mut taken = begin.clone();
    let mut turns = 0;
    while simulation.is_busy() {
        turns += 1;
        if turns == 3 {
            simulation.send(last, BYTES);
        }
        simulation.turn().expect("it goes on");
        let mut given = 0;
        for (&peer, taken) in others.iter().zip(&mut taken) {
            let now = simulation.taken(peer);
            given += usize::from(now > *taken);
            *taken = now;
        }
        assert!(given <= SLICE, "{given} clients in turn {turns}");
        if turns == 3 {
            let output = simulation.take_output(last);
            assert!(output == expected, "{}", output.escape_ascii());
        }
    }
    assert!(turns > others.len() / SLICE, "{turns} turns");
    for (begin, taken) in begin.iter().zip(&taken) {
        assert_eq!(taken - begin, bytes);
    }
}

#[test]
fn a_broadcast_is_sliced_and_who_sends_meanwhile_is_answered() {
    let (mut simulation, peers) = simulation_of(CLIENTS);
    for _ in 0..3 {
        simulation.send(peers[0], TEXT);
        // It lacks the broadcast then, which goes before its answer.
        assert_sliced(&mut simulation, &peers, 4, b"\x81\x02hi\x82\x01!");
    }
}

#[test]
fn heartbeats_are_sliced_and_who_sends_meanwhile_is_answered() {
    let (mut simulation, peers) = simulation_of(CLIENTS);
    for _ in 0..3 {
        simulation.advance(HEARTBEAT);
        // Whoever was just heard is not pinged.
        assert_sliced(&mut simulation, &peers, 2, b"\x82\x01!");
    }
}

/// Row 70 of docs/security.md. However much of one client waits to be read, who sends one byte is answered
/// after two more turns, and a turn reads so much of nobody.
#[test]
fn one_client_with_much_to_say_holds_nobody_up() {
    const MOST_BYTES_IN_A_TURN: u64 = 256 * 1024;
    let (mut simulation, peers) = simulation_of(10);
    let (firehose, last) = (peers[0], peers[9]);
    for opcode in [&BYTES[..1], b"\x8A", b"\x89"] {
        let one = [opcode, &BYTES[1..]].concat();
        simulation.send(firehose, &one.repeat((4 << 20) / one.len()));
        let mut turns = 0;
        while simulation.is_busy() {
            simulation.send(last, BYTES);
            let before = simulation.taken(firehose);
            simulation.turn().expect("it goes on");
            simulation.turn().expect("it goes on");
            turns += 2;
            assert_eq!(simulation.take_output(last), b"\x82\x01!", "turn {turns}");
            let answered = simulation.taken(firehose) - before;
            assert!(answered <= 2 * MOST_BYTES_IN_A_TURN, "{answered} bytes");
        }
        assert!(
            turns >= (4 << 20) / 2 / MOST_BYTES_IN_A_TURN,
            "{turns} turns"
        );
    }
}

/// Clients that are sent something later.
const RECEIVERS: usize = 100;
/// In milliseconds.
const SPAN: u64 = 10_000;

/// On a message: so many delayed sends as it says, spread over the clients and over [`SPAN`].
struct Later {
    ws: Endpoint,
}

impl WebSocketHandler for Later {
    type HandshakeData = ();

    fn on_handshake(&mut self, _: &Request, _: &mut Response) -> Option<()> {
        Some(())
    }

    fn on_data(&mut self, _: ClientId, message: Message<'_>) {
        let count: u64 = message.to_text().parse().expect("a number");
        let clients = self.ws.clients();
        for number in 0..count {
            let delay = Duration::from_millis(number * 7919 % SPAN);
            let to = clients[usize::try_from(number).expect("it fits") % clients.len()];
            self.ws.send_after(delay, to, "x");
        }
    }
}

/// A server whose first client has asked for so many delayed sends, and whose clock is at that moment.
fn with_delayed_sends(count: usize) -> (Simulation, Vec<Peer>) {
    let config = WebSocketConfig {
        heartbeat: None,
        ..WebSocketConfig::default()
    };
    let endpoint = websocket(|ws| Later { ws }).config(config);
    let host = Host::new().add(Router::new().get("/", endpoint));
    let mut simulation = Simulation::new(Server::new().host(host)).expect("starts");
    let mut peers = Vec::new();
    for _ in 0..RECEIVERS {
        let peer = simulation.connect(false);
        simulation.send(peer, HANDSHAKE);
        peers.push(peer);
        simulation.settle().expect("it goes on");
    }
    let count = count.to_string();
    let len = u8::try_from(count.len()).expect("a short text");
    simulation.send(
        peers[0],
        &[&[0x81, 0x80 | len, 0, 0, 0, 0], count.as_bytes()].concat(),
    );
    simulation.turn().expect("it goes on");
    (simulation, peers)
}

/// Row F21 of docs/security.md: each at its millisecond.
#[test]
fn a_million_delayed_sends_come_each_in_its_time() {
    const COUNT: usize = 1_000_000;
    const FRAME_BYTES: u64 = 3;
    let (mut simulation, peers) = with_delayed_sends(COUNT);
    let sum =
        |simulation: &Simulation| -> u64 { peers.iter().map(|&peer| simulation.taken(peer)).sum() };
    simulation.settle().expect("it goes on");
    let each = FRAME_BYTES * COUNT as u64 / SPAN;
    // Those without a delay went out at once.
    let mut expected = sum(&simulation);
    for tick in 1..SPAN {
        simulation.advance(Duration::from_millis(1));
        simulation.settle().expect("it goes on");
        expected += each;
        assert_eq!(sum(&simulation), expected, "after {tick} ms");
    }
    simulation.advance(Duration::from_millis(SPAN));
    simulation.settle().expect("it goes on");
    assert_eq!(sum(&simulation), expected, "nothing comes twice");
}

/// Row F21: what is promised for each in `Config::max_timers`, however many there are.
#[test]
fn a_delayed_send_takes_as_much_whatever_their_number() {
    let held = |count: usize| {
        let measure = move || {
            let before = LIVE.get();
            let (_simulation, _) = with_delayed_sends(count);
            usize::try_from(LIVE.get() - before).expect("it holds something")
        };
        std::thread::spawn(measure).join().expect("no panic")
    };
    // Powers of two, as above.
    let counts = [1 << 15, 1 << 16, 1 << 17];
    let [few, more, many] = counts.map(held);
    let each = [(more - few) / counts[0], (many - more) / counts[1]];
    // 24, 64, and what an allocation of a frame takes.
    assert!(
        each.iter().all(|each| (88..=160).contains(each)),
        "{each:?} bytes"
    );
    assert!(each[0].abs_diff(each[1]) <= 8, "{each:?} bytes");
}
