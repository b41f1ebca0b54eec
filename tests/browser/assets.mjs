// A page with 50 assets, and whether a browser gets it as it should.

import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

export const ASSETS = 50;
const NUMBERS = [...Array(ASSETS).keys()];
const PIXEL = Buffer.from(
  "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154" +
  "789c63f8cfc0000003010100c9fe92ef0000000049454e44ae426082", "hex");

export async function writePage(root) {
  const lines = ["<!DOCTYPE html><meta charset=utf-8><title>Fifty</title><link rel=icon href=data:,>"];
  await mkdir(join(root, "a b"));
  for (const number of NUMBERS) {
    const [name, content, line] = [
      () => [`${number}.js`, `(window.ran ??= []).push(${number});\n${"// filler\n".repeat(300)}`, `<script src=${number}.js></script>`],
      () => [`${number}.mjs`, `(window.ran ??= []).push(${number});\n`, `<script type=module src=${number}.mjs></script>`],
      () => [`${number}.css`, `:root { --v${number}: ${number} }\n`, `<link rel=stylesheet href=${number}.css>`],
      () => [`a b/ü${number}.png`, PIXEL, `<img src='a%20b/%C3%BC${number}.png'>`],
      () => [`${number}.svg`, "<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>", `<img src=${number}.svg>`],
    ][number % 5]();
    await writeFile(join(root, name), content);
    lines.push(line);
  }
  await writeFile(join(root, "index.html"), lines.join("\n"));
}

/** What a tab asked for: by the browser's own protocol, since Playwright knows no status on the wire of
 *  what a 304 confirmed, and no connection. */
export class Network {
  #responses = [];
  #onTheWire = new Map();

  static async of(page) {
    const network = new Network();
    network.session = await page.context().newCDPSession(page);
    network.session.on("Network.responseReceived", received => network.#responses.push(received));
    network.session.on("Network.responseReceivedExtraInfo", ({ requestId, statusCode }) => network.#onTheWire.set(requestId, statusCode));
    await network.session.send("Network.enable");
    return network;
  }

  /** What came since the last call: responses, with the status on the wire (undefined: not asked for). */
  async take() {
    // What happened until now is in front of the answer, but for what was on the wire: that comes another way.
    do await this.session.send("Runtime.evaluate", { expression: "0" });
    while (this.#responses.some(({ requestId, hasExtraInfo }) => hasExtraInfo && !this.#onTheWire.has(requestId)));
    const taken = this.#responses.map(({ requestId, response }) => ({ ...response, status: this.#onTheWire.get(requestId) }));
    this.#responses = [];
    this.#onTheWire = new Map();
    return taken;
  }
}

/** Opens it twice, the second time with the browser's cache; returns what came the first time. */
export async function openPage(page, url) {
  // A file that was written just now has a tag that will be another one (docs/static-files.md). The page is the last.
  const tag = async () => (await page.request.head(url, { ignoreHTTPSErrors: true })).headers().etag;
  while ((await tag()).startsWith("W/"));
  const network = await Network.of(page);
  const visits = [];
  for (const allowed of [[200], [304, undefined]]) {
    await page.goto(url);
    const seen = await page.evaluate(numbers => ({
      ran: window.ran.sort((a, b) => a - b),
      styles: numbers.filter(number => getComputedStyle(document.documentElement).getPropertyValue(`--v${number}`).trim() === String(number)),
      broken: [...document.images].filter(image => !image.complete || image.naturalWidth === 0).map(image => image.src),
    }), NUMBERS);
    assert.deepEqual(seen, { ran: NUMBERS.filter(n => n % 5 < 2), styles: NUMBERS.filter(n => n % 5 === 2), broken: [] });
    const responses = (await network.take()).filter(response => response.url.startsWith(url));
    assert.equal(responses.length, ASSETS + 1);
    const others = responses.filter(({ status }) => !allowed.includes(status));
    assert.deepEqual(others.map(({ url, status }) => [url, status]), [], `statuses other than ${allowed}`);
    visits.push(responses);
  }
  return visits[0];
}
