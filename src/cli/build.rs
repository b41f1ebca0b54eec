//! Settings to a server: the one place where flags and files meet the library's types.

use crate::cli::demo::{self, Demo};
use crate::cli::flags::ServeArgs;
use crate::cli::host::{FileSettings, HostSettings, TlsSettings};
use crate::cli::live::{Live, LiveArgs};
use crate::cli::secure::{self, HttpsPort};
use aerys::{
    Compression, Config, Host, Request, Response, Router, Server, StaticFiles, StatusCode,
    WebSocketConfig,
};
use std::cell::OnceCell;
use std::path::{Path, PathBuf};

/// A server that has yet to be bound.
pub(crate) struct Built {
    pub(crate) server: Server,
    /// Of certificates that were made for it.
    pub(crate) fingerprints: Vec<String>,
    /// To be set when it is known: redirections go there.
    pub(crate) https_port: HttpsPort,
}

/// What stays when a server becomes another: endpoints with their clients, certificates with their
/// sessions, and what was made once.
#[derive(Clone, Default)]
pub(crate) struct Kept {
    /// By the names of their hosts, and how many with the same names stand before.
    demos: Vec<((Vec<String>, usize), Demo)>,
    certificates: Vec<(TlsSettings, secure::Certificates)>,
    /// Decided at the start: `None`, nobody asked for it.
    live: OnceCell<Option<(LiveArgs, Live)>>,
}

impl Kept {
    /// The certificates that a host is asked to have: those that it had, if they are the same files.
    fn tls(&mut self, settings: &TlsSettings) -> Result<secure::Certificates, String> {
        let known = self
            .certificates
            .iter()
            .find(|(known, _)| known == settings);
        if let Some((_, certificates)) = known {
            return Ok(certificates.clone());
        }
        let certificates = tls(settings)?;
        self.certificates
            .push((settings.clone(), certificates.clone()));
        Ok(certificates)
    }

    /// The demo of one of `hosts`.
    fn demo(&mut self, hosts: &[HostSettings], index: usize) -> &Demo {
        let names_of = |host: &HostSettings| -> Vec<String> {
            let names = host.names.iter().flatten();
            names.map(|name| name.value.clone()).collect()
        };
        let names = names_of(&hosts[index]);
        let before = hosts[..index].iter();
        let before = before.filter(|host| names_of(host) == names).count();
        let key = (names, before);
        let known = self.demos.iter().position(|(known, _)| *known == key);
        let index = known.unwrap_or_else(|| {
            self.demos.push((key, Demo::new()));
            self.demos.len() - 1
        });
        &self.demos[index].1
    }
}

/// A server by flags and hosts.
///
/// # Errors
///
/// One line that says what failed.
pub(crate) fn server(
    flags: &ServeArgs,
    hosts: &[HostSettings],
    kept: &mut Kept,
) -> Result<Built, String> {
    let mut server = Server::new().config(config(flags)).stop_on_signals(true);
    let mut fingerprints = Vec::new();
    // As it was at the start: only that server is looked at.
    let live = kept.live.get_or_init(|| {
        let asked = flags.live.clone();
        let live = |asked: LiveArgs| (asked.clone(), Live::new(server.stats(), &asked));
        asked.is_any().then(|| live(asked))
    });
    let live = live.clone();
    kept.certificates
        .retain(|(known, _)| hosts.iter().any(|host| host.tls == *known));
    for (index, host) in hosts.iter().enumerate() {
        let tls = kept.tls(&host.tls)?;
        if host.tls.self_signed {
            fingerprints.extend(tls.fingerprint().filter(|it| !fingerprints.contains(it)));
        }
        let mut made = Host::new();
        if let Some((asked, live)) = &live
            && asked.live
        {
            made = made.add(live.for_this_machine());
        }
        let demo = host.demo.then(|| kept.demo(hosts, index));
        let demo = demo.map(|demo| demo.router(&websocket_config(flags)));
        server = server.host(tls.apply(build_host(made, host, demo)?));
    }
    if let Some((asked, live)) = &live
        && !asked.live_listen.is_empty()
    {
        server = server.host(live.host(asked));
    }
    let https_port = HttpsPort::default();
    if !flags.tls_redirect.is_empty() {
        let challenges = hosts.iter().find_map(|host| host.files.as_ref());
        let challenges = challenges.map(build_files).transpose()?;
        let host = secure::redirecting(&flags.tls_redirect, https_port.clone(), challenges);
        server = server.host(host);
    }
    Ok(Built {
        server,
        fingerprints,
        https_port,
    })
}

/// The certificates that a host is asked to have.
///
/// # Errors
///
/// What is wrong with them.
pub(crate) fn tls(settings: &TlsSettings) -> Result<secure::Certificates, String> {
    let TlsSettings {
        certificates,
        keys,
        self_signed,
    } = settings;
    if certificates.is_empty() && !keys.is_empty() {
        return Err(
            "there is a key and no certificate: name the file of that by tls-cert".to_owned(),
        );
    }
    if !keys.is_empty() && keys.len() != certificates.len() {
        let plural = |count, what| match count {
            1 => format!("1 {what}"),
            _ => format!("{count} {what}s"),
        };
        return Err(format!(
            "{} and {}: each has its own, or all are in the files of the certificates",
            plural(certificates.len(), "certificate"),
            plural(keys.len(), "key")
        ));
    }
    if *self_signed && !certificates.is_empty() {
        return Err(
            "there are certificates, and one is to be made in place of them: leave out tls-cert or \
             tls-self-signed"
                .to_owned(),
        );
    }
    if *self_signed {
        return secure::Certificates::self_signed();
    }
    let keys = if keys.is_empty() { certificates } else { keys };
    secure::Certificates::read(certificates.iter().zip(keys))
}

fn config(flags: &ServeArgs) -> Config {
    Config {
        trusted_proxies: flags.trusted_proxies.clone(),
        forwarded_field: flags.forwarded,
        max_connections: flags.max_connections,
        max_connections_per_address: flags.max_connections_per_address,
        max_connections_per_second: flags.max_connections_per_second,
        max_header_section_bytes: flags.max_header_section_bytes,
        max_buffered_input_bytes: flags.max_buffered_input_bytes,
        max_body_bytes: flags.max_body_bytes,
        keep_alive_timeout: flags.idle_timeout,
        header_timeout: flags.header_timeout,
        tls_handshake_timeout: flags.tls_handshake_timeout,
        write_timeout: flags.write_timeout,
        drain_delay: flags.drain_delay,
        stop_timeout: flags.stop_timeout,
        busy_poll: flags.busy_poll,
        watchdog: flags.watchdog.0,
        ..Config::default()
    }
}

fn websocket_config(flags: &ServeArgs) -> WebSocketConfig {
    WebSocketConfig {
        heartbeat: flags.heartbeat.0,
        max_unanswered_pings: flags.max_unanswered_pings,
        max_lifetime: flags.max_lifetime.0,
        idle_timeout: flags.websocket_idle_timeout.0,
        allowed_origins: (!flags.allowed_origin.is_empty()).then(|| flags.allowed_origin.clone()),
        max_handshakes_per_second: flags.max_handshakes_per_second,
        max_frames_per_second: flags.max_frames_per_second,
        max_bytes_per_second: flags.max_bytes_per_second.map(|bytes| bytes as u64),
        close_timeout: flags.close_timeout,
        max_frame_bytes: flags.max_frame_bytes as u64,
        max_message_bytes: flags.max_message_bytes as u64,
        hard_backlog_bytes: flags.max_backlog_bytes,
        compression: flags.compression.0.map(|mode| Compression {
            mode,
            level: flags.compression_level,
            threshold_bytes: flags.compression_threshold_bytes,
            server_window_bits: flags.compression_window_bits,
            client_window_bits: flags.compression_window_bits,
            ..Compression::default()
        }),
        ..WebSocketConfig::default()
    }
}

/// Gives `host` all that its settings say.
fn build_host(
    mut host: Host,
    settings: &HostSettings,
    demo: Option<Router>,
) -> Result<Host, String> {
    for name in settings.names.iter().flatten() {
        host = host.name(&name.value);
    }
    for address in settings.listen.iter().flatten() {
        host = host.listen(&address.value);
    }
    if let Some(base) = settings.redirect.clone() {
        return Ok(
            host.add(move |request: &mut Request, response: &mut Response| {
                redirect(&base, request, response);
            }),
        );
    }
    if let Some(demo) = demo {
        host = host.add(demo);
        if settings.files.is_none() {
            host = host.add(demo::page());
        }
    }
    match &settings.files {
        Some(files) => Ok(host.add(build_files(files)?)),
        None => Ok(host),
    }
}

fn build_files(settings: &FileSettings) -> Result<StaticFiles, String> {
    let root = &settings.root;
    let mut files = StaticFiles::new(root)
        .map_err(|error| format!("cannot serve {}: {error}", root.display()))?;
    if let Some(is_on) = settings.listing {
        files = files.listing(is_on);
    }
    if let Some(is_on) = settings.precompressed {
        files = files.precompressed(is_on);
    }
    if let Some(is_on) = settings.compress {
        files = files.compress(is_on);
    }
    for rule in &settings.headers {
        files = files
            .try_header(&rule.pattern, &rule.name, &rule.value)
            .map_err(|error| format!("{} for {}: {error}", rule.name, rule.pattern))?;
    }
    if let Some(index) = &settings.index {
        let names: Vec<&str> = index.iter().map(String::as_str).collect();
        files = files.index(&names);
    }
    if let Some(page) = &settings.fallback {
        files = files.fallback(page);
    }
    if let Some(page) = &settings.not_found {
        files = files.not_found(page);
    }
    for (extension, content_type) in &settings.types {
        files = files.content_type(extension, content_type);
    }
    Ok(files)
}

/// Sends a request to the same path and query below `base`.
pub(crate) fn redirect(base: &str, request: &Request, response: &mut Response) {
    let mut location = base.to_owned();
    // `*`, of OPTIONS, is no path: put behind a host, it would name another.
    if request.path().starts_with('/') {
        location.push_str(request.path());
    }
    if let Some(query) = request.query() {
        location.push('?');
        location.push_str(query);
    }
    response.redirect(StatusCode::PERMANENT_REDIRECT, location);
}

/// What is wrong with an empty text.
pub(crate) const EMPTY: &str = "it is empty";

/// The folder that a file in the folder `base` names, whose files can be served.
///
/// # Errors
///
/// Why not.
pub(crate) fn folder(base: &Path, text: &str) -> Result<PathBuf, String> {
    if text.is_empty() {
        return Err(EMPTY.to_owned());
    }
    let path = base.join(text);
    readable_root(&path)?;
    Ok(path)
}

/// A file that a file in the folder `base` names.
///
/// # Errors
///
/// It is empty.
pub(crate) fn file(base: &Path, text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err(EMPTY.to_owned());
    }
    let path = base.join(text);
    let not_text = || "the folder of this file is not UTF-8: write the whole path".to_owned();
    path.to_str().map(str::to_owned).ok_or_else(not_text)
}

/// Whether files below a folder could be served, judged by who would serve them.
///
/// # Errors
///
/// Why not.
pub(crate) fn readable_root(path: &Path) -> Result<(), String> {
    match StaticFiles::new(path) {
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// Whether a file below `root` is found by who would serve it. A root that is none is another mistake.
pub(crate) fn is_served(root: &Path, file: &str) -> bool {
    StaticFiles::new(root).map_or(true, |files| files.has_file(file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::forms::{file_name, media_type, page_below};
    use proptest::prelude::*;

    proptest! {
        /// The library panics at what it cannot use: what comes from a file is judged before.
        #[test]
        fn what_is_judged_right_can_be_served(text in "[a./%\\\\; \u{0}\u{7f}\u{e4}?=*-]{0,8}") {
            let settings = FileSettings {
                root: env!("CARGO_MANIFEST_DIR").into(),
                index: file_name(&text).ok().map(|name| vec![name]),
                fallback: page_below(None, &text).ok(),
                not_found: page_below(None, &text).ok(),
                types: media_type(&text).into_iter().map(|kind| ("a".to_owned(), kind)).collect(),
                ..FileSettings::default()
            };
            prop_assert!(build_files(&settings).is_ok());
        }
    }
}
