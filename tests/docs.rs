//! What the pages below `docs/` name is there.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page(name: &str) -> String {
    fs::read_to_string(root().join("docs").join(name)).expect("a page")
}

/// What stands between backticks.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Whether `text` may be the name of a test, or the begin of one that ends in an ellipsis.
fn is_name(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// A test that a page names.
enum Named<'p> {
    /// A function, and the file that it is in.
    Function(String, &'p str),
    /// A case with that title, of the program that it is in.
    Case(&'p str, &'p str),
}

/// The file of a module of black-box tests.
fn module_file(module: &str) -> String {
    let simulated = format!("tests/limits/{module}.rs");
    if root().join(&simulated).exists() {
        return simulated;
    }
    format!("tests/server/{module}.rs")
}

/// Every test that a page names: `module::name`, or the name followed by the file that it is in, which is
/// below `src/` unless it says `tests/`.
fn named_tests(page: &str) -> Vec<Named<'_>> {
    let code: Vec<_> = code(page).collect();
    let mut tests = Vec::new();
    for (index, piece) in code.iter().enumerate() {
        if let Some((module, name)) = piece.split_once("::")
            && is_name(module)
            && is_name(name)
            && name != "name"
        {
            tests.push(Named::Function(module_file(module), name));
        } else if piece.strip_suffix(".rs").is_some()
            && index > 0
            && is_name(code[index - 1])
            && !piece.starts_with("benches/")
        {
            let file = if piece.starts_with("tests/") {
                (*piece).to_owned()
            } else {
                format!("src/{piece}")
            };
            tests.push(Named::Function(file, code[index - 1]));
        } else if piece.strip_suffix(".py").is_some() && index > 0 && code[index - 1].contains(' ')
        {
            tests.push(Named::Case(piece, code[index - 1]));
        }
    }
    tests
}

/// That the tests exist that a text names; how many are functions, and how many cases of programs.
fn expect_tests(text: &str) -> (usize, usize) {
    let (mut function_count, mut case_count) = (0, 0);
    for named in named_tests(text) {
        let source = |file: &str| fs::read_to_string(root().join(file)).unwrap_or_default();
        match named {
            Named::Function(file, name) => {
                function_count += 1;
                let is_there = source(&file).contains(&format!("fn {name}()"));
                assert!(is_there, "{file} has no {name}");
            }
            Named::Case(file, title) => {
                case_count += 1;
                let source = source(file);
                let has = |title: &str| source.contains(&format!("\"{title}"));
                // The section, its first word, may stand by itself.
                let without_section = title.split_once(' ').map_or(title, |(_, rest)| rest);
                let is_there = has(title) || has(without_section);
                assert!(is_there, "{file} has no {title}");
            }
        }
    }
    (function_count, case_count)
}

#[test]
fn the_tests_that_the_page_on_security_names_exist() {
    let (function_count, case_count) = expect_tests(&page("security.md"));
    let counts = (function_count, case_count);
    assert!(function_count > 140 && case_count > 10, "{counts:?}");
}

/// What is no limit of these structures.
const NO_LIMITS: &[&str] = &[
    "busy_poll",
    "drain_delay",
    "watchdog",
    "trusted_proxies",
    "forwarded_field",
    "backlog_policy",
    "text_only",
    "allowed_origins",
    "subprotocols",
    "compression",
    "mode",
    "level",
    "threshold_bytes",
    "server_window_bits",
    "client_window_bits",
];

/// The public fields of a structure of the configuration.
fn fields(structure: &str) -> Vec<String> {
    let source = fs::read_to_string(root().join("src/config.rs")).expect("a source file");
    let begin = format!("pub struct {structure} {{\n");
    let (_, rest) = source.split_once(&begin).expect("a structure");
    let (body, _) = rest.split_once("\n}\n").expect("its end");
    let names = body.lines().filter_map(|line| {
        let (name, _) = line.strip_prefix("    pub ")?.split_once(':')?;
        Some(name.to_owned())
    });
    names.collect()
}

/// Each limit has one row, with both of its tests, and names the flag that there is.
#[test]
fn every_limit_has_its_row_and_both_of_its_tests() {
    let page = page("limits.md");
    let flags = self::page("configuration.md");
    let (function_count, _) = expect_tests(&page);
    assert!(function_count > 80, "{function_count}");
    for structure in ["Config", "WebSocketConfig", "Compression"] {
        let heading = format!("`{structure}`\n");
        let section = page.split("\n## ").find(|section| {
            let heading_end = section.find('\n').map_or(0, |end| end + 1);
            section[..heading_end].ends_with(&heading)
        });
        let section = section.unwrap_or_else(|| panic!("no section on {structure}"));
        let mut rows: Vec<_> = section
            .lines()
            .filter(|line| line.starts_with("| `"))
            .collect();
        for field in fields(structure) {
            if NO_LIMITS.contains(&&*field) {
                continue;
            }
            let begin = format!("| `{field}` |");
            let row = rows.iter().position(|row| row.starts_with(&begin));
            let row = row.unwrap_or_else(|| panic!("{structure}: no row of {field}"));
            let cells: Vec<_> = rows.remove(row).split(" | ").collect();
            let &[_, flag, _, default, beyond, holds, honest] = &cells[..] else {
                panic!("{field}: {cells:?}");
            };
            assert!(!default.is_empty() && !beyond.is_empty(), "{field}");
            for tests in [holds, honest] {
                assert!(!named_tests(tests).is_empty(), "{field}: {tests}");
            }
            let flag = flag.trim();
            assert!(
                flag.is_empty() || flags.contains(&format!("| {flag} |")),
                "{field}: there is no {flag}"
            );
        }
        assert!(rows.is_empty(), "{structure} has no such fields: {rows:?}");
    }
}

/// Each that `Cargo.toml` asks for has a row, with the version that is asked for; and nothing else has.
#[test]
fn every_dependency_is_on_its_page() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("a manifest");
    let mut asked = Vec::new();
    let mut is_within = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            is_within = line.ends_with("dependencies]") && !line.contains("dev-");
        } else if let Some((name, version)) = line.split_once(" = ").filter(|_| is_within) {
            let version = version.split('"').nth(1).expect("a version");
            asked.push((name.to_owned(), version.to_owned()));
        }
    }
    let page = page("dependencies.md");
    let mut told = Vec::new();
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = row.split('|').collect();
        let versions = cells[2].split(',').map(|version| version.trim().to_owned());
        told.extend(code(cells[1]).map(str::to_owned).zip(versions));
    }
    asked.sort_unstable();
    told.sort_unstable();
    assert_eq!(told, asked);
}

/// All sources below a folder, by their path.
fn sources(folder: PathBuf, sources: &mut HashMap<PathBuf, String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            self::sources(path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source file");
            sources.insert(path, text);
        }
    }
}

/// The last column of its tables has tests: `module::name`, or a name alone, of which an ellipsis may
/// stand for the end.
#[test]
fn the_tests_that_the_page_on_rfcs_names_exist() {
    let mut all = HashMap::new();
    for folder in ["src", "tests"] {
        sources(root().join(folder), &mut all);
    }
    let page = page("rfc-coverage.md");
    let cells = page.lines().filter_map(|line| {
        let row = line.strip_prefix('|')?.trim_end().strip_suffix('|')?;
        row.rsplit('|').next()
    });
    let mut count = 0;
    for piece in cells.flat_map(code) {
        let (module, name) = match piece.split_once("::") {
            Some((module, name)) => (Some(module), name),
            None => (None, piece),
        };
        let begin = name.trim_end_matches(['…', '*']);
        let is_test = is_name(begin) && module.is_none_or(is_name);
        if !is_test {
            let is_there = !piece.starts_with("tests/") || root().join(piece).exists();
            assert!(is_there, "there is no {piece}");
            continue;
        }
        count += 1;
        // Properties have arguments.
        let end = if begin == name { "(" } else { "" };
        let function = format!("fn {begin}{end}");
        let is_there = match module {
            Some(module) => {
                let path = root().join("tests/server").join(format!("{module}.rs"));
                all.get(&path).is_some_and(|text| text.contains(&function))
            }
            None => all.values().any(|text| text.contains(&function)),
        };
        assert!(is_there, "{piece} is no test");
    }
    assert!(count > 150, "{count} are named");
}

/// A link to a page or a file leads to one.
#[test]
fn links_lead_somewhere() {
    let docs = fs::read_dir(root().join("docs")).expect("a folder");
    let pages = docs.map(|entry| entry.expect("an entry").path());
    let pages = pages.chain([root().join("README.md")]);
    let mut count = 0;
    for page in pages.filter(|path| path.extension().is_some_and(|extension| extension == "md")) {
        let text = fs::read_to_string(&page).expect("a page");
        for link in text.split("](").skip(1) {
            let target = link.split([')', '#']).next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            count += 1;
            let path = page.parent().expect("a folder").join(target);
            assert!(path.exists(), "{} links to {target}", page.display());
        }
    }
    assert!(count > 25, "{count} links");
}
