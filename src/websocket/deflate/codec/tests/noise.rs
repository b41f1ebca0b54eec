//! Bytes that nothing makes smaller.

/// So many of them, others for each `seed`.
pub(super) fn noise(seed: u32, len: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15 ^ (u64::from(seed) << 20);
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[4]
    };
    std::iter::repeat_with(next).take(len).collect()
}
