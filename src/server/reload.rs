//! What hosts come to: listeners, and who answers at each. At the start, and whenever a server becomes
//! another while it runs.

use super::addresses::Options;
use super::plan::{self, Sites};
use super::secure::{Acceptors, Reload};
use super::{Host, Server};
use crate::app::names::Names;
use crate::app::stats::Stats;
use crate::config::Config;
use crate::error::Error;
use crate::event_loop::kernel::Kernel;
use crate::event_loop::listener::ListeningSocket;
use crate::event_loop::observer::{Observer, ServerEvent};
use crate::event_loop::passed::PassedListener;
use crate::event_loop::reload::{self, Next, NextListener, Origin};
use crate::event_loop::system::Listener;
use crate::event_loop::{EventLoop, Listening};
use crate::http::Address;
use crate::{Responder, panics};
use std::fmt;
use std::io::ErrorKind;

/// Who answers, and within which limits.
pub(super) struct Planned {
    pub(super) hosts: Vec<Vec<Box<dyn Responder>>>,
    pub(super) names: Vec<Names>,
    pub(super) config: Config,
    /// Of files of Unix sockets that are there already, by the number of the listener.
    modes: Vec<(usize, u32)>,
}

/// Of `?mode=`, at a socket whose file is there.
const MODE_OF_PASSED: &str = "the socket was passed: its file has the mode that its maker chose";

/// Binds the addresses of `hosts`, but for those at which one of `known` listens.
///
/// # Errors
///
/// As [`Server::bind`].
pub(super) fn plan<'k>(
    hosts: Vec<Host>,
    config: Config,
    mut passed: Vec<PassedListener>,
    known: &'k [Listening<ListeningSocket>],
    acceptors: &mut Acceptors,
) -> Result<(Planned, Vec<NextListener<ListeningSocket>>), Error> {
    let planned = plan::plan(&hosts)?;
    if planned.is_empty() {
        return Err(Error::NoAddress);
    }
    let mut sites = Sites::new(&hosts);
    let site_of = |planned| sites.site(planned);
    let places = planned.iter().map(site_of).collect::<Result<Vec<_>, _>>()?;
    let mut is_kept = vec![false; known.len()];
    let kept: Vec<Option<usize>> = planned
        .iter()
        .map(|planned| {
            let is_it = |(index, known): &(usize, &Listening<ListeningSocket>)| {
                !is_kept[*index] && known.listener().is_of(&planned.address)
            };
            let (index, _) = known.iter().enumerate().find(is_it)?;
            is_kept[index] = true;
            Some(index)
        })
        .collect();
    let goes = |(known, is_kept): (&'k Listening<ListeningSocket>, &bool)| {
        // The port of one that was passed stays its maker's.
        let goes = !is_kept && !known.listener().is_passed();
        goes.then_some(known.listener())
    };
    let going: Vec<&ListeningSocket> = known.iter().zip(&is_kept).filter_map(goes).collect();
    let mut listeners = Vec::new();
    let mut modes = Vec::new();
    for ((planned, host), kept) in planned.iter().zip(places).zip(kept) {
        let Options {
            mode,
            proxy_protocol,
            tls,
        } = planned.options;
        let acceptor = match tls {
            Some(true) => Some(acceptors.acceptor(&hosts, planned)?),
            Some(false) | None => None,
        };
        let is_it = |passed: &PassedListener| *passed.address() == planned.address;
        let place = passed.iter().position(is_it);
        let passed = place.map(|place| passed.swap_remove(place));
        let is_made = match kept {
            Some(kept) => !known[kept].listener().is_passed(),
            None => passed.is_none(),
        };
        if kept.is_some() {
            modes.extend(mode.map(|mode| (listeners.len(), mode)));
        }
        let backlog = config.listen_backlog;
        let origin = match (kept, passed) {
            _ if mode.is_some() && !is_made => Err(plan::invalid(MODE_OF_PASSED)),
            (Some(kept), _) => Ok(Origin::Kept(kept)),
            (None, Some(passed)) => ListeningSocket::passed(passed).map(Origin::Bound),
            (None, None) => match ListeningSocket::bind(&planned.address, mode, backlog) {
                Err(error) if error.kind() == ErrorKind::AddrInUse && !going.is_empty() => {
                    ListeningSocket::bind_in_place_of(&going, &planned.address, backlog)
                }
                bound => bound,
            }
            .map(Origin::Bound),
        };
        let origin = origin.map_err(|source| Error::Bind {
            address: planned.text.clone(),
            source,
        })?;
        listeners.push(NextListener {
            origin,
            host,
            proxy_protocol,
            acceptor,
        });
    }
    if let Some(unused) = passed.first() {
        return Err(Error::Bind {
            address: unused.address().to_string(),
            source: plan::invalid("a socket was passed for it, and no host listens there"),
        });
    }
    let names = sites.into_names();
    let hosts = hosts.into_iter().map(Host::into_responders).collect();
    let planned = Planned {
        hosts,
        names,
        config,
        modes,
    };
    Ok((planned, listeners))
}

/// A server that runs, and may become another: what [`Server::on_reload`] gives.
///
/// Nobody who is connected is disturbed. Who connects, and every request that begins, is served by the
/// hosts of the new server; requests that are under way are answered by those of before. Who speaks
/// WebSocket stays with its endpoint: give a clone of that to the new hosts, and it is one for old clients and
/// new.
/// An endpoint that no host has any more serves its clients until the stop, and keeps its place till then.
/// Its options ([`WebSocket::config`](crate::WebSocket::config)) count from then on, for all its clients;
/// rates of frames and bytes for new ones; how messages are compressed stays.
///
/// Addresses at which it listens already are listened on without a break, others are bound, and those that
/// are not there any more are given up: who is connected there, and asks for nothing, is closed. An
/// address with port 0 keeps the port that was picked. The file of a Unix socket that stays is the same, with
/// the mode that is asked for now. Sockets that were [passed](Server::listener) and are listened on already
/// may be passed once more, and are dropped.
///
/// Of the [`Config`] everything counts from then on, but for what clients were told when they came or
/// tables that are made once: `http2_max_streams`, `http2_stream_window_bytes`,
/// `max_stream_backlog_bytes`, `max_timers`, `max_delayed_bytes`; `listen_backlog` counts for listeners that
/// are bound then. Whether signals are taken, who observes, the [access log](Server::access_log) and
/// [`Stats`](crate::Stats) stay those of the first server, with all that is counted: another's are dropped.
pub struct Reloading<'l> {
    event_loop: &'l mut EventLoop<Kernel>,
    acceptors: &'l mut Acceptors,
    reload: &'l Reload,
}

impl Reloading<'_> {
    /// Makes it that server.
    ///
    /// # Errors
    ///
    /// As [`Server::bind`] and [`Error::Start`], of an endpoint that is new: nothing has changed.
    pub fn become_server(&mut self, server: Server) -> Result<(), Error> {
        let Server {
            hosts,
            config,
            passed,
            ..
        } = server;
        let mut acceptors = self.acceptors.next();
        let known = self.event_loop.listeners();
        let (planned, listeners) = plan(hosts, config, passed, known, &mut acceptors)?;
        self.event_loop.become_next(Next {
            listeners,
            hosts: planned.hosts,
            names: planned.names,
            config: planned.config,
        })?;
        for (index, mode) in planned.modes {
            let listener = self.event_loop.listeners()[index].listener();
            if let Err(error) = listener.set_mode(mode) {
                log::error!("the mode of {} stays: {error}", listener.address());
            }
        }
        acceptors.tell(self.reload);
        *self.acceptors = acceptors;
        Ok(())
    }

    /// The addresses that it listens on now, and whether TLS is spoken there.
    #[must_use]
    pub fn addresses(&self) -> Vec<(Address, bool)> {
        let listeners = self.event_loop.listeners().iter();
        listeners
            .map(|listening| {
                (
                    listening.listener().address().clone(),
                    listening.is_encrypted(),
                )
            })
            .collect()
    }
}

impl fmt::Debug for Reloading<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloading")
            .field("addresses", &self.addresses())
            .finish_non_exhaustive()
    }
}

/// What the application does on a reload, if anything.
#[derive(Default)]
pub(super) struct OnReload(Option<Box<Act>>);

type Act = dyn FnMut(&mut Reloading<'_>);

impl OnReload {
    pub(super) fn new(act: impl FnMut(&mut Reloading<'_>) + 'static) -> Self {
        Self(Some(Box::new(act)))
    }

    pub(super) const fn is_any(&self) -> bool {
        self.0.is_some()
    }

    /// All that is done then: that, and certificates are read again.
    pub(super) fn into_act(
        self,
        mut acceptors: Acceptors,
        reload: Reload,
        observer: Observer,
        stats: Stats,
    ) -> reload::OnReload<Kernel> {
        let mut act = self.0;
        Box::new(move |event_loop| {
            observer.tell(ServerEvent::Reloading);
            if let Some(act) = &mut act {
                let mut reloading = Reloading {
                    event_loop,
                    acceptors: &mut acceptors,
                    reload: &reload,
                };
                panics::catch("on_reload", || act(&mut reloading));
                event_loop.attach(&stats);
            }
            reload.run_if_any();
            observer.tell(ServerEvent::Reloaded);
        })
    }
}

impl fmt::Debug for OnReload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OnReload").field(&self.is_any()).finish()
    }
}
