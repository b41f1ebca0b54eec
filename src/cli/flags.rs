//! The flags of `aerys serve`, each of which is an environment variable and a key of the file too.
//!
//! One definition: variables and keys follow from the long name of a flag, their values are judged
//! by its parser, and what the file says takes the place of its default.

use crate::cli::address::ListenAddress;
use crate::cli::build;
use crate::cli::file::nearest;
use crate::cli::forms::origin;
use crate::cli::identity::{self, Group, User};
use crate::cli::live::LiveArgs;
use crate::cli::units::{
    Switchable, bytes, count, duration, duration_or_off, micros_or_off, some, trusted_proxy,
};
use aerys::{CompressionMode, ForwardedField, TrustedProxy};
use clap::builder::{OsStringValueParser, PossibleValuesParser, TypedValueParser};
use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgAction, Args, Command, ValueHint, value_parser};
use std::error::Error as _;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// File with hosts and with whatever else these flags say
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = SERVER)]
    pub(crate) config: Option<PathBuf>,

    /// Address to listen on, port 0 for a free one, `unix:PATH`, or `systemd` for the sockets that it
    /// passes; with TLS, `http://` in front of it makes it a plain one; may be given several times
    #[arg(long, value_name = "ADDRESS", default_value = DEFAULT_ADDRESS, value_parser = listed_address, help_heading = SERVER)]
    pub(crate) listen: Vec<ListenAddress>,

    /// Folder whose files are served at / in place of the demo page
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath, value_parser = folder(), help_heading = SERVER)]
    pub(crate) root: Option<PathBuf>,

    /// List what is in a folder of `--root` that has no index file
    #[arg(long, help_heading = SERVER)]
    pub(crate) listing: bool,

    /// Log what is at least as grave: error, warn, info, debug, trace or off
    #[arg(long, value_name = "LEVEL", default_value = "info", value_parser = log_level(), help_heading = SERVER)]
    pub(crate) log_level: log::LevelFilter,

    /// User to become once all addresses are bound and all keys are read, by name or number
    #[arg(long, value_name = "USER", value_parser = identity::user, help_heading = SERVER)]
    pub(crate) user: Option<User>,

    /// Group to become with `--user` in place of that user's primary one, by name or number
    #[arg(long, value_name = "GROUP", value_parser = identity::group, help_heading = SERVER)]
    pub(crate) group: Option<Group>,

    /// Proxy that is believed whom it speaks for: addresses as 10.0.0.0/8, or `unix` for those on
    /// Unix sockets; may be given several times
    #[arg(long, value_name = "NETWORK", value_parser = listed_proxy, help_heading = SERVER)]
    pub(crate) trusted_proxies: Vec<TrustedProxy>,

    /// Field in which trusted proxies name the client
    #[arg(long, value_name = "FIELD", default_value = "x-forwarded-for", value_parser = forwarded(), help_heading = SERVER)]
    pub(crate) forwarded: ForwardedField,

    /// PEM file with the certificate by which TLS is spoken, and behind it those that vouch for it;
    /// may be given several times, for several names
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = TLS)]
    pub(crate) tls_cert: Vec<PathBuf>,

    /// PEM file with the private key of the `--tls-cert` in the same place; without any, each is in
    /// the file of its certificate
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = TLS)]
    pub(crate) tls_key: Vec<PathBuf>,

    /// Speak TLS by a certificate that is made at the start, for this machine and to try things out:
    /// nobody vouches for it
    #[arg(long, help_heading = TLS)]
    pub(crate) tls_self_signed: bool,

    /// Address to listen on for plain HTTP, where all requests are sent on to https; may be given
    /// several times
    #[arg(long, value_name = "ADDRESS", value_parser = listed_address, help_heading = TLS)]
    pub(crate) tls_redirect: Vec<ListenAddress>,

    /// Time for a TLS handshake, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "10s", value_parser = some(duration), help_heading = TLS)]
    pub(crate) tls_handshake_timeout: Duration,

    /// Largest WebSocket message taken, in bytes
    #[arg(long, value_name = "BYTES", default_value = "16MiB", value_parser = some(bytes), help_heading = WEBSOCKET)]
    pub(crate) max_message_bytes: usize,

    /// Largest WebSocket frame taken, in bytes
    #[arg(long, value_name = "BYTES", default_value = "16MiB", value_parser = some(bytes), help_heading = WEBSOCKET)]
    pub(crate) max_frame_bytes: usize,

    /// Backlog of a WebSocket client, in bytes, above which it is closed with 1008
    #[arg(long, value_name = "BYTES", default_value = "1MiB", value_parser = some(bytes), help_heading = WEBSOCKET)]
    pub(crate) max_backlog_bytes: usize,

    /// Silence of a WebSocket client after which it is pinged, in seconds, or `off`
    #[arg(long, value_name = "SECONDS", default_value = "10s", value_parser = duration_or_off, help_heading = WEBSOCKET)]
    pub(crate) heartbeat: Switchable,

    /// Pings that a WebSocket client may leave unanswered before it is closed with 1008
    #[arg(long, value_name = "COUNT", default_value = "3", value_parser = count::<u32>, help_heading = WEBSOCKET)]
    pub(crate) max_unanswered_pings: u32,

    /// Time for a WebSocket closing handshake, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "3s", value_parser = duration, help_heading = WEBSOCKET)]
    pub(crate) close_timeout: Duration,

    /// Time without a message either way after which a WebSocket client is closed with 1001, in seconds,
    /// or `off`; pings do not count
    #[arg(long, value_name = "SECONDS", default_value = "off", value_parser = duration_or_off, help_heading = WEBSOCKET)]
    pub(crate) websocket_idle_timeout: Switchable,

    /// Time after which a WebSocket client is closed with 1001 whatever it does, in seconds, or `off`
    #[arg(long, value_name = "SECONDS", default_value = "off", value_parser = duration_or_off, help_heading = WEBSOCKET)]
    pub(crate) max_lifetime: Switchable,

    /// Origin whose pages may open WebSockets, as `https://example.com`; then no other may, nor a
    /// client that names none; may be given several times [default: any, and none]
    #[arg(long, value_name = "ORIGIN", value_parser = listed_origin, help_heading = WEBSOCKET)]
    pub(crate) allowed_origin: Vec<String>,

    /// Most WebSocket handshakes a second on one path; more are answered 503 [default: no limit]
    #[arg(long, value_name = "COUNT", value_parser = some(count::<u32>), help_heading = WEBSOCKET)]
    pub(crate) max_handshakes_per_second: Option<u32>,

    /// Most frames a second that a WebSocket client may send before it is read more slowly [default:
    /// no limit]
    #[arg(long, value_name = "COUNT", value_parser = some(count::<u32>), help_heading = WEBSOCKET)]
    pub(crate) max_frames_per_second: Option<u32>,

    /// Most bytes a second that a WebSocket client may send before it is read more slowly [default: no
    /// limit]
    #[arg(long, value_name = "BYTES", value_parser = some(bytes), help_heading = WEBSOCKET)]
    pub(crate) max_bytes_per_second: Option<usize>,

    /// Whether WebSocket messages are compressed for clients that offer it: `shared` keeps nothing
    /// per client, `dedicated` lets messages refer to earlier ones
    #[arg(long, value_name = "MODE", default_value = "off", value_parser = compression_mode(), help_heading = WEBSOCKET)]
    pub(crate) compression: Compressing,

    /// Length of a WebSocket message, in bytes, from which on it is compressed
    #[arg(long, value_name = "BYTES", default_value = "1KiB", value_parser = bytes, help_heading = WEBSOCKET)]
    pub(crate) compression_threshold_bytes: usize,

    /// How hard WebSocket messages are compressed, 1 (fast) to 9 (small)
    #[arg(long, value_name = "LEVEL", default_value = "1", value_parser = value_parser!(u8).range(1..=9), help_heading = WEBSOCKET)]
    pub(crate) compression_level: u8,

    /// Greatest window of compressed WebSocket messages either way, as a power of two in bytes, 8 to
    /// 15
    #[arg(long, value_name = "BITS", default_value = "15", value_parser = value_parser!(u8).range(8..=15), help_heading = WEBSOCKET)]
    pub(crate) compression_window_bits: u8,

    #[command(flatten)]
    pub(crate) live: LiveArgs,

    /// Longest header section of a request, in bytes
    #[arg(long, value_name = "BYTES", default_value = "16KiB", value_parser = some(bytes), help_heading = LIMITS)]
    pub(crate) max_header_section_bytes: usize,

    /// Largest request body, in bytes
    #[arg(long, value_name = "BYTES", default_value = "128KiB", value_parser = bytes, help_heading = LIMITS)]
    pub(crate) max_body_bytes: usize,

    /// Most connections at once [default: as many as descriptors allow]
    #[arg(long, value_name = "COUNT", value_parser = some(count::<usize>), help_heading = LIMITS)]
    pub(crate) max_connections: Option<usize>,

    /// Most connections at once from one address, or from one network of 64 bits of IPv6 [default: no
    /// limit]
    #[arg(long, value_name = "COUNT", value_parser = some(count::<usize>), help_heading = LIMITS)]
    pub(crate) max_connections_per_address: Option<usize>,

    /// Most connections accepted a second; more wait in the kernel's queue [default: no limit]
    #[arg(long, value_name = "COUNT", value_parser = some(count::<u32>), help_heading = LIMITS)]
    pub(crate) max_connections_per_second: Option<u32>,

    /// Half-read requests and messages of all clients together, in bytes, above which the one that
    /// brings more is closed
    #[arg(long, value_name = "BYTES", default_value = "256MiB", value_parser = some(bytes), help_heading = LIMITS)]
    pub(crate) max_buffered_input_bytes: usize,

    /// Idle time between two requests after which a connection is closed, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "15s", value_parser = duration, help_heading = LIMITS)]
    pub(crate) idle_timeout: Duration,

    /// Time for a whole header section of a request, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "10s", value_parser = some(duration), help_heading = LIMITS)]
    pub(crate) header_timeout: Duration,

    /// Time after which a client that takes none of its waiting output is dropped, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "30s", value_parser = some(duration), help_heading = LIMITS)]
    pub(crate) write_timeout: Duration,

    /// Time to go on serving when a stop is asked for, while /_aerys/health says 503, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "0s", value_parser = duration, help_heading = LIMITS)]
    pub(crate) drain_delay: Duration,

    /// Time for a graceful stop, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "5s", value_parser = duration, help_heading = LIMITS)]
    pub(crate) stop_timeout: Duration,

    /// Time that a handler may hold up everybody before the log names it, in seconds, or `off`
    #[arg(long, value_name = "SECONDS", default_value = "1s", value_parser = duration_or_off, help_heading = LIMITS)]
    pub(crate) watchdog: Switchable,

    /// Spin that long after the last event before sleeping, in microseconds, or `off`
    #[arg(long, value_name = "MICROSECONDS", default_value = "off", value_parser = micros_or_off, help_heading = LIMITS)]
    pub(crate) busy_poll: Duration,
}

/// Where is listened if nobody says where.
pub(crate) const DEFAULT_ADDRESS: &str = "127.0.0.1:1337";

const SERVER: &str = "Server";
const TLS: &str = "TLS";
const WEBSOCKET: &str = "WebSocket";
const LIMITS: &str = "Limits and times";

/// What `-h` shows, each in a line; `--help` shows all.
const COMMON: [(&str, &str); 8] = [
    ("config", "Hosts, and whatever else flags say, in a file"),
    ("listen", "HOST:PORT or unix:PATH [default: 127.0.0.1:1337]"),
    ("root", "Serve its files at / in place of the demo page"),
    ("listing", "List what is in a folder without index file"),
    ("tls-cert", "Speak TLS by the certificate in this PEM file"),
    ("tls-key", "The key of that certificate"),
    (
        "heartbeat",
        "Silence after which to ping a client [default: 10s]",
    ),
    (
        "log-level",
        "off, error, warn, debug, trace [default: info]",
    ),
];

/// An entry of a list, which may have spaces around it.
fn listed_address(text: &str) -> Result<ListenAddress, String> {
    ListenAddress::parse(text.trim())
}

fn listed_origin(text: &str) -> Result<String, String> {
    origin(text.trim())
}

fn listed_proxy(text: &str) -> Result<TrustedProxy, String> {
    trusted_proxy(text.trim())
}

/// A folder, which need not be there: the program looks when it starts.
fn folder() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().try_map(|text| {
        if text.is_empty() {
            Err(build::EMPTY)
        } else {
            Ok(PathBuf::from(text))
        }
    })
}

/// A mode of compression, or none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Compressing(pub(crate) Option<CompressionMode>);

fn compression_mode() -> impl TypedValueParser<Value = Compressing> {
    PossibleValuesParser::new(["off", "shared", "dedicated"]).map(|mode| {
        Compressing(match mode.as_str() {
            "shared" => Some(CompressionMode::Shared),
            "dedicated" => Some(CompressionMode::Dedicated),
            _ => None,
        })
    })
}

fn forwarded() -> impl TypedValueParser<Value = ForwardedField> {
    PossibleValuesParser::new(["x-forwarded-for", "forwarded"]).map(|field| match field.as_str() {
        "forwarded" => ForwardedField::Forwarded,
        _ => ForwardedField::XForwarded,
    })
}

/// The levels by name, so that help and errors list them.
fn log_level() -> impl TypedValueParser<Value = log::LevelFilter> {
    let names = ["off", "error", "warn", "info", "debug", "trace"];
    PossibleValuesParser::new(names).map(|name| name.parse().unwrap_or(log::LevelFilter::Info))
}

/// What the file says in place of the flags' defaults.
#[derive(Debug, Default)]
pub(crate) struct FileDefaults {
    /// The ids of flags and their values.
    pub(crate) values: Vec<(String, Vec<OsString>)>,
    /// Apart from the rest: the folder of the file is in it, and may have any character that means
    /// something to a parser.
    pub(crate) listen: Option<Vec<ListenAddress>>,
}

impl FileDefaults {
    /// Those of the flag `id`.
    pub(crate) fn values(&self, id: &str) -> &[OsString] {
        let found = self.values.iter().find(|(known, _)| known == id);
        found
            .map(|(_, values)| values.as_slice())
            .unwrap_or_default()
    }
}

/// All flags, in the order of their definition.
pub(crate) fn all() -> Vec<Arg> {
    let command = ServeArgs::augment_args(Command::new("serve"));
    command.get_arguments().cloned().collect()
}

/// The flags that a file may set: it does not name another.
pub(crate) fn settable() -> Vec<Arg> {
    let mut flags = all();
    flags.retain(|arg| key(arg) != "config");
    flags
}

/// Whether a flag that a file may set has this name.
pub(crate) fn is_key(name: &str) -> bool {
    static KEYS: LazyLock<Vec<String>> =
        LazyLock::new(|| settable().iter().map(|arg| key(arg).to_owned()).collect());
    KEYS.iter().any(|key| key == name)
}

/// The name of a flag, and of its key in the file.
pub(crate) fn key(arg: &Arg) -> &str {
    arg.get_long().unwrap_or_default()
}

/// What all variables begin with.
const PREFIX: &str = "AERYS_";

/// The variable of a flag.
pub(crate) fn variable(arg: &Arg) -> String {
    variable_name(key(arg))
}

/// The variable of a key.
pub(crate) fn variable_name(key: &str) -> String {
    format!("{PREFIX}{}", key.to_uppercase().replace('-', "_"))
}

/// The flag of a key.
pub(crate) fn flag_name(key: &str) -> String {
    format!("--{key}")
}

/// Whether a flag has several values: a list in the file, separated by commas elsewhere.
pub(crate) fn is_list(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append)
}

/// What a value of a flag is, by its name in the help.
fn value_name(arg: &Arg) -> &str {
    let names = arg.get_value_names().unwrap_or_default();
    names.first().map_or("", |name| name.as_str())
}

/// Whether its values are apart from the rest: see [`FileDefaults`].
pub(crate) fn is_listen(arg: &Arg) -> bool {
    key(arg) == "listen"
}

/// Whether the same may stand there twice: one key may be that of several certificates.
pub(crate) fn may_repeat(arg: &Arg) -> bool {
    key(arg) == "tls-key"
}

/// What a value of a flag counts, if it is a number.
pub(crate) fn unit(arg: &Arg) -> Option<&'static str> {
    match value_name(arg) {
        "BYTES" => Some("bytes"),
        "SECONDS" => Some("seconds"),
        "MICROSECONDS" => Some("microseconds"),
        "BITS" => Some("bits"),
        "COUNT" => Some("count"),
        "LEVEL" if key(arg) != "log-level" => Some("level"),
        _ => None,
    }
}

/// A flag as the command line has it: with its variable if `has_variable`.
pub(crate) fn finished(arg: Arg, has_variable: bool) -> Arg {
    let (variable, is_list) = (variable(&arg), is_list(&arg));
    let brief = COMMON.iter().find(|(common, _)| *common == key(&arg));
    let arg = match (brief, arg.get_help().cloned()) {
        (Some((_, brief)), Some(whole)) => arg.help(*brief).long_help(whole),
        _ => arg.hide_short_help(true),
    };
    let arg = arg.hide_env_values(true);
    let arg = if has_variable { arg.env(variable) } else { arg };
    if is_list {
        arg.value_delimiter(',')
    } else {
        arg
    }
}

/// A word on each variable that is nearly one of a flag. Others may begin as ours do all the same:
/// where a service has this program's name, its surroundings are told so.
pub(crate) fn words_on_variables(names: impl Iterator<Item = OsString>) -> Vec<String> {
    let known: Vec<String> = all().iter().map(|arg| key(arg).to_owned()).collect();
    let word = |name: OsString| {
        let name = name.to_str()?;
        let ours = name.strip_prefix(PREFIX)?;
        let nearest = format!("{PREFIX}{}", nearest(ours, &known)?);
        let nearest = nearest.to_uppercase().replace('-', "_");
        (name != nearest).then(|| format!("{name} is no setting, did you mean {nearest}?"))
    };
    names.filter_map(word).collect()
}

/// Judges a value by the parser of its flag.
///
/// # Errors
///
/// What is wrong with it.
pub(crate) fn judge(arg: &Arg, value: &str) -> Result<(), String> {
    let flag = format!("--{}={value}", key(arg));
    Command::new("value")
        .no_binary_name(true)
        .arg(arg.clone())
        .try_get_matches_from([flag])
        .map(drop)
        .map_err(|error| reason(&error))
}

/// What is wrong with a value, without the flag that it was given to.
pub(crate) fn reason(error: &clap::Error) -> String {
    if let Some(source) = error.source() {
        return source.to_string();
    }
    match (
        error.get(ContextKind::InvalidValue),
        error.get(ContextKind::ValidValue),
    ) {
        (Some(ContextValue::String(value)), Some(ContextValue::Strings(known)))
            if !known.is_empty() =>
        {
            let near = nearest(value, known);
            let near = near.map(|near| format!(", did you mean '{near}'?"));
            format!(
                "'{value}' is none of {}{}",
                known.join(", "),
                near.unwrap_or_default()
            )
        }
        _ => build::EMPTY.to_owned(),
    }
}

#[cfg(test)]
mod tests;
