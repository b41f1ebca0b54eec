//! How other threads reach the loop: a flag to stop, and a waker.

use crate::client_id::ClientId;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Wake;

/// Shared by the loop and all that may wake it.
#[derive(Debug)]
pub(crate) struct Control {
    /// `None` in a simulation, which nobody waits for.
    waker: Option<mio::Waker>,
    stop: AtomicBool,
    reload: AtomicBool,
    /// Clients whose bodies are to go on, or whose streams were sent to.
    asked: Mutex<Vec<ClientId>>,
}

impl Control {
    pub(crate) fn new(waker: Option<mio::Waker>) -> Arc<Self> {
        Arc::new(Self {
            waker,
            stop: AtomicBool::new(false),
            reload: AtomicBool::new(false),
            asked: Mutex::default(),
        })
    }

    /// Asks for a graceful stop.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake_loop();
    }

    pub(crate) fn is_stop_requested(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Asks the server to become what its files say now.
    pub(crate) fn reload(&self) {
        self.reload.store(true, Ordering::Release);
        self.wake_loop();
    }

    /// Whether that was asked for since.
    pub(crate) fn take_reload_request(&self) -> bool {
        self.reload.swap(false, Ordering::AcqRel)
    }

    /// Asks for a client to be looked at: the body of its request may go on, or the stream that it
    /// is sent has more.
    pub(crate) fn look_at(&self, client: ClientId) {
        self.asked().push(client);
        self.wake_loop();
    }

    /// Those that were asked for since.
    pub(crate) fn take_asked(&self) -> Vec<ClientId> {
        std::mem::take(&mut *self.asked())
    }

    fn asked(&self) -> MutexGuard<'_, Vec<ClientId>> {
        // Nothing panics while it is held, and a list of ids is always whole.
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_loop(&self) {
        if let Some(waker) = &self.waker
            && let Err(error) = waker.wake()
        {
            log::error!("the event loop could not be woken: {error}");
        }
    }
}

impl Wake for Control {
    fn wake(self: Arc<Self>) {
        self.wake_loop();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_loop();
    }
}
