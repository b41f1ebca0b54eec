//! What the program says of itself: help, completions, the manual page, the version.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::program::{command, run, run_command};

fn said(arguments: &[&str]) -> String {
    let (status, output, errors) = run(arguments);
    assert_eq!((status, errors), (Some(0), String::new()), "{arguments:?}");
    output
}

/// The commands that a help lists.
fn commands(help: &str) -> Vec<String> {
    let listed = help.split_once("\nCommands:\n").map(|(_, listed)| listed);
    let listed = listed.into_iter().flat_map(str::lines);
    let lines = listed.take_while(|line| !line.is_empty());
    // What is indented further goes on with the text of the one before.
    let firsts = lines.filter(|line| !line.starts_with("   "));
    let names = firsts.filter_map(|line| line.split_whitespace().next());
    let names = names.filter(|name| *name != "help");
    names.map(str::to_owned).collect()
}

/// Every command with those below it, as words.
fn all_commands() -> Vec<Vec<String>> {
    let mut found = vec![Vec::new()];
    let mut next = 0;
    while let Some(words) = found.get(next).cloned() {
        let mut asked: Vec<&str> = words.iter().map(String::as_str).collect();
        asked.push("--help");
        let below = commands(&said(&asked)).into_iter();
        found.extend(below.map(|name| [words.clone(), vec![name]].concat()));
        next += 1;
    }
    assert!(found.len() > 4, "{found:?}");
    found
}

fn help_of(words: &[String], flag: &str) -> String {
    let mut asked: Vec<&str> = words.iter().map(String::as_str).collect();
    asked.push(flag);
    said(&asked)
}

#[test]
fn the_short_help_fits_a_screen() {
    for words in all_commands() {
        let help = help_of(&words, "-h");
        assert!(help.lines().count() <= 24, "{words:?}:\n{help}");
        for line in help.lines() {
            assert!(line.chars().count() <= 80, "{words:?}: {line}");
        }
    }
    let help = said(&["-h"]);
    for flag in ["--config", "--listen", "--root", "--tls-cert", "--help"] {
        assert!(help.contains(flag), "{help}");
    }
}

/// A flag's part of a help: its name, and what is said of it.
fn flags(help: &str) -> Vec<(String, String, String)> {
    let (mut heading, mut found) = (String::new(), Vec::<(String, String, String)>::new());
    for line in help.lines() {
        let name = line.trim_start();
        if line.ends_with(':') && !line.starts_with(' ') {
            line.trim_end_matches(':').clone_into(&mut heading);
        } else if line.starts_with("  ") && line.len() - name.len() <= 6 && name.starts_with('-') {
            found.push((heading.clone(), name.to_owned(), String::new()));
        } else if line.is_empty() || line.starts_with("     ") {
            if let Some((_, _, text)) = found.last_mut() {
                text.extend([name, " "]);
            }
        } else if !line.starts_with(' ') {
            heading.clear(); // what stands behind the flags
        }
    }
    found
}

#[test]
fn the_long_help_has_every_flag_below_a_heading_with_default_and_variable() {
    let mut count = 0;
    for words in all_commands() {
        for (heading, flag, text) in flags(&help_of(&words, "--help")) {
            if flag.starts_with("-h,") || flag.starts_with("-V,") {
                continue;
            }
            let told = format!("{words:?} {flag}: {text}");
            count += 1;
            assert!(!heading.is_empty() && heading != "Options", "{told}");
            assert!(text.contains("[default: "), "{told}");
            // At the top the command is left out, and so are the variables of none.
            assert!(text.contains("[env: AERYS_"), "{told}");
        }
    }
    assert!(count > 80, "{count} flags");
}

#[test]
fn the_long_help_ends_with_examples() {
    for arguments in [&["--help"][..], &["serve", "--help"], &["help"]] {
        let help = said(arguments);
        let (_, examples) = help.split_once("\nExamples:\n").expect("examples");
        assert!(examples.lines().count() >= 5, "{examples}");
        assert!(examples.lines().all(|line| line.starts_with("  aerys")));
    }
}

#[test]
fn the_version_says_what_it_was_built_with_and_for_what() {
    let version = said(&["--version"]);
    let begin = format!("aerys {}\nfeatures: ", env!("CARGO_PKG_VERSION"));
    assert!(version.starts_with(&begin), "{version}");
    assert_eq!(version.contains("tls"), cfg!(feature = "tls"), "{version}");
    let target = format!(
        "target: {}-{}",
        std::env::consts::ARCH,
        std::env::consts::OS
    );
    assert!(version.contains(&target), "{version}");
    assert_eq!(said(&["-V"]).lines().count(), 1);
}

/// Has a program judge `input`: what it complains of. `None` if this machine does not have it.
fn judged(program: &str, arguments: &[&str], input: &str) -> Option<String> {
    let started = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = started else {
        eprintln!("this machine has no {program}");
        return None;
    };
    let mut to = child.stdin.take().expect("a pipe");
    let input = input.to_owned();
    let writer = std::thread::spawn(move || to.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("our child");
    let _ = writer.join();
    let mut said = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        said += &output.status.to_string();
    }
    // mandoc complains on its standard output.
    if program == "mandoc" {
        said.push_str(&String::from_utf8_lossy(&output.stdout));
    }
    Some(said)
}

#[test]
fn shells_take_their_completions() {
    for shell in ["bash", "zsh", "fish"] {
        let script = said(&["completions", shell]);
        assert!(script.contains("max-message-bytes"), "{shell}: {script}");
        if let Some(complaint) = judged(shell, &["-n"], &script) {
            assert_eq!(complaint, "", "{shell}");
            let broken = format!("{script}\nif (");
            assert_ne!(judged(shell, &["-n"], &broken), Some(String::new()));
        }
    }
}

/// What bash offers behind what is typed, by the script.
#[test]
fn bash_completes_commands_flags_and_values() {
    let script = said(&["completions", "bash"]);
    for (line, offered) in [
        (&["aerys", "che"][..], "check"),
        (&["aerys", "serve", "--list"], "--listen --listing"),
        (&["aerys", "serve", "--compression", "sh"], "shared"),
    ] {
        let last = line.len() - 1;
        let command = line[1];
        let asked = format!(
            "{script}\nCOMP_WORDS=({}); COMP_CWORD={last}; \
             _aerys aerys '{}' '{}'; echo \"${{COMPREPLY[*]}}\" >&2 # {command}",
            line.join(" "),
            line[last],
            line[last - 1]
        );
        if let Some(said) = judged("bash", &["--norc"], &asked) {
            assert_eq!(said.trim(), offered, "{line:?}");
        }
    }
}

/// Whoever builds packages says which, to get the same bytes again; what is no date is as if it were not there.
#[test]
fn the_date_of_a_manual_page_may_be_given() {
    for (given, date) in [
        ("1764115200", Some("2025-11-26")),
        ("253402300799", Some("9999-12-31")),
        ("253402300800", None),
        ("18446744073709551615", None),
        ("soon", None),
    ] {
        let mut man = command();
        man.args(["man", "check"]).env("SOURCE_DATE_EPOCH", given);
        let (status, page, errors) = run_command(man);
        assert_eq!((status, &*errors), (Some(0), ""), "{given}");
        match date {
            Some(date) => assert!(
                page.contains(&format!(" 1 {date} \"aerys ")),
                "{given}: {page}"
            ),
            None => assert!(page.starts_with(".TH AERYS-CHECK 1 2"), "{given}: {page}"),
        }
    }
}

#[test]
fn every_manual_page_renders_without_a_complaint() {
    for words in all_commands() {
        let mut asked = vec!["man"];
        asked.extend(words.iter().map(String::as_str));
        let page = said(&asked);
        let title = [vec!["AERYS".to_owned()], words.clone()].concat().join("-");
        let begin = format!(".TH {} 1 ", title.to_uppercase());
        assert!(page.contains(&begin), "{words:?}: {page}");
        for (program, arguments) in [
            ("groff", &["-man", "-Tutf8", "-wall"][..]),
            ("mandoc", &["-Tlint"]),
        ] {
            if let Some(complaint) = judged(program, arguments, &page) {
                assert_eq!(complaint, "", "{program} {words:?}");
            }
        }
    }
    let page = said(&["man"]);
    for part in [
        "AERYS_STOP_TIMEOUT",
        "[default: 5s]",
        ".SH EXAMPLES",
        "Time for a graceful stop",
    ] {
        assert!(page.contains(part), "{part}");
    }
}
