//! The sending side of a response in pieces for other threads: a bounded queue beside each stream that
//! has one, which the loop empties into it.

use super::StreamError;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes in the queue above which it is full.
const MAX_QUEUED_BYTES: usize = 256 * 1024;

/// A [`ResponseStream`](crate::ResponseStream) for other threads: `Send`, `Sync`, a cheap clone, and
/// never blocking. From [`ResponseStream::remote`](crate::ResponseStream::remote).
///
/// ```no_run
/// use aerys::{Request, Response};
/// fn report(_: &mut Request, response: &mut Response) {
///     let report = response.stream().remote();
///     std::thread::spawn(move || {
///         let lines = ["what takes", "its time"];
///         for line in lines {
///             if report.send(line).is_err() {
///                 return; // nobody waits for it any more
///             }
///         }
///         report.end();
///     });
/// }
/// ```
#[derive(Clone)]
pub struct RemoteStream {
    queue: Arc<RemoteQueue>,
}

impl RemoteStream {
    pub(crate) const fn new(queue: Arc<RemoteQueue>) -> Self {
        Self { queue }
    }

    /// As [`ResponseStream::send`](crate::ResponseStream::send). Pieces that wait together may become
    /// one chunk.
    ///
    /// # Errors
    ///
    /// [`StreamError::Full`], if more than 256 KiB wait here beside what waits for the client: try
    /// again later. [`StreamError::Closed`]. Nothing of it is queued then.
    pub fn send(&self, bytes: impl AsRef<[u8]>) -> Result<(), StreamError> {
        let mut inner = self.queue.lock();
        if inner.is_over {
            return Err(StreamError::Closed);
        }
        if inner.bytes.len() > MAX_QUEUED_BYTES {
            return Err(StreamError::Full);
        }
        inner.bytes.extend_from_slice(bytes.as_ref());
        inner.wake();
        Ok(())
    }

    /// As [`ResponseStream::end`](crate::ResponseStream::end).
    pub fn end(&self) {
        let mut inner = self.queue.lock();
        if !inner.is_over {
            (inner.is_over, inner.ending) = (true, Some(Ending::End));
            inner.wake();
        }
    }

    /// As [`ResponseStream::cut`](crate::ResponseStream::cut).
    pub fn cut(&self) {
        let mut inner = self.queue.lock();
        if !inner.is_over {
            (inner.is_over, inner.ending) = (true, Some(Ending::Cut));
            inner.wake();
        }
    }

    /// Whether the client is there and the stream was not ended.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.queue.lock().is_over
    }
}

impl fmt::Debug for RemoteStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteStream")
            .field("is_open", &self.is_open())
            .finish_non_exhaustive()
    }
}

/// Makes the loop look at a stream's queue.
pub(crate) type Wake = Box<dyn Fn() + Send + Sync>;

/// How another thread wants a stream to be over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    End,
    Cut,
}

/// What other threads sent to one stream.
#[derive(Default)]
pub(crate) struct RemoteQueue {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    bytes: Vec<u8>,
    /// What one of us asked for, behind these bytes.
    ending: Option<Ending>,
    /// Nothing more is taken.
    is_over: bool,
    /// The loop was woken, and has not looked since.
    is_told: bool,
    wake: Option<Wake>,
}

impl Inner {
    fn wake(&mut self) {
        if let Some(wake) = &self.wake
            && !std::mem::replace(&mut self.is_told, true)
        {
            wake();
        }
    }
}

impl RemoteQueue {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code panics while it holds the lock, so poison could only be a stranger's.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The stream has a client: `wake` makes the loop look. It is to look at once.
    pub(crate) fn attach(&self, wake: Wake) {
        self.lock().wake = Some(wake);
    }

    /// Offers what waits to `take`, which may refuse it for now. What is to follow.
    pub(crate) fn drain(&self, take: impl FnOnce(&[u8]) -> bool) -> Option<Ending> {
        let mut inner = self.lock();
        if inner.ending != Some(Ending::Cut) && !inner.bytes.is_empty() {
            if !take(&inner.bytes) {
                return None; // it is taken when there is room: nobody need wake us for it
            }
            inner.bytes = Vec::new();
        }
        inner.is_told = false;
        inner.ending
    }

    /// Nothing will be taken any more; what waits.
    pub(crate) fn close(&self) -> Vec<u8> {
        let mut inner = self.lock();
        inner.is_over = true;
        inner.wake = None;
        std::mem::take(&mut inner.bytes)
    }
}
