//! One file as it is kept for its next requests: what it was when it was looked at, what is said
//! of it, and its bytes, or the open file if they are many.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::source::{PromisedFile, read_exactly};
use super::validators::{FileTime, Validators};
use crate::http::accept::Coding;
use crate::http::gzip::is_compressible;
use crate::http::headers::list_has_token;
use crate::http::{Headers, InvalidField, date};

/// A regular file that was opened.
pub(super) struct OpenFile {
    /// Below the root; what its type is told by.
    pub(super) name: PathBuf,
    pub(super) file: File,
    pub(super) stamp: Stamp,
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    len: u64,
    modified: FileTime,
    /// Of the last change of anything, its rights too. Nobody can set it.
    changed: FileTime,
}

/// A file that was changed that recently may change once more without another time: file systems
/// write down ticks of up to two seconds.
const TICK: Duration = Duration::from_secs(2);

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            len: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// In bytes.
    pub(super) const fn len(&self) -> u64 {
        self.len
    }

    /// Whether it was written earlier, in milliseconds: programs that give a file the time of another
    /// often drop what is finer, and some all that is finer than a second.
    pub(super) const fn is_older(&self, other: &Self) -> bool {
        let (seconds, nanoseconds) = self.modified;
        let (of_other, nanoseconds_of_other) = other.modified;
        seconds < of_other
            || (seconds == of_other
                && nanoseconds != 0
                && nanoseconds / 1_000_000 < nanoseconds_of_other / 1_000_000)
    }

    fn validators(&self, now: SystemTime) -> Validators {
        let (file, is_settled) = ((self.len, self.inode), self.is_settled(now));
        Validators::new(file, self.modified, self.changed, is_settled, now)
    }

    /// Whether each later change of the file shows. The time of writing says nothing about that: it
    /// may lie in the future.
    fn is_settled(&self, now: SystemTime) -> bool {
        let second = u64::try_from(self.changed.0).unwrap_or(0);
        let changed = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(second) + TICK);
        changed.is_some_and(|changed| changed < now)
    }
}

/// What is said of a file beside its validators.
pub(super) struct Description<'s> {
    pub(super) content_type: String,
    pub(super) coding: Option<Coding>,
    /// Whether there is another coding of it.
    pub(super) varies: bool,
    /// Names and values that were set for its path.
    pub(super) set: Vec<(&'s str, &'s [u8])>,
}

impl Description<'_> {
    /// Whether a file of that length is worth being compressed, and nobody said that it must not
    /// be (RFC 9111 section 5.2.2.6).
    pub(super) fn may_be_compressed(&self, len: u64) -> bool {
        let must_not = |(name, value): &(&str, &[u8])| {
            name.eq_ignore_ascii_case("Cache-Control") && list_has_token(value, "no-transform")
        };
        usize::try_from(len).is_ok_and(|len| COMPRESSED_BYTES.contains(&len))
            && is_compressible(&self.content_type)
            && !self.set.iter().any(must_not)
    }

    pub(super) fn fields(
        &self,
        validators: &Validators,
        has_ranges: bool,
    ) -> Result<Headers, InvalidField> {
        let mut fields = Headers::new();
        fields.append("Content-Type", &self.content_type)?;
        if let Some(coding) = self.coding {
            fields.append("Content-Encoding", coding.name())?;
        }
        if self.varies {
            fields.append("Vary", "Accept-Encoding")?;
        }
        if has_ranges {
            fields.append("Accept-Ranges", "bytes")?;
        }
        fields.append("ETag", &validators.etag)?;
        fields.append("Last-Modified", date::format_time(validators.modified))?;
        for (name, value) in &self.set {
            // What else an answer depends on comes on top.
            if name.eq_ignore_ascii_case("Vary") {
                fields.append(name, value)?;
            } else {
                fields.set(name, value)?;
            }
        }
        Ok(fields)
    }
}

/// Lengths of what is compressed. Shorter files fit in one packet anyway (of 1,500 bytes, without
/// the head of a response); while a longer one is compressed, all others would wait.
const COMPRESSED_BYTES: std::ops::RangeInclusive<usize> = 860..=1024 * 1024;

/// Where the bytes are.
#[derive(Clone, Debug)]
pub(super) enum FileContent {
    Memory(Arc<[u8]>),
    /// In a file that several answers share.
    Open(Arc<File>),
}

/// A file as it is sent.
#[derive(Debug)]
pub(super) struct Representation {
    stamp: Stamp,
    /// Whether the stamp tells it from every later state.
    is_settled: bool,
    pub(super) validators: Validators,
    pub(super) content_type: String,
    /// In bytes.
    pub(super) len: u64,
    pub(super) content: FileContent,
    /// Of an answer that sends all of it.
    pub(super) fields: Headers,
}

impl Representation {
    /// Reads the file, if it is no longer than `max_memory_bytes`.
    pub(super) fn load(
        opened: OpenFile,
        description: &Description<'_>,
        max_memory_bytes: usize,
        now: SystemTime,
    ) -> io::Result<Self> {
        let (stamp, content) = read(opened.file, opened.stamp, max_memory_bytes)?;
        let validators = stamp.validators(now);
        let fields = description.fields(&validators, true);
        Ok(Self {
            stamp,
            is_settled: stamp.is_settled(now),
            fields: fields.map_err(io::Error::other)?,
            validators,
            content_type: description.content_type.clone(),
            len: stamp.len(),
            content,
        })
    }

    /// The same meaning in other bytes, which say so.
    pub(super) fn recoded(&self, validators: Validators, fields: Headers, bytes: Vec<u8>) -> Self {
        Self {
            validators,
            fields,
            len: bytes.len() as u64,
            content: FileContent::Memory(bytes.into()),
            content_type: self.content_type.clone(),
            ..*self
        }
    }

    /// All of it, as it was when it was looked at; `None` if it is not so any more.
    pub(super) fn read_again(&self) -> Option<Arc<[u8]>> {
        match &self.content {
            FileContent::Memory(bytes) => Some(Arc::clone(bytes)),
            FileContent::Open(file) => {
                let mut bytes = Vec::new();
                read_exactly(file, 0..self.len, &mut bytes).ok()?;
                self.is_consistent().then(|| bytes.into())
            }
        }
    }

    /// Whether it is right still, as the file is now. Its date may be later than that, once the
    /// calendar was set back.
    pub(super) fn is_still(&self, stamp: &Stamp, now: SystemTime) -> bool {
        self.is_settled && self.stamp == *stamp && self.validators.modified <= now
    }

    /// Its open `file`, to be sent from.
    pub(super) fn promised(&self, file: &Arc<File>) -> PromisedFile {
        PromisedFile {
            file: Arc::clone(file),
            stamp: self.stamp,
        }
    }

    /// Whether what is said of it is true of its bytes. Those in memory do not change; an open file
    /// is asked.
    pub(super) fn is_consistent(&self) -> bool {
        match &self.content {
            FileContent::Memory(_) => true,
            FileContent::Open(file) => {
                let metadata = file.metadata();
                metadata.is_ok_and(|metadata| Stamp::of(&metadata) == self.stamp)
            }
        }
    }

    /// Bytes in memory.
    pub(super) fn bytes(&self) -> usize {
        let content = match &self.content {
            FileContent::Memory(bytes) => bytes.len(),
            FileContent::Open(_) => 0,
        };
        content + self.fields.capacity_bytes()
    }

    /// Files kept open.
    pub(super) fn open_files(&self) -> usize {
        usize::from(matches!(self.content, FileContent::Open(_)))
    }
}

impl Stamp {
    /// Whether what was promised of a file with the stamp `before` can be what it has now: nothing was
    /// written to it, or something behind its end, as to a log. A file that lost its name is
    /// changed, but the same.
    pub(super) fn keeps_promise_of(&self, before: &Self) -> bool {
        self.len > before.len || (self.len, self.modified) == (before.len, before.modified)
    }
}

/// Reads `file`, or keeps it open if it is longer than `max_bytes`, and says what it was then.
fn read(file: File, mut stamp: Stamp, max_bytes: usize) -> io::Result<(Stamp, FileContent)> {
    let mut attempts = 0;
    loop {
        if stamp.len() > max_bytes as u64 {
            return Ok((stamp, FileContent::Open(Arc::new(file))));
        }
        attempts += 1;
        let mut bytes = Vec::new();
        let outcome = read_exactly(&file, 0..stamp.len(), &mut bytes);
        // What was written meanwhile may be half in it.
        let after = Stamp::of(&file.metadata()?);
        if after == stamp || attempts == MAX_ATTEMPTS {
            return outcome.map(|()| (stamp, FileContent::Memory(bytes.into())));
        }
        stamp = after;
    }
}

/// How often a file is read that is being written.
const MAX_ATTEMPTS: usize = 3;

/// The type of a file by its extension. Text is said to be UTF-8, which it is today.
pub(super) fn content_type(name: &Path) -> String {
    let essence = match name.extension().and_then(OsStr::to_str) {
        // The table knows its old name only (RFC 9239).
        Some(extension) if extension.eq_ignore_ascii_case("mjs") => "text/javascript",
        // And not this one (RFC 8878).
        Some(extension) if extension.eq_ignore_ascii_case("zst") => "application/zstd",
        _ => mime_guess::from_path(name)
            .first_raw()
            .unwrap_or("application/octet-stream"),
    };
    // XML says its encoding itself, and JSON has no other.
    if essence.starts_with("text/") && essence != "text/xml" {
        format!("{essence}; charset=utf-8")
    } else {
        essence.to_owned()
    }
}
