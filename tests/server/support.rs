//! Servers under test: a library server on a thread of its own whose handler records what
//! happens to it, and the program in a process of its own. Both end with the test.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use aerys::{
    ClientId, CloseCode, Config, Endpoint, Handle, Host, Message, Request, Responder, Response,
    Server, StartError, TimerId, WebSocketConfig, WebSocketHandler, websocket,
};

use crate::client::{Client, PATIENCE};

/// What a [`Recorder`]'s callbacks were called with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Start,
    /// The request target.
    Handshake(String),
    /// The client, and what `on_handshake` returned: its request target once more.
    Open(ClientId, String),
    Text(ClientId, String),
    Binary(ClientId, Vec<u8>),
    Drain(ClientId),
    Timer(TimerId),
    Close(ClientId, u16, String),
    Stop,
}

/// A handler that reports each callback to the test, and then does what the test told it to.
#[derive(Debug)]
pub(crate) struct Recorder<F> {
    ws: Endpoint,
    events: Sender<Event>,
    react: F,
}

impl<F: FnMut(&Endpoint, &Event) + 'static> Recorder<F> {
    pub(crate) const fn new(ws: Endpoint, events: Sender<Event>, react: F) -> Self {
        Self { ws, events, react }
    }

    fn happened(&mut self, event: &Event) {
        // A test that has seen enough has dropped the other end.
        let _ = self.events.send(event.clone());
        (self.react)(&self.ws, event);
    }
}

impl<F: FnMut(&Endpoint, &Event) + 'static> WebSocketHandler for Recorder<F> {
    type HandshakeData = String;

    fn on_start(&mut self) -> Result<(), StartError> {
        self.happened(&Event::Start);
        Ok(())
    }

    fn on_handshake(&mut self, request: &Request, _: &mut Response) -> Option<String> {
        self.happened(&Event::Handshake(request.target().to_owned()));
        Some(request.target().to_owned())
    }

    fn on_open(&mut self, client: ClientId, target: String) {
        self.happened(&Event::Open(client, target));
    }

    fn on_data(&mut self, client: ClientId, message: Message<'_>) {
        self.happened(&match message {
            Message::Text(text) => Event::Text(client, text.to_owned()),
            Message::Binary(bytes) => Event::Binary(client, bytes.to_vec()),
        });
    }

    fn on_drain(&mut self, client: ClientId) {
        self.happened(&Event::Drain(client));
    }

    fn on_timer(&mut self, timer: TimerId) {
        self.happened(&Event::Timer(timer));
    }

    fn on_close(&mut self, client: ClientId, code: CloseCode, reason: &str) {
        self.happened(&Event::Close(client, code.into(), reason.to_owned()));
    }

    fn on_stop(&mut self) {
        self.happened(&Event::Stop);
    }
}

/// Sends each message back as the type that it came as.
pub(crate) fn echo(ws: &Endpoint, event: &Event) {
    match event {
        Event::Text(client, text) => ws.send(*client, text),
        Event::Binary(client, bytes) => ws.send(*client, bytes),
        _ => {}
    }
}

/// Sends each message to everyone.
pub(crate) fn broadcast(ws: &Endpoint, event: &Event) {
    match event {
        Event::Text(_, text) => ws.broadcast(text),
        Event::Binary(_, bytes) => ws.broadcast(bytes),
        _ => {}
    }
}

/// A library server on a free port, on a thread of its own.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    /// That of a second listener, if there is one.
    pub(crate) other_address: Option<SocketAddr>,
    pub(crate) handle: Handle,
    events: Receiver<Event>,
    thread: Option<JoinHandle<Result<(), String>>>,
}

impl TestServer {
    /// Starts the server that `build` makes of a host which listens already.
    pub(crate) fn start(
        build: impl FnOnce(Host, Sender<Event>) -> Server + Send + 'static,
    ) -> Self {
        Self::start_at("127.0.0.1:0", build)
    }

    /// The same at an address of the test's choice.
    pub(crate) fn start_at(
        address: &str,
        build: impl FnOnce(Host, Sender<Event>) -> Server + Send + 'static,
    ) -> Self {
        let address = address.to_owned();
        let (events_sender, events) = channel();
        let (ready_sender, ready) = channel();
        let thread = std::thread::spawn(move || {
            let server = build(Host::new().listen(address), events_sender);
            let bound = server.bind().map_err(|error| error.to_string())?;
            // Of a Unix socket the test knows the path already.
            let address = bound.addresses()[0].socket_addr();
            let address = address.unwrap_or_else(|| ([0; 4], 0).into());
            let other = bound
                .addresses()
                .get(1)
                .and_then(aerys::Address::socket_addr);
            let _ = ready_sender.send((address, other, bound.handle()));
            bound.run().map_err(|error| error.to_string())
        });
        let Ok((address, other_address, handle)) = ready.recv_timeout(PATIENCE) else {
            panic!("the server does not start: {:?}", thread.join())
        };
        Self {
            address,
            other_address,
            handle,
            events,
            thread: Some(thread),
        }
    }

    /// Starts one endpoint, on any path, whose handler does `react` after each recording.
    pub(crate) fn websocket(
        config: WebSocketConfig,
        react: impl FnMut(&Endpoint, &Event) + Send + 'static,
    ) -> Self {
        Self::limited(Config::default(), config, react)
    }

    /// The same with limits of the whole server.
    pub(crate) fn limited(
        config: Config,
        options: WebSocketConfig,
        react: impl FnMut(&Endpoint, &Event) + Send + 'static,
    ) -> Self {
        Self::start(|host, events| {
            let endpoint = websocket(|ws| Recorder::new(ws, events, react)).config(options);
            Server::new().config(config).host(host.add(endpoint))
        })
    }

    /// Starts a host without endpoints.
    pub(crate) fn http(config: Config, responder: impl Responder + Send + 'static) -> Self {
        Self::start(|host, _| Server::new().config(config).host(host.add(responder)))
    }

    /// Starts an echo on any path.
    pub(crate) fn echo() -> Self {
        Self::websocket(WebSocketConfig::default(), echo)
    }

    /// The next thing that happened, [`Event::Start`] apart.
    pub(crate) fn event(&self) -> Event {
        match self.event_within(PATIENCE) {
            Some(event) => event,
            None => panic!("nothing happens"),
        }
    }

    /// As [`event`](Self::event), if it happens in time.
    pub(crate) fn event_within(&self, time: Duration) -> Option<Event> {
        loop {
            match self.events.recv_timeout(time) {
                Ok(Event::Start) => {}
                Ok(event) => return Some(event),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// The next close, whatever happens before it.
    pub(crate) fn close_event(&self) -> (ClientId, u16, String) {
        loop {
            if let Event::Close(client, code, reason) = self.event() {
                return (client, code, reason);
            }
        }
    }

    /// What has happened and was not asked for yet, a moment from now.
    pub(crate) fn remaining_events(&self) -> Vec<Event> {
        std::iter::from_fn(|| self.event_within(Duration::from_millis(300))).collect()
    }

    /// Opens a WebSocket, and returns it with its id.
    pub(crate) fn open(&self, path: &str) -> (Client, ClientId) {
        let client = Client::open(self.address, path);
        loop {
            if let Event::Open(id, target) = self.event() {
                assert_eq!(target, path);
                return (client, id);
            }
        }
    }

    /// Begins a graceful stop.
    pub(crate) fn stop(&self) {
        self.handle.stop();
    }

    /// Waits for the end of `run` and returns its answer.
    pub(crate) fn join(&mut self) -> Result<(), String> {
        let thread = self.thread.take().expect("not joined before");
        wait_until("the server ends", || thread.is_finished());
        thread.join().expect("run does not panic")
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            let result = thread.join();
            if !std::thread::panicking() {
                result.expect("run does not panic").expect("run ends well");
            }
        }
    }
}

/// Waits for `condition`, and fails the test if it does not come.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Waits for a connection that is refused, since a listener may outlive a stop's begin by a turn.
pub(crate) fn expect_refused(address: SocketAddr) {
    wait_until("new connects are refused", || {
        std::net::TcpStream::connect(address).is_err()
    });
}
