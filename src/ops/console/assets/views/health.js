// Health: every component with its durations, its failures and when it is checked next.

import { h } from "../dom.js";
import { change, link } from "../address.js";
import { count, duration, span, words } from "../format.js";
import { card, clip, dot, num, pairs, pill, placeholder, search, time, timeAgo, tone } from "../parts.js";
import { table } from "../windowed.js";
import { STATUS_ORDER, healthText } from "../health_parts.js";

export function health(context) {
  const { state, params, now } = context;
  const all = state.health?.components;
  if (!all?.length) return placeholder({ loading: !state.at }, "No health checks are configured.");
  const rows = all.filter((component) => matches(component, params.q));
  const selected = all.find((component) => component.name === params.name);
  return [
    h("div", { class: `now ${bannerTone(state.health.status)}`, role: "status" }, dot(tone(state.health.status)), h("b", {}, words(state.health.status)),
      h("span", {}, state.health.ready ? "ready for calls" : "not ready: load balancers send no calls here")),
    h("div", { class: "tools" }, search("Filter by name, kind or status", params.q, (q) => change({ q }, { replace: true }))),
    selected ? detail(selected, context) : null,
    card("Components", `${all.filter((each) => each.status === "healthy").length} of ${all.length} healthy`,
      rows.length ? table({ id: "health-rows", label: "Components", rows, rowKey: (row) => row.name, selected: params.name, columns: columns(context, now),
        sort: params.sort ?? "status", onSort: (sort) => change({ sort }, { replace: true }) }) : placeholder({}, "Nothing matches the filter.")),
  ];
}

const groupsOf = (component) => component.groups ?? component.group ?? [];

const bannerTone = (status) => ({ healthy: "ok", unhealthy: "bad" })[status] ?? "warn";

const matches = (component, q) => !q || `${component.name} ${component.kind} ${component.status} ${groupsOf(component).join(" ")}`.toLowerCase().includes(q.toLowerCase());

function columns({ params }, now) {
  return [
    { key: "name", title: "component", value: (row) => row.name, cell: (row) => h("a", { class: "clip strong", title: row.name, href: link("health", { ...params, name: row.name }) }, row.name) },
    { key: "status", title: "status", value: (row) => STATUS_ORDER.indexOf(row.status), cell: (row) => pill(row.status) },
    { key: "text", title: "result", hide: true, cell: (row) => clip(healthText(row), "where wide") },
    { key: "since", title: "since", hide: true, numeric: true, value: (row) => row.since, cell: (row) => timeAgo(row.since, now) },
    { key: "last", title: "last", numeric: true, value: (row) => row.last_seconds, cell: (row) => duration(row.last_seconds) },
    { key: "average", title: "average", numeric: true, hide: true, value: (row) => row.average_seconds, cell: (row) => duration(row.average_seconds) },
    { key: "worst", title: "worst", numeric: true, hide: true, value: (row) => row.worst_seconds, cell: (row) => duration(row.worst_seconds) },
    { key: "failures", title: "failures", numeric: true, value: (row) => row.failures, cell: (row) => count(row.failures) },
  ];
}

function detail(component, { now }) {
  const wait = component.next_at == null ? null : component.next_at - now;
  return h("section", { class: "card detail", tabindex: -1, "aria-label": `Detail of ${component.name}` },
    h("h2", { class: "name" }, h("span", { class: "breaks" }, component.name), h("span", { class: "kind" }, words(component.kind)), pill(component.status),
      h("span", { class: "aside" }, h("button", { type: "button", class: "btn quiet", "aria-label": "Close the detail (Esc)", onclick: () => change({ name: undefined }) }, "×"))),
    h("div", { class: "grid g11" },
      pairs(["Result", h("span", { class: "breaks" }, component.text)], ["Critical", component.critical ? "yes: without it the service is unhealthy" : "no: without it the service is degraded"],
        ["Since", [time(component.since, now), " · ", timeAgo(component.since, now)]], ["Failures in a row", num(count(component.failures))],
        groupsOf(component).length > 0 && ["Groups", groupsOf(component).join(", ")],
        component.slower_than_seconds != null && ["Degraded above", num(duration(component.slower_than_seconds))]),
      pairs(["Last", num(duration(component.last_seconds))], ["Average", num(duration(component.average_seconds))], ["Worst", num(duration(component.worst_seconds))],
        ["Checked", timeAgo(component.checked_at, now)], ["Next check", wait == null ? null : num(wait >= 0.05 ? `in ${span(wait)}` : "now")], ["Interval", num(duration(component.interval_seconds))])));
}
