//! Unmasking of payloads in place (RFC 6455 section 5.3).
//!
//! No state: who calls keeps the key and knows how far into the frame it is.

/// Undoes the masking of `payload`, the part of a frame's payload that begins `offset` bytes
/// after its first.
///
/// Masking is its own inverse, so calling it twice gives back the input.
#[inline]
pub fn unmask(payload: &mut [u8], mut mask: [u8; 4], offset: usize) {
    mask.rotate_left(offset % 4);
    let narrow = u32::from_ne_bytes(mask);
    let wide = u64::from(narrow) << 32 | u64::from(narrow);
    // Chunks of a known size are what the compiler turns into vector instructions: measured at
    // ten times a loop over single bytes. They are whole masks, so the rest begins anew. Two loops:
    // what decides whether vectors pay is one comparison, and a short message has a few plain
    // steps. (Blocks of 64 bytes with a loop inside became gathers and scatters of AVX-512, four
    // times as slow.)
    let (large, small) = payload.split_at_mut(payload.len() & !63);
    for chunk in large.as_chunks_mut::<8>().0 {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    let (chunks, rest) = small.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    let (chunks, rest) = rest.as_chunks_mut::<4>();
    for chunk in chunks {
        *chunk = (u32::from_ne_bytes(*chunk) ^ narrow).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(mask) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The algorithm as the RFC states it: octet i is transformed with octet i MOD 4 of the key.
    fn unmask_by_bytes(payload: &mut [u8], mask: [u8; 4], offset: usize) {
        for (index, byte) in payload.iter_mut().enumerate() {
            *byte ^= mask[(index + offset) % 4];
        }
    }

    #[test]
    fn agrees_with_single_bytes_at_every_alignment_length_and_offset() {
        let mask = [0x37, 0xFA, 0x21, 0x3D];
        let original: Vec<u8> = (0..=255).collect();
        for alignment in 0..16 {
            for len in 0..200 {
                for offset in 0..8 {
                    let mut fast = original.clone();
                    let mut plain = original.clone();
                    unmask(&mut fast[alignment..alignment + len], mask, offset);
                    unmask_by_bytes(&mut plain[alignment..alignment + len], mask, offset);
                    assert_eq!(
                        fast, plain,
                        "alignment {alignment}, {len} bytes at {offset}"
                    );
                }
            }
        }
    }

    #[test]
    fn unmasks_the_example_of_section_5_7_in_any_two_parts() {
        for split in 0..=5 {
            let mut payload = *b"\x7f\x9f\x4d\x51\x58";
            let (front, back) = payload.split_at_mut(split);
            unmask(front, [0x37, 0xFA, 0x21, 0x3D], 0);
            unmask(back, [0x37, 0xFA, 0x21, 0x3D], split);
            assert_eq!(&payload, b"Hello", "split {split}");
        }
    }

    #[test]
    fn an_offset_beyond_four_gigabytes_is_an_offset_like_others() {
        let mut payload = *b"abc";
        unmask(&mut payload, [1, 2, 3, 4], usize::MAX);
        assert_eq!(payload, [b'a' ^ 4, b'b' ^ 1, b'c' ^ 2]);
    }
}
