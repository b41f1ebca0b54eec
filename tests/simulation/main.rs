//! The whole server over simulated sockets: seeded clients of every kind, faults of every kind, and what
//! must hold whatever happens. See `docs/simulation.md`.
//!
//! ```text
//! cargo test --test simulation                                             # a few seeds
//! FOR_SECONDS=60 JOBS=2 cargo test --profile simulation --test simulation -- --ignored --nocapture
//! SEED=17 cargo test --profile simulation --test simulation -- --ignored --nocapture
//! ```

mod accounts;
mod application;
#[cfg(feature = "http2")]
mod by_hand;
mod chance;
mod found;
mod frames;
mod http1;
mod http2;
mod member;
mod model;
mod play;
mod player;
mod reloads;
mod run;
mod scenario;
mod talk;

use application::Folder;
use play::play;

/// Seeds that each run of the tests plays.
const SEEDS: u64 = 8;

#[test]
fn whatever_clients_and_networks_do_each_has_what_it_is_to_have_and_nothing_is_left() {
    let folder = Folder::new("few");
    for seed in 0..SEEDS {
        run::play_loudly(seed, Some(8), &folder).expect("it is right");
    }
}

#[test]
fn a_seed_comes_to_the_same_each_time() {
    let folder = Folder::new("same");
    let play = |seed| play(seed, Some(10), &folder);
    let outcomes: Vec<_> = (100..102).map(play).collect();
    let again: Vec<_> = (100..102).map(play).collect();
    assert_eq!(outcomes, again);
    assert!(outcomes[0].trace != outcomes[1].trace);
    assert!(outcomes.iter().all(|outcome| outcome.messages > 0));
}

/// See `docs/simulation.md`: `FOR_SECONDS`, `SEED`, `CLIENTS` and `JOBS` say how long, from where, how many,
/// and on how many processors.
#[test]
#[ignore = "as long as is asked for"]
fn as_long_as_is_asked_for() {
    run::run();
}
