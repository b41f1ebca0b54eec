//! permessage-deflate (RFC 7692) over real sockets. Deflate is another implementation's than the
//! server's, or made by hand.

use std::time::Duration;

use aerys::{Compression, CompressionMode, Endpoint, WebSocketConfig};
use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::decompress_to_vec;

use crate::client::{BINARY, Client, PING, PONG, TEXT, frame, handshake_with, server_frame};
use crate::support::{Event, TestServer, echo};

/// RFC 7692 section 7.2.3.1: "Hello".
const HELLO: &[u8] = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
/// RSV1, beside an opcode.
const RSV1: u8 = 0x40;

fn config(mode: CompressionMode) -> WebSocketConfig {
    WebSocketConfig {
        compression: Some(Compression {
            mode,
            threshold_bytes: 100,
            ..Compression::default()
        }),
        ..WebSocketConfig::default()
    }
}

fn server(mode: CompressionMode) -> TestServer {
    TestServer::websocket(config(mode), echo)
}

/// Opens a WebSocket with these lines of offers, and returns what was answered to them.
fn open(server: &TestServer, offers: &[&str]) -> (Client, Option<String>) {
    let mut client = Client::connect(server.address);
    let line = |offer: &&str| ["Sec-WebSocket-Extensions: ", offer, "\r\n"].concat();
    let fields: String = offers.iter().map(line).collect();
    client.send_raw(handshake_with("/", &fields));
    let response = client.read_response();
    assert_eq!(response.status, 101, "{response:?}");
    let answer = response.field("Sec-WebSocket-Extensions");
    let answer = answer.map(str::to_owned);
    (client, answer)
}

/// A message as a client compresses it on its own: the block says that it is the last, so a byte 0
/// follows (section 7.2.3.4).
fn deflated(message: &[u8]) -> Vec<u8> {
    let mut payload = compress_to_vec(message, 6);
    payload.push(0);
    payload
}

/// Reads a compressed message of one frame that refers to no other.
pub(crate) fn read_deflated(client: &mut Client, opcode: u8) -> Vec<u8> {
    let start = client.read_bytes(2);
    assert_eq!(start[0], 0x80 | RSV1 | opcode, "{start:02x?}");
    let len = match start[1] {
        126 => u16::from_be_bytes(client.read_bytes(2).try_into().expect("two")).into(),
        len => usize::from(len),
    };
    let mut payload = client.read_bytes(len);
    payload.extend(b"\x00\x00\xFF\xFF\x01\x00\x00\xFF\xFF");
    decompress_to_vec(&payload).expect("deflate")
}

fn text() -> String {
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. ".repeat(30)
}

#[test]
fn the_first_offer_that_can_be_taken_is_answered_and_no_other() {
    let server = server(CompressionMode::Dedicated);
    let cases: [(&[&str], Option<&str>); 6] = [
        (&[], None),
        (&["x-webkit-deflate-frame"], None),
        (&["permessage-deflate"], Some("permessage-deflate")),
        (
            &[
                "permessage-deflate; server_max_window_bits=7, foo",
                "permessage-deflate; server_max_window_bits=\"9\"; server_no_context_takeover, \
                 permessage-deflate",
            ],
            Some("permessage-deflate; server_no_context_takeover; server_max_window_bits=9"),
        ),
        (
            &["permessage-deflate; client_max_window_bits=8; client_no_context_takeover"],
            Some("permessage-deflate; client_no_context_takeover; client_max_window_bits=8"),
        ),
        (
            &["permessage-deflate; client_max_window_bits; client_max_window_bits"],
            None,
        ),
    ];
    for (offers, expected) in cases {
        let (mut client, answer) = open(&server, offers);
        assert_eq!(answer.as_deref(), expected, "{offers:?}");
        client.send_text("open");
        assert_eq!(client.read_text(), "open");
    }
}

#[test]
fn messages_come_and_go_compressed_whole_and_in_fragments_with_pings_between() {
    for mode in [CompressionMode::Shared, CompressionMode::Dedicated] {
        let server = server(mode);
        let offer = "permessage-deflate; server_no_context_takeover";
        let (mut client, _) = open(&server, &[offer]);
        let text = text();
        let payload = deflated(text.as_bytes());
        client.send(true, TEXT | RSV1, &payload);
        assert_eq!(read_deflated(&mut client, TEXT), text.as_bytes());

        let (first, rest) = payload.split_at(40);
        client.send(false, BINARY | RSV1, first);
        client.send(true, PING, b"between");
        assert_eq!(client.read_message(PONG), b"between");
        client.send(false, 0, b"");
        client.send(true, 0, rest);
        assert_eq!(read_deflated(&mut client, BINARY), text.as_bytes());

        // Short ones go back plain, empty ones too.
        client.send(true, TEXT | RSV1, HELLO);
        assert_eq!(client.read_text(), "Hello");
        client.send(true, BINARY | RSV1, b"\x00");
        assert_eq!(client.read_bytes(2), server_frame(BINARY, b""));
        client.send_bytewise(frame(true, TEXT | RSV1, HELLO));
        assert_eq!(client.read_text(), "Hello");
    }
}

#[test]
fn what_is_wrong_fails_the_connection_with_its_code() {
    let limits = WebSocketConfig {
        max_message_bytes: 10_000,
        ..config(CompressionMode::Shared)
    };
    let server = TestServer::websocket(limits, echo);
    let bomb = deflated(&vec![0; 5_000_000]);
    let bad_text = b"\x00\x03\x00\xfc\xffab\xff";
    let cases: [(&[u8], u16); 8] = [
        (&frame(true, PING | RSV1, b""), 1002),
        (
            &[frame(false, TEXT, b"a"), frame(true, RSV1, b"b")].concat(),
            1002,
        ),
        (&frame(true, TEXT | 0x20, b"a"), 1002),
        (&frame(true, BINARY | RSV1, b"\x06\x00"), 1007),
        (&frame(true, BINARY | RSV1, &HELLO[..5]), 1007),
        // What is bad is told before the message is whole.
        (&frame(false, TEXT | RSV1, bad_text), 1007),
        (&frame(false, BINARY | RSV1, &bomb[..bomb.len() - 9]), 1009),
        (&frame(true, BINARY | RSV1, &bomb), 1009),
    ];
    for (stream, code) in cases {
        let (mut client, answer) = open(&server, &["permessage-deflate"]);
        assert!(answer.is_some());
        client.send_raw(stream);
        client.expect_close(code);
        assert_eq!(server.close_event().1, code);
    }
    // And RSV1 where nothing was agreed.
    let (mut client, _) = open(&server, &[]);
    client.send(true, TEXT | RSV1, HELLO);
    client.expect_close(1002);
}

#[test]
fn what_other_threads_and_timers_send_is_compressed_too() {
    let react = |ws: &Endpoint, event: &Event| {
        if let Event::Open(client, _) = event {
            ws.send_after(Duration::from_millis(1), *client, text());
            let (remote, client) = (ws.remote(), *client);
            std::thread::spawn(move || remote.send(client, text()));
        }
    };
    let server = TestServer::websocket(config(CompressionMode::Shared), react);
    let (mut client, _) = open(&server, &["permessage-deflate"]);
    for _ in 0..2 {
        assert_eq!(read_deflated(&mut client, TEXT), text().as_bytes());
    }
}

#[cfg(feature = "cli")]
mod program {
    use super::{RSV1, TEXT, deflated, read_deflated, text};
    use crate::client::{Client, handshake_with, server_frame};
    use crate::program::Program;

    fn open(program: &Program, path: &str) -> (Client, Option<String>) {
        let mut client = Client::connect(program.address);
        let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
        client.send_raw(handshake_with(path, offer));
        let answer = client.read_response();
        let answer = answer.field("Sec-WebSocket-Extensions").map(str::to_owned);
        (client, answer)
    }

    #[test]
    fn the_program_compresses_on_all_paths_if_it_is_told_to() {
        let off = Program::serve(&[]);
        let plain = Program::serve(&["--compression", "off"]);
        let shared = Program::serve(&["--compression=shared", "--compression-window-bits=9"]);
        let flags = ["--compression", "dedicated", "--compression-level", "9"];
        let dedicated = Program::serve(&flags);
        for path in ["/echo", "/chat", "/broadcast"] {
            assert_eq!(open(&off, path).1, None);
            assert_eq!(open(&plain, path).1, None);
            let neither = "permessage-deflate; server_no_context_takeover; \
                client_no_context_takeover; server_max_window_bits=9; client_max_window_bits=9";
            assert_eq!(open(&shared, path).1.as_deref(), Some(neither));
            let both = Some("permessage-deflate".to_owned());
            assert_eq!(open(&dedicated, path).1, both);
        }
    }

    #[test]
    fn the_program_compresses_from_its_threshold_on() {
        let len = text().len().to_string();
        let flags = ["--compression=shared", "--compression-threshold-bytes"];
        let program = Program::serve(&[flags[0], flags[1], &len]);
        for path in ["/echo", "/broadcast"] {
            let (mut client, _) = open(&program, path);
            client.send(true, TEXT | RSV1, deflated(text().as_bytes()));
            assert_eq!(read_deflated(&mut client, TEXT), text().as_bytes());
            let shorter = &text()[..text().len() - 1];
            client.send_text(shorter);
            let plain = server_frame(TEXT, shorter.as_bytes());
            assert_eq!(client.read_bytes(plain.len()), plain);
        }
    }
}
