//! Where clients come from, as the loop sees it.

use crate::event_loop::tls::Acceptor;

/// A listener, and what the loop has to remember of it.
#[derive(Debug)]
pub(crate) struct Listening<L> {
    pub(super) listener: L,
    /// The host that its clients are of, or the choice among several.
    pub(super) host: u16,
    /// Its clients are proxies, which say first who is connected to them.
    pub(super) proxy_protocol: bool,
    /// What its clients' TLS is made of, if they speak that.
    pub(super) acceptor: Option<Acceptor>,
    /// Somebody may wait: an edge came, and no accept has found nobody since.
    pub(super) ready: bool,
}

impl<L> Listening<L> {
    /// A bound listener whose clients are of `host`, or of the choice among several; whether a PROXY
    /// header is asked of them.
    pub(crate) const fn new(listener: L, host: u16, proxy_protocol: bool) -> Self {
        Self {
            listener,
            host,
            proxy_protocol,
            acceptor: None,
            ready: true,
        }
    }

    /// The same for clients that speak TLS, if there is an acceptor.
    pub(crate) fn secured(self, acceptor: Option<Acceptor>) -> Self {
        Self { acceptor, ..self }
    }

    /// Whether TLS is spoken there.
    pub(crate) const fn is_encrypted(&self) -> bool {
        self.acceptor.is_some()
    }

    pub(crate) const fn listener(&self) -> &L {
        &self.listener
    }
}
