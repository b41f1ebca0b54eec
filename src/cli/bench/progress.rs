//! One line that tells how a run goes, on a terminal alone, and written over by the next.

use super::numbers::{self, float};
use super::recorder::Recorder;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

/// Often enough to be looked at, and too seldom to be measured.
const PAUSE_NANOS: u64 = 250_000_000;

/// The line.
#[derive(Debug)]
pub(crate) struct Progress {
    is_wanted: bool,
    /// Of the run, if it is known.
    duration: Option<Duration>,
    due_nanos: u64,
    /// What stands there, in characters.
    shown_len: usize,
}

impl Progress {
    /// On standard error, if that is a terminal.
    pub(crate) fn new(duration: Option<Duration>) -> Self {
        Self {
            is_wanted: io::stderr().is_terminal(),
            duration,
            due_nanos: 0,
            shown_len: 0,
        }
    }

    /// Shows what was measured by `at_nanos`. A comparison, if it was shown not long ago.
    pub(crate) fn show(&mut self, at_nanos: u64, recorder: &mut Recorder) {
        if self.is_due(at_nanos) {
            recorder.pass_to(at_nanos);
            let line = line(at_nanos, self.duration, recorder);
            self.write(&line);
        }
    }

    /// Shows how many of `count` connections are `open` at `at_nanos`.
    pub(crate) fn connecting(&mut self, at_nanos: u64, open: usize, count: usize) {
        if self.is_due(at_nanos) {
            self.write(&format!("connecting: {open} of {count}"));
        }
    }

    /// Shows how far the warm-up of `all_nanos` is.
    pub(crate) fn warm_up(&mut self, at_nanos: u64, all_nanos: u64) {
        if self.is_due(at_nanos) {
            let at = float(at_nanos) / 1e9;
            let all = numbers::round_time(float(all_nanos));
            self.write(&format!("warming up: {at:.1} s of {all}"));
        }
    }

    /// Whether something is to be shown at `at_nanos`, of whichever clock begins last.
    fn is_due(&mut self, at_nanos: u64) -> bool {
        // A clock that begins anew is behind.
        let is_new = at_nanos + PAUSE_NANOS < self.due_nanos;
        let is_due = self.is_wanted && (is_new || at_nanos >= self.due_nanos);
        if is_due {
            self.due_nanos = at_nanos + PAUSE_NANOS;
        }
        is_due
    }

    /// Leaves an empty line, for what is printed next.
    pub(crate) fn clear(&mut self) {
        if self.shown_len > 0 {
            self.write("");
            let _ = write!(io::stderr(), "\r");
        }
    }

    fn write(&mut self, text: &str) {
        // Spaces over what was longer: not every terminal knows sequences.
        let _ = write!(io::stderr(), "\r{text:<len$}", len = self.shown_len);
        self.shown_len = text.chars().count();
    }
}

/// At most 79 characters, so that it stays one line.
fn line(at_nanos: u64, duration: Option<Duration>, recorder: &Recorder) -> String {
    const BAR: usize = 12;
    let seconds = float(at_nanos) / 1e9;
    let mut text = match duration.map(|duration| duration.as_secs_f64()) {
        Some(all) if all > 0.0 => {
            let share = (seconds / all).min(1.0);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "from 0 to 12"
            )]
            let full = (share * float(BAR as u64)) as usize;
            let bar = format!("{}{}", "#".repeat(full), ".".repeat(BAR - full));
            format!(
                "[{bar}] {seconds:.1} s of {}",
                numbers::round_time(all * 1e9)
            )
        }
        _ => format!("{seconds:.1} s"),
    };
    if let Some((interval, length_s)) = recorder.last_interval() {
        let rate = numbers::rate(float(interval.messages) / length_s);
        let p99 = numbers::time(float(interval.p99_ns));
        text = format!("{text}, {rate}, p99 {p99}");
    }
    match recorder.counts.errors.total() {
        0 => text,
        errors => format!("{text}, errors {}", numbers::count(errors)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::run::ErrorKind;

    const MS: u64 = 1_000_000;

    #[test]
    fn the_line_tells_how_far_it_is_and_how_it_goes() {
        let mut recorder = Recorder::new(&["round trip"], Duration::from_millis(100));
        let of = |at, recorder: &Recorder| line(at, Some(Duration::from_secs(10)), recorder);
        assert_eq!(of(0, &recorder), "[............] 0.0 s of 10 s");
        for number in 0..100 {
            recorder.record(number * MS, 1, &[85_000]);
        }
        recorder.pass_to(100 * MS);
        assert_eq!(
            of(5000 * MS, &recorder),
            "[######......] 5.0 s of 10 s, 1,000/s, p99 85.5 us"
        );
        recorder.error(100 * MS, ErrorKind::Closed);
        assert_eq!(
            of(11_000 * MS, &recorder),
            "[############] 11.0 s of 10 s, 1,000/s, p99 85.5 us, errors 1"
        );
        assert_eq!(
            line(1500 * MS, None, &recorder),
            "1.5 s, 1,000/s, p99 85.5 us, errors 1"
        );
    }

    #[test]
    fn it_is_one_line_even_of_large_numbers() {
        let mut recorder = Recorder::new(&["round trip"], Duration::from_millis(10));
        recorder.record(0, 1_000_000, &[u64::MAX]);
        for _ in 0..1_000_000 {
            recorder.error(0, ErrorKind::Closed);
        }
        recorder.pass_to(10 * MS);
        let line = line(9_999_900 * MS, Some(Duration::from_secs(9999)), &recorder);
        assert!(
            line.contains("p99 36") && line.chars().count() < 80,
            "{line}"
        );
    }
}
