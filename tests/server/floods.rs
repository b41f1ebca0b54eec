//! Floods of frames that promise much or carry nothing, and what they cost the program: neither memory
//! nor, when they are over, processor time. Its limits are the defaults.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::client::{BINARY, CONTINUATION, Client, MASK, PING, PONG, TEXT, frame, handshake_with};
use crate::compression::read_deflated;
use crate::program::Program;

const MIB_IN_KIB: u64 = 1024;

fn serve(arguments: &[&str]) -> Program {
    let program = Program::serve(&[&["--heartbeat", "off"], arguments].concat());
    // What the first client and the first message cost once is no cost of a flood.
    expect_echo(&program);
    program
}

fn expect_echo(program: &Program) {
    let mut client = Client::open(program.address, "/echo");
    let message = vec![7; 100_000];
    client.send(true, BINARY, &message);
    assert!(client.read_message(BINARY) == message);
}

/// The most resident memory that the program had while `flood` went on, beyond what it had before.
fn cost_in_kib(program: &Program, flood: impl FnOnce(&Program)) -> u64 {
    let before = program.resident_kib();
    flood(program);
    program.peak_resident_kib().saturating_sub(before)
}

/// Sends the same frame so many times and reads nothing meanwhile.
fn send_many(client: &mut Client, one: &[u8], count: usize) {
    const AT_ONCE: usize = 1000;
    let many = one.repeat(AT_ONCE);
    for _ in 0..count / AT_ONCE {
        client.send_raw(&many);
    }
}

/// By then the program has taken all that was sent before.
fn expect_pong(client: &mut Client) {
    client.send(true, PING, "last");
    assert_eq!(client.read_message(PONG), b"last");
}

/// Rows 42 and 43 of docs/security.md. The peers stay and wait for what comes.
#[test]
fn lengths_that_nobody_can_send_cost_neither_memory_nor_time() {
    let program = serve(&[]);
    let mut clients = Vec::new();
    let cost = cost_in_kib(&program, |program| {
        for (length, code) in [
            ([0, 0, 1, 0, 0, 0, 0, 0], 1009),
            ([0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], 1009),
            ([0x80, 0, 0, 0, 0, 0, 0, 0], 1002),
            ([0xFF; 8], 1002),
        ] {
            for _ in 0..50 {
                let mut client = Client::open(program.address, "/echo");
                client.send_raw([&[0x82, 0xFF], &length[..], &MASK].concat());
                client.expect_close(code);
                client.expect_eof();
                clients.push(client);
            }
        }
    });
    assert!(cost <= MIB_IN_KIB, "{cost} KiB");
    program.expect_calm("with peers that still want to send");
    drop(clients);
    expect_echo(&program);
}

/// Row 44. What is kept is the payload, in one growing buffer, and no object for each fragment.
#[test]
fn a_message_in_a_million_fragments_costs_about_its_payload() {
    const FRAGMENTS: usize = 1_000_000;
    let program = serve(&[]);
    let mut client = Client::open(program.address, "/echo");
    let cost = cost_in_kib(&program, |_| {
        client.send(false, BINARY, [1]);
        send_many(&mut client, &frame(false, CONTINUATION, &[1]), FRAGMENTS);
        expect_pong(&mut client);
    });
    // It doubles as it grows, and is moved then: at most three times the payload.
    assert!(cost <= 3 * MIB_IN_KIB, "{cost} KiB");
    client.send(true, CONTINUATION, "");
    assert!(client.read_message(BINARY) == vec![1; FRAGMENTS + 1]);
}

/// Row 45. They are counted, and the rest of the flood is read and dropped.
#[test]
fn a_million_empty_fragments_end_in_1008_and_disturb_nobody() {
    let program = serve(&[]);
    let mut other = Client::open(program.address, "/echo");
    let mut client = Client::open(program.address, "/echo");
    let mut writer = client.writer();
    let cost = cost_in_kib(&program, |_| {
        client.send(false, TEXT, "a");
        let sender = std::thread::spawn(move || {
            let many = frame(false, CONTINUATION, b"").repeat(1000);
            // The server closes long before the end.
            (0..1000).all(|_| writer.write_all(&many).is_ok())
        });
        for number in 0..100 {
            other.send_text(&number.to_string());
            assert_eq!(other.read_text(), number.to_string());
        }
        client.expect_close(1008);
        sender.join().expect("no panic");
    });
    assert!(cost <= MIB_IN_KIB, "{cost} KiB");
}

/// Row 46. Of all Pongs that wait the last alone is kept (RFC 6455 section 5.5.3), and of who takes none
/// nothing more is read.
#[test]
fn pings_whose_pongs_nobody_reads_cost_next_to_nothing() {
    const PINGS: usize = 50_000;
    let program = serve(&[]);
    let mut client = Client::open_narrow(program.address, "/echo");
    let mut writer = client.writer();
    let sent = Arc::new(AtomicUsize::new(0));
    let cost = cost_in_kib(&program, |program| {
        let counter = Arc::clone(&sent);
        let sender = std::thread::spawn(move || {
            let many = frame(true, PING, &[b'p'; 125]).repeat(100);
            for _ in 0..PINGS / 100 {
                writer
                    .write_all(&many)
                    .expect("the server reads in the end");
                counter.fetch_add(100, Ordering::Relaxed);
            }
            writer
                .write_all(&frame(true, PING, b"last"))
                .expect("the server reads in the end");
        });
        // Nothing is read before all are sent, or no more can be.
        let mut before = usize::MAX;
        loop {
            expect_echo(program);
            let now = sent.load(Ordering::Relaxed);
            if std::mem::replace(&mut before, now) == now {
                break;
            }
        }
        while client.read_message(PONG) != b"last" {}
        sender.join().expect("all were read");
    });
    assert!(cost <= MIB_IN_KIB, "{cost} KiB");
    assert_eq!(sent.load(Ordering::Relaxed), PINGS);
}

/// Row 48.
#[test]
fn a_million_pongs_that_nobody_asked_for_cost_nothing() {
    let program = serve(&[]);
    let mut client = Client::open(program.address, "/echo");
    let cost = cost_in_kib(&program, |_| {
        send_many(&mut client, &frame(true, PONG, b"unasked"), 1_000_000);
        expect_pong(&mut client);
    });
    assert!(cost <= MIB_IN_KIB / 2, "{cost} KiB");
}

/// A zero and so many times 2,064 more, compressed by hand (RFC 1951 section 3.2.6): one block with fixed
/// codes, in which eight lengths of 258 at distance 1 take 13 bytes. Its end is left out.
fn zeros(times: usize) -> Vec<u8> {
    // The block's header and the literal 0; each length and its distance.
    let bits = "010".to_owned() + "00110000" + &"1100010100000".repeat(8 * times);
    let bits = bits.as_bytes().chunks(8).map(|byte| {
        let set = byte.iter().enumerate().filter(|(_, bit)| **bit == b'1');
        set.map(|(index, _)| 1 << index).sum::<u8>()
    });
    bits.collect()
}

/// Row 49. What would become 256 MiB is inflated up to the limit of a message, 16 MiB.
#[test]
fn a_bomb_is_inflated_up_to_the_limit_of_a_message() {
    let program = serve(&["--compression", "shared"]);
    let open = || {
        let mut client = Client::connect(program.address);
        let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
        client.send_raw(handshake_with("/echo", offer));
        let response = client.read_response();
        assert!(response.field("Sec-WebSocket-Extensions").is_some());
        client
    };
    let compressed = |payload: &[u8]| {
        let mut message = frame(true, BINARY, payload);
        message[0] |= 0x40;
        message
    };
    // Less of it is taken: behind it an end of the block, and an empty one without its last four bytes.
    let mut client = open();
    let honest = [zeros(500), vec![0]].concat();
    client.send_raw(compressed(&honest));
    assert!(read_deflated(&mut client, BINARY) == vec![0; 1 + 500 * 2064]);

    let bomb = compressed(&zeros((256 << 20) / 2064));
    assert!(bomb.len() < 2 << 20);
    let cost = cost_in_kib(&program, |program| {
        let mut client = open();
        client.send_raw(&bomb);
        client.expect_close(1009);
        expect_echo(program);
    });
    assert!(cost <= 24 * MIB_IN_KIB, "{cost} KiB");
}
