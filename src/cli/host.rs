//! `[[host]]` tables of a configuration file: read and judged into plain values.
//!
//! Nothing of the server is made here: that is `build.rs`. Every key of a host is in
//! [`HostSettings::read`]; who misspells it is told the nearest one.

use crate::cli::build;
use crate::cli::file::{Source, Table, Value};
use crate::cli::flags;
use crate::cli::forms::{
    field_name, field_value, file_name, file_pattern, host_name, media_type, page_below,
    redirect_base, relative_to,
};
use crate::cli::units::address;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use toml::de::DeTable;

/// What a host is asked to be, judged but not made.
#[derive(Debug, Default)]
pub(crate) struct HostSettings {
    /// Where its table begins; 0 if flags made it.
    pub(crate) line: usize,
    /// By which it is asked for, in lower case; none: by any that no other has.
    pub(crate) names: Vec<Located>,
    pub(crate) listen: Vec<Located>,
    /// To where all requests are sent, without a final slash.
    pub(crate) redirect: Option<String>,
    /// Whether it has the routes of the demo.
    pub(crate) demo: bool,
    pub(crate) files: Option<FileSettings>,
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

/// A text and the line where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Located {
    pub(crate) text: String,
    pub(crate) line: usize,
}

impl HostSettings {
    /// Reads a host; paths are relative to `base`. What is wrong is noted at the table's source.
    pub(crate) fn read(table: &mut Table<'_>, base: &Path) -> Self {
        let names = read_list(table, "names", host_name);
        let listen = read_list(table, "listen", |text| {
            address(text).and_then(|address| relative_to(base, &address))
        });
        let redirect_at = table.text("redirect");
        let redirect = redirect_at.and_then(|item| item.judge(redirect_base(item.text)));
        let demo = table.boolean("demo").unwrap_or(false);
        let root_at = table.text("root");
        let root = root_at.and_then(|item| {
            let root = base.join(item.text);
            item.judge(build::readable_root(&root))?;
            Some(root)
        });
        let (files, needs_root) = read_files(table, root.clone());
        let host = Self {
            line: table.line,
            names: names.unwrap_or_default(),
            listen: listen.unwrap_or_default(),
            redirect,
            demo,
            files: root.map(|_| files),
        };
        if table.finish(belongs_above) {
            host.judge_whole(table, needs_root);
        }
        host
    }

    /// What is missing, or does not fit together.
    fn judge_whole(&self, table: &Table<'_>, needs_root: Option<Value<'_>>) {
        if let (Some(value), None) = (needs_root, &self.files) {
            value.fail("there are no files without 'root'");
            return;
        }
        let has_content = self.demo || self.files.is_some();
        if self.redirect.is_some() && has_content {
            table.note(
                "[[host]] with 'redirect': it sends everybody away, without 'root' or 'demo'",
            );
        } else if self.redirect.is_none() && !has_content {
            table.note("[[host]] without 'root', 'redirect' or 'demo = true': it has nothing to answer with");
        }
    }
}

/// The keys of a host.
pub(crate) fn keys() -> Vec<String> {
    let (source, tree) = (Source::new(""), DeTable::new());
    let mut table = Table::new(&source, 0, &tree);
    HostSettings::read(&mut table, Path::new(""));
    table.into_asked()
}

/// Of a key that a host does not have: where it would belong. Who writes it below the last host
/// by TOML's rules writes it into that.
fn belongs_above(key: &str) -> Option<String> {
    let flags = flags::settable();
    let is_flag = flags.iter().any(|arg| flags::key(arg) == key);
    is_flag
        .then(|| format!("'{key}' is the whole server's: it has to stand above the first [[host]]"))
}

/// Reads what is about files, and tells of a key that makes no sense without a root.
fn read_files<'a>(
    table: &mut Table<'a>,
    root: Option<PathBuf>,
) -> (FileSettings, Option<Value<'a>>) {
    let found_before = table.found().len();
    let index = read_list(table, "index", file_name);
    let mut page = |key| {
        let item = table.text(key)?;
        item.judge(page_below(root.as_deref(), item.text))
    };
    let (fallback, not_found) = (page("fallback"), page("not-found"));
    let types = table.pairs("types").unwrap_or_default();
    let headers = table.tables("header");
    let files = FileSettings {
        root: root.unwrap_or_default(),
        index: index.map(|names| names.into_iter().map(|name| name.text).collect()),
        fallback,
        not_found,
        types: types.iter().filter_map(read_type).collect(),
        listing: table.boolean("listing"),
        precompressed: table.boolean("precompressed"),
        compress: table.boolean("compress"),
        headers: headers.into_iter().flat_map(read_headers).collect(),
    };
    (files, table.found().get(found_before).copied())
}

/// Reads a list of texts that are judged one by one, and none of which stands there twice.
fn read_list(
    table: &mut Table<'_>,
    key: &str,
    judge: impl Fn(&str) -> Result<String, String>,
) -> Option<Vec<Located>> {
    let items = table.texts(key)?;
    let mut known = HashSet::new();
    let mut list = Vec::new();
    for item in items {
        let Some(text) = item.judge(judge(item.text)) else {
            continue;
        };
        if known.insert(text.clone()) {
            let line = item.of.line;
            list.push(Located { text, line });
        } else {
            item.of.fail(format!("{text} stands there twice"));
        }
    }
    Some(list)
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
    if !table.finish(|_| None) {
        return Vec::new();
    }
    let Some(pattern) = pattern else {
        table.note("[[host.header]] without 'path': which files is it for? '*' is all");
        return Vec::new();
    };
    if name.is_some() != value.is_some() || (name.is_some() == fields.is_some()) {
        table.note("[[host.header]] has either 'name' and 'value', or 'fields'");
    }
    let rule = |(name, value)| HeaderRule {
        pattern: pattern.clone(),
        name,
        value,
    };
    rules.into_iter().map(rule).collect()
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
        let missing: Vec<String> = keys()
            .into_iter()
            .filter(|key| !page.contains(&format!("\n| `{key}` | ")))
            .collect();
        assert_eq!(missing, Vec::<String>::new());
    }
}
