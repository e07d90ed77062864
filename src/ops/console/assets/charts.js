// Charts over time, drawn by uPlot: calls by outcome, latency, and any series of the metrics explorer.

import { h } from "./dom.js";
import { LOWER, OUTCOMES, UPPER } from "./outcomes.js";
import { clock, count, duration, number, words } from "./format.js";
import { isDark } from "./settings.js";

const AXIS = 52;
const CURSOR_GROUP = "time";

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const sumOf = (values) => values.reduce((sum, value) => sum + (value ?? 0), 0);

// A hook that keeps a uPlot chart in an element: makes it anew when its shape or the theme changes, resizes it with the
// element and else only gives it new data.
function chartHook(options) {
  const build = (el, data) => {
    el.$chart?.destroy();
    const width = Math.max(el.clientWidth, 60);
    const made = options(data, el);
    el.$chart = new uPlot({ width, height: data.height, legend: { show: false }, ...made.options }, made.data, el);
    el.$shape = shape(data);
  };
  const shape = (data) => `${isDark()} ${data.height} ${data.shape ?? ""}`;
  return {
    mount(el, data) {
      if (!el.isConnected) return;
      build(el, data);
      el.$data = data;
      el.$observer = new ResizeObserver(() => el.clientWidth && el.$chart.setSize({ width: el.clientWidth, height: el.$data.height }));
      el.$observer.observe(el);
    },
    update(el, data) {
      if (!el.$chart || el.$data?.stamp === data.stamp && el.$shape === shape(data)) return;
      el.$data = data;
      if (el.$shape !== shape(data)) build(el, data);
      else el.$chart.setData(options(data, el).data);
    },
    unmount(el) {
      el.$observer?.disconnect();
      el.$chart?.destroy();
      el.$chart = null;
    },
  };
}

function timeAxis() {
  return {
    stroke: color("--faint"), grid: { show: false }, ticks: { show: false }, size: 22, gap: 5, space: 58, font: `11px ${color("--mono")}`,
    values: (_, splits, __, ___, step) => splits.map((at) => (step < 60 ? clock(at) : clock(at).slice(0, 5))),
  };
}

function valueAxis(more) {
  return {
    stroke: color("--faint"), grid: { stroke: color("--line"), width: 1 }, ticks: { show: false }, size: AXIS, gap: 7,
    font: `11px ${color("--mono")}`, ...more,
  };
}

function cursor(onIndex) {
  return {
    y: false, drag: { setScale: false, x: false, y: false }, points: { size: 6 }, sync: { key: CURSOR_GROUP },
    move: (u, left, top) => { onIndex?.(left < 0 ? null : u.posToIdx(left)); return [left, top]; },
  };
}

// Draws the marks of events: a dashed line and, where there is room, the text to its left.
function drawMarks(u, marks) {
  const { ctx, bbox } = u;
  const ratio = devicePixelRatio || 1;
  ctx.save();
  ctx.font = `600 ${11 * ratio}px ${color("--sans")}`;
  ctx.textAlign = "right";
  ctx.textBaseline = "top";
  let free = bbox.left;
  for (const mark of [...marks].sort((a, b) => a.at - b.at)) {
    const x = Math.round(u.valToPos(mark.at, "x", true));
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.strokeStyle = ctx.fillStyle = color(mark.severity === "critical" ? "--bad" : mark.severity === "warning" ? "--warn" : "--muted");
    ctx.setLineDash([3 * ratio, 3 * ratio]);
    ctx.lineWidth = ratio;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    const text = String(mark.text ?? "").slice(0, 60);
    const width = ctx.measureText(text).width + 10 * ratio;
    if (x - width >= free) ctx.fillText(text, x - 5 * ratio, bbox.top);
    // No text is drawn over the line of another mark either.
    free = x + 4 * ratio;
  }
  ctx.restore();
}

// The smallest round number that is not below `value`, so that the scale does not move with each point.
function roundUp(value) {
  if (!(value > 0)) return 1;
  const unit = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 4, 6, 8, 10].find((step) => step * unit >= value) * unit;
}

// Adds up columns from the bottom: the value of each is where its area ends.
function stack(columns, length) {
  const below = new Array(length).fill(0);
  return columns.map((column) => Array.from({ length }, (_, i) => (column[i] == null ? null : (below[i] += column[i]))));
}

const largest = (columns) => columns.reduce((most, column) => column.reduce((max, value) => (value > max ? value : max), most), 0);

function times(overview, length) {
  return Array.from({ length }, (_, i) => overview.end - (length - 1 - i) * overview.step);
}

// Where the two bands are: the upper one begins a little above the middle, the lower one ends a little below it.
const UPPER_FROM = 0.54;
const LOWER_TO = 0.46;

function outcomesChart({ overview, onIndex }, el) {
  const length = Math.max(0, ...Object.values(overview.calls).map((column) => column.length));
  const columns = (names) => names.map((name) => overview.calls[name] ?? []);
  const upper = stack(columns(UPPER), length);
  const lower = stack(columns(LOWER), length);
  el.$bands = { upper: roundUp(largest(upper)), lower: roundUp(largest(lower)), marks: overview.marks ?? [] };
  const at = (share, top, from, to) => ({ min: -(from / (to - from)) * top, max: ((1 - from) / (to - from)) * top, share });
  // The axis is that of the upper band; the ticks of the lower one are converted to it.
  const lowerTick = (value) => {
    const { upper: top, lower: low } = el.$bands;
    const scale = at(0, top, UPPER_FROM, 1);
    return scale.min + ((scale.max - scale.min) * LOWER_TO * value) / low;
  };
  const ticks = () => [0, el.$bands.lower / 2, el.$bands.lower, 0, el.$bands.upper / 2, el.$bands.upper];
  const area = (name, scale, fill) => ({ scale, fill: color(fill), stroke: color(`--c-${name}`), width: 1, points: { show: false }, label: words(name), fillTo: () => 0 });
  const data = [times(overview, length), ...upper.reverse(), ...lower.reverse()];
  const options = {
    scales: {
      x: { time: true, range: (_, min, max) => [min, max] },
      upper: { range: () => { const s = at(0, el.$bands.upper, UPPER_FROM, 1); return [s.min, s.max]; } },
      lower: { range: () => [0, el.$bands.lower / LOWER_TO] },
    },
    axes: [timeAxis(), valueAxis({
      scale: "upper",
      splits: () => { const t = ticks(); return [...t.slice(0, 3).map(lowerTick), ...t.slice(3)]; },
      values: () => ticks().map(number),
      filter: (_, splits) => splits,
    })],
    // The tallest of a stack first: each covers what is behind it.
    series: [{}, ...[...UPPER].reverse().map((name) => area(name, "upper", name === "success" ? "--c-success-area" : `--c-${name}`)),
      ...[...LOWER].reverse().map((name) => area(name, "lower", `--c-${name}`))],
    cursor: cursor(onIndex),
    padding: [6, 4, 0, 0],
    hooks: { draw: [(u) => drawMarks(u, el.$bands.marks)] },
  };
  return { options, data };
}

const LATENCY_COLORS = { p50: "--c-success", p95: "--c-rejected", p99: "--c-timed_out" };

function latencyChart({ overview, onIndex }, el) {
  const names = Object.keys(LATENCY_COLORS);
  const length = overview.latency.p50?.length ?? 0;
  // A logarithmic scale has no zero.
  const positive = (column) => column.map((value) => (value == null ? null : Math.max(value, 1e-6)));
  el.$marks = (overview.marks ?? []).map((mark) => ({ ...mark, text: "" }));
  const options = {
    scales: { x: { time: true, range: (_, min, max) => [min, max] }, y: { distr: 3, range: decades } },
    axes: [timeAxis(), valueAxis({ grid: { stroke: color("--line"), width: 1, filter: decadesOnly }, filter: decadesOnly, values: (_, splits) => splits.map((value) => (value == null ? "" : duration(value))), size: 60 })],
    series: [{}, ...names.map((name) => ({ label: name, stroke: color(LATENCY_COLORS[name]), width: 1.8, points: { show: false } }))],
    cursor: cursor(onIndex),
    padding: [6, 4, 0, 0],
    hooks: { draw: [(u) => drawMarks(u, el.$marks)] },
  };
  return { options, data: [times(overview, length), ...names.map((name) => positive(overview.latency[name] ?? []))] };
}

const decadesOnly = (_, splits) => splits.map((value) => (isDecade(value) ? value : null));
const isDecade = (value) => Math.abs(Math.log10(value) - Math.round(Math.log10(value))) < 1e-9;

// Whole powers of ten around the data: 1 ms to 1 s where there is none.
function decades(_, min, max) {
  if (min == null || max == null) return [1e-3, 1];
  return [10 ** Math.floor(Math.log10(min)), 10 ** Math.ceil(Math.log10(max) + 1e-9)];
}

function linesChart({ lines, format, onIndex }) {
  const at = [...new Set(lines.flatMap((line) => line.points.map(([time]) => time)))].sort((a, b) => a - b);
  const values = lines.map((line) => {
    const known = new Map(line.points);
    return at.map((time) => known.get(time) ?? null);
  });
  const options = {
    scales: { x: { time: true, range: (_, min, max) => [min, max] }, y: { range: (_, min, max) => (min == null ? [0, 1] : [Math.min(0, min), max > min || max > 0 ? max * 1.08 : 1]) } },
    axes: [timeAxis(), valueAxis({ values: (_, splits) => splits.map(format), size: 66 })],
    series: [{}, ...lines.map((line) => ({ label: line.label, stroke: color(line.color), width: 1.8, points: { show: false } }))],
    cursor: cursor(onIndex),
    padding: [6, 4, 0, 0],
  };
  return { options, data: [at, ...values] };
}

const outcomesHook = chartHook(outcomesChart);
const latencyHook = chartHook(latencyChart);
const linesHook = chartHook(linesChart);

// The values under the cursor, by chart; the newest ones if it is elsewhere.
const pointed = new Map();

function pointer(id, redraw) {
  return (index) => {
    if (pointed.get(id) === index) return;
    pointed.set(id, index);
    redraw();
  };
}

function valueAt(id, column, within = Infinity) {
  const index = pointed.get(id);
  if (index != null) return column[index];
  for (let i = column.length - 1; i >= Math.max(0, column.length - within); i--) if (column[i] != null) return column[i];
  return null;
}

// Points of the last 10 s: what is older is not now.
const recentPoints = ({ step }) => Math.ceil(10 / step) + 1;

const legendItem = (fill, name, value) => h("li", {}, h("i", { class: "swatch", style: { background: `var(${fill})` } }), name, " ", h("b", {}, value));

const hasValues = (columns) => columns.some((column) => column?.some((value) => value != null));
const nothing = (text, height) => h("p", { class: "nothing", style: { height: `${height}px` } }, text);

const stampOf = (overview) => `${overview.end} ${overview.step} ${(overview.marks ?? []).map((mark) => mark.seq ?? mark.at)}`;

export function outcomes(overview, redraw, height = 190) {
  const columns = OUTCOMES.map((name) => overview.calls?.[name] ?? []);
  if (!hasValues(columns)) return nothing("No calls yet. The chart begins with the first one.", height);
  const used = OUTCOMES.filter((name, i) => name === "success" || columns[i].some((value) => value > 0));
  return [
    h("div", { class: "chart", role: "img", "aria-label": outcomesText(overview), hook: outcomesHook,
      data: { overview, height, stamp: stampOf(overview), shape: `${overview.step}`, onIndex: pointer("outcomes", redraw) } }),
    h("ul", { class: "legend" }, used.map((name) => legendItem(`--c-${name}`, words(name), number(valueAt("outcomes", overview.calls[name] ?? [], recentPoints(overview)))))),
  ];
}

function outcomesText(overview) {
  const last = (name) => valueAt("none", overview.calls[name] ?? [], recentPoints(overview));
  const bad = sumOf(LOWER.map(last));
  return `Calls per second by outcome: ${number(sumOf(UPPER.map(last)))} succeeded, ${number(bad)} did not.`;
}

export function latency(overview, redraw, height = 190) {
  const names = Object.keys(LATENCY_COLORS);
  const columns = names.map((name) => overview.latency?.[name] ?? []);
  if (!hasValues(columns)) return nothing("No call is complete yet.", height);
  const values = names.map((name, i) => [name, valueAt("latency", columns[i], recentPoints(overview))]);
  return [
    h("div", { class: "chart", role: "img", "aria-label": `Latency: ${names.map((name, i) => `${name} ${duration(valueAt("none", columns[i], recentPoints(overview)))}`).join(", ")}.`,
      hook: latencyHook, data: { overview, height, stamp: stampOf(overview), shape: `${overview.step}`, onIndex: pointer("latency", redraw) } }),
    h("ul", { class: "legend" }, values.map(([name, value]) => legendItem(LATENCY_COLORS[name], name, duration(value)))),
  ];
}

export const LINE_COLORS = ["--accent", "--c-failure", "--c-success", "--c-timed_out", "--c-overload", "--c-rejected", "--c-panicked", "--c-cancelled"];

// Draws lines `{ label, points }` in up to eight colors; the table below it, which the view makes, names them.
export function lines(id, lines, format, redraw, height = 240) {
  const colored = lines.slice(0, LINE_COLORS.length).map((line, i) => ({ ...line, color: LINE_COLORS[i] }));
  if (!hasValues(colored.map((line) => line.points.map(([, value]) => value)))) return nothing("No values in this range.", height);
  const ends = colored.map((line) => `${line.points.length} ${line.points.at(-1)}`).join();
  return h("div", { class: "chart", role: "img", "aria-label": `${plainCount(colored.length)} over time`, hook: linesHook,
    data: { lines: colored, format, height, stamp: `${id} ${ends}`, shape: `${id} ${colored.map((line) => line.label)}`, onIndex: pointer(id, redraw) } });
}

export const valueUnderCursor = (id, line) => valueAt(id, line.points.map(([, value]) => value));

const plainCount = (n) => `${count(n)} series`;
