//! What holds of all clients between two turns: that the tables agree on who lives, and that nobody is
//! forgotten who has something to read, to write or to wait for.
//!
//! Only tests ask, since it takes a look at everything: see `docs/simulation.md`.

use super::asides::Asides;
use super::clients::{Client, fact};
use super::simulated::{self, Simulated};
use super::system::System;
use super::{EventLoop, Listening};
use crate::app::schedule::Due;
use crate::moment::Moment;
use crate::output::LogId;
use crate::timer_wheel::TimerKey;
use rustc_hash::{FxHashMap, FxHashSet};
use std::time::Duration;

impl<S: System> EventLoop<S> {
    /// See the module.
    pub(crate) fn check_invariants(&mut self) {
        assert!(self.doomed.is_empty(), "freed at the end of the turn");
        assert!(self.drained.is_empty(), "told at the end of the turn");
        assert!(!self.hub.has_pending(), "carried out after each callback");
        let live: FxHashMap<u32, u16> = self
            .clients
            .iter()
            .map(|(slot, client)| (slot, client.facts()))
            .collect();
        assert_eq!(live.len(), self.clients.len());
        self.check_asides(&live);
        self.check_limits(&live);
        #[cfg(feature = "http2")]
        self.asides.streams.check_invariants(&self.clients);
        self.check_directory(&live);
        self.check_counts(&live);
        let is_live = |slot| live.contains_key(&slot);
        self.access.check_invariants(is_live);
        self.hub.output.borrow().check_invariants(is_live);
        let armed = self.check_schedule();
        let listed: FxHashSet<u32> = self.ready.iter().copied().collect();
        let mut slots: Vec<u32> = live.keys().copied().collect();
        slots.sort_unstable();
        for slot in slots {
            self.check_deadline(slot, &armed);
            self.check_reading(slot, &listed, &armed);
        }
    }

    /// What lies in the asides is somebody's, and counted.
    fn check_asides(&self, live: &FxHashMap<u32, u16>) {
        let has = |slot: &u32, facts| live.get(slot).is_some_and(|all| all & facts != 0);
        let asides = &self.asides;
        for (slot, held) in &asides.held {
            assert!(has(slot, fact::HELD), "held for nobody in slot {slot}");
            assert!(held.from < held.bytes.len(), "nothing is held");
        }
        assert!(asides.uploads.keys().all(|slot| live.contains_key(slot)));
        assert!(asides.outdated.keys().all(|slot| live.contains_key(slot)));
        let encrypted = asides.sessions.keys();
        assert!(encrypted.into_iter().all(|slot| has(slot, fact::ENCRYPTED)));
        let buffered: usize = asides.buffered.values().sum();
        assert_eq!(buffered, asides.buffered_bytes, "half-read input");
        for (slot, client) in self.clients.iter() {
            let is = |fact| client.is(fact);
            assert_eq!(is(fact::HELD), asides.held.contains_key(&slot), "{slot}");
            let is_counted = asides.buffered.contains_key(&slot);
            assert_eq!(is(fact::BUFFERED), is_counted, "half-read in slot {slot}");
            let has_session = asides.sessions.contains_key(&slot);
            assert_eq!(is(fact::ENCRYPTED), has_session, "slot {slot}");
            assert!(!is(fact::DOOMED), "slot {slot} was to be freed");
            self.check_buffered(slot, client);
        }
        for slot in self.hub.streams.slots() {
            let client = self.clients.iter().find(|(other, _)| *other == slot);
            let is_streaming = client.is_some_and(|(_, client)| client.protocol.is_streaming());
            assert!(is_streaming, "a response in pieces to slot {slot}");
        }
    }

    /// Who counts for an address, is refused or has an idle time lives, and does so rightly.
    fn check_limits(&self, live: &FxHashMap<u32, u16>) {
        let Asides {
            addresses,
            refused,
            idle,
            streams,
            ..
        } = &self.asides;
        let is_own = |slot| live.get(&slot).is_some_and(|it| it & fact::CARRIED == 0);
        // After a reload some may have come by other limits.
        let limits_are_first = self.on_reload.is_none();
        let may_count = |slot| is_own(slot) && !refused.contains(&slot);
        addresses.check_invariants(may_count, limits_are_first);
        let own_count = live.len() - streams.len() - refused.len();
        assert!(
            own_count <= self.max_clients || !limits_are_first,
            "more than may be connected"
        );
        let is_told = |listening: &Listening<_>| listening.proxy_protocol;
        let is_known = !self.listeners.is_empty() && !self.listeners.iter().any(is_told);
        let server = &self.settings.server;
        let are_all_counted = addresses.is_limited() && is_known && limits_are_first;
        if are_all_counted && server.trusted_proxies.is_empty() {
            assert_eq!(addresses.len().1, own_count, "who counts");
        }
        let is_refused = |slot: &u32| refused.contains(slot);
        for (slot, client) in self.clients.iter() {
            let is_over = client.protocol.is_lingering();
            assert!(is_over || !is_refused(&slot), "slot {slot} is refused");
            let timeout = client.protocol.endpoint().map(|endpoint| {
                let config = self.settings.endpoint(endpoint);
                config.idle_timeout.is_some()
            });
            // Who is closing has what it had.
            let is_right = timeout.is_none_or(|has| has == idle.contains_key(&slot));
            assert!(is_right, "the idle time of slot {slot}");
        }
        assert!(refused.iter().all(|slot| is_own(*slot)), "who is refused");
        assert!(idle.keys().all(|slot| live.contains_key(slot)), "who idles");
    }

    /// What is counted of half-read input is what there is, or was when the client was last read: what
    /// it gave back since is counted until then.
    fn check_buffered(&self, slot: u32, client: &Client<S::Socket>) {
        let held = self.asides.held.get(&slot);
        let mut bytes = held.map_or(0, |held| held.bytes.capacity());
        bytes += client.protocol.buffered_bytes();
        if client.is(fact::ENCRYPTED) {
            bytes += self.asides.incomplete_bytes(slot);
        }
        let counted = self.asides.buffered.get(&slot).copied().unwrap_or(0);
        assert!(
            counted >= bytes,
            "{bytes} of slot {slot}, {counted} counted"
        );
    }

    /// Who is open in the directory is so in the loop, and in a log.
    fn check_directory(&mut self, live: &FxHashMap<u32, u16>) {
        let open = self.hub.directory.borrow().check_invariants();
        for &(slot, id, endpoint) in &open {
            let (known, client) = self.clients.entry(slot).expect("an open client lives");
            assert_eq!(known, id, "the id in slot {slot}");
            assert_eq!(client.protocol.endpoint(), Some(endpoint), "client {id}");
            assert_ne!(self.hub.output.borrow().log(slot), LogId::NONE, "{id}");
        }
        let endpoints = self.app.endpoints().iter();
        let members: usize = endpoints
            .filter_map(|endpoint| endpoint.state().server())
            .map(|(hub, endpoint)| hub.client_count(*endpoint))
            .sum();
        assert_eq!(members, open.len(), "members of all endpoints");
        let open: FxHashSet<u32> = open.iter().map(|(slot, ..)| *slot).collect();
        for slot in live.keys() {
            let client = self.clients.get_mut(*slot).expect("it lives");
            let is_open = client.protocol.endpoint().is_some();
            assert_eq!(is_open, open.contains(slot), "slot {slot} is open");
        }
    }

    /// What is counted of clients is who there is.
    fn check_counts(&self, live: &FxHashMap<u32, u16>) {
        let counts = &self.hub.counts;
        let with = |fact| live.values().filter(|facts| *facts & fact != 0).count() as u64;
        let streams = with(fact::CARRIED);
        assert_eq!(counts.open_streams.get(), streams, "streams");
        let connections = live.len() as u64 - streams;
        assert_eq!(counts.connections.get(), connections, "connections");
        assert_eq!(counts.securing.get(), with(fact::SECURING), "handshakes");
        let closed: u64 = counts.closed().iter().sum();
        let open: usize = (0..self.settings.endpoints.len())
            .filter_map(|endpoint| u16::try_from(endpoint).ok())
            .map(|endpoint| self.hub.client_count(endpoint))
            .sum();
        assert_eq!(counts.opened.get() - closed, open as u64, "WebSockets");
        assert!(counts.accepted.get() >= connections, "who was accepted");
    }

    /// Timers of clients are those that the clients know of. When each is due.
    fn check_schedule(&self) -> FxHashMap<u32, Moment> {
        let schedule = self.hub.schedule.borrow();
        schedule.check_invariants();
        let (mut armed, mut resumes) = (FxHashMap::default(), false);
        let keys: FxHashMap<u32, TimerKey> = self
            .clients
            .iter()
            .filter_map(|(slot, client)| Some((slot, client.armed?)))
            .collect();
        for (key, deadline, due) in schedule.wheel.iter() {
            match *due {
                Due::Client(slot) => {
                    let slot = u32::from(slot);
                    let is_its = keys.get(&slot) == Some(&key);
                    assert!(is_its, "a timer of slot {slot} that it does not know");
                    armed.insert(slot, deadline);
                }
                Due::ResumeAccepting => resumes = true,
                _ => {}
            }
        }
        assert_eq!(armed.len(), keys.len(), "timers that clients know");
        assert!(resumes || !self.accept_paused, "accepting pauses for ever");
        armed
    }

    /// Who has a deadline is looked at by then.
    fn check_deadline(&mut self, slot: u32, armed: &FxHashMap<u32, Moment>) {
        let now = self.hub.now.get();
        if let Some(deadline) = self.deadline(slot) {
            let timer = armed.get(&slot).copied();
            // One whose input was not looked at is judged a millisecond later.
            let latest = deadline.max(now) + Duration::from_millis(1);
            assert!(
                timer.is_some_and(|timer| timer <= latest),
                "slot {slot} is due at {deadline:?}, its timer at {timer:?}, now {now:?}"
            );
        }
    }

    /// Who has input that was told is read, or something else will see to that.
    fn check_reading(
        &mut self,
        slot: u32,
        listed: &FxHashSet<u32>,
        armed: &FxHashMap<u32, Moment>,
    ) {
        let now = self.hub.now.get();
        let may_read = self.may_read(slot);
        let Some(client) = self.clients.get_mut(slot) else {
            return;
        };
        let is_listed = client.is(fact::LISTED);
        assert!(!is_listed || listed.contains(&slot), "slot {slot} is lost");
        let waits = client.is(fact::HELD | fact::READABLE);
        // A rate that is over lets it go on at its deadline, whose turn may not have come yet.
        let is_due = armed.get(&slot).is_some_and(|timer| *timer <= now);
        assert!(
            !waits || !may_read || is_listed || is_due,
            "nobody reads what waits for slot {slot}, facts {:b}, stop {:?}: {:?}",
            client.facts(),
            self.stop,
            client.protocol
        );
        let is_paused = client.protocol.paused_until().is_some();
        assert!(
            is_paused || may_read || client.is(fact::ABOVE_SOFT),
            "slot {slot} pauses for no reason"
        );
    }
}

impl EventLoop<Simulated> {
    /// What the sockets have is known of, or will be told.
    pub(crate) fn check_sockets(&mut self) {
        for (slot, client) in self.clients.iter() {
            if client.is(fact::CARRIED) {
                continue;
            }
            let (has_input, is_coming, is_full) = simulated::told(client.socket.number());
            let is_known = client.is(fact::READABLE | fact::AT_END);
            assert!(
                !has_input || is_coming || is_known,
                "input of slot {slot} is forgotten: {:?}",
                client.protocol
            );
            let output = self.hub.output.borrow();
            if output.is_blocked(slot) && !client.is(fact::ENCRYPTED) {
                assert!(
                    client.is(fact::WATCHED) && (is_full || is_coming),
                    "slot {slot} is blocked for ever, facts {:b}, full {is_full}: {:?}",
                    client.facts(),
                    client.protocol
                );
            }
        }
    }

    /// Up to when all timers have expired that were due.
    pub(crate) fn expired_until(&self) -> Moment {
        let now = self.hub.now.get();
        let deadline = self.hub.schedule.borrow().wheel.next_deadline();
        deadline.map_or(now, |deadline| deadline.min(now))
    }

    /// Most bytes that wait for any open WebSocket client whose socket is full, and half-read input in
    /// all. Who closes keeps what the turn brought that it began in, and gets nothing more.
    pub(crate) fn most_held_bytes(&self) -> (u64, usize) {
        let output = self.hub.output.borrow();
        let open = self.clients.iter();
        let directory = self.hub.directory.borrow();
        let open = open.filter(|(slot, _)| directory.id_at(*slot).is_some());
        let blocked = open.filter(|(slot, _)| output.is_blocked(*slot));
        let most = blocked.map(|(slot, _)| output.backlog_bytes(slot)).max();
        (most.unwrap_or(0), self.asides.buffered_bytes)
    }
}
