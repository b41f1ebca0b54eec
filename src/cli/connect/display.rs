//! What is shown, and where: messages on standard output, all else on standard error.

use aerys::internals::Printable;
use aerys::{CloseCode, Message};
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

const DIM: &str = "\x1b[2m";
const RESET: &str = "\x1b[0m";

/// So much of a binary message is shown.
const MOST_SHOWN_BYTES: usize = 64;

/// What is to be shown next.
#[derive(Debug)]
pub(super) struct Display {
    /// Then nothing that a server sends commands it.
    is_terminal: bool,
    is_quiet: bool,
    messages: String,
    pub(super) notes: String,
}

impl Display {
    pub(super) fn new(is_quiet: bool) -> Self {
        Self {
            is_terminal: io::stdout().is_terminal(),
            is_quiet,
            messages: String::new(),
            notes: String::new(),
        }
    }

    pub(super) fn message(&mut self, message: Message<'_>) {
        match message {
            // Who reads it elsewhere wants it as it is.
            Message::Text(text) if !self.is_terminal => self.messages.push_str(text),
            Message::Text(text) => {
                let _ = write!(self.messages, "{}", Printable(text));
            }
            Message::Binary(bytes) => self.messages.push_str(&binary(bytes)),
        }
        self.messages.push('\n');
    }

    /// A word on the connection.
    pub(super) fn note(&mut self, note: &str) {
        if !self.is_quiet {
            let _ = writeln!(self.notes, "{DIM}* {}{RESET}", Printable(note));
        }
    }

    /// Writes what there is.
    ///
    /// # Errors
    ///
    /// Nobody reads standard output.
    pub(super) fn show(&mut self) -> io::Result<()> {
        if !self.notes.is_empty() {
            // Without colours where none are wanted. Who does not read it, does not.
            let _ = anstream::stderr().write_all(self.notes.as_bytes());
            self.notes.clear();
        }
        if self.messages.is_empty() {
            return Ok(());
        }
        let mut output = io::stdout().lock();
        let written = output.write_all(self.messages.as_bytes());
        self.messages.clear();
        written.and_then(|()| output.flush())
    }
}

fn binary(bytes: &[u8]) -> String {
    let mut text = match bytes.len() {
        1 => "binary, 1 byte:".to_owned(),
        len => format!("binary, {len} bytes:"),
    };
    for byte in bytes.iter().take(MOST_SHOWN_BYTES) {
        let _ = write!(text, " {byte:02x}");
    }
    if bytes.len() > MOST_SHOWN_BYTES {
        text.push_str(" ...");
    }
    text
}

/// A round trip, in milliseconds.
pub(super) fn round_trip(time: Duration) -> String {
    format!("{:.3} ms", time.as_secs_f64() * 1000.0)
}

/// A close code, what it means, and the reason if there is one.
pub(super) fn close(code: CloseCode, reason: &str) -> String {
    let meaning = meaning(code);
    match reason {
        "" => format!("{code} ({meaning})"),
        reason => format!("{code} ({meaning}): {}", Printable(reason)),
    }
}

/// RFC 6455 section 7.4 and the registry of close codes.
fn meaning(code: CloseCode) -> &'static str {
    match code.as_u16() {
        1000 => "normal closure",
        1001 => "going away: the server stops",
        1002 => "protocol error",
        1003 => "unsupported data: this kind of message is not taken",
        1005 => "no code was given",
        1006 => "abnormal closure: no Close came",
        1007 => "invalid payload: it does not fit its kind, such as text that is not UTF-8",
        1008 => "policy violation",
        1009 => "message too big",
        1010 => "an extension is missing",
        1011 => "internal error of the server",
        1012 => "the server restarts",
        1013 => "try again later",
        1014 => "bad gateway",
        3000 => "unauthorized",
        3003 => "forbidden",
        3008 => "timeout",
        3001..=3002 | 3004..=3007 | 3009..=3999 => "a registered code",
        4000..=4999 => "a code of the application's own",
        _ => "an unknown code",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn display(is_terminal: bool, is_quiet: bool) -> Display {
        Display {
            is_terminal,
            is_quiet,
            messages: String::new(),
            notes: String::new(),
        }
    }

    #[test]
    fn a_message_commands_no_terminal_and_is_as_it_is_elsewhere() {
        let hostile = "a\u{1b}[2J\nb \u{202e}\u{e4}";
        let mut terminal = display(true, false);
        terminal.message(Message::Text(hostile));
        assert_eq!(terminal.messages, "a\\u{1b}[2J\\nb \\u{202e}\u{e4}\n");
        let mut pipe = display(false, false);
        pipe.message(Message::Text(hostile));
        assert_eq!(pipe.messages, format!("{hostile}\n"));
    }

    #[test]
    fn binary_messages_are_shown_in_hex_as_far_as_that_helps() {
        assert_eq!(binary(b""), "binary, 0 bytes:");
        assert_eq!(binary(b"\x00"), "binary, 1 byte: 00");
        assert_eq!(binary(b"\x00\xFFa"), "binary, 3 bytes: 00 ff 61");
        let long = binary(&[7; 65]);
        assert!(long.starts_with("binary, 65 bytes: 07 07") && long.ends_with(" 07 ..."));
        assert_eq!(long.matches("07").count(), 64);
    }

    #[test]
    fn notes_are_harmless_and_may_be_unwanted() {
        let mut told = display(false, false);
        told.note("ping\u{1b}[2J");
        assert_eq!(told.notes, "\u{1b}[2m* ping\\u{1b}[2J\u{1b}[0m\n");
        assert_eq!(told.messages, "");
        let mut quiet = display(true, true);
        quiet.note("ping");
        assert_eq!(quiet.notes, "");
    }

    #[test]
    fn a_close_code_is_told_with_its_meaning() {
        for (code, reason, told) in [
            (1000, "", "1000 (normal closure)"),
            (
                1001,
                "bye\u{7}",
                "1001 (going away: the server stops): bye\\u{7}",
            ),
            (3000, "", "3000 (unauthorized)"),
            (3999, "", "3999 (a registered code)"),
            (4711, "x", "4711 (a code of the application's own): x"),
            (2999, "", "2999 (an unknown code)"),
        ] {
            assert_eq!(close(CloseCode::from(code), reason), told);
        }
        assert_eq!(round_trip(Duration::from_micros(1234)), "1.234 ms");
    }
}
