//! Where the code of endpoints is called, and what it asked for is carried out.

use crate::app::hub::{CloseRequest, Pending};
use crate::app::remote::RemoteCommand;
use crate::app::running::Callback;
use crate::app::websocket::AnyApplication;
use crate::client_id::ClientId;
use crate::event_loop::EventLoop;
use crate::event_loop::system::System;
use crate::websocket::encoded::ToSend;
use crate::websocket::{CloseCode, ClosedBy};
use std::borrow::Cow;

impl<S: System> EventLoop<S> {
    /// The one place where an endpoint's code runs: catches its panic, which fails `client`'s
    /// connection, and carries out what it asked for before anything else happens.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "on the straight path")]
    pub(super) fn call(
        &mut self,
        what: Callback,
        endpoint: u16,
        client: Option<ClientId>,
        code: impl FnOnce(&dyn AnyApplication),
    ) {
        let application = self.app.endpoint(endpoint);
        let call = || code(application);
        let returned = self.app.call(what, Some(endpoint), call);
        if returned.is_none()
            && let Some(client) = client
        {
            let reason = Cow::Borrowed("The application failed");
            self.hub.fail(client, CloseCode::INTERNAL_ERROR, reason);
        }
        self.carry_out();
    }

    /// Closes and ends what callbacks asked to be closed or ended, telling their endpoints, until
    /// nothing is left.
    #[inline]
    pub(super) fn carry_out(&mut self) {
        if self.hub.has_pending() {
            self.carry_out_pending();
        }
    }

    #[inline(never)]
    fn carry_out_pending(&mut self) {
        while let Some(pending) = self.hub.next_pending() {
            match pending {
                Pending::Close(request) => self.carry_out_close(request),
                Pending::EndStream { client, body_bytes } => self.end_stream(client, body_bytes),
                Pending::CutStream(client) => self.cut_stream(client),
            }
        }
    }

    fn carry_out_close(&mut self, request: CloseRequest) {
        let CloseRequest {
            client,
            endpoint,
            code,
            reason,
            fails,
        } = request;
        let slot = client.slot();
        if self.clients.by_id(client).is_some() {
            self.protocol(slot, |protocol, cx| {
                protocol.close(code, &reason, fails, cx);
            });
            self.arm(slot);
            self.resume(slot);
        }
        if self.access.is_on() {
            let by = if fails {
                ClosedBy::Failure
            } else {
                ClosedBy::Server
            };
            self.access.close(slot, code, &reason, by);
        }
        self.tell_closed(endpoint, client, code, &reason);
    }

    /// Calls `on_close`. Its panic harms nobody: the client is gone already.
    fn tell_closed(&mut self, endpoint: u16, client: ClientId, code: CloseCode, reason: &str) {
        log::debug!("client {client} closes with {code}");
        self.hub.counts.close(code.into());
        let application = self.app.endpoint(endpoint);
        let call = || application.close(client, code, reason);
        self.app.call(Callback::Close, Some(endpoint), call);
    }

    /// The close of a WebSocket connection began by the peer, or for its fault.
    pub(super) fn closed(&mut self, slot: u32, code: CloseCode, reason: &str, by: ClosedBy) {
        let client = self.hub.directory.borrow().id_at(slot);
        let Some(client) = client else { return };
        let endpoint = self.hub.directory.borrow().endpoint_of(client);
        if self.hub.retire(client)
            && let Some(endpoint) = endpoint
        {
            if self.access.is_on() {
                self.access.close(slot, code, reason, by);
            }
            self.tell_closed(endpoint, client, code, reason);
            self.carry_out();
        }
    }

    /// Carries out what other threads asked for.
    pub(super) fn carry_out_remotes(&mut self) {
        for index in 0..self.app.endpoints().len() {
            let commands = self.app.endpoints()[index].state().remote.drain();
            let Ok(endpoint) = u16::try_from(index) else {
                continue;
            };
            for command in commands {
                match command {
                    RemoteCommand::Send(to, frame) => {
                        let message = ToSend::Frame(&frame);
                        self.hub.send_to(endpoint, to.as_recipients(), message);
                    }
                    RemoteCommand::Close(client, code, reason) => {
                        self.hub.close(endpoint, client, code, &reason);
                    }
                }
                self.carry_out();
            }
        }
    }
}
