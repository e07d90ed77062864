// Guards: a card for each circuit breaker, rows for the rest, and everything about the one that is selected.

import { h } from "../dom.js";
import { change } from "../address.js";
import { bar, strip } from "../shapes.js";
import { count, percent, plural, span, words } from "../format.js";
import { card, clip, note, num, pairs, pill, placeholder, search, segments, time, tone, truncated } from "../parts.js";
import { inView } from "../windowed.js";
import { failedShare, guardKey, guardLink, guardRow, heldText, isBreaker, sentence, severity, stat, statName } from "../guard_parts.js";
import { askControl, controlsOf } from "../dialogs.js";

// With the gap; the style sheet has the same.
const CARD_HEIGHT = 344;
const ROW_HEIGHT = 56;
const FILTERS = [["all", "All"], ["attention", "Not closed"], ["breakers", "Breakers"], ["limits", "Others"]];

export function guards(context) {
  const { state, params } = context;
  const all = state.guards?.guards;
  if (!all?.length) return placeholder({ loading: !state.at }, "No guards are registered. Circuit breakers, retries, time limits and fallbacks appear here when they are built.");
  const found = all.filter((guard) => matches(guard, params)).sort((a, b) => severity(b) - severity(a) || a.name.localeCompare(b.name));
  const selected = all.filter((guard) => guard.name === params.name && (!params.kind || guard.kind === params.kind));
  const breakers = found.filter(isBreaker);
  const others = found.filter((guard) => !isBreaker(guard));
  return [
    h("div", { class: "tools" },
      segments("Which", FILTERS, params.show ?? "all", (show) => change({ show: show === "all" ? undefined : show })),
      search("Filter by name, kind or state", params.q, (q) => change({ q }, { replace: true })),
      h("span", { class: "faint" }, `${plural(found.length, "guard")}`)),
    controlNote(state.status),
    truncated(state.guards.truncated, "There are more guards than are shown: the list is bounded."),
    selected.map((guard) => detail(guard, context)),
    breakers.length ? cards(breakers, context) : null,
    others.length ? h("div", { class: "gap" }, rows(others, context)) : null,
    found.length ? null : placeholder({}, "Nothing matches the filter."),
  ];
}

function controlNote(status) {
  if (status?.role !== "operator" || status.controls) return null;
  return note("Controls are off in this process: nothing can be changed from here.");
}

function matches(guard, { q, show }) {
  if (show === "attention" && ["closed", "on"].includes(guard.state)) return false;
  if (show === "breakers" && !isBreaker(guard)) return false;
  if (show === "limits" && isBreaker(guard)) return false;
  return !q || `${guard.name} ${guard.key ?? ""} ${words(guard.kind)} ${words(guard.state)}`.toLowerCase().includes(q.toLowerCase());
}

// As many columns as the style sheet makes.
const cardColumns = () => (innerWidth <= 720 ? 1 : innerWidth <= 1080 ? 2 : 3);

function cards(breakers, context) {
  const view = inView("guard-cards", breakers.length, CARD_HEIGHT, cardColumns());
  return h("div", { id: "guard-cards", key: "cards" },
    h("div", { style: { height: `${view.above}px` } }),
    h("div", { class: view.isWindowed ? "grid g3 windowed" : "grid g3" }, breakers.slice(view.from, view.to).map((guard) => breakerCard(guard, context))),
    h("div", { style: { height: `${view.below}px` } }));
}

function breakerCard(guard, context) {
  const controls = controlsOf(guard, context.state.status);
  return h("section", { key: guardKey(guard), class: `card guard ${tone(guard.state)}`, "aria-label": `${words(guard.kind)} ${guard.name}` },
    h("div", { class: "h" }, h("b", { class: "clip", title: guard.name }, h("a", { href: guardLink(guard, keptParams(context)) }, guard.name)), clip(guard.key ?? words(guard.kind), "kind"), h("span", { class: "sp" }),
      guard.stats?.mode === "shadow" ? pill("shadow") : null, pill(guard.state)),
    share(guard),
    facts(guard, context),
    guard.strip?.length ? strip(guard.strip, context.now) : null,
    controls.length ? h("div", { class: "acts" }, controls.map((control) => button(control, guard))) : null);
}

const newestFirst = (transitions) => [...(transitions ?? [])].sort((a, b) => b.at - a.at);

const keptParams = ({ params }) => ({ q: params.q, show: params.show });

const button = (control, guard) => h("button", { type: "button", key: control.action, class: `btn ${control.className ?? ""}`, onclick: () => askControl(control, guard) }, control.text);

// The share of calls that failed beside its limit, or how far the probes are.
function share(guard) {
  const { stats = {} } = guard;
  const failed = failedShare(guard);
  // Probes are decided by another rule.
  const limit = guard.state === "half_open" ? null : stats.failure_rate_threshold;
  const isHigh = guard.state === "open" || guard.state === "forced_open" || (limit != null && failed > limit);
  return h("div", {},
    h("div", { class: "ends" }, h("span", {}, sentence(guard)), limit == null ? null : h("span", {}, `limit ${percent(limit)}`)),
    guard.kind === "circuit_breaker" ? bar(failed, { fill: isHigh ? "--bad" : guard.state === "half_open" ? "--warn" : "--ok", mark: limit, label: `${percent(failed)} failed`, wide: true }) : null);
}

function facts(guard, { state, now }) {
  const { stats = {} } = guard;
  const [last] = newestFirst(guard.transitions);
  const openFor = stats.open_for_seconds == null ? null : Math.max(0, stats.open_for_seconds - (now - (state.guards?.receivedAt ?? now)));
  return pairs(
    last && ["Since", [time(last.at, now), last.reason ? ` · ${words(last.reason)}` : ""]],
    !last && stats.reason && ["Reason", words(stats.reason)],
    openFor != null && ["Next probe", num(`in ${span(openFor)}`)],
    stats.probes_in_flight > 0 && ["Probes in flight", num(count(stats.probes_in_flight))],
    guard.held_until && ["Held", heldText(guard, now)],
    stats.rejected != null && ["Rejected", num(count(stats.rejected))],
    stats.slow > 0 && ["Slow", num(`${percent(stats.slow / stats.calls)} of the calls`)],
    stats.consecutive_failures > 0 && ["Failures in a row", num(count(stats.consecutive_failures))],
    stats.last_error && ["Last error", clip(stats.last_error, "mono")],
  );
}

function rows(others, context) {
  const view = inView("guard-rows", others.length, ROW_HEIGHT);
  return card("Limits, retries and fallbacks", count(others.length), h("div", { id: "guard-rows", class: view.isWindowed ? "rows windowed" : "rows" },
    h("div", { class: "spacer", style: { height: `${view.above}px` } }),
    others.slice(view.from, view.to).map((guard) => guardRow(guard, context.now)),
    h("div", { class: "spacer", style: { height: `${view.below}px` } })));
}

// All stats of a guard, its transitions and its controls.
function detail(guard, context) {
  const { now, state } = context;
  const transitions = newestFirst(guard.transitions);
  const controls = controlsOf(guard, state.status);
  return h("section", { class: "card detail", tabindex: -1, key: `detail ${guardKey(guard)}`, "aria-label": `Detail of ${words(guard.kind)} ${guard.name}` },
    h("h2", { class: "name" }, h("span", { class: "breaks" }, guard.name, guard.key == null ? "" : ` [${guard.key}]`), h("span", { class: "kind" }, words(guard.kind)), pill(guard.state), guard.stats?.mode === "shadow" ? pill("shadow") : null,
      h("span", { class: "aside" }, h("button", { type: "button", class: "btn quiet", "aria-label": "Close the detail (Esc)", onclick: () => change({ name: undefined, kind: undefined }) }, "×"))),
    guard.held_until ? note(`${words(guard.state)}, ${heldText(guard, now)}.`, "warn") : null,
    h("div", { class: "grid g11" },
      pairs(...Object.entries(guard.stats ?? {}).map(([name, value]) => [statName(name), h("span", { class: "num breaks" }, stat(name, value))])),
      isBreaker(guard) && h("div", {}, h("h3", {}, "Transitions"), transitions.length
        ? h("div", { class: "lines" }, transitions.slice(0, 20).map((each) => h("div", { class: "line", key: `${each.at} ${each.key} ${each.to}` }, time(each.at, now), h("span", { class: `dot ${tone(each.to)}` }),
          h("span", { class: "breaks" }, `${each.key == null ? "" : `${each.key}: `}${words(each.from)} → ${words(each.to)}, ${words(each.reason)}`, each.last_error ? `: ${each.last_error}` : ""))))
        : h("p", { class: "nothing" }, "None since the start."))),
    controls.length ? h("div", { class: "acts" }, controls.map((control) => button(control, guard))) : null);
}
