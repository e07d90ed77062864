// Workflows: those that run and the latest that have ended, one of them with its steps, and what became of all by name.

import { h } from "../dom.js";
import { change, link } from "../address.js";
import { count, duration, fullTime, plural } from "../format.js";
import { card, clip, note, num, pairs, pill, placeholder, search, segments, time, truncated } from "../parts.js";
import { progressOf, sayingOf, took } from "../workflow_parts.js";
import { inView, table } from "../windowed.js";
import { use } from "../api.js";
import { every } from "../live.js";

const STATES = [["all", "All"], ["running", "Running"], ["done", "Done"], ["failed", "Failed"], ["cancelled", "Cancelled"], ["lost", "Lost"]];
const FILLS = { running: "--accent", done: "--c-success", failed: "--c-failure", lost: "--c-overload" };
const PAGE = 200;
const ROW_HEIGHT = 32;
// Below this number nobody needs a filter.
const MANY_STEPS = 20;
const SECONDS = 10;

export function workflows(context) {
  const { params } = context;
  const entry = use(`api/v1/workflows?${query(params)}`, SECONDS);
  const rows = withPushed(entry.data?.workflows ?? [], context);
  const open = (changes) => change({ ...changes, at: undefined, step: undefined, before: undefined });
  return [
    h("div", { class: "tools" },
      segments("State", STATES, params.state ?? "all", (state) => open({ state: state === "all" ? undefined : state })),
      search("Search names, steps, attributes, errors, IDs", params.q, (q) => change({ q, before: undefined }, { replace: true }))),
    truncated(entry.data?.missed > 0, `${plural(entry.data?.missed, "workflow is", "workflows are")} not recorded, because too many ran at once.`),
    entry.error && rows.length ? h("p", { class: "note warn", role: "alert" }, entry.error.message) : null,
    params.at ? detail(params.at, rows, context) : null,
    card("Workflows", params.before ? "older ones" : "latest first", rows.length
      ? table({ id: "workflow-rows", label: "Workflows", rows, rowKey: (run) => run.id, selected: params.at, columns: columns(context), sort: params.sort ?? "-started",
        onSort: (sort) => change({ sort }, { replace: true }) })
      : placeholder(entry, params.q || params.state ? "Nothing matches the filter." : "No workflow has run yet."), pages(entry.data, params)),
    statistics(context),
  ];
}

function query({ state, q, before }) {
  const given = Object.entries({ state, q, before, limit: PAGE }).filter(([, value]) => value);
  return new URLSearchParams(given).toString();
}

// What comes with the live connection is newer than the list.
function withPushed(rows, { state, params }) {
  if (params.before) return rows;
  const pushed = new Map((state.workflows?.workflows ?? []).map((run) => [run.id, run]));
  const known = new Set(rows.map((run) => run.id));
  const added = params.q ? [] : [...pushed.values()].filter((run) => !known.has(run.id));
  return [...added, ...rows.map((run) => pushed.get(run.id) ?? run)].filter((run) => !params.state || run.state === params.state);
}

function pages(data, params) {
  if (!data?.next && !params.before) return null;
  return h("div", { class: "acts" },
    params.before ? h("button", { type: "button", key: "latest", class: "btn", onclick: () => change({ before: undefined }) }, "Latest") : null,
    data?.next ? h("button", { type: "button", key: "older", class: "btn", onclick: () => change({ before: data.next }) }, "Older") : null);
}

function columns({ params, now }) {
  return [
    { key: "name", title: "workflow", value: (run) => run.name, cell: (run) => h("a", { class: "clip route mono", title: run.name, href: link("workflows", { ...params, at: run.id, step: undefined }) }, run.name) },
    { key: "state", title: "state", value: (run) => run.state, cell: (run) => [pill(run.state), " ", progressOf(run)] },
    { key: "step", title: "step", cell: (run) => clip(sayingOf(run), run.error_message ? "event hot" : "event") },
    { key: "steps", title: "steps", numeric: true, hide: true, value: (run) => run.step_count, cell: (run) => stepsText(run) },
    // Those that run come first.
    { key: "started", title: "started", numeric: true, hide: true, value: (run) => run.started_at + (run.state === "running" ? 1e12 : 0), cell: (run) => time(run.started_at, now) },
    { key: "took", title: "took", numeric: true, value: (run) => took(run, now), cell: (run) => duration(took(run, now)) },
  ];
}

const stepsText = (run) => (run.expected_steps == null ? count(run.step_count) : `${count(run.steps_done)} of ${count(run.expected_steps)}`);

function detail(id, rows, context) {
  const path = `api/v1/workflows/${encodeURIComponent(id)}`;
  let entry = use(path, 3600);
  const row = rows.find((run) => run.id === id);
  // It changes as long as it runs.
  if (entry.data?.state === "running" || (row && row.state !== entry.data?.state)) entry = use(path, every());
  const run = entry.data;
  const close = h("button", { type: "button", class: "btn quiet", "aria-label": "Close the detail (Esc)", onclick: () => change({ at: undefined, step: undefined }) }, "×");
  if (!run) return h("section", { class: "card detail", key: id, tabindex: -1 }, h("h2", { class: "name" }, h("span", { class: "aside" }, close)), placeholder(entry, "There is no such workflow any more."));
  return h("section", { class: "card detail", key: id, tabindex: -1, "aria-label": `Workflow ${run.name}` },
    h("h2", { class: "name" }, h("b", { class: "mono breaks" }, run.name), pill(run.state), progressOf(run), h("span", { class: "aside" }, close)),
    h("div", { class: "grid g11" },
      pairs(["Started", time(run.started_at, context.now)], [run.state === "lost" ? "Last seen after" : "Took", num(duration(took(run, context.now)))], ["Steps", stepsText(run)],
        ["ID", h("span", { class: "mono copyable" }, run.id)], ["More", links(run)]),
      pairs(...Object.entries(run.attributes).map(([name, value]) => [name, h("span", { class: "mono breaks copyable" }, value)]),
        run.parent && ["Part of", h("a", { class: "link mono", href: link("workflows", { at: run.parent.id }) }, [run.parent.step ?? "workflow", " ", run.parent.id])])),
    run.state === "lost" ? note("The process ended while it ran.", "warn") : null,
    steps(run, context), errorOf(run, context.params));
}

const links = (run) => h("span", { class: "links" }, run.trace_id ? h("a", { class: "link", href: `#traces/${encodeURIComponent(run.trace_id)}` }, "trace") : null,
  run.correlation_id ? h("a", { class: "link", href: link("logs", { correlation_id: run.correlation_id }) }, "logs") : null,
  run.error?.fingerprint ? h("a", { class: "link", href: link("errors", { status: "all", at: run.error.fingerprint }) }, "error group") : null);

// Steps over time, each with what it says.
function steps(run, { params, now }) {
  if (!run.steps.length) return note("It has no steps.");
  const all = run.steps.map((step, index) => ({ ...step, index }));
  const isFiltered = params.only === "1" && all.length > MANY_STEPS;
  const shown = isFiltered ? all.filter((step) => step.state !== "done") : all;
  const total = Math.max(took(run, now), 1e-9);
  const view = inView("step-rows", shown.length, ROW_HEIGHT);
  const spacer = (height) => h("div", { style: { height: `${height}px` } });
  return [
    h("h3", {}, "Steps ", all.length > MANY_STEPS ? segments("Which steps", [["0", `All ${all.length}`], ["1", "Not done"]], isFiltered ? "1" : "0", (only) => change({ only: only === "1" ? "1" : undefined }, { replace: true })) : null),
    h("div", { id: "step-rows" }, spacer(view.above), shown.slice(view.from, view.to).map((step) => stepRow(step, run, total, params, now)), spacer(view.below)),
    truncated(run.dropped > 0, `${plural(run.dropped, "part is", "parts are")} missing: there are limits on steps and texts.`),
  ];
}

function stepRow(step, run, total, params, now) {
  const seconds = step.seconds ?? Math.max(0, now - run.started_at - step.offset_seconds);
  const style = { left: `${Math.min(100, (step.offset_seconds / total) * 100)}%`, width: `${Math.min(100, (seconds / total) * 100)}%`, background: `var(${FILLS[step.state] ?? "--c-cancelled"})` };
  const text = [step.text, progressText(step.progress), step.error?.message].filter(Boolean).join(" · ");
  return h("a", { class: "step", key: step.index, href: link("workflows", { ...params, step: step.index }), "aria-current": params.step === String(step.index) ? "true" : undefined, title: fullTime(run.started_at + step.offset_seconds) },
    h("span", { class: "clip mono", title: step.name, style: { "padding-left": `${Math.min(depth(step, run), 8) * 14}px` } }, step.name), h("span", { class: "track", role: "img", "aria-label": `began after ${duration(step.offset_seconds)}` }, h("i", { style })),
    num(duration(seconds)), h("span", {}, pill(step.state)), clip(text, step.error ? "hot" : "faint"));
}

function depth(step, run) {
  let deep = 0;
  // A parent began before.
  for (let at = step, parent; (parent = run.steps[at.parent]) && deep < 8; at = parent) deep++;
  return deep;
}

const progressText = (progress) => (progress == null ? "" : progress.total == null ? `${Math.round(progress.fraction * 100)} %` : `${count(progress.done)} of ${count(progress.total)}`);

// The error of the step that is selected, or else that of the workflow.
function errorOf(run, params) {
  const step = run.steps[params.step];
  const error = step ? step.error : run.error;
  const child = step?.child ? h("a", { class: "link", href: link("workflows", { at: step.child }) }, "the workflow that began in it") : null;
  if (!error && !step) return null;
  return [
    h("h3", {}, step ? ["Step ", h("span", { class: "mono" }, step.name), " "] : "Error ", child),
    error ? h("pre", { tabindex: 0 }, [`${error.kind}: ${error.message}`, ...error.causes.map((cause, i) => `${"  ".repeat(i)}└ ${cause}`)].join("\n")) : note(step.text ?? "It has no error."),
  ];
}

function statistics({ params }) {
  const entry = use("api/v1/workflows/statistics", SECONDS);
  const rows = entry.data?.workflows ?? [];
  if (!rows.length) return null;
  const number = (key, title, isBad) => ({ key, title, numeric: true, hide: key === "cancelled" || key === "lost", value: (row) => row[key], cell: (row) => h("span", { class: isBad && row[key] > 0 ? "hot" : undefined }, count(row[key])) });
  const seconds = (q) => ({ key: q, title: q, numeric: true, hide: q === "p99", value: (row) => row[`${q}_seconds`], cell: (row) => duration(row[`${q}_seconds`]) });
  return h("div", { class: "gap" }, card("By name", "since the start",
    table({ id: "workflow-names", label: "Workflows by name", rows, rowKey: (row) => row.name, sort: params.names ?? "-running", onSort: (names) => change({ names }, { replace: true }),
      columns: [
        { key: "name", title: "workflow", value: (row) => row.name, cell: (row) => h("a", { class: "clip route mono", title: row.name, href: link("workflows", { q: row.name }) }, row.name) },
        number("running", "running"), number("done", "done"), number("failed", "failed", true), number("cancelled", "cancelled"), number("lost", "lost", true), seconds("p50"), seconds("p95"), seconds("p99"),
        { key: "failing", title: "failing steps", hide: true, cell: (row) => clip(row.failing_steps.map((each) => `${each.step} ${count(each.count)}`).join(", "), "event") },
      ] })));
}
