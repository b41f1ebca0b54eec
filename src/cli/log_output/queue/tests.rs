//! Led by outputs that do what the test says.

use super::*;
use std::io::{ErrorKind, Write};
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

impl Sink for Led {}

struct Test {
    queue: Arc<Queue>,
    answers: Sender<io::Result<usize>>,
    written: Receiver<Vec<u8>>,
}

impl Test {
    fn new() -> Self {
        Self::of(LOG)
    }

    fn of(purpose: Purpose) -> Self {
        let (answers, to_take) = channel();
        let (to_tell, written) = channel();
        let output = Led {
            answers: to_take,
            written: to_tell,
        };
        let queue = Queue::new(purpose);
        queue.start(output).expect("a thread");
        Self {
            queue,
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
    for _ in 0..LOG.queue_bytes / 1024 {
        test.push(&line);
    }
    test.push("lost\n");
    test.push("as lost\n");
    test.answer(ALL);
    assert_eq!(test.writes(), line.repeat(LOG.queue_bytes / 1024));
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
    test.push(&format!("{}\n", "x".repeat(LOG.queue_bytes)));
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

/// A queue whose losses are told in the program's log.
const OTHER: Purpose = Purpose {
    log: Log::Access,
    thread: "other",
    queue_bytes: 1024,
    gathers: Duration::from_millis(1),
    name: Some("another log"),
    tell_interval: Duration::from_secs(3600),
};

#[test]
fn what_is_told_elsewhere_is_not_among_the_lines_and_counts_once() {
    let test = Test::of(OTHER);
    test.push("first\n");
    assert_eq!(test.writes(), "first\n");
    // It blocks from here on.
    test.push(&format!("{}\n", "x".repeat(1023)));
    test.push("lost\n");
    test.push("as lost\n");
    test.answer(Err(ErrorKind::StorageFull.into()));
    assert_eq!(test.writes().len(), 1024);
    test.answer(ALL);
    test.push("there is room\n");
    assert_eq!(test.writes(), "there is room\n");
    // The first of them was told at once; what came soon behind it waits for its turn.
    let word = test.queue.report().take().word("another log");
    let expected = "2 lines of another log were lost: no storage space";
    assert_eq!(word.as_deref(), Some(expected));
}

#[test]
fn what_the_end_cuts_off_is_lost_too() {
    let test = Test::of(OTHER);
    test.push("one\ntwo\n");
    assert_eq!(test.writes(), "one\ntwo\n");
    test.push("three\n");
    test.queue.wait(Duration::from_millis(1));
    test.queue.lose_rest();
    let word = test.queue.report().take().word("another log");
    let expected = "3 lines of another log were lost: the program ended before";
    assert_eq!(word.as_deref(), Some(expected));
}

/// An output that says when it is opened again.
struct Moved(Sender<Option<Vec<u8>>>);

impl Write for Moved {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.0.send(Some(bytes.to_vec()));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Moved {
    fn reopen(&mut self) -> bool {
        self.0.send(None).is_ok()
    }
}

#[test]
fn an_output_is_opened_again_between_two_lines_or_where_there_are_none() {
    let (to_tell, told) = channel();
    let queue = Queue::new(OTHER);
    queue.start(Moved(to_tell)).expect("a thread");
    let next = || told.recv_timeout(Duration::from_secs(10)).expect("a word");
    for _ in 0..2 {
        queue.push(b"one\n");
        assert_eq!(next(), Some(b"one\n".to_vec()));
        queue.reopen();
        assert_eq!(next(), None);
    }
}

/// An output without room for more than the beginning of a line, until it is opened again.
struct Full {
    told: Sender<Vec<u8>>,
    room: usize,
    /// Whether that is another file then.
    is_moved: bool,
}

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = bytes.len().min(self.room);
        if len == 0 {
            return Err(ErrorKind::StorageFull.into());
        }
        self.room -= len;
        let _ = self.told.send(bytes[..len].to_vec());
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Full {
    fn reopen(&mut self) -> bool {
        self.room = usize::MAX;
        self.is_moved
    }
}

#[test]
fn a_line_that_broke_off_is_ended_where_it_began() {
    for (is_moved, behind) in [(true, &["two\n"][..]), (false, &["\n", "two\n"])] {
        let (told, written) = channel();
        let queue = Queue::new(OTHER);
        let output = Full {
            told,
            room: 2,
            is_moved,
        };
        queue.start(output).expect("a thread");
        queue.push(b"one\n");
        queue.wait(Duration::from_secs(10));
        queue.reopen();
        queue.push(b"two\n");
        for expected in [&["on"], behind].concat() {
            let bytes = written.recv_timeout(Duration::from_secs(10));
            assert_eq!(bytes.expect("it writes"), expected.as_bytes());
        }
    }
}
