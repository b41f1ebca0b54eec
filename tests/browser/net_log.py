"""What Chromium recorded of its network (--log-net-log): connections of HTTP/2, and their streams."""

import dataclasses
import json

from browser import Trouble

BEGIN = 1


def fields(lines):
    """By name, which may begin with a colon (RFC 9113 section 8.3)."""
    found = {}
    for line in lines:
        end = line.index(":", 1)
        found[line[:end]] = line[end + 1:].strip()
    return found


@dataclasses.dataclass
class Stream:
    """Of a request: its fields, and the status of the answer."""

    sent: dict
    status: str = "none"


class Record:
    def __init__(self, path):
        try:
            record = json.loads(path.read_text())
            self.types = record["constants"]["logEventTypes"]
            self.events = record["events"]
        except (OSError, ValueError, KeyError) as error:
            raise Trouble(f"no record of the network in {path}: {error}") from error

    def named(self, name):
        if name not in self.types:
            raise Trouble(f"this Chromium's records know no {name}")
        return [event for event in self.events if event["type"] == self.types[name]]

    def begun(self, name, field, value):
        return [event["source"]["id"] for event in self.named(name)
                if event["phase"] == BEGIN and event.get("params", {}).get(field) == value]

    def connected(self, address):
        """The TCP connections that were tried."""
        return self.begun("TCP_CONNECT_ATTEMPT", "address", address)

    def sessions(self, address):
        """The connections of HTTP/2."""
        return self.begun("HTTP2_SESSION", "host", address)

    def streams(self, session):
        """What was asked for on a connection of HTTP/2."""
        streams = {}
        for event in self.named("HTTP2_SESSION_SEND_HEADERS"):
            if event["source"]["id"] == session:
                streams[event["params"]["stream_id"]] = Stream(fields(event["params"]["headers"]))
        for event in self.named("HTTP2_SESSION_RECV_HEADERS"):
            if event["source"]["id"] == session:
                streams[event["params"]["stream_id"]].status = fields(event["params"]["headers"])[":status"]
        return list(streams.values())

    def upgrades(self):
        """The opening handshakes of HTTP/1.1."""
        heads = [event["params"]["headers"] for event in self.named("HTTP_TRANSACTION_SEND_REQUEST_HEADERS")]
        return [head for head in heads if any(line.lower() == "upgrade: websocket" for line in head)]
