//! How fast a request body has to come, whatever carries it.

use crate::config::Config;
use std::time::Duration;

/// How long a body may have taken when so much of it is there: a grace, then a least rate
/// over the whole time.
pub(crate) fn body_timeout(received_bytes: u64, config: &Config) -> Duration {
    // Without a least rate nothing can fall below it.
    let Some(millis) = received_bytes
        .saturating_mul(1000)
        .checked_div(config.min_body_bytes_per_second as u64)
    else {
        return Duration::MAX;
    };
    Duration::from_millis(millis).max(config.body_grace)
}
