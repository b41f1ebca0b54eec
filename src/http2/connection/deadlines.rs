//! When an HTTP/2 connection took too long, and since when it is idle.

use super::{Carrying, Expiry, Http2Connection, Phase};
use crate::config::Config;
use crate::http2::frame::{ErrorCode, StreamId};
use crate::moment::Moment;

impl Http2Connection {
    /// When [`on_deadline`](Self::on_deadline) is to be called. It changes with each step; it is
    /// enough to ask for it again then.
    ///
    /// An incomplete frame or field block has the time of a header section in total, and so have the
    /// preface and the first request; while streams are open, their own deadlines hold.
    pub(crate) fn deadline(&self, config: &Config) -> Option<Moment> {
        let is_new = self.streams.highest() == StreamId::CONNECTION;
        let idle = match self.phase {
            Phase::Over => return None,
            Phase::Open if !self.streams.is_empty() => Moment::NEVER,
            Phase::Open if !is_new => self.idle_since + config.keep_alive_timeout,
            Phase::Preface(_) | Phase::First | Phase::Open => {
                self.idle_since + config.header_timeout
            }
        };
        let unfinished = self.unfinished_since + config.header_timeout;
        // A timeout beyond what the clock can say is none.
        Some(idle.min(unfinished)).filter(|deadline| *deadline < Moment::NEVER)
    }

    /// Judges at `cx.now` whether the client was too slow.
    pub(crate) fn on_deadline(&mut self, cx: &mut Carrying<'_>) -> Expiry {
        let deadline = self.deadline(cx.config);
        if deadline.is_none_or(|deadline| cx.now < deadline) {
            return Expiry::Nothing;
        }
        if self.unfinished_since + cx.config.header_timeout <= cx.now {
            let reason = "a frame or a header section took too long";
            self.send_go_away(ErrorCode::ENHANCE_YOUR_CALM, reason, cx);
        } else {
            self.send_go_away(ErrorCode::NO_ERROR, "the connection was idle", cx);
        }
        Expiry::Close
    }

    /// Everything that was queued is written: the idle time runs from here, and not from when a long
    /// download began. What answers no stream, a PING, does not put it off.
    pub(crate) fn drained(&mut self, now: Moment) {
        if std::mem::take(&mut self.is_draining) && self.streams.is_empty() {
            self.idle_since = now;
        }
    }

    /// Since when it waits for another request, if streams there were are over and nothing is begun.
    pub(crate) fn idle_since(&self) -> Option<Moment> {
        let was_used = self.streams.highest() != StreamId::CONNECTION;
        let is_idle = self.phase == Phase::Open
            && self.streams.is_empty()
            && self.unfinished_since == Moment::NEVER;
        (was_used && is_idle).then_some(self.idle_since)
    }
}
