// The live connection: a web socket, or server-sent events where web sockets do not get through. It reconnects by itself,
// and notices a connection on which nothing comes any more.

import { apply, forgetTail, setConnection } from "./store.js";
import { setting } from "./settings.js";

const CHANNELS = "metrics,guards,health,errors,alerts,journal,workflows";
const FIRST_WAIT = 250;
const MAX_WAIT = 5000;
const FULL_WAIT = 20_000;
const HIDDEN_FOR = 60_000;

let connection = null;
// The filter of the lines of the log that come as they are logged, or null.
let tail = null;
let wait = FIRST_WAIT;
let timer = 0;
let watchdog = 0;
let hiddenTimer = 0;
// Web sockets that were never opened, in a row.
let unopened = 0;

export const every = () => Number(setting("every")) || 2;

export function connect() {
  clearTimeout(timer);
  close();
  setConnection({ retryAt: null });
  const useEvents = unopened >= 2 || !("WebSocket" in globalThis);
  connection = useEvents ? openEvents() : openSocket();
  expectFrame();
}

// Changes how often the server sends; 1 to 60 seconds.
export function setEvery(seconds) {
  setting("every", seconds);
  if (connection?.send) connection.send({ action: "set_every", every: seconds });
  else connect();
}

// Asks for the lines of the log that a filter lets through, as they come; null for none.
export function setTail(filter) {
  if (JSON.stringify(filter) === JSON.stringify(tail)) return;
  tail = filter;
  forgetTail();
  if (connection?.send) sendTail();
  else connect();
}

const sendTail = () => connection.send(tail ? { action: "tail", ...tail } : { action: "subscribe", channels: CHANNELS.split(",") });

// While nobody looks, the server need not send.
export function watchVisibility() {
  document.addEventListener("visibilitychange", () => {
    clearTimeout(hiddenTimer);
    if (!document.hidden && !connection && !timer) connect();
    if (document.hidden) hiddenTimer = setTimeout(() => {
      clearTimeout(timer);
      timer = 0;
      close();
      setConnection({ phase: "reconnecting", message: "This page was in the background." });
    }, HIDDEN_FOR);
  });
}

function address(path) {
  const url = new URL(path, document.baseURI);
  url.searchParams.set("channels", tail ? `${CHANNELS},logs` : CHANNELS);
  for (const [name, value] of Object.entries(tail ?? {})) url.searchParams.set(name, value);
  url.searchParams.set("every", every());
  return url;
}

function openSocket() {
  const url = address("api/v1/live");
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(url);
  const asked = tail;
  let opened = false;
  socket.onopen = () => {
    opened = true;
    unopened = 0;
    if (tail !== asked) sendTail();
  };
  socket.onmessage = (message) => receive(message.data, "WebSocket");
  socket.onclose = (event) => {
    if (!opened) unopened++;
    lost(event.code, event.reason);
  };
  return {
    send: (message) => socket.readyState === WebSocket.OPEN && socket.send(JSON.stringify(message)),
    close: () => { socket.onopen = socket.onmessage = socket.onclose = null; socket.close(); },
  };
}

function openEvents() {
  const source = new EventSource(address("api/v1/events"));
  source.onmessage = (message) => receive(message.data, "server-sent events");
  // Its own way to reconnect has a fixed wait and says nothing of the reason.
  source.onerror = () => { unopened = 0; lost(0, ""); };
  return { close: () => { source.onmessage = source.onerror = null; source.close(); } };
}

function receive(text, transport) {
  let frame;
  try { frame = JSON.parse(text); } catch { return; }
  expectFrame();
  if (frame.type === "problem") return setConnection({ message: String(frame.detail ?? "") });
  if (frame.type === "hello") {
    wait = FIRST_WAIT;
    setConnection({ phase: "live", every: frame.every, transport, message: "" });
  } else if (frame.every) setConnection({ every: frame.every });
  apply(frame);
}

// A connection from which nothing comes for several ticks is dead, even if nobody said so.
function expectFrame() {
  clearTimeout(watchdog);
  watchdog = setTimeout(() => lost(0, "Nothing was received for some time."), every() * 3000 + 4000);
}

function lost(code, reason) {
  close();
  const message = closeMessage(code, reason);
  if (code === 4401) return setConnection({ phase: "unauthorized", message });
  // Somebody else must leave first: to ask again and again would not help.
  if (code === 4429) wait = FULL_WAIT;
  const jittered = wait * (0.75 + Math.random() / 2);
  setConnection({ phase: "reconnecting", message, retryAt: Date.now() + jittered });
  timer = setTimeout(retry, jittered);
  wait = Math.min(wait * 2, MAX_WAIT);
}

// A browser does not tell why the server rejected a connection: ask for the status alone.
async function retry() {
  timer = 0;
  const response = await fetch(address("api/v1/events"), { method: "HEAD", cache: "no-store" }).catch(() => ({}));
  const code = { 401: 4401, 429: 4429 }[response.status];
  if (code) lost(code);
  else connect();
}

function close() {
  clearTimeout(watchdog);
  connection?.close();
  connection = null;
}

function closeMessage(code, reason) {
  if (code === 4401) return "The session is not valid any more.";
  if (code === 4408) return "This page was too slow to take what the server sent.";
  if (code === 4429) return "Too many pages are open on this server: there is no place for another until one is closed.";
  if (code === 1001) return "The server is shutting down.";
  return reason || "The connection to the server was lost.";
}
