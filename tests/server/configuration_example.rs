//! The file of the documentation: it is right, runs, and says of each of its keys what is wrong with it.

use crate::client::Client;
use crate::configuration::{Folder, add_public, ask};
use crate::program::{Program, command, run, run_command};

const PAGE: &str = include_str!("../../docs/configuration.md");

/// The file of the documentation.
fn example() -> String {
    block("toml").to_owned()
}

/// The first block of a language.
fn block(language: &str) -> &'static str {
    let (_, block) = PAGE
        .split_once(&format!("```{language}\n"))
        .expect("a block");
    block.split_once("```").expect("its end").0
}

#[test]
fn what_the_documentation_says_is_wrong_is_what_is_printed() {
    let text = example()
        .replace("max-body-bytes", "max-boddy-bytes")
        .replace("\"example.org\"", "\"example.com\"");
    // Without its folder `public`.
    let folder = Folder::new();
    folder.write("aerys.toml", text);
    let mut check = command();
    check
        .args(["check", "aerys.toml"])
        .current_dir(folder.path());
    let said = block("text").to_owned();
    assert_eq!(run_command(check), (Some(2), String::new(), said));
}

/// What the documentation has as the default of a host's key.
fn documented_default(key: &str) -> &'static str {
    let mut rows = PAGE.lines().skip_while(|line| *line != "## Hosts");
    let begin = format!("| `{key}` | `");
    let default = rows.find_map(|line| line.strip_prefix(&begin));
    default.and_then(|rest| rest.split('`').next()).expect(key)
}

/// A host that says nothing does what one does that says the documented defaults, and what these
/// mean is seen.
#[test]
fn defaults_of_hosts_are_those_of_the_documentation() {
    let keys = ["demo", "index", "listing", "precompressed", "compress"];
    let said: String = keys
        .map(|key| format!("{key} = {}\n", documented_default(key)))
        .concat();
    let host = "[[host]]\nlisten = [\"127.0.0.1:0\"]\nroot = \"public\"\n";
    let folder = Folder::with(format!("{host}{host}{said}"));
    let long = "a { color: red } ".repeat(100);
    for (name, content) in [
        ("both/index.html", "first"),
        ("both/index.htm", "second"),
        ("htm/index.htm", "htm"),
        ("none/other.html", "other"),
        ("long.css", &*long),
        ("coded.css", "as it is"),
        ("coded.css.gz", "as if it were gzip"),
    ] {
        folder.write(&format!("public/{name}"), content);
    }
    let mut program = Program::start(folder.serve());
    let addresses = [program.address, program.next_address()];
    let is_on = |key: &str| documented_default(key) == "true";
    for address in addresses {
        let mut client = Client::connect(address);
        let mut get = |path: &str| client.request("GET", path, &[("Accept-Encoding", "gzip")]);
        assert_eq!(get("/both/").body, b"first");
        assert_eq!(get("/htm/").body, b"htm");
        assert_eq!(get("/none/").status == 200, is_on("listing"));
        let is_coded = get("/coded.css").body == b"as if it were gzip";
        assert_eq!(is_coded, is_on("precompressed"));
        assert_eq!(get("/long.css").body != long.as_bytes(), is_on("compress"));
        // Without the demo there is no such path.
        assert_eq!(get("/echo").status != 404, is_on("demo"));
    }
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
