//! The operating system's side of the seam: mio's poll, and the process's signals.

use crate::event_loop::control::Control;
use crate::event_loop::listener::ListeningSocket;
use crate::event_loop::signals::{Came, Signals};
use crate::event_loop::socket::StreamSocket;
use crate::event_loop::system::{Ready, System};
use mio::{Events, Poll, Token};
use std::io::{self, ErrorKind};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

/// Events taken from the poll at once.
const EVENTS_PER_POLL: usize = 1024;

/// See the module.
pub(crate) struct Kernel {
    poll: Poll,
    signals: Option<Signals>,
    /// What `SIGUSR1` does.
    on_state: Option<Box<dyn Fn()>>,
}

impl Kernel {
    /// A poll, and what wakes it from other threads: its event has the token `waker`.
    ///
    /// # Errors
    ///
    /// Whatever the system says.
    pub(crate) fn new(waker: usize) -> io::Result<(Self, Arc<Control>)> {
        let poll = Poll::new()?;
        let control = Control::new(Some(mio::Waker::new(poll.registry(), Token(waker))?));
        let kernel = Self {
            poll,
            signals: None,
            on_state: None,
        };
        Ok((kernel, control))
    }

    /// Takes `SIGINT`, `SIGTERM` and `SIGUSR1` over, and `SIGHUP` if `hangup`; their event has the token
    /// `token`.
    ///
    /// # Errors
    ///
    /// Whatever the system says.
    pub(crate) fn take_signals(
        &mut self,
        token: usize,
        hangup: bool,
        on_state: Box<dyn Fn()>,
    ) -> io::Result<()> {
        let registry = self.poll.registry();
        self.signals = Some(Signals::register(registry, Token(token), hangup)?);
        self.on_state = Some(on_state);
        Ok(())
    }
}

/// What [`nanos`] counts from.
static BASE: OnceLock<Instant> = OnceLock::new();

/// The clock of `Instant` as a plain number, which costs less to reckon with.
fn nanos() -> u64 {
    let since = Instant::now().saturating_duration_since(*BASE.get_or_init(Instant::now));
    since.as_secs() * 1_000_000_000 + u64::from(since.subsec_nanos())
}

impl System for Kernel {
    type Socket = StreamSocket;
    type Listener = ListeningSocket;

    type Events = Events;

    fn events(&self) -> (Events, usize) {
        (Events::with_capacity(EVENTS_PER_POLL), EVENTS_PER_POLL)
    }

    fn poll(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        let mut timeout = timeout;
        loop {
            match self.poll.poll(events, timeout) {
                // Also when the process was stopped and goes on: then it is time to look what
                // came meanwhile, before any deadline is judged.
                Err(error) if error.kind() == ErrorKind::Interrupted => {
                    timeout = Some(Duration::ZERO);
                }
                result => return result,
            }
        }
    }

    #[inline]
    fn iter(events: &Events) -> impl Iterator<Item = Ready> {
        events.iter().map(|event| {
            let read_closed = event.is_read_closed() || event.is_error();
            Ready {
                token: event.token().0,
                readable: event.is_readable() || read_closed,
                writable: event.is_writable(),
                read_closed,
                broken: event.is_error() || (read_closed && event.is_write_closed()),
            }
        })
    }

    fn register(&mut self, socket: &mut StreamSocket, token: usize) -> io::Result<()> {
        socket.register(self.poll.registry(), Token(token))
    }

    fn watch_writable(&mut self, socket: &mut StreamSocket, token: usize) -> io::Result<()> {
        socket.watch_writable(self.poll.registry(), Token(token))
    }

    fn listen(&mut self, listener: &mut ListeningSocket, token: usize) -> io::Result<()> {
        listener.register(self.poll.registry(), Token(token))
    }

    fn relisten(&mut self, listener: &mut ListeningSocket, token: usize) -> io::Result<()> {
        listener.reregister(self.poll.registry(), Token(token))
    }

    fn unlisten(&mut self, listener: &mut ListeningSocket) {
        // It is not registered if that fails.
        let _ = listener.deregister(self.poll.registry());
    }

    fn clock(&self) -> fn() -> u64 {
        nanos
    }

    fn calendar(&self) -> SystemTime {
        SystemTime::now()
    }

    fn signals(&mut self) -> Came {
        let came = self.signals.as_mut().map(Signals::take);
        let came = came.unwrap_or_default();
        if came.state
            && let Some(act) = &self.on_state
        {
            act();
        }
        came
    }
}
