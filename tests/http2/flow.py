"""Flow control (RFC 9113 sections 5.2 and 6.9), fairness, deadlines, and the graceful stop (6.8).

    flow.py PROGRAM [PATTERN...]          starts PROGRAM; only the cases whose title begins so
    flow.py --at HOST:PORT [PATTERN...]   against a server that runs, with the files of common.make_root

The client holds the server to every window at every frame, in all cases (client.py); here the windows
are such that it matters. Exit status: 0 as expected; 1 not so; 2 wrong usage; 3 it could not be run.
"""

import time

from client import connect
from common import (LARGE, MAX_WINDOW, MIB, PREFACE, SMALL, Error, Setting, block, case, expect, headers, main,
                    request, settings, window_update)

GET = block(*request())
HUNDRED = bytes(range(32, 82)) * 2
WINDOW = Setting.INITIAL_WINDOW_SIZE


def allow(connection, stream, increment):
    """A WINDOW_UPDATE for a stream, or for the connection if that is None."""
    if stream:
        stream.window += increment
    else:
        connection.window += increment
    return window_update(stream.number if stream else 0, increment)


def exactly(connection, stream, length):
    """So many bytes come, and no more."""
    connection.until(lambda: len(stream.data) >= length, f"{length} bytes of {stream}")
    connection.sync()
    expect(len(stream.data) == length, f"{stream}, and not {length} bytes")


@case("6.9.2", "no window: the response comes, and none of its DATA, until there is one")
def _(server):
    with connect(server, (WINDOW, 0), refill=False) as connection:
        stream = connection.get("/hundred.txt")
        connection.until(lambda: stream.headers, "the fields of a response")
        exactly(connection, stream, 0)
        expect(not stream.ended, f"{stream}")
        connection.send(allow(connection, stream, 100))
        connection.response(stream, 200)
        expect(bytes(stream.data) == HUNDRED, f"{stream}")


@case("6.9.2", "a response without a body needs no window")
def _(server):
    with connect(server, (WINDOW, 0), refill=False) as connection:
        connection.response(connection.get("/medium.bin", method="HEAD"), 200)


@case("6.9.1", "a window of a stream that grows by single bytes")
def _(server):
    with connect(server, (WINDOW, 0), refill=False) as connection:
        stream = connection.get("/hundred.txt")
        connection.until(lambda: stream.headers, "the fields of a response")
        for length in range(1, 101):
            connection.send(allow(connection, stream, 1))
            connection.until(lambda: len(stream.data) == length, f"byte {length}")
        connection.response(stream, 200)
        expect(bytes(stream.data) == HUNDRED, f"{stream}")


for first in (1, 2, 99, 100, 101, 16383, 16384, 16385):
    @case("6.9.2", f"an initial window of {first}")
    def _(server, first=first):
        with connect(server, (WINDOW, first), refill=False) as connection:
            for path, content in (("/hundred.txt", HUNDRED), ("/medium.bin", LARGE[:300_000])):
                stream = connection.get(path)
                exactly(connection, stream, min(first, len(content)))
                connection.send(allow(connection, None, len(content)), allow(connection, stream, len(content)))
                connection.response(stream, 200)
                expect(bytes(stream.data) == content, f"{stream}: other bytes")


@case("6.9.1", "a window of the connection that grows by single bytes, on several streams")
def _(server):
    with connect(server, (WINDOW, 1 << 20), refill=False) as connection:
        connection.get("/medium.bin")
        connection.until(lambda: connection.window == 0, "65535 bytes")
        streams = [connection.get("/hundred.txt") for _ in range(3)]
        connection.until(lambda: all(one.headers for one in streams), "the fields of three responses")
        for _ in range(100):
            connection.send(allow(connection, None, 1))
            connection.until(lambda: connection.window == 0, "a byte")
        connection.send(allow(connection, None, MIB))
        for stream in streams:
            connection.response(stream, 200)
            expect(bytes(stream.data) == HUNDRED, f"{stream}")


@case("6.9.2", "SETTINGS in the midst of a response: a window grows, shrinks, and is negative")
def _(server):
    with connect(server, (WINDOW, 1000), refill=False) as connection:
        stream = connection.get("/medium.bin")
        connection.send(allow(connection, None, MIB))
        exactly(connection, stream, 1000)
        connection.send(connection.settings((WINDOW, 1500)))
        exactly(connection, stream, 1500)
        connection.send(connection.settings((WINDOW, 100)))  # 1400 too many
        exactly(connection, stream, 1500)
        connection.send(allow(connection, stream, 1399))  # one too many still
        exactly(connection, stream, 1500)
        connection.send(allow(connection, stream, 1))
        exactly(connection, stream, 1500)
        connection.send(allow(connection, stream, 1))
        exactly(connection, stream, 1501)
        connection.send(connection.settings((WINDOW, 0)), connection.settings((WINDOW, 110)))
        exactly(connection, stream, 1511)
        other = connection.get("/hundred.txt")
        connection.response(other, 200)
        connection.send(connection.settings((WINDOW, MAX_WINDOW - 10_000)))
        connection.response(stream, 200)
        expect(bytes(stream.data) == LARGE[:300_000], f"{stream}: other bytes")


@case("6.9.2", "SETTINGS by which a window would be beyond 2^31-1")
def _(server):
    with connect(server, (WINDOW, 10), refill=False) as connection:
        stream = connection.get("/medium.bin")
        connection.until(lambda: len(stream.data) == 10, "10 bytes")
        connection.send(allow(connection, stream, MAX_WINDOW))
        connection.until(lambda: connection.window == 0, "65535 bytes")
        # 65535 of them are used, and so much more is allowed at a blow.
        connection.send(connection.settings((WINDOW, 10 + 65535 + 1)))
        return connection.fails(Error.FLOW_CONTROL_ERROR)


@case("6.9.1", "a window of a stream that is 2^31-1 is used, and one beyond is an error of the stream")
def _(server):
    with connect(server, (WINDOW, MAX_WINDOW)) as connection:
        stream = connection.response(connection.get("/medium.bin"), 200)
        expect(bytes(stream.data) == LARGE[:300_000], f"{stream}: other bytes")
    with connect(server, (WINDOW, 0), refill=False) as connection:
        stream = connection.get("/medium.bin")
        connection.until(lambda: stream.headers, "the fields of a response")
        connection.send(window_update(0, MAX_WINDOW - 65535), window_update(stream.number, 1), window_update(stream.number, MAX_WINDOW))
        connection.window, stream.window = MAX_WINDOW, MAX_WINDOW
        said = connection.resets(stream, Error.FLOW_CONTROL_ERROR, serves=False)
        if not connection.closed:
            connection.send(connection.settings((WINDOW, 65535)))
            connection.serves()
        return said


@case("6.9", "WINDOW_UPDATE of 0 on a stream is an error of the stream")
def _(server):
    with connect(server, (WINDOW, 0), refill=False) as connection:
        stream = connection.get("/medium.bin")
        connection.until(lambda: stream.headers, "the fields of a response")
        connection.send(window_update(stream.number, 0))
        said = connection.resets(stream, Error.PROTOCOL_ERROR, serves=False)
        if not connection.closed:
            connection.send(connection.settings((WINDOW, 65535)))
            connection.serves()
        return said


@case("6.5.2", "frames become as long as we allow, at once")
def _(server):
    with connect(server, (Setting.MAX_FRAME_SIZE, 1 << 17), (WINDOW, 1 << 20)) as connection:
        connection.keep = True
        connection.send(allow(connection, None, MIB))
        connection.response(connection.get("/medium.bin"), 200)
        longest = max(len(got.payload) for got in connection.frames)
        connection.send(connection.settings((Setting.MAX_FRAME_SIZE, 16384)))
        connection.until(lambda: not connection.pending, "an acknowledgement")
        connection.response(connection.get("/medium.bin"), 200)
        return f"the longest had {longest} bytes"


# Several at once.

def fair(section, name, *ours, count=4, path="/large.bin", content=LARGE, window=0):
    """All come whole, and none is done before each of the others has a quarter."""
    @case(section, name)
    def run(server):
        with connect(server, *ours) as connection:
            if window:
                connection.send(allow(connection, None, window))
            streams = [connection.stream() for _ in range(count)]
            connection.send(*(headers(stream.number, block(*request(path))) for stream in streams))
            begun = time.monotonic()
            connection.until(lambda: any(stream.ended for stream in streams), "the end of one of them", limit=45)
            least = min(len(stream.data) for stream in streams) / len(content)
            for stream in streams:
                connection.response(stream, 200, limit=45)
                expect(stream.data == content, f"{stream}: other bytes")
            took = time.monotonic() - begun
            expect(least > 0.25, f"one was done when another had {least:.0%}")
            return f"{len(content) * count / MIB / took:.0f} MiB/s, the slowest had {least:.0%} when the first was done"


fair("5.2", "4 files of 10 MiB at once, windows of 64 KiB, of the connection too")
fair("5.2", "4 files of 10 MiB at once, windows of 1 MiB, of the connection too", (WINDOW, 1 << 20), window=1 << 20)
fair("5.2", "3 files of 10 MiB at once, all windows as large as can be", (WINDOW, MAX_WINDOW), count=3, window=MAX_WINDOW - 65535)
fair("5.2", "4 files of 10 MiB at once, streams of any window share 64 KiB of the connection", (WINDOW, MAX_WINDOW))
fair("5.2", "4 files of 10 MiB at once, windows of 2000 bytes for each", (WINDOW, 2000), window=1 << 20)
fair("5.2", "50 files of 300 KB at once, windows of 10,000 bytes for each", (WINDOW, 10_000), count=50, path="/medium.bin",
     content=LARGE[:300_000], window=1 << 20)


@case("5.2.2", "streams without a window hold nobody up")
def _(server):
    with connect(server, (WINDOW, 0)) as connection:
        held = [connection.get("/large.bin") for _ in range(50)]
        connection.until(lambda: all(stream.headers for stream in held), "50 responses")
        for _ in range(20):
            stream = connection.get("/medium.bin")
            connection.send(allow(connection, stream, 300_000))
            connection.response(stream, 200)
            expect(bytes(stream.data) == LARGE[:300_000], f"{stream}: other bytes")
        expect(not any(stream.data for stream in held), "DATA without a window")


@case("5.2.2", "small answers pass large ones that use up the connection's window")
def _(server):
    with connect(server, (WINDOW, MIB), refill=False) as connection:
        large = [connection.get("/large.bin") for _ in range(3)]
        connection.until(lambda: sum(len(stream.data) for stream in large) == 65535, "all that the window allows")
        small, connection.refill = connection.get(), True
        connection.send(allow(connection, None, 65535))
        connection.response(small, 200)
        expect(bytes(small.data) == SMALL and not any(stream.ended for stream in large), "it came after them")
        for stream in large:
            connection.response(stream, 200, limit=30)


@case("6.9", "a client that reads nothing for a while gets all of it afterwards")
def _(server):
    with connect(server, (WINDOW, MAX_WINDOW), receive_buffer=16384) as connection:
        connection.send(allow(connection, None, MAX_WINDOW - 65535))
        streams = [connection.get("/large.bin") for _ in range(2)]
        with connect(server) as other:  # serves others meanwhile
            for _ in range(100):
                other.serves()
        for stream in streams:
            connection.response(stream, 200, limit=40)
            expect(stream.data == LARGE, f"{stream}: other bytes")


# Deadlines, and the stop.

@case("6.8", "an idle connection is closed with GOAWAY NO_ERROR", "--idle-timeout", 1)
def _(server):
    with connect(server) as connection:
        connection.serves()
        return connection.fails(Error.NO_ERROR)


@case("9.1", "a connection with a stream at work is not idle", "--idle-timeout", 1)
def _(server):
    with connect(server, (WINDOW, 1000), refill=False) as connection:
        stream, begun = connection.get("/medium.bin"), time.monotonic()
        while time.monotonic() - begun < 2.5:
            before = len(stream.data)
            connection.send(allow(connection, None, 10_000), allow(connection, stream, 10_000))
            connection.until(lambda: len(stream.data) >= before + 10_000, "10,000 bytes")
            time.sleep(0.1)
        expect(not connection.goaways, f"{connection}")


for what, half in (("a part of the preface", PREFACE[:10]), ("a preface, and no SETTINGS", PREFACE),
                   ("half of a field block", PREFACE + settings() + headers(1, GET[:10], flags=0)),
                   ("half of a HEADERS frame", PREFACE + settings() + headers(1, GET)[:30])):
    @case("10.5", f"{what}, and nothing more: closed by a deadline", "--header-timeout", 1, "--idle-timeout", 2)
    def _(server, half=half):
        begun = time.monotonic()
        with connect(server, start=False) as connection:
            connection.acknowledges = False  # that would be the rest of what is half
            connection.pending.append(())
            connection.stream()
            connection.send(half)
            if len(half) < len(PREFACE):
                expect_closed(connection)
                return f"after {time.monotonic() - begun:.1f} s"
            # By which code is the server's choice.
            said = connection.fails(*Error, bare=True)
            return f"{said}, after {time.monotonic() - begun:.1f} s"


def expect_closed(connection):
    """What has not said that it speaks HTTP/2 may be answered as HTTP/1.1."""
    connection.socket.setblocking(True)
    connection.socket.settimeout(8)
    while connection.socket.recv(65536):
        pass


@case("6.8", "SIGTERM: GOAWAY NO_ERROR, what is under way is completed, then the end", "--stop-timeout", 6)
def _(server):
    with connect(server, (WINDOW, 1000), refill=False) as connection, connect(server) as idle:
        streams = [connection.get("/medium.bin") for _ in range(5)]
        connection.send(allow(connection, None, 10 * MIB))
        connection.until(lambda: all(len(stream.data) == 1000 for stream in streams), "1000 bytes of each")
        server.terminate()
        connection.until(lambda: connection.goaways, "GOAWAY")
        expect(connection.goaways[0][1] == Error.NO_ERROR and connection.goaways[0][0] >= streams[-1].number, f"{connection.goaways}")
        late = connection.get()
        connection.sync()
        for stream in streams:
            connection.send(allow(connection, stream, MIB))
        for stream in streams:
            connection.response(stream, 200)
            expect(bytes(stream.data) == LARGE[:300_000], f"{stream}: other bytes")
        connection.fails(Error.NO_ERROR)
        expect(connection.goaways[-1][0] >= streams[-1].number, f"the last stream is said to be {connection.goaways[-1][0]}")
        # 6.8: what is above the last stream that GOAWAY names was not acted on, and may be tried elsewhere.
        expect(not late.headers or late.number <= connection.goaways[-1][0], f"{late}, but GOAWAY says {connection.goaways[-1][0]}")
        idle.fails(Error.NO_ERROR)
        server.stop(terminate=False)
        return f"last stream {connection.goaways[-1][0]}, {len(connection.goaways)} GOAWAY, a late request: {late}"


@case("6.8", "SIGTERM, and a stream that never ends: the end comes all the same", "--stop-timeout", 1)
def _(server):
    begun = time.monotonic()
    with connect(server, (WINDOW, 0)) as connection:
        stream = connection.get("/large.bin")
        connection.until(lambda: stream.headers, "the fields of a response")
        server.terminate()
        connection.fails(Error.NO_ERROR)
        expect(server.process.wait(5) is not None, "it runs on")
        return f"after {time.monotonic() - begun:.1f} s"


if __name__ == "__main__":
    main(__doc__)
