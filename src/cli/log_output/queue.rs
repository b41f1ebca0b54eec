//! Lines that wait for the thread that writes them. Where it cannot follow they are lost, and how many
//! is told as soon as it can.

use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What may wait to be written, in bytes: some thousand lines. As much again may be on its way.
const QUEUE_BYTES: usize = 256 * 1024;
/// When an output is asked again that takes nothing and does not block either.
const RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// Lines of this process that were lost so far.
static LOST_LINES: AtomicU64 = AtomicU64::new(0);

/// How many lines of the log were lost so far, whether anybody was told of them or not.
pub(crate) fn lost_lines() -> u64 {
    LOST_LINES.load(Relaxed)
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    /// There is something to write.
    filled: Condvar,
    /// Everything was written, or tried to be.
    emptied: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    /// One line behind the other, so that their bytes are all that has to be bounded.
    lines: Vec<u8>,
    /// Lines that there was no room for, behind those.
    lost_count: u64,
    /// What was taken last is not written yet.
    is_writing: bool,
    /// Somebody waited in vain, and nothing was written since.
    is_stuck: bool,
}

impl Queue {
    /// A queue and the thread that writes it, which lives as long as the process.
    ///
    /// # Errors
    ///
    /// The system has no thread left.
    pub(super) fn start(output: impl Write + Send + 'static) -> io::Result<Arc<Self>> {
        let queue = Arc::new(Self::default());
        let written = Arc::clone(&queue);
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || written.write_to(output))?;
        Ok(queue)
    }

    /// Queues whole lines, or loses them. Never waits for the output.
    pub(super) fn push(&self, lines: &[u8]) {
        let mut waiting = self.waiting();
        let was_empty = waiting.is_empty();
        // A shorter one that would fit does not overtake.
        if waiting.lost_count > 0 || waiting.lines.len() + lines.len() > QUEUE_BYTES {
            waiting.lost_count += line_count(lines);
            LOST_LINES.fetch_add(line_count(lines), Relaxed);
        } else {
            waiting.lines.extend_from_slice(lines);
        }
        drop(waiting);
        if was_empty {
            self.filled.notify_one();
        }
    }

    /// Waits until everything is written, for that long at most.
    pub(super) fn wait(&self, timeout: Duration) {
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
    pub(super) fn wait_unless_stuck(&self, timeout: Duration) {
        if !self.waiting().is_stuck {
            self.wait(timeout);
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Nothing panics while it is held.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_to(&self, output: impl Write) {
        let is_torn = false;
        let mut output = Output { output, is_torn };
        let mut lines = Vec::new();
        let mut lost = Lost::default();
        loop {
            lost.add(self.take(&mut lines), "it is written too slowly");
            if let Err(failed) = output.write(&lines) {
                LOST_LINES.fetch_add(failed.line_count, Relaxed);
                lost.add(failed.line_count, &failed.error.to_string());
            } else if let Some(word) = lost.word()
                && output.write(word.as_bytes()).is_ok()
            {
                lost = Lost::default();
            }
            self.written();
        }
    }

    /// Waits for lines, and exchanges `lines` for them. How many were lost behind them.
    fn take(&self, lines: &mut Vec<u8>) -> u64 {
        lines.clear();
        let mut waiting = self.waiting();
        while waiting.is_empty() {
            let woken = self.filled.wait(waiting);
            waiting = woken.unwrap_or_else(PoisonError::into_inner);
        }
        waiting.is_writing = true;
        std::mem::swap(&mut waiting.lines, lines);
        std::mem::take(&mut waiting.lost_count)
    }

    /// What was taken is written, or cannot be.
    fn written(&self) {
        let mut waiting = self.waiting();
        waiting.is_writing = false;
        waiting.is_stuck = false;
        self.emptied.notify_all();
    }
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.lost_count == 0
    }
}

/// Where lines are written to.
struct Output<W> {
    output: W,
    /// The last line broke off.
    is_torn: bool,
}

/// Why lines were not written.
struct Failed {
    line_count: u64,
    error: io::Error,
}

impl<W: Write> Output<W> {
    /// Writes whole lines, or as many as can be.
    fn write(&mut self, lines: &[u8]) -> Result<(), Failed> {
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

/// Lines that were lost, and that nobody was told of yet.
#[derive(Default)]
struct Lost {
    line_count: u64,
    /// Why the last of them were.
    reason: String,
}

impl Lost {
    fn add(&mut self, line_count: u64, reason: &str) {
        if line_count > 0 {
            self.line_count += line_count;
            reason.clone_into(&mut self.reason);
        }
    }

    /// The line that says so.
    fn word(&self) -> Option<String> {
        let lines = match self.line_count {
            0 => return None,
            1 => "1 line of the log was lost".to_owned(),
            count => format!("{count} lines of the log were lost"),
        };
        Some(format!("[WARN  aerys] {lines}: {}\n", self.reason))
    }
}

fn line_count(lines: &[u8]) -> u64 {
    lines.split(|byte| *byte == b'\n').count() as u64 - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// An output that the test leads: each write waits for what becomes of it.
    struct Led {
        answers: Receiver<io::Result<usize>>,
        written: Sender<Vec<u8>>,
    }

    impl Write for Led {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.written.send(bytes.to_vec());
            // A test that is over has nothing to say: the thread waits for ever.
            match self.answers.recv() {
                Ok(Ok(len)) => Ok(len.min(bytes.len())),
                Ok(error) => error,
                Err(_) => loop {
                    thread::park();
                },
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Test {
        queue: Arc<Queue>,
        answers: Sender<io::Result<usize>>,
        written: Receiver<Vec<u8>>,
    }

    impl Test {
        fn new() -> Self {
            let (answers, to_take) = channel();
            let (to_tell, written) = channel();
            let output = Led {
                answers: to_take,
                written: to_tell,
            };
            Self {
                queue: Queue::start(output).expect("a thread"),
                answers,
                written,
            }
        }

        fn push(&self, line: &str) {
            self.queue.push(line.as_bytes());
        }

        /// What the thread is about to write.
        fn writes(&self) -> String {
            let bytes = self.written.recv_timeout(Duration::from_secs(10));
            String::from_utf8(bytes.expect("it writes")).expect("text")
        }

        fn answer(&self, answer: io::Result<usize>) {
            self.answers.send(answer).expect("it waits for an answer");
        }
    }

    const ALL: io::Result<usize> = Ok(usize::MAX);

    #[test]
    fn who_logs_does_not_wait_and_is_told_of_what_was_lost() {
        let test = Test::new();
        test.push("first\n");
        assert_eq!(test.writes(), "first\n");
        // It blocks from here on.
        let line = format!("{}\n", "x".repeat(1023));
        for _ in 0..QUEUE_BYTES / 1024 {
            test.push(&line);
        }
        test.push("lost\n");
        test.push("as lost\n");
        test.answer(ALL);
        assert_eq!(test.writes(), line.repeat(QUEUE_BYTES / 1024));
        test.answer(ALL);
        let word = "[WARN  aerys] 2 lines of the log were lost: it is written too slowly\n";
        assert_eq!(test.writes(), word);
        test.push("there is room\n");
        test.answer(ALL);
        assert_eq!(test.writes(), "there is room\n");
    }

    #[test]
    fn a_line_that_is_longer_than_the_queue_is_lost_alone() {
        let test = Test::new();
        test.push(&format!("{}\n", "x".repeat(QUEUE_BYTES)));
        let word = "[WARN  aerys] 1 line of the log was lost: it is written too slowly\n";
        assert_eq!(test.writes(), word);
    }

    #[test]
    fn what_an_output_refuses_is_lost_and_counted_until_it_takes_more() {
        let test = Test::new();
        test.push("one\ntwo\nthree\n");
        assert_eq!(test.writes(), "one\ntwo\nthree\n");
        test.answer(Ok(5));
        assert_eq!(test.writes(), "wo\nthree\n");
        test.answer(Err(ErrorKind::StorageFull.into()));
        test.queue.wait(Duration::from_secs(10));

        test.push("four\n");
        assert_eq!(test.writes(), "\n", "behind what broke off");
        test.answer(Err(ErrorKind::StorageFull.into()));
        test.queue.wait(Duration::from_secs(10));

        test.push("five\n");
        assert_eq!(test.writes(), "\n");
        test.answer(ALL);
        assert_eq!(test.writes(), "five\n");
        test.answer(ALL);
        let word = "[WARN  aerys] 3 lines of the log were lost: no storage space\n";
        assert_eq!(test.writes(), word);
    }

    #[test]
    fn an_output_that_would_block_or_was_interrupted_is_asked_again() {
        let test = Test::new();
        test.push("one\n");
        for kind in [ErrorKind::WouldBlock, ErrorKind::Interrupted] {
            assert_eq!(test.writes(), "one\n");
            test.answer(Err(kind.into()));
        }
        assert_eq!(test.writes(), "one\n");
    }

    #[test]
    fn who_waits_for_an_output_that_blocks_waits_once_and_not_for_ever() {
        let test = Test::new();
        let hour = Duration::from_secs(3600);
        test.push("one\n");
        assert_eq!(test.writes(), "one\n");
        test.queue.wait_unless_stuck(Duration::from_millis(1));
        test.queue.wait_unless_stuck(hour);
        test.push("two\n");
        test.answer(ALL);
        assert_eq!(test.writes(), "two\n");
        test.answer(ALL);
        test.queue.wait_unless_stuck(hour);
        let waiting = test.queue.waiting();
        assert!(waiting.is_empty() && !waiting.is_writing);
    }
}
