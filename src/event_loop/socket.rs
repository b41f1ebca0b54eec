//! Bytes in and out of one stream socket, TCP or Unix.
//!
//! By the system calls themselves: the way through `std::io` and the C library costs 25 instructions
//! more for each, a twentieth of what an echo takes in all.

#[cfg(target_os = "linux")]
use crate::event_loop::listener::is_exhaustion;
#[cfg(target_os = "linux")]
use crate::event_loop::system::FileOutcome;
use crate::event_loop::system::{ReadOutcome, Socket, WriteOutcome};
use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::io::Errno;
use rustix::net::{
    RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, getsockname, recv, send, sendmsg, shutdown,
};
#[cfg(target_os = "linux")]
use std::cell::OnceCell;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
#[cfg(target_os = "linux")]
use std::os::fd::BorrowedFd;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::time::Duration;

/// A peer that is gone is an outcome here, and no signal to the process.
#[cfg(not(target_vendor = "apple"))]
const NO_SIGNAL: SendFlags = SendFlags::NOSIGNAL;
/// There it is no flag, and Rust's programs ignore the signal.
#[cfg(target_vendor = "apple")]
const NO_SIGNAL: SendFlags = SendFlags::empty();

/// A client's socket, non-blocking. The calls are the same for all kinds of stream sockets, so which
/// one it is need not be asked.
#[derive(Debug)]
pub(crate) struct StreamSocket(pub(super) Option<OwnedFd>);

impl StreamSocket {
    pub(crate) fn new(stream: impl Into<OwnedFd>) -> Self {
        Self(Some(stream.into()))
    }

    fn as_raw_fd(&self) -> io::Result<RawFd> {
        let fd = self.0.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        Ok(fd.as_raw_fd())
    }

    /// Registers for input, edge-triggered. Not for both directions: a new socket is writable,
    /// and to be told so wakes the loop once more for each client (a tenth of a handshake's time).
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        SourceFd(&self.as_raw_fd()?).register(registry, token, Interest::READABLE)
    }

    /// Registers for both directions, once the socket was full for the first time.
    pub(crate) fn watch_writable(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        SourceFd(&self.as_raw_fd()?).reregister(registry, token, both)
    }
}

impl StreamSocket {
    fn send_slices(&self, slices: &[IoSlice<'_>], flags: SendFlags) -> WriteOutcome {
        let Some(fd) = &self.0 else {
            return WriteOutcome::Broken;
        };
        loop {
            let no_control = &mut SendAncillaryBuffer::default();
            if let Some(outcome) = written(sendmsg(fd, slices, no_control, flags)) {
                return outcome;
            }
        }
    }
}

impl Socket for StreamSocket {
    fn none() -> Self {
        Self(None)
    }

    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> ReadOutcome {
        let Some(fd) = &self.0 else {
            return ReadOutcome::Drained;
        };
        loop {
            return match recv(fd, &mut *buffer, RecvFlags::empty()) {
                Ok((0, _)) => ReadOutcome::End,
                Ok((len, _)) => ReadOutcome::Bytes(len),
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => ReadOutcome::Drained,
                Err(_) => ReadOutcome::Broken,
            };
        }
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "on the straight path")]
    fn write(&mut self, bytes: &[u8]) -> WriteOutcome {
        let Some(fd) = &self.0 else {
            return WriteOutcome::Broken;
        };
        loop {
            if let Some(outcome) = written(send(fd, bytes, NO_SIGNAL)) {
                return outcome;
            }
        }
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> WriteOutcome {
        self.send_slices(slices, NO_SIGNAL)
    }

    #[cfg(target_os = "linux")]
    const SENDS_FILES: bool = true;

    #[cfg(target_os = "linux")]
    fn write_before_file(&mut self, slices: &[IoSlice<'_>]) -> WriteOutcome {
        let flags = NO_SIGNAL | SendFlags::MORE;
        let ([slice], Some(fd)) = (slices, &self.0) else {
            return self.send_slices(slices, flags);
        };
        loop {
            if let Some(outcome) = written(send(fd, slice, flags)) {
                return outcome;
            }
        }
    }

    #[cfg(target_os = "linux")]
    fn send_file(&mut self, file: BorrowedFd<'_>, mut offset: u64, len: usize) -> FileOutcome {
        let Some(fd) = self.0.as_ref().filter(|_| no_signal_comes_anyway()) else {
            return FileOutcome::Unsupported;
        };
        loop {
            return match rustix::fs::sendfile(fd, file, Some(&mut offset), len) {
                Ok(0) => {
                    let error = "the file became shorter while it was sent";
                    FileOutcome::Failed(io::Error::new(io::ErrorKind::UnexpectedEof, error))
                }
                Ok(len) => FileOutcome::Bytes(len),
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => FileOutcome::Full,
                // A file system without pages, or a sandbox.
                Err(Errno::INVAL | Errno::NOSYS | Errno::PERM | Errno::OVERFLOW) => {
                    FileOutcome::Unsupported
                }
                // Of the disk, of which somebody should know.
                Err(error @ (Errno::IO | Errno::STALE | Errno::NOMEM)) => {
                    FileOutcome::Failed(error.into())
                }
                Err(_) => FileOutcome::Broken,
            };
        }
    }

    fn reset_on_close(&mut self) {
        if let Some(fd) = &self.0 {
            // Fails only if the peer is gone already.
            let _ = rustix::net::sockopt::set_socket_linger(fd, Some(Duration::ZERO));
        }
    }

    fn shut_down(&mut self) {
        if let Some(fd) = &self.0 {
            // Fails only if the peer is gone already, which a read will tell.
            let _ = shutdown(fd, Shutdown::Write);
        }
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        let fd = self.0.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        let address = getsockname(fd)?;
        SocketAddr::try_from(address).map_err(io::Error::from)
    }
}

/// Whether a peer that is gone is no signal to this thread, whatever is called: `sendfile` takes no flag
/// against it. Rust's programs ignore it; one in another language that this server is part of may not,
/// and would be ended by the first client that leaves. Then files are read.
#[cfg(target_os = "linux")]
fn no_signal_comes_anyway() -> bool {
    thread_local! {
        /// Found out when the first file is sent.
        static FOUND: OnceCell<bool> = const { OnceCell::new() };
    }
    FOUND.with(|found| {
        if let Some(is_so) = found.get() {
            return *is_so;
        }
        let is_so = match std::fs::read_to_string("/proc/thread-self/status") {
            Ok(status) => is_broken_pipe_ignored(&status),
            // No descriptor is left for it: the next file asks again.
            Err(error) if is_exhaustion(&error) => return false,
            Err(_) => false,
        };
        *found.get_or_init(|| is_so)
    })
}

/// Whether `SIGPIPE` is ignored or blocked, by what the kernel says of a thread.
#[cfg(target_os = "linux")]
fn is_broken_pipe_ignored(status: &str) -> bool {
    /// Of the signal 13, the lowest being 1.
    const BIT: u64 = 1 << 12;
    let mut lines = status.lines().filter_map(|line| line.split_once(':'));
    lines.any(|(name, set)| {
        matches!(name, "SigIgn" | "SigBlk")
            && u64::from_str_radix(set.trim(), 16).is_ok_and(|set| set & BIT != 0)
    })
}

/// What a write came to; `None`: it was interrupted.
#[inline]
const fn written(result: Result<usize, Errno>) -> Option<WriteOutcome> {
    match result {
        Ok(0) | Err(Errno::AGAIN) => Some(WriteOutcome::Full),
        Ok(len) => Some(WriteOutcome::Bytes(len)),
        Err(Errno::INTR) => None,
        Err(_) => Some(WriteOutcome::Broken),
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn files_are_sent_by_the_kernel_only_where_no_signal_can_come_of_it() {
        let status = |blocked: &str, ignored: &str, caught: &str| {
            format!(
                "Name:\tx\nSigPnd:\t0000000000001000\nSigBlk:\t{blocked}\nSigIgn:\t{ignored}\n\
                 SigCgt:\t{caught}\nCapInh:\t0\n"
            )
        };
        let (none, pipe, others) = ("0000000000000000", "0000000000001000", "ffffffffffffefff");
        for (blocked, ignored, is_so) in [
            (none, none, false),
            (others, others, false),
            (none, pipe, true),
            (pipe, none, true),
        ] {
            let status = status(blocked, ignored, pipe);
            assert_eq!(is_broken_pipe_ignored(&status), is_so, "{status}");
        }
        assert!(!is_broken_pipe_ignored("SigIgn:\tno number\n"));
        // As in all of Rust's programs.
        assert!(no_signal_comes_anyway());
    }
}
