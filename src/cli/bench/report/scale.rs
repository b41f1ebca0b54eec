//! Steps of scales, for what is drawn.

use crate::cli::bench::histogram::Latencies;
use crate::cli::bench::numbers::float;

/// Those that a report tells.
pub(super) const PERCENTILES: [f64; 6] = [50.0, 75.0, 90.0, 99.0, 99.9, 99.99];

/// How many latencies are in a step of a logarithmic scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Step {
    /// In nanoseconds; the step before ends where this one begins.
    pub(super) upper_nanos: f64,
    pub(super) count: u64,
}

/// Steps within a decade, from fine to coarse: each is used where it needs rows few enough.
const DIVISIONS: [&[f64]; 4] = [
    &[1.0, 1.25, 1.6, 2.0, 2.5, 3.2, 4.0, 5.0, 6.3, 8.0],
    &[1.0, 1.6, 2.5, 4.0, 6.3],
    &[1.0, 2.0, 5.0],
    &[1.0],
];

/// Latencies by steps of a logarithmic scale, at most `most` of them, from the first to the last that is
/// not empty. None if there are no latencies.
pub(super) fn distribution(latencies: &Latencies, most: usize) -> Vec<Step> {
    if latencies.count() == 0 {
        return Vec::new();
    }
    let mut steps = Vec::new();
    for division in DIVISIONS {
        steps = divided(latencies, division);
        if steps.len() <= most {
            break;
        }
    }
    steps
}

fn divided(latencies: &Latencies, division: &[f64]) -> Vec<Step> {
    let mut uppers =
        (0..).flat_map(|decade| division.iter().map(move |step| step * 10_f64.powi(decade)));
    let mut steps: Vec<Step> = Vec::new();
    let mut upper_nanos = 0.0;
    for (nanos, count) in latencies.buckets() {
        while float(nanos) > upper_nanos {
            upper_nanos = uppers.next().expect("a scale does not end");
            // Nothing is drawn before the first.
            if !steps.is_empty() || float(nanos) <= upper_nanos {
                steps.push(Step {
                    upper_nanos,
                    count: 0,
                });
            }
        }
        if let Some(step) = steps.last_mut() {
            step.count += count;
        }
    }
    steps
}

/// How many latencies are in a twentieth of a decade.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bar {
    pub(super) lower_nanos: f64,
    pub(super) upper_nanos: f64,
    pub(super) count: u64,
}

/// Latencies by twentieths of decades, from the first to the last that is not empty.
pub(super) fn density(latencies: &Latencies) -> Vec<Bar> {
    let edge = |index: i32| 10_f64.powf(f64::from(index) / 20.0);
    let mut bars: Vec<Bar> = Vec::new();
    let mut index = 0;
    for (nanos, count) in latencies.buckets() {
        let nanos = float(nanos);
        while edge(index + 1) < nanos {
            index += 1;
            if !bars.is_empty() {
                bars.push(bar(edge(index), edge(index + 1)));
            }
        }
        if bars.is_empty() {
            bars.push(bar(edge(index), edge(index + 1)));
        }
        if let Some(last) = bars.last_mut() {
            last.count += count;
        }
    }
    bars
}

const fn bar(lower_nanos: f64, upper_nanos: f64) -> Bar {
    Bar {
        lower_nanos,
        upper_nanos,
        count: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(nanos: &[u64]) -> Latencies {
        let mut latencies = Latencies::new();
        for nanos in nanos {
            latencies.record(*nanos);
        }
        latencies
    }

    #[test]
    fn a_distribution_has_few_rows_and_loses_nothing() {
        let near = of(&[85_000, 90_000, 99_000, 101_000, 130_000]);
        let rows = distribution(&near, 16);
        let told: Vec<_> = rows
            .iter()
            .map(|row| (row.upper_nanos / 1e3, row.count))
            .collect();
        assert_eq!(told, [(100.0, 3), (125.0, 1), (160.0, 1)]);
        // Over five decades the steps are coarser, and what is empty between is there.
        let wide = of(&[10_000, 10_500, 1_100_000_000]);
        let rows = distribution(&wide, 16);
        let told: Vec<_> = rows
            .iter()
            .map(|row| (row.upper_nanos / 1e3, row.count))
            .collect();
        assert_eq!((told.len(), told[0], told[15]), (16, (20.0, 2), (2e6, 1)));
        assert!(told[1..15].iter().all(|(_, count)| *count == 0));
        assert!(told.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert_eq!(distribution(&Latencies::new(), 16), []);
    }

    #[test]
    fn a_density_has_bars_side_by_side_and_loses_nothing() {
        let latencies = of(&[1, 85_000, 90_000, 2_000_000]);
        let bars = density(&latencies);
        assert_eq!(bars.iter().map(|bar| bar.count).sum::<u64>(), 4);
        assert!(
            bars.windows(2)
                .all(|pair| (pair[0].upper_nanos - pair[1].lower_nanos).abs() < 1e-6)
        );
        let holds = |nanos: f64| {
            let within = |bar: &&Bar| bar.lower_nanos < nanos && nanos <= bar.upper_nanos;
            bars.iter().find(within).map(|bar| bar.count)
        };
        assert_eq!([holds(85e3), holds(200e3)], [Some(1), Some(0)]);
        assert_eq!(density(&Latencies::new()), []);
    }
}
