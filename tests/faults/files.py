"""Faults of disks: files that change or vanish while they are sent, errors of reading, a log that cannot be written."""

import collections
import os

from common import KIB, MIB, Client, Faults, case, expect
from setting import setting

SHORT, LONG = b"s" * 100, bytes(range(256)) * 400
LARGE = os.urandom(24 * MIB)


def changed_while_sent(client, path, change):
    """Asks for a large file, and has it changed when a part of it came."""
    path.write_bytes(LARGE)
    client.send(f"GET /{path.name} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    while len(client.received) < MIB:
        client.more()
    change(path)


@case("F19 a file is removed, replaced, or may not be read any more during a slow GET: it is sent as it was")
def file_is_gone(program):
    def unlink(path):
        path.unlink()

    def forbid(path):
        path.chmod(0)

    def replace(path):
        other = path.with_name("other")
        other.write_bytes(bytes(len(LARGE)))
        other.rename(path)
    with setting(program) as it:
        for change in (unlink, forbid, replace):
            path = it.server.root / change.__name__
            with Client(it.server, receive_buffer=64 * KIB) as client:
                changed_while_sent(client, path, change)
                expect(client.answer().content == LARGE, f"{change.__name__}: it was not sent as it was")
        # They are kept open, but for the one that was looked for once more.
        it.base = it.base._replace(descriptors=it.base.descriptors + 3)
    return f"{len(LARGE) // MIB} MiB each, whole"


@case("F19 a file is cut or overwritten during a slow GET: the connection is cut, nothing mixed looks whole")
def file_is_changed(program):
    def cut(path):
        os.truncate(path, 4 * MIB)

    def overwrite(path):
        with open(path, "r+b") as file:
            file.write(bytes(len(LARGE)))

    def overwrite_and_forbid(path):
        overwrite(path)
        path.chmod(0)
    measured = []
    with setting(program) as it:
        for change in (cut, overwrite, overwrite_and_forbid):
            path = it.server.root / change.__name__
            with Client(it.server, receive_buffer=64 * KIB) as client:
                changed_while_sent(client, path, change)
                answer = client.answer()
                expect(len(answer.content) < answer.length, f"{change.__name__}: {len(answer.content)} bytes look whole")
                measured.append(f"{change.__name__} {len(answer.content) / MIB:.1f} of {len(LARGE) // MIB} MiB")
            path.unlink()
        it.base = it.base._replace(descriptors=it.base.descriptors + 3)
    return f"{', '.join(measured)} came"


@case("F20 errors of the disk: EIO at each step of a file is 500 or cuts the answer, which never looks whole")
def disk_errors(program):
    seen = collections.Counter()
    with setting(program) as it:
        kept = 0
        for call, steps in (("openat2", 4), ("statx", 3), ("pread64", 1), ("sendfile", 1)):
            for when in range(1, steps + 1):
                for kind, content in (("short", SHORT), ("long", LONG)):
                    # One that was never asked for: nothing of it is kept.
                    name = f"{call}-{when}-{kind}"
                    (it.server.root / name).write_bytes(content)
                    with Faults(it.server, f"{call}:error=EIO:when={when}") as faults, Client(it.server) as client:
                        answer = client.get(f"/{name}")
                    is_whole = answer.content == content
                    if answer.status == 200:
                        expect(is_whole or len(answer.content) < answer.length, f"{name} is another one")
                        kept += kind == "long"
                    else:
                        expect(answer.status == 500, f"{name} is answered {answer.status}")
                    if faults.injected():
                        outcome = answer.status if answer.status == 500 else "whole" if is_whole else "cut"
                        seen[f"{call} {outcome}"] += 1
                    else:
                        expect(is_whole, f"{name} is not whole without an error")
        for failed in ("openat2 500", "statx 500", "statx cut", "pread64 500", "sendfile cut"):
            expect(seen[failed], f"{failed} was not seen: {seen}")
        # Where one coded beforehand would be, there may be none.
        expect(seen["openat2 whole"], f"a file depends on another one: {seen}")
        with Client(it.server) as client:
            for call in ("openat2", "statx", "pread64"):
                expect(client.get(f"/{call}-1-short").content == SHORT, f"{call}: not served when all is well")
        it.base = it.base._replace(descriptors=it.base.descriptors + kept)
    return ", ".join(f"{name} {count} times" for name, count in sorted(seen.items()))
