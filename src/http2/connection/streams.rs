//! The streams of one connection (RFC 9113 section 5.1): which there are, their windows, and what is
//! remembered of those that are gone.
//!
//! ```text
//!            HEADERS                 END_STREAM of theirs
//!   idle ─────────────▶ open ───────────────────────────▶ half-closed (remote)
//!                        │ │ END_STREAM of ours                       │
//!                        │ └───────────▶ half-closed (local) ─┐       │ END_STREAM of ours
//!                        │ RST_STREAM            END_STREAM   ▼       ▼
//!                        └──────────────────────────────────▶ closed ◀┘
//! ```
//!
//! An entry exists in the three states in the middle. Whether a stream without one is idle, its
//! number tells. A closed one is closed for good, except that a client which has not yet heard of a
//! `RST_STREAM` of ours may go on to send: those are remembered for a while.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use crate::http2::frame::{MAX_WINDOW_BYTES, StreamId};

/// Streams that we reset which are remembered one by one.
const REMEMBERED: usize = 128;

/// The client sent `END_STREAM`.
const ENDED: u8 = 1;
/// We did.
const ENDED_LOCALLY: u8 = 1 << 1;
/// There was something to send when the window was empty.
const BLOCKED: u8 = 1 << 2;
/// [`Stream::content_left`] is known.
const HAS_LENGTH: u8 = 1 << 3;
/// The stream of an extended CONNECT: no message body, but another protocol's bytes (RFC 8441).
const TUNNEL: u8 = 1 << 4;

/// A stream that is neither idle nor closed. 32 bytes.
#[derive(Debug)]
pub(super) struct Stream {
    id: StreamId,
    /// The client slot in which its request is answered.
    pub(super) slot: u32,
    /// What may be sent; below zero when the client made its initial window smaller
    /// (section 6.9.2).
    send_window: i32,
    /// What the client may still send.
    receive_window: u32,
    /// What the application took and the client was not yet told of.
    consumed: u32,
    /// What is to come by the Content-Length, if there was one.
    content_left: u64,
    flags: u8,
}

/// What a stream begins with.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewStream {
    pub(super) id: StreamId,
    pub(super) has_ended: bool,
    pub(super) is_tunnel: bool,
    pub(super) content_length: Option<u64>,
    pub(super) send_window: u32,
    pub(super) receive_window: u32,
}

/// A window grew beyond 2^31-1 (section 6.9.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WindowOverflow;

/// Why a DATA frame cannot be of its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DataError {
    /// `END_STREAM` came before (section 5.1).
    HasEnded,
    /// It is longer than the window (section 6.9.1).
    BeyondWindow,
    /// It does not fit the Content-Length (section 8.1.1).
    NotTheLength,
}

impl Stream {
    const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether the client sent `END_STREAM`.
    pub(super) const fn has_ended(&self) -> bool {
        self.has(ENDED)
    }

    /// Whether it is that of an extended CONNECT.
    pub(super) const fn is_tunnel(&self) -> bool {
        self.has(TUNNEL)
    }

    /// Whether all of the content has come that was announced.
    pub(super) const fn is_complete(&self) -> bool {
        !self.has(HAS_LENGTH) || self.content_left == 0
    }

    const fn is_closed(&self) -> bool {
        self.has(ENDED) && self.has(ENDED_LOCALLY)
    }

    /// Takes note of a DATA frame: `len` bytes of payload, of which `content` are no padding.
    pub(super) fn receive(
        &mut self,
        len: u32,
        content: u32,
        is_last: bool,
    ) -> Result<(), DataError> {
        if self.has(ENDED) {
            return Err(DataError::HasEnded);
        }
        self.receive_window = self
            .receive_window
            .checked_sub(len)
            .ok_or(DataError::BeyondWindow)?;
        // The padding is nobody's to take.
        self.consumed += len - content;
        if self.has(HAS_LENGTH) {
            self.content_left = self
                .content_left
                .checked_sub(content.into())
                .ok_or(DataError::NotTheLength)?;
        }
        if is_last && !self.is_complete() {
            return Err(DataError::NotTheLength);
        }
        Ok(())
    }

    /// The application took `len` bytes more. By how much the client's window is to grow, if it is
    /// worth a frame: half of the `whole` window.
    pub(super) fn consume(&mut self, len: usize, whole: u32) -> Option<u32> {
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        self.consumed = self.consumed.saturating_add(len);
        if self.has(ENDED) || self.consumed < whole / 2 {
            return None;
        }
        // Never beyond the window that was announced.
        let increment = self.consumed.min(whole.saturating_sub(self.receive_window));
        self.consumed = 0;
        self.receive_window += increment;
        (increment > 0).then_some(increment)
    }

    /// Bytes that may be sent now.
    pub(super) const fn send_window(&self) -> i32 {
        self.send_window
    }

    /// `len` bytes go out: at most what the window says.
    pub(super) fn send(&mut self, len: usize) {
        let len = i32::try_from(len).unwrap_or(i32::MAX);
        debug_assert!(len <= self.send_window);
        self.send_window = self.send_window.saturating_sub(len);
    }

    /// There is something to send, and no window for it.
    pub(super) fn block(&mut self) {
        self.flags |= BLOCKED;
    }

    /// The window is `increment` larger. Whether something waited for that.
    pub(super) fn grow(&mut self, increment: u32) -> Result<bool, WindowOverflow> {
        grow(&mut self.send_window, increment.into())?;
        let is_freed = self.has(BLOCKED) && self.send_window > 0;
        if is_freed {
            self.flags &= !BLOCKED;
        }
        Ok(is_freed)
    }
}

/// Changes a window that is ours to use.
pub(super) fn grow(window: &mut i32, change: i64) -> Result<(), WindowOverflow> {
    let grown = i64::from(*window) + change;
    *window = i32::try_from(grown).map_err(|_| WindowOverflow)?;
    Ok(())
}

/// What a stream is to a frame that names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing was sent on it yet.
    Idle,
    /// It has an entry.
    Open,
    /// We reset it, or said that we would not look at it: what comes is ignored.
    Ignored,
    /// It is closed, and the client knows.
    Closed,
    /// A later one was opened first, which closed it (section 5.1.1).
    Skipped,
}

/// All streams of a connection.
#[derive(Debug)]
pub(super) struct Streams {
    /// By number: they are opened in that order, and most are closed in nearly that order.
    entries: VecDeque<Stream>,
    /// The last one that the client opened.
    highest: StreamId,
    /// The last one that will be looked at.
    limit: StreamId,
    /// The last numbers that were passed over.
    skipped: RangeInclusive<u32>,
    /// Those that we reset and on which the client may not have ended yet, in that order.
    resets: VecDeque<StreamId>,
    /// Up to here, some that we reset may be forgotten: none is held to have ended.
    forgotten: StreamId,
}

impl Streams {
    /// No stream, no memory.
    pub(super) const fn new() -> Self {
        Self {
            entries: VecDeque::new(),
            highest: StreamId::CONNECTION,
            limit: StreamId::new(u32::MAX),
            skipped: RangeInclusive::new(1, 0),
            resets: VecDeque::new(),
            forgotten: StreamId::CONNECTION,
        }
    }

    /// How many are open or half-closed: these count for `SETTINGS_MAX_CONCURRENT_STREAMS`
    /// (section 5.1.2).
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The last stream that the client opened and that was looked at.
    pub(super) fn highest(&self) -> StreamId {
        self.highest.min(self.limit)
    }

    /// None that is opened from now on is looked at.
    pub(super) fn stop(&mut self) {
        self.limit = self.highest();
    }

    /// Whether [`stop`](Self::stop) was called.
    pub(super) fn is_stopped(&self) -> bool {
        self.limit != Self::new().limit
    }

    fn index(&self, id: StreamId) -> Result<usize, usize> {
        self.entries.binary_search_by_key(&id, |stream| stream.id)
    }

    /// A stream that is neither idle nor closed.
    pub(super) fn get_mut(&mut self, id: StreamId) -> Option<&mut Stream> {
        let index = self.index(id).ok()?;
        self.entries.get_mut(index)
    }

    /// A stream that is neither idle nor closed.
    pub(super) fn get(&self, id: StreamId) -> Option<&Stream> {
        let index = self.index(id).ok()?;
        self.entries.get(index)
    }

    /// What the stream `id` is to a frame.
    pub(super) fn standing(&self, id: StreamId) -> Standing {
        if !id.is_of_client() || id > self.highest {
            Standing::Idle
        } else if self.index(id).is_ok() {
            Standing::Open
        } else if id > self.limit || id <= self.forgotten || self.resets.contains(&id) {
            Standing::Ignored
        } else if self.skipped.contains(&id.get()) {
            Standing::Skipped
        } else {
            Standing::Closed
        }
    }

    /// The client opens `id`, which was idle.
    pub(super) fn begin(&mut self, id: StreamId) {
        debug_assert!(id > self.highest);
        let next = if self.highest == StreamId::CONNECTION {
            1
        } else {
            self.highest.get() + 2
        };
        if id.get() > next {
            self.skipped = next..=id.get() - 1;
        }
        self.highest = id;
    }

    /// The stream that was begun last has a request. Its slot is [to be set](Self::set_slot).
    pub(super) fn insert(&mut self, new: NewStream) {
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        debug_assert!(self.entries.back().is_none_or(|last| last.id < new.id));
        self.entries.push_back(Stream {
            id: new.id,
            slot: u32::MAX,
            send_window: i32::try_from(new.send_window).unwrap_or(i32::MAX),
            receive_window: new.receive_window,
            consumed: 0,
            content_left: new.content_length.unwrap_or(0),
            flags: flag(new.has_ended, ENDED)
                | flag(new.is_tunnel, TUNNEL)
                | flag(new.content_length.is_some(), HAS_LENGTH),
        });
    }

    /// The slot of a stream's request.
    pub(super) fn set_slot(&mut self, id: StreamId, slot: u32) {
        if let Some(stream) = self.get_mut(id) {
            stream.slot = slot;
        }
    }

    /// The client sent `END_STREAM`. The slot of the stream, whose entry goes if we sent it too.
    pub(super) fn end(&mut self, id: StreamId) -> Option<u32> {
        self.set_ended(id, ENDED)
    }

    /// We sent `END_STREAM`. The entry goes if the client sent it too.
    pub(super) fn end_locally(&mut self, id: StreamId) {
        self.set_ended(id, ENDED_LOCALLY);
    }

    fn set_ended(&mut self, id: StreamId, side: u8) -> Option<u32> {
        let index = self.index(id).ok()?;
        let stream = self.entries.get_mut(index)?;
        stream.flags |= side;
        let slot = stream.slot;
        if stream.is_closed() {
            self.entries.remove(index);
        }
        Some(slot)
    }

    /// The client reset the stream: the slot that its entry had.
    pub(super) fn reset_by_peer(&mut self, id: StreamId) -> Option<u32> {
        self.resets.retain(|reset| *reset != id);
        let index = self.index(id).ok()?;
        self.entries.remove(index).map(|stream| stream.slot)
    }

    /// We reset a stream that may have no entry: the slot that it had. `may_send`: the client has not
    /// ended it.
    pub(super) fn reset(&mut self, id: StreamId, may_send: bool) -> Option<u32> {
        if may_send {
            if self.resets.len() == REMEMBERED {
                let oldest = self.resets.pop_front();
                self.forgotten = self.forgotten.max(oldest.unwrap_or(self.forgotten));
            }
            self.resets.push_back(id);
        }
        let index = self.index(id).ok()?;
        self.entries.remove(index).map(|stream| stream.slot)
    }

    /// The client ended a stream that we had reset: no more of it can come.
    pub(super) fn end_ignored(&mut self, id: StreamId) {
        self.resets.retain(|reset| *reset != id);
    }

    /// The client's initial window changed by so much, and with it all windows (section 6.9.2).
    /// Whether something may have waited for that.
    pub(super) fn change_windows(&mut self, change: i64) -> Result<bool, WindowOverflow> {
        let mut are_freed = false;
        for stream in &mut self.entries {
            grow(&mut stream.send_window, change)?;
            are_freed |= stream.grow(0)?;
        }
        Ok(are_freed)
    }

    /// The slots of all streams.
    pub(super) fn slots(&self) -> impl Iterator<Item = u32> {
        self.entries.iter().map(|stream| stream.slot)
    }

    /// Forgets all streams.
    pub(super) fn take_slots(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.entries)
            .into_iter()
            .map(|stream| stream.slot)
            .collect()
    }

    /// Bytes of its allocations.
    #[cfg(test)]
    pub(super) fn memory_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Stream>()
            + self.resets.capacity() * size_of::<StreamId>()
    }

    /// Gives back what many streams at once needed.
    pub(super) fn shrink(&mut self) {
        const KEPT: usize = 4;
        if self.entries.is_empty() && self.entries.capacity() > KEPT {
            self.entries = VecDeque::new();
        }
    }
}

const _: () = assert!(MAX_WINDOW_BYTES == i32::MAX.cast_unsigned());

#[cfg(test)]
mod tests;
