//! What somebody in the chat is called: whatever a client sends, something that can be shown.

use serde::Serialize;

/// Characters of a name at most.
const MAX_CHARACTERS: usize = 24;
/// Characters that are looked at: who sends more of what cannot be shown has no name.
const MAX_READ: usize = 10 * MAX_CHARACTERS;
/// Marks on one letter at most; a pile of them would reach into other lines.
const MAX_MARKS: usize = 2;

/// A name of 1 to 24 characters that can be seen, on one line, with single spaces inside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Name(String);

impl Name {
    /// What is left of `text` without all that cannot be shown: controls, what turns text around, what
    /// has no ink. `None`: nothing.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut name = String::new();
        let (mut count, mut mark_count, mut is_spaced) = (0, 0, false);
        for character in text.chars().take(MAX_READ) {
            if character.is_whitespace() {
                is_spaced = count > 0;
                continue;
            }
            if !is_printable(character) {
                continue;
            }
            mark_count = match is_mark(character) {
                true if count == 0 || is_spaced || mark_count == MAX_MARKS => continue,
                true => mark_count + 1,
                false => 0,
            };
            count += 1 + usize::from(is_spaced);
            if count > MAX_CHARACTERS {
                break;
            }
            if is_spaced {
                name.push(' ');
                is_spaced = false;
            }
            name.push(character);
        }
        (!name.is_empty()).then_some(Self(name))
    }
}

/// Whether a character is shown as itself, by what `escape_debug` knows of them.
fn is_printable(character: char) -> bool {
    // Letters by their category, and yet blank.
    if matches!(
        character,
        '\u{115f}' | '\u{1160}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}'
    ) {
        return false;
    }
    // A mark is escaped where it is the first. Quotes are, too, which has other reasons.
    let behind_another = String::from_iter(['a', character]);
    matches!(character, '"' | '\'' | '\\') || behind_another.escape_debug().count() == 2
}

/// Whether a character that is printable is drawn on the one before it.
fn is_mark(character: char) -> bool {
    character.escape_debug().count() > 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Option<String> {
        Name::read(text).map(|name| name.0)
    }

    #[test]
    fn names_of_people_stay_as_they_are() {
        for name in [
            "Anna",
            "J.-L. O'Neill \"JL\" \\o/",
            "Gr\u{fc}\u{df}e",
            "\u{4e16}\u{754c}",
            "\u{928}\u{92e}\u{938}\u{94d}\u{924}\u{947}",
            "Zoe\u{308}",
            "\u{1f389}",
            "<b>a</b>",
        ] {
            assert_eq!(read(name).as_deref(), Some(name));
        }
    }

    #[test]
    fn what_cannot_be_shown_is_left_out() {
        for (text, name) in [
            (" \t a \r\n\u{a0}\u{2028} b ", "a b"),
            ("a\u{0}\u{7}\u{1b}[31mb\u{9b}", "a[31mb"),
            ("\u{202e}a\u{2066}b\u{200f}", "ab"),
            ("\u{feff}a\u{200b}\u{ad}b", "ab"),
            ("\u{301}a", "a"),
            ("a \u{301}b", "a b"),
            (
                "a\u{301}\u{301}\u{301}\u{301}b\u{301}",
                "a\u{301}\u{301}b\u{301}",
            ),
            ("\u{e000}\u{10ffff}a", "a"),
        ] {
            assert_eq!(read(text).as_deref(), Some(name), "{text:?}");
        }
        for nothing in [
            "",
            "  \n",
            "\u{200b}\u{202e}",
            "\u{3164}\u{2800}",
            "\u{301}",
        ] {
            assert_eq!(read(nothing), None, "{nothing:?}");
        }
    }

    #[test]
    fn names_are_cut_off_at_their_longest() {
        assert_eq!(read(&"a".repeat(25)), Some("a".repeat(24)));
        // Where a space would be the last, it is none.
        let long = format!("{} bc", "a".repeat(23));
        assert_eq!(read(&long), Some("a".repeat(23)));
        let hidden = format!("{}a", "\u{200b}".repeat(MAX_READ));
        assert_eq!(read(&hidden), None);
    }

    proptest! {
        #[test]
        fn every_name_is_short_printable_and_read_as_itself(text in "\\PC*|.*|[ \u{301}a\u{202e}]*") {
            if let Some(name) = read(&text) {
                prop_assert!((1..=24).contains(&name.chars().count()));
                prop_assert!(!name.starts_with(' ') && !name.ends_with(' ') && !name.contains("  "));
                prop_assert!(name.chars().all(|character| character == ' ' || is_printable(character)));
                prop_assert_eq!(read(&name), Some(name));
            }
        }
    }
}
