//! Where the access log goes: files that are moved away under load, pipes that nobody reads, disks without
//! room. No client waits for any of it, and each line is somewhere or counted.

use std::collections::BTreeMap;
use std::fs::{File, read_dir, read_to_string};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;

use rustix::process::Signal;

use crate::client::Client;
use crate::configuration::Folder;
use crate::program::{self, Program, command};
use crate::support::wait_until;

fn serve(access_log: &Path, arguments: &[&str]) -> Command {
    let mut serve = command();
    serve
        .args(["serve", "--listen", "127.0.0.1:0", "--access-log"])
        .arg(access_log)
        .args(arguments)
        .env_remove("CLICOLOR_FORCE");
    serve
}

/// The targets of lines in the combined format.
fn targets(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(|line| {
        let request = line.split('"').nth(1).expect("a request");
        request.split(' ').nth(1).expect("a target")
    })
}

#[test]
fn each_line_is_in_one_file_whenever_that_is_moved_away() {
    const CLIENTS: usize = 4;
    const REQUESTS: usize = 500;
    let folder = Folder::new();
    let path = folder.path().join("access.log");
    let program = Program::start(serve(&path, &[]));
    let is_over = AtomicBool::new(false);
    let mut rotations = 0;
    std::thread::scope(|scope| {
        let ask = |client: usize| {
            let mut connection = Client::connect(program.address);
            for request in 0..REQUESTS {
                let target = format!("/nothing/{client}/{request}");
                assert_eq!(connection.get(&target).status, 404);
            }
        };
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| scope.spawn(move || ask(client)))
            .collect();
        let rotate = scope.spawn(|| {
            let mut rotations = 0;
            while !is_over.load(Ordering::Relaxed) {
                let moved = folder.path().join(format!("access.log.{rotations}"));
                std::fs::rename(&path, moved).expect("it is there");
                program.signal(Signal::HUP);
                // It is made again whether there is anything to say or not.
                wait_until("a new file", || path.exists());
                rotations += 1;
            }
            rotations
        });
        for client in clients {
            client.join().expect("answers");
        }
        is_over.store(true, Ordering::Relaxed);
        rotations = rotate.join().expect("it goes on");
    });
    assert!(rotations > 3, "{rotations} rotations");
    let mut program = program;
    program.signal(Signal::TERM);
    assert_eq!(program.wait().0.code(), Some(0));
    let mut seen = BTreeMap::<String, usize>::new();
    for entry in read_dir(folder.path()).expect("a folder") {
        let text = read_to_string(entry.expect("a folder").path()).expect("text");
        for target in targets(&text) {
            *seen.entry(target.to_owned()).or_default() += 1;
        }
    }
    assert_eq!(seen.len(), CLIENTS * REQUESTS);
    assert!(seen.values().all(|count| *count == 1));
}

#[test]
fn a_file_goes_on_where_it_was_and_is_nobodys_but_its_owners_and_its_groups() {
    let folder = Folder::new();
    let path = folder.path().join("access.log");
    for count in 1..3 {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "umask 002 && exec \"$0\" \"$@\""])
            .args([env!("CARGO_BIN_EXE_aerys"), "serve"])
            .args(["--listen", "127.0.0.1:0", "--access-log"])
            .arg(&path);
        let mut program = Program::start(shell);
        assert_eq!(Client::connect(program.address).get("/").status, 200);
        program.signal(Signal::TERM);
        assert_eq!(program.wait().0.code(), Some(0));
        assert_eq!(read_to_string(&path).expect("text").lines().count(), count);
        let mode = path.metadata().expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
    }
}

#[test]
fn a_file_that_cannot_be_opened_ends_the_start_and_not_a_reopening() {
    let folder = Folder::new();
    let nowhere = folder.path().join("logs/access.log");
    let name = nowhere.to_str().expect("UTF-8");
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--access-log", name];
    let (status, _, errors) = program::run(&arguments);
    assert_eq!(status, Some(1));
    let word = format!("aerys: the access log {name} cannot be opened: No such file or directory");
    let last = errors.lines().last().expect("a word");
    assert!(last.starts_with(&word), "{errors}");

    std::fs::create_dir(folder.path().join("logs")).expect("a folder");
    let program = Program::start({
        let mut serve = serve(&nowhere, &[]);
        serve.stderr(Stdio::piped());
        serve
    });
    assert_eq!(Client::connect(program.address).get("/1").status, 404);
    let away = folder.path().join("away");
    std::fs::rename(folder.path().join("logs"), &away).expect("it is there");
    program.signal(Signal::HUP);
    assert_eq!(Client::connect(program.address).get("/2").status, 404);
    let moved = away.join("access.log");
    wait_until("both lines", || {
        let text = read_to_string(&moved).expect("text");
        targets(&text).eq(["/1", "/2"])
    });
    let errors = String::from_utf8(program.end_with_log()).expect("text");
    assert!(errors.contains("cannot be opened again"), "{errors}");
}

/// How many lines were lost, as the program's log says, and how often it does.
fn lost(log: &str) -> (usize, usize) {
    let counts = log.lines().filter_map(|line| {
        let (before, _) = line.split_once(" of the access log w")?;
        let words = before
            .strip_suffix(" lines")
            .or(before.strip_suffix(" line"));
        words?.rsplit(' ').next()?.parse::<usize>().ok()
    });
    counts.fold((0, 0), |(sum, words), count| (sum + count, words + 1))
}

fn pipe(folder: &Folder) -> std::path::PathBuf {
    let path = folder.path().join("pipe");
    let made = Command::new("mkfifo").arg(&path).status();
    assert!(made.expect("mkfifo").success());
    path
}

#[test]
fn a_pipe_that_nobody_reads_costs_lines_which_are_counted() {
    let folder = Folder::new();
    let path = pipe(&folder);
    let mut command = serve(&path, &[]);
    let log = folder.path().join("log");
    command.stderr(File::create(&log).expect("a file"));
    let mut program = Program::start(command);
    let mut client = Client::connect(program.address);
    for _ in 0..100 {
        assert_eq!(client.get("/nothing").status, 404);
    }
    let log = || read_to_string(&log).expect("text");
    wait_until("a word", || log().contains(" lost: nobody reads it"));
    // Somebody comes, and goes on with what is new.
    let (to_tell, told) = channel();
    let reader = std::thread::spawn(move || {
        let pipe = BufReader::new(File::open(path).expect("a pipe"));
        let line = |line: std::io::Result<String>| {
            let _ = to_tell.send(());
            line.expect("text")
        };
        pipe.lines().map(line).collect::<Vec<_>>()
    });
    let mut more = 0;
    wait_until("a reader", || {
        // A line makes it look whether somebody is there.
        assert_eq!(client.get("/more").status, 404);
        more += 1;
        told.try_recv().is_ok()
    });
    program.signal(Signal::TERM);
    assert_eq!(program.wait().0.code(), Some(0));
    let log = log();
    let read = reader.join().expect("lines");
    let (lost, words) = lost(&log);
    assert_eq!(lost + read.len(), 100 + more, "{log}");
    assert!(lost > 0 && words > 0, "{log}");
}

/// More than a pipe and both halves of the queue hold, if a line has 4,000 bytes.
const TOO_MANY: usize = (2 * 1024 + 64) * 1024 / 4000 + 200;

#[test]
fn a_pipe_whose_reader_stalls_holds_up_nobody_and_what_was_lost_is_counted() {
    let folder = Folder::new();
    let path = pipe(&folder);
    // Without that, to open it waits for the other side.
    let pipe = File::options()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(&path);
    let mut pipe = pipe.expect("a pipe");
    let mut command = serve(&path, &[]);
    command.stderr(Stdio::piped());
    let program = Program::start(command);
    let mut client = Client::connect(program.address);
    let target = format!("/{}", "x".repeat(4000));
    for _ in 0..TOO_MANY {
        assert_eq!(client.get(&target).status, 404);
    }
    rustix::fs::fcntl_setfl(&pipe, rustix::fs::OFlags::empty()).expect("a pipe");
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).expect("text");
        text
    });
    let log = String::from_utf8(program.end_with_log()).expect("text");
    let text = reader.join().expect("text");
    let (lost, words) = lost(&log);
    assert!(text.ends_with('\n') && lost > 0, "{log}");
    assert_eq!(lost + targets(&text).count(), TOO_MANY, "{log}");
    assert!(targets(&text).all(|line| line == target));
    assert!(words < 10, "{words} words: once a second is enough");
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_without_room_costs_lines_which_are_counted() {
    let mut command = serve(Path::new("/dev/full"), &[]);
    command.stderr(Stdio::piped());
    let program = Program::start(command);
    let mut client = Client::connect(program.address);
    for _ in 0..50 {
        assert_eq!(client.get("/").status, 200);
    }
    let log = String::from_utf8(program.end_with_log()).expect("text");
    assert_eq!(lost(&log).0, 50, "{log}");
    assert!(log.contains("No space left on device"), "{log}");
}

/// Whether the access log on standard output and the program's on standard error have colours.
fn are_colored(arguments: &[&str], variables: &[(&str, &str)]) -> (bool, bool) {
    let mut command = serve(Path::new("-"), arguments);
    command.env_remove("NO_COLOR");
    command
        .envs(variables.iter().copied())
        .stderr(Stdio::piped());
    let mut program = Program::start(command);
    assert_eq!(Client::connect(program.address).get("/").status, 200);
    let line = program.next_line();
    assert!(line.contains("\"GET / HTTP/1.1\" "), "{line}");
    let log = program.end_with_log();
    (
        line.contains("\u{1b}[32m200\u{1b}[0m "),
        log.contains(&0x1b),
    )
}

#[test]
fn a_pipe_has_colours_if_they_are_asked_for_alone() {
    let forced = [("CLICOLOR_FORCE", "1")];
    let both = [("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")];
    for (arguments, variables, is_colored) in [
        (&[][..], &[][..], false),
        (&[], &forced, true),
        (&[], &both, false),
        (&["--color", "never"], &forced, false),
        (&["--color", "always"], &[], true),
    ] {
        let colored = are_colored(arguments, variables);
        let expected = (is_colored, is_colored);
        assert_eq!(colored, expected, "{arguments:?} {variables:?}");
    }
}

/// What the program writes to a terminal, both of its outputs.
#[cfg(target_os = "linux")]
fn on_a_terminal(variables: &[(&str, &str)]) -> String {
    let (ours, theirs) = crate::terminal::pair();
    let folder = Folder::new();
    let socket = folder.path().join("socket");
    let mut command = command();
    command
        .args(["serve", "--access-log", "-", "--listen"])
        .arg(format!("unix:{}", socket.display()))
        .env_remove("NO_COLOR")
        .env_remove("CLICOLOR")
        .env_remove("CLICOLOR_FORCE")
        .env("TERM", "xterm")
        .envs(variables.iter().copied())
        .stdout(theirs.try_clone().expect("a terminal"))
        .stderr(theirs);
    let mut program = Program::start_unheard(command);
    let mut connected = None;
    wait_until("a socket that listens", || {
        connected = UnixStream::connect(&socket).ok();
        connected.is_some()
    });
    let mut client = Client::from_unix(connected.expect("it listens"));
    assert_eq!(client.get("/").status, 200);
    program.signal(Signal::TERM);
    assert_eq!(program.wait().0.code(), Some(0));
    let mut said = Vec::new();
    // The end of a terminal is an error.
    let _ = File::from(ours).read_to_end(&mut said);
    String::from_utf8(said).expect("text")
}

#[cfg(target_os = "linux")]
#[test]
fn a_terminal_has_colours_unless_somebody_says_no() {
    for (variables, is_colored) in [
        (&[][..], true),
        (&[("NO_COLOR", "1")], false),
        (&[("CLICOLOR", "0")], false),
        (&[("AERYS_COLOR", "never")], false),
        (&[("NO_COLOR", "1"), ("AERYS_COLOR", "always")], true),
    ] {
        let said = on_a_terminal(variables);
        assert!(said.contains(" listening on "), "{said}");
        assert!(said.contains("unix: - - ["), "{said}");
        let status = if is_colored {
            "\u{1b}[32m200\u{1b}[0m"
        } else {
            "200"
        };
        assert!(said.contains(&format!("\" {status} ")), "{said}");
        assert_eq!(said.contains('\u{1b}'), is_colored, "{said}");
    }
}
