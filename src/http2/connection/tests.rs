//! Connections against bytes and simulated time: no socket, no sleep.

use super::*;
use crate::http::Version;
use std::io::IoSlice;
use std::time::Duration;

mod blocks;
mod deadlines;
mod flooding;
mod frames;
mod lifetimes;
mod splits;
mod windows;

const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const PRIORITY: u8 = 0x2;
const RST_STREAM: u8 = 0x3;
const SETTINGS: u8 = 0x4;
const PUSH_PROMISE: u8 = 0x5;
const PING: u8 = 0x6;
const GOAWAY: u8 = 0x7;
const WINDOW_UPDATE: u8 = 0x8;
const CONTINUATION: u8 = 0x9;

/// The flags of a request without a body: `END_STREAM` and `END_HEADERS`.
const WHOLE: u8 = 0x5;
/// Those of a request with a body.
const END_HEADERS: u8 = 0x4;
const END_STREAM: u8 = 0x1;
const PADDED: u8 = 0x8;

/// A field of a block: the one that was added to the dynamic table last (RFC 7541 section 6.1).
const NEWEST_ENTRY: u8 = 0xBE;

/// What the loop is told, in its own memory.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    /// Stream, method and target, and whether that is all.
    Request(u32, String, bool),
    Data(u32, Vec<u8>, bool),
    Reset(u32),
    Unblocked(u32),
    AllUnblocked,
    Over(ErrorCode),
}

/// A frame of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sent {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// The slot that tests give to a stream.
const fn slot(stream: u32) -> u32 {
    1000 + stream
}

/// A connection under test, its output and its clock.
struct Peer {
    connection: Http2Connection,
    config: Config,
    output: Output,
    now: Moment,
    spare: Option<Box<Request>>,
    /// The last request.
    request: Option<NewRequest>,
}

/// The carrier's own slot.
const CARRIER: u32 = 0;

impl Peer {
    /// Nothing has come, and nothing was sent.
    fn silent() -> Self {
        let mut output = Output::new();
        output.open(CARRIER);
        Self {
            connection: Http2Connection::new(ConnectionInfo::for_test(), Moment::START),
            config: Config::default(),
            output,
            now: Moment::START,
            spare: None,
            request: None,
        }
    }

    /// Both prefaces were exchanged.
    fn new() -> Self {
        Self::with(Config::default())
    }

    fn with(config: Config) -> Self {
        let mut peer = Self::silent();
        peer.config = config;
        peer.call(Http2Connection::greet);
        assert_eq!(peer.send([&PREFACE[..], &settings(&[])].concat()), []);
        peer.sent();
        peer
    }

    /// Calls the connection with what it needs.
    fn call<T>(&mut self, call: impl FnOnce(&mut Http2Connection, &mut Carrying<'_>) -> T) -> T {
        let mut cx = Carrying {
            config: &self.config,
            output: &mut self.output,
            slot: CARRIER,
            now: self.now,
            spare: &mut self.spare,
        };
        call(&mut self.connection, &mut cx)
    }

    /// Reads `bytes` at once. Requests are opened in the [`slot`] of their stream.
    fn send(&mut self, bytes: impl AsRef<[u8]>) -> Vec<Seen> {
        let mut bytes = bytes.as_ref().to_vec();
        let mut input = Input::new(&mut bytes);
        let mut seen = Vec::new();
        loop {
            seen.push(
                match self.call(|connection, cx| connection.next(&mut input, cx)) {
                    Step::NeedInput => break,
                    Step::Request(new) => {
                        let stream = new.stream.get();
                        self.connection.open(new.stream, slot(stream));
                        let line = format!("{} {}", new.request.method(), new.request.target());
                        let is_last = new.is_last;
                        self.request = Some(new);
                        Seen::Request(stream, line, is_last)
                    }
                    Step::Data {
                        slot,
                        bytes,
                        is_last,
                    } => Seen::Data(slot, bytes.to_vec(), is_last),
                    Step::Reset { slot } => Seen::Reset(slot),
                    Step::Unblocked { slot } => Seen::Unblocked(slot),
                    Step::AllUnblocked => Seen::AllUnblocked,
                    Step::Over { error, reason } => {
                        assert!(!reason.is_empty());
                        Seen::Over(error)
                    }
                },
            );
        }
        assert!(input.is_empty(), "all input is taken");
        seen
    }

    /// The frames that were queued, which are written now.
    fn sent(&mut self) -> Vec<Sent> {
        let bytes = self.sent_bytes();
        let (mut sent, mut rest) = (Vec::new(), &bytes[..]);
        while let [a, b, c, kind, flags, d, e, f, g, behind @ ..] = rest {
            let len = u32::from_be_bytes([0, *a, *b, *c]) as usize;
            sent.push(Sent {
                kind: *kind,
                flags: *flags,
                stream: u32::from_be_bytes([*d, *e, *f, *g]),
                payload: behind[..len].to_vec(),
            });
            rest = &behind[len..];
        }
        assert_eq!(rest, b"", "whole frames");
        sent
    }

    fn sent_bytes(&mut self) -> Vec<u8> {
        let mut sent = Vec::new();
        loop {
            let mut slices = [IoSlice::new(&[]); 8];
            let gathered = self.output.gather(CARRIER, &mut slices);
            if gathered.bytes == 0 {
                return sent;
            }
            slices[..gathered.slices]
                .iter()
                .for_each(|slice| sent.extend_from_slice(slice));
            self.output.advance(CARRIER, gathered.bytes);
        }
    }

    /// Reads `bytes`, which break a rule of the connection; the code that it ends with.
    fn fails_with(&mut self, bytes: impl AsRef<[u8]>) -> u32 {
        let seen = self.send(bytes);
        let Some(Seen::Over(code)) = seen.last() else {
            panic!("no connection error but {seen:?}");
        };
        let sent = self.sent();
        let last = sent.last().expect("GOAWAY is sent");
        assert_eq!((last.kind, last.stream), (GOAWAY, 0));
        assert_eq!(last.payload[4..8], code.get().to_be_bytes());
        assert!(self.connection.is_over());
        // Nothing behind it is looked at.
        assert_eq!(self.send(get(99)), []);
        assert_eq!(self.sent(), []);
        code.get()
    }

    /// The streams that were reset since the last look, and the codes.
    fn resets(&mut self) -> Vec<(u32, u32)> {
        let sent = self.sent().into_iter();
        sent.filter(|sent| sent.kind == RST_STREAM)
            .map(|sent| (sent.stream, number(&sent.payload)))
            .collect()
    }

    fn id(number: u32) -> StreamId {
        StreamId::new(number)
    }

    /// A response is sent as a whole.
    fn answer(&mut self, stream: u32) {
        self.connection.end_local(Self::id(stream));
        self.connection.drained(self.now);
    }

    fn reset(&mut self, stream: u32, code: ErrorCode) {
        self.call(|connection, cx| connection.reset(Self::id(stream), code, cx));
    }

    fn wait(&mut self, seconds: f64) {
        self.now += Duration::from_secs_f64(seconds);
    }
}

/// The number in a payload of four bytes.
fn number(payload: &[u8]) -> u32 {
    u32::from_be_bytes(payload.try_into().expect("four bytes"))
}

/// A frame of the client, made without the code under test.
fn frame(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

fn settings(settings: &[(u16, u32)]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (identifier, value) in settings {
        payload.extend_from_slice(&identifier.to_be_bytes());
        payload.extend_from_slice(&value.to_be_bytes());
    }
    frame(SETTINGS, 0, 0, payload)
}

fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, increment.to_be_bytes())
}

/// A field block: literals without indexing and without Huffman coding.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            let len = u8::try_from(text.len()).expect("short");
            assert!(len < 127, "one byte says how long it is");
            block.push(len);
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// `GET /`.
fn get_block() -> Vec<u8> {
    block(&[
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "a"),
    ])
}

/// `POST /` with more fields.
fn post_block(fields: &[(&str, &str)]) -> Vec<u8> {
    let first = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "a"),
    ];
    block(&[&first[..], fields].concat())
}

fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, WHOLE, stream, get_block())
}

/// A request whose body is to follow.
fn post(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, post_block(&[]))
}

fn seen_get(stream: u32) -> Seen {
    Seen::Request(stream, "GET /".to_owned(), true)
}

fn seen_post(stream: u32) -> Seen {
    Seen::Request(stream, "POST /".to_owned(), false)
}

/// RFC 9113 section 3.4.
#[test]
fn we_greet_with_settings_and_the_window_of_the_connection() {
    let mut peer = Peer::silent();
    peer.config.http2_stream_window_bytes = 100_000;
    peer.call(Http2Connection::greet);
    let sent = peer.sent();
    let setting = |identifier: u16, value: u32| {
        [&identifier.to_be_bytes()[..], &value.to_be_bytes()].concat()
    };
    let expected = [
        setting(0x3, 100),
        setting(0x4, 100_000),
        setting(0x6, 16 * 1024),
        setting(0x8, 1),
    ];
    assert_eq!(sent.len(), 2);
    assert_eq!((sent[0].kind, sent[0].flags, sent[0].stream), (4, 0, 0));
    assert_eq!(sent[0].payload, expected.concat());
    assert_eq!((sent[1].kind, sent[1].stream), (WINDOW_UPDATE, 0));
    assert_eq!(number(&sent[1].payload), 1024 * 1024 - 65_535);
}

/// RFC 9113 section 3.4.
#[test]
fn the_preface_is_24_bytes_and_settings() {
    for wrong in 0..PREFACE.len() {
        let mut bytes = *PREFACE;
        bytes[wrong] ^= 0x20;
        assert_eq!(Peer::silent().fails_with(bytes), 0x1, "byte {wrong}");
        assert_eq!(Peer::silent().fails_with(&bytes[..=wrong]), 0x1);
    }
    let behind = |frame: Vec<u8>| Peer::silent().fails_with([&PREFACE[..], &frame].concat());
    assert_eq!(behind(get(1)), 0x1);
    assert_eq!(behind(frame(PING, 0, 0, [0; 8])), 0x1);
    assert_eq!(behind(frame(SETTINGS, 0x1, 0, [])), 0x1, "an answer");
    assert_eq!(behind(frame(0xFA, 0, 0, [])), 0x1, "an unknown type");

    let mut peer = Peer::silent();
    assert_eq!(peer.send(PREFACE), []);
    assert_eq!(peer.send(settings(&[])), []);
    let sent = peer.sent();
    assert_eq!((sent.len(), sent[0].kind, sent[0].flags), (1, SETTINGS, 1));
    assert_eq!(peer.send(get(1)), [seen_get(1)]);
}

/// RFC 9113 section 3.3: with prior knowledge, the HTTP/1 parser read its first line.
#[test]
fn a_begun_preface_lacks_its_second_part() {
    let begun = || {
        let mut peer = Peer::silent();
        peer.connection = Http2Connection::begun(ConnectionInfo::for_test(), peer.now);
        peer
    };
    let mut peer = begun();
    assert_eq!(peer.send("SM\r"), []);
    assert_eq!(
        peer.send([b"\n\r\n", &settings(&[])[..], &get(1)].concat()),
        [seen_get(1)]
    );
    assert_eq!(begun().fails_with("SM\r\n\n"), 0x1);
    assert_eq!(begun().fails_with("PRI"), 0x1);
}

#[test]
fn a_request_comes_with_what_the_connection_knows() {
    let mut peer = Peer::new();
    let fields = [("content-length", "5"), ("expect", "100-continue")];
    let headers = frame(HEADERS, END_HEADERS, 1, post_block(&fields));
    assert_eq!(peer.send(headers), [seen_post(1)]);
    let new = peer.request.take().unwrap();
    assert_eq!(new.request.version(), Version::HTTP_2);
    assert_eq!(new.request.host(), Some("a"));
    assert_eq!(*new.request.connection(), ConnectionInfo::for_test());
    assert!(new.request.has_body() && new.expects_continue && !new.is_last);
    assert_eq!((new.content_length, new.refused), (Some(5), None));
    assert_eq!(
        peer.send(frame(DATA, END_STREAM, 1, "hello")),
        [Seen::Data(slot(1), b"hello".to_vec(), true)]
    );
    peer.answer(1);
    // The next one is made of it.
    peer.spare = new.request.into_spare();
    assert_eq!(peer.send(get(3)), [seen_get(3)]);
    assert!(peer.spare.is_none());
}

#[test]
fn what_an_idle_connection_holds_is_small() {
    let mut peer = Peer::new();
    for stream in 0..200 {
        assert_eq!(peer.send(post(2 * stream + 1)).len(), 1);
        peer.reset(2 * stream + 1, ErrorCode::CANCEL);
    }
    for stream in 200..300 {
        assert_eq!(peer.send(get(2 * stream + 1)).len(), 1);
    }
    assert!(peer.connection.memory_bytes() > 3200);
    for stream in 200..300 {
        peer.answer(2 * stream + 1);
    }
    // Numbers of streams that were reset are left.
    assert!(peer.connection.memory_bytes() <= 512);

    let mut peer = Peer::new();
    assert_eq!(peer.send(get(1)), [seen_get(1)]);
    peer.answer(1);
    assert!(peer.connection.is_idle());
    assert!(peer.connection.memory_bytes() <= 4 * 32);
    assert!(size_of::<Http2Connection>() <= 512);
}
