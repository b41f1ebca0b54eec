//! How long WebSocket clients may be open, in all and without a message. What is kept for that, only
//! clients of endpoints have that ask for it; no message costs anything for it.

use crate::client_id::ClientId;
use crate::config::WebSocketConfig;
use crate::event_loop::EventLoop;
use crate::event_loop::system::System;
use crate::moment::Moment;
use crate::websocket::CloseCode;
use std::borrow::Cow;

/// How often an idle time is judged while it runs: so much of it a client may be closed late.
const LOOKS: u32 = 8;

/// What a client had done when it was last seen to have done something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Idle {
    /// Messages read and sent.
    messages: u64,
    /// What there was of a message that is not complete.
    unfinished: (usize, u64),
    /// When that was seen.
    since: Moment,
    /// When it is looked at again.
    next_look: Moment,
}

impl<S: System> EventLoop<S> {
    /// The client in `slot` was opened on `endpoint`: its idle time runs, if it has one.
    pub(super) fn begin_idle_time(&mut self, slot: u32, endpoint: u16) {
        if let Some(timeout) = self.settings.endpoint(endpoint).idle_timeout {
            let now = self.hub.now.get();
            let idle = Idle {
                messages: 0,
                unfinished: (0, 0),
                since: now,
                next_look: now + timeout / LOOKS,
            };
            self.asides.idle.insert(slot, idle);
        }
    }

    /// When the client in `slot`, one of an endpoint with `config`, has been open long enough, or is to
    /// be looked at for that.
    #[inline]
    pub(super) fn lifetime_deadline(&self, slot: u32, config: &WebSocketConfig) -> Option<Moment> {
        if config.max_lifetime.is_none() && config.idle_timeout.is_none() {
            return None;
        }
        let opened = self.hub.directory.borrow().opened(slot);
        let end = config.max_lifetime.map(|lifetime| opened + lifetime);
        let look = self.asides.idle.get(&slot).map(|idle| idle.next_look);
        [end, look].into_iter().flatten().min()
    }

    /// The client in `slot` and what its endpoint says, if it is one of an open WebSocket.
    fn open_client(&mut self, slot: u32) -> Option<(ClientId, &WebSocketConfig)> {
        let (id, client) = self.clients.entry(slot)?;
        let endpoint = client.protocol.endpoint()?;
        Some((id, self.settings.endpoint(endpoint)))
    }

    /// Closes the client in `slot` if its greatest lifetime is over, whatever it does. Whether it did.
    pub(super) fn expire_lifetime(&mut self, slot: u32, now: Moment) -> bool {
        let Some((id, config)) = self.open_client(slot) else {
            return false;
        };
        let Some(lifetime) = config.max_lifetime else {
            return false;
        };
        let is_over = self.hub.directory.borrow().opened(slot) + lifetime <= now;
        if is_over {
            self.send_away(id, "Open for as long as may be");
        }
        is_over
    }

    /// Closes the client in `slot` if it was idle for too long, which nobody is of whom something may
    /// wait to be read or served, as is said by `is_held_back`. Whether it did.
    pub(super) fn expire_idle(&mut self, slot: u32, now: Moment, is_held_back: bool) -> bool {
        let Some((id, config)) = self.open_client(slot) else {
            return false;
        };
        let Some(timeout) = config.idle_timeout else {
            return false;
        };
        let Some(mut idle) = self.asides.idle.get(&slot).copied() else {
            return false;
        };
        if now < idle.next_look {
            return false;
        }
        let (messages, unfinished) = self.deeds(slot);
        let is_busy = (messages, unfinished) != (idle.messages, idle.unfinished)
            // What it takes, or does not, the write timeout judges.
            || self.hub.output.borrow().has_output(slot)
            || is_held_back;
        if is_busy {
            idle.since = now;
        }
        if idle.since + timeout <= now {
            self.send_away(id, "Idle for too long");
            return true;
        }
        idle = Idle {
            messages,
            unfinished,
            next_look: now + timeout / LOOKS,
            ..idle
        };
        self.asides.idle.insert(slot, idle);
        false
    }

    /// The messages of the client in `slot` either way, and how much there is of the next one.
    fn deeds(&mut self, slot: u32) -> (u64, (usize, u64)) {
        let sent = self.hub.output.borrow().sent(slot).messages;
        let mut directory = self.hub.directory.borrow_mut();
        let read = directory
            .entry_mut(slot)
            .map_or(0, |entry| entry.received.messages);
        let client = self.clients.get_mut(slot);
        let unfinished = client.map_or((0, 0), |client| client.protocol.message_progress());
        (read.wrapping_add(sent), unfinished)
    }

    fn send_away(&mut self, client: ClientId, reason: &'static str) {
        self.hub
            .dismiss(client, CloseCode::GOING_AWAY, Cow::Borrowed(reason));
        self.carry_out();
    }
}
