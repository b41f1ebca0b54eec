//! Compressed messages of clients, inflated as they arrive (RFC 7692 section 6.2).
//!
//! An inflater is lent to a connection for the length of a message, and what a connection keeps of
//! its messages for the next one to refer to is their last bytes alone: a client that may not do so
//! costs nothing between two messages, and one that may costs what it has sent, up to its window.

use super::codec::{BrokenDeflate, INFLATER_BYTES, Inflated, Inflater, MAX_WINDOW_BITS};
use crate::websocket::message::{MessageAssembler, MessageError};
use std::collections::HashMap;
use std::fmt;

/// Inflaters kept for the next messages. More are only there while as many messages are half-read.
const SPARE_COUNT: usize = 8;

/// Bytes that one client may have inflated before others have their turn: half a millisecond or so.
/// What it sends may become a thousand times as long, and so its reads alone are no measure.
const BUDGET_BYTES: usize = 1024 * 1024;

/// What it counts as to begin a message, or to go on behind a block that says it is the last: the
/// time is the window's, which is copied.
const BEGIN_BYTES: usize = 2 * 1024;

/// Payload that is taken at a time, so that the budget is asked often enough.
pub(crate) const PIECE_BYTES: usize = 1024;

/// Where inflated bytes go before they are judged and become part of a message. So much at most is
/// inflated beyond a limit.
const OUTPUT_BYTES: usize = 16 * 1024;

/// The inflaters of a loop that no message needs now, and what is kept of its clients.
#[derive(Debug, Default)]
pub(crate) struct Inflaters {
    #[expect(
        clippy::vec_box,
        reason = "each goes to a message and comes back as it is"
    )]
    spare: Vec<Box<Inflater>>,
    /// `OUTPUT_BYTES`, or none before the first message.
    output: Vec<u8>,
    /// By slot, of clients whose messages may refer to earlier ones.
    windows: HashMap<u32, Window>,
    /// Where a window is put together.
    before: Window,
    /// What was done for the client that is served, in inflated bytes.
    spent: usize,
}

impl Inflaters {
    /// Another client is served, or the same one in another turn.
    pub(crate) const fn refill(&mut self) {
        self.spent = 0;
    }

    /// Whether enough was inflated for the client that is served: the rest is to wait.
    #[inline]
    pub(crate) const fn is_spent(&self) -> bool {
        self.spent >= BUDGET_BYTES
    }

    /// Begins a message of the client in `slot`.
    pub(crate) fn begin(&mut self, slot: u32) -> Inflation {
        self.output.resize(OUTPUT_BYTES, 0);
        self.spent += BEGIN_BYTES;
        let mut inflater = self.spare.pop().unwrap_or_default();
        inflater.restart(self.windows.get(&slot).map_or(&[], |window| &window.bytes));
        Inflation {
            inflater,
            state: State::Empty,
        }
    }

    /// The next messages of the client in `slot` may refer to the last `1 << bits` bytes of this
    /// one and those before it.
    pub(crate) fn remember(&mut self, slot: u32, message: &[u8], bits: u8) {
        self.windows.entry(slot).or_default().push(message, bits);
    }

    /// The client in `slot` is gone.
    pub(crate) fn forget(&mut self, slot: u32) {
        if !self.windows.is_empty() {
            self.windows.remove(&slot);
        }
    }

    /// What is kept of the client in `slot`, in bytes of memory.
    #[cfg(test)]
    pub(crate) fn kept_bytes(&self, slot: u32) -> usize {
        let window = self.windows.get(&slot);
        window.map_or(0, |window| window.bytes.capacity())
    }

    /// The last bytes that a client sent, those of the message that is half-read included.
    fn window_amid(&mut self, slot: u32, message: &MessageAssembler) -> &[u8] {
        self.spent += BEGIN_BYTES;
        self.before.bytes.clear();
        let earlier = self
            .windows
            .get(&slot)
            .map_or(&[][..], |window| &window.bytes);
        for part in [earlier].into_iter().chain(message.parts()) {
            self.before.push(part, MAX_WINDOW_BITS);
        }
        &self.before.bytes
    }

    /// Takes back what a message was inflated with.
    fn take_back(&mut self, inflater: Box<Inflater>) {
        if self.spare.len() < SPARE_COUNT {
            self.spare.push(inflater);
        }
    }
}

/// A message between its first frame and its last.
pub(crate) struct Inflation {
    inflater: Box<Inflater>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No byte has come.
    Empty,
    /// In a block, or between two.
    Inside,
    /// The last byte ended a block that says it is the last one. Another may follow all the same
    /// (section 7.2.3.4).
    Ended,
}

impl Inflation {
    /// What it holds in memory.
    pub(crate) const BYTES: usize = INFLATER_BYTES;

    /// Inflates the next part of the payload that the client in `slot` sent into `message`.
    ///
    /// # Errors
    ///
    /// [`MessageError`], at the first byte that no continuation could make good.
    pub(crate) fn append(
        &mut self,
        mut piece: &[u8],
        slot: u32,
        inflaters: &mut Inflaters,
        message: &mut MessageAssembler,
    ) -> Result<(), MessageError> {
        while !piece.is_empty() {
            if self.state == State::Ended {
                self.inflater.restart(inflaters.window_amid(slot, message));
            }
            self.state = State::Inside;
            let room = inflaters.output.len();
            let inflated = self.inflate(piece, inflaters, message)?;
            piece = &piece[inflated.consumed..];
            if inflated.ended {
                self.state = State::Ended;
            } else if inflated.produced == room {
                self.flush(inflaters, message)?;
            } else if inflated.consumed == 0 {
                return Err(MessageError::BrokenDeflate);
            }
        }
        Ok(())
    }

    /// Takes over what the inflater holds back for want of room.
    fn flush(
        &mut self,
        inflaters: &mut Inflaters,
        message: &mut MessageAssembler,
    ) -> Result<(), MessageError> {
        loop {
            let inflated = self.inflate(&[], inflaters, message)?;
            if inflated.ended {
                self.state = State::Ended;
                return Ok(());
            }
            if inflated.produced < inflaters.output.len() {
                return Ok(());
            }
        }
    }

    /// One step: what comes out is judged before what is found broken behind it, in any chunking.
    fn inflate(
        &mut self,
        piece: &[u8],
        inflaters: &mut Inflaters,
        message: &mut MessageAssembler,
    ) -> Result<Inflated, MessageError> {
        let inflated = self.inflater.inflate(piece, &mut inflaters.output);
        let (Ok(Inflated { produced, .. }) | Err(BrokenDeflate { produced })) = inflated;
        message.append(&inflaters.output[..produced])?;
        inflaters.spent += produced;
        Ok(inflated?)
    }

    /// All of the message's payload was appended.
    ///
    /// # Errors
    ///
    /// [`MessageError::BrokenDeflate`] if it is cut.
    pub(crate) fn finish(mut self, inflaters: &mut Inflaters) -> Result<(), MessageError> {
        match self.state {
            // An empty message is a byte 0 (section 7.2.3.6), but compressors that have nothing to
            // flush give none.
            State::Empty | State::Ended => {}
            State::Inside => self.inflater.finish()?,
        }
        inflaters.take_back(self.inflater);
        Ok(())
    }
}

impl fmt::Debug for Inflation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Inflation").field(&self.state).finish()
    }
}

impl From<BrokenDeflate> for MessageError {
    fn from(_: BrokenDeflate) -> Self {
        Self::BrokenDeflate
    }
}

/// The last bytes of a client's messages.
#[derive(Debug, Default)]
struct Window {
    bytes: Vec<u8>,
}

impl Window {
    /// Appends `bytes`, which push out the oldest beyond `1 << bits`.
    fn push(&mut self, bytes: &[u8], bits: u8) {
        let size = 1 << bits;
        let bytes = &bytes[bytes.len().saturating_sub(size)..];
        let over = (self.bytes.len() + bytes.len()).saturating_sub(size);
        self.bytes.drain(..over);
        let needed = self.bytes.len() + bytes.len();
        if needed > self.bytes.capacity() {
            let capacity = (self.bytes.capacity() * 2).clamp(needed, size);
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        self.bytes.extend_from_slice(bytes);
    }
}
