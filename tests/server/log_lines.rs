//! What a peer sends must not be able to write lines of the log, or command the terminal of whoever
//! reads it.

use crate::client::{CLOSE, Client, PING, close_payload, frame, handshake_with};
use crate::program::Program;

/// ESC with a colour, a line break with something like an entry, a CSI in one byte, an override of
/// the direction of text, a line separator, a bell.
const FORGED: &str = "\u{1b}[31m\r\n[2026 ERROR] FORGED\n\u{9b}1m\u{202e}\u{2028}\u{7}FORGED";

#[test]
fn nothing_of_a_peer_is_logged() {
    let program = Program::serve_logging("trace");
    let try_raw = |bytes: &[u8]| {
        let mut client = Client::connect(program.address);
        client.try_send_raw(bytes);
        client.try_shut_down_write();
        client.read_to_end_or_reset()
    };
    // Where a field can have it, and where nothing can.
    let visible = FORGED.replace(['\u{1b}', '\r', '\n', '\u{7}'], "");
    for piece in [FORGED, &visible, "%1b%0d%0aFORGED"] {
        for request in [
            format!("GET /{piece} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            format!("GET /FORGED HTTP/1.1\r\nHost: {piece}\r\n\r\n"),
            format!("GET /FORGED HTTP/1.1\r\nHost: localhost\r\nX: {piece}\r\n\r\n"),
            format!("{piece} / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            format!("GET / {piece}\r\nHost: localhost\r\n\r\n"),
            format!("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: {piece}\r\n\r\n"),
            handshake_with("/echo", &format!("Sec-WebSocket-Protocol: {piece}\r\n")),
            handshake_with("/echo", &format!("Sec-WebSocket-Extensions: {piece}\r\n")),
            handshake_with("/echo", &format!("Origin: {piece}\r\n")),
        ] {
            try_raw(request.as_bytes());
        }
    }
    for frames in [
        frame(true, CLOSE, &close_payload(1000, FORGED)),
        frame(true, CLOSE, &close_payload(4000, &visible)),
        frame(true, PING, FORGED.as_bytes()),
        frame(true, 0x3, FORGED.as_bytes()),
    ] {
        let mut client = Client::open(program.address, "/echo");
        client.try_send_raw(frames);
        client.try_shut_down_write();
        client.read_to_end_or_reset();
    }
    let log = String::from_utf8(program.end_with_log()).expect("a log is text");
    assert!(log.contains("request refused"), "it does log: {log}");
    assert!(!log.contains("FORGED"), "{log}");
    for line in log.lines() {
        assert!(line.starts_with('['), "{line:?}");
        let is_plain = |character: char| matches!(character, ' '..='~');
        assert!(line.chars().all(is_plain), "{line:?}");
    }
}
