//! Listening sockets: bound with what their clients inherit, accepting so many a turn.

use crate::event_loop::socket::TcpSocket;
use crate::event_loop::system::{Accepted, Listener};
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Type};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;

/// One listening socket.
#[derive(Debug)]
pub(crate) struct ListeningSocket {
    socket: mio::net::TcpListener,
    address: SocketAddr,
}

impl ListeningSocket {
    /// Binds `address`; port 0 picks a free one.
    ///
    /// # Errors
    ///
    /// Whatever the system says: the address is in use, not of this machine, not allowed.
    pub(crate) fn bind(address: SocketAddr, backlog: u32) -> io::Result<Self> {
        let socket = socket2::Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        // A restart must not wait for the last run's connections to leave TIME_WAIT.
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            // So that [::] and 0.0.0.0 can both be listened on, on every system.
            socket.set_only_v6(true)?;
        }
        // Inherited by the accepted sockets, where it spares a call for each.
        socket.set_tcp_nodelay(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        let socket = mio::net::TcpListener::from_std(socket.into());
        let address = socket.local_addr()?;
        Ok(Self { socket, address })
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.socket, token, Interest::READABLE)
    }
}

impl Listener for ListeningSocket {
    type Socket = TcpSocket;

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn accept(&mut self) -> Accepted<TcpSocket> {
        match self.socket.accept() {
            Ok((stream, address)) => Accepted::Client(TcpSocket::new(stream), address),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock => Accepted::Nobody,
                _ if is_exhaustion(&error) => Accepted::Exhausted(error),
                // Also a connection's own pending error, which accept reports on Linux.
                _ => Accepted::Lost(error),
            },
        }
    }
}

/// Whether another accept would fail the same way until something is freed.
fn is_exhaustion(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let exhaustion = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    exhaustion
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::SockRef;
    use std::net::Ipv4Addr;

    fn bind() -> ListeningSocket {
        ListeningSocket::bind((Ipv4Addr::LOCALHOST, 0).into(), 16).expect("a free port")
    }

    #[test]
    fn accepted_sockets_send_without_delay() {
        let mut listener = bind();
        let _client = std::net::TcpStream::connect(listener.address()).expect("it listens");
        let Accepted::Client(stream, _) = listener.accept() else {
            panic!("somebody waits");
        };
        assert!(
            SockRef::from(&stream.0)
                .tcp_nodelay()
                .expect("a TCP option")
        );
    }

    #[test]
    fn a_listener_at_which_nobody_waits_says_so() {
        let mut listener = bind();
        assert!(matches!(listener.accept(), Accepted::Nobody));
    }

    #[test]
    fn what_only_time_or_others_can_free_is_exhaustion() {
        use rustix::io::Errno;
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM] {
            assert!(is_exhaustion(&io::Error::from_raw_os_error(
                errno.raw_os_error()
            )));
        }
        assert!(!is_exhaustion(&io::Error::from_raw_os_error(
            Errno::CONNABORTED.raw_os_error()
        )));
    }
}
