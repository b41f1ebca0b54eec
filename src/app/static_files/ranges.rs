//! Parts of a file (RFC 9110 section 14): which ones a request asks for, and how several are sent
//! as one body.
//!
//! Pure: what is asked of a file of so many bytes. Whether ranges count at all, `If-Range` says
//! (`validators.rs`).

use std::ops::Range;

/// Ranges in one request beyond which it is answered with the whole file: section 14.2 lets a
/// server do so for many small ones, which cost it more than the file.
const MAX_COUNT: usize = 16;

/// What a `Range` field asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// The whole file: it is malformed, of another unit, of too many ranges, or not there.
    Whole,
    /// At least one part, none empty, and all together no longer than the file, in the order of the
    /// request if they can be.
    Parts(Vec<Range<u64>>),
    /// Parts, of which the file has none: 416.
    Nothing,
}

/// Reads the values of a request's `Range` fields, for a file of `len` bytes.
pub(super) fn asked<'h>(mut values: impl Iterator<Item = &'h [u8]>, len: u64) -> Asked {
    let (Some(value), None) = (values.next(), values.next()) else {
        return Asked::Whole;
    };
    parse(value, len).unwrap_or(Asked::Whole)
}

/// `None` if it is malformed or of another unit.
fn parse(value: &[u8], len: u64) -> Option<Asked> {
    let equals = value.iter().position(|byte| *byte == b'=')?;
    if !value[..equals].eq_ignore_ascii_case(b"bytes") {
        return None;
    }
    let (mut parts, mut count) = (Vec::new(), 0);
    for spec in value[equals + 1..].split(|byte| *byte == b',') {
        let spec = spec.trim_ascii();
        if spec.is_empty() {
            continue; // lists may have empty elements (section 5.6.1)
        }
        count += 1;
        let dash = spec.iter().position(|byte| *byte == b'-')?;
        let (first, last) = (number(&spec[..dash]).ok()?, number(&spec[dash + 1..]).ok()?);
        let part = match (first, last) {
            (None, None) => return None,
            (None, Some(suffix)) => len.saturating_sub(suffix)..len,
            (Some(first), None) => first..len,
            (Some(first), Some(last)) if last < first => return None,
            (Some(first), Some(last)) => first..last.saturating_add(1).min(len),
        };
        if !part.is_empty() {
            parts.push(part);
        }
    }
    Some(match count {
        0 => return None,
        _ if count > MAX_COUNT => Asked::Whole,
        _ if parts.is_empty() => Asked::Nothing,
        _ => Asked::Parts(bounded(parts, len)),
    })
}

/// What is no number.
struct NotANumber;

/// A decimal number, or none at all. What is beyond all files counts as the greatest.
fn number(digits: &[u8]) -> Result<Option<u64>, NotANumber> {
    let mut value = 0_u64;
    for digit in digits {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10);
        let digit = digit.ok_or(NotANumber)?;
        value = value.saturating_mul(10).saturating_add(digit.into());
    }
    Ok((!digits.is_empty()).then_some(value))
}

/// The parts as they were asked for, unless that is more than the file: then bytes are asked for
/// several times, which means harm (section 14.2), and parts that overlap are joined.
fn bounded(mut parts: Vec<Range<u64>>, len: u64) -> Vec<Range<u64>> {
    let lens = parts.iter().map(|part| part.end - part.start);
    let total = lens.fold(0, u64::saturating_add);
    if total <= len {
        return parts;
    }
    parts.sort_unstable_by_key(|part| part.start);
    let mut joined: Vec<Range<u64>> = Vec::new();
    for part in parts {
        match joined.last_mut() {
            Some(last) if part.start <= last.end => last.end = last.end.max(part.end),
            _ => joined.push(part),
        }
    }
    joined
}

/// `Content-Range` of one part (section 14.4).
pub(super) fn content_range(part: &Range<u64>, len: u64) -> String {
    format!("bytes {}-{}/{len}", part.start, part.end - 1)
}

/// `Content-Range` of a 416.
pub(super) fn unsatisfied(len: u64) -> String {
    format!("bytes */{len}")
}

/// The lines in front of each part of a `multipart/byteranges`, and those behind the last (section
/// 14.6).
pub(super) fn delimiters(
    parts: &[Range<u64>],
    len: u64,
    content_type: &str,
    boundary: &str,
) -> (Vec<String>, String) {
    let before = parts.iter().map(|part| {
        let content_range = content_range(part, len);
        format!(
            "\r\n--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: {content_range}\r\n\r\n"
        )
    });
    (before.collect(), format!("\r\n--{boundary}--\r\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &str, len: u64) -> Asked {
        asked(std::iter::once(value.as_bytes()), len)
    }

    fn parts<const N: usize>(parts: [(u64, u64); N]) -> Asked {
        Asked::Parts(parts.map(|(start, end)| start..end).to_vec())
    }

    /// RFC 9110 section 14.1.2, on its representation of 10,000 bytes.
    #[test]
    fn the_examples_of_the_rfc_are_read_as_it_says() {
        let cases = [
            ("bytes=0-499", parts([(0, 500)])),
            ("bytes=500-999", parts([(500, 1000)])),
            ("bytes=-500", parts([(9500, 10_000)])),
            ("bytes=9500-", parts([(9500, 10_000)])),
            ("bytes=0-0,-1", parts([(0, 1), (9999, 10_000)])),
            (
                "bytes= 0-999, 4500-5499, -1000",
                parts([(0, 1000), (4500, 5500), (9000, 10_000)]),
            ),
            ("bytes=500-600,601-999", parts([(500, 601), (601, 1000)])),
            // Its third way to say the second five hundred overlaps.
            ("bytes=500-700,601-999", parts([(500, 701), (601, 1000)])),
        ];
        for (value, expected) in cases {
            assert_eq!(of(value, 10_000), expected, "{value}");
        }
    }

    #[test]
    fn ends_are_clamped_and_what_lies_beyond_is_left_out() {
        let cases = [
            ("bytes=90-200", parts([(90, 100)])),
            ("bytes=-200", parts([(0, 100)])),
            ("bytes=99-", parts([(99, 100)])),
            ("bytes=0-18446744073709551615", parts([(0, 100)])),
            ("bytes=0-99999999999999999999999", parts([(0, 100)])),
            ("bytes=100-,5-6", parts([(5, 7)])),
            ("bytes=100-", Asked::Nothing),
            ("bytes=100-100", Asked::Nothing),
            ("bytes=99999999999999999999999-", Asked::Nothing),
            ("bytes=-0", Asked::Nothing),
            ("bytes=-0,200-", Asked::Nothing),
            ("BYTES=1-1, ,", parts([(1, 2)])),
        ];
        for (value, expected) in cases {
            assert_eq!(of(value, 100), expected, "{value}");
        }
        assert_eq!(of("bytes=0-", 0), Asked::Nothing);
    }

    #[test]
    fn what_is_malformed_or_of_another_unit_asks_for_the_whole() {
        for value in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=1",
            "bytes=-",
            "bytes=2-1",
            "bytes=a-b",
            "bytes=1-2-3",
            "bytes=1--2",
            "bytes=0x1-2",
            "bytes=1 -2",
            "bytes =1-2",
            "items=0-1",
            "bytes=0-1;2-3",
            "bytes=+1-2",
            "0-1",
            "bytes=0-1,x",
        ] {
            assert_eq!(of(value, 100), Asked::Whole, "{value}");
        }
        let twice = [&b"bytes=0-1"[..], b"bytes=2-3"];
        assert_eq!(asked(twice.into_iter(), 100), Asked::Whole);
        assert_eq!(asked(std::iter::empty(), 100), Asked::Whole);
    }

    #[test]
    fn many_ranges_ask_for_the_whole_and_together_they_are_never_longer_than_it() {
        let many = |count| format!("bytes={}", vec!["0-0"; count].join(","));
        assert_eq!(of(&many(MAX_COUNT), 100), parts([(0, 1); MAX_COUNT]));
        assert_eq!(of(&many(MAX_COUNT), 15), parts([(0, 1)]));
        assert_eq!(of(&many(MAX_COUNT + 1), 100), Asked::Whole);
        let overlapping = "bytes=50-60,0-9,5-20";
        assert_eq!(of(overlapping, 100), parts([(50, 61), (0, 10), (5, 21)]));
        // 77 bytes in all.
        let overlapping = "bytes=50-60,0-49,5-20";
        assert_eq!(of(overlapping, 76), parts([(0, 61)]));
        assert_eq!(of(overlapping, 77), parts([(50, 61), (0, 50), (5, 21)]));
        assert_eq!(of("bytes=50-60,0-9", 100), parts([(50, 61), (0, 10)]));
        assert_eq!(of("bytes=0-,0-,0-", 100), parts([(0, 100)]));
    }
}
