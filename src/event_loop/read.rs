//! From sockets to events to callbacks.

use crate::app::{directory::Uncounted, running::Callback};
use crate::client_id::ClientId;
use crate::config::Settings;
use crate::event_loop::clients::{Client, fact};
use crate::event_loop::system::{ReadOutcome, Ready, Socket, System};
use crate::event_loop::{EARLY_FLUSH_BYTES, EventLoop, Held, client_of, unblock};
use crate::http::Address;
use crate::input::Input;
use crate::moment::Moment;
use crate::output::LEND_BYTES;
use crate::protocol::{Event, Protocol};
use crate::websocket::Message;
use crate::websocket::connection::whole_message;
use std::borrow::Cow;

impl<S: System> EventLoop<S> {
    /// Reads the first `count` of those who are listed; who still is ready when its share is
    /// used up comes again in the next turn.
    pub(super) fn read_ready(&mut self, count: usize) {
        for _ in 0..count {
            let Some(slot) = self.ready.pop_front() else {
                break;
            };
            if let Some((id, client)) = self.clients.entry(slot) {
                client.take(fact::LISTED);
                if client.is(fact::CARRIED) {
                    self.read_carried(id);
                } else {
                    self.read_client(id);
                }
            }
        }
    }

    /// Puts a client that can be read on the list.
    pub(super) fn list(&mut self, slot: u32) {
        if let Some(client) = self.clients.get_mut(slot)
            && !client.is(fact::LISTED)
        {
            client.set(fact::LISTED);
            self.ready.push_back(slot);
        }
    }

    /// Reads on after a pause, if there is something to read and nothing pauses it any more.
    pub(super) fn resume(&mut self, slot: u32) {
        let waiting = self
            .clients
            .get_mut(slot)
            .is_some_and(|client| client.is(fact::HELD | fact::READABLE));
        if waiting && self.may_read(slot) {
            self.list(slot);
        }
    }

    /// Whether a client's input may be taken now.
    #[inline]
    pub(super) fn may_read(&mut self, slot: u32) -> bool {
        let now = self.hub.now.get();
        let client = self.clients.get_mut(slot);
        client.is_some_and(|client| may_read(client, &self.settings, now))
    }

    /// One event of a client: it is read, and what it is answered is written at once.
    ///
    /// The straight path comes first: a steady client, of whose one short read all is whole
    /// messages. What is not like that goes on as [`read_client`](Self::read_client).
    pub(super) fn serve_event(&mut self, event: Ready) {
        let id = client_of(event.token);
        let slot = id.slot();
        // An event of a client that left this slot since is nobody's.
        let Some(client) = self.clients.by_id(id) else {
            return;
        };
        let now = self.hub.now.get();
        if event.writable && client.is(fact::FULL) {
            client.note_progress(now);
            unblock(client, slot, &self.hub);
        }
        if !event.readable {
            return;
        }
        if event.read_closed || client.is_held_up() || !client.protocol.is_steady() {
            return self.note_readable(id, event);
        }
        let len = match client.socket.read(&mut self.buffer) {
            // Short: it found the socket empty, and what comes raises a new edge.
            ReadOutcome::Bytes(len) if len < self.buffer.len() => len,
            outcome => {
                client.set(fact::READABLE);
                if self.take_in(id, outcome) {
                    return self.read_client(id);
                }
                return self.finish_read(slot);
            }
        };
        client.take(fact::READABLE);
        client.protocol.heard(len, now);
        let Some(endpoint) = client.protocol.endpoint() else {
            return;
        };
        let mut buffer = std::mem::take(&mut self.buffer);
        let rest = self.serve_whole(id, endpoint, &mut buffer[..len], len as u64);
        if rest.is_empty() {
            self.buffer = buffer;
            if self.flush_answers(slot) {
                return;
            }
        } else {
            self.hub.count(slot, false);
            let unread = self.serve_events(id, rest);
            self.hold(slot, &buffer[len - unread..len]);
            self.buffer = buffer;
        }
        self.finish_read(slot);
    }

    /// A client may be read: at once, unless it is on the list and has its turn there.
    fn note_readable(&mut self, id: ClientId, event: Ready) {
        let Some(client) = self.clients.get_mut(id.slot()) else {
            return;
        };
        client.set(fact::READABLE);
        if event.read_closed {
            client.set(fact::READ_CLOSED);
            if event.broken && client.protocol.is_receiving() {
                // Its body may be held back, and then no read would tell.
                return self.doom(id.slot());
            }
            if client.protocol.is_streaming() {
                // Nothing else tells it: what it may have sent is not read meanwhile.
                self.disconnected(id.slot());
                return self.resume(id.slot());
            }
        }
        if !client.is(fact::LISTED) {
            self.read_client(id);
        }
    }

    /// Serves a client of any kind its share of a turn: what was held back, then one read.
    pub(super) fn read_client(&mut self, id: ClientId) {
        let slot = id.slot();
        if self.serve_held(id) {
            let now = self.hub.now.get();
            while let Some(client) = self.clients.get_mut(slot) {
                if !may_read(client, &self.settings, now) {
                    break;
                }
                if client.is(fact::AT_END) {
                    client.take(fact::READABLE);
                    break;
                }
                let outcome = if client.is(fact::ENCRYPTED) && self.asides.has_ended(slot) {
                    ReadOutcome::End
                } else {
                    client.socket.read(&mut self.buffer)
                };
                if !self.take_in(id, outcome) {
                    break;
                }
            }
        }
        self.finish_read(slot);
    }

    /// What is to be done for a client that was read.
    pub(super) fn finish_read(&mut self, slot: u32) {
        if self.flush_answers(slot) {
            return;
        }
        self.finish(slot);
        self.flush_early();
    }

    pub(super) fn finish(&mut self, slot: u32) {
        self.account(slot);
        self.check_upload(slot);
        self.settle(slot);
        self.arm(slot);
        if self
            .clients
            .get_mut(slot)
            .is_some_and(|client| client.is(fact::HELD))
        {
            // Held for the others' sake, not for its own: the next turn goes on.
            self.resume(slot);
        }
    }

    /// Serves what was held back of a client's input. Whether it is to be read on.
    pub(super) fn serve_held(&mut self, id: ClientId) -> bool {
        let slot = id.slot();
        let Some(client) = self.clients.get_mut(slot) else {
            return false;
        };
        if !client.take(fact::HELD) {
            return true;
        }
        let Some(mut held) = self.asides.held.remove(&slot) else {
            return true;
        };
        let unread = self.serve(id, &mut held.bytes[held.from..]);
        self.uncork_wrapped(slot);
        if unread > 0
            && let Some(client) = self.clients.get_mut(slot)
        {
            client.set(fact::HELD);
            held.from = held.bytes.len() - unread;
            self.asides.held.insert(slot, held);
        }
        unread == 0
    }

    /// What a read of a client brought. Whether it is to be read once more.
    pub(super) fn take_in(&mut self, id: ClientId, outcome: ReadOutcome) -> bool {
        let slot = id.slot();
        let Some(client) = self.clients.get_mut(slot) else {
            return false;
        };
        let ReadOutcome::Bytes(len) = outcome else {
            client.take(fact::READABLE);
            self.read_nothing(slot, outcome);
            return false;
        };
        self.hub.counts.bytes_read.add(len as u64);
        let is_full = len == self.buffer.len();
        // A short read found the socket empty, and what comes raises a new edge; only the end, if
        // it was there already, raises none.
        let drained = !is_full && !client.is(fact::READ_CLOSED);
        if drained {
            client.take(fact::READABLE);
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        let unread = if client.is(fact::ENCRYPTED) {
            self.take_in_records(id, &mut buffer[..len])
        } else {
            self.take_in_bytes(id, &mut buffer[..len])
        };
        self.buffer = buffer;
        if is_full && unread == 0 {
            // Its share is used up: the next turn reads on.
            self.list(slot);
        }
        !drained && !is_full && unread == 0
    }

    /// Serves what a client sent, and holds what is to be offered again. How much that is.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "two callers, of which one is plain")]
    pub(super) fn take_in_bytes(&mut self, id: ClientId, bytes: &mut [u8]) -> usize {
        let (slot, len, now) = (id.slot(), bytes.len(), self.hub.now.get());
        let Some(client) = self.clients.get_mut(slot) else {
            return 0;
        };
        client.protocol.heard(len, now);
        if client.protocol.is_websocket() {
            self.hub.directory.borrow_mut().count_read(slot, len, now);
        }
        let unread = self.serve(id, bytes);
        self.hold(slot, &bytes[len - unread..]);
        unread
    }

    /// A read brought no bytes.
    fn read_nothing(&mut self, slot: u32, outcome: ReadOutcome) {
        match outcome {
            ReadOutcome::Bytes(_) | ReadOutcome::Drained => {}
            ReadOutcome::End => {
                if let Some(client) = self.clients.get_mut(slot) {
                    client.set(fact::AT_END);
                }
                self.note_truncated(slot);
                self.disconnected(slot);
            }
            ReadOutcome::Broken => self.doom(slot),
        }
    }

    /// Hands `bytes` to the client's protocol and its events to the application. How many are
    /// to be offered again, since its reads pause.
    pub(super) fn serve(&mut self, id: ClientId, mut bytes: &mut [u8]) -> usize {
        let Some(client) = self.clients.get_mut(id.slot()) else {
            return 0;
        };
        if client.protocol.is_steady()
            && let Some(endpoint) = client.protocol.endpoint()
        {
            bytes = self.serve_steady(id, endpoint, bytes);
        }
        self.serve_events(id, bytes)
    }

    /// The whole messages at the front of `bytes`, whose bytes are counted as read already.
    fn serve_steady<'b>(
        &mut self,
        id: ClientId,
        endpoint: u16,
        bytes: &'b mut [u8],
    ) -> &'b mut [u8] {
        self.hub.output.borrow_mut().uncork(id.slot());
        let rest = self.serve_whole(id, endpoint, bytes, 0);
        self.hub.count(id.slot(), false);
        rest
    }

    /// [`serve`](Self::serve) one event at a time: whatever may come.
    fn serve_events(&mut self, id: ClientId, mut bytes: &mut [u8]) -> usize {
        let slot = id.slot();
        self.inflaters.refill();
        while !bytes.is_empty() && self.may_read(slot) && !self.is_output_full() {
            let mut input = Input::new(bytes);
            let event = self.protocol(slot, |protocol, cx| protocol.next_event(&mut input, cx));
            bytes = input.into_rest();
            let Some(Some(event)) = event else { break };
            let upgrades = matches!(event, Event::Request(_));
            self.handle(id, event, !bytes.is_empty());
            if bytes.is_empty() && !self.hub.output.borrow().is_blocked(slot) {
                break; // what it is answered is written next
            }
            self.relieve(slot);
            let Some(client) = self.clients.get_mut(slot) else {
                break;
            };
            let steady = client.protocol.is_steady();
            if let Some(endpoint) = client.protocol.endpoint() {
                if upgrades {
                    // What came behind the handshake is the first of the frames.
                    let now = self.hub.now.get();
                    let mut directory = self.hub.directory.borrow_mut();
                    directory.count_read(slot, bytes.len(), now);
                }
                if steady {
                    bytes = self.serve_steady(id, endpoint, bytes);
                }
            }
        }
        let Some(client) = self.clients.get_mut(slot) else {
            return 0; // a doomed client's rest is of no use
        };
        if client.protocol.as_carrier().is_some() {
            // It has no events of its own, but steps; or it turned out to speak HTTP/2.
            return self.serve_carrier(slot, bytes);
        }
        bytes.len()
    }

    /// Hands over the whole messages at the front of `bytes`, as many as come one after the other
    /// while the client is steady and takes its answers. Then they are to be counted, and
    /// `uncounted` bytes that were read.
    #[inline(never)]
    fn serve_whole<'b>(
        &mut self,
        id: ClientId,
        endpoint: u16,
        mut bytes: &'b mut [u8],
        uncounted: u64,
    ) -> &'b mut [u8] {
        let slot = id.slot();
        self.cork(id, endpoint);
        let mut came = Uncounted {
            slot,
            bytes: uncounted,
            messages: 0,
        };
        // Whatever happens to the client ends this: it is corked no more then.
        while !bytes.is_empty() && self.is_corked(slot) {
            let Some(whole) = whole_message(bytes, self.settings.endpoint(endpoint)) else {
                break;
            };
            came.messages += 1;
            self.hub.note(came);
            match whole {
                Ok((message, len)) => {
                    let payload_len = message.len();
                    let lends = payload_len >= LEND_BYTES && !self.is_wrapped(slot);
                    if lends {
                        self.hub.output.borrow_mut().offer(message.as_bytes());
                    }
                    self.call(Callback::Data, endpoint, Some(id), |application| {
                        application.data(id, message);
                    });
                    let (frame, rest) = bytes.split_at_mut(len);
                    if lends {
                        self.write_lent(slot, frame, len - payload_len);
                    }
                    bytes = rest;
                }
                Err(violation) => {
                    let reason = Cow::Borrowed(violation.reason);
                    self.hub.fail(id, violation.code, reason);
                    self.carry_out();
                }
            }
        }
        if came.messages == 0 {
            self.hub.note(came); // nobody was called who could have looked
        }
        bytes
    }

    /// Whether answers are gathered for the client in `slot`, and may still be.
    #[inline]
    fn is_corked(&self, slot: u32) -> bool {
        let output = self.hub.output.borrow();
        output.corked(slot).is_some() && output.turn_bytes() <= EARLY_FLUSH_BYTES
    }

    /// Keeps `bytes`, if there are any, for when the client's reads go on.
    pub(super) fn hold(&mut self, slot: u32, bytes: &[u8]) {
        if !bytes.is_empty()
            && let Some(client) = self.clients.get_mut(slot)
        {
            client.set(fact::HELD);
            let bytes = bytes.to_vec();
            self.asides.held.insert(slot, Held { bytes, from: 0 });
        }
    }

    /// Hands an event to the application; `has_more`: so does the input.
    pub(super) fn handle(&mut self, id: ClientId, event: Event<'_>, has_more: bool) {
        match event {
            Event::Request(request) => self.answer(id, request),
            Event::Introduced(ip) => self.introduced(id.slot(), ip),
            Event::Announced => self.announced(id, has_more),
            Event::Body(bytes, is_last) => self.receive(id, bytes, is_last),
            Event::Text(text) => self.deliver(id, Message::Text(&text)),
            Event::Binary(bytes) => self.deliver(id, Message::Binary(&bytes)),
            Event::Closing(code, reason, by) => self.closed(id.slot(), code, &reason, by),
        }
    }

    #[inline]
    fn deliver(&mut self, id: ClientId, message: Message<'_>) {
        let Some(client) = self.clients.get_mut(id.slot()) else {
            return;
        };
        let Some(endpoint) = client.protocol.endpoint() else {
            return;
        };
        self.call(Callback::Data, endpoint, Some(id), |application| {
            application.data(id, message);
        });
    }

    /// The 101 is queued: the client is open.
    pub(super) fn open(&mut self, id: ClientId, endpoint: u16, remote_address: &Address) {
        self.hub.counts.opened.one();
        if self.access.is_on() {
            self.note_websocket(id);
        }
        let deflate = self.hub.open(id, endpoint, remote_address);
        self.protocol(id.slot(), |protocol, cx| {
            protocol.upgrade(endpoint, deflate, cx);
        });
        self.note_tunnel(id.slot());
        self.begin_idle_time(id.slot(), endpoint);
        self.arm(id.slot());
        self.call(Callback::Open, endpoint, Some(id), |application| {
            application.open(id);
        });
    }

    /// The peer will send no more.
    pub(super) fn disconnected(&mut self, slot: u32) {
        self.lose_streams(slot);
        let client = self.clients.get_mut(slot);
        if client.is_some_and(|client| client.protocol.is_streaming()) {
            // What is queued is still written, as to everybody who ended only its own side.
            self.close_stream_to(slot);
        }
        let Some((drop, event)) = self.protocol(slot, Protocol::disconnected) else {
            return;
        };
        if let Some(event) = event
            && let Some(id) = self.clients.id_of(slot)
        {
            self.handle(id, event, false);
        }
        if drop {
            self.doom(slot);
        }
        self.check_upload(slot);
    }
}

/// Whether a client's input may be taken now.
#[inline]
fn may_read<K>(client: &Client<K>, settings: &Settings, now: Moment) -> bool {
    let held_back =
        client.is(fact::ABOVE_SOFT) && client.protocol.soft_backlog_bytes(settings).is_some();
    !held_back
        && client
            .protocol
            .paused_until()
            .is_none_or(|until| until <= now)
}
