//! Thin wrappers over the system calls and /proc files that the generator uses.

use std::fs;
use std::io;
use std::net::SocketAddrV4;

#[inline]
pub fn now_ns() -> u64 {
    let mut ts = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut ts) };
    ts.tv_sec as u64 * 1_000_000_000 + ts.tv_nsec as u64
}

/// Each connection needs a descriptor: as many as the system allows without asking.
pub fn raise_descriptor_limit() {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}

/// Lets timers fire when they are due, not up to 50 microseconds later.
pub fn exact_timers() {
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1usize) };
}

fn check(rc: i32) -> io::Result<i32> {
    if rc < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(rc)
    }
}

pub fn would_block(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::WouldBlock
}

pub struct Epoll {
    fd: i32,
    events: Vec<libc::epoll_event>,
}

impl Epoll {
    pub fn new() -> io::Result<Epoll> {
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        Ok(Epoll {
            fd,
            events: vec![libc::epoll_event { events: 0, u64: 0 }; 1024],
        })
    }

    /// Registers once, edge-triggered, for both directions: an idle socket's
    /// EPOLLOUT fires only after a send that found its buffer full.
    pub fn add(&self, fd: i32, token: u64) -> io::Result<()> {
        let mut ev = libc::epoll_event {
            events: (libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET) as u32,
            u64: token,
        };
        check(unsafe { libc::epoll_ctl(self.fd, libc::EPOLL_CTL_ADD, fd, &mut ev) }).map(|_| ())
    }

    pub fn wait(&mut self, timeout_ms: i32) -> io::Result<usize> {
        let n = unsafe {
            libc::epoll_wait(
                self.fd,
                self.events.as_mut_ptr(),
                self.events.len() as i32,
                timeout_ms,
            )
        };
        match check(n) {
            Ok(n) => Ok(n as usize),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(0),
            Err(e) => Err(e),
        }
    }

    /// As `wait`, with a limit in nanoseconds, kept as exactly as the kernel can.
    pub fn wait_ns(&mut self, timeout_ns: u64) -> io::Result<usize> {
        let limit = libc::timespec {
            tv_sec: (timeout_ns / 1_000_000_000) as libc::time_t,
            tv_nsec: (timeout_ns % 1_000_000_000) as libc::c_long,
        };
        let n = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.fd,
                self.events.as_mut_ptr(),
                self.events.len() as i32,
                &limit as *const libc::timespec,
                std::ptr::null::<libc::sigset_t>(),
                0usize,
            )
        };
        match check(n as i32) {
            Ok(n) => Ok(n as usize),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(0),
            Err(e) => Err(e),
        }
    }

    #[inline]
    pub fn token(&self, i: usize) -> usize {
        self.events[i].u64 as usize
    }

    #[inline]
    pub fn writable(&self, i: usize) -> bool {
        self.events[i].events & libc::EPOLLOUT as u32 != 0
    }
}

fn setopt(fd: i32, level: i32, name: i32, value: i32) {
    let p = &value as *const i32 as *const libc::c_void;
    unsafe { libc::setsockopt(fd, level, name, p, 4) };
}

fn sockaddr(a: SocketAddrV4) -> libc::sockaddr_in {
    let mut sa: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    sa.sin_family = libc::AF_INET as u16;
    sa.sin_port = a.port().to_be();
    sa.sin_addr.s_addr = u32::from_ne_bytes(a.ip().octets());
    sa
}

/// Starts a non-blocking connect from `source` (its port left to the kernel).
pub fn connect(source: SocketAddrV4, target: SocketAddrV4) -> io::Result<i32> {
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let fd = check(unsafe { libc::socket(libc::AF_INET, kind, 0) })?;
    setopt(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1);
    // Close by reset: no TIME_WAIT piles up over thousands of connections.
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    unsafe {
        libc::setsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            &linger as *const _ as *const libc::c_void,
            std::mem::size_of::<libc::linger>() as u32,
        )
    };
    setopt(fd, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1);
    let len = std::mem::size_of::<libc::sockaddr_in>() as u32;
    let from = sockaddr(source);
    check(unsafe { libc::bind(fd, &from as *const _ as *const libc::sockaddr, len) })?;
    let to = sockaddr(target);
    match check(unsafe { libc::connect(fd, &to as *const _ as *const libc::sockaddr, len) }) {
        Ok(_) => Ok(fd),
        Err(e) if e.raw_os_error() == Some(libc::EINPROGRESS) => Ok(fd),
        Err(e) => Err(e),
    }
}

#[inline]
pub fn recv(fd: i32, buf: &mut [u8]) -> io::Result<usize> {
    let n = unsafe { libc::recv(fd, buf.as_mut_ptr() as *mut libc::c_void, buf.len(), 0) };
    if n < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(n as usize)
    }
}

#[inline]
pub fn send(fd: i32, buf: &[u8]) -> io::Result<usize> {
    let p = buf.as_ptr() as *const libc::c_void;
    let n = unsafe { libc::send(fd, p, buf.len(), libc::MSG_NOSIGNAL) };
    if n < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(n as usize)
    }
}

/// CPU time that a process has used so far.
#[derive(Clone, Copy, Default)]
pub struct CpuTime {
    /// Run time of all its threads in nanoseconds (scheduler's account).
    pub run_ns: u64,
    pub user_ticks: u64,
    pub system_ticks: u64,
}

pub fn cpu_time(pid: u32) -> CpuTime {
    let mut t = CpuTime::default();
    if let Ok(dir) = fs::read_dir(format!("/proc/{pid}/task")) {
        for entry in dir.flatten() {
            let text = fs::read_to_string(entry.path().join("schedstat")).unwrap_or_default();
            let first = text.split(' ').next().and_then(|w| w.parse::<u64>().ok());
            t.run_ns += first.unwrap_or(0);
        }
    }
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    if let Some(rest) = stat.rfind(')').map(|i| &stat[i + 2..]) {
        let mut words = rest.split(' ').skip(11);
        t.user_ticks = words.next().and_then(|w| w.parse().ok()).unwrap_or(0);
        t.system_ticks = words.next().and_then(|w| w.parse().ok()).unwrap_or(0);
    }
    t
}

/// This process's own CPU time in nanoseconds.
pub fn own_cpu_ns() -> u64 {
    let mut ts = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut ts) };
    ts.tv_sec as u64 * 1_000_000_000 + ts.tv_nsec as u64
}

#[derive(Clone, Copy, Default, Debug)]
pub struct Memory {
    pub rss: u64,
    pub anonymous: u64,
}

/// Resident bytes of a process, from smaps_rollup.
pub fn memory(pid: u32) -> Memory {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let field = |name: &str| {
        text.lines()
            .find(|l| l.starts_with(name))
            .and_then(|l| l.split_whitespace().nth(1))
            .and_then(|w| w.parse::<u64>().ok())
            .unwrap_or(0)
            * 1024
    };
    Memory {
        rss: field("Rss:"),
        anonymous: field("Anonymous:"),
    }
}
