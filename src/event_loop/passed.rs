//! Listening sockets that somebody else made: a service manager, or the process that started this one.

use crate::event_loop::listener::set_inherited;
use crate::event_loop::unix;
use crate::http::Address;
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{SocketType, sockopt};
use socket2::Socket;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;

/// A socket that listens already, TCP or Unix: see [`Server::listener`](crate::Server::listener).
///
/// ```
/// use aerys::{Host, PassedListener, Server};
/// let listener = PassedListener::new(std::net::TcpListener::bind("127.0.0.1:0")?)?;
/// let host = Host::new().listen(listener.address());
/// let bound = Server::new().host(host).listener(listener).bind()?;
/// # Ok::<(), aerys::Error>(())
/// ```
#[derive(Debug)]
pub struct PassedListener {
    socket: Socket,
    address: Address,
}

impl PassedListener {
    /// Takes a socket over, if it is one that clients can be accepted from.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`]: it is another kind of socket, is connected, or does not listen.
    /// Whatever the system says of something that is no socket.
    pub fn new(socket: impl Into<OwnedFd>) -> io::Result<Self> {
        let socket = Socket::from(socket.into());
        if sockopt::socket_type(&socket)? != SocketType::STREAM {
            return Err(invalid("it is no stream socket"));
        }
        if !sockopt::socket_acceptconn(&socket)? {
            return Err(invalid("it does not listen"));
        }
        let name = socket.local_addr()?;
        let address = match (name.as_socket(), name.as_unix()) {
            (Some(address), _) => Address::Ip(address),
            (None, Some(address)) => unix::peer(&address).into(),
            (None, None) => return Err(invalid("it is a socket of neither TCP nor Unix")),
        };
        Ok(Self { socket, address })
    }

    /// Where it listens, as [`Host::listen`](crate::Host::listen) takes it.
    #[must_use]
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// The socket, as one that was made here would be but for its backlog.
    ///
    /// # Errors
    ///
    /// Whatever the system says.
    pub(super) fn into_parts(self) -> io::Result<(Socket, Address)> {
        let Self { socket, address } = self;
        socket.set_nonblocking(true)?;
        fcntl_setfd(&socket, FdFlags::CLOEXEC)?;
        if address.ip().is_some() {
            set_inherited(&socket)?;
        }
        Ok((socket, address))
    }
}

fn invalid(reason: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{OFlags, fcntl_getfl};
    use rustix::io::fcntl_getfd;
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_socket_that_listens_is_taken_with_its_address() {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = socket.local_addr().expect("its address");
        let passed = PassedListener::new(socket).expect("it listens");
        assert_eq!(*passed.address(), address);
    }

    #[test]
    fn what_cannot_be_accepted_from_is_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let refused = |socket: OwnedFd| PassedListener::new(socket).expect_err("no listener");
        let connected = TcpStream::connect(address).expect("it listens");
        assert_eq!(refused(connected.into()).to_string(), "it does not listen");
        let bound = Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let bound = bound.expect("a socket");
        assert_eq!(refused(bound.into()).to_string(), "it does not listen");
        let datagrams = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let problem = refused(datagrams.into()).to_string();
        assert_eq!(problem, "it is no stream socket");
        let (pair, _other) = UnixStream::pair().expect("a pair");
        assert_eq!(refused(pair.into()).to_string(), "it does not listen");
        let file = std::env::current_exe().and_then(std::fs::File::open);
        let file = file.expect("this program");
        assert_eq!(
            refused(file.into()).raw_os_error(),
            Some(rustix::io::Errno::NOTSOCK.raw_os_error())
        );
    }

    /// Whatever its maker left set: a loop must not wait in an accept.
    #[test]
    fn a_passed_socket_neither_blocks_nor_outlives_the_program() {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
        fcntl_setfd(&socket, FdFlags::empty()).expect("a descriptor");
        let passed = PassedListener::new(socket).expect("it listens");
        let (socket, _) = passed.into_parts().expect("options");
        let flags = fcntl_getfl(&socket).expect("flags");
        assert!(flags.contains(OFlags::NONBLOCK), "{flags:?}");
        let flags = fcntl_getfd(&socket).expect("flags");
        assert!(flags.contains(FdFlags::CLOEXEC), "{flags:?}");
        assert!(socket.tcp_nodelay().expect("an option"));
    }
}
