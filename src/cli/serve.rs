//! `aerys serve`: the server by its settings, its addresses on standard output.

use crate::cli::access_log::AccessOutput;
use crate::cli::address::Place;
use crate::cli::build::Kept;
use crate::cli::flags::{self, ServeArgs};
use crate::cli::host::{FileSettings, HostSettings, Located, TlsSettings};
use crate::cli::log_output::LogOutput;
use crate::cli::reload::{self, Reloader};
use crate::cli::systemd::{self, Notifier, Passed, Sockets};
use crate::cli::{Failure, Serve, build, descriptors, privileges, schemes, unbound};
use aerys::{Address, Server, ServerEvent};
use std::cell::OnceCell;
use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::thread;

/// Serves until a signal stops it: the hosts of a file, if it has some, else the one of the flags. Its
/// log begins there.
///
/// # Errors
///
/// One line that says what failed.
pub(crate) fn serve(
    mut serve: Serve,
    mut hosts: Vec<HostSettings>,
    arguments: &[OsString],
    log: &OnceCell<LogOutput>,
) -> Result<(), Failure> {
    // Before there is a second thread, which would keep what this one gives up.
    privileges::refuse_new()?;
    let no_thread =
        |error: io::Error| Failure::AtRunTime(format!("no thread can be started: {error}"));
    serve.flags.color.write_global();
    let started = LogOutput::start(serve.flags.log_level).map_err(no_thread)?;
    log.get_or_init(|| started);
    // The log has opened nothing, and has what is to be said of these.
    let sockets = take_sockets(&serve.flags, &hosts).map_err(Failure::AtRunTime)?;
    let passed = sockets.passed().map_err(Failure::AtRunTime)?;
    complete(&mut serve, &mut hosts, &passed).map_err(Failure::AtRunTime)?;
    let serve = &serve;
    let flags = &serve.flags;
    for word in flags::words_on_variables(env::vars_os().map(|(name, _)| name)) {
        log::warn!("{word}");
    }
    let identity = privileges::named(flags)?;
    raise_descriptor_limit(flags.max_connections);
    judge(serve, &hosts)?;
    let mut kept = Kept::default();
    let built = build::server(flags, &hosts, &mut kept).map_err(Failure::AtRunTime)?;
    let failed = |error: aerys::Error| Failure::AtRunTime(error.to_string());
    let listeners = sockets.into_listeners(&hosts, &flags.tls_redirect);
    let are_passed: Vec<Address> = listeners
        .iter()
        .map(|passed| passed.address().clone())
        .collect();
    let mut server = listeners.into_iter().fold(built.server, Server::listener);
    let access = flags.access_log.as_deref().map(AccessOutput::new);
    if let Some(access) = &access {
        server = server.access_log(access.lines(flags.access_log_format));
    }
    server = observed(server, access.as_ref());
    // Without a file nothing can be another: what ends a terminal ends its server.
    if flags.config.is_some() {
        let mut reloader = Reloader {
            arguments: arguments.to_vec(),
            settled: reload::settled(serve, &hosts),
            kept,
            fingerprints: built.fingerprints.clone(),
            passed,
        };
        server = server.on_reload(move |reloading| reloader.reload(reloading));
    }
    let bound = server
        .bind()
        .map_err(|error| Failure::AtRunTime(unbound::describe(&error)))?;
    privileges::leave(identity.as_ref(), &bound, |address| {
        are_passed.contains(address)
    })?;
    if let Some(access) = &access {
        access.open().map_err(Failure::AtRunTime)?;
    }
    let addresses = bound.addresses().iter();
    let addresses = addresses.map(|address| (address.clone(), bound.is_encrypted(address)));
    let addresses: Vec<_> = addresses.collect();
    built.https_port.set(https_port(&addresses));
    announce(&addresses, &built.fingerprints).map_err(no_thread)?;
    bound.run().map_err(failed)
}

/// Has a service manager told how the server is, and the access log opened again when files are read again,
/// as far as there are these.
fn observed(server: Server, access: Option<&AccessOutput>) -> Server {
    let (notifier, reopen) = (
        Notifier::from_environment(),
        access.map(AccessOutput::reopener),
    );
    if notifier.is_none() && reopen.is_none() {
        return server;
    }
    server.observe(systemd::watchdog_interval(), move |event| {
        if let (ServerEvent::Reloading, Some(reopen)) = (event, &reopen) {
            reopen();
        }
        if let Some(notifier) = &notifier {
            notifier.tell(event);
        }
    })
}

/// Takes the sockets that systemd passed, if an address asks for them.
///
/// # Errors
///
/// One line that says what is wrong with them.
fn take_sockets(flags: &ServeArgs, hosts: &[HostSettings]) -> Result<Sockets, String> {
    let of_hosts = hosts.iter().flat_map(|host| host.listen.iter().flatten());
    let of_hosts = of_hosts.map(|address| &address.value);
    // Without hosts the flags make one.
    let of_flags = flags.listen.iter().filter(|_| hosts.is_empty());
    let mut all = of_hosts.chain(of_flags).chain(&flags.tls_redirect);
    Sockets::take(all.any(|address| matches!(address.place, Place::Systemd(_))))
}

/// Makes the one host of flags if there is no other, and puts the addresses of sockets that were passed in
/// the place of those that ask for them.
///
/// # Errors
///
/// One line: there is none of that name.
pub(crate) fn complete(
    serve: &mut Serve,
    hosts: &mut Vec<HostSettings>,
    passed: &Passed,
) -> Result<(), String> {
    if hosts.is_empty() {
        hosts.push(host_of_flags(&serve.flags));
    }
    passed.put_into(hosts)?;
    let mut redirects = Vec::new();
    for address in serve.flags.tls_redirect.drain(..) {
        redirects.extend(passed.found_for(address)?);
    }
    serve.flags.tls_redirect = redirects;
    Ok(())
}

/// Judges what can be told without listening.
pub(crate) fn judge(serve: &Serve, hosts: &[HostSettings]) -> Result<(), Failure> {
    judge_root(serve)?;
    judge_tls(serve)?;
    judge_schemes(serve, hosts)
}

/// Judges the root that a flag or a variable names: one of the file was judged with the file.
fn judge_root(serve: &Serve) -> Result<(), Failure> {
    let Some(root) = &serve.flags.root else {
        return match serve.given("listing") {
            Some(name) if serve.flags.listing => Err(Failure::Arguments(vec![format!(
                "aerys: {name}: there are no files without --root"
            )])),
            _ => Ok(()),
        };
    };
    let Some(name) = serve.given("root") else {
        return Ok(());
    };
    build::readable_root(root)
        .map_err(|problem| Failure::Arguments(vec![format!("aerys: {name}: {problem}")]))
}

/// Judges the certificates that flags or variables name: those of the file were judged with it.
fn judge_tls(serve: &Serve) -> Result<(), Failure> {
    let keys = ["tls-cert", "tls-key", "tls-self-signed"];
    let Some(name) = keys.iter().find_map(|key| serve.given(key)) else {
        return Ok(());
    };
    match build::tls(&tls_of_flags(&serve.flags)) {
        Ok(_) => Ok(()),
        Err(problem) => Err(Failure::Arguments(vec![format!(
            "aerys: {name}: {problem}"
        )])),
    }
}

/// Judges whether addresses and certificates fit together, whoever named them.
fn judge_schemes(serve: &Serve, hosts: &[HostSettings]) -> Result<(), Failure> {
    let flags = &serve.flags;
    let problems = schemes::judge(hosts, &flags.tls_redirect);
    if problems.is_empty() {
        return Ok(());
    }
    let of = match &flags.config {
        Some(file) if serve.of_one_host.is_empty() => file.display().to_string(),
        _ => "aerys".to_owned(),
    };
    let lines = problems
        .iter()
        .map(|(_, problem)| format!("{of}: {problem}"));
    Err(Failure::Arguments(lines.collect()))
}

fn tls_of_flags(flags: &ServeArgs) -> TlsSettings {
    TlsSettings {
        certificates: flags.tls_cert.clone(),
        keys: flags.tls_key.clone(),
        self_signed: flags.tls_self_signed,
    }
}

/// The port of the first address at which TLS is spoken, or the usual one.
pub(crate) fn https_port(addresses: &[(Address, bool)]) -> u16 {
    let mut encrypted = addresses.iter().filter(|(_, is_encrypted)| *is_encrypted);
    let address = encrypted.find_map(|(address, _)| address.socket_addr());
    address.map_or(443, |address| address.port())
}

/// The one host that there is without a file that has others.
fn host_of_flags(flags: &ServeArgs) -> HostSettings {
    let listen = flags.listen.iter().cloned();
    let files = flags.root.clone().map(|root| FileSettings {
        root,
        listing: Some(flags.listing),
        ..FileSettings::default()
    });
    HostSettings {
        listen: Some(listen.map(|value| Located { value, line: 0 }).collect()),
        demo: true,
        files,
        tls: tls_of_flags(flags),
        ..HostSettings::default()
    }
}

/// Prints where clients can connect. Who starts the program in a script waits for these lines, but
/// need not read them: a thread does it, which may wait for that as long as it takes.
///
/// # Errors
///
/// The system has no thread left.
pub(crate) fn announce(addresses: &[(Address, bool)], fingerprints: &[String]) -> io::Result<()> {
    if addresses.is_empty() && fingerprints.is_empty() {
        return Ok(());
    }
    let line = |(address, is_encrypted): &(Address, bool)| {
        let scheme = if *is_encrypted { "https" } else { "http" };
        match address {
            Address::Ip(address) => format!("{scheme}://{}/\n", openable(*address)),
            Address::Unix(address) => format!("{address}\n"),
        }
    };
    // As `openssl x509 -fingerprint -sha256` has it, to be compared with that.
    let known = |fingerprint| format!("sha256 Fingerprint={fingerprint}\n");
    let lines: String = addresses
        .iter()
        .map(line)
        .chain(fingerprints.iter().map(known))
        .collect();
    let print = move || {
        let mut out = io::stdout();
        let _ = out.write_all(lines.as_bytes()).and_then(|()| out.flush());
    };
    let thread = thread::Builder::new().name("announcement".to_owned());
    thread.spawn(print).map(drop)
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
    let (limit, raised) = descriptors::raise();
    if let Err(error) = raised {
        log::warn!("the limit of open files could not be raised: {error}");
    }
    if let Some(warning) = word_on_limit(limit, max_connections) {
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
