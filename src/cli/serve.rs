//! `aerys serve`: flags to configuration, the server, its addresses on standard output.

use crate::cli::demo;
use crate::cli::units::{Switchable, address, bytes, duration, duration_or_off, micros_or_off};
use aerys::{
    Address, Compression, CompressionMode, Config, Host, Server, StaticFiles, WebSocketConfig,
};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, value_parser};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Address to listen on, port 0 for a free one, or unix:PATH; may be given several times
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:1337", value_parser = address)]
    listen: Vec<String>,

    /// Folder whose files are served at / in place of the demo page
    #[arg(long, value_name = "FOLDER")]
    root: Option<PathBuf>,

    /// Largest WebSocket message taken, in bytes
    #[arg(long, value_name = "BYTES", default_value = "16MiB", value_parser = bytes)]
    max_message_bytes: usize,

    /// Largest WebSocket frame taken, in bytes
    #[arg(long, value_name = "BYTES", default_value = "16MiB", value_parser = bytes)]
    max_frame_bytes: usize,

    /// Backlog of a WebSocket client, in bytes, above which it is closed with 1008
    #[arg(long, value_name = "BYTES", default_value = "1MiB", value_parser = bytes)]
    max_backlog_bytes: usize,

    /// Whether WebSocket messages are compressed for clients that offer it: `shared` keeps nothing
    /// per client, `dedicated` lets messages refer to earlier ones
    #[arg(long, value_name = "MODE", default_value = "off", value_parser = compression_mode())]
    compression: Compressing,

    /// Length of a WebSocket message, in bytes, from which on it is compressed
    #[arg(long, value_name = "BYTES", default_value = "1KiB", value_parser = bytes)]
    compression_threshold_bytes: usize,

    /// How hard WebSocket messages are compressed, 1 (fast) to 9 (small)
    #[arg(long, value_name = "LEVEL", default_value = "1", value_parser = value_parser!(u8).range(1..=9))]
    compression_level: u8,

    /// Greatest window of compressed WebSocket messages either way, as a power of two in bytes, 8 to
    /// 15
    #[arg(long, value_name = "BITS", default_value = "15", value_parser = value_parser!(u8).range(8..=15))]
    compression_window_bits: u8,

    /// Largest request body, in bytes
    #[arg(long, value_name = "BYTES", default_value = "128KiB", value_parser = bytes)]
    max_body_bytes: usize,

    /// Most connections at once [default: as many as descriptors allow]
    #[arg(long, value_name = "COUNT")]
    max_connections: Option<usize>,

    /// Silence of a WebSocket client after which it is pinged, in seconds, or `off`
    #[arg(long, value_name = "SECONDS", default_value = "10s", value_parser = duration_or_off)]
    heartbeat: Switchable,

    /// Time for a WebSocket closing handshake, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "3s", value_parser = duration)]
    close_timeout: Duration,

    /// Idle time between two requests after which a connection is closed, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "15s", value_parser = duration)]
    idle_timeout: Duration,

    /// Time for a whole header section of a request, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "10s", value_parser = duration)]
    header_timeout: Duration,

    /// Time after which a client that takes none of its waiting output is dropped, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "30s", value_parser = duration)]
    write_timeout: Duration,

    /// Time for a graceful stop, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "5s", value_parser = duration)]
    stop_timeout: Duration,

    /// Spin that long after the last event before sleeping, in microseconds, or `off`
    #[arg(long, value_name = "MICROSECONDS", default_value = "off", value_parser = micros_or_off)]
    busy_poll: Duration,

    /// Log what is at least as grave: error, warn, info, debug, trace or off
    #[arg(long, value_name = "LEVEL", default_value = "info", value_parser = log_level())]
    log_level: log::LevelFilter,
}

impl ServeArgs {
    fn config(&self) -> Config {
        Config {
            max_connections: self.max_connections,
            max_body_bytes: self.max_body_bytes,
            keep_alive_timeout: self.idle_timeout,
            header_timeout: self.header_timeout,
            write_timeout: self.write_timeout,
            stop_timeout: self.stop_timeout,
            busy_poll: self.busy_poll,
            ..Config::default()
        }
    }

    fn websocket_config(&self) -> WebSocketConfig {
        WebSocketConfig {
            heartbeat: self.heartbeat.0,
            close_timeout: self.close_timeout,
            max_frame_bytes: self.max_frame_bytes as u64,
            max_message_bytes: self.max_message_bytes as u64,
            hard_backlog_bytes: self.max_backlog_bytes,
            compression: self.compression.0.map(|mode| Compression {
                mode,
                level: self.compression_level,
                threshold_bytes: self.compression_threshold_bytes,
                server_window_bits: self.compression_window_bits,
                client_window_bits: self.compression_window_bits,
                ..Compression::default()
            }),
            ..WebSocketConfig::default()
        }
    }
}

/// Serves until a signal stops it.
///
/// # Errors
///
/// One line that says what failed.
pub(crate) fn serve(arguments: &ServeArgs) -> Result<(), String> {
    env_logger::Builder::new()
        .filter_level(arguments.log_level)
        .init();
    raise_descriptor_limit(arguments.max_connections);
    let routes = demo::router(&arguments.websocket_config(), arguments.root.is_none());
    let mut host = Host::new().add(routes);
    if let Some(root) = &arguments.root {
        let files = StaticFiles::new(root);
        host =
            host.add(files.map_err(|error| format!("cannot serve {}: {error}", root.display()))?);
    }
    for address in &arguments.listen {
        host = host.listen(address);
    }
    let server = Server::new()
        .config(arguments.config())
        .host(host)
        .stop_on_signals(true);
    let bound = server.bind().map_err(|error| error.to_string())?;
    // Who starts the program in a script waits for this line, but need not read it.
    let _ = announce(bound.addresses());
    bound.run().map_err(|error| error.to_string())
}

/// A mode of compression, or none.
#[derive(Clone, Copy, Debug)]
struct Compressing(Option<CompressionMode>);

fn compression_mode() -> impl TypedValueParser<Value = Compressing> {
    PossibleValuesParser::new(["off", "shared", "dedicated"]).map(|mode| {
        Compressing(match mode.as_str() {
            "shared" => Some(CompressionMode::Shared),
            "dedicated" => Some(CompressionMode::Dedicated),
            _ => None,
        })
    })
}

/// The levels by name, so that help and errors list them.
fn log_level() -> impl TypedValueParser<Value = log::LevelFilter> {
    let names = ["off", "error", "warn", "info", "debug", "trace"];
    PossibleValuesParser::new(names).map(|name| name.parse().unwrap_or(log::LevelFilter::Info))
}

fn announce(addresses: &[Address]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for address in addresses {
        match address {
            Address::Ip(address) => writeln!(out, "http://{}/", openable(*address))?,
            Address::Unix(address) => writeln!(out, "{address}")?,
        }
    }
    out.flush()
}

/// An address that a browser on this machine can open.
fn openable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Descriptors that a server should have if nobody says how many clients it is for.
const DESCRIPTORS_WANTED: u64 = 10_000;

/// Each client needs a descriptor: as many as the system allows without asking, and a word if
/// that is few.
fn raise_descriptor_limit(max_connections: Option<usize>) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: limit.maximum,
                ..limit
            },
        )
    {
        log::warn!("the limit of open files could not be raised: {error}");
    }
    if let Some(warning) = word_on_limit(getrlimit(Resource::Nofile).current, max_connections) {
        log::warn!("{warning}");
    }
}

/// What is to be said about a limit of open files, of which `None` is none.
fn word_on_limit(limit: Option<u64>, max_connections: Option<usize>) -> Option<String> {
    let wanted = max_connections.map_or(DESCRIPTORS_WANTED, |count| count as u64);
    let limit = limit.filter(|limit| *limit < wanted)?;
    Some(format!(
        "only {limit} files may be open, a client takes one: raise the hard limit with \
         `ulimit -Hn {wanted}` as root, LimitNOFILE= in systemd or --ulimit nofile= in Docker"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_low_limit_of_descriptors_is_worth_a_word() {
        assert_eq!(word_on_limit(None, None), None);
        assert_eq!(word_on_limit(Some(10_000), None), None);
        let word = word_on_limit(Some(9_999), None).expect("it is low");
        assert!(word.contains("only 9999 files"), "{word}");
        assert!(word.contains("ulimit -Hn 10000"), "{word}");
    }

    #[test]
    fn a_limit_is_low_or_not_by_what_it_was_asked_for() {
        assert_eq!(word_on_limit(Some(1024), Some(1000)), None);
        assert!(word_on_limit(Some(20_000), Some(50_000)).is_some());
    }
}
