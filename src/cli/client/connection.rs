//! One WebSocket connection as its client sees it, without a socket and without a clock: bytes to events,
//! messages to bytes.
//!
//! Pings and Closes are answered here. What a peer may not do ends the connection with a Close that says
//! why (RFC 6455 section 7.1.7) and an error.

use crate::cli::client::deflate::{InflateError, Inflating, remember};
use crate::cli::client::frames::{self, Compressor, Masks};
use crate::cli::client::opening::{Agreed, Opening, OpeningError, Wishes};
use crate::cli::client::url::Url;
use aerys::internals::{
    Agreement, CloseError, FrameError, FrameHeader, Opcode, decode_close, decode_server_header,
    encode_close,
};
use aerys::{CloseCode, Message};
use std::fmt;

/// Memory for what is incomplete that a connection keeps for the next time.
const KEPT_BYTES: usize = 64 * 1024;

/// What is shared by all connections of a program: nothing of it is one's own between two calls.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) masks: Masks,
    inflating: Inflating,
    compressor: Option<Compressor>,
}

/// What happened.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    /// The opening handshake is done: messages go both ways.
    Opened(Agreed),
    Message(Message<'a>),
    /// It was answered.
    Ping(&'a [u8]),
    Pong(&'a [u8]),
    /// The server closes; nothing follows. It was answered, or is the answer.
    Closed(CloseCode, &'a str),
}

/// Why a connection cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionError {
    Opening(OpeningError),
    Frame(FrameError),
    Close(CloseError),
    /// A continuation of nothing, or a message inside another.
    Fragments,
    NotUtf8,
    BrokenDeflate,
    /// A message longer than so many bytes.
    TooBig(usize),
}

impl ConnectionError {
    /// The code to close with; none before there is a connection.
    const fn close_code(&self) -> Option<CloseCode> {
        match self {
            Self::Opening(_) => None,
            Self::Frame(error) => Some(error.close_code()),
            Self::Close(error) => Some(error.close_code()),
            Self::Fragments => Some(CloseCode::PROTOCOL_ERROR),
            Self::NotUtf8 | Self::BrokenDeflate => Some(CloseCode::INVALID_PAYLOAD),
            Self::TooBig(_) => Some(CloseCode::MESSAGE_TOO_BIG),
        }
    }
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            Self::Opening(error) => return error.fmt(formatter),
            Self::TooBig(most) => {
                return write!(
                    formatter,
                    "the server sent a message of more than {most} bytes"
                );
            }
            Self::Frame(error) => error.reason(),
            Self::Close(error) => error.reason(),
            Self::Fragments => "fragments of messages are out of order",
            Self::NotUtf8 => "a text message is not UTF-8",
            Self::BrokenDeflate => "a compressed message cannot be inflated",
        };
        write!(formatter, "the server broke the protocol: {what}")
    }
}

impl From<OpeningError> for ConnectionError {
    fn from(error: OpeningError) -> Self {
        Self::Opening(error)
    }
}

impl From<FrameError> for ConnectionError {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}

#[derive(Debug)]
enum State {
    Opening(Box<Opening>),
    Open,
    /// Our Close is sent, and the server's awaited.
    CloseSent,
    /// Nothing that comes counts.
    Closed,
}

/// A message whose first fragment came.
#[derive(Clone, Copy, Debug)]
struct Begun {
    opcode: Opcode,
    compressed: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Connection {
    state: State,
    max_message_bytes: usize,
    deflate: Option<Agreement>,
    begun: Option<Begun>,
    /// The fragments of the message that is begun.
    fragments: Vec<u8>,
    /// A frame of which a part is missing.
    incomplete: Vec<u8>,
    /// What the next compressed message may refer to.
    window: Vec<u8>,
}

impl Connection {
    /// A connection to `url`, whose request is put behind `output`. Longer messages than
    /// `max_message_bytes` are not taken.
    pub(crate) fn new(
        url: &Url,
        wishes: &Wishes,
        max_message_bytes: usize,
        shared: &mut Shared,
        output: &mut Vec<u8>,
    ) -> Self {
        let opening = Opening::new(url, wishes, &mut shared.masks, output);
        Self {
            state: State::Opening(Box::new(opening)),
            max_message_bytes,
            deflate: None,
            begun: None,
            fragments: Vec::new(),
            incomplete: Vec::new(),
            window: Vec::new(),
        }
    }

    /// Takes what came, tells `on_event` what that means, in order, and puts what is to be answered
    /// behind `output`.
    ///
    /// # Errors
    ///
    /// [`ConnectionError`]: nothing that follows counts. What `output` has by then is still to be sent.
    pub(crate) fn receive(
        &mut self,
        input: &[u8],
        shared: &mut Shared,
        output: &mut Vec<u8>,
        mut on_event: impl FnMut(Event<'_>),
    ) -> Result<(), ConnectionError> {
        let result = self.take(input, shared, output, &mut on_event);
        if let Err(error) = &result {
            if let (Some(code), State::Open) = (error.close_code(), &self.state) {
                self.close(code, "", shared, output);
            }
            self.state = State::Closed;
        }
        result
    }

    fn take(
        &mut self,
        input: &[u8],
        shared: &mut Shared,
        output: &mut Vec<u8>,
        on_event: &mut impl FnMut(Event<'_>),
    ) -> Result<(), ConnectionError> {
        match &mut self.state {
            State::Closed => Ok(()),
            State::Open | State::CloseSent => self.take_frames(input, shared, output, on_event),
            State::Opening(opening) => {
                let Some((agreed, rest)) = opening.receive(input)? else {
                    return Ok(());
                };
                self.state = State::Open;
                self.deflate = agreed.deflate;
                on_event(Event::Opened(agreed));
                self.take_frames(&rest, shared, output, on_event)
            }
        }
    }

    fn take_frames(
        &mut self,
        input: &[u8],
        shared: &mut Shared,
        output: &mut Vec<u8>,
        on_event: &mut impl FnMut(Event<'_>),
    ) -> Result<(), ConnectionError> {
        if self.incomplete.is_empty() {
            let len = self.take_whole_frames(input, shared, output, on_event)?;
            self.incomplete.extend_from_slice(&input[len..]);
            return Ok(());
        }
        let mut incomplete = std::mem::take(&mut self.incomplete);
        incomplete.extend_from_slice(input);
        let len = self.take_whole_frames(&incomplete, shared, output, on_event)?;
        incomplete.drain(..len);
        if !incomplete.is_empty() || incomplete.capacity() <= KEPT_BYTES {
            self.incomplete = incomplete;
        }
        Ok(())
    }

    /// Takes the frames at the front of `input` that are there to their last byte. How long they are.
    fn take_whole_frames(
        &mut self,
        input: &[u8],
        shared: &mut Shared,
        output: &mut Vec<u8>,
        on_event: &mut impl FnMut(Event<'_>),
    ) -> Result<usize, ConnectionError> {
        let mut at = 0;
        while !matches!(self.state, State::Closed) {
            let rest = &input[at..];
            let decoded = decode_server_header(rest, self.deflate.is_some())?;
            let Some((header, header_len)) = decoded else {
                return Ok(at);
            };
            let room = self.max_message_bytes.saturating_sub(self.fragments.len());
            let len = match usize::try_from(header.payload_len) {
                Ok(len) if len <= room || header.opcode.is_control() => len,
                _ => return Err(ConnectionError::TooBig(self.max_message_bytes)),
            };
            let Some(payload) = rest[header_len..].get(..len) else {
                return Ok(at);
            };
            at += header_len + len;
            if header.opcode.is_control() {
                self.take_control(header.opcode, payload, shared, output, on_event)?;
            } else {
                self.take_fragment(&header, payload, shared, on_event)?;
            }
        }
        Ok(input.len())
    }

    fn take_control(
        &mut self,
        opcode: Opcode,
        payload: &[u8],
        shared: &mut Shared,
        output: &mut Vec<u8>,
        on_event: &mut impl FnMut(Event<'_>),
    ) -> Result<(), ConnectionError> {
        match opcode {
            Opcode::Ping => {
                if matches!(self.state, State::Open) {
                    frames::encode(Opcode::Pong, payload, shared.masks.next(), output);
                }
                on_event(Event::Ping(payload));
            }
            Opcode::Pong => on_event(Event::Pong(payload)),
            _ => {
                let (code, reason) = decode_close(payload).map_err(ConnectionError::Close)?;
                // The same back, unless it is the answer to ours (section 5.5.1).
                self.close(code, "", shared, output);
                self.state = State::Closed;
                on_event(Event::Closed(code, reason));
            }
        }
        Ok(())
    }

    fn take_fragment(
        &mut self,
        header: &FrameHeader,
        payload: &[u8],
        shared: &mut Shared,
        on_event: &mut impl FnMut(Event<'_>),
    ) -> Result<(), ConnectionError> {
        let begun = match (header.opcode, self.begun) {
            (Opcode::Continuation, Some(begun)) => begun,
            (Opcode::Continuation, None) | (_, Some(_)) => return Err(ConnectionError::Fragments),
            (opcode, None) => Begun {
                opcode,
                compressed: header.rsv1,
            },
        };
        if !header.fin {
            self.begun = Some(begun);
            self.fragments.extend_from_slice(payload);
            return Ok(());
        }
        if self.begun.take().is_none() {
            return self.take_message(begun, payload, shared, on_event);
        }
        let mut whole = std::mem::take(&mut self.fragments);
        whole.extend_from_slice(payload);
        self.take_message(begun, &whole, shared, on_event)?;
        whole.clear();
        if whole.capacity() <= KEPT_BYTES {
            self.fragments = whole;
        }
        Ok(())
    }

    fn take_message(
        &mut self,
        begun: Begun,
        payload: &[u8],
        shared: &mut Shared,
        on_event: &mut impl FnMut(Event<'_>),
    ) -> Result<(), ConnectionError> {
        let payload = if begun.compressed {
            let most = self.max_message_bytes;
            let inflated = shared.inflating.inflate(payload, &self.window, most);
            let inflated = inflated.map_err(|error| match error {
                InflateError::Broken => ConnectionError::BrokenDeflate,
                InflateError::TooBig => ConnectionError::TooBig(most),
            })?;
            if self.deflate.is_some_and(|agreed| agreed.server_takeover) {
                remember(&mut self.window, inflated);
            }
            inflated
        } else {
            payload
        };
        let message = match begun.opcode {
            Opcode::Text => {
                let text = std::str::from_utf8(payload);
                Message::Text(text.map_err(|_| ConnectionError::NotUtf8)?)
            }
            _ => Message::Binary(payload),
        };
        on_event(Event::Message(message));
        Ok(())
    }

    /// Puts a message behind `output`, compressed if that was agreed on.
    pub(crate) fn send(&self, message: Message<'_>, shared: &mut Shared, output: &mut Vec<u8>) {
        let (opcode, payload) = match message {
            Message::Text(text) => (Opcode::Text, text.as_bytes()),
            Message::Binary(bytes) => (Opcode::Binary, bytes),
        };
        let mask = shared.masks.next();
        let Some(agreed) = self.deflate else {
            return frames::encode(opcode, payload, mask, output);
        };
        let bits = agreed.client_window_bits;
        let compressor = shared
            .compressor
            .take_if(|compressor| compressor.window_bits() == bits)
            .unwrap_or_else(|| Compressor::new(bits));
        let compressor = shared.compressor.insert(compressor);
        compressor.encode(opcode, payload, mask, output);
    }

    /// Puts a Ping behind `output`, of at most 125 bytes.
    pub(crate) fn ping(&self, payload: &[u8], shared: &mut Shared, output: &mut Vec<u8>) {
        if matches!(self.state, State::Open) {
            frames::encode(Opcode::Ping, payload, shared.masks.next(), output);
        }
    }

    /// Begins or answers the closing handshake; nothing is sent from here on.
    pub(crate) fn close(
        &mut self,
        code: CloseCode,
        reason: &str,
        shared: &mut Shared,
        output: &mut Vec<u8>,
    ) {
        if matches!(self.state, State::Open) {
            let payload = encode_close(code, reason);
            frames::encode(Opcode::Close, &payload, shared.masks.next(), output);
            self.state = State::CloseSent;
        }
    }

    /// Whether messages go both ways.
    pub(crate) const fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    /// Whether nothing more is to come.
    pub(crate) const fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }
}

#[cfg(test)]
mod tests;
