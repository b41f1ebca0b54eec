//! The program `aerys`: arguments, logger, exit status. What it serves is `cli/serve.rs`.

#![forbid(unsafe_code)]

// A handler's panic ends its client's connection, since it unwinds: built otherwise, it would end them all.
#[cfg(not(panic = "unwind"))]
compile_error!("this program has to be built with `panic = \"unwind\"`, Cargo's default");

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
