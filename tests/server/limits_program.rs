//! Limits of the program, as flags set them, and what it logs of them.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::client::{BINARY, Client, PING, frame, handshake};
use crate::program::{Program, command};
use crate::support::wait_until;

const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[test]
fn lifetimes_and_idle_times_close_with_1001() {
    let program = Program::serve(&["--max-lifetime", "300ms"]);
    let begun = Instant::now();
    let mut client = Client::open(program.address, "/echo");
    let reason = client.expect_close(1001);
    assert_eq!(reason, "Open for as long as may be");
    assert!(begun.elapsed() >= Duration::from_millis(300));

    let program = Program::serve(&["--websocket-idle-timeout", "300ms", "--heartbeat", "50ms"]);
    let mut client = Client::open(program.address, "/echo");
    let begun = Instant::now();
    client.send_text("the last message");
    assert_eq!(client.read_text(), "the last message");
    let mut pings = 0;
    let close = loop {
        let frame = client.read_frame();
        if frame.opcode != PING {
            break frame;
        }
        pings += 1;
        client.send(true, 0xA, frame.payload);
    };
    assert_eq!(close.payload, b"\x03\xE9Idle for too long");
    assert!(begun.elapsed() >= Duration::from_millis(300) && pings > 0);
}

#[test]
fn rates_are_kept() {
    let program = Program::serve(&["--max-handshakes-per-second", "2"]);
    let mut clients: Vec<_> = (0..4).map(|_| Client::connect(program.address)).collect();
    let statuses: Vec<_> = clients
        .iter_mut()
        .map(|client| {
            client.send_raw(handshake("/echo"));
            client.read_response().status
        })
        .collect();
    assert!(
        statuses.starts_with(&[101, 101]) && statuses.contains(&503),
        "{statuses:?}"
    );

    // As many at once as come in a second, and then one in a tenth of it.
    let program = Program::serve(&["--max-connections-per-second", "10"]);
    let begun = Instant::now();
    for _ in 0..15 {
        let mut client = Client::connect(program.address);
        client.send_raw(GET);
        assert_eq!(client.read_response().status, 200);
    }
    assert!(begun.elapsed() >= Duration::from_millis(400));

    for (flag, count) in [
        ("--max-frames-per-second", 15),
        ("--max-bytes-per-second", 15),
    ] {
        let rate = if flag.contains("bytes") { "70" } else { "10" };
        let program = Program::serve(&[flag, rate]);
        let mut client = Client::open(program.address, "/echo");
        let begun = Instant::now();
        for number in 0..count {
            client.send(true, BINARY, [number]);
        }
        for number in 0..count {
            assert_eq!(client.read_message(BINARY), [number]);
        }
        assert!(begun.elapsed() >= Duration::from_millis(300), "{flag}");
    }
}

#[test]
fn sizes_and_counts_are_kept() {
    let program = Program::serve(&["--max-header-section-bytes", "200"]);
    let mut client = Client::connect(program.address);
    client.send_raw(GET);
    assert_eq!(client.read_response().status, 200);
    client.send_raw(format!("GET / HTTP/1.1\r\nX: {}\r\n", "x".repeat(200)));
    assert_eq!(client.read_response().status, 431);

    let program = Program::serve(&["--max-buffered-input-bytes", "10000"]);
    let mut client = Client::open(program.address, "/echo");
    client.send_raw(&frame(true, BINARY, &vec![0; 20_000])[..15_000]);
    client.expect_close(1013);

    let program = Program::serve(&["--max-unanswered-pings", "0", "--heartbeat", "100ms"]);
    let mut client = Client::open(program.address, "/echo");
    client.expect_close(1008);
}

/// A flood of each kind has a line a second, and neither takes that of the other.
#[cfg(target_os = "linux")]
#[test]
fn refusals_are_logged_a_line_a_second_of_each_kind() {
    let mut serve = command();
    serve
        .args(["serve", "--listen", "127.0.0.1:0", "--log-level", "warn"])
        .args([
            "--max-connections",
            "2",
            "--max-connections-per-address",
            "1",
        ])
        .stderr(Stdio::piped());
    let program = Program::start(serve);
    let begun = Instant::now();
    let from = |last: u8| Client::connect_from(([127, 0, 0, last], 0).into(), program.address);
    let mut clients = [1, 2].map(from);
    for client in &mut clients {
        client.upgrade("/echo");
    }
    let refused = |last| {
        let mut client = from(last);
        client.read_to_end_or_reset();
    };
    for _ in 0..200 {
        refused(1);
        refused(3);
    }
    let seconds = usize::try_from(begun.elapsed().as_secs()).expect("few");
    let log = String::from_utf8(program.end_with_log()).expect("a log is text");
    for kind in [
        "127.0.0.1 has 1 connections, its limit",
        "2 are connected, the limit",
    ] {
        let count = log.matches(kind).count();
        assert!(
            (1..=seconds + 1).contains(&count),
            "{count} in {seconds} s: {log}"
        );
    }
}

/// They never read, and never leave.
#[cfg(target_os = "linux")]
#[test]
fn few_of_those_who_are_refused_keep_a_descriptor() {
    for limit in ["--max-connections", "--max-connections-per-address"] {
        let program = Program::serve(&[limit, "3"]);
        let before = program.descriptor_count();
        let clients: Vec<_> = (0..3)
            .map(|_| Client::open(program.address, "/echo"))
            .collect();
        let refused: Vec<_> = (0..200).map(|_| Client::connect(program.address)).collect();
        // All of these were accepted, since the last one was, and that is told.
        Client::connect(program.address).read_to_end_or_reset();
        let count = program.descriptor_count() - before;
        assert!(count <= clients.len() + 17, "{limit}: {count}");
        drop(refused);
    }
}

/// Whoever is counted by its address is so under the name that the program is given, too.
#[test]
fn connections_of_an_address_are_limited() {
    let program = Program::serve(&["--max-connections-per-address", "2"]);
    let mut clients = [(); 2].map(|()| Client::open(program.address, "/echo"));
    let mut refused = Client::connect(program.address);
    assert_eq!(refused.read_response().status, 503);
    refused.expect_eof();
    clients[0].send_close(1000);
    clients[0].expect_close(1000);
    wait_until("there is room", || {
        let mut client = Client::connect(program.address);
        client.try_send_raw(GET) && client.read_response().status == 200
    });
}
