//! The handle by which an application sees what its server counts.

use crate::app::hub::Hub;
use crate::moment::Moment;
use crate::panics;
use crate::stats::{CLOSE_CODES, EndpointClients, Limit, SlowClient, Snapshot, state_lines};
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

/// Slowest clients that a snapshot has.
const SLOWEST: usize = 10;

/// What a server counts, for who runs on its thread: responders, handlers of endpoints, observers.
///
/// A cheap clone. From [`Server::stats`](crate::Server::stats), before the server is bound: until then
/// everything is zero.
///
/// ```
/// use aerys::{Host, Request, Response, Router, Server};
/// let server = Server::new();
/// let stats = server.stats();
/// let router = Router::new().get("/metrics", move |_: &mut Request, response: &mut Response| {
///     response.set_header("content-type", "text/plain; version=0.0.4");
///     response.end(stats.snapshot().to_prometheus());
/// });
/// let server = server.host(Host::new().listen("127.0.0.1:0").add(router));
/// ```
#[derive(Clone, Default)]
pub struct Stats {
    shared: Rc<Shared>,
}

#[derive(Default)]
struct Shared {
    hub: OnceCell<Rc<Hub>>,
    /// Panics on this thread before there was a server.
    earlier_panics: Cell<u64>,
    /// What endpoints are called, by index.
    names: RefCell<Rc<[String]>>,
    /// Somebody has a handle.
    is_asked_for: Cell<bool>,
}

impl Stats {
    /// A handle for the application: what is measured for it alone is measured from now on.
    pub(crate) fn asked_for(&self) -> Self {
        self.shared.is_asked_for.set(true);
        self.clone()
    }

    /// The server is there: `names` are those of its endpoints, empty where there is none.
    pub(crate) fn attach(&self, hub: &Rc<Hub>, names: Vec<String>) {
        let is_known = self.shared.hub.get().is_some();
        if !is_known {
            self.shared.earlier_panics.set(panics::count());
            if self.shared.is_asked_for.get() {
                hub.counts.turns.replace(Some(Box::default()));
            }
        }
        let known = self.shared.hub.get_or_init(|| Rc::clone(hub));
        debug_assert!(Rc::ptr_eq(known, hub), "a server has its own");
        self.shared.names.replace(names.into());
    }

    fn names(&self) -> Rc<[String]> {
        Rc::clone(&self.shared.names.borrow())
    }

    /// Whether a stop was asked for: the server drains, or its clients are leaving. What a check of its
    /// health should say, at the price of reading one flag.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        let hub = self.shared.hub.get();
        hub.is_some_and(|hub| hub.counts.is_draining.get())
    }

    /// All that is counted, at this moment. It costs some microseconds however many clients there are:
    /// none of them is visited, but for up to 4,096 of those for which something waits.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let Some(hub) = self.shared.hub.get() else {
            return Snapshot::with_names(|_| 0, [0; CLOSE_CODES.len()]);
        };
        let counts = &hub.counts;
        let output = hub.output.borrow();
        let sent = output.total_sent();
        let dropped = output.dropped();
        let whole = hub.whole_messages_read();
        let schedule = hub.schedule.borrow();
        let snapshot = Snapshot {
            uptime: hub.now.get().since(Moment::START),
            is_draining: counts.is_draining.get(),
            connections_accepted: counts.accepted.get(),
            connections: counts.connections.get(),
            responses: counts.responses(),
            websockets_opened: counts.opened.get(),
            endpoints: self.endpoints(hub),
            frames_read: counts.frames_read.get() + whole,
            frames_sent: sent.frames + dropped.frames,
            messages_read: counts.messages_read.get() + whole,
            messages_sent: sent.messages + dropped.messages,
            messages_dropped: counts.messages_refused.get() + dropped.messages,
            broadcasts: counts.broadcasts.get(),
            bytes_read: hub.bytes_read(),
            bytes_written: counts.bytes_written.get(),
            tls_handshakes: counts.tls_handshakes.get(),
            tls_handshakes_failed: counts.tls_failures.get(),
            tls_handshakes_pending: counts.securing.get(),
            http2_connections: counts.http2_connections.get(),
            http2_streams_opened: counts.streams.get(),
            http2_streams: counts.open_streams.get(),
            backlog_bytes: output.queued_bytes(),
            blocked_clients: output.blocked_count(),
            timers: schedule.wheel.len() as u64,
            timers_fired: counts.fired.get(),
            turns: counts
                .turns
                .borrow()
                .as_deref()
                .cloned()
                .unwrap_or_default(),
            panics: panics::count() - self.shared.earlier_panics.get(),
            ..Snapshot::with_names(
                |limit| match limit {
                    Limit::Timers => schedule.dropped_count(),
                    limit => counts.refused(limit),
                },
                counts.closed(),
            )
        };
        drop(output);
        Snapshot {
            slowest: self.slowest(hub),
            ..snapshot
        }
    }

    /// Logs what the server has now, at `info`: who is connected, what waits, how long turns take. What
    /// `SIGUSR1` does where the server takes signals.
    pub fn log_state(&self) {
        for line in state_lines(&self.snapshot()) {
            log::info!("{line}");
        }
    }

    fn endpoints(&self, hub: &Hub) -> Vec<EndpointClients> {
        let mut clients = BTreeMap::<&str, u64>::new();
        let names = self.names();
        for (endpoint, name) in (0..=u16::MAX).zip(&*names) {
            // Without a name it is no endpoint.
            if !name.is_empty() {
                *clients.entry(name).or_default() += hub.client_count(endpoint) as u64;
            }
        }
        let clients = clients.into_iter();
        let told = clients.map(|(name, clients)| EndpointClients {
            name: name.to_owned(),
            clients,
        });
        told.collect()
    }

    fn slowest(&self, hub: &Hub) -> Vec<SlowClient> {
        let names = self.names();
        let directory = hub.directory.borrow();
        let mut output = hub.output.borrow_mut();
        let is_open = |slot| directory.id_at(slot).is_some();
        let slowest = output.slowest(SLOWEST, is_open).into_iter();
        let told = slowest.filter_map(|(slot, backlog_bytes)| {
            let id = directory.id_at(slot)?;
            Some(SlowClient {
                id,
                remote_address: directory.info(slot)?.remote_address,
                endpoint: names.get(usize::from(directory.endpoint_of(id)?))?.clone(),
                backlog_bytes,
            })
        });
        told.collect()
    }
}

impl fmt::Debug for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stats")
            .field("is_bound", &self.shared.hub.get().is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
