"""Faults of the log: a disk that is full, a pipe that nobody reads, one that is closed."""

import os
import subprocess
import time

from common import Client, Faults, case, clients, expect, serves
from setting import setting


def chatter(server, count):
    """Clients that come and go, of whom the log has a line or two each."""
    for _ in range(count):
        with Client(server) as client:
            expect(client.get().status == 200, "a client is not served")


@case("F20 the log cannot be written: ENOSPC of a full disk, EIO of a broken one, all are served")
def log_cannot_be_written(program):
    with open("/dev/full", "wb") as full, setting(program, stderr=full) as it:
        chatter(it.server, 300)
    with setting(program) as it:
        with Faults(it.server, "write:error=EIO", "writev:error=EIO", path=it.server.log) as faults:
            chatter(it.server, 300)
        failed = faults.injected()
        expect(failed, "EIO did not come")
    return f"300 clients each; {failed} writes failed with EIO"


@case("F30 the log is a pipe that nobody reads, and then is closed: all are served")
def log_pipe_is_full(program):
    read, write = os.pipe()
    # It alone has the other end: canaries would inherit ours.
    reader = subprocess.Popen(["sleep", "300"], stdin=read)
    os.close(read)
    try:
        with os.fdopen(write, "wb") as pipe, setting(program, stderr=pipe) as it:
            # A pipe takes 64 KiB, these are some hundred.
            begun = time.monotonic()
            chatter(it.server, 1500)
            it.expect_calm("a full pipe")
            full = time.monotonic() - begun
            reader.kill()
            reader.wait()
            chatter(it.server, 300)
            it.expect_calm("a closed pipe")
            with clients(it.server, 10) as many:
                for client in many:
                    client.upgrade().echo()
    finally:
        if reader.poll() is None:
            reader.kill()
            reader.wait()
    return f"1,500 clients in {full:.1f} s with a full pipe, 300 with a closed one; canaries waited {1000 * it.report.worst:.0f} ms at most"
