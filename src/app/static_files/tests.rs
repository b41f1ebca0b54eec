//! Tests of `static_files.rs`, in directories of their own.

use std::cell::Cell;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

use super::cache::TRUSTED;
use super::file::content_type;
use super::root::Resolution;
use super::source::{MAX_PULL_BYTES, read_exactly};
use super::*;
use crate::http::response::Content;
use crate::output::Source;

mod changes;
mod codings;
mod fields;
mod limits;
mod listings;
mod states;

thread_local! {
    /// How far the clock of this thread's files was set on.
    static PASSED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// A clock that stands until it is set on, long after the files of a test were made.
const CLOCK: Clock = Clock {
    instant: || {
        static START: OnceLock<Instant> = OnceLock::new();
        *START.get_or_init(Instant::now) + PASSED.get()
    },
    calendar: || SystemTime::now() + Duration::from_secs(3600),
};

fn pass(time: Duration) {
    PASSED.set(PASSED.get() + time);
}

/// A directory that goes when the test ends, with a root and a secret beside it.
struct Scene {
    path: PathBuf,
}

impl Scene {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("aerys-files-{}-{number}", std::process::id()));
        fs::create_dir_all(path.join("www")).unwrap();
        let scene = Self { path };
        fs::write(scene.path.join("secret"), "secret").unwrap();
        scene
            .file("index.htm", "test")
            .file("svg.svg", "<svg/>")
            .file("dir/file.txt", "f")
    }

    fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.root().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    fn link(self, name: &str, to: impl AsRef<Path>) -> Self {
        symlink(to, self.root().join(name)).unwrap();
        self
    }

    fn root(&self) -> PathBuf {
        self.path.join("www")
    }

    fn files(&self) -> StaticFiles {
        let mut files = StaticFiles::new(self.root()).unwrap();
        // Nobody has compressed anything just now.
        pass(budget::INTERVAL);
        files.clock = CLOCK;
        files
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.root().join(name), content).unwrap();
    }

    /// As editors and deployments do it.
    fn replace(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path.join("new"), content).unwrap();
        fs::rename(self.path.join("new"), self.root().join(name)).unwrap();
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// The answer to a request; `None` is silence.
fn ask(
    files: &mut StaticFiles,
    method: &str,
    target: &str,
    fields: &[(&str, &str)],
) -> Option<Response> {
    let (mut request, mut response) = (Request::for_test(method, target, fields), Response::new());
    files.respond(&mut request, &mut response);
    assert_eq!(response.fault(), None);
    response.is_started().then_some(response)
}

/// Status, `Location` and body of the answer to a GET.
fn get(files: &mut StaticFiles, target: &str) -> Option<String> {
    let mut response = ask(files, "GET", target, &[])?;
    let location = response
        .headers()
        .get_str("location")
        .unwrap_or_default()
        .to_owned();
    let body = match response.take_content() {
        Content::Source { len, mut source } => {
            let mut bytes = Vec::new();
            while source.pull(&mut bytes, usize::MAX).unwrap() > 0 {}
            assert_eq!(bytes.len() as u64, len);
            bytes
        }
        content => content.as_bytes().unwrap().to_vec(),
    };
    Some(format!(
        "{} {location}{}",
        response.status().as_u16(),
        String::from_utf8_lossy(&body)
    ))
}

/// Both ways of resolving names.
fn both_ways(scene: &Scene) -> [StaticFiles; 2] {
    let mut by_name = scene.files();
    by_name.site.root.resolution = Resolution::NameByName;
    [scene.files(), by_name]
}

#[test]
fn files_and_indexes_are_found() {
    let scene = Scene::new()
        .file("a b/\u{e4}.txt", "umlaut")
        .file("100%", "percent")
        .file(".well-known/x", "known");
    for mut files in both_ways(&scene) {
        for (target, expected) in [
            ("/", "200 test"),
            ("/?query", "200 test"),
            ("/index.htm", "200 test"),
            ("http://example.com", "200 test"),
            ("/svg.svg", "200 <svg/>"),
            ("/dir/file.txt", "200 f"),
            ("/a%20b/%C3%A4.txt", "200 umlaut"),
            ("/100%25", "200 percent"),
            ("/100%", "200 percent"),
            ("/.well-known/x", "200 known"),
        ] {
            assert_eq!(
                get(&mut files, target).as_deref(),
                Some(expected),
                "{target}"
            );
        }
        for target in [
            "/missing",
            "/dir",
            "/dir/",
            "/svg.svg/",
            "/index.htm/x",
            "/INDEX.HTM",
            "//",
            "*",
        ] {
            assert_eq!(get(&mut files, target), None, "{target}");
        }
    }
}

#[test]
fn the_kernel_resolves_names_where_it_can() {
    #[cfg(target_os = "linux")]
    assert_eq!(
        Scene::new().files().site.root.resolution,
        Resolution::Beneath
    );
}

#[test]
fn nothing_escapes_the_root() {
    let scene = Scene::new().file("a\\b", "odd").file("..\\secret", "odd");
    for mut files in both_ways(&scene) {
        for target in [
            "/../secret",
            "/dir/../../secret",
            "/dir/../index.htm",
            "/../www/index.htm",
            "/./index.htm",
            "/dir/.",
            "/%2e%2e/secret",
            "/.%2e/secret",
            "/..%2fsecret",
            "/dir%2ffile.txt",
            "/..%5csecret",
            "/..\\secret",
            "/dir\\file.txt",
            "/a\\b",
            "/a%5cb",
            "/%252e%252e/secret",
            "/..%c0%afsecret",
            "/....//secret",
            "/..;/secret",
            "/index.htm%00",
            "/%00",
            "//etc/passwd",
            "/etc/passwd",
            "/dir//file.txt",
            "//index.htm",
            "/%2Fetc%2Fpasswd",
            "/dir/../dir//..//././index.htm",
            "/../../../index.htm",
            "//evil.example/%2e%2e",
            "/dir/..",
        ] {
            assert_eq!(get(&mut files, target), None, "{target}");
        }
    }
}

#[test]
fn even_a_path_that_was_not_checked_stays_below_the_root() {
    let scene = Scene::new();
    for files in both_ways(&scene) {
        let open = |name: &str| files.site.root.open_existing(Path::new(name)).is_ok();
        assert!(open("dir/file.txt"));
        for name in ["/etc/passwd", "../secret", "dir/../../secret"] {
            assert!(!open(name), "{name}");
        }
    }
}

#[test]
fn links_are_followed_below_the_root_and_never_out_of_it() {
    let scene = Scene::new();
    let scene = scene
        .link("in.txt", "dir/file.txt")
        .link("out", "../secret")
        .link("up", "..")
        .link("loop", "loop");
    let (absolute, secret) = (scene.root().join("index.htm"), scene.path.join("secret"));
    let scene = scene
        .link("absolute", absolute)
        .link("etc", "/etc")
        .link("abs-secret", secret)
        .link("proc", "/proc/self/root");
    let [mut beneath, mut by_name] = both_ways(&scene);
    if beneath.site.root.resolution != Resolution::NameByName {
        assert_eq!(get(&mut beneath, "/in.txt").as_deref(), Some("200 f"));
    }
    assert_eq!(get(&mut by_name, "/in.txt"), None);
    for files in [&mut beneath, &mut by_name] {
        for target in [
            "/out",
            "/up/secret",
            "/up/www/index.htm",
            "/loop",
            "/absolute",
            "/etc/passwd",
            "/abs-secret",
            "/proc/etc/passwd",
        ] {
            assert_eq!(get(files, target), None, "{target}");
        }
    }
}

#[test]
fn hidden_files_are_not_there() {
    let scene = Scene::new()
        .file(".env", "x")
        .file(".git/config", "x")
        .file("dir/.htaccess", "x");
    let scene = scene
        .file(".well-known/.hidden", "x")
        .file("dir/.well-known/x", "x")
        .file("...", "x");
    let mut files = scene.files();
    for target in [
        "/.env",
        "/%2eenv",
        "/.git/config",
        "/dir/.htaccess",
        "/.well-known/.hidden",
        "/dir/.well-known/x",
        "/...",
    ] {
        assert_eq!(get(&mut files, target), None, "{target}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn what_is_no_regular_file_is_not_there_and_blocks_nobody() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let scene = Scene::new();
    mknodat(
        CWD,
        scene.root().join("pipe"),
        FileType::Fifo,
        Mode::RUSR | Mode::WUSR,
        0,
    )
    .unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(scene.root().join("socket")).unwrap();
    fs::create_dir_all(scene.root().join("odd/index.html")).unwrap();
    for mut files in both_ways(&scene) {
        for target in ["/pipe", "/socket", "/odd/", "/odd"] {
            assert_eq!(get(&mut files, target), None, "{target}");
        }
    }
}

#[test]
fn a_directory_with_an_index_is_redirected_to_its_slash() {
    let scene = Scene::new()
        .file("app/index.html", "app")
        .file("app/index.htm", "second")
        .file("a b/index.htm", "b");
    let mut files = scene.files();
    assert_eq!(get(&mut files, "/app/").as_deref(), Some("200 app"));
    assert_eq!(
        get(&mut files, "/app?x=1").as_deref(),
        Some("308 /app/?x=1")
    );
    assert_eq!(get(&mut files, "/a%20b").as_deref(), Some("308 /a%20b/"));
    assert_eq!(get(&mut files, "//app"), None);
    assert_eq!(get(&mut files, "/app//"), None);
    let mut files = scene.files().index(&["svg.svg"]);
    assert_eq!(get(&mut files, "/").as_deref(), Some("200 <svg/>"));
    assert_eq!(get(&mut files, "/app/"), None);
    assert_eq!(get(&mut scene.files().index(&[]), "/"), None);
}

#[test]
#[should_panic(expected = "not a path")]
fn an_index_is_a_name() {
    let _ = Scene::new().files().index(&["../secret"]);
}

#[test]
fn a_root_that_is_no_directory_is_refused_with_its_name() {
    let scene = Scene::new();
    for (name, kind) in [
        ("none", io::ErrorKind::NotFound),
        ("secret", io::ErrorKind::NotADirectory),
    ] {
        let error = StaticFiles::new(scene.path.join(name)).unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(
            error
                .to_string()
                .contains(&format!("{name} must be a readable directory")),
            "{error}"
        );
    }
}

#[test]
fn a_response_has_type_and_validators() {
    let scene = Scene::new();
    let response = ask(&mut scene.files(), "GET", "/index.htm", &[]).unwrap();
    let headers = response.headers();
    assert_eq!(
        headers.get_str("content-type"),
        Some("text/html; charset=utf-8")
    );
    let etag = headers.get_str("etag").unwrap();
    assert!(
        etag.starts_with("\"4-") && etag.ends_with('"') && etag.len() > 10,
        "{etag}"
    );
    assert!(httpdate::parse_http_date(headers.get_str("last-modified").unwrap()).is_ok());
    let other = ask(&mut scene.files(), "GET", "/svg.svg", &[]).unwrap();
    assert_ne!(other.headers().get("etag"), headers.get("etag"));
}

#[test]
fn types_come_from_the_extension() {
    for (name, expected) in [
        ("a.html", "text/html; charset=utf-8"),
        ("a.HTM", "text/html; charset=utf-8"),
        ("a.css", "text/css; charset=utf-8"),
        ("a.js", "text/javascript; charset=utf-8"),
        ("a.mjs", "text/javascript; charset=utf-8"),
        ("a.json", "application/json"),
        ("a.xml", "text/xml"),
        ("a.svg", "image/svg+xml"),
        ("a.wasm", "application/wasm"),
        ("a.woff2", "font/woff2"),
        ("a.unknown-one", "application/octet-stream"),
        ("html", "application/octet-stream"),
    ] {
        assert_eq!(content_type(Path::new(name)), expected, "{name}");
    }
}

#[test]
fn other_methods_are_refused_for_files_only() {
    let scene = Scene::new();
    let mut files = scene.files();
    for (method, status) in [
        ("POST", 405),
        ("DELETE", 405),
        ("get", 405),
        ("OPTIONS", 204),
    ] {
        let response = ask(&mut files, method, "/", &[]).unwrap();
        assert_eq!(response.status().as_u16(), status, "{method}");
        assert_eq!(
            response.headers().get_str("allow"),
            Some("GET, HEAD, OPTIONS")
        );
        assert!(
            ask(&mut files, method, "/missing", &[]).is_none(),
            "{method}"
        );
    }
    assert!(ask(&mut files, "OPTIONS", "*", &[]).is_none());
}

#[test]
fn head_has_the_length_without_the_bytes() {
    let scene = Scene::new();
    let get = ask(&mut scene.files(), "GET", "/", &[]).unwrap();
    let head = ask(&mut scene.files(), "HEAD", "/", &[]).unwrap();
    assert_eq!((head.status(), head.content().len()), (get.status(), 4));
    assert_eq!(head.headers().as_section(), get.headers().as_section());
}

#[test]
fn preconditions_are_judged_in_their_order() {
    let scene = Scene::new();
    let mut files = scene.files();
    let first = ask(&mut files, "GET", "/", &[]).unwrap();
    let etag = first.headers().get_str("etag").unwrap().to_owned();
    let modified = first.headers().get_str("last-modified").unwrap().to_owned();
    let (weak, list) = (format!("W/{etag}"), format!("\"a,b\", W/\"c\" ,, {etag}"));
    let (old, new) = (
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Fri, 31 Dec 9999 23:59:59 GMT",
    );
    let broken = format!("\"a, {etag}");
    let cases: [(&[(&str, &str)], u16); 24] = [
        (&[("If-None-Match", &etag)], 304),
        (&[("If-None-Match", &weak)], 304),
        (&[("If-None-Match", &list)], 304),
        (&[("If-None-Match", "*")], 304),
        (&[("If-None-Match", "\"a\""), ("If-None-Match", &etag)], 304),
        (&[("If-None-Match", "\"a\"")], 200),
        (&[("If-None-Match", etag.trim_matches('"'))], 200),
        (&[("If-None-Match", &broken)], 200),
        (&[("If-None-Match", "")], 200),
        (
            &[("If-None-Match", "\"a\""), ("If-Modified-Since", new)],
            200,
        ),
        (&[("If-Modified-Since", &modified)], 304),
        (&[("If-Modified-Since", new)], 304),
        (&[("If-Modified-Since", old)], 200),
        (&[("If-Modified-Since", "yesterday")], 200),
        (&[("If-Match", "\"x\"")], 412),
        (&[("If-Match", &weak)], 412),
        (&[("If-Match", &list)], 200),
        (&[("If-Match", "*")], 200),
        (&[("If-Match", &etag), ("If-None-Match", &etag)], 304),
        (&[("If-Match", "\"x\""), ("If-None-Match", &etag)], 412),
        (&[("If-Unmodified-Since", old)], 412),
        (&[("If-Unmodified-Since", &modified)], 200),
        (&[("If-Match", &etag), ("If-Unmodified-Since", old)], 200),
        (&[("If-Unmodified-Since", "never")], 200),
    ];
    for (fields, status) in cases {
        for method in ["GET", "HEAD"] {
            let response = ask(&mut files, method, "/", fields).unwrap();
            assert_eq!(response.status().as_u16(), status, "{method} {fields:?}");
            assert_eq!(response.headers().get_str("etag"), Some(&*etag));
            assert_eq!(
                response.headers().get_str("last-modified"),
                Some(&*modified)
            );
            assert_eq!(response.content().len() > 0, status != 304);
        }
    }
}

#[test]
fn a_changed_file_has_another_tag() {
    let scene = Scene::new();
    let mut files = scene.files();
    let tag = |files: &mut StaticFiles| {
        ask(files, "GET", "/", &[])
            .unwrap()
            .headers()
            .get("etag")
            .unwrap()
            .to_vec()
    };
    let before = tag(&mut files);
    fs::write(scene.path.join("new"), "text").unwrap();
    let modified = fs::metadata(scene.root().join("index.htm"))
        .unwrap()
        .modified()
        .unwrap();
    File::options()
        .write(true)
        .open(scene.path.join("new"))
        .unwrap()
        .set_modified(modified)
        .unwrap();
    fs::rename(scene.path.join("new"), scene.root().join("index.htm")).unwrap();
    pass(TRUSTED);
    assert_ne!(
        tag(&mut files),
        before,
        "same size, same time, another file"
    );
}

/// A file just over what is read at once, and the source of its answer.
fn large_file(scene: &Scene) -> (Vec<u8>, Box<dyn Source>) {
    let bytes: Vec<u8> = (0_u8..=250).cycle().take(200_000).collect();
    fs::write(scene.root().join("large.bin"), &bytes).unwrap();
    match ask(&mut scene.files(), "GET", "/large.bin", &[])
        .unwrap()
        .take_content()
    {
        Content::Source {
            len: 200_000,
            source,
        } => (bytes, source),
        other => panic!("{other:?}"),
    }
}

#[test]
fn large_files_are_pulled_in_bounded_pieces() {
    let scene = Scene::new();
    let (bytes, mut source) = large_file(&scene);
    let mut pulled = b"before".to_vec();
    assert_eq!(source.pull(&mut pulled, 1000).unwrap(), 1000);
    assert_eq!(source.pull(&mut pulled, 0).unwrap(), 0);
    loop {
        match source.pull(&mut pulled, 1 << 20).unwrap() {
            0 => break,
            len => assert!(len <= MAX_PULL_BYTES),
        }
    }
    assert_eq!(&pulled[..6], b"before");
    assert!(pulled[6..] == bytes, "{} bytes", pulled.len());
}

#[test]
fn a_file_that_is_overwritten_is_never_pulled_to_its_end() {
    let scene = Scene::new();
    for fields in [&[][..], &[("Range", "bytes=0-0,2-")]] {
        let (bytes, _) = large_file(&scene);
        let mut response = ask(&mut scene.files(), "GET", "/large.bin", fields).unwrap();
        let Content::Source { mut source, .. } = response.take_content() else {
            panic!("it is large")
        };
        scene.write("large.bin", [&bytes[1..], b"x"].concat());
        let mut pulled = Vec::new();
        let error = loop {
            match source.pull(&mut pulled, 1 << 20) {
                Ok(len) => assert_ne!(len, 0, "it looks whole"),
                Err(error) => break error,
            }
        };
        assert!(error.to_string().contains("was changed"), "{error}");
        source.check().unwrap_err();
    }
}

#[test]
fn a_file_that_shrinks_is_an_error_and_never_an_end() {
    let scene = Scene::new();
    let (_, mut source) = large_file(&scene);
    let mut pulled = Vec::new();
    source.pull(&mut pulled, 10_000).unwrap();
    File::options()
        .write(true)
        .open(scene.root().join("large.bin"))
        .unwrap()
        .set_len(20_000)
        .unwrap();
    for _ in 0..2 {
        let error = source.pull(&mut pulled, 64 * 1024).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}

#[test]
fn a_replaced_file_is_served_to_its_end() {
    let scene = Scene::new();
    let (bytes, mut source) = large_file(&scene);
    fs::write(scene.path.join("new"), "new").unwrap();
    fs::rename(scene.path.join("new"), scene.root().join("large.bin")).unwrap();
    let mut pulled = Vec::new();
    while source.pull(&mut pulled, usize::MAX).unwrap() > 0 {}
    assert!(pulled == bytes);
}

#[test]
fn an_empty_file_is_an_empty_answer() {
    let scene = Scene::new().file("empty.txt", "");
    assert_eq!(
        get(&mut scene.files(), "/empty.txt").as_deref(),
        Some("200 ")
    );
}
