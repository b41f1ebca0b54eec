"""What the parts of tests/http2 share: frames and field blocks as bytes, the server, the cases."""

import collections
import enum
import fnmatch
import pathlib
import random
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
KIB, MIB = 1 << 10, 1 << 20
# How long an answer may take, in seconds, and a whole case.
PATIENCE, CASE_LIMIT = 8, 60
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
MAX_WINDOW = (1 << 31) - 1
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY_FLAG = 0x1, 0x1, 0x4, 0x8, 0x20


class Wrong(Exception):
    """The server did not do what it should."""


class Trouble(Exception):
    """The case could not be tried."""


class Skip(Exception):
    """The case does not apply to this server."""


class Kind(enum.IntEnum):
    DATA = 0x0
    HEADERS = 0x1
    PRIORITY = 0x2
    RST_STREAM = 0x3
    SETTINGS = 0x4
    PUSH_PROMISE = 0x5
    PING = 0x6
    GOAWAY = 0x7
    WINDOW_UPDATE = 0x8
    CONTINUATION = 0x9


class Error(enum.IntEnum):
    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    INTERNAL_ERROR = 0x2
    FLOW_CONTROL_ERROR = 0x3
    SETTINGS_TIMEOUT = 0x4
    STREAM_CLOSED = 0x5
    FRAME_SIZE_ERROR = 0x6
    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    COMPRESSION_ERROR = 0x9
    CONNECT_ERROR = 0xA
    ENHANCE_YOUR_CALM = 0xB
    INADEQUATE_SECURITY = 0xC
    HTTP_1_1_REQUIRED = 0xD


class Setting(enum.IntEnum):
    HEADER_TABLE_SIZE = 0x1
    ENABLE_PUSH = 0x2
    MAX_CONCURRENT_STREAMS = 0x3
    INITIAL_WINDOW_SIZE = 0x4
    MAX_FRAME_SIZE = 0x5
    MAX_HEADER_LIST_SIZE = 0x6
    ENABLE_CONNECT_PROTOCOL = 0x8


Frame = collections.namedtuple("Frame", "kind flags stream payload")


def expect(condition, what):
    if not condition:
        raise Wrong(what)


def name_of(code):
    return Error(code).name if code in iter(Error) else f"0x{code:x}"


# Frames as bytes. None of these refuses anything.

def frame(kind, flags=0, stream=0, payload=b"", length=None):
    length = len(payload) if length is None else length
    return struct.pack(">BHBBL", length >> 16, length & 0xFFFF, kind, flags, stream) + payload


def settings(*pairs, flags=0, stream=0):
    return frame(Kind.SETTINGS, flags, stream, b"".join(struct.pack(">HL", *pair) for pair in pairs))


def window_update(stream, increment):
    return frame(Kind.WINDOW_UPDATE, 0, stream, struct.pack(">L", increment))


def rst_stream(stream, code=Error.CANCEL):
    return frame(Kind.RST_STREAM, 0, stream, struct.pack(">L", code))


def ping(payload=b"8 octets", flags=0):
    return frame(Kind.PING, flags, 0, payload)


def priority(stream, on=0, weight=15):
    return frame(Kind.PRIORITY, 0, stream, struct.pack(">LB", on, weight))


def headers(stream, block, end=True, flags=END_HEADERS):
    return frame(Kind.HEADERS, flags | (END_STREAM if end else 0), stream, block)


def continuation(stream, block, flags=END_HEADERS):
    return frame(Kind.CONTINUATION, flags, stream, block)


def data(stream, payload=b"", end=False, flags=0):
    return frame(Kind.DATA, flags | (END_STREAM if end else 0), stream, payload)


def padded(payload, length):
    """The payload of a frame with the PADDED flag, and so many bytes of padding."""
    return bytes([length]) + payload + bytes(length)


# Field blocks, without a table and without a check.

def integer(value, bits, first=0):
    """RFC 7541 section 5.1."""
    limit = (1 << bits) - 1
    if value < limit:
        return bytes([first | value])
    encoded, value = bytearray([first | limit]), value - limit
    while value >= 128:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def string(text):
    return integer(len(text), 7) + text


def octets(text):
    return text if isinstance(text, bytes) else str(text).encode()


def literal(name, value, first=0x00):
    """RFC 7541 section 6.2 with a name of its own; 0x00 unindexed, 0x10 never, 0x40 to be indexed."""
    return bytes([first]) + string(octets(name)) + string(octets(value))


def block(*fields):
    return b"".join(literal(*field) for field in fields)


def request(path="/small.txt", *more, method="GET", scheme="http", authority="localhost"):
    """The fields of a request; a pseudo-header field that is None is left out."""
    pseudo = {":method": method, ":scheme": scheme, ":authority": authority, ":path": path}
    return [field for field in pseudo.items() if field[1] is not None] + list(more)


# The server.

SMALL = b"small\n"
LARGE = random.Random(2).randbytes(10 * MIB)


def make_root(folder):
    """The files that all parts ask for."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (("small.txt", SMALL), ("hundred.txt", bytes(range(32, 82)) * 2),
                          ("medium.bin", LARGE[:300_000]), ("large.bin", LARGE)):
        path = folder / name
        if not path.exists() or path.stat().st_size != len(content):
            path.write_bytes(content)
    return folder


class Server:
    """`aerys serve` with these options on a free port, or one that runs already."""

    def __init__(self, suite, *options):
        self.process, self.stopping = None, False
        if suite.at:
            if options:
                raise Skip("needs a server of its own")
            self.address = suite.at
            return
        command = [suite.program, "serve", "--listen", "127.0.0.1:0", "--log-level", "warn",
                   "--root", str(suite.root), *map(str, options)]
        self.log = tempfile.TemporaryFile("w+")
        try:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                            stderr=self.log, text=True)
        except OSError as error:
            raise Trouble(f"cannot start {suite.program}: {error}") from error
        line = ""
        if select.select([self.process.stdout], [], [], PATIENCE)[0]:
            line = self.process.stdout.readline()
        found = re.search(r"https?://127\.0\.0\.1:(\d+)/", line)
        if not found:
            self.process.kill()
            self.process.wait()
            raise Trouble(f"the server did not print its address, but {line!r}\n{self.said()}")
        self.address = ("127.0.0.1", int(found[1]))

    def __enter__(self):
        return self

    def __exit__(self, _, error, __):
        try:
            self.stop()
        except Wrong as wrong:
            raise wrong from error

    def said(self):
        """What it logged."""
        self.log.seek(0)
        return self.log.read()

    def runs(self):
        return self.process is None or self.process.poll() is None

    def terminate(self):
        self.stopping = True
        self.process.terminate()

    def stop(self, terminate=True):
        """Stops it, or waits until it has stopped, and judges how it ended."""
        if self.process is None:
            return
        died = terminate and self.process.poll()
        if terminate:
            self.process.terminate()
        try:
            status = self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = f"{self.process.wait()}: it had to be killed"
        self.process.stdout.close()
        said = self.said()
        expect(not died and status == 0 and "panicked" not in said,
               f"the server ended with exit status {status}{' on its own' if died else ''}\n{said[-2000:]}")

    def memory(self):
        """Its resident memory in bytes."""
        if self.process is None:
            return 0
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)[1]) * KIB


# The cases.

CASES = []


def case(section, name, *options):
    """Registers a function of a server that was started with `options`; it may return what happened."""
    def register(function):
        CASES.append((section, name, options, function))
        return function
    return register


class Suite:
    """The cases of one file: PROGRAM [PATTERN...], or --at HOST:PORT [PATTERN...]."""

    def __init__(self, usage, arguments):
        self.at, self.program, self.patterns = None, None, arguments[1:]
        if arguments[:1] == ["--at"] and len(arguments) > 1:
            host, port = arguments[1].rsplit(":", 1)
            self.at, self.patterns = (host, int(port)), arguments[2:]
        elif arguments and not arguments[0].startswith("-"):
            self.program = arguments[0]
        else:
            print(usage, file=sys.stderr)
            sys.exit(2)
        self.servers, self.counts = {}, {"ok": 0, "FAIL": 0, "skip": 0}

    def server(self, options):
        """One for all cases with these options; another if it died."""
        if options in self.servers and not self.servers[options].runs():
            del self.servers[options]
        if options not in self.servers:
            self.servers[options] = Server(self, *options)
        return self.servers[options]

    def run(self):
        signal.signal(signal.SIGALRM, too_long)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))  # so that servers are stopped then too
        begun = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            self.root = make_root(pathlib.Path(folder))
            try:
                for section, name, options, function in CASES:
                    title = f"{section} {name}"
                    if not self.patterns or any(fnmatch.fnmatch(title, f"{one}*") for one in self.patterns):
                        self.attempt(title, self.one, options, function)
            finally:
                for options, server in self.servers.items():
                    self.attempt(" ".join(("the server", *map(str, options))), server.stop)
        print(f"{self.counts['ok']} passed, {self.counts['FAIL']} failed, {self.counts['skip']} skipped, "
              f"{time.monotonic() - begun:.0f} s")
        return 1 if self.counts["FAIL"] or not self.counts["ok"] else 0

    def one(self, options, function):
        server = self.server(options)
        said = function(server)
        expect(server.stopping or server.runs(), f"the server died\n{server.said()[-2000:] if server.process else ''}")
        return said

    def attempt(self, title, function, *arguments):
        signal.alarm(CASE_LIMIT)
        try:
            verdict, said = "ok", function(*arguments)
        except Skip as skip:
            verdict, said = "skip", skip
        except (Wrong, OSError) as error:
            verdict, said = "FAIL", error if isinstance(error, Wrong) else repr(error)
        finally:
            signal.alarm(0)
        self.counts[verdict] += 1
        print(f"{verdict:4} {title}{f': {said}' if said else ''}", flush=True)


def too_long(*_):
    raise Wrong(f"the case was not over after {CASE_LIMIT} s")


def main(usage):
    try:
        sys.exit(Suite(usage, sys.argv[1:]).run())
    except Trouble as trouble:
        print(f"TROUBLE: {trouble}", file=sys.stderr)
        sys.exit(3)
