//! Whom a server believes what they say of its clients.

use ipnet::IpNet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Peers that are proxies of one's own: what they say of the clients behind them is believed.
///
/// It is written as a network, as one address, or as `unix`.
///
/// ```
/// use aerys::{Config, TrustedProxy};
/// let config = Config {
///     trusted_proxies: vec!["10.0.0.0/8".parse()?, "::1".parse()?, TrustedProxy::Unix],
///     ..Config::default()
/// };
/// # Ok::<(), aerys::InvalidProxy>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TrustedProxy {
    /// Whoever connects from that network.
    Network(IpNet),
    /// Whoever connects to a Unix socket: the mode of its file says who may.
    Unix,
}

/// Which header fields of a trusted proxy count. Exactly one kind does: a proxy that sets one passes
/// the other on as the client sent it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ForwardedField {
    /// `X-Forwarded-For`, with `X-Forwarded-Proto` and `X-Forwarded-Host`: what nearly all proxies
    /// send.
    #[default]
    XForwarded,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// What was to be a [`TrustedProxy`] is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidProxy(String);

impl FromStr for TrustedProxy {
    type Err = InvalidProxy;

    fn from_str(text: &str) -> Result<Self, InvalidProxy> {
        if text == "unix" {
            return Ok(Self::Unix);
        }
        let network = text.parse::<IpNet>().map(Self::from);
        let address = || text.parse::<IpAddr>().map(Self::from);
        network
            .or_else(|_| address())
            .map_err(|_| InvalidProxy(text.to_owned()))
    }
}

/// Bits of an IPv6 address in front of the IPv4 address that it may be the clothes of.
const MAPPED_BITS: u8 = 96;

impl From<IpNet> for TrustedProxy {
    fn from(network: IpNet) -> Self {
        // Peers are compared in the family that they are of, and so must these be.
        if let (IpAddr::V6(ip), Some(bits)) = (
            network.addr(),
            network.prefix_len().checked_sub(MAPPED_BITS),
        ) && let Some(ip) = ip.to_ipv4_mapped()
            && let Ok(mapped) = IpNet::new(ip.into(), bits)
        {
            return Self::Network(mapped);
        }
        Self::Network(network)
    }
}

impl From<IpAddr> for TrustedProxy {
    fn from(address: IpAddr) -> Self {
        Self::from(IpNet::from(address))
    }
}

impl fmt::Display for TrustedProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => network.fmt(f),
            Self::Unix => f.write_str("unix"),
        }
    }
}

impl fmt::Display for InvalidProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no network; write 10.0.0.0/8, fd00::/8, 127.0.0.1 or unix",
            self.0
        )
    }
}

impl std::error::Error for InvalidProxy {}

/// Whether one of `proxies` has the IP address `ip`, or is on a Unix socket if there is none.
pub(crate) fn is_trusted(proxies: &[TrustedProxy], ip: Option<IpAddr>) -> bool {
    // An IPv4 address may come in the clothes of an IPv6 one.
    let ip = ip.map(|ip| ip.to_canonical());
    proxies.iter().any(|proxy| match (proxy, &ip) {
        (TrustedProxy::Network(network), Some(ip)) => network.contains(ip),
        (TrustedProxy::Unix, None) => true,
        (TrustedProxy::Network(_), None) | (TrustedProxy::Unix, Some(_)) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_a_network_an_address_or_a_unix_socket() {
        for (text, written) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("127.0.0.1", "127.0.0.1/32"),
            ("fd00::/8", "fd00::/8"),
            ("::1", "::1/128"),
            ("::ffff:127.0.0.1", "127.0.0.1/32"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:0:0/95", "::ffff:0.0.0.0/95"),
            ("unix", "unix"),
        ] {
            let proxy: TrustedProxy = text.parse().expect("one");
            assert_eq!(proxy.to_string(), written);
        }
        for text in ["", "10.0.0.0/33", "localhost", "127.0.0.1:80", "10/8"] {
            let error = text.parse::<TrustedProxy>().expect_err("none");
            assert!(error.to_string().contains("is no network"), "{text}");
        }
    }

    #[test]
    fn a_peer_is_trusted_by_its_network_or_its_kind_of_socket() {
        let trusts = |proxies: &[&str], ip: Option<&str>| {
            let proxies: Vec<TrustedProxy> = proxies
                .iter()
                .map(|proxy| proxy.parse().expect("one"))
                .collect();
            is_trusted(&proxies, ip.map(|ip| ip.parse().expect("an address")))
        };
        let proxies = ["10.0.0.0/8", "fd00::/8"];
        for ip in ["10.0.0.0", "10.255.255.255", "fd12::1", "::ffff:10.1.2.3"] {
            assert!(trusts(&proxies, Some(ip)), "{ip}");
        }
        for ip in ["9.255.255.255", "11.0.0.0", "::1", "::ffff:11.1.2.3"] {
            assert!(!trusts(&proxies, Some(ip)), "{ip}");
        }
        assert!(!trusts(&proxies, None) && trusts(&["unix"], None));
        assert!(!trusts(&["unix"], Some("10.0.0.1")) && !trusts(&[], None));
    }
}
