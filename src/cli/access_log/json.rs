//! A JSON object (RFC 8259) in each line, in ASCII, whatever a client sent.

use super::Finished;
use super::text::name_of;
use super::timestamp::Timestamp;
use aerys::{FinishedExchange, FinishedWebSocket, RequestSummary};
use std::io::Write as _;
use std::time::Duration;

/// Appends a line without its end.
pub(super) fn put(line: &mut Vec<u8>, finished: Finished<'_>, timestamp: &Timestamp) {
    line.extend_from_slice(b"{\"time\":\"");
    timestamp.put_rfc3339(line);
    line.push(b'"');
    let (kind, request, duration) = match finished {
        Finished::Exchange(exchange) => ("request", exchange.request, exchange.duration),
        Finished::WebSocket(websocket) => ("websocket", websocket.request, websocket.duration),
    };
    put_text(line, "kind", kind);
    put_request(line, request);
    let _ = write!(line, ",\"status\":{}", finished.status());
    put_seconds(line, duration);
    match finished {
        Finished::Exchange(exchange) => put_exchange(line, exchange),
        Finished::WebSocket(websocket) => put_websocket(line, websocket),
    }
    line.push(b'}');
}

fn put_request(line: &mut Vec<u8>, request: &RequestSummary) {
    let address = request.client_address();
    match address.socket_addr() {
        Some(address) => {
            let _ = write!(line, ",\"client\":\"{}\"", address.ip());
            // A proxy may have told of an address alone.
            match address.port() {
                0 => line.extend_from_slice(b",\"port\":null"),
                port => _ = write!(line, ",\"port\":{port}"),
            }
        }
        None => line.extend_from_slice(b",\"client\":\"unix:\",\"port\":null"),
    }
    match request.connection() {
        // In quotes, since it may be greater than what some take for a whole number.
        Some(connection) => _ = write!(line, ",\"connection\":\"{connection}\""),
        None => line.extend_from_slice(b",\"connection\":null"),
    }
    let _ = write!(line, ",\"encrypted\":{}", request.is_encrypted());
    let method = request.method().map(|method| method.as_str().as_bytes());
    put_value(line, "method", method);
    put_value(line, "target", request.target().map(str::as_bytes));
    match request.version() {
        Some(version) => _ = write!(line, ",\"version\":\"{version:?}\""),
        None => line.extend_from_slice(b",\"version\":null"),
    }
    put_value(line, "host", request.host().map(str::as_bytes));
    put_value(line, "referer", request.referer());
    put_value(line, "user_agent", request.user_agent());
}

fn put_exchange(line: &mut Vec<u8>, it: &FinishedExchange<'_>) {
    let (bytes, is_complete) = (it.body_bytes, it.is_complete);
    let _ = write!(line, ",\"body_bytes\":{bytes},\"complete\":{is_complete}");
}

fn put_websocket(line: &mut Vec<u8>, it: &FinishedWebSocket<'_>) {
    let _ = write!(line, ",\"code\":{}", it.code);
    put_text(line, "reason", it.reason);
    put_text(line, "closed_by", name_of(it.closed_by));
    for (key, count) in [
        ("bytes_read", it.bytes_read),
        ("bytes_sent", it.bytes_sent),
        ("frames_read", it.frames_read),
        ("frames_sent", it.frames_sent),
        ("messages_read", it.messages_read),
        ("messages_sent", it.messages_sent),
    ] {
        let _ = write!(line, ",\"{key}\":{count}");
    }
}

fn put_seconds(line: &mut Vec<u8>, duration: Duration) {
    let (seconds, micros) = (duration.as_secs(), duration.subsec_micros());
    let _ = write!(line, ",\"seconds\":{seconds}.{micros:06}");
}

fn put_text(line: &mut Vec<u8>, key: &str, text: &str) {
    put_value(line, key, Some(text.as_bytes()));
}

fn put_value(line: &mut Vec<u8>, key: &str, value: Option<&[u8]>) {
    let _ = write!(line, ",\"{key}\":");
    match value {
        Some(value) => put_string(line, value),
        None => line.extend_from_slice(b"null"),
    }
}

/// A string, of which what is not UTF-8 becomes U+FFFD, and what is not visible ASCII an escape.
fn put_string(line: &mut Vec<u8>, value: &[u8]) {
    line.push(b'"');
    for chunk in value.utf8_chunks() {
        for character in chunk.valid().chars() {
            put_character(line, character);
        }
        if !chunk.invalid().is_empty() {
            put_character(line, char::REPLACEMENT_CHARACTER);
        }
    }
    line.push(b'"');
}

fn put_character(line: &mut Vec<u8>, character: char) {
    match character {
        '"' | '\\' => {
            line.push(b'\\');
            let _ = write!(line, "{character}");
        }
        ' '..='~' => line.push(character as u8),
        _ => {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(line, "\\u{unit:04x}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_valid_whatever_is_in_it() {
        for (value, string) in [
            (&b"plain 'text' / ~"[..], "plain 'text' / ~"),
            (b"\"}\\", r#"\"}\\"#),
            (
                b"\r\n\t\0\x1b[31m\x7f",
                r"\u000d\u000a\u0009\u0000\u001b[31m\u007f",
            ),
            (
                "\u{e9}\u{202e}\u{1f389}".as_bytes(),
                r"\u00e9\u202e\ud83c\udf89",
            ),
            (b"a\xffb\xc3\xa9\xf0\x9f", r"a\ufffdb\u00e9\ufffd"),
            (b"", ""),
        ] {
            let mut line = Vec::new();
            put_string(&mut line, value);
            assert_eq!(line, format!("\"{string}\"").as_bytes());
        }
    }

    #[test]
    fn all_bytes_make_visible_ascii() {
        let all: Vec<u8> = (0..=255).collect();
        for begin in 0..all.len() {
            let mut line = Vec::new();
            put_string(&mut line, &all[begin..]);
            assert!(line.iter().all(|byte| matches!(byte, b' '..=b'~')));
        }
    }
}
