//! What proxies say of the client behind them: `Forwarded` (RFC 7239), `X-Forwarded-*`.
//!
//! Each proxy adds to the end of a list, and what stands before may come from anybody. So the list is
//! walked from its end, and no farther than to the first address that is no trusted proxy's. Pure
//! functions; whether the peer itself is trusted was asked before.

use super::target::is_authority;
use super::{Address, Headers};
use crate::trust::{ForwardedField, TrustedProxy, is_trusted};
use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

/// What is known by proxies of the client of a request. `None`: nothing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Forwarded {
    /// Where the client is; port 0 if that is not known.
    pub(crate) client: Option<Address>,
    /// Whether its connection is encrypted.
    pub(crate) is_encrypted: Option<bool>,
    /// Whom it asked for, with port if it gave one.
    pub(crate) host: Option<String>,
}

/// What the fields of a request from a trusted peer say.
pub(crate) fn read(
    headers: &Headers,
    field: ForwardedField,
    trusted: &[TrustedProxy],
) -> Forwarded {
    match field {
        ForwardedField::XForwarded => read_x_forwarded(headers, trusted),
        ForwardedField::Forwarded => read_forwarded(headers, trusted),
    }
}

fn read_x_forwarded(headers: &Headers, trusted: &[TrustedProxy]) -> Forwarded {
    let mut forwarded = Forwarded::default();
    let mut place = 0;
    for (index, entry) in from_the_end(headers, "X-Forwarded-For").enumerate() {
        // Whatever stands here, a trusted proxy wrote it.
        place = index;
        if !forwarded.reach(entry, trusted) {
            break;
        }
    }
    // The entry that the same proxy wrote, where each adds one; where each replaces what it got,
    // there is but one.
    let of_that_proxy = |name| from_the_end(headers, name).take(place + 1).last();
    forwarded.learn(
        of_that_proxy("X-Forwarded-Proto"),
        of_that_proxy("X-Forwarded-Host"),
    );
    forwarded
}

/// The entries of a list, the last one first; several lines are one list (RFC 9110 section 5.3), and
/// empty entries are none (section 5.6.1).
fn from_the_end<'h>(headers: &'h Headers, name: &'h str) -> impl Iterator<Item = &'h str> {
    lines_from_the_end(headers, name)
        .into_iter()
        .flat_map(|line| line.rsplit(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|entry| !entry.is_empty())
        // What is no text is no word that anybody looks for either.
        .map(|entry| std::str::from_utf8(entry).unwrap_or("\u{fffd}"))
}

/// The lines of a field, the last one first.
fn lines_from_the_end<'h>(headers: &'h Headers, name: &'h str) -> Vec<&'h [u8]> {
    let mut lines: Vec<_> = headers.get_all(name).collect();
    lines.reverse();
    lines
}

fn read_forwarded(headers: &Headers, trusted: &[TrustedProxy]) -> Forwarded {
    let mut forwarded = Forwarded::default();
    for line in lines_from_the_end(headers, "Forwarded") {
        // A quote that somebody opened at the begin of a line may reach into what a proxy added:
        // then nothing of the line is believed.
        let text = std::str::from_utf8(line).ok();
        let Some(elements) = text.and_then(parse_elements) else {
            break;
        };
        for element in elements.into_iter().rev() {
            forwarded.learn(element.proto.as_deref(), element.host.as_deref());
            let node = element.node.as_deref();
            if !node.is_some_and(|node| forwarded.reach(node, trusted)) {
                return forwarded;
            }
        }
    }
    forwarded
}

impl Forwarded {
    /// The next node on the way to the client is `node`. Whether it is a trusted proxy, whose own
    /// word counts then.
    fn reach(&mut self, node: &str, trusted: &[TrustedProxy]) -> bool {
        // `unknown`, `_hidden` or no node at all: the client is behind the last one that was known.
        let Some(address) = parse_node(node) else {
            return false;
        };
        self.client = Some(address.into());
        is_trusted(trusted, Some(address.ip()))
    }

    /// A proxy says what was asked of it; nothing changes by what it does not say, or says wrong.
    fn learn(&mut self, proto: Option<&str>, host: Option<&str>) {
        let is = |proto: &str, names: [&str; 2]| {
            names.iter().any(|name| proto.eq_ignore_ascii_case(name))
        };
        match proto {
            Some(proto) if is(proto, ["https", "wss"]) => self.is_encrypted = Some(true),
            Some(proto) if is(proto, ["http", "ws"]) => self.is_encrypted = Some(false),
            Some(_) | None => {}
        }
        if let Some(host) = host
            && is_authority(host.as_bytes())
        {
            self.host = Some(host.to_owned());
        }
    }
}

/// An IP address with or without a port (RFC 7239 section 6), one of IPv6 also without brackets, as in
/// `X-Forwarded-For`. Port 0: there is none, or a made-up one.
fn parse_node(text: &str) -> Option<SocketAddr> {
    let (ip, port) = if let Ok(ip) = text.parse() {
        (ip, "")
    } else if let Some(rest) = text.strip_prefix('[') {
        let (ip, port) = rest.split_once(']')?;
        (IpAddr::V6(ip.parse().ok()?), port)
    } else {
        let (ip, _) = text.split_once(':')?;
        (IpAddr::V4(ip.parse().ok()?), &text[ip.len()..])
    };
    let port = match port {
        "" => 0,
        port => parse_port(port.strip_prefix(':')?)?,
    };
    Some((ip.to_canonical(), port).into())
}

fn parse_port(text: &str) -> Option<u16> {
    let is_made_up = |name: &str| {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        !name.is_empty() && name.bytes().all(is_part)
    };
    match text.strip_prefix('_') {
        Some(name) => is_made_up(name).then_some(0),
        None if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
        None => None,
    }
}

/// What one proxy says (RFC 7239 section 4).
#[derive(Debug, Default, PartialEq, Eq)]
struct Element<'v> {
    node: Option<Cow<'v, str>>,
    proto: Option<Cow<'v, str>>,
    host: Option<Cow<'v, str>>,
}

/// The elements of one line; `None` if it breaks the grammar anywhere.
fn parse_elements(line: &str) -> Option<Vec<Element<'_>>> {
    let mut elements = Vec::new();
    let mut element = None;
    let mut rest = line;
    loop {
        if !rest.is_empty() && !rest.starts_with([',', ';']) {
            let (name, value);
            (name, value, rest) = parse_pair(rest)?;
            element
                .get_or_insert_with(Element::default)
                .set(name, value)?;
            rest = rest.trim_start_matches([' ', '\t']);
        }
        // Empty pairs and empty elements are none (RFC 7239 section 4, RFC 9110 section 5.6.1).
        if !rest.starts_with(';') {
            elements.extend(element.take());
        }
        rest = match rest.strip_prefix([',', ';']) {
            Some(rest) => rest.trim_start_matches([' ', '\t']),
            None => return rest.is_empty().then_some(elements),
        };
    }
}

impl<'v> Element<'v> {
    /// `None`: it says so twice.
    fn set(&mut self, name: &str, value: Cow<'v, str>) -> Option<()> {
        let slot = if name.eq_ignore_ascii_case("for") {
            &mut self.node
        } else if name.eq_ignore_ascii_case("proto") {
            &mut self.proto
        } else if name.eq_ignore_ascii_case("host") {
            &mut self.host
        } else {
            return Some(()); // `by`, and what else there may be
        };
        slot.replace(value).is_none().then_some(())
    }
}

/// `name=value` at the front of `text`, and what follows it.
fn parse_pair(text: &str) -> Option<(&str, Cow<'_, str>, &str)> {
    let (name, rest) = text.split_once('=')?;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return None;
    }
    if let Some(quoted) = rest.strip_prefix('"') {
        let (value, rest) = parse_quoted(quoted)?;
        return Some((name, value, rest));
    }
    // Not only tokens: many forget the quotes around an address with a colon.
    let end = rest.find([',', ';', ' ', '\t', '"']).unwrap_or(rest.len());
    let (value, rest) = rest.split_at(end);
    Some((name, Cow::Borrowed(value), rest))
}

/// A quoted string whose first quote was taken (RFC 9110 section 5.6.4), and what follows it.
fn parse_quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut value = Cow::Borrowed("");
    let mut begin = 0;
    let mut bytes = text.bytes().enumerate();
    while let Some((index, byte)) = bytes.next() {
        match byte {
            b'"' => {
                value += &text[begin..index];
                return Some((value, &text[index + 1..]));
            }
            b'\\' => {
                value += &text[begin..index];
                begin = index + 1;
                let (_, escaped) = bytes.next()?;
                if !escaped.is_ascii() {
                    return None;
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests;
