//! The `Date` of responses as IMF-fixdate (RFC 9110 section 5.6.7), formatted once a second.
//!
//! Reads no clock: it is given the time.

use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A whole field line. All are of this length: to copy one takes three instructions.
pub(crate) type DateLine = [u8; 37];

/// The line of the last second that was asked for.
#[derive(Debug)]
pub(crate) struct DateCache {
    /// Since 1970; what `line` says.
    second: u64,
    line: DateLine,
}

impl DateCache {
    /// A cache that holds the date of `now`.
    pub(crate) fn new(now: SystemTime) -> Self {
        let second = whole_seconds(now);
        Self {
            second,
            line: line(second),
        }
    }

    /// `now` as in `Date: Sun, 06 Nov 1994 08:49:37 GMT`, with the line end. A clock that is set
    /// back is followed.
    pub(crate) fn at(&mut self, now: SystemTime) -> &DateLine {
        let second = whole_seconds(now);
        if second != self.second {
            self.second = second;
            self.line = line(second);
        }
        &self.line
    }

    /// What it said last.
    pub(crate) const fn line(&self) -> &DateLine {
        &self.line
    }
}

/// The line of a second. Not even once a second is anything allocated.
fn line(second: u64) -> DateLine {
    let mut line = *b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n";
    let date = httpdate::HttpDate::from(UNIX_EPOCH + Duration::from_secs(second));
    let written = write!(&mut line[6..35], "{date}");
    debug_assert!(written.is_ok(), "an IMF-fixdate has 29 characters");
    line
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

    /// The date that a whole line says.
    fn text(line: &DateLine) -> String {
        let line = String::from_utf8(line.to_vec()).unwrap();
        let date = line.strip_prefix("Date: ").unwrap();
        date.strip_suffix("\r\n").unwrap().to_owned()
    }

    #[test]
    fn the_example_of_the_rfc_is_written_as_there() {
        let time = UNIX_EPOCH + Duration::from_secs(EXAMPLE.0);
        assert_eq!(text(DateCache::new(time).at(time)), EXAMPLE.1);
        assert_eq!(format_time(time), EXAMPLE.1);
    }

    #[test]
    fn the_text_changes_with_the_second_and_not_before() {
        let time = UNIX_EPOCH + Duration::from_secs(EXAMPLE.0);
        let mut cache = DateCache::new(time);
        assert_eq!(text(cache.at(time + Duration::from_millis(999))), EXAMPLE.1);
        assert_eq!(
            text(cache.at(time + Duration::from_secs(1))),
            "Sun, 06 Nov 1994 08:49:38 GMT"
        );
        assert_eq!(text(cache.line()), "Sun, 06 Nov 1994 08:49:38 GMT");
        assert_eq!(text(cache.at(time)), EXAMPLE.1, "a clock set back");
    }

    #[test]
    fn the_line_of_any_second_is_whole() {
        for second in [0, 1, 951_782_400, EXAMPLE.0, LAST_SECOND - 1, LAST_SECOND] {
            assert_eq!(text(&line(second)), format(second));
        }
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
