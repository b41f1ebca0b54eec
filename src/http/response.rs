//! A response as a plain value (RFC 9110 section 15): what a handler fills.
//!
//! Nothing in it panics and nothing invalid stays in it: a mistake of the handler turns the
//! whole response into a 500 and is remembered for the log.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::{Cookie, Headers, InvalidCookie, InvalidField, ResponseStream, StatusCode};
use crate::output::Source;
use crate::panics;

/// The answer to one request. Starts as 200 without fields and body, not started.
///
/// A mistake, such as a header value with a line break or a status that is none, makes the
/// response a 500: it is logged, never sent, never a panic, and what is set afterwards is
/// ignored.
///
/// ```
/// use aerys::{Cookie, Request, Response};
/// fn login(_: &mut Request, response: &mut Response) {
///     response
///         .set_status(201)
///         .set_header("Cache-Control", "no-store")
///         .set_cookie(Cookie::new("session", "31d4d96e").http_only())
///         .end("welcome");
/// }
/// ```
pub struct Response {
    status: StatusCode,
    headers: Headers,
    content: Content,
    /// Whether the content is text, as `Content-Type` is to say if the handler does not.
    is_text: bool,
    /// Whether the content, and what a 304 says of it, are to stay in the coding that they have.
    keeps_coding: bool,
    started: bool,
    /// The first mistake. While there is one, the rest is a 500 and stays so.
    fault: Option<ResponseFault>,
    /// Set by a WebSocket route: the connection is to become one of that endpoint.
    pub(crate) upgrade: Option<UpgradeTo>,
}

/// The WebSocket endpoint, by its index in the server, that a request asks to be upgraded to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UpgradeTo(pub(crate) usize);

/// Bytes of a body that lie in the response itself.
const SHORT_BYTES: usize = 30;

/// What a response carries (RFC 9110 section 6.4).
pub(crate) enum Content {
    /// Nothing.
    Empty,
    /// Bytes that live as long as the program.
    Static(&'static [u8]),
    /// So many of these bytes: a short answer needs no allocation (130 instructions less).
    Short([u8; SHORT_BYTES], u8),
    /// Bytes of its own.
    Bytes(Vec<u8>),
    /// Bytes that others hold too: many answers, one copy.
    Shared(Arc<[u8]>),
    /// Exactly `len` bytes that are pulled while the socket drains.
    Source {
        /// In bytes; `source` gives all of them or an error.
        len: u64,
        /// Where they come from.
        source: Box<dyn Source>,
    },
    /// What the application sends later.
    Stream(Unsent),
}

/// A stream whose head is not queued. If it never will be, since another response took its place,
/// the stream is closed.
pub(crate) struct Unsent(Option<ResponseStream>);

impl Unsent {
    pub(crate) fn take(mut self) -> Option<ResponseStream> {
        self.0.take()
    }
}

impl Drop for Unsent {
    fn drop(&mut self) {
        if let Some(stream) = self.0.take()
            && stream.is_early()
            && let Some(close) = stream.close()
        {
            panics::catch("on_close", close);
        }
    }
}

impl Content {
    /// How many bytes it will be on the wire; 0 if nobody knows.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Empty | Self::Stream(_) => 0,
            Self::Static(bytes) => bytes.len() as u64,
            Self::Short(_, len) => u64::from(*len),
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Shared(bytes) => bytes.len() as u64,
            Self::Source { len, .. } => *len,
        }
    }

    /// Its bytes, if it need not be pulled.
    pub(crate) fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Empty => Some(&[]),
            Self::Static(bytes) => Some(bytes),
            Self::Short(bytes, len) => Some(&bytes[..usize::from(*len)]),
            Self::Bytes(bytes) => Some(bytes),
            Self::Source { .. } | Self::Stream(_) => None,
            Self::Shared(bytes) => Some(bytes),
        }
    }

    /// Whether it is sent later, and nobody knows how long it will be.
    pub(crate) const fn is_stream(&self) -> bool {
        matches!(self, Self::Stream(_))
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(Unsent(stream)) => stream.fmt(f),
            _ => write!(f, "{} bytes", self.len()),
        }
    }
}

/// A body for [`Response::end`]: made from text, which is sent as `text/plain; charset=utf-8`
/// unless a `Content-Type` says otherwise, or from bytes, which say nothing about themselves.
#[derive(Debug)]
pub struct Body {
    content: Content,
    is_text: bool,
}

impl Body {
    /// Bytes that live as long as the program: sent without a copy of their own.
    #[must_use]
    pub const fn from_static(bytes: &'static [u8]) -> Self {
        Self {
            content: Content::Static(bytes),
            is_text: false,
        }
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self {
            content: if bytes.is_empty() {
                Content::Empty
            } else {
                Content::Bytes(bytes)
            },
            is_text: false,
        }
    }
}

impl From<&[u8]> for Body {
    fn from(bytes: &[u8]) -> Self {
        let mut short = [0; SHORT_BYTES];
        match (u8::try_from(bytes.len()), short.get_mut(..bytes.len())) {
            (Ok(len @ 1..), Some(place)) => {
                place.copy_from_slice(bytes);
                Self {
                    content: Content::Short(short, len),
                    is_text: false,
                }
            }
            _ => bytes.to_vec().into(),
        }
    }
}

impl<const N: usize> From<&[u8; N]> for Body {
    fn from(bytes: &[u8; N]) -> Self {
        bytes[..].into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self {
            is_text: !text.is_empty(),
            ..text.into_bytes().into()
        }
    }
}

impl From<&str> for Body {
    fn from(text: &str) -> Self {
        Self {
            is_text: !text.is_empty(),
            ..text.as_bytes().into()
        }
    }
}

impl From<Cow<'_, str>> for Body {
    fn from(text: Cow<'_, str>) -> Self {
        match text {
            Cow::Borrowed(text) => text.into(),
            Cow::Owned(text) => text.into(),
        }
    }
}

impl Response {
    /// A 200 that nobody started.
    pub(crate) fn new() -> Self {
        Self {
            status: StatusCode::OK,
            headers: Headers::new(),
            content: Content::Empty,
            is_text: false,
            keeps_coding: false,
            started: false,
            fault: None,
            upgrade: None,
        }
    }

    /// A 101 that nobody started, for an opening handshake: what is set on it goes out with it.
    pub(crate) fn switching_protocols() -> Self {
        Self {
            status: StatusCode::SWITCHING_PROTOCOLS,
            ..Self::new()
        }
    }

    /// An answer that says in one line of plain text what is wrong. `detail` must not repeat
    /// what the client sent.
    pub(crate) fn error(status: StatusCode, detail: &str) -> Self {
        let mut response = Self::new();
        response.end_with_error(status, detail);
        response
    }

    /// Makes this the answer of [`error`](Self::error); header fields that were set stay.
    pub(crate) fn end_with_error(&mut self, status: StatusCode, detail: &str) -> &mut Self {
        let reason = status.canonical_reason().unwrap_or("Error");
        self.set_status(status)
            .end(format!("{} {reason}: {detail}\n", status.as_u16()))
    }

    /// Sets the status: 200 to 599. Starts the response.
    pub fn set_status<S: TryInto<StatusCode>>(&mut self, status: S) -> &mut Self {
        match status.try_into() {
            Ok(status) if self.may_be(status) => {
                if self.fault.is_none() {
                    self.status = status;
                    self.started = true;
                }
            }
            Ok(status) => self.fail(ResponseFault::Status(Some(status.as_u16()))),
            Err(_) => self.fail(ResponseFault::Status(None)),
        }
        self
    }

    /// The status as it stands.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// Sets a header field in place of all of that name. What frames the response
    /// (`Content-Length`, `Transfer-Encoding`, `Connection`, `Date`) is the server's own:
    /// of these only `Connection: close` is heeded.
    pub fn set_header(&mut self, name: impl AsRef<str>, value: impl AsRef<[u8]>) -> &mut Self {
        self.change(|headers| headers.set(name, value))
    }

    /// As [`set_header`](Self::set_header), for a name and a value that need no check.
    pub(crate) fn set_known_header(&mut self, name: &'static str, value: &[u8]) -> &mut Self {
        self.change(|headers| headers.set_known(name, value))
    }

    /// Sets all of these header fields, each in place of those of its name.
    pub(crate) fn set_headers(&mut self, fields: &Headers) -> &mut Self {
        self.change(|headers| headers.set_all(fields))
    }

    /// Adds a header field behind those of the same name.
    pub fn add_header(&mut self, name: impl AsRef<str>, value: impl AsRef<[u8]>) -> &mut Self {
        self.change(|headers| headers.append(name, value))
    }

    /// Removes all header fields of that name.
    pub fn remove_header(&mut self, name: impl AsRef<str>) -> &mut Self {
        self.headers.remove(name);
        self
    }

    /// The header fields that were set so far.
    #[must_use]
    pub const fn headers(&self) -> &Headers {
        &self.headers
    }

    /// Adds a `Set-Cookie` field.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a cookie is built where it is set"
    )]
    pub fn set_cookie(&mut self, cookie: Cookie) -> &mut Self {
        match cookie.to_field_value() {
            Ok(value) => self.add_header("Set-Cookie", value),
            Err(error) => {
                self.fail(ResponseFault::Cookie(error));
                self
            }
        }
    }

    /// Sends the client elsewhere: 301, 302, 303, 307 or 308 and a `Location`. What no URI has
    /// (RFC 3986: a space, a quote, a backslash, anything beyond ASCII) is percent-encoded; escapes
    /// stay as they are, and a control character is a mistake. Starts the response.
    ///
    /// A location that is made of what a client sent may lead to another site: `//name` does.
    pub fn redirect<S: TryInto<StatusCode>>(
        &mut self,
        status: S,
        location: impl AsRef<str>,
    ) -> &mut Self {
        match status.try_into() {
            Ok(status) if matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) => self
                .set_status(status)
                .set_header("Location", encode_location(location.as_ref()).as_bytes()),
            Ok(status) => {
                self.fail(ResponseFault::Redirect(Some(status.as_u16())));
                self
            }
            Err(_) => {
                self.fail(ResponseFault::Redirect(None));
                self
            }
        }
    }

    /// Sets the body; a second call replaces it. Starts the response.
    pub fn end(&mut self, body: impl Into<Body>) -> &mut Self {
        if self.fault.is_none() {
            let Body { content, is_text } = body.into();
            (self.content, self.is_text, self.started) = (content, is_text, true);
            self.keeps_coding = false;
        }
        self
    }

    /// Begins a body that is sent piece by piece, now and later, and its sending side. Starts the
    /// response: its head goes out when the responder has returned.
    ///
    /// Ended before that it is an ordinary body, with its length. To a HEAD, or with a status that
    /// has no body, nothing is sent and the stream is closed at once.
    pub fn stream(&mut self) -> ResponseStream {
        let stream = ResponseStream::new();
        self.end(Body {
            content: Content::Stream(Unsent(Some(stream.clone()))),
            is_text: false,
        });
        stream
    }

    /// A stream that is ended already becomes an ordinary body.
    pub(crate) fn settle_stream(&mut self) {
        if let Content::Stream(Unsent(Some(stream))) = &self.content
            && let Some(bytes) = stream.take_whole()
        {
            self.content = Body::from(bytes).content;
        }
    }

    /// Sets a body of exactly `len` bytes that is pulled while the socket takes it.
    pub(crate) fn end_with_source(&mut self, len: u64, source: Box<dyn Source>) -> &mut Self {
        self.end(Body {
            content: Content::Source { len, source },
            is_text: false,
        })
    }

    /// Sets a body that is not copied for this response.
    pub(crate) fn end_with_shared(&mut self, bytes: Arc<[u8]>) -> &mut Self {
        self.end(Body {
            content: Content::Shared(bytes),
            is_text: false,
        })
    }

    /// Whoever set this body chose its coding: nobody is to give it another.
    pub(crate) const fn keep_coding(&mut self) {
        self.keeps_coding = true;
    }

    /// Whether [`keep_coding`](Self::keep_coding) was said of this body.
    pub(crate) const fn keeps_coding(&self) -> bool {
        self.keeps_coding
    }

    /// Whether this response is the answer: a status was set or a body, or a mistake made. The
    /// header fields alone do not start it. While it is not, a host asks its next responder.
    #[must_use]
    pub const fn is_started(&self) -> bool {
        self.started || self.upgrade.is_some()
    }

    /// The handler's first mistake, which made this response a 500.
    pub(crate) const fn fault(&self) -> Option<ResponseFault> {
        self.fault
    }

    /// Takes out the first mistake, once it was logged: the 500 that it made is a response like any
    /// other from then on.
    pub(crate) const fn take_fault(&mut self) -> Option<ResponseFault> {
        self.fault.take()
    }

    /// What it carries.
    pub(crate) const fn content(&self) -> &Content {
        &self.content
    }

    /// Takes out what it carries, once its head was written.
    pub(crate) fn take_content(&mut self) -> Content {
        std::mem::replace(&mut self.content, Content::Empty)
    }

    /// Whether it can have a body at all, by its status (RFC 9110 section 15).
    #[inline]
    pub(crate) const fn may_have_body(&self) -> bool {
        !matches!(self.status.as_u16(), 100..=199 | 204 | 205 | 304)
    }

    /// What `Content-Length` says, if it may say anything (RFC 9110 section 8.6).
    #[inline]
    pub(crate) fn content_length(&self, to_head_request: bool) -> Option<u64> {
        if self.content.is_stream() && self.may_have_body() {
            return None; // nobody knows it
        }
        let len = self.content.len();
        match self.status.as_u16() {
            100..=199 | 204 => None,
            205 => Some(0),
            // The length of what a 200 would have: without a body to measure, we do not know it.
            304 if len == 0 => self.own_length(),
            // A handler may know the length and spare itself the body.
            _ if to_head_request && len == 0 => self.own_length().or(Some(0)),
            _ => Some(len),
        }
    }

    /// The length that the handler set, if it is one.
    fn own_length(&self) -> Option<u64> {
        let text = self.headers.get_str("content-length")?;
        text.bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| text.parse().ok())
            .flatten()
    }

    /// Whether the content is text: then `Content-Type` says so if no field says anything.
    pub(crate) const fn is_text(&self) -> bool {
        self.is_text
    }

    /// 1xx would leave the client waiting; 101 is what a handshake starts with, and may stay.
    fn may_be(&self, status: StatusCode) -> bool {
        matches!(status.as_u16(), 200..=599) || status == self.status
    }

    fn change(
        &mut self,
        change: impl FnOnce(&mut Headers) -> Result<(), InvalidField>,
    ) -> &mut Self {
        if self.fault.is_none()
            && let Err(error) = change(&mut self.headers)
        {
            self.fail(ResponseFault::Field(error));
        }
        self
    }

    fn fail(&mut self, fault: ResponseFault) {
        if self.fault.is_none() {
            *self = Self::error(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the application failed to answer",
            );
            self.fault = Some(fault);
        }
    }
}

/// The ASCII characters, controls apart, that are part of no URI. Browsers read a backslash as a
/// slash, and `/\name` as another host.
const NO_URI: &percent_encoding::AsciiSet = &percent_encoding::AsciiSet::EMPTY
    .add(b'\t') // browsers drop it, and find `//host` in what is left
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

fn encode_location(location: &str) -> Cow<'_, str> {
    percent_encoding::utf8_percent_encode(location, NO_URI).into()
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("headers", &self.headers)
            .field("content", &self.content)
            .field("started", &self.started)
            .field("fault", &self.fault)
            .finish_non_exhaustive()
    }
}

/// What a handler did that no response can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResponseFault {
    /// A status outside 200 to 599, or no status at all.
    Status(Option<u16>),
    /// A redirect whose status does not redirect.
    Redirect(Option<u16>),
    /// A header field that cannot be sent.
    Field(InvalidField),
    /// A cookie that cannot be sent.
    Cookie(InvalidCookie),
}

impl fmt::Display for ResponseFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(Some(status)) => write!(
                f,
                "a response must have a status of 200 to 599, not {status}"
            ),
            Self::Status(None) => f.write_str("a response must have a status of 200 to 599"),
            Self::Redirect(Some(status)) => {
                write!(f, "a redirect is 301, 302, 303, 307 or 308, not {status}")
            }
            Self::Redirect(None) => f.write_str("a redirect is 301, 302, 303, 307 or 308"),
            Self::Field(error) => error.fmt(f),
            Self::Cookie(error) => error.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_starts_with_a_status_or_a_body_and_not_with_a_field() {
        let mut response = Response::new();
        response
            .set_header("Vary", "Origin")
            .set_cookie(Cookie::new("a", "b"));
        assert!(!response.is_started());
        response.set_status(204);
        assert!(response.is_started());
        assert!(Response::new().end("").is_started());
        let mut upgraded = Response::new();
        upgraded.upgrade = Some(UpgradeTo(0));
        assert!(upgraded.is_started());
    }

    #[test]
    fn a_mistake_makes_it_a_500_of_which_nothing_else_is_left() {
        type Mistake = fn(&mut Response);
        let mistakes: [(Mistake, ResponseFault); 8] = [
            (
                |r| _ = r.set_header("X", "a\r\nb: c"),
                ResponseFault::Field(InvalidField::ControlCharacter),
            ),
            (
                |r| _ = r.add_header("X y", "a"),
                ResponseFault::Field(InvalidField::Name),
            ),
            (|r| _ = r.set_status(99), ResponseFault::Status(None)),
            (|r| _ = r.set_status(101), ResponseFault::Status(Some(101))),
            (|r| _ = r.set_status(600), ResponseFault::Status(Some(600))),
            (
                |r| _ = r.set_cookie(Cookie::new("a", ";")),
                ResponseFault::Cookie(InvalidCookie::Value),
            ),
            (
                |r| _ = r.redirect(200, "/"),
                ResponseFault::Redirect(Some(200)),
            ),
            (
                |r| _ = r.redirect(302, "/a\r\nb"),
                ResponseFault::Field(InvalidField::ControlCharacter),
            ),
        ];
        for (mistake, fault) in mistakes {
            let mut response = Response::new();
            response.set_header("Secret", "x").end("secret");
            mistake(&mut response);
            assert_eq!(response.fault(), Some(fault));
            response
                .set_status(200)
                .set_header("Late", "x")
                .set_status(7)
                .end("late");
            assert_eq!(
                (response.status().as_u16(), response.fault()),
                (500, Some(fault))
            );
            assert!(response.is_started());
            assert!(response.headers().is_empty());
            assert_eq!(
                response.content().as_bytes(),
                Some(&b"500 Internal Server Error: the application failed to answer\n"[..])
            );
        }
    }

    #[test]
    fn a_handshake_response_may_stay_at_101_or_become_any_final_status() {
        let mut response = Response::switching_protocols();
        assert!(!response.is_started());
        assert_eq!(
            response.set_status(101).status(),
            StatusCode::SWITCHING_PROTOCOLS
        );
        assert_eq!(response.fault(), None);
        assert_eq!(
            response.set_status(StatusCode::FORBIDDEN).status(),
            StatusCode::FORBIDDEN
        );
        assert_eq!(
            response.set_status(102).fault(),
            Some(ResponseFault::Status(Some(102)))
        );
    }

    #[test]
    fn text_says_what_it_is_and_bytes_do_not() {
        let is_text = |body: Body| body.is_text;
        assert!(is_text("a".into()));
        assert!(is_text(String::from("a").into()));
        assert!(!is_text("".into()));
        assert!(!is_text(b"a".into()));
        assert!(!is_text(vec![1].into()));
        assert!(!is_text(Body::from_static(b"a")));
    }

    #[test]
    fn a_redirect_has_status_and_location() {
        let mut response = Response::new();
        response.redirect(308, "/a?b");
        assert_eq!(
            (
                response.status().as_u16(),
                response.headers().get_str("location")
            ),
            (308, Some("/a?b"))
        );
    }

    #[test]
    fn a_location_is_a_uri_whatever_it_is_made_of() {
        for (location, sent) in [
            ("https://a.example:1/a?b=c#d", "https://a.example:1/a?b=c#d"),
            ("//[2001:db8::1]/%2e%zz", "//[2001:db8::1]/%2e%zz"),
            ("/\\a.example", "/%5Ca.example"),
            (
                " /a b\"<>^`{|}\u{e4}",
                "%20/a%20b%22%3C%3E%5E%60%7B%7C%7D%C3%A4",
            ),
        ] {
            let mut response = Response::new();
            response.redirect(303, location);
            assert_eq!(response.headers().get_str("location"), Some(sent));
        }
    }

    #[test]
    fn bodies_of_every_length_are_kept_whole() {
        for len in 0..2 * SHORT_BYTES {
            let text = "abcdefg".repeat(len).split_at(len).0.to_owned();
            for body in [Body::from(text.as_str()), Body::from(text.as_bytes())] {
                assert_eq!(body.content.as_bytes(), Some(text.as_bytes()));
                assert_eq!(body.content.len(), len as u64);
                let is_short = matches!(body.content, Content::Short(..));
                assert_eq!(is_short, (1..=SHORT_BYTES).contains(&len));
            }
        }
    }

    #[test]
    fn fields_are_replaced_added_and_removed() {
        let mut response = Response::new();
        response
            .add_header("A", "1")
            .add_header("A", "2")
            .set_header("B", "3")
            .set_header("B", "4");
        assert_eq!(response.headers().as_section(), b"A: 1\r\nA: 2\r\nB: 4\r\n");
        assert!(!response.remove_header("a").headers().contains("A"));
    }
}
