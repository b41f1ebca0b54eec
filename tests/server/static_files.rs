//! Files below a root, and nothing else of the disk.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use aerys::{Server, StaticFiles};

use crate::client::{Client, HttpResponse, pattern};
use crate::support::{TestServer, wait_until};

/// A folder that is gone after the test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("aerys-server-test-{}-{number}", std::process::id()));
        std::fs::create_dir_all(path.join("root/dir")).expect("a temporary folder");
        Self(path)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.0.join(name), content).expect("a temporary file");
    }

    pub(crate) fn serve(&self) -> TestServer {
        let root = self.0.join("root");
        TestServer::start(move |host, _| {
            Server::new().host(host.add(StaticFiles::new(root).expect("a readable folder")))
        })
    }
}

/// The file, once its tag is a strong one: that of a file that was written just now is weak.
pub(crate) fn settled(client: &mut Client, target: &str) -> HttpResponse {
    wait_until("the file is settled", || {
        let response = client.request("GET", target, &[("Range", "bytes=0-0")]);
        !response
            .field("ETag")
            .expect("a validator")
            .starts_with("W/")
    });
    client.get(target)
}

impl AsRef<Path> for Folder {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn files_are_served_with_their_type_and_length_and_indexes_for_folders() {
    let folder = Folder::new();
    folder.write("root/index.htm", "test");
    folder.write("root/svg.svg", "<svg/>");
    folder.write("root/Grüße an alle.txt", "hallo");
    folder.write("root/dir/index.html", "inner");
    let server = folder.serve();
    let mut client = Client::connect(server.address);
    for path in ["/", "/index.htm", "/index.htm?query=ignored"] {
        let response = client.get(path);
        assert_eq!(
            (response.status, &response.body[..]),
            (200, &b"test"[..]),
            "{path}"
        );
        assert_eq!(
            response.field("Content-Type"),
            Some("text/html; charset=utf-8")
        );
    }
    assert_eq!(
        client.get("/svg.svg").field("Content-Type"),
        Some("image/svg+xml")
    );
    assert_eq!(
        client.get("/Gr%C3%BC%C3%9Fe%20an%20alle.txt").body,
        b"hallo"
    );
    let response = client.get("/dir?x=1");
    assert_eq!(
        (response.status, response.field("Location")),
        (308, Some("/dir/?x=1"))
    );
    assert_eq!(client.get("/dir/").body, b"inner");
    let response = client.request("HEAD", "/svg.svg", &[]);
    assert_eq!(
        (response.status, response.field("Content-Length")),
        (200, Some("6"))
    );
    assert_eq!(
        client
            .request("POST", "/svg.svg", &[("Content-Length", "0")])
            .status,
        405
    );
    assert_eq!(client.get("/missing").status, 404);
}

#[test]
fn nothing_outside_the_root_and_nothing_hidden_is_served() {
    let folder = Folder::new();
    folder.write("secret", "secret");
    folder.write("root/open.txt", "open");
    folder.write("root/.env", "secret");
    std::fs::create_dir(folder.as_ref().join("root/.git")).expect("a folder");
    folder.write("root/.git/config", "secret");
    std::fs::create_dir(folder.as_ref().join("root/.well-known")).expect("a folder");
    folder.write("root/.well-known/security.txt", "contact");
    #[cfg(unix)]
    {
        let link = |to: &str, from: &str| {
            std::os::unix::fs::symlink(to, folder.as_ref().join(from)).expect("a link");
        };
        link("../secret", "root/out");
        link("..", "root/up");
        link("/etc", "root/etc");
        link("open.txt", "root/in");
    }
    let server = folder.serve();
    for path in [
        "/../secret",
        "/%2e%2e/secret",
        "/%2E%2E%2Fsecret",
        "/dir/../../secret",
        "/dir/%2e%2e/%2e%2e/secret",
        "/..%2fsecret",
        "/..%5csecret",
        "/..\\secret",
        "//../secret",
        "/./open.txt",
        "/dir/../open.txt",
        "/open.txt%00",
        "/open.txt%00.html",
        "/.env",
        "/%2eenv",
        "/.git/config",
        "/.git/",
        "/out",
        "/up/secret",
        "/etc/passwd",
        "/open.txt/",
        "/open.txt/x",
        "/%",
        "/%zz",
        "/%c0%ae%c0%ae/secret",
    ] {
        let response = Client::connect(server.address).get(path);
        assert!(matches!(response.status, 400 | 404), "{path}: {response:?}");
        assert!(
            !String::from_utf8_lossy(&response.body).contains("secret\n"),
            "{path}"
        );
        assert_ne!(response.body, b"secret", "{path}");
        assert_ne!(response.body, b"open", "{path}");
    }
    let mut client = Client::connect(server.address);
    assert_eq!(client.get("/open.txt").body, b"open");
    assert_eq!(client.get("/.well-known/security.txt").body, b"contact");
    #[cfg(unix)]
    assert_eq!(client.get("/in").body, b"open");
    // A redirect built from the path must not leave the host.
    let location = client.get("//dir").field("Location").map(str::to_owned);
    assert!(
        location
            .as_deref()
            .is_none_or(|location| !location.starts_with("//")),
        "{location:?}"
    );
}

#[test]
fn what_the_client_has_already_is_not_sent_again() {
    let folder = Folder::new();
    folder.write("root/file.css", "a {}");
    let server = folder.serve();
    let mut client = Client::connect(server.address);
    let first = settled(&mut client, "/file.css");
    let tag = first.field("ETag").expect("a validator");
    assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag}");
    let modified = first.field("Last-Modified").expect("a date");
    let many = format!("\"other\", W/{tag}");
    for condition in [
        ("If-None-Match", tag),
        ("If-None-Match", &many),
        ("If-None-Match", "*"),
        ("If-Modified-Since", modified),
    ] {
        let response = client.request("GET", "/file.css", &[condition]);
        assert_eq!(
            (response.status, response.body.len()),
            (304, 0),
            "{condition:?}"
        );
        assert_eq!(response.field("ETag"), Some(tag));
    }
    let old = "Sat, 01 Jan 2000 00:00:00 GMT";
    for conditions in [
        &[("If-None-Match", "\"other\"")][..],
        &[("If-Modified-Since", old)],
        &[
            ("If-None-Match", "\"other\""),
            ("If-Modified-Since", modified),
        ],
    ] {
        assert_eq!(
            client.request("GET", "/file.css", conditions).body,
            b"a {}",
            "{conditions:?}"
        );
    }
}

#[test]
fn a_part_of_a_file_is_sent_alone() {
    let folder = Folder::new();
    // Sent at once, and in pieces.
    for len in [10_000, 200_000] {
        let content = pattern(len);
        folder.write("root/file.bin", &content);
        let server = folder.serve();
        let mut client = Client::connect(server.address);
        let whole = settled(&mut client, "/file.bin");
        assert_eq!(whole.field("Accept-Ranges"), Some("bytes"));
        assert!(whole.body == content);
        let tag = whole.field("ETag").expect("a validator");
        for (range, part) in [
            ("bytes=0-0", 0..1),
            ("bytes=1-9998", 1..9999),
            ("bytes=5-", 5..len),
            ("bytes=-7", len - 7..len),
            ("bytes=0-999999", 0..len),
        ] {
            let response = client.request("GET", "/file.bin", &[("Range", range)]);
            assert_eq!(response.status, 206, "{range}");
            let expected = format!("bytes {}-{}/{len}", part.start, part.end - 1);
            assert_eq!(response.field("Content-Range"), Some(&*expected), "{range}");
            assert_eq!(response.field("ETag"), Some(tag));
            let content_type = response.field("Content-Type");
            assert_eq!(content_type, Some("application/octet-stream"));
            assert!(response.body == content[part], "{range}");
        }
        let beyond = format!("bytes={len}-");
        let response = client.request("GET", "/file.bin", &[("Range", &beyond)]);
        assert_eq!(response.status, 416);
        let expected = format!("bytes */{len}");
        assert_eq!(response.field("Content-Range"), Some(&*expected));
        for fields in [
            &[("Range", "bytes=2-1")][..],
            &[("Range", "lines=1-2")],
            &[("Range", "bytes=0-1"), ("If-Range", "\"other\"")],
        ] {
            let response = client.request("GET", "/file.bin", fields);
            assert_eq!(response.status, 200, "{fields:?}");
            assert!(response.body == content, "{fields:?}");
        }
        client.send_raw("HEAD /file.bin HTTP/1.1\r\nHost: localhost\r\nRange: bytes=0-1\r\n\r\n");
        let head = client.read_response_head();
        assert_eq!(
            head.status, 200,
            "a range is for GET (RFC 9110 section 14.2)"
        );
        let whole_len = len.to_string();
        assert_eq!(head.field("Content-Length"), Some(&*whole_len));
    }
}

#[test]
fn a_range_counts_only_for_the_state_that_the_client_has() {
    let folder = Folder::new();
    folder.write("root/file.txt", "0123456789");
    let server = folder.serve();
    let mut client = Client::connect(server.address);
    let whole = settled(&mut client, "/file.txt");
    let tag = whole.field("ETag").expect("a validator");
    let modified = whole.field("Last-Modified").expect("a date");
    let weak = format!("W/{tag}");
    let range = ("Range", "bytes=2-3");
    for (if_range, status) in [
        (tag, 206),
        (modified, 206),
        (&*weak, 200),
        ("\"other\"", 200),
        ("Sat, 01 Jan 2000 00:00:00 GMT", 200),
        ("Fri, 01 Jan 2100 00:00:00 GMT", 200),
        ("*", 200),
        ("", 200),
    ] {
        let response = client.request("GET", "/file.txt", &[range, ("If-Range", if_range)]);
        assert_eq!(response.status, status, "{if_range}");
        let part = if status == 206 { 2..4 } else { 0..10 };
        assert_eq!(response.body, b"0123456789"[part], "{if_range}");
    }
    // Preconditions come first (section 13.2.2).
    for (field, value, status) in [
        ("If-None-Match", tag, 304),
        ("If-Match", "\"other\"", 412),
        ("If-Match", tag, 206),
    ] {
        let response = client.request("GET", "/file.txt", &[range, (field, value)]);
        assert_eq!(response.status, status, "{field}: {value}");
    }
}

#[test]
fn several_parts_are_sent_with_lines_between_them() {
    let folder = Folder::new();
    let content = pattern(300_000);
    folder.write("root/file.css", &content);
    let server = folder.serve();
    let mut client = Client::connect(server.address);
    let mut parts_of = |range: &str| {
        let response = client.request("GET", "/file.css", &[("Range", range)]);
        assert_eq!(response.status, 206, "{range}");
        assert_eq!(response.field("Content-Range"), None, "it is each part's");
        let content_type = response.field("Content-Type").expect("a type");
        let boundary = content_type
            .strip_prefix("multipart/byteranges; boundary=")
            .expect("several parts");
        let mut parts = Vec::new();
        let mut rest = &response.body[..];
        loop {
            let line = format!("\r\n--{boundary}");
            rest = rest.strip_prefix(line.as_bytes()).expect("a boundary");
            if rest == b"--\r\n" {
                return parts;
            }
            let end = rest.windows(4).position(|bytes| bytes == b"\r\n\r\n");
            let (head, body) = rest.split_at(end.expect("a head") + 4);
            let head = std::str::from_utf8(head).expect("text");
            assert!(
                head.contains("\r\nContent-Type: text/css; charset=utf-8\r\n"),
                "{head}"
            );
            let (_, bytes) = head.split_once("Content-Range: bytes ").expect("a range");
            let (first, bytes) = bytes.split_once('-').expect("a range");
            let (last, len) = bytes.split_once('/').expect("a length");
            assert_eq!(len, "300000\r\n\r\n");
            let first: usize = first.parse().expect("a number");
            let end = last.parse::<usize>().expect("a number") + 1;
            let (part, behind) = body.split_at(end - first);
            assert!(part == &content[first..end], "{head}");
            parts.push((first, end));
            rest = behind;
        }
    };
    assert_eq!(parts_of("bytes=0-0,-1"), [(0, 1), (299_999, 300_000)]);
    assert_eq!(
        parts_of("bytes=200000-, 5-150000"),
        [(200_000, 300_000), (5, 150_001)]
    );
    // What is not there is left out, and what is there twice is joined if it was the file otherwise.
    assert_eq!(
        parts_of("bytes=10-19,15-29,400000-,40-49"),
        [(10, 20), (15, 30), (40, 50)]
    );
    assert_eq!(
        parts_of("bytes=1-200000,100000-250000,299999-"),
        [(1, 250_001), (299_999, 300_000)]
    );
    // And the connection goes on.
    assert_eq!(client.get("/file.css").body.len(), 300_000);
    let many = format!("bytes={}", vec!["0-0,2-2"; 20].join(","));
    let response = client.request("GET", "/file.css", &[("Range", &many)]);
    assert_eq!((response.status, response.body.len()), (200, 300_000));
}

#[test]
fn types_pages_for_what_is_missing_and_for_all_paths_can_be_set() {
    let folder = Folder::new();
    folder.write("root/index.html", "the page");
    folder.write("root/missing.html", "nothing here");
    folder.write("root/data.AVRO", "data");
    folder.write("root/style.css", "a {}");
    let root = folder.as_ref().join("root");
    let serve = |set: fn(StaticFiles) -> StaticFiles| {
        let root = root.clone();
        TestServer::start(move |host, _| {
            let files = set(StaticFiles::new(root).expect("a folder"));
            Server::new().host(host.add(files))
        })
    };
    let page = ("Accept", "text/html,application/xhtml+xml;q=0.9, */*;q=0.8");
    let asset = ("Accept", "image/avif, */*");
    let of = |response: &HttpResponse| {
        let content_type = response.field("Content-Type").unwrap_or_default();
        let body = String::from_utf8_lossy(&response.body).into_owned();
        (response.status, content_type.to_owned(), body)
    };
    let html = || "text/html; charset=utf-8".to_owned();

    let server = serve(|files| {
        let files = files.fallback("index.html").not_found("missing.html");
        files
            .content_type("avro", "application/avro")
            .content_type("css", "text/x-css")
    });
    let mut client = Client::connect(server.address);
    let mut get = |target: &str, field| of(&client.request("GET", target, &[field]));
    assert_eq!(
        get("/app/settings?x=1", page),
        (200, html(), "the page".into())
    );
    let missing = || (404, html(), "nothing here".to_owned());
    assert_eq!(get("/app/logo.avif", asset), missing());
    // What is never served is no path of an application.
    assert_eq!(get("/.env", page), missing());
    assert_eq!(get("/a/%2e%2e/b", page), missing());
    assert_eq!(
        get("/data.AVRO", asset),
        (200, "application/avro".into(), "data".into())
    );
    assert_eq!(
        get("/style.css", asset),
        (200, "text/x-css".into(), "a {}".into())
    );
    let tag = settled(&mut client, "/")
        .field("ETag")
        .expect("a validator")
        .to_owned();
    let vary = client.request("GET", "/app", &[asset]);
    assert_eq!(vary.field("Vary"), Some("Accept"));
    let same = [page, ("If-None-Match", &*tag)];
    assert_eq!(client.request("GET", "/app", &same).status, 304);
    assert_eq!(client.request("POST", "/app", &[page]).status, 404);

    // Without one of them, and when they are gone.
    let server = serve(|files| files.fallback("index.html"));
    let mut client = Client::connect(server.address);
    let nobody = client.request("GET", "/app", &[asset]);
    assert_eq!((nobody.status, nobody.field("Vary")), (404, Some("Accept")));
    let server = serve(|files| files.not_found("missing.html"));
    let mut client = Client::connect(server.address);
    assert_eq!(of(&client.request("GET", "/app", &[page])), missing());
    std::fs::remove_file(root.join("missing.html")).expect("ours");
    wait_until("the page is gone", || {
        let response = client.request("GET", "/app", &[page]);
        assert_eq!(response.status, 404);
        response.body != b"nothing here"
    });
}

/// Streamed as the peer reads, with others served meanwhile.
#[test]
fn a_large_file_arrives_whole_and_holds_nobody_up() {
    const LEN: usize = 64 << 20;
    let folder = Folder::new();
    let content = pattern(LEN);
    folder.write("root/large.bin", &content);
    folder.write("root/small", "small");
    let server = folder.serve();
    let mut slow = Client::connect(server.address);
    slow.send_raw("GET /large.bin HTTP/1.1\r\nHost: localhost\r\n\r\n");
    for _ in 0..20 {
        assert_eq!(Client::connect(server.address).get("/small").body, b"small");
    }
    let response = slow.read_response();
    assert_eq!(
        response.field("Content-Length"),
        Some(LEN.to_string().as_str())
    );
    assert_eq!(
        response.field("Content-Type"),
        Some("application/octet-stream")
    );
    assert!(response.body == content);
    assert_eq!(slow.get("/small").body, b"small");
}
