//! Where connections come from: an address has so many ports, and each connection to one server takes one.

use crate::cli::client::target::Target;
use crate::cli::client::transport::Transport;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr};

/// The last loopback source that is chosen unasked: 127.0.0.254.
const LAST: u8 = 254;

/// Source addresses that have ports left.
#[derive(Debug)]
pub(super) struct Sources {
    /// Of those that were given, spread over in turn.
    given: Vec<IpAddr>,
    turn: usize,
    /// The last byte of the loopback source that is used; 0: the system chooses.
    loopback: u8,
    /// Whether others of the loopback network may be taken unasked.
    may_choose: bool,
}

impl Sources {
    /// Those that were `given`; if none were, the system's choice.
    pub(super) const fn new(given: Vec<IpAddr>) -> Self {
        Self {
            given,
            turn: 0,
            loopback: 0,
            may_choose: false,
        }
    }

    /// For a server at `address`: if it is on the loopback network and no source was given, others of it
    /// follow the system's choice when that has no ports left.
    pub(super) fn choose_for(&mut self, address: IpAddr) {
        self.may_choose = self.given.is_empty() && address.is_loopback() && address.is_ipv4();
    }

    /// The source of the next connection; `None`: the system chooses.
    fn current(&self) -> Option<IpAddr> {
        match self.loopback {
            0 => self.given.get(self.turn).copied(),
            last => Some(Ipv4Addr::new(127, 0, 0, last).into()),
        }
    }

    /// The current source has no port left. Whether there is another one.
    fn exhausted(&mut self) -> bool {
        if !self.given.is_empty() {
            self.given.remove(self.turn);
            self.turn = 0;
            return !self.given.is_empty();
        }
        let next = match self.loopback {
            // 127.0.0.1 is what the system chose.
            0 => 2,
            last => last.saturating_add(1),
        };
        let has_next = self.may_choose && next <= LAST;
        if has_next {
            self.loopback = next;
        }
        has_next
    }

    /// Begins to connect, from the next source that has a port.
    ///
    /// # Errors
    ///
    /// No source has one, or the system refuses for another reason.
    pub(super) fn connect(&mut self, target: &Target) -> io::Result<Transport> {
        loop {
            match target.connect(self.current()) {
                Err(error) if is_exhausted(&error) => {
                    if !self.exhausted() {
                        return Err(error);
                    }
                }
                connected => {
                    self.turn = (self.turn + 1) % self.given.len().max(1);
                    return connected;
                }
            }
        }
    }
}

/// Connecting without a source fails by the one, binding to a source by the other.
fn is_exhausted(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::AddrNotAvailable | ErrorKind::AddrInUse
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    #[test]
    fn loopback_sources_follow_each_other_when_ports_run_out() {
        let mut sources = Sources::new(Vec::new());
        sources.choose_for(address("127.0.0.1"));
        assert_eq!(sources.current(), None);
        for last in 2..=LAST {
            assert!(sources.exhausted());
            let expected = IpAddr::from([127, 0, 0, last]);
            assert_eq!(sources.current(), Some(expected));
        }
        assert!(!sources.exhausted());
    }

    #[test]
    fn elsewhere_no_source_is_chosen() {
        for server in ["192.0.2.1", "::1"] {
            let mut sources = Sources::new(Vec::new());
            sources.choose_for(address(server));
            assert_eq!(sources.current(), None);
            assert!(!sources.exhausted(), "{server}");
        }
    }

    #[test]
    fn given_sources_are_used_until_none_is_left() {
        let given = vec![address("127.0.0.7"), address("127.0.0.8")];
        let mut sources = Sources::new(given.clone());
        sources.choose_for(address("127.0.0.1"));
        assert_eq!(sources.current(), Some(given[0]));
        assert!(sources.exhausted());
        assert_eq!(sources.current(), Some(given[1]));
        assert!(!sources.exhausted());
    }
}
