//! What is wrong with a command line or a variable, in one line that says what to do.

use crate::cli::flags;
use clap::error::{ContextKind, ContextValue, Error, ErrorKind};
use clap::{Arg, Command, ValueHint};
use std::env;
use std::ffi::OsString;

/// The line; `None` if it is no mistake: help or the version was asked for.
pub(crate) fn line(error: &Error, arguments: &[OsString]) -> Option<String> {
    let problem = of_variable(error, arguments).or_else(|| of_arguments(error, arguments))?;
    Some(format!("aerys: {problem}"))
}

fn of_arguments(error: &Error, arguments: &[OsString]) -> Option<String> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        Some(ContextValue::Strings(texts)) => texts.first().map(String::as_str),
        _ => None,
    };
    let whole = text(ContextKind::InvalidArg).unwrap_or_default();
    let (name, value) = name_and_value(whole);
    let near = |kind| {
        let near = text(kind).map(|near| near.split(' ').next().unwrap_or_default());
        match near {
            Some(near) => format!(", did you mean '{near}'?"),
            None => format!(": see {} --help", asked(arguments).0),
        }
    };
    Some(match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => return None,
        ErrorKind::UnknownArgument if name.starts_with('-') => {
            format!(
                "there is no flag '{name}'{}",
                near(ContextKind::SuggestedArg)
            )
        }
        ErrorKind::UnknownArgument => {
            format!(
                "'{whole}' belongs to no flag{}",
                near(ContextKind::SuggestedArg)
            )
        }
        ErrorKind::InvalidSubcommand => format!(
            "there is no command '{}'{}",
            text(ContextKind::InvalidSubcommand).unwrap_or_default(),
            near(ContextKind::SuggestedSubcommand)
        ),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation
            if text(ContextKind::InvalidValue).is_none_or(str::is_empty)
                && error.get(ContextKind::ValidValue).is_none_or(is_empty)
                && std::error::Error::source(error).is_none() =>
        {
            format!("{name} needs a value: {name} {value}")
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            format!("{name}: {}", flags::reason(error))
        }
        ErrorKind::MissingRequiredArgument => {
            format!("{name} is missing: see {} --help", asked(arguments).0)
        }
        ErrorKind::ArgumentConflict => match text(ContextKind::PriorArg) {
            Some(prior) if name_and_value(prior).0 == name => {
                format!("{name} is there twice, and has one value")
            }
            Some(prior) if !name.is_empty() => {
                format!("{name} does not go with {prior}: leave one of them out")
            }
            _ => "the flags of a command stand behind it, as in aerys serve --root .".to_owned(),
        },
        ErrorKind::TooManyValues => format!("{name} takes no value"),
        _ => {
            let told = error.to_string();
            let first = told.lines().next().unwrap_or_default();
            first.strip_prefix("error: ").unwrap_or(first).to_owned()
        }
    })
}

fn is_empty(value: &ContextValue) -> bool {
    matches!(value, ContextValue::Strings(texts) if texts.is_empty())
}

/// The parts of what the parser calls a flag: `--listen <ADDRESS>`, `--tls-key=<FILE>`, `--ping[=<INTERVAL>]`.
fn name_and_value(whole: &str) -> (&str, &str) {
    let parts = whole.split_once("[=");
    let parts = parts.or_else(|| whole.split_once([' ', '=']));
    parts.unwrap_or((whole, "a value"))
}

/// The command that was asked for, and the words that ask for it: its help says more.
fn asked(arguments: &[OsString]) -> (String, Command) {
    let mut within = crate::cli::command(arguments, &flags::FileDefaults::default());
    let mut words = "aerys".to_owned();
    for word in arguments.iter().skip(1) {
        let Some(below) = within.find_subcommand(word).cloned() else {
            break;
        };
        words = format!("{words} {}", below.get_name());
        within = below;
    }
    (words, within)
}

/// What is wrong with a variable, if that is what the error is about: the parser itself speaks of
/// flags alone.
fn of_variable(error: &Error, arguments: &[OsString]) -> Option<String> {
    let (_, command) = asked(arguments);
    let is_given = |arg: &&Arg| {
        let flag = flags::flag_name(flags::key(arg));
        arguments.iter().any(|given| {
            let rest = given.to_str().and_then(|given| given.strip_prefix(&flag));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
        })
    };
    let by_flags = command.get_arguments().filter(|arg| !is_given(arg));
    let mut by_variable = by_flags.filter_map(|arg| {
        let variable = arg.get_env()?;
        Some((arg, variable.display(), env::var_os(variable)?))
    });
    let (variable, problem) = match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (
            ErrorKind::InvalidValue | ErrorKind::ValueValidation,
            Some(ContextValue::String(named)),
        ) => {
            let flag = name_and_value(named).0.strip_prefix("--")?;
            let (_, variable, _) = by_variable.find(|(arg, ..)| flags::key(arg) == flag)?;
            (variable, flags::reason(error))
        }
        // The parser does not say of what. Paths may be any bytes.
        (ErrorKind::InvalidUtf8, _) => {
            let is_path = |arg: &Arg| {
                matches!(
                    arg.get_value_hint(),
                    ValueHint::DirPath | ValueHint::FilePath
                )
            };
            let mut texts = by_variable.filter(|(arg, ..)| !is_path(arg));
            let (_, variable, _) = texts.find(|(_, _, value)| value.to_str().is_none())?;
            (variable, "it is not UTF-8".to_owned())
        }
        _ => return None,
    };
    Some(format!("{variable}: {problem}"))
}
