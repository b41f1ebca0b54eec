//! Who may ask for `/_aerys/`: who is where it should be, and asks by a name that is this server's.
//!
//! A page of another site can have its visitor's browser ask an address of that machine or network, and
//! read the answer if its own name leads there by then (DNS rebinding). The browser then says that name,
//! in `Host`, and in `Origin` what page it is for; neither can be chosen by the page, as all other fields
//! can.

use aerys::Request;
use std::net::IpAddr;
use std::rc::Rc;

/// What a proxy that is not trusted may have added: whom it speaks for is not known then.
const PROXY_FIELDS: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    /// Whether clients have to be on this machine.
    is_local: bool,
    names: Rc<[String]>,
}

impl Guard {
    /// For clients of this machine, by one of `names`, an address, or `localhost`.
    pub(super) const fn for_this_machine(names: Rc<[String]>) -> Self {
        let is_local = true;
        Self { is_local, names }
    }

    /// The same for clients anywhere.
    pub(super) const fn for_all(names: Rc<[String]>) -> Self {
        let is_local = false;
        Self { is_local, names }
    }

    /// # Errors
    ///
    /// Why the request is refused.
    pub(super) fn judge(&self, request: &Request) -> Result<(), &'static str> {
        if self.is_local {
            judge_client(request)?;
        }
        // What a trusted proxy says of the name is a field like any other, which a page can set where
        // the browser itself is where such a proxy would be: `Host` has to be right, too. Without
        // either (HTTP/1.0) it is no browser that asks, but a check of somebody's health.
        let mut names = [request.host(), request.header("host")]
            .into_iter()
            .flatten();
        if !names.all(|host| self.is_ours(name_of(host))) {
            return Err("This is asked for by an address or as localhost: see --live-host.");
        }
        let host = request.host().unwrap_or_default();
        let mut origins = request.headers().get_all("origin");
        if origins.any(|origin| !is_origin_of(origin, host)) {
            return Err("Pages of other sites may not ask for this.");
        }
        Ok(())
    }

    /// Whether a name in lower or upper case leads here whatever anybody's name server says, or is one of
    /// those that were allowed.
    fn is_ours(&self, name: &str) -> bool {
        let name = name.strip_suffix('.').unwrap_or(name);
        let in_brackets = name
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'));
        let is_address = match in_brackets {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => name.parse::<std::net::Ipv4Addr>().is_ok(),
        };
        // Names below localhost lead to this machine, too (RFC 6761 section 6.3).
        let is_local = |name: &str| match name.len().checked_sub("localhost".len()) {
            Some(0) => name.eq_ignore_ascii_case("localhost"),
            Some(at) => {
                let end = name.get(at - 1..);
                end.is_some_and(|end| end.eq_ignore_ascii_case(".localhost"))
            }
            None => false,
        };
        let is_allowed = |known: &String| known.eq_ignore_ascii_case(name);
        is_address || is_local(name) || self.names.iter().any(is_allowed)
    }
}

/// Whether the client is on this machine.
fn judge_client(request: &Request) -> Result<(), &'static str> {
    const ELSEWHERE: &str = "This is for clients on the server's own machine: see --live-listen.";
    let (client, peer) = (
        request.client_address(),
        &request.connection().remote_address,
    );
    if !client.ip().is_some_and(is_loopback) {
        return Err(ELSEWHERE);
    }
    // It is the peer's own address, and the peer says that it is not alone.
    let is_peer = client == peer;
    if is_peer
        && PROXY_FIELDS
            .iter()
            .any(|field| request.header(field).is_some())
    {
        return Err("This came through a proxy that is not trusted: see --trusted-proxies.");
    }
    Ok(())
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

/// A host without its port.
fn name_of(host: &str) -> &str {
    match host.rsplit_once(':') {
        // Not within the brackets of an address.
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Whether `origin` (RFC 6454) is that of a page which this host served: the same name and port. Of
/// the schemes the server need not know which one its proxy speaks.
fn is_origin_of(origin: &[u8], host: &str) -> bool {
    let Ok(origin) = std::str::from_utf8(origin) else {
        return false;
    };
    let mut schemes = [("http://", ":80"), ("https://", ":443")].into_iter();
    schemes.any(|(scheme, port)| {
        let given = origin.strip_prefix(scheme);
        given.is_some_and(|given| {
            let host = host.strip_suffix(port).unwrap_or(host);
            given.eq_ignore_ascii_case(host)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_ours_if_no_name_server_can_say_otherwise_or_it_was_allowed() {
        let guard = Guard::for_all(["metrics.example.com".to_owned()].into());
        for name in [
            "localhost",
            "LocalHost.",
            "aerys.localhost",
            "127.0.0.1",
            "192.0.2.7",
            "[::1]",
            "Metrics.example.com",
        ] {
            assert!(guard.is_ours(name), "{name}");
        }
        for name in [
            "",
            "example.com",
            "localhost.example.com",
            "notlocalhost",
            ".example.com",
            "ä.localhos",
            "127.0.0.1.example.com",
            "0x7f000001",
            "[::1",
            "[localhost]",
            "::1",
            "a.metrics.example.com",
        ] {
            assert!(!guard.is_ours(name), "{name}");
        }
    }

    #[test]
    fn an_origin_is_the_hosts_own_with_its_port() {
        for (origin, host) in [
            ("http://localhost:1337", "localhost:1337"),
            ("https://localhost:1337", "LOCALHOST:1337"),
            ("http://a", "a:80"),
            ("https://a", "a:443"),
            ("http://[::1]:8080", "[::1]:8080"),
        ] {
            assert!(is_origin_of(origin.as_bytes(), host), "{origin} of {host}");
        }
        for (origin, host) in [
            ("null", "localhost"),
            ("http://localhost", "localhost:1337"),
            ("http://localhost:1338", "localhost:1337"),
            ("http://evil.example", "localhost"),
            ("http://a", "a:443"),
            ("file://", ""),
            ("", ""),
        ] {
            assert!(!is_origin_of(origin.as_bytes(), host), "{origin} of {host}");
        }
    }

    #[test]
    fn loopback_is_told_in_either_family() {
        for (ip, expected) in [
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("128.0.0.1", false),
            ("::ffff:10.0.0.1", false),
            ("::", false),
        ] {
            assert_eq!(is_loopback(ip.parse().expect(ip)), expected, "{ip}");
        }
    }
}
