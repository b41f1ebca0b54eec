//! HTTP/2 in a client's life: a connection that carries others, and a request on one of its streams.

use super::{Answered, Context, Event, Protocol, queue, upgrade_of};
use crate::http::{ConnectionInfo, Response};
use crate::http1::connection as http1;
use crate::http2::connection::{self as http2, Carrying, Http2Connection};
use crate::http2::exchange::{self, Exchange};
use crate::http2::response_head::DateField;
use crate::input::Input;
use crate::moment::Moment;
use crate::output::{Bytes, Unit};

/// The head of a response that is to be put into frames.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    /// Its field block; empty if there is none.
    pub(crate) block: Vec<u8>,
    /// Nothing follows on the stream.
    pub(crate) is_last: bool,
    /// A field of most of them.
    date: DateField,
}

impl Context<'_> {
    pub(super) fn carrying(&mut self) -> Carrying<'_> {
        Carrying {
            config: &self.settings.server,
            output: self.output,
            slot: self.slot,
            now: self.now,
            spare: self.spare,
        }
    }
}

impl Protocol {
    /// The connection speaks HTTP/2 from the next byte on.
    pub(super) fn begin_http2<C: Into<Option<Http2Connection>>>(
        &mut self,
        make: impl FnOnce(ConnectionInfo, Moment) -> C,
        cx: &mut Context<'_>,
    ) {
        if let Self::Http1(connection, host) = self
            && let Some(mut http2) = make(connection.info().clone(), connection.since()).into()
        {
            cx.counts.http2_connections.one();
            http2.greet(&mut cx.carrying());
            *self = Self::Http2(Box::new(http2), *host);
        }
    }

    /// What a step of an exchange is to the application.
    pub(super) fn exchange_event<'b>(
        &mut self,
        step: exchange::Step<'b>,
        cx: &mut Context<'_>,
    ) -> Option<Event<'b>> {
        match step {
            exchange::Step::NeedInput => None,
            exchange::Step::Request(request) => Some(Event::Request(request)),
            exchange::Step::Body(bytes, is_last) => Some(Event::Body(bytes, is_last)),
            exchange::Step::Continue => {
                self.ask_for_body(cx);
                None
            }
            exchange::Step::Refused(refused) => {
                log::debug!("request refused: {refused:?}");
                self.refuse(refused.status, refused.reason, cx);
                None
            }
        }
    }

    /// Asks the client to send the body that it holds back.
    pub(super) fn ask_for_body(&mut self, cx: &mut Context<'_>) {
        if let Self::Exchange(_) = self {
            Exchange::encode_continue(&mut cx.fields.block);
            cx.fields.is_last = false;
        } else {
            let interim = Bytes::Parts(http1::CONTINUE, b"");
            cx.output.send(cx.slot, Unit::default(), interim);
        }
    }

    /// The next that happens on a connection that carries others.
    pub(crate) fn next_step<'b>(
        &mut self,
        input: &mut Input<'b>,
        cx: &mut Context<'_>,
    ) -> http2::Step<'b> {
        match self {
            Self::Http2(connection, _) => connection.next(input, &mut cx.carrying()),
            _ => http2::Step::NeedInput,
        }
    }

    /// The connection that carries others, if it is one, and what it needs.
    pub(crate) fn carrier<R>(
        &mut self,
        cx: &mut Context<'_>,
        act: impl FnOnce(&mut Http2Connection, &mut Carrying<'_>) -> R,
    ) -> Option<R> {
        match self {
            Self::Http2(connection, _) => Some(act(connection, &mut cx.carrying())),
            _ => None,
        }
    }

    /// The connection that carries others, if it is one.
    pub(crate) fn as_carrier(&mut self) -> Option<&mut Http2Connection> {
        match self {
            Self::Http2(connection, _) => Some(connection),
            _ => None,
        }
    }

    /// The peer ended its side of the stream that this client is.
    pub(crate) fn end_input(&mut self, cx: &mut Context<'_>) -> Option<Event<'static>> {
        let Self::Exchange(exchange) = self else {
            return None;
        };
        let step = exchange.end_input();
        self.exchange_event(step, cx)
    }

    /// The same where a stream carries it: the head goes to the queue of its carrier, and the content
    /// to that of the stream, to be framed as windows let it go.
    pub(super) fn respond_on_stream(
        &mut self,
        response: &mut Response,
        cx: &mut Context<'_>,
    ) -> Answered {
        let Self::Exchange(exchange) = self else {
            return Answered::Whole;
        };
        let Fields { block, date, .. } = &mut *cx.fields;
        date.set(cx.date_line);
        let after = exchange.respond(response, date, block);
        cx.fields.is_last = after == exchange::After::Ended;
        match after {
            exchange::After::Upgrade => upgrade_of(response),
            exchange::After::Stream => Answered::Stream { in_chunks: false },
            exchange::After::Ended => {
                *self = Self::Lingering(None);
                Answered::Whole
            }
            exchange::After::Content => {
                cx.head.clear();
                queue(response, true, cx);
                *self = Self::Lingering(None);
                Answered::Whole
            }
        }
    }
}
