"""WebSockets as a client sees them: over a stream of HTTP/2 (RFC 8441), and over HTTP/1.1."""

import socket
import struct

from common import PATIENCE, expect, request

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA


def frame(opcode, payload=b"", fin=True, mask=b"\x12\x34\x56\x78", rsv=0):
    """A frame of a client (RFC 6455 section 5.2); unmasked if `mask` is None."""
    payload = payload.encode() if isinstance(payload, str) else payload
    length, masked = len(payload), 0x80 if mask else 0
    head = bytes([fin << 7 | rsv << 4 | opcode])
    if length < 126:
        head += bytes([masked | length])
    elif length < 1 << 16:
        head += struct.pack(">BH", masked | 126, length)
    else:
        head += struct.pack(">BQ", masked | 127, length)
    if not mask:
        return head + payload
    repeated = int.from_bytes((mask * (length // 4 + 1))[:length], "big")
    return head + mask + (int.from_bytes(payload, "big") ^ repeated).to_bytes(length, "big")


def close(code=None, reason=""):
    return frame(CLOSE, b"" if code is None else struct.pack(">H", code) + reason.encode())


def parse(buffer):
    """The first frame of a server as (opcode, payload, rsv, length in all), or None if it is not whole."""
    if len(buffer) < 2:
        return None
    expect(not buffer[1] & 0x80 and buffer[0] & 0x80, f"masked, or a fragment: {bytes(buffer[:20])}")
    length, at = buffer[1] & 0x7F, 2
    if length > 125:
        at = 4 if length == 126 else 10
        if len(buffer) < at:
            return None
        length = int.from_bytes(buffer[2:at], "big")
    if len(buffer) < at + length:
        return None
    return buffer[0] & 0xF, bytes(buffer[at:at + length]), buffer[0] >> 4 & 7, at + length


def connect_fields(path, *more, protocol="websocket", version="13", **pseudo):
    """The fields of an extended CONNECT (RFC 8441 section 4)."""
    pseudo = {"method": "CONNECT", **pseudo}
    fields = request(path, **pseudo)
    if protocol is not None:
        fields.append((":protocol", protocol))
    if version is not None:
        fields.append(("sec-websocket-version", version))
    return fields + list(more)


class Tunnel:
    """A WebSocket over a stream of `connection`, opened."""

    def __init__(self, connection, path, *more, **options):
        self.connection = connection
        self.stream = connection.ask(connect_fields(path, *more, **options), end=False)
        self.at = 0

    def opened(self):
        """Waits for the 200."""
        stream = self.stream
        self.connection.until(lambda: stream.headers or stream.over, "the answer to a handshake")
        expect(stream.status == 200 and not stream.over, f"{stream}")
        for name in ("sec-websocket-accept", "upgrade", "connection", "content-length"):
            expect(name not in stream.headers, f"{name} with the 200")
        return self

    def send(self, *frames, end=False, size=16384):
        self.connection.upload(self.stream, b"".join(frames), end, size)

    def next(self, limit=PATIENCE, pings=False):
        """The next frame as (opcode, payload). A heartbeat's PING is answered, and is none but with `pings`."""
        found = []

        def whole():
            found[:] = [parse(memoryview(self.stream.data)[self.at:])]
            return found[0]
        self.connection.until(lambda: whole() or self.stream.over, f"a WebSocket frame of {self.stream}", limit)
        expect(found[0] or whole(), f"no WebSocket frame any more: {self.stream}")
        opcode, payload, rsv, length = found[0]
        self.rsv = rsv
        self.at += length
        if self.at > 1 << 16:
            del self.stream.data[:self.at]
            self.at = 0
        if opcode == PING and not pings:
            self.send(frame(PONG, payload))
            return self.next(limit)
        return opcode, payload

    def says(self, opcode, payload, limit=PATIENCE):
        payload = payload.encode() if isinstance(payload, str) else payload
        got = self.next(limit)
        expect(got == (opcode, payload), f"{got[0]:x} {got[1][:60]} of {len(got[1])} bytes came, "
                                         f"and not {opcode:x} {payload[:60]} of {len(payload)}")

    def closes(self, *codes):
        """The server's Close with one of these codes, 1005 for none; then the end of its side."""
        opcode, payload = self.next()
        expect(opcode == CLOSE, f"{opcode:x} {payload[:60]} came, and no Close")
        code = int.from_bytes(payload[:2], "big") if payload else 1005
        expect(code in codes, f"Close {code} {payload[2:]}, and not {codes}")
        self.ends()
        return code

    def ends(self):
        self.connection.until(lambda: self.stream.over, f"the end of {self.stream}")
        expect(self.stream.ended and len(self.stream.data) == self.at, f"{self.stream}")


class Plain:
    """A WebSocket over HTTP/1.1, opened."""

    def __init__(self, address, path):
        self.socket = socket.create_connection(address, PATIENCE)
        self.socket.sendall(b"GET " + path.encode() + b" HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        self.buffer = bytearray()
        while b"\r\n\r\n" not in self.buffer:
            self.read()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        expect(head.startswith(b"HTTP/1.1 101"), f"{bytes(head)}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def read(self):
        piece = self.socket.recv(1 << 16)
        expect(piece, "the connection over HTTP/1.1 was closed")
        self.buffer += piece

    def send(self, *frames):
        self.socket.sendall(b"".join(frames))

    def bytes(self, length):
        """So many bytes as they came."""
        while len(self.buffer) < length:
            self.read()
        taken, self.buffer = bytes(self.buffer[:length]), self.buffer[length:]
        return taken

    def next(self):
        while not (found := parse(self.buffer)):
            self.read()
        del self.buffer[:found[3]]
        if found[0] == PING:
            self.send(frame(PONG, found[1]))
            return self.next()
        return found[:2]
