//! A client of HTTP/2 (RFC 9113), and of WebSocket on its streams (RFC 8441), by hand: what a server
//! must not send fails the test. It keeps count of windows both ways.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use crate::client::{Client, HttpResponse};
use crate::http2_fields;

mod tunnel;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0x0;
pub(crate) const HEADERS: u8 = 0x1;
pub(crate) const RST_STREAM: u8 = 0x3;
pub(crate) const SETTINGS: u8 = 0x4;
pub(crate) const PING: u8 = 0x6;
pub(crate) const GOAWAY: u8 = 0x7;
pub(crate) const WINDOW_UPDATE: u8 = 0x8;
pub(crate) const CONTINUATION: u8 = 0x9;

pub(crate) const END_STREAM: u8 = 0x1;
pub(crate) const ACK: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;

pub(crate) const HEADER_TABLE_SIZE: u16 = 0x1;
pub(crate) const MAX_CONCURRENT_STREAMS: u16 = 0x3;
pub(crate) const INITIAL_WINDOW_SIZE: u16 = 0x4;
pub(crate) const ENABLE_CONNECT_PROTOCOL: u16 = 0x8;

pub(crate) const NO_ERROR: u32 = 0x0;
pub(crate) const PROTOCOL_ERROR: u32 = 0x1;
pub(crate) const INTERNAL_ERROR: u32 = 0x2;
pub(crate) const REFUSED_STREAM: u32 = 0x7;
pub(crate) const CANCEL: u32 = 0x8;

const DEFAULT_WINDOW: i64 = 65_535;
const MAX_FRAME_BYTES: usize = 16_384;

/// What the server sent on a stream; on stream 0, [`Event::GoAway`] alone.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A response, interim ones too, without its body; and whether it ended the stream.
    Head(HttpResponse, bool),
    /// Payload of one frame, and whether it ended the stream.
    Data(Vec<u8>, bool),
    Reset(u32),
    GoAway {
        last_stream: u32,
        code: u32,
    },
}

/// One frame with that payload.
pub(crate) fn raw_frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).expect("a short frame");
    let mut bytes = len.to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// One connection to the server.
pub(crate) struct Http2Client {
    client: Client,
    next_stream: u32,
    /// Whether windows are opened as DATA arrives.
    pub(crate) gives_back: bool,
    /// What was received and not asked for yet, with its stream.
    waiting: VecDeque<(u32, Event)>,
    /// Whose last frame has come.
    ended: HashSet<u32>,
    /// What the server may still send; 0 is the connection.
    receive_windows: HashMap<u32, i64>,
    initial_receive_window: i64,
    /// What may still be sent; 0 is the connection.
    send_windows: HashMap<u32, i64>,
    pub(crate) server_settings: HashMap<u16, u32>,
    ping_acks: u32,
    pings: u32,
    /// Payload of streams that was not asked for yet.
    unread: HashMap<u32, Vec<u8>>,
}

/// The connection.
impl Http2Client {
    /// Connects with prior knowledge (section 3.3).
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::over(Client::connect(address), &[])
    }

    pub(crate) fn connect_with(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        Self::over(Client::connect(address), settings)
    }

    /// Sends the preface with those settings, and reads that of the server.
    pub(crate) fn over(mut client: Client, settings: &[(u16, u32)]) -> Self {
        let mut payload = Vec::new();
        for (identifier, value) in [&[(HEADER_TABLE_SIZE, 0)], settings].concat() {
            payload.extend(identifier.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        let window = settings.iter().find(|(id, _)| *id == INITIAL_WINDOW_SIZE);
        let settings = raw_frame(SETTINGS, 0, 0, &payload);
        client.send_raw([PREFACE, &settings].concat());
        let mut this = Self {
            client,
            next_stream: 1,
            gives_back: true,
            waiting: VecDeque::new(),
            ended: HashSet::new(),
            receive_windows: [(0, DEFAULT_WINDOW)].into(),
            initial_receive_window: window.map_or(DEFAULT_WINDOW, |(_, bytes)| (*bytes).into()),
            send_windows: [(0, DEFAULT_WINDOW)].into(),
            server_settings: HashMap::new(),
            ping_acks: 0,
            pings: 0,
            unread: HashMap::new(),
        };
        while this.server_settings.is_empty() {
            assert!(this.receive(), "an EOF in place of SETTINGS");
        }
        this
    }

    /// The plain socket, whose bytes are the test's own from here on.
    pub(crate) fn into_client(self) -> Client {
        self.client
    }

    pub(crate) fn local_address(&self) -> SocketAddr {
        self.client.local_address()
    }

    pub(crate) fn send_raw(&mut self, bytes: impl AsRef<[u8]>) {
        self.client.send_raw(bytes);
    }

    pub(crate) fn send_frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.client
            .send_raw(raw_frame(kind, flags, stream, payload));
    }

    pub(crate) fn reset_stream(&mut self, stream: u32, code: u32) {
        self.send_frame(RST_STREAM, 0, stream, &code.to_be_bytes());
    }

    /// Opens the window of a stream, or that of the connection (0), by so many bytes.
    pub(crate) fn open_window(&mut self, stream: u32, bytes: u32) {
        *self.receive_window(stream) += i64::from(bytes);
        let update = raw_frame(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes());
        // A server that ended the connection needs none.
        self.client.try_send_raw(update);
    }

    /// Changes the windows of all streams, those that there are too (section 6.9.2).
    pub(crate) fn set_initial_window(&mut self, bytes: u32) {
        let change = i64::from(bytes) - self.initial_receive_window;
        self.initial_receive_window += change;
        for (stream, window) in &mut self.receive_windows {
            *window += if *stream == 0 { 0 } else { change };
        }
        let identifier = INITIAL_WINDOW_SIZE.to_be_bytes();
        let payload = [&identifier[..], &bytes.to_be_bytes()].concat();
        self.send_frame(SETTINGS, 0, 0, &payload);
    }

    fn receive_window(&mut self, stream: u32) -> &mut i64 {
        let initial = self.initial_receive_window;
        self.receive_windows.entry(stream).or_insert(initial)
    }

    /// What may be sent on a stream, or on all of them (0), before the server opens it again.
    pub(crate) fn send_window(&mut self, stream: u32) -> &mut i64 {
        let initial = self.server_settings.get(&INITIAL_WINDOW_SIZE);
        let initial = initial.map_or(DEFAULT_WINDOW, |bytes| (*bytes).into());
        self.send_windows.entry(stream).or_insert(initial)
    }

    /// Waits until the server has read all that was sent.
    pub(crate) fn sync(&mut self) {
        self.send_frame(PING, 0, 0, b"are ours");
        self.pings += 1;
        while self.ping_acks < self.pings {
            assert!(self.receive(), "an EOF in place of a PING");
        }
    }

    /// Receives one frame; `false` at an EOF.
    fn receive(&mut self) -> bool {
        let Some(head) = self.client.read_bytes_or_eof(9) else {
            return false;
        };
        let (kind, flags) = (head[3], head[4]);
        let stream = u32::from_be_bytes(head[5..].try_into().expect("four"));
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        assert!(len <= MAX_FRAME_BYTES, "a frame of {len} bytes");
        assert!(stream < self.next_stream, "a frame on idle stream {stream}");
        let payload = self.client.read_bytes(len);
        let word = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().expect("four"));
        match kind {
            DATA | HEADERS => {
                let is_last = flags & END_STREAM != 0;
                assert!(stream % 2 == 1, "stream {stream}");
                assert!(!self.ended.contains(&stream), "{stream} is at its end");
                if is_last {
                    self.ended.insert(stream);
                }
                let event = if kind == DATA {
                    self.count_data(stream, len, is_last);
                    Event::Data(payload, is_last)
                } else {
                    Event::Head(self.read_fields(stream, flags, payload), is_last)
                };
                self.waiting.push_back((stream, event));
            }
            RST_STREAM => {
                self.ended.insert(stream);
                self.waiting.push_back((stream, Event::Reset(word(0))));
            }
            SETTINGS if flags & ACK != 0 => assert_eq!(len, 0),
            SETTINGS => {
                for setting in payload.chunks(6) {
                    let identifier = u16::from_be_bytes(setting[..2].try_into().expect("two"));
                    let value = u32::from_be_bytes(setting[2..].try_into().expect("four"));
                    self.server_settings.insert(identifier, value);
                }
                self.send_frame(SETTINGS, ACK, 0, b"");
            }
            PING => {
                assert!(flags & ACK != 0 && payload == b"are ours");
                self.ping_acks += 1;
            }
            GOAWAY => {
                let (last_stream, code) = (word(0), word(4));
                let event = Event::GoAway { last_stream, code };
                self.waiting.push_back((0, event));
            }
            WINDOW_UPDATE => {
                assert!(word(0) > 0);
                *self.send_window(stream) += i64::from(word(0));
            }
            _ => panic!("a frame of type {kind} on stream {stream}"),
        }
        true
    }

    fn count_data(&mut self, stream: u32, len: usize, is_last: bool) {
        let bytes = u32::try_from(len).expect("a short frame");
        for id in [0, stream] {
            let window = self.receive_window(id);
            *window -= i64::from(bytes);
            assert!(*window >= 0 || len == 0, "window of {id}: {window}");
        }
        if self.gives_back && len > 0 {
            self.open_window(0, bytes);
            if !is_last {
                self.open_window(stream, bytes);
            }
        }
    }

    fn read_fields(&mut self, stream: u32, mut flags: u8, mut block: Vec<u8>) -> HttpResponse {
        while flags & END_HEADERS == 0 {
            let head = self.client.read_bytes(9);
            assert_eq!(
                (head[3], &head[5..]),
                (CONTINUATION, &stream.to_be_bytes()[..])
            );
            flags = head[4];
            let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            block.extend(self.client.read_bytes(len));
        }
        let mut fields = http2_fields::decode(&block);
        let (name, status) = fields.remove(0);
        assert_eq!(name, ":status");
        for (name, _) in &fields {
            let is_legal = |byte: u8| byte.is_ascii_lowercase() || b"-0123456789".contains(&byte);
            assert!(name.bytes().all(is_legal), "{name}");
            let of_connections = [
                "connection",
                "keep-alive",
                "proxy-connection",
                "transfer-encoding",
                "upgrade",
            ];
            assert!(!of_connections.contains(&&**name), "{name}");
        }
        HttpResponse {
            status: status.parse().expect("digits"),
            fields,
            body: Vec::new(),
        }
    }

    /// The next of what was sent on whatever stream.
    pub(crate) fn any(&mut self) -> (u32, Event) {
        while self.waiting.is_empty() {
            assert!(self.receive(), "an EOF in place of an event");
        }
        self.waiting.pop_front().expect("one was received")
    }

    /// The next of what was sent on that stream.
    pub(crate) fn event(&mut self, stream: u32) -> Event {
        loop {
            if let Some(event) = self.waiting_event(stream) {
                return event;
            }
            assert!(self.receive(), "an EOF with {:?}", self.waiting);
        }
    }

    fn waiting_event(&mut self, stream: u32) -> Option<Event> {
        let at = self.waiting.iter().position(|(of, _)| *of == stream)?;
        self.waiting.remove(at).map(|(_, event)| event)
    }

    /// What there is on that stream once the server read all that was sent.
    pub(crate) fn event_by_now(&mut self, stream: u32) -> Option<Event> {
        self.sync();
        self.waiting_event(stream)
    }

    /// Whether there is something then.
    pub(crate) fn has_event_by_now(&mut self, stream: u32) -> bool {
        self.sync();
        self.waiting.iter().any(|(of, _)| *of == stream)
    }

    /// GOAWAY with that code, however many streams it leaves. Its last stream.
    pub(crate) fn expect_go_away(&mut self, expected: u32) -> u32 {
        match self.event(0) {
            Event::GoAway { last_stream, code } if code == expected => last_stream,
            other => panic!("not GOAWAY with {expected} but {other:?}"),
        }
    }

    pub(crate) fn expect_reset(&mut self, stream: u32, expected: u32) {
        match self.event(stream) {
            Event::Reset(code) if code == expected => {}
            other => panic!("not a reset with {expected} but {other:?}"),
        }
    }

    /// Nothing follows but the end of the socket.
    pub(crate) fn expect_eof(&mut self) {
        while self.receive() {}
        assert!(self.waiting.is_empty(), "unread: {:?}", self.waiting);
    }

    /// As [`expect_eof`](Self::expect_eof), whatever follows before.
    pub(crate) fn read_to_eof(&mut self) -> Vec<(u32, Event)> {
        while self.receive() {}
        self.waiting.drain(..).collect()
    }

    /// No frame arrives for `time`.
    pub(crate) fn expect_silence(&mut self, time: Duration) {
        assert!(self.waiting.is_empty(), "unread: {:?}", self.waiting);
        self.client.expect_silence(time);
    }
}

/// Requests and answers.
impl Http2Client {
    /// Sends a field list on a stream of its own, whose number it returns.
    pub(crate) fn send_fields(&mut self, fields: &[(&str, &str)], is_last: bool) -> u32 {
        let stream = self.next_stream;
        self.next_stream += 2;
        let mut flags = if is_last { END_STREAM } else { 0 };
        let mut kind = HEADERS;
        let block = http2_fields::encode(fields);
        let mut fragments = block.chunks(MAX_FRAME_BYTES).peekable();
        while let Some(fragment) = fragments.next() {
            if fragments.peek().is_none() {
                flags |= END_HEADERS;
            }
            self.send_frame(kind, flags, stream, fragment);
            (kind, flags) = (CONTINUATION, 0);
        }
        stream
    }

    /// Sends a request for `path` on `localhost`, without a body or with one that is to follow.
    pub(crate) fn send_request(
        &mut self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        is_last: bool,
    ) -> u32 {
        let mut all = vec![
            (":method", method),
            (":scheme", "http"),
            (":authority", "localhost"),
            (":path", path),
        ];
        all.extend(fields);
        self.send_fields(&all, is_last)
    }

    /// Sends a GET.
    pub(crate) fn ask(&mut self, path: &str) -> u32 {
        self.send_request("GET", path, &[], true)
    }

    pub(crate) fn get(&mut self, path: &str) -> HttpResponse {
        self.request("GET", path, &[])
    }

    /// Sends a request without a body, and reads the answer.
    pub(crate) fn request(
        &mut self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
    ) -> HttpResponse {
        let stream = self.send_request(method, path, fields, true);
        self.read_response(stream)
    }

    pub(crate) fn post(&mut self, path: &str, body: impl AsRef<[u8]>) -> HttpResponse {
        let stream = self.send_request("POST", path, &[], false);
        self.send_data(stream, body.as_ref(), true);
        self.read_response(stream)
    }

    /// Sends payload as far as windows go, and waits for them else, unless the server ended the stream.
    pub(crate) fn send_data(&mut self, stream: u32, mut bytes: &[u8], is_last: bool) {
        loop {
            let room = (*self.send_window(stream)).min(*self.send_window(0));
            let room = usize::try_from(room).unwrap_or(0).min(MAX_FRAME_BYTES);
            if room == 0 && !bytes.is_empty() {
                // It may have been answered already.
                if self.ended.contains(&stream) {
                    return;
                }
                assert!(self.receive(), "an EOF in place of a window");
                continue;
            }
            let (piece, rest) = bytes.split_at(room.min(bytes.len()));
            bytes = rest;
            self.send_piece(stream, piece, is_last && bytes.is_empty());
            if bytes.is_empty() {
                return;
            }
        }
    }

    /// Sends one DATA frame, whatever windows say.
    pub(crate) fn send_piece(&mut self, stream: u32, bytes: &[u8], is_last: bool) {
        let len = i64::try_from(bytes.len()).expect("a short frame");
        *self.send_window(stream) -= len;
        *self.send_window(0) -= len;
        self.send_frame(DATA, if is_last { END_STREAM } else { 0 }, stream, bytes);
    }

    /// Sends a trailer section, which ends the stream (section 8.1).
    pub(crate) fn send_trailers(&mut self, stream: u32, fields: &[(&str, &str)]) {
        let block = http2_fields::encode(fields);
        self.send_frame(HEADERS, END_STREAM | END_HEADERS, stream, &block);
    }

    /// Sends one DATA frame with `padding` zeros behind it.
    pub(crate) fn send_padded(&mut self, stream: u32, bytes: &[u8], padding: u8) {
        let zeros = vec![0; padding.into()];
        let payload = [&[padding][..], bytes, &zeros].concat();
        let len = i64::try_from(payload.len()).expect("a short frame");
        *self.send_window(stream) -= len;
        *self.send_window(0) -= len;
        self.send_frame(DATA, PADDED, stream, &payload);
    }

    /// The head of a response, and whether it is all of it.
    pub(crate) fn read_head(&mut self, stream: u32) -> (HttpResponse, bool) {
        match self.event(stream) {
            Event::Head(response, is_last) => (response, is_last),
            other => panic!("not a head but {other:?}"),
        }
    }

    /// Payload of one DATA frame.
    pub(crate) fn read_data(&mut self, stream: u32) -> (Vec<u8>, bool) {
        match self.event(stream) {
            Event::Data(bytes, is_last) => (bytes, is_last),
            other => panic!("not DATA but {other:?}"),
        }
    }

    /// A whole response.
    pub(crate) fn read_response(&mut self, stream: u32) -> HttpResponse {
        let (mut response, mut is_last) = self.read_head(stream);
        assert!(response.status >= 200, "{response:?}");
        if !is_last {
            while !is_last {
                let (bytes, was_last) = self.read_data(stream);
                response.body.extend(bytes);
                is_last = was_last;
            }
            if let Some(len) = response.field("content-length") {
                assert_eq!(len, response.body.len().to_string());
            }
        }
        response
    }
}
