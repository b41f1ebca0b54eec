"""What the parts of tests/faults share: the server, what is sampled of it, its clients, the faults, the cases."""

import collections
import contextlib
import os
import pathlib
import re
import resource
import select
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import time

# How long an answer may take, in seconds: whoever waits that long waits for ever.
PATIENCE = 10
# Of a processor, what a server may take that has nothing to do.
CALM = 0.05
# The same while strace stops it at each of its calls: a loop that spins takes all that strace leaves it.
CALM_AND_TRACED = 0.3
# Has glibc's allocator give large blocks back at once, whatever came before: what is resident then is in use.
GIVES_BACK = {"MALLOC_MMAP_THRESHOLD_": str(128 << 10), "MALLOC_TRIM_THRESHOLD_": str(128 << 10)}
KIB, MIB = 1 << 10, 1 << 20


class Wrong(Exception):
    """The server did not do what it should."""


class Trouble(Exception):
    """The case could not be tried."""


class Skip(Exception):
    """The case does not apply to this machine."""


Case = collections.namedtuple("Case", "title run long")
CASES = []


def case(title, long=False):
    """Makes a function that takes the program a case. It returns what it measured, in one line."""
    def add(run):
        CASES.append(Case(title, run, long))
        return run
    return add


def expect(condition, what):
    if not condition:
        raise Wrong(what)


def wait_until(what, condition, seconds=PATIENCE):
    """Asks again until it is so, for what no answer tells. Returns how long that took."""
    begun = time.monotonic()
    while not condition():
        expect(time.monotonic() < begun + seconds, f"{what}: not within {seconds} s")
        time.sleep(0.01)
    return time.monotonic() - begun


def with_descriptors(count):
    """So many may be open in this process."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < count:
        raise Skip(f"only {hard} files may be open")
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


Sample = collections.namedtuple("Sample", "at processor resident descriptors")


class Server:
    """`aerys serve` with these options, by itself at a free port, for the length of a `with`."""

    def __init__(self, program, *options, listen=("127.0.0.1:0",), environment=None, stderr=None, before=(), wrapped=()):
        self.folder = tempfile.TemporaryDirectory(prefix="aerys-faults-")
        self.root = pathlib.Path(self.folder.name) / "root"
        self.root.mkdir()
        (self.root / "index.html").write_text("a page\n")
        for name, content in before:
            (self.root / name).write_bytes(content)
        self.log = pathlib.Path(self.folder.name) / "log"
        self.command = [*wrapped, program, "serve", "--root", self.root, "--log-level", "debug"]
        for address in listen:
            self.command += ["--listen", address.format(folder=self.folder.name)]
        self.command = [str(part) for part in [*self.command, *options]]
        self.environment, self.stderr = {**os.environ, **GIVES_BACK, **(environment or {})}, stderr
        self.is_encrypted = "--tls-self-signed" in options
        # One for each address, and one for a certificate that it made.
        self.line_count = len(listen) + self.is_encrypted
        self.start()

    def start(self):
        """Starts the process, also once more after it was killed."""
        with self.log.open("a") as log:
            self.process = subprocess.Popen(self.command, bufsize=0, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                            stderr=log if self.stderr is None else self.stderr, env=self.environment)
        self.pid, stdout, said = self.process.pid, self.process.stdout, b""
        while said.count(b"\n") < self.line_count and select.select([stdout], [], [], PATIENCE)[0]:
            piece = stdout.read(1 << 12)
            if not piece:
                break
            said += piece
        found = re.search(r"https?://127\.0\.0\.1:(\d+)/", said.decode())
        if not found or said.count(b"\n") < self.line_count:
            self.kill()
            raise Trouble(f"the server printed {said} and no address; its log: {self.said()[-500:]}")
        self.port = int(found[1])
        # Started once more, it has the same.
        self.command = [part.replace("127.0.0.1:0", f"127.0.0.1:{self.port}") for part in self.command]

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _):
        """Stops it, and judges how it ended: a crash must not hide behind what came before."""
        died = self.process.poll()
        try:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            status = self.process.wait(15)
        except subprocess.TimeoutExpired:
            status = "none: it had to be killed"
        finally:
            self.kill()
            said = self.said()
            self.folder.cleanup()
        if kind is None or died is not None:
            expect(died is None, f"the server ended early with {died}, {f'then: {error}' if error else ''} {said[-500:]}")
            expect(status == 0, f"the server ended with {status}: {said[-500:]}")
            expect("panicked" not in said, f"something panicked: {said[-500:]}")

    def said(self):
        """Its log."""
        return self.log.read_text(errors="replace")

    def count(self, pattern):
        """Lines of its log that have it, as far as they are written."""
        return sum(bool(re.search(pattern, line)) for line in self.said().splitlines())

    def count_all(self, pattern):
        """The same of all that was said up to now: a client that comes now is told of behind it."""
        with Client(self) as client:
            last = f"connected from 127.0.0.1:{client.socket.getsockname()[1]}\n"
            wait_until("the log is written", lambda: last in self.said())
            return self.count(pattern)

    def sample(self):
        process = pathlib.Path("/proc") / str(self.pid)
        fields = (process / "stat").read_text().rpartition(")")[2].split()
        resident = re.search(r"VmRSS:\s+(\d+) kB", (process / "status").read_text())
        expect(resident, "the server is gone")
        ticks = int(fields[11]) + int(fields[12])
        return Sample(time.monotonic(), ticks / os.sysconf("SC_CLK_TCK"), int(resident[1]) * KIB, len(os.listdir(process / "fd")))

    def share(self, seconds=1.0):
        """What it takes of a processor in the next seconds."""
        before = self.sample()
        time.sleep(seconds)
        after = self.sample()
        return (after.processor - before.processor) / (after.at - before.at)

    def is_alive(self):
        return self.process.poll() is None

    def is_traced(self):
        return not re.search(r"TracerPid:\s+0\n", pathlib.Path(f"/proc/{self.pid}/status").read_text())

    def limit(self, kind, soft):
        """Sets one of its limits while it runs; returns what it was."""
        before, hard = resource.prlimit(self.pid, kind)
        resource.prlimit(self.pid, kind, (soft, hard))
        return before

    def stop_still(self):
        """Has it stand still, and waits until it does."""
        self.process.send_signal(signal.SIGSTOP)
        stat = pathlib.Path(f"/proc/{self.pid}/stat")
        wait_until("it stands still", lambda: stat.read_text().rpartition(")")[2].split()[0] in "Tt")

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)


class Faults:
    """Errors of system calls by strace, while it is attached for the length of a `with`. The rules are
    strace's, as `accept4:error=EMFILE:when=2+3`; `also` is seen and left alone."""

    def __init__(self, server, *rules, also=(), path=None):
        self.server, self.lines = server, None
        names = [rule.split(":")[0] for rule in rules]
        self.out = server.log.with_name(f"strace-{time.monotonic_ns()}")
        command = ["strace", "-f", "-q", "-p", str(server.pid), "-o", str(self.out), "-e", "signal=SIGSTOP"]
        command += ["-e", f"trace={','.join([*names, *also])}"]
        command += [part for rule in rules for part in ("-e", f"inject={rule}")]
        command += ["-P", str(path)] if path else []
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        tasks = pathlib.Path(f"/proc/{server.pid}/task")

        def is_attached():
            if self.process.poll() is not None:
                raise Trouble(f"strace: {self.process.stderr.read().decode().strip()}")
            states = [(task / "status").read_text() for task in tasks.iterdir()]
            return all(int(re.search(r"TracerPid:\s+(\d+)", state)[1]) for state in states)
        wait_until("strace is attached", is_attached)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """Detaches, so that all is written. While the server stands still: in the midst of a call that is
        made to fail, the error would be another one (ENOSYS)."""
        if self.process.poll() is None:
            stops = len(self.calls("stopped by SIGSTOP"))
            self.server.process.send_signal(signal.SIGSTOP)
            with contextlib.suppress(Wrong):
                wait_until("it stands still", lambda: len(self.calls("stopped by SIGSTOP")) > stops or not self.server.is_alive())
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stderr.close()
        self.lines = self.calls()
        self.server.go_on()

    def calls(self, pattern=""):
        """The calls that have it, in order; `INJECTED` those that were made to fail."""
        if self.lines is None:
            lines = self.out.read_text(errors="replace").splitlines() if self.out.exists() else []
        else:
            lines = self.lines
        return [line for line in lines if re.search(pattern, line)]

    def injected(self, pattern=""):
        return sum("INJECTED" in line for line in self.calls(pattern))


# WebSocket, as bytes.

HANDSHAKE = ("GET {} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
             "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def masked(payload, mask):
    key = (mask * (len(payload) // 4 + 1))[:len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(len(payload), "big")


def frame(payload, opcode=TEXT, mask=b"\x37\xfa\x21\x3d"):
    """A whole message as a client sends it."""
    length = len(payload)
    if length < 126:
        head = struct.pack(">BB", 0x80 | opcode, 0x80 | length)
    elif length < 1 << 16:
        head = struct.pack(">BBH", 0x80 | opcode, 0xFE, length)
    else:
        head = struct.pack(">BBQ", 0x80 | opcode, 0xFF, length)
    return head + mask + masked(payload, mask)


def cut_frame(received):
    """The first frame of a server, taken off a bytearray: opcode and payload; `None` if it is not whole."""
    if len(received) < 2:
        return None
    at, length = 2, received[1]
    if length >= 126:
        at = 4 if length == 126 else 10
        if len(received) < at:
            return None
        length = int.from_bytes(received[2:at], "big")
    if len(received) < at + length:
        return None
    found = received[0] & 0x0F, bytes(received[at:at + length])
    del received[:at + length]
    return found


class Client:
    """One connection to the server, as plain as can be."""

    def __init__(self, server, receive_buffer=None, path=None, patience=PATIENCE):
        self.received = bytearray()
        self.socket = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        self.socket.settimeout(patience)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(path or ("127.0.0.1", server.port))
        if server.is_encrypted and not path:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self.socket = context.wrap_socket(self.socket)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def reset(self):
        """Closes by RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def more(self, size=1 << 16):
        """Whether more came; not so at the end, however it comes."""
        try:
            piece = self.socket.recv(size)
            while isinstance(self.socket, ssl.SSLSocket) and self.socket.pending():
                # The poll knows nothing of it.
                piece += self.socket.recv(size)
        except (ConnectionError, ssl.SSLError):
            piece = b""
        except TimeoutError as error:
            raise Wrong(f"nothing came for {self.socket.gettimeout()} s") from error
        self.received += piece
        return bool(piece)

    def to_end(self):
        while self.more():
            pass
        return bytes(self.received)

    def upgrade(self, path="/echo"):
        self.send(HANDSHAKE.format(path).encode())
        head = self.head()
        expect(head.startswith("HTTP/1.1 101 "), f"no 101 but {head!r}")
        return self

    def head(self):
        """The head of the next answer; nothing, if the connection ended before."""
        while b"\r\n\r\n" not in self.received:
            if not self.more():
                return ""
        head, _, rest = self.received.partition(b"\r\n\r\n")
        self.received = bytearray(rest)
        return head.decode() + "\r\n"

    def get(self, path="/", *fields):
        """Status, head, and content of an answer; the content is as long as it came."""
        lines = [f"GET {path} HTTP/1.1", "Host: localhost", *fields]
        self.send("".join(f"{line}\r\n" for line in [*lines, ""]).encode())
        return self.answer()

    def answer(self):
        head = self.head()
        length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
        expect(length, f"no answer but {head!r}")
        length = int(length[1])
        while len(self.received) < length and self.more():
            pass
        content = bytes(self.received[:length])
        del self.received[:length]
        return Answer(int(head.split()[1]), head, length, content)

    def message(self):
        """The next message or Close: opcode and payload, or `None` at the end. Pings are answered."""
        while True:
            while (found := cut_frame(self.received)) is None:
                if not self.more():
                    return None
            if found[0] != PING:
                return found
            self.send(frame(found[1], PONG))

    def echo(self, text=b"hello"):
        self.send(frame(text))
        expect(self.message() == (TEXT, text), f"no echo of {text[:20]}")


Answer = collections.namedtuple("Answer", "status head length content")


@contextlib.contextmanager
def clients(server, count, **options):
    """So many connections, closed in the end."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Client(server, **options)) for _ in range(count)]


def serves(server):
    """A new client is served: a page, and a message."""
    with Client(server) as client:
        answer = client.get()
        expect((answer.status, answer.content) == (200, b"a page\n"), f"a new client is answered {answer}")
        client.upgrade().echo()
