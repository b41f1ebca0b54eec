// What Chromium recorded of its network (--log-net-log): connections of HTTP/2, and their streams.
// Playwright knows requests, not what carried them.

import { readFile } from "node:fs/promises";

const BEGIN = 1;

/** Fields by name, which may begin with a colon (RFC 9113 section 8.3). */
function fields(lines) {
  return Object.fromEntries(lines.map(line => {
    const end = line.indexOf(":", 1);
    return [line.slice(0, end), line.slice(end + 1).trim()];
  }));
}

export class Record {
  static async read(path) {
    const record = new Record();
    const { constants, events } = JSON.parse(await readFile(path, "utf8"));
    Object.assign(record, { types: constants.logEventTypes, events });
    return record;
  }

  #named(name) {
    if (!(name in this.types)) throw new Error(`this Chromium's records know no ${name}`);
    return this.events.filter(event => event.type === this.types[name]);
  }

  #begun(name, field, value) {
    return this.#named(name)
      .filter(event => event.phase === BEGIN && event.params?.[field] === value)
      .map(event => event.source.id);
  }

  /** The TCP connections that were tried. */
  connected(address) {
    return this.#begun("TCP_CONNECT_ATTEMPT", "address", address);
  }

  /** The connections of HTTP/2. */
  sessions(address) {
    return this.#begun("HTTP2_SESSION", "host", address);
  }

  /** What was asked for on a connection of HTTP/2: the fields of each request, and the status of the answer. */
  streams(session) {
    const streams = new Map();
    const of = name => this.#named(name).filter(event => event.source.id === session).map(event => event.params);
    for (const { stream_id, headers } of of("HTTP2_SESSION_SEND_HEADERS")) {
      streams.set(stream_id, { sent: fields(headers), status: "none" });
    }
    for (const { stream_id, headers } of of("HTTP2_SESSION_RECV_HEADERS")) {
      streams.get(stream_id).status = fields(headers)[":status"];
    }
    return [...streams.values()];
  }

  /** The opening handshakes of HTTP/1.1. */
  upgrades() {
    return this.#named("HTTP_TRANSACTION_SEND_REQUEST_HEADERS")
      .map(event => event.params.headers)
      .filter(head => head.some(line => line.toLowerCase() === "upgrade: websocket"));
  }
}
