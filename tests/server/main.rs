//! The server as its peers see it: over real sockets, with a client that shares no code with it.
//! One module per behaviour.

mod client;
#[cfg(feature = "http2")]
mod http2_client;
#[cfg(feature = "http2")]
mod http2_fields;
mod logged;
#[cfg(feature = "cli")]
mod program;
mod support;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod terminal;

mod answers;
mod file_paths;
mod handshake;
mod hosts;
mod http;
mod middleware;
mod middleware_kinds;
mod proxies;
mod responses;
mod smuggling;
mod static_files;
mod streams;
mod uploads;

mod closing;
mod compression;
mod control_frames;
mod echo;
#[cfg(target_os = "linux")]
mod file_costs;
mod file_options;
mod fragments;
mod limits;
mod limits_addresses;
mod limits_room;
mod protocol_errors;
mod utf8;

mod backlog;
mod broadcast;
mod endpoint;
mod misbehaving;
mod observers;
mod panics;
mod stalls;
mod timers;
mod watchdog;

#[cfg(feature = "cli")]
mod access_log;
#[cfg(feature = "cli")]
mod access_log_output;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod activation;
#[cfg(feature = "cli")]
mod bench_reports;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod changed_files;
mod churn;
#[cfg(feature = "cli")]
mod cli;
#[cfg(feature = "cli")]
mod configuration;
#[cfg(feature = "cli")]
mod configuration_example;
#[cfg(feature = "cli")]
mod connect;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod connect_terminal;
#[cfg(all(feature = "cli", feature = "self-signed"))]
mod connect_tls;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod crowds;
#[cfg(feature = "cli")]
mod demo;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod floods;
#[cfg(feature = "cli")]
mod hangups;
#[cfg(feature = "cli")]
mod help;
#[cfg(feature = "http2")]
mod http2_backlog;
#[cfg(feature = "http2")]
mod http2_closing;
#[cfg(feature = "http2")]
mod http2_hosts;
#[cfg(feature = "http2")]
mod http2_limits;
#[cfg(feature = "http2")]
mod http2_requests;
#[cfg(feature = "http2")]
mod http2_streams;
#[cfg(feature = "http2")]
mod http2_uploads;
#[cfg(feature = "http2")]
mod http2_websockets;
#[cfg(feature = "cli")]
mod limits_program;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod live;
#[cfg(feature = "cli")]
mod live_guard;
#[cfg(feature = "cli")]
mod log_lines;
#[cfg(feature = "cli")]
mod log_output;
#[cfg(feature = "cli")]
mod mistakes;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod notifications;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod privileges;
mod reloads;
mod reuse;
mod slow_reader;
mod stop;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "tls")]
mod tls_client;
#[cfg(feature = "tls")]
mod tls_closing;
#[cfg(feature = "tls")]
mod tls_handshake;
#[cfg(all(feature = "cli", feature = "self-signed"))]
mod tls_program;
#[cfg(all(feature = "http2", feature = "tls"))]
mod transports;
