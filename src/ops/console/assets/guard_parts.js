// How guards are shown: the words and numbers of each kind.

import { h } from "./dom.js";
import { link } from "./address.js";
import { bar } from "./shapes.js";
import { bytes, count, duration, number, percent, plural, span, words } from "./format.js";
import { clip, dot, num, pill, tone } from "./parts.js";

export const isBreaker = (guard) => guard.kind.endsWith("circuit_breaker");

export const guardLink = (guard, params = {}) => link("guards", { ...params, kind: guard.kind, name: guard.name });

export const guardKey = (guard) => `${guard.kind} ${guard.name} ${guard.key ?? ""}`;

// Chaos is as it should be while it is off.
export const guardTone = ({ kind, state }) => (kind === "chaos" && state === "on" ? "warn" : tone(state));

export const isQuiet = (guard) => ["", "ok"].includes(guardTone(guard));

// Orders guards: those that reject calls come first.
export const severity = (guard) => ["", "ok", "info", "warn", "bad"].indexOf(guardTone(guard)) * 10 + (guard.held_until ? 1 : 0) + (isBreaker(guard) ? 0.5 : 0);

export const failedShare = ({ stats = {} }) => (stats.calls > 0 ? stats.failures / stats.calls : null);

const sentences = {
  circuit_breaker: (stats, guard) => (guard.state === "half_open" ? `probing${settingOf(guard, "probes") ? ` with up to ${plural(settingOf(guard, "probes"), "call")}` : ""}` : openedInRow(guard) ? `${count(stats.consecutive_failures)} of ${plural(openedInRow(guard), "failure")} in a row` : stats.calls > 0 ? `${percent(failedShare(guard))} of ${plural(stats.calls, "call")} failed` : "no calls in the window"),
  keyed_circuit_breaker: (stats) => `${ofKeys(stats)}, ${count(stats.open)} open`,
  timeout: (stats) => elapsed(stats),
  retry: (stats) => plural(stats.retries ?? 0, "retry", "retries"),
  fallback: (stats) => `${plural(stats.served ?? 0, "call")} served, ${count(stats.failed)} failed`,
  bulkhead: (stats) => list(`${count(stats.in_flight)} running`, stats.queued != null && `${count(stats.queued)} queued`, seconds("waits", stats.recent_wait_seconds), seconds("runs", stats.recent_run_seconds)),
  rate_limit: (stats) => list(stats.rate_per_second != null && `${number(stats.rate_per_second)}/s${stats.keys == null ? "" : ` for each key, ${ofKeys(stats)}`}`),
  hedge: (stats) => list(seconds("after", stats.delay_seconds), `${plural(stats.sent ?? 0, "hedge")} sent, ${count(stats.won)} won`),
  throttle: (stats) => (stats.rejection_rate > 0 ? `${percent(stats.rejection_rate)} rejected` : "nothing rejected"),
  chaos: (stats) => list(...Object.entries(stats).filter(([name, value]) => name.endsWith("_rate") && value > 0).map(([name, value]) => `${statName(name)} ${stat(name, value)}`)) || "no faults are set",
};

// The limit of failures in a row, of a breaker that they opened.
export const openedInRow = (guard) => (guard.state === "open" && guard.stats?.reason === "consecutive_failures" && guard.stats.consecutive_failures > 0 ? settingOf(guard, "consecutive_failures") : null);

const ofKeys = (stats) => `${count(stats.keys)} of ${plural(stats.max_keys, "key")}`;
const list = (...parts) => parts.filter(Boolean).join(", ");
const seconds = (verb, value) => value > 0 && `${verb} ${duration(value)}`;

function elapsed(stats) {
  const known = ["limit_seconds", "rejected"];
  const total = Object.entries(stats).filter(([name, value]) => !known.includes(name) && typeof value === "number").reduce((sum, [, value]) => sum + value, 0);
  return total ? `elapsed ${plural(total, "time")}` : "never elapsed";
}

export const settingOf = (guard, name) => guard.settings?.find((setting) => setting.name === name)?.value;

// One line on what a guard does now.
export function sentence(guard) {
  const { stats = {}, kind } = guard;
  const { rejected, ...others } = stats;
  const text = sentences[kind === "keyed_rate_limit" ? "rate_limit" : kind]?.(stats, guard) ?? list(...Object.entries(others).slice(0, 3).map(([name, value]) => `${statName(name)} ${stat(name, value)}`));
  // The card of a breaker has a line for them.
  return list(kind !== "circuit_breaker" && rejected > 0 && `${count(rejected)} rejected`, text);
}

// The unit of a stat or a setting, by its name, in which a person types it.
export const unitOf = (name) => (/(^|_)(ratio|rate|rate_threshold)$/.test(name) ? "percent" : words(/_(seconds|bytes|per_second)$/.exec(name)?.[1] ?? ""));

// Formats a stat by its name.
export function stat(name, value) {
  if (value == null) return "–";
  if (typeof value !== "number") return words(value);
  const unit = unitOf(name);
  if (unit === "per second") return `${number(value)}/s`;
  return ({ seconds: duration, bytes, percent }[unit] ?? (Number.isInteger(value) ? count : number))(value);
}

// What chaos counts is named by the fault alone.
const INJECTED = { latency: "delays injected", error: "errors injected", response: "responses injected", hang: "hangs injected", panic: "panics injected", body_cut: "bodies cut", body_slow: "bodies slowed" };

export const statName = (name, kind) => (kind === "chaos" && INJECTED[name]) || words(name.replace(/_(seconds|bytes|per_second)$/, ""));

// A setting that an operator may change: its value, and what is allowed.
export const valueText = ({ name, value }) => (value == null ? "off" : stat(name, value));
export const rangeText = ({ name, min, max, can_be_off: canBeOff }) => `${stat(name, min)} to ${stat(name, max)}${canBeOff ? ", or off" : ""}`;

// How full a guard is: what is used or left, of how much, and from which share on it is nearly at its end.
const LEVELS = {
  bulkhead: ({ in_flight, limit }) => [in_flight, limit, in_flight >= limit * 0.9],
  rate_limit: ({ available, burst }) => [available, burst, available < burst / 4],
  keyed_rate_limit: ({ keys, max_keys: max }) => [keys, max, keys >= max * 0.9],
  retry: ({ budget_available: left, budget_capacity: all }) => [left, all, left < all / 4],
};

function level({ kind, stats = {} }) {
  const [value, all, isNear] = LEVELS[kind]?.(stats) ?? [];
  if (value == null || !all) return null;
  return [bar(value / all, { fill: isNear ? "--warn" : "--accent", label: `${value} of ${all}` }), num(`${count(value)}/${count(all)}`)];
}

// A row of a list of guards, with what can be done at its end.
export function guardRow(guard, more) {
  const as = guardTone(guard);
  return h("div", { key: guardKey(guard), class: "row" }, dot(as),
    h("a", { class: "t", href: guardLink(guard) }, clip(guard.key == null ? guard.name : `${guard.name} [${guard.key}]`), clip(list(words(guard.kind), sentence(guard)).replace(", ", " · "), "s")),
    level(guard), guard.kind === "timeout" ? num(stat("_seconds", guard.stats?.limit_seconds)) : null,
    guard.stats?.mode === "shadow" ? pill("shadow") : null, isBreaker(guard) || as !== "ok" ? pill(guard.state, words(guard.state), as) : null, more);
}

// How long a state that an operator forced still lasts.
export const heldText = (guard, now) => (guard.held_until ? `held by an operator for another ${span(Math.max(0, guard.held_until - now))}` : null);
