//! What a server counts of itself, and how it is told.
//!
//! `counts.rs` is what the loop adds to, `turn_times.rs` a histogram, `snapshot.rs` all of it at one
//! moment, `metrics.rs` the table by which that becomes text for Prometheus and JSON, and `state.rs` what
//! of it is logged. None of them
//! knows a client; who gathers it all is [`Stats`](crate::Stats), in `app/stats.rs`.

mod counts;
mod metrics;
mod snapshot;
mod state;
mod turn_times;

pub(crate) use counts::{CLOSE_CODES, Counts, Limit};
pub use snapshot::{EndpointClients, SlowClient, Snapshot};
pub(crate) use state::lines as state_lines;
pub use turn_times::TurnTimes;
