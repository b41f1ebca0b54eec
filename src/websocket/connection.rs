//! One open WebSocket connection (RFC 6455 sections 5 to 8): frames to events.
//!
//! Owns what is unfinished (a cut header, a partial frame, an open message), the heartbeat
//! and the state of the closing handshake. How frames look is `frame.rs`, how fragments become
//! a message `message.rs`, which step a close takes `close.rs`. No I/O: bytes and `now` go in,
//! events come out, and what is to be sent goes into the client's queue.

use crate::config::WebSocketConfig;
use crate::input::Input;
use crate::moment::{Moment, Stamp};
use crate::output::{Bytes, Output, Unit};
use crate::websocket::close::{self, Action, CloseCode, ClosedBy, State};
use crate::websocket::deflate::inflation::{Inflation, PIECE_BYTES};
use crate::websocket::deflate::{Agreement, Inflaters};
use crate::websocket::frame::{self, FrameHeader, MAX_HEADER_LEN, Opcode};
use crate::websocket::mask::unmask;
use crate::websocket::message::{self, Assembled, Message, MessageAssembler, MessageError};
use crate::websocket::rate_limit::RateLimit;
use crate::websocket::utf8;
use std::borrow::Cow;

mod unfinished;

/// What a client's bytes mean to the application.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event<'b> {
    /// A whole text message, where it lies in the input unless it came in pieces.
    Text(Cow<'b, str>),
    /// A whole binary message, alike.
    Binary(Cow<'b, [u8]>),
    /// The connection's close began, by the peer or for its fault. The last event.
    Closing {
        code: CloseCode,
        reason: Cow<'static, str>,
        by: ClosedBy,
    },
}

/// Where a connection's frames go, and when.
#[derive(Debug)]
pub(crate) struct Wire<'a> {
    pub(crate) output: &'a mut Output,
    pub(crate) slot: u32,
    pub(crate) now: Moment,
}

impl Wire<'_> {
    fn send_control(&mut self, opcode: Opcode, payload: &[u8]) {
        let header = frame::encode_header(true, opcode, payload.len() as u64);
        let unit = Unit {
            frames: 1,
            messages: 0,
        };
        self.output
            .send(self.slot, unit, Bytes::Parts(&header, payload));
    }

    /// Queues a Close frame behind all that the client is still to get.
    fn send_close(&mut self, code: CloseCode, reason: &str) {
        self.output.leave(self.slot);
        let payload = close::encode_payload(code, reason);
        self.send_control(Opcode::Close, &payload);
    }
}

/// What receiving needs beside the bytes.
#[derive(Debug)]
pub(crate) struct Receiving<'a> {
    pub(crate) config: &'a WebSocketConfig,
    pub(crate) wire: Wire<'a>,
    pub(crate) received: &'a mut Received,
    pub(crate) inflaters: &'a mut Inflaters,
}

/// What a client sent so far, its opening handshake excluded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) bytes: u64,
    pub(crate) frames: u64,
    pub(crate) messages: u64,
}

/// What expired.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// Nothing: look again at the deadline.
    Nothing,
    /// The connection failed, and a Close frame says so.
    Closing {
        code: CloseCode,
        reason: &'static str,
    },
    /// The peer did not take part in the closing handshake: drop the socket.
    Drop,
}

/// A connection between its 101 and the end of its closing handshake: 24 bytes.
///
/// While nothing is unfinished it owns no heap memory.
#[derive(Debug)]
pub(crate) struct WebSocketConnection {
    /// Exists only while there is something in it.
    extras: Option<Box<Extras>>,
    /// While open: when the peer was last heard or pinged. Then: when the close began.
    since: Stamp,
    unanswered_pings: u16,
    /// The endpoint that it is a client of.
    endpoint: u16,
    state: State,
    /// Set where messages may be compressed.
    deflate: Option<Agreement>,
}

/// What a connection has beyond being open: what the last bytes left unfinished, and what few
/// clients ever need.
#[derive(Debug, Default)]
struct Extras {
    /// The first bytes of a header that was cut.
    header: [u8; MAX_HEADER_LEN],
    header_len: usize,
    frame: Option<OpenFrame>,
    /// Payload of an open control frame so far.
    control: Vec<u8>,
    message: MessageAssembler,
    /// The message is compressed.
    inflation: Option<Inflation>,
    /// The last ping's payload, while a full socket keeps its Pong from being queued: a peer
    /// that pings and never reads costs this, however often (section 5.5.3 allows it).
    pending_pong: Option<Box<[u8]>>,
    rate_limit: Option<RateLimit>,
}

impl Extras {
    /// Whether a frame is to go on: a part of its header or of its payload is missing.
    const fn is_inside_frame(&self) -> bool {
        self.header_len > 0 || self.frame.is_some()
    }

    const fn is_empty(&self) -> bool {
        !self.is_inside_frame()
            && !self.message.is_open()
            && self.pending_pong.is_none()
            && self.rate_limit.is_none()
    }

    /// Takes payload of a compressed message.
    #[inline(never)]
    fn inflate(&mut self, piece: &[u8], cx: &mut Receiving<'_>) -> Result<(), MessageError> {
        let Some(inflation) = &mut self.inflation else {
            return Ok(());
        };
        inflation.append(piece, cx.wire.slot, cx.inflaters, &mut self.message)
    }

    /// All payload of a compressed message was taken.
    #[inline(never)]
    fn finish_inflation(
        &mut self,
        agreement: Option<Agreement>,
        cx: &mut Receiving<'_>,
    ) -> Result<(), MessageError> {
        if let Some(inflation) = self.inflation.take() {
            inflation.finish(cx.inflaters)?;
        }
        if let Some(agreement) = agreement.filter(|agreement| agreement.client_takeover) {
            let bits = agreement.client_window_bits;
            for part in self.message.parts() {
                cx.inflaters.remember(cx.wire.slot, part, bits);
            }
        }
        Ok(())
    }
}

/// A frame whose payload has not all come.
#[derive(Clone, Copy, Debug)]
struct OpenFrame {
    header: FrameHeader,
    received: u64,
}

/// What handling one piece of input came to.
enum Progress<'b> {
    /// Input was consumed; there may be more to do.
    Consumed,
    /// All input was consumed.
    Starved,
    /// Something for the application.
    Event(Event<'b>),
}

impl WebSocketConnection {
    /// A connection of `endpoint` whose 101 is queued, and said `deflate`.
    pub(crate) fn new(
        endpoint: u16,
        deflate: Option<Agreement>,
        config: &WebSocketConfig,
        now: Moment,
    ) -> Self {
        let rate_limit = RateLimit::new(
            config.max_frames_per_second,
            config.max_bytes_per_second,
            now,
        );
        let extras = rate_limit.map(|limit| {
            Box::new(Extras {
                rate_limit: Some(limit),
                ..Extras::default()
            })
        });
        Self {
            extras,
            since: now.into(),
            unanswered_pings: 0,
            endpoint,
            state: State::Open,
            deflate,
        }
    }

    /// The endpoint that it is a client of.
    pub(crate) const fn endpoint(&self) -> u16 {
        self.endpoint
    }

    /// Whether messages may still come and go.
    pub(crate) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Whether it is open and that is all: nothing unfinished, no rate to be kept. Its nearest
    /// deadline is the heartbeat, which input only puts off.
    #[inline]
    pub(crate) fn is_steady(&self) -> bool {
        self.state == State::Open && self.extras.is_none()
    }

    /// Whether the closing handshake is over: the socket is to be shut down once what is
    /// queued was written.
    pub(crate) fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Notes that `len` bytes were read; any byte answers the pings (a Pong need not be alone).
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "on the straight path")]
    pub(crate) fn heard(&mut self, len: usize, now: Moment) {
        if self.state == State::Open {
            self.since = now.into();
            self.unanswered_pings = 0;
        }
        if let Some(limit) = self.rate_limit() {
            limit.take(0, len as u64, now);
        }
    }

    #[inline]
    fn rate_limit(&mut self) -> Option<&mut RateLimit> {
        self.extras.as_mut()?.rate_limit.as_mut()
    }

    /// Until when the client's reads pause since it sends too fast.
    #[inline]
    pub(crate) fn paused_until(&self) -> Option<Moment> {
        // Behind our Close only the peer's matters, and that is not to wait.
        let extras = self.extras.as_ref()?;
        extras
            .rate_limit
            .as_ref()
            .filter(|_| self.state == State::Open)
            .and_then(RateLimit::paused_until)
    }

    /// Lets go of extras that nothing is in any more.
    fn tidy(&mut self) {
        self.extras.take_if(|extras| extras.is_empty());
    }

    /// The next event in `input`. `None`: all of it was consumed, or the rate limit asks for a
    /// pause, or enough was inflated for now (then the rest is to be offered again).
    pub(crate) fn next_event<'b>(
        &mut self,
        input: &mut Input<'b>,
        cx: &mut Receiving<'_>,
    ) -> Option<Event<'b>> {
        loop {
            if self.state == State::Closed {
                input.take(input.len());
            }
            if input.is_empty()
                || cx.inflaters.is_spent()
                || self.paused_until().is_some_and(|until| until > cx.wire.now)
            {
                return None;
            }
            let goes_on = |extras: &Extras| extras.is_inside_frame() || extras.message.is_open();
            let progress = if self.extras.as_deref().is_some_and(goes_on) {
                self.continue_frame(input, cx)
            } else {
                self.begin_frame(input, cx)
            };
            match progress {
                Ok(Progress::Consumed) => {}
                Ok(Progress::Starved) => return None,
                Ok(Progress::Event(event)) => return Some(event),
                Err(violation) => {
                    let Violation { code, reason } = violation;
                    if self.fail(code, reason, &mut cx.wire) {
                        return Some(Event::Closing {
                            code,
                            reason: Cow::Borrowed(reason),
                            by: ClosedBy::Failure,
                        });
                    }
                }
            }
        }
    }

    /// Nothing is unfinished: a frame begins at the front of `input`. The common case, a
    /// whole unfragmented message, is unmasked where it lies and lent.
    fn begin_frame<'b>(
        &mut self,
        input: &mut Input<'b>,
        cx: &mut Receiving<'_>,
    ) -> Result<Progress<'b>, Violation> {
        let Some((header, header_len)) =
            frame::decode_header(input.rest(), self.deflate.is_some())?
        else {
            let extras = self.extras.get_or_insert_default();
            let rest = input.take(input.len());
            extras.header[..rest.len()].copy_from_slice(rest);
            extras.header_len = rest.len();
            return Ok(Progress::Starved);
        };
        let whole = header.payload_len <= (input.len() - header_len) as u64;
        let is_message =
            header.fin && !header.rsv1 && matches!(header.opcode, Opcode::Text | Opcode::Binary);
        if !whole || !(is_message || header.opcode.is_control()) {
            input.take(header_len);
            return self.open_frame(header, cx);
        }
        self.count_frame(cx.received, cx.wire.now);
        let is_control = header.opcode.is_control();
        input.take(header_len);
        let payload = input.take(usize::try_from(header.payload_len).expect("fits the input"));
        if is_control {
            unmask(payload, header.mask, 0);
            return self.control_frame(header.opcode, payload, &mut cx.wire);
        }
        if self.state != State::Open {
            return Ok(Progress::Consumed);
        }
        message::judge_whole(&header, &cx.config.into())?;
        unmask(payload, header.mask, 0);
        cx.received.messages += 1;
        if header.opcode == Opcode::Binary {
            return Ok(Progress::Event(Event::Binary(Cow::Borrowed(payload))));
        }
        match utf8::from_utf8(payload) {
            Some(text) => Ok(Progress::Event(Event::Text(Cow::Borrowed(text)))),
            None => Err(MessageError::InvalidUtf8.into()),
        }
    }

    /// Something is unfinished: completes a header, or takes payload of the open frame.
    fn continue_frame<'b>(
        &mut self,
        input: &mut Input<'b>,
        cx: &mut Receiving<'_>,
    ) -> Result<Progress<'b>, Violation> {
        let allows_rsv1 = self.deflate.is_some();
        let extras = self.extras.get_or_insert_default();
        if extras.frame.is_some() {
            return self.take_payload(input, cx);
        }
        let known = extras.header_len;
        let more = input.len().min(MAX_HEADER_LEN - known);
        extras.header[known..known + more].copy_from_slice(&input.rest()[..more]);
        let known_header = &extras.header[..known + more];
        let Some((header, header_len)) = frame::decode_header(known_header, allows_rsv1)? else {
            input.take(more);
            extras.header_len = known + more;
            return Ok(Progress::Starved);
        };
        extras.header_len = 0;
        input.take(header_len - known);
        self.open_frame(header, cx)
    }

    /// A header was read whose payload is to be collected.
    fn open_frame<'b>(
        &mut self,
        header: FrameHeader,
        cx: &mut Receiving<'_>,
    ) -> Result<Progress<'b>, Violation> {
        self.count_frame(cx.received, cx.wire.now);
        let extras = self.extras.get_or_insert_default();
        if self.state == State::Open && !header.opcode.is_control() {
            extras.message.begin_frame(&header, &cx.config.into())?;
            if header.rsv1 {
                extras.inflation = Some(cx.inflaters.begin(cx.wire.slot));
            }
        }
        extras.frame = Some(OpenFrame {
            header,
            received: 0,
        });
        if header.payload_len == 0 {
            self.finish_frame(cx)
        } else {
            Ok(Progress::Consumed)
        }
    }

    /// Takes what `input` has of the open frame's payload.
    fn take_payload<'b>(
        &mut self,
        input: &mut Input<'b>,
        cx: &mut Receiving<'_>,
    ) -> Result<Progress<'b>, Violation> {
        let extras = self.extras.get_or_insert_default();
        let Some(open) = &mut extras.frame else {
            return Ok(Progress::Consumed);
        };
        let missing = open.header.payload_len - open.received;
        let most = usize::try_from(missing).unwrap_or(usize::MAX);
        let piece = input.take(if extras.inflation.is_some() {
            most.min(PIECE_BYTES)
        } else {
            most
        });
        // The mask repeats every four bytes, so the position modulo 4 is all that counts.
        unmask(piece, open.header.mask, (open.received & 3) as usize);
        open.received += piece.len() as u64;
        let complete = open.received == open.header.payload_len;
        if open.header.opcode.is_control() {
            extras.control.extend_from_slice(piece);
        } else if self.state == State::Open {
            if extras.inflation.is_some() {
                extras.inflate(piece, cx)?;
            } else {
                extras.message.append(piece)?;
            }
        }
        if complete {
            self.finish_frame(cx)
        } else {
            Ok(Progress::Consumed)
        }
    }

    /// All of the open frame's payload is there.
    fn finish_frame<'b>(&mut self, cx: &mut Receiving<'_>) -> Result<Progress<'b>, Violation> {
        let extras = self.extras.get_or_insert_default();
        let Some(OpenFrame { header, .. }) = extras.frame.take() else {
            return Ok(Progress::Consumed);
        };
        let control = std::mem::take(&mut extras.control);
        let assembled = if self.state == State::Open && !header.opcode.is_control() {
            if header.fin && extras.inflation.is_some() {
                extras.finish_inflation(self.deflate, cx)?;
            }
            extras.message.finish_frame(header.fin)?
        } else {
            None
        };
        self.tidy();
        if header.opcode.is_control() {
            return self.control_frame(header.opcode, &control, &mut cx.wire);
        }
        Ok(match assembled {
            None => Progress::Consumed,
            Some(message) => {
                cx.received.messages += 1;
                Progress::Event(match message {
                    Assembled::Text(text) => Event::Text(Cow::Owned(text)),
                    Assembled::Binary(bytes) => Event::Binary(Cow::Owned(bytes)),
                })
            }
        })
    }

    fn count_frame(&mut self, received: &mut Received, now: Moment) {
        received.frames += 1;
        if let Some(limit) = self.rate_limit() {
            limit.take(1, 0, now);
        }
    }

    /// A whole control frame (section 5.5). After our own Close only the peer's counts.
    fn control_frame<'b>(
        &mut self,
        opcode: Opcode,
        payload: &[u8],
        wire: &mut Wire<'_>,
    ) -> Result<Progress<'b>, Violation> {
        match opcode {
            Opcode::Ping if self.state == State::Open => {
                if wire.output.is_blocked(wire.slot) {
                    self.extras.get_or_insert_default().pending_pong = Some(payload.into());
                } else {
                    wire.send_control(Opcode::Pong, payload);
                }
                Ok(Progress::Consumed)
            }
            Opcode::Close => {
                let (code, reason) = close::decode_payload(payload)?;
                let event = self.step(close::Input::Received(code), "", wire).then(|| {
                    Progress::Event(Event::Closing {
                        code,
                        reason: Cow::Owned(reason.to_owned()),
                        by: ClosedBy::Client,
                    })
                });
                Ok(event.unwrap_or(Progress::Consumed))
            }
            _ => Ok(Progress::Consumed),
        }
    }

    /// The socket takes bytes again: the Pong that waited for it goes behind its backlog.
    pub(crate) fn unblocked(&mut self, wire: &mut Wire<'_>) {
        let Some(extras) = &mut self.extras else {
            return;
        };
        if let Some(payload) = extras.pending_pong.take() {
            self.tidy();
            if self.state == State::Open {
                wire.send_control(Opcode::Pong, &payload);
            }
        }
    }

    /// Begins the closing handshake: the backlog, then a Close frame. Whether it did: not if
    /// one is under way.
    pub(crate) fn close(&mut self, code: CloseCode, reason: &str, wire: &mut Wire<'_>) -> bool {
        self.step(close::Input::Close(code), reason, wire)
    }

    /// Fails the connection (section 7.1.7). Whether it was open.
    pub(crate) fn fail(&mut self, code: CloseCode, reason: &str, wire: &mut Wire<'_>) -> bool {
        self.step(close::Input::Fail(code), reason, wire)
    }

    /// The peer's side of the TCP connection ended. The event, if it had not said Close.
    pub(crate) fn disconnected(&mut self, wire: &mut Wire<'_>) -> Option<Event<'static>> {
        self.step(close::Input::Disconnected, "", wire)
            .then_some(Event::Closing {
                code: CloseCode::ABNORMAL,
                reason: Cow::Borrowed(""),
                by: ClosedBy::Nobody,
            })
    }

    /// Takes one step of the closing handshake. Whether the connection left the open state.
    fn step(&mut self, input: close::Input, reason: &str, wire: &mut Wire<'_>) -> bool {
        let was_open = self.state == State::Open;
        let (state, action) = close::step(self.state, input);
        self.state = state;
        match action {
            Action::Nothing | Action::ShutDown => {}
            Action::Send(code) | Action::SendThenShutDown(code) => wire.send_close(code, reason),
        }
        let left = was_open && state != State::Open;
        if left {
            wire.output.leave(wire.slot);
            self.since = wire.now.into();
        }
        if state == State::Closed {
            self.extras = None;
        } else if left && let Some(extras) = &mut self.extras {
            // A half-read frame must be parsed to its end, but its message counts no more.
            extras.message = MessageAssembler::default();
            extras.inflation = None;
            extras.pending_pong = None;
            extras.rate_limit = None;
            self.tidy();
        }
        left
    }

    /// When [`on_deadline`](Self::on_deadline) is to be called, at the latest.
    pub(crate) fn deadline(&self, config: &WebSocketConfig) -> Option<Moment> {
        match self.state {
            State::Open => {
                let beat = config.heartbeat.map(|period| self.since() + period);
                match (beat, self.paused_until()) {
                    (Some(beat), Some(resume)) => Some(beat.min(resume)),
                    (beat, resume) => beat.or(resume),
                }
            }
            State::CloseSent | State::Closed => Some(self.since() + config.close_timeout),
        }
    }

    fn since(&self) -> Moment {
        self.since.into()
    }

    /// Heartbeat while open, then the close timeout. A timer that is early changes nothing.
    ///
    /// `reads_paused`: we do not read what the peer may have answered, so its silence proves
    /// nothing; the write timeout judges it.
    pub(crate) fn on_deadline(
        &mut self,
        config: &WebSocketConfig,
        reads_paused: bool,
        wire: &mut Wire<'_>,
    ) -> Expiry {
        if self.state != State::Open {
            if wire.now < self.since() + config.close_timeout {
                return Expiry::Nothing;
            }
            self.step(close::Input::TimedOut, "", wire);
            return Expiry::Drop;
        }
        if let Some(limit) = self.rate_limit() {
            // A pause that is over is none any more, though nothing was read yet.
            limit.take(0, 0, wire.now);
        }
        let Some(period) = config.heartbeat else {
            return Expiry::Nothing;
        };
        if wire.now < self.since() + period {
            return Expiry::Nothing;
        }
        if reads_paused {
            self.since = wire.now.into();
            self.unanswered_pings = 0;
            return Expiry::Nothing;
        }
        if u32::from(self.unanswered_pings) >= config.max_unanswered_pings {
            let (code, reason) = (
                CloseCode::POLICY_VIOLATION,
                "Too many pings went unanswered",
            );
            self.fail(code, reason, wire);
            return Expiry::Closing { code, reason };
        }
        self.unanswered_pings += 1;
        // Each ping has a period of its own to be answered in, however late this one is.
        self.since = wire.now.into();
        wire.send_control(Opcode::Ping, b"");
        Expiry::Nothing
    }
}

/// The message that `input` begins with, and how many bytes it takes there, if that can be told at
/// once: it is one whole frame. `None` says nothing, and changes nothing: it is for
/// [`WebSocketConnection::next_event`] to say.
///
/// For a [steady](WebSocketConnection::is_steady) connection it is what `next_event` comes to,
/// without its way there: a third of its instructions for a short message.
#[inline]
pub(crate) fn whole_message<'b>(
    input: &'b mut [u8],
    config: &WebSocketConfig,
) -> Option<Result<(Message<'b>, usize), Violation>> {
    let whole = frame::decode_whole(input)?;
    let len = whole.payload_len as u64;
    if len > config.max_frame_bytes
        || len > config.max_message_bytes
        || (config.text_only && !whole.is_text)
    {
        return None;
    }
    let end = whole.header_len + whole.payload_len;
    let payload = &mut input[whole.header_len..end];
    unmask(payload, whole.mask, 0);
    if !whole.is_text {
        return Some(Ok((Message::Binary(payload), end)));
    }
    let text = utf8::from_utf8(payload).ok_or(MessageError::InvalidUtf8.into());
    Some(text.map(|text| (Message::Text(text), end)))
}

/// A rule that the peer broke, as the Close frame will tell it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Violation {
    pub(crate) code: CloseCode,
    pub(crate) reason: &'static str,
}

macro_rules! violation_from {
    ($($error:ty),*) => {$(
        impl From<$error> for Violation {
            fn from(error: $error) -> Self {
                Self { code: error.close_code(), reason: error.reason() }
            }
        }
    )*};
}
violation_from!(frame::FrameError, MessageError, close::CloseError);

#[cfg(test)]
mod tests;
