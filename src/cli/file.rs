//! A TOML file as tables that know their lines, and what is wrong with it.
//!
//! Knows no key: who reads a table asks for its keys, and what nobody asked for is unknown. What
//! is wrong is noted, and reading goes on: one look shows all that is to be mended.

use std::cell::RefCell;
use std::iter::once;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Something wrong with a file, and in which line, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Problem {
    pub(crate) line: Option<usize>,
    pub(crate) message: String,
}

impl Problem {
    /// As one line: `FILE:LINE: message`.
    pub(crate) fn describe(&self, file: &Path) -> String {
        // A value that is quoted may hold any character: it stays one line, and a terminal's own.
        let message: String = self
            .message
            .chars()
            .map(|c| if c.is_control() { '\u{FFFD}' } else { c })
            .collect();
        match self.line {
            Some(line) => format!("{}:{line}: {message}", file.display()),
            None => format!("{}: {message}", file.display()),
        }
    }
}

/// The text of a file, and what was found wrong with it so far.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    text: &'a str,
    /// Where each line begins, in bytes.
    lines: Vec<usize>,
    problems: RefCell<Vec<Problem>>,
}

impl<'a> Source<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self {
            text,
            lines: once(0).chain(ends.map(|(end, _)| end + 1)).collect(),
            problems: RefCell::default(),
        }
    }

    /// The file as a tree.
    ///
    /// # Errors
    ///
    /// The first place that is no TOML: what follows it would be guesswork.
    pub(crate) fn parse(&self) -> Result<DeTable<'a>, Problem> {
        let error = match DeTable::parse(self.text) {
            Ok(tree) => return Ok(tree.into_inner()),
            Err(error) => error,
        };
        let span = error.span().unwrap_or(0..0);
        let found = self.text.get(span.clone()).unwrap_or_default().trim();
        let line = self.line_at(span.start);
        let message = if error.message() == "duplicate key" {
            format!("duplicate key '{found}'")
        } else {
            let message = error.message().replace('\n', ", ");
            let line = self.text.lines().nth(line - 1).unwrap_or_default().trim();
            format!("{message}, in: {line}")
        };
        Err(Problem {
            line: Some(line),
            message,
        })
    }

    /// Notes what is wrong.
    pub(crate) fn note(&self, line: usize, message: impl Into<String>) {
        self.problems.borrow_mut().push(Problem {
            line: Some(line),
            message: message.into(),
        });
    }

    /// All that was noted, by line.
    pub(crate) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort();
        problems
    }

    /// The line of a byte, counted from 1.
    pub(crate) fn line_at(&self, position: usize) -> usize {
        self.lines.partition_point(|begin| *begin <= position)
    }
}

/// A table whose keys are asked for one by one.
pub(crate) struct Table<'a> {
    pub(crate) source: &'a Source<'a>,
    /// Where it begins.
    pub(crate) line: usize,
    /// What was not asked for yet: the line of the key, the key, the value.
    entries: Vec<(usize, Value<'a>)>,
    asked: Vec<String>,
    found: Vec<Value<'a>>,
}

impl<'a> Table<'a> {
    pub(crate) fn new(source: &'a Source<'a>, line: usize, tree: &'a DeTable<'a>) -> Self {
        let entries = tree.iter().map(|(key, value)| {
            let value = Value::new(source, key.get_ref(), value);
            (source.line_at(key.span().start), value)
        });
        Self {
            source,
            line,
            entries: entries.collect(),
            asked: Vec::new(),
            found: Vec::new(),
        }
    }

    /// The value of `key`, if it is there.
    pub(crate) fn value(&mut self, key: &str) -> Option<Value<'a>> {
        self.asked.push(key.to_owned());
        let index = self.entries.iter().position(|(_, value)| value.key == key);
        let value = index.map(|index| self.entries.swap_remove(index).1);
        self.found.extend(value);
        value
    }

    pub(crate) fn text(&mut self, key: &str) -> Option<Item<'a>> {
        self.value(key)?.text()
    }

    pub(crate) fn boolean(&mut self, key: &str) -> Option<bool> {
        self.value(key)?.boolean()
    }

    /// The tables of `[[key]]`, or none.
    pub(crate) fn tables(&mut self, key: &str) -> impl Iterator<Item = Table<'a>> + use<'a> {
        let value = self.value(key);
        let items = value.and_then(|value| match value.tree {
            DeValue::Array(items) => Some(items.iter().map(|item| value.item(item)).collect()),
            _ => None,
        });
        let is_tables = |items: &Vec<Value<'_>>| {
            let mut tables = items
                .iter()
                .map(|item| matches!(item.tree, DeValue::Table(_)));
            !items.is_empty() && tables.all(|is_table| is_table)
        };
        let items: Option<Vec<Value<'a>>> = items.filter(is_tables);
        if let (Some(value), None) = (value, &items) {
            value.expect("a table in double brackets, [[..]]");
        }
        let items = items.unwrap_or_default().into_iter();
        items.filter_map(|item| item.as_table())
    }

    /// The entries of a table whose keys are anybody's choice.
    pub(crate) fn pairs(&mut self, key: &str) -> Option<Vec<Value<'a>>> {
        let value = self.value(key)?;
        let Some(table) = value.as_table() else {
            value.expect("a table");
            return None;
        };
        let within = Some(value.key);
        let entries = table.entries.into_iter();
        Some(
            entries
                .map(|(_, value)| Value { within, ..value })
                .collect(),
        )
    }

    /// Notes what is wrong with the table as a whole.
    pub(crate) fn note(&self, message: impl Into<String>) {
        self.source.note(self.line, message);
    }

    /// The keys that were asked for.
    pub(crate) fn into_asked(self) -> Vec<String> {
        self.asked
    }

    /// What was asked for and was there.
    pub(crate) fn found(&self) -> &[Value<'a>] {
        &self.found
    }

    /// Whether `key` was asked for and was there, right or wrong.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.found.iter().any(|value| value.key == key)
    }

    /// Notes keys that nobody asked for. `elsewhere` says of a key where it would belong.
    ///
    /// Returns whether there are none: what is missing is worth a word only then, as a key that is
    /// misspelt is missing too.
    pub(crate) fn finish(&self, elsewhere: impl Fn(&str) -> Option<String>) -> bool {
        for (line, Value { key, .. }) in &self.entries {
            let message = elsewhere(key).unwrap_or_else(|| match nearest(key, &self.asked) {
                Some(known) => format!("unknown key '{key}', did you mean '{known}'?"),
                None => format!("unknown key '{key}'"),
            });
            self.source.note(*line, message);
        }
        self.entries.is_empty()
    }
}

/// Longest word that is compared with all that are known, in bytes: none of ours is half as long.
const MAX_COMPARED_BYTES: usize = 64;

/// The one of `known` that `word` may be a slip for.
pub(crate) fn nearest<'k>(word: &str, known: &'k [String]) -> Option<&'k str> {
    if word.len() > MAX_COMPARED_BYTES {
        return None;
    }
    // No two of ours differ in this alone.
    let plain = |word: &str| word.to_lowercase().replace('_', "-");
    let len = word.chars().count();
    // Where the lengths alone differ by more, nothing is to be compared.
    let near = |known: &&String| known.len().abs_diff(len) <= 1.max(known.len() / 4);
    let distances = known.iter().filter(near).map(|known| {
        let distance = strsim::damerau_levenshtein(&plain(word), &plain(known));
        (distance, known)
    });
    let (distance, known) = distances.min()?;
    (distance <= 1.max(known.len() / 4)).then_some(known)
}

/// A value, whose it is and where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Value<'a> {
    pub(crate) source: &'a Source<'a>,
    /// The key of the table in which the key is, if it is one of anybody's choice.
    within: Option<&'a str>,
    pub(crate) key: &'a str,
    pub(crate) line: usize,
    tree: &'a DeValue<'a>,
}

/// A text in a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item<'a> {
    pub(crate) text: &'a str,
    pub(crate) of: Value<'a>,
}

impl Item<'_> {
    /// What it was judged to mean; what is wrong with it is noted.
    pub(crate) fn judge<T>(&self, judged: Result<T, String>) -> Option<T> {
        judged.map_err(|problem| self.of.fail(problem)).ok()
    }
}

impl<'a> Value<'a> {
    fn new(source: &'a Source<'a>, key: &'a str, value: &'a Spanned<DeValue<'a>>) -> Self {
        Self {
            source,
            within: None,
            key,
            line: source.line_at(value.span().start),
            tree: value.get_ref(),
        }
    }

    fn item(&self, item: &'a Spanned<DeValue<'a>>) -> Self {
        Self::new(self.source, self.key, item)
    }

    fn as_table(&self) -> Option<Table<'a>> {
        match self.tree {
            DeValue::Table(table) => Some(Table::new(self.source, self.line, table)),
            _ => None,
        }
    }

    /// Its key in quotes.
    fn name(&self) -> String {
        match self.within {
            Some(within) => format!("'{within}.{}'", self.key),
            None => format!("'{}'", self.key),
        }
    }

    /// Notes what is wrong with it.
    pub(crate) fn fail(&self, problem: impl std::fmt::Display) {
        self.source
            .note(self.line, format!("{}: {problem}", self.name()));
    }

    fn expect(&self, wanted: &str) {
        let found = match self.tree {
            DeValue::String(_) => "text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a fraction",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date or a time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let message = format!("{} has to be {wanted}, not {found}", self.name());
        self.source.note(self.line, message);
    }

    pub(crate) fn text(&self) -> Option<Item<'a>> {
        if let DeValue::String(text) = self.tree {
            return Some(Item { text, of: *self });
        }
        self.expect("text in quotes");
        None
    }

    /// A text, or a number as it would be written on a command line.
    pub(crate) fn text_or_number(&self) -> Option<String> {
        match self.tree {
            DeValue::String(text) => return Some(text.clone().into_owned()),
            DeValue::Integer(number) => {
                if let Ok(number) = i64::from_str_radix(number.as_str(), number.radix()) {
                    return Some(number.to_string());
                }
                self.fail(format!("{number} is too large a number"));
                return None;
            }
            DeValue::Float(number) => return Some(number.as_str().to_owned()),
            _ => self.expect("text in quotes or a number"),
        }
        None
    }

    pub(crate) fn boolean(&self) -> Option<bool> {
        if let DeValue::Boolean(value) = self.tree {
            return Some(*value);
        }
        self.expect("true or false");
        None
    }

    pub(crate) fn items(&self) -> Option<Vec<Value<'a>>> {
        if let DeValue::Array(items) = self.tree {
            return Some(items.iter().map(|item| self.item(item)).collect());
        }
        self.expect("a list of texts, as [\"..\", \"..\"]");
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn syntax(text: &str) -> String {
        let problem = Source::new(text).parse().expect_err("no TOML");
        problem.describe(Path::new("f.toml"))
    }

    #[test]
    fn what_is_no_toml_is_named_with_its_line() {
        assert_eq!(syntax("a = 1\n\na = 2\n"), "f.toml:3: duplicate key 'a'");
        for (text, line) in [("a = 1\nroot = public\n", 2), ("\n\n[host", 3), ("a =", 1)] {
            let said = syntax(text);
            assert!(said.starts_with(&format!("f.toml:{line}: ")), "{said}");
            assert!(!said.contains('\n'), "{said}");
        }
    }

    #[test]
    fn a_byte_is_in_the_line_that_begins_before_it() {
        let source = Source::new("a\n\nb\r\nc");
        let lines: Vec<usize> = (0..8).map(|position| source.line_at(position)).collect();
        assert_eq!(lines, [1, 1, 2, 3, 3, 3, 4, 4]);
    }

    #[test]
    fn a_problem_stays_one_line_whatever_it_quotes() {
        let problem = Problem {
            line: None,
            message: "'a\nb\x1B[2J'".to_owned(),
        };
        let said = problem.describe(Path::new("f"));
        assert_eq!(said, "f: 'a\u{FFFD}b\u{FFFD}[2J'");
    }

    #[test]
    fn the_nearest_key_is_named_if_it_is_near() {
        let known = ["max-message-bytes", "max-frame-bytes", "root"].map(str::to_owned);
        for (word, expected) in [
            ("max-mesage-bytes", Some("max-message-bytes")),
            ("max_message_bytes", Some("max-message-bytes")),
            ("maxFrameBytes", Some("max-frame-bytes")),
            ("roto", Some("root")),
            ("port", None),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, &known), expected, "{word}");
        }
        assert_eq!(nearest("root", &[]), None);
        let long = "a".repeat(MAX_COMPARED_BYTES + 1);
        assert_eq!(nearest(&long, &[long[1..].to_owned()]), None);
    }

    #[test]
    fn all_that_is_wrong_is_found_in_one_reading() {
        let source =
            Source::new("text = 1\nyes = \"no\"\nlist = [\n  \"a\",\n  7,\n]\nother = 0\n[one]\n");
        let tree = source.parse().expect("TOML");
        let mut table = Table::new(&source, 1, &tree);
        assert!(table.text("text").is_none());
        assert!(table.boolean("yes").is_none());
        let list = table.value("list").and_then(|list| list.items());
        let texts = list.iter().flatten().filter_map(Value::text);
        assert_eq!(texts.count(), 1);
        assert_eq!(table.tables("one").count(), 0);
        assert!(!table.finish(|_| None));
        let lines: Vec<_> = source
            .into_problems()
            .iter()
            .map(|problem| problem.describe(Path::new("f")))
            .collect();
        assert_eq!(
            lines,
            [
                "f:1: 'text' has to be text in quotes, not a whole number",
                "f:2: 'yes' has to be true or false, not text",
                "f:5: 'list' has to be text in quotes, not a whole number",
                "f:7: unknown key 'other'",
                "f:8: 'one' has to be a table in double brackets, [[..]], not a table",
            ]
        );
    }
}
