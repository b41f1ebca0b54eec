//! Flags, their variables and keys, and what the documentation has on them.

use super::*;
use std::collections::HashSet;

#[test]
fn names_follow_from_the_flag() {
    let flags = settable();
    let named = |name: &str| flags.iter().find(|arg| key(arg) == name).expect("a flag");
    let arg = named("max-message-bytes");
    assert_eq!(variable(arg), "AERYS_MAX_MESSAGE_BYTES");
    assert!(!is_list(arg) && is_list(named("listen")));
    assert!(flags.iter().all(|arg| key(arg) != "config"));
}

/// Whether a value may be a plain number in the file is told by its name in the help.
#[test]
fn every_value_has_a_name_that_says_what_it_is() {
    let takes_values = |arg: &Arg| arg.get_action().takes_values();
    for arg in settable().into_iter().filter(takes_values) {
        let name = value_name(&arg);
        let texts = [
            "ADDRESS", "FILE", "FOLDER", "NETWORK", "FIELD", "MODE", "LEVEL", "USER", "GROUP",
            "ORIGIN", "NAME",
        ];
        let is_known = unit(&arg).is_some() || texts.contains(&name);
        assert!(is_known, "{}: {name}", key(&arg));
        // A number is a path too, and that of a user.
        let is_named = matches!(name, "FILE" | "FOLDER" | "USER" | "GROUP" | "NAME");
        let takes_numbers = judge(&arg, "9").is_ok() && !is_named;
        assert_eq!(unit(&arg).is_some(), takes_numbers, "{}", key(&arg));
    }
}

/// What `docs/configuration.md` has on a flag.
fn documented(arg: &Arg) -> String {
    let default = match arg.get_default_values() {
        [] if !arg.get_action().takes_values() => "`false`".to_owned(),
        [] => String::new(),
        values => format!("`{}`", values[0].display()),
    };
    let mut help = arg.get_help().expect("a help").to_string();
    if let Some(end) = help.find(" [default") {
        help.truncate(end);
    }
    let name = key(arg);
    let key = match name {
        "config" => String::new(),
        name => format!("`{name}`"),
    };
    format!(
        "| {key} | `--{name}` | `{}` | {default} | {} | {help} |",
        variable(arg),
        unit(arg).unwrap_or_default(),
    )
}

#[test]
fn every_flag_is_documented_with_key_variable_default_and_unit() {
    let page = include_str!("../../../docs/configuration.md");
    let missing: Vec<String> = all()
        .iter()
        .map(documented)
        .filter(|row| !page.lines().any(|line| line == row))
        .collect();
    assert!(missing.is_empty(), "rows to add:\n{}", missing.join("\n"));
}

/// Nothing that is asked for by flags can be asked for under another name.
#[test]
fn every_flag_has_a_variable_and_a_key() {
    let command = crate::cli::command(&["aerys".into(), "serve".into()], &FileDefaults::default());
    let serve = command.find_subcommand("serve").expect("a command");
    let mut variables = HashSet::new();
    for arg in serve.get_arguments() {
        let name = key(arg);
        assert!(!name.is_empty(), "{arg} has no long name");
        let env = arg.get_env().expect(name).to_str().expect("UTF-8");
        assert_eq!(env, variable(arg));
        assert!(variables.insert(env.to_owned()), "{env}");
        assert!(
            is_list(arg) == arg.get_value_delimiter().is_some(),
            "{name}"
        );
        assert!(name == "config" || settable().iter().any(|arg| key(arg) == name));
    }
    assert!(variables.len() > 20, "{variables:?}");
}

#[test]
fn a_variable_that_is_misspelt_is_worth_a_word() {
    let names = [
        "PATH",
        "AERYS_ROOT",
        "AERYS_CONFIG",
        "AERYS_MAX_MESAGE_BYTES",
        "AERYS_PORT",
    ];
    let words = words_on_variables(names.into_iter().map(OsString::from));
    assert_eq!(
        words,
        ["AERYS_MAX_MESAGE_BYTES is no setting, did you mean AERYS_MAX_MESSAGE_BYTES?",]
    );
}

#[test]
fn a_value_is_judged_by_its_flag() {
    let flags = settable();
    let judged = |name: &str, value: &str| {
        let arg = flags.iter().find(|arg| key(arg) == name).expect("a flag");
        judge(arg, value)
    };
    assert_eq!(judged("heartbeat", "30s"), Ok(()));
    for (name, value, problem) in [
        ("heartbeat", "soon", "'soon' does not begin with a number"),
        ("compression-level", "0", "0 is not in 1..=9"),
        (
            "compression",
            "on",
            "'on' is none of off, shared, dedicated",
        ),
        ("root", "", "it is empty"),
    ] {
        assert_eq!(judged(name, value), Err(problem.to_owned()), "{name}");
    }
}
