//! Many seeds, one after the other, on as many processors as are asked for; what came of them.

use crate::application::Folder;
use crate::play::{Outcome, TURN, play};
use aerys::internals::Fault;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How many seeds are played if nobody says for how long.
const FEW: u64 = 100;

/// All seeds together.
#[derive(Default)]
struct Tally {
    seeds: u64,
    failed: Vec<u64>,
    sum: Outcome,
}

impl Tally {
    fn add(&mut self, outcome: &Outcome) {
        self.seeds += 1;
        self.sum.turns += outcome.turns;
        self.sum.clients += outcome.clients;
        self.sum.messages += outcome.messages;
        self.sum.bytes += outcome.bytes;
        self.sum.faults.resize(Fault::ALL.len(), 0);
        for (sum, count) in self.sum.faults.iter_mut().zip(&outcome.faults) {
            *sum += count;
        }
    }

    fn print(&self, seconds: f64) {
        let Outcome {
            turns,
            clients,
            messages,
            bytes,
            ..
        } = self.sum;
        println!(
            "{} seeds in {seconds:.0} s: {turns} turns, {clients} clients, {messages} messages \
             with {bytes} bytes",
            self.seeds
        );
        for (fault, count) in Fault::ALL.iter().zip(&self.sum.faults) {
            println!("{count:>12} {}", fault.name());
        }
        println!("failed: {:?}", self.failed);
    }
}

/// Plays a seed; what went wrong is said, with where, and how to see it again.
pub(crate) fn play_loudly(
    seed: u64,
    clients: Option<usize>,
    folder: &Folder,
) -> Result<Outcome, ()> {
    catch_unwind(AssertUnwindSafe(|| play(seed, clients, folder))).map_err(|_| {
        let clients = clients.map_or(String::new(), |clients| format!("CLIENTS={clients} "));
        eprintln!(
            "seed {seed} failed in turn {}; again: SEED={seed} {clients}cargo test \
             --profile simulation --test simulation -- --ignored --nocapture",
            TURN.get()
        );
    })
}

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name}={value} is no number")),
    )
}

/// See `main.rs`.
pub(crate) fn run() {
    let (seconds, seed) = (number("FOR_SECONDS"), number("SEED"));
    let clients = number("CLIENTS").map(|count| usize::try_from(count).expect("a few"));
    let first = seed.unwrap_or(0);
    let last = match (seconds, seed) {
        (Some(_), _) => u64::MAX,
        (None, Some(seed)) => seed,
        (None, None) => FEW - 1,
    };
    let began = Instant::now();
    let until = seconds.map(|seconds| began + Duration::from_secs(seconds));
    let next = AtomicU64::new(first);
    let tally = Mutex::new(Tally::default());
    let folder = Folder::new("long");
    std::thread::scope(|scope| {
        for _ in 0..number("JOBS").unwrap_or(1) {
            scope.spawn(|| {
                while until.is_none_or(|until| Instant::now() < until) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > last {
                        break;
                    }
                    let outcome = play_loudly(seed, clients, &folder);
                    let mut tally = tally.lock().expect("nobody panics with it");
                    if let Ok(outcome) = outcome {
                        tally.add(&outcome);
                    } else {
                        tally.failed.push(seed);
                    }
                }
            });
        }
    });
    let tally = tally.into_inner().expect("nobody panicked with it");
    tally.print(began.elapsed().as_secs_f64());
    let failed = tally.failed;
    assert!(failed.is_empty(), "seeds that failed: {failed:?}");
}
