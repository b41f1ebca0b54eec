//! A request as a plain value (RFC 9110 section 9): what a handler reads.

use std::borrow::Cow;
use std::sync::Arc;

use super::form::{self, Form, FormError};
use super::forwarded::Forwarded;
use super::target::{Target, TargetForm, TargetParts};
use super::upload::{BodyFlow, BodyHandler, Incoming, Witness};
use super::{Address, Headers, Method, Version, cookie};
use crate::moment::Moment;
use ::http::Extensions;

/// Between whom a request travelled.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// Address of the peer: the client, or a proxy in front of it. On a Unix socket it seldom has
    /// a name.
    pub remote_address: Address,
    /// Address that the peer connected to.
    pub local_address: Address,
    /// Whether the connection is encrypted.
    pub encrypted: bool,
    /// A PROXY header said that its sender does not know the client, or speaks for itself: what
    /// the fields of such a connection say of a client, nobody vouches for.
    pub(crate) is_anonymous: bool,
}

/// One request, complete with its body, unless that is taken [in pieces](crate::upload).
///
/// ```
/// use aerys::{Request, Response};
/// fn greet(request: &mut Request, response: &mut Response) {
///     let name = request.param("name").unwrap_or_else(|| "stranger".to_owned());
///     response.end(format!("Hello, {name}!"));
/// }
/// ```
#[derive(Debug)]
pub struct Request {
    method: Method,
    target: Target,
    version: Version,
    headers: Headers,
    /// What an extended CONNECT asked for.
    protocol: Option<&'static str>,
    announces_body: bool,
    body: Vec<u8>,
    connection: ConnectionInfo,
    /// When its first byte was read.
    began: Moment,
    /// What trusted proxies say of the client.
    forwarded: Option<Box<Forwarded>>,
    /// What the router found in the path: name and decoded text, in the order of the pattern.
    captures: Vec<(Arc<str>, String)>,
    /// Set while its body follows in pieces.
    incoming: Option<Box<Incoming>>,
    /// What the application keeps in it. Its parts may panic when they are dropped: the loop drops
    /// them where that ends.
    values: Extensions,
}

/// What a request begins with, but for its fields.
#[derive(Debug)]
pub(crate) struct RequestHead<'h> {
    pub(crate) method: Method,
    pub(crate) target: &'h [u8],
    /// What `target` was found to consist of.
    pub(crate) target_parts: TargetParts,
    pub(crate) version: Version,
    /// Whether a body follows, as the fields say: a length above 0, or chunks.
    pub(crate) announces_body: bool,
}

/// Bytes of allocations up to which those of an answered request are kept for the next one:
/// nearly all heads are smaller.
const MAX_SPARE_BYTES: usize = 16 * 1024;

impl Request {
    /// A request of that connection, of which nothing is known yet.
    pub(crate) fn new(connection: ConnectionInfo) -> Self {
        Self {
            method: Method::GET,
            target: Target::new(),
            version: Version::HTTP_11,
            headers: Headers::new(),
            announces_body: false,
            body: Vec::new(),
            connection,
            began: Moment::START,
            forwarded: None,
            captures: Vec::new(),
            protocol: None,
            incoming: None,
            values: Extensions::new(),
        }
    }

    /// The same in the allocations of `spare`, if there is one: most requests then need no other.
    pub(crate) fn boxed(
        spare: Option<Box<Self>>,
        connection: ConnectionInfo,
        began: Moment,
    ) -> Box<Self> {
        let mut request = match spare {
            None => Box::new(Self::new(connection)),
            Some(mut spare) => {
                spare.connection = connection;
                spare
            }
        };
        request.began = began;
        request
    }

    /// When its first byte was read.
    pub(crate) const fn began(&self) -> Moment {
        self.began
    }

    /// What is left of it for the next request to be parsed into: the allocations, unless they
    /// are too large to be kept.
    pub(crate) fn into_spare(mut self: Box<Self>) -> Option<Box<Self>> {
        // By name, so that a field that is added cannot be forgotten.
        let Self {
            method,
            target,
            version,
            headers,
            announces_body,
            body,
            connection: _, // given anew
            began: _,
            forwarded,
            captures,
            protocol,
            incoming,
            values,
        } = &mut *self;
        *method = Method::GET;
        target.clear();
        *version = Version::HTTP_11;
        headers.clear();
        *announces_body = false;
        body.clear();
        *forwarded = None;
        *captures = Vec::new();
        *protocol = None;
        *incoming = None;
        values.clear();
        (self.capacity_bytes() <= MAX_SPARE_BYTES).then_some(self)
    }

    /// Bytes of its allocations.
    pub(crate) fn capacity_bytes(&self) -> usize {
        self.target.capacity() + self.headers.capacity_bytes() + self.body.capacity()
    }

    /// Gives back what an earlier request needed and this one does not.
    pub(crate) fn shrink_to_fit(&mut self) {
        self.target.shrink_to_fit();
        self.headers.shrink_to_fit();
        self.body.shrink_to_fit();
    }

    /// Sets what it begins with. The fields are filled in by [`headers_mut`](Self::headers_mut).
    pub(crate) fn begin(&mut self, head: RequestHead<'_>) {
        self.method = head.method;
        self.target.set(head.target, head.target_parts);
        self.version = head.version;
        self.announces_body = head.announces_body;
    }

    /// An extended CONNECT asks for `protocol`.
    #[cfg(feature = "http2")]
    pub(crate) const fn set_protocol(&mut self, protocol: &'static str) {
        self.protocol = Some(protocol);
    }

    /// The method.
    #[must_use]
    pub const fn method(&self) -> &Method {
        &self.method
    }

    /// The request target as it was sent, path and query.
    #[must_use]
    pub fn target(&self) -> &str {
        self.target.as_str()
    }

    /// The path as it was sent: percent escapes are not resolved, the query is not part of it.
    /// It begins with `/`, except that it is `*` for `OPTIONS *`.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.path()
    }

    /// Whether the target is `*`: an OPTIONS request for the server as a whole.
    pub(crate) fn is_for_whole_server(&self) -> bool {
        self.target.form() == TargetForm::Asterisk
    }

    /// The query as it was sent: what follows the first `?`.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.target.query()
    }

    /// `path` with the query of this request, if it has one: where to send the client instead.
    pub(crate) fn with_query(&self, path: &str) -> String {
        match self.query() {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        }
    }

    /// The first query parameter of that name, with `+` and percent escapes resolved. What is
    /// not UTF-8 becomes U+FFFD.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<String> {
        self.params()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }

    /// The query parameters in order, as name and value, resolved like [`param`](Self::param).
    pub fn params(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        form_urlencoded::parse(self.query().unwrap_or_default().as_bytes())
    }

    /// The values of all query parameters of that name, resolved like [`param`](Self::param).
    pub fn params_named(&self, name: &str) -> impl Iterator<Item = Cow<'_, str>> {
        self.params()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value)
    }

    /// The form in the body, urlencoded or `multipart/form-data`, of at most 1,000 fields.
    ///
    /// ```
    /// # use aerys::{Request, Response};
    /// fn greet(request: &mut Request, response: &mut Response) {
    ///     match request.form() {
    ///         Ok(form) => {
    ///             let name = form.field("name").map(|field| field.text().into_owned());
    ///             response.end(format!("Hello {}", name.unwrap_or_default()));
    ///         }
    ///         Err(error) => {
    ///             response.set_status(error.status()).end(error.to_string());
    ///         }
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`FormError`], which says its status.
    pub fn form(&self) -> Result<Form<'_>, FormError> {
        self.form_with_limit(form::MAX_FIELD_COUNT)
    }

    /// The form in the body, if it has at most `max_field_count` fields.
    ///
    /// # Errors
    ///
    /// [`FormError`], which says its status.
    pub fn form_with_limit(&self, max_field_count: usize) -> Result<Form<'_>, FormError> {
        Form::parse(self.header("Content-Type"), self.body(), max_field_count)
    }

    /// What the path has in the place of `{name}` or `{*name}` in the pattern of the route,
    /// percent-decoded. What is not UTF-8 becomes U+FFFD.
    #[must_use]
    pub fn capture(&self, name: &str) -> Option<&str> {
        self.captures
            .iter()
            .find(|(key, _)| **key == *name)
            .map(|(_, value)| value.as_str())
    }

    /// What holds its body back, if that follows in pieces: see [`upload`](crate::upload).
    #[must_use]
    pub fn body_flow(&self) -> Option<BodyFlow> {
        self.incoming.as_ref().map(|incoming| incoming.flow.clone())
    }

    /// Its body follows in pieces, for which a handler is to be found.
    pub(crate) fn set_incoming(&mut self, flow: BodyFlow) {
        self.incoming = Some(Box::new(Incoming {
            flow,
            handler: None,
            witnesses: Vec::new(),
        }));
    }

    /// Whether its body follows in pieces.
    pub(crate) const fn is_incoming(&self) -> bool {
        self.incoming.is_some()
    }

    /// Hands the pieces of the body to `handler`, once the request is answered with nothing.
    pub(crate) fn receive(&mut self, handler: Box<dyn BodyHandler>) {
        if let Some(incoming) = &mut self.incoming {
            incoming.handler = Some(handler);
        }
    }

    /// Has the answer shown to `witness` that will be given when the body has come.
    pub(crate) fn answer_later(&mut self, witness: Witness) {
        if let Some(incoming) = &mut self.incoming {
            incoming.witnesses.push(witness);
        }
    }

    /// Who is to see the answer, in this order.
    pub(crate) fn take_witnesses(&mut self) -> Vec<Witness> {
        let incoming = self.incoming.as_mut();
        incoming.map_or_else(Vec::new, |incoming| std::mem::take(&mut incoming.witnesses))
    }

    /// Whether somebody takes the pieces of the body.
    pub(crate) fn has_receiver(&self) -> bool {
        let incoming = self.incoming.as_ref();
        incoming.is_some_and(|incoming| incoming.handler.is_some())
    }

    /// Who takes the pieces of the body, if somebody does.
    pub(crate) fn take_receiver(&mut self) -> Option<Box<dyn BodyHandler>> {
        self.incoming.as_mut()?.handler.take()
    }

    /// Replaces the captures: a router calls it for each route that it tries.
    pub(crate) fn set_captures(&mut self, captures: Vec<(Arc<str>, String)>) {
        self.captures = captures;
    }

    /// All header fields.
    #[must_use]
    pub const fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The header fields, for the parser to fill.
    pub(crate) const fn headers_mut(&mut self) -> &mut Headers {
        &mut self.headers
    }

    /// The value of the first field of that name, if it is UTF-8.
    #[must_use]
    pub fn header(&self, name: impl AsRef<str>) -> Option<&str> {
        self.headers.get_str(name)
    }

    /// The value of the first cookie of that name, as it was sent. The first is the one with
    /// the most specific path (RFC 6265 section 5.4).
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }

    /// All cookies, as name and value. Double quotes around a value are part of it.
    pub fn cookies(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers
            .get_all("Cookie")
            .filter_map(|value| std::str::from_utf8(value).ok())
            .flat_map(cookie::parse)
    }

    /// The body, without any chunked framing; empty if there is none.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body, for the connection to fill.
    pub(crate) const fn body_mut(&mut self) -> &mut Vec<u8> {
        &mut self.body
    }

    /// Takes the body out, which is empty from then on: to keep it without a copy.
    #[must_use]
    pub fn take_body(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.body)
    }

    /// Whether the request announced a body, even if it turned out to be empty.
    #[must_use]
    pub const fn has_body(&self) -> bool {
        self.announces_body
    }

    /// The protocol that the client wants to speak on this stream of an HTTP/2 connection instead of
    /// sending a body: `websocket` (RFC 8441 section 4). `None` for every other request, also for one
    /// that asks for an upgrade over HTTP/1.1: that has an `Upgrade` field.
    ///
    /// On the wire such a request is an extended CONNECT. Here its [`method`](Self::method) is GET, as
    /// over HTTP/1.1, so that the same route is found.
    #[must_use]
    pub const fn protocol(&self) -> Option<&str> {
        self.protocol
    }

    /// `HTTP/1.0`, `HTTP/1.1` or `HTTP/2.0`.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Whom the request is for, with port if it was given: what a trusted proxy says that its client
    /// asked for, else the host in the target, else the `Host` field, which over HTTP/2 is made of
    /// `:authority`. Only an HTTP/1.0 request may have none.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.forwarded()
            .and_then(|forwarded| forwarded.host.as_deref())
            .or_else(|| self.target.authority())
            .or_else(|| self.header("Host"))
    }

    /// Keeps `value` for whoever sees this request later, in place of an earlier one of its type:
    /// what a [`Middleware`](crate::Middleware) learned, for the responders. A type of the
    /// application's own is nobody else's; what cannot be cloned or sent goes into an `Arc`.
    ///
    /// ```
    /// # use aerys::{Request, Response};
    /// #[derive(Clone)]
    /// struct Tenant(String);
    ///
    /// fn learn(request: &mut Request) {
    ///     let name = request.host().unwrap_or_default().to_owned();
    ///     request.set(Tenant(name));
    /// }
    ///
    /// fn answer(request: &mut Request, response: &mut Response) {
    ///     let name = request.get::<Tenant>().map_or("nobody", |tenant| &tenant.0);
    ///     response.end(name);
    /// }
    /// ```
    pub fn set<T: Clone + Send + Sync + 'static>(&mut self, value: T) {
        self.values.insert(value);
    }

    /// What was [kept](Self::set) of that type.
    #[must_use]
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.values.get()
    }

    /// Whether something was kept.
    pub(crate) fn has_values(&self) -> bool {
        !self.values.is_empty()
    }

    /// Drops what was kept, which is code of the application.
    pub(crate) fn drop_values(&mut self) {
        // The list stays, and is used again.
        self.values.clear();
    }

    /// Where the client is. That is the peer of the connection, unless it is one of
    /// [`Config::trusted_proxies`](crate::Config::trusted_proxies): then it is the last address that
    /// such a proxy told of and that is none of them. Of most of these the port is not known and 0.
    #[must_use]
    pub fn client_address(&self) -> &Address {
        self.forwarded()
            .and_then(|forwarded| forwarded.client.as_ref())
            .unwrap_or(&self.connection.remote_address)
    }

    /// Whether the client's own connection is encrypted: to a trusted proxy, if that says so, or else
    /// to this server.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.forwarded()
            .and_then(|forwarded| forwarded.is_encrypted)
            .unwrap_or(self.connection.encrypted)
    }

    /// `https` if [`is_encrypted`](Self::is_encrypted), else `http`: for addresses of one's own.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.is_encrypted() { "https" } else { "http" }
    }

    fn forwarded(&self) -> Option<&Forwarded> {
        self.forwarded.as_deref()
    }

    /// Whether trusted proxies said something of the client.
    pub(crate) const fn is_forwarded(&self) -> bool {
        self.forwarded.is_some()
    }

    /// Sets what trusted proxies say of the client.
    pub(crate) fn set_forwarded(&mut self, forwarded: Forwarded) {
        self.forwarded = Some(Box::new(forwarded));
    }

    /// Addresses and encryption of the connection itself, also if the peer is a proxy.
    #[must_use]
    pub const fn connection(&self) -> &ConnectionInfo {
        &self.connection
    }
}

/// A request for tests, without going through a parser.
#[cfg(test)]
impl Request {
    /// A bodyless HTTP/1.1 request from nowhere.
    pub(crate) fn for_test(method: &str, target: &str, fields: &[(&str, &str)]) -> Self {
        let mut request = Self::new(ConnectionInfo::for_test());
        for (name, value) in fields {
            let headers = request.headers_mut();
            headers
                .append(name, value)
                .expect("a test gives valid fields");
        }
        request.method = Method::from_bytes(method.as_bytes()).expect("a test gives a method");
        request.target = Target::parse(target.as_bytes()).expect("a test gives a valid target");
        request
    }
}

#[cfg(test)]
impl ConnectionInfo {
    /// Two addresses of the documentation block.
    pub(crate) fn for_test() -> Self {
        Self {
            remote_address: Address::Ip(([192, 0, 2, 1], 50000).into()),
            local_address: Address::Ip(([192, 0, 2, 2], 80).into()),
            encrypted: false,
            is_anonymous: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_parameters_are_decoded_and_the_first_wins() {
        let request = Request::for_test("GET", "/a?n=J%C3%BCrgen+K&x&n=2&=v&b=%zz%ff", &[]);
        assert_eq!(request.param("n").as_deref(), Some("J\u{fc}rgen K"));
        assert_eq!(request.param("x").as_deref(), Some(""));
        assert_eq!(request.param("b").as_deref(), Some("%zz\u{fffd}"));
        assert_eq!(request.param("missing"), None);
        assert_eq!(request.params().count(), 5);
        assert_eq!(Request::for_test("GET", "/a", &[]).params().count(), 0);
    }

    #[test]
    fn the_first_cookie_of_a_name_wins_over_several_lines() {
        let request = Request::for_test(
            "GET",
            "/",
            &[("Cookie", "a=1; b=2"), ("cookie", "a=3; c=4")],
        );
        assert_eq!(
            (
                request.cookie("a"),
                request.cookie("c"),
                request.cookie("d")
            ),
            (Some("1"), Some("4"), None)
        );
        assert_eq!(request.cookies().count(), 4);
    }

    #[test]
    fn the_host_of_the_target_goes_before_the_field() {
        assert_eq!(
            Request::for_test("GET", "/", &[("Host", "a:1")]).host(),
            Some("a:1")
        );
        assert_eq!(
            Request::for_test("GET", "http://b/", &[("Host", "a")]).host(),
            Some("b")
        );
        assert_eq!(Request::for_test("GET", "/", &[]).host(), None);
    }

    #[test]
    fn a_body_is_taken_once() {
        let mut request = Request::for_test("POST", "/", &[]);
        request.body = b"abc".to_vec();
        assert_eq!(request.body(), b"abc");
        assert_eq!(request.take_body(), b"abc");
        assert_eq!(request.body(), b"");
    }

    #[test]
    fn what_is_kept_is_found_by_type_and_gone_with_the_request() {
        let mut request = Box::new(Request::for_test("GET", "/", &[]));
        assert_eq!((request.get::<u8>(), request.has_values()), (None, false));
        request.set(7_u8);
        request.set(8_u8);
        request.set("text");
        assert_eq!(request.get::<u8>(), Some(&8));
        assert_eq!(request.get::<&str>(), Some(&"text"));
        assert_eq!(request.get::<u16>(), None);
        let spare = request.into_spare().expect("a small request is kept");
        assert_eq!((spare.get::<u8>(), spare.has_values()), (None, false));
    }

    #[test]
    fn captures_are_found_by_name() {
        let mut request = Request::for_test("GET", "/", &[]);
        request.set_captures(vec![("name".into(), "bob".to_owned())]);
        assert_eq!(
            (request.capture("name"), request.capture("age")),
            (Some("bob"), None)
        );
        request.set_captures(Vec::new());
        assert_eq!(request.capture("name"), None);
    }
}
