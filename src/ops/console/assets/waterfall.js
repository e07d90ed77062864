// The spans of a trace as rows with bars over time. Only rows in view are in the document, whatever the number of spans.

import { h } from "./dom.js";
import { change } from "./address.js";
import { duration, plural, words } from "./format.js";
import { clip, pill } from "./parts.js";
import { inView } from "./windowed.js";
import { changed } from "./store.js";

const ROW_HEIGHT = 27;
// More spans than this are collapsed to the depths that have no more.
const MAX_OPEN = 200;
// Deeper spans keep the indent of this depth, or nothing would be left for their names.
const MAX_INDENT = 12;

const models = new WeakMap();

// What is computed of a trace once: depths, where the spans below each one end, those on the critical path, and which are folded.
export function modelOf(trace) {
  let model = models.get(trace);
  if (!model) models.set(trace, (model = makeModel(trace.spans, trace.trace.seconds * 1e6)));
  return model;
}

function makeModel(spans, total) {
  const length = spans.id.length;
  const depth = new Array(length);
  const last = new Array(length);
  const children = Array.from({ length }, () => []);
  for (let at = 0; at < length; at++) {
    const parent = spans.parent[at];
    depth[at] = parent == null ? 0 : depth[parent] + 1;
    if (parent != null) children[parent].push(at);
  }
  // Parents come before their children.
  for (let at = length - 1; at >= 0; at--) last[at] = children[at].length ? last[children[at].at(-1)] : at;
  const end = spans.start.map((start, at) => (spans.micros[at] == null ? total : start + spans.micros[at]));
  return { spans, depth, last, children, end, total: Math.max(total, ...end.slice(0, 1)), critical: criticalPath(children, spans, end), folded: foldedAt(depth, children) };
}

// The spans that decide how long the whole takes: from the end backwards, the child that ended last, and what it waited for.
function criticalPath(children, spans, end) {
  const path = new Set();
  const stack = spans.id.length ? [[0, Infinity]] : [];
  while (stack.length) {
    const [at, limit] = stack.pop();
    path.add(at);
    let until = Math.min(limit, end[at]);
    for (const child of [...children[at]].sort((a, b) => end[b] - end[a])) {
      if (end[child] > until) continue;
      stack.push([child, until]);
      until = spans.start[child];
    }
  }
  return path;
}

function foldedAt(depth, children) {
  const counts = [];
  for (const each of depth) counts[each] = (counts[each] ?? 0) + 1;
  if (depth.length <= MAX_OPEN) return new Set();
  let shown = counts[0];
  let deepest = 0;
  while (deepest + 1 < counts.length && shown + counts[deepest + 1] <= MAX_OPEN) shown += counts[++deepest];
  // What is below one span only would be a page with one row.
  if (deepest === 0 && counts[0] === 1) deepest = 1;
  return new Set(depth.flatMap((each, at) => (each === deepest && children[at].length ? [at] : [])));
}

// The rows that are not below a folded one.
function rowsOf({ spans, folded, last }) {
  const rows = [];
  for (let at = 0; at < spans.id.length; at++) {
    rows.push(at);
    if (folded.has(at)) at = last[at];
  }
  return rows;
}

export function fold(model, at, isFolded = !model.folded.has(at)) {
  if (!model.children[at].length) return;
  if (isFolded) model.folded.add(at);
  else model.folded.delete(at);
  changed();
}

// Folds all, or none.
export function foldAll(model, isFolded) {
  model.folded.clear();
  if (isFolded) model.children.forEach((children, at) => { if (children.length) model.folded.add(at); });
  changed();
}

// Opens what is above a span, so that it has a row.
export function reveal(model, at) {
  for (let up = model.spans.parent[at]; up != null; up = model.spans.parent[up]) model.folded.delete(up);
}

export function waterfall(trace, { params }) {
  const model = modelOf(trace);
  const selected = params.at ? model.spans.id.indexOf(params.at) : -1;
  const rows = rowsOf(model);
  const range = rangeOf(params, model);
  const view = inView("spans", rows.length, ROW_HEIGHT);
  return h("div", { class: "waterfall", role: "treegrid", tabindex: 0, "aria-label": "Spans", "aria-rowcount": rows.length, onkeydown: (event) => onKey(event, model, rows, selected) },
    axis(range, model),
    h("div", { id: "spans", role: "rowgroup" },
      h("div", { key: "above", style: { height: `${view.above}px` } }),
      rows.slice(view.from, view.to).map((at, i) => row(trace, model, at, range, at === selected, view.from + i + 1)),
      h("div", { key: "below", style: { height: `${view.below}px` } })));
}

function row(trace, model, at, range, isSelected, index) {
  const { spans, depth, children, end, folded } = model;
  const name = trace.names[spans.name[at]];
  const isOpen = spans.micros[at] == null;
  const text = [duration((end[at] - spans.start[at]) / 1e6), isOpen ? "open" : spans.outcome[at] && spans.outcome[at] !== "success" ? words(spans.outcome[at]) : ""].filter(Boolean).join(" · ");
  const hasChildren = children[at].length > 0;
  return h("div", { key: spans.id[at], role: "row", "aria-level": depth[at] + 1, "aria-rowindex": index, "aria-selected": String(isSelected), "aria-expanded": hasChildren ? String(!folded.has(at)) : undefined,
    class: ["span", isSelected && "sel", spans.error[at] && "failed", isOpen && "open"].filter(Boolean).join(" "), onclick: () => change({ at: spans.id[at] }) },
    h("div", { class: "n", role: "gridcell", style: { "padding-left": `min(${Math.min(depth[at], MAX_INDENT) * 16}px, calc(100% - 100px))` } },
      h("button", { type: "button", class: "fold", tabindex: -1, "aria-hidden": hasChildren ? undefined : "true", "aria-label": folded.has(at) ? "Expand" : "Collapse", onclick: (event) => { event.stopPropagation(); fold(model, at); } }, hasChildren ? (folded.has(at) ? "▸" : "▾") : ""),
      depth[at] > MAX_INDENT ? h("span", { class: "faint", title: "depth" }, depth[at]) : null,
      clip(name), spans.kind[at] === "internal" ? null : pill("", spans.kind[at], ""),
      spans.attempt[at] ? pill("", `attempt ${spans.attempt[at]}`, "") : null,
      folded.has(at) ? h("span", { class: "faint" }, `+${model.last[at] - at}`) : null),
    h("div", { class: "x", role: "gridcell", title: `${name}: ${text}` }, bars(model, at, range, text)));
}

// The bar of a span, what of it is on the critical path, and its time beside it.
function bars({ spans, end, critical }, at, [from, to], text) {
  const percent = (time) => ((time - from) / (to - from)) * 100;
  const left = Math.max(percent(spans.start[at]), -1);
  const right = Math.min(percent(end[at]), 101);
  if (right < 0 || left > 100) return null;
  const place = { left: `${left}%`, width: `${Math.max(0, right - left)}%` };
  const label = right < 82 ? { left: `calc(${right}% + 6px)` } : left > 18 ? { right: `calc(${100 - left}% + 6px)` } : { left: `calc(${Math.max(0, left)}% + 6px)` };
  const isInside = right >= 82 && left <= 18;
  return [h("i", { style: place }), critical.has(at) ? h("u", { style: place }) : null, h("span", { class: isInside ? "inside" : undefined, style: label }, text)];
}

function rangeOf({ from, to }, { total }) {
  const [begin, end] = [Number(from), Number(to)];
  return end > begin && begin >= 0 ? [begin, end] : [0, Math.max(total, 1)];
}

// The times above the bars. Drawing over them zooms in.
function axis(range, model) {
  const [from, to] = range;
  const time = (event, el) => from + Math.min(1, Math.max(0, (event.clientX - el.getBoundingClientRect().left) / el.clientWidth)) * (to - from);
  const drag = (event) => {
    const el = event.currentTarget;
    const begin = time(event, el);
    el.setPointerCapture(event.pointerId);
    const mark = el.appendChild(document.createElement("b"));
    el.onpointermove = (move) => {
      const [a, b] = [begin, time(move, el)].sort((x, y) => x - y).map((t) => ((t - from) / (to - from)) * 100);
      mark.style.setProperty("left", `${a}%`);
      mark.style.setProperty("width", `${b - a}%`);
    };
    el.onpointerup = (up) => {
      el.onpointermove = el.onpointerup = null;
      mark.remove();
      const [a, b] = [begin, time(up, el)].sort((x, y) => x - y);
      if (b - a > (to - from) / 100) change({ from: Math.floor(a), to: Math.ceil(b) });
    };
  };
  return h("div", { class: "axis", key: "axis", "aria-hidden": "true" }, h("div", {}, plural(model.spans.id.length, "span")),
    h("div", { class: "x", title: "Drag to zoom", onpointerdown: drag, ondblclick: () => change({ from: undefined, to: undefined }) },
      [0, 0.25, 0.5, 0.75].map((part) => h("span", { key: part, style: { left: `${part * 100}%` } }, duration((from + part * (to - from)) / 1e6)))));
}

// Zooms around the middle of what is shown; a factor above 1 shows more.
export function zoom(trace, params, factor) {
  const model = modelOf(trace);
  const [from, to] = rangeOf(params, model);
  const half = ((to - from) * factor) / 2;
  const middle = (from + to) / 2;
  const [begin, end] = [Math.max(0, Math.floor(middle - half)), Math.min(model.total, Math.ceil(middle + half))];
  const isAll = begin <= 0 && end >= model.total;
  if (end - begin >= 2) change(isAll ? { from: undefined, to: undefined } : { from: begin, to: end }, { replace: true });
}

function onKey(event, model, rows, selected) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const index = rows.indexOf(selected);
  const go = (to) => select(model, rows[Math.min(rows.length - 1, Math.max(0, to))], Math.min(rows.length - 1, Math.max(0, to)));
  const page = Math.max(1, Math.floor(innerHeight / ROW_HEIGHT) - 4);
  const moves = { ArrowDown: index + 1, ArrowUp: index - 1, PageDown: index + page, PageUp: index - page, Home: 0, End: rows.length - 1 };
  if (event.key in moves) go(moves[event.key]);
  else if (selected >= 0 && event.key === "ArrowRight") model.folded.has(selected) ? fold(model, selected, false) : go(index + 1);
  else if (selected >= 0 && event.key === "ArrowLeft") {
    if (model.children[selected].length && !model.folded.has(selected)) fold(model, selected, true);
    else go(rows.indexOf(model.spans.parent[selected] ?? selected));
  } else return;
  event.preventDefault();
  event.stopPropagation();
}

function select(model, at, index) {
  change({ at: model.spans.id[at] }, { replace: true });
  const top = document.getElementById("spans").getBoundingClientRect().top + index * ROW_HEIGHT;
  // Below the bar and the times, which stay.
  if (top < 100) scrollBy(0, top - 100);
  else if (top > innerHeight - 2 * ROW_HEIGHT) scrollBy(0, top - innerHeight + 2 * ROW_HEIGHT);
}
