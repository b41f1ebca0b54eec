// The chat in two tabs, for the tests that use it.

import assert from "node:assert/strict";

/** Markup that would show if it became some, and what else must arrive as it is. */
const SENT = "Hello <b>from</b> the first tab & its <i>friends</i> ✓ <img src=x onerror=alert(1)>";

export const connected = page => page.locator("#status[data-state=connected]").waitFor();
export const messages = page => page.locator("#messages .text").allInnerTexts();
export const notes = page => page.locator("#messages .note").allInnerTexts();

/** Gives a tab a name, as people do. */
export async function called(page, name) {
  await connected(page);
  await page.fill("#name", name);
  await page.press("#name", "Enter");
  await page.locator("#people li").getByText(name, { exact: true }).first().waitFor();
}

/** Names, and a message and its answers, by the keyboard and by the button. */
export async function chat(first, second) {
  await called(first, "Anna");
  await called(second, "Bob <i>");
  for (const page of [first, second]) {
    await page.locator("#count", { hasText: /^2$/ }).waitFor();
    assert.deepEqual((await page.locator("#people li").allInnerTexts()).sort(), ["Anna", "Bob <i>"]);
  }

  await first.fill("#input", SENT);
  await first.press("#input", "Enter");
  assert.equal(await first.inputValue("#input"), "", "the input was not emptied");
  // The answer is there at once, and what is left of the five seconds becomes less.
  const countdown = first.locator("#pending small");
  const left = async () => Number(/^answered in [\d.]+ ms, to all in (\d\.\d) s$/.exec(await countdown.innerText())?.[1]);
  await first.locator("#pending small", { hasText: /^answered in/ }).waitFor();
  const before = await left();
  assert(before > 2 && before <= 5, `${before} s were left`);
  await first.waitForFunction(before => parseFloat(/in (\d\.\d) s/.exec(document.querySelector("#pending small").textContent)[1]) <= before - 1, before);
  for (const page of [first, second]) assert.deepEqual(await messages(page), [], "it came before its time");
  assert.equal(await second.locator("#pending li").count(), 0, "what is on its way is shown to others");
  assert.match(await first.innerText("#answered"), /^[\d.]+ ms$/);

  await first.fill("#input", "and by the button");
  await first.click("#send");
  for (const page of [first, second]) {
    await page.locator("#messages .text", { hasText: "and by the button" }).waitFor();
    assert.deepEqual(await messages(page), [SENT, "and by the button"]);
    assert.equal(await page.locator("#messages :is(b, i, img)").count(), 0, "what a client wrote became markup");
    assert.deepEqual(await page.locator("#messages bdi").allInnerTexts(), ["Anna", "Anna"]);
  }
  assert.equal(await first.locator("#messages .mine").count(), 2);
  assert.equal(await second.locator("#messages .mine").count(), 0);
  assert.equal(await first.locator("#pending li").count(), 0);

  await first.click("#measure");
  await first.locator("#measured", { hasText: /^p50 [\d.]+ ms, p99 [\d.]+ ms$/ }).waitFor();
}
