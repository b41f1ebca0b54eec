//! When something is to be told of requests and WebSocket connections, and what the clock says then.

use crate::access::{Access, AccessLog, Reached};
use crate::client_id::ClientId;
use crate::event_loop::EventLoop;
use crate::event_loop::system::System;
use crate::http::Request;
use crate::moment::Moment;
use crate::output::Sent;
use crate::panics::bury;
use crate::websocket::Received;

impl<S: System> EventLoop<S> {
    /// Has `log` told of requests and WebSocket connections when they are over.
    pub(crate) fn log_access(&mut self, log: Box<dyn AccessLog>) {
        self.access.set(log);
    }

    /// A request of the client `id` is about to be answered.
    #[inline(never)]
    pub(super) fn note_request(&mut self, id: ClientId, request: &Request) {
        let connection = self.connection_of(id);
        let began = self.began(request);
        self.access.begin(id.slot(), connection, request, began);
    }

    /// A request on a stream of the connection in the slot `carrier` was read.
    #[inline(never)]
    pub(super) fn note_begun(&mut self, id: ClientId, carrier: u32, request: &Request) {
        let connection = self.clients.id_of(carrier).unwrap_or(id);
        let began = self.began(request);
        self.access.begin(id.slot(), connection, request, began);
    }

    /// A request of the client `id` announces a body, and may be over before that is there.
    #[inline(never)]
    pub(super) fn note_announced(&mut self, id: ClientId) {
        let connection = self.connection_of(id);
        let turn = self.this_turn();
        let Some(client) = self.clients.get_mut(id.slot()) else {
            return;
        };
        if let Some((_, request)) = client.protocol.announced() {
            let began = turn.nanos_of(request.began());
            self.access.begin(id.slot(), connection, request, began);
        }
    }

    /// The client `id` becomes a WebSocket's.
    #[inline(never)]
    pub(super) fn note_websocket(&mut self, id: ClientId) {
        let slot = id.slot();
        let position = self.hub.output.borrow().position(slot);
        self.access.open(slot, position);
    }

    /// Tells of what the client in `slot` was given all of.
    #[inline(never)]
    pub(super) fn tell_finished(&mut self, slot: u32) {
        let taken = self.hub.output.borrow().taken(slot);
        if self.access.has_finished(slot, taken)
            && let Some(id) = self.clients.id_of(slot)
        {
            let reached = self.reached(id);
            self.access.finish(slot, reached);
            self.carry_out(); // what it was told made it ask for
        }
    }

    /// Tells of all that is left of a client whose connection is over.
    #[inline(never)]
    pub(super) fn tell_left(&mut self, id: ClientId) {
        let slot = id.slot();
        let reached = self.reached(id);
        let sent: Sent = self.hub.output.borrow().sent(slot);
        let mut directory = self.hub.directory.borrow_mut();
        let received: Received = directory
            .entry_mut(slot)
            .map_or_else(Received::default, |entry| entry.received);
        drop(directory);
        self.access.leave(slot, reached, sent, received);
    }

    /// The loop ends, perhaps with clients: tells of what is left of them.
    pub(super) fn tell_rest(&mut self) {
        for slot in self.access.slots() {
            if let Some(id) = self.clients.id_of(slot) {
                self.tell_left(id);
            }
        }
        bury(std::mem::take::<Access>(&mut self.access));
    }

    /// The id of the connection of a client: that of its carrier, if it has one.
    fn connection_of(&mut self, id: ClientId) -> ClientId {
        let carrier = self.carrier_of(id.slot());
        let connection = carrier.and_then(|carrier| self.clients.id_of(carrier));
        connection.unwrap_or(id)
    }

    fn reached(&self, client: ClientId) -> Reached {
        Reached {
            client,
            taken: self.hub.output.borrow().taken(client.slot()),
            now: (self.clock)().saturating_sub(self.started),
        }
    }

    fn began(&self, request: &Request) -> u64 {
        self.this_turn().nanos_of(request.began())
    }

    fn this_turn(&self) -> Turn {
        Turn {
            now: self.hub.now.get(),
            polled: self.polled.saturating_sub(self.started),
        }
    }
}

/// When the turn of the loop began, as moments have it and in nanoseconds.
#[derive(Clone, Copy)]
struct Turn {
    now: Moment,
    polled: u64,
}

impl Turn {
    /// A moment in nanoseconds: of this turn, as exactly as the clock was read.
    fn nanos_of(self, moment: Moment) -> u64 {
        if moment == self.now {
            self.polled
        } else {
            moment.as_nanos()
        }
    }
}
