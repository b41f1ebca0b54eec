//! The public front door: hosts, bind, run, stop. Builds the loop, then hands over to it.

mod addresses;
mod plan;
mod reload;
mod secure;

pub use reload::Reloading;

use crate::access::AccessLog;
use crate::app::handler::Responder;
use crate::app::middleware::{Layers, Middleware, Surrounded};
use crate::app::names::Names;
use crate::app::stats::Stats;
use crate::config::Config;
use crate::error::Error;
use crate::event_loop::control::Control;
use crate::event_loop::kernel::Kernel;
use crate::event_loop::listener::ListeningSocket;
use crate::event_loop::observer::{Observer, ServerEvent};
use crate::event_loop::passed::PassedListener;
use crate::event_loop::reload::NextListener;
use crate::event_loop::system::Listener;
use crate::event_loop::{EventLoop, Listening, SIGNALS, WAKER};
use crate::http::Address;
#[cfg(feature = "tls")]
use crate::tls::{Tls, TlsError};
use plan::Sites;
use reload::{OnReload, Planned};
use secure::{Acceptors, Certificates, Reload};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Addresses to listen on, names, and who answers to them.
///
/// ```
/// use aerys::{Host, Request, Response};
/// let host = Host::new()
///     .listen("127.0.0.1:0")
///     .add(|_: &mut Request, response: &mut Response| {
///         response.end("Hello");
///     });
/// ```
#[derive(Default)]
pub struct Host {
    addresses: Vec<String>,
    names: Vec<String>,
    responders: Vec<Box<dyn Responder>>,
    middleware: Layers,
    certificates: Certificates,
    is_alone: bool,
}

impl Host {
    /// A host that names no address and answers 404. With others in a server, it is served on all of
    /// their addresses.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Listens on `address` too: `127.0.0.1:1337`, `[::1]:80`, `localhost:8080` (on each address
    /// that the name has), port 0 for a free one; `unix:/run/aerys.sock` for a Unix socket,
    /// `unix:@name` for an abstract one (Linux).
    ///
    /// `unix:/run/aerys.sock?mode=660` sets the mode of the socket file, in octal digits; without
    /// it the umask decides. A file that a killed server left behind is replaced, any other is an
    /// error; it is removed when the server begins to stop.
    ///
    /// `10.0.0.1:80?proxy-protocol`, with any address, asks the PROXY protocol, version 1 or 2, of
    /// every connection: its header has to come first, within
    /// [`Config::header_timeout`](crate::Config::header_timeout), and what it says are the addresses
    /// of the connection. One without is closed, and so is whoever is none of
    /// [`Config::trusted_proxies`](crate::Config::trusted_proxies), if there are some.
    ///
    /// `https://10.0.0.1:443`, with any address, is one at which TLS is spoken, `http://` one at
    /// which it is not. With neither it is, if the host has [certificates](Self::tls).
    #[must_use]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "text, a formatted text or a SocketAddr alike"
    )]
    pub fn listen(mut self, address: impl ToString) -> Self {
        self.addresses.push(address.to_string());
        self
    }

    /// Speaks TLS, with these certificates: at its addresses that begin with `https://` or with
    /// neither that nor `http://`.
    ///
    /// ```no_run
    /// use aerys::{Host, Tls};
    /// let tls = Tls::new("cert.pem", "key.pem")?;
    /// let host = Host::new().listen("0.0.0.0:443").listen("http://0.0.0.0:80").tls(tls);
    /// # Ok::<(), aerys::Error>(())
    /// ```
    ///
    /// Where several hosts share an address, the certificates of all of them are shown there, each to
    /// who asks for a name that is in it; else the first one of the host that was added first.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.certificates.tls = Some(tls);
        self
    }

    /// Gives it that name too: `example.com`, `*.example.com` for all names below that, or either with
    /// a port (`example.com:8080`), which then has to be the one that is asked for.
    ///
    /// Names matter where several hosts listen on the same address: they share it, and each request
    /// is answered by the host whose name it gives, in the target or else in its `Host` field (RFC
    /// 9110 section 7.2). An exact name goes before a `*`, and of those the longest. Any other name
    /// is answered by the host that has none, or else by the first of them that was added.
    ///
    /// ```
    /// use aerys::{Host, Server};
    /// let server = Server::new()
    ///     .host(Host::new().listen("0.0.0.0:80").name("example.com").name("www.example.com"))
    ///     .host(Host::new().listen("0.0.0.0:80").name("*.api.example.com"));
    /// ```
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.names.push(name.into());
        self
    }

    /// Its addresses are its own: hosts that name none are not served there. Of those that name the same,
    /// it makes nothing.
    #[must_use]
    pub const fn alone(mut self) -> Self {
        self.is_alone = true;
        self
    }

    /// Adds a responder behind those that it has: the first that starts a response answers.
    #[must_use]
    #[expect(clippy::should_implement_trait, reason = "a builder's add, not a sum")]
    pub fn add(mut self, responder: impl Responder + 'static) -> Self {
        self.responders.push(Box::new(responder));
        self
    }

    /// Adds a middleware that sees every request of this host and every answer to one, whichever
    /// responder gives it and whenever that is added: see [`Middleware`] for the order.
    #[must_use]
    pub fn middleware(self, middleware: impl Middleware) -> Self {
        self.middleware.push(middleware);
        self
    }

    /// Whom to ask: of a host with middleware it is one, in which the others are.
    fn into_responders(self) -> Vec<Box<dyn Responder>> {
        if self.middleware.is_empty() {
            return self.responders;
        }
        vec![Box::new(Surrounded::new(self.middleware, self.responders))]
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("addresses", &self.addresses)
            .field("names", &self.names)
            .field("responders", &self.responders.len())
            .field("middleware", &self.middleware.len())
            .field("certificates", &self.certificates)
            .field("is_alone", &self.is_alone)
            .finish()
    }
}

/// A server to be bound and run on the thread that makes it.
///
/// ```no_run
/// use aerys::{Host, Server, StaticFiles};
/// let host = Host::new().listen("127.0.0.1:1337").add(StaticFiles::new("public")?);
/// Server::new().host(host).run()?;
/// # Ok::<(), aerys::Error>(())
/// ```
#[derive(Default)]
pub struct Server {
    hosts: Vec<Host>,
    config: Config,
    stop_on_signals: bool,
    passed: Vec<PassedListener>,
    observer: Observer,
    on_reload: OnReload,
    stats: Stats,
    access_log: Option<Box<dyn AccessLog>>,
}

impl Server {
    /// A server without hosts.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a host.
    #[must_use]
    pub fn host(mut self, host: Host) -> Self {
        self.hosts.push(host);
        self
    }

    /// Sets the limits and deadlines.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Whether `SIGINT` and `SIGTERM` stop the server: gracefully the first time, at once (with
    /// [`Error::Interrupted`]) the second; and `SIGUSR1` [logs its state](Stats::log_state). With certificates, `SIGHUP` has them read again. Default: no,
    /// signals are the application's.
    #[must_use]
    pub const fn stop_on_signals(mut self, stop: bool) -> Self {
        self.stop_on_signals = stop;
        self
    }

    /// Listens by `listener`, which does already, where a host [listens](Host::listen) at its address,
    /// in place of a socket that would be bound: how a service manager hands them over. Options of the
    /// address (TLS, the PROXY protocol) are those of the hosts; a Unix socket's file stays what and
    /// where it is. An address of IPv6 may take IPv4 too, as its maker chose.
    #[must_use]
    pub fn listener(mut self, listener: PassedListener) -> Self {
        self.passed.push(listener);
        self
    }

    /// Has `observer` told how the server is, on its thread and between two turns of its loop: it may
    /// not block. With an `alive_interval`, [`ServerEvent::Alive`] is told once in each, as long as
    /// nothing holds up the loop; who misses it knows that something does. Where signals are taken,
    /// `SIGHUP` is too, with certificates or without.
    #[must_use]
    pub fn observe(
        mut self,
        alive_interval: Option<Duration>,
        observer: impl Fn(ServerEvent) + 'static,
    ) -> Self {
        self.observer = Observer::new(alive_interval, observer);
        self
    }

    /// What it counts, for responders and handlers to look at: see [`Stats`]. The counters are there in
    /// any case; what turns of the loop take is measured if somebody has called this.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats.asked_for()
    }

    /// The same for who attaches it.
    pub(crate) fn unasked_stats(&self) -> Stats {
        self.stats.clone()
    }

    /// Has `log` told of each request and each WebSocket when it is over. Without one nothing is kept for
    /// that, and no clock is read.
    #[must_use]
    pub fn access_log(mut self, log: impl AccessLog + 'static) -> Self {
        self.access_log = Some(Box::new(log));
        self
    }

    /// What was set as that, for who builds the loop by hand.
    pub(crate) fn take_access_log(&mut self) -> Option<Box<dyn AccessLog>> {
        self.access_log.take()
    }

    /// Binds every address.
    ///
    /// # Errors
    ///
    /// [`Error::Bind`], [`Error::NoAddress`], [`Error::InvalidName`], [`Error::NameInUse`],
    /// [`Error::NamelessHosts`], [`Error::EndpointInUse`], [`Error::Poll`].
    pub fn bind(self) -> Result<Bound, Error> {
        let Self {
            hosts,
            config,
            stop_on_signals,
            passed,
            observer,
            on_reload,
            stats,
            access_log,
        } = self;
        let mut acceptors = Acceptors::default();
        let (next, listeners) = reload::plan(hosts, config, passed, &[], &mut acceptors)?;
        let listeners: Vec<_> = listeners
            .into_iter()
            .filter_map(NextListener::bound)
            .collect();
        let Planned {
            hosts,
            names,
            config,
            ..
        } = next;
        let address =
            |listening: &Listening<ListeningSocket>| listening.listener().address().clone();
        let addresses: Vec<_> = listeners.iter().map(address).collect();
        let are_encrypted = listeners.iter().map(Listening::is_encrypted).collect();
        let reload = Reload::default();
        acceptors.tell(&reload);
        log::info!("listening on {addresses:?}");
        let (mut kernel, control) = Kernel::new(WAKER).map_err(Error::Poll)?;
        if stop_on_signals {
            let hangup = reload.is_any() || observer.is_any() || on_reload.is_any();
            let stats = stats.clone();
            let on_state = Box::new(move || stats.log_state());
            kernel
                .take_signals(SIGNALS, hangup, on_state)
                .map_err(Error::Poll)?;
        }
        let mut event_loop = EventLoop::new(kernel, control, listeners, hosts, names, config)?;
        event_loop.observe(observer.clone());
        event_loop.attach(&stats);
        if let Some(log) = access_log {
            event_loop.log_access(log);
        }
        event_loop.on_reload(on_reload.into_act(acceptors, reload.clone(), observer, stats));
        Ok(Bound {
            event_loop,
            addresses,
            are_encrypted,
            reload,
        })
    }

    /// Has `act` called on the server's thread, between two turns of its loop, whenever
    /// [`Handle::reload`] asks for it, and with [`stop_on_signals`](Self::stop_on_signals) at each
    /// `SIGHUP`. It says what the server is to be from now on: see [`Reloading`]. Certificates are read
    /// again behind it, as without.
    ///
    /// ```no_run
    /// use aerys::{Host, Server, StaticFiles};
    /// fn server(root: &str) -> Result<Server, aerys::Error> {
    ///     let host = Host::new().listen("127.0.0.1:1337").add(StaticFiles::new(root)?);
    ///     Ok(Server::new().host(host))
    /// }
    /// let server = server("public")?.stop_on_signals(true).on_reload(|reloading| {
    ///     let next = server("public").and_then(|next| reloading.become_server(next));
    ///     if let Err(error) = next {
    ///         eprintln!("nothing has changed: {error}");
    ///     }
    /// });
    /// server.run()?;
    /// # Ok::<(), aerys::Error>(())
    /// ```
    #[must_use]
    pub fn on_reload(mut self, act: impl FnMut(&mut Reloading<'_>) + 'static) -> Self {
        self.on_reload = OnReload::new(act);
        self
    }

    /// `listener` as one that all hosts share, what each host answers with, the choice among them,
    /// and the configuration.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind), of names and addresses.
    pub(crate) fn into_parts<L>(self, listener: L) -> Result<Parts<L>, Error> {
        let planned = plan::plan(&self.hosts)?;
        let proxy_protocol = planned.iter().any(|planned| planned.options.proxy_protocol);
        let mut sites = Sites::new(&self.hosts);
        let site = sites.site_of_all("the simulated address")?;
        let mut encrypted = planned.iter().filter(|at| at.options.tls == Some(true));
        let mut acceptors = Acceptors::default();
        let acceptor = encrypted
            .next()
            .map(|at| acceptors.acceptor(&self.hosts, at));
        let listening = Listening::new(listener, site, proxy_protocol);
        let listening = listening.secured(acceptor.transpose()?);
        let names = sites.into_names();
        let responders = self.hosts.into_iter().map(Host::into_responders).collect();
        Ok((listening, responders, names, self.config))
    }

    /// Binds and runs: `bind()?.run()`.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind) and [`Bound::run`].
    pub fn run(self) -> Result<(), Error> {
        self.bind()?.run()
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("hosts", &self.hosts)
            .field("config", &self.config)
            .field("stop_on_signals", &self.stop_on_signals)
            .field("passed", &self.passed)
            .field("observer", &self.observer)
            .field("logs_access", &self.access_log.is_some())
            .finish_non_exhaustive()
    }
}

/// See [`Server::into_parts`].
type Parts<L> = (
    Listening<L>,
    Vec<Vec<Box<dyn Responder>>>,
    Vec<Names>,
    Config,
);

/// A server whose addresses are bound: clients can connect, and are served once it runs.
pub struct Bound {
    event_loop: EventLoop<Kernel>,
    addresses: Vec<Address>,
    /// By address: whether TLS is spoken there.
    are_encrypted: Vec<bool>,
    reload: Reload,
}

impl Bound {
    /// The addresses that it listens on, with the ports that were picked.
    #[must_use]
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Whether TLS is spoken at `address`, one of [`addresses`](Self::addresses).
    #[must_use]
    pub fn is_encrypted(&self, address: &Address) -> bool {
        let known = self.addresses.iter().zip(&self.are_encrypted);
        known
            .into_iter()
            .any(|(known, is_encrypted)| known == address && *is_encrypted)
    }

    /// A handle by which any thread can stop it.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle {
            control: self.event_loop.control(),
            reload: self.reload.clone(),
        }
    }

    /// Serves until it is stopped: by its [`Handle`], or by a signal if it was asked to.
    ///
    /// # Errors
    ///
    /// [`Error::Start`], [`Error::Poll`], [`Error::Interrupted`].
    pub fn run(self) -> Result<(), Error> {
        self.event_loop.run()
    }
}

impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bound")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

/// Stops a server from any thread, or has it read its certificates again.
#[derive(Clone, Debug)]
pub struct Handle {
    control: Arc<Control>,
    #[cfg_attr(
        not(feature = "tls"),
        expect(dead_code, reason = "there is nothing to read")
    )]
    reload: Reload,
}

impl Handle {
    /// Begins a graceful stop: nobody comes in, every client gets its backlog and is closed with
    /// 1001, and what takes longer than the stop timeout is cut. Returns at once; a second call
    /// changes nothing.
    pub fn stop(&self) {
        self.control.stop();
    }

    /// Has the server do what it does on [reload](Server::on_reload), certificates included, on its own
    /// thread and soon.
    pub fn reload(&self) {
        self.control.reload();
    }

    /// Reads the certificates and keys of all hosts again from their files, on this thread. Who
    /// connects from then on is shown the new ones; nobody who is connected is disturbed, and sessions
    /// of before are resumed.
    ///
    /// # Errors
    ///
    /// [`TlsError`]: some cannot be used. Those stay as they were, which is logged too.
    #[cfg(feature = "tls")]
    pub fn reload_certificates(&self) -> Result<(), TlsError> {
        self.reload.run()
    }
}
