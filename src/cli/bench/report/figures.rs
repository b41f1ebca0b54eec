//! Figures of runs, as the terminal and the page both show them.

use super::Named;
use super::scale::PERCENTILES;
use crate::cli::bench::histogram::Latencies;
use crate::cli::bench::numbers::{self, float};
use crate::cli::bench::run::Run;

/// One, and what is called bad of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Figure {
    pub(super) name: &'static str,
    pub(super) text: String,
    pub(super) is_bad: bool,
}

/// What a run came to, apart from latencies.
pub(super) fn figures(run: &Run) -> Vec<Figure> {
    let measured = &run.measured;
    let errors = measured.counts.errors.total();
    let mut figures = Vec::new();
    let mut add = |name, text, is_bad| figures.push(Figure { name, text, is_bad });
    add("throughput", numbers::rate(run.throughput_per_s()), false);
    add("errors", numbers::count(errors), errors > 0);
    if let Some(memory) = measured.memory {
        let each = numbers::bytes(float(memory.per_connection_bytes()));
        add("memory a connection", each, false);
    }
    let share = numbers::percent(run.generator_share());
    add("load generator's CPU", share, run.is_generator_busy());
    figures
}

/// The latencies that are told: all kinds of one run, or the one that is meant of each of several.
pub(super) fn columns(runs: &[Named]) -> Vec<(&str, &Latencies)> {
    match runs {
        [one] => {
            let series = one.run.measured.latencies.iter();
            series
                .map(|one| (one.kind.as_str(), &one.latencies))
                .collect()
        }
        several => {
            let meant = several
                .iter()
                .map(|one| (one.name.as_str(), one.run.latencies()));
            meant
                .filter_map(|(name, latencies)| Some((name, latencies?)))
                .collect()
        }
    }
}

/// What kind of latency each of several columns is, if they are not of one.
pub(super) fn kinds(runs: &[Named]) -> Option<Vec<&str>> {
    let meant = runs
        .iter()
        .filter_map(|one| one.run.measured.latencies.last());
    let kinds: Vec<_> = meant.map(|series| series.kind.as_str()).collect();
    let are_mixed = runs.len() > 1 && kinds.iter().any(|kind| *kind != kinds[0]);
    are_mixed.then_some(kinds)
}

/// One row for each percentile and what is told beside them, with a cell for each of `columns`.
pub(super) fn rows(columns: &[(&str, &Latencies)]) -> Vec<(String, Vec<String>)> {
    let row = |title: &str, of: &dyn Fn(&Latencies) -> f64| {
        let cells = columns
            .iter()
            .map(|(_, latencies)| numbers::time(of(latencies)));
        (title.to_owned(), cells.collect())
    };
    let mut rows = vec![
        row("min", &|latencies| float(latencies.min_nanos())),
        row("mean", &Latencies::mean_nanos),
    ];
    rows.extend(PERCENTILES.map(|percent| {
        let of = move |latencies: &Latencies| float(latencies.percentile_nanos(percent));
        row(&format!("p{percent}"), &of)
    }));
    rows.push(row("max", &|latencies| float(latencies.max_nanos())));
    rows
}
