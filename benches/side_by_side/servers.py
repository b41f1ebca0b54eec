"""What `run`, `syscalls` and `instructions` share: the servers, the scenarios, and how to start them."""

import contextlib
import json
import os
import pathlib
import resource
import shlex
import socket
import subprocess
import time
from typing import NamedTuple, Optional

TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR")
                      or pathlib.Path(__file__).resolve().parent.parent.parent / "target")
ECHO, FAN, HTTP = "/echo", "/broadcast", "/"


class Trouble(Exception):
    """Why one run has no result."""


class Server(NamedTuple):
    command: str                  # {out}, {port}, and {kind} for a server that does one thing only
    paths: dict                   # what it serves of ECHO, FAN and HTTP, and where
    options: tuple = ()           # for wsload
    http_command: Optional[str] = None  # if HTTP is another program
    only_named: bool = False      # not among the default servers
    port: int = 0                 # where it listens, if it does not take {port}

    def serves(self, scenario):
        if scenario.mode == "crowd":
            return {ECHO, FAN} <= self.paths.keys() and "{kind}" not in self.command
        return scenario.path in self.paths


class Scenario(NamedTuple):
    mode: str                     # wsload's
    path: str
    options: str                  # wsload's
    columns: list                 # (field of the result, heading)


def at(*names):
    return {name: name for name in names}


AERYS = "{out}/aerys serve --log-level off"
SERVERS = {
    "aerys": Server(AERYS + " --listen 127.0.0.1:{port}", at(ECHO, FAN, HTTP),
                    http_command="{out}/hello 127.0.0.1:{port}"),
    # Polls on for a millisecond before it sleeps: latency for CPU time.
    "aerys-busy": Server(AERYS + " --busy-poll 1000us --listen 127.0.0.1:{port}", at(ECHO, FAN),
                         only_named=True),
    "floor": Server("{out}/floor {port} {kind}", at(ECHO, FAN), ("--unmasked",)),
    "floor-uring": Server("{out}/floor_uring {port} {kind}", at(ECHO, FAN), ("--unmasked",)),
    "uws": Server("{out}/uws {port}", at(ECHO, FAN, HTTP)),
    "fastwebsockets": Server("{out}/peer-fastwebsockets {port}", at(ECHO, HTTP)),
    "sockudo": Server("{out}/peer-sockudo {port}", at(ECHO, FAN)),
    "sockudo-raw": Server("{out}/peer-sockudo {port}", {ECHO: "/raw"}),
    "wtx": Server("{out}/peer-wtx {port}", at(ECHO)),
    "tungstenite": Server("{out}/peer-tungstenite {port}", at(ECHO, FAN)),
    "ws-rs": Server("{out}/peer-ws-rs {port}", at(ECHO, FAN)),
    "gorilla": Server("{out}/peer-gorilla {port}", at(ECHO, FAN, HTTP)),
    "node-ws": Server("node {out}/node-ws/server.js {port}", at(ECHO, FAN, HTTP)),
    "picows": Server("{out}/venv/bin/python {out}/picows_server.py {port}", at(ECHO, FAN)),
}

RATE = ("per_sec", "rate")
CPU = ("server_cpu_us_per", "CPU µs")
P50 = ("p50_us", "p50 µs")
P99 = ("p99_us", "p99 µs")
P999 = ("p999_us", "p99.9 µs")
LAST50 = ("last_p50_us", "last p50 µs")
LAST99 = ("last_p99_us", "last p99 µs")
IDLE = [("rss_bytes_per_conn", "RSS B/conn"), ("handshakes_per_sec", "handshakes/s"),
        ("server_cpu_us_per", "CPU µs/handshake")]
SCENARIOS = {
    "echo-1": Scenario("echo", ECHO, "--conns 1 --size 20 --spin 1", [P50, P99, P999, CPU]),
    "echo-100x20": Scenario("echo", ECHO, "--conns 100 --size 20", [RATE, CPU, P50, P99]),
    "echo-100x1k": Scenario("echo", ECHO, "--conns 100 --size 1024", [RATE, CPU, P50, P99]),
    "echo-100x16k": Scenario("echo", ECHO, "--conns 100 --size 16384", [RATE, CPU, P50, P99]),
    "echo-100x20-p16": Scenario("echo", ECHO, "--conns 100 --size 20 --pipeline 16",
                                [RATE, CPU, P50, P99]),
    "open-20k": Scenario("latency", ECHO, "--conns 100 --size 128 --rate 20000",
                         [P50, P99, P999, CPU]),
    "fan-1000x64": Scenario("broadcast", FAN, "--conns 1000 --size 64", [RATE, CPU, LAST50, LAST99]),
    "fan-1000x64-w8": Scenario("broadcast", FAN, "--conns 1000 --size 64 --outstanding 8",
                               [RATE, CPU, LAST50, LAST99]),
    "fan-5000x1k": Scenario("broadcast", FAN, "--conns 5000 --size 1024",
                            [RATE, CPU, LAST50, LAST99]),
    "idle-10k": Scenario("idle", ECHO, "--conns 10000", IDLE),
    "idle-18k": Scenario("idle", ECHO, "--conns 18000", IDLE),
    # Echoes of 100 clients, while 18,000 others get a broadcast a second. Over within the ten
    # seconds after which aerys pings who is silent, as the others do later or never.
    "crowd-18k": Scenario(
        "crowd", ECHO, "--conns 100 --size 64 --rate 1000 --spin 0 --secs 6",
        [P50, P99, P999, ("server_cpu_us_per", "CPU µs/delivery"), ("deliveries", "deliveries"),
         ("missing", "missing"), ("last_p50_us", "last p50 µs")]),
    "http-100": Scenario("http", HTTP, "--conns 100", [RATE, CPU, P50, P99]),
    "http-100-p16": Scenario("http", HTTP, "--conns 100 --pipeline 16", [RATE, CPU, P50, P99]),
}


def raise_descriptor_limit():
    """For the servers, which inherit it: 18,000 clients need as many descriptors."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def add_arguments(parser, peers=None, only=None, out="side_by_side"):
    peers = peers or ",".join(name for name, server in SERVERS.items() if not server.only_named)
    parser.add_argument("--out", default=str(TARGET / out), help="where `build` put the programs")
    parser.add_argument("--peers", default=peers, metavar="A,B",
                        help=f"servers of {', '.join(SERVERS)}; or 'none' (default: {peers})")
    parser.add_argument("--server", action="append", default=[], metavar="NAME=COMMAND",
                        help="a further server; {port} in COMMAND is replaced")
    parser.add_argument("--port", type=int, default=0, help="port of a --server without {port}")
    parser.add_argument("--path", default=ECHO, help="echo path of every --server")
    parser.add_argument("--broadcast-path", default=FAN, help="broadcast path of every --server")
    parser.add_argument("--http-path", default=HTTP, help="HTTP path of every --server")
    parser.add_argument("--only", default=only or ",".join(SCENARIOS), metavar="A,B",
                        help="scenarios (default: %(default)s)")


def selected(parser, args, known=None):
    """The servers and the scenarios that the arguments name. What was not built is left out."""
    raise_descriptor_limit()
    args.out = str(pathlib.Path(args.out).resolve())
    servers, left_out = {}, []
    for name in args.peers.split(","):
        if name == "none":
            continue
        if name not in SERVERS:
            parser.error(f"no server {name}, but {', '.join(SERVERS)}")
        if is_built(SERVERS[name], args.out):
            servers[name] = SERVERS[name]
        else:
            left_out.append(name)
    for given in args.server:
        name, _, command = given.partition("=")
        if not command:
            parser.error(f"--server {given}: NAME=COMMAND is wanted")
        paths = {ECHO: args.path, FAN: args.broadcast_path, HTTP: args.http_path}
        servers[name] = Server(command, paths, port=0 if "{port}" in command else args.port)
    scenarios = args.only.split(",")
    for name in scenarios:
        if name not in (known or SCENARIOS):
            parser.error(f"no scenario {name}, but {', '.join(known or SCENARIOS)}")
    if not os.path.exists(f"{args.out}/wsload"):
        parser.error(f"no load generator in {args.out}: run `build` first, or name its --out")
    if left_out:
        print(f"not built, so left out: {', '.join(left_out)}\n", flush=True)
    return servers, scenarios


def is_built(server, out):
    commands = f"{server.command} {server.http_command or ''}".split()
    return all(os.path.exists(word.format(out=out)) for word in commands if "{out}" in word)


@contextlib.contextmanager
def started(server, scenario, out, port, prefix=()):
    """The server, on core 0, until the end of the `with`: its process and its port."""
    port = server.port or port
    command = server.http_command if scenario.path == HTTP and server.http_command else server.command
    line = command.format(out=out, port=port, kind="fanout" if scenario.path == FAN else "echo")
    process = subprocess.Popen(["taskset", "-c", "0", *prefix, *shlex.split(line)],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_port(port, process)
        time.sleep(0.2)
        yield process, port
    finally:
        process.kill()
        process.wait()


def wait_port(port, process):
    end = time.time() + 20
    while time.time() < end:
        if process.poll() is not None:
            raise Trouble(f"the server ended with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise Trouble("the server does not listen")


def wsload(out, mode, server, path, port):
    """The start of a load generator's command, on core 1."""
    scheme = "http" if mode == "http" else "ws"
    return ["taskset", "-c", "1", f"{out}/wsload", mode,
            "--url", f"{scheme}://127.0.0.1:{port}{server.paths[path]}", *server.options]


def result(command, timeout=120):
    """What the load generator says."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired as error:
        raise Trouble(f"the load generator did not end within {timeout} s") from error
    if done.returncode:
        raise Trouble(done.stderr.strip()[-200:])
    return json.loads(done.stdout)


def busy_seconds():
    """Processor time of all there is, in seconds."""
    with open("/proc/stat", encoding="ascii") as f:
        w = [int(x) for x in f.readline().split()[1:9]]
    return (sum(w) - w[3] - w[4]) / os.sysconf("SC_CLK_TCK")  # all but idle and iowait


def wait_quiet(limit, patience):
    """Waits until all cores together are at most `limit` percent busy."""
    end = time.time() + patience
    while True:
        busy, began = busy_seconds(), time.time()
        time.sleep(0.25)
        if (busy_seconds() - busy) / (time.time() - began) / os.cpu_count() * 100 <= limit or time.time() > end:
            return


def children_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def worker_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        return int(f.readline().split()[0])


def process_seconds(pid):
    """Processor time of all threads of a process, in seconds."""
    nanos = 0
    for thread in pathlib.Path(f"/proc/{pid}/task").iterdir():
        nanos += int((thread / "schedstat").read_text(encoding="ascii").split()[0])
    return nanos / 1e9


@contextlib.contextmanager
def pinned(words, port, has_worker):
    """A server on core 0; the number of the process that works."""
    process = subprocess.Popen(["taskset", "-c", "0", *words.split()],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_port(port, process)
        time.sleep(0.2)
        if process.poll() is not None:  # another one listens there
            raise Trouble(f"the server ended with {process.returncode}")
        yield worker_of(process.pid) if has_worker else process.pid
    finally:
        process.terminate()  # nginx ends its worker
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def quietest(args, measure):
    """The least disturbed of a few runs."""
    best = None
    for _ in range(1 + args.retries):
        wait_quiet(args.quiet, args.patience)
        run = measure()
        if best is None or run.noise < best.noise:
            best = run
        if run.noise <= args.max_noise:
            break
    return best
