//! Messages as a server puts them on the wire (RFC 6455 section 5.2): encoded once, for one
//! receiver or for all of them.

use crate::output::{Bytes, Unit};
use crate::websocket::frame::{EncodedHeader, Opcode, RSV1, encode_header};
use crate::websocket::message::Message;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// A message encoded once, to be sent many times, also to several endpoints.
///
/// Clones share the bytes, and so do all its receivers: those whose messages are compressed too, as
/// long as that is done without reference to other messages. It may be made on any thread.
///
/// ```
/// use aerys::Frame;
/// let price = Frame::text("{\"price\": 42}");
/// let same = price.clone();
/// assert_eq!(same.wire_len(), price.wire_len());
/// ```
#[derive(Clone)]
pub struct Frame {
    bytes: Arc<[u8]>,
    /// `None`: it is one frame, and sent once.
    more: Option<Arc<More>>,
}

/// What few frames have: the others, of which each delayed send has one, need not have a place
/// for it.
struct More {
    /// More than one only where an endpoint's option asks for it.
    frame_count: u32,
    /// What was made of it for clients whose messages are compressed, by window, of 9 to 15 bits.
    compressed: OnceLock<Box<[Compressed; 7]>>,
}

/// One frame, compressed; nothing in it if that would not be smaller.
pub(crate) type Compressed = OnceLock<Option<Arc<[u8]>>>;

impl More {
    fn new(frame_count: u32) -> Arc<Self> {
        Arc::new(Self {
            frame_count,
            compressed: OnceLock::new(),
        })
    }
}

impl Frame {
    /// Encodes a text message, as one frame.
    #[must_use]
    pub fn text(payload: impl AsRef<str>) -> Self {
        Self::prepared(Message::Text(payload.as_ref()))
    }

    /// Encodes a binary message, as one frame.
    #[must_use]
    pub fn binary(payload: impl AsRef<[u8]>) -> Self {
        Self::prepared(Message::Binary(payload.as_ref()))
    }

    /// Encodes `message` as one frame, to be sent more than once.
    fn prepared(message: Message<'_>) -> Self {
        Self {
            bytes: Encoded::new(message, None).to_shared(),
            more: Some(More::new(1)),
        }
    }

    /// Encodes `message` in frames of at most `max_frame_bytes` of payload, to be sent once.
    pub(crate) fn new(message: Message<'_>, max_frame_bytes: Option<usize>) -> Self {
        let encoded = Encoded::new(message, max_frame_bytes);
        let frame_count = encoded.unit().frames;
        Self {
            bytes: encoded.to_shared(),
            more: (frame_count > 1).then(|| More::new(frame_count)),
        }
    }

    fn frame_count(&self) -> u32 {
        self.more.as_ref().map_or(1, |more| more.frame_count)
    }

    /// Bytes that it takes on the wire, its header included.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        self.bytes.len()
    }
}

impl PartialEq for Frame {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Frame {}

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

/// A message that is to be sent: in which form to whom is open.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ToSend<'a> {
    Message(Message<'a>),
    Frame(&'a Frame),
}

impl<'a> ToSend<'a> {
    /// As it is, in frames of at most `max_frame_bytes` of payload unless it was encoded before.
    #[inline]
    pub(crate) fn plain(self, max_frame_bytes: Option<usize>) -> Encoded<'a> {
        match self {
            Self::Message(message) => Encoded::new(message, max_frame_bytes),
            Self::Frame(frame) => Encoded::Shared(&frame.bytes, frame.frame_count()),
        }
    }

    /// [`Opcode::Text`] or [`Opcode::Binary`].
    pub(crate) fn opcode(self) -> Opcode {
        match self {
            Self::Message(message) => opcode_of(message),
            Self::Frame(frame) if frame.bytes.first().is_some_and(|first| first & 1 == 1) => {
                Opcode::Text
            }
            Self::Frame(_) => Opcode::Binary,
        }
    }

    /// Bytes of payload.
    pub(crate) fn len(self) -> usize {
        self.pieces().map(<[u8]>::len).sum()
    }

    /// The payload, in order.
    pub(crate) fn pieces(self) -> impl Iterator<Item = &'a [u8]> {
        let (message, mut frames): (_, &[u8]) = match self {
            Self::Message(message) => (Some(message.as_bytes()), &[]),
            Self::Frame(frame) => (None, &frame.bytes),
        };
        let payloads = std::iter::from_fn(move || {
            let (payload_len, rest) = split_server_header(frames)?;
            let (payload, behind) = rest.split_at_checked(payload_len)?;
            frames = behind;
            Some(payload)
        });
        message.into_iter().chain(payloads)
    }

    /// Where it is kept compressed for this window, if it is to be sent more than once.
    pub(crate) fn kept(self, window_bits: u8) -> Option<&'a Compressed> {
        match self {
            Self::Message(_) => None,
            Self::Frame(frame) => {
                let more = frame.more.as_deref()?;
                let compressed = more.compressed.get_or_init(Box::default);
                compressed.get(usize::from(window_bits.checked_sub(9)?))
            }
        }
    }
}

/// The payload length of a frame that was encoded here, and what follows its header.
fn split_server_header(frame: &[u8]) -> Option<(usize, &[u8])> {
    let (&[_, short], rest) = frame.split_first_chunk()?;
    match short {
        126 => {
            let (len, rest) = rest.split_first_chunk()?;
            Some((u16::from_be_bytes(*len).into(), rest))
        }
        127 => {
            let (len, rest) = rest.split_first_chunk()?;
            Some((usize::try_from(u64::from_be_bytes(*len)).ok()?, rest))
        }
        short => Some((short.into(), rest)),
    }
}

/// One outgoing message, ready to be copied or shared into queues.
#[derive(Debug)]
pub(crate) enum Encoded<'a> {
    /// A header and the payload it belongs to: one frame.
    Whole(EncodedHeader, &'a [u8]),
    /// Several frames, headers and payloads in turn.
    Split(Vec<u8>, u32),
    /// Bytes that somebody else holds too, of so many frames.
    Shared(&'a Arc<[u8]>, u32),
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

    /// The same for a message of which `payload` is the compressed form.
    pub(crate) fn deflated(
        opcode: Opcode,
        payload: &'a [u8],
        max_frame_bytes: Option<usize>,
    ) -> Self {
        let mut encoded = match max_frame_bytes {
            Some(max) if payload.len() > max => Self::split(opcode, payload, max.max(1)),
            _ => Self::Whole(encode_header(true, opcode, payload.len() as u64), payload),
        };
        match &mut encoded {
            Self::Whole(header, _) => *header = header.with_rsv1(),
            // Of its first frame alone (RFC 7692 section 6.1).
            Self::Split(bytes, _) => bytes[0] |= RSV1,
            Self::Shared(..) => {}
        }
        encoded
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
            Self::Shared(bytes, _) => Bytes::Shared(bytes),
        }
    }

    /// The bytes, to be kept.
    pub(crate) fn to_shared(&self) -> Arc<[u8]> {
        match self.bytes() {
            Bytes::Parts(head, body) => [head, body].concat().into(),
            Bytes::Shared(bytes) => Arc::clone(bytes),
        }
    }

    /// What it counts as.
    pub(crate) const fn unit(&self) -> Unit {
        let frames = match self {
            Self::Whole(..) => 1,
            Self::Split(_, frames) | Self::Shared(_, frames) => *frames,
        };
        Unit {
            frames,
            messages: 1,
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
