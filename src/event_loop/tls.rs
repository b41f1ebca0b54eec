//! TLS between sockets and protocols: records that came are opened before anything else sees them,
//! and what is to be written is sealed on its way to the socket.
//!
//! A [`Session`] keeps no buffers: a record is opened out of the loop's read buffer and sealed into
//! the loop's own, the [`Pump`]'s. It holds what is left of either: a record of which a part is
//! missing, and records that a full socket did not take. To the output a session is what a kernel's
//! buffer is: bytes are written when they are sealed, and while some of them still wait here, the
//! client is blocked.
//!
//! What knows rustls is `session.rs`; without the feature `tls` no session can exist.

#[cfg_attr(not(feature = "tls"), path = "tls/session_absent.rs")]
mod session;

use crate::client_id::ClientId;
use crate::event_loop::clients::{Client, fact};
use crate::event_loop::flush::{SLICES_PER_WRITE, WRITE_BUDGET_BYTES, is_above_soft};
use crate::event_loop::system::{Socket, System, WriteOutcome};
use crate::event_loop::{Asides, EventLoop};
use crate::input::Input;
use crate::output::Output;
use crate::protocol::Protocol;
use crate::websocket::CloseCode;
pub(crate) use session::Acceptor;
pub(super) use session::Session;
use std::io::IoSlice;

/// Plaintext that is sealed for one write, in bytes: four records of the greatest length.
const PLAINTEXT_PER_WRITE: usize = 64 * 1024;
/// The same for a WebSocket client whose socket was full before: what that does not take is the
/// client's own, which of a broadcast to many slow ones would be a copy for each.
const PLAINTEXT_PER_SLOW_WRITE: usize = 16 * 1024;
/// Records that wait, in bytes, up to which more are sealed to go with them: the last ones of a
/// handshake go with the first answer.
const FLIGHT_BYTES: usize = 4 * 1024;

/// What all sessions share: empty but while one of them is served.
#[derive(Debug, Default)]
pub(super) struct Pump {
    /// What one read brought, opened.
    plain: Vec<u8>,
    /// Pieces that are sealed together.
    gathered: Vec<u8>,
    /// What one write takes.
    sealed: Vec<u8>,
    /// Who was sent a broadcast, and is to be told of.
    sent: Vec<u32>,
    /// What sockets took of records, and was not counted yet.
    written: u64,
}

/// What a read of records came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "tls"),
    expect(dead_code, reason = "there are no sessions")
)]
enum Progress {
    /// More may come.
    Open,
    /// The peer said that it sends no more (RFC 8446 section 6.1).
    Ended,
    /// The records are none, or not the peer's: an alert waits to be sent, if one can be.
    Failed,
}

impl Asides {
    /// Whether the peer of a TLS client said that it sends no more.
    pub(super) fn has_ended(&self, slot: u32) -> bool {
        self.sessions
            .get(&slot)
            .is_some_and(|session| session.has_ended())
    }

    /// What there is of a record that is not complete, in bytes.
    pub(super) fn incomplete_bytes(&self, slot: u32) -> usize {
        let session = self.sessions.get(&slot);
        session.map_or(0, |session| session.incomplete_bytes())
    }
}

impl<S: System> EventLoop<S> {
    /// Opens records that a client sent and serves what is in them. How much of that is held back.
    #[inline(never)] // as all of this: within their callers they take registers from plain clients
    pub(super) fn take_in_records(&mut self, id: ClientId, mut bytes: &mut [u8]) -> usize {
        let slot = id.slot();
        let is = |client: Option<&mut Client<S::Socket>>, what: fn(&Protocol) -> bool| {
            client.is_some_and(|client| what(&client.protocol))
        };
        if is(self.clients.get_mut(slot), Protocol::is_proxied) {
            // Its header comes in plain.
            let mut input = Input::new(bytes);
            let event = self.protocol(slot, |protocol, cx| protocol.next_event(&mut input, cx));
            bytes = input.into_rest();
            if let Some(Some(event)) = event {
                self.handle(id, event, true);
            }
        }
        let is_new = is(self.clients.get_mut(slot), Protocol::is_securing);
        let Some(session) = self.asides.sessions.get_mut(&slot) else {
            return 0;
        };
        if is_new && session.is_plain(bytes) {
            self.answer_in_plain(slot);
            return 0;
        }
        let mut plain = std::mem::take(&mut self.pump.plain);
        plain.clear();
        let progress = session.receive(bytes, &mut plain);
        if session.has_sealed() {
            self.hub.output.borrow_mut().put_undelivered(slot, true);
        }
        if is_new && session.is_secured() {
            let is_http2 = session.alpn() == Some(b"h2");
            self.count_secured(slot);
            self.protocol(slot, |protocol, cx| protocol.secured(is_http2, cx));
        }
        let unread = if plain.is_empty() {
            // A part of a record is a sign of life, too.
            if let Some(client) = self.clients.get_mut(slot) {
                client.protocol.heard(0, self.hub.now.get());
            }
            0
        } else {
            let unread = self.take_in_bytes(id, &mut plain);
            self.uncork_wrapped(slot);
            unread
        };
        self.pump.plain = plain;
        match progress {
            Progress::Ended if unread == 0 => {
                if let Some(client) = self.clients.get_mut(slot) {
                    client.set(fact::AT_END);
                }
                self.disconnected(slot);
            }
            // An end behind what is held is for the next read to tell, whenever that may be.
            Progress::Ended => {
                if let Some(client) = self.clients.get_mut(slot) {
                    client.set(fact::READABLE);
                }
            }
            Progress::Open => {}
            Progress::Failed => self.fail_session(slot),
        }
        unread
    }

    /// A client speaks plain HTTP where TLS is spoken: it is told, and not encrypted from here on.
    fn answer_in_plain(&mut self, slot: u32) {
        self.asides.sessions.remove(&slot);
        if let Some(client) = self.clients.get_mut(slot) {
            client.take(fact::ENCRYPTED);
        }
        self.count_unsecured(slot);
        log::debug!("the client in slot {slot} speaks plain HTTP where TLS is spoken");
        self.protocol(slot, Protocol::refuse_plain);
    }

    /// No record can be opened or sealed any more: whoever is to be told is told, and nothing but
    /// the alert is sent.
    fn fail_session(&mut self, slot: u32) {
        self.lose_streams(slot);
        self.closed(slot, CloseCode::ABNORMAL, "");
        self.abandon(slot);
        let Some(client) = self.clients.get_mut(slot) else {
            return;
        };
        client.protocol = Protocol::Lingering(None);
        client.take(fact::ABOVE_SOFT);
        let mut output = self.hub.output.borrow_mut();
        let is_blocked = output.is_blocked(slot);
        output.close(slot);
        output.open(slot);
        if is_blocked {
            output.block(slot);
        }
        output.put_undelivered(slot, true);
    }

    /// Notes that a client's input ended without its saying so: what it sent may have been cut.
    pub(super) fn note_truncated(&self, slot: u32) {
        if let Some(session) = self.asides.sessions.get(&slot)
            && session.is_secured()
            && !session.has_ended()
        {
            log::debug!("the input of the client in slot {slot} ended without close_notify");
        }
    }

    /// Whether what a client's socket carries is something else than its bytes.
    #[inline(never)]
    pub(super) fn is_wrapped(&mut self, slot: u32) -> bool {
        let client = self.clients.get_mut(slot);
        client.is_some_and(|client| client.is(fact::WRAPPED))
    }

    /// What was gathered for a client to be written as it is becomes output like any other, if it
    /// cannot be.
    pub(super) fn uncork_wrapped(&mut self, slot: u32) {
        if self.is_wrapped(slot) {
            self.hub.output.borrow_mut().uncork(slot);
        }
    }

    /// [`write_client`](Self::write_client) for a client whose records are sealed first.
    #[inline(never)]
    pub(super) fn write_encrypted(&mut self, slot: u32) -> usize {
        let now = self.hub.now.get();
        let (Some(client), Some(session)) = (
            self.clients.get_mut(slot),
            self.asides.sessions.get_mut(&slot),
        ) else {
            return 0;
        };
        let mut output = self.hub.output.borrow_mut();
        output.uncork(slot);
        if is_above_soft(client, slot, &output, &self.settings) {
            client.set(fact::ABOVE_SOFT);
        }
        if !client.is(fact::WAITING) {
            client.note_progress(now);
        }
        let (written, is_broken) = write(client, slot, &mut output, session, &mut self.pump);
        self.hub.counts.bytes_written.add(self.pump.take_written());
        if written > 0 {
            client.note_progress(now);
            self.hub.directory.borrow_mut().note_sent(slot, now);
        }
        client.put(fact::WAITING, output.has_output(slot));
        client.put(fact::FULL, output.is_blocked(slot));
        drop(output);
        if is_broken {
            self.doom(slot);
            return written;
        }
        if client.is(fact::FULL) && !client.is(fact::WATCHED) {
            self.watch_writable(slot);
        }
        let client = self.clients.get_mut(slot);
        if client.is_some_and(|client| client.is(fact::ABOVE_SOFT)) {
            self.judge_backlog(slot);
        }
        written
    }

    /// All was written: says so to the peer. Whether its socket has taken that.
    #[inline(never)]
    pub(super) fn close_session(&mut self, slot: u32) -> bool {
        let Some(session) = self.asides.sessions.get_mut(&slot) else {
            return true;
        };
        if !session.close() {
            return true;
        }
        self.hub.output.borrow_mut().put_undelivered(slot, true);
        self.write_client(slot);
        !self.hub.output.borrow().has_output(slot)
    }

    /// A client is about to be dropped: says so to its peer, if all that it was to be sent is out.
    /// Else the peer is to see that something is missing.
    pub(super) fn part(&mut self, slot: u32) {
        if let Some(client) = self.clients.get_mut(slot)
            && client.is(fact::ENCRYPTED)
            && !self.hub.streams.is_sent_until_close(slot)
            && !self.hub.output.borrow().has_output(slot)
            && let Some(session) = self.asides.sessions.get_mut(&slot)
            && session.close()
        {
            // Its socket takes it or not: there is no later.
            if let WriteOutcome::Bytes(len) = client.socket.write(session.sealed()) {
                self.hub.counts.bytes_written.add(len as u64);
            }
        }
    }
}

/// Seals and writes what a client lacks, as far as its socket and its share of the turn go. How many
/// bytes of plaintext and records that waited were written, and whether the connection is broken.
fn write<K: Socket>(
    client: &mut Client<K>,
    slot: u32,
    output: &mut Output,
    session: &mut Session,
    pump: &mut Pump,
) -> (usize, bool) {
    let mut written = 0;
    let is_slow = client.is(fact::WATCHED) && client.protocol.endpoint().is_some();
    let most = if is_slow {
        PLAINTEXT_PER_SLOW_WRITE
    } else {
        PLAINTEXT_PER_WRITE
    };
    while !output.is_blocked(slot) {
        let sealed = &mut pump.sealed;
        session.take_sealed(sealed);
        let waited = sealed.len();
        let mut len = 0;
        if waited <= FLIGHT_BYTES && session.can_seal() {
            if let Err(error) = output.fill(slot) {
                // The length was promised: only a cut connection tells that it is not kept.
                log::warn!("a response was cut off: {error}");
                return (written, true);
            }
            let mut slices = [IoSlice::new(&[]); SLICES_PER_WRITE];
            let gathered = output.gather(slot, &mut slices);
            let plain = joined(&slices[..gathered.slices], most, &mut pump.gathered);
            len = plain.len();
            if !session.seal(plain, sealed) {
                log::debug!("the keys of the client in slot {slot} are spent");
                return (written, true);
            }
        }
        if sealed.is_empty() {
            output.put_undelivered(slot, false);
            break;
        }
        let taken = match client.socket.write(sealed) {
            WriteOutcome::Bytes(taken) => taken,
            WriteOutcome::Full => 0,
            WriteOutcome::Broken => return (written, true),
        };
        pump.written += taken as u64;
        if len > 0 {
            output.advance(slot, len);
        }
        if taken > 0 {
            // What is sealed alone is no progress of the peer's.
            written += len + taken.min(waited);
        }
        if taken < sealed.len() {
            session.keep_sealed(&sealed[taken..]);
            output.put_undelivered(slot, true);
            output.block(slot);
            return (written, false);
        }
        output.put_undelivered(slot, false);
        if !output.has_output(slot) || written >= WRITE_BUDGET_BYTES {
            break;
        }
    }
    (written, false)
}

impl Pump {
    /// Seals and writes a broadcast to a client that lacks nothing else, if it is encrypted and that can
    /// be done at once. How many bytes of it were sealed: all or none.
    #[cold] // or those who are sent it in plain pay for its registers
    #[inline(never)]
    pub(super) fn write_broadcast<K: Socket>(
        &mut self,
        client: &mut Client<K>,
        slot: u32,
        bytes: &[u8],
        asides: &mut Asides,
    ) -> usize {
        if client.is(fact::DOOMED | fact::CARRIED) {
            return 0;
        }
        let is_long = client.is(fact::WATCHED) && bytes.len() > PLAINTEXT_PER_SLOW_WRITE;
        let session = asides.sessions.get_mut(&slot);
        let Some(session) = session.filter(|session| !is_long && !session.has_sealed()) else {
            return 0;
        };
        self.sealed.clear();
        if !session.can_seal() || !session.seal(bytes, &mut self.sealed) {
            return 0;
        }
        let taken = match client.socket.write(&self.sealed) {
            WriteOutcome::Bytes(taken) => taken,
            // The next write will find the same.
            WriteOutcome::Full | WriteOutcome::Broken => 0,
        };
        self.written += taken as u64;
        if taken < self.sealed.len() {
            session.keep_sealed(&self.sealed[taken..]);
        }
        self.sent.push(slot);
        bytes.len()
    }

    /// Bytes that sockets took since the last call.
    pub(super) fn take_written(&mut self) -> u64 {
        std::mem::take(&mut self.written)
    }

    /// Tells who was sent a broadcast. Those whose socket did not take all of it are to be written to
    /// once more.
    pub(super) fn settle(
        &mut self,
        asides: &Asides,
        output: &mut Output,
        mut note_sent: impl FnMut(u32),
    ) {
        for slot in self.sent.drain(..) {
            note_sent(slot);
            let session = asides.sessions.get(&slot);
            if session.is_some_and(|session| session.has_sealed()) {
                output.put_undelivered(slot, true);
            }
        }
    }
}

/// The first `most` bytes of `slices` in one piece.
fn joined<'a>(slices: &'a [IoSlice<'_>], most: usize, room: &'a mut Vec<u8>) -> &'a [u8] {
    if let [slice] = slices {
        return &slice[..slice.len().min(most)];
    }
    room.clear();
    for slice in slices {
        let free = most - room.len();
        room.extend_from_slice(&slice[..slice.len().min(free)]);
    }
    room
}

#[cfg(all(test, feature = "self-signed"))]
mod tests;
