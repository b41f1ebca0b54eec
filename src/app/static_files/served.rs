//! A file in all codings that there are of it.

use std::io;
use std::sync::OnceLock;
use std::time::SystemTime;

use super::file::{Description, OpenFile, Representation};
use super::site::Siblings;
use crate::http::Headers;
use crate::http::accept::{AcceptedCodings, Coding};
use crate::http::gzip;

/// How hard files are compressed: in twice the time of level 1 a third shorter, and only once.
const LEVEL: u8 = 6;

/// See the module.
#[derive(Debug)]
pub(super) struct ServedFile {
    /// As it is.
    pub(super) plain: Representation,
    /// As somebody compressed it beforehand, by coding.
    pub(super) coded: [Option<Representation>; Coding::ALL.len()],
    /// As it is compressed here, if it may be.
    pub(super) gzip: Option<Gzip>,
}

/// A file to be compressed when it is first asked for so.
#[derive(Debug)]
pub(super) struct Gzip {
    /// What is said of it, and no bytes yet.
    unmade: Representation,
    /// None in it: it does not become shorter.
    made: OnceLock<Option<Box<Representation>>>,
}

impl Gzip {
    /// Of the file `plain`, and with what is to be said of it.
    pub(super) fn new(plain: &Representation, description: &Description<'_>) -> io::Result<Self> {
        // Another release of the library may make other bytes of the same file.
        let validators = plain.validators.weakened();
        let fields = description.fields(&validators, false);
        let fields = fields.map_err(io::Error::other)?;
        Ok(Self {
            unmade: plain.recoded(validators, fields, Vec::new()),
            made: OnceLock::new(),
        })
    }

    fn make(&self, plain: &Representation) -> Option<&Representation> {
        let made = self.made.get_or_init(|| {
            let compressed = gzip::compressed(&plain.read_again()?, LEVEL)?;
            let Representation {
                validators, fields, ..
            } = &self.unmade;
            let made = plain.recoded(validators.clone(), fields.clone(), compressed);
            Some(Box::new(made))
        });
        made.as_deref()
    }

    /// What can be sent, or only be spoken of; `None` if it was of no use.
    fn as_is(&self) -> Option<&Representation> {
        match self.made.get() {
            Some(made) => made.as_deref(),
            None => Some(&self.unmade),
        }
    }
}

impl ServedFile {
    /// Whether all of it is right still.
    pub(super) fn is_still(&self, opened: &OpenFile, siblings: &Siblings, now: SystemTime) -> bool {
        let mut pairs = self.coded.iter().zip(siblings);
        self.plain.is_still(&opened.stamp, now)
            && pairs.all(|pair| match pair {
                (Some(coded), Some(sibling)) => coded.is_still(&sibling.stamp, now),
                (None, None) => true,
                _ => false,
            })
    }

    /// The coding that a request is to be answered with; nothing is made for it. Whether one may be
    /// that [has no bytes yet](Self::is_unmade), says `may_be_unmade`.
    pub(super) fn choose(&self, headers: &Headers, may_be_unmade: bool) -> Option<Coding> {
        // Most files have none, and then no preference is read.
        if self.coded.iter().all(Option::is_none) && self.gzip.is_none() {
            return None;
        }
        // Several parts have an envelope, which has no coding, and one field says it of all.
        if headers
            .get_all("range")
            .any(|ranges| ranges.contains(&b','))
        {
            return None;
        }
        AcceptedCodings::of(headers).choose(|coding| {
            self.coded[coding as usize].is_some()
                || (coding == Coding::Gzip
                    // Parts are parts of the file as it is, and only that has a strong tag.
                    && !headers.contains("range")
                    && !headers.contains("if-match")
                    && self.gzip().is_some()
                    && (may_be_unmade || !self.is_unmade(Some(coding))))
        })
    }

    fn gzip(&self) -> Option<&Representation> {
        self.gzip.as_ref()?.as_is()
    }

    /// Whether the file is to be [compressed](Self::compress) before it can be sent in this coding.
    pub(super) fn is_unmade(&self, coding: Option<Coding>) -> bool {
        let gzip = self.gzip.as_ref();
        coding == Some(Coding::Gzip) && gzip.is_some_and(|gzip| gzip.made.get().is_none())
    }

    /// Makes the bytes that are still to be made; `false` if that was of no use.
    pub(super) fn compress(&self) -> bool {
        let gzip = self.gzip.as_ref();
        gzip.is_some_and(|gzip| gzip.make(&self.plain).is_some())
    }

    /// The file in this coding, or as it is.
    pub(super) fn in_coding(&self, coding: Option<Coding>) -> &Representation {
        let coded = coding.and_then(|coding| {
            let coded = self.coded[coding as usize].as_ref();
            coded.or_else(|| self.gzip().filter(|_| coding == Coding::Gzip))
        });
        coded.unwrap_or(&self.plain)
    }

    fn representations(&self) -> impl Iterator<Item = &Representation> {
        let made = self.gzip.as_ref().and_then(|gzip| gzip.made.get());
        let made = made.and_then(Option::as_deref);
        let unmade = self.gzip.as_ref().map(|gzip| &gzip.unmade);
        let coded = self.coded.iter().flatten().chain(unmade).chain(made);
        std::iter::once(&self.plain).chain(coded)
    }

    /// Bytes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.representations().map(Representation::bytes).sum()
    }

    /// Files kept open.
    pub(super) fn open_files(&self) -> usize {
        self.representations().map(Representation::open_files).sum()
    }
}
