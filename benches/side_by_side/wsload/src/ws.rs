//! WebSocket frames: the client's, built once; the server's, read by header only.

pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// How many different payloads and mask keys the connections use in turn.
pub const VARIANTS: usize = 8;

/// One payload with its client frame, repeated so that one send takes many.
pub struct Block {
    pub payload: Vec<u8>,
    /// The server frame's header for this payload.
    pub reply_header: Vec<u8>,
    /// Length of one client frame.
    pub frame_len: usize,
    /// `repeat` client frames in a row.
    pub bytes: Vec<u8>,
}

pub struct Shape {
    pub size: usize,
    pub text: bool,
    /// Send no mask: only for servers that return the very bytes they read.
    pub unmasked: bool,
}

fn header(size: usize, opcode: u8, mask: bool) -> Vec<u8> {
    let bit = if mask { 0x80 } else { 0 };
    let mut h = vec![0x80 | opcode];
    match size {
        0..=125 => h.push(bit | size as u8),
        126..=65535 => {
            h.push(bit | 126);
            h.extend_from_slice(&(size as u16).to_be_bytes());
        }
        _ => {
            h.push(bit | 127);
            h.extend_from_slice(&(size as u64).to_be_bytes());
        }
    }
    h
}

/// The answer to a Ping (RFC 6455 section 5.5.3), masked with zeros.
pub fn pong(payload: &[u8]) -> Vec<u8> {
    let mut frame = header(payload.len(), 10, true);
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

impl Block {
    pub fn new(shape: &Shape, variant: usize, repeat: usize) -> Block {
        let v = (variant % VARIANTS) as u8;
        let mut payload: Vec<u8> = (0..shape.size)
            .map(|i| b'0' + ((i * 7 + variant * 3) % 10) as u8)
            .collect();
        if let Some(last) = payload.last_mut() {
            *last = b'a' + v;
        }
        if let Some(first) = payload.first_mut() {
            *first = b'A' + v;
        }
        let opcode = if shape.text { 1 } else { 2 };
        let mut frame = header(shape.size, opcode, !shape.unmasked);
        if shape.unmasked {
            frame.extend_from_slice(&payload);
        } else {
            let key = [0x37 ^ v, 0xfa, 0x21 ^ (v << 3), 0x3d];
            frame.extend_from_slice(&key);
            frame.extend(payload.iter().enumerate().map(|(i, b)| b ^ key[i & 3]));
        }
        Block {
            reply_header: header(shape.size, opcode, false),
            frame_len: frame.len(),
            bytes: frame.repeat(repeat.max(1)),
            payload,
        }
    }
}

/// Where a connection stands in the server's byte stream.
#[derive(Default)]
pub struct Reader {
    head: [u8; 10],
    head_len: u8,
    fin: bool,
    control: bool,
    in_payload: bool,
    remain: u64,
    /// Payload bytes of the current message so far.
    pos: u64,
    pub control_frames: u64,
    /// Payload of the control frame that is being read.
    control_payload: Vec<u8>,
    /// Payload of the last Ping, until its Pong is sent.
    pub ping: Option<Vec<u8>>,
}

impl Reader {
    /// Takes `buf` in, checks every message against `block`, and returns how
    /// many messages ended in it. With `full`, every payload byte is compared.
    #[inline]
    pub fn feed(&mut self, buf: &[u8], block: &Block, full: bool) -> Result<u32, String> {
        let mut p = 0;
        let mut done = 0;
        let head = block.reply_header.as_slice();
        let size = block.payload.len();
        let whole = head.len() + size;
        while p < buf.len() {
            if !self.in_payload && self.head_len == 0 && self.pos == 0 && !full {
                while buf.len() - p >= whole && &buf[p..p + head.len()] == head {
                    if size > 0 {
                        let first = buf[p + head.len()];
                        let last = buf[p + whole - 1];
                        if first != block.payload[0] || last != block.payload[size - 1] {
                            return Err("a reply's first or last byte is wrong".into());
                        }
                    }
                    p += whole;
                    done += 1;
                }
                if p == buf.len() {
                    break;
                }
            }
            if !self.in_payload {
                self.head[self.head_len as usize] = buf[p];
                self.head_len += 1;
                p += 1;
                if self.head_complete()? {
                    self.start_frame();
                    if self.remain == 0 {
                        done += self.end_frame(size)?;
                    }
                }
                continue;
            }
            let take = self.remain.min((buf.len() - p) as u64) as usize;
            if !self.control {
                self.check(&buf[p..p + take], block, full)?;
                self.pos += take as u64;
            } else {
                self.control_payload.extend_from_slice(&buf[p..p + take]);
            }
            self.remain -= take as u64;
            p += take;
            if self.remain == 0 {
                done += self.end_frame(size)?;
            }
        }
        Ok(done)
    }

    fn head_complete(&self) -> Result<bool, String> {
        if self.head_len < 2 {
            return Ok(false);
        }
        if self.head[1] & 0x80 != 0 {
            return Err("the server masked a frame".into());
        }
        let need = match self.head[1] & 0x7f {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        Ok(self.head_len == need)
    }

    fn start_frame(&mut self) {
        let h = &self.head;
        self.remain = match h[1] & 0x7f {
            126 => u16::from_be_bytes([h[2], h[3]]) as u64,
            127 => u64::from_be_bytes([h[2], h[3], h[4], h[5], h[6], h[7], h[8], h[9]]),
            n => n as u64,
        };
        self.fin = h[0] & 0x80 != 0;
        self.control = h[0] & 0x08 != 0;
        self.head_len = 0;
        self.in_payload = true;
    }

    fn end_frame(&mut self, size: usize) -> Result<u32, String> {
        self.in_payload = false;
        if self.control {
            self.control_frames += 1;
            let payload = std::mem::take(&mut self.control_payload);
            match self.head[0] & 0x0f {
                8 => return Err("the server closed the connection".into()),
                9 => self.ping = Some(payload),
                _ => {}
            }
            return Ok(0);
        }
        if !self.fin {
            return Ok(0);
        }
        if self.pos != size as u64 {
            return Err(format!("a reply has {} bytes, not {size}", self.pos));
        }
        self.pos = 0;
        Ok(1)
    }

    fn check(&self, chunk: &[u8], block: &Block, full: bool) -> Result<(), String> {
        let size = block.payload.len();
        let start = self.pos as usize;
        let end = start + chunk.len();
        if end > size {
            return Err(format!("a reply is longer than {size} bytes"));
        }
        let same = if full {
            chunk == &block.payload[start..end]
        } else {
            (start > 0 || chunk.is_empty() || chunk[0] == block.payload[0])
                && (end < size
                    || chunk.is_empty()
                    || chunk[chunk.len() - 1] == block.payload[size - 1])
        };
        if same {
            Ok(())
        } else {
            Err("a reply's bytes are wrong".into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replies(block: &Block, n: usize) -> Vec<u8> {
        let mut one = block.reply_header.clone();
        one.extend_from_slice(&block.payload);
        one.repeat(n)
    }

    #[test]
    fn any_split_counts_every_message() {
        for size in [0, 1, 20, 125, 126, 300, 70_000] {
            let shape = Shape {
                size,
                text: false,
                unmasked: false,
            };
            let block = Block::new(&shape, 3, 1);
            let stream = replies(&block, 3);
            for step in [1usize, 2, 3, 7, 64, 4096, usize::MAX] {
                if step < 64 && size > 1000 {
                    continue;
                }
                for full in [false, true] {
                    let mut r = Reader::default();
                    let n: u32 = stream
                        .chunks(step.min(stream.len()))
                        .map(|c| r.feed(c, &block, full).unwrap())
                        .sum();
                    assert_eq!(n, 3, "size {size} step {step}");
                }
            }
        }
    }

    #[test]
    fn wrong_replies_are_refused() {
        let shape = Shape {
            size: 20,
            text: false,
            unmasked: false,
        };
        let (a, b) = (Block::new(&shape, 0, 1), Block::new(&shape, 1, 1));
        assert!(Reader::default().feed(&replies(&a, 1), &b, false).is_err());
        let mut bad = replies(&a, 1);
        bad[9] ^= 1;
        assert!(Reader::default().feed(&bad, &a, true).is_err());
        let short = Block::new(&Shape { size: 19, ..shape }, 0, 1);
        assert!(Reader::default()
            .feed(&replies(&short, 1), &a, false)
            .is_err());
    }

    #[test]
    fn control_frames_and_fragments_are_taken() {
        let shape = Shape {
            size: 4,
            text: false,
            unmasked: false,
        };
        let block = Block::new(&shape, 0, 1);
        let p = &block.payload;
        let mut s = vec![
            0x89, 2, 1, 2, 0x02, 2, p[0], p[1], 0x89, 0, 0x80, 2, p[2], p[3],
        ];
        s.extend(replies(&block, 1));
        let mut r = Reader::default();
        assert_eq!(r.feed(&s, &block, true).unwrap(), 2);
        assert_eq!(r.control_frames, 2);
        assert_eq!(r.ping, Some(vec![]));
        assert_eq!(pong(&[1, 2]), [0x8a, 0x82, 0, 0, 0, 0, 1, 2]);
    }
}
