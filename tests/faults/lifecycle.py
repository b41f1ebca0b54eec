"""Starts and ends: killed and started again, an address that is taken, memory that runs out."""

import contextlib
import os
import pathlib
import re
import resource
import signal
import stat
import subprocess
import tempfile
import time

from common import KIB, MIB, PATIENCE, Client, Wrong, case, clients, expect, frame, serves, wait_until, with_descriptors
from setting import setting


@case("F12 killed and started again at once: the same port and socket file, all come back")
def killed(program):
    with_descriptors(2000)
    # A page of each client is not asked for: 50 canaries come again, 450 others do not.
    with setting(program, revive=True, listen=("127.0.0.1:0", "unix:{folder}/socket")) as it:
        path = f"{it.server.folder.name}/socket"
        with clients(it.server, 450) as many, Client(it.server, path=path) as local:
            for client in (*many, local):
                client.upgrade().echo()
            it.server.process.kill()
            it.server.process.wait()
            expect(stat.S_ISSOCK(os.stat(path).st_mode), "no socket file is left behind: it is no test")
            began = time.monotonic()
            it.server.process.stdout.close()
            it.server.start()
            started = time.monotonic() - began
        with Client(it.server, path=path) as local:
            expect(local.get().status == 200, "nobody is served at the socket file")
        it.cuts = None
    report = it.report
    expect(report.cut >= 50, f"{report.cut} canaries were cut off")
    expect(report.sent == report.echoed, f"of {report.sent} messages of canaries {report.echoed} came back")
    return f"it listens again {1000 * started:.0f} ms after the kill of 501 clients; 50 canaries went on"


def refused(program, *addresses, stderr=subprocess.PIPE):
    """What a start says that cannot be."""
    command = [program, "serve", *(part for address in addresses for part in ("--listen", address))]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, text=True,
                              timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired as error:
        expect(False, f"it runs, and should not: {error}")
    expect(done.returncode == 1, f"exit status {done.returncode}: {done.stderr}")
    expect(not done.stdout, f"it said that it listens: {done.stdout}")
    if done.stderr is None:
        return ""
    expect(len(done.stderr.splitlines()) == 1 and "panicked" not in done.stderr, f"not one line: {done.stderr}")
    return done.stderr.strip()


@case("F13 the address is taken: one line, exit status 1, nothing left behind, the first one goes on")
def address_is_taken(program):
    with setting(program, listen=("127.0.0.1:0", "unix:{folder}/socket")) as it, tempfile.TemporaryDirectory() as folder:
        port, path = f"127.0.0.1:{it.server.port}", f"{it.server.folder.name}/socket"
        said = [refused(program, port), refused(program, f"unix:{path}")]
        for line, name in zip(said, (port, path)):
            expect(name in line, f"no word of {name} in: {line}")
        with open("/dev/full", "wb") as full:
            refused(program, port, stderr=full)
        # Its own file goes when the second address is taken.
        other = pathlib.Path(folder) / "other"
        refused(program, f"unix:{other}", port)
        expect(not other.exists(), "a socket file is left behind")
        with Client(it.server, path=path) as local:
            expect(local.get().status == 200, "the first one lost its socket file")
    return "; ".join(said)


def connected(server, count):
    """So many clients, each with a head of 8 KiB that is not complete; how many are served when it is."""
    with contextlib.ExitStack() as stack:
        many = []
        for _ in range(count):
            client = stack.enter_context(Client(server))
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * (8 * KIB))
            many.append(client)
        resident = server.sample().resident
        served = 0
        for client in many:
            client.send(b"\r\n\r\n")
            head = client.head()
            expect(head[9:12] in ("200", "503"), f"a client is answered {head!r}")
            served += head[9:12] == "200"
    return served, resident


@case("F24 memory is scarce: 3,000 clients within 200 MiB of addresses, and without any left an abort and a restart")
def memory_is_scarce(program):
    count = 3000
    with_descriptors(count + 500)
    with setting(program, "--max-connections", "5000", count=20, revive=True) as it:
        it.server.limit(resource.RLIMIT_AS, 200 * MIB)
        connected(it.server, count)
        it.settle()
        served, resident = connected(it.server, count)
        expect(served == count, f"{served} of {count} are served")
        it.expect_base_line()
        # Now it has what it has, and is asked for more: Rust's allocator ends the process.
        status = pathlib.Path(f"/proc/{it.server.pid}/status").read_text()
        has = int(re.search(r"VmSize:\s+(\d+) kB", status)[1]) * KIB
        it.server.limit(resource.RLIMIT_AS, has)
        with contextlib.ExitStack() as stack:
            for _ in range(64):
                if not it.server.is_alive():
                    break
                with contextlib.suppress(ConnectionError, Wrong):
                    client = stack.enter_context(Client(it.server)).upgrade()
                    client.send(frame(bytes(MIB))[:-1])
            wait_until("it ends for want of memory", lambda: not it.server.is_alive())
        ended = it.server.process.returncode
        expect(ended == -signal.SIGABRT, f"it ended with {ended}")
        expect(it.server.count("memory allocation of .* bytes failed"), "it did not say why")
        it.server.process.stdout.close()
        it.server.start()
        serves(it.server)
        it.cuts = None
    return f"{served} clients with {resident // MIB} MiB resident; then SIGABRT with a word on memory; started again it serves"
