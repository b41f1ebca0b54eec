use super::*;

const MAX_MESSAGE_BYTES: usize = 70_000;

/// An event that outlives what it was told with.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Opened,
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Closed(u16, String),
}

impl From<Event<'_>> for Told {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Opened(_) => Self::Opened,
            Event::Message(Message::Text(text)) => Self::Text(text.to_owned()),
            Event::Message(Message::Binary(bytes)) => Self::Binary(bytes.to_vec()),
            Event::Ping(payload) => Self::Ping(payload.to_vec()),
            Event::Pong(payload) => Self::Pong(payload.to_vec()),
            Event::Closed(code, reason) => Self::Closed(code.into(), reason.to_owned()),
        }
    }
}

/// Connection, what it told, what it answered and how that ended.
struct Client {
    connection: Connection,
    shared: Shared,
    told: Vec<Told>,
    output: Vec<u8>,
}

impl Client {
    fn opening(deflate: bool) -> Self {
        let url = Url::parse("ws://127.0.0.1/").expect("a URL");
        let wishes = Wishes {
            compression: deflate,
            ..Wishes::default()
        };
        let (mut shared, mut output) = (Shared::default(), Vec::new());
        let connection =
            Connection::new(&url, &wishes, MAX_MESSAGE_BYTES, &mut shared, &mut output);
        Self {
            connection,
            shared,
            told: Vec::new(),
            output,
        }
    }

    /// One that is open.
    fn open(deflate: Option<Agreement>) -> Self {
        let mut client = Self::opening(deflate.is_some());
        client.connection.state = State::Open;
        client.connection.deflate = deflate;
        client.output.clear();
        client
    }

    fn receive(&mut self, input: &[u8]) -> Result<(), ConnectionError> {
        let told = &mut self.told;
        self.connection
            .receive(input, &mut self.shared, &mut self.output, |event| {
                told.push(event.into());
            })
    }

    /// What was answered: opcodes and payloads. The frames are masked.
    fn answered(&self) -> Vec<(u8, Vec<u8>)> {
        let (mut frames, mut rest) = (Vec::new(), &self.output[..]);
        while let [first, second, rest_of_it @ ..] = rest {
            assert!(
                second & 0x80 != 0 && second & 0x7F < 126,
                "short and masked"
            );
            let (mask, rest_of_it) = rest_of_it.split_at(4);
            let (payload, behind) = rest_of_it.split_at(usize::from(second & 0x7F));
            let masks = mask.iter().cycle();
            let payload = payload.iter().zip(masks).map(|(byte, key)| byte ^ key);
            frames.push((first & 0x0F, payload.collect()));
            rest = behind;
        }
        frames
    }
}

/// A server's frame, its length written by hand.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let len = payload.len();
    let mut bytes = vec![first];
    match len {
        0..=125 => bytes.push(u8::try_from(len).expect("short")),
        126..=0xFFFF => {
            bytes.push(126);
            bytes.extend(u16::try_from(len).expect("medium").to_be_bytes());
        }
        _ => {
            bytes.push(127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(payload);
    bytes
}

/// A bit of everything, and what is to be told of it.
fn conversation() -> (Vec<u8>, Vec<Told>) {
    let bytes = [
        frame(0x81, "grüße".as_bytes()),
        frame(0x02, b"frag"),
        frame(0x89, b"ping in between"),
        frame(0x00, b""),
        frame(0x8A, b"pong in between"),
        frame(0x80, b"ments"),
        frame(0x81, b""),
        frame(0x01, b"gr\xc3"),
        frame(0x80, b"\xbc\xc3\x9fe"),
        frame(0x82, &[7; 300]),
        frame(0x88, b"\x03\xe8done"),
        // Nothing behind a Close counts.
        frame(0x81, b"late"),
    ];
    let told = vec![
        Told::Text("grüße".to_owned()),
        Told::Ping(b"ping in between".to_vec()),
        Told::Pong(b"pong in between".to_vec()),
        Told::Binary(b"fragments".to_vec()),
        Told::Text(String::new()),
        Told::Text("grüße".to_owned()),
        Told::Binary(vec![7; 300]),
        Told::Closed(1000, "done".to_owned()),
    ];
    (bytes.concat(), told)
}

#[test]
fn a_conversation_is_the_same_at_any_two_splits_and_byte_by_byte() {
    let (bytes, expected) = conversation();
    let answers = [
        (0xA, b"ping in between".to_vec()),
        (0x8, b"\x03\xe8".to_vec()),
    ];
    let check = |pieces: &[&[u8]], how: &dyn fmt::Debug| {
        let mut client = Client::open(None);
        for piece in pieces {
            assert_eq!(client.receive(piece), Ok(()), "{how:?}");
        }
        assert_eq!(client.told, expected, "{how:?}");
        assert_eq!(client.answered(), answers, "{how:?}");
        assert!(client.connection.is_closed());
    };
    for first in 0..=bytes.len() {
        for second in (first..=bytes.len()).step_by(7) {
            let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
            check(&pieces, &(first, second));
        }
    }
    check(&bytes.chunks(1).collect::<Vec<_>>(), &"bytes");
}

#[test]
fn frames_may_follow_the_101_at_once() {
    let mut client = Client::opening(false);
    let request = String::from_utf8(client.output.clone()).expect("ASCII");
    let key = request
        .lines()
        .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "))
        .and_then(|key| key.as_bytes().try_into().ok())
        .expect("a key");
    let accept = aerys::internals::accept_key(key);
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        accept.escape_ascii()
    );
    let bytes = [answer.as_bytes(), b"\x81\x05Hello\x81\x05He"].concat();
    assert_eq!(client.receive(&bytes), Ok(()));
    assert_eq!(client.receive(b"llo"), Ok(()));
    let hello = Told::Text("Hello".to_owned());
    assert_eq!(client.told, [Told::Opened, hello.clone(), hello]);
}

#[test]
fn an_answer_that_opens_nothing_is_an_error_without_a_frame() {
    let mut client = Client::opening(false);
    client.output.clear();
    let refused = client.receive(b"HTTP/1.1 500 Internal Server Error\r\n\r\n");
    let error = OpeningError::Status(500, "Internal Server Error".to_owned());
    assert_eq!(refused, Err(ConnectionError::Opening(error)));
    assert!(client.output.is_empty() && client.told.is_empty());
    // Whatever follows is not looked at.
    assert_eq!(client.receive(b"\xff\xff\xff"), Ok(()));
}

#[test]
fn what_a_server_may_not_send_is_closed_with_its_code() {
    let long = vec![0x82, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x71];
    let cases: [(&[u8], u16, ConnectionError); 11] = [
        (b"\x81\x85\0\0\0\0Hello", 1002, FrameError::Masked.into()),
        (b"\xc1\x00", 1002, FrameError::ReservedBit.into()),
        (b"\x83\x00", 1002, FrameError::ReservedOpcode.into()),
        (b"\x09\x00", 1002, FrameError::FragmentedControlFrame.into()),
        (b"\x80\x00", 1002, ConnectionError::Fragments),
        (b"\x01\x01a\x81\x01b", 1002, ConnectionError::Fragments),
        (b"\x81\x01\xff", 1007, ConnectionError::NotUtf8),
        (b"\x81\x02\xc3\x28", 1007, ConnectionError::NotUtf8),
        (
            b"\x88\x01\x03",
            1002,
            ConnectionError::Close(CloseError::HalfCode),
        ),
        (
            b"\x88\x02\x03\xed",
            1002,
            ConnectionError::Close(CloseError::IllegalCode),
        ),
        // On its length alone.
        (&long, 1009, ConnectionError::TooBig(MAX_MESSAGE_BYTES)),
    ];
    for (bytes, code, error) in cases {
        let mut client = Client::open(None);
        assert_eq!(client.receive(bytes), Err(error), "{bytes:02x?}");
        let close = (0x8, code.to_be_bytes().to_vec());
        assert_eq!(client.answered(), [close], "{bytes:02x?}");
        assert!(client.connection.is_closed());
        assert_eq!(client.receive(b"\x81\x01a"), Ok(()));
        assert!(client.told.is_empty(), "{bytes:02x?}");
    }
}

#[test]
fn fragments_together_are_not_longer_than_a_message_may_be() {
    let mut client = Client::open(None);
    let half = frame(0x02, &vec![1; MAX_MESSAGE_BYTES / 2]);
    assert_eq!(client.receive(&half), Ok(()));
    let rest = frame(0x00, &vec![1; MAX_MESSAGE_BYTES / 2]);
    assert_eq!(client.receive(&rest), Ok(()));
    let error = ConnectionError::TooBig(MAX_MESSAGE_BYTES);
    assert_eq!(client.receive(&frame(0x80, b"x")), Err(error));
}

const TAKEOVER: Agreement = Agreement {
    server_window_bits: 15,
    client_window_bits: 15,
    server_takeover: true,
    client_takeover: false,
};

#[test]
fn compressed_messages_are_inflated_with_and_without_what_came_before() {
    let hello = Told::Text("Hello".to_owned());
    // RFC 7692 sections 7.2.3.1 and 7.2.3.2, the first in two fragments with a Ping in between.
    let first = [
        frame(0x41, b"\xf2\x48\xcd"),
        frame(0x89, b""),
        frame(0x80, b"\xc9\xc9\x07\x00"),
    ];
    let second = frame(0xC1, b"\xf2\x00\x11\x00\x00");
    let plain = frame(0x81, b"Hello");
    let bytes = [first.concat(), plain, second].concat();
    for split in 0..=bytes.len() {
        let mut client = Client::open(Some(TAKEOVER));
        assert_eq!(client.receive(&bytes[..split]), Ok(()));
        assert_eq!(client.receive(&bytes[split..]), Ok(()));
        let expected = [
            Told::Ping(vec![]),
            hello.clone(),
            hello.clone(),
            hello.clone(),
        ];
        assert_eq!(client.told, expected, "split {split}");
    }
    let mut client = Client::open(Some(Agreement {
        server_takeover: false,
        ..TAKEOVER
    }));
    let refused = client.receive(&bytes);
    assert_eq!(refused, Err(ConnectionError::BrokenDeflate));
}

#[test]
fn what_inflates_beyond_the_limit_is_refused() {
    let mut deflater = aerys::internals::Deflater::new(15, 1);
    let zeros = vec![0; MAX_MESSAGE_BYTES + 1];
    let mut output = vec![0; zeros.len() + 4];
    let len = deflater
        .compress(std::iter::once(&zeros[..]), &mut output, zeros.len())
        .expect("shorter");
    let mut client = Client::open(Some(TAKEOVER));
    let refused = client.receive(&frame(0xC2, &output[..len]));
    assert_eq!(refused, Err(ConnectionError::TooBig(MAX_MESSAGE_BYTES)));
}

#[test]
fn what_is_sent_is_masked_and_compressed_where_that_was_agreed() {
    let text = Message::Text("again and again and again and again");
    let mut client = Client::open(None);
    client
        .connection
        .send(text, &mut client.shared, &mut client.output);
    client
        .connection
        .ping(b"now", &mut client.shared, &mut client.output);
    let expected = b"again and again and again and again".to_vec();
    assert_eq!(client.answered(), [(1, expected), (9, b"now".to_vec())]);

    let mut client = Client::open(Some(TAKEOVER));
    for _ in 0..2 {
        client
            .connection
            .send(text, &mut client.shared, &mut client.output);
    }
    assert_eq!(client.output[0], 0xC1);
    let sent = client.answered();
    assert!(sent[0].1.len() < 30 && sent[0] == sent[1], "{sent:?}");
}

#[test]
fn each_side_closes_once() {
    let mut client = Client::open(None);
    let close = |client: &mut Client| {
        let (shared, output) = (&mut client.shared, &mut client.output);
        client
            .connection
            .close(CloseCode::NORMAL, "bye", shared, output);
    };
    close(&mut client);
    close(&mut client);
    assert!(!client.connection.is_open() && !client.connection.is_closed());
    // Messages that were on their way count, and no Pong follows a Close.
    let bytes = [
        frame(0x81, b"late"),
        frame(0x89, b""),
        frame(0x88, b"\x03\xe8"),
    ]
    .concat();
    assert_eq!(client.receive(&bytes), Ok(()));
    assert_eq!(client.answered(), [(8, b"\x03\xe8bye".to_vec())]);
    let told = [
        Told::Text("late".to_owned()),
        Told::Ping(vec![]),
        Told::Closed(1000, String::new()),
    ];
    assert_eq!(client.told, told);
    assert!(client.connection.is_closed());
}
