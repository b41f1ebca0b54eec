//! Why an address cannot be listened on, and what to do about it.

use aerys::Error;
use std::fs;
use std::io::ErrorKind;

/// One line on why a server could not be bound.
pub(crate) fn describe(error: &Error) -> String {
    let Error::Bind { address, source } = error else {
        return error.to_string();
    };
    let port = port(address);
    match (source.kind(), port) {
        (ErrorKind::AddrInUse, Some(port)) => match occupant(port) {
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

/// The port of an address as it was given, if it is none of a Unix socket.
fn port(address: &str) -> Option<u16> {
    let (place, _) = address.rsplit_once('?').unwrap_or((address, ""));
    if place.contains("unix:") {
        return None;
    }
    place.rsplit_once(':')?.1.parse().ok()
}

/// Which process listens on a port, as far as this user may know (proc(5)): its id, and what it is called.
fn occupant(port: u16) -> Option<(u32, String)> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].into_iter();
    let mut tables = tables.filter_map(|table| fs::read_to_string(table).ok());
    let socket = tables.find_map(|table| listening(&table, port).map(str::to_owned))?;
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

/// The number of the socket that listens on `port`, by such a table.
fn listening(table: &str, port: u16) -> Option<&str> {
    table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (_, local) = fields.get(1)?.rsplit_once(':')?;
        let is_listening = *fields.get(3)? == "0A";
        let is_it = u16::from_str_radix(local, 16) == Ok(port) && is_listening;
        is_it.then(|| fields.get(9).copied())?
    })
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
        assert_eq!(listening(table, 80), Some("13"));
        assert_eq!(listening(table, 0x9999), None);
    }

    #[test]
    fn a_port_is_that_of_an_ip_address_whatever_stands_around_it() {
        for (address, expected) in [
            ("127.0.0.1:80", Some(80)),
            ("https://[::1]:443?proxy-protocol", Some(443)),
            ("unix:/run/a:80", None),
            ("http://unix:/run/a?mode=660", None),
        ] {
            assert_eq!(port(address), expected, "{address}");
        }
    }
}
