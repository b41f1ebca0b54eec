//! Whom the program runs as: what it keeps of root's rights, which is nothing, and what it opened before.
//!
//! Without root there is nothing to give up: most of it is left out then, and says so.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::client::Client;
use crate::configuration::Folder;
use crate::program::{Program, command, run, run_command};

/// A user and a group that no system knows, by number.
const USER: u32 = 4_242_424;
const GROUP: u32 = 4_242_425;
const BY_NUMBER: [&str; 4] = ["--user", "4242424", "--group", "4242425"];

/// Whether ids can be changed here.
fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("left out: only root can give up what root has");
    }
    is_root
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().copied().map(str::to_owned).collect()
}

/// A file or a folder that is somebody's, with that mode.
fn give(path: &Path, owner: u32, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).expect("our file");
    chown(path, Some(owner), Some(owner)).expect("root may");
}

/// Nothing that it would start could have more rights than it has.
#[test]
fn no_new_privileges_are_to_be_had_by_any_program_that_it_would_start() {
    let program = Program::serve(&[]);
    assert_eq!(program.status("NoNewPrivs:"), ["1"]);
}

#[test]
fn all_ids_of_all_threads_are_the_users_and_no_capability_is_left() {
    if !is_root() {
        return;
    }
    let program = Program::serve(&BY_NUMBER);
    // Who is served knows that all threads are there.
    let mut client = Client::open(program.address, "/echo");
    client.send_text("served");
    assert_eq!(client.read_text(), "served");
    let threads = program.thread_names();
    for name in ["log", "watchdog"] {
        assert!(threads.contains(&name.to_owned()), "{threads:?}");
    }
    let (user, group) = (USER.to_string(), GROUP.to_string());
    let none = "0000000000000000";
    for (name, expected) in [
        // Real, effective, saved, of files.
        ("Uid:", &[&*user; 4][..]),
        ("Gid:", &[&*group; 4]),
        ("Groups:", &[&*group]),
        ("CapInh:", &[none]),
        ("CapPrm:", &[none]),
        ("CapEff:", &[none]),
        ("CapAmb:", &[none]),
        ("NoNewPrivs:", &["1"]),
    ] {
        let of_threads = program.status_of_threads(name);
        assert!(of_threads.len() >= 3, "{of_threads:?}");
        for found in of_threads {
            assert_eq!(found, expected, "{name}");
        }
    }
}

/// As `id` has them: by name, the user's own groups are taken.
#[test]
fn a_user_by_name_has_the_groups_that_the_system_has_for_it() {
    if !is_root() {
        return;
    }
    let id = |option: &str| {
        let mut id = Command::new("id");
        let output = id.args([option, "nobody"]).output().expect("coreutils");
        let text = String::from_utf8(output.stdout).expect("text");
        let mut ids: Vec<u32> = text
            .split_whitespace()
            .map(|id| id.parse().expect("a number"))
            .collect();
        ids.sort_unstable();
        ids
    };
    let program = Program::serve(&["--user", "nobody"]);
    let status = |name: &str| -> Vec<u32> {
        let words = program.status(name);
        words
            .iter()
            .map(|id| id.parse().expect("a number"))
            .collect()
    };
    assert_eq!(status("Uid:")[0], id("-u")[0]);
    assert_eq!(status("Gid:")[0], id("-g")[0]);
    assert_eq!(status("Groups:"), id("-G"));
}

/// A port that only root may have, where the system has such ports.
#[test]
fn addresses_are_bound_before() {
    if !is_root() {
        return;
    }
    let mut serve = command();
    serve
        .args(["serve", "--listen", "127.83.71.1:80"])
        .args(BY_NUMBER);
    let program = Program::start(serve);
    assert_eq!(program.status("Uid:")[1], USER.to_string());
    assert_eq!(Client::connect(program.address).get("/").status, 200);
}

/// The root is opened before, so its own path does not matter; each file is opened by the user.
#[test]
fn files_that_the_user_may_not_read_are_not_served() {
    if !is_root() {
        return;
    }
    let folder = Folder::new();
    for name in ["open.txt", "secret.txt", "private/file.txt"] {
        folder.write(&format!("root/{name}"), "content");
    }
    let at = |name: &str| folder.path().join(name);
    give(&at("root/open.txt"), 0, 0o644);
    give(&at("root/secret.txt"), 0, 0o600);
    give(&at("root/private"), 0, 0o700);
    give(&at("root"), 0, 0o755);
    // Nobody but root comes through here.
    give(folder.path(), 0, 0o700);
    let root = at("root").display().to_string();
    let get = |program: &Program, name: &str| {
        let response = Client::connect(program.address).get(name);
        (response.status, response.body == b"content")
    };
    let program = Program::serve(&[&BY_NUMBER[..], &["--root", &root]].concat());
    assert_eq!(get(&program, "/open.txt"), (200, true));
    for name in ["/secret.txt", "/private/file.txt"] {
        assert_eq!(get(&program, name), (404, false), "{name}");
    }
    let as_root = Program::serve(&["--root", &root]);
    assert_eq!(get(&as_root, "/secret.txt"), (200, true));
}

/// The path of a Unix socket in `folder`, and the program that listens there too.
fn serve_unix(folder: &Path) -> (PathBuf, Program) {
    let path = folder.join("a.sock");
    let address = format!("unix:{}?mode=660", path.display());
    let mut serve = command();
    serve
        .args(["serve", "--listen", "127.0.0.1:0", "--listen", &address])
        .args(BY_NUMBER)
        .stderr(Stdio::piped());
    let program = Program::start(serve);
    (path, program)
}

#[test]
fn a_socket_file_is_the_users_and_removed_where_that_may_remove_it() {
    if !is_root() {
        return;
    }
    let left_behind = "will be left behind at the stop";
    let folder = Folder::new();
    give(folder.path(), USER, 0o755);
    let (path, program) = serve_unix(folder.path());
    let found = std::fs::metadata(&path).expect("a socket");
    assert_eq!((found.uid(), found.gid()), (USER, GROUP));
    assert_eq!(found.mode() & 0o777, 0o660);
    let log = String::from_utf8(program.end_with_log()).expect("text");
    assert!(!log.contains(left_behind), "{log}");
    assert!(!path.exists());

    // In a folder of root's it stays, which is said, and is no hindrance to the next.
    give(folder.path(), 0, 0o755);
    for _ in 0..2 {
        let (path, program) = serve_unix(folder.path());
        let log = String::from_utf8(program.end_with_log()).expect("text");
        assert!(
            log.contains(&format!("{} {left_behind}", path.display())),
            "{log}"
        );
        assert!(path.exists());
    }
}

/// `program`, this one or a copy of it, by `setpriv`, which takes something from root first.
fn with_less(arguments: &[&str], program: &str) -> Command {
    let mut setpriv = Command::new("setpriv");
    setpriv
        .args(arguments)
        .args([program, "serve", "--listen", "127.0.0.1:0"])
        .args(BY_NUMBER);
    setpriv
}

fn has_setpriv() -> bool {
    let is_there = Command::new("setpriv").arg("--version").output().is_ok();
    if !is_there {
        eprintln!("left out: there is no setpriv");
    }
    is_there
}

#[test]
fn who_cannot_become_the_user_for_good_does_not_serve() {
    if !is_root() || !has_setpriv() {
        return;
    }
    let whom = format!("user {USER} and group {GROUP}");
    for (less, problem) in [
        (
            "--bounding-set=-setgid",
            format!(
                "cannot become {whom}: setgroups: Operation not permitted; only root may do that"
            ),
        ),
        (
            "--bounding-set=-setuid",
            format!(
                "cannot become {whom}: setresuid: Operation not permitted; only root may do that"
            ),
        ),
        // All capabilities would be kept, and root with them.
        (
            "--securebits=+no_setuid_fixup",
            format!("user {USER} can become root again"),
        ),
    ] {
        let (status, output, errors) = run_command(with_less(&[less], env!("CARGO_BIN_EXE_aerys")));
        assert_eq!((status, output), (Some(1), String::new()), "{errors}");
        let said = errors.lines().filter(|line| line.starts_with("aerys: "));
        let said: Vec<_> = said.collect();
        assert_eq!(said, [format!("aerys: {problem}")], "{less}");
    }
}

#[test]
fn who_is_that_user_already_need_not_become_it() {
    if !is_root() || !has_setpriv() {
        return;
    }
    // A copy, where the user may look for it.
    let folder = Folder::new();
    give(folder.path(), USER, 0o755);
    let copy = folder.path().join("aerys");
    std::fs::copy(env!("CARGO_BIN_EXE_aerys"), &copy).expect("room for a copy");
    for groups in ["--groups=4242425", "--clear-groups"] {
        let ids = [
            "--reuid=4242424",
            "--regid=4242425",
            groups,
            "--inh-caps=-all",
        ];
        let program = Program::start(with_less(&ids, copy.to_str().expect("UTF-8")));
        assert_eq!(program.status("Uid:")[0], USER.to_string());
    }
    // Another group beside it is one too many, and it is not this user's to leave it.
    let ids = ["--reuid=4242424", "--regid=4242425", "--groups=4242425,0"];
    let (status, _, errors) = run_command(with_less(&ids, copy.to_str().expect("UTF-8")));
    assert_eq!(status, Some(1), "{errors}");
    assert!(
        errors.contains("setgroups: Operation not permitted"),
        "{errors}"
    );
}

#[test]
fn root_is_told_that_it_serves_as_root() {
    let word = "this serves as root";
    let log = Program::serve_logging("warn").end_with_log();
    let log = String::from_utf8(log).expect("text");
    let is_root = rustix::process::geteuid().is_root();
    assert_eq!(log.contains(word), is_root, "{log}");
    if is_root {
        let mut serve = command();
        serve
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(BY_NUMBER)
            .stderr(Stdio::piped());
        let log = Program::start(serve).end_with_log();
        let log = String::from_utf8(log).expect("text");
        assert!(!log.contains(word), "{log}");
    }
}

#[test]
fn users_and_groups_that_are_none_are_told_before_anything_is_done() {
    let (status, _, errors) = run(&["serve", "--user", "no-such-user"]);
    assert_eq!(status, Some(2), "{errors}");
    assert!(
        errors.contains("there is no user 'no-such-user'"),
        "{errors}"
    );
    for (arguments, problem) in [
        (
            &["serve", "--group", "4242425"][..],
            "aerys: group: it is for --user, which is not there\n",
        ),
        (
            &["serve", "--user", "4242424"],
            "aerys: user: the system knows no group of user 4242424: name one by --group\n",
        ),
    ] {
        let said = run(arguments);
        assert_eq!(said, (Some(2), String::new(), problem.to_owned()));
    }
    let folder = Folder::with("user = \"root\"\ngroup = \"no-such-group\"\n");
    let said = [
        "1: 'user': 'root' is root: name another, or none",
        "2: 'group': there is no group 'no-such-group'",
    ];
    assert_eq!(folder.problems(), texts(&said));
}

#[cfg(feature = "tls")]
mod certificates {
    use super::*;
    use crate::tls_client::{Authority, TlsClient};

    #[test]
    fn keys_are_read_before_and_stay_as_they_were_when_the_user_may_not_read_them_again() {
        if !is_root() {
            return;
        }
        let authority = Authority::new();
        let first = authority.issue("one", &["localhost"]);
        let key = authority.path("one.key");
        give(&key, 0, 0o600);
        let files = ["one.pem", "one.key"].map(|name| authority.path(name).display().to_string());
        let mut serve = command();
        serve
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(["--tls-cert", &files[0], "--tls-key", &files[1]])
            .args(BY_NUMBER)
            .stderr(Stdio::piped());
        let program = Program::start(serve);
        let shown = || {
            let mut client = TlsClient::connect(program.address, &authority.config(), "localhost");
            client.handshake().map(|()| client.certificate())
        };
        assert!(shown().is_ok_and(|shown| shown == first));
        authority.issue("one", &["localhost"]);
        give(&key, 0, 0o600);
        program.signal(Signal::HUP);
        assert!(shown().is_ok_and(|shown| shown == first));
        let log = String::from_utf8(program.end_with_log()).expect("text");
        let word = "certificates stay as they were: ";
        assert!(
            log.contains(word) && log.contains("Permission denied"),
            "{log}"
        );
    }
}
