//! The time of a line, formatted once a second. In UTC, which no line has to be read twice for.

use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
/// The last second that can be written: of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;

/// A moment of the calendar.
#[derive(Debug)]
pub(super) struct Timestamp {
    /// Since 1970; what is formatted.
    second: Option<u64>,
    millis: u32,
    /// `06/Nov/1994:08:49:37 +0000`.
    common: [u8; 26],
    /// `1994-11-06T08:49:37`.
    iso: [u8; 19],
}

impl Default for Timestamp {
    fn default() -> Self {
        Self {
            second: None,
            millis: 0,
            common: [b' '; 26],
            iso: [b' '; 19],
        }
    }
}

impl Timestamp {
    /// It is `now`.
    pub(super) fn set(&mut self, now: SystemTime) {
        // A wrong clock must not panic.
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let second = since.as_secs().min(LAST_SECOND);
        self.millis = since.subsec_millis();
        if self.second != Some(second) {
            self.second = Some(second);
            self.format(second);
        }
    }

    fn format(&mut self, second: u64) {
        let mut date = [b' '; 29];
        let said = httpdate::HttpDate::from(UNIX_EPOCH + Duration::from_secs(second));
        let written = write!(&mut date[..], "{said}");
        debug_assert!(written.is_ok(), "an IMF-fixdate has 29 characters");
        // "Sun, 06 Nov 1994 08:49:37 GMT"
        let (day, month, year, time) = (&date[5..7], &date[8..11], &date[12..16], &date[17..25]);
        let mut common = &mut self.common[..];
        for part in [day, b"/", month, b"/", year, b":", time, b" +0000"] {
            let _ = common.write_all(part);
        }
        let number = MONTHS.iter().position(|name| name.as_bytes() == month);
        let number = format!("{:02}", number.map_or(0, |index| index + 1));
        let mut iso = &mut self.iso[..];
        for part in [year, b"-", number.as_bytes(), b"-", day, b"T", time] {
            let _ = iso.write_all(part);
        }
    }

    /// As `strftime` has it by `%d/%b/%Y:%H:%M:%S %z`.
    pub(super) const fn common(&self) -> &[u8] {
        &self.common
    }

    /// RFC 3339, with milliseconds.
    pub(super) fn put_rfc3339(&self, line: &mut Vec<u8>) {
        line.extend_from_slice(&self.iso);
        let _ = write!(line, ".{:03}Z", self.millis);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(millis: u64) -> (String, String) {
        let mut timestamp = Timestamp::default();
        timestamp.set(UNIX_EPOCH + Duration::from_millis(millis));
        let mut iso = Vec::new();
        timestamp.put_rfc3339(&mut iso);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("ASCII");
        (text(timestamp.common()), text(&iso))
    }

    /// The moment of RFC 9110 section 5.6.7, a leap day, the first and the last second; as `date -u` has
    /// them.
    #[test]
    fn a_moment_is_said_in_both_forms() {
        for (millis, common, iso) in [
            (
                784_111_777_008,
                "06/Nov/1994:08:49:37",
                "1994-11-06T08:49:37.008Z",
            ),
            (
                1_709_164_800_999,
                "29/Feb/2024:00:00:00",
                "2024-02-29T00:00:00.999Z",
            ),
            (0, "01/Jan/1970:00:00:00", "1970-01-01T00:00:00.000Z"),
            (
                LAST_SECOND * 1000,
                "31/Dec/9999:23:59:59",
                "9999-12-31T23:59:59.000Z",
            ),
            (
                LAST_SECOND * 2000,
                "31/Dec/9999:23:59:59",
                "9999-12-31T23:59:59.000Z",
            ),
        ] {
            assert_eq!(said(millis), (format!("{common} +0000"), iso.to_owned()));
        }
    }

    #[test]
    fn a_clock_that_is_set_back_is_followed() {
        let mut timestamp = Timestamp::default();
        for second in [10, 9] {
            timestamp.set(UNIX_EPOCH + Duration::from_secs(second));
            let end = format!(":{second:02} +0000");
            assert!(timestamp.common().ends_with(end.as_bytes()));
        }
        timestamp.set(UNIX_EPOCH - Duration::from_secs(1));
        assert!(timestamp.common().starts_with(b"01/Jan/1970:00:00:00"));
    }
}
