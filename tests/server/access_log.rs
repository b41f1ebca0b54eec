//! The program's access log says of each exchange and each WebSocket what happened, in one line.

use std::collections::HashMap;
use std::fs::read_to_string;
use std::path::PathBuf;

use rustix::process::Signal;

use crate::client::{Client, PING, TEXT, close_payload, frame};
use crate::configuration::Folder;
#[cfg(feature = "http2")]
use crate::http2_client::Http2Client;
use crate::program::{Program, command};
use crate::support::wait_until;

/// `aerys serve` with an access log in a folder.
struct Logged {
    program: Program,
    folder: Folder,
}

impl Logged {
    fn serve(format: &str, arguments: &[&str]) -> Self {
        let folder = Folder::new();
        folder.write("public/letters.txt", "abcdefghij");
        let mut serve = command();
        serve
            .args(["serve", "--listen", "127.0.0.1:0", "--root"])
            .arg(folder.path().join("public"))
            .args(["--access-log-format", format, "--access-log"])
            .arg(folder.path().join("access.log"))
            .args(arguments)
            .env("CLICOLOR_FORCE", "1");
        Self {
            program: Program::start(serve),
            folder,
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("access.log")
    }

    /// As many lines as there are to be, and no others when it has ended.
    fn end(self, expected: usize) -> Vec<String> {
        wait_until("lines", || self.lines().len() >= expected);
        self.program.signal(Signal::TERM);
        self.ended(expected)
    }

    /// The same of one that has been stopped.
    fn ended(mut self, expected: usize) -> Vec<String> {
        assert_eq!(self.program.wait().0.code(), Some(0));
        let lines = self.lines();
        assert_eq!(lines.len(), expected, "{lines:#?}");
        lines
    }

    fn lines(&self) -> Vec<String> {
        let text = read_to_string(self.path()).expect("text");
        assert!(!text.contains('\u{1b}'), "files have no colours");
        text.lines().map(str::to_owned).collect()
    }
}

/// What a line in JSON has, by key; strings with their quotes. No object and no list is in it.
fn members(line: &str) -> HashMap<&str, &str> {
    let inside = line
        .strip_prefix('{')
        .and_then(|line| line.strip_suffix('}'));
    let mut rest = inside.expect("an object");
    let mut members = HashMap::new();
    while !rest.is_empty() {
        let (key, behind) = rest[1..].split_once("\":").expect("a key");
        let end = value_len(behind);
        assert!(members.insert(key, &behind[..end]).is_none(), "{key} twice");
        rest = behind[end..].strip_prefix(',').unwrap_or_default();
    }
    members
}

fn value_len(text: &str) -> usize {
    let mut is_inside = false;
    let mut is_escaped = false;
    for (at, character) in text.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if is_inside => is_escaped = true,
            '"' => is_inside = !is_inside,
            ',' if !is_inside => return at,
            _ => {}
        }
    }
    assert!(!is_inside, "a string ends: {text}");
    text.len()
}

/// `method target status body_bytes complete` of lines in JSON.
fn exchanges(lines: &[String]) -> Vec<String> {
    let exchange = |line: &String| {
        let members = members(line);
        let of = |key: &str| members[key].trim_matches('"').to_owned();
        let keys = ["method", "target", "status", "body_bytes", "complete"];
        keys.map(of).join(" ")
    };
    lines.iter().map(exchange).collect()
}

#[test]
fn each_exchange_has_one_line_with_its_status_and_the_bytes_of_its_body() {
    let logged = Logged::serve("json", &[]);
    let mut client = Client::connect(logged.program.address);
    let mut expected = Vec::new();
    let first = client.get("/letters.txt");
    let etag = first.field("ETag").expect("a validator").to_owned();
    for (method, target, fields) in [
        ("GET", "/letters.txt?q=1", &[][..]),
        ("HEAD", "/letters.txt", &[]),
        ("GET", "/letters.txt", &[("Range", "bytes=2-4")]),
        ("GET", "/letters.txt", &[("Range", "bytes=0-1,4-5")]),
        ("GET", "/letters.txt", &[("Range", "bytes=100-")]),
        ("GET", "/letters.txt", &[("If-None-Match", &etag)]),
        ("GET", "/nothing", &[]),
        ("DELETE", "/letters.txt", &[]),
        ("GET", "/echo", &[]),
        ("OPTIONS", "*", &[]),
    ] {
        let answer = client.request(method, target, fields);
        let (status, len) = (answer.status, answer.body.len());
        expected.push(format!("{method} {target} {status} {len} true"));
    }
    let statuses = ["200 10", "200 0", "206 3", "206 ", "416 ", "304 0", "404 "];
    for (line, status) in expected.iter().zip(statuses) {
        assert!(line.contains(&format!(" {status}")), "{line}");
    }
    let lines = logged.end(expected.len() + 1);
    assert_eq!(exchanges(&lines)[1..], expected);
}

#[test]
fn pipelined_requests_have_lines_in_their_order() {
    let logged = Logged::serve("json", &[]);
    let mut client = Client::connect(logged.program.address);
    let targets: Vec<String> = (0..200).map(|n| format!("/letters.txt?{n}")).collect();
    let requests = targets
        .iter()
        .map(|target| format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
    client.send_raw(requests.collect::<String>());
    for _ in &targets {
        assert_eq!(client.read_response().status, 200);
    }
    let lines = logged.end(targets.len());
    let expected: Vec<String> = targets
        .iter()
        .map(|target| format!("GET {target} 200 10 true"))
        .collect();
    assert_eq!(exchanges(&lines), expected);
}

#[test]
fn what_is_no_request_and_what_is_not_answered_have_lines_too() {
    let logged = Logged::serve("json", &["--header-timeout", "1s"]);
    let connect = || Client::connect(logged.program.address);
    let mut expected = Vec::new();
    for (bytes, status) in [
        ("GET / HTTP/1.1\r\nNo field\r\n\r\n".to_owned(), 400),
        (format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(20_000)), 431),
        ("GET / HTTP/1.1\r\nHo".to_owned(), 408),
    ] {
        let mut client = connect();
        client.send_raw(bytes);
        let answer = client.read_response();
        assert_eq!(answer.status, status);
        expected.push(format!("GET / {status} {} true", answer.body.len()));
        client.expect_eof();
    }
    let post = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length:";
    let mut client = connect();
    client.send_raw(format!("{post} 999999999\r\n\r\n"));
    let answer = client.read_response();
    assert_eq!(answer.status, 413);
    expected.push(format!("POST /x 413 {} true", answer.body.len()));
    client.expect_eof();
    let mut client = connect();
    client.send_raw(format!("{post} 9\r\nExpect: 100-continue\r\n\r\n"));
    client.read_bytes("HTTP/1.1 100 Continue\r\n\r\n".len());
    client.reset();
    expected.push("POST /x 499 0 false".to_owned());
    let lines = logged.end(expected.len());
    assert_eq!(exchanges(&lines), expected);
}

#[test]
fn a_websocket_has_one_line_at_its_close() {
    let logged = Logged::serve(
        "json",
        &["--heartbeat", "1s", "--max-unanswered-pings", "0"],
    );
    let open = || Client::open(logged.program.address, "/echo");
    let echo = |client: &mut Client| {
        client.send(true, PING, "");
        client.read_frame();
        client.send_text("hello");
        client.read_text();
    };
    // Of the above: frames of 6 and 11 bytes, and their answers of 2 and 7.
    // A line comes when the client has closed its side, too.
    let leave = |client: Client, lines: usize| {
        drop(client);
        wait_until("a line", || logged.lines().len() == lines);
    };
    let mut closes = vec![(1000, "client", "", 8, 4), (1005, "client", "", 6, 2)];
    for (before, payload) in [&close_payload(1000, "")[..], b""].iter().enumerate() {
        let mut client = open();
        echo(&mut client);
        client.send_raw(frame(true, 0x8, payload));
        client.read_frame();
        client.expect_eof();
        leave(client, before + 1);
    }
    let mut client = open();
    echo(&mut client);
    client.send_raw(frame(true, TEXT, b"\xff"));
    let reason = client.expect_close(1007);
    client.expect_eof();
    leave(client, 3);
    closes.push((1007, "failure", &reason, 7, 4 + reason.len()));
    let mut client = open();
    echo(&mut client);
    client.shut_down_write();
    client.expect_eof();
    leave(client, 4);
    closes.push((1006, "nobody", "", 0, 0));
    let mut client = open();
    echo(&mut client);
    logged.program.signal(Signal::TERM);
    let stop = client.expect_close(1001);
    client.send_close(1001);
    client.expect_eof();
    leave(client, 5);
    closes.push((1001, "server", &stop, 8, 4 + stop.len()));
    let lines = logged.ended(closes.len());
    for (line, (code, closed_by, reason, read, sent)) in lines.iter().zip(closes) {
        let members = members(line);
        let mut expected = vec![
            ("kind", "\"websocket\"".to_owned()),
            ("target", "\"/echo\"".to_owned()),
            ("status", "101".to_owned()),
            ("code", code.to_string()),
            ("closed_by", format!("\"{closed_by}\"")),
            ("reason", format!("\"{reason}\"")),
            ("bytes_read", (17 + read).to_string()),
            ("bytes_sent", (9 + sent).to_string()),
            ("frames_read", (2 + usize::from(read > 0)).to_string()),
            ("messages_sent", "1".to_owned()),
        ];
        let frames_sent = 2 + usize::from(sent > 0);
        expected.push(("frames_sent", frames_sent.to_string()));
        for (key, value) in expected {
            assert_eq!(members[key], value, "{key} of {line}");
        }
    }
}

#[cfg(feature = "http2")]
#[test]
fn streams_of_http2_have_lines_of_their_own_and_one_connection() {
    let logged = Logged::serve("json", &[]);
    std::fs::write(
        logged.folder.path().join("public/large"),
        vec![b'x'; 1_000_000],
    )
    .expect("a file");
    let mut client = Http2Client::connect(logged.program.address);
    assert_eq!(client.get("/letters.txt").body.len(), 10);
    let missing = client.get("/nothing");
    let posted = client.post("/letters.txt", "a body");
    let stream = client.open_websocket("/echo");
    client.send_text(stream, "hello");
    client.read_text(stream);
    client.send_close(stream, 4000);
    client.expect_close(stream, 4000);
    client.send_data(stream, b"", true);
    client.expect_end(stream);
    // Its window takes 64 KiB, and then it is given up.
    let stream = client.ask("/large");
    let mut read = 0;
    let (_, mut is_last) = client.read_head(stream);
    while read < 65_535 && !is_last {
        let (bytes, end) = client.read_data(stream);
        (read, is_last) = (read + bytes.len(), end);
    }
    client.reset_stream(stream, 8);
    client.sync();
    let lines = logged.end(5);
    let told: Vec<_> = lines.iter().map(|line| members(line)).collect();
    for (members, (kind, target, status)) in told.iter().zip([
        ("request", "/letters.txt", 200),
        ("request", "/nothing", missing.status),
        ("request", "/letters.txt", posted.status),
        ("websocket", "/echo", 200),
        ("request", "/large", 200),
    ]) {
        assert_eq!(members["kind"], format!("\"{kind}\""));
        assert_eq!(members["target"], format!("\"{target}\""));
        assert_eq!(members["status"], status.to_string());
        assert_eq!(members["version"], "\"HTTP/2.0\"");
        assert_eq!(members["connection"], told[0]["connection"]);
    }
    let bytes = [0, 1, 2].map(|index| told[index]["body_bytes"].to_owned());
    let expected = [10, missing.body.len(), posted.body.len()];
    assert_eq!(bytes, expected.map(|len| len.to_string()));
    // More may have been on its way than was read.
    let sent = told[4]["body_bytes"].parse::<usize>().expect("a number");
    assert!(
        (read..1_000_000).contains(&sent),
        "{sent} bytes, {read} read"
    );
    assert_eq!(
        [0, 4].map(|index| told[index]["complete"]),
        ["true", "false"]
    );
    let counts = [
        "code",
        "frames_read",
        "bytes_read",
        "frames_sent",
        "bytes_sent",
    ];
    assert_eq!(
        counts.map(|key| told[3][key]),
        ["4000", "2", "19", "2", "11"]
    );
}

#[test]
fn common_and_combined_are_what_tools_know() {
    for format in ["common", "combined"] {
        let logged = Logged::serve(format, &[]);
        let mut client = Client::connect(logged.program.address);
        client.request("GET", "/letters.txt", &[]);
        let hostile = "a\" 500 0 \\ \t\u{202e}\u{ff}";
        let fields = [("Referer", "http://r/?a b"), ("User-Agent", hostile)];
        client.request("HEAD", "/nothing", &fields);
        let mut socket = Client::open(logged.program.address, "/echo");
        socket.send_close(1000);
        socket.expect_close(1000);
        socket.expect_eof();
        let lines = logged.end(3);
        let fields = |plain: &str, hostile: &str| match format {
            "common" => String::new(),
            _ => format!(" {plain} {hostile}"),
        };
        let escaped = r#""a\x22 500 0 \x5C \x09\xE2\x80\xAE\xC3\xBF""#;
        for (line, end) in lines.iter().zip([
            format!(
                "\"GET /letters.txt HTTP/1.1\" 200 10{}",
                fields("\"-\"", "\"-\"")
            ),
            format!(
                "\"HEAD /nothing HTTP/1.1\" 404 0{}",
                fields("\"http://r/?a b\"", escaped)
            ),
            format!("\"GET /echo HTTP/1.1\" 101 4{}", fields("\"-\"", "\"-\"")),
        ]) {
            let (time, rest) = line
                .strip_prefix("127.0.0.1 - - [")
                .and_then(|rest| rest.split_once("] "))
                .expect("an address and a time");
            assert_eq!(time.len(), "26/Nov/2026:10:54:43 +0000".len(), "{time}");
            let shape: String = time
                .chars()
                .map(|it| if it.is_ascii_digit() { '0' } else { it })
                .map(|it| if it.is_ascii_alphabetic() { 'a' } else { it })
                .collect();
            assert_eq!(shape, "00/aaa/0000:00:00:00 +0000");
            if rest.contains(" 101 ") {
                let (known, more) = rest.split_once(" code=").expect("more");
                assert_eq!(known, end);
                let (before, behind) = more.split_once(" seconds=").expect("a time");
                assert_eq!(before, "1000 closed_by=client");
                let (_, counts) = behind.split_once(' ').expect("counts");
                assert_eq!(
                    counts,
                    "frames_read=1 bytes_read=8 frames_sent=1 bytes_sent=4"
                );
            } else {
                assert_eq!(rest, end);
            }
        }
    }
}
