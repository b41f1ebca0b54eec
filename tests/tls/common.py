"""What the parts of tests/tls/run share: the server, clients of it, and the verdict."""

import contextlib
import pathlib
import re
import select
import socket
import ssl
import subprocess
import time

from verdict import Trouble, Wrong, expect

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TIMEOUT = 10


def wait_until(what, condition):
    """Asks again until it is so: what a signal does, no answer tells."""
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        expect(time.monotonic() < deadline, f"{what}: not within {TIMEOUT} s")
        time.sleep(0.02)


@contextlib.contextmanager
def part(name):
    begun = time.monotonic()
    yield
    print(f"{name} ({time.monotonic() - begun:.1f} s)", flush=True)


class Server:
    """`aerys serve` with these options on a free port, for the length of a `with`."""

    def __init__(self, program, log, *options):
        command = [program, "serve", "--listen", "127.0.0.1:0", *map(str, options)]
        # One for each address, and one for a certificate that it made.
        line_count = 1 + command.count("--tls-redirect") + command.count("--tls-self-signed")
        self.log = log
        with log.open("a") as output:
            self.log_begin = output.tell()
            print("+", *command[1:], file=output, flush=True)
            try:
                self.process = subprocess.Popen(command, bufsize=0, stdin=subprocess.DEVNULL,
                                                stdout=subprocess.PIPE, stderr=output)
            except OSError as error:
                raise Trouble(f"cannot start {program}: {error}") from error
        said, stdout = b"", self.process.stdout
        while said.count(b"\n") < line_count and select.select([stdout], [], [], TIMEOUT)[0]:
            piece = stdout.read(1 << 12)
            if not piece:
                break
            said += piece
        self.lines = said.decode().splitlines()
        found = re.fullmatch(r"https://127\.0\.0\.1:(\d+)/", self.lines[0] if self.lines else "")
        if not found or len(self.lines) < line_count:
            self.process.kill()
            self.process.wait()
            raise Trouble(f"the server printed {self.lines}, and not its address of TLS; see {log}")
        self.port = int(found[1])

    def __enter__(self):
        return self

    def __exit__(self, _, error, __):
        """Stops it, and judges how it ended: a crash must not hide behind what came before."""
        died = self.process.poll()
        self.process.terminate()
        try:
            status = self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            status = "none: it had to be killed"
        self.process.stdout.close()
        if died is not None or status != 0:
            raise Wrong(f"the server ended {'early ' if died is not None else ''}with exit status "
                        f"{status}; see {self.log}") from error
        expect("panicked" not in self.said(), f"something panicked; see {self.log}")

    def said(self):
        """Its log."""
        with self.log.open() as log:
            log.seek(self.log_begin)
            return log.read()


def connect(server, context=None):
    """A socket to the server, encrypted if there is a context."""
    plain = socket.create_connection(("127.0.0.1", server.port), TIMEOUT)
    if context is None:
        return plain
    try:
        return context.wrap_socket(plain, server_hostname="localhost")
    except ssl.SSLError as error:
        plain.close()
        raise Wrong(f"no handshake: {error}") from error


def read_to_end(client):
    received = b""
    while piece := client.recv(1 << 16):
        received += piece
    return received

