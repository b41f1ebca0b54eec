//! `aerys bench compare`: runs that were written to files, side by side.

use super::assertions::Assertion;
use super::report::{self, HEADING};
use crate::cli::Failure;
use clap::{Args, ValueHint};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// Runs, as `--json` wrote them
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath, required = true)]
    files: Vec<PathBuf>,

    /// Write a page with all of them drawn over each other to FILE
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath,
          env = "AERYS_BENCH_HTML", hide_env_values = true, help_heading = HEADING)]
    html: Option<PathBuf>,

    /// End with exit status 3 unless it holds for the last of them: 'p99<2ms', 'throughput>50000',
    /// 'errors=0'; may be given several times
    #[arg(
        long,
        value_name = "CONDITION",
        value_delimiter = ',',
        env = "AERYS_BENCH_ASSERT",
        hide_env_values = true,
        help_heading = HEADING
    )]
    assert: Vec<Assertion>,
}

pub(crate) fn compare(args: &CompareArgs) -> Result<(), Failure> {
    report::compare(&args.files, args.html.clone(), &args.assert)
}
