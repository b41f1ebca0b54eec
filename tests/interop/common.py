"""What all parts of tests/interop/run share: the server, what is to be negotiated, the count."""

import base64
import contextlib
import pathlib
import random
import re
import select
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TEXT, BINARY = 1, 2
MIB = 1 << 20
# What goes wrong for one combination is said so often at most in a part.
MOST_SAID = 10

# Behind this folder, which has a module named as one of theirs.
sys.path.append(str(ROOT / "tests" / "tls"))
import authority
from verdict import Trouble, Wrong, expect


def words(seed, length):
    """Text of so many bytes that can be compressed, some characters of several bytes."""
    source = random.Random(seed)
    vocabulary = ["window", "größer", "世界", "🎉", "take", "over", "the", "Ω", "message", "\n"]
    text = "".join(f"{source.choice(vocabulary)}{source.randrange(100)} " for _ in range(length // 4))
    return text.encode()[:length].decode(errors="ignore").encode().ljust(length, b".")


def noise(seed, length):
    """Text that repeats nothing."""
    return base64.b64encode(random.Random(seed).randbytes(length))[:length]


class Certified:
    """A certificate for the servers, from an authority that the clients are told of."""

    def __init__(self, folder):
        issuer = authority.Authority(folder)
        self.authority = str(issuer.certificate)
        certificate, key = issuer.issue("server", ["127.0.0.1"])
        self.options = ["--tls-cert", certificate, "--tls-key", key]


class Server:
    """`aerys serve` with these options on a free port, for the length of a `with`."""

    def __init__(self, program, log, mode, *options):
        command = [program, "serve", "--listen", "127.0.0.1:0", "--log-level", "warn",
                   "--compression", mode, *map(str, options)]
        self.log = log
        with log.open("a") as output:
            self.log_begin = output.tell()
            print("+", *command[1:], file=output, flush=True)
            try:
                self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                                stdout=subprocess.PIPE, stderr=output, text=True)
            except OSError as error:
                raise Trouble(f"cannot start {program}: {error}") from error
        line = ""
        if select.select([self.process.stdout], [], [], 10)[0]:
            line = self.process.stdout.readline()
        found = re.search(r"https?://127\.0\.0\.1:(\d+)/", line)
        if not found:
            self.process.kill()
            self.process.wait()
            raise Trouble(f"the server did not print its address, but {line!r}; see {log}")
        self.port = int(found[1])

    def __enter__(self):
        return self

    def __exit__(self, _, error, __):
        """Stops it, and judges how it ended: a crash must not hide behind what came before."""
        died = self.process.poll()
        self.process.terminate()
        try:
            status = self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            status = "none: it had to be killed"
        self.process.stdout.close()
        if died is not None or status != 0:
            raise Wrong(f"the server ended {'early ' if died is not None else ''}with exit status "
                        f"{status}; see {self.log}") from error
        with self.log.open() as said:
            said.seek(self.log_begin)
            expect("panicked" not in said.read(), f"something panicked; see {self.log}")

    def memory(self, field):
        """A figure of /proc/PID/status, in bytes."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE)[1]) * 1024


class Part:
    """One line of the result: counts what was tried, and says what was wrong with it."""

    def __init__(self, name):
        self.name = name
        self.passed, self.failed, self.messages = 0, 0, 0
        self.notes, self.begun = [], time.monotonic()

    def __enter__(self):
        return self

    def __exit__(self, _, error, __):
        """A fault that ended the whole part is one of it."""
        if isinstance(error, Wrong):
            self.wrong("", error)
        if error is None or isinstance(error, Wrong):
            took = time.monotonic() - self.begun
            print(f"{self.name}: {self.passed + self.failed} combinations, {self.messages} messages, "
                  f"{took:.1f} s: {f'{self.failed} FAILED' if self.failed else 'passed'}"
                  f"{''.join(f'; {note}' for note in self.notes)}", flush=True)
            return True
        return False

    @contextlib.contextmanager
    def attempt(self, what):
        """One combination."""
        try:
            yield
        except Wrong as wrong:
            self.wrong(f"{what}: ", wrong)
        except OSError as error:  # refused, reset, or silent for too long
            self.wrong(f"{what}: ", f"{type(error).__name__}: {error}")
        else:
            self.passed += 1

    def wrong(self, what, error):
        self.failed += 1
        if self.failed <= MOST_SAID:
            print(f"  WRONG {self.name}: {what}{error}", flush=True)
        elif self.failed == MOST_SAID + 1:
            print(f"  WRONG {self.name}: and more", flush=True)


FLAGS = {"server_no_context_takeover", "client_no_context_takeover"}
SIZES = {"server_max_window_bits", "client_max_window_bits"}


def parameters(extensions, is_answer=True):
    """The parameters of permessage-deflate, which is to be the only extension of a header."""
    name, *rest = (part.strip() for part in extensions.split(";"))
    expect(name == "permessage-deflate", f"the extensions are {extensions!r}")
    found = {}
    for parameter in rest:
        key, equals, value = parameter.partition("=")
        expect(key not in found, f"{key} twice in {extensions!r}")
        if key in FLAGS or key == "client_max_window_bits" and not is_answer:
            legal = not equals
        else:
            legal = False
        if key in SIZES and equals:
            legal = re.fullmatch("[89]|1[0-5]", value)
        expect(legal, f"{parameter!r} is no parameter, in {extensions!r}")
        found[key] = int(value) if equals else True
    return found


def expected_answer(offer, mode):
    """What RFC 7692 section 7.1 makes of an offer's parameters, and this server where it is free."""
    answer = {key: True for key in FLAGS if key in offer or mode == "shared"}
    # 7.1.2.1: no more than asked, and always said if asked.
    if "server_max_window_bits" in offer:
        answer["server_max_window_bits"] = offer["server_max_window_bits"]
    # 7.1.2.2: never said if not offered, and no more than was. 15 need not be said.
    wish = offer.get("client_max_window_bits")
    if wish not in (None, True, 15):
        answer["client_max_window_bits"] = wish
    return answer


def expect_answer(answer, offer, mode):
    expected = expected_answer(offer, mode)
    expect(answer == expected, f"{offer} was answered with {answer} instead of {expected}")
