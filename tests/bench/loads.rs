//! What a load measures: stalls, counts, order.

use crate::run::bench;
use crate::server::{Peer, Server};
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

const STALL: Duration = Duration::from_millis(600);

/// Echoes, and stands still once for all connections together.
fn stalling() -> Server {
    let count = Mutex::new(0);
    Server::start(move |peer| {
        peer.open();
        while let Some(message) = peer.read_message() {
            let mut count = count.lock().expect("no panic");
            *count += 1;
            if *count == 200 {
                thread::sleep(STALL);
            }
            drop(count);
            peer.send(&message);
        }
    })
}

/// 600 of 1000 messages are due while the server stands still: a quarter of all waits longer than 350 ms.
/// In a closed loop as many messages as there are connections meet it.
#[test]
fn a_stall_is_seen_at_a_fixed_rate_and_not_in_a_closed_loop() {
    let shared = ["--connections", "4", "--warmup", "0", "--duration", "1s"];
    let with = |more: &[&str]| {
        let server = stalling();
        let url = server.url("ws");
        let args = [&["echo", "--url", &url], &shared[..], more].concat();
        let told = bench(&args);
        assert_eq!(told.status, Some(0), "{}", told.stderr);
        assert_eq!(told.errors(), 0);
        assert!(told.millis("max") >= 600, "{}", told.millis("max"));
        told
    };
    for more in [
        &["--rate", "1000"][..],
        &["--rate", "1000", "--pipeline", "1"],
    ] {
        let told = with(more);
        assert_eq!(told.received(), 1000);
        assert!(told.millis("p75") >= 300, "{}", told.millis("p75"));
        assert!(told.millis("p99") >= 550, "{}", told.millis("p99"));
    }
    let told = with(&[]);
    assert!(told.millis("p75") < 300, "{}", told.millis("p75"));
}

fn echo(peer: &mut Peer) {
    peer.open();
    while let Some(message) = peer.read_message() {
        peer.send(&message);
    }
}

#[test]
fn a_rate_is_that_of_all_connections_together_and_spread_evenly() {
    let counts = Arc::new(Mutex::new(vec![0; 5]));
    let seen = Arc::clone(&counts);
    let server = Server::start(move |peer| {
        peer.open();
        while let Some(message) = peer.read_message() {
            seen.lock().expect("no panic")[peer.number] += 1;
            peer.send(&message);
        }
    });
    let url = server.url("ws");
    let args = ["echo", "--url", &url, "--connections", "5", "--rate", "200"];
    let told = bench(&[&args[..], &["--warmup", "500ms", "--duration", "1s"]].concat());
    assert_eq!(told.status, Some(0), "{}", told.stderr);
    assert_eq!((told.received(), told.errors()), (200, 0));
    assert_eq!(told.number("/measured/counts/sent"), 200);
    assert_eq!(told.number("/measured/counts/handshakes"), 5);
    // With the warm-up.
    assert_eq!(*counts.lock().expect("no panic"), [60; 5]);
}

#[test]
fn as_many_messages_as_asked_for_are_on_their_way_and_no_more() {
    let most = Arc::new(Mutex::new(0));
    let seen = Arc::clone(&most);
    let server = Server::start(move |peer| {
        peer.open();
        while let Some(message) = peer.read_message() {
            // Whatever else is sent before this is answered, is there soon.
            peer.stream
                .set_read_timeout(Some(Duration::from_millis(100)))
                .expect("a time");
            let mut waiting = vec![message];
            while let Some(message) = peer.read_message() {
                waiting.push(message);
            }
            let mut most = seen.lock().expect("no panic");
            *most = waiting.len().max(*most);
            peer.stream.set_read_timeout(None).expect("none");
            for message in waiting {
                peer.send(&message);
            }
        }
    });
    let url = server.url("ws");
    let args = [
        "echo",
        "--url",
        &url,
        "--connections",
        "1",
        "--pipeline",
        "3",
    ];
    let told = bench(&[&args[..], &["--warmup", "0", "--duration", "500ms"]].concat());
    assert_eq!(
        (told.status, told.errors()),
        (Some(0), 0),
        "{}",
        told.stderr
    );
    assert_eq!(*most.lock().expect("no panic"), 3);
}

#[test]
fn sources_that_are_given_take_turns() {
    let seen = Arc::new(Mutex::new(HashSet::new()));
    let addresses = Arc::clone(&seen);
    let server = Server::start(move |peer| {
        let from = peer.stream.peer_addr().expect("a peer").ip().to_string();
        addresses.lock().expect("no panic").insert(from);
        echo(peer);
    });
    let url = server.url("ws");
    let args = [
        "connect",
        "--url",
        &url,
        "--connections",
        "4",
        "--hold",
        "0",
    ];
    let sources = ["--source", "127.0.0.7", "--source", "127.0.0.8"];
    let told = bench(&[&args[..], &sources].concat());
    assert_eq!(told.status, Some(0), "{}", told.stderr);
    assert_eq!(told.received(), 4);
    let expected = ["127.0.0.7", "127.0.0.8"].map(str::to_owned);
    assert_eq!(*seen.lock().expect("no panic"), HashSet::from(expected));
}

/// A third connection gets all but every fourth message.
fn forgetful() -> Server {
    let peers = Mutex::new((0, Vec::new()));
    Server::start(move |peer| {
        peer.open();
        let stream = peer.stream.try_clone().expect("a descriptor");
        peers.lock().expect("no panic").1.push(stream);
        while let Some(message) = peer.read_message() {
            let (count, all) = &mut *peers.lock().expect("no panic");
            let is_forgotten = *count % 4 == 0;
            *count += 1;
            for (index, stream) in all.iter_mut().enumerate() {
                if !(is_forgotten && index == 2) {
                    let bytes = crate::server::frame(0x81, &message);
                    let _ = std::io::Write::write_all(stream, &bytes);
                }
            }
        }
    })
}

#[test]
fn a_broadcast_message_that_one_receiver_lacks_is_told() {
    for size in ["64", "3"] {
        let server = forgetful();
        let url = server.url("ws");
        let args = [
            "broadcast",
            "--url",
            &url,
            "--connections",
            "3",
            "--rate",
            "40",
        ];
        let more = ["--warmup", "0", "--duration", "1s", "--size", size];
        let told = bench(&[&args[..], &more].concat());
        assert_eq!(told.status, Some(0), "{}", told.stderr);
        // Numbers 0, 4, ... 36; that they are missing is seen by those behind them.
        assert_eq!((told.errors(), told.error("mismatch")), (10, 10));
        assert_eq!(told.received(), 40 * 3 - 10);
        for series in 0..3 {
            let path = format!("/measured/latencies/{series}/latencies/count");
            assert_eq!(told.number(&path), 40);
        }
    }
}

#[test]
fn the_last_of_a_broadcasts_messages_is_awaited_and_told_if_it_does_not_come() {
    let server = Server::start(|peer| {
        peer.open();
        // Nobody gets anything.
        while peer.read_message().is_some() {}
    });
    let url = server.url("ws");
    let args = [
        "broadcast",
        "--url",
        &url,
        "--connections",
        "2",
        "--rate",
        "20",
    ];
    let more = ["--warmup", "0", "--duration", "500ms", "--timeout", "300ms"];
    let told = bench(&[&args[..], &more].concat());
    assert_eq!((told.error("timeout"), told.received()), (10, 0));
}
