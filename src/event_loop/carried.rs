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
//! and its reset is `RST_STREAM` (RFC 8441 section 5).

use crate::client_id::ClientId;
use crate::config::Settings;
use crate::event_loop::clients::{Client, fact};
use crate::event_loop::flush::WRITE_BUDGET_BYTES;
use crate::event_loop::system::{Socket as _, System};
use crate::event_loop::{EventLoop, Held};
use crate::http2::connection::{Carrying, Http2Connection, NewRequest, Step, Window};
use crate::http2::exchange::{Exchange, First};
use crate::http2::frame::{ErrorCode, StreamId, data_header};
use crate::input::Input;
use crate::output::{Bytes, Output, Unit};
use crate::protocol::{Event, Protocol};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::io::IoSlice;

/// Pieces that one DATA frame is gathered from.
const SLICES_PER_FRAME: usize = 16;
/// Longest payload of a DATA frame: what every peer takes (RFC 9113 section 4.2).
const FRAME_BYTES: usize = 16 * 1024;
/// Bytes that a stream has to be let send before that counts as progress, unless it lacks none:
/// a peer that opens its window byte by byte keeps nothing open by that.
const PROGRESS_BYTES: usize = 1024;

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

/// What was moved from a stream's queue to its carrier's.
#[derive(Clone, Copy, Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one independent fact"
)]
struct Moved {
    bytes: usize,
    has_progress: bool,
    /// The last frame ended the stream.
    has_ended: bool,
    /// What was to be sent cannot be read.
    is_broken: bool,
    /// There is no room in the carrier's queue for more.
    is_held_up: bool,
}

impl Moved {
    /// What was moved then, and what before.
    fn and(self, then: Self) -> Self {
        Self {
            bytes: self.bytes + then.bytes,
            has_progress: self.has_progress || then.has_progress,
            ..then
        }
    }
}

/// What the loop knows of streams.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// By the slot of the stream's client.
    carried: FxHashMap<u32, Carried>,
    /// By the slot of the carrier: who waits for room in its queue, in turn.
    waiting: FxHashMap<u32, VecDeque<u32>>,
    /// Where the payload of a frame is gathered.
    payload: Vec<u8>,
    /// Those who waited have their turn just now.
    is_making_room: bool,
}

impl Streams {
    /// How many clients are carried by others.
    pub(super) fn len(&self) -> usize {
        self.carried.len()
    }

    /// Whether any stream waits for room in the queue of its carrier.
    #[inline]
    pub(super) fn is_any_waiting(&self) -> bool {
        !self.waiting.is_empty()
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
            if let Some(Held { bytes: held, .. }) = self.asides.held.get_mut(&slot) {
                held.extend_from_slice(bytes);
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

/// What streams are sent.
impl<S: System> EventLoop<S> {
    /// Moves what waits for a stream to the queue of its carrier, as far as windows and room go: all
    /// that does, or one frame if others wait for theirs.
    pub(super) fn write_carried(&mut self, slot: u32) {
        let above = self.is_above_soft(slot);
        let now = self.hub.now.get();
        let Some(client) = self.clients.get_mut(slot) else {
            return;
        };
        if above {
            client.set(fact::ABOVE_SOFT);
        }
        if !client.is(fact::WAITING) {
            client.note_progress(now);
        }
        let ends = client.protocol.is_lingering() && !client.is(fact::SHUT_DOWN);
        let Some(moved) = self.move_all(slot, ends) else {
            return;
        };
        let Some(client) = self.clients.get_mut(slot) else {
            return;
        };
        if moved.bytes > 0 {
            self.hub.directory.borrow_mut().note_sent(slot, now);
        }
        if moved.has_progress {
            client.note_progress(now);
        }
        let output = self.hub.output.borrow();
        client.put(fact::WAITING, output.has_output(slot));
        client.put(fact::FULL, output.is_blocked(slot));
        drop(output);
        if moved.has_ended {
            client.set(fact::SHUT_DOWN);
        }
        if moved.is_broken {
            return self.doom(slot);
        }
        if client.is(fact::ABOVE_SOFT) {
            self.judge_backlog(slot);
        }
    }

    /// The frames of [`write_carried`](Self::write_carried). For a WebSocket, which has a limit, the
    /// carrier is written as often as its queue is full: only what its socket refuses is a backlog.
    fn move_all(&mut self, slot: u32, ends: bool) -> Option<Moved> {
        let mut all = Moved::default();
        loop {
            let moved = self.move_frames(slot, ends)?;
            all = all.and(moved);
            if !moved.is_held_up {
                return Some(all);
            }
            let Carried {
                carrier, is_tunnel, ..
            } = self.asides.streams.get(slot)?;
            let queued = |this: &Self| this.hub.output.borrow().backlog_bytes(carrier);
            let before = queued(self);
            let may_write = is_tunnel && all.bytes < WRITE_BUDGET_BYTES;
            if may_write && !self.hub.output.borrow().is_blocked(carrier) {
                self.write_client(carrier);
            }
            if queued(self) >= before {
                self.wait_for_room(slot);
                return Some(all);
            }
        }
    }

    /// A stream is to be told when there is room in the queue of its carrier.
    fn wait_for_room(&mut self, slot: u32) {
        let Streams {
            carried, waiting, ..
        } = &mut self.asides.streams;
        let Some(entry) = carried.get_mut(&slot) else {
            return;
        };
        self.hub.output.borrow_mut().block(slot);
        if !std::mem::replace(&mut entry.waits, true) {
            waiting.entry(entry.carrier).or_default().push_back(slot);
        }
    }

    /// As many frames as there is room for in the queue of the carrier; `ends`: nothing will be
    /// queued behind what is.
    fn move_frames(&mut self, slot: u32, ends: bool) -> Option<Moved> {
        let Streams {
            carried,
            waiting,
            payload,
            ..
        } = &mut self.asides.streams;
        let entry = carried.get_mut(&slot)?;
        let (carrier, stream) = (entry.carrier, entry.stream);
        let connection = self.clients.get_mut(carrier)?.protocol.as_carrier()?;
        let room = room(&self.settings);
        let mut output = self.hub.output.borrow_mut();
        output.uncork(slot);
        let mut moved = Moved::default();
        while !output.is_blocked(slot) && output.has_output(slot) {
            let window = connection.window(stream);
            if window == Window::StreamSpent {
                output.block(slot);
                break;
            }
            if output.backlog_bytes(carrier) + FRAME_BYTES as u64 > room {
                moved.is_held_up = true;
                break;
            }
            let is_others_turn = moved.bytes > 0 && waiting.contains_key(&carrier);
            if is_others_turn || window == Window::ConnectionSpent {
                output.block(slot);
                if !std::mem::replace(&mut entry.waits, true) {
                    waiting.entry(carrier).or_default().push_back(slot);
                }
                break;
            }
            // A body is not read before it can be sent.
            if let Err(error) = output.fill(slot) {
                log::warn!("a response was cut off: {error}");
                moved.is_broken = true;
                break;
            }
            let gathered = gather(&output, slot, payload);
            let taken = connection.take_window(stream, gathered);
            if taken == 0 {
                break;
            }
            output.advance(slot, taken);
            moved.bytes += taken;
            moved.has_ended = ends && !output.has_output(slot);
            let header = data_header(stream, taken, moved.has_ended);
            let frame = Bytes::Parts(&header, &payload[..taken]);
            output.send(carrier, Unit::default(), frame);
        }
        if moved.has_ended {
            connection.end_local(stream);
        }
        entry.trickle += moved.bytes;
        moved.has_progress = entry.trickle >= PROGRESS_BYTES || !output.has_output(slot);
        if moved.has_progress {
            entry.trickle = 0;
        }
        Some(moved)
    }

    /// Has the carrier of a stream send the head that its protocol put together, if it did.
    pub(super) fn send_fields(&mut self, slot: u32) {
        if self.fields.block.is_empty() {
            return;
        }
        let mut block = std::mem::take(&mut self.fields.block);
        let is_last = self.fields.is_last;
        if let Some(Carried {
            carrier, stream, ..
        }) = self.asides.streams.get(slot)
        {
            self.carrier(carrier, |connection, cx| {
                connection.send_block(stream, &block, is_last, cx);
            });
        }
        if is_last && let Some(client) = self.clients.get_mut(slot) {
            client.set(fact::SHUT_DOWN);
        }
        block.clear();
        self.fields.block = block;
    }

    /// There may be room in the queue of a carrier again, or a window: who waited for it has a turn.
    pub(super) fn make_room(&mut self, carrier: u32) {
        if std::mem::replace(&mut self.asides.streams.is_making_room, true) {
            return; // for this one, since streams write their carrier
        }
        let room = room(&self.settings);
        while self.has_room(carrier, room)
            && let Some(waiting) = self.asides.streams.waiting.get_mut(&carrier)
        {
            let next = waiting.pop_front();
            if waiting.is_empty() {
                self.asides.streams.waiting.remove(&carrier);
            }
            let Some(slot) = next else { break };
            if let Some(entry) = self.asides.streams.carried.get_mut(&slot) {
                entry.waits = false;
            }
            self.unblock_carried(slot);
            self.flush_client(slot);
        }
        self.asides.streams.is_making_room = false;
    }

    /// Whether a carrier takes another frame of its streams.
    fn has_room(&mut self, carrier: u32, room: u64) -> bool {
        let client = self.clients.get_mut(carrier);
        let connection = client.and_then(|client| client.protocol.as_carrier());
        let queued = self.hub.output.borrow().backlog_bytes(carrier);
        connection.is_some_and(Http2Connection::has_window) && queued + FRAME_BYTES as u64 <= room
    }

    /// A stream may be sent to again.
    fn unblock_carried(&mut self, slot: u32) {
        if self
            .clients
            .get_mut(slot)
            .is_some_and(|client| client.is(fact::FULL))
        {
            self.unblock(slot);
        }
    }

    fn unblock_all(&mut self, carrier: u32) {
        let Some(client) = self.clients.get_mut(carrier) else {
            return;
        };
        let Some(connection) = client.protocol.as_carrier() else {
            return;
        };
        let slots: Vec<u32> = connection.slots().collect();
        for slot in slots {
            // Those who wait have their turn one after the other.
            if !self.asides.streams.get(slot).is_some_and(|it| it.waits) {
                self.unblock_carried(slot);
            }
        }
        self.make_room(carrier);
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
            self.carrier(carrier, |connection, cx| {
                let frame = data_header(stream, 0, true);
                let frame = Bytes::Parts(&frame, b"");
                cx.output.send(cx.slot, Unit::default(), frame);
                connection.end_local(stream);
            });
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
        if carried.waits
            && let Some(waiting) = streams.waiting.get_mut(&carrier)
        {
            waiting.retain(|waits| *waits != slot);
            if waiting.is_empty() {
                streams.waiting.remove(&carrier);
            }
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
                let frame = data_header(stream, 0, true);
                let frame = Bytes::Parts(&frame, b"");
                cx.output.send(cx.slot, Unit::default(), frame);
                connection.end_local(stream);
            } else {
                connection.reset(stream, code, cx);
            }
        });
        // Many streams may come and go in one turn, at whose end slots are freed.
        self.hub.output.borrow_mut().close(slot);
        self.settle_carrier(carrier);
        self.arm(carrier);
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

/// Bytes that the queue of a carrier takes from its streams: not so many that its reads pause, since
/// what it reads may be what lets them go on.
fn room(settings: &Settings) -> u64 {
    settings.server.soft_backlog_bytes.max(FRAME_BYTES) as u64
}

/// Gathers what is to be written next for the client in `slot`, one frame's payload at most. How
/// many bytes.
fn gather(output: &Output, slot: u32, payload: &mut Vec<u8>) -> usize {
    let mut slices = [IoSlice::new(&[]); SLICES_PER_FRAME];
    let gathered = output.gather(slot, &mut slices);
    payload.clear();
    for slice in &slices[..gathered.slices] {
        let room = FRAME_BYTES - payload.len();
        payload.extend_from_slice(&slice[..slice.len().min(room)]);
    }
    payload.len()
}
