"""The crowd of the soak: clients of every kind who come, do what theirs do, and leave; one thread serves them all.

A kind is a class: `start` when it is connected, `on_due` when its time has come (it returns after how many
seconds that is again), `on_bytes` with what it reads. Who is wrongly answered says so in `Crowd.wrong`.
"""

import collections
import heapq
import itertools
import random
import selectors
import socket
import ssl
import struct
import time

from common import BINARY, CLOSE, KIB, PING, PONG, TEXT, Wrong, connect, expect, frame, handshake, take_frame, take_response

# Seconds that an answer may take: the machine may be busy with the crowd itself.
ANSWER = 20


class Member:
    """One client. It leaves after a time of its own, in one of three ways."""

    secure, reads, mean_life = False, True, 40

    def __init__(self, crowd):
        self.crowd, self.buffer, self.waiting = crowd, bytearray(), None
        source = f"127.0.0.{random.randint(3, 30)}"
        self.socket = connect(crowd.tls if self.secure else crowd.plain, source)
        if self.secure:
            self.socket = crowd.context.wrap_socket(self.socket, server_hostname="localhost")
        self.socket.setblocking(False)
        self.ends = time.monotonic() + random.expovariate(1 / self.mean_life)

    def start(self):
        return random.uniform(0, 2)

    def send(self, data):
        """As much as the socket takes; who takes too little of its own leaves."""
        sent = self.socket.send(data)
        expect(sent == len(data) or not self.reads, "what was sent was not taken")

    def on_readable(self):
        while True:
            try:
                piece = self.socket.recv(1 << 16)
            except (BlockingIOError, ssl.SSLWantReadError):
                return
            if not piece:
                self.on_eof()
                raise ConnectionAbortedError
            self.buffer += piece
            self.on_bytes()
            if len(piece) < 1 << 14 and not self.secure:
                return

    def on_eof(self):
        raise Wrong("the server closed")

    def is_waiting(self):
        """Whether an answer is outstanding, which must not take too long."""
        if self.waiting is not None:
            expect(time.monotonic() < self.waiting[0] + ANSWER, f"no answer within {ANSWER} s")
        return self.waiting is not None

    def await_answer(self, answer):
        self.waiting = (time.monotonic(), answer)

    def leave(self):
        """By a FIN, a reset, or what is polite."""
        way = random.randrange(3)
        if way == 0 and not self.secure:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif way == 1:
            try:
                self.say_good_bye()
            except (OSError, Wrong):
                pass
        self.socket.close()

    def say_good_bye(self):
        self.socket.shutdown(socket.SHUT_WR)


class WebSocket(Member):
    """Answers Pings; what else comes is for `on_frame`."""

    path, is_open = "/echo", False

    def start(self):
        self.send(handshake(self.path))
        return super().start()

    def on_bytes(self):
        if not self.is_open:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            expect(self.buffer.startswith(b"HTTP/1.1 101 "), f"no handshake, but {bytes(self.buffer[:60])}")
            del self.buffer[:end + 4]
            self.is_open = True
        self.take_frames(self.buffer)

    def take_frames(self, buffer):
        while (taken := take_frame(buffer)) is not None:
            if taken[0] == PING:
                self.send_frame(PONG, taken[1])
            else:
                self.on_frame(*taken)

    def send_frame(self, opcode, payload):
        self.send(frame(opcode, payload))

    def on_frame(self, opcode, payload):
        expect(opcode in (TEXT, BINARY), f"opcode {opcode}, {payload[:60]}")

    def say_good_bye(self):
        self.send_frame(CLOSE, b"\x03\xe8")


class Echo(WebSocket):
    def on_due(self):
        if self.is_open and not self.is_waiting():
            payload = random.randbytes(random.choice((3, 30, 300, 3000)))
            self.await_answer(payload)
            self.send_frame(BINARY, payload)
        return random.uniform(1, 5)

    def on_frame(self, opcode, payload):
        expect(self.waiting and payload == self.waiting[1], "another message came back")
        self.waiting = None
        self.crowd.counts["answers"] += 1


class SecureEcho(Echo):
    secure = True


class Chat(WebSocket):
    """Says something now and then, and hears what all say."""

    path = "/chat"

    def on_due(self):
        if self.is_open:
            self.send_frame(TEXT, b"hello from the crowd")
        return random.uniform(10, 40)

    def on_frame(self, opcode, payload):
        super().on_frame(opcode, payload)
        self.crowd.counts["heard"] += 1


class Speaker(Chat):
    path = "/broadcast"

    def on_due(self):
        if self.is_open:
            self.send_frame(TEXT, b"noise" * 100)
        return random.uniform(10, 40)


class Staller(WebSocket):
    """Joins and never reads: pinged, and closed sooner or later."""

    path, reads = "/broadcast", False

    def on_due(self):
        return 1000


class Http(Member):
    requests = (("GET", "/", 200), ("GET", "/nothing", 404), ("POST", "/echo", 405))

    def on_due(self):
        if not self.is_waiting():
            self.ask(*random.choice(self.requests))
        return random.uniform(0.5, 3)

    def ask(self, method, path, status):
        body = b"some body" if method == "POST" else b""
        self.await_answer(status)
        self.send(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

    def on_bytes(self):
        while (status := take_response(self.buffer)) is not None:
            expect(self.waiting and status == self.waiting[1], f"status {status}")
            self.waiting = None
            self.crowd.counts["answers"] += 1


def h2_frame(kind, flags, stream, payload=b""):
    return struct.pack(">BHBBL", 0, len(payload), kind, flags, stream) + payload


def field(name, value):
    """RFC 7541 section 6.2.2, both in plain."""
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


DATA, HEADERS, RST_STREAM, SETTINGS, H2_PING, GOAWAY, WINDOW_UPDATE = 0x0, 0x1, 0x3, 0x4, 0x6, 0x7, 0x8
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + h2_frame(SETTINGS, 0, 0)
GET = b"".join(field(*one) for one in ((b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"localhost"), (b":path", b"/")))
CONNECT = b"".join(field(*one) for one in ((b":method", b"CONNECT"), (b":protocol", b"websocket"), (b":scheme", b"http"),
                                           (b":authority", b"localhost"), (b":path", b"/echo"), (b"sec-websocket-version", b"13")))


class Http2(Member):
    """A request at a time, each on a stream of its own, some of them cancelled."""

    stream = -1

    def start(self):
        self.send(PREFACE)
        return super().start()

    def on_due(self):
        if not self.is_waiting():
            self.stream += 2
            self.send(h2_frame(HEADERS, 0x5, self.stream, GET))
            if random.random() < 0.05:
                self.send(h2_frame(RST_STREAM, 0, self.stream, struct.pack(">L", 8)))
            else:
                self.await_answer(self.stream)
        return random.uniform(0.5, 3)

    def on_bytes(self):
        while len(self.buffer) >= 9:
            high, low, kind, flags, stream = struct.unpack_from(">BHBBL", self.buffer)
            length = high << 16 | low
            if len(self.buffer) < 9 + length:
                return
            payload = bytes(self.buffer[9:9 + length])
            del self.buffer[:9 + length]
            if kind in (SETTINGS, H2_PING) and not flags & 1:
                self.send(h2_frame(kind, 1, 0, payload if kind == H2_PING else b""))
            elif kind == DATA and payload:
                self.send(h2_frame(WINDOW_UPDATE, 0, 0, struct.pack(">L", length)))
                self.on_data(stream, payload)
            expect(kind != GOAWAY or not self.waiting, f"GOAWAY {payload}")
            if kind == HEADERS:
                expect(payload[0] == 0x88, f"no 200, but {payload[:20]}")
                self.on_headers()
            if kind in (DATA, HEADERS) and flags & 1:
                self.on_end(stream)

    def on_data(self, stream, payload):
        self.crowd.counts["bytes over HTTP/2"] += len(payload)

    def on_headers(self):
        pass

    def on_end(self, stream):
        if self.waiting:
            expect(stream <= self.waiting[1], f"an answer on stream {stream}")
            if stream == self.waiting[1]:
                self.waiting = None
                self.crowd.counts["answers"] += 1

    def say_good_bye(self):
        self.send(h2_frame(GOAWAY, 0, 0, bytes(8)))


class Http2Echo(Http2, Echo):
    """A WebSocket in a stream (RFC 8441)."""

    def __init__(self, crowd):
        super().__init__(crowd)
        self.messages = bytearray()

    def start(self):
        self.send(PREFACE + h2_frame(HEADERS, 0x4, 1, CONNECT))
        return random.uniform(0, 2)

    def on_due(self):
        return Echo.on_due(self)

    def on_headers(self):
        self.is_open = True

    def on_data(self, stream, payload):
        self.send(h2_frame(WINDOW_UPDATE, 0, stream, struct.pack(">L", len(payload))))
        self.messages += payload
        self.take_frames(self.messages)

    def send_frame(self, opcode, payload):
        self.send(h2_frame(DATA, 0, 1, frame(opcode, payload)))

    def on_end(self, stream):
        raise Wrong("the stream ended")


def websocket_breach(bytes_):
    return handshake("/echo") + bytes_


# What is sent, and after how many seconds the connection is over at the latest.
BREACHES = (
    (websocket_breach(b"\x81\x01a"), 2),  # without a mask
    (websocket_breach(b"\xf1\x80" + bytes(4)), 2),  # reserved bits
    (websocket_breach(frame(TEXT, b"\xff\xfe")), 2),  # no UTF-8
    (websocket_breach(b"\x82\xff\x80" + bytes(11)), 2),  # a length that is none
    (websocket_breach(b"\x82\xff\x00\x00\x01" + bytes(9)), 2),  # too long
    (websocket_breach(frame(CLOSE, b"\x03\xed")), 2),  # a code that is never sent
    (websocket_breach(frame(BINARY, b"never finished")[:9]), 45),  # silence, in the middle of a frame
    (websocket_breach(frame(BINARY, b"", fin=False) + frame(0, b"", fin=False) * 3000), 2),  # empty fragments
    (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 2),
    (b"GET / HTTP/1.1\r\nX: " + b"a" * 20000, 2),
    (b"GET / HTTP/1.1\nHost: a\n\n", 2),
    (b"GET / HTTP/1.1\r\nHos", 12),  # silence, in the middle of a head
    (b"", 12),  # nothing
    (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 17),  # an answer, and then silence
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc", 24),  # a body that does not come
    (PREFACE[:24] + b"\xff" * 100, 2),  # no frame of HTTP/2
    (PREFACE + h2_frame(HEADERS, 0x5, 2, GET), 2),  # a stream of the server's
    (b"\x00\xff garbage", 2),
)


class Breaker(Member):
    """Breaks a rule, and is gone by its deadline."""

    def start(self):
        breach, self.deadline = random.choice(BREACHES)
        self.ends = time.monotonic() + 1000
        # Who is answered at once may not have taken all of it.
        try:
            self.socket.send(breach)
        except ConnectionError:
            pass
        self.begun = time.monotonic()
        return self.deadline + ANSWER

    def on_due(self):
        raise Wrong(f"somebody who has to be gone after {self.deadline} s is still there after {time.monotonic() - self.begun:.0f}")

    def on_bytes(self):
        self.buffer.clear()

    def on_eof(self):
        self.crowd.counts["breaches"] += 1


class SecureBreaker(Breaker):
    """Garbage where TLS is spoken, and half a ClientHello."""

    def __init__(self, crowd):
        super().__init__(crowd)
        self.socket.close()
        self.socket = connect(crowd.tls, "127.0.0.31")
        self.socket.setblocking(False)

    def start(self):
        super().start()
        self.deadline = 12
        return self.deadline + ANSWER


# Of a thousand.
SHARES = {Echo: 300, Chat: 90, Speaker: 75, Staller: 60, Http: 165, Http2: 80, Http2Echo: 40, SecureEcho: 50, Breaker: 125, SecureBreaker: 15}


class Crowd:
    """So many members, of whom each that leaves is followed by another."""

    def __init__(self, plain, tls, count):
        self.plain, self.tls = plain, tls
        self.context = ssl.create_default_context()
        self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE
        self.counts, self.wrong = collections.Counter(), []
        self.selector, self.numbers = selectors.DefaultSelector(), itertools.count()
        self.members, self.due = set(), []
        kinds = [kind for kind, share in SHARES.items() for _ in range(count * share // 1000)]
        random.shuffle(kinds)
        now = time.monotonic()
        # A hundred come each second.
        for index, kind in enumerate(kinds):
            self.schedule(now + index / 100, kind)

    def schedule(self, at, what):
        heapq.heappush(self.due, (at, next(self.numbers), what))

    def figures(self):
        return f"{len(self.members)} members; " + ", ".join(f"{count} {name}" for name, count in sorted(self.counts.items()))

    def join(self, kind):
        member = kind(self)
        self.members.add(member)
        self.counts["joined"] += 1
        self.schedule(time.monotonic() + member.start(), member)
        if member.reads:
            self.selector.register(member.socket, selectors.EVENT_READ, member)

    def part(self, member):
        """Who is gone is followed by another one of its kind."""
        self.members.discard(member)
        if member.reads:
            self.selector.unregister(member.socket)
        member.leave()
        self.schedule(time.monotonic() + random.uniform(0.5, 3), type(member))

    def attempt(self, member, action):
        try:
            return action()
        except Wrong as wrong:
            self.wrong.append(f"{type(member).__name__}: {wrong}")
        except (ConnectionError, ssl.SSLError, BlockingIOError) as error:
            # To a breaker a reset is an end as well, and a staller is not waited for.
            if isinstance(member, Breaker):
                self.counts["breaches"] += not isinstance(error, ConnectionAbortedError)
            elif member.reads:
                self.wrong.append(f"{type(member).__name__}: {error!r}")
        self.part(member)
        return None

    def turn_of(self, what):
        """Somebody comes, acts or leaves."""
        if isinstance(what, type):
            try:
                self.join(what)
            except OSError as error:
                self.wrong.append(f"{what.__name__} does not come in: {error!r}")
        elif what in self.members:
            if time.monotonic() >= what.ends:
                self.part(what)
            elif (after := self.attempt(what, what.on_due)) is not None:
                self.schedule(min(time.monotonic() + after, what.ends + 0.01), what)

    def run(self, until):
        """Goes on until then."""
        while (now := time.monotonic()) < until:
            while self.due and self.due[0][0] <= now:
                self.turn_of(heapq.heappop(self.due)[2])
            wait = min(until, self.due[0][0] if self.due else until) - time.monotonic()
            for key, _ in self.selector.select(max(0, wait)):
                if key.data in self.members:
                    self.attempt(key.data, key.data.on_readable)

    def leave(self):
        """All leave, and nobody follows."""
        for member in self.members:
            member.leave()
        self.members.clear()
        self.due.clear()
        self.selector.close()
