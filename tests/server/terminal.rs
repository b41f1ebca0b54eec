//! The program on a terminal: a pseudo-terminal whose other side the test has.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::client::PATIENCE;
use crate::support::wait_until;

/// A program on a terminal of its own; killed on drop.
pub(crate) struct OnTerminal {
    keyboard: File,
    screen: Receiver<String>,
    child: Child,
    /// What was shown by now.
    pub(crate) shown: String,
}

/// A terminal: the side of who looks at it, and that of a program. No process that another test starts
/// meanwhile has either, and it becomes the terminal of nobody by being opened.
pub(crate) fn pair() -> (OwnedFd, File) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags).expect("a terminal");
    grantpt(&master).expect("it is ours");
    unlockpt(&master).expect("it is ours");
    let name = ptsname(&master, Vec::new()).expect("it has a name");
    let slave = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(OFlags::NOCTTY.bits().cast_signed())
        .open(name.to_str().expect("text"))
        .expect("its other side");
    (master, slave)
}

impl OnTerminal {
    /// Starts it with the terminal as all of its streams, and as what Ctrl-C is typed at.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let (master, slave) = pair();
        let stream = || Stdio::from(slave.try_clone().expect("a descriptor"));
        // Whose terminal it is: nothing else says so without `unsafe` code.
        let child = Command::new("setsid")
            .args(["--ctty", env!("CARGO_BIN_EXE_aerys")])
            .args(arguments)
            .env_remove("NO_COLOR")
            .env("TERM", "xterm")
            .stdin(stream())
            .stdout(stream())
            .stderr(stream())
            .spawn()
            .expect("the program starts");
        let keyboard = File::from(master);
        let mut master = keyboard.try_clone().expect("a descriptor");
        let (sender, screen) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // Where nobody else has the terminal any more, reading fails.
            while let Ok(len @ 1..) = master.read(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..len]).into_owned();
                if sender.send(text).is_err() {
                    return;
                }
            }
        });
        Self {
            keyboard,
            screen,
            child,
            shown: String::new(),
        }
    }

    /// Types it.
    pub(crate) fn type_in(&mut self, keys: &str) {
        self.keyboard
            .write_all(keys.as_bytes())
            .expect("a terminal");
    }

    /// Reads until `text` is shown.
    pub(crate) fn wait_for(&mut self, text: &str) {
        while !self.shown.contains(text) {
            assert!(self.read(), "no {text:?} in {:?}", self.shown);
        }
    }

    /// Reads to its end.
    pub(crate) fn end(&mut self) -> ExitStatus {
        while self.read() {}
        let mut status = None;
        wait_until("the program ends", || {
            status = self.child.try_wait().expect("our child");
            status.is_some()
        });
        status.expect("it ended")
    }

    /// Reads what comes next. Whether there was anything.
    fn read(&mut self) -> bool {
        match self.screen.recv_timeout(PATIENCE) {
            Ok(text) => self.shown += &text,
            Err(RecvTimeoutError::Disconnected) => return false,
            Err(RecvTimeoutError::Timeout) => panic!("nothing more than {:?}", self.shown),
        }
        true
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
