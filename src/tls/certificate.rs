//! What is read in a certificate (RFC 5280): the names that it is for, and when it is valid.

use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::pki_types::CertificateDer;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};
use webpki::EndEntityCert;

/// The DNS names that a certificate is for (section 4.2.1.6), in lower case.
///
/// # Errors
///
/// It is no certificate.
pub(super) fn names(certificate: &CertificateDer<'_>) -> Result<Vec<String>, String> {
    let parsed = EndEntityCert::try_from(certificate).map_err(|error| error.to_string())?;
    let names = parsed.valid_dns_names();
    Ok(names.map(str::to_ascii_lowercase).collect())
}

/// The SHA-256 of a certificate, in hexadecimal pairs with colons between them.
pub(super) fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let suite = TLS13_AES_128_GCM_SHA256.tls13();
    let sha_256 = suite.map(|suite| suite.common.hash_provider.hash(certificate));
    let mut text = String::new();
    for byte in sha_256.iter().flat_map(AsRef::as_ref) {
        let colon = if text.is_empty() { "" } else { ":" };
        let _ = write!(text, "{colon}{byte:02X}");
    }
    text
}

/// How a time stands to the validity of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Validity {
    ToCome,
    Now,
    Over,
}

/// Whether a certificate is valid at `now` (section 4.1.2.5); `None` if it does not say so legibly.
pub(super) fn validity(certificate: &[u8], now: SystemTime) -> Option<Validity> {
    let (begin, end) = read_validity(certificate)?;
    Some(if now < begin {
        Validity::ToCome
    } else if now > end {
        Validity::Over
    } else {
        Validity::Now
    })
}

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
/// The version is `[0]`, explicit, and left out in the first one.
const VERSION: u8 = 0xA0;

fn read_validity(certificate: &[u8]) -> Option<(SystemTime, SystemTime)> {
    let (certificate, _) = expect(SEQUENCE, certificate)?;
    let (mut to_be_signed, _) = expect(SEQUENCE, certificate)?;
    if let Some((_, rest)) = expect(VERSION, to_be_signed) {
        to_be_signed = rest;
    }
    // Serial number, signature algorithm, issuer.
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        to_be_signed = expect(tag, to_be_signed)?.1;
    }
    let (validity, _) = expect(SEQUENCE, to_be_signed)?;
    let (begin, rest) = read_time(validity)?;
    let (end, _) = read_time(rest)?;
    Some((begin, end))
}

/// The content of the element at the front of `input`, if it has this tag, and what follows it.
fn expect(tag: u8, input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&[found, short], rest) = input.split_first_chunk()?;
    if found != tag {
        return None;
    }
    let (len, rest) = match short {
        ..=0x7F => (usize::from(short), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(short & 0x7F))?;
            let len = bytes
                .iter()
                .fold(0, |len, byte| len << 8 | usize::from(*byte));
            (len, rest)
        }
        _ => return None,
    };
    rest.split_at_checked(len)
}

fn read_time(input: &[u8]) -> Option<(SystemTime, &[u8])> {
    let (year, text, rest) = if let Some((text, rest)) = expect(UTC_TIME, input) {
        let (year, text) = number(text, 2)?;
        // Two digits are those of 1950 to 2049.
        (
            if year < 50 { 2000 + year } else { 1900 + year },
            text,
            rest,
        )
    } else {
        let (text, rest) = expect(GENERALIZED_TIME, input)?;
        let (year, text) = number(text, 4)?;
        (year, text, rest)
    };
    let (month, text) = number(text, 2)?;
    let (day, text) = number(text, 2)?;
    let (hour, text) = number(text, 2)?;
    let (minute, text) = number(text, 2)?;
    let (second, text) = number(text, 2)?;
    if text != b"Z" || !(1..=12).contains(&month) {
        return None;
    }
    let seconds = (days_since_1970(year, month, day) * 24 + hour) * 3600 + minute * 60 + second;
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let epoch = SystemTime::UNIX_EPOCH;
    let time = if seconds < 0 {
        epoch.checked_sub(distance)?
    } else {
        epoch.checked_add(distance)?
    };
    Some((time, rest))
}

fn number(text: &[u8], digits: usize) -> Option<(i64, &[u8])> {
    let (digits, rest) = text.split_at_checked(digits)?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits
        .iter()
        .fold(0, |number, digit| number * 10 + i64::from(digit - b'0'));
    Some((number, rest))
}

/// Of a date of the Gregorian calendar. Years begin with March, so that a leap day is their last.
const fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let leap_days = year / 4 - year / 100 + year / 400;
    // From the first of March of the year 0 on, of which 719,468 days lie before 1970.
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two times behind what stands before them in a certificate.
    fn with_validity(begin: &[u8], end: &[u8]) -> Vec<u8> {
        let element = |tag: u8, content: &[u8]| {
            let len = u8::try_from(content.len()).expect("a short element");
            [&[tag, len], content].concat()
        };
        let validity = element(SEQUENCE, &[begin, end].concat());
        let before = [&[INTEGER, 1, 7][..], &[SEQUENCE, 0], &[SEQUENCE, 0]].concat();
        element(SEQUENCE, &element(SEQUENCE, &[before, validity].concat()))
    }

    fn seconds(time: &str) -> Option<i64> {
        let tag = if time.len() == 13 {
            UTC_TIME
        } else {
            GENERALIZED_TIME
        };
        let len = u8::try_from(time.len()).expect("a short time");
        let time = [&[tag, len], time.as_bytes()].concat();
        let (begin, end) = read_validity(&with_validity(&time, &time))?;
        assert_eq!(begin, end);
        Some(match begin.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_secs()).expect("not far"),
            Err(before) => -i64::try_from(before.duration().as_secs()).expect("not far"),
        })
    }

    /// Seconds by `date -u -d ... +%s`.
    #[test]
    fn times_are_read_in_both_forms() {
        for (time, expected) in [
            ("700101000000Z", 0),
            ("000229123456Z", 951_827_696),
            ("491231235959Z", 2_524_607_999),
            ("500101000000Z", -631_152_000),
            ("20500101000000Z", 2_524_608_000),
            ("21000301000000Z", 4_107_542_400),
            ("19991231235959Z", 946_684_799),
        ] {
            assert_eq!(seconds(time), Some(expected), "{time}");
        }
        for time in [
            "701301000000Z",
            "7001010000001",
            "70010100000aZ",
            "19700101000000+",
        ] {
            assert_eq!(seconds(time), None, "{time}");
        }
    }
}
