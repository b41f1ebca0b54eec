//! What the pages below `docs/` name is there.

use std::fs;
use std::path::Path;

/// Every test that a page names, as its file and its name: `module::name`, or `name` followed by the
/// file that it is in.
fn named_tests(page: &str) -> Vec<(String, String)> {
    let code: Vec<_> = page.split('`').skip(1).step_by(2).collect();
    let is_name = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
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
        }
    }
    tests
}

#[test]
fn the_tests_that_the_page_on_security_names_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/security.md")).expect("a page");
    let tests = named_tests(&page);
    assert!(tests.len() > 40, "{} are named", tests.len());
    for (file, name) in tests {
        let source = fs::read_to_string(root.join(&file)).unwrap_or_default();
        let function = format!("fn {name}()");
        assert!(source.contains(&function), "{file} has no {name}");
    }
}
