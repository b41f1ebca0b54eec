//! A request that is answered with an error before the application sees it, whatever HTTP version
//! it came by.

use std::fmt;

use super::StatusCode;

/// Why the bytes of a client are no request that is served. It is answered, and
/// over HTTP/1 the connection ends then: where the next request would begin is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RefusedRequest {
    /// The status to answer with.
    pub(crate) status: StatusCode,
    /// What is wrong, in words that repeat nothing of the request.
    pub(crate) reason: &'static str,
}

impl RefusedRequest {
    pub(crate) const fn new(status: StatusCode, reason: &'static str) -> Self {
        Self { status, reason }
    }

    /// A 400: the bytes break the grammar, or could be read in two ways.
    pub(crate) const fn bad(reason: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, reason)
    }
}

impl fmt::Display for RefusedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status.as_u16(), self.reason)
    }
}

/// The body is longer than the configuration allows.
pub(crate) const BODY_TOO_LONG: RefusedRequest = RefusedRequest::new(
    StatusCode::PAYLOAD_TOO_LARGE,
    "the request body is too long",
);
