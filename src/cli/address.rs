//! Addresses to listen on, in one spelling: which are one, and which exclude each other.
//!
//! What `Host::listen` takes. Only the form is judged, and what else can be told without listening.

use crate::cli::forms::is_domain;
use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Component, Path, PathBuf};

/// What the address of a Unix socket begins with. Its path follows, or its name behind an `@`.
const UNIX: &str = "unix:";

/// What stands for the sockets that systemd passes. The name of some of them follows, behind a colon.
const SYSTEMD: &str = "systemd";

/// Longest name of a Unix socket, in bytes: what the system has room for, less a zero.
const MAX_UNIX_NAME_BYTES: usize = 107;

/// Where to listen, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListenAddress {
    pub(crate) place: Place,
    /// Of a socket's file.
    pub(crate) mode: Option<u32>,
    proxy_protocol: bool,
    /// Whether TLS is spoken; `None`: if its host has certificates.
    pub(crate) tls: Option<bool>,
}

/// What an address at which TLS is spoken may begin with, and one at which it is not.
const HTTPS: &str = "https://";
const HTTP: &str = "http://";

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Place {
    Ip(SocketAddr),
    /// The name of a machine in lower case, and a port.
    Name(String, u16),
    /// What stands behind `unix:`, a path without needless parts.
    Unix(String),
    /// Sockets that were passed: those of that name, or all.
    Systemd(Option<String>),
}

impl ListenAddress {
    /// Understands `HOST:PORT`, `unix:PATH` or `systemd`, and options behind a question mark.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        // As the library does: a path may have a question mark too.
        let (place, options) = text.rsplit_once('?').unwrap_or((text, ""));
        let (place, tls) = match (place.strip_prefix(HTTPS), place.strip_prefix(HTTP)) {
            (Some(place), _) => (place, Some(true)),
            (_, Some(place)) => (place, Some(false)),
            (None, None) => (place, None),
        };
        let place = if let Some(name) = place.strip_prefix(UNIX) {
            unix_place(name)?
        } else if let Some(name) = place.strip_prefix(SYSTEMD).and_then(systemd_name) {
            Place::Systemd(name?)
        } else {
            ip_place(place).ok_or_else(|| {
                format!(
                    "'{place}' is no address: write HOST:PORT, as 127.0.0.1:1337, [::1]:80 or \
                     localhost:8080, or unix:PATH"
                )
            })?
        };
        let mut address = Self {
            place,
            mode: None,
            proxy_protocol: false,
            tls,
        };
        for option in options.split('&').filter(|option| !option.is_empty()) {
            address.set_option(option)?;
        }
        Ok(address)
    }

    fn set_option(&mut self, option: &str) -> Result<(), String> {
        let has_file = self.place.path().is_some();
        let is_mode = |mode: &str| {
            matches!(mode.len(), 1..=3) && mode.bytes().all(|digit| matches!(digit, b'0'..=b'7'))
        };
        match option.split_once('=') {
            None if option == "proxy-protocol" => self.proxy_protocol = true,
            Some(("mode", mode)) if has_file && is_mode(mode) => {
                self.mode = u32::from_str_radix(mode, 8).ok();
            }
            _ => {
                return Err(format!(
                    "'?{option}' is no option: there are ?proxy-protocol, and for the file of a \
                     socket its mode in octal digits, ?mode=660"
                ));
            }
        }
        Ok(())
    }

    /// The same somewhere else.
    pub(crate) fn at(self, place: Place) -> Self {
        Self { place, ..self }
    }

    /// The same without TLS.
    pub(crate) fn plain(self) -> Self {
        Self {
            tls: Some(false),
            ..self
        }
    }

    /// The same as a file in the folder `base` says it: the path of a socket is relative to that, and
    /// the socket's folder is there.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(crate) fn below(self, base: &Path) -> Result<Self, String> {
        let Some(path) = self.place.path() else {
            return Ok(self);
        };
        let path = base.join(path);
        let Some(text) = path.to_str() else {
            return Err("the folder of this file is not UTF-8: write the whole path".to_owned());
        };
        let place = unix_place(text)?;
        let folder = path.parent().filter(|folder| *folder != Path::new(""));
        if !fs::metadata(folder.unwrap_or(Path::new("."))).is_ok_and(|found| found.is_dir()) {
            return Err(format!("there is no folder for {place}"));
        }
        Ok(Self { place, ..self })
    }
}

/// As the library reads it.
impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.place.to_string();
        f.write_str(match self.tls {
            Some(true) => HTTPS,
            Some(false) => HTTP,
            None => "",
        })?;
        f.write_str(&place)?;
        let mode = self.mode.map(|mode| format!("mode={mode:o}"));
        let proxy = self.proxy_protocol.then(|| "proxy-protocol".to_owned());
        let options: Vec<String> = mode.into_iter().chain(proxy).collect();
        // The last question mark is the one before the options, even if there are none.
        if !options.is_empty() || place.contains('?') {
            write!(f, "?{}", options.join("&"))?;
        }
        Ok(())
    }
}

impl Place {
    /// Whether each who listens there gets a port of its own.
    pub(crate) const fn is_free_port(&self) -> bool {
        match self {
            Self::Ip(address) => address.port() == 0,
            Self::Name(_, port) => *port == 0,
            Self::Unix(_) | Self::Systemd(_) => false,
        }
    }

    /// Who takes its port on all addresses of its kind, if it is one of them: nobody listens beside
    /// that.
    pub(crate) fn all_with_its_port(&self) -> Option<Self> {
        let Self::Ip(address) = self else {
            return None;
        };
        let all = match address.ip() {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let is_one = address.ip() != all && address.port() != 0;
        is_one.then(|| Self::Ip(SocketAddr::new(all, address.port())))
    }

    /// The path of a socket that has one.
    fn path(&self) -> Option<&str> {
        match self {
            Self::Unix(name) if !name.starts_with('@') => Some(name),
            _ => None,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Name(name, port) => write!(f, "{name}:{port}"),
            Self::Unix(name) => write!(f, "{UNIX}{name}"),
            Self::Systemd(None) => f.write_str(SYSTEMD),
            Self::Systemd(Some(name)) => write!(f, "{SYSTEMD}:{name}"),
        }
    }
}

/// A port in digits: a number may have a sign too.
pub(crate) fn port(text: &str) -> Option<u16> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

fn ip_place(text: &str) -> Option<Place> {
    let (host, digits) = text.rsplit_once(':')?;
    let port = port(digits)?;
    if let Ok(address) = text.parse::<SocketAddr>() {
        // A listener of IPv6 takes no IPv4: one of ::ffff:127.0.0.1 takes nobody.
        let is_mapped = address.ip().to_canonical() != address.ip();
        return (!is_mapped).then_some(Place::Ip(address));
    }
    // What ends in a number would be an address in a short form that few know: 127.1.
    let name = host.strip_suffix('.').unwrap_or(host);
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_name = is_domain(name) && !last.bytes().all(|byte| byte.is_ascii_digit());
    is_name.then(|| Place::Name(host.to_ascii_lowercase(), port))
}

/// What stands behind `systemd`: nothing, or a colon and a name as systemd takes it, which may be a
/// number too. `None`: it is the begin of another word.
fn systemd_name(rest: &str) -> Option<Result<Option<String>, String>> {
    let Some(name) = rest.strip_prefix(':') else {
        return rest.is_empty().then_some(Ok(None));
    };
    let is_name = matches!(name.len(), 1..=255)
        && name
            .bytes()
            .all(|byte| matches!(byte, b' '..=b'~') && byte != b':');
    Some(if is_name {
        Ok(Some(name.to_owned()))
    } else {
        Err(format!(
            "'{name}' is no name of a socket: write systemd:NAME as FileDescriptorName= has it"
        ))
    })
}

/// What stands behind `unix:`.
fn unix_place(name: &str) -> Result<Place, String> {
    if matches!(name, "" | "@") || name.contains('\0') {
        return Err("write unix:PATH, as unix:/run/aerys.sock".into());
    }
    let name = if name.starts_with('@') {
        name.to_owned()
    } else {
        plain_path(name)?
    };
    if name.len() > MAX_UNIX_NAME_BYTES {
        return Err(format!(
            "'{name}' is longer than the {MAX_UNIX_NAME_BYTES} bytes that a socket's name may have"
        ));
    }
    Ok(Place::Unix(name))
}

/// The path without `.` and empty parts: `./a` and `a` are one.
fn plain_path(text: &str) -> Result<String, String> {
    let parts = Path::new(text).components();
    let path: PathBuf = parts.filter(|part| *part != Component::CurDir).collect();
    let is_folder = text.ends_with('/') || text.ends_with("/.") || path.file_name().is_none();
    if is_folder {
        return Err(format!("'{text}' is a folder, a socket is a file"));
    }
    Ok(path.to_str().unwrap_or(text).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelt(text: &str) -> Result<String, String> {
        ListenAddress::parse(text).map(|address| address.to_string())
    }

    #[test]
    fn an_address_has_a_host_and_a_port_or_is_a_path() {
        let longest = format!("unix:/{}", "a".repeat(106));
        for text in [
            "127.0.0.1:0",
            "[::1]:80",
            "[fe80::1%2]:80",
            "localhost:8080",
            "foo_bar:1",
            "foo.:1",
            "unix:/run/a.sock",
            "unix:a",
            "unix:@name",
            "unix:/run/a.sock?mode=660",
            "unix:a?mode=60&proxy-protocol",
            "unix:a?b?",
            "https://127.0.0.1:443",
            "http://a:80",
            "https://unix:/run/a.sock?mode=660",
            "systemd",
            "systemd:web",
            "systemd:80",
            "https://systemd:aerys.socket?proxy-protocol",
            "systemd.example:80",
            &longest,
        ] {
            assert_eq!(spelt(text).as_deref(), Ok(text));
        }
        for text in [
            "1337",
            ":1337",
            "localhost",
            "localhost:http",
            "localhost:+9",
            "127.0.0.1:+9",
            "127.1:9",
            "[::ffff:127.0.0.1]:9",
            "256.0.0.1:9",
            "a:65536",
            "a:",
            "::1:80",
            "[zz]:0",
            "[1]:1",
            "[::1:80",
            "foo_bar..:1",
            "-:1",
            "a b:1",
            "*.a:1",
            "http://",
            "https://http://a:80",
            "http://a:80/",
            "ws://a:80",
            "127.0.0.1:80?mode=660",
            "systemd:",
            "systemd:a:b",
            "systemd:\u{e4}",
            "systemd?mode=660",
            "Systemd",
            "unix:",
            "unix:@",
            "unix:.",
            "unix:a/",
            "unix:a/.",
            "unix:a/..",
            "unix:/",
            "unix:/a?mode=8",
            "unix:/a?mode=",
            "unix:/a?mode=1777",
            "unix:@a?mode=660",
            "unix:/a?b=c",
            "a:1?proxy",
            &format!("{longest}a"),
            "",
        ] {
            assert!(spelt(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_has_one_spelling() {
        for (text, same) in [
            ("[::0]:80", "[::]:80"),
            ("LocalHost:1", "localhost:1"),
            ("localhost:09", "localhost:9"),
            ("127.0.0.1:009", "127.0.0.1:9"),
            ("unix:./a//b/./c", "unix:a/b/c"),
            ("unix:/./a", "unix:/a"),
            ("unix:a?mode=007", "unix:a?mode=7"),
            (
                "unix:a?proxy-protocol&mode=7",
                "unix:a?mode=7&proxy-protocol",
            ),
            ("a:1?", "a:1"),
        ] {
            assert_eq!(spelt(text).as_deref(), Ok(same));
        }
    }

    #[test]
    fn a_socket_below_the_folder_of_the_file_is_found_there() {
        let folder = std::env::temp_dir();
        let folder = folder.to_str().expect("UTF-8");
        let below = |text: &str| {
            let address = ListenAddress::parse(text).and_then(|found| found.below(folder.as_ref()));
            address.map(|address| address.to_string())
        };
        assert_eq!(
            below("unix:./a?mode=7"),
            Ok(format!("unix:{folder}/a?mode=7"))
        );
        for elsewhere in ["127.0.0.1:80", "unix:@name", "unix:/a.sock"] {
            assert_eq!(below(elsewhere).as_deref(), Ok(elsewhere));
        }
        let missing = below("unix:no/such/a").expect_err("no folder");
        assert_eq!(
            missing,
            format!("there is no folder for unix:{folder}/no/such/a")
        );
    }

    #[test]
    fn all_addresses_exclude_one_with_their_port() {
        let all = |text: &str| {
            let all = ListenAddress::parse(text)
                .expect(text)
                .place
                .all_with_its_port();
            all.map(|all| all.to_string())
        };
        assert_eq!(all("127.0.0.1:8").as_deref(), Some("0.0.0.0:8"));
        assert_eq!(all("[::1]:8").as_deref(), Some("[::]:8"));
        for text in [
            "0.0.0.0:8",
            "[::]:8",
            "127.0.0.1:0",
            "localhost:8",
            "unix:a",
        ] {
            assert_eq!(all(text), None, "{text}");
        }
    }
}
