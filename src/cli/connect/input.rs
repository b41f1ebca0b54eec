//! Lines of standard input, read by a thread: what it is (a terminal, a file, a pipe), not every system
//! can wait for together with sockets.

use mio::Waker;
use std::io::{self, BufRead};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

/// So many lines are read before they are wanted: a file is not taken into memory.
const AHEAD: usize = 64;

/// What was read.
#[derive(Debug)]
pub(super) enum Input {
    /// Without what ended it.
    Line(Vec<u8>),
    /// Nothing follows, or why not.
    End(io::Result<()>),
}

/// Begins to read. Each line wakes the poll of `waker`.
///
/// # Errors
///
/// There is no thread for it.
pub(super) fn lines(waker: Arc<Waker>) -> io::Result<Receiver<Input>> {
    let (sender, receiver) = sync_channel(AHEAD);
    let read = move || {
        let wake = |input| {
            // Who does not listen any more has ended.
            sender.send(input).is_ok() && waker.wake().is_ok()
        };
        read_lines(&mut io::stdin().lock(), wake);
    };
    thread::Builder::new()
        .name("input".to_owned())
        .spawn(read)?;
    Ok(receiver)
}

/// Hands out lines until there is none or `take` does not want any.
fn read_lines(source: &mut impl BufRead, take: impl Fn(Input) -> bool) {
    loop {
        let mut line = Vec::new();
        let input = match source.read_until(b'\n', &mut line) {
            Ok(0) => Input::End(Ok(())),
            Ok(_) => {
                let end = [&b"\r\n"[..], b"\n"]
                    .into_iter()
                    .find(|end| line.ends_with(end));
                line.truncate(line.len() - end.map_or(0, <[u8]>::len));
                Input::Line(line)
            }
            Err(error) => Input::End(Err(error)),
        };
        let is_end = matches!(input, Input::End(_));
        if !take(input) || is_end {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    fn read(mut source: &[u8], most: usize) -> Vec<Option<Vec<u8>>> {
        let taken = RefCell::new(Vec::new());
        read_lines(&mut source, |input| {
            taken.borrow_mut().push(match input {
                Input::Line(line) => Some(line),
                Input::End(_) => None,
            });
            taken.borrow().len() < most
        });
        taken.into_inner()
    }

    #[test]
    fn lines_lose_what_ends_them_and_nothing_else() {
        let line = |text: &str| Some(text.as_bytes().to_vec());
        let lines = read(b"a\n\nb\r\n c\rd \n\xFF\nlast", 99);
        let expected = [
            line("a"),
            line(""),
            line("b"),
            line(" c\rd "),
            Some(vec![0xFF]),
            line("last"),
            None,
        ];
        assert_eq!(lines, expected);
        assert_eq!(read(b"", 99), [None]);
    }

    #[test]
    fn who_wants_no_more_is_given_no_more() {
        assert_eq!(read(b"a\nb\nc\n", 2).len(), 2);
    }
}
