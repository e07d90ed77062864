// The metrics explorer: every family that the process records, as lines over time.

import { h } from "../dom.js";
import { change, link } from "../address.js";
import { LINE_COLORS, lines, valueUnderCursor } from "../charts.js";
import { count, plural, withUnit, words } from "../format.js";
import { card, clip, note, num, pairs, placeholder, search, time, truncated } from "../parts.js";
import { inView } from "../windowed.js";
import { use } from "../api.js";

const ROW_HEIGHT = 50;
const AGGREGATIONS = { counter: ["rate", "sum"], gauge: ["avg", "min", "max", "sum"], histogram: ["p95", "p50", "p99", "rate", "avg", "max"] };
const STEPS = { "5m": 2, "1h": 20, "24h": 300, "7d": 3600, "90d": 43200 };

export function metrics(context) {
  const { params } = context;
  const entry = use("api/v1/metrics", 30);
  const families = (entry.data?.families ?? []).filter((family) => matches(family, params.q)).sort((a, b) => a.name.localeCompare(b.name));
  const selected = entry.data?.families?.find((family) => family.name === params.name);
  return [
    h("div", { class: "tools" }, search("Filter by name or description", params.q, (q) => change({ q }, { replace: true }))),
    h("div", { class: "split narrow" },
      card("Families", families.length ? plural(families.length, "metric") : "", families.length ? list(families, context) : placeholder(entry, params.q ? "Nothing matches the filter." : "No metrics are recorded yet.")),
      selected ? explorer(selected, context) : h("div", { class: "card" }, h("p", { class: "nothing" }, params.name ? "There is no such metric." : "Choose a metric to see it over time."))),
  ];
}

const matches = (family, q) => !q || `${family.name} ${family.help ?? ""}`.toLowerCase().includes(q.toLowerCase());

function list(families, { params }) {
  const view = inView("family-rows", families.length, ROW_HEIGHT);
  return h("div", { id: "family-rows", class: view.isWindowed ? "rows windowed low" : "rows" },
    h("div", { class: "spacer", style: { height: `${view.above}px` } }),
    families.slice(view.from, view.to).map((family) => h("a", { key: family.name, class: "group", href: link("metrics", { range: params.range, q: params.q, name: family.name }), "aria-current": family.name === params.name ? "true" : undefined },
      h("span", { class: "t" }, clip(family.name, "mono"), clip([family.kind, family.unit, plural(family.series, "series", "series")].filter(Boolean).join(" · "), "s")))),
    h("div", { class: "spacer", style: { height: `${view.below}px` } }));
}

function explorer(family, context) {
  const { params } = context;
  const allowed = AGGREGATIONS[family.kind] ?? ["avg"];
  const agg = allowed.includes(params.agg) ? params.agg : allowed[0];
  const range = params.range ?? "5m";
  const entry = use(address(family, agg, range, params), range === "5m" ? 2 : 15);
  const unit = agg === "rate" ? null : family.unit;
  const found = (entry.data?.series ?? []).map((series) => ({ label: labelText(series.labels), points: series.points }));
  const biggest = found.sort((a, b) => lastValue(b) - lastValue(a));
  const id = `metric ${family.name} ${agg}`;
  return h("section", { class: "card", "aria-label": family.name },
    h("h2", { class: "name" }, h("span", { class: "mono breaks" }, family.name), h("span", { class: "kind" }, [family.kind, family.unit].filter(Boolean).join(", "))),
    family.help ? h("p", { class: "faint" }, family.help) : null,
    form(allowed, agg, params),
    entry.error && entry.data ? note(entry.error.message, "warn") : null,
    found.length ? [lines(id, biggest, (value) => withUnit(value, unit), context.redraw), legend(id, biggest, unit)] : placeholder(entry, "No series match."),
    truncated(entry.data?.truncated, "There are more series than are returned. Group by fewer labels, or filter."),
    biggest.length > LINE_COLORS.length ? note(`The chart shows the ${LINE_COLORS.length} largest of ${count(biggest.length)} series; the list shows all.`) : null,
    family.kind === "histogram" ? examples(family, context) : null);
}

// Calls whose values are in the histogram, as far as their traces are kept: the largest first.
function examples(family, { now }) {
  const kept = (use(`api/v1/metrics/${encodeURIComponent(family.name)}`, 15).data?.examples ?? []).filter((each) => each.trace_kept);
  if (!kept.length) return null;
  return [h("h3", { key: "examples" }, "Examples"), pairs(...kept.slice(0, 8).map((each) => [withUnit(each.value, family.unit),
    [h("a", { class: "link mono breaks", title: labelText(each.labels), href: link("traces", { id: each.trace_id }) }, each.trace_id), " ", time(each.at, now)]]))];
}

function address(family, agg, range, { by, filter }) {
  const query = new URLSearchParams({ name: family.name, agg, range, step: STEPS[range] });
  if (split(by).length) query.set("by", split(by).join(","));
  for (const each of split(filter)) query.append("filter", each);
  return `api/v1/metrics/query?${query}`;
}

const split = (text) => (text ?? "").split(",").map((part) => part.trim()).filter(Boolean);

// Asked when the field is left or Enter is pressed: half a filter is no filter.
function form(allowed, agg, { by, filter }) {
  const field = (name, label, value, hint) => h("label", {}, label, h("input", { value: value ?? "", placeholder: hint, onchange: (event) => change({ [name]: event.target.value.trim() }, { replace: true }) }));
  return h("div", { class: "query" },
    h("label", {}, "Show", h("select", { value: agg, onchange: (event) => change({ agg: event.target.value }, { replace: true }) }, allowed.map((each) => h("option", { value: each }, each === "rate" ? "rate per second" : words(each))))),
    field("by", "Group by", by, "http_route, outcome"), field("filter", "Filter", filter, "kind=server"));
}

function labelText(labels = {}) {
  const parts = Object.entries(labels).map(([name, value]) => `${name}=${value}`);
  return parts.join(", ") || "all";
}

const lastValue = (line) => line.points.findLast(([, value]) => value != null)?.[1] ?? -Infinity;

function legend(id, found, unit) {
  return h("ul", { class: "series" }, found.slice(0, 100).map((line, i) => h("li", { key: line.label },
    h("i", { class: "swatch", style: { background: LINE_COLORS[i] ? `var(${LINE_COLORS[i]})` : "transparent" } }), clip(line.label, "mono"), num(withUnit(i < LINE_COLORS.length ? valueUnderCursor(id, line) : lastValue(line), unit)))));
}
