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
pub(crate) mod remote;
pub(crate) mod router;
pub(crate) mod schedule;
pub(crate) mod static_files;
pub(crate) mod websocket;

use crate::http::{Request, Response, StatusCode};
use handler::Responder;
use hub::Hub;
use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use websocket::AnyApplication;

/// Everything of the application that the loop calls.
pub(crate) struct App {
    /// By host: the responders, in the order in which they are asked.
    hosts: Vec<Vec<Box<dyn Responder>>>,
    endpoints: Vec<Rc<dyn AnyApplication>>,
}

impl App {
    /// Takes the hosts' responders and makes the endpoints among them part of `hub`.
    ///
    /// `None` if one of them belongs to another server already.
    pub(crate) fn new(hosts: Vec<Vec<Box<dyn Responder>>>, hub: &Rc<Hub>) -> Option<Self> {
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
            endpoints: found,
        })
    }

    pub(crate) fn endpoints(&self) -> &[Rc<dyn AnyApplication>] {
        &self.endpoints
    }

    pub(crate) fn endpoint(&self, index: u16) -> &dyn AnyApplication {
        &*self.endpoints[usize::from(index)]
    }

    /// Asks `host`'s responders until one starts `response`, which nobody has yet; 404 if none
    /// does, 500 if one panics.
    pub(crate) fn respond(&mut self, host: u16, request: &mut Request, response: &mut Response) {
        // Filled where it stays: handed on, it would be copied each time.
        let is_answered = Self::call("a responder", || {
            self.hosts[usize::from(host)].iter_mut().any(|responder| {
                responder.respond(request, response);
                response.is_started()
            })
        });
        match is_answered {
            Some(true) => {}
            Some(false) => {
                *response = Response::error(StatusCode::NOT_FOUND, "There is nothing here.");
            }
            None => {
                *response = Response::error(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "The application failed; its log says more.",
                );
            }
        }
    }

    /// Calls application code; `None` if it panicked, which is logged.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "on the straight path of each message")]
    pub(crate) fn call<R>(what: &str, code: impl FnOnce() -> R) -> Option<R> {
        // What a panic leaves half done is the application's own state: ours is not borrowed
        // while it runs.
        match catch_unwind(AssertUnwindSafe(code)) {
            Ok(result) => Some(result),
            Err(panic) => {
                log_panic(what, panic);
                None
            }
        }
    }
}

#[cold]
fn log_panic(what: &str, panic: Box<dyn Any + Send>) {
    log::error!("{what} panicked: {}", panic_message(&*panic));
    // Dropping a payload may panic too, in a payload's own drop.
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        // And that panic's payload again: let it be.
        std::mem::forget(panic);
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("with no message")
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("hosts", &self.hosts.len())
            .field("endpoints", &self.endpoints.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_ends_at_the_call() {
        assert_eq!(App::call("a test", || 7), Some(7));
        assert_eq!(App::call::<()>("a test", || panic!("on purpose")), None);
        assert_eq!(panic_message(&"text"), "text");
        assert_eq!(panic_message(&7_u8), "with no message");
    }
}
