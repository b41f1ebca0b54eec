//! The program's commands.
//!
//! Exit status: 0 after a graceful stop, 1 for a failure at run time or a stop cut short, 2 for
//! bad arguments.

mod demo;
mod serve;
mod units;

use clap::{Parser, Subcommand};
use serve::ServeArgs;
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
Examples:
  aerys                                   a chat at http://127.0.0.1:1337/
  aerys serve --listen 0.0.0.0:8080 --root public
  aerys serve --listen 127.0.0.1:0 --max-message-bytes 64KiB --heartbeat 30s";

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a chat, an echo, a broadcast and files (what `aerys` alone does)
    Serve(ServeArgs),
}

/// Runs what the command line asks for.
pub(crate) fn run() -> ExitCode {
    let Arguments { command, serve } = Arguments::parse();
    let Command::Serve(arguments) = command.unwrap_or(Command::Serve(serve));
    match serve::serve(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("aerys: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn no_arguments_mean_serve_and_so_do_its_flags() {
        let bare = Arguments::try_parse_from(["aerys"]).expect("no argument is needed");
        assert!(bare.command.is_none());
        assert!(Arguments::try_parse_from(["aerys", "--listen", "127.0.0.1:0"]).is_ok());
        assert!(Arguments::try_parse_from(["aerys", "serve", "--listen", "127.0.0.1:0"]).is_ok());
        assert!(Arguments::try_parse_from(["aerys", "serve", "--heartbeat", "soon"]).is_err());
    }
}
