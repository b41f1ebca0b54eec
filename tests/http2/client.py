"""A client of HTTP/2 frames on a socket, which judges all that comes back.

It is small on purpose and shares nothing with `src/`: a case writes the bytes that it wants, right or
wrong. Whatever a case is about, the server may at no time send a frame that is too long, out of
place, or beyond a window, nor a response that RFC 9113 section 8 forbids. Only HPACK is a library's.
"""

import collections
import pathlib
import re
import select
import socket
import ssl
import struct
import time

import hpack

from common import (ACK, END_HEADERS, END_STREAM, KIB, MAX_WINDOW, MIB, PADDED, PATIENCE, PREFACE,
                    PRIORITY_FLAG, SMALL, Error, Frame, Kind, Setting, Wrong, block, data, expect,
                    headers, name_of, ping, request, rst_stream, settings, window_update)


class Stream:
    """What came of one stream."""

    def __init__(self, number, window, method):
        self.number, self.window, self.method = number, window, method
        self.interim, self.headers, self.trailers = [], None, None
        self.data, self.ended, self.reset = bytearray(), False, None
        self.cancelled = False  # by us: what is still on its way is not judged
        self.send_window = None
        self.refill = True

    @property
    def status(self):
        return self.headers and int(self.headers[":status"])

    @property
    def over(self):
        return self.ended or self.reset is not None

    def __str__(self):
        said = f"stream {self.number}"
        if self.headers:
            said += f", answered {self.status}, {len(self.data)} bytes of data"
        if self.reset is not None:
            said += f", reset with {name_of(self.reset)}"
        return said + (", ended" if self.ended else "")


CONNECTION_SPECIFIC = {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"}


class Connection:
    """A client's side of one connection.

    `start` sends the preface with `ours`, our SETTINGS, and waits for the server's and for the
    acknowledgement. `refill` gives back windows as DATA comes. `tls` asks for ALPN h2.
    """

    def __init__(self, address, *ours, start=True, refill=True, tls=False, receive_buffer=None):
        self.socket = socket.socket()
        self.socket.settimeout(PATIENCE)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.set_alpn_protocols(["h2", "http/1.1"])
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        # What is allowed to the server now; `wished` is what we sent last.
        self.ours = {Setting.HEADER_TABLE_SIZE: 4096, Setting.INITIAL_WINDOW_SIZE: 65535,
                     Setting.MAX_FRAME_SIZE: 16384}
        self.wished = dict(self.ours)
        self.pending = collections.deque()  # SETTINGS of ours that are not acknowledged
        self.theirs, self.acknowledged, self.pongs = None, 0, []
        self.streams, self.next, self.refill, self.acknowledges = {}, 1, refill, True
        self.window, self.send_window = 65535, 65535
        self.decoder = hpack.Decoder()
        self.decoder.max_header_list_size = MIB
        self.buffer, self.outgoing = bytearray(), bytearray()
        self.frames, self.keep = [], False  # all of them, if they are kept
        self.goaways, self.closed, self.unsent, self.block = [], False, False, None
        self.socket.setblocking(False)
        if start:
            self.send(PREFACE + self.settings(*ours))
            self.until(lambda: self.theirs is not None and not self.pending, "SETTINGS")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    # Sending.

    def settings(self, *pairs):
        """A SETTINGS frame to send at once.

        What raises a limit counts from now on, what lowers it when it is acknowledged (6.5.3).
        """
        later = []
        for key, value in pairs:
            change = value - self.wished.get(key, value)
            self.wished[key] = value
            if change > 0:
                self.allow(key, change)
            else:
                later.append((key, change))
        self.pending.append(later)
        return settings(*pairs)

    def allow(self, key, change):
        if key not in self.ours:
            return
        self.ours[key] += change
        if key == Setting.INITIAL_WINDOW_SIZE:
            for stream in self.streams.values():
                stream.window += change
        if key == Setting.HEADER_TABLE_SIZE:
            self.decoder.max_allowed_table_size = self.ours[key]

    def send(self, *pieces, limit=PATIENCE, reading=True):
        """Sends and reads until all is sent. A connection that was closed is found by reading."""
        self.outgoing += b"".join(pieces)
        deadline = time.monotonic() + limit
        while self.outgoing and not self.closed:
            self.turn(deadline, reading)

    def turn(self, deadline, reading=True):
        """Waits once, until something can be read or what waits be written."""
        left = deadline - time.monotonic()
        buffered = isinstance(self.socket, ssl.SSLSocket) and self.socket.pending()
        if not buffered:
            readable, writable = [self.socket] if reading else [], [self.socket] if self.outgoing else []
            ready = select.select(readable, writable, [], max(0, left))
            if left <= 0 or not ready[0] and not ready[1]:
                raise TimeoutError(f"nothing came for too long; {self}")
            if ready[1]:
                self.write()
        if buffered or ready[0]:
            self.read()

    def write(self):
        try:
            del self.outgoing[:self.socket.send(self.outgoing[:256 * KIB])]
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError:
            self.unsent = True
            self.outgoing.clear()

    def read(self):
        try:
            piece = self.socket.recv(256 * KIB)
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        except OSError:
            piece = b""
        if not piece:
            self.closed = True
            return
        self.buffer += piece
        at = 0
        while len(self.buffer) - at >= 9:
            high, low, kind, flags, stream = struct.unpack_from(">BHBBL", self.buffer, at)
            length = high << 16 | low
            expect(length <= self.ours[Setting.MAX_FRAME_SIZE], f"a frame of {length} bytes")
            if len(self.buffer) - at < 9 + length:
                break
            payload = bytes(memoryview(self.buffer)[at + 9:at + 9 + length])
            at += 9 + length
            self.receive(Frame(kind, flags, stream & MAX_WINDOW, payload))
        del self.buffer[:at]

    def until(self, condition, what, limit=PATIENCE):
        deadline = time.monotonic() + limit
        while not condition():
            expect(not self.closed, f"{what} was expected, but the connection was closed; {self}")
            try:
                self.turn(deadline)
            except TimeoutError as error:
                raise Wrong(f"{what} was expected, but {error}") from None

    def delivered(self):
        """Waits until the server has read all that was sent (Linux: its socket holds nothing more)."""
        ours, theirs = (f":{end[1]:04X}" for end in (self.socket.getsockname(), self.socket.getpeername()))
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
                _, local, remote, _, queues, *_ = line.split()
                if local.endswith(theirs) and remote.endswith(ours) and int(queues.split(":")[1], 16):
                    break
            else:
                return
        raise Wrong(f"the server reads no more; {self}")

    def sync(self):
        """A PING there and back: all before it was handled."""
        count = len(self.pongs)
        self.send(ping(struct.pack(">Q", 2 ** 63 + count)))
        self.until(lambda: len(self.pongs) > count, "the acknowledgement of a PING")

    # What comes, and whether it may.

    def receive(self, got):
        if self.keep:
            self.frames.append(got)
        if self.theirs is None:
            expect(got.kind == Kind.SETTINGS and not got.flags & ACK, f"the first frame is {got}")
        expect(self.block is None or got.kind == Kind.CONTINUATION and got.stream == self.block[0],
               f"{got} within a field block")
        handler = getattr(self, f"on_{Kind(got.kind).name.lower()}", None) if got.kind in iter(Kind) else None
        if handler:
            handler(got)

    def stream_of(self, got):
        expect(got.stream in self.streams, f"{Kind(got.kind).name} on stream {got.stream}, which we never opened")
        stream = self.streams[got.stream]
        expect(not stream.ended or got.kind in (Kind.RST_STREAM, Kind.WINDOW_UPDATE), f"{got.kind} after the end: {stream}")
        expect(stream.reset is None, f"a frame of type {got.kind} after RST_STREAM: {stream}")
        return stream

    def on_settings(self, got):
        expect(got.stream == 0 and len(got.payload) % 6 == 0, f"{got}")
        if got.flags & ACK:
            expect(not got.payload and self.pending, "SETTINGS acknowledged that were not sent")
            self.acknowledged += 1
            for key, change in self.pending.popleft():
                self.allow(key, change)
            return
        self.theirs = self.theirs or {}
        for key, value in struct.iter_unpack(">HL", got.payload):
            legal = {Setting.ENABLE_PUSH: value == 0, Setting.INITIAL_WINDOW_SIZE: value <= MAX_WINDOW,
                     Setting.MAX_FRAME_SIZE: 16384 <= value < 1 << 24,
                     Setting.ENABLE_CONNECT_PROTOCOL: value <= 1}
            expect(legal.get(key, True), f"SETTINGS {key} = {value}")
            if key == Setting.INITIAL_WINDOW_SIZE:
                for stream in self.streams.values():
                    stream.send_window += value - self.theirs.get(key, 65535)
            self.theirs[key] = value
        if self.acknowledges:
            self.outgoing += settings(flags=ACK)

    def on_headers(self, got):
        payload = got.payload
        if got.flags & PADDED:
            payload = payload[1:len(payload) - payload[0]]
        if got.flags & PRIORITY_FLAG:
            payload = payload[5:]
        self.stream_of(got)
        self.block = (got.stream, bytearray(payload), got.flags & END_STREAM)
        self.end_block(got)

    def on_continuation(self, got):
        expect(self.block, "CONTINUATION without HEADERS")
        self.block[1].extend(got.payload)
        self.end_block(got)

    def end_block(self, got):
        if not got.flags & END_HEADERS:
            return
        number, encoded, end = self.block
        self.block = None
        try:
            fields = [tuple(map(str, field)) for field in self.decoder.decode(bytes(encoded))]
        except (hpack.HPACKError, UnicodeDecodeError) as error:
            raise Wrong(f"a field block that is none: {error!r}") from error
        stream = self.streams[number]
        if stream.cancelled:
            return
        names = [name for name, _ in fields]
        pseudo = [name for name in names if name.startswith(":")]
        expect(all(name == name.lower() and name not in CONNECTION_SPECIFIC for name in names), f"fields {fields}")
        found = dict(reversed(fields))
        if stream.headers is not None:
            expect(end and not pseudo, f"trailers {fields}")
            stream.trailers = fields
        else:
            expect(pseudo == [":status"] and names[0] == ":status" and re.fullmatch(r"\d{3}", fields[0][1]),
                   f"response {fields}")
            if fields[0][1][0] == "1":
                expect(not end and found[":status"] != "101", f"interim response {fields}")
                stream.interim.append(int(found[":status"]))
                return
            stream.headers, stream.fields = found, fields
        if end:
            self.end(stream)

    def on_data(self, got):
        stream = self.stream_of(got)
        length = len(got.payload)
        self.window -= length
        stream.window -= length
        expect(self.window >= 0, f"DATA beyond the connection's window by {-self.window}")
        expect(length == 0 or stream.window >= 0 or stream.cancelled, f"DATA beyond the window by {-stream.window}: {stream}")
        payload = got.payload[1:length - got.payload[0]] if got.flags & PADDED else got.payload
        expect(stream.headers is not None or stream.cancelled, f"DATA without a response: {stream}")
        if not stream.cancelled:
            stream.data += payload
        if self.refill and length:
            self.outgoing += window_update(0, length)
            self.window += length
            if stream.refill and not got.flags & END_STREAM:
                self.outgoing += window_update(got.stream, length)
                stream.window += length
        if got.flags & END_STREAM:
            self.end(stream)

    def end(self, stream):
        stream.ended = True
        length = stream.headers and stream.headers.get("content-length")
        if stream.cancelled or length is None:
            return
        if stream.method == "HEAD" or stream.status in (204, 304):
            expect(not stream.data, f"a body where none may be: {stream}")
        else:
            expect(int(length) == len(stream.data), f"content-length {length}: {stream}")

    def on_rst_stream(self, got):
        expect(len(got.payload) == 4, f"{got}")
        self.stream_of(got).reset = struct.unpack(">L", got.payload)[0]

    def on_push_promise(self, got):
        raise Wrong("PUSH_PROMISE, which nobody asked for")

    def on_ping(self, got):
        expect(got.stream == 0 and len(got.payload) == 8, f"{got}")
        if got.flags & ACK:
            self.pongs.append(got.payload)
        else:
            self.outgoing += ping(got.payload, ACK)

    def on_goaway(self, got):
        expect(got.stream == 0 and len(got.payload) >= 8, f"{got}")
        last, code = struct.unpack_from(">LL", got.payload)
        expect(not self.goaways or last <= self.goaways[-1][0], "GOAWAY with a greater stream than before")
        self.goaways.append((last & MAX_WINDOW, code))

    def on_window_update(self, got):
        increment = struct.unpack(">L", got.payload)[0] & MAX_WINDOW
        expect(increment, f"WINDOW_UPDATE of 0 on stream {got.stream}")
        if got.stream == 0:
            self.send_window += increment
            expect(self.send_window <= MAX_WINDOW, "the connection's window is beyond 2^31-1")
            return
        stream = self.stream_of(got)
        stream.send_window += increment
        expect(stream.send_window <= MAX_WINDOW, f"a window beyond 2^31-1: {stream}")

    # Requests.

    def stream(self, method="GET"):
        """The next stream, for a case that writes its frames itself."""
        stream = Stream(self.next, self.ours[Setting.INITIAL_WINDOW_SIZE], method)
        stream.send_window = (self.theirs or {}).get(Setting.INITIAL_WINDOW_SIZE, 65535)
        self.streams[self.next] = stream
        self.next += 2
        return stream

    def upload(self, stream, payload, end=True, size=16384, limit=PATIENCE):
        """Sends DATA as the windows allow, in frames of `size` bytes at most."""
        at, deadline = 0, time.monotonic() + limit
        while at < len(payload) or end and not payload:
            room = min(size, len(payload) - at, self.send_window, stream.send_window)
            if self.closed or stream.reset is not None:
                return
            if room <= 0 and payload:
                self.turn(deadline)
                continue
            last = end and at + room == len(payload)
            self.send(data(stream.number, payload[at:at + room], last))
            at += room
            stream.send_window -= room
            self.send_window -= room
            if last:
                return

    def ask(self, fields, end=True):
        """Sends a request as one HEADERS frame."""
        method = dict(fields).get(":method")
        stream = self.stream(method)
        self.send(headers(stream.number, block(*fields), end))
        return stream

    def get(self, path="/small.txt", *more, **pseudo):
        return self.ask(request(path, *more, **pseudo))

    def response(self, stream, status=None, limit=PATIENCE):
        """Waits for the end of a response that is no reset."""
        self.until(lambda: stream.over, f"the end of {stream}", limit)
        expect(stream.ended, f"{stream}")
        expect(status is None or stream.status == status, f"{stream}, and not {status}")
        return stream

    def cancel(self, stream, code=Error.CANCEL):
        stream.cancelled = True
        self.send(rst_stream(stream.number, code))

    # What is to come of it.

    def serves(self):
        """The connection serves another request."""
        stream = self.response(self.get(), 200)
        expect(bytes(stream.data) == SMALL, f"{stream}: {bytes(stream.data)[:80]}")
        return "serves on"

    def fails(self, *codes, bare=False, limit=PATIENCE):
        """A connection error (5.4.1): GOAWAY with one of the codes, then the end of the connection.

        `bare`: GOAWAY may be left out.
        """
        deadline = time.monotonic() + limit
        while not self.closed:
            try:
                self.turn(deadline)
            except TimeoutError:
                expect(self.goaways, f"GOAWAY {' or '.join(map(name_of, codes))} was expected; {self}")
                raise Wrong(f"the connection was not closed; {self}") from None
        if bare and not self.goaways:
            return "closed"
        expect(self.goaways, "closed without GOAWAY")
        expect(self.goaways[-1][1] in codes, f"{self}, and not {' or '.join(map(name_of, codes))}")
        return f"GOAWAY {name_of(self.goaways[-1][1])}"

    def resets(self, stream, *codes, statuses=(), serves=True):
        """A stream error (5.4.2), or a response with one of `statuses` where one is allowed.

        An endpoint may always take a stream error for a connection error (5.4.1).
        """
        deadline = time.monotonic() + PATIENCE
        while not stream.over and not self.closed:
            try:
                self.turn(deadline)
            except TimeoutError:
                wanted = " or ".join(map(name_of, codes))
                raise Wrong(f"RST_STREAM {wanted} was expected; {stream}; {self}") from None
        if self.closed:
            return self.fails(*codes)
        if stream.status in statuses and (stream.ended or stream.reset == Error.NO_ERROR):
            said = f"answered {stream.status}"
        else:
            expect(stream.reset in codes, f"{stream}, and not {' or '.join(map(name_of, codes))}")
            said = f"RST_STREAM {name_of(stream.reset)}"
        if serves:
            self.serves()
        return said

    def __str__(self):
        said = f"GOAWAY {name_of(self.goaways[-1][1])} came" if self.goaways else "no GOAWAY came"
        return said + (", closed" if self.closed else ", open")


def connect(server, *ours, **options):
    return Connection(server.address, *ours, **options)
