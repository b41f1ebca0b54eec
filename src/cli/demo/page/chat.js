// The chat's page. What the server tells it is in src/cli/demo/chat/says.rs; whatever somebody else
// wrote becomes text nodes only, never markup.
"use strict";

const KEPT = 500;                // lines shown; older ones go
const FIRST_PAUSE = 500;         // milliseconds before the second attempt to connect; doubles from there
const LONGEST_PAUSE = 15000;
const PATIENCE = 3000;           // milliseconds that a message may be late before it is taken for lost

// RFC 6455 section 7.4.1, and the registry of section 11.7.
const CODES = {
  1000: "as it was asked to",
  1001: "the server stops, or the page was left",
  1002: "something was no WebSocket frame",
  1003: "a message of a kind that is not taken",
  1005: "without saying why",
  1006: "without a word: the connection broke or was never made",
  1007: "a text that is no UTF-8",
  1008: "against the rules of the server, such as one on slow readers",
  1009: "a message larger than is taken",
  1010: "an extension is missing",
  1011: "an error in the server",
  1012: "the server starts anew",
  1013: "the server has too much to do",
  1014: "a gateway got no good answer",
  1015: "no trust in the server's certificate",
};

const $ = id => document.getElementById(id);

let socket = null;
let attempt = 0;                 // connections that failed in a row
let due = 0;                     // when the next is made, while there is none
let timer = 0;
let since = 0;                   // when the last connection was made
let room = null;                 // as the server calls it: another one after its restart
let own = new Set();             // the ids that we had in this room
let pending = [];                // what was sent and has not come back, oldest first
let wanted = remembered();       // the name that we come in with

/* What a close code means. */

function explained(code) {
  if (code in CODES) return CODES[code];
  if (code >= 4000) return "for a reason of the application";
  return code >= 3000 ? "for a registered reason" : "for an unknown reason";
}

/* The list of messages. */

function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function add(line) {
  const list = $("messages");
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  list.append(line);
  while (list.children.length > KEPT) list.firstChild.remove();
  if (atEnd) list.scrollTop = list.scrollHeight;
}

const note = text => add(element("li", { className: "note" }, text));

const called = ({ id, name }) => name ?? `Client ${id}`;

function addMessage(said, isMine) {
  const name = called(said);
  const avatar = element("span", { className: "avatar", ariaHidden: "true" }, said.name === null ? "#" : [...name][0]);
  // The golden angle: neighbours among ids have colours far apart.
  avatar.style.setProperty("--hue", (Number(BigInt(said.id) % 360n) * 137.5) % 360);
  const now = new Date();
  const who = element("p", { className: "who" },
    element("bdi", { title: `client ${said.id}` }, name),
    isMine ? " (you)" : "",
    element("time", { dateTime: now.toISOString() }, now.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })));
  add(element("li", { className: isMine ? "mine" : "" }, avatar, who, element("p", { className: "text", dir: "auto" }, said.text)));
}

/* What is on its way. */

const ask = request => socket.send(JSON.stringify(request));

function say(text) {
  const item = { text, state: "sent", at: performance.now() };
  item.aside = element("small", {}, "sent");
  item.bar = element("span", { className: "bar", ariaHidden: "true" });
  item.element = element("li", {}, element("span", { className: "text", dir: "auto" }, text), item.aside, item.bar);
  pending.push(item);
  $("pending").append(item.element);
  ask({ say: text });
}

function drop(item) {
  pending = pending.filter(other => other !== item);
  item.element.remove();
}

/* It may not have arrived: whoever wrote it decides. */
function giveUp(item, why) {
  item.state = "broken";
  item.element.className = "broken";
  item.aside.textContent = why;
  item.bar.remove();
  const again = element("button", { type: "button", className: "quiet again", disabled: !isConnected() }, "Send again");
  const forget = element("button", { type: "button", className: "quiet" }, "Forget it");
  again.onclick = () => { drop(item); say(item.text); $("input").focus(); };
  forget.onclick = () => { drop(item); $("input").focus(); };
  item.element.append(element("span", { className: "actions" }, again, forget));
}

function count() {
  const now = performance.now();
  for (const item of pending) {
    if (item.state !== "accepted") continue;
    const left = Math.max(0, item.due - now);
    const when = left > 0 ? `to all in ${(left / 1000).toFixed(1)} s` : "due now";
    item.aside.textContent = `answered in ${milliseconds(item.roundTrip)}, ${when}`;
    item.bar.style.width = `${100 - 100 * left / item.delay}%`;
    if (isConnected() && now > item.due + PATIENCE) {
      giveUp(item, since > item.due ? "The others got it while this page was not connected." : "The server did not send it.");
    }
  }
  if (!isConnected() && due > now) {
    $("status").lastChild.textContent = ` Next try in ${Math.ceil((due - now) / 1000)} s.`;
  }
}

const milliseconds = time => `${time.toFixed(time < 10 ? 1 : 0)} ms`;

/* What the server says. */

const says = {
  welcome({ id, name, room: opened }) {
    if (room !== opened) {
      for (const item of pending.filter(item => item.state === "accepted")) giveUp(item, "The server was started anew before it was sent.");
      own = new Set();
      room = opened;
    }
    own.add(id);
    attempt = 0;
    since = performance.now();
    $("name").placeholder = `none: you are client ${id}`;
    if (document.activeElement !== $("name")) $("name").value = name ?? "";
    show("connected", "Connected");
  },

  called({ name }) {
    $("name").value = name ?? "";
    note(name === null ? "You have no name now." : `You are called ${name} now.`);
  },

  accepted({ number, delay }) {
    const item = pending.find(item => item.state === "sent");
    const now = performance.now();
    Object.assign(item, { state: "accepted", number, delay, due: now + delay, roundTrip: now - item.at });
    $("answered").textContent = milliseconds(item.roundTrip);
    $("announcement").textContent = `Received by the server. Everybody gets it in ${delay / 1000} seconds.`;
    count();
  },

  said(said) {
    const isMine = own.has(said.id);
    const item = isMine && pending.find(item => item.number === said.number);
    if (item) drop(item);
    addMessage(said, isMine);
  },

  presence({ count, names, came, renamed, left }) {
    $("count").textContent = count;
    $("status").lastChild.textContent = ` · ${count} here`;
    const people = names.map(name => element("li", { dir: "auto" }, name));
    const rest = count - names.length;
    if (rest > 0) people.push(element("li", { className: "rest" }, names.length ? `and ${rest} more` : `${rest} without a name`));
    $("people").replaceChildren(...people);
    const tell = ({ told, more }, words) => {
      for (const one of told) if (!own.has(one.id)) note(`${called(one)} ${words(one)}.`);
      if (more) note(`${more} more ${words()}.`);
    };
    tell(came, () => "came in");
    tell(renamed, one => one ? `was ${one.was ?? `Client ${one.id}`} before` : "have another name");
    tell(left, one => one ? `left (${one.code}: ${explained(one.code)})` : "left");
  },
};

/* The connection. */

const isConnected = () => $("status").dataset.state === "connected";

function show(state, text) {
  const hadFocus = document.activeElement === $("retry");
  $("status").dataset.state = state;
  $("status").replaceChildren(text, element("span", { ariaHidden: "true" }));
  $("status").title = "";
  $("retry").hidden = state !== "waiting";
  if (hadFocus && $("retry").hidden) $("input").focus();
  for (const button of document.querySelectorAll("#send, .again")) button.disabled = state !== "connected";
}

function address(path) {
  const url = new URL(path, location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url;
}

function connect() {
  clearTimeout(timer);
  show("connecting", attempt ? "Connecting again …" : "Connecting …");
  const url = address("chat/named");
  if (wanted) url.searchParams.set("name", wanted);
  const made = socket = new WebSocket(url);
  made.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    if (made === socket) says[message.type](message);
  };
  made.onclose = ({ code, reason }) => { if (made === socket) closed(code, reason); };
}

function closed(code, reason) {
  if (isConnected()) note(`The connection was closed with ${code}: ${explained(code)}.${reason && ` The server said: “${reason}”.`}`);
  for (const item of pending.filter(item => item.state === "sent")) giveUp(item, `Nobody knows whether it arrived (${code}).`);
  $("count").textContent = "–";
  $("people").replaceChildren();
  // Doubling, with some chance in it: a restarted server is not met by all its clients at once.
  const pause = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** attempt) * (0.5 + Math.random() / 2);
  attempt += 1;
  due = performance.now() + pause;
  timer = setTimeout(connect, pause);
  show("waiting", "Not connected.");
  $("status").title = `${code}: ${explained(code)}`;
  count();
}

/* What people do. */

$("form").addEventListener("submit", event => {
  event.preventDefault();
  const text = $("input").value;
  if (text === "") return;
  if (!isConnected()) {
    $("announcement").textContent = "Not connected: your message stays where it is.";
    return;
  }
  say(text);
  $("input").value = "";
  $("input").focus();
});

$("naming").addEventListener("submit", event => {
  event.preventDefault();
  wanted = $("name").value.trim();
  remember(wanted);
  $("input").focus();
  if (isConnected()) ask({ name: wanted });
});

$("retry").addEventListener("click", connect);
addEventListener("online", () => { if ($("status").dataset.state === "waiting") connect(); });

$("measure").addEventListener("click", () => {
  const times = [], echo = new WebSocket(address("echo")), button = $("measure"), output = $("measured");
  let begun = 0;
  const next = () => { begun = performance.now(); echo.send(`round trip ${times.length}`); };
  button.disabled = true;
  output.textContent = "measuring …";
  echo.onopen = next;
  echo.onmessage = () => {
    times.push(performance.now() - begun);
    if (times.length < 100) next();
    else echo.close(1000);
  };
  echo.onclose = () => {
    button.disabled = false;
    if (times.length < 100) {
      output.textContent = `broke off after ${times.length}`;
      return;
    }
    times.sort((a, b) => a - b);
    output.textContent = `p50 ${times[49].toFixed(2)} ms, p99 ${times[98].toFixed(2)} ms`;
  };
});

/* Of this tab: another is somebody else. Storage may be forbidden. */

function remember(name) {
  try { sessionStorage.setItem("name", name); } catch { /* then it is asked for again */ }
}

function remembered() {
  try { return sessionStorage.getItem("name") ?? ""; } catch { return ""; }
}

$("name").value = wanted;
$("address").textContent = address("chat");
setInterval(count, 100);
connect();
