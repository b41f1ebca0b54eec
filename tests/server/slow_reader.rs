//! One client that never reads, among a hundred that do: it costs its backlog limit, is closed or
//! skipped by policy, and the others notice nothing.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use aerys::{BacklogPolicy, Endpoint, WebSocketConfig};

use crate::client::{BINARY, Client, frame, server_frame};
use crate::support::{Event, TestServer, broadcast};

const MESSAGES: usize = 10_000;
const BATCH: usize = 100;
const MESSAGE_BYTES: usize = 1024;

/// A message that begins with its number.
fn message(number: usize) -> Vec<u8> {
    let mut message = vec![b'.'; MESSAGE_BYTES];
    message[..8].copy_from_slice(format!("{number:08}").as_bytes());
    message
}

/// Has every message broadcast by the first of `readers`, and all of them read each: byte for byte,
/// in order. A batch is sent when all have read the one before, so that no reader falls behind.
fn deliver(readers: &mut [Client]) -> Duration {
    let begun = Instant::now();
    for batch in 0..MESSAGES / BATCH {
        let numbers = batch * BATCH..(batch + 1) * BATCH;
        let sent: Vec<u8> = numbers
            .clone()
            .flat_map(|number| frame(true, BINARY, &message(number)))
            .collect();
        let expected: Vec<u8> = numbers
            .flat_map(|number| server_frame(BINARY, &message(number)))
            .collect();
        readers[0].send_raw(&sent);
        for (index, reader) in readers.iter_mut().enumerate() {
            assert!(
                reader.read_bytes(expected.len()) == expected,
                "reader {index}, batch {batch}"
            );
        }
    }
    begun.elapsed()
}

fn readers(address: SocketAddr, count: usize) -> Vec<Client> {
    (0..count)
        .map(|_| Client::open(address, "/broadcast"))
        .collect()
}

#[cfg(all(feature = "cli", target_os = "linux"))]
#[test]
fn by_default_it_is_closed_with_1008_and_costs_neither_memory_nor_time() {
    use crate::program::Program;

    // Who only reads is pinged else, in the middle of what is compared.
    let program = Program::serve(&["--heartbeat", "off"]);
    let mut others = readers(program.address, 99);
    let without = deliver(&mut others);
    let resident = program.resident_kib();

    let mut stuck = Client::open_narrow(program.address, "/broadcast");
    let with = deliver(&mut others);
    let peak = program.peak_resident_kib();
    // Its limit of 1 MiB and some slack; all messages together are 10 MiB.
    assert!(
        peak <= resident + 5 * 1024,
        "{resident} KiB without, at most {peak} KiB with it"
    );
    assert!(
        with <= without * 2 + Duration::from_secs(1),
        "{without:?} without, {with:?} with it"
    );

    // What it can still read is a gapless prefix, and the Close if that could be written.
    let got = stuck.read_to_end_or_reset();
    let whole: Vec<u8> = (0..MESSAGES)
        .flat_map(|number| server_frame(BINARY, &message(number)))
        .collect();
    let common = got
        .iter()
        .zip(&whole)
        .take_while(|(got, sent)| got == sent)
        .count();
    assert!(common < whole.len(), "it was not closed");
    let rest = &got[common..];
    assert!(
        rest.is_empty() || rest[0] == 0x88 && rest[2..4] == 1008_u16.to_be_bytes(),
        "{:02x?}",
        &rest[..rest.len().min(8)]
    );
    deliver(&mut others);
}

#[test]
fn where_messages_are_dropped_it_is_skipped_and_comes_back() {
    let hard_backlog_bytes = 1 << 20;
    let config = WebSocketConfig {
        backlog_policy: BacklogPolicy::DropMessages,
        hard_backlog_bytes,
        heartbeat: None,
        ..WebSocketConfig::default()
    };
    let react = |ws: &Endpoint, event: &Event| {
        if let Event::Text(asker, _) = event {
            let backlogs = ws
                .clients()
                .into_iter()
                .filter_map(|client| ws.info(client))
                .map(|info| info.backlog_bytes);
            ws.send(*asker, backlogs.max().unwrap_or(0).to_string());
        } else {
            broadcast(ws, event);
        }
    };
    let server = TestServer::websocket(config, react);
    let mut others = readers(server.address, 19);
    let mut stuck = Client::open_narrow(server.address, "/");
    deliver(&mut others);
    others[1].send_text("backlog?");
    let backlog: usize = others[1].read_text().parse().expect("a number");
    let limit = hard_backlog_bytes + server_frame(BINARY, &message(0)).len();
    assert!(
        (hard_backlog_bytes / 2..=limit).contains(&backlog),
        "{backlog} of {limit} bytes"
    );

    // It reads what was kept for it: whole messages, in order, and not all of them.
    let mut last = 0;
    let mut count = 0;
    while stuck.has_input() {
        let payload = stuck.read_message(BINARY);
        let number: usize = String::from_utf8_lossy(&payload[..8])
            .parse()
            .expect("a number");
        assert!(payload == message(number) && (count == 0 || number > last));
        last = number;
        count += 1;
    }
    assert!(count > 0 && count < MESSAGES, "{count} messages");
    // And it is a client like any other again.
    others[0].send(true, BINARY, message(MESSAGES));
    assert!(stuck.read_message(BINARY) == message(MESSAGES));
    assert!(
        server
            .remaining_events()
            .iter()
            .all(|event| !matches!(event, Event::Close(..)))
    );
}
