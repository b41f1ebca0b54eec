//! Which hosts listen where: each address once, with all who share it.

use super::Host;
use super::addresses::{self, Options};
use crate::app::names::{NameError, Names};
use crate::error::Error;
use crate::http::Address;
use std::io::{self, ErrorKind};

/// An address to be bound.
#[derive(Debug)]
pub(super) struct Planned {
    /// As the first of its hosts wrote it.
    pub(super) text: String,
    pub(super) address: Address,
    pub(super) options: Options,
    /// Who listens there, in the order in which they were added.
    hosts: Vec<u16>,
}

#[cfg(feature = "tls")]
impl Planned {
    /// Who listens there, in the order in which they were added.
    pub(super) fn hosts(&self) -> &[u16] {
        &self.hosts
    }
}

/// The addresses of `hosts`. Who names none is served on all of the others.
///
/// # Errors
///
/// [`Error::Bind`], if an address is none or is to be listened on in two ways.
pub(super) fn plan(hosts: &[Host]) -> Result<Vec<Planned>, Error> {
    let mut planned = Vec::new();
    for (index, host) in hosts.iter().enumerate() {
        for text in &host.addresses {
            let failed = |source| Error::Bind {
                address: text.clone(),
                source,
            };
            let index = u16::try_from(index).map_err(|_| failed(invalid(TOO_MANY)))?;
            let (addresses, mut options) = addresses::resolve(text).map_err(failed)?;
            if options.tls.is_none() && host.certificates.is_any() {
                options.tls = Some(true);
            }
            for address in addresses {
                listen(&mut planned, index, text, address, options).map_err(failed)?;
            }
        }
    }
    for (index, host) in (0..=u16::MAX).zip(hosts) {
        if host.addresses.is_empty() {
            let is_alone = |host: &u16| hosts[usize::from(*host)].is_alone;
            for known in &mut planned {
                if known.hosts.iter().any(is_alone) {
                    continue;
                }
                known.hosts.push(index);
                known.hosts.sort_unstable();
            }
        }
    }
    Ok(planned)
}

/// `host` listens at `address`, for itself or with those who do already.
fn listen(
    planned: &mut Vec<Planned>,
    host: u16,
    text: &str,
    address: Address,
    options: Options,
) -> io::Result<()> {
    let known = planned
        .iter_mut()
        .find(|known| known.address == address && is_definite(&address));
    let Some(known) = known else {
        planned.push(Planned {
            text: text.to_owned(),
            address,
            options,
            hosts: vec![host],
        });
        return Ok(());
    };
    let options = known.options.and(options);
    known.options = options.map_err(invalid)?;
    if !known.hosts.contains(&host) {
        known.hosts.push(host);
    }
    Ok(())
}

const TOO_MANY: &str = "a server has fewer than 65,536 hosts and choices among them";

pub(super) fn invalid(reason: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, reason)
}

/// Whether two who listen there mean the same: each port 0 is another free port.
fn is_definite(address: &Address) -> bool {
    address
        .socket_addr()
        .is_none_or(|address| address.port() != 0)
}

/// Who answers at each listener: a host, or one of several by name.
#[derive(Debug)]
pub(super) struct Sites<'h> {
    hosts: &'h [Host],
    /// Each list of hosts that share a listener, and the choice among them.
    shared: Vec<(Vec<u16>, Names)>,
}

impl<'h> Sites<'h> {
    pub(super) const fn new(hosts: &'h [Host]) -> Self {
        Self {
            hosts,
            shared: Vec::new(),
        }
    }

    /// What the clients of a listener are accepted with: the number of its host, or one behind those
    /// of all hosts, if there are several.
    ///
    /// # Errors
    ///
    /// Their names do not tell them apart; they are too many.
    pub(super) fn site(&mut self, planned: &Planned) -> Result<u16, Error> {
        self.site_of(&planned.hosts, &planned.text)
    }

    /// The same where all hosts listen, at `address`.
    pub(super) fn site_of_all(&mut self, address: &str) -> Result<u16, Error> {
        let all: Vec<u16> = (0..=u16::MAX)
            .zip(self.hosts)
            .map(|(index, _)| index)
            .collect();
        self.site_of(&all, address)
    }

    fn site_of(&mut self, hosts: &[u16], address: &str) -> Result<u16, Error> {
        if let [host] = hosts {
            // Its names are not needed, but to be wrong all the same.
            self.names(hosts, address)?;
            return Ok(*host);
        }
        let known = self.shared.iter().position(|(known, _)| known == hosts);
        let position = if let Some(position) = known {
            position
        } else {
            let names = self.names(hosts, address)?;
            self.shared.push((hosts.to_vec(), names));
            self.shared.len() - 1
        };
        u16::try_from(self.hosts.len() + position).map_err(|_| Error::Bind {
            address: address.to_owned(),
            source: invalid(TOO_MANY),
        })
    }

    fn names(&self, hosts: &[u16], address: &str) -> Result<Names, Error> {
        let named: Vec<_> = hosts
            .iter()
            .map(|host| (*host, &*self.hosts[usize::from(*host)].names))
            .collect();
        let address = address.to_owned();
        Names::new(&named).map_err(|error| match error {
            NameError::Invalid(name) => Error::InvalidName { name },
            NameError::Twice(first, second) => Error::NameInUse {
                names: [first, second],
                address,
            },
            NameError::Nameless => Error::NamelessHosts { address },
        })
    }

    /// The choices, in the order of the numbers behind those of all hosts.
    pub(super) fn into_names(self) -> Vec<Names> {
        self.shared.into_iter().map(|(_, names)| names).collect()
    }
}
