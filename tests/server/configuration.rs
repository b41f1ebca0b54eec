//! Flags, variables and a file: who goes before whom, and what is said of a file that is wrong.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::client::{BINARY, Client};
use crate::program::{Program, command, run, run_command};

#[path = "configuration_mistakes.rs"]
mod mistakes;

/// A folder with a configuration file, which is gone after the test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("aerys-configuration-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }

    /// With `text` as its file.
    pub(crate) fn with(text: impl AsRef<[u8]>) -> Self {
        let folder = Self::new();
        folder.write("c.toml", text);
        folder
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a temporary folder");
        std::fs::write(path, content).expect("a temporary file");
    }

    pub(crate) fn file(&self) -> String {
        self.0.join("c.toml").to_str().expect("UTF-8").to_owned()
    }

    pub(crate) fn serve(&self) -> Command {
        let mut command = command();
        command.args(["serve", "--config", &self.file()]);
        command
    }

    /// The lines that `check` says of the file, without its name: `serve` has to say the same.
    pub(crate) fn problems(&self) -> Vec<String> {
        let (status, output, errors) = run(&["check", &self.file()]);
        if status == Some(0) {
            assert!(errors.is_empty(), "{errors}");
            return Vec::new();
        }
        assert_eq!((status, output), (Some(2), String::new()), "{errors}");
        let of_serve = run_command(self.serve());
        assert_eq!(of_serve, (Some(2), String::new(), errors.clone()));
        let of_file = format!("{}:", self.file());
        let line = |line: &str| {
            let said = line.strip_prefix(&of_file);
            said.unwrap_or_else(|| panic!("not of the file: {line}"))
                .to_owned()
        };
        errors.lines().map(line).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A `GET` of `path` from the host of that name: status, `Location` and body.
pub(crate) fn ask(program: &Program, host: &str, path: &str) -> (u16, Option<String>, String) {
    let mut client = Client::connect(program.address);
    client.send_raw(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    let response = client.read_response();
    (
        response.status,
        response.field("Location").map(str::to_owned),
        String::from_utf8(response.body).expect("UTF-8"),
    )
}

/// A folder of files, as `root` of a host.
pub(crate) fn add_public(folder: &Folder) {
    for (name, content) in [
        ("index.html", "home"),
        ("app.html", "app"),
        ("404.html", "nothing"),
        ("style.css", "a {}"),
    ] {
        folder.write(&format!("public/{name}"), content);
    }
}

#[test]
fn a_flag_goes_before_its_variable_that_before_the_file_that_before_the_default() {
    let default = "log-level = \"info\"";
    for (file, variable, flag, limit) in [
        ("max-message-bytes = \"1KiB\"", None, None, 1024),
        ("max-message-bytes = 1024", None, None, 1024),
        ("max-message-bytes = \"1KiB\"", Some("2KiB"), None, 2048),
        (
            "max-message-bytes = \"1KiB\"",
            Some("2KiB"),
            Some("3KiB"),
            3072,
        ),
        ("max-message-bytes = \"1KiB\"", None, Some("3KiB"), 3072),
        (default, Some("2048"), None, 2048),
        (default, Some("2KiB"), Some("3KiB"), 3072),
        // Not looked at: a flag says it already.
        (default, Some("nonsense"), Some("3KiB"), 3072),
        (default, None, None, 16 << 20),
    ] {
        let folder = Folder::with(format!("{file}\nlisten = [\"127.0.0.1:0\"]\n"));
        let mut serve = folder.serve();
        if let Some(value) = variable {
            serve.env("AERYS_MAX_MESSAGE_BYTES", value);
        }
        serve.args(flag.map(|value| format!("--max-message-bytes={value}")));
        let program = Program::start(serve);
        let mut client = Client::open(program.address, "/echo");
        client.send(true, BINARY, vec![0; limit]);
        assert_eq!(
            client.read_message(BINARY).len(),
            limit,
            "{file} {variable:?}"
        );
        client.send(true, BINARY, vec![0; limit + 1]);
        client.expect_close(1009);
    }
}

#[test]
fn what_may_be_given_several_times_is_a_list_in_all_three() {
    let folder = Folder::with("listen = [\"127.0.0.1:0\", \"127.0.0.2:0\"]");
    let by_file = folder.serve();
    let mut by_variable = command();
    by_variable.env("AERYS_LISTEN", "127.0.0.1:0,127.0.0.2:0");
    let mut by_flags = command();
    by_flags.args(["--listen", "127.0.0.1:0", "--listen", "127.0.0.2:0"]);
    for command in [by_file, by_variable, by_flags] {
        let mut program = Program::start(command);
        assert_eq!(program.address.ip().to_string(), "127.0.0.1");
        assert_eq!(program.next_address().ip().to_string(), "127.0.0.2");
    }
}

#[test]
fn a_file_is_found_by_its_variable_and_its_paths_are_relative_to_it() {
    let folder = Folder::with("listen = [\"127.0.0.1:0\"]\nroot = \"public\"\n");
    add_public(&folder);
    let mut aerys = command();
    aerys.env("AERYS_CONFIG", folder.file()).current_dir("/");
    let program = Program::start(aerys);
    assert_eq!(ask(&program, "a", "/").2, "home");
    // Named without a folder it lies in that in which the program is started.
    let mut aerys = command();
    aerys.args(["--config", "c.toml"]).current_dir(&folder.0);
    let program = Program::start(aerys);
    assert_eq!(ask(&program, "a", "/").2, "home");
}

#[test]
fn a_variable_that_is_wrong_is_named() {
    for arguments in [&[][..], &["serve"]] {
        let mut aerys = command();
        aerys.args(arguments).env("AERYS_HEARTBEAT", "soon");
        let (status, output, errors) = run_command(aerys);
        assert_eq!((status, &*output), (Some(2), ""));
        assert_eq!(
            errors,
            "aerys: AERYS_HEARTBEAT: 'soon' does not begin with a number\n"
        );
    }
    // The file alone is asked about.
    let folder = Folder::with("");
    let mut check = command();
    check
        .args(["check", &folder.file()])
        .env("AERYS_HEARTBEAT", "soon");
    assert_eq!(run_command(check).0, Some(0));
}

#[test]
fn check_counts_hosts_and_addresses_of_a_file_that_is_fine() {
    for (text, counts) in [
        ("", "1 host, 1 address"),
        ("listen = [\"a:1\", \"b:1\"]", "1 host, 2 addresses"),
        // An editor's mark, and another's ends of lines.
        ("\u{FEFF}heartbeat = \"off\"\r\n", "1 host, 1 address"),
        ("trusted-proxies = []", "1 host, 1 address"),
        (
            "[[host]]\nlisten = [\"a:1\", \"b:1\"]\ndemo = true\n\
             [[host]]\nnames = [\"c\"]\nlisten = [\"a:1\", \"c:1\"]\ndemo = true",
            "2 hosts, 3 addresses",
        ),
        (
            "[[host]]\nlisten = [\"unix:a\"]\ndemo = true\n[[host]]\nnames = [\"b\"]\n\
             listen = [\"unix:a?mode=600\"]\ndemo = true\n[[host]]\nnames = [\"c\"]\ndemo = true",
            "3 hosts, 1 address",
        ),
        (
            "listen = ['unix:a', 'unix:./a?mode=600']",
            "1 host, 1 address",
        ),
        // Port 0: each its own.
        (
            "[[host]]\nlisten = ['127.0.0.1:0?proxy-protocol', '127.0.0.1:0']\ndemo = true",
            "1 host, 2 addresses",
        ),
        (
            "[[host]]\nlisten = [\"a:0\"]\ndemo = true\n[[host]]\nlisten = [\"a:0\"]\ndemo = true",
            "2 hosts, 2 addresses",
        ),
    ] {
        let folder = Folder::with(text);
        let (status, output, errors) = run(&["check", &folder.file()]);
        let expected = format!("{} is fine: {counts}\n", folder.file());
        assert_eq!((status, output, errors), (Some(0), expected, String::new()));
    }
}

#[test]
fn each_mistake_is_a_line_with_its_number() {
    let no_utf8 = b"root = \"public\"\nlisten = [\"\xFF\"]";
    let cases: [(&[u8], &[&str]); 19] = [
        (
            b"\n\nmax-mesage-bytes = 7",
            &["3: unknown key 'max-mesage-bytes', did you mean 'max-message-bytes'?"],
        ),
        (
            b"max_message_bytes = 7",
            &["1: unknown key 'max_message_bytes', did you mean 'max-message-bytes'?"],
        ),
        (b"[colours]\nred = 1", &["1: unknown key 'colours'"]),
        (b"config = \"b.toml\"", &["1: unknown key 'config'"]),
        (
            b"idle-timeout = true",
            &["1: 'idle-timeout' has to be text in quotes or a number, not a boolean"],
        ),
        (
            b"root = 7",
            &["1: 'root' has to be text in quotes, not a whole number"],
        ),
        (
            b"\nheartbeat = \"3 parsec\"",
            &["2: 'heartbeat': 'parsec' is no unit of time; use us, ms, s, m or h"],
        ),
        (
            b"compression-level = 10",
            &["1: 'compression-level': 10 is not in 1..=9"],
        ),
        (b"listen = []", &["1: 'listen': there has to be one"]),
        (
            b"listen = [\"a:1\", \"A:1\"]",
            &["1: 'listen': a:1 stands there twice"],
        ),
        // As a default it would be taken for two.
        (
            b"trusted-proxies = [\"unix,10.0.0.1\"]",
            &[
                "1: 'trusted-proxies': 'unix,10.0.0.1' has a comma: write a list, as [\"..\", \"..\"]",
            ],
        ),
        (
            b"root = \"a\"\n\nroot = \"b\"",
            &["3: duplicate key 'root'"],
        ),
        (no_utf8, &["2: this is not UTF-8"]),
        (
            b"index = [\"a\"]\n[[host]]\nlisten = [\"a:1\"]\ndemo = true\nheartbeat = 5",
            &[
                "1: 'index' is a host's: it has to stand below a [[host]]",
                "5: 'heartbeat' is the whole server's: it has to stand above the first [[host]]",
            ],
        ),
        // What is misspelt is not missing as well.
        (
            b"[[host]]\nlissten = [\"a:1\"]\ndemo = true",
            &["2: unknown key 'lissten', did you mean 'listen'?"],
        ),
        (
            b"listen = [\"a:1\"]\n[[host]]\nlisten = [\"a:1\"]\ndemo = true",
            &["1: 'listen': with [[host]] tables each of them has its own"],
        ),
        (
            b"[[host]]\nnames = [\"A\", \"b\"]\nlisten = [\"c:1\", \"d:1\"]\ndemo = true\n\
              [[host]]\nnames = [\"a\"]\nlisten = [\"d:1\"]\ndemo = true",
            &["6: 'names': the host of line 1 is a on d:1 too"],
        ),
        (
            b"[[host]]\nlisten = [\"c:1\"]\ndemo = true\n[[host]]\nlisten = [\"C:1\"]\ndemo = true",
            &["4: [[host]] without 'names': the host of line 1 on c:1 has none either"],
        ),
        (
            b"heartbeat = \"soon\"\nroot = [\n\"a\"]\nlisten = [\n  \"a:1\",\n  \"b\",\n]",
            &[
                "1: 'heartbeat': 'soon' does not begin with a number",
                "2: 'root' has to be text in quotes, not a list",
                "6: 'listen': 'b' is no address: write HOST:PORT, as 127.0.0.1:1337, [::1]:80 or \
                 localhost:8080, or unix:PATH",
            ],
        ),
    ];
    for (text, expected) in cases {
        let problems = Folder::with(text).problems();
        assert_eq!(problems, expected, "{}", String::from_utf8_lossy(text));
    }
}

#[test]
fn a_host_that_makes_no_sense_is_told_so() {
    for (host, expected) in [
        ("demo = true", "1: no [[host]] has 'listen'"),
        ("listen = [\"a:1\"]", "without 'root', 'redirect' or 'demo"),
        (
            "listen = [\"a:1\"]\ndemo = true\nredirect = \"http://a\"",
            "with 'redirect'",
        ),
        (
            "listen = [\"a:1\"]\ndemo = true\nlisting = true",
            "'listing': there are no files without 'root'",
        ),
        (
            "listen = [\"a:1\", \"a:1\"]\ndemo = true",
            "'listen': a:1 stands there twice",
        ),
        (
            "listen = [\"a:1\"]\nroot = \".\"\n[[host.header]]\npath = \"*\"\nname = \"A\"",
            "either 'name' and 'value', or 'fields'",
        ),
        (
            "listen = [\"a:1\"]\nroot = \".\"\n[[host.header]]\nname = \"A\"\nvalue = \"a\"",
            "without 'path'",
        ),
        // Without an address of its own it is served on all of the others.
        (
            "listen = [\"a:0\"]\ndemo = true\n[[host]]\ndemo = true",
            "4: [[host]] without 'names': the host of line 1 on a:0 has none either",
        ),
        (
            "listen = [\"unix:/a?mode=660\"]\ndemo = true\n\
             [[host]]\nnames = [\"b\"]\nlisten = [\"unix:/a?mode=600\"]\ndemo = true",
            "6: 'listen': unix:/a has ?mode=660 in line 2",
        ),
    ] {
        let problems = Folder::with(format!("[[host]]\n{host}")).problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains(expected), "{problems:?}");
    }
}

#[test]
fn hosts_of_a_file_have_what_it_says() {
    let folder = Folder::with(
        "[[host]]\nlisten = [\"127.0.0.1:0\"]\nroot = \"public\"\nindex = [\"app.html\"]\n\
         not-found = \"404.html\"\ntypes = { CSS = \"text/plain\" }\ndemo = true\n\
         [[host]]\nlisten = [\"127.0.0.1:0\"]\nredirect = \"https://example.com/new/\"\n\
         [[host]]\nlisten = [\"127.0.0.1:0\"]\nroot = \"public\"\nfallback = \"app.html\"\n\
         [[host]]\nlisten = [\"127.0.0.1:0\"]\ndemo = true\n",
    );
    add_public(&folder);
    let mut program = Program::start(folder.serve());
    assert_eq!(ask(&program, "a", "/").2, "app");
    assert_eq!(
        ask(&program, "a", "/none"),
        (404, None, "nothing".to_owned())
    );
    let style = Client::connect(program.address).get("/style.css");
    assert_eq!(style.field("Content-Type"), Some("text/plain"));
    Client::open(program.address, "/echo");

    program.address = program.next_address();
    for (path, location) in [
        ("/", "https://example.com/new/"),
        ("/a/b%20c?d=e", "https://example.com/new/a/b%20c?d=e"),
        ("//evil.example", "https://example.com/new//evil.example"),
    ] {
        let (status, found, _) = ask(&program, "a", path);
        assert_eq!((status, found.as_deref()), (308, Some(location)));
    }
    let mut client = Client::connect(program.address);
    client.send_raw("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    let location = client.read_response();
    let location = location.field("Location");
    assert!(
        location.is_none_or(|location| location == "https://example.com/new"),
        "{location:?}"
    );

    program.address = program.next_address();
    let mut client = Client::connect(program.address);
    client.send_raw("GET /any/path HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\n\r\n");
    assert_eq!(client.read_response().body, b"app");
    // The demo is off unless a host asks for it.
    assert_eq!(ask(&program, "a", "/echo").0, 404);

    program.address = program.next_address();
    assert!(ask(&program, "a", "/").2.contains("<!doctype html>"));
}

/// What the options of files mean, their own tests show: here, that they are the library's.
#[test]
fn files_are_listed_coded_and_given_fields_as_a_file_says() {
    let folder = Folder::with(
        "[[host]]\nlisten = [\"127.0.0.1:0\"]\nroot = \"public\"\nindex = []\nlisting = true\n\
         compress = true\n\
         [[host.header]]\npath = \"*.css\"\nfields = { \"Cache-Control\" = \"max-age=60\", \"X-A\" = \"a\" }\n\
         [[host.header]]\npath = \"/**\"\nname = \"X-A\"\nvalue = \"b\"\n\
         [[host]]\nlisten = [\"127.0.0.1:0\"]\nroot = \"public\"\nprecompressed = false\n",
    );
    add_public(&folder);
    folder.write("public/long.css", "a { color: red } ".repeat(100));
    folder.write("public/style.css.gz", "as if it were gzip");
    let mut program = Program::start(folder.serve());
    let takes_gzip = &[("Accept-Encoding", "gzip")];
    let mut client = Client::connect(program.address);
    let list = String::from_utf8(client.get("/").body).expect("text");
    assert!(list.contains("style.css"), "{list}");
    let style = client.request("GET", "/style.css", takes_gzip);
    assert_eq!(style.body, b"as if it were gzip");
    assert_eq!(style.field("Cache-Control"), Some("max-age=60"));
    assert_eq!(style.field("X-A"), Some("b"), "the last one counts");
    let long = client.request("GET", "/long.css", takes_gzip);
    assert_eq!(long.field("Content-Encoding"), Some("gzip"));
    assert!(long.body.len() < 200);

    program.address = program.next_address();
    let mut client = Client::connect(program.address);
    assert_eq!(client.get("/").body, b"home");
    for path in ["/style.css", "/long.css"] {
        let file = client.request("GET", path, takes_gzip);
        assert_eq!(file.field("Content-Encoding"), None, "{path}");
        assert_eq!(file.field("X-A"), None);
    }
    assert_eq!(client.get("/none").status, 404);
}

#[test]
fn flags_of_one_host_have_no_place_beside_a_file_with_hosts() {
    let folder = Folder::with("[[host]]\nlisten = [\"127.0.0.1:0\"]\ndemo = true");
    let mut by_flag = folder.serve();
    by_flag.args(["--listen", "127.0.0.1:0"]);
    let mut by_variable = folder.serve();
    by_variable.env("AERYS_ROOT", "/");
    for (command, name) in [(by_flag, "--listen"), (by_variable, "AERYS_ROOT")] {
        let (status, output, errors) = run_command(command);
        assert_eq!((status, &*output), (Some(2), ""), "{errors}");
        assert!(
            errors.starts_with(&format!("aerys: {name} is for a server of one host")),
            "{errors}"
        );
        assert_eq!(errors.lines().count(), 1, "{errors}");
    }
    // Others have.
    let mut serve = folder.serve();
    serve.args(["--max-message-bytes", "2"]);
    let program = Program::start(serve);
    let mut client = Client::open(program.address, "/echo");
    client.send_text("abc");
    client.expect_close(1009);
}

#[test]
fn the_help_lists_the_variables_and_its_short_form_is_short() {
    let (_, long, _) = run(&["--help"]);
    let flags: Vec<&str> = long
        .split_whitespace()
        .filter(|word| word.starts_with("--") && word.len() > 2)
        .collect();
    assert!(flags.len() > 20, "{flags:?}");
    for flag in ["--listen", "--max-message-bytes", "--busy-poll", "--config"] {
        let variable = flag[2..].to_uppercase().replace('-', "_");
        assert!(long.contains(&format!("[env: AERYS_{variable}]")), "{flag}");
    }
    let (_, short, _) = run(&["-h"]);
    assert!(short.lines().count() < 50, "{short}");
    // What they say now is nobody's business, who looks over a shoulder.
    let mut help = command();
    help.arg("--help").env("AERYS_ROOT", "/a/secret/place");
    assert!(!run_command(help).1.contains("secret"));
}
