//! Bodies that come from an open file while the socket takes them.
//!
//! Several answers share one open file, so its own position is never used.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use super::file::Stamp;
use crate::output::{FilePart, Source};

/// Most that one pull reads of a file: what other clients wait for a disk.
pub(super) const MAX_PULL_BYTES: usize = 64 * 1024;

/// Appends `part` of `file`; it is an error if the file is shorter. It is not long: it is reserved.
pub(super) fn read_exactly(file: &File, part: Range<u64>, into: &mut Vec<u8>) -> io::Result<()> {
    let start = into.len();
    let len = usize::try_from(part.end - part.start).map_err(io::Error::other)?;
    into.resize(start + len, 0);
    let read = file.read_exact_at(&mut into[start..], part.start);
    if read.is_err() {
        into.truncate(start);
    }
    read.map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the file became shorter while it was sent",
        ),
        _ => error,
    })
}

/// Appends what comes first in `part`, up to `max` bytes and as many as a pull may read, and takes
/// it off.
fn read_some(
    file: &File,
    part: &mut Range<u64>,
    into: &mut Vec<u8>,
    max: usize,
) -> io::Result<usize> {
    let most = max.min(MAX_PULL_BYTES);
    let len = usize::try_from(part.end - part.start).map_or(most, |len| len.min(most));
    let end = part.start + len as u64;
    read_exactly(file, part.start..end, into)?;
    part.start = end;
    Ok(len)
}

fn file_part<'f>(file: &'f File, part: &Range<u64>) -> Option<FilePart<'f>> {
    (!part.is_empty()).then(|| FilePart {
        file: file.as_fd(),
        offset: part.start,
        len: part.end - part.start,
    })
}

/// A file that several answers share, and what it was when it was promised.
#[derive(Debug)]
pub(super) struct PromisedFile {
    pub(super) file: Arc<File>,
    pub(super) stamp: Stamp,
}

impl PromisedFile {
    /// One that was overwritten meanwhile would be sent as a mixture of two that looks whole. One that
    /// became longer is taken for a log, which could else not be sent at all while it is written.
    fn check(&self) -> io::Result<()> {
        if Stamp::of(&self.file.metadata()?).keeps_promise_of(&self.stamp) {
            return Ok(());
        }
        Err(io::Error::other("the file was changed while it was sent"))
    }
}

/// One part of a file.
#[derive(Debug)]
pub(super) struct FileSource {
    pub(super) file: PromisedFile,
    /// What the response still promises.
    pub(super) part: Range<u64>,
}

impl Source for FileSource {
    fn pull(&mut self, into: &mut Vec<u8>, max: usize) -> io::Result<usize> {
        let len = read_some(&self.file.file, &mut self.part, into, max)?;
        if self.part.is_empty() {
            self.file.check()?;
        }
        Ok(len)
    }

    fn file_part(&self) -> Option<FilePart<'_>> {
        file_part(&self.file.file, &self.part)
    }

    fn check(&self) -> io::Result<()> {
        self.file.check()
    }

    fn skip(&mut self, len: u64) {
        self.part.start += len;
    }
}

/// Several parts of a file and the lines between them.
#[derive(Debug)]
pub(super) struct PartsSource {
    pub(super) file: PromisedFile,
    /// What is still to be sent; none is empty.
    pub(super) pieces: VecDeque<Piece>,
}

#[derive(Debug)]
pub(super) enum Piece {
    Lines(String),
    Part(Range<u64>),
}

impl Source for PartsSource {
    fn pull(&mut self, into: &mut Vec<u8>, max: usize) -> io::Result<usize> {
        let Some(piece) = self.pieces.front_mut() else {
            return Ok(0);
        };
        let (len, is_sent) = match piece {
            Piece::Lines(lines) => {
                let len = lines.len().min(max);
                into.extend(lines.drain(..len).as_str().bytes());
                (len, lines.is_empty())
            }
            Piece::Part(part) => {
                let len = read_some(&self.file.file, part, into, max)?;
                (len, part.is_empty())
            }
        };
        if is_sent {
            self.pieces.pop_front();
            if self.pieces.is_empty() {
                self.file.check()?;
            }
        }
        Ok(len)
    }

    fn file_part(&self) -> Option<FilePart<'_>> {
        match self.pieces.front() {
            Some(Piece::Part(part)) => file_part(&self.file.file, part),
            Some(Piece::Lines(_)) | None => None,
        }
    }

    fn check(&self) -> io::Result<()> {
        self.file.check()
    }

    fn skip(&mut self, len: u64) {
        if let Some(Piece::Part(part)) = self.pieces.front_mut() {
            part.start += len;
            if part.is_empty() {
                self.pieces.pop_front();
            }
        }
    }
}
