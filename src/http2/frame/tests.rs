//! Tests of `frame.rs`.

use super::*;

fn decoded(len: usize, kind: u8, flags: u8, stream: u32) -> FrameHeader {
    let mut bytes = header(0, Kind::Data, flags, StreamId::new(stream));
    bytes[..3].copy_from_slice(&len.to_be_bytes()[5..]);
    bytes[3] = kind;
    FrameHeader::decode(bytes)
}

fn verdict(len: usize, kind: u8, flags: u8, stream: u32) -> Result<(), ErrorCode> {
    let verdict = decoded(len, kind, flags, stream).judge();
    verdict.map_err(|error| error.code)
}

/// RFC 9113 section 4.1: 24 bits of length, 8 of type, 8 of flags, one reserved, 31 of stream.
#[test]
fn a_header_is_decoded_and_the_reserved_bit_ignored() {
    let header = FrameHeader::decode([0x01, 0x02, 0x03, 0x08, 0xFF, 0x80, 0, 0x01, 0x05]);
    let expected = FrameHeader {
        len: 0x01_0203,
        kind: Kind::WindowUpdate,
        flags: 0xFF,
        stream: StreamId::new(0x105),
    };
    assert_eq!(header, expected);
}

#[test]
fn every_type_is_told_from_every_other() {
    for byte in 0..=255 {
        let kind = Kind::from_byte(byte);
        if byte <= 0x9 {
            assert_eq!(kind as u8, byte);
        } else {
            assert_eq!(kind, Kind::Unknown, "{byte}");
        }
    }
}

/// RFC 9113 section 4.2.
#[test]
fn a_payload_may_have_16384_bytes_whatever_its_type() {
    for (kind, stream) in [(0x0, 1), (0x1, 1), (0x9, 1), (0x7, 0), (0xBB, 0)] {
        assert_eq!(verdict(16_384, kind, 0, stream), Ok(()));
        assert_eq!(
            verdict(16_385, kind, 0, stream),
            Err(ErrorCode::FRAME_SIZE_ERROR)
        );
    }
}

/// RFC 9113 sections 6.1 to 6.10.
#[test]
fn a_frame_is_of_a_stream_or_of_the_connection_as_its_type_says() {
    let wrong = Err(ErrorCode::PROTOCOL_ERROR);
    for (kind, len, of_stream, of_connection) in [
        (0x0, 0, Ok(()), wrong),
        (0x1, 0, Ok(()), wrong),
        (0x2, 5, Ok(()), wrong),
        (0x3, 4, Ok(()), wrong),
        (0x4, 0, wrong, Ok(())),
        (0x5, 4, wrong, wrong),
        (0x6, 8, wrong, Ok(())),
        (0x7, 8, wrong, Ok(())),
        (0x8, 4, Ok(()), Ok(())),
        (0x9, 0, Ok(()), wrong),
        (0x10, 4, Ok(()), Ok(())),
    ] {
        assert_eq!(verdict(len, kind, 0, 1), of_stream, "type {kind}");
        assert_eq!(verdict(len, kind, 0, 0), of_connection, "type {kind}");
    }
}

/// RFC 9113 sections 6.1 to 6.10.
#[test]
fn a_frame_has_the_length_of_its_type() {
    let wrong = Err(ErrorCode::FRAME_SIZE_ERROR);
    for (kind, flags, stream, fitting, unfitting) in [
        (0x0, PADDED, 1, &[1, 2][..], &[0][..]),
        (0x1, PADDED, 1, &[1], &[0]),
        (0x1, PRIORITY, 1, &[5], &[0, 4]),
        (0x1, PRIORITY | PADDED, 1, &[6], &[5]),
        (0x2, 0, 1, &[5], &[0, 4, 6]),
        (0x3, 0, 1, &[4], &[0, 3, 5]),
        (0x4, 0, 0, &[0, 6, 12], &[1, 5, 7]),
        (0x4, ACK, 0, &[0], &[1, 6]),
        (0x6, 0, 0, &[8], &[0, 7, 9]),
        (0x7, 0, 0, &[8, 9], &[0, 7]),
        (0x8, 0, 0, &[4], &[0, 3, 5]),
    ] {
        for len in fitting {
            assert_eq!(verdict(*len, kind, flags, stream), Ok(()), "{kind} {len}");
        }
        for len in unfitting {
            assert_eq!(verdict(*len, kind, flags, stream), wrong, "{kind} {len}");
        }
    }
}

/// RFC 9113 section 6.2.
#[test]
fn a_field_block_lies_between_priority_and_padding() {
    let block = |flags, payload: &'static [u8]| {
        let block = decoded(payload.len(), 0x1, flags, 1).field_block(payload);
        block.map_err(|error| error.code)
    };
    assert_eq!(block(0, b"abc"), Ok(&b"abc"[..]));
    assert_eq!(block(PRIORITY, b"ppppwabc"), Ok(&b"abc"[..]));
    assert_eq!(block(PADDED, b"\x02abc\0\0"), Ok(&b"abc"[..]));
    assert_eq!(
        block(PADDED | PRIORITY, b"\x02ppppwabc\0\0"),
        Ok(&b"abc"[..])
    );
    // All of it may be padding, but no more than that.
    assert_eq!(block(PADDED, b"\x02\0\0"), Ok(&b""[..]));
    assert_eq!(block(PADDED, b"\x03\0\0"), Err(ErrorCode::PROTOCOL_ERROR));
    assert_eq!(
        block(PADDED | PRIORITY, b"\x01ppppw"),
        Err(ErrorCode::PROTOCOL_ERROR)
    );
}

#[test]
fn what_is_encoded_is_what_the_sections_draw() {
    let stream = StreamId::new(0x0102_0304);
    assert_eq!(
        data_header(stream, 16_384, true),
        [0x00, 0x40, 0x00, 0x0, 0x1, 1, 2, 3, 4]
    );
    assert_eq!(data_header(stream, 1, false)[..5], [0, 0, 1, 0, 0]);
    assert_eq!(
        rst_stream(stream, ErrorCode::CANCEL),
        [0, 0, 4, 0x3, 0, 1, 2, 3, 4, 0, 0, 0, 8]
    );
    assert_eq!(
        window_update(StreamId::CONNECTION, 0x0A0B),
        [0, 0, 4, 0x8, 0, 0, 0, 0, 0, 0, 0, 0x0A, 0x0B]
    );
    assert_eq!(
        ping_ack(*b"12345678"),
        *b"\0\0\x08\x06\x01\0\0\0\x0012345678"
    );
    assert_eq!(
        go_away(stream, ErrorCode::ENHANCE_YOUR_CALM, 3),
        [0, 0, 11, 0x7, 0, 0, 0, 0, 0, 1, 2, 3, 4, 0, 0, 0, 0xB]
    );
    assert_eq!(SETTINGS_ACK, [0, 0, 0, 4, 1, 0, 0, 0, 0]);
    let mut out = Vec::new();
    settings(&[(0x3, 100), (0x8, 1)], &mut out);
    assert_eq!(
        out,
        [
            0, 0, 12, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100, 0, 8, 0, 0, 0, 1
        ]
    );
}

/// RFC 9113 section 6.10: the flags of the stream stand in HEADERS, the end in the last frame.
#[test]
fn a_long_block_goes_on_in_continuation_frames() {
    let frames = |len: usize| {
        let mut out = Vec::new();
        put_headers(StreamId::new(7), &vec![b'a'; len], true, |header, part| {
            out.extend_from_slice(header);
            out.extend_from_slice(part);
        });
        let (mut frames, mut rest) = (Vec::new(), &out[..]);
        while let Some((head, behind)) = rest.split_first_chunk() {
            let header = FrameHeader::decode(*head);
            assert_eq!(header.stream, StreamId::new(7));
            frames.push((header.kind, header.flags, header.len));
            rest = &behind[header.len..];
        }
        frames
    };
    let whole = END_STREAM | END_HEADERS;
    assert_eq!(frames(0), [(Kind::Headers, whole, 0)]);
    assert_eq!(frames(16_384), [(Kind::Headers, whole, 16_384)]);
    assert_eq!(
        frames(32_769),
        [
            (Kind::Headers, END_STREAM, 16_384),
            (Kind::Continuation, 0, 16_384),
            (Kind::Continuation, END_HEADERS, 1)
        ]
    );
}

/// RFC 9113 section 7.
#[test]
fn an_error_code_says_its_name_and_number() {
    assert_eq!(ErrorCode::from(0xB).to_string(), "ENHANCE_YOUR_CALM (0x0b)");
    assert_eq!(ErrorCode::from(0xE).to_string(), "unknown error (0x0e)");
    let codes: Vec<ErrorCode> = (0..=0xD).map(ErrorCode::from).collect();
    for code in &codes {
        let same_name = codes.iter().filter(|other| other.name() == code.name());
        assert_eq!(same_name.count(), 1, "{code}");
    }
}
