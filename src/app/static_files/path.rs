//! The path of a request as names below the root.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crate::http::target::percent_decode;

/// See the module. Of plain names only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FilePath<'p> {
    /// Decoded, without the leading slash; with the final one, if there is one.
    whole: Cow<'p, [u8]>,
}

impl<'p> FilePath<'p> {
    /// `None` if no file could be meant, or two things could.
    pub(super) fn parse(path: &'p str) -> Option<Self> {
        let path = path.strip_prefix('/')?;
        let names = path.strip_suffix('/').unwrap_or(path);
        if path.is_empty() {
            return Some(Self {
                whole: Cow::Borrowed(b""),
            });
        }
        if !path.contains('%') {
            let mut names = names.split('/').enumerate();
            return names
                .all(|(index, name)| is_served(name.as_bytes(), index == 0))
                .then_some(Self {
                    whole: Cow::Borrowed(path.as_bytes()),
                });
        }
        let mut whole = Vec::with_capacity(path.len());
        for (index, name) in names.split('/').enumerate() {
            // Decoded once and each segment for itself: `%2e%2e` is a dot segment, `..%2f` a
            // name with a slash in it, `%252e` a name with a percent sign.
            let name = percent_decode(name);
            if !is_served(&name, index == 0) {
                return None;
            }
            if index > 0 {
                whole.push(b'/');
            }
            whole.extend_from_slice(&name);
        }
        if path.ends_with('/') {
            whole.push(b'/');
        }
        Some(Self {
            whole: Cow::Owned(whole),
        })
    }

    /// The same, for longer than the request.
    pub(super) fn into_owned(self) -> FilePath<'static> {
        FilePath {
            whole: Cow::Owned(self.whole.into_owned()),
        }
    }

    /// What tells it from all others, however it was written.
    pub(super) fn as_key(&self) -> &[u8] {
        &self.whole
    }

    /// Below the root, `.` for the root itself.
    pub(super) fn relative(&self) -> &Path {
        let names = self.whole.strip_suffix(b"/").unwrap_or(&self.whole);
        Path::new(OsStr::from_bytes(if names.is_empty() {
            b"."
        } else {
            names
        }))
    }

    /// Whether a directory is meant.
    pub(super) fn has_final_slash(&self) -> bool {
        self.whole.is_empty() || self.whole.ends_with(b"/")
    }
}

/// Whether a file or directory of this name is served, at the top of the root or further down.
pub(super) fn is_served(name: &[u8], is_top: bool) -> bool {
    let is_plain = !name.is_empty() && !name.iter().any(|byte| matches!(byte, b'/' | b'\\' | 0));
    // Dot segments are among the names that begin with a dot.
    is_plain && (!name.starts_with(b".") || (is_top && name == b".well-known"))
}
