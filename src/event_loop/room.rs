//! Room for newcomers where all places are taken: a connection that was answered and is idle is worth
//! less than one that asks.

use crate::event_loop::EventLoop;
use crate::event_loop::clients::fact;
use crate::event_loop::system::{ReadOutcome, Socket as _, System};
use crate::moment::Moment;

/// Slots that are looked at before the one that idles longest among them is asked.
const LOOKS: u32 = 16;
/// How often that is done for one newcomer.
const TRIES: usize = 4;

impl<S: System> EventLoop<S> {
    /// Closes a connection that idles, if one is found among the next few. Whether it did.
    ///
    /// The search goes on where it ended, so that all slots are looked at sooner or later, and
    /// however many clients there are, a newcomer costs the same.
    pub(super) fn make_room_for_newcomer(&mut self) -> bool {
        (0..TRIES).any(|_| {
            let slot = self.longest_idle();
            slot.is_some_and(|slot| self.close_if_idle(slot))
        })
    }

    fn longest_idle(&mut self) -> Option<u32> {
        let slot_count = self.clients.slot_count();
        let mut longest: Option<(Moment, u32)> = None;
        for _ in 0..LOOKS.min(slot_count) {
            let slot = self.next_look % slot_count;
            self.next_look = slot + 1;
            if let Some(since) = self.idle_since(slot)
                && longest.is_none_or(|(earliest, _)| since < earliest)
            {
                longest = Some((since, slot));
            }
        }
        longest.map(|(_, slot)| slot)
    }

    /// Since when an HTTP connection waits for another request, and nothing else is to be done for it.
    fn idle_since(&mut self, slot: u32) -> Option<Moment> {
        const AMID: u16 = fact::READABLE
            | fact::READ_CLOSED
            | fact::AT_END
            | fact::LISTED
            | fact::HELD
            | fact::BUFFERED
            | fact::CARRIED;
        let client = self
            .clients
            .get_mut(slot)
            .filter(|client| !client.is(AMID))?;
        let since = client.protocol.idle_since()?;
        (!self.hub.output.borrow().has_output(slot)).then_some(since)
    }

    /// Closes the connection in `slot`, unless it asked for something that nobody has read yet: then
    /// that is served. Whether there is room.
    fn close_if_idle(&mut self, slot: u32) -> bool {
        let Some((id, client)) = self.clients.entry(slot) else {
            return false;
        };
        let outcome = client.socket.read(&mut self.buffer);
        if outcome != ReadOutcome::Drained {
            client.set(fact::READABLE);
            if self.take_in(id, outcome) {
                self.read_client(id);
            } else {
                self.finish_read(slot);
            }
            return self.clients.by_id(id).is_none(); // it may have left
        }
        log::debug!("the idle client in slot {slot} makes room for another");
        // Of HTTP/2, which says so.
        self.dismiss_carrier(slot);
        self.flush_client(slot);
        self.doom(slot);
        true
    }
}
