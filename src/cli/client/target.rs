//! Whom a client connects to: the addresses of a URL's host, and the TLS that is spoken there.

use crate::cli::client::flags::TlsArgs;
use crate::cli::client::tls::Tls;
use crate::cli::client::transport::Transport;
use crate::cli::client::url::Url;
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

/// See the module.
#[derive(Debug)]
pub(crate) struct Target {
    addresses: Vec<SocketAddr>,
    /// The one that is connected to.
    chosen: usize,
    tls: Option<Tls>,
}

impl Target {
    /// Looks the host up and reads what TLS needs.
    ///
    /// # Errors
    ///
    /// A line on what is missing.
    pub(crate) fn find(url: &Url, tls: &TlsArgs) -> Result<Self, String> {
        let found = (url.host(), url.port()).to_socket_addrs();
        let addresses: Vec<_> = found
            .map_err(|error| format!("there is no host {}: {error}", url.host()))?
            .collect();
        if addresses.is_empty() {
            return Err(format!("host {} has no address", url.host()));
        }
        let tls = if url.is_secure() {
            Some(Tls::new(url.host(), tls)?)
        } else {
            None
        };
        Ok(Self {
            addresses,
            chosen: 0,
            tls,
        })
    }

    /// Of a host that has these addresses.
    #[cfg(test)]
    pub(crate) const fn at(addresses: Vec<SocketAddr>) -> Self {
        Self {
            addresses,
            chosen: 0,
            tls: None,
        }
    }

    /// The address that is connected to.
    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses[self.chosen]
    }

    pub(crate) fn has_several_addresses(&self) -> bool {
        self.addresses.len() > 1
    }

    /// Has the next address of the host connected to. Whether there is one.
    pub(crate) fn next_address(&mut self) -> bool {
        self.chosen = (self.chosen + 1) % self.addresses.len();
        self.chosen != 0
    }

    /// Begins to connect, from `source` if that is given. How it ends, the socket tells once it can be
    /// written to.
    ///
    /// # Errors
    ///
    /// No socket, no port at `source`, or what the system knows at once.
    pub(crate) fn connect(&self, source: Option<IpAddr>) -> io::Result<Transport> {
        let address = self.address();
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM.nonblocking().cloexec(),
            Some(Protocol::TCP),
        )?;
        socket.set_tcp_nodelay(true)?;
        if let Some(source) = source {
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        match socket.connect(&address.into()) {
            Err(error) if !is_in_progress(&error) => return Err(error),
            _ => {}
        }
        let stream = mio::net::TcpStream::from_std(socket.into());
        Transport::new(stream, self.tls.as_ref())
    }
}

fn is_in_progress(error: &io::Error) -> bool {
    error.kind() == ErrorKind::WouldBlock
        || error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error())
}
