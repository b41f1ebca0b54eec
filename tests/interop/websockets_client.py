"""The PyPI package `websockets` as a client of /echo: one connection for each set of options, one
line of JSON about each. `run` beside this file starts it in an environment that has the package,
says on standard input what to send, and judges what comes out.
"""

import base64
import json
import socket
import ssl
import sys
import urllib.request

from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.sync.client import connect

TIMEOUT = 10
MOST_ERRORS = 5


class Counted:
    """How many bytes a socket carried, before they were encrypted."""

    sent_bytes = received_bytes = 0

    def sendall(self, data, *flags):
        super().sendall(data, *flags)
        self.sent_bytes += len(data)

    def recv(self, *args):
        data = super().recv(*args)
        self.received_bytes += len(data)
        return data


class Counting(Counted, socket.socket):
    """In the clear."""


class Encrypting(Counted, ssl.SSLSocket):
    """And by TLS."""


def trusting(authority):
    context = ssl.create_default_context(cafile=authority)
    context.sslsocket_class = Encrypting
    # It reads in one thread and writes in another. While the one takes the tickets of 1.3, what the other
    # writes is sometimes lost within OpenSSL, whoever the server is: one connection in five hundred.
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


def connected(url, context, options):
    host, port = url.split("/")[2].split(":")
    counting = Counting(socket.AF_INET, socket.SOCK_STREAM)
    counting.settimeout(TIMEOUT)
    counting.connect((host, int(port)))
    counting.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    ws = connect(
        url, sock=counting, ssl=context, extensions=[ClientPerMessageDeflateFactory(**options)], compression=None,
        proxy=None, open_timeout=TIMEOUT, close_timeout=TIMEOUT, ping_interval=None, max_size=1 << 24)
    return ws.socket, ws


def exchange(ws, counting, step):
    """Sends one message and says what came back, and how many bytes the socket carried for it."""
    wrote, read = counting.sent_bytes, counting.received_bytes
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
        "wrote": counting.sent_bytes - wrote,
        "read": counting.received_bytes - read,
        "pongs": sum(pong.wait(TIMEOUT) for pong in pongs),
        "same": type(data) is type(step["whole"]) and data == step["whole"],
    }


def page(url, context):
    """The status of the page beside the WebSocket, by https."""
    address = url.replace("wss:", "https:").rsplit("/", 1)[0]
    with urllib.request.urlopen(f"{address}/", context=context, timeout=TIMEOUT) as response:
        response.read()
        return response.status


def connection(url, context, options, steps):
    result = {"steps": []}
    try:
        counting, ws = connected(url, context, options)
        with ws:
            result["offer"] = ws.request.headers["Sec-WebSocket-Extensions"]
            result["answer"] = ws.response.headers.get("Sec-WebSocket-Extensions", "")
            for step in steps:
                result["steps"].append(exchange(ws, counting, step))
        result["code"] = ws.close_code
        if context:
            result["page"] = page(url, context)
    except Exception as error:  # whatever it is, `run` is to hear of it
        result["error"] = f"{type(error).__name__}: {error}"
    return result


def main():
    job = json.load(sys.stdin)
    for step in job["steps"]:
        if step["binary"]:
            step["fragments"] = [base64.b64decode(text) for text in step["fragments"]]
        step["whole"] = (b"" if step["binary"] else "").join(step["fragments"])
    context = trusting(job["authority"]) if "authority" in job else None
    errors = 0
    for options in job["options"]:
        result = connection(job["url"], context, options, job["steps"])
        print(json.dumps(result), flush=True)
        errors += "error" in result
        if errors == MOST_ERRORS:
            break


main()
