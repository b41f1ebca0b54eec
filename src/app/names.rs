//! Which of the hosts of one listener a request is for, by the name it asks (RFC 9110 section 7.2).
//!
//! Made where several hosts listen on the same address; where one does, nothing is looked up.

use crate::http::target;
use std::collections::HashMap;
use std::net::Ipv6Addr;

/// The hosts of one listener by their names.
#[derive(Debug)]
pub(crate) struct Names {
    /// By name in lower case without a trailing dot; what stands for `*.example.com` begins with the
    /// dot.
    hosts: HashMap<Box<str>, Vec<Named>>,
    /// Who answers to any other name.
    default: u16,
}

/// A host that has a name, for all ports that a request may ask or for one.
#[derive(Debug)]
struct Named {
    port: Option<u16>,
    host: u16,
    /// The name as it was given.
    text: String,
}

/// Why the names of hosts tell no two of them apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NameError {
    /// It is no name.
    Invalid(String),
    /// Two hosts have the same, which they may write in two ways.
    Twice(String, String),
    /// Two hosts have none.
    Nameless,
}

/// Longest name that is looked up, in bytes: DNS knows no longer one.
const MAX_NAME_BYTES: usize = 255;

impl Names {
    /// The table of `hosts`, each with its names, in the order in which they were added.
    ///
    /// # Errors
    ///
    /// See [`NameError`].
    pub(crate) fn new(hosts: &[(u16, &[String])]) -> Result<Self, NameError> {
        let mut table: HashMap<Box<str>, Vec<Named>> = HashMap::new();
        for (host, names) in hosts {
            for text in *names {
                let parsed = parse(text).ok_or_else(|| NameError::Invalid(text.clone()))?;
                let (name, port) = parsed;
                let named = table.entry(name.into()).or_default();
                match named.iter().find(|other| other.port == port) {
                    Some(same) if same.host == *host => {}
                    Some(same) => return Err(NameError::Twice(same.text.clone(), text.clone())),
                    None => named.push(Named {
                        port,
                        host: *host,
                        text: text.clone(),
                    }),
                }
            }
        }
        let mut nameless = hosts.iter().filter(|(_, names)| names.is_empty());
        let default = nameless.next().or(hosts.first());
        if nameless.next().is_some() {
            return Err(NameError::Nameless);
        }
        Ok(Self {
            hosts: table,
            default: default.map_or(0, |(host, _)| *host),
        })
    }

    /// The host that `authority` is a name of: exactly, or else below the longest `*.name`; of two
    /// with the same name the one with that port. Without a port, it is `default_port`.
    pub(crate) fn choose(&self, authority: Option<&str>, default_port: u16) -> u16 {
        let found = authority.and_then(|authority| {
            let (name, port) = target::split_authority(authority);
            let mut buffer = [0; MAX_NAME_BYTES];
            let name = lower_case(name, &mut buffer)?;
            let port = port.unwrap_or(default_port);
            match canonical_ip(name) {
                Some(ip) => self.find(&ip, port),
                None => self.find(name, port),
            }
        });
        found.unwrap_or(self.default)
    }

    fn find(&self, name: &str, port: u16) -> Option<u16> {
        let dots = name.match_indices('.').map(|(dot, _)| &name[dot..]);
        std::iter::once(name).chain(dots).find_map(|name| {
            let named = self.hosts.get(name)?;
            let of_port = named.iter().find(|named| named.port == Some(port));
            let of_any = || named.iter().find(|named| named.port.is_none());
            of_port.or_else(of_any).map(|named| named.host)
        })
    }
}

/// An IPv6 address in the one spelling in which it is looked up.
fn canonical_ip(name: &str) -> Option<String> {
    let ip = name.strip_prefix('[')?.strip_suffix(']')?;
    ip.parse::<Ipv6Addr>().ok().map(|ip| format!("[{ip}]"))
}

/// `name` in lower case and without a trailing dot, as far as `buffer` holds it.
fn lower_case<'b>(name: &str, buffer: &'b mut [u8]) -> Option<&'b str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let lower = buffer.get_mut(..name.len())?;
    lower.copy_from_slice(name.as_bytes());
    lower.make_ascii_lowercase();
    std::str::from_utf8(lower).ok()
}

/// A name as it was given: `example.com`, `*.example.com`, either with a port; as it is looked up.
fn parse(text: &str) -> Option<(String, Option<u16>)> {
    let (dot, rest) = match text.strip_prefix("*.") {
        Some(rest) => (".", rest),
        None => ("", text),
    };
    if rest.contains('*') || rest.ends_with(':') || !target::is_authority(rest.as_bytes()) {
        return None;
    }
    let (name, port) = target::split_authority(rest);
    let mut buffer = [0; MAX_NAME_BYTES];
    let name = lower_case(name, &mut buffer)?;
    let ip = canonical_ip(name);
    let name = ip.as_deref().unwrap_or(name);
    // As a name, ".example.com" would be a pattern, and "a..b" is none in DNS either.
    if name.split('.').any(str::is_empty) {
        return None;
    }
    Some((format!("{dot}{name}"), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(hosts: &[&[&str]]) -> Result<Names, NameError> {
        let owned: Vec<Vec<String>> = hosts
            .iter()
            .map(|names| names.iter().map(ToString::to_string).collect())
            .collect();
        let hosts: Vec<_> = (0..).zip(owned.iter().map(Vec::as_slice)).collect();
        Names::new(&hosts)
    }

    #[test]
    fn a_request_is_for_the_host_with_its_name_and_else_for_the_one_without() {
        let names = names(&[
            &["example.com", "www.example.com"],
            &["*.example.com"],
            &[],
            &["*.deep.example.com", "EXAMPLE.org.", "[::1]", "127.0.0.1"],
            &["example.com:8080", "*.example.com:8443"],
            &["plain.example:80", "tls.example:443"],
        ])
        .expect("no two are the same");
        for (authority, host) in [
            ("example.com", 0),
            ("[0:0:0:0:0:0:0:1]", 3),
            ("[::1]:80", 3),
            ("[::2]", 2),
            ("EXAMPLE.com", 0),
            ("example.com.", 0),
            ("example.com:80", 0),
            ("example.com.:1", 0),
            ("example.com:8080", 4),
            ("www.example.com", 0),
            ("www.example.com:8443", 0),
            ("a.example.com", 1),
            ("a.b.example.com:9", 1),
            ("a.example.com:8443", 4),
            ("a.deep.example.com", 3),
            ("a.deep.example.com:8443", 3),
            ("deep.example.com", 1),
            ("example.org", 3),
            ("www.example.org", 2),
            ("[::1]:80", 3),
            ("[::2]", 2),
            ("127.0.0.1:1337", 3),
            ("notexample.com", 2),
            (".example.com", 1),
            ("com", 2),
            ("plain.example", 5),
            ("plain.example:", 5),
            ("plain.example:81", 2),
            ("tls.example", 2),
        ] {
            assert_eq!(names.choose(Some(authority), 80), host, "{authority}");
        }
        assert_eq!(names.choose(Some("tls.example"), 443), 5);
        assert_eq!(names.choose(None, 80), 2);
        let long = format!("{}.example.com", "a.".repeat(200));
        assert_eq!(names.choose(Some(&long), 80), 2);
    }

    #[test]
    fn where_all_hosts_have_names_the_first_takes_the_others() {
        let names = names(&[&["a"], &["b"]]).expect("two names");
        assert_eq!(names.choose(Some("c"), 80), 0);
        assert_eq!(names.choose(Some("b"), 80), 1);
    }

    #[test]
    fn names_that_tell_no_two_hosts_apart_are_errors() {
        let error = |hosts: &[&[&str]]| names(hosts).err();
        let twice = |a: &str, b: &str| Some(NameError::Twice(a.to_owned(), b.to_owned()));
        assert_eq!(error(&[&["x", "a.b"], &["A.B."]]), twice("a.b", "A.B."));
        assert_eq!(error(&[&["*.a"], &[], &["*.A"]]), twice("*.a", "*.A"));
        assert_eq!(error(&[&["a:80"], &["a:080"]]), twice("a:80", "a:080"));
        assert_eq!(
            error(&[&["[::1]"], &["[0:0::1]"]]),
            twice("[::1]", "[0:0::1]")
        );
        assert_eq!(error(&[&["a"], &["a:80"], &["*.a"], &[]]), None);
        assert_eq!(error(&[&["a", "A"], &["b"]]), None, "of one host");
        assert_eq!(error(&[&[], &["a"], &[]]), Some(NameError::Nameless));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in [
            "",
            "*",
            "*.",
            "**.a",
            "a.*.b",
            "a*",
            ".a",
            "a..b",
            "a b",
            "a/b",
            "http://a",
            "a:",
            "a:x",
            "b\u{fc}cher.example",
        ] {
            let expected = NameError::Invalid(text.to_owned());
            assert_eq!(names(&[&[text]]).err(), Some(expected), "{text:?}");
        }
    }
}
