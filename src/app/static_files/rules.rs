//! Header fields by path: `*.css`, `/assets/**`.

use std::fmt;

use crate::http::{Headers, InvalidField};

/// Fields to be set where a pattern matches, in the order in which they were added.
#[derive(Debug, Default)]
pub(super) struct Rules(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    pattern: Pattern,
    name: String,
    value: Vec<u8>,
}

/// Fields that say what is sent, and how: no rule can know it.
const OWN: [&str; 11] = [
    "Accept-Ranges",
    "Connection",
    "Content-Encoding",
    "Content-Length",
    "Content-Range",
    "Date",
    "ETag",
    "Last-Modified",
    "Location",
    "Transfer-Encoding",
    "Upgrade",
];

impl Rules {
    /// Adds one behind all others.
    pub(super) fn add(
        &mut self,
        pattern: &str,
        name: &str,
        value: &str,
    ) -> Result<(), InvalidHeaderRule> {
        Headers::new()
            .append(name, value)
            .map_err(InvalidHeaderRule::Field)?;
        if OWN.iter().any(|own| own.eq_ignore_ascii_case(name)) {
            return Err(InvalidHeaderRule::OwnField(name.to_owned()));
        }
        self.0.push(Rule {
            pattern: Pattern::parse(pattern)?,
            name: name.to_owned(),
            value: value.as_bytes().to_vec(),
        });
        Ok(())
    }

    /// What is set for a path, which is without its leading slash: for each name what the last
    /// rule says.
    pub(super) fn of(&self, path: &[u8]) -> Vec<(&str, &[u8])> {
        let mut set: Vec<(&str, &[u8])> = Vec::new();
        for rule in self.0.iter().filter(|rule| rule.pattern.matches(path)) {
            set.retain(|(name, _)| !name.eq_ignore_ascii_case(&rule.name));
            set.push((&rule.name, &rule.value));
        }
        set
    }
}

/// Why a header field cannot be set for files.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidHeaderRule {
    /// The pattern is none, for this reason.
    Pattern(&'static str),
    /// The field could not go over the wire.
    Field(InvalidField),
    /// What this field says is the server's to know.
    OwnField(String),
}

impl fmt::Display for InvalidHeaderRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pattern(reason) => f.write_str(reason),
            Self::Field(error) => error.fmt(f),
            Self::OwnField(name) => write!(f, "the field {name} is set by the server itself"),
        }
    }
}

impl std::error::Error for InvalidHeaderRule {}

/// Which paths are meant: segments, of which some stand for many.
#[derive(Debug)]
struct Pattern(Vec<Segment>);

#[derive(Debug)]
enum Segment {
    /// `**`: any number of segments, also none.
    Many,
    /// Bytes, `?` for any one of them and `*` for any number.
    One(Vec<u8>),
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, InvalidHeaderRule> {
        let refused = |reason| Err(InvalidHeaderRule::Pattern(reason));
        let names = text.strip_prefix('/').unwrap_or(text);
        if names.is_empty() {
            return refused("a pattern must name files, like *.css or /assets/**");
        }
        if text.contains(['[', ']', '{', '}', '\\']) {
            return refused("a pattern knows *, ** and ? and nothing else");
        }
        let mut segments = Vec::new();
        if !text.contains('/') {
            segments.push(Segment::Many); // of that name wherever it lies
        }
        for name in names.split('/') {
            segments.push(match name {
                "**" => Segment::Many,
                "" => {
                    return refused(
                        "a pattern must not have two slashes in a row or one at its end",
                    );
                }
                _ if name.contains("**") => {
                    return refused("in a pattern, ** must stand alone between slashes");
                }
                _ => Segment::One(name.as_bytes().to_vec()),
            });
        }
        Ok(Self(segments))
    }

    /// Whether it matches a path without its leading slash.
    fn matches(&self, path: &[u8]) -> bool {
        let names: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
        let is_many = |segment: &Segment| matches!(segment, Segment::Many);
        matches(&self.0, &names, is_many, |segment, name| match segment {
            Segment::Many => false,
            Segment::One(pattern) => {
                let fits = |one: &u8, byte: &u8| matches!(one, b'?') || one == byte;
                matches(pattern, name, |one| *one == b'*', fits)
            }
        })
    }
}

/// Whether `items` are what `pattern` says, of which some stand for any number of them. With one
/// place to return to, so at most every part of it is held against every item.
fn matches<P, T>(
    pattern: &[P],
    items: &[T],
    is_many: impl Fn(&P) -> bool,
    fits: impl Fn(&P, &T) -> bool,
) -> bool {
    let (mut at, mut item) = (0, 0);
    let mut return_to = None;
    while let Some(this) = items.get(item) {
        match pattern.get(at) {
            Some(part) if is_many(part) => {
                at += 1;
                return_to = Some((at, item));
            }
            Some(part) if fits(part, this) => (at, item) = (at + 1, item + 1),
            _ => {
                // The last one that stands for many takes one more.
                let Some((behind, taken)) = return_to else {
                    return false;
                };
                return_to = Some((behind, taken + 1));
                (at, item) = (behind, taken + 1);
            }
        }
    }
    pattern[at..].iter().all(is_many)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_names_anywhere_and_paths_from_the_root() {
        let cases = [
            ("*.css", "a.css", true),
            ("*.css", "dir/deep/a.css", true),
            ("*.css", "a.css.gz", false),
            ("*.css", "css", false),
            ("*.css", ".css", true),
            ("index.html", "index.html", true),
            ("index.html", "dir/index.html", true),
            ("/index.html", "dir/index.html", false),
            ("/assets/**", "assets/a", true),
            ("/assets/**", "assets/a/b/c", true),
            ("/assets/**", "other/assets/a", false),
            ("/assets/**", "assets2/a", false),
            ("assets/**", "assets/a", true),
            ("/fonts/*.woff2", "fonts/a.woff2", true),
            ("/fonts/*.woff2", "fonts/sub/a.woff2", false),
            ("/fonts/**/*.woff2", "fonts/a.woff2", true),
            ("/fonts/**/*.woff2", "fonts/x/y/a.woff2", true),
            ("**", "anything/at/all", true),
            ("*", "one/two", true),
            ("/*", "one/two", false),
            ("/*", "one", true),
            ("/a?c", "abc", true),
            ("/a?c", "ac", false),
            ("/a?c", "a/c", false),
            ("**/b/**/d", "a/b/c/d", true),
            ("**/b/**/d", "b/d", true),
            ("**/b/**/d", "b/d/e", false),
            ("app.*.js", "x/app.3f2a.js", true),
            ("*a*b*c", "xaxbxc", true),
            ("*a*b*c", "xaxbx", false),
        ];
        for (pattern, path, expected) in cases {
            let parsed = Pattern::parse(pattern).unwrap();
            assert_eq!(
                parsed.matches(path.as_bytes()),
                expected,
                "{pattern} {path}"
            );
        }
    }

    proptest::proptest! {
        /// Against the definition, by trying every length.
        #[test]
        fn many_stand_for_any_number(pattern in "[ab*?]{0,8}", text in "[ab]{0,10}") {
            fn by_definition(pattern: &[u8], text: &[u8]) -> bool {
                match pattern {
                    [] => text.is_empty(),
                    [b'*', rest @ ..] => {
                        (0..=text.len()).any(|len| by_definition(rest, &text[len..]))
                    }
                    [one, rest @ ..] => text.split_first().is_some_and(|(byte, text)| {
                        (one == byte || *one == b'?') && by_definition(rest, text)
                    }),
                }
            }
            let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
            let fits = |one: &u8, byte: &u8| *one == b'?' || one == byte;
            proptest::prop_assert_eq!(
                matches(pattern, text, |one| *one == b'*', fits),
                by_definition(pattern, text)
            );
        }
    }

    #[test]
    fn the_last_rule_of_a_name_wins() {
        let mut rules = Rules::default();
        rules.add("**", "Cache-Control", "no-cache").unwrap();
        rules
            .add("/assets/**", "cache-control", "max-age=60")
            .unwrap();
        rules.add("*.js", "X-Kind", "script").unwrap();
        rules
            .add("/assets/old.js", "Cache-Control", "no-store")
            .unwrap();
        let of = |path: &str| {
            let set = rules.of(path.as_bytes()).into_iter();
            let set = set.map(|(name, value)| format!("{name}: {}", value.escape_ascii()));
            set.collect::<Vec<_>>().join(", ")
        };
        assert_eq!(of("index.html"), "Cache-Control: no-cache");
        assert_eq!(of("assets/a.css"), "cache-control: max-age=60");
        assert_eq!(
            of("assets/a.js"),
            "cache-control: max-age=60, X-Kind: script"
        );
        assert_eq!(
            of("assets/old.js"),
            "X-Kind: script, Cache-Control: no-store"
        );
    }

    #[test]
    fn what_can_never_be_is_refused_with_the_reason() {
        let add = |pattern: &str, name: &str, value: &str| {
            Rules::default().add(pattern, name, value).unwrap_err()
        };
        for pattern in [
            "",
            "/",
            "//a",
            "a//b",
            "/a/",
            "a**",
            "/a/***",
            "[ab]",
            "*.{js,css}",
            "a\\b",
        ] {
            let error = add(pattern, "A", "b");
            assert!(matches!(error, InvalidHeaderRule::Pattern(_)), "{pattern}");
            assert!(error.to_string().contains("pattern"), "{error}");
        }
        let error = add("*", "A", "b\r\nC: d");
        assert_eq!(
            error,
            InvalidHeaderRule::Field(InvalidField::ControlCharacter)
        );
        for own in ["etag", "Content-Length", "CONTENT-ENCODING", "Connection"] {
            let error = add("*", own, "b").to_string();
            assert!(error.contains(own), "{error}");
        }
    }
}
