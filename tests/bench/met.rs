//! What users meet: greetings, fragments, other answers than were awaited, limits of the system, Ctrl-C.

use crate::run::{bench, program, told};
use crate::server::{Peer, Server, frame};
use rustix::process::{Pid, Signal, kill_process};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

fn echo(peer: &mut Peer) {
    while let Some(message) = peer.read_message() {
        peer.send(&message);
    }
}

/// 50 messages in half a second on one connection.
const STEADY: [&str; 8] = [
    "--connections",
    "1",
    "--rate",
    "100",
    "--warmup",
    "0",
    "--duration",
    "500ms",
];

/// An answer to nothing would shift all that follow.
#[test]
fn what_a_server_says_when_somebody_comes_answers_nothing() {
    for load in ["echo", "broadcast"] {
        let server = Server::start(|peer| {
            peer.open();
            for _ in 0..3 {
                peer.send(b"welcome");
                // Behind the answer to the handshake, and not with it.
                thread::sleep(Duration::from_millis(10));
            }
            echo(peer);
        });
        let url = server.url("ws");
        let told = bench(&[&[load, "--url", &url], &STEADY[..]].concat());
        assert_eq!(told.status, Some(0), "{}", told.stderr);
        assert_eq!((told.received(), told.errors()), (50, 0), "{}", told.stderr);
    }
}

#[test]
fn fragments_and_pings_in_between_are_an_answer_all_the_same() {
    let server = Server::start(|peer| {
        peer.open();
        while let Some(message) = peer.read_message() {
            let (front, back) = message.split_at(10);
            let bytes = [
                frame(0x01, front),
                frame(0x89, b"there?"),
                frame(0x00, b""),
                frame(0x80, back),
            ];
            peer.write(&bytes.concat());
            if peer.read_frame() != Some((0xA, b"there?".to_vec())) {
                return;
            }
        }
    });
    let url = server.url("ws");
    let told = bench(&[&["echo", "--url", &url], &STEADY[..]].concat());
    assert_eq!(told.status, Some(0), "{}", told.stderr);
    assert_eq!((told.received(), told.errors()), (50, 0), "{}", told.stderr);
}

/// 50 messages of the warm-up come back different, and the 50 that are measured as they were sent.
#[test]
fn what_goes_wrong_in_the_warm_up_is_not_measured() {
    for shift in [0, 1] {
        let server = Server::start(move |peer| {
            peer.open();
            for number in 0.. {
                let Some(mut message) = peer.read_message() else {
                    return;
                };
                message[0] ^= u8::from(number < 50 + shift);
                peer.send(&message);
            }
        });
        let url = server.url("ws");
        let args = ["echo", "--url", &url, "--connections", "1", "--rate", "100"];
        let time = ["--warmup", "500ms", "--duration", "500ms"];
        let told = bench(&[&args[..], &time].concat());
        assert_eq!(told.status, Some(0), "{}", told.stderr);
        assert_eq!((told.received(), told.errors()), (50 - shift, shift));
        let is_told = told
            .stderr
            .contains("1 × a message came back with other content");
        assert_eq!(is_told, shift > 0, "{}", told.stderr);
    }
}

#[test]
fn what_came_instead_is_told_in_words() {
    let binary = Server::start(|peer| {
        peer.open();
        while let Some(message) = peer.read_message() {
            peer.write(&frame(0x82, &message));
        }
    });
    let longer = Server::start(|peer| {
        peer.open();
        while let Some(message) = peer.read_message() {
            peer.send(&[&b"echo: "[..], &message].concat());
        }
    });
    for (server, line) in [
        (
            binary,
            "50 × text came back as a binary message: measure such a server with --binary",
        ),
        (longer, "50 × a message of 64 bytes came back with 70"),
    ] {
        let url = server.url("ws");
        let told = bench(&[&["echo", "--url", &url], &STEADY[..]].concat());
        assert_eq!((told.received(), told.error("mismatch")), (0, 50));
        assert!(told.stderr.contains(line), "{}", told.stderr);
    }
    let busy = Server::start(|peer| {
        while peer.read_head().is_some() {
            peer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let url = busy.url("http");
    let told = bench(&[&["http", "--url", &url], &STEADY[..]].concat());
    assert_eq!((told.received(), told.error("status")), (0, 50));
    assert!(
        told.stderr.contains("50 × the server answered 503"),
        "{}",
        told.stderr
    );
}

/// As many servers do: with the sender among the receivers, no message would ever be done.
#[test]
fn a_broadcast_to_all_but_its_sender_is_told_as_such() {
    let all: Mutex<Vec<(usize, std::net::TcpStream)>> = Mutex::new(Vec::new());
    let server = Server::start(move |peer| {
        peer.open();
        let stream = peer.stream.try_clone().expect("a descriptor");
        all.lock().expect("no panic").push((peer.number, stream));
        while let Some(message) = peer.read_message() {
            for (number, stream) in &mut *all.lock().expect("no panic") {
                if *number != peer.number {
                    let _ = std::io::Write::write_all(stream, &frame(0x81, &message));
                }
            }
        }
    });
    let url = server.url("ws");
    let args = [
        "broadcast",
        "--url",
        &url,
        "--connections",
        "4",
        "--rate",
        "100",
    ];
    let args = [&args[..], &["--warmup", "0", "--duration", "200ms"]].concat();
    let told = bench(&[&args[..], &["--timeout", "300ms"]].concat());
    assert_eq!((told.received(), told.error("timeout")), (0, 20));
    assert!(
        told.stderr.contains("1 × all but the sender"),
        "{}",
        told.stderr
    );
    let told = bench(&[&args[..], &["--sender-apart"]].concat());
    assert_eq!((told.received(), told.errors()), (80, 0), "{}", told.stderr);
    assert!(
        !told.stderr.contains("all but the sender"),
        "{}",
        told.stderr
    );
}

/// What is due while it is measured counts, as sent too, whenever it is sent.
#[test]
fn what_was_sent_is_what_was_due() {
    let server = Server::start(|peer| {
        peer.open();
        while let Some(message) = peer.read_message() {
            thread::sleep(Duration::from_millis(10));
            peer.send(&message);
        }
    });
    let url = server.url("ws");
    let args = ["echo", "--url", &url, "--connections", "1", "--rate", "200"];
    let time = [
        "--warmup",
        "100ms",
        "--duration",
        "200ms",
        "--pipeline",
        "1",
    ];
    let told = bench(&[&args[..], &time].concat());
    assert_eq!((told.received(), told.errors()), (40, 0), "{}", told.stderr);
    assert_eq!(told.number("/measured/counts/sent"), 40);
}

/// Waiting is not a part of the time line.
#[test]
fn what_is_never_answered_makes_no_intervals() {
    let server = Server::start(|peer| {
        peer.open();
        while peer.read_message().is_some() {}
    });
    let url = server.url("ws");
    let args = ["echo", "--url", &url, "--connections", "1", "--rate", "100"];
    let time = ["--warmup", "0", "--duration", "100ms", "--timeout", "1s"];
    let told = bench(&[&args[..], &time].concat());
    assert_eq!((told.received(), told.error("timeout")), (0, 10));
    let count = told.list("/measured/intervals/list").len();
    assert!((10..=11).contains(&count), "{count}");
}

#[test]
fn handshakes_that_nobody_answers_are_not_awaited_again_and_again() {
    let server = Server::start(|peer| {
        let _ = peer.read_head();
        let _ = peer.read_head();
    });
    let url = server.url("ws");
    let args = ["connect", "--url", &url, "--connections", "10000"];
    // One after the other that would be 1000 s.
    let told = bench(&[&args[..], &["--at-once", "3", "--timeout", "300ms"]].concat());
    assert_eq!(told.status, Some(1));
    assert!(
        told.stderr.contains("no handshake in time"),
        "{}",
        told.stderr
    );

    // Those that it had are used.
    let server = Server::start(|peer| {
        if peer.number < 2 {
            peer.open();
            echo(peer);
        } else {
            while peer.read_head().is_some() {}
        }
    });
    let url = server.url("ws");
    let args = [
        "echo",
        "--url",
        &url,
        "--connections",
        "1000",
        "--at-once",
        "5",
    ];
    let time = ["--warmup", "0", "--duration", "200ms", "--timeout", "300ms"];
    let told = bench(&[&args[..], &time].concat());
    assert_eq!(told.status, Some(0), "{}", told.stderr);
    assert!(told.received() > 0);
    assert_eq!((told.error("timeout"), told.errors()), (998, 998));
    assert!(
        told.stderr.contains("not tried any more"),
        "{}",
        told.stderr
    );
}

#[test]
fn what_a_server_moved_to_is_told() {
    let server = Server::start(|peer| {
        let _ = peer.read_head();
        peer.write(
            b"HTTP/1.1 301 Moved Permanently\r\nLocation: wss://b.example/x\r\nContent-Length: 0\r\n\r\n",
        );
    });
    let url = server.url("ws");
    let told = bench(&["echo", "--url", &url, "--connections", "1"]);
    assert_eq!(told.status, Some(1));
    let is_line =
        told.stderr.contains("301") && told.stderr.contains("it is at wss://b.example/x now");
    assert!(
        is_line && told.stderr.lines().count() == 1,
        "{}",
        told.stderr
    );
}

#[test]
fn too_few_descriptors_are_one_line_that_says_what_to_do() {
    let output = Command::new("sh")
        .args([
            "-c",
            "ulimit -n 60; exec \"$0\" \"$@\"",
            env!("CARGO_BIN_EXE_aerys"),
        ])
        .args([
            "bench",
            "echo",
            "--url",
            "ws://127.0.0.1:9/",
            "--connections",
            "100",
        ])
        .output()
        .expect("a shell");
    let told = told(&output);
    assert_eq!(told.status, Some(1));
    let is_line =
        told.stderr.contains("60 are allowed") && told.stderr.contains("`ulimit -Hn 132`");
    assert!(
        is_line && told.stderr.lines().count() == 1,
        "{}",
        told.stderr
    );
}

/// The server says when it has answered enough; the clients are interrupted then, and once more if the
/// answers do not come.
#[test]
fn an_interrupted_run_tells_what_was_measured_by_then() {
    for stalls in [false, true] {
        let (sender, receiver) = channel();
        let sender = Mutex::new(sender);
        let server = Server::start(move |peer| {
            peer.open();
            let mut count = 0;
            while let Some(message) = peer.read_message() {
                count += 1;
                if count == 20 {
                    let _ = sender.lock().expect("no panic").send(());
                }
                if count < 20 || !stalls {
                    peer.send(&message);
                }
            }
        });
        let url = server.url("ws");
        let mut child = program()
            .args([
                "bench",
                "echo",
                "--url",
                &url,
                "--connections",
                "1",
                "--json",
                "-",
            ])
            .args([
                "--rate",
                "100",
                "--warmup",
                "0",
                "--duration",
                "1h",
                "--timeout",
                "1h",
            ])
            .args(["--assert", "errors=1000"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        receiver.recv().expect("20 messages");
        kill_process(Pid::from_child(&child), Signal::INT).expect("it runs");
        // Until the first is seen, another is the same.
        while stalls && child.try_wait().expect("our child").is_none() {
            let _ = kill_process(Pid::from_child(&child), Signal::INT);
            thread::yield_now();
        }
        let told = told(&child.wait_with_output().expect("our child"));
        assert_eq!(told.status, Some(1), "{}", told.stderr);
        let lines: Vec<_> = told.stderr.lines().collect();
        let [.., verdict, last] = &lines[..] else {
            panic!("{}", told.stderr);
        };
        assert!(
            verdict.starts_with("aerys: errors=1000 does not hold"),
            "{verdict}"
        );
        assert!(last.starts_with("aerys: interrupted"), "{last}");
        if stalls {
            assert_eq!(told.received(), 19);
            assert!(told.error("timeout") >= 1, "{}", told.stderr);
        } else {
            assert!(told.received() >= 19);
            assert_eq!(told.errors(), 0, "{}", told.stderr);
        }
        let sent = told.number("/measured/counts/sent");
        assert_eq!(sent, told.received() + told.errors());
    }
}
