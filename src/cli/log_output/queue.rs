//! Lines that wait for the thread that writes them. Where it cannot follow they are lost, and how many
//! is told as soon as it can.

mod output;
mod report;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use output::Output;
pub(crate) use output::Sink;
use report::{Lost, Report};

/// A log of the program.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Log {
    /// What it has to say of itself.
    Program,
    /// What was asked of it.
    Access,
}

/// What a queue is for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Purpose {
    /// Which log its lines belong to.
    pub(crate) log: Log,
    /// The name of its thread.
    pub(crate) thread: &'static str,
    /// What may wait to be written, in bytes. As much again may be on its way.
    pub(crate) queue_bytes: usize,
    /// How long the thread lets lines gather before it writes them: in that time nobody has to wake it
    /// once more.
    pub(crate) gathers: Duration,
    /// What is told in the program's log where lines are lost, if not among the lines themselves.
    pub(crate) name: Option<&'static str>,
    /// Least time between two words on that.
    pub(crate) tell_interval: Duration,
}

/// The program's log: some thousand lines, each of which is written at once.
pub(crate) const LOG: Purpose = Purpose {
    log: Log::Program,
    thread: "log",
    queue_bytes: 256 * 1024,
    gathers: Duration::ZERO,
    name: None,
    tell_interval: Duration::ZERO,
};

/// Lines of this process that were lost so far, of each [`Log`].
static LOST_LINES: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];

/// How many lines of each log were lost so far, whether anybody was told of them or not, with the names
/// that the metrics have for them.
pub(crate) fn lost_lines() -> [(&'static str, u64); 2] {
    [(Log::Program, "program"), (Log::Access, "access")]
        .map(|(log, name)| (name, LOST_LINES[log as usize].load(Relaxed)))
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Queue {
    purpose: Purpose,
    waiting: Mutex<Waiting>,
    /// There is something to write.
    filled: Condvar,
    /// Everything was written, or tried to be.
    emptied: Condvar,
    /// What was lost and is told elsewhere.
    report: Mutex<Report>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// One line behind the other, so that their bytes are all that has to be bounded.
    lines: Vec<u8>,
    /// Lines that there was no room for, behind those.
    lost_count: u64,
    /// What was taken last is not written yet.
    is_writing: bool,
    /// Lines that were taken last.
    taken_count: u64,
    /// Somebody waited in vain, and nothing was written since.
    is_stuck: bool,
    /// The output is to be opened again before the next line.
    reopens: bool,
}

impl Queue {
    /// A queue that nobody writes yet.
    pub(crate) fn new(purpose: Purpose) -> Arc<Self> {
        Arc::new(Self {
            purpose,
            waiting: Mutex::default(),
            filled: Condvar::new(),
            emptied: Condvar::new(),
            report: Mutex::default(),
        })
    }

    /// Starts the thread that writes it, which lives as long as the process.
    ///
    /// # Errors
    ///
    /// The system has no thread left.
    pub(crate) fn start(self: &Arc<Self>, output: impl Sink + 'static) -> io::Result<()> {
        let written = Arc::clone(self);
        thread::Builder::new()
            .name(self.purpose.thread.to_owned())
            .spawn(move || written.write_to(output))
            .map(drop)
    }

    /// Queues whole lines, or loses them. Never waits for the output.
    pub(crate) fn push(&self, lines: &[u8]) {
        let mut waiting = self.waiting();
        let was_empty = waiting.is_empty();
        // A shorter one that would fit does not overtake.
        let is_lost =
            waiting.lost_count > 0 || waiting.lines.len() + lines.len() > self.purpose.queue_bytes;
        if is_lost {
            waiting.lost_count += line_count(lines);
            self.count_lost(line_count(lines));
        } else {
            waiting.lines.extend_from_slice(lines);
        }
        drop(waiting);
        if was_empty {
            self.filled.notify_one();
        }
        if is_lost && self.purpose.name.is_some() {
            self.tell_lost(line_count(lines), TOO_SLOW);
        }
    }

    /// Has the output opened again, once what is being written is.
    pub(crate) fn reopen(&self) {
        self.waiting().reopens = true;
        self.filled.notify_one();
    }

    /// Waits until everything is written, for that long at most.
    pub(crate) fn wait(&self, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        let mut waiting = self.waiting();
        while waiting.is_writing || !waiting.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                waiting.is_stuck = true;
                return;
            }
            let woken = self.emptied.wait_timeout(waiting, left);
            waiting = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The same, unless somebody did in vain and nothing was written since.
    pub(crate) fn wait_unless_stuck(&self, timeout: Duration) {
        if !self.waiting().is_stuck {
            self.wait(timeout);
        }
    }

    /// The program ends: waits as [`wait`](Self::wait), and tells at once what was lost, with what is
    /// still queued or on its way.
    pub(crate) fn finish(&self, timeout: Duration) {
        self.wait(timeout);
        self.lose_rest();
        self.tell(|report| Some(report.take()));
    }

    /// What is still queued or on its way is lost.
    fn lose_rest(&self) {
        let mut waiting = self.waiting();
        let mut left = line_count(&std::mem::take(&mut waiting.lines));
        if waiting.is_writing {
            left += waiting.taken_count;
        }
        drop(waiting);
        self.report().add(left, "the program ended before");
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Nothing panics while it is held.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count_lost(&self, line_count: u64) {
        LOST_LINES[self.purpose.log as usize].fetch_add(line_count, Relaxed);
    }

    fn report(&self) -> MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lines were lost, which is told in the program's log, now or later.
    fn tell_lost(&self, line_count: u64, reason: &str) {
        self.report().add(line_count, reason);
        self.tell(|report| report.take_due(self.purpose.tell_interval));
    }

    /// Nothing is held while it is logged.
    fn tell(&self, take: impl FnOnce(&mut Report) -> Option<Lost>) {
        let Some(name) = self.purpose.name else {
            return;
        };
        let lost = take(&mut self.report());
        if let Some(word) = lost.and_then(|lost| lost.word(name)) {
            log::warn!("{word}");
        }
    }

    fn write_to(&self, output: impl Sink) {
        let mut output = Output::new(output);
        let mut lines = Vec::new();
        let mut lost = Lost::default();
        loop {
            let taken = self.take(&mut lines);
            if taken.reopens {
                output.reopen();
            }
            let written = output.write(&lines);
            if let Err(failed) = &written {
                self.count_lost(failed.line_count);
            }
            if self.purpose.name.is_some() {
                // Who queued them has told of those that found no room.
                if let Err(failed) = written {
                    self.tell_lost(failed.line_count, &failed.error.to_string());
                }
                self.tell(|report| report.take_due(self.purpose.tell_interval));
            } else {
                lost.add(taken.lost_count, TOO_SLOW);
                if let Err(failed) = written {
                    lost.add(failed.line_count, &failed.error.to_string());
                } else if let Some(word) = lost.word("the log")
                    && output
                        .write(format!("[WARN  aerys] {word}\n").as_bytes())
                        .is_ok()
                {
                    lost = Lost::default();
                }
            }
            self.written();
        }
    }

    /// Waits for lines, and exchanges `lines` for them.
    fn take(&self, lines: &mut Vec<u8>) -> Taken {
        lines.clear();
        let mut waiting = self.waiting();
        while waiting.is_empty() && !waiting.reopens {
            let due_in = self.report().due_in(self.purpose.tell_interval);
            waiting = match due_in {
                None => {
                    let woken = self.filled.wait(waiting);
                    woken.unwrap_or_else(PoisonError::into_inner)
                }
                Some(left) => {
                    let woken = self.filled.wait_timeout(waiting, left);
                    drop(woken.unwrap_or_else(PoisonError::into_inner));
                    self.tell(|report| report.take_due(self.purpose.tell_interval));
                    self.waiting()
                }
            };
        }
        if !self.purpose.gathers.is_zero() && !waiting.reopens {
            drop(waiting);
            thread::sleep(self.purpose.gathers);
            waiting = self.waiting();
        }
        waiting.is_writing = true;
        std::mem::swap(&mut waiting.lines, lines);
        waiting.taken_count = line_count(lines);
        Taken {
            lost_count: std::mem::take(&mut waiting.lost_count),
            reopens: std::mem::take(&mut waiting.reopens),
        }
    }

    /// What was taken is written, or cannot be.
    fn written(&self) {
        let mut waiting = self.waiting();
        waiting.is_writing = false;
        waiting.is_stuck = false;
        self.emptied.notify_all();
    }
}

/// What was taken with some lines.
struct Taken {
    /// Lines that there was no room for, behind those.
    lost_count: u64,
    reopens: bool,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.lost_count == 0
    }
}

/// Why lines find no room.
const TOO_SLOW: &str = "it is written too slowly";

fn line_count(lines: &[u8]) -> u64 {
    lines.split(|byte| *byte == b'\n').count() as u64 - 1
}
