//! A client of plain `TcpStream` and bytes. It shares no codec with `src/`, so that a mistake
//! made there is not made here again, and it is strict: what a server must not send, it
//! refuses. Every read has a deadline.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use socket2::SockRef;

/// How long any read may take before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The mask of every frame that this client sends.
pub(crate) const MASK: [u8; 4] = [0xF4, 0x37, 0x7A, 0x9C];

/// The key of every opening handshake, and the accept value that RFC 6455 section 4.2.2 makes of
/// it (computed with another tool).
pub(crate) const KEY: &str = "x3JJHMbDL1EzLkh9GBhXDw==";
pub(crate) const ACCEPT: &str = "HSmrc0sMlYUkAGmm5OPpG2HaGWk=";

pub(crate) const CONTINUATION: u8 = 0x0;
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xA;

/// A valid opening handshake for `path`.
pub(crate) fn handshake(path: &str) -> String {
    handshake_with(path, "")
}

/// A valid opening handshake for `path` with further fields, each with its line end.
pub(crate) fn handshake_with(path: &str, fields: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{fields}\r\n"
    )
}

/// One frame as a client sends it: masked, its length in the shortest form.
pub(crate) fn frame(fin: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(fin, opcode, payload.len(), 0x80);
    bytes.extend(MASK);
    bytes.extend(
        payload
            .iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    bytes
}

/// One frame as a server sends it.
pub(crate) fn server_frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(true, opcode, payload.len(), 0);
    bytes.extend(payload);
    bytes
}

fn header(fin: bool, opcode: u8, len: usize, mask_bit: u8) -> Vec<u8> {
    let mut bytes = vec![if fin { 0x80 | opcode } else { opcode }];
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(short @ ..=125), _) => bytes.push(mask_bit + short),
        (_, Ok(medium)) => {
            bytes.push(mask_bit + 126);
            bytes.extend(medium.to_be_bytes());
        }
        _ => {
            bytes.push(mask_bit + 127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    bytes
}

/// `len` bytes of which no two neighbours, and no two pieces of a power of two, are equal.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..=250).cycle().take(len).collect()
}

/// The payload of a Close frame.
pub(crate) fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

/// A frame that the server sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) fin: bool,
    pub(crate) opcode: u8,
    pub(crate) payload: Vec<u8>,
}

/// Reads one frame, which must be unmasked, without reserved bits, and of minimal length. `read` is
/// asked for so many bytes at a time.
pub(crate) fn read_frame(mut read: impl FnMut(usize) -> Vec<u8>) -> Frame {
    let start = read(2);
    assert_eq!(start[0] & 0x70, 0, "reserved bits are set in {start:02x?}");
    assert_eq!(start[1] & 0x80, 0, "a server must not mask: {start:02x?}");
    let mut read_len = |bytes| {
        let bytes = read(bytes);
        bytes
            .iter()
            .fold(0, |len, byte| len << 8 | usize::from(*byte))
    };
    let len = match start[1] {
        126 => {
            let len = read_len(2);
            assert!(len > 125, "{len} in 16 bits");
            len
        }
        127 => {
            let len = read_len(8);
            assert!(len > 0xFFFF, "{len} in 64 bits");
            len
        }
        len => usize::from(len),
    };
    let frame = Frame {
        fin: start[0] & 0x80 != 0,
        opcode: start[0] & 0x0F,
        payload: read(len),
    };
    assert!(
        frame.opcode < CLOSE || frame.fin && len <= 125,
        "an illegal control frame"
    );
    frame
}

/// An HTTP response that the server sent.
#[derive(Clone, Debug)]
pub(crate) struct HttpResponse {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl HttpResponse {
    /// The value of a field that occurs at most once.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut found = self
            .fields
            .iter()
            .filter(|(other, _)| other.eq_ignore_ascii_case(name));
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(
            found.next().is_none(),
            "{name} is there twice: {:?}",
            self.fields
        );
        value
    }
}

/// One connection to the server.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    /// Bytes read from the socket and not yet asked for.
    unread: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).expect("the server accepts");
        Self::from_stream(stream)
    }

    /// Connects from a local address of the caller's choice.
    #[cfg(target_os = "linux")]
    pub(crate) fn connect_from(local: SocketAddr, address: SocketAddr) -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)
            .expect("a socket");
        socket.bind(&local.into()).expect("a loopback address");
        socket
            .connect_timeout(&address.into(), PATIENCE)
            .expect("the server accepts");
        Self::from_stream(socket.into())
    }

    /// Connects to a Unix socket: for what is done with it here, one stream is like the other.
    pub(crate) fn connect_unix(path: &Path) -> Self {
        Self::from_unix(UnixStream::connect(path).expect("the server accepts"))
    }

    pub(crate) fn from_unix(stream: UnixStream) -> Self {
        Self::with_timeouts(OwnedFd::from(stream).into())
    }

    pub(crate) fn from_stream(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a TCP socket");
        Self::with_timeouts(stream)
    }

    fn with_timeouts(stream: TcpStream) -> Self {
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a TCP socket");
        stream
            .set_write_timeout(Some(PATIENCE))
            .expect("a TCP socket");
        Self {
            stream,
            unread: Vec::new(),
        }
    }

    /// Connects and opens a WebSocket on `path`.
    pub(crate) fn open(address: SocketAddr, path: &str) -> Self {
        let mut client = Self::connect(address);
        client.upgrade(path);
        client
    }

    /// Connects with a receive buffer of a few KiB, so that the server soon waits for us.
    pub(crate) fn open_narrow(address: SocketAddr, path: &str) -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)
            .expect("a socket");
        // With less the kernel itself stalls: segments do not fit, and only its probes, five a
        // second, get through.
        socket
            .set_recv_buffer_size(64 * 1024)
            .expect("a TCP socket");
        socket
            .connect_timeout(&address.into(), PATIENCE)
            .expect("the server accepts");
        let mut client = Self::from_stream(socket.into());
        client.upgrade(path);
        client
    }

    pub(crate) fn upgrade(&mut self, path: &str) {
        self.send_raw(handshake(path));
        let response = self.read_response();
        assert_eq!(response.status, 101, "{response:?}");
    }

    /// The sending side, for a thread that sends while this one reads.
    pub(crate) fn writer(&self) -> TcpStream {
        self.stream.try_clone().expect("a descriptor")
    }

    pub(crate) fn local_address(&self) -> SocketAddr {
        self.stream.local_addr().expect("a connected socket")
    }

    pub(crate) fn send_raw(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream
            .write_all(bytes.as_ref())
            .expect("the server reads");
    }

    /// As [`send_raw`](Self::send_raw), for a server that may have gone.
    pub(crate) fn try_send_raw(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Sends each byte in a segment of its own.
    pub(crate) fn send_bytewise(&mut self, bytes: impl AsRef<[u8]>) {
        for byte in bytes.as_ref() {
            self.send_raw([*byte]);
        }
    }

    pub(crate) fn send(&mut self, fin: bool, opcode: u8, payload: impl AsRef<[u8]>) {
        self.send_raw(frame(fin, opcode, payload.as_ref()));
    }

    pub(crate) fn send_text(&mut self, text: &str) {
        self.send(true, TEXT, text);
    }

    pub(crate) fn send_close(&mut self, code: u16) {
        self.send(true, CLOSE, close_payload(code, ""));
    }

    /// Ends our direction; the other stays open.
    pub(crate) fn shut_down_write(&self) {
        self.stream
            .shutdown(Shutdown::Write)
            .expect("a connected socket");
    }

    /// The same, where the server may have gone.
    pub(crate) fn try_shut_down_write(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Drops the connection with a reset instead of a FIN.
    pub(crate) fn reset(self) {
        SockRef::from(&self.stream)
            .set_linger(Some(Duration::ZERO))
            .expect("a TCP socket");
    }

    /// Whether something is there to be read, or comes within a moment.
    pub(crate) fn has_input(&mut self) -> bool {
        if !self.unread.is_empty() {
            return true;
        }
        self.stream
            .set_read_timeout(Some(Duration::from_millis(300)))
            .expect("a TCP socket");
        let found = self.stream.peek(&mut [0]).is_ok_and(|len| len > 0);
        self.stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a TCP socket");
        found
    }

    /// Reads until `unread` holds `len` bytes; `false` at an EOF before.
    fn buffer(&mut self, len: usize) -> bool {
        let mut piece = [0; 16 * 1024];
        while self.unread.len() < len {
            match self.stream.read(&mut piece) {
                Ok(0) => return false,
                Ok(read) => self.unread.extend(&piece[..read]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!(
                    "{error}, with {} bytes read: {:02x?}",
                    self.unread.len(),
                    &self.unread[..self.unread.len().min(80)]
                ),
            }
        }
        true
    }

    pub(crate) fn read_bytes(&mut self, len: usize) -> Vec<u8> {
        assert!(
            self.buffer(len),
            "EOF behind {} bytes, where {len} should be: {:02x?}",
            self.unread.len(),
            &self.unread[..self.unread.len().min(80)]
        );
        let rest = self.unread.split_off(len);
        std::mem::replace(&mut self.unread, rest)
    }

    /// As [`read_bytes`](Self::read_bytes), or nothing if an EOF is all that there is.
    #[cfg(feature = "http2")]
    pub(crate) fn read_bytes_or_eof(&mut self, len: usize) -> Option<Vec<u8>> {
        self.buffer(1).then(|| self.read_bytes(len))
    }

    /// Everything up to the EOF; a reset fails the test.
    pub(crate) fn read_to_eof(&mut self) -> Vec<u8> {
        while self.buffer(self.unread.len() + 1) {}
        std::mem::take(&mut self.unread)
    }

    /// Everything up to the EOF or a reset, where either will do.
    pub(crate) fn read_to_end_or_reset(&mut self) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.unread);
        let mut piece = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut piece) {
                Ok(0) => return rest,
                Ok(read) => rest.extend(&piece[..read]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return rest,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// The server sends nothing more and ends its direction at once, without a reset.
    pub(crate) fn expect_eof(&mut self) {
        let begun = Instant::now();
        self.expect_late_eof();
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(1), "the EOF came after {took:?}");
    }

    /// As [`expect_eof`](Self::expect_eof), where a deadline of the server's has to pass before.
    pub(crate) fn expect_late_eof(&mut self) {
        let rest = self.read_to_eof();
        assert!(
            rest.is_empty(),
            "{} bytes before the EOF: {:02x?}",
            rest.len(),
            &rest[..rest.len().min(80)]
        );
    }

    /// Nothing arrives for `time`: no byte and no EOF.
    pub(crate) fn expect_silence(&mut self, time: Duration) {
        assert!(self.unread.is_empty(), "unread: {:02x?}", self.unread);
        self.stream
            .set_read_timeout(Some(time))
            .expect("a TCP socket");
        let mut piece = [0; 1024];
        match self.stream.read(&mut piece) {
            Ok(read) => panic!("instead of silence: {:02x?}", &piece[..read]),
            Err(error) => {
                assert!(
                    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
                    "{error}"
                );
            }
        }
        self.stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a TCP socket");
    }

    /// Reads one frame, as [`read_frame`] says.
    pub(crate) fn read_frame(&mut self) -> Frame {
        read_frame(|len| self.read_bytes(len))
    }

    /// Reads a message of one frame.
    pub(crate) fn read_message(&mut self, opcode: u8) -> Vec<u8> {
        let frame = self.read_frame();
        assert_eq!((frame.fin, frame.opcode), (true, opcode), "{frame:02x?}");
        frame.payload
    }

    pub(crate) fn read_text(&mut self) -> String {
        String::from_utf8(self.read_message(TEXT)).expect("text is UTF-8")
    }

    /// Reads a Close frame with `code`, and returns its reason.
    pub(crate) fn expect_close(&mut self, code: u16) -> String {
        let payload = self.read_message(CLOSE);
        assert_eq!(
            payload.get(..2),
            Some(&code.to_be_bytes()[..]),
            "{payload:02x?}, not {code}"
        );
        String::from_utf8(payload[2..].to_vec()).expect("a reason is UTF-8")
    }

    /// Reads one response with its body.
    pub(crate) fn read_response(&mut self) -> HttpResponse {
        let mut response = self.read_response_head();
        assert_eq!(response.field("Transfer-Encoding"), None, "{response:?}");
        if let Some(len) = response.field("Content-Length") {
            let len = len.parse().expect("a length is a number");
            response.body = self.read_bytes(len);
        } else {
            assert!(
                matches!(response.status, 100..200 | 204 | 304),
                "no length: {response:?}"
            );
        }
        response
    }

    /// Reads one response that has no body whatever its fields say, as that to a HEAD.
    pub(crate) fn read_response_head(&mut self) -> HttpResponse {
        let end = loop {
            if let Some(end) = self.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            let read = self.unread.len();
            assert!(
                self.buffer(read + 1),
                "EOF behind {:?}",
                String::from_utf8_lossy(&self.unread)
            );
        };
        let head = String::from_utf8(self.read_bytes(end)).expect("a response head is text");
        let (status_line, fields) = head.split_once("\r\n").expect("a status line");
        let status = status_line
            .strip_prefix("HTTP/1.1 ")
            .expect("HTTP/1.1")
            .get(..3)
            .expect("three digits");
        let fields = fields
            .trim_end()
            .split("\r\n")
            .filter(|line| !line.is_empty())
            .map(|line| {
                let (name, value) = line.split_once(": ").expect("a name and a value");
                (name.to_owned(), value.to_owned())
            });
        HttpResponse {
            status: status.parse().expect("digits"),
            fields: fields.collect(),
            body: Vec::new(),
        }
    }

    /// Sends a request without a body and reads the answer.
    pub(crate) fn request(
        &mut self,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
    ) -> HttpResponse {
        let mut request = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n");
        for (name, value) in fields {
            write!(request, "{name}: {value}\r\n").expect("a string takes all");
        }
        request.push_str("\r\n");
        self.send_raw(request);
        if method == "HEAD" {
            self.read_response_head()
        } else {
            self.read_response()
        }
    }

    /// Sends a request with a body and reads the answer.
    pub(crate) fn post(&mut self, target: &str, body: impl AsRef<[u8]>) -> HttpResponse {
        let body = body.as_ref();
        self.send_raw(format!(
            "POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
            body.len()
        ));
        // A server may answer before it has all of it.
        self.try_send_raw(body);
        self.read_response()
    }

    /// Reads one chunk of a body (RFC 9112 section 7.1); the last one is empty.
    pub(crate) fn read_chunk(&mut self) -> Vec<u8> {
        let mut size = String::new();
        while !size.ends_with("\r\n") {
            size.push(char::from(self.read_bytes(1)[0]));
        }
        let len = usize::from_str_radix(size.trim_end(), 16).expect("a size in hex");
        let mut chunk = self.read_bytes(len + 2);
        assert_eq!(chunk.split_off(len), b"\r\n", "behind a chunk of {len}");
        chunk
    }

    pub(crate) fn get(&mut self, target: &str) -> HttpResponse {
        self.request("GET", target, &[])
    }
}
