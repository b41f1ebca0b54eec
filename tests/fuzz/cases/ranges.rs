//! Parts of files and preconditions: no answer is longer than the file and its headers, every part is
//! what the file has there, and the status is what RFC 9110 sections 13.2.2 and 14.2 come to, read
//! plainly; in any pieces alike.
//!
//! The first bytes of the input choose the file and pieces; what follows are lines, each a field: its
//! first byte chooses the name, the rest is the value. In a value, `%T` is the entity tag of the file
//! and `%D` its date.

use crate::wire::{Answer, converse, files};
use aerys::internals::Simulation;
use aerys::{Config, Host, Server, StaticFiles};

const FILES: [&str; 3] = ["letters.txt", "empty.txt", "page.html"];
const NAMES: [&str; 6] = [
    "Range",
    "If-Range",
    "If-Match",
    "If-None-Match",
    "If-Modified-Since",
    "If-Unmodified-Since",
];
/// Ranges beyond which the whole file is sent.
const MAX_RANGES: usize = 16;

/// A file, as it is told of.
struct File {
    bytes: Vec<u8>,
    tag: String,
    date: String,
}

pub(crate) fn run(input: &[u8]) {
    let &[choice, piece_len, ref lines @ ..] = input else {
        return;
    };
    let path = FILES[usize::from(choice) % FILES.len()];
    let is_head = choice & 0x80 != 0;
    let mut server = start();
    let plain = format!("GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n");
    let (output, _) = converse(&mut server, plain.as_bytes(), plain.len());
    let (answer, _) = Answer::read(&output, true);
    let field = |name| answer.field(name).unwrap_or_default().to_owned();
    let file = File {
        bytes: std::fs::read(files().join(path)).expect("it is there"),
        tag: field("etag"),
        date: field("last-modified"),
    };
    assert_eq!((answer.status, answer.body), (200, &file.bytes[..]));
    let fields = fields(lines, &file);
    let method = if is_head { "HEAD" } else { "GET" };
    let mut wire = format!("{method} /{path} HTTP/1.1\r\nHost: a\r\n").into_bytes();
    for (name, value) in &fields {
        wire.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    wire.extend(b"\r\n");
    let (whole, is_closed) = converse(&mut server, &wire, wire.len());
    let pieces = converse(&mut server, &wire, usize::from(piece_len) + 1);
    assert_eq!((&whole, is_closed), (&pieces.0, pieces.1));
    if whole.starts_with(b"HTTP/1.1 4") && is_closed {
        return; // a head that is too long
    }
    let (answer, rest) = Answer::read(&whole, !is_head);
    assert!(rest.is_empty() && !is_closed);
    judge(&answer, &fields, &file, is_head);
}

fn start() -> Simulation {
    let files = StaticFiles::new(files()).expect("they are there");
    let host = Host::new().listen("127.0.0.1:0").add(files);
    let config = Config {
        max_connections: Some(4),
        ..Config::default()
    };
    Simulation::new(Server::new().config(config).host(host)).expect("it starts")
}

/// The fields that lines stand for, without blanks around their values.
fn fields(lines: &[u8], file: &File) -> Vec<(&'static str, Vec<u8>)> {
    let lines = lines.split(|byte| *byte == b'\n').take(8);
    let fields = lines.filter_map(|line| {
        let (choice, value) = line.split_first()?;
        let is_legal = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
        let value: Vec<u8> = value.iter().copied().filter(is_legal).collect();
        let mut filled = Vec::new();
        let mut rest = value.trim_ascii();
        while let Some((&byte, behind)) = rest.split_first() {
            rest = behind;
            let (text, len) = match (byte, behind.first()) {
                (b'%', Some(b'T')) => (file.tag.as_bytes(), 1),
                (b'%', Some(b'D')) => (file.date.as_bytes(), 1),
                _ => (&[byte][..], 0),
            };
            filled.extend_from_slice(text);
            rest = &rest[len..];
        }
        Some((NAMES[usize::from(*choice) % NAMES.len()], filled))
    });
    fields.collect()
}

fn judge(answer: &Answer<'_>, fields: &[(&str, Vec<u8>)], file: &File, is_head: bool) {
    let len = file.bytes.len();
    match expected(fields, file, is_head) {
        Expected::Status(status) => {
            assert_eq!(answer.status, status, "{fields:?}");
            match status {
                200 if is_head => {
                    assert_eq!(answer.field("content-length"), Some(&*len.to_string()));
                }
                200 => assert_eq!(answer.body, file.bytes),
                304 => assert!(answer.body.is_empty() && answer.field("etag") == Some(&file.tag)),
                416 => assert_eq!(
                    answer.field("content-range"),
                    Some(&*format!("bytes */{len}"))
                ),
                _ => {}
            }
        }
        Expected::Parts(asked) => {
            assert_eq!(answer.status, 206, "{fields:?}");
            let parts = parts(answer, len);
            let total: usize = parts.iter().map(|(start, end, _)| end - start).sum();
            assert!(total <= len && parts.len() <= asked.len());
            let mut sent = vec![false; len];
            for (start, end, bytes) in parts {
                assert_eq!(bytes, &file.bytes[start..end], "as the file has it");
                sent[start..end].fill(true);
            }
            for (place, sent) in sent.into_iter().enumerate() {
                let is_asked = asked.iter().any(|part| part.contains(&place));
                assert_eq!(sent, is_asked, "byte {place} for {fields:?}");
            }
        }
    }
}

/// The parts of a 206: where each lies, and its bytes.
fn parts<'a>(answer: &Answer<'a>, len: usize) -> Vec<(usize, usize, &'a [u8])> {
    let place = |text: &str| {
        let range = text
            .strip_prefix("bytes ")
            .and_then(|text| text.split_once('/'));
        let (range, of) = range.expect("a legal range");
        let (first, last) = range.split_once('-').expect("a legal range");
        let number = |text: &str| -> usize { text.parse().expect("a number") };
        assert_eq!(number(of), len);
        (number(first), number(last) + 1)
    };
    if let Some(range) = answer.field("content-range") {
        let (start, end) = place(range);
        return vec![(start, end, answer.body)];
    }
    let content_type = answer.field("content-type").expect("a multipart");
    let boundary = content_type.strip_prefix("multipart/byteranges; boundary=");
    let delimiter = format!("\r\n--{}", boundary.expect("a multipart"));
    let (mut parts, mut rest) = (Vec::new(), answer.body);
    loop {
        rest = rest
            .strip_prefix(delimiter.as_bytes())
            .expect("a delimiter");
        if rest == b"--\r\n" {
            return parts;
        }
        let end = rest.windows(4).position(|window| window == b"\r\n\r\n");
        let (head, body) = rest.split_at(end.expect("a head") + 4);
        let head = std::str::from_utf8(head).expect("what we send is text");
        let range = head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Range: "));
        let (start, end) = place(range.expect("each part says where it lies"));
        let (bytes, behind) = body.split_at(end - start);
        parts.push((start, end, bytes));
        rest = behind;
    }
}

#[derive(Debug)]
enum Expected {
    Status(u16),
    /// Every range that has bytes.
    Parts(Vec<std::ops::Range<usize>>),
}

fn expected(fields: &[(&str, Vec<u8>)], file: &File, is_head: bool) -> Expected {
    let all = |name: &str| -> Vec<&[u8]> {
        let named = fields.iter().filter(|(other, _)| *other == name);
        named.map(|(_, value)| &value[..]).collect()
    };
    // The files are old, so that a date is another one or the same: as times, they need not be read.
    let date = |name: &str| {
        let text = String::from_utf8(all(name).first()?.to_vec()).ok()?;
        httpdate::parse_http_date(&text).ok()
    };
    let modified = httpdate::parse_http_date(&file.date).expect("we send a date");
    let listed = |name: &str, is_strong: bool| {
        all(name).into_iter().any(|value| {
            value == b"*"
                || tags(value)
                    .iter()
                    .any(|tag| same(tag, &file.tag, is_strong))
        })
    };
    if !all("If-Match").is_empty() {
        if !listed("If-Match", true) {
            return Expected::Status(412);
        }
    } else if date("If-Unmodified-Since").is_some_and(|date| modified > date) {
        return Expected::Status(412);
    }
    if !all("If-None-Match").is_empty() {
        if listed("If-None-Match", false) {
            return Expected::Status(304);
        }
    } else if date("If-Modified-Since").is_some_and(|date| modified <= date) {
        return Expected::Status(304);
    }
    let is_current = match &all("If-Range")[..] {
        [] => true,
        [tag] if tag.starts_with(b"\"") => *tag == file.tag.as_bytes(),
        // The file is old, and so its date tells it from every later state.
        [_] => date("If-Range") == Some(modified),
        _ => false,
    };
    // RFC 9110 section 14.2: for any other method than GET it is ignored.
    if is_head || !is_current {
        return Expected::Status(200);
    }
    let &[value] = &all("Range")[..] else {
        return Expected::Status(200);
    };
    match ranges(value, file.bytes.len()) {
        None => Expected::Status(200),
        Some(ranges) if ranges.is_empty() => Expected::Status(416),
        Some(ranges) => Expected::Parts(ranges),
    }
}

/// The entity tags of a list, with what marks a weak one, up to what is none.
fn tags(value: &[u8]) -> Vec<String> {
    let mut tags = Vec::new();
    let text: String = value.iter().map(|byte| char::from(*byte)).collect();
    let mut rest = text.trim_start_matches([' ', '\t', ',']);
    while let Some(begin) = rest.strip_prefix("W/").unwrap_or(rest).strip_prefix('"') {
        let Some(inner_len) = begin.find('"') else {
            break;
        };
        let len = rest.len() - begin.len() + inner_len + 1;
        tags.push(rest[..len].to_owned());
        rest = rest[len..].trim_start_matches([' ', '\t', ',']);
    }
    tags
}

fn same(one: &str, other: &str, is_strong: bool) -> bool {
    let bare = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
    bare(one) == bare(other) && !(is_strong && (one.starts_with('W') || other.starts_with('W')))
}

/// The ranges of a field that have bytes; `None`: it does not count.
fn ranges(value: &[u8], file_len: usize) -> Option<Vec<std::ops::Range<usize>>> {
    let text = std::str::from_utf8(value).ok()?;
    let (unit, asked) = text.split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let elements = asked
        .split(',')
        .map(|element| element.trim_matches([' ', '\t']));
    let elements: Vec<&str> = elements.filter(|element| !element.is_empty()).collect();
    let mut ranges = Vec::new();
    for element in &elements {
        let (first, last) = element.split_once('-')?;
        let number = |text: &str| -> Option<Option<usize>> {
            if text.is_empty() {
                return Some(None);
            }
            let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| Some(text.parse().unwrap_or(usize::MAX)))
        };
        let part = match (number(first)?, number(last)?) {
            (None, None) => return None,
            (None, Some(suffix)) => file_len.saturating_sub(suffix)..file_len,
            (Some(first), None) => first..file_len,
            (Some(first), Some(last)) if last < first => return None,
            (Some(first), Some(last)) => first..file_len.min(last.saturating_add(1)),
        };
        if !part.is_empty() {
            ranges.push(part);
        }
    }
    (1..=MAX_RANGES).contains(&elements.len()).then_some(ranges)
}
