//! Sockets that are passed: to the program as systemd does, as the one `LISTEN_PID` means.

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::client::Client;
use crate::configuration::{Folder, ask};
use crate::program::{Program, run_with_input};
use crate::support::wait_until;

/// `O_NONBLOCK` and `O_CLOEXEC`, as Linux writes them in octal.
const WANTED_FLAGS: u32 = 0o2_004_000;

/// The program with `script` before it, which makes descriptors from 3 on of what it is given as its
/// standard input and error.
fn passing(script: &str, arguments: &[&str]) -> Command {
    let mut shell = Command::new("sh");
    let script = format!("{script} exec \"$0\" serve \"$@\"");
    shell
        .args(["-c", &script, env!("CARGO_BIN_EXE_aerys")])
        .args(arguments);
    shell
}

/// One socket, its standard input.
const ONE: &str =
    "exec 3<&0 4<&- </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=web;";
/// Two, the other one its standard error, in whose place is a file.
const TWO: &str = "exec 3<&0 4<&2 </dev/null 2>\"${LOG:-/dev/null}\"; \
    export LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=web:admin;";

fn listener() -> (TcpListener, std::net::SocketAddr) {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("its address");
    (socket, address)
}

#[test]
fn a_socket_that_is_passed_is_listened_by() {
    for name in ["systemd", "systemd:web"] {
        let (socket, address) = listener();
        // It connects before there is a server: that is what such sockets are for.
        let waiting = TcpStream::connect(address).expect("it listens");
        let mut command = passing(ONE, &["--listen", name]);
        command.stdin(OwnedFd::from(socket));
        let mut program = Program::start_with_input(command);
        assert_eq!(program.address, address);
        let flags = program.descriptor_flags(3);
        assert_eq!(flags & WANTED_FLAGS, WANTED_FLAGS, "{flags:o}");
        assert_eq!(Client::from_stream(waiting).get("/").status, 200);
        let mut client = Client::open(address, "/echo");
        client.send_text("here");
        assert_eq!(client.read_text(), "here");
        drop(client);
        program.signal(Signal::TERM);
        assert_eq!(program.wait().0.code(), Some(0));
    }
}

#[test]
fn sockets_are_told_apart_by_name_and_shared_by_hosts() {
    let folder = Folder::with(
        "[[host]]\nlisten = [\"systemd:web\"]\ndemo = true\n\
         [[host]]\nnames = [\"b.test\"]\nlisten = [\"systemd:web\"]\nredirect = \"https://b.example\"\n\
         [[host]]\nlisten = [\"systemd:admin\"]\nredirect = \"https://admin.example\"\n",
    );
    let ((web, web_address), (admin, admin_address)) = (listener(), listener());
    let mut command = passing(TWO, &["--config", &folder.file()]);
    command
        .stdin(OwnedFd::from(web))
        .stderr(OwnedFd::from(admin));
    let mut program = Program::start_with_input(command);
    assert_eq!(program.address, web_address);
    assert_eq!(program.next_address(), admin_address);
    assert_eq!(ask(&program, "localhost", "/").0, 200);
    let location = |of: &str| Some(format!("{of}/"));
    assert_eq!(
        ask(&program, "b.test", "/").1,
        location("https://b.example")
    );
    let response = Client::connect(admin_address).get("/");
    assert_eq!(
        response.field("Location").map(str::to_owned),
        location("https://admin.example")
    );
}

/// Whoever made it listens on, and starts the program again by it.
#[test]
fn the_file_of_a_socket_that_is_passed_stays() {
    let folder = Folder::new();
    let path = folder.path().join("a.sock");
    let socket = UnixListener::bind(&path).expect("a free path");
    let (tcp, _) = listener();
    let mut command = passing(TWO, &["--listen", "systemd"]);
    command
        .stdin(OwnedFd::from(tcp))
        .stderr(OwnedFd::from(socket));
    let mut program = Program::start_with_input(command);
    let line = program.next_line();
    assert_eq!(line.trim_end(), format!("unix:{}", path.display()));
    assert_eq!(Client::connect_unix(&path).get("/").status, 200);
    program.signal(Signal::TERM);
    assert_eq!(program.wait().0.code(), Some(0));
    assert!(path.exists());
}

#[test]
fn what_cannot_be_listened_by_is_refused_with_one_line() {
    let (socket, address) = listener();
    let refused = |script: &str, input: Stdio, arguments: &[&str]| {
        let mut command = passing(script, arguments);
        command.stdin(input);
        let (status, output, errors) = run_with_input(command);
        assert_eq!((status, output), (Some(1), String::new()), "{errors}");
        let last = errors.lines().last().expect("a line").to_owned();
        let lines = errors.lines().filter(|line| line.starts_with("aerys:"));
        assert_eq!(lines.count(), 1, "{errors}");
        last
    };
    let all = &["--listen", "systemd"][..];
    let datagrams = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    assert_eq!(
        refused(ONE, OwnedFd::from(datagrams).into(), all),
        "aerys: socket 0 ('web') that was passed: it is no stream socket"
    );
    let connected = TcpStream::connect(address).expect("it listens");
    assert_eq!(
        refused(ONE, OwnedFd::from(connected).into(), all),
        "aerys: socket 0 ('web') that was passed: it does not listen"
    );
    assert_eq!(
        refused(ONE, Stdio::null(), all),
        "aerys: socket 0 ('web') that was passed: Socket operation on non-socket (os error 88)"
    );
    let passed = || OwnedFd::from(socket.try_clone().expect("a descriptor")).into();
    assert_eq!(
        refused(ONE, passed(), &["--listen", "systemd:other"]),
        "aerys: systemd:other: the sockets that were passed are named web"
    );
    let fewer = ONE.replace("LISTEN_FDS=1", "LISTEN_FDS=2");
    assert_eq!(
        refused(&fewer, passed(), all),
        "aerys: socket 1 ('') that was passed: Bad file descriptor (os error 9)"
    );
    let more = ONE.replace("LISTEN_FDS=1", "LISTEN_FDS=4294967295");
    assert_eq!(
        refused(&more, passed(), all),
        "aerys: more than 1024 sockets were passed"
    );
    let none = "aerys: no socket was passed to listen by: systemd does so by a .socket unit";
    assert_eq!(refused("", Stdio::null(), all), none);
    let of_another = ONE.replace("LISTEN_PID=$$", "LISTEN_PID=1");
    assert_eq!(refused(&of_another, passed(), all), none);
}

#[test]
fn a_socket_that_nobody_asks_for_is_worth_a_word() {
    for (address, word) in [
        (
            "127.0.0.1:0",
            "sockets were passed and are not used: --listen systemd",
        ),
        (
            "systemd:web",
            "the socket 'admin' was passed and is not used: --listen systemd:admin",
        ),
    ] {
        let folder = Folder::new();
        let log = folder.path().join("log");
        let ((socket, _), (other, _)) = (listener(), listener());
        let mut command = passing(TWO, &["--listen", address]);
        command
            .env("LOG", &log)
            .stdin(OwnedFd::from(socket))
            .stderr(OwnedFd::from(other));
        let program = Program::start_with_input(command);
        assert_eq!(Client::connect(program.address).get("/").status, 200);
        wait_until(word, || {
            let log = std::fs::read_to_string(&log).expect("a log");
            log.contains(word)
        });
    }
}
