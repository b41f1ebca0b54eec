//! Where one end of a connection is: an IP address with a port, or a Unix socket.

use crate::printable::Printable;
use std::ffi::OsStr;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

/// Where one end of a connection is.
///
/// It is written as [`Host::listen`](crate::Host::listen) takes it: `127.0.0.1:80`, `[::1]:80`,
/// `unix:/run/aerys.sock`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// An IP address and a port. Port 0: the port is not known, as of most clients behind a proxy.
    Ip(SocketAddr),
    /// A Unix socket.
    Unix(UnixAddress),
}

/// The name of a Unix socket, which its clients usually do not have.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct UnixAddress {
    /// As the system has it: a path, or NUL and an abstract name.
    name: Option<Arc<[u8]>>,
}

impl Address {
    /// The IP address and port; `None` of a Unix socket.
    #[must_use]
    pub const fn socket_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// The IP address; `None` of a Unix socket.
    #[must_use]
    pub const fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(address) => Some(address.ip()),
            Self::Unix(_) => None,
        }
    }
}

impl UnixAddress {
    /// A socket without a name.
    pub(crate) const UNNAMED: Self = Self { name: None };

    /// The socket of that name, as the system has it: a path, or NUL and an abstract name.
    pub(crate) fn new(name: &[u8]) -> Self {
        match name {
            [] => Self::UNNAMED,
            name => Self {
                name: Some(name.into()),
            },
        }
    }

    /// Where it lies in the file system, if it does.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        let name = self.name.as_deref()?;
        (name.first() != Some(&0)).then(|| Path::new(OsStr::from_bytes(name)))
    }

    /// Its name in Linux' abstract namespace, if it has one.
    #[must_use]
    pub fn abstract_name(&self) -> Option<&[u8]> {
        self.name.as_deref()?.strip_prefix(&[0])
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

impl From<UnixAddress> for Address {
    fn from(address: UnixAddress) -> Self {
        Self::Unix(address)
    }
}

impl PartialEq<SocketAddr> for Address {
    fn eq(&self, other: &SocketAddr) -> bool {
        self.socket_addr() == Some(*other)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(address) => address.fmt(f),
        }
    }
}

/// As [`Display`](fmt::Display).
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for UnixAddress {
    /// What is no text, or cannot be printed, is written with escapes: a peer may have chosen it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unix:")?;
        let (mark, name) = match self.abstract_name() {
            Some(name) => ("@", name),
            None => ("", self.name.as_deref().unwrap_or_default()),
        };
        f.write_str(mark)?;
        match std::str::from_utf8(name) {
            Ok(text) => Printable(text).fmt(f),
            Err(_) => name.escape_ascii().fmt(f),
        }
    }
}

/// As [`Display`](fmt::Display).
impl fmt::Debug for UnixAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_it_is_listened_on() {
        let unix = |name: &[u8]| Address::from(UnixAddress::new(name));
        let ip = |text: &str| Address::from(text.parse::<SocketAddr>().expect("an address"));
        for (address, text) in [
            (ip("127.0.0.1:80"), "127.0.0.1:80"),
            (ip("[::1]:80"), "[::1]:80"),
            (unix(b"/run/a\xc3\xa4.sock"), "unix:/run/a\u{e4}.sock"),
            (unix(b"\0name"), "unix:@name"),
            (unix(b"/a\n\xff"), "unix:/a\\n\\xff"),
            (unix("\0a\n\u{202e}".as_bytes()), "unix:@a\\n\\u{202e}"),
            (unix(b""), "unix:"),
        ] {
            assert_eq!(address.to_string(), text);
            assert_eq!(format!("{address:?}"), text);
        }
    }

    #[test]
    fn a_unix_socket_has_a_path_or_an_abstract_name_or_neither() {
        let of = |name: &[u8]| {
            let address = UnixAddress::new(name);
            let path = address.path().map(Path::to_owned);
            (path, address.abstract_name().map(<[u8]>::to_vec))
        };
        assert_eq!(of(b"/a"), (Some("/a".into()), None));
        assert_eq!(of(b"\0a"), (None, Some(b"a".to_vec())));
        assert_eq!(of(b""), (None, None));
    }

    #[test]
    fn an_address_takes_no_more_than_one_of_ip() {
        assert_eq!(size_of::<Address>(), size_of::<SocketAddr>());
    }
}
