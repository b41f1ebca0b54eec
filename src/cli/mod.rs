//! The program's commands.
//!
//! Exit status: 0 after a graceful stop, 1 for a failure at run time or a stop cut short, 2 for
//! bad arguments, variables or files, 3 if something asserted does not hold.

mod access_log;
mod address;
mod bench;
mod build;
mod changes;
mod client;
mod connect;
mod demo;
mod descriptors;
mod file;
mod flags;
mod forms;
mod help;
mod host;
#[cfg_attr(not(target_os = "linux"), path = "identity_absent.rs")]
mod identity;
mod live;
mod log_output;
mod mistakes;
mod privileges;
mod reload;
mod schemes;
mod secure;
mod serve;
pub(crate) mod settings;
mod systemd;
mod together;
mod unbound;
pub(crate) mod units;

use aerys::internals::Printable;
use bench::Bench;
use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;
use connect::ConnectArgs;
use flags::{FileDefaults, ServeArgs};
use host::HostSettings;
use log_output::LogOutput;
use std::cell::OnceCell;
use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A non-blocking HTTP, WebSocket and static file server
#[derive(Debug, Parser)]
#[command(
    name = "aerys",
    version,
    long_version = help::version(),
    args_conflicts_with_subcommands = true,
    after_help = MORE,
    after_long_help = EXAMPLES
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

const MORE: &str = "All flags with defaults and variables, and examples: --help";

const EXAMPLES: &str = "\
A flag goes before its variable, AERYS_..., that before the file, the file before the default.

Examples:
  aerys                                   a chat at http://127.0.0.1:1337/
  aerys serve --listen 0.0.0.0:8080 --root public
  aerys serve --root . --listing
  aerys serve --listen 127.0.0.1:0 --max-message-bytes 64KiB --heartbeat 30s
  aerys check aerys.toml && aerys serve --config aerys.toml
  aerys completions bash > ~/.local/share/bash-completion/completions/aerys
  aerys man | man -l -";

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a chat, an echo, a broadcast and files, as `aerys` alone
    #[command(after_help = MORE, after_long_help = EXAMPLES)]
    Serve(Box<ServeArgs>),
    /// Say what is wrong with a configuration file, without listening
    Check {
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Measure how a server answers under load
    #[command(subcommand)]
    Bench(Bench),
    /// Talk to a WebSocket server by hand: lines in, messages out
    Connect(Box<ConnectArgs>),
    /// Print what a shell needs to complete commands and flags
    Completions {
        /// Whose
        #[arg(value_name = "SHELL")]
        shell: Shell,
    },
    /// Print the manual page of the program, or of one of its commands
    Man {
        /// As in `aerys man serve`
        #[arg(value_name = "COMMAND")]
        words: Vec<String>,
    },
}

/// Why a command did not do what it should.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Lines on what the user wrote.
    Arguments(Vec<String>),
    /// What happened later.
    AtRunTime(String),
    /// Lines on what was asserted and is not so.
    NotHeld(Vec<String>),
}

/// What is asked for.
#[derive(Debug)]
enum Task {
    Serve(Box<Serve>),
    Check(PathBuf),
    Bench(Bench),
    Connect(Box<ConnectArgs>),
    Completions(Shell),
    Man(Vec<String>),
}

/// `aerys serve`, as flags and variables say it.
#[derive(Debug)]
struct Serve {
    flags: ServeArgs,
    /// Flags and variables, by name, that say what a file with hosts says for each of them.
    of_one_host: Vec<String>,
    /// What each setting comes to, by its key.
    values: Vec<(String, String)>,
}

impl Serve {
    /// The flag or the variable that says what the key `key` of a host does, if one does.
    fn given(&self, key: &str) -> Option<&str> {
        let names = [flags::flag_name(key), flags::variable_name(key)];
        let given = self.of_one_host.iter().find(|given| names.contains(given));
        given.map(String::as_str)
    }
}

/// Runs what the command line asks for.
pub(crate) fn run() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().collect();
    // Dropped behind the last word, which may be on its way through it.
    let log = OnceCell::new();
    // A line, whatever was written in arguments and files that it tells of.
    let say = |line: &str| match (Printable(line).to_string(), log.get()) {
        (line, Some(log)) => LogOutput::say(log, &line),
        // Nobody may be there to read it: the exit status tells it anyway.
        (line, None) => drop(writeln!(io::stderr(), "{line}")),
    };
    let outcome = parse(&arguments, &FileDefaults::default()).and_then(|task| match task {
        Task::Check(file) => check(&file),
        Task::Bench(bench) => bench::run(bench),
        Task::Connect(args) => connect::connect(&args),
        Task::Completions(shell) => {
            help::print_completions(shell, command(&[], &FileDefaults::default()));
            Ok(())
        }
        Task::Man(words) => help::print_manual(command(&[], &FileDefaults::default()), &words)
            .map_err(|problem| Failure::Arguments(vec![format!("aerys: {problem}")])),
        Task::Serve(first) => serve(*first, &arguments, &log),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::AtRunTime(error)) => {
            say(&format!("aerys: {error}"));
            ExitCode::FAILURE
        }
        Err(Failure::Arguments(lines)) => {
            for line in lines {
                say(&line);
            }
            ExitCode::from(2)
        }
        Err(Failure::NotHeld(lines)) => {
            for line in lines {
                say(&format!("aerys: {line}"));
            }
            ExitCode::from(3)
        }
    }
}

/// Serves by the command line, the variables, and the file that they name.
fn serve(first: Serve, arguments: &[OsString], log: &OnceCell<LogOutput>) -> Result<(), Failure> {
    let (serve, hosts) = understood(first, arguments)?;
    serve::serve(serve, hosts, arguments, log)
}

/// The same once more, of a server that runs: the file may be another by now.
fn read_again(arguments: &[OsString]) -> Result<(Serve, Vec<HostSettings>), Failure> {
    match parse(arguments, &FileDefaults::default())? {
        Task::Serve(first) => understood(*first, arguments),
        _ => Err(Failure::AtRunTime("this is no server".to_owned())),
    }
}

/// What flags and variables come to with the file that they name, and its hosts.
fn understood(first: Serve, arguments: &[OsString]) -> Result<(Serve, Vec<HostSettings>), Failure> {
    let Some(path) = first.flags.config.clone() else {
        return Ok((first, Vec::new()));
    };
    let file = settings::read(&path)?;
    // Once more, now that the defaults are known. It is `serve` again.
    let Task::Serve(serve) = parse(arguments, &file.defaults)? else {
        return Ok((first, Vec::new()));
    };
    match serve.of_one_host.first() {
        Some(name) if !file.hosts.is_empty() => Err(Failure::Arguments(vec![format!(
            "aerys: {name} is for a server of one host: {} has [[host]] tables, and each of them \
             says it itself",
            path.display()
        )])),
        _ => Ok((*serve, file.hosts)),
    }
}

/// Understands the command line and the variables, with what a file says as defaults. Help and the
/// version end the program.
fn parse(arguments: &[OsString], file: &FileDefaults) -> Result<Task, Failure> {
    try_parse(arguments, file).map_err(|error| match mistakes::line(&error, arguments) {
        Some(line) => Failure::Arguments(vec![line]),
        None => error.exit(),
    })
}

fn try_parse(arguments: &[OsString], file: &FileDefaults) -> Result<Task, clap::Error> {
    let matches = command(arguments, file).try_get_matches_from(arguments)?;
    let parsed = Arguments::from_arg_matches(&matches)?;
    let mut flags = match parsed.command {
        Some(Command::Check { file }) => return Ok(Task::Check(file)),
        Some(Command::Bench(bench)) => return Ok(Task::Bench(bench)),
        Some(Command::Connect(args)) => return Ok(Task::Connect(args)),
        Some(Command::Completions { shell }) => return Ok(Task::Completions(shell)),
        Some(Command::Man { words }) => return Ok(Task::Man(words)),
        Some(Command::Serve(flags)) => *flags,
        None => parsed.serve,
    };
    let matches = matches.subcommand_matches("serve").unwrap_or(&matches);
    let has_listen = matches.value_source("listen") != Some(ValueSource::DefaultValue);
    if let (Some(listen), false) = (&file.listen, has_listen) {
        flags.listen.clone_from(listen);
    }
    let one_host = flags::settable()
        .into_iter()
        .filter(settings::is_of_one_host);
    let given = one_host.filter_map(|arg| match matches.value_source(arg.get_id().as_str())? {
        ValueSource::CommandLine => Some(flags::flag_name(flags::key(&arg))),
        ValueSource::EnvVariable => Some(flags::variable(&arg)),
        _ => None,
    });
    let of_one_host = given.collect();
    let values = flags::all().into_iter().map(|arg| {
        let key = flags::key(&arg).to_owned();
        let values: Vec<String> = if flags::is_listen(&arg) {
            flags.listen.iter().map(ToString::to_string).collect()
        } else {
            let raw = matches.get_raw(arg.get_id().as_str()).into_iter().flatten();
            raw.map(|value| value.display().to_string()).collect()
        };
        (key, values.join(", "))
    });
    Ok(Task::Serve(Box::new(Serve {
        of_one_host,
        values: values.collect(),
        flags,
    })))
}

/// The command line. Flags have their variables once: where they stand.
fn command(arguments: &[OsString], file: &FileDefaults) -> clap::Command {
    let command = Arguments::command();
    let first = arguments.get(1);
    let has_subcommand = first.is_some_and(|first| command.find_subcommand(first).is_some());
    let with_defaults = |mut command: clap::Command, has_variables: bool| {
        command = command.mut_args(|arg| match arg.get_long() {
            Some(_) => flags::finished(arg, has_variables),
            None => arg,
        });
        for (id, values) in &file.values {
            command = command.mut_arg(id, |arg| arg.default_values(values));
        }
        command
    };
    let command = with_defaults(command, !has_subcommand)
        .mut_subcommand("serve", |serve| with_defaults(serve, true));
    help::shaped(command, arguments)
}

/// Says of a file whether it is right.
fn check(file: &Path) -> Result<(), Failure> {
    let settings = settings::read(file)?;
    settings.judge_alone(file)?;
    let (hosts, addresses) = settings.counts();
    let plural = |count: usize, one: &str, many: &str| match count {
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    };
    // Who asks for the exit status alone need not read it.
    let _ = writeln!(
        io::stdout(),
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
    use crate::cli::address::ListenAddress;

    fn arguments(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    fn parsed(words: &[&str], file: &FileDefaults) -> Result<Serve, String> {
        match try_parse(&arguments(words), file) {
            Ok(Task::Serve(serve)) => Ok(*serve),
            Ok(Task::Check(file)) => Err(format!("to check {}", file.display())),
            Ok(other) => Err(format!("{other:?}")),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        for words in [&["aerys"][..], &["aerys", "serve"], &["aerys", "check"]] {
            command(&arguments(words), &FileDefaults::default()).debug_assert();
        }
    }

    #[test]
    fn no_arguments_mean_serve_and_so_do_its_flags() {
        let none = FileDefaults::default();
        for words in [
            &["aerys"][..],
            &["aerys", "--listen", "127.0.0.1:0"],
            &["aerys", "serve", "--listen", "127.0.0.1:0"],
        ] {
            assert!(parsed(words, &none).is_ok(), "{words:?}");
        }
        let check = parsed(&["aerys", "check", "a.toml"], &none);
        assert_eq!(check.err().as_deref(), Some("to check a.toml"));
        for words in [
            &["aerys", "serve", "--heartbeat", "soon"][..],
            &["aerys", "--root", "a", "check", "b"],
            &["aerys", "check"],
        ] {
            assert!(parsed(words, &none).is_err(), "{words:?}");
        }
    }

    #[test]
    fn a_file_stands_in_for_defaults_and_behind_flags() {
        let texts =
            |texts: &[&str]| -> Vec<String> { texts.iter().copied().map(str::to_owned).collect() };
        let addresses = ["a:1", "unix:/b,c?d?"].map(|text| ListenAddress::parse(text).expect(text));
        let file = FileDefaults {
            values: vec![("max_body_bytes".to_owned(), arguments(&["7"]))],
            listen: Some(addresses.to_vec()),
        };
        let listen = |serve: &Serve| -> Vec<String> {
            serve.flags.listen.iter().map(ToString::to_string).collect()
        };
        for words in [&["aerys"][..], &["aerys", "serve"]] {
            let serve = parsed(words, &file).expect("flags");
            assert_eq!(listen(&serve), texts(&["a:1", "unix:/b,c?d?"]));
            assert_eq!(serve.flags.max_body_bytes, 7);
            assert!(serve.of_one_host.is_empty());

            let more = ["--listen", "c:3", "--max-body-bytes", "8"];
            let serve = parsed(&[words, &more].concat(), &file).expect("flags");
            assert_eq!(listen(&serve), texts(&["c:3"]));
            assert_eq!(serve.flags.max_body_bytes, 8);
            assert_eq!(serve.of_one_host, texts(&["--listen"]));
        }
    }
}
