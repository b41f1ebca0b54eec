//! Who comes in: so many a turn, up to a limit, and not at all while there is no descriptor left.

use crate::app::schedule::Due;
use crate::app::static_files::kept_open_at_most;
use crate::event_loop::clients::{Client, fact};
use crate::event_loop::system::{Accepted, Listener, Socket, System};
use crate::event_loop::tls::Session;
use crate::event_loop::{EventLoop, token_of};
use crate::http::{Address, ConnectionInfo};
use crate::output::{Bytes, Unit};
use crate::protocol::Protocol;
use crate::trust::is_trusted;
use std::io;
use std::time::Duration;

/// Accepts a turn and listener: a storm of connects does not hold up those who are served.
const ACCEPTS_PER_TURN: usize = 64;
/// How long accepting pauses for want of descriptors, unless a client leaves before.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Clients over the limit that are kept until they have read their refusal; more than that are
/// told as far as their socket takes it at once.
const REFUSED_AT_ONCE: usize = 16;
const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n\
    Content-Length: 0\r\nConnection: close\r\n\r\n";
/// Least time between two warnings that accepting is refused.
const WARNING_INTERVAL: Duration = Duration::from_secs(1);

impl<S: System> EventLoop<S> {
    pub(super) fn accept_from(&mut self, index: usize) {
        let mut lost = 0;
        for _ in 0..ACCEPTS_PER_TURN {
            if self.connection_count() >= self.max_clients && !self.doomed.is_empty() {
                // Those who leave in this turn make room in the next.
                return;
            }
            let listening = &mut self.listeners[index];
            match listening.listener.accept() {
                Accepted::Client(socket, address) => {
                    self.admit(socket, address, index);
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

    /// Clients that have a connection of their own.
    fn connection_count(&self) -> usize {
        self.clients.len() - self.asides.streams.len()
    }

    fn pause_accepting(&mut self, error: &io::Error) {
        self.warn(&format!("accepting pauses: {error}"));
        self.accept_paused = true;
        let deadline = self.hub.now.get() + ACCEPT_PAUSE;
        let mut schedule = self.hub.schedule.borrow_mut();
        schedule.wheel.insert(deadline, Due::ResumeAccepting);
    }

    /// Warns, but once a second at most: the cause may come back with every connect.
    pub(super) fn warn(&mut self, message: &str) {
        let now = self.hub.now.get();
        if self
            .warned
            .is_none_or(|warned| now >= warned + WARNING_INTERVAL)
        {
            self.warned = Some(now);
            log::warn!("{message}");
        }
    }

    /// A connection was accepted by the listener `index`: makes it a client, or refuses it.
    pub(super) fn admit(&mut self, mut socket: S::Socket, address: Address, index: usize) {
        let trusted = &self.settings.server.trusted_proxies;
        if self.listeners[index].proxy_protocol
            && !trusted.is_empty()
            && !is_trusted(trusted, address.ip())
        {
            log::debug!("{address} is closed: it is no trusted proxy");
            return;
        }
        let full = self.connection_count() >= self.max_clients;
        if full {
            self.warn(&format!(
                "a client is refused: {} are connected, the limit",
                self.max_clients
            ));
        }
        let too_many = self.connection_count() >= self.max_clients + REFUSED_AT_ONCE;
        let id = if too_many {
            None
        } else {
            self.clients.next_id()
        };
        let is_encrypted = self.listeners[index].acceptor.is_some();
        let registered = id.filter(|id| {
            let registered = self.system.register(&mut socket, token_of(*id));
            if let Err(error) = &registered {
                // Of the poll's watches or memory there is no more, perhaps for long.
                self.warn(&format!(
                    "a client is refused, its socket could not be registered: {error}"
                ));
            }
            registered.is_ok()
        });
        let Some(id) = registered else {
            // Who speaks TLS could not read it.
            if !is_encrypted {
                socket.write(REFUSAL);
            }
            return;
        };
        let listening = &self.listeners[index];
        let mut local_address = listening.listener.address().clone();
        if local_address.ip().is_some_and(|ip| ip.is_unspecified())
            && let Ok(address) = socket.local_address()
        {
            local_address = address.into();
        }
        log::debug!("client {id} connected from {address}");
        let info = ConnectionInfo {
            remote_address: address,
            local_address,
            encrypted: is_encrypted,
            is_anonymous: false,
        };
        let session = listening.acceptor.as_ref().filter(|_| !full);
        let session = session.and_then(Session::new);
        let now = self.hub.now.get();
        let mut output = self.hub.output.borrow_mut();
        output.open(id.slot());
        let protocol = if full {
            if !is_encrypted {
                output.send(id.slot(), Unit::default(), Bytes::Parts(REFUSAL, b""));
            }
            Protocol::Lingering(None)
        } else if listening.proxy_protocol {
            Protocol::proxied(listening.host, info, now)
        } else if is_encrypted {
            Protocol::securing(listening.host, info, now)
        } else {
            Protocol::accepted(listening.host, info, now)
        };
        drop(output);
        let mut client = Client::new(socket, protocol, now);
        if let Some(session) = session {
            client.set(fact::ENCRYPTED);
            self.asides.sessions.insert(id.slot(), Box::new(session));
        }
        self.clients.insert(client);
        self.arm(id.slot());
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
