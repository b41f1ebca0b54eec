//! The only caller of application code: event to route to handler to reply.
//!
//! [`App`] knows the hosts' responders and the endpoints among them. [`App::call`] is where a
//! panic of the application ends; what it means for the client is the loop's to carry out.

pub(crate) mod compress_response;
pub(crate) mod compression;
pub(crate) mod directory;
pub(crate) mod endpoint;
pub(crate) mod handler;
pub(crate) mod hosts;
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
use crate::error::Error;
use crate::http::{BodyPlan, Request, Response, StatusCode, forwarded};
use crate::panics;
use crate::trust::{ForwardedField, TrustedProxy, is_trusted};
use hosts::{Hosts, Outdated};
use hub::Hub;
use running::{Callback, Running};
use static_files::StaticFiles;
use std::any::Any;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use websocket::AnyApplication;

/// Everything of the application that the loop calls.
pub(crate) struct App {
    hosts: Hosts,
    endpoints: Vec<Rc<dyn AnyApplication>>,
    /// What of it runs now.
    running: Arc<Running>,
    /// Peers whose word on their clients is believed, and in which fields they give it.
    trusted: Vec<TrustedProxy>,
    forwarded_field: ForwardedField,
}

impl App {
    /// Takes the hosts and makes the endpoints among them part of `hub`.
    ///
    /// # Errors
    ///
    /// One of them belongs to another server already; they are too many.
    pub(crate) fn new(hosts: Hosts, config: &Config, hub: &Rc<Hub>) -> Result<Self, Error> {
        let mut app = Self {
            endpoints: Vec::new(),
            running: Arc::clone(&hub.running),
            trusted: config.trusted_proxies.clone(),
            forwarded_field: config.forwarded_field,
            hosts,
        };
        let found = app.hosts.endpoints();
        app.add_endpoints(&found, hub)?;
        Ok(app)
    }

    /// Makes those of `found` part of `hub` that are not yet: their indices.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new). Then none is.
    pub(crate) fn add_endpoints(
        &mut self,
        found: &[Rc<dyn AnyApplication>],
        hub: &Rc<Hub>,
    ) -> Result<Vec<u16>, Error> {
        let mut new = Vec::new();
        for endpoint in found {
            match endpoint.state().server() {
                None => new.push(endpoint),
                Some((known, index)) if Rc::ptr_eq(known, hub) && self.has(*index, endpoint) => {}
                Some(_) => return Err(Error::EndpointInUse),
            }
        }
        let mut added = Vec::new();
        for endpoint in new {
            let state = endpoint.state();
            let config = Rc::new(state.config.borrow().bounded());
            let Some(index) = hub.add_endpoint(config) else {
                for index in added {
                    self.remove_endpoint(index);
                }
                return Err(too_many());
            };
            self.endpoints
                .resize_with(usize::from(index), websocket::vacant);
            self.endpoints.push(Rc::clone(endpoint));
            state.attach(hub, index);
            added.push(index);
        }
        Ok(added)
    }

    fn has(&self, index: u16, endpoint: &Rc<dyn AnyApplication>) -> bool {
        let known = self.endpoints.get(usize::from(index));
        known.is_some_and(|known| Rc::ptr_eq(known.state(), endpoint.state()))
    }

    /// Lets an endpoint go that did not start.
    pub(crate) fn remove_endpoint(&mut self, index: u16) {
        let endpoint = &mut self.endpoints[usize::from(index)];
        let removed = std::mem::replace(endpoint, websocket::vacant());
        removed.state().remote.stop();
        panics::bury(removed);
    }

    /// Serves by other hosts from now on; returns those of before.
    pub(crate) fn set_hosts(&mut self, hosts: Hosts, config: &Config) -> Hosts {
        self.trusted.clone_from(&config.trusted_proxies);
        self.forwarded_field = config.forwarded_field;
        std::mem::replace(&mut self.hosts, hosts)
    }

    /// Asks something of the hosts at `listener`, or of those that are `outdated`.
    #[inline]
    pub(crate) fn ask<R>(
        &mut self,
        listener: u16,
        outdated: Option<Outdated>,
        ask: impl FnOnce(&mut Self, u16) -> R,
    ) -> R {
        let Some(Outdated { hosts, listener }) = outdated else {
            return ask(self, listener);
        };
        std::mem::swap(&mut self.hosts, &mut hosts.borrow_mut());
        let answer = ask(self, listener);
        std::mem::swap(&mut self.hosts, &mut hosts.borrow_mut());
        answer
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
        self.hosts.visit(&mut |inside: &dyn Any| {
            if let Some(files) = inside.downcast_ref() {
                visit(files);
            }
        });
    }

    /// Asks the responders of the host at `listener`, or of the one that `request` is for if several
    /// share it, until one starts `response`, which nobody has yet; 404 if none does, 500 if one
    /// panics.
    pub(crate) fn respond(
        &mut self,
        listener: u16,
        request: &mut Request,
        response: &mut Response,
    ) {
        let Some(host) = self.host_of(listener, request) else {
            *response = unlistened();
            return;
        };
        // Filled where it stays: handed on, it would be copied each time.
        let responders = self.hosts.responders_mut(host);
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

    /// How the body of a request at `listener` is taken, if a responder of its host says so.
    pub(crate) fn body_plan(&self, listener: u16, request: &mut Request) -> Option<BodyPlan> {
        let responders = self.hosts.responders(self.host_of(listener, request)?);
        let plan = || handler::first_plan(responders, request);
        self.call(Callback::Responder, None, plan)?
    }

    /// The host that is asked: the only one of its listener, or the one that `request` is for.
    #[inline]
    fn host_of(&self, listener: u16, request: &mut Request) -> Option<usize> {
        if !self.trusted.is_empty() {
            self.believe(request);
        }
        self.hosts.host(listener, request)
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
        panics::bury(std::mem::replace(
            &mut self.hosts,
            Hosts::new(Vec::new(), Vec::new(), Vec::new()),
        ));
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

/// The answer to a client of a listener that is none any more.
#[cold]
fn unlistened() -> Response {
    let reason = "This address is not served any more.";
    let mut response = Response::error(StatusCode::MISDIRECTED_REQUEST, reason);
    response.set_header("connection", "close");
    response
}

fn too_many() -> Error {
    Error::Start("a server has fewer than 65,535 endpoints and kinds of compression".into())
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
            .field("endpoints", &self.endpoints.len())
            .finish_non_exhaustive()
    }
}
