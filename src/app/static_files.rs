//! Paths to files below a directory, with validators and preconditions (RFC 9110 section 13).
//!
//! The one user of `std::fs`. A path is taken apart here, but that nothing escapes the root
//! is the kernel's word: names are resolved beneath the descriptor of the root.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::app::handler::Responder;
use crate::http::target::percent_decode;
use crate::http::{Headers, Method, Request, Response, StatusCode};

mod file;
mod ranges;
mod root;
mod validators;

use file::{OpenFile, content_type};
use root::{OpenError, Root};

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
    /// By extension, in lower case.
    content_types: Vec<(String, String)>,
    fallback: Option<PathBuf>,
    not_found: Option<PathBuf>,
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
            content_types: Vec::new(),
            fallback: None,
            not_found: None,
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

    /// Sets the type of files with this extension, which is without its dot and in any case. What is
    /// not set is told by a table of the usual ones; text is said to be UTF-8.
    ///
    /// # Panics
    ///
    /// If `content_type` cannot be the value of a field.
    #[must_use]
    pub fn content_type(mut self, extension: &str, content_type: &str) -> Self {
        assert!(
            http::HeaderValue::from_str(content_type).is_ok(),
            "the type {content_type:?} cannot be sent"
        );
        let extension = extension.to_ascii_lowercase();
        self.content_types
            .push((extension, content_type.to_owned()));
        self
    }

    /// Answers with this file, a path below the root, where none is found and a page is asked for:
    /// `Accept` names `text/html`, as browsers do when they follow a link. For applications of a
    /// single page that make their paths themselves; their scripts and images, where missing, are
    /// missing still.
    ///
    /// # Panics
    ///
    /// If it is no path that could be served.
    #[must_use]
    pub fn fallback(mut self, file: &str) -> Self {
        self.fallback = Some(page_path(file));
        self
    }

    /// Answers with this file, a path below the root, and 404 where none is found. No responder
    /// behind this one is asked then: add it last.
    ///
    /// # Panics
    ///
    /// If it is no path that could be served.
    #[must_use]
    pub fn not_found(mut self, file: &str) -> Self {
        self.not_found = Some(page_path(file));
        self
    }

    /// Answers where no file is meant or found: as set, or not at all.
    fn answer_missing(&self, is_path: bool, request: &Request, response: &mut Response) {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return;
        }
        let fallback = self.fallback.as_ref();
        let fallback = fallback.filter(|_| is_path && asks_for_page(request.headers()));
        let Some(name) = fallback.or(self.not_found.as_ref()) else {
            return;
        };
        if let Err(error) = self.send_page(name, fallback.is_some(), request, response) {
            log::warn!(
                "{} below {} cannot be sent: {error}",
                name.display(),
                self.path.display()
            );
            *response = Response::new();
            return;
        }
        if self.fallback.is_some() {
            response.set_header("Vary", "Accept");
        }
    }

    /// Sends a file in place of one that is missing: as if it were that, or with 404.
    fn send_page(
        &self,
        name: &Path,
        is_found: bool,
        request: &Request,
        response: &mut Response,
    ) -> io::Result<()> {
        let opened = self.root.open_existing(name);
        let (file, metadata) = opened.map_err(|_| io::Error::other("it cannot be opened"))?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is no file"));
        }
        let (content_type, len) = (self.type_of(name), metadata.len());
        let is_head = request.method() == Method::HEAD;
        let file = OpenFile {
            name: name.to_owned(),
            file,
            metadata,
        };
        if is_found {
            return file.answer(content_type, request.headers(), is_head, response);
        }
        response
            .set_status(StatusCode::NOT_FOUND)
            .set_header("Content-Type", content_type);
        file.send(0..len, is_head, response)
    }

    /// The `Content-Type` of a file.
    fn type_of(&self, name: &Path) -> String {
        let extension = name.extension().and_then(OsStr::to_str).unwrap_or_default();
        let mut own = self.content_types.iter().rev();
        match own.find(|(own, _)| own.eq_ignore_ascii_case(extension)) {
            Some((_, content_type)) => content_type.clone(),
            None => content_type(name),
        }
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
            return self.answer_missing(false, request, response);
        };
        let found = match self.find(&path) {
            Ok(found) => found,
            Err(OpenError::NotThere) => return self.answer_missing(true, request, response),
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
                let content_type = self.type_of(&file.name);
                let answered = file.answer(content_type, request.headers(), is_head, response);
                if let Err(error) = answered {
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

/// Whether `Accept` names `text/html` (RFC 9110 section 12.5.1), as it does for a link that is
/// followed and not for what a page consists of.
fn asks_for_page(headers: &Headers) -> bool {
    headers.tokens("accept").any(|range| {
        let essence = range.split(';').next().unwrap_or_default();
        essence.trim_ascii().eq_ignore_ascii_case("text/html")
    })
}

/// A path as the names below the root that it is, for an answer that is set beforehand.
fn page_path(file: &str) -> PathBuf {
    match FilePath::parse(&format!("/{file}")) {
        Some(path) if !path.has_final_slash => path.relative,
        _ => panic!("{file:?} is no file that could be served: a path below the root is meant"),
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

#[cfg(test)]
mod tests;
