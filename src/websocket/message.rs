//! Fragments to messages, their limits and their UTF-8 (RFC 6455 sections 5.4, 5.6, 8.1).
//!
//! Owns the bytes of a message that is not whole yet. What a frame looks like is `frame.rs`; a
//! message that is one frame and lies in the read buffer as a whole needs [`judge_whole`] only,
//! and nothing is copied for it.

use std::borrow::Cow;

use super::close::CloseCode;
use super::frame::{FrameHeader, Opcode};
use super::utf8::{InvalidUtf8, Utf8Decoder};
use crate::config::WebSocketConfig;

/// One whole message, borrowed from where it was received.
///
/// ```
/// use aerys::Message;
/// let message = Message::Binary(b"abc\xFF");
/// assert_eq!(message.len(), 4);
/// assert_eq!(message.to_text(), "abc\u{FFFD}");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Message<'a> {
    /// A text message: valid UTF-8.
    Text(&'a str),
    /// A binary message: any bytes.
    Binary(&'a [u8]),
}

impl<'a> Message<'a> {
    /// The payload.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// The text, or `None` for a binary message.
    #[must_use]
    pub const fn as_text(&self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    /// The payload as text. What is not UTF-8 in a binary message becomes U+FFFD, and only then is
    /// anything copied.
    #[must_use]
    pub fn to_text(&self) -> Cow<'a, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Binary(bytes) => String::from_utf8_lossy(bytes),
        }
    }

    /// Bytes of payload.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Whether there is no payload.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it is a text message.
    #[must_use]
    pub const fn is_text(&self) -> bool {
        matches!(self, Self::Text(_))
    }

    /// Whether it is a binary message.
    #[must_use]
    pub const fn is_binary(&self) -> bool {
        matches!(self, Self::Binary(_))
    }
}

impl<'a> From<&'a str> for Message<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a [u8]> for Message<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Binary(bytes)
    }
}

impl AsRef<[u8]> for Message<'_> {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

/// What a client's messages may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    max_frame_bytes: u64,
    max_message_bytes: u64,
    max_empty_fragments: u32,
    text_only: bool,
}

impl From<&WebSocketConfig> for Limits {
    fn from(config: &WebSocketConfig) -> Self {
        Self {
            max_frame_bytes: config.max_frame_bytes,
            max_message_bytes: config.max_message_bytes,
            max_empty_fragments: config.max_empty_fragments,
            text_only: config.text_only,
        }
    }
}

/// Why a client's frames are not a message that is taken here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MessageError {
    /// A continuation while no message was begun (section 5.4).
    StrayContinuation,
    /// A new message before the end of the last one (section 5.4).
    InterleavedMessage,
    /// A frame over [`WebSocketConfig::max_frame_bytes`].
    FrameTooBig,
    /// A message over [`WebSocketConfig::max_message_bytes`].
    MessageTooBig,
    /// A text that is not UTF-8 (section 8.1).
    InvalidUtf8,
    /// A compressed message that is not deflate, or cut (RFC 7692 section 7.2.2).
    BrokenDeflate,
    /// A binary message where [`WebSocketConfig::text_only`] is set.
    BinaryRefused,
    /// More empty fragments in a row than [`WebSocketConfig::max_empty_fragments`].
    EmptyFragments,
}

impl MessageError {
    /// The code to fail the connection with (section 7.4.1).
    pub(crate) const fn close_code(self) -> CloseCode {
        match self {
            Self::StrayContinuation | Self::InterleavedMessage => CloseCode::PROTOCOL_ERROR,
            Self::FrameTooBig | Self::MessageTooBig => CloseCode::MESSAGE_TOO_BIG,
            Self::InvalidUtf8 | Self::BrokenDeflate => CloseCode::INVALID_PAYLOAD,
            Self::BinaryRefused => CloseCode::UNSUPPORTED_DATA,
            Self::EmptyFragments => CloseCode::POLICY_VIOLATION,
        }
    }

    /// The reason to fail the connection with, short enough for a Close frame.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::StrayContinuation => "continuation of no message",
            Self::InterleavedMessage => "new message inside a fragmented one",
            Self::FrameTooBig => "frame is too big",
            Self::MessageTooBig => "message is too big",
            Self::InvalidUtf8 => "text is not UTF-8",
            Self::BrokenDeflate => "message is not deflate",
            Self::BinaryRefused => "only text is taken here",
            Self::EmptyFragments => "too many empty fragments",
        }
    }
}

impl From<InvalidUtf8> for MessageError {
    fn from(_: InvalidUtf8) -> Self {
        Self::InvalidUtf8
    }
}

/// Judges a data frame by its header while no message is open; all there is to judge, but for
/// UTF-8, if it has FIN.
///
/// # Errors
///
/// [`MessageError`]; the connection is to be failed, without waiting for the payload.
#[inline]
pub(crate) fn judge_whole(header: &FrameHeader, limits: &Limits) -> Result<(), MessageError> {
    judge_kind(header.opcode, false, limits)?;
    judge_len(header.payload_len, 0, limits)?;
    Ok(())
}

/// Whether a frame of this opcode may come now and here.
#[inline]
fn judge_kind(opcode: Opcode, is_open: bool, limits: &Limits) -> Result<(), MessageError> {
    match (opcode, is_open) {
        (Opcode::Text | Opcode::Binary, true) => Err(MessageError::InterleavedMessage),
        (Opcode::Continuation, false) => Err(MessageError::StrayContinuation),
        (Opcode::Binary, false) if limits.text_only => Err(MessageError::BinaryRefused),
        (Opcode::Text | Opcode::Binary, false) | (Opcode::Continuation, true) => Ok(()),
        (Opcode::Close | Opcode::Ping | Opcode::Pong, _) => {
            debug_assert!(false, "control frames are no part of messages");
            Ok(())
        }
    }
}

#[inline]
fn judge_frame_len(frame_len: u64, limits: &Limits) -> Result<(), MessageError> {
    if frame_len > limits.max_frame_bytes {
        return Err(MessageError::FrameTooBig);
    }
    Ok(())
}

/// Judges the length of a frame that begins after `message_len` bytes of its message, and returns
/// where in the message it ends.
#[inline]
fn judge_len(frame_len: u64, message_len: usize, limits: &Limits) -> Result<usize, MessageError> {
    judge_frame_len(frame_len, limits)?;
    let end = (message_len as u64).saturating_add(frame_len);
    if end > limits.max_message_bytes {
        return Err(MessageError::MessageTooBig);
    }
    // No limit at all is still limited by what this machine can address.
    usize::try_from(end).map_err(|_| MessageError::MessageTooBig)
}

/// Puts a message together that arrives in several frames or several reads.
///
/// For each data frame: [`begin_frame`](Self::begin_frame), [`append`](Self::append) for each part of
/// its payload, [`finish_frame`](Self::finish_frame). Control frames may come in between and are
/// none of its business. After an error the connection has failed: drop it.
#[derive(Debug, Default)]
pub(crate) struct MessageAssembler {
    /// The message begun, or none.
    partial: Option<Partial>,
    /// Bytes that arrived of it, inflated if it is compressed, those of a cut character included.
    len: usize,
    /// Most that it may have: where it ends, once its last frame began and says that, else the
    /// limit.
    most: usize,
    /// What frames say is not what the message has: it is deflated.
    is_compressed: bool,
    /// Empty fragments since the last that was not.
    empty_fragments: u32,
}

/// What arrived of a message. Never reserved by a declared length: memory costs the peer bytes.
#[derive(Debug)]
enum Partial {
    /// Decoded as it arrives: to fail at the first bad byte, and since bytes that were judged piece
    /// by piece could not become a `String` without a second pass or `unsafe`.
    Text(String, Utf8Decoder),
    Binary(Vec<u8>),
}

/// A message put together. It owns its bytes, so that an idle connection keeps none.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Assembled {
    Text(String),
    Binary(Vec<u8>),
}

impl MessageAssembler {
    /// Begins a data frame. It is judged by its header, before any of its payload: order and kind
    /// first, then the limits.
    ///
    /// # Errors
    ///
    /// [`MessageError`]; the connection is to be failed, without waiting for the payload.
    pub(crate) fn begin_frame(
        &mut self,
        header: &FrameHeader,
        limits: &Limits,
    ) -> Result<(), MessageError> {
        judge_kind(header.opcode, self.is_open(), limits)?;
        self.is_compressed |= header.rsv1;
        let frame_end = if self.is_compressed {
            // What it inflates to is judged as it comes.
            judge_frame_len(header.payload_len, limits)?;
            None
        } else {
            Some(judge_len(header.payload_len, self.len, limits)?)
        };
        if header.payload_len > 0 {
            self.empty_fragments = 0;
        } else if !header.fin {
            if self.empty_fragments >= limits.max_empty_fragments {
                return Err(MessageError::EmptyFragments);
            }
            self.empty_fragments += 1;
        }
        match header.opcode {
            Opcode::Text => {
                self.partial = Some(Partial::Text(String::new(), Utf8Decoder::default()));
            }
            Opcode::Binary => self.partial = Some(Partial::Binary(Vec::new())),
            Opcode::Continuation | Opcode::Close | Opcode::Ping | Opcode::Pong => {}
        }
        self.most = match frame_end {
            Some(end) if header.fin => end,
            // No limit at all is still limited by what this machine can address.
            _ => usize::try_from(limits.max_message_bytes).unwrap_or(usize::MAX),
        };
        if self.len > self.most {
            // More was allowed when that came: a reload lowers limits.
            return Err(MessageError::MessageTooBig);
        }
        Ok(())
    }

    /// Appends the next part of the message: of the frame's payload unmasked, or what it inflates
    /// to.
    ///
    /// # Errors
    ///
    /// [`MessageError::InvalidUtf8`] at the first bad byte of a text, or
    /// [`MessageError::MessageTooBig`] for what no header could tell, in time to hold nothing beyond.
    pub(crate) fn append(&mut self, unmasked: &[u8]) -> Result<(), MessageError> {
        // What is wrong with a text before it becomes too long comes first, in any pieces.
        let room = self.most - self.len;
        let (within, beyond) = unmasked.split_at(unmasked.len().min(room));
        self.len += within.len();
        match &mut self.partial {
            Some(Partial::Text(text, decoder)) => {
                let capacity = grown(text.capacity(), self.len, self.most);
                text.reserve_exact(capacity - text.len());
                decoder.decode(within, text)?;
            }
            Some(Partial::Binary(bytes)) if beyond.is_empty() => {
                let capacity = grown(bytes.capacity(), self.len, self.most);
                bytes.reserve_exact(capacity - bytes.len());
                bytes.extend_from_slice(within);
            }
            Some(Partial::Binary(_)) => {}
            None => debug_assert!(false, "payload of no frame"),
        }
        if beyond.is_empty() {
            Ok(())
        } else {
            Err(MessageError::MessageTooBig)
        }
    }

    /// Ends the frame. `None`: its message goes on, as it does without `fin`.
    ///
    /// # Errors
    ///
    /// [`MessageError::InvalidUtf8`] if a text ends inside a character.
    pub(crate) fn finish_frame(&mut self, fin: bool) -> Result<Option<Assembled>, MessageError> {
        debug_assert!(
            !fin || self.is_compressed || self.most == self.len,
            "the whole frame was appended"
        );
        if !fin {
            return Ok(None);
        }
        match std::mem::take(self).partial {
            None => Ok(None),
            Some(Partial::Binary(bytes)) => Ok(Some(Assembled::Binary(bytes))),
            Some(Partial::Text(text, decoder)) => {
                decoder.finish()?;
                Ok(Some(Assembled::Text(text)))
            }
        }
    }

    /// Bytes that arrived of it.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// All that arrived of the message, in two parts: those of a cut character are the second.
    pub(crate) fn parts(&self) -> [&[u8]; 2] {
        match &self.partial {
            None => [&[], &[]],
            Some(Partial::Text(text, decoder)) => [text.as_bytes(), decoder.cut_character()],
            Some(Partial::Binary(bytes)) => [bytes, &[]],
        }
    }

    /// Whether a message was begun that is not whole yet.
    pub(crate) const fn is_open(&self) -> bool {
        self.partial.is_some()
    }

    /// Bytes of heap that the message takes so far; what a limit on all half-read input counts.
    pub(crate) const fn buffered_bytes(&self) -> usize {
        match &self.partial {
            None => 0,
            Some(Partial::Text(text, _)) => text.capacity(),
            Some(Partial::Binary(bytes)) => bytes.capacity(),
        }
    }
}

/// The capacity for `needed` bytes where there is `capacity`: at least doubled, so that what is
/// copied stays within twice the message, but not beyond the `most` that it may have.
fn grown(capacity: usize, needed: usize, most: usize) -> usize {
    if needed <= capacity {
        return capacity;
    }
    capacity.saturating_mul(2).min(most).max(needed)
}

#[cfg(test)]
mod tests;
