//! Which other origins' scripts may read the answers (Fetch standard, section 3.2, "CORS protocol").

use std::time::Duration;

use crate::app::middleware::Middleware;
use crate::http::headers::is_token;
use crate::http::{Method, Request, Response, StatusCode};

const ALLOW_ORIGIN: &str = "Access-Control-Allow-Origin";
const ALLOW_CREDENTIALS: &str = "Access-Control-Allow-Credentials";
const EXPOSE_HEADERS: &str = "Access-Control-Expose-Headers";

/// Lets scripts of other origins read answers, and answers their preflights (Fetch standard, "CORS
/// protocol"). Without a setting nobody is let.
///
/// It is browsers that enforce this: a refused request is answered as any other, only without the
/// fields that let a script read the answer. It protects users from other sites' scripts, and the
/// server from nobody. Its fields are its own: those of responders are replaced.
///
/// A preflight (OPTIONS with `Origin` and `Access-Control-Request-Method`) is answered 204 before any
/// route is asked. GET, HEAD and POST are always possible, as are the header fields that a form can
/// send; others are listed. WebSocket endpoints have [another list](crate::WebSocketConfig::allowed_origins):
/// this one does not hold for them.
///
/// ```
/// use aerys::{Host, middleware::Cors};
/// use std::time::Duration;
/// let cors = Cors::new()
///     .origin("https://app.example.com")
///     .methods(&["PUT", "DELETE"])
///     .headers(&["Content-Type", "X-Token"])
///     .expose(&["X-Request-Id"])
///     .credentials()
///     .max_age(Duration::from_secs(600));
/// let host = Host::new().middleware(cors);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Cors {
    origins: Origins,
    methods: String,
    headers: RequestHeaders,
    exposed: String,
    credentials: bool,
    max_age: Option<Duration>,
}

#[derive(Clone, Debug)]
enum Origins {
    Any,
    Listed(Vec<String>),
}

impl Default for Origins {
    fn default() -> Self {
        Self::Listed(Vec::new())
    }
}

#[derive(Clone, Debug)]
enum RequestHeaders {
    Any,
    Listed(String),
}

impl Default for RequestHeaders {
    fn default() -> Self {
        Self::Listed(String::new())
    }
}

impl Cors {
    /// Lets nobody.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets this origin too: `https://app.example.com`, with a port if that is not the scheme's.
    /// They are compared byte by byte. `null` stands for files, frames in a sandbox and the like
    /// of anybody: it is let only if it is listed.
    ///
    /// # Panics
    ///
    /// If a browser never sends it like that: with a path, a slash at the end, an upper-case letter,
    /// or the port that the scheme has anyway. If every origin is let.
    #[must_use]
    pub fn origin(mut self, origin: &str) -> Self {
        if let Err(reason) = check_origin(origin) {
            panic!("no browser has the origin {origin:?}: {reason}");
        }
        match &mut self.origins {
            Origins::Listed(origins) => origins.push(origin.to_owned()),
            Origins::Any => panic!("every origin is let already"),
        }
        self
    }

    /// Lets every origin. For what anybody may read without being anyone.
    ///
    /// # Panics
    ///
    /// With [`credentials`](Self::credentials): every site could then act as whoever visits it.
    #[must_use]
    pub fn any_origin(mut self) -> Self {
        self.origins = Origins::Any;
        self.check_credentials();
        self
    }

    /// Lets scripts send these methods too, case-sensitive.
    ///
    /// # Panics
    ///
    /// If one is no token.
    #[must_use]
    pub fn methods(mut self, methods: &[&str]) -> Self {
        self.methods = token_list(methods);
        self
    }

    /// Lets scripts set these header fields too.
    ///
    /// # Panics
    ///
    /// If one is no token.
    #[must_use]
    pub fn headers(mut self, names: &[&str]) -> Self {
        self.headers = RequestHeaders::Listed(token_list(names));
        self
    }

    /// Lets scripts set every header field.
    #[must_use]
    pub fn any_header(mut self) -> Self {
        self.headers = RequestHeaders::Any;
        self
    }

    /// Lets scripts read these fields of answers, beside `Content-Type` and a few others.
    ///
    /// # Panics
    ///
    /// If one is no token.
    #[must_use]
    pub fn expose(mut self, names: &[&str]) -> Self {
        self.exposed = token_list(names);
        self
    }

    /// Lets scripts send cookies and passwords along, and read what they then get.
    ///
    /// # Panics
    ///
    /// With [`any_origin`](Self::any_origin).
    #[must_use]
    pub fn credentials(mut self) -> Self {
        self.credentials = true;
        self.check_credentials();
        self
    }

    /// How long a browser may remember the answer to a preflight, in whole seconds. Most have an upper
    /// limit of their own; without it, they remember for 5 seconds.
    #[must_use]
    pub const fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = Some(max_age);
        self
    }

    fn check_credentials(&self) {
        assert!(
            !(self.credentials && matches!(self.origins, Origins::Any)),
            "with every origin let and credentials, every site could act as its visitors: list the origins"
        );
    }

    /// What `Access-Control-Allow-Origin` says to `request`, if anything.
    fn allowed_origin<'a>(&'a self, request: &Request) -> Option<&'a str> {
        let Origins::Listed(origins) = &self.origins else {
            return Some("*");
        };
        let mut given = request.headers().get_all("Origin");
        let (Some(given), None) = (given.next(), given.next()) else {
            return None;
        };
        let mut origins = origins.iter();
        let allowed = origins.find(|origin| origin.as_bytes() == given);
        allowed.map(String::as_str)
    }

    /// Sets what both kinds of answers have. Whether the origin is let.
    fn allow_origin(&self, request: &Request, response: &mut Response) -> bool {
        for name in [ALLOW_ORIGIN, ALLOW_CREDENTIALS, EXPOSE_HEADERS] {
            response.remove_header(name);
        }
        if let Origins::Listed(_) = self.origins {
            // Also on what is refused, and on what came without an origin: a cache must not hand that
            // to an origin which is let.
            vary(response, "Origin");
        }
        let Some(origin) = self.allowed_origin(request) else {
            return false;
        };
        response.set_header(ALLOW_ORIGIN, origin);
        if self.credentials {
            response.set_header(ALLOW_CREDENTIALS, "true");
        }
        true
    }

    fn allow_preflight(&self, request: &Request, response: &mut Response) {
        if !self.methods.is_empty() {
            response.set_header("Access-Control-Allow-Methods", &self.methods);
        }
        let headers = match &self.headers {
            RequestHeaders::Listed(names) => names.clone(),
            // By their names: `*` would not cover `Authorization`, and nothing with credentials.
            RequestHeaders::Any => {
                let asked = request.headers().tokens("Access-Control-Request-Headers");
                let names: Vec<_> = asked.filter(|name| is_token(name.as_bytes())).collect();
                names.join(", ")
            }
        };
        if !headers.is_empty() {
            response.set_header("Access-Control-Allow-Headers", headers);
        }
        if let Some(max_age) = self.max_age {
            response.set_header("Access-Control-Max-Age", max_age.as_secs().to_string());
        }
    }
}

impl Middleware for Cors {
    fn before(&mut self, request: &mut Request, response: &mut Response) {
        if !is_preflight(request) {
            return;
        }
        response.set_status(StatusCode::NO_CONTENT);
        if self.allow_origin(request, response) {
            self.allow_preflight(request, response);
        }
        vary(response, "Access-Control-Request-Method");
        vary(response, "Access-Control-Request-Headers");
    }

    fn after(&mut self, request: &Request, response: &mut Response) {
        if is_preflight(request) || response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return;
        }
        if self.allow_origin(request, response) && !self.exposed.is_empty() {
            response.set_header(EXPOSE_HEADERS, &self.exposed);
        }
    }
}

fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains("Origin")
        && request.headers().contains("Access-Control-Request-Method")
}

/// Adds `name` to `Vary`, if that does not say so yet.
fn vary(response: &mut Response, name: &str) {
    let headers = response.headers();
    if !headers.has_token("Vary", name) && !headers.has_token("Vary", "*") {
        response.add_header("Vary", name);
    }
}

fn token_list(tokens: &[&str]) -> String {
    for token in tokens {
        assert!(is_token(token.as_bytes()), "{token:?} is no token");
    }
    tokens.join(", ")
}

/// Whether an origin is serialised as browsers do it (RFC 6454 section 6.2).
fn check_origin(origin: &str) -> Result<(), &'static str> {
    if origin == "null" {
        return Ok(());
    }
    let (scheme, rest) = origin.split_once("://").ok_or("it has no scheme")?;
    if rest.is_empty() || rest.contains(['/', '?', '#', '@']) {
        return Err("it is scheme, host and port alone");
    }
    let is_visible = origin.bytes().all(|byte| matches!(byte, b'!'..=b'~'));
    if !is_visible || origin.contains(['*', ',']) {
        return Err("it has a character that no host has");
    }
    if origin.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err("it is in lower case");
    }
    let own_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return Ok(()),
    };
    if rest.ends_with(own_port) {
        return Err("the scheme's own port is left out");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_that_no_browser_sends_are_refused() {
        for origin in [
            "https://a.example",
            "http://a.example:8080",
            "https://[2001:db8::1]:8443",
            "http://a.example:443",
            "app://name",
            "null",
        ] {
            assert_eq!(check_origin(origin), Ok(()), "{origin}");
        }
        for origin in [
            "",
            "*",
            "a.example",
            "https://",
            "https://a.example/",
            "https://a.example/path",
            "https://user@a.example",
            "https://A.example",
            "https://*.example",
            "https://a.example, https://b.example",
            "https://a.example:443",
            "http://a.example:80",
            "https://\u{e4}.example",
        ] {
            assert!(check_origin(origin).is_err(), "{origin}");
        }
    }

    #[test]
    #[should_panic(expected = "every site could act as its visitors")]
    fn every_origin_with_credentials_is_refused() {
        let _ = Cors::new().any_origin().credentials();
    }

    #[test]
    #[should_panic(expected = "every site could act as its visitors")]
    fn credentials_with_every_origin_are_refused() {
        let _ = Cors::new().credentials().any_origin();
    }

    #[test]
    #[should_panic(expected = "is no token")]
    fn a_list_within_a_name_is_refused() {
        let _ = Cors::new().headers(&["X-A, X-B"]);
    }
}
