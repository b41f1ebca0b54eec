//! Load on a server, and what it answered in: `aerys bench`.
//!
//! What measures fills in a [`recorder::Recorder`]; what it knew becomes a [`run::Run`], which is
//! all that a report reads, from this run or from a file.

mod assertions;
mod compare;
mod histogram;
mod numbers;
#[expect(dead_code, reason = "what measures comes next")]
mod progress;
#[cfg_attr(not(test), expect(dead_code, reason = "what measures comes next"))]
mod recorder;
#[expect(dead_code, reason = "what measures comes next")]
mod report;
#[cfg_attr(not(test), expect(dead_code, reason = "what measures comes next"))]
mod run;

use crate::cli::Failure;
use clap::Subcommand;

/// What is measured.
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Lay runs beside each other that `--json` wrote, in a table and on a page
    Compare(compare::CompareArgs),
}

/// Runs what the command line asks for.
pub(crate) fn run(bench: Bench) -> Result<(), Failure> {
    match bench {
        Bench::Compare(args) => compare::compare(args),
    }
}
