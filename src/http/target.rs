//! The request target (RFC 9112 section 3.2): its form, path and query; percent-decoding.
//!
//! The path stays as it was sent: what is a segment is decided before `%2F` becomes a slash.
//! Knows no file system.

use std::borrow::Cow;

/// A request target that was checked, as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    text: String,
    parts: TargetParts,
}

/// What a target that was checked consists of, without its text: that is copied once it is known
/// that there is a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TargetParts {
    form: TargetForm,
    /// Where the path begins in the text; at `path_end` if an absolute form has none.
    path_start: usize,
    /// Where the path ends: at the `?` or the end of the text.
    path_end: usize,
}

/// The forms of RFC 9112 section 3.2. The authority form belongs to CONNECT, which an origin
/// server does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TargetForm {
    /// `/path?query`: nearly every request.
    Origin,
    /// `http://host/path?query`, as sent to proxies. Its host replaces that of the field.
    Absolute,
    /// `*`: OPTIONS for the server as a whole.
    Asterisk,
}

/// The bytes are no request target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InvalidTarget;

impl TargetParts {
    /// Checks a target. Percent escapes are not looked at: a bad one stands for itself.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, InvalidTarget> {
        // A fragment never belongs into a target, and servers differ about what to do with one.
        // All bytes without an early exit: that makes vector instructions of it.
        let is_legal = bytes.iter().fold(true, |legal, byte| {
            legal & (byte.is_ascii_graphic() && *byte != b'#')
        });
        if !is_legal {
            return Err(InvalidTarget);
        }
        let (form, path_start) = match bytes {
            b"*" => (TargetForm::Asterisk, 0),
            [b'/', ..] => (TargetForm::Origin, 0),
            _ => (
                TargetForm::Absolute,
                absolute_path_start(bytes).ok_or(InvalidTarget)?,
            ),
        };
        let path_end = bytes
            .iter()
            .position(|byte| *byte == b'?')
            .unwrap_or(bytes.len());
        Ok(Self {
            form,
            path_start,
            path_end,
        })
    }

    /// The target of origin form at the front of `bytes`, which ends at the first space, and its
    /// length; in one pass, what [`parse`](Self::parse) makes of it. `None`: there is no such.
    pub(crate) fn of_origin_form(bytes: &[u8]) -> Option<(Self, usize)> {
        const PATH: u8 = 1;
        const QUERY: u8 = 2;
        // What a byte may be part of: the mark of a query is none of its path.
        static MAY_BE: [u8; 256] = {
            let mut table = [0; 256];
            let mut byte = b'!';
            while byte <= b'~' {
                table[byte as usize] = match byte {
                    b'#' => 0,
                    b'?' => QUERY,
                    _ => PATH | QUERY,
                };
                byte += 1;
            }
            table
        };
        if bytes.first() != Some(&b'/') {
            return None;
        }
        let is_not = |part: u8| move |byte: &u8| MAY_BE[usize::from(*byte)] & part == 0;
        let path_end = bytes.iter().position(is_not(PATH))?;
        let rest = &bytes[path_end..];
        let len = path_end + rest.iter().position(is_not(QUERY))?;
        let parts = Self {
            form: TargetForm::Origin,
            path_start: 0,
            path_end,
        };
        (bytes[len] == b' ').then_some((parts, len))
    }

    /// Which of the forms it has.
    pub(crate) const fn form(&self) -> TargetForm {
        self.form
    }
}

impl Target {
    /// No target.
    pub(crate) const fn new() -> Self {
        Self {
            text: String::new(),
            parts: TargetParts {
                form: TargetForm::Origin,
                path_start: 0,
                path_end: 0,
            },
        }
    }

    /// Becomes the target `text`, which was found to consist of `parts`.
    pub(crate) fn set(&mut self, text: &[u8], parts: TargetParts) {
        self.clear();
        let text = std::str::from_utf8(text).expect("checked targets are ASCII");
        self.text.push_str(text);
        self.parts = parts;
    }

    /// Becomes no target, and keeps its allocation.
    pub(crate) fn clear(&mut self) {
        let Self { text, parts } = self;
        text.clear();
        *parts = Self::new().parts;
    }

    /// Gives back what is not in use of its allocation.
    pub(crate) fn shrink_to_fit(&mut self) {
        self.text.shrink_to_fit();
    }

    /// Bytes of its allocation.
    pub(crate) const fn capacity(&self) -> usize {
        self.text.capacity()
    }

    /// The target as it was sent.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Which of the forms it has.
    pub(crate) const fn form(&self) -> TargetForm {
        self.parts.form
    }

    /// The path as it was sent, without query; `/` if an absolute form has none, `*` for `*`.
    pub(crate) fn path(&self) -> &str {
        match &self.text[self.parts.path_start..self.parts.path_end] {
            "" => "/",
            path => path,
        }
    }

    /// What follows the first `?`, if there is one.
    pub(crate) fn query(&self) -> Option<&str> {
        self.text.get(self.parts.path_end + 1..)
    }

    /// Host and port of an absolute form.
    pub(crate) fn authority(&self) -> Option<&str> {
        match self.parts.form {
            TargetForm::Absolute => self.text[..self.parts.path_start]
                .split_once("//")
                .map(|(_, authority)| authority),
            TargetForm::Origin | TargetForm::Asterisk => None,
        }
    }
}

/// Where the path of `http://authority/path` begins; `None` if `text` is not of that form.
fn absolute_path_start(text: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(text).ok()?;
    let (scheme, rest) = text.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    let authority_len = rest.find(['/', '?']).unwrap_or(rest.len());
    is_authority(&rest.as_bytes()[..authority_len]).then(|| text.len() - rest.len() + authority_len)
}

/// Whether `text` is a host with an optional port, as in the `Host` field (RFC 9110 section
/// 7.2). User names are refused (section 4.2.4), as is an empty host (section 4.2.1).
pub(crate) fn is_authority(text: &[u8]) -> bool {
    // In one pass over the bytes: each request has one to judge (150 instructions instead of 540
    // with `str::split_once`).
    let (host_is_legal, port) = if let [b'[', rest @ ..] = text {
        // An IPv6 address, or a later form of RFC 3986 section 3.2.2.
        let is_part = |byte: &u8| *byte == b':' || is_registered_name_byte(*byte) && *byte != b'%';
        match split_where_not(rest, is_part) {
            (address, [b']', port @ ..]) => (!address.is_empty(), port),
            _ => return false,
        }
    } else {
        let (host, port) = split_where_not(text, |byte| is_registered_name_byte(*byte));
        (!host.is_empty(), port)
    };
    host_is_legal && is_port(port)
}

/// Host and port of an authority that was checked; `None`: it gives no port.
pub(crate) fn split_authority(authority: &str) -> (&str, Option<u16>) {
    // The colons of an IPv6 address stand in brackets.
    let end = authority.find(']').map_or(0, |bracket| bracket + 1);
    match authority[end..].split_once(':') {
        Some((host, port)) => (&authority[..end + host.len()], port.parse().ok()),
        None => (authority, None),
    }
}

/// `text` up to the first byte that is no `part`, and from there on.
fn split_where_not(text: &[u8], is_part: impl Fn(&u8) -> bool) -> (&[u8], &[u8]) {
    let len = text.iter().position(|byte| !is_part(byte));
    text.split_at(len.unwrap_or(text.len()))
}

/// RFC 3986 section 3.2.2: unreserved, sub-delims, and the sign of an escape.
const fn is_registered_name_byte(byte: u8) -> bool {
    static IS_PART: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 0x80_u8 {
            table[byte as usize] = byte.is_ascii_alphanumeric()
                || matches!(
                    byte,
                    b'-' | b'.' | b'_' | b'~' | b'%' | b'!' | b'$' | b'&'..=b',' | b';' | b'='
                );
            byte += 1;
        }
        table
    };
    IS_PART[byte as usize]
}

/// Whether `text`, which follows a host, is nothing or a port with its colon. The number may be
/// left out: that is the default port.
fn is_port(text: &[u8]) -> bool {
    let digits = match text {
        [] => return true,
        [b':', digits @ ..] => digits,
        _ => return false,
    };
    let number = digits.iter().try_fold(0_u16, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| digit - b'0')?;
        number.checked_mul(10)?.checked_add(u16::from(digit))
    });
    number.is_some()
}

/// `text` with its percent escapes resolved. A bad escape stays as it is; the result may hold
/// any byte, NUL and slashes too.
pub(crate) fn percent_decode(text: &str) -> Cow<'_, [u8]> {
    percent_encoding::percent_decode_str(text).into()
}

#[cfg(test)]
impl Target {
    /// A target for tests, checked as those of requests are.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, InvalidTarget> {
        let mut target = Self::new();
        target.set(text, TargetParts::parse(text)?);
        Ok(target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_comes_apart_into_path_and_query() {
        let parts = |text: &str| {
            let target = Target::parse(text.as_bytes()).unwrap();
            (target.path().to_owned(), target.query().map(str::to_owned))
        };
        for (text, path, query) in [
            ("/", "/", None),
            ("/a/b%2Fc?x=1&y=?", "/a/b%2Fc", Some("x=1&y=?")),
            ("/a?", "/a", Some("")),
            ("//evil/x", "//evil/x", None),
            ("*", "*", None),
            ("http://example.com", "/", None),
            ("HTTP://example.com:80?q", "/", Some("q")),
            ("https://[::1]:8443/p?q", "/p", Some("q")),
            ("http://a/?http://b/", "/", Some("http://b/")),
        ] {
            assert_eq!(
                parts(text),
                (path.to_owned(), query.map(str::to_owned)),
                "{text}"
            );
        }
    }

    #[test]
    fn only_an_absolute_form_has_an_authority() {
        let authority = |text: &str| {
            Target::parse(text.as_bytes())
                .unwrap()
                .authority()
                .map(str::to_owned)
        };
        assert_eq!(
            authority("http://example.com:8080/x"),
            Some("example.com:8080".to_owned())
        );
        assert_eq!(authority("http://[::1]?x"), Some("[::1]".to_owned()));
        assert_eq!(authority("/http://example.com"), None);
        assert_eq!(authority("*"), None);
    }

    #[test]
    fn what_two_servers_could_read_differently_is_refused() {
        for text in [
            "",
            "a",
            "a/b",
            "**",
            "/a b",
            "/a\tb",
            "/a\0",
            "/\u{e4}",
            "/a#b",
            "/\x7f",
            "?x",
            "http:/a",
            "http://",
            "http:///a",
            "http://u@h/",
            "http://u:p@h/",
            "http://h:x/",
            "ftp://h/",
            "://h/",
            "http://a\\b/",
            "http://[::1/",
            "http://[]/",
            "example.com:443",
            "http://h:99999/",
        ] {
            assert_eq!(
                Target::parse(text.as_bytes()),
                Err(InvalidTarget),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_host_field_is_a_host_with_an_optional_port() {
        for text in [
            "a",
            "a.b",
            "a:80",
            "a:",
            "127.0.0.1:1337",
            "[::1]",
            "[::1]:80",
            "[fe80::1]",
            "xn--a",
            "a_b",
            "a%20b",
        ] {
            assert!(is_authority(text.as_bytes()), "{text}");
        }
        for text in [
            "", ":80", "a b", "a/b", "a:b", "a:80:80", "u@a", "::1", "[::1", "[::1]80", "a,b:c",
            "a:65536", "a\u{e4}", "<a>",
        ] {
            assert!(!is_authority(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn an_authority_comes_apart_into_host_and_port() {
        for (text, host, port) in [
            ("a.b", "a.b", None),
            ("a:80", "a", Some(80)),
            ("a:", "a", None),
            ("[::1]", "[::1]", None),
            ("[::1]:65535", "[::1]", Some(65535)),
            ("[::1]:", "[::1]", None),
        ] {
            assert_eq!(split_authority(text), (host, port), "{text}");
        }
    }

    #[test]
    fn an_origin_form_in_one_pass_is_what_it_is_in_several() {
        let mut texts = vec![Vec::new(), b"/".to_vec(), b"/a?b?c".to_vec(), b"a".to_vec()];
        texts.extend((0..=255).flat_map(|byte| {
            [
                vec![byte],
                vec![b'/', byte],
                vec![b'/', byte, b'a', b'?', b'b'],
                vec![b'/', b'?', byte, b'?'],
            ]
        }));
        for text in texts {
            let strict = TargetParts::parse(&text).ok();
            let strict = strict.filter(|parts| parts.form() == TargetForm::Origin);
            let found = TargetParts::of_origin_form(&[&text[..], b" HTTP/1.1"].concat());
            let len = text.iter().position(|byte| *byte == b' ');
            if len.is_none() || strict.is_some() {
                let expected = strict.map(|parts| (parts, text.len()));
                assert_eq!(found, expected, "{}", text.escape_ascii());
            }
            // Without the space it has not ended.
            assert!(TargetParts::of_origin_form(&text).is_none_or(|(_, end)| Some(end) == len));
        }
    }

    #[test]
    fn escapes_are_resolved_once_and_bad_ones_kept() {
        for (text, decoded) in [
            ("plain", &b"plain"[..]),
            ("a%20b+c", b"a b+c"),
            ("%252e", b"%2e"),
            ("%00%fF", b"\0\xff"),
            ("%", b"%"),
            ("%4", b"%4"),
            ("%zz%41", b"%zzA"),
        ] {
            assert_eq!(&*percent_decode(text), decoded, "{text}");
        }
    }
}
