//! The head of a request: in any pieces it is the same, on the straight path too, and what is taken
//! is what a reader takes that knows nothing of pieces, and everything of the grammar.
//!
//! The first bytes of the input choose limits and pieces; what follows is on the wire.

use aerys::Config;
use aerys::internals::{Head, read_head, read_head_straight};

/// A request as the naive reader finds it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NaiveHead<'a> {
    pub(crate) method: &'a [u8],
    pub(crate) target: &'a [u8],
    /// Of HTTP/1, the digit behind the dot.
    pub(crate) minor_version: u8,
    pub(crate) fields: Vec<(&'a [u8], &'a [u8])>,
    /// `None`: in chunks.
    pub(crate) content_length: Option<u64>,
    pub(crate) len: usize,
}

pub(crate) fn run(input: &[u8]) {
    let &[limits, piece_len, ref wire @ ..] = input else {
        return;
    };
    let piece_len = usize::from(piece_len) + 1;
    let mut config = Config::default();
    if limits & 1 != 0 {
        config.max_header_section_bytes = 150;
    }
    if limits & 2 != 0 {
        config.max_header_count = 3;
    }
    if limits & 4 != 0 {
        config.max_target_bytes = 20;
    }
    let whole = read_head(wire, wire.len(), &config);
    for piece_len in [1, piece_len] {
        let in_pieces = read_head(wire, piece_len, &config);
        assert_eq!(outline(&whole), outline(&in_pieces));
    }
    if let Some(straight) = read_head_straight(wire, &config) {
        assert_eq!(outline(&whole), outline(&Ok(Some(straight))));
    }
    let naive = read_naively(wire, &config);
    match &whole {
        Ok(Some(head)) => {
            let naive = naive.expect("nothing is taken that has another reading");
            assert_is(head, &naive);
            assert!(head.len <= config.max_header_section_bytes);
            // What is behind it does not count.
            let alone = read_head(&wire[..head.len], 1, &config);
            assert_eq!(outline(&whole), outline(&alone));
            let cut = read_head(&wire[..head.len - 1], head.len, &config);
            assert!(matches!(cut, Ok(None)), "it ends where it ends");
        }
        verdict => assert_eq!(naive, None, "{verdict:?}"),
    }
}

/// All there is to a verdict, to be compared.
fn outline(verdict: &Result<Option<Head>, (u16, &'static str)>) -> String {
    match verdict {
        Ok(None) => "unfinished".to_owned(),
        Err((status, reason)) => format!("{status} {reason}"),
        Ok(Some(head)) => format!("{head:?}"),
    }
}

fn assert_is(head: &Head, naive: &NaiveHead<'_>) {
    let request = &head.request;
    assert_eq!(request.method().as_str().as_bytes(), naive.method);
    assert_eq!(request.target().as_bytes(), naive.target);
    let version = format!("HTTP/1.{}", naive.minor_version);
    assert_eq!(format!("{:?}", request.version()), version);
    let fields = request.headers().iter();
    let fields: Vec<_> = fields
        .map(|(name, value)| (name.as_bytes(), value))
        .collect();
    assert_eq!(fields, naive.fields);
    assert_eq!(head.content_length, naive.content_length);
    assert_eq!(head.len, naive.len);
    assert_eq!(request.has_body(), naive.content_length != Some(0));
}

/// The head at the front of `wire`, if it is there and legal in every respect.
pub(crate) fn read_naively<'a>(wire: &'a [u8], config: &Config) -> Option<NaiveHead<'a>> {
    let mut rest = wire;
    for _ in 0..2 {
        rest = rest.strip_prefix(b"\r\n").unwrap_or(rest);
    }
    let end = rest.windows(4).position(|window| window == b"\r\n\r\n")?;
    let len = wire.len() - rest.len() + end + 4;
    let mut lines = split_lines(&rest[..end])?.into_iter();
    let line: Vec<&[u8]> = lines.next()?.split(|byte| *byte == b' ').collect();
    let &[method, target, version] = &line[..] else {
        return None;
    };
    let minor_version = version
        .strip_prefix(b"HTTP/1.")
        .filter(|digit| digit.len() == 1)?[0];
    let is_within = len <= config.max_header_section_bytes
        && method.len() <= 32
        && target.len() <= config.max_target_bytes
        && lines.len() <= config.max_header_count;
    if !is_within || !matches!(minor_version, b'0' | b'1') || !is_token(method) {
        return None;
    }
    if method == b"CONNECT" || !is_target(target, method) {
        return None;
    }
    let mut fields = Vec::new();
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = (&line[..colon], trim(&line[colon + 1..]));
        if !is_token(name) {
            return None;
        }
        fields.push((name, value));
    }
    let is_old = minor_version == b'0';
    let all = |name| values(&fields, name);
    let hosts = all("host");
    let expectations = all("expect");
    let is_known = |value: &&[u8]| value.eq_ignore_ascii_case(b"100-continue");
    let is_legal = hosts.iter().all(|host| is_authority(host))
        && (hosts.len() == 1 || is_old && hosts.is_empty())
        && expectations.iter().all(is_known);
    if !is_legal {
        return None;
    }
    let content_length = match (&all("content-length")[..], &all("transfer-encoding")[..]) {
        ([], []) => Some(0),
        ([length], []) if !length.is_empty() && length.iter().all(u8::is_ascii_digit) => {
            let digits = String::from_utf8_lossy(length).into_owned();
            Some(digits.parse().ok()?)
        }
        ([], [coding]) if !is_old && coding.eq_ignore_ascii_case(b"chunked") => None,
        _ => return None,
    };
    Some(NaiveHead {
        method,
        target,
        minor_version: minor_version - b'0',
        fields,
        content_length,
        len,
    })
}

/// The values of all fields of that name.
pub(crate) fn values<'a>(fields: &[(&[u8], &'a [u8])], name: &str) -> Vec<&'a [u8]> {
    let fields = fields.iter();
    let named = fields.filter(|(other, _)| other.eq_ignore_ascii_case(name.as_bytes()));
    named.map(|(_, value)| *value).collect()
}

/// The lines of a head; `None` if there is a control character in one.
fn split_lines(mut head: &[u8]) -> Option<Vec<&[u8]>> {
    let mut lines = Vec::new();
    loop {
        let len = head
            .iter()
            .position(|byte| *byte == b'\r')
            .unwrap_or(head.len());
        let is_legal = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
        if !head[..len].iter().all(is_legal) {
            return None;
        }
        lines.push(&head[..len]);
        if len == head.len() {
            return Some(lines);
        }
        head = head[len..].strip_prefix(b"\r\n")?;
    }
}

fn is_token(text: &[u8]) -> bool {
    let is_one = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty() && text.iter().all(is_one)
}

fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

fn is_target(target: &[u8], method: &[u8]) -> bool {
    if !target
        .iter()
        .all(|byte| byte.is_ascii_graphic() && *byte != b'#')
    {
        return false;
    }
    match target {
        b"*" => method == b"OPTIONS",
        [b'/', ..] => true,
        _ => {
            let text = String::from_utf8_lossy(target).into_owned();
            let Some((scheme, rest)) = text.split_once("://") else {
                return false;
            };
            let authority = rest.split(['/', '?']).next().unwrap_or_default();
            let is_known = |known: &&str| scheme.eq_ignore_ascii_case(known);
            ["http", "https"].iter().any(is_known) && is_authority(authority.as_bytes())
        }
    }
}

/// RFC 3986 section 3.2 without a user: a name or an address in brackets, and a port.
fn is_authority(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text).into_owned();
    let is_part = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=".contains(c);
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else {
            return false;
        };
        if !address.chars().all(|c| is_part(c) || c == ':') {
            return false;
        }
        (address, port)
    } else {
        let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
        if !host.chars().all(|c| is_part(c) || c == '%') {
            return false;
        }
        (host, port)
    };
    let has_port = match port.strip_prefix(':') {
        Some("") => true,
        Some(number) => {
            number.bytes().all(|byte| byte.is_ascii_digit()) && number.parse::<u16>().is_ok()
        }
        None => port.is_empty(),
    };
    !host.is_empty() && has_port
}
