//! HTTP connections that the server ends between two responses, as it may: no loss, but opened again.

use crate::run::{Told, bench};
use crate::server::{Peer, Server};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const LAST: &[u8] = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";

/// 50 requests in half a second.
fn http(serve: impl Fn(&mut Peer) + Send + Sync + 'static, more: &[&str]) -> Told {
    let server = Server::start(serve);
    let url = server.url("http");
    let defaults = [
        ["--connections", "1"],
        ["--rate", "100"],
        ["--warmup", "0"],
        ["--duration", "500ms"],
        ["--timeout", "2s"],
    ];
    let defaults = defaults.iter().filter(|[flag, _]| !more.contains(flag));
    let defaults: Vec<_> = defaults.flatten().copied().collect();
    bench(&[&["http", "--url", &url], &defaults[..], more].concat())
}

fn expect_all(told: &Told) {
    assert_eq!(told.status, Some(0), "{}", told.stderr);
    assert_eq!((told.received(), told.errors()), (50, 0), "{}", told.stderr);
    assert!(told.stderr.contains("opened again"), "{}", told.stderr);
}

#[test]
fn each_request_may_have_a_connection_of_its_own() {
    for more in [&[][..], &["--connections", "3"], &["--pipeline", "4"]] {
        let told = http(
            |peer| {
                if peer.read_head().is_some() {
                    peer.write(LAST);
                    // It waits for the client, which is to leave.
                    while peer.read_head().is_some() {}
                }
            },
            more,
        );
        expect_all(&told);
    }
}

#[test]
fn a_connection_may_end_after_so_many_requests_without_a_word() {
    let told = http(
        |peer| {
            for _ in 0..7 {
                if peer.read_head().is_none() {
                    return;
                }
                peer.write(OK);
            }
        },
        &[],
    );
    expect_all(&told);
}

/// While nothing was asked: what is asked next goes to a new one.
#[test]
fn an_idle_connection_may_end_and_content_may_end_with_its_connection() {
    for head in ["HTTP/1.0 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"] {
        let told = http(
            move |peer| {
                if peer.read_head().is_some() {
                    peer.write(head.as_bytes());
                    peer.write(b"content");
                }
            },
            &[],
        );
        expect_all(&told);
    }
}

/// What was sent behind the last request that is answered is sent again, in order.
#[test]
fn requests_on_their_way_when_a_connection_ends_are_asked_again() {
    let told = http(
        |peer| {
            // Three come before one is answered.
            let heads = (0..3).map_while(|_| peer.read_head()).count();
            if heads > 0 {
                peer.write(OK);
                let _ = peer.stream.shutdown(Shutdown::Write);
                while peer.read_head().is_some() {}
            }
        },
        // Of the last one or two, no third comes.
        &["--rate", "200", "--timeout", "300ms"],
    );
    assert!(
        told.received() >= 90,
        "{}: {}",
        told.received(),
        told.stderr
    );
    assert_eq!(told.error("closed"), 0, "{}", told.stderr);
    assert_eq!(told.received() + told.error("timeout"), 100);
}

#[test]
fn in_a_closed_loop_it_goes_on_too() {
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    let server = Server::start(move |peer| {
        count.fetch_add(1, Ordering::Relaxed);
        for _ in 0..3 {
            if peer.read_head().is_none() {
                return;
            }
            peer.write(OK);
        }
    });
    let url = server.url("http");
    let args = [
        "http",
        "--url",
        &url,
        "--connections",
        "2",
        "--pipeline",
        "2",
    ];
    let told = bench(&[&args[..], &["--warmup", "0", "--duration", "1s"]].concat());
    assert_eq!(told.status, Some(0), "{}", told.stderr);
    assert_eq!(told.errors(), 0, "{}", told.stderr);
    // The first two answer six.
    assert!(told.received() > 6 && connections.load(Ordering::Relaxed) > 2);
}

/// It would be opened again without an end.
#[test]
fn a_server_that_ends_connections_without_an_answer_loses_them() {
    let told = http(|peer| drop(peer.read_head()), &[]);
    assert_eq!(told.status, Some(1));
    assert_eq!((told.received(), told.error("closed")), (0, 1));
    assert!(
        told.stderr.contains("the server ended the connection"),
        "{}",
        told.stderr
    );
    // In the midst of a response, too.
    let told = http(
        |peer| {
            let _ = peer.read_head();
            peer.write(OK);
            let _ = peer.read_head();
            peer.write(&OK[..OK.len() - 1]);
        },
        &[],
    );
    assert_eq!((told.status, told.error("closed")), (Some(1), 1));
    assert_eq!(told.received(), 1);
}
