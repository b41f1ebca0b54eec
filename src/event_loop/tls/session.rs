//! One client's TLS session (RFC 8446, RFC 5246), without a socket: records in, plaintext out, and
//! back. Versions, keys and certificates are rustls's; what lies where is decided here.

use super::Progress;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, UnbufferedStatus, WriteTraffic,
};
use rustls::{Error, ServerConfig};
use std::fmt;
use std::sync::Arc;

/// Length of what stands before a record's fragment.
const HEADER_BYTES: usize = 5;
/// Longest fragment of plaintext in a record (RFC 8446 section 5.1).
const MAX_FRAGMENT_BYTES: usize = 1 << 14;
/// What a record of ours is at most longer than its fragment, header included, in all suites.
const MAX_OVERHEAD_BYTES: usize = 40;

/// Most that is held of records that are not complete, in bytes: one of the greatest length, and the
/// longest first message that makes sense. In fragments of a byte one of 64 KiB would take six times
/// that.
const MAX_INCOMPLETE_BYTES: usize = 64 * 1024;

/// What the sessions of a listener are made of.
#[derive(Clone, Debug)]
pub(crate) struct Acceptor(Arc<ServerConfig>);

impl Acceptor {
    pub(crate) const fn new(config: Arc<ServerConfig>) -> Self {
        Self(config)
    }
}

/// See the module.
pub(crate) struct Session {
    connection: UnbufferedServerConnection,
    /// What is not understood yet: a record of which a part is missing, or a handshake message in
    /// several of them.
    incomplete: Vec<u8>,
    /// Records that no socket has taken yet.
    sealed: Vec<u8>,
    /// The peer has sent something.
    has_begun: bool,
    /// The peer said that it sends no more.
    has_ended: bool,
    /// We said so, or failed: nothing is opened or sealed any more.
    is_over: bool,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("incomplete", &self.incomplete.len())
            .field("sealed", &self.sealed.len())
            .field("has_ended", &self.has_ended)
            .field("is_over", &self.is_over)
            .finish_non_exhaustive()
    }
}

/// Input.
impl Session {
    /// A session whose handshake begins with what the client sends first.
    pub(crate) fn new(acceptor: &Acceptor) -> Option<Self> {
        let connection = UnbufferedServerConnection::new(Arc::clone(&acceptor.0));
        let failed = |error: &Error| log::error!("no TLS session can be made: {error}");
        Some(Self {
            connection: connection.inspect_err(failed).ok()?,
            incomplete: Vec::new(),
            sealed: Vec::new(),
            has_begun: false,
            has_ended: false,
            is_over: false,
        })
    }

    /// Whether the first of all bytes begin a request line in place of a record: no content type
    /// (RFC 8446 section 5.1) is a letter.
    pub(super) fn is_plain(&self, bytes: &[u8]) -> bool {
        !self.has_begun && bytes.first().is_some_and(u8::is_ascii_uppercase)
    }

    /// Takes what the socket brought, opens it in place, and puts what was in it behind `plain`.
    pub(super) fn receive(&mut self, mut bytes: &mut [u8], plain: &mut Vec<u8>) -> Progress {
        self.has_begun |= !bytes.is_empty();
        while !self.incomplete.is_empty() && !bytes.is_empty() {
            let len = self.missing_bytes().min(bytes.len());
            let (missing, rest) = bytes.split_at_mut(len);
            bytes = rest;
            let mut incomplete = std::mem::take(&mut self.incomplete);
            incomplete.extend_from_slice(missing);
            let (len, progress) = self.open(&mut incomplete, plain);
            if progress != Progress::Open {
                return progress;
            }
            if self.is_too_much(incomplete.len() - len) {
                return Progress::Failed;
            }
            if len < incomplete.len() {
                incomplete.drain(..len);
                self.incomplete = incomplete;
            }
        }
        if !self.incomplete.is_empty() {
            // What rustls has looked at lies in there: shown nothing, it would miss it, and panic.
            return Progress::Open;
        }
        let (len, progress) = self.open(bytes, plain);
        if progress != Progress::Open {
            return progress;
        }
        if self.is_too_much(bytes.len() - len) {
            return Progress::Failed;
        }
        if len < bytes.len() {
            self.incomplete = bytes[len..].to_vec();
        }
        Progress::Open
    }

    /// Whether so many bytes are more than is held. Then the session has failed.
    fn is_too_much(&mut self, incomplete: usize) -> bool {
        let is_so = incomplete > MAX_INCOMPLETE_BYTES;
        if is_so {
            log::debug!("a TLS session failed: a handshake message in too many records");
            self.fail();
        }
        is_so
    }

    /// How much is to follow what is incomplete until it is to be looked at again.
    fn missing_bytes(&self) -> usize {
        match &*self.incomplete {
            [_, _, _, high, low, fragment @ ..] => {
                let len = usize::from(u16::from_be_bytes([*high, *low]));
                // There already: what is missing are the records behind it.
                len.checked_sub(fragment.len())
                    .filter(|missing| *missing > 0)
                    .unwrap_or(usize::MAX)
            }
            header => HEADER_BYTES - header.len(),
        }
    }

    /// Opens the records at the front of `bytes`. How long they are, unless nothing is to follow.
    fn open(&mut self, bytes: &mut [u8], plain: &mut Vec<u8>) -> (usize, Progress) {
        let mut len = 0;
        if self.is_over || self.has_ended {
            // Whatever it is, it does not count.
            return (bytes.len(), Progress::Open);
        }
        loop {
            let UnbufferedStatus { mut discard, state } =
                self.connection.process_tls_records(&mut bytes[len..]);
            let mut is_done = false;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(Ok(record)) = traffic.next_record() {
                        plain.extend_from_slice(record.payload);
                        discard += record.discard;
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    append(&mut self.sealed, |room| data.encode(room));
                }
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => {
                    self.has_ended = true;
                    return (len, Progress::Ended);
                }
                // For lack of input; early data is never agreed on.
                Ok(_) => is_done = true,
                Err(error) => {
                    log::debug!("a TLS session failed: {error}");
                    self.fail();
                    return (len, Progress::Failed);
                }
            }
            len += discard;
            if is_done {
                return (len, Progress::Open);
            }
        }
    }

    /// Nothing is opened or sealed any more, but for the alert that says why.
    fn fail(&mut self) {
        self.is_over = true;
        while self.connection.wants_write() {
            let status = self.connection.process_tls_records(&mut []);
            let Ok(ConnectionState::EncodeTlsData(mut data)) = status.state else {
                return;
            };
            append(&mut self.sealed, |room| data.encode(room));
        }
    }

    /// Whether the handshake is over.
    pub(super) fn is_secured(&self) -> bool {
        !self.connection.is_handshaking()
    }

    /// Whether the peer said that it sends no more.
    pub(super) const fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// The protocol that was agreed on (RFC 7301).
    pub(super) fn alpn(&self) -> Option<&[u8]> {
        self.connection.alpn_protocol()
    }

    /// What there is of records that are not complete, in bytes.
    pub(super) const fn incomplete_bytes(&self) -> usize {
        self.incomplete.capacity()
    }
}

/// Output.
impl Session {
    /// Whether there is a key to seal with, and the peer is to be told anything.
    pub(super) fn can_seal(&self) -> bool {
        !self.is_over && self.is_secured()
    }

    /// Puts records with `plain` in them behind `sealed`. `false`: the keys are spent.
    pub(super) fn seal(&mut self, plain: &[u8], sealed: &mut Vec<u8>) -> bool {
        if plain.is_empty() {
            return true;
        }
        let records = plain.len().div_ceil(MAX_FRAGMENT_BYTES);
        let room = plain.len() + records * MAX_OVERHEAD_BYTES;
        self.write(sealed, room, |traffic, room| traffic.encrypt(plain, room))
    }

    /// Says to the peer that nothing follows (RFC 8446 section 6.1). `false`: it was said before, or
    /// cannot be.
    pub(super) fn close(&mut self) -> bool {
        if !self.can_seal() {
            return false;
        }
        let mut sealed = std::mem::take(&mut self.sealed);
        let is_said = self.write(&mut sealed, MAX_OVERHEAD_BYTES, |traffic, room| {
            traffic.queue_close_notify(room)
        });
        self.sealed = sealed;
        self.is_over = true;
        is_said
    }

    /// Puts what `seal` writes behind `sealed`, where it is given `room` bytes or as many as it asks
    /// for. `false`: the keys are spent.
    fn write(
        &mut self,
        sealed: &mut Vec<u8>,
        mut room: usize,
        mut seal: impl FnMut(&mut Traffic<'_>, &mut [u8]) -> Result<usize, EncryptError>,
    ) -> bool {
        loop {
            // What it has looked at before. That cannot be left out: it knows where it lies.
            let status = self.connection.process_tls_records(&mut self.incomplete);
            match status.state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => loop {
                    let begin = sealed.len();
                    sealed.resize(begin + room, 0);
                    let written = seal(&mut traffic, &mut sealed[begin..]);
                    sealed.truncate(begin + *written.as_ref().unwrap_or(&0));
                    match written {
                        Ok(_) => return true,
                        Err(EncryptError::InsufficientSize(needed)) => room = needed.required_size,
                        Err(EncryptError::EncryptExhausted) => return false,
                    }
                },
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    append(sealed, |room| data.encode(room));
                }
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                _ => return false,
            }
        }
    }

    /// Whether records wait for the socket.
    pub(super) const fn has_sealed(&self) -> bool {
        !self.sealed.is_empty()
    }

    /// Records that wait for the socket.
    pub(super) fn sealed(&self) -> &[u8] {
        &self.sealed
    }

    /// Moves the records that wait for the socket into `room`, in place of what is there.
    pub(super) fn take_sealed(&mut self, room: &mut Vec<u8>) {
        room.clear();
        if self.has_sealed() {
            room.append(&mut self.sealed);
            // A session that nothing waits for owns no memory for it.
            self.sealed = Vec::new();
        }
    }

    /// Keeps what the socket did not take.
    pub(super) fn keep_sealed(&mut self, records: &[u8]) {
        debug_assert!(self.sealed.is_empty(), "it was taken");
        self.sealed = records.to_vec();
    }
}

type Traffic<'c> = WriteTraffic<'c, ServerConnectionData>;

/// Puts what `encode` writes behind `records`, in as much room as it says that it needs.
fn append(records: &mut Vec<u8>, mut encode: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>) {
    let begin = records.len();
    if let Err(EncodeError::InsufficientSize(needed)) = encode(&mut []) {
        records.resize(begin + needed.required_size, 0);
        let len = encode(&mut records[begin..]).unwrap_or(0);
        records.truncate(begin + len);
    }
}

#[cfg(all(test, feature = "self-signed"))]
pub(super) mod tests;
