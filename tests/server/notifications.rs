//! What a service manager is told: ready, reading files again, alive, stopping.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::Command;

use rustix::process::Signal;

use crate::client::{Client, PATIENCE};
use crate::configuration::Folder;
use crate::program::{Program, command};

/// The socket of a service manager, and what `NOTIFY_SOCKET` says of it.
struct Manager {
    socket: UnixDatagram,
    name: String,
    _folder: Folder,
}

impl Manager {
    fn new(is_abstract: bool) -> Self {
        let folder = Folder::new();
        let path = folder.path().join("notify").display().to_string();
        let (address, name) = if is_abstract {
            let address = SocketAddr::from_abstract_name(&path);
            (address, format!("@{path}"))
        } else {
            (SocketAddr::from_pathname(&path), path)
        };
        let socket = UnixDatagram::bind_addr(&address.expect("a name")).expect("a free name");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self {
            socket,
            name,
            _folder: folder,
        }
    }

    fn serve(&self) -> Command {
        let mut command = command();
        command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .env("NOTIFY_SOCKET", &self.name);
        command
    }

    /// What it is told next.
    fn told(&self) -> String {
        let mut buffer = [0; 1000];
        let len = self.socket.recv(&mut buffer).expect("it is told in time");
        String::from_utf8(buffer[..len].to_vec()).expect("text")
    }
}

/// The clock of `MONOTONIC_USEC`.
fn monotonic_micros() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1000
}

#[test]
fn a_service_manager_is_told_each_state_in_order() {
    for is_abstract in [false, true] {
        let manager = Manager::new(is_abstract);
        let mut program = Program::start(manager.serve());
        assert_eq!(manager.told(), "READY=1");
        // Who is told so may connect.
        assert_eq!(Client::connect(program.address).get("/").status, 200);

        let before = monotonic_micros();
        program.signal(Signal::HUP);
        let told = manager.told();
        let micros = told.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
        let micros: i64 = micros.expect(&told).parse().expect("a number");
        assert!((before..=monotonic_micros()).contains(&micros), "{told}");
        assert_eq!(manager.told(), "READY=1");

        let mut client = Client::open(program.address, "/echo");
        program.signal(Signal::TERM);
        assert_eq!(manager.told(), "STOPPING=1");
        client.expect_close(1001);
        client.send_close(1001);
        drop(client);
        assert_eq!(program.wait().0.code(), Some(0));
    }
}

#[test]
fn a_watchdog_is_fed_if_it_watches_this_process() {
    let manager = Manager::new(false);
    let mut watched = manager.serve();
    watched.env("WATCHDOG_USEC", "40000");
    let program = Program::start(watched);
    assert_eq!(manager.told(), "READY=1");
    for _ in 0..3 {
        assert_eq!(manager.told(), "WATCHDOG=1");
    }
    drop(program);

    let manager = Manager::new(false);
    let mut other = manager.serve();
    other.env("WATCHDOG_USEC", "2000").env("WATCHDOG_PID", "1");
    let program = Program::start(other);
    assert_eq!(manager.told(), "READY=1");
    // These take longer than the millisecond that the other one would wait.
    let mut client = Client::open(program.address, "/echo");
    for _ in 0..100 {
        client.send_text("a turn of the loop");
        client.read_text();
    }
    program.signal(Signal::TERM);
    assert_eq!(manager.told(), "STOPPING=1");
}

/// A manager that takes nothing does not hold up anybody.
#[test]
fn a_manager_that_does_not_read_is_not_waited_for() {
    let manager = Manager::new(false);
    let mut watched = manager.serve();
    // Fills its queue, which has room for some hundreds, before the first answer.
    watched.env("WATCHDOG_USEC", "2000");
    let program = Program::start(watched);
    let filler = UnixDatagram::unbound().expect("a socket");
    filler.set_nonblocking(true).expect("an option");
    while filler.send_to(b"x", &manager.name).is_ok() {}
    let mut client = Client::open(program.address, "/echo");
    for _ in 0..3 {
        client.send_text("served");
        assert_eq!(client.read_text(), "served");
    }
}

#[test]
fn a_name_that_nobody_listens_at_is_worth_a_word_and_no_more() {
    for name in ["/no/such/socket", "nonsense", "@", ""] {
        let mut serve = command();
        serve
            .args(["serve", "--listen", "127.0.0.1:0"])
            .env("NOTIFY_SOCKET", name)
            .stderr(std::process::Stdio::piped());
        let program = Program::start(serve);
        assert_eq!(Client::connect(program.address).get("/").status, 200);
        let log = String::from_utf8(program.end_with_log()).expect("text");
        let word = format!("nobody is told that this is ready, by NOTIFY_SOCKET={name}: ");
        assert!(log.contains(&word), "{name}: {log}");
    }
}
