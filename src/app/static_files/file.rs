//! One file as the answer: whole, in part or in several parts, by preconditions and `Range` (RFC
//! 9110 sections 13 and 14), read while it is sent.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::ranges::{self, Asked};
use super::validators::{Validators, Verdict};
use crate::http::{Headers, Response, StatusCode, date};
use crate::output::Source;

/// Files up to this size are read at once: cheaper than to come back for them.
const SMALL_FILE_BYTES: u64 = 16 * 1024;

/// Most that one pull reads of a file: what other clients wait for a disk.
pub(super) const MAX_PULL_BYTES: usize = 64 * 1024;

/// A regular file to be sent.
pub(super) struct OpenFile {
    /// Below the root; what its type is told by.
    pub(super) name: PathBuf,
    pub(super) file: File,
    pub(super) metadata: Metadata,
}

impl OpenFile {
    /// Fills `response`, or leaves it alone if the file cannot be read.
    pub(super) fn answer(
        self,
        content_type: String,
        headers: &Headers,
        is_head: bool,
        response: &mut Response,
    ) -> io::Result<()> {
        let validators = Validators::of(&self.metadata);
        match validators.judge(headers) {
            Verdict::Proceed => {
                let len = self.metadata.len();
                let asked = if !is_head && validators.allow_range(headers) {
                    ranges::asked(headers.get_all("range"), len)
                } else {
                    Asked::Whole
                };
                match asked {
                    Asked::Whole => {
                        self.send(0..len, is_head, response)?;
                        response.set_header("Content-Type", content_type);
                    }
                    Asked::Parts(parts) => {
                        self.send_parts(parts, content_type, &validators, response)?;
                    }
                    Asked::Nothing => {
                        response.end_with_error(
                            StatusCode::RANGE_NOT_SATISFIABLE,
                            "the file has no such part",
                        );
                        response.set_header("Content-Range", ranges::unsatisfied(len));
                    }
                }
                response.set_header("Accept-Ranges", "bytes");
            }
            Verdict::NotModified => {
                response.set_status(StatusCode::NOT_MODIFIED);
            }
            Verdict::Failed => {
                response.end_with_error(
                    StatusCode::PRECONDITION_FAILED,
                    "the file is another by now",
                );
            }
        }
        let modified = date::format_time(validators.modified);
        response
            .set_header("ETag", validators.etag)
            .set_header("Last-Modified", modified);
        Ok(())
    }

    /// Sends one part of the file, or all of it, as the body.
    pub(super) fn send(
        mut self,
        part: Range<u64>,
        is_head: bool,
        response: &mut Response,
    ) -> io::Result<()> {
        let len = part.end - part.start;
        if part.start > 0 {
            self.file.seek(SeekFrom::Start(part.start))?;
        }
        if is_head || len > SMALL_FILE_BYTES {
            let source = FileSource {
                file: self.file,
                missing: len,
            };
            response.end_with_source(len, Box::new(source));
        } else {
            let mut bytes = Vec::new();
            read_exactly(&mut self.file, &mut bytes, len)?;
            response.end(bytes);
        }
        Ok(())
    }

    /// Answers with 206 (section 15.3.7): one part as it is, several with lines between them.
    fn send_parts(
        self,
        parts: Vec<Range<u64>>,
        content_type: String,
        validators: &Validators,
        response: &mut Response,
    ) -> io::Result<()> {
        let len = self.metadata.len();
        response.set_status(StatusCode::PARTIAL_CONTENT);
        if let [part] = &parts[..] {
            self.send(part.clone(), false, response)?;
            response
                .set_header("Content-Range", ranges::content_range(part, len))
                .set_header("Content-Type", content_type);
            return Ok(());
        }
        let boundary = boundary(&validators.etag);
        let (before, end) = ranges::delimiters(&parts, len, &content_type, &boundary);
        let lines = before.iter().map(String::len).sum::<usize>() + end.len();
        let body_len = lines as u64 + parts.iter().map(|part| part.end - part.start).sum::<u64>();
        let mut pieces = VecDeque::new();
        for (lines, part) in before.into_iter().zip(parts) {
            pieces.push_back(Piece::Lines(lines));
            pieces.push_back(Piece::Part(part));
        }
        pieces.push_back(Piece::Lines(end));
        response.set_header(
            "Content-Type",
            format!("multipart/byteranges; boundary={boundary}"),
        );
        let source = PartsSource {
            file: self.file,
            pieces,
        };
        response.end_with_source(body_len, Box::new(source));
        Ok(())
    }
}

/// What stands between the parts of one response. No file holds it but by intent of its author, who
/// cannot know what this process made of it.
fn boundary(etag: &str) -> String {
    static OF_THIS_PROCESS: OnceLock<RandomState> = OnceLock::new();
    let hash = OF_THIS_PROCESS.get_or_init(RandomState::new).hash_one(etag);
    format!("aerys-{hash:016x}")
}

/// Appends the next `len` bytes of `file`; it is an error if there are fewer. `len` is small:
/// it is reserved.
fn read_exactly(file: &mut File, into: &mut Vec<u8>, len: u64) -> io::Result<()> {
    into.reserve(usize::try_from(len).unwrap_or(MAX_PULL_BYTES));
    if file.take(len).read_to_end(into)? as u64 == len {
        Ok(())
    } else {
        Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the file became shorter while it was sent",
        ))
    }
}

/// Appends up to `max` of the next `missing` bytes of `file`, as many as a pull may read; how many.
fn read_some(file: &mut File, into: &mut Vec<u8>, missing: u64, max: usize) -> io::Result<usize> {
    let missing = usize::try_from(missing).unwrap_or(MAX_PULL_BYTES);
    let len = missing.min(MAX_PULL_BYTES).min(max);
    read_exactly(file, into, len as u64)?;
    Ok(len)
}

/// The rest of a file, to be read while the socket takes it.
#[derive(Debug)]
struct FileSource {
    file: File,
    /// Bytes that the response still promises. What is appended to the file meanwhile is not
    /// part of it.
    missing: u64,
}

impl Source for FileSource {
    fn pull(&mut self, into: &mut Vec<u8>, max: usize) -> io::Result<usize> {
        let len = read_some(&mut self.file, into, self.missing, max)?;
        self.missing -= len as u64;
        Ok(len)
    }
}

/// Several parts of a file and the lines between them, to be read while the socket takes them.
#[derive(Debug)]
struct PartsSource {
    file: File,
    /// What is still to be sent.
    pieces: VecDeque<Piece>,
}

#[derive(Debug)]
enum Piece {
    Lines(String),
    Part(Range<u64>),
}

impl Source for PartsSource {
    fn pull(&mut self, into: &mut Vec<u8>, max: usize) -> io::Result<usize> {
        let Some(piece) = self.pieces.front_mut() else {
            return Ok(0);
        };
        let (len, is_sent) = match piece {
            Piece::Lines(lines) => {
                let len = lines.len().min(max);
                into.extend(lines.drain(..len).as_str().bytes());
                (len, lines.is_empty())
            }
            Piece::Part(part) => {
                self.file.seek(SeekFrom::Start(part.start))?;
                let len = read_some(&mut self.file, into, part.end - part.start, max)?;
                part.start += len as u64;
                (len, part.is_empty())
            }
        };
        if is_sent {
            self.pieces.pop_front();
        }
        Ok(len)
    }
}

/// The type of a file by its extension. Text is said to be UTF-8, which it is today.
pub(super) fn content_type(name: &Path) -> String {
    let essence = match name.extension().and_then(OsStr::to_str) {
        // The table knows its old name only (RFC 9239).
        Some(extension) if extension.eq_ignore_ascii_case("mjs") => "text/javascript",
        _ => mime_guess::from_path(name)
            .first_raw()
            .unwrap_or("application/octet-stream"),
    };
    // XML says its encoding itself, and JSON has no other.
    if essence.starts_with("text/") && essence != "text/xml" {
        format!("{essence}; charset=utf-8")
    } else {
        essence.to_owned()
    }
}
