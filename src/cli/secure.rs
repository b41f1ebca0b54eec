//! TLS of the program: certificates of a host, and the way from http to https.

use crate::cli::address::ListenAddress;
use crate::cli::build;
#[cfg(feature = "tls")]
use aerys::Tls;
use aerys::{Host, Request, Response, StaticFiles, StatusCode};
use std::path::PathBuf;
use std::rc::Rc;
use std::{cell::Cell, iter::Zip, slice};

/// The certificates of a host, or none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Certificates {
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
}

/// Files of certificates and of their keys.
type Files<'a> = Zip<slice::Iter<'a, PathBuf>, slice::Iter<'a, PathBuf>>;

#[cfg(feature = "tls")]
impl Certificates {
    /// Those in files.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    pub(crate) fn read(files: Files<'_>) -> Result<Self, String> {
        let mut tls: Option<Tls> = None;
        for (certificate, key) in files {
            let added = match tls {
                None => Tls::new(certificate, key),
                Some(tls) => tls.add(certificate, key),
            };
            tls = Some(added.map_err(|error| error.to_string())?);
        }
        Ok(Self { tls })
    }

    /// One for this machine alone.
    ///
    /// # Errors
    ///
    /// It cannot be made.
    #[cfg(feature = "self-signed")]
    pub(crate) fn self_signed() -> Result<Self, String> {
        let tls = Tls::self_signed(&["localhost", "127.0.0.1", "::1"]);
        let tls = tls.map_err(|error| error.to_string())?;
        Ok(Self { tls: Some(tls) })
    }

    /// The host with them.
    pub(crate) fn apply(self, host: Host) -> Host {
        match self.tls {
            Some(tls) => host.tls(tls),
            None => host,
        }
    }

    /// The SHA-256 of the first of them.
    pub(crate) fn fingerprint(&self) -> Option<String> {
        self.tls.as_ref().map(Tls::fingerprint)
    }
}

#[cfg(not(feature = "tls"))]
impl Certificates {
    pub(crate) fn read(mut files: Files<'_>) -> Result<Self, String> {
        match files.next() {
            None => Ok(Self {}),
            Some(_) => Err("this program was built without TLS (the feature `tls`)".to_owned()),
        }
    }

    pub(crate) fn apply(self, host: Host) -> Host {
        let Self {} = self;
        host
    }

    pub(crate) const fn fingerprint(&self) -> Option<String> {
        let Self {} = self;
        None
    }
}

#[cfg(not(feature = "self-signed"))]
impl Certificates {
    pub(crate) fn self_signed() -> Result<Self, String> {
        Err("this program was built without that (the feature `self-signed`)".to_owned())
    }
}

/// The port to which requests are sent on; 0 until it is known.
pub(crate) type HttpsPort = Rc<Cell<u16>>;

/// What certificate authorities ask for by plain HTTP, whatever is sent on (RFC 8555 section 8.3).
const CHALLENGES: &str = "/.well-known/acme-challenge/";

/// A host in plain HTTP that sends all requests on to https, but for those of an authority, which
/// are answered from `challenges`.
pub(crate) fn redirecting(
    addresses: &[ListenAddress],
    port: HttpsPort,
    challenges: Option<StaticFiles>,
) -> Host {
    let mut host = Host::new();
    for address in addresses {
        host = host.listen(address.clone().plain());
    }
    let has_challenges = challenges.is_some();
    host = host.add(move |request: &mut Request, response: &mut Response| {
        if !(has_challenges && request.path().starts_with(CHALLENGES)) {
            redirect(port.get(), request, response);
        }
    });
    match challenges {
        Some(files) => host.add(files),
        None => host,
    }
}

fn redirect(port: u16, request: &Request, response: &mut Response) {
    let name = request.host().map(without_port).unwrap_or_default();
    if name.is_empty() {
        // Of HTTP/1.0: there is nowhere to send to.
        response
            .set_status(StatusCode::BAD_REQUEST)
            .end("This is spoken by https alone.\n");
    } else if port == 443 {
        build::redirect(&format!("https://{name}"), request, response);
    } else {
        build::redirect(&format!("https://{name}:{port}"), request, response);
    }
}

/// A host without its port, if it has one.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        // Not within the brackets of an address.
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_what_follows_the_last_colon_outside_of_brackets() {
        for (host, expected) in [
            ("example.com", "example.com"),
            ("example.com:80", "example.com"),
            ("example.com:", "example.com"),
            ("[::1]", "[::1]"),
            ("[::1]:8080", "[::1]"),
        ] {
            assert_eq!(without_port(host), expected);
        }
    }
}
