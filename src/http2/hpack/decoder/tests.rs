use super::*;

mod properties;

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Fields, InvalidBlock> {
    let mut fields = Vec::new();
    decoder
        .decode(block, |name, value| {
            fields.push((name.to_vec(), value.to_vec()));
        })
        .map(|()| fields)
}

/// What a new connection makes of a block.
fn decode_first(block: &[u8]) -> Result<Fields, InvalidBlock> {
    decode(&mut Decoder::new(), block)
}

/// Lines of `name: value`, as the RFC lists fields.
fn lines(fields: &[(Vec<u8>, Vec<u8>)]) -> Vec<String> {
    fields
        .iter()
        .map(|(name, value)| {
            let (name, value) = (
                str::from_utf8(name).unwrap(),
                str::from_utf8(value).unwrap(),
            );
            format!("{name}: {value}")
        })
        .collect()
}

/// The dynamic table, the newest entry first.
fn table(decoder: &Decoder) -> Fields {
    (62..)
        .map_while(|index| decoder.table.entry(index))
        .map(|(name, value)| (name.to_vec(), value.to_vec()))
        .collect()
}

/// One example of Appendix C: the block, the fields, the table behind it and its size.
struct Example {
    block: &'static str,
    fields: &'static [&'static str],
    table: &'static [&'static str],
    size_bytes: usize,
}

/// Decodes the blocks of one connection, in which the table may have `max_size_bytes`.
fn check(examples: &[Example], max_size_bytes: usize) {
    let mut decoder = Decoder::new();
    decoder.table.set_max_size_bytes(max_size_bytes);
    for example in examples {
        let fields = decode(&mut decoder, &hex(example.block)).expect(example.block);
        assert_eq!(lines(&fields), example.fields);
        assert_eq!(lines(&table(&decoder)), example.table);
        assert_eq!(decoder.table.size_bytes(), example.size_bytes);
    }
}

/// Appendix C.1.
#[test]
fn integers_are_those_of_the_rfc() {
    let integers: [(&[u8], u32, usize); 6] = [
        (&[0b0110_1010], 5, 10),
        (&[0b1111_1111, 0b1001_1010, 0b0000_1010], 5, 1337),
        (&[0b0010_1010], 8, 42),
        // The border of a prefix, a longer form than needed, and the largest.
        (&[0x7F, 0x00], 7, 127),
        (&[0x1F, 0x80, 0x80, 0x80, 0x80, 0x00], 5, 31),
        (&[0x0F, 0xF0, 0xFF, 0xFF, 0xFF, 0x0F], 4, u32::MAX as usize),
    ];
    for (bytes, prefix_bits, integer) in integers {
        let mut rest = bytes;
        assert_eq!(take_integer(&mut rest, prefix_bits), Ok(integer));
        assert_eq!(rest, []);
        for len in 0..bytes.len() {
            assert_eq!(take_integer(&mut &bytes[..len], prefix_bits), Err(CUT_OFF));
        }
    }
}

#[test]
fn integers_above_32_bits_or_5_bytes_are_refused() {
    let integers: [&[u8]; 3] = [
        &[0x0F, 0xF1, 0xFF, 0xFF, 0xFF, 0x0F],
        &[0x0F, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F],
        &[0x0F, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00],
    ];
    for bytes in integers {
        let reason = take_integer(&mut &bytes[..], 4).unwrap_err().0;
        assert_eq!(reason, "an integer above 2^32 - 1", "{bytes:x?}");
    }
}

/// Appendix C.2.
#[test]
fn fields_are_represented_as_in_the_rfc() {
    let inserted = Example {
        block: "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
        fields: &["custom-key: custom-header"],
        table: &["custom-key: custom-header"],
        size_bytes: 55,
    };
    let rest = [
        ("040c 2f73 616d 706c 652f 7061 7468", ":path: /sample/path"),
        (
            "1008 7061 7373 776f 7264 0673 6563 7265 74",
            "password: secret",
        ),
        ("82", ":method: GET"),
    ];
    check(&[inserted], 4096);
    for (block, line) in rest {
        let mut decoder = Decoder::new();
        let fields = decode(&mut decoder, &hex(block)).unwrap();
        assert_eq!(lines(&fields), [line]);
        assert_eq!(decoder.memory_bytes(), 0);
    }
}

/// Appendices C.3 and C.4: what the blocks differ in is the Huffman code.
#[test]
fn requests_are_those_of_the_rfc() {
    let plain = [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ];
    let huffman = [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ];
    for [first, second, third] in [plain, huffman] {
        let examples = [
            Example {
                block: first,
                fields: &[
                    ":method: GET",
                    ":scheme: http",
                    ":path: /",
                    ":authority: www.example.com",
                ],
                table: &[":authority: www.example.com"],
                size_bytes: 57,
            },
            Example {
                block: second,
                fields: &[
                    ":method: GET",
                    ":scheme: http",
                    ":path: /",
                    ":authority: www.example.com",
                    "cache-control: no-cache",
                ],
                table: &["cache-control: no-cache", ":authority: www.example.com"],
                size_bytes: 110,
            },
            Example {
                block: third,
                fields: &[
                    ":method: GET",
                    ":scheme: https",
                    ":path: /index.html",
                    ":authority: www.example.com",
                    "custom-key: custom-value",
                ],
                table: &[
                    "custom-key: custom-value",
                    "cache-control: no-cache",
                    ":authority: www.example.com",
                ],
                size_bytes: 164,
            },
        ];
        check(&examples, 4096);
    }
}

/// Appendices C.5 and C.6: a table of 256 bytes, out of which entries fall.
#[test]
fn responses_are_those_of_the_rfc() {
    let plain = [
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 \
         2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 \
         6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d \
         54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 \
         5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e \
         3d31",
    ];
    let huffman = [
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 \
         2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab \
         77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f \
         9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    ];
    for [first, second, third] in [plain, huffman] {
        let examples = [
            Example {
                block: first,
                fields: &[
                    ":status: 302",
                    "cache-control: private",
                    "date: Mon, 21 Oct 2013 20:13:21 GMT",
                    "location: https://www.example.com",
                ],
                table: &[
                    "location: https://www.example.com",
                    "date: Mon, 21 Oct 2013 20:13:21 GMT",
                    "cache-control: private",
                    ":status: 302",
                ],
                size_bytes: 222,
            },
            Example {
                block: second,
                fields: &[
                    ":status: 307",
                    "cache-control: private",
                    "date: Mon, 21 Oct 2013 20:13:21 GMT",
                    "location: https://www.example.com",
                ],
                table: &[
                    ":status: 307",
                    "location: https://www.example.com",
                    "date: Mon, 21 Oct 2013 20:13:21 GMT",
                    "cache-control: private",
                ],
                size_bytes: 222,
            },
            Example {
                block: third,
                fields: &[
                    ":status: 200",
                    "cache-control: private",
                    "date: Mon, 21 Oct 2013 20:13:22 GMT",
                    "location: https://www.example.com",
                    "content-encoding: gzip",
                    "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
                ],
                table: &[
                    "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
                    "content-encoding: gzip",
                    "date: Mon, 21 Oct 2013 20:13:22 GMT",
                ],
                size_bytes: 215,
            },
        ];
        check(&examples, 256);
    }
}

#[test]
fn an_index_without_an_entry_is_refused() {
    // Indexed, and as the name of each kind of literal, of which 0 means a new name.
    let blocks: [&[u8]; 6] = [
        &[0x80],
        &[0xBE],
        &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x07],
        &[0x7E, 0x01, b'a'],
        &[0x0F, 0x2F, 0x01, b'a'],
        &[0x1F, 0x2F, 0x01, b'a'],
    ];
    for block in blocks {
        assert_eq!(decode_first(block), Err(NO_ENTRY), "{block:x?}");
    }
    // The same as soon as there is one, and not one further.
    let mut decoder = Decoder::new();
    decode(&mut decoder, b"\x40\x01n\x01v").unwrap();
    for block in &blocks[3..] {
        let fields = decode(&mut decoder, block).unwrap();
        assert_eq!(lines(&fields), ["n: a"], "{block:x?}");
    }
    assert_eq!(lines(&table(&decoder)), ["n: a", "n: v"]);
    assert_eq!(lines(&decode(&mut decoder, b"\xBF").unwrap()), ["n: v"]);
    assert_eq!(decode(&mut decoder, b"\xC0"), Err(NO_ENTRY));
}

#[test]
fn a_block_that_ends_inside_a_field_is_refused() {
    let block = b"\x40\x04name\x86\xa8\xeb\x10\x64\x9c\xbf\x0F\x10\x05value";
    // Where a field ends, a block may.
    for len in 1..block.len() {
        let expected = len == 13;
        assert_eq!(decode_first(&block[..len]).is_ok(), expected, "{len} bytes");
    }
    assert_eq!(decode_first(b"\x00\x7F\xFF\xFF\xFF\xFF\x07"), Err(CUT_OFF));
    assert_eq!(decode_first(b""), Ok(vec![]));
}

#[test]
fn a_string_with_eos_or_bad_padding_is_refused() {
    let strings: [&[u8]; 3] = [b"\x81\x00", b"\x82\x07\xFF", b"\x84\xFF\xFF\xFF\xFF"];
    for string in strings {
        for before in [&b"\x04"[..], b"\x00\x01n", b"\x40"] {
            let mut block = [before, string].concat();
            block.extend_from_slice(b"\x01v");
            assert!(decode_first(&block).is_err(), "{block:x?}");
        }
    }
}

#[test]
fn at_most_two_size_updates_stand_in_front() {
    let mut decoder = Decoder::new();
    // To 0, to 4,096, then a field.
    let updates = b"\x20\x3F\xE1\x1F";
    decode(&mut decoder, &[&updates[..], b"\x40\x01n\x01v"].concat()).unwrap();
    assert_eq!(lines(&table(&decoder)), ["n: v"]);
    // In each block anew, also in one that has nothing else.
    assert_eq!(decode(&mut decoder, b"\x20\x20"), Ok(vec![]));
    assert_eq!(table(&decoder), []);

    assert!(decode_first(b"\x20\x20\x20").is_err(), "three");
    assert!(decode_first(b"\x82\x20").is_err(), "behind a field");
    assert!(decode_first(b"\x3F\xE2\x1F").is_err(), "to 4,097");
    assert!(decode_first(b"\x3F").is_err(), "cut off");
}

#[test]
fn a_smaller_table_evicts_what_no_longer_fits() {
    let mut decoder = Decoder::new();
    // Entries of 34 bytes.
    decode(&mut decoder, b"\x40\x01a\x011\x40\x01b\x012\x40\x01c\x013").unwrap();
    assert_eq!(decoder.table.size_bytes(), 102);
    decode(&mut decoder, &[0x3F, 101 - 31]).unwrap();
    assert_eq!(lines(&table(&decoder)), ["c: 3", "b: 2"]);
    decode(&mut decoder, &[0x3F, 68 - 31]).unwrap();
    assert_eq!(lines(&table(&decoder)), ["c: 3", "b: 2"]);
    // It stays so: another entry pushes out the oldest.
    decode(&mut decoder, b"\x40\x01d\x014").unwrap();
    assert_eq!(lines(&table(&decoder)), ["d: 4", "c: 3"]);
    decode(&mut decoder, b"\x20").unwrap();
    assert_eq!((table(&decoder), decoder.memory_bytes()), (vec![], 0));
}

/// Section 4.4.
#[test]
fn an_entry_may_have_the_name_of_one_that_it_evicts() {
    let mut decoder = Decoder::new();
    // Room for two of 40 bytes.
    decode(&mut decoder, &[0x3F, 90 - 31]).unwrap();
    decode(&mut decoder, b"\x40\x04name\x041111\x40\x04full\x042222").unwrap();
    // The oldest is 63. Its name, and a value that makes both go.
    let block = b"\x7F\x00\x15a long value of these";
    let fields = decode(&mut decoder, block).unwrap();
    assert_eq!(lines(&fields), ["name: a long value of these"]);
    assert_eq!(lines(&table(&decoder)), ["name: a long value of these"]);
    // And as Huffman, where the value lies in the scratch buffer too.
    let block = [0x7E, 0x86, 0xA8, 0xEB, 0x10, 0x64, 0x9C, 0xBF];
    let fields = decode(&mut decoder, &block).unwrap();
    assert_eq!(lines(&fields), ["name: no-cache"]);
    assert_eq!(lines(&table(&decoder)), ["name: no-cache"]);
}

/// Section 4.4.
#[test]
fn an_entry_larger_than_the_table_empties_it_and_is_still_a_field() {
    let mut decoder = Decoder::new();
    decode(&mut decoder, b"\x40\x04name\x041111").unwrap();
    // 4,097 with its overhead: a value of 4,061 bytes.
    let mut block = b"\x7E\x7F\xDE\x1E".to_vec();
    block.resize(block.len() + 4061, b'x');
    let fields = decode(&mut decoder, &block).unwrap();
    assert_eq!(fields, [(b"name".to_vec(), vec![b'x'; 4061])]);
    assert_eq!((table(&decoder), decoder.table.size_bytes()), (vec![], 0));
    // One less fits.
    decode(&mut decoder, b"\x40\x04name\x041111").unwrap();
    block.pop();
    block[2] = 0xDD;
    decode(&mut decoder, &block).unwrap();
    assert_eq!(decoder.table.size_bytes(), 4096);
    assert_eq!(table(&decoder).len(), 1);
}

#[test]
fn what_a_block_made_the_decoder_keep_is_little() {
    let mut decoder = Decoder::new();
    // 30,000 times '0', which has five bits.
    let mut block = b"\x00\x01n\xFF\xBF\x91\x01".to_vec();
    block.resize(block.len() + 18_750, 0);
    let fields = decode(&mut decoder, &block).unwrap();
    assert_eq!(fields, [(b"n".to_vec(), vec![b'0'; 30_000])]);
    assert_eq!(decoder.memory_bytes(), 0);

    for _ in 0..100 {
        decode(&mut decoder, b"\x00\x01n\x86\xA8\xEB\x10\x64\x9C\xBF").unwrap();
    }
    assert!(decoder.memory_bytes() <= 64, "the scratch buffer alone");

    for number in 0..10_000_u32 {
        let value = number.to_string().repeat(number as usize % 300);
        let mut block = vec![0x40, 0x01, b'n'];
        put_plain(value.as_bytes(), &mut block);
        decode(&mut decoder, &block).unwrap();
        assert_eq!(table(&decoder)[0].1, value.as_bytes());
        assert!(decoder.memory_bytes() <= 4096 + 128 * 6 + MAX_IDLE_SCRATCH_BYTES);
    }
}

fn put_plain(string: &[u8], block: &mut Vec<u8>) {
    put_integer(string.len(), 0, 0x7F, block);
    block.extend_from_slice(string);
}

fn put_integer(integer: usize, pattern: u8, max_prefix: u8, block: &mut Vec<u8>) {
    let Some(mut rest) = integer.checked_sub(usize::from(max_prefix)) else {
        block.push(pattern | low_byte(integer));
        return;
    };
    block.push(pattern | max_prefix);
    while rest > 127 {
        block.push(low_byte(rest) | 0x80);
        rest /= 128;
    }
    block.push(low_byte(rest));
}

fn low_byte(integer: usize) -> u8 {
    integer.to_le_bytes()[0]
}
