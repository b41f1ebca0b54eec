//! The client connections: set-up (a window of handshakes at a time) and output.

use crate::sys::{self, Epoll};
use crate::ws::{self, Block, Reader, Shape, ACCEPT, KEY, VARIANTS};
use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Connections from one source address before the next one is used.
const PER_SOURCE: usize = 10_000;

pub struct Conn {
    pub fd: i32,
    pub variant: usize,
    pub reader: Reader,
    /// Bytes asked to be sent but not yet taken by the kernel.
    pending: usize,
    /// How far the output stream stands in the current frame.
    offset: usize,
    /// Send times of the messages in flight, oldest first.
    pub sent_at: VecDeque<u64>,
    pub got: u64,
}

pub struct Pool {
    pub epoll: Epoll,
    pub conns: Vec<Conn>,
    pub blocks: Vec<Block>,
    pub full_check: bool,
    pub setup_ns: u64,
}

pub struct Target {
    pub addr: SocketAddrV4,
    pub path: String,
    /// False: connect only, no WebSocket handshake (plain HTTP).
    pub upgrade: bool,
}

enum Stage {
    Connecting,
    Waiting,
}

fn request(target: &Target) -> Vec<u8> {
    format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n",
        target.path, target.addr
    )
    .into_bytes()
}

impl Pool {
    /// Opens `count` connections, at most `window` handshakes under way at once.
    pub fn open(
        target: &Target,
        count: usize,
        window: usize,
        shape: &Shape,
        repeat: usize,
        full_check: bool,
    ) -> Result<Pool, String> {
        let mut pool = Pool {
            epoll: Epoll::new().map_err(|e| e.to_string())?,
            conns: Vec::with_capacity(count),
            blocks: (0..VARIANTS)
                .map(|v| Block::new(shape, v, repeat))
                .collect(),
            full_check,
            setup_ns: 0,
        };
        pool.handshakes(target, count, window)?;
        Ok(pool)
    }

    fn handshakes(&mut self, target: &Target, count: usize, window: usize) -> Result<(), String> {
        let start = sys::now_ns();
        let ask = request(target);
        let mut stages: Vec<Stage> = Vec::with_capacity(count);
        let mut answers: Vec<Vec<u8>> = Vec::with_capacity(count);
        let mut ready = 0;
        let mut buf = vec![0u8; 65536];
        while ready < count {
            while stages.len() < count && stages.len() - ready < window {
                let i = stages.len();
                let source = Ipv4Addr::new(127, 0, 1, 1 + (i / PER_SOURCE) as u8);
                let fd = sys::connect(SocketAddrV4::new(source, 0), target.addr)
                    .map_err(|e| format!("connect {i}: {e}"))?;
                self.epoll.add(fd, i as u64).map_err(|e| e.to_string())?;
                self.conns.push(Conn {
                    fd,
                    variant: i % VARIANTS,
                    reader: Reader::default(),
                    pending: 0,
                    offset: 0,
                    sent_at: VecDeque::new(),
                    got: 0,
                });
                stages.push(Stage::Connecting);
                answers.push(Vec::new());
            }
            if sys::now_ns() - start > 60_000_000_000 {
                return Err(format!("only {ready} of {count} handshakes within 60 s"));
            }
            for e in 0..self.epoll.wait(1000).map_err(|e| e.to_string())? {
                let i = self.epoll.token(e);
                if matches!(stages[i], Stage::Connecting) && self.epoll.writable(e) {
                    if target.upgrade {
                        match sys::send(self.conns[i].fd, &ask) {
                            Ok(n) if n == ask.len() => stages[i] = Stage::Waiting,
                            other => return Err(format!("handshake {i}: {other:?}")),
                        }
                    } else {
                        stages[i] = Stage::Waiting;
                        ready += 1;
                    }
                    continue;
                }
                if !target.upgrade || answers[i].ends_with(b"\r\n\r\n") {
                    continue;
                }
                match sys::recv(self.conns[i].fd, &mut buf) {
                    Ok(0) => return Err(format!("handshake {i}: closed by the server")),
                    Ok(n) => answers[i].extend_from_slice(&buf[..n]),
                    Err(e) if sys::would_block(&e) => continue,
                    Err(e) => return Err(format!("handshake {i}: {e}")),
                }
                if answers[i].ends_with(b"\r\n\r\n") {
                    let text = String::from_utf8_lossy(&answers[i]);
                    if !text.starts_with("HTTP/1.1 101") || !text.contains(ACCEPT) {
                        return Err(format!("handshake {i} refused: {text}"));
                    }
                    ready += 1;
                }
            }
        }
        self.setup_ns = sys::now_ns() - start;
        Ok(())
    }

    /// Queues `n` frames on connection `i` and sends what the kernel takes.
    #[inline]
    pub fn send(&mut self, i: usize, n: usize) -> Result<(), String> {
        let c = &mut self.conns[i];
        c.pending += n * self.blocks[c.variant].frame_len;
        self.flush(i)
    }

    #[inline]
    pub fn flush(&mut self, i: usize) -> Result<(), String> {
        let c = &mut self.conns[i];
        let block = &self.blocks[c.variant];
        while c.pending > 0 {
            let end = (c.offset + c.pending).min(block.bytes.len());
            match sys::send(c.fd, &block.bytes[c.offset..end]) {
                Ok(n) => {
                    c.pending -= n;
                    c.offset = (c.offset + n) % block.frame_len;
                }
                Err(e) if sys::would_block(&e) => return Ok(()),
                Err(e) => return Err(format!("send on {i}: {e}")),
            }
        }
        Ok(())
    }

    /// Goes on with the `n` connections that the last wait told of: sends what is left, and
    /// [receives](Self::receive).
    pub fn receive_ready(
        &mut self,
        n: usize,
        buf: &mut [u8],
        mut each: impl FnMut(&mut Conn, u32),
    ) -> Result<(), String> {
        for e in 0..n {
            let i = self.epoll.token(e);
            if self.epoll.writable(e) {
                self.flush(i)?;
            }
            self.receive(i, buf, &mut each)?;
        }
        Ok(())
    }

    /// Reads connection `i` dry; `each` gets the number of messages that ended
    /// in every read.
    #[inline]
    pub fn receive(
        &mut self,
        i: usize,
        buf: &mut [u8],
        mut each: impl FnMut(&mut Conn, u32),
    ) -> Result<(), String> {
        loop {
            let c = &mut self.conns[i];
            let n = match sys::recv(c.fd, buf) {
                Ok(0) => return Err(format!("connection {i} closed by the server")),
                Ok(n) => n,
                Err(e) if sys::would_block(&e) => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(format!("recv on {i}: {e}")),
            };
            let block = &self.blocks[c.variant];
            let done = c
                .reader
                .feed(&buf[..n], block, self.full_check)
                .map_err(|e| format!("connection {i}: {e}"))?;
            if done > 0 {
                c.got += done as u64;
                each(c, done);
            }
            if let Some(payload) = c.reader.ping.take() {
                // Between two frames only; who is sending is not silent, and needs no Pong.
                if c.pending == 0 {
                    let pong = ws::pong(&payload);
                    match sys::send(c.fd, &pong) {
                        Ok(n) if n == pong.len() => {}
                        Err(e) if sys::would_block(&e) => {}
                        other => return Err(format!("pong on {i}: {other:?}")),
                    }
                }
            }
            if n < buf.len() {
                return Ok(());
            }
        }
    }
}
