//! What the program goes by: flag before variable before file before default.

use crate::cli::address::ListenAddress;
use crate::cli::file::{Problem, Source, Table, Value};
use crate::cli::flags::{self, FileDefaults};
use crate::cli::host::{self, HostSettings, Located, TlsSettings};
use crate::cli::{Failure, build, schemes, together};
use clap::{Arg, ValueHint};
use rustix::fs::{Mode, OFlags};
use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// What a configuration file says, all of it right as far as can be told without listening.
#[derive(Debug, Default)]
pub(crate) struct FileSettings {
    /// In place of the flags' defaults.
    pub(crate) defaults: FileDefaults,
    /// None: the flags make the one host.
    pub(crate) hosts: Vec<HostSettings>,
}

fn refused(problems: &[Problem], path: &Path) -> Failure {
    let lines = problems.iter().map(|problem| problem.describe(path));
    Failure::Arguments(lines.collect())
}

/// Reads a configuration file.
///
/// # Errors
///
/// [`Failure::Arguments`] with a line for each problem.
pub(crate) fn read(path: &Path) -> Result<FileSettings, Failure> {
    let refused = |problems: Vec<Problem>| refused(&problems, path);
    let bytes = read_bytes(path).map_err(|error| {
        let message = format!("cannot be read: {error}");
        refused(vec![Problem {
            line: None,
            message,
        }])
    })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let position = error.utf8_error().valid_up_to();
        let before = error.as_bytes().iter().take(position);
        refused(vec![Problem {
            line: Some(1 + before.filter(|byte| **byte == b'\n').count()),
            message: "this is not UTF-8".to_owned(),
        }])
    })?;
    let base = path.parent().unwrap_or(Path::new(""));
    parse(&text, base).map_err(refused)
}

/// Longest file that is read, in bytes: 1 MiB, tens of thousands of lines.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The content of a file, or of a pipe that somebody writes to.
fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    // Or a pipe that has no writer would be waited for.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let mut bytes = Vec::new();
    let mut limited = (&mut file).take(MAX_FILE_BYTES + 1);
    let read = match limited.read_to_end(&mut bytes) {
        // Its writer is there, and takes its time: so do we.
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            rustix::fs::fcntl_setfl(limited.get_ref(), OFlags::empty())?;
            limited.read_to_end(&mut bytes).map(drop)
        }
        read => read.map(drop),
    };
    read?;
    if bytes.is_empty() && file.metadata()?.file_type().is_fifo() {
        return Err(io::Error::other("it is a pipe that nobody writes to"));
    }
    if bytes.len() as u64 > MAX_FILE_BYTES {
        let message = "it has more than 1 MiB, which no configuration has";
        return Err(io::Error::other(message));
    }
    Ok(bytes)
}

/// Understands the text of a file whose paths are relative to `base`.
///
/// # Errors
///
/// All that is wrong with it, by line.
pub(crate) fn parse(text: &str, base: &Path) -> Result<FileSettings, Vec<Problem>> {
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
        if flags::is_listen(&arg) {
            settings.defaults.listen = read_listen(&value, base);
        } else if let Some(texts) = read_flag(&arg, &value, base) {
            let texts = (arg.get_id().to_string(), texts);
            settings.defaults.values.push(texts);
        }
    }
    judge_certificates(&settings.defaults, &of_one_host);
    for mut host in table.tables("host") {
        settings.hosts.push(HostSettings::read(&mut host, base));
    }
    table.finish(|key| {
        let is_host_key = host::keys().iter().any(|known| known == key);
        is_host_key.then(|| format!("'{key}' is a host's: it has to stand below a [[host]]"))
    });
    if !settings.hosts.is_empty() {
        for value in of_one_host {
            value.fail("with [[host]] tables each of them has its own");
        }
        together::judge(&settings.hosts, &source);
    }
    let mut problems = source.into_problems();
    if problems.is_empty() && !settings.hosts.is_empty() {
        problems = judge_schemes(&settings.hosts, &settings.defaults);
    }
    if problems.is_empty() {
        Ok(settings)
    } else {
        Err(problems)
    }
}

/// Judges whether what hosts listen on fits their certificates.
fn judge_schemes(hosts: &[HostSettings], defaults: &FileDefaults) -> Vec<Problem> {
    let redirects = defaults.values("tls_redirect").iter();
    let redirects = redirects.filter_map(|text| ListenAddress::parse(text.to_str()?).ok());
    let redirects: Vec<ListenAddress> = redirects.collect();
    let problems = schemes::judge(hosts, &redirects).into_iter();
    let located = problems.map(|(line, message)| Problem {
        line: Some(line).filter(|line| *line > 0),
        message,
    });
    located.collect()
}

/// The certificates of the one host that flags make, as far as the file names them.
fn certificates(defaults: &FileDefaults) -> TlsSettings {
    let files = |id| defaults.values(id).iter().map(PathBuf::from).collect();
    TlsSettings {
        certificates: files("tls_cert"),
        keys: files("tls_key"),
        self_signed: defaults
            .values("tls_self_signed")
            .iter()
            .any(|value| value == "true"),
    }
}

/// Judges them.
fn judge_certificates(defaults: &FileDefaults, found: &[Value<'_>]) {
    let Some(value) = found.iter().find(|value| value.key.starts_with("tls-")) else {
        return;
    };
    if let Err(problem) = build::tls(&certificates(defaults)) {
        value.fail(problem);
    }
}

/// Whether a flag is about the one host that there is without a file that has others.
pub(crate) fn is_of_one_host(arg: &Arg) -> bool {
    host::keys().iter().any(|known| known == flags::key(arg))
}

/// Reads `listen` of the one host that flags make.
fn read_listen(value: &Value<'_>, base: &Path) -> Option<Vec<ListenAddress>> {
    let addresses = host::read_listen(value, base)?;
    if addresses.is_empty() {
        value.fail("there has to be one");
        return None;
    }
    together::judge_addresses(addresses.iter(), value.source);
    let addresses = addresses.into_iter();
    Some(addresses.map(|Located { value, .. }| value).collect())
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
        if known.insert(text.clone()) || flags::may_repeat(arg) {
            return Some(text);
        }
        item.fail(format!("{} stands there twice", text.display()));
        None
    });
    texts.collect()
}

fn read_one(arg: &Arg, value: &Value<'_>, base: &Path) -> Option<OsString> {
    let text = match flags::unit(arg) {
        Some(_) => value.text_or_number()?,
        None => value.text()?.text.to_owned(),
    };
    let hint = arg.get_value_hint();
    let judged = if hint == ValueHint::DirPath {
        build::folder(base, &text).map(OsString::from)
    } else if hint == ValueHint::FilePath && text != "-" && !text.contains(',') {
        build::file(base, &text).map(OsString::from)
    } else if flags::is_list(arg) && text.contains(',') {
        // As a default it would be taken for two.
        Err(format!(
            "'{text}' has a comma: write a list, as [\"..\", \"..\"]"
        ))
    } else {
        flags::judge(arg, &text).map(|()| text.into())
    };
    judged.map_err(|problem| value.fail(problem)).ok()
}

impl FileSettings {
    /// Judges what flags and variables could still mend: the one host that the file makes alone.
    ///
    /// # Errors
    ///
    /// [`Failure::Arguments`] with a line for each problem.
    pub(crate) fn judge_alone(&self, path: &Path) -> Result<(), Failure> {
        if !self.hosts.is_empty() {
            return Ok(());
        }
        let located = |value: &ListenAddress| Located {
            value: value.clone(),
            line: 0,
        };
        let default = ListenAddress::parse(flags::DEFAULT_ADDRESS).ok();
        let listen = match &self.defaults.listen {
            Some(listen) => listen.as_slice(),
            None => default.as_slice(),
        };
        let listen = listen.iter().map(located).collect();
        let host = HostSettings {
            listen: Some(listen),
            tls: certificates(&self.defaults),
            ..HostSettings::default()
        };
        match &*judge_schemes(&[host], &self.defaults) {
            [] => Ok(()),
            problems => Err(refused(problems, path)),
        }
    }

    /// How many hosts there are, and addresses that they listen on.
    pub(crate) fn counts(&self) -> (usize, usize) {
        if self.hosts.is_empty() {
            let listen = self.defaults.listen.as_ref();
            return (1, listen.map_or(1, |listen| together::count(listen.iter())));
        }
        let listen = self
            .hosts
            .iter()
            .flat_map(|host| host.listen.iter().flatten());
        let addresses = listen.map(|address| &address.value);
        (self.hosts.len(), together::count(addresses))
    }
}

/// What the fuzz target of that name does with one input.
#[cfg(test)]
#[path = "../../tests/fuzz/cases/config.rs"]
mod case;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn example() -> &'static str {
        let page = include_str!("../../docs/configuration.md");
        let (_, block) = page.split_once("```toml\n").expect("a block of TOML");
        block.split_once("```").expect("its end").0
    }

    #[test]
    fn each_small_case_of_a_file_is_told_by_file_and_line() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus/config");
        let files = std::fs::read_dir(folder).expect("a corpus");
        let mut count = 0;
        for file in files {
            let path = file.expect("the corpus is readable").path();
            println!("{}", path.display());
            case::run(&std::fs::read(path).expect("the corpus is readable"));
            count += 1;
        }
        assert!(count > 5, "{count} cases");
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
