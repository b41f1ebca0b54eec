//! Values of flags as people write them: `30s`, `1.5m`, `64KiB`, or a bare number.

use aerys::{InvalidProxy, TrustedProxy};
use std::str::FromStr;
use std::time::Duration;

/// A decimal fraction as it is written: floating point would make 1.001 another number.
#[derive(Clone, Copy, Debug)]
struct Decimal {
    digits: u128,
    /// How many of them stand behind the point.
    decimals: u32,
}

impl Decimal {
    fn parse(text: &str) -> Option<Self> {
        let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
        // "." is no number; "1." and ".5" are.
        let digits = [whole, rest].concat();
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        Some(Self {
            digits: digits.parse().ok().filter(|_| is_number)?,
            decimals: rest.len().try_into().ok()?,
        })
    }

    /// That many times `factor`, and what is left over behind the point; `None` if it is too much.
    fn times(self, factor: u64) -> Option<(u128, u128)> {
        let product = self.digits.checked_mul(factor.into())?;
        let divisor = 10_u128.checked_pow(self.decimals)?;
        Some((product / divisor, product % divisor))
    }
}

/// Splits a value into its number and its unit.
fn split(value: &str) -> Result<(Decimal, String), String> {
    let value = value.trim();
    let end = value
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(value.len());
    let (number, unit) = value.split_at(end);
    if !number.contains(|c: char| c.is_ascii_digit()) {
        return Err(format!("'{value}' does not begin with a number"));
    }
    let number = Decimal::parse(number).ok_or_else(|| format!("'{number}' is no number"))?;
    Ok((number, unit.trim().to_ascii_lowercase()))
}

/// The most that a size may be, in bytes: 2^53, more than any memory has.
const MAX_BYTES: u128 = 1 << 53;

/// A number of bytes; without a unit, bytes.
pub(crate) fn bytes(value: &str) -> Result<usize, String> {
    let (number, unit) = split(value)?;
    let factor = match unit.as_str() {
        "" | "b" => 1,
        "kb" => 1000,
        "k" | "kib" => 1 << 10,
        "mb" => 1_000_000,
        "m" | "mib" => 1 << 20,
        "gb" => 1_000_000_000,
        "g" | "gib" => 1 << 30,
        unit => {
            return Err(format!(
                "'{unit}' is no unit of size; use B, KiB, MiB, GiB, KB, MB or GB"
            ));
        }
    };
    match number.times(factor) {
        Some((bytes @ 0..=MAX_BYTES, 0)) => usize::try_from(bytes).ok(),
        _ => None,
    }
    .ok_or_else(|| format!("'{value}' is no whole number of bytes"))
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
    let nanos = match unit {
        "us" | "µs" => 1000,
        "ms" => 1_000_000,
        "s" | "sec" => 1_000_000_000,
        "m" | "min" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        unit => {
            return Err(format!(
                "'{unit}' is no unit of time; use us, ms, s, m or h"
            ));
        }
    };
    let nanos = number.times(nanos).map(|(nanos, _)| nanos);
    nanos
        .filter(|nanos| *nanos <= MAX_TIME.as_nanos())
        .and_then(|nanos| u64::try_from(nanos).ok())
        .map(Duration::from_nanos)
        .ok_or_else(|| format!("'{value}' is too long a time"))
}

/// The longest time, which nobody waits for: a hundred years.
const MAX_TIME: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// A value that is not to be 0: with it there would be no server.
pub(crate) fn some<T: Default + PartialEq + 'static>(
    parse: fn(&str) -> Result<T, String>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static {
    move |text| {
        let value = parse(text)?;
        if value == T::default() {
            return Err("it has to be more than 0".to_owned());
        }
        Ok(value)
    }
}

/// A whole number.
pub(crate) fn count<T: FromStr>(value: &str) -> Result<T, String> {
    let is_number = value.bytes().all(|byte| byte.is_ascii_digit());
    let count = value.parse().ok().filter(|_| is_number);
    count.ok_or_else(|| format!("'{value}' is no whole number, or too large a one"))
}

/// `10.0.0.0/8`, a single address, or `unix`.
pub(crate) fn trusted_proxy(value: &str) -> Result<TrustedProxy, String> {
    let proxy: TrustedProxy = value
        .parse()
        .map_err(|error: InvalidProxy| error.to_string())?;
    match proxy {
        // More likely a slip than meant: of 10.0.0.1/8, either half.
        TrustedProxy::Network(network) if network != network.trunc() => Err(format!(
            "'{value}' has bits behind its length: write {}",
            network.trunc()
        )),
        _ => Ok(proxy),
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
            ("1.001MB", 1_001_000),
            ("4.35kb", 4350),
            ("0.001 kb", 1),
            ("1.00", 1),
            (".5k", 512),
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
            "1.0001kb",
            "1.2.3",
            ".",
            ".k",
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
            ("1.001s", 1001),
            ("2m", 120_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert!(duration("1 week").is_err());
        for text in [
            "9999999999999999999999h",
            "876001h",
            "1.2.3",
            &"9".repeat(99),
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(duration("876000h").is_ok() && duration("0.0000000000001s").is_ok());
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
    fn a_count_is_written_in_digits() {
        assert_eq!(count("7"), Ok(7_usize));
        for text in ["", "-1", "+1", "1.0", "99999999999999999999"] {
            assert!(count::<usize>(text).is_err(), "{text}");
        }
        assert!(count::<usize>("4294967296").is_ok() && count::<u32>("4294967296").is_err());
        assert_eq!(some(count)("7"), Ok(7_u32));
        assert!(some(count::<u32>)("0").is_err() && some(duration)("0.0ms").is_err());
    }

    #[test]
    fn a_trusted_network_has_no_bits_behind_its_length() {
        for text in [
            "unix",
            "10.0.0.0/8",
            "10.0.0.1",
            "0.0.0.0/0",
            "fd00::/8",
            "::1",
        ] {
            assert!(trusted_proxy(text).is_ok(), "{text}");
        }
        for text in ["10.0.0.1/8", "10.0.0.0/33", "fd00::1/64", "localhost", ""] {
            assert!(trusted_proxy(text).is_err(), "{text}");
        }
    }
}
