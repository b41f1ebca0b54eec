//! What an idle client of each kind takes of the server's memory.

use crate::Settings;
use crate::figures::{quartiles, thousands};
use crate::load::{Kind, Load};
use crate::server::Process;

const KINDS: [Kind; 8] = [
    Kind::WS,
    Kind::WSS,
    Kind::H2C_BARE,
    Kind::H2C,
    Kind::H2C_100,
    Kind::H2_BARE,
    Kind::H2,
    Kind::H2_100,
];

/// Clients before those that are counted: what the server has once is theirs.
const BEFORE: usize = 100;

#[expect(clippy::cast_precision_loss, reason = "figures to be read")]
fn bytes_each(kind: Kind, clients: usize) -> f64 {
    let server = Process::start();
    let mut load = Load::new(&[(kind, BEFORE)], server.addresses, "/echo");
    let before = server.resident_bytes();
    load.open(kind, clients, server.addresses, "/echo");
    let grown = server.resident_bytes().saturating_sub(before);
    grown as f64 / clients as f64
}

pub(crate) fn run(settings: &Settings) {
    let clients = settings.clients(2000);
    let rounds = settings.rounds.min(5);
    println!("\n### Resident bytes of an idle client: {clients} of them, {rounds} rounds\n");
    println!("| kind | median (quartiles) |\n|---|---|");
    for kind in KINDS {
        let rounds = (0..rounds).map(|_| bytes_each(kind, clients));
        let [_, low, median, high] = quartiles(rounds).map(thousands);
        println!("| {} | {median} ({low}–{high}) |", kind.name);
    }
}
