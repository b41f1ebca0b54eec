//! Paths of routes: how they are written, and what of a request's path they match.
//!
//! Pure: knows neither methods nor responders.

use std::fmt;
use std::sync::Arc;

use crate::http::target::percent_decode;

/// How a route matched.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// With these captures, decoded.
    Canonical(Vec<(Arc<str>, String)>),
    /// But for an optional slash at the end.
    WithSlash,
}

/// The path of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    pub(super) segments: Vec<Segment>,
    /// Whether one more slash is redirected to the path without it.
    has_optional_slash: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// This text, decoded. Empty at the end of a pattern only, which then ends with a slash.
    Literal(String),
    /// Any one segment.
    Capture(Arc<str>),
    /// All that is left, at the end of a pattern only.
    Rest(Arc<str>),
}

impl Pattern {
    /// Reads a path as it is written in a route; the error says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let (text, has_optional_slash) = match text.strip_suffix("/?") {
            Some(text) => (text, true),
            None => (text, false),
        };
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

    /// Whether it may stand in front of another.
    pub(super) fn is_prefix(&self) -> bool {
        !self.has_optional_slash
            && self
                .segments
                .last()
                .is_none_or(|last| !last.is_empty() && !matches!(last, Segment::Rest(_)))
    }

    /// Compares a path, as it was sent, with this one.
    pub(super) fn find(&self, path: &str) -> Option<Found> {
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
        for segment in &self.segments {
            let (part, behind) = match (segment, rest?) {
                (Segment::Rest(_), rest) => (rest, None),
                (_, rest) => split_segment(rest),
            };
            match segment {
                Segment::Literal(text) if !is_literal(part, text) => return None,
                Segment::Capture(_) if part.is_empty() => return None,
                Segment::Literal(_) => {}
                Segment::Capture(name) | Segment::Rest(name) => capture(name, part),
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
        for segment in &self.segments {
            match segment {
                Segment::Literal(text) => write!(f, "/{text}")?,
                Segment::Capture(name) => write!(f, "/{{{name}}}")?,
                Segment::Rest(name) => write!(f, "/{{*{name}}}")?,
            }
        }
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
            Self::Capture(name.into())
        })
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::Literal(text) if text.is_empty())
    }

    fn name(&self) -> Option<&str> {
        match self {
            Self::Literal(_) => None,
            Self::Capture(name) | Self::Rest(name) => Some(name),
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
        ] {
            assert_eq!(
                captured(pattern, path).as_deref(),
                expected,
                "{pattern} {path}"
            );
        }
    }

    #[test]
    fn what_is_no_pattern_is_said_at_construction() {
        for text in [
            "", "a", "?", "//", "//a", "/a//b", "/a//?", "/{}", "/{a b}", "/{a", "/a{b}",
            "/{*a}/b", "/{*a}/?", "/{*}", "/{a}/{a}", "/a?", "/a?b", "/?/?",
        ] {
            assert!(Pattern::parse(text).is_err(), "{text:?}");
        }
    }
}
