//! Where lines are written to, whole ones: what cannot be is counted.

use std::io::{self, ErrorKind, Write};
use std::thread;
use std::time::Duration;

use super::line_count;

/// When an output is asked again that takes nothing and does not block either.
const RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// Something that lines can be written to, and that may be a file that others moved away.
pub(crate) trait Sink: Write + Send {
    /// Opens it again, if it is one. Whether another file is written from now on, or the same one anew.
    fn reopen(&mut self) -> bool {
        false
    }
}

impl Sink for io::Stderr {}

/// See the module.
pub(super) struct Output<W> {
    output: W,
    /// The last line broke off.
    is_torn: bool,
}

/// Why lines were not written.
pub(super) struct Failed {
    pub(super) line_count: u64,
    pub(super) error: io::Error,
}

impl<W: Sink> Output<W> {
    pub(super) const fn new(output: W) -> Self {
        Self {
            output,
            is_torn: false,
        }
    }

    /// Between two lines: a file that others moved away is left for a new one.
    pub(super) fn reopen(&mut self) {
        if self.output.reopen() {
            // What broke off did so elsewhere.
            self.is_torn = false;
        }
    }

    /// Writes whole lines, or as many as can be.
    pub(super) fn write(&mut self, lines: &[u8]) -> Result<(), Failed> {
        let mut rest = lines;
        while !rest.is_empty() {
            // Behind a line that broke off the next one begins anew.
            let next = if self.is_torn { b"\n" } else { rest };
            let error = match self.output.write(next) {
                Ok(0) => ErrorKind::WriteZero.into(),
                Ok(_) if self.is_torn => {
                    self.is_torn = false;
                    continue;
                }
                Ok(len) => {
                    rest = &rest[len..];
                    continue;
                }
                Err(error) => error,
            };
            match error.kind() {
                ErrorKind::Interrupted => {}
                // Whoever shares it made it so; to wait for it properly would be more than it is worth.
                ErrorKind::WouldBlock => thread::sleep(RETRY_INTERVAL),
                _ => {
                    let written = &lines[..lines.len() - rest.len()];
                    self.is_torn |= written.last().is_some_and(|last| *last != b'\n');
                    let line_count = line_count(rest);
                    return Err(Failed { line_count, error });
                }
            }
        }
        Ok(())
    }
}
