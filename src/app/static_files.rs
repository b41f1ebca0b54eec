//! Paths to files below a directory, with validators and preconditions (RFC 9110 section 13).
//!
//! The one user of `std::fs`. A path is taken apart in `path.rs`, but that nothing escapes the root
//! is the kernel's word: names are resolved beneath the descriptor of the root. What was found is
//! kept for a second before the file system is asked again (`cache.rs`).

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::app::handler::Responder;
use crate::http::accept::{Coding, names_media_type};
use crate::http::{Headers, Method, Request, Response, StatusCode};

mod answer;
mod budget;
mod cache;
mod clock;
mod file;
mod listing;
mod path;
mod ranges;
mod root;
mod rules;
mod served;
mod share;
mod site;
mod source;
mod validators;

pub use cache::FileCache;
pub(crate) use cache::SWEEP_INTERVAL;
pub use rules::InvalidHeaderRule;
pub(crate) use share::kept_open_at_most;

use cache::{Cache, Known};
use clock::{Clock, Pace};
use file::Representation;
use path::FilePath;
use root::{OpenError, Root};
use rules::Rules;
use site::{Found, Site};
use validators::Verdict;

/// Serves the files below a directory to GET and HEAD.
///
/// A file is found by the percent-decoded path of the request. It is silent, so that the
/// answer is 404 in the end, about everything else: what is not there or may not be read, dot
/// segments in any spelling, empty segments, backslashes, names that begin with a dot (except
/// `/.well-known`), devices and pipes, symbolic links that lead out of the directory or begin
/// with a slash. A directory is answered by its index file, and redirected to the path with a
/// slash (308) if it has one.
///
/// Responses have `Last-Modified` and an `ETag`, which is weak while the file was changed less than
/// two seconds ago, and of this machine's copy alone; preconditions are answered with 304 or 412. A GET
/// may ask for a part of a file, or for several (RFC 9110 section 14): 206, or 416 if it has none of
/// them. What was compressed beforehand is sent to who takes it ([`precompressed`](Self::precompressed)).
///
/// Files are [kept](Self::cache) for their next requests: as bytes if they are few, else open. A
/// change shows within one second. Large files are sent from the disk while the client reads; one that
/// is written to meanwhile cuts the connection, so change files by a rename.
///
/// The directory is opened once: if it is replaced by another, the old one is served on.
///
/// ```no_run
/// use aerys::StaticFiles;
/// let files = StaticFiles::new("public")?
///     .header("/assets/**", "Cache-Control", "public, max-age=31536000, immutable")
///     .not_found("404.html");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct StaticFiles {
    site: Site,
    cache: RefCell<Cache<Arc<Found>>>,
    clock: Clock,
    /// Apart from each other, so that none hides the other.
    warnings: Pace,
    errors: Pace,
    fallback: Option<FilePath<'static>>,
    not_found: Option<FilePath<'static>>,
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
        let site = Site {
            path,
            root,
            index: vec!["index.html".to_owned(), "index.htm".to_owned()],
            content_types: Vec::new(),
            rules: Rules::default(),
            precompressed: true,
            listing: false,
            compress: false,
        };
        Ok(Self {
            site,
            cache: RefCell::new(Cache::new(FileCache::default())),
            clock: Clock::SYSTEM,
            warnings: Pace::default(),
            errors: Pace::default(),
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
        self.site.index = names.iter().map(|name| (*name).to_owned()).collect();
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
        self.site
            .content_types
            .push((extension, content_type.to_owned()));
        self
    }

    /// Whether a file that lies beside another, compressed beforehand, is sent in its place to who
    /// takes that coding: `app.js.br` (Brotli), `app.js.zst` (zstd) or `app.js.gz` (gzip) for
    /// `app.js`, unless it is older. Default true. Asked for by its own name, it is a file like any
    /// other.
    ///
    /// The client's preference decides (`Accept-Encoding`, RFC 9110 section 12.5.3), ours where it
    /// has none: Brotli, zstd, gzip.
    #[must_use]
    pub const fn precompressed(mut self, is_on: bool) -> Self {
        self.site.precompressed = is_on;
        self
    }

    /// Whether files are compressed for who takes gzip, where nobody did so
    /// [beforehand](Self::precompressed). Default false.
    ///
    /// When it is first asked for so, and kept as long as the file is: text of all kinds (HTML, CSS,
    /// JavaScript, JSON, XML, SVG, WebAssembly) of 860 bytes to 1 MiB, at level 6, which takes up to 20 ms
    /// for the longest. At most 1 MiB of files in 100 ms, for all of a thread: what is asked for
    /// beyond that is sent as it is. Not where `Cache-Control: no-transform` is set. Such an answer has a weak `ETag`, and no ranges:
    /// who asks for a part gets it of the file as it is.
    #[must_use]
    pub const fn compress(mut self, is_on: bool) -> Self {
        self.site.compress = is_on;
        self
    }

    /// Whether a directory without an index file is answered with a list of what is in it: a page, or
    /// JSON for who likes `application/json` better. Default false: it is as if it were not there.
    ///
    /// Listed is what is served, directories first, at most 10,000 entries; if there are more, the list
    /// says so. It is made anew once a second at most, and has `Cache-Control: no-cache` and none of the
    /// fields that are [set](Self::header) for files. An index file that cannot be sent, such as a link
    /// out of the root, makes no list of its directory.
    #[must_use]
    pub const fn listing(mut self, is_on: bool) -> Self {
        self.site.listing = is_on;
        self
    }

    /// Sets a header field for the files whose path matches `pattern`: on each answer that sends the
    /// file or a part of it (200, 206), and on a 304 those that may be there: `Cache-Control`,
    /// `Expires`, `Vary` and `Content-Location`. If several patterns match, the last one of a name
    /// counts, in place of what was set before; a `Vary` comes on top of what there is.
    ///
    /// In a pattern `*` stands for any characters of a name, `?` for one, and `**` for any number of
    /// directories or all that is below. Without a slash it is the name of a file anywhere, else a
    /// path from the root on. An index file goes by its own name.
    ///
    /// ```no_run
    /// use aerys::StaticFiles;
    /// let files = StaticFiles::new("public")?
    ///     .header("*.html", "Cache-Control", "no-cache")
    ///     .header("/assets/**", "Cache-Control", "public, max-age=31536000, immutable")
    ///     .header("/fonts/*.woff2", "Access-Control-Allow-Origin", "*");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// Where [`try_header`](Self::try_header) fails.
    #[must_use]
    pub fn header(mut self, pattern: &str, name: &str, value: &str) -> Self {
        if let Err(error) = self.site.rules.add(pattern, name, value) {
            panic!("{name} cannot be set for {pattern:?}: {error}");
        }
        self
    }

    /// As [`header`](Self::header), for what comes from a file or a user.
    ///
    /// # Errors
    ///
    /// If the pattern is none, the field cannot be sent, or its value is the server's to say.
    pub fn try_header(
        mut self,
        pattern: &str,
        name: &str,
        value: &str,
    ) -> Result<Self, InvalidHeaderRule> {
        self.site.rules.add(pattern, name, value)?;
        Ok(self)
    }

    /// Whether [`header`](Self::header) would take this rule.
    ///
    /// # Errors
    ///
    /// As [`try_header`](Self::try_header).
    pub fn check_header(pattern: &str, name: &str, value: &str) -> Result<(), InvalidHeaderRule> {
        rules::Rules::default().add(pattern, name, value)
    }

    /// Sets how much is kept of files that were asked for. Whatever it is, a file that was changed,
    /// replaced, removed or made is served as it is within one second.
    #[must_use]
    pub fn cache(mut self, cache: FileCache) -> Self {
        self.cache = RefCell::new(Cache::new(cache));
        self
    }

    /// Answers with this file, a path below the root, where none is found and a page is asked for:
    /// `Accept` names `text/html` (RFC 9110 section 12.5.1), as browsers do when they follow a link.
    /// For applications of a single page that make their paths themselves; their scripts and images,
    /// where missing, are missing still. Where that decides, `Vary: Accept` is set.
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
    /// behind this one is asked then: add it last. Of the fields of the file it has those that say
    /// what is sent (`Content-…`) and `Vary`.
    ///
    /// # Panics
    ///
    /// If it is no path that could be served.
    #[must_use]
    pub fn not_found(mut self, file: &str) -> Self {
        self.not_found = Some(page_path(file));
        self
    }

    /// Whether this file, a path below the root, would be found now: what [`fallback`](Self::fallback)
    /// and [`not_found`](Self::not_found) need. For the program, which says so before it serves.
    #[doc(hidden)]
    #[must_use]
    pub fn has_file(&self, file: &str) -> bool {
        let path = format!("/{file}");
        FilePath::parse(&path).is_some_and(|path| {
            !path.has_final_slash() && matches!(self.site.open(&path), Ok(site::Opened::File(..)))
        })
    }

    /// Closes files that nobody asked for lately, though nobody asks for any now.
    pub(crate) fn close_idle(&self) {
        self.cache.borrow_mut().close_idle((self.clock.instant)());
    }

    /// Closes all files that are kept for later, and says how many.
    pub(crate) fn close_kept(&self) -> usize {
        self.cache.borrow_mut().close_files()
    }

    /// What a path leads to, as it was within the last second.
    fn find(&mut self, path: &FilePath<'_>) -> Result<Arc<Found>, OpenError> {
        let now = (self.clock.instant)();
        let known = match self.cache.get_mut().find(path.as_key(), now) {
            Known::Fresh(found) => return Ok(found),
            Known::Stale(found) => Some(found),
            Known::Nothing => None,
        };
        let opened = match self.site.open(path) {
            Err(OpenError::NoDescriptors) => {
                self.cache.get_mut().close_files();
                self.site.open(path)
            }
            result => result,
        };
        if let Err(OpenError::NotThere) = opened {
            self.cache.get_mut().forget(path.as_key());
        }
        let opened = opened?;
        let calendar = (self.clock.calendar)();
        if let Some(known) = known
            && known.is_still(&opened, calendar)
        {
            self.cache.get_mut().renew(path.as_key(), now);
            return Ok(known);
        }
        let max_bytes = self.cache.get_mut().max_memory_bytes();
        let found = Arc::new(self.site.load(opened, max_bytes, calendar)?);
        self.cache
            .get_mut()
            .keep(path.as_key(), Arc::clone(&found), now);
        Ok(found)
    }

    /// The same for a request, and the coding to be sent. Nothing was written to the file since.
    fn find_for(
        &mut self,
        headers: &Headers,
        path: &FilePath<'_>,
    ) -> Result<(Arc<Found>, Option<Coding>), OpenError> {
        let found = self.find(path)?;
        let coding = self.choose(&found, path, headers);
        let file = found.as_file(coding);
        if file.is_none_or(Representation::is_consistent) {
            return Ok((found, coding));
        }
        self.cache.get_mut().forget(path.as_key());
        let found = self.find(path)?;
        let coding = self.choose(&found, path, headers);
        Ok((found, coding))
    }

    /// The coding to be sent. If its bytes are still to be made, and are to be sent, that is done
    /// here; or another is chosen, if too much was compressed just now.
    fn choose(&mut self, found: &Found, path: &FilePath<'_>, headers: &Headers) -> Option<Coding> {
        let Found::File(file) = found else {
            return None;
        };
        let coding = file.choose(headers, true);
        if !file.is_unmade(coding)
            || file.in_coding(coding).validators.judge(headers) != Verdict::Proceed
        {
            return coding;
        }
        let now = (self.clock.instant)();
        let is_made = budget::take(file.plain.len, now) && file.compress();
        self.cache.get_mut().recount(path.as_key());
        if is_made {
            coding
        } else {
            file.choose(headers, false)
        }
    }

    /// Answers where it is not known whether there is a file.
    fn answer_error(&mut self, error: &OpenError, response: &mut Response) {
        let now = (self.clock.instant)();
        let (status, text) = match error {
            OpenError::NotThere => return,
            OpenError::NoDescriptors => {
                if self.warnings.is_due(now) {
                    log::warn!("a file was not opened: there are too many open files");
                }
                let text = "too many files are open, try again";
                (StatusCode::SERVICE_UNAVAILABLE, text)
            }
            OpenError::Failed(errno) => {
                if self.errors.is_due(now) {
                    log::error!(
                        "a file below {} could not be read: {errno}",
                        self.site.path.display()
                    );
                }
                if root::is_passing(*errno) {
                    let text = "the file cannot be read now, try again";
                    (StatusCode::SERVICE_UNAVAILABLE, text)
                } else {
                    let text = "the file could not be read";
                    (StatusCode::INTERNAL_SERVER_ERROR, text)
                }
            }
        };
        response.end_with_error(status, text);
    }

    /// Answers where no file is meant or found: as set, or not at all.
    fn answer_missing(&mut self, is_path: bool, request: &Request, response: &mut Response) {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return;
        }
        let fallback = self.fallback.as_ref().filter(|_| is_path);
        if fallback.is_some() {
            // Also on the answer of whoever is asked next.
            response.add_header("Vary", "Accept");
        }
        let fallback = fallback.filter(|_| names_media_type(request.headers(), "text/html"));
        let is_fallback = fallback.is_some();
        let Some(name) = fallback.or(self.not_found.as_ref()).cloned() else {
            return;
        };
        let found = self.find_for(request.headers(), &name);
        let file = match &found {
            Ok((found, coding)) => found.as_file(*coding),
            Err(_) => None,
        };
        let Some(file) = file else {
            if self.warnings.is_due((self.clock.instant)()) {
                log::warn!(
                    "{} below {} cannot be sent: it must be a file that can be read",
                    name.relative().display(),
                    self.site.path.display()
                );
            }
            return;
        };
        if is_fallback {
            let is_head = request.method() == Method::HEAD;
            file.answer(request.headers(), is_head, response);
        } else {
            file.send_as_missing(response);
        }
    }
}

impl Responder for StaticFiles {
    fn respond(&mut self, request: &mut Request, response: &mut Response) {
        let request = &*request;
        let Some(path) = FilePath::parse(request.path()) else {
            return self.answer_missing(false, request, response);
        };
        let is_head = request.method() == Method::HEAD;
        let is_sent = is_head || request.method() == Method::GET;
        let found = if is_sent {
            self.find_for(request.headers(), &path)
        } else {
            self.find(&path).map(|found| (found, None))
        };
        let (found, coding) = match found {
            Ok(found) => found,
            Err(OpenError::NotThere) => return self.answer_missing(true, request, response),
            Err(error) => return self.answer_error(&error, response),
        };
        if !is_sent {
            answer_other_method(request, response);
            return;
        }
        match &*found {
            Found::DirectoryWithoutSlash => redirect_to_slash(request, response),
            Found::Directory(listing) => {
                listing.answer(request.headers(), response);
                // It may have been written only now.
                self.cache.get_mut().recount(path.as_key());
            }
            Found::File(file) => {
                let file = file.in_coding(coding);
                file.answer(request.headers(), is_head, response);
            }
        }
    }

    fn visit_endpoints(&self, visit: &mut dyn FnMut(&dyn Any)) {
        visit(self);
    }
}

impl fmt::Debug for StaticFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaticFiles")
            .field("path", &self.site.path)
            .field("index", &self.site.index)
            .finish_non_exhaustive()
    }
}

/// A path as the names below the root that it is, for an answer that is set beforehand.
fn page_path(file: &str) -> FilePath<'static> {
    match FilePath::parse(&format!("/{file}")) {
        Some(path) if !path.has_final_slash() => path.into_owned(),
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
    let location = request.with_query(&format!("{}/", request.path()));
    response.redirect(StatusCode::PERMANENT_REDIRECT, location);
}

#[cfg(test)]
mod tests;
