//! A client's side of HTTP/2 (RFC 9113), as far as WebSocket over it (RFC 8441) needs it: nothing
//! of `src/` is in it, no I/O either.
//!
//! Whatever it does not expect it panics at. Windows are as large as those of browsers.

/// Types of frames (RFC 9113 section 6).
const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const SETTINGS: u8 = 0x4;
const PING: u8 = 0x6;
const WINDOW_UPDATE: u8 = 0x8;

const END_STREAM: u8 = 0x1;
const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;

/// Settings (sections 6.5.2; RFC 8441 section 3).
const ENABLE_PUSH: u16 = 0x2;
const MAX_CONCURRENT_STREAMS: u16 = 0x3;
const INITIAL_WINDOW_SIZE: u16 = 0x4;
const ENABLE_CONNECT_PROTOCOL: u16 = 0x8;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADER_BYTES: usize = 9;
const DEFAULT_WINDOW_BYTES: u32 = 65_535;
/// Payload of a frame that every server takes.
const MAX_PAYLOAD_BYTES: usize = 16_384;
/// What the server may send, on a stream and on all together.
const STREAM_WINDOW_BYTES: u32 = 6 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 15 << 20;

/// A window in which the server sends.
struct ReceiveWindow {
    size: u32,
    /// Came since the last `WINDOW_UPDATE`.
    taken: u32,
}

impl ReceiveWindow {
    const fn new(size: u32) -> Self {
        Self { size, taken: 0 }
    }

    /// Gives back what was taken when it is half of it.
    fn take(&mut self, stream: u32, bytes: u32, output: &mut Vec<u8>) {
        self.taken += bytes;
        if self.taken >= self.size / 2 {
            frame(WINDOW_UPDATE, 0, stream, &self.taken.to_be_bytes(), output);
            self.taken = 0;
        }
    }
}

struct Stream {
    is_open: bool,
    /// What may be sent.
    window: i64,
    receive: ReceiveWindow,
    /// What waits for a window.
    pending: Vec<u8>,
}

/// One connection, with a number of WebSocket connections on it.
pub(crate) struct Session {
    /// The header block of each of their requests.
    request: Vec<u8>,
    /// Streams that are to be: their number is that of the stream, doubled and plus one.
    count: usize,
    streams: Vec<Stream>,
    is_greeted: bool,
    initial_window: i64,
    /// What may be sent on all streams together.
    window: i64,
    receive: ReceiveWindow,
    /// A frame that is not whole.
    kept: Vec<u8>,
}

impl Session {
    /// For `count` WebSocket connections to `path`, and what is to be sent first.
    pub(crate) fn new(count: usize, scheme: Scheme, path: &str) -> (Self, Vec<u8>) {
        let mut output = PREFACE.to_vec();
        let mut settings = setting(ENABLE_PUSH, 0);
        settings.extend(setting(INITIAL_WINDOW_SIZE, STREAM_WINDOW_BYTES));
        frame(SETTINGS, 0, 0, &settings, &mut output);
        let more = CONNECTION_WINDOW_BYTES - DEFAULT_WINDOW_BYTES;
        frame(WINDOW_UPDATE, 0, 0, &more.to_be_bytes(), &mut output);
        let session = Self {
            request: extended_connect(scheme, path),
            count,
            streams: Vec::new(),
            is_greeted: false,
            initial_window: DEFAULT_WINDOW_BYTES.into(),
            window: DEFAULT_WINDOW_BYTES.into(),
            receive: ReceiveWindow::new(CONNECTION_WINDOW_BYTES),
            kept: Vec::new(),
        };
        (session, output)
    }

    /// Whether all streams are open.
    pub(crate) fn is_ready(&self) -> bool {
        self.is_greeted && self.streams.iter().all(|stream| stream.is_open)
    }

    /// Sends payload on a stream, as far as windows allow now, and the rest when they do.
    pub(crate) fn send(&mut self, stream: usize, bytes: &[u8], output: &mut Vec<u8>) {
        self.streams[stream].pending.extend_from_slice(bytes);
        self.send_pending(stream, output);
    }

    fn send_pending(&mut self, index: usize, output: &mut Vec<u8>) {
        let stream = &mut self.streams[index];
        while !stream.pending.is_empty() {
            let window = usize::try_from(self.window.min(stream.window)).unwrap_or(0);
            let len = stream.pending.len().min(window).min(MAX_PAYLOAD_BYTES);
            if len == 0 {
                break;
            }
            frame(DATA, 0, number(index), &stream.pending[..len], output);
            stream.pending.drain(..len);
            let sent = i64::try_from(len).expect("a frame");
            stream.window -= sent;
            self.window -= sent;
        }
    }

    /// Takes what the server sent; `sink` is given payload, with the stream that it is on.
    pub(crate) fn receive(
        &mut self,
        input: &[u8],
        output: &mut Vec<u8>,
        sink: &mut dyn FnMut(usize, &[u8]),
    ) {
        let mut kept = std::mem::take(&mut self.kept);
        let mut input = if kept.is_empty() {
            input
        } else {
            kept.extend_from_slice(input);
            &kept
        };
        while let Some((header, payload, rest)) = split(input) {
            self.receive_frame(&header, payload, output, sink);
            input = rest;
        }
        self.kept.extend_from_slice(input);
    }

    fn receive_frame(
        &mut self,
        header: &Header,
        payload: &[u8],
        output: &mut Vec<u8>,
        sink: &mut dyn FnMut(usize, &[u8]),
    ) {
        let &Header {
            kind,
            flags,
            stream,
        } = header;
        match kind {
            DATA => {
                assert!(flags & END_STREAM == 0, "the server ended stream {stream}");
                let len = u32::try_from(payload.len()).expect("24 bits");
                self.receive.take(0, len, output);
                let index = index(stream);
                self.streams[index].receive.take(stream, len, output);
                sink(index, unpadded(flags, payload));
            }
            HEADERS => {
                let wanted = flags & (END_HEADERS | END_STREAM) == END_HEADERS;
                let block = unpadded(flags, payload);
                // 8 in the static table is `:status: 200` (RFC 7541 appendix A); the size of the
                // dynamic table may be said before (section 6.3).
                let first = block.iter().find(|byte| **byte & 0xE0 != 0x20);
                assert!(wanted && first == Some(&0x88), "{}", block.escape_ascii());
                self.streams[index(stream)].is_open = true;
            }
            SETTINGS if flags & ACK != 0 => {}
            SETTINGS => self.greet(payload, output),
            PING if flags & ACK == 0 => frame(PING, ACK, 0, payload, output),
            WINDOW_UPDATE => {
                let bytes = payload.try_into().expect("four bytes");
                let more = i64::from(u32::from_be_bytes(bytes));
                if stream == 0 {
                    self.window += more;
                    (0..self.streams.len()).for_each(|index| self.send_pending(index, output));
                } else {
                    self.streams[index(stream)].window += more;
                    self.send_pending(index(stream), output);
                }
            }
            _ => panic!("frame {kind:#x} on {stream}: {}", payload.escape_ascii()),
        }
    }

    /// Takes the server's settings, and asks for the streams if they allow it.
    fn greet(&mut self, payload: &[u8], output: &mut Vec<u8>) {
        frame(SETTINGS, ACK, 0, &[], output);
        let mut connects = false;
        for setting in payload.chunks_exact(6) {
            let value = u32::from_be_bytes(setting[2..].try_into().expect("four bytes"));
            match u16::from_be_bytes([setting[0], setting[1]]) {
                MAX_CONCURRENT_STREAMS => {
                    assert!(self.count <= value as usize, "{value} streams at most");
                }
                INITIAL_WINDOW_SIZE => self.initial_window = value.into(),
                ENABLE_CONNECT_PROTOCOL => connects = value == 1,
                _ => {}
            }
        }
        assert!(!self.is_greeted, "settings are said once");
        assert!(connects || self.count == 0, "no extended CONNECT here");
        self.is_greeted = true;
        for index in 0..self.count {
            frame(HEADERS, END_HEADERS, number(index), &self.request, output);
            self.streams.push(Stream {
                is_open: false,
                window: self.initial_window,
                receive: ReceiveWindow::new(STREAM_WINDOW_BYTES),
                pending: Vec::new(),
            });
        }
    }
}

#[derive(Clone, Copy)]
pub(crate) enum Scheme {
    Http,
    Https,
}

/// The header block of an extended CONNECT (RFC 8441 section 4), in literals without indexing and
/// without Huffman's code (RFC 7541 section 6.2.2).
fn extended_connect(scheme: Scheme, path: &str) -> Vec<u8> {
    let mut block = Vec::new();
    // Names by their place in the static table.
    let mut indexed = |name: u8, value: &str| {
        block.push(name);
        string(value, &mut block);
    };
    indexed(2, "CONNECT"); // :method
    indexed(4, path); // :path
    indexed(1, "localhost"); // :authority
    block.push(match scheme {
        Scheme::Http => 0x86,
        Scheme::Https => 0x87,
    });
    for (name, value) in [(":protocol", "websocket"), ("sec-websocket-version", "13")] {
        block.push(0);
        string(name, &mut block);
        string(value, &mut block);
    }
    block
}

fn string(value: &str, block: &mut Vec<u8>) {
    let len = u8::try_from(value.len()).expect("a short one");
    assert!(len < 0x7F, "lengths of more than seven bits are not needed");
    block.push(len);
    block.extend_from_slice(value.as_bytes());
}

fn number(index: usize) -> u32 {
    2 * u32::try_from(index).expect("few") + 1
}

const fn index(number: u32) -> usize {
    number as usize / 2
}

fn setting(identifier: u16, value: u32) -> Vec<u8> {
    let mut bytes = identifier.to_be_bytes().to_vec();
    bytes.extend_from_slice(&value.to_be_bytes());
    bytes
}

/// Appends one frame (section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8], output: &mut Vec<u8>) {
    let len = u32::try_from(payload.len()).expect("24 bits").to_be_bytes();
    output.extend_from_slice(&[len[1], len[2], len[3], kind, flags]);
    output.extend_from_slice(&stream.to_be_bytes());
    output.extend_from_slice(payload);
}

struct Header {
    kind: u8,
    flags: u8,
    stream: u32,
}

/// One whole frame from the front of `input`, and what follows it.
fn split(input: &[u8]) -> Option<(Header, &[u8], &[u8])> {
    let (header, rest) = input.split_first_chunk::<HEADER_BYTES>()?;
    let &[high, middle, low, kind, flags, a, b, c, d] = header;
    let len = u32::from_be_bytes([0, high, middle, low]) as usize;
    let (payload, rest) = rest.split_at_checked(len)?;
    let stream = u32::from_be_bytes([a, b, c, d]) & 0x7FFF_FFFF;
    let header = Header {
        kind,
        flags,
        stream,
    };
    Some((header, payload, rest))
}

/// Payload of DATA or HEADERS without its padding (section 6.1).
fn unpadded(flags: u8, payload: &[u8]) -> &[u8] {
    if flags & PADDED == 0 {
        return payload;
    }
    let (padding, rest) = payload.split_first().expect("the length of the padding");
    &rest[..rest.len() - usize::from(*padding)]
}
