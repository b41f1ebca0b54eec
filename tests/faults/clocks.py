"""Faults of time: the wall clock jumps, the process stands still."""

import calendar
import contextlib
import os
import re
import subprocess
import time

from common import KIB, MIB, PING, PONG, TEXT, Client, Trouble, case, clients, cut_frame, expect, frame
from setting import setting

DAY = 24 * 3600
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def faked(file):
    """The surroundings of a process whose wall clock is what a file says; its other clocks are the machine's."""
    shown = subprocess.run(["faketime", "-f", "+0", "env"], stdout=subprocess.PIPE, text=True, check=True).stdout
    library = re.search(r"^LD_PRELOAD=(.*)$", shown, re.MULTILINE)
    if not library:
        raise Trouble("faketime names no library")
    return {"LD_PRELOAD": library[1], "FAKETIME_TIMESTAMP_FILE": str(file), "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}


def seconds_of(head, name):
    """The time that a field says."""
    found = re.search(rf"{name}: (.*?)\r\n", head, re.IGNORECASE)
    expect(found, f"no {name} in {head!r}")
    return calendar.timegm(time.strptime(found[1], "%a, %d %b %Y %H:%M:%S GMT"))


def pings_in(client, seconds):
    """Answers pings for so long; how many came."""
    end, count = time.monotonic() + seconds, 0
    while (left := end - time.monotonic()) > 0:
        client.socket.settimeout(left)
        with contextlib.suppress(TimeoutError):
            piece = client.socket.recv(1 << 12)
            expect(piece, "a client that answers pings was closed")
            client.received += piece
        while found := cut_frame(client.received):
            expect(found[0] == PING, f"{found} in place of a ping")
            client.send(frame(found[1], PONG))
            count += 1
    return count


@case("F14 the wall clock jumps by a day, on and back: dates follow, deadlines do not")
def wall_clock_jumps(program):
    file = f"/tmp/aerys-faults-clock-{os.getpid()}"
    measured = []
    try:
        with open(file, "w") as clock:
            clock.write("+0\n")
        with setting(program, "--heartbeat", "1", "--idle-timeout", "2", environment=faked(file)) as it:
            for offset in (DAY, -DAY):
                with Client(it.server) as silent, Client(it.server) as idle, Client(it.server) as chatting:
                    silent.upgrade()
                    chatting.upgrade("/chat")
                    chatting.send(frame(b"now or later"))
                    idle.get()
                    said = time.monotonic()
                    with open(file, "w") as clock:
                        clock.write(f"{offset:+d}\n")
                    pings = pings_in(silent, 1.5)
                    expect(1 <= pings <= 3, f"{pings} pings in 1.5 s where one is sent each second")
                    expect(not idle.more(), "an idle connection is not closed")
                    idled = time.monotonic() - said
                    expect(1.9 < idled, f"an idle connection was closed after {idled:.2f} s")
                    with Client(it.server) as client:
                        head = client.get().head
                        wrong = seconds_of(head, "date") - time.time() - offset
                        expect(-3 < wrong < 3, f"Date is {wrong:.0f} s off")
                        expect(seconds_of(head, "last-modified") <= seconds_of(head, "date"), f"a file of the future: {head}")
                    while b"said: now or later" not in (found := chatting.message() or (0, b""))[1]:
                        expect(found[1], "a client was closed")
                    delayed = time.monotonic() - said
                    expect(4.9 < delayed, f"what was to be sent 5 s later came after {delayed:.2f} s")
                day = time.strftime("%Y-%m-%d", time.gmtime(time.time() + offset))
                expect(it.server.count_all(re.escape(f"[{day}")), "the log has no line of that day")
                measured.append(f"{offset // DAY:+d} day: idle for {idled:.2f} s of 2, {pings} pings in 1.5 s, delayed by {delayed:.2f} s of 5")
    finally:
        os.unlink(file)
    return "; ".join(measured)


LARGE = ("--max-message-bytes", "16MiB", "--max-frame-bytes", "16MiB", "--max-backlog-bytes", "64MiB")


def stand_still(program, seconds, *options):
    """It stands still for longer than any of its timeouts, while clients do what they should."""
    large = b"x" * (12 * MIB)
    with setting(program, *LARGE, *options) as it, contextlib.ExitStack() as stack:
        it.rehearse(large)

        def some(count=5, **more):
            return stack.enter_context(clients(it.server, count, **more))
        silent, [reader, chatting] = some(), some(2, receive_buffer=64 * KIB)
        for client in (*silent, reader):
            client.upgrade()
        chatting.upgrade("/chat")
        reader.send(frame(large))
        while len(reader.received) < MIB:
            reader.more()
        for number in range(5):
            chatting.send(frame(f"number {number}".encode()))
        # These have little time before it stands still.
        halves, idle = some(), some()
        for client in idle:
            client.get()
        for client in halves:
            client.send(GET[:-2])
        closes = it.server.count_all("closes with")
        it.server.stop_still()
        begun = time.monotonic()
        for client in idle:
            client.send(GET)
        for client in halves:
            client.send(GET[-2:])
        # Of what the kernel has, and so much that it takes more: it fills in pieces of 64 KiB.
        had = len(reader.received)
        while len(reader.received) < had + 192 * KIB:
            reader.more()
        time.sleep(seconds)
        it.server.go_on()
        stood = time.monotonic() - begun
        for client in (*halves, *idle):
            expect(client.answer().status == 200, "a request that came in time is not answered")
        for client in silent:
            client.echo()
        expect(it.server.count_all("closes with") == closes, "a WebSocket was closed")
        for client in silent:
            # Nobody would answer pings.
            client.socket.close()
        expect(reader.message() == (TEXT, large), "a large message was cut off")
        texts = []
        while not texts or not texts[-1].endswith(b"number 4"):
            found = chatting.message()
            expect(found, "a client was closed")
            texts += [found[1]] if b" said: number" in found[1] else []
        numbers = [int(text[-1:]) for text in texts]
        expect(numbers == list(range(5)), f"what was to be sent later came as {numbers}")
    return f"{stood:.1f} s: nobody is closed, delayed messages come once and in order; canaries waited {it.report.worst:.1f} s at most"




@case("F15 78 it stands still for six seconds: nobody is closed, what was due comes once and in order")
def stands_still(program):
    return stand_still(program, 6, "--heartbeat", "1", "--idle-timeout", "2", "--header-timeout", "2", "--write-timeout", "2")


@case("F15 78 it stands still for a minute, with the timeouts that it has by itself", long=True)
def stands_still_for_a_minute(program):
    return stand_still(program, 60)
