// Who may open a WebSocket: pages of the origins that the server was told.

import assert from "node:assert/strict";
import { AERYS, browserTest } from "./support.mjs";

const PAGES = new URL("pages", import.meta.url).pathname;

/** What became of a WebSocket that a page opens: an echo, or the close event without one. */
function tried(page, url) {
  return page.evaluate(url => new Promise(resolve => {
    const ws = new WebSocket(url);
    ws.onopen = () => ws.send("let in");
    ws.onmessage = ({ data }) => { resolve(data); ws.close(); };
    ws.onclose = ({ code, wasClean }) => resolve([code, wasClean]);
  }), url);
}

browserTest("a page of another origin may not open an endpoint", async world => {
  const friend = await world.serve(AERYS, "--listen", "127.0.0.1:0", "--root", PAGES);
  const stranger = await world.serve(AERYS, "--listen", "127.0.0.1:0", "--root", PAGES);
  const server = await world.serve(AERYS, "--listen", "127.0.0.1:0", "--allowed-origin", friend.origin);
  await world.launch();
  for (const [url, isAllowed] of [
    [friend.url, true],
    // Another port, another name of the same machine, and the server's own page: nobody named it.
    [stranger.url, false],
    [`http://localhost:${friend.port}/`, false],
    [`${server.url}chat.css`, false],
  ]) {
    const page = await world.page({}, isAllowed ? [] : [/^console: WebSocket .* Unexpected response code: 403$/]);
    await page.goto(url);
    for (const path of ["echo", "broadcast"]) {
      const got = await tried(page, `ws://${server.address}/${path}`);
      assert.deepEqual(got, isAllowed ? "let in" : [1006, false], `${url} opens ${path}`);
    }
  }
  // Of a server that was told of no origin, any page may.
  const page = await world.page();
  await page.goto(friend.url);
  assert.equal(await tried(page, `ws://${stranger.address}/echo`), "let in");
});
