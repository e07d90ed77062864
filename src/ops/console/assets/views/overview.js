// The overview: what needs attention, four figures, two charts, health, guards, recent changes.

import { h } from "../dom.js";
import { link, localLink } from "../address.js";
import { outcomes, latency } from "../charts.js";
import { spark } from "../shapes.js";
import { clock, count, duration, durationParts, number, percentNumber, plural, span } from "../format.js";
import { card, clip, dot, num, pill, placeholder, time, tone } from "../parts.js";
import { use } from "../api.js";
import { guardRow, severity } from "../guard_parts.js";
import { eventLine } from "../event_parts.js";
import { healthRow, STATUS_ORDER } from "../health_parts.js";
import { workflowRow } from "../workflow_parts.js";

const ROWS = 5;
const ITEMS = 6;

export function overview(context) {
  const { state } = context;
  const history = historyOf(context);
  const data = history.data;
  return [
    attention(context),
    figures(state.status, data),
    h("div", { class: "grid g2 gap" },
      card("Calls by outcome", "per second", data ? outcomes(data, context.redraw) : placeholder(history, "No history yet.")),
      card("Latency", "to the end of the body", data ? latency(data, context.redraw) : placeholder(history, "No history yet."))),
    workflowsCard(context),
    h("div", { class: "grid g3 gap" }, healthCard(context), guardsCard(context), changesCard(context)),
  ];
}

// Five minutes come with the live connection; longer ranges are asked for.
function historyOf({ state, params }) {
  if (!params.range || params.range === "5m") return { data: state.overview, loading: !state.at };
  return use(`api/v1/overview?range=${params.range}`, params.range === "1h" ? 10 : 60);
}

function attention({ state, now }) {
  const { status } = state;
  if (!status) return null;
  const items = status.attention ?? [];
  if (status.ready === false) return [h("div", { class: "now warn", role: "status" }, dot("warn"), h("b", {}, "Not ready."), "Load balancers send no calls here."), attentionList(items, status, now)];
  return attentionList(items, status, now);
}

function attentionList(items, status, now) {
  if (!items.length) return h("div", { class: "now ok" }, dot("ok"), quietLine(status));
  return h("div", { class: `now ${items.some((item) => item.severity === "critical") ? "bad" : "warn"}`, role: "status" },
    h("b", {}, plural(items.length, "thing needs", "things need"), " attention"),
    h("ul", {}, items.slice(0, ITEMS).map((item) => h("li", { key: `${item.kind} ${item.name}` }, dot(tone(item.severity)),
      h("a", { href: localLink(item.link), class: "breaks" }, countdown(item, now)), " ", item.since == null ? null : time(item.since, now, "faint"))),
      items.length > ITEMS ? h("li", {}, `and ${items.length - ITEMS} more`) : null));
}

// The sentence is the server's; the time in it is counted down between updates.
function countdown(item, now) {
  const text = String(item.text ?? "");
  if (item.until == null) return text;
  return text.replace(/another [\d.]+ ?(ms|s|min)/, `another ${span(Math.max(0, item.until - now))}`);
}

function quietLine(status) {
  const counts = status.counts ?? {};
  const parts = [counts.health ? `${plural(counts.health, "component")} healthy` : null, counts.guards ? plural(counts.guards, "guard") : null].filter(Boolean);
  return h("span", {}, h("b", {}, "All is well."), parts.length ? ` ${parts.join(", ")}.` : "");
}

function figures(status, history) {
  const calls = status?.calls ?? {};
  const total = history ? totals(history) : [];
  const [latencyNumber, latencyUnit] = durationParts(calls.p95_seconds);
  const isBad = calls.error_ratio > 0.01;
  return h("div", { class: "grid g4" },
    figure(recent("Calls"), number(calls.per_second), "/s", [trendText(total, history)], spark(total, "--accent")),
    figure(recent("Errors"), calls.error_ratio == null ? "–" : percentNumber(calls.error_ratio), calls.error_ratio == null ? "" : "%", [errorText(history)], spark(history?.error_ratio, "--bad"), isBad ? "hot" : ""),
    figure(recent("Latency p95"), latencyNumber, latencyUnit, ["p50 ", num(duration(calls.p50_seconds)), " · p99 ", num(duration(calls.p99_seconds))], spark(history?.latency?.p95, "--c-timed_out")),
    figure("In flight", count(calls.in_flight), "", [h("a", { href: link("calls") }, "oldest ", num(duration(calls.oldest_seconds)))], spark(history?.in_flight, "--c-rejected")));
}

// What the server means by now.
const recent = (name) => [name, h("span", { class: "faint" }, " · last 10 s")];

function figure(name, value, unit, detail, drawing, className = "") {
  return h("div", { class: "card fig" }, h("span", { class: "k" }, name),
    h("span", { class: `v ${className}` }, value, unit ? h("small", {}, unit) : null), h("span", { class: "d" }, detail), drawing);
}

const totals = (history) => (history.in_flight ?? []).map((_, i) => {
  const values = Object.values(history.calls ?? {}).map((column) => column[i]).filter((value) => value != null);
  return values.length ? values.reduce((a, b) => a + b, 0) : null;
});

const mean = (values) => {
  const known = values.filter((value) => value != null);
  return known.length ? known.reduce((a, b) => a + b, 0) / known.length : null;
};

// The last tenth of the range beside its first tenth.
function ends(values) {
  const tenth = Math.max(1, Math.floor(values.length / 10));
  return [mean(values.slice(0, tenth)), mean(values.slice(-tenth))];
}

// Where the range begins: "since 22:13".
function since({ end, step }, length) {
  const text = clock(end - (length - 1) * step, end);
  return ` since ${text.length > 8 ? text : text.slice(0, 5)}`;
}

function trendText(total, history) {
  const [first, last] = ends(total);
  if (first == null || last == null || first === 0) return "no comparison yet";
  const change = Math.round((last / first - 1) * 100);
  return (change === 0 ? "steady" : `${change > 0 ? "+" : "−"}${Math.abs(change)} %`) + since(history, total.length);
}

function errorText(history) {
  const [first, last] = ends(history?.error_ratio ?? []);
  if (first == null || last == null) return "no comparison yet";
  const change = (last - first) * 100;
  const from = since(history, history.error_ratio.length);
  if (Math.abs(change) < 0.05) return `steady${from}`;
  return [h("span", { class: change > 0 ? "up" : "down" }, `${change > 0 ? "+" : "−"}${number(Math.abs(Number(change.toFixed(1))))}`), ` points${from}`];
}

function healthCard({ state, now }) {
  const components = state.health?.components ?? [];
  const healthy = components.filter((component) => component.status === "healthy").length;
  const sorted = [...components].sort((a, b) => STATUS_ORDER.indexOf(a.status) - STATUS_ORDER.indexOf(b.status));
  return card("Health", components.length ? h("a", { href: link("health") }, `${healthy} of ${components.length} healthy`) : null,
    components.length ? h("div", { class: "rows" }, sorted.slice(0, ROWS).map((component) => healthRow(component, now))) : placeholder({ loading: !state.at }, "No health checks are configured."));
}

function guardsCard({ state, now }) {
  const guards = state.guards?.guards ?? [];
  const sorted = [...guards].sort((a, b) => severity(b) - severity(a));
  return card("Guards", guards.length ? h("a", { href: link("guards") }, `all ${guards.length}`) : null,
    guards.length ? h("div", { class: "rows" }, sorted.slice(0, ROWS).map((guard) => guardRow(guard))) : placeholder({ loading: !state.at }, "No guards are registered."));
}

function workflowsCard({ state, now }) {
  const running = (state.workflows?.workflows ?? []).filter((run) => run.state === "running");
  if (!running.length) return null;
  return h("div", { class: "gap", key: "workflows" }, card("Active workflows", h("a", { href: link("workflows", { state: "running" }) }, `all ${count(state.workflows.counts.running)}`),
    h("div", { class: "rows" }, running.slice(0, ROWS).map((run) => workflowRow(run, now)))));
}

function changesCard({ state, now }) {
  const events = [...(state.journal?.events ?? [])].reverse();
  return card("What changed", h("a", { href: link("journal") }, "journal"),
    events.length ? h("div", { class: "lines" }, events.slice(0, 6).map((event) => eventLine(event, now))) : placeholder({ loading: !state.at }, "Nothing has changed since the start."));
}
