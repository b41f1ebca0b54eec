//! Why a server did not run, or ended other than by a graceful stop.

use crate::app::handler::StartError;
#[cfg(feature = "tls")]
use crate::tls::TlsError;
use std::fmt;
use std::io;

/// Why a server could not start, or ended other than by a graceful stop.
#[non_exhaustive]
pub enum Error {
    /// An address cannot be listened on.
    Bind {
        /// As it was given to [`Host::listen`](crate::Host::listen).
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// No host has an address to listen on.
    NoAddress,
    /// What was given to [`Host::name`](crate::Host::name) is no name.
    InvalidName {
        /// As it was given.
        name: String,
    },
    /// Two hosts that listen on the same address have the same name.
    NameInUse {
        /// As each of the two gave it.
        names: [String; 2],
        /// Where both listen.
        address: String,
    },
    /// Two hosts that listen on the same address have no name: nothing tells them apart.
    NamelessHosts {
        /// Where both listen.
        address: String,
    },
    /// A WebSocket endpoint is part of another server already.
    EndpointInUse,
    /// An endpoint's [`on_start`](crate::WebSocketHandler::on_start) failed.
    Start(StartError),
    /// The system's event poll failed.
    Poll(io::Error),
    /// Certificates or keys cannot be used.
    #[cfg(feature = "tls")]
    Tls(TlsError),
    /// A second signal cut the graceful stop short.
    Interrupted,
    /// What the application did beside, such as [`StaticFiles::new`](crate::StaticFiles::new).
    Io(io::Error),
}

/// As [`Display`](fmt::Display): it is what `main` prints of an error that it returns.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

#[cfg(feature = "tls")]
impl From<TlsError> for Error {
    fn from(error: TlsError) -> Self {
        Self::Tls(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind { address, source } if source.kind() == io::ErrorKind::AddrInUse => {
                write!(
                    f,
                    "{address} is in use; stop who listens there, or listen elsewhere (port 0 is a free one)"
                )
            }
            Self::Bind { address, source } => write!(f, "cannot listen on {address}: {source}"),
            Self::NoAddress => f.write_str("no host has an address to listen on; see Host::listen"),
            Self::InvalidName { name } => write!(
                f,
                "{name:?} is no name of a host; write example.com, *.example.com, or either with :port"
            ),
            Self::NameInUse {
                names: [first, second],
                address,
            } => write!(
                f,
                "two hosts that listen on {address} have the same name, {first} and {second}"
            ),
            Self::NamelessHosts { address } => write!(
                f,
                "two hosts that listen on {address} have no name; see Host::name"
            ),
            Self::EndpointInUse => {
                f.write_str("a WebSocket endpoint belongs to another server already")
            }
            Self::Start(error) => write!(f, "an endpoint could not start: {error}"),
            Self::Poll(error) => write!(f, "the event poll failed: {error}"),
            Self::Io(error) => error.fmt(f),
            #[cfg(feature = "tls")]
            Self::Tls(error) => error.fmt(f),
            Self::Interrupted => f.write_str("the stop was cut short by a second signal"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Bind { source, .. } | Self::Poll(source) | Self::Io(source) => Some(source),
            Self::Start(error) => Some(&**error),
            #[cfg(feature = "tls")]
            Self::Tls(error) => Some(error),
            Self::NoAddress
            | Self::InvalidName { .. }
            | Self::NameInUse { .. }
            | Self::NamelessHosts { .. }
            | Self::EndpointInUse
            | Self::Interrupted => None,
        }
    }
}
