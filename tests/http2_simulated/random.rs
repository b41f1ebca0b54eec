//! Many connections that do by chance what clients do, well or badly, over networks that take little:
//! whatever they do, each stream has the right bytes and ends as it should, and nothing is left.

use super::{
    DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, frame, message, open_window, request, settle, start_with, websocket_request,
};
use aerys::internals::{Peer, Simulation};
use aerys::{
    BodyFlow, BodyHandler, ClientId, CloseCode, Config, Endpoint, Message, Request, Response,
    ResponseStream, Router, StaticFiles, WebSocketConfig, WebSocketHandler, respond, upload,
    websocket,
};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

/// How many times it is played.
const SEEDS: u64 = 16;

/// Numbers that look like chance, the same in each run.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.next() >> 16).expect("64 bits") % most.max(1)
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    /// Often little, seldom much.
    fn len(&mut self, most: usize) -> usize {
        let most = match self.below(4) {
            0 => 20,
            1 => 1000,
            2 => 20_000,
            _ => most,
        };
        self.below(most)
    }
}

/// What each stream is to be sent, by its key: that is in the query of its request.
type Expected = Rc<RefCell<HashMap<u32, Vec<u8>>>>;

/// What the application knows.
#[derive(Clone, Default)]
struct Known {
    expected: Expected,
    streams: Rc<RefCell<HashMap<u32, ResponseStream>>>,
    flows: Rc<RefCell<Vec<BodyFlow>>>,
    opened: Rc<RefCell<usize>>,
    closed: Rc<RefCell<usize>>,
    /// Those that were begun, and the keys of those that were closed.
    all_streams: Rc<RefCell<Vec<ResponseStream>>>,
    streams_closed: Rc<RefCell<Vec<u32>>>,
    begun: Rc<RefCell<usize>>,
    ended: Rc<RefCell<usize>>,
    aborted: Rc<RefCell<usize>>,
    /// The server stops, or clients are slow: not everything is answered.
    is_lenient: Rc<RefCell<bool>>,
}

impl Known {
    fn expect(&self, key: u32, bytes: &[u8]) {
        let mut expected = self.expected.borrow_mut();
        expected.entry(key).or_default().extend_from_slice(bytes);
    }
}

fn number(request: &Request, name: &str) -> u32 {
    let value = request.param(name).expect("it is in the query");
    value.parse().expect("a number")
}

fn pattern(key: u32, len: usize) -> Vec<u8> {
    let mut chance = Chance(u64::from(key) + 1);
    (0..len).map(|_| chance.next().to_be_bytes()[3]).collect()
}

/// What a body is answered: how long it was, and whether it was right.
fn verdict(key: u32, body: &[u8]) -> String {
    let is_right = body == pattern(key, body.len());
    format!("{} bytes, right: {is_right}", body.len())
}

/// A folder with a file that is longer than what is kept in memory; gone with this.
struct Folder(PathBuf);

const FILE_LEN: usize = 600_000;

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("aerys-http2-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a folder");
        fs::write(path.join("file"), pattern(0, FILE_LEN)).expect("a file");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

struct Pieces {
    key: u32,
    known: Known,
    body: Vec<u8>,
    chance: Chance,
    flow: BodyFlow,
}

impl BodyHandler for Pieces {
    fn on_data(&mut self, bytes: &[u8], _: &mut Response) {
        self.body.extend_from_slice(bytes);
        if self.chance.one_in(4) {
            self.flow.pause();
            self.known.flows.borrow_mut().push(self.flow.clone());
        }
    }

    fn on_end(self: Box<Self>, _: &mut Request, response: &mut Response) {
        *self.known.ended.borrow_mut() += 1;
        response.end(verdict(self.key, &self.body));
    }

    fn on_abort(self: Box<Self>) {
        *self.known.aborted.borrow_mut() += 1;
    }
}

/// Echoes, or sends to all: by the first byte.
struct Chat {
    ws: Endpoint,
    known: Known,
    keys: BTreeMap<ClientId, u32>,
}

impl WebSocketHandler for Chat {
    type HandshakeData = u32;

    fn on_handshake(&mut self, request: &Request, _: &mut Response) -> Option<u32> {
        Some(number(request, "key"))
    }

    fn on_open(&mut self, client: ClientId, key: u32) {
        *self.known.opened.borrow_mut() += 1;
        self.known.expect(key, b"");
        assert!(self.keys.insert(client, key).is_none());
    }

    fn on_data(&mut self, client: ClientId, message: Message<'_>) {
        let payload = message.as_bytes();
        let sent = server_frame(0x82, payload);
        if payload.first() == Some(&b'a') {
            self.ws.send(aerys::Everyone, payload);
            for key in self.keys.values() {
                self.known.expect(*key, &sent);
            }
        } else {
            self.ws.send(client, payload);
            self.known.expect(self.keys[&client], &sent);
        }
    }

    fn on_close(&mut self, client: ClientId, _: CloseCode, _: &str) {
        *self.known.closed.borrow_mut() += 1;
        assert!(self.keys.remove(&client).is_some(), "closed twice");
    }
}

fn server_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match u8::try_from(payload.len()) {
        Ok(len) if len < 126 => frame.push(len),
        _ => {
            frame.push(126);
            let len = u16::try_from(payload.len()).expect("a short message");
            frame.extend(len.to_be_bytes());
        }
    }
    frame.extend(payload);
    frame
}

fn start(known: &Known, folder: &Folder, is_slow: bool, chance: &mut Chance) -> Simulation {
    let whole = {
        let known = known.clone();
        move |request: &mut Request, response: &mut Response| {
            let key = number(request, "key");
            let len = number(request, "len") as usize;
            let body = pattern(key, len);
            known.expect(key, &body);
            response.end(body);
        }
    };
    let pieces = {
        let known = known.clone();
        respond(move |request: &mut Request, response: &mut Response| {
            let key = number(request, "key");
            let stream = response.stream();
            let closed = Rc::clone(&known.streams_closed);
            stream.on_close(move || closed.borrow_mut().push(key));
            known.expect(key, b"");
            known.all_streams.borrow_mut().push(stream.clone());
            known.streams.borrow_mut().insert(key, stream);
        })
    };
    let post = |request: &mut Request, response: &mut Response| {
        let key = number(request, "key");
        let verdict = verdict(key, request.body());
        response.end(verdict);
    };
    let take = {
        let known = known.clone();
        upload(move |request, _| {
            *known.begun.borrow_mut() += 1;
            let key = number(request, "key");
            Some(Pieces {
                key,
                known: known.clone(),
                body: Vec::new(),
                chance: Chance(u64::from(key) + 99),
                flow: request.body_flow().expect("it has a body"),
            })
        })
    };
    let chat = {
        let known = RefCell::new(Some(known.clone()));
        let options = WebSocketConfig {
            heartbeat: is_slow.then_some(Duration::from_secs(10)),
            soft_backlog_bytes: 1 << chance.below(20),
            hard_backlog_bytes: 1 << 30,
            max_frames_per_second: chance.one_in(2).then_some(1000),
            ..WebSocketConfig::default()
        };
        let make = move |ws| Chat {
            ws,
            known: known.take().expect("once"),
            keys: BTreeMap::new(),
        };
        websocket(make).config(options)
    };
    let router = Router::new()
        .get("/whole", whole)
        .get("/pieces", pieces)
        .get("/file", StaticFiles::new(&folder.0).expect("a folder"))
        .post("/whole", post)
        .post("/pieces", take)
        .get("/chat", chat);
    let config = Config {
        soft_backlog_bytes: 1 << chance.below(20),
        body_grace: Duration::from_secs(if is_slow { 30 } else { 3600 }),
        max_body_bytes: 1 << 30,
        ..Config::default()
    };
    start_with(router, config)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
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
struct Stream {
    key: u32,
    kind: Kind,
    /// What may be sent.
    window: usize,
    /// What the server may send at most.
    allowed: u64,
    sent: usize,
    received: Vec<u8>,
    has_head: bool,
    is_refused: bool,
    is_closing: bool,
    /// We ended it.
    has_ended: bool,
    is_over: bool,
}

struct Connection {
    peer: Peer,
    /// What is to be sent, whenever it is.
    unsent: Vec<u8>,
    /// What came and is no whole frame.
    partial: Vec<u8>,
    streams: BTreeMap<u32, Stream>,
    next_stream: u32,
    window: usize,
    allowed: u64,
    initial_window: u32,
    /// It sends no more, or opens no more streams.
    has_ended: bool,
    is_leaving: bool,
}

impl Connection {
    fn connect(server: &mut Simulation) -> Self {
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
    fn read(&mut self, server: &mut Simulation, known: &Known) {
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

    fn open(&mut self, known: &Known, key: u32, chance: &mut Chance) {
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

    fn send_payload(&mut self, chance: &mut Chance) {
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

    fn open_windows(&mut self, chance: &mut Chance) {
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

    fn reset(&mut self, chance: &mut Chance) {
        if let Some(id) = self.pick(chance, |it| !it.is_over) {
            self.unsent.extend(frame(RST_STREAM, 0, id, &[0, 0, 0, 8]));
            self.streams.get_mut(&id).expect("picked").is_over = true;
        }
    }

    /// What is left to do, so that all can be complete.
    fn finish(&mut self) {
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

/// What happens next to a connection.
fn step(
    connection: &mut Connection,
    server: &mut Simulation,
    known: &Known,
    key: u32,
    chance: &mut Chance,
) {
    match chance.below(16) {
        0..=2 => connection.open(known, key, chance),
        3..=6 => connection.send_payload(chance),
        7 | 8 => connection.open_windows(chance),
        9 if chance.one_in(4) => {
            let bytes = u32::try_from(chance.len(100_000)).expect("few");
            connection.set_initial_window(bytes);
        }
        10 if chance.one_in(2) => connection.reset(chance),
        11 => {
            let room = if chance.one_in(3) {
                u64::MAX
            } else {
                chance.len(50_000) as u64
            };
            server.set_room(connection.peer, room);
        }
        12 => connection.unsent.extend(frame(PING, 0, 0, &[7; 8])),
        13 if chance.one_in(60) => {
            connection.is_leaving = true;
            connection.unsent.extend(frame(GOAWAY, 0, 0, &[0; 8]));
        }
        14 if chance.one_in(60) => {
            (connection.is_leaving, connection.has_ended) = (true, true);
            server.end(connection.peer);
        }
        _ => send_piece(known, server, chance),
    }
    let most = connection.unsent.len();
    let len = if chance.one_in(2) {
        most
    } else {
        chance.below(most + 1)
    };
    let bytes: Vec<u8> = connection.unsent.drain(..len).collect();
    server.send(connection.peer, &bytes);
}

/// Sends a piece of some response, or ends it; or lets some body go on.
fn send_piece(known: &Known, server: &mut Simulation, chance: &mut Chance) {
    let stream = {
        let streams = known.streams.borrow();
        let keys: Vec<u32> = streams.keys().copied().collect();
        let mut keys = keys;
        keys.sort_unstable();
        keys.get(chance.below(keys.len()))
            .map(|key| (*key, streams[key].clone()))
    };
    if let Some((key, stream)) = stream {
        let piece = pattern(key, chance.len(30_000));
        if stream.send(&piece).is_ok() {
            known.expect(key, &piece);
        }
        if chance.one_in(8) {
            stream.end();
            known.streams.borrow_mut().remove(&key);
        }
    }
    let flow = known.flows.borrow_mut().pop();
    if let Some(flow) = flow {
        flow.resume();
        server.wake();
    }
}

fn play(seed: u64, folder: &Folder, is_slow: bool) {
    let mut chance = Chance(seed * 0x9E37_79B9 + 1);
    let known = Known::default();
    let mut server = start(&known, folder, is_slow, &mut chance);
    *known.is_lenient.borrow_mut() = is_slow;
    let count = 1 + chance.below(4);
    let mut connections: Vec<Connection> = (0..count)
        .map(|_| Connection::connect(&mut server))
        .collect();
    let stop = chance.one_in(4).then(|| chance.below(1500));
    for key in 0..1500 {
        if stop == Some(key as usize) {
            *known.is_lenient.borrow_mut() = true;
            server.stop();
        }
        let index = chance.below(count);
        let connection = &mut connections[index];
        step(connection, &mut server, &known, key, &mut chance);
        if chance.one_in(3) {
            server.turn().expect("it lives");
        }
        if chance.one_in(10) {
            let most = if is_slow && chance.one_in(4) {
                20_000
            } else {
                5
            };
            server.advance(Duration::from_millis(1 + chance.next() % most));
            settle(&mut server);
        }
        for connection in &mut connections {
            connection.read(&mut server, &known);
        }
    }
    for (_, stream) in known.streams.borrow_mut().drain() {
        stream.end();
    }
    // What waits for room, for a rate or for a window goes on, and what that lets go on.
    for round in 0..100 {
        for flow in known.flows.borrow_mut().drain(..) {
            flow.resume();
        }
        server.wake();
        for connection in &mut connections {
            if round == 3 && !connection.has_ended {
                connection.finish();
            }
            let bytes = std::mem::take(&mut connection.unsent);
            server.send(connection.peer, &bytes);
            server.set_room(connection.peer, u64::MAX);
        }
        server.advance(Duration::from_millis(100));
        settle(&mut server);
        for connection in &mut connections {
            connection.read(&mut server, &known);
        }
        for (_, stream) in known.streams.borrow_mut().drain() {
            stream.end();
        }
    }
    let is_lenient = *known.is_lenient.borrow();
    let is_stopping = stop.is_some();
    for connection in &connections {
        for (id, stream) in &connection.streams {
            let is_done = stream.is_over || connection.has_ended || is_lenient;
            assert!(
                is_done,
                "stream {id}, {:?}: {}",
                stream.kind,
                stream.received.len()
            );
        }
    }
    if !is_stopping {
        for connection in &connections {
            server.end(connection.peer);
        }
    }
    server.advance(Duration::from_secs(3));
    settle(&mut server);
    server.turn().expect("it lives");
    assert_eq!(server.client_count(), 0);
    assert_eq!(*known.opened.borrow(), *known.closed.borrow());
    let streams = known.all_streams.borrow();
    assert!(streams.iter().all(|stream| !stream.is_open()));
    let mut closed = known.streams_closed.take();
    closed.sort_unstable();
    assert!(closed.is_sorted_by(|a, b| a < b), "closed twice");
    let finished = *known.ended.borrow() + *known.aborted.borrow();
    assert_eq!(*known.begun.borrow(), finished);
}

fn play_all(name: &str, is_slow: bool) {
    let folder = Folder::new(name);
    for seed in 0..SEEDS {
        let played = std::panic::catch_unwind(|| play(seed, &folder, is_slow));
        assert!(played.is_ok(), "seed {seed}");
    }
}

#[test]
fn whatever_clients_do_each_stream_has_its_bytes_and_nothing_is_left() {
    play_all("right", false);
}

#[test]
fn however_slow_clients_are_no_stream_has_wrong_bytes_and_nothing_is_left() {
    play_all("slow", true);
}
