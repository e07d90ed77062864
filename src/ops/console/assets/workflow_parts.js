// How workflows are shown in rows.

import { h } from "./dom.js";
import { link } from "./address.js";
import { duration, percent } from "./format.js";
import { clip, dot, pill, tone } from "./parts.js";
import { bar } from "./shapes.js";

export const took = (run, now) => run.seconds ?? Math.max(0, now - run.started_at);

// What it does, or what went wrong.
export function sayingOf(run) {
  const step = [run.step, run.text].filter(Boolean).join(" · ");
  return run.error_message ? [run.step, run.error_message].filter(Boolean).join(": ") : step;
}

export function progressOf(run) {
  if (run.state !== "running") return null;
  const share = run.progress ?? run.step_progress;
  return share == null ? null : bar(share, { label: `${percent(share)} done` });
}

export function workflowRow(run, now) {
  return h("a", { key: run.id, href: link("workflows", { at: run.id }) }, dot(tone(run.state)),
    h("span", { class: "t" }, clip(run.name), clip(sayingOf(run), "s")), progressOf(run), h("span", { class: "num when" }, duration(took(run, now))), pill(run.state));
}
