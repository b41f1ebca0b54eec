//! The program `aerys`: arguments, logger, exit status. What it serves is `cli/serve.rs`.

#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
