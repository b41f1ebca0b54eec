//! What the program says of itself: help, completions for shells, the manual page. All of it follows
//! from the one definition of commands and flags.

use clap::{Arg, ArgAction, Command};
use clap_complete::Shell;
use std::ffi::OsString;
use std::io::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What `--version` says: what it was built with, and for what.
pub(crate) fn version() -> String {
    let features = [
        ("http2", cfg!(feature = "http2")),
        ("tls", cfg!(feature = "tls")),
        ("self-signed", cfg!(feature = "self-signed")),
    ];
    let features = features.iter().filter(|(_, is_on)| *is_on);
    let features: Vec<&str> = features.map(|(name, _)| *name).collect();
    let features = match &*features {
        [] => "none".to_owned(),
        features => features.join(", "),
    };
    let environment = if cfg!(target_env = "musl") {
        "-musl"
    } else if cfg!(target_env = "gnu") {
        "-gnu"
    } else {
        ""
    };
    format!(
        "{}\nfeatures: {features}\ntarget: {}-{}{environment}",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::ARCH,
        std::env::consts::OS,
    )
}

/// The command line with its help as `arguments` ask for it: `-h` is to fit a screen.
pub(crate) fn shaped(command: Command, arguments: &[OsString]) -> Command {
    if arguments.iter().any(|argument| argument == "-h") {
        let command = command.disable_help_subcommand(true);
        let command = command.mut_subcommands(|command| match command.get_name() {
            "bench" | "connect" => for_all(command, &common),
            name => {
                let is_rare = RARE.contains(&name);
                command.hide(is_rare)
            }
        });
        for_all(command, &brief)
    } else {
        for_all(command, &whole)
    }
}

/// Commands that `-h` does not show.
const RARE: [&str; 2] = ["completions", "man"];

/// What `-h` shows of the flags of commands that are clients.
const COMMON: [(&str, &str); 17] = [
    ("url", "ws://, wss://, http:// or https://"),
    ("connections", "Connections at the same time [default: 100]"),
    ("rate", "A second in all [default: as fast as answers come]"),
    ("duration", "How long is measured [default: 10s]"),
    ("size", "Length of a message [default: 64]"),
    ("pid", "Process whose memory is told"),
    ("json", "Write what was measured, `-` for standard output"),
    ("html", "Write a page with it drawn"),
    ("compare", "Lay earlier runs beside this one"),
    ("assert", "As 'p99<2ms': exit status 3 unless it holds"),
    ("ping", "Send a Ping each so often and show the round trip"),
    ("count", "Close after so many messages"),
    ("wait", "Time for answers at the input's end [default: 1]"),
    ("header", "Field of the request, as 'Name: value'"),
    ("subprotocol", "Subprotocol to offer"),
    ("compression", "Offer permessage-deflate"),
    ("tls-insecure", "Believe any certificate"),
];

/// A flag of such a command: what is common has its short text, what is not is for `--help`.
fn common(arg: Arg) -> Arg {
    let Some(name) = arg.get_long() else {
        return arg;
    };
    let text = COMMON.iter().find(|(common, _)| *common == name);
    match (text, arg.get_help().cloned()) {
        (Some((_, text)), Some(whole)) => arg.help(*text).long_help(whole),
        _ => arg.hide_short_help(true),
    }
}

/// The same for the flags of a command and of all below it.
fn for_all(command: Command, shape: &dyn Fn(Arg) -> Arg) -> Command {
    command
        .mut_args(shape)
        .mut_subcommands(|command| for_all(command, shape))
}

/// A flag as `-h` shows it: what has a text of its own for that needs no more.
fn brief(arg: Arg) -> Arg {
    let is_told = arg.get_long_help().is_some() && arg.get_action().takes_values();
    let arg = arg.hide_env(true).help_heading(None);
    if is_told {
        arg.hide_default_value(true).hide_possible_values(true)
    } else {
        arg
    }
}

/// A flag as `--help` shows it: who has no default says so, too.
fn whole(arg: Arg) -> Arg {
    let help = arg.get_long_help().or(arg.get_help());
    let help = help.map(ToString::to_string).unwrap_or_default();
    let none = match arg.get_action() {
        _ if arg.is_positional()
            || !arg.get_default_values().is_empty()
            || help.contains("[default") =>
        {
            ""
        }
        ArgAction::SetTrue => " [default: off]",
        ArgAction::Set | ArgAction::Append => " [default: none]",
        _ => "",
    };
    arg.long_help(format!("{help}{none}"))
}

/// A flag as the manual shows it: all that is known of it in one paragraph.
fn told(arg: Arg) -> Arg {
    let mut help = arg
        .get_long_help()
        .map(ToString::to_string)
        .unwrap_or_default();
    let list = |values: Vec<String>| values.join(", ");
    let defaults = arg.get_default_values().iter();
    let defaults = list(defaults.map(|value| value.display().to_string()).collect());
    let possible = arg.get_possible_values();
    let possible = list(
        possible
            .iter()
            .map(|value| value.get_name().to_owned())
            .collect(),
    );
    let variable = arg.get_env().map(|name| name.display().to_string());
    if !arg.get_action().takes_values() {
        return match variable {
            Some(name) => arg.long_help(format!("{help} [env: {name}]")),
            None => arg,
        };
    }
    for (what, text) in [
        ("default", defaults),
        ("possible values", possible),
        ("env", variable.unwrap_or_default()),
    ] {
        if !text.is_empty() {
            help.extend([" [", what, ": ", &text, "]"]);
        }
    }
    arg.long_help(help)
        .hide_default_value(true)
        .hide_possible_values(true)
}

/// Prints what `shell` needs to complete commands and flags.
pub(crate) fn print_completions(shell: Shell, mut command: Command) {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "aerys", &mut script);
    // Who asked for it may not read it to its end.
    let _ = io::stdout().write_all(&script);
}

/// Prints the manual page of the program, or of the command that `words` name.
///
/// # Errors
///
/// There is no such command.
pub(crate) fn print_manual(command: Command, words: &[String]) -> Result<(), String> {
    let mut command = for_all(command, &told);
    command.build();
    let mut described = &command;
    for word in words {
        let below = described.find_subcommand(word);
        described = below.ok_or_else(|| format!("there is no command '{}'", words.join(" ")))?;
    }
    let mut page = Vec::new();
    render(described, &mut page).expect("memory takes all that is written");
    let page = wrapped(&String::from_utf8_lossy(&page));
    let _ = io::stdout().write_all(page.as_bytes());
    Ok(())
}

/// The page in man(7)'s macros.
fn render(command: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    let manual = clap_mangen::Man::new(command.clone());
    let name = command.get_display_name().unwrap_or(command.get_name());
    let version = env!("CARGO_PKG_VERSION");
    writeln!(
        page,
        ".TH {} 1 {} \"aerys {version}\" \"User Commands\"",
        name.to_uppercase(),
        date()
    )?;
    manual.render_name_section(page)?;
    // All flags one after the other, as it would be made, nobody reads.
    page.write_all(b".SH SYNOPSIS\n")?;
    let usage = command.clone().render_usage().to_string();
    for line in usage.trim_start_matches("Usage:").lines() {
        writeln!(page, ".nf\n{}\n.fi", line.trim().replace('-', "\\-"))?;
    }
    manual.render_description_section(page)?;
    manual.render_options_section(page)?;
    if command.get_subcommands().next().is_some() {
        manual.render_subcommands_section(page)?;
    }
    if let Some(examples) = command.get_after_long_help() {
        let examples = examples
            .to_string()
            .replace('\\', "\\e")
            .replace('-', "\\-");
        // Lines that begin with a dot would be macros.
        write!(
            page,
            ".SH EXAMPLES\n.nf\n{}\n.fi\n",
            examples.replace("\n.", "\n\\&.")
        )?;
    }
    Ok(())
}

/// The same with no line of text that is longer than a screen is wide, where lines are filled anyway.
fn wrapped(page: &str) -> String {
    let (mut wrapped, mut is_filled) = (String::new(), true);
    for line in page.lines() {
        is_filled = match line {
            ".nf" => false,
            ".fi" => true,
            _ => is_filled,
        };
        let mut len = 0;
        for word in line.split_inclusive(' ') {
            let is_text = is_filled && !line.starts_with('.');
            // At the begin of a line these would mean something else.
            if is_text && len > 0 && len + word.len() > 80 && !word.starts_with(['.', '\'']) {
                wrapped.truncate(wrapped.trim_end().len());
                wrapped.push('\n');
                len = 0;
            }
            wrapped.push_str(word);
            len += word.len();
        }
        wrapped.push('\n');
    }
    wrapped
}

/// Today, or what who builds packages says in its place (`SOURCE_DATE_EPOCH`, of reproducible-builds.org).
fn date() -> String {
    let given = std::env::var("SOURCE_DATE_EPOCH").ok();
    let given = given.and_then(|seconds| seconds.parse().ok());
    // What a date with a year of four digits can say.
    let given = given.filter(|seconds| *seconds < 253_402_300_800);
    let now = given.map_or_else(SystemTime::now, |seconds| {
        UNIX_EPOCH + Duration::from_secs(seconds)
    });
    // As `Thu, 26 Nov 2026 12:00:00 GMT`.
    let date = httpdate::fmt_http_date(now);
    let words: Vec<&str> = date.split(' ').collect();
    let names = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let month = names.iter().position(|name| *name == words[2]).unwrap_or(0);
    format!("{}-{:02}-{}", words[3], month + 1, words[1])
}
