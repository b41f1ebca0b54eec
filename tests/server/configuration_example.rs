//! The file of the documentation: it is right, runs, and says of each of its keys what is wrong with it.

use crate::configuration::{Folder, add_public, ask};
use crate::program::{Program, run};

/// The file of the documentation.
fn example() -> String {
    let page = include_str!("../../docs/configuration.md");
    let (_, block) = page.split_once("```toml\n").expect("a block of TOML");
    let (block, _) = block.split_once("```").expect("its end");
    block.to_owned()
}

#[test]
fn the_example_of_the_documentation_is_fine() {
    let folder = Folder::with(example());
    add_public(&folder);
    let (status, output, errors) = run(&["check", &folder.file()]);
    let expected = format!("{} is fine: 2 hosts, 3 addresses\n", folder.file());
    assert_eq!((status, output, errors), (Some(0), expected, String::new()));
}

/// An address of this machine that no other test has, to listen on the ports of the example.
#[cfg(target_os = "linux")]
fn own_address() -> String {
    let [.., b, c, d] = std::process::id().to_be_bytes();
    format!("127.{}.{c}.{d}", b | 0x80)
}

#[cfg(target_os = "linux")]
#[test]
fn the_example_of_the_documentation_serves_both_hosts_by_name() {
    let folder = Folder::with(example().replace("127.0.0.1:", &format!("{}:", own_address())));
    add_public(&folder);
    let program = Program::start(folder.serve());
    for name in ["example.com", "www.example.com"] {
        assert_eq!(ask(&program, name, "/"), (200, None, "home".to_owned()));
        assert_eq!(ask(&program, name, "/none").2, "nothing");
    }
    for name in ["example.org", "www.example.org"] {
        let (status, location, _) = ask(&program, name, "/a?b");
        assert_eq!(
            (status, location.as_deref()),
            (308, Some("https://example.com/a?b"))
        );
    }
}

/// A value that has the right type and is wrong, of each key of the example.
const WRONG: &[(&str, &str)] = &[
    ("idle-timeout", "\"soon\""),
    ("max-body-bytes", "\"1 parsec\""),
    ("max-connections", "-1"),
    ("log-level", "\"loud\""),
    ("trusted-proxies", "[\"10.0.0.1/8\"]"),
    ("forwarded", "\"via\""),
    ("names", "[\"example com\"]"),
    ("listen", "[\"8080\"]"),
    ("root", "\"no/such/folder\""),
    ("index", "[\"a/b\"]"),
    ("fallback", "\"../outside.html\""),
    ("not-found", "\"no-such-page.html\""),
    ("types", "{ \"foo\" = \"text\" }"),
    ("listing", "1"),
    ("precompressed", "\"br\""),
    ("compress", "[]"),
    ("demo", "\"on\""),
    ("path", "\"\""),
    ("fields", "{ \"Content-Length\" = \"5\" }"),
    ("name", "\"a b\""),
    ("value", "\"a\\u0000b\""),
    ("redirect", "\"example.com\""),
];

#[test]
fn each_key_of_the_example_is_told_what_is_wrong_with_it_in_one_line() {
    let example = example();
    let lines: Vec<&str> = example.lines().collect();
    let mut changed = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some((key, value)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) else {
            continue;
        };
        let wrong = WRONG.iter().find(|(known, _)| *known == key);
        let (_, wrong) = wrong.unwrap_or_else(|| panic!("no wrong value for {key}"));
        let misspelt = format!("{}{}", &key[..1], &key[2..]);
        for (what, line, said) in [
            (
                "misspelt",
                format!("{misspelt} = {value}"),
                format!("unknown key '{misspelt}', did you mean '{key}'?"),
            ),
            (
                "of a wrong type",
                format!("{key} = 1979-05-27"),
                format!("'{key}' has to be "),
            ),
            (
                "of a wrong value",
                format!("{key} = {wrong}"),
                format!("'{key}"),
            ),
        ] {
            let mut lines = lines.clone();
            lines[index] = &line;
            let folder = Folder::with(lines.join("\n"));
            add_public(&folder);
            let problems = folder.problems();
            let [problem] = &problems[..] else {
                panic!("{key} {what}: {problems:?}");
            };
            let expected = format!("{}: {said}", index + 1);
            assert!(problem.starts_with(&expected), "{key} {what}: {problem}");
        }
        changed.push(key);
    }
    for (key, _) in WRONG {
        assert!(changed.contains(key), "the example lacks {key}");
    }
    for (table, misspelt) in [("host", "hots"), ("header", "heder")] {
        let folder = Folder::with(example.replace(table, misspelt));
        add_public(&folder);
        let problems = folder.problems();
        let said = format!("unknown key '{misspelt}', did you mean '{table}'?");
        assert!(
            problems.len() == 1 && problems[0].ends_with(&said),
            "{problems:?}"
        );
    }
}
