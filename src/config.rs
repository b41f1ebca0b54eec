//! Every limit and every deadline, with its unit, its default and the reason for it.
//!
//! Two plain structures: [`Config`] for the server, [`WebSocketConfig`] for one WebSocket
//! endpoint. No behaviour lives here but to bring absurd values within bounds.

use crate::trust::{ForwardedField, TrustedProxy};
use std::rc::Rc;
use std::time::Duration;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Limits and deadlines of a server, whatever protocol its clients speak.
///
/// A timeout beyond a century is none.
///
/// ```
/// use aerys::Config;
/// let config = Config { max_body_bytes: 8 << 20, ..Config::default() };
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Most connections at once. Default `None`: as many as the process may have descriptors,
    /// less 32 for listeners and logs, and what [`FileCache`](crate::FileCache) may keep open. A client
    /// beyond it is answered 503; one that speaks TLS is closed. Streams of HTTP/2 are not counted.
    ///
    /// Before anybody is refused, an HTTP connection is closed that was answered and is idle, if one is
    /// found among 64 that are looked at.
    pub max_connections: Option<usize>,
    /// Most connections at once from one address: of IPv6 from one network of 64 bits, all of which one
    /// peer has. Default `None`: no limit, since all who are behind one router or proxy share an
    /// address. A client beyond it is answered 503; one that speaks TLS is closed.
    ///
    /// Where a PROXY header says who the client is, that address counts. Not counted are
    /// [`trusted_proxies`](Self::trusted_proxies), who speak for many, and Unix sockets. 0 counts as 1.
    pub max_connections_per_address: Option<usize>,
    /// Most connections accepted a second; as many may come at once. Default `None`: no limit. Those
    /// beyond it are not refused, but wait in the kernel's queue (see
    /// [`listen_backlog`](Self::listen_backlog)): a TLS handshake takes a thousand times the processor
    /// time of a message, and who is connected is not to wait for those of newcomers. 0 counts as 1.
    pub max_connections_per_second: Option<u32>,
    /// Longest header section of a request, request line included, in bytes. Default 16 KiB:
    /// cookies fit, and ten thousand half-sent requests stay under 160 MiB. Beyond it: 431. Over HTTP/2
    /// each field counts 32 bytes more than its name and value (RFC 9113 section 6.5.2).
    pub max_header_section_bytes: usize,
    /// Most header fields of a request. Default 100, what nearly all servers agree on. Beyond
    /// it: 431.
    pub max_header_count: usize,
    /// Longest request target in bytes. Default 8 KiB. Beyond it: 414.
    pub max_target_bytes: usize,
    /// Longest request body in bytes, after removing any chunked framing. Default 128 KiB: a
    /// form fits, and a route that takes more says so. Beyond it: 413.
    pub max_body_bytes: usize,
    /// How long a whole header section may take from its first byte (for a new connection:
    /// from the accept). Default 10 s. It is a total, since "so long between two reads" does
    /// not stop a client that sends a byte at a time. Beyond it: 408. Over HTTP/2 it holds for the
    /// preface and the first request, and for each frame and header section; beyond it: GOAWAY.
    pub header_timeout: Duration,
    /// How long a TLS handshake may take in all, from the accept. Default 10 s. Beyond it the
    /// connection is dropped.
    pub tls_handshake_timeout: Duration,
    /// How long a body may take before [`min_body_bytes_per_second`](Self::min_body_bytes_per_second)
    /// is asked of it. Default 10 s.
    pub body_grace: Duration,
    /// Least rate of a body, in bytes a second over its whole time, once `body_grace` is over.
    /// Default 1 KiB/s. Below it: 408.
    pub min_body_bytes_per_second: usize,
    /// How long a body that is taken in pieces may stand still, however fast it was before. Default
    /// 30 s. Beyond it: 408.
    pub body_stall_timeout: Duration,
    /// How long a connection may be idle between two requests. Default 15 s; then it is closed. One of
    /// HTTP/2 is idle while it has no stream.
    pub keep_alive_timeout: Duration,
    /// How long a client with waiting output may take none of it. Default 30 s; then it is
    /// dropped, whatever it sends meanwhile, and also if its socket then takes less than 1 KiB and is
    /// full again. A stream of HTTP/2 is reset if its windows let it send less than 1 KiB in that time,
    /// unless it has no more to send.
    ///
    /// Systems tell of room in a socket in large steps, Linux of up to 128 KiB: for clients on links
    /// of less than 4 KiB a second it is to be longer.
    pub write_timeout: Duration,
    /// How long the server reads on after its last byte on an HTTP connection, so that the
    /// peer reads the answer before it sees a reset. Default 2 s. As long may a client take to end its
    /// side of an HTTP/2 stream that was answered.
    pub linger_timeout: Duration,
    /// How long a server that is asked to stop goes on as before, so that those who send clients to it
    /// see first that it will: [`Stats::is_draining`](crate::Stats::is_draining) says so meanwhile. Default
    /// 0: the stop begins at once.
    pub drain_delay: Duration,
    /// How long a graceful stop may take in all. Default 5 s; then what is left is cut.
    pub stop_timeout: Duration,
    /// Backlog of an HTTP connection, in bytes, above which its pipelined requests wait. Default
    /// 64 KiB. As much takes the queue of an HTTP/2 connection from its streams.
    pub soft_backlog_bytes: usize,
    /// Backlog of a response that is sent in pieces, in bytes, above which
    /// [`ResponseStream::send`](crate::ResponseStream::send) refuses the next one. Default 1 MiB;
    /// less than `soft_backlog_bytes` counts as that.
    pub max_stream_backlog_bytes: usize,
    /// Most requests of an HTTP/2 connection at once, told the client as
    /// `SETTINGS_MAX_CONCURRENT_STREAMS`. Default 100, the least that RFC 9113 recommends (section
    /// 6.5.2); 1 to 65,536. A client that opens more has them refused, and may try again.
    pub http2_max_streams: u32,
    /// Bytes of a request body, or of messages to the server, that a client may send on one stream of
    /// an HTTP/2 connection before the application took any. Default 64 KiB: what all streams of a
    /// connection have waiting is then below 7 MiB. More is faster for uploads over long distances.
    /// Less than 65,535, with which every stream begins, or more than 2,147,483,647 counts as that.
    pub http2_stream_window_bytes: usize,
    /// Bytes of half-read requests, frames and messages in all that the server holds for its
    /// clients. Default 256 MiB: each is small by its own limit, all together need not be. The
    /// client that passes it is closed: 503, or 1013 on a WebSocket.
    pub max_buffered_input_bytes: usize,
    /// Most pending timers and delayed sends; more than 16,777,216 count as that many. Default
    /// 4,194,304 (24 bytes each, and for a delayed send 64 more beside its payload).
    pub max_timers: usize,
    /// Payload bytes of all pending delayed sends. Default 64 MiB: an endpoint that repeats
    /// what clients say five seconds later would else grow at line rate.
    pub max_delayed_bytes: usize,
    /// Commands waiting in the queue of one [`RemoteEndpoint`](crate::RemoteEndpoint).
    /// Default 4,096.
    pub max_remote_commands: usize,
    /// Payload bytes waiting in the queue of one `RemoteEndpoint`. Default 16 MiB.
    pub max_remote_bytes: usize,
    /// Connections waiting in the kernel to be accepted, per listener. Default 4,096 (the
    /// kernel may allow less: `net.core.somaxconn`).
    pub listen_backlog: u32,
    /// How long the loop spins after the last event before it sleeps. Default 0: it sleeps at
    /// once. Half of a lone round trip is going to sleep and waking up; a loop that spins spares
    /// it and takes a whole processor as long as somebody sends.
    pub busy_poll: Duration,
    /// How long a callback of the application may run before it is named in the log, since nobody
    /// else is served meanwhile: that long after it was noticed, which takes that long at most, and
    /// again when it has returned. Default 1 s; `None` (or zero): no thread watches.
    pub watchdog: Option<Duration>,
    /// Proxies whose word on their clients is believed. Default: none, since anybody can send those
    /// fields. See [`Request::client_address`](crate::Request::client_address).
    pub trusted_proxies: Vec<TrustedProxy>,
    /// By which fields the trusted proxies tell of their clients. Default
    /// [`ForwardedField::XForwarded`].
    pub forwarded_field: ForwardedField,
}

/// As long as any server runs: a longer time is no limit either, and no clock could hold it.
pub(crate) const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

impl Config {
    /// The same, within what clocks and tables can hold.
    pub(crate) fn bounded(self) -> Self {
        Self {
            max_connections: self.max_connections.map(|count| count.min(1 << 24)),
            max_connections_per_address: self.max_connections_per_address.map(|count| count.max(1)),
            max_timers: self.max_timers.min(1 << 24),
            max_stream_backlog_bytes: self.max_stream_backlog_bytes.max(self.soft_backlog_bytes),
            http2_max_streams: self.http2_max_streams.clamp(1, 1 << 16),
            http2_stream_window_bytes: self.http2_stream_window_bytes.clamp(65_535, (1 << 31) - 1),
            header_timeout: self.header_timeout.min(CENTURY),
            tls_handshake_timeout: self.tls_handshake_timeout.min(CENTURY),
            body_grace: self.body_grace.min(CENTURY),
            body_stall_timeout: self.body_stall_timeout.min(CENTURY),
            keep_alive_timeout: self.keep_alive_timeout.min(CENTURY),
            write_timeout: self.write_timeout.min(CENTURY),
            linger_timeout: self.linger_timeout.min(CENTURY),
            drain_delay: self.drain_delay.min(CENTURY),
            stop_timeout: self.stop_timeout.min(CENTURY),
            watchdog: self
                .watchdog
                .filter(|period| !period.is_zero())
                .map(|period| period.min(CENTURY)),
            ..self
        }
    }
}

/// What a running server goes by: its own configuration and those of its endpoints.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) server: Config,
    /// By index of the endpoint.
    pub(crate) endpoints: Vec<Rc<WebSocketConfig>>,
}

impl Settings {
    /// The options of an endpoint.
    #[inline]
    pub(crate) fn endpoint(&self, index: u16) -> &WebSocketConfig {
        &self.endpoints[usize::from(index)]
    }
}

impl WebSocketConfig {
    /// The same, within what clocks can hold.
    ///
    /// The soft limit lies at or below the hard one, or reads would never pause before it.
    pub(crate) fn bounded(&self) -> Self {
        Self {
            soft_backlog_bytes: self.soft_backlog_bytes.min(self.hard_backlog_bytes),
            heartbeat: switchable(self.heartbeat),
            max_unanswered_pings: self.max_unanswered_pings.min(u16::MAX.into()),
            close_timeout: self.close_timeout.min(CENTURY),
            max_lifetime: switchable(self.max_lifetime),
            idle_timeout: switchable(self.idle_timeout),
            compression: self.compression.map(Compression::bounded),
            ..self.clone()
        }
    }
}

/// A time of zero switches off what it is of.
fn switchable(time: Option<Duration>) -> Option<Duration> {
    time.filter(|time| !time.is_zero())
        .map(|time| time.min(CENTURY))
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_connections: None,
            max_connections_per_address: None,
            max_connections_per_second: None,
            max_header_section_bytes: 16 * KIB,
            max_header_count: 100,
            max_target_bytes: 8 * KIB,
            max_body_bytes: 128 * KIB,
            header_timeout: Duration::from_secs(10),
            tls_handshake_timeout: Duration::from_secs(10),
            body_grace: Duration::from_secs(10),
            min_body_bytes_per_second: KIB,
            body_stall_timeout: Duration::from_secs(30),
            keep_alive_timeout: Duration::from_secs(15),
            write_timeout: Duration::from_secs(30),
            linger_timeout: Duration::from_secs(2),
            drain_delay: Duration::ZERO,
            stop_timeout: Duration::from_secs(5),
            soft_backlog_bytes: 64 * KIB,
            max_stream_backlog_bytes: MIB,
            http2_max_streams: 100,
            http2_stream_window_bytes: 64 * KIB,
            max_buffered_input_bytes: 256 * MIB,
            max_timers: 1 << 22,
            max_delayed_bytes: 64 * MIB,
            max_remote_commands: 4096,
            max_remote_bytes: 16 * MIB,
            listen_backlog: 4096,
            busy_poll: Duration::ZERO,
            watchdog: Some(Duration::from_secs(1)),
            trusted_proxies: Vec::new(),
            forwarded_field: ForwardedField::default(),
        }
    }
}

/// What happens to a client whose backlog is over the hard limit when one more message for it
/// would be queued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BacklogPolicy {
    /// The client is closed with 1008: it can never see a gap in what it reads.
    #[default]
    Close,
    /// The message is dropped for this client; the connection lives on. For data of which
    /// only the newest counts.
    DropMessages,
}

/// Who keeps what of permessage-deflate between two messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CompressionMode {
    /// No message refers to another, either way. One compressor for all clients with the same
    /// window, nothing kept for any of them.
    #[default]
    Shared,
    /// Messages may refer to those before them. For each client that was sent a compressed
    /// message of its own lately there is a compressor, for each that sent one there are its last
    /// bytes. Messages for several clients are still compressed once, for themselves.
    Dedicated,
}

/// How an endpoint compresses (permessage-deflate, RFC 7692).
///
/// ```
/// use aerys::{Compression, WebSocketConfig};
/// let config = WebSocketConfig { compression: Some(Compression::default()), ..WebSocketConfig::default() };
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compression {
    /// Default [`CompressionMode::Shared`].
    pub mode: CompressionMode,
    /// 1 (fast) to 9 (small); what lies outside counts as the nearer of both. Default 1: for
    /// messages that refer to no other the higher ones take two to four times as long for a
    /// fifth to a third less.
    pub level: u8,
    /// Length in bytes from which on messages are compressed. Default 1 KiB: below it, beginning
    /// anew costs more than the bytes. What does not become smaller goes out as it is, too.
    pub threshold_bytes: usize,
    /// Greatest window of what the server sends, as the power of two that it is in bytes: 8 to 15.
    /// Default 15. The client may ask for less (section 7.1.2.1).
    pub server_window_bits: u8,
    /// Greatest window of what clients send, alike. Default 15. Only a client that says that it
    /// can be told so is held to it; in dedicated mode any other must not refer to earlier
    /// messages, if this is below 15 (section 7.1.2.2).
    pub client_window_bits: u8,
    /// In dedicated mode, how long a client's compressor is kept after its last message.
    /// Default 10 s: it takes 143 to 273 KB, by the window.
    pub idle_timeout: Duration,
    /// In dedicated mode, most clients that the server keeps a context for when one of this endpoint
    /// comes: what their messages refer to, up to 32 KiB each by the window of theirs. Default
    /// 10,000. Whoever comes then is answered as in shared mode.
    pub max_contexts: usize,
    /// In dedicated mode, most compressors that the server keeps at a time when one is made for a
    /// client of this endpoint. Default 1,000. Whom there is none for is sent messages that refer
    /// to no other, as in shared mode.
    pub max_compressors: usize,
}

impl Default for Compression {
    fn default() -> Self {
        Self {
            mode: CompressionMode::Shared,
            level: 1,
            threshold_bytes: KIB,
            server_window_bits: 15,
            client_window_bits: 15,
            idle_timeout: Duration::from_secs(10),
            max_contexts: 10_000,
            max_compressors: 1000,
        }
    }
}

impl Compression {
    /// The same, within what the RFC and the compressor know.
    fn bounded(self) -> Self {
        Self {
            level: self.level.clamp(1, 9),
            server_window_bits: self.server_window_bits.clamp(8, 15),
            client_window_bits: self.client_window_bits.clamp(8, 15),
            idle_timeout: self.idle_timeout.min(CENTURY),
            ..self
        }
    }
}

/// Options of one WebSocket endpoint.
///
/// ```
/// use aerys::WebSocketConfig;
/// let config = WebSocketConfig { text_only: true, ..WebSocketConfig::default() };
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSocketConfig {
    /// How long a client may be silent before it is pinged. Default 10 s; `None` (or zero)
    /// switches heartbeats off. Any byte received postpones it.
    pub heartbeat: Option<Duration>,
    /// Pings that may go unanswered. Default 3; when the next one would be due, the client is
    /// closed with 1008. Any byte received counts as an answer. At most 65,535.
    pub max_unanswered_pings: u32,
    /// From the begin of a close to the end of the socket. Default 3 s, whether the peer
    /// reads and answers or not.
    pub close_timeout: Duration,
    /// How long a client may be open. Default `None` (or zero): as long as it likes. Then it is closed
    /// with 1001, whatever it does: for tokens that expire, and for clients to be spread anew over
    /// servers.
    pub max_lifetime: Option<Duration>,
    /// How long a client may be open without a message, either way. Default `None` (or zero): for
    /// ever. Then it is closed with 1001. Pings and pongs do not count, so that this closes clients
    /// that live and have nothing to say, where the heartbeat closes those that are gone. Who receives
    /// a message, a broadcast too, is not idle, nor is who has not yet taken or sent all of one.
    ///
    /// Judged eight times in that time: a client is never closed early, and up to an eighth late.
    pub idle_timeout: Option<Duration>,
    /// Largest payload of one incoming frame, in bytes, judged on its header. Default 2 MiB.
    /// Beyond it: 1009.
    pub max_frame_bytes: u64,
    /// Largest incoming message, in bytes, judged on each frame's header. Default 2 MiB.
    /// Beyond it: 1009.
    pub max_message_bytes: u64,
    /// Empty fragments in a row that one message may have. Default 1,000: they cost the peer
    /// nothing and carry nothing. Beyond it: 1008.
    pub max_empty_fragments: u32,
    /// Largest payload of one outgoing frame, in bytes. Default `None`: a message is one frame.
    pub max_outgoing_frame_bytes: Option<usize>,
    /// Backlog in bytes above which the client's own reads pause, so that an echo meets TCP's
    /// flow control before the hard limit. Default 64 KiB.
    pub soft_backlog_bytes: usize,
    /// Backlog in bytes above which [`backlog_policy`](Self::backlog_policy) is applied. Default
    /// 1 MiB. Judged before a message is queued, so that one message of any size fits.
    pub hard_backlog_bytes: usize,
    /// What happens above the hard limit. Default [`BacklogPolicy::Close`].
    pub backlog_policy: BacklogPolicy,
    /// Frames a second that a client may send before its reads pause. Default `None`: no limit.
    pub max_frames_per_second: Option<u32>,
    /// Bytes a second that a client may send before its reads pause. Default `None`: no limit.
    pub max_bytes_per_second: Option<u64>,
    /// Most opening handshakes a second; as many may come at once. Default `None`: no limit. Beyond it
    /// the answer is 503 with `Retry-After: 1`, before the handler is asked: when ten thousand clients
    /// come back at once, what it looks up for each is not to be asked for all of them at once. 0 counts
    /// as 1.
    pub max_handshakes_per_second: Option<u32>,
    /// Refuses binary messages with 1003. Default off.
    pub text_only: bool,
    /// Origins that may connect, compared byte by byte with the `Origin` field
    /// (`https://example.com`). Default `None`: any, also none at all.
    pub allowed_origins: Option<Vec<String>>,
    /// Subprotocols spoken here. The first of the client's list that is among them is
    /// confirmed; without a match the connection opens without one. Default: none.
    pub subprotocols: Vec<String>,
    /// Whether and how messages are compressed, for clients that offer it. Default `None`: they
    /// are not. Limits on messages are judged by what they inflate to, those on frames by what
    /// is sent.
    pub compression: Option<Compression>,
}

impl Default for WebSocketConfig {
    fn default() -> Self {
        Self {
            heartbeat: Some(Duration::from_secs(10)),
            max_unanswered_pings: 3,
            close_timeout: Duration::from_secs(3),
            max_lifetime: None,
            idle_timeout: None,
            max_frame_bytes: 2 * MIB as u64,
            max_message_bytes: 2 * MIB as u64,
            max_empty_fragments: 1000,
            max_outgoing_frame_bytes: None,
            soft_backlog_bytes: 64 * KIB,
            hard_backlog_bytes: MIB,
            backlog_policy: BacklogPolicy::Close,
            max_frames_per_second: None,
            max_bytes_per_second: None,
            max_handshakes_per_second: None,
            text_only: false,
            allowed_origins: None,
            subprotocols: Vec::new(),
            compression: None,
        }
    }
}
