//! Paths to files below a directory, with validators and preconditions (RFC 9110 section 13).
//!
//! The one user of `std::fs`. A path is taken apart here, but that nothing escapes the root
//! is the kernel's word: names are resolved beneath the descriptor of the root.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fmt;
use std::fs::{File, Metadata};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::app::handler::Responder;
use crate::http::target::percent_decode;
use crate::http::{Headers, Method, Request, Response, StatusCode, date};
use crate::output::Source;

mod ranges;
mod root;
mod validators;

use ranges::Asked;
use root::{OpenError, Root};
use validators::{Validators, Verdict};

/// Files up to this size are read at once: cheaper than to come back for them.
const SMALL_FILE_BYTES: u64 = 16 * 1024;

/// Most that one pull reads of a file: what other clients wait for a disk.
const MAX_PULL_BYTES: usize = 64 * 1024;

/// Serves the files below a directory to GET and HEAD.
///
/// A file is found by the percent-decoded path of the request. It is silent, so that the
/// answer is 404 in the end, about everything else: what is not there or may not be read, dot
/// segments in any spelling, empty segments, backslashes, names that begin with a dot (except
/// `/.well-known`), devices and pipes, symbolic links that lead out of the directory or begin
/// with a slash. A directory is answered by its index file, and redirected to the path with a
/// slash (308) if it has one.
///
/// Responses have `Last-Modified` and a strong `ETag`; preconditions are answered with 304 or
/// 412. A GET may ask for a part of a file, or for several (RFC 9110 section 14): 206, or 416 if it
/// has none of them. Large files are read while they are sent.
///
/// The directory is opened once: if it is replaced by another, the old one is served on.
///
/// ```no_run
/// use aerys::StaticFiles;
/// let files = StaticFiles::new("public")?.index(&["index.html", "default.html"]);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct StaticFiles {
    path: PathBuf,
    root: Root,
    index: Vec<String>,
}

impl StaticFiles {
    /// Serves what is below `root`. Index files are `index.html` and `index.htm`.
    ///
    /// # Errors
    ///
    /// If `root` is not a directory that can be read.
    pub fn new(root: impl AsRef<Path>) -> io::Result<Self> {
        let path = root.as_ref().to_owned();
        let root = Root::open(&path).map_err(|error| {
            let text = format!(
                "the document root {} must be a readable directory: {error}",
                path.display()
            );
            io::Error::new(error.kind(), text)
        })?;
        Ok(Self {
            path,
            root,
            index: vec!["index.html".to_owned(), "index.htm".to_owned()],
        })
    }

    /// Sets the names of index files, the first that exists is served. None: no directory is.
    ///
    /// # Panics
    ///
    /// If one is not the name of a file but a path.
    #[must_use]
    pub fn index(mut self, names: &[&str]) -> Self {
        for name in names {
            let is_name = !matches!(*name, "" | "." | "..") && !name.contains(['/', '\0']);
            assert!(is_name, "an index file is a name, not a path: {name:?}");
        }
        self.index = names.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    fn find(&self, path: &FilePath) -> Result<Found, OpenError> {
        let (file, metadata) = self.root.open_existing(&path.relative)?;
        if metadata.is_file() {
            // `/file/` is another resource than `/file`, and none.
            let found = Found::File(OpenFile {
                name: path.relative.clone(),
                file,
                metadata,
            });
            return if path.has_final_slash {
                Err(OpenError::NotThere)
            } else {
                Ok(found)
            };
        }
        if !metadata.is_dir() {
            return Err(OpenError::NotThere);
        }
        for index in &self.index {
            let name = path.relative.join(index);
            match self.root.open_existing(&name) {
                Ok((_, metadata)) if !metadata.is_file() => {}
                Ok(_) if !path.has_final_slash => return Ok(Found::DirectoryWithoutSlash),
                Ok((file, metadata)) => {
                    return Ok(Found::File(OpenFile {
                        name,
                        file,
                        metadata,
                    }));
                }
                Err(OpenError::NotThere) => {}
                Err(error) => return Err(error),
            }
        }
        Err(OpenError::NotThere)
    }
}

impl Responder for StaticFiles {
    fn respond(&mut self, request: &mut Request, response: &mut Response) {
        let Some(path) = FilePath::parse(request.path()) else {
            return;
        };
        let found = match self.find(&path) {
            Ok(found) => found,
            Err(OpenError::NotThere) => return,
            Err(OpenError::NoDescriptors) => {
                log::warn!("a file was not opened: there are too many open files");
                response.end_with_error(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "too many files are open, try again",
                );
                return;
            }
            Err(OpenError::Failed(error)) => {
                log::error!(
                    "a file below {} could not be opened: {error}",
                    self.path.display()
                );
                response.end_with_error(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "the file could not be opened",
                );
                return;
            }
        };
        let is_head = request.method() == Method::HEAD;
        if !is_head && request.method() != Method::GET {
            answer_other_method(request, response);
            return;
        }
        match found {
            Found::DirectoryWithoutSlash => redirect_to_slash(request, response),
            Found::File(file) => {
                if let Err(error) = file.answer(request.headers(), is_head, response) {
                    log::warn!(
                        "a file below {} could not be read: {error}",
                        self.path.display()
                    );
                    response.end_with_error(
                        StatusCode::INTERNAL_SERVER_ERROR,
                        "the file could not be read",
                    );
                }
            }
        }
    }
}

impl fmt::Debug for StaticFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaticFiles")
            .field("path", &self.path)
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

/// 204 for OPTIONS, else 405.
fn answer_other_method(request: &Request, response: &mut Response) {
    if request.method() == Method::OPTIONS {
        response.set_status(StatusCode::NO_CONTENT);
    } else {
        response.end_with_error(StatusCode::METHOD_NOT_ALLOWED, "a file can only be read");
    }
    response.set_header("Allow", "GET, HEAD, OPTIONS");
}

/// To the path with a slash at its end. It cannot lead to another host: a [`FilePath`] begins
/// with one slash and has no backslash.
fn redirect_to_slash(request: &Request, response: &mut Response) {
    let query = request
        .query()
        .map(|query| format!("?{query}"))
        .unwrap_or_default();
    response.redirect(
        StatusCode::PERMANENT_REDIRECT,
        format!("{}/{query}", request.path()),
    );
}

/// What a path leads to.
#[expect(
    clippy::large_enum_variant,
    reason = "handed over once, where a box would cost more"
)]
enum Found {
    File(OpenFile),
    /// It has an index file, but the path lacks the slash that relative links need.
    DirectoryWithoutSlash,
}

/// The path of a request as names below the root.
#[derive(Debug, PartialEq, Eq)]
struct FilePath {
    /// Without leading slash, `.` for the root itself; of plain names only.
    relative: PathBuf,
    has_final_slash: bool,
}

impl FilePath {
    /// `None` if no file could be meant, or two things could.
    fn parse(path: &str) -> Option<Self> {
        let path = path.strip_prefix('/')?;
        if path.is_empty() {
            return Some(Self {
                relative: ".".into(),
                has_final_slash: true,
            });
        }
        let (path, has_final_slash) = path
            .strip_suffix('/')
            .map_or((path, false), |path| (path, true));
        let mut relative = PathBuf::new();
        for (index, segment) in path.split('/').enumerate() {
            // Decoded once and each segment for itself: `%2e%2e` is a dot segment, `..%2f` a
            // name with a slash in it, `%252e` a name with a percent sign.
            let name = percent_decode(segment);
            let is_plain =
                !name.is_empty() && !name.iter().any(|byte| matches!(byte, b'/' | b'\\' | 0));
            // Dot segments are among the names that begin with a dot.
            let is_shown = !name.starts_with(b".") || (index == 0 && *name == *b".well-known");
            if !is_plain || !is_shown {
                return None;
            }
            relative.push(OsStr::from_bytes(&name));
        }
        Some(Self {
            relative,
            has_final_slash,
        })
    }
}

/// A regular file to be sent.
struct OpenFile {
    /// Below the root; what its type is told by.
    name: PathBuf,
    file: File,
    metadata: Metadata,
}

impl OpenFile {
    /// Fills `response`, or leaves it alone if the file cannot be read.
    fn answer(self, headers: &Headers, is_head: bool, response: &mut Response) -> io::Result<()> {
        let validators = Validators::of(&self.metadata);
        match validators.judge(headers) {
            Verdict::Proceed => {
                let len = self.metadata.len();
                response.set_header("Accept-Ranges", "bytes");
                let asked = if !is_head && validators.allow_range(headers) {
                    ranges::asked(headers.get_all("range"), len)
                } else {
                    Asked::Whole
                };
                match asked {
                    Asked::Whole => {
                        response.set_header("Content-Type", content_type(&self.name));
                        self.send(0..len, is_head, response)?;
                    }
                    Asked::Parts(parts) => self.send_parts(parts, &validators, response)?,
                    Asked::Nothing => {
                        response.end_with_error(
                            StatusCode::RANGE_NOT_SATISFIABLE,
                            "the file has no such part",
                        );
                        response.set_header("Content-Range", ranges::unsatisfied(len));
                    }
                }
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
    fn send(mut self, part: Range<u64>, is_head: bool, response: &mut Response) -> io::Result<()> {
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
        validators: &Validators,
        response: &mut Response,
    ) -> io::Result<()> {
        let (len, content_type) = (self.metadata.len(), content_type(&self.name));
        response.set_status(StatusCode::PARTIAL_CONTENT);
        if let [part] = &parts[..] {
            response
                .set_header("Content-Range", ranges::content_range(part, len))
                .set_header("Content-Type", content_type);
            return self.send(part.clone(), false, response);
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
        let len = usize::try_from(self.missing)
            .unwrap_or(MAX_PULL_BYTES)
            .min(MAX_PULL_BYTES)
            .min(max);
        read_exactly(&mut self.file, into, len as u64)?;
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
        let len = match piece {
            Piece::Lines(lines) => {
                let len = lines.len().min(max);
                into.extend(lines.drain(..len).as_str().bytes());
                len
            }
            Piece::Part(part) => {
                let left = usize::try_from(part.end - part.start).unwrap_or(MAX_PULL_BYTES);
                let len = left.min(MAX_PULL_BYTES).min(max);
                self.file.seek(SeekFrom::Start(part.start))?;
                read_exactly(&mut self.file, into, len as u64)?;
                part.start += len as u64;
                len
            }
        };
        let is_sent = match piece {
            Piece::Lines(lines) => lines.is_empty(),
            Piece::Part(part) => part.is_empty(),
        };
        if is_sent {
            self.pieces.pop_front();
        }
        Ok(len)
    }
}

/// The type of a file by its extension. Text is said to be UTF-8, which it is today.
fn content_type(name: &Path) -> String {
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

#[cfg(test)]
mod tests;
