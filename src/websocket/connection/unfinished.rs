//! What there is of what is unfinished.

use super::{Extras, Inflation, OpenFrame, WebSocketConnection};

impl WebSocketConnection {
    /// Bytes held for what is unfinished.
    pub(crate) fn buffered_bytes(&self) -> usize {
        let unfinished = self.extras.as_ref();
        unfinished
            .filter(|extras| extras.is_inside_frame() || extras.message.is_open())
            .map_or(0, |extras| {
                let inflation = extras.inflation.as_ref();
                size_of::<Extras>()
                    + extras.control.capacity()
                    + extras.message.buffered_bytes()
                    + inflation.map_or(0, |_| Inflation::BYTES)
            })
    }

    /// How much came of a message that is not complete, in all and in its last frame: it changes with
    /// each byte of one. Control frames are no part of it.
    pub(crate) fn message_progress(&self) -> (usize, u64) {
        self.extras.as_ref().map_or((0, 0), |extras| {
            let received = match &extras.frame {
                Some(OpenFrame { header, received }) if !header.opcode.is_control() => *received,
                _ => 0,
            };
            (extras.message.len(), received)
        })
    }
}
