//! TLS of hosts and listeners: whose certificates are shown where.

use super::Host;
use super::plan::{Planned, invalid};
use crate::error::Error;
use crate::event_loop::tls::Acceptor;
#[cfg(feature = "tls")]
use crate::tls::{Tls, TlsError, server_config};
#[cfg(feature = "tls")]
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The certificates of a host, if it has some.
#[derive(Clone, Debug, Default)]
pub(super) struct Certificates {
    #[cfg(feature = "tls")]
    pub(super) tls: Option<Tls>,
}

/// The acceptors of listeners: one for all at which the same certificates are shown, so that a
/// session of one is resumed at the other.
#[derive(Debug, Default)]
pub(super) struct Acceptors {
    #[cfg(feature = "tls")]
    known: Vec<(Vec<Tls>, Acceptor)>,
    /// Of the server that this one takes the place of.
    #[cfg(feature = "tls")]
    before: Vec<(Vec<Tls>, Acceptor)>,
}

#[cfg(feature = "tls")]
impl Certificates {
    pub(super) const fn is_any(&self) -> bool {
        self.tls.is_some()
    }
}

#[cfg(feature = "tls")]
impl Acceptors {
    /// What TLS at an address is made of: the certificates of all hosts that listen there.
    ///
    /// # Errors
    ///
    /// None of them has any.
    pub(super) fn acceptor(
        &mut self,
        hosts: &[Host],
        planned: &Planned,
    ) -> Result<Acceptor, Error> {
        let failed = |reason: &str| Error::Bind {
            address: planned.text.clone(),
            source: invalid(reason),
        };
        let mut all: Vec<Tls> = Vec::new();
        for host in planned.hosts() {
            let tls = hosts[usize::from(*host)].certificates.tls.as_ref();
            all.extend(tls.filter(|tls| !is_in(&all, tls)).cloned());
        }
        if all.is_empty() {
            return Err(failed("no host there has a certificate; see Host::tls"));
        }
        let is_same = |known: &[Tls]| {
            known.len() == all.len()
                && known
                    .iter()
                    .zip(&all)
                    .all(|(known, tls)| known.is_same(tls))
        };
        if let Some((_, acceptor)) = self.known.iter().find(|(known, _)| is_same(known)) {
            return Ok(acceptor.clone());
        }
        let before = self.before.iter().find(|(before, _)| is_same(before));
        if let Some((_, acceptor)) = before {
            let acceptor = acceptor.clone();
            self.known.push((all, acceptor.clone()));
            return Ok(acceptor);
        }
        let config = server_config(all.clone()).map_err(|error| failed(&error.to_string()))?;
        let acceptor = Acceptor::new(config);
        self.known.push((all, acceptor.clone()));
        Ok(acceptor)
    }

    /// Those of a server that takes the place of this one: with the same certificates they are the
    /// same, and sessions are resumed.
    pub(super) fn next(&self) -> Self {
        Self {
            known: Vec::new(),
            before: self.known.clone(),
        }
    }

    /// Has `reload` read these certificates, and no others.
    pub(super) fn tell(&mut self, reload: &Reload) {
        self.before.clear();
        let mut all: Vec<Tls> = Vec::new();
        for tls in self.known.iter().flat_map(|(known, _)| known) {
            if !is_in(&all, tls) {
                all.push(tls.clone());
            }
        }
        *reload.all() = all;
    }
}

#[cfg(feature = "tls")]
fn is_in(all: &[Tls], tls: &Tls) -> bool {
    all.iter().any(|known| known.is_same(tls))
}

/// Reads the certificates of all listeners again.
#[derive(Clone, Debug, Default)]
pub(super) struct Reload {
    #[cfg(feature = "tls")]
    all: Arc<Mutex<Vec<Tls>>>,
}

#[cfg(feature = "tls")]
impl Reload {
    fn all(&self) -> MutexGuard<'_, Vec<Tls>> {
        // Replaced at once: a panic elsewhere leaves it whole.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there are any.
    pub(super) fn is_any(&self) -> bool {
        !self.all().is_empty()
    }

    /// Reads them, if there are any. What is wrong is logged: there is nobody else to tell.
    pub(super) fn run_if_any(&self) {
        if self.is_any() {
            drop(self.run());
        }
    }

    /// Reads them. What cannot be read stays as it was, and a line of the log says why.
    ///
    /// # Errors
    ///
    /// The first that is wrong.
    pub(super) fn run(&self) -> Result<(), TlsError> {
        let mut failed = None;
        let all = self.all().clone();
        for tls in all {
            if let Err(error) = tls.reload() {
                log::error!("certificates stay as they were: {error}");
                failed = failed.or(Some(error));
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        log::info!("certificates were read again");
        Ok(())
    }
}

/// Without the feature `tls` nobody has any.
#[cfg(not(feature = "tls"))]
mod absent {
    use super::{Acceptor, Acceptors, Certificates, Error, Host, Planned, Reload, invalid};

    impl Certificates {
        pub(in crate::server) const fn is_any(&self) -> bool {
            let Self {} = self;
            false
        }
    }

    impl Reload {
        pub(in crate::server) const fn is_any(&self) -> bool {
            let Self {} = self;
            false
        }

        pub(in crate::server) const fn run_if_any(&self) {
            let Self {} = self;
        }
    }

    impl Acceptors {
        pub(in crate::server) fn acceptor(
            &mut self,
            _: &[Host],
            planned: &Planned,
        ) -> Result<Acceptor, Error> {
            let Self {} = self;
            Err(Error::Bind {
                address: planned.text.clone(),
                source: invalid("this was built without TLS (the feature `tls`)"),
            })
        }

        pub(in crate::server) const fn next(&self) -> Self {
            let Self {} = self;
            Self {}
        }

        pub(in crate::server) const fn tell(&mut self, _: &Reload) {
            let Self {} = self;
        }
    }
}
