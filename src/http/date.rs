//! The `Date` of responses as IMF-fixdate (RFC 9110 section 5.6.7), formatted once a second.
//!
//! Reads no clock: it is given the time.

use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The text of the last second that was asked for.
#[derive(Debug)]
pub(crate) struct DateCache {
    /// Since 1970; what `text` says.
    second: u64,
    text: String,
}

impl DateCache {
    /// A cache that holds the date of `now`.
    pub(crate) fn new(now: SystemTime) -> Self {
        let second = whole_seconds(now);
        Self {
            second,
            text: format(second),
        }
    }

    /// `now` as in `Sun, 06 Nov 1994 08:49:37 GMT`. A clock that is set back is followed.
    pub(crate) fn at(&mut self, now: SystemTime) -> &str {
        let second = whole_seconds(now);
        if second != self.second {
            self.second = second;
            // Over the old text: not even once a second is anything allocated.
            self.text.clear();
            let date = httpdate::HttpDate::from(UNIX_EPOCH + Duration::from_secs(second));
            let _ = write!(self.text, "{date}");
        }
        &self.text
    }

    /// What it said last.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

/// The last second that `httpdate` can write: of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;

/// The seconds from 1970 to `time`, 0 for an earlier one and at most the last of the year
/// 9999: a wrong clock must not panic.
fn whole_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
        .min(LAST_SECOND)
}

fn format(second: u64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second))
}

/// Any time as IMF-fixdate, for `Last-Modified` and the like.
pub(crate) fn format_time(time: SystemTime) -> String {
    format(whole_seconds(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9110 section 5.6.7.
    const EXAMPLE: (u64, &str) = (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT");

    #[test]
    fn the_example_of_the_rfc_is_written_as_there() {
        let time = UNIX_EPOCH + Duration::from_secs(EXAMPLE.0);
        assert_eq!(DateCache::new(time).at(time), EXAMPLE.1);
        assert_eq!(format_time(time), EXAMPLE.1);
    }

    #[test]
    fn the_text_changes_with_the_second_and_not_before() {
        let time = UNIX_EPOCH + Duration::from_secs(EXAMPLE.0);
        let mut cache = DateCache::new(time);
        let first = cache.at(time).as_ptr();
        assert_eq!(
            cache.at(time + Duration::from_millis(999)).as_ptr(),
            first,
            "formatted again"
        );
        assert_eq!(
            cache.at(time + Duration::from_secs(1)),
            "Sun, 06 Nov 1994 08:49:38 GMT"
        );
        assert_eq!(cache.at(time), EXAMPLE.1, "a clock set back");
    }

    #[test]
    fn absurd_times_do_not_panic() {
        assert_eq!(
            format_time(UNIX_EPOCH - Duration::from_secs(1)),
            "Thu, 01 Jan 1970 00:00:00 GMT"
        );
        let far = UNIX_EPOCH + Duration::from_secs(LAST_SECOND + 1);
        assert_eq!(format_time(far), "Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
