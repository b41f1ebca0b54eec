"""permessage-deflate as a real browser does it: headless Chromium, on a page of its own."""

import contextlib
import io
import itertools
import json
import socket
import tempfile
import threading

from common import (HERE, MIB, Part, Server, Trouble, Wrong, browsers, expect, expect_answer,
                    parameters)

# What it offers, and no page has a say in it.
OFFER = {"client_max_window_bits": True}
WINDOWS = (8, 9, 12, 15)
TIMES = 3


class Tab(browsers.Tab):
    """A tab that says nothing of what it waits for."""

    def wait_for(self, *arguments):
        with contextlib.redirect_stdout(io.StringIO()):
            return super().wait_for(*arguments)

    def open(self, url):
        self.call("Page.navigate", url=url)
        loaded = f"location.href === {json.dumps(url)} && typeof send === 'function'"
        self.wait_for("loaded", loaded, 10)

    def run(self, expression):
        """What a promise of the page comes to."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True,
                           awaitPromise=True)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            said = details.get("exception", {}).get("description", details["text"])
            raise Wrong(f"{self.name}: {said.splitlines()[0]}")
        return answer["result"].get("value")


class Relay:
    """Counts the bytes between the browser and the server, since no page can."""

    def __init__(self, port):
        self.target, self.sent, self.received = port, 0, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.open = []
        threading.Thread(target=self.accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for one in [self.listener, *self.open]:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                browser = self.listener.accept()[0]
                server = socket.create_connection(("127.0.0.1", self.target), 10)
                server.settimeout(None)
                for one in (browser, server):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.open += [browser, server]
                for pair in ((browser, server, "sent"), (server, browser, "received")):
                    threading.Thread(target=self.carry, args=pair, daemon=True).start()

    def carry(self, source, sink, counter):
        with contextlib.suppress(OSError):
            while piece := source.recv(1 << 18):
                setattr(self, counter, getattr(self, counter) + len(piece))
                sink.sendall(piece)
            sink.shutdown(socket.SHUT_WR)


def echoes(tab, relay, mode, greatest):
    """Every message there and back; returns how many. On the way the texts are to be compressed."""
    before = relay.sent, relay.received
    said = tab.run(f"echo({TIMES})")
    expect_answer(parameters(said["extensions"]), OFFER, mode, greatest)
    expect(not said["faults"], f"came back otherwise: {said['faults']}")
    expect(said["code"] == 1000, f"closed with {said['code']}")
    for way, count in (("to the server", relay.sent - before[0]), ("back", relay.received - before[1])):
        # Noise does not become less. What is beyond it is the text.
        expect(0 <= count - TIMES * MIB < 0.6 * TIMES * MIB,
               f"{count} bytes {way}: the texts were not compressed, or something is missing")
    return said["count"]


def broadcasts(sender, receiver):
    for tab in (sender, receiver):
        tab.run("listen()")
    sender.run("send()")
    count = 0
    for tab in (sender, receiver):
        said = tab.run("heard")
        expect(not said["faults"], f"{tab.name} received otherwise: {said['faults']}")
        expect(said["code"] == 1000, f"{tab.name}: closed with {said['code']}")
        count += said["count"]
    return count


@contextlib.contextmanager
def headless(*options):
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        try:
            browser = browsers.Browser(profile, *options)
        except OSError as error:
            raise Trouble(f"cannot start Chromium: {error}") from error
        try:
            yield browser
        finally:
            browser.close()


def prepare():
    """Its version; fails if there is none."""
    with headless() as browser:
        return browser.call("Browser.getVersion")["product"].split("/")[-1]


def run(program, log, parts, version, certified=None):
    """Over TLS with a certificate, and so over HTTP/2."""
    windows, trusting = WINDOWS, []
    if certified:
        windows = WINDOWS[::3]
        trusting = [f"--ignore-certificate-errors-spki-list={certified.public_key_hash}"]
    name = f"Chromium {version}{', TLS' if certified else ''}"
    with headless(*trusting) as browser, Part(name) as part:
        parts.append(part)
        tabs = [Tab(browser, name, "about:blank", "light", 900, 640)
                for name in ("first tab", "second tab")]
        for mode, greatest in itertools.product(("shared", "dedicated"), windows):
            both(part, tabs, program, log, mode, greatest, certified)
        expect(not browser.errors, f"script errors: {browser.errors}")


def both(part, tabs, program, log, mode, greatest, certified):
    options = ["--compression-window-bits", greatest, "--root", HERE / "page"]
    options += certified.options if certified else []
    scheme = "https" if certified else "http"
    what = f"{mode}, windows of {greatest} bits at most"
    with Server(program, log, mode, *options) as server, Relay(server.port) as relay:
        for tab in tabs:
            tab.open(f"{scheme}://127.0.0.1:{relay.port}/")
            # Over plain HTTP the page is not told.
            agreed = tab.value("performance.getEntriesByType('navigation')[0].nextHopProtocol")
            expect(not certified or agreed == "h2", f"the page came by {agreed}")
        with part.attempt(f"{what}, echo"):
            part.messages += echoes(tabs[0], relay, mode, greatest)
        with part.attempt(f"{what}, broadcast"):
            part.messages += broadcasts(*tabs)
