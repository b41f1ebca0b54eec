//! The pages below `docs/` are a book: in order, in languages that are tested, with links that lead
//! somewhere. What is in their blocks is tried by `src/pages.rs` and `tests/docs/run`.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What a block may be in. What tries it: rustdoc the first two, `tests/docs/run` all others but `text`.
const LANGUAGES: &[&str] = &[
    "rust",
    "rust,no_run",
    "sh",
    "console",
    "toml",
    "yaml",
    "json",
    "nginx",
    "haproxy",
    "logrotate",
    "ini",
    "js",
    "html",
    "text",
];

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names of all pages.
fn pages() -> Vec<String> {
    let entries = fs::read_dir(docs()).expect("a folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let names = names.map(|name| name.into_string().expect("a name"));
    let is_page = |name: &String| {
        let path = Path::new(name);
        path.extension().is_some_and(|extension| extension == "md") && name != "SUMMARY.md"
    };
    names.filter(is_page).collect()
}

/// All pages, and the README of the repository.
fn texts() -> Vec<PathBuf> {
    let mut texts: Vec<_> = pages().into_iter().map(|name| docs().join(name)).collect();
    texts.push(docs().join("../README.md"));
    texts
}

/// A block of a page.
struct Block<'t> {
    language: &'t str,
    lines: Vec<&'t str>,
}

/// A text's blocks, and what stands outside of them.
fn blocks(text: &str) -> (Vec<Block<'_>>, String) {
    let (mut blocks, mut prose) = (Vec::<Block>::new(), String::new());
    let mut is_within = false;
    for line in text.lines() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            is_within = !is_within;
            if is_within {
                let lines = Vec::new();
                blocks.push(Block { language, lines });
            }
        } else if is_within {
            let block = blocks.last_mut().expect("the block that is within");
            block.lines.push(line);
        } else {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    assert!(!is_within, "a block without an end");
    (blocks, prose)
}

/// Where links lead to, but for those to other machines: the file and the place in it, either of which
/// may be empty.
fn links(prose: &str) -> impl Iterator<Item = (&str, &str)> {
    let targets = prose.split("](").skip(1).filter_map(|rest| {
        let (target, _) = rest.split_once(')')?;
        (!target.contains("://")).then_some(target)
    });
    targets.map(|target| target.split_once('#').unwrap_or((target, "")))
}

/// The places of a page that a link may name: its headings, as mdBook and GitHub make them one word.
fn anchors(prose: &str) -> HashSet<String> {
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    let words = headings.map(|heading| {
        let heading = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter_map(|char| match char {
            ' ' => Some('-'),
            char if char.is_alphanumeric() || char == '-' || char == '_' => Some(char),
            _ => None,
        });
        kept.collect()
    });
    words.collect()
}

#[test]
fn every_page_has_its_place_in_the_book() {
    let summary = read(&docs().join("SUMMARY.md"));
    let mut listed: Vec<_> = links(&summary).map(|(file, _)| file.to_owned()).collect();
    let mut pages = pages();
    listed.sort_unstable();
    pages.sort_unstable();
    assert_eq!(listed, pages);
}

/// Whoever adds code to a page that has had none adds the page there.
#[test]
fn the_code_of_every_page_is_compiled() {
    let compiled = read(&docs().join("../src/pages.rs"));
    let mut count = 0;
    for path in texts() {
        let text = read(&path);
        let (blocks, _) = blocks(&text);
        if blocks
            .iter()
            .any(|block| block.language.starts_with("rust"))
        {
            count += 1;
            let name = path.file_name().expect("a name").to_string_lossy();
            let entry = format!("/{name}\",");
            let is_there = compiled.contains(&entry) || compiled.contains(&format!("\"{name}\","));
            assert!(is_there, "src/pages.rs has no {name}");
        }
    }
    assert!(count > 6, "{count} pages with code");
}

/// A command in a block of text would be run by nothing.
#[test]
fn every_block_is_in_a_language_that_is_tried() {
    let mut count = 0;
    for path in texts() {
        let text = read(&path);
        for Block { language, lines } in blocks(&text).0 {
            count += 1;
            let from = path.display();
            assert!(LANGUAGES.contains(&language), "{from}: '{language}'");
            let command = lines.iter().find(|line| {
                let words = [
                    "$ ", "aerys ", "cargo ", "curl ", "sh ", "sudo ", "unshare ",
                ];
                words.iter().any(|word| line.starts_with(word))
            });
            let command = command.filter(|_| language == "text");
            assert_eq!(command, None, "{from}: a command in a block of text");
        }
    }
    assert!(count > 30, "{count} blocks");
}

/// To a page or a file, and where a place in it is named, to that.
#[test]
fn links_lead_somewhere() {
    let mut count = 0;
    for path in texts() {
        let text = read(&path);
        let (_, prose) = blocks(&text);
        let folder = path.parent().expect("a folder");
        for (file, place) in links(&prose) {
            count += 1;
            let from = path.display();
            let target = if file.is_empty() {
                path.clone()
            } else {
                folder.join(file)
            };
            assert!(target.exists(), "{from} links to {file}");
            // What is not below docs/ is not in the book.
            let is_within = !file.starts_with("..") || path.ends_with("README.md");
            assert!(is_within, "{from} links to {file}");
            if !place.is_empty() {
                let target = read(&target);
                let is_there = anchors(&blocks(&target).1).contains(place);
                assert!(is_there, "{from} links to #{place} of {file}");
            }
        }
    }
    assert!(count > 25, "{count} links");
}
