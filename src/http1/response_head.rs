//! The head of a response: status line and fields to bytes (RFC 9112 sections 4 and 6).
//!
//! What frames the message is written here and nowhere else, so that no handler can make two
//! messages of one.

use crate::http::date::DateLine;
use crate::http::headers::is_name;
use crate::http::{Headers, Response, StatusCode, Version};

/// What the request and the connection ask of the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ResponseFraming {
    /// Of the request.
    pub(crate) version: Version,
    /// The request was a HEAD: its answer has a length, but no body.
    pub(crate) to_head_request: bool,
    /// The connection ends after this response.
    pub(crate) close: bool,
}

/// Appends the head of `response` to `out`. `date_line` is that of now.
pub(crate) fn encode(
    response: &Response,
    framing: ResponseFraming,
    date_line: &DateLine,
    out: &mut Vec<u8>,
) {
    let headers = response.headers();
    let known = KnownFields::of(headers);
    out.reserve(160 + headers.as_section().len());
    put_status_line(response.status(), out);
    out.extend_from_slice(date_line);
    put_connection(known.has_upgrade, framing, out);
    if response.content().is_stream() && response.may_have_body() {
        // Of an unknown length: in chunks, or until the connection ends.
        if framing.version == Version::HTTP_11 {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        }
    } else if let Some(len) = response.content_length(framing.to_head_request) {
        put_content_length(len, out);
    }
    if response.is_text() && response.may_have_body() && !known.has_content_type {
        out.extend_from_slice(b"Content-Type: text/plain; charset=utf-8\r\n");
    }
    if known.has_framing {
        for (name, value) in headers.raw() {
            if !is_framing(name) {
                put_field(name, value, out);
            }
        }
    } else {
        out.extend_from_slice(headers.as_section());
    }
    out.extend_from_slice(b"\r\n");
}

/// Which fields that concern the encoder there are, found in one pass.
#[derive(Default)]
struct KnownFields {
    has_content_type: bool,
    has_upgrade: bool,
    /// One of those that are ours.
    has_framing: bool,
}

impl KnownFields {
    fn of(headers: &Headers) -> Self {
        let mut known = Self::default();
        for (name, _) in headers.raw() {
            known.has_content_type |= is_name(name, b"content-type");
            known.has_upgrade |= is_name(name, b"upgrade");
            known.has_framing |= is_framing(name);
        }
        known
    }
}

/// Whether the field of that name is ours.
fn is_framing(name: &[u8]) -> bool {
    is_name(name, b"content-length")
        || is_name(name, b"transfer-encoding")
        || is_name(name, b"connection")
        || is_name(name, b"date")
}

/// Whether the body of `response` follows its head.
pub(crate) fn has_body(response: &Response, framing: ResponseFraming) -> bool {
    response.may_have_body() && !framing.to_head_request
}

/// The status line.
fn put_status_line(status: StatusCode, out: &mut Vec<u8>) {
    if status == StatusCode::OK {
        // Nearly all are: one copy of known length, 60 instructions less.
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        return;
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// `Content-Length` with `len` in digits. By hand, since `write!` takes 300 instructions more;
/// from the last digit to the first, and then the whole line in one copy.
fn put_content_length(mut len: u64, out: &mut Vec<u8>) {
    const NAME: [u8; 16] = *b"Content-Length: ";
    const MAX_DIGITS: usize = 20;
    let mut line = [0; NAME.len() + MAX_DIGITS + 2];
    let mut start = line.len() - 2;
    line[start..].copy_from_slice(b"\r\n");
    loop {
        start -= 1;
        line[start] = b'0' + (len % 10).to_le_bytes()[0];
        len /= 10;
        if len == 0 {
            break;
        }
    }
    let name_start = start - NAME.len();
    line[name_start..start].copy_from_slice(&NAME);
    out.extend_from_slice(&line[name_start..]);
}

/// `Connection`, where it says something. An `Upgrade` field must always be named in it (RFC
/// 9110 section 7.8).
fn put_connection(has_upgrade: bool, framing: ResponseFraming, out: &mut Vec<u8>) {
    let options = match (has_upgrade, framing.close) {
        (true, false) => "upgrade",
        (true, true) => "close, upgrade",
        (false, true) => "close",
        // Keeping alive is what HTTP/1.1 does anyway.
        (false, false) if framing.version == Version::HTTP_10 => "keep-alive",
        (false, false) => return,
    };
    put_field(b"Connection", options.as_bytes(), out);
}

fn put_field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &DateLine = b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    const GET: ResponseFraming = ResponseFraming {
        version: Version::HTTP_11,
        to_head_request: false,
        close: false,
    };
    const HEAD: ResponseFraming = ResponseFraming {
        to_head_request: true,
        ..GET
    };

    fn encoded(response: &Response, framing: ResponseFraming) -> String {
        let mut out = Vec::new();
        encode(response, framing, DATE, &mut out);
        String::from_utf8(out).unwrap()
    }

    /// The response that `fill` makes.
    fn response(fill: impl FnOnce(&mut Response)) -> Response {
        let mut response = Response::new();
        fill(&mut response);
        response
    }

    #[test]
    fn a_head_is_status_date_length_and_fields() {
        let response = response(|r| _ = r.set_status(201).set_header("X-A", "b").end("text"));
        assert_eq!(
            encoded(&response, GET),
            "HTTP/1.1 201 Created\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 4\r\n\
             Content-Type: text/plain; charset=utf-8\r\nX-A: b\r\n\r\n"
        );
    }

    #[test]
    fn a_status_without_a_name_keeps_its_space() {
        assert!(
            encoded(&response(|r| _ = r.set_status(599)), GET).starts_with("HTTP/1.1 599 \r\n")
        );
    }

    #[test]
    fn lengths_of_any_size_are_written() {
        for len in [0, 7, 9, 10, 99, 100, 1234, 65_536, u64::MAX - 1, u64::MAX] {
            let mut out = Vec::new();
            put_content_length(len, &mut out);
            assert_eq!(out, format!("Content-Length: {len}\r\n").as_bytes());
        }
    }

    #[test]
    fn a_content_type_that_was_set_stands_alone() {
        let text = encoded(
            &response(|r| _ = r.set_header("content-type", "text/html").end("x")),
            GET,
        );
        assert_eq!(text.to_ascii_lowercase().matches("content-type").count(), 1);
        assert!(text.contains("content-type: text/html\r\n"));
    }

    #[test]
    fn a_handler_cannot_frame_the_message() {
        let response = response(|r| {
            r.set_header("Content-Length", "3")
                .set_header("TRANSFER-ENCODING", "chunked")
                .set_header("date", "never");
            r.set_header("Connection", "x-other")
                .set_header("Keep", "it")
                .end(b"12345");
        });
        assert_eq!(
            encoded(&response, GET),
            "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 5\r\nKeep: it\r\n\r\n"
        );
        assert!(has_body(&response, GET));
    }

    #[test]
    fn a_head_answer_has_the_length_and_no_body() {
        let full = response(|r| _ = r.end(b"12345"));
        assert!(encoded(&full, HEAD).contains("Content-Length: 5\r\n"));
        assert!(!has_body(&full, HEAD));
        assert!(
            encoded(
                &response(|r| _ = r.set_header("Content-Length", "7").end("")),
                HEAD
            )
            .contains("Content-Length: 7\r\n")
        );
        for wrong in ["+7", "7, 7", "", "x"] {
            let spared = response(|r| _ = r.set_header("Content-Length", wrong).end(""));
            assert!(
                encoded(&spared, HEAD).contains("Content-Length: 0\r\n"),
                "{wrong:?}"
            );
        }
    }

    #[test]
    fn statuses_without_a_body_have_none() {
        for (status, length) in [
            (204, None),
            (205, Some("Content-Length: 0")),
            (304, Some("Content-Length: 4")),
        ] {
            let response = response(|r| _ = r.set_status(status).end("text"));
            let text = encoded(&response, GET);
            assert!(!has_body(&response, GET), "{status}");
            assert_eq!(
                text.lines().find(|line| line.starts_with("Content-Length")),
                length,
                "{status}"
            );
            assert!(!text.contains("Content-Type"), "{status}");
        }
        assert!(!encoded(&response(|r| _ = r.set_status(304)), GET).contains("Content-Length"));
    }

    #[test]
    fn connection_says_close_keep_alive_or_upgrade_where_needed() {
        let plain = response(|_| {});
        let upgrade = response(|r| _ = r.set_status(426).set_header("Upgrade", "websocket"));
        let line = |response: &Response, framing: ResponseFraming| {
            encoded(response, framing)
                .lines()
                .find(|line| line.starts_with("Connection"))
                .map(str::to_owned)
        };
        let closing = ResponseFraming { close: true, ..GET };
        let old = ResponseFraming {
            version: Version::HTTP_10,
            ..GET
        };
        assert_eq!(line(&plain, GET), None);
        assert_eq!(line(&plain, closing).as_deref(), Some("Connection: close"));
        assert_eq!(line(&plain, old).as_deref(), Some("Connection: keep-alive"));
        assert_eq!(
            line(&plain, ResponseFraming { close: true, ..old }).as_deref(),
            Some("Connection: close")
        );
        assert_eq!(line(&upgrade, GET).as_deref(), Some("Connection: upgrade"));
        assert_eq!(
            line(&upgrade, closing).as_deref(),
            Some("Connection: close, upgrade")
        );
    }

    #[test]
    fn a_101_has_the_upgrade_and_no_length() {
        let mut response = Response::switching_protocols();
        response
            .set_header("Upgrade", "websocket")
            .set_header("Connection", "whatever")
            .end("ignored");
        assert_eq!(
            encoded(&response, GET),
            "HTTP/1.1 101 Switching Protocols\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
             Connection: upgrade\r\nUpgrade: websocket\r\n\r\n"
        );
        assert!(!has_body(&response, GET));
    }
}
