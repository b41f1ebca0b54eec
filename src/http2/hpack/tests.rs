//! Both directions together.

use proptest::prelude::*;

use super::*;

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

fn decode(decoder: &mut Decoder, block: &[u8]) -> Fields {
    let mut fields = Vec::new();
    decoder
        .decode(block, |name, value| {
            fields.push((name.to_vec(), value.to_vec()));
        })
        .expect("a valid block");
    fields
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b"Content-Type".to_vec()),
        Just(b"set-cookie".to_vec()),
        Just(b"WWW-Authenticate".to_vec()),
        "[!-~]{1,40}".prop_map(String::into_bytes),
    ]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[ -~]{0,60}".prop_map(String::into_bytes),
        "[ -~]{100,600}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..200),
    ]
}

/// Blocks that another implementation encoded (the Python package `hpack` 4.2), on several
/// connections: each block in hex, then its fields. Names with and without indices, dynamic
/// entries, tables that change their size, strings with and without Huffman, fields that are never
/// indexed.
const CONNECTIONS: &str = include_str!("tests/connections.txt");

#[test]
fn what_another_implementation_encoded_is_decoded() {
    let mut decoder = Decoder::new();
    let mut fields = Vec::new().into_iter();
    let mut count = 0;
    for line in CONNECTIONS.lines() {
        if line == "connection" {
            decoder = Decoder::new();
        } else if let Some(digits) = line.strip_prefix("block ") {
            assert_eq!(fields.next(), None, "before {line}");
            let block: Vec<u8> = (0..digits.len() / 2)
                .map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap())
                .collect();
            fields = decode(&mut decoder, &block).into_iter();
        } else {
            let (name, value) = fields.next().expect(line);
            let (name, value) = (
                str::from_utf8(&name).unwrap(),
                str::from_utf8(&value).unwrap(),
            );
            assert_eq!(format!("{name}: {value}"), line);
            count += 1;
        }
    }
    assert_eq!(fields.next(), None);
    assert!(count > 200, "{count} fields");
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(
        status in 100..1000_u16,
        fields in prop::collection::vec((name(), value()), 0..20),
    ) {
        let mut block = Vec::new();
        encode_status(status, &mut block);
        for (name, value) in &fields {
            encode_field(name, value, &mut block);
        }
        let mut decoder = Decoder::new();
        let mut expected = vec![(b":status".to_vec(), status.to_string().into_bytes())];
        expected.extend(
            fields
                .into_iter()
                .map(|(name, value)| (name.to_ascii_lowercase(), value)),
        );
        prop_assert_eq!(decode(&mut decoder, &block), expected);
        // Nothing was inserted.
        let is_empty = decoder.decode(&[0xBE], |_, _| ()).is_err();
        prop_assert!(is_empty);
    }
}
