"""WebSocket over HTTP/2 (RFC 8441): the handshake, messages both ways, all ends, and who holds up whom.

    websocket.py PROGRAM [PATTERN...]          starts PROGRAM; only the cases whose title begins so
    websocket.py --at HOST:PORT [PATTERN...]   against a server that runs, with the endpoints of `aerys serve`

Section numbers are those of RFC 8441, unless another RFC is named. Exit status: 0 as expected; 1 not
so; 2 wrong usage; 3 it could not be run.
"""

import contextlib
import re
import time
import zlib

from client import connect
from common import (KIB, LARGE, MIB, PADDED, Error, Setting, case, data, expect, headers, literal, main, padded,
                    request, window_update)
from websocket_client import BINARY, CLOSE, PING, PONG, TEXT, Plain, Tunnel, close, connect_fields, frame

WINDOW = Setting.INITIAL_WINDOW_SIZE


# 3 and 4: the handshake.

@case("3", "SETTINGS_ENABLE_CONNECT_PROTOCOL is 1 in the first SETTINGS, and stays so")
def _(server):
    with connect(server) as connection:
        expect(connection.theirs.get(Setting.ENABLE_CONNECT_PROTOCOL) == 1, f"{connection.theirs}")


@case("5", "a handshake: 200, no Sec-WebSocket-Accept, and the stream stays open")
def _(server):
    with connect(server) as connection:
        tunnel = Tunnel(connection, "/echo").opened()
        connection.serves()
        expect(not tunnel.stream.over, f"{tunnel.stream}")


@case("5", "the first message may come with the handshake")
def _(server):
    with connect(server) as connection:
        tunnel = Tunnel(connection, "/echo")
        tunnel.send(frame(TEXT, "early"))
        tunnel.opened().says(TEXT, "early")


for what, more in (("an Origin", ("origin", "http://elsewhere.example")), ("a subprotocol that nobody speaks", ("sec-websocket-protocol", "a, b")),
                   ("a key, which means nothing here", ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")),
                   ("a key that is none", ("sec-websocket-key", "x")),
                   ("an extension that nobody speaks", ("sec-websocket-extensions", "x-unknown; a=1"))):
    @case("5", f"a handshake with {what}")
    def _(server, more=more):
        with connect(server) as connection:
            tunnel = Tunnel(connection, "/echo", more).opened()
            for name in ("sec-websocket-protocol", "sec-websocket-extensions"):
                expect(name not in tunnel.stream.headers, f"{tunnel.stream.headers}")
            tunnel.send(frame(TEXT, "x"))
            tunnel.says(TEXT, "x")


def refused(section, name, fields, *statuses, errors=(), end=False):
    """An answer of HTTP, or a stream error; the connection serves on."""
    @case(section, name)
    def run(server):
        with connect(server) as connection:
            stream = connection.ask(fields, end=end)
            connection.until(lambda: stream.over or connection.closed, "an answer")
            expect(stream.status != 200, f"{stream}")
            return connection.resets(stream, *errors, statuses=statuses)


MALFORMED = {"errors": (Error.PROTOCOL_ERROR,)}
refused("9220 3", ":protocol is unknown", connect_fields("/echo", protocol="connect-udp"), 501)
refused("4", ":protocol is empty", connect_fields("/echo", protocol=""), 400, 501, **MALFORMED)
refused("4", "no :scheme", connect_fields("/echo", scheme=None), 400, **MALFORMED)
refused("4", "no :path", connect_fields(None), 400, **MALFORMED)
refused("4", ":path is empty", connect_fields(""), 400, **MALFORMED)
refused("4", "no :authority", connect_fields("/echo", authority=None), 400, **MALFORMED)
refused("4", ":protocol twice", [*connect_fields("/echo", version=None)] + [(":protocol", "websocket")], 400, **MALFORMED)
refused("4", ":protocol after a field", [*connect_fields("/echo", protocol=None)] + [(":protocol", "websocket")], 400, **MALFORMED)
refused("4", ":protocol of a GET", connect_fields("/echo", method="GET"), 400, **MALFORMED, end=True)
refused("5", "no Sec-WebSocket-Version", connect_fields("/echo", version=None), 400, 426)
refused("5", "a Sec-WebSocket-Version of 8", connect_fields("/echo", version="8"), 400, 426)
refused("5", "a path that is no endpoint", connect_fields("/small.txt"), 400, 404, 405, 501)
refused("5", "a path that is nothing", connect_fields("/nothing"), 404, 405, 501)
refused("5", "GET of an endpoint", request("/echo"), 400, 404, 405, 426, 501, end=True)
refused("5", "GET of an endpoint, with the fields of HTTP/1.1",
        request("/echo", ("upgrade", "websocket"), ("connection", "upgrade"), ("sec-websocket-version", "13"),
                ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")), 400, **MALFORMED, end=True)
refused("9113 8.2.2", "CONNECT with the fields of HTTP/1.1", connect_fields("/echo", ("upgrade", "websocket"), ("connection", "upgrade")),
        400, **MALFORMED)
refused("9113 8.1.1", "CONNECT whose stream ends at once", connect_fields("/echo"), 400, errors=(Error.PROTOCOL_ERROR, Error.CANCEL), end=True)


# 5: messages.

@case("5", "messages of all lengths come back: text, binary, empty ones")
def _(server):
    with connect(server) as connection:
        tunnel = Tunnel(connection, "/echo").opened()
        for length in (0, 1, 125, 126, 127, 16370, 16384, 65535, 65536, 100_000):
            tunnel.send(frame(BINARY, LARGE[:length]))
            tunnel.says(BINARY, LARGE[:length])
            text = ("Grüße, 世界 🎉 " * (length // 20 + 1))
            tunnel.send(frame(TEXT, text))
            tunnel.says(TEXT, text)


for window in (65535, 1000, MIB * 4):
    @case("5", f"1 MiB there and back, windows of {window} bytes")
    def _(server, window=window):
        with connect(server, (WINDOW, window)) as connection:
            tunnel = Tunnel(connection, "/echo").opened()
            for _ in range(3):
                tunnel.send(frame(BINARY, LARGE[:MIB]))
                tunnel.says(BINARY, LARGE[:MIB], limit=20)


@case("5", "fragments, with a PING between them, and a message in DATA of single bytes")
def _(server):
    with connect(server) as connection:
        tunnel = Tunnel(connection, "/echo").opened()
        tunnel.send(frame(TEXT, "one ", fin=False), frame(0, "two ", fin=False), frame(PING, "ping"), frame(0, "three"))
        got = [tunnel.next(), tunnel.next()]
        expect(sorted(got) == [(TEXT, b"one two three"), (PONG, b"ping")], f"{got}")
        tunnel.send(frame(TEXT, "byte by byte"), size=1)
        tunnel.says(TEXT, "byte by byte")


@case("5", "a hundred messages in one DATA frame, one in a hundred, padded ones, and empty DATA")
def _(server):
    with connect(server) as connection:
        tunnel = Tunnel(connection, "/echo").opened()
        tunnel.send(*(frame(TEXT, str(number)) for number in range(100)))
        for number in range(100):
            tunnel.says(TEXT, str(number))
        tunnel.send(frame(BINARY, LARGE[:10_000]), size=100)
        tunnel.says(BINARY, LARGE[:10_000])
        message, number = frame(TEXT, "padded"), tunnel.stream.number
        for piece in (message[:3], b"", message[3:]):
            connection.send(data(number, padded(piece, 200), flags=PADDED), data(number))
        tunnel.says(TEXT, "padded")


@case("5", "PING is answered, PONG is not")
def _(server):
    with connect(server) as connection:
        tunnel = Tunnel(connection, "/echo").opened()
        for payload in (b"", b"x", bytes(125)):
            tunnel.send(frame(PONG, payload), frame(PING, payload))
            tunnel.says(PONG, payload)


@case("5", "a server's heartbeat comes as PING, and an answer keeps it alive", "--heartbeat", 1)
def _(server):
    with connect(server) as connection:
        tunnel = Tunnel(connection, "/echo").opened()
        for _ in range(2):
            opcode, payload = tunnel.next(pings=True)
            expect(opcode == PING, f"{opcode:x}")
            tunnel.send(frame(PONG, payload))
        mute = Tunnel(connection, "/echo").opened()
        while (got := mute.next(pings=True))[0] == PING:
            pass
        expect(got == (CLOSE, b"\x03\xf0" + got[1][2:]), f"{got}, and not 1008")


# 5: ends.

@case("5", "closing handshake: Close, Close, then END_STREAM both ways")
def _(server):
    with connect(server) as connection:
        for code, reason in ((1000, "done"), (3000, ""), (4999, "x" * 123), (None, "")):
            tunnel = Tunnel(connection, "/echo").opened()
            tunnel.send(frame(TEXT, "last"), close(code, reason))
            tunnel.says(TEXT, "last")
            tunnel.closes(code or 1005)
            connection.send(data(tunnel.stream.number, end=True))
        tunnel = Tunnel(connection, "/echo").opened()
        tunnel.send(close(1000), end=True)
        tunnel.closes(1000)
        connection.sync()
        expect(all(stream.reset in (None, Error.NO_ERROR) for stream in connection.streams.values()), "a stream was reset")
        return connection.serves()


@case("5", "streams of closed WebSockets are free for others, two hundred in turn")
def _(server):
    with connect(server) as connection:
        for number in range(200):
            tunnel = Tunnel(connection, "/echo").opened()
            tunnel.send(close(1000), end=True)
            tunnel.closes(1000)
        return connection.serves()


for what, code, piece in (("an unmasked frame", 1002, frame(TEXT, "x", mask=None)), ("a reserved bit", 1002, frame(TEXT, "x", rsv=2)),
                            ("a reserved opcode", 1002, frame(3, "x")), ("a continuation of nothing", 1002, frame(0, "x")),
                            ("a fragmented PING", 1002, frame(PING, "x", fin=False)), ("Close of 1 byte", 1002, frame(CLOSE, "x")),
                            ("Close with 1005", 1002, close(1005)), ("text that is not UTF-8", 1007, frame(TEXT, b"\xff")),
                            ("a message over the limit", 1009, b"\x82\xff" + (1 << 40).to_bytes(8, "big") + bytes(4))):
    @case("5", f"{what}: {code}, then END_STREAM")
    def _(server, code=code, piece=piece):
        with connect(server) as connection:
            tunnel, other = Tunnel(connection, "/echo").opened(), Tunnel(connection, "/echo").opened()
            tunnel.send(frame(TEXT, "first"), piece)
            tunnel.says(TEXT, "first")
            tunnel.closes(code)
            other.send(frame(TEXT, "untouched"))
            other.says(TEXT, "untouched")
            return connection.serves()


def told(watcher, code):
    """What the chat says of one that left."""
    while True:
        opcode, payload = watcher.next()
        if found := re.search(rb"closed connection with code (\d+)", payload):
            expect(opcode == TEXT and int(found[1]) == code, f"{payload}, and not {code}")
            return


@contextlib.contextmanager
def watched(server):
    with connect(server) as connection:
        watcher = Tunnel(connection, "/chat").opened()
        opcode, payload = watcher.next()
        expect(opcode == TEXT and payload.startswith(b"Welcome new client"), f"{payload}")
        yield watcher


@case("5", "END_STREAM without Close: 1006 for the server, and its side ends too")
def _(server):
    with watched(server) as watcher, connect(server) as connection:
        tunnel = Tunnel(connection, "/chat").opened()
        connection.send(data(tunnel.stream.number, end=True))
        told(watcher, 1006)
        connection.until(lambda: tunnel.stream.over, "the end of the server's side")
        return f"{tunnel.stream}, {connection.serves()}"


@case("5", "END_STREAM in the midst of a frame: 1006")
def _(server):
    with watched(server) as watcher, connect(server) as connection:
        tunnel = Tunnel(connection, "/chat").opened()
        tunnel.send(frame(TEXT, "a long message")[:9], end=True)
        told(watcher, 1006)
        connection.until(lambda: tunnel.stream.over, "the end of the server's side")
        return connection.serves()


for reset in (Error.CANCEL, Error.NO_ERROR, Error.INTERNAL_ERROR):
    @case("5", f"RST_STREAM {reset.name}: 1006 for the server, and no other stream notices")
    def _(server, reset=reset):
        with watched(server) as watcher, connect(server) as connection:
            tunnel, other = Tunnel(connection, "/chat").opened(), Tunnel(connection, "/echo").opened()
            connection.cancel(tunnel.stream, reset)
            told(watcher, 1006)
            other.send(frame(TEXT, "untouched"))
            other.says(TEXT, "untouched")
            return connection.serves()


@case("5", "a connection that breaks off: 1006 for each of its WebSockets, once")
def _(server):
    with watched(server) as watcher:
        with connect(server) as connection:
            for _ in range(10):
                Tunnel(connection, "/chat").opened()
        for _ in range(10):
            told(watcher, 1006)


@case("9113 5.4.1", "a connection error: 1006 for each of its WebSockets, once")
def _(server):
    with watched(server) as watcher, connect(server) as connection:
        for _ in range(5):
            Tunnel(connection, "/chat").opened()
        connection.send(headers(2, b""))
        connection.fails(Error.PROTOCOL_ERROR)
        for _ in range(5):
            told(watcher, 1006)


@case("9113 8.5", "HEADERS on a WebSocket's stream are an error of the stream")
def _(server):
    for end in (False, True):
        with watched(server) as watcher, connect(server) as connection:
            tunnel = Tunnel(connection, "/chat").opened()
            connection.send(headers(tunnel.stream.number, literal("a", "b"), end=end))
            told(watcher, 1006)
            connection.until(lambda: tunnel.stream.over, "the end of the stream")
            # Trailers that end the stream may also be taken for END_STREAM.
            expect(end or tunnel.stream.reset == Error.PROTOCOL_ERROR, f"{tunnel.stream}")
            connection.serves()
    return f"{tunnel.stream}"


@case("9113 6.8", "SIGTERM: 1001 for every WebSocket, GOAWAY NO_ERROR, and the end", "--stop-timeout", 4)
def _(server):
    with connect(server) as connection, Plain(server.address, "/echo") as plain:
        tunnels = [Tunnel(connection, "/echo").opened() for _ in range(20)]
        server.terminate()
        for tunnel in tunnels:
            opcode, payload = tunnel.next()
            expect(opcode == CLOSE and payload[:2] == b"\x03\xe9", f"{opcode:x} {payload}")
            tunnel.send(close(1001), end=True)
            tunnel.ends()
        opcode, payload = plain.next()
        expect(opcode == CLOSE and payload[:2] == b"\x03\xe9", f"{opcode:x} {payload}")
        connection.fails(Error.NO_ERROR)
    server.stop(terminate=False)


# Many at once.

@case("5", "100 WebSockets of one connection, one of another, and one over HTTP/1.1: the same bytes, once and in order")
def _(server):
    with connect(server, (WINDOW, MIB)) as connection, connect(server) as second, Plain(server.address, "/broadcast") as plain:
        limit = min(100, connection.theirs.get(Setting.MAX_CONCURRENT_STREAMS, 100))
        tunnels = [Tunnel(connection, "/broadcast").opened() for _ in range(limit)]
        other, expected = Tunnel(second, "/broadcast").opened(), bytearray()
        for number in range(60):
            opcode, payload = TEXT if number % 2 else BINARY, f"{number} ".encode() * (1 + number * number)
            (tunnels[number % limit], other, plain)[number % 3].send(frame(opcode, payload))
            expected += frame(opcode, payload, mask=None)
            # Each has come when the next is sent, so that there is one order.
            connection.until(lambda: len(tunnels[0].stream.data) >= len(expected), f"broadcast {number}")
        burst = [f"burst {number}" for number in range(300)]
        other.send(*(frame(TEXT, payload) for payload in burst))
        expected += b"".join(frame(TEXT, payload, mask=None) for payload in burst)
        connection.until(lambda: all(len(tunnel.stream.data) >= len(expected) for tunnel in tunnels), "all broadcasts", limit=30)
        second.until(lambda: len(other.stream.data) >= len(expected), "all broadcasts")
        expect(plain.bytes(len(expected)) == expected, "other bytes over HTTP/1.1")
        expect(all(tunnel.stream.data == expected for tunnel in (*tunnels, other)), "other bytes over HTTP/2")
        return f"{limit} streams, {len(expected)} bytes each"


# Who holds up whom.

@case("5", "a stream that gives no window loses its broadcasts, then its place; others of its connection nothing",
      "--max-backlog-bytes", 256 * KIB, "--write-timeout", 3)
def _(server):
    with connect(server) as connection, connect(server) as second, Plain(server.address, "/broadcast") as plain:
        stalled, reader = Tunnel(connection, "/broadcast").opened(), Tunnel(connection, "/broadcast").opened()
        stalled.stream.refill = False
        sender = Tunnel(second, "/broadcast").opened()
        for number in range(40):
            message = LARGE[number:number + 64 * KIB]
            sender.send(frame(BINARY, message))
            for tunnel in (reader, sender):
                tunnel.says(BINARY, message)
            opcode, payload = plain.next()
            expect((opcode, payload) == (BINARY, message),
                   f"message {number} over HTTP/1.1: {opcode:x} {payload[:40]} of {len(payload)} bytes, and not {message[:40]}")
        connection.until(lambda: stalled.stream.over, "the end of a stream that takes nothing")
        expect(len(stalled.stream.data) <= 65535, f"{stalled.stream}")
        return f"{stalled.stream}, {connection.serves()}"


@case("5", "an echo that is not taken stops its sender by the window of that stream alone")
def _(server):
    with connect(server, (WINDOW, 0)) as connection:
        stalled = Tunnel(connection, "/echo").opened()
        messages = [frame(BINARY, LARGE[at:at + 10_000]) for at in range(0, 8 * MIB, 10_000)]
        sent = 0
        while sent < len(messages) and min(connection.send_window, stalled.stream.send_window) >= len(messages[0]):
            stalled.send(messages[sent])
            connection.sync()
            sent += 1
        expect(sent < len(messages), "all of 8 MiB was taken for a client that takes nothing")
        # The connection's window comes back for what waits, so that others can use it.
        other = Tunnel(connection, "/echo").opened()
        other.stream.window += 1 << 30
        connection.send(window_update(other.stream.number, 1 << 30))
        other.send(frame(BINARY, LARGE[:MIB]))
        other.says(BINARY, LARGE[:MIB])
        stalled.stream.window += 1 << 30
        connection.send(window_update(stalled.stream.number, 1 << 30))
        for at in range(sent):
            stalled.says(BINARY, LARGE[at * 10_000:at * 10_000 + 10_000])
        stalled.send(close(1000), end=True)
        stalled.closes(1000)
        return f"{sent * 10_000} bytes were taken"


@case("9113 6.9.1", "DATA beyond the window of a stream that is held")
def _(server):
    with connect(server, (WINDOW, 0)) as connection:
        stalled = Tunnel(connection, "/echo").opened()
        while min(connection.send_window, stalled.stream.send_window) >= 1006:
            stalled.send(frame(BINARY, LARGE[:1000]), size=1006)
            connection.sync()
        if connection.send_window < stalled.stream.send_window:
            return f"not tried: the connection's window is the smaller, {connection.send_window}"
        left = stalled.stream.send_window
        connection.send(data(stalled.stream.number, bytes(left + 1)))
        said = connection.resets(stalled.stream, Error.FLOW_CONTROL_ERROR, serves=False)
        if not connection.closed:
            connection.send(connection.settings((WINDOW, 65535)))
            connection.serves()
        return said


@case("5", "a stream that never gives a window is ended in time", "--write-timeout", 1, "--heartbeat", "off")
def _(server):
    with connect(server, (WINDOW, 0)) as connection:
        stalled, begun = Tunnel(connection, "/echo").opened(), time.monotonic()
        stalled.send(frame(TEXT, "taken by nobody"))
        connection.until(lambda: stalled.stream.over, "the end of the stream")
        connection.send(connection.settings((WINDOW, 65535)))
        return f"{stalled.stream}, after {time.monotonic() - begun:.1f} s, {connection.serves()}"


# RFC 7692.

for mode in ("shared", "dedicated"):
    @case("7692", f"permessage-deflate, {mode}", "--compression", mode)
    def _(server, mode=mode):
        with connect(server) as connection:
            offer = ("sec-websocket-extensions", "permessage-deflate; client_max_window_bits")
            tunnel = Tunnel(connection, "/echo", offer).opened()
            answer = tunnel.stream.headers.get("sec-websocket-extensions", "")
            expect(answer.startswith("permessage-deflate"), f"{answer!r}")
            expect(("server_no_context_takeover" in answer) == (mode == "shared"), f"{answer!r}")
            unpack = zlib.decompressobj(-15)
            for number in range(5):
                text = b"compressed and compressed again, " * 3000
                pack = zlib.compressobj(wbits=-9)  # no context, and within any window
                tunnel.send(frame(TEXT, (pack.compress(text) + pack.flush(zlib.Z_SYNC_FLUSH))[:-4], rsv=4))
                opcode, payload = tunnel.next()
                expect(opcode == TEXT and tunnel.rsv == 4 and len(payload) < len(text) // 10, f"{len(payload)} bytes")
                if mode == "shared":
                    unpack = zlib.decompressobj(-15)
                expect(unpack.decompress(payload + b"\0\0\xff\xff") == text, f"message {number} is another")
            plain = Tunnel(connection, "/echo").opened()
            plain.send(frame(TEXT, "as it is"))
            plain.says(TEXT, "as it is")
            return answer


if __name__ == "__main__":
    main(__doc__)
