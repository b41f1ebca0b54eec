// The npm package `ws` as a client of /echo: one connection for each set of options, one line of
// JSON about each. `run` beside this file starts it, with NODE_PATH where `ws` is, says on standard
// input what to send, and judges what comes out.
'use strict';

const fs = require('fs');
const https = require('https');
const WebSocket = require('ws');
const TIMEOUT_MS = 10000;
const MOST_ERRORS = 5;

// A promise that fails when it takes too long.
function within(what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${TIMEOUT_MS} ms`)), TIMEOUT_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// The first event of this name; fails when the connection does.
function event(ws, name) {
  return new Promise((resolve, reject) => {
    const failed = (error) => done(() => reject(error));
    const closed = (code, reason) => failed(new Error(`closed with ${code} ${reason}`));
    const came = (...values) => done(() => resolve(values));
    function done(then) {
      ws.off(name, came).off('error', failed).off('close', closed);
      then();
    }
    ws.on(name, came).on('error', failed);
    if (name !== 'close') ws.on('close', closed);
  });
}

// Sends one message, in as many frames as it has fragments, with a ping after each but the last.
function send(ws, { binary, fragments }) {
  fragments.forEach((fragment, at) => {
    const fin = at === fragments.length - 1;
    ws.send(fragment, { binary, fin, compress: true });
    if (!fin) ws.ping(String(at));
  });
}

// Sends `step` and says what came back, and how many bytes the socket carried for it.
async function exchange(ws, step) {
  const { _socket: socket } = ws;
  const [wrote, read] = [socket.bytesWritten, socket.bytesRead];
  let pongs = 0;
  const pong = () => { pongs += 1; };
  ws.on('pong', pong);
  const echo = event(ws, 'message');
  send(ws, step);
  const [data, isBinary] = await within(step.name, echo);
  ws.off('pong', pong);
  return {
    wrote: socket.bytesWritten - wrote,
    read: socket.bytesRead - read,
    pongs,
    same: isBinary === step.binary && data.equals(step.whole),
  };
}

// The status of the page beside the WebSocket, by https.
function page(url, ca) {
  return new Promise((resolve, reject) => {
    const request = https.get(new URL('/', url.replace('wss:', 'https:')), { ca }, (response) => {
      response.resume().on('end', () => resolve(response.statusCode));
    });
    request.on('error', reject);
  });
}

async function connection(url, ca, options, steps) {
  const result = { steps: [] };
  const finishRequest = (request) => {
    result.offer = request.getHeader('sec-websocket-extensions');
    request.end();
  };
  const ws = new WebSocket(url, { ca, perMessageDeflate: options, finishRequest });
  ws.on('error', () => {});
  try {
    ws.on('upgrade', (response) => {
      result.answer = response.headers['sec-websocket-extensions'] ?? '';
    });
    await within('the handshake', event(ws, 'open'));
    for (const step of steps) result.steps.push(await exchange(ws, step));
    const closed = event(ws, 'close');
    ws.close(1000);
    [result.code] = await within('the close', closed);
    if (ca) result.page = await within('the page', page(url, ca));
  } catch (error) {
    result.error = error.message;
    ws.terminate();
  }
  return result;
}

async function main() {
  const { url, authority, options, steps } = JSON.parse(fs.readFileSync(0));
  const ca = authority && fs.readFileSync(authority);
  for (const step of steps) {
    step.fragments = step.fragments.map((text) => Buffer.from(text, step.binary ? 'base64' : 'utf8'));
    step.whole = Buffer.concat(step.fragments);
  }
  let errors = 0;
  for (const one of options) {
    const result = await connection(url, ca, one, steps);
    process.stdout.write(`${JSON.stringify(result)}\n`);
    errors += 'error' in result ? 1 : 0;
    if (errors === MOST_ERRORS) break;
  }
}

main();
