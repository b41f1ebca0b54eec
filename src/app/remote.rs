//! Sending from other threads: a bounded queue, and a waker for the loop that empties it.

use crate::app::endpoint::{Outgoing, OwnedRecipients, Recipients};
use crate::client_id::ClientId;
use crate::websocket::{CloseCode, Frame, InvalidClose, close};
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// An endpoint for other threads: `Send`, `Sync`, a cheap clone, and never blocking.
///
/// Messages are encoded on the calling thread and take their turn in a bounded queue. What one
/// thread sends arrives in order.
///
/// ```no_run
/// # use aerys::{Everyone, RemoteEndpoint};
/// # fn example(remote: RemoteEndpoint) {
/// std::thread::spawn(move || {
///     if let Err(error) = remote.send(Everyone, "from afar") {
///         eprintln!("{error}");
///     }
/// });
/// # }
/// ```
#[derive(Clone)]
pub struct RemoteEndpoint {
    queue: Arc<RemoteQueue>,
}

/// Why a [`RemoteEndpoint`] did not take a command.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RemoteError {
    /// The queue is full: the server takes commands slower than they are made.
    Full,
    /// The server stopped.
    Stopped,
    /// The close code or the reason may not be sent.
    InvalidClose(InvalidClose),
}

impl fmt::Display for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the endpoint's queue is full; send less or later"),
            Self::Stopped => f.write_str("the server stopped"),
            Self::InvalidClose(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RemoteError {}

impl RemoteEndpoint {
    pub(crate) const fn new(queue: Arc<RemoteQueue>) -> Self {
        Self { queue }
    }

    /// As [`Endpoint::send`](crate::Endpoint::send).
    ///
    /// # Errors
    ///
    /// [`RemoteError::Full`] and [`RemoteError::Stopped`]; the message is dropped.
    pub fn send<'r, 'm>(
        &self,
        to: impl Into<Recipients<'r>>,
        message: impl Into<Outgoing<'m>>,
    ) -> Result<(), RemoteError> {
        let (to, message) = (to.into().into(), message.into());
        let max_frame_bytes = self.queue.lock().max_frame_bytes;
        self.queue
            .push(RemoteCommand::Send(to, message.into_frame(max_frame_bytes)))
    }

    /// As [`Endpoint::broadcast`](crate::Endpoint::broadcast).
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn broadcast<'m>(&self, message: impl Into<Outgoing<'m>>) -> Result<(), RemoteError> {
        self.send(Recipients::Everyone, message)
    }

    /// As [`Endpoint::close`](crate::Endpoint::close).
    ///
    /// # Errors
    ///
    /// Also [`RemoteError::Full`] and [`RemoteError::Stopped`].
    pub fn close(
        &self,
        client: ClientId,
        code: impl Into<CloseCode>,
        reason: &str,
    ) -> Result<(), RemoteError> {
        let code = code.into();
        close::check_sendable(code, reason).map_err(RemoteError::InvalidClose)?;
        self.queue
            .push(RemoteCommand::Close(client, code, reason.to_owned()))
    }
}

impl fmt::Debug for RemoteEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteEndpoint")
            .field("queued", &self.queue.lock().commands.len())
            .finish()
    }
}

/// What another thread asked for.
#[derive(Debug)]
pub(crate) enum RemoteCommand {
    Send(OwnedRecipients, Frame),
    Close(ClientId, CloseCode, String),
}

impl RemoteCommand {
    fn len(&self) -> usize {
        match self {
            Self::Send(to, frame) => frame.wire_len() + to.held_bytes(),
            Self::Close(_, _, reason) => reason.len(),
        }
    }
}

/// The commands of one endpoint's remotes.
#[derive(Debug, Default)]
pub(crate) struct RemoteQueue {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    commands: VecDeque<RemoteCommand>,
    bytes: usize,
    max_commands: usize,
    max_bytes: usize,
    max_frame_bytes: Option<usize>,
    stopped: bool,
    waker: Option<Waker>,
}

impl Default for Inner {
    fn default() -> Self {
        let config = crate::Config::default();
        Self {
            commands: VecDeque::new(),
            bytes: 0,
            max_commands: config.max_remote_commands,
            max_bytes: config.max_remote_bytes,
            max_frame_bytes: None,
            stopped: false,
            waker: None,
        }
    }
}

impl RemoteQueue {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code panics while it holds the lock, so poison could only be a stranger's.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connects the queue to a loop that `waker` wakes.
    pub(crate) fn attach(
        &self,
        waker: Waker,
        config: &crate::Config,
        max_frame_bytes: Option<usize>,
    ) {
        let mut inner = self.lock();
        inner.max_commands = config.max_remote_commands;
        inner.max_bytes = config.max_remote_bytes;
        inner.max_frame_bytes = max_frame_bytes;
        if !inner.commands.is_empty() {
            // They came before there was anybody to wake.
            waker.wake_by_ref();
        }
        inner.waker = Some(waker);
    }

    fn push(&self, command: RemoteCommand) -> Result<(), RemoteError> {
        let mut inner = self.lock();
        if inner.stopped {
            return Err(RemoteError::Stopped);
        }
        // As with backlogs: judged before, so that one message of any size fits.
        if inner.commands.len() >= inner.max_commands || inner.bytes >= inner.max_bytes {
            return Err(RemoteError::Full);
        }
        inner.bytes += command.len();
        inner.commands.push_back(command);
        // One wake-up for all that gathers until the loop comes round.
        if inner.commands.len() == 1
            && let Some(waker) = &inner.waker
        {
            waker.wake_by_ref();
        }
        Ok(())
    }

    /// Takes all commands, in order.
    pub(crate) fn drain(&self) -> VecDeque<RemoteCommand> {
        let mut inner = self.lock();
        inner.bytes = 0;
        std::mem::take(&mut inner.commands)
    }

    /// Refuses commands from now on, and drops those that wait.
    pub(crate) fn stop(&self) {
        let mut inner = self.lock();
        inner.stopped = true;
        inner.commands.clear();
        inner.bytes = 0;
        inner.waker = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::endpoint::Everyone;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn remote(config: &crate::Config) -> (RemoteEndpoint, Arc<Count>) {
        let queue = Arc::new(RemoteQueue::default());
        let count = Arc::new(Count::default());
        queue.attach(Waker::from(Arc::clone(&count)), config, None);
        (RemoteEndpoint::new(queue), count)
    }

    #[test]
    fn a_full_queue_refuses_and_a_drained_one_takes_again() {
        let config = crate::Config {
            max_remote_commands: 2,
            ..crate::Config::default()
        };
        let (remote, _) = remote(&config);
        assert_eq!(remote.broadcast("a"), Ok(()));
        assert_eq!(remote.broadcast("b"), Ok(()));
        assert_eq!(remote.broadcast("c"), Err(RemoteError::Full));
        assert_eq!(remote.queue.drain().len(), 2);
        assert_eq!(remote.broadcast("c"), Ok(()));
    }

    #[test]
    fn bytes_are_bounded_but_one_message_of_any_size_fits() {
        let config = crate::Config {
            max_remote_bytes: 10,
            ..crate::Config::default()
        };
        let (remote, _) = remote(&config);
        assert_eq!(remote.send(Everyone, vec![0; 100]), Ok(()));
        assert_eq!(remote.send(Everyone, "x"), Err(RemoteError::Full));
    }

    #[test]
    fn many_sends_wake_the_loop_once() {
        let (remote, count) = remote(&crate::Config::default());
        for _ in 0..10 {
            remote.broadcast("x").expect("room");
        }
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        remote.queue.drain();
        remote.broadcast("x").expect("room");
        assert_eq!(count.0.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_stopped_server_and_a_reserved_code_are_told() {
        let (remote, _) = remote(&crate::Config::default());
        let id = ClientId::new(0, 0);
        assert!(matches!(
            remote.close(id, 1006, ""),
            Err(RemoteError::InvalidClose(_))
        ));
        remote.queue.stop();
        assert_eq!(remote.close(id, 1000, ""), Err(RemoteError::Stopped));
        assert_eq!(remote.broadcast("x"), Err(RemoteError::Stopped));
    }
}
