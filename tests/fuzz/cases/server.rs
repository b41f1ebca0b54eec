//! The whole server, on simulated sockets: what its clients send in one piece and what they send byte
//! by byte come to the same, for each of them, whatever they speak.
//!
//! The input is a script of what the clients do one after the other.

use crate::http2_output::{Http2Output, PREFACE, says_goaway};
use crate::wire::{Choices, files, send, settle};
use aerys::internals::{Peer, Simulation};
use aerys::{
    BodyHandler, ClientId, CloseCode, Compression, Config, Endpoint, Host, Message, Request,
    Response, ResponseStream, Router, Server, StaticFiles, WebSocketConfig, WebSocketHandler,
    respond, upload, websocket,
};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

const CLIENT_COUNT: usize = 3;
/// Steps of a script: the fuzzer finds long ones otherwise, and nothing in them.
const MAX_STEPS: usize = 60;

/// What is often sent, so that it need not be guessed.
const PHRASES: [&[u8]; 16] = [
    b"GET /letters.txt HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /echo HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
      Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    b"GET /broadcast HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
      Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    b"GET /compressed HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
      Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
      Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
    b"POST /form HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n\
      Content-Length: 11\r\n\r\na=1&b=%20+c",
    b"PUT /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
    // GET /stream, PUT /upload and an extended CONNECT to /broadcast, on streams 1, 3 and 5.
    b"\0\0\x0e\x01\x05\0\0\0\x01\x82\x86\x04\x07/stream\x01\x01a",
    b"\0\0\x12\x01\x04\0\0\0\x03\x02\x03PUT\x86\x04\x07/upload\x01\x01a\0\0\x05\0\x01\0\0\0\x03hello",
    b"\0\0\x48\x01\x04\0\0\0\x05\x02\x07CONNECT\x86\x04\x0a/broadcast\x01\x01a\
      \0\x09:protocol\x09websocket\0\x15sec-websocket-version\x0213",
    // "Hello", a ping, a Close, and a fragmented message with a ping in it; the mask is 0.
    b"\x81\x85\0\0\0\0Hello",
    b"\x89\x84\0\0\0\0ping",
    b"\x88\x82\0\0\0\0\x03\xe8",
    b"\x01\x83\0\0\0\0fr\xc3\x89\x80\0\0\0\0\x80\x81\0\0\0\0\xbc",
    b"\xc1\x87\0\0\0\0\xf2H\xcd\xc9\xc9\x07\0",
];

/// What one client sent and was sent.
#[derive(Debug, Default)]
struct Outcome {
    sent: Vec<u8>,
    output: Vec<u8>,
    is_closed: bool,
}

/// What the application was told.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    /// Of each WebSocket, in the order in which they were opened.
    clients: Vec<Vec<String>>,
    /// Of uploads that were not whole.
    aborted: Vec<usize>,
}

type Calls = Rc<RefCell<Told>>;

pub(crate) fn run(script: &[u8]) {
    let whole = play(script, usize::MAX);
    let piece_len = script
        .last()
        .map_or(1, |last| [1, 2, 7, 40][usize::from(last % 4)]);
    let pieces = play(script, piece_len);
    if whole.has_full_sockets {
        // What waits where, and so what is held back, is a matter of turns.
        return;
    }
    assert_eq!(whole.calls, pieces.calls);
    for (whole, pieces) in whole.clients.iter().zip(&pieces.clients) {
        if let Some(frames) = whole.sent.strip_prefix(PREFACE) {
            let read = |client: &Outcome| Http2Output::read(&client.output, client.is_closed);
            read(whole).assert_like(&read(pieces), says_goaway(frames));
        } else {
            let outputs = [whole, pieces].map(|client| without_interim(&client.output));
            assert_eq!(outputs[0], outputs[1]);
            assert_eq!(whole.is_closed, pieces.is_closed);
        }
    }
}

/// Whether a body is asked for with a 100 is a matter of turns too: not if it is there already.
fn without_interim(output: &[u8]) -> String {
    let output = output.escape_ascii().to_string();
    output.replace("HTTP/1.1 100 Continue\\r\\n\\r\\n", "")
}

/// What came of a script.
struct Played {
    clients: Vec<Outcome>,
    calls: Told,
    has_full_sockets: bool,
}

/// Plays a script with everything in pieces of that length.
fn play(script: &[u8], piece_len: usize) -> Played {
    let calls = Calls::default();
    let mut server = start(&calls);
    let mut has_full_sockets = false;
    let peers: Vec<Peer> = (0..CLIENT_COUNT).map(|_| server.connect(true)).collect();
    settle(&mut server);
    let mut clients: Vec<Outcome> = peers.iter().map(|_| Outcome::default()).collect();
    let mut choices = Choices::new(script);
    for _ in 0..MAX_STEPS {
        if choices.is_empty() {
            break;
        }
        let (step, argument) = (choices.byte(), choices.byte());
        let number = usize::from(step >> 3) % CLIENT_COUNT;
        let peer = peers[number];
        let mut say = |bytes: &[u8]| {
            clients[number].sent.extend_from_slice(bytes);
            send(&mut server, peer, bytes, piece_len);
        };
        match step & 7 {
            0 => say(choices.bytes(argument.into())),
            1..4 => say(PHRASES[usize::from(argument) % PHRASES.len()]),
            4 => server.advance(Duration::from_millis(100) * argument.into()),
            5 => server.end(peer),
            6 => {
                has_full_sockets = true;
                let room = u64::from(argument) * 16;
                server.set_room(peer, if argument == u8::MAX { u64::MAX } else { room });
            }
            _ if argument == u8::MAX => server.stop(),
            _ => say(&choices.bytes(16).repeat(usize::from(argument % 32))),
        }
        settle(&mut server);
    }
    for (client, peer) in clients.iter_mut().zip(peers) {
        client.output = server.take_output(peer);
        client.is_closed = server.is_closed(peer);
    }
    // Until nobody waits for anything any more: all clients are gone, and everything of theirs.
    server.stop();
    settle(&mut server);
    server.advance(Duration::from_secs(100));
    settle(&mut server);
    assert_eq!(server.client_count(), 0);
    drop(server);
    Played {
        clients,
        calls: calls.take(),
        has_full_sockets,
    }
}

fn start(calls: &Calls) -> Simulation {
    let say = |calls: &Calls, mode| {
        let calls = Rc::clone(calls);
        websocket(move |ws| Says {
            ws,
            mode,
            calls,
            places: HashMap::new(),
        })
    };
    let compressed = WebSocketConfig {
        compression: Some(Compression {
            threshold_bytes: 4,
            ..Compression::default()
        }),
        max_message_bytes: 2000,
        ..WebSocketConfig::default()
    };
    let counter = Rc::clone(calls);
    let begin = move |_: &mut Request, _: &mut Response| {
        Some(Counts {
            len: 0,
            calls: Rc::clone(&counter),
        })
    };
    let router = Router::new()
        .get("/echo", say(calls, Mode::Echo))
        .get("/broadcast", say(calls, Mode::Broadcast))
        .get("/compressed", say(calls, Mode::Echo).config(compressed))
        .get("/stream", respond(stream))
        .post("/form", respond(repeat_form))
        .route("PUT", "/upload", upload(begin).max_bytes(1000))
        .get(
            "/{name}",
            respond(|request, response| {
                if let Some(name) = request.param("name") {
                    response.end(format!("{:?} {name:?}", request.capture("name")));
                }
            }),
        );
    let files = StaticFiles::new(files()).expect("they are there");
    let host = Host::new().listen("127.0.0.1:0").add(router).add(files);
    let config = Config {
        max_connections: Some(CLIENT_COUNT + 1),
        max_body_bytes: 500,
        ..Config::default()
    };
    Simulation::new(Server::new().config(config).host(host)).expect("it starts")
}

/// An answer that takes its time.
fn stream(_: &mut Request, response: &mut Response) {
    let stream = response.stream();
    let _ = stream.send("one");
    stream.after(Duration::from_secs(1), |stream| {
        let _ = stream.send("two");
        stream.after(Duration::from_secs(1), ResponseStream::end);
    });
}

/// The fields of a form, or what is wrong with it.
fn repeat_form(request: &mut Request, response: &mut Response) {
    match request.form() {
        Ok(form) => {
            let fields = form
                .fields()
                .iter()
                .map(|field| format!("{:?}\n", field.text()));
            response.end(fields.collect::<String>());
        }
        Err(error) => {
            response.set_status(error.status()).end(error.to_string());
        }
    }
}

/// An upload that is counted.
struct Counts {
    len: usize,
    calls: Calls,
}

impl BodyHandler for Counts {
    fn on_data(&mut self, bytes: &[u8], _: &mut Response) {
        self.len += bytes.len();
    }

    fn on_end(self: Box<Self>, _: &mut Request, response: &mut Response) {
        response.end(format!("{} bytes", self.len));
    }

    fn on_abort(self: Box<Self>) {
        self.calls.borrow_mut().aborted.push(self.len);
    }
}

#[derive(Clone, Copy)]
enum Mode {
    Echo,
    Broadcast,
}

/// Says again what is said, and notes what it is told.
struct Says {
    ws: Endpoint,
    mode: Mode,
    calls: Calls,
    /// Where each client is in `calls`: their numbers are another run's too.
    places: HashMap<ClientId, usize>,
}

impl Says {
    fn note(&self, client: ClientId, call: String) {
        let mut calls = self.calls.borrow_mut();
        calls.clients[self.places[&client]].push(call);
    }
}

impl WebSocketHandler for Says {
    type HandshakeData = ();

    fn on_handshake(&mut self, _: &Request, _: &mut Response) -> Option<()> {
        Some(())
    }

    fn on_open(&mut self, client: ClientId, (): ()) {
        let mut calls = self.calls.borrow_mut();
        self.places.insert(client, calls.clients.len());
        calls.clients.push(Vec::new());
    }

    fn on_data(&mut self, client: ClientId, message: Message<'_>) {
        self.note(client, format!("{message:?}"));
        match (message.as_bytes(), self.mode) {
            (b"close", _) => {
                let close = self.ws.close(client, CloseCode::from(4000), "as you wish");
                close.expect("a legal close");
            }
            (b"later", _) => {
                self.ws.send_after(Duration::from_secs(1), client, message);
            }
            (_, Mode::Echo) => self.ws.send(client, message),
            (_, Mode::Broadcast) => self.ws.broadcast(message),
        }
    }

    fn on_close(&mut self, client: ClientId, code: CloseCode, reason: &str) {
        self.note(client, format!("closed {code} {reason:?}"));
        self.ws.broadcast(format!("{} left", self.places[&client]));
    }
}
