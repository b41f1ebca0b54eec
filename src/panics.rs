//! Where a panic of the application's code ends, wherever that runs: in a callback, and in the drop of
//! what it captured.

use crate::printable::Printable;
use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// How many panics ended here so far on this thread, which is that of one server.
pub(crate) fn count() -> u64 {
    COUNT.get()
}

/// Runs application code; `None` if it panicked, which is logged.
#[inline(always)]
#[expect(clippy::inline_always, reason = "on the straight path of each message")]
pub(crate) fn catch<R>(what: &str, code: impl FnOnce() -> R) -> Option<R> {
    // What a panic leaves half done is the application's own state: ours is not borrowed
    // while it runs.
    match catch_unwind(AssertUnwindSafe(code)) {
        Ok(result) => Some(result),
        Err(panic) => {
            log_panic(what, panic);
            None
        }
    }
}

/// Drops what holds something of the application's. Nothing of ours may be borrowed: its drop may
/// call us.
pub(crate) fn bury<T>(thing: T) {
    catch("a drop", || drop(thing));
}

#[cold]
fn log_panic(what: &str, panic: Box<dyn Any + Send>) {
    COUNT.set(COUNT.get() + 1);
    // A text that was cut within a character, perhaps a peer's, is part of the message.
    let message = Printable(panic_message(&*panic));
    log::error!("{what} panicked: {message}");
    // Dropping a payload may panic too, in a payload's own drop.
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        // And that panic's payload again: let it be.
        std::mem::forget(panic);
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("with no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_ends_at_the_call() {
        assert_eq!(catch("a test", || 7), Some(7));
        let before = count();
        assert_eq!(catch::<()>("a test", || panic!("on purpose")), None);
        assert_eq!(count() - before, 1);
        assert_eq!(panic_message(&"text"), "text");
        assert_eq!(panic_message(&7_u8), "with no message");
    }

    #[test]
    fn a_panic_is_logged_in_one_line_whatever_a_peer_sent() {
        let text = "\u{e4}\r\n[ERROR] forged\u{1b}[31m\u{202e}\u{2028}\u{9b}\0";
        let panic = catch_unwind(|| _ = text[..1].to_owned()).expect_err("within a character");
        let line = Printable(panic_message(&*panic)).to_string();
        assert!(
            line.contains(r"\r\n[ERROR] forged\u{1b}[31m\u{202e}\u{2028}\u{9b}\0"),
            "{line}"
        );
    }
}
