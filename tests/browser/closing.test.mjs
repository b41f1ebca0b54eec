// Close codes, as the server sends them and the page's JavaScript is told.

import assert from "node:assert/strict";
import { AERYS, CLOSING, browserTest } from "./support.mjs";

/** Opens a WebSocket in the page, does `act` with it, and returns its close event. */
function closed(page, url, act) {
  return page.evaluate(([url, act]) => new Promise(resolve => {
    const ws = new WebSocket(url);
    const said = [];
    ws.onopen = () => new Function("ws", act)(ws);
    ws.onmessage = ({ data }) => said.push(data);
    ws.onclose = ({ code, reason, wasClean }) => resolve({ code, reason, wasClean, said });
  }), [url, act]);
}

browserTest("a page is told the code and the reason that the server closes with", async world => {
  const server = await world.serve([CLOSING, "127.0.0.1:0"]);
  await world.launch();
  const page = await world.page();
  await page.goto(server.url);
  const url = `ws://${server.address}/ws`;
  const asked = (code, reason) => closed(page, url, `ws.send("${code} ${reason}")`);
  for (const code of [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4321, 4999]) {
    const event = await asked(code, `since ${code} ✓`);
    assert.deepEqual(event, { code, reason: `since ${code} ✓`, wasClean: true, said: [] });
  }
  // No reason, and the longest that fits into a control frame.
  for (const reason of ["", "r".repeat(123)]) {
    assert.deepEqual(await asked(4000, reason), { code: 4000, reason, wasClean: true, said: [] });
  }
  // A code that may not be sent is refused: the connection stays, until the page closes it.
  for (const code of [999, 1005, 1006, 1015, 2999, 5000]) {
    const event = await closed(page, url, `ws.addEventListener("message", () => ws.close(4001)); ws.send("${code}")`);
    assert.equal(event.code, 4001);
    assert.match(event.said.join(), new RegExp(code));
  }
});

browserTest("what a handler or a page does wrong has its code", async world => {
  const server = await world.serve([CLOSING, "127.0.0.1:0"]);
  await world.launch();
  const page = await world.page();
  await page.goto(server.url);
  const url = `ws://${server.address}/ws`;
  // Another's connection stays what it was through all of it.
  await page.evaluate(url => new Promise(resolve => {
    window.other = new WebSocket(url);
    window.other.onopen = resolve;
  }), url);
  const panicked = await closed(page, url, `ws.send("panic")`);
  assert.deepEqual([panicked.code, panicked.wasClean], [1011, true]);
  for (const long of [`"x".repeat(1025)`, `new Uint8Array(1025)`]) {
    const event = await closed(page, url, `ws.send(${long})`);
    assert.deepEqual([event.code, event.wasClean], [1009, true]);
  }
  const own = await closed(page, url, `ws.close(4444, "by the page")`);
  // The server answers with the code alone.
  assert.deepEqual(own, { code: 4444, reason: "", wasClean: true, said: [] });
  const plain = await closed(page, url, `ws.close()`);
  assert.deepEqual([plain.code, plain.wasClean], [1005, true]);
  assert.equal(await page.evaluate(() => window.other.readyState), 1);
});

browserTest("a server that stops closes with 1001, one that is killed with nothing", async world => {
  const stops = await world.serve(AERYS, "--listen", "127.0.0.1:0");
  const killed = await world.serve(AERYS, "--listen", "127.0.0.1:0");
  await world.launch();
  const page = await world.page();
  for (const [server, end, code] of [[stops, () => stops.stop(), 1001], [killed, () => kill(killed), 1006]]) {
    await page.goto(`${server.url}chat.css`);
    await page.evaluate(url => new Promise(resolve => {
      const ws = new WebSocket(url);
      ws.onopen = resolve;
      window.closing = new Promise(told => { ws.onclose = ({ code, wasClean }) => told([code, wasClean]); });
    }), `ws://${server.address}/echo`);
    await end();
    assert.deepEqual(await page.evaluate(() => window.closing), [code, code === 1001]);
  }
});

async function kill(server) {
  server.isStopped = true;
  server.process.kill("SIGKILL");
  await server.ended;
}
