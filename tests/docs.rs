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

/// Every test that a page names, as its file and its name: `module::name`, or `name` followed by the
/// file that it is in, which may be a program of cases that have titles.
fn named_tests(page: &str) -> Vec<(String, String)> {
    let code: Vec<_> = code(page).collect();
    let mut tests = Vec::new();
    for (index, piece) in code.iter().enumerate() {
        if let Some((module, name)) = piece.split_once("::")
            && is_name(module)
            && is_name(name)
            && name != "name"
        {
            tests.push((format!("tests/server/{module}.rs"), name.to_owned()));
        } else if let Some(file) = piece.strip_suffix(".rs")
            && index > 0
            && !file.starts_with("tests/")
        {
            tests.push((format!("src/{file}.rs"), code[index - 1].to_owned()));
        } else if piece.ends_with(".py") && index > 0 {
            let title = code[index - 1];
            if title.starts_with(|first: char| first.is_ascii_digit()) || title.contains("honest") {
                tests.push(((*piece).to_owned(), title.to_owned()));
            }
        }
    }
    tests
}

/// Whether the source of a test has it: a function, or of a program of cases the title, whose first
/// word, a section, may be given by itself.
fn has_test(source: &str, file: &str, name: &str) -> bool {
    if file.ends_with(".rs") {
        return source.contains(&format!("fn {name}()"));
    }
    let begins = |title: &str| source.contains(&format!("\"{title}"));
    let name_alone = name.split_once(' ').is_some_and(|(_, rest)| begins(rest));
    begins(name) || name_alone
}

#[test]
fn the_tests_that_the_page_on_security_names_exist() {
    let tests = named_tests(&page("security.md"));
    let cases = tests.iter().filter(|(file, _)| file.ends_with(".py"));
    let case_count = cases.count();
    assert!(
        tests.len() > 80 && case_count > 10,
        "{} are named, {case_count} cases among them",
        tests.len()
    );
    for (file, name) in tests {
        let source = fs::read_to_string(root().join(&file)).unwrap_or_default();
        assert!(has_test(&source, &file, &name), "{file} has no {name}");
    }
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
