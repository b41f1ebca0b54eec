//! What is said of a mistake: one line, which says what to do, and an exit status.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use crate::configuration::Folder;
use crate::program::{Program, command, run, run_command};

/// What is said of these arguments, which is one line.
fn told(arguments: &[&str]) -> (Option<i32>, String) {
    let (status, output, errors) = run(arguments);
    assert_eq!(output, "", "{arguments:?}");
    assert_eq!(errors.lines().count(), 1, "{arguments:?}: {errors}");
    let line = errors.trim_end();
    (
        status,
        line.strip_prefix("aerys: ").unwrap_or(line).to_owned(),
    )
}

#[test]
fn arguments_that_are_wrong_are_told_in_one_line_with_status_2() {
    for (arguments, line) in [
        (
            &["--lisen", "x"][..],
            "there is no flag '--lisen', did you mean '--listen'?",
        ),
        (
            &["serve", "--zork"],
            "there is no flag '--zork': see aerys serve --help",
        ),
        (
            &["serv"],
            "there is no command 'serv', did you mean 'serve'?",
        ),
        (&["zork"], "there is no command 'zork': see aerys --help"),
        (
            &["serve", "x"],
            "'x' belongs to no flag: see aerys serve --help",
        ),
        (&["check"], "<FILE> is missing: see aerys check --help"),
        (&["--listen"], "--listen needs a value: --listen <ADDRESS>"),
        (&["--listing=3"], "--listing takes no value"),
        (
            &["--config", "a", "--config", "b"],
            "--config is there twice, and has one value",
        ),
        (
            &["--root", "a", "check", "b"],
            "the flags of a command stand behind it, as in aerys serve --root .",
        ),
        (
            &["--heartbeat", "soon"],
            "--heartbeat: 'soon' does not begin with a number",
        ),
        (
            &["--compression", "sharde"],
            "--compression: 'sharde' is none of off, shared, dedicated, did you mean 'shared'?",
        ),
        (
            &["--log-level", "loud"],
            "--log-level: 'loud' is none of off, error, warn, info, debug, trace",
        ),
        (
            &["--compression-level", "0"],
            "--compression-level: 0 is not in 1..=9",
        ),
        (
            &["completions", "bsh"],
            "<SHELL>: 'bsh' is none of bash, elvish, fish, powershell, zsh, did you mean 'bash'?",
        ),
        (&["man", "check", "x"], "there is no command 'check x'"),
        (
            &["connect", "ws://a/", "--ping=soon"],
            "--ping: 'soon' does not begin with a number",
        ),
        (
            &["connect", "ws://a/", "--ping=1s", "--ping=2s"],
            "--ping is there twice, and has one value",
        ),
        (
            &["bench", "echo"],
            "--url is missing: see aerys bench echo --help",
        ),
        // In one line whatever stands in it.
        (
            &["serve", "a\n\u{1b}[31mb"],
            "'a\\n\\u{1b}[31mb' belongs to no flag: see aerys serve --help",
        ),
    ] {
        assert_eq!(told(arguments), (Some(2), line.to_owned()), "{arguments:?}");
    }
}

#[test]
fn a_variable_that_is_wrong_is_named_whatever_the_command() {
    for (arguments, variable, value, problem) in [
        (
            &["bench", "echo", "--url", "ws://a/"][..],
            "AERYS_BENCH_DURATION",
            &b"soon"[..],
            "'soon' does not begin with a number",
        ),
        (
            &["connect", "ws://a/"],
            "AERYS_CONNECT_PING",
            b"soon",
            "'soon' does not begin with a number",
        ),
        (
            &["bench", "http"],
            "AERYS_BENCH_URL",
            b"\xFF",
            "it is not UTF-8",
        ),
    ] {
        let mut aerys = command();
        aerys
            .args(arguments)
            .env(variable, OsStr::from_bytes(value));
        let (status, _, errors) = run_command(aerys);
        let line = format!("aerys: {variable}: {problem}\n");
        assert_eq!((status, errors), (Some(2), line), "{arguments:?}");
    }
}

#[test]
fn files_that_are_wrong_are_told_in_one_line_with_status_2() {
    let folder = Folder::with("max-boddy-bytes = 1\n");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    folder.write("file", "no certificate");
    let missing = format!(
        "{}: cannot be read: No such file or directory (os error 2)",
        path("x")
    );
    let key = format!(
        "{}:1: unknown key 'max-boddy-bytes', did you mean 'max-body-bytes'?",
        folder.file()
    );
    for (arguments, line) in [
        (["--config", &path("x")], missing.clone()),
        (["check", &path("x")], missing),
        (["check", &folder.file()], key.clone()),
        (["--config", &folder.file()], key),
    ] {
        assert_eq!(told(&arguments), (Some(2), line));
    }
    for (flag, name, problem) in [
        (
            "--root",
            "x",
            "must be a readable directory: No such file or directory",
        ),
        (
            "--root",
            "file",
            "must be a readable directory: Not a directory",
        ),
        (
            "--tls-cert",
            "x",
            "it cannot be read: No such file or directory",
        ),
        ("--tls-cert", "file", "certificate"),
    ] {
        let (status, line) = told(&[flag, &path(name)]);
        assert_eq!(status, Some(2), "{line}");
        let begin = format!("{flag}: ");
        assert!(
            line.starts_with(&begin) && line.contains(&path(name)),
            "{line}"
        );
        assert!(line.contains(problem), "{line}");
    }
}

/// The log may have said something before.
fn last_line(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = command();
    command.args(arguments).args(["--log-level", "off"]);
    let (status, output, errors) = run_command(command);
    assert_eq!(
        (output.as_str(), errors.lines().count()),
        ("", 1),
        "{errors}"
    );
    (status, errors.trim_end().to_owned())
}

#[cfg(target_os = "linux")]
#[test]
fn a_port_in_use_is_told_with_the_process_that_has_it() {
    let program = Program::serve(&[]);
    let taken = program.address.to_string();
    let (status, line) = last_line(&["--listen", &taken]);
    assert_eq!(status, Some(1));
    let who = format!("aerys (process {})", program.id());
    assert_eq!(
        line,
        format!(
            "aerys: {taken} is in use by {who}; stop that, or listen elsewhere (port 0 is a free one)"
        )
    );
}

/// A port may be somebody else's at each address.
#[cfg(target_os = "linux")]
#[test]
fn of_two_that_have_the_port_the_one_at_the_address_is_told() {
    // One that somebody has there already is no use.
    let both = (0..10).find_map(|_| {
        let program = Program::serve(&[]);
        let ours = std::net::TcpListener::bind(("127.0.0.2", program.address.port()));
        ours.ok().map(|ours| (program, ours))
    });
    let (program, _ours) = both.expect("a port that is free at both addresses");
    for (ip, id) in [
        ("127.0.0.1", program.id()),
        ("127.0.0.2", std::process::id()),
    ] {
        let taken = format!("{ip}:{}", program.address.port());
        let (status, line) = last_line(&["--listen", &taken]);
        assert_eq!(status, Some(1));
        let (begin, who) = (
            format!("aerys: {taken} is in use by "),
            format!(" (process {id}); "),
        );
        assert!(line.starts_with(&begin) && line.contains(&who), "{line}");
    }
}

#[test]
fn what_cannot_be_listened_on_is_told_with_what_to_do() {
    let folder = Folder::new();
    let socket = folder.path().join("x/a.sock");
    let socket = format!("unix:{}", socket.display());
    for (address, said) in [
        // RFC 5737: no machine has it.
        (
            "192.0.2.1:1337",
            "this machine does not have that address; 0.0.0.0 and [::] are",
        ),
        (&*socket, "its folder is not there; make it first"),
    ] {
        let (status, line) = last_line(&["--listen", address]);
        assert_eq!(status, Some(1), "{line}");
        let begin = format!("aerys: cannot listen on {address}: ");
        assert!(line.starts_with(&begin) && line.contains(said), "{line}");
    }
}

/// As a user whom the system does not let have them.
#[cfg(target_os = "linux")]
#[test]
fn a_port_below_1024_is_told_with_the_ways_to_have_it() {
    let first = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    let is_free = first.is_ok_and(|first| first.trim().parse().is_ok_and(|first: u32| first <= 80));
    if is_free || !rustix::process::geteuid().is_root() {
        eprintln!("ports below 1024 are anybody's here, or this is nobody who could be another");
        return;
    }
    let mut other = std::process::Command::new("setpriv");
    other.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    other.args([
        env!("CARGO_BIN_EXE_aerys"),
        "--log-level",
        "off",
        "--listen",
        "127.0.0.1:80",
    ]);
    let (status, _, errors) = run_command(other);
    assert_eq!((status, errors.lines().count()), (Some(1), 1), "{errors}");
    let begin =
        "aerys: cannot listen on 127.0.0.1:80: port 80 takes a right that this user has not";
    assert!(
        errors.starts_with(begin) && errors.contains("--user"),
        "{errors}"
    );
}
