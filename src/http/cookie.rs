//! Cookies both ways: reading `Cookie`, writing `Set-Cookie` (RFC 6265 and its revision).
//!
//! Values are neither encoded nor decoded: what does not fit is refused. `SameSite`,
//! `Partitioned` and the name prefixes are those that browsers know today.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::time::{Duration, SystemTime};

use super::date;
use super::headers::is_token;

/// One cookie to set, for [`Response::set_cookie`](crate::Response::set_cookie).
///
/// ```
/// use aerys::{Cookie, SameSite};
/// let cookie = Cookie::new("session", "31d4d96e").path("/").secure().http_only().same_site(SameSite::Lax);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookie {
    name: Cow<'static, str>,
    value: Cow<'static, str>,
    expires: Option<SystemTime>,
    max_age: Option<Duration>,
    domain: Option<Cow<'static, str>>,
    path: Option<Cow<'static, str>>,
    secure: bool,
    http_only: bool,
    same_site: Option<SameSite>,
    partitioned: bool,
}

/// Whether a browser sends a cookie along with requests that another site caused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    /// Never.
    Strict,
    /// Only when the user navigates here. What most browsers assume without the attribute.
    Lax,
    /// Always; asks for [`Cookie::secure`].
    None,
}

impl Cookie {
    /// A cookie for this host and the path of the request, until the browser ends.
    #[must_use]
    pub fn new(name: impl Into<Cow<'static, str>>, value: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
            expires: None,
            max_age: None,
            domain: None,
            path: None,
            secure: false,
            http_only: false,
            same_site: None,
            partitioned: false,
        }
    }

    /// A cookie that makes the browser forget the one of that name. Path and domain must be those
    /// that it was set with, and a name with a prefix asks for what it asks for otherwise:
    /// `Cookie::removal("__Host-id").path("/").secure()`.
    #[must_use]
    pub fn removal(name: impl Into<Cow<'static, str>>) -> Self {
        Self::new(name, "")
            .max_age(Duration::ZERO)
            .expires(SystemTime::UNIX_EPOCH)
    }

    /// Kept until then, by the clock of the browser. Whole seconds.
    #[must_use]
    pub fn expires(mut self, at: SystemTime) -> Self {
        self.expires = Some(at);
        self
    }

    /// Kept for so long. Whole seconds; wins over [`expires`](Self::expires).
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Sent to this domain and all below it, instead of to this host alone.
    #[must_use]
    pub fn domain(mut self, domain: impl Into<Cow<'static, str>>) -> Self {
        self.domain = Some(domain.into());
        self
    }

    /// Sent for this path and all below it.
    #[must_use]
    pub fn path(mut self, path: impl Into<Cow<'static, str>>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// Sent over encrypted connections only.
    #[must_use]
    pub fn secure(mut self) -> Self {
        self.secure = true;
        self
    }

    /// Hidden from scripts.
    #[must_use]
    pub fn http_only(mut self) -> Self {
        self.http_only = true;
        self
    }

    /// When to send it along with requests that another site caused.
    #[must_use]
    pub fn same_site(mut self, same_site: SameSite) -> Self {
        self.same_site = Some(same_site);
        self
    }

    /// Kept apart for each site that embeds this one; asks for [`secure`](Self::secure).
    #[must_use]
    pub fn partitioned(mut self) -> Self {
        self.partitioned = true;
        self
    }

    /// The value of the `Set-Cookie` field.
    pub(crate) fn to_field_value(&self) -> Result<String, InvalidCookie> {
        self.check()?;
        let mut text = format!("{}={}", self.name, self.value);
        if let Some(expires) = self.expires {
            text.push_str("; Expires=");
            text.push_str(&date::format_time(expires));
        }
        if let Some(age) = self.max_age {
            write!(text, "; Max-Age={}", age.as_secs()).expect("a String takes everything");
        }
        for (attribute, value) in [("; Domain=", &self.domain), ("; Path=", &self.path)] {
            if let Some(value) = value {
                text.push_str(attribute);
                text.push_str(value);
            }
        }
        for (flag, attribute) in [
            (self.secure, "; Secure"),
            (self.http_only, "; HttpOnly"),
            (self.partitioned, "; Partitioned"),
        ] {
            if flag {
                text.push_str(attribute);
            }
        }
        text.push_str(match self.same_site {
            Some(SameSite::Strict) => "; SameSite=Strict",
            Some(SameSite::Lax) => "; SameSite=Lax",
            Some(SameSite::None) => "; SameSite=None",
            None => "",
        });
        Ok(text)
    }

    fn check(&self) -> Result<(), InvalidCookie> {
        if !is_token(self.name.as_bytes()) {
            Err(InvalidCookie::Name)
        } else if !is_cookie_value(self.value.as_bytes()) {
            Err(InvalidCookie::Value)
        } else if self.name.len() + self.value.len() > MAX_PAIR_BYTES {
            Err(InvalidCookie::TooLong)
        } else if !(self.domain.as_deref().is_none_or(is_domain)
            && self.path.as_deref().is_none_or(is_path))
        {
            Err(InvalidCookie::Attribute)
        } else if !self.secure && (self.partitioned || self.same_site == Some(SameSite::None)) {
            Err(InvalidCookie::NotSecure)
        } else if !self.fits_its_prefix() {
            Err(InvalidCookie::Prefix)
        } else {
            Ok(())
        }
    }

    /// Browsers drop a cookie whose name promises what its attributes do not hold. They
    /// compare the prefix in any case.
    fn fits_its_prefix(&self) -> bool {
        let has_prefix = |prefix: &str| {
            self.name
                .get(..prefix.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        };
        if has_prefix("__Host-") {
            self.secure && self.domain.is_none() && self.path.as_deref() == Some("/")
        } else {
            !has_prefix("__Secure-") || self.secure
        }
    }
}

/// Why a cookie was refused: a browser would drop it in silence, or read it as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidCookie {
    /// The name is no token.
    Name,
    /// The value has a character that is not allowed there: space, quote, comma, semicolon,
    /// backslash, a control, or one beyond ASCII. Encode it.
    Value,
    /// The path does not begin with a slash, or has a semicolon, a control, a character beyond ASCII
    /// or a space at its end; the domain has other characters than letters, digits, `-`, `_` and
    /// `.`; one of the two is longer than 1,024 bytes.
    Attribute,
    /// Name and value together are longer than 4,096 bytes.
    TooLong,
    /// `SameSite=None` and `Partitioned` ask for `Secure`.
    NotSecure,
    /// A name that begins with `__Secure-` asks for `Secure`, `__Host-` also for `Path=/` and
    /// no domain.
    Prefix,
}

impl fmt::Display for InvalidCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "a cookie's name must be a token: letters, digits and !#$%&'*+-.^_`|~",
            Self::Value => "a cookie's value must be ASCII without spaces, quotes, commas, semicolons and backslashes",
            Self::Attribute => "a cookie's domain must be a name, its path begin with a slash and be ASCII without semicolons, both of at most 1,024 bytes",
            Self::TooLong => "a cookie's name and value must be of at most 4,096 bytes together",
            Self::NotSecure => "a cookie with SameSite=None or Partitioned must be Secure",
            Self::Prefix => "a cookie named __Secure-* must be Secure, one named __Host-* also with Path=/ and no Domain",
        })
    }
}

impl std::error::Error for InvalidCookie {}

/// The cookies in one `Cookie` field, as name and value; what has no `=` is passed over.
///
/// A value keeps its double quotes: they are part of it.
pub(crate) fn parse(field: &str) -> impl Iterator<Item = (&str, &str)> {
    field.split(';').filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        Some((
            name.trim_matches([' ', '\t']),
            value.trim_matches([' ', '\t']),
        ))
    })
}

/// cookie-octet of RFC 6265 section 4.1.1, in double quotes or not.
fn is_cookie_value(value: &[u8]) -> bool {
    let inner = match value {
        [b'"', inner @ .., b'"'] => inner,
        _ => value,
    };
    inner
        .iter()
        .all(|byte| matches!(byte, 0x21 | 0x23..=0x2B | 0x2D..=0x3A | 0x3C..=0x5B | 0x5D..=0x7E))
}

/// Bytes of name and value together, and of each attribute, beyond which browsers drop a cookie or
/// pass over the attribute: RFC 6265 section 6.1 asks them for no more.
const MAX_PAIR_BYTES: usize = 4096;
const MAX_ATTRIBUTE_BYTES: usize = 1024;

/// Whether a browser takes `value` as a host to compare with.
fn is_domain(value: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !value.is_empty() && value.len() <= MAX_ATTRIBUTE_BYTES && value.bytes().all(is_legal)
}

/// Whether a browser takes `value` as it is. Of one without a slash it would make another, which
/// depends on the page (RFC 6265 section 5.2.4).
fn is_path(value: &str) -> bool {
    let is_legal = |byte| matches!(byte, 0x20..=0x7E) && byte != b';';
    value.starts_with('/')
        && !value.ends_with(' ')
        && value.len() <= MAX_ATTRIBUTE_BYTES
        && value.bytes().all(is_legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attribute_is_written() {
        let cookie = Cookie::new("id", "a-1")
            .expires(SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777))
            .max_age(Duration::from_millis(60_999))
            .domain("example.com")
            .path("/app")
            .secure()
            .http_only()
            .same_site(SameSite::None)
            .partitioned();
        assert_eq!(
            cookie.to_field_value().unwrap(),
            "id=a-1; Expires=Sun, 06 Nov 1994 08:49:37 GMT; Max-Age=60; Domain=example.com; Path=/app; \
             Secure; HttpOnly; Partitioned; SameSite=None"
        );
        assert_eq!(Cookie::new("a", "").to_field_value().unwrap(), "a=");
        assert_eq!(
            Cookie::removal("a").to_field_value().unwrap(),
            "a=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0"
        );
    }

    #[test]
    fn what_a_browser_would_misread_or_drop_is_refused() {
        let refused = [
            (Cookie::new("", "x"), InvalidCookie::Name),
            (Cookie::new("a=b", "x"), InvalidCookie::Name),
            (Cookie::new("a", "x; Secure"), InvalidCookie::Value),
            (Cookie::new("a", "x y"), InvalidCookie::Value),
            (Cookie::new("a", "\"x"), InvalidCookie::Value),
            (
                Cookie::new("a", "x\r\nSet-Cookie: b=c"),
                InvalidCookie::Value,
            ),
            (Cookie::new("a", "\u{e4}"), InvalidCookie::Value),
            (
                Cookie::new("a", "x").path("/; Domain=com"),
                InvalidCookie::Attribute,
            ),
            (Cookie::new("a", "x").domain(""), InvalidCookie::Attribute),
            (Cookie::new("a", "x").path("/\n"), InvalidCookie::Attribute),
            (Cookie::new("a", "x").path("app"), InvalidCookie::Attribute),
            (Cookie::new("a", "x").path(""), InvalidCookie::Attribute),
            (Cookie::new("a", "x").path("/ "), InvalidCookie::Attribute),
            (
                Cookie::new("a", "x").path(format!("/{}", "a".repeat(1024))),
                InvalidCookie::Attribute,
            ),
            (
                Cookie::new("a", "x").domain("a.example, b.example"),
                InvalidCookie::Attribute,
            ),
            (
                Cookie::new("a", "x").domain("https://a.example"),
                InvalidCookie::Attribute,
            ),
            (Cookie::new("a", "x".repeat(4096)), InvalidCookie::TooLong),
            (
                Cookie::new("a", "x").same_site(SameSite::None),
                InvalidCookie::NotSecure,
            ),
            (
                Cookie::new("a", "x").partitioned(),
                InvalidCookie::NotSecure,
            ),
            (Cookie::new("__secure-a", "x"), InvalidCookie::Prefix),
            (Cookie::new("__Host-a", "x").secure(), InvalidCookie::Prefix),
            (
                Cookie::new("__Host-a", "x")
                    .secure()
                    .path("/")
                    .domain("b.c"),
                InvalidCookie::Prefix,
            ),
        ];
        for (cookie, error) in refused {
            assert_eq!(cookie.to_field_value(), Err(error), "{cookie:?}");
        }
        assert!(
            Cookie::new("a", "x".repeat(4095))
                .path(format!("/{}", "a".repeat(1023)))
                .domain(".a-b.example")
                .to_field_value()
                .is_ok()
        );
        assert!(
            Cookie::new("__Host-a", "\"x\"")
                .secure()
                .path("/")
                .to_field_value()
                .is_ok()
        );
    }

    #[test]
    fn a_cookie_field_is_read_pair_by_pair() {
        let pairs: Vec<_> =
            parse("SID=31d4; lang=en-US;empty=; =anonymous; junk; q=\"a b\" ;e=m=c2; \t").collect();
        assert_eq!(
            pairs,
            [
                ("SID", "31d4"),
                ("lang", "en-US"),
                ("empty", ""),
                ("", "anonymous"),
                ("q", "\"a b\""),
                ("e", "m=c2")
            ]
        );
    }
}
