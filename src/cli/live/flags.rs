//! The flags of `/_aerys/`.

use crate::cli::address::{ListenAddress, Place};
use crate::cli::forms::host_name;
use clap::Args;

#[derive(Clone, Debug, Args)]
pub(crate) struct LiveArgs {
    /// Serve a live page at /_aerys/, metrics for Prometheus, stats.json and health below it, to clients on
    /// this machine alone
    #[arg(long, help_heading = LIVE)]
    pub(crate) live: bool,

    /// Address to listen on for /_aerys/ and nothing else, in plain HTTP, to be asked by whoever can reach
    /// it; may be given several times
    #[arg(long, value_name = "ADDRESS", value_parser = address, help_heading = LIVE)]
    pub(crate) live_listen: Vec<ListenAddress>,

    /// Name by which /_aerys/ may be asked for, beside addresses and localhost; may be given several times
    #[arg(long, value_name = "NAME", value_parser = name, help_heading = LIVE)]
    pub(crate) live_host: Vec<String>,
}

const LIVE: &str = "Live page and metrics";

impl LiveArgs {
    /// Whether any of it is to be served.
    pub(crate) const fn is_any(&self) -> bool {
        self.live || !self.live_listen.is_empty()
    }
}

fn address(text: &str) -> Result<ListenAddress, String> {
    let address = ListenAddress::parse(text.trim())?;
    if address.tls == Some(true) {
        return Err("it is in plain HTTP there: leave out https://".to_owned());
    }
    if matches!(address.place, Place::Systemd(_)) {
        return Err("sockets of systemd are for --listen".to_owned());
    }
    Ok(address)
}

fn name(text: &str) -> Result<String, String> {
    let name = host_name(text.trim())?;
    if name.contains(['*', ':']) {
        return Err("it is one name, without a port".to_owned());
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_plain_one_and_a_name_is_one() {
        assert!(address(" 127.0.0.1:9090").is_ok());
        assert!(address("unix:/run/live").is_ok());
        for text in [
            "https://127.0.0.1:9090",
            "systemd",
            "systemd:live",
            "nothing",
        ] {
            assert!(address(text).is_err(), "{text}");
        }
        assert_eq!(
            name(" Metrics.Example.com").as_deref(),
            Ok("metrics.example.com")
        );
        for text in ["*.example.com", "example.com:80", "", "a b"] {
            assert!(name(text).is_err(), "{text}");
        }
    }
}
