//! The page: three files that are part of the program.

use aerys::middleware::{Framing, SecurityHeaders};
use aerys::{Body, Request, Responder, Response, Router};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Nothing but its own two files and its own server: no script in the page, none from elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'";

/// The page at `/`, and what it needs.
pub(crate) fn page() -> Router {
    let strict = SecurityHeaders::new()
        .content_security_policy(POLICY)
        .framing(Framing::Nobody);
    Router::new()
        .middleware(strict)
        .get("/", file("text/html", include_bytes!("page/index.html")))
        .get(
            "/chat.css",
            file("text/css", include_bytes!("page/chat.css")),
        )
        .get(
            "/chat.js",
            file("text/javascript", include_bytes!("page/chat.js")),
        )
}

/// A file that browsers keep, and ask for each time whether it still is the same.
fn file(media_type: &str, bytes: &'static [u8]) -> impl Responder + use<> {
    let content_type = format!("{media_type}; charset=utf-8");
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    let tag = format!("\"{:016x}\"", hasher.finish());
    move |request: &mut Request, response: &mut Response| {
        response
            .set_header("etag", &tag)
            .set_header("cache-control", "no-cache");
        if request
            .header("if-none-match")
            .is_some_and(|known| names(known, &tag))
        {
            response.set_status(304).end("");
        } else {
            response
                .set_header("content-type", &content_type)
                .end(Body::from_static(bytes));
        }
    }
}

/// Whether `If-None-Match` (RFC 9110 section 13.1.2) names this tag.
fn names(known: &str, tag: &str) -> bool {
    let mut tags = known.split(',').map(str::trim);
    tags.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}
