//! Patterns of routes, paths, queries and forms: no pattern and no path panics, and what is found is
//! what a matcher finds that tries each way to read a pattern; queries and forms are read as their
//! escapes say.
//!
//! The input is a pattern, a path, and a query or a form, each on a line of its own.

use aerys::Config;
use aerys::internals::{find_route, read_head};

pub(crate) fn run(input: &[u8]) {
    let mut lines = input.splitn(3, |byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let (pattern, path, query) = (line(), line(), line());
    if let Ok(pattern) = std::str::from_utf8(pattern) {
        route(pattern, &String::from_utf8_lossy(path));
    }
    target(path, query);
}

/// The name of a capture, and what it captured.
type Captures = Vec<(String, String)>;

fn route(pattern: &str, path: &str) {
    let Ok(found) = find_route(pattern, path) else {
        return; // no pattern, and no panic
    };
    let (pattern, has_optional_slash) = match pattern.strip_suffix("/?") {
        Some(pattern) => (pattern, true),
        None => (pattern, false),
    };
    // `/a[/b[/c]]` is three patterns.
    let bare = pattern.trim_end_matches(']');
    let parts: Vec<&str> = bare.split('[').collect();
    let variants: Vec<String> = (1..=parts.len())
        .map(|count| parts[..count].concat())
        .collect();
    let is_root = |variant: &String| variant.is_empty();
    let mut expected = None;
    for variant in &variants {
        if has_optional_slash && is_root(variant) {
            expected = expected.or((path == "/").then(|| Some(Captures::new())));
            continue;
        }
        expected = expected.or_else(|| captures(variant, path).map(Some));
        if has_optional_slash {
            let bare = path.strip_suffix('/').filter(|bare| !bare.is_empty());
            let with_slash = bare.and_then(|bare| captures(variant, bare));
            expected = expected.or_else(|| with_slash.map(|_| None));
        }
    }
    assert_eq!(found, expected, "{pattern} {path}");
}

/// What a pattern without brackets captures of `path`, if it matches.
fn captures(pattern: &str, path: &str) -> Option<Captures> {
    let segments = pattern.strip_prefix('/')?.split('/');
    let mut rest = Some(path.strip_prefix('/')?);
    let mut captures = Vec::new();
    for segment in segments {
        let text = rest?;
        let inner = segment
            .strip_prefix('{')
            .and_then(|text| text.strip_suffix('}'));
        let Some(inner) = inner else {
            let (part, behind) = first_segment(text);
            if decode(part) != segment.as_bytes() {
                return None;
            }
            rest = behind;
            continue;
        };
        if let Some(name) = inner.strip_prefix('*') {
            captures.push((name.to_owned(), lossy(text)));
            rest = None;
            continue;
        }
        let (part, behind) = first_segment(text);
        let (name, kind) = inner.split_once(':').unwrap_or((inner, "any"));
        let is_one = |byte: &u8| match kind {
            "digits" => byte.is_ascii_digit(),
            "hex" => byte.is_ascii_hexdigit(),
            "slug" => byte.is_ascii_alphanumeric() || b"-_".contains(byte),
            _ => true,
        };
        if part.is_empty() || !decode(part).iter().all(is_one) {
            return None;
        }
        captures.push((name.to_owned(), lossy(part)));
        rest = behind;
    }
    rest.is_none().then_some(captures)
}

fn first_segment(text: &str) -> (&str, Option<&str>) {
    match text.split_once('/') {
        Some((part, behind)) => (part, Some(behind)),
        None => (text, None),
    }
}

/// Resolves escapes; what is none stays as it is.
fn decode(text: &str) -> Vec<u8> {
    let (bytes, mut decoded, mut index) = (text.as_bytes(), Vec::new(), 0);
    while let Some(&byte) = bytes.get(index) {
        let digits = bytes.get(index + 1..index + 3).filter(|_| byte == b'%');
        let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let value = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(value.unwrap_or(byte));
        index += if value.is_some() { 3 } else { 1 };
    }
    decoded
}

fn lossy(text: &str) -> String {
    String::from_utf8_lossy(&decode(text)).into_owned()
}

/// A request for `path` with that query, if there is such a one.
fn target(path: &[u8], query: &[u8]) {
    let wire = [b"GET /", path, b"?", query, b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
    let Ok(Some(head)) = read_head(&wire, wire.len(), &Config::default()) else {
        return;
    };
    let target = &wire[4..wire.len() - b" HTTP/1.1\r\nHost: a\r\n\r\n".len()];
    let target = std::str::from_utf8(target).expect("targets are ASCII");
    let (path, query) = target.split_once('?').expect("there is one");
    assert_eq!(head.request.target(), target);
    assert_eq!(
        (head.request.path(), head.request.query()),
        (path, Some(query))
    );
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let text = |text: &str| lossy(&text.replace('+', " "));
    let pairs: Captures = pairs
        .map(|(name, value)| (text(name), text(value)))
        .collect();
    let params = head.request.params();
    let params: Captures = params
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    assert_eq!(params, pairs);
    for (name, _) in &pairs {
        let first = pairs.iter().find(|(other, _)| other == name);
        assert_eq!(
            head.request.param(name),
            first.map(|(_, value)| value.clone())
        );
    }
}
