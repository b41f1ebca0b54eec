//! The head of a response as a field block (RFC 9113 sections 8.2 and 8.3.2).

use super::hpack::{encode_field, encode_status};
use crate::http::date::DateLine;
use crate::http::headers::is_name;
use crate::http::{Response, StatusCode};
use std::sync::LazyLock;

/// Appends the field block of `response` to `out`; `date` is the field of now.
pub(super) fn encode(
    response: &Response,
    to_head_request: bool,
    date: &DateField,
    out: &mut Vec<u8>,
) {
    // There is no 101 (section 8.6): what it would accept, a 200 does (RFC 8441 section 5).
    let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let status = if switches {
        StatusCode::OK
    } else {
        response.status()
    };
    out.reserve(128 + response.headers().as_section().len());
    encode_status(status.as_u16(), out);
    out.extend_from_slice(&date.block);
    if let Some(len) = response.content_length(to_head_request) {
        put_content_length(len, out);
    }
    let headers = response.headers();
    if response.is_text() && response.may_have_body() && !headers.contains("content-type") {
        out.extend_from_slice(&PLAIN_TEXT);
    }
    for (name, value) in headers.raw() {
        if !is_framing(name) {
            encode_field(name, value, out);
        }
    }
}

/// `content-type: text/plain; charset=utf-8`, encoded once.
static PLAIN_TEXT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut block = Vec::new();
    encode_field(b"content-type", b"text/plain; charset=utf-8", &mut block);
    block
});

/// The `date` of responses, encoded once a second.
#[derive(Debug, Default)]
pub(crate) struct DateField {
    /// What `block` says.
    line: Option<DateLine>,
    block: Vec<u8>,
}

impl DateField {
    /// Says what `line` does from now on.
    pub(crate) fn set(&mut self, line: &DateLine) {
        if self.line.as_ref() != Some(line) {
            self.line = Some(*line);
            self.block.clear();
            encode_field(b"date", date_value(line), &mut self.block);
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

/// `content-length` with `len` in digits as they are: as a Huffman code they would take a sixth less,
/// and five times as long.
fn put_content_length(mut len: u64, out: &mut Vec<u8>) {
    /// A literal without indexing (RFC 7541 section 6.2.2) whose name is the entry 28.
    const NAME: [u8; 2] = [0x0F, 28 - 0x0F];
    const MAX_DIGITS: u8 = 20;
    let mut field = [0; NAME.len() + 1 + MAX_DIGITS as usize];
    let mut start = field.len();
    loop {
        start -= 1;
        field[start] = b'0' + (len % 10).to_le_bytes()[0];
        len /= 10;
        if len == 0 {
            break;
        }
    }
    let digit_count = (field.len() - start).to_le_bytes()[0];
    field[start - 1] = digit_count;
    start -= NAME.len() + 1;
    field[start..start + NAME.len()].copy_from_slice(&NAME);
    out.extend_from_slice(&field[start..]);
}
