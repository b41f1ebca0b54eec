//! A server that becomes another while it runs: other hosts, listeners, limits and timeouts.
//!
//! What is said now is said to who comes now. A request that is under way is answered by the hosts that
//! it began with, which live as long as there is one; who speaks WebSocket stays with its endpoint;
//! what is being sent goes on. What can fail (to bind, to register, to start an endpoint) comes first: then
//! nothing has changed.

use crate::Responder;
use crate::app::hosts::{Hosts, NO_LISTENER, Outdated};
use crate::app::names::Names;
use crate::app::running::Callback;
use crate::config::Config;
use crate::error::Error;
use crate::event_loop::system::{Listener, System};
use crate::event_loop::tls::Acceptor;
use crate::event_loop::{EventLoop, FIRST_LISTENER, Listening, accept};
use crate::protocol::Protocol;
use crate::rate::Bucket;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

/// What a server is to be from now on.
pub(crate) struct Next<L> {
    pub(crate) listeners: Vec<NextListener<L>>,
    pub(crate) hosts: Vec<Vec<Box<dyn Responder>>>,
    pub(crate) names: Vec<Names>,
    pub(crate) config: Config,
}

/// A listener of such a server.
pub(crate) struct NextListener<L> {
    pub(crate) origin: Origin<L>,
    pub(crate) host: u16,
    pub(crate) proxy_protocol: bool,
    pub(crate) acceptor: Option<Acceptor>,
}

impl<L> NextListener<L> {
    /// One for the clients of `next` that is there already, by its number.
    pub(crate) fn in_place_of(place: usize, next: Listening<()>) -> Self {
        Self {
            origin: Origin::Kept(place),
            host: next.host,
            proxy_protocol: next.proxy_protocol,
            acceptor: next.acceptor,
        }
    }

    /// The same of a server that begins.
    pub(crate) fn bound(self) -> Option<Listening<L>> {
        let Origin::Bound(listener) = self.origin else {
            return None;
        };
        let listening = Listening::new(listener, self.host, self.proxy_protocol);
        Some(listening.secured(self.acceptor))
    }
}

/// Where a listener comes from.
pub(crate) enum Origin<L> {
    /// It is the one of that number now.
    Kept(usize),
    Bound(L),
}

/// What is done when the process is asked to read its files again, or a handle asks for it.
pub(crate) type OnReload<S> = Box<dyn FnMut(&mut EventLoop<S>)>;

impl<S: System> EventLoop<S> {
    /// Does `act` whenever it is asked to reload.
    pub(crate) fn on_reload(&mut self, act: OnReload<S>) {
        self.on_reload = Some(act);
    }

    /// It is asked to. A server whose clients are leaving stays as it is: then it is `false`.
    pub(crate) fn reload(&mut self) -> bool {
        if self.stop.is_begun() {
            log::warn!("the server stops: nothing is read again");
            return false;
        }
        if let Some(mut act) = self.on_reload.take() {
            act(self);
            self.on_reload = Some(act);
            self.carry_out();
        }
        true
    }

    /// The listeners, in the order of their numbers.
    pub(crate) fn listeners(&self) -> &[Listening<S::Listener>] {
        &self.listeners
    }

    /// Becomes another server.
    ///
    /// # Errors
    ///
    /// [`Error::EndpointInUse`], [`Error::Start`], [`Error::Poll`]: nothing has changed.
    pub(crate) fn become_next(&mut self, next: Next<S::Listener>) -> Result<(), Error> {
        let Next {
            mut listeners,
            hosts,
            names,
            config,
        } = next;
        let config = self.bearable(config.bounded());
        let sites = listeners.iter().map(|listener| listener.host).collect();
        let hosts = Hosts::new(hosts, names, sites);
        for (index, listener) in listeners.iter_mut().enumerate() {
            if let Origin::Bound(listener) = &mut listener.origin {
                let listened = self.system.listen(listener, FIRST_LISTENER - index);
                listened.map_err(Error::Poll)?;
            }
        }
        let endpoints = hosts.endpoints();
        let added = self.app.add_endpoints(&endpoints, &self.hub)?;
        self.start_added(&added)?;
        // From here on nothing fails.
        let places = self.replace_listeners(listeners);
        let before = self.app.set_hosts(hosts, &config);
        self.move_clients(&places, before);
        let watch_is_other = !added.is_empty() || config.watchdog != self.settings.server.watchdog;
        self.adopt(config);
        for endpoint in &endpoints {
            if let Some((_, index)) = endpoint.state().server() {
                let config = endpoint.state().config.borrow().bounded();
                self.hub.set_config(*index, &config);
            }
        }
        self.adopt_endpoints();
        if !self.sweeps_files {
            self.close_idle_files();
        }
        if watch_is_other {
            self.watchdog = None;
            self.begin_watch();
        }
        for slot in self.clients.slots() {
            self.arm(slot);
        }
        Ok(())
    }

    /// The configuration as far as a running server can have it: what was told to who is connected, and
    /// tables that are made once, stay.
    fn bearable(&self, config: Config) -> Config {
        let now = &self.settings.server;
        Config {
            http2_max_streams: now.http2_max_streams,
            http2_stream_window_bytes: now.http2_stream_window_bytes,
            max_stream_backlog_bytes: now.max_stream_backlog_bytes,
            max_timers: now.max_timers,
            max_delayed_bytes: now.max_delayed_bytes,
            ..config
        }
    }

    /// Calls `on_start` of new endpoints. If one fails, none of them stays.
    fn start_added(&mut self, added: &[u16]) -> Result<(), Error> {
        let mut failed = None;
        let mut started = Vec::new();
        for &index in added {
            let endpoint = self.app.endpoint(index);
            let start = || endpoint.start();
            match self.app.call(Callback::Start, Some(index), start) {
                Some(Ok(())) => started.push(index),
                Some(Err(error)) => failed = Some(error),
                None => failed = Some("on_start panicked".into()),
            }
            if failed.is_some() {
                break;
            }
        }
        let Some(error) = failed else { return Ok(()) };
        for index in started.into_iter().rev() {
            let endpoint = self.app.endpoint(index);
            let stop = || endpoint.stop();
            self.app.call(Callback::Stop, Some(index), stop);
        }
        for &index in added {
            self.app.remove_endpoint(index);
        }
        Err(Error::Start(error))
    }

    /// Listens by `next`: which number each listener of before has now, if it is there.
    fn replace_listeners(&mut self, next: Vec<NextListener<S::Listener>>) -> Vec<Option<u16>> {
        let mut before: Vec<_> = self.listeners.drain(..).map(Some).collect();
        let mut places = vec![None; before.len()];
        for (index, next) in next.into_iter().enumerate() {
            let (listener, ready) = match next.origin {
                Origin::Bound(listener) => {
                    log::info!("listening on {} too", listener.address());
                    (listener, true)
                }
                Origin::Kept(place) => {
                    let Some(listening) = before[place].take() else {
                        continue;
                    };
                    places[place] = u16::try_from(index).ok();
                    let mut listener = listening.listener;
                    // Its events are told by its number.
                    if place != index
                        && let Err(error) =
                            self.system.relisten(&mut listener, FIRST_LISTENER - index)
                    {
                        log::error!("nobody is accepted on {}: {error}", listener.address());
                    }
                    (listener, true)
                }
            };
            let listening = Listening::new(listener, next.host, next.proxy_protocol);
            self.listeners.push(Listening {
                ready,
                ..listening.secured(next.acceptor)
            });
        }
        for mut listening in before.into_iter().flatten() {
            self.system.unlisten(&mut listening.listener);
            log::info!("listening on {} no more", listening.listener.address());
        }
        self.next_listener = 0;
        self.accept_paused = false;
        places
    }

    /// Clients are of the listeners that there are now; who asks for something keeps the hosts of before
    /// for it, and who asks for nothing leaves with its listener.
    fn move_clients(&mut self, places: &[Option<u16>], before: Hosts) {
        let before = Rc::new(RefCell::new(before));
        let slots = self.clients.slots();
        for &slot in &slots {
            let Some(client) = self.clients.get_mut(slot) else {
                continue;
            };
            let is_asking = client.protocol.is_asking();
            let Some(listener) = client.protocol.listener_mut() else {
                continue;
            };
            let was = *listener;
            let now = places.get(usize::from(was)).copied().flatten();
            *listener = now.unwrap_or(NO_LISTENER);
            if is_asking {
                let outdated = || Outdated {
                    hosts: Rc::clone(&before),
                    listener: was,
                };
                self.asides.outdated.entry(slot).or_insert_with(outdated);
            }
        }
        for slot in slots {
            let client = self.clients.get_mut(slot);
            if client
                .is_some_and(|client| client.protocol.listener_mut().copied() == Some(NO_LISTENER))
            {
                self.dismiss_carrier(slot);
                self.dismiss_idle(slot);
            }
        }
    }

    /// Goes by other limits and timeouts.
    fn adopt(&mut self, config: Config) {
        let before = std::mem::replace(&mut self.settings.server, config);
        let config = &self.settings.server;
        // Other files may be kept open by now.
        let most = config.max_connections;
        self.max_clients = most.unwrap_or_else(accept::descriptors_for_clients);
        self.hub.output.borrow_mut().reserve(self.max_clients);
        if config.max_connections_per_address != before.max_connections_per_address {
            let most = config.max_connections_per_address;
            self.asides.addresses.set_limit(most);
        }
        let rate = self.settings.server.max_connections_per_second;
        if rate != before.max_connections_per_second {
            let now = self.hub.now.get();
            self.arrivals = rate.map(|rate| Bucket::new(rate.into(), now));
        }
    }

    /// Goes by the options of endpoints as the hub has them.
    fn adopt_endpoints(&mut self) {
        let waker = Waker::from(Arc::clone(&self.control));
        for (index, endpoint) in (0..).zip(self.app.endpoints()) {
            let remote = &endpoint.state().remote;
            let max_frame_bytes = self.hub.max_frame_bytes(index);
            remote.attach(waker.clone(), &self.settings.server, max_frame_bytes);
            let config = self.hub.config(index);
            match self.settings.endpoints.get_mut(usize::from(index)) {
                Some(known) => *known = config,
                None => self.settings.endpoints.push(config),
            }
        }
        for slot in self.clients.slots() {
            let client = self.clients.get_mut(slot);
            let endpoint = client.and_then(|client| client.protocol.endpoint());
            let Some(endpoint) = endpoint else { continue };
            let has_time = self.settings.endpoint(endpoint).idle_timeout.is_some();
            if !has_time {
                self.asides.idle.remove(&slot);
            } else if !self.asides.idle.contains_key(&slot) {
                self.begin_idle_time(slot, endpoint);
            }
        }
    }
}

impl Protocol {
    /// Whether a request has begun that nobody was asked to answer yet.
    fn is_asking(&self) -> bool {
        let is_http = matches!(self, Self::Http1(..) | Self::Exchange(_));
        is_http && !self.is_idle_http() && !self.is_streaming() && !self.is_receiving()
    }
}
