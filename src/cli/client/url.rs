//! Where a client goes: `ws://host:port/path?query` (RFC 6455 section 3), or the same with `wss`, `http`
//! or `https`.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use std::fmt;
use std::net::Ipv6Addr;

/// What a request target has encoded if a user wrote it as it is; the rest is the user's to encode.
const ENCODED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'`')
    .add(b'{')
    .add(b'}')
    .add(b'|')
    .add(b'\\')
    .add(b'^');

/// A URL in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    scheme: &'static str,
    /// Without the brackets of an IPv6 address.
    host: String,
    port: u16,
    /// Path and query as they are sent.
    target: String,
}

impl Url {
    /// # Errors
    ///
    /// What is wrong with `text`, and what would be right.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| Err(format!("'{text}' {what}"));
        let Some((scheme, rest)) = text.split_once("://") else {
            return wrong("is no URL: write ws://HOST:PORT/PATH");
        };
        let known = ["ws", "wss", "http", "https"];
        let Some(scheme) = known
            .into_iter()
            .find(|known| known.eq_ignore_ascii_case(scheme))
        else {
            return wrong("begins with none of ws://, wss://, http:// and https://");
        };
        if rest.contains('#') {
            return wrong("has a fragment: nobody is sent what follows '#'");
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if authority.contains('@') {
            return wrong("has a user in it: send a header `Authorization` in its place");
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(bracketed) => {
                let Some((host, port)) = bracketed.split_once(']') else {
                    return wrong("lacks the ']' behind its address");
                };
                if host.parse::<Ipv6Addr>().is_err() {
                    return wrong("has no IPv6 address between its brackets");
                }
                (host, port)
            }
            None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
        };
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        if host.is_empty() {
            return wrong("names no host");
        }
        if !authority.starts_with('[') && !host.bytes().all(is_name) {
            return wrong("has a host that is neither a name in ASCII nor an address");
        }
        let default = default_port(scheme);
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => Some(default),
            // RFC 3986 section 3.2.3: it may be empty.
            Some("") => Some(default),
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok().filter(|port| *port != 0)
            }
            _ => None,
        };
        let Some(port) = port else {
            return wrong("has no port from 1 to 65535 behind its host");
        };
        let target = utf8_percent_encode(target, ENCODED).to_string();
        Ok(Self {
            scheme,
            host: host.to_owned(),
            port,
            target: match target.as_str() {
                path if path.starts_with('/') => target,
                query => format!("/{query}"),
            },
        })
    }

    /// Whether TLS is spoken.
    pub(crate) fn is_secure(&self) -> bool {
        matches!(self.scheme, "wss" | "https")
    }

    /// A name or an address, without brackets.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Path and query.
    pub(crate) fn target(&self) -> &str {
        &self.target
    }

    /// What `Host` says: the port is left away where it is the scheme's own (RFC 9110 section 7.2).
    pub(crate) fn authority(&self) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        if self.port == default_port(self.scheme) {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = self.authority();
        write!(formatter, "{}://{authority}{}", self.scheme, self.target)
    }
}

fn default_port(scheme: &str) -> u16 {
    match scheme {
        "wss" | "https" => 443,
        _ => 80,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        for (text, host, port, target, authority) in [
            (
                "ws://127.0.0.1:1337/echo",
                "127.0.0.1",
                1337,
                "/echo",
                "127.0.0.1:1337",
            ),
            ("ws://example.com", "example.com", 80, "/", "example.com"),
            ("WSS://example.com", "example.com", 443, "/", "example.com"),
            (
                "http://example.com:80/",
                "example.com",
                80,
                "/",
                "example.com",
            ),
            (
                "https://a_b-c.d:80/x?y=z",
                "a_b-c.d",
                80,
                "/x?y=z",
                "a_b-c.d:80",
            ),
            ("ws://[::1]:1337/a", "::1", 1337, "/a", "[::1]:1337"),
            ("ws://[::1]", "::1", 80, "/", "[::1]"),
            ("ws://h?q", "h", 80, "/?q", "h"),
            ("ws://h:/a", "h", 80, "/a", "h"),
            ("ws://h/a b/ü%20[]", "h", 80, "/a%20b/%C3%BC%20[]", "h"),
            ("ws://h/a:b@c?d=http://e", "h", 80, "/a:b@c?d=http://e", "h"),
        ] {
            let url = Url::parse(text).expect(text);
            assert_eq!(url.host(), host, "{text}");
            assert_eq!(url.port(), port, "{text}");
            assert_eq!(url.target(), target, "{text}");
            assert_eq!(url.authority(), authority, "{text}");
            let again = Url::parse(&url.to_string());
            assert_eq!(again, Ok(url), "{text}");
        }
        let is_secure = |text: &str| Url::parse(text).expect(text).is_secure();
        assert!(is_secure("wss://a") && is_secure("https://a"));
        assert!(!is_secure("ws://a") && !is_secure("http://a"));
    }

    #[test]
    fn what_is_no_url_is_told_why() {
        for (text, word) in [
            ("", "write ws://"),
            ("localhost:1337", "write ws://"),
            ("ftp://a/", "none of ws://"),
            ("ws:///a", "no host"),
            ("ws://:80/", "no host"),
            ("ws://a:0/", "port"),
            ("ws://a:65536/", "port"),
            ("ws://a:+1/", "port"),
            ("ws://a:x/", "port"),
            ("ws://[::1]80/", "port"),
            ("ws://[::1", "']'"),
            ("ws://[127.0.0.1]/", "IPv6"),
            ("ws://::1/", "no host"),
            ("ws://ü/", "ASCII"),
            ("ws://a b/", "ASCII"),
            ("ws://me:secret@a/", "Authorization"),
            ("ws://a/#b", "fragment"),
        ] {
            let problem = Url::parse(text).expect_err(text);
            assert!(problem.contains(word), "{text}: {problem}");
        }
    }
}
