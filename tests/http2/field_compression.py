"""Field sections as HPACK has them (RFC 7541), and what RFC 9113 section 4.3 says of that.

    field_compression.py PROGRAM [PATTERN...]          starts PROGRAM; only the cases whose title begins so
    field_compression.py --at HOST:PORT [PATTERN...]   against a server that runs, with the files of
                                                       common.make_root

That a block was read rightly is seen by the file that its :path names. Section numbers are those of
RFC 7541, unless they begin with 9113. Exit status: 0 as expected; 1 not so; 2 wrong usage; 3 it could
not be run.
"""

from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH

from client import connect
from common import (SMALL, Error, Setting, block, case, continuation, data, expect, headers,
                    integer, literal, main, octets, request, string)

HUFFMAN = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH)
HUNDRED = bytes(range(32, 82)) * 2
GET = block(*request())
COMPRESSION = Error.COMPRESSION_ERROR
# :method GET, :scheme http and :path / of the static table (appendix A), :authority with its name.
METHOD, SCHEME, AUTHORITY = b"\x82", b"\x86", b"\x01\x01a"
START = METHOD + SCHEME + AUTHORITY


def huffman(text):
    encoded = HUFFMAN.encode(octets(text))
    return integer(len(encoded), 7, 0x80) + encoded


def indexed(number):
    """Section 6.1; the dynamic table begins at 62."""
    return integer(number, 7, 0x80)


def path(text, first=0x00):
    """:path with its static name, 4; 0x40 puts it into the dynamic table."""
    return integer(4, 6 if first == 0x40 else 4, first) + string(octets(text))


def resize(size):
    """Section 6.3."""
    return integer(size, 5, 0x20)


def ask(connection, encoded, content=SMALL):
    stream = connection.stream()
    connection.send(headers(stream.number, encoded))
    connection.response(stream, 200)
    expect(bytes(stream.data) == content, f"{stream}: another file was answered")


def legal(section, name, *blocks):
    """Blocks in their order on one connection, each with the content that it asks for."""
    @case(section, name)
    def run(server):
        with connect(server) as connection:
            for encoded, content in blocks:
                ask(connection, encoded, content)
            return connection.serves()


def refused(section, name, *blocks):
    """The last block cannot be decoded: a connection error of type COMPRESSION_ERROR (9113, 4.3)."""
    @case(section, name)
    def run(server):
        with connect(server) as connection:
            for encoded in blocks[:-1]:
                ask(connection, encoded)
            stream = connection.stream()
            connection.send(headers(stream.number, blocks[-1]))
            return connection.fails(COMPRESSION)


# 5.1: integers.

legal("5.1", "integers at the ends of their prefixes, and with zeros that say nothing",
      (START + path("/small.txt") + literal("x", "v" * 126), SMALL), (START + path("/small.txt") + literal("x", "v" * 127), SMALL),
      (START + path("/small.txt") + literal("x", "v" * 128), SMALL), (START + path("/small.txt") + literal("x", "v" * 254), SMALL),
      (START + path("/small.txt") + literal("x", "v" * 255), SMALL), (START + path("/small.txt") + literal("x" * 300, "v"), SMALL),
      (START + path("/small.txt") + b"\x00\x01x\x7f\x81\x80\x00" + b"v" * 128, SMALL))
refused("5.1", "an integer beyond 2^32", START + b"\xff" + b"\xff" * 5 + b"\x7f")
refused("5.1", "an integer beyond 2^64, of a length", START + b"\x00\x7f" + b"\xff" * 10 + b"\x01" + b"a" * 100)
refused("5.1", "an integer that does not end", START + b"\xff" + b"\x80" * 500)
refused("5.1", "an integer that ends with the block", GET + b"\xff\x80")

# 5.2: strings.

ALL = bytes(range(0x21, 0x7F)) + bytes(range(0x80, 0x100)) + b" \t-"
legal("5.2", "Huffman codes: names, values, all bytes of a value",
      (METHOD + SCHEME + b"\x01" + huffman("localhost") + b"\x04" + huffman("/hundred.txt"), HUNDRED),
      (START + path("/small.txt") + b"\x00" + huffman("x-name") + huffman(ALL), SMALL),
      (START + path("/small.txt") + b"\x00" + huffman("x") + huffman(""), SMALL),
      *((START + b"\x04" + huffman("/small.txt?" + "0" * count), SMALL) for count in range(9)))
refused("5.2", "a Huffman code with EOS in it", START + b"\x04" + integer(5, 7, 0x80) + b"\xff\xff\xff\xff\xff")
refused("5.2", "a Huffman code padded by a whole byte", START + b"\x04\x83" + b"\x1f\xff\xff")
refused("5.2", "a Huffman code padded by zeros", START + b"\x04\x81\x18")
refused("5.2", "a Huffman code that is cut off", START + b"\x04\x81\xfe")
for length in (1, 5, len(GET) - 1):
    refused("5.2", f"a block that is cut off {length} bytes before its end", GET[:-length])
refused("5.2", "a string longer than the block, by much", START + b"\x04" + integer(1 << 20, 7) + b"/small.txt")

# 2.3 and 6.1: indices.

refused("6.1", "index 0", START + b"\x80")
refused("6.1", "index 62 of an empty table", START + indexed(62))
refused("6.1", "an index far beyond the table", START + indexed(1 << 20))
refused("6.2", "a name at index 62 of an empty table", START + b"\x7f\x00" + string(b"v"))
refused("6.2", "a name at index 62 of an empty table, not indexed", START + b"\x0f\x2f" + string(b"v"))
refused("6.1", "an index one beyond what was put in", START + path("/small.txt", 0x40), START + indexed(63))
legal("6.1", "entries of the dynamic table, on streams of one connection",
      (START + path("/small.txt", 0x40), SMALL), (START + indexed(62), SMALL), (START + path("/hundred.txt", 0x40), HUNDRED),
      (START + indexed(62), HUNDRED), (START + indexed(63), SMALL), (START + indexed(63) + literal("x", "y", 0x40), SMALL),
      (START + integer(63, 6, 0x40) + string(b"/small.txt"), SMALL), (START + indexed(62), SMALL), (START + indexed(64), HUNDRED))
legal("6.2", "never indexed, and not indexed: nothing is put into the table",
      (START + path("/small.txt", 0x40), SMALL), (START + path("/hundred.txt", 0x10) + literal("a", "b", 0x10), HUNDRED),
      (START + path("/hundred.txt") + literal("a", "b"), HUNDRED), (START + indexed(62), SMALL))

# 4: the dynamic table's size.

BIG = literal("x", "v" * 4040, 0x40)  # 4073 of 4096 bytes, with the 32 of section 4.1
legal("4.4", "an entry larger than the table empties it, and is none",
      (START + path("/hundred.txt", 0x40), HUNDRED), (START + path("/small.txt") + literal("x", "v" * 5000, 0x40), SMALL),
      (START + path("/small.txt", 0x40), SMALL), (START + indexed(62), SMALL))
refused("4.4", "what a larger entry has evicted", START + path("/small.txt", 0x40),
        START + path("/small.txt") + literal("x", "v" * 5000, 0x40), START + indexed(62))
# 47 bytes and 4010: what comes then, of 49, is too much by 10.
legal("4.4", "the oldest entries are evicted, and no more than is needed",
      (START + path("/small.txt", 0x40), SMALL), (START + path("/small.txt") + literal("x", "v" * 3977, 0x40), SMALL),
      (START + indexed(63), SMALL), (START + path("/hundred.txt", 0x40), HUNDRED), (START + indexed(62), HUNDRED))
refused("4.4", "what was evicted", START + path("/small.txt", 0x40), START + path("/small.txt") + BIG, START + indexed(63))
legal("4.4", "an entry that refers to the name of one that it evicts",
      (START + path("/small.txt") + BIG, SMALL), (START + path("/small.txt") + integer(62, 6, 0x40) + string(b"w" * 4040), SMALL),
      (START + path("/small.txt", 0x40), SMALL), (START + indexed(62), SMALL))
legal("4.2", "the size is changed at the beginning of a block, twice too",
      (resize(0) + START + path("/small.txt", 0x40), SMALL), (resize(4096) + START + path("/small.txt", 0x40), SMALL),
      (START + indexed(62), SMALL), (resize(100) + START + indexed(62), SMALL), (resize(50) + resize(4096) + START + indexed(62), SMALL))
refused("4.3", "what was evicted by a smaller size", START + path("/small.txt", 0x40), resize(0) + resize(4096) + START + indexed(62))
refused("6.3", "a size above SETTINGS_HEADER_TABLE_SIZE", resize(4097) + GET)
refused("6.3", "a size far above", resize((1 << 32) - 1) + GET)
refused("4.2", "the size is changed within a block", METHOD + resize(100) + SCHEME + AUTHORITY + path("/small.txt"))
refused("4.2", "the size is changed at the end of a block", GET + resize(100))


# C: the RFC's own requests, each a connection of its own. What counts is the last :path.

def example(section, *texts):
    @case(section, "the examples of the RFC")
    def run(server):
        with connect(server) as connection:
            for text in texts:
                stream = connection.stream()
                connection.send(headers(stream.number, bytes.fromhex(text)))
                connection.response(stream)
            connection.serves()
            return [stream.status for stream in connection.streams.values()]


example("C.3", "828684410f7777772e6578616d706c652e636f6d", "828684be58086e6f2d6361636865",
        "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565")
example("C.4", "828684418cf1e3c2e5f23a6ba0ab90f4ff", "828684be5886a8eb10649cbf", "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf")


# 9113, 4.3: every block is decoded, whatever becomes of its stream.

@case("9113 4.3", "a block of a malformed request changes the table")
def _(server):
    with connect(server) as connection:
        stream = connection.stream()
        connection.send(headers(stream.number, START + path("/small.txt", 0x40) + literal("Upper", "x")))
        said = connection.resets(stream, Error.PROTOCOL_ERROR, statuses=(400,), serves=False)
        ask(connection, START + indexed(62))
        return said


@case("9113 4.3", "a block of a request beyond the limit of streams changes the table")
def _(server):
    with connect(server, (Setting.INITIAL_WINDOW_SIZE, 0)) as connection:
        for _ in range(connection.theirs.get(Setting.MAX_CONCURRENT_STREAMS, 100)):
            connection.get("/large.bin")
        stream = connection.stream()
        connection.send(headers(stream.number, START + path("/small.txt", 0x40)))
        said = connection.resets(stream, Error.REFUSED_STREAM, Error.PROTOCOL_ERROR, serves=False)
        if connection.closed:
            return said
        for other in list(connection.streams.values())[:10]:
            connection.cancel(other)
        connection.send(connection.settings((Setting.INITIAL_WINDOW_SIZE, 65535)))
        ask(connection, START + indexed(62))
        return said


@case("9113 4.3", "a block on a stream that the server has reset changes the table")
def _(server):
    with connect(server) as connection:
        stream = connection.stream("POST")
        connection.send(headers(stream.number, block(*request(method="POST"), ("Upper", "x")), end=False))
        connection.until(lambda: stream.over, "a stream error")
        connection.send(data(stream.number, b"body"), headers(stream.number, path("/small.txt", 0x40)))
        ask(connection, START + indexed(62))


@case("9113 4.3", "a block of trailers changes the table")
def _(server):
    with connect(server) as connection:
        stream = connection.ask(request(method="POST"), end=False)
        connection.send(data(stream.number, b"body"), headers(stream.number, literal("x", "y", 0x40) + path("/small.txt", 0x40), flags=0),
                        continuation(stream.number, literal("z", "", 0x40)))
        connection.until(lambda: stream.over, "an end, as pseudo-header fields have no place there")
        ask(connection, START + indexed(63))


for what, encoded in (("trailers", b"\x80"), ("trailers that are cut off", b"\x00\x7f")):
    @case("9113 4.3", f"{what} that cannot be decoded")
    def _(server, encoded=encoded):
        with connect(server) as connection:
            stream = connection.ask(request(method="POST"), end=False)
            connection.send(data(stream.number, b"body"), headers(stream.number, encoded))
            return connection.fails(COMPRESSION)


@case("9113 4.3", "a block in CONTINUATION that cannot be decoded")
def _(server):
    with connect(server) as connection:
        stream = connection.stream()
        connection.send(headers(stream.number, GET, flags=0), continuation(stream.number, b"\x80"))
        return connection.fails(COMPRESSION)


# 9113, 4.3.1: the server's own encoder, which the client's decoder judges.

@case("9113 4.3.1", "a table of no bytes: nothing refers to it, and the first block says so")
def _(server):
    with connect(server) as connection:
        for _ in range(3):
            connection.serves()
        connection.send(connection.settings((Setting.HEADER_TABLE_SIZE, 0)))
        connection.until(lambda: not connection.pending, "an acknowledgement")
        for _ in range(3):
            connection.serves()
        expect(connection.decoder.header_table_size == 0, "no size update came")


@case("9113 4.3.1", "a table that becomes small, none, and large again between two requests")
def _(server):
    with connect(server) as connection:
        connection.serves()
        for sizes in ((100,), (0, 4096), (0, 50, 4096), (65536,), (4096, 0), ((1 << 32) - 1,)):
            connection.send(*(connection.settings((Setting.HEADER_TABLE_SIZE, size)) for size in sizes))
            connection.until(lambda: not connection.pending, "acknowledgements")
            for _ in range(3):
                connection.serves()
                connection.response(connection.get("/nothing"), 404)


@case("9113 4.3.1", "a table that changes while responses are on their way")
def _(server):
    with connect(server) as connection:
        for size in (0, 4096, 64, 4096, 0):
            streams = [connection.stream() for _ in range(20)]
            asked = [headers(stream.number, GET) for stream in streams]
            connection.send(*asked[:10], connection.settings((Setting.HEADER_TABLE_SIZE, size)), *asked[10:])
            for stream in streams:
                connection.response(stream, 200)


@case("9113 4.3", "1,800 entries in all that are put into the table")
def _(server):
    with connect(server) as connection:
        for number in range(30):
            ask(connection, START + path("/small.txt") + b"".join(literal(f"a{number}", str(entry), 0x40) for entry in range(60)))
        ask(connection, START + path("/small.txt") + indexed(62))
        return connection.serves()


if __name__ == "__main__":
    main(__doc__)
