//! Where lines go: a file, which others may move away, a pipe with a name, or standard output.

use crate::cli::log_output::queue::Sink;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// Of a file that is made: nobody but its owner and its group reads who asked for what. The umask takes
/// from that.
const MODE: Mode = Mode::from_raw_mode(0o640);

/// See the module.
#[derive(Debug)]
pub(super) struct Destination {
    /// `None` for standard output.
    path: Option<PathBuf>,
    /// `None`: a pipe that nobody read when it was last tried.
    file: Option<File>,
}

impl Destination {
    /// Standard output.
    ///
    /// # Errors
    ///
    /// It is closed.
    pub(super) fn standard() -> io::Result<Self> {
        // Beside what buffers lines for others: these are whole ones.
        let file = io::stdout().as_fd().try_clone_to_owned()?;
        Ok(Self {
            path: None,
            file: Some(file.into()),
        })
    }

    /// The file at `path`, which is made if it is not there and goes on if it is.
    ///
    /// # Errors
    ///
    /// What keeps it from being opened. That nobody reads a pipe does not: somebody will.
    pub(super) fn file(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: Some(path.to_owned()),
            file: open(path)?,
        })
    }
}

fn open(path: &Path) -> io::Result<Option<File>> {
    // A pipe that nobody reads would be waited for, here and with each line.
    let flags =
        OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags | OFlags::NOCTTY, MODE) {
        Ok(file) => Ok(Some(file.into())),
        Err(Errno::NXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl Write for Destination {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        if self.file.is_none()
            && let Some(path) = &self.path
        {
            self.file = open(path)?;
        }
        match &mut self.file {
            Some(file) => file.write(lines),
            None => Err(io::Error::other("nobody reads it")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Destination {
    fn reopen(&mut self) -> bool {
        let Some(path) = &self.path else {
            return false;
        };
        match open(path) {
            Ok(file) => {
                self.file = file;
                true
            }
            // Lines in the old one are better than none.
            Err(error) => {
                log::warn!(
                    "the access log {} cannot be opened again, and goes on where it was: {error}",
                    path.display()
                );
                false
            }
        }
    }
}
