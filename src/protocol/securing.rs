//! A connection whose TLS handshake is not over: who it is, and until when it may take.

use crate::config::Config;
use crate::http::ConnectionInfo;
use crate::moment::Moment;

/// What is to become an HTTP connection when its TLS handshake is over.
#[derive(Debug)]
pub(crate) struct Securing {
    info: ConnectionInfo,
    host: u16,
    /// When it was accepted.
    since: Moment,
}

impl Securing {
    /// A connection that was accepted at `since`, and the host that it is of.
    pub(super) const fn new(host: u16, info: ConnectionInfo, since: Moment) -> Self {
        Self { info, host, since }
    }

    /// The listener that accepted it.
    pub(super) const fn listener_mut(&mut self) -> &mut u16 {
        &mut self.host
    }

    /// The host that it is of, and between whom it is.
    pub(super) fn origin(&self) -> (u16, ConnectionInfo) {
        (self.host, self.info.clone())
    }

    /// When it is dropped, if its handshake is not over then.
    pub(super) fn deadline(&self, config: &Config) -> Option<Moment> {
        // A timeout beyond what the clock can say is none.
        Some(self.since + config.tls_handshake_timeout).filter(|deadline| *deadline < Moment::NEVER)
    }
}
