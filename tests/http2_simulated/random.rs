//! Many connections that do by chance what clients do, well or badly, over networks that take little:
//! whatever they do, each stream has the right bytes and ends as it should, and nothing is left.

mod application;
mod client;

use super::{GOAWAY, PING, frame, settle};
use aerys::internals::Simulation;
use application::{Folder, Known, pattern, start};
use client::Connection;
use std::time::Duration;

/// How many times it is played.
const SEEDS: u64 = 16;

/// Numbers that look like chance, the same in each run.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.next() >> 16).expect("64 bits") % most.max(1)
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    /// Often little, seldom much.
    fn len(&mut self, most: usize) -> usize {
        let most = match self.below(4) {
            0 => 20,
            1 => 1000,
            2 => 20_000,
            _ => most,
        };
        self.below(most)
    }
}

/// What happens next to a connection.
fn step(
    connection: &mut Connection,
    server: &mut Simulation,
    known: &Known,
    key: u32,
    chance: &mut Chance,
) {
    match chance.below(16) {
        0..=2 => connection.open(known, key, chance),
        3..=6 => connection.send_payload(chance),
        7 | 8 => connection.open_windows(chance),
        9 if chance.one_in(4) => {
            let bytes = u32::try_from(chance.len(100_000)).expect("few");
            connection.set_initial_window(bytes);
        }
        10 if chance.one_in(2) => connection.reset(chance),
        11 => {
            let room = if chance.one_in(3) {
                u64::MAX
            } else {
                chance.len(50_000) as u64
            };
            server.set_room(connection.peer, room);
        }
        12 => connection.unsent.extend(frame(PING, 0, 0, &[7; 8])),
        13 if chance.one_in(60) => {
            connection.is_leaving = true;
            connection.unsent.extend(frame(GOAWAY, 0, 0, &[0; 8]));
        }
        14 if chance.one_in(60) => {
            (connection.is_leaving, connection.has_ended) = (true, true);
            server.end(connection.peer);
        }
        _ => send_piece(known, server, chance),
    }
    let most = connection.unsent.len();
    let len = if chance.one_in(2) {
        most
    } else {
        chance.below(most + 1)
    };
    let bytes: Vec<u8> = connection.unsent.drain(..len).collect();
    server.send(connection.peer, &bytes);
}

/// Sends a piece of some response, or ends it; or lets some body go on.
fn send_piece(known: &Known, server: &mut Simulation, chance: &mut Chance) {
    let stream = {
        let streams = known.streams.borrow();
        let keys: Vec<u32> = streams.keys().copied().collect();
        let mut keys = keys;
        keys.sort_unstable();
        keys.get(chance.below(keys.len()))
            .map(|key| (*key, streams[key].clone()))
    };
    if let Some((key, stream)) = stream {
        let piece = pattern(key, chance.len(30_000));
        if stream.send(&piece).is_ok() {
            known.expect(key, &piece);
        }
        if chance.one_in(8) {
            stream.end();
            known.streams.borrow_mut().remove(&key);
        }
    }
    let flow = known.flows.borrow_mut().pop();
    if let Some(flow) = flow {
        flow.resume();
        server.wake();
    }
}

fn play(seed: u64, folder: &Folder, is_slow: bool) {
    let mut chance = Chance(seed * 0x9E37_79B9 + 1);
    let known = Known::default();
    let mut server = start(&known, folder, is_slow, &mut chance);
    *known.is_lenient.borrow_mut() = is_slow;
    let count = 1 + chance.below(4);
    let mut connections: Vec<Connection> = (0..count)
        .map(|_| Connection::connect(&mut server))
        .collect();
    let stop = chance.one_in(4).then(|| chance.below(1500));
    for key in 0..1500 {
        if stop == Some(key as usize) {
            *known.is_lenient.borrow_mut() = true;
            server.stop();
        }
        let index = chance.below(count);
        let connection = &mut connections[index];
        step(connection, &mut server, &known, key, &mut chance);
        if chance.one_in(3) {
            server.turn().expect("it lives");
        }
        if chance.one_in(10) {
            let most = if is_slow && chance.one_in(4) {
                20_000
            } else {
                5
            };
            server.advance(Duration::from_millis(1 + chance.next() % most));
            settle(&mut server);
        }
        for connection in &mut connections {
            connection.read(&mut server, &known);
        }
    }
    for (_, stream) in known.streams.borrow_mut().drain() {
        stream.end();
    }
    // What waits for room, for a rate or for a window goes on, and what that lets go on.
    for round in 0..100 {
        for flow in known.flows.borrow_mut().drain(..) {
            flow.resume();
        }
        server.wake();
        for connection in &mut connections {
            if round == 3 && !connection.has_ended {
                connection.finish();
            }
            let bytes = std::mem::take(&mut connection.unsent);
            server.send(connection.peer, &bytes);
            server.set_room(connection.peer, u64::MAX);
        }
        server.advance(Duration::from_millis(100));
        settle(&mut server);
        for connection in &mut connections {
            connection.read(&mut server, &known);
        }
        for (_, stream) in known.streams.borrow_mut().drain() {
            stream.end();
        }
    }
    let is_lenient = *known.is_lenient.borrow();
    let is_stopping = stop.is_some();
    for connection in &connections {
        for (id, stream) in &connection.streams {
            let is_done = stream.is_over || connection.has_ended || is_lenient;
            assert!(
                is_done,
                "stream {id}, {:?}: {}",
                stream.kind,
                stream.received.len()
            );
        }
    }
    if !is_stopping {
        for connection in &connections {
            server.end(connection.peer);
        }
    }
    server.advance(Duration::from_secs(3));
    settle(&mut server);
    server.turn().expect("it lives");
    assert_eq!(server.client_count(), 0);
    assert_eq!(*known.opened.borrow(), *known.closed.borrow());
    let streams = known.all_streams.borrow();
    assert!(streams.iter().all(|stream| !stream.is_open()));
    let mut closed = known.streams_closed.take();
    closed.sort_unstable();
    assert!(closed.is_sorted_by(|a, b| a < b), "closed twice");
    let finished = *known.ended.borrow() + *known.aborted.borrow();
    assert_eq!(*known.begun.borrow(), finished);
}

fn play_all(name: &str, is_slow: bool) {
    let folder = Folder::new(name);
    for seed in 0..SEEDS {
        let played = std::panic::catch_unwind(|| play(seed, &folder, is_slow));
        assert!(played.is_ok(), "seed {seed}");
    }
}

#[test]
fn whatever_clients_do_each_stream_has_its_bytes_and_nothing_is_left() {
    play_all("right", false);
}

#[test]
fn however_slow_clients_are_no_stream_has_wrong_bytes_and_nothing_is_left() {
    play_all("slow", true);
}
