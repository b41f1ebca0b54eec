//! Opening files beneath a directory that no name escapes.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, retry_on_intr};

/// Why there is no file to send.
#[derive(Debug)]
pub(super) enum OpenError {
    /// Nothing that is served has this name.
    NotThere,
    /// The process, or the system, has no file descriptor left.
    NoDescriptors,
    /// The file system failed.
    Failed(Errno),
}

impl From<Errno> for OpenError {
    /// That something is not there is said only where the name is at fault: who is told so forgets it.
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::MFILE | Errno::NFILE => Self::NoDescriptors,
            // Not there, not readable, a link out of the root or in a circle, a name too long or not
            // of this file system, a socket, a device of nobody, a file too long for this machine.
            Errno::NOENT
            | Errno::NOTDIR
            | Errno::ACCESS
            | Errno::PERM
            | Errno::XDEV
            | Errno::LOOP
            | Errno::NAMETOOLONG
            | Errno::INVAL
            | Errno::ILSEQ
            | Errno::NXIO
            | Errno::NODEV
            | Errno::OPNOTSUPP
            | Errno::OVERFLOW => Self::NotThere,
            _ => Self::Failed(errno),
        }
    }
}

/// Whether the next attempt may well do: a rename at the same time, a signal, a network.
pub(super) const fn is_passing(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::AGAIN
            | Errno::INTR
            | Errno::TIMEDOUT
            | Errno::HOSTDOWN
            | Errno::HOSTUNREACH
            | Errno::NETDOWN
            | Errno::NETUNREACH
            | Errno::CONNRESET
    )
}

/// The directory that nothing escapes.
#[derive(Debug)]
pub(super) struct Root {
    directory: OwnedFd,
    pub(super) resolution: Resolution,
}

/// How names are resolved beneath the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resolution {
    /// By one call, in which the kernel refuses what leads out (Linux since 5.6).
    #[cfg(target_os = "linux")]
    Beneath,
    /// Name by name, without following any link: the same safety, fewer files.
    NameByName,
}

impl Root {
    /// Opens the directory, for the life of this value.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(CWD, path, flags, Mode::empty())?;
        // Opening takes the right to list, serving the right to pass through.
        rustix::fs::accessat(
            &directory,
            ".",
            rustix::fs::Access::EXEC_OK,
            rustix::fs::AtFlags::empty(),
        )?;
        let mut root = Self {
            directory,
            resolution: Resolution::NameByName,
        };
        #[cfg(target_os = "linux")]
        if root.open_beneath(Path::new("."), OPEN_FLAGS).is_ok() {
            // An older kernel does not know the call, and a sandbox may forbid it.
            root.resolution = Resolution::Beneath;
        }
        Ok(root)
    }

    /// Opens what has this name and says what it is. Never blocks on a pipe.
    pub(super) fn open_existing(&self, relative: &Path) -> Result<(File, Metadata), OpenError> {
        let descriptor = match self.resolution {
            #[cfg(target_os = "linux")]
            Resolution::Beneath => self.open_beneath(relative, OPEN_FLAGS)?,
            Resolution::NameByName => self.open_name_by_name(relative)?,
        };
        let file = File::from(descriptor);
        match file.metadata() {
            Ok(metadata) => Ok((file, metadata)),
            Err(error) => Err(Errno::from_io_error(&error).unwrap_or(Errno::IO).into()),
        }
    }

    /// What a link of this name leads to, without opening it: who waits at a pipe would be woken.
    pub(super) fn look_through(&self, link: &Path) -> Result<Metadata, OpenError> {
        match self.resolution {
            #[cfg(target_os = "linux")]
            Resolution::Beneath => {
                let place = self.open_beneath(link, OFlags::PATH | OFlags::CLOEXEC)?;
                let metadata = File::from(place).metadata();
                metadata.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO).into())
            }
            // It fails: no link is followed.
            Resolution::NameByName => self.open_existing(link).map(|(_, metadata)| metadata),
        }
    }

    #[cfg(target_os = "linux")]
    fn open_beneath(&self, relative: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        use rustix::fs::{ResolveFlags, openat2};
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        // The kernel gives up when something was renamed at the same time and it cannot be
        // sure. A few attempts are enough, and there is a last one.
        for _ in 0..3 {
            match openat2(&self.directory, relative, flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                result => return result,
            }
        }
        openat2(&self.directory, relative, flags, Mode::empty(), resolve)
    }

    fn open_name_by_name(&self, relative: &Path) -> Result<OwnedFd, Errno> {
        let mut names = relative.components().peekable();
        let mut parent: Option<OwnedFd> = None;
        while let Some(name) = names.next() {
            // A [`FilePath`] has no others; this is the second lock on the door.
            let (Component::Normal(_) | Component::CurDir) = name else {
                return Err(Errno::XDEV);
            };
            let kind = if names.peek().is_some() {
                OFlags::DIRECTORY
            } else {
                OFlags::empty()
            };
            let flags = OPEN_FLAGS | OFlags::NOFOLLOW | kind;
            let open = || {
                let parent = parent.as_ref().unwrap_or(&self.directory);
                openat(parent, name, flags, Mode::empty())
            };
            parent = Some(retry_on_intr(open)?);
        }
        parent.ok_or(Errno::NOENT)
    }
}

/// Without `NONBLOCK`, opening a pipe would wait for its other end; without `NOCTTY`, a
/// terminal could become ours.
const OPEN_FLAGS: OFlags = OFlags::RDONLY
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOCTTY);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_about_the_name_is_not_there() {
        for errno in [Errno::NOENT, Errno::ACCESS, Errno::XDEV, Errno::NXIO] {
            assert!(matches!(errno.into(), OpenError::NotThere), "{errno}");
        }
        // It could not be said for sure, or the disk is somewhere else.
        for errno in [Errno::AGAIN, Errno::INTR, Errno::TIMEDOUT, Errno::HOSTDOWN] {
            assert!(matches!(errno.into(), OpenError::Failed(_)), "{errno}");
            assert!(is_passing(errno));
        }
        assert!(matches!(Errno::IO.into(), OpenError::Failed(_)) && !is_passing(Errno::IO));
        assert!(matches!(Errno::MFILE.into(), OpenError::NoDescriptors));
    }
}
