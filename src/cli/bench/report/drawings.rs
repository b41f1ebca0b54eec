//! What is drawn of runs: percentiles, distribution, time line.

use super::Named;
use super::axis::{Axis, micro};
use super::chart::{Chart, Hint, Line, Shape};
use super::figures::columns;
use super::scale;
use crate::cli::bench::numbers::{self, float};
use crate::cli::bench::run::{Interval, Run};

/// All charts of these runs.
pub(super) fn charts(runs: &[Named]) -> String {
    let mut html = percentiles(runs).html();
    html.push_str(&distribution(runs).html());
    html.push_str(&time_line(runs).html());
    html.push_str(&throughput(runs).html());
    html
}

fn percentiles(runs: &[Named]) -> Chart<'static> {
    let curves = columns(runs);
    let most = curves.iter().map(|(_, latencies)| latencies.count()).max();
    let values = curves
        .iter()
        .flat_map(|(_, latencies)| [latencies.min_nanos(), latencies.max_nanos()]);
    let y = Axis::of_times(values.map(float));
    let lines = curves.iter().enumerate().map(|(color, (name, latencies))| {
        let count = float(latencies.count());
        let mut below = 0;
        let points = latencies.buckets().flat_map(|(nanos, bucket)| {
            let begin = Axis::of_rank(float(below) / count);
            below += bucket;
            // The maximum is the last of as many as there are.
            let end = Axis::of_rank(float(below) / count).min(count);
            [Some((begin, float(nanos))), Some((end, float(nanos)))]
        });
        Line {
            name: (*name).to_owned(),
            color,
            shape: Shape::Solid,
            points: points.collect(),
        }
    });
    Chart {
        title: "Latency by percentile",
        caption: "How long at most, for what share of all. Each nine takes as much room as the one \
                  before; times are on a logarithmic scale.",
        lines: lines.collect(),
        x: Axis::of_percentiles(float(most.unwrap_or(0))),
        y,
        hints: Vec::new(),
    }
}

fn distribution(runs: &[Named]) -> Chart<'static> {
    let curves = columns(runs);
    let values = curves
        .iter()
        .flat_map(|(_, latencies)| [latencies.min_nanos(), latencies.max_nanos()]);
    let x = Axis::of_times(values.map(float));
    let mut most = 0.0_f64;
    let mut lines = Vec::new();
    for (color, (name, latencies)) in curves.iter().enumerate() {
        let mut points = Vec::new();
        for bar in scale::density(latencies) {
            let percent = 100.0 * float(bar.count) / float(latencies.count());
            most = most.max(percent);
            points.push(Some((bar.lower_nanos, percent)));
            points.push(Some((bar.upper_nanos, percent)));
        }
        lines.push(Line {
            name: (*name).to_owned(),
            color,
            shape: Shape::Filled,
            points,
        });
    }
    Chart {
        title: "Distribution",
        caption: "How many took how long: the share of all in each twentieth of a decade.",
        x,
        y: Axis::from_zero(most, |percent| {
            format!("{} %", (percent * 1000.0).round() / 1000.0)
        }),
        lines,
        hints: Vec::new(),
    }
}

/// Where each interval begins and ends, in seconds.
fn intervals(run: &Run) -> impl Iterator<Item = (f64, f64, &Interval)> {
    let intervals = &run.measured.intervals;
    let length = intervals.length_s;
    let elapsed = run.measured.elapsed_s;
    intervals
        .list
        .iter()
        .enumerate()
        .map(move |(index, interval)| {
            let from = float(index as u64) * length;
            // The last ends with the run.
            (from, (from + length).min(elapsed.max(from)), interval)
        })
}

fn longest_s(runs: &[Named]) -> f64 {
    let lengths = runs.iter().map(|one| one.run.measured.elapsed_s);
    lengths.fold(0.0, f64::max)
}

/// A latency of each interval, where there is one.
fn over_time(run: &Run, of: fn(&Interval) -> u64) -> Vec<Option<(f64, f64)>> {
    let point = |(from, to, interval): (f64, f64, &Interval)| match interval.messages {
        0 => None,
        _ => Some((f64::midpoint(from, to), float(of(interval)))),
    };
    intervals(run).map(point).collect()
}

fn time_line(runs: &[Named]) -> Chart<'static> {
    let mut lines = Vec::new();
    let mut line = |name: String, color, shape, points| {
        lines.push(Line {
            name,
            color,
            shape,
            points,
        });
    };
    match runs {
        [Named { run, .. }] => {
            line(
                "maximum".to_owned(),
                1,
                Shape::Solid,
                over_time(run, |one| one.max_ns),
            );
            line(
                "p99".to_owned(),
                2,
                Shape::Solid,
                over_time(run, |one| one.p99_ns),
            );
            line(
                "p50".to_owned(),
                0,
                Shape::Solid,
                over_time(run, |one| one.p50_ns),
            );
        }
        several => {
            for (color, Named { name, run }) in several.iter().enumerate() {
                line(
                    format!("{name}, p99"),
                    color,
                    Shape::Solid,
                    over_time(run, |one| one.p99_ns),
                );
                line(
                    format!("{name}, p50"),
                    color,
                    Shape::Dashed,
                    over_time(run, |one| one.p50_ns),
                );
            }
        }
    }
    let values = lines.iter().flat_map(|line| &line.points);
    let y = Axis::of_times(values.flatten().map(|(_, nanos)| *nanos));
    Chart {
        title: "Latency over time",
        caption: "Of what was received in each interval, by when it was received.",
        x: Axis::of_seconds(longest_s(runs)),
        y,
        lines,
        hints: hints(runs),
    }
}

fn throughput(runs: &[Named]) -> Chart<'static> {
    let mut most = 0.0_f64;
    let mut lines = Vec::new();
    // Areas of several would hide each other.
    let shape = if runs.len() == 1 {
        Shape::Filled
    } else {
        Shape::Solid
    };
    for (color, Named { name, run }) in runs.iter().enumerate() {
        let what = run.asked.kind.plural();
        let name = if runs.len() == 1 { what } else { name };
        let mut points = Vec::new();
        let mut failed = Vec::new();
        for (from, to, interval) in intervals(run) {
            // Of a rest that is too short, a rate is none; of all there is, it is one.
            let is_all = run.measured.intervals.list.len() == 1 && to > from;
            if is_all || to - from > run.measured.intervals.length_s / 2.0 {
                let rate = float(interval.messages) / (to - from);
                most = most.max(rate);
                points.extend([Some((from, rate)), Some((to, rate))]);
            }
            if interval.errors > 0 {
                failed.push(Some((f64::midpoint(from, to), 0.0)));
            }
        }
        lines.push(Line {
            name: name.to_owned(),
            color,
            shape,
            points,
        });
        if !failed.is_empty() {
            lines.push(Line {
                name: format!("errors of {name}"),
                color: color + 1,
                shape: Shape::Marks,
                points: failed,
            });
        }
    }
    Chart {
        title: "Throughput over time",
        caption: "A second, in each interval.",
        x: Axis::of_seconds(longest_s(runs)),
        y: Axis::from_zero(most, |rate| match rate {
            0.0 => "0".to_owned(),
            rate => numbers::rate(rate),
        }),
        lines,
        hints: hints(runs),
    }
}

/// Of one run, what each interval was. Of several, none lies above the others.
fn hints(runs: &[Named]) -> Vec<Hint> {
    let [Named { run, .. }] = runs else {
        return Vec::new();
    };
    let time = |nanos| micro(&numbers::time(float(nanos)));
    let hint = |(from, to, interval): (f64, f64, &Interval)| Hint {
        from,
        to,
        text: format!(
            "{from:.2} s to {to:.2} s: {} {}, p50 {}, p99 {}, maximum {}, errors {}",
            numbers::count(interval.messages),
            run.asked.kind.plural(),
            time(interval.p50_ns),
            time(interval.p99_ns),
            time(interval.max_ns),
            numbers::count(interval.errors)
        ),
    };
    intervals(run).map(hint).collect()
}
