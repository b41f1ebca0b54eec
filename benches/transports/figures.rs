//! What was measured, in tables.

#![expect(clippy::cast_precision_loss, reason = "figures to be read")]

use std::time::Duration;

/// What some units of work took.
#[derive(Clone, Copy)]
pub(crate) struct Measured {
    pub(crate) count: usize,
    /// By the wall clock.
    pub(crate) elapsed: Duration,
    /// The server's.
    pub(crate) processor: Duration,
    /// System calls of the server, if they were counted.
    pub(crate) calls: Option<u64>,
}

impl Measured {
    /// Processor time of the server for a unit, in microseconds.
    fn each(&self) -> f64 {
        self.processor.as_secs_f64() * 1e6 / self.count as f64
    }

    /// System calls of the server for a unit.
    fn calls_each(&self) -> Option<f64> {
        self.calls.map(|calls| calls as f64 / self.count as f64)
    }

    fn per_second(&self) -> f64 {
        self.count as f64 / self.elapsed.as_secs_f64()
    }

    /// How much of the time the server was at work.
    fn busy(&self) -> f64 {
        self.processor.as_secs_f64() / self.elapsed.as_secs_f64()
    }
}

/// Measures each kind once a round; every other round goes through them backwards.
pub(crate) fn alternate<K>(
    kinds: &[K],
    rounds: usize,
    mut measure: impl FnMut(&K) -> Measured,
) -> Vec<Vec<Measured>> {
    let mut all = vec![Vec::with_capacity(rounds); kinds.len()];
    for round in 0..rounds {
        let order: Vec<usize> = if round % 2 == 0 {
            (0..kinds.len()).collect()
        } else {
            (0..kinds.len()).rev().collect()
        };
        for index in order {
            all[index].push(measure(&kinds[index]));
        }
    }
    all
}

/// Least, lower quartile, median, upper quartile.
pub(crate) fn quartiles(values: impl Iterator<Item = f64>) -> [f64; 4] {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let at = |quarter: usize| {
        // Between the two values on either side of that place, in proportion.
        let place = (values.len() - 1) * quarter;
        let (index, part) = (place / 4, (place % 4) as f64 / 4.0);
        let next = values[(index + 1).min(values.len() - 1)];
        values[index] + part * (next - values[index])
    };
    [at(0), at(1), at(2), at(3)]
}

/// A table in Markdown, with a row for each kind. The ratios are to the first kind's of the same
/// round.
pub(crate) fn print(title: &str, unit: &str, units: &str, rows: &[(&str, Vec<Measured>)]) {
    println!("\n### {title}\n");
    if rows[0].1[0].calls.is_some() {
        println!("| kind | system calls a {unit}: median (quartiles) |\n|---|---|");
        for (name, rounds) in rows {
            let calls = rounds.iter().filter_map(Measured::calls_each);
            let [_, low, median, high] = quartiles(calls);
            println!("| {name} | {median:.3} ({low:.3}–{high:.3}) |");
        }
        return;
    }
    println!(
        "| kind | CPU µs a {unit}: best | median (quartiles) | ÷ first, median | {units} a second | server busy % |"
    );
    println!("|---|---|---|---|---|---|");
    let first = &rows[0].1;
    for (name, rounds) in rows {
        let [best, low, median, high] = quartiles(rounds.iter().map(Measured::each));
        let ratios = rounds.iter().zip(first).map(|(a, b)| a.each() / b.each());
        let [_, _, ratio, _] = quartiles(ratios);
        let [_, _, rate, _] = quartiles(rounds.iter().map(Measured::per_second));
        let [_, _, busy, _] = quartiles(rounds.iter().map(Measured::busy));
        println!(
            "| {name} | {} | {} ({}–{}) | {ratio:.2} | {} | {:.0} |",
            figure(best),
            figure(median),
            figure(low),
            figure(high),
            thousands(rate),
            100.0 * busy
        );
    }
}

/// Three digits that count.
fn figure(value: f64) -> String {
    match value {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// A whole number, with its thousands apart.
pub(crate) fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut apart = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            apart.push(',');
        }
        apart.push(digit);
    }
    apart
}

/// The machine and what was built.
pub(crate) fn print_machine() {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("?", |value| value.trim_start_matches([' ', '\t', ':']));
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    println!(
        "{processors} × {model}, Linux {}; load {}",
        read("/proc/sys/kernel/osrelease").trim(),
        read("/proc/loadavg").trim()
    );
    let lock = include_str!("../../Cargo.lock");
    let version = |package: &str| {
        let name = format!("name = \"{package}\"\nversion = \"");
        let after = lock.split(&name).nth(1).unwrap_or("?\"");
        after.split('"').next().unwrap_or("?").to_owned()
    };
    println!(
        "aerys {}, mio {}, rustls {}, ring {}",
        env!("CARGO_PKG_VERSION"),
        version("mio"),
        version("rustls"),
        version("ring")
    );
}
