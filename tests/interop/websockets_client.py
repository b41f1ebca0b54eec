"""The PyPI package `websockets` as a client of /echo: one connection for each set of options, one
line of JSON about each. `run` beside this file starts it in an environment that has the package,
says on standard input what to send, and judges what comes out.
"""

import base64
import json
import socket
import sys

from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.sync.client import connect

TIMEOUT = 10
MOST_ERRORS = 5


class Counting(socket.socket):
    """A socket that knows how many bytes it carried."""

    wrote = read = 0

    def sendall(self, data, *flags):
        super().sendall(data, *flags)
        self.wrote += len(data)

    def recv(self, *args):
        data = super().recv(*args)
        self.read += len(data)
        return data


def connected(url, options):
    host, port = url.split("/")[2].split(":")
    counting = Counting(socket.AF_INET, socket.SOCK_STREAM)
    counting.settimeout(TIMEOUT)
    counting.connect((host, int(port)))
    counting.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return counting, connect(
        url, sock=counting, extensions=[ClientPerMessageDeflateFactory(**options)], compression=None,
        proxy=None, open_timeout=TIMEOUT, close_timeout=TIMEOUT, ping_interval=None, max_size=1 << 24)


def exchange(ws, counting, step):
    """Sends one message and says what came back, and how many bytes the socket carried for it."""
    wrote, read = counting.wrote, counting.read
    pongs = []

    def fragments():
        """With a ping after each but the last."""
        for at, fragment in enumerate(step["fragments"]):
            if at:
                pongs.append(ws.ping())
            yield fragment

    ws.send(fragments() if len(step["fragments"]) > 1 else step["whole"])
    data = ws.recv(TIMEOUT)
    return {
        "wrote": counting.wrote - wrote,
        "read": counting.read - read,
        "pongs": sum(pong.wait(TIMEOUT) for pong in pongs),
        "same": type(data) is type(step["whole"]) and data == step["whole"],
    }


def connection(url, options, steps):
    result = {"steps": []}
    try:
        counting, ws = connected(url, options)
        with ws:
            result["offer"] = ws.request.headers["Sec-WebSocket-Extensions"]
            result["answer"] = ws.response.headers.get("Sec-WebSocket-Extensions", "")
            for step in steps:
                result["steps"].append(exchange(ws, counting, step))
        result["code"] = ws.close_code
    except Exception as error:  # whatever it is, `run` is to hear of it
        result["error"] = f"{type(error).__name__}: {error}"
    return result


def main():
    job = json.load(sys.stdin)
    for step in job["steps"]:
        if step["binary"]:
            step["fragments"] = [base64.b64decode(text) for text in step["fragments"]]
        step["whole"] = (b"" if step["binary"] else "").join(step["fragments"])
    errors = 0
    for options in job["options"]:
        result = connection(job["url"], options, job["steps"])
        print(json.dumps(result), flush=True)
        errors += "error" in result
        if errors == MOST_ERRORS:
            break


main()
