//! Frame headers on the wire (RFC 6455 section 5.2), decoded and encoded.
//!
//! Pure functions: what a frame *looks like*. Which frame is legal *now* is `message.rs` for
//! fragments and sizes, `connection.rs` for the rest. Frames of clients are decoded, frames of a
//! server encoded, and the other way round for this crate's own clients; they differ in the mask alone.
//!
//! ```text
//!  byte 0               byte 1             then                      then
//!  FIN RSV1-3 opcode    MASK length(7)     126: length(16)           masking key, 4 bytes
//!   1   3      4         1   7             127: length(64)           (clients only)
//! ```

use std::ops::Deref;

use super::close::CloseCode;

const FIN: u8 = 0x80;
const RSV: u8 = 0x70;
const MASK: u8 = 0x80;
/// The message that this frame begins is compressed (RFC 7692 section 6).
pub(crate) const RSV1: u8 = 0x40;

/// Longest header of a client's frame.
pub(crate) const MAX_HEADER_LEN: usize = 14;

/// Lengths up to here are the length field itself, and all that a control frame may have.
const MAX_SHORT_LEN: u8 = 125;
/// In the length field: the length follows in 16 bits.
const LEN_16: u8 = 126;
/// In the length field: the length follows in 64 bits.
const LEN_64: u8 = 127;

/// What a frame is for (section 11.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// The next fragment of a message.
    Continuation = 0x0,
    /// A text message, or its first fragment.
    Text = 0x1,
    /// A binary message, or its first fragment.
    Binary = 0x2,
    /// The closing handshake.
    Close = 0x8,
    /// Asks for a Pong with the same payload.
    Ping = 0x9,
    /// Answers a Ping, or says "still here".
    Pong = 0xA,
}

impl Opcode {
    /// The opcode in the low four bits of a frame's first byte; `None` if it is reserved.
    const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0x0 => Some(Self::Continuation),
            0x1 => Some(Self::Text),
            0x2 => Some(Self::Binary),
            0x8 => Some(Self::Close),
            0x9 => Some(Self::Ping),
            0xA => Some(Self::Pong),
            _ => None,
        }
    }

    /// Whether frames of this kind must be short and whole (section 5.5).
    #[must_use]
    pub const fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }

    const fn begins_message(self) -> bool {
        matches!(self, Self::Text | Self::Binary)
    }
}

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Whether it is the last fragment of its message.
    pub fin: bool,
    /// Whether the first extension bit is set, as permessage-deflate sets it on the first frame of
    /// a message that is compressed (RFC 7692 section 6). Never where that was not negotiated.
    pub rsv1: bool,
    /// What the frame is for.
    pub opcode: Opcode,
    /// The masking key (section 5.3); of a server's frame 0.
    pub mask: [u8; 4],
    /// How many bytes of payload follow the header. Below 2^63; for control frames at most 125.
    pub payload_len: u64,
}

/// Why a peer's bytes are not a legal frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// A reserved bit that no negotiated extension gave a meaning to, or not in this frame.
    ReservedBit,
    /// An opcode without a meaning.
    ReservedOpcode,
    /// A control frame without FIN (section 5.5).
    FragmentedControlFrame,
    /// A control frame longer than 125 bytes (section 5.5).
    LongControlFrame,
    /// A client's frame without a mask (section 5.1).
    Unmasked,
    /// A server's frame with one (section 5.1).
    Masked,
    /// A 64-bit length with the top bit set.
    LengthTopBit,
    /// A length in a longer form than it needs.
    LengthNotMinimal,
}

impl FrameError {
    /// The code to fail the connection with (section 7.4.1).
    #[must_use]
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::ReservedBit
            | Self::ReservedOpcode
            | Self::FragmentedControlFrame
            | Self::LongControlFrame
            | Self::Unmasked
            | Self::Masked
            | Self::LengthTopBit
            | Self::LengthNotMinimal => CloseCode::PROTOCOL_ERROR,
        }
    }

    /// The reason to fail the connection with, short enough for a Close frame.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::ReservedBit => "a reserved bit is set",
            Self::ReservedOpcode => "reserved opcode",
            Self::FragmentedControlFrame => "control frames cannot be fragmented",
            Self::LongControlFrame => "control frames carry at most 125 bytes",
            Self::Unmasked => "frames of a client must be masked",
            Self::Masked => "frames of a server must not be masked",
            Self::LengthTopBit => "payload length above 2^63 - 1",
            Self::LengthNotMinimal => "payload length not in its shortest form",
        }
    }
}

/// Decodes one client frame header from the front of `input`, where RSV1 has a meaning if
/// `allows_rsv1`: permessage-deflate was negotiated.
///
/// Returns the header and its length in bytes (6 to 14), or `None` if `input` ends inside it; call
/// again with the same bytes and more.
///
/// # Errors
///
/// [`FrameError`] for bytes that no continuation could make legal (sections 5.1, 5.2, 5.5), as soon
/// as they are there: a peer cannot make us wait for the rest of what we would refuse anyway.
#[inline]
pub fn decode_header(
    input: &[u8],
    allows_rsv1: bool,
) -> Result<Option<(FrameHeader, usize)>, FrameError> {
    decode::<true>(input, allows_rsv1)
}

/// The same for a server's frame, whose header has 2 to 10 bytes.
///
/// # Errors
///
/// [`FrameError`], as soon as the bytes are there.
#[inline]
pub fn decode_server_header(
    input: &[u8],
    allows_rsv1: bool,
) -> Result<Option<(FrameHeader, usize)>, FrameError> {
    decode::<false>(input, allows_rsv1)
}

#[inline]
fn decode<const OF_CLIENT: bool>(
    input: &[u8],
    allows_rsv1: bool,
) -> Result<Option<(FrameHeader, usize)>, FrameError> {
    let Some((&first, rest)) = input.split_first() else {
        return Ok(None);
    };
    let fin = first & FIN != 0;
    let rsv = first & RSV;
    let allowed_rsv = if allows_rsv1 { RSV1 } else { 0 };
    if rsv & !allowed_rsv != 0 {
        return Err(FrameError::ReservedBit);
    }
    let Some(opcode) = Opcode::from_bits(first & 0x0F) else {
        return Err(FrameError::ReservedOpcode);
    };
    if rsv != 0 && !opcode.begins_message() {
        return Err(FrameError::ReservedBit);
    }
    if opcode.is_control() && !fin {
        return Err(FrameError::FragmentedControlFrame);
    }
    let Some((&second, rest)) = rest.split_first() else {
        return Ok(None);
    };
    let short_len = second & !MASK;
    if opcode.is_control() && short_len > MAX_SHORT_LEN {
        return Err(FrameError::LongControlFrame);
    }
    if OF_CLIENT && second & MASK == 0 {
        return Err(FrameError::Unmasked);
    }
    if !OF_CLIENT && second & MASK != 0 {
        return Err(FrameError::Masked);
    }
    let length = match short_len {
        LEN_16 => decode_length_16(rest)?,
        LEN_64 => decode_length_64(rest)?,
        short => Some((u64::from(short), rest)),
    };
    let Some((payload_len, rest)) = length else {
        return Ok(None);
    };
    let (mask, rest) = if OF_CLIENT {
        let Some((&mask, rest)) = rest.split_first_chunk() else {
            return Ok(None);
        };
        (mask, rest)
    } else {
        ([0; 4], rest)
    };
    let header = FrameHeader {
        fin,
        rsv1: rsv & RSV1 != 0,
        opcode,
        mask,
        payload_len,
    };
    Ok(Some((header, input.len() - rest.len())))
}

/// Where a whole message lies that is one frame and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WholeMessage {
    /// Text, or else binary.
    pub is_text: bool,
    /// The masking key (section 5.3).
    pub mask: [u8; 4],
    /// Length of the header in front of the payload.
    pub header_len: usize,
    /// How many bytes of payload follow the header.
    pub payload_len: usize,
}

/// What [`decode_header`] says of the usual frame at the front of `input`: legal, unfragmented,
/// text or binary, below 64 KiB, and there to its last byte. `None`: anything else, good or bad.
///
/// Two comparisons in place of a judgement of each bit.
#[inline]
#[must_use]
pub fn decode_whole(input: &[u8]) -> Option<WholeMessage> {
    let (&[first, second], rest) = input.split_first_chunk()?;
    let opcode = first ^ FIN;
    if opcode != Opcode::Text as u8 && opcode != Opcode::Binary as u8 {
        return None;
    }
    // Without the mask's bit this is far above any short length.
    let short_len = second ^ MASK;
    let (payload_len, rest) = if short_len <= MAX_SHORT_LEN {
        (usize::from(short_len), rest)
    } else if short_len == LEN_16 {
        let (&len, rest) = rest.split_first_chunk()?;
        let len = u16::from_be_bytes(len);
        if len <= u16::from(MAX_SHORT_LEN) {
            return None;
        }
        (usize::from(len), rest)
    } else {
        return None;
    };
    let (&mask, rest) = rest.split_first_chunk()?;
    (rest.len() >= payload_len).then_some(WholeMessage {
        is_text: opcode == Opcode::Text as u8,
        mask,
        header_len: input.len() - rest.len(),
        payload_len,
    })
}

/// A length and the bytes behind it, or not yet.
type Length<'a> = Option<(u64, &'a [u8])>;

#[inline]
fn decode_length_16(input: &[u8]) -> Result<Length<'_>, FrameError> {
    let Some((&bytes, rest)) = input.split_first_chunk() else {
        return Ok(None);
    };
    match u16::from_be_bytes(bytes) {
        ..=125 => Err(FrameError::LengthNotMinimal),
        len => Ok(Some((u64::from(len), rest))),
    }
}

#[inline]
fn decode_length_64(input: &[u8]) -> Result<Length<'_>, FrameError> {
    match input {
        [first, ..] if first & 0x80 != 0 => return Err(FrameError::LengthTopBit),
        // Whatever the last two bytes say, they would have been enough.
        [0, 0, 0, 0, 0, 0, ..] => return Err(FrameError::LengthNotMinimal),
        _ => {}
    }
    Ok(input
        .split_first_chunk()
        .map(|(&bytes, rest)| (u64::from_be_bytes(bytes), rest)))
}

/// An encoded header of a server's frame, 2 to 10 bytes on the stack.
#[derive(Clone, Copy, Debug)]
pub struct EncodedHeader {
    bytes: [u8; 10],
    len: u8,
}

impl EncodedHeader {
    /// The same with RSV1 set: the message that this frame begins is compressed.
    #[must_use]
    pub(crate) const fn with_rsv1(mut self) -> Self {
        self.bytes[0] |= RSV1;
        self
    }

    /// The bytes and how many of them count: a copy of all ten needs no call, as one of a length
    /// that is not known does.
    #[inline]
    pub(crate) fn parts(&self) -> (&[u8; 10], usize) {
        (&self.bytes, usize::from(self.len))
    }
}

impl Deref for EncodedHeader {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // `len` is 2, 4 or 10.
        &self.bytes[..usize::from(self.len)]
    }
}

/// Encodes the header of a server's frame with a payload of `payload_len` bytes: not masked, no
/// reserved bit, the length in its shortest form.
#[inline]
#[must_use]
pub fn encode_header(fin: bool, opcode: Opcode, payload_len: u64) -> EncodedHeader {
    debug_assert!(!opcode.is_control() || (fin && payload_len <= u64::from(MAX_SHORT_LEN)));
    let first = if fin { FIN } else { 0 } | opcode as u8;
    let mut bytes = [0; 10];
    bytes[0] = first;
    let len = if let Ok(short) = u8::try_from(payload_len)
        && short <= MAX_SHORT_LEN
    {
        bytes[1] = short;
        2
    } else if let Ok(medium) = u16::try_from(payload_len) {
        bytes[1] = LEN_16;
        bytes[2..4].copy_from_slice(&medium.to_be_bytes());
        4
    } else {
        bytes[1] = LEN_64;
        bytes[2..10].copy_from_slice(&payload_len.to_be_bytes());
        10
    };
    EncodedHeader { bytes, len }
}

#[cfg(test)]
mod tests;
