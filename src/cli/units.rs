//! Values of flags as people write them: `30s`, `1.5m`, `64KiB`, or a bare number.

use std::time::Duration;

/// Splits a value into its number and its unit.
fn split(value: &str) -> Result<(f64, String), String> {
    let value = value.trim();
    let end = value
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(value.len());
    let (number, unit) = value.split_at(end);
    let number: f64 = number
        .parse()
        .map_err(|_| format!("'{value}' does not begin with a number"))?;
    Ok((number, unit.trim().to_ascii_lowercase()))
}

/// A number of bytes; without a unit, bytes.
pub(crate) fn bytes(value: &str) -> Result<usize, String> {
    let (number, unit) = split(value)?;
    let factor = match unit.as_str() {
        "" | "b" => 1.0,
        "kb" => 1e3,
        "k" | "kib" => 1024.0,
        "mb" => 1e6,
        "m" | "mib" => 1024.0 * 1024.0,
        "gb" => 1e9,
        "g" | "gib" => 1024.0 * 1024.0 * 1024.0,
        unit => {
            return Err(format!(
                "'{unit}' is no unit of size; use B, KiB, MiB, GiB, KB, MB or GB"
            ));
        }
    };
    let bytes = number * factor;
    // 2^53: up to here every whole number is one.
    if bytes.fract() != 0.0 || bytes > 9_007_199_254_740_992.0 {
        return Err(format!("'{value}' is no whole number of bytes"));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole, and no sign is parsed"
    )]
    let bytes = bytes as usize;
    Ok(bytes)
}

/// A length of time; without a unit, seconds.
pub(crate) fn duration(value: &str) -> Result<Duration, String> {
    time(value, "s")
}

/// A short length of time; without a unit, microseconds. `off` is none.
pub(crate) fn micros_or_off(value: &str) -> Result<Duration, String> {
    match value.trim() {
        "off" => Ok(Duration::ZERO),
        value => time(value, "us"),
    }
}

fn time(value: &str, bare: &str) -> Result<Duration, String> {
    let (number, unit) = split(value)?;
    let unit = if unit.is_empty() { bare } else { &unit };
    let factor = match unit {
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" | "sec" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        unit => {
            return Err(format!(
                "'{unit}' is no unit of time; use us, ms, s, m or h"
            ));
        }
    };
    Duration::try_from_secs_f64(number * factor)
        .map_err(|_| format!("'{value}' is too long a time"))
}

/// A host and a port, or a Unix socket, of which only the form is judged: whether they are there,
/// binding tells.
pub(crate) fn address(value: &str) -> Result<String, String> {
    if value
        .strip_prefix("unix:")
        .is_some_and(|name| !name.is_empty())
    {
        return Ok(value.to_owned());
    }
    let place = value.split_once('?').map_or(value, |(place, _)| place);
    match place.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
            Ok(value.to_owned())
        }
        _ => Err(
            "write HOST:PORT, as 127.0.0.1:1337, [::1]:80 or localhost:8080, or unix:PATH".into(),
        ),
    }
}

/// A length of time, or `off`.
pub(crate) fn duration_or_off(value: &str) -> Result<Switchable, String> {
    match value.trim() {
        "off" => Ok(Switchable(None)),
        value => duration(value).map(|time| Switchable(Some(time).filter(|time| !time.is_zero()))),
    }
}

/// A length of time that may be switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Switchable(pub(crate) Option<Duration>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_and_without_units() {
        for (text, value) in [
            ("0", 0),
            ("17", 17),
            ("64KiB", 65_536),
            ("64 kb", 64_000),
            ("1.5m", 1_572_864),
            ("1GiB", 1 << 30),
        ] {
            assert_eq!(bytes(text), Ok(value), "{text}");
        }
        for text in [
            "",
            "KiB",
            "1 parsec",
            "-1",
            "0.3",
            "1e9",
            "99999999999999999999",
        ] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_read_with_and_without_units() {
        for (text, millis) in [
            ("3", 3000),
            ("250ms", 250),
            ("5000us", 5),
            ("1.5s", 1500),
            ("2m", 120_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert!(duration("1 week").is_err());
        assert!(duration("9999999999999999999999h").is_err());
        assert_eq!(duration_or_off("off"), Ok(Switchable(None)));
        assert_eq!(duration_or_off("0ms"), Ok(Switchable(None)));
        assert_eq!(
            duration_or_off("2s"),
            Ok(Switchable(Some(Duration::from_secs(2))))
        );
    }

    #[test]
    fn a_short_time_without_a_unit_is_in_microseconds() {
        for (text, micros) in [
            ("0", 0),
            ("off", 0),
            ("50", 50),
            ("50us", 50),
            ("50 µs", 50),
            ("20ms", 20_000),
            ("0.5ms", 500),
            ("1s", 1_000_000),
        ] {
            let time = Duration::from_micros(micros);
            assert_eq!(micros_or_off(text), Ok(time), "{text}");
        }
        for text in ["", "on", "us", "-1", "5 ns"] {
            assert!(micros_or_off(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_has_a_host_and_a_port() {
        for text in ["127.0.0.1:0", "[::1]:80", "localhost:8080", "unix:/a"] {
            assert_eq!(address(text).as_deref(), Ok(text));
        }
        for text in [
            "1337",
            ":1337",
            "localhost",
            "localhost:http",
            "a:65536",
            "unix:",
            "",
        ] {
            assert!(address(text).is_err(), "{text}");
        }
    }
}
