//! Signals that stop the server, as events of the poll.

use mio::{Interest, Registry, Token};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::io;

/// `SIGINT` and `SIGTERM`, once the server asked for them.
pub(crate) struct Signals(signal_hook_mio::v1_0::Signals);

impl Signals {
    pub(crate) fn register(registry: &Registry, token: Token) -> io::Result<Self> {
        let mut signals = signal_hook_mio::v1_0::Signals::new([SIGINT, SIGTERM])?;
        registry.register(&mut signals, token, Interest::READABLE)?;
        Ok(Self(signals))
    }

    /// How many came since the last call.
    pub(crate) fn count(&mut self) -> usize {
        self.0.pending().count()
    }
}
