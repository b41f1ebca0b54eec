//! stub
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorCode {
    NoError,
    ProtocolError,
    InternalError,
    Cancel,
    EnhanceYourCalm,
    RefusedStream,
}
