//! Spellings of paths that must lead to nothing, files that change while they are served, and a walk
//! over all that may be asked of a file.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use aerys::{Server, StaticFiles};

use crate::client::{Client, HttpResponse, pattern};
use crate::static_files::settled;
use crate::support::{TestServer, wait_until};

/// A root with a file `open.txt`, beside it a file `secret`; gone after the test.
struct Scene(PathBuf);

impl Scene {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("aerys-file-paths-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(path.join("root")).expect("a temporary folder");
        std::fs::write(path.join("secret"), "secret").expect("a temporary file");
        let scene = Self(path);
        scene.write("open.txt", "open");
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join("root").join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).expect("a temporary file");
    }

    fn make_folder(&self, name: &str) {
        std::fs::create_dir_all(self.path(name)).expect("a temporary folder");
    }

    fn link(&self, to: impl AsRef<Path>, name: &str) {
        std::os::unix::fs::symlink(to, self.path(name)).expect("a link");
    }

    fn serve(&self) -> TestServer {
        let root = self.0.join("root");
        TestServer::start(move |host, _| {
            Server::new().host(host.add(StaticFiles::new(root).expect("a readable folder")))
        })
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn no_spelling_of_a_path_leads_out_of_the_root() {
    let scene = Scene::new();
    scene.make_folder("dir/deep");
    // So that a name that is decoded twice, or cut, would be found.
    scene.write("dir/open.txt", "open");
    // Elsewhere a name like that is a path.
    scene.write("back\\slash", "open");
    let server = scene.serve();
    for path in [
        // Dot segments, plain and encoded, once and twice.
        "/../secret",
        "/dir/../../secret",
        "/dir/deep/../../../secret",
        "/%2e%2e/secret",
        "/%2e./secret",
        "/.%2E/secret",
        "/..%2fsecret",
        "/..%2Fsecret",
        "/%2e%2e%2fsecret",
        "/dir%2f..%2f..%2fsecret",
        "/%252e%252e/secret",
        "/%252e%252e%252fsecret",
        "/..%252fsecret",
        "/%25252e%25252e/secret",
        "/open%252etxt",
        "/%256fpen.txt",
        "/dir/..",
        "/dir/.",
        "/./open.txt",
        "/dir/../open.txt",
        // Backslashes.
        "/..%5csecret",
        "/..\\secret",
        "/dir\\..\\..\\secret",
        "/back\\slash",
        "/back%5cslash",
        "/dir%5copen.txt",
        "/%5c..%5csecret",
        "/%5c%5cserver%5cshare",
        // What is no UTF-8, or a longer form of a dot or a slash.
        "/..%c0%afsecret",
        "/%c0%ae%c0%ae/secret",
        "/%e0%80%ae%e0%80%ae/secret",
        "/..%ef%bc%8fsecret",
        "/%uff0e%uff0e/secret",
        "/%u002e%u002e/secret",
        // Filters that take something out once.
        "/....//secret",
        "/..././secret",
        "/..;/secret",
        "/dir/..;/..;/secret",
        "/.../secret",
        "/..%20/secret",
        "/..%09/secret",
        // The end of a name, for those who stop there.
        "/open.txt%00",
        "/open.txt%00.html",
        "/%00/open.txt",
        "/open.txt%20",
        "/open.txt.",
        "/open.txt/",
        "/open.txt/.",
        "/open.txt%2f",
        "/open.txt;x",
        "/open.txt%3fx",
        "/open.txt::$DATA",
        "/open.txt~1",
        "/OPEN.TXT",
        // Absolute ones, of several systems.
        "//etc/passwd",
        "/%2fetc/passwd",
        "/%2fetc%2fpasswd",
        "///etc/passwd",
        "/file:///etc/passwd",
        "/C:/Windows/win.ini",
        "/C:%5cWindows%5cwin.ini",
        "/dir//open.txt",
        // Escapes that are none.
        "/%",
        "/%2",
        "/%zz",
        "/%2eopen%2",
    ] {
        let response = Client::connect(server.address).get(path);
        assert!(
            matches!(response.status, 400 | 403 | 404),
            "{path}: {response:?}"
        );
        assert_ne!(response.body, b"secret", "{path}");
        assert_ne!(response.body, b"open", "{path}");
    }
    // What a client may send in the place of a path.
    for target in [
        "http://localhost/../secret",
        "http://localhost/%2e%2e/secret",
        "http://localhost//etc/passwd",
    ] {
        assert_eq!(Client::connect(server.address).get(target).status, 404);
    }
    let mut client = Client::connect(server.address);
    for path in ["/open.txt", "/%6fpen.txt", "/open%2Etxt", "/dir/open.txt"] {
        assert_eq!(client.get(path).body, b"open", "{path}");
    }
}

#[test]
fn what_is_no_file_is_not_there_and_blocks_nobody() {
    let scene = Scene::new();
    let pipe = scene.path("pipe");
    let status = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(status.expect("a program of every system").success());
    let _socket = std::os::unix::net::UnixListener::bind(scene.path("socket")).expect("a socket");
    scene.make_folder("folder");
    scene.link("../secret", "out");
    scene.link("..", "up");
    scene.link("/etc", "etc");
    scene.link("/dev/zero", "zero");
    scene.link("/proc/self/environ", "environ");
    scene.link("loop", "loop");
    scene.link("nowhere", "dangling");
    scene.link("pipe", "to-pipe");
    scene.link("folder/../../secret", "winding");
    scene.link("open.txt", "in");
    let server = scene.serve();
    let mut client = Client::connect(server.address);
    for path in [
        "/pipe",
        "/to-pipe",
        "/socket",
        "/folder",
        "/folder/",
        "/out",
        "/up/secret",
        "/etc/passwd",
        "/zero",
        "/environ",
        "/loop",
        "/dangling",
        "/winding",
    ] {
        assert_eq!(client.get(path).status, 404, "{path}");
    }
    assert_eq!(client.get("/in").body, b"open");
}

#[test]
fn what_is_hidden_is_not_there() {
    let scene = Scene::new();
    for folder in [".git", "dir/.svn", ".well-known", "dir/.well-known"] {
        scene.make_folder(folder);
    }
    for name in [
        ".git/config",
        ".env",
        ".htaccess",
        "dir/.svn/entries",
        "dir/.hidden",
        "dir/.well-known/x",
        "...",
        "..x",
    ] {
        scene.write(name, "secret");
    }
    scene.write(".well-known/security.txt", "contact");
    let server = scene.serve();
    let mut client = Client::connect(server.address);
    for path in [
        "/.git/config",
        "/%2egit/config",
        "/.git%2fconfig",
        "/.git/",
        "/.env",
        "/%2Eenv",
        "/.htaccess",
        "/dir/.svn/entries",
        "/dir/.hidden",
        "/dir/%2ehidden",
        "/dir/.well-known/x",
        "/...",
        "/..x",
    ] {
        assert_eq!(client.get(path).status, 404, "{path}");
    }
    assert_eq!(client.get("/.well-known/security.txt").body, b"contact");
}

#[test]
fn a_file_that_is_cut_while_it_is_served_never_looks_whole() {
    const LEN: u64 = 64 << 20;
    let scene = Scene::new();
    let file = std::fs::File::create(scene.path("large")).expect("a temporary file");
    file.set_len(LEN).expect("room for a hole");
    let server = scene.serve();
    let mut client = Client::connect(server.address);
    client.send_raw("GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let head = client.read_response_head();
    assert_eq!(head.field("Content-Length"), Some(&*LEN.to_string()));
    // Far more than the sockets hold is yet to come.
    file.set_len(LEN / 2).expect("a file of ours");
    let body = client.read_to_end_or_reset();
    assert!((body.len() as u64) < LEN, "{} bytes", body.len());
    let whole = Client::connect(server.address).get("/large");
    assert_eq!(whole.body.len() as u64, LEN / 2, "the server lives on");
}

#[test]
fn a_file_that_is_replaced_while_it_is_served_is_sent_as_it_was() {
    let scene = Scene::new();
    let old = pattern(16 << 20);
    scene.write("file", &old);
    let server = scene.serve();
    let mut client = Client::connect(server.address);
    settled(&mut client, "/file");
    client.send_raw("GET /file HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client.send_raw("GET /open.txt HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let head = client.read_response_head();
    let tag = head.field("ETag").expect("a validator").to_owned();
    scene.write("new", "new");
    std::fs::rename(scene.path("new"), scene.path("file")).expect("a file of ours");
    assert!(client.read_bytes(old.len()) == old);
    assert_eq!(
        client.read_response().body,
        b"open",
        "not one byte more came"
    );
    wait_until("the new file is served", || {
        client.get("/file").body == b"new"
    });
    // Who has a part of the old one gets the new one whole.
    let part = [("Range", "bytes=1-1"), ("If-Range", &*tag)];
    let response = client.request("GET", "/file", &part);
    assert_eq!((response.status, &response.body[..]), (200, &b"new"[..]));
    let response = client.request("GET", "/file", &[("If-Match", &*tag)]);
    assert_eq!(response.status, 412);
}

#[test]
fn many_ranges_make_no_answer_larger_than_the_file() {
    let scene = Scene::new();
    let content = pattern(100_000);
    scene.write("file", &content);
    let server = scene.serve();
    let mut client = Client::connect(server.address);
    let mut ask = |range: &str| client.request("GET", "/file", &[("Range", range)]);
    for range in [
        format!("bytes=0-{}", ",0-".repeat(1299)),
        format!("bytes=0-0{}", ",5-5,2-".repeat(1000)),
        format!("bytes={}", "0-99999,".repeat(1000)),
        format!("bytes={}", "-99999999999999999999,".repeat(500)),
    ] {
        let response = ask(&range);
        assert!(
            matches!(response.status, 200 | 206 | 416),
            "{}",
            response.status
        );
        let len = response.body.len();
        assert!(len <= content.len() + 1000, "{len} bytes");
    }
    // Numbers that 64 bits do not hold.
    for range in [
        "bytes=-99999999999999999999",
        "bytes=0-99999999999999999999",
        "bytes=0-18446744073709551615",
        "bytes=-18446744073709551616",
    ] {
        let response = ask(range);
        assert!(matches!(response.status, 200 | 206), "{range}");
        assert!(response.body == content, "{range}");
    }
    for range in ["bytes=99999999999999999999-", "bytes=18446744073709551615-"] {
        assert!(matches!(ask(range).status, 200 | 416), "{range}");
    }
}

/// The parts of a `multipart/byteranges`: range and bytes of each.
fn parts_of(response: &HttpResponse) -> Vec<(String, String)> {
    let content_type = response.field("Content-Type").expect("a type");
    let boundary = content_type.strip_prefix("multipart/byteranges; boundary=");
    let delimiter = format!("\r\n--{}", boundary.expect("several parts"));
    let body = std::str::from_utf8(&response.body).expect("text");
    let mut pieces = body.split(&*delimiter).skip(1).collect::<Vec<_>>();
    assert_eq!(pieces.pop(), Some("--\r\n"), "the closing delimiter");
    let parts = pieces.into_iter().map(|piece| {
        let (head, bytes) = piece.split_once("\r\n\r\n").expect("a part");
        let (_, range) = head.split_once("Content-Range: ").expect("a range");
        let range = range.lines().next().expect("a range");
        (range.to_owned(), bytes.to_owned())
    });
    parts.collect()
}

/// Scenario 18. Two of its paths lead to the index by dot segments: those are 404 here, as in any
/// spelling. Clients resolve them before they send.
#[test]
fn a_root_is_served_from_its_index_to_parts_of_a_file() {
    let scene = Scene::new();
    scene.write("index.htm", "test");
    scene.write("svg.svg", "<svg/>");
    scene.make_folder("dir");
    let server = scene.serve();
    let mut client = Client::connect(server.address);
    for path in ["/", "/index.htm"] {
        let response = client.get(path);
        assert_eq!((response.status, &response.body[..]), (200, &b"test"[..]));
        let content_type = response.field("Content-Type");
        assert_eq!(content_type, Some("text/html; charset=utf-8"), "{path}");
    }
    for path in [
        "/dir/../dir//..//././index.htm",
        "/../../../index.htm",
        "/dir/",
        "/../root/index.htm",
    ] {
        assert_eq!(client.get(path).status, 404, "{path}");
    }
    let content_type = client.get("/svg.svg");
    assert_eq!(content_type.field("Content-Type"), Some("image/svg+xml"));

    let options = client.request("OPTIONS", "/", &[]);
    assert_eq!((options.status, options.body.len()), (204, 0));
    assert_eq!(options.field("Allow"), Some("GET, HEAD, OPTIONS"));
    let mut ask = |field, value: &str| client.request("GET", "/", &[(field, value)]);
    assert_eq!(ask("If-Match", "\"x\"").status, 412);

    let part = ask("Range", "bytes=1-2");
    assert_eq!((part.status, &part.body[..]), (206, &b"es"[..]));
    assert_eq!(part.field("Content-Range"), Some("bytes 1-2/4"));
    let beyond = ask("Range", "bytes=7-10");
    assert_eq!(beyond.status, 416);
    assert_eq!(beyond.field("Content-Range"), Some("bytes */4"));
    let several = ask("Range", "bytes=1-2,2-");
    assert_eq!(several.status, 206);
    let expected = [("bytes 1-2/4", "es"), ("bytes 2-3/4", "st")];
    let expected = expected.map(|(range, bytes)| (range.to_owned(), bytes.to_owned()));
    assert_eq!(parts_of(&several), expected);
    let last = ask("Range", "bytes=-2");
    assert_eq!((last.status, &last.body[..]), (206, &b"st"[..]));
    assert_eq!(last.field("Content-Range"), Some("bytes 2-3/4"));

    let whole = ask("Accept", "*/*");
    let modified = whole.field("Last-Modified").expect("a date");
    let unchanged = ask("If-Modified-Since", modified);
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
}
