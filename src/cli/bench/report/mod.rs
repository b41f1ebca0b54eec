//! What a run tells: a table and a histogram in the terminal, JSON, a page, and whether what was
//! asserted holds.

mod axis;
mod chart;
mod drawings;
mod escape;
mod figures;
mod page;
mod scale;
mod text;

use super::assertions::Assertion;
use super::run::Run;
use crate::cli::Failure;
use clap::{Args, ValueHint};
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

pub(super) const HEADING: &str = "Report";

/// Flags of every command that measures.
#[derive(Debug, Default, Args)]
pub(crate) struct ReportArgs {
    /// Write what was measured to FILE as JSON, `-` for standard output: the table goes to standard
    /// error then
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = HEADING,
          env = "AERYS_BENCH_JSON", hide_env_values = true)]
    json: Option<PathBuf>,

    /// Write a page with the latencies and the time line drawn to FILE
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = HEADING,
          env = "AERYS_BENCH_HTML", hide_env_values = true)]
    html: Option<PathBuf>,

    /// Lay earlier runs, written by `--json`, beside this one in the table and on the page
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = HEADING,
          env = "AERYS_BENCH_COMPARE", hide_env_values = true, num_args = 1.., value_delimiter = ',')]
    compare: Vec<PathBuf>,

    /// What this run is called where it is compared, by default the file's name
    #[arg(long, value_name = "TEXT", help_heading = HEADING,
          env = "AERYS_BENCH_LABEL", hide_env_values = true)]
    label: Option<String>,

    /// End with exit status 3 unless it holds: 'p99<2ms', 'throughput>50000', 'errors=0'; may be given
    /// several times
    #[arg(long, value_name = "CONDITION", help_heading = HEADING,
          env = "AERYS_BENCH_ASSERT", hide_env_values = true, value_delimiter = ',')]
    assert: Vec<Assertion>,
}

/// A run, and what it is called.
#[derive(Debug)]
struct Named {
    name: String,
    run: Run,
}

/// Where what is measured will be told: prepared before, so that a run is not lost for a folder that is
/// not there.
#[derive(Debug)]
pub(crate) struct Report {
    json: Option<Output>,
    html: Option<Output>,
    others: Vec<Named>,
    label: Option<String>,
    assertions: Vec<Assertion>,
}

impl Report {
    /// Reads the runs to compare with and opens what is to be written.
    ///
    /// # Errors
    ///
    /// [`Failure::Arguments`] for a file that cannot be read or written.
    pub(crate) fn prepare(args: ReportArgs) -> Result<Self, Failure> {
        let open = |path: Option<PathBuf>| path.map(Output::open).transpose();
        Ok(Self {
            others: read(&args.compare)?,
            json: open(args.json)?,
            html: open(args.html)?,
            label: args.label,
            assertions: args.assert,
        })
    }

    /// Tells it, wherever that was asked for.
    ///
    /// # Errors
    ///
    /// [`Failure::NotHeld`] for assertions, [`Failure::AtRunTime`] if something cannot be written.
    pub(crate) fn tell(mut self, mut run: Run) -> Result<(), Failure> {
        run.label = self.label;
        let json = run.to_json();
        let name = run.label.clone();
        let name = name.unwrap_or_else(|| "this run".to_owned());
        let mut runs = self.others;
        runs.push(Named { name, run });
        // Alone there, for who reads it.
        let has_stdout = self.json.as_ref().is_none_or(|json| json.file.is_some());
        if let Some(output) = self.json.take() {
            output.write(&json)?;
        }
        tell(&runs, self.html, &self.assertions, has_stdout)
    }
}

/// Tells runs of these files side by side, and judges the last.
///
/// # Errors
///
/// As [`Report::prepare`] and [`Report::tell`].
pub(crate) fn compare(
    files: &[PathBuf],
    html: Option<PathBuf>,
    assertions: &[Assertion],
) -> Result<(), Failure> {
    let runs = read(files)?;
    let html = html.map(Output::open).transpose()?;
    tell(&runs, html, assertions, true)
}

fn tell(
    runs: &[Named],
    html: Option<Output>,
    assertions: &[Assertion],
    on_stdout: bool,
) -> Result<(), Failure> {
    let judged = runs.last().into_iter().flat_map(|last| {
        let judge = |one: &Assertion| one.judge(&last.run);
        assertions.iter().map(judge)
    });
    let (held, not_held): (Vec<_>, Vec<_>) = judged.partition(|verdict| verdict.holds);
    let mut text = text::report(runs);
    for verdict in held {
        let _ = writeln!(text, "  {}", verdict.line);
    }
    let is_free = html.as_ref().is_none_or(|html| html.file.is_some());
    print(&text, on_stdout && is_free)?;
    if let Some(output) = html {
        output.write(&page::page(runs))?;
    }
    let lines: Vec<_> = not_held.into_iter().map(|verdict| verdict.line).collect();
    if lines.is_empty() {
        Ok(())
    } else {
        Err(Failure::NotHeld(lines))
    }
}

/// On standard output or standard error, with colours where those are wanted (a terminal, `NO_COLOR`).
fn print(text: &str, on_stdout: bool) -> Result<(), Failure> {
    let written = if on_stdout {
        anstream::stdout().write_all(text.as_bytes())
    } else {
        anstream::stderr().write_all(text.as_bytes())
    };
    match written {
        // Who reads the beginning alone has it.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::AtRunTime(format!("the report: {error}")))
        }
        _ => Ok(()),
    }
}

/// Runs that were written by `--json`, under the names that they were given, or else of their files.
fn read(paths: &[PathBuf]) -> Result<Vec<Named>, Failure> {
    let read = |path: &PathBuf| {
        let text = fs::read_to_string(path).map_err(|error| of_file(path, &error))?;
        let run = Run::from_json(&text).map_err(|error| of_file(path, &error))?;
        let stem = path.file_stem().unwrap_or_default();
        let name = run.label.clone();
        let name = name.unwrap_or_else(|| stem.to_string_lossy().into_owned());
        Ok(Named { name, run })
    };
    paths.iter().map(read).collect()
}

fn of_file(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::Arguments(vec![format!("aerys: {}: {error}", path.display())])
}

/// A file that is written at the end.
#[derive(Debug)]
struct Output {
    path: PathBuf,
    /// None for standard output.
    file: Option<File>,
}

impl Output {
    /// What was in it stays until something is written.
    fn open(path: PathBuf) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Ok(Self { path, file: None });
        }
        let mut options = OpenOptions::new();
        match options.write(true).create(true).truncate(false).open(&path) {
            Ok(file) => Ok(Self {
                path,
                file: Some(file),
            }),
            Err(error) => Err(of_file(&path, &error)),
        }
    }

    fn write(self, text: &str) -> Result<(), Failure> {
        let write = |mut file: File| {
            // A pipe has no length.
            if file.metadata()?.is_file() {
                file.set_len(0)?;
            }
            file.write_all(text.as_bytes())
        };
        let written = match self.file {
            Some(file) => write(file),
            None => io::stdout().write_all(text.as_bytes()),
        };
        written.map_err(|error| Failure::AtRunTime(format!("{}: {error}", self.path.display())))
    }
}
