//! What a server of HTTP/2 sent, sorted by streams: how frames of different streams lie between each
//! other is a matter of turns.

use crate::hpack::NaiveDecoder;
use std::collections::BTreeMap;

const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const RST_STREAM: u8 = 0x3;
const SETTINGS: u8 = 0x4;
const PING: u8 = 0x6;
const GOAWAY: u8 = 0x7;
const WINDOW_UPDATE: u8 = 0x8;
const CONTINUATION: u8 = 0x9;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

/// Error codes (RFC 9113 section 7).
const FLOW_CONTROL_ERROR: u32 = 0x3;
const STREAM_CLOSED: u32 = 0x5;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Whether a client that sent these frames said GOAWAY, after which it is waited for no more.
pub(crate) fn says_goaway(mut frames: &[u8]) -> bool {
    while let Some((head, rest)) = frames.split_first_chunk::<9>() {
        if head[3] == GOAWAY {
            return true;
        }
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        frames = rest.get(len..).unwrap_or_default();
    }
    false
}

/// What was sent on one stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct StreamOutput {
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) data: Vec<u8>,
    pub(crate) ended: bool,
    pub(crate) reset: Option<u32>,
}

/// What was sent on a connection.
#[derive(Debug, Default)]
pub(crate) struct Http2Output {
    pub(crate) streams: BTreeMap<u32, StreamOutput>,
    /// Payload of answers to PING.
    pub(crate) pings: Vec<u8>,
    pub(crate) settings_acks: usize,
    /// The code of the last GOAWAY.
    pub(crate) goaway: Option<u32>,
    pub(crate) is_closed: bool,
}

impl Http2Output {
    /// Reads what was sent, which is to be legal. The last frame may be cut.
    pub(crate) fn read(mut bytes: &[u8], is_closed: bool) -> Self {
        let mut output = Self {
            is_closed,
            ..Self::default()
        };
        let mut decoder = NaiveDecoder::new();
        let mut open_block: Option<(u32, Vec<u8>)> = None;
        while let Some((head, rest)) = bytes.split_first_chunk::<9>() {
            let len = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let (kind, flags) = (head[3], head[4]);
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            let Some((payload, rest)) = rest.split_at_checked(len as usize) else {
                break;
            };
            bytes = rest;
            assert!(len <= 16_384 && stream < 1 << 31, "every frame is legal");
            assert!(
                open_block.is_none() || kind == CONTINUATION,
                "no block is cut"
            );
            match kind {
                HEADERS | CONTINUATION => {
                    let (of, mut block) = open_block.take().unwrap_or((stream, Vec::new()));
                    assert_eq!(of, stream);
                    block.extend_from_slice(payload);
                    if flags & END_HEADERS == 0 {
                        open_block = Some((stream, block));
                    } else {
                        let fields = decoder.decode(&block).expect("a legal block");
                        output.open(stream).take_fields(fields);
                    }
                    if kind == HEADERS && flags & END_STREAM != 0 {
                        output.open(stream).ended = true;
                    }
                }
                DATA => {
                    let stream = output.open(stream);
                    assert!(!stream.fields.is_empty(), "fields come first");
                    stream.data.extend_from_slice(payload);
                    stream.ended = flags & END_STREAM != 0;
                }
                RST_STREAM => {
                    let code = number(payload);
                    output.streams.entry(stream).or_default().reset = Some(code);
                }
                SETTINGS if flags & 1 != 0 => output.settings_acks += 1,
                SETTINGS => assert_eq!(len % 6, 0),
                PING if flags & 1 != 0 => output.pings.extend_from_slice(payload),
                PING => assert_eq!(len, 8),
                GOAWAY => output.goaway = Some(number(&payload[4..])),
                WINDOW_UPDATE => assert_ne!(number(payload), 0, "a window that stays"),
                kind => panic!("a frame of the type {kind}"),
            }
        }
        output
    }

    /// Whether there is a reason why this connection was not ended with that code, as one with the same
    /// input was: it had nothing to do any more, and was gone before the rest was looked at; or the
    /// error depends on what was sent by then: of a stream that is over it is one of the connection, of
    /// another that waits for its answer one of the stream, once the block of fields is whole (RFC 9113
    /// section 5.1); and so is a window that was opened too far (section 6.9.1).
    fn explains(&self, goaway: Option<u32>) -> bool {
        let is_gone = self.is_closed && self.goaway.is_none();
        let is_of_its_time = matches!(goaway, Some(STREAM_CLOSED | FLOW_CONTROL_ERROR));
        goaway.is_some() && (is_gone || is_of_its_time)
    }

    /// A stream on which something may still be sent.
    fn open(&mut self, stream: u32) -> &mut StreamOutput {
        assert_eq!(stream % 2, 1, "nothing is pushed");
        let output = self.streams.entry(stream).or_default();
        assert!(
            !output.ended && output.reset.is_none(),
            "{stream} is over: {output:?}"
        );
        output
    }

    /// That what was sent for the same input, in other pieces, is the same: but where one of them was
    /// ended early, one may have got farther than the other. If `may_go`, who had nothing to do at some
    /// time was gone by then.
    pub(crate) fn assert_like(&self, other: &Self, may_go: bool) {
        let is_over = self.is_closed || other.is_closed;
        let is_explained = self.explains(other.goaway) || other.explains(self.goaway);
        assert!(
            self.goaway == other.goaway || is_explained,
            "{:?} {:?}",
            self.goaway,
            other.goaway
        );
        if self.goaway == other.goaway && !may_go {
            assert_eq!(self.is_closed, other.is_closed);
        }
        if !is_over {
            assert_eq!(self.pings, other.pings);
            assert_eq!(self.settings_acks, other.settings_acks);
        }
        for (number, stream) in &other.streams {
            let may_lack = is_over || stream.reset.is_some();
            assert!(may_lack || self.streams.contains_key(number), "{number}");
        }
        // What a stream was sent before its reset is of the connection's window, and the others lack it.
        let mut of_both = self.streams.values().chain(other.streams.values());
        let has_reset = of_both.any(|stream| stream.reset.is_some());
        for (number, stream) in &self.streams {
            let Some(like) = other.streams.get(number) else {
                assert!(is_over || stream.reset.is_some(), "{number}: {stream:?}");
                continue;
            };
            // How far one came that waits for a window depends on who had the connection's before, and on what
            // was sent before settings made its own smaller (RFC 9113 section 6.9.2).
            let (data, like_data) = (&stream.data, &like.data);
            if stream.ended && like.ended && !is_over && !has_reset {
                assert_eq!(stream, like, "{number}");
                continue;
            }
            assert!(data.starts_with(like_data) || like_data.starts_with(data));
            if !is_over && !has_reset {
                assert_eq!(stream.fields, like.fields, "{number}");
            }
        }
    }
}

impl StreamOutput {
    fn take_fields(&mut self, fields: Vec<(Vec<u8>, Vec<u8>)>) {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("what we send is text");
        for (name, value) in fields {
            self.fields.push((text(name), text(value)));
        }
    }
}

fn number(payload: &[u8]) -> u32 {
    let bytes = payload.first_chunk().expect("four bytes");
    u32::from_be_bytes(*bytes)
}
