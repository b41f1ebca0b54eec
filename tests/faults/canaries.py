"""Clients that must not notice: each sends a numbered message every 100 ms, and looks at what comes back."""

import collections
import multiprocessing
import selectors
import time

from common import CLOSE, PATIENCE, PING, PONG, TEXT, Client, Wrong, cut_frame, expect, frame

INTERVAL = 0.1
# How often in a row one may be cut off before it is open.
ATTEMPTS = 50

Report = collections.namedtuple("Report", "sent echoed cut wrong worst median")


class Canary:
    """One of them. `next` is the number that it sends next, `expected` the one that comes back next."""

    def __init__(self, server, index):
        self.index, self.next, self.expected = index, 0, 0
        self.times = {}
        self.client = Client(server).upgrade()

    def send(self):
        self.times[self.next] = time.monotonic()
        self.client.send(frame(f"canary {self.index} {self.next}".encode()))
        self.next += 1

    def read(self, latencies):
        """Judges what came. Whether the connection goes on."""
        if not self.client.more():
            return False
        while found := cut_frame(self.client.received):
            opcode, payload = found
            if opcode == PING:
                self.client.send(frame(payload, PONG))
            elif opcode == CLOSE:
                return False
            else:
                wanted = f"canary {self.index} {self.expected}".encode()
                if (opcode, payload) != (TEXT, wanted):
                    raise Wrong(f"in place of {wanted} came {payload[:50]}")
                latencies.append(time.monotonic() - self.times.pop(self.expected))
                self.expected += 1
        return True


class Flock:
    """All of them, in a process of their own."""

    def __init__(self, server, count, revive, pipe):
        self.server, self.revive, self.pipe = server, revive, pipe
        self.selector = selectors.DefaultSelector()
        self.sent = self.echoed = self.cut = 0
        self.latencies = []
        self.due = collections.deque()
        begin = time.monotonic()
        for index in range(count):
            self.add(index, begin + INTERVAL * index / count)
        pipe.send(None)

    def add(self, index, at):
        # Who may come again may be cut off in the handshake, too.
        for attempt in range(ATTEMPTS if self.revive else 1):
            try:
                canary = Canary(self.server, index)
                break
            except (OSError, Wrong):
                if not self.revive or attempt == ATTEMPTS - 1:
                    raise
                self.cut += 1
                time.sleep(0.02)
        self.selector.register(canary.client.socket, selectors.EVENT_READ, canary)
        self.due.append((at, canary))

    def lose(self, canary):
        """Its connection is over. It comes again, if it may, and then its numbers begin anew."""
        self.selector.unregister(canary.client.socket)
        canary.client.socket.close()
        self.cut += 1
        # What it waited for is lost with its connection.
        canary.next = canary.expected
        self.count(canary)
        at = next((at for at, other in self.due if other is canary), time.monotonic())
        self.due = collections.deque(entry for entry in self.due if entry[1] is not canary)
        if self.revive:
            self.add(canary.index, at)
            self.due = collections.deque(sorted(self.due, key=lambda entry: entry[0]))

    def count(self, canary):
        self.sent += canary.next
        self.echoed += canary.expected

    def run(self):
        stopping = None
        while True:
            now = time.monotonic()
            while stopping is None and self.due and self.due[0][0] <= now:
                at, canary = self.due.popleft()
                self.due.append((at + INTERVAL, canary))
                try:
                    canary.send()
                except OSError:
                    self.lose(canary)
            alive = [key.data for key in self.selector.get_map().values()]
            if stopping and (now > stopping or all(canary.next == canary.expected for canary in alive)):
                break
            ahead = max(0, self.due[0][0] - now) if self.due and not stopping else INTERVAL
            for key, _ in self.selector.select(min(ahead, INTERVAL)):
                try:
                    goes_on = key.data.read(self.latencies)
                except OSError:
                    goes_on = False
                if not goes_on:
                    self.lose(key.data)
            if self.pipe.poll():
                word = self.pipe.recv()
                if word == "stop":
                    stopping = time.monotonic() + PATIENCE
                self.latencies = self.latencies if word == "stop" else []
        for canary in alive:
            self.count(canary)
        self.latencies.sort()
        worst, median = (self.latencies[-1], self.latencies[len(self.latencies) // 2]) if self.latencies else (0, 0)
        self.pipe.send(Report(self.sent, self.echoed, self.cut, None, worst, median))


def fly(server, count, revive, pipe):
    try:
        Flock(server, count, revive, pipe).run()
    except (Wrong, OSError) as error:
        pipe.send(Report(0, 0, 0, f"{type(error).__name__}: {error}", 0, 0))


class Canaries:
    """Started at once; to be stopped, or ended with the `with`. `revive`: who is cut off comes again."""

    def __init__(self, server, count=50, revive=False):
        self.pipe, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.get_context("fork").Process(target=fly, args=(server, count, revive, theirs), daemon=True)
        self.process.start()
        theirs.close()
        said = self.receive()
        expect(said is None, f"canaries did not begin: {said}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.is_alive():
            self.process.kill()
        self.process.join()
        self.pipe.close()

    def receive(self):
        expect(self.pipe.poll(2 * PATIENCE), "canaries say nothing")
        return self.pipe.recv()

    def mark(self):
        """Times are told of what comes from now on."""
        self.pipe.send("mark")

    def stop(self):
        """What they saw, when the last message is back; one that is wrong raises at once."""
        self.pipe.send("stop")
        report = self.receive()
        self.process.join(PATIENCE)
        expect(report.wrong is None, f"canaries: {report.wrong}")
        return report
