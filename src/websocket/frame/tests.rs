use super::*;

/// RFC 6455 section 5.7: a single-frame masked text message, "Hello".
const HELLO: &[u8] = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";

const OPCODES: [Opcode; 6] = [
    Opcode::Continuation,
    Opcode::Text,
    Opcode::Binary,
    Opcode::Close,
    Opcode::Ping,
    Opcode::Pong,
];

/// `bad` is refused as soon as its last byte is there, and whatever follows.
fn assert_refused_at_the_last_byte_of(bad: &[u8], error: FrameError) {
    for split in 0..bad.len() {
        assert_eq!(
            decode_header(&bad[..split], false),
            Ok(None),
            "{bad:02x?} up to {split}"
        );
    }
    assert_eq!(decode_header(bad, false), Err(error), "{bad:02x?}");
    for filler in [0x00, 0x7F, 0xFF] {
        let more = [bad, &[filler; 14]].concat();
        assert_eq!(decode_header(&more, false), Err(error), "{more:02x?}");
    }
}

#[test]
fn decodes_the_masked_hello_of_section_5_7() {
    let header = FrameHeader {
        fin: true,
        rsv1: false,
        opcode: Opcode::Text,
        mask: [0x37, 0xFA, 0x21, 0x3D],
        payload_len: 5,
    };
    assert_eq!(decode_header(HELLO, false), Ok(Some((header, 6))));
}

#[test]
fn asks_for_more_at_every_split_of_the_header() {
    assert_eq!(MAX_HEADER_LEN, 14);
    let long: &[u8] = b"\x82\xff\0\0\0\0\0\x01\0\0\x01\x02\x03\x04";
    let medium: &[u8] = b"\x82\xfe\x01\0\x01\x02\x03\x04";
    for (input, len) in [(HELLO, 6), (medium, 8), (long, 14)] {
        for split in 0..len {
            assert_eq!(
                decode_header(&input[..split], false),
                Ok(None),
                "{input:02x?} split {split}"
            );
        }
        let (header, decoded_len) = decode_header(input, false).unwrap().unwrap();
        assert_eq!(decoded_len, len);
        assert_eq!(header.mask, input[len - 4..len]);
    }
}

#[test]
fn decodes_what_is_encoded_at_every_border_of_the_length_forms() {
    let borders = [
        (0, 2),
        (1, 2),
        (125, 2),
        (126, 4),
        (127, 4),
        (255, 4),
        (256, 4),
        (65_535, 4),
        (65_536, 10),
        ((1 << 63) - 1, 10),
    ];
    for (payload_len, header_len) in borders {
        for opcode in OPCODES {
            for fin in [true, false] {
                if opcode.is_control() && (!fin || payload_len > 125) {
                    continue;
                }
                let encoded = encode_header(fin, opcode, payload_len);
                assert_eq!(encoded.len(), header_len, "{payload_len}");
                assert_eq!(decode_header(&encoded, false), Err(FrameError::Unmasked));
                let mut input = [&encoded[..], &[1, 2, 3, 4], b"payload"].concat();
                input[1] |= MASK;
                let mask = [1, 2, 3, 4];
                let header = FrameHeader {
                    fin,
                    rsv1: false,
                    opcode,
                    mask,
                    payload_len,
                };
                assert_eq!(
                    decode_header(&input, false),
                    Ok(Some((header, header_len + 4)))
                );
            }
        }
    }
}

#[test]
fn encodes_the_unmasked_examples_of_section_5_7() {
    assert_eq!(*encode_header(true, Opcode::Text, 5), *b"\x81\x05");
    assert_eq!(*encode_header(false, Opcode::Text, 3), *b"\x01\x03");
    assert_eq!(*encode_header(true, Opcode::Continuation, 2), *b"\x80\x02");
    assert_eq!(*encode_header(true, Opcode::Ping, 5), *b"\x89\x05");
    assert_eq!(
        *encode_header(true, Opcode::Binary, 256),
        *b"\x82\x7e\x01\x00"
    );
    assert_eq!(
        *encode_header(true, Opcode::Binary, 65_536),
        *b"\x82\x7f\0\0\0\0\0\x01\0\0"
    );
}

#[test]
fn each_reserved_bit_is_refused_at_the_first_byte() {
    for rsv in 1..8 {
        for opcode in 0..16 {
            let first = 0x80 | rsv << 4 | opcode;
            assert_refused_at_the_last_byte_of(&[first], FrameError::ReservedBit);
        }
    }
}

#[test]
fn rsv1_is_allowed_where_a_message_begins_and_only_if_negotiated() {
    for first in 0..=255_u8 {
        let input = [first, 0x80, 0, 0, 0, 0];
        let rsv1_only = first & RSV == RSV1;
        let begins = matches!(first & 0x0F, 1 | 2);
        match decode_header(&input, true) {
            Ok(Some((header, 6))) => assert_eq!(header.rsv1, rsv1_only),
            Err(FrameError::ReservedBit) => assert!(first & RSV != 0),
            Err(_) => assert!(!begins),
            other => panic!("{first:02x}: {other:?}"),
        }
        let legal = rsv1_only && begins;
        assert_eq!(
            decode_header(&input, true).is_ok_and(|some| some.unwrap().0.rsv1),
            legal
        );
    }
}

#[test]
fn each_reserved_opcode_is_refused_at_the_first_byte() {
    for opcode in (3..8).chain(11..16) {
        for fin in [0, 0x80] {
            assert_refused_at_the_last_byte_of(&[fin | opcode], FrameError::ReservedOpcode);
        }
    }
}

#[test]
fn control_frames_are_whole_and_short() {
    for opcode in [0x8, 0x9, 0xA] {
        assert_refused_at_the_last_byte_of(&[opcode], FrameError::FragmentedControlFrame);
        for mask in [0, 0x80] {
            for short_len in [126, 127] {
                let bad = [0x80 | opcode, mask | short_len];
                assert_refused_at_the_last_byte_of(&bad, FrameError::LongControlFrame);
            }
        }
    }
    assert!(
        decode_header(&[0x89, 0xFD, 1, 2, 3, 4], false)
            .unwrap()
            .is_some()
    );
}

#[test]
fn unmasked_frames_are_refused_at_the_second_byte() {
    for short_len in 0..128 {
        assert_refused_at_the_last_byte_of(&[0x82, short_len], FrameError::Unmasked);
    }
}

#[test]
fn lengths_in_a_longer_form_than_needed_are_refused() {
    for len in [0, 1, 125] {
        let bad = [0x82, 0xFE, 0, len];
        assert_refused_at_the_last_byte_of(&bad, FrameError::LengthNotMinimal);
    }
    // Told at the sixth zero: the last two bytes do not matter.
    let bad = [0x82, 0xFF, 0, 0, 0, 0, 0, 0];
    assert_refused_at_the_last_byte_of(&bad, FrameError::LengthNotMinimal);
}

#[test]
fn a_length_with_the_top_bit_is_refused_at_that_bit() {
    for first in [0x80, 0xFF] {
        assert_refused_at_the_last_byte_of(&[0x82, 0xFF, first], FrameError::LengthTopBit);
    }
}

#[test]
fn the_first_broken_rule_of_several_is_the_one_that_counts() {
    assert_eq!(
        decode_header(&[0x7F, 0x7F], false),
        Err(FrameError::ReservedBit)
    );
    assert_eq!(
        decode_header(&[0x0F, 0x7F], false),
        Err(FrameError::ReservedOpcode)
    );
    assert_eq!(
        decode_header(&[0x09, 0x7F], false),
        Err(FrameError::FragmentedControlFrame)
    );
    assert_eq!(
        decode_header(&[0x89, 0x7F], false),
        Err(FrameError::LongControlFrame)
    );
    assert_eq!(
        decode_header(&[0x82, 0x7F, 0x80], false),
        Err(FrameError::Unmasked)
    );
}

#[test]
fn every_error_has_a_code_and_a_reason_that_fit_a_close_frame() {
    for error in [
        FrameError::ReservedBit,
        FrameError::ReservedOpcode,
        FrameError::FragmentedControlFrame,
        FrameError::LongControlFrame,
        FrameError::Unmasked,
        FrameError::Masked,
        FrameError::LengthTopBit,
        FrameError::LengthNotMinimal,
    ] {
        assert_eq!(error.close_code(), CloseCode::PROTOCOL_ERROR);
        assert!((1..=123).contains(&error.reason().len()), "{error:?}");
    }
}

#[test]
fn a_servers_header_is_a_clients_without_mask() {
    for (input, payload_len) in [
        (&b"\x81\x05"[..], 5),
        (b"\x02\x7e\x01\x00", 256),
        (b"\x80\x7f\0\0\0\0\0\x01\0\0", 65_536),
    ] {
        for split in 0..input.len() {
            let cut = decode_server_header(&input[..split], false);
            assert_eq!(cut, Ok(None), "{input:02x?} split {split}");
        }
        let more = [input, b"Hello"].concat();
        let (header, len) = decode_server_header(&more, false).unwrap().unwrap();
        assert_eq!((header.payload_len, len), (payload_len, input.len()));
        assert_eq!(header.mask, [0; 4]);
    }
    assert_eq!(decode_server_header(HELLO, false), Err(FrameError::Masked));
    let compressed = decode_server_header(b"\xc1\x00", true).unwrap().unwrap().0;
    assert!(compressed.rsv1);
    assert_eq!(
        decode_server_header(b"\xc1\x00", false),
        Err(FrameError::ReservedBit)
    );
}
