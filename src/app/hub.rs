//! What endpoints act on: the queues, the table of clients, the timers, and the closes that
//! wait for the running callback to return.
//!
//! One hub per server, shared by its endpoints and its loop. Each cell is borrowed for the
//! length of one call here and never while application code runs.

mod endpoints;

use crate::app::compression::Compressors;
use crate::app::directory::{ClientInfo, Directory, Uncounted};
use crate::app::endpoint::{Content, OwnedRecipients, Recipients, TimerId};
use crate::app::running::Running;
use crate::app::schedule::{Delayed, Due, Schedule};
use crate::app::stream::{StreamSink, Streams};
use crate::client_id::ClientId;
use crate::config::{
    BacklogPolicy, CENTURY, Compression, CompressionMode, Config, WebSocketConfig,
};
use crate::http::remote_stream::Wake;
use crate::http::stream::{Later, Sink, WeakStream};
use crate::http::{Address, ResponseStream};
use crate::moment::Moment;
use crate::output::{LogId, Output};
use crate::panics::bury;
use crate::stats::{Counts, Limit};
use crate::websocket::deflate::Agreement;
use crate::websocket::encoded::{Encoded, ToSend, header_of};
use crate::websocket::{CloseCode, Frame};
use smallvec::SmallVec;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A client that is to be closed; its id is dead already.
#[derive(Debug)]
pub(crate) struct CloseRequest {
    pub(crate) client: ClientId,
    pub(crate) endpoint: u16,
    pub(crate) code: CloseCode,
    pub(crate) reason: Cow<'static, str>,
    /// The connection is failed (RFC 6455 section 7.1.7): nothing that the peer says counts any more.
    pub(crate) fails: bool,
}

/// What a callback asked for.
#[derive(Debug)]
pub(crate) enum Pending {
    /// A WebSocket client is to be closed.
    Close(CloseRequest),
    /// The response to a client, which was sent in pieces, is complete.
    EndStream {
        client: ClientId,
        /// Bytes of its body.
        body_bytes: u64,
    },
    /// It never will be.
    CutStream(ClientId),
}

/// See the module.
pub(crate) struct Hub {
    pub(crate) output: RefCell<Output>,
    pub(crate) directory: RefCell<Directory>,
    pub(crate) schedule: RefCell<Schedule>,
    pub(crate) compressors: RefCell<Compressors>,
    /// What the handshake that was accepted last agreed on, until its client is open.
    pub(crate) agreed: Cell<Option<Agreement>>,
    /// The time of this turn, which the loop keeps.
    pub(crate) now: Cell<Moment>,
    /// The loop's clock, rounded up, for what must not be early by the length of a callback.
    clock: Box<dyn Fn() -> Moment>,
    /// By endpoint, whose log has the same index; that of clients whose messages are compressed
    /// is another.
    endpoints: RefCell<Vec<Rc<WebSocketConfig>>>,
    /// What is to be done when the running callback has returned.
    pending: RefCell<VecDeque<Pending>>,
    /// How much it is.
    pending_count: Cell<usize>,
    /// Responses that are being sent in pieces, by the slot of their client.
    pub(crate) streams: Streams,
    pub(crate) max_stream_backlog_bytes: usize,
    /// Makes, for a client, what makes the loop look at what other threads sent to its stream.
    waker: Box<dyn Fn(ClientId) -> Wake>,
    /// What came of the client that is being served and the directory does not count yet.
    uncounted: Cell<Uncounted>,
    /// What the application's code is doing.
    pub(crate) running: Arc<Running>,
    /// Slots of the recipients of one send, kept for its allocation.
    slots: RefCell<Vec<u32>>,
    /// What is counted of all of that.
    pub(crate) counts: Counts,
}

impl Hub {
    pub(crate) fn new(
        config: &Config,
        started: Instant,
        clock: Box<dyn Fn() -> Moment>,
        waker: Box<dyn Fn(ClientId) -> Wake>,
    ) -> Rc<Self> {
        Rc::new(Self {
            clock,
            waker,
            output: RefCell::new(Output::new()),
            directory: RefCell::new(Directory::new(started)),
            schedule: RefCell::new(Schedule::new(config.max_timers, config.max_delayed_bytes)),
            compressors: RefCell::default(),
            agreed: Cell::default(),
            now: Cell::new(Moment::START),
            endpoints: RefCell::default(),
            pending: RefCell::default(),
            pending_count: Cell::new(0),
            streams: Streams::default(),
            max_stream_backlog_bytes: config.max_stream_backlog_bytes,
            uncounted: Cell::default(),
            running: Arc::default(),
            slots: RefCell::default(),
            counts: Counts::default(),
        })
    }

    /// `client`'s handshake was accepted: it is part of every broadcast from now on. What was agreed
    /// with it.
    pub(crate) fn open(
        &self,
        client: ClientId,
        endpoint: u16,
        remote_address: &Address,
    ) -> Option<Agreement> {
        let agreement = self.agreed.take();
        let log = match agreement {
            None => LogId::from_index(endpoint),
            Some(agreement) => self.open_compressed(client.slot(), endpoint, agreement),
        };
        self.output.borrow_mut().join(client.slot(), log);
        self.directory
            .borrow_mut()
            .open(client, endpoint, remote_address, self.now.get());
        agreement
    }

    /// Enters the client in `slot` among those of `endpoint` whose messages are compressed so; the
    /// log of those.
    fn open_compressed(&self, slot: u32, endpoint: u16, agreement: Agreement) -> LogId {
        let mut compressors = self.compressors.borrow_mut();
        compressors.open(slot, agreement);
        if let Some(log) = compressors.log(endpoint, agreement) {
            return log;
        }
        let Some(log) = self.add_log(&self.config(endpoint)) else {
            // Nobody has to compress.
            return LogId::from_index(endpoint);
        };
        compressors.add_group(endpoint, agreement, log);
        log
    }

    /// Queues what a handler sends for each of its recipients.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "known recipients and content leave a quarter of it: 20 instructions a message"
    )]
    pub(crate) fn send(&self, endpoint: u16, to: Recipients<'_>, content: &Content<'_>) {
        // An answer to the client that is being served: nothing has to be looked up.
        if let Recipients::One(client) = to
            && let Some(message) = content.as_message()
        {
            let (owner, log) = (client.as_u64(), LogId::from_index(endpoint));
            let header = header_of(message);
            let (head, len) = header.parts();
            let mut output = self.output.borrow_mut();
            if output.answer(owner, log, head, len, message.as_bytes()) {
                return;
            }
        }
        self.send_content(endpoint, to, content);
    }

    #[inline(never)]
    fn send_content(&self, endpoint: u16, to: Recipients<'_>, content: &Content<'_>) {
        self.send_to(endpoint, to, content.to_send());
    }

    /// Queues a message for each of its recipients.
    pub(crate) fn send_to(&self, endpoint: u16, to: Recipients<'_>, message: ToSend<'_>) {
        match to {
            Recipients::One(client) => self.send_one(endpoint, client, message),
            Recipients::Listed(clients) => self.send_listed(endpoint, clients, message),
            Recipients::Everyone => self.broadcast(endpoint, message, &[]),
            Recipients::EveryoneExcept(clients) => {
                let slots = self.slots_of(endpoint, clients);
                self.broadcast(endpoint, message, &slots);
                self.slots.replace(slots);
            }
        }
    }

    #[inline]
    fn send_one(&self, endpoint: u16, client: ClientId, message: ToSend<'_>) {
        let Some(slot) = self.directory.borrow().member(client, endpoint) else {
            return;
        };
        let mut output = self.output.borrow_mut();
        if !output.has_room(slot) {
            drop(output);
            return self.refuse(endpoint, slot);
        }
        let log = output.log(slot);
        if log == LogId::from_index(endpoint) {
            let message = message.plain(self.max_frame_bytes(endpoint));
            output.send(slot, message.unit(), message.bytes());
        } else {
            self.send_compressed(endpoint, client, log, message, &mut output);
        }
    }

    /// Queues a message for one client whose messages are compressed, if this one is worth it.
    fn send_compressed(
        &self,
        endpoint: u16,
        client: ClientId,
        log: LogId,
        message: ToSend<'_>,
        output: &mut Output,
    ) {
        let slot = client.slot();
        let config = self.config(endpoint);
        let mut compressors = self.compressors.borrow_mut();
        if output.take_cut(slot) {
            compressors.lose_track(slot);
        }
        let now = self.now.get();
        let form = compressors.form_for_one(log, slot, message, &config, now);
        let encoded = compressors.encoded(&form, message, &config);
        let gathered = match &encoded {
            Encoded::Whole(header, body) => {
                let (head, len) = header.parts();
                output.answer(client.as_u64(), log, head, len, body)
            }
            Encoded::Split(..) | Encoded::Shared(..) => false,
        };
        if !gathered {
            output.send(slot, encoded.unit(), encoded.bytes());
        }
        if let Some(deadline) = compressors.deadline(slot) {
            self.free_compressors_at(deadline);
        }
    }

    fn send_listed(&self, endpoint: u16, clients: &[ClientId], message: ToSend<'_>) {
        let mut slots = self.slots_of(endpoint, clients);
        slots.retain(|slot| {
            let has_room = self.output.borrow().has_room(*slot);
            if !has_room {
                self.refuse(endpoint, *slot);
            }
            has_room
        });
        let mut output = self.output.borrow_mut();
        let mut compressors = self.compressors.borrow_mut();
        let config = self.config(endpoint);
        if config.compression.is_some() {
            slots.sort_unstable_by_key(|slot| compressors.order(output.log(*slot)));
        }
        let (mut last, mut rest) = (None, &slots[..]);
        while let Some(first) = rest.first() {
            let log = output.log(*first);
            // Without compression an endpoint has one log, and nobody is of another.
            let others = config
                .compression
                .and_then(|_| rest.iter().position(|slot| output.log(*slot) != log));
            let (slots, behind) = rest.split_at(others.unwrap_or(rest.len()));
            rest = behind;
            let form = compressors.form_for_several(log, message, &config, last.take());
            let encoded = compressors.encoded(&form, message, &config);
            output.send_many(slots, encoded.unit(), encoded.bytes());
            compressors.note_listed(slots, &form);
            last = Some(form);
        }
        drop(output);
        self.slots.replace(slots);
    }

    fn broadcast(&self, endpoint: u16, message: ToSend<'_>, except: &[u32]) {
        self.counts.broadcasts.one();
        let config = self.config(endpoint);
        let plain = message.plain(config.max_outgoing_frame_bytes);
        let mut output = self.output.borrow_mut();
        let own = LogId::from_index(endpoint);
        output.broadcast_except(own, plain.unit(), plain.bytes(), except);
        if config.compression.is_none() {
            return;
        }
        let mut compressors = self.compressors.borrow_mut();
        let logs: SmallVec<[LogId; 8]> = compressors.logs(endpoint).collect();
        let mut last = None;
        for log in logs {
            if output.member_count(log) == 0 {
                continue;
            }
            let form = compressors.form_for_several(log, message, &config, last.take());
            let encoded = compressors.encoded(&form, message, &config);
            output.broadcast_except(log, encoded.unit(), encoded.bytes(), except);
            compressors.note_broadcast(log, &form);
            last = Some(form);
        }
    }

    /// Frees the compressors of clients that are idle.
    pub(crate) fn free_idle_compressors(&self) {
        let next = self.compressors.borrow_mut().free_idle(self.now.get());
        if let Some(deadline) = next {
            self.free_compressors_at(deadline);
        }
    }

    fn free_compressors_at(&self, deadline: Moment) {
        let wheel = &mut self.schedule.borrow_mut().wheel;
        wheel.insert(deadline, Due::IdleCompressors);
    }

    /// How an endpoint with this configuration compresses for its next client: without contexts, if
    /// they are kept for as many as may be.
    pub(crate) fn compression(&self, config: &WebSocketConfig) -> Option<Compression> {
        let compression = config.compression?;
        let has_room = self.compressors.borrow().has_room(compression.max_contexts);
        let mode = if has_room {
            compression.mode
        } else {
            CompressionMode::Shared
        };
        Some(Compression {
            mode,
            ..compression
        })
    }

    /// The slots of those of `clients` that are open on `endpoint`, each once.
    fn slots_of(&self, endpoint: u16, clients: &[ClientId]) -> Vec<u32> {
        let mut slots = self.slots.take();
        slots.clear();
        let directory = self.directory.borrow();
        slots.extend(
            clients
                .iter()
                .filter_map(|client| directory.member(*client, endpoint)),
        );
        slots.sort_unstable();
        slots.dedup();
        slots
    }

    /// One message more for `slot` would be one too many: applies the endpoint's policy.
    fn refuse(&self, endpoint: u16, slot: u32) {
        self.counts.messages_refused.one();
        if self.config(endpoint).backlog_policy == BacklogPolicy::Close {
            self.close_overflowed(slot);
        }
    }

    /// Closes a client whose backlog passed the hard limit.
    pub(crate) fn close_overflowed(&self, slot: u32) {
        let client = self.directory.borrow().id_at(slot);
        if let Some(client) = client {
            self.counts.refuse(Limit::Backlog);
            let reason = Cow::Borrowed("Too slow: the backlog limit was reached");
            self.fail(client, CloseCode::POLICY_VIOLATION, reason);
        }
    }

    /// Sends later.
    pub(crate) fn send_after(
        &self,
        endpoint: u16,
        delay: Duration,
        to: OwnedRecipients,
        frame: Frame,
    ) -> TimerId {
        let deadline = self.after(delay);
        self.schedule.borrow_mut().delay(
            deadline,
            Delayed {
                endpoint,
                to,
                frame,
            },
        )
    }

    pub(crate) fn set_timer(&self, endpoint: u16, delay: Duration) -> TimerId {
        let deadline = self.after(delay);
        self.schedule.borrow_mut().set_timer(endpoint, deadline)
    }

    fn after(&self, delay: Duration) -> Moment {
        (self.clock)() + delay.min(CENTURY)
    }

    pub(crate) fn cancel(&self, endpoint: u16, timer: TimerId) -> bool {
        self.schedule.borrow_mut().cancel(endpoint, timer)
    }

    /// Closes a client of `endpoint`, if it is one.
    pub(crate) fn close(&self, endpoint: u16, client: ClientId, code: CloseCode, reason: &str) {
        if self.directory.borrow().member(client, endpoint).is_some() {
            self.request_close(client, code, Cow::Owned(reason.to_owned()), false);
        }
    }

    /// Closes an open client, of whichever endpoint.
    pub(crate) fn dismiss(&self, client: ClientId, code: CloseCode, reason: Cow<'static, str>) {
        self.request_close(client, code, reason, false);
    }

    /// Fails an open client's connection, for what it did or what became of its handler.
    pub(crate) fn fail(&self, client: ClientId, code: CloseCode, reason: Cow<'static, str>) {
        self.request_close(client, code, reason, true);
    }

    /// Lets an open client's id die at once and asks the loop for the rest. Nothing happens to
    /// an id that is dead.
    fn request_close(
        &self,
        client: ClientId,
        code: CloseCode,
        reason: Cow<'static, str>,
        fails: bool,
    ) {
        let Some(endpoint) = self.directory.borrow().endpoint_of(client) else {
            return;
        };
        self.retire(client);
        self.ask(Pending::Close(CloseRequest {
            client,
            endpoint,
            code,
            reason,
            fails,
        }));
    }

    fn ask(&self, pending: Pending) {
        self.pending_count.set(self.pending_count.get() + 1);
        self.pending.borrow_mut().push_back(pending);
    }

    /// The id dies: no send reaches it any more. Whether it was alive.
    pub(crate) fn retire(&self, client: ClientId) -> bool {
        let alive = self.directory.borrow_mut().retire(client);
        if alive {
            self.output.borrow_mut().leave(client.slot());
            self.compressors.borrow_mut().forget(client.slot());
        }
        alive
    }

    /// Whether a callback asked for anything.
    #[inline]
    pub(crate) fn has_pending(&self) -> bool {
        self.pending_count.get() > 0
    }

    pub(crate) fn next_pending(&self) -> Option<Pending> {
        let count = self.pending_count.get().checked_sub(1)?;
        self.pending_count.set(count);
        self.pending.borrow_mut().pop_front()
    }

    /// The response to `client` is sent in pieces from now on. Whether its stream is still open.
    pub(crate) fn open_stream(
        self: &Rc<Self>,
        client: ClientId,
        stream: &ResponseStream,
        in_chunks: bool,
    ) -> bool {
        let sink = Rc::new(StreamSink::new(Rc::clone(self), client, in_chunks));
        self.streams
            .insert(client.slot(), stream.clone(), Rc::clone(&sink));
        let sink: Rc<dyn Sink> = sink;
        stream.attach(&sink)
    }

    /// A response that was sent in pieces is complete.
    pub(crate) fn end_stream(&self, client: ClientId) {
        let taken = self.streams.take(client.slot());
        let body_bytes = taken.map_or(0, |(_, body_bytes)| body_bytes);
        self.ask(Pending::EndStream { client, body_bytes });
    }

    /// A response that is sent in pieces will never be complete.
    pub(crate) fn cut_stream(&self, client: ClientId) {
        self.ask(Pending::CutStream(client));
    }

    /// Calls later what a response that is sent in pieces asked for; its number, if there is room.
    pub(crate) fn stream_after(
        &self,
        delay: Duration,
        stream: WeakStream,
        later: Later,
    ) -> Option<u32> {
        let deadline = self.after(delay);
        let call = self
            .schedule
            .borrow_mut()
            .delay_call(deadline, stream, later);
        call.map_err(bury).ok()
    }

    pub(crate) fn stream_waker(&self, client: ClientId) -> Wake {
        (self.waker)(client)
    }

    /// Notes what came of the client that is being served; once for all of it, it is to be
    /// [counted](Self::count).
    #[inline]
    pub(crate) fn note(&self, came: Uncounted) {
        self.uncounted.set(came);
    }

    /// Counts what was noted, and that the socket took bytes, if it did.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "on the straight path")]
    pub(crate) fn count(&self, slot: u32, took: bool) {
        let came = self.uncounted.take();
        self.counts.bytes_read.add(came.bytes);
        self.counts.whole_messages_read.add(came.messages);
        if let Some(entry) = self.directory.borrow_mut().entry_mut(slot) {
            entry.count(came, took, self.now.get());
        }
    }

    /// Messages of one frame that were read, also those that were noted and are not counted yet.
    pub(crate) fn whole_messages_read(&self) -> u64 {
        self.counts.whole_messages_read.get() + self.uncounted.get().messages
    }

    /// The same of bytes that were read.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.counts.bytes_read.get() + self.uncounted.get().bytes
    }

    /// The open clients of `endpoint`, oldest first.
    pub(crate) fn clients(&self, endpoint: u16) -> Vec<ClientId> {
        let directory = self.directory.borrow();
        let output = self.output.borrow();
        let compressors = self.compressors.borrow();
        let slots = output.members(LogId::from_index(endpoint));
        let mut slots: Vec<_> = slots.collect();
        let plain_count = slots.len();
        for log in compressors.logs(endpoint) {
            slots.extend(output.members(log));
        }
        if slots.len() > plain_count {
            slots.sort_by_key(|slot| directory.opened(*slot));
        }
        slots
            .into_iter()
            .filter_map(|slot| directory.id_at(slot))
            .collect()
    }

    pub(crate) fn client_count(&self, endpoint: u16) -> usize {
        let output = self.output.borrow();
        let compressors = self.compressors.borrow();
        let compressed = compressors
            .logs(endpoint)
            .map(|log| output.member_count(log));
        output.member_count(LogId::from_index(endpoint)) + compressed.sum::<usize>()
    }

    pub(crate) fn info(&self, endpoint: u16, client: ClientId) -> Option<ClientInfo> {
        let directory = self.directory.borrow();
        let slot = directory.member(client, endpoint)?;
        let output = self.output.borrow();
        let sent = output.sent(slot);
        let known = directory.info(slot)?;
        let came = self.uncounted.get();
        let came = if came.slot == slot {
            came
        } else {
            Uncounted::default()
        };
        let now = || self.now.get().instant(directory.started());
        Some(ClientInfo {
            bytes_read: known.bytes_read + came.bytes,
            frames_read: known.frames_read + came.messages,
            messages_read: known.messages_read + came.messages,
            last_read: if came.bytes > 0 {
                Some(now())
            } else {
                known.last_read
            },
            bytes_sent: sent.bytes,
            frames_sent: sent.frames,
            messages_sent: sent.messages,
            backlog_bytes: output.backlog_bytes(slot),
            ..known
        })
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}
