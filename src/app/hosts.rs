//! The hosts of a server, and which of them is asked at which listener.

use crate::app::handler::{self, Responder};
use crate::app::names::Names;
use crate::app::websocket::AnyApplication;
use crate::http::Request;
use crate::panics;
use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

/// See the module.
pub(crate) struct Hosts {
    /// By host: the responders, in the order in which they are asked.
    responders: Vec<Vec<Box<dyn Responder>>>,
    /// The choices among hosts that share a listener: their numbers go on behind the hosts'.
    names: Vec<Names>,
    /// By listener: the number of its host, or of the choice among several.
    sites: Vec<u16>,
}

/// The number of a listener that is none any more: its last clients have it.
pub(crate) const NO_LISTENER: u16 = u16::MAX;

/// Hosts of before, which a request that began with them is answered by, and its listener then.
#[derive(Clone, Debug)]
pub(crate) struct Outdated {
    pub(crate) hosts: Rc<RefCell<Hosts>>,
    pub(crate) listener: u16,
}

impl Hosts {
    pub(crate) const fn new(
        responders: Vec<Vec<Box<dyn Responder>>>,
        names: Vec<Names>,
        sites: Vec<u16>,
    ) -> Self {
        Self {
            responders,
            names,
            sites,
        }
    }

    /// The host that `request` is for, of those at `listener`. `None`: it is a listener no more.
    #[inline]
    pub(crate) fn host(&self, listener: u16, request: &Request) -> Option<usize> {
        let site = usize::from(*self.sites.get(usize::from(listener))?);
        if site >= self.responders.len() {
            return Some(self.choose(site - self.responders.len(), request));
        }
        Some(site)
    }

    /// The host that `request` is for, of those with the names of that number.
    #[inline(never)]
    fn choose(&self, names: usize, request: &Request) -> usize {
        let default_port = if request.is_encrypted() { 443 } else { 80 };
        self.names[names]
            .choose(request.host(), default_port)
            .into()
    }

    pub(crate) fn responders(&self, host: usize) -> &[Box<dyn Responder>] {
        &self.responders[host]
    }

    pub(crate) fn responders_mut(&mut self, host: usize) -> &mut [Box<dyn Responder>] {
        &mut self.responders[host]
    }

    /// Shows what the responders of all hosts have inside.
    pub(crate) fn visit(&self, visit: &mut dyn FnMut(&dyn Any)) {
        for responders in &self.responders {
            handler::visit_each(responders, visit);
        }
    }

    /// The endpoints among them, each once: mounted on several routes it still is one.
    pub(crate) fn endpoints(&self) -> Vec<Rc<dyn AnyApplication>> {
        let mut found: Vec<Rc<dyn AnyApplication>> = Vec::new();
        self.visit(&mut |inside: &dyn Any| {
            let Some(endpoint) = inside.downcast_ref::<Rc<dyn AnyApplication>>() else {
                return;
            };
            if !found
                .iter()
                .any(|known| Rc::ptr_eq(known.state(), endpoint.state()))
            {
                found.push(Rc::clone(endpoint));
            }
        });
        found
    }

    /// How many there are.
    pub(crate) const fn len(&self) -> usize {
        self.responders.len()
    }
}

/// One after the other: each may panic in that, and two at once would end the process.
impl Drop for Hosts {
    fn drop(&mut self) {
        self.responders.drain(..).flatten().for_each(panics::bury);
    }
}

impl fmt::Debug for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hosts")
            .field("hosts", &self.responders.len())
            .field("names", &self.names.len())
            .field("sites", &self.sites)
            .finish()
    }
}
