//! Entity tags and dates of files, and the preconditions that name them (RFC 9110 sections 8.8
//! and 13).

use std::time::{Duration, SystemTime};

use crate::http::Headers;

/// What tells one state of a file from another (RFC 9110 section 8.8).
#[derive(Clone, Debug)]
pub(super) struct Validators {
    /// With its quotes, and the mark of a weak one.
    pub(super) etag: String,
    /// In whole seconds, as a date says it.
    pub(super) modified: SystemTime,
    /// Whether the date is told by the file, and each later state has another: else it tells a cache
    /// what it may use, and nobody which bytes to put together (section 8.8.2.2).
    has_strong_date: bool,
}

/// A point in time as file systems write it down: seconds since 1970, and nanoseconds.
pub(super) type FileTime = (i64, i64);

/// What the preconditions of a request ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Proceed,
    /// 304.
    NotModified,
    /// 412.
    Failed,
}

impl Validators {
    /// Those of a file of that length and inode, by the times of its last writing and of its last
    /// change of anything, as it was at `now`. It is settled if a change from now on would have
    /// another time.
    pub(super) fn new(
        (len, inode): (u64, u64),
        modified: FileTime,
        changed: FileTime,
        is_settled: bool,
        now: SystemTime,
    ) -> Self {
        // Size and time of writing do not tell two files apart that were renamed into place, nor
        // two states if the time was set by hand, as builds and copies do. Nobody sets the other.
        let etag = format!(
            "\"{len:x}-{:x}.{:x}-{:x}.{:x}-{inode:x}\"",
            modified.0, modified.1, changed.0, changed.1
        );
        let now = now.duration_since(SystemTime::UNIX_EPOCH);
        let now = now.map_or(0, |now| now.as_secs());
        let second = u64::try_from(modified.0).unwrap_or(0);
        let strong = Self {
            etag,
            // It must not be later than the `Date` of the answer (section 8.8.2.1).
            modified: SystemTime::UNIX_EPOCH + Duration::from_secs(second.min(now)),
            has_strong_date: second <= now,
        };
        if is_settled {
            return strong;
        }
        // Another one than when it is settled: the bytes may be others by then, and whoever has
        // these is to be sent those.
        let etag = format!("{}-new\"", strong.etag.trim_end_matches('"'));
        Self { etag, ..strong }.weakened()
    }

    /// In the order of RFC 9110 section 13.2.2. A date that is none is as if it were not there.
    pub(super) fn judge(&self, headers: &Headers) -> Verdict {
        let date = |name| {
            headers
                .get_str(name)
                .and_then(|text| httpdate::parse_http_date(text).ok())
        };
        if headers.contains("if-match") {
            if !self.is_listed(headers, "if-match", Comparison::Strong) {
                return Verdict::Failed;
            }
        } else if date("if-unmodified-since").is_some_and(|date| self.modified > date) {
            return Verdict::Failed;
        }
        if headers.contains("if-none-match") {
            if self.is_listed(headers, "if-none-match", Comparison::Weak) {
                return Verdict::NotModified;
            }
        } else if date("if-modified-since").is_some_and(|date| self.modified <= date) {
            return Verdict::NotModified;
        }
        Verdict::Proceed
    }

    /// Whether a `Range` is to be looked at: `If-Range` is not there, or names this state of the file
    /// (section 13.1.5).
    pub(super) fn allow_range(&self, headers: &Headers) -> bool {
        let mut values = headers.get_all("if-range");
        let (value, None) = (values.next(), values.next()) else {
            return false; // of two, one is not this
        };
        let Some(value) = value else { return true };
        if value.starts_with(b"\"") {
            return value == self.etag.as_bytes();
        }
        // One that is weak never matches, and a date only if it is the same and tells enough.
        if !self.has_strong_date {
            return false;
        }
        let date = std::str::from_utf8(value).ok();
        let date = date.and_then(|text| httpdate::parse_http_date(text).ok());
        date == Some(self.modified)
    }

    /// Those of what has the same meaning and other bytes.
    pub(super) fn weakened(&self) -> Self {
        let mark = if self.etag.starts_with("W/") {
            ""
        } else {
            "W/"
        };
        Self {
            etag: format!("{mark}{}", self.etag),
            has_strong_date: false,
            ..*self
        }
    }

    fn is_listed(&self, headers: &Headers, name: &str, comparison: Comparison) -> bool {
        let own_tag = self.etag.strip_prefix("W/");
        let is_own_weak = own_tag.is_some();
        let own_tag = own_tag.unwrap_or(&self.etag).as_bytes();
        headers.get_all(name).any(|value| {
            value == b"*"
                || EntityTags { rest: value }.any(|(is_weak, tag)| {
                    let is_weak = is_weak || is_own_weak;
                    tag == own_tag && (comparison == Comparison::Weak || !is_weak)
                })
        })
    }
}

/// RFC 9110 section 8.8.3.2.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    /// A tag that is marked as weak matches nothing.
    Strong,
    /// The mark does not count.
    Weak,
}

/// The entity tags of a list: whether marked as weak, and the tag in its quotes. A tag may
/// hold commas. Ends at what is no list.
struct EntityTags<'v> {
    rest: &'v [u8],
}

impl<'v> Iterator for EntityTags<'v> {
    type Item = (bool, &'v [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        while let [b' ' | b'\t' | b',', rest @ ..] = self.rest {
            self.rest = rest;
        }
        let (is_weak, text) = self
            .rest
            .strip_prefix(b"W/")
            .map_or((false, self.rest), |text| (true, text));
        let inner_len = text
            .strip_prefix(b"\"")?
            .iter()
            .position(|byte| *byte == b'"')?;
        let (tag, rest) = text.split_at(inner_len + 2);
        self.rest = rest;
        Some((is_weak, tag))
    }
}
