//! `[[host]]` tables of a configuration file: read and judged into plain values.
//!
//! Nothing of the server is made here: that is `build.rs`. Every key of a host is in
//! [`HostSettings::read`]; who misspells it is told the nearest one.

use crate::cli::address::ListenAddress;
use crate::cli::build;
use crate::cli::file::{Source, Table, Value};
use crate::cli::flags;
use crate::cli::forms::{
    field_name, field_value, file_name, file_pattern, host_name, media_type, page_below,
    redirect_base,
};
use std::collections::HashSet;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use toml::de::DeTable;

/// What a host is asked to be, judged but not made.
#[derive(Debug, Default)]
pub(crate) struct HostSettings {
    /// Where its table begins; 0 if flags made it.
    pub(crate) line: usize,
    /// By which it is asked for, in lower case; none: by any that no other has. `None`: what the file
    /// says of them is wrong.
    pub(crate) names: Option<Vec<Located<String>>>,
    /// `None` as with the names.
    pub(crate) listen: Option<Vec<Located<ListenAddress>>>,
    /// To where all requests are sent, without a final slash.
    pub(crate) redirect: Option<String>,
    /// Whether it has the routes of the demo.
    pub(crate) demo: bool,
    pub(crate) files: Option<FileSettings>,
    pub(crate) tls: TlsSettings,
}

/// By what a host speaks TLS, if it does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TlsSettings {
    pub(crate) certificates: Vec<PathBuf>,
    /// One for each certificate, or none: then each is in the file of its certificate.
    pub(crate) keys: Vec<PathBuf>,
    /// Its certificate is made at the start.
    pub(crate) self_signed: bool,
}

impl TlsSettings {
    /// Whether there is a certificate.
    pub(crate) const fn is_any(&self) -> bool {
        self.self_signed || !self.certificates.is_empty()
    }
}

/// The files of a host.
#[derive(Debug, Default)]
pub(crate) struct FileSettings {
    pub(crate) root: PathBuf,
    pub(crate) index: Option<Vec<String>>,
    pub(crate) fallback: Option<String>,
    pub(crate) not_found: Option<String>,
    /// Extension and type.
    pub(crate) types: Vec<(String, String)>,
    pub(crate) listing: Option<bool>,
    pub(crate) precompressed: Option<bool>,
    pub(crate) compress: Option<bool>,
    pub(crate) headers: Vec<HeaderRule>,
}

/// A field that is added to files of some names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeaderRule {
    pub(crate) pattern: String,
    pub(crate) name: String,
    pub(crate) value: String,
}

/// What was read, and the line where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Located<T> {
    pub(crate) value: T,
    pub(crate) line: usize,
}

impl HostSettings {
    /// Reads a host; paths are relative to `base`. What is wrong is noted at the table's source.
    pub(crate) fn read(table: &mut Table<'_>, base: &Path) -> Self {
        let names = table.value("names");
        let names = names.and_then(|names| read_list(&names, host_name));
        let listen = table.value("listen");
        let listen = listen.and_then(|listen| read_listen(&listen, base));
        let redirect = table.text("redirect");
        let redirect = redirect.and_then(|item| item.judge(redirect_base(item.text)));
        let demo = table.boolean("demo");
        let tls = read_tls(table, base);
        let root = table.text("root");
        let root = root.and_then(|item| item.judge(build::folder(base, item.text)));
        let (files, needs_root) = read_files(table, root.clone());
        let is_complete = table.finish(belongs_above);
        if is_complete {
            judge_whole(table, demo, needs_root);
        }
        let is_left_out = |key| is_complete && !table.has(key);
        Self {
            line: table.line,
            names: names.or_else(|| is_left_out("names").then(Vec::new)),
            listen: listen.or_else(|| is_left_out("listen").then(Vec::new)),
            redirect,
            demo: demo.unwrap_or(false),
            files: root.map(|_| files),
            tls,
        }
    }
}

/// Judges what is missing in a host, or does not fit together: by the keys that it has, whatever is
/// wrong with their values.
fn judge_whole(table: &Table<'_>, demo: Option<bool>, needs_root: Option<Value<'_>>) {
    let (has_root, has_redirect) = (table.has("root"), table.has("redirect"));
    if let (Some(value), false) = (needs_root, has_root) {
        value.fail("there are no files without 'root'");
        return;
    }
    if has_redirect && (has_root || demo == Some(true)) {
        table.note("[[host]] with 'redirect': it sends everybody away, without 'root' or 'demo'");
    }
    // One that is neither true nor false was meant to be something.
    let has_demo = table.has("demo") && demo != Some(false);
    if !(has_redirect || has_root || has_demo) {
        table.note(
            "[[host]] without 'root', 'redirect' or 'demo = true': it has nothing to answer with",
        );
    }
}

/// The keys of a host.
pub(crate) fn keys() -> &'static [String] {
    static KEYS: LazyLock<Vec<String>> = LazyLock::new(|| {
        let (source, tree) = (Source::new(""), DeTable::new());
        let mut table = Table::new(&source, 0, &tree);
        HostSettings::read(&mut table, Path::new(""));
        table.into_asked()
    });
    &KEYS
}

/// Of a key that a host does not have: where it would belong. Who writes it below the last host
/// by TOML's rules writes it into that.
fn belongs_above(key: &str) -> Option<String> {
    flags::is_key(key)
        .then(|| format!("'{key}' is the whole server's: it has to stand above the first [[host]]"))
}

/// The same of a key that a `[[host.header]]` does not have.
fn belongs_above_header(key: &str) -> Option<String> {
    if keys().iter().any(|known| known == key) {
        return Some(format!(
            "'{key}' is the host's: it has to stand above its first [[host.header]]"
        ));
    }
    belongs_above(key)
}

/// Reads by what TLS is spoken, and tells what is wrong with the files that are named.
fn read_tls(table: &mut Table<'_>, base: &Path) -> TlsSettings {
    let certificates = table.value("tls-cert");
    let keys = table.value("tls-key");
    let self_signed = table.value("tls-self-signed");
    let read = |value: Option<Value<'_>>, may_repeat| {
        let known = |list: Vec<Located<String>>| {
            let files = list.into_iter().map(|file| PathBuf::from(file.value));
            files.collect::<Vec<_>>()
        };
        let file = |text: &str| build::file(base, text);
        match value {
            Some(value) => read_each(&value, file, may_repeat).map(known),
            None => Some(Vec::new()),
        }
    };
    let is_on = self_signed.and_then(|value| value.boolean());
    // One key may be that of several certificates.
    let (Some(certificates_read), Some(keys_read)) = (read(certificates, false), read(keys, true))
    else {
        return TlsSettings::default();
    };
    let settings = TlsSettings {
        certificates: certificates_read,
        keys: keys_read,
        self_signed: is_on.unwrap_or(false),
    };
    if let Some(value) = certificates.or(keys).or(self_signed)
        && let Err(problem) = build::tls(&settings)
    {
        value.fail(problem);
    }
    settings
}

/// Reads what is about files, and tells of a key that makes no sense without a root.
fn read_files<'a>(
    table: &mut Table<'a>,
    root: Option<PathBuf>,
) -> (FileSettings, Option<Value<'a>>) {
    let found_before = table.found().len();
    let index = table.value("index");
    let index = index.and_then(|index| read_list(&index, file_name));
    let mut page = |key| {
        let item = table.text(key)?;
        item.judge(page_below(root.as_deref(), item.text))
    };
    let (fallback, not_found) = (page("fallback"), page("not-found"));
    let types = table.pairs("types").unwrap_or_default();
    let headers = table.tables("header");
    let files = FileSettings {
        root: root.unwrap_or_default(),
        index: index.map(|names| names.into_iter().map(|name| name.value).collect()),
        fallback,
        not_found,
        types: read_types(&types),
        listing: table.boolean("listing"),
        precompressed: table.boolean("precompressed"),
        compress: table.boolean("compress"),
        headers: headers.flat_map(read_headers).collect(),
    };
    (files, table.found().get(found_before).copied())
}

/// Reads a list of texts that are judged one by one, and none of which stands there twice. `None`: it
/// is not known what was meant.
fn read_list<T: PartialEq + Display>(
    value: &Value<'_>,
    judge: impl Fn(&str) -> Result<T, String>,
) -> Option<Vec<Located<T>>> {
    read_each(value, judge, false)
}

/// The same of texts that may each stand there twice, or may not.
fn read_each<T: PartialEq + Display>(
    value: &Value<'_>,
    judge: impl Fn(&str) -> Result<T, String>,
    may_repeat: bool,
) -> Option<Vec<Located<T>>> {
    let (mut known, mut is_known) = (HashSet::new(), true);
    let mut list = Vec::new();
    for item in value.items()? {
        let text = item.text();
        let Some(value) = text.and_then(|text| text.judge(judge(text.text))) else {
            is_known = false;
            continue;
        };
        if known.insert(value.to_string()) || may_repeat {
            let line = item.line;
            list.push(Located { value, line });
        } else {
            item.fail(format!("{value} stands there twice"));
        }
    }
    is_known.then_some(list)
}

/// Reads a list of addresses to listen on, in a file that is in the folder `base`.
pub(crate) fn read_listen(value: &Value<'_>, base: &Path) -> Option<Vec<Located<ListenAddress>>> {
    read_list(value, |text| ListenAddress::parse(text)?.below(base))
}

/// Reads `[[host.header]]`: a field or several for the files that a pattern fits.
fn read_headers(mut table: Table<'_>) -> Vec<HeaderRule> {
    let path = table.text("path");
    let pattern = path.and_then(|path| path.judge(file_pattern(path.text)));
    let name = table.text("name");
    let own_name = name.and_then(|name| name.judge(field_name(name.text)));
    let value = table.text("value");
    let own_value = value.and_then(|value| value.judge(field_value(value.text)));
    let fields = table.pairs("fields");
    let mut rules: Vec<(String, String)> = Vec::new();
    for field in fields.iter().flatten() {
        let Some(value) = field.text() else { continue };
        if let Some(name) = value.judge(field_name(field.key))
            && let Some(value) = value.judge(field_value(value.text))
        {
            rules.push((name, value));
        }
    }
    rules.extend(own_name.zip(own_value));
    if table.finish(belongs_above_header) {
        if !table.has("path") {
            table.note("[[host.header]] without 'path': which files is it for? '*' is all");
        }
        let has_name = table.has("name");
        if has_name != table.has("value") || has_name == table.has("fields") {
            table.note("[[host.header]] has either 'name' and 'value', or 'fields'");
        }
    }
    let Some(pattern) = pattern else {
        return Vec::new();
    };
    let rule = |(name, value)| HeaderRule {
        pattern: pattern.clone(),
        name,
        value,
    };
    rules.into_iter().map(rule).collect()
}

/// Reads `types`, whose extensions are in any case.
fn read_types(entries: &[Value<'_>]) -> Vec<(String, String)> {
    let mut known = HashSet::new();
    let types = entries.iter().filter_map(|entry| {
        if !known.insert(entry.key.to_ascii_lowercase()) {
            entry.fail(format!(
                "{} stands there twice",
                entry.key.to_ascii_lowercase()
            ));
        }
        read_type(entry)
    });
    types.collect()
}

/// Reads an entry of `types`: an extension and its type.
fn read_type(entry: &Value<'_>) -> Option<(String, String)> {
    let item = entry.text()?;
    let extension = entry.key;
    if extension.is_empty() || extension.contains(['.', '/']) {
        entry.fail("the key is an extension, without its dot");
        return None;
    }
    let content_type = item.judge(media_type(item.text))?;
    Some((extension.to_owned(), content_type))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_a_host_is_documented() {
        let page = include_str!("../../docs/configuration.md");
        let missing: Vec<&String> = keys()
            .iter()
            .filter(|key| !page.contains(&format!("\n| `{key}` | ")))
            .collect();
        assert_eq!(missing, Vec::<&String>::new());
    }
}
