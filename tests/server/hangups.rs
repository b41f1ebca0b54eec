//! `SIGHUP`: the program becomes what its file says now, and nobody who is there notices.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ChildStderr, Stdio};

use rustix::process::Signal;

use crate::client::Client;
use crate::configuration::Folder;
use crate::program::Program;
use crate::support::{expect_refused, wait_until};

/// A program with a file, whose log is read.
struct Served {
    folder: Folder,
    program: Program,
    log: BufReader<ChildStderr>,
}

impl Served {
    fn start(folder: Folder) -> Self {
        let mut serve = folder.serve();
        serve.stderr(Stdio::piped());
        let mut program = Program::start(serve);
        let log = BufReader::new(program.take_errors());
        Self {
            folder,
            program,
            log,
        }
    }

    /// The next line of the log, without what stands before it.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.log.read_line(&mut line).expect("a pipe");
        let (_, said) = line.split_once("] ").expect(&line);
        said.trim_end().to_owned()
    }

    /// Writes the file and has it read: what is logged of that, up to the last line of it.
    fn reload(&mut self, text: &str) -> Vec<String> {
        self.folder.write("c.toml", text);
        self.hang_up()
    }

    fn hang_up(&mut self) -> Vec<String> {
        self.program.signal(Signal::HUP);
        let mut said: Vec<String> = Vec::new();
        let is_last = |line: &String| {
            line.starts_with("reloaded: ") || line.starts_with("the configuration stays ")
        };
        while !said.last().is_some_and(is_last) {
            let line = self.line();
            said.push(line);
        }
        said
    }

    fn connect(&self) -> Client {
        Client::connect(self.program.address)
    }
}

fn two_folders() -> Folder {
    let folder = Folder::new();
    for name in ["one", "two"] {
        folder.write(&format!("{name}/index.html"), name);
    }
    folder
}

const FIRST: &str = "max-body-bytes = 10\n[[host]]\nnames = ['a']\nlisten = ['127.0.0.1:0']\nroot = 'one'\n\
    demo = true\n";

#[test]
fn a_new_file_counts_for_who_comes_and_leaves_who_is_there() {
    let folder = two_folders();
    folder.write("c.toml", FIRST);
    let mut served = Served::start(folder);
    let mut websocket = Client::open(served.program.address, "/broadcast");
    let mut kept = served.connect();
    assert_eq!(kept.get("/").body, b"one");
    let mut begun = served.connect();
    begun.send_raw("GET / HTTP/1.1\r\nHo");
    assert_eq!(served.connect().get("/").body, b"one");

    let next = FIRST.replace("10", "20").replace("'one'", "'two'");
    let said = served.reload(&format!("heartbeat = '7s'\n{next}"));
    let path = |name: &str| served.folder.path().join(name).display().to_string();
    let lines = [
        "max-body-bytes: 10 is 20 now".to_owned(),
        "heartbeat: 10s is 7s now".to_owned(),
        format!("the host a: root: {} is {} now", path("one"), path("two")),
    ];
    for line in lines {
        assert!(said.contains(&line), "{line} in {said:?}");
    }
    begun.send_raw("st: a\r\n\r\n");
    assert_eq!(begun.read_response().body, b"one");
    for client in [&mut kept, &mut begun, &mut served.connect()] {
        assert_eq!(client.get("/").body, b"two");
    }
    let mut new = Client::open(served.program.address, "/broadcast");
    websocket.send_text("to all");
    for client in [&mut websocket, &mut new] {
        assert_eq!(client.read_text(), "to all");
    }
    assert_eq!(
        said.last().expect("a line"),
        "reloaded: 3 differences now, 0 after a restart"
    );
    assert_eq!(served.hang_up(), ["reloaded: nothing is different"]);
}

#[test]
fn a_bad_file_changes_nothing_and_is_told_line_by_line() {
    let folder = two_folders();
    folder.write("c.toml", FIRST);
    let mut served = Served::start(folder);
    let mut websocket = Client::open(served.program.address, "/echo");
    served.hang_up();
    let file = served.folder.file();
    let bad = FIRST
        .replace("max-body", "max-boddy")
        .replace("'one'", "'three'");
    let said = served.reload(&bad);
    assert_eq!(said.len(), 3, "{said:?}");
    let key = format!("{file}:1: unknown key 'max-boddy-bytes', did you mean 'max-body-bytes'?");
    assert_eq!(said[0], key);
    assert!(
        said[1].starts_with(&format!("{file}:5: 'root': ")),
        "{said:?}"
    );
    assert!(
        said[2].starts_with("the configuration stays as it was"),
        "{said:?}"
    );

    // Right in itself, but somebody else is there.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = listener.local_addr().expect("an address").to_string();
    let next = FIRST
        .replace(":0'", &format!(":0', '{taken}'"))
        .replace("'one'", "'two'");
    let said = served.reload(&next);
    assert!(
        said[0].contains(&format!("{taken} is in use by ")),
        "{said:?}"
    );
    drop(listener);
    assert_eq!(served.connect().get("/").body, b"one");
    websocket.send_text("still");
    assert_eq!(websocket.read_text(), "still");
}

#[test]
fn a_listener_comes_and_another_goes() {
    let folder = two_folders();
    folder.write("c.toml", FIRST);
    let mut served = Served::start(folder);
    let first = served.program.address;
    let mut websocket = Client::open(first, "/echo");
    served.reload(&FIRST.replace("127.0.0.1:0'", "127.0.0.1:0', '127.0.0.2:0'"));
    let second: SocketAddr = served.program.next_address();
    assert_eq!(Client::connect(second).get("/").body, b"one");
    let said = served.reload(&FIRST.replace("127.0.0.1:0", "127.0.0.2:0"));
    assert!(
        said.contains(&format!("listening on {first} no more")),
        "{said:?}"
    );
    expect_refused(first);
    assert_eq!(Client::connect(second).get("/").body, b"one");
    websocket.send_text("still");
    assert_eq!(websocket.read_text(), "still");
}

#[test]
fn what_needs_a_restart_is_told_and_the_level_of_the_log_does_not() {
    let folder = two_folders();
    folder.write("c.toml", FIRST);
    let mut served = Served::start(folder);
    served.hang_up();
    for _ in 0..2 {
        let said = served.reload(&format!("compression = 'shared'\n{FIRST}"));
        let last = "reloaded: 0 differences now, 1 after a restart";
        assert_eq!(said, ["compression: shared needs a restart", last]);
    }
    let said = served.reload(&format!("log-level = 'debug'\n{FIRST}"));
    assert!(
        said.contains(&"log-level: info is debug now".to_owned()),
        "{said:?}"
    );
    assert_eq!(served.connect().get("/").body, b"one");
    while !served.line().contains(" connected from ") {}
}

/// Each time with other hosts, listeners and limits.
#[cfg(target_os = "linux")]
#[test]
fn a_thousand_hangups_leak_nothing() {
    let folder = two_folders();
    folder.write("c.toml", FIRST);
    let mut served = Served::start(folder);
    let mut websocket = Client::open(served.program.address, "/echo");
    let other = FIRST.replace("'one'", "'two'").replace("10", "20");
    let other = format!("{other}[[host]]\nnames = ['b']\nlisten = ['127.0.0.2:0']\nroot = 'one'\n");
    let mut twice = |served: &mut Served, count: usize| {
        for _ in 0..count {
            served.reload(&other);
            served.reload(FIRST);
        }
        websocket.send_text("still");
        assert_eq!(websocket.read_text(), "still");
        (
            served.program.descriptor_count(),
            served.program.resident_kib(),
        )
    };
    // All that is kept for later is there after some.
    let (descriptors, before) = twice(&mut served, 100);
    let (after_descriptors, after) = twice(&mut served, 400);
    assert_eq!(after_descriptors, descriptors);
    assert!(after <= before + 512, "{before} KiB, then {after} KiB");
}

#[test]
fn a_stop_ends_with_a_line_that_says_what_was_done() {
    let folder = two_folders();
    folder.write("c.toml", format!("stop-timeout = '100ms'\n{FIRST}"));
    let mut served = Served::start(folder);
    let mut websocket = Client::open(served.program.address, "/broadcast");
    let mut other = Client::open(served.program.address, "/broadcast");
    websocket.send_text("12345");
    for client in [&mut websocket, &mut other] {
        assert_eq!(client.read_text(), "12345");
    }
    assert_eq!(served.connect().get("/").body, b"one");
    served.program.signal(Signal::TERM);
    let line = loop {
        let line = served.line();
        if line.starts_with("stopped after ") {
            break line;
        }
    };
    // Nobody answers its Close, so both are cut.
    for part in [
        " s: 3 connections, 3 requests, 2 WebSockets, messages 1 in and 2 out, bytes ",
        ", 2 cut at the stop timeout",
    ] {
        assert!(line.contains(part), "{line}");
    }
    assert_eq!(served.program.wait().0.code(), Some(0));
}

/// Without a name they are told apart by their order; what a file says above its hosts is told once.
#[test]
fn what_is_the_same_is_not_told_and_what_differs_is_told_once() {
    let folder = two_folders();
    let hosts = |second: &str| {
        format!(
            "[[host]]\nlisten = ['127.0.0.1:0']\ndemo = true\n\
             [[host]]\nlisten = ['127.0.0.2:0']\nroot = '{second}'\ndemo = true\n"
        )
    };
    folder.write("c.toml", hosts("one"));
    let mut served = Served::start(folder);
    let other = served.program.next_address();
    served.hang_up();
    let mut rooms = [served.program.address, other].map(|at| Client::open(at, "/broadcast"));
    assert_eq!(served.hang_up(), ["reloaded: nothing is different"]);
    let said = served.reload(&hosts("two"));
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(
        said[0].starts_with("the host without names: root: "),
        "{said:?}"
    );
    // Each has a room of its own.
    for (number, room) in rooms.iter_mut().enumerate() {
        room.send_text(&format!("{number}"));
        assert_eq!(room.read_text(), format!("{number}"));
    }

    let folder = two_folders();
    let flat = |root: &str| format!("listen = ['127.0.0.1:0']\nroot = '{root}'\n");
    folder.write("c.toml", flat("one"));
    let mut served = Served::start(folder);
    served.hang_up();
    let said = served.reload(&flat("two"));
    let last = "reloaded: 1 differences now, 0 after a restart";
    assert_eq!((said.len(), &*said[1]), (2, last), "{said:?}");
    assert_eq!(served.connect().get("/").body, b"two");
}

#[test]
fn the_live_page_is_had_by_a_restart_alone_and_counters_go_on() {
    let folder = two_folders();
    folder.write("c.toml", FIRST);
    let mut served = Served::start(folder);
    served.hang_up();
    let said = served.reload(&format!("live = true\n{FIRST}"));
    assert_eq!(said[0], "live: true needs a restart");
    assert_eq!(served.connect().get("/_aerys/metrics").status, 404);

    let folder = two_folders();
    folder.write("c.toml", format!("live = true\n{FIRST}"));
    let mut served = Served::start(folder);
    let answers = |served: &Served| {
        let body = served.connect().get("/_aerys/metrics").body;
        let text = String::from_utf8(body).expect("text");
        let name = "aerys_connections_accepted_total ";
        let count = text.lines().find_map(|line| line.strip_prefix(name));
        count.expect(name).parse::<u32>().expect("a number")
    };
    assert_eq!(answers(&served), 1);
    served.reload(&format!("live = true\nheartbeat = '7s'\n{FIRST}"));
    assert_eq!(answers(&served), 2);
}

#[test]
fn the_access_log_goes_on_as_it_was() {
    let folder = two_folders();
    let log = folder.path().join("access.log");
    let settings = |format: &str| {
        let path = log.display();
        format!("access-log = '{path}'\naccess-log-format = '{format}'\n{FIRST}")
    };
    folder.write("c.toml", settings("json"));
    let mut served = Served::start(folder);
    served.hang_up();
    assert_eq!(served.connect().get("/").status, 200);
    let said = served.reload(&settings("common"));
    assert_eq!(said[0], "access-log-format: common needs a restart");
    assert_eq!(served.connect().get("/").status, 200);
    wait_until("both are written", || {
        std::fs::read_to_string(&log).is_ok_and(|text| {
            let is_json = |line: &str| line.starts_with("{\"time\"");
            text.lines().filter(|line| is_json(line)).count() == 2 && text.lines().count() == 2
        })
    });
}

/// A certificate that was made is there as long as a host asks for one: also behind a file that is wrong
/// and does not.
#[cfg(feature = "self-signed")]
#[test]
fn a_certificate_that_was_made_stays_and_one_that_is_made_is_printed() {
    const SIGNED: &str =
        "[[host]]\nlisten = ['127.0.0.1:0']\ndemo = true\ntls-self-signed = true\n";
    let plain = SIGNED.replace("tls-self-signed = true\n", "");
    let folder = two_folders();
    folder.write("c.toml", &plain);
    let mut served = Served::start(folder);
    served.reload(SIGNED);
    let address = served.program.next_line();
    let first = served.program.next_line();
    assert!(first.starts_with("sha256 Fingerprint="), "{address}{first}");
    // Somebody else is there: nothing changes.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = taken
        .local_addr()
        .map(|at| (at, taken))
        .expect("an address");
    served.reload(&plain.replace(":0'", &format!(":0', '{}'", taken.0)));
    // What is printed next is the address alone, as the certificate is known.
    served.reload(&SIGNED.replace(":0'", ":0', '127.0.0.2:0'"));
    let next = served.program.next_line();
    assert!(next.starts_with("https://127.0.0.2:"), "{next}");
    served.reload(&SIGNED.replace(":0'", ":0', '127.0.0.2:0', '127.0.0.3:0'"));
    let next = served.program.next_line();
    assert!(next.starts_with("https://127.0.0.3:"), "{next}");
}

/// What ends a terminal ends what was started there, unless that has something to read again.
#[test]
fn without_a_file_it_is_ended_as_others_are() {
    let mut program = Program::serve(&[]);
    program.signal(Signal::HUP);
    let (status, _) = program.wait();
    assert_eq!(status.signal(), Some(Signal::HUP.as_raw()));
}
