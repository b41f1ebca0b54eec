//! An id for each request, by which its traces in several logs are found.

use std::collections::hash_map::RandomState;
use std::fmt::{self, Write as _};
use std::hash::BuildHasher as _;
use std::sync::Arc;

use crate::app::middleware::Middleware;
use crate::http::headers::is_token;
use crate::http::{Request, Response};

const FIELD: &str = "X-Request-Id";

/// The longest id that is taken over, in bytes.
const MAX_ID_BYTES: usize = 128;

/// Gives each request an id: responders ask for it with [`RequestId::of`], and the answer has it as
/// `X-Request-Id`.
///
/// An id is 16 hexadecimal digits that are random for each `RequestId`, a hyphen and the number of
/// the request: unique, in order, and without a call for random bits per request. It can be guessed
/// and is no secret. Behind a proxy that makes ids, [`trust_peer`](Self::trust_peer) takes those.
///
/// ```
/// use aerys::{Host, middleware::RequestId, respond};
/// let host = Host::new()
///     .middleware(RequestId::new())
///     .add(respond(|request, response| {
///         let id = RequestId::of(request).unwrap_or_default();
///         response.end(format!("you are request {id}"));
///     }));
/// ```
pub struct RequestId {
    /// Apart from those of other processes and threads; with the hyphen.
    prefix: String,
    count: u64,
    trusts_peer: bool,
}

/// The id, as it lies in the request.
#[derive(Clone)]
struct Id(Arc<str>);

impl RequestId {
    /// Makes an id for every request.
    #[must_use]
    pub fn new() -> Self {
        // Keyed with bits of the system's generator; made once, so what that costs is no matter.
        let random = RandomState::new().hash_one(FIELD);
        Self {
            prefix: format!("{random:016x}-"),
            count: 0,
            trusts_peer: false,
        }
    }

    /// Takes the `X-Request-Id` of the request where it has one that is 1 to 128 characters of a
    /// token (RFC 9110 section 5.6.2): no space, quote or control character, so it is safe in a log.
    /// For a proxy in front: any client can send one, also that of another's request.
    #[must_use]
    pub const fn trust_peer(mut self) -> Self {
        self.trusts_peer = true;
        self
    }

    /// The id of `request`; `None` before a `RequestId` has seen it.
    #[must_use]
    pub fn of(request: &Request) -> Option<&str> {
        request.get::<Id>().map(|id| &*id.0)
    }

    fn next(&mut self) -> Arc<str> {
        self.count = self.count.wrapping_add(1);
        let mut id = self.prefix.clone();
        write!(id, "{}", self.count).expect("a String takes everything");
        id.into()
    }
}

impl Default for RequestId {
    fn default() -> Self {
        Self::new()
    }
}

impl Middleware for RequestId {
    fn before(&mut self, request: &mut Request, _: &mut Response) {
        let given = if self.trusts_peer {
            given_id(request)
        } else {
            None
        };
        let id = given.unwrap_or_else(|| self.next());
        request.set(Id(id));
    }

    fn after(&mut self, request: &Request, response: &mut Response) {
        if let Some(id) = Self::of(request) {
            response.set_header(FIELD, id);
        }
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestId")
            .field("count", &self.count)
            .field("trusts_peer", &self.trusts_peer)
            .finish_non_exhaustive()
    }
}

/// The id that the peer gave, if it is one and there is only one.
fn given_id(request: &Request) -> Option<Arc<str>> {
    let mut ids = request.headers().get_all(FIELD);
    let (Some(id), None) = (ids.next(), ids.next()) else {
        return None;
    };
    let is_sane = id.len() <= MAX_ID_BYTES && is_token(id);
    let id = std::str::from_utf8(id).ok().filter(|_| is_sane)?;
    Some(id.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_within_one_and_between_two() {
        let (mut one, mut other) = (RequestId::new(), RequestId::new());
        let ids = [one.next(), one.next(), other.next(), other.next()];
        for (index, id) in ids.iter().enumerate() {
            assert!(is_token(id.as_bytes()) && id.len() == 18, "{id}");
            assert!(!ids[..index].contains(id), "{id}");
        }
    }

    #[test]
    fn an_id_that_is_given_is_one_token_of_at_most_128_bytes() {
        let long = "a".repeat(129);
        let given = |fields: &[(&str, &str)]| {
            given_id(&Request::for_test("GET", "/", fields)).map(|id| id.to_string())
        };
        for id in ["a", "0-9_x.~", &long[..128]] {
            assert_eq!(given(&[("x-request-id", id)]).as_deref(), Some(id));
        }
        for id in ["", "a b", "a,b", "\"a\"", "\u{e4}", "a=b", &long] {
            assert_eq!(given(&[(FIELD, id)]), None, "{id}");
        }
        assert_eq!(given(&[(FIELD, "a"), (FIELD, "b")]), None);
        assert_eq!(given(&[]), None);
    }
}
