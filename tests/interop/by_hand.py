"""permessage-deflate on bytes: a client of a plain socket and the zlib of Python, nothing else."""

import base64
import contextlib
import itertools
import os
import pathlib
import random
import re
import socket
import struct
import zlib

from common import (BINARY, MIB, TEXT, Part, Server, Trouble, Wrong, expect, expect_answer, noise,
                    parameters, words)

CONTINUATION, CLOSE, PING, PONG = 0, 8, 9, 10
FIN, RSV1, RSV2, RSV3 = 0x80, 0x40, 0x20, 0x10
# What a sender leaves away at a message's end (RFC 7692 section 7.2.1).
TAIL = b"\x00\x00\xff\xff"
TIMEOUT = 10
MOST = 16 * MIB
SMALLEST = "permessage-deflate; server_max_window_bits=8; client_max_window_bits=8"
HELLO = bytes.fromhex("f248cdc9c90700")


def masked(payload, key):
    """RFC 6455 section 5.3, as one number: fast enough for megabytes."""
    repeated = key * (len(payload) // 4) + key[:len(payload) % 4]
    number = int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")
    return number.to_bytes(len(payload), "big")


class Peer:
    """A WebSocket client that sends what it is told, legal or not."""

    def __init__(self, server, offer, path="/echo"):
        self.socket = socket.create_connection(("127.0.0.1", server.port), TIMEOUT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()
        self.pongs, self.closing = [], False
        extensions = f"Sec-WebSocket-Extensions: {offer}\r\n" if offer else ""
        self.socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n{extensions}"
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n\r\n".encode())
        while b"\r\n\r\n" not in self.buffer:
            self.read_more()
        head, _, rest = bytes(self.buffer).partition(b"\r\n\r\n")
        self.buffer = bytearray(rest)
        expect(head.startswith(b"HTTP/1.1 101 "), f"the handshake was answered with {head!r}")
        found = re.findall(r"^sec-websocket-extensions:\s*(.*?)\s*$", head.decode(), re.I | re.M)
        expect(len(found) < 2, f"two extension headers: {found}")
        self.extensions = found[0] if found else None
        self.answer = parameters(found[0]) if found else {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def read_more(self):
        piece = self.socket.recv(1 << 18)
        expect(piece, "the server ended the connection")
        self.buffer += piece

    def take(self, count):
        while len(self.buffer) < count:
            self.read_more()
        taken = bytes(self.buffer[:count])
        del self.buffer[:count]
        return taken

    def send_frame(self, first, payload=b""):
        length = len(payload)
        if length < 126:
            header = struct.pack("!BB", first, 0x80 | length)
        elif length < 1 << 16:
            header = struct.pack("!BBH", first, 0x80 | 126, length)
        else:
            header = struct.pack("!BBQ", first, 0x80 | 127, length)
        key = os.urandom(4)
        self.socket.sendall(header + key + masked(payload, key))

    def send(self, kind, *pieces, rsv=RSV1):
        """One message, in as many frames as there are pieces, with a ping after each but the last."""
        for at, piece in enumerate(pieces):
            last = at == len(pieces) - 1
            self.send_frame((FIN if last else 0) | (CONTINUATION if at else kind | rsv), piece)
            if not last:
                self.send_frame(FIN | PING, str(at).encode())

    def receive_frame(self):
        first, length = self.take(2)
        expect(length < 0x80, "a frame of the server is masked")
        if length == 126:
            length, = struct.unpack("!H", self.take(2))
        elif length == 127:
            length, = struct.unpack("!Q", self.take(8))
        return first, self.take(length)

    def receive(self):
        """The next message: its kind, whether it is compressed, its payload as it came."""
        message = None
        while True:
            first, payload = self.receive_frame()
            opcode, rsv = first & 0x0F, first & 0x70
            if opcode >= CLOSE:
                expect(first & FIN and not rsv, f"a control frame begins with {first:#x}")
                expect(opcode == PONG, f"instead of a message came a frame {first:#x} {payload!r}")
                self.pongs.append(payload)
                continue
            expect((opcode == CONTINUATION) == (message is not None), f"a stray frame {first:#x}")
            if message is None:
                expect(rsv in (0, RSV1), f"a message begins with {first:#x}")
                message = (opcode, bool(rsv), bytearray())
            else:
                expect(not rsv, f"a continuation begins with {first:#x}")
            message[2].extend(payload)
            if first & FIN:
                return message[0], message[1], bytes(message[2])

    def expect_close(self, code):
        """The server closes with this code, and then ends the connection."""
        while True:
            first, payload = self.receive_frame()
            if first & 0x0F == CLOSE:
                break
            expect(first == FIN | PONG, f"instead of a close came {first:#x} {payload[:40]!r}")
        came = int.from_bytes(payload[:2], "big")
        expect(came == code, f"closed with {came} {payload[2:]!r} instead of {code}")
        with contextlib.suppress(ConnectionError):
            if not self.closing:
                self.send_frame(FIN | CLOSE, payload[:2])
            while self.socket.recv(1 << 16):
                pass

    def close(self):
        self.closing = True
        self.send_frame(FIN | CLOSE, (1000).to_bytes(2, "big"))
        self.expect_close(1000)


class Inflater:
    """Inflates messages of the server, and takes no distance beyond the window that was agreed on.

    zlib takes one inside what it returns at once. Where that is one byte at a time, all that it can
    look back to is the window.
    """

    def __init__(self, answer):
        self.bits = answer.get("server_max_window_bits", 15)
        self.takeover = "server_no_context_takeover" not in answer
        self.zlib = zlib.decompressobj(-self.bits)

    def inflate(self, payload):
        if not self.takeover:
            self.zlib = zlib.decompressobj(-self.bits)
        inflated = bytearray()
        payload += TAIL
        for at in range(0, len(payload), 7):
            waiting = payload[at:at + 7]
            while True:
                byte = self.zlib.decompress(waiting, 1)
                waiting = self.zlib.unconsumed_tail
                if not byte and not waiting:
                    break
                inflated += byte
        expect(not self.zlib.eof, "the server ended a deflate stream")
        return bytes(inflated)

    def expect_message(self, peer, kind, content, compressed=None):
        """The next message is this one. `compressed`: whether it is to be; None: that is left open."""
        came, was_compressed, payload = peer.receive()
        expect(came == kind, f"a message of kind {came} came instead of {kind}")
        if compressed is not None:
            expect(was_compressed == compressed,
                   f"{len(content)} bytes came {'compressed' if was_compressed else 'plain'}")
        try:
            inflated = self.inflate(payload) if was_compressed else payload
        except zlib.error as error:
            raise Wrong(f"{len(content)} bytes: window of {self.bits} bits: {error}") from error
        expect(inflated == content, f"{len(content)} bytes came back as {len(inflated)} other ones")
        return len(payload)


class Deflater:
    """Compresses messages for the server, within the window that was agreed on."""

    def __init__(self, answer, level=6):
        # zlib makes none of 8 bits. With 9, its distances end at 2^9 - 262 = 250.
        self.bits = max(9, answer.get("client_max_window_bits", 15))
        self.takeover = "client_no_context_takeover" not in answer
        self.level = level
        self.begin()

    def begin(self):
        self.zlib = zlib.compressobj(self.level, zlib.DEFLATED, -self.bits)

    def deflate(self, *blocks, flush=zlib.Z_SYNC_FLUSH):
        """One message, of several blocks if there are several pieces, with this flush in between."""
        if not self.takeover:
            self.begin()
        payload = b""
        for block in blocks[:-1]:
            payload += self.zlib.compress(block) + self.zlib.flush(flush)
        payload += self.zlib.compress(blocks[-1]) + self.zlib.flush(zlib.Z_SYNC_FLUSH)
        if not payload.endswith(TAIL):  # there was nothing to flush
            return b"\x00"
        return payload[:-len(TAIL)] or b"\x00"


class Bits:
    """Deflate by hand (RFC 1951): bits are packed from the lowest."""

    def __init__(self):
        self.value = self.count = 0

    def put(self, value, count):
        self.value |= value << self.count
        self.count += count

    def put_code(self, code, count):
        """Huffman codes alone come highest bit first."""
        self.put(int(f"{code:0{count}b}"[::-1], 2), count)

    def bytes(self):
        return self.value.to_bytes((self.count + 7) // 8, "little")


    def put_match(self, distance):
        """258 bytes from so far back."""
        self.put_code(0b11000000 + 285 - 280, 8)
        high = distance - 1
        extra = max(0, high.bit_length() - 2)
        self.put_code(2 * extra + (high >> extra), 5)
        self.put(high & ((1 << extra) - 1), extra)


def back_reference(distance, run=0):
    """A message that is one match, so far back, perhaps behind 1 + 258 * `run` zeros."""
    bits = Bits()
    bits.put(0b010, 3)  # not the last block; fixed Huffman codes
    if run:
        bits.put_code(0b00110000, 8)
    for back in [*[1] * run, distance]:
        bits.put_match(back)
    bits.put_code(0, 7)  # the end of the block
    bits.put(0b000, 3)  # the empty stored block, of which TAIL is the rest
    return bits.bytes()


def stored(content, size=0xFFFF):
    """Stored blocks, and the 0 that begins the one of TAIL."""
    pieces = [content[at:at + size] for at in range(0, len(content), size)]
    return b"".join(struct.pack("<BHH", 0, len(piece), len(piece) ^ 0xFFFF) + piece
                    for piece in pieces) + b"\x00"


def cut(payload, count):
    """In so many pieces, all but the last of the same length."""
    size = max(1, len(payload) // count)
    cuts = [size * at for at in range(count)]
    return [payload[a:b] for a, b in itertools.pairwise([*cuts, len(payload)])]


def strictness():
    """The inflater that judges the server refuses what it is to refuse."""
    for bits in range(8, 15):
        size = 1 << bits
        for distance, messages in itertools.product((size, size + 1), (
                lambda distance: [stored(bytes(size + 1)), back_reference(distance)],
                lambda distance: [back_reference(distance, size // 258 + 1)])):
            inflater = Inflater({"server_max_window_bits": bits})
            try:
                for message in messages(distance):
                    inflater.inflate(message)
                refused = False
            except zlib.error:
                refused = True
            if refused != (distance > size):
                raise Trouble(f"this Python's zlib, {zlib.ZLIB_RUNTIME_VERSION}, does not keep to a "
                              f"window of {bits} bits; use another Python")


VECTORS = [
    # RFC 7692 section 7.2.3, in its order; each is "Hello".
    ("7.2.3.1, one frame", [HELLO]),
    ("7.2.3.1, two frames", [HELLO[:3], HELLO[3:]]),
    ("7.2.3.2, a reference to the message before", [bytes.fromhex("f200110000")]),
    ("7.2.3.3, a stored block", [bytes.fromhex("000500faff48656c6c6f00")]),
    ("7.2.3.4, a block that is the last", [bytes.fromhex("f348cdc9c9070000")]),
    ("7.2.3.2 behind 7.2.3.4", [bytes.fromhex("f200110000")]),
    ("7.2.3.5, two blocks", [bytes.fromhex("f24805000000ffffcac9c90700")]),
]


def vectors(part, server, offer):
    """The examples of the RFC, one after the other on one connection."""
    with part.attempt(f"the vectors of the RFC, {offer}"), Peer(server, offer) as peer:
        takeover = "client_no_context_takeover" not in peer.answer
        inflater = Inflater(peer.answer)
        for name, pieces in VECTORS:
            if "7.2.3.2" in name and not takeover:
                continue
            for kind in (TEXT, BINARY):
                peer.send(kind, *pieces)
                try:
                    inflater.expect_message(peer, kind, b"Hello")
                except Wrong as wrong:
                    raise Wrong(f"{name}: {wrong}") from wrong
                part.messages += 1
        for pieces in ([b"\x00"], [b"\x00", b""], [b"", b"\x00"]):  # 7.2.3.6, empty messages
            peer.send(TEXT, *pieces)
            inflater.expect_message(peer, TEXT, b"", compressed=False)
            part.messages += 1
        peer.close()


def echoes(part, server, mode, offer, level):
    """All ways to write a message, in the windows that were agreed on both ways."""
    with part.attempt(f"{mode}, level {level}, {offer}"), Peer(server, offer) as peer:
        expect_answer(peer.answer, parameters(offer, is_answer=False), mode)
        inflater, deflater = Inflater(peer.answer), Deflater(peer.answer, level)
        long, short, same = words(level, 40_000), words(level, 90), noise(level, 100) * 2
        plain = words(level, 2000)
        rough = random.Random(level).randbytes(20_000)
        deflate = deflater.deflate

        def echo(kind, content, *pieces, rsv=RSV1, compressed=None):
            peer.send(kind, *pieces, rsv=rsv)
            part.messages += 1
            pongs = [str(at).encode() for at in range(len(pieces) - 1)]
            size = inflater.expect_message(peer, kind, content, compressed)
            expect(peer.pongs == pongs, f"pings {pongs} were answered with {peer.pongs}")
            peer.pongs.clear()
            return size

        echo(TEXT, long, deflate(long), compressed=True)
        echo(BINARY, b"", b"\x00", compressed=False)
        echo(TEXT, short, deflate(short))
        echo(BINARY, rough, deflate(rough), compressed=False)
        # Fragments that end anywhere in the deflate stream, also in the middle of a character.
        echo(TEXT, short, *cut(deflate(short), 40))
        echo(BINARY, long, *cut(deflate(long), 13), compressed=True)
        echo(TEXT, long, b"", *cut(deflate(long), 3), b"", compressed=True)
        # Blocks of all kinds.
        echo(BINARY, long, deflate(*cut(long, 5)), compressed=True)
        echo(BINARY, long, deflate(*cut(long, 5), flush=zlib.Z_FULL_FLUSH), compressed=True)
        echo(BINARY, long, *cut(deflate(*cut(long, 7)), 11), compressed=True)
        deflater.begin()  # what is stored by hand, its window does not know
        echo(BINARY, rough, stored(rough, 999), compressed=False)
        echo(TEXT, long, *cut(stored(long), 3), compressed=True)
        # One that is not compressed is no part of the window.
        first = echo(BINARY, same, deflate(same))
        echo(BINARY, rough[:5000], rough[:5000], rsv=0, compressed=False)
        echo(TEXT, plain, *cut(plain, 3), rsv=0, compressed=True)
        again = echo(BINARY, same, deflate(same))
        second = echo(BINARY, same, deflate(same), compressed=inflater.takeover or None)
        if inflater.takeover:
            expect(second < first / 4, f"a repeated message takes {second} bytes, at first {first}")
        else:
            expect(second == again, f"without takeover {again} bytes become {second}")
        peer.close()


def windows(part, server):
    """A message may refer to what lies a whole window back, and to nothing beyond."""
    for bits in range(8, 16):
        size = 1 << bits
        before = random.Random(bits).randbytes(size + 300)
        for distance in (size - 1, size, size + 1):
            if distance > 1 << 15:  # there is no code for it
                continue
            offer = f"permessage-deflate; client_max_window_bits={bits}"
            with part.attempt(f"{bits} bits, distance {distance}"), Peer(server, offer) as peer:
                inflater = Inflater(peer.answer)
                for pieces in ([before], cut(before, 3)):  # what is pushed out at once or by and by
                    for piece in pieces:
                        peer.send(BINARY, stored(piece))
                        inflater.expect_message(peer, BINARY, piece)
                        part.messages += 1
                peer.send(BINARY, *cut(back_reference(distance), 2))
                part.messages += 1
                if distance > size:
                    peer.expect_close(1007)
                    continue
                expected = (before[-distance:] * 2)[:258]
                inflater.expect_message(peer, BINARY, expected)
                peer.close()


def edges(part, server, level):
    """What the server refers to is not beyond the window that it agreed to."""
    for bits in range(8, 16):
        offer = f"permessage-deflate; server_max_window_bits={bits}"
        with part.attempt(f"level {level}, {bits} bits"), Peer(server, offer) as peer:
            expect_answer(peer.answer, {"server_max_window_bits": bits}, "dedicated")
            inflater = Inflater(peer.answer)
            # Repeated at one distance only; the zeros make less of all of it.
            for beyond in (-263, -262, -261, -6, -5, -1, 0, 1, 100):
                distance = (1 << bits) + beyond
                block, end = noise(distance, max(0, distance)), bytes(300)
                contents = [block + block[:300] + end]
                if distance > 1000:  # the same from one message to the next
                    contents += [block[:-300] + end, block[:300] + end]
                for content in contents if distance > 100 else []:
                    peer.send(BINARY, stored(content))
                    inflater.expect_message(peer, BINARY, content, compressed=True)
                    part.messages += 1
            peer.close()


def broadcast(part, program, log):
    """Clients that agreed on different things are all sent the same."""
    offers = [None, "permessage-deflate; server_max_window_bits=8", SMALLEST,
              "permessage-deflate; server_max_window_bits=9", "permessage-deflate",
              "permessage-deflate; server_no_context_takeover",
              "permessage-deflate; client_max_window_bits"]
    for mode in ("shared", "dedicated"):
        with part.attempt(f"broadcast, {mode}"), Server(program, log, mode) as server, \
                contextlib.ExitStack() as stack:
            peers = [stack.enter_context(Peer(server, offer, "/broadcast")) for offer in offers]
            inflaters = [Inflater(peer.answer) for peer in peers]
            sender, deflater = peers[-1], Deflater(peers[-1].answer)
            long = words(1, 30_000)
            for content in (long, long[:500], b"", long, random.Random(1).randbytes(5000)):
                sender.send(BINARY, *cut(deflater.deflate(content), 2))
                for peer, inflater, offer in zip(peers, inflaters, offers):
                    compressed = bool(offer) and content == long
                    inflater.expect_message(peer, BINARY, content, compressed)
                    part.messages += 1
            for peer in peers:
                peer.close()


def declined(part, server):
    """Offers that must not be taken, and ones that must be taken behind them."""
    for bad in ("server_max_window_bits", "server_max_window_bits=7", "client_max_window_bits=16",
                "server_max_window_bits=08", "unknown", "client_no_context_takeover=1",
                "server_max_window_bits=9; server_max_window_bits=9"):
        offer = f"permessage-deflate; {bad}"
        with part.attempt(f"declined: {bad}"), Peer(server, offer) as peer:
            expect(peer.extensions is None, f"answered with {peer.extensions!r}")
            peer.send(TEXT, b"plain", rsv=0)
            Inflater({}).expect_message(peer, TEXT, b"plain", compressed=False)
            peer.send(TEXT, HELLO)
            peer.expect_close(1002)
        second = f"foo, {offer}, permessage-deflate; server_max_window_bits=9"
        with part.attempt(f"taken behind: {bad}"), Peer(server, second) as peer:
            expect(peer.answer.get("server_max_window_bits") == 9, f"answered with {peer.extensions!r}")
            peer.send(TEXT, HELLO)
            Inflater(peer.answer).expect_message(peer, TEXT, b"Hello")
            peer.close()
        part.messages += 3


def refusals(part, server):
    """What is not permessage-deflate ends the connection, with the right code."""
    long = Deflater({}).deflate(words(1, 3000))
    broken_later = bytearray(long)
    broken_later[len(long) // 2:] = b"\xff" * (len(long) - len(long) // 2)
    bad_text = Deflater({}).deflate(words(1, 3000) + b"\xff" + words(2, 3000))
    half_character = Deflater({}).deflate("Grüße 🎉".encode()[:-1])
    cases = [
        ("RSV1 on a continuation", 1002, [(TEXT | RSV1, HELLO[:3]), (FIN | RSV1, HELLO[3:])]),
        ("RSV1 on a continuation of a plain message", 1002, [(TEXT, b"He"), (FIN | RSV1, b"llo")]),
        ("RSV1 on a ping", 1002, [(FIN | PING | RSV1, b"")]),
        ("RSV1 on a pong", 1002, [(FIN | PONG | RSV1, b"")]),
        ("RSV1 on a close", 1002, [(FIN | CLOSE | RSV1, b"\x03\xe8")]),
        ("RSV2 on a message", 1002, [(FIN | TEXT | RSV2, b"Hello")]),
        ("RSV1 and RSV2", 1002, [(FIN | TEXT | RSV1 | RSV2, HELLO)]),
        ("RSV3 on a message", 1002, [(FIN | BINARY | RSV3, b"Hello")]),
        ("RSV2 on a continuation", 1002, [(TEXT | RSV1, HELLO[:3]), (FIN | RSV2, HELLO[3:])]),
        ("a message inside another", 1002, [(TEXT | RSV1, HELLO[:3]), (FIN | TEXT | RSV1, HELLO)]),
        ("a block of no type", 1007, [(FIN | BINARY | RSV1, b"\x06\x00")]),
        ("a stored block whose length is wrong", 1007,
         [(FIN | BINARY | RSV1, bytes.fromhex("000500faf048656c6c6f00"))]),
        ("a reference to before the first message", 1007, [(FIN | BINARY | RSV1, back_reference(1))]),
        ("plain text that claims to be compressed", 1007, [(FIN | TEXT | RSV1, b"Hello, world")]),
        ("deflate that breaks in the middle", 1007, [(FIN | BINARY | RSV1, bytes(broken_later))]),
        ("a cut message", 1007, [(FIN | BINARY | RSV1, long[:len(long) // 2])]),
        ("a message cut by one byte", 1007, [(FIN | TEXT | RSV1, HELLO[:-1])]),
        ("nonsense behind the last block", 1007,
         [(FIN | BINARY | RSV1, bytes.fromhex("f348cdc9c90700ffff"))]),
        ("a cut stored block", 1007, [(FIN | BINARY | RSV1, stored(b"Hello")[:-3])]),
        ("a cut message in fragments", 1007, [(BINARY | RSV1, long[:100]), (FIN, long[100:200])]),
        ("text that is not UTF-8", 1007, [(FIN | TEXT | RSV1, bad_text)]),
        ("text that is not UTF-8 in fragments", 1007,
         [(TEXT | RSV1, bad_text[:50]), (FIN, bad_text[50:])]),
        ("text that ends inside a character", 1007, [(FIN | TEXT | RSV1, half_character)]),
    ]
    for name, code, frames in cases:
        with part.attempt(name), Peer(server, "permessage-deflate") as peer:
            # After a message that is as it should be.
            peer.send(TEXT, b"first", rsv=0)
            Inflater(peer.answer).expect_message(peer, TEXT, b"first")
            for first, payload in frames:
                peer.send_frame(first, payload)
            peer.expect_close(code)
            part.messages += 2
    with part.attempt("a reference where no context is kept"), \
            Peer(server, "permessage-deflate; client_no_context_takeover") as peer:
        expect("client_no_context_takeover" in peer.answer, f"answered with {peer.extensions!r}")
        peer.send(BINARY, stored(b"Hello" * 100))
        Inflater(peer.answer).expect_message(peer, BINARY, b"Hello" * 100)
        peer.send(BINARY, back_reference(5))
        peer.expect_close(1007)
        part.messages += 2


def zeros(mib):
    """So many MiB of zeros, compressed to a thousandth."""
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    return (packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH)) * mib + b"\x00"


def bombs(part, program, log):
    """What inflates beyond the limit of 16 MiB is refused, and never held."""
    bomb, allowed = zeros(256), MOST + 4 * MIB
    frames, most_grown = {"one frame": [bomb], "many frames": cut(bomb, 200)}, 0
    for (how, pieces), kind, mode in itertools.product(
            frames.items(), (TEXT, BINARY), ("shared", "dedicated")):
        kind_name = "text" if kind == TEXT else "binary"
        with part.attempt(f"{kind_name} bomb, {mode}, {how}"), Server(program, log, mode) as server:
            with Peer(server, "permessage-deflate") as peer:
                peer.send(TEXT, HELLO)
                Inflater(peer.answer).expect_message(peer, TEXT, b"Hello")
                # From here on the peak counts anew, where that is allowed.
                with contextlib.suppress(PermissionError):
                    pathlib.Path(f"/proc/{server.process.pid}/clear_refs").write_text("5")
                before = server.memory("VmRSS")
                with contextlib.suppress(ConnectionError):  # refused before all of it was sent
                    peer.send(kind, *pieces)
                peer.expect_close(1009)
            grown = server.memory("VmHWM") - before
            most_grown = max(most_grown, grown)
            expect(grown <= allowed, f"{len(bomb)} bytes of zeros took {grown / MIB:.1f} MiB")
            part.messages += 2
    part.notes.append(f"the server's memory grew by {most_grown / MIB:.1f} MiB at most")
    with part.attempt("the limit"), Server(program, log, "dedicated") as server:
        offer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
        with Peer(server, offer) as peer:
            peer.send(BINARY, zeros(16))
            kind, compressed, payload = peer.receive()
            expect((kind, compressed) == (BINARY, True), "16 MiB of zeros came back otherwise")
            expect(zlib.decompressobj(-15).decompress(payload + TAIL) == bytes(MOST), "and as others")
            peer.send(BINARY, zeros(16)[:-1] + stored(b"\x00"))
            peer.expect_close(1009)
        part.messages += 2


def run(program, log, parts):
    strictness()
    with Part("by hand, windows of 8 bits, levels 1 to 9") as part:
        parts.append(part)
        for mode, level in itertools.product(("shared", "dedicated"), range(1, 10)):
            options = ("--compression-level", level, "--compression-threshold-bytes", 128)
            with Server(program, log, mode, *options) as server:
                takeover = ["", "; server_no_context_takeover", "; client_no_context_takeover"]
                for flags in takeover if level == 1 else takeover[:1]:
                    echoes(part, server, mode, SMALLEST + flags, level)
                vectors(part, server, SMALLEST)
                vectors(part, server, "permessage-deflate")
    with Part("by hand, distances of a whole window to the server") as part, \
            Server(program, log, "dedicated") as server:
        parts.append(part)
        windows(part, server)
    with Part("by hand, distances of the server near the end of its window") as part:
        parts.append(part)
        for level in (1, 2, 5, 9):  # each is another way to compress
            options = ("--compression-level", level, "--compression-threshold-bytes", 1)
            with Server(program, log, "dedicated", *options) as server:
                edges(part, server, level)
    with Part("by hand, broadcasts to clients of all kinds") as part:
        parts.append(part)
        broadcast(part, program, log)
    for mode in ("shared", "dedicated"):
        with Part(f"by hand, what is refused, {mode}") as part, Server(program, log, mode) as server:
            parts.append(part)
            declined(part, server)
            refusals(part, server)
    with Part(f"by hand, bombs of 256 MiB in {len(zeros(256)) // 1024} KiB") as part:
        parts.append(part)
        bombs(part, program, log)
