//! The head of a request: find its end, then parse it once (RFC 9112 sections 2 to 6).
//!
//! [`HeadScan`] goes over each byte once, however the head is cut into pieces, and enforces
//! the limits on the way; [`HeadScan::parse`] turns a complete head into a [`Request`].
//! Most heads need neither: those that are [`straight`].
//! Each byte is judged at the same point in any chunking, so that the verdict is the same.

use std::ops::Range;

use crate::config::Config;
use crate::http::bytes::find_control;
use crate::http::headers::{FieldRange, Headers, is_name, is_token};
use crate::http::request::RequestHead;
use crate::http::target::{TargetForm, TargetParts, is_authority};
use crate::http::{Method, Request, StatusCode, Version};

use super::RefusedRequest;
use super::message_body::BodyFraming;

pub(crate) mod straight;

/// Longest method. All that are registered (the longest is `UPDATEREDIRECTREF`) fit.
const MAX_METHOD_BYTES: usize = 32;

/// Empty lines tolerated before a request line (RFC 9112 section 2.2): some old clients send
/// one behind a body.
const MAX_EMPTY_LINES: u8 = 2;

const TARGET_TOO_LONG: RefusedRequest =
    RefusedRequest::new(StatusCode::URI_TOO_LONG, "the request target is too long");
const SECTION_TOO_LONG: RefusedRequest = RefusedRequest::new(
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    "the header section is too long",
);
const NOT_THREE_PARTS: RefusedRequest =
    RefusedRequest::bad("the request line is not method, target and version");
const TOO_MANY_FIELDS: RefusedRequest = RefusedRequest::new(
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    "there are too many header fields",
);

/// How far the search for the end of one head has come. All positions count from the first
/// byte that was given to it.
#[derive(Debug, Default)]
pub(crate) struct HeadScan {
    /// Bytes that need not be looked at again.
    scanned: usize,
    /// Where the line that `scanned` is in begins.
    line_start: usize,
    empty_line_count: u8,
    open_line: OpenRequestLine,
    /// Set once the request line is complete.
    request_line: Option<RequestLine>,
    /// Where the line behind the request line begins.
    fields_start: usize,
    field_count: usize,
}

impl HeadScan {
    /// Whether a request has begun: something other than empty lines was there.
    pub(crate) const fn has_begun(&self) -> bool {
        self.request_line.is_some() || self.scanned > self.line_start
    }

    /// Whether the request is known to be a HEAD: its answer must not have a body.
    pub(crate) fn is_head_request(&self) -> bool {
        self.request_line
            .as_ref()
            .is_some_and(|line| line.method == Method::HEAD)
    }

    /// Method, target and version of the request that begins with `bytes`, once its first line is complete.
    pub(crate) fn request_line<'h>(&self, bytes: &'h [u8]) -> Option<(&Method, &'h str, Version)> {
        let line = self.request_line.as_ref()?;
        let target = std::str::from_utf8(bytes.get(line.target.clone())?).ok()?;
        Some((&line.method, target, line.version))
    }

    /// Looks for the end of the head in `bytes`: what was given before, and more behind it.
    ///
    /// Returns the length of the head with its empty line, or `None` if `bytes` ends before it.
    ///
    /// # Errors
    ///
    /// Everything that can be told without the whole head: a passed limit, a bad request line,
    /// a control character.
    pub(crate) fn find_end(
        &mut self,
        bytes: &[u8],
        config: &Config,
    ) -> Result<Option<usize>, RefusedRequest> {
        let visible = &bytes[..bytes.len().min(config.max_header_section_bytes)];
        if self.scanned > visible.len() {
            // More was allowed when that was read: a reload lowers limits.
            return Err(SECTION_TOO_LONG);
        }
        loop {
            let position = find_control(visible, self.scanned);
            if self.request_line.is_none() {
                self.open_line
                    .judge(&visible[self.line_start..position], config)?;
            }
            self.scanned = position;
            match visible[position..] {
                [b'\r', b'\n', ..] => {}
                [] | [b'\r'] if bytes.len() > visible.len() => return Err(SECTION_TOO_LONG),
                [] | [b'\r'] => return Ok(None),
                [b'\r', ..] => return Err(RefusedRequest::bad("there is a CR without LF")),
                [b'\n', ..] => return Err(RefusedRequest::bad("there is a LF without CR")),
                [_, ..] => return Err(RefusedRequest::bad("there is a control character")),
            }
            self.scanned = position + 2;
            if self.end_line(&visible[self.line_start..position], config)? {
                return Ok(Some(self.scanned));
            }
            self.line_start = self.scanned;
        }
    }

    /// Takes note of a complete line; true if it is the empty one at the end of the head.
    fn end_line(&mut self, line: &[u8], config: &Config) -> Result<bool, RefusedRequest> {
        if self.request_line.is_some() {
            if line.is_empty() {
                return Ok(true);
            }
            self.field_count += 1;
            if self.field_count > config.max_header_count {
                return Err(TOO_MANY_FIELDS);
            }
        } else if line.is_empty() {
            self.empty_line_count += 1;
            if self.empty_line_count > MAX_EMPTY_LINES {
                return Err(RefusedRequest::bad(
                    "there are empty lines before the request line",
                ));
            }
        } else {
            let parsed = RequestLine::parse(line, self.line_start, &self.open_line);
            self.request_line = Some(parsed?);
            self.fields_start = self.scanned;
        }
        Ok(false)
    }

    /// Parses the head whose end was found into `request`: `head` is exactly as long as
    /// [`find_end`](Self::find_end) said.
    pub(crate) fn parse(
        &mut self,
        head: &[u8],
        request: &mut Request,
    ) -> Result<Outline, RefusedRequest> {
        let request_line = self
            .request_line
            .clone()
            .expect("an end is found behind a request line only");
        let section = &head[self.fields_start..];
        // Nearly all requests have few fields: those need no allocation for the parser's list.
        let mut few = [httparse::EMPTY_HEADER; 16];
        let mut many = Vec::new();
        let list = if self.field_count <= few.len() {
            &mut few[..]
        } else {
            many.resize(self.field_count, httparse::EMPTY_HEADER);
            &mut many[..]
        };
        match httparse::parse_headers(section, list) {
            Ok(httparse::Status::Complete((len, fields))) if len == section.len() => {
                let target = &head[request_line.target.clone()];
                assemble(request_line, target, section, fields, request)
            }
            // Folded lines, blanks before the colon, empty and ill names: all are this.
            _ => Err(RefusedRequest::bad("a header field is malformed")),
        }
    }
}

/// What is known of a request line before its end.
#[derive(Debug, Default)]
struct OpenRequestLine {
    /// Where in the line the target begins, once the method has ended.
    target_start: Option<usize>,
    /// Whether the target has ended.
    target_is_complete: bool,
    /// How much of the line was judged.
    judged: usize,
}

impl OpenRequestLine {
    /// Judges the lengths in `line`, which is what came of it so far: a peer cannot make us
    /// wait for the end of a target that would be refused anyway.
    fn judge(&mut self, line: &[u8], config: &Config) -> Result<(), RefusedRequest> {
        let target_start = match self.target_start {
            Some(start) => start,
            None => match line[..line.len().min(MAX_METHOD_BYTES + 1)]
                .iter()
                .position(|byte| *byte == b' ')
            {
                Some(method_len) => {
                    self.judged = method_len + 1;
                    *self.target_start.insert(method_len + 1)
                }
                None if line.len() > MAX_METHOD_BYTES => {
                    return Err(RefusedRequest::new(
                        StatusCode::NOT_IMPLEMENTED,
                        "the method is too long",
                    ));
                }
                None => return Ok(()),
            },
        };
        if !self.target_is_complete {
            let target_end = match line[self.judged..].iter().position(|byte| *byte == b' ') {
                Some(position) => {
                    self.target_is_complete = true;
                    self.judged + position
                }
                None => line.len(),
            };
            self.judged = target_end;
            if target_end - target_start > config.max_target_bytes {
                return Err(TARGET_TOO_LONG);
            }
        }
        Ok(())
    }
}

/// The first line of a request (RFC 9112 section 3).
#[derive(Clone, Debug)]
struct RequestLine {
    method: Method,
    /// Where the target lies in the head.
    target: Range<usize>,
    target_parts: TargetParts,
    version: Version,
}

impl RequestLine {
    /// Parses a line without its line end: exactly one space between exactly three parts. Where
    /// the spaces are was found when it was judged. The line begins at `line_start` of the head.
    fn parse(
        line: &[u8],
        line_start: usize,
        judged: &OpenRequestLine,
    ) -> Result<Self, RefusedRequest> {
        let (method, target, version) = match judged.target_start {
            Some(start) if judged.target_is_complete => (
                &line[..start - 1],
                start..judged.judged,
                &line[judged.judged + 1..],
            ),
            _ => return Err(NOT_THREE_PARTS),
        };
        let version = match parse_version(version) {
            Err(_) if version.contains(&b' ') => return Err(NOT_THREE_PARTS),
            verdict => verdict,
        };
        if !is_token(method) {
            return Err(RefusedRequest::bad("the method is no token"));
        }
        let version = version?;
        let method = Method::from_bytes(method)
            .map_err(|_| RefusedRequest::bad("the method is no token"))?;
        if method == Method::CONNECT {
            // Its target has a form of its own, and a 2xx to it would have no framing.
            return Err(RefusedRequest::new(
                StatusCode::NOT_IMPLEMENTED,
                "this server is no proxy",
            ));
        }
        let target_parts = TargetParts::parse(&line[target.clone()])
            .map_err(|_| RefusedRequest::bad("the request target is malformed"))?;
        if target_parts.form() == TargetForm::Asterisk && method != Method::OPTIONS {
            return Err(RefusedRequest::bad("the target * is for OPTIONS only"));
        }
        Ok(Self {
            method,
            target: line_start + target.start..line_start + target.end,
            target_parts,
            version,
        })
    }
}

fn parse_version(text: &[u8]) -> Result<Version, RefusedRequest> {
    match text {
        b"HTTP/1.1" => Ok(Version::HTTP_11),
        b"HTTP/1.0" => Ok(Version::HTTP_10),
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => Err(RefusedRequest::new(
            StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            "the version is not HTTP/1.0 or HTTP/1.1",
        )),
        _ => Err(RefusedRequest::bad(
            "the request line does not end with an HTTP version",
        )),
    }
}

/// What follows from a head in which everything was found to be right, besides the request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outline {
    /// How long the body is.
    pub(crate) framing: BodyFraming,
    /// Whether the client leaves the connection open for another request.
    pub(crate) keep_alive: bool,
    /// Whether the client waits for a 100 before it sends the body.
    pub(crate) expects_continue: bool,
}

/// The fields that frame a request, gathered in one pass.
#[derive(Default)]
struct FramingFields<'h> {
    host: Option<&'h [u8]>,
    content_length: Option<&'h [u8]>,
    transfer_encoding: Option<&'h [u8]>,
    expectation: Expectation,
    says_close: bool,
    says_keep_alive: bool,
}

/// What the `Expect` fields ask for (RFC 9110 section 10.1.1).
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Expectation {
    #[default]
    Nothing,
    Continue,
    Unknown,
}

impl<'h> FramingFields<'h> {
    /// Gathers them, and notes in `headers` where all `fields` of the section lie.
    fn gather(
        section: &'h [u8],
        fields: &[httparse::Header<'h>],
        headers: &mut Headers,
    ) -> Result<Self, RefusedRequest> {
        let mut found = Self::default();
        for field in fields {
            headers.note_field(range_of(section, field));
            found.add(field.name.as_bytes(), field.value)?;
        }
        Ok(found)
    }

    /// Takes note of one field.
    fn add(&mut self, name: &[u8], value: &'h [u8]) -> Result<(), RefusedRequest> {
        // By length first: most fields are none of these.
        match name.len() {
            4 if is_name(name, b"host") => {
                set_once(&mut self.host, value, "there is more than one Host field")?;
            }
            14 if is_name(name, b"content-length") => {
                let reason = "there is more than one Content-Length field";
                set_once(&mut self.content_length, value, reason)?;
            }
            17 if is_name(name, b"transfer-encoding") => {
                let reason = "there is more than one Transfer-Encoding field";
                set_once(&mut self.transfer_encoding, value, reason)?;
            }
            6 if is_name(name, b"expect") => {
                let is_known = value.eq_ignore_ascii_case(b"100-continue");
                self.expectation = if is_known && self.expectation != Expectation::Unknown {
                    Expectation::Continue
                } else {
                    Expectation::Unknown
                };
            }
            10 if is_name(name, b"connection") => {
                let options = value.split(|byte| *byte == b',');
                for option in options.map(<[u8]>::trim_ascii) {
                    self.says_close |= option.eq_ignore_ascii_case(b"close");
                    self.says_keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// RFC 9112 section 3.2: exactly one, except that HTTP/1.0 may do without.
    fn check_host(&self, version: Version) -> Result<(), RefusedRequest> {
        match self.host {
            None if version == Version::HTTP_10 => Ok(()),
            None => Err(RefusedRequest::bad("there is no Host field")),
            Some(host) if is_authority(host) => Ok(()),
            Some(_) => Err(RefusedRequest::bad("the Host field is malformed")),
        }
    }

    /// RFC 9112 section 6.3, without its leniency: what could be read in two ways is refused.
    fn body_framing(&self, version: Version) -> Result<BodyFraming, RefusedRequest> {
        match (self.content_length, self.transfer_encoding) {
            (Some(_), Some(_)) => Err(RefusedRequest::bad(
                "there are both Content-Length and Transfer-Encoding",
            )),
            (None, None) => Ok(BodyFraming::Length(0)),
            (Some(length), None) => parse_content_length(length).map(BodyFraming::Length),
            // An HTTP/1.0 proxy on the way would not have understood it (section 6.1).
            (None, Some(_)) if version == Version::HTTP_10 => Err(RefusedRequest::bad(
                "there is a Transfer-Encoding in an HTTP/1.0 request",
            )),
            (None, Some(coding)) => check_transfer_encoding(coding).map(|()| BodyFraming::Chunked),
        }
    }
}

fn set_once<'h>(
    slot: &mut Option<&'h [u8]>,
    value: &'h [u8],
    reason: &'static str,
) -> Result<(), RefusedRequest> {
    if slot.replace(value).is_some() {
        Err(RefusedRequest::bad(reason))
    } else {
        Ok(())
    }
}

/// Digits and nothing else, below 2^64.
fn parse_content_length(value: &[u8]) -> Result<u64, RefusedRequest> {
    const MALFORMED: RefusedRequest = RefusedRequest::bad("the Content-Length is no number");
    // `str::parse` alone would take a plus sign.
    if !value.iter().all(u8::is_ascii_digit) {
        return Err(MALFORMED);
    }
    std::str::from_utf8(value)
        .ok()
        .and_then(|digits| digits.parse().ok())
        .ok_or(MALFORMED)
}

/// `chunked` alone is known. Where it stands among others but not at the end, nobody can tell
/// how long the body is.
fn check_transfer_encoding(value: &[u8]) -> Result<(), RefusedRequest> {
    let is_chunked = |coding: &[u8]| coding.trim_ascii().eq_ignore_ascii_case(b"chunked");
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    let mut before_last = value.rsplit(|byte| *byte == b',').skip(1);
    if value.is_empty() || before_last.any(is_chunked) {
        return Err(RefusedRequest::bad("the Transfer-Encoding is malformed"));
    }
    Err(RefusedRequest::new(
        StatusCode::NOT_IMPLEMENTED,
        "chunked is the only transfer coding that is known",
    ))
}

/// From the parser's list to the request. `section` holds the field lines and the empty line.
fn assemble(
    request_line: RequestLine,
    target: &[u8],
    section: &[u8],
    fields: &[httparse::Header<'_>],
    request: &mut Request,
) -> Result<Outline, RefusedRequest> {
    let headers = request.headers_mut();
    headers.clear();
    headers.fill(&section[..section.len() - 2]);
    let framing_fields = FramingFields::gather(section, fields, headers)?;
    complete(request_line, target, &framing_fields, request)
}

/// Judges what the fields say together, and completes the request, which has them already.
fn complete(
    request_line: RequestLine,
    target: &[u8],
    framing_fields: &FramingFields<'_>,
    request: &mut Request,
) -> Result<Outline, RefusedRequest> {
    let version = request_line.version;
    framing_fields.check_host(version)?;
    let framing = framing_fields.body_framing(version)?;
    if framing_fields.expectation == Expectation::Unknown {
        let reason = "100-continue is the only expectation that is known";
        return Err(RefusedRequest::new(StatusCode::EXPECTATION_FAILED, reason));
    }
    let keep_alive = !framing_fields.says_close
        && (version == Version::HTTP_11 || framing_fields.says_keep_alive);
    let announces_body = framing != BodyFraming::Length(0);
    // An HTTP/1.0 client would take the 100 for the answer.
    let expects_continue = framing_fields.expectation == Expectation::Continue
        && announces_body
        && version == Version::HTTP_11;
    request.begin(RequestHead {
        method: request_line.method,
        target,
        target_parts: request_line.target_parts,
        version,
        announces_body,
    });
    Ok(Outline {
        framing,
        keep_alive,
        expects_continue,
    })
}

/// Where in `section` the parser found a field.
fn range_of(section: &[u8], field: &httparse::Header<'_>) -> FieldRange {
    let offset_of = |part: &[u8]| part.as_ptr().addr() - section.as_ptr().addr();
    let name_start = offset_of(field.name.as_bytes());
    let name_end = name_start + field.name.len();
    // An empty value may be a slice of nothing: it lies behind its colon.
    let value_start = if field.value.is_empty() {
        name_end + 1
    } else {
        offset_of(field.value)
    };
    FieldRange {
        name_start: position(name_start),
        name_end: position(name_end),
        value_start: position(value_start),
        value_end: position(value_start + field.value.len()),
    }
}

/// An offset in a header section.
fn position(offset: usize) -> u32 {
    u32::try_from(offset).expect("a header section is far below 4 GiB")
}

#[cfg(test)]
mod tests;
