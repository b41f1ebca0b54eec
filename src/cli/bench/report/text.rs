//! A report in the terminal. Colours are escape sequences here: where none are wanted, they are
//! stripped on the way.

use super::Named;
use super::figures::{columns, kinds, rows};
use super::scale;
use crate::cli::bench::numbers::{self, float};
use crate::cli::bench::run::Run;
use aerys::internals::Printable;
use std::fmt::Write;

const BOLD: &str = "\x1b[1m";
const RED: &str = "\x1b[31m";
const CYAN: &str = "\x1b[36m";
const RESET: &str = "\x1b[0m";

/// The last run, and beside it those that it is compared with.
pub(super) fn report(runs: &[Named]) -> String {
    let mut text = String::new();
    match runs {
        [] => {}
        [one] => {
            describe(&mut text, &one.run);
            text.push('\n');
            table(&mut text, runs);
            histogram(&mut text, &one.run);
        }
        several => {
            for Named { name, run } in several {
                let _ = writeln!(text, "{BOLD}{}{RESET}", Printable(name));
                describe(&mut text, run);
                text.push('\n');
            }
            table(&mut text, several);
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
        let per_s = |bytes| numbers::bytes(float(bytes) / run.load_s().max(f64::EPSILON));
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
    if run.is_generator_busy() {
        line(
            "load generator",
            &format!("{RED}{of_one}: it may be what was measured{RESET}"),
        );
    } else {
        line("load generator", &of_one);
    }
}

/// One row for each percentile, one column for each that is compared.
fn table(text: &mut String, runs: &[Named]) {
    const WIDEST: usize = 24;
    let columns = columns(runs);
    let kinds = kinds(runs);
    let width = |index: usize| {
        let of = |name: &str| Printable(name).to_string().chars().count();
        let kind = kinds.as_ref().map_or(0, |kinds| of(kinds[index]));
        of(columns[index].0).max(kind).clamp(9, WIDEST)
    };
    let mut row = |title: &str, cells: &mut dyn Iterator<Item = String>| {
        let _ = write!(text, "  {title:<8}");
        for (index, cell) in cells.enumerate() {
            let width = width(index);
            let cell: String = cell.chars().take(WIDEST).collect();
            let _ = write!(text, "  {cell:>width$}");
        }
        text.push('\n');
    };
    row(
        "",
        &mut columns.iter().map(|(name, _)| Printable(name).to_string()),
    );
    if let Some(kinds) = &kinds {
        row(
            "",
            &mut kinds.iter().map(|kind| Printable(kind).to_string()),
        );
    }
    for (title, cells) in rows(&columns) {
        row(&title, &mut cells.into_iter());
    }
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
        let line = format!("  {upper:>8}  |{CYAN}{bar:<40}{RESET} {share:>7}");
        let empty = format!("  {upper:>8}  |");
        let _ = writeln!(text, "{}", if row.count > 0 { line } else { empty });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::recorder::Recorder;
    use crate::cli::bench::run::tests::echo;
    use crate::cli::bench::run::{ErrorKind, Kind, Memory};
    use std::time::Duration;

    fn named(name: &str, run: Run) -> Named {
        Named {
            name: name.to_owned(),
            run,
        }
    }

    /// Without the colours.
    fn plain(text: &str) -> String {
        let mut text = text.to_owned();
        for sequence in [BOLD, RED, CYAN, RESET] {
            text = text.replace(sequence, "");
        }
        assert!(!text.contains('\u{1b}'));
        text
    }

    #[test]
    fn one_run_is_a_table_and_a_histogram() {
        let told = plain(&report(&[named("this run", echo())]));
        let expected = "\
echo, 10 connections, 64 bytes of binary, at 1,000/s, for 2 s, after 500 ms of warm-up
  ws://127.0.0.1:1337/echo
  messages        2,000 in 2.00 s: 1,000/s
  bytes           72.0 KB/s sent, 68.0 KB/s received
  errors          none
  load generator  37.5 % of a processor

            round trip
  min           100 us
  mean          110 us
  p50           101 us
  p75           102 us
  p90           102 us
  p99           102 us
  p99.9        1.00 ms
  p99.99       1.00 ms
  max          1.00 ms

  round trip up to
    125 us  |########################################  99.0 %
    160 us  |
    200 us  |
    250 us  |
    320 us  |
    400 us  |
    500 us  |
    630 us  |
    800 us  |
   1.00 ms  |
   1.25 ms  |#                                         1.00 %
";
        assert_eq!(told, expected);
    }

    #[test]
    fn several_runs_are_columns() {
        let mut other = echo();
        let mut recorder = Recorder::new(&["first", "median", "last"], Duration::from_secs(1));
        recorder.record(0, 10, &[1_000_000, 2_000_000, 3_000_000]);
        other.measured.latencies = recorder.finish().1;
        let told = plain(&report(&[
            named("\u{1b}[2J", echo()),
            named("a longer name", other),
        ]));
        assert!(
            told.contains("             \\u{1b}[2J  a longer name\n"),
            "{told}"
        );
        assert!(
            told.contains("  p50           101 us        3.00 ms\n"),
            "{told}"
        );
        assert!(!told.contains('|'), "no histogram: {told}");
        // What is not of one kind says of which it is.
        assert!(
            told.contains("            round trip           last\n"),
            "{told}"
        );
        let same = plain(&report(&[named("a", echo()), named("b", echo())]));
        assert!(!same.contains("round trip"), "{same}");
    }

    #[test]
    fn what_is_bad_is_red_and_what_is_hostile_is_harmless() {
        let mut run = echo();
        run.asked.kind = Kind::Connect;
        run.asked.url = "ws://a/\u{1b}]0;b\u{7}".to_owned();
        for _ in 0..1234 {
            run.measured.counts.errors.add(ErrorKind::Timeout);
        }
        run.measured.counts.errors.add(ErrorKind::Handshake);
        run.measured.generator.user_s = 1.5;
        run.asked.rate_per_s = None;
        run.measured.memory = Some(Memory {
            before_bytes: 1_000_000,
            after_bytes: 1_020_000,
            connections: 100,
        });
        let told = report(&[named("this run", run)]);
        for line in [
            "  errors          \u{1b}[31m1,235\u{1b}[0m: handshake refused 1, timed out 1,234\n",
            "  load generator  \u{1b}[31m100 % of a processor: it may be what was measured\u{1b}[0m\n",
            "  memory          200 B a connection: 1.00 MB before, 1.02 MB with 100\n",
            "  handshakes      2,000 in 2.00 s: ",
            "  ws://a/\\u{1b}]0;b\\u{7}\n",
        ] {
            assert!(told.contains(line), "{line:?} in {told}");
        }
        let mut older = echo();
        older.asked.kind = Kind::Connect;
        older.asked.rate_per_s = None;
        let begin = "connect, 10 connections, 64 bytes of binary";
        assert!(
            older
                .asked
                .sentence()
                .starts_with(&format!("{begin}, 64 at a time, for 2 s"))
        );
        older.asked.at_once = None;
        assert!(
            older
                .asked
                .sentence()
                .starts_with(&format!("{begin}, for 2 s"))
        );
        // At a fixed rate it watches the clock.
        let mut run = echo();
        run.measured.generator.user_s = 1.5;
        let told = report(&[named("this run", run)]);
        assert!(
            told.contains("  load generator  100 % of a processor\n"),
            "{told}"
        );
    }
}
