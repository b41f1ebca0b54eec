//! In place of HTTP/2 where the feature `http2` is off. No connection carries others, and no value
//! of these types says otherwise: what would serve them is no part of the program.

#![allow(dead_code, reason = "what nobody can have, nobody makes")]
#![allow(
    clippy::needless_pass_by_value,
    clippy::unused_self,
    reason = "the signatures are those of what is absent"
)]

pub(crate) mod connection {
    use super::frame::{ErrorCode, StreamId};
    use crate::config::Config;
    use crate::http::{ConnectionInfo, Request};
    use crate::input::Input;
    use crate::moment::Moment;
    use crate::output::Output;
    use std::convert::Infallible;

    #[derive(Debug)]
    pub(crate) struct Carrying<'a> {
        pub(crate) config: &'a Config,
        pub(crate) output: &'a mut Output,
        pub(crate) slot: u32,
        pub(crate) now: Moment,
        pub(crate) spare: &'a mut Option<Box<Request>>,
    }

    #[derive(Debug)]
    pub(crate) enum Step<'b> {
        NeedInput,
        Request(NewRequest),
        Data {
            slot: u32,
            bytes: &'b mut [u8],
            is_last: bool,
        },
        Reset {
            slot: u32,
        },
        Unblocked {
            slot: u32,
        },
        AllUnblocked,
        Over {
            error: ErrorCode,
            reason: &'static str,
        },
    }

    #[derive(Debug)]
    pub(crate) struct NewRequest {
        pub(crate) stream: StreamId,
        pub(crate) is_last: bool,
        pub(crate) request: Box<Request>,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Window {
        Open,
        StreamSpent,
        ConnectionSpent,
    }

    #[derive(Debug)]
    pub(crate) enum Expiry {
        Nothing,
        Close,
    }

    #[derive(Debug)]
    pub(crate) struct Http2Connection(Infallible);

    impl Http2Connection {
        /// `None`: it is not spoken here.
        pub(crate) fn begun(_: ConnectionInfo, _: Moment) -> Option<Self> {
            None
        }
        pub(crate) fn new(_: ConnectionInfo, _: Moment) -> Option<Self> {
            None
        }
        pub(crate) fn greet(&mut self, _: &mut Carrying<'_>) {
            match self.0 {}
        }
        pub(crate) fn next<'b>(&mut self, _: &mut Input<'b>, _: &mut Carrying<'_>) -> Step<'b> {
            match self.0 {}
        }
        pub(crate) fn open(&mut self, _: StreamId, _: u32) {
            match self.0 {}
        }
        pub(crate) fn send_block(&mut self, _: StreamId, _: &[u8], _: bool, _: &mut Carrying<'_>) {
            match self.0 {}
        }
        pub(crate) fn window(&mut self, _: StreamId) -> Window {
            match self.0 {}
        }
        pub(crate) fn has_window(&mut self) -> bool {
            match self.0 {}
        }
        pub(crate) fn take_window(&mut self, _: StreamId, _: usize) -> usize {
            match self.0 {}
        }
        pub(crate) fn end_local(&mut self, _: StreamId) {
            match self.0 {}
        }
        pub(crate) fn end_stream(&mut self, _: StreamId, _: &mut Carrying<'_>) {
            match self.0 {}
        }
        pub(crate) fn reset(&mut self, _: StreamId, _: ErrorCode, _: &mut Carrying<'_>) {
            match self.0 {}
        }
        pub(crate) fn consumed(&mut self, _: StreamId, _: usize, _: &mut Carrying<'_>) {
            match self.0 {}
        }
        pub(crate) fn go_away(&mut self, _: ErrorCode, _: &mut Carrying<'_>) {
            match self.0 {}
        }
        pub(crate) fn is_over(&self) -> bool {
            match self.0 {}
        }
        pub(crate) fn is_idle(&self) -> bool {
            match self.0 {}
        }
        pub(crate) fn idle_since(&self) -> Option<Moment> {
            match self.0 {}
        }
        pub(crate) fn slots(&self) -> std::iter::Empty<u32> {
            match self.0 {}
        }
        pub(crate) fn take_slots(&mut self) -> Vec<u32> {
            match self.0 {}
        }
        pub(crate) fn deadline(&self, _: &Config) -> Option<Moment> {
            match self.0 {}
        }
        pub(crate) fn on_deadline(&mut self, _: &mut Carrying<'_>) -> Expiry {
            match self.0 {}
        }
        pub(crate) fn buffered_bytes(&self) -> usize {
            match self.0 {}
        }
        pub(crate) fn drained(&mut self, _: Moment) {
            match self.0 {}
        }

        pub(crate) fn unblocked(&mut self, _: Moment) {
            match self.0 {}
        }

        pub(crate) fn unblocked_at(&self) -> Moment {
            match self.0 {}
        }
    }
}

pub(crate) mod exchange {
    use super::connection::NewRequest;
    use super::response_head::DateField;
    use crate::config::Config;
    use crate::http::refused::RefusedRequest;
    use crate::http::{BodyPlan, Request, Response};
    use crate::input::Input;
    use crate::moment::Moment;
    use std::convert::Infallible;

    #[derive(Debug)]
    pub(crate) enum First {
        Request(Box<Request>),
        Announced,
        Refused(RefusedRequest),
    }

    #[derive(Debug)]
    pub(crate) enum Step<'b> {
        NeedInput,
        Continue,
        Request(Box<Request>),
        Body(&'b [u8], bool),
        Refused(RefusedRequest),
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum After {
        Ended,
        Content,
        Upgrade,
        Stream,
    }

    #[derive(Debug)]
    pub(crate) struct Exchange(Infallible);

    impl Exchange {
        pub(crate) fn begin(new: NewRequest, _: u16, _: Moment) -> (Self, First) {
            match new.stream {}
        }
        pub(crate) fn listener_mut(&mut self) -> &mut u16 {
            match self.0 {}
        }
        pub(crate) fn host(&self) -> u16 {
            match self.0 {}
        }
        pub(crate) fn announced(&mut self) -> Option<&mut Request> {
            match self.0 {}
        }
        pub(crate) fn expect_body(&mut self, _: BodyPlan, _: bool, _: Moment) -> Step<'static> {
            match self.0 {}
        }
        pub(crate) fn accept_body(&mut self) -> bool {
            match self.0 {}
        }
        pub(crate) fn next<'b>(&mut self, _: &mut Input<'b>, _: Moment) -> Step<'b> {
            match self.0 {}
        }
        pub(crate) fn end_input(&mut self) -> Step<'static> {
            match self.0 {}
        }
        pub(crate) fn is_receiving(&self) -> bool {
            match self.0 {}
        }
        pub(crate) fn is_streaming(&self) -> bool {
            match self.0 {}
        }
        pub(crate) fn is_paused(&self) -> bool {
            match self.0 {}
        }
        pub(crate) fn pause_body(&mut self, _: bool, _: Moment) {
            match self.0 {}
        }
        pub(crate) fn encode_continue(_: &mut Vec<u8>) {}
        pub(crate) fn respond(&mut self, _: &Response, _: &DateField, _: &mut Vec<u8>) -> After {
            match self.0 {}
        }
        pub(crate) fn deadline(&self, _: &Config) -> Option<Moment> {
            match self.0 {}
        }
        pub(crate) fn on_deadline(&mut self, _: Moment, _: &Config) -> Option<RefusedRequest> {
            match self.0 {}
        }
        pub(crate) fn buffered_bytes(&self) -> usize {
            match self.0 {}
        }
    }
}

pub(crate) mod frame {
    pub(crate) const MAX_PAYLOAD_BYTES: usize = 16_384;

    #[derive(Clone, Copy, Debug)]
    pub(crate) enum StreamId {}

    #[derive(Clone, Copy, Debug)]
    pub(crate) struct ErrorCode;

    impl ErrorCode {
        pub(crate) const NO_ERROR: Self = Self;
        pub(crate) const INTERNAL_ERROR: Self = Self;
        pub(crate) const REFUSED_STREAM: Self = Self;
        pub(crate) const CANCEL: Self = Self;
    }

    pub(crate) fn data_header(stream: StreamId, _: usize, _: bool) -> [u8; 9] {
        match stream {}
    }
}

pub(crate) mod response_head {
    use crate::http::date::DateLine;

    #[derive(Debug, Default)]
    pub(crate) struct DateField;

    impl DateField {
        pub(crate) fn set(&mut self, _: &DateLine) {}
    }
}
