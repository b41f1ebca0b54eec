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
