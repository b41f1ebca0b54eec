// A client of Node's own HTTP/2: client.js URL, with the files and endpoints that tests/http2/clients serves.
'use strict';
const assert = require('node:assert');
const http2 = require('node:http2');

const url = new URL(process.argv[2]);
setTimeout(() => { console.error('it took too long'); process.exit(1); }, 30000).unref();

// The response to one request, as { headers, body }.
function fetch(session, fields, body) {
  return new Promise((resolve, reject) => {
    const stream = session.request(fields, { endStream: body === undefined });
    const pieces = [];
    let headers;
    stream.on('response', (got) => { headers = got; });
    stream.on('data', (piece) => pieces.push(piece));
    stream.on('end', () => resolve({ headers, body: Buffer.concat(pieces) }));
    stream.on('error', reject);
    if (body !== undefined) stream.end(body);
  });
}

// A frame of a client (RFC 6455 section 5.2), and the first frame of a server, if it is whole.
function encode(opcode, payload) {
  const mask = Buffer.from([1, 2, 3, 4]);
  const head = payload.length < 126 ? Buffer.from([0x80 | opcode, 0x80 | payload.length])
    : Buffer.from([0x80 | opcode, 0xFE, payload.length >> 8, payload.length & 0xFF]);
  return Buffer.concat([head, mask, payload.map((byte, at) => byte ^ mask[at % 4])]);
}

function decode(buffer) {
  if (buffer.length < 2) return null;
  const long = buffer[1] === 126;
  const at = long ? 4 : 2;
  if (buffer.length < at) return null;
  const length = long ? buffer.readUInt16BE(2) : buffer[1];
  assert(length < 127 || long);
  return buffer.length < at + length ? null
    : { opcode: buffer[0] & 15, payload: buffer.subarray(at, at + length), rest: buffer.subarray(at + length) };
}

// Sends messages to /echo, each when the one before came back, then closes.
function echo(session, messages) {
  return new Promise((resolve, reject) => {
    const stream = session.request({
      ':method': 'CONNECT', ':protocol': 'websocket', ':path': '/echo', ':scheme': url.protocol.slice(0, -1),
      ':authority': url.host, 'sec-websocket-version': '13',
    }, { endStream: false });
    let buffer = Buffer.alloc(0);
    let at = 0;
    let closed;
    stream.on('error', reject);
    stream.on('response', (headers) => {
      assert.strictEqual(headers[':status'], 200);
      assert.strictEqual(headers['sec-websocket-accept'], undefined);
      stream.write(encode(1, messages[0]));
    });
    stream.on('data', (piece) => {
      buffer = Buffer.concat([buffer, piece]);
      for (let frame; (frame = decode(buffer)); buffer = frame.rest) {
        if (frame.opcode === 8) {
          closed = frame.payload.readUInt16BE(0);
          continue;
        }
        assert.strictEqual(frame.opcode, 1);
        assert(frame.payload.equals(messages[at]), `message ${at} came back otherwise`);
        at += 1;
        if (at < messages.length) stream.write(encode(1, messages[at]));
        else stream.end(encode(8, Buffer.from([0x03, 0xE8])));
      }
    });
    stream.on('end', () => {
      try {
        assert.strictEqual(at, messages.length);
        assert.strictEqual(closed, 1000);
        resolve();
      } catch (error) { reject(error); }
    });
  });
}

async function main() {
  const session = http2.connect(url, { rejectUnauthorized: false, settings: { enablePush: false } });
  session.on('error', (error) => { console.error(error); process.exit(1); });
  await new Promise((resolve) => session.once('remoteSettings', resolve));
  assert.strictEqual(session.remoteSettings.enableConnectProtocol, true);

  const small = await fetch(session, { ':path': '/small.txt' });
  assert.strictEqual(small.headers[':status'], 200);
  assert.strictEqual(String(small.body), 'small\n');
  const many = await Promise.all(Array.from({ length: 90 }, () => fetch(session, { ':path': '/part1.bin' })));
  for (const one of many) assert(one.body.length === 20000 && one.body.equals(many[0].body));
  const refused = await fetch(session, { ':path': '/small.txt', ':method': 'POST' }, Buffer.alloc(1000));
  assert([404, 405, 413, 501].includes(refused.headers[':status']), `POST: ${refused.headers[':status']}`);

  const cancelled = session.request({ ':path': '/data.bin' });
  await new Promise((resolve) => cancelled.once('data', resolve));
  cancelled.close(http2.constants.NGHTTP2_CANCEL);
  await new Promise((resolve) => cancelled.once('close', resolve));
  await new Promise((resolve, reject) => session.ping(Buffer.from('8 octets'), (error) => (error ? reject(error) : resolve())));

  const messages = ['short', '', 'Grüße, 世界 🎉', 'x'.repeat(125), 'y'.repeat(126), 'z'.repeat(60000)].map((text) => Buffer.from(text));
  await Promise.all(Array.from({ length: 20 }, () => echo(session, messages)));
  const last = await fetch(session, { ':path': '/small.txt' });
  assert.strictEqual(String(last.body), 'small\n');
  session.close();
  await new Promise((resolve) => session.once('close', resolve));
  console.log('NOTE 20 WebSockets, 94 requests');
}

main().catch((error) => { console.error(error); process.exit(1); });
