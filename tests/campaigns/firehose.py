#!/usr/bin/env python3
"""One client sends gigabytes of frames, another one pings.

    tests/campaigns/firehose.py PROGRAM [--short]

A gigabyte, or what three seconds take, of each of six kinds: messages of 64 bytes, of 1 KiB, of 1 MiB and empty ones, and messages of
1 MiB in fragments of one byte, all of which come back and are compared with what was sent; and Pongs that
nobody asked for, which are read and forgotten. Meanwhile a client on another connection sends a Ping each
10 ms, whatever is unanswered. Each must be answered, in order, 99 of 100 within 10 ms of when it was due.
Short: 100 MB of each, and no judgement of time.

Exit status: 0 as expected; 1 not so; 2 wrong usage.
"""

import multiprocessing
import select
import sys
import time

from common import BINARY, MIB, PATIENCE, PING, PONG, Server, campaign, expect, frame, open_websocket, percentile, say, server_frame, take_frame

PERIOD, LIMIT = 0.01, 0.01
# How long each kind goes on at least, so that there are some hundred Pongs to judge by.
SECONDS = 3


def fragments(payload):
    """A message of one byte in each frame."""
    last = len(payload) - 1
    return b"".join(frame(0 if index else BINARY, payload[index:index + 1], index == last) for index in range(len(payload)))


def kinds():
    """Name, what is sent again and again, and what comes back for it."""
    pattern = bytes(index % 251 for index in range(MIB))
    for name, size in (("messages of 64 B", 64), ("messages of 1 KiB", 1024), ("messages of 1 MiB", MIB), ("empty messages", 0)):
        one, count = frame(BINARY, pattern[:size]), max(1, MIB // (size + 6))
        yield name, one * count, server_frame(BINARY, pattern[:size]) * count
    yield "fragments of 1 B", fragments(pattern), server_frame(BINARY, pattern)
    yield "Pongs unasked", frame(PONG, bytes(125)) * (MIB // 131), b""


def ping(address, ready, stop, results):
    """Pings each PERIOD until `stop`; sends how long each took from when it was due, and what was wrong."""
    connection, buffer, sent, latencies, wrong = open_websocket(address, "/echo", "127.0.0.2"), bytearray(), 0, [], None
    ready.set()
    begun = time.monotonic()
    while not wrong and not (stop.is_set() and len(latencies) == sent):
        now = time.monotonic()
        due = begun + sent * PERIOD
        if not stop.is_set() and now >= due:
            connection.sendall(frame(PING, str(sent).encode()))
            sent += 1
            continue
        if now > begun + len(latencies) * PERIOD + PATIENCE:
            wrong = f"Ping {len(latencies)} is not answered within {PATIENCE} s"
        if select.select([connection], [], [], max(0, min(due - now, 0.1)))[0]:
            piece = connection.recv(1 << 16)
            buffer += piece
            if not piece:
                wrong = "the server closed the client that pings"
            while (taken := take_frame(buffer)) is not None:
                if taken != (PONG, str(len(latencies)).encode()):
                    wrong = f"{taken} in place of Pong {len(latencies)}"
                latencies.append(time.monotonic() - begun - len(latencies) * PERIOD)
    results.send((latencies, wrong))


def pour(address, piece, answer, total, seconds):
    """Sends at least `total` bytes, and for so long, and compares what comes back; how much that was, and
    how many seconds it took."""
    connection = open_websocket(address, "/echo")
    connection.setblocking(False)
    begun = time.monotonic()
    times = max(1, total // len(piece))
    to_send, to_read = times * len(piece), times * len(answer)
    sent = read = 0
    outgoing, expected, buffer = memoryview(piece), memoryview(answer), bytearray(MIB)
    while sent < to_send or read < to_read:
        readable, writable, _ = select.select([connection], [connection] if sent < to_send else [], [], PATIENCE)
        expect(readable or writable, f"nothing goes on behind {sent} bytes sent and {read} read")
        if readable:
            count = connection.recv_into(buffer)
            expect(count, f"the server closed behind {sent} bytes sent and {read} read")
            seen = 0
            while seen < count:
                at = (read + seen) % len(answer) if answer else 0
                part = min(count - seen, len(answer) - at)
                expect(part > 0 and buffer[seen:seen + part] == expected[at:at + part], f"other bytes came back behind {read + seen}")
                seen += part
            read += count
        if writable:
            at = sent % len(piece)
            sent += connection.send(outgoing[at:at + MIB])
        if sent == to_send and time.monotonic() - begun < seconds:
            to_send, to_read = to_send + len(piece), to_read + len(answer)
    # All was read by the server: its next answer is behind all others.
    connection.setblocking(True)
    connection.sendall(frame(PING, b"last"))
    answer = bytearray()
    while (taken := take_frame(answer)) is None:
        piece = connection.recv(4096)
        expect(piece, "the server closed in place of the last Pong")
        answer += piece
    expect(taken == (PONG, b"last"), f"{taken} in place of the last Pong")
    connection.close()
    return to_send, time.monotonic() - begun


def main():
    program, short = sys.argv[1], "--short" in sys.argv
    total = (100 if short else 1000) * 10 ** 6
    with Server(program, "serve", "--listen", "127.0.0.1:0", "--log-level", "warn") as server:
        late = []
        for name, piece, answer in kinds():
            ready, stop = multiprocessing.Event(), multiprocessing.Event()
            results, theirs = multiprocessing.Pipe(False)
            pinger = multiprocessing.Process(target=ping, args=(server.address, ready, stop, theirs), daemon=True)
            pinger.start()
            expect(ready.wait(PATIENCE), "no second client comes in")
            sent, took = pour(server.address, piece, answer, total, 0 if short else SECONDS)
            stop.set()
            latencies, wrong = results.recv()
            pinger.join()
            expect(not wrong, f"{name}: {wrong}")
            high = percentile(latencies, 99) * 1e3
            say(f"  {name}: {sent / 1e6:.0f} MB in {took:.1f} s; {len(latencies)} Pongs, median {percentile(latencies, 50) * 1e3:.2f} ms, "
                f"99th percentile {high:.2f} ms, longest {max(latencies) * 1e3:.1f} ms; resident at most {server.peak()} KiB")
            if high >= LIMIT * 1e3:
                late.append(f"{name}: {high:.1f} ms")
        expect(short or not late, f"the 99th percentile is not below {LIMIT * 1e3:.0f} ms: {late}")


if __name__ == "__main__":
    campaign(__doc__, main)
