//! That what handlers asked for is what the wheel knows of, and is counted.

use super::{Due, Schedule};

impl Schedule {
    /// See the module.
    pub(crate) fn check_invariants(&self) {
        self.wheel.check_invariants();
        let (mut timers, mut delayed, mut calls) = (0, 0, 0);
        for (key, _, due) in self.wheel.iter() {
            match *due {
                Due::Timer(_) => timers += 1,
                Due::Delayed(index) => {
                    let is_there = self.delayed.contains(u32::from(index) as usize);
                    assert!(is_there || self.stopped, "a send without a message");
                    delayed += usize::from(is_there);
                }
                Due::Call(index) => {
                    let call = self.calls.get(u32::from(index) as usize);
                    let is_its = call.is_some_and(|call| call.timer == key);
                    assert!(is_its || self.stopped, "a call without its stream");
                    calls += usize::from(is_its);
                }
                _ => {}
            }
        }
        if !self.stopped {
            assert_eq!(timers, self.handler_timers, "timers of handlers");
        }
        assert_eq!(delayed, self.delayed.len(), "delayed sends in the wheel");
        assert_eq!(calls, self.calls.len(), "calls in the wheel");
        let bytes = self.delayed.iter().map(|(_, delayed)| delayed.len()).sum();
        assert_eq!(self.delayed_bytes, bytes, "bytes of delayed sends");
        assert!(self.handler_timers + delayed + calls <= self.max_timers);
        assert!(self.delayed_bytes <= self.max_delayed_bytes);
    }
}
