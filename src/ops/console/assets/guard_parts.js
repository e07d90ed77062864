// How guards are shown: the words and numbers of each kind.

import { h } from "./dom.js";
import { link } from "./address.js";
import { bar } from "./shapes.js";
import { count, duration, number, percent, plural, span, words } from "./format.js";
import { clip, dot, pill, tone } from "./parts.js";

export const isBreaker = (guard) => guard.kind === "circuit_breaker" || guard.kind === "keyed_circuit_breaker";

export const guardLink = (guard, params = {}) => link("guards", { ...params, kind: guard.kind, name: guard.name });

export const guardKey = (guard) => `${guard.kind} ${guard.name} ${guard.key ?? ""}`;

const STATES = ["on", "closed", "disabled", "half_open", "forced_open", "open"];

// Orders guards: those that reject calls come first.
export const severity = (guard) => STATES.indexOf(guard.state) * 10 + (guard.held_until ? 1 : 0) + (isBreaker(guard) ? 0.5 : 0);

export const failedShare = ({ stats = {} }) => (stats.calls > 0 ? stats.failures / stats.calls : null);

const sentences = {
  circuit_breaker: ({ stats, state }) => (state === "half_open" ? `probing: ${count(stats.calls)} completed, ${count(stats.probes_in_flight)} in flight` : stats.calls > 0 ? `${percent(failedShare({ stats }))} of ${plural(stats.calls, "call")} failed` : "no calls in the window"),
  keyed_circuit_breaker: ({ stats }) => `${count(stats.keys)} of ${plural(stats.max_keys, "key")}, ${count(stats.open)} open`,
  timeout: ({ stats }) => [stats.limit_seconds == null ? "no limit" : duration(stats.limit_seconds), elapsed(stats)].join(", "),
  retry: ({ stats }) => [plural(stats.retries ?? 0, "retry", "retries"), stats.budget_available == null ? null : `${count(stats.budget_available)} left in the budget`].filter(Boolean).join(", "),
  fallback: ({ stats }) => `${plural(stats.served ?? 0, "call")} served, ${count(stats.failed)} failed`,
};

function elapsed(stats) {
  const known = ["limit_seconds", "rejected"];
  const total = Object.entries(stats).filter(([name, value]) => !known.includes(name) && typeof value === "number").reduce((sum, [, value]) => sum + value, 0);
  return total ? `elapsed ${plural(total, "time")}` : "never elapsed";
}

// One line on what a guard does now.
export function sentence(guard) {
  const known = sentences[guard.kind];
  if (known) return known({ stats: guard.stats ?? {}, state: guard.state });
  return Object.entries(guard.stats ?? {}).slice(0, 3).map(([name, value]) => `${words(name)} ${stat(name, value)}`).join(", ");
}

// Formats a stat by its name.
export function stat(name, value) {
  if (value == null) return "–";
  if (typeof value !== "number") return words(value);
  if (name.endsWith("_seconds")) return duration(value);
  if (/_(ratio|rate|rate_threshold)$/.test(name)) return percent(value);
  return Number.isInteger(value) ? count(value) : number(value);
}

export const statName = (name) => words(name.replace(/_seconds$/, ""));

// A row of a list of guards.
export function guardRow(guard) {
  return h("a", { key: guardKey(guard), href: guardLink(guard) }, dot(tone(guard.state)),
    h("span", { class: "t" }, clip(guard.key == null ? guard.name : `${guard.name} [${guard.key}]`), clip(`${words(guard.kind)} · ${sentence(guard)}`, "s")),
    rightSide(guard));
}

function rightSide(guard) {
  const { stats = {} } = guard;
  if (isBreaker(guard)) return pill(guard.state);
  if (stats.budget_available != null && stats.budget_capacity) return budgetBar(stats);
  return guard.state === "on" ? null : pill(guard.state);
}

export const budgetBar = (stats) => bar(stats.budget_available / stats.budget_capacity,
  { fill: stats.budget_available < stats.budget_capacity / 4 ? "--warn" : "--accent", label: `${stats.budget_available} of ${stats.budget_capacity} left` });

// How long a state that an operator forced still lasts.
export const heldText = (guard, now) => (guard.held_until ? `held by an operator for another ${span(Math.max(0, guard.held_until - now))}` : null);
