//! From queues to sockets: the only writer.

use crate::event_loop::EventLoop;
use crate::event_loop::system::{Socket, System, WriteOutcome};
use crate::event_loop::clients::fact;
use crate::protocol::Protocol;
use std::io::IoSlice;

/// Pieces that one call writes. Linux takes up to 1,024, but a client rarely has more than one,
/// and the list is made for each write.
const SLICES_PER_WRITE: usize = 16;
/// Bytes that one client is written in a turn: others wait for theirs.
const WRITE_BUDGET_BYTES: usize = 1024 * 1024;
/// Clients with queues of their own flushed in a turn.
const FLUSHES_PER_TURN: usize = 4096;
/// Members of a broadcast visited in a turn.
const RING_VISITS_PER_TURN: usize = 1024;

impl<S: System> EventLoop<S> {
    /// Writes queues, then a slice of the ring of those who lack a broadcast.
    pub(super) fn flush(&mut self) {
        for _ in 0..FLUSHES_PER_TURN {
            let slot = self.hub.output.borrow_mut().next_dirty();
            let Some(slot) = slot else { break };
            self.flush_client(slot);
        }
        let mut visits = RING_VISITS_PER_TURN;
        loop {
            let slot = self.hub.output.borrow_mut().next_in_ring(&mut visits);
            let Some(slot) = slot else { break };
            self.flush_client(slot);
        }
        loop {
            let slot = self.hub.output.borrow_mut().next_overflowed();
            let Some(slot) = slot else { break };
            self.hub.close_overflowed(slot);
        }
        self.carry_out();
        self.hub.output.borrow_mut().end_turn();
    }

    /// Writes what a client was answered while it was read, if nothing is in the way.
    pub(super) fn flush_answers(&mut self, slot: u32) {
        if self.hub.output.borrow().is_dirty(slot) {
            self.flush_client(slot);
        }
    }

    /// Writes a client's queue now if it is over the soft limit and the socket may take it:
    /// only what a socket refuses is a backlog.
    pub(super) fn relieve(&mut self, slot: u32) {
        if self.is_above_soft(slot) {
            self.flush_client(slot);
        }
    }

    /// Writes all that a client lacks, as far as the socket and its share of the turn go.
    pub(super) fn flush_client(&mut self, slot: u32) {
        let above = self.is_above_soft(slot);
        let Some(client) = self.clients.get_mut(slot) else {
            return;
        };
        if above {
            client.set(fact::ABOVE_SOFT);
        }
        let now = self.hub.now.get();
        if !client.is(fact::WAITING) {
            // Only from here on it is to make progress, whenever it was written to before.
            client.note_progress(now);
        }
        let mut output = self.hub.output.borrow_mut();
        let mut written = 0;
        let mut broken = false;
        while !output.is_blocked(slot) {
            if let Err(error) = output.fill(slot) {
                // The length was promised: only a cut connection tells that it is not kept.
                log::warn!("a response was cut off: {error}");
                broken = true;
                break;
            }
            let mut slices = [IoSlice::new(&[]); SLICES_PER_WRITE];
            let gathered = output.gather(slot, &mut slices);
            if gathered.bytes == 0 {
                break;
            }
            match client.socket.write(&slices[..gathered.slices]) {
                WriteOutcome::Bytes(len) => {
                    output.advance(slot, len);
                    client.note_progress(now);
                    written += len;
                    if len < gathered.bytes {
                        output.block(slot);
                    }
                }
                WriteOutcome::Full => output.block(slot),
                WriteOutcome::Broken => {
                    broken = true;
                    break;
                }
            }
            if written >= WRITE_BUDGET_BYTES {
                // What is left stays on the output's lists, for the next turn.
                break;
            }
        }
        let blocked = output.is_blocked(slot);
        client.put(fact::WAITING, output.has_output(slot));
        drop(output);
        if written > 0 {
            self.hub.directory.borrow_mut().note_sent(slot, now);
        }
        if broken {
            self.doom(slot);
            return;
        }
        if client.is(fact::ABOVE_SOFT) {
            self.judge_backlog(slot);
        }
        self.settle(slot);
        if blocked {
            self.arm(slot);
        }
    }

    /// Whether more waits for a client than its soft limit.
    fn is_above_soft(&mut self, slot: u32) -> bool {
        let Some(client) = self.clients.get_mut(slot) else {
            return false;
        };
        let Some(soft) = client.protocol.soft_backlog_bytes(&self.settings) else {
            return false;
        };
        let output = self.hub.output.borrow();
        // A file counts by being there: a thousand requests for it must not open it a thousand
        // times.
        let pulls = matches!(client.protocol, Protocol::Http1(..)) && output.has_source(slot);
        pulls || output.backlog_bytes(slot) > soft as u64
    }

    /// A client whose backlog is not above its soft limit any more is read on, and that is told.
    fn judge_backlog(&mut self, slot: u32) {
        let above = self.is_above_soft(slot);
        let Some(client) = self.clients.get_mut(slot) else {
            return;
        };
        if above || !client.take(fact::ABOVE_SOFT) {
            return;
        }
        let endpoint = client.protocol.endpoint();
        if let Some(endpoint) = endpoint
            && let Some(id) = self.clients.id_of(slot)
        {
            self.call("on_drain", endpoint, Some(id), |application| {
                application.drain(id);
            });
        }
        self.resume(slot);
    }

    /// Ends a connection on which all was said, as far as its queue allows: our side of the
    /// stream first, then the socket, when the peer ended its own.
    pub(super) fn settle(&mut self, slot: u32) {
        let Some(client) = self.clients.get_mut(slot) else {
            return;
        };
        if client.protocol.is_steady() || self.hub.output.borrow().has_output(slot) {
            return;
        }
        if !client.protocol.is_lingering() {
            client.protocol.drained(self.hub.now.get());
            self.arm(slot);
            return;
        }
        if client.is(fact::AT_END) {
            self.doom(slot);
            return;
        }
        if !client.is(fact::SHUT_DOWN) {
            client.set(fact::SHUT_DOWN);
            client.socket.shut_down();
            client
                .protocol
                .shut_down(&self.settings.server, self.hub.now.get());
            self.arm(slot);
        }
    }
}
