//! The access log: a line for each request and each WebSocket, in a file or on standard output.
//!
//! Lines are made on the server's thread, each in the same buffer, and queued; a thread writes them.
//! Whoever does not read them, or has no room for them, costs lines and nothing else.

mod destination;
mod json;
mod text;
mod timestamp;

use crate::cli::log_output::queue::{Log, Purpose, Queue};
use aerys::{AccessLog, FinishedExchange, FinishedWebSocket, Version};
use anstream::{AutoStream, ColorChoice};
use destination::Destination;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use timestamp::Timestamp;

/// Some ten thousand lines, which are gathered for a moment: at a thousand requests a second every
/// tenth of them, and not each, has to wake the thread.
const ACCESS_LOG: Purpose = Purpose {
    log: Log::Access,
    thread: "access log",
    queue_bytes: 1024 * 1024,
    gathers: Duration::from_millis(10),
    name: Some("the access log"),
    tell_interval: Duration::from_secs(1),
};
/// How long the end of the program waits for lines to be written.
const FINISH_TIMEOUT: Duration = Duration::from_secs(1);
/// Stands for standard output.
const STANDARD_OUTPUT: &str = "-";

/// What lines look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// As Apache and nginx have it.
    Common,
    /// The same, with where clients come from and what they are.
    Combined,
    /// An object in each line.
    Json,
}

/// The access log, as long as the program runs: what is queued is written when this is dropped, if that
/// does not take long.
pub(crate) struct AccessOutput {
    queue: Arc<Queue>,
    path: PathBuf,
}

impl AccessOutput {
    /// A log whose lines wait until it is [opened](Self::open).
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            queue: Queue::new(ACCESS_LOG),
            path: path.to_owned(),
        }
    }

    /// What makes lines of that format.
    pub(crate) fn lines(&self, format: Format) -> Lines {
        let is_colored =
            is_standard(&self.path) && AutoStream::choice(&io::stdout()) != ColorChoice::Never;
        Lines {
            queue: Arc::clone(&self.queue),
            format,
            is_colored,
            timestamp: Timestamp::default(),
            line: Vec::new(),
        }
    }

    /// Opens it, as whoever the program is now, who will have to open it again.
    ///
    /// # Errors
    ///
    /// One line that says what failed.
    pub(crate) fn open(&self) -> Result<(), String> {
        let failed = |error: io::Error| {
            let path = self.path.display();
            format!("the access log {path} cannot be opened: {error}")
        };
        let destination = if is_standard(&self.path) {
            Destination::standard()
        } else {
            Destination::file(&self.path)
        };
        let destination = destination.map_err(failed)?;
        self.queue.start(destination).map_err(failed)
    }

    /// What has the file opened again, which others moved away.
    pub(crate) fn reopener(&self) -> impl Fn() + 'static {
        let queue = Arc::clone(&self.queue);
        move || queue.reopen()
    }
}

impl Drop for AccessOutput {
    fn drop(&mut self) {
        self.queue.finish(FINISH_TIMEOUT);
    }
}

fn is_standard(path: &Path) -> bool {
    path == Path::new(STANDARD_OUTPUT)
}

/// Makes lines, and queues them.
pub(crate) struct Lines {
    queue: Arc<Queue>,
    format: Format,
    is_colored: bool,
    timestamp: Timestamp,
    /// Used again for each.
    line: Vec<u8>,
}

/// What a line is about.
#[derive(Clone, Copy)]
enum Finished<'a> {
    Exchange(&'a FinishedExchange<'a>),
    WebSocket(&'a FinishedWebSocket<'a>),
}

/// The status of a request that was never answered, as its client left before: nginx's.
const CLIENT_LEFT: u16 = 499;
/// Of an opening handshake, and of one over HTTP/2.
const SWITCHING_PROTOCOLS: u16 = 101;
const OK: u16 = 200;

impl Finished<'_> {
    fn status(self) -> u16 {
        match self {
            Self::Exchange(exchange) => {
                let status = exchange.status;
                status.map_or(CLIENT_LEFT, |status| status.as_u16())
            }
            Self::WebSocket(websocket) if websocket.request.version() == Some(Version::HTTP_2) => {
                OK
            }
            Self::WebSocket(_) => SWITCHING_PROTOCOLS,
        }
    }
}

impl Lines {
    fn put(&mut self, finished: Finished<'_>) {
        self.line.clear();
        self.timestamp.set(SystemTime::now());
        let (line, timestamp) = (&mut self.line, &self.timestamp);
        match self.format {
            Format::Json => json::put(line, finished, timestamp),
            Format::Common | Format::Combined => {
                let style = text::Style {
                    is_combined: self.format == Format::Combined,
                    is_colored: self.is_colored,
                };
                text::put(line, finished, timestamp, style);
            }
        }
        line.push(b'\n');
        self.queue.push(line);
    }
}

impl AccessLog for Lines {
    fn on_exchange(&mut self, exchange: &FinishedExchange<'_>) {
        self.put(Finished::Exchange(exchange));
    }

    fn on_websocket(&mut self, websocket: &FinishedWebSocket<'_>) {
        self.put(Finished::WebSocket(websocket));
    }
}

impl fmt::Debug for AccessOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessOutput")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
