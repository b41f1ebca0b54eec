//! Against vectors of the RFCs, and against a decoder of our own that knows no window: it keeps
//! count of the distances.

use super::*;
use noise::noise;
use proptest::prelude::*;
use reference::inflate;

mod noise;
mod reference;

/// RFC 7692 section 7.2.3.1: "Hello".
const HELLO: &[u8] = b"\xf2\x48\xcd\xc9\xc9\x07\x00";

fn compressed(deflater: &mut Deflater, message: &[u8]) -> Option<Vec<u8>> {
    let mut output = vec![0; message.len() + TAIL.len()];
    let len = deflater.compress(std::iter::once(message), &mut output, message.len())?;
    output.truncate(len);
    Some(output)
}

fn inflated(inflater: &mut Inflater, message: &[u8]) -> Result<Vec<u8>, BrokenDeflate> {
    let mut all = Vec::new();
    let mut output = [0; 1000];
    let mut input = message;
    loop {
        let step = inflater.inflate(input, &mut output)?;
        all.extend_from_slice(&output[..step.produced]);
        input = &input[step.consumed..];
        assert!(!step.ended, "no block says that it is the last");
        if input.is_empty() && step.produced < output.len() {
            return Ok(all);
        }
    }
}

/// Bytes that compress, from short runs and repetitions.
fn messages() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let piece = prop_oneof![
        (any::<u8>(), 1..600_usize).prop_map(|(byte, len)| vec![byte; len]),
        (prop::collection::vec(97..105_u8, 1..40), 1..60_usize)
            .prop_map(|(word, times)| word.repeat(times)),
        prop::collection::vec(any::<u8>(), 1..300),
    ];
    let message = prop::collection::vec(piece, 1..40).prop_map(|pieces| pieces.concat());
    prop::collection::vec(message, 1..4)
}

#[test]
fn the_vectors_of_the_rfc_come_out_as_hello() {
    let mut inflater = Inflater::new();
    assert_eq!(inflated(&mut inflater, HELLO), Ok(b"Hello".to_vec()));
    assert_eq!(inflater.finish(), Ok(()));
    // The second "Hello" of section 7.2.3.2, which refers to the first.
    inflater.restart(b"Hello");
    let second = b"\xf2\x00\x11\x00\x00";
    assert_eq!(inflated(&mut inflater, second), Ok(b"Hello".to_vec()));
    assert_eq!(inflater.finish(), Ok(()));
    inflater.restart(b"");
    assert_eq!(
        inflated(&mut inflater, second),
        Err(BrokenDeflate { produced: 1 }),
        "to nothing"
    );
}

#[test]
fn a_message_that_is_cut_is_told_from_a_whole_one() {
    let mut deflater = Deflater::new(15, 6);
    let message: Vec<u8> = (0..4000_u32)
        .map(|n| (n * n % 251).to_le_bytes()[0])
        .collect();
    let whole = compressed(&mut deflater, &message).expect("it repeats itself");
    let mut inflater = Inflater::new();
    for len in 1..=whole.len() {
        inflater.restart(b"");
        let is_whole = inflated(&mut inflater, &whole[..len])
            .is_ok_and(|inflated| inflated == message && inflater.finish().is_ok());
        assert_eq!(
            is_whole,
            len == whole.len(),
            "{len} of {} bytes",
            whole.len()
        );
    }
}

#[test]
fn what_does_not_become_smaller_is_told_and_leaves_nothing_behind() {
    for level in 1..=9 {
        let mut deflater = Deflater::new(15, level);
        for hopeless in [vec![], b"a".to_vec(), noise(0, 300), noise(0, 300_000)] {
            let len = hopeless.len();
            assert!(
                compressed(&mut deflater, &hopeless).is_none(),
                "{len} bytes"
            );
            // It refers to nothing, and is not the rest of anything.
            let same = compressed(&mut deflater, &[b'a'; 1000]).expect("smaller");
            let behind = inflate(&same, b"").bytes;
            assert!(behind == [b'a'; 1000], "level {level}, behind {len} bytes");
            deflater.restart();
        }
    }
}

proptest! {
    #[test]
    fn every_message_comes_back_within_the_window_that_was_promised(
        messages in messages(),
        window_bits in 8..=15_u8,
        level in 1..=9_u8,
        takeover: bool,
    ) {
        let mut deflater = Deflater::new(window_bits, level);
        let mut inflater = Inflater::new();
        let mut before = Vec::new();
        for message in messages {
            if !takeover {
                deflater.restart();
                before.clear();
            }
            let Some(bytes) = compressed(&mut deflater, &message) else {
                before.clear();
                continue;
            };
            prop_assert!(bytes.len() < message.len());
            let reference = inflate(&bytes, &before);
            prop_assert!(reference.bytes == message);
            prop_assert!(
                reference.greatest_distance <= 1 << window_bits,
                "{} with {} bits", reference.greatest_distance, window_bits
            );
            inflater.restart(&before);
            prop_assert_eq!(inflated(&mut inflater, &bytes), Ok(message.clone()));
            prop_assert_eq!(inflater.finish(), Ok(()));
            before.extend_from_slice(&message);
            let over = before.len().saturating_sub(1 << window_bits);
            before.drain(..over);
        }
    }

    #[test]
    fn garbage_ends_in_an_error_or_in_bytes(
        garbage in prop::collection::vec(any::<u8>(), 0..400),
        window in prop::collection::vec(any::<u8>(), 0..100),
        room in 1..100_usize,
    ) {
        let mut inflater = Inflater::new();
        inflater.restart(&window);
        let (mut input, mut output) = (&garbage[..], vec![0; room]);
        for _ in 0..100_000 {
            let Ok(inflated) = inflater.inflate(input, &mut output) else { return Ok(()) };
            input = &input[inflated.consumed..];
            if inflated.ended {
                inflater.restart(&window);
            }
            if input.is_empty() && inflated.produced < room {
                let _ = inflater.finish();
                return Ok(());
            }
        }
        prop_assert!(false, "it does not end");
    }
}

#[test]
fn what_panics_is_not_touched_again() {
    let mut state = Some(7);
    assert_eq!(guarded(&mut state, |state| *state + 1), Some(8));
    let panicked: Option<()> = guarded(&mut state, |_| panic!("in the library"));
    assert_eq!((panicked, state), (None, None));
    let mut broken = Inflater { inflate: None };
    let error = BrokenDeflate { produced: 0 };
    assert_eq!(broken.inflate(HELLO, &mut [0; 10]), Err(error));
    assert_eq!(broken.finish(), Err(error));
    broken.restart(b"");
    assert_eq!(
        inflated(&mut broken, HELLO),
        Ok(b"Hello".to_vec()),
        "a new one"
    );
    let mut broken = Deflater::new(15, 1);
    broken.deflate = None;
    assert_eq!(compressed(&mut broken, &[b'a'; 100]), None);
    broken.restart();
    assert!(compressed(&mut broken, &[b'a'; 100]).is_some(), "a new one");
}
