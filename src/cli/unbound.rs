//! Why an address cannot be listened on, and what to do about it.

use aerys::Error;
use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs};

/// One line on why a server could not be bound.
pub(crate) fn describe(error: &Error) -> String {
    let Error::Bind { address, source } = error else {
        return error.to_string();
    };
    let place = place(address);
    let port: Option<u16> = place.and_then(|place| place.rsplit_once(':')?.1.parse().ok());
    match (source.kind(), port) {
        (ErrorKind::AddrInUse, Some(_)) => match occupant(address) {
            Some((id, _)) if id == std::process::id() => format!(
                "{address}: this server has that port itself, at an address that covers it or is covered by it; \
                 take that out of the file first, and put this one in at a second SIGHUP"
            ),
            Some((_, who)) => format!(
                "{address} is in use by {who}; stop that, or listen elsewhere (port 0 is a free one)"
            ),
            None => error.to_string(),
        },
        (ErrorKind::PermissionDenied, Some(port @ 1..1024)) => format!(
            "cannot listen on {address}: port {port} takes a right that this user has not; start it as root \
             with --user, have systemd pass the socket, or take a port from 1024 on"
        ),
        (ErrorKind::PermissionDenied, None) => {
            format!("cannot listen on {address}: its folder is not this user's to write to")
        }
        (ErrorKind::AddrNotAvailable, _) => format!(
            "cannot listen on {address}: this machine does not have that address; 0.0.0.0 and [::] are \
             all that it has"
        ),
        (ErrorKind::NotFound, None) => {
            format!("cannot listen on {address}: its folder is not there; make it first")
        }
        _ => error.to_string(),
    }
}

/// The host and the port of an address as it was given, if it is none of a Unix socket.
fn place(address: &str) -> Option<&str> {
    let (place, _) = address.rsplit_once('?').unwrap_or((address, ""));
    let (_, place) = place.split_once("://").unwrap_or(("", place));
    (!place.contains("unix:")).then_some(place)
}

/// Which process listens where that is, as far as this user may know (proc(5)): its id, and what it is called.
fn occupant(address: &str) -> Option<(u32, String)> {
    let wanted: Vec<SocketAddr> = place(address)?.to_socket_addrs().ok()?.collect();
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].into_iter();
    let mut tables = tables.filter_map(|table| fs::read_to_string(table).ok());
    let socket = tables.find_map(|table| listening(&table, &wanted).map(str::to_owned))?;
    let socket = format!("socket:[{socket}]");
    let mut processes = fs::read_dir("/proc").ok()?.filter_map(|entry| {
        let path = entry.ok()?.path();
        let id: u32 = path.file_name()?.to_str()?.parse().ok()?;
        Some((id, path))
    });
    processes.find_map(|(id, path)| {
        let mut files = fs::read_dir(path.join("fd")).ok()?;
        let is_socket = |file: std::io::Result<fs::DirEntry>| {
            let target = file.and_then(|file| fs::read_link(file.path()));
            target.is_ok_and(|target| target.as_os_str() == socket.as_str())
        };
        if !files.any(is_socket) {
            return None;
        }
        let name = fs::read_to_string(path.join("comm")).ok()?;
        // A process may have given itself any name.
        let name: String = name.trim().chars().filter(|c| !c.is_control()).collect();
        Some((id, format!("{name} (process {id})")))
    })
}

/// The number of the socket that listens at one of the addresses, or at all of its kind, by such a table.
fn listening<'t>(table: &'t str, wanted: &[SocketAddr]) -> Option<&'t str> {
    table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let local = local(fields.get(1)?)?;
        let is_listening = *fields.get(3)? == "0A";
        let is_it = is_listening && wanted.iter().any(|wanted| are_one(local, *wanted));
        is_it.then(|| fields.get(9).copied())?
    })
}

/// An address in such a table: words of 32 bits as they lie in memory, and the port.
fn local(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let words = (0..ip.len()).step_by(8).map(|at| {
        let word = ip.get(at..at + 8)?;
        u32::from_str_radix(word, 16).ok().map(u32::to_ne_bytes)
    });
    let bytes = words.collect::<Option<Vec<_>>>()?.concat();
    let ip = match <[u8; 4]>::try_from(&*bytes) {
        Ok(bytes) => IpAddr::from(bytes),
        Err(_) => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical(),
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

/// Whether who listens at the one keeps others from the other.
fn are_one(taken: SocketAddr, wanted: SocketAddr) -> bool {
    let is_all_of_it = taken.ip().is_unspecified() || wanted.ip().is_unspecified();
    // `[::]` of another program may have all of IPv4 too.
    let is_one_kind = taken.is_ipv4() == wanted.is_ipv4() || taken.ip() == Ipv6Addr::UNSPECIFIED;
    let is_one = taken.ip() == wanted.ip() || (is_all_of_it && is_one_kind);
    taken.port() == wanted.port() && is_one
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_that_listens_is_found_among_those_that_are_connected() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            \x20  0: 0100007F:0050 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 11 1\n\
            \x20  1: 0100007F:0051 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12 1\n\
            \x20  2: 0100007F:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 13 1\n";
        let at = |address: &str| listening(table, &[address.parse().expect("an address")]);
        assert_eq!(at("127.0.0.1:80"), Some("13"));
        assert_eq!(at("0.0.0.0:80"), Some("13"));
        assert_eq!(at("127.0.0.2:80"), None);
        assert_eq!(at("127.0.0.1:39321"), None);
    }

    #[test]
    fn who_has_all_addresses_has_each_and_ipv6_may_have_ipv4() {
        for (taken, wanted, expected) in [
            ("0100007F:0050", "127.0.0.1:80", true),
            ("0100007F:0050", "[::1]:80", false),
            ("00000000:0050", "127.0.0.1:80", true),
            ("00000000:0050", "[::]:80", false),
            ("00000000000000000000000001000000:0050", "[::1]:80", true),
            ("00000000000000000000000001000000:0050", "[::]:80", true),
            ("00000000000000000000000001000000:0050", "0.0.0.0:80", false),
            (
                "00000000000000000000000000000000:0050",
                "127.0.0.1:80",
                true,
            ),
            (
                "0000000000000000FFFF00000100007F:0050",
                "127.0.0.1:80",
                true,
            ),
        ] {
            // As on the machines that there are: the words of others are the other way round.
            let taken = local(taken).expect("an address");
            let wanted = wanted.parse().expect("an address");
            assert_eq!(are_one(taken, wanted), expected, "{taken} {wanted}");
        }
    }

    #[test]
    fn a_place_is_what_stands_within_an_address_of_ip() {
        for (address, expected) in [
            ("127.0.0.1:80", Some("127.0.0.1:80")),
            ("https://[::1]:443?proxy-protocol", Some("[::1]:443")),
            ("unix:/run/a:80", None),
            ("http://unix:/run/a?mode=660", None),
        ] {
            assert_eq!(place(address), expected, "{address}");
        }
    }
}
