//! Echoes and broadcasts over each transport.

use crate::Settings;
use crate::figures::{self, Measured};
use crate::frames::masked_frame;
use crate::load::{Kind, Load};
use crate::server::Running;

/// FIN, and the opcode of binary data.
const BINARY: u8 = 0x82;

/// What the message with this number says: another one for each number.
fn payload(number: usize, size: usize) -> Vec<u8> {
    let mut state = number as u64 + 1;
    let mut payload = Vec::with_capacity(size + 8);
    while payload.len() < size {
        // A step of a linear congruential generator, its better half.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        payload.extend_from_slice(&state.to_be_bytes()[..4]);
    }
    payload.truncate(size);
    payload
}

/// The frame that a server sends it in (RFC 6455 section 5.2).
fn answer(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![BINARY];
    if let Ok(len @ ..=125) = u8::try_from(payload.len()) {
        frame.push(len);
    } else {
        let len = u16::try_from(payload.len()).expect("a payload of medium length");
        frame.push(126);
        frame.extend_from_slice(&len.to_be_bytes());
    }
    frame.extend_from_slice(payload);
    frame
}

/// Each client sends a message and reads its echo, `times` times.
fn echo(server: &Running, kind: Kind, clients: usize, size: usize, times: usize) -> Measured {
    let mut load = Load::new(&[(kind, clients)], server.addresses, "/echo");
    let mut exchange = |number| {
        let payload = payload(number, size);
        load.expect(&answer(&payload));
        load.send(&masked_frame(BINARY, &payload));
        load.receive();
    };
    exchange(0);
    server.measure(clients * times, || (1..=times).for_each(exchange))
}

pub(crate) fn echoes(settings: &Settings) {
    let server = Running::start(settings);
    let kinds = [
        Kind::WS,
        Kind::WSS,
        Kind::H2C,
        Kind::H2C_100,
        Kind::H2,
        Kind::H2_100,
    ];
    let clients = settings.clients(100);
    for (size, times) in [(64, 200), (16_384, 60)] {
        let times = settings.scaled(times);
        let measured = figures::alternate(&kinds, settings.rounds, |kind| {
            echo(&server, *kind, clients, size, times)
        });
        let title = format!(
            "Echo of {size} B: {clients} clients, {} rounds of {times} messages each",
            settings.rounds
        );
        figures::print(&title, "message", "messages", &rows(&kinds, measured));
    }
}

fn rows(kinds: &[Kind], measured: Vec<Vec<Measured>>) -> Vec<(&'static str, Vec<Measured>)> {
    kinds.iter().map(|kind| kind.name).zip(measured).collect()
}

/// `times` broadcasts, each read by every client before the next, or `at_once` of them.
fn broadcasts(
    server: &Running,
    kinds: &[(Kind, usize)],
    size: usize,
    times: usize,
    at_once: usize,
) -> Measured {
    let mut load = Load::new(kinds, server.addresses, "/fan");
    let clients: usize = kinds.iter().map(|(_, count)| count).sum();
    let mut deliver = |numbers: std::ops::Range<usize>| {
        for number in numbers {
            let payload = payload(number, size);
            load.expect(&answer(&payload));
            server.fan.broadcast(&payload).expect("a server that runs");
        }
        load.receive();
    };
    deliver(0..1);
    server.measure(clients * times, || {
        for first in (1..=times).step_by(at_once) {
            deliver(first..(first + at_once).min(times + 1));
        }
    })
}

pub(crate) fn fan_out(settings: &Settings) {
    let kinds = [
        Kind::WS,
        Kind::WSS,
        Kind::H2C,
        Kind::H2C_100,
        Kind::H2,
        Kind::H2_100,
    ];
    let mut crowds = vec![settings.clients(300), settings.clients(1000)];
    crowds.dedup();
    for clients in crowds {
        for (size, at_once) in [(64, 1), (64, 8), (1024, 1)] {
            let times = settings.scaled(30_000 * at_once / clients);
            let measured = figures::alternate(&kinds, settings.rounds, |kind| {
                let server = Running::start(settings);
                broadcasts(&server, &[(*kind, clients)], size, times, at_once)
            });
            let title = format!(
                "{size} B to {clients} clients, {at_once} at once, {} rounds of {times}",
                settings.rounds
            );
            figures::print(&title, "delivery", "deliveries", &rows(&kinds, measured));
        }
    }
}

/// What the mixture of all is made of, and each of its parts alone.
pub(crate) fn mixture(settings: &Settings) {
    const MESSAGES: usize = 1000;
    const SIZE: usize = 64;
    let clients = settings.clients(300);
    let times = settings.scaled(MESSAGES);
    let runs: Vec<(&str, Vec<(Kind, usize)>)> = vec![
        (Kind::WS.name, vec![(Kind::WS, clients)]),
        (Kind::WSS.name, vec![(Kind::WSS, clients)]),
        (Kind::H2.name, vec![(Kind::H2, clients)]),
        (Kind::H2_100.name, vec![(Kind::H2_100, clients)]),
        (
            "all at once, h2 with 1 stream each",
            vec![
                (Kind::WS, clients),
                (Kind::WSS, clients),
                (Kind::H2, clients),
            ],
        ),
        (
            "all at once, h2 with 100 streams each",
            vec![
                (Kind::WS, clients),
                (Kind::WSS, clients),
                (Kind::H2_100, clients),
            ],
        ),
    ];
    let measured = figures::alternate(&runs, settings.rounds, |(_, kinds)| {
        let server = Running::start(settings);
        broadcasts(&server, kinds, SIZE, times, 1)
    });
    let names = runs.iter().map(|(name, _)| *name);
    let rows: Vec<_> = names.zip(measured).collect();
    let title = format!(
        "{times} broadcasts of {SIZE} B to {clients} clients of each kind, {} rounds",
        settings.rounds
    );
    figures::print(&title, "delivery", "deliveries", &rows);
    println!("\nEvery client got every message in order, byte for byte.");
}
