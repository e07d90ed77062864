// The journal: what happened in this process, and in those before it where there is a file; newest first.

import { use } from "../api.js";
import { h } from "../dom.js";
import { change, link } from "../address.js";
import { count, fullTime, words } from "../format.js";
import { card, clip, note, pairs, pill, placeholder, search, segments, time } from "../parts.js";
import { table } from "../windowed.js";
import { eventLink, eventText } from "../event_parts.js";

const KINDS = [["all", "All"], ["guard", "Guards"], ["health", "Health"], ["error", "Errors"], ["alert", "Alerts"], ["control", "Controls"], ["log_level", "Log level"], ["login", "Logins"], ["lifecycle", "Lifecycle"]];

export function journal(context) {
  const { state, params } = context;
  // A page of earlier events stays as it is: nothing is added to it.
  const page = params.before ? use(`api/v1/journal?${new URLSearchParams({ before: params.before, limit: 1000, ...(params.kind && { kind: params.kind }) })}`, 3600) : undefined;
  const all = (page ? page.data : state.journal)?.events ?? [];
  const rows = all.filter((event) => matches(event, params));
  const selected = all.find((event) => String(event.seq) === params.at);
  return [
    h("div", { class: "tools" },
      segments("Kind", kindsOf(all), params.kind ?? "all", (kind) => change({ kind: kind === "all" ? undefined : kind })),
      search("Filter by subject, text or person", params.q, (q) => change({ q }, { replace: true }))),
    state.journal?.dropped > 0 ? note(`${count(state.journal.dropped)} older events were dropped: the journal is bounded.`, "warn") : null,
    selected ? detail(selected, context) : null,
    card("Journal", `${count(rows.length)} events`, rows.length
      ? table({ id: "journal-rows", label: "Events", rows, rowKey: (event) => event.seq, selected: selected?.seq, columns: columns(context),
        sort: params.sort ?? "-at", onSort: (sort) => change({ sort }, { replace: true }) })
      : placeholder(page ?? { loading: !state.at }, all.length ? "Nothing matches the filter." : page ? "There are no earlier events." : "Nothing has happened since the start.")),
    pages(all, page, context),
  ];
}

// The ways to earlier events and back to the latest, if there are any.
function pages(all, page, { state, params }) {
  const oldest = (page?.data ?? state.journal)?.oldest;
  const ways = [
    all.length && all[0].seq > oldest ? h("a", { class: "btn", href: link("journal", { ...params, at: undefined, before: all[0].seq }) }, "Earlier events") : null,
    page ? h("a", { class: "btn", href: link("journal", { ...params, at: undefined, before: undefined }) }, "Latest events") : null,
  ].filter(Boolean);
  return ways.length ? h("nav", { class: "tools", "aria-label": "Pages of the journal" }, ways) : null;
}

// The usual kinds, and those that the application made.
const kindsOf = (events) => [...KINDS, ...[...new Set(events.map((event) => event.kind))].filter((kind) => !KINDS.some(([known]) => known === kind)).map((kind) => [kind, words(kind)])];

function matches(event, { q, kind }) {
  if (kind && event.kind !== kind) return false;
  return !q || `${event.subject ?? ""} ${event.text ?? ""} ${event.who ?? ""} ${event.data?.reason ?? ""}`.toLowerCase().includes(q.toLowerCase());
}

function columns({ now, params }) {
  return [
    { key: "at", title: "time", value: (event) => event.seq, cell: (event) => h("a", { href: link("journal", { ...params, at: event.seq }) }, time(event.at, now)) },
    { key: "severity", title: "severity", hide: true, value: (event) => ["info", "warning", "critical"].indexOf(event.severity), cell: (event) => pill(event.severity) },
    { key: "kind", title: "kind", hide: true, value: (event) => event.kind, cell: (event) => words(event.kind) },
    { key: "text", title: "event", cell: (event) => h("a", { class: "clip event", href: eventLink(event), title: `${event.subject ?? ""} ${event.text ?? ""}` }, eventText(event)) },
    { key: "reason", title: "reason", hide: true, cell: (event) => clip(event.data?.reason ?? "", "where") },
  ];
}

function detail(event, { now }) {
  const { before, after, ...data } = event.data ?? {};
  return h("section", { class: "card detail", tabindex: -1, "aria-label": "Detail of the event" },
    h("h2", { class: "name" }, h("span", { class: "breaks" }, eventText(event)), pill(event.severity),
      h("span", { class: "aside" }, h("button", { type: "button", class: "btn quiet", "aria-label": "Close the detail (Esc)", onclick: () => change({ at: undefined }) }, "×"))),
    pairs(["Number", count(event.seq)], ["Time", fullTime(event.at)], ["Kind", words(event.kind)],
      event.subject && ["Subject", h("a", { class: "link breaks", href: eventLink(event) }, event.subject)], event.who && ["Who", event.who],
      after != null && ["Changed", h("span", { class: "mono breaks" }, `${before} → ${after}`)], ...Object.entries(data).map(([name, value]) => [words(name), h("span", { class: "mono breaks" }, typeof value === "object" ? JSON.stringify(value) : String(value))])));
}
