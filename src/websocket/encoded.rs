//! Messages as a server puts them on the wire (RFC 6455 section 5.2): encoded once, for one
//! receiver or for all of them.

use crate::output::{Bytes, Unit};
use crate::websocket::frame::{EncodedHeader, Opcode, encode_header};
use crate::websocket::message::Message;
use std::fmt;
use std::sync::Arc;

/// A message encoded once, to be sent many times, also to several endpoints.
///
/// Clones share the bytes, and so do all its receivers. It may be made on any thread.
///
/// ```
/// use aerys::Frame;
/// let price = Frame::text("{\"price\": 42}");
/// let same = price.clone();
/// assert_eq!(same.wire_len(), price.wire_len());
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    bytes: Arc<[u8]>,
    /// More than one only where an endpoint's option asks for it.
    frame_count: u32,
}

impl Frame {
    /// Encodes a text message, as one frame.
    #[must_use]
    pub fn text(payload: impl AsRef<str>) -> Self {
        Self::new(Message::Text(payload.as_ref()), None)
    }

    /// Encodes a binary message, as one frame.
    #[must_use]
    pub fn binary(payload: impl AsRef<[u8]>) -> Self {
        Self::new(Message::Binary(payload.as_ref()), None)
    }

    /// Encodes `message` in frames of at most `max_frame_bytes` of payload.
    pub(crate) fn new(message: Message<'_>, max_frame_bytes: Option<usize>) -> Self {
        let encoded = Encoded::new(message, max_frame_bytes);
        let bytes = match encoded.bytes() {
            Bytes::Parts(head, body) => [head, body].concat().into(),
            Bytes::Shared(bytes) => Arc::clone(bytes),
        };
        Self {
            bytes,
            frame_count: encoded.unit().frames,
        }
    }

    /// Bytes that it takes on the wire, its header included.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) const fn unit(&self) -> Unit {
        Unit {
            frames: self.frame_count,
            messages: 1,
        }
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({} bytes)", self.bytes.len())
    }
}

const fn opcode_of(message: Message<'_>) -> Opcode {
    match message {
        Message::Text(_) => Opcode::Text,
        Message::Binary(_) => Opcode::Binary,
    }
}

/// The header of a message that is one frame.
#[inline]
pub(crate) fn header_of(message: Message<'_>) -> EncodedHeader {
    encode_header(true, opcode_of(message), message.len() as u64)
}

/// One outgoing message, ready to be copied or shared into queues.
#[derive(Debug)]
pub(crate) enum Encoded<'a> {
    /// A header and the payload it belongs to: one frame.
    Whole(EncodedHeader, &'a [u8]),
    /// Several frames, headers and payloads in turn.
    Split(Vec<u8>, u32),
    /// Bytes that somebody else holds too.
    Shared(&'a Frame),
}

impl<'a> Encoded<'a> {
    /// Encodes `message` in frames of at most `max_frame_bytes` of payload.
    ///
    /// A message above it is cut into as few frames as possible, of equal size but for the last.
    #[inline]
    pub(crate) fn new(message: Message<'a>, max_frame_bytes: Option<usize>) -> Self {
        let payload = message.as_bytes();
        match max_frame_bytes {
            Some(max) if payload.len() > max => {
                Self::split(opcode_of(message), payload, max.max(1))
            }
            _ => Self::Whole(header_of(message), payload),
        }
    }

    fn split(opcode: Opcode, payload: &[u8], max: usize) -> Self {
        let frame_count = payload.len().div_ceil(max);
        let frame_len = payload.len().div_ceil(frame_count);
        let mut bytes = Vec::with_capacity(payload.len() + 10 * frame_count);
        let mut frames = 0;
        let mut pieces = payload.chunks(frame_len).peekable();
        while let Some(piece) = pieces.next() {
            let opcode = if frames == 0 {
                opcode
            } else {
                Opcode::Continuation
            };
            let fin = pieces.peek().is_none();
            bytes.extend_from_slice(&encode_header(fin, opcode, piece.len() as u64));
            bytes.extend_from_slice(piece);
            frames += 1;
        }
        Self::Split(bytes, frames)
    }

    /// The bytes, for a queue.
    #[inline]
    pub(crate) fn bytes(&self) -> Bytes<'_> {
        match self {
            Self::Whole(header, payload) => Bytes::Parts(header, payload),
            Self::Split(bytes, _) => Bytes::Parts(&[], bytes),
            Self::Shared(frame) => Bytes::Shared(&frame.bytes),
        }
    }

    /// What it counts as.
    pub(crate) const fn unit(&self) -> Unit {
        match self {
            Self::Whole(..) => Unit {
                frames: 1,
                messages: 1,
            },
            Self::Shared(frame) => frame.unit(),
            Self::Split(_, frames) => Unit {
                frames: *frames,
                messages: 1,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(encoded: &Encoded<'_>) -> Vec<u8> {
        match encoded.bytes() {
            Bytes::Parts(head, body) => [head, body].concat(),
            Bytes::Shared(bytes) => bytes.to_vec(),
        }
    }

    /// RFC 6455 section 5.7: a single-frame unmasked text message.
    #[test]
    fn a_prepared_frame_is_the_vector_of_the_rfc() {
        assert_eq!(&Frame::text("Hello").bytes[..], b"\x81\x05Hello");
        assert_eq!(&Frame::binary([]).bytes[..], b"\x82\x00");
        let whole = Encoded::new(Message::Text("Hello"), None);
        assert_eq!(wire(&whole), b"\x81\x05Hello");
    }

    #[test]
    fn a_message_above_the_limit_is_cut_into_equal_frames() {
        let payload = vec![7; 131_046];
        let split = Encoded::new(Message::Binary(&payload), Some(65_527));
        assert_eq!(
            split.unit(),
            Unit {
                frames: 2,
                messages: 1
            }
        );
        let mut expected = b"\x02\x7e\xff\xf3".to_vec();
        expected.extend_from_slice(&payload[..65_523]);
        expected.extend_from_slice(b"\x80\x7e\xff\xf3");
        expected.extend_from_slice(&payload[65_523..]);
        assert_eq!(wire(&split), expected);
    }

    #[test]
    fn a_message_at_the_limit_stays_whole() {
        assert_eq!(Encoded::new(Message::Text("abc"), Some(3)).unit().frames, 1);
        assert_eq!(
            wire(&Encoded::new(Message::Text("abc"), Some(1))),
            b"\x01\x01a\x00\x01b\x80\x01c"
        );
    }
}
