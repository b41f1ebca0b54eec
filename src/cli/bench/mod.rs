//! Load on a server, and what it answered in: `aerys bench`.
//!
//! What measures fills in a [`recorder::Recorder`]; what it knew becomes a [`run::Run`], which is
//! all that a report reads, from this run or from a file.

mod assertions;
mod broadcast;
mod compare;
mod crowd;
mod exchange;
mod flags;
mod histogram;
mod measure;
mod numbers;
mod pace;
mod prepared;
mod process;
mod progress;
mod recorder;
mod report;
mod run;
mod sources;
mod timed;
mod troubles;

use crate::cli::Failure;
use clap::Subcommand;

/// What is measured.
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Messages that come back: how many a second, and in what time
    Echo(Box<flags::EchoArgs>),
    /// Messages to everyone: the time to the first and the last receiver
    Broadcast(Box<flags::BroadcastArgs>),
    /// WebSocket handshakes a second, and what memory connections take
    Connect(Box<flags::ConnectArgs>),
    /// GET requests: how many a second, and in what time
    Http(Box<flags::HttpArgs>),
    /// Lay runs that `--json` wrote beside each other
    Compare(compare::CompareArgs),
}

/// Runs what the command line asks for.
pub(crate) fn run(bench: Bench) -> Result<(), Failure> {
    match bench {
        Bench::Echo(args) => measure::echo(*args),
        Bench::Broadcast(args) => measure::broadcast(*args),
        Bench::Connect(args) => measure::connect(*args),
        Bench::Http(args) => measure::http(*args),
        Bench::Compare(args) => compare::compare(&args),
    }
}
