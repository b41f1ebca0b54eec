//! A connection and its streams, as the client sees them: what it may send, and what it may be sent.

use super::Chance;
use super::application::{FILE_LEN, Known, pattern};
use crate::{
    DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, RST_STREAM, SETTINGS, WINDOW_UPDATE,
    frame, message, open_window, request, websocket_request,
};
use aerys::internals::{Peer, Simulation};
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It is answered with what is expected, as it is sent.
    Get,
    /// It is answered with what its body was.
    Post,
    Chat,
}

/// A stream, as its client sees it.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one independent fact of a stream"
)]
pub(super) struct Stream {
    key: u32,
    pub(super) kind: Kind,
    /// What may be sent.
    window: usize,
    /// What the server may send at most.
    allowed: u64,
    sent: usize,
    pub(super) received: Vec<u8>,
    has_head: bool,
    is_refused: bool,
    is_closing: bool,
    /// We ended it.
    pub(super) has_ended: bool,
    pub(super) is_over: bool,
}

pub(super) struct Connection {
    pub(super) peer: Peer,
    /// What is to be sent, whenever it is.
    pub(super) unsent: Vec<u8>,
    /// What came and is no whole frame.
    partial: Vec<u8>,
    pub(super) streams: BTreeMap<u32, Stream>,
    next_stream: u32,
    window: usize,
    allowed: u64,
    initial_window: u32,
    /// It sends no more, or opens no more streams.
    pub(super) has_ended: bool,
    pub(super) is_leaving: bool,
}

impl Connection {
    pub(super) fn connect(server: &mut Simulation) -> Self {
        let peer = server.connect(true);
        let mut unsent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        unsent.extend(frame(SETTINGS, 0, 0, &[]));
        Self {
            peer,
            unsent,
            partial: Vec::new(),
            streams: BTreeMap::new(),
            next_stream: 1,
            window: 65_535,
            allowed: 65_535,
            initial_window: 65_535,
            has_ended: false,
            is_leaving: false,
        }
    }

    /// Reads what the server sent, and judges it.
    pub(super) fn read(&mut self, server: &mut Simulation, known: &Known) {
        self.partial.extend(server.take_output(self.peer));
        let mut at = 0;
        while let Some(head) = self.partial[at..].first_chunk::<9>() {
            let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let Some(payload) = self.partial[at + 9..].get(..len) else {
                break;
            };
            let frame = Frame {
                kind: head[3],
                flags: head[4],
                stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
                payload: payload.to_vec(),
            };
            at += 9 + len;
            judge(self, &frame, known);
        }
        self.partial.drain(..at);
    }

    /// Those of a kind that can be sent something.
    fn pick(&self, chance: &mut Chance, is_wanted: impl Fn(&Stream) -> bool) -> Option<u32> {
        let streams: Vec<u32> = self
            .streams
            .iter()
            .filter(|(_, stream)| is_wanted(stream))
            .map(|(id, _)| *id)
            .collect();
        (!streams.is_empty()).then(|| streams[chance.below(streams.len())])
    }

    pub(super) fn open(&mut self, known: &Known, key: u32, chance: &mut Chance) {
        if self.is_leaving || self.streams.values().filter(|it| !it.is_over).count() > 20 {
            return;
        }
        let id = self.next_stream;
        self.next_stream += 2;
        let len = chance.len(300_000);
        let (kind, block) = match chance.below(7) {
            0 => {
                known.expect(key, &pattern(0, FILE_LEN));
                (Kind::Get, request("GET", &format!("/file?key={key}")))
            }
            1 | 2 => (
                Kind::Get,
                request("GET", &format!("/whole?key={key}&len={len}")),
            ),
            3 => (Kind::Get, request("GET", &format!("/pieces?key={key}"))),
            4 => (Kind::Post, request("POST", &format!("/whole?key={key}"))),
            5 => (Kind::Post, request("POST", &format!("/pieces?key={key}"))),
            _ => (Kind::Chat, websocket_request(&format!("/chat?key={key}"))),
        };
        let has_ended = kind == Kind::Get;
        let flags = END_HEADERS | if has_ended { END_STREAM } else { 0 };
        self.unsent.extend(frame(HEADERS, flags, id, &block));
        let stream = Stream {
            key,
            kind,
            window: 65_535,
            allowed: self.initial_window.into(),
            sent: 0,
            received: Vec::new(),
            has_head: false,
            is_refused: false,
            is_closing: false,
            has_ended,
            is_over: false,
        };
        self.streams.insert(id, stream);
    }

    pub(super) fn send_payload(&mut self, chance: &mut Chance) {
        let can_send = |it: &Stream| !it.has_ended && !it.is_over && !it.is_closing;
        let Some(id) = self.pick(chance, can_send) else {
            return;
        };
        let most = chance.len(16_000).min(16_000);
        let stream = self.streams.get_mut(&id).expect("it was picked");
        let len = most.min(stream.window.min(self.window).saturating_sub(14));
        let (payload, flags) = match stream.kind {
            Kind::Chat if chance.one_in(10) => {
                stream.is_closing = true;
                (b"\x88\x82\0\0\0\0\x03\xe8".to_vec(), 0)
            }
            Kind::Chat => {
                let first = if chance.one_in(8) { b'a' } else { b'b' };
                let mut payload = pattern(id, len.min(1500));
                payload.insert(0, first);
                (message(&payload), 0)
            }
            _ => {
                stream.has_ended = chance.one_in(6);
                let body = pattern(stream.key, stream.sent + len);
                let flags = if stream.has_ended { END_STREAM } else { 0 };
                (body[stream.sent..].to_vec(), flags)
            }
        };
        if payload.len() > stream.window.min(self.window) {
            (stream.is_closing, stream.has_ended) = (false, false);
            return;
        }
        stream.sent += payload.len();
        stream.window -= payload.len();
        self.window -= payload.len();
        self.unsent.extend(frame(DATA, flags, id, &payload));
    }

    pub(super) fn open_windows(&mut self, chance: &mut Chance) {
        let bytes = u32::try_from(1 + chance.len(100_000)).expect("few");
        if let Some(id) = self.pick(chance, |it| !it.is_over) {
            self.unsent.extend(open_window(id, bytes));
            self.streams.get_mut(&id).expect("picked").allowed += u64::from(bytes);
        }
        if chance.one_in(2) {
            self.unsent.extend(open_window(0, bytes));
            self.allowed += u64::from(bytes);
        }
    }

    pub(super) fn set_initial_window(&mut self, bytes: u32) {
        let setting = [&[0, 4][..], &bytes.to_be_bytes()].concat();
        self.unsent.extend(frame(SETTINGS, 0, 0, &setting));
        // As it may have been before the server heard of it, at least.
        let more = bytes.saturating_sub(self.initial_window);
        for stream in self.streams.values_mut() {
            stream.allowed += u64::from(more);
        }
        self.initial_window = self.initial_window.max(bytes);
    }

    pub(super) fn reset(&mut self, chance: &mut Chance) {
        if let Some(id) = self.pick(chance, |it| !it.is_over) {
            self.unsent.extend(frame(RST_STREAM, 0, id, &[0, 0, 0, 8]));
            self.streams.get_mut(&id).expect("picked").is_over = true;
        }
    }

    /// What is left to do, so that all can be complete.
    pub(super) fn finish(&mut self) {
        self.unsent.extend(open_window(0, 1 << 30));
        self.allowed += 1 << 30;
        for (id, stream) in &mut self.streams {
            if stream.is_over {
                continue;
            }
            self.unsent.extend(open_window(*id, 1 << 30));
            stream.allowed += 1 << 30;
            if stream.kind == Kind::Chat
                && !stream.is_closing
                && self.window > 8
                && stream.window > 8
            {
                stream.is_closing = true;
                self.window -= 8;
                let close = frame(DATA, 0, *id, b"\x88\x82\0\0\0\0\x03\xe8");
                self.unsent.extend(close);
            }
            if !stream.has_ended {
                stream.has_ended = true;
                self.unsent.extend(frame(DATA, END_STREAM, *id, b""));
            }
        }
    }
}

fn judge(connection: &mut Connection, frame: &Frame, known: &Known) {
    let Frame {
        kind,
        stream: id,
        payload,
        ..
    } = frame;
    if *id == 0 {
        let may_leave = connection.is_leaving || *known.is_lenient.borrow();
        assert!(*kind != GOAWAY || may_leave, "{frame:?}");
        if *kind == WINDOW_UPDATE {
            connection.window += increment(payload);
        }
        return;
    }
    let stream = connection.streams.get_mut(id).expect("one that was opened");
    match *kind {
        WINDOW_UPDATE => stream.window += increment(payload),
        // It may have crossed our reset.
        _ if stream.is_over => {}
        HEADERS => {
            assert!(!stream.has_head, "{frame:?}");
            stream.has_head = true;
            // What else there is than a 200 is that it stops, or that a body is too slow.
            stream.is_refused = payload[0] != 0x88;
            assert!(
                !stream.is_refused || *known.is_lenient.borrow(),
                "{frame:?}"
            );
        }
        DATA => {
            assert!(stream.has_head);
            stream.received.extend(payload);
            assert!(
                stream.received.len() as u64 <= stream.allowed,
                "stream {id}"
            );
            let is_known = match stream.kind {
                Kind::Get => !stream.is_refused,
                Kind::Chat => !*known.is_lenient.borrow(),
                Kind::Post => false,
            };
            let expected = known.expected.borrow();
            if is_known && let Some(expected) = expected.get(&stream.key) {
                let close: &[u8] = if stream.is_closing {
                    b"\x88\x02\x03\xe8"
                } else {
                    b""
                };
                let before = stream.received.len() - payload.len();
                let right = expected.iter().chain(close).skip(before);
                assert!(payload.iter().eq(right.take(payload.len())), "stream {id}");
                let is_whole = expected.len() + close.len() == stream.received.len();
                assert!(!frame.ends_stream() || is_whole, "stream {id} is cut");
            }
        }
        RST_STREAM if *known.is_lenient.borrow() => stream.is_over = true,
        RST_STREAM => panic!("{frame:?} of {:?}", stream.kind),
        _ => panic!("{frame:?}"),
    }
    if *kind == DATA {
        let len = payload.len() as u64;
        let left = connection.allowed.checked_sub(len);
        connection.allowed = left.expect("within the window");
    }
    if frame.ends_stream() {
        let stream = connection.streams.get_mut(id).expect("it was there");
        if stream.kind == Kind::Post && !stream.is_over && !stream.is_refused {
            let said = String::from_utf8_lossy(&stream.received);
            assert_eq!(said, format!("{} bytes, right: true", stream.sent));
        }
        stream.is_over = true;
    }
}

fn increment(payload: &[u8]) -> usize {
    u32::from_be_bytes(payload.try_into().expect("4 bytes")) as usize
}
