//! Field blocks (RFC 9113 sections 4.3, 6.2 and 6.10): from HEADERS and CONTINUATION frames to
//! requests and trailer sections.

use crate::config::Config;
use crate::http::Request;
use crate::http2::fields::{Decoded, Malformed, RequestFields, TrailerFields};
use crate::http2::frame::{
    ConnectionError, END_HEADERS, END_STREAM, ErrorCode, FrameHeader, StreamId,
};
use crate::http2::hpack;
use crate::moment::Moment;

use super::receive::{Received, STREAM_IS_CLOSED};
use super::settings::stream_window_bytes;
use super::streams::{NewStream, Standing};
use super::{Carrying, Http2Connection, NewRequest, Step};

/// CONTINUATION frames that one field block may have: more than a field block of the greatest length
/// needs (CVE-2024-27316).
const MAX_CONTINUATIONS: u8 = 64;

/// A field block that goes on in CONTINUATION frames.
#[derive(Debug)]
pub(super) struct OpenBlock {
    purpose: Purpose,
    bytes: Vec<u8>,
    continuations: u8,
}

impl OpenBlock {
    /// Whose it is.
    pub(super) const fn stream(&self) -> StreamId {
        self.purpose.stream
    }

    /// Bytes that it takes.
    pub(super) fn buffered_bytes(&self) -> usize {
        size_of::<Self>() + self.bytes.capacity()
    }
}

/// What a field block is for.
#[derive(Clone, Copy, Debug)]
struct Purpose {
    stream: StreamId,
    /// `END_STREAM` came with it.
    is_last: bool,
    /// It opened the stream.
    is_request: bool,
}

/// Field blocks: HEADERS (section 6.2) and CONTINUATION (section 6.10).
impl Http2Connection {
    pub(super) fn on_headers<'b>(
        &mut self,
        header: &FrameHeader,
        payload: &[u8],
        cx: &mut Carrying<'_>,
    ) -> Received<'b> {
        let fragment = header.field_block(payload)?;
        let stream = header.stream;
        let is_request = match self.streams.standing(stream) {
            Standing::Idle if stream.is_of_client() => {
                self.streams.begin(stream);
                true
            }
            Standing::Idle | Standing::Skipped => {
                // Section 5.1.1.
                let reason = "the number of a stream is even, or less than that of an earlier one";
                return Err(ConnectionError::protocol(reason));
            }
            Standing::Closed => return Err(STREAM_IS_CLOSED),
            Standing::Open | Standing::Ignored => false,
        };
        let purpose = Purpose {
            stream,
            is_last: header.has(END_STREAM),
            is_request,
        };
        if header.has(END_HEADERS) {
            check_block_len(fragment.len(), cx.config)?;
            return self.on_block(purpose, fragment, cx);
        }
        if fragment.is_empty() {
            self.floods.count_empty_frame(cx.now)?;
        }
        check_block_len(fragment.len(), cx.config)?;
        if self.unfinished_since == Moment::NEVER {
            self.unfinished_since = cx.now;
        }
        self.block = Some(Box::new(OpenBlock {
            purpose,
            bytes: fragment.to_vec(),
            continuations: 0,
        }));
        Ok(None)
    }

    pub(super) fn on_continuation<'b>(
        &mut self,
        header: &FrameHeader,
        fragment: &[u8],
        cx: &mut Carrying<'_>,
    ) -> Received<'b> {
        let Some(mut block) = self.block.take() else {
            return Ok(None);
        };
        if fragment.is_empty() {
            self.floods.count_empty_frame(cx.now)?;
        }
        block.continuations += 1;
        if block.continuations > MAX_CONTINUATIONS {
            let reason = "a field block has too many CONTINUATION frames";
            return Err(ConnectionError::new(ErrorCode::ENHANCE_YOUR_CALM, reason));
        }
        check_block_len(block.bytes.len() + fragment.len(), cx.config)?;
        block.bytes.extend_from_slice(fragment);
        if header.has(END_HEADERS) {
            return self.on_block(block.purpose, &block.bytes, cx);
        }
        self.block = Some(block);
        Ok(None)
    }

    /// A field block is whole. It is decoded whatever it is for: what it says of the decoder's table
    /// holds for the blocks behind it (section 4.3).
    fn on_block<'b>(
        &mut self,
        purpose: Purpose,
        block: &[u8],
        cx: &mut Carrying<'_>,
    ) -> Received<'b> {
        if purpose.is_request {
            self.on_request(purpose, block, cx)
        } else {
            self.on_trailers(purpose, block, cx)
        }
    }

    fn on_request<'b>(
        &mut self,
        purpose: Purpose,
        block: &[u8],
        cx: &mut Carrying<'_>,
    ) -> Received<'b> {
        let Purpose {
            stream, is_last, ..
        } = purpose;
        if self.streams.standing(stream) == Standing::Ignored {
            // It came behind our GOAWAY.
            self.floods.count_empty_frame(cx.now)?;
            return self.decode(block, |_, _| {}).map(|()| None);
        }
        let max_streams = usize::try_from(cx.config.http2_max_streams).unwrap_or(usize::MAX);
        if self.streams.len() >= max_streams {
            self.decode(block, |_, _| {})?;
            // The client need not have heard of the limit (section 5.1.2).
            return self.fail_stream(stream, is_last, ErrorCode::REFUSED_STREAM, cx);
        }
        let request = Request::boxed(cx.spare.take(), self.info.clone(), cx.now);
        let mut fields = RequestFields::new(request, cx.config);
        self.decode(block, |name, value| fields.add(name, value))?;
        match fields.finish(is_last, cx.spare) {
            Ok(decoded) => Ok(Some(self.begin_request(purpose, decoded, cx.config))),
            Err(Malformed(reason)) => {
                log::debug!("the client in slot {} sent no request: {reason}", cx.slot);
                self.fail_stream(stream, is_last, ErrorCode::PROTOCOL_ERROR, cx)
            }
        }
    }

    fn begin_request(
        &mut self,
        purpose: Purpose,
        decoded: Decoded,
        config: &Config,
    ) -> Step<'static> {
        let Purpose {
            stream, is_last, ..
        } = purpose;
        let Decoded {
            request,
            content_length,
            expects_continue,
            refused,
        } = decoded;
        self.floods.requested();
        self.streams.insert(NewStream {
            id: stream,
            has_ended: is_last,
            is_tunnel: request.protocol().is_some(),
            content_length,
            send_window: self.peer.initial_window_bytes,
            receive_window: stream_window_bytes(config),
        });
        Step::Request(NewRequest {
            stream,
            request,
            is_last,
            content_length,
            expects_continue,
            refused,
        })
    }

    /// A field block on a stream that has one: a trailer section (section 8.1), which nobody is
    /// shown, or one on a stream that is gone.
    fn on_trailers<'b>(
        &mut self,
        purpose: Purpose,
        block: &[u8],
        cx: &mut Carrying<'_>,
    ) -> Received<'b> {
        let Purpose {
            stream, is_last, ..
        } = purpose;
        let mut fields = TrailerFields::new(cx.config);
        self.decode(block, |name, value| fields.add(name, value))?;
        let Some(entry) = self.streams.get(stream) else {
            self.floods.count_empty_frame(cx.now)?;
            if is_last {
                self.streams.end_ignored(stream);
            }
            return Ok(None);
        };
        if entry.has_ended() {
            return self.fail_stream(stream, is_last, ErrorCode::STREAM_CLOSED, cx);
        }
        // Section 8.5: on the stream of a CONNECT there is nothing but DATA.
        let is_legal = is_last && !entry.is_tunnel() && entry.is_complete();
        if is_legal && fields.finish().is_ok() {
            return Ok(self.end(stream, cx));
        }
        self.fail_stream(stream, is_last, ErrorCode::PROTOCOL_ERROR, cx)
    }

    fn decode(
        &mut self,
        block: &[u8],
        field: impl FnMut(&[u8], &[u8]),
    ) -> Result<(), ConnectionError> {
        self.decoder
            .decode(block, field)
            .map_err(|hpack::InvalidBlock(reason)| {
                ConnectionError::new(ErrorCode::COMPRESSION_ERROR, reason)
            })
    }
}

/// A block may be twice as long as what it says may be: then it is refused with a status, as a client
/// understands. What is longer need not be looked at.
fn check_block_len(len: usize, config: &Config) -> Result<(), ConnectionError> {
    if len <= config.max_header_section_bytes.saturating_mul(2) {
        return Ok(());
    }
    let reason = "a field block is too long";
    Err(ConnectionError::new(ErrorCode::ENHANCE_YOUR_CALM, reason))
}
