//! What is served, and what a path leads to.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustix::io::Errno;

use super::cache::Kept;
use super::file::{Description, OpenFile, Representation, Stamp, content_type};
use super::listing::{self, Listing};
use super::path::FilePath;
use super::root::{OpenError, Root};
use super::rules::Rules;
use super::served::{Gzip, ServedFile};
use crate::http::accept::Coding;

/// The directory, and how its files are served.
pub(super) struct Site {
    pub(super) path: PathBuf,
    pub(super) root: Root,
    pub(super) index: Vec<String>,
    /// By extension, in lower case.
    pub(super) content_types: Vec<(String, String)>,
    pub(super) rules: Rules,
    /// Whether files that were compressed beforehand are looked for.
    pub(super) precompressed: bool,
    /// Whether files are compressed that were not.
    pub(super) compress: bool,
    /// Whether a directory without an index file is listed.
    pub(super) listing: bool,
}

/// What a path leads to, as the file system says now.
#[expect(clippy::large_enum_variant, reason = "handed over once")]
pub(super) enum Opened {
    File(OpenFile, Siblings),
    DirectoryWithoutSlash,
    /// It has no index file.
    Directory(Listing),
}

/// What lies beside a file, by coding: the same, compressed beforehand.
pub(super) type Siblings = [Option<OpenFile>; Coding::ALL.len()];

/// What a path leads to, ready to be sent.
#[expect(clippy::large_enum_variant, reason = "most are files")]
pub(super) enum Found {
    File(ServedFile),
    /// It has something to show, but the path lacks the slash that relative links need.
    DirectoryWithoutSlash,
    /// It has no index file.
    Directory(Listing),
}

impl Found {
    /// The file, if it is one, in this coding.
    pub(super) fn as_file(&self, coding: Option<Coding>) -> Option<&Representation> {
        match self {
            Self::File(file) => Some(file.in_coding(coding)),
            Self::DirectoryWithoutSlash | Self::Directory(_) => None,
        }
    }

    /// Whether it is right still.
    pub(super) fn is_still(&self, opened: &Opened, now: SystemTime) -> bool {
        match (self, opened) {
            (Self::File(file), Opened::File(opened, siblings)) => {
                file.is_still(opened, siblings, now)
            }
            (Self::DirectoryWithoutSlash, Opened::DirectoryWithoutSlash) => true,
            // What is in a directory has times of its own.
            _ => false,
        }
    }
}

impl Kept for Arc<Found> {
    fn bytes(&self) -> usize {
        match &**self {
            Found::File(file) => file.bytes(),
            Found::Directory(listing) => listing.bytes(),
            Found::DirectoryWithoutSlash => 0,
        }
    }

    fn takes_long(&self) -> bool {
        matches!(&**self, Found::Directory(_))
    }

    fn open_files(&self) -> usize {
        match &**self {
            Found::File(file) => file.open_files(),
            Found::Directory(_) | Found::DirectoryWithoutSlash => 0,
        }
    }
}

impl Site {
    /// Asks the file system for what `path` leads to.
    pub(super) fn open(&self, path: &FilePath<'_>) -> Result<Opened, OpenError> {
        let (file, metadata) = self.root.open_existing(path.relative())?;
        if metadata.is_file() {
            // `/file/` is another resource than `/file`, and none.
            if path.has_final_slash() {
                return Err(OpenError::NotThere);
            }
            return self.with_siblings(OpenFile {
                name: path.relative().to_owned(),
                file,
                stamp: Stamp::of(&metadata),
            });
        }
        if !metadata.is_dir() {
            return Err(OpenError::NotThere);
        }
        let mut is_listed = self.listing;
        for index in &self.index {
            let name = path.relative().join(index);
            match self.root.open_existing(&name) {
                Ok((_, metadata)) if !metadata.is_file() => {}
                Ok(_) if !path.has_final_slash() => return Ok(Opened::DirectoryWithoutSlash),
                Ok((file, metadata)) => {
                    return self.with_siblings(OpenFile {
                        name,
                        file,
                        stamp: Stamp::of(&metadata),
                    });
                }
                // Who has an index wants no list, also if it cannot be sent.
                Err(OpenError::NotThere) => {
                    is_listed = is_listed && !listing::has_name(&file, index);
                }
                Err(error) => return Err(error),
            }
        }
        match (is_listed, path.has_final_slash()) {
            (true, true) => {
                Listing::read(&self.root, path.relative(), path.as_key()).map(Opened::Directory)
            }
            (true, false) => Ok(Opened::DirectoryWithoutSlash),
            (false, _) => Err(OpenError::NotThere),
        }
    }

    fn with_siblings(&self, file: OpenFile) -> Result<Opened, OpenError> {
        let mut siblings = Siblings::default();
        let extension = file.name.extension().and_then(OsStr::to_str);
        let is_coded = |coding| extension == Some(extension_of(coding));
        if !self.precompressed || Coding::ALL.into_iter().any(is_coded) {
            return Ok(Opened::File(file, siblings));
        }
        for coding in Coding::ALL {
            let mut name = file.name.clone().into_os_string();
            name.push(".");
            name.push(extension_of(coding));
            siblings[coding as usize] = match self.root.open_existing(Path::new(&name)) {
                Ok((sibling, metadata)) if metadata.is_file() => {
                    let stamp = Stamp::of(&metadata);
                    // One that was forgotten when the file changed is of another state.
                    (!stamp.is_older(&file.stamp)).then(|| OpenFile {
                        name: name.into(),
                        file: sibling,
                        stamp,
                    })
                }
                Err(OpenError::NoDescriptors) => return Err(OpenError::NoDescriptors),
                // Whatever is wrong with it, the file itself is there.
                Ok(_) | Err(_) => None,
            };
        }
        Ok(Opened::File(file, siblings))
    }

    /// Makes ready what was opened at `now`. Files up to `max_memory_bytes` are read.
    pub(super) fn load(
        &self,
        opened: Opened,
        max_memory_bytes: usize,
        now: SystemTime,
    ) -> Result<Found, OpenError> {
        match opened {
            Opened::File(file, siblings) => self
                .load_file(file, siblings, max_memory_bytes, now)
                .map(Found::File)
                .map_err(failed),
            Opened::DirectoryWithoutSlash => Ok(Found::DirectoryWithoutSlash),
            Opened::Directory(listing) => Ok(Found::Directory(listing)),
        }
    }

    fn load_file(
        &self,
        file: OpenFile,
        siblings: Siblings,
        max_memory_bytes: usize,
        now: SystemTime,
    ) -> io::Result<ServedFile> {
        let set = self.rules.of(file.name.as_os_str().as_bytes());
        let own_type = set
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("Content-Type"));
        let own_type = own_type.and_then(|(_, value)| std::str::from_utf8(value).ok());
        let mut description = Description {
            content_type: own_type.map_or_else(|| self.type_of(&file.name), str::to_owned),
            coding: None,
            varies: false,
            set,
        };
        let is_compressed = self.compress
            && siblings[Coding::Gzip as usize].is_none()
            && description.may_be_compressed(file.stamp.len());
        description.varies = is_compressed || siblings.iter().any(Option::is_some);
        let plain = Representation::load(file, &description, max_memory_bytes, now)?;
        let mut coded = [None, None, None];
        for (coding, sibling) in Coding::ALL.into_iter().zip(siblings) {
            let Some(sibling) = sibling else { continue };
            description.coding = Some(coding);
            let sibling = Representation::load(sibling, &description, max_memory_bytes, now)?;
            coded[coding as usize] = Some(sibling);
        }
        description.coding = Some(Coding::Gzip);
        let gzip = is_compressed.then(|| Gzip::new(&plain, &description));
        Ok(ServedFile {
            plain,
            coded,
            gzip: gzip.transpose()?,
        })
    }

    /// The `Content-Type` of a file.
    fn type_of(&self, name: &Path) -> String {
        let extension = name.extension().and_then(OsStr::to_str).unwrap_or_default();
        let mut own = self.content_types.iter().rev();
        match own.find(|(own, _)| own.eq_ignore_ascii_case(extension)) {
            Some((_, content_type)) => content_type.clone(),
            None => content_type(name),
        }
    }
}

/// What a file that was compressed beforehand has behind its name.
const fn extension_of(coding: Coding) -> &'static str {
    match coding {
        Coding::Brotli => "br",
        Coding::Zstd => "zst",
        Coding::Gzip => "gz",
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn failed(error: io::Error) -> OpenError {
    OpenError::Failed(Errno::from_io_error(&error).unwrap_or(Errno::IO))
}
