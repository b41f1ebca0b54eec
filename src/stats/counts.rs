//! The counters that the loop keeps: plain integers, so that to count costs an addition and nothing
//! waits for who reads them.
//!
//! They live in the server's hub, where the loop, the protocols and the application's calls reach them;
//! all on one thread. What other tables know already (members of logs, timers) is not counted twice:
//! it is asked for when somebody looks.

use super::TurnTimes;
use std::cell::{Cell, RefCell};

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Count(Cell<u64>);

impl Count {
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "on the straight path of each message")]
    pub(crate) fn add(&self, more: u64) {
        self.0.set(self.0.get().wrapping_add(more));
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "one addition")]
    pub(crate) fn one(&self) {
        self.add(1);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.get()
    }
}

/// A number of what there is now.
#[derive(Debug, Default)]
pub(crate) struct Gauge(Cell<u64>);

impl Gauge {
    pub(crate) fn up(&self) {
        self.0.set(self.0.get() + 1);
    }

    pub(crate) fn down(&self) {
        debug_assert!(self.0.get() > 0, "what was not there cannot go");
        self.0.set(self.0.get().saturating_sub(1));
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.get()
    }
}

/// Why somebody or something was turned away. The order is that of [`Limit::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    Connections,
    ConnectionsPerAddress,
    UntrustedProxy,
    Unregistered,
    Handshakes,
    Backlog,
    BufferedInput,
    Timers,
}

impl Limit {
    pub(crate) const ALL: [(Self, &str); 8] = [
        (Self::Connections, "connections"),
        (Self::ConnectionsPerAddress, "connections_per_address"),
        (Self::UntrustedProxy, "untrusted_proxy"),
        (Self::Unregistered, "unregistered"),
        (Self::Handshakes, "handshakes_per_second"),
        (Self::Backlog, "backlog"),
        (Self::BufferedInput, "buffered_input"),
        (Self::Timers, "timers"),
    ];
}

/// Close codes as they are counted: those of RFC 6455 section 7.4.1 one by one, the others by range, so
/// that no application and no peer makes more of them than there are here.
pub(crate) const CLOSE_CODES: [&str; 19] = [
    "1000",
    "1001",
    "1002",
    "1003",
    "1004",
    "1005",
    "1006",
    "1007",
    "1008",
    "1009",
    "1010",
    "1011",
    "1012",
    "1013",
    "1014",
    "1015",
    "3000-3999",
    "4000-4999",
    "other",
];

/// The place of a code among [`CLOSE_CODES`].
fn place_of(code: u16) -> usize {
    match code {
        1000..=1015 => usize::from(code - 1000),
        3000..=3999 => 16,
        4000..=4999 => 17,
        _ => 18,
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) accepted: Count,
    /// Connections with a socket of their own, also those that are only told that they are refused.
    pub(crate) connections: Gauge,
    refused: [Count; Limit::ALL.len()],
    /// By the first digit of the status code.
    responses: [Count; 5],
    /// WebSocket clients that were opened.
    pub(crate) opened: Count,
    closed: [Count; CLOSE_CODES.len()],
    /// Frames and messages that were decoded one by one.
    pub(crate) frames_read: Count,
    pub(crate) messages_read: Count,
    /// Messages of one frame each, which came whole: neither of the above.
    pub(crate) whole_messages_read: Count,
    pub(crate) broadcasts: Count,
    /// Messages for one client that were not even queued, as its backlog was at its limit.
    pub(crate) messages_refused: Count,
    /// Bytes that sockets gave and took: with TLS, records.
    pub(crate) bytes_read: Count,
    pub(crate) bytes_written: Count,
    pub(crate) tls_handshakes: Count,
    pub(crate) tls_failures: Count,
    /// Handshakes of TLS that are neither complete nor over.
    pub(crate) securing: Gauge,
    pub(crate) http2_connections: Count,
    pub(crate) streams: Count,
    pub(crate) open_streams: Gauge,
    pub(crate) fired: Count,
    /// If somebody wants to know how long turns take, for which the clock is read when they end.
    pub(crate) turns: RefCell<Option<Box<TurnTimes>>>,
    /// A stop was asked for.
    pub(crate) is_draining: Cell<bool>,
}

impl Counts {
    #[cold]
    pub(crate) fn refuse(&self, limit: Limit) {
        self.refused[limit as usize].one();
    }

    pub(crate) fn refused(&self, limit: Limit) -> u64 {
        self.refused[limit as usize].get()
    }

    /// Whether turns are timed.
    pub(crate) fn is_timed(&self) -> bool {
        self.turns.borrow().is_some()
    }

    /// The head of a response was queued.
    #[inline]
    pub(crate) fn respond(&self, status: u16) {
        if let Some(count) = self
            .responses
            .get(usize::from(status / 100).wrapping_sub(1))
        {
            count.one();
        }
    }

    pub(crate) fn responses(&self) -> [u64; 5] {
        std::array::from_fn(|class| self.responses[class].get())
    }

    /// An endpoint was told that a client of it leaves.
    pub(crate) fn close(&self, code: u16) {
        self.closed[place_of(code)].one();
    }

    pub(crate) fn closed(&self) -> [u64; CLOSE_CODES.len()] {
        std::array::from_fn(|place| self.closed[place].get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_has_a_count_of_its_own() {
        let counts = Counts::default();
        for (place, (limit, _)) in Limit::ALL.into_iter().enumerate() {
            assert_eq!(limit as usize, place);
            counts.refuse(limit);
            assert_eq!(counts.refused(limit), 1);
        }
    }

    #[test]
    fn codes_are_counted_one_by_one_or_by_range() {
        for (code, label) in [
            (1000, "1000"),
            (1006, "1006"),
            (1015, "1015"),
            (1016, "other"),
            (2999, "other"),
            (3000, "3000-3999"),
            (3999, "3000-3999"),
            (4000, "4000-4999"),
            (4999, "4000-4999"),
            (5000, "other"),
            (0, "other"),
        ] {
            assert_eq!(CLOSE_CODES[place_of(code)], label, "{code}");
        }
    }

    #[test]
    fn a_status_counts_by_its_first_digit_and_one_that_is_none_not_at_all() {
        let counts = Counts::default();
        for status in [101, 200, 299, 404, 503, 0, 99, 600] {
            counts.respond(status);
        }
        assert_eq!(counts.responses(), [1, 2, 0, 1, 1]);
    }
}
