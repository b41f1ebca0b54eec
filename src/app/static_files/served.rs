//! A file in all codings that there are of it.

use super::file::{OpenFile, Representation};
use super::site::Siblings;
use crate::http::Headers;
use crate::http::accept::{AcceptedCodings, Coding};

/// See the module.
#[derive(Debug)]
pub(super) struct ServedFile {
    /// As it is.
    pub(super) plain: Representation,
    /// As somebody compressed it beforehand, by coding.
    pub(super) coded: [Option<Representation>; Coding::ALL.len()],
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
        if self.coded.iter().all(Option::is_none) {
            return None;
        }
        AcceptedCodings::of(headers).choose(|coding| self.coded[coding as usize].is_some())
    }

    /// The file in this coding, or as it is.
    pub(super) fn in_coding(&self, coding: Option<Coding>) -> &Representation {
        let coded = coding.and_then(|coding| self.coded[coding as usize].as_ref());
        coded.unwrap_or(&self.plain)
    }

    fn representations(&self) -> impl Iterator<Item = &Representation> {
        std::iter::once(&self.plain).chain(self.coded.iter().flatten())
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
