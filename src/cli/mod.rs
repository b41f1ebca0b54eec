//! The program's commands.
//!
//! Exit status: 0 after a graceful stop, 1 for a failure at run time or a stop cut short, 2 for
//! bad arguments, variables or files.

mod build;
mod demo;
mod file;
mod flags;
mod forms;
mod host;
mod serve;
mod settings;
mod units;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use flags::{FileDefault, ServeArgs};
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A non-blocking HTTP, WebSocket and static file server.
#[derive(Debug, Parser)]
#[command(version, about, args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

const EXAMPLES: &str = "\
A flag goes before its variable, AERYS_..., that before the file, the file before the default.

Examples:
  aerys                                   a chat at http://127.0.0.1:1337/
  aerys serve --listen 0.0.0.0:8080 --root public
  aerys serve --listen 127.0.0.1:0 --max-message-bytes 64KiB --heartbeat 30s
  aerys check aerys.toml && aerys serve --config aerys.toml";

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a chat, an echo, a broadcast and files (what `aerys` alone does)
    Serve(Box<ServeArgs>),
    /// Say what is wrong with a configuration file, without listening
    Check {
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// Why a command did not do what it should.
#[derive(Debug)]
enum Failure {
    /// Lines on what the user wrote.
    Arguments(Vec<String>),
    /// What happened later.
    AtRunTime(String),
}

/// What is asked for.
#[derive(Debug)]
enum Task {
    Serve(Box<Serve>),
    Check(PathBuf),
}

/// `aerys serve`, as flags and variables say it.
#[derive(Debug)]
struct Serve {
    flags: ServeArgs,
    /// Flags and variables, by name, that say what a file with hosts says for each of them.
    of_one_host: Vec<String>,
}

/// Runs what the command line asks for.
pub(crate) fn run() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().collect();
    let outcome = parse(&arguments, &[]).and_then(|task| match task {
        Task::Check(file) => check(&file),
        Task::Serve(first) => serve(&first, &arguments),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::AtRunTime(error)) => {
            eprintln!("aerys: {error}");
            ExitCode::FAILURE
        }
        Err(Failure::Arguments(lines)) => {
            for line in lines {
                eprintln!("{line}");
            }
            ExitCode::from(2)
        }
    }
}

/// Serves by the command line, the variables, and the file that they name.
fn serve(first: &Serve, arguments: &[OsString]) -> Result<(), Failure> {
    let Some(path) = first.flags.config.clone() else {
        return serve::serve(&first.flags, Vec::new());
    };
    let file = settings::read(&path)?;
    // Once more, now that the defaults are known. It is `serve` again.
    let Task::Serve(serve) = parse(arguments, &file.defaults)? else {
        return Ok(());
    };
    match serve.of_one_host.first() {
        Some(name) if !file.hosts.is_empty() => Err(Failure::Arguments(vec![format!(
            "aerys: {name} is for a server of one host: {} has [[host]] tables, and each of them \
             says it itself",
            path.display()
        )])),
        _ => serve::serve(&serve.flags, file.hosts),
    }
}

/// Understands the command line and the variables, with what a file says as defaults. Help, the
/// version and what the parser explains itself end the program.
fn parse(arguments: &[OsString], file: &[FileDefault]) -> Result<Task, Failure> {
    try_parse(command(arguments, file), arguments).map_err(|error| {
        match of_variable(&error, arguments) {
            Some(line) => Failure::Arguments(vec![line]),
            None => error.exit(),
        }
    })
}

fn try_parse(command: clap::Command, arguments: &[OsString]) -> Result<Task, clap::Error> {
    let matches = command.try_get_matches_from(arguments)?;
    let parsed = Arguments::from_arg_matches(&matches)?;
    let flags = match parsed.command {
        Some(Command::Check { file }) => return Ok(Task::Check(file)),
        Some(Command::Serve(flags)) => *flags,
        None => parsed.serve,
    };
    let matches = matches.subcommand_matches("serve").unwrap_or(&matches);
    let one_host = flags::settable()
        .into_iter()
        .filter(settings::is_of_one_host);
    let given = one_host.filter_map(|arg| match matches.value_source(arg.get_id().as_str())? {
        ValueSource::CommandLine => Some(format!("--{}", flags::key(&arg))),
        ValueSource::EnvVariable => Some(flags::variable(&arg)),
        _ => None,
    });
    Ok(Task::Serve(Box::new(Serve {
        of_one_host: given.collect(),
        flags,
    })))
}

/// The command line. Flags have their variables once: where they stand.
fn command(arguments: &[OsString], file: &[FileDefault]) -> clap::Command {
    let command = Arguments::command();
    let first = arguments.get(1);
    let has_subcommand = first.is_some_and(|first| command.find_subcommand(first).is_some());
    let with_defaults = |mut command: clap::Command, has_variables: bool| {
        command = command.mut_args(|arg| match arg.get_long() {
            Some(_) => flags::finished(arg, has_variables),
            None => arg,
        });
        for (id, values) in file {
            command = command.mut_arg(id, |arg| arg.default_values(values));
        }
        command
    };
    with_defaults(command, !has_subcommand)
        .mut_subcommand("serve", |serve| with_defaults(serve, true))
}

/// What is wrong with a variable, if that is what the error is about: the parser itself speaks of
/// flags alone.
fn of_variable(error: &clap::Error, arguments: &[OsString]) -> Option<String> {
    let is_of_value = matches!(
        error.kind(),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation
    );
    let Some(ContextValue::String(named)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let flag = named.split(' ').next().filter(|_| is_of_value)?;
    let is_given = |given: &OsString| {
        let rest = given.to_str().and_then(|given| given.strip_prefix(flag));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    };
    let mut all = flags::all().into_iter();
    let arg = all.find(|arg| flag == format!("--{}", flags::key(arg)))?;
    let variable = flags::variable(&arg);
    env::var_os(&variable).filter(|_| !arguments.iter().any(is_given))?;
    Some(format!("aerys: {variable}: {}", flags::reason(error)))
}

/// Says of a file whether it is right.
fn check(file: &Path) -> Result<(), Failure> {
    let settings = settings::read(file)?;
    let (hosts, addresses) = settings.counts();
    let plural = |count: usize, one: &str, many: &str| match count {
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    };
    println!(
        "{} is fine: {}, {}",
        file.display(),
        plural(hosts, "host", "hosts"),
        plural(addresses, "address", "addresses")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    fn parsed(words: &[&str], file: &[FileDefault]) -> Result<Serve, String> {
        let arguments = arguments(words);
        match try_parse(command(&arguments, file), &arguments) {
            Ok(Task::Serve(serve)) => Ok(*serve),
            Ok(Task::Check(file)) => Err(format!("to check {}", file.display())),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        for words in [&["aerys"][..], &["aerys", "serve"], &["aerys", "check"]] {
            command(&arguments(words), &[]).debug_assert();
        }
    }

    #[test]
    fn no_arguments_mean_serve_and_so_do_its_flags() {
        for words in [
            &["aerys"][..],
            &["aerys", "--listen", "127.0.0.1:0"],
            &["aerys", "serve", "--listen", "127.0.0.1:0"],
        ] {
            assert!(parsed(words, &[]).is_ok(), "{words:?}");
        }
        let check = parsed(&["aerys", "check", "a.toml"], &[]);
        assert_eq!(check.err().as_deref(), Some("to check a.toml"));
        for words in [
            &["aerys", "serve", "--heartbeat", "soon"][..],
            &["aerys", "--root", "a", "check", "b"],
            &["aerys", "check"],
        ] {
            assert!(parsed(words, &[]).is_err(), "{words:?}");
        }
    }

    #[test]
    fn a_file_stands_in_for_defaults_and_behind_flags() {
        let texts =
            |texts: &[&str]| -> Vec<String> { texts.iter().copied().map(str::to_owned).collect() };
        let file = [
            ("listen".to_owned(), arguments(&["a:1", "b:2"])),
            ("max_body_bytes".to_owned(), arguments(&["7"])),
        ];
        for words in [&["aerys"][..], &["aerys", "serve"]] {
            let serve = parsed(words, &file).expect("flags");
            assert_eq!(serve.flags.listen, texts(&["a:1", "b:2"]));
            assert_eq!(serve.flags.max_body_bytes, 7);
            assert!(serve.of_one_host.is_empty());

            let more = ["--listen", "c:3", "--max-body-bytes", "8"];
            let serve = parsed(&[words, &more].concat(), &file).expect("flags");
            assert_eq!(serve.flags.listen, texts(&["c:3"]));
            assert_eq!(serve.flags.max_body_bytes, 8);
            assert_eq!(serve.of_one_host, texts(&["--listen"]));
        }
    }
}
