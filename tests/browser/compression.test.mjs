// permessage-deflate (RFC 7692) as a browser does it: what is agreed on, that every message arrives
// whole, and by a relay in between, which counts the bytes as no page can, that it was compressed.

import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { AERYS, browserTest, protocolOf } from "./support.mjs";

const PAGES = new URL("pages", import.meta.url).pathname;
const MIB = 1 << 20;
const TIMES = 3;

class Relay {
  sent = 0;
  received = 0;

  static async to(port) {
    const relay = new Relay();
    relay.listener = createServer(browser => {
      const server = connect(port, "127.0.0.1");
      for (const socket of [browser, server]) socket.setNoDelay().on("error", () => {});
      browser.on("data", bytes => { relay.sent += bytes.length; }).pipe(server);
      server.on("data", bytes => { relay.received += bytes.length; }).pipe(browser);
      browser.on("close", () => server.destroy());
      server.on("close", () => browser.destroy());
    });
    relay.listener.listen(0, "127.0.0.1");
    await once(relay.listener, "listening");
    relay.port = relay.listener.address().port;
    return relay;
  }
}

/** What RFC 7692 section 7.1 makes of the offer of Chromium, client_max_window_bits alone, and this server where it is free. */
function expectedAnswer(mode, bits) {
  const answer = ["permessage-deflate"];
  if (mode === "shared") answer.push("server_no_context_takeover", "client_no_context_takeover");
  if (bits < 15) answer.push(`server_max_window_bits=${bits}`, `client_max_window_bits=${bits}`);
  return answer.sort();
}

async function echoes(page, relay, mode, bits) {
  const before = [relay.sent, relay.received];
  const said = await page.evaluate(times => echo(times), TIMES);
  assert.deepEqual(said.extensions.split(/; */).sort(), expectedAnswer(mode, bits));
  assert.deepEqual(said.faults, []);
  assert.deepEqual([said.code, said.count], [1000, 7 * TIMES]);
  for (const [way, count] of [["to the server", relay.sent - before[0]], ["back", relay.received - before[1]]]) {
    // Noise does not become less. What is beyond it is the text.
    const text = count - TIMES * MIB;
    assert(text >= 0 && text < 0.6 * TIMES * MIB, `${count} bytes ${way}: the texts were not compressed, or something is missing`);
  }
}

async function broadcasts(sender, receiver) {
  for (const page of [sender, receiver]) await page.evaluate(() => listen());
  await sender.evaluate(() => send());
  for (const page of [sender, receiver]) {
    assert.deepEqual(await page.evaluate(() => heard), { faults: [], count: 7, code: 1000 });
  }
}

for (const isSecure of [false, true]) {
  for (const mode of ["shared", "dedicated"]) {
    for (const bits of isSecure ? [8, 15] : [8, 9, 12, 15]) {
      browserTest(`${mode}, windows of 2^${bits} bytes${isSecure ? ", over HTTP/2" : ""}`, async world => {
        const options = ["--listen", "127.0.0.1:0", "--root", PAGES, "--compression", mode, "--compression-window-bits", bits];
        const server = isSecure ? await world.serveTls(AERYS, ...options) : await world.serve(AERYS, ...options);
        await (isSecure ? world.launchTrusting([server]) : world.launch());
        const relay = await Relay.to(server.port);
        const pages = [await world.page(), await world.page()];
        for (const page of pages) {
          await page.goto(`http${isSecure ? "s" : ""}://127.0.0.1:${relay.port}/compression.html`);
          assert.equal(await protocolOf(page), isSecure ? "h2" : "http/1.1");
        }
        await echoes(pages[0], relay, mode, bits);
        await broadcasts(...pages);
        relay.listener.close();
      });
    }
  }
}
