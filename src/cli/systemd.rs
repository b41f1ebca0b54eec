//! What systemd hands over, and what it is told: sockets that listen already (`sd_listen_fds(3)`), and
//! how the server is (`sd_notify(3)`).

use crate::cli::address::{ListenAddress, Place};
use crate::cli::host::{HostSettings, Located};
use aerys::{Address, PassedListener, ServerEvent};
use log::Level;
use rustix::io::fcntl_getfd;
use rustix::time::{ClockId, clock_gettime};
use std::env;
use std::io;
use std::mem;
use std::os::fd::OwnedFd;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process;
use std::time::Duration;

/// Most sockets that are taken: systemd passes no more to a service unless it is told to.
const MAX_SOCKETS: u16 = 1024;

/// A socket that was passed, and the name that it was passed with.
#[derive(Debug)]
struct Socket {
    name: String,
    listener: PassedListener,
}

/// The sockets that were passed.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    sockets: Vec<Socket>,
}

impl Sockets {
    /// Takes those that addresses ask for, if any does. To be called once, and before anything else is
    /// opened: what was not passed is not there then. The variables stay, since no safe code takes one
    /// away; nobody else is started who could see them.
    ///
    /// # Errors
    ///
    /// One line: what was passed cannot be listened by, or nothing was.
    pub(crate) fn take(are_wanted: bool) -> Result<Self, String> {
        let count = passed_count(|name| env::var(name).ok(), process::id());
        if !are_wanted {
            if count > 0 {
                log::warn!("sockets were passed and are not used: --listen systemd");
            }
            return Ok(Self::default());
        }
        if count == 0 {
            return Err(
                "no socket was passed to listen by: systemd does so by a .socket unit".to_owned(),
            );
        }
        if count > MAX_SOCKETS {
            return Err(format!("more than {MAX_SOCKETS} sockets were passed"));
        }
        let passed = sd_listen_fds::get().map_err(|error| error.to_string())?;
        let taken = passed.into_iter().map(|(name, socket)| {
            let listener = listener(socket.into_std());
            (name.unwrap_or_default(), listener)
        });
        let mut sockets = Vec::new();
        // All are looked at before one is told of: none may be closed that is not there.
        for (index, (name, listener)) in taken.collect::<Vec<_>>().into_iter().enumerate() {
            let listener = listener
                .map_err(|error| format!("socket {index} ('{name}') that was passed: {error}"))?;
            sockets.push(Socket { name, listener });
        }
        Ok(Self { sockets })
    }

    /// What they are called, and where they listen.
    ///
    /// # Errors
    ///
    /// One line: an address cannot be written.
    pub(crate) fn passed(&self) -> Result<Passed, String> {
        let place = |socket: &Socket| Ok((socket.name.clone(), place(socket.listener.address())?));
        let sockets = self.sockets.iter().map(place);
        Ok(Passed {
            sockets: sockets.collect::<Result<_, String>>()?,
        })
    }

    /// The sockets at which one of `hosts`, or of `others`, listens; a word on those at which nobody does.
    pub(crate) fn into_listeners(
        self,
        hosts: &[HostSettings],
        others: &[ListenAddress],
    ) -> Vec<PassedListener> {
        let of_hosts = hosts.iter().flat_map(|host| host.listen.iter().flatten());
        let asked: Vec<&Place> = of_hosts
            .map(|address| &address.value.place)
            .chain(others.iter().map(|address| &address.place))
            .collect();
        let mut listeners = Vec::new();
        for Socket { name, listener } in self.sockets {
            let place = place(listener.address());
            if place.is_ok_and(|place| asked.contains(&&place)) {
                listeners.push(listener);
            } else {
                log::warn!(
                    "the socket '{name}' was passed and is not used: --listen systemd:{name}"
                );
            }
        }
        listeners
    }
}

/// What sockets that were passed are called, and where they listen: for as long as the program runs.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    sockets: Vec<(String, Place)>,
}

impl Passed {
    /// Puts the addresses of sockets in the place of those that ask for them.
    ///
    /// # Errors
    ///
    /// One line: there is none of that name.
    pub(crate) fn put_into(&self, hosts: &mut [HostSettings]) -> Result<(), String> {
        for listen in hosts.iter_mut().filter_map(|host| host.listen.as_mut()) {
            let mut found = Vec::new();
            for Located { value, line } in listen.drain(..) {
                let values = self.found_for(value)?.into_iter();
                found.extend(values.map(|value| Located { value, line }));
            }
            *listen = found;
        }
        Ok(())
    }

    /// The addresses of all sockets that `address` asks for, or itself.
    ///
    /// # Errors
    ///
    /// As [`put_into`](Self::put_into).
    pub(crate) fn found_for(&self, address: ListenAddress) -> Result<Vec<ListenAddress>, String> {
        let Place::Systemd(name) = &address.place else {
            return Ok(vec![address]);
        };
        let mut found = Vec::new();
        for (known, place) in &self.sockets {
            if name.as_ref().is_none_or(|name| name == known) {
                found.push(address.clone().at(place.clone()));
            }
        }
        if found.is_empty() && self.sockets.is_empty() {
            return Err(format!(
                "{}: no socket was taken at the start, which is when that is done: restart the program",
                address.place
            ));
        }
        if found.is_empty() {
            let names = self.sockets.iter().map(|(name, _)| &**name);
            let names = names.collect::<Vec<_>>().join(", ");
            let place = &address.place;
            return Err(format!(
                "{place}: the sockets that were passed are named {names}"
            ));
        }
        Ok(found)
    }
}

/// How many sockets were passed to the process `pid`, by its environment.
fn passed_count(variable: impl Fn(&str) -> Option<String>, pid: u32) -> u16 {
    let number = |name| variable(name).and_then(|text| text.parse::<u32>().ok());
    match (number("LISTEN_PID"), number("LISTEN_FDS")) {
        (Some(found), Some(count)) if found == pid => u16::try_from(count).unwrap_or(u16::MAX),
        // Another process was meant, which this one came from.
        _ => 0,
    }
}

/// The socket of a descriptor that is said to have been passed.
fn listener(socket: OwnedFd) -> io::Result<PassedListener> {
    match fcntl_getfd(&socket) {
        Ok(_) => PassedListener::new(socket),
        Err(error) => {
            // There is nothing to close.
            mem::forget(socket);
            Err(error.into())
        }
    }
}

/// The same place as it is written.
fn place(address: &Address) -> Result<Place, String> {
    let address = match address {
        Address::Ip(address) => return Ok(Place::Ip(*address)),
        Address::Unix(address) => address,
    };
    let path = address.path().and_then(|path| path.to_str());
    let name = address.abstract_name().map(std::str::from_utf8);
    match (path, name) {
        (Some(path), _) => Ok(Place::Unix(path.to_owned())),
        (None, Some(Ok(name))) => Ok(Place::Unix(format!("@{name}"))),
        (None, _) => Err(format!("{address}: the name of that socket is not UTF-8")),
    }
}

/// Who is told how the server is.
#[derive(Debug)]
pub(crate) struct Notifier {
    socket: UnixDatagram,
}

impl Notifier {
    /// The one that the environment names, if there is one. To be made before ids change.
    pub(crate) fn from_environment() -> Option<Self> {
        let name = env::var_os("NOTIFY_SOCKET")?;
        let connected = name.to_str().map_or_else(
            || Err(io::Error::other("its name is not UTF-8")),
            Self::connect,
        );
        match connected {
            Ok(notifier) => Some(notifier),
            Err(error) => {
                let name = name.display();
                log::warn!("nobody is told that this is ready, by NOTIFY_SOCKET={name}: {error}");
                None
            }
        }
    }

    fn connect(name: &str) -> io::Result<Self> {
        let address = match name.as_bytes() {
            [b'/', ..] => SocketAddr::from_pathname(name)?,
            #[cfg(target_os = "linux")]
            [b'@', name @ ..] => {
                use std::os::linux::net::SocketAddrExt;
                SocketAddr::from_abstract_name(name)?
            }
            _ => return Err(io::Error::other("it is no path of a Unix socket")),
        };
        let socket = UnixDatagram::unbound()?;
        // The loop waits for nobody: what does not fit is lost, which the next of its kind mends.
        socket.set_nonblocking(true)?;
        socket.connect_addr(&address)?;
        Ok(Self { socket })
    }

    /// Tells it.
    pub(crate) fn tell(&self, event: ServerEvent) {
        let state = match event {
            ServerEvent::Ready | ServerEvent::Reloaded => "READY=1".to_owned(),
            ServerEvent::Alive => "WATCHDOG=1".to_owned(),
            ServerEvent::Stopping => "STOPPING=1".to_owned(),
            ServerEvent::Reloading => {
                let now = clock_gettime(ClockId::Monotonic);
                let micros = now.tv_sec * 1_000_000 + now.tv_nsec / 1000;
                format!("RELOADING=1\nMONOTONIC_USEC={micros}")
            }
            _ => return,
        };
        if let Err(error) = self.socket.send(state.as_bytes()) {
            // The next one of these comes soon.
            let level = match event {
                ServerEvent::Alive => Level::Debug,
                _ => Level::Warn,
            };
            log::log!(level, "the service manager was not told {state:?}: {error}");
        }
    }
}

/// How often a service manager wants to be told that the loop turns: twice in the time after which it
/// takes the process for dead, if it watches this one.
pub(crate) fn watchdog_interval() -> Option<Duration> {
    interval(|name| env::var(name).ok(), process::id())
}

fn interval(variable: impl Fn(&str) -> Option<String>, pid: u32) -> Option<Duration> {
    let micros: u64 = variable("WATCHDOG_USEC")?.parse().ok()?;
    let is_meant = variable("WATCHDOG_PID").is_none_or(|meant| meant.parse() == Ok(pid));
    (is_meant && micros > 0).then(|| Duration::from_micros(micros) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of<'a>(variables: &'a [(&str, &str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        }
    }

    #[test]
    fn sockets_are_taken_by_the_process_that_they_are_for() {
        for (pid, count, expected) in [
            ("7", "2", 2),
            ("8", "2", 0),
            ("", "2", 0),
            ("7", "", 0),
            ("7", "-1", 0),
            ("7", "99999999", u16::MAX),
        ] {
            let variables = [("LISTEN_PID", pid), ("LISTEN_FDS", count)];
            assert_eq!(passed_count(of(&variables), 7), expected, "{variables:?}");
        }
        assert_eq!(passed_count(of(&[("LISTEN_FDS", "1")]), 7), 0);
    }

    #[test]
    fn the_watchdog_is_fed_twice_in_its_time() {
        for (variables, millis) in [
            (&[("WATCHDOG_USEC", "3000000")][..], Some(1500)),
            (
                &[("WATCHDOG_USEC", "3000000"), ("WATCHDOG_PID", "7")],
                Some(1500),
            ),
            (&[("WATCHDOG_USEC", "3000000"), ("WATCHDOG_PID", "8")], None),
            (&[("WATCHDOG_USEC", "0")], None),
            (&[("WATCHDOG_USEC", "soon")], None),
            (&[], None),
        ] {
            let expected = millis.map(Duration::from_millis);
            assert_eq!(interval(of(variables), 7), expected, "{variables:?}");
        }
    }
}
