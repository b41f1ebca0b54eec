//! Numbers as people read them: three digits, and the unit that keeps them short.

/// A time in nanoseconds: `85.3 us`, `1.20 ms`.
pub(crate) fn time(nanos: f64) -> String {
    scaled(nanos, &["ns", "us", "ms", "s"])
}

/// A time that somebody asked for: `10 s`, `1.5 s`.
pub(crate) fn round_time(nanos: f64) -> String {
    let time = time(nanos);
    match time.split_once(' ') {
        Some((number, unit)) if number.contains('.') => {
            let number = number.trim_end_matches('0').trim_end_matches('.');
            format!("{number} {unit}")
        }
        _ => time,
    }
}

/// A number of bytes: `64 B`, `1.20 KB`. Each unit is a thousand of the one before.
pub(crate) fn bytes(bytes: f64) -> String {
    scaled(bytes, &["B", "KB", "MB", "GB", "TB"])
}

/// So many a second: `1,234/s`, `12.3/s`.
pub(crate) fn rate(per_s: f64) -> String {
    if per_s >= 100.0 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "positive, and beyond that range it saturates"
        )]
        let whole = per_s.round() as u64;
        format!("{}/s", count(whole))
    } else {
        format!("{}/s", three_digits(per_s))
    }
}

/// With commas between thousands.
pub(crate) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A share of 1, in percent.
pub(crate) fn percent(share: f64) -> String {
    match share * 100.0 {
        // Not nothing, which is what would be written.
        percent if percent > 0.0 && percent < 0.01 => "<0.01 %".to_owned(),
        percent => format!("{} %", three_digits(percent)),
    }
}

/// As a number to reckon with: what is counted here is far below 2^53.
#[expect(clippy::cast_precision_loss, reason = "to be read, to three digits")]
pub(crate) const fn float(count: u64) -> f64 {
    count as f64
}

/// In the first of `units`, each a thousand of the one before, that leaves less than a thousand.
fn scaled(value: f64, units: &[&str]) -> String {
    let mut value = value;
    let (last, others) = units.split_last().expect("there are units");
    for (index, unit) in others.iter().enumerate() {
        // 999.6 would be written as 1000.
        if value < 999.5 {
            // The smallest unit has no parts: they are not measured.
            return match index {
                0 => format!("{value:.0} {unit}"),
                _ => format!("{} {unit}", three_digits(value)),
            };
        }
        value /= 1000.0;
    }
    format!("{} {last}", three_digits(value))
}

fn three_digits(value: f64) -> String {
    match value.abs() {
        // What is rounded up has a digit more, and one behind the point less.
        0.0..9.995 => format!("{value:.2}"),
        9.995..99.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_and_a_unit() {
        for (nanos, text) in [
            (0.0, "0 ns"),
            (999.0, "999 ns"),
            (999.9, "1.00 us"),
            (1234.0, "1.23 us"),
            (9996.0, "10.0 us"),
            (85_349.0, "85.3 us"),
            (99_960.0, "100 us"),
            (999_600.0, "1.00 ms"),
            (2e9, "2.00 s"),
            (3.6e12, "3600 s"),
        ] {
            assert_eq!(time(nanos), text, "{nanos}");
        }
        assert_eq!([bytes(64.0), bytes(1.5e6)], ["64 B", "1.50 MB"]);
        assert_eq!(
            [0.0, 0.000_09, 0.375, 1.0].map(percent),
            ["0.00 %", "<0.01 %", "37.5 %", "100 %"]
        );
    }

    #[test]
    fn a_round_time_has_no_empty_digits() {
        let texts = [1e10, 1.5e9, 1e5, 5e4, 0.0, 1.05e6].map(round_time);
        assert_eq!(
            texts,
            ["10 s", "1.5 s", "100 us", "50 us", "0 ns", "1.05 ms"]
        );
    }

    #[test]
    fn thousands_are_told_apart() {
        let texts = [0, 999, 1000, 123_456, 1_234_567].map(count);
        assert_eq!(texts, ["0", "999", "1,000", "123,456", "1,234,567"]);
        let rates = [0.5, 99.94, 1234.4, 1e6].map(rate);
        assert_eq!(rates, ["0.50/s", "99.9/s", "1,234/s", "1,000,000/s"]);
    }
}
