//! Who comes in: so many a turn, up to a limit, and not at all while there is no descriptor left.

use crate::app::hosts::NO_LISTENER;
use crate::app::schedule::Due;
use crate::app::static_files::kept_open_at_most;
use crate::event_loop::addresses::Origin;
use crate::event_loop::clients::{Client, fact};
use crate::event_loop::listener::without_mapping;
use crate::event_loop::system::{Accepted, Listener, Socket, System, WriteOutcome};
use crate::event_loop::tls::Session;
use crate::event_loop::warnings::Warning;
use crate::event_loop::{EventLoop, token_of};
use crate::http::{Address, ConnectionInfo};
use crate::output::{Bytes, Unit};
use crate::protocol::Protocol;
use crate::stats::Limit;
use crate::trust::is_trusted;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

/// Accepts a turn and listener: a storm of connects does not hold up those who are served.
const ACCEPTS_PER_TURN: usize = 64;
/// How long accepting pauses for want of descriptors, unless a client leaves before.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Refused clients that are kept until they have read so; more than that are told as far as their
/// socket takes it at once.
const REFUSED_AT_ONCE: usize = 16;
const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n\
    Content-Length: 0\r\nConnection: close\r\n\r\n";

impl<S: System> EventLoop<S> {
    pub(super) fn accept_from(&mut self, index: usize) {
        let mut lost = 0;
        for _ in 0..ACCEPTS_PER_TURN {
            if self.connection_count() >= self.max_clients && self.is_room_to_come() {
                return;
            }
            let listening = &mut self.listeners[index];
            match listening.listener.accept() {
                Accepted::Client(socket, address) => {
                    self.admit(socket, address, index);
                    if self.note_arrival() {
                        return;
                    }
                }
                Accepted::Nobody => {
                    listening.ready = false;
                    return;
                }
                Accepted::Lost(error) => {
                    lost += 1;
                    if lost == ACCEPTS_PER_TURN {
                        // Not this client's trouble or that one's: it may last.
                        self.pause_accepting(&error);
                    }
                }
                Accepted::Exhausted(error) => {
                    // Files that are kept for later go first.
                    if self.app.close_kept_files() == 0 {
                        self.pause_accepting(&error);
                        return;
                    }
                }
            }
        }
    }

    /// The one behind the listener `index`, in a ring of all.
    pub(super) fn listener_after(&self, index: usize) -> usize {
        let next = index + 1;
        if next < self.listeners.len() { next } else { 0 }
    }

    /// Clients that have a connection of their own, and are not refused.
    fn connection_count(&self) -> usize {
        self.clients.len() - self.asides.streams.len() - self.asides.refused.len()
    }

    /// Whether somebody who counts leaves in this turn, and so makes room in the next. Streams come to
    /// their end at any time, and who is refused had no place.
    fn is_room_to_come(&mut self) -> bool {
        // Who made room for the last newcomer is the last one.
        let mut leaving = self.doomed.iter().rev();
        leaving.any(|slot| {
            let client = self.clients.get_any_mut(*slot);
            client.is_some_and(|client| !client.is(fact::CARRIED))
                && !self.asides.refused.contains(slot)
        })
    }

    /// Whether newcomers are taken now.
    pub(super) fn may_accept(&self) -> bool {
        let waits_until = self.arrivals.and_then(|arrivals| arrivals.resumes());
        !self.accept_paused && waits_until.is_none_or(|until| until <= self.hub.now.get())
    }

    /// Somebody came. Whether the next ones are to wait, as more come a second than may.
    fn note_arrival(&mut self) -> bool {
        let Some(arrivals) = &mut self.arrivals else {
            return false;
        };
        arrivals.take(1, self.hub.now.get());
        let Some(until) = arrivals.resumes() else {
            return false;
        };
        let mut schedule = self.hub.schedule.borrow_mut();
        schedule.wheel.insert(until, Due::ResumeAccepting);
        true
    }

    fn pause_accepting(&mut self, error: &io::Error) {
        self.warn(
            Warning::AcceptingPauses,
            format_args!("accepting pauses: {error}"),
        );
        self.accept_paused = true;
        let deadline = self.hub.now.get() + ACCEPT_PAUSE;
        let mut schedule = self.hub.schedule.borrow_mut();
        schedule.wheel.insert(deadline, Due::ResumeAccepting);
    }

    /// A connection was accepted by the listener `index`: makes it a client, or refuses it.
    pub(super) fn admit(&mut self, mut socket: S::Socket, address: Address, index: usize) {
        self.hub.counts.accepted.one();
        let trusted = &self.settings.server.trusted_proxies;
        if self.listeners[index].proxy_protocol
            && !trusted.is_empty()
            && !is_trusted(trusted, address.ip())
        {
            self.hub.counts.refuse(Limit::UntrustedProxy);
            log::debug!("{address} is closed: it is no trusted proxy");
            return;
        }
        let is_proxied = self.listeners[index].proxy_protocol;
        let origin = address.ip().filter(|_| !is_proxied);
        let origin = origin.and_then(|ip| self.origin_of(ip));
        let is_refused = origin.is_some_and(|origin| self.is_too_many(origin)) || self.is_full();
        let is_encrypted = self.listeners[index].acceptor.is_some();
        // Who speaks TLS could not read it.
        let is_told = !is_encrypted && self.asides.refused.len() < REFUSED_AT_ONCE;
        let id = self.clients.next_id();
        let id = id.filter(|_| is_told || !is_refused);
        let registered = id.filter(|id| {
            let registered = self.system.register(&mut socket, token_of(*id));
            if let Err(error) = &registered {
                self.hub.counts.refuse(Limit::Unregistered);
                // Of the poll's watches or memory there is no more, perhaps for long.
                self.warn(
                    Warning::Unregistered,
                    format_args!(
                        "a client is refused, its socket could not be registered: {error}"
                    ),
                );
            }
            registered.is_ok()
        });
        let Some(id) = registered else {
            if !is_encrypted {
                self.refuse_at_once(&mut socket, address);
            }
            return;
        };
        let listening = &self.listeners[index];
        let mut local_address = listening.listener.address().clone();
        if local_address.ip().is_some_and(|ip| ip.is_unspecified())
            && let Ok(address) = socket.local_address()
        {
            local_address = without_mapping(address).into();
        }
        log::debug!("client {id} connected from {address}");
        let info = ConnectionInfo {
            remote_address: address,
            local_address,
            encrypted: is_encrypted,
            is_anonymous: false,
        };
        let session = listening.acceptor.as_ref().and_then(Session::new);
        let now = self.hub.now.get();
        let number = u16::try_from(index).unwrap_or(NO_LISTENER);
        let mut output = self.hub.output.borrow_mut();
        output.open(id.slot());
        let protocol = if is_refused {
            output.send(id.slot(), Unit::default(), Bytes::Parts(REFUSAL, b""));
            if self.access.is_on() {
                let until = output.position(id.slot());
                self.access.refuse(id.slot(), &info, until, now.as_nanos());
            }
            Protocol::Lingering(None)
        } else if listening.proxy_protocol {
            Protocol::proxied(number, info, now)
        } else if is_encrypted {
            Protocol::securing(number, info, now)
        } else {
            Protocol::accepted(number, info, now)
        };
        drop(output);
        let mut client = Client::new(socket, protocol, now);
        if let Some(session) = session {
            client.set(fact::ENCRYPTED | fact::SECURING);
            self.hub.counts.securing.up();
            self.asides.sessions.insert(id.slot(), Box::new(session));
        }
        self.clients.insert(client);
        self.count_connection();
        if is_refused {
            self.asides.refused.insert(id.slot());
        } else if let Some(origin) = origin {
            self.asides.addresses.enter(id.slot(), origin);
        }
        self.arm(id.slot());
    }

    /// Who comes is no client, and told so as far as its socket takes it.
    fn refuse_at_once(&mut self, socket: &mut S::Socket, address: Address) {
        let mut taken = 0;
        if let WriteOutcome::Bytes(len) = socket.write(REFUSAL) {
            self.hub.counts.bytes_written.add(len as u64);
            taken = len;
        }
        if self.access.is_on() {
            let info = ConnectionInfo {
                remote_address: address.clone(),
                local_address: address,
                encrypted: false,
                is_anonymous: false,
            };
            self.access.tell_refused(&info, taken == REFUSAL.len());
            self.carry_out();
        }
    }

    /// Whether as many are connected as may be, and nobody of them can be sent away.
    fn is_full(&mut self) -> bool {
        let most = self.max_clients;
        let is_full = self.connection_count() >= most && !self.make_room_for_newcomer();
        if is_full {
            self.hub.counts.refuse(Limit::Connections);
            self.warn(
                Warning::Full,
                format_args!("a client is refused: {most} are connected, the limit"),
            );
        }
        is_full
    }

    /// Whom a connection from `ip` counts for, if it does: who speaks for many is not counted.
    fn origin_of(&self, ip: IpAddr) -> Option<Origin> {
        let trusted = &self.settings.server.trusted_proxies;
        let counts = self.asides.addresses.is_limited() && !is_trusted(trusted, Some(ip));
        counts.then(|| Origin::from(ip))
    }

    /// Whether a client more would be one too many of its address.
    fn is_too_many(&mut self, origin: Origin) -> bool {
        let full = self.asides.addresses.is_full(origin);
        if let Some(most) = full {
            self.hub.counts.refuse(Limit::ConnectionsPerAddress);
            self.warn(
                Warning::FullAddress,
                format_args!("a client is refused: {origin} has {most} connections, its limit"),
            );
        }
        full.is_some()
    }

    /// A PROXY header said who the client in `slot` is: that counts from now on, or is refused.
    pub(super) fn introduced(&mut self, slot: u32, ip: Option<IpAddr>) {
        let Some(origin) = ip.and_then(|ip| self.origin_of(ip)) else {
            return;
        };
        if !self.is_too_many(origin) {
            return self.asides.addresses.enter(slot, origin);
        }
        let Some(client) = self.clients.get_mut(slot) else {
            return;
        };
        if client.is(fact::ENCRYPTED) {
            return self.doom(slot);
        }
        let protocol = std::mem::replace(&mut client.protocol, Protocol::Lingering(None));
        let refusal = Bytes::Parts(REFUSAL, b"");
        let mut output = self.hub.output.borrow_mut();
        output.send(slot, Unit::default(), refusal);
        if self.access.is_on()
            && let Protocol::Http1(connection, _) = protocol
        {
            let (until, began) = (output.position(slot), connection.since().as_nanos());
            self.access.refuse(slot, connection.info(), until, began);
        }
        drop(output);
        if self.asides.refused.len() < REFUSED_AT_ONCE {
            self.asides.refused.insert(slot);
        } else {
            self.flush_client(slot);
            self.doom(slot);
        }
    }

    /// How many addresses are counted, and for how many clients.
    pub(crate) fn counted_addresses(&self) -> (usize, usize) {
        self.asides.addresses.len()
    }
}

/// How many clients the process has descriptors for, beside the files that are kept open.
pub(super) fn descriptors_for_clients() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    beside_kept_files(limit.current, kept_open_at_most())
}

fn beside_kept_files(limit: Option<u64>, kept: usize) -> usize {
    /// For listeners, the poll, logs, files that are only being sent.
    const RESERVED: usize = 32;
    /// Where no limit is set: more than one machine can hold.
    const MOST: u64 = 1 << 20;
    let descriptors = usize::try_from(limit.unwrap_or(MOST).min(MOST)).unwrap_or(usize::MAX);
    descriptors.saturating_sub(RESERVED + kept).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_promised_what_listeners_and_kept_files_leave() {
        assert_eq!(beside_kept_files(Some(256), 0), 224);
        assert_eq!(beside_kept_files(Some(256), 32), 192);
        assert_eq!(beside_kept_files(Some(16), 2), 1);
        assert_eq!(beside_kept_files(None, 1024), (1 << 20) - 1024 - 32);
    }
}
