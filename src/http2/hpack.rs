//! stub
pub(crate) fn encode_field(_: &[u8], _: &[u8], _: &mut Vec<u8>) {
    todo!()
}
pub(crate) fn encode_status(_: u16, _: &mut Vec<u8>) {
    todo!()
}
