//! From a decoded field list to a [`Request`] (RFC 9113 sections 8.2 and 8.3, RFC 8441).
//!
//! A list that breaks a rule is malformed (section 8.1.1): its stream is reset, and nobody is told
//! what it said. What is right but more than is taken here is refused with a status. Which single fields
//! are legal is in `rules.rs`.
//!
//! The fields come one by one, as the decoder finds them, and each is judged then: what is too much
//! is not kept while the decoder goes on to the end of the block.

use smallvec::SmallVec;

use crate::config::Config;
use crate::http::headers::is_token;
use crate::http::refused::RefusedRequest;
use crate::http::request::RequestHead;
use crate::http::target::is_authority;
use crate::http::{Method, Request, StatusCode, Version};

mod rules;

use rules::{ListSize, check_field, parse_content_length, parse_path};

/// Longest method, as over HTTP/1.
const MAX_METHOD_BYTES: usize = 32;

const TARGET_TOO_LONG: RefusedRequest =
    RefusedRequest::new(StatusCode::URI_TOO_LONG, "the request target is too long");
const SECTION_TOO_LONG: RefusedRequest = RefusedRequest::new(
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    "the header section is too long",
);
const TOO_MANY_FIELDS: RefusedRequest = RefusedRequest::new(
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    "there are too many header fields",
);
const METHOD_TOO_LONG: RefusedRequest =
    RefusedRequest::new(StatusCode::NOT_IMPLEMENTED, "the method is too long");
const NO_PROXY: RefusedRequest =
    RefusedRequest::new(StatusCode::NOT_IMPLEMENTED, "this server is no proxy");
const UNKNOWN_PROTOCOL: RefusedRequest = RefusedRequest::new(
    StatusCode::NOT_IMPLEMENTED,
    "websocket is the only protocol that is known",
);
const UNKNOWN_EXPECTATION: RefusedRequest = RefusedRequest::new(
    StatusCode::EXPECTATION_FAILED,
    "100-continue is the only expectation that is known",
);

/// Why a field list is malformed, in words that repeat nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

/// A request, and what follows from it.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) request: Box<Request>,
    /// Bytes of the body, if the client said how many.
    pub(crate) content_length: Option<u64>,
    /// Whether the client waits for a 100 before it sends the body.
    pub(crate) expects_continue: bool,
    /// It is to be answered with this, and of the request not everything need be there.
    pub(crate) refused: Option<RefusedRequest>,
}

/// What an extended CONNECT asks for (RFC 8441 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    WebSocket,
    Unknown,
}

/// The pseudo-fields that came (section 8.3.1).
#[derive(Debug, Default)]
struct PseudoFields {
    method: Option<Method>,
    has_scheme: bool,
    has_authority: bool,
    path: Option<SmallVec<[u8; 256]>>,
    protocol: Option<Protocol>,
}

/// A field list on its way to be a request.
#[derive(Debug)]
pub(crate) struct RequestFields<'c> {
    config: &'c Config,
    request: Box<Request>,
    pseudo: PseudoFields,
    /// Whether a field was there that is none of these: they must come first.
    has_fields: bool,
    has_host: bool,
    /// The crumbs so far (section 8.2.3).
    cookie: Option<SmallVec<[u8; 256]>>,
    content_length: Option<u64>,
    expects_continue: bool,
    size: ListSize,
    field_count: usize,
    refused: Option<RefusedRequest>,
    malformed: Option<Malformed>,
}

impl<'c> RequestFields<'c> {
    /// No field has come. They are filled into `request`, which is of the connection and else empty.
    pub(crate) fn new(mut request: Box<Request>, config: &'c Config) -> Self {
        request.headers_mut().clear();
        Self {
            config,
            request,
            pseudo: PseudoFields::default(),
            has_fields: false,
            has_host: false,
            cookie: None,
            content_length: None,
            expects_continue: false,
            size: ListSize::new(config),
            field_count: 0,
            refused: None,
            malformed: None,
        }
    }

    /// Takes the next field.
    pub(crate) fn add(&mut self, name: &[u8], value: &[u8]) {
        if self.malformed.is_none() {
            self.malformed = self.judge(name, value).err();
        }
    }

    fn judge(&mut self, name: &[u8], value: &[u8]) -> Result<(), Malformed> {
        let pseudo = name.strip_prefix(b":");
        if pseudo == Some(b"path") && value.len() > self.config.max_target_bytes {
            self.refuse(TARGET_TOO_LONG);
        }
        let has_room = self.size.count(name, value);
        if !has_room {
            self.refuse(SECTION_TOO_LONG);
        }
        match pseudo {
            Some(_) if self.has_fields => Err(Malformed("a pseudo-field came behind a field")),
            // Each of them comes once.
            Some(name) => self.pseudo_field(name, value),
            None => {
                self.has_fields = true;
                if has_room {
                    let name = check_field(name, value)?;
                    self.field(name, value)
                } else {
                    Ok(())
                }
            }
        }
    }

    /// The first reason stands.
    fn refuse(&mut self, refused: RefusedRequest) {
        self.refused.get_or_insert(refused);
    }

    fn pseudo_field(&mut self, name: &[u8], value: &[u8]) -> Result<(), Malformed> {
        let is_first = match name {
            b"method" => {
                let method = self.method(value)?;
                self.pseudo.method.replace(method).is_none()
            }
            b"scheme" => {
                // Whose resource another scheme's is, nobody said.
                if !value.eq_ignore_ascii_case(b"https") && !value.eq_ignore_ascii_case(b"http") {
                    return Err(Malformed(":scheme is neither http nor https"));
                }
                !std::mem::replace(&mut self.pseudo.has_scheme, true)
            }
            b"authority" => {
                // With a user name it is malformed, too.
                if !is_authority(value) {
                    return Err(Malformed(":authority is no host with an optional port"));
                }
                self.keep("host", value);
                !std::mem::replace(&mut self.pseudo.has_authority, true)
            }
            b"path" => {
                let path = if self.refused.is_none() { value } else { b"/" };
                self.pseudo.path.replace(path.into()).is_none()
            }
            b"protocol" => {
                if !is_token(value) {
                    return Err(Malformed(":protocol is no token"));
                }
                let protocol = match value {
                    b"websocket" => Protocol::WebSocket,
                    _ => Protocol::Unknown,
                };
                self.pseudo.protocol.replace(protocol).is_none()
            }
            _ => return Err(Malformed("there is an unknown pseudo-field")),
        };
        if is_first {
            Ok(())
        } else {
            Err(Malformed("a pseudo-field came twice"))
        }
    }

    fn method(&mut self, value: &[u8]) -> Result<Method, Malformed> {
        if value == b"GET" {
            return Ok(Method::GET);
        }
        if !is_token(value) {
            return Err(Malformed(":method is no token"));
        }
        if value.len() > MAX_METHOD_BYTES {
            self.refuse(METHOD_TOO_LONG);
            return Ok(Method::GET);
        }
        Method::from_bytes(value).map_err(|_| Malformed(":method is no token"))
    }

    /// Takes a field that may stand in a request.
    fn field(&mut self, name: &str, value: &[u8]) -> Result<(), Malformed> {
        match name {
            "cookie" => {
                self.crumb(value);
                return Ok(());
            }
            "host" => return self.host(value),
            "content-length" => {
                let length = parse_content_length(value)?;
                if self.content_length.replace(length).is_some() {
                    return Err(Malformed("there is more than one Content-Length"));
                }
            }
            "expect" => {
                if value.eq_ignore_ascii_case(b"100-continue") {
                    self.expects_continue = true;
                } else {
                    self.refuse(UNKNOWN_EXPECTATION);
                }
            }
            _ => {}
        }
        self.count_field();
        self.keep(name, value);
        Ok(())
    }

    fn count_field(&mut self) {
        self.field_count += 1;
        if self.field_count > self.config.max_header_count {
            self.refuse(TOO_MANY_FIELDS);
        }
    }

    /// Keeps a field that was checked, unless the request is refused anyway.
    fn keep(&mut self, name: &str, value: &[u8]) {
        if self.refused.is_none() {
            let headers = self.request.headers_mut();
            let appended = headers.append_checked(name, value);
            debug_assert!(appended.is_ok(), "a list is far below 4 GiB");
        }
    }

    /// Section 8.2.3: a client may send each crumb of a cookie by itself, which compresses better.
    /// All of them are one field.
    fn crumb(&mut self, value: &[u8]) {
        if self.cookie.is_none() {
            self.count_field();
        }
        match &mut self.cookie {
            Some(cookie) => {
                cookie.extend_from_slice(b"; ");
                cookie.extend_from_slice(value);
            }
            none => *none = Some(value.into()),
        }
    }

    /// Section 8.3.1: a Host field must say what `:authority` says, if that is there.
    fn host(&mut self, value: &[u8]) -> Result<(), Malformed> {
        if std::mem::replace(&mut self.has_host, true) {
            return Err(Malformed("there is more than one Host field"));
        }
        if !is_authority(value) {
            return Err(Malformed("the Host field is malformed"));
        }
        self.count_field();
        if !self.pseudo.has_authority {
            self.keep("host", value);
            return Ok(());
        }
        // If it was not kept, there is a refusal, and nobody is asked.
        let authority = self.request.headers().get("host").unwrap_or(value);
        if authority.eq_ignore_ascii_case(value) {
            Ok(())
        } else {
            Err(Malformed("Host and :authority differ"))
        }
    }

    /// All fields have come; `is_last`: no body follows. What is left of a malformed list becomes
    /// `spare`.
    ///
    /// # Errors
    ///
    /// [`Malformed`], by one of the fields or by what they are together.
    pub(crate) fn finish(
        mut self,
        is_last: bool,
        spare: &mut Option<Box<Request>>,
    ) -> Result<Decoded, Malformed> {
        match self.complete(is_last) {
            Ok(()) => Ok(Decoded {
                request: self.request,
                content_length: self.content_length,
                expects_continue: self.expects_continue && !is_last,
                refused: self.refused,
            }),
            Err(malformed) => {
                *spare = self.request.into_spare();
                Err(malformed)
            }
        }
    }

    fn complete(&mut self, is_last: bool) -> Result<(), Malformed> {
        if let Some(malformed) = self.malformed {
            return Err(malformed);
        }
        let PseudoFields {
            method,
            has_scheme,
            has_authority,
            path,
            protocol,
        } = std::mem::take(&mut self.pseudo);
        let method = method.ok_or(Malformed("there is no :method"))?;
        let is_connect = method == Method::CONNECT;
        if is_connect && self.content_length.is_some() {
            // What follows is no content (RFC 9110 section 9.3.6).
            return Err(Malformed("there is a Content-Length in a CONNECT"));
        }
        if protocol.is_some() && !is_connect {
            return Err(Malformed("there is a :protocol without a CONNECT"));
        }
        let is_plain_connect = is_connect && protocol.is_none();
        if is_plain_connect {
            // Section 8.5.
            if has_scheme || path.is_some() || !has_authority {
                return Err(Malformed("a CONNECT does not have :authority alone"));
            }
            self.refuse(NO_PROXY);
        }
        // RFC 8441 section 4: that of an extended CONNECT, too.
        let may_have_host = self.has_host || !self.size.is_kept();
        if !has_authority && (is_connect || !may_have_host) {
            return Err(Malformed("there is no :authority"));
        }
        if !has_scheme && !is_plain_connect {
            return Err(Malformed("there is no :scheme"));
        }
        let path = match path {
            Some(path) => path,
            None if is_plain_connect => b"/"[..].into(),
            None => return Err(Malformed("there is no :path")),
        };
        let target_parts = parse_path(&path, &method)?;
        if is_last && self.content_length.is_some_and(|length| length > 0) {
            // Section 8.1.1.
            return Err(Malformed("there is a Content-Length and no content"));
        }
        if let Some(cookie) = self.cookie.take() {
            self.keep("cookie", &cookie);
        }
        match protocol {
            Some(Protocol::WebSocket) => self.request.set_protocol("websocket"),
            Some(Protocol::Unknown) => self.refuse(UNKNOWN_PROTOCOL),
            None => {}
        }
        let is_extended_connect = protocol.is_some();
        self.request.begin(RequestHead {
            method: if is_extended_connect {
                Method::GET
            } else {
                method
            },
            target: &path,
            target_parts,
            version: Version::HTTP_2,
            announces_body: !is_last && !is_extended_connect,
        });
        Ok(())
    }
}

/// A trailer section (section 8.1), which nobody is shown.
#[derive(Debug)]
pub(crate) struct TrailerFields {
    size: ListSize,
    verdict: Result<(), Malformed>,
}

impl TrailerFields {
    /// No field has come.
    pub(crate) const fn new(config: &Config) -> Self {
        Self {
            size: ListSize::new(config),
            verdict: Ok(()),
        }
    }

    /// Takes the next field.
    pub(crate) fn add(&mut self, name: &[u8], value: &[u8]) {
        if self.verdict.is_ok() {
            self.verdict = self.judge(name, value);
        }
    }

    fn judge(&mut self, name: &[u8], value: &[u8]) -> Result<(), Malformed> {
        if name.starts_with(b":") {
            return Err(Malformed("there is a pseudo-field in a trailer section"));
        }
        if !self.size.count(name, value) {
            return Err(Malformed("the trailer section is too long"));
        }
        check_field(name, value).map(|_| ())
    }

    /// All fields have come.
    ///
    /// # Errors
    ///
    /// [`Malformed`], by the first field that is.
    pub(crate) fn finish(self) -> Result<(), Malformed> {
        self.verdict
    }
}

#[cfg(test)]
mod tests;
