//! A client of HTTP/1.1: requests one behind the other, answers in that order, each whole.

use crate::application::{FILE_LEN, SHORT_FILE_LEN, verdict};
use crate::chance::{Chance, pattern};
use crate::model::Shared;
use crate::player::Fate;
use std::collections::VecDeque;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Whole,
    Pieces,
    File(usize),
    Head(usize),
    /// What its body is answered, by its length.
    Post(usize),
    Missing,
    Panics,
    /// It is refused, and what follows it is not looked at.
    Bad,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    key: u32,
    kind: Kind,
    /// The connection ends behind the answer.
    is_last: bool,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Http1 {
    asked: VecDeque<Asked>,
    input: Vec<u8>,
    /// No request follows any more.
    pub(crate) is_last: bool,
    /// A request was begun that never ends.
    pub(crate) is_half: bool,
    pub(crate) answered: u64,
}

impl Http1 {
    /// Whether nothing is to come any more.
    pub(crate) fn is_answered(&self) -> bool {
        self.asked.is_empty()
    }

    /// Another request; its bytes.
    pub(crate) fn ask(&mut self, model: &Shared, key: u32, chance: &mut Chance) -> Vec<u8> {
        if self.is_last || self.asked.len() > 20 {
            return Vec::new();
        }
        let is_last = chance.one_in(40);
        let len = chance.len(200_000);
        let (kind, method, path) = match chance.below(16) {
            0..=3 => (Kind::Whole, "GET", format!("/whole?key={key}&len={len}")),
            4 => (Kind::Pieces, "GET", format!("/pieces?key={key}")),
            5 => (Kind::File(FILE_LEN), "GET", "/file".to_owned()),
            6 => (Kind::File(SHORT_FILE_LEN), "GET", "/short".to_owned()),
            7 => (Kind::Head(FILE_LEN), "HEAD", "/file".to_owned()),
            8..=10 => (Kind::Post(len), "POST", format!("/whole?key={key}")),
            11..=13 => (Kind::Post(len), "POST", format!("/pieces?key={key}")),
            14 if chance.one_in(4) => (Kind::Bad, "GET", "/bad".to_owned()),
            14 => (Kind::Missing, "GET", "/nowhere".to_owned()),
            _ => (Kind::Panics, "GET", "/panic".to_owned()),
        };
        let is_last = is_last || kind == Kind::Bad;
        let mut bytes = format!("{method} {path} HTTP/1.1\r\nHost: a\r\n").into_bytes();
        if kind == Kind::Bad {
            bytes.extend(b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n");
        }
        if is_last {
            bytes.extend(b"Connection: close\r\n");
        }
        if let Kind::Post(len) = kind {
            if chance.one_in(4) {
                bytes.extend(b"Expect: 100-continue\r\n");
            }
            put_body(&mut bytes, &pattern(key, len), chance);
        } else {
            bytes.extend(b"\r\n");
        }
        if kind == Kind::Pieces {
            model.with(|model| model.expect_body(key, b""));
        }
        self.is_last = is_last;
        self.asked.push_back(Asked { key, kind, is_last });
        if !is_last && chance.one_in(100) {
            self.is_half = true;
            self.is_last = true;
            bytes.extend(b"GET /half HTTP/1.1\r\nHo");
        }
        bytes
    }

    /// What the server sent.
    pub(crate) fn receive(&mut self, bytes: &[u8], model: &Shared, fate: Fate) {
        self.input.extend_from_slice(bytes);
        let mut at = 0;
        while at < self.input.len() {
            let is_head = self
                .asked
                .front()
                .is_some_and(|asked| matches!(asked.kind, Kind::Head(_)));
            let Some(answer) = parse(&self.input[at..], is_head) else {
                break;
            };
            at += answer.len;
            if answer.status == 100 {
                continue;
            }
            self.answered += 1;
            let Some(asked) = self.asked.pop_front() else {
                // A request that never ends, a stop, or a socket that could not be registered.
                let may_be = self.is_half || fate.is_stopping || fate.is_lenient;
                let may_be = may_be || (fate.is_broken && answer.status == 503);
                assert!(may_be, "nobody asked for {}", answer.status);
                continue;
            };
            model.with(|model| {
                let what = u64::from(asked.key) << 16 | u64::from(answer.status);
                model.note(what, &answer.body);
            });
            judge(asked, &answer, model, fate);
        }
        self.input.drain(..at);
    }

    /// The server closed the connection: whether it may have.
    pub(crate) fn closed(&self, fate: Fate) {
        let is_due = self.is_last && self.asked.is_empty() && self.input.is_empty();
        assert!(
            is_due || self.is_half || fate.may_be_cut(),
            "closed with {:?} to come, {} bytes of it there",
            self.asked,
            self.input.len()
        );
    }
}

fn put_body(bytes: &mut Vec<u8>, body: &[u8], chance: &mut Chance) {
    if chance.one_in(2) {
        bytes.extend(format!("Content-Length: {}\r\n\r\n", body.len()).bytes());
        bytes.extend(body);
        return;
    }
    bytes.extend(b"Transfer-Encoding: chunked\r\n\r\n");
    let mut at = 0;
    while at < body.len() {
        let len = (1 + chance.len(30_000)).min(body.len() - at);
        bytes.extend(format!("{len:x}\r\n").bytes());
        bytes.extend(&body[at..at + len]);
        bytes.extend(b"\r\n");
        at += len;
    }
    bytes.extend(b"0\r\n\r\n");
}

struct Answer {
    status: u16,
    body: Vec<u8>,
    announced: Option<usize>,
    /// How many bytes it takes.
    len: usize,
    closes: bool,
}

/// A whole answer, if it is.
fn parse(input: &[u8], is_head: bool) -> Option<Answer> {
    let end = input.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&input[..end]).expect("a head is text");
    let head = head.to_ascii_lowercase();
    let status = head.strip_prefix("http/1.1 ").expect("an answer");
    let status: u16 = status[..3].parse().expect("a status");
    let field = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        lines
            .find(|(found, _)| *found == name)
            .map(|(_, value)| value)
    };
    let announced: Option<usize> =
        field("content-length").map(|len| len.parse().expect("a number"));
    let has_none = is_head || status < 200 || status == 204 || status == 304;
    let (body, len) = if has_none {
        (Vec::new(), end)
    } else if let Some(len) = announced {
        (input.get(end..end + len)?.to_vec(), end + len)
    } else {
        assert_eq!(field("transfer-encoding"), Some("chunked"), "{head}");
        let (body, len) = chunks(&input[end..])?;
        (body, end + len)
    };
    Some(Answer {
        status,
        body,
        announced,
        len,
        closes: field("connection") == Some("close"),
    })
}

/// A body in chunks, if it is whole, and its length on the wire.
fn chunks(input: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let line = input[at..].windows(2).position(|two| two == b"\r\n")?;
        let size = std::str::from_utf8(&input[at..at + line]).expect("a size");
        let size = usize::from_str_radix(size, 16).expect("a size");
        at += line + 2;
        let chunk = input.get(at..at + size)?;
        body.extend_from_slice(chunk);
        at += size;
        assert!(input.get(at..at + 2)? == b"\r\n", "the end of a chunk");
        at += 2;
        if size == 0 {
            return Some((body, at));
        }
    }
}

fn judge(asked: Asked, answer: &Answer, model: &Shared, fate: Fate) {
    let Asked { key, kind, is_last } = asked;
    let is_refused = matches!(answer.status, 408 | 503);
    if is_refused && (fate.is_stopping || fate.is_lenient) {
        return;
    }
    if answer.status == 503 && fate.is_broken {
        return; // its socket could not be registered
    }
    let status = match kind {
        Kind::Missing => 404,
        Kind::Panics => 500,
        Kind::Bad => 400,
        _ => 200,
    };
    assert_eq!(answer.status, status, "to {asked:?}");
    assert!(answer.closes || !is_last, "to {asked:?}");
    match kind {
        Kind::Whole | Kind::Pieces => model.with(|model| {
            let body = model.bodies.remove(&key).expect("it was asked for");
            assert!(model.complete.remove(&key), "{key} is not complete");
            assert!(body == answer.body, "the body of {key}");
        }),
        Kind::File(len) => assert!(pattern(0, len) == answer.body, "a file"),
        Kind::Head(len) => assert_eq!(answer.announced, Some(len)),
        Kind::Post(len) => {
            let right = verdict(key, &pattern(key, len));
            assert_eq!(answer.body, right.as_bytes(), "the body of {key}");
        }
        Kind::Missing | Kind::Panics | Kind::Bad => {}
    }
}
