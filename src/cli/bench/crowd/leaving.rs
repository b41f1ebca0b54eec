//! How connections are closed at the end.

use super::{Answer, Crowd, Load, Phase, Speaker, nanos};
use crate::cli::bench::run::ErrorKind;
use crate::cli::client::transport::Transport;
use aerys::CloseCode;
use aerys::internals::Agreement;
use mio::Events;
use std::io;
use std::time::Duration;

/// How long all connections together are given to close.
const LEAVE_TIMEOUT: Duration = Duration::from_millis(500);

impl<S: Default> Crowd<S> {
    /// Closes all connections, and waits a little for the server to do so too.
    pub(in crate::cli::bench) fn leave(mut self) {
        for place in &mut self.peers {
            // What is over already tells nothing any more.
            place.take_if(|peer| peer.phase == Phase::Ended);
        }
        for peer in self.peers.iter_mut().flatten() {
            self.output.clear();
            if let Speaker::WebSocket(connection) = &mut peer.speaker {
                let (shared, output) = (&mut self.shared, &mut self.output);
                connection.close(CloseCode::NORMAL, "", shared, output);
                // Whoever is lost by now is gone.
                let _ = peer.transport.send(&self.output);
            }
            let _ = peer.transport.end();
        }
        let deadline = self.now() + nanos(LEAVE_TIMEOUT);
        let mut events = Events::with_capacity(1024);
        let mut leaving = Leaving(
            self.peers.iter().flatten().count(),
            std::marker::PhantomData,
        );
        while leaving.0 > 0 && self.now() < deadline {
            self.turn(Duration::from_millis(50), &mut events, &mut leaving);
        }
    }
}

/// All are leaving: how many are still there.
struct Leaving<S>(usize, std::marker::PhantomData<S>);

impl<S: Default> Load for Leaving<S> {
    type State = S;

    fn opened(&mut self, _: u64, _: u64, _: usize, _: Option<Agreement>, _: &mut S) {}

    fn answered(&mut self, _: u64, _: &mut S, _: Answer<'_>) {}

    fn ready(&mut self, _: u64, _: &mut S, _: &mut Transport) -> io::Result<()> {
        Ok(())
    }

    fn lost(&mut self, _: u64, _: usize, _: ErrorKind, _: S) {
        self.0 -= 1;
    }
}
