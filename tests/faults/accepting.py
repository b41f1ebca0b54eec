"""Faults of accepting: no descriptors, no memory, clients that left before, too many at once."""

import re
import resource
import time

from common import Client, Faults, Wrong, case, clients, expect, with_descriptors
from setting import setting

# What these are in src/event_loop/accept.rs.
ACCEPTS_PER_TURN = 64
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def is_served(client, seconds=0.05):
    """Whether an answer comes."""
    client.socket.settimeout(seconds)
    try:
        return bool(client.head())
    except Wrong:
        return False


@case("F1 out of descriptors: accepting rests, and goes on when one is free")
def out_of_descriptors(program):
    with setting(program) as it:
        server = it.server
        before, begun = server.limit(resource.RLIMIT_NOFILE, it.base.descriptors + 10), time.monotonic()
        with clients(server, 100) as many:
            for client in many:
                client.send(GET)
            served = [client for client in many[:20] if is_served(client)]
            expect(served == many[:10], f"{len(served)} clients are served by ten descriptors")
            with Faults(server, also=["accept4"]) as faults:
                calm = it.expect_calm("out of descriptors", 2)
            accepts = len(faults.calls("accept4"))
            expect(0 < accepts < 60, f"accept was called {accepts} times in 2 s")
            lines, seconds = server.count("accepting pauses"), time.monotonic() - begun
            expect(0 < lines <= seconds + 1, f"{lines} lines in {seconds:.1f} s say that accepting pauses")
            # They are taken in the order in which they came.
            freed = time.monotonic()
            many[0].socket.close()
            expect(is_served(many[10], 1), "nobody is served within a second of a free descriptor")
            recovered = time.monotonic() - freed
            for client in many[:50]:
                client.socket.close()
            server.limit(resource.RLIMIT_NOFILE, before)
            expect(all(is_served(client, 1) for client in many[50:]), "not all who waited are served")
    return f"{accepts} accepts in 2 s, {calm}; served {1000 * recovered:.0f} ms after a descriptor was free; {lines} lines in the log"


@case("F1 out of descriptors for files: 503, and kept files give theirs to clients")
def out_of_descriptors_for_files(program):
    files = [(f"{index}.txt", b"x" * 5000) for index in range(8)]
    with setting(program, before=files) as it:
        server = it.server
        with Client(server) as reader, Client(server) as other:
            for name, content in files[:5]:
                expect(reader.get(f"/{name}").content == content, "a file is not served")
            expect(other.get().status == 200, "a page is not served")
            kept = server.sample().descriptors
            before = server.limit(resource.RLIMIT_NOFILE, kept)
            # One descriptor after the other goes to a client, before one is refused.
            with clients(server, 10) as many:
                for client in many:
                    client.send(GET)
                served = sum(is_served(client) for client in many)
                expect(served >= 5, f"{served} clients are served where five files were kept open")
                refused = other.get("/7.txt")
                expect(refused.status == 503, f"a file is answered {refused.status} without a descriptor for it")
            server.limit(resource.RLIMIT_NOFILE, before)
            expect(other.get("/7.txt").content == files[7][1], "the file is not served when there is one")
            # Of the files, that one is kept open.
            it.base = it.base._replace(descriptors=it.base.descriptors + 1)
    return f"{served} clients took the place of 5 kept files; 503 for a file, then 200"


@case("F1 out of descriptors at the first file: it is read, and the next one is sent by sendfile")
def out_of_descriptors_at_the_first_file(program):
    files = [(f"{index}.txt", bytes([index]) * 5000) for index in range(2)]
    with setting(program, before=files) as it, Client(it.server) as client:
        # Whether a signal may come of sendfile is in a file, too.
        with Faults(it.server, "openat:error=EMFILE:when=1", also=["sendfile", "pread64"]) as faults:
            contents = [client.get(f"/{name}").content for name, _ in files]
        expect(contents == [content for _, content in files], "a file differs")
        expect(faults.injected("openat") == 1, "it was not asked")
        calls = [re.sub(r"^\d+ +(\w+).*", r"\1", call) for call in faults.calls("sendfile|pread64")]
        expect(calls == ["pread64", "sendfile"], f"files were sent by {calls}")
        client.socket.close()
        # They are kept open.
        it.base = it.base._replace(descriptors=it.base.descriptors + 2)
    return "read, then sent"


@case("F2 no room to accept: ENFILE, ENOBUFS and ENOMEM, the log once a second at most")
def no_room_to_accept(program):
    measured = []
    with setting(program) as it:
        for name in ("ENFILE", "ENOBUFS", "ENOMEM"):
            lines, begun = it.server.count("accepting pauses"), time.monotonic()
            # Two clients are taken, then none, and so on.
            with Faults(it.server, f"accept4:error={name}:when=2+3") as faults, clients(it.server, 15) as many:
                for client in many:
                    expect(client.get().status == 200, f"{name}: a client is not served")
                seconds = time.monotonic() - begun
            lines = it.server.count("accepting pauses") - lines
            expect(faults.injected() >= 5, f"{name} came {faults.injected()} times")
            expect(lines <= seconds + 1, f"{name}: {lines} lines in {seconds:.1f} s")
            measured.append(f"{name} {faults.injected()} times, {lines} lines in {seconds:.1f} s")
    return f"15 clients served each: {'; '.join(measured)}"


def after_failures(faults, name):
    """The calls that follow on a failed accept."""
    lines = [re.sub(r"^\d+ +", "", line) for line in faults.calls()]
    return {after.split("(")[0] for line, after in zip(lines, lines[1:]) if "INJECTED" in line and name in line}


@case("F3 a client lost at accept: ECONNABORTED, EINTR, EPROTO and EPERM, the next is accepted in the same turn")
def lost_at_accept(program):
    measured = []
    with setting(program) as it:
        for name in ("ECONNABORTED", "EINTR", "EPROTO", "EPERM"):
            with Faults(it.server, f"accept4:error={name}:when=2+3", also=["/^epoll_p?wait"]) as faults:
                for _ in range(30):
                    with Client(it.server) as client:
                        expect(client.get().status == 200, f"{name}: a client is not served")
            expect(faults.injected() >= 10, f"{name} came {faults.injected()} times")
            after = after_failures(faults, name)
            expect(after == {"accept4"}, f"{name} is followed by {after}")
            measured.append(f"{name} {faults.injected()} times")
        expect(it.server.count("accepting pauses") == 0, "accepting paused")
    return f"30 clients served each, the next accept followed at once: {', '.join(measured)}"


@case("F3 an accept that always fails: rests, and the log says so once a second")
def accept_always_fails(program):
    with setting(program) as it, Client(it.server) as client:
        with Faults(it.server, "accept4:error=EPERM") as faults:
            with clients(it.server, 5) as many:
                many[0].send(GET)
                # Under strace each call has its price: they are counted.
                time.sleep(2)
                calls, lines = len(faults.calls()), it.server.count("accepting pauses")
                expect(calls < 50 * ACCEPTS_PER_TURN, f"accept was called {calls} times in 2 s")
                expect(0 < lines <= 4, f"{lines} lines say that accepting pauses")
            expect(client.get().status == 200, "who is connected is not served")
    return f"{calls} accepts in 2 s, {lines} lines"


@case("F3 clients that leave before they are accepted: by RST and by FIN, others between them are served")
def gone_before_accept(program):
    with setting(program) as it:
        for _ in range(5):
            it.server.stop_still()
            stay = []
            for index in range(100):
                client = Client(it.server)
                if index % 10 == 5:
                    client.send(GET)
                    stay.append(client)
                elif index % 2:
                    client.send(GET)
                    client.socket.close()
                else:
                    client.reset()
            it.server.go_on()
            for client in stay:
                with client:
                    expect(is_served(client, 10), "a client among those that left is not served")
    return "5 times 90 of 100 left before the accept, 10 were served"


def storm(it, count):
    """So many connect while it stands still. How many it accepted in each turn then."""
    it.server.stop_still()
    with clients(it.server, count) as many, Faults(it.server, also=["accept4", "/^epoll_p?wait"]) as faults:
        for client in many[::10]:
            client.send(GET)
        it.server.go_on()
        it.canaries.mark()
        for client in many[::10]:
            expect(is_served(client, 10), "a client of the storm is not served")
    turns = [0]
    for line in faults.calls():
        if "epoll" in line:
            turns.append(0)
        elif re.search(r"= \d+$", line):
            turns[-1] += 1
    return turns


@case("F4 2,000 clients connect while it stands still: accepted so many a turn, canaries go on")
def accept_storm(program):
    count = 2000
    with_descriptors(count + 500)
    with setting(program) as it:
        # Its tables have room for so many after the first time.
        storm(it, count)
        it.settle()
        turns = storm(it, count)
        expect(sum(turns) == count, f"{sum(turns)} of {count} were accepted")
        expect(max(turns) <= ACCEPTS_PER_TURN, f"{max(turns)} were accepted in one turn")
    return (f"{sum(turns)} accepted, at most {max(turns)} a turn; canaries then waited {1000 * it.report.median:.1f} ms (median), "
            f"{1000 * it.report.worst:.0f} at most")
