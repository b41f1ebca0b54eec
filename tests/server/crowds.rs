//! A thousand clients at once, of whom some do not read, are slow, compress or leave.

use std::sync::mpsc::channel;
use std::time::Duration;

use aerys::{Endpoint, WebSocketConfig};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::client::{BINARY, Client, TEXT, frame, handshake_with, server_frame};
use crate::compression::read_deflated;
use crate::program::Program;
use crate::support::{Event, TestServer, broadcast, wait_until};

/// Whether this process may have so many descriptors, as far as it may say so itself.
fn has_descriptors(count: u64) -> bool {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < count) {
        let current = limit.maximum.map_or(count, |most| most.min(count));
        let raised = Rlimit {
            current: Some(current),
            ..limit
        };
        let _ = setrlimit(Resource::Nofile, raised);
    }
    let has = getrlimit(Resource::Nofile)
        .current
        .is_none_or(|current| current >= count);
    if !has {
        eprintln!("not enough descriptors: {count}");
    }
    has
}

/// Row F9 of docs/security.md, and row 47. Ten of a thousand clients never read.
#[test]
fn ten_of_a_thousand_that_never_read_cost_their_limits_and_nobody_else_anything() {
    const MESSAGES: usize = 10_000;
    const BATCH: usize = 500;
    const MESSAGE_BYTES: usize = 1024;
    if !has_descriptors(1100) {
        return;
    }
    let program = Program::serve(&["--heartbeat", "off"]);
    let mut readers: Vec<_> = (0..990)
        .map(|_| Client::open(program.address, "/broadcast"))
        .collect();
    let message = |number: usize| {
        let mut message = vec![b'.'; MESSAGE_BYTES];
        message[..8].copy_from_slice(format!("{number:08}").as_bytes());
        message
    };
    let mut deliver = |numbers: std::ops::Range<usize>| {
        let each = |encode: &dyn Fn(Vec<u8>) -> Vec<u8>| -> Vec<u8> {
            numbers
                .clone()
                .flat_map(|number| encode(message(number)))
                .collect()
        };
        readers[0].send_raw(each(&|message| frame(true, BINARY, &message)));
        let expected = each(&|message| server_frame(BINARY, &message));
        for reader in &mut readers {
            assert!(reader.read_bytes(expected.len()) == expected, "{numbers:?}");
        }
    };
    // What a batch under way to all takes is no cost of those that never read.
    deliver(0..BATCH);
    let before = program.peak_resident_kib();
    let stuck: Vec<_> = (0..10)
        .map(|_| Client::open_narrow(program.address, "/broadcast"))
        .collect();
    let descriptors = program.descriptor_count();
    for batch in 0..MESSAGES / BATCH {
        deliver(batch * BATCH..(batch + 1) * BATCH);
    }
    let cost = program.peak_resident_kib().saturating_sub(before);
    // Each may have 1 MiB; what all of them lack is held once.
    assert!(cost <= 10 * 1024, "{cost} KiB");
    wait_until("those that never read are gone", || {
        program.descriptor_count() == descriptors - stuck.len()
    });
    // Nothing is kept for them.
    deliver(0..BATCH);
    assert!(
        program.resident_kib() <= before + 2 * 1024,
        "{} of {before} KiB",
        program.resident_kib()
    );
}

/// Row F10. Below its limit a client misses nothing, however late it reads.
#[test]
fn who_does_not_read_for_a_while_misses_nothing_below_its_limit() {
    const MESSAGES: usize = 600;
    let (sender, backlogs) = channel();
    let react = move |ws: &Endpoint, event: &Event| {
        broadcast(ws, event);
        if let Event::Binary(speaker, _) = event {
            let others = ws.clients().into_iter().filter(|client| client != speaker);
            let backlog = others
                .filter_map(|client| ws.info(client))
                .map(|info| info.backlog_bytes)
                .max();
            let _ = sender.send(backlog.unwrap_or(0));
        }
    };
    let config = WebSocketConfig {
        hard_backlog_bytes: 64 << 20,
        heartbeat: None,
        ..WebSocketConfig::default()
    };
    let server = TestServer::websocket(config, react);
    let (mut speaker, _) = server.open("/");
    let mut pausing = Client::open_narrow(server.address, "/");
    let message = |number: usize| {
        let mut message = vec![b'.'; 32 * 1024];
        message[..4].copy_from_slice(format!("{number:04}").as_bytes());
        message
    };
    let mut most = 0;
    for number in 0..MESSAGES {
        speaker.send(true, BINARY, message(number));
        assert!(speaker.read_message(BINARY) == message(number));
        most = most.max(
            backlogs
                .recv_timeout(Duration::from_secs(10))
                .expect("it was handled"),
        );
    }
    assert!(most > 4 << 20, "only {most} bytes waited");
    for number in 0..MESSAGES {
        assert!(pausing.read_message(BINARY) == message(number), "{number}");
    }
    pausing.send_text("still here");
    assert_eq!(pausing.read_text(), "still here");
}

/// Row 64. A broadcast is shared by all: what is done for one, or by one that leaves, changes no byte of
/// another's.
#[test]
fn a_thousand_clients_get_the_same_bytes_compressed_or_not_while_others_leave() {
    const CLIENTS: usize = 1000;
    const ROUNDS: usize = 6;
    if !has_descriptors(1100) {
        return;
    }
    let program = Program::serve(&["--heartbeat", "off", "--compression", "shared"]);
    let mut clients: Vec<_> = (0..CLIENTS)
        .map(|index| {
            let mut client = Client::connect(program.address);
            let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
            client.send_raw(handshake_with(
                "/broadcast",
                if index % 3 == 0 { offer } else { "" },
            ));
            assert_eq!(client.read_response().status, 101);
            (client, index % 3 == 0)
        })
        .collect();
    for round in 0..ROUNDS {
        let text = format!("{round}: 世界 ").repeat(400);
        // In the middle of it, and of all of them, some leave; a masked frame is what it came as.
        for _ in 0..5 {
            let (client, _) = clients.remove(clients.len() / 2);
            client.reset();
        }
        clients[0].0.send_raw(frame(true, TEXT, text.as_bytes()));
        for _ in 0..5 {
            drop(clients.remove(clients.len() / 3));
        }
        for (client, compresses) in &mut clients {
            let got = if *compresses {
                read_deflated(client, TEXT)
            } else {
                client.read_message(TEXT)
            };
            assert!(got == text.as_bytes(), "round {round}");
        }
    }
    assert_eq!(clients.len(), CLIENTS - 10 * ROUNDS);
}
