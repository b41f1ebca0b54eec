//! `aerys connect` in a process of its own, against our server and against peers that are none.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;

use aerys::{CloseCode, Compression, WebSocketConfig};
use base64::Engine;
use rustix::process::{Pid, Signal, kill_process};

use crate::client::PATIENCE;
use crate::program::{Program, command, run_with_input};
use crate::support::{Event, TestServer, wait_until};

/// `aerys connect` to `path`, with what `printf` makes of `lines` as its input.
fn connect(
    address: SocketAddr,
    path: &str,
    lines: &str,
    arguments: &[&str],
) -> (Option<i32>, String, String) {
    let mut shell = Command::new("sh");
    let script = "printf \"$0\" | \"$@\"";
    let url = format!("ws://{address}{path}");
    shell
        .args([
            "-c",
            script,
            lines,
            env!("CARGO_BIN_EXE_aerys"),
            "connect",
            &url,
        ])
        .args(arguments)
        .stdin(Stdio::null());
    run_with_input(shell)
}

/// A server that closes by what it is sent: `4001 why`.
fn closing() -> TestServer {
    TestServer::websocket(WebSocketConfig::default(), |ws, event| {
        if let Event::Text(client, text) = event {
            let (code, reason) = text.split_once(' ').expect("a code and a reason");
            let code = code.parse::<u16>().expect("a code");
            ws.send(*client, "closing");
            ws.close(*client, CloseCode::from(code), reason)
                .expect("a code that may be sent");
        }
    })
}

/// A peer that reads the head of one request, answers `answer` and ends the connection.
fn peer(answer: &'static str) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).expect("a request") > 0 {
            head.push(byte[0]);
        }
        stream.write_all(answer.as_bytes()).expect("a client");
        String::from_utf8(head).expect("ASCII")
    });
    (address, thread)
}

#[test]
fn lines_in_a_pipe_are_sent_and_their_echoes_printed() {
    let server = TestServer::echo();
    let lines = "hello\\n\\nl\u{e4}st";
    let (status, output, errors) = connect(server.address, "/", lines, &["--count", "3"]);
    assert_eq!(
        (status, output.as_str()),
        (Some(0), "hello\n\nl\u{e4}st\n"),
        "{errors}"
    );
    assert_eq!(errors, "* connected\n* closed: 1000 (normal closure)\n");
}

#[test]
fn what_is_not_wanted_any_more_is_not_printed() {
    let server = TestServer::echo();
    let (status, output, errors) = connect(
        server.address,
        "/",
        "a\\nb\\nc\\n",
        &["--count", "1", "--quiet"],
    );
    assert_eq!(
        (status, output.as_str(), errors.as_str()),
        (Some(0), "a\n", "")
    );
}

#[test]
fn answers_are_waited_for_as_long_as_was_said() {
    let server = closing();
    // By itself, it would not end.
    let (status, output, errors) = connect(server.address, "/", "1000 bye", &["--wait", "forever"]);
    assert_eq!(
        (status, output.as_str()),
        (Some(0), "closing\n"),
        "{errors}"
    );
    assert!(
        errors.ends_with("* closed by the server: 1000 (normal closure): bye\n"),
        "{errors}"
    );
    // Without a wait there may be no answer, but an end.
    let echo = TestServer::echo();
    let (status, _, errors) = connect(echo.address, "/", "hello", &["--wait", "0"]);
    assert_eq!(status, Some(0));
    assert!(
        errors.ends_with("* closed: 1000 (normal closure)\n"),
        "{errors}"
    );
}

#[test]
fn another_close_code_is_told_with_its_meaning_and_is_a_failure() {
    let server = closing();
    for (line, told) in [
        (
            "4001 why\\033[2J",
            "4001 (a code of the application's own): why\\u{1b}[2J",
        ),
        ("1011 ", "1011 (internal error of the server)"),
        ("1001 ", "1001 (going away: the server stops)"),
    ] {
        let (status, output, errors) = connect(server.address, "/", line, &["--wait", "forever"]);
        assert_eq!(
            (status, output.as_str()),
            (Some(1), "closing\n"),
            "{line}: {errors}"
        );
        let last = format!("aerys: the server closed the connection: {told}\n");
        assert!(errors.ends_with(&last), "{line}: {errors}");
    }
}

#[test]
fn binary_goes_out_as_it_is_and_comes_in_as_hex() {
    let server = TestServer::echo();
    let arguments = ["--binary", "--count", "1", "-q"];
    let (status, output, errors) = connect(server.address, "/", "\\377\\001\\n", &arguments);
    assert_eq!(
        (status, output.as_str(), errors.as_str()),
        (Some(0), "binary, 2 bytes: ff 01\n", "")
    );
    // As text it cannot be sent.
    let (status, output, errors) = connect(server.address, "/", "\\377\\n", &[]);
    assert_eq!((status, output.as_str()), (Some(1), ""));
    assert!(
        errors.ends_with("aerys: a line is not UTF-8, as text has to be: send it with --binary\n"),
        "{errors}"
    );
}

#[test]
fn compressed_messages_go_both_ways() {
    let config = WebSocketConfig {
        compression: Some(Compression::default()),
        ..WebSocketConfig::default()
    };
    let server = TestServer::websocket(config, crate::support::echo);
    let text = "again and again ".repeat(200);
    let (status, output, errors) = connect(
        server.address,
        "/",
        &text,
        &["--compression", "--count", "1"],
    );
    assert_eq!(status, Some(0), "{errors}");
    assert_eq!(output, format!("{text}\n"));
    assert!(errors.starts_with("* connected, compressed\n"), "{errors}");
}

#[test]
fn pings_are_sent_and_shown_and_ctrl_c_closes() {
    let server = TestServer::echo();
    let mut child = command()
        .args([
            "connect",
            &format!("ws://{}/", server.address),
            "--ping=10ms",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let mut next = || lines.next().expect("a line").expect("text");
    assert_eq!(next(), "* connected");
    for number in 1..=2 {
        let line = next();
        let time = line.strip_prefix(&format!("* ping {number}: "));
        let millis = time.and_then(|time| time.strip_suffix(" ms")).expect(&line);
        assert!(millis.parse::<f64>().expect("a number") > 0.0);
    }
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::INT).expect("it runs");
    let mut last = next();
    while last.starts_with("* ping ") {
        last = next();
    }
    assert_eq!(last, "* closed: 1000 (normal closure)");
    assert_eq!(child.wait().expect("our child").code(), Some(0));
}

#[test]
fn what_is_no_websocket_is_told_in_one_line() {
    let program = Program::serve(&[]);
    let (status, output, errors) = connect(program.address, "/nowhere", "", &[]);
    assert_eq!((status, output.as_str()), (Some(1), ""));
    assert_eq!(
        errors,
        "aerys: the server answered 404 Not Found in place of 101 Switching Protocols\n"
    );

    let (address, thread) = peer("");
    let (status, _, errors) = connect(address, "/", "", &[]);
    assert_eq!(status, Some(1));
    assert!(
        errors.starts_with("aerys: the server ended the connection before it answered"),
        "{errors}"
    );
    assert_eq!(errors.lines().count(), 1);
    thread.join().expect("a request");

    // Nobody listens there any more.
    let (status, _, errors) = connect(address, "/", "", &[]);
    assert_eq!(status, Some(1));
    assert!(
        errors.starts_with(&format!("aerys: cannot connect to ws://{address}/: ")),
        "{errors}"
    );
}

/// A peer that opens a WebSocket and does nothing but one thing until the client is gone.
fn forever(
    serve: impl Fn(&mut std::net::TcpStream) -> std::io::Result<usize> + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        let mut head = vec![0; 4096];
        let len = stream.read(&mut head).expect("a request");
        let head = String::from_utf8_lossy(&head[..len]).into_owned();
        let (_, rest) = head.split_once("Sec-WebSocket-Key: ").expect("a key");
        let key = rest.split("\r\n").next().expect("a line");
        let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
        let hash = sha1_smol::Sha1::from(text).digest().bytes();
        let accept = base64::engine::general_purpose::STANDARD.encode(hash);
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        stream.write_all(answer.as_bytes()).expect("a client");
        while serve(&mut stream).is_ok_and(|len| len > 0) {}
    });
    address
}

/// A server that sends without an end, and lines without an end for one that reads: neither is all that is
/// served.
#[test]
fn a_flood_in_either_direction_lets_ctrl_c_through() {
    let flood = b"\x81\x01x".repeat(64 * 1024);
    let sending = forever(move |stream| stream.write(&flood));
    let reading = forever(|stream| stream.read(&mut vec![0; 256 * 1024]));
    for (address, says) in [(sending, "sleep 60"), (reading, "yes")] {
        let mut typing = Command::new("sh")
            .args(["-c", &format!("exec {says}")])
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let input = typing.stdout.take().expect("a pipe");
        let mut child = command()
            .args(["connect", &format!("ws://{address}/")])
            .stdin(input)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let line = lines.next().expect("a line").expect("text");
        assert_eq!(line, "* connected", "{says}");
        // The first closes. What is left of the flood then is not what is tried here: the second ends it.
        for _ in 0..2 {
            kill_process(Pid::from_child(&child), Signal::INT).expect("it runs");
        }
        wait_until("the program ends", || {
            child.try_wait().expect("our child").is_some()
        });
        typing.kill().expect("our child");
        typing.wait().expect("our child");
    }
}

#[test]
fn the_request_says_what_was_asked_for() {
    let (address, thread) = peer("HTTP/1.1 403 Forbidden\r\n\r\n");
    let arguments = [
        "--origin",
        "http://a.example",
        "--header",
        "X-One: 1",
        "--header=Authorization: Basic YTpi",
        "--subprotocol",
        "chat.v2",
        "--subprotocol",
        "chat.v1",
        "--compression",
    ];
    let (status, _, errors) = connect(address, "/a?b", "", &arguments);
    assert_eq!(status, Some(1));
    assert!(errors.contains("403 Forbidden"), "{errors}");
    let head = thread.join().expect("a request").to_lowercase();
    for line in [
        "get /a?b http/1.1\r\n",
        "\r\norigin: http://a.example\r\n",
        "\r\nx-one: 1\r\n",
        "\r\nauthorization: basic ytpi\r\n",
        "\r\nsec-websocket-protocol: chat.v2, chat.v1\r\n",
        "\r\nsec-websocket-extensions: permessage-deflate",
    ] {
        assert!(head.contains(line), "{line:?} in {head}");
    }
}
