//! What is different between two configurations, in a line for each setting.

use crate::cli::host::{FileSettings, HostSettings};
use std::fmt::Display;

/// What a server goes by, as people write it.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    /// Of the whole server, by key.
    pub(crate) values: Vec<(String, String)>,
    pub(crate) hosts: Vec<Described>,
}

/// A host: what it is called, and its keys.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Described {
    name: String,
    keys: Vec<(&'static str, String)>,
}

/// Settings that a running server keeps, whatever the file says: why is in docs/configuration.md.
pub(crate) const UNTIL_RESTART: [&str; 13] = [
    "access-log",
    "access-log-format",
    "color",
    "compression",
    "compression-level",
    "compression-threshold-bytes",
    "compression-window-bits",
    "config",
    "group",
    "live",
    "live-host",
    "live-listen",
    "user",
];

/// What has changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) made: Vec<String>,
    /// What is not before a restart.
    pub(crate) postponed: Vec<String>,
}

impl Settled {
    /// What differs in `next`, which is what a server goes by from then on, but for what has to wait:
    /// that is told again until it has come.
    pub(crate) fn become_next(&mut self, mut next: Self) -> Changes {
        let mut changes = Changes::default();
        for (key, value) in &mut next.values {
            let before = self.values.iter().find(|(known, _)| known == key);
            let before = before.map_or("", |(_, before)| before);
            if before == value {
                continue;
            }
            let line = format!("{key}: {} is {} now", said(before), said(value));
            if UNTIL_RESTART.contains(&key.as_str()) {
                let line = format!("{key}: {} needs a restart", said(value));
                changes.postponed.push(line);
                before.clone_into(value);
            } else {
                changes.made.push(line);
            }
        }
        // Of those that are called the same, the first is taken for the first.
        let mut before: Vec<Option<Described>> = self.hosts.drain(..).map(Some).collect();
        for host in &next.hosts {
            let mut known = before.iter_mut();
            let known = known.find(|known| known.as_ref().is_some_and(|it| it.name == host.name));
            match known.and_then(Option::take) {
                None => changes.made.push(format!("{} is new", host.name)),
                Some(before) => changes.made.extend(host.differences(&before)),
            }
        }
        for gone in before.into_iter().flatten() {
            changes.made.push(format!("{} is there no more", gone.name));
        }
        *self = next;
        changes
    }
}

impl Described {
    pub(crate) fn new(host: &HostSettings) -> Self {
        let names = list(host.names.iter().flatten().map(|name| &name.value));
        let files = host.files.as_ref();
        let nothing = FileSettings::default();
        let of = files.unwrap_or(&nothing);
        let root = files.map(|files| files.root.display().to_string());
        let switch =
            |value: Option<bool>| value.map_or_else(String::new, |is_on| is_on.to_string());
        let types = of.types.iter();
        let headers = of.headers.iter();
        let listen = host.listen.iter().flatten().map(|address| &address.value);
        let keys = vec![
            ("listen", list(listen)),
            ("redirect", host.redirect.clone().unwrap_or_default()),
            ("demo", host.demo.to_string()),
            ("root", root.unwrap_or_default()),
            ("index", list(of.index.iter().flatten())),
            ("fallback", of.fallback.clone().unwrap_or_default()),
            ("not-found", of.not_found.clone().unwrap_or_default()),
            (
                "types",
                list(types.map(|(name, kind)| format!("{name} {kind}"))),
            ),
            ("listing", switch(of.listing)),
            ("precompressed", switch(of.precompressed)),
            ("compress", switch(of.compress)),
            (
                "header",
                list(headers.map(|rule| format!("{} {}: {}", rule.pattern, rule.name, rule.value))),
            ),
            (
                "tls-cert",
                list(host.tls.certificates.iter().map(|path| path.display())),
            ),
            (
                "tls-key",
                list(host.tls.keys.iter().map(|path| path.display())),
            ),
            ("tls-self-signed", host.tls.self_signed.to_string()),
        ];
        let name = match names.as_str() {
            "" => "the host without names".to_owned(),
            names => format!("the host {names}"),
        };
        Self { name, keys }
    }

    fn differences(&self, before: &Self) -> impl Iterator<Item = String> {
        let pairs = self.keys.iter().zip(&before.keys);
        let differences = pairs.filter(|(now, before)| now != before);
        differences.map(|((key, now), (_, before))| {
            format!(
                "{}: {key}: {} is {} now",
                self.name,
                said(before),
                said(now)
            )
        })
    }
}

fn list<T: Display>(items: impl Iterator<Item = T>) -> String {
    let items: Vec<String> = items.map(|item| item.to_string()).collect();
    items.join(", ")
}

/// A value, or that there is none.
fn said(value: &str) -> &str {
    if value.is_empty() { "none" } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{flags, host};

    fn settled(values: &[(&str, &str)]) -> Settled {
        let values = values.iter();
        Settled {
            values: values
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
            hosts: Vec::new(),
        }
    }

    #[test]
    fn each_difference_is_a_line_and_what_has_to_wait_is_told_again() {
        let mut now = settled(&[("user", ""), ("heartbeat", "10s"), ("root", "a")]);
        for made in [&["heartbeat: 10s is 5s now"][..], &[]] {
            let next = settled(&[("user", "www"), ("heartbeat", "5s"), ("root", "a")]);
            let changes = now.become_next(next);
            assert_eq!(changes.made, made);
            assert_eq!(changes.postponed, ["user: www needs a restart"]);
        }
        let back = settled(&[("user", ""), ("heartbeat", "5s"), ("root", "")]);
        let changes = now.become_next(back);
        assert_eq!(changes.made, ["root: a is none now"]);
        assert!(changes.postponed.is_empty());
    }

    #[test]
    fn hosts_that_are_called_the_same_are_compared_in_their_order() {
        let host = |root: &str| Described {
            name: "the host without names".to_owned(),
            keys: vec![("root", root.to_owned())],
        };
        let hosts = |roots: &[&str]| Settled {
            values: Vec::new(),
            hosts: roots.iter().map(|root| host(root)).collect(),
        };
        let mut now = hosts(&["a", "b"]);
        assert_eq!(now.become_next(hosts(&["a", "b"])), Changes::default());
        let changes = now.become_next(hosts(&["a", "c", "d"]));
        let different = "the host without names: root: b is c now";
        assert_eq!(changes.made, [different, "the host without names is new"]);
        let changes = now.become_next(hosts(&["a"]));
        assert_eq!(changes.made, ["the host without names is there no more"; 2]);
    }

    /// All that a host may say is compared.
    #[test]
    fn every_key_of_a_host_is_described() {
        let described = Described::new(&HostSettings::default());
        let mut keys: Vec<&str> = described.keys.iter().map(|(key, _)| *key).collect();
        keys.push("names"); // by which hosts are told apart
        keys.sort_unstable();
        let mut known: Vec<&str> = host::keys().iter().map(String::as_str).collect();
        known.sort_unstable();
        assert_eq!(keys, known);
    }

    /// The table of docs/configuration.md: each key, when it counts.
    #[test]
    fn the_documentation_says_of_every_key_when_it_counts() {
        let page = include_str!("../../docs/configuration.md");
        let (_, section) = page
            .split_once("## What SIGHUP changes")
            .expect("a section");
        let row = |line: &str| {
            let mut cells = line.strip_prefix("| ")?.split(" | ");
            let keys = cells.next()?.to_owned();
            let is_later = cells.next()?.contains("restart");
            Some((keys, is_later))
        };
        let mut told: Vec<(String, bool)> = Vec::new();
        for (keys, is_later) in section.lines().filter_map(row) {
            let keys = keys.split('`').skip(1).step_by(2);
            told.extend(keys.map(|key| (key.to_owned(), is_later)));
        }
        let known = flags::all().into_iter();
        let known = known.map(|arg| flags::key(&arg).to_owned());
        let known = known.chain(host::keys().iter().cloned());
        for key in known {
            let is_later = UNTIL_RESTART.contains(&key.as_str());
            assert!(told.contains(&(key.clone(), is_later)), "{key} {is_later}");
        }
    }
}
