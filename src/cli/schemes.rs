//! Where TLS is spoken, and by what: what addresses ask for has to fit what their hosts have.

use crate::cli::address::{ListenAddress, Place};
use crate::cli::host::HostSettings;
use std::collections::BTreeMap;

/// What is known of a place where somebody listens.
#[derive(Debug, Default)]
struct Listened {
    /// Whether TLS is spoken there, if anybody says so, and in which line.
    tls: Option<(bool, usize)>,
    has_certificates: bool,
}

/// Whether TLS is spoken at an address of a host.
fn scheme(host: &HostSettings, address: &ListenAddress) -> Option<bool> {
    address.tls.or(host.tls.is_any().then_some(true))
}

/// What does not fit together, each with the line where it is to be changed, or 0. `redirects`: where
/// everybody is sent on to TLS.
pub(crate) fn judge(hosts: &[HostSettings], redirects: &[ListenAddress]) -> Vec<(usize, String)> {
    let mut problems = Vec::new();
    // At a free port each listens alone.
    let mut listened: BTreeMap<(&Place, Option<usize>), Listened> = BTreeMap::new();
    let addresses = hosts.iter().flat_map(|host| {
        host.listen
            .iter()
            .flatten()
            .map(move |address| (host, address))
    });
    for (index, (host, address)) in addresses.enumerate() {
        let (place, line) = (&address.value.place, address.line);
        let key = (place, place.is_free_port().then_some(index));
        let known = listened.entry(key).or_default();
        known.has_certificates |= host.tls.is_any();
        let Some(tls) = scheme(host, &address.value) else {
            continue;
        };
        let (other, _) = *known.tls.get_or_insert((tls, line));
        if other != tls {
            let problem = format!("{place} is listened on both with TLS and without");
            problems.push((line, problem));
        }
    }
    // Who has no address of its own is served, and shows its certificates, on all of the others.
    let is_everywhere = |host: &HostSettings| host.listen.as_ref().is_some_and(Vec::is_empty);
    // And a name may be that of another's address.
    let is_named = |(place, _): &(&Place, _)| matches!(place, Place::Name(..));
    let is_any_named = listened.keys().any(is_named);
    let shown_everywhere = hosts
        .iter()
        .any(|host| (is_any_named || is_everywhere(host)) && host.tls.is_any());
    for ((place, _), known) in &listened {
        if let Some((true, line)) = known.tls
            && !(known.has_certificates || shown_everywhere)
        {
            problems.push((
                line,
                format!("there is no certificate for https://{place}: {HOW}"),
            ));
        }
    }
    let is_encrypted = |listened: &Listened| matches!(listened.tls, Some((true, _)));
    let is_any_encrypted = listened.values().any(is_encrypted);
    for host in hosts {
        let mut own = host.listen.iter().flatten();
        let speaks_tls = own.any(|address| scheme(host, &address.value) == Some(true))
            || is_everywhere(host) && is_any_encrypted;
        if host.tls.is_any() && !speaks_tls {
            problems.push((host.line, UNUSED.to_owned()));
        }
    }
    if !redirects.is_empty() && !is_any_encrypted {
        problems.push((
            0,
            "tls-redirect: TLS is spoken nowhere to be sent on to".to_owned(),
        ));
    }
    for address in redirects {
        if address.tls == Some(true) {
            let problem =
                format!("tls-redirect: {address}: it is for plain HTTP, without https://");
            problems.push((0, problem));
        }
    }
    problems
}

const HOW: &str = "name its file by tls-cert, or have one made by tls-self-signed";
const UNUSED: &str =
    "there is a certificate, and TLS is spoken at no address: leave http:// out where it is to be";
