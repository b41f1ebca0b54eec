//! What the loop counts in more than a line: connections as they come and go, and how long turns take.

use crate::app::stats::Stats;
use crate::event_loop::EventLoop;
use crate::event_loop::clients::{Client, fact};
use crate::event_loop::system::System;

impl<S: System> EventLoop<S> {
    /// Lets `stats` see what is counted.
    pub(crate) fn attach(&self, stats: &Stats) {
        let endpoints = self.app.endpoints().iter();
        let names = endpoints.map(|endpoint| {
            let known = endpoint.state();
            known.server().map(|_| known.name()).unwrap_or_default()
        });
        let names = names.collect();
        stats.attach(&self.hub, names);
    }

    /// All was served that the last poll brought, and the loop is about to sleep. When that was, if somebody
    /// wants to know how long it took: then one reading of the clock is spent on it.
    pub(super) fn end_turn(&self) -> Option<u64> {
        if !self.has_served || !self.hub.counts.is_timed() {
            return None;
        }
        let now = (self.clock)();
        self.note_turn(now);
        Some(now)
    }

    /// A turn is over that began with the last poll. One that brought nothing is none: who spins has
    /// millions of them.
    pub(super) fn note_turn(&self, now: u64) {
        if self.has_served
            && let Some(turns) = &mut *self.hub.counts.turns.borrow_mut()
        {
            turns.note(now.saturating_sub(self.polled));
        }
    }

    /// A connection of its own was made a client.
    pub(super) fn count_connection(&self) {
        self.hub.counts.connections.up();
    }

    /// A client is freed.
    pub(super) fn count_gone(&self, client: &Client<S::Socket>) {
        let counts = &self.hub.counts;
        if client.is(fact::CARRIED) {
            counts.open_streams.down();
        } else {
            counts.connections.down();
        }
        if client.is(fact::SECURING) {
            counts.securing.down();
            counts.tls_failures.one();
        }
    }

    /// The TLS handshake of the client in `slot` is complete.
    pub(super) fn count_secured(&mut self, slot: u32) {
        if self.take_securing(slot) {
            self.hub.counts.tls_handshakes.one();
        }
    }

    /// There will be none: it speaks something else.
    pub(super) fn count_unsecured(&mut self, slot: u32) {
        if self.take_securing(slot) {
            self.hub.counts.tls_failures.one();
        }
    }

    fn take_securing(&mut self, slot: u32) -> bool {
        let client = self.clients.get_mut(slot);
        let was_pending = client.is_some_and(|client| client.take(fact::SECURING));
        if was_pending {
            self.hub.counts.securing.down();
        }
        was_pending
    }
}
