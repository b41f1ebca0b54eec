//! Values of flags as people write them: `30s`, `1.5m`, `64KiB`, or a bare number.

use aerys::{InvalidProxy, TrustedProxy};
use std::net::SocketAddr;
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

/// What the address of a Unix socket begins with. Its path follows, or its name behind an `@`.
pub(crate) const UNIX: &str = "unix:";

/// Longest name of a Unix socket, in bytes: what the system has room for, less a zero.
const MAX_UNIX_NAME_BYTES: usize = 107;

/// A host and a port, or a Unix socket, and options, of which only the form is judged: whether they
/// are there, binding tells. The same address is returned in the same spelling.
pub(crate) fn address(value: &str) -> Result<String, String> {
    let (place, options) = split_options(value);
    let (place, has_file) = match place.strip_prefix(UNIX) {
        Some(name) => {
            judge_unix_name(name)?;
            (place.to_owned(), !name.starts_with('@'))
        }
        None => (ip_address(place)?, false),
    };
    judge_options(options, has_file)?;
    Ok(match options {
        "" => place,
        options => format!("{place}?{options}"),
    })
}

/// An address as [`address`] takes it, and its options.
pub(crate) fn split_options(address: &str) -> (&str, &str) {
    address.rsplit_once('?').unwrap_or((address, ""))
}

fn ip_address(place: &str) -> Result<String, String> {
    match place.rsplit_once(':') {
        Some((host, port)) if is_host(host) && port.parse::<u16>().is_ok() => {
            Ok(match place.parse::<SocketAddr>() {
                Ok(address) => address.to_string(),
                Err(_) => place.to_ascii_lowercase(),
            })
        }
        _ => Err(format!(
            "'{place}' is no address: write HOST:PORT, as 127.0.0.1:1337, [::1]:80 or \
             localhost:8080, or unix:PATH"
        )),
    }
}

/// Judges what stands behind `unix:`.
fn judge_unix_name(name: &str) -> Result<(), String> {
    if matches!(name, "" | "@") || name.contains('\0') {
        return Err("write unix:PATH, as unix:/run/aerys.sock".into());
    }
    if name.len() > MAX_UNIX_NAME_BYTES {
        return Err(format!(
            "'{name}' is longer than the {MAX_UNIX_NAME_BYTES} bytes that a socket's name may have"
        ));
    }
    Ok(())
}

/// Judges what stands behind the question mark of an address.
fn judge_options(options: &str, has_file: bool) -> Result<(), String> {
    let is_mode = |mode: &str| {
        matches!(mode.len(), 1..=3) && mode.bytes().all(|digit| matches!(digit, b'0'..=b'7'))
    };
    for option in options.split('&').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            None if option == "proxy-protocol" => {}
            Some(("mode", mode)) if has_file && is_mode(mode) => {}
            _ => {
                return Err(format!(
                    "'?{option}' is no option: there are ?proxy-protocol, and for the file of a \
                     socket its mode in octal digits, ?mode=660"
                ));
            }
        }
    }
    Ok(())
}

/// Whether it has the form of a name or an address of a machine, those of IPv6 in brackets.
fn is_host(host: &str) -> bool {
    match host.strip_prefix('[') {
        Some(rest) => rest.ends_with(']'),
        None => !host.is_empty() && !host.contains([':', '/', ' ']),
    }
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
    fn an_address_has_a_host_and_a_port_or_is_a_path() {
        let longest = format!("unix:/{}", "a".repeat(106));
        for text in [
            "127.0.0.1:0",
            "[::1]:80",
            "localhost:8080",
            "unix:/run/a.sock",
            "unix:a",
            "unix:@name",
            "unix:/run/a.sock?mode=660",
            &longest,
        ] {
            assert_eq!(address(text).as_deref(), Ok(text));
        }
        for text in [
            "1337",
            ":1337",
            "localhost",
            "localhost:http",
            "a:65536",
            "::1:80",
            "http://a:80",
            "127.0.0.1:80?mode=660",
            "unix:",
            "unix:@",
            "unix:/a?mode=8",
            "unix:/a?mode=",
            "unix:/a?mode=1777",
            "unix:@a?mode=660",
            "unix:/a?b=c",
            "a:1?proxy",
            &format!("{longest}a"),
            "",
        ] {
            assert!(address(text).is_err(), "{text}");
        }
        for (text, same) in [("[::0]:80", "[::]:80"), ("LocalHost:1", "localhost:1")] {
            assert_eq!(address(text).as_deref(), Ok(same));
        }
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
