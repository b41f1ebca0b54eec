//! Keep-alive GET requests in a closed loop. Responses of one connection must
//! all have the length of its first one.

use crate::args::Args;
use crate::hist::Hist;
use crate::pool::{Pool, Target};
use crate::report::Report;
use crate::ws::Shape;
use crate::{sys, Run};

#[derive(Default)]
struct State {
    /// Length of a whole response, once known.
    whole: usize,
    /// Bytes of the current response so far, until `whole` is known.
    first: Vec<u8>,
    pos: usize,
    /// Bytes of requests still to send, and how far into one the stream is.
    pending: usize,
    offset: usize,
    sent_at: std::collections::VecDeque<u64>,
}

fn response_len(bytes: &[u8]) -> Result<Option<usize>, String> {
    let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    if !head.starts_with("http/1.1 200") {
        return Err(format!("not a 200 answer: {head}"));
    }
    let body = head
        .lines()
        .find_map(|l| l.strip_prefix("content-length:"))
        .and_then(|v| v.trim().parse::<usize>().ok())
        .ok_or("the answer has no content-length")?;
    Ok(Some(end + 4 + body))
}

impl State {
    fn feed(&mut self, mut buf: &[u8]) -> Result<usize, String> {
        let mut done = 0;
        if self.whole == 0 {
            self.first.extend_from_slice(buf);
            match response_len(&self.first)? {
                None => return Ok(0),
                Some(n) => self.whole = n,
            }
            let all = std::mem::take(&mut self.first);
            return self.feed(&all);
        }
        while !buf.is_empty() {
            if self.pos == 0 && buf[0] != b'H' {
                return Err("the answers differ in length".into());
            }
            let take = buf.len().min(self.whole - self.pos);
            self.pos += take;
            buf = &buf[take..];
            if self.pos == self.whole {
                self.pos = 0;
                done += 1;
            }
        }
        Ok(done)
    }

    fn flush(&mut self, fd: i32, ask: &[u8], len: usize) -> Result<(), String> {
        while self.pending > 0 {
            let end = (self.offset + self.pending).min(ask.len());
            match sys::send(fd, &ask[self.offset..end]) {
                Ok(n) => {
                    self.pending -= n;
                    self.offset = (self.offset + n) % len;
                }
                Err(e) if sys::would_block(&e) => return Ok(()),
                Err(e) => return Err(e.to_string()),
            }
        }
        Ok(())
    }
}

pub fn run(args: &Args) -> Result<(), String> {
    let conns: usize = args.get("conns", 100)?;
    let pipeline: usize = args.get("pipeline", 1)?;
    let phases = crate::phases(args)?;
    let most = phases.most;
    let timeout = crate::wait_ms(args, false)?;
    let (addr, path) = args.url()?;
    let one = format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\n\r\n").into_bytes();
    let ask = one.repeat(pipeline);
    let target = Target {
        addr,
        path,
        upgrade: false,
    };
    let none = Shape {
        size: 0,
        text: false,
        unmasked: false,
    };
    let mut pool = Pool::open(&target, conns, 64, &none, 1, false)?;
    let mut states: Vec<State> = (0..conns).map(|_| State::default()).collect();
    let mut buf = vec![0u8; 256 * 1024];
    let mut hist = Hist::new();
    let (mut count, mut sent) = (0u64, 0u64);
    let mut run = Run::begin(args, &phases)?;
    let mut add = |s: &mut State, fd: i32, n: usize| {
        let n = most.saturating_sub(sent).min(n as u64) as usize;
        sent += n as u64;
        s.sent_at.extend(std::iter::repeat_n(sys::now_ns(), n));
        s.pending += n * one.len();
        s.flush(fd, &ask, one.len())
    };
    for (s, c) in states.iter_mut().zip(&pool.conns) {
        add(s, c.fd, pipeline)?;
    }
    while count < most {
        let n = pool.epoll.wait(timeout).map_err(|e| e.to_string())?;
        if !run.goes_on(sys::now_ns()) {
            break;
        }
        for e in 0..n {
            let i = pool.epoll.token(e);
            let (s, fd) = (&mut states[i], pool.conns[i].fd);
            if pool.epoll.writable(e) {
                s.flush(fd, &ask, one.len())?;
            }
            loop {
                let n = match sys::recv(fd, &mut buf) {
                    Ok(0) => return Err(format!("connection {i} closed by the server")),
                    Ok(n) => n,
                    Err(e) if sys::would_block(&e) => break,
                    Err(e) => return Err(e.to_string()),
                };
                let done = s.feed(&buf[..n])?;
                let now = sys::now_ns();
                for _ in 0..done {
                    let sent = s.sent_at.pop_front().unwrap_or(now);
                    if run.is_measuring() {
                        hist.record(now - sent, 1);
                        count += 1;
                    }
                }
                if done > 0 {
                    add(s, fd, done)?;
                }
                if n < buf.len() {
                    break;
                }
            }
        }
    }
    let mut r = Report::default();
    r.text("mode", "http");
    r.int("conns", conns as u64);
    r.int("pipeline", pipeline as u64);
    run.finish(&mut r, count)?;
    r.quantiles("", &hist);
    r.print();
    Ok(())
}
