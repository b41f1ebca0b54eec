//! From queues to sockets: the only writer.

use crate::client_id::ClientId;
use crate::config::Settings;
use crate::event_loop::clients::{Client, fact};
use crate::event_loop::system::{FileOutcome, Socket, System, WriteOutcome};
use crate::event_loop::warnings::Warning;
use crate::event_loop::{EARLY_FLUSH_BYTES, EventLoop, token_of};
use crate::output::Output;
use crate::protocol::Protocol;
use std::io::IoSlice;

/// Pieces that one call writes. Linux takes up to 1,024, but a client rarely has more than one,
/// and the list is made for each write.
pub(super) const SLICES_PER_WRITE: usize = 16;
/// Bytes that one client is written in a turn: others wait for theirs.
pub(super) const WRITE_BUDGET_BYTES: usize = 1024 * 1024;
/// Bytes that one call sends from a file, so that all others do not wait longer for a cold disk.
const FILE_BYTES_PER_CALL: usize = 256 * 1024;
/// A call that took longer waited for a disk, and its client's turn ends: from memory it takes a tenth.
const SLOW_CALL_NANOS: u64 = 1_000_000;
/// Clients with queues of their own flushed in a turn. A write takes the kernel 3 to 5 µs: a
/// millisecond or so until the others are asked again.
const FLUSHES_PER_TURN: usize = 256;
/// Members of a broadcast visited in a turn, for the same reason: with 1,024, an echo beside a
/// broadcast to 18,000 waited 11 ms (99th percentile).
const RING_VISITS_PER_TURN: usize = 256;

impl<S: System> EventLoop<S> {
    /// Writes queues, then a slice of the ring of those who lack a broadcast.
    pub(super) fn flush(&mut self) {
        if self.asides.streams.is_any_given() {
            self.go_on_postponed();
        }
        for _ in 0..FLUSHES_PER_TURN {
            let slot = self.hub.output.borrow_mut().next_dirty();
            let Some(slot) = slot else { break };
            self.flush_client(slot);
        }
        let mut visits = RING_VISITS_PER_TURN;
        loop {
            if let Some(slot) = self.flush_ring(&mut visits) {
                self.flush_client(slot);
                continue;
            }
            let slot = self.hub.output.borrow_mut().next_in_ring(&mut visits);
            let Some(slot) = slot else { break };
            self.flush_client(slot);
        }
        loop {
            let slot = self.hub.output.borrow_mut().next_overflowed();
            let Some(slot) = slot else { break };
            self.hub.close_overflowed(slot);
        }
        self.carry_out();
        self.hub.output.borrow_mut().end_turn();
    }

    /// Writes broadcasts to those who lack nothing else, as many as come one after the other. One
    /// whose socket took less, to be flushed like any other.
    fn flush_ring(&mut self, visits: &mut usize) -> Option<u32> {
        let mut output = self.hub.output.borrow_mut();
        let mut directory = self.hub.directory.borrow_mut();
        let (clients, now) = (&mut self.clients, self.hub.now.get());
        let (asides, pump) = (&mut self.asides, &mut self.pump);
        let counts = &self.hub.counts;
        let visited = output.flush_straight(visits, |slot, bytes| {
            let Some(client) = clients.get_any_mut(slot) else {
                return 0;
            };
            if client.is(fact::DOOMED | fact::WRAPPED) {
                return pump.write_broadcast(client, slot, bytes, asides);
            }
            match client.socket.write(bytes) {
                WriteOutcome::Bytes(len) => {
                    directory.note_sent(slot, now);
                    counts.bytes_written.add(len as u64);
                    len
                }
                // The next write will find the same.
                WriteOutcome::Full | WriteOutcome::Broken => 0,
            }
        });
        counts.bytes_written.add(pump.take_written());
        pump.settle(asides, &mut output, |slot| directory.note_sent(slot, now));
        let (slot, taken) = visited?;
        output.advance(slot, taken);
        Some(slot)
    }

    /// Gathers what the client `id` of `endpoint` is answered while it is served, if it can be.
    #[inline]
    pub(super) fn cork(&mut self, id: ClientId, endpoint: u16) {
        let config = self.settings.endpoint(endpoint);
        let mut output = self.hub.output.borrow_mut();
        if config.max_outgoing_frame_bytes.is_none() {
            // Above the soft limit reads pause, and above the hard one, which is not below it, each
            // message is judged.
            let most = config.soft_backlog_bytes;
            output.cork(id.slot(), id.as_u64(), most);
        }
    }

    /// A large message was handed over: if it is to go back, it is written from where it lies,
    /// behind a head that takes the end of its own, which is longer by the mask.
    pub(super) fn write_lent(&mut self, slot: u32, frame: &mut [u8], header_len: usize) {
        let mut output = self.hub.output.borrow_mut();
        let Some(head) = output.lent(&frame[header_len..]) else {
            return;
        };
        let head = head.as_bytes();
        let begin = header_len - head.len();
        frame[begin..header_len].copy_from_slice(head);
        let client = self.clients.get_mut(slot);
        let written = match client.map(|client| client.socket.write(&frame[begin..])) {
            Some(WriteOutcome::Bytes(len)) => len,
            // The next write will find the same.
            Some(WriteOutcome::Full | WriteOutcome::Broken) | None => 0,
        };
        self.hub.counts.bytes_written.add(written as u64);
        output.lent_taken(&frame[header_len..], written);
        if written > 0 {
            let now = self.hub.now.get();
            self.hub.directory.borrow_mut().note_sent(slot, now);
        }
    }

    /// Writes what a client was answered while it was read. Whether that is all there is to do:
    /// the client is steady and holds nothing of ours, we nothing of its, and others need not be
    /// written before anything else.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "on the straight path a call of it costs 20 instructions"
    )]
    pub(super) fn flush_answers(&mut self, slot: u32) -> bool {
        let mut output = self.hub.output.borrow_mut();
        let Some(client) = self.clients.get_mut(slot) else {
            output.uncork(slot);
            return true;
        };
        if let Some(bytes) = output.corked(slot) {
            let outcome = if bytes.is_empty() {
                WriteOutcome::Bytes(0)
            } else {
                client.socket.write(bytes)
            };
            match outcome {
                WriteOutcome::Bytes(len) if len == bytes.len() => {
                    self.hub.counts.bytes_written.add(len as u64);
                    output.cork_taken(slot);
                    self.hub.count(slot, len > 0);
                    // Its next deadline is the heartbeat, which was put off.
                    return client.protocol.is_steady()
                        && !client.is(fact::HELD | fact::BUFFERED)
                        && output.turn_bytes() <= EARLY_FLUSH_BYTES;
                }
                WriteOutcome::Bytes(len) => {
                    self.hub.counts.bytes_written.add(len as u64);
                    output.uncork(slot);
                    output.advance(slot, len);
                }
                // The next write will find the same.
                WriteOutcome::Full | WriteOutcome::Broken => output.uncork(slot),
            }
        }
        self.hub.count(slot, false);
        let dirty = output.is_dirty(slot);
        drop(output);
        if dirty {
            self.write_client(slot);
        }
        false
    }

    /// Writes a client's queue now if it is over the soft limit and the socket may take it:
    /// only what a socket refuses is a backlog.
    pub(super) fn relieve(&mut self, slot: u32) {
        if self.is_above_soft(slot) {
            self.write_client(slot);
        }
    }

    /// Writes all that a client lacks, and does what follows from that. How many bytes its socket took.
    pub(super) fn flush_client(&mut self, slot: u32) -> usize {
        let written = self.write_client(slot);
        self.settle(slot);
        if let Some(client) = self.clients.get_mut(slot)
            && (client.is(fact::FULL) || !client.protocol.is_steady())
        {
            self.arm(slot);
        }
        written
    }

    /// Writes all that a client lacks, as far as the socket and its share of the turn go. It is to
    /// be [settled](Self::settle) and its deadline to be armed then. How many bytes its socket took.
    pub(super) fn write_client(&mut self, slot: u32) -> usize {
        let Some(client) = self.clients.get_mut(slot) else {
            return 0;
        };
        if client.is(fact::WRAPPED) {
            return self.write_wrapped(slot);
        }
        let mut output = self.hub.output.borrow_mut();
        output.uncork(slot);
        if is_above_soft(client, slot, &output, &self.settings) {
            client.set(fact::ABOVE_SOFT);
        }
        let now = self.hub.now.get();
        if !client.is(fact::WAITING) {
            // Only from here on it is to make progress, whenever it was written to before.
            client.note_progress(now);
        }
        let mut written = 0;
        let mut broken = false;
        while !output.is_blocked(slot) {
            let most = WRITE_BUDGET_BYTES - written;
            let (outcome, is_slow) = send_file(client, slot, &mut output, most, self.clock);
            match outcome {
                FileOutcome::Bytes(len) => {
                    written += len;
                    if !output.has_output(slot) || written >= WRITE_BUDGET_BYTES || is_slow {
                        break;
                    }
                    continue;
                }
                FileOutcome::Full => {
                    output.block(slot);
                    break;
                }
                FileOutcome::Failed(error) => {
                    log::warn!("a response was cut off: {error}");
                    broken = true;
                    break;
                }
                FileOutcome::Broken => {
                    broken = true;
                    break;
                }
                FileOutcome::Unsupported => {}
            }
            if let Err(error) = output.fill(slot) {
                // The length was promised: only a cut connection tells that it is not kept.
                log::warn!("a response was cut off: {error}");
                broken = true;
                break;
            }
            let mut slices = [IoSlice::new(&[]); SLICES_PER_WRITE];
            let gathered = output.gather(slot, &mut slices);
            if gathered.bytes == 0 {
                break;
            }
            let outcome = match &slices[..gathered.slices] {
                slices if gathered.before_file => client.socket.write_before_file(slices),
                // `send` is cheaper than `sendmsg` of one piece.
                [slice] => client.socket.write(slice),
                slices => client.socket.write_vectored(slices),
            };
            match outcome {
                WriteOutcome::Bytes(len) => {
                    output.advance(slot, len);
                    written += len;
                    if len < gathered.bytes {
                        output.block(slot);
                    }
                }
                WriteOutcome::Full => output.block(slot),
                WriteOutcome::Broken => {
                    broken = true;
                    break;
                }
            }
            // What is left beyond its share stays on the output's lists, for the next turn.
            if !output.has_output(slot) || written >= WRITE_BUDGET_BYTES {
                break;
            }
        }
        if written > 0 {
            client.note_progress(now);
            self.hub.counts.bytes_written.add(written as u64);
            self.hub.directory.borrow_mut().note_sent(slot, now);
        }
        let blocked = output.is_blocked(slot);
        client.put(fact::WAITING, output.has_output(slot));
        client.put(fact::FULL, blocked);
        drop(output);
        if broken {
            self.doom(slot);
            return written;
        }
        if blocked && !client.is(fact::WATCHED) {
            self.watch_writable(slot);
        }
        let client = self.clients.get_mut(slot);
        if client.is_some_and(|client| client.is(fact::ABOVE_SOFT)) {
            self.judge_backlog(slot);
        }
        if self.asides.streams.is_any_waiting() {
            self.make_room(slot);
        }
        written
    }

    /// The same for a client whose socket carries something else than its bytes, or that has none.
    #[inline(never)]
    fn write_wrapped(&mut self, slot: u32) -> usize {
        let client = self.clients.get_mut(slot);
        if client.is_some_and(|client| client.is(fact::CARRIED)) {
            self.write_carried(slot);
            return 0;
        }
        let written = self.write_encrypted(slot);
        if self.asides.streams.is_any_waiting() {
            self.make_room(slot);
        }
        written
    }

    /// The socket of a client is full for the first time: that it takes bytes again is to be told
    /// from now on.
    pub(super) fn watch_writable(&mut self, slot: u32) {
        let Some((id, client)) = self.clients.entry(slot) else {
            return;
        };
        client.set(fact::WATCHED);
        let watched = self.system.watch_writable(&mut client.socket, token_of(id));
        if let Err(error) = watched {
            // Of the poll's memory there is no more, perhaps for long.
            self.warn(
                Warning::Unregistered,
                format_args!("client {id} was lost, its socket could not be watched: {error}"),
            );
            self.doom(slot);
        }
    }

    /// Whether more waits for a client than its soft limit.
    pub(super) fn is_above_soft(&mut self, slot: u32) -> bool {
        let output = self.hub.output.borrow();
        self.clients
            .get_mut(slot)
            .is_some_and(|client| is_above_soft(client, slot, &output, &self.settings))
    }

    /// A client whose backlog is not above its soft limit any more is read on, and that is told.
    pub(super) fn judge_backlog(&mut self, slot: u32) {
        let above = self.is_above_soft(slot);
        let Some(client) = self.clients.get_mut(slot) else {
            return;
        };
        if above || !client.take(fact::ABOVE_SOFT) {
            return;
        }
        self.drained.push(slot);
        self.resume(slot);
    }

    /// Ends a connection on which all was said, as far as its queue allows: our side of the
    /// stream first, then the socket, when the peer ended its own. Its deadline is to be armed then.
    pub(super) fn settle(&mut self, slot: u32) {
        let Some(client) = self.clients.get_mut(slot) else {
            return;
        };
        if client.protocol.is_steady() || self.hub.output.borrow().has_output(slot) {
            return;
        }
        if !client.protocol.is_lingering() {
            client.protocol.drained(self.hub.now.get());
            return;
        }
        if client.is(fact::CARRIED) {
            return self.settle_carried(slot);
        }
        if client.is(fact::ENCRYPTED) && !self.close_session(slot) {
            return;
        }
        let Some(client) = self.clients.get_mut(slot) else {
            return;
        };
        if client.is(fact::AT_END) {
            self.doom(slot);
            return;
        }
        if !client.is(fact::SHUT_DOWN) {
            client.set(fact::SHUT_DOWN);
            client.socket.shut_down();
            client
                .protocol
                .shut_down(&self.settings.server, self.hub.now.get());
        }
    }
}

/// Has the kernel send from a file what is to be written next, at most `most` bytes, and says whether
/// that took long. `Unsupported`: it is no part of a file, or must be read.
#[inline]
fn send_file<K: Socket>(
    client: &mut Client<K>,
    slot: u32,
    output: &mut Output,
    most: usize,
    clock: fn() -> u64,
) -> (FileOutcome, bool) {
    if !K::SENDS_FILES {
        return (FileOutcome::Unsupported, false);
    }
    let Some(part) = output.file_part(slot) else {
        return (FileOutcome::Unsupported, false);
    };

    let most = most.min(FILE_BYTES_PER_CALL);
    let len = usize::try_from(part.len).map_or(most, |len| len.min(most));
    if len as u64 == part.len
        && let Err(error) = output.check_source(slot)
    {
        return (FileOutcome::Failed(error), false);
    }
    let began = clock();
    let outcome = client.socket.send_file(part.file, part.offset, len);
    if let FileOutcome::Bytes(len) = outcome {
        output.advance_in_file(slot, len as u64);
    }
    (outcome, clock().saturating_sub(began) > SLOW_CALL_NANOS)
}

/// Whether more waits for a client than its soft limit.
#[inline]
pub(super) fn is_above_soft<K>(
    client: &Client<K>,
    slot: u32,
    output: &Output,
    settings: &Settings,
) -> bool {
    let Some(soft) = client.protocol.soft_backlog_bytes(settings) else {
        return false;
    };
    // A file counts by being there: a thousand requests for it must not open it a thousand
    // times.
    let is_http = matches!(client.protocol, Protocol::Http1(..) | Protocol::Exchange(_));
    let pulls = is_http && output.has_source(slot);
    pulls || output.backlog_bytes(slot) > soft as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_loop::system::ReadOutcome;
    use crate::http::{Address, ConnectionInfo};
    use crate::moment::Moment;
    use crate::output::{FilePart, Source};
    use std::cell::Cell;
    use std::fs::File;
    use std::io;
    use std::net::SocketAddr;
    use std::os::fd::{AsFd as _, BorrowedFd};

    thread_local! {
        static NANOS: Cell<u64> = const { Cell::new(0) };
    }

    /// Takes all that it is given, from memory or from a disk that is slow.
    struct FileSocket {
        asked: Vec<usize>,
        nanos: u64,
    }

    impl Socket for FileSocket {
        const SENDS_FILES: bool = true;

        fn none() -> Self {
            Self {
                asked: Vec::new(),
                nanos: 0,
            }
        }

        fn send_file(&mut self, _: BorrowedFd<'_>, _: u64, len: usize) -> FileOutcome {
            self.asked.push(len);
            NANOS.set(NANOS.get() + self.nanos);
            FileOutcome::Bytes(len)
        }

        fn read(&mut self, _: &mut [u8]) -> ReadOutcome {
            ReadOutcome::Drained
        }

        fn write(&mut self, bytes: &[u8]) -> WriteOutcome {
            WriteOutcome::Bytes(bytes.len())
        }

        fn write_vectored(&mut self, _: &[IoSlice<'_>]) -> WriteOutcome {
            WriteOutcome::Full
        }

        fn shut_down(&mut self) {}

        fn reset_on_close(&mut self) {}

        fn local_address(&self) -> io::Result<SocketAddr> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    struct Part(File, u64);

    impl Source for Part {
        fn pull(&mut self, _: &mut Vec<u8>, _: usize) -> io::Result<usize> {
            Ok(0)
        }

        fn file_part(&self) -> Option<FilePart<'_>> {
            Some(FilePart {
                file: self.0.as_fd(),
                offset: 0,
                len: self.1,
            })
        }

        fn check(&self) -> io::Result<()> {
            Err(io::Error::other("it was changed"))
        }

        fn skip(&mut self, len: u64) {
            self.1 -= len;
        }
    }

    #[test]
    fn a_file_is_sent_in_calls_that_are_not_long_and_whose_length_in_time_is_told() {
        for (nanos, is_slow) in [(100_000, false), (5_000_000, true)] {
            let mut output = Output::new();
            output.open(0);
            let len = 2 * FILE_BYTES_PER_CALL as u64 + 10;
            let part = Part(File::open("/dev/null").unwrap(), len);
            output.send_source(0, len, Box::new(part));
            let address = Address::Ip(([127, 0, 0, 1], 1).into());
            let info = ConnectionInfo {
                remote_address: address.clone(),
                local_address: address,
                encrypted: false,
                is_anonymous: false,
            };
            let protocol = Protocol::accepted(0, info, Moment::START);
            let asked = Vec::new();
            let mut client = Client::new(FileSocket { asked, nanos }, protocol, Moment::START);
            let mut send =
                |most| send_file(&mut client, 0, &mut output, most, || NANOS.with(Cell::get));
            assert!(matches!(send(1 << 20), (FileOutcome::Bytes(_), slow) if slow == is_slow));
            send(FILE_BYTES_PER_CALL - 1);
            // Before the last of it, it is asked whether it is the same still.
            assert!(matches!(send(11), (FileOutcome::Failed(_), false)));
            let asked = [FILE_BYTES_PER_CALL, FILE_BYTES_PER_CALL - 1];
            assert_eq!(client.socket.asked, asked);
        }
    }
}
