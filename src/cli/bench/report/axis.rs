//! Axes: where on a drawing a value is, and what is written beside it.

use crate::cli::bench::numbers;

/// One axis, from `low` to `high`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    is_logarithmic: bool,
    low: f64,
    high: f64,
    pub(super) ticks: Vec<Tick>,
}

/// A line across the drawing.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick {
    /// From 0 at the low end to 1 at the high one.
    pub(super) place: f64,
    pub(super) label: String,
    /// Left out where there is little room.
    pub(super) is_minor: bool,
}

impl Axis {
    /// Times in nanoseconds, on a logarithmic scale.
    pub(super) fn of_times(values: impl Iterator<Item = f64>) -> Self {
        let positive = values.filter(|value| *value > 0.0);
        let (low, high) = positive.fold((f64::MAX, 0.0_f64), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        // Of nothing, an axis all the same.
        let (low, high) = if high > 0.0 { (low, high) } else { (1e3, 1e5) };
        let mut steps = vec![5.0 * decade(low), 2.0 * decade(low), decade(low)];
        steps.retain(|step| *step <= low);
        steps.truncate(1);
        while steps.len() < 2 || steps.last().is_some_and(|last| *last < high) {
            steps.push(next_step(
                *steps.last().expect("the first is the decade's, at least"),
            ));
        }
        let (low, high) = (steps[0], steps[steps.len() - 1]);
        if high / low > 150.0 {
            steps.retain(|step| is_decade(*step));
        }
        let label = |step: f64| micro(&numbers::round_time(step));
        Self::with_ticks(true, low, high, &steps, label, |_, step| !is_decade(step))
    }

    /// Percentiles so that each nine takes as much room as the one before it: a place is that of
    /// [`Axis::of_rank`]. Up to the last that `count` latencies tell from their maximum.
    pub(super) fn of_percentiles(count: f64) -> Self {
        let steps = [1.0, 2.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8];
        let high = count.max(10.0);
        let label = |step: f64| format!("{} %", 100.0 - 100.0 / step);
        // Of many nines, every second one has its label everywhere.
        let is_minor =
            |index: usize, step: f64| step < 10.0 || (high >= 1e5 && index.is_multiple_of(2));
        Self::with_ticks(true, 1.0, high, &steps, label, is_minor)
    }

    /// What stands for a share of all latencies on an axis of percentiles: one in how many is beyond.
    pub(super) fn of_rank(share: f64) -> f64 {
        1.0 / (1.0 - share)
    }

    /// From nothing on, in steps of 1, 2 or 5.
    pub(super) fn from_zero(high: f64, label: impl Fn(f64) -> String) -> Self {
        let high = if high > 0.0 { high } else { 1.0 };
        let step = step_for(high);
        let top = (high / step).ceil() * step;
        Self::linear(top, step, label)
    }

    /// Seconds from nothing to exactly `high`: what is beyond was not measured.
    pub(super) fn of_seconds(high: f64) -> Self {
        let high = if high > 0.0 { high } else { 1.0 };
        let label = |seconds: f64| numbers::round_time(seconds * 1e9).replace("0 ns", "0");
        Self::linear(high, step_for(high), label)
    }

    fn linear(high: f64, step: f64, label: impl Fn(f64) -> String) -> Self {
        let numbers = (0_u32..).map(|number| f64::from(number) * step);
        // The last may be off by what is lost in multiplying.
        let steps: Vec<f64> = numbers
            .take_while(|step| *step <= high * 1.000_001)
            .collect();
        Self::with_ticks(false, 0.0, high, &steps, label, |index, _| index % 2 == 1)
    }

    fn with_ticks(
        is_logarithmic: bool,
        low: f64,
        high: f64,
        steps: &[f64],
        label: impl Fn(f64) -> String,
        is_minor: impl Fn(usize, f64) -> bool,
    ) -> Self {
        let mut axis = Self {
            is_logarithmic,
            low,
            high,
            ticks: Vec::new(),
        };
        let within = steps.iter().filter(|step| **step <= high * 1.000_001);
        let ticks = within.enumerate().map(|(index, step)| Tick {
            place: axis.place(*step),
            label: label(*step),
            is_minor: is_minor(index, *step),
        });
        axis.ticks = ticks.collect();
        axis
    }

    /// Where a value is: from 0 at the low end to 1 at the high one, where what is beyond stays.
    pub(super) fn place(&self, value: f64) -> f64 {
        let place = if self.is_logarithmic {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        // Of something that is no number, the low end.
        if place > 0.0 { place.min(1.0) } else { 0.0 }
    }
}

/// The power of ten that `value` has reached.
fn decade(value: f64) -> f64 {
    10_f64.powf(value.log10().floor())
}

fn is_decade(step: f64) -> bool {
    (step / decade(step * 1.001) - 1.0).abs() < 0.01
}

/// The step behind `step`: of 1, 2, 5 and 10.
fn next_step(step: f64) -> f64 {
    let decade = decade(step * 1.001);
    let factors = [2.0, 5.0, 10.0];
    let beyond = factors
        .iter()
        .find(|factor| *factor * decade > step * 1.001);
    beyond.unwrap_or(&10.0) * decade
}

/// Five or so of these make `high`.
fn step_for(high: f64) -> f64 {
    let rough = high / 6.0;
    let factors = [1.0, 2.0, 5.0, 10.0];
    let enough = factors
        .iter()
        .find(|factor| *factor * decade(rough) >= rough);
    enough.unwrap_or(&10.0) * decade(rough)
}

/// In a page, there is a letter for it.
pub(super) fn micro(text: &str) -> String {
    text.replace(" us", " \u{b5}s")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|tick| tick.label.as_str()).collect()
    }

    #[test]
    fn times_lie_between_round_ones_on_a_logarithmic_scale() {
        let axis = Axis::of_times([85e3, 0.0, 1.3e6].into_iter());
        let told = [
            "50 \u{b5}s",
            "100 \u{b5}s",
            "200 \u{b5}s",
            "500 \u{b5}s",
            "1 ms",
            "2 ms",
        ];
        assert_eq!(labels(&axis), told);
        assert!((axis.ticks[0].place - 0.0).abs() < 1e-9);
        assert!((axis.ticks[5].place - 1.0).abs() < 1e-9);
        // The middle of a logarithmic scale is the geometric mean.
        assert!((axis.place((50e3_f64 * 2e6).sqrt()) - 0.5).abs() < 1e-9);
        let minor = axis.ticks.iter().map(|tick| tick.is_minor);
        assert!(minor.eq([true, false, true, true, false, true]));
        // Of many decades, those alone; of one value, and of none, an axis too.
        let wide = Axis::of_times([7e3, 2.5e9].into_iter());
        let told = [
            "10 \u{b5}s",
            "100 \u{b5}s",
            "1 ms",
            "10 ms",
            "100 ms",
            "1 s",
        ];
        assert_eq!(labels(&wide), told);
        assert_eq!(labels(&Axis::of_times([1e6].into_iter())), ["1 ms", "2 ms"]);
        assert!(Axis::of_times([].into_iter()).ticks.len() > 3);
    }

    #[test]
    fn each_nine_takes_as_much_room_as_the_one_before() {
        let axis = Axis::of_percentiles(10_000.0);
        assert_eq!(
            labels(&axis),
            ["0 %", "50 %", "90 %", "99 %", "99.9 %", "99.99 %"]
        );
        for (share, place) in [
            (0.0, 0.0),
            (0.9, 0.25),
            (0.99, 0.5),
            (0.9999, 1.0),
            (1.0, 1.0),
        ] {
            assert!(
                (axis.place(Axis::of_rank(share)) - place).abs() < 1e-6,
                "{share}"
            );
        }
    }

    #[test]
    fn of_many_nines_every_second_has_room_on_a_phone() {
        let labels = |count| {
            let axis = Axis::of_percentiles(count);
            let ticks = axis.ticks.into_iter().filter(|tick| !tick.is_minor);
            ticks.map(|tick| tick.label).collect::<Vec<_>>()
        };
        assert_eq!(labels(10_000.0), ["90 %", "99 %", "99.9 %", "99.99 %"]);
        assert_eq!(labels(1e6), ["99 %", "99.99 %", "99.9999 %"]);
    }

    #[test]
    fn linear_axes_have_round_steps() {
        let axis = Axis::from_zero(1234.0, |value| format!("{value}"));
        assert_eq!(labels(&axis), ["0", "500", "1000", "1500"]);
        let axis = Axis::of_seconds(2.1);
        assert_eq!(labels(&axis), ["0", "500 ms", "1 s", "1.5 s", "2 s"]);
        assert!((axis.place(2.1) - 1.0).abs() < 1e-9 && axis.ticks[4].place < 0.96);
        assert!(Axis::of_seconds(0.0).ticks.len() > 1);
    }

    #[test]
    fn what_is_beyond_stays_within() {
        let axis = Axis::of_times([1e3, 1e6].into_iter());
        let places = [0.0, -1.0, f64::NAN, 1e3, 1e99, f64::INFINITY].map(|value| axis.place(value));
        assert_eq!(
            places.map(|place| place.to_string()),
            ["0", "0", "0", "0", "1", "1"]
        );
    }
}
