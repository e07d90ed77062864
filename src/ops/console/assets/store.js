// What the page knows: the last frame of each part, with the time at which it came. Parts are replaced and never changed,
// so that a paused page keeps the old ones by keeping references.

import { words } from "./format.js";
import { OUTCOMES } from "./outcomes.js";

const HISTORY = 300;
const JOURNAL = 1000;
const TAIL = 2000;
const PARTS = ["status", "overview", "routes", "operations", "guards", "health", "errors", "alerts", "journal", "workflows"];

let current = { connection: { phase: "connecting" } };
let frozen = null;
let skew = 0;
const listeners = new Set();

// Returns what views show: while paused, what there was at that moment.
export const shown = () => (frozen ? { ...frozen, connection: current.connection, paused: true } : current);

// Returns the newest data, paused or not.
export const latest = () => current;

// Returns the time by the server's clock; while paused, that of the pause.
export const now = () => (frozen ? frozen.pausedAt : serverNow());

export const serverNow = () => Date.now() / 1000 + skew;

export const isPaused = () => frozen !== null;

export function setPaused(paused) {
  frozen = paused ? { ...current, pausedAt: serverNow() } : null;
  changed();
}

export function onChange(listener) {
  listeners.add(listener);
}

export function changed() {
  for (const listener of listeners) listener();
}

export function setConnection(connection) {
  current = { ...current, connection: { ...current.connection, ...connection } };
  changed();
}

// Takes in a frame of the live connection.
export function apply(frame) {
  if (typeof frame.at === "number") skew = frame.at - Date.now() / 1000;
  const next = { ...current, at: frame.at ?? serverNow() };
  if (frame.type === "hello") for (const part of PARTS) delete next[part];
  for (const part of PARTS) if (frame[part] !== undefined && part !== "journal") next[part] = { ...frame[part], receivedAt: next.at };
  if (frame.points?.length && next.overview) next.overview = withPoints(next.overview, frame.points);
  if (frame.journal) next.journal = withEvents(frame.type === "hello" ? undefined : next.journal, frame.journal);
  if (frame.type === "hello") next.hellos = (current.hellos ?? 0) + 1;
  if (frame.logs) next.tail = withLines(next.tail, frame.logs);
  if (frame.type === "change" && next.overview) next.overview = withMarks(next.overview, frame.journal);
  current = next;
  changed();
}

// Appends points to the history; seconds without a point are gaps.
function withPoints(overview, points) {
  const copy = {
    ...overview,
    calls: Object.fromEntries(OUTCOMES.map((name) => [name, [...(overview.calls?.[name] ?? [])]])),
    latency: { p50: [...(overview.latency?.p50 ?? [])], p95: [...(overview.latency?.p95 ?? [])], p99: [...(overview.latency?.p99 ?? [])] },
    in_flight: [...(overview.in_flight ?? [])],
    error_ratio: [...(overview.error_ratio ?? [])],
  };
  const columns = [...Object.values(copy.calls), ...Object.values(copy.latency), copy.in_flight, copy.error_ratio];
  // An outcome that has not been yet has no column; its first point belongs to the end.
  const length = Math.max(...columns.map((column) => column.length));
  for (const column of columns) column.unshift(...new Array(length - column.length).fill(null));
  for (const point of points) {
    const steps = Math.round((point.at - copy.end) / copy.step);
    // Seen already.
    if (steps <= 0) continue;
    for (let gap = 1; gap < Math.min(steps, HISTORY); gap++) for (const column of columns) column.push(null);
    for (const name of OUTCOMES) copy.calls[name].push(point.calls?.[name] ?? (point.calls ? 0 : null));
    for (const name of ["p50", "p95", "p99"]) copy.latency[name].push(point[name] ?? null);
    copy.in_flight.push(point.in_flight ?? null);
    copy.error_ratio.push(point.error_ratio ?? errorRatio(point.calls));
    copy.end = point.at;
  }
  for (const column of columns) column.splice(0, Math.max(0, column.length - HISTORY));
  return copy;
}

// Adds lines of the log, the newest first, and forgets the oldest.
function withLines(tail, { records, skipped }) {
  return { records: [...records, ...(tail?.records ?? [])].slice(0, TAIL), skipped: (tail?.skipped ?? 0) + skipped };
}

// Another filter begins anew.
export function forgetTail() {
  current = { ...current, tail: undefined };
}

function errorRatio(calls) {
  if (!calls) return null;
  const sum = (names) => names.reduce((total, name) => total + (calls[name] ?? 0), 0);
  const all = sum(OUTCOMES);
  return all ? sum(["failure", "overload", "timed_out", "rejected", "panicked"]) / all : null;
}

// Marks what became critical on the charts, as the server does for what was before.
function withMarks(overview, added) {
  const events = (Array.isArray(added) ? added : added?.events ?? []).filter((event) => event.severity === "critical" && event.kind !== "error");
  const marks = events.map((event) => ({ at: event.at, severity: event.severity, text: [words(event.data?.kind ?? (event.kind === "health" ? "health" : "")), event.subject, words(stateIn(event))].filter(Boolean).join(" "), seq: event.seq }));
  return marks.length ? { ...overview, marks: [...(overview.marks ?? []), ...marks].slice(-100) } : overview;
}

const stateIn = (event) => event.data?.to ?? /→ (\w+)/.exec(event.text ?? "")?.[1];

// Adds events to the journal, each once, in order, and forgets the oldest.
function withEvents(journal, added) {
  const page = Array.isArray(added) ? { events: added } : added;
  const known = new Map((journal?.events ?? []).map((event) => [event.seq, event]));
  for (const event of page.events ?? []) known.set(event.seq, event);
  const events = [...known.values()].sort((a, b) => a.seq - b.seq).slice(-JOURNAL);
  return { events, dropped: page.dropped ?? journal?.dropped ?? 0, oldest: page.oldest ?? journal?.oldest };
}
