//! What is served, and what is known of it.

use super::Chance;
use crate::start_with;
use aerys::internals::Simulation;
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

/// What each stream is to be sent, by its key: that is in the query of its request.
type Expected = Rc<RefCell<HashMap<u32, Vec<u8>>>>;

/// What the application knows.
#[derive(Clone, Default)]
pub(super) struct Known {
    pub(super) expected: Expected,
    pub(super) streams: Rc<RefCell<HashMap<u32, ResponseStream>>>,
    pub(super) flows: Rc<RefCell<Vec<BodyFlow>>>,
    pub(super) opened: Rc<RefCell<usize>>,
    pub(super) closed: Rc<RefCell<usize>>,
    /// Those that were begun, and the keys of those that were closed.
    pub(super) all_streams: Rc<RefCell<Vec<ResponseStream>>>,
    pub(super) streams_closed: Rc<RefCell<Vec<u32>>>,
    pub(super) begun: Rc<RefCell<usize>>,
    pub(super) ended: Rc<RefCell<usize>>,
    pub(super) aborted: Rc<RefCell<usize>>,
    /// The server stops, or clients are slow: not everything is answered.
    pub(super) is_lenient: Rc<RefCell<bool>>,
}

impl Known {
    pub(super) fn expect(&self, key: u32, bytes: &[u8]) {
        let mut expected = self.expected.borrow_mut();
        expected.entry(key).or_default().extend_from_slice(bytes);
    }
}

fn number(request: &Request, name: &str) -> u32 {
    let value = request.param(name).expect("it is in the query");
    value.parse().expect("a number")
}

pub(super) fn pattern(key: u32, len: usize) -> Vec<u8> {
    let mut chance = Chance(u64::from(key) + 1);
    (0..len).map(|_| chance.next().to_be_bytes()[3]).collect()
}

/// What a body is answered: how long it was, and whether it was right.
fn verdict(key: u32, body: &[u8]) -> String {
    let is_right = body == pattern(key, body.len());
    format!("{} bytes, right: {is_right}", body.len())
}

/// A folder with a file that is longer than what is kept in memory; gone with this.
pub(super) struct Folder(PathBuf);

pub(super) const FILE_LEN: usize = 600_000;

impl Folder {
    pub(super) fn new(name: &str) -> Self {
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

pub(super) fn start(
    known: &Known,
    folder: &Folder,
    is_slow: bool,
    chance: &mut Chance,
) -> Simulation {
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
