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
            (inner.is_over, inner.is_ended) = (true, true);
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

/// What other threads sent to one stream.
#[derive(Default)]
pub(crate) struct RemoteQueue {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    bytes: Vec<u8>,
    /// By one of us: behind these bytes.
    is_ended: bool,
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

    /// Offers what waits to `take`, which may refuse it for now. Whether the stream is to be ended.
    pub(crate) fn drain(&self, take: impl FnOnce(&[u8]) -> bool) -> bool {
        let mut inner = self.lock();
        inner.is_told = false;
        if !inner.bytes.is_empty() && take(&inner.bytes) {
            inner.bytes = Vec::new();
        }
        inner.is_ended && inner.bytes.is_empty()
    }

    /// Nobody will take anything any more.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        inner.is_over = true;
        inner.bytes = Vec::new();
        inner.wake = None;
    }
}
