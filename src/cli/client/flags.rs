//! Flags of every command that is a client.

use crate::cli::client::url::Url;
use clap::{Args, ValueHint};
use std::path::PathBuf;

const TLS: &str = "TLS";

/// How a server on TLS is judged.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct TlsArgs {
    /// PEM file with the certificates that may vouch for the server [default: those of the system]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = TLS,
          env = "AERYS_CLIENT_TLS_CA", hide_env_values = true)]
    pub(crate) tls_ca: Option<PathBuf>,

    /// Believe any certificate: whoever is in between can read along and answer
    #[arg(long, conflicts_with = "tls_ca", help_heading = TLS,
          env = "AERYS_CLIENT_TLS_INSECURE", hide_env_values = true)]
    pub(crate) tls_insecure: bool,
}

/// A parser of values that are URLs.
pub(crate) fn url(text: &str) -> Result<Url, String> {
    Url::parse(text)
}

/// A parser of values that are fields, `Name: value`.
pub(crate) fn header(text: &str) -> Result<(String, String), String> {
    let Some((name, value)) = text.split_once(':') else {
        return Err(format!("'{text}' is no field: write 'Name: value'"));
    };
    let value = value.trim();
    if name.parse::<aerys::HeaderName>().is_err() {
        return Err(format!("'{name}' is no name of a field"));
    }
    if value.parse::<aerys::HeaderValue>().is_err() {
        return Err(format!("'{value}' is no value of a field"));
    }
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_has_a_name_and_a_value_that_end_no_line() {
        let pair = |name: &str, value: &str| Ok((name.to_owned(), value.to_owned()));
        assert_eq!(header("Origin: http://a"), pair("Origin", "http://a"));
        assert_eq!(header("X:"), pair("X", ""));
        for text in ["", "X", ": a", "X Y: a", "X: a\r\nY: b", "X : a"] {
            assert!(header(text).is_err(), "{text:?}");
        }
    }
}
