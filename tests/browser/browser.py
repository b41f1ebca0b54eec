"""Drives a headless Chromium over its own debugging pipe; what the checks beside this file share."""

import base64
import contextlib
import fcntl
import json
import os
import re
import select
import shutil
import subprocess
import time

BROWSERS = ("chromium", "chromium-headless-shell", "chromium-browser", "google-chrome")


class Trouble(Exception):
    """The check could not be made."""


class Wrong(Exception):
    """The page did not do what it should."""


class Browser:
    """A headless Chromium behind two pipes, each carrying JSON messages that end in NUL."""

    def __init__(self, profile, *options):
        program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
        if not program:
            raise Trouble("no Chromium found; apt-get install chromium, or set CHROMIUM")
        ours = [os.pipe(), os.pipe()]
        # Out of the way of 3 and 4, which the browser insists on.
        theirs = [fcntl.fcntl(fd, fcntl.F_DUPFD, 20) for fd in (ours[0][0], ours[1][1])]

        def hand_over():
            os.dup2(theirs[0], 3)
            os.dup2(theirs[1], 4)

        self.process = subprocess.Popen(
            [program, "--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu",
             "--no-first-run", "--disable-dev-shm-usage", f"--user-data-dir={profile}", *options, "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=hand_over, pass_fds=(3, 4))
        self.write, self.read = ours[0][1], ours[1][0]
        for fd in (ours[0][0], ours[1][1], *theirs):
            os.close(fd)
        self.buffer, self.last_id, self.errors = b"", 0, []

    def call(self, method, session=None, **params):
        """Sends one command and returns its result; script errors met meanwhile are kept."""
        self.last_id += 1
        message = {"id": self.last_id, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self.write, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + 20
        while True:
            answer = self.receive(deadline)
            if answer.get("method") == "Runtime.exceptionThrown":
                details = answer["params"]["exceptionDetails"]
                self.errors.append(details.get("exception", {}).get("description", details["text"]))
            if answer.get("id") == self.last_id:
                if "error" in answer:
                    raise Trouble(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def receive(self, deadline):
        while b"\0" not in self.buffer:
            if not select.select([self.read], [], [], max(0, deadline - time.monotonic()))[0]:
                raise Trouble("the browser does not answer")
            piece = os.read(self.read, 1 << 20)
            if not piece:
                raise Trouble("the browser ended")
            self.buffer += piece
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def close(self):
        with contextlib.suppress(OSError, Trouble):
            self.call("Browser.close")
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Tab:
    """One tab, with the viewport and colour scheme it was asked for."""

    def __init__(self, browser, name, url, scheme, width, height):
        self.browser, self.name = browser, name
        self.target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=self.target, flatten=True)["sessionId"]
        self.call("Runtime.enable")
        self.call("Page.enable")
        self.call("Emulation.setEmulatedMedia",
                  features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=2, mobile=width < 600)
        self.call("Page.navigate", url=url)
        # Until then, the empty page of before may still answer.
        self.wait_for("loaded", f"location.href.startsWith({json.dumps(url)}) && document.readyState === 'complete'", 10)

    def call(self, method, **params):
        return self.browser.call(method, self.session, **params)

    def value(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in answer:
            raise Wrong(f"{self.name}: {expression}: {answer['exceptionDetails']['text']}")
        return answer["result"].get("value")

    def wait_for(self, what, expression, seconds):
        """Waits until `expression` is true; returns how long that took."""
        begun = time.monotonic()
        while not self.value(expression):
            if time.monotonic() - begun > seconds:
                raise Wrong(f"{self.name}: {what}: not within {seconds} s; the page says "
                            f"{self.value('document.body.innerText')!r}")
            time.sleep(0.02)
        took = time.monotonic() - begun
        print(f"{self.name}: {what} ({took:.1f} s)")
        return took

    def close(self):
        self.browser.call("Target.closeTarget", targetId=self.target)

    def press_enter(self):
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", text="\r",
                      windowsVirtualKeyCode=13)

    def screenshot(self, path):
        picture = self.call("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(picture))
        print(f"screenshot: {path}")


def start(program, address="127.0.0.1:0", *arguments):
    """Starts the server; returns its process and the address that it printed."""
    try:
        server = subprocess.Popen([program, "serve", "--listen", address, *arguments],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    except OSError as error:
        raise Trouble(f"cannot start {program}: {error}") from error
    line = server.stdout.readline()
    found = re.search(r"https?://(127\.0\.0\.1:\d+)/", line)
    if not found:
        server.kill()
        raise Trouble(f"the server did not print its address, but {line!r}")
    return server, found[1]


def expect(condition, what):
    if not condition:
        raise Wrong(what)
