//! What hosts have in common: where they listen, how often, and by which names they are asked for.

use crate::cli::address::{ListenAddress, Place};
use crate::cli::file::Source;
use crate::cli::host::{HostSettings, Located};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// A place, and for port 0, where each address has a port of its own, the number of the address.
type Listener<'a> = (&'a Place, Option<usize>);

/// The listeners of addresses, in their order.
fn listeners<'a>(
    addresses: impl Iterator<Item = &'a ListenAddress>,
) -> impl Iterator<Item = Listener<'a>> {
    addresses.enumerate().map(|(index, address)| {
        let place = &address.place;
        (place, place.is_free_port().then_some(index))
    })
}

/// How many listeners addresses make.
pub(crate) fn count<'a>(addresses: impl Iterator<Item = &'a ListenAddress>) -> usize {
    listeners(addresses).collect::<BTreeSet<_>>().len()
}

/// The addresses of all hosts, and whose they are by number.
fn addresses(
    hosts: &[HostSettings],
) -> impl Iterator<Item = (usize, &Located<ListenAddress>)> + Clone {
    hosts.iter().enumerate().flat_map(|(index, host)| {
        let addresses = host.listen.iter().flatten();
        addresses.map(move |address| (index, address))
    })
}

/// Judges what no host is to have in common with another, or has to, by what is known of them.
pub(crate) fn judge(hosts: &[HostSettings], source: &Source<'_>) {
    let addresses = addresses(hosts);
    judge_addresses(addresses.clone().map(|(_, address)| address), source);
    let mut sharing: BTreeMap<Listener<'_>, Vec<usize>> = BTreeMap::new();
    let places = listeners(addresses.clone().map(|(_, address)| &address.value));
    for (listener, (host, _)) in places.zip(addresses) {
        sharing.entry(listener).or_default().push(host);
    }
    let are_known = hosts.iter().all(|host| host.listen.is_some());
    if let (Some(host), true) = (hosts.first(), are_known && sharing.is_empty()) {
        source.note(host.line, "no [[host]] has 'listen': there is no address");
    }
    // Who has no address of its own is served on all of the others.
    let mut everywhere = Vec::new();
    for (index, host) in hosts.iter().enumerate() {
        if host.listen.as_ref().is_some_and(Vec::is_empty) {
            everywhere.push(index);
        }
    }
    let mut told = HashSet::new();
    for ((place, _), own) in sharing {
        let mut sharing = [own, everywhere.clone()].concat();
        sharing.sort_unstable();
        for (name, first, second) in double_names(hosts, &sharing) {
            // At each place that they share it is the same mistake.
            if told.insert((name.map(|name| &*name.value), first, second)) {
                tell_double_name(hosts, place, (name, first, second), source);
            }
        }
    }
}

/// A name, or none, that a host has and another has later.
type DoubleName<'a> = (Option<&'a Located<String>>, usize, usize);

fn double_names<'a>(hosts: &'a [HostSettings], sharing: &[usize]) -> Vec<DoubleName<'a>> {
    let mut known: HashMap<Option<&str>, usize> = HashMap::new();
    let mut double = Vec::new();
    for index in sharing {
        let Some(names) = &hosts[*index].names else {
            continue;
        };
        let mut names: Vec<_> = names.iter().map(Some).collect();
        if names.is_empty() {
            names.push(None);
        }
        for name in names {
            let first = *known.entry(name.map(|name| &*name.value)).or_insert(*index);
            if first != *index {
                double.push((name, first, *index));
            }
        }
    }
    double
}

fn tell_double_name(
    hosts: &[HostSettings],
    place: &Place,
    (name, first, second): DoubleName<'_>,
    source: &Source<'_>,
) {
    let first = hosts[first].line;
    match name {
        Some(Located { value, line }) => source.note(
            *line,
            format!("'names': the host of line {first} is {value} on {place} too"),
        ),
        None => source.note(
            hosts[second].line,
            format!(
                "[[host]] without 'names': the host of line {first} on {place} has none either"
            ),
        ),
    }
}

/// Judges addresses of one server by each other.
pub(crate) fn judge_addresses<'a>(
    addresses: impl Iterator<Item = &'a Located<ListenAddress>> + Clone,
    source: &Source<'_>,
) {
    judge_modes(addresses.clone(), source);
    judge_schemes(addresses.clone(), source);
    judge_ports(addresses, source);
}

/// A socket's file has one mode.
fn judge_modes<'a>(
    addresses: impl Iterator<Item = &'a Located<ListenAddress>>,
    source: &Source<'_>,
) {
    let mut known: HashMap<&Place, (u32, usize)> = HashMap::new();
    for Located { value, line } in addresses {
        let Some(mode) = value.mode else { continue };
        let place = &value.place;
        let (other, first) = *known.entry(place).or_insert((mode, *line));
        if other != mode {
            let message = format!("'listen': {place} has ?mode={other:o} in line {first}");
            source.note(*line, message);
        }
    }
}

/// Where TLS is spoken, it is by all.
fn judge_schemes<'a>(
    addresses: impl Iterator<Item = &'a Located<ListenAddress>>,
    source: &Source<'_>,
) {
    let mut known: HashMap<&Place, (bool, usize)> = HashMap::new();
    for Located { value, line } in addresses {
        let Some(tls) = value.tls.filter(|_| !value.place.is_free_port()) else {
            continue;
        };
        let place = &value.place;
        let (other, first) = *known.entry(place).or_insert((tls, *line));
        if other != tls {
            let scheme = if other { "https://" } else { "http://" };
            let message = format!("'listen': {place} has {scheme} in line {first}");
            source.note(*line, message);
        }
    }
}

/// Who listens at one address has its port to themselves, or shares it with other single ones.
fn judge_ports<'a>(
    addresses: impl Iterator<Item = &'a Located<ListenAddress>> + Clone,
    source: &Source<'_>,
) {
    let mut lines: BTreeMap<&Place, usize> = BTreeMap::new();
    for Located { value, line } in addresses {
        lines.entry(&value.place).or_insert(*line);
    }
    for (place, line) in &lines {
        let all = place.all_with_its_port();
        if let Some((all, other)) = all.as_ref().and_then(|all| lines.get_key_value(all)) {
            source.note(
                *line.max(other),
                format!(
                    "'listen': {place} cannot be listened on beside {all}, which takes all of the \
                     port"
                ),
            );
        }
    }
}
