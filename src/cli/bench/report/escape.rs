//! Text within a page, whatever is in it.

use aerys::internals::Printable;
use std::fmt::{self, Display, Write};

/// Something that is no markup, in an element as in an attribute.
#[derive(Debug)]
pub(super) struct Escaped<T>(pub(super) T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Control characters are in no page either, and what turns text around would mislead.
        write!(Escaping(f), "{}", Printable(&self.0))
    }
}

struct Escaping<'a, 'f>(&'a mut fmt::Formatter<'f>);

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            match character {
                '&' => self.0.write_str("&amp;")?,
                '<' => self.0.write_str("&lt;")?,
                '>' => self.0.write_str("&gt;")?,
                '"' => self.0.write_str("&quot;")?,
                '\'' => self.0.write_str("&#39;")?,
                _ => self.0.write_char(character)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_markup_and_nothing_is_invisible() {
        for (text, escaped) in [
            (
                "</title><script>alert(\"1\" & '2')</script>",
                "&lt;/title&gt;&lt;script&gt;alert(&quot;1&quot; &amp; &#39;2&#39;)&lt;/script&gt;",
            ),
            ("a\u{202e}b\0c\nd", "a\\u{202e}b\\0c\\nd"),
            (
                "Gr\u{fc}\u{df}e \u{1f389} \\",
                "Gr\u{fc}\u{df}e \u{1f389} \\",
            ),
        ] {
            assert_eq!(Escaped(text).to_string(), escaped);
        }
    }
}
