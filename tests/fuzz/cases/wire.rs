//! What several cases share: an input that chooses, bytes in pieces, servers that are talked to.

use aerys::internals::{Peer, Simulation};

/// Turns that a server may take for what came at once: more is going round for nothing.
const MAX_TURNS: usize = 10_000;

/// The bytes of an input, from its front. Where it has ended, they are 0.
pub(crate) struct Choices<'a> {
    rest: &'a [u8],
}

impl<'a> Choices<'a> {
    pub(crate) const fn new(input: &'a [u8]) -> Self {
        Self { rest: input }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    /// So many bytes, or as many as are left.
    pub(crate) fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (bytes, rest) = self.rest.split_at(len.min(self.rest.len()));
        self.rest = rest;
        bytes
    }
}

/// Turns until nothing is left to do.
pub(crate) fn settle(server: &mut Simulation) {
    for _ in 0..MAX_TURNS {
        if !server.is_busy() {
            return;
        }
        server.turn().expect("it lives");
    }
    panic!("it goes round for nothing");
}

/// Sends `wire` in pieces of that length, each of which is dealt with before the next.
pub(crate) fn send(server: &mut Simulation, peer: Peer, wire: &[u8], piece_len: usize) {
    for piece in wire.chunks(piece_len.max(1)) {
        server.send(peer, piece);
        settle(server);
    }
}

/// What a new client of `server` is sent for `wire`, and whether the connection was ended then.
pub(crate) fn converse(server: &mut Simulation, wire: &[u8], piece_len: usize) -> (Vec<u8>, bool) {
    let peer = server.connect(true);
    settle(server);
    send(server, peer, wire, piece_len);
    (server.take_output(peer), server.is_closed(peer))
}

/// Where the files lie that are served: they are in the repository, and so older than any test.
pub(crate) fn files() -> std::path::PathBuf {
    let manifest = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = [manifest.join("tests/fuzz/files"), manifest.join("files")];
    let found = folders.into_iter().find(|folder| folder.is_dir());
    found.expect("this is compiled in one of two crates")
}

/// A response of HTTP/1, which is not in chunks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(&'a str, &'a str)>,
    pub(crate) body: &'a [u8],
}

impl<'a> Answer<'a> {
    /// The response at the front of `bytes`, which has a body unless it answers HEAD, and what is
    /// behind it.
    pub(crate) fn read(bytes: &'a [u8], has_body: bool) -> (Self, &'a [u8]) {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        let end = end.expect("an answer has a head") + 4;
        let head = std::str::from_utf8(&bytes[..end - 4]).expect("what we send is text");
        let mut lines = head.split("\r\n");
        let line = lines.next().unwrap_or_default();
        let status = line
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3));
        let status = status.and_then(|status| status.parse().ok());
        let fields: Vec<_> = lines
            .map(|line| line.split_once(": ").expect("a field has a value"))
            .collect();
        let mut answer = Self {
            status: status.expect("an answer has a status"),
            fields,
            body: b"",
        };
        let len = answer
            .field("content-length")
            .map_or(0, |len| len.parse().expect("a length is a number"));
        let (body, rest) = bytes[end..].split_at(if has_body { len } else { 0 });
        answer.body = body;
        (answer, rest)
    }

    /// The one field of that name.
    pub(crate) fn field(&self, name: &str) -> Option<&'a str> {
        let mut named = self
            .fields
            .iter()
            .filter(|(other, _)| other.eq_ignore_ascii_case(name));
        let (found, None) = (named.next(), named.next()) else {
            panic!("{name} is there twice");
        };
        found.map(|(_, value)| *value)
    }
}
