//! Listening on a Unix socket: who may have its file, and who removes it.

use crate::http::UnixAddress;
use mio::net::UnixListener;
use socket2::{Domain, SockAddr, Socket, Type};
use std::ffi::OsStr;
use std::fs;
use std::io::{self, ErrorKind};
#[cfg(any(target_os = "android", target_os = "linux"))]
use std::os::fd::AsRawFd;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net as std_net;
use std::path::{Path, PathBuf};

/// The file of a listening socket: removed with it, unless another stands in its place.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

/// Binds `address`; its file, if it has one, gets `mode`, or else what the umask leaves.
///
/// A socket file at which nobody listens any more is replaced: a server that was killed leaves
/// one behind.
///
/// # Errors
///
/// [`ErrorKind::AddrInUse`] where somebody listens, [`ErrorKind::AlreadyExists`] where something
/// else than a socket is, and whatever the system says.
pub(super) fn bind(
    address: &UnixAddress,
    mode: Option<u32>,
    backlog: i32,
) -> io::Result<(UnixListener, Option<SocketFile>)> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    let file = match (address.path(), address.abstract_name()) {
        (Some(path), _) => {
            let name = SockAddr::unix(path)?;
            make_room(path, &name)?;
            socket.bind(&name)?;
            let file = SocketFile::of(path)?;
            if let Some(mode) = mode {
                // Until it listens, nobody can connect whatever the mode is.
                file.set_mode(mode)?;
            }
            Some(file)
        }
        (None, Some(name)) => {
            if !cfg!(target_os = "linux") {
                return Err(invalid("only Linux has abstract Unix sockets"));
            }
            let name = [&[0], name].concat();
            socket.bind(&SockAddr::unix(OsStr::from_bytes(&name))?)?;
            None
        }
        (None, None) => return Err(invalid("a Unix socket needs a path, or @ and a name")),
    };
    socket.listen(backlog)?;
    let socket = std_net::UnixListener::from(OwnedFd::from(socket));
    Ok((UnixListener::from_std(socket), file))
}

fn invalid(reason: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, reason)
}

/// The address of the other end of an accepted connection.
pub(super) fn peer(address: &std_net::SocketAddr) -> UnixAddress {
    if let Some(path) = address.as_pathname() {
        return UnixAddress::new(path.as_os_str().as_bytes());
    }
    #[cfg(target_os = "linux")]
    {
        use std::os::linux::net::SocketAddrExt;
        if let Some(name) = address.as_abstract_name() {
            return UnixAddress::new(&[&[0], name].concat());
        }
    }
    UnixAddress::UNNAMED
}

/// Removes a socket file at which nobody listens.
fn make_room(path: &Path, name: &SockAddr) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if !found.file_type().is_socket() {
        return Err(io::Error::new(
            ErrorKind::AlreadyExists,
            "something is there that is no socket; it was left alone",
        ));
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Or it would wait for room in the backlog of a server that is busy.
    probe.set_nonblocking(true)?;
    match probe.connect(name) {
        // Linux says so of a file that nobody listens at, and of nothing else; other systems also
        // where a backlog is full.
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            log::info!("nobody listens at {} any more: replaced", path.display());
            fs::remove_file(path)
        }
        // It went just now.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Err(error),
        // Somebody listens, or has no room for one more, or speaks in datagrams.
        Ok(()) | Err(_) => Err(ErrorKind::AddrInUse.into()),
    }
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            identity: identity(path)?,
        })
    }

    /// Sets the mode of this file and of no other: who may write to the folder may have put a link
    /// there meanwhile, and root must not open to anybody what that leads to.
    #[cfg(any(target_os = "android", target_os = "linux"))]
    pub(super) fn set_mode(&self, mode: u32) -> io::Result<()> {
        use rustix::fs::{CWD, Mode, OFlags, openat};
        // What was looked at is what is changed. Linux has `fchmod` only for files that can be read or
        // written, and this way for others.
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = fs::File::from(openat(CWD, &self.path, flags, Mode::empty())?);
        let found = file.metadata()?;
        if !found.file_type().is_socket() || identity_of(&found) != self.identity {
            return Err(io::Error::other("another file was put there"));
        }
        let opened = format!("/proc/self/fd/{}", file.as_raw_fd());
        fs::set_permissions(opened, fs::Permissions::from_mode(mode)).map_err(|error| {
            match error.kind() {
                ErrorKind::NotFound => io::Error::other("its mode cannot be set without /proc"),
                _ => error,
            }
        })
    }

    /// The same where the system itself can leave links alone.
    #[cfg(not(any(target_os = "android", target_os = "linux")))]
    pub(super) fn set_mode(&self, mode: u32) -> io::Result<()> {
        use rustix::fs::{AtFlags, CWD, Mode, RawMode, chmodat};
        let mode = Mode::from_raw_mode(RawMode::try_from(mode).map_err(io::Error::other)?);
        Ok(chmodat(CWD, &self.path, mode, AtFlags::SYMLINK_NOFOLLOW)?)
    }
}

/// What no other file has, as long as this one's socket is open.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    Ok(identity_of(&fs::symlink_metadata(path)?))
}

fn identity_of(metadata: &fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = identity(&self.path).is_ok_and(|found| found == self.identity);
        if is_ours && let Err(error) = fs::remove_file(&self.path) {
            log::warn!("{} was left behind: {error}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whose folder it is may put a link there while root still binds: what it leads to is not to be
    /// opened to anybody.
    #[test]
    fn a_link_that_was_put_in_the_place_of_a_socket_opens_nothing() {
        let folder = std::env::temp_dir().join(format!("aerys-mode-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let at = |name: &str| folder.join(name);
        let mode_of = |name: &str| {
            let metadata = fs::metadata(at(name)).expect("it is there");
            metadata.permissions().mode() & 0o777
        };
        let _socket = std_net::UnixListener::bind(at("socket")).expect("a free path");
        let file = SocketFile::of(&at("socket")).expect("a socket");
        for mode in [0o600, 0o666] {
            file.set_mode(mode).expect("it is ours");
            assert_eq!(mode_of("socket"), mode);
        }
        fs::write(at("secret"), "").expect("a file");
        fs::set_permissions(at("secret"), fs::Permissions::from_mode(0o600)).expect("it is ours");
        fs::rename(at("socket"), at("moved")).expect("it is ours");
        for name in ["secret", "moved"] {
            let _ = fs::remove_file(at("socket"));
            std::os::unix::fs::symlink(at(name), at("socket")).expect("a link");
            let outcome = file.set_mode(0o777);
            assert!(outcome.is_err(), "a link to {name}");
        }
        let modes = (mode_of("secret"), mode_of("moved"));
        drop(file);
        fs::remove_dir_all(&folder).expect("our folder");
        assert_eq!(modes, (0o600, 0o666));
    }
}
