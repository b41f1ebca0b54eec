//! What an application may ask for: to send, to wait, to close, to know.
//!
//! Sees no connection. Sends go straight into the queues of `output` (nothing is written to a
//! socket before the callback returned); closes wait in the hub until then.

use crate::app::directory::ClientInfo;
use crate::app::hub::Hub;
use crate::app::remote::{RemoteEndpoint, RemoteQueue};
use crate::client_id::ClientId;
use crate::timer_wheel::TimerKey;
use crate::websocket::encoded::ToSend;
use crate::websocket::{CloseCode, Frame, InvalidClose, Message, close};
use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Identifies a pending timer or delayed send of one endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerId(pub(crate) Option<TimerKey>);

impl TimerId {
    /// Of what was refused: no timer ever has it.
    pub(crate) const DEAD: Self = Self(None);
}

/// Every client that is open when the message is sent.
///
/// ```
/// # use aerys::{ClientId, Endpoint, Everyone};
/// # fn example(ws: &Endpoint, sender: ClientId) {
/// ws.send(Everyone, "to all");
/// ws.send(Everyone.except(&[sender]), "to all others");
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Everyone;

impl Everyone {
    /// Every client but these.
    #[must_use]
    pub const fn except(self, clients: &[ClientId]) -> EveryoneExcept<'_> {
        EveryoneExcept(clients)
    }
}

/// Every client but some; made by [`Everyone::except`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EveryoneExcept<'a>(&'a [ClientId]);

/// Who is to get a message: anything that says so converts into it.
///
/// Ids that are unknown, dead or another endpoint's are skipped in silence; an id that is
/// listed twice gets the message once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Recipients<'a> {
    /// One client.
    One(ClientId),
    /// All clients of the endpoint.
    Everyone,
    /// All clients of the endpoint but these.
    EveryoneExcept(&'a [ClientId]),
    /// These clients.
    Listed(&'a [ClientId]),
}

impl From<ClientId> for Recipients<'_> {
    fn from(client: ClientId) -> Self {
        Self::One(client)
    }
}

impl From<Everyone> for Recipients<'_> {
    fn from(_: Everyone) -> Self {
        Self::Everyone
    }
}

impl<'a> From<EveryoneExcept<'a>> for Recipients<'a> {
    fn from(EveryoneExcept(clients): EveryoneExcept<'a>) -> Self {
        Self::EveryoneExcept(clients)
    }
}

impl<'a> From<&'a [ClientId]> for Recipients<'a> {
    fn from(clients: &'a [ClientId]) -> Self {
        Self::Listed(clients)
    }
}

impl<'a> From<&'a Vec<ClientId>> for Recipients<'a> {
    fn from(clients: &'a Vec<ClientId>) -> Self {
        Self::Listed(clients)
    }
}

impl<'a, const N: usize> From<&'a [ClientId; N]> for Recipients<'a> {
    fn from(clients: &'a [ClientId; N]) -> Self {
        Self::Listed(clients)
    }
}

/// [`Recipients`] that outlive the call they were given to.
#[derive(Clone, Debug)]
pub(crate) enum OwnedRecipients {
    One(ClientId),
    Everyone,
    EveryoneExcept(Vec<ClientId>),
    Listed(Vec<ClientId>),
}

impl OwnedRecipients {
    /// Bytes of heap that the list takes.
    pub(crate) fn held_bytes(&self) -> usize {
        match self {
            Self::One(_) | Self::Everyone => 0,
            Self::EveryoneExcept(clients) | Self::Listed(clients) => {
                size_of_val(clients.as_slice())
            }
        }
    }

    pub(crate) fn as_recipients(&self) -> Recipients<'_> {
        match self {
            Self::One(client) => Recipients::One(*client),
            Self::Everyone => Recipients::Everyone,
            Self::EveryoneExcept(clients) => Recipients::EveryoneExcept(clients),
            Self::Listed(clients) => Recipients::Listed(clients),
        }
    }
}

impl From<Recipients<'_>> for OwnedRecipients {
    fn from(recipients: Recipients<'_>) -> Self {
        match recipients {
            Recipients::One(client) => Self::One(client),
            Recipients::Everyone => Self::Everyone,
            Recipients::EveryoneExcept(clients) => Self::EveryoneExcept(clients.to_vec()),
            Recipients::Listed(clients) => Self::Listed(clients.to_vec()),
        }
    }
}

/// What is to be sent: text, bytes, a received message, or a [`Frame`] encoded before.
///
/// Strings become text messages, byte slices binary ones.
#[derive(Clone, Debug)]
pub struct Outgoing<'a>(Content<'a>);

/// What [`Outgoing`] hides.
#[derive(Clone, Debug)]
pub(crate) enum Content<'a> {
    Text(Cow<'a, str>),
    Binary(Cow<'a, [u8]>),
    Frame(Cow<'a, Frame>),
}

impl Content<'_> {
    /// The message, if it was not encoded before.
    #[inline]
    pub(crate) fn as_message(&self) -> Option<Message<'_>> {
        match self {
            Self::Text(text) => Some(Message::Text(text)),
            Self::Binary(bytes) => Some(Message::Binary(bytes)),
            Self::Frame(_) => None,
        }
    }

    /// The message, or the frame that was made of it before.
    #[inline]
    pub(crate) fn to_send(&self) -> ToSend<'_> {
        match self {
            Self::Text(text) => ToSend::Message(Message::Text(text)),
            Self::Binary(bytes) => ToSend::Message(Message::Binary(bytes)),
            Self::Frame(frame) => ToSend::Frame(frame),
        }
    }
}

impl Outgoing<'_> {
    pub(crate) fn into_frame(self, max_frame_bytes: Option<usize>) -> Frame {
        match self.0 {
            Content::Text(text) => Frame::new(Message::Text(&text), max_frame_bytes),
            Content::Binary(bytes) => Frame::new(Message::Binary(&bytes), max_frame_bytes),
            Content::Frame(frame) => frame.into_owned(),
        }
    }
}

macro_rules! outgoing_from {
    ($([$($generics:tt)*] $source:ty => $value:ident, $content:expr;)*) => {$(
        impl<'a, $($generics)*> From<$source> for Outgoing<'a> {
            #[inline]
            fn from($value: $source) -> Self {
                Self($content)
            }
        }
    )*};
}
outgoing_from! {
    [] &'a str => text, Content::Text(Cow::Borrowed(text));
    [] &'a String => text, Content::Text(Cow::Borrowed(text));
    [] String => text, Content::Text(Cow::Owned(text));
    [] Cow<'a, str> => text, Content::Text(text);
    [] &'a [u8] => bytes, Content::Binary(Cow::Borrowed(bytes));
    [] &'a Vec<u8> => bytes, Content::Binary(Cow::Borrowed(bytes));
    [const N: usize] &'a [u8; N] => bytes, Content::Binary(Cow::Borrowed(bytes));
    [] Vec<u8> => bytes, Content::Binary(Cow::Owned(bytes));
    [] Frame => frame, Content::Frame(Cow::Owned(frame));
    [] &'a Frame => frame, Content::Frame(Cow::Borrowed(frame));
}

impl<'a> From<Message<'a>> for Outgoing<'a> {
    #[inline]
    fn from(message: Message<'a>) -> Self {
        Self(match message {
            Message::Text(text) => Content::Text(Cow::Borrowed(text)),
            Message::Binary(bytes) => Content::Binary(Cow::Borrowed(bytes)),
        })
    }
}

/// What all clones of an endpoint share.
pub(crate) struct EndpointState {
    /// Set when the server is bound.
    server: OnceCell<(Rc<Hub>, u16)>,
    pub(crate) remote: Arc<RemoteQueue>,
    pub(crate) config: RefCell<Rc<crate::WebSocketConfig>>,
    /// The path of the first route that leads there.
    route: OnceCell<String>,
}

impl EndpointState {
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Self {
            server: OnceCell::new(),
            remote: Arc::new(RemoteQueue::default()),
            config: RefCell::default(),
            route: OnceCell::new(),
        })
    }

    /// A route of that path leads there.
    pub(crate) fn mount(&self, route: impl fmt::Display) {
        self.route.get_or_init(|| route.to_string());
    }

    /// What it is called in the log.
    pub(crate) fn name(&self) -> String {
        let route = self.route.get().cloned();
        route.unwrap_or_else(|| "an endpoint without a route".to_owned())
    }

    /// The hub that the endpoint belongs to, and its index there.
    #[inline]
    pub(crate) fn server(&self) -> Option<&(Rc<Hub>, u16)> {
        self.server.get()
    }

    /// Makes the endpoint part of a server, once. Whether it was not one before.
    pub(crate) fn attach(&self, hub: &Rc<Hub>, index: u16) -> bool {
        self.server.set((Rc::clone(hub), index)).is_ok()
    }
}

/// The application's side of one WebSocket endpoint: a cheap clone, valid as long as the
/// server lives, for use on the server's thread ([`remote`](Self::remote) is for others).
///
/// What is sent reaches sockets after the running callback returned; what asks (`clients`,
/// `info`, `cancel`) is answered at once. Before the server is bound there are no clients, and
/// timers are refused.
#[derive(Clone)]
pub struct Endpoint {
    state: Rc<EndpointState>,
}

impl Endpoint {
    pub(crate) const fn new(state: Rc<EndpointState>) -> Self {
        Self { state }
    }

    /// Sends a message to one client, to several or to all.
    ///
    /// A client whose backlog is over its
    /// [hard limit](crate::WebSocketConfig::hard_backlog_bytes) is closed or skipped by policy.
    #[inline]
    pub fn send<'r, 'm>(&self, to: impl Into<Recipients<'r>>, message: impl Into<Outgoing<'m>>) {
        // Converted first: that may run code of the application.
        let (to, message) = (to.into(), message.into());
        if let Some((hub, index)) = self.state.server() {
            hub.send(*index, to, &message.0);
        }
    }

    /// Sends a message to every client: `send(Everyone, message)`.
    pub fn broadcast<'m>(&self, message: impl Into<Outgoing<'m>>) {
        self.send(Everyone, message);
    }

    /// Sends a message after `delay`, encoded now and to whoever is there then: a client that
    /// left meanwhile is skipped, [`Everyone`] are those of that time.
    ///
    /// Over [`max_timers`](crate::Config::max_timers) or
    /// [`max_delayed_bytes`](crate::Config::max_delayed_bytes) the message is dropped with a
    /// warning in the log, and the id is dead.
    pub fn send_after<'r, 'm>(
        &self,
        delay: Duration,
        to: impl Into<Recipients<'r>>,
        message: impl Into<Outgoing<'m>>,
    ) -> TimerId {
        let (to, message) = (to.into(), message.into());
        let Some((hub, index)) = self.state.server() else {
            return refused("a delayed send");
        };
        let frame = message.into_frame(hub.max_frame_bytes(*index));
        hub.send_after(*index, delay, to.into(), frame)
    }

    /// Calls [`on_timer`](crate::WebSocketHandler::on_timer) with the returned id after
    /// `delay`, once; never early, and within a millisecond or two unless the loop is busy.
    ///
    /// Over [`max_timers`](crate::Config::max_timers) it is dropped with a warning in the log,
    /// and the id is dead.
    #[must_use = "the id tells the timer from others in on_timer"]
    pub fn set_timer(&self, delay: Duration) -> TimerId {
        match self.state.server() {
            Some((hub, index)) => hub.set_timer(*index, delay),
            None => refused("a timer"),
        }
    }

    /// Cancels a timer or delayed send. Whether it was still pending.
    #[allow(clippy::must_use_candidate, reason = "most who cancel do not care")]
    pub fn cancel(&self, timer: TimerId) -> bool {
        self.state
            .server()
            .is_some_and(|(hub, index)| hub.cancel(*index, timer))
    }

    /// Closes a client: its queued messages, a Close frame, the peer's Close, then the socket,
    /// all within [`close_timeout`](crate::WebSocketConfig::close_timeout).
    ///
    /// The id is dead at once; [`on_close`](crate::WebSocketHandler::on_close) follows with
    /// this code and reason, after the running callback. An unknown id is no error.
    ///
    /// # Errors
    ///
    /// A code that may not be sent (below 1000, 1004 to 1006, 1015 to 2999, above 4999; RFC
    /// 6455 section 7.4) or a reason of more than 123 bytes: nothing happens.
    pub fn close(
        &self,
        client: ClientId,
        code: impl Into<CloseCode>,
        reason: &str,
    ) -> Result<(), InvalidClose> {
        let code = code.into();
        close::check_sendable(code, reason)?;
        if let Some((hub, index)) = self.state.server() {
            hub.close(*index, client, code, reason);
        }
        Ok(())
    }

    /// The ids of all open clients, in the order in which they came (to the millisecond, where the
    /// messages of some are compressed): a snapshot.
    #[must_use]
    pub fn clients(&self) -> Vec<ClientId> {
        self.state
            .server()
            .map_or_else(Vec::new, |(hub, index)| hub.clients(*index))
    }

    /// How many clients are open.
    #[must_use]
    pub fn client_count(&self) -> usize {
        self.state
            .server()
            .map_or(0, |(hub, index)| hub.client_count(*index))
    }

    /// What is known of a client; `None` if the id is unknown or dead.
    #[must_use]
    pub fn info(&self, client: ClientId) -> Option<ClientInfo> {
        let (hub, index) = self.state.server()?;
        hub.info(*index, client)
    }

    /// The same sends and closes for other threads.
    #[must_use]
    pub fn remote(&self) -> RemoteEndpoint {
        RemoteEndpoint::new(Arc::clone(&self.state.remote))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("client_count", &self.client_count())
            .finish_non_exhaustive()
    }
}

fn refused(what: &str) -> TimerId {
    log::warn!(
        "{what} was dropped: the server is not bound yet; on_start is the first place for it"
    );
    TimerId::DEAD
}
