//! A server over simulated sockets: for this crate's own tests and benches, which hold a million
//! clients in it, or count instructions without the noise of a kernel.

use crate::error::Error;
use crate::event_loop::EventLoop;
use crate::event_loop::control::Control;
use crate::event_loop::reload::{Next, NextListener};
use crate::event_loop::simulated::{self, Simulated, SimulatedListener};
use crate::server::Server;
use std::fmt;
use std::time::Duration;

pub use crate::event_loop::simulated::faults::Fault;

/// A client of a [`Simulation`], by the number of its socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(u32);

/// A bound server whose clients, network and time are this thread's to move. One a thread.
pub struct Simulation {
    event_loop: EventLoop<Simulated>,
}

impl Simulation {
    /// What each simulated socket takes in memory while nothing waits in it.
    pub const SOCKET_BYTES: usize = simulated::SOCKET_BYTES;

    /// Starts `server`, all of whose hosts share one simulated address, with TLS if one of theirs has
    /// it.
    ///
    /// # Errors
    ///
    /// As [`Server::bind`] and [`Bound::run`](crate::Bound::run), but for those of sockets.
    pub fn new(server: Server) -> Result<Self, Error> {
        simulated::reset(None);
        Self::start(server)
    }

    /// The same, with polls that bring so many events at most.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_events_per_poll(server: Server, most: usize) -> Result<Self, Error> {
        simulated::reset(Some(most));
        Self::start(server)
    }

    fn start(mut server: Server) -> Result<Self, Error> {
        let stats = server.unasked_stats();
        let access_log = server.take_access_log();
        let (listening, responders, names, config) = server.into_parts(SimulatedListener)?;
        let listeners = vec![listening];
        let control = Control::new(None);
        let mut event_loop =
            EventLoop::new(Simulated, control, listeners, responders, names, config)?;
        event_loop.attach(&stats);
        if let Some(log) = access_log {
            event_loop.log_access(log);
        }
        event_loop.start()?;
        Ok(Self { event_loop })
    }

    /// Makes room for `count` peers.
    pub fn reserve(&mut self, count: usize) {
        simulated::reserve(count);
    }

    /// A client connects; what it is sent is kept for [`take_output`](Self::take_output) if
    /// `keep_output`, else only counted.
    pub fn connect(&mut self, keep_output: bool) -> Peer {
        Peer(simulated::connect(keep_output))
    }

    /// The next `count` attempts to accept a client find no descriptor for it.
    pub fn exhaust_descriptors(&mut self, count: usize) {
        simulated::exhaust(count);
    }

    /// A client sends `bytes`.
    pub fn send(&mut self, peer: Peer, bytes: &[u8]) {
        simulated::send(peer.0, bytes);
    }

    /// A client ends its side of the stream.
    pub fn end(&mut self, peer: Peer) {
        simulated::end(peer.0);
    }

    /// A client resets its connection: what it sent and was not read yet is lost.
    pub fn reset(&mut self, peer: Peer) {
        simulated::reset_by_peer(peer.0);
    }

    /// A client's network takes `bytes` more and then no more, until this is called again.
    pub fn set_room(&mut self, peer: Peer, bytes: u64) {
        simulated::set_room(peer.0, bytes);
    }

    /// The same, but the server is not told: a kernel tells it when a third of a socket's buffer is free.
    pub fn set_untold_room(&mut self, peer: Peer, bytes: u64) {
        simulated::set_untold_room(peer.0, bytes);
    }

    /// Does what a write of the server to a client's socket does here, which is to count: what of
    /// a figure is the simulation's own. It is among the bytes that the client was sent.
    pub fn count_as_write(&mut self, peer: Peer, bytes: &[u8]) {
        simulated::write(peer.0, bytes);
    }

    /// How many bytes a client was sent.
    #[must_use]
    pub fn taken(&self, peer: Peer) -> u64 {
        simulated::taken(peer.0)
    }

    /// What a client was sent since the last call.
    #[must_use]
    pub fn take_output(&mut self, peer: Peer) -> Vec<u8> {
        simulated::take_output(peer.0)
    }

    /// Whether the server closed its side of a client's stream.
    #[must_use]
    pub fn is_closed(&self, peer: Peer) -> bool {
        simulated::is_closed(peer.0)
    }

    /// Whether the server closed a client's connection by a reset, which says that something was cut
    /// off.
    #[must_use]
    pub fn is_reset(&self, peer: Peer) -> bool {
        simulated::is_reset(peer.0)
    }

    /// Whether a [`Fault`] broke a client's connection or lost it in another way.
    #[must_use]
    pub fn is_faulted(&self, peer: Peer) -> bool {
        simulated::is_faulted(peer.0)
    }

    /// From now on each of these kinds of faults happens as often as is said, of 1,000 times that it
    /// could; the others never. The same seed comes to the same.
    pub fn set_faults(&mut self, seed: u64, rates: &[(Fault, u16)]) {
        simulated::set_faults(seed, rates);
    }

    /// How often a kind of fault happened so far.
    #[must_use]
    pub fn fault_count(&self, fault: Fault) -> u64 {
        simulated::fault_count(fault)
    }

    /// The calendar says that it is so much later than the clock does: it jumps to that, forward or
    /// back.
    pub fn jump_calendar(&mut self, by: Duration) {
        simulated::jump_calendar(by);
    }

    /// Looks through all that the server keeps of its clients, whether it agrees with itself and with
    /// the sockets. To be called between two turns.
    ///
    /// # Panics
    ///
    /// If it does not.
    pub fn check(&mut self) {
        self.event_loop.check_invariants();
        self.event_loop.check_sockets();
    }

    /// Bytes that wait for the open WebSocket client that has most of them, of those whose sockets are
    /// full, and those of half-read input of all clients.
    #[must_use]
    pub fn held_bytes(&self) -> (u64, usize) {
        self.event_loop.most_held_bytes()
    }

    /// The loop is woken, as it is by what other threads ask of it: on this one nothing else does that.
    pub fn wake(&mut self) {
        simulated::wake();
    }

    /// The server becomes another, with the listener that it has, as by a [reload](Server::on_reload).
    /// If its clients are leaving it does not, and this is `false`.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), of names and addresses.
    ///
    /// # Panics
    ///
    /// If an endpoint is another server's or does not start.
    pub fn reload(&mut self, server: Server) -> Result<bool, Error> {
        let (listening, hosts, names, config) = server.into_parts(())?;
        let mut next = Some(Next {
            listeners: vec![NextListener::in_place_of(0, listening)],
            hosts,
            names,
            config,
        });
        self.event_loop.on_reload(Box::new(move |event_loop| {
            if let Some(next) = next.take() {
                let became = event_loop.become_next(next);
                became.expect("endpoints of this server, or new ones that start");
            }
        }));
        Ok(self.event_loop.reload())
    }

    /// Asks for a graceful stop.
    pub fn stop(&mut self) {
        self.event_loop.control().stop();
        simulated::wake();
    }

    /// How long after the start all timers have expired that were due by then: as long as the clock
    /// says, but for those that wait for a turn of theirs.
    #[must_use]
    pub fn expired_until(&self) -> Duration {
        Duration::from_millis(self.event_loop.expired_until().as_millis())
    }

    /// Time passes. Nothing happens before the next [`turn`](Self::turn).
    pub fn advance(&mut self, duration: Duration) {
        simulated::advance(duration);
    }

    /// One turn of the loop. It never waits.
    ///
    /// # Errors
    ///
    /// What ends a server.
    pub fn turn(&mut self) -> Result<(), Error> {
        self.event_loop.turn()
    }

    /// Whether a turn would find something to do now.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        simulated::is_changed() || self.event_loop.is_busy()
    }

    /// How long the last turn would have slept at most, had nothing happened; `None` is for ever.
    #[must_use]
    pub fn last_timeout(&self) -> Option<Duration> {
        simulated::last_timeout()
    }

    /// Turns until nothing is left to do now; how many.
    ///
    /// # Errors
    ///
    /// What ends a server.
    pub fn settle(&mut self) -> Result<usize, Error> {
        let mut turns = 0;
        while self.is_busy() {
            self.turn()?;
            turns += 1;
        }
        Ok(turns)
    }

    /// How many messages were compressed so far, a message for several clients once for each window.
    #[must_use]
    pub fn compressed_count(&self) -> u64 {
        self.event_loop.compressed_count()
    }

    /// How many clients have a compressor to themselves.
    #[must_use]
    pub fn compressor_count(&self) -> usize {
        self.event_loop.compressor_count()
    }

    /// How many addresses are counted for a limit of theirs, and for how many clients.
    #[must_use]
    pub fn counted_addresses(&self) -> (usize, usize) {
        self.event_loop.counted_addresses()
    }

    /// How many entries there are in the tables of what few clients have at a time: none without
    /// clients.
    #[must_use]
    pub fn aside_count(&self) -> usize {
        self.event_loop.aside_count()
    }

    /// How many clients are connected.
    #[must_use]
    pub fn client_count(&self) -> usize {
        self.event_loop.client_count()
    }
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation")
            .field("client_count", &self.client_count())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ClientId, Config, Endpoint, Host, Message, Request, Response, Router, WebSocketHandler,
        websocket,
    };

    struct Echo {
        ws: Endpoint,
    }

    impl WebSocketHandler for Echo {
        type HandshakeData = ();

        fn on_handshake(&mut self, _: &Request, _: &mut Response) -> Option<()> {
            Some(())
        }

        fn on_data(&mut self, client: ClientId, message: Message<'_>) {
            self.ws.send(client, message);
        }
    }

    const HANDSHAKE: &[u8] = b"GET /echo HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Version: 13\r\n\r\n";

    fn simulation() -> Simulation {
        simulation_with(Config::default())
    }

    fn simulation_with(config: Config) -> Simulation {
        let router = Router::new().get("/echo", websocket(|ws| Echo { ws }));
        let server = Server::new().config(config).host(Host::new().add(router));
        Simulation::new(server).expect("it starts")
    }

    /// A turn, and how long it would have slept at most.
    fn timeout_of_turn(simulation: &mut Simulation) -> Option<Duration> {
        simulation.turn().expect("it goes on");
        simulation.last_timeout()
    }

    #[test]
    fn a_client_opens_echoes_and_closes_without_a_socket() {
        let mut simulation = simulation();
        let peer = simulation.connect(true);
        simulation.send(peer, HANDSHAKE);
        simulation.settle().expect("it goes on");
        let answer = simulation.take_output(peer);
        assert!(
            answer.starts_with(b"HTTP/1.1 101 "),
            "{}",
            answer.escape_ascii()
        );
        // RFC 6455 section 5.7: "Hello", masked and not.
        simulation.send(peer, b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
        simulation.settle().expect("it goes on");
        assert_eq!(simulation.take_output(peer), b"\x81\x05Hello");
        simulation.end(peer);
        simulation.settle().expect("it goes on");
        assert!(simulation.is_closed(peer));
        assert_eq!(simulation.client_count(), 0);
    }

    #[test]
    fn time_passes_when_it_is_told_to() {
        let mut simulation = simulation();
        let peer = simulation.connect(true);
        simulation.send(peer, HANDSHAKE);
        simulation.settle().expect("it goes on");
        let _ = simulation.take_output(peer);
        simulation.advance(Duration::from_millis(9_999));
        simulation.settle().expect("it goes on");
        assert_eq!(simulation.take_output(peer), b"");
        simulation.advance(Duration::from_millis(1));
        simulation.settle().expect("it goes on");
        assert_eq!(simulation.take_output(peer), b"\x89\x00", "a ping");
    }

    #[test]
    fn a_proxy_header_buys_the_first_request_no_time() {
        let host = Host::new().listen("127.0.0.1:0?proxy-protocol");
        let mut simulation = Simulation::new(Server::new().host(host)).expect("it starts");
        let peer = simulation.connect(true);
        simulation.settle().expect("it goes on");
        simulation.advance(Duration::from_millis(9_999));
        simulation.send(peer, b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n");
        simulation.settle().expect("it goes on");
        assert!(!simulation.is_closed(peer));
        simulation.advance(Duration::from_millis(1));
        simulation.settle().expect("it goes on");
        assert!(simulation.is_closed(peer));
    }

    #[test]
    fn without_busy_poll_the_loop_sleeps_at_once_to_a_far_deadline_in_two_steps() {
        let mut simulation = simulation();
        assert_eq!(timeout_of_turn(&mut simulation), Some(Duration::ZERO));
        assert_eq!(timeout_of_turn(&mut simulation), None, "nothing is due");
        let peer = simulation.connect(true);
        simulation.send(peer, HANDSHAKE);
        simulation.settle().expect("it goes on");
        // The heartbeat is due after 10 s.
        let mut timeout_after = |millis| {
            simulation.advance(Duration::from_millis(millis));
            timeout_of_turn(&mut simulation)
        };
        assert_eq!(timeout_after(0), Some(Duration::from_millis(9_500)));
        timeout_after(9_500);
        assert_eq!(timeout_after(0), Some(Duration::from_millis(500)));
        assert_eq!(timeout_after(499), Some(Duration::from_millis(1)));
    }

    #[test]
    fn with_busy_poll_the_loop_spins_so_long_after_the_last_event_and_then_sleeps() {
        let mut simulation = simulation_with(Config {
            busy_poll: Duration::from_millis(20),
            ..Config::default()
        });
        let peer = simulation.connect(true);
        simulation.send(peer, HANDSHAKE);
        simulation.settle().expect("it goes on");
        // From its first moment to its last: an event starts it anew, a turn without one does not.
        for round in 1..=2 {
            assert_eq!(timeout_of_turn(&mut simulation), Some(Duration::ZERO));
            simulation.advance(Duration::from_nanos(19_999_999));
            assert_eq!(timeout_of_turn(&mut simulation), Some(Duration::ZERO));
            simulation.advance(Duration::from_nanos(1));
            let heartbeat = Duration::from_millis(10_000 - round * 20);
            assert_eq!(timeout_of_turn(&mut simulation), Some(heartbeat));
            simulation.send(peer, b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
            simulation.settle().expect("it goes on");
        }
    }

    /// Answers with how many messages, frames and bytes it knows of.
    struct Counts {
        ws: Endpoint,
    }

    impl WebSocketHandler for Counts {
        type HandshakeData = ();

        fn on_handshake(&mut self, _: &Request, _: &mut Response) -> Option<()> {
            Some(())
        }

        fn on_data(&mut self, client: ClientId, _: Message<'_>) {
            let info = self.ws.info(client).expect("it is open");
            let text = format!(
                "{} {} {}",
                info.messages_read, info.frames_read, info.bytes_read
            );
            self.ws.send(client, text);
        }
    }

    #[test]
    fn a_message_that_is_handed_over_is_counted_whichever_way_it_came() {
        let router = Router::new().get("/echo", websocket(|ws| Counts { ws }));
        let server = Server::new().host(Host::new().add(router));
        let mut simulation = Simulation::new(server).expect("it starts");
        let peer = simulation.connect(true);
        simulation.send(peer, HANDSHAKE);
        simulation.settle().expect("it goes on");
        let _ = simulation.take_output(peer);
        let (text, ping) = (b"\x81\x80abcd", b"\x89\x80abcd");
        simulation.send(peer, &[&text[..], text, ping, text, text].concat());
        simulation.settle().expect("it goes on");
        assert_eq!(
            simulation.take_output(peer).escape_ascii().to_string(),
            r"\x81\x061 1 30\x81\x062 2 30\x8a\x00\x81\x063 4 30\x81\x064 5 30"
        );
        // A read that fills the buffer does not come straight.
        simulation.send(peer, &text.repeat(50_000));
        simulation.settle().expect("it goes on");
        let answers = simulation.take_output(peer);
        assert_eq!(
            &answers[..12],
            b"\x81\x0a5 6 262174",
            "the buffer's 256 KiB"
        );
        assert!(answers.ends_with(b"50004 50005 300030"));
    }

    #[test]
    fn a_socket_without_room_takes_the_rest_later() {
        let mut simulation = simulation();
        let peer = simulation.connect(true);
        simulation.send(peer, HANDSHAKE);
        simulation.settle().expect("it goes on");
        let _ = simulation.take_output(peer);
        simulation.set_room(peer, 3);
        simulation.send(peer, b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
        simulation.settle().expect("it goes on");
        assert_eq!(simulation.take_output(peer), b"\x81\x05H");
        simulation.set_room(peer, 100);
        simulation.settle().expect("it goes on");
        assert_eq!(simulation.take_output(peer), b"ello");
    }
}
