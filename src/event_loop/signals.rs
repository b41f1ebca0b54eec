//! Signals that stop the server, that have it read its files again or tell how it is, as events of the
//! poll.

use mio::{Interest, Registry, Token};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use std::io;

/// `SIGINT`, `SIGTERM`, `SIGUSR1` and perhaps `SIGHUP`, once the server asked for them.
pub(crate) struct Signals(signal_hook_mio::v1_0::Signals);

/// What came since it was asked last.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Came {
    /// How many times the server was asked to stop.
    pub(crate) stops: usize,
    /// It was asked to read its files again.
    pub(crate) hangup: bool,
    /// It was asked how it is.
    pub(crate) state: bool,
}

impl Signals {
    /// `hangup`: whether `SIGHUP` is taken too, which else ends the process.
    pub(crate) fn register(registry: &Registry, token: Token, hangup: bool) -> io::Result<Self> {
        let hangup = hangup.then_some(SIGHUP);
        let mut signals = signal_hook_mio::v1_0::Signals::new(
            [SIGINT, SIGTERM, SIGUSR1].into_iter().chain(hangup),
        )?;
        registry.register(&mut signals, token, Interest::READABLE)?;
        Ok(Self(signals))
    }

    /// What came since the last call.
    pub(crate) fn take(&mut self) -> Came {
        let mut came = Came::default();
        for signal in self.0.pending() {
            match signal {
                SIGHUP => came.hangup = true,
                SIGUSR1 => came.state = true,
                _ => came.stops += 1,
            }
        }
        came
    }
}
