//! What went wrong, in words, each with how often.

use std::io::{self, Write};

/// More kinds are told by number alone.
const MAX_KINDS: usize = 8;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    kinds: Vec<(String, u64)>,
    others: u64,
}

impl Troubles {
    pub(super) fn add(&mut self, what: &str) {
        if let Some((_, count)) = self.kinds.iter_mut().find(|(known, _)| known == what) {
            *count += 1;
        } else if self.kinds.len() < MAX_KINDS {
            self.kinds.push((what.to_owned(), 1));
        } else {
            self.others += 1;
        }
    }

    /// The first that went wrong.
    pub(super) fn first(&self) -> Option<&str> {
        self.kinds.first().map(|(what, _)| what.as_str())
    }

    /// A line for each.
    fn lines(&self) -> Vec<String> {
        let mut lines: Vec<_> = self
            .kinds
            .iter()
            .map(|(what, count)| format!("{count} × {what}"))
            .collect();
        if self.others > 0 {
            lines.push(format!("{} × something else", self.others));
        }
        lines
    }

    /// Tells them on standard error.
    pub(super) fn tell(&self) {
        for line in self.lines() {
            // The counts are in the report.
            let _ = writeln!(io::stderr(), "aerys: {line}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_told_once_with_its_count() {
        let mut troubles = Troubles::default();
        assert_eq!(troubles.first(), None);
        for _ in 0..3 {
            troubles.add("refused");
        }
        for number in 0..10 {
            troubles.add(&format!("kind {number}"));
        }
        assert_eq!(troubles.first(), Some("refused"));
        let lines = troubles.lines();
        assert_eq!(lines.len(), MAX_KINDS + 1);
        assert_eq!(lines[0], "3 × refused");
        assert_eq!(lines[MAX_KINDS], "3 × something else");
    }
}
