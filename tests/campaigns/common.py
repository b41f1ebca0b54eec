"""What the campaigns share: the program, WebSockets as bytes, honest clients, and how figures are judged."""

import multiprocessing
import os
import pathlib
import re
import select
import selectors
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

KIB, MIB = 1 << 10, 1 << 20
# How long an honest client waits for an answer, in seconds.
PATIENCE = 10
TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA


class Wrong(Exception):
    """The server did not do what it should."""


def expect(condition, what):
    if not condition:
        raise Wrong(what)


def say(*words):
    print(*words, flush=True)


def percentile(values, percent):
    """Of those sorted, the one below which so many are."""
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


class Server:
    """One process that prints the addresses it listens on; its log goes to a file."""

    def __init__(self, *command, addresses=1):
        self.log = tempfile.NamedTemporaryFile("w+", prefix="aerys-log-")
        self.process = subprocess.Popen([*map(str, command)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=self.log)
        said, pattern = "", r"(?m)^https?://127\.0\.0\.1:(\d+)/"
        while len(found := re.findall(pattern, said)) < addresses:
            ready = select.select([self.process.stdout], [], [], PATIENCE)[0]
            piece = os.read(self.process.stdout.fileno(), 4096).decode() if ready else ""
            if not piece:
                self.process.kill()
                self.process.wait()
                raise Wrong(f"{command[0]} printed {said!r}, not {addresses} addresses; {self.said()}")
            said += piece
        self.addresses = [("127.0.0.1", int(port)) for port in found]
        self.address = self.addresses[0]

    def said(self):
        """What it logged."""
        return pathlib.Path(self.log.name).read_text(errors="replace")

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = f"{self.process.wait()}: it had to be killed"
        self.process.stdout.close()
        if kind is None:
            expect(status == 0 and "panicked" not in self.said(), f"it ended with exit status {status}\n{self.said()[-2000:]}")

    def proc(self, name):
        return pathlib.Path(f"/proc/{self.process.pid}/{name}").read_text()

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def memory(self):
        """KiB of it: resident, proportional, anonymous."""
        rollup = self.proc("smaps_rollup")
        return tuple(int(re.search(rf"^{name}:\s+(\d+) kB", rollup, re.MULTILINE)[1]) for name in ("Rss", "Pss", "Anonymous"))

    def peak(self):
        return int(re.search(r"VmHWM:\s+(\d+) kB", self.proc("status"))[1])


# WebSockets as bytes. The mask is of zeros: what is masked with it stays as it is.

def header(first, length, mask):
    if length < 126:
        return struct.pack(">BB", first, mask | length)
    if length < 1 << 16:
        return struct.pack(">BBH", first, mask | 126, length)
    return struct.pack(">BBQ", first, mask | 127, length)


def frame(opcode, payload, fin=True):
    """As a client sends it."""
    return header(opcode | (0x80 if fin else 0), len(payload), 0x80) + bytes(4) + payload


def server_frame(opcode, payload):
    return header(opcode | 0x80, len(payload), 0) + payload


def handshake(path):
    return (f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n").encode()


def take_frame(buffer):
    """Takes a whole frame off the front of a bytearray: its opcode and its payload, or None."""
    if len(buffer) < 2:
        return None
    length, begin = buffer[1] & 127, 2
    if length == 126:
        begin = 4
        length = struct.unpack_from(">H", buffer, 2)[0] if len(buffer) >= 4 else 0
    elif length == 127:
        begin = 10
        length = struct.unpack_from(">Q", buffer, 2)[0] if len(buffer) >= 10 else 0
    if len(buffer) < begin + length:
        return None
    opcode, payload = buffer[0] & 15, bytes(buffer[begin:begin + length])
    del buffer[:begin + length]
    return opcode, payload


def take_response(buffer):
    """Takes a whole response with a length off the front: its status, or None."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = bytes(buffer[:end]).decode()
    length = int(re.search(r"(?i)^content-length: *(\d+)", head, re.MULTILINE)[1])
    if len(buffer) < end + 4 + length:
        return None
    del buffer[:end + 4 + length]
    return int(head.split(" ", 2)[1])


def connect(address, source=None, timeout=PATIENCE):
    connection = socket.create_connection(address, timeout, (source, 0) if source else None)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def open_websocket(address, path, source=None):
    """A blocking socket behind the handshake."""
    connection = connect(address, source)
    connection.sendall(handshake(path))
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        piece = connection.recv(1)
        expect(piece, f"no handshake on {path}, but {answer!r}")
        answer += piece
    expect(b" 101 " in answer.split(b"\r\n")[0], f"no handshake on {path}, but {answer!r}")
    return connection


# Honest clients, in a process of their own: each asks, waits for its answer, and asks again. An
# answer that is wrong, late or missing is an error.

class Honest:
    """One client. `echo` and `broadcast` are WebSockets, `http` is GET on a connection that is kept, to be
    answered with `status`."""

    def __init__(self, number, kind, address, source, path, status):
        self.number, self.kind, self.status, self.sent, self.asked = number, kind, status, 0, None
        self.heard, self.buffer, self.message = {}, bytearray(), None
        self.request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        self.socket = connect(address, source) if kind == "http" else open_websocket(address, f"/{kind}", source)
        self.socket.setblocking(False)

    def ask(self, now):
        self.sent += 1
        self.asked = now
        self.message = f"honest {self.number} {self.sent}".encode()
        question = self.request if self.kind == "http" else frame(TEXT, self.message)
        expect(self.socket.send(question) == len(question), "a question was not taken at once")

    def read(self):
        """Whether it has its answer now."""
        piece = self.socket.recv(1 << 18)
        expect(piece, f"the server closed the {self.kind} client {self.number}")
        self.buffer += piece
        if self.kind == "http":
            status = take_response(self.buffer)
            expect(status in (None, self.status), f"status {status}")
            return status is not None
        answered = False
        while (taken := take_frame(self.buffer)) is not None:
            opcode, payload = taken
            if opcode == PING:
                self.socket.send(frame(PONG, payload))
                continue
            expect(opcode == TEXT or opcode == BINARY, f"opcode {opcode} with {payload!r}")
            if self.kind == "echo":
                expect(payload == self.message, f"{payload!r} in place of {self.message!r}")
            elif payload.startswith(b"honest "):
                # Whatever else is said there: of what honest clients say nothing is lost or doubled.
                _, speaker, number = payload.split()
                last = self.heard.get(speaker)
                expect(last is None or int(number) == last + 1, f"{payload!r} behind number {last}")
                self.heard[speaker] = int(number)
            answered |= payload == self.message
        return answered

    def is_late(self, now):
        return self.asked is not None and now - self.asked > PATIENCE


def run_honest(clients, interval, stop, results):
    """Lets these clients ask once each `interval` until `stop` is set."""
    latencies, errors, answers = [], [], 0
    selector = selectors.DefaultSelector()
    begun = time.monotonic()
    due = {}
    for client in clients:
        selector.register(client.socket, selectors.EVENT_READ, client)
        due[client] = begun + interval * client.number / len(clients)

    def failed(client, error):
        errors.append(f"{time.monotonic() - begun:.1f} s: {client.kind} {client.number}: {error}")
        selector.unregister(client.socket)
        client.socket.close()
        del due[client]

    while due and not (stop.is_set() and all(client.asked is None for client in due)):
        now = time.monotonic()
        for client, at in list(due.items()):
            try:
                expect(not client.is_late(now), f"no answer within {PATIENCE} s")
                if client.asked is None and at <= now and not stop.is_set():
                    client.ask(now)
            except (Wrong, OSError) as error:
                failed(client, error)
        wait = min((at for client, at in due.items() if client.asked is None), default=now + 0.1) - now
        for key, _ in selector.select(min(max(wait, 0), 0.1)):
            client = key.data
            try:
                if client.read() and client.asked is not None:
                    now = time.monotonic()
                    latencies.append(now - client.asked)
                    answers += 1
                    due[client] = max(client.asked + interval, now)
                    client.asked = None
            except (Wrong, OSError) as error:
                failed(client, error)
    results.send((latencies, errors))
    results.close()


class HonestClients:
    """So many honest clients of these kinds in a process of their own, from `source`."""

    def __init__(self, address, kinds, source="127.0.0.2", path="/", status=200, interval=0.1):
        clients = [Honest(number, kind, address, source, path, status) for number, kind in enumerate(kinds)]
        self.stopping = multiprocessing.Event()
        self.results, theirs = multiprocessing.Pipe(False)
        self.process = multiprocessing.Process(target=run_honest, args=(clients, interval, self.stopping, theirs), daemon=True)
        self.process.start()
        theirs.close()
        for client in clients:
            client.socket.close()

    def stop(self, limit=None):
        """Ends them and says how it went; without errors, and if `limit` is given in seconds, 99 of 100
        answers within it."""
        self.stopping.set()
        latencies, errors = self.results.recv()
        self.process.join()
        expect(latencies, f"no answer: {errors[:5]}")
        late = percentile(latencies, 99)
        say(f"  honest clients: {len(latencies)} answers, {len(errors)} errors, median {percentile(latencies, 50) * 1e3:.2f} ms, "
            f"99th percentile {late * 1e3:.2f} ms, longest {max(latencies) * 1e3:.1f} ms")
        expect(not errors, f"{len(errors)} errors of honest clients: {errors[:5]}")
        expect(limit is None or late < limit, f"the 99th percentile is {late * 1e3:.1f} ms, not below {(limit or 0) * 1e3:.0f} ms")
        return late


def campaign(usage, main):
    """Runs `main` as a program: exit status 0 as expected, 1 not so, 2 wrong usage."""
    if any(word in ("-h", "--help") for word in sys.argv[1:]) or len(sys.argv) < 2:
        print(usage)
        sys.exit(0 if len(sys.argv) > 1 else 2)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))  # so that servers are stopped then too
    begun = time.monotonic()
    try:
        main()
    except Wrong as wrong:
        say(f"WRONG: {wrong}")
        sys.exit(1)
    say(f"as expected, {time.monotonic() - begun:.0f} s")
