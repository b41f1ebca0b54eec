//! Clients that are gone: from the moment when that is known to the end of the turn, when nobody can
//! mean them any more.

use crate::event_loop::EventLoop;
use crate::event_loop::clients::fact;
use crate::event_loop::system::{Socket as _, System};
use crate::websocket::{CloseCode, ClosedBy};

impl<S: System> EventLoop<S> {
    /// A client whose connection is lost, or over: freed at the end of the turn.
    pub(super) fn doom(&mut self, slot: u32) {
        self.part(slot);
        let id = self.access.is_on().then(|| self.clients.id_of(slot));
        if let Some(client) = self.clients.get_mut(slot) {
            // An orderly end would say that the response is complete; and for who does not read, the
            // kernel would hold what it was given for minutes, with nobody to limit it.
            let is_full = self.hub.output.borrow().is_blocked(slot);
            if is_full || self.hub.streams.is_sent_until_close(slot) {
                client.socket.reset_on_close();
            }
            client.set(fact::DOOMED);
            self.doomed.push(slot);
            // At once, for who comes in its place in this turn.
            self.asides.addresses.leave(slot);
        }
        self.closed(slot, CloseCode::ABNORMAL, "", ClosedBy::Nobody);
        self.abandon(slot);
        if let Some(Some(id)) = id {
            self.tell_left(id);
            self.carry_out();
        }
        self.leave_carrier(slot);
        self.lose_streams(slot);
    }

    /// Frees the clients that are gone.
    pub(super) fn reap_doomed(&mut self) {
        while let Some(slot) = self.doomed.pop() {
            let Some(client) = self.clients.remove(slot) else {
                continue;
            };
            self.count_gone(&client);
            if let Some(key) = client.armed {
                self.hub.schedule.borrow_mut().wheel.cancel(key);
            }
            self.hub.output.borrow_mut().close(slot);
            self.inflaters.forget(slot);
            self.asides.forget(slot, &client);
            // Its descriptor is free again: somebody may wait for one.
            self.accept_paused = false;
            log::debug!("the client in slot {slot} is gone");
        }
    }
}
