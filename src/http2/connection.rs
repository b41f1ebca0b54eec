//! One HTTP/2 connection (RFC 9113): frames to requests, payload and windows.
//!
//! Each stream that carries a request has a client slot of its own in the loop, as if it were a
//! connection. This *carrier* parses frames, and says what happened to which slot; bytes that wait
//! for a stream lie in that slot's queue, and the loop moves them into the carrier's, behind the
//! headers of DATA frames and as far as [`take_window`](Http2Connection::take_window) allows.
//!
//! ```text
//!             client preface         SETTINGS
//!   Preface ─────────────────▶ First ─────────▶ Open ──▶ Over
//!      │                         │               │  a connection error: GOAWAY is queued
//!      └─────────────────────────┴───────────────┘
//! ```
//!
//! The connection's receive window is given back as DATA arrives, a stream's as the application takes
//! what came: one stream that stands still starves no other. What a frame does is in `receive.rs`
//! and `blocks.rs`,
//! which streams there are in `streams.rs`, what is too much of what is legal in `floods.rs`.
//!
//! No I/O: bytes and `now` go in, steps come out, and what is to be sent goes into the carrier's
//! queue. Frames other than DATA are held until they are whole; payload of DATA never is.

use crate::config::Config;
use crate::http::refused::RefusedRequest;
use crate::http::{ConnectionInfo, Request};
use crate::input::Input;
use crate::moment::Moment;
use crate::output::{Bytes, Output, Unit};

use super::frame::{
    self, ConnectionError, DEFAULT_WINDOW_BYTES, ErrorCode, MAX_PAYLOAD_BYTES, PREFACE, StreamId,
};
use super::hpack;

mod blocks;
mod deadlines;
mod floods;
mod receive;
mod settings;
mod streams;

use blocks::OpenBlock;
use floods::Floods;
use receive::{OpenData, Progress};
use settings::PeerSettings;
use streams::Streams;

/// Bytes of a window that are not to be left over: the next frame would be as short, what it lets the
/// client open again as little, and so on for ever.
const LEAST_REST_BYTES: usize = 1024;

/// What the client may send on all streams together before it hears of our having read it.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// What a step needs beside the bytes.
#[derive(Debug)]
pub(crate) struct Carrying<'a> {
    pub(crate) config: &'a Config,
    pub(crate) output: &'a mut Output,
    /// The carrier's own.
    pub(crate) slot: u32,
    pub(crate) now: Moment,
    /// What is left of an answered request, for the next one to be made of.
    pub(crate) spare: &'a mut Option<Box<Request>>,
}

impl Carrying<'_> {
    /// Queues a frame: its beginning, and the rest of it.
    fn send(&mut self, frame: &[u8], rest: &[u8]) {
        self.output
            .send(self.slot, Unit::default(), Bytes::Parts(frame, rest));
    }
}

/// What [`Http2Connection::next`] came to.
#[derive(Debug)]
pub(crate) enum Step<'b> {
    /// All input is taken.
    NeedInput,
    /// A request. [`Http2Connection::open`] is to follow before anything else.
    Request(NewRequest),
    /// Payload of a DATA frame as it came, never empty unless it is the last of its stream.
    Data {
        slot: u32,
        bytes: &'b mut [u8],
        is_last: bool,
    },
    /// The stream was reset, by the client or for its fault. It is gone.
    Reset { slot: u32 },
    /// The window of a stream for which there was none is open.
    Unblocked { slot: u32 },
    /// The window of the connection is open again, or those of several streams.
    AllUnblocked,
    /// A connection error (section 5.4.1): GOAWAY is queued, and nothing more is parsed. Whose
    /// requests were lost, [`Http2Connection::take_slots`] tells.
    Over {
        error: ErrorCode,
        reason: &'static str,
    },
}

/// A request with a stream of its own.
#[derive(Debug)]
pub(crate) struct NewRequest {
    pub(crate) stream: StreamId,
    pub(crate) request: Box<Request>,
    /// Nothing follows it.
    pub(crate) is_last: bool,
    /// Bytes of its body, if the client said how many.
    pub(crate) content_length: Option<u64>,
    /// Whether the client waits for a 100 before it sends the body.
    pub(crate) expects_continue: bool,
    /// It is to be answered with this. Of the request, not everything need be there.
    pub(crate) refused: Option<RefusedRequest>,
}

/// Whether there is a window for payload (section 6.9.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Window {
    /// There is.
    Open,
    /// That of the stream is spent: [`Step::Unblocked`] or [`Step::AllUnblocked`] will follow.
    StreamSpent,
    /// That of all streams is: [`Step::AllUnblocked`] will follow.
    ConnectionSpent,
}

/// What a deadline came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// It is not due, or no more.
    Nothing,
    /// GOAWAY is queued: write it, and close. Streams that are left are lost.
    Close,
}

/// How far the connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// So many bytes of the client's preface have come.
    Preface(u8),
    /// The preface ends with a SETTINGS frame (section 3.4).
    First,
    Open,
    /// GOAWAY was sent for an error.
    Over,
}

/// A connection that carries streams. It lies in a box of its own; what of it is large and seldom
/// there is allocated then.
#[derive(Debug)]
pub(crate) struct Http2Connection {
    info: ConnectionInfo,
    decoder: hpack::Decoder,
    streams: Streams,
    floods: Floods,
    /// A frame that is incomplete, but for the payload of DATA.
    partial: Vec<u8>,
    /// A field block that is incomplete.
    block: Option<Box<OpenBlock>>,
    /// A DATA frame whose payload has not all come.
    data: Option<OpenData>,
    peer: PeerSettings,
    /// Bytes that may be sent on all streams together.
    send_window: i32,
    /// Bytes that came on all streams together and were not given back.
    received: u32,
    /// Something waits for `send_window`.
    is_blocked: bool,
    phase: Phase,
    /// The client said GOAWAY.
    peer_leaves: bool,
    /// When the last stream ended; before the first, the accept. Never, while the answer to the last
    /// one is still to be written.
    idle_since: Moment,
    /// The queue was not empty since the last stream ended.
    is_draining: bool,
    /// When the socket, which was full, last took bytes again.
    unblocked_at: Moment,
    /// Since when `partial` or `block` is waited for.
    unfinished_since: Moment,
}

/// What comes in, and what is to be said of it.
impl Http2Connection {
    /// A connection that was accepted at `now`, on which HTTP/2 was agreed (section 3.2).
    pub(crate) fn new(info: ConnectionInfo, now: Moment) -> Self {
        Self::in_phase(Phase::Preface(0), info, now)
    }

    /// A connection whose first line was that of HTTP/2, as if it were a request (section 3.3): the
    /// preface up to its first empty line was read.
    pub(crate) fn begun(info: ConnectionInfo, now: Moment) -> Self {
        Self::in_phase(Phase::Preface(18), info, now)
    }

    fn in_phase(phase: Phase, info: ConnectionInfo, now: Moment) -> Self {
        Self {
            info,
            decoder: hpack::Decoder::new(),
            streams: Streams::new(),
            floods: Floods::new(now),
            partial: Vec::new(),
            block: None,
            data: None,
            peer: PeerSettings::DEFAULT,
            send_window: DEFAULT_WINDOW_BYTES.cast_signed(),
            received: 0,
            is_blocked: false,
            phase,
            peer_leaves: false,
            idle_since: now,
            is_draining: false,
            unblocked_at: now,
            unfinished_since: Moment::NEVER,
        }
    }

    /// Queues our preface: settings, and the window of the connection, which no setting opens. It is
    /// sent without waiting for the client's (section 3.4).
    #[expect(clippy::unused_self, reason = "it is said once, on this connection")]
    pub(crate) fn greet(&mut self, cx: &mut Carrying<'_>) {
        let mut settings = Vec::new();
        frame::settings(&settings::ours(cx.config), &mut settings);
        let increment = CONNECTION_WINDOW_BYTES - DEFAULT_WINDOW_BYTES;
        let update = frame::window_update(StreamId::CONNECTION, increment);
        cx.send(&settings, &update);
    }

    /// Takes input up to the next thing to do.
    pub(crate) fn next<'b>(&mut self, input: &mut Input<'b>, cx: &mut Carrying<'_>) -> Step<'b> {
        loop {
            let progress = match self.phase {
                Phase::Over => {
                    input.take(input.len());
                    return Step::NeedInput;
                }
                _ if input.is_empty() => return Step::NeedInput,
                Phase::Preface(known) => self.read_preface(known, input),
                Phase::First | Phase::Open => match self.data {
                    Some(data) => Ok(self.read_data(data, input, cx)),
                    None => self.read_frame(input, cx),
                },
            };
            match progress {
                Ok(Progress::Consumed) => {}
                Ok(Progress::Step(step)) => return step,
                Err(error) => return self.fail(error, cx),
            }
        }
    }

    fn read_preface<'b>(
        &mut self,
        known: u8,
        input: &mut Input<'_>,
    ) -> Result<Progress<'b>, ConnectionError> {
        let expected = &PREFACE[usize::from(known)..];
        let come = input.take(expected.len());
        if !expected.starts_with(come) {
            let reason = "the client preface is malformed";
            return Err(ConnectionError::protocol(reason));
        }
        self.phase = match u8::try_from(usize::from(known) + come.len()) {
            Ok(known) if usize::from(known) < PREFACE.len() => Phase::Preface(known),
            _ => Phase::First,
        };
        Ok(Progress::Consumed)
    }

    /// Ends the connection for the client's fault (section 5.4.1). The streams stay until they are
    /// [taken](Self::take_slots).
    fn fail(&mut self, error: ConnectionError, cx: &mut Carrying<'_>) -> Step<'static> {
        let ConnectionError { code, reason } = error;
        self.send_go_away(code, reason, cx);
        Step::Over {
            error: code,
            reason,
        }
    }

    fn send_go_away(&mut self, code: ErrorCode, reason: &str, cx: &mut Carrying<'_>) {
        let head = frame::go_away(self.streams.highest(), code, reason.len());
        cx.send(&head, reason.as_bytes());
        self.phase = Phase::Over;
        (self.partial, self.block) = (Vec::new(), None);
    }
}

/// What the loop does with streams.
impl Http2Connection {
    /// The request of `stream` is answered in `slot`.
    pub(crate) fn open(&mut self, stream: StreamId, slot: u32) {
        self.streams.set_slot(stream, slot);
    }

    /// Whether anything may go out on the stream now.
    pub(crate) fn window(&mut self, stream: StreamId) -> Window {
        let Some(stream) = self.streams.get_mut(stream) else {
            return Window::StreamSpent;
        };
        if stream.send_window() <= 0 {
            stream.block();
            return Window::StreamSpent;
        }
        if self.send_window <= 0 {
            self.is_blocked = true;
            return Window::ConnectionSpent;
        }
        Window::Open
    }

    /// Whether anything may go out on any stream that has a window. If not, [`Step::AllUnblocked`] will
    /// follow.
    pub(crate) const fn has_window(&mut self) -> bool {
        self.is_blocked |= self.send_window <= 0;
        self.send_window > 0
    }

    /// How many of `most` bytes may go out now as one DATA frame, at most 16,384; they are deducted
    /// from both windows (section 6.9.1). If that is less than it could be, a window is spent, and
    /// [`Step::Unblocked`] or [`Step::AllUnblocked`] will follow.
    pub(crate) fn take_window(&mut self, stream: StreamId, most: usize) -> usize {
        let Some(stream) = self.streams.get_mut(stream) else {
            return 0;
        };
        let most = most.min(MAX_PAYLOAD_BYTES);
        let room = stream.send_window().min(self.send_window);
        let room = usize::try_from(room).unwrap_or(0);
        let mut len = most.min(room);
        if len == MAX_PAYLOAD_BYTES && (1..LEAST_REST_BYTES).contains(&(room - len)) {
            len /= 2;
        }
        if len > 0 {
            stream.send(len);
            // At most 16,384.
            self.send_window -= i32::try_from(len).unwrap_or(0);
            self.floods.sent(len);
        }
        if len < most {
            self.is_blocked |= self.send_window <= 0;
            if stream.send_window() <= 0 {
                stream.block();
            }
        }
        len
    }

    /// Queues a field block as one HEADERS frame and as many CONTINUATION frames as it takes
    /// (sections 6.2 and 6.10), with `END_STREAM` if `end_stream` says so.
    pub(crate) fn send_block(
        &mut self,
        stream: StreamId,
        block: &[u8],
        end_stream: bool,
        cx: &mut Carrying<'_>,
    ) {
        if self.phase == Phase::Over || self.streams.get(stream).is_none() {
            return;
        }
        if std::mem::take(&mut self.peer.owes_table_size) {
            // A table size update to 0 (RFC 7541 section 6.3). The client's decoder waits for it once
            // its table became smaller, though our encoder uses none (section 4.2).
            let block = [&[0x20], block].concat();
            frame::put_headers(stream, &block, end_stream, |header, part| {
                cx.send(header, part);
            });
        } else {
            frame::put_headers(stream, block, end_stream, |header, part| {
                cx.send(header, part);
            });
        }
        if end_stream {
            self.end_local(stream);
        }
    }

    /// `END_STREAM` is queued. The stream is gone when the client ended it too.
    pub(crate) fn end_local(&mut self, stream: StreamId) {
        self.streams.end_locally(stream);
        if self.streams.is_empty() {
            // From when it is written.
            self.idle_since = Moment::NEVER;
            self.is_draining = true;
            self.streams.shrink();
        }
    }

    /// Ends our side of a stream by a frame of its own, unless it is gone: nothing follows a reset.
    pub(crate) fn end_stream(&mut self, stream: StreamId, cx: &mut Carrying<'_>) {
        if self.streams.get(stream).is_some() {
            cx.send(&frame::data_header(stream, 0, true), &[]);
            self.end_local(stream);
        }
    }

    /// Resets a stream, which is gone then. What the client still sends on it is ignored.
    pub(crate) fn reset(&mut self, stream: StreamId, code: ErrorCode, cx: &mut Carrying<'_>) {
        let Some(entry) = self.streams.get(stream) else {
            return;
        };
        let may_send = !entry.has_ended();
        self.streams.reset(stream, may_send);
        self.stream_is_gone(cx.now);
        if self.phase != Phase::Over {
            cx.send(&frame::rst_stream(stream, code), &[]);
        }
    }

    /// The application took so many bytes of what came on the stream: the client may send as many
    /// more (section 6.9).
    pub(crate) fn consumed(&mut self, stream: StreamId, len: usize, cx: &mut Carrying<'_>) {
        if self.phase == Phase::Over {
            return;
        }
        let whole = settings::stream_window_bytes(cx.config);
        if let Some(entry) = self.streams.get_mut(stream)
            && let Some(increment) = entry.consume(len, whole)
        {
            cx.send(&frame::window_update(stream, increment), &[]);
        }
    }

    /// A stream is gone at `now`.
    fn stream_is_gone(&mut self, now: Moment) {
        if self.streams.is_empty() {
            self.idle_since = now;
            self.is_draining = true;
            self.streams.shrink();
        }
    }

    /// The slots of all streams.
    pub(crate) fn slots(&self) -> impl Iterator<Item = u32> {
        self.streams.slots()
    }

    /// The slots of all streams, which are gone then.
    pub(crate) fn take_slots(&mut self) -> Vec<u32> {
        self.streams.take_slots()
    }
}

/// Its end, and what it holds.
impl Http2Connection {
    /// Begins the end of the connection (section 6.8): the streams that there are go on, later ones
    /// are ignored.
    pub(crate) fn go_away(&mut self, code: ErrorCode, cx: &mut Carrying<'_>) {
        if self.phase != Phase::Over && !self.streams.is_stopped() {
            self.streams.stop();
            let head = frame::go_away(self.streams.highest(), code, 0);
            cx.send(&head, &[]);
        }
    }

    /// Whether nothing more will come of it: the socket is to be shut down once all is written.
    pub(crate) fn is_over(&self) -> bool {
        let is_ending = self.streams.is_stopped() || self.peer_leaves;
        self.phase == Phase::Over || is_ending && self.streams.is_empty()
    }

    /// Whether there is no stream.
    pub(crate) fn is_idle(&self) -> bool {
        self.streams.is_empty()
    }

    /// The socket takes bytes again.
    pub(crate) const fn unblocked(&mut self, now: Moment) {
        self.unblocked_at = now;
    }

    /// When it last did that.
    pub(crate) const fn unblocked_at(&self) -> Moment {
        self.unblocked_at
    }

    /// Bytes held for what is unfinished. What there is of streams, and to understand their fields, is
    /// not among them: it lasts, and is little.
    pub(crate) fn buffered_bytes(&self) -> usize {
        let block = self.block.as_ref();
        self.partial.capacity() + block.map_or(0, |block| block.buffered_bytes())
    }
}

#[cfg(test)]
impl Http2Connection {
    /// Bytes of all that it holds in the heap.
    fn memory_bytes(&self) -> usize {
        self.buffered_bytes() + self.decoder.memory_bytes() + self.streams.memory_bytes()
    }
}

#[cfg(test)]
mod tests;
