//! Servers that are not there, answer wrongly, or leave: counted and told.

use crate::run::{Told, bench};
use crate::server::{Peer, Server, frame};
use std::net::TcpListener;

/// 100 messages in half a second on one connection, or what becomes of them. `more` stands in for what is
/// the same by default.
fn echo(url: &str, more: &[&str]) -> Told {
    let defaults = [
        ["--connections", "1"],
        ["--rate", "200"],
        ["--warmup", "0"],
        ["--duration", "500ms"],
        ["--timeout", "500ms"],
    ];
    let defaults = defaults.iter().filter(|[flag, _]| !more.contains(flag));
    let defaults: Vec<_> = defaults.flatten().copied().collect();
    bench(&[&["echo", "--url", url], &defaults[..], more].concat())
}

/// Serves the messages of an open connection, with their numbers from 0.
fn serving(serve: impl Fn(&mut Peer, usize, Vec<u8>) + Send + Sync + 'static) -> Server {
    Server::start(move |peer| {
        peer.open();
        let mut number = 0;
        while let Some(message) = peer.read_message() {
            serve(peer, number, message);
            number += 1;
        }
    })
}

#[test]
fn a_message_that_comes_back_different_is_counted_and_the_run_goes_on() {
    let server = serving(|peer, number, mut message| {
        match number % 10 {
            3 => message[40] ^= 1,
            6 => drop(message.pop()),
            _ => {}
        }
        peer.send(&message);
    });
    let told = echo(&server.url("ws"), &[]);
    assert_eq!(told.status, Some(0), "{}", told.stderr);
    assert_eq!((told.received(), told.errors()), (80, 20));
    assert_eq!(told.error("mismatch"), 20);
}

#[test]
fn a_message_of_the_other_kind_is_a_different_one() {
    let server = serving(|peer, _, message| peer.write(&frame(0x82, &message)));
    let told = echo(&server.url("ws"), &[]);
    assert_eq!((told.received(), told.error("mismatch")), (0, 100));
    let told = echo(&server.url("ws"), &["--binary"]);
    assert_eq!((told.received(), told.errors()), (100, 0));
}

#[test]
fn messages_that_nobody_asked_for_are_counted() {
    let server = serving(|peer, number, message| {
        peer.send(&message);
        if number % 10 == 0 {
            peer.send(&message);
        }
    });
    // One at a time: the second of them comes when nothing is on its way.
    let told = echo(&server.url("ws"), &["--rate", "20"]);
    assert_eq!((told.received(), told.error("mismatch")), (10, 1));
}

#[test]
fn what_is_not_answered_is_counted_when_the_time_for_it_is_over() {
    let server = serving(|peer, number, message| {
        if number % 5 != 0 {
            peer.send(&message);
        }
    });
    let told = echo(&server.url("ws"), &[]);
    assert_eq!(told.status, Some(0), "{}", told.stderr);
    assert_eq!((told.received(), told.errors()), (80, 20));
    assert_eq!(told.error("timeout"), 20);
}

#[test]
fn a_connection_that_is_lost_is_told_with_its_reason_and_the_others_go_on() {
    let server = Server::start(|peer| {
        peer.open();
        let mut left = if peer.number == 0 { 10 } else { usize::MAX };
        while let Some(message) = peer.read_message() {
            peer.send(&message);
            left -= 1;
            if left == 0 {
                return peer.close(1008, "enough");
            }
        }
    });
    let told = echo(&server.url("ws"), &["--connections", "2"]);
    assert_eq!(told.status, Some(0), "{}", told.stderr);
    assert_eq!((told.error("closed"), told.errors()), (1, 1));
    assert!(
        told.stderr.contains("closed with 1008 enough"),
        "{}",
        told.stderr
    );
    assert!((90..=100).contains(&told.received()), "{}", told.received());
}

#[test]
fn when_all_are_lost_the_run_is_over_with_status_1() {
    let server = serving(|peer, number, message| {
        if number == 20 {
            // In the middle of a frame.
            peer.write(&[0x81, 64, b'x']);
            let _ = peer.stream.shutdown(std::net::Shutdown::Both);
        } else {
            peer.send(&message);
        }
    });
    let told = echo(&server.url("ws"), &["--duration", "1h"]);
    assert_eq!(told.status, Some(1));
    assert!(
        told.stderr.contains("all connections were lost"),
        "{}",
        told.stderr
    );
    assert_eq!((told.received(), told.error("closed")), (20, 1));
}

#[test]
fn a_server_that_breaks_the_protocol_is_told() {
    let server = serving(|peer, _, message| {
        // Masked, by a key of zeros.
        let mut bytes = frame(0x81, &message);
        bytes[1] |= 0x80;
        bytes.splice(2..2, [0; 4]);
        peer.write(&bytes);
    });
    let told = echo(&server.url("ws"), &[]);
    assert_eq!((told.status, told.error("protocol")), (Some(1), 1));
    let reason = "frames of a server must not be masked";
    assert!(told.stderr.contains(reason), "{}", told.stderr);
}

#[test]
fn a_handshake_that_opens_nothing_is_one_line_and_status_1() {
    let answering = |answer: &'static str| {
        Server::start(move |peer| {
            let _ = peer.read_head();
            peer.write(answer.as_bytes());
        })
    };
    let wrong_accept = Server::start(|peer| {
        let _ = peer.read_head();
        peer.switch("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let _ = peer.read_head();
    });
    let cases = [
        (wrong_accept, "Sec-WebSocket-Accept"),
        (
            answering("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"),
            "500 Internal Server Error",
        ),
        (answering("220 mail.example.com ESMTP\r\n"), "HTTP/1.1"),
        (answering(""), "ended the connection"),
    ];
    for (server, word) in cases {
        let told = echo(&server.url("ws"), &[]);
        assert_eq!(told.status, Some(1), "{word}");
        assert!(told.stderr.contains(word), "{word}: {}", told.stderr);
        assert_eq!(told.stderr.lines().count(), 1, "{}", told.stderr);
    }
}

#[test]
fn a_server_that_never_answers_a_handshake_is_given_up() {
    let server = Server::start(|peer| {
        let _ = peer.read_head();
        let _ = peer.read_head();
    });
    let told = echo(&server.url("ws"), &[]);
    assert_eq!(told.status, Some(1));
    assert!(
        told.stderr.contains("no handshake in time"),
        "{}",
        told.stderr
    );
}

#[test]
fn nobody_there_is_one_line_and_status_1() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    for command in ["echo", "broadcast", "connect", "http"] {
        let url = format!("ws://{address}/");
        let told = bench(&[command, "--url", &url]);
        assert_eq!(told.status, Some(1), "{command}");
        let is_line = told.stderr.contains("refused") && told.stderr.lines().count() == 1;
        assert!(is_line, "{command}: {}", told.stderr);
    }
    let told = bench(&["echo", "--url", "127.0.0.1:1"]);
    assert_eq!(told.status, Some(2));
    assert!(told.stderr.contains("write ws://"), "{}", told.stderr);
}

#[test]
fn responses_are_counted_by_their_status_whatever_frames_them() {
    let server = Server::start(|peer| {
        for number in 0.. {
            let Some(head) = peer.read_head() else {
                return;
            };
            assert!(head.starts_with("GET /x HTTP/1.1\r\n"), "{head}");
            let (answer, body) = match number % 4 {
                0 => ("200 OK\r\nContent-Length: 5", "hello"),
                1 => (
                    "200 OK\r\nTransfer-Encoding: chunked",
                    "5\r\nhello\r\n0\r\n\r\n",
                ),
                2 => ("503 Service Unavailable\r\nContent-Length: 2", "no"),
                _ => ("204 No Content", ""),
            };
            peer.write(format!("HTTP/1.1 {answer}\r\n\r\n{body}").as_bytes());
        }
    });
    let url = server.url("http");
    let args = ["http", "--url", &url, "--connections", "1", "--rate", "200"];
    let time = ["--warmup", "0", "--duration", "500ms"];
    let told = bench(&[&args[..], &time].concat());
    assert_eq!(told.status, Some(0), "{}", told.stderr);
    assert_eq!((told.received(), told.errors()), (75, 25));
    assert_eq!(told.error("status"), 25);
}
