// `aerys serve --root` as a file server for pages: one with 50 assets, with the browser's cache at the
// second visit, and media that are played from where nobody has read yet.

import assert from "node:assert/strict";
import { createWriteStream } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { finished } from "node:stream/promises";
import { Network, openPage, writePage } from "./assets.mjs";
import { AERYS, browserTest } from "./support.mjs";

const LISTEN = ["--listen", "127.0.0.1:0"];
const SOUND_SECONDS = 600;
const RATE = 44100;
const SECOND_BYTES = RATE * 2 * 2;

/** A sound of 100 MB: a tone, of two channels with 16 bits. */
async function writeSound(path) {
  const header = Buffer.alloc(44);
  const length = SOUND_SECONDS * SECOND_BYTES;
  header.write("RIFF");
  header.writeUInt32LE(36 + length, 4);
  header.write("WAVEfmt ", 8);
  [[16, 4], [1, 2], [2, 2], [RATE, 4], [SECOND_BYTES, 4], [4, 2], [16, 2]]
    .reduce((at, [value, bytes]) => header.writeUIntLE(value, at, bytes), 16);
  header.write("data", 36);
  header.writeUInt32LE(length, 40);
  const second = Buffer.alloc(SECOND_BYTES);
  for (let at = 0; at < RATE * 2; at += 1) {
    second.writeInt16LE(Math.trunc(9000 * Math.sin((at >> 1) * 440 * 2 * Math.PI / RATE)), at * 2);
  }
  const file = createWriteStream(path);
  file.write(header);
  for (let count = 0; count < SOUND_SECONDS; count += 1) file.write(second);
  file.end();
  await finished(file);
}

browserTest("a page with 50 assets is whole, and the second time little of it is sent", async (world, root) => {
  await writePage(root);
  const server = await world.serve(AERYS, ...LISTEN, "--root", root);
  await world.launch();
  await openPage(await world.page(), server.url);
});

browserTest("a sound is played near its end without what lies before", async (world, root) => {
  await writeSound(join(root, "sound.wav"));
  await writeFile(join(root, "media.html"),
    "<!DOCTYPE html><meta charset=utf-8><title>Media</title><link rel=icon href=data:,><video src=sound.wav preload=auto muted></video>");
  const server = await world.serve(AERYS, ...LISTEN, "--root", root);
  await world.launch();
  // Where the browser has enough for now, or goes elsewhere, it gives the request up.
  const page = await world.page({}, [/^failed: .*sound\.wav: net::ERR_ABORTED$/]);
  const network = await Network.of(page);
  await page.goto(`${server.url}media.html`);
  await page.waitForFunction(() => document.querySelector("video").readyState >= 3);
  const duration = await page.evaluate(() => document.querySelector("video").duration);
  assert(Math.abs(duration - SOUND_SECONDS) < 0.1, `it would last ${duration} s`);
  await network.take();
  await page.evaluate(() => { document.querySelector("video").currentTime = 590; });
  await page.waitForFunction(() => {
    const video = document.querySelector("video");
    return !video.seeking && video.readyState >= 3 && video.currentTime >= 590;
  });
  const ranges = (await network.take()).filter(({ status }) => status === 206).map(({ headers }) => headers["Content-Range"]);
  const starts = ranges.map(range => Number(/^bytes (\d+)-/.exec(range)[1]));
  assert(starts.some(start => start > 100_000_000), `no range near the end was asked for: ${ranges}`);
  const read = await page.evaluate(() => {
    const { buffered } = document.querySelector("video");
    return [...Array(buffered.length).keys()].reduce((sum, index) => sum + buffered.end(index) - buffered.start(index), 0);
  });
  assert(read < SOUND_SECONDS - 100, `${read} s were read for it`);
});
