//! The program's outputs go where nobody reads, or nothing has room: no client notices.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use rustix::process::Signal;

use crate::client::Client;
use crate::configuration::Folder;
use crate::program::{self, Program};
use crate::support::wait_until;

/// `aerys serve` whose log goes there.
fn serve(log: impl Into<Stdio>) -> Program {
    let mut command = program::command();
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--log-level", "debug"])
        .stderr(log);
    Program::start(command)
}

/// Clients that come and go, each of whom is good for two lines.
fn come_and_go(program: &Program, clients: usize) {
    for _ in 0..clients {
        let _ = Client::connect(program.address);
    }
}

fn assert_serves(program: &Program) {
    assert_eq!(Client::connect(program.address).get("/").status, 200);
}

fn is_of_a_client(line: &str) -> bool {
    line.contains(" connected from ") || line.ends_with(" is gone")
}

/// More than a pipe holds, and the queue twice, if two lines have 100 bytes.
const TOO_MANY: usize = (64 + 2 * 256) * 1024 / 100;

/// F30.
#[test]
fn a_log_that_nobody_reads_holds_up_nobody_and_what_was_lost_is_counted() {
    let (log, end) = std::io::pipe().expect("a pipe");
    let mut program = serve(end);
    come_and_go(&program, TOO_MANY);
    assert_serves(&program);
    // From now on somebody does.
    let (to_tell, told) = channel();
    let reader = std::thread::spawn(move || {
        let (mut read, mut lost) = (0, 0);
        for line in BufReader::new(log).lines() {
            let line = line.expect("text");
            let word = line.strip_suffix(" lines of the log were lost: it is written too slowly");
            if let Some((_, count)) = word.and_then(|word| word.rsplit_once(' ')) {
                lost += count.parse::<usize>().expect("a count");
                let _ = to_tell.send(());
            }
            read += usize::from(is_of_a_client(&line));
        }
        (read, lost)
    });
    let patience = Duration::from_secs(10);
    told.recv_timeout(patience)
        .expect("a word on what was lost");
    program.signal(Signal::TERM);
    assert_eq!(program.wait().0.code(), Some(0));
    let (read, lost) = reader.join().expect("a count");
    assert_eq!(read + lost, 2 * (TOO_MANY + 1));
}

#[test]
fn a_log_that_nobody_reads_does_not_hold_up_the_end() {
    let (log, end) = std::io::pipe().expect("a pipe");
    let mut program = serve(end);
    come_and_go(&program, TOO_MANY);
    program.signal(Signal::TERM);
    assert_eq!(program.wait().0.code(), Some(0));
    drop(log);
}

/// F30.
#[test]
fn a_log_whose_reader_is_gone_costs_nothing() {
    let (log, end) = std::io::pipe().expect("a pipe");
    let mut program = serve(end);
    drop(log);
    come_and_go(&program, 100);
    assert_serves(&program);
    #[cfg(target_os = "linux")]
    {
        let before = program.processor_ticks();
        std::thread::sleep(Duration::from_millis(300));
        assert!(program.processor_ticks() - before < 10, "it spins");
    }
    program.signal(Signal::TERM);
    assert_eq!(program.wait().0.code(), Some(0));
}

/// F20.
#[cfg(target_os = "linux")]
#[test]
fn a_log_for_which_there_is_no_space_left_costs_nothing() {
    let full = File::options().write(true).open("/dev/full");
    let mut program = serve(full.expect("Linux has it"));
    come_and_go(&program, 100);
    assert_serves(&program);
    program.signal(Signal::TERM);
    assert_eq!(program.wait().0.code(), Some(0));
}

/// F20. The system ends a process that has a file grow beyond `ulimit -f`, unless it minds.
#[test]
fn a_log_that_may_not_grow_any_more_costs_nothing() {
    let folder = Folder::new();
    let path = folder.path().join("log");
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "ulimit -f 8 && exec \"$0\" \"$@\""])
        .args([env!("CARGO_BIN_EXE_aerys"), "serve"])
        .args(["--listen", "127.0.0.1:0", "--log-level", "debug"])
        .stderr(File::create(&path).expect("our folder"));
    let mut program = Program::start(shell);
    come_and_go(&program, 200);
    assert_serves(&program);
    program.signal(Signal::TERM);
    assert_eq!(program.wait().0.code(), Some(0));
    let log = std::fs::read_to_string(&path).expect("text");
    assert!(!log.contains("stopping"), "{log}");
}

#[test]
fn what_is_logged_last_is_written_at_the_end_however_it_comes() {
    let program = Program::serve_logging("info");
    let log = String::from_utf8(program.end_with_log()).expect("text");
    let last = log.lines().last().expect("a word");
    assert!(last.contains("] stopped after "), "{log}");
    assert!(log.ends_with(", 0 cut at the stop timeout\n"), "{log}");

    let program = Program::serve_logging("info");
    let address = format!("{}", program.address);
    let (status, _, log) = program::run(&["serve", "--listen", &address]);
    assert_eq!(status, Some(1));
    assert!(
        log.lines().last().expect("a word").starts_with("aerys: "),
        "{log}"
    );
}

#[test]
fn nobody_there_for_a_word_on_arguments_is_no_panic() {
    let (log, end) = std::io::pipe().expect("a pipe");
    drop(log);
    let mut command = program::command();
    let arguments = ["serve", "--config", "/nowhere/at/all.toml"];
    command.args(arguments).stderr(end);
    let status = command.status().expect("it starts");
    assert_eq!(status.code(), Some(2));
}

/// F30.
#[test]
fn a_standard_output_that_nobody_reads_does_not_hold_up_the_start() {
    let (output, mut end) = std::io::pipe().expect("a pipe");
    // As much as a pipe holds, unless somebody changed that: more would not return.
    #[cfg(target_os = "linux")]
    end.write_all(&vec![b' '; 64 * 1024]).expect("a pipe");
    let folder = std::env::temp_dir().join(format!("aerys-output-{}", std::process::id()));
    let address = format!("unix:{}", folder.display());
    let mut command = program::command();
    command.args(["serve", "--listen", &address]).stdout(end);
    let mut child = Program::start_unheard(command);
    wait_until("it serves", || {
        let Ok(mut stream) = UnixStream::connect(&folder) else {
            return false;
        };
        stream
            .write_all(b"GET / HTTP/1.0\r\n\r\n")
            .expect("a socket");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("text");
        answer.starts_with("HTTP/1.1 200 ")
    });
    // Nor the end.
    child.signal(Signal::TERM);
    assert_eq!(child.wait().0.code(), Some(0));
    drop(output);
}
