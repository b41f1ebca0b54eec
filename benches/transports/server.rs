//! The server: all transports of one program, and the account of what its thread has used.

use crate::echo_handler::Echo;
use crate::figures::Measured;
use crate::{Settings, pin};
use aerys::{
    ClientId, Endpoint, Handle, Host, Message, RemoteEndpoint, Request, Response, Router, Server,
    Tls, WebSocketConfig, WebSocketHandler, respond, websocket,
};
use rustix::process::{Pid, Signal, kill_process};
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What a GET of `/` is answered.
pub(crate) const HELLO: &[u8] = b"Hello, World!";

/// Says nothing by itself: broadcasts come from the bench's thread.
struct Fan;

impl WebSocketHandler for Fan {
    type HandshakeData = ();

    fn on_handshake(&mut self, _: &Request, _: &mut Response) -> Option<()> {
        Some(())
    }

    fn on_data(&mut self, _: ClientId, _: Message<'_>) {}
}

/// Where a server listens.
#[derive(Clone, Copy)]
pub(crate) struct Addresses {
    pub(crate) plain: SocketAddr,
    pub(crate) tls: SocketAddr,
}

/// The server with its three routes; `started` is told of it before it runs.
fn serve(started: impl FnOnce(Addresses, Handle, RemoteEndpoint)) {
    // Clients of benches answer no pings.
    let config = || WebSocketConfig {
        heartbeat: None,
        ..WebSocketConfig::default()
    };
    let fan = websocket(|_: Endpoint| Fan).config(config());
    let remote = fan.endpoint().remote();
    let router = Router::new()
        .get("/echo", websocket(|ws| Echo { ws }).config(config()))
        .get("/fan", fan)
        .get(
            "/",
            respond(|_, response| {
                response.end(HELLO);
            }),
        );
    let tls = Tls::self_signed(&["localhost"]).expect("a certificate");
    let host = Host::new()
        .listen("http://127.0.0.1:0")
        .listen("https://127.0.0.1:0")
        .tls(tls)
        .add(router);
    let bound = Server::new().host(host).bind().expect("free ports");
    let at = |index: usize| {
        let address = bound.addresses()[index].socket_addr();
        address.expect("a TCP socket")
    };
    let addresses = Addresses {
        plain: at(0),
        tls: at(1),
    };
    started(addresses, bound.handle(), remote);
    bound.run().expect("a graceful stop");
}

/// A server on a thread of its own, stopped on drop.
pub(crate) struct Running {
    pub(crate) addresses: Addresses,
    pub(crate) fan: RemoteEndpoint,
    account: Account,
    counts_calls: bool,
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    pub(crate) fn start(settings: &Settings) -> Self {
        let (sender, receiver) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            pin(0);
            let this = std::fs::read_link("/proc/thread-self").expect("Linux");
            let account = Account::of(&Path::new("/proc").join(this));
            serve(|addresses, handle, fan| {
                sender
                    .send((addresses, fan, account, handle))
                    .expect("the bench waits");
            });
        });
        let (addresses, fan, account, handle) = receiver.recv().expect("the server starts");
        Self {
            addresses,
            fan,
            account,
            counts_calls: settings.counts_calls,
            handle,
            thread: Some(thread),
        }
    }

    /// What `count` units of `work` take.
    pub(crate) fn measure(&self, count: usize, work: impl FnOnce()) -> Measured {
        let calls = self.counts_calls.then(|| Calls::count(&self.account));
        let (before, began) = (self.account.settled(), Instant::now());
        work();
        let elapsed = began.elapsed();
        Measured {
            count,
            elapsed,
            processor: self.account.settled().saturating_sub(before),
            calls: calls.map(Calls::so_far),
        }
    }
}

/// Clients must be dropped before, or it waits for their closing handshakes.
impl Drop for Running {
    fn drop(&mut self) {
        self.handle.stop();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server stops");
        }
    }
}

/// The processor time of a thread or a process of one thread, on the scheduler's account.
struct Account(PathBuf);

impl Account {
    fn of(folder: &Path) -> Self {
        Self(folder.join("schedstat"))
    }

    fn read(&self) -> Duration {
        let account = std::fs::read_to_string(&self.0).expect("a thread that runs");
        let nanos = account.split(' ').next().and_then(|word| word.parse().ok());
        Duration::from_nanos(nanos.expect("a number"))
    }

    /// The same when the thread has nothing to do any more: what a running one has used is
    /// written down late.
    fn settled(&self) -> Duration {
        let mut last = self.read();
        loop {
            std::thread::sleep(Duration::from_millis(2));
            let now = self.read();
            if now == last {
                return now;
            }
            last = now;
        }
    }
}

/// System calls of a thread from now on, as perf counts them.
struct Calls(Child);

impl Calls {
    fn count(account: &Account) -> Self {
        let thread = account.0.iter().rev().nth(1).expect("its number");
        let perf = Command::new("perf")
            .args(["stat", "-x", ",", "-e", "raw_syscalls:sys_enter", "-t"])
            .arg(thread)
            .stderr(Stdio::piped())
            .spawn()
            .expect("perf: apt-get install linux-perf");
        // It does not say when it has begun.
        std::thread::sleep(Duration::from_millis(500));
        Self(perf)
    }

    fn so_far(self) -> u64 {
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a number"), Signal::INT).expect("it counts");
        let said = self.0.wait_with_output().expect("it ends").stderr;
        let said = String::from_utf8_lossy(&said);
        let count = said.split(',').next().and_then(|word| word.parse().ok());
        count.unwrap_or_else(|| panic!("perf, which needs to be root: {said}"))
    }
}

/// A server that is a process of its own, so that its memory can be told from that of its clients.
pub(crate) struct Process {
    pub(crate) addresses: Addresses,
    account: Account,
    child: Child,
}

/// What [`Process`] runs: ends with its standard input.
pub(crate) fn serve_as_process() {
    pin(0);
    serve(|addresses, handle, _| {
        println!("{} {}", addresses.plain, addresses.tls);
        std::thread::spawn(move || {
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            handle.stop();
        });
    });
}

impl Process {
    pub(crate) fn start() -> Self {
        let this = std::env::current_exe().expect("a path");
        let mut child = Command::new(this)
            .arg("serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program");
        let mut said = String::new();
        let mut output = child.stdout.take().expect("a pipe");
        while !said.ends_with('\n') {
            let mut byte = [0];
            output.read_exact(&mut byte).expect("its addresses");
            said.push(byte[0].into());
        }
        let mut addresses = said.split_whitespace().map(str::parse);
        let mut next = || addresses.next().expect("two").expect("an address");
        Self {
            addresses: Addresses {
                plain: next(),
                tls: next(),
            },
            account: Account::of(Path::new(&format!("/proc/{}", child.id()))),
            child,
        }
    }

    /// Its memory that is resident, in bytes, when it has nothing to do any more.
    pub(crate) fn resident_bytes(&self) -> usize {
        self.account.settled();
        let path = format!("/proc/{}/smaps_rollup", self.child.id());
        let rollup = std::fs::read_to_string(path).expect("a process that runs");
        let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        1024 * kib.and_then(|kib| kib.parse::<usize>().ok()).expect("kB")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().expect("it ends");
    }
}
