//! What is in a directory, as a page to look at or as JSON.

use std::borrow::Cow;
use std::ffi::{CStr, OsStr};
use std::fmt::Write as _;
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rustix::fs::{Access, AtFlags, Dir, FileType, accessat, statat};
use rustix::io::Errno;

use super::path::is_served;
use super::root::{OpenError, Root};
use crate::http::accept::prefers;
use crate::http::{Headers, Response};

/// Entries that are listed. To ask for the size of each takes 2 µs, and all others wait.
const MAX_ENTRIES: usize = 10_000;

/// Names that are looked at, those that are not served too.
const MAX_NAMES: usize = 2 * MAX_ENTRIES;

/// What a segment of a path can have as it is (RFC 3986 section 2.3).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// What is in a directory that has no index file.
#[derive(Debug)]
pub(super) struct Listing {
    /// Below the root, with a slash at its end; empty for the root.
    path: Vec<u8>,
    /// Directories first, by name.
    entries: Vec<Entry>,
    /// There is more.
    is_cut: bool,
    page: OnceLock<Arc<[u8]>>,
    json: OnceLock<Arc<[u8]>>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    /// First, for the order.
    kind: Kind,
    name: Vec<u8>,
    /// In bytes.
    size: u64,
    /// In seconds since 1970.
    modified: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Directory,
    File,
}

impl Listing {
    /// Reads the directory that is called `name` below `root`. Only what would be served is
    /// listed: no hidden file, no pipe, no link out of the root.
    pub(super) fn read(root: &Root, name: &Path, path: &[u8]) -> Result<Self, OpenError> {
        let (directory, _) = root.open_existing(name)?;
        let found = Dir::read_from(&directory)?.map(|entry| {
            let entry = entry?;
            let file_name = entry.file_name().to_bytes();
            if !is_served(file_name, false) {
                return Ok(None);
            }
            let linked = || {
                let file_name = Path::new(OsStr::from_bytes(file_name));
                linked(root, &name.join(file_name))
            };
            let found = plain(&directory, entry.file_name(), linked);
            Ok::<_, Errno>(found.map(|(kind, size, modified)| Entry {
                kind,
                name: file_name.to_vec(),
                size,
                modified,
            }))
        });
        let (mut entries, is_cut) = gather(found)?;
        entries.sort_unstable();
        Ok(Self {
            path: path.to_vec(),
            entries,
            is_cut,
            page: OnceLock::new(),
            json: OnceLock::new(),
        })
    }

    /// Fills `response` with the form that a request asks for.
    pub(super) fn answer(&self, headers: &Headers, response: &mut Response) {
        let (body, content_type) = if prefers(headers, "application/json", "text/html") {
            (
                self.json.get_or_init(|| self.to_json().into_bytes().into()),
                "application/json",
            )
        } else {
            let page = self.page.get_or_init(|| self.to_page().into_bytes().into());
            response.set_known_header(
                "Content-Security-Policy",
                b"default-src 'none'; style-src 'unsafe-inline'",
            );
            (page, "text/html; charset=utf-8")
        };
        response
            .end_with_shared(Arc::clone(body))
            .set_header("Content-Type", content_type)
            .add_header("Vary", "Accept");
        // Each change in the directory is one of the list.
        if !response.headers().contains("cache-control") {
            response.set_known_header("Cache-Control", b"no-cache");
        }
    }

    /// Bytes in memory.
    pub(super) fn bytes(&self) -> usize {
        let of_entry = |entry: &Entry| size_of::<Entry>() + entry.name.len();
        let pages = [&self.page, &self.json]
            .into_iter()
            .filter_map(OnceLock::get);
        self.entries.iter().map(of_entry).sum::<usize>()
            + pages.map(|page| page.len()).sum::<usize>()
    }

    fn to_page(&self) -> String {
        let mut page = String::with_capacity(2000 + 200 * self.entries.len());
        let path = String::from_utf8_lossy(&self.path);
        let path = escaped(&path);
        let _ = write!(
            page,
            "{BEFORE_TITLE}/{path}{BEFORE_HEADING}/{path}{BEFORE_ENTRIES}"
        );
        if !self.path.is_empty() {
            page.push_str("<tr><td><a href=\"../\">../</a></td><td></td><td></td></tr>\n");
        }
        for entry in &self.entries {
            let name = String::from_utf8_lossy(&entry.name);
            let (link, name) = (percent_encode(&entry.name, ENCODED), escaped(&name));
            let (slash, size) = match entry.kind {
                Kind::Directory => ("/", String::new()),
                Kind::File => ("", readable(entry.size)),
            };
            let date = date(entry.modified);
            let (day, time) = date.split_at(10);
            let _ = writeln!(
                page,
                "<tr><td><a href=\"{link}{slash}\">{name}{slash}</a></td><td>{size}</td><td>\
                 <time datetime=\"{date}\">{day} {}</time></td></tr>",
                &time[1..6]
            );
        }
        page.push_str("</tbody></table>\n");
        if self.is_cut {
            let _ = writeln!(
                page,
                "<p>There is more: only {} entries are listed.</p>",
                self.entries.len()
            );
        }
        page.push_str("</body></html>\n");
        page
    }

    fn to_json(&self) -> String {
        let mut json = String::with_capacity(100 + 120 * self.entries.len());
        json.push_str("{\"path\":");
        push_json(
            &mut json,
            &format!("/{}", String::from_utf8_lossy(&self.path)),
        );
        let _ = write!(json, ",\"cut\":{},\"entries\":[", self.is_cut);
        for (index, entry) in self.entries.iter().enumerate() {
            json.push_str(if index == 0 { "\n" } else { ",\n" });
            json.push_str("{\"name\":");
            push_json(&mut json, &String::from_utf8_lossy(&entry.name));
            let link = percent_encode(&entry.name, ENCODED);
            let _ = match entry.kind {
                Kind::Directory => write!(json, ",\"href\":\"{link}/\",\"type\":\"directory\""),
                Kind::File => write!(
                    json,
                    ",\"href\":\"{link}\",\"type\":\"file\",\"size\":{}",
                    entry.size
                ),
            };
            let _ = write!(json, ",\"modified\":\"{}\"}}", date(entry.modified));
        }
        json.push_str("\n]}\n");
        json
    }
}

/// What is listed of all names, of which some are nothing that is, and whether there may be more.
fn gather<E>(
    found: impl Iterator<Item = Result<Option<Entry>, E>>,
) -> Result<(Vec<Entry>, bool), E> {
    let mut entries = Vec::new();
    for (count, found) in found.enumerate() {
        if count == MAX_NAMES {
            return Ok((entries, true)); // nobody looked at the rest
        }
        let Some(entry) = found? else { continue };
        if entries.len() == MAX_ENTRIES {
            return Ok((entries, true));
        }
        entries.push(entry);
    }
    Ok((entries, false))
}

/// Whether `directory` has something of that name, be it nothing that can be opened. What cannot be
/// told is yes.
pub(super) fn has_name(directory: &File, name: &str) -> bool {
    let status = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW);
    !matches!(status, Err(Errno::NOENT))
}

/// What a link leads to, if it would be served.
fn linked(root: &Root, name: &Path) -> Option<(Kind, u64, i64)> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = root.look_through(name).ok()?;
    let kind = if metadata.is_dir() {
        Kind::Directory
    } else if metadata.is_file() {
        Kind::File
    } else {
        return None;
    };
    // Whether it may be read, only opening tells.
    root.open_existing(name).ok()?;
    Some((kind, metadata.len(), metadata.mtime()))
}

/// What has this name, if it would be served; what `linked` says, if it is a link.
fn plain(
    directory: &File,
    name: &CStr,
    linked: impl FnOnce() -> Option<(Kind, u64, i64)>,
) -> Option<(Kind, u64, i64)> {
    let status = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    let (kind, access) = match FileType::from_raw_mode(status.st_mode) {
        FileType::Directory => (Kind::Directory, Access::READ_OK | Access::EXEC_OK),
        FileType::RegularFile => (Kind::File, Access::READ_OK),
        FileType::Symlink => return linked(),
        _ => return None,
    };
    accessat(directory, name, access, AtFlags::empty()).ok()?;
    #[allow(
        clippy::useless_conversion,
        reason = "not everywhere are these 64 bits"
    )]
    let modified = i64::from(status.st_mtime);
    Some((kind, u64::try_from(status.st_size).ok()?, modified))
}

/// `text` as it can stand in HTML, between tags and in quotes.
fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>', '"', '\'']) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 20);
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(character),
        }
    }
    Cow::Owned(escaped)
}

/// Appends `text` as a string of JSON (RFC 8259 section 7).
fn push_json(json: &mut String, text: &str) {
    json.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => json.extend(['\\', character]),
            '\0'..='\x1F' => {
                let _ = write!(json, "\\u{:04x}", u32::from(character));
            }
            _ => json.push(character),
        }
    }
    json.push('"');
}

/// A size for people.
fn readable(bytes: u64) -> String {
    let mut unit = 0;
    let mut tenths = u128::from(bytes) * 10;
    while tenths >= 10_240 && unit < UNITS.len() - 1 {
        tenths = (tenths + 512) / 1024;
        unit += 1;
    }
    if unit == 0 {
        return format!("{bytes} B");
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// A time as RFC 3339 writes it, by the civil calendar: years of four digits, and 1970 for what is
/// before.
fn date(seconds: i64) -> String {
    let seconds = seconds.clamp(0, 253_402_300_799);
    let (mut day, second) = (seconds / 86_400, seconds % 86_400);
    // Years that begin in March: the day that leap years have more is their last.
    day += 719_468;
    let (era, day_of_era) = (day / 146_097, day % 146_097);
    let year = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, after) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!(
        "{:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}Z",
        year + era * 400 + after,
        second % 60
    )
}

const BEFORE_TITLE: &str = "<!DOCTYPE html>
<html lang=\"en\"><head><meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width\">
<meta name=\"color-scheme\" content=\"light dark\">
<title>";
const BEFORE_HEADING: &str = "</title>
<style>
body { font: 1rem/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem }
h1 { font-size: 1.3rem; overflow-wrap: anywhere }
table { border-collapse: collapse; width: 100% }
th, td { border-bottom: 1px solid #8884; padding: .2rem .5rem; text-align: left }
td:first-child { overflow-wrap: anywhere }
th:nth-child(2), td:nth-child(2) { text-align: right; white-space: nowrap }
td:nth-child(3) { white-space: nowrap }
a { text-decoration: none }
a:hover { text-decoration: underline }
</style></head><body>
<h1>";
const BEFORE_ENTRIES: &str = "</h1>
<table><thead><tr><th>Name</th><th>Size</th><th>Modified (UTC)</th></tr></thead><tbody>
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (-5, "1970-01-01T00:00:00Z"),
            (784_111_777, "1994-11-06T08:49:37Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_709_164_800, "2024-02-29T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (i64::MAX, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(date(seconds), expected);
        }
        // Against another calendar.
        for day in (0..80_000).step_by(17) {
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(day * 86_400);
            let text = httpdate::fmt_http_date(time);
            let date = date(i64::try_from(day).unwrap() * 86_400);
            assert_eq!((&text[12..16], &text[5..7]), (&date[..4], &date[8..10]));
        }
    }

    #[test]
    fn sizes_are_rounded() {
        for (bytes, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1024 * 1024 - 1, "1.0 MiB"),
            (5 << 30, "5.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(readable(bytes), expected);
        }
    }

    #[test]
    fn names_cannot_leave_their_place() {
        assert_eq!(
            escaped("<a href='x'>&\"").as_ref(),
            "&lt;a href=&#39;x&#39;&gt;&amp;&quot;"
        );
        let mut json = String::new();
        push_json(&mut json, "a\"b\\c\n\u{e4}");
        assert_eq!(json, "\"a\\\"b\\\\c\\u000a\u{e4}\"");
    }

    #[test]
    fn a_list_is_cut_if_there_is_more_that_is_served_or_nobody_looked() {
        // How many are served, not served, and served behind those.
        for (before, others, behind, expected) in [
            (MAX_ENTRIES, 0, 0, false),
            (MAX_ENTRIES, 1, 0, false),
            (MAX_ENTRIES, MAX_NAMES - MAX_ENTRIES, 0, false),
            (MAX_ENTRIES, MAX_NAMES - MAX_ENTRIES, 1, true),
            (MAX_ENTRIES, 0, 1, true),
            (MAX_ENTRIES, 5, 1, true),
            (1, MAX_NAMES - 2, 1, false),
            (1, MAX_NAMES, 1, true),
        ] {
            let entry = || Entry {
                kind: Kind::File,
                name: Vec::new(),
                size: 0,
                modified: 0,
            };
            let served = |count| (0..count).map(|_| Ok::<_, ()>(Some(entry())));
            let others = (0..others).map(|_| Ok(None));
            let all = served(before).chain(others).chain(served(behind));
            let (entries, is_cut) = gather(all).unwrap();
            assert_eq!(is_cut, expected, "{before} {behind}");
            assert!(entries.len() <= MAX_ENTRIES);
        }
    }
}
