//! One connection from its first byte to its last, and the lines and Pings that go with it.
//!
//! ```text
//!              101                 input ends and its wait is over, enough came, Ctrl-C
//!  connecting ────▶ open ─────────────────────────────────────────────────────────────▶ closing
//!      │             │ the server closes, or is lost                                       │
//!      └─────────────┴────────────────────▶ the end ◀────────────── its Close, or too long ┘
//! ```

use super::ConnectArgs;
use super::display;
use super::input::{self, Input};
use super::told::Told;
use crate::cli::client::connection::{Connection, Shared};
use crate::cli::client::opening::Wishes;
use crate::cli::client::target::Target;
use crate::cli::client::transport::{Brought, Transport};
use aerys::{CloseCode, Message};
use mio::{Events, Interest, Poll, Token, Waker};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;
use std::io::{self, ErrorKind, IsTerminal};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

/// For TCP, TLS and the opening handshake together.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// For the server's Close after ours.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest message that is taken.
const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

const SOCKET: Token = Token(0);
const SIGNALS: Token = Token(1);
const INPUT: Token = Token(2);

/// What is read, and how many lines are sent, before anything else has its turn: what is shown and
/// Ctrl-C have to come through a flood, too.
const READS_A_TURN: usize = 16;
const LINES_A_TURN: usize = 64;

/// Connects by `args` and goes on until one side closes.
///
/// # Errors
///
/// In one line, why it was no normal close.
pub(super) fn run(args: &ConnectArgs) -> Result<(), String> {
    run_at(args, Target::find(&args.url, &args.tls)?)
}

fn run_at(args: &ConnectArgs, mut target: Target) -> Result<(), String> {
    loop {
        let session = Session::new(args, &target).map_err(End::NotConnected);
        let outcome = session.and_then(|mut session| {
            let outcome = session.run();
            // What was shown last is what is asked for first.
            let _ = session.told.display.show();
            outcome
        });
        match outcome {
            Ok(()) => return Ok(()),
            // Where nothing was there yet, it may be at another address of the host.
            Err(End::NotConnected(_)) if target.next_address() => {}
            Err(End::NotConnected(error)) => {
                return Err(format!("cannot connect to {}: {error}", args.url));
            }
            Err(End::Told(line)) => return Err(line),
        }
    }
}

/// Why there is no more of a session.
#[derive(Debug)]
enum End {
    NotConnected(io::Error),
    Told(String),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Told(format!("the connection is lost: {error}"))
    }
}

/// See the module.
struct Session<'a> {
    args: &'a ConnectArgs,
    poll: Poll,
    signals: Signals,
    waker: Arc<Waker>,
    transport: Transport,
    connection: Connection,
    shared: Shared,
    /// What the connection has for the transport.
    output: Vec<u8>,
    told: Told,
    /// Once the connection is open, until its end.
    input: Option<Receiver<Input>>,
    /// What went wrong with the input: the connection is closed as it should be all the same.
    input_error: Option<String>,
    /// Of the handshake, of the wait for answers or of the closing handshake.
    deadline: Option<Instant>,
    next_ping: Option<Instant>,
    is_closing: bool,
    /// Whether something is left to be read, of the socket or of the input.
    has_more: bool,
}

impl<'a> Session<'a> {
    fn new(args: &'a ConnectArgs, target: &Target) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), INPUT)?);
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let mut transport = target.connect(None)?;
        let both = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut transport, SOCKET, both)?;
        poll.registry()
            .register(&mut signals, SIGNALS, Interest::READABLE)?;
        let mut headers = args.header.clone();
        headers.extend(
            args.origin
                .clone()
                .map(|origin| ("Origin".to_owned(), origin)),
        );
        let wishes = Wishes {
            compression: args.compression,
            subprotocols: args.subprotocol.clone(),
            headers,
        };
        let (mut shared, mut output) = (Shared::default(), Vec::new());
        Ok(Self {
            connection: Connection::new(
                &args.url,
                &wishes,
                MAX_MESSAGE_BYTES,
                &mut shared,
                &mut output,
            ),
            args,
            poll,
            signals,
            waker,
            transport,
            shared,
            output,
            told: Told::new(args),
            input: None,
            input_error: None,
            deadline: Some(Instant::now() + HANDSHAKE_TIMEOUT),
            next_ping: None,
            is_closing: false,
            has_more: false,
        })
    }

    fn run(&mut self) -> Result<(), End> {
        let mut events = Events::with_capacity(16);
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let nearest = [self.deadline, self.next_ping].into_iter().flatten().min();
            let timeout = nearest.map(|at| at.saturating_duration_since(Instant::now()));
            let timeout = if self.has_more {
                Some(Duration::ZERO)
            } else {
                timeout
            };
            self.has_more = false;
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                polled => polled.map_err(End::NotConnected)?,
            }
            if self.signals.pending().next().is_some() {
                self.interrupted()?;
            }
            if self.transport.poll_connected().map_err(End::NotConnected)? {
                self.read(&mut buffer)?;
                if self.is_at_its_end() {
                    return self.judged();
                }
                self.go_on(Instant::now())?;
            }
            self.expire(Instant::now())?;
            if self.told.display.show().is_err() {
                // Nobody reads what comes.
                self.close(CloseCode::NORMAL);
                self.send()?;
            }
        }
    }

    /// Takes what is there.
    fn read(&mut self, buffer: &mut [u8]) -> Result<(), End> {
        for _ in 0..READS_A_TURN {
            if self.is_at_its_end() {
                return Ok(());
            }
            let len = match self.transport.read(buffer) {
                Ok(Brought::Some(len) | Brought::Last(len)) => len,
                Ok(Brought::Nothing) => return Ok(()),
                Ok(Brought::End) => {
                    let during = if self.told.is_open {
                        "without a Close"
                    } else {
                        "before it answered"
                    };
                    let code = display::close(CloseCode::ABNORMAL, "");
                    return Err(End::Told(format!(
                        "the server ended the connection {during}: {code}"
                    )));
                }
                // TLS that cannot be believed says all itself.
                Err(error) if error.kind() == ErrorKind::InvalidData => {
                    return Err(End::Told(error.to_string()));
                }
                Err(error) => return Err(error.into()),
            };
            let told = &mut self.told;
            let taken = self.connection.receive(
                &buffer[..len],
                &mut self.shared,
                &mut self.output,
                |event| told.take(event, Instant::now()),
            );
            if let Err(error) = taken {
                // The Close that says so.
                let _ = self.transport.send(&self.output);
                return Err(End::Told(error.to_string()));
            }
        }
        self.has_more = true;
        Ok(())
    }

    fn is_at_its_end(&self) -> bool {
        self.connection.is_closed()
    }

    /// Sends what is to be sent as far as the socket takes it.
    fn go_on(&mut self, now: Instant) -> Result<(), End> {
        if self.told.is_open && self.input.is_none() && !self.is_closing {
            self.opened(now)?;
        }
        for count in 0..=LINES_A_TURN {
            if !self.send()? || !self.connection.is_open() {
                break;
            }
            if count == LINES_A_TURN {
                self.has_more = true;
                break;
            }
            let Some(input) = self.input.as_ref().and_then(|input| input.try_recv().ok()) else {
                break;
            };
            self.take_input(input, now);
        }
        if self.told.is_enough() {
            self.close(CloseCode::NORMAL);
        }
        self.send()?;
        Ok(())
    }

    fn opened(&mut self, now: Instant) -> Result<(), End> {
        self.deadline = None;
        self.next_ping = self.args.ping.map(|_| now);
        let lines = input::lines(Arc::clone(&self.waker));
        let lines = lines.map_err(|error| End::Told(format!("cannot read lines: {error}")))?;
        self.input = Some(lines);
        Ok(())
    }

    fn take_input(&mut self, input: Input, now: Instant) {
        let line = match input {
            Input::Line(line) => line,
            Input::End(Ok(())) => {
                self.input_ended(now);
                return;
            }
            Input::End(Err(error)) => {
                self.give_up(format!("standard input: {error}"));
                return;
            }
        };
        let message = match std::str::from_utf8(&line) {
            _ if self.args.binary => Message::Binary(&line),
            Ok(text) => Message::Text(text),
            Err(_) => {
                self.give_up(
                    "a line is not UTF-8, as text has to be: send it with --binary".to_owned(),
                );
                return;
            }
        };
        self.connection
            .send(message, &mut self.shared, &mut self.output);
    }

    /// Who ends the input of a terminal wants to leave; who pipes something in, to be answered.
    fn input_ended(&mut self, now: Instant) {
        match self.args.wait.0 {
            _ if io::stdin().is_terminal() => self.close(CloseCode::NORMAL),
            Some(time) => self.deadline = now.checked_add(time),
            None => {}
        }
    }

    fn give_up(&mut self, error: String) {
        self.input_error = Some(error);
        self.close(CloseCode::NORMAL);
    }

    /// A first Ctrl-C closes, a second one ends it.
    fn interrupted(&mut self) -> Result<(), End> {
        if self.is_closing || !self.told.is_open {
            return Err(End::Told("interrupted".to_owned()));
        }
        self.close(CloseCode::NORMAL);
        self.send()?;
        Ok(())
    }

    fn expire(&mut self, now: Instant) -> Result<(), End> {
        if let (Some(at), Some(interval)) = (self.next_ping, self.args.ping)
            && at <= now
        {
            let payload = self.told.begin_ping(now);
            self.connection
                .ping(&payload, &mut self.shared, &mut self.output);
            self.next_ping = now.checked_add(interval);
            self.send()?;
        }
        if self.deadline.is_none_or(|at| at > now) {
            return Ok(());
        }
        if !self.told.is_open {
            let seconds = HANDSHAKE_TIMEOUT.as_secs();
            if !self.transport.poll_connected().unwrap_or(false) {
                let error = io::Error::other(format!("no answer in {seconds} s"));
                return Err(End::NotConnected(error));
            }
            return Err(End::Told(format!(
                "no connection to {} in {seconds} s",
                self.args.url
            )));
        }
        if self.is_closing {
            let seconds = CLOSE_TIMEOUT.as_secs();
            return Err(End::Told(format!(
                "the server did not answer the Close in {seconds} s"
            )));
        }
        self.close(CloseCode::NORMAL);
        self.send()?;
        Ok(())
    }

    /// Begins the closing handshake, if it has not begun.
    fn close(&mut self, code: CloseCode) {
        if !self.is_closing {
            self.is_closing = true;
            self.connection
                .close(code, "", &mut self.shared, &mut self.output);
            self.deadline = Some(Instant::now() + CLOSE_TIMEOUT);
            self.next_ping = None;
            self.input = None;
        }
    }

    /// Whether the socket took everything.
    fn send(&mut self) -> Result<bool, End> {
        self.transport.send(&self.output)?;
        self.output.clear();
        Ok(self.transport.flush()?)
    }

    /// What the end was like.
    fn judged(&mut self) -> Result<(), End> {
        // The answer to the server's Close. It may be gone.
        let _ = self.transport.send(&self.output);
        let _ = self.transport.end();
        let (code, reason) = self
            .told
            .close
            .clone()
            .unwrap_or((CloseCode::ABNORMAL, String::new()));
        let close = display::close(code, &reason);
        if let Some(error) = self.input_error.take() {
            return Err(End::Told(error));
        }
        if self.is_closing {
            self.told.display.note(&format!("closed: {close}"));
            return Ok(());
        }
        if matches!(code, CloseCode::NORMAL | CloseCode::NO_STATUS) {
            self.told
                .display
                .note(&format!("closed by the server: {close}"));
            return Ok(());
        }
        Err(End::Told(format!(
            "the server closed the connection: {close}"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener};

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        connect: ConnectArgs,
    }

    /// Nobody can be connected to at the address for everybody, as the system knows at once.
    #[test]
    fn an_address_that_fails_at_once_is_followed_by_the_next() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let good = listener.local_addr().expect("an address");
        let answering = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 418 Teapot\r\n\r\n");
        });
        let bad = SocketAddr::from(([255; 4], 9));
        let line = Line::parse_from(["connect", "ws://a.example/"]);
        let told = run_at(&line.connect, Target::at(vec![bad, good]));
        assert!(
            told.as_ref().is_err_and(|told| told.contains("418 Teapot")),
            "{told:?}"
        );
        answering.join().expect("it was asked");
        let told = run_at(&line.connect, Target::at(vec![bad]));
        let begin = "cannot connect to ws://a.example/: ";
        assert!(
            told.as_ref().is_err_and(|told| told.starts_with(begin)),
            "{told:?}"
        );
    }
}
