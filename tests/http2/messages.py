"""The rules of RFC 9113 section 8: requests that are malformed, those that are not, and the responses.

    messages.py PROGRAM [PATTERN...]          starts PROGRAM; only the cases whose title begins so
    messages.py --at HOST:PORT [PATTERN...]   against a server that runs, with the files of common.make_root

A line for each case says what came of it. Exit status: 0 as expected; 1 not so; 2 wrong usage; 3 it
could not be run.
"""

from client import connect
from common import (END_HEADERS, MIB, SMALL, Error, block, case, continuation, data, expect, headers,
                    literal, main, request)

# What the demo says to a method or a body that it has no use for.
REFUSED = (404, 405, 411, 413, 415, 501)


def malformed(section, name, fields, *body, also=()):
    """8.1.1: a stream error of type PROTOCOL_ERROR, before which a 400 may be sent.

    `body` are frames of stream 1 that follow, of which the last ends the stream. `also` are statuses
    of answers that may be given before the fault is seen.
    """
    @case(section, name)
    def run(server):
        with connect(server) as connection:
            stream = connection.stream(dict(fields).get(":method"))
            connection.send(headers(stream.number, block(*fields), end=not body), *body)
            return connection.resets(stream, Error.PROTOCOL_ERROR, statuses=(400, *also))


def without(name, *more, **pseudo):
    return [field for field in request(*more, **pseudo) if field[0] != name]


# 8.2.1: names and values.

for one in ("Upper", "uPPER", "A", "a\x00b", "a b", " a", "a\t", "a\rb", "a\nb", "a\r\nb: c", "a\x7f", "a\x80", "a:", "a:b", ""):
    malformed("8.2.1", f"a field named {one!r}", request("/small.txt", (one.encode("latin-1"), "x")))
for one in ("(a)", "a,b", "a/b", "a\"b", "[a]", "{a}", "a@b", "a=b"):
    # No token (RFC 9110 5.1), though 8.2.1 demands less.
    @case("8.2.1", f"a field named {one!r}, which is no token")
    def _(server, one=one):
        with connect(server) as connection:
            return connection.resets(connection.get("/small.txt", (one, "x")), Error.PROTOCOL_ERROR, statuses=(400, 200))
for one in ("a\x00b", "a\rb", "a\nb", "a\r\nSet-Cookie: b", "\r\n", "\x00", " a", "a ", "\ta", "a\t", " "):
    malformed("8.2.1", f"the value {one!r}", request("/small.txt", ("x-value", one)))
for one in (":method", ":scheme", ":authority", ":path"):
    for text in ("a\nb", "a\rb", "a\0b", "/ HTTP/1.1\r\nHost: b\r\n\r\n"):
        malformed("8.2.1", f"{one} is {text!r}", [(name, text if name == one else value) for name, value in request()])

# 8.2.2: fields of the connection.

for one, value in (("connection", "close"), ("connection", "te"), ("proxy-connection", "keep-alive"), ("keep-alive", "timeout=5"),
                   ("transfer-encoding", "chunked"), ("transfer-encoding", "identity"), ("upgrade", "websocket"),
                   ("te", "gzip"), ("te", "trailers, gzip"), ("te", "trailers;q=0.5"), ("te", "")):
    malformed("8.2.2", f"{one}: {value}", request("/small.txt", (one, value)))

# 8.3: pseudo-header fields.

for one in (":method", ":scheme", ":path"):
    malformed("8.3.1", f"no {one}", without(one))
    malformed("8.3.1", f"{one} is empty", [(name, "" if name == one else value) for name, value in request()])
for one in (":method", ":scheme", ":authority", ":path"):
    again = dict(request())[one]
    malformed("8.3", f"{one} twice, and the same", request() + [(one, again)])
    malformed("8.3", f"{one} twice, and not the same", [(one, "/hundred.txt" if one == ":path" else "b")] + request())
    malformed("8.3", f"{one} after a field", without(one) + [("accept", "*/*"), (one, again)])
malformed("8.3", "a pseudo-header field that nobody defined", request() + [(":unknown", "x")])
malformed("8.3", "a pseudo-header field without a name", request() + [(":", "x")])
malformed("8.3", "a pseudo-header field in upper case", without(":path") + [(":Path", "/small.txt")])
malformed("8.3", "a pseudo-header field of responses", request() + [(":status", "200")])
malformed("8.3", ":status alone", [(":status", "200")])
malformed("8.3", "no field at all", [])
malformed("8.3.1", ":path without a slash", request("small.txt"))
malformed("8.3.1", ":path * for a GET", request("*"))
malformed("8.3.1", ":path with a space", request("/small.txt HTTP/1.1"))
malformed("8.3.1", ":path in absolute form", request("http://localhost/small.txt"))
malformed("8.3.1", ":authority with userinfo", request(authority="user:secret@localhost"))
malformed("8.3.1", ":authority that is none", request(authority="a/b"))
malformed("8.3.1", "host and :authority differ", request("/small.txt", ("host", "elsewhere")))
malformed("8.3.1", "host twice", request("/small.txt", ("host", "localhost"), ("host", "elsewhere"), authority=None))
malformed("8.3.1", "neither host nor :authority", request(authority=None), also=(200,))
malformed("8.3.1", "a method that is no token", request(method="G(T"), also=(501,))
malformed("8.3.1", "a method with a line of its own", request(method="GET /hundred.txt HTTP/1.1\r\n"))
malformed("8.5", "CONNECT with :path and :scheme", request(method="CONNECT"))
malformed("8.5", "CONNECT without :authority", [(":method", "CONNECT")])

# 8.1.1: content-length.

POST = request(method="POST")
for one in ("+5", "-1", "5 5", "0x5", "5,5", "", "99999999999999999999999", "1e3", "٣"):
    malformed("8.1.1", f"content-length is {one!r}", request("/small.txt", ("content-length", one), method="POST"),
              data(1, b"12345", end=True), also=(413,) if one.isdigit() else ())
malformed("8.1.1", "content-length twice, and not the same",
          request("/small.txt", ("content-length", "5"), ("content-length", "6"), method="POST"), data(1, b"12345", end=True))
malformed("8.1.1", "content-length of 5, and the stream ends at once", request("/small.txt", ("content-length", "5")))
malformed("8.1.1", "content-length of 5 of a POST that ends at once", request("/small.txt", ("content-length", "5"), method="POST"))
LENGTH = ("content-length", "5")
for what, body in (("4 bytes", [data(1, b"1234", end=True)]), ("6 bytes", [data(1, b"123456", end=True)]),
                   ("6 bytes in two frames", [data(1, b"12345"), data(1, b"6", end=True)]),
                   ("no byte", [data(1, b"", end=True)]), ("4 bytes and trailers", [data(1, b"1234"), headers(1, literal("a", "b"))])):
    malformed("8.1.1", f"content-length of 5, and {what} in DATA", request("/small.txt", LENGTH, method="POST"), *body, also=REFUSED)
    malformed("8.1.1", f"content-length of 5 of a GET, and {what} in DATA", request("/small.txt", LENGTH), *body, also=(200, 413))

# 8.1: trailers.

for what, trailers, end in (("without END_STREAM", literal("a", "b"), False), ("with a pseudo-header field", literal(":path", "/"), True),
                            ("with :status", literal(":status", "200"), True), ("in upper case", literal("A", "b"), True),
                            ("with connection", literal("connection", "close"), True), ("with a line end", literal("a", "b\nc"), True)):
    malformed("8.1", f"trailers {what}", POST, data(1, b"body"), headers(1, trailers, end=end), also=REFUSED)


# What is not malformed.

def legal(section, name, fields, status=200, body=()):
    @case(section, name)
    def run(server):
        with connect(server) as connection:
            stream = connection.stream(dict(fields).get(":method"))
            connection.send(headers(stream.number, block(*fields), end=not body), *body)
            connection.response(stream)
            expect(stream.status == status if isinstance(status, int) else stream.status in status, f"{stream}")
            return f"{stream.status}, {connection.serves()}"


legal("8.2.1", "values of bytes above 0x7f, with tabs and blanks within, and empty ones",
      request("/small.txt", ("x-a", bytes(range(0x80, 0x100))), ("x-b", "a \t b"), ("x-c", ""), ("x-d", "!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~")))
legal("8.2.1", "names of all characters of a token", request("/small.txt", ("!#$%&'*+-.^_`|~09az", "x")))
legal("8.2.2", "te: trailers", request("/small.txt", ("te", "trailers")))
legal("8.2.3", "cookie in crumbs", request("/small.txt", ("cookie", "a=b"), ("cookie", "c=d"), ("x", "y"), ("cookie", "e=f")))
legal("8.3.1", "pseudo-header fields in another order", request()[::-1])
legal("8.3.1", "host in place of :authority", request("/small.txt", ("host", "localhost"), authority=None))
legal("8.3.1", "host and :authority are the same", request("/small.txt", ("host", "localhost")))
legal("8.3.1", ":authority with a port", request(authority="localhost:1337"))
legal("8.3.1", ":authority is an IPv6 address", request(authority="[::1]:80"))
legal("8.3.1", ":scheme https on plain TCP", request(scheme="https"), status=(200, 400, 421))
legal("8.3.1", "a query", request("/small.txt?a=b&c=%20/../"))
legal("8.3.1", "OPTIONS *", request("*", method="OPTIONS"), status=(200, 204, 400, 404, 405, 501))
legal("8.3.1", "a method that nobody knows", request(method="BREW"), status=(404, 405, 501))
legal("8.5", "CONNECT to elsewhere", [(":method", "CONNECT"), (":authority", "localhost:22")], status=(400, 403, 404, 405, 501))
legal("8.1.1", "content-length of 0", request("/small.txt", ("content-length", "0")))
legal("8.1.1", "a body without content-length, in frames that are empty too", request(), (200, 400, 413),
      [data(1), data(1, b"body"), data(1), data(1, end=True)])
legal("8.1", "no such file", request("/nothing"), 404)
legal("8.1", "a path that leaves the root", request("/../../../../etc/passwd"), (400, 403, 404))


# Responses.

@case("8.1", "HEAD has the fields of GET and no DATA")
def _(server):
    with connect(server) as connection:
        one, other = connection.get("/medium.bin", method="HEAD"), connection.get("/medium.bin")
        connection.response(one, 200)
        connection.response(other, 200)
        for name in ("content-length", "content-type", "etag", "last-modified"):
            expect(one.headers.get(name) == other.headers.get(name), f"{name} is {one.headers.get(name)} of {other.headers.get(name)}")
        expect(not one.data, f"{one}")
        return connection.serves()


@case("8.1", "a 304 has no body, a 206 a part, a 416 says the length")
def _(server):
    with connect(server) as connection:
        first = connection.response(connection.get(), 200)
        expect("etag" in first.headers and "date" in first.headers, f"{first.headers}")
        same = connection.response(connection.get("/small.txt", ("if-none-match", first.headers["etag"])), 304)
        expect(not same.data, f"{same}")
        part = connection.response(connection.get("/small.txt", ("range", "bytes=1-3")), 206)
        expect(bytes(part.data) == SMALL[1:4] and part.headers["content-range"] == "bytes 1-3/6", f"{part.headers}")
        none = connection.response(connection.get("/small.txt", ("range", "bytes=100-")), 416)
        expect(none.headers["content-range"] == "bytes */6", f"{none.headers}")
        return connection.serves()


@case("8.1", "a hundred requests in one write are answered, each with its own")
def _(server):
    with connect(server) as connection:
        asked = [("/small.txt", 200, 6), ("/nothing", 404, None), ("/hundred.txt", 200, 100), ("/medium.bin", 200, 300_000)] * 20
        streams = [connection.stream() for _ in asked]
        connection.send(*(headers(stream.number, block(*request(path))) for stream, (path, _, _) in zip(streams, asked)))
        for stream, (path, status, length) in zip(streams, asked):
            connection.response(stream, status, limit=20)
            expect(length in (None, len(stream.data)), f"{path}: {stream}")


@case("8.1", "an upload that is refused is answered early, and its rest taken or refused with NO_ERROR")
def _(server):
    with connect(server) as connection:
        stream = connection.ask(request("/small.txt", ("content-length", str(MIB)), method="POST"), end=False)
        # Nothing of the body was sent yet.
        connection.until(lambda: stream.over or connection.closed, "an early answer")
        expect(stream.status in REFUSED, f"{stream}")
        connection.upload(stream, bytes(MIB))
        connection.sync()
        expect(stream.reset in (None, Error.NO_ERROR), f"{stream}")
        said = "RST_STREAM NO_ERROR" if stream.reset is not None else "took the rest"
        return f"{stream.status}, {said}, {connection.serves()}"


@case("8.1", "twenty uploads that are refused leave the connection as it was")
def _(server):
    with connect(server) as connection:
        for number in range(20):
            stream = connection.ask(request(f"/small.txt?{number}", method="PUT"), end=False)
            connection.upload(stream, bytes(50_000))
            connection.until(lambda: stream.over, "an answer")
            expect(stream.status in REFUSED, f"{stream}")
        connection.sync()
        return connection.serves()


@case("8.1.1", "expect: 100-continue is answered before the body comes")
def _(server):
    with connect(server) as connection:
        stream = connection.ask(request("/small.txt", ("expect", "100-continue"), LENGTH, method="POST"), end=False)
        connection.until(lambda: stream.headers or stream.interim, "100 or an answer")
        expect(stream.interim == [100] or stream.status in (*REFUSED, 417), f"{stream}, {stream.interim}")
        connection.upload(stream, b"12345")
        connection.until(lambda: stream.over, "an answer")
        expect(stream.reset in (None, Error.NO_ERROR), f"{stream}")
        return f"{stream.interim or ''}{stream.status}, {connection.serves()}"


@case("8.1", "trailers after a body, split over CONTINUATION")
def _(server):
    with connect(server) as connection:
        stream = connection.ask(POST, end=False)
        connection.send(data(stream.number, b"body"), headers(stream.number, literal("x-sum", "1"), flags=0),
                        continuation(stream.number, literal("x-other", "2")))
        connection.until(lambda: stream.over, "an answer")
        expect(stream.status in (200, *REFUSED) and stream.reset in (None, Error.NO_ERROR), f"{stream}")
        return f"{stream.status}, {connection.serves()}"


# 10.5.1: limits of a field section.

def limited(name, fields, *statuses):
    @case("10.5.1", name)
    def run(server):
        with connect(server) as connection:
            stream, encoded = connection.stream(), block(*fields)
            pieces = [encoded[at:at + 16384] for at in range(0, len(encoded), 16384)]
            connection.send(headers(stream.number, pieces[0], flags=0 if pieces[1:] else END_HEADERS),
                            *(continuation(stream.number, piece, 0) for piece in pieces[1:-1]),
                            *(continuation(stream.number, piece) for piece in pieces[1:][-1:]))
            return connection.resets(stream, Error.PROTOCOL_ERROR, Error.ENHANCE_YOUR_CALM, Error.CANCEL, Error.REFUSED_STREAM,
                                     Error.INTERNAL_ERROR, statuses=statuses)


legal("10.5.1", "a field section of 12,000 bytes", request("/small.txt", *((f"x-{number}", "v" * 1000) for number in range(11))))
legal("10.5.1", "70 fields", request("/small.txt", *((f"x-{number}", "v") for number in range(70))))
limited("a field of 20,000 bytes", request("/small.txt", ("x-long", "v" * 20_000)), 431)
limited("fields of 20,000 bytes in all", request("/small.txt", *((f"x-{number}", "v" * 1000) for number in range(20))), 431)
limited("fields whose names and values are short, but of which there are 2,000", request("/small.txt", *(("x", "") for _ in range(2000))), 431)
limited("a target of 10,000 bytes", request("/" + "a" * 10_000), 414, 431)


if __name__ == "__main__":
    main(__doc__)
