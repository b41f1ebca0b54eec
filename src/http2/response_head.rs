//! The head of a response as a field block (RFC 9113 sections 8.2 and 8.3.2).

use super::hpack::{encode_field, encode_status};
use crate::http::date::DateLine;
use crate::http::headers::is_name;
use crate::http::{Response, StatusCode};

/// Appends the field block of `response` to `out`. `date_line` is that of now.
pub(super) fn encode(
    response: &Response,
    to_head_request: bool,
    date_line: &DateLine,
    out: &mut Vec<u8>,
) {
    // There is no 101 (section 8.6): what it would accept, a 200 does (RFC 8441 section 5).
    let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let status = if switches {
        StatusCode::OK
    } else {
        response.status()
    };
    encode_status(status.as_u16(), out);
    encode_field(b"date", date_value(date_line), out);
    if let Some(len) = response.content_length(to_head_request) {
        put_content_length(len, out);
    }
    let headers = response.headers();
    if response.is_text() && response.may_have_body() && !headers.contains("content-type") {
        encode_field(b"content-type", b"text/plain; charset=utf-8", out);
    }
    for (name, value) in headers.raw() {
        if !is_framing(name) {
            encode_field(name, value, out);
        }
    }
}

/// Appends the field block of a response before the response (RFC 9110 section 15.2).
pub(super) fn encode_interim(status: StatusCode, out: &mut Vec<u8>) {
    encode_status(status.as_u16(), out);
}

/// What stands between `Date: ` and the end of the line.
fn date_value(line: &DateLine) -> &[u8] {
    &line[b"Date: ".len()..line.len() - 2]
}

/// Whether the field of that name is ours, or says something of a connection, which no field does
/// here (section 8.2.2).
fn is_framing(name: &[u8]) -> bool {
    match name.len() {
        4 => is_name(name, b"date"),
        7 => is_name(name, b"upgrade"),
        10 => is_name(name, b"connection") || is_name(name, b"keep-alive"),
        14 => is_name(name, b"content-length"),
        16 => is_name(name, b"proxy-connection"),
        17 => is_name(name, b"transfer-encoding"),
        _ => false,
    }
}

fn put_content_length(mut len: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (len % 10).to_le_bytes()[0];
        len /= 10;
        if len == 0 {
            break;
        }
    }
    encode_field(b"content-length", &digits[start..], out);
}
