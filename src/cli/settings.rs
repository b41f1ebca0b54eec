//! What the program goes by: flag before variable before file before default.

use crate::cli::file::{Problem, Source, Table, Value, line_at};
use crate::cli::flags::{self, FileDefault};
use crate::cli::host::{self, HostSettings};
use crate::cli::{Failure, build, forms, units};
use clap::{Arg, ValueHint};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::path::Path;

/// What a configuration file says, all of it right as far as can be told without listening.
#[derive(Debug, Default)]
pub(crate) struct FileSettings {
    /// In place of the flags' defaults.
    pub(crate) defaults: Vec<FileDefault>,
    /// None: the flags make the one host.
    pub(crate) hosts: Vec<HostSettings>,
}

/// Reads a configuration file.
///
/// # Errors
///
/// [`Failure::Arguments`] with a line for each problem.
pub(crate) fn read(path: &Path) -> Result<FileSettings, Failure> {
    let refused = |problems: Vec<Problem>| {
        let lines = problems.iter().map(|problem| problem.describe(path));
        Failure::Arguments(lines.collect())
    };
    let bytes = fs::read(path).map_err(|error| {
        let message = format!("cannot be read: {error}");
        refused(vec![Problem {
            line: None,
            message,
        }])
    })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let position = error.utf8_error().valid_up_to();
        refused(vec![Problem {
            line: Some(line_at(error.as_bytes(), position)),
            message: "this is not UTF-8".to_owned(),
        }])
    })?;
    let base = path.parent().unwrap_or(Path::new(""));
    parse(&text, base).map_err(refused)
}

/// Understands the text of a file whose paths are relative to `base`.
fn parse(text: &str, base: &Path) -> Result<FileSettings, Vec<Problem>> {
    let source = Source::new(text);
    let tree = source.parse().map_err(|problem| vec![problem])?;
    let mut table = Table::new(&source, 1, &tree);
    let mut settings = FileSettings::default();
    let mut of_one_host = Vec::new();
    for arg in flags::settable() {
        let Some(value) = table.value(flags::key(&arg)) else {
            continue;
        };
        if is_of_one_host(&arg) {
            of_one_host.push(value);
        }
        if let Some(texts) = read_flag(&arg, &value, base) {
            settings.defaults.push((arg.get_id().to_string(), texts));
        }
    }
    for mut host in table.tables("host") {
        settings.hosts.push(HostSettings::read(&mut host, base));
    }
    let host_keys = host::keys();
    let belongs_into_host = |key: &str| {
        let is_host_key = host_keys.iter().any(|known| known == key);
        is_host_key.then(|| format!("'{key}' is a host's: it has to stand below a [[host]]"))
    };
    if table.finish(belongs_into_host) {
        if !settings.hosts.is_empty() {
            for value in of_one_host {
                value.fail("with [[host]] tables each of them has its own");
            }
        }
        judge_together(&settings.hosts, &source);
    }
    let problems = source.into_problems();
    if problems.is_empty() {
        Ok(settings)
    } else {
        Err(problems)
    }
}

/// Whether a flag is about the one host that there is without a file that has others.
pub(crate) fn is_of_one_host(arg: &Arg) -> bool {
    host::keys().iter().any(|known| known == flags::key(arg))
}

/// Reads the value of a flag: as texts that its parser takes.
fn read_flag(arg: &Arg, value: &Value<'_>, base: &Path) -> Option<Vec<OsString>> {
    if !arg.get_action().takes_values() {
        return Some(vec![value.boolean()?.to_string().into()]);
    }
    if !flags::is_list(arg) {
        return Some(vec![read_one(arg, value, base)?]);
    }
    let items = value.items()?;
    let mut known = HashSet::new();
    let texts = items.iter().map(|item| {
        let text = read_one(arg, item, base)?;
        if known.insert(text.clone()) {
            return Some(text);
        }
        item.fail(format!("{} stands there twice", text.display()));
        None
    });
    if items.is_empty() && !arg.get_default_values().is_empty() {
        value.fail("there has to be one");
        return None;
    }
    texts.collect()
}

fn read_one(arg: &Arg, value: &Value<'_>, base: &Path) -> Option<OsString> {
    let text = match flags::unit(arg) {
        Some(_) => value.text_or_number()?,
        None => value.text()?.text.to_owned(),
    };
    let mut judged = flags::judge(arg, &text);
    if flags::is_list(arg) && text.contains(',') {
        judged = Err(format!(
            "'{text}' has a comma: write a list, as [\"..\", \"..\"]"
        ));
    }
    let judged = judged.and_then(|()| match arg.get_value_hint() {
        ValueHint::DirPath => {
            let path = base.join(&text);
            build::readable_root(&path).map(|()| path.into_os_string())
        }
        ValueHint::FilePath => Ok(base.join(&text).into_os_string()),
        _ if flags::is_address(arg) => {
            let address = units::address(&text).and_then(|text| forms::relative_to(base, &text));
            address.map(OsString::from)
        }
        _ => Ok(text.into()),
    });
    judged.map_err(|problem| value.fail(problem)).ok()
}

/// Where hosts listen: the address without its options, and for port 0, where each has its own,
/// whose it is.
type Place<'a> = (&'a str, Option<usize>);

fn place<'a>(address: &'a str, host: &HostSettings) -> Place<'a> {
    let (place, _) = units::split_options(address);
    let is_free_port = place.ends_with(":0") && !place.starts_with(units::UNIX);
    (place, is_free_port.then_some(host.line))
}

/// Judges what no host is to have in common with another, or has to.
fn judge_together(hosts: &[HostSettings], source: &Source<'_>) {
    let mut places: BTreeMap<Place<'_>, Vec<&HostSettings>> = BTreeMap::new();
    for host in hosts {
        for address in &host.listen {
            let sharing = places.entry(place(&address.text, host)).or_default();
            sharing.push(host);
        }
    }
    if let (Some(host), true) = (hosts.first(), places.is_empty()) {
        source.note(host.line, "no [[host]] has 'listen': there is no address");
    }
    // Who has no address of its own is served on all of the others.
    for host in hosts.iter().filter(|host| host.listen.is_empty()) {
        for sharing in places.values_mut() {
            sharing.push(host);
        }
    }
    let mut problems = BTreeSet::new();
    for ((place, _), mut sharing) in places {
        sharing.sort_by_key(|host| host.line);
        judge_sharing(place, &sharing, &mut problems);
    }
    for (line, message) in problems {
        source.note(line, message);
    }
}

/// Judges hosts that listen at the same place.
fn judge_sharing(place: &str, hosts: &[&HostSettings], problems: &mut BTreeSet<(usize, String)>) {
    let mut known_names: HashMap<Option<&str>, usize> = HashMap::new();
    let mut known_options: Option<(&str, usize)> = None;
    for host in hosts {
        for address in &host.listen {
            let (same, options) = units::split_options(&address.text);
            if same != place || options.is_empty() {
                continue;
            }
            let (known, line) = *known_options.get_or_insert((options, host.line));
            if known != options {
                let message = format!("'listen': the host of line {line} has ?{known} on {place}");
                problems.insert((address.line, message));
            }
        }
        let names = host.names.iter();
        let mut names: Vec<_> = names.map(|name| (Some(&*name.text), name.line)).collect();
        if names.is_empty() {
            names.push((None, host.line));
        }
        for (name, line) in names {
            let other = *known_names.entry(name).or_insert(host.line);
            if other != host.line {
                let message = match name {
                    Some(name) => {
                        format!("'names': the host of line {other} is {name} on {place} too")
                    }
                    None => format!(
                        "[[host]] without 'names': the host of line {other} on {place} has none \
                         either"
                    ),
                };
                problems.insert((line, message));
            }
        }
    }
}

impl FileSettings {
    /// How many hosts there are, and addresses that they listen on.
    pub(crate) fn counts(&self) -> (usize, usize) {
        if self.hosts.is_empty() {
            let listen = self.defaults.iter().find(|(id, _)| id == "listen");
            return (1, listen.map_or(1, |(_, addresses)| addresses.len()));
        }
        let places = self.hosts.iter().flat_map(|host| {
            let addresses = host.listen.iter();
            addresses.map(|address| place(&address.text, host))
        });
        let places: BTreeSet<Place<'_>> = places.collect();
        (self.hosts.len(), places.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn example() -> &'static str {
        let page = include_str!("../../docs/configuration.md");
        let (_, block) = page.split_once("```toml\n").expect("a block of TOML");
        block.split_once("```").expect("its end").0
    }

    proptest! {
        /// Whatever somebody's slip makes of it.
        #[test]
        fn any_text_is_understood_or_told_what_is_wrong_with_it(
            edits in prop::collection::vec((any::<prop::sample::Index>(), 0..4_usize, "[ -~\\n\"\\[\\]=]{0,3}"), 1..6)
        ) {
            let mut text = example().to_owned();
            for (at, removed, inserted) in edits {
                let at = at.index(text.len());
                text.replace_range(at..(at + removed).min(text.len()), &inserted);
            }
            let lines = text.lines().count().max(1);
            if let Err(problems) = parse(&text, Path::new("/no/such/folder")) {
                prop_assert!(!problems.is_empty());
                for problem in problems {
                    prop_assert!(problem.line.is_some_and(|line| (1..=lines + 1).contains(&line)));
                    prop_assert_eq!(problem.describe(Path::new("f")).lines().count(), 1);
                }
            }
        }
    }
}
