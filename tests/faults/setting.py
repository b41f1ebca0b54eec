"""The setting of most cases: a server with canaries at its base line, and what must be so when the fault is over."""

import contextlib

from canaries import Canaries
from common import CALM, CALM_AND_TRACED, KIB, MIB, PATIENCE, Client, Server, expect, serves, wait_until

# Not more than that is no growth: emptied segments are kept, 1 MiB of each kind (src/output/segments.rs).
LEAST_GROWTH = 2 * MIB
# Of a processor, what fifty canaries take at most, in a debug build too: five hundred messages a second.
WITH_CANARIES = 0.2


class Setting:
    def __init__(self, server, canaries):
        self.server, self.canaries = server, canaries
        # How many times canaries are cut off, which come again then; `None`: all of them, by the fault.
        self.cuts = 0
        serves(server)
        self.share = server.share(1.0)
        expect(self.share < WITH_CANARIES, f"{100 * self.share:.0f} % of a processor for canaries alone")
        self.base = server.sample()

    def expect_calm(self, what, seconds=1.0):
        """It takes hardly more of a processor than the canaries took before. Returns the difference."""
        share = self.server.share(seconds) - self.share
        expect(share < (CALM_AND_TRACED if self.server.is_traced() else CALM), f"{what}: {100 * share:.0f} % of a processor beside the canaries")
        return f"{max(0, 100 * share):.0f} % of a processor"

    def expect_descriptors(self, seconds=PATIENCE):
        wait_until(f"{self.base.descriptors} descriptors are open, as before",
                   lambda: self.server.sample().descriptors == self.base.descriptors, seconds)

    def expect_base_line(self):
        """Descriptors and memory are what they were."""
        self.expect_descriptors()
        grown = self.server.sample().resident - self.base.resident
        expect(grown <= max(self.base.resident // 10, LEAST_GROWTH), f"{grown // KIB} KiB more are resident than before")
        self.grown = grown

    def expect_closed_once(self):
        """No close of a client was told twice."""
        closes = [line.split("client ")[1] for line in self.server.said().splitlines() if " closes with " in line]
        expect(len(closes) == len(set(closes)), "a close was told twice")

    def settle(self):
        """A rehearsal is over, which had tables grow: what is resident now is the base."""
        self.expect_descriptors()
        self.base = self.base._replace(resident=self.server.sample().resident)

    def rehearse(self, large):
        """Has memory grow as by a large message, of which the allocator keeps some."""
        with Client(self.server) as client:
            client.upgrade().echo(large)
        self.settle()

    def finish(self):
        """The fault is over."""
        self.expect_calm("afterwards")
        serves(self.server)
        self.expect_base_line()
        if self.canaries:
            report = self.canaries.stop()
            if self.cuts is not None:
                expect(report.cut == self.cuts, f"canaries were cut off {report.cut} times, and not {self.cuts}")
                expect(report.sent == report.echoed, f"of {report.sent} messages of canaries {report.echoed} came back")
            self.report = report


@contextlib.contextmanager
def setting(program, *options, count=50, revive=False, **server_options):
    """Ends with what all faults must leave: canaries that lost nothing, a new client that is served, the
    base line."""
    with Server(program, *options, **server_options) as server, Canaries(server, count, revive) as canaries:
        made = Setting(server, canaries)
        yield made
        made.finish()

