// Long lists: only the rows that can be seen are in the document. Rows have one height, so that where each one lies is known
// without drawing it.

import { h } from "./dom.js";
import { changed } from "./store.js";

// Below this number all rows are drawn.
const MIN_ITEMS = 60;
// Pixels above and below the window that are drawn too; rows come and go in blocks of half of that.
const MARGIN = 600;

// The rows of each list that are in the document: `[first, last]` by id.
const drawn = new Map();

// Rows that are in view, and the heights that stand for those above and below: `id` names the element that holds them.
export function inView(id, total, rowHeight, columns = 1) {
  const rows = Math.ceil(total / columns);
  if (total <= MIN_ITEMS) return { from: 0, to: total, above: 0, below: 0, isWindowed: false };
  const [first, last] = rowsInView(id, rows, rowHeight);
  drawn.set(id, { first, last, rows, rowHeight });
  return { from: first * columns, to: Math.min(total, last * columns), above: first * rowHeight, below: (rows - last) * rowHeight, isWindowed: true };
}

function rowsInView(id, rows, rowHeight) {
  const top = document.getElementById(id)?.getBoundingClientRect().top ?? 0;
  const block = Math.max(1, Math.round(MARGIN / 2 / rowHeight));
  const row = (y, round) => clamp(round((y - top) / rowHeight / block) * block, rows);
  return [row(-MARGIN, Math.floor), row(innerHeight + MARGIN, Math.ceil)];
}

const clamp = (row, rows) => Math.min(rows, Math.max(0, row));

// Draws again when other rows come into view.
export function watchScroll() {
  addEventListener("scroll", () => {
    for (const [id, { first, last, rows, rowHeight }] of drawn) {
      if (!document.getElementById(id)) drawn.delete(id);
      else if (String(rowsInView(id, rows, rowHeight)) !== String([first, last])) return changed();
    }
  }, { passive: true });
  addEventListener("resize", changed, { passive: true });
}

// A table with sorting: columns are `{ key, title, value, cell, numeric, hide }`. `sort` is a key, with `-` in front if
// the largest comes first.
export function table({ id, label, columns, rows, sort, onSort, rowKey, rowHeight = 37, selected }) {
  const isDescending = sort.startsWith("-");
  const by = columns.find((column) => column.key === sort.replace("-", "")) ?? columns[0];
  const sorted = by.value ? [...rows].sort((a, b) => compare(by.value(a), by.value(b)) * (isDescending ? -1 : 1)) : rows;
  const view = inView(id, sorted.length, rowHeight);
  const spacer = (height, key) => (height > 0 ? h("tr", { key, class: "spacer", "aria-hidden": "true" }, h("td", { colspan: columns.length, style: { height: `${height}px` } })) : null);
  return h("div", { class: "scroll-x", tabindex: 0, role: "region", "aria-label": label },
    h("table", { "aria-rowcount": sorted.length + 1 },
      h("thead", {}, h("tr", { "aria-rowindex": 1 }, columns.map((column) => head(column, by, isDescending, onSort)))),
      h("tbody", { id }, spacer(view.above, "above"),
        sorted.slice(view.from, view.to).map((row, i) => h("tr", { key: `row ${rowKey(row)}`, "aria-rowindex": view.from + i + 2, class: rowKey(row) === selected ? "sel" : undefined },
          columns.map((column) => h("td", { class: cellClass(column) }, column.cell(row))))),
        spacer(view.below, "below"))));
}

const cellClass = (column) => [column.numeric ? "num" : "", column.hide ? "hide-s" : ""].join(" ").trim() || undefined;

function head(column, by, isDescending, onSort) {
  const isSorted = column === by && column.value;
  const next = isSorted ? (isDescending ? column.key : `-${column.key}`) : column.numeric ? `-${column.key}` : column.key;
  return h("th", { scope: "col", class: cellClass(column), "aria-sort": isSorted ? (isDescending ? "descending" : "ascending") : undefined },
    column.value ? h("button", { type: "button", onclick: () => onSort(next) }, column.title) : column.title);
}

// Unknown values come last where the largest is first.
function compare(a, b) {
  if (a == null || b == null) return (a == null ? 0 : 1) - (b == null ? 0 : 1);
  return typeof a === "string" ? a.localeCompare(b) : a - b;
}
