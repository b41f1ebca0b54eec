"""The rules of RFC 9113, sections 3 to 7: the preface, frames, streams, and what ends which of them.

    rules.py PROGRAM [PATTERN...]          starts PROGRAM; only the cases whose title begins so
    rules.py --at HOST:PORT [PATTERN...]   against a server that runs, with the files of common.make_root

A line for each case says what came of it. Exit status: 0 as expected; 1 not so; 2 wrong usage; 3 it
could not be run.
"""

import struct

from client import connect
from common import (ACK, END_HEADERS, MAX_WINDOW, PADDED, PREFACE, PRIORITY_FLAG, SMALL, Error, Kind,
                    Setting, Wrong, block, case, continuation, data, expect, frame, headers, literal,
                    main, padded, ping, priority, request, rst_stream, settings, window_update)

GET = block(*request())
POST = block(*request(method="POST"))
FRAME_SIZE = (Error.FRAME_SIZE_ERROR,)
PROTOCOL = (Error.PROTOCOL_ERROR,)


def held(connection):
    """A request whose response waits for our window: half-closed (remote) for the server."""
    connection.send(connection.settings((Setting.INITIAL_WINDOW_SIZE, 0)))
    stream = connection.get("/large.bin")
    connection.until(lambda: stream.headers, "a response")
    return stream


def fatal(section, name, codes, *pieces):
    """A case in which these bytes are a connection error."""
    @case(section, name)
    def run(server):
        with connect(server) as connection:
            for _ in range(3):
                connection.stream()  # 1, 3 and 5: what is opened may be answered before it fails
            connection.send(*pieces)
            return connection.fails(*codes)


# 3.4: the preface.

@case("3.4", "SETTINGS is the server's first frame, and its values are legal")
def _(server):
    with connect(server) as connection:
        return ", ".join(f"{Setting(key).name if key in iter(Setting) else key}={value}"
                         for key, value in connection.theirs.items())


@case("3.4", "requests in one segment with the preface")
def _(server):
    with connect(server, start=False) as connection:
        streams = [connection.stream() for _ in range(3)]
        connection.send(PREFACE, connection.settings(), *(headers(one.number, GET) for one in streams))
        for stream in streams:
            connection.response(stream, 200)
        return connection.serves()


for position in (3, 16, 18, 23):
    @case("3.4", f"a preface that is wrong at byte {position}: closed")
    def _(server, position=position):
        with connect(server, start=False) as connection:
            wrong = bytearray(PREFACE)
            wrong[position] ^= 0x01
            connection.theirs = {}  # it may be answered as HTTP/1.1
            connection.socket.setblocking(True)
            connection.socket.settimeout(8)
            # Two ends of a head, whatever of the line ends is spoilt.
            connection.socket.sendall(bytes(wrong) + settings() + b"\r\n\r\n\r\n\r\n")
            said = b""
            try:
                while piece := connection.socket.recv(65536):
                    said += piece
            except ConnectionError:
                pass
            return f"closed after {said[:9]}"


for what, piece in (("PING", ping()), ("HEADERS", headers(1, GET)), ("SETTINGS with ACK", settings(flags=ACK)),
                    ("WINDOW_UPDATE", window_update(0, 1)), ("a frame of unknown type", frame(0xFA))):
    @case("3.4", f"{what} in place of the first SETTINGS")
    def _(server, piece=piece):
        with connect(server, start=False) as connection:
            connection.stream()
            connection.send(PREFACE, piece, settings())
            return connection.fails(Error.PROTOCOL_ERROR, bare=True)


@case("3.1", "an Upgrade to h2c is passed over")
def _(server):
    with connect(server, start=False) as connection:
        connection.socket.setblocking(True)
        connection.socket.settimeout(8)
        connection.socket.sendall(b"GET /small.txt HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings, close\r\n"
                                  b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n")
        said = b""
        while piece := connection.socket.recv(65536):
            said += piece
        # RFC 9113 has no such upgrade any more (3.1), RFC 7540 had: both are a choice of the server.
        expect(said.startswith((b"HTTP/1.1 200", b"HTTP/1.1 101")), f"{said[:200]}")
        return said[:12].decode()


# What every part of is sent apart: a session with all kinds of frames.

def session(connection):
    first, second, third = (connection.stream(method) for method in ("GET", "POST", "POST"))
    head = struct.pack(">LB", 0, 7) + GET[:20]
    pieces = (PREFACE, connection.settings((Setting.MAX_HEADER_LIST_SIZE, 1 << 20)), window_update(0, 1000),
              frame(Kind.HEADERS, 0x1 | PADDED | PRIORITY_FLAG, 1, padded(head, 3)),
              continuation(1, GET[20:30], 0), continuation(1, GET[30:]),
              priority(3, 1), frame(0xFA, 0xFF, 3, b"unknown"), ping(),
              headers(3, POST, end=False), data(3, padded(b"body", 2), end=True, flags=PADDED),
              headers(5, POST, end=False), data(5, b"more"), headers(5, literal("trailer", "value")), rst_stream(5))
    third.cancelled = True
    return b"".join(pieces), first, second


def answered(connection, first, second):
    connection.response(first, 200)
    connection.until(lambda: second.over, "an answer to a POST")
    expect(second.status in (200, 404, 405, 413, 501), f"{second}")
    expect(connection.pongs == [b"8 octets"] and connection.acknowledged == 1, "a PING or SETTINGS was lost")
    connection.serves()


@case("4", "a session with all kinds of frames, split at every byte")
def _(server):
    for split in range(1, 1000):
        with connect(server, start=False) as connection:
            whole, first, second = session(connection)
            if split >= len(whole):
                return f"{split} splits"
            try:
                connection.send(whole[:split])
                connection.delivered()
                connection.send(whole[split:])
                answered(connection, first, second)
            except Wrong as wrong:
                raise Wrong(f"split at byte {split}: {wrong}") from wrong
    return None


@case("4", "the same session in single bytes")
def _(server):
    with connect(server, start=False) as connection:
        whole, first, second = session(connection)
        for at in range(len(whole)):
            connection.send(whole[at:at + 1], reading=False)  # nothing of ours comes between
            if at % 8 == 0:
                connection.delivered()  # it takes a while, and all of it has a deadline
        answered(connection, first, second)


# 4.1 and 5.5: what is passed over.

def ignored(section, name, *pieces):
    @case(section, name)
    def run(server):
        with connect(server) as connection:
            connection.pending.extend(() for piece in pieces if piece[3] == Kind.SETTINGS)
            connection.send(*pieces)
            connection.sync()
            return connection.serves()


ignored("4.1", "unknown types of frames, on the connection and on streams that are idle",
        *(frame(kind, 0xFF, stream, bytes(length)) for kind in (0x0A, 0x10, 0x0C, 0xFF)
          for stream in (0, 1, 77, MAX_WINDOW) for length in (0, 1, 16384)))
ignored("4.1", "the reserved bit of a stream identifier",
        frame(Kind.PING, 0, 1 << 31, b"reserved"), frame(Kind.SETTINGS, 0, 1 << 31))
ignored("4.1", "undefined flags", frame(Kind.PING, 0xFE, 0, b"reserved"), frame(Kind.WINDOW_UPDATE, 0xFF, 0, b"\0\0\0\1"))
ignored("5.5", "unknown settings", settings((0x0, 1), (0x7, 1), (0xFFFF, 0xFFFFFFFF), (0x10, 1)))
ignored("6.5.2", "SETTINGS_ENABLE_CONNECT_PROTOCOL of a client", settings((0x8, 1)), settings((0x8, 0)))
ignored("5.3", "PRIORITY on streams that are idle, and of streams that never come",
        priority(1), priority(5, 3), priority(77, 99, 255), priority(2), priority(MAX_WINDOW, 1 << 31))
ignored("6.9", "the reserved bit of an increment", frame(Kind.WINDOW_UPDATE, 0, 0, b"\x80\0\0\1"))
ignored("6.7", "PING with ACK that answers nothing", ping(flags=ACK))


@case("4.1", "flags that HEADERS and DATA do not define")
def _(server):
    with connect(server) as connection:
        stream = connection.stream()
        connection.send(headers(stream.number, GET, flags=END_HEADERS | 0xD2))
        connection.response(stream, 200)
        return connection.serves()


@case("5.3", "priorities change nothing: weights, exclusive dependencies, updates while it runs")
def _(server):
    with connect(server) as connection:
        streams = [connection.stream() for _ in range(8)]
        for stream in streams:
            weight = struct.pack(">LB", 1 << 31 | max(0, stream.number - 2), stream.number * 16)
            connection.send(headers(stream.number, weight + block(*request("/medium.bin")), flags=END_HEADERS | PRIORITY_FLAG),
                            priority(stream.number, 99, 0), frame(0x10, 0, 0, struct.pack(">L", stream.number) + b"u=1, i"))
        for stream in streams:
            connection.response(stream, 200)
            expect(len(stream.data) == 300_000, f"{stream}")


# 4.2: sizes.

fatal("4.2", "a SETTINGS frame of more than 16384 bytes", FRAME_SIZE, frame(Kind.SETTINGS, 0, 0, bytes(16386)))
fatal("4.2", "HEADERS of more than 16384 bytes", FRAME_SIZE, headers(1, GET + literal("a", "b" * 17000)))
fatal("4.2", "CONTINUATION of more than 16384 bytes", FRAME_SIZE, headers(1, GET, flags=0),
      continuation(1, literal("a", "b" * 17000)))
fatal("4.2", "an unknown frame on stream 0 of more than 16384 bytes", FRAME_SIZE, frame(0xFA, 0, 0, bytes(16385)))
fatal("4.2", "a length of 2^24-1, of which nothing comes", FRAME_SIZE, frame(Kind.PING, 0, 0, b"", (1 << 24) - 1))


@case("4.2", "DATA of more than 16384 bytes")
def _(server):
    with connect(server) as connection:
        stream = connection.ask(request(method="POST"), end=False)
        stream.cancelled = True
        connection.send(data(stream.number, bytes(16385)))
        # On a stream that was answered and reset already, the frame's size still is the connection's.
        connection.until(lambda: connection.closed or stream.over, "a reaction")
        if not connection.closed and stream.reset == Error.FRAME_SIZE_ERROR:
            return "RST_STREAM FRAME_SIZE_ERROR, " + connection.serves()
        return connection.fails(Error.FRAME_SIZE_ERROR)


@case("4.2", "HEADERS and DATA of 16384 bytes")
def _(server):
    with connect(server) as connection:
        stream = connection.stream("POST")
        connection.send(headers(stream.number, padded(POST, 255), end=False, flags=PADDED | END_HEADERS),
                        data(stream.number, bytes(16384), end=True))
        connection.until(lambda: stream.over, "an answer")
        expect(stream.status in (200, 404, 405, 413, 501), f"{stream}")
        return connection.serves()


# 4.3 and 6.10: field blocks in several frames.

@case("6.10", "a field block in HEADERS and CONTINUATION, split at every byte")
def _(server):
    with connect(server) as connection:
        for split in range(len(GET) + 1):
            stream = connection.stream()
            connection.send(headers(stream.number, GET[:split], flags=0), continuation(stream.number, GET[split:]))
            connection.response(stream, 200)
        return f"{len(GET) + 1} splits"


@case("6.10", "a field block in single bytes, empty frames among them")
def _(server):
    with connect(server) as connection:
        stream = connection.stream()
        # :method GET, :scheme http, and :authority and :path with names of the static table.
        short = b"\x82\x86\x01\x01a\x04\x0a/small.txt"
        connection.send(headers(stream.number, b"", flags=0), continuation(stream.number, b"", 0),
                        *(continuation(stream.number, bytes([one]), 0) for one in short),
                        continuation(stream.number, b""))
        connection.response(stream, 200)
        return connection.serves()


for what, piece in (("DATA", data(1)), ("HEADERS", headers(3, GET)), ("PRIORITY", priority(1)), ("PING", ping()),
                    ("SETTINGS", settings()), ("WINDOW_UPDATE", window_update(0, 1)), ("RST_STREAM", rst_stream(1)),
                    ("GOAWAY", frame(Kind.GOAWAY, 0, 0, bytes(8))), ("a frame of unknown type", frame(0xFA, 0, 1)),
                    ("HEADERS of the same stream", headers(1, GET)), ("CONTINUATION of another stream", continuation(3, GET)),
                    ("CONTINUATION on stream 0", continuation(0, GET))):
    fatal("6.10", f"{what} within a field block", PROTOCOL, headers(1, GET[:9], flags=0), piece)

fatal("6.10", "CONTINUATION that follows nothing", PROTOCOL, continuation(1, GET))
fatal("6.10", "CONTINUATION after END_HEADERS", PROTOCOL, headers(1, POST, end=False), continuation(1, GET))
fatal("6.10", "CONTINUATION on stream 0", PROTOCOL, continuation(0, GET))

# 5.1: states of a stream.

fatal("5.1", "DATA on an idle stream", PROTOCOL, data(1, b"x"))
fatal("5.1", "RST_STREAM on an idle stream", PROTOCOL, rst_stream(1))
fatal("5.1", "WINDOW_UPDATE on an idle stream", PROTOCOL, window_update(1, 1))
fatal("5.1", "WINDOW_UPDATE on a stream of the server's, all of which are idle", PROTOCOL, window_update(2, 1))
fatal("5.1.1", "an even stream identifier", PROTOCOL, headers(2, GET))
# The lower streams are closed by the higher: 5.1 has a word for that too.
fatal("5.1.1", "a stream identifier below one that was used", PROTOCOL + (Error.STREAM_CLOSED,), headers(5, GET), headers(3, GET))


@case("5.1.1", "identifiers may leave gaps, up to the last of all")
def _(server):
    with connect(server) as connection:
        for number in (5, 1001, MAX_WINDOW):
            connection.next = number
            connection.response(connection.get(), 200)


for what, piece in (("DATA", data(1, b"x")), ("HEADERS", headers(1, literal("a", "b")))):
    @case("5.1", f"{what} on a half-closed stream")
    def _(server, piece=piece):
        with connect(server) as connection:
            stream = held(connection)
            connection.send(piece)
            connection.resets(stream, Error.STREAM_CLOSED, serves=False)
            if not connection.closed:
                connection.send(connection.settings((Setting.INITIAL_WINDOW_SIZE, 65535)))
                connection.serves()
            return str(connection)

    @case("5.1", f"{what} on a closed stream")
    def _(server, piece=piece, what=what):
        with connect(server) as connection:
            stream = connection.response(connection.get(), 200)
            connection.send(piece)
            allowed = (Error.STREAM_CLOSED,) + (PROTOCOL if what == "HEADERS" else ())
            pongs = len(connection.pongs)
            connection.send(ping())
            connection.until(lambda: connection.closed or len(connection.pongs) > pongs, "a reaction")
            if connection.closed:
                return connection.fails(*allowed)
            expect(stream.reset in (None, *allowed), f"{stream}")
            return connection.serves()


@case("5.1", "WINDOW_UPDATE, RST_STREAM and PRIORITY on closed streams are ignored")
def _(server):
    with connect(server) as connection:
        stream = connection.response(connection.get(), 200)
        connection.send(window_update(1, 1), priority(1), rst_stream(1), rst_stream(1), window_update(1, 1))
        connection.sync()
        expect(stream.reset is None, f"{stream}")
        return connection.serves()


@case("5.1", "WINDOW_UPDATE and PRIORITY on half-closed streams do their work")
def _(server):
    with connect(server) as connection:
        stream = held(connection)
        stream.window += 7
        connection.send(priority(1, 0, 3), window_update(1, 7))
        connection.until(lambda: len(stream.data) == 7, "7 bytes")


@case("5.1", "DATA on its way when the server resets a stream counts, and its window is given back")
def _(server):
    with connect(server) as connection:
        sent = 0
        for _ in range(10):
            stream = connection.stream("POST")
            connection.send(headers(stream.number, block(*request(method="POST"), ("Upper", "x")), end=False))
            for _ in range(4):
                connection.until(lambda: connection.send_window >= 8000, "a WINDOW_UPDATE of the connection")
                connection.send(data(stream.number, bytes(8000)))
                connection.send_window -= 8000
                sent += 8000
            connection.until(lambda: stream.over, "a stream error")
        connection.serves()
        return f"{sent} bytes"


@case("5.1.2", "more streams at once than SETTINGS_MAX_CONCURRENT_STREAMS, and room again")
def _(server):
    with connect(server) as connection:
        limit = connection.theirs.get(Setting.MAX_CONCURRENT_STREAMS)
        expect(limit is not None, "the server announces none")
        first = held(connection)
        others = [connection.get("/large.bin") for _ in range(limit - 1)]
        connection.until(lambda: all(one.headers for one in others), f"{limit} responses")
        refused = connection.get()
        said = connection.resets(refused, Error.REFUSED_STREAM, Error.PROTOCOL_ERROR, serves=False)
        if connection.closed:
            return said
        for stream in (first, others[7]):
            connection.cancel(stream)
            connection.get("/large.bin")
        connection.sync()
        expect(not any(one.reset for one in connection.streams.values() if one is not refused), "one too many refused")
        for stream in list(connection.streams.values()):
            if not stream.cancelled and not stream.over:
                connection.cancel(stream)
        connection.send(connection.settings((Setting.INITIAL_WINDOW_SIZE, 65535)))
        connection.serves()
        return f"{limit}, {said}"


# 6: frames one by one.

PAD = (Error.PROTOCOL_ERROR, Error.FRAME_SIZE_ERROR)
fatal("6.1", "DATA on stream 0", PROTOCOL, data(0, b"x"))
fatal("6.1", "DATA padded by its whole length", PROTOCOL, headers(1, POST, end=False), data(1, b"\x05body", flags=PADDED))
fatal("6.1", "DATA with PADDED and no length of it", PAD, headers(1, POST, end=False), data(1, b"", flags=PADDED))
fatal("6.2", "HEADERS on stream 0", PROTOCOL, headers(0, GET))
fatal("6.2", "HEADERS padded beyond their length", PROTOCOL, headers(1, b"\xff" + GET, flags=PADDED | END_HEADERS))
fatal("6.2", "HEADERS with PADDED and no length of it", PAD, headers(1, b"", flags=PADDED | END_HEADERS))
fatal("6.2", "HEADERS with PRIORITY in 4 bytes", PAD, headers(1, bytes(4), flags=PRIORITY_FLAG | END_HEADERS))
fatal("6.2", "HEADERS padded into their PRIORITY", PAD,
      headers(1, bytes([4]) + bytes(8), flags=PADDED | PRIORITY_FLAG | END_HEADERS))
fatal("6.3", "PRIORITY on stream 0", PROTOCOL, priority(0))
fatal("6.4", "RST_STREAM on stream 0", PROTOCOL, rst_stream(0))
for size in (0, 3, 5):
    fatal("6.4", f"RST_STREAM of {size} bytes", FRAME_SIZE, headers(1, POST, end=False), frame(Kind.RST_STREAM, 0, 1, bytes(size)))
fatal("6.5", "SETTINGS with ACK and a payload", FRAME_SIZE, settings((1, 1), flags=ACK))
fatal("6.5", "SETTINGS on a stream", PROTOCOL, settings(stream=1))
for size in (1, 5, 7):
    fatal("6.5", f"SETTINGS of {size} bytes", FRAME_SIZE, frame(Kind.SETTINGS, 0, 0, bytes(size)))
fatal("6.5.2", "SETTINGS_ENABLE_PUSH of 2", PROTOCOL, settings((Setting.ENABLE_PUSH, 2)))
fatal("6.5.2", "SETTINGS_INITIAL_WINDOW_SIZE of 2^31", (Error.FLOW_CONTROL_ERROR,), settings((Setting.INITIAL_WINDOW_SIZE, 1 << 31)))
for size in (0, 16383, 1 << 24, (1 << 32) - 1):
    fatal("6.5.2", f"SETTINGS_MAX_FRAME_SIZE of {size}", PROTOCOL, settings((Setting.MAX_FRAME_SIZE, size)))
fatal("6.6", "PUSH_PROMISE from a client", PROTOCOL, headers(1, POST, end=False),
      frame(Kind.PUSH_PROMISE, END_HEADERS, 1, struct.pack(">L", 2) + GET))
fatal("6.7", "PING on a stream", PROTOCOL, frame(Kind.PING, 0, 1, bytes(8)))
for size in (0, 7, 9):
    fatal("6.7", f"PING of {size} bytes", FRAME_SIZE, frame(Kind.PING, 0, 0, bytes(size)))
fatal("6.8", "GOAWAY on a stream", PROTOCOL, frame(Kind.GOAWAY, 0, 1, bytes(8)))
fatal("6.8", "GOAWAY of 7 bytes", FRAME_SIZE, frame(Kind.GOAWAY, 0, 0, bytes(7)))
for size in (0, 3, 5):
    fatal("6.9", f"WINDOW_UPDATE of {size} bytes", FRAME_SIZE, frame(Kind.WINDOW_UPDATE, 0, 0, bytes(size)))
fatal("6.9", "WINDOW_UPDATE of 0 on the connection", PROTOCOL, window_update(0, 0))
fatal("6.9.1", "a window of the connection beyond 2^31-1", (Error.FLOW_CONTROL_ERROR,), window_update(0, MAX_WINDOW))


@case("6.1", "padding: all lengths of it, and what it is filled with")
def _(server):
    with connect(server) as connection:
        for length in (0, 1, 100, 255):
            stream = connection.stream("POST")
            connection.send(headers(stream.number, padded(POST, length), end=False, flags=PADDED | END_HEADERS),
                            data(stream.number, padded(b"", length), flags=PADDED),
                            data(stream.number, padded(b"body", length), end=True, flags=PADDED))
            connection.until(lambda: stream.over, "an answer")
            expect(stream.status in (200, 404, 405, 413, 501), f"{stream}")
        return connection.serves()


@case("6.3", "PRIORITY of 4 and 6 bytes")
def _(server):
    said = []
    for size in (4, 6):
        with connect(server) as connection:
            stream = held(connection)
            connection.send(frame(Kind.PRIORITY, 0, stream.number, bytes(size)))
            said.append(connection.resets(stream, Error.FRAME_SIZE_ERROR, serves=False))
    return said[0]


@case("6.4", "RST_STREAM with codes that nobody defined, and nothing more comes of that stream")
def _(server):
    with connect(server) as connection:
        for code in (Error.CANCEL, Error.NO_ERROR, 0x1234, 0xFFFFFFFF):
            stream = connection.get("/large.bin")
            connection.until(lambda: stream.data, "some of a file")
            connection.cancel(stream, code)
            connection.sync()
            before = connection.window
            connection.serves()
            expect(connection.window == before and not stream.ended, "DATA long after RST_STREAM")


@case("6.5.3", "each SETTINGS is acknowledged, in its place among other answers")
def _(server):
    with connect(server) as connection:
        connection.keep = True
        pieces = []
        for number in range(20):
            pieces += [connection.settings((Setting.INITIAL_WINDOW_SIZE, 1000 * number)), ping(struct.pack(">Q", number))]
        connection.send(*pieces)
        connection.until(lambda: len(connection.pongs) == 20 and not connection.pending, "20 acknowledgements of each")
        answers = [got for got in connection.frames if got.flags & ACK and got.kind == Kind.PING]
        expect([got.payload for got in answers] == [struct.pack(">Q", number) for number in range(20)], "PINGs out of order")
        order = "in order" if [got.kind for got in connection.frames] == [Kind.SETTINGS, Kind.PING] * 20 else "PING apart"
        connection.send(connection.settings((Setting.INITIAL_WINDOW_SIZE, 65535)))
        connection.serves()
        return order


@case("6.5.3", "of a setting that comes twice in a frame the last counts")
def _(server):
    with connect(server) as connection:
        size = Setting.INITIAL_WINDOW_SIZE
        connection.send(connection.settings((size, 5), (size, 70000), (size, 3)))
        connection.until(lambda: not connection.pending, "an acknowledgement")
        connection.refill = False
        stream = connection.get()
        connection.until(lambda: len(stream.data) == 3, "3 bytes")
        connection.sync()
        expect(bytes(stream.data) == SMALL[:3], f"{stream}")


@case("6.7", "PING is answered with its payload")
def _(server):
    with connect(server) as connection:
        sent = [bytes([number]) * 8 for number in range(50)]
        connection.send(*map(ping, sent))
        connection.until(lambda: len(connection.pongs) == 50, "50 answers")
        expect(connection.pongs == sent, "other payloads, or another order")


@case("6.8", "after a client's GOAWAY its requests are answered to the end")
def _(server):
    with connect(server) as connection:
        streams = [connection.get("/medium.bin") for _ in range(3)]
        connection.send(frame(Kind.GOAWAY, 0, 0, struct.pack(">LL", 0, 0) + b"bye"))
        for stream in streams:
            connection.response(stream, 200)
            expect(len(stream.data) == 300_000, f"{stream}")


@case("5.4.1", "what follows a connection error is not answered")
def _(server):
    with connect(server) as connection:
        streams = [connection.stream() for _ in range(3)]
        connection.send(headers(streams[0].number, GET), window_update(0, 0), headers(streams[1].number, GET), ping())
        said = connection.fails(Error.PROTOCOL_ERROR)
        expect(connection.goaways[-1][0] <= streams[0].number and not streams[1].headers and not connection.pongs,
               "it was answered, or is said to have been")
        return f"{said}, last stream {connection.goaways[-1][0]}"


if __name__ == "__main__":
    main(__doc__)
