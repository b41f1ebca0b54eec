//! Fields that tell browsers what not to do with an answer.

use std::fmt;
use std::time::Duration;

use crate::app::middleware::Middleware;
use crate::http::{HeaderName, HeaderValue, Request, Response, StatusCode};

const CSP: &str = "Content-Security-Policy";
const FRAME_OPTIONS: &str = "X-Frame-Options";
const HSTS: &str = "Strict-Transport-Security";

/// Who may show a page in a frame of theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Framing {
    /// Nobody.
    Nobody,
    /// Pages of the same origin.
    SameOrigin,
    /// Everybody: clicks on a page can be stolen by another that lies over it.
    Everybody,
}

/// Sets fields that make browsers stricter. What a responder set itself is kept.
///
/// | field | without a setting |
/// |---|---|
/// | `X-Content-Type-Options` | `nosniff`: a type is what the server says |
/// | `Referrer-Policy` | `strict-origin-when-cross-origin`: other sites learn no path |
/// | `X-Frame-Options`, `frame-ancestors` of the CSP | [`Framing::SameOrigin`] |
/// | `Cross-Origin-Opener-Policy` | `same-origin`: no handle on a window across sites |
/// | `Cross-Origin-Resource-Policy` | `same-origin`: other sites do not embed what is served |
/// | `Cross-Origin-Embedder-Policy`, `Permissions-Policy` | none: they depend on what a page needs |
/// | `Content-Security-Policy` | `frame-ancestors` alone |
/// | `Strict-Transport-Security` | none: it is a promise that a browser holds for long |
///
/// ```
/// use aerys::{Host, middleware::SecurityHeaders};
/// use std::time::Duration;
/// let headers = SecurityHeaders::new()
///     .content_security_policy("default-src 'self'")
///     .set("Permissions-Policy", "camera=(), microphone=()")
///     .without("Cross-Origin-Resource-Policy")
///     .https_only(Duration::from_secs(365 * 24 * 60 * 60));
/// let host = Host::new().middleware(headers);
/// ```
#[derive(Clone)]
pub struct SecurityHeaders {
    fields: Vec<(HeaderName, HeaderValue)>,
    policy: String,
    framing: Framing,
    /// What is sent over encrypted connections only.
    https_only: Option<String>,
}

impl SecurityHeaders {
    /// The fields of the table.
    #[must_use]
    pub fn new() -> Self {
        let fields = [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "strict-origin-when-cross-origin"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ];
        let fields = fields.map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        });
        Self {
            fields: fields.into(),
            policy: String::new(),
            framing: Framing::SameOrigin,
            https_only: None,
        }
    }

    /// Sets another field of that kind, or one of them to another value.
    ///
    /// # Panics
    ///
    /// If it is no field, or one that has a method of its own here: `Content-Security-Policy`,
    /// `X-Frame-Options` and `Strict-Transport-Security`.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        let is_own = [CSP, FRAME_OPTIONS, HSTS].map(|own| own.eq_ignore_ascii_case(name));
        assert!(
            !is_own.contains(&true),
            "{name} is set by a method of its own"
        );
        let (Ok(name), Some(value)) = (HeaderName::from_bytes(name.as_bytes()), field_value(value))
        else {
            panic!("the field {name:?}: {value:?} cannot be sent");
        };
        self.fields.retain(|(other, _)| *other != name);
        self.fields.push((name, value));
        self
    }

    /// Does not set that field, which [`new`](Self::new) or [`set`](Self::set) did.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.fields
            .retain(|(other, _)| !other.as_str().eq_ignore_ascii_case(name));
        self
    }

    /// Sends this `Content-Security-Policy` (CSP level 3). `frame-ancestors` is added as
    /// [`framing`](Self::framing) says, unless it is in there.
    ///
    /// # Panics
    ///
    /// If it cannot be the value of a field.
    #[must_use]
    pub fn content_security_policy(mut self, policy: &str) -> Self {
        let policy = policy.trim_end_matches([';', ' ']);
        assert!(
            field_value(policy).is_some(),
            "the policy {policy:?} cannot be sent"
        );
        policy.clone_into(&mut self.policy);
        self
    }

    /// Who may show what is served in a frame. For a list of others write `frame-ancestors` into the
    /// [policy](Self::content_security_policy) and set [`Framing::Everybody`] here.
    #[must_use]
    pub const fn framing(mut self, framing: Framing) -> Self {
        self.framing = framing;
        self
    }

    /// Makes browsers that came over an encrypted connection use no other for so long, in whole
    /// seconds (RFC 6797). Zero takes it back.
    #[must_use]
    pub fn https_only(mut self, max_age: Duration) -> Self {
        self.https_only = Some(format!("max-age={}", max_age.as_secs()));
        self
    }

    /// As [`https_only`](Self::https_only), for all subdomains too.
    #[must_use]
    pub fn https_only_with_subdomains(mut self, max_age: Duration) -> Self {
        let seconds = max_age.as_secs();
        self.https_only = Some(format!("max-age={seconds}; includeSubDomains"));
        self
    }

    /// The policy with who may frame, empty if it says nothing.
    fn whole_policy(&self) -> String {
        let framing = match self.framing {
            Framing::Nobody => "frame-ancestors 'none'",
            Framing::SameOrigin => "frame-ancestors 'self'",
            Framing::Everybody => "",
        };
        let mut directives = self.policy.split(';').map(str::trim_start);
        let has_framing = directives.any(|directive| {
            let name = directive.split_ascii_whitespace().next();
            name.is_some_and(|name| name.eq_ignore_ascii_case("frame-ancestors"))
        });
        let parts = [&*self.policy, if has_framing { "" } else { framing }];
        let parts = parts.into_iter().filter(|part| !part.is_empty());
        parts.collect::<Vec<_>>().join("; ")
    }
}

impl Default for SecurityHeaders {
    fn default() -> Self {
        Self::new()
    }
}

impl Middleware for SecurityHeaders {
    fn after(&mut self, request: &Request, response: &mut Response) {
        // What a browser does with a document is nothing to a connection of frames.
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return;
        }
        for (name, value) in &self.fields {
            set_if_missing(response, name.as_str(), value.as_bytes());
        }
        let frame_options = match self.framing {
            Framing::Nobody => Some("DENY"),
            Framing::SameOrigin => Some("SAMEORIGIN"),
            Framing::Everybody => None,
        };
        if let Some(options) = frame_options {
            set_if_missing(response, FRAME_OPTIONS, options.as_bytes());
        }
        let policy = self.whole_policy();
        if !policy.is_empty() {
            set_if_missing(response, CSP, policy.as_bytes());
        }
        // Over any other connection it must not be sent (RFC 6797 section 7.2).
        if let Some(https_only) = &self.https_only
            && request.is_encrypted()
        {
            set_if_missing(response, HSTS, https_only.as_bytes());
        }
    }
}

impl fmt::Debug for SecurityHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecurityHeaders")
            .field("fields", &self.fields)
            .field("policy", &self.whole_policy())
            .field("https_only", &self.https_only)
            .finish_non_exhaustive()
    }
}

fn set_if_missing(response: &mut Response, name: &str, value: &[u8]) {
    if !response.headers().contains(name) {
        response.set_header(name, value);
    }
}

/// `value`, if a field can have it.
fn field_value(value: &str) -> Option<HeaderValue> {
    let value = HeaderValue::from_str(value).ok()?;
    let is_trimmed = value.as_bytes().trim_ascii().len() == value.len();
    is_trimmed.then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::ConnectionInfo;

    /// The value of a field on an answer to a request over a connection of that kind.
    fn field_of(headers: &mut SecurityHeaders, encrypted: bool, name: &str) -> Option<String> {
        let request = Request::new(ConnectionInfo {
            encrypted,
            ..ConnectionInfo::for_test()
        });
        let mut response = Response::new();
        headers.after(&request, &mut response);
        assert_eq!(response.fault(), None);
        response.headers().get_str(name).map(str::to_owned)
    }

    #[test]
    fn the_promise_of_encryption_is_made_over_encrypted_connections_alone() {
        let year = Duration::from_secs(31_536_000);
        let mut headers = SecurityHeaders::new().https_only(year);
        assert_eq!(field_of(&mut headers, false, HSTS), None);
        let promise = field_of(&mut headers, true, HSTS);
        assert_eq!(promise.as_deref(), Some("max-age=31536000"));
        let mut headers = SecurityHeaders::new().https_only_with_subdomains(year);
        let promise = field_of(&mut headers, true, HSTS);
        assert_eq!(
            promise.as_deref(),
            Some("max-age=31536000; includeSubDomains")
        );
        assert_eq!(field_of(&mut SecurityHeaders::new(), true, HSTS), None);
    }

    #[test]
    fn who_may_frame_is_said_once_in_the_policy() {
        use Framing::{Everybody, Nobody, SameOrigin};
        for (policy, framing, expected) in [
            ("", SameOrigin, Some("frame-ancestors 'self'")),
            ("", Nobody, Some("frame-ancestors 'none'")),
            ("", Everybody, None),
            (
                "default-src 'self'; ",
                Nobody,
                Some("default-src 'self'; frame-ancestors 'none'"),
            ),
            ("default-src 'self'", Everybody, Some("default-src 'self'")),
            (
                "img-src *;  Frame-Ancestors https://a.example",
                Nobody,
                Some("img-src *;  Frame-Ancestors https://a.example"),
            ),
        ] {
            let mut headers = SecurityHeaders::new()
                .content_security_policy(policy)
                .framing(framing);
            let policy = field_of(&mut headers, false, CSP);
            assert_eq!(policy.as_deref(), expected);
        }
    }

    #[test]
    #[should_panic(expected = "cannot be sent")]
    fn a_field_of_two_lines_is_refused() {
        let _ = SecurityHeaders::new().set("Permissions-Policy", "camera=()\r\nX: y");
    }

    #[test]
    #[should_panic(expected = "a method of its own")]
    fn a_field_with_a_method_is_not_set_otherwise() {
        let _ = SecurityHeaders::new().set("strict-transport-security", "max-age=1");
    }
}
