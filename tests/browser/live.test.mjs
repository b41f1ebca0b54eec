// The live page, `aerys serve --live`, while a hundred clients broadcast and echo.

import assert from "node:assert/strict";
import { AERYS, browserTest, output } from "./support.mjs";

const PAGES = new URL("pages", import.meta.url).pathname;
const CLIENTS = 50;

/** Keeps WebSockets of both endpoints busy: each that got its own message back sends the next, after a moment, as the server
 *  is to be loaded, and not what this browser can do. In the page. */
function keepBusy(clients) {
  window.count = 0;
  window.sockets = ["echo", "broadcast"].flatMap(path => Array.from({ length: clients }, (_, index) => {
    const ws = new WebSocket(`ws://${location.host}/${path}`);
    const say = () => ws.send(JSON.stringify({ index, text: "x".repeat(200) }));
    ws.onopen = () => { if (path === "echo" || index === 0) say(); };
    ws.onmessage = ({ data }) => { window.count += 1; if (JSON.parse(data).index === index) setTimeout(say, 10); };
    return ws;
  }));
}

browserTest("the live page draws what a loaded server does", async world => {
  const server = await world.serve(AERYS, "--listen", "127.0.0.1:0", "--root", PAGES, "--live");
  await world.launch();
  const load = await world.page();
  await load.goto(server.url);
  await load.evaluate(keepBusy, CLIENTS);
  await load.waitForFunction(() => window.count > 1000 && window.sockets.every(ws => ws.readyState === 1));
  for (const [name, options] of [["light", { colorScheme: "light" }],
    ["dark-390", { colorScheme: "dark", viewport: { width: 390, height: 760 }, deviceScaleFactor: 2 }]]) {
    const page = await world.page(options);
    await page.goto(`${server.url}_aerys/`);
    await page.locator("#state[data-state=live]").waitFor();
    // Each chart has a figure, and what is counted by the second is not nothing.
    await page.waitForFunction(() => [...document.querySelectorAll(".charts article")].every(
      chart => [...chart.querySelectorAll("b")].every(value => value.textContent !== "–")));
    const charts = await page.locator(".charts article").allInnerTexts();
    assert(charts.some(text => /messages/i.test(text) && /[1-9]/.test(text)), `${charts}`);
    for (const path of ["/echo", "/broadcast"]) {
      await page.locator("#endpoints tr", { hasText: new RegExp(`^\\s*${path}\\s*${CLIENTS}\\s*$`) }).waitFor();
    }
    // It is drawn: not all pixels of a chart are alike.
    const colors = await page.evaluate(() => [...document.querySelectorAll("canvas")].map(canvas => {
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      return new Set(new Uint32Array(data.buffer)).size;
    }));
    assert(colors.length > 0 && colors.every(count => count > 2), `colours of the charts: ${colors}`);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert(wide <= 0, `${wide} pixels beyond the width of ${name}`);
    await page.screenshot({ path: output(`live-${name}.png`), fullPage: true });
  }
  // Numbers go on growing while it is looked at.
  const page = await world.page();
  await page.goto(`${server.url}_aerys/`);
  const sums = () => page.locator("#sums tbody").innerText();
  await page.locator("#sums tbody tr").first().waitFor();
  const before = await sums();
  await page.waitForFunction(before => document.querySelector("#sums tbody").innerText !== before, before);
  assert.equal(await load.evaluate(() => window.sockets.filter(ws => ws.readyState !== 1).length), 0, "clients that were lost");
});

browserTest("a page that is without its server for long has a gap as long as that, and no more", async world => {
  const server = await world.serve(AERYS, "--listen", "127.0.0.1:0", "--live");
  await world.launch();
  const page = await world.page();
  // It need not wait as long as it wants to before it tries again.
  await page.addInitScript(() => {
    const later = window.setTimeout;
    window.setTimeout = act => later(act, 1);
  });
  let [isAway, refused, feed] = [false, 0, null];
  await page.routeWebSocket(/_aerys.live$/, socket => {
    if (isAway) {
      refused += 1;
      socket.close();
    } else {
      socket.connectToServer();
      feed = socket;
    }
  });
  await page.goto(`${server.url}_aerys/`);
  const points = () => page.evaluate(() => CHARTS.flatMap(chart => chart.points));
  const hasPoints = count => page.waitForFunction(count => CHARTS[0].points[0].filter(point => point !== null).length >= count, count);
  await hasPoints(2);
  const state = page.locator("#state");
  assert.equal(await state.innerText(), "live");
  // What it says of a point that is looked at does not stay when it is not.
  await page.locator("canvas").first().hover();
  await page.waitForFunction(() => / s ago$/.test(document.getElementById("state").textContent));
  [isAway, feed] = [true, void feed.close()];
  await page.locator("#state[data-state=lost]").waitFor();
  await page.locator("h1").hover();
  assert.equal(await state.innerText(), "connection lost, trying again");
  const began = Date.now();
  while (refused < 2 * 120) {
    await page.waitForTimeout(10);
    assert(Date.now() - began < 20_000, `it tried ${refused} times`);
  }
  isAway = false;
  await page.locator("#state[data-state=live]").waitFor();
  await hasPoints(4);
  const away = (Date.now() - began) / 1000 + 2;
  for (const series of await points()) {
    const gap = series.filter(point => point === null).length;
    assert(series.length <= 120 && gap <= away + 1, `${series.length} points, ${gap} of them missing after ${away} s`);
  }
});
