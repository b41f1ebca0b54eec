//! How connections are opened: where to, how many at a time, and again.

use super::{Crowd, Load, Peer, Phase, Speaker, nanos};
use crate::cli::bench::run::ErrorKind;
use crate::cli::client::response::Responses;
use crate::cli::client::transport::Transport;
use mio::{Events, Interest, Token};
use std::io;
use std::time::Duration;

/// Silence for so long is the end of greetings, which are awaited no longer than the other.
const GREETING: Duration = Duration::from_millis(50);
const MAX_GREETING: Duration = Duration::from_secs(1);

impl<S: Default> Crowd<S> {
    /// Opens so many connections, `at_once` at the same time, and says to `on_turn` when how many are there.
    ///
    /// # Errors
    ///
    /// A line: not one could be opened.
    pub(in crate::cli::bench) fn open<L: Load<State = S>>(
        &mut self,
        count: usize,
        at_once: usize,
        load: &mut L,
        mut on_turn: impl FnMut(u64, usize),
    ) -> Result<(), String> {
        let mut events = Events::with_capacity(1024);
        self.find_address();
        self.sources.choose_for(self.target.address().ip());
        let timeout = nanos(self.timeout);
        let mut pending: Vec<usize> = Vec::new();
        // How many came to an end of some kind before their time was over, and when one did last.
        let (mut timed_out, mut ended, mut last_end) = (0, 0, self.now());
        loop {
            while pending.len() < at_once && self.peers.len() < count {
                pending.push(self.peers.len());
                self.begin(load);
            }
            pending.retain(|index| self.is_opening(*index).is_some());
            if pending.is_empty() && self.peers.len() == count {
                break;
            }
            self.turn(Duration::from_millis(50), &mut events, load);
            if self.interrupts > 0 {
                return Err("interrupted".to_owned());
            }
            let now = self.now();
            for index in &pending {
                let began = self.is_opening(*index);
                if began.is_some_and(|began| now - began > timeout) {
                    timed_out += 1;
                    self.lose(*index, ErrorKind::Timeout, "no handshake in time", load);
                }
            }
            let still = pending.iter().filter(|at| self.is_opening(**at).is_some());
            let ended_now = self.peers.len() - still.count() - timed_out;
            if ended_now > ended {
                (ended, last_end) = (ended_now, now);
            }
            if timed_out > 0 && now - last_end > timeout {
                self.give_up(count, load);
            }
            on_turn(now, self.open_count);
        }
        if self.open_count == 0 {
            let why = self.troubles.first().unwrap_or("all are closed again");
            return Err(format!(
                "no connection to {} could be opened: {why}",
                self.url
            ));
        }
        Ok(())
    }

    /// When a connection was begun whose handshakes are not over.
    fn is_opening(&self, index: usize) -> Option<u64> {
        let peer = self.peers[index].as_ref();
        peer.filter(|peer| matches!(peer.phase, Phase::Connecting | Phase::Opening))
            .map(|peer| peer.began)
    }

    /// Does not try those of `count` connections that are left: the server takes none any more.
    fn give_up<L: Load<State = S>>(&mut self, count: usize, load: &mut L) {
        while self.peers.len() < count {
            let index = self.peers.len();
            self.peers.push(None);
            let why = "not tried any more: no handshake came to its end in time";
            self.troubles.add(why);
            load.lost(self.now(), index, ErrorKind::Timeout, S::default());
        }
    }

    /// Lets servers say what they say of their own accord when somebody comes: it answers nothing.
    pub(in crate::cli::bench) fn settle<L: Load<State = S>>(&mut self, load: &mut L) {
        if self.wishes.is_none() {
            return;
        }
        let mut events = Events::with_capacity(1024);
        let limit = self.now() + nanos(MAX_GREETING);
        let mut before = None;
        while before != Some(self.received_bytes) && self.now() < limit && self.interrupts == 0 {
            before = Some(self.received_bytes);
            let deadline = self.now() + nanos(GREETING);
            while self.now() < deadline && self.interrupts == 0 {
                let rest = Duration::from_nanos(deadline - self.now());
                self.turn(rest.max(Duration::from_millis(1)), &mut events, load);
            }
        }
    }

    /// Chooses the first address of the host where someone listens: `localhost` has two, and many
    /// servers are at one.
    fn find_address(&mut self) {
        // The only one is tried by the connections themselves.
        while self.target.has_several_addresses() {
            let address = self.target.address();
            let is_there = std::net::TcpStream::connect_timeout(&address, self.timeout).is_ok();
            if is_there || !self.target.next_address() {
                return;
            }
        }
    }

    /// Begins a connection.
    fn begin<L: Load<State = S>>(&mut self, load: &mut L) {
        let index = self.peers.len();
        let began = self.now();
        match self.connect(index) {
            Ok(transport) => self.peers.push(Some(Peer {
                transport,
                speaker: Speaker::Http(Responses::default()),
                phase: Phase::Connecting,
                began,
                is_told: false,
                state: S::default(),
            })),
            Err(error) => {
                self.peers.push(None);
                self.troubles.add(&error.to_string());
                load.lost(began, index, ErrorKind::Connect, S::default());
            }
        }
    }

    fn connect(&mut self, index: usize) -> io::Result<Transport> {
        let mut transport = self.sources.connect(&self.target)?;
        let both = Interest::READABLE | Interest::WRITABLE;
        let registry = self.poll.registry();
        registry.register(&mut transport, Token(index), both)?;
        Ok(transport)
    }

    /// The server ended an HTTP connection between two responses, as it may at any time (RFC 9112 section
    /// 9.3): what it did not answer is asked again. `None`: it answers nothing at all, and is lost.
    pub(super) fn ended<L: Load<State = S>>(&mut self, index: usize, load: &mut L) -> Option<()> {
        let peer = self.peers[index].as_mut()?;
        let has_answered = match &peer.speaker {
            Speaker::Http(responses) => responses.has_answered(),
            Speaker::WebSocket(_) => false,
        };
        let waits = load.ended(&mut peer.state);
        if waits && !has_answered {
            return None;
        }
        peer.phase = Phase::Ended;
        // Who lingers is told that nothing more comes. Whoever is gone is gone.
        let _ = peer.transport.end();
        if waits {
            self.open_again(index, load);
        }
        Some(())
    }

    pub(super) fn open_again<L: Load<State = S>>(&mut self, index: usize, load: &mut L) {
        let connected = self.connect(index);
        let Some(peer) = &mut self.peers[index] else {
            return;
        };
        match connected {
            Ok(transport) => {
                peer.transport = transport;
                peer.speaker = Speaker::Http(Responses::default());
                peer.phase = Phase::Connecting;
                self.troubles
                    .add("the server ended a connection between two responses: opened again");
            }
            Err(error) => self.lose(index, ErrorKind::Connect, &error.to_string(), load),
        }
    }
}
