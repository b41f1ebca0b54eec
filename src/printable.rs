//! Text for one line of a log, whatever is in it.

use std::fmt::{self, Display, Write};

/// Something of which nothing that is written breaks a line, commands a terminal or turns text around:
/// it may hold what a peer sent, or the name of a file.
#[derive(Debug)]
pub struct Printable<T>(pub T);

impl<T: Display> Display for Printable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

struct Escaping<'a, 'f>(&'a mut fmt::Formatter<'f>);

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            match character {
                // They would be escaped in source code, which this is not.
                '"' | '\'' | '\\' => self.0.write_char(character)?,
                _ => write!(self.0, "{}", character.escape_debug())?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_breaks_a_line_or_commands_a_terminal() {
        let forged =
            "a\r\n[ERROR] b\u{1b}]0;c\u{7}\u{9b}1m\u{202e}d\u{2028}\u{2029}\u{2066}\u{0}\t\u{7f}e";
        assert_eq!(
            Printable(forged).to_string(),
            r"a\r\n[ERROR] b\u{1b}]0;c\u{7}\u{9b}1m\u{202e}d\u{2028}\u{2029}\u{2066}\0\t\u{7f}e"
        );
    }

    #[test]
    fn what_can_be_read_stays_as_it_is() {
        for text in [
            r#""a" in 'b\c'"#,
            "Gr\u{fc}\u{df}e, \u{4e16}\u{754c} \u{1f389}",
            "",
        ] {
            assert_eq!(Printable(text).to_string(), text);
        }
    }
}
