//! From requests to responders to responses, whole and in pieces.

use crate::app::running::Callback;
use crate::app::{App, failed, upload};
use crate::client_id::ClientId;
use crate::event_loop::EventLoop;
use crate::event_loop::clients::fact;
use crate::event_loop::system::System;
use crate::http::response::Content;
use crate::http::{BodyFlow, BodyHandler, Request, Response, ResponseStream, StatusCode};
use crate::moment::Moment;
use crate::panics::bury;
use crate::protocol::{Answered, Protocol};
use std::fmt;
use std::sync::Arc;

/// A request whose body comes in pieces.
pub(super) struct Upload {
    request: Box<Request>,
    /// What it will be answered, as far as that is known.
    response: Response,
    handler: Box<dyn BodyHandler>,
    flow: BodyFlow,
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload")
            .field("request", &self.request)
            .field("flow", &self.flow)
            .finish_non_exhaustive()
    }
}

/// Requests, whole or in pieces.
impl<S: System> EventLoop<S> {
    /// A request announces a body: asks how it is taken. `is_there`: some of it has come already.
    pub(super) fn announced(&mut self, id: ClientId, is_there: bool) {
        let slot = id.slot();
        let Some(client) = self.clients.get_mut(slot) else {
            return;
        };
        let Some((host, request)) = client.protocol.announced() else {
            return;
        };
        let outdated = self.asides.outdated(slot);
        let plan = |app: &mut App, host| app.body_plan(host, request);
        let plan = self.app.ask(host, outdated, plan).unwrap_or_default();
        if self.access.is_on() {
            self.note_announced(id);
        }
        let max_bytes = self.settings.server.max_body_bytes as u64;
        let event = self.protocol(slot, |protocol, cx| {
            protocol.expect_body(plan.or_at_most(max_bytes), is_there, cx)
        });
        if let Some(Some(event)) = event {
            self.handle(id, event, is_there);
        }
    }

    /// Routes a request and queues the answer, or makes the client an endpoint's.
    pub(super) fn answer(&mut self, id: ClientId, mut request: Box<Request>) {
        let slot = id.slot();
        let Some(client) = self.clients.get_mut(slot) else {
            return;
        };
        let Some(host) = client.protocol.host() else {
            return;
        };
        if self.stop.is_begun() {
            if self.access.is_on() {
                self.note_request(id, &request);
            }
            let reason = "The server stops.";
            self.protocol(slot, |protocol, cx| {
                protocol.refuse(StatusCode::SERVICE_UNAVAILABLE, reason, cx);
            });
            return;
        }
        if client.protocol.is_receiving() {
            let control = Arc::clone(&self.control);
            request.set_incoming(BodyFlow::new(move || control.look_at(id)));
        }
        let mut response = Response::new();
        let outdated = self.asides.take_outdated(slot);
        self.app.ask(host, outdated, |app, host| {
            app.respond(host, &mut request, &mut response);
        });
        self.note_returned(Some(&request));
        self.carry_out();
        if request.is_incoming() {
            return self.begin_upload(id, request, response);
        }
        self.send_response(id, request, &mut response);
    }

    /// A request whose body comes in pieces was handed out: somebody takes them, or it is answered.
    fn begin_upload(&mut self, id: ClientId, mut request: Box<Request>, mut response: Response) {
        if let (Some(handler), Some(flow)) = (request.take_receiver(), request.body_flow()) {
            if !response.is_started() {
                let upload = Upload {
                    request,
                    response,
                    handler,
                    flow,
                };
                self.protocol(id.slot(), Protocol::accept_body);
                return self.keep_upload(id.slot(), Box::new(upload));
            }
            self.app
                .call(Callback::BodyAbort, None, || handler.on_abort());
            self.carry_out();
        }
        self.send_response(id, request, &mut response);
    }

    /// A piece of a body has come.
    pub(super) fn receive(&mut self, id: ClientId, bytes: &[u8], is_last: bool) {
        let Some(mut upload) = self.asides.uploads.remove(&id.slot()) else {
            return;
        };
        let Upload {
            handler, response, ..
        } = &mut *upload;
        let take = || handler.on_data(bytes, response);
        let app = &self.app;
        let taken = bytes.is_empty() || app.call(Callback::BodyData, None, take).is_some();
        self.carry_out();
        if taken && !is_last && !upload.response.is_started() {
            return self.keep_upload(id.slot(), upload);
        }
        let Upload {
            mut request,
            mut response,
            handler,
            ..
        } = *upload;
        let ended = self.app.call(Callback::BodyEnd, None, || {
            if taken && !response.is_started() {
                upload::end(handler, &mut request, &mut response);
            } // else it is dropped here, which is code of the application, too
            taken
        });
        if ended != Some(true) {
            response = failed();
        }
        for witness in request.take_witnesses() {
            self.app
                .call(Callback::After, None, || witness(&request, &mut response));
        }
        self.carry_out();
        self.send_response(id, request, &mut response);
    }

    /// Keeps a request until the next piece of its body comes, which may be held back.
    fn keep_upload(&mut self, slot: u32, upload: Box<Upload>) {
        let Some(client) = self.clients.get_mut(slot) else {
            return self.abort(upload);
        };
        if upload.flow.is_paused() {
            client.protocol.pause_body(true, self.hub.now.get());
        }
        self.asides.uploads.insert(slot, upload);
    }

    /// Goes on with bodies that were held back, and with streams, as other threads asked.
    pub(super) fn look_at_asked(&mut self) {
        for id in self.control.take_asked() {
            let slot = id.slot();
            if self.clients.by_id(id).is_some()
                && let Some(stream) = self.hub.streams.get(slot)
            {
                stream.take_in();
                self.carry_out();
            }
            let now: Moment = self.hub.now.get();
            let upload = self.asides.uploads.get(&slot);
            let may_go_on = upload.is_some_and(|upload| !upload.flow.is_paused());
            if let Some(client) = self.clients.by_id(id)
                && may_go_on
            {
                client.protocol.pause_body(false, now);
                self.resume(slot);
                self.arm(slot);
            }
        }
    }

    /// Gives up the body of a client that was refused meanwhile.
    pub(super) fn check_upload(&mut self, slot: u32) {
        if self.asides.uploads.is_empty() {
            return;
        }
        let client = self.clients.get_mut(slot);
        if !client.is_some_and(|client| client.protocol.is_receiving()) {
            self.abort_upload(slot);
        }
    }

    fn abort_upload(&mut self, slot: u32) {
        if let Some(upload) = self.asides.uploads.remove(&slot) {
            self.abort(upload);
        }
    }

    pub(super) fn abort(&mut self, upload: Box<Upload>) {
        let Upload {
            mut request,
            mut response,
            handler,
            ..
        } = *upload;
        self.app
            .call(Callback::BodyAbort, None, || handler.on_abort());
        // Who saw the request sees that it is over, if not what the client may be told.
        response.end_with_error(StatusCode::BAD_REQUEST, "the body did not come");
        for witness in request.take_witnesses() {
            self.app
                .call(Callback::After, None, || witness(&request, &mut response));
        }
        // What the application keeps in them may panic when it is dropped.
        bury((request, response));
        self.carry_out();
    }
}

/// Responses, whole or in pieces.
impl<S: System> EventLoop<S> {
    /// Queues a response, and does what follows from it.
    #[inline]
    fn send_response(&mut self, id: ClientId, mut request: Box<Request>, response: &mut Response) {
        let slot = id.slot();
        if let Some(fault) = response.fault() {
            log::error!("a responder failed: {fault}");
        }
        if self.stop.is_begun() {
            response.set_header("Connection", "close");
        }
        if request.protocol().is_some()
            && response.upgrade.is_none()
            && response.status().is_success()
        {
            // The client would take it for what it asked for (RFC 8441 section 5).
            let reason = "There is no WebSocket endpoint here.";
            *response = Response::error(StatusCode::BAD_REQUEST, reason);
        }
        if response.content().is_stream() {
            response.settle_stream();
        }
        self.keep_date();
        if self.access.is_on() {
            self.note_request(id, &request);
        }
        match self.protocol(slot, |protocol, cx| protocol.respond(response, cx)) {
            Some(Answered::Upgrade(endpoint)) => self.open(id, endpoint, request.client_address()),
            Some(Answered::Stream { in_chunks }) => {
                if let Content::Stream(stream) = response.take_content()
                    && let Some(stream) = stream.take()
                {
                    self.open_stream(id, &stream, in_chunks);
                }
            }
            Some(Answered::Whole) | None => self.drop_stream(response),
        }
        if request.has_values() {
            self.app
                .call(Callback::RequestValues, None, || request.drop_values());
        }
        self.spare = request.into_spare();
    }

    /// What would be sent in pieces cannot be.
    fn drop_stream(&mut self, response: &mut Response) {
        if response.content().is_stream() {
            drop(response.take_content()); // which closes it
            self.carry_out();
        }
    }

    /// Keeps the date of responses, which need not be more exact than the loop's own time.
    pub(super) fn keep_date(&mut self) {
        let now: Moment = self.hub.now.get();
        if now != self.dated {
            self.dated = now;
            self.date.at(self.system.calendar());
        }
    }

    /// The head is queued: what the application sends follows.
    fn open_stream(&mut self, id: ClientId, stream: &ResponseStream, in_chunks: bool) {
        let slot = id.slot();
        if !self.hub.open_stream(id, stream, in_chunks) {
            return self.doom(slot); // cut before it began
        }
        // Perhaps another thread ended it already.
        self.carry_out();
        let Some(client) = self.clients.get_mut(slot) else {
            return;
        };
        if !client.protocol.is_streaming() {
            return;
        }
        if client.is(fact::READ_CLOSED | fact::AT_END) && !client.is(fact::CARRIED) {
            return self.disconnected(slot);
        }
        if self.stop.is_begun() {
            self.call_stream(Callback::StreamStop, stream, || stream.stopped());
        }
        if !self.is_above_soft(slot) {
            self.tell_drained(slot);
        }
    }

    /// Tells those whose backlog is below its soft limit again. What they send then is written in the
    /// next turn, so that nobody has more than a share of this one.
    pub(super) fn tell_all_drained(&mut self) {
        for slot in std::mem::take(&mut self.drained) {
            let Some((id, client)) = self.clients.entry(slot) else {
                continue;
            };
            match client.protocol.endpoint() {
                Some(endpoint) => self.call(Callback::Drain, endpoint, Some(id), |application| {
                    application.drain(id);
                }),
                None => self.tell_drained(slot),
            }
        }
    }

    /// There is room for more of a response in pieces: tells who was refused before.
    fn tell_drained(&mut self, slot: u32) {
        if let Some(stream) = self.hub.streams.get(slot)
            && stream.take_refused()
        {
            stream.take_in();
            self.call_stream(Callback::StreamDrain, &stream, || stream.drained());
        }
    }

    /// Runs what a response in pieces asked for. A panic cuts it off: it must not look complete.
    pub(super) fn call_stream(
        &mut self,
        what: Callback,
        stream: &ResponseStream,
        code: impl FnOnce(),
    ) {
        if self.app.call(what, None, code).is_none()
            && let Some(slot) = self.hub.streams.slot_of(stream)
        {
            self.doom(slot);
        }
        self.carry_out();
    }

    /// A response in pieces is complete.
    pub(super) fn end_stream(&mut self, id: ClientId, body_bytes: u64) {
        let slot = id.slot();
        let stops = self.stop.is_begun();
        let Some(client) = self.clients.by_id(id) else {
            return;
        };
        client.protocol.end_stream(self.hub.now.get());
        if self.access.is_on() {
            let until = self.hub.output.borrow().position(slot);
            self.access.note_pieces(slot, body_bytes, Some(until));
        }
        if stops {
            client.protocol = Protocol::Lingering(None);
        }
        self.settle(slot);
        self.arm(slot);
        self.resume(slot);
    }

    /// A response in pieces cannot go on.
    fn close_stream(&mut self, stream: &ResponseStream) {
        if let Some(close) = stream.close() {
            self.app.call(Callback::StreamClose, None, close);
            self.carry_out();
        }
    }

    /// A response in pieces can never be complete.
    pub(super) fn cut_stream(&mut self, id: ClientId) {
        if self.clients.by_id(id).is_some() {
            self.doom(id.slot());
        }
    }

    /// Nothing can be sent to the client in `slot` any more.
    pub(super) fn close_stream_to(&mut self, slot: u32) {
        if let Some((stream, body_bytes)) = self.hub.streams.take(slot) {
            self.access.note_pieces(slot, body_bytes, None);
            self.close_stream(&stream);
        }
    }

    /// The client in `slot` is lost: tells who sent to it or was sent to.
    pub(super) fn abandon(&mut self, slot: u32) {
        self.close_stream_to(slot);
        self.abort_upload(slot);
    }
}
