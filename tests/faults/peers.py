"""Faults of peers and of the way to them: clients that stand still, networks that are gone."""

import ctypes
import os
import signal
import subprocess
import time

from canaries import Canaries
from common import BINARY, KIB, MIB, Client, Skip, case, clients, expect, frame, wait_until
from setting import setting

# A ping for each second of silence, three of which may stay without an answer.
HEARTBEAT, UNANSWERED = 1, 3
CLONE_NEWNET = 0x40000000


@case("F25 clients that stand still: closed when too many pings were not answered")
def clients_stand_still(program):
    count = 5
    with setting(program, "--heartbeat", HEARTBEAT) as it:
        with Canaries(it.server, count) as stopped:
            os.kill(stopped.process.pid, signal.SIGSTOP)
            seconds = wait_until("they are closed", lambda: it.server.count("closes with 1008") == count, 20)
        least = HEARTBEAT * UNANSWERED
        expect(seconds > least, f"they were closed after {seconds:.1f} s, before {least} s of silence were over")
        it.expect_base_line()
    return f"{count} clients were closed after {seconds:.1f} s"


@case("F25 a reader that stands still: closed at the write timeout, what waited for it is freed")
def reader_stands_still(program):
    messages = [bytes([index]) * (256 * KIB) for index in range(24)]
    large = ("--max-backlog-bytes", "64MiB", "--write-timeout", "2")
    with setting(program, *large) as it:
        for is_rehearsal in (True, False):
            with clients(it.server, 3) as readers, Client(it.server, receive_buffer=2 * KIB) as still:
                for client in (*readers, still):
                    client.upgrade("/broadcast")
                closes = it.server.count("closes with 1008")
                for message in messages:
                    readers[0].send(frame(message, BINARY))
                    for reader in readers:
                        expect(reader.message() == (BINARY, message), "a broadcast differs")
                held = it.server.sample().resident
                seconds = wait_until("it is closed", lambda: it.server.count("closes with 1008") == closes + 1)
            if is_rehearsal:
                it.settle()
    return (f"closed after {seconds:.1f} s, {(held - it.base.resident) // KIB} KiB more were resident meanwhile; "
            f"{it.grown // KIB} KiB afterwards")


def in_a_network_of_its_own():
    """This process and what it starts have one, which ends with them."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        raise Skip(f"no network namespace: {os.strerror(ctypes.get_errno())}")
    ip("up")


def ip(state):
    subprocess.run(["ip", "link", "set", "lo", state], check=True)


@case("F25 the network is gone without a word: clients are closed by pings and by the write timeout")
def network_is_gone(program):
    in_a_network_of_its_own()
    large = b"x" * (8 * MIB)
    with setting(program, "--heartbeat", HEARTBEAT, "--write-timeout", "2", "--idle-timeout", "2",
                 "--max-message-bytes", "16MiB", "--max-frame-bytes", "16MiB", "--max-backlog-bytes", "16MiB", count=20, revive=True) as it:
        with clients(it.server, 5) as idle, Client(it.server, receive_buffer=2 * KIB) as reader:
            for client in idle:
                client.get()
            reader.upgrade().send(frame(large))
            ip("down")
            begun = time.monotonic()
            wait_until("all are closed", lambda: it.server.sample().descriptors == it.base.descriptors - 20, 20)
            seconds = time.monotonic() - begun
            calm = it.expect_calm("without a network")
            ip("up")
        # What they sent is sent again less and less often; the next time it is answered by RST.
        it.expect_descriptors(30)
        it.cuts = None
    return f"26 clients were closed within {seconds:.1f} s; {calm}; with a network again 20 canaries went on"
