//! A WebSocket from its first frame to its last: what the application sees and what the client is sent
//! is what a reader says that has all bytes at once and looks at each frame as RFC 6455 and RFC 7692
//! have it; in any pieces it is the same.
//!
//! The first bytes of the input choose options and pieces; what follows are frames.

use crate::wire::{send, settle};
use aerys::internals::Simulation;
use aerys::{
    ClientId, CloseCode, Compression, CompressionMode, Config, Endpoint, Host, Message, Request,
    Response, Router, Server, WebSocketConfig, WebSocketHandler, websocket,
};
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{
    TINFL_FLAG_HAS_MORE_INPUT, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
};
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};
use std::cell::RefCell;
use std::rc::Rc;

const MAX_FRAME_BYTES: u64 = 300;
const MAX_MESSAGE_BYTES: u64 = 500;
const MAX_EMPTY_FRAGMENTS: u32 = 3;

const FLAGS: u32 = TINFL_FLAG_HAS_MORE_INPUT | TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;

const HANDSHAKE: &str = "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n";

/// What the application saw.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Text(String),
    Binary(Vec<u8>),
    Closed(u16, String),
}

#[derive(Clone, Copy, Debug)]
struct Options {
    text_only: bool,
    is_compressed: bool,
    /// A compressed message may refer to those before it.
    has_takeover: bool,
}

pub(crate) fn run(input: &[u8]) {
    let &[options, piece_len, ref wire @ ..] = input else {
        return;
    };
    let options = Options {
        text_only: options & 1 != 0,
        is_compressed: options & 2 != 0,
        has_takeover: options & 4 != 0,
    };
    let whole = converse(options, wire, wire.len());
    for piece_len in [1, usize::from(piece_len) + 2] {
        assert_eq!(converse(options, wire, piece_len), whole);
    }
    let mut reader = Reader::new(options);
    let verdict = reader.read(wire);
    let (seen, output) = whole;
    let seen_closes = seen.iter().filter(|seen| matches!(seen, Seen::Closed(..)));
    assert!(seen_closes.count() <= 1);
    match verdict {
        Verdict::Open => {
            assert_eq!((seen, output), (reader.seen, reader.output));
        }
        Verdict::Closed(code, reason) => {
            reader.seen.push(Seen::Closed(code, reason));
            assert_eq!(seen, reader.seen);
            let payload = if code == 1005 {
                vec![]
            } else {
                code.to_be_bytes().to_vec()
            };
            reader
                .output
                .extend([0x88, u8::try_from(payload.len()).expect("short")]);
            reader.output.extend(payload);
            assert_eq!(output, reader.output);
        }
        Verdict::Failed(expected) => {
            let Some((Seen::Closed(code, reason), before)) = seen.split_last() else {
                panic!("{seen:?} is to end with {expected}");
            };
            assert_eq!((*code, before), (expected, &reader.seen[..]));
            let len = u8::try_from(2 + reason.len()).expect("a short reason");
            reader.output.extend([0x88, len]);
            reader.output.extend(code.to_be_bytes());
            reader.output.extend(reason.bytes());
            assert_eq!(output, reader.output);
        }
        Verdict::Broken => {
            let (last, before) = seen.split_last().expect("a close");
            assert!(matches!(last, Seen::Closed(1007 | 1009, _)), "{last:?}");
            assert_eq!(before, reader.seen);
        }
        // Of what is not all there, it is for the server to say whether it can still be anything.
        Verdict::Unknown => assert!(seen.starts_with(&reader.seen)),
    }
}

/// What came of `wire` in pieces of that length: what the application saw, and what the client was
/// sent behind the answer to its handshake.
fn converse(options: Options, wire: &[u8], piece_len: usize) -> (Vec<Seen>, Vec<u8>) {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let mut server = start(options, Rc::clone(&seen));
    let peer = server.connect(true);
    let extensions = match (options.is_compressed, options.has_takeover) {
        (true, true) => "Sec-WebSocket-Extensions: permessage-deflate\r\n",
        (true, false) => {
            "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover\r\n"
        }
        (false, _) => "",
    };
    server.send(peer, format!("{HANDSHAKE}{extensions}\r\n").as_bytes());
    settle(&mut server);
    let answer = server.take_output(peer);
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
    let is_agreed = answer
        .windows(18)
        .any(|window| window == b"permessage-deflate");
    assert_eq!(is_agreed, options.is_compressed);
    send(&mut server, peer, wire, piece_len);
    let output = server.take_output(peer);
    (seen.take(), output)
}

fn start(options: Options, seen: Rc<RefCell<Vec<Seen>>>) -> Simulation {
    let compression = options.is_compressed.then(|| Compression {
        mode: CompressionMode::Dedicated,
        // What is sent is another's matter.
        threshold_bytes: usize::MAX,
        ..Compression::default()
    });
    let config = WebSocketConfig {
        max_frame_bytes: MAX_FRAME_BYTES,
        max_message_bytes: MAX_MESSAGE_BYTES,
        max_empty_fragments: MAX_EMPTY_FRAGMENTS,
        text_only: options.text_only,
        compression,
        ..WebSocketConfig::default()
    };
    let endpoint = websocket(|ws| Echo { ws, seen }).config(config);
    let host = Host::new()
        .listen("127.0.0.1:0")
        .add(Router::new().get("/ws", endpoint));
    let config = Config {
        max_connections: Some(4),
        ..Config::default()
    };
    Simulation::new(Server::new().config(config).host(host)).expect("it starts")
}

struct Echo {
    ws: Endpoint,
    seen: Rc<RefCell<Vec<Seen>>>,
}

impl WebSocketHandler for Echo {
    type HandshakeData = ();

    fn on_handshake(&mut self, _: &Request, _: &mut Response) -> Option<()> {
        Some(())
    }

    fn on_data(&mut self, client: ClientId, message: Message<'_>) {
        self.seen.borrow_mut().push(match message {
            Message::Text(text) => Seen::Text(text.to_owned()),
            Message::Binary(bytes) => Seen::Binary(bytes.to_vec()),
        });
        self.ws.send(client, message);
    }

    fn on_close(&mut self, _: ClientId, code: CloseCode, reason: &str) {
        let closed = Seen::Closed(code.as_u16(), reason.to_owned());
        self.seen.borrow_mut().push(closed);
    }
}

/// How it stands with a connection.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Open,
    /// The client closed it.
    Closed(u16, String),
    /// It is failed, with this code.
    Failed(u16),
    /// A compressed message is not what it should be. At which byte that was told, and so what was
    /// sent before it, is not known here.
    Broken,
    /// A compressed message is not whole.
    Unknown,
}

/// A message that was begun.
struct OpenMessage {
    is_text: bool,
    is_compressed: bool,
    payload: Vec<u8>,
    empty_fragments: u32,
}

/// Reads frames, all of them at once.
struct Reader {
    options: Options,
    message: Option<OpenMessage>,
    /// What compressed messages may refer to.
    window: Vec<u8>,
    seen: Vec<Seen>,
    output: Vec<u8>,
}

const PROTOCOL: Verdict = Verdict::Failed(1002);
const PAYLOAD: Verdict = Verdict::Failed(1007);
const TOO_BIG: Verdict = Verdict::Failed(1009);

impl Reader {
    const fn new(options: Options) -> Self {
        Self {
            options,
            message: None,
            window: Vec::new(),
            seen: Vec::new(),
            output: Vec::new(),
        }
    }

    fn read(&mut self, mut wire: &[u8]) -> Verdict {
        loop {
            if let Err(verdict) = self.frame(&mut wire) {
                let open = self.message.as_ref();
                let is_open =
                    open.is_some_and(|open| open.is_compressed && !open.payload.is_empty());
                return if is_open { Verdict::Unknown } else { verdict };
            }
        }
    }

    /// One frame at the front of `wire`. The verdict, if it is the last.
    fn frame(&mut self, wire: &mut &[u8]) -> Result<(), Verdict> {
        let first = take(wire)?;
        let (fin, rsv, opcode) = (first & 0x80 != 0, first >> 4 & 7, first & 15);
        let is_control = opcode >= 8;
        let may_be_compressed = self.options.is_compressed && matches!(opcode, 1 | 2);
        if rsv & 3 != 0 || rsv != 0 && !may_be_compressed {
            return Err(PROTOCOL);
        }
        if !matches!(opcode, 0..=2 | 8..=10) || is_control && !fin {
            return Err(PROTOCOL);
        }
        let second = take(wire)?;
        let mut len = u64::from(second & 0x7F);
        if second & 0x80 == 0 || is_control && len > 125 {
            return Err(PROTOCOL);
        }
        if len > 125 {
            let (digits, least) = if len == 126 { (2, 126) } else { (8, 1 << 16) };
            len = 0;
            for place in 0..digits {
                len = len << 8 | u64::from(take(wire)?);
                // What no continuation could make legal is not waited for.
                let left = 8 * (digits - 1 - place);
                if digits == 8 && place == 0 && len >= 0x80 {
                    return Err(PROTOCOL);
                }
                let greatest = len << left | ((1_u64 << left) - 1);
                if greatest < least {
                    return Err(PROTOCOL);
                }
            }
        }
        let mut mask = [0; 4];
        for byte in &mut mask {
            *byte = take(wire)?;
        }
        if !is_control {
            self.begin(opcode, fin, rsv != 0, len)?;
        }
        let have = usize::try_from(len).unwrap_or(usize::MAX).min(wire.len());
        let (masked, rest) = wire.split_at(have);
        *wire = rest;
        let key = mask.iter().cycle();
        let payload: Vec<u8> = masked
            .iter()
            .zip(key)
            .map(|(byte, key)| byte ^ key)
            .collect();
        let is_whole = have as u64 == len;
        if is_control {
            if !is_whole {
                return Err(Verdict::Open);
            }
            return self.control(opcode, &payload);
        }
        self.data(&payload, fin && is_whole)?;
        if is_whole { Ok(()) } else { Err(Verdict::Open) }
    }

    fn control(&mut self, opcode: u8, payload: &[u8]) -> Result<(), Verdict> {
        if opcode == 9 {
            let len = u8::try_from(payload.len()).expect("at most 125");
            self.output.extend([0x8A, len]);
            self.output.extend(payload);
        }
        if opcode != 8 {
            return Ok(());
        }
        let (code, reason) = match payload {
            [] => (1005, ""),
            [_] => return Err(PROTOCOL),
            [high, low, reason @ ..] => {
                let code = u16::from_be_bytes([*high, *low]);
                if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
                    return Err(PROTOCOL);
                }
                (code, std::str::from_utf8(reason).map_err(|_| PAYLOAD)?)
            }
        };
        Err(Verdict::Closed(code, reason.to_owned()))
    }

    /// The header of a data frame.
    fn begin(&mut self, opcode: u8, fin: bool, compressed: bool, len: u64) -> Result<(), Verdict> {
        match (opcode, &self.message) {
            (0, None) | (1.., Some(_)) => return Err(PROTOCOL),
            (0, Some(_)) => {}
            (2, None) if self.options.text_only => return Err(Verdict::Failed(1003)),
            (_, None) => {
                self.message = Some(OpenMessage {
                    is_text: opcode == 1,
                    is_compressed: compressed,
                    payload: Vec::new(),
                    empty_fragments: 0,
                });
            }
        }
        let message = self.message.as_mut().expect("it is begun");
        let known = message.payload.len() as u64;
        if len > MAX_FRAME_BYTES || !message.is_compressed && known + len > MAX_MESSAGE_BYTES {
            return Err(TOO_BIG);
        }
        if len > 0 {
            message.empty_fragments = 0;
        } else if !fin {
            message.empty_fragments += 1;
            if message.empty_fragments > MAX_EMPTY_FRAGMENTS {
                return Err(Verdict::Failed(1008));
            }
        }
        Ok(())
    }

    /// Payload of a data frame, with which the message may be whole.
    fn data(&mut self, payload: &[u8], is_last: bool) -> Result<(), Verdict> {
        let message = self.message.as_mut().expect("it is begun");
        message.payload.extend(payload);
        if !is_last {
            if message.is_text && !message.is_compressed {
                begin_of_text(&message.payload)?;
            }
            // Of one that is compressed nothing is known before it is whole; and it may well have
            // failed long before.
            return Ok(());
        }
        let message = self.message.take().expect("it is begun");
        let (payload, ill) = if message.is_compressed {
            (
                self.inflate(&message.payload).ok_or(Verdict::Broken)?,
                Verdict::Broken,
            )
        } else {
            (message.payload, PAYLOAD)
        };
        self.seen.push(if message.is_text {
            Seen::Text(String::from_utf8(payload.clone()).map_err(|_| ill)?)
        } else {
            Seen::Binary(payload.clone())
        });
        self.output.push(0x80 | if message.is_text { 1 } else { 2 });
        let len = u16::try_from(payload.len()).expect("within the limit");
        if len <= 125 {
            self.output.push(len.to_be_bytes()[1]);
        } else {
            self.output.push(126);
            self.output.extend(len.to_be_bytes());
        }
        self.output.extend(payload);
        Ok(())
    }

    /// A compressed message (RFC 7692 section 7.2.2), if it is one within the limit.
    fn inflate(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        let inflated = inflate(payload, &self.window)?;
        if self.options.has_takeover {
            self.window.extend_from_slice(&inflated);
        }
        Some(inflated)
    }
}

/// Inflates a message by another library than the server does, behind `window`.
fn inflate(payload: &[u8], window: &[u8]) -> Option<Vec<u8>> {
    // What ends a message is left away, but behind a block that says it is the last.
    const TAIL: &[u8] = b"\0\0\xff\xff\x03\0";
    let most = usize::try_from(MAX_MESSAGE_BYTES).expect("it is small");
    let window = &window[window.len().saturating_sub(1 << 15)..];
    let mut output = window.to_vec();
    output.resize(window.len() + most + 1, 0);
    let (mut decompressor, mut end, mut rest) = (DecompressorOxide::new(), window.len(), payload);
    let mut inflate = |decompressor: &mut _, input: &[u8], end: &mut usize| {
        let (status, read, written) = decompress(decompressor, input, &mut output, *end, FLAGS);
        *end += written;
        (status, read)
    };
    while !rest.is_empty() {
        let (status, read) = inflate(&mut decompressor, rest, &mut end);
        rest = &rest[read..];
        match status {
            TINFLStatus::Done if rest.is_empty() => {
                output.truncate(end);
                return (end - window.len() <= most).then(|| output.split_off(window.len()));
            }
            TINFLStatus::Done => decompressor = DecompressorOxide::new(),
            TINFLStatus::NeedsMoreInput => {}
            _ => return None,
        }
    }
    let before = end;
    let is_whole = payload.is_empty()
        || inflate(&mut decompressor, TAIL, &mut end) == (TINFLStatus::Done, TAIL.len());
    output.truncate(end);
    let is_whole = is_whole && end == before && end - window.len() <= most;
    is_whole.then(|| output.split_off(window.len()))
}

/// The next byte; without one, all is as it was.
fn take(wire: &mut &[u8]) -> Result<u8, Verdict> {
    let (&byte, rest) = wire.split_first().ok_or(Verdict::Open)?;
    *wire = rest;
    Ok(byte)
}

/// That text may go on behind this.
fn begin_of_text(payload: &[u8]) -> Result<(), Verdict> {
    match std::str::from_utf8(payload) {
        Err(error) if error.error_len().is_some() => Err(PAYLOAD),
        _ => Ok(()),
    }
}
