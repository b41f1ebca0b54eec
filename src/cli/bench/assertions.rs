//! What a run has to come to, as `--assert` says it: `p99<2ms`, `throughput>=50000`, `errors=0`.

use super::histogram::Latencies;
use super::numbers;
use super::run::Run;
use std::cmp::Ordering;
use std::fmt::{self, Display};
use std::str::FromStr;

/// What may be asserted, for who asked for something else.
const HELP: &str = "write a measure, <, <=, >, >= or =, and a limit: p99<2ms (any percentile: p50, p99.99), \
                    min, mean, max; throughput>50000 (a second); errors=0; memory<2KB (of a connection); \
                    of a broadcast's receivers, first.p99, median.p99 or last.p99 (which is p99)";

/// One condition.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Assertion {
    /// As it was written.
    text: String,
    measure: Measure,
    comparison: Comparison,
    /// In the unit of the measure: nanoseconds, a second, errors, bytes.
    limit: f64,
}

#[derive(Clone, Debug, PartialEq)]
enum Measure {
    /// Of a kind of latency, or of the one that is meant where none is named.
    Latency(Option<String>, Statistic),
    Throughput,
    Errors,
    Memory,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Statistic {
    Min,
    Mean,
    Max,
    Percentile(f64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Less,
    LessOrEqual,
    More,
    MoreOrEqual,
    Equal,
}

impl Comparison {
    const fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::More => ordering.is_gt(),
            Self::MoreOrEqual => ordering.is_ge(),
            Self::Equal => ordering.is_eq(),
        }
    }
}

/// What an assertion came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) holds: bool,
    /// One line: the assertion, and what was measured.
    pub(crate) line: String,
}

impl Assertion {
    /// Judges a run. What was not measured holds no assertion.
    pub(crate) fn judge(&self, run: &Run) -> Verdict {
        let measured = self.measure.of(run);
        let ordering = measured.and_then(|measured| measured.partial_cmp(&self.limit));
        let holds = ordering.is_some_and(|ordering| self.comparison.holds(ordering));
        let verb = if holds { "holds" } else { "does not hold" };
        let told = match measured {
            Some(measured) => self.measure.told(measured),
            None => "nothing of it was measured".to_owned(),
        };
        Verdict {
            holds,
            line: format!("{self} {verb}: {told}"),
        }
    }
}

impl Display for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Measure {
    fn parse(text: &str) -> Option<Self> {
        let (kind, statistic) = match text.split_once('.') {
            Some((kind @ ("first" | "median" | "last"), statistic)) => (Some(kind), statistic),
            _ => (None, text),
        };
        let statistic = match statistic {
            "min" => Statistic::Min,
            "mean" => Statistic::Mean,
            "max" => Statistic::Max,
            "throughput" if kind.is_none() => return Some(Self::Throughput),
            "errors" if kind.is_none() => return Some(Self::Errors),
            "memory" if kind.is_none() => return Some(Self::Memory),
            _ => {
                let percent = statistic.strip_prefix('p')?;
                let is_number = percent
                    .bytes()
                    .all(|byte| byte.is_ascii_digit() || byte == b'.');
                let percent = percent.parse().ok().filter(|_| is_number)?;
                Some(percent)
                    .filter(|percent| (0.0..=100.0).contains(percent))
                    .map(Statistic::Percentile)?
            }
        };
        Some(Self::Latency(kind.map(str::to_owned), statistic))
    }

    /// A limit of this measure: a time has a unit, since 2 might be anything.
    fn limit(&self, text: &str) -> Option<f64> {
        let end = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let factor = match (self, unit.trim()) {
            (Self::Latency(..), "ns")
            | (Self::Throughput, "" | "/s")
            | (Self::Errors, "")
            | (Self::Memory, "B") => 1.0,
            (Self::Latency(..), "us" | "µs")
            | (Self::Throughput, "k" | "k/s")
            | (Self::Memory, "KB") => 1e3,
            (Self::Latency(..), "ms") | (Self::Throughput, "M" | "M/s") | (Self::Memory, "MB") => {
                1e6
            }
            (Self::Latency(..), "s") => 1e9,
            (Self::Memory, "KiB") => 1024.0,
            (Self::Memory, "MiB") => 1024.0 * 1024.0,
            _ => return None,
        };
        number.parse::<f64>().ok().map(|number| number * factor)
    }

    fn of(&self, run: &Run) -> Option<f64> {
        match self {
            Self::Latency(kind, statistic) => {
                let latencies = match kind {
                    None => run.latencies(),
                    Some(kind) => {
                        let mut series = run.measured.latencies.iter();
                        // `first receiver`, for instance.
                        let found =
                            series.find(|series| series.kind.split(' ').next() == Some(kind));
                        found.map(|series| &series.latencies)
                    }
                };
                latencies
                    .filter(|latencies| latencies.count() > 0)
                    .map(|latencies| statistic.of(latencies))
            }
            Self::Throughput => Some(run.throughput_per_s()),
            Self::Errors => Some(numbers::float(run.measured.counts.errors.total())),
            Self::Memory => {
                let memory = run.measured.memory?;
                Some(numbers::float(memory.per_connection_bytes()))
            }
        }
    }

    fn told(&self, measured: f64) -> String {
        match self {
            Self::Latency(..) => format!("it is {}", numbers::time(measured)),
            Self::Throughput => format!("it is {}", numbers::rate(measured)),
            Self::Errors => format!("it is {measured:.0}"),
            Self::Memory => format!("it is {} a connection", numbers::bytes(measured)),
        }
    }
}

impl Statistic {
    fn of(self, latencies: &Latencies) -> f64 {
        match self {
            Self::Min => numbers::float(latencies.min_nanos()),
            Self::Mean => latencies.mean_nanos(),
            Self::Max => numbers::float(latencies.max_nanos()),
            Self::Percentile(percent) => numbers::float(latencies.percentile_nanos(percent)),
        }
    }
}

impl FromStr for Assertion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let at = text.find(['<', '>', '=']).ok_or(HELP)?;
        let (measure, rest) = text.split_at(at);
        let (comparison, limit) = [
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::MoreOrEqual),
            ("==", Comparison::Equal),
            ("<", Comparison::Less),
            (">", Comparison::More),
            ("=", Comparison::Equal),
        ]
        .into_iter()
        .find_map(|(sign, comparison)| Some((comparison, rest.strip_prefix(sign)?)))
        .ok_or(HELP)?;
        let (name, limit) = (measure.trim(), limit.trim());
        let measure =
            Measure::parse(name).ok_or_else(|| format!("'{name}' is not measured: {HELP}"))?;
        let limit = measure.limit(limit).ok_or_else(|| match measure {
            Measure::Latency(..) => {
                format!("'{limit}' is no time with its unit (ns, us, ms or s): {HELP}")
            }
            _ => format!("'{limit}' is no limit of {name}: {HELP}"),
        })?;
        Ok(Self {
            text: text.trim().to_owned(),
            measure,
            comparison,
            limit,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::recorder::Recorder;
    use crate::cli::bench::run::tests::echo;
    use crate::cli::bench::run::{ErrorKind, Memory};
    use std::time::Duration;

    fn judged(text: &str, run: &Run) -> Verdict {
        text.parse::<Assertion>().expect(text).judge(run)
    }

    #[test]
    fn a_run_is_judged_by_what_was_measured() {
        // 1000 a second; 100 us and a little, one in a hundred 1 ms.
        let mut run = echo();
        for (text, holds) in [
            ("p50<200us", true),
            ("p50<50us", false),
            ("p50 > 50 us", true),
            ("p98<0.2ms", true),
            ("p99.9<999us", false),
            ("p99.99<=1.01ms", true),
            ("p0>=99us", true),
            ("p100<2000000ns", true),
            ("min<99us", false),
            ("mean<0.001s", true),
            ("max>1s", false),
            ("throughput>999", true),
            ("throughput>=1000/s", true),
            ("throughput>1k", false),
            ("throughput<0.5M/s", true),
            ("errors=0", true),
            ("errors==0", true),
            ("errors<1", true),
            ("errors>0", false),
        ] {
            assert_eq!(judged(text, &run).holds, holds, "{text}");
        }
        run.measured.counts.errors.add(ErrorKind::Closed);
        assert!(!judged("errors=0", &run).holds);
        assert!(judged("errors=1", &run).holds);
    }

    #[test]
    fn a_verdict_is_one_line_with_what_was_measured() {
        let mut run = echo();
        run.measured.counts.errors.add(ErrorKind::Closed);
        for (text, line) in [
            ("p100<2ms", "p100<2ms holds: it is 1.00 ms"),
            (" max<10us ", "max<10us does not hold: it is 1.00 ms"),
            (
                "throughput>2k",
                "throughput>2k does not hold: it is 1,000/s",
            ),
            ("errors=0", "errors=0 does not hold: it is 1"),
            (
                "memory<1KB",
                "memory<1KB does not hold: nothing of it was measured",
            ),
        ] {
            assert_eq!(judged(text, &run).line, line);
        }
    }

    #[test]
    fn what_was_not_measured_holds_nothing() {
        let mut run = echo();
        for series in &mut run.measured.latencies {
            series.latencies = Latencies::new();
        }
        for text in ["p99<2ms", "max>0ns", "first.p50<1s", "memory<1MB"] {
            assert!(!judged(text, &run).holds, "{text}");
        }
        run.measured.memory = Some(Memory {
            before_bytes: 0,
            after_bytes: 10_240,
            connections: 10,
        });
        for (text, holds) in [
            ("memory<1KiB", false),
            ("memory<=1KiB", true),
            ("memory<1.1KB", true),
        ] {
            assert_eq!(judged(text, &run).holds, holds, "{text}");
        }
    }

    #[test]
    fn receivers_of_a_broadcast_are_told_apart_and_the_last_is_meant() {
        let mut run = echo();
        let mut recorder = Recorder::new(
            &["first receiver", "median receiver", "last receiver"],
            Duration::from_secs(1),
        );
        recorder.record(0, 100, &[10_000, 20_000, 90_000]);
        run.measured.latencies = recorder.finish().1;
        for text in [
            "first.p50<11us",
            "median.max>19us",
            "last.p99>80us",
            "p99>80us",
        ] {
            assert!(judged(text, &run).holds, "{text}");
        }
        assert!(!judged("p50<80us", &run).holds);
    }

    #[test]
    fn what_is_no_assertion_is_answered_with_what_one_is() {
        for text in [
            "",
            "p99",
            "p99<",
            "<2ms",
            "p99<2",
            "p99<2 parsecs",
            "p99<-2ms",
            "p99<.ms",
            "p101<2ms",
            "p-1<2ms",
            "pinf<2ms",
            "p<2ms",
            "p99<<2ms",
            "latency<2ms",
            "third.p99<2ms",
            "first.errors=0",
            "errors<1ms",
            "throughput>1ms",
            "memory<1",
        ] {
            let error = text.parse::<Assertion>().expect_err(text);
            assert!(error.contains("p99<2ms (any percentile"), "{text}: {error}");
            assert_eq!(error.lines().count(), 1, "{text}");
        }
    }
}
