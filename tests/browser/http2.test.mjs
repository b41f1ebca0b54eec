// `aerys serve --tls-self-signed` speaks HTTP/2, also for WebSockets.
//
// That all of it was HTTP/2 is shown by the browser's own record of its network: to each server there
// was one connection, every request of a page and every WebSocket was a stream on it, and every
// WebSocket an extended CONNECT (RFC 8441).

import assert from "node:assert/strict";
import { ASSETS, openPage, writePage } from "./assets.mjs";
import { chat, connected } from "./chat.mjs";
import { Record } from "./net_log.mjs";
import { AERYS, browserTest, output, protocolOf } from "./support.mjs";

const LISTEN = ["--listen", "127.0.0.1:0"];
// Of the chat there are those of two tabs, and of the one that was loaded anew; one measures, one is refused.
const WEBSOCKETS = { "/chat/named": 3, "/echo": 1, "/nothing": 1 };

/** The one connection of HTTP/2 to a server, and there was no other. */
function onlySession(record, address) {
  const sessions = record.sessions(address);
  assert.equal(sessions.length, 1, `connections of HTTP/2 to ${address}`);
  return record.streams(sessions[0]);
}

browserTest("the chat and its WebSockets are streams of one connection", async world => {
  const server = await world.serveTls(AERYS, ...LISTEN);
  const log = output("http2-chat-net-log.json");
  await world.launchTrusting([server], `--log-net-log=${log}`);
  const context = await world.context();
  const first = await world.page({ context }, [/^console: WebSocket .*\/nothing' failed: .*404$/]);
  const second = await world.page({ context });
  for (const page of [first, second]) {
    await page.goto(server.url);
    assert.equal(await protocolOf(page), "h2");
  }
  await chat(first, second);

  const refused = await first.evaluate(() => new Promise(resolve => {
    const said = [];
    const ws = new WebSocket(`wss://${location.host}/nothing`);
    ws.onopen = () => said.push("open");
    ws.onerror = () => said.push("error");
    ws.onclose = ({ code, wasClean }) => resolve([...said, code, wasClean]);
  }));
  assert.deepEqual(refused, ["error", 1006, false]);
  await connected(first);

  await first.reload();
  // A Close frame with 1001 that Chromium has yet to write is dropped when it resets the stream: then the
  // code is 1006.
  const left = second.locator(".note", { hasText: /^Anna left \(100[16]: / });
  await left.first().waitFor();
  await connected(first);
  await first.close();
  await left.nth(1).waitFor();
  await connected(second);
  // Its record is whole when it has ended.
  await world.browser.close();

  const record = await Record.read(log);
  assert.equal(record.connected(server.address).length, 1, "TCP connections");
  const websockets = onlySession(record, server.address).filter(({ sent }) => sent[":method"] === "CONNECT");
  const counted = {};
  for (const { sent, status } of websockets) {
    assert.equal(sent[":protocol"], "websocket");
    const path = sent[":path"].split("?")[0];
    counted[path] = (counted[path] ?? 0) + 1;
    assert.equal(status, path === "/nothing" ? "404" : "200", path);
  }
  assert.deepEqual(counted, WEBSOCKETS);
  assert.deepEqual(record.upgrades(), [], "WebSockets over HTTP/1.1");
});

browserTest("a page with 50 assets comes over one connection", async (world, root) => {
  await writePage(root);
  const server = await world.serveTls(AERYS, ...LISTEN, "--root", root);
  const log = output("http2-files-net-log.json");
  await world.launchTrusting([server], `--log-net-log=${log}`);
  const responses = await openPage(await world.page(), server.url);
  assert.deepEqual([...new Set(responses.map(({ protocol }) => protocol))], ["h2"]);
  assert.equal(new Set(responses.map(({ connectionId }) => connectionId)).size, 1, "connections");
  await world.browser.close();
  const fetched = onlySession(await Record.read(log), server.address).filter(({ sent }) => sent[":method"] === "GET");
  assert(fetched.length > ASSETS, `${fetched.length} streams for ${ASSETS} assets and their page`);
});
