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

/** Notes what is shown of a message on its way, and how many have come: as it happens, since whoever looks from outside may come
 *  too late. In the page. */
function watch() {
  window.seen = [];
  new MutationObserver(() => {
    const pending = document.querySelector("#pending small")?.textContent ?? null;
    window.seen.push({ pending, count: document.querySelectorAll("#messages .text").length });
  }).observe(document.querySelector("#room"), { subtree: true, childList: true, characterData: true });
}

/** Names, and a message and its answers, by the keyboard and by the button. */
export async function chat(first, second) {
  await called(first, "Anna");
  await called(second, "Bob <i>");
  for (const page of [first, second]) {
    // A tab is told of the other's name a moment later than that one itself.
    await page.locator("#people li").getByText("Bob <i>", { exact: true }).waitFor();
    assert.equal(await page.innerText("#count"), "2");
    assert.deepEqual((await page.locator("#people li").allInnerTexts()).sort(), ["Anna", "Bob <i>"]);
    await page.evaluate(watch);
  }

  await first.fill("#input", SENT);
  await first.press("#input", "Enter");
  assert.equal(await first.inputValue("#input"), "", "the input was not emptied");
  for (const page of [first, second]) {
    await page.locator("#messages .text").waitFor();
    assert.deepEqual(await messages(page), [SENT]);
  }
  // The answer was there at once, and what was left of the five seconds became less.
  const before = (await first.evaluate(() => window.seen)).filter(({ count }) => count === 0);
  const left = before.map(({ pending }) => Number(/^answered in [\d.]+ ms, to all in (\d\.\d) s$/.exec(pending)?.[1])).filter(left => left > 0);
  assert.equal(left[0], 5, `at first ${left[0]} s were left`);
  assert(left.every((left, index, all) => index === 0 || left <= all[index - 1]) && left.at(-1) < 5, `${left}`);
  const after = (await first.evaluate(() => window.seen)).filter(({ count }) => count > 0);
  assert(after.length > 0 && after.every(({ pending }) => pending === null), "it had come, and was shown as on its way");
  const others = (await second.evaluate(() => window.seen)).filter(({ pending }) => pending !== null);
  assert.deepEqual(others, [], "what is on its way is shown to others");
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
