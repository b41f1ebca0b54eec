"""The commands of a page, one after the other, as somebody would type them."""

import itertools
import os
import re
import shlex
import signal
import subprocess
import time

import not_run
from trouble import Wrong

# Longer than anything takes; to build what is not built yet takes longest.
COMMAND_SECONDS = 60
BUILD_SECONDS = 300

# What stays: the program without a command or with `serve`, and what Cargo runs.
SERVES = re.compile(r"(\w+=\S+ )*(aerys( serve\b.*| --(?!help|version).*)?|cargo run.*)")
OF_THE_CLONE = re.compile(r"(\w+=\S+ )*(cargo (?!new|add)|tests/|benches/|\.ci/)")
ADDRESS = re.compile(r"(https?://|unix:)\S+", re.MULTILINE)
NUMBERS = itertools.count(1)
STATUS = re.compile(r"# exit status (\d+)")


def fits(line, expected):
    return re.fullmatch(".*".join(map(re.escape, expected.split("…"))), line)


def compare(seen, expected, what):
    """Whether lines are as expected, where `…` alone is any lines."""
    seen, rest = list(seen), list(expected)
    skips = False
    for line in rest:
        if line.strip() == "…":
            skips = True
            continue
        while skips and seen and not fits(seen[0], line):
            seen.pop(0)
        if not seen or not fits(seen[0], line):
            found = f"'{seen[0]}'" if seen else "the end"
            raise Wrong(f"{what}: expected '{line}', found {found}")
        seen.pop(0)
        skips = False
    if seen and not skips:
        raise Wrong(f"{what}: '{seen[0]}' is not on the page")


def split(block):
    """The commands of a block, each with the lines that are to be seen, or None."""
    commands = []
    text = block.text.replace("\\\n", "")
    for line in text.splitlines():
        if block.language == "sh":
            if line.strip() and not line.startswith("#"):
                commands.append((line.strip(), None))
        elif line.startswith("$ "):
            commands.append((line.removeprefix("$ "), []))
        elif commands:
            commands[-1][1].append(line.rstrip())
        else:
            raise Wrong(f"'{line}' before the first command")
    return commands


class Server:
    """What was started and stays."""

    def __init__(self, command, cwd, environment, ready=None, expected=None):
        self.command, self.expected = command, expected
        self.path, self.errors = (cwd / f"server-{next(NUMBERS)}.{stream}" for stream in ("out", "err"))
        with open(self.path, "wb") as out, open(self.errors, "wb") as err:
            arguments = ["bash", "-c", f"exec {command}"] if isinstance(command, str) else command
            self.process = subprocess.Popen(arguments, cwd=cwd, env=environment, stdin=subprocess.DEVNULL,
                                            stdout=out, stderr=err, start_new_session=True)
        limit = time.monotonic() + BUILD_SECONDS
        while not (ready.exists() if ready else ADDRESS.search(self.said())):
            if self.process.poll() is not None or time.monotonic() > limit:
                self.kill()
                raise Wrong(f"'{command}' does not serve: {self.said()}{self.errors.read_text()}")
            time.sleep(0.02)

    def said(self):
        return self.path.read_text()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Wrong(f"'{self.command}' does not stop") from None
        if status:
            raise Wrong(f"'{self.command}' ended with {status}: {self.errors.read_text()}")
        if self.expected is not None:
            compare(self.said().splitlines(), self.expected, self.command)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Commands:
    def __init__(self, page):
        self.page = page
        self.start = self.cwd = page.folder
        path = page.folder / ".bin"
        path.mkdir()
        (path / "aerys").symlink_to(page.program)
        # As on a terminal: curl draws nothing while it prints, and prints what it has.
        (path / ".curlrc").write_text("no-progress-meter\nno-buffer\n")
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("AERYS_")}
        self.environment |= {"PATH": f"{path}:{os.environ['PATH']}", "NO_COLOR": "1", "CARGO_NET_OFFLINE": "true",
                             "CURL_HOME": str(path), "CARGO_TERM_COLOR": "never"}

    def run(self, block):
        """Runs the commands of a block, and says how many."""
        count = 0
        for command, expected in split(block):
            if entry := not_run.reason(command):
                self.page.not_run.add(entry)
                continue
            count += 1
            without_comment = re.sub(r"\s+#.*", "", command)
            if SERVES.fullmatch(without_comment.removesuffix("&").strip()):
                self.serve(without_comment.removesuffix("&").strip(), expected)
            else:
                self.call(command, expected)
        return count

    def place(self, command):
        """Where a command is run, and with what in its environment."""
        if self.cwd == self.start and OF_THE_CLONE.match(command):
            return self.page.root, self.environment
        # What is built for the pages is built once.
        return self.cwd, self.environment | {"CARGO_TARGET_DIR": str(self.page.root / "target" / "docs" / "target")}

    def serve(self, command, expected):
        self.page.stop_servers()
        cwd, environment = self.place(command)
        if cwd == self.page.root:
            command = f"env -C {shlex.quote(str(cwd))} {command}"
        self.page.servers.append(Server(command, self.cwd, environment, expected=expected))

    def call(self, command, expected):
        cwd, environment = self.place(command)
        status = STATUS.search(command)
        where = self.start / ".bin" / "cwd"
        # What a `cd` has led to counts for what follows.
        script = f'{command}\nstatus=$?\npwd >{shlex.quote(str(where))}\nexit $status\n'
        done = subprocess.run(["bash", "-c", script], cwd=cwd, env=environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                              timeout=BUILD_SECONDS if "cargo" in command else COMMAND_SECONDS, check=False)
        if done.returncode != (int(status[1]) if status else 0):
            raise Wrong(f"'{command}' ended with {done.returncode}: {done.stdout}")
        if expected is not None:
            compare([line.rstrip() for line in done.stdout.splitlines()], expected, command)
        if cwd != self.page.root:
            self.cwd = type(cwd)(where.read_text().rstrip("\n"))
