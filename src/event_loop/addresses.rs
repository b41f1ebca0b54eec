//! How many connections each address has, where that is limited; nothing is kept where it is not.

use rustc_hash::FxHashMap;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whom an address is taken to be of: one of IPv4 of whoever has it, one of IPv6 of whoever has its
/// network of 64 bits, which is the least that anybody is given (RFC 4291 section 2.5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Origin {
    V4(Ipv4Addr),
    /// The first 64 bits.
    V6(u64),
}

impl From<IpAddr> for Origin {
    fn from(ip: IpAddr) -> Self {
        // An IPv4 address may come in the clothes of an IPv6 one.
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self::V4(ip),
            IpAddr::V6(ip) => {
                let [a, b, c, d, ..] = ip.segments().map(u64::from);
                Self::V6(a << 48 | b << 32 | c << 16 | d)
            }
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(ip) => ip.fmt(f),
            Self::V6(high) => {
                write!(f, "{}/64", Ipv6Addr::from_bits(u128::from(*high) << 64))
            }
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    most: Option<usize>,
    /// Never 0. Hashed with a key, since peers choose what they are hashed by.
    counts: HashMap<Origin, usize>,
    /// By the slot of the client that counts.
    origins: FxHashMap<u32, Origin>,
}

impl Addresses {
    /// Nobody is connected. `None`: and nobody is ever counted.
    pub(super) fn new(most: Option<usize>) -> Self {
        Self {
            most,
            ..Self::default()
        }
    }

    /// So many are allowed from now on. Who came while nobody was counted is not.
    pub(super) fn set_limit(&mut self, most: Option<usize>) {
        if most.is_none() {
            *self = Self::default();
        }
        self.most = most;
    }

    /// Whether anybody is counted.
    pub(super) const fn is_limited(&self) -> bool {
        self.most.is_some()
    }

    /// Whether `origin` has as many connections as it may, and how many that is.
    pub(super) fn is_full(&self, origin: Origin) -> Option<usize> {
        let count = self.counts.get(&origin).copied().unwrap_or(0);
        self.most.filter(|most| count >= *most)
    }

    /// The client in `slot` is of `origin`.
    pub(super) fn enter(&mut self, slot: u32, origin: Origin) {
        if self.is_limited() {
            *self.counts.entry(origin).or_insert(0) += 1;
            self.origins.insert(slot, origin);
        }
    }

    /// The client in `slot` is gone, whether it counted or not.
    pub(super) fn leave(&mut self, slot: u32) {
        if self.origins.is_empty() {
            return;
        }
        if let Some(origin) = self.origins.remove(&slot)
            && let Entry::Occupied(mut count) = self.counts.entry(origin)
        {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    /// That the counts are those of the clients that count, all of which are among those that may; that
    /// none is too high, if the limit is the `first`.
    pub(super) fn check_invariants(&self, may_count: impl Fn(u32) -> bool, first: bool) {
        let mut counts = HashMap::new();
        for (slot, origin) in &self.origins {
            assert!(may_count(*slot), "slot {slot} counts for {origin}");
            *counts.entry(*origin).or_insert(0) += 1;
        }
        assert_eq!(counts, self.counts, "connections by address");
        let most = self
            .most
            .map_or(0, |most| if first { most } else { usize::MAX });
        assert!(counts.values().all(|count| *count <= most), "too many");
    }

    /// How many addresses and clients are known.
    pub(super) fn len(&self) -> (usize, usize) {
        (self.counts.len(), self.origins.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(ip: &str) -> Origin {
        Origin::from(ip.parse::<IpAddr>().expect("an address"))
    }

    #[test]
    fn a_network_of_64_bits_is_one_peer_and_each_address_of_ipv4_another() {
        for (one, other) in [
            ("2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff"),
            ("192.0.2.1", "::ffff:192.0.2.1"),
        ] {
            assert_eq!(origin(one), origin(other));
        }
        for (one, other) in [
            ("2001:db8:0:1::1", "2001:db8:0:2::1"),
            ("192.0.2.1", "192.0.2.2"),
            ("0.0.0.1", "::"),
            ("::1", "2001:db8::1"),
        ] {
            assert_ne!(origin(one), origin(other));
        }
        assert_eq!(origin("2001:db8:0:1::9").to_string(), "2001:db8:0:1::/64");
        assert_eq!(origin("::ffff:192.0.2.1").to_string(), "192.0.2.1");
    }

    #[test]
    fn who_leaves_makes_room_once_and_nothing_is_left_over() {
        let (one, other) = (origin("192.0.2.1"), origin("::1"));
        let mut addresses = Addresses::new(Some(2));
        addresses.enter(7, one);
        assert_eq!(addresses.is_full(one), None);
        addresses.enter(8, one);
        addresses.enter(9, other);
        assert_eq!(
            (addresses.is_full(one), addresses.is_full(other)),
            (Some(2), None)
        );
        for _ in 0..3 {
            addresses.leave(8);
            addresses.leave(1000);
        }
        assert_eq!(addresses.is_full(one), None);
        addresses.enter(8, one);
        assert_eq!(addresses.is_full(one), Some(2));
        assert_eq!(addresses.len(), (2, 3));
        for slot in 7..10 {
            addresses.leave(slot);
        }
        assert_eq!(addresses.len(), (0, 0));
    }

    #[test]
    fn nothing_is_kept_where_there_is_no_limit() {
        let mut addresses = Addresses::new(None);
        for slot in 0..100 {
            addresses.enter(slot, origin("::1"));
        }
        assert_eq!(
            (addresses.is_full(origin("::1")), addresses.len()),
            (None, (0, 0))
        );
    }
}
