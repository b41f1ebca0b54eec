//! `aerys connect`: a WebSocket by hand. Lines in are messages out, messages in are lines out.

mod display;
mod input;
mod session;
mod told;

use crate::cli::Failure;
use crate::cli::client::flags::{TlsArgs, header, url};
use crate::cli::client::url::Url;
use crate::cli::units::{count, duration, some};
use clap::Args;
use std::time::Duration;

#[derive(Clone, Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct ConnectArgs {
    /// Where to: `ws://HOST:PORT/PATH`, or `wss://` with TLS
    #[arg(value_name = "URL", value_parser = url)]
    url: Url,

    /// Send lines as binary messages, whatever bytes they are
    #[arg(long, env = "AERYS_CONNECT_BINARY", hide_env_values = true, help_heading = TALK)]
    binary: bool,

    /// Send a Ping each INTERVAL, 1 s if none is given, and show how long its answer took
    #[arg(long, value_name = "INTERVAL", value_parser = some(duration), num_args = 0..=1,
          require_equals = true, default_missing_value = "1s",
          env = "AERYS_CONNECT_PING", hide_env_values = true, help_heading = TALK)]
    ping: Option<Duration>,

    /// Close once COUNT messages were received
    #[arg(long, value_name = "COUNT", value_parser = some(count::<u64>),
          env = "AERYS_CONNECT_COUNT", hide_env_values = true, help_heading = TALK)]
    count: Option<u64>,

    /// Wait SECONDS for answers after the end of the input, or `forever`; where the input is a terminal,
    /// its end closes at once
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = wait,
          env = "AERYS_CONNECT_WAIT", hide_env_values = true, help_heading = TALK)]
    wait: Wait,

    /// Show messages alone: no word on the connection, on Pings and on the end
    #[arg(long, short, env = "AERYS_CONNECT_QUIET", hide_env_values = true, help_heading = TALK)]
    quiet: bool,

    /// Field of the request, as 'Name: value'; may be given several times
    #[arg(long, value_name = "FIELD", value_parser = header, help_heading = HANDSHAKE,
          env = "AERYS_CONNECT_HEADER", hide_env_values = true)]
    header: Vec<(String, String)>,

    /// Subprotocol to offer; may be given several times, the best first
    #[arg(long, value_name = "NAME", value_parser = subprotocol, help_heading = HANDSHAKE,
          env = "AERYS_CONNECT_SUBPROTOCOL", hide_env_values = true, value_delimiter = ',')]
    subprotocol: Vec<String>,

    /// Origin of the page that a browser would have
    #[arg(long, value_name = "ORIGIN", value_parser = origin, help_heading = HANDSHAKE,
          env = "AERYS_CONNECT_ORIGIN", hide_env_values = true)]
    origin: Option<String>,

    /// Offer to compress messages (permessage-deflate)
    #[arg(long, help_heading = HANDSHAKE, env = "AERYS_CONNECT_COMPRESSION", hide_env_values = true)]
    compression: bool,

    #[command(flatten)]
    tls: TlsArgs,
}

const TALK: &str = "Messages";
const HANDSHAKE: &str = "Handshake";

const EXAMPLES: &str = "\
Messages are written to standard output, all else to standard error. Exit status: 0 after a normal close,
1 after any other and where there was no connection.

Examples:
  aerys connect ws://127.0.0.1:1337/echo
  aerys connect ws://127.0.0.1:1337/echo --ping=500ms
  printf 'hello\\n' | aerys connect ws://127.0.0.1:1337/echo --count 1 --quiet
  aerys connect wss://localhost:8443/chat --tls-insecure --subprotocol chat";

/// How long to wait for answers once nothing more is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wait(Option<Duration>);

fn wait(text: &str) -> Result<Wait, String> {
    match text.trim() {
        "forever" => Ok(Wait(None)),
        text => duration(text).map(|time| Wait(Some(time))),
    }
}

fn subprotocol(text: &str) -> Result<String, String> {
    // A token (RFC 6455 section 4.1), as the name of a field is one.
    match text.parse::<aerys::HeaderName>() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(format!("'{text}' is no name of a subprotocol")),
    }
}

fn origin(text: &str) -> Result<String, String> {
    header(&format!("Origin:{text}")).map(|(_, value)| value)
}

/// Connects, and goes on until one side closes.
pub(crate) fn connect(args: &ConnectArgs) -> Result<(), Failure> {
    session::run(args).map_err(Failure::AtRunTime)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        connect: ConnectArgs,
    }

    fn parsed(words: &[&str]) -> Result<ConnectArgs, String> {
        let line = Line::try_parse_from([&["connect"], words].concat());
        line.map(|line| line.connect)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn an_interval_of_pings_may_be_left_out_before_and_behind_the_url() {
        for words in [&["--ping", "ws://a/"][..], &["ws://a/", "--ping"]] {
            let args = parsed(words).expect("a second");
            assert_eq!(args.ping, Some(Duration::from_secs(1)), "{words:?}");
        }
        let args = parsed(&["--ping=20ms", "ws://a/"]).expect("20 ms");
        assert_eq!(args.ping, Some(Duration::from_millis(20)));
        assert_eq!(parsed(&["ws://a/"]).expect("no pings").ping, None);
        assert!(parsed(&["--ping=0", "ws://a/"]).is_err());
    }

    #[test]
    fn answers_are_waited_for_a_second_or_as_long_as_was_said() {
        for (words, seconds) in [
            (&["ws://a/"][..], Some(1)),
            (&["ws://a/", "--wait", "0"], Some(0)),
            (&["ws://a/", "--wait", "2m"], Some(120)),
            (&["ws://a/", "--wait", "forever"], None),
        ] {
            let args = parsed(words).expect("a time");
            assert_eq!(
                args.wait,
                Wait(seconds.map(Duration::from_secs)),
                "{words:?}"
            );
        }
    }

    #[test]
    fn what_would_break_the_request_is_refused() {
        for words in [
            &["http//a"][..],
            &["ws://a/", "--origin", "a\r\nb: c"],
            &["ws://a/", "--header", "no colon"],
            &["ws://a/", "--subprotocol", "a b"],
            &["ws://a/", "--subprotocol", ""],
            &["ws://a/", "--count", "0"],
        ] {
            assert!(parsed(words).is_err(), "{words:?}");
        }
    }
}
