//! From the queues of streams to those of their carriers: DATA frames, as windows and room allow, and
//! whose turn it is.

use super::{Carried, Streams};
use crate::config::Settings;
use crate::event_loop::EventLoop;
use crate::event_loop::clients::fact;
use crate::event_loop::deadlines::PROGRESS_BYTES;
use crate::event_loop::flush::WRITE_BUDGET_BYTES;
use crate::event_loop::system::System;
use crate::http2::connection::{Http2Connection, Window};
use crate::http2::frame::{MAX_PAYLOAD_BYTES, data_header};
use crate::moment::Moment;
use crate::output::{Bytes, Output, Unit};
use std::collections::VecDeque;
use std::io::IoSlice;

/// Pieces that one DATA frame is gathered from.
const SLICES_PER_FRAME: usize = 16;

/// Who waits for room in the queue of a carrier, or for the window of the connection.
#[derive(Debug)]
pub(super) struct Waiting {
    /// In turn.
    pub(super) slots: VecDeque<u32>,
    /// When the peer last let one of them go on.
    progress: Moment,
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

impl Streams {
    /// The stream in `slot` waits for room in the queue of its carrier from now on.
    fn wait(&mut self, slot: u32, now: Moment) {
        let Some(entry) = self.carried.get_mut(&slot) else {
            return;
        };
        if !std::mem::replace(&mut entry.waits, true) {
            let waiting = self
                .waiting
                .entry(entry.carrier)
                .or_insert_with(|| Waiting {
                    slots: VecDeque::new(),
                    progress: now,
                });
            waiting.slots.push_back(slot);
        }
    }

    /// The stream in `slot` does not wait for room in the queue of its carrier any more.
    pub(super) fn forget_waiting(&mut self, carrier: u32, slot: u32) {
        if let Some(waiting) = self.waiting.get_mut(&carrier) {
            waiting.slots.retain(|waits| *waits != slot);
            if waiting.slots.is_empty() {
                self.waiting.remove(&carrier);
            }
        }
    }

    /// Who has the next turn of those that wait for room in the queue of a carrier.
    fn next_waiting(&mut self, carrier: u32) -> Option<u32> {
        let waiting = self.waiting.get_mut(&carrier)?;
        let next = waiting.slots.pop_front();
        if waiting.slots.is_empty() {
            self.waiting.remove(&carrier);
        }
        let slot = next?;
        if let Some(entry) = self.carried.get_mut(&slot) {
            entry.waits = false;
        }
        Some(slot)
    }
}

/// What streams are sent.
impl<S: System> EventLoop<S> {
    /// Moves what waits for a stream to the queue of its carrier, as far as windows and room go: all
    /// that does, or one frame if others wait for theirs.
    pub(in crate::event_loop) fn write_carried(&mut self, slot: u32) {
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
                self.arm(carrier);
            }
            if queued(self) >= before {
                self.wait_for_room(slot);
                return Some(all);
            }
        }
    }

    /// A stream is to be told when there is room in the queue of its carrier.
    fn wait_for_room(&mut self, slot: u32) {
        let now = self.hub.now.get();
        self.hub.output.borrow_mut().block(slot);
        self.asides.streams.wait(slot, now);
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
        let (room, now) = (room(&self.settings), self.hub.now.get());
        let mut output = self.hub.output.borrow_mut();
        output.uncork(slot);
        let (mut moved, mut waits) = (Moved::default(), false);
        while !output.is_blocked(slot) && output.has_output(slot) {
            let window = connection.window(stream);
            if window == Window::StreamSpent {
                output.block(slot);
                break;
            }
            if output.backlog_bytes(carrier) + MAX_PAYLOAD_BYTES as u64 > room {
                moved.is_held_up = true;
                break;
            }
            let is_others_turn = moved.bytes > 0 && waiting.contains_key(&carrier);
            if is_others_turn || window == Window::ConnectionSpent {
                output.block(slot);
                waits = true;
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
        self.asides.streams.sent_bytes += moved.bytes as u64;
        if waits {
            self.asides.streams.wait(slot, now);
        }
        Some(moved)
    }

    /// Has the carrier of a stream send the head that its protocol put together, if it did.
    pub(in crate::event_loop) fn send_fields(&mut self, slot: u32) {
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

    /// There may be room in the queue of a carrier again, or a window: who waited for it has a turn,
    /// until the carrier had its share.
    pub(in crate::event_loop) fn make_room(&mut self, carrier: u32) {
        if std::mem::replace(&mut self.asides.streams.is_making_room, true) {
            return; // for this one, since streams write their carrier
        }
        let room = room(&self.settings);
        while self.asides.streams.waiting.contains_key(&carrier) && self.has_room(carrier, room) {
            let streams = &mut self.asides.streams;
            let given = streams.given.get(&carrier).copied().unwrap_or(0);
            if given >= WRITE_BUDGET_BYTES as u64 {
                if !streams.postponed.contains(&carrier) {
                    streams.postponed.push(carrier);
                }
                break;
            }
            let Some(slot) = streams.next_waiting(carrier) else {
                break;
            };
            let before = streams.sent_bytes;
            self.unblock_carried(slot);
            self.flush_client(slot);
            let given = given + self.asides.streams.sent_bytes - before;
            self.asides.streams.given.insert(carrier, given);
            let now = self.hub.now.get();
            let client = self.clients.get_mut(slot);
            if client.is_none_or(|client| client.progress() >= now)
                && let Some(waiting) = self.asides.streams.waiting.get_mut(&carrier)
            {
                waiting.progress = now;
            }
        }
        self.asides.streams.is_making_room = false;
    }

    /// A flush begins: carriers that had their share of the last one go on.
    pub(in crate::event_loop) fn go_on_postponed(&mut self) {
        self.asides.streams.given.clear();
        for carrier in std::mem::take(&mut self.asides.streams.postponed) {
            self.make_room(carrier);
        }
    }

    /// Whether a carrier takes another frame of its streams.
    fn has_room(&mut self, carrier: u32, room: u64) -> bool {
        let client = self.clients.get_mut(carrier);
        let connection = client.and_then(|client| client.protocol.as_carrier());
        let queued = self.hub.output.borrow().backlog_bytes(carrier);
        connection.is_some_and(Http2Connection::has_window)
            && queued + MAX_PAYLOAD_BYTES as u64 <= room
    }

    /// A stream may be sent to again.
    pub(super) fn unblock_carried(&mut self, slot: u32) {
        if self
            .clients
            .get_mut(slot)
            .is_some_and(|client| client.is(fact::FULL))
        {
            self.unblock(slot);
        }
    }

    pub(super) fn unblock_all(&mut self, carrier: u32) {
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

    /// A stream that waits for its turn makes progress when others do that have theirs. While the
    /// carrier's socket is full, each does when that takes bytes: the peer can go on with nothing that has
    /// not reached it.
    pub(in crate::event_loop) fn note_turns(&mut self, slot: u32) {
        let Some(Carried { carrier, waits, .. }) = self.asides.streams.get(slot) else {
            return;
        };
        let client = self.clients.get_mut(carrier);
        let Some(connection) = client.and_then(|client| client.protocol.as_carrier()) else {
            return;
        };
        let mut progress = connection.unblocked_at();
        if waits && let Some(waiting) = self.asides.streams.waiting.get(&carrier) {
            progress = progress.max(waiting.progress);
        }
        if let Some(client) = self.clients.get_mut(slot)
            && client.progress() < progress
        {
            client.note_progress(progress);
        }
    }
}

/// Bytes that the queue of a carrier takes from its streams: not so many that its reads pause, since
/// what it reads may be what lets them go on.
fn room(settings: &Settings) -> u64 {
    settings.server.soft_backlog_bytes.max(MAX_PAYLOAD_BYTES) as u64
}

/// Gathers what is to be written next for the client in `slot`, one frame's payload at most. How
/// many bytes.
fn gather(output: &Output, slot: u32, payload: &mut Vec<u8>) -> usize {
    let mut slices = [IoSlice::new(&[]); SLICES_PER_FRAME];
    let gathered = output.gather(slot, &mut slices);
    payload.clear();
    for slice in &slices[..gathered.slices] {
        let room = MAX_PAYLOAD_BYTES - payload.len();
        payload.extend_from_slice(&slice[..slice.len().min(room)]);
    }
    payload.len()
}
