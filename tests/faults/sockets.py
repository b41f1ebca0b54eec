"""Faults of connections: short writes, errors of reading and writing, of the poll, peers that end in any way."""

import random
import re
import socket
import threading
import time

from common import BINARY, KIB, MIB, Client, Faults, case, clients, expect, frame, wait_until
from setting import setting

LARGE = ("--max-message-bytes", "16MiB", "--max-frame-bytes", "16MiB", "--max-backlog-bytes", "64MiB")
FILE = random.Random(5).randbytes(3 * MIB)
SENDS = ("sendto", "sendmsg", "sendfile")


def slow_echo(server, messages, while_waiting=lambda: None):
    """Sends messages that come back to a small buffer, and compares all of them."""
    with Client(server, receive_buffer=2 * KIB) as client:
        client.upgrade()
        # More than is taken of a client that reads nothing.
        sent = b"".join(frame(message, BINARY) for message in messages)
        sender = threading.Thread(target=client.send, args=(sent,))
        sender.start()
        if server.is_encrypted:
            # Two threads cannot share a session of OpenSSL: what is sent must fit without anybody who reads.
            sender.join()
        while_waiting()
        for message in messages:
            found = client.message()
            expect(found == (BINARY, message), f"in place of {len(message)} bytes came {found and len(found[1])}")
        sender.join()
        client.echo()


def short_writes(calls):
    """Those that took less than they were given, or nothing."""
    count = 0
    for line in calls:
        given = re.findall(r"iov_len=(\d+)", line) or re.findall(r"(\d+), MSG_", line)
        taken = re.search(r" = (-?\d+)", line)
        count += bool(given and taken) and int(taken[1]) < sum(map(int, given))
    return count


@case("F5 short writes: a message of 5 MB, 1,000 small ones and a file, to a small buffer")
def writes_are_short(program):
    source, measured, calm = random.Random(17), [], []
    large = [source.randbytes(5_000_000)]
    small = [source.randbytes(source.randrange(1, 9000)) for _ in range(1000)]
    with setting(program, *LARGE, before=[("large", FILE)]) as it:
        for messages in (large, small):
            slow_echo(it.server, messages, lambda: calm.append(it.expect_calm("while output waits")))
            it.settle()
            with Faults(it.server, also=[*SENDS, "epoll_ctl"]) as faults:
                slow_echo(it.server, messages, lambda: wait_until("output waits", lambda: faults.calls("EPOLL_CTL_MOD")))
            short = short_writes(faults.calls())
            expect(short, "no write was short")
            expect(len(faults.calls("EPOLL_CTL_MOD")) == 1, "output is not watched for once")
            measured.append(f"{sum(map(len, messages))} bytes in {len(messages)} messages with {short} short writes")
        with Client(it.server, receive_buffer=2 * KIB) as client:
            expect(client.get("/large").content == FILE, "a file differs")
        # It is kept open.
        it.base = it.base._replace(descriptors=it.base.descriptors + 1)
    return f"{'; '.join(measured)}; a file of {len(FILE)} bytes; {calm[0]} while output waits"


def downloads(server, count):
    for _ in range(count):
        with Client(server) as client:
            answer = client.get("/large")
            expect(answer.content == FILE, f"of {answer.length} bytes of a file {len(answer.content)} came, or others")


@case("F6 writes that fail for now: EAGAIN, EINTR and 0, nothing is lost")
def writes_fail_for_now(program):
    # What the kernel did not say it will not take back: then it is tried once more at the timeout. So that this
    # one does not fail, too, it is but one in many.
    with setting(program, "--write-timeout", "1", before=[("large", FILE)]) as it:
        measured = []
        for result in ("error=EAGAIN", "error=EINTR", "retval=0"):
            calls = SENDS[:2] if result == "retval=0" else SENDS
            steps = {"sendto": 7 if result == "error=EINTR" else 97, "sendmsg": 7, "sendfile": 7}
            with Faults(it.server, *(f"{call}:{result}:when=5+{steps[call]}" for call in calls)) as faults:
                calm = it.expect_calm(result, 2)
                downloads(it.server, 2)
                slow_echo(it.server, [b"x" * 100] * 1000)
            expect(faults.injected("sendto") > 5, f"{result} came {faults.injected('sendto')} times")
            if "sendfile" in calls:
                expect(faults.injected("sendfile") > 2, f"{result} came {faults.injected('sendfile')} times to files")
            measured.append(f"{result.split('=')[1]} {faults.injected()} times")
        expect(it.server.count("closes with 1008") == 0, "somebody was closed for being slow")
        it.base = it.base._replace(descriptors=it.base.descriptors + 1)
    return f"{', '.join(measured)}; {calm}"


def cut_by(program, call, names, when, calls_each, *options):
    """A call fails for good: that costs its own client, once, and nobody else."""
    measured = []
    with setting(program, *options, revive=True) as it:
        for name in names:
            before = it.server.count_all("is gone")
            with Faults(it.server, f"{call}:error={name}:when={when}") as faults:
                calm = it.expect_calm(name)
            # Who looked at the log before is among them.
            it.expect_descriptors()
            failed, gone = faults.injected(), it.server.count_all("is gone") - before - 1
            expect(failed > 2, f"{name} came {failed} times")
            expect(failed / calls_each <= gone <= failed, f"{name} {failed} times: {gone} clients are gone")
            it.cuts += gone
            measured.append(f"{name} {failed} times: {gone} clients cut off")
        it.expect_closed_once()
    return f"{'; '.join(measured)}; {calm}"


@case("F6 writes that fail for good: EPIPE and ECONNRESET, each costs its own client")
def writes_fail_for_good(program):
    # The first write of an answer says nothing, since the next one finds the same: one behind the other.
    return cut_by(program, "sendto", ["EPIPE", "ECONNRESET"], "5..24", 2)


@case("F6 a file that fails for good: EPIPE, ECONNRESET and EIO, each download is cut off and not short")
def sendfile_fails_for_good(program):
    measured = []
    with setting(program, before=[("large", FILE)]) as it:
        for name in ("EPIPE", "ECONNRESET", "EIO", "ENOMEM"):
            with Faults(it.server, f"sendfile:error={name}:when=3") as faults, Client(it.server) as client:
                answer = client.get("/large")
                expect(len(answer.content) < answer.length and not client.more(), f"{name}: not cut off")
            expect(faults.injected() == 1, f"{name} came {faults.injected()} times")
            measured.append(f"{name} after {len(answer.content)} bytes")
        downloads(it.server, 1)
        it.base = it.base._replace(descriptors=it.base.descriptors + 1)
    return ", ".join(measured)


@case("F7 reads that fail for now: EAGAIN and EINTR, nothing is lost")
def reads_fail_for_now(program):
    measured = []
    with setting(program) as it:
        for name in ("EAGAIN", "EINTR"):
            # What an EAGAIN that is none leaves in a socket is read with what comes next.
            with Faults(it.server, f"recvfrom:error={name}:when=5+7") as faults:
                calm = it.expect_calm(name)
            expect(faults.injected() > 20, f"{name} came {faults.injected()} times")
            measured.append(f"{name} {faults.injected()} times")
    return f"{', '.join(measured)}; {calm}"


@case("F6 F7 reads and writes over TLS that fail for now: EAGAIN and EINTR, nothing is lost")
def tls_fails_for_now(program):
    measured = []
    with setting(program, "--tls-self-signed", "--write-timeout", "1", before=[("large", FILE)]) as it:
        for name, step in (("EAGAIN", 97), ("EINTR", 7)):
            with Faults(it.server, f"sendto:error={name}:when=5+{step}") as faults:
                calm = it.expect_calm(name, 2)
                downloads(it.server, 1)
                slow_echo(it.server, [b"x" * 100] * 1000)
            written = faults.injected()
            with Faults(it.server, f"recvfrom:error={name}:when=5+7") as faults:
                it.expect_calm(name)
            expect(written > 5 and faults.injected() > 20, f"{name} came {written} and {faults.injected()} times")
            measured.append(f"{name} {written} times to writes, {faults.injected()} to reads")
        expect(it.server.count("closes with 1008") == 0, "somebody was closed for being slow")
        it.base = it.base._replace(descriptors=it.base.descriptors + 1)
    return f"{'; '.join(measured)}; {calm}"


@case("F6 writes over TLS that fail for good: EPIPE and ECONNRESET, each costs its own client")
def tls_writes_fail_for_good(program):
    return cut_by(program, "sendto", ["EPIPE", "ECONNRESET"], "5+97", 1, "--tls-self-signed")


@case("F7 reads that fail for good: ECONNRESET and ETIMEDOUT, each costs its own client")
def reads_fail_for_good(program):
    return cut_by(program, "recvfrom", ["ECONNRESET", "ETIMEDOUT"], "5+97", 1)


@case("F8 the poll is interrupted: EINTR one time in three, nothing is lost")
def poll_is_interrupted(program):
    with setting(program) as it:
        with Faults(it.server, "epoll_wait:error=EINTR:when=2+3") as faults:
            calm = it.expect_calm("EINTR")
            with Client(it.server) as client:
                client.upgrade().echo()
        expect(faults.injected() > 20, f"EINTR came {faults.injected()} times")
    return f"{faults.injected()} times; {calm}"


@case("F8 a registration fails: ENOMEM and ENOSPC, that client is refused and no other")
def registration_fails(program):
    measured = []
    with setting(program) as it:
        for name in ("ENOMEM", "ENOSPC"):
            lines, begun = it.server.count("could not be registered"), time.monotonic()
            with Faults(it.server, f"epoll_ctl:error={name}:when=2+3") as faults:
                refused = 0
                for _ in range(30):
                    with Client(it.server) as client:
                        answer = client.get()
                        expect(answer.status in (200, 503), f"{name}: {answer}")
                        refused += answer.status == 503
                seconds = time.monotonic() - begun
            expect(refused == faults.injected() == 10, f"{name} {faults.injected()} times: {refused} of 30 are refused")
            lines = it.server.count("could not be registered") - lines
            expect(lines <= seconds + 1, f"{name}: {lines} lines in {seconds:.1f} s")
            measured.append(f"{name} {faults.injected()} times, {lines} lines")
    return f"{'; '.join(measured)}: as many clients were answered 503"


@case("F8 the registration for output fails: ENOMEM and ENOSPC, that client is cut off and no other")
def registration_for_output_fails(program):
    with setting(program, *LARGE) as it:
        for name in ("ENOMEM", "ENOSPC"):
            with Client(it.server, receive_buffer=2 * KIB) as client:
                client.upgrade()
                with Faults(it.server, f"epoll_ctl:error={name}:when=1") as faults:
                    client.send(frame(bytes(8 * MIB), BINARY))
                    client.to_end()
                expect(faults.injected("EPOLL_CTL_MOD") == 1, f"{name} did not come")
                expect(len(client.received) < 8 * MIB, "all came")
        it.settle()
    return "ENOMEM and ENOSPC: one client was cut off each"


@case("F26 RST amid a large write: one close, and its queue is freed")
def reset_amid_a_large_write(program):
    with setting(program, *LARGE) as it:
        for round_count in (1, 3):
            for _ in range(round_count):
                with Client(it.server) as client:
                    client.upgrade()
                    before = it.server.count_all("closes with")
                    client.send(frame(bytes(10 * MIB), BINARY))
                    while len(client.received) < MIB:
                        client.more()
                    client.reset()
                    it.expect_descriptors()
                    expect(it.server.count_all("closes with") == before + 1, "its close was not told once")
            if round_count == 1:
                it.settle()
    return f"1 of 10 MiB read, 3 times: each was told once, {it.grown // KIB} KiB more are resident than after the first"


@case("F26 RST amid a broadcast: the others are sent all of it, and it is freed")
def reset_amid_a_broadcast(program):
    messages = [bytes([index]) * (256 * KIB) for index in range(16)]
    with setting(program, *LARGE) as it:
        for is_rehearsal in (True, False):
            with clients(it.server, 4) as readers, Client(it.server, receive_buffer=2 * KIB) as leaver, Client(it.server) as sender:
                for client in (*readers, leaver, sender):
                    client.upgrade("/broadcast")
                def broadcast(some):
                    # It reads what it sends, or the server would read no more of it.
                    for message in some:
                        sender.send(frame(message, BINARY))
                        expect(sender.message() == (BINARY, message), "a broadcast differs for its sender")
                broadcast(messages[:8])
                while len(leaver.received) < 100 * KIB:
                    leaver.more()
                leaver.reset()
                broadcast(messages[8:])
                for client in readers:
                    for message in messages:
                        expect(client.message() == (BINARY, message), "a broadcast differs")
            if is_rehearsal:
                it.settle()
    return f"{sum(map(len, messages)) // MIB} MiB to five who stayed, {it.grown // KIB} KiB more are resident than after the first"


@case("73 FIN from peers that still read: they are answered, and nothing spins")
def half_closed(program):
    with setting(program, *LARGE, before=[("large", FILE)]) as it:
        with clients(it.server, 40, receive_buffer=4 * KIB) as many:
            whole, half, opened, busy = many[:10], many[10:20], many[20:30], many[30:]
            for client in whole:
                client.send(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
            for client in half:
                client.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
            for client in (*opened, *busy):
                client.upgrade()
            for client in busy:
                client.send(frame(bytes(MIB), BINARY))
            closes = it.server.count_all("closes with 1006")
            for client in many:
                client.socket.shutdown(socket.SHUT_WR)
            calm = it.expect_calm("half-closed peers", 2)
            for client in whole:
                expect(client.answer().content == FILE, "an answer is not whole")
                expect(not client.more(), "the connection is open")
            for client in (*half, *opened):
                client.to_end()
            for client in busy:
                # It did not say that it leaves: what waits for it is not kept.
                client.to_end()
            wait_until("twenty closes were told", lambda: it.server.count("closes with 1006") == closes + 20)
        it.base = it.base._replace(descriptors=it.base.descriptors + 1)
        it.settle()
    return f"40 peers; {calm}; answers whole, each WebSocket closed once with 1006"


@case("74 RST right behind data: each client is told of once")
def reset_behind_data(program):
    with setting(program) as it:
        opened = it.server.count_all("closes with")
        for stands_still in (False, True):
            with clients(it.server, 100) as many:
                for client in many:
                    client.upgrade()
                if stands_still:
                    it.server.stop_still()
                for client in many:
                    client.send(frame(b"data"))
                    client.reset()
                if stands_still:
                    it.server.go_on()
        wait_until("all are gone", lambda: it.server.count("closes with") == opened + 200)
        wait_until("all are freed", lambda: it.server.count("is gone") >= 200)
        it.expect_closed_once()
    return f"200 clients, half of them in one batch: each closed once"
