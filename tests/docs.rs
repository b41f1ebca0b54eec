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
            tests.push(Named::Function(format!("tests/server/{module}.rs"), name));
        } else if piece.strip_suffix(".rs").is_some()
            && index > 0
            && piece.starts_with("tests/")
            && is_name(code[index - 1])
        {
            tests.push(Named::Function((*piece).to_owned(), code[index - 1]));
        } else if let Some(file) = piece.strip_suffix(".rs")
            && index > 0
            && !file.starts_with("tests/")
            && !file.starts_with("benches/")
        {
            tests.push(Named::Function(format!("src/{file}.rs"), code[index - 1]));
        } else if piece.strip_suffix(".py").is_some() && index > 0 && code[index - 1].contains(' ')
        {
            tests.push(Named::Case(piece, code[index - 1]));
        }
    }
    tests
}

#[test]
fn the_tests_that_the_page_on_security_names_exist() {
    let page = page("security.md");
    let (mut function_count, mut case_count) = (0, 0);
    for named in named_tests(&page) {
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
    let counts = (function_count, case_count);
    assert!(function_count > 140 && case_count > 10, "{counts:?}");
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
