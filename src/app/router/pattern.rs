//! Paths of routes: how they are written, and what of a request's path they match.
//!
//! Pure: knows neither methods nor responders.

use std::fmt;
use std::sync::Arc;

use crate::http::target::percent_decode;

/// How a route matched.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// With these captures, decoded.
    Canonical(Vec<(Arc<str>, String)>),
    /// But for an optional slash at the end.
    WithSlash,
}

/// The path of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    segments: Vec<Segment>,
    /// After how many segments a path may end before the last.
    ends: Vec<usize>,
    /// Whether one more slash is redirected to the path without it.
    has_optional_slash: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// This text, decoded. Empty at the end of a pattern only, which then ends with a slash.
    Literal(String),
    /// Any one segment of this kind.
    Capture(Arc<str>, Kind),
    /// All that is left, at the end of a pattern only.
    Rest(Arc<str>),
}

/// What one segment may consist of, once decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Any,
    Digits,
    Hex,
    /// What names in paths are made of: letters, digits, `-` and `_`.
    Slug,
}

impl Kind {
    /// With their names in patterns.
    const ALL: [(&'static str, Self); 4] = [
        ("any", Self::Any),
        ("digits", Self::Digits),
        ("hex", Self::Hex),
        ("slug", Self::Slug),
    ];

    fn matches(self, part: &str) -> bool {
        let consists_of = |is_one: fn(&u8) -> bool| percent_decode(part).iter().all(is_one);
        match self {
            Self::Any => true,
            Self::Digits => consists_of(u8::is_ascii_digit),
            Self::Hex => consists_of(u8::is_ascii_hexdigit),
            Self::Slug => {
                consists_of(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            }
        }
    }
}

impl Pattern {
    /// Reads a path as it is written in a route; the error says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let (text, has_optional_slash) = match text.strip_suffix("/?") {
            Some(text) => (text, true),
            None => (text, false),
        };
        let (text, ends) = split_optional(text)?;
        let segments = match text.strip_prefix('/') {
            Some(segments) => segments
                .split('/')
                .map(Segment::parse)
                .collect::<Result<Vec<_>, _>>()?,
            None if text.is_empty() && has_optional_slash => Vec::new(),
            None => return Err("it must begin with a slash"),
        };
        let pattern = Self {
            segments,
            ends,
            has_optional_slash,
        };
        pattern.check_order()?;
        pattern.check_names()?;
        Ok(pattern)
    }

    fn check_order(&self) -> Result<(), &'static str> {
        let Some((last, others)) = self.segments.split_last() else {
            return Ok(());
        };
        if others
            .iter()
            .any(|segment| matches!(segment, Segment::Rest(_)))
        {
            return Err("{*name} must be at the end");
        }
        if others.iter().any(Segment::is_empty) || (last.is_empty() && self.has_optional_slash) {
            return Err("it has two slashes in a row");
        }
        if matches!(last, Segment::Rest(_)) && self.has_optional_slash {
            return Err("{*name} takes every slash itself");
        }
        Ok(())
    }

    /// Whether each name captures once.
    pub(super) fn check_names(&self) -> Result<(), &'static str> {
        let names: Vec<_> = self.segments.iter().filter_map(Segment::name).collect();
        let is_double = |(index, name)| names[..index].contains(name);
        if names.iter().enumerate().any(is_double) {
            Err("a name captures twice")
        } else {
            Ok(())
        }
    }

    /// Puts another, that [is a prefix](Self::is_prefix), in front of this one.
    pub(super) fn prepend(&mut self, prefix: &Self) {
        self.segments.splice(0..0, prefix.segments.iter().cloned());
        for end in &mut self.ends {
            *end += prefix.segments.len();
        }
    }

    /// Whether it may stand in front of another.
    pub(super) fn is_prefix(&self) -> bool {
        !self.has_optional_slash
            && self.ends.is_empty()
            && self
                .segments
                .last()
                .is_none_or(|last| !last.is_empty() && !matches!(last, Segment::Rest(_)))
    }

    /// Compares a path, as it was sent, with this one.
    pub(crate) fn find(&self, path: &str) -> Option<Found> {
        // Nothing is collected until it is known to match: most routes that are tried do not, or
        // capture nothing.
        let mut capture_count = 0;
        let found = self.compare(path, |_, _| capture_count += 1)?;
        if let Found::Canonical(mut captures) = found {
            if capture_count > 0 {
                captures.reserve_exact(capture_count);
                self.compare(path, |name, part| {
                    let decoded = String::from_utf8_lossy(&percent_decode(part)).into_owned();
                    captures.push((Arc::clone(name), decoded));
                });
            }
            return Some(Found::Canonical(captures));
        }
        Some(found)
    }

    /// How `path` matches, without the captures: those are shown to `capture`, which may be
    /// called for a path that turns out not to match.
    fn compare(&self, path: &str, mut capture: impl FnMut(&Arc<str>, &str)) -> Option<Found> {
        // What is behind the last slash that was passed; `None` behind the last segment.
        let mut rest = Some(path.strip_prefix('/')?);
        for (index, segment) in self.segments.iter().enumerate() {
            let may_end = || self.ends.contains(&index);
            let (part, behind) = match (segment, rest) {
                (_, None) => return may_end().then(|| Found::Canonical(Vec::new())),
                (_, Some("")) if self.has_optional_slash && may_end() => {
                    return Some(Found::WithSlash);
                }
                (Segment::Rest(_), Some(rest)) => (rest, None),
                (_, Some(rest)) => split_segment(rest),
            };
            match segment {
                Segment::Literal(text) if !is_literal(part, text) => return None,
                Segment::Capture(..) if part.is_empty() => return None,
                Segment::Capture(_, kind) if !kind.matches(part) => return None,
                Segment::Literal(_) => {}
                Segment::Capture(name, _) | Segment::Rest(name) => capture(name, part),
            }
            rest = behind;
        }
        match rest {
            Some("") if self.has_optional_slash && !self.segments.is_empty() => {
                Some(Found::WithSlash)
            }
            Some("") if self.has_optional_slash => Some(Found::Canonical(Vec::new())),
            None => Some(Found::Canonical(Vec::new())),
            Some(_) => None,
        }
    }
}

/// A pattern without the brackets around its optional tail, `/a[/b[/c]]`, and after how many
/// segments each began.
fn split_optional(text: &str) -> Result<(String, Vec<usize>), &'static str> {
    let open = text.trim_end_matches(']');
    let mut parts = open.split('[');
    let mut whole = parts.next().unwrap_or_default().to_owned();
    let mut ends = Vec::new();
    for part in parts {
        if !part.starts_with('/') || whole.is_empty() {
            return Err("an optional [tail] begins with a slash, behind something that does not");
        }
        ends.push(whole.matches('/').count());
        whole.push_str(part);
    }
    if whole.contains(']') || ends.len() != text.len() - open.len() {
        return Err("an optional [tail] is at the end, and each [ has its ]");
    }
    Ok((whole, ends))
}

/// The first segment of `path` and what is behind its slash, if there is one. A loop, since
/// setting up `str::split_once` takes longer than most segments are (100 instructions).
fn split_segment(path: &str) -> (&str, Option<&str>) {
    match path.bytes().position(|byte| byte == b'/') {
        Some(len) => (&path[..len], Some(&path[len + 1..])),
        None => (path, None),
    }
}

/// Whether `part`, once decoded, is `text`.
fn is_literal(part: &str, text: &str) -> bool {
    if part.bytes().any(|byte| byte == b'%') {
        *percent_decode(part) == *text.as_bytes()
    } else {
        part == text
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, segment) in self.segments.iter().enumerate() {
            f.write_str(if self.ends.contains(&index) { "[" } else { "" })?;
            match segment {
                Segment::Literal(text) => write!(f, "/{text}")?,
                Segment::Capture(name, Kind::Any) => write!(f, "/{{{name}}}")?,
                Segment::Capture(name, kind) => {
                    let kind = Kind::ALL.iter().find(|(_, other)| other == kind);
                    write!(f, "/{{{name}:{}}}", kind.map_or("any", |(name, _)| name))?;
                }
                Segment::Rest(name) => write!(f, "/{{*{name}}}")?,
            }
        }
        f.write_str(&"]".repeat(self.ends.len()))?;
        f.write_str(if self.has_optional_slash { "/?" } else { "" })
    }
}

impl Segment {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let Some(inner) = text
            .strip_prefix('{')
            .and_then(|text| text.strip_suffix('}'))
        else {
            // A path comes without its query, so that neither would ever match.
            return if text.contains(['{', '}', '?', '#']) {
                Err("a { } must enclose a whole segment, and a ? may only follow the last slash")
            } else {
                Ok(Self::Literal(text.to_owned()))
            };
        };
        let (is_rest, name) = inner
            .strip_prefix('*')
            .map_or((false, inner), |name| (true, name));
        let (name, kind) = match name.split_once(':') {
            Some((name, kind)) if !is_rest => {
                let kind = Kind::ALL.iter().find(|(name, _)| *name == kind);
                let (_, kind) = kind.ok_or("a {name:kind} is of any, digits, hex or slug")?;
                (name, *kind)
            }
            _ => (name, Kind::Any),
        };
        if name.is_empty()
            || !name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            return Err("a name consists of letters, digits and _");
        }
        Ok(if is_rest {
            Self::Rest(name.into())
        } else {
            Self::Capture(name.into(), kind)
        })
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::Literal(text) if text.is_empty())
    }

    fn name(&self) -> Option<&str> {
        match self {
            Self::Literal(_) => None,
            Self::Capture(name, _) | Self::Rest(name) => Some(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the pattern captures of the path, or how else it matches.
    fn captured(pattern: &str, path: &str) -> Option<String> {
        Pattern::parse(pattern)
            .unwrap()
            .find(path)
            .map(|found| match found {
                Found::Canonical(captures) => captures
                    .iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect::<Vec<_>>()
                    .join(" "),
                Found::WithSlash => "slash".to_owned(),
            })
    }

    #[test]
    fn patterns_match_segment_by_segment() {
        for (pattern, path, expected) in [
            ("/", "/", Some("")),
            ("/", "/a", None),
            ("/a", "/a", Some("")),
            ("/a", "/a/", None),
            ("/a", "/A", None),
            ("/a/", "/a/", Some("")),
            ("/a/", "/a", None),
            ("/a", "/%61", Some("")),
            ("/k\u{e4}se", "/k%C3%A4se", Some("")),
            ("/a/b", "/a%2Fb", None),
            ("/{x}", "/bob", Some("x=bob")),
            ("/{x}", "/", None),
            ("/{x}", "/a/b", None),
            ("/{x}", "/a%2Fb%20c+", Some("x=a/b c+")),
            ("/{x}", "/%ff", Some("x=\u{fffd}")),
            ("/{x}/{y}", "/a/b", Some("x=a y=b")),
            ("/{x}/{y}", "//b", None),
            ("/f/{*rest}", "/f/a//b/", Some("rest=a//b/")),
            ("/f/{*rest}", "/f/", Some("rest=")),
            ("/f/{*rest}", "/f", None),
            ("/{*rest}", "/", Some("rest=")),
            ("/a/?", "/a", Some("")),
            ("/a/?", "/a/", Some("slash")),
            ("/a/?", "/a//", None),
            ("/{x}/?", "/b/", Some("slash")),
            ("/?", "/", Some("")),
            ("/?", "//", None),
            ("/a", "*", None),
            ("/{x:digits}", "/042", Some("x=042")),
            ("/{x:digits}", "/4%32", Some("x=42")),
            ("/{x:digits}", "/4a", None),
            ("/{x:digits}", "/", None),
            ("/{x:digits}", "/\u{664}", None),
            ("/{x:hex}", "/beEF09", Some("x=beEF09")),
            ("/{x:hex}", "/0x1f", None),
            ("/{x:slug}", "/a-Slug_9", Some("x=a-Slug_9")),
            ("/{x:slug}", "/a.b", None),
            ("/{x:slug}", "/a%2Fb", None),
            ("/{x:any}", "/a.b", Some("x=a.b")),
            ("/{x:digits}/{y:slug}", "/1/a", Some("x=1 y=a")),
            ("/a[/{x}]", "/a", Some("")),
            ("/a[/{x}]", "/a/b", Some("x=b")),
            ("/a[/{x}]", "/a/", None),
            ("/a[/{x}]", "/a/b/c", None),
            ("/a[/{x:digits}[/{y}]]", "/a/1", Some("x=1")),
            ("/a[/{x:digits}[/{y}]]", "/a/1/b", Some("x=1 y=b")),
            ("/a[/{x:digits}[/{y}]]", "/a/b", None),
            ("/a[/]", "/a/", Some("")),
            ("/a[/]", "/a", Some("")),
            ("/a[/{*rest}]", "/a", Some("")),
            ("/a[/{*rest}]", "/a/b/", Some("rest=b/")),
            ("/a[/b]/?", "/a", Some("")),
            ("/a[/b]/?", "/a/", Some("slash")),
            ("/a[/b]/?", "/a/b/", Some("slash")),
        ] {
            assert_eq!(
                captured(pattern, path).as_deref(),
                expected,
                "{pattern} {path}"
            );
        }
    }

    #[test]
    fn a_pattern_prints_as_it_is_written() {
        for text in [
            "/",
            "/a/{b}/?",
            "/{a:digits}/{*rest}",
            "/a[/{b:slug}[/{c:hex}]]",
            "/a[/b]/?",
            "/?",
        ] {
            let pattern = Pattern::parse(text).expect("a pattern");
            assert_eq!(pattern.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_pattern_is_said_at_construction() {
        for text in [
            "",
            "a",
            "?",
            "//",
            "//a",
            "/a//b",
            "/a//?",
            "/{}",
            "/{a b}",
            "/{a",
            "/a{b}",
            "/{*a}/b",
            "/{*a}/?",
            "/{*}",
            "/{a}/{a}",
            "/a?",
            "/a?b",
            "/?/?",
            "/{a:}",
            "/{:digits}",
            "/{a:number}",
            "/{*a:hex}",
            "/a[/b",
            "/a/b]",
            "/a[b]",
            "[/a]",
            "/a[/b]/c",
            "/a[/b][/c]",
            "/a[/{*b}[/c]]",
            "/a[[/b]]",
        ] {
            assert!(Pattern::parse(text).is_err(), "{text:?}");
        }
    }
}
