//! What [`Host::listen`](super::Host::listen) takes: a text to addresses, and how to listen there.

use crate::http::{Address, UnixAddress};
use std::io::{self, ErrorKind};
use std::net::ToSocketAddrs;

/// How an address is listened on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    /// Of a Unix socket's file.
    pub(super) mode: Option<u32>,
    /// Each connection begins with a PROXY header.
    pub(super) proxy_protocol: bool,
    /// Whether TLS is spoken; `None`: as the host or others there have it.
    pub(super) tls: Option<bool>,
}

impl Options {
    /// The options of two who listen at the same address, where what only one says counts for both.
    ///
    /// # Errors
    ///
    /// In what they differ.
    pub(super) fn and(self, other: Self) -> Result<Self, &'static str> {
        let (mode, tls) = (self.mode.or(other.mode), self.tls.or(other.tls));
        if mode != other.mode.or(self.mode) {
            return Err("it is listened on with another mode before");
        }
        if tls != other.tls.or(self.tls) {
            return Err("it is listened on both with TLS and without");
        }
        Ok(Self {
            mode,
            proxy_protocol: self.proxy_protocol || other.proxy_protocol,
            tls,
        })
    }
}

/// What an address at which TLS is spoken may begin with, and one at which it is not.
const SCHEMES: [(&str, bool); 2] = [("https://", true), ("http://", false)];

/// The addresses that `text` means: each one that a name has, or a Unix socket.
///
/// # Errors
///
/// It is no address, a name without any, or an option that is not known.
pub(super) fn resolve(text: &str) -> io::Result<(Vec<Address>, Options)> {
    let (place, options) = text.rsplit_once('?').unwrap_or((text, ""));
    let schemes = SCHEMES.iter();
    let mut known = schemes.filter_map(|(scheme, tls)| Some((place.strip_prefix(scheme)?, *tls)));
    let (place, tls) = match known.next() {
        Some((place, tls)) => (place, Some(tls)),
        None => (place, None),
    };
    let Some(name) = place.strip_prefix("unix:") else {
        let addresses = place.to_socket_addrs()?.map(Address::from).collect();
        return Ok((addresses, parse_options(options, false, tls)?));
    };
    let address = match name.strip_prefix('@') {
        Some("") => return Err(invalid("an abstract Unix socket needs a name behind the @")),
        Some(name) => UnixAddress::new(&[&[0], name.as_bytes()].concat()),
        None if name.contains('\0') => return Err(invalid("a path has no NUL in it")),
        None => UnixAddress::new(name.as_bytes()),
    };
    let has_file = address.path().is_some();
    let options = parse_options(options, has_file, tls)?;
    Ok((vec![address.into()], options))
}

fn parse_options(text: &str, has_file: bool, tls: Option<bool>) -> io::Result<Options> {
    let mut options = Options {
        tls,
        ..Options::default()
    };
    for option in text.split('&').filter(|option| !option.is_empty()) {
        match option.split_once('=').unwrap_or((option, "")) {
            ("mode", mode) if has_file => {
                let mode = u32::from_str_radix(mode, 8).ok();
                let mode = mode.filter(|mode| *mode <= 0o777);
                options.mode =
                    Some(mode.ok_or_else(|| {
                        invalid("mode takes three octal digits, as in ?mode=660")
                    })?);
            }
            ("proxy-protocol", "") => options.proxy_protocol = true,
            ("mode", _) => return Err(invalid("only the file of a Unix socket has a mode")),
            _ => return Err(invalid(&format!("'{option}' is no option of an address"))),
        }
    }
    Ok(options)
}

fn invalid(reason: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(text: &str) -> Option<(Vec<String>, Options)> {
        let (addresses, options) = resolve(text).ok()?;
        Some((addresses.iter().map(Address::to_string).collect(), options))
    }

    #[test]
    fn a_text_is_an_ip_address_with_a_port_or_a_unix_socket() {
        for text in [
            "127.0.0.1:80",
            "[::1]:0",
            "unix:/run/a.sock",
            "unix:a",
            "unix:@name",
        ] {
            let plain = Options::default();
            assert_eq!(resolved(text), Some((vec![text.to_owned()], plain)));
        }
        for text in [
            "",
            "127.0.0.1",
            "/run/a.sock",
            "unix:@",
            "unix:/a\0b",
            "127.0.0.1:80?mode=660",
            "unix:@name?mode=660",
            "unix:/a?mode=8",
            "unix:/a?mode=1777",
            "unix:/a?mode",
            "unix:/a?b=c",
            "127.0.0.1:80?proxy-protocol=no",
            "127.0.0.1:80?proxy",
        ] {
            assert_eq!(resolved(text), None, "{text}");
        }
    }

    #[test]
    fn a_scheme_in_front_says_whether_tls_is_spoken() {
        for (text, address, tls) in [
            ("https://127.0.0.1:1", "127.0.0.1:1", Some(true)),
            ("http://[::1]:1", "[::1]:1", Some(false)),
            ("https://unix:/a", "unix:/a", Some(true)),
            ("[::1]:1", "[::1]:1", None),
        ] {
            let (addresses, options) = resolved(text).expect("an address");
            assert_eq!((addresses, options.tls), (vec![address.to_owned()], tls));
        }
        for text in [
            "ftp://127.0.0.1:1",
            "https://",
            "https://http://127.0.0.1:1",
        ] {
            assert_eq!(resolved(text), None, "{text}");
        }
    }

    #[test]
    fn who_listens_at_one_address_agrees_on_how() {
        let plain = Options::default();
        let tls = Options {
            tls: Some(true),
            ..plain
        };
        let none = Options {
            tls: Some(false),
            ..plain
        };
        assert_eq!(plain.and(tls), Ok(tls));
        assert_eq!(tls.and(plain), Ok(tls));
        assert!(tls.and(none).is_err() && none.and(tls).is_err());
        let mode = Options {
            mode: Some(0o600),
            ..plain
        };
        assert!(
            mode.and(Options {
                mode: Some(0o660),
                ..plain
            })
            .is_err()
        );
    }

    #[test]
    fn options_stand_behind_the_last_question_mark() {
        for (text, address, mode, proxy_protocol) in [
            ("unix:/a?mode=660", "unix:/a", Some(0o660), false),
            ("unix:/a?b?mode=7", "unix:/a?b", Some(0o7), false),
            ("unix:/a?b?", "unix:/a?b", None, false),
            ("unix:/a?proxy-protocol&mode=0", "unix:/a", Some(0), true),
            ("[::1]:80?proxy-protocol", "[::1]:80", None, true),
        ] {
            let options = Options {
                mode,
                proxy_protocol,
                tls: None,
            };
            assert_eq!(resolved(text), Some((vec![address.to_owned()], options)));
        }
    }
}
