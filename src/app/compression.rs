//! Who is sent messages in which form, plain or compressed, and the compressors for it.
//!
//! Clients of an endpoint that can be sent the same compressed bytes are a *group*, with a log of
//! broadcasts of its own: one for each window that was negotiated. So a broadcast is compressed once
//! for each, and what a member costs is what a plain client costs.
//!
//! A client whose messages may refer to earlier ones has a compressor to itself, as long as it is
//! sent any that are its own. What goes to several clients is compressed for itself all the same:
//! that is legal at any time, but a compressor does not know it, and begins anew for the next
//! message of its own.

use crate::config::{Compression, WebSocketConfig};
use crate::moment::Moment;
use crate::output::LogId;
use crate::websocket::deflate::Agreement;
use crate::websocket::deflate::codec::{Deflater, TAIL, compressor_bits};
use crate::websocket::encoded::{Encoded, ToSend};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// Room for compressed bytes that is kept. What a larger message took is given back.
const KEPT_OUTPUT_BYTES: usize = 256 * 1024;

/// Clients that are sent the same when a message goes to all.
#[derive(Clone, Copy, Debug)]
struct Group {
    endpoint: u16,
    log: LogId,
    /// The compressor's: 9 to 15.
    window_bits: u8,
    /// Their own messages may refer to earlier ones.
    takeover: bool,
    /// Broadcasts that went to them compressed, of which their own compressors know nothing.
    foreign_count: u64,
}

/// The compressor of one client.
#[derive(Debug)]
struct Dedicated {
    deflater: Deflater,
    /// What the group's count was at its last message; nothing known of it if that is above.
    foreign_count: u64,
    last_used: Moment,
    idle_timeout: Duration,
}

impl Dedicated {
    /// When it is idle.
    fn deadline(&self) -> Moment {
        self.last_used + self.idle_timeout
    }
}

/// A compressor for messages that refer to no other.
#[derive(Debug)]
struct Shared {
    window_bits: u8,
    level: u8,
    deflater: Deflater,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Compressors {
    groups: Vec<Group>,
    shared: Vec<Shared>,
    /// By slot.
    dedicated: HashMap<u32, Dedicated>,
    /// Slots of clients that a context is kept for, theirs or ours.
    contexts: HashSet<u32>,
    /// What was compressed last.
    output: Vec<u8>,
    /// When the next of `dedicated` may be idle: a timer is set for it.
    timer: Option<Moment>,
    /// How many messages were compressed, in whichever way.
    compressed_count: u64,
}

/// Groups.
impl Compressors {
    /// The log of clients of `endpoint` with this agreement, if there was one before.
    pub(crate) fn log(&self, endpoint: u16, agreement: Agreement) -> Option<LogId> {
        let window_bits = compressor_bits(agreement.server_window_bits);
        let same = |group: &&Group| {
            (group.endpoint, group.window_bits, group.takeover)
                == (endpoint, window_bits, agreement.server_takeover)
        };
        self.groups.iter().find(same).map(|group| group.log)
    }

    /// Makes `log` the one of such clients.
    pub(crate) fn add_group(&mut self, endpoint: u16, agreement: Agreement, log: LogId) {
        let group = Group {
            endpoint,
            log,
            window_bits: compressor_bits(agreement.server_window_bits),
            takeover: agreement.server_takeover,
            foreign_count: 0,
        };
        // Those of one window lie side by side, so that it is compressed for once.
        let key = |group: &Group| (group.endpoint, group.window_bits);
        let at = self
            .groups
            .partition_point(|other| key(other) <= key(&group));
        self.groups.insert(at, group);
    }

    /// The client in `slot` is one of those that agreed so.
    pub(crate) fn open(&mut self, slot: u32, agreement: Agreement) {
        if agreement.server_takeover || agreement.client_takeover {
            self.contexts.insert(slot);
        }
    }

    /// Whether contexts are kept for fewer than `most` clients.
    pub(crate) fn has_room(&self, most: usize) -> bool {
        self.contexts.len() < most
    }

    /// Where a log has its place when a message is made for several: those of one window side by
    /// side.
    pub(crate) fn order(&self, log: LogId) -> (u8, LogId) {
        let group = self.groups.iter().find(|group| group.log == log);
        (group.map_or(0, |group| group.window_bits), log)
    }

    /// The logs of an endpoint's groups.
    pub(crate) fn logs(&self, endpoint: u16) -> impl Iterator<Item = LogId> {
        let groups = self.groups.iter();
        groups
            .filter(move |group| group.endpoint == endpoint)
            .map(|group| group.log)
    }

    /// How many messages were compressed so far.
    pub(crate) const fn compressed_count(&self) -> u64 {
        self.compressed_count
    }
}

/// Messages.
impl Compressors {
    /// The group of `log`, and how `message` is compressed for it; `None` if it is not.
    fn compressing(
        &self,
        log: LogId,
        message: ToSend<'_>,
        config: &WebSocketConfig,
    ) -> Option<(Group, Compression)> {
        let compression = config.compression?;
        let group = self.groups.iter().find(|group| group.log == log)?;
        (message.len() >= compression.threshold_bytes).then_some((*group, compression))
    }

    /// The form of `message` for the members of the group of `log`, or for several of them.
    /// `before`: its form for another group, if that was asked for.
    pub(crate) fn form_for_several(
        &mut self,
        log: LogId,
        message: ToSend<'_>,
        config: &WebSocketConfig,
        before: Option<Form>,
    ) -> Form {
        let Some((group, compression)) = self.compressing(log, message, config) else {
            return Form::Plain;
        };
        match before {
            Some(Form::Tried { window_bits, bytes }) if window_bits == group.window_bits => {
                Form::Tried { window_bits, bytes }
            }
            _ => self.compress_alone(group.window_bits, message, &compression, config),
        }
    }

    /// All members of the group of `log` are sent a message in this form.
    pub(crate) fn note_broadcast(&mut self, log: LogId, form: &Form) {
        let group = self.groups.iter_mut().find(|group| group.log == log);
        if let (true, Some(group)) = (form.is_deflated(), group) {
            group.foreign_count += 1;
        }
    }

    /// The clients in `slots` are sent a message in this form.
    pub(crate) fn note_listed(&mut self, slots: &[u32], form: &Form) {
        if form.is_deflated() && !self.dedicated.is_empty() {
            for slot in slots {
                self.lose_track(*slot);
            }
        }
    }

    /// What the client in `slot` was sent is not what its compressor, if it has one, takes it for.
    pub(crate) fn lose_track(&mut self, slot: u32) {
        if let Some(dedicated) = self.dedicated.get_mut(&slot) {
            dedicated.foreign_count = u64::MAX;
        }
    }

    /// The form of `message` for the client in `slot`, of the group of `log`.
    pub(crate) fn form_for_one(
        &mut self,
        log: LogId,
        slot: u32,
        message: ToSend<'_>,
        config: &WebSocketConfig,
        now: Moment,
    ) -> Form {
        let Some((group, compression)) = self.compressing(log, message, config) else {
            return Form::Plain;
        };
        let (window_bits, foreign_count) = (group.window_bits, group.foreign_count);
        let has_room = self.dedicated.len() < compression.max_compressors;
        if !group.takeover || (!has_room && !self.dedicated.contains_key(&slot)) {
            return self.compress_alone(window_bits, message, &compression, config);
        }
        let dedicated = self.dedicated.entry(slot).or_insert_with(|| Dedicated {
            deflater: Deflater::new(window_bits, compression.level),
            foreign_count,
            last_used: now,
            idle_timeout: compression.idle_timeout,
        });
        dedicated.last_used = now;
        if dedicated.foreign_count != foreign_count {
            dedicated.deflater.restart();
            dedicated.foreign_count = foreign_count;
        }
        let output = room_for(&mut self.output, message.len());
        self.compressed_count += 1;
        let len = dedicated
            .deflater
            .compress(message.pieces(), output, message.len());
        if len.is_none() {
            // It has begun anew by itself, unless the library panicked.
            dedicated.foreign_count = u64::MAX;
        }
        Form::Tried {
            window_bits,
            bytes: len.map(Bytes::Output),
        }
    }

    /// Compresses a message so that it refers to no other.
    fn compress_alone(
        &mut self,
        window_bits: u8,
        message: ToSend<'_>,
        compression: &Compression,
        config: &WebSocketConfig,
    ) -> Form {
        let kept = message
            .kept(window_bits)
            .filter(|_| config.max_outgoing_frame_bytes.is_none());
        let bytes = if let Some(kept) = kept {
            let framed = kept.get_or_init(|| {
                let len = self.deflate_alone(window_bits, compression.level, message)?;
                let encoded = Encoded::deflated(message.opcode(), &self.output[..len], None);
                Some(encoded.to_shared())
            });
            framed.clone().map(Bytes::Kept)
        } else {
            let len = self.deflate_alone(window_bits, compression.level, message);
            len.map(Bytes::Output)
        };
        Form::Tried { window_bits, bytes }
    }

    /// The same into the output.
    fn deflate_alone(&mut self, window_bits: u8, level: u8, message: ToSend<'_>) -> Option<usize> {
        let wanted = |shared: &Shared| (shared.window_bits, shared.level) == (window_bits, level);
        let index = self.shared.iter().position(wanted).unwrap_or_else(|| {
            let deflater = Deflater::new(window_bits, level);
            self.shared.push(Shared {
                window_bits,
                level,
                deflater,
            });
            self.shared.len() - 1
        });
        let deflater = &mut self.shared[index].deflater;
        let output = room_for(&mut self.output, message.len());
        self.compressed_count += 1;
        deflater.restart();
        deflater.compress(message.pieces(), output, message.len())
    }

    /// `message` in a form that was made of it last.
    pub(crate) fn encoded<'a>(
        &'a self,
        form: &'a Form,
        message: ToSend<'a>,
        config: &WebSocketConfig,
    ) -> Encoded<'a> {
        let max = config.max_outgoing_frame_bytes;
        match form {
            Form::Plain | Form::Tried { bytes: None, .. } => message.plain(max),
            Form::Tried {
                bytes: Some(bytes), ..
            } => match bytes {
                Bytes::Output(len) => {
                    Encoded::deflated(message.opcode(), &self.output[..*len], max)
                }
                Bytes::Kept(framed) => Encoded::Shared(framed, 1),
            },
        }
    }
}

/// Idle compressors.
impl Compressors {
    /// The client in `slot` is gone.
    pub(crate) fn forget(&mut self, slot: u32) {
        if !self.contexts.is_empty() {
            self.contexts.remove(&slot);
            self.dedicated.remove(&slot);
        }
    }

    /// When [`free_idle`](Self::free_idle) is to be called for the client in `slot`, unless it will
    /// be by then.
    pub(crate) fn deadline(&mut self, slot: u32) -> Option<Moment> {
        let deadline = self.dedicated.get(&slot)?.deadline();
        if self.timer.is_some_and(|timer| timer <= deadline) {
            return None;
        }
        self.timer = Some(deadline);
        self.timer
    }

    /// Frees the compressors of clients that were sent nothing compressed of their own for so long;
    /// when that is to be done again.
    pub(crate) fn free_idle(&mut self, now: Moment) -> Option<Moment> {
        if self.timer.is_some_and(|timer| timer > now) {
            return None; // a timer of before the one that is set
        }
        self.dedicated
            .retain(|_, dedicated| dedicated.deadline() > now);
        if self.dedicated.is_empty() {
            self.dedicated.shrink_to_fit();
        }
        self.timer = self.dedicated.values().map(Dedicated::deadline).min();
        self.timer
    }

    /// How many clients have a compressor to themselves.
    pub(crate) fn dedicated_count(&self) -> usize {
        self.dedicated.len()
    }
}

/// What a message looks like to some of its receivers.
#[derive(Clone, Debug)]
pub(crate) enum Form {
    Plain,
    /// Compressed for a window of so many bits; as it is after all, if that gave no fewer bytes.
    Tried {
        window_bits: u8,
        bytes: Option<Bytes>,
    },
}

/// A message compressed.
#[derive(Clone, Debug)]
pub(crate) enum Bytes {
    /// So many at the front of the output.
    Output(usize),
    /// In frames already, kept with a [`Frame`](crate::Frame).
    Kept(Arc<[u8]>),
}

impl Form {
    const fn is_deflated(&self) -> bool {
        matches!(self, Self::Tried { bytes: Some(_), .. })
    }
}

/// The output, with room for what a message of `len` bytes becomes.
fn room_for(output: &mut Vec<u8>, len: usize) -> &mut [u8] {
    let needed = len + TAIL.len();
    if output.len() > KEPT_OUTPUT_BYTES && needed <= KEPT_OUTPUT_BYTES {
        *output = Vec::new();
    }
    if output.len() < needed {
        output.resize(needed, 0);
    }
    output
}
