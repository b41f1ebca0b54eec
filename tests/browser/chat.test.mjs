// The chat of `aerys serve`, with no arguments, in two tabs as people use it.

import assert from "node:assert/strict";
import { AERYS, Server, browserTest, output } from "./support.mjs";
import { called, chat, connected } from "./chat.mjs";

const LISTEN = ["--listen", "127.0.0.1:0"];
const REFUSED = /^console: WebSocket connection to '.*' failed: Error in connection establishment: net::ERR_CONNECTION_REFUSED$/;
const PHONE = { viewport: { width: 390, height: 760 }, deviceScaleFactor: 2, hasTouch: true };

browserTest("two tabs talk: names, presence, the message that waits five seconds", async world => {
  const server = await world.serve(AERYS, ...LISTEN);
  await world.launch();
  const first = await world.page({ colorScheme: "light" });
  const second = await world.page({ colorScheme: "dark", ...PHONE });
  await Promise.all([first.goto(server.url), second.goto(server.url)]);
  await chat(first, second);
  await first.screenshot({ path: output("chat-light.png") });
  await second.screenshot({ path: output("chat-dark-390.png"), fullPage: true });

  // Who speaks plain text is in the same room.
  const plain = await world.page();
  await plain.goto(server.url);
  await connected(plain);
  await plain.evaluate(() => new Promise(resolve => {
    window.heard = [];
    window.plain = new WebSocket(`ws://${location.host}/chat`);
    window.plain.onmessage = ({ data }) => { window.heard.push(data); resolve(); };
  }));
  await first.locator("#count", { hasText: /^4$/ }).waitFor();
  await plain.evaluate(() => window.plain.send("in <b>plain</b> text"));
  const id = (await plain.evaluate(() => window.heard[0])).match(/^Welcome new client (\d+)!$/)[1];
  await first.locator("#messages li", { hasText: `Client ${id}` }).getByText("in <b>plain</b> text", { exact: true }).waitFor();
  assert.equal(await plain.evaluate(() => window.heard[1]), "<i>Message received ... Sending in 5 seconds ...</i>");
  await plain.evaluate(() => window.plain.close(4321));
  await first.locator(".note", { hasText: `Client ${id} left (4321: for a reason of the application).` }).waitFor();
  await second.close();
  await first.locator(".note", { hasText: "Bob <i> left (1001: the server stops, or the page was left)." }).waitFor();
});

browserTest("after a restart both connect again, and nothing that was typed is lost", async world => {
  const server = await world.serve(AERYS, ...LISTEN);
  await world.launch();
  const pages = [await world.page({}, [REFUSED]), await world.page({ colorScheme: "dark" }, [REFUSED])];
  const [first, second] = pages;
  for (const page of pages) await page.goto(server.url);
  await called(first, "Anna");
  await connected(second);
  await first.fill("#input", "on its way");
  await first.press("#input", "Enter");
  await first.locator("#pending small", { hasText: /^answered in .* to all in/ }).waitFor();
  await first.fill("#input", "a draft");

  await server.stop();
  for (const page of pages) {
    await page.locator("#status[data-state=waiting]").waitFor();
    await page.locator(".note", { hasText: "The connection was closed with 1001: the server stops, or the page was left." }).waitFor();
  }
  // Its title says why: of the server's Close, or of an attempt since then.
  const waiting = first.locator("#status:is([title^='1001: '], [title^='1006: '])");
  await waiting.filter({ hasText: /^\s*Not connected\.\s+Next try in \d+ s\.\s*$/ }).waitFor();
  assert(await first.locator("#send").isDisabled());
  await first.press("#input", "Enter");
  assert.equal(await first.inputValue("#input"), "a draft");
  // The pauses grow, and are not the same for all: a while later they are longer than at first.
  await first.screenshot({ path: output("chat-not-connected.png") });
  await first.locator("#status", { hasText: /Next try in ([4-9]|1\d) s/ }).waitFor();
  const again = await Server.start(AERYS, "--listen", server.address);
  world.servers.push(again);
  await first.click("#retry");
  for (const page of pages) await connected(page);
  assert.equal(await first.inputValue("#input"), "a draft");
  // The name did not go with the server: it is told of once more.
  await first.locator("#people li", { hasText: "Anna" }).waitFor();
  // What the old server had taken, the new one knows nothing of.
  await first.getByText("The server was started anew before it was sent.").waitFor();
  await first.screenshot({ path: output("chat-again.png") });
  await first.getByRole("button", { name: "Send again" }).click();
  for (const page of pages) await page.locator("#messages .text", { hasText: "on its way" }).waitFor();
  assert.equal(await first.locator("#pending li").count(), 0);
});

browserTest("what comes while the connection is broken is there afterwards, once", async world => {
  const server = await world.serve(AERYS, ...LISTEN);
  await world.launch();
  const page = await world.page();
  await page.goto(server.url);
  await connected(page);
  await page.fill("#input", "survives");
  await page.press("#input", "Enter");
  await page.locator("#pending small", { hasText: /^answered in / }).waitFor();
  // Twice before the message is sent: the room is the same.
  for (const code of [4001, 4002]) {
    await page.evaluate(code => socket.close(code), code);
    await page.locator(".note", { hasText: `The connection was closed with ${code}: ` }).waitFor();
    await connected(page);
  }
  assert.equal(await page.locator("#messages .text").count(), 0);
  await page.locator("#messages .mine .text", { hasText: "survives" }).waitFor();
  assert.equal(await page.locator("#messages .text").count(), 1);
  assert.equal(await page.locator("#pending li").count(), 0);
});

browserTest("what went out while the connection was broken is said to have", async world => {
  const server = await world.serve(AERYS, ...LISTEN);
  await world.launch();
  const [page, other] = [await world.page(), await world.page()];
  for (const tab of [page, other]) {
    await tab.goto(server.url);
    await connected(tab);
  }
  await page.fill("#input", "missed");
  await page.press("#input", "Enter");
  await page.locator("#pending small", { hasText: /^answered in / }).waitFor();
  // As where there is no network: no attempt succeeds.
  await page.evaluate(() => {
    window.real = WebSocket;
    window.WebSocket = class { constructor() { queueMicrotask(() => this.onclose({ code: 1006, reason: "" })); } };
    socket.close(4001);
  });
  await other.locator("#messages .text", { hasText: "missed" }).waitFor();
  await page.locator("#pending small", { hasText: /due now$/ }).waitFor();
  await page.evaluate(() => { window.WebSocket = window.real; });
  await connected(page);
  await page.locator("#pending .broken", { hasText: "The others got it while this page was not connected." }).waitFor();
  await page.getByRole("button", { name: "Forget it" }).click();
  assert.equal(await page.locator("#pending li").count(), 0);
});

browserTest("the page is for keyboards, screen readers and both schemes", async world => {
  const server = await world.serve(AERYS, ...LISTEN);
  await world.launch();
  for (const colorScheme of ["light", "dark"]) {
    for (const [size, options] of [["wide", {}], ["390", PHONE]]) {
      const page = await world.page({ colorScheme, ...options });
      await page.goto(server.url);
      await called(page, "Anna");
      await page.fill("#input", `in ${colorScheme}`);
      await page.press("#input", "Enter");
      await page.locator("#pending small", { hasText: /^answered in / }).waitFor();
      await page.screenshot({ path: output(`page-${colorScheme}-${size}.png`) });
      assert.deepEqual(await page.evaluate(contrasts), [], `${colorScheme}, ${size}: text that is hard to read`);
      const { scrollWidth, clientWidth } = await page.evaluate(() => {
        const { scrollWidth, clientWidth } = document.documentElement;
        return { scrollWidth, clientWidth };
      });
      assert(scrollWidth <= clientWidth, `${size}: ${scrollWidth} of ${clientWidth} pixels`);
      await page.close();
    }
  }
  const page = await world.page();
  await page.goto(server.url);
  await connected(page);
  for (const [role, name] of [["log", "Messages"], ["textbox", "Your message"], ["textbox", "Your name"], ["button", "Send"],
    ["button", "Set"], ["button", "Measure 100"], ["list", "On their way"]]) {
    assert.equal(await page.getByRole(role, { name, exact: true }).count(), 1, `${role} ${name}`);
  }
  // Where one writes comes first; from there each control is reached, in the order in which it is seen.
  await page.locator("#input:focus").waitFor();
  const reached = [];
  for (let step = 0; step < 4; step += 1) {
    await page.keyboard.press("Tab");
    reached.push(await page.evaluate(() => {
      const { outlineStyle } = getComputedStyle(document.activeElement);
      return [document.activeElement.id || document.activeElement.textContent, outlineStyle];
    }));
  }
  assert.deepEqual(reached, [["send", "solid"], ["name", "solid"], ["Set", "solid"], ["measure", "solid"]]);
});

/** Texts whose contrast is below 4.5 (WCAG 2.2, 1.4.3). Runs in the page. */
function contrasts() {
  const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const bytes = color => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = color;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data];
  };
  const luminance = color => {
    const [red, green, blue] = bytes(color).map(byte => byte / 255).map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const behind = element => {
    for (let at = element; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      if (bytes(color)[3] === 255) return color;
    }
    return "white";
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const text = [...element.childNodes].filter(node => node.nodeType === 3).map(node => node.data.trim()).join("") || element.value;
    if (!text || element.matches(":disabled") || !element.checkVisibility()) continue;
    const [high, low] = [luminance(getComputedStyle(element).color), luminance(behind(element))].sort((a, b) => b - a);
    const contrast = (high + 0.05) / (low + 0.05);
    if (contrast < 4.5) found.push(`${text}: ${contrast.toFixed(2)}`);
  }
  return found;
}
