// What the tests beside this file share: servers, a browser, and what no page may do.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { X509Certificate, createHash } from "node:crypto";
import { once } from "node:events";
import { openSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import test from "node:test";
import { connect } from "node:tls";

const OUTPUT = process.env.BROWSER_OUTPUT;
const { chromium } = createRequire(join(OUTPUT, "npm/"))("playwright-core");

export const AERYS = [process.env.AERYS, "serve", "--log-level", "warn"];
export const CLOSING = process.env.CLOSING;
export const output = name => join(OUTPUT, name);

/** What is waited for at most, in milliseconds: whoever waits sees it long before. */
const PATIENCE = 20_000;
/** And a whole test. */
const LONGEST = 90_000;

/** A server on a free port of 127.0.0.1, or on the address that it is given. */
export class Server {
  static async start(command, ...options) {
    const server = new Server();
    const log = openSync(output("server.log"), "a");
    server.process = spawn(command[0], [...command.slice(1), ...options.map(String)], { stdio: ["ignore", "pipe", log] });
    server.ended = once(server.process, "exit");
    const lines = createInterface({ input: server.process.stdout });
    const [line] = await Promise.race([once(lines, "line"), server.ended]);
    const found = /(https?:\/\/)(127\.0\.0\.1:\d+)\//.exec(line);
    assert(found, `the server did not print its address, but ${line}`);
    [server.url, , server.address] = found;
    server.port = Number(server.address.split(":")[1]);
    server.origin = server.url.slice(0, -1);
    return server;
  }

  /** Stops it gracefully: that it ended before, or otherwise, must not go unseen. */
  async stop() {
    if (this.isStopped) return;
    this.isStopped = true;
    assert.equal(this.process.exitCode, null, "the server ended early");
    this.process.kill("SIGTERM");
    const late = setTimeout(() => this.process.kill("SIGKILL"), PATIENCE);
    const [status] = await this.ended;
    clearTimeout(late);
    assert.equal(status, 0, `exit status of the server; see ${output("server.log")}`);
  }

  /** What a browser is to be told to trust its key, and no other. */
  async keyHash() {
    const socket = connect({ port: this.port, host: "127.0.0.1", rejectUnauthorized: false });
    await once(socket, "secureConnect");
    const { publicKey } = new X509Certificate(socket.getPeerCertificate(true).raw);
    socket.destroy();
    return createHash("sha256").update(publicKey.export({ type: "spki", format: "der" })).digest("base64");
  }
}

/** What a test has: servers and a browser of its own, gone with it. */
class World {
  servers = [];
  complaints = [];

  async serve(command, ...options) {
    const server = await Server.start(command, ...options);
    this.servers.push(server);
    return server;
  }

  /** The same over TLS, with a certificate that nobody vouches for. */
  serveTls(command, ...options) {
    return this.serve(command, "--tls-self-signed", ...options);
  }

  async launch(...args) {
    // As root, which these tests may run as, Chromium has no sandbox.
    this.browser = await chromium.launch({ executablePath: process.env.CHROMIUM, chromiumSandbox: false, args });
  }

  /** Starts a browser that trusts these servers. */
  async launchTrusting(servers, ...args) {
    const hashes = await Promise.all(servers.map(server => server.keyHash()));
    await this.launch(`--ignore-certificate-errors-spki-list=${hashes}`, ...args);
  }

  /** A page of a tab that shares nothing with others. `expected` are complaints that are to come. */
  async page(options = {}, expected = []) {
    const context = await this.browser.newContext({ viewport: { width: 1100, height: 760 }, ...options });
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE);
    const complain = text => { if (!expected.some(pattern => pattern.test(text))) this.complaints.push(text); };
    page.on("console", message => {
      if (["error", "warning", "assert"].includes(message.type())) complain(`console: ${message.text()}`);
    });
    page.on("pageerror", error => complain(`error: ${error.stack}`));
    page.on("crash", () => complain("the page crashed"));
    page.on("requestfailed", request => complain(`failed: ${request.url()}: ${request.failure().errorText}`));
    page.on("response", response => { if (response.status() >= 400) complain(`${response.status()}: ${response.url()}`); });
    return page;
  }

  async end() {
    await this.browser?.close();
    await Promise.all(this.servers.map(server => server.stop()));
  }
}

/** A test with a world of its own, and a folder that is gone after it. */
export function browserTest(name, body) {
  test(name, async () => {
    const world = new World();
    const folder = await mkdtemp(join(tmpdir(), "aerys-browser-"));
    let timer;
    // Not the runner's timeout: behind that, nobody would stop the servers.
    const late = new Promise((_, fail) => {
      timer = setTimeout(() => fail(new Error(`not within ${LONGEST} ms; pages said ${world.complaints}`)), LONGEST);
    });
    try {
      await Promise.race([body(world, folder), late]);
    } finally {
      clearTimeout(timer);
      await world.end();
      await rm(folder, { recursive: true, force: true });
    }
    assert.deepEqual(world.complaints, [], "what pages complained of");
  });
}

/** What a page's `PerformanceNavigationTiming` says that it came by. */
export const protocolOf = page => page.evaluate(() => performance.getEntriesByType("navigation")[0].nextHopProtocol);
