//! A client of HTTP/2 and its streams: what it may send, what it may be sent, and what each stream has
//! to come to. A WebSocket on a stream is the same [`Room`] as on a connection of its own.

use crate::application::{FILE_LEN, verdict};
use crate::chance::{Chance, pattern};
use crate::frames::{
    DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, frame, open_window, request, websocket_request,
};
use crate::member::Room;
use crate::model::{Shared, reason};
use crate::player::Fate;
use std::collections::BTreeMap;

/// Most payload of a frame.
const MAX_PAYLOAD: usize = 16_384;

enum Kind {
    /// It is answered with what is known of it.
    Body,
    File,
    /// It is answered with what its body was.
    Post,
    Room(Box<Room>),
}

/// A stream, as its client sees it.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one independent fact"
)]
struct Stream {
    key: u32,
    kind: Kind,
    /// What is to be sent, as windows allow.
    unsent: Vec<u8>,
    sent: usize,
    /// What may be sent.
    window: i64,
    /// What the server may send at most.
    allowed: u64,
    received: Vec<u8>,
    received_len: u64,
    has_head: bool,
    is_refused: bool,
    /// Nothing is added to what is to be sent.
    is_complete: bool,
    /// We ended it.
    has_ended: bool,
    is_over: bool,
}

/// See the module.
pub(crate) struct Http2 {
    /// What is to be sent, whenever it is.
    pub(crate) unsent: Vec<u8>,
    /// What came and is no whole frame.
    partial: Vec<u8>,
    streams: BTreeMap<u32, Stream>,
    next_stream: u32,
    window: i64,
    allowed: u64,
    initial_window: u32,
    /// It opens no more streams.
    pub(crate) is_leaving: bool,
    pub(crate) ended_streams: u64,
}

impl Http2 {
    pub(crate) fn new() -> Self {
        let mut unsent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        unsent.extend(frame(SETTINGS, 0, 0, &[]));
        Self {
            unsent,
            partial: Vec::new(),
            streams: BTreeMap::new(),
            next_stream: 1,
            window: 65_535,
            allowed: 65_535,
            initial_window: 65_535,
            is_leaving: false,
            ended_streams: 0,
        }
    }

    /// Something of all that a client may do; `key` names a new stream.
    pub(crate) fn act(&mut self, model: &Shared, key: u32, chance: &mut Chance) {
        match chance.below(16) {
            0..=2 => self.open(model, key, chance),
            3..=6 => self.speak(model, chance),
            7 | 8 => self.open_windows(chance),
            9 if chance.one_in(4) => {
                let bytes = u32::try_from(chance.len(100_000)).expect("few");
                self.set_initial_window(bytes);
            }
            10 if chance.one_in(4) => self.reset(model, chance),
            11 => self.unsent.extend(frame(PING, 0, 0, &[7; 8])),
            12 if chance.one_in(60) => {
                self.is_leaving = true;
                self.unsent.extend(frame(GOAWAY, 0, 0, &[0; 8]));
            }
            _ => {}
        }
        self.send_payload(chance);
    }

    fn pick(&self, chance: &mut Chance, is_wanted: impl Fn(&Stream) -> bool) -> Option<u32> {
        let streams = self.streams.iter().filter(|(_, it)| is_wanted(it));
        let streams: Vec<u32> = streams.map(|(id, _)| *id).collect();
        (!streams.is_empty()).then(|| chance.pick(&streams))
    }

    fn open(&mut self, model: &Shared, key: u32, chance: &mut Chance) {
        if self.is_leaving || self.streams.len() > 20 {
            return;
        }
        let id = self.next_stream;
        self.next_stream += 2;
        let len = chance.len(300_000);
        let get = |path: &str| (request("GET", path), Vec::new());
        let (kind, (block, body)) = match chance.below(8) {
            0 => (Kind::File, get("/file")),
            1 | 2 => (Kind::Body, get(&format!("/whole?key={key}&len={len}"))),
            3 => {
                model.with(|model| model.expect_body(key, b""));
                (Kind::Body, get(&format!("/pieces?key={key}")))
            }
            4 | 5 => {
                let path = chance.pick(&["/whole", "/pieces"]);
                let block = request("POST", &format!("{path}?key={key}"));
                (Kind::Post, (block, pattern(key, len)))
            }
            _ => {
                let path = format!("/room/{}?key={key}", chance.below(2));
                let room = Box::new(Room::new(key, None));
                // Its windows are opened now and then.
                room.excuse(model, reason::SLOW | reason::SILENT);
                (Kind::Room(room), (websocket_request(&path), Vec::new()))
            }
        };
        let has_ended = matches!(kind, Kind::Body | Kind::File);
        let is_complete = !matches!(kind, Kind::Room(_));
        let flags = END_HEADERS | if has_ended { END_STREAM } else { 0 };
        self.unsent.extend(frame(HEADERS, flags, id, &block));
        let stream = Stream {
            key,
            kind,
            unsent: body,
            sent: 0,
            window: 65_535,
            allowed: self.initial_window.into(),
            received: Vec::new(),
            received_len: 0,
            has_head: false,
            is_refused: false,
            is_complete,
            has_ended,
            is_over: false,
        };
        self.streams.insert(id, stream);
    }

    /// Somebody says something on a WebSocket.
    fn speak(&mut self, model: &Shared, chance: &mut Chance) {
        let is_room =
            |it: &Stream| matches!(it.kind, Kind::Room(_)) && !it.is_complete && it.has_head;
        if let Some(id) = self.pick(chance, is_room)
            && let Some(stream) = self.streams.get_mut(&id)
            && let Kind::Room(room) = &mut stream.kind
        {
            let bytes = room.act(model, 2000, chance);
            stream.unsent.extend(bytes);
        }
    }

    /// Sends of some stream as much as windows allow, or less.
    fn send_payload(&mut self, chance: &mut Chance) {
        if let Some(id) = self.pick(chance, |it| !it.has_ended) {
            let most = chance.len(MAX_PAYLOAD);
            self.send_of(id, most);
        }
    }

    fn send_of(&mut self, id: u32, most: usize) {
        let stream = self.streams.get_mut(&id).expect("it was picked");
        let window = stream.window.min(self.window).max(0);
        let window = usize::try_from(window).expect("positive");
        let len = most.min(window).min(stream.unsent.len()).min(MAX_PAYLOAD);
        let payload: Vec<u8> = stream.unsent.drain(..len).collect();
        stream.has_ended = stream.is_complete && stream.unsent.is_empty();
        let flags = if stream.has_ended { END_STREAM } else { 0 };
        if payload.is_empty() && flags == 0 {
            return;
        }
        let len = i64::try_from(len).expect("short");
        stream.sent += payload.len();
        stream.window -= len;
        self.window -= len;
        self.unsent.extend(frame(DATA, flags, id, &payload));
    }

    fn open_windows(&mut self, chance: &mut Chance) {
        let bytes = u32::try_from(1 + chance.len(100_000)).expect("few");
        if let Some(id) = self.pick(chance, |it| !it.is_over) {
            self.open_window(id, bytes);
        }
        if chance.one_in(2) {
            self.unsent.extend(open_window(0, bytes));
            self.allowed += u64::from(bytes);
        }
    }

    fn open_window(&mut self, id: u32, bytes: u32) {
        self.unsent.extend(open_window(id, bytes));
        self.streams.get_mut(&id).expect("picked").allowed += u64::from(bytes);
    }

    fn set_initial_window(&mut self, bytes: u32) {
        let setting = [&[0, 4][..], &bytes.to_be_bytes()].concat();
        self.unsent.extend(frame(SETTINGS, 0, 0, &setting));
        // As it may have been before the server heard of it, at least.
        let more = bytes.saturating_sub(self.initial_window);
        for stream in self.streams.values_mut() {
            stream.allowed += u64::from(more);
        }
        self.initial_window = self.initial_window.max(bytes);
    }

    fn reset(&mut self, model: &Shared, chance: &mut Chance) {
        if let Some(id) = self.pick(chance, |it| !it.is_over) {
            self.unsent.extend(frame(RST_STREAM, 0, id, &[0, 0, 0, 8]));
            let stream = self.streams.get_mut(&id).expect("picked");
            if let Kind::Room(room) = &stream.kind {
                room.excuse(model, reason::LEFT);
            }
            stream.give_up();
        }
    }

    /// The connection may be lost at any time from now on, or its rooms be closed for that reason.
    pub(crate) fn excuse(&mut self, model: &Shared, reason: u32) {
        for stream in self.streams.values() {
            if let Kind::Room(room) = &stream.kind {
                room.excuse(model, reason);
            }
        }
    }

    /// What is left to do, so that all can be complete.
    pub(crate) fn finish(&mut self, model: &Shared, is_first: bool, chance: &mut Chance) {
        if is_first {
            self.unsent.extend(open_window(0, 1 << 30));
            self.allowed += 1 << 30;
        }
        let ids: Vec<u32> = self.streams.keys().copied().collect();
        for id in ids {
            let stream = &self.streams[&id];
            if !stream.is_over && is_first {
                self.open_window(id, 1 << 30);
            }
            let stream = self.streams.get_mut(&id).expect("it is there");
            if let Kind::Room(room) = &mut stream.kind
                && stream.has_head
            {
                let bytes = room.close(model, chance);
                stream.unsent.extend(bytes);
            }
            if !stream.has_ended {
                self.send_of(id, MAX_PAYLOAD);
            }
        }
    }

    /// How far it came.
    pub(crate) fn state(&self) -> String {
        let streams = self.streams.iter().map(|(id, it)| {
            let kind = match &it.kind {
                Kind::Body | Kind::File => "GET",
                Kind::Post => "POST",
                Kind::Room(_) => "room",
            };
            let (ours, its) = (it.has_ended, it.is_over);
            format!(
                "{id} {kind}, {} unsent, ended by us: {ours}, by it: {its}",
                it.unsent.len()
            )
        });
        let streams: Vec<String> = streams.collect();
        format!("HTTP/2, leaving: {}, {streams:?}", self.is_leaving)
    }

    /// Whether nothing is to come any more.
    pub(crate) fn is_answered(&self) -> bool {
        self.streams.values().all(|stream| stream.is_over)
    }

    /// Whether what came begins with words of HTTP/1.1: as many are connected as may be.
    pub(crate) fn is_refused(&self, bytes: &[u8]) -> bool {
        let mut begin = self.partial.iter().chain(bytes).take(5);
        self.ended_streams == 0 && begin.by_ref().eq(b"HTTP/")
    }

    /// What the server sent.
    pub(crate) fn receive(
        &mut self,
        bytes: &[u8],
        model: &Shared,
        fate: Fate,
        chance: &mut Chance,
    ) {
        self.partial.extend_from_slice(bytes);
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
            self.judge(&frame, model, fate, chance);
        }
        self.partial.drain(..at);
        let before = self.streams.len();
        self.streams
            .retain(|_, stream| !stream.is_over || !stream.has_ended);
        self.ended_streams += (before - self.streams.len()) as u64;
    }

    fn judge(&mut self, frame: &Frame, model: &Shared, fate: Fate, chance: &mut Chance) {
        let Frame {
            kind,
            stream: id,
            payload,
            ..
        } = frame;
        if *id == 0 {
            let may_leave = self.is_leaving || fate.may_be_cut();
            assert!(*kind != GOAWAY || may_leave, "{frame:?}");
            self.is_leaving |= *kind == GOAWAY;
            if *kind == WINDOW_UPDATE {
                self.window += increment(payload);
            }
            return;
        }
        if *kind == DATA {
            let left = self.allowed.checked_sub(payload.len() as u64);
            self.allowed = left.expect("within the window of the connection");
        }
        let Some(stream) = self.streams.get_mut(id) else {
            // It was over for us.
            assert!(*id < self.next_stream, "{frame:?}");
            return;
        };
        match *kind {
            WINDOW_UPDATE => stream.window += increment(payload),
            // It may have crossed our reset.
            _ if stream.is_over => {}
            HEADERS => {
                assert!(!stream.has_head, "{frame:?}");
                stream.has_head = true;
                // What else there is than a 200 is that it stops, or that a body is too slow.
                stream.is_refused = payload[0] != 0x88;
                let may_be = fate.is_stopping || fate.is_lenient;
                assert!(!stream.is_refused || may_be, "{frame:?}");
            }
            DATA => stream.take(payload, model, chance),
            RST_STREAM => {
                let may_be = match &stream.kind {
                    Kind::Room(room) => model.with(|model| model.member(room.key).closed.is_some()),
                    _ => false,
                };
                assert!(may_be || fate.may_be_cut(), "{frame:?}");
                stream.give_up();
            }
            _ => panic!("{frame:?}"),
        }
        if frame.ends_stream() && !stream.is_over {
            stream.ended(model, fate);
        }
    }
}

impl Stream {
    /// Nothing is sent any more, and what comes is nobody's.
    fn give_up(&mut self) {
        (self.is_over, self.has_ended, self.is_complete) = (true, true, true);
        self.unsent.clear();
    }

    fn take(&mut self, payload: &[u8], model: &Shared, chance: &mut Chance) {
        assert!(self.has_head);
        self.received_len += payload.len() as u64;
        assert!(self.received_len <= self.allowed, "beyond its window");
        match &mut self.kind {
            Kind::Room(room) if !self.is_refused => {
                let answer = room.receive(payload, model, chance);
                self.unsent.extend(answer);
                if room.was_closed && !room.is_mute {
                    self.is_complete = true;
                }
            }
            _ => self.received.extend_from_slice(payload),
        }
    }

    /// The server ended its side.
    fn ended(&mut self, model: &Shared, fate: Fate) {
        self.is_over = true;
        if self.is_refused {
            return;
        }
        let key = self.key;
        model.with(|model| model.note(key.into(), &self.received));
        match &self.kind {
            Kind::Body => model.with(|model| {
                let body = model.bodies.remove(&key).expect("it was asked for");
                let is_complete = model.complete.remove(&key);
                assert!(is_complete, "{key} is not complete");
                assert!(body == self.received, "the body of {key}");
            }),
            Kind::File => assert!(pattern(0, FILE_LEN) == self.received, "a file"),
            Kind::Post => {
                let right = verdict(key, &pattern(key, self.sent));
                assert_eq!(right.as_bytes(), self.received, "the body of {key}");
            }
            Kind::Room(room) => {
                let closed = model.with(|model| model.member(key).closed);
                let is_cut = matches!(closed, Some(1001 | 1006 | 1008));
                let is_bad = room.is_bad || room.is_mute || fate.may_be_cut() || is_cut;
                room.over(model, room.was_closed && !is_bad);
                self.is_complete = true;
            }
        }
    }
}

fn increment(payload: &[u8]) -> i64 {
    u32::from_be_bytes(payload.try_into().expect("4 bytes")).into()
}
