//! What is due of a connection, and since when it is idle.

use super::{Context, Protocol};
use crate::config::Settings;
use crate::http1::connection as http1;
use crate::http2::connection as http2;
use crate::moment::Moment;
use crate::websocket::CloseCode;
use crate::websocket::connection::{self as websocket, Wire};

/// What a deadline came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// Nothing for the application; the next deadline is to be armed.
    Nothing,
    /// A WebSocket connection failed.
    Closing(CloseCode, &'static str),
    /// A connection that carries streams is over: they are lost with it.
    Over,
    /// The socket is to be dropped.
    Drop,
}

impl Protocol {
    /// When [`on_deadline`](Self::on_deadline) is to be called, at the latest.
    pub(crate) fn deadline(&self, settings: &Settings) -> Option<Moment> {
        match self {
            Self::Proxied(awaited) => awaited.deadline(&settings.server),
            Self::Securing(securing) => securing.deadline(&settings.server),
            Self::Http1(connection, _) => connection.deadline(&settings.server),
            Self::Http2(connection, _) => connection.deadline(&settings.server),
            Self::Exchange(exchange) => exchange.deadline(&settings.server),
            Self::WebSocket(connection) => {
                connection.deadline(settings.endpoint(connection.endpoint()))
            }
            Self::Lingering(until) => until.map(Moment::from),
        }
    }

    /// A deadline passed, or a timer was early; `reads_paused` by us.
    pub(crate) fn on_deadline(&mut self, reads_paused: bool, cx: &mut Context<'_>) -> Expiry {
        match self {
            Self::Proxied(awaited) => {
                let deadline = awaited.deadline(&cx.settings.server);
                match deadline {
                    Some(deadline) if deadline <= cx.now => Expiry::Drop,
                    _ => Expiry::Nothing,
                }
            }
            Self::Securing(securing) => match securing.deadline(&cx.settings.server) {
                Some(deadline) if deadline <= cx.now => Expiry::Drop,
                _ => Expiry::Nothing,
            },
            // While its answers wait for the peer, the write timeout judges it.
            Self::Http1(..) | Self::Http2(..) | Self::Exchange(_)
                if cx.output.has_output(cx.slot) =>
            {
                Expiry::Nothing
            }
            Self::Http2(connection, _) => match connection.on_deadline(&mut cx.carrying()) {
                http2::Expiry::Nothing => Expiry::Nothing,
                http2::Expiry::Close => Expiry::Over,
            },
            Self::Exchange(exchange) => {
                if let Some(refused) = exchange.on_deadline(cx.now, &cx.settings.server) {
                    self.refuse(refused.status, refused.reason, cx);
                }
                Expiry::Nothing
            }
            Self::Http1(connection, _) => match connection.on_deadline(cx.now, &cx.settings.server)
            {
                http1::Expiry::Nothing(_) => Expiry::Nothing,
                http1::Expiry::CloseIdle => Expiry::Drop,
                http1::Expiry::Refuse(refused) => {
                    self.refuse(refused.status, refused.reason, cx);
                    Expiry::Nothing
                }
            },
            Self::WebSocket(connection) => {
                let config = cx.settings.endpoint(connection.endpoint());
                let mut wire = Wire {
                    output: cx.output,
                    slot: cx.slot,
                    now: cx.now,
                };
                match connection.on_deadline(config, reads_paused, &mut wire) {
                    websocket::Expiry::Nothing => Expiry::Nothing,
                    websocket::Expiry::Drop => Expiry::Drop,
                    websocket::Expiry::Closing { code, reason } => {
                        self.linger_if_closed(cx.settings);
                        Expiry::Closing(code, reason)
                    }
                }
            }
            Self::Lingering(Some(until)) if Moment::from(*until) <= cx.now => Expiry::Drop,
            Self::Lingering(_) => Expiry::Nothing,
        }
    }

    /// Whether a stop may drop the connection at once: HTTP between two requests, or not begun.
    pub(crate) fn is_idle_http(&self) -> bool {
        match self {
            Self::Proxied(_) | Self::Securing(_) => true,
            Self::Http1(connection, _) => connection.is_idle(),
            Self::Http2(connection, _) => connection.is_idle(),
            Self::Exchange(_) | Self::WebSocket(_) | Self::Lingering(_) => false,
        }
    }

    /// Since when it is an HTTP connection that was answered and waits for another request, if it is.
    pub(crate) fn idle_since(&self) -> Option<Moment> {
        match self {
            Self::Http1(connection, _) => connection.idle_since(),
            Self::Http2(connection, _) => connection.idle_since(),
            Self::Proxied(_)
            | Self::Securing(_)
            | Self::Exchange(_)
            | Self::WebSocket(_)
            | Self::Lingering(_) => None,
        }
    }

    /// How much came of a WebSocket message that is not complete: it changes with each byte of one.
    pub(crate) fn message_progress(&self) -> (usize, u64) {
        match self {
            Self::WebSocket(connection) => connection.message_progress(),
            _ => (0, 0),
        }
    }
}
