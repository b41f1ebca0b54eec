//! Streams of HTTP/2 as clients of their own: each has a slot and a queue like any other, and in
//! place of a socket the connection that carries it.
//!
//! ```text
//!   carrier's input ──▶ frames ──▶ payload ──▶ the stream's protocol ──▶ the application
//!   carrier's queue ◀── DATA ◀── windows, room ◀── the stream's queue ◀─────────┘
//! ```
//!
//! A stream whose window is spent, or that finds the queue of its carrier full, is *blocked*, as a
//! client is whose socket is full. Its end of input is `END_STREAM`, the end of its output is one,
//! and its reset is `RST_STREAM` (RFC 8441 section 5). The way of its bytes is in `sending.rs`.

#[cfg(feature = "http2")]
mod invariants;
mod sending;

use crate::client_id::ClientId;
use crate::event_loop::EventLoop;
use crate::event_loop::clients::{Client, fact};
use crate::event_loop::system::{Socket as _, System};
use crate::http2::connection::{Carrying, Http2Connection, NewRequest, Step};
use crate::http2::exchange::{Exchange, First};
use crate::http2::frame::{ErrorCode, StreamId};
use crate::input::Input;
use crate::protocol::{Event, Protocol};
use rustc_hash::FxHashMap;
use sending::Waiting;

/// Who carries a client.
#[derive(Clone, Copy, Debug)]
struct Carried {
    /// The slot of the connection.
    carrier: u32,
    stream: StreamId,
    /// It is a WebSocket's, which ends when both sides did.
    is_tunnel: bool,
    /// It waits for room in the queue of its carrier.
    waits: bool,
    /// The peer did not let it go on.
    is_stalled: bool,
    /// Bytes sent since they counted as progress.
    trickle: usize,
}

/// What the loop knows of streams.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// By the slot of the stream's client.
    carried: FxHashMap<u32, Carried>,
    /// By the slot of the carrier: who waits for room in its queue.
    waiting: FxHashMap<u32, Waiting>,
    /// Those who waited have their turn just now.
    is_making_room: bool,
    /// Bytes that all of them sent so far.
    sent_bytes: u64,
    /// By the slot of the carrier: those that were sent in turns of who waited, since the last flush
    /// began.
    given: FxHashMap<u32, u64>,
    /// Carriers that had their share of it, and go on in the next one.
    postponed: Vec<u32>,
    /// Clients that are carried, and those that were and are to be freed at the end of the turn.
    count: usize,
    /// Where the payload of a frame is gathered.
    payload: Vec<u8>,
}

impl Streams {
    /// How many clients have no connection of their own.
    pub(super) const fn len(&self) -> usize {
        self.count
    }

    /// One of them was freed.
    pub(super) const fn forget_one(&mut self) {
        self.count -= 1;
    }

    /// Whether any stream waits for room in the queue of its carrier.
    #[inline]
    pub(super) fn is_any_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether a carrier had of its share of the last flush.
    #[inline]
    pub(super) fn is_any_given(&self) -> bool {
        !self.given.is_empty()
    }

    /// Whether a carrier is to go on in the next flush.
    pub(super) const fn is_any_postponed(&self) -> bool {
        !self.postponed.is_empty()
    }

    fn get(&self, slot: u32) -> Option<Carried> {
        self.carried.get(&slot).copied()
    }
}

/// What carriers bring.
impl<S: System> EventLoop<S> {
    /// Serves what a carrier was sent. How many bytes are to be offered again, since its reads pause.
    pub(super) fn serve_carrier(&mut self, carrier: u32, bytes: &mut [u8]) -> usize {
        let mut input = Input::new(bytes);
        while !input.is_empty() && self.may_read(carrier) && !self.is_output_full() {
            let step = self.protocol(carrier, |protocol, cx| protocol.next_step(&mut input, cx));
            match step {
                None | Some(Step::NeedInput) => break,
                Some(Step::Request(request)) => self.open_carried(carrier, request),
                Some(Step::Data {
                    slot,
                    bytes,
                    is_last,
                }) => self.take_payload(slot, bytes, is_last),
                Some(Step::Reset { slot }) => self.doom(slot),
                Some(Step::Unblocked { slot }) => self.unblock_carried(slot),
                Some(Step::AllUnblocked) => self.unblock_all(carrier),
                Some(Step::Over { error, reason }) => {
                    log::debug!("the connection in slot {carrier} is over: {error:?}: {reason}");
                    self.end_carrier(carrier);
                    input.take(input.len());
                }
            }
            self.relieve(carrier);
        }
        self.settle_carrier(carrier);
        if self.clients.get_mut(carrier).is_some() {
            input.len()
        } else {
            0
        }
    }

    /// A request was begun: a client of its own.
    fn open_carried(&mut self, carrier: u32, new: NewRequest) {
        let (stream, is_last, now) = (new.stream, new.is_last, self.hub.now.get());
        let host = self.clients.get_mut(carrier);
        let host = host.and_then(|client| client.protocol.host());
        let (Some(host), Some(id)) = (host, self.clients.next_id()) else {
            self.reset_stream(carrier, stream, ErrorCode::REFUSED_STREAM);
            return;
        };
        let slot = id.slot();
        self.hub.output.borrow_mut().open(slot);
        self.carrier(carrier, |connection, _| connection.open(stream, slot));
        let entry = Carried {
            carrier,
            stream,
            is_tunnel: false,
            waits: false,
            is_stalled: false,
            trickle: 0,
        };
        self.asides.streams.carried.insert(slot, entry);
        self.asides.streams.count += 1;
        self.hub.counts.streams.one();
        self.hub.counts.open_streams.up();
        let (exchange, first) = Exchange::begin(new, host, now);
        let protocol = Protocol::Exchange(Box::new(exchange));
        let mut client = Client::new(S::Socket::none(), protocol, now);
        client.set(fact::CARRIED);
        client.put(fact::AT_END, is_last);
        self.clients.insert(client);
        match first {
            First::Request(request) => self.answer(id, request),
            First::Announced => self.announced(id, false),
            First::Refused(refused) => {
                log::debug!("request refused: {refused:?}");
                self.keep_date();
                self.protocol(slot, |protocol, cx| {
                    protocol.refuse(refused.status, refused.reason, cx);
                });
            }
        }
        self.finish_carried(slot);
    }

    /// Payload of a stream has come, or its end.
    fn take_payload(&mut self, slot: u32, bytes: &mut [u8], is_last: bool) {
        let Some((id, client)) = self.clients.entry(slot) else {
            return;
        };
        let now = self.hub.now.get();
        client.protocol.heard(bytes.len(), now);
        if is_last {
            client.set(fact::AT_END | fact::END_UNTOLD);
        }
        let waits = client.is(fact::HELD);
        if client.protocol.endpoint().is_some() {
            let mut directory = self.hub.directory.borrow_mut();
            directory.count_read(slot, bytes.len(), now);
        }
        if waits {
            if let Some(held) = self.asides.held.get_mut(&slot) {
                held.extend(bytes);
            }
        } else {
            let unread = self.serve(id, bytes);
            self.consumed(slot, bytes.len() - unread);
            self.hold(slot, &bytes[bytes.len() - unread..]);
            self.tell_end(id);
        }
        self.finish_carried(slot);
    }

    /// Serves what was held back of a stream's payload.
    pub(super) fn read_carried(&mut self, id: ClientId) {
        let slot = id.slot();
        let before = self.held_bytes(slot);
        self.serve_held(id);
        let after = self.held_bytes(slot);
        self.consumed(slot, before.saturating_sub(after));
        self.tell_end(id);
        self.finish_carried(slot);
    }

    fn held_bytes(&self, slot: u32) -> usize {
        let held = self.asides.held.get(&slot);
        held.map_or(0, |held| held.bytes.len() - held.from)
    }

    /// Tells that the peer ended its side of the stream, when all before that was served.
    fn tell_end(&mut self, id: ClientId) {
        let slot = id.slot();
        let Some(client) = self.clients.get_mut(slot) else {
            return;
        };
        if client.is(fact::HELD) || !client.take(fact::END_UNTOLD) {
            return;
        }
        if !matches!(client.protocol, Protocol::Exchange(_)) {
            // Of a WebSocket it is what the end of a TCP connection is.
            return self.disconnected(slot);
        }
        let event: Option<Option<Event<'_>>> = self.protocol(slot, Protocol::end_input);
        if let Some(Some(event)) = event {
            self.handle(id, event, false);
        }
    }

    /// What is to be done for a stream that was served.
    fn finish_carried(&mut self, slot: u32) {
        self.hub.output.borrow_mut().uncork(slot);
        self.flush_answers(slot);
        self.finish(slot);
    }

    /// So many bytes of payload were taken: the peer may send as many more.
    fn consumed(&mut self, slot: u32, len: usize) {
        let client = self.clients.get_mut(slot);
        let is_over = client.is_none_or(|client| client.protocol.is_lingering());
        if len > 0
            && let Some(Carried {
                carrier,
                stream,
                is_tunnel,
                ..
            }) = self.asides.streams.get(slot)
            && (is_tunnel || !is_over)
        {
            self.carrier(carrier, |connection, cx| {
                connection.consumed(stream, len, cx);
            });
        }
    }

    fn carrier<R>(
        &mut self,
        slot: u32,
        act: impl FnOnce(&mut Http2Connection, &mut Carrying<'_>) -> R,
    ) -> Option<R> {
        self.protocol(slot, |protocol, cx| protocol.carrier(cx, act))?
    }
}

/// How streams and their carriers end.
impl<S: System> EventLoop<S> {
    /// A stream became a WebSocket's.
    pub(super) fn note_tunnel(&mut self, slot: u32) {
        if let Some(carried) = self.asides.streams.carried.get_mut(&slot) {
            carried.is_tunnel = true;
        }
    }

    /// All was said on a stream, and its queue is empty: ends our side of it, and the stream when the
    /// peer ended its own. For that it has a while: some take a reset for a failure, though they have
    /// the whole answer (RFC 9113 section 8.1). Its window stays as it is.
    pub(super) fn settle_carried(&mut self, slot: u32) {
        let Some(client) = self.clients.get_mut(slot) else {
            return;
        };
        client
            .protocol
            .shut_down(&self.settings.server, self.hub.now.get());
        if !client.is(fact::SHUT_DOWN) {
            client.set(fact::SHUT_DOWN);
            self.end_stream_side(slot);
        }
        let Some(client) = self.clients.get_mut(slot) else {
            return;
        };
        if client.is(fact::AT_END) {
            self.doom(slot);
        }
    }

    /// Ends our side of a stream by a frame of its own.
    fn end_stream_side(&mut self, slot: u32) {
        if let Some(Carried {
            carrier, stream, ..
        }) = self.asides.streams.get(slot)
        {
            self.carrier(carrier, |connection, cx| connection.end_stream(stream, cx));
        }
    }

    fn reset_stream(&mut self, carrier: u32, stream: StreamId, code: ErrorCode) {
        self.carrier(carrier, |connection, cx| connection.reset(stream, code, cx));
    }

    /// A client is doomed that another one carries: its stream is ended, or reset if it is cut off.
    pub(super) fn leave_carrier(&mut self, slot: u32) {
        let streams = &mut self.asides.streams;
        let Some(carried) = streams.carried.remove(&slot) else {
            return;
        };
        let Carried {
            carrier, stream, ..
        } = carried;
        if carried.waits {
            streams.forget_waiting(carrier, slot);
        }
        let Some(client) = self.clients.get_any_mut(slot) else {
            return;
        };
        let (is_shut_down, is_at_end) = (client.is(fact::SHUT_DOWN), client.is(fact::AT_END));
        let code = if carried.is_tunnel || carried.is_stalled {
            ErrorCode::CANCEL
        } else if is_shut_down {
            // The answer is whole, whatever the peer was about to send (RFC 9113 section 8.1).
            ErrorCode::NO_ERROR
        } else {
            ErrorCode::INTERNAL_ERROR
        };
        self.carrier(carrier, |connection, cx| {
            if carried.is_tunnel && is_at_end && !is_shut_down {
                connection.end_stream(stream, cx);
            } else {
                connection.reset(stream, code, cx);
            }
        });
        // Many streams may come and go in one turn, at whose end slots are freed.
        self.hub.output.borrow_mut().close(slot);
        self.settle_carrier(carrier);
        self.arm(carrier);
    }

    /// The slot of the connection that carries the client in `slot`.
    pub(super) fn carrier_of(&self, slot: u32) -> Option<u32> {
        self.asides.streams.get(slot).map(|carried| carried.carrier)
    }

    /// A stream takes nothing for too long.
    pub(super) fn note_stalled(&mut self, slot: u32) {
        if let Some(entry) = self.asides.streams.carried.get_mut(&slot) {
            entry.is_stalled = true;
        }
    }

    /// The server stops: the carrier in `slot`, if it is one, takes no streams any more.
    pub(super) fn dismiss_carrier(&mut self, slot: u32) {
        let told = self.carrier(slot, |connection, cx| {
            connection.go_away(ErrorCode::NO_ERROR, cx);
        });
        if told.is_some() {
            self.settle_carrier(slot);
        }
    }

    /// Ends a carrier on which all was said: it is going away, and no stream is left.
    pub(super) fn settle_carrier(&mut self, carrier: u32) {
        let Some(client) = self.clients.get_mut(carrier) else {
            return;
        };
        if client
            .protocol
            .as_carrier()
            .is_some_and(|connection| connection.is_over())
        {
            self.end_carrier(carrier);
        }
    }

    /// A carrier carries nothing any more: what is queued is written, and its streams are lost.
    pub(super) fn end_carrier(&mut self, carrier: u32) {
        self.lose_streams(carrier);
        if let Some(client) = self.clients.get_mut(carrier) {
            client.protocol = Protocol::Lingering(None);
        }
        self.settle(carrier);
        self.arm(carrier);
        // Nothing of its input waits for its queue any more.
        self.resume(carrier);
    }

    /// The streams of a carrier are lost with it.
    pub(super) fn lose_streams(&mut self, carrier: u32) {
        self.asides.streams.waiting.remove(&carrier);
        let Some(client) = self.clients.get_any_mut(carrier) else {
            return;
        };
        let Some(connection) = client.protocol.as_carrier() else {
            return;
        };
        for slot in connection.take_slots() {
            self.doom(slot);
        }
    }
}
