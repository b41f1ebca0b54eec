//! From sockets to events to callbacks.

use crate::client_id::ClientId;
use crate::event_loop::EventLoop;
use crate::event_loop::clients::Held;
use crate::event_loop::socket::ReadOutcome;
use crate::event_loop::stop::Stop;
use crate::http::{Request, StatusCode};
use crate::input::Input;
use crate::protocol::{Event, Protocol};
use crate::websocket::{CloseCode, Message};
use std::borrow::Cow;

impl EventLoop {
    /// Reads the clients that were ready when the phase began; who still is when its share is
    /// used up comes again in the next turn.
    pub(super) fn read_ready(&mut self) {
        self.date.at(std::time::SystemTime::now());
        for _ in 0..self.ready.len() {
            let Some(slot) = self.ready.pop_front() else {
                break;
            };
            if let Some(client) = self.clients.get_mut(slot) {
                client.listed = false;
                self.read_client(slot);
            }
            if self.is_output_full() {
                self.flush();
                self.read_clock();
            }
        }
    }

    /// Puts a client that can be read on the list.
    pub(super) fn list(&mut self, slot: u32) {
        if let Some(client) = self.clients.get_mut(slot)
            && !client.listed
        {
            client.listed = true;
            self.ready.push_back(slot);
        }
    }

    /// Reads on after a pause, if there is something to read and nothing pauses it any more.
    pub(super) fn resume(&mut self, slot: u32) {
        let waiting = self
            .clients
            .get_mut(slot)
            .is_some_and(|client| client.held.is_some() || client.readable);
        if waiting && self.may_read(slot) {
            self.list(slot);
        }
    }

    /// Whether a client's input may be taken now.
    pub(super) fn may_read(&mut self, slot: u32) -> bool {
        let now = self.hub.now.get();
        let config = &self.config;
        self.clients.get_mut(slot).is_some_and(|client| {
            let held_back =
                client.above_soft && client.protocol.soft_backlog_bytes(config).is_some();
            !held_back
                && client
                    .protocol
                    .paused_until()
                    .is_none_or(|until| until <= now)
        })
    }

    /// Serves one client its share of a turn: what was held back, then one read.
    fn read_client(&mut self, slot: u32) {
        let held = self
            .clients
            .get_mut(slot)
            .and_then(|client| client.held.take());
        if let Some(mut held) = held {
            let unread = self.serve(slot, &mut held.bytes[held.from..]);
            if unread > 0 {
                held.from = held.bytes.len() - unread;
                self.hold(slot, held);
                self.account(slot);
                self.arm(slot);
                self.resume(slot);
                return;
            }
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        self.read_socket(slot, &mut buffer);
        self.buffer = buffer;
        self.account(slot);
        self.settle(slot);
        self.arm(slot);
        if self
            .clients
            .get_mut(slot)
            .is_some_and(|client| client.held.is_some())
        {
            // Held for the others' sake, not for its own: the next turn goes on.
            self.resume(slot);
        }
    }

    fn read_socket(&mut self, slot: u32, buffer: &mut [u8]) {
        while self.may_read(slot) {
            let Some(client) = self.clients.get_mut(slot) else {
                return;
            };
            if client.at_end {
                client.readable = false;
                return;
            }
            match client.socket.read(buffer) {
                ReadOutcome::Bytes(len) => {
                    let read_closed = client.read_closed;
                    let now = self.hub.now.get();
                    client.protocol.heard(len, now);
                    if client.protocol.endpoint().is_some() {
                        self.hub.directory.borrow_mut().count_read(slot, len, now);
                    }
                    let unread = self.serve(slot, &mut buffer[..len]);
                    if unread > 0 {
                        let bytes = buffer[len - unread..len].to_vec();
                        self.hold(slot, Box::new(Held { bytes, from: 0 }));
                        return;
                    }
                    if len == buffer.len() {
                        // Its share is used up: the next turn reads on.
                        self.list(slot);
                        return;
                    }
                    // A short read found the socket empty, and what comes raises a new edge; only
                    // the end, if it was there already, raises none.
                    if !read_closed {
                        if let Some(client) = self.clients.get_mut(slot) {
                            client.readable = false;
                        }
                        return;
                    }
                }
                ReadOutcome::Drained => {
                    client.readable = false;
                    return;
                }
                ReadOutcome::End => {
                    client.readable = false;
                    client.at_end = true;
                    self.disconnected(slot);
                    return;
                }
                ReadOutcome::Broken => {
                    client.readable = false;
                    self.doom(slot);
                    return;
                }
            }
        }
    }

    /// Hands `bytes` to the client's protocol and its events to the application. How many are
    /// to be offered again, since its reads pause.
    fn serve(&mut self, slot: u32, bytes: &mut [u8]) -> usize {
        let mut input = Input::new(bytes);
        while self.may_read(slot) && !self.is_output_full() {
            let event = self.protocol(slot, |protocol, cx| protocol.next_event(&mut input, cx));
            let Some(Some(event)) = event else { break };
            let upgrades = matches!(event, Event::Request(_));
            self.handle(slot, event);
            if upgrades
                && self
                    .clients
                    .get_mut(slot)
                    .is_some_and(|client| client.protocol.endpoint().is_some())
            {
                // What came behind the handshake is the first of the frames.
                self.hub
                    .directory
                    .borrow_mut()
                    .count_read(slot, input.len(), self.hub.now.get());
            }
            self.relieve(slot);
        }
        // A doomed client's rest is of no use.
        if self.clients.get_mut(slot).is_some() {
            input.len()
        } else {
            0
        }
    }

    fn hold(&mut self, slot: u32, held: Box<Held>) {
        if let Some(client) = self.clients.get_mut(slot) {
            client.held = Some(held);
        }
    }

    /// Keeps the total of half-read input, which has a limit too.
    fn account(&mut self, slot: u32) {
        let Some(client) = self.clients.get_mut(slot) else {
            return;
        };
        let held = client.held.as_ref().map_or(0, |held| held.bytes.capacity());
        let bytes = client.protocol.buffered_bytes() + held;
        let grew = bytes > client.buffered_bytes;
        self.buffered_bytes = self.buffered_bytes - client.buffered_bytes + bytes;
        client.buffered_bytes = bytes;
        let is_http = matches!(client.protocol, Protocol::Http1(_));
        if grew && self.buffered_bytes > self.config.max_buffered_input_bytes {
            self.warn("half-read input of all clients passed its limit");
            let client = self.hub.directory.borrow().id_at(slot);
            if let Some(client) = client {
                let reason = Cow::Borrowed("The server is out of room");
                self.hub.fail(client, CloseCode::TRY_AGAIN_LATER, reason);
                self.carry_out();
            } else if is_http {
                let reason = "The server is out of room; try again later.";
                self.protocol(slot, |protocol, cx| {
                    protocol.refuse(StatusCode::SERVICE_UNAVAILABLE, reason, cx);
                });
            } else {
                self.doom(slot);
            }
            self.account(slot);
        }
    }

    fn handle(&mut self, slot: u32, event: Event<'_>) {
        match event {
            Event::Request(request) => self.answer(slot, request),
            Event::Text(text) => self.deliver(slot, Message::Text(&text)),
            Event::Binary(bytes) => self.deliver(slot, Message::Binary(&bytes)),
            Event::Closing(code, reason) => self.closed(slot, code, &reason),
        }
    }

    fn deliver(&mut self, slot: u32, message: Message<'_>) {
        let Some(client) = self.clients.get_mut(slot) else {
            return;
        };
        let (id, Some(endpoint)) = (client.id, client.protocol.endpoint()) else {
            return;
        };
        self.call("on_data", endpoint, Some(id), |application| {
            application.data(id, message);
        });
    }

    /// Routes a request and queues the answer, or makes the client an endpoint's.
    fn answer(&mut self, slot: u32, mut request: Box<Request>) {
        let Some(client) = self.clients.get_mut(slot) else {
            return;
        };
        let (id, host) = (client.id, client.host);
        if !matches!(self.stop, Stop::Running) {
            let reason = "The server stops.";
            self.protocol(slot, |protocol, cx| {
                protocol.refuse(StatusCode::SERVICE_UNAVAILABLE, reason, cx);
            });
            return;
        }
        let response = self.app.respond(host, &mut request);
        self.carry_out();
        if let Some(fault) = response.fault() {
            log::error!("a responder failed: {fault}");
        }
        let remote_address = request.connection().remote_address;
        let upgrade = self.protocol(slot, |protocol, cx| protocol.respond(response, cx));
        if let Some(Some(endpoint)) = upgrade {
            self.open(id, endpoint, remote_address);
        }
    }

    /// The 101 is queued: the client is open.
    fn open(&mut self, id: ClientId, endpoint: u16, remote_address: std::net::SocketAddr) {
        let config = self.hub.config(endpoint);
        self.hub.open(id, endpoint, remote_address);
        self.protocol(id.slot(), |protocol, cx| {
            protocol.upgrade(endpoint, config, cx.now);
        });
        self.call("on_open", endpoint, Some(id), |application| {
            application.open(id);
        });
    }

    /// The peer will send no more.
    fn disconnected(&mut self, slot: u32) {
        let Some((drop, event)) = self.protocol(slot, Protocol::disconnected) else {
            return;
        };
        if let Some(event) = event {
            self.handle(slot, event);
        }
        if drop {
            self.doom(slot);
        }
    }
}
