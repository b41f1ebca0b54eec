#!/usr/bin/env python3
"""A thousand slow clients in each of the four modes of slowhttptest, beside fifty honest ones.

    tests/campaigns/slow_http.py PROGRAM UPLOAD [--short] [MODE...]

PROGRAM is `aerys`, UPLOAD the example of that name (docs/examples/upload.rs), which takes bodies. Modes:

    headers   (-H) header sections that never end
    body      (-B) bodies that come some bytes at a time: PROGRAM refuses them at once
    upload    (-B) the same to UPLOAD, which takes them
    range     (-R) hundreds of overlapping ranges of a file
    read      (-X) answers of 10 MiB that are read some bytes at a time, with small windows

Each opens 1,000 connections, 200 a second, and goes on for a minute. Fifty honest clients do requests
and echoes from another address meanwhile, each ten times a second: without an error, 99 of 100 answers
within 50 ms. Each slow client has to be gone by its deadline, which PROGRAM's log at `debug` shows; it
shows as well when. Of UPLOAD, which logs nothing, the descriptors are counted. Short: 200 connections,
15 s, `headers` and `body` alone, and no judgement of the time that answers take.

Needs slowhttptest. Exit status: 0 as expected; 1 not so; 2 wrong usage.
"""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

from common import MIB, HonestClients, Server, campaign, connect, expect, percentile, say

LIMIT = 0.05
# Seconds after the begin of a connection by which it has to be over, with what the log's whole
# seconds and a loaded machine may add. The defaults of PROGRAM: header-timeout 10 s, idle-timeout 15 s,
# body_grace 10 s, write-timeout 30 s, and linger_timeout 2 s behind an answer.
SLACK = 4
MODES = {
    "headers": (("-H", "-i", "3", "-x", "24"), 10 + 2),
    "body": (("-B", "-i", "3", "-x", "24", "-s", "100000"), 10 + 2),
    "upload": (("-B", "-i", "3", "-x", "24", "-s", "100000", "-t", "PUT"), 10 + 2),
    "range": (("-R", "-a", "5", "-b", "1500", "-t", "GET"), 15 + 2),
    "read": (("-X", "-n", "5", "-z", "32", "-w", "512", "-y", "1024", "-k", "1"), 30 + 2),
}
CONNECTED = re.compile(r"^\[(\S+)Z.*client (\d+) connected from 127\.0\.0\.1:")
GONE = re.compile(r"^\[(\S+)Z.*the client in slot (\d+) is gone")


def seconds(stamp):
    return time.mktime(time.strptime(stamp[:19], "%Y-%m-%dT%H:%M:%S"))


def lives(log):
    """How long each client from 127.0.0.1 was connected, in whole seconds, and how many still are."""
    begun, lasted = {}, []
    for line in log.splitlines():
        if found := CONNECTED.match(line):
            # The place of a client are the lower 24 bits of its id.
            begun[int(found[2]) & 0xFFFFFF] = seconds(found[1])
        elif (found := GONE.match(line)) and int(found[2]) in begun:
            lasted.append(seconds(found[1]) - begun.pop(int(found[2])))
    return lasted, len(begun)


def attack(url, options, connections, length):
    """Runs slowhttptest while something else is watched; returns the process."""
    command = ["slowhttptest", "-c", connections, "-r", 200, "-l", length, "-u", url, "-p", 5, *options]
    return subprocess.Popen([*map(str, command)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True)


def watch(process, server, length):
    """Waits for its end; the most descriptors that the server had, and the end of what it said."""
    most, deadline = 0, time.monotonic() + length + 30
    while process.poll() is None:
        expect(time.monotonic() < deadline, "slowhttptest does not end")
        most = max(most, server.descriptors())
        time.sleep(0.2)
    said = re.sub(r"\x1b\[[0-9;]*m", "", process.stdout.read())
    process.stdout.close()
    return most, said


def try_mode(mode, program, upload, root, short):
    options, deadline = MODES[mode]
    connections, length = (200, 15) if short else (1000, 60)
    if mode == "upload":
        command = (upload, "127.0.0.1:0")
    else:
        command = (program, "serve", "--listen", "127.0.0.1:0", "--log-level", "debug", "--root", root)
    path = {"headers": "small.txt", "body": "small.txt", "upload": "files/slow", "range": "large.bin", "read": "large.bin"}[mode]
    with Server(*command) as server:
        # UPLOAD has nothing for them, which it says at once.
        honest = (HonestClients(server.address, ["http"] * 50, path="/nothing", status=404) if mode == "upload" else
                  HonestClients(server.address, ["echo", "http"] * 25, path="/small.txt"))
        # A file that was asked for is kept open for a while.
        with connect(server.address) as warm:
            warm.sendall(f"GET /{path} HTTP/1.1\r\nHost: localhost\r\nRange: bytes=0-0\r\n\r\n".encode())
            expect(warm.recv(4096).startswith(b"HTTP/1.1 "), "no answer")
            base = server.descriptors() - 1
        begun = time.monotonic()
        process = attack(f"http://127.0.0.1:{server.address[1]}/{path}", options, connections, length)
        try:
            most, said = watch(process, server, length)
        finally:
            process.kill()
            process.wait()
        took = time.monotonic() - begun
        # Those that were still there when it ended were cut by that, and are gone soon.
        end = time.monotonic() + 10
        while server.descriptors() > base and time.monotonic() < end:
            time.sleep(0.1)
        left = server.descriptors() - base
        resident, peak = server.memory()[0], server.peak()
        honest.stop(None if short else LIMIT)
        log = server.said()
    summary = "; ".join(re.findall(r"(?m)^(?:Test ended|Exit status).*", said))
    unavailable = len(re.findall(r"service available:\s*NO", said))
    say(f"  {connections} connections for {took:.0f} s; at most {most - base} descriptors more; resident {resident} KiB, at most {peak}")
    say(f"  slowhttptest: {summary}")
    expect(unavailable == 0, f"slowhttptest found no service {unavailable} times")
    expect(left <= 0, f"{left} descriptors are left")
    # Those that are answered at once leave at once.
    expect(mode == "range" or most - base >= connections // 2, f"there were only {most - base} descriptors more")
    expect(took < 5 + deadline + SLACK + connections // 200 or took >= length, "it ended early")
    if mode == "upload":
        expect(took < connections // 200 + deadline + SLACK, f"some were there after {took:.0f} s")
        return
    lasted, left = lives(log)
    dropped = log.count("takes nothing: dropped")
    late = [one for one in lasted if one > deadline + SLACK]
    say(f"  log: {len(lasted)} came and went, after {min(lasted):.0f} to {max(lasted):.0f} s, median {percentile(lasted, 50):.0f} s; "
        f"{dropped} of them since they took nothing; {len(late)} later than {deadline + SLACK} s")
    expect(left == 0, f"{left} are not gone by the log")
    expect(len(lasted) >= connections, f"only {len(lasted)} came")
    expect(not late, f"{len(late)} were not cut at their deadline")


def main():
    words = [word for word in sys.argv[1:] if word != "--short"]
    short = "--short" in sys.argv
    expect(len(words) >= 2 and set(words[2:]) <= set(MODES), "usage: PROGRAM UPLOAD [MODE...]")
    expect(shutil.which("slowhttptest"), "slowhttptest is missing")
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        (root / "small.txt").write_bytes(b"small\n")
        (root / "large.bin").write_bytes(bytes(10 * MIB))
        for mode in words[2:] or (("headers", "body") if short else MODES):
            say(mode)
            try_mode(mode, words[0], words[1], root, short)


if __name__ == "__main__":
    campaign(__doc__, main)
