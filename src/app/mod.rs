//! The only caller of application code: event to route to handler to reply.
//!
//! [`App`] knows the hosts' responders and the endpoints among them. [`App::call`] is where a
//! panic of the application ends; what it means for the client is the loop's to carry out.

pub(crate) mod compress_response;
pub(crate) mod compression;
pub(crate) mod directory;
pub(crate) mod endpoint;
pub(crate) mod handler;
pub(crate) mod hub;
pub(crate) mod middleware;
pub(crate) mod names;
pub(crate) mod remote;
pub(crate) mod router;
pub(crate) mod running;
pub(crate) mod schedule;
pub(crate) mod static_files;
pub(crate) mod stats;
pub(crate) mod stream;
pub(crate) mod upload;
pub(crate) mod websocket;

use crate::config::Config;
use crate::http::{BodyPlan, Request, Response, StatusCode, forwarded};
use crate::panics;
use crate::trust::{ForwardedField, TrustedProxy, is_trusted};
use handler::Responder;
use hub::Hub;
use names::Names;
use running::{Callback, Running};
use static_files::StaticFiles;
use std::any::Any;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use websocket::AnyApplication;

/// Everything of the application that the loop calls.
pub(crate) struct App {
    /// By host: the responders, in the order in which they are asked.
    hosts: Vec<Vec<Box<dyn Responder>>>,
    /// The choices among hosts that share a listener: their numbers go on behind the hosts'.
    names: Vec<Names>,
    endpoints: Vec<Rc<dyn AnyApplication>>,
    /// What of it runs now.
    running: Arc<Running>,
    /// Peers whose word on their clients is believed, and in which fields they give it.
    trusted: Vec<TrustedProxy>,
    forwarded_field: ForwardedField,
}

impl App {
    /// Takes the hosts' responders and makes the endpoints among them part of `hub`.
    ///
    /// `None` if one of them belongs to another server already.
    pub(crate) fn new(
        hosts: Vec<Vec<Box<dyn Responder>>>,
        names: Vec<Names>,
        config: &Config,
        hub: &Rc<Hub>,
    ) -> Option<Self> {
        let mut found: Vec<Rc<dyn AnyApplication>> = Vec::new();
        for responder in hosts.iter().flatten() {
            responder.visit_endpoints(&mut |endpoint: &dyn Any| {
                let Some(endpoint) = endpoint.downcast_ref::<Rc<dyn AnyApplication>>() else {
                    return;
                };
                // Mounted on several routes it still is one endpoint.
                if !found
                    .iter()
                    .any(|known| Rc::ptr_eq(known.state(), endpoint.state()))
                {
                    found.push(Rc::clone(endpoint));
                }
            });
        }
        for endpoint in &found {
            let state = endpoint.state();
            let index = hub.add_endpoint(Rc::new(state.config.borrow().bounded()));
            if !state.attach(hub, index) {
                return None;
            }
        }
        Some(Self {
            hosts,
            names,
            endpoints: found,
            running: Arc::clone(&hub.running),
            trusted: config.trusted_proxies.clone(),
            forwarded_field: config.forwarded_field,
        })
    }

    pub(crate) fn endpoints(&self) -> &[Rc<dyn AnyApplication>] {
        &self.endpoints
    }

    pub(crate) fn endpoint(&self, index: u16) -> &dyn AnyApplication {
        &*self.endpoints[usize::from(index)]
    }

    /// Closes files that nobody asked for lately; `false` if there is nothing that keeps any.
    pub(crate) fn close_idle_files(&self) -> bool {
        let mut is_any = false;
        self.visit_files(|files| {
            files.close_idle();
            is_any = true;
        });
        is_any
    }

    /// Closes all files that are kept for later requests, and says how many.
    pub(crate) fn close_kept_files(&self) -> usize {
        let mut count = 0;
        self.visit_files(|files| count += files.close_kept());
        count
    }

    fn visit_files(&self, mut visit: impl FnMut(&StaticFiles)) {
        for responders in &self.hosts {
            handler::visit_each(responders, &mut |inside: &dyn Any| {
                if let Some(files) = inside.downcast_ref() {
                    visit(files);
                }
            });
        }
    }

    /// Asks the responders of `host`, or of the one that `request` is for if several share the
    /// listener, until one starts `response`, which nobody has yet; 404 if none does, 500 if one
    /// panics.
    pub(crate) fn respond(&mut self, host: u16, request: &mut Request, response: &mut Response) {
        let host = self.host_of(host, request);
        // Filled where it stays: handed on, it would be copied each time.
        let responders = &mut self.hosts[host];
        self.running.enter(Callback::Responder, None);
        let is_answered = panics::catch(Callback::Responder.name(), || {
            handler::ask_each(responders, request, response)
        });
        self.running.leave();
        match is_answered {
            Some(true) => {}
            Some(false) => {
                *response = not_found(response);
            }
            None => {
                *response = failed();
            }
        }
    }

    /// How the body of a request to `host` is taken, if one of its responders says so.
    pub(crate) fn body_plan(&self, host: u16, request: &mut Request) -> Option<BodyPlan> {
        let responders = &self.hosts[self.host_of(host, request)];
        let plan = || handler::first_plan(responders, request);
        self.call(Callback::Responder, None, plan)?
    }

    /// The host that is asked: the only one of its listener, or the one that `request` is for.
    #[inline]
    fn host_of(&self, host: u16, request: &mut Request) -> usize {
        if !self.trusted.is_empty() {
            self.believe(request);
        }
        let host = usize::from(host);
        if host >= self.hosts.len() {
            return self.choose(host - self.hosts.len(), request);
        }
        host
    }

    /// Takes what a trusted peer says of its client.
    #[inline(never)]
    fn believe(&self, request: &mut Request) {
        if request.is_forwarded() {
            return; // since its body was announced
        }
        let connection = request.connection();
        if !connection.is_anonymous && is_trusted(&self.trusted, connection.remote_address.ip()) {
            let (headers, field) = (request.headers(), self.forwarded_field);
            let forwarded = forwarded::read(headers, field, &self.trusted);
            request.set_forwarded(forwarded);
        }
    }

    /// The host that `request` is for, of those with the names of that number.
    #[inline(never)]
    fn choose(&self, names: usize, request: &Request) -> usize {
        let default_port = if request.is_encrypted() { 443 } else { 80 };
        self.names[names]
            .choose(request.host(), default_port)
            .into()
    }

    /// Calls application code, an endpoint's or nobody's; `None` if it panicked, which is logged.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "on the straight path of each message")]
    pub(crate) fn call<R>(
        &self,
        what: Callback,
        endpoint: Option<u16>,
        code: impl FnOnce() -> R,
    ) -> Option<R> {
        self.running.enter(what, endpoint);
        let result = panics::catch(what.name(), code);
        self.running.leave();
        result
    }

    /// Drops what it is, one after the other: each may panic in that, and two at once would end the
    /// process.
    pub(crate) fn bury(&mut self) {
        self.hosts.drain(..).flatten().for_each(panics::bury);
        self.endpoints.drain(..).for_each(panics::bury);
    }

    /// What of it runs now.
    pub(crate) const fn running(&self) -> &Arc<Running> {
        &self.running
    }
}

/// The answer where no responder started one. What their silence depended on is said.
fn not_found(unstarted: &Response) -> Response {
    let mut response = Response::error(StatusCode::NOT_FOUND, "There is nothing here.");
    for vary in unstarted.headers().get_all("vary") {
        response.add_header("Vary", vary);
    }
    response
}

/// The answer where the application panicked.
pub(crate) fn failed() -> Response {
    Response::error(
        StatusCode::INTERNAL_SERVER_ERROR,
        "The application failed; its log says more.",
    )
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("hosts", &self.hosts.len())
            .field("names", &self.names.len())
            .field("endpoints", &self.endpoints.len())
            .finish_non_exhaustive()
    }
}
