//! What the client's frames do (RFC 9113 section 6), but for field blocks.

use crate::http2::frame::{
    self, ACK, ConnectionError, END_STREAM, ErrorCode, FrameHeader, HEADER_BYTES, Kind, PADDED,
    StreamId, TOO_MUCH_PADDING,
};
use crate::input::Input;
use crate::moment::Moment;

use super::blocks::OpenBlock;
use super::streams::{self, DataError, Standing, WindowOverflow};
use super::{CONNECTION_WINDOW_BYTES, Carrying, Http2Connection, Phase, Step};

/// What handling one piece of input came to.
pub(super) enum Progress<'b> {
    /// Input was consumed; there may be more to do.
    Consumed,
    /// Something for the loop.
    Step(Step<'b>),
}

/// A DATA frame whose payload has not all come.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenData {
    stream: StreamId,
    /// Bytes to come that are no padding.
    content_left: usize,
    /// Bytes of padding to come behind those.
    padding_left: usize,
    is_last: bool,
}

/// Frames, whole or in parts.
impl Http2Connection {
    /// Takes the frame at the front of `input`, or what there is of it.
    pub(super) fn read_frame<'b>(
        &mut self,
        input: &mut Input<'b>,
        cx: &mut Carrying<'_>,
    ) -> Result<Progress<'b>, ConnectionError> {
        if !self.partial.is_empty() {
            return self.continue_frame(input, cx);
        }
        let Some(head) = input.rest().first_chunk() else {
            self.hold(input, HEADER_BYTES, cx);
            return Ok(Progress::Consumed);
        };
        let header = FrameHeader::decode(*head);
        self.judge(&header)?;
        let held_bytes = held_bytes(&header);
        if input.len() < held_bytes {
            self.hold(input, held_bytes, cx);
            return Ok(Progress::Consumed);
        }
        let frame = input.take(held_bytes);
        self.receive(&header, &frame[HEADER_BYTES..], cx)
    }

    /// Takes more of a frame whose beginning is held.
    fn continue_frame<'b>(
        &mut self,
        input: &mut Input<'_>,
        cx: &mut Carrying<'_>,
    ) -> Result<Progress<'b>, ConnectionError> {
        let Some(head) = self.partial.first_chunk() else {
            self.hold(input, HEADER_BYTES - self.partial.len(), cx);
            let Some(head) = self.partial.first_chunk() else {
                return Ok(Progress::Consumed);
            };
            // Whole now, and judged once: what it was found to be, it remains.
            self.judge(&FrameHeader::decode(*head))?;
            return self.receive_if_whole(cx);
        };
        let missing = held_bytes(&FrameHeader::decode(*head)) - self.partial.len();
        self.hold(input, missing, cx);
        self.receive_if_whole(cx)
    }

    /// Holds up to `missing` bytes of a frame until it is whole.
    fn hold(&mut self, input: &mut Input<'_>, missing: usize, cx: &Carrying<'_>) {
        if self.partial.is_empty() && self.block.is_none() {
            self.unfinished_since = cx.now;
        }
        self.partial.extend_from_slice(input.take(missing));
    }

    fn receive_if_whole<'b>(
        &mut self,
        cx: &mut Carrying<'_>,
    ) -> Result<Progress<'b>, ConnectionError> {
        let Some(head) = self.partial.first_chunk() else {
            return Ok(Progress::Consumed);
        };
        let header = FrameHeader::decode(*head);
        if self.partial.len() < held_bytes(&header) {
            return Ok(Progress::Consumed);
        }
        let frame = std::mem::take(&mut self.partial);
        self.receive(&header, &frame[HEADER_BYTES..], cx)
    }

    /// Judges a header by what is unfinished.
    fn judge(&self, header: &FrameHeader) -> Result<(), ConnectionError> {
        header.judge()?;
        let goes_on = |block: &OpenBlock| {
            header.kind == Kind::Continuation && header.stream == block.stream()
        };
        let is_expected = match &self.block {
            // Section 4.3: nothing comes in between, of no type and no stream.
            Some(block) => goes_on(block),
            None if self.phase == Phase::First => header.kind == Kind::Settings && !header.has(ACK),
            None => header.kind != Kind::Continuation,
        };
        if is_expected {
            return Ok(());
        }
        Err(ConnectionError::protocol(if self.phase == Phase::First {
            "the client preface does not end with SETTINGS"
        } else {
            "a field block does not go on in CONTINUATION frames, or one came without it"
        }))
    }

    /// Carries out a frame that is whole; of a DATA frame, what goes before its content.
    fn receive<'b>(
        &mut self,
        header: &FrameHeader,
        payload: &[u8],
        cx: &mut Carrying<'_>,
    ) -> Result<Progress<'b>, ConnectionError> {
        let step = match header.kind {
            Kind::Data => self.on_data(header, payload, cx),
            Kind::Headers => self.on_headers(header, payload, cx),
            Kind::Continuation => self.on_continuation(header, payload, cx),
            Kind::RstStream => self.on_rst_stream(header.stream, cx),
            Kind::Settings if header.has(ACK) => {
                self.floods.count_empty_frame(cx.now)?;
                Ok(None)
            }
            Kind::Settings => self.on_settings(payload, cx),
            Kind::Ping => self.on_ping(header, payload, cx),
            Kind::GoAway => {
                // It is of streams that we began, and there are none.
                self.peer_leaves = true;
                self.floods.count_empty_frame(cx.now)?;
                Ok(None)
            }
            Kind::WindowUpdate => self.on_window_update(header.stream, payload, cx),
            // Section 5.3.2: nobody goes by it. A stream that depends on itself is none the worse.
            Kind::Priority | Kind::PushPromise | Kind::Unknown => {
                self.floods.count_empty_frame(cx.now)?;
                Ok(None)
            }
        };
        let step = step?;
        if self.block.is_none() {
            self.unfinished_since = Moment::NEVER;
        }
        Ok(step.map_or(Progress::Consumed, Progress::Step))
    }
}

/// How much of a frame is held until it is there: all, but for what a DATA frame carries.
fn held_bytes(header: &FrameHeader) -> usize {
    HEADER_BYTES
        + if header.kind == Kind::Data {
            usize::from(header.has(PADDED))
        } else {
            header.len
        }
}

/// What a frame comes to, if to anything.
pub(super) type Received<'b> = Result<Option<Step<'b>>, ConnectionError>;

/// DATA (section 6.1).
impl Http2Connection {
    /// A DATA frame begins; `prefix` is the length of its padding, if it has some.
    fn on_data<'b>(
        &mut self,
        header: &FrameHeader,
        prefix: &[u8],
        cx: &mut Carrying<'_>,
    ) -> Received<'b> {
        let stream = header.stream;
        let padding = prefix.first().map_or(0, |len| usize::from(*len));
        let content = header.len.checked_sub(prefix.len() + padding);
        let content = content.ok_or(TOO_MUCH_PADDING)?;
        let is_last = header.has(END_STREAM);
        let standing = self.streams.standing(stream);
        match standing {
            Standing::Idle => {
                let reason = "a DATA frame came on an idle stream";
                return Err(ConnectionError::protocol(reason));
            }
            Standing::Closed | Standing::Skipped => return Err(STREAM_IS_CLOSED),
            Standing::Open | Standing::Ignored => {}
        }
        // At most 16,384.
        let len = u32::try_from(header.len).unwrap_or(u32::MAX);
        self.count_received(len, cx);
        if content == 0 && !is_last {
            self.floods.count_empty_frame(cx.now)?;
        }
        self.data = Some(OpenData {
            stream,
            content_left: content,
            padding_left: padding,
            is_last,
        })
        .filter(|data| data.content_left + data.padding_left > 0);
        if standing == Standing::Ignored {
            if is_last {
                self.streams.end_ignored(stream);
            }
            return Ok(None);
        }
        let Some(entry) = self.streams.get_mut(stream) else {
            return Ok(None);
        };
        let content_len = u32::try_from(content).unwrap_or(u32::MAX);
        let code = match entry.receive(len, content_len, is_last) {
            Ok(()) if content == 0 && is_last => return Ok(self.end(stream, cx)),
            Ok(()) => return Ok(None),
            Err(DataError::HasEnded) => ErrorCode::STREAM_CLOSED,
            Err(DataError::BeyondWindow) => ErrorCode::FLOW_CONTROL_ERROR,
            Err(DataError::NotTheLength) => ErrorCode::PROTOCOL_ERROR,
        };
        self.fail_stream(stream, is_last, code, cx)
    }

    /// Opens the window of the connection again when half of it is used, whoever takes what came, and
    /// also for a stream that is ignored (section 6.9). Nobody can exceed it, so: of what we know to
    /// have come, no more than half is ever owed, and a frame is shorter than the other half.
    fn count_received(&mut self, len: u32, cx: &mut Carrying<'_>) {
        self.received += len;
        if self.received >= CONNECTION_WINDOW_BYTES / 2 {
            let update = frame::window_update(StreamId::CONNECTION, self.received);
            cx.send(&update, &[]);
            self.received = 0;
        }
    }

    /// Takes what there is of the content and the padding of a DATA frame.
    pub(super) fn read_data<'b>(
        &mut self,
        mut data: OpenData,
        input: &mut Input<'b>,
        cx: &Carrying<'_>,
    ) -> Progress<'b> {
        let bytes = input.take(data.content_left);
        data.content_left -= bytes.len();
        if data.content_left == 0 {
            data.padding_left -= input.take(data.padding_left).len();
        }
        self.data = Some(data).filter(|data| data.content_left + data.padding_left > 0);
        if bytes.is_empty() {
            return Progress::Consumed;
        }
        let is_last = data.is_last && data.content_left == 0;
        let slot = if is_last {
            self.end_entry(data.stream, cx)
        } else {
            self.streams.get(data.stream).map(|stream| stream.slot)
        };
        // A stream may be reset amid a frame of its.
        slot.map_or(Progress::Consumed, |slot| {
            Progress::Step(Step::Data {
                slot,
                bytes,
                is_last,
            })
        })
    }

    /// `END_STREAM` came, and no content with it.
    pub(super) fn end<'b>(&mut self, stream: StreamId, cx: &Carrying<'_>) -> Option<Step<'b>> {
        let slot = self.end_entry(stream, cx)?;
        Some(Step::Data {
            slot,
            bytes: &mut [],
            is_last: true,
        })
    }

    fn end_entry(&mut self, stream: StreamId, cx: &Carrying<'_>) -> Option<u32> {
        let slot = self.streams.end(stream)?;
        self.stream_is_gone(cx.now);
        Some(slot)
    }
}

/// A frame on a stream that the client itself ended (section 5.1).
pub(super) const STREAM_IS_CLOSED: ConnectionError =
    ConnectionError::new(ErrorCode::STREAM_CLOSED, "a frame came on a closed stream");

/// What has no payload for the application.
impl Http2Connection {
    /// The client broke a rule on a stream (section 5.4.2). `has_ended`: it ended it, too.
    pub(super) fn fail_stream<'b>(
        &mut self,
        stream: StreamId,
        has_ended: bool,
        code: ErrorCode,
        cx: &mut Carrying<'_>,
    ) -> Received<'b> {
        log::debug!("a stream of slot {} is reset: {code}", cx.slot);
        // First, so that all slots are there to be taken if it was one too many.
        self.floods.count_reset(cx.now)?;
        let entry = self.streams.get(stream);
        let has_ended = has_ended || entry.is_some_and(streams::Stream::has_ended);
        let slot = self.streams.reset(stream, !has_ended);
        self.stream_is_gone(cx.now);
        cx.send(&frame::rst_stream(stream, code), &[]);
        Ok(slot.map(|slot| Step::Reset { slot }))
    }

    /// `RST_STREAM` (section 6.4).
    fn on_rst_stream<'b>(&mut self, stream: StreamId, cx: &mut Carrying<'_>) -> Received<'b> {
        match self.streams.standing(stream) {
            Standing::Idle => {
                let reason = "RST_STREAM came on an idle stream";
                return Err(ConnectionError::protocol(reason));
            }
            Standing::Open => self.floods.count_reset(cx.now)?,
            // It crossed ours, or our END_STREAM.
            Standing::Ignored | Standing::Closed | Standing::Skipped => {
                self.floods.count_empty_frame(cx.now)?;
            }
        }
        let Some(slot) = self.streams.reset_by_peer(stream) else {
            return Ok(None);
        };
        self.stream_is_gone(cx.now);
        Ok(Some(Step::Reset { slot }))
    }

    /// SETTINGS (section 6.5).
    fn on_settings<'b>(&mut self, payload: &[u8], cx: &mut Carrying<'_>) -> Received<'b> {
        self.floods.count_empty_frame(cx.now)?;
        let before = self.peer.initial_window_bytes;
        self.peer.apply(payload)?;
        let change = i64::from(self.peer.initial_window_bytes) - i64::from(before);
        let are_freed = self.streams.change_windows(change);
        let are_freed = are_freed.map_err(|WindowOverflow| WINDOW_TOO_LARGE)?;
        self.phase = Phase::Open;
        cx.send(&frame::SETTINGS_ACK, &[]);
        Ok(are_freed.then_some(Step::AllUnblocked))
    }

    /// PING (section 6.7).
    fn on_ping<'b>(
        &mut self,
        header: &FrameHeader,
        payload: &[u8],
        cx: &mut Carrying<'_>,
    ) -> Received<'b> {
        self.floods.count_empty_frame(cx.now)?;
        if let Some(payload) = payload.first_chunk()
            && !header.has(ACK)
        {
            cx.send(&frame::ping_ack(*payload), &[]);
        }
        Ok(None)
    }

    /// `WINDOW_UPDATE` (section 6.9).
    fn on_window_update<'b>(
        &mut self,
        stream: StreamId,
        payload: &[u8],
        cx: &mut Carrying<'_>,
    ) -> Received<'b> {
        self.floods.count_empty_frame(cx.now)?;
        let bits = payload
            .first_chunk()
            .map_or(0, |bits| u32::from_be_bytes(*bits));
        let increment = bits & frame::MAX_WINDOW_BYTES;
        if stream == StreamId::CONNECTION {
            if increment == 0 {
                let reason = "a WINDOW_UPDATE opens no window";
                return Err(ConnectionError::protocol(reason));
            }
            let grown = streams::grow(&mut self.send_window, increment.into());
            grown.map_err(|WindowOverflow| WINDOW_TOO_LARGE)?;
            let is_freed = self.send_window > 0 && std::mem::take(&mut self.is_blocked);
            return Ok(is_freed.then_some(Step::AllUnblocked));
        }
        if self.streams.standing(stream) == Standing::Idle {
            let reason = "WINDOW_UPDATE came on an idle stream";
            return Err(ConnectionError::protocol(reason));
        }
        // On a stream that is gone it crossed our END_STREAM.
        let Some(entry) = self.streams.get_mut(stream) else {
            return Ok(None);
        };
        if increment == 0 {
            return self.fail_stream(stream, false, ErrorCode::PROTOCOL_ERROR, cx);
        }
        match entry.grow(increment) {
            Ok(false) => Ok(None),
            // The connection has no window for it either.
            Ok(true) if self.send_window <= 0 => {
                self.is_blocked = true;
                Ok(None)
            }
            Ok(true) => Ok(Some(Step::Unblocked { slot: entry.slot })),
            Err(WindowOverflow) => {
                self.fail_stream(stream, false, ErrorCode::FLOW_CONTROL_ERROR, cx)
            }
        }
    }
}

/// Sections 6.9.1 and 6.9.2.
const WINDOW_TOO_LARGE: ConnectionError = ConnectionError::new(
    ErrorCode::FLOW_CONTROL_ERROR,
    "a flow-control window is above 2^31-1",
);
