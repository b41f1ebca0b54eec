//! Requests whose body or answer comes in pieces, whatever carries them.

use super::{Context, Event, Protocol};
use crate::http::{BodyPlan, Request};
use crate::http1::connection::Then;
use crate::moment::Moment;

impl Protocol {
    /// The request that announced a body, and its host.
    pub(crate) fn announced(&mut self) -> Option<(u16, &mut Request)> {
        match self {
            Self::Http1(connection, host) => connection.announced().map(|request| (*host, request)),
            Self::Exchange(exchange) => {
                let host = exchange.host();
                exchange.announced().map(|request| (host, request))
            }
            _ => None,
        }
    }

    /// Says how an announced body is taken; `is_there`: some of it has come already. What follows
    /// from that, if it is not to be read first.
    pub(crate) fn expect_body(
        &mut self,
        plan: BodyPlan,
        is_there: bool,
        cx: &mut Context<'_>,
    ) -> Option<Event<'static>> {
        match self {
            Self::Http1(connection, _) => {
                let step = connection.expect_body(plan, is_there, cx.now);
                self.http1_event(step, cx)
            }
            Self::Exchange(exchange) => {
                let step = exchange.expect_body(plan, is_there, cx.now);
                self.exchange_event(step, cx)
            }
            _ => None,
        }
    }

    /// The application takes the pieces of the body that was announced.
    pub(crate) fn accept_body(&mut self, cx: &mut Context<'_>) {
        let is_awaited = match self {
            Self::Http1(connection, _) => connection.accept_body(),
            Self::Exchange(exchange) => exchange.accept_body(),
            _ => false,
        };
        if is_awaited {
            self.ask_for_body(cx);
        }
    }

    /// Whether pieces of a body are to come.
    pub(crate) fn is_receiving(&self) -> bool {
        match self {
            Self::Http1(connection, _) => connection.is_receiving(),
            Self::Exchange(exchange) => exchange.is_receiving(),
            _ => false,
        }
    }

    /// The listener that accepted the connection, if that still matters.
    pub(crate) fn listener_mut(&mut self) -> Option<&mut u16> {
        match self {
            Self::Proxied(awaited) => Some(awaited.listener_mut()),
            Self::Securing(securing) => Some(securing.listener_mut()),
            Self::Http1(_, listener) | Self::Http2(_, listener) => Some(listener),
            Self::Exchange(exchange) => Some(exchange.listener_mut()),
            Self::WebSocket(_) | Self::Lingering(_) => None,
        }
    }

    /// Whether a response is being sent in pieces.
    pub(crate) fn is_streaming(&self) -> bool {
        match self {
            Self::Http1(connection, _) => connection.is_streaming(),
            Self::Exchange(exchange) => exchange.is_streaming(),
            _ => false,
        }
    }

    /// Lets a body wait, or go on.
    pub(crate) fn pause_body(&mut self, pause: bool, now: Moment) {
        match self {
            Self::Http1(connection, _) => connection.pause_body(pause, now),
            Self::Exchange(exchange) => exchange.pause_body(pause, now),
            _ => {}
        }
    }

    /// A response that was sent in pieces is complete.
    pub(crate) fn end_stream(&mut self, now: Moment) {
        let is_last = match self {
            Self::Http1(connection, _) => connection.end_stream(now) != Then::KeepAlive,
            Self::Exchange(_) => true,
            _ => false,
        };
        if is_last {
            *self = Self::Lingering(None);
        }
    }
}
