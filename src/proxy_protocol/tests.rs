use super::*;
use proptest::prelude::*;
use std::net::SocketAddr;

/// Longest line of version 1, with its end (section 2.1).
const MAX_LINE_BYTES: usize = 107;

const TCP4: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n";

fn proxied(source: &str, destination: &str) -> Header {
    let ip = |text: &str| Address::from(text.parse::<SocketAddr>().expect("an address"));
    Header::Proxied {
        source: ip(source),
        destination: ip(destination),
    }
}

fn local() -> Header {
    Header::Local
}

/// A header of version 2.
fn binary(command: u8, transport: u8, content: &[u8]) -> Vec<u8> {
    let len = u16::try_from(content.len()).expect("short").to_be_bytes();
    [SIGNATURE, &[command, transport], &len, content].concat()
}

const IPV4: &[u8] = b"\xc0\x00\x02\x01\xc6\x33\x64\x02\xdc\x04\x01\xbb";
const IPV6: &[u8] = b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\
    \x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\xdc\x04\x01\xbb";

/// The content of a header about Unix sockets.
fn paths(source: &[u8], destination: &[u8]) -> Vec<u8> {
    let fill = |name: &[u8]| [name, &vec![0; UNIX_ADDRESS_BYTES - name.len()]].concat();
    [fill(source), fill(destination)].concat()
}

fn headers() -> Vec<(Vec<u8>, Header)> {
    let ips = proxied("192.0.2.1:56324", "198.51.100.2:443");
    let ips_6 = proxied("[2001:db8::1]:56324", "[2001:db8::2]:443");
    let longest = format!("PROXY UNKNOWN {}\r\n", "f".repeat(MAX_LINE_BYTES - 16));
    assert_eq!(longest.len(), MAX_LINE_BYTES);
    let unix = Header::Proxied {
        source: UnixAddress::new(b"/run/a").into(),
        destination: UnixAddress::new(b"\0name").into(),
    };
    let widest = Header::Proxied {
        source: UnixAddress::UNNAMED.into(),
        destination: UnixAddress::new(&[b'x'; UNIX_ADDRESS_BYTES]).into(),
    };
    let of_values = |values: &[u8]| binary(0x21, 0x11, &[IPV4, values].concat());
    vec![
        (TCP4.to_vec(), ips.clone()),
        (
            b"PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n".to_vec(),
            ips_6.clone(),
        ),
        (
            b"PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n".to_vec(),
            proxied("0.0.0.0:0", "255.255.255.255:65535"),
        ),
        (b"PROXY UNKNOWN\r\n".to_vec(), local()),
        (longest.into_bytes(), local()),
        (binary(0x21, 0x11, IPV4), ips.clone()),
        (binary(0x21, 0x21, IPV6), ips_6),
        (binary(0x21, 0x31, &paths(b"/run/a", b"\0name")), unix),
        (
            binary(0x21, 0x31, &paths(b"", &[b'x'; UNIX_ADDRESS_BYTES])),
            widest,
        ),
        (binary(0x20, 0x00, b""), local()),
        (binary(0x20, 0x11, b"whatever"), local()),
        // Unspecified, and datagrams.
        (binary(0x21, 0x00, b"\x03"), local()),
        (binary(0x21, 0x12, IPV4), local()),
        (binary(0x21, 0x10, IPV4), local()),
        // An authority and a no-op of three bytes behind the addresses.
        (
            of_values(b"\x02\x00\x07a.exa.b\x04\x00\x03\0\0\0\x05\x00\x00"),
            ips.clone(),
        ),
        // The checksum, computed with another tool.
        (of_values(b"\x03\x00\x04\x20\xEC\x95\x49"), ips.clone()),
        (
            of_values(b"\x04\x00\x01x\x03\x00\x04\x67\xD1\x80\xDF\x04\x00\x01y"),
            ips.clone(),
        ),
        // As long as one may be.
        (
            of_values(&[&b"\x04\x0f\xe1"[..], &[0; 0x0FE1]].concat()),
            ips,
        ),
    ]
}

#[test]
fn each_kind_of_header_is_decoded_and_what_follows_it_left() {
    for (bytes, header) in headers() {
        let expected = Ok(Some((header, bytes.len())));
        assert_eq!(decode_header(&bytes), expected, "{}", bytes.escape_ascii());
        let followed = [&bytes[..], b"GET / HTTP/1.1\r\n"].concat();
        assert_eq!(decode_header(&followed), expected);
    }
    let longest = headers().pop().map(|(bytes, _)| bytes.len());
    assert_eq!(longest, Some(MAX_HEADER_BYTES));
}

#[test]
fn more_is_asked_for_at_every_split() {
    for (bytes, _) in headers() {
        for split in 0..bytes.len() {
            assert_eq!(decode_header(&bytes[..split]), Ok(None), "split {split}");
        }
    }
}

#[test]
fn lines_that_are_none_are_refused() {
    for line in [
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443 \r\n",
        "PROXY TCP4  192.0.2.1 198.51.100.2 56324 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443 1\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 056324 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324 +443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324 65536\r\n",
        "PROXY TCP4 192.0.2.01 198.51.100.2 56324 443\r\n",
        "PROXY TCP4 2001:db8::1 2001:db8::2 56324 443\r\n",
        "PROXY TCP6 192.0.2.1 198.51.100.2 56324 443\r\n",
        "PROXY UDP4 192.0.2.1 198.51.100.2 56324 443\r\n",
        "PROXY tcp4 192.0.2.1 198.51.100.2 56324 443\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY \r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.\u{fc} 56324 443\r\n",
    ] {
        let result = decode_header(line.as_bytes());
        assert_eq!(result, Err(Malformed::BadLine), "{line:?}");
    }
    let long = format!("PROXY UNKNOWN {}", "f".repeat(MAX_LINE_BYTES - 16));
    for (more, expected) in [
        ("", Ok(None)),
        ("\r", Ok(None)),
        ("\r\n", Ok(Some((local(), MAX_LINE_BYTES)))),
        ("f", Err(Malformed::TooLong)),
        ("f\r\n", Err(Malformed::TooLong)),
    ] {
        let line = format!("{long}{more}");
        assert_eq!(decode_header(line.as_bytes()), expected, "{more:?}");
    }
}

#[test]
fn what_begins_like_no_header_is_refused_at_the_first_byte_that_tells() {
    for bytes in [
        &b"G"[..],
        b"\x16\x03\x01",
        b"PROXy",
        b"PROXY\t",
        b"PRI * HTTP/2.0",
        b"\r\n\r\nG",
        b"\n",
        b" PROXY",
        b"\0",
    ] {
        let result = decode_header(bytes);
        assert_eq!(result, Err(Malformed::Missing), "{}", bytes.escape_ascii());
    }
}

#[test]
fn a_binary_header_that_is_none_is_refused_as_soon_as_it_shows() {
    let refusal = |bytes: &[u8]| decode_header(bytes).expect_err("it is none");
    for (command, transport) in [
        (0x11, 0x11),
        (0x31, 0x11),
        (0x22, 0x11),
        (0x2F, 0x11),
        (0x21, 0x41),
        (0x20, 0x13),
        (0x21, 0xF1),
    ] {
        let bytes = binary(command, transport, IPV4);
        assert_eq!(refusal(&bytes), Malformed::Undefined);
        assert_eq!(refusal(&bytes[..14]), Malformed::Undefined);
    }
    let too_long = binary(0x20, 0, &[0; MAX_HEADER_BYTES - FIXED_BYTES + 1]);
    assert_eq!(refusal(&too_long[..FIXED_BYTES]), Malformed::TooLong);
    let values = |values: &[u8]| binary(0x21, 0x11, &[IPV4, values].concat());
    for bytes in [
        binary(0x21, 0x11, &IPV4[..11]),
        binary(0x21, 0x21, &IPV6[..35]),
        binary(0x21, 0x31, &[0; 215]),
        values(b"\x04"),
        values(b"\x04\x00"),
        values(b"\x04\x00\x01"),
        values(b"\x03\x00\x03abc"),
    ] {
        assert_eq!(refusal(&bytes), Malformed::BadLength);
    }
    let wrong = values(b"\x03\x00\x04\x20\xEC\x95\x48");
    assert_eq!(refusal(&wrong), Malformed::BadChecksum);
}

/// The check value of the Rocksoft model, and a vector of RFC 3720 appendix B.4.
#[test]
fn the_checksum_is_crc32c() {
    assert_eq!(crc32c(&[b"12345", b"", b"6789"]), 0xE306_9283);
    assert_eq!(crc32c(&[&[0; 32]]), 0x8A91_36AA);
}

fn awaited() -> Awaited {
    Awaited::new(3, ConnectionInfo::for_test(), Moment::from_millis(5))
}

#[test]
fn a_header_in_any_pieces_gives_the_same_addresses_and_leaves_the_same_rest() {
    for (bytes, header) in headers() {
        let step = if bytes.len() > 300 { 101 } else { 1 };
        for piece in (1..=bytes.len()).step_by(step) {
            let mut awaited = awaited();
            let mut wire = [&bytes[..], b"GET"].concat();
            let len = wire.len();
            let mut taken = 0;
            let info = loop {
                let end = len.min(taken + piece);
                let mut input = Input::new(&mut wire[taken..end]);
                let info = awaited.receive(&mut input).expect("a header");
                taken = end - input.len();
                if let Some(info) = info {
                    break info;
                }
                assert_eq!(awaited.buffered_bytes(), taken);
            };
            assert_eq!(taken, bytes.len());
            let own = ConnectionInfo::for_test();
            let expected = match header.clone() {
                Header::Local => (own.remote_address, own.local_address),
                Header::Proxied {
                    source,
                    destination,
                } => (source, destination),
            };
            assert_eq!((info.remote_address, info.local_address), expected);
        }
    }
}

#[test]
fn what_is_held_of_a_header_has_a_limit() {
    let mut awaited = awaited();
    let mut wire = headers().pop().expect("the longest").0;
    wire.extend([b'x'; 100]);
    let (first, rest) = wire.split_at_mut(17);
    assert_eq!(awaited.receive(&mut Input::new(first)), Ok(None));
    let mut input = Input::new(rest);
    assert!(awaited.receive(&mut input).is_ok_and(|info| info.is_some()));
    assert_eq!(input.len(), 100);
    assert!(awaited.buffered_bytes() <= MAX_HEADER_BYTES);
}

#[test]
fn the_deadline_runs_from_the_accept() {
    let config = Config::default();
    let deadline = Moment::from_millis(5) + config.header_timeout;
    assert_eq!(awaited().deadline(&config), Some(deadline));
    assert_eq!(awaited().origin(), (3, Moment::from_millis(5)));
}

proptest! {
    #[test]
    fn garbage_is_judged_the_same_in_any_pieces(
        begin in prop::sample::select(vec![&b""[..], b"PROXY ", b"PROXY TCP4 1.2.3.4 ", SIGNATURE,
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00", b"\r\n\r\n\0\r\nQUIT\n\x21\x31\x00\xdf"]),
        rest in prop::collection::vec(any::<u8>(), 0..300),
        pieces in prop::collection::vec(1_usize..40, 1..10),
    ) {
        let mut wire = [begin, &rest].concat();
        let whole = decode_header(&wire);
        let mut awaited = awaited();
        let mut result = Ok(None);
        let (mut taken, mut pieces, len) = (0, pieces.iter().cycle(), wire.len());
        while result == Ok(None) && taken < len {
            let end = len.min(taken + pieces.next().expect("a cycle"));
            let mut input = Input::new(&mut wire[taken..end]);
            result = awaited.receive(&mut input);
            taken = end - input.len();
        }
        match whole {
            Ok(Some((_, header_len))) => {
                prop_assert!(matches!(result, Ok(Some(_))));
                prop_assert_eq!(taken, header_len);
            }
            Ok(None) => prop_assert_eq!(result, Ok(None)),
            Err(malformed) => prop_assert_eq!(result, Err(malformed)),
        }
    }
}
