//! stub
use super::frame::ErrorCode;
use crate::config::Config;
use crate::http::*;
use crate::input::Input;
use crate::moment::Moment;
use crate::output::Output;
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct StreamId(u32);
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
    pub(crate) request: Box<Request>,
    pub(crate) is_last: bool,
    pub(crate) content_length: Option<u64>,
    pub(crate) expects_continue: bool,
    pub(crate) refused: Option<(StatusCode, &'static str)>,
}
#[derive(Debug)]
pub(crate) enum Expiry {
    Nothing,
    Close,
}
#[derive(Debug)]
pub(crate) struct Http2Connection;
impl Http2Connection {
    pub(crate) fn new(_: ConnectionInfo, _: Moment) -> Self {
        todo!()
    }
    pub(crate) fn begun(_: ConnectionInfo, _: Moment) -> Self {
        todo!()
    }
    pub(crate) fn greet(&mut self, _: &mut Carrying<'_>) {}
    pub(crate) fn next<'b>(&mut self, _: &mut Input<'b>, _: &mut Carrying<'_>) -> Step<'b> {
        todo!()
    }
    pub(crate) fn open(&mut self, _: StreamId, _: u32) {}
    pub(crate) fn take_window(&mut self, _: StreamId, _: usize) -> usize {
        0
    }
    pub(crate) fn end_local(&mut self, _: StreamId) {}
    pub(crate) fn has_ended(&self, _: StreamId) -> bool {
        false
    }
    pub(crate) fn reset(&mut self, _: StreamId, _: ErrorCode, _: &mut Carrying<'_>) {}
    pub(crate) fn consumed(&mut self, _: StreamId, _: usize, _: &mut Carrying<'_>) {}
    pub(crate) fn go_away(&mut self, _: ErrorCode, _: &mut Carrying<'_>) {}
    pub(crate) fn is_over(&self) -> bool {
        false
    }
    pub(crate) fn is_idle(&self) -> bool {
        false
    }
    pub(crate) fn slots(&self) -> impl Iterator<Item = u32> {
        [].into_iter()
    }
    pub(crate) fn take_slots(&mut self) -> Vec<u32> {
        vec![]
    }
    pub(crate) fn deadline(&self, _: &Config) -> Option<Moment> {
        None
    }
    pub(crate) fn on_deadline(&mut self, _: &mut Carrying<'_>) -> Expiry {
        Expiry::Nothing
    }
    pub(crate) fn buffered_bytes(&self) -> usize {
        0
    }
    pub(crate) fn drained(&mut self, _: Moment) {}
}
pub(crate) fn data_header(_: StreamId, _: usize, _: bool) -> [u8; 9] {
    todo!()
}
pub(crate) fn headers_frames(_: StreamId, _: &[u8], _: bool, _: &mut Vec<u8>) {
    todo!()
}
