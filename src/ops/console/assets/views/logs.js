// The log: what was found, newest first, and lines as they come.

import { h } from "../dom.js";
import { change, link } from "../address.js";
import { clock, count, fullTime, plural, words } from "../format.js";
import { card, clip, note, pairs, pill, placeholder, search, segments } from "../parts.js";
import { inView } from "../windowed.js";
import { get, use } from "../api.js";
import { changed, isPaused } from "../store.js";
import { setTail } from "../live.js";

const LEVELS = [["all", "All"], ["info", "Info +"], ["warn", "Warn +"], ["error", "Errors"]];
const BACK = [["15m", "15 min", 900], ["1h", "1 h", 3600], ["24h", "24 h", 86_400], ["7d", "7 d", 604_800]];
const DEFAULT_BACK = "24h";
const IDS = ["request_id", "correlation_id", "trace_id", "span_id", "id"];
const FILTERS = ["q", "level", "target", ...IDS];
const PAGE = 200;
const KEPT = 5000;
const ROW_HEIGHT = 26;
const TYPING = 200;

// What was found for the filter `key`.
let found = { key: undefined };
let timer = 0;

export function logs(context) {
  const { state, params } = context;
  const filter = filterOf(params);
  const back = BACK.find(([name]) => name === params.back) ?? BACK.find(([name]) => name === DEFAULT_BACK);
  const isTailing = params.tail === "1";
  // First, so that nothing is missed between what is found and what comes.
  setTail(isTailing ? filter : null);
  const key = JSON.stringify([filter, back[0], isTailing && state.hellos]);
  if (key !== found.key) begin(key, filter, back[2]);
  const rows = isTailing ? withTail(found.records, state.tail) : found.records;
  const selected = rows.find((record) => String(record.id) === params.at) ?? asked(params.at);
  return [
    tools(params, back[0], isTailing),
    chips(params),
    state.tail?.skipped > 0 && isTailing ? note(`${plural(state.tail.skipped, "line")} came faster than they can be shown: search finds them.`, "warn") : null,
    found.data?.is_cut ? note("The search took too long and has stopped. “Older” goes on.", "warn") : null,
    found.error && rows.length ? h("p", { class: "note warn", role: "alert" }, found.error.message) : null,
    selected ? detail(selected, params) : null,
    card("Logs", aside(rows), rows.length ? lines(rows, context, selected) : placeholder(found, nothing(params)),
      found.before ? h("button", { type: "button", class: "btn gap", disabled: found.loading, onclick: older }, "Older") : null),
  ];
}

// A line of an address that is not among those that were found, such as an older one.
function asked(at) {
  if (!/^\d{1,15}$/.test(at ?? "") || found.loading) return undefined;
  const record = use(`api/v1/logs?since=0&before=${Number(at) + 1}&limit=1`, 3600).data?.records[0];
  return String(record?.id) === at ? record : undefined;
}

// Leaving the view ends the lines that come.
const leave = { mount() {}, unmount() { setTail(null); found = { key: undefined }; } };

function tools(params, back, isTailing) {
  const set = (name, none) => (value) => change({ [name]: value === none ? undefined : value, at: undefined });
  return h("div", { class: "tools" },
    search("Search words, \"a phrase\", begin*, -without, or an ID", params.q, (q) => change({ q }, { replace: true })),
    h("input", { type: "search", class: "target", placeholder: "Target", "aria-label": "Beginning of the target", value: params.target ?? "", oninput: (event) => change({ target: event.target.value }, { replace: true }) }),
    segments("Level", LEVELS, params.level ?? "all", set("level", "all")),
    segments("How far back", BACK, back, set("back", DEFAULT_BACK)),
    h("button", { type: "button", class: "btn", "aria-pressed": String(isTailing), title: "Show lines as they come", onclick: () => change({ tail: isTailing ? undefined : "1" }) }, isTailing && isPaused() ? "Tail, paused" : "Tail"),
    isTailing ? null : h("button", { type: "button", key: "refresh", class: "btn quiet", onclick: () => { found = { key: undefined }; changed(); } }, "Refresh"),
    h("span", { hook: leave, key: "leave" }));
}

// The IDs that are searched for, each of which can be taken away.
function chips(params) {
  const given = IDS.filter((name) => params[name]);
  return given.length ? h("p", { class: "tools" }, given.map((name) => h("span", { key: name, class: "pill info chip" }, `${words(name)} `, clip(params[name], "mono"),
    h("button", { type: "button", class: "plain", "aria-label": `Remove the ${words(name)}`, onclick: () => change({ [name]: undefined }) }, "×")))) : null;
}

// An ID that was pasted into the search box is one.
const isId = (text) => /^([0-9a-f]{16}|[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$/i.test(text);

function filterOf(params) {
  const q = params.q?.trim();
  const all = q && isId(q) && !params.id ? { ...params, q: undefined, id: q.toLowerCase() } : { ...params, q };
  return Object.fromEntries(FILTERS.filter((name) => all[name]).map((name) => [name, all[name]]));
}

// Asks anew for another filter; while somebody types, not for each letter.
function begin(key, filter, seconds) {
  const isFirst = found.key === undefined;
  found = { key, filter, since: undefined, seconds, records: isFirst ? [] : found.records, loading: true, data: undefined };
  clearTimeout(timer);
  timer = setTimeout(ask, isFirst ? 0 : TYPING, found, undefined);
}

async function ask(list, before) {
  list.since ??= Date.now() / 1000 - list.seconds;
  const query = new URLSearchParams({ ...list.filter, since: list.since.toFixed(0), limit: PAGE });
  if (before) query.set("before", before);
  const next = { ...list, loading: false };
  try {
    const page = await get(`api/v1/logs?${query}`);
    Object.assign(next, { data: page, error: undefined, before: page.before, records: before ? [...list.records, ...page.records].slice(0, KEPT) : page.records });
  } catch (error) {
    Object.assign(next, { error, before: undefined, records: before ? list.records : [] });
  }
  // Another filter may have been chosen meanwhile.
  if (found.key === list.key) found = next;
  changed();
}

function older() {
  found = { ...found, loading: true };
  ask(found, found.before);
  changed();
}

// Lines that came, before those that were found; each once.
function withTail(records, tail) {
  const newest = records[0]?.id ?? -1;
  return tail ? [...tail.records.filter((record) => record.id > newest), ...records] : records;
}

function aside(rows) {
  const { data } = found;
  if (!data) return "";
  const oldest = data.oldest_at ? `, kept since ${clock(data.oldest_at, Date.now() / 1000)}` : "";
  const where = data.source === "file" ? "" : " in memory";
  return `${count(rows.length)}${found.before ? "+" : ""} of ${count(data.kept)}${where}${oldest}${data.dropped > 0 ? `, ${count(data.dropped)} dropped` : ""}`;
}

function nothing(params) {
  if (found.data?.stored === 0) return "Nothing was logged yet. Records come from Ops::layer in the tracing subscriber.";
  return Object.keys(filterOf(params)).length ? "No line matches." : "Nothing was logged in this time.";
}

function lines(rows, context, selected) {
  const view = inView("log-rows", rows.length, ROW_HEIGHT);
  const marks = marksOf(context.params.q);
  const spacer = (height, key) => h("div", { key, class: "spacer", style: { height: `${height}px` } });
  return h("div", { id: "log-rows", class: "logs", role: "list", "aria-label": "Lines of the log" }, spacer(view.above, "above"),
    rows.slice(view.from, view.to).map((record) => line(record, context, marks, record === selected)), spacer(view.below, "below"));
}

function line(record, { now, params }, marks, isSelected) {
  const text = messageOf(record);
  const fields = Object.entries(isAccess(record) ? {} : record.fields).map(([name, value]) => `${name}=${value}`).join(" ");
  return h("div", { key: record.id, role: "listitem", class: isSelected ? "sel" : undefined },
    h("time", { title: fullTime(record.at) }, clock(record.at, now), isToday(record.at, now) ? `.${String(Math.floor((record.at % 1) * 1000)).padStart(3, "0")}` : null),
    h("span", { class: `lv ${record.level}` }, record.level),
    clip(record.target, "tg"),
    h("a", { class: "ms clip", href: link("logs", { ...params, at: record.id }), title: `${text} ${fields}` }, marked(text, marks), " ", h("span", { class: "fields" }, marked(fields, marks))),
    record.trace_id ? h("a", { class: "id", href: `#traces/${record.trace_id}`, title: `Trace ${record.trace_id}` }, `…${record.trace_id.slice(-8)}`) : h("span", { class: "id" }));
}

const isToday = (at, now) => new Date(at * 1000).toDateString() === new Date(now * 1000).toDateString();

const isAccess = (record) => record.target === "tower_keep::access";

// A call in one line: the event has all of it in fields.
function messageOf({ target, message, fields }) {
  if (!isAccess({ target })) return message || "(no message)";
  const took = fields.duration_ms == null ? "" : `${Number(fields.duration_ms.toPrecision(3))} ms`;
  return [fields.method, fields.path ?? fields.route, fields.status ?? fields.grpc_code, fields.outcome, took, fields.error].filter((part) => part != null && part !== "").join(" ");
}

// The words of a search that are there, for marking them.
function marksOf(q) {
  const terms = String(q ?? "").match(/-?"[^"]*"\*?|\S+/g) ?? [];
  const kept = terms.filter((term) => !term.startsWith("-")).flatMap((term) => term.match(/[\p{L}\p{N}]+/gu) ?? []);
  return kept.length ? new RegExp(`(?<![\\p{L}\\p{N}])(${kept.sort((a, b) => b.length - a.length).join("|")})`, "giu") : null;
}

const marked = (text, marks) => (marks ? text.split(marks).map((part, i) => (i % 2 ? h("mark", {}, part) : part)) : text);

const idWords = (name) => `${name[0].toUpperCase()}${words(name).slice(1)}`.replace(/ id$/, " ID");

function detail(record, params) {
  const mono = (text) => h("span", { class: "mono breaks copyable" }, String(text));
  const jump = (name, value) => value && [idWords(name), [mono(value), " ", h("a", { class: "link", href: link("logs", { [name]: value, back: params.back }) }, "its lines")]];
  return h("section", { class: "card detail", tabindex: -1, "aria-label": "Detail of the line" },
    h("h2", { class: "name" }, pill(record.level, record.level, { error: "bad", warn: "warn", info: "info" }[record.level] ?? ""), h("span", { class: "mono breaks" }, record.target),
      h("span", { class: "aside" }, h("button", { type: "button", class: "btn quiet", "aria-label": "Close the detail (Esc)", onclick: () => change({ at: undefined }) }, "×"))),
    h("pre", { tabindex: 0 }, isAccess(record) ? messageOf(record) : record.message),
    h("p", { class: "links" },
      record.trace_id ? h("a", { class: "link", href: `#traces/${record.trace_id}` }, "Trace") : null,
      record.correlation_id ? h("a", { class: "link", href: link("calls", { q: record.correlation_id }) }, "Calls in flight") : null,
      record.fields.error_group ? h("a", { class: "link", href: link("errors", { status: "all", at: record.fields.error_group }) }, "Error group") : null),
    pairs(["Time", fullTime(record.at)], jump("request_id", record.request_id), record.correlation_id !== record.request_id && jump("correlation_id", record.correlation_id),
      jump("trace_id", record.trace_id), jump("span_id", record.span_id),
      ...Object.entries(record.fields).map(([name, value]) => [name, mono(value)])));
}
