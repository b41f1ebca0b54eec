//! A file in all codings that there are of it.

use std::io;
use std::sync::OnceLock;

use super::file::{Description, OpenFile, Representation};
use super::site::Siblings;
use super::validators::Validators;
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
    validators: Validators,
    fields: Headers,
    /// None in it: it does not become shorter.
    made: OnceLock<Option<Box<Representation>>>,
}

impl Gzip {
    /// Of the file `plain`, and with what is to be said of it.
    pub(super) fn new(plain: &Representation, description: &Description<'_>) -> io::Result<Self> {
        // Another release of the library may make other bytes of the same file.
        let validators = plain.validators.weakened();
        Ok(Self {
            fields: description
                .fields(&validators, false)
                .map_err(io::Error::other)?,
            validators,
            made: OnceLock::new(),
        })
    }

    fn of(&self, plain: &Representation) -> Option<&Representation> {
        let made = self.made.get_or_init(|| {
            let compressed = gzip::compressed(&plain.read_again()?, LEVEL)?;
            let (validators, fields) = (self.validators.clone(), self.fields.clone());
            Some(Box::new(plain.recoded(validators, fields, compressed)))
        });
        made.as_deref()
    }
}

impl ServedFile {
    /// Whether all of it is right still.
    pub(super) fn is_still(&self, opened: &OpenFile, siblings: &Siblings) -> bool {
        let mut pairs = self.coded.iter().zip(siblings);
        self.plain.is_still(&opened.stamp)
            && pairs.all(|pair| match pair {
                (Some(coded), Some(sibling)) => coded.is_still(&sibling.stamp),
                (None, None) => true,
                _ => false,
            })
    }

    /// The coding that a request is to be answered with.
    pub(super) fn choose(&self, headers: &Headers) -> Option<Coding> {
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
                    && self.gzip().is_some())
        })
    }

    /// The file as it is compressed here; made now, if it was not.
    fn gzip(&self) -> Option<&Representation> {
        self.gzip.as_ref()?.of(&self.plain)
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
        let coded = self.coded.iter().flatten().chain(made);
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
