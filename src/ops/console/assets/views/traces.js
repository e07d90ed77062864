// The traces that are kept, newest first, and one of them.

import { h } from "../dom.js";
import { change, link } from "../address.js";
import { bytes, count, duration, percent, words } from "../format.js";
import { card, clip, outcomePill, pill, placeholder, search, segments, time } from "../parts.js";
import { bar } from "../shapes.js";
import { table } from "../windowed.js";
import { use } from "../api.js";
import { every } from "../live.js";
import { trace } from "./trace.js";

const WHICH = [["all", "All"], ["errors", "Errors"], ["slow", "Slow"]];
// What the server filters by, as the address has it.
const FILTERS = ["q", "attribute", "error_group", "correlation_id", "outcome", "from", "to", "before"];

export function traces(context) {
  const { params } = context;
  if (params.id) return trace(context);
  const which = params.which ?? "all";
  const query = new URLSearchParams(FILTERS.flatMap((name) => (params[name] ? [[name, params[name]]] : [])));
  if (which === "errors") query.set("errors", "1");
  const min = params.min ?? (which === "slow" ? "1" : "");
  if (min) query.set("min_seconds", min);
  const entry = use(`api/v1/traces?limit=500&${query}`, every());
  const rows = entry.data?.traces ?? [];
  const isFiltered = [...query].length > 0;
  return [
    h("div", { class: "tools" },
      segments("Which traces", WHICH, which, (value) => change({ which: value === "all" ? undefined : value, before: undefined })),
      search("Filter by name or route", params.q, (q) => change({ q, before: undefined }, { replace: true })),
      field("attribute=value", params.attribute?.includes("=") || !params.attribute ? params.attribute : "", (attribute) => change({ attribute: attribute.includes("=") ? attribute : undefined }, { replace: true })),
      field("longer than … s", params.min, (value) => change({ min: Number(value) > 0 ? value : undefined }, { replace: true }), "number"),
      ["error_group", "correlation_id", "before"].filter((name) => params[name]).map((name) => h("button", { type: "button", key: name, class: "btn", onclick: () => change({ [name]: undefined }) }, `${words(name)} ×`))),
    entry.error && rows.length ? h("p", { class: "note warn", role: "alert" }, entry.error.message) : null,
    card("Traces", aside(entry.data), rows.length
      ? table({ id: "trace-rows", label: "Traces", rows, rowKey: (row) => row.trace_id, columns: columns(context, Math.max(...rows.map((row) => row.seconds))), sort: params.sort ?? "-started",
        onSort: (sort) => change({ sort }, { replace: true }) })
      : placeholder(entry, isFiltered ? "Nothing matches the filter." : "No traces yet. They come from Ops::layer in the tracing subscriber.")),
    entry.data?.next ? h("p", { key: "older" }, h("button", { type: "button", class: "btn", onclick: () => change({ before: entry.data.next }) }, "Older traces")) : null,
  ];
}

function field(label, value, onInput, type = "text") {
  return h("input", { class: "narrow", type, min: 0, step: "any", placeholder: label, "aria-label": label, initial: value ?? "", oninput: (event) => onInput(event.target.value) });
}

function aside(data) {
  if (!data) return "";
  const { evicted } = data.dropped;
  return `${count(data.kept)} kept in ${bytes(data.bytes)}${evicted ? `, ${count(evicted)} older ones evicted` : ""}`;
}

function columns({ now, params }, longest) {
  return [
    { key: "started", title: "started", value: (row) => row.started_at, cell: (row) => time(row.started_at, now) },
    { key: "name", title: "name", value: (row) => row.name, cell: (row) => h("a", { class: "clip route", href: link("traces", { id: row.trace_id, range: params.range }), title: row.name }, h("span", { class: "mono" }, row.name || "unnamed")) },
    { key: "outcome", title: "outcome", value: (row) => row.outcome ?? "", cell: (row) => (row.outcome ? outcomePill(row.outcome) : row.errors ? pill("failed", "failed", "bad") : "") },
    { key: "seconds", title: "took", numeric: true, value: (row) => row.seconds, cell: (row) => duration(row.seconds) },
    { key: "share", title: "of longest", hide: true, cell: (row) => bar(row.seconds / longest, { fill: row.errors ? "--c-failure" : "--c-success", label: `${percent(row.seconds / longest)} of the longest` }) },
    { key: "spans", title: "spans", numeric: true, hide: true, value: (row) => row.spans, cell: (row) => count(row.spans) },
    { key: "errors", title: "failed", numeric: true, hide: true, value: (row) => row.errors, cell: (row) => (row.errors ? count(row.errors) : "–") },
    { key: "reason", title: "kept as", hide: true, value: (row) => row.reason, cell: (row) => words(row.reason) },
    { key: "correlation", title: "correlation ID", hide: true, cell: (row) => clip(row.correlation_id ?? "", "mono copyable id") },
  ];
}
