//! The program `aerys` in a process of its own.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::wait_until;

/// A running `aerys`; killed on drop.
pub(crate) struct Program {
    pub(crate) address: SocketAddr,
    child: Child,
    output: Option<BufReader<ChildStdout>>,
}

impl Program {
    /// `aerys serve` on a free port, with further arguments.
    pub(crate) fn serve(arguments: &[&str]) -> Self {
        let mut serve = command();
        serve
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(arguments);
        Self::start(serve)
    }

    /// The same with so few descriptors that it runs out of them.
    #[cfg(target_os = "linux")]
    pub(crate) fn serve_with_descriptors(count: u32) -> Self {
        Self::start(command_with_descriptors(count))
    }

    /// The same for the files below `root`.
    #[cfg(target_os = "linux")]
    pub(crate) fn serve_files_with_descriptors(count: u32, root: &str) -> Self {
        let mut command = command_with_descriptors(count);
        command.args(["--root", root]);
        Self::start(command)
    }

    /// The same, with a log that can be [asked for](Self::end_with_log).
    pub(crate) fn serve_logging(level: &str) -> Self {
        let mut serve = command();
        serve
            .args(["serve", "--listen", "127.0.0.1:0", "--log-level", level])
            .stderr(Stdio::piped());
        Self::start(serve)
    }

    /// Stops it gracefully: all that it logged. That must fit in a pipe.
    pub(crate) fn end_with_log(mut self) -> Vec<u8> {
        self.signal(Signal::TERM);
        self.wait();
        let mut log = Vec::new();
        let mut errors = self.child.stderr.take().expect("a pipe");
        errors.read_to_end(&mut log).expect("a pipe");
        log
    }

    /// The same by a command of one's own, which has to say where it listens.
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null());
        Self::start_with_input(command)
    }

    /// The same where the command says what its standard input is.
    pub(crate) fn start_with_input(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
        let address = read_address(&mut output);
        Self {
            address,
            child,
            output: Some(output),
        }
    }

    /// The same where the test does not hear what it prints, and knows where it listens.
    pub(crate) fn start_unheard(mut command: Command) -> Self {
        let child = command.stdin(Stdio::null()).spawn();
        Self {
            address: SocketAddr::from(([0; 4], 0)),
            child: child.expect("the program starts"),
            output: None,
        }
    }

    /// The address of a further `--listen`.
    pub(crate) fn next_address(&mut self) -> SocketAddr {
        read_address(self.output.as_mut().expect("it is heard"))
    }

    /// The next line that it prints.
    pub(crate) fn next_line(&mut self) -> String {
        let mut line = String::new();
        let output = self.output.as_mut().expect("it is heard");
        output.read_line(&mut line).expect("a pipe");
        line
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .expect("a process id");
        kill_process(pid, signal).expect("the program runs");
    }

    /// Its standard error, if it is a pipe.
    pub(crate) fn take_errors(&mut self) -> std::process::ChildStderr {
        self.child.stderr.take().expect("a pipe")
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the end; returns the exit status and how long it took.
    pub(crate) fn wait(&mut self) -> (ExitStatus, Duration) {
        let begun = Instant::now();
        let mut status = None;
        wait_until("the program ends", || {
            status = self.child.try_wait().expect("our child");
            status.is_some()
        });
        (status.expect("it ended"), begun.elapsed())
    }

    /// What the system says of it: a line of that name in `/proc/PID/status`.
    #[cfg(target_os = "linux")]
    pub(crate) fn status(&self, name: &str) -> Vec<String> {
        status_of(&format!("/proc/{}/status", self.child.id()), name)
    }

    /// The same of each of its threads.
    #[cfg(target_os = "linux")]
    pub(crate) fn status_of_threads(&self, name: &str) -> Vec<Vec<String>> {
        let threads = self.of_threads("status");
        let status = threads.iter().map(|status| words_of(status, name));
        status.collect()
    }

    /// A file of each of its threads.
    #[cfg(target_os = "linux")]
    fn of_threads(&self, file: &str) -> Vec<String> {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id()));
        let read = |thread: std::io::Result<std::fs::DirEntry>| {
            // One that has ended meanwhile has none.
            std::fs::read_to_string(thread.expect("it runs").path().join(file)).ok()
        };
        threads.expect("it runs").filter_map(read).collect()
    }

    /// What the flags of one of its descriptors are, as `open` takes them.
    #[cfg(target_os = "linux")]
    pub(crate) fn descriptor_flags(&self, fd: u32) -> u32 {
        let path = format!("/proc/{}/fdinfo/{fd}", self.child.id());
        let flags = status_of(&path, "flags:");
        u32::from_str_radix(&flags[0], 8).expect("octal digits")
    }

    /// How many descriptors it has open.
    #[cfg(target_os = "linux")]
    pub(crate) fn descriptor_count(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id()))
            .expect("it runs")
            .count()
    }

    /// What its threads are called.
    #[cfg(target_os = "linux")]
    pub(crate) fn thread_names(&self) -> Vec<String> {
        let names = self.of_threads("comm").into_iter();
        names.map(|name| name.trim().to_owned()).collect()
    }

    /// Its resident memory in KiB.
    #[cfg(target_os = "linux")]
    pub(crate) fn resident_kib(&self) -> u64 {
        self.status_kib("VmRSS:")
    }

    /// The most that its resident memory ever was, in KiB.
    #[cfg(target_os = "linux")]
    pub(crate) fn peak_resident_kib(&self) -> u64 {
        self.status_kib("VmHWM:")
    }

    #[cfg(target_os = "linux")]
    fn status_kib(&self, name: &str) -> u64 {
        self.status(name)[0].parse().expect("a number")
    }

    /// Processor time that it has used, in ticks of a hundredth of a second.
    #[cfg(target_os = "linux")]
    pub(crate) fn processor_ticks(&self) -> u64 {
        let stat =
            std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it runs");
        // Behind the name in brackets, which may hold anything: fields 14 and 15, counted from 3.
        let (_, fields) = stat.rsplit_once(") ").expect("a name in brackets");
        let ticks = fields
            .split(' ')
            .skip(11)
            .take(2)
            .map(|field| field.parse::<u64>().expect("a number"));
        ticks.sum()
    }

    /// Processor time used during one second must be next to nothing.
    #[cfg(target_os = "linux")]
    pub(crate) fn expect_calm(&self, what: &str) {
        let before = self.processor_ticks();
        std::thread::sleep(Duration::from_secs(1));
        let used = self.processor_ticks() - before;
        assert!(used <= 5, "{what}: {used} of 100 ticks in one second");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The words behind `name` in the text of such a file.
#[cfg(target_os = "linux")]
fn words_of(status: &str, name: &str) -> Vec<String> {
    let value = status.lines().find_map(|line| line.strip_prefix(name));
    let words = value.expect("a line of that name").split_whitespace();
    words.map(str::to_owned).collect()
}

#[cfg(target_os = "linux")]
fn status_of(path: &str, name: &str) -> Vec<String> {
    words_of(&std::fs::read_to_string(path).expect("it runs"), name)
}

pub(crate) fn command() -> Command {
    Command::new(env!("CARGO_BIN_EXE_aerys"))
}

/// `aerys serve` on a free port that may have so few descriptors.
#[cfg(target_os = "linux")]
fn command_with_descriptors(count: u32) -> Command {
    let mut shell = Command::new("sh");
    let script = format!("ulimit -n {count} && exec \"$0\" serve --listen 127.0.0.1:0 \"$@\"");
    shell.args(["-c", &script, env!("CARGO_BIN_EXE_aerys")]);
    shell
}

/// Reads the line that says where the program can be opened.
fn read_address(output: &mut impl BufRead) -> SocketAddr {
    let mut line = String::new();
    output.read_line(&mut line).expect("a pipe");
    let address = line
        .split_once("://")
        .and_then(|(_, rest)| rest.split_once('/'));
    address
        .and_then(|(address, _)| address.parse().ok())
        .unwrap_or_else(|| panic!("no address in {line:?}"))
}

/// What a program that ends by itself says, with its exit status: both outputs, one after the other.
pub(crate) fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = command();
    command.args(arguments);
    run_command(command)
}

/// The same for `aerys serve` that may have so few descriptors: its exit status and its log.
#[cfg(target_os = "linux")]
pub(crate) fn run_with_descriptors(count: u32, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = command_with_descriptors(count);
    command.args(arguments);
    let (status, _, errors) = run_command(command);
    (status, errors)
}

/// The same for a command of one's own.
pub(crate) fn run_command(mut command: Command) -> (Option<i32>, String, String) {
    command.stdin(Stdio::null());
    run_with_input(command)
}

/// The same where the command says what its standard input is.
pub(crate) fn run_with_input(mut command: Command) -> (Option<i32>, String, String) {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut status = None;
    wait_until("the program ends", || {
        status = child.try_wait().expect("our child");
        status.is_some()
    });
    let (mut output, mut errors) = (String::new(), String::new());
    child
        .stdout
        .take()
        .expect("a pipe")
        .read_to_string(&mut output)
        .expect("text");
    child
        .stderr
        .take()
        .expect("a pipe")
        .read_to_string(&mut errors)
        .expect("text");
    (status.expect("it ended").code(), output, errors)
}
