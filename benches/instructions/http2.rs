//! Scenarios over HTTP/2: streams of several connections, by hand.

use super::{BINARY, Peer, Simulation, masked_frame, rounds, start, turn};

const CONNECTIONS: usize = 10;
const STREAMS: usize = 100;
/// Requests that one connection makes at a time.
const BURST: usize = 10;

const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const END_STREAM: u8 = 0x1;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len())
        .expect("it is short")
        .to_be_bytes();
    let mut frame = vec![len[1], len[2], len[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// A connection whose windows are as open as can be.
fn connect(simulation: &mut Simulation) -> Peer {
    let peer = simulation.connect(false);
    let mut preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // SETTINGS_INITIAL_WINDOW_SIZE, and that of the connection.
    preface.extend(frame(0x4, 0, 0, &[0, 4, 0x7F, 0xFF, 0xFF, 0xFF]));
    preface.extend(frame(0x8, 0, 0, &(0x7FFF_FFFF_u32 - 65_535).to_be_bytes()));
    simulation.send(peer, &preface);
    simulation.settle().expect("it goes on");
    peer
}

/// The identifier of a client's stream by its number.
fn id(index: usize) -> u32 {
    u32::try_from(2 * index + 1).expect("not so many")
}

/// GET requests as browsers and load generators send them: the first fills the table, the others are
/// made of what is there.
pub(super) fn requests(count: usize) {
    let mut simulation = start();
    let peers: Vec<Peer> = (0..CONNECTIONS).map(|_| connect(&mut simulation)).collect();
    let first = b"\x82\x84\x86\x41\x05bench\x7a\x05bench\x53\x03*/*";
    let flags = END_HEADERS | END_STREAM;
    for peer in &peers {
        simulation.send(*peer, &frame(HEADERS, flags, id(0), first));
    }
    simulation.settle().expect("it goes on");
    let taken = |simulation: &Simulation| -> Vec<u64> {
        peers.iter().map(|peer| simulation.taken(*peer)).collect()
    };
    let mut before = taken(&simulation);
    let mut answer_bytes = None;
    for round in 0..rounds(count, CONNECTIONS * BURST) {
        for peer in &peers {
            let block = b"\x82\x84\x86\xc0\xbf\xbe";
            let requests = (0..BURST)
                .flat_map(|index| frame(HEADERS, flags, id(1 + round * BURST + index), block));
            simulation.send(*peer, &requests.collect::<Vec<u8>>());
        }
        turn(&mut simulation);
        let after = taken(&simulation);
        for (after, before) in after.iter().zip(before) {
            let sent = after - before;
            assert_eq!(*answer_bytes.get_or_insert(sent), sent);
            assert!(sent > (BURST * "Hello, world!".len()) as u64);
        }
        before = after;
    }
}

/// Connections with a WebSocket on each of their streams.
fn open(simulation: &mut Simulation, path: &str) -> Vec<Peer> {
    let peers: Vec<Peer> = (0..CONNECTIONS).map(|_| connect(simulation)).collect();
    let mut block = b"\x02\x07CONNECT\x00\x09:protocol\x09websocket\x86\x01\x05bench".to_vec();
    block.extend([0x04, u8::try_from(path.len()).expect("it is short")]);
    block.extend_from_slice(path.as_bytes());
    block.extend_from_slice(b"\x00\x15sec-websocket-version\x0213");
    for peer in &peers {
        for index in 0..STREAMS {
            simulation.send(*peer, &frame(HEADERS, END_HEADERS, id(index), &block));
        }
    }
    simulation.settle().expect("it goes on");
    assert_eq!(simulation.client_count(), CONNECTIONS * (1 + STREAMS));
    peers
}

/// Each of 1,000 streams is answered. A unit is a message.
pub(super) fn echoes(count: usize) {
    let mut simulation = start();
    let peers = open(&mut simulation, "/echo");
    let message = masked_frame(BINARY, &[b'x'; 20]);
    let before: Vec<u64> = peers.iter().map(|peer| simulation.taken(*peer)).collect();
    let rounds = rounds(count, CONNECTIONS * STREAMS);
    for _ in 0..rounds {
        for peer in &peers {
            for index in 0..STREAMS {
                simulation.send(*peer, &frame(DATA, 0, id(index), &message));
            }
        }
        turn(&mut simulation);
    }
    let expected = (rounds * STREAMS * (9 + 22)) as u64;
    for (peer, before) in peers.iter().zip(before) {
        // And what opens the windows again.
        assert!(simulation.taken(*peer) - before >= expected);
    }
}

/// One message goes to all of 1,000 streams. A unit is a delivery.
pub(super) fn fan_out(count: usize) {
    let mut simulation = start();
    let peers = open(&mut simulation, "/broadcast");
    let message = masked_frame(BINARY, &[b'x'; 64]);
    let before: Vec<u64> = peers.iter().map(|peer| simulation.taken(*peer)).collect();
    let rounds = rounds(count, CONNECTIONS * STREAMS);
    for _ in 0..rounds {
        simulation.send(peers[0], &frame(DATA, 0, id(0), &message));
        turn(&mut simulation);
    }
    let expected = (rounds * STREAMS * (9 + 66)) as u64;
    for (peer, before) in peers.iter().zip(before) {
        assert!(simulation.taken(*peer) - before >= expected);
    }
}
