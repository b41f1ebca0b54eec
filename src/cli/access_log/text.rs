//! The common and the combined format, as nginx writes them.

use super::Finished;
use super::timestamp::Timestamp;
use aerys::{Address, ClosedBy, FinishedWebSocket, RequestSummary};
use std::io::Write as _;

/// How lines differ.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    /// They have the fields `Referer` and `User-Agent`.
    pub(super) is_combined: bool,
    /// The status has a colour.
    pub(super) is_colored: bool,
}

/// Appends a line without its end.
pub(super) fn put(line: &mut Vec<u8>, finished: Finished<'_>, timestamp: &Timestamp, style: Style) {
    let (request, bytes) = match finished {
        Finished::Exchange(exchange) => (exchange.request, exchange.body_bytes),
        Finished::WebSocket(websocket) => (websocket.request, websocket.bytes_sent),
    };
    put_address(line, request.client_address());
    line.extend_from_slice(b" - - [");
    line.extend_from_slice(timestamp.common());
    line.extend_from_slice(b"] \"");
    put_request(line, request);
    line.extend_from_slice(b"\" ");
    put_status(line, finished.status(), style);
    let _ = write!(line, " {bytes}");
    if style.is_combined {
        put_quoted(line, request.referer());
        put_quoted(line, request.user_agent());
    }
    if let Finished::WebSocket(websocket) = finished {
        put_websocket(line, websocket);
    }
}

/// Without its port, which has no place in these formats.
fn put_address(line: &mut Vec<u8>, address: &Address) {
    let _ = match address.ip() {
        Some(ip) => write!(line, "{ip}"),
        None => write!(line, "unix:"),
    };
}

fn put_request(line: &mut Vec<u8>, request: &RequestSummary) {
    let (Some(method), Some(target), Some(version)) =
        (request.method(), request.target(), request.version())
    else {
        line.push(b'-');
        return;
    };
    put_escaped(line, method.as_str().as_bytes());
    line.push(b' ');
    put_escaped(line, target.as_bytes());
    let _ = write!(line, " {version:?}");
}

fn put_quoted(line: &mut Vec<u8>, value: Option<&[u8]>) {
    line.extend_from_slice(b" \"");
    put_escaped(
        line,
        value.filter(|value| !value.is_empty()).unwrap_or(b"-"),
    );
    line.push(b'"');
}

/// What would end a quoted text, or is not visible, as `\xHH`.
fn put_escaped(line: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        match byte {
            b'"' | b'\\' | ..b' ' | b'\x7f'.. => _ = write!(line, "\\x{byte:02X}"),
            _ => line.push(*byte),
        }
    }
}

fn put_status(line: &mut Vec<u8>, status: u16, style: Style) {
    if !style.is_colored {
        let _ = write!(line, "{status}");
        return;
    }
    let color = match status {
        ..200 => 35,
        200..300 => 32,
        300..400 => 36,
        400..500 => 33,
        500.. => 31,
    };
    let _ = write!(line, "\x1b[{color}m{status}\x1b[0m");
}

/// Behind what the format has, where who knows the format alone does not look.
fn put_websocket(line: &mut Vec<u8>, it: &FinishedWebSocket<'_>) {
    let _ = write!(
        line,
        " code={} closed_by={} seconds={:.3} frames_read={} bytes_read={} frames_sent={} bytes_sent={}",
        it.code,
        name_of(it.closed_by),
        it.duration.as_secs_f64(),
        it.frames_read,
        it.bytes_read,
        it.frames_sent,
        it.bytes_sent,
    );
}

/// How lines call who closed a WebSocket.
pub(super) const fn name_of(closed_by: ClosedBy) -> &'static str {
    match closed_by {
        ClosedBy::Client => "client",
        ClosedBy::Server => "server",
        ClosedBy::Failure => "failure",
        ClosedBy::Nobody => "nobody",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_cannot_end_its_quotes_or_its_line() {
        for (value, quoted) in [
            (&b"plain 'text' ~"[..], "plain 'text' ~"),
            (b"\" 200 0 \"", r"\x22 200 0 \x22"),
            (br"\x22", r"\x5Cx22"),
            (b"\r\n\t\0\x1b[31m\x7f", r"\x0D\x0A\x09\x00\x1B[31m\x7F"),
            ("\u{e9}\u{202e}".as_bytes(), r"\xC3\xA9\xE2\x80\xAE"),
            (b"\xff\x80", r"\xFF\x80"),
            (b"-", "-"),
            (b"", "-"),
        ] {
            let mut line = Vec::new();
            put_quoted(&mut line, Some(value));
            assert_eq!(line, format!(" \"{quoted}\"").as_bytes());
        }
        let mut line = Vec::new();
        put_quoted(&mut line, None);
        assert_eq!(line, b" \"-\"");
    }

    #[test]
    fn a_status_has_the_colour_of_its_class() {
        for (status, color) in [
            (101, 35),
            (200, 32),
            (304, 36),
            (404, 33),
            (499, 33),
            (500, 31),
        ] {
            for is_colored in [false, true] {
                let style = Style {
                    is_combined: false,
                    is_colored,
                };
                let mut line = Vec::new();
                put_status(&mut line, status, style);
                let text = String::from_utf8(line).expect("text");
                let expected = format!("\x1b[{color}m{status}\x1b[0m");
                assert_eq!(
                    text,
                    if is_colored {
                        expected
                    } else {
                        status.to_string()
                    }
                );
            }
        }
    }

    #[test]
    fn addresses_stand_without_ports() {
        for (address, text) in [
            (Address::Ip(([192, 0, 2, 7], 80).into()), "192.0.2.7"),
            (Address::Ip(([0, 0, 0, 0, 0, 0, 0, 1], 80).into()), "::1"),
        ] {
            let mut line = Vec::new();
            put_address(&mut line, &address);
            assert_eq!(line, text.as_bytes());
        }
    }
}
