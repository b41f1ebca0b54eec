//! Stub until the codec is merged: literals without indexing and Huffman.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InvalidBlock(pub(crate) &'static str);
#[derive(Debug)]
pub(crate) struct Decoder(());
fn string<'b>(rest: &mut &'b [u8]) -> Option<&'b [u8]> {
    let (len, behind) = rest.split_first()?;
    let (text, behind) = behind.split_at_checked(usize::from(*len))?;
    *rest = behind;
    Some(text)
}
impl Decoder {
    pub(crate) fn new() -> Self {
        Self(())
    }
    pub(crate) fn decode(
        &mut self,
        block: &[u8],
        mut field: impl FnMut(&[u8], &[u8]),
    ) -> Result<(), InvalidBlock> {
        let mut rest = block;
        while let Some((0, behind)) = rest.split_first() {
            rest = behind;
            let name = string(&mut rest).ok_or(InvalidBlock("no name"))?;
            let value = string(&mut rest).ok_or(InvalidBlock("no value"))?;
            field(name, value);
        }
        if rest.is_empty() {
            Ok(())
        } else {
            Err(InvalidBlock("no literal"))
        }
    }
    pub(crate) fn memory_bytes(&self) -> usize {
        0
    }
}
pub(crate) fn encode_field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.push(0);
    for text in [name, value] {
        out.push(u8::try_from(text.len()).expect("stub"));
        out.extend_from_slice(text);
    }
}
pub(crate) fn encode_status(status: u16, out: &mut Vec<u8>) {
    encode_field(b":status", status.to_string().as_bytes(), out);
}
