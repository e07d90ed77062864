// Guards: a card for each circuit breaker, rows for the rest, and everything about the one that is selected.

import { h } from "../dom.js";
import { change } from "../address.js";
import { bar, strip } from "../shapes.js";
import { count, duration, percent, plural, span, words } from "../format.js";
import { card, clip, note, num, pairs, pill, placeholder, search, segments, time, tone, truncated } from "../parts.js";
import { inView } from "../windowed.js";
import { failedShare, guardKey, guardLink, guardRow, guardTone, heldText, isBreaker, isQuiet, openedInRow, rangeText, sentence, settingOf, severity, stat, statName, valueText } from "../guard_parts.js";
import { askControl, askSetting, controlsOf, maySwitch } from "../dialogs.js";

// With the gap, with controls and without; the style sheet has the same.
const CARD_HEIGHTS = [344, 284];
const ROW_HEIGHT = 56;
const FILTERS = [["all", "All"], ["attention", "Need attention"], ["breakers", "Breakers"], ["limits", "Others"]];

export function guards(context) {
  const { state, params } = context;
  const all = state.guards?.guards;
  if (!all?.length) return placeholder({ loading: !state.at }, "No guards are registered. Circuit breakers, retries, time limits and fallbacks appear here when they are built.");
  const found = all.filter((guard) => matches(guard, params)).sort((a, b) => severity(b) - severity(a) || a.name.localeCompare(b.name));
  const selected = all.filter((guard) => guard.name === params.name && (!params.kind || guard.kind === params.kind));
  const breakers = found.filter(isBreaker);
  const times = found.filter((guard) => guard.kind === "timeout");
  const limits = found.filter((guard) => !isBreaker(guard) && guard.kind !== "timeout");
  return [
    h("div", { class: "tools" },
      segments("Which", FILTERS, params.show ?? "all", (show) => change({ show: show === "all" ? undefined : show })),
      search("Filter by name, kind or state", params.q, (q) => change({ q }, { replace: true })),
      h("span", { class: "faint" }, `${plural(found.length, "guard")}`)),
    controlNote(state.status),
    truncated(state.guards.truncated, "There are more guards than are shown: the list is bounded."),
    selected.map((guard) => detail(guard, context)),
    breakers.length ? cards(breakers, context) : null,
    h("div", { class: "grid g11 gap" }, rows("Limits and budgets", "guard-limits", limits, context), rows("Time limits", "guard-times", times, context)),
    found.length ? null : placeholder({}, "Nothing matches the filter."),
  ];
}

function controlNote(status) {
  if (status?.role !== "operator" || status.controls) return null;
  return note("Controls are off in this process: nothing can be changed from here.");
}

function matches(guard, { q, show }) {
  if (show === "attention" && isQuiet(guard)) return false;
  if (show === "breakers" && !isBreaker(guard)) return false;
  if (show === "limits" && isBreaker(guard)) return false;
  return !q || `${guard.name} ${guard.key ?? ""} ${words(guard.kind)} ${words(guard.state)}`.toLowerCase().includes(q.toLowerCase());
}

// As many columns as the style sheet makes.
const cardColumns = () => (innerWidth <= 720 ? 1 : innerWidth <= 1080 ? 2 : 3);

function cards(breakers, context) {
  const isShort = !maySwitch(context.state.status);
  const view = inView("guard-cards", breakers.length, CARD_HEIGHTS[Number(isShort)], cardColumns());
  return h("div", { id: "guard-cards", key: "cards" },
    h("div", { style: { height: `${view.above}px` } }),
    h("div", { class: `grid g3 ${view.isWindowed ? "windowed" : ""} ${isShort ? "short" : ""}` }, breakers.slice(view.from, view.to).map((guard) => breakerCard(guard, context))),
    h("div", { style: { height: `${view.below}px` } }));
}

function breakerCard(guard, context) {
  const controls = controlsOf(guard, context.state.status);
  return h("section", { key: guardKey(guard), class: `card guard ${guardTone(guard)}`, "aria-label": `${words(guard.kind)} ${guard.name}` },
    h("div", { class: "h" }, h("b", { class: "clip", title: guard.name }, h("a", { href: guardLink(guard, keptParams(context)) }, guard.name)), clip(guard.key ?? words(guard.kind), "kind"),
      guard.stats?.mode === "shadow" ? pill("shadow") : null, pill(guard.state)),
    share(guard),
    facts(guard, context),
    guard.strip?.length ? strip(guard.strip, Math.max(context.now - 3600, context.state.status?.started_at ?? 0), context.now) : null,
    controls.length ? h("div", { class: "acts" }, controls.map((control) => button(control, guard))) : null);
}

const newestFirst = (transitions) => [...(transitions ?? [])].sort((a, b) => b.at - a.at);

const keptParams = ({ params }) => ({ q: params.q, show: params.show });

const button = (control, guard) => {
  const [action, text, , className] = control;
  return h("button", { type: "button", key: action, class: `btn ${className ?? ""}`, onclick: () => askControl(control, guard) }, text);
};

// The share of calls that failed beside its limit. While it probes, the numbers are still those of before.
function share(guard) {
  const { stats = {} } = guard;
  const failed = failedShare(guard);
  // Probes and failures in a row are decided by other rules.
  const limit = guard.state === "half_open" || openedInRow(guard) ? null : stats.failure_rate_threshold;
  const isHigh = guard.state === "open" || guard.state === "forced_open" || (limit != null && failed > limit);
  return h("div", {},
    h("div", { class: "ends" }, h("span", {}, sentence(guard)), limit == null ? null : h("span", {}, `limit ${percent(limit)}`)),
    guard.kind === "circuit_breaker" ? guard.state === "half_open" ? null : bar(failed, { fill: isHigh ? "--bad" : "--ok", mark: limit, label: `${percent(failed)} failed`, wide: true }) : null);
}

function facts(guard, { state, now }) {
  const { stats = {} } = guard;
  const [last] = newestFirst(guard.transitions);
  const openFor = stats.open_for_seconds == null ? null : Math.max(0, stats.open_for_seconds - (now - (state.guards?.receivedAt ?? now)));
  return pairs(
    last && ["Since", [time(last.at, now), last.reason ? ` · ${words(last.reason)}` : ""]],
    !last && stats.reason && ["Reason", words(stats.reason)],
    openFor != null && ["Next probe", num(openFor >= 0.05 ? `in ${span(openFor)}` : "now")],
    stats.probes_in_flight > 0 && ["Probes in flight", num(count(stats.probes_in_flight))],
    guard.held_until && ["Held", heldText(guard, now)],
    stats.rejected != null && ["Rejected", num(count(stats.rejected))],
    stats.slow > 0 && ["Slow", num(`${percent(stats.slow / stats.calls)} over ${duration(settingOf(guard, "slow_call_seconds"))}`)],
    stats.consecutive_failures > 0 && ["Failures in a row", num(count(stats.consecutive_failures))],
    stats.last_error && ["Last error", clip(stats.last_error, "mono")],
  );
}

function rows(title, id, all, { state }) {
  if (!all.length) return null;
  const view = inView(id, all.length, ROW_HEIGHT);
  return card(title, count(all.length), h("div", { id, class: view.isWindowed ? "rows windowed" : "rows" },
    h("div", { class: "spacer", style: { height: `${view.above}px` } }),
    all.slice(view.from, view.to).map((guard) => guardRow(guard, changeButton(guard, guard.settings?.[0], state.status))),
    h("div", { class: "spacer", style: { height: `${view.below}px` } })));
}

function changeButton(guard, setting, status) {
  if (!setting || !maySwitch(status)) return null;
  const text = guard.kind === "bulkhead" && setting.name === "limit" ? "Resize…" : "Change…";
  return h("button", { type: "button", class: "btn quiet", "aria-label": `${text} ${statName(setting.name)} of ${guard.name}`, onclick: () => askSetting(guard, setting) }, text);
}

// What operators can change, with what is allowed; the others only see it.
function settings(guard, { state }) {
  if (!guard.settings?.length) return null;
  return [h("h3", {}, "Settings"), h("div", { class: "rows settings" }, guard.settings.map((setting) => h("div", { key: setting.name, class: "row" },
    h("span", { class: "t" }, clip(statName(setting.name)), clip(rangeText(setting), "s")), num(valueText(setting)), changeButton(guard, setting, state.status))))];
}

// All stats of a guard, its transitions and its controls.
function detail(guard, context) {
  const { now, state } = context;
  const transitions = newestFirst(guard.transitions);
  const controls = controlsOf(guard, state.status);
  return h("section", { class: "card detail", tabindex: -1, key: `detail ${guardKey(guard)}`, "aria-label": `Detail of ${words(guard.kind)} ${guard.name}` },
    h("h2", { class: "name" }, h("span", { class: "breaks" }, guard.name, guard.key == null ? "" : ` [${guard.key}]`), h("span", { class: "kind" }, words(guard.kind)), pill(guard.state, words(guard.state), guardTone(guard)), guard.stats?.mode === "shadow" ? pill("shadow") : null,
      h("span", { class: "aside" }, h("button", { type: "button", class: "btn quiet", "aria-label": "Close the detail (Esc)", onclick: () => change({ name: undefined, kind: undefined }) }, "×"))),
    isBreaker(guard) ? null : h("p", { class: "faint" }, sentence(guard)),
    guard.held_until ? note(`${words(guard.state)}, ${heldText(guard, now)}.`, "warn") : null,
    h("div", { class: "grid g11" },
      pairs(...Object.entries(guard.stats ?? {}).map(([name, value]) => [statName(name, guard.kind), value == null ? null : h("span", { class: "num breaks" }, stat(name, value))])),
      h("div", {}, settings(guard, context), isBreaker(guard) && [h("h3", {}, "Transitions"), transitions.length
        ? h("div", { class: "lines" }, transitions.slice(0, 20).map((each) => h("div", { class: "line", key: `${each.at} ${each.key} ${each.to}` }, time(each.at, now), h("span", { class: `dot ${tone(each.to)}` }),
          h("span", { class: "breaks" }, `${each.key == null ? "" : `${each.key}: `}${words(each.from)} → ${words(each.to)}, ${words(each.reason)}`, each.last_error ? `: ${each.last_error}` : ""))))
        : h("p", { class: "nothing" }, "None since the start.")])),
    controls.length ? h("div", { class: "acts" }, controls.map((control) => button(control, guard))) : null);
}
