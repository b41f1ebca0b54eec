//! Close codes and the payload of Close frames (RFC 6455 sections 5.5.1, 7.4), and the closing
//! handshake as a table (section 7.1).
//!
//! ```text
//!          we close: Close goes out       the peer's Close, a failure, end of stream,
//!        ┌──────────────────────────▶ CloseSent ──────────────────────────┐ out of time
//!  Open ─┤                                                                ├──▶ Closed
//!        └────────────────────────────────────────────────────────────────┘
//!          the peer's Close, a failure: Close goes out; end of stream: nothing does
//! ```
//!
//! Leaving `Open` is when the application is told, once. In `CloseSent` frames are parsed on, but
//! only the peer's Close counts; in `Closed` nothing that the peer sends does, and what is left is
//! to end the TCP connection so that the peer reads everything before it sees a reset.
//! What a frame header is, and when deadlines are set, is not decided here.

use std::fmt;
use std::ops::Deref;

use super::utf8;

/// Longest reason in bytes: a control frame carries 125, two of them are the code.
pub(crate) const MAX_REASON_BYTES: usize = 123;

/// Why a WebSocket connection was closed: four digits (RFC 6455 section 7.4).
///
/// ```
/// use aerys::CloseCode;
/// assert_eq!(CloseCode::from(1001), CloseCode::GOING_AWAY);
/// assert_eq!(CloseCode::GOING_AWAY.to_string(), "1001");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: the purpose of the connection is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// 1001: the server stops, or the page was left.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: the peer broke a rule of the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// 1003: a kind of message that is not taken here, such as binary where only text is.
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// 1005: the peer's Close said no code. Never on the wire.
    pub const NO_STATUS: Self = Self(1005);
    /// 1006: the connection ended without a Close. Never on the wire.
    pub const ABNORMAL: Self = Self(1006);
    /// 1007: a message's content does not fit its kind, such as text that is not UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// 1008: a policy was violated, and no other code says which.
    pub const POLICY_VIOLATION: Self = Self(1008);
    /// 1009: a message is too big to be taken.
    pub const MESSAGE_TOO_BIG: Self = Self(1009);
    /// 1011: the server met something unexpected.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// 1012: the server restarts; come back.
    pub const SERVICE_RESTART: Self = Self(1012);
    /// 1013: the server is overloaded; come back later.
    pub const TRY_AGAIN_LATER: Self = Self(1013);
    /// 1014: the server, as a gateway, got no good answer from the one behind it.
    pub const BAD_GATEWAY: Self = Self(1014);

    /// The number.
    #[must_use]
    pub const fn as_u16(self) -> u16 {
        self.0
    }

    /// Whether a Close frame may carry it, from either side: 1000-1003, 1007-1014 and 3000-4999
    /// (section 7.4.2 and the registry it founded). The others are for local use, reserved, or no
    /// close codes.
    #[must_use]
    pub const fn may_be_sent(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

impl From<u16> for CloseCode {
    fn from(code: u16) -> Self {
        Self(code)
    }
}

impl From<CloseCode> for u16 {
    fn from(code: CloseCode) -> Self {
        code.0
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Why the application cannot close a client like that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidClose {
    /// A code that no Close frame may carry.
    Code(u16),
    /// A reason of so many bytes.
    ReasonTooLong(usize),
}

impl fmt::Display for InvalidClose {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(
                formatter,
                "close code {code} may not be sent: use 1000-1003, 1007-1014, or 3000-4999 \
                 (4000-4999 are free for applications)"
            ),
            Self::ReasonTooLong(len) => write!(
                formatter,
                "a close reason has at most {MAX_REASON_BYTES} bytes, this one has {len}"
            ),
        }
    }
}

impl std::error::Error for InvalidClose {}

/// Judges what an application wants to close with.
///
/// # Errors
///
/// [`InvalidClose`] for a code that may not be sent, or a reason that does not fit.
pub(crate) const fn check_sendable(code: CloseCode, reason: &str) -> Result<(), InvalidClose> {
    if !code.may_be_sent() {
        return Err(InvalidClose::Code(code.as_u16()));
    }
    if reason.len() > MAX_REASON_BYTES {
        return Err(InvalidClose::ReasonTooLong(reason.len()));
    }
    Ok(())
}

/// Why a peer's Close frame is illegal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseError {
    /// One byte: half a code (section 5.5.1).
    HalfCode,
    /// A code that no Close frame may carry (section 7.4).
    IllegalCode,
    /// The reason is not UTF-8.
    InvalidUtf8,
}

impl CloseError {
    /// The code to fail the connection with (section 7.4.1).
    #[must_use]
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::HalfCode | Self::IllegalCode => CloseCode::PROTOCOL_ERROR,
            Self::InvalidUtf8 => CloseCode::INVALID_PAYLOAD,
        }
    }

    /// The reason to fail the connection with, short enough for a Close frame.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::HalfCode => "close code of one byte",
            Self::IllegalCode => "close code that may not be sent",
            Self::InvalidUtf8 => "close reason is not UTF-8",
        }
    }
}

/// Decodes the unmasked payload of a peer's Close frame. Empty is [`CloseCode::NO_STATUS`].
///
/// # Errors
///
/// [`CloseError`] for a payload that fails the connection.
pub fn decode_payload(payload: &[u8]) -> Result<(CloseCode, &str), CloseError> {
    let Some((&code, reason)) = payload.split_first_chunk() else {
        return if payload.is_empty() {
            Ok((CloseCode::NO_STATUS, ""))
        } else {
            Err(CloseError::HalfCode)
        };
    };
    let code = CloseCode(u16::from_be_bytes(code));
    if !code.may_be_sent() {
        return Err(CloseError::IllegalCode);
    }
    let reason = utf8::from_utf8(reason).ok_or(CloseError::InvalidUtf8)?;
    Ok((code, reason))
}

/// The payload of a Close frame, at most 125 bytes on the stack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClosePayload {
    bytes: [u8; 2 + MAX_REASON_BYTES],
    len: u8,
}

impl Deref for ClosePayload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// Encodes the payload of a Close frame.
///
/// Every input gives a legal one: a code that may not be on the wire, such as
/// [`CloseCode::NO_STATUS`], gives an empty payload, and a reason too long is cut between two
/// characters. Applications hear of either from [`check_sendable`] before it comes to that.
pub(crate) fn encode_payload(code: CloseCode, reason: &str) -> ClosePayload {
    let mut payload = ClosePayload {
        bytes: [0; 2 + MAX_REASON_BYTES],
        len: 0,
    };
    if code.may_be_sent() {
        let reason = cut(reason, MAX_REASON_BYTES).as_bytes();
        let (code_bytes, rest) = payload.bytes.split_at_mut(2);
        code_bytes.copy_from_slice(&code.as_u16().to_be_bytes());
        rest[..reason.len()].copy_from_slice(reason);
        payload.len = u8::try_from(2 + reason.len()).expect("at most 125");
    }
    payload
}

/// The longest beginning of `text` that has at most `max_len` bytes.
fn cut(text: &str, max_len: usize) -> &str {
    let len = (0..=max_len.min(text.len()))
        .rev()
        .find(|&len| text.is_char_boundary(len));
    &text[..len.unwrap_or(0)]
}

/// How far the closing handshake is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum State {
    /// Messages go both ways.
    #[default]
    Open,
    /// Our Close is queued behind the backlog; the peer's is awaited.
    CloseSent,
    /// Both sides are done, or one of them is lost. Only the socket is left to end.
    Closed,
}

/// What moves the closing handshake on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// We want to close, in order: the application, or the server as it stops.
    Close(CloseCode),
    /// The peer's Close arrived and is legal.
    Received(CloseCode),
    /// We cannot go on (section 7.1.7): a rule was broken, a heartbeat missed, a limit passed.
    Fail(CloseCode),
    /// The close deadline passed.
    TimedOut,
    /// The peer's end of stream, or a reset.
    Disconnected,
}

/// What is to be done after a step, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Nothing.
    Nothing,
    /// Queue a Close frame, and set the close deadline.
    Send(CloseCode),
    /// Queue a Close frame, then as [`ShutDown`](Self::ShutDown).
    SendThenShutDown(CloseCode),
    /// Set the close deadline if it is not set. When all output is written, end our side of the
    /// stream; read on and discard until the peer ends its side, so that it never sees a reset.
    ShutDown,
}

/// The closing handshake as a table (section 7.1). Every change of [`State`] is here.
#[allow(
    clippy::enum_glob_use,
    clippy::match_same_arms,
    reason = "a table, read by rows"
)]
pub(crate) const fn step(state: State, input: Input) -> (State, Action) {
    use {Action::*, Input::*, State::*};
    match (state, input) {
        // Queued behind the backlog; the close deadline runs from here, not from the write.
        (Open, Close(code)) => (CloseSent, Send(code)),
        (Open, Received(code) | Fail(code)) => (Closed, SendThenShutDown(code)),
        (Open, Disconnected) => (Closed, ShutDown),
        // A timer armed for an earlier state may still fire.
        (Open, TimedOut) => (Open, Nothing),
        // One Close frame per side: the first code stands.
        (CloseSent, Close(_)) => (CloseSent, Nothing),
        // Out of time, there is nobody left to wait for: who owns the socket drops it.
        (CloseSent, Received(_) | Fail(_) | TimedOut | Disconnected) => (Closed, ShutDown),
        // The end of stream may come while our Close is still being written: it is finished.
        (Closed, Close(_) | Received(_) | Fail(_) | TimedOut | Disconnected) => (Closed, Nothing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codes_meant_for_the_wire_may_be_sent() {
        let legal: Vec<u16> = (0..=u16::MAX)
            .filter(|&code| CloseCode::from(code).may_be_sent())
            .collect();
        let expected: Vec<u16> = (1000..1004).chain(1007..1015).chain(3000..5000).collect();
        assert_eq!(legal, expected);
    }

    #[test]
    fn a_peers_payload_is_a_code_and_a_reason() {
        assert_eq!(decode_payload(b""), Ok((CloseCode::NO_STATUS, "")));
        assert_eq!(decode_payload(b"\x03\xe8"), Ok((CloseCode::NORMAL, "")));
        let payload = [b"\x0f\xa0", "tschüß".as_bytes()].concat();
        assert_eq!(
            decode_payload(&payload),
            Ok((CloseCode::from(4000), "tschüß"))
        );
    }

    #[test]
    fn each_illegal_payload_has_its_error() {
        assert_eq!(decode_payload(b"\x03"), Err(CloseError::HalfCode));
        assert_eq!(
            decode_payload(b"\x03\xe8\xff"),
            Err(CloseError::InvalidUtf8)
        );
        assert_eq!(
            decode_payload(b"\x03\xe8\xc3"),
            Err(CloseError::InvalidUtf8)
        );
        for code in [
            0_u16,
            999,
            1004,
            1005,
            1006,
            1015,
            1016,
            2999,
            5000,
            u16::MAX,
        ] {
            let payload = [&code.to_be_bytes()[..], b"\xff"].concat();
            assert_eq!(
                decode_payload(&payload),
                Err(CloseError::IllegalCode),
                "{code}"
            );
        }
        for (error, code) in [
            (CloseError::HalfCode, CloseCode::PROTOCOL_ERROR),
            (CloseError::IllegalCode, CloseCode::PROTOCOL_ERROR),
            (CloseError::InvalidUtf8, CloseCode::INVALID_PAYLOAD),
        ] {
            assert_eq!(error.close_code(), code);
            assert_eq!(check_sendable(error.close_code(), error.reason()), Ok(()));
        }
    }

    #[test]
    fn what_is_encoded_decodes_to_the_same() {
        for code in (0..=u16::MAX)
            .map(CloseCode::from)
            .filter(|code| code.may_be_sent())
        {
            for reason in ["", "bye", &"x".repeat(MAX_REASON_BYTES)] {
                let payload = encode_payload(code, reason);
                assert_eq!(payload.len(), 2 + reason.len());
                assert_eq!(decode_payload(&payload), Ok((code, reason)));
            }
        }
    }

    #[test]
    fn codes_for_local_use_are_an_empty_payload() {
        for code in [0, 999, 1004, 1005, 1006, 1015, 2999, 5000] {
            assert!(
                encode_payload(CloseCode::from(code), "reason").is_empty(),
                "{code}"
            );
        }
    }

    #[test]
    fn a_reason_too_long_is_cut_between_characters() {
        let reason = "ü".repeat(62);
        let payload = encode_payload(CloseCode::NORMAL, &reason);
        assert_eq!(
            decode_payload(&payload),
            Ok((CloseCode::NORMAL, &reason[..122]))
        );
    }

    #[test]
    fn an_application_hears_what_is_allowed() {
        assert_eq!(
            check_sendable(CloseCode::from(4999), &"x".repeat(123)),
            Ok(())
        );
        let code = check_sendable(CloseCode::NO_STATUS, "").unwrap_err();
        assert_eq!(code, InvalidClose::Code(1005));
        assert!(code.to_string().contains("1005") && code.to_string().contains("4000-4999"));
        let reason = check_sendable(CloseCode::NORMAL, &"x".repeat(124)).unwrap_err();
        assert_eq!(reason, InvalidClose::ReasonTooLong(124));
        assert!(reason.to_string().contains("123") && reason.to_string().contains("124"));
    }

    #[test]
    fn a_code_prints_as_its_number() {
        assert_eq!(
            format!("{} {:>6}", CloseCode::NORMAL, CloseCode::from(4000)),
            "1000   4000"
        );
        assert_eq!(u16::from(CloseCode::BAD_GATEWAY), 1014);
    }

    #[test]
    #[allow(clippy::enum_glob_use, reason = "a table")]
    fn every_step_of_the_closing_handshake_is_as_the_table_says() {
        use {Action::*, Input::*, State::*};
        const A: CloseCode = CloseCode::NORMAL;
        let table = [
            (Open, Close(A), CloseSent, Send(A)),
            (Open, Received(A), Closed, SendThenShutDown(A)),
            (
                Open,
                Received(CloseCode::NO_STATUS),
                Closed,
                SendThenShutDown(CloseCode::NO_STATUS),
            ),
            (Open, Fail(A), Closed, SendThenShutDown(A)),
            (Open, TimedOut, Open, Nothing),
            (Open, Disconnected, Closed, ShutDown),
            (CloseSent, Close(A), CloseSent, Nothing),
            (CloseSent, Received(A), Closed, ShutDown),
            (CloseSent, Fail(A), Closed, ShutDown),
            (CloseSent, TimedOut, Closed, ShutDown),
            (CloseSent, Disconnected, Closed, ShutDown),
            (Closed, Close(A), Closed, Nothing),
            (Closed, Received(A), Closed, Nothing),
            (Closed, Fail(A), Closed, Nothing),
            (Closed, TimedOut, Closed, Nothing),
            (Closed, Disconnected, Closed, Nothing),
        ];
        for (state, input, next, action) in table {
            assert_eq!(step(state, input), (next, action), "{state:?}, {input:?}");
        }
    }

    #[test]
    #[allow(clippy::enum_glob_use, reason = "a table")]
    fn at_most_one_close_frame_is_sent_and_a_closed_connection_stays_closed() {
        use {Action::*, Input::*, State::*};
        let code = CloseCode::NORMAL;
        let inputs = [
            Close(code),
            Received(code),
            Fail(code),
            TimedOut,
            Disconnected,
        ];
        // All sequences of five inputs.
        for sequence in 0..inputs.len().pow(5) {
            let (mut state, mut sent, mut left) = (Open, 0, sequence);
            for _ in 0..5 {
                let (next, action) = step(state, inputs[left % inputs.len()]);
                sent += usize::from(matches!(action, Send(_) | SendThenShutDown(_)));
                assert!(state == Open || next != Open);
                assert!(state != Closed || next == Closed);
                state = next;
                left /= inputs.len();
            }
            assert!(sent <= 1, "sequence {sequence}");
        }
    }
}
