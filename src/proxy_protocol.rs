//! The PROXY protocol, versions 1 and 2: a header in which a proxy says, before all else, who is
//! connected to it. Sections are those of `doc/proxy-protocol.txt` of `HAProxy`, which invented it.
//!
//! [`decode_header`] is a pure function of bytes; [`Awaited`] is a connection whose header is not
//! complete. Where no header is asked for, nothing of this runs.

use crate::config::Config;
use crate::http::{Address, ConnectionInfo, UnixAddress};
use crate::input::Input;
use crate::moment::Moment;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Begin of a header of version 1, which is a line.
const LINE_BEGIN: &[u8] = b"PROXY ";
/// Most bytes of such a line up to its CR, that included; with the LF they are 107.
const MAX_LINE_END: usize = 106;
/// Begin of a header of version 2.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Length of the part of it that says how long the rest is.
const FIXED_BYTES: usize = 16;
/// Longest header of version 2, in bytes. The format allows 64 KiB more than the fixed part; what
/// proxies send is some hundred bytes, and a client's certificate name at most.
const MAX_HEADER_BYTES: usize = 4096;
/// Length of each address in a header of version 2 that is of Unix sockets.
const UNIX_ADDRESS_BYTES: usize = 108;

/// What a header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Header {
    /// The proxy itself is the client, or does not know who is: the connection's own addresses hold.
    Local,
    /// The addresses of the client's connection to the proxy.
    Proxied {
        source: Address,
        destination: Address,
    },
}

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// They begin like none.
    Missing,
    /// A line that is none of version 1.
    BadLine,
    /// A version, command, family or transport that is not defined.
    Undefined,
    /// Longer than is taken.
    TooLong,
    /// Shorter than the addresses that it announces, or what follows them does not fill it.
    BadLength,
    /// The checksum is another.
    BadChecksum,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "there is no PROXY header",
            Self::BadLine => "the PROXY line is malformed",
            Self::Undefined => "the PROXY header has a kind that is not defined",
            Self::TooLong => "the PROXY header is too long",
            Self::BadLength => "the PROXY header is not as long as it says",
            Self::BadChecksum => "the checksum of the PROXY header is wrong",
        })
    }
}

/// Decodes one header at the front of `input`.
///
/// Returns what it says and its length in bytes (15 to 4,096), or `None` if `input` ends inside it;
/// call again with the same bytes and more.
///
/// # Errors
///
/// [`Malformed`], for bytes that no continuation could make a header that is taken.
pub(crate) fn decode_header(input: &[u8]) -> Result<Option<(Header, usize)>, Malformed> {
    let begins_like = |begin: &[u8]| input.iter().zip(begin).all(|(byte, other)| byte == other);
    if begins_like(SIGNATURE) {
        decode_binary(input)
    } else if begins_like(LINE_BEGIN) {
        decode_line(input)
    } else {
        Err(Malformed::Missing)
    }
}

/// Version 1 (section 2.1).
fn decode_line(input: &[u8]) -> Result<Option<(Header, usize)>, Malformed> {
    let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let Some(end) = input.iter().take(MAX_LINE_END).position(is_end) else {
        return match input.len() {
            ..MAX_LINE_END => Ok(None),
            _ => Err(Malformed::TooLong),
        };
    };
    match &input[end..] {
        [b'\r'] => return Ok(None),
        // Neither alone ends it.
        [b'\r', b'\n', ..] => {}
        _ => return Err(Malformed::BadLine),
    }
    let line = input.get(LINE_BEGIN.len()..end).ok_or(Malformed::BadLine)?;
    let line = std::str::from_utf8(line).map_err(|_| Malformed::BadLine)?;
    let header = parse_line(line).ok_or(Malformed::BadLine)?;
    Ok(Some((header, end + 2)))
}

fn parse_line(line: &str) -> Option<Header> {
    let mut words = line.split(' ');
    let header = match words.next()? {
        // What follows is not to be looked at.
        "UNKNOWN" => return Some(Header::Local),
        "TCP4" => parse_addresses::<Ipv4Addr>(&mut words)?,
        "TCP6" => parse_addresses::<Ipv6Addr>(&mut words)?,
        _ => return None,
    };
    words.next().is_none().then_some(header)
}

fn parse_addresses<'l, T: FromStr + Into<IpAddr>>(
    words: &mut impl Iterator<Item = &'l str>,
) -> Option<Header> {
    let mut ip = || words.next()?.parse().ok().map(T::into);
    let (source, destination) = (ip()?, ip()?);
    let mut port = || parse_port(words.next()?);
    let (source_port, destination_port) = (port()?, port()?);
    Some(Header::Proxied {
        source: ip_address(source, source_port),
        destination: ip_address(destination, destination_port),
    })
}

/// In the family that it is of: an IPv4 address may come in the clothes of an IPv6 one.
fn ip_address(ip: IpAddr, port: u16) -> Address {
    Address::Ip((ip.to_canonical(), port).into())
}

/// A decimal number without leading zeros.
fn parse_port(text: &str) -> Option<u16> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let has_zeros = text.len() > 1 && text.starts_with('0');
    text.parse().ok().filter(|_| is_plain && !has_zeros)
}

/// Version 2 (section 2.2).
fn decode_binary(input: &[u8]) -> Result<Option<(Header, usize)>, Malformed> {
    // Each judged as soon as it is there.
    let [kind, transport] = [12, 13].map(|index| input.get(index).copied());
    let is_local = match kind {
        None => return Ok(None),
        Some(0x20) => true,
        Some(0x21) => false,
        Some(_) => return Err(Malformed::Undefined),
    };
    match transport {
        None => return Ok(None),
        Some(transport) if transport >> 4 > 3 || transport & 0x0F > 2 => {
            return Err(Malformed::Undefined);
        }
        Some(_) => {}
    }
    let &[high, low] = match input.get(14..FIXED_BYTES) {
        None => return Ok(None),
        Some(len) => len.first_chunk().ok_or(Malformed::BadLength)?,
    };
    let len = FIXED_BYTES + usize::from(u16::from_be_bytes([high, low]));
    if len > MAX_HEADER_BYTES {
        return Err(Malformed::TooLong);
    }
    let Some(header) = input.get(..len) else {
        return Ok(None);
    };
    if is_local {
        // Whatever the rest may be.
        return Ok(Some((Header::Local, len)));
    }
    let content = &header[FIXED_BYTES..];
    let decoded = match transport {
        Some(0x11) => decode_ips::<4>(content),
        Some(0x21) => decode_ips::<16>(content),
        Some(0x31) => decode_paths(content),
        // Datagrams, or nothing that is known: to be taken as if nothing had been said.
        _ => return Ok(Some((Header::Local, len))),
    };
    let (decoded, rest) = decoded.ok_or(Malformed::BadLength)?;
    check_values(header, rest)?;
    Ok(Some((decoded, len)))
}

/// Two IP addresses of `N` bytes each, then the ports; and what follows them.
fn decode_ips<const N: usize>(bytes: &[u8]) -> Option<(Header, &[u8])>
where
    IpAddr: From<[u8; N]>,
{
    let (source, bytes) = bytes.split_first_chunk::<N>()?;
    let (destination, bytes) = bytes.split_first_chunk::<N>()?;
    let (source_port, bytes) = bytes.split_first_chunk()?;
    let (destination_port, rest) = bytes.split_first_chunk()?;
    let address = |ip: [u8; N], port: [u8; 2]| ip_address(ip.into(), u16::from_be_bytes(port));
    let header = Header::Proxied {
        source: address(*source, *source_port),
        destination: address(*destination, *destination_port),
    };
    Some((header, rest))
}

/// The addresses of two Unix sockets, and what follows them.
fn decode_paths(bytes: &[u8]) -> Option<(Header, &[u8])> {
    let (source, bytes) = bytes.split_first_chunk::<UNIX_ADDRESS_BYTES>()?;
    let (destination, rest) = bytes.split_first_chunk::<UNIX_ADDRESS_BYTES>()?;
    let header = Header::Proxied {
        source: unix_address(source).into(),
        destination: unix_address(destination).into(),
    };
    Some((header, rest))
}

/// A path ends at the first NUL; an abstract name begins with one, and those at its end fill it up.
fn unix_address(bytes: &[u8; UNIX_ADDRESS_BYTES]) -> UnixAddress {
    let len = match bytes {
        [0, ..] => bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map(|last| last + 1),
        _ => bytes.iter().position(|byte| *byte == 0),
    };
    let none = if bytes[0] == 0 { 0 } else { bytes.len() };
    UnixAddress::new(&bytes[..len.unwrap_or(none)])
}

/// Walks what follows the addresses: type, length, value. None of it is used but the checksum.
fn check_values(header: &[u8], mut rest: &[u8]) -> Result<(), Malformed> {
    const CRC32C: u8 = 0x03;
    while let [kind, more @ ..] = rest {
        let (len, more) = more.split_first_chunk().ok_or(Malformed::BadLength)?;
        let len = usize::from(u16::from_be_bytes(*len));
        let value = more.get(..len).ok_or(Malformed::BadLength)?;
        if *kind == CRC32C {
            let expected: [u8; 4] = value.try_into().map_err(|_| Malformed::BadLength)?;
            let place = header.len() - more.len();
            let parts = [&header[..place], &[0; 4], &header[place + len..]];
            if crc32c(&parts) != u32::from_be_bytes(expected) {
                return Err(Malformed::BadChecksum);
            }
        }
        rest = &more[len..];
    }
    Ok(())
}

/// The checksum of RFC 4960 appendix B over all `parts`. Bit by bit: few proxies send one, once for
/// each connection.
fn crc32c(parts: &[&[u8]]) -> u32 {
    let bytes = parts.iter().copied().flatten();
    !bytes.fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 {
                crc >> 1 ^ 0x82F6_3B78
            } else {
                crc >> 1
            }
        })
    })
}

/// A connection whose header is not complete.
#[derive(Debug)]
pub(crate) struct Awaited {
    info: ConnectionInfo,
    host: u16,
    /// When it was accepted.
    since: Moment,
    /// What there is of the header: fewer bytes than the longest one has.
    bytes: Vec<u8>,
}

impl Awaited {
    /// A connection that was accepted at `now`, and the host that it is of.
    pub(crate) const fn new(host: u16, info: ConnectionInfo, now: Moment) -> Self {
        Self {
            info,
            host,
            since: now,
            bytes: Vec::new(),
        }
    }

    /// The listener that accepted it.
    pub(crate) const fn listener_mut(&mut self) -> &mut u16 {
        &mut self.host
    }

    /// The host that it is of, and when it was accepted.
    pub(crate) const fn origin(&self) -> (u16, Moment) {
        (self.host, self.since)
    }

    /// Takes input as far as the header goes. Between whom the connection is, once it is complete.
    ///
    /// # Errors
    ///
    /// [`Malformed`]: the connection is to be closed.
    pub(crate) fn receive(
        &mut self,
        input: &mut Input<'_>,
    ) -> Result<Option<ConnectionInfo>, Malformed> {
        let held = self.bytes.len();
        // At most what a header may have: it is longer then, or complete.
        let room = MAX_HEADER_BYTES.saturating_sub(held);
        let more = &input.rest()[..room.min(input.len())];
        let decoded = if held == 0 {
            decode_header(more)?
        } else {
            self.bytes.extend_from_slice(more);
            decode_header(&self.bytes)?
        };
        let Some((header, len)) = decoded else {
            let more = input.take(more.len());
            if held == 0 {
                self.bytes = more.to_vec();
            }
            return Ok(None);
        };
        input.take(len - held);
        let mut info = self.info.clone();
        match header {
            Header::Proxied {
                source,
                destination,
            } => {
                info.remote_address = source;
                info.local_address = destination;
            }
            Header::Local => info.is_anonymous = true,
        }
        Ok(Some(info))
    }

    /// Bytes of the header that are held.
    pub(crate) const fn buffered_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// When it is closed, if the header is not complete then. The same time is the first request's,
    /// so that a header buys none.
    pub(crate) fn deadline(&self, config: &Config) -> Option<Moment> {
        // A timeout beyond what the clock can say is none.
        Some(self.since + config.header_timeout).filter(|deadline| *deadline < Moment::NEVER)
    }
}

#[cfg(test)]
mod tests;
