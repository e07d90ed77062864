// One trace: its spans over time, and what the selected one carries.

import { h } from "../dom.js";
import { change, link } from "../address.js";
import { clock, count, duration, fullTime, plural, words } from "../format.js";
import { note, num, outcomePill, pairs, pill, placeholder } from "../parts.js";
import { use } from "../api.js";
import { foldAll, modelOf, reveal, waterfall, zoom } from "../waterfall.js";

let revealed = "";

export function trace(context) {
  const { params, now } = context;
  // What is kept changes only while spans are open.
  const path = `api/v1/traces/${encodeURIComponent(params.id)}`;
  const known = use(path, 3600);
  const entry = known.data?.trace.open ? use(path, 5) : known;
  const shown = entry.data;
  if (!shown) return h("div", { class: "card", key: "none" }, placeholder(entry, ""), back());
  const row = shown.trace;
  const model = modelOf(shown);
  const at = params.at ? model.spans.id.indexOf(params.at) : -1;
  // Once, so that it can be folded again.
  if (at >= 0 && revealed !== params.at) reveal(model, at);
  revealed = params.at;
  const isZoomed = params.from != null;
  return [
    h("div", { class: "tools", key: "tools" }, back(),
      h("button", { type: "button", class: "btn", onclick: () => foldAll(model, false) }, "Expand all"),
      h("button", { type: "button", class: "btn", onclick: () => foldAll(model, true) }, "Collapse all"),
      h("button", { type: "button", class: "btn", "aria-label": "Zoom in", onclick: () => zoom(shown, params, 0.5) }, "+"),
      h("button", { type: "button", class: "btn", "aria-label": "Zoom out", disabled: !isZoomed, onclick: () => zoom(shown, params, 2) }, "−"),
      isZoomed ? h("button", { type: "button", key: "all", class: "btn", onclick: () => change({ from: undefined, to: undefined }) }, "Whole trace") : null,
      h("span", { class: "sp" }),
      h("a", { class: "link", href: link("logs", { trace: row.trace_id }) }, "Logs"),
      (row.error_groups ?? []).slice(0, 1).map((group) => h("a", { key: "group", class: "link", href: link("errors", { status: "all", at: group }) }, "Error group")),
      row.open ? h("a", { key: "calls", class: "link", href: link("calls", { q: row.trace_id }) }, "In flight") : null),
    row.truncated ? note(`${plural(row.truncated, "span")} more did not fit: a trace has a bound.`, "warn") : null,
    h("div", { class: at >= 0 ? "split wide" : "", key: "split" },
      h("section", { class: "card", "aria-label": `Trace ${row.trace_id}` },
        h("h2", { class: "name" }, h("span", { class: "breaks" }, row.name, " · ", h("span", { class: "mono copyable breaks" }, row.trace_id)), row.outcome ? outcomePill(row.outcome) : null),
        h("p", { class: "faint", title: fullTime(row.started_at) }, `${clock(row.started_at, now)} · ${duration(row.seconds)} · ${plural(row.spans, "span")}${row.errors ? ` · ${count(row.errors)} failed` : ""}${row.open ? ` · ${count(row.open)} open` : ""}`),
        waterfall(shown, context),
        row.spans > 1 ? h("p", { class: "faint" }, "Underlined: the spans that decided how long it took.") : null),
      at >= 0 ? detail(shown, params) : null),
  ];
}

const back = () => h("a", { class: "btn", key: "back", href: link("traces") }, "← Traces");

function detail({ trace: row }, { at }) {
  const entry = use(`api/v1/traces/${encodeURIComponent(row.trace_id)}/spans/${encodeURIComponent(at)}`, row.open ? 5 : 3600);
  const span = entry.data;
  return h("section", { class: "card detail", key: "detail", tabindex: -1, "aria-label": "Detail of the span" },
    h("h2", { class: "name" }, h("b", { class: "breaks" }, span?.name ?? ""), span?.outcome ? outcomePill(span.outcome) : null,
      h("span", { class: "aside" }, h("button", { type: "button", class: "btn quiet", "aria-label": "Close the detail (Esc)", onclick: () => change({ at: undefined }) }, "×"))),
    span ? carried(span, row) : placeholder(entry, ""));
}

function carried(span, row) {
  const mono = (text) => h("span", { class: "mono breaks" }, text);
  const group = span.attributes["error.group"];
  return [
    pairs(["Duration", num(duration(span.seconds))], ["Busy", span.busy_seconds > 0 && [num(duration(span.busy_seconds)), " of code that ran in it"]],
      ["Starts", [num(duration(span.started_at - row.started_at)), " after the trace"]], ["Kind", words(span.kind)], ["Made by", mono(`${span.target ?? ""} ${span.location ?? ""}`.trim())],
      ["Span ID", h("span", { class: "mono copyable breaks" }, span.span_id)]),
    h("p", { class: "links" }, h("a", { class: "link", href: link("logs", { trace: span.trace_id, span: span.span_id }) }, "Logs of the span"),
      group ? h("a", { class: "link", key: "group", href: link("errors", { status: "all", at: group }) }, "Error group") : null),
    list("Attributes", Object.entries(span.attributes).map(([name, value]) => [name, mono(String(value))])),
    span.events.length ? [h("h3", {}, "Events"), span.events.map((event, i) => h("div", { class: "carried", key: `event ${i}` },
      num(`+${duration(event.at - span.started_at)}`), pill(event.level, event.level, { error: "bad", warn: "warn", info: "info" }[event.level] ?? ""),
      h("span", { class: "breaks" }, event.message ?? "", " ", h("span", { class: "mono faint" }, Object.entries(event.fields).map(([name, value]) => `${name}=${value}`).join(" ")))))] : null,
    list("Links", span.links.map((each) => [words("follows"), each.kept ? h("a", { class: "link mono breaks", href: link("traces", { id: each.trace_id, at: each.span_id }) }, each.trace_id) : mono(`${each.trace_id} (not kept)`)])),
  ];
}

const list = (title, entries) => (entries.length ? [h("h3", {}, title), pairs(...entries)] : null);
