// Routes, methods and operations with their rates, errors and latencies.

import { h } from "../dom.js";
import { change, link } from "../address.js";
import { spark } from "../shapes.js";
import { count, duration, number, percent, words } from "../format.js";
import { card, clip, num, pairs, placeholder, search, segments, truncated } from "../parts.js";
import { table } from "../windowed.js";
import { use } from "../api.js";

const KINDS = [["routes", "Routes"], ["operations", "Operations"]];

export function routes(context) {
  const { params } = context;
  const kind = params.kind === "operations" ? "operations" : "routes";
  const entry = rowsOf(context, kind);
  const rows = (entry.data?.[kind] ?? []).filter((row) => matches(row, params.q));
  const selected = rows.find((row) => keyOf(row) === params.at);
  return [
    h("div", { class: "tools" },
      segments("Kind", KINDS, kind, (value) => change({ kind: value === "routes" ? undefined : value, at: undefined })),
      search("Filter by name, method or service", params.q, (q) => change({ q }, { replace: true }))),
    truncated(entry.data?.truncated, "There are more than are shown: the limit on the number of routes was reached."),
    truncated(entry.data?.without_history > 0, `Calls are missing from these numbers: ${count(entry.data?.without_history)} series have no history, as there are too many.`),
    selected ? detail(selected) : null,
    card(kind === "routes" ? "Routes" : "Operations", `${rows.length} · last ${rangeText(params.range)}`,
      rows.length ? table({ id: "route-rows", label: "Routes", columns: columns(kind, context), rows, rowKey: keyOf, selected: params.at,
        sort: params.sort ?? "-rate", onSort: (sort) => change({ sort }, { replace: true }) })
        : placeholder(entry, params.q ? "Nothing matches the filter." : "No calls in this range.")),
  ];
}

const rangeText = (range) => ({ "1h": "hour", "24h": "24 hours" })[range] ?? "5 minutes";

function rowsOf({ state, params }, kind) {
  const range = params.range ?? "5m";
  if (kind === "routes" && range === "5m" && state.routes) return { data: state.routes };
  return use(`api/v1/${kind}?range=${range}`, range === "24h" ? 60 : 10);
}

const nameOf = (row) => row.operation ?? row.route ?? "unmatched";
const whereOf = (row) => [row.service, row.side === "client" ? "(client)" : null].filter(Boolean).join(" ");
const keyOf = (row) => [row.service, row.side, row.kind, row.method, nameOf(row)].join(" ");

function matches(row, q) {
  return !q || [row.service, row.method, nameOf(row), row.kind, row.side].join(" ").toLowerCase().includes(q.toLowerCase());
}

function columns(kind, context) {
  const heat = (value, limit, text) => (value > limit ? h("span", { class: "hot" }, text) : text);
  const nameColumn = { key: "name", title: kind === "routes" ? "route" : "operation", value: nameOf,
    cell: (row) => h("a", { class: "clip route", href: link("routes", { ...context.params, at: keyOf(row) }), title: keyOf(row) },
      row.method || kind === "routes" ? h("span", { class: "m" }, row.method ?? "") : null, h("span", { class: "mono" }, nameOf(row))) };
  const whereColumn = kind === "routes"
    ? { key: "where", title: "service", hide: true, value: whereOf, cell: (row) => clip(whereOf(row), "where") }
    : { key: "where", title: "kind", hide: true, value: (row) => row.kind ?? "", cell: (row) => clip(words(row.kind), "where") };
  return [
    nameColumn, whereColumn,
    { key: "rate", title: "calls/s", numeric: true, value: (row) => row.calls_per_second, cell: (row) => number(row.calls_per_second) },
    { key: "errors", title: "errors", numeric: true, value: (row) => row.error_ratio, cell: (row) => heat(row.error_ratio, 0.05, percent(row.error_ratio)) },
    { key: "p50", title: "p50", numeric: true, value: (row) => row.p50_seconds, cell: (row) => duration(row.p50_seconds) },
    { key: "p95", title: "p95", numeric: true, value: (row) => row.p95_seconds, cell: (row) => heat(row.p95_seconds, 1, duration(row.p95_seconds)) },
    { key: "p99", title: "p99", numeric: true, value: (row) => row.p99_seconds, cell: (row) => duration(row.p99_seconds) },
    { key: "trend", title: "trend", hide: true, cell: (row) => spark(row.trend, row.error_ratio > 0.05 ? "--bad" : "--faint", "trend") },
  ];
}

function detail(row) {
  const close = h("button", { type: "button", class: "btn quiet", "aria-label": "Close the detail (Esc)", onclick: () => change({ at: undefined }) }, "×");
  const where = row.method && row.route ? `${row.method} ${row.route}` : nameOf(row);
  return h("section", { class: "card detail", tabindex: -1, "aria-label": where },
    h("h2", { class: "name" }, h("span", { class: "mono breaks" }, where), h("span", { class: "aside" }, close)),
    h("div", { class: "grid g2" },
      pairs(["Service", [row.service, row.side ?? words(row.kind)].filter(Boolean).join(", ")], ["Calls", num(`${number(row.calls_per_second)}/s`)], ["Errors", num(percent(row.error_ratio))],
        ["Latency", num(`p50 ${duration(row.p50_seconds)} · p95 ${duration(row.p95_seconds)} · p99 ${duration(row.p99_seconds)}`)],
        ["More", h("span", { class: "links" }, h("a", { class: "link", href: link("errors", { q: where }) }, "errors"), h("a", { class: "link", href: link("calls", { q: row.route ?? nameOf(row) }) }, "calls in flight"))]),
      spark(row.trend, "--accent", "trend large")));
}
