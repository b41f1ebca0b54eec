//! The log on standard error: entries of one line each, which never hold up who logs.
//!
//! Whoever reads it may stop to (a pipe that is full, a terminal that is halted), be gone, or have no
//! room left: `queue.rs` waits for them, on a thread of its own.

pub(crate) mod queue;

use aerys::internals::Printable;
use env_logger::fmt::ConfigurableFormat;
use env_logger::{Target, WriteStyle};
use log::{LevelFilter, Record};
use queue::Queue;
pub(crate) use queue::lost_lines;
use signal_hook::consts::SIGXFSZ;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::panic::PanicHookInfo;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// How long the end of the program waits for what it logged to be written.
const FINISH_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a panic does: what follows may be the end of the process, without another word.
const PANIC_TIMEOUT: Duration = Duration::from_millis(10);

/// The log, as long as the program runs: what is queued is written when this is dropped, if that does
/// not take long.
#[derive(Debug)]
pub(crate) struct LogOutput {
    queue: Arc<Queue>,
}

impl LogOutput {
    /// Logs to standard error from here on, panics included.
    ///
    /// # Errors
    ///
    /// The system has no thread left.
    pub(crate) fn start(level: LevelFilter) -> io::Result<Self> {
        // A file that may not grow any more (`ulimit -f`) is as one for which there is no space: the
        // write fails then. Else the system would end the process.
        signal_hook::flag::register(SIGXFSZ, Arc::default())?;
        let queue = Queue::new(queue::LOG);
        queue.start(io::stderr())?;
        let colors = anstream::AutoStream::choice(&io::stderr());
        env_logger::Builder::new()
            // All of it: what is too little for `level` does not come here, which may be another later.
            .filter_level(LevelFilter::Trace)
            // The hook tells of panics, and where they were.
            .filter_module("aerys::panics", LevelFilter::Off)
            .target(Target::Pipe(Box::new(Lines(Arc::clone(&queue)))))
            .write_style(WriteStyle::from(colors))
            .format(|line, record| {
                // The one place where all that is logged is made a line of its own.
                let message = Printable(record.args());
                let mut escaped = Record::builder();
                escaped.metadata(record.metadata().clone());
                let format = ConfigurableFormat::default();
                format.format(line, &escaped.args(format_args!("{message}")).build())
            })
            .init();
        log::set_max_level(level);
        let waited_for = Arc::clone(&queue);
        std::panic::set_hook(Box::new(move |panic| {
            log::error!("{}", told(panic));
            waited_for.wait_unless_stuck(PANIC_TIMEOUT);
        }));
        Ok(Self { queue })
    }

    /// A line that is no entry of the log, behind those that are.
    pub(crate) fn say(&self, line: &str) {
        self.queue.push(format!("{line}\n").as_bytes());
    }
}

impl Drop for LogOutput {
    fn drop(&mut self) {
        self.queue.wait(FINISH_TIMEOUT);
    }
}

/// Where entries are written to, each at once.
struct Lines(Arc<Queue>);

impl Write for Lines {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        self.0.push(lines);
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is logged of a panic.
fn told(panic: &PanicHookInfo<'_>) -> String {
    let thread = thread::current();
    let mut told = format!("the thread '{}'", thread.name().unwrap_or("without a name"));
    told.push_str(" panicked");
    if let Some(location) = panic.location() {
        let _ = write!(told, " at {location}");
    }
    let payload = panic.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    told + ": " + text.unwrap_or("with no message")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// In a thread of its own, whose name tells its panic from those of other tests.
    #[test]
    fn a_panic_is_told_with_its_thread_its_place_and_its_message() {
        static TOLD: Mutex<Vec<String>> = Mutex::new(Vec::new());
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if thread::current().name() == Some("to panic") {
                TOLD.lock().expect("a list").push(told(panic));
            } else {
                before(panic);
            }
        }));
        let panics: [fn(); 3] = [
            || panic!("on purpose"),
            || panic!("on {}", "purpose"),
            || std::panic::panic_any(7),
        ];
        for panic in panics {
            let thread = thread::Builder::new().name("to panic".to_owned());
            let thread = thread.spawn(panic).expect("a thread");
            assert!(thread.join().is_err());
        }
        let told = TOLD.lock().expect("a list");
        for (told, message) in told
            .iter()
            .zip(["on purpose", "on purpose", "with no message"])
        {
            let begin = "the thread 'to panic' panicked at src/cli/log_output.rs:";
            assert!(told.starts_with(begin), "{told}");
            assert!(told.ends_with(&format!(": {message}")), "{told}");
        }
        assert_eq!(told.len(), 3);
    }
}
