//! What few clients have at a time, apart from the table of all of them; half-read input among it,
//! of which all clients together may have so much.

use crate::app::hosts::Outdated;
use crate::event_loop::addresses::Addresses;
use crate::event_loop::answer::Upload;
use crate::event_loop::clients::{Client, fact};
use crate::event_loop::lifetimes::Idle;
use crate::event_loop::system::System;
use crate::event_loop::tls::Session;
use crate::event_loop::warnings::Warning;
use crate::event_loop::{EventLoop, carried};
use crate::http::StatusCode;
use crate::protocol::Protocol;
use crate::stats::Limit;
use crate::websocket::CloseCode;
use rustc_hash::{FxHashMap, FxHashSet};
use std::borrow::Cow;

/// What few clients have at a time, by slot, so that the others need not have a place for it.
#[derive(Debug, Default)]
pub(super) struct Asides {
    /// Input that was read before its client's reads paused, from an offset.
    pub(super) held: FxHashMap<u32, Held>,
    /// Half-read input, in bytes, as it is counted in the total.
    pub(super) buffered: FxHashMap<u32, usize>,
    /// The sum of it.
    pub(super) buffered_bytes: usize,
    /// Requests whose bodies come in pieces.
    pub(super) uploads: FxHashMap<u32, Box<Upload>>,
    /// Clients that others carry.
    pub(super) streams: carried::Streams,
    /// The sessions of TLS clients.
    pub(super) sessions: FxHashMap<u32, Box<Session>>,
    /// How many connections addresses have.
    pub(super) addresses: Addresses,
    /// Clients that are only there to read that they are refused.
    pub(super) refused: FxHashSet<u32>,
    /// What clients of endpoints with an idle time did when that was last looked at.
    pub(super) idle: FxHashMap<u32, Idle>,
    /// What requests began with that are under way since before a reload.
    pub(super) outdated: FxHashMap<u32, Outdated>,
}

impl Asides {
    /// `client` is freed, and with it all that it has here.
    pub(super) fn forget<K>(&mut self, slot: u32, client: &Client<K>) {
        self.held.remove(&slot);
        if client.is(fact::ENCRYPTED) {
            self.sessions.remove(&slot);
        }
        if client.is(fact::CARRIED) {
            self.streams.forget_one();
        }
        self.refused.remove(&slot);
        self.idle.remove(&slot);
        self.count_buffered(slot, 0);
        drop(self.take_outdated(slot));
    }

    /// What the request of the client in `slot` began with, if it is not what there is now.
    #[inline]
    pub(super) fn outdated(&self, slot: u32) -> Option<Outdated> {
        if self.outdated.is_empty() {
            return None;
        }
        self.outdated.get(&slot).cloned()
    }

    /// The same for the last time.
    #[inline]
    pub(super) fn take_outdated(&mut self, slot: u32) -> Option<Outdated> {
        if self.outdated.is_empty() {
            return None;
        }
        self.outdated.remove(&slot)
    }

    /// How many entries there are in all: none without clients.
    pub(super) fn len(&self) -> usize {
        let (addresses, clients) = self.addresses.len();
        self.held.len()
            + self.buffered.len()
            + self.uploads.len()
            + self.streams.len()
            + self.sessions.len()
            + addresses
            + clients
            + self.refused.len()
            + self.idle.len()
            + self.outdated.len()
    }

    /// Notes how many bytes of half-read input a client holds now; how many before.
    pub(super) fn count_buffered(&mut self, slot: u32, bytes: usize) -> usize {
        let before = if bytes > 0 {
            self.buffered.insert(slot, bytes)
        } else {
            self.buffered.remove(&slot)
        };
        let before = before.unwrap_or(0);
        self.buffered_bytes = self.buffered_bytes - before + bytes;
        before
    }
}

/// Input that waits, from an offset.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) bytes: Vec<u8>,
    pub(super) from: usize,
}

impl Held {
    /// More comes behind it. What was taken of it is not kept.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        if self.from >= self.bytes.len() / 2 {
            self.bytes.drain(..std::mem::take(&mut self.from));
        }
        self.bytes.extend_from_slice(bytes);
    }
}

impl<S: System> EventLoop<S> {
    /// Keeps the total of half-read input, which has a limit too.
    pub(super) fn account(&mut self, slot: u32) {
        let Some(client) = self.clients.get_mut(slot) else {
            return;
        };
        let mut bytes = client.protocol.buffered_bytes();
        if client.is(fact::HELD) {
            let held = self.asides.held.get(&slot);
            bytes += held.map_or(0, |held| held.bytes.capacity());
        }
        if client.is(fact::ENCRYPTED) {
            bytes += self.asides.incomplete_bytes(slot);
        }
        if bytes == 0 && !client.is(fact::BUFFERED) {
            return;
        }
        client.put(fact::BUFFERED, bytes > 0);
        let is_http = matches!(client.protocol, Protocol::Http1(..) | Protocol::Exchange(_));
        let is_streaming = client.protocol.is_streaming();
        let grew = bytes > self.asides.count_buffered(slot, bytes);
        if grew && self.asides.buffered_bytes > self.settings.server.max_buffered_input_bytes {
            self.hub.counts.refuse(Limit::BufferedInput);
            self.warn(
                Warning::BufferedInput,
                format_args!("half-read input of all clients passed its limit"),
            );
            let client = self.hub.directory.borrow().id_at(slot);
            if let Some(client) = client {
                let reason = Cow::Borrowed("The server is out of room");
                self.hub.fail(client, CloseCode::TRY_AGAIN_LATER, reason);
                self.carry_out();
            } else if is_http && !is_streaming {
                let reason = "The server is out of room; try again later.";
                self.protocol(slot, |protocol, cx| {
                    protocol.refuse(StatusCode::SERVICE_UNAVAILABLE, reason, cx);
                });
            } else {
                self.doom(slot);
            }
            self.account(slot);
        }
    }
}
