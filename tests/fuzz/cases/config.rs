//! A configuration file of any text: it is understood, or told what is wrong with it, each in a line
//! of its own with the file and the line; sizes and times are what their digits and units say.

use crate::cli::{settings, units};
use std::path::Path;

/// Longest number that is read digit by digit: with more, all that is asked is that none panics.
const MAX_DIGITS: usize = 18;

pub(crate) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    if let Err(problems) = settings::parse(text, Path::new("/no/such/folder")) {
        assert!(!problems.is_empty());
        let lines = text.lines().count() + 1;
        for problem in problems {
            let said = problem.describe(Path::new("f.toml"));
            let rest = said.strip_prefix("f.toml:").expect("the file");
            let (line, message) = rest.split_once(": ").expect("the line");
            let line: usize = line.parse().expect("the line");
            assert!((1..=lines).contains(&line) && !message.is_empty(), "{said}");
            assert!(!said.contains(char::is_control), "{said:?}");
        }
    }
    for value in text.lines().take(4) {
        let value = value
            .rsplit(['=', '"'])
            .find(|part| !part.trim().is_empty());
        let value = value.unwrap_or_default();
        if split(value).0.len() > MAX_DIGITS {
            let _ = (units::bytes(value), units::duration(value));
            continue;
        }
        let sizes = [
            ("", 1),
            ("b", 1),
            ("kb", 1000),
            ("k", 1 << 10),
            ("kib", 1 << 10),
            ("mb", 1_000_000),
            ("m", 1 << 20),
            ("mib", 1 << 20),
            ("gb", 1_000_000_000),
            ("g", 1 << 30),
            ("gib", 1 << 30),
        ];
        let bytes = naively(value, &sizes).filter(|(_, is_whole)| *is_whole);
        let bytes = bytes
            .map(|(bytes, _)| bytes)
            .filter(|bytes| *bytes <= 1 << 53);
        let read = units::bytes(value).ok().map(|bytes| bytes as u128);
        assert_eq!(read, bytes, "{value:?}");
        let times = [
            ("", 1_000_000_000),
            ("us", 1000),
            ("µs", 1000),
            ("ms", 1_000_000),
            ("s", 1_000_000_000),
            ("sec", 1_000_000_000),
            ("m", 60_000_000_000),
            ("min", 60_000_000_000),
            ("h", 3_600_000_000_000),
        ];
        let century = 100 * 365 * 24 * 3600 * 1_000_000_000;
        let nanos = naively(value, &times).map(|(nanos, _)| nanos);
        let nanos = nanos.filter(|nanos| *nanos <= century);
        let read = units::duration(value).ok().map(|time| time.as_nanos());
        assert_eq!(read, nanos, "{value:?}");
    }
}

/// A number and a unit, multiplied digit by digit; and whether nothing is left behind the point.
fn naively(value: &str, units: &[(&str, u64)]) -> Option<(u128, bool)> {
    let (number, unit) = split(value);
    let unit = unit.trim().to_ascii_lowercase();
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.len() + fraction.len() == 0 || fraction.contains('.') {
        return None;
    }
    let (mut product, mut carry) = (Vec::new(), 0);
    for digit in whole.bytes().chain(fraction.bytes()).rev() {
        let sum = u64::from(digit - b'0') * factor + carry;
        product.push(char::from_digit(u32::try_from(sum % 10).ok()?, 10)?);
        carry = sum / 10;
    }
    let product: String = product.into_iter().rev().collect();
    let (integer, rest) = product.split_at(whole.len());
    let integer = format!("{carry}{integer}").parse().ok()?;
    Some((integer, rest.chars().all(|digit| digit == '0')))
}

/// The number at the front of a value, and what is behind it.
fn split(value: &str) -> (&str, &str) {
    let value = value.trim();
    let len = value
        .bytes()
        .take_while(|byte| byte.is_ascii_digit() || *byte == b'.')
        .count();
    value.split_at(len)
}
