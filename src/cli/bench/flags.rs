//! Flags of what measures.

use super::report::ReportArgs;
use super::run::Payload;
use crate::cli::client::flags::{TlsArgs, header, url};
use crate::cli::client::url::Url;
use crate::cli::units::{bytes, count, duration, some};
use clap::Args;
use std::net::IpAddr;
use std::time::Duration;

const LOAD: &str = "Load";
const MESSAGES: &str = "Messages";

/// Whom to connect to, and from where.
#[derive(Debug, Args)]
pub(super) struct TargetArgs {
    /// Server to put the load on: ws:// or http://, wss:// or https:// with TLS [default: none, it is needed]
    #[arg(long, value_name = "URL", value_parser = url, env = "AERYS_BENCH_URL", hide_env_values = true, help_heading = LOAD)]
    pub(super) url: Url,

    /// Connections that are open at the same time
    #[arg(long, value_name = "COUNT", default_value = "100", value_parser = some(count::<usize>),
          env = "AERYS_BENCH_CONNECTIONS", hide_env_values = true, help_heading = LOAD)]
    pub(super) connections: usize,

    /// Handshakes that are under way at the same time
    #[arg(long, value_name = "COUNT", default_value = "64", value_parser = some(count::<usize>),
          env = "AERYS_BENCH_AT_ONCE", hide_env_values = true, help_heading = LOAD)]
    pub(super) at_once: usize,

    /// Time for a handshake, and for what is unanswered at the end of the run, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "5s", value_parser = some(duration),
          env = "AERYS_BENCH_TIMEOUT", hide_env_values = true, help_heading = LOAD)]
    pub(super) timeout: Duration,

    /// Address to connect from; may be given several times, connections are spread over them
    /// [default: the system's choice, and 127.0.0.2, 127.0.0.3 and so on when ports run out]
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',',
          env = "AERYS_BENCH_SOURCE", hide_env_values = true, help_heading = LOAD)]
    pub(super) source: Vec<IpAddr>,

    /// Field to send with each handshake or request, as 'Name: value'; may be given several times
    #[arg(long, value_name = "FIELD", value_parser = header,
          env = "AERYS_BENCH_HEADER", hide_env_values = true, help_heading = LOAD)]
    pub(super) header: Vec<(String, String)>,

    #[command(flatten)]
    pub(super) tls: TlsArgs,
}

/// How much, and for how long.
#[derive(Debug, Args)]
pub(super) struct PaceArgs {
    /// Messages or requests a second, of all connections together, spread evenly; latency counts from
    /// when each was due [default: as many as are answered]
    #[arg(long, value_name = "COUNT", value_parser = some(count::<u32>),
          env = "AERYS_BENCH_RATE", hide_env_values = true, help_heading = LOAD)]
    pub(super) rate: Option<u32>,

    /// Most messages or requests that are on their way at once: of a connection, or of the sender of a
    /// broadcast [default: 1, with --rate no limit]
    #[arg(long, value_name = "COUNT", value_parser = some(count::<u32>),
          env = "AERYS_BENCH_PIPELINE", hide_env_values = true, help_heading = LOAD)]
    pub(super) pipeline: Option<u32>,

    /// Load before measuring begins, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "1s", value_parser = duration,
          env = "AERYS_BENCH_WARMUP", hide_env_values = true, help_heading = LOAD)]
    pub(super) warmup: Duration,

    /// How long is measured, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "10s", value_parser = some(duration),
          env = "AERYS_BENCH_DURATION", hide_env_values = true, help_heading = LOAD)]
    pub(super) duration: Duration,
}

/// What is sent.
#[derive(Debug, Args)]
pub(super) struct MessageArgs {
    /// Length of a message, in bytes
    #[arg(long, value_name = "BYTES", default_value = "64", value_parser = bytes,
          env = "AERYS_BENCH_SIZE", hide_env_values = true, help_heading = MESSAGES)]
    pub(super) size: usize,

    /// Send text, which is the default
    #[arg(long, conflicts_with = "binary", env = "AERYS_BENCH_TEXT", hide_env_values = true, help_heading = MESSAGES)]
    pub(super) text: bool,

    /// Send binary messages
    #[arg(long, env = "AERYS_BENCH_BINARY", hide_env_values = true, help_heading = MESSAGES)]
    pub(super) binary: bool,

    /// Offer permessage-deflate, and compress what is sent if the server agrees
    #[arg(long, env = "AERYS_BENCH_COMPRESSION", hide_env_values = true, help_heading = MESSAGES)]
    pub(super) compression: bool,
}

impl MessageArgs {
    pub(super) const fn payload(&self) -> Payload {
        // `text` says the default, for who wants it said.
        if self.binary && !self.text {
            Payload::Binary
        } else {
            Payload::Text
        }
    }
}

/// `aerys bench echo`.
#[derive(Debug, Args)]
pub(crate) struct EchoArgs {
    #[command(flatten)]
    pub(super) target: TargetArgs,
    #[command(flatten)]
    pub(super) pace: PaceArgs,
    #[command(flatten)]
    pub(super) messages: MessageArgs,
    #[command(flatten)]
    pub(super) report: ReportArgs,
}

/// `aerys bench broadcast`.
#[derive(Debug, Args)]
pub(crate) struct BroadcastArgs {
    #[command(flatten)]
    pub(super) target: TargetArgs,
    #[command(flatten)]
    pub(super) pace: PaceArgs,
    #[command(flatten)]
    pub(super) messages: MessageArgs,

    /// Send from a further connection, whose own copies do not count: also for servers that send none to
    /// the sender
    #[arg(long, env = "AERYS_BENCH_SENDER_APART", hide_env_values = true, help_heading = MESSAGES)]
    pub(super) sender_apart: bool,

    #[command(flatten)]
    pub(super) report: ReportArgs,
}

/// `aerys bench connect`.
#[derive(Debug, Args)]
pub(crate) struct ConnectArgs {
    #[command(flatten)]
    pub(super) target: TargetArgs,

    /// Process of the server, on this machine: its memory is told before the connections and with them
    #[arg(long, value_name = "PID", value_parser = some(count::<u32>),
          env = "AERYS_BENCH_PID", hide_env_values = true, help_heading = LOAD)]
    pub(super) pid: Option<u32>,

    /// How long all connections are held before that memory is read, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "1s", value_parser = duration,
          env = "AERYS_BENCH_HOLD", hide_env_values = true, help_heading = LOAD)]
    pub(super) hold: Duration,

    /// Offer permessage-deflate
    #[arg(long, env = "AERYS_BENCH_COMPRESSION", hide_env_values = true, help_heading = LOAD)]
    pub(super) compression: bool,

    #[command(flatten)]
    pub(super) report: ReportArgs,
}

/// `aerys bench http`.
#[derive(Debug, Args)]
pub(crate) struct HttpArgs {
    #[command(flatten)]
    pub(super) target: TargetArgs,
    #[command(flatten)]
    pub(super) pace: PaceArgs,
    #[command(flatten)]
    pub(super) report: ReportArgs,
}
