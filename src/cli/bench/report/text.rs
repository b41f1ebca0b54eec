//! A report in the terminal. Colours are escape sequences here: where none are wanted, they are
//! stripped on the way.

use super::Named;
use super::scale;
use crate::cli::bench::histogram::Latencies;
use crate::cli::bench::numbers::{self, float};
use crate::cli::bench::run::Run;
use aerys::internals::Printable;
use std::fmt::Write;

const BOLD: &str = "\x1b[1m";
const RED: &str = "\x1b[31m";
const CYAN: &str = "\x1b[36m";
const RESET: &str = "\x1b[0m";

/// Of a processor: from here on, the load generator may be what was measured.
const BUSY: f64 = 0.9;

/// The last run, and beside it those that it is compared with.
pub(super) fn report(runs: &[Named]) -> String {
    let mut text = String::new();
    match runs {
        [] => {}
        [one] => {
            describe(&mut text, &one.run);
            let series = one.run.measured.latencies.iter();
            let columns: Vec<_> = series
                .map(|one| (one.kind.clone(), &one.latencies))
                .collect();
            text.push('\n');
            percentiles(&mut text, &columns);
            histogram(&mut text, &one.run);
        }
        several => {
            for Named { name, run } in several {
                let _ = writeln!(text, "{BOLD}{}{RESET}", Printable(name));
                describe(&mut text, run);
                text.push('\n');
            }
            let columns = several
                .iter()
                .filter_map(|one| Some((Printable(&one.name).to_string(), one.run.latencies()?)));
            percentiles(&mut text, &columns.collect::<Vec<_>>());
        }
    }
    text
}

/// What was asked for, and what came of it apart from latencies.
fn describe(text: &mut String, run: &Run) {
    let measured = &run.measured;
    let counts = &measured.counts;
    let _ = writeln!(text, "{BOLD}{}{RESET}", Printable(run.asked.sentence()));
    let _ = writeln!(text, "  {}", Printable(&run.asked.url));
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "  {name:<16}{value}");
    };
    line(
        run.asked.kind.plural(),
        &format!(
            "{} in {}: {BOLD}{}{RESET}",
            numbers::count(counts.received),
            numbers::time(measured.elapsed_s * 1e9),
            numbers::rate(run.throughput_per_s())
        ),
    );
    if counts.sent_bytes + counts.received_bytes > 0 {
        let per_s = |bytes| numbers::bytes(float(bytes) / measured.elapsed_s.max(f64::EPSILON));
        let (sent, received) = (per_s(counts.sent_bytes), per_s(counts.received_bytes));
        line("bytes", &format!("{sent}/s sent, {received}/s received"));
    }
    if let Some(memory) = measured.memory {
        line(
            "memory",
            &format!(
                "{} a connection: {} before, {} with {}",
                numbers::bytes(float(memory.per_connection_bytes())),
                numbers::bytes(float(memory.before_bytes)),
                numbers::bytes(float(memory.after_bytes)),
                numbers::count(memory.connections)
            ),
        );
    }
    match counts.errors.total() {
        0 => line("errors", "none"),
        total => {
            let kinds = counts.errors.named().into_iter();
            let kinds = kinds.filter(|(_, count)| *count > 0);
            let kinds = kinds.map(|(name, count)| format!("{name} {}", numbers::count(count)));
            let kinds = kinds.collect::<Vec<_>>().join(", ");
            line(
                "errors",
                &format!("{RED}{}{RESET}: {kinds}", numbers::count(total)),
            );
        }
    }
    let share = run.generator_share();
    let of_one = format!("{} of a processor", numbers::percent(share));
    if share > BUSY {
        line(
            "load generator",
            &format!("{RED}{of_one}: it may be what was measured{RESET}"),
        );
    } else {
        line("load generator", &of_one);
    }
}

/// One row for each percentile, one column for each that is compared.
fn percentiles(text: &mut String, columns: &[(String, &Latencies)]) {
    const WIDEST: usize = 24;
    let width = |name: &str| name.chars().count().clamp(10, WIDEST);
    let mut row = |title: &str, cell: &dyn Fn(&str, &Latencies) -> String| {
        let _ = write!(text, "  {title:<8}");
        for (name, latencies) in columns {
            let cell: String = cell(name, latencies).chars().take(WIDEST).collect();
            let _ = write!(text, "  {cell:>width$}", width = width(name));
        }
        text.push('\n');
    };
    row("", &|name, _| name.to_owned());
    let time = |nanos| numbers::time(float(nanos));
    row("min", &|_, latencies| time(latencies.min_nanos()));
    row("mean", &|_, latencies| {
        numbers::time(latencies.mean_nanos())
    });
    for percent in scale::PERCENTILES {
        let title = format!("p{percent}");
        row(&title, &|_, latencies| {
            time(latencies.percentile_nanos(percent))
        });
    }
    row("max", &|_, latencies| time(latencies.max_nanos()));
}

/// How latencies are distributed, as bars.
fn histogram(text: &mut String, run: &Run) {
    const BAR: u64 = 40;
    /// So that it can be seen at once.
    const ROWS: usize = 16;
    let Some(series) = run.measured.latencies.last() else {
        return;
    };
    let rows = scale::distribution(&series.latencies, ROWS);
    let Some(most) = rows.iter().map(|row| row.count).max() else {
        return;
    };
    let _ = writeln!(text, "\n  {} up to", series.kind);
    for row in rows {
        // What is there has one character at least: the tail is what is looked for.
        let share = float(row.count) / float(most);
        let bar = "#".repeat(
            (0..BAR)
                .take_while(|at| float(*at) / float(BAR) < share)
                .count(),
        );
        let share = numbers::percent(float(row.count) / float(series.latencies.count()));
        let upper = numbers::time(row.upper_nanos);
        let share = if row.count > 0 { share } else { String::new() };
        let line = format!("  {upper:>8}  |{CYAN}{bar:<40}{RESET} {share:>7}");
        let _ = writeln!(text, "{}", line.trim_end());
    }
}
