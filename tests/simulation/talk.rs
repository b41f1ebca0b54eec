//! One side of a WebSocket, as its client has it: frames out, messages in. What carries its bytes, a
//! connection of its own or a stream of HTTP/2, is not its business.

use crate::chance::Chance;
use miniz_oxide::deflate::CompressionLevel;
use miniz_oxide::deflate::core::CompressorOxide;
use miniz_oxide::inflate::stream::{InflateState, inflate};
use miniz_oxide::{DataFormat, MZFlush};

/// What the server sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    Message(u8, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// A Close frame with its code, or none.
    Close(Option<u16>),
}

/// The end of what a compressed message loses (RFC 7692 section 7.2.1).
const TAIL: &[u8] = &[0, 0, 0xFF, 0xFF];

/// See the module.
pub(crate) struct Talk {
    unread: Vec<u8>,
    /// The message that is not whole: its opcode, whether it is compressed, its payload.
    partial: Option<(u8, bool, Vec<u8>)>,
    inflating: Option<Box<InflateState>>,
    /// Made for the first message that is compressed.
    deflating: Option<Box<CompressorOxide>>,
    is_compressed: bool,
    /// Each message begins anew.
    inflates_anew: bool,
    deflates_anew: bool,
}

impl Talk {
    /// `extensions`: what the server said to the offer.
    pub(crate) fn new(extensions: Option<&str>) -> Self {
        let has = |parameter| extensions.is_some_and(|all| all.contains(parameter));
        let is_compressed = has("permessage-deflate");
        Self {
            unread: Vec::new(),
            partial: None,
            inflating: is_compressed.then(|| InflateState::new_boxed(DataFormat::Raw)),
            deflating: None,
            is_compressed,
            inflates_anew: has("server_no_context_takeover"),
            deflates_anew: has("client_no_context_takeover"),
        }
    }

    /// What became whole with these bytes.
    pub(crate) fn receive(&mut self, bytes: &[u8]) -> Vec<Came> {
        self.unread.extend_from_slice(bytes);
        let (mut came, mut at) = (Vec::new(), 0);
        while let Some((first, begin, len)) = header(&self.unread[at..]) {
            let Some(payload) = self.unread.get(at + begin..at + begin + len) else {
                break;
            };
            let payload = payload.to_vec();
            at += begin + len;
            came.extend(self.frame(first, payload));
        }
        self.unread.drain(..at);
        came
    }

    /// Whether nothing is half there.
    pub(crate) fn is_whole(&self) -> bool {
        self.unread.is_empty() && self.partial.is_none()
    }

    fn frame(&mut self, first: u8, payload: Vec<u8>) -> Option<Came> {
        let (is_last, is_compressed, opcode) = (first & 0x80 != 0, first & 0x40 != 0, first & 0x0F);
        assert_eq!(first & 0x30, 0, "a reserved bit");
        if opcode >= 8 {
            assert!(is_last && payload.len() <= 125 && !is_compressed);
            return Some(match opcode {
                8 => Came::Close(payload.first_chunk().map(|code| u16::from_be_bytes(*code))),
                9 => Came::Ping(payload),
                10 => Came::Pong(payload),
                _ => panic!("opcode {opcode}"),
            });
        }
        let partial = match (opcode, self.partial.take()) {
            (0, Some((opcode, was_compressed, mut message))) => {
                assert!(!is_compressed, "only the first frame says so");
                message.extend(payload);
                (opcode, was_compressed, message)
            }
            (1 | 2, None) => (opcode, is_compressed, payload),
            (opcode, partial) => panic!("opcode {opcode} after {partial:?}"),
        };
        if !is_last {
            self.partial = Some(partial);
            return None;
        }
        let (opcode, is_compressed, message) = partial;
        let message = if is_compressed {
            self.inflate(message)
        } else {
            message
        };
        assert!(opcode == 2 || std::str::from_utf8(&message).is_ok());
        Some(Came::Message(opcode, message))
    }

    fn inflate(&mut self, mut compressed: Vec<u8>) -> Vec<u8> {
        compressed.extend(TAIL);
        let state = self.inflating.as_mut().expect("it was negotiated");
        let (mut message, mut at) = (Vec::new(), 0);
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let result = inflate(state, &compressed[at..], &mut buffer, MZFlush::Sync);
            at += result.bytes_consumed;
            message.extend_from_slice(&buffer[..result.bytes_written]);
            let is_stuck = result.bytes_consumed == 0 && result.bytes_written == 0;
            if is_stuck || at == compressed.len() && result.bytes_written < buffer.len() {
                assert_eq!(at, compressed.len(), "{:?}", result.status);
                break;
            }
        }
        if self.inflates_anew {
            **state = InflateState::new(DataFormat::Raw);
        }
        message
    }

    fn deflate(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        use miniz_oxide::deflate::stream::deflate;
        if !self.is_compressed || message.is_empty() {
            return None;
        }
        let state = self.deflating.get_or_insert_with(compressor);
        let mut compressed = vec![0; message.len() + message.len() / 8 + 64];
        let result = deflate(state, message, &mut compressed, MZFlush::Sync);
        assert_eq!(result.bytes_consumed, message.len(), "{:?}", result.status);
        compressed.truncate(result.bytes_written);
        assert!(compressed.ends_with(TAIL), "a flush ends so");
        compressed.truncate(compressed.len() - TAIL.len());
        if self.deflates_anew {
            self.deflating = None;
        }
        Some(compressed)
    }

    /// The frames of a message: whole or in fragments, with control frames between them, compressed
    /// or not.
    pub(crate) fn message(&mut self, opcode: u8, message: &[u8], chance: &mut Chance) -> Vec<u8> {
        let compressed = if chance.one_in(2) {
            self.deflate(message)
        } else {
            None
        };
        let rsv = if compressed.is_some() { 0x40 } else { 0 };
        let payload = compressed.as_deref().unwrap_or(message);
        let pieces = if chance.one_in(4) {
            1 + chance.below(4)
        } else {
            1
        };
        let (mut bytes, mut at) = (Vec::new(), 0);
        for index in 0..pieces {
            let is_last = index + 1 == pieces;
            let end = if is_last {
                payload.len()
            } else {
                at + chance.below(payload.len() - at + 1)
            };
            let first = if index == 0 { opcode | rsv } else { 0 };
            let fin = if is_last { 0x80 } else { 0 };
            bytes.extend(frame(first | fin, &payload[at..end], chance));
            if !is_last && chance.one_in(3) {
                bytes.extend(frame(0x8A, b"nobody asked", chance));
            }
            at = end;
        }
        bytes
    }
}

fn compressor() -> Box<CompressorOxide> {
    let compressor =
        CompressorOxide::with_format_and_level(DataFormat::Raw, CompressionLevel::BestSpeed);
    Box::new(compressor)
}

/// The first byte of a frame of the server, where its payload begins, and how long it is.
fn header(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let &[first, second, ref rest @ ..] = bytes else {
        return None;
    };
    assert_eq!(second & 0x80, 0, "a server does not mask");
    Some(match second {
        126 => (first, 4, u16::from_be_bytes(*rest.first_chunk()?).into()),
        127 => {
            let len = u64::from_be_bytes(*rest.first_chunk()?);
            (first, 10, usize::try_from(len).expect("it fits"))
        }
        len => (first, 2, len.into()),
    })
}

/// A masked frame.
pub(crate) fn frame(first: u8, payload: &[u8], chance: &mut Chance) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..=125 => frame.push(0x80 | len.to_be_bytes()[7]),
        len @ 126..=0xFFFF => {
            frame.push(0xFE);
            frame.extend_from_slice(&len.to_be_bytes()[6..]);
        }
        len => {
            frame.push(0xFF);
            frame.extend(len.to_be_bytes());
        }
    }
    let mask = chance.next().to_be_bytes();
    let mask = [mask[4], mask[5], mask[6], mask[7]];
    frame.extend(mask);
    let masked = payload.iter().zip(mask.iter().cycle());
    frame.extend(masked.map(|(byte, mask)| byte ^ mask));
    frame
}

/// A Close frame.
pub(crate) fn close(code: Option<u16>, chance: &mut Chance) -> Vec<u8> {
    let payload = code.map_or(Vec::new(), |code| code.to_be_bytes().to_vec());
    frame(0x88, &payload, chance)
}

/// Bytes that break a rule, and the code that says which.
pub(crate) fn violation(chance: &mut Chance) -> (Vec<u8>, u16) {
    let masked = |first: u8, payload: &[u8]| frame(first, payload, &mut chance.clone());
    let kinds: Vec<(Vec<u8>, u16)> = vec![
        (b"\x81\x02ab".to_vec(), 1002),
        (masked(0x83, b"reserved"), 1002),
        (masked(0xA1, b"reserved"), 1002),
        (masked(0x09, b"a ping in fragments"), 1002),
        (masked(0x89, &[b'x'; 126]), 1002),
        (masked(0x80, b"of nothing"), 1002),
        (masked(0x88, b"x"), 1002),
        (masked(0x88, &[3, 0xED]), 1002),
        (masked(0x88, b"\x03\xe8\xff"), 1007),
        (masked(0x81, b"\xff\xff"), 1007),
        (
            b"\x82\xff\x00\x00\x00\xff\x00\x00\x00\x00abcd".to_vec(),
            1009,
        ),
        (
            b"\x82\xff\x80\x00\x00\xff\x00\x00\x00\x00abcd".to_vec(),
            1002,
        ),
    ];
    let index = chance.below(kinds.len());
    kinds[index].clone()
}
