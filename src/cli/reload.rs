//! `SIGHUP`: arguments, variables and file are read again, and the server becomes what they say now.
//!
//! Nothing changes unless all of it is right. What is different is told in a line each.

use crate::cli::build::{self, Kept};
use crate::cli::changes::{Described, Settled};
use crate::cli::host::HostSettings;
use crate::cli::serve::{self, announce, https_port};
use crate::cli::systemd::Passed;
use crate::cli::{Failure, Serve, unbound};
use aerys::Reloading;
use std::ffi::OsString;

/// What is known of the server that runs.
pub(crate) struct Reloader {
    pub(crate) arguments: Vec<OsString>,
    pub(crate) settled: Settled,
    pub(crate) kept: Kept,
    /// Of certificates that were made for it.
    pub(crate) fingerprints: Vec<String>,
    pub(crate) passed: Passed,
}

/// What a server goes by.
pub(crate) fn settled(serve: &Serve, hosts: &[HostSettings]) -> Settled {
    Settled {
        values: serve.values.clone(),
        // The one of the flags has no line, and says what they say.
        hosts: hosts
            .iter()
            .filter(|host| host.line > 0)
            .map(Described::new)
            .collect(),
    }
}

impl Reloader {
    /// Reads all again. What is wrong is logged, and then nothing has changed.
    pub(crate) fn reload(&mut self, reloading: &mut Reloading<'_>) {
        let problems = match self.try_reload(reloading) {
            Ok(()) => return,
            Err(Failure::Arguments(lines) | Failure::NotHeld(lines)) => lines,
            Err(Failure::AtRunTime(line)) => vec![line],
        };
        for problem in problems {
            let problem = problem.strip_prefix("aerys: ").unwrap_or(&problem);
            log::error!("{problem}");
        }
        log::error!(
            "the configuration stays as it was: it is read again on SIGHUP when that is mended"
        );
    }

    fn try_reload(&mut self, reloading: &mut Reloading<'_>) -> Result<(), Failure> {
        let (mut serve, mut hosts) = crate::cli::read_again(&self.arguments)?;
        serve::complete(&mut serve, &mut hosts, &self.passed).map_err(Failure::AtRunTime)?;
        serve::judge(&serve, &hosts)?;
        let next = settled(&serve, &hosts);
        let mut kept = self.kept.clone();
        let built = build::server(&serve.flags, &hosts, &mut kept).map_err(Failure::AtRunTime)?;
        let known = reloading.addresses();
        let became = reloading.become_server(built.server);
        became.map_err(|error| Failure::AtRunTime(unbound::describe(&error)))?;
        self.kept = kept;
        log::set_max_level(serve.flags.log_level);
        let now = reloading.addresses();
        built.https_port.set(https_port(&now));
        let new = now.into_iter().filter(|address| !known.contains(address));
        let known = std::mem::replace(&mut self.fingerprints, built.fingerprints);
        let made = self.fingerprints.iter().filter(|it| !known.contains(it));
        let made: Vec<String> = made.cloned().collect();
        if let Err(error) = announce(&new.collect::<Vec<_>>(), &made) {
            log::warn!("no thread can be started, to print new addresses: {error}");
        }
        let changes = self.settled.become_next(next);
        for line in &changes.made {
            log::info!("{line}");
        }
        for line in &changes.postponed {
            log::warn!("{line}");
        }
        match (changes.made.len(), changes.postponed.len()) {
            (0, 0) => log::info!("reloaded: nothing is different"),
            (made, postponed) => {
                log::info!("reloaded: {made} differences now, {postponed} after a restart");
            }
        }
        Ok(())
    }
}
