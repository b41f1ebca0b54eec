//! The layers of `src/`: who may name what. A rule that is not tested is not kept.

use std::fs;
use std::path::{Path, PathBuf};

/// A source file's code: no comments, and nothing from its tests on.
struct Source {
    /// Below `src/`, with `/`.
    path: String,
    lines: Vec<(usize, String)>,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("src is readable") {
            let path = entry.expect("src is readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push(read(&root, &path));
            }
        }
    }
    assert!(sources.len() > 30, "the whole of src was read");
    sources.retain(|source| !source.path.ends_with("tests.rs") && !source.path.contains("/tests/"));
    sources
}

fn read(root: &Path, path: &PathBuf) -> Source {
    let text = fs::read_to_string(path).expect("a source file is text");
    let lines = text
        .lines()
        .enumerate()
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .map(|(index, line)| (index + 1, line.split("//").next().unwrap_or("").to_owned()))
        .collect();
    let path = path.strip_prefix(root).expect("below src");
    Source {
        path: path.to_string_lossy().replace('\\', "/"),
        lines,
    }
}

/// Every place where one of `words` stands in a file that `applies`.
fn places(applies: impl Fn(&str) -> bool, words: &[&str]) -> Vec<String> {
    let mut places = Vec::new();
    for source in sources() {
        if !applies(&source.path) {
            continue;
        }
        for (number, line) in &source.lines {
            for word in words {
                if line.contains(word) {
                    places.push(format!("src/{}:{number} names {word}", source.path));
                }
            }
        }
    }
    places
}

#[test]
fn sockets_and_the_clock_are_named_in_the_event_loop_alone() {
    let outside = |path: &str| {
        // How old an entry of the cache of files is, no responder is told.
        let is_clock = path == "app/static_files/clock.rs"
            // Whether a certificate is expired, when it is read or made.
            || matches!(path, "tls/identity.rs" | "tls/self_signed.rs");
        let is_below = path.starts_with("event_loop/") || is_clock;
        !is_below && !path.starts_with("cli/") && path != "main.rs"
    };
    let words = [
        "mio::",
        "socket2",
        "TcpStream",
        "TcpListener",
        "UnixStream",
        "UnixListener",
        "Instant::now",
        "SystemTime::now",
    ];
    assert_eq!(places(outside, &words), Vec::<String>::new());
}

#[test]
fn files_are_named_in_static_files_alone_and_those_of_unix_sockets_and_certificates() {
    // A socket sends from files that were opened there.
    let inside = [
        "app/static_files",
        "cli/",
        "event_loop/socket.rs",
        "event_loop/unix.rs",
        "tls/identity.rs",
    ];
    let outside = |path: &str| !inside.iter().any(|inside| path.starts_with(inside));
    assert_eq!(
        places(outside, &["std::fs", "rustix::fs", "File::open"]),
        Vec::<String>::new()
    );
}

/// Its keys could be chosen so that all collide, if peers chose them. They are places in a table of our own,
/// which are given away in order; what peers send is a key of std's maps alone, whose hashes nobody can
/// foretell, or is compared with at most a hundred others (row 79 of docs/security.md).
#[test]
fn the_fast_hasher_has_keys_of_our_own_alone() {
    let (mut maps, mut others) = (0, Vec::new());
    for source in sources() {
        for (number, line) in &source.lines {
            for (at, name) in line.match_indices("FxHash") {
                let rest = &line[at + name.len()..];
                let key = rest.split_once('<').map(|(_, key)| key);
                if key.is_some_and(|key| key.starts_with("u32")) {
                    maps += 1;
                } else if !line.starts_with("use ") && !rest.contains("::default()") {
                    others.push(format!("src/{}:{number}: {line}", source.path));
                }
            }
        }
    }
    assert_eq!(others, Vec::<String>::new());
    assert!(maps >= 5, "{maps} maps");
}

/// What lies below, and what it may not name since that lies above or beside it.
const RULES: &[(&str, &[&str])] = &[
    (
        "output",
        &[
            "app",
            "event_loop",
            "http",
            "http1",
            "http2",
            "protocol",
            "websocket",
            "server",
            "timer_wheel",
        ],
    ),
    (
        "timer_wheel",
        &[
            "app",
            "event_loop",
            "http",
            "http1",
            "http2",
            "protocol",
            "websocket",
            "server",
            "output",
        ],
    ),
    (
        "config",
        &[
            "app",
            "event_loop",
            "http",
            "http1",
            "http2",
            "protocol",
            "websocket",
            "server",
            "output",
        ],
    ),
    (
        "http/",
        &[
            "app",
            "event_loop",
            "http1",
            "http2",
            "protocol",
            "websocket",
            "server",
        ],
    ),
    (
        "http1/",
        &[
            "app",
            "event_loop",
            "http2",
            "protocol",
            "websocket",
            "server",
        ],
    ),
    (
        "http2/",
        &[
            "app",
            "event_loop",
            "http1",
            "protocol",
            "websocket",
            "server",
        ],
    ),
    (
        "websocket/",
        &["app", "event_loop", "http1", "http2", "protocol", "server"],
    ),
    ("protocol", &["app", "event_loop", "server"]),
    (
        "proxy_protocol",
        &[
            "app",
            "event_loop",
            "http1",
            "http2",
            "protocol",
            "websocket",
            "server",
        ],
    ),
    (
        "tls",
        &[
            "app",
            "event_loop",
            "http",
            "http1",
            "http2",
            "output",
            "protocol",
            "websocket",
            "server",
        ],
    ),
    ("app/", &["event_loop", "protocol", "server", "tls"]),
    ("event_loop/", &["server", "cli"]),
];

#[test]
fn tls_is_rustls_in_two_places_and_the_programs_client() {
    let inside = ["event_loop/tls/session.rs", "cli/client/tls.rs"];
    let outside = |path: &str| !path.starts_with("tls") && !inside.contains(&path);
    assert_eq!(
        places(outside, &["rustls::", "webpki::", "rcgen::"]),
        Vec::<String>::new()
    );
}

#[test]
fn imports_point_one_way() {
    for (layer, above) in RULES {
        let words: Vec<String> = above
            .iter()
            .map(|module| format!("crate::{module}::"))
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        assert_eq!(
            places(|path| path.starts_with(layer), &words),
            Vec::<String>::new()
        );
    }
}
