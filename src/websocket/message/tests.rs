use super::*;

fn header(opcode: Opcode, fin: bool, payload_len: u64) -> FrameHeader {
    FrameHeader {
        fin,
        rsv1: false,
        opcode,
        mask: [0; 4],
        payload_len,
    }
}

fn small() -> Limits {
    Limits {
        max_frame_bytes: 10,
        max_message_bytes: 16,
        max_empty_fragments: 3,
        text_only: false,
    }
}

/// One whole frame, its payload appended in parts of `part_len` bytes.
fn frame(
    assembler: &mut MessageAssembler,
    limits: &Limits,
    (opcode, fin, payload): (Opcode, bool, &[u8]),
    part_len: usize,
) -> Result<Option<Assembled>, MessageError> {
    assembler.begin_frame(&header(opcode, fin, payload.len() as u64), limits)?;
    for part in payload.chunks(part_len) {
        assembler.append(part)?;
    }
    assembler.finish_frame(fin)
}

const TEXT: Opcode = Opcode::Text;
const BINARY: Opcode = Opcode::Binary;
const MORE: Opcode = Opcode::Continuation;

#[test]
fn fragments_become_one_message_however_they_are_cut() {
    let text = "κόσμε🌬️";
    for first in 0..=text.len() {
        for second in first..=text.len() {
            for part_len in 1..4 {
                let limits = Limits::from(&WebSocketConfig::default());
                let mut assembler = MessageAssembler::default();
                let mut next =
                    |fragment| frame(&mut assembler, &limits, fragment, part_len).unwrap();
                let bytes = text.as_bytes();
                assert!(next((TEXT, false, &bytes[..first])).is_none());
                assert!(next((MORE, false, &bytes[first..second])).is_none());
                let whole = next((MORE, true, &bytes[second..])).unwrap();
                assert_eq!(whole, Assembled::Text(text.to_owned()));
                assert!(!assembler.is_open());
                assert_eq!(assembler.buffered_bytes(), 0, "nothing is kept");
            }
        }
    }
}

#[test]
fn one_message_leaves_no_trace_in_the_next() {
    let limits = small();
    let mut assembler = MessageAssembler::default();
    for _ in 0..3 {
        for payload in [&b"\xFF\xFE"[..], b"", b"0123456789"] {
            assert!(
                frame(&mut assembler, &limits, (BINARY, false, b""), 9)
                    .unwrap()
                    .is_none()
            );
            let whole = frame(&mut assembler, &limits, (MORE, true, payload), 9);
            let whole = whole.unwrap().unwrap();
            assert_eq!(whole, Assembled::Binary(payload.to_vec()));
        }
        let whole = frame(&mut assembler, &limits, (TEXT, true, b"hi"), 1).unwrap();
        assert_eq!(whole, Some(Assembled::Text("hi".to_owned())));
    }
}

#[test]
fn continuations_need_a_message_and_messages_need_the_last_one_ended() {
    let limits = small();
    let mut assembler = MessageAssembler::default();
    for fin in [true, false] {
        let stray = assembler.begin_frame(&header(MORE, fin, 1), &limits);
        assert_eq!(stray, Err(MessageError::StrayContinuation));
    }
    frame(&mut assembler, &limits, (TEXT, false, b"a"), 1).unwrap();
    assert!(assembler.is_open());
    for opcode in [TEXT, BINARY] {
        let interleaved = assembler.begin_frame(&header(opcode, true, 1), &limits);
        assert_eq!(interleaved, Err(MessageError::InterleavedMessage));
    }
    frame(&mut assembler, &limits, (MORE, true, b"a"), 1).unwrap();
    let stray = assembler.begin_frame(&header(MORE, true, 1), &limits);
    assert_eq!(stray, Err(MessageError::StrayContinuation));
}

#[test]
fn sizes_are_judged_on_the_header_and_memory_follows_the_bytes_only() {
    let limits = small();
    let mut assembler = MessageAssembler::default();
    let begin = |assembler: &mut MessageAssembler, opcode, len| {
        assembler.begin_frame(&header(opcode, false, len), &limits)
    };
    for len in [11, 1 << 40, (1 << 63) - 1] {
        let too_big = begin(&mut MessageAssembler::default(), BINARY, len);
        assert_eq!(too_big, Err(MessageError::FrameTooBig), "{len}");
        let too_big = judge_whole(&header(BINARY, true, len), &limits);
        assert_eq!(too_big, Err(MessageError::FrameTooBig), "{len}");
    }
    assert_eq!(judge_whole(&header(BINARY, true, 10), &limits), Ok(()));
    frame(&mut assembler, &limits, (BINARY, false, b"0123456789"), 3).unwrap();
    assert_eq!(
        begin(&mut assembler, MORE, 7),
        Err(MessageError::MessageTooBig)
    );
    assert_eq!(begin(&mut assembler, MORE, 6), Ok(()));

    let one_frame = Limits {
        max_frame_bytes: 100,
        ..limits
    };
    let too_big = judge_whole(&header(TEXT, true, 17), &one_frame);
    assert_eq!(too_big, Err(MessageError::MessageTooBig));
}

#[test]
fn a_cut_character_counts_before_it_is_whole() {
    let limits = small();
    let mut assembler = MessageAssembler::default();
    frame(&mut assembler, &limits, (TEXT, false, b"123456789\xE2"), 9).unwrap();
    frame(&mut assembler, &limits, (MORE, false, b"\x82"), 9).unwrap();
    let too_big = assembler.begin_frame(&header(MORE, true, 6), &limits);
    assert_eq!(too_big, Err(MessageError::MessageTooBig));
    assert_eq!(
        assembler.begin_frame(&header(MORE, true, 5), &limits),
        Ok(())
    );
}

#[test]
fn a_declared_length_reserves_nothing() {
    let unlimited = Limits {
        max_frame_bytes: u64::MAX,
        max_message_bytes: u64::MAX,
        ..small()
    };
    for opcode in [TEXT, BINARY] {
        let mut assembler = MessageAssembler::default();
        assembler
            .begin_frame(&header(opcode, true, 1 << 40), &unlimited)
            .unwrap();
        assert_eq!(assembler.buffered_bytes(), 0);
        assembler.append(&[0; 100]).unwrap();
        assert_eq!(assembler.buffered_bytes(), 100);
        assembler.append(&[0; 1]).unwrap();
        assert_eq!(assembler.buffered_bytes(), 200);
    }
}

#[test]
fn memory_grows_by_doubling_and_stops_at_an_end_that_is_known() {
    let limits = Limits::from(&WebSocketConfig::default());
    for opcode in [TEXT, BINARY] {
        let mut assembler = MessageAssembler::default();
        assembler
            .begin_frame(&header(opcode, true, 100_000), &limits)
            .unwrap();
        let mut sizes = Vec::new();
        for count in 1..=100 {
            assembler.append(&[0; 1000]).unwrap();
            let (held, arrived) = (assembler.buffered_bytes(), count * 1000);
            assert!(held <= 2 * arrived, "{held} bytes held for {arrived}");
            sizes.push(held);
        }
        sizes.dedup();
        assert!(sizes.len() <= 8, "reallocated {} times", sizes.len());
        assert_eq!(sizes.last(), Some(&100_000));
    }
}

#[test]
fn a_million_tiny_fragments_cost_about_their_payload() {
    let limits = Limits::from(&WebSocketConfig::default());
    let mut assembler = MessageAssembler::default();
    frame(&mut assembler, &limits, (BINARY, false, b"a"), 1).unwrap();
    let (mut reallocated, mut held) = (0, assembler.buffered_bytes());
    for _ in 0..1_000_000 {
        frame(&mut assembler, &limits, (MORE, false, b"a"), 1).unwrap();
        reallocated += u32::from(assembler.buffered_bytes() != held);
        held = assembler.buffered_bytes();
    }
    assert!(held <= 1 << 21, "{held}");
    assert!(reallocated <= 21, "{reallocated}");
}

#[test]
fn a_text_fails_at_its_first_bad_byte_and_at_a_cut_end() {
    let limits = Limits::from(&WebSocketConfig::default());
    let mut assembler = MessageAssembler::default();
    assembler
        .begin_frame(&header(TEXT, true, 1 << 20), &limits)
        .unwrap();
    assembler.append(b"fine \xE2\x82").unwrap();
    assert_eq!(assembler.append(b"\xFF"), Err(MessageError::InvalidUtf8));

    let mut assembler = MessageAssembler::default();
    frame(&mut assembler, &limits, (TEXT, false, b"\xE2"), 1).unwrap();
    let cut = frame(&mut assembler, &limits, (MORE, true, b"\x82"), 1);
    assert_eq!(cut.unwrap_err(), MessageError::InvalidUtf8);
}

#[test]
fn binary_is_refused_where_only_text_is_taken() {
    let limits = Limits {
        text_only: true,
        ..small()
    };
    let mut assembler = MessageAssembler::default();
    for fin in [true, false] {
        let binary = header(BINARY, fin, 1 << 30);
        assert_eq!(
            assembler.begin_frame(&binary, &limits),
            Err(MessageError::BinaryRefused)
        );
        assert_eq!(
            judge_whole(&binary, &limits),
            Err(MessageError::BinaryRefused)
        );
    }
    assert_eq!(judge_whole(&header(TEXT, true, 1), &limits), Ok(()));
    assert_eq!(
        assembler.begin_frame(&header(TEXT, true, 1), &limits),
        Ok(())
    );
}

#[test]
fn empty_fragments_in_a_row_are_counted_and_others_start_over() {
    let limits = small();
    let mut assembler = MessageAssembler::default();
    let mut next = |opcode, fin, payload: &[u8]| {
        frame(&mut assembler, &limits, (opcode, fin, payload), 9).map(|_| ())
    };
    next(TEXT, false, b"").unwrap();
    next(MORE, false, b"").unwrap();
    next(MORE, false, b"").unwrap();
    next(MORE, false, b"a").unwrap();
    for _ in 0..3 {
        next(MORE, false, b"").unwrap();
    }
    assert_eq!(next(MORE, false, b""), Err(MessageError::EmptyFragments));
    // The end of the message is no fragment too many: nothing can follow it.
    next(MORE, true, b"").unwrap();
    for _ in 0..9 {
        next(TEXT, true, b"").unwrap();
    }
}

#[test]
fn every_error_has_its_code_and_a_reason_that_fits() {
    for (error, code) in [
        (MessageError::StrayContinuation, 1002),
        (MessageError::InterleavedMessage, 1002),
        (MessageError::FrameTooBig, 1009),
        (MessageError::MessageTooBig, 1009),
        (MessageError::InvalidUtf8, 1007),
        (MessageError::BinaryRefused, 1003),
        (MessageError::EmptyFragments, 1008),
    ] {
        assert_eq!(error.close_code().as_u16(), code, "{error:?}");
        assert!((1..=123).contains(&error.reason().len()), "{error:?}");
    }
}

#[test]
fn a_message_tells_its_kind_its_bytes_and_its_text() {
    let text = Message::from("tschüß");
    assert_eq!(
        (text.len(), text.is_text(), text.is_binary()),
        (8, true, false)
    );
    assert_eq!(
        (text.as_text(), text.as_bytes()),
        (Some("tschüß"), "tschüß".as_bytes())
    );
    assert!(matches!(text.to_text(), Cow::Borrowed("tschüß")));
    let binary = Message::from(&b"a\xFF"[..]);
    assert_eq!(
        (binary.len(), binary.is_text(), binary.as_text()),
        (2, false, None)
    );
    assert_eq!(binary.to_text(), "a\u{FFFD}");
    assert!(matches!(
        Message::Binary(b"ok").to_text(),
        Cow::Borrowed("ok")
    ));
    assert!(Message::Binary(b"").is_empty());
}
