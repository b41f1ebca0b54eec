//! What servers of the library log, warnings and worse, of all tests in this process: a test looks
//! for words that no other says.

use std::sync::{Mutex, Once, PoisonError};

use log::{LevelFilter, Log, Metadata, Record};

use crate::support::wait_until;

struct Lines(Mutex<Vec<String>>);

static LINES: Lines = Lines(Mutex::new(Vec::new()));

impl Log for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        // A test that failed while it held them has lost none.
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(record.args().to_string());
    }

    fn flush(&self) {}
}

/// Keeps what is logged from here on.
pub(crate) fn keep() {
    static KEPT: Once = Once::new();
    KEPT.call_once(|| {
        log::set_logger(&LINES).expect("nobody else keeps it");
        log::set_max_level(LevelFilter::Warn);
    });
}

/// The lines with these words.
pub(crate) fn lines_with(words: &str) -> Vec<String> {
    let lines = LINES.0.lock().unwrap_or_else(PoisonError::into_inner);
    let is_meant = |line: &&String| line.contains(words);
    lines.iter().filter(is_meant).cloned().collect()
}

/// Waits for a line with these words.
pub(crate) fn wait_for(words: &str) -> String {
    let mut lines = Vec::new();
    wait_until(words, || {
        lines = lines_with(words);
        !lines.is_empty()
    });
    lines.swap_remove(0)
}
