//! How other threads reach the loop: a flag to stop, and a waker.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;

/// Shared by the loop and all that may wake it.
#[derive(Debug)]
pub(crate) struct Control {
    /// `None` in a simulation, which nobody waits for.
    waker: Option<mio::Waker>,
    stop: AtomicBool,
}

impl Control {
    pub(crate) fn new(waker: Option<mio::Waker>) -> Arc<Self> {
        Arc::new(Self {
            waker,
            stop: AtomicBool::new(false),
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
