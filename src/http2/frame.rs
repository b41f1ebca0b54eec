//! Frames on the wire (RFC 9113 sections 4.1, 6 and 7), decoded and encoded.
//!
//! Pure functions: what a frame *looks like*, and what its header alone makes illegal. Which frame
//! is legal *now* is `connection.rs`.

use std::fmt;

/// Length of every frame header (section 4.1).
pub(crate) const HEADER_BYTES: usize = 9;

/// Longest payload of a frame, either way. It is what every peer takes; to announce more would only
/// let one stream hold the others up for longer (section 4.2).
pub(crate) const MAX_PAYLOAD_BYTES: usize = 16_384;

/// The largest flow-control window, and the largest step by which one grows (section 6.9.1).
pub(crate) const MAX_WINDOW_BYTES: u32 = 0x7FFF_FFFF;

/// Every flow-control window at first (section 6.9.2).
pub(crate) const DEFAULT_WINDOW_BYTES: u32 = 65_535;

/// What a client sends first (section 3.4).
pub(crate) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// No frames follow in the direction in which this one goes.
pub(crate) const END_STREAM: u8 = 0x1;
/// A SETTINGS or PING frame is the answer to one.
pub(crate) const ACK: u8 = 0x1;
/// A field block ends with this frame.
pub(crate) const END_HEADERS: u8 = 0x4;
/// The payload begins with the length of the padding at its end.
pub(crate) const PADDED: u8 = 0x8;
/// A HEADERS frame has five bytes of a deprecated priority.
pub(crate) const PRIORITY: u8 = 0x20;

/// Which stream a frame is of (section 5.1.1): 31 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct StreamId(u32);

impl StreamId {
    /// Stands for the connection as a whole.
    pub(crate) const CONNECTION: Self = Self(0);

    /// The low 31 bits; the highest is reserved, and ignored.
    pub(crate) const fn new(bits: u32) -> Self {
        Self(bits & 0x7FFF_FFFF)
    }

    /// The number.
    pub(crate) const fn get(self) -> u32 {
        self.0
    }

    /// Whether a client may open it: the odd ones.
    pub(crate) const fn is_of_client(self) -> bool {
        self.0 % 2 == 1
    }
}

/// The types of frames (section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Data = 0x0,
    Headers = 0x1,
    Priority = 0x2,
    RstStream = 0x3,
    Settings = 0x4,
    PushPromise = 0x5,
    Ping = 0x6,
    GoAway = 0x7,
    WindowUpdate = 0x8,
    Continuation = 0x9,
    /// Any other: it is ignored (section 5.5), as RFC 9218's `PRIORITY_UPDATE`.
    Unknown = 0xFF,
}

impl Kind {
    const fn from_byte(byte: u8) -> Self {
        match byte {
            0x0 => Self::Data,
            0x1 => Self::Headers,
            0x2 => Self::Priority,
            0x3 => Self::RstStream,
            0x4 => Self::Settings,
            0x5 => Self::PushPromise,
            0x6 => Self::Ping,
            0x7 => Self::GoAway,
            0x8 => Self::WindowUpdate,
            0x9 => Self::Continuation,
            _ => Self::Unknown,
        }
    }
}

/// Why a stream or a connection ended (section 7).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct ErrorCode(u32);

impl ErrorCode {
    pub(crate) const NO_ERROR: Self = Self(0x00);
    pub(crate) const PROTOCOL_ERROR: Self = Self(0x01);
    pub(crate) const INTERNAL_ERROR: Self = Self(0x02);
    pub(crate) const FLOW_CONTROL_ERROR: Self = Self(0x03);
    pub(crate) const SETTINGS_TIMEOUT: Self = Self(0x04);
    pub(crate) const STREAM_CLOSED: Self = Self(0x05);
    pub(crate) const FRAME_SIZE_ERROR: Self = Self(0x06);
    pub(crate) const REFUSED_STREAM: Self = Self(0x07);
    pub(crate) const CANCEL: Self = Self(0x08);
    pub(crate) const COMPRESSION_ERROR: Self = Self(0x09);
    pub(crate) const CONNECT_ERROR: Self = Self(0x0A);
    pub(crate) const ENHANCE_YOUR_CALM: Self = Self(0x0B);
    pub(crate) const INADEQUATE_SECURITY: Self = Self(0x0C);
    pub(crate) const HTTP_1_1_REQUIRED: Self = Self(0x0D);

    /// The number.
    #[cfg(test)]
    pub(crate) const fn get(self) -> u32 {
        self.0
    }

    const fn name(self) -> &'static str {
        match self {
            Self::NO_ERROR => "NO_ERROR",
            Self::PROTOCOL_ERROR => "PROTOCOL_ERROR",
            Self::INTERNAL_ERROR => "INTERNAL_ERROR",
            Self::FLOW_CONTROL_ERROR => "FLOW_CONTROL_ERROR",
            Self::SETTINGS_TIMEOUT => "SETTINGS_TIMEOUT",
            Self::STREAM_CLOSED => "STREAM_CLOSED",
            Self::FRAME_SIZE_ERROR => "FRAME_SIZE_ERROR",
            Self::REFUSED_STREAM => "REFUSED_STREAM",
            Self::CANCEL => "CANCEL",
            Self::COMPRESSION_ERROR => "COMPRESSION_ERROR",
            Self::CONNECT_ERROR => "CONNECT_ERROR",
            Self::ENHANCE_YOUR_CALM => "ENHANCE_YOUR_CALM",
            Self::INADEQUATE_SECURITY => "INADEQUATE_SECURITY",
            Self::HTTP_1_1_REQUIRED => "HTTP_1_1_REQUIRED",
            // Unknown ones have no meaning of their own.
            _ => "unknown error",
        }
    }
}

impl From<u32> for ErrorCode {
    fn from(number: u32) -> Self {
        Self(number)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (0x{:02x})", self.name(), self.0)
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A rule was broken for which the whole connection ends (section 5.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionError {
    pub(crate) code: ErrorCode,
    /// Which rule, in words that repeat nothing of what was sent.
    pub(crate) reason: &'static str,
}

impl ConnectionError {
    pub(crate) const fn new(code: ErrorCode, reason: &'static str) -> Self {
        Self { code, reason }
    }

    pub(crate) const fn protocol(reason: &'static str) -> Self {
        Self::new(ErrorCode::PROTOCOL_ERROR, reason)
    }

    pub(crate) const fn frame_size(reason: &'static str) -> Self {
        Self::new(ErrorCode::FRAME_SIZE_ERROR, reason)
    }
}

/// What every frame begins with (section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    /// Length of the payload in bytes, below 2^24.
    pub(crate) len: usize,
    pub(crate) kind: Kind,
    /// Those that a type does not define are ignored.
    pub(crate) flags: u8,
    pub(crate) stream: StreamId,
}

impl FrameHeader {
    /// Decodes a header.
    pub(crate) fn decode(bytes: [u8; HEADER_BYTES]) -> Self {
        let [a, b, c, kind, flags, stream @ ..] = bytes;
        Self {
            len: usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c),
            kind: Kind::from_byte(kind),
            flags,
            stream: StreamId::new(u32::from_be_bytes(stream)),
        }
    }

    /// Whether a flag is set.
    pub(crate) const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Judges what the header alone can tell: the length (section 4.2) and whether frames of this
    /// type are of a stream or of the connection. A peer cannot make us wait for a payload that
    /// would be refused anyway.
    ///
    /// # Errors
    ///
    /// Also for what the RFC makes an error of the stream alone, a PRIORITY frame of the wrong size
    /// (section 6.3): it may be taken for one of the connection (section 5.4.1), and its stream need
    /// not exist.
    pub(crate) fn judge(&self) -> Result<(), ConnectionError> {
        if self.len > MAX_PAYLOAD_BYTES {
            let reason = "a frame is longer than SETTINGS_MAX_FRAME_SIZE";
            return Err(ConnectionError::frame_size(reason));
        }
        let is_of_connection = self.stream == StreamId::CONNECTION;
        let is_misplaced = match self.kind {
            Kind::Data | Kind::Headers | Kind::Priority | Kind::RstStream | Kind::Continuation => {
                is_of_connection
            }
            Kind::Settings | Kind::Ping | Kind::GoAway => !is_of_connection,
            Kind::PushPromise => {
                let reason = "a client does not push";
                return Err(ConnectionError::protocol(reason));
            }
            Kind::WindowUpdate | Kind::Unknown => false,
        };
        if is_misplaced {
            let reason =
                "a frame of a stream came on stream 0, or one of the connection on another";
            return Err(ConnectionError::protocol(reason));
        }
        let is_fitting = match self.kind {
            Kind::Priority => self.len == 5,
            Kind::RstStream | Kind::WindowUpdate => self.len == 4,
            Kind::Ping => self.len == 8,
            Kind::GoAway => self.len >= 8,
            Kind::Settings if self.has(ACK) => self.len == 0,
            Kind::Settings => self.len.is_multiple_of(6),
            Kind::Data | Kind::Headers => self.len >= self.prefix_bytes(),
            Kind::Continuation | Kind::PushPromise | Kind::Unknown => true,
        };
        if is_fitting {
            Ok(())
        } else {
            let reason = "a frame does not have the length of its type";
            Err(ConnectionError::frame_size(reason))
        }
    }

    /// Bytes that a DATA or HEADERS frame has in front of what it carries.
    fn prefix_bytes(&self) -> usize {
        let priority = self.kind == Kind::Headers && self.has(PRIORITY);
        usize::from(self.has(PADDED)) + if priority { 5 } else { 0 }
    }

    /// What of the payload of a HEADERS frame is of its field block: without padding and priority
    /// (section 6.2).
    ///
    /// # Errors
    ///
    /// There is more padding than there is room for.
    pub(crate) fn field_block<'p>(&self, payload: &'p [u8]) -> Result<&'p [u8], ConnectionError> {
        let padding = match payload.first() {
            Some(len) if self.has(PADDED) => usize::from(*len),
            _ => 0,
        };
        let block_len = payload.len().checked_sub(self.prefix_bytes() + padding);
        match block_len {
            Some(len) => Ok(&payload[self.prefix_bytes()..][..len]),
            None => Err(TOO_MUCH_PADDING),
        }
    }
}

/// The padding of a frame leaves no room for its length (sections 6.1 and 6.2).
pub(crate) const TOO_MUCH_PADDING: ConnectionError =
    ConnectionError::protocol("the padding is longer than the payload");

/// Encodes a frame header. `len` is of one frame: at most [`MAX_PAYLOAD_BYTES`].
const fn header(len: usize, kind: Kind, flags: u8, stream: StreamId) -> [u8; HEADER_BYTES] {
    debug_assert!(len <= MAX_PAYLOAD_BYTES);
    let len = len.to_be_bytes();
    let id = stream.0.to_be_bytes();
    let [.., high, middle, low] = len;
    [
        high, middle, low, kind as u8, flags, id[0], id[1], id[2], id[3],
    ]
}

/// The header of a DATA frame with `len` bytes of payload, at most 16,384 (section 6.1).
pub(crate) const fn data_header(stream: StreamId, len: usize, end_stream: bool) -> [u8; 9] {
    let flags = if end_stream { END_STREAM } else { 0 };
    header(len, Kind::Data, flags, stream)
}

/// Puts a field block as one HEADERS frame and as many CONTINUATION frames as it takes (sections
/// 6.2 and 6.10): the header and the payload of each.
pub(crate) fn put_headers(
    stream: StreamId,
    block: &[u8],
    end_stream: bool,
    mut put: impl FnMut(&[u8; HEADER_BYTES], &[u8]),
) {
    let mut kind = Kind::Headers;
    let mut flags = if end_stream { END_STREAM } else { 0 };
    let mut rest = block;
    loop {
        let (fragment, behind) = rest.split_at(rest.len().min(MAX_PAYLOAD_BYTES));
        if behind.is_empty() {
            flags |= END_HEADERS;
        }
        put(&header(fragment.len(), kind, flags, stream), fragment);
        if behind.is_empty() {
            return;
        }
        (kind, flags, rest) = (Kind::Continuation, 0, behind);
    }
}

/// A `RST_STREAM` frame (section 6.4).
pub(crate) fn rst_stream(stream: StreamId, code: ErrorCode) -> [u8; HEADER_BYTES + 4] {
    joined(
        header(4, Kind::RstStream, 0, stream),
        &[code.0.to_be_bytes()],
    )
}

/// A `WINDOW_UPDATE` frame (section 6.9).
pub(crate) fn window_update(stream: StreamId, increment: u32) -> [u8; HEADER_BYTES + 4] {
    debug_assert!((1..=MAX_WINDOW_BYTES).contains(&increment));
    joined(
        header(4, Kind::WindowUpdate, 0, stream),
        &[increment.to_be_bytes()],
    )
}

/// The answer to a PING frame with that payload (section 6.7).
pub(crate) fn ping_ack(payload: [u8; 8]) -> [u8; HEADER_BYTES + 8] {
    joined(header(8, Kind::Ping, ACK, StreamId::CONNECTION), &[payload])
}

/// The first part of a GOAWAY frame (section 6.8); `debug_len` bytes for humans are to follow.
pub(crate) fn go_away(last: StreamId, code: ErrorCode, debug_len: usize) -> [u8; HEADER_BYTES + 8] {
    joined(
        header(8 + debug_len, Kind::GoAway, 0, StreamId::CONNECTION),
        &[last.0.to_be_bytes(), code.0.to_be_bytes()],
    )
}

/// The answer to a SETTINGS frame (section 6.5).
pub(crate) const SETTINGS_ACK: [u8; HEADER_BYTES] =
    header(0, Kind::Settings, ACK, StreamId::CONNECTION);

/// Appends a SETTINGS frame of identifiers and values (section 6.5).
pub(crate) fn settings(settings: &[(u16, u32)], out: &mut Vec<u8>) {
    let len = settings.len() * 6;
    out.extend_from_slice(&header(len, Kind::Settings, 0, StreamId::CONNECTION));
    for (identifier, value) in settings {
        out.extend_from_slice(&identifier.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// A header and the parts of its payload. `LEN` is what they are together.
fn joined<const LEN: usize, const PART: usize>(
    header: [u8; HEADER_BYTES],
    parts: &[[u8; PART]],
) -> [u8; LEN] {
    let mut frame = [0; LEN];
    let (head, payload) = frame.split_at_mut(HEADER_BYTES);
    head.copy_from_slice(&header);
    payload.copy_from_slice(parts.as_flattened());
    frame
}

#[cfg(test)]
mod tests;
