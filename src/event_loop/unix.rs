//! Listening on a Unix socket: who may have its file, and who removes it.

use crate::http::UnixAddress;
use mio::net::UnixListener;
use socket2::{Domain, SockAddr, Socket, Type};
use std::ffi::OsStr;
use std::fs;
use std::io::{self, ErrorKind};
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
                fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
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
}

/// What no other file has, as long as this one's socket is open.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = identity(&self.path).is_ok_and(|found| found == self.identity);
        if is_ours && let Err(error) = fs::remove_file(&self.path) {
            log::warn!("{} was left behind: {error}", self.path.display());
        }
    }
}
