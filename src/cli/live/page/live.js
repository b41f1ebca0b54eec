'use strict';

// Two minutes, a point a second.
const POINTS = 120;
const LINES = ['one', 'two', 'three'];

const prefixes = (value, base, units, digits) => {
  let unit = 0;
  while (value >= base && unit < units.length - 1) {
    value /= base;
    unit += 1;
  }
  const places = unit === 0 && Number.isInteger(value) ? 0 : value < 10 ? digits : value < 100 ? 1 : 0;
  return value.toFixed(places) + units[unit];
};
const number = (value) => value < 100000 ? Math.round(value).toLocaleString('en') : prefixes(value, 1000, ['', ' k', ' M', ' G', ' T'], 2);
const rate = (value) => value < 10 && value > 0 ? value.toFixed(1) : number(value);
const bytes = (value) => prefixes(Math.round(value), 1024, [' B', ' KiB', ' MiB', ' GiB', ' TiB'], 1);
const time = (seconds) => {
  if (seconds === 0) return '0';
  const nanos = seconds * 1e9;
  return prefixes(nanos, 1000, [' ns', ' µs', ' ms', ' s'], 2);
};
const span = (seconds) => {
  const parts = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];
  const found = parts.findIndex(([length]) => seconds >= length);
  const first = found < 0 ? parts.length - 1 : found;
  return parts.slice(first, first + 2).map(([length, unit], place) => {
    const count = Math.floor(place === 0 ? seconds / length : seconds % parts[first][0] / length);
    return `${count} ${unit}`;
  }).join(' ');
};

// What is drawn. A series takes its value of one message and the one before, which may be missing.
const perSecond = (read) => (now, before) => before ? Math.max(0, read(now) - read(before)) / (now.stats.uptime_seconds - before.stats.uptime_seconds || 1) : null;
const websockets = (now) => Object.values(now.stats.websocket_clients).reduce((sum, count) => sum + count, 0);
const CHARTS = [
  { title: 'Connections', format: number, series: [
    ['open', (now) => now.stats.connections],
    ['WebSocket clients', websockets] ] },
  { title: 'Messages a second', format: rate, series: [
    ['received', perSecond((now) => now.stats.websocket_messages_received_total)],
    ['sent', perSecond((now) => now.stats.websocket_messages_sent_total)] ] },
  { title: 'Bytes a second', format: bytes, series: [
    ['received', perSecond((now) => now.stats.network_received_bytes_total)],
    ['sent', perSecond((now) => now.stats.network_sent_bytes_total)] ] },
  { title: 'Turn of the loop', format: time, isLog: true, series: [
    ['half within', (now) => now.turns.count ? now.turns.p50 : null],
    ['99 % within', (now) => now.turns.count ? now.turns.p99 : null],
    ['longest', (now) => now.turns.count ? now.turns.max : null] ] },
  { title: 'Backlog', format: bytes, series: [
    ['waiting for sockets', (now) => now.stats.backlog_bytes],
    ['blocked clients', (now) => now.stats.blocked_clients, number, true] ] },
  { title: 'Timers', format: number, series: [
    ['pending', (now) => now.stats.timers],
    ['due a second', perSecond((now) => now.stats.timers_fired_total), rate, true] ] },
];

// How many points ago is looked at; 0 is now.
let looked = 0;
let last = null;

for (const chart of CHARTS) {
  const card = document.createElement('article');
  const heading = document.createElement('h2');
  heading.textContent = chart.title;
  const values = document.createElement('ul');
  values.className = 'values';
  chart.values = chart.series.map(([label], place) => {
    const item = document.createElement('li');
    item.className = LINES[place];
    const value = document.createElement('b');
    value.textContent = '–';
    const name = document.createElement('span');
    name.textContent = label;
    item.append(value, name);
    values.append(item);
    return value;
  });
  chart.points = chart.series.map(() => []);
  chart.canvas = document.createElement('canvas');
  chart.canvas.setAttribute('role', 'img');
  chart.canvas.setAttribute('aria-label', `${chart.title}: the last two minutes`);
  card.append(heading, values, chart.canvas);
  document.querySelector('.charts').append(card);
  const look = (event) => {
    const box = chart.canvas.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    looked = Math.min(POINTS - 1, Math.max(0, Math.round((1 - share) * (POINTS - 1))));
    drawAll();
  };
  chart.canvas.addEventListener('pointermove', look);
  chart.canvas.addEventListener('pointerdown', look);
  chart.canvas.addEventListener('pointerleave', () => { looked = 0; drawAll(); });
}

// The least 1, 2 or 5 times a power of ten that is not below a value; of bytes, in their own unit.
const ceiling = (value, isBytes) => {
  const unit = isBytes ? 1024 ** Math.floor(Math.log(Math.max(1, value)) / Math.log(1024)) : 1;
  const power = 10 ** Math.floor(Math.log10(value / unit));
  return unit * [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value / unit * 0.999999);
};

const scaleOf = (chart, place) => {
  const [, , , isApart] = chart.series[place];
  const shown = chart.series.flatMap(([, , , other], index) => !!other === !!isApart ? chart.points[index] : []);
  const known = shown.filter((value) => value !== null);
  const most = Math.max(...known, 0);
  if (!chart.isLog) {
    const top = most > 0 ? ceiling(most, !isApart && chart.format === bytes) : 1;
    return { top, at: (value) => value / top };
  }
  const top = most > 0 ? 10 ** Math.ceil(Math.log10(most) - 1e-9) : 1e-3;
  const least = Math.min(...known.filter((value) => value > 0), top / 10);
  const bottom = 10 ** Math.floor(Math.log10(least) + 1e-9);
  const decades = Math.log10(top / bottom);
  return { top, bottom, decades: Math.round(decades), at: (value) => Math.max(0, Math.log10(value / bottom) / decades) };
};

const draw = (chart, colors) => {
  const { canvas } = chart;
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const pen = canvas.getContext('2d');
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  const [top, bottom] = [14, height - 3];
  const y = (share) => bottom - share * (bottom - top);
  const x = (ago) => (width - 4) * (1 - ago / (POINTS - 1)) + 1;

  const scale = scaleOf(chart, 0);
  const steps = chart.isLog ? Math.max(1, scale.decades) : 2;
  pen.font = '11px system-ui, sans-serif';
  pen.lineWidth = 1;
  for (let step = 0; step <= steps; step += 1) {
    const at = Math.round(y(step / steps)) + 0.5;
    pen.strokeStyle = colors.line;
    pen.beginPath();
    pen.moveTo(0, at);
    pen.lineTo(width, at);
    pen.stroke();
    if (step === steps || (chart.isLog && step > 0 && steps < 6)) {
      pen.fillStyle = colors.faint;
      const bound = chart.format(chart.isLog ? scale.bottom * 10 ** step : scale.top);
      pen.fillText(bound.replace(/\.0+(?=\D|$)/, ''), 1, at - 3);
    }
  }

  chart.series.forEach((series, place) => {
    const own = scaleOf(chart, place);
    const points = chart.points[place];
    const color = colors[LINES[place]];
    const path = new Path2D();
    let isDown = false;
    let first = 0;
    points.forEach((value, index) => {
      const ago = points.length - 1 - index;
      if (value === null) { isDown = false; return; }
      const [left, up] = [x(ago), y(Math.min(1, own.at(value)))];
      if (isDown) path.lineTo(left, up);
      else { path.moveTo(left, up); path.lineTo(left + 0.01, up); first = left; }
      isDown = true;
    });
    pen.strokeStyle = color;
    pen.lineWidth = 1.75;
    pen.lineJoin = 'round';
    pen.lineCap = 'round';
    pen.setLineDash(series[3] ? [2, 4] : []);
    pen.stroke(path);
    pen.setLineDash([]);
    if (place === 0 && isDown && !chart.isLog) {
      const area = new Path2D(path);
      area.lineTo(x(0), bottom);
      area.lineTo(first, bottom);
      area.closePath();
      pen.globalAlpha = 0.1;
      pen.fillStyle = color;
      pen.fill(area);
      pen.globalAlpha = 1;
    }
    const shown = points[points.length - 1 - looked];
    const format = series[2] || chart.format;
    chart.values[place].textContent = shown === null || shown === undefined ? '–' : format(shown);
    if (shown !== null && shown !== undefined && points.length > 0) {
      pen.fillStyle = color;
      pen.beginPath();
      pen.arc(x(looked), y(Math.min(1, own.at(shown))), 2.75, 0, 2 * Math.PI);
      pen.fill();
    }
  });
  if (looked > 0) {
    pen.strokeStyle = colors.faint;
    pen.lineWidth = 1;
    pen.beginPath();
    pen.moveTo(Math.round(x(looked)) + 0.5, top - 2);
    pen.lineTo(Math.round(x(looked)) + 0.5, bottom);
    pen.stroke();
  }
};

const drawAll = () => {
  const style = getComputedStyle(document.documentElement);
  const colors = {};
  for (const name of ['line', 'faint', ...LINES]) colors[name] = style.getPropertyValue(`--${name}`).trim();
  for (const chart of CHARTS) draw(chart, colors);
  tell();
};

const state = document.getElementById('state');
let connection = { name: 'waiting', text: 'connecting' };

const tell = () => {
  const { name, text } = connection;
  state.dataset.state = name;
  const isDraining = name === 'live' && last && last.stats.draining;
  const told = looked > 0 ? `${looked} s ago` : isDraining ? 'draining' : text;
  // Whoever has it read aloud hears what changes.
  if (state.textContent !== told) state.textContent = told;
  if (last) document.getElementById('server').textContent = `${last.version} · up ${span(last.stats.uptime_seconds)}`;
};

const setState = (name, text) => {
  connection = { name, text };
  tell();
};

// Rows of a table, each a list of texts.
const fill = (id, rows, none) => {
  const body = document.querySelector(`#${id} tbody`);
  const columns = document.querySelectorAll(`#${id} th`).length || 2;
  const made = rows.map((row) => {
    const line = document.createElement('tr');
    for (const text of row) line.insertCell().textContent = text;
    return line;
  });
  if (made.length === 0) {
    const line = document.createElement('tr');
    const cell = line.insertCell();
    cell.colSpan = columns;
    cell.className = 'none';
    cell.textContent = none;
    made.push(line);
  }
  body.replaceChildren(...made);
};

const MEANINGS = {
  1000: 'normal', 1001: 'going away', 1002: 'protocol error', 1003: 'unsupported data', 1005: 'no code',
  1006: 'no closing handshake', 1007: 'invalid data', 1008: 'policy', 1009: 'too big', 1010: 'extension missing',
  1011: 'internal error', 1012: 'restart', 1013: 'try again later', 1014: 'bad gateway',
};
const nonZero = (counts) => Object.entries(counts).filter(([, count]) => count > 0);
const words = (name) => name.replaceAll('_', ' ');

const fillTables = ({ stats }) => {
  const lost = stats.log_lines_lost_total;
  fill('endpoints', Object.entries(stats.websocket_clients).map(([name, count]) => [name, number(count)]), 'There are none.');
  fill('slowest', stats.slowest_clients.map((client) => [client.id, client.endpoint, client.address, bytes(client.backlog_bytes)]), 'Nobody lags behind.');
  fill('responses', nonZero(stats.http_responses_total).map(([name, count]) => [name, number(count)]), 'None so far.');
  fill('closes', nonZero(stats.websocket_closed_total).map(([code, count]) => [MEANINGS[code] ? `${code} ${MEANINGS[code]}` : code, number(count)]), 'None so far.');
  fill('refused', nonZero(stats.refused_total).map(([name, count]) => [words(name), number(count)]), 'Nobody so far.');
  fill('sums', [
    ['connections accepted', number(stats.connections_accepted_total)],
    ['messages received, sent', `${number(stats.websocket_messages_received_total)}, ${number(stats.websocket_messages_sent_total)}`],
    ['messages dropped', number(stats.websocket_messages_dropped_total)],
    ['bytes received, sent', `${bytes(stats.network_received_bytes_total)}, ${bytes(stats.network_sent_bytes_total)}`],
    ['broadcasts', number(stats.websocket_broadcasts_total)],
    ['longest turn', time(stats.turn_duration_max_seconds)],
    ['TLS handshakes, failed', `${number(stats.tls_handshakes_total.completed)}, ${number(stats.tls_handshakes_total.failed)}`],
    ['HTTP/2 streams, now', `${number(stats.http2_streams_opened_total)}, ${number(stats.http2_streams)}`],
    ['panics', number(stats.panics_total)],
    ['log lines lost', number(lost.program)],
    ['access log lines lost', number(lost.access)],
  ], '');
};

// How many points are missing before a message: a second each, as far as is known.
const missing = (now) => {
  if (!last) return 0;
  const passed = now.stats.uptime_seconds - last.stats.uptime_seconds;
  // A server that was started anew counts from zero.
  return passed < 0 ? 1 : Math.min(POINTS, Math.max(0, Math.round(passed) - 1));
};

const take = (now) => {
  const gap = missing(now);
  const before = last && now.stats.uptime_seconds >= last.stats.uptime_seconds ? last : null;
  for (const chart of CHARTS) {
    chart.series.forEach(([, read], place) => {
      const points = chart.points[place];
      points.push(...Array(gap).fill(null), read(now, before));
      points.splice(0, points.length - POINTS);
    });
  }
  last = now;
  fillTables(now);
  drawAll();
};

let wait = 500;
const connect = () => {
  const scheme = location.protocol === 'https:' ? 'wss:' : 'ws:';
  const socket = new WebSocket(`${scheme}//${location.host}/_aerys/live`);
  socket.addEventListener('open', () => {
    wait = 500;
    setState('live', 'live');
  });
  socket.addEventListener('message', (event) => take(JSON.parse(event.data)));
  socket.addEventListener('close', () => {
    setState('lost', 'connection lost, trying again');
    setTimeout(connect, wait);
    wait = Math.min(2 * wait, 10000);
  });
};

addEventListener('resize', drawAll);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', drawAll);
drawAll();
connect();
