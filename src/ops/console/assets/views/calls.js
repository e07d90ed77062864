// Calls in flight, oldest first, and slow calls, newest first.

import { h } from "../dom.js";
import { change, link } from "../address.js";
import { count, duration, plural, words } from "../format.js";
import { card, clip, outcomePill, placeholder, search, segments, time, truncated } from "../parts.js";
import { table } from "../windowed.js";
import { use } from "../api.js";
import { every } from "../live.js";

const TABS = [["0", "In flight"], ["1", "Slow"]];

export function calls(context) {
  const { params } = context;
  const slow = params.slow === "1";
  const entry = use(`api/v1/calls?slow=${slow ? 1 : 0}`, every());
  const rows = (entry.data?.calls ?? []).filter((call) => matches(call, params.q));
  return [
    h("div", { class: "tools" },
      segments("Which calls", TABS, slow ? "1" : "0", (value) => change({ slow: value === "1" ? "1" : undefined, sort: undefined })),
      search("Filter by route, kind or ID", params.q, (q) => change({ q }, { replace: true }))),
    truncated(entry.data?.truncated, "There are more calls than are shown: the list is bounded."),
    truncated(entry.data?.missed, `Since the start ${plural(entry.data?.missed, "call was", "calls were")} not watched, because the table of calls was full.`),
    entry.error && rows.length ? h("p", { class: "note warn", role: "alert" }, entry.error.message) : null,
    card(slow ? "Slow calls" : "Calls in flight", count(rows.length), rows.length
      ? table({ id: "call-rows", label: "Calls", rows, rowKey: (call) => call.id, columns: columns(slow, context), sort: params.sort ?? (slow ? "-started" : "-seconds"),
        onSort: (sort) => change({ sort }, { replace: true }) })
      : placeholder(entry, params.q ? "Nothing matches the filter." : slow ? "No call was slow." : "No call is in flight.")),
  ];
}

const matches = (call, q) => !q || [call.service, call.kind, call.method, call.route, call.path, call.correlation_id, call.trace_id].join(" ").toLowerCase().includes(q.toLowerCase());

function columns(slow, { now }) {
  const outcomeColumns = [
    { key: "outcome", title: "outcome", value: (call) => call.outcome ?? "", cell: (call) => (call.outcome ? outcomePill(call.outcome) : "") },
    { key: "status", title: "status", hide: true, numeric: true, value: (call) => call.status, cell: (call) => call.status ?? "–" },
  ];
  return [
    { key: "route", title: "call", value: (call) => call.route ?? call.path ?? "", cell: (call) => h("span", { class: "clip route", title: `${call.method ?? ""} ${call.path ?? call.route ?? ""}` }, h("span", { class: "m" }, call.method ?? ""), h("span", { class: "mono" }, call.route ?? call.path ?? "unmatched")) },
    { key: "kind", title: "kind", value: (call) => call.kind ?? "", cell: (call) => words(call.kind) },
    { key: "service", title: "service", hide: true, value: (call) => call.service, cell: (call) => clip(call.service, "where") },
    { key: "started", title: "started", numeric: true, hide: true, value: (call) => call.started_at, cell: (call) => time(call.started_at, now) },
    { key: "seconds", title: slow ? "took" : "for", numeric: true, value: (call) => call.seconds, cell: (call) => h("span", { class: call.seconds > 1 ? "hot" : undefined }, duration(call.seconds)) },
    ...(slow ? outcomeColumns : []),
    { key: "correlation", title: "correlation ID", hide: true, cell: (call) => clip(call.correlation_id ?? "", "mono copyable id") },
    { key: "trace", title: "trace ID", hide: true, cell: (call) => (call.trace_kept ? h("a", { class: "clip mono id", title: call.trace_id, href: link("traces", { id: call.trace_id }) }, call.trace_id) : clip(call.trace_id ?? "", "mono copyable id")) },
  ];
}
