#!/usr/bin/env python3
"""Two thousand clients chat, ask, join, leave, stall and break rules for twenty minutes.

    tests/campaigns/soak.py PROGRAM [--minutes N] [--clients N] [--short]

They speak HTTP/1.1, HTTP/2 (prior knowledge, with WebSockets in it) and WebSocket, in plain and over TLS;
none stays long. Twenty clients who stay ask and broadcast meanwhile: none of their messages may be lost,
doubled or out of order, and every answer has to be right. Metrics, live page and access log are on: each second
somebody asks for the metrics, and somebody watches the feed of the page all the time. Each second the program's memory (resident,
proportional, anonymous) and descriptors are looked at. In the second half both have to be flat: what a
straight line through them rises by is below 2 % or 512 KiB, and the most in the last quarter is no more
than 5 % above the most in the third. When all have left, the descriptors are those from before, every
WebSocket that was counted as opened is counted as closed, and of those there are as many lines in the
access log. Short: 16 s, 300 clients; memory is not judged.

Exit status: 0 as expected; 1 not so; 2 wrong usage.
"""

import contextlib
import json
import pathlib
import re
import sys
import tempfile
import time

from common import PING, PONG, TEXT, HonestClients, Server, campaign, connect, expect, frame, open_websocket, say, take_frame
from crowd import Crowd


def slope(values):
    """What the straight line that is nearest to them (least squares) rises by over all of them."""
    count = len(values)
    middle, mean = (count - 1) / 2, sum(values) / count
    above = sum((index - middle) * (value - mean) for index, value in enumerate(values))
    below = sum((index - middle) ** 2 for index in range(count))
    return above / below * count


def judge(name, values, slack):
    half = values[len(values) // 2:]
    third, fourth = half[:len(half) // 2], half[len(half) // 2:]
    rise, mean = slope(half), sum(half) / len(half)
    growth = max(fourth) - max(third)
    say(f"  {name}: {mean:.0f} on average in the second half, rising by {rise:+.1f} ({rise / mean:+.2%}); most in the "
        f"third quarter {max(third)}, in the last {max(fourth)}")
    expect(rise < max(slack, mean * 0.02), f"{name} rises by {rise:.0f} in the second half, of {mean:.0f}")
    expect(growth <= max(slack, max(third) * 0.05), f"{name} grows from {max(third)} in the third quarter to {max(fourth)} in the last")


class Watcher:
    """Who asks for the metrics, on a connection that is kept, and watches the feed of the live page."""

    def __init__(self, address):
        self.asks, self.feed = connect(address), open_websocket(address, "/_aerys/live")
        self.feed.setblocking(False)
        self.buffer, self.heard = bytearray(), 0

    def metrics(self):
        """Each by its name, with its labels as they stand there."""
        self.asks.sendall(b"GET /_aerys/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer, end, length = b"", -1, 0
        while end < 0 or len(answer) < end + 4 + length:
            piece = self.asks.recv(1 << 16)
            expect(piece, f"no metrics, but {answer!r}")
            answer += piece
            if end < 0 and (end := answer.find(b"\r\n\r\n")) >= 0:
                length = int(re.search(rb"(?i)content-length: (\d+)", answer)[1])
        lines = answer[end + 4:].decode().splitlines()
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}

    def look(self):
        self.metrics()
        with contextlib.suppress(BlockingIOError):
            while piece := self.feed.recv(1 << 16):
                self.buffer += piece
        while (taken := take_frame(self.buffer)) is not None:
            opcode, payload = taken
            if opcode == PING:
                self.feed.send(frame(PONG, payload))
                continue
            expect(opcode == TEXT, f"the feed sends a frame with opcode {opcode}: {payload!r}")
            json.loads(payload)
            self.heard += 1

    def leave(self):
        """How many WebSockets were opened and closed by then, the feed among them."""
        self.feed.close()
        opened = closed = -1
        end = time.monotonic() + 10
        while opened != closed or opened < 0:
            expect(time.monotonic() < end, f"{opened} WebSockets are opened, {closed} closed")
            metrics = self.metrics()
            opened = metrics["aerys_websocket_opened_total"]
            closed = sum(value for name, value in metrics.items() if name.startswith("aerys_websocket_closed_total"))
        self.asks.close()
        return opened, closed


def option(name, default):
    return float(sys.argv[sys.argv.index(name) + 1]) if name in sys.argv else default


def soak(server, count, duration):
    """Lets them come and go. Returns what was sampled, and how many WebSockets were opened and closed."""
    tls, plain = server.addresses
    watcher = Watcher(plain)
    watcher.look()
    base = server.descriptors()
    honest = HonestClients(plain, ["echo"] * 8 + ["broadcast"] * 8 + ["http"] * 4)
    crowd = Crowd(plain, tls, count)
    samples, begun, next_sample, told = [], time.monotonic(), 0, 0
    while (passed := time.monotonic() - begun) < duration:
        crowd.run(until=begun + next_sample)
        watcher.look()
        samples.append((*server.memory(), server.descriptors()))
        next_sample += 1
        if passed - told >= 60:
            told = passed
            rss, pss, anonymous, descriptors = samples[-1]
            say(f"  {passed / 60:.0f} min: {rss} KiB resident, {pss} proportional, {anonymous} anonymous, {descriptors} descriptors; "
                f"{crowd.figures()}")
    say(f"  {crowd.figures()}")
    crowd.leave()
    honest.stop()
    end = time.monotonic() + 20
    while server.descriptors() > base and time.monotonic() < end:
        time.sleep(0.1)
    left = server.descriptors() - base
    say(f"  afterwards: {server.memory()[0]} KiB resident, {left} descriptors left; at most {server.peak()} KiB; "
        f"{watcher.heard} messages of the live page's feed")
    expect(not crowd.wrong, f"{len(crowd.wrong)} wrong answers: {crowd.wrong[:5]}")
    expect(left == 0, f"{left} descriptors are left")
    opened, closed = watcher.leave()
    return samples, opened, closed


def main():
    short = "--short" in sys.argv
    duration = option("--minutes", 16 / 60 if short else 20) * 60
    count = int(option("--clients", 300 if short else 2000))
    with tempfile.TemporaryDirectory(prefix="aerys-soak-") as folder:
        access = pathlib.Path(folder) / "access"
        command = (sys.argv[1], "serve", "--log-level", "warn", "--tls-self-signed", "--listen", "127.0.0.1:0",
                   "--listen", "http://127.0.0.1:0", "--live", "--access-log", access, "--access-log-format", "json")
        with Server(*command, addresses=2) as server:
            samples, opened, closed = soak(server, count, duration)
            log = server.said()
        # What it had to write it has written when it has ended.
        logged = [json.loads(line) for line in access.read_text().splitlines()]
        size = access.stat().st_size
    of_websockets = sum(line["kind"] == "websocket" for line in logged)
    say(f"  {opened:.0f} WebSockets opened, {closed:.0f} closed; {len(logged)} lines in the access log ({size >> 20} MiB), "
        f"{of_websockets} of WebSockets")
    expect(opened == closed == of_websockets, "WebSockets are counted in different ways")
    lines = [line for line in log.splitlines() if " INFO " not in line and "ingerprint" not in line]
    expect(not any(" ERROR " in line for line in lines), f"the log has errors: {lines[:5]}")
    if not short:
        for name, values, slack in zip(("resident", "proportional", "anonymous", "descriptors"), zip(*samples), (512, 512, 512, 40)):
            judge(name, values, slack)


if __name__ == "__main__":
    campaign(__doc__, main)
