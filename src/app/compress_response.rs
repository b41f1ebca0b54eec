//! Content coding of what an application answers (RFC 9110 section 8.4): gzip, for who takes it.

use crate::app::middleware::Middleware;
use crate::http::accept::{AcceptedCodings, Coding};
use crate::http::{Headers, Request, Response, StatusCode, gzip};

/// Which responses [`compress_response`] compresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseCompression {
    /// Shortest body that is compressed, in bytes. Default 860: what is shorter fits in one packet
    /// anyway.
    pub min_bytes: usize,
    /// Longest body that is compressed, in bytes. Default 1 MiB: it takes 8 ms at level 1, in which
    /// nobody else is served.
    pub max_bytes: usize,
    /// How hard, from 1 (fast) to 9 (small). Default 1: unlike a file, a response is compressed for
    /// one client alone.
    pub level: u8,
}

impl Default for ResponseCompression {
    fn default() -> Self {
        Self {
            min_bytes: 860,
            max_bytes: 1024 * 1024,
            level: 1,
        }
    }
}

/// Compresses what the responders around which it stands answer: see [`compress_response`].
///
/// ```
/// use aerys::{Host, ResponseCompression};
/// let host = Host::new().middleware(ResponseCompression::default());
/// ```
impl Middleware for ResponseCompression {
    fn after(&mut self, request: &Request, response: &mut Response) {
        compress_response(request, response, self);
    }
}

/// Compresses the body of `response` by gzip, if `request` says that it may be and it pays.
///
/// What is compressed is text of all kinds by its `Content-Type` (HTML, CSS, JavaScript, JSON, XML,
/// SVG, WebAssembly). Not what [`StaticFiles`](crate::StaticFiles) sends of files, which has
/// [codings](crate::StaticFiles::compress) of its own, nor what is pulled from elsewhere; not what has
/// a `Content-Encoding`, a digest of its content or `Cache-Control: no-transform`; not a part (206) or
/// what has no body. Wherever the client's choice decides, `Vary: Accept-Encoding` is added, also if
/// it was against. A strong `ETag` becomes a weak one, which a later `If-None-Match` is to be compared
/// with weakly (RFC 9110 section 13.1.2), and `Accept-Ranges` goes.
///
/// A 304 has the `Vary` and the tag that the 200 would have (section 15.4.5), as far as its fields say
/// which that is: without a `Content-Type` it is taken for one of text that pays.
///
/// Do not compress what holds both a secret and what a stranger may choose: how long it becomes tells
/// of the one by the other.
///
/// ```
/// use aerys::{Request, Response, ResponseCompression, compress_response};
/// fn respond(request: &mut Request, response: &mut Response) {
///     response.end("some text. ".repeat(1000));
///     compress_response(request, response, &ResponseCompression::default());
/// }
/// ```
pub fn compress_response(
    request: &Request,
    response: &mut Response,
    options: &ResponseCompression,
) {
    let is_not_modified = response.status() == StatusCode::NOT_MODIFIED;
    if response.keeps_coding() || !(is_not_modified || is_eligible(response, options)) {
        return;
    }
    if !may_be_coded(response.headers(), response.is_text() || is_not_modified) {
        return;
    }
    if !response.headers().has_token("vary", "accept-encoding")
        && !response.headers().has_token("vary", "*")
    {
        response.add_header("Vary", "Accept-Encoding");
    }
    let accepted = AcceptedCodings::of(request.headers());
    if accepted.choose(|coding| coding == Coding::Gzip).is_none() {
        return;
    }
    if is_not_modified {
        weaken_tag(response);
        return;
    }
    let body = response.content().as_bytes();
    let Some(compressed) = body.and_then(|body| gzip::compressed(body, options.level)) else {
        return;
    };
    weaken_tag(response);
    let is_plain_text = !response.headers().contains("content-type");
    response.end(compressed);
    if is_plain_text {
        // So the head would have said of text.
        response.set_header("Content-Type", "text/plain; charset=utf-8");
    }
    response
        .set_header("Content-Encoding", "gzip")
        .remove_header("Accept-Ranges")
        .remove_header("Content-Length");
}

fn weaken_tag(response: &mut Response) {
    if let Some(etag) = response.headers().get_str("etag")
        && etag.starts_with('"')
    {
        let weak = format!("W/{etag}");
        response.set_header("ETag", weak);
    }
}

/// Whether the content of a response is such that it would be compressed for who wants it so.
fn is_eligible(response: &Response, options: &ResponseCompression) -> bool {
    let has_content = !matches!(
        response.status(),
        StatusCode::NO_CONTENT
            | StatusCode::RESET_CONTENT
            | StatusCode::PARTIAL_CONTENT
            | StatusCode::NOT_MODIFIED
            | StatusCode::SWITCHING_PROTOCOLS
    );
    let bytes = response.content().as_bytes();
    has_content
        && bytes.is_some_and(|bytes| (options.min_bytes..=options.max_bytes).contains(&bytes.len()))
}

/// Whether the fields of a response say that it would be; if they say nothing of its type, it is
/// text or not.
fn may_be_coded(headers: &Headers, is_text: bool) -> bool {
    is_compressible(headers, is_text)
        && !headers.has_token("cache-control", "no-transform")
        && !OF_THESE_BYTES.iter().any(|name| headers.contains(name))
}

/// Fields that say something of the very bytes of a body.
const OF_THESE_BYTES: [&str; 6] = [
    "Content-Encoding",
    "Content-Range",
    "Content-Digest",
    "Digest",
    "Repr-Digest", // RFC 9530 section 3: of the bytes with their coding
    "Content-MD5",
];

fn is_compressible(headers: &Headers, is_text: bool) -> bool {
    match headers.get_str("content-type") {
        Some(content_type) => gzip::is_compressible(content_type),
        None => is_text && !headers.contains("content-type"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GZIP: &[(&str, &str)] = &[("Accept-Encoding", "gzip, br")];

    fn text() -> String {
        "some text. ".repeat(100)
    }

    fn html(response: &mut Response) {
        response.set_header("Content-Type", "text/html").end(text());
    }

    /// The response that `fill` makes, after the function.
    fn compressed(fields: &[(&str, &str)], fill: impl FnOnce(&mut Response)) -> Response {
        let (request, mut response) = (Request::for_test("GET", "/", fields), Response::new());
        fill(&mut response);
        compress_response(&request, &mut response, &ResponseCompression::default());
        assert_eq!(response.fault(), None);
        response
    }

    fn is_compressed(response: &Response) -> bool {
        let is_said = response.headers().get_str("content-encoding") == Some("gzip");
        let bytes = response.content().as_bytes().unwrap_or_default();
        assert_eq!(is_said, bytes.starts_with(&[0x1F, 0x8B]));
        is_said
    }

    #[test]
    fn text_is_compressed_for_who_takes_it_and_says_so_to_all() {
        let response = compressed(GZIP, html);
        assert!(is_compressed(&response));
        let gzip = response.content().as_bytes().unwrap();
        let stream = &gzip[10..gzip.len() - 8];
        let inflated = miniz_oxide::inflate::decompress_to_vec(stream).unwrap();
        assert_eq!(inflated, text().into_bytes());
        assert_eq!(
            response.headers().get_str("content-type"),
            Some("text/html")
        );
        assert_eq!(response.headers().get_str("vary"), Some("Accept-Encoding"));
        for fields in [
            &[][..],
            &[("Accept-Encoding", "br")],
            &[("Accept-Encoding", "gzip;q=0, *")],
            &[("Accept-Encoding", "identity, gzip;q=0.5")],
        ] {
            let response = compressed(fields, html);
            assert!(!is_compressed(&response), "{fields:?}");
            assert_eq!(response.headers().get_str("vary"), Some("Accept-Encoding"));
        }
    }

    #[test]
    fn a_vary_that_is_there_stays_and_is_not_repeated() {
        let vary = |value: &'static str| {
            let response = compressed(GZIP, |response| {
                html(response);
                response.set_header("Vary", value);
            });
            let values = response.headers().get_all("vary");
            values
                .map(|value| value.escape_ascii().to_string())
                .collect::<Vec<_>>()
                .join("; ")
        };
        assert_eq!(vary("Origin"), "Origin; Accept-Encoding");
        assert_eq!(vary("Origin, accept-encoding"), "Origin, accept-encoding");
        assert_eq!(vary("*"), "*");
    }

    #[test]
    fn what_must_stay_as_it_is_does() {
        let check = |what: &str, fill: &dyn Fn(&mut Response)| {
            let response = compressed(GZIP, |response| {
                html(response);
                fill(response);
            });
            let is_gzip = response.headers().get_str("content-encoding") == Some("gzip");
            assert!(!is_gzip && !response.headers().contains("vary"), "{what}");
        };
        for (name, value) in [
            ("Content-Encoding", "br"),
            ("Content-Range", "bytes 0-1/2"),
            ("Content-Digest", "sha-256=:x:"),
            ("Repr-Digest", "sha-256=:y:"),
            ("Cache-Control", "private, no-transform"),
            ("Content-Type", "image/png"),
            ("Content-Type", "text/event-stream"),
        ] {
            check(value, &|response| _ = response.set_header(name, value));
        }
        for status in [204, 205, 206] {
            check("the status", &|response| _ = response.set_status(status));
        }
        for len in [0, 859, 1024 * 1024 + 1] {
            check("the length", &|response| _ = response.end("a".repeat(len)));
        }
        // Bytes without a type say nothing of themselves; text does.
        assert!(!is_compressed(
            &compressed(GZIP, |r| _ = r.end(text().into_bytes()))
        ));
        let response = compressed(GZIP, |r| _ = r.end(text()));
        assert!(is_compressed(&response));
        let content_type = response.headers().get_str("content-type");
        assert_eq!(content_type, Some("text/plain; charset=utf-8"));
    }

    #[test]
    fn an_error_is_compressed_like_any_other_and_to_a_head_as_to_a_get() {
        let response = compressed(GZIP, |response| {
            html(response);
            response.set_status(404);
        });
        assert!(is_compressed(&response));
        let request = Request::for_test("HEAD", "/", GZIP);
        let mut to_head = Response::new();
        html(&mut to_head);
        compress_response(&request, &mut to_head, &ResponseCompression::default());
        let to_get = compressed(GZIP, html);
        assert_eq!(to_head.content().len(), to_get.content().len());
        assert_eq!(
            to_head.headers().as_section(),
            to_get.headers().as_section()
        );
    }

    #[test]
    fn a_strong_tag_becomes_weak_and_what_was_of_the_plain_body_goes() {
        let tags = [("\"a\"", "W/\"a\""), ("W/\"a\"", "W/\"a\"")];
        for (before, after) in tags {
            let response = compressed(GZIP, |response| {
                html(response);
                response
                    .set_header("ETag", before)
                    .set_header("Accept-Ranges", "bytes")
                    .set_header("Content-Length", "1100");
            });
            assert_eq!(response.headers().get_str("etag"), Some(after));
            assert!(!response.headers().contains("accept-ranges"));
            assert!(!response.headers().contains("content-length"));
        }
        let plain = compressed(&[], |response| {
            html(response);
            response.set_header("ETag", "\"a\"");
        });
        assert_eq!(plain.headers().get_str("etag"), Some("\"a\""));
    }

    #[test]
    fn a_304_says_what_its_200_would() {
        let tag_and_vary = |fields: &[(&str, &str)], set: &[(&str, &str)]| {
            let response = compressed(fields, |response| {
                response.set_status(304).set_header("ETag", "\"a\"");
                for (name, value) in set {
                    response.set_header(name, value);
                }
            });
            let headers = response.headers();
            assert_eq!(response.content().len(), 0);
            assert!(!headers.contains("content-encoding"));
            let field = |name| headers.get_str(name).map(str::to_owned);
            (field("etag").unwrap(), field("vary"))
        };
        let of = |tag: &str, vary: Option<&str>| (tag.to_owned(), vary.map(str::to_owned));
        let vary = Some("Accept-Encoding");
        let type_of = |value| [("Content-Type", value)];
        assert_eq!(tag_and_vary(GZIP, &[]), of("W/\"a\"", vary));
        assert_eq!(
            tag_and_vary(GZIP, &type_of("text/css")),
            of("W/\"a\"", vary)
        );
        assert_eq!(tag_and_vary(&[], &[]), of("\"a\"", vary));
        assert_eq!(tag_and_vary(GZIP, &type_of("image/png")), of("\"a\"", None));
        for other in [
            ("Cache-Control", "no-transform"),
            ("Repr-Digest", "sha-256=:y:"),
        ] {
            assert_eq!(tag_and_vary(GZIP, &[other]), of("\"a\"", None));
        }
    }

    #[test]
    fn what_keeps_its_coding_is_left_alone_and_what_replaces_it_is_not() {
        let response = compressed(GZIP, |response| {
            html(response);
            response.keep_coding();
        });
        assert!(!is_compressed(&response) && !response.headers().contains("vary"));
        let response = compressed(GZIP, |response| {
            html(response);
            response.keep_coding();
            html(response);
        });
        assert!(is_compressed(&response));
    }

    #[test]
    fn what_does_not_become_shorter_is_sent_as_it_is() {
        let mut state = 1_u32;
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_le_bytes()[3]
        });
        let noise: Vec<u8> = noise.take(2000).collect();
        let response = compressed(GZIP, |response| {
            response
                .set_header("Content-Type", "application/json")
                .end(noise.clone());
        });
        assert!(!is_compressed(&response));
        assert_eq!(response.headers().get_str("vary"), Some("Accept-Encoding"));
        assert_eq!(response.content().as_bytes(), Some(&noise[..]));
    }
}
