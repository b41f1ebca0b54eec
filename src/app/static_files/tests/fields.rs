//! Fields that others set, before and after: middleware, rules, the compression of responses.

use super::*;
use crate::app::compress_response::{ResponseCompression, compress_response};

type Fields<'f> = &'f [(&'f str, &'f str)];

/// The answer to a GET, of which something is said before.
fn answered(
    files: &mut StaticFiles,
    target: &str,
    fields: Fields<'_>,
    before: Fields<'_>,
) -> Response {
    let (mut request, mut response) = (Request::for_test("GET", target, fields), Response::new());
    for (name, value) in before {
        response.add_header(name, value);
    }
    files.respond(&mut request, &mut response);
    response
}

fn values(response: &Response, name: &str) -> Vec<String> {
    let values = response.headers().get_all(name);
    values
        .map(|value| String::from_utf8_lossy(value).into_owned())
        .collect()
}

const GZIP: (&str, &str) = ("Accept-Encoding", "gzip");

#[test]
fn what_was_set_before_is_replaced_by_rules_and_a_vary_stays_whatever_the_status() {
    let scene = Scene::new()
        .file("app.js", "plain")
        .file("app.js.gz", "gzip");
    let mut files = scene
        .files()
        .header("*", "Cache-Control", "no-cache")
        .header("*", "Vary", "Origin");
    let before = [("Cache-Control", "no-store"), ("Vary", "Cookie")];
    let cases: [(Fields<'_>, u16, &[&str]); 6] = [
        (&[], 200, &["no-cache"]),
        (&[GZIP], 200, &["no-cache"]),
        (&[("Range", "bytes=0-1")], 206, &["no-cache"]),
        (&[("If-None-Match", "*")], 304, &["no-cache"]),
        // Of these nothing is said but by the application.
        (&[("If-Match", "\"x\"")], 412, &["no-store"]),
        (&[("Range", "bytes=9-")], 416, &["no-store"]),
    ];
    for (fields, status, cache_control) in cases {
        let response = answered(&mut files, "/app.js", fields, &before);
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(
            values(&response, "cache-control"),
            cache_control,
            "{status}"
        );
        let vary = values(&response, "vary");
        assert_eq!(vary, ["Cookie", "Accept-Encoding", "Origin"], "{status}");
        let names = ["etag", "last-modified"];
        assert_eq!(names.map(|name| values(&response, name).len()), [1, 1]);
    }
    // A tag of another's is none of this file.
    let tag = [("ETag", "\"other\""), ("Vary", "Cookie")];
    let not = answered(&mut files, "/svg.svg", &[("If-None-Match", "*")], &tag);
    let whole = answered(&mut files, "/svg.svg", &[], &tag);
    assert_eq!(values(&not, "etag"), values(&whole, "etag"));
    assert_eq!(values(&not, "vary"), values(&whole, "vary"));
}

#[test]
fn a_404_page_says_what_it_is_and_nothing_of_the_file() {
    let scene = Scene::new()
        .file("missing.html", "no")
        .file("missing.html.gz", "gz");
    let mut files = scene
        .files()
        .not_found("missing.html")
        .header("**", "Cache-Control", "max-age=31536000")
        .header("**", "CDN-Cache-Control", "max-age=31536000")
        .header("**", "Surrogate-Key", "pages")
        .header("**", "Content-Location", "/missing.html")
        .header("**", "Content-Language", "en")
        .header("**", "Content-Security-Policy", "default-src 'self'")
        .header("**", "Vary", "Origin");
    let before = [("Cache-Control", "no-store"), ("Vary", "Cookie")];
    let response = answered(&mut files, "/nothing", &[GZIP], &before);
    assert_eq!(response.status().as_u16(), 404);
    assert_eq!(response.content().as_bytes(), Some(&b"gz"[..]));
    let head = String::from_utf8(response.headers().as_section().to_vec()).unwrap();
    let expected = [
        "Cache-Control: no-store",
        "Vary: Cookie",
        "Content-Type: text/html; charset=utf-8",
        "Content-Encoding: gzip",
        "Vary: Accept-Encoding",
        "Content-Language: en",
        "Content-Security-Policy: default-src 'self'",
        "Vary: Origin",
    ];
    let lines: Vec<&str> = head.split_terminator("\r\n").collect();
    assert_eq!(lines, expected);
}

#[test]
fn a_fallback_is_for_who_takes_pages_and_everybody_is_told_so() {
    let scene = Scene::new();
    let mut files = scene.files().fallback("index.htm");
    for (accept, is_sent) in [
        ("text/html", true),
        ("Text/HTML;level=1;q=0.1, */*", true),
        ("*/*", false),
        ("text/*", false),
        ("application/json, text/html;q=0", false),
        ("application/json, text/html; q=0.000", false),
        ("", false),
    ] {
        let response = answered(&mut files, "/route", &[("Accept", accept)], &[]);
        assert_eq!(response.is_started(), is_sent, "{accept}");
        assert_eq!(values(&response, "vary"), ["Accept"], "{accept}");
    }
    // Here it does not decide.
    for (method, target) in [("POST", "/route"), ("GET", "/.env"), ("GET", "/svg.svg")] {
        let (mut request, mut response) = (Request::for_test(method, target, &[]), Response::new());
        files.respond(&mut request, &mut response);
        assert!(!response.headers().contains("vary"), "{method} {target}");
    }
}

#[test]
fn several_parts_are_of_the_plain_file() {
    let scene = Scene::new()
        .file("app.js", "plain")
        .file("app.js.gz", "gzip-gzip");
    let mut files = scene.files();
    let one = answered(&mut files, "/app.js", &[GZIP, ("Range", "bytes=0-1")], &[]);
    assert_eq!(values(&one, "content-encoding"), ["gzip"]);
    let several = ("Range", "bytes=0-0,4-4");
    let several = answered(&mut files, "/app.js", &[GZIP, several], &[]);
    assert_eq!(several.status().as_u16(), 206);
    assert!(!several.headers().contains("content-encoding"));
    let body = String::from_utf8(several.content().as_bytes().unwrap().to_vec()).unwrap();
    assert!(body.contains("bytes 0-0/5\r\n\r\np\r\n"), "{body}");
}

#[test]
fn a_precondition_on_the_strong_tag_is_judged_of_the_plain_file() {
    let scene = Scene::new().file("a.txt", "some text. ".repeat(150));
    let mut files = scene.files().compress(true);
    let etag = values(&answered(&mut files, "/a.txt", &[], &[]), "etag").remove(0);
    assert!(etag.starts_with('"'), "{etag}");
    let weak = format!("W/{etag}");
    for (tag, status) in [(&*etag, 200), ("*", 200), (&weak, 412), ("\"x\"", 412)] {
        let response = answered(&mut files, "/a.txt", &[GZIP, ("If-Match", tag)], &[]);
        assert_eq!(response.status().as_u16(), status, "{tag}");
        assert!(!response.headers().contains("content-encoding"));
    }
}

/// A file has codings of its own, and whether it lies in memory is nobody's business.
#[test]
fn a_file_is_not_compressed_as_a_response_is() {
    let text = "some text. ".repeat(150);
    let scene = Scene::new().file("a.txt", &text).file("dir/b.html", &text);
    let mut files = scene.files().listing(true).not_found("dir/b.html");
    let mut both = |target: &str, fields: Fields<'_>| {
        let mut response = answered(&mut files, target, fields, &[]);
        let request = Request::for_test("GET", target, fields);
        let options = ResponseCompression {
            min_bytes: 1,
            ..ResponseCompression::default()
        };
        compress_response(&request, &mut response, &options);
        response
    };
    let whole = both("/a.txt", &[GZIP]);
    assert!(whole.content().as_bytes() == Some(text.as_bytes()));
    let etag = values(&whole, "etag").remove(0);
    assert!(etag.starts_with('"') && !whole.headers().contains("content-encoding"));
    for (field, value, status) in [
        ("If-None-Match", &*etag, 304),
        ("If-Match", &etag, 200),
        ("If-Match", "\"x\"", 412),
        ("Range", "bytes=0-1000", 206),
        ("Range", "bytes=9999-", 416),
    ] {
        let response = both("/a.txt", &[GZIP, (field, value)]);
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(values(&response, "etag"), [&*etag]);
        assert_eq!(values(&response, "vary"), values(&whole, "vary"));
    }
    let missing = both("/missing", &[GZIP]);
    assert!(missing.content().as_bytes() == Some(text.as_bytes()));
    // A list is made for the request, as any response.
    let list = both("/dir/", &[GZIP]);
    assert_eq!(values(&list, "content-encoding"), ["gzip"]);
}
