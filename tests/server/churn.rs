//! Ten thousand clients come and go, in every way there is, and leave nothing behind.

use crate::client::{Client, TEXT, frame, handshake};
use crate::program::Program;
use crate::support::wait_until;

const ROUNDS: usize = 50;
const AT_ONCE: usize = 200;

/// Opens `AT_ONCE` connections and ends each in one of eight ways.
fn come_and_go(program: &Program, round: usize) {
    let clients: Vec<_> = (0..AT_ONCE)
        .map(|index| {
            // An address of its own for each round: ports that wait for their end are not used again.
            let local = format!("127.0.{}.{}:0", 16 + round, 1 + index % 4);
            let mut client =
                Client::connect_from(local.parse().expect("an address"), program.address);
            match index % 8 {
                0 => {}
                1 | 2 => client.send_raw(&handshake("/chat")[..=(index % 100)]),
                _ => client.upgrade(["/chat", "/echo", "/broadcast"][index % 3]),
            }
            client
        })
        .collect();
    for (index, mut client) in clients.into_iter().enumerate() {
        match index % 8 {
            // FIN, with nothing said, half a handshake, and an open WebSocket.
            0 | 1 | 4 => drop(client),
            // A reset, with half a handshake and on an open WebSocket.
            2 | 3 => client.reset(),
            // A whole closing handshake; chat's and other clients' messages may be in front of it.
            5 => {
                client.send_close(1000);
                client.read_to_end_or_reset();
            }
            // Half a frame.
            6 => {
                client.try_send_raw(&frame(true, TEXT, b"never finished")[..9]);
            }
            // Half closed, with the answer read.
            _ => {
                client.shut_down_write();
                client.read_to_end_or_reset();
            }
        }
    }
}

#[test]
fn ten_thousand_clients_come_and_go_and_leave_nothing_behind() {
    let program = Program::serve(&["--log-level", "warn"]);
    let descriptors = program.descriptor_count();
    let mut halfway = 0;
    for round in 0..ROUNDS {
        come_and_go(&program, round);
        if round == ROUNDS / 2 {
            wait_until("all clients are gone", || {
                program.descriptor_count() == descriptors
            });
            halfway = program.resident_kib();
        }
    }
    wait_until("all clients are gone", || {
        program.descriptor_count() == descriptors
    });
    let end = program.resident_kib();
    // Less than a tenth of what 5,000 clients would leave behind if it were 1 KiB each.
    assert!(
        end <= halfway + 512,
        "{halfway} KiB after half of them, {end} KiB at the end"
    );
    let mut client = Client::open(program.address, "/echo");
    client.send_text("still here");
    assert_eq!(client.read_text(), "still here");
}
