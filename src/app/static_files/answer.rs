//! A file as the answer: whole, in part or in several parts, by preconditions and `Range` (RFC
//! 9110 sections 13 and 14).

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::file::{FileContent, Representation};
use super::ranges::{self, Asked};
use super::source::{FileSource, PartsSource, Piece};
use super::validators::Verdict;
use crate::http::{Headers, Response, StatusCode};

/// What a 304 says of what it does not send (section 15.4.5).
const OF_A_304: [&str; 6] = [
    "ETag",
    "Last-Modified",
    "Vary",
    "Cache-Control",
    "Expires",
    "Content-Location",
];
/// What an error says of the file that is not sent.
const OF_AN_ERROR: [&str; 3] = ["ETag", "Last-Modified", "Vary"];

impl Representation {
    /// Fills `response` with what the fields of a request ask for.
    pub(super) fn answer(&self, headers: &Headers, is_head: bool, response: &mut Response) {
        self.choose_answer(headers, is_head, response);
        response.keep_coding();
    }

    fn choose_answer(&self, headers: &Headers, is_head: bool, response: &mut Response) {
        if !is_conditional(headers) {
            self.send(response);
            return;
        }
        match self.validators.judge(headers) {
            Verdict::Proceed => {}
            Verdict::NotModified => {
                response.set_status(StatusCode::NOT_MODIFIED);
                self.set_some(|name| is_one_of(&OF_A_304, name), response);
                return;
            }
            Verdict::Failed => {
                response.end_with_error(
                    StatusCode::PRECONDITION_FAILED,
                    "the file is another by now",
                );
                self.set_some(|name| is_one_of(&OF_AN_ERROR, name), response);
                return;
            }
        }
        let asked = if !is_head && self.validators.allow_range(headers) {
            ranges::asked(headers.get_all("range"), self.len)
        } else {
            Asked::Whole
        };
        match asked {
            Asked::Whole => self.send(response),
            Asked::Parts(parts) => self.send_parts(parts, response),
            Asked::Nothing => {
                response.end_with_error(
                    StatusCode::RANGE_NOT_SATISFIABLE,
                    "the file has no such part",
                );
                response
                    .set_header("Content-Range", ranges::unsatisfied(self.len))
                    .set_known_header("Accept-Ranges", b"bytes");
                self.set_some(|name| is_one_of(&OF_AN_ERROR, name), response);
            }
        }
    }

    /// Sends all of it.
    fn send(&self, response: &mut Response) {
        self.send_whole(response);
        self.set_fields(response);
    }

    /// Sends all of it in place of another that is missing: it says what it is, and nothing of how
    /// long the file is good for, by whatever name caches know that.
    pub(super) fn send_as_missing(&self, response: &mut Response) {
        self.send_whole(response);
        response.set_status(StatusCode::NOT_FOUND);
        let is_of_content = |name: &str| {
            name.get(..8)
                .is_some_and(|start| start.eq_ignore_ascii_case("Content-"))
                && !name.eq_ignore_ascii_case("Content-Location")
        };
        let is_one = |name: &str| is_of_content(name) || name.eq_ignore_ascii_case("Vary");
        self.set_some(is_one, response);
        response.keep_coding();
    }

    fn send_whole(&self, response: &mut Response) {
        match &self.content {
            FileContent::Memory(bytes) => response.end_with_shared(Arc::clone(bytes)),
            FileContent::Open(_) => self.send_part(0..self.len, response),
        };
    }

    fn set_fields(&self, response: &mut Response) {
        if response.headers().is_empty() {
            response.set_headers(&self.fields);
        } else {
            self.set_some(|_| true, response);
        }
    }

    /// Sets those of its fields that are meant, each in place of what was set of its name before. A
    /// `Vary` comes on top: what the answer depends on elsewhere, it depends on still.
    fn set_some(&self, is_one: impl Fn(&str) -> bool, response: &mut Response) {
        for (name, value) in self.fields.iter().filter(|(name, _)| is_one(name)) {
            if name.eq_ignore_ascii_case("Vary") {
                response.add_header(name, value);
            } else {
                response.set_header(name, value);
            }
        }
    }

    fn send_part<'r>(&self, part: Range<u64>, response: &'r mut Response) -> &'r mut Response {
        match &self.content {
            FileContent::Memory(bytes) => response.end(&bytes[within(&part)]),
            FileContent::Open(file) => {
                let len = part.end - part.start;
                let file = self.promised(file);
                response.end_with_source(len, Box::new(FileSource { file, part }))
            }
        }
    }

    /// Answers with 206 (section 15.3.7): one part as it is, several with lines between them.
    fn send_parts(&self, parts: Vec<Range<u64>>, response: &mut Response) {
        response.set_status(StatusCode::PARTIAL_CONTENT);
        self.set_fields(response);
        if let [part] = &parts[..] {
            response.set_header("Content-Range", ranges::content_range(part, self.len));
            self.send_part(part.clone(), response);
            return;
        }
        let boundary = boundary(&self.validators.etag);
        let (before, end) = ranges::delimiters(&parts, self.len, &self.content_type, &boundary);
        response.set_header(
            "Content-Type",
            format!("multipart/byteranges; boundary={boundary}"),
        );
        match &self.content {
            FileContent::Memory(bytes) => {
                let mut body = Vec::new();
                for (lines, part) in before.iter().zip(&parts) {
                    body.extend_from_slice(lines.as_bytes());
                    body.extend_from_slice(&bytes[within(part)]);
                }
                body.extend_from_slice(end.as_bytes());
                response.end(body);
            }
            FileContent::Open(file) => {
                let lines = before.iter().map(String::len).sum::<usize>() + end.len();
                let of_parts: u64 = parts.iter().map(|part| part.end - part.start).sum();
                let mut pieces = VecDeque::new();
                for (lines, part) in before.into_iter().zip(parts) {
                    pieces.push_back(Piece::Lines(lines));
                    pieces.push_back(Piece::Part(part));
                }
                pieces.push_back(Piece::Lines(end));
                let file = self.promised(file);
                let source = PartsSource { file, pieces };
                response.end_with_source(lines as u64 + of_parts, Box::new(source));
            }
        }
    }
}

fn is_one_of(names: &[&str], name: &str) -> bool {
    names.iter().any(|one| one.eq_ignore_ascii_case(name))
}

/// Whether a request has a precondition or asks for a part: most do not.
fn is_conditional(headers: &Headers) -> bool {
    headers.raw().any(|(name, _)| {
        matches!(name, [b'i' | b'I', b'f' | b'F', b'-', ..]) || name.eq_ignore_ascii_case(b"range")
    })
}

/// A part of bytes in memory, which are fewer than a `usize` says.
fn within(part: &Range<u64>) -> Range<usize> {
    let place = |at| usize::try_from(at).expect("ranges end within the file, which is in memory");
    place(part.start)..place(part.end)
}

/// What stands between the parts of one response. No file holds it but by intent of its author, who
/// cannot know what this process made of it.
fn boundary(etag: &str) -> String {
    static OF_THIS_PROCESS: OnceLock<RandomState> = OnceLock::new();
    let hash = OF_THIS_PROCESS.get_or_init(RandomState::new).hash_one(etag);
    format!("aerys-{hash:016x}")
}
