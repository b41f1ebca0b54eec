//! Listening sockets: bound with what their clients inherit, accepting so many a turn.

use crate::event_loop::passed::PassedListener;
use crate::event_loop::socket::StreamSocket;
use crate::event_loop::system::{Accepted, Listener};
use crate::event_loop::unix::{self, SocketFile};
use crate::http::Address;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, SockRef, Type};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

/// What the kernel may hold of a client's output that was not sent yet, in bytes. It would be up to 4 MiB
/// for each, beyond every limit of ours, and all sockets of a machine share what there is
/// (`net.ipv4.tcp_mem`): a thousand clients that do not read would slow everybody down. What is under way
/// to a client that reads does not count, so nobody who does waits for more.
#[cfg(any(target_os = "android", target_os = "linux"))]
const MAX_UNSENT_BYTES: u32 = 256 * 1024;

/// One listening socket.
#[derive(Debug)]
pub(crate) struct ListeningSocket {
    /// Before the socket, so that it goes first: as long as the socket is open, no other file can
    /// be taken for this one.
    file: Option<SocketFile>,
    socket: Kind,
    address: Address,
    /// What it was bound to: of a free port, 0.
    asked: Address,
    is_passed: bool,
}

#[derive(Debug)]
enum Kind {
    Tcp(mio::net::TcpListener),
    Unix(mio::net::UnixListener),
}

impl ListeningSocket {
    /// Binds `address`; port 0 picks a free one. `mode` is that of a Unix socket's file.
    ///
    /// # Errors
    ///
    /// Whatever the system says: the address is in use, not of this machine, not allowed.
    pub(crate) fn bind(address: &Address, mode: Option<u32>, backlog: u32) -> io::Result<Self> {
        let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
        match address {
            Address::Ip(address) => Self::bind_tcp(*address, backlog, false),
            Address::Unix(name) => {
                let (socket, file) = unix::bind(name, mode, backlog)?;
                Ok(Self {
                    file,
                    socket: Kind::Unix(socket),
                    address: address.clone(),
                    asked: address.clone(),
                    is_passed: false,
                })
            }
        }
    }

    /// The same of one that listens already. A Unix socket's file is its maker's.
    ///
    /// # Errors
    ///
    /// Whatever the system says.
    pub(crate) fn passed(listener: PassedListener) -> io::Result<Self> {
        let (socket, address) = listener.into_parts()?;
        let socket = match &address {
            Address::Ip(_) => Kind::Tcp(mio::net::TcpListener::from_std(socket.into())),
            Address::Unix(_) => {
                let socket = std::os::unix::net::UnixListener::from(OwnedFd::from(socket));
                Kind::Unix(mio::net::UnixListener::from_std(socket))
            }
        };
        Ok(Self {
            file: None,
            socket,
            asked: address.clone(),
            address,
            is_passed: true,
        })
    }

    /// Whether it is the one that binding `address` would make.
    pub(crate) fn is_of(&self, address: &Address) -> bool {
        [&self.asked, &self.address].contains(&address)
    }

    /// Whether somebody else made it, who may keep it open.
    pub(crate) const fn is_passed(&self) -> bool {
        self.is_passed
    }

    /// Gives its file another mode, if it has one.
    ///
    /// # Errors
    ///
    /// Whatever the system says; that another file stands in its place.
    pub(crate) fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.file
            .as_ref()
            .map_or(Ok(()), |file| file.set_mode(mode))
    }

    /// Binds `address`, which is in use, if that is by those of `others` which have its port and are about
    /// to go: `0.0.0.0:80` in place of `127.0.0.1:80`. For the moment that it takes, the port is shared by
    /// whoever of this user says so, too.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind): also where a system shares no port that is listened on already, or not with
    /// who was another user when it was bound.
    pub(crate) fn bind_in_place_of(
        others: &[&Self],
        address: &Address,
        backlog: u32,
    ) -> io::Result<Self> {
        let Address::Ip(address) = address else {
            return Err(ErrorKind::AddrInUse.into());
        };
        let share = |is_shared| {
            let others = others.iter().filter_map(|other| other.tcp(address.port()));
            let mut outcomes = others.map(|tcp| SockRef::from(tcp).set_reuse_port(is_shared));
            outcomes.try_for_each(|outcome| outcome)
        };
        let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
        let bound = share(true).and_then(|()| Self::bind_tcp(*address, backlog, true));
        share(false)?;
        let bound = bound?;
        if let Kind::Tcp(socket) = &bound.socket {
            SockRef::from(socket).set_reuse_port(false)?;
        }
        Ok(bound)
    }

    /// The socket, if it listens on that TCP port.
    fn tcp(&self, port: u16) -> Option<&mio::net::TcpListener> {
        let is_there = self.address.socket_addr()?.port() == port;
        match &self.socket {
            Kind::Tcp(socket) => is_there.then_some(socket),
            Kind::Unix(_) => None,
        }
    }

    fn bind_tcp(asked: SocketAddr, backlog: i32, shares_port: bool) -> io::Result<Self> {
        let socket = socket2::Socket::new(
            Domain::for_address(asked),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        // A restart must not wait for the last run's connections to leave TIME_WAIT.
        socket.set_reuse_address(true)?;
        if shares_port {
            socket.set_reuse_port(true)?;
        }
        if asked.is_ipv6() {
            // So that [::] and 0.0.0.0 can both be listened on, on every system.
            socket.set_only_v6(true)?;
        }
        set_inherited(&socket)?;
        socket.set_nonblocking(true)?;
        socket.bind(&asked.into())?;
        socket.listen(backlog)?;
        let socket = mio::net::TcpListener::from_std(socket.into());
        let address = socket.local_addr()?.into();
        Ok(Self {
            file: None,
            socket: Kind::Tcp(socket),
            address,
            asked: asked.into(),
            is_passed: false,
        })
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match &mut self.socket {
            Kind::Tcp(socket) => registry.register(socket, token, Interest::READABLE),
            Kind::Unix(socket) => registry.register(socket, token, Interest::READABLE),
        }
    }

    /// Nothing is told of it any more: also if its maker, who passed it, keeps it open.
    pub(crate) fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match &mut self.socket {
            Kind::Tcp(socket) => registry.deregister(socket),
            Kind::Unix(socket) => registry.deregister(socket),
        }
    }

    /// By another token.
    pub(crate) fn reregister(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match &mut self.socket {
            Kind::Tcp(socket) => registry.reregister(socket, token, Interest::READABLE),
            Kind::Unix(socket) => registry.reregister(socket, token, Interest::READABLE),
        }
    }
}

/// Sets what the sockets inherit that a TCP listener accepts, which spares calls for each.
pub(super) fn set_inherited(socket: &socket2::Socket) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    #[cfg(any(target_os = "android", target_os = "linux"))]
    socket.set_tcp_notsent_lowat(MAX_UNSENT_BYTES)?;
    Ok(())
}

impl Listener for ListeningSocket {
    type Socket = StreamSocket;

    fn address(&self) -> &Address {
        &self.address
    }

    fn accept(&mut self) -> Accepted<StreamSocket> {
        let accepted = match &self.socket {
            Kind::Tcp(socket) => socket
                .accept()
                .map(|(stream, peer)| (StreamSocket::new(stream), without_mapping(peer).into())),
            Kind::Unix(socket) => socket
                .accept()
                .map(|(stream, peer)| (StreamSocket::new(stream), unix::peer(&peer).into())),
        };
        match accepted {
            Ok((stream, peer)) => Accepted::Client(stream, peer),
            Err(error) => judge(error),
        }
    }
}

/// The same address, of IPv4 if it only stands in one of IPv6: a socket that was passed may take both,
/// and whom one trusts and logs is one client either way.
pub(super) fn without_mapping(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(mapped) => match mapped.ip().to_ipv4_mapped() {
            Some(ip) => (ip, mapped.port()).into(),
            None => address,
        },
        SocketAddr::V4(_) => address,
    }
}

/// What a failed accept came to.
fn judge(error: io::Error) -> Accepted<StreamSocket> {
    match error.kind() {
        ErrorKind::WouldBlock => Accepted::Nobody,
        _ if is_exhaustion(&error) => Accepted::Exhausted(error),
        // Interrupted, or a connection's own pending error, which accept reports on Linux.
        _ => Accepted::Lost(error),
    }
}

/// Whether another call would fail the same way until something is freed.
pub(super) fn is_exhaustion(error: &io::Error) -> bool {
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
        let address = Address::Ip((Ipv4Addr::LOCALHOST, 0).into());
        ListeningSocket::bind(&address, None, 16).expect("a free port")
    }

    #[test]
    fn accepted_sockets_send_without_delay_and_hold_little_whoever_made_their_listener() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let passed = PassedListener::new(socket).expect("it listens");
        let passed = ListeningSocket::passed(passed).expect("options");
        for mut listener in [bind(), passed] {
            let address = listener.address().socket_addr().expect("a TCP socket");
            let _client = std::net::TcpStream::connect(address).expect("it listens");
            let Accepted::Client(stream, _) = listener.accept() else {
                panic!("somebody waits");
            };
            let socket = SockRef::from(stream.0.as_ref().expect("a socket"));
            assert!(socket.tcp_nodelay().expect("a TCP option"));
            #[cfg(any(target_os = "android", target_os = "linux"))]
            assert_eq!(
                socket.tcp_notsent_lowat().expect("a TCP option"),
                MAX_UNSENT_BYTES
            );
        }
    }

    #[test]
    fn a_listener_at_which_nobody_waits_says_so() {
        let mut listener = bind();
        assert!(matches!(listener.accept(), Accepted::Nobody));
    }

    /// What `accept` says on Linux (accept(2)), by what it is about.
    #[test]
    fn an_accept_fails_for_want_of_something_or_of_its_own() {
        use rustix::io::Errno;
        let outcome = |errno: Errno| judge(io::Error::from_raw_os_error(errno.raw_os_error()));
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM] {
            assert!(matches!(outcome(errno), Accepted::Exhausted(_)), "{errno}");
        }
        assert!(matches!(outcome(Errno::AGAIN), Accepted::Nobody));
        for errno in [
            Errno::INTR,
            Errno::CONNABORTED,
            Errno::PROTO,
            // By a firewall.
            Errno::PERM,
            // Pending on the connection.
            Errno::NETDOWN,
            Errno::NOPROTOOPT,
            Errno::HOSTDOWN,
            Errno::NONET,
            Errno::HOSTUNREACH,
            Errno::OPNOTSUPP,
            Errno::NETUNREACH,
            Errno::TIMEDOUT,
        ] {
            assert!(matches!(outcome(errno), Accepted::Lost(_)), "{errno}");
        }
    }
}
