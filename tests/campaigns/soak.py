#!/usr/bin/env python3
"""Two thousand clients chat, ask, join, leave, stall and break rules for twenty minutes.

    tests/campaigns/soak.py PROGRAM [--minutes N] [--clients N] [--short]

They speak HTTP/1.1, HTTP/2 (prior knowledge, with WebSockets in it) and WebSocket, in plain and over TLS;
none stays long. Twenty clients who stay ask and broadcast meanwhile: none of their messages may be lost,
doubled or out of order, and every answer has to be right. Each second the program's memory (resident,
proportional, anonymous) and descriptors are looked at. In the second half both have to be flat: what a
straight line through them rises by is below 2 % or 512 KiB, and the most in the last quarter is no more
than 5 % above the most in the third. When all have left, the descriptors are those from before. Short: 16 s, 300 clients; the descriptors
and the answers alone are judged.

Exit status: 0 as expected; 1 not so; 2 wrong usage.
"""

import sys
import time

from common import KIB, HonestClients, Server, campaign, expect, say
from crowd import Crowd


def slope(values):
    """What the straight line that is nearest to them (least squares) rises by over all of them."""
    count = len(values)
    middle, mean = (count - 1) / 2, sum(values) / count
    above = sum((index - middle) * (value - mean) for index, value in enumerate(values))
    below = sum((index - middle) ** 2 for index in range(count))
    return above / below * count


def judge(name, values, slack):
    half = values[len(values) // 2:]
    third, fourth = half[:len(half) // 2], half[len(half) // 2:]
    rise, mean = slope(half), sum(half) / len(half)
    growth = max(fourth) - max(third)
    say(f"  {name}: {mean:.0f} on average in the second half, rising by {rise:+.1f} ({rise / mean:+.2%}); most in the "
        f"third quarter {max(third)}, in the last {max(fourth)}")
    expect(rise < max(slack, mean * 0.02), f"{name} rises by {rise:.0f} in the second half, of {mean:.0f}")
    expect(growth <= max(slack, max(third) * 0.05), f"{name} grows from {max(third)} in the third quarter to {max(fourth)} in the last")


def option(name, default):
    return float(sys.argv[sys.argv.index(name) + 1]) if name in sys.argv else default


def main():
    short = "--short" in sys.argv
    duration = option("--minutes", 16 / 60 if short else 20) * 60
    count = int(option("--clients", 300 if short else 2000))
    command = (sys.argv[1], "serve", "--log-level", "warn", "--tls-self-signed", "--listen", "127.0.0.1:0",
               "--listen", "http://127.0.0.1:0")
    with Server(*command, addresses=2) as server:
        tls, plain = server.addresses
        base = server.descriptors()
        honest = HonestClients(plain, ["echo"] * 8 + ["broadcast"] * 8 + ["http"] * 4)
        crowd = Crowd(plain, tls, count)
        samples, begun, next_sample, told = [], time.monotonic(), 0, 0
        while (passed := time.monotonic() - begun) < duration:
            crowd.run(until=begun + next_sample)
            samples.append((*server.memory(), server.descriptors()))
            next_sample += 1
            if passed - told >= 60:
                told = passed
                rss, pss, anonymous, descriptors = samples[-1]
                say(f"  {passed / 60:.0f} min: {rss} KiB resident, {pss} proportional, {anonymous} anonymous, {descriptors} descriptors; "
                    f"{crowd.figures()}")
        say(f"  {crowd.figures()}")
        crowd.leave()
        honest.stop()
        end = time.monotonic() + 20
        while server.descriptors() > base and time.monotonic() < end:
            time.sleep(0.1)
        left = server.descriptors() - base
        say(f"  afterwards: {server.memory()[0]} KiB resident, {left} descriptors left; at most {server.peak()} KiB")
        log = server.said()
    expect(not crowd.wrong, f"{len(crowd.wrong)} wrong answers: {crowd.wrong[:5]}")
    expect(left == 0, f"{left} descriptors are left")
    lines = [line for line in log.splitlines() if " INFO " not in line and "ingerprint" not in line]
    expect(not any(" ERROR " in line for line in lines), f"the log has errors: {lines[:5]}")
    if not short:
        for name, values, slack in zip(("resident", "proportional", "anonymous", "descriptors"), zip(*samples), (512, 512, 512, 40)):
            judge(name, values, slack)


if __name__ == "__main__":
    campaign(__doc__, main)
