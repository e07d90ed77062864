// Small drawings in SVG: sparklines and bars. Drawings over time with axes are in charts.js.

import { h } from "./dom.js";
import { clock, duration, fullTime, words } from "./format.js";

const WIDTH = 100;
const HEIGHT = 30;

// Draws values as a line with an area below it, without axes.
export function spark(values, stroke, className = "spark") {
  const known = (values ?? []).filter((value) => value != null);
  const svg = (...inner) => h("svg", { class: className, viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" }, inner);
  if (known.length < 2) return svg();
  const max = Math.max(...known);
  const min = Math.min(...known);
  const range = max - min || Math.abs(max) || 1;
  const x = (i) => ((i / (values.length - 1)) * WIDTH).toFixed(1);
  const y = (value) => (HEIGHT - 3 - ((value - min) / range) * (HEIGHT - 7)).toFixed(1);
  const runs = splitAtGaps(values);
  const line = runs.map((run) => run.map(([i, value], n) => `${n ? "L" : "M"}${x(i)} ${y(value)}`).join("")).join("");
  const area = runs.map((run) => `M${x(run[0][0])} ${HEIGHT}${run.map(([i, value]) => `L${x(i)} ${y(value)}`).join("")}L${x(run.at(-1)[0])} ${HEIGHT}Z`).join("");
  return svg(
    h("path", { d: area, class: "area", style: { fill: `var(${stroke})` } }),
    h("path", { d: line, class: "line-path", style: { stroke: `var(${stroke})` } }),
  );
}

function splitAtGaps(values) {
  const runs = [];
  let run = null;
  values.forEach((value, i) => {
    if (value == null) run = null;
    else if (run) run.push([i, value]);
    else runs.push((run = [[i, value]]));
  });
  return runs;
}

// Draws a share of something as a bar; `mark` is where its limit is.
export function bar(share, { fill = "--accent", mark, label, wide } = {}) {
  const width = `${Math.min(100, Math.max(0, (share ?? 0) * 100))}%`;
  return h("span", { class: wide ? "bar wide" : "bar", role: "img", "aria-label": label },
    h("i", { style: { width, background: `var(${fill})` } }),
    mark == null ? null : h("u", { style: { left: `${Math.min(100, mark * 100)}%` } }));
}

const STATE_FILLS = { closed: "--c-success", open: "--c-failure", forced_open: "--c-failure", half_open: "--c-overload", disabled: "--c-rejected" };

// Draws the states since a time, an hour ago or the start, from left to right.
export function strip(parts, since, now) {
  const text = `Last ${duration(now - since)}: ${parts.map(([state, share]) => `${words(state)} ${Math.round(share * 100)} %`).join(", ")}`;
  // Of a young process both ends would be in the same minute.
  const end = (at) => h("span", {}, clock(at).slice(0, now - since < 600 ? 8 : 5));
  return h("div", {},
    h("div", { class: "strip", role: "img", "aria-label": text, title: text },
      parts.map(([state, share]) => h("i", { style: { width: `${share * 100}%`, background: `var(${STATE_FILLS[state] ?? "--c-cancelled"})` } }))),
    h("div", { class: "strip-ends", title: fullTime(now) }, end(since), end(now)));
}

const ICONS = {
  overview: "M2 13V9m4 4V5m4 8V7m4 6V3",
  routes: "M2 4h12M2 8h12M2 12h7",
  guards: "M8 1.8 13 4v4c0 3.2-2.3 5.4-5 6.4C5.3 13.4 3 11.2 3 8V4z",
  errors: "M8 2a6 6 0 1 0 0 12A6 6 0 1 0 8 2M8 4.7v4M8 11v.5",
  alerts: "M4 11V7.5a4 4 0 0 1 8 0V11l1.2 1.5H2.8zM6.8 14h2.4",
  traces: "M2 4h9M5 8h9M7 12h5",
  health: "M1.5 8h3l2-4.5 3 9 2-4.500h3",
  journal: "M3 3h10v10H3zM5.5 6h5M5.5 8.5h5M5.5 11h3",
  logs: "M2 4h2m2 0h8M2 8h2m2 0h8M2 12h2m2 0h5",
  workflows: "M2 3h4v3H2zM10 6.500h4v3h-4zM2 10h4v3H2zM6 4.500h2v7H6M8 8h2",
  calls: "M8 2a6 6 0 1 0 0 12A6 6 0 1 0 8 2M8 5v3l2 1.5",
  metrics: "M2 12 6 7l3 3 5-6",
  notifications: "M4 11V7a4 4 0 0 1 8 0v4l1.500 1.500h-11zM7 14h2",
};

export const icon = (name) => h("svg", { class: "icon", viewBox: "0 0 16 16", "aria-hidden": "true" }, h("path", { d: ICONS[name] }));

export const logo = () => h("svg", { class: "logo", viewBox: "0 0 20 20", "aria-hidden": "true" },
  h("path", { d: "M3 2h3v2h2V2h4v2h2V2h3v5l-2 2v9h-4v-4a1 1 0 0 0-2 0v4H5V9L3 7z" }));
