//! The straight path: a plain head that lies whole in the input, in one pass over its bytes.
//!
//! It judges nothing: what it does not know to be right (an end that is not there, an empty line in
//! front, a rare target, anything malformed or too long) is left to [`HeadScan`](super::HeadScan),
//! whose verdict it then is. What it accepts, the strict path accepts with the same result;
//! nearly all requests are like that, and it takes half the instructions.

use crate::config::Config;
use crate::http::bytes::find_control;
use crate::http::headers::{FieldRange, Headers, is_token, is_token_byte};
use crate::http::target::TargetParts;
use crate::http::{Method, Request, Version};

use super::{FramingFields, MAX_METHOD_BYTES, Outline, RequestLine, complete, position};

/// Parses the head at the front of `bytes` into `request`. With it, the length of the head.
///
/// `None`: nothing is said of it. Of `request`, the fields may then be half filled in.
pub(crate) fn parse(
    bytes: &[u8],
    config: &Config,
    request: &mut Request,
) -> Option<(Outline, usize)> {
    let visible = &bytes[..bytes.len().min(config.max_header_section_bytes)];
    let (request_line, fields_start) = request_line(visible, config)?;
    let headers = request.headers_mut();
    let mut framing_fields = FramingFields::default();
    let len = fields(visible, fields_start, config, headers, &mut framing_fields)?;
    let target = &visible[request_line.target.clone()];
    let outline = complete(request_line, target, &framing_fields, request);
    Some((outline.ok()?, len))
}

/// The request line, and where the line behind it begins.
fn request_line(visible: &[u8], config: &Config) -> Option<(RequestLine, usize)> {
    let (method, target_start) = if visible.starts_with(b"GET ") {
        (Method::GET, 4)
    } else {
        let begin = &visible[..visible.len().min(MAX_METHOD_BYTES + 1)];
        let len = begin.iter().position(|byte| *byte == b' ')?;
        let method = &begin[..len];
        if !is_token(method) {
            return None;
        }
        (Method::from_bytes(method).ok()?, len + 1)
    };
    let rest = &visible[target_start..];
    let (target_parts, target_len) = TargetParts::of_origin_form(rest)?;
    // Compared whole: as a pattern, it would be a byte at a time.
    let rest = &rest[target_len..];
    let version = if rest.starts_with(b" HTTP/1.1\r\n") {
        Version::HTTP_11
    } else if rest.starts_with(b" HTTP/1.0\r\n") {
        Version::HTTP_10
    } else {
        return None;
    };
    if method == Method::CONNECT || target_len > config.max_target_bytes {
        return None;
    }
    let target_end = target_start + target_len;
    let line = RequestLine {
        method,
        target: target_start..target_end,
        target_parts,
        version,
    };
    Some((line, target_end + b" HTTP/1.1\r\n".len()))
}

/// The fields from `start` on, which become `headers`. The length of the head.
fn fields<'h>(
    visible: &'h [u8],
    start: usize,
    config: &Config,
    headers: &mut Headers,
    found: &mut FramingFields<'h>,
) -> Option<usize> {
    let mut field_count = 0;
    let mut line_start = start;
    headers.clear();
    loop {
        let line = &visible[line_start..];
        let name_len = line.iter().position(|byte| !is_token_byte(*byte))?;
        if name_len == 0 {
            // No name: this is the empty line, or nothing that is known here.
            if !line.starts_with(b"\r\n") {
                return None;
            }
            headers.fill(&visible[start..line_start]);
            return Some(line_start + 2);
        }
        field_count += 1;
        if line[name_len] != b':' || field_count > config.max_header_count {
            return None;
        }
        let name_end = line_start + name_len;
        // The colon is no control character, and one space behind it is usual.
        let mut value_start = name_end + 1;
        value_start += usize::from(visible.get(value_start) == Some(&b' '));
        let line_end = find_control(visible, value_start);
        if !visible[line_end..].starts_with(b"\r\n") {
            return None;
        }
        let mut value = &visible[value_start..line_end];
        // Of what ASCII calls whitespace, no control characters but HTABs are left here.
        if let [b' ' | b'\t', ..] | [.., b' ' | b'\t'] = value {
            let without_front = value.trim_ascii_start();
            value_start += value.len() - without_front.len();
            value = without_front.trim_ascii_end();
        }
        headers.note_field(FieldRange {
            name_start: position(line_start - start),
            name_end: position(name_end - start),
            value_start: position(value_start - start),
            value_end: position(value_start - start + value.len()),
        });
        found.add(&visible[line_start..name_end], value).ok()?;
        line_start = line_end + 2;
    }
}
