// Alerts: those that fire and those that did, with what happened to each, silences, and the rules with what they saw last.

import { h } from "../dom.js";
import { change, link } from "../address.js";
import { ago, count, duration, fullTime, plural, span, withUnit, words } from "../format.js";
import { card, clip, dot, num, pairs, pill, placeholder, search, segments, time, timeAgo, tone } from "../parts.js";
import { inView, table } from "../windowed.js";
import { use } from "../api.js";
import { every } from "../live.js";
import { channelsCard } from "./notifications.js";
import { askAlert, askEndSilence, askSilence, maySwitch } from "../dialogs.js";

const STATES = [["firing", "Firing"], ["resolved", "Resolved"], ["all", "All"]];
const ROW_HEIGHT = 56;
const SECONDS = 10;

export function alerts(context) {
  const { params } = context;
  const state = params.state ?? "firing";
  const entry = alertsOf(context, state);
  const found = (entry.data?.alerts ?? []).filter((alert) => matches(alert, params));
  const at = params.at ?? (found[0] && keyOf(found[0]));
  return [
    h("div", { class: "tools" },
      segments("State", STATES, state, (value) => change({ state: value === "firing" ? undefined : value, at: undefined })),
      segments("Severity", [["", "Any severity"], ["warning", "Warning"], ["critical", "Critical"]], params.severity ?? "", (severity) => change({ severity, at: undefined })),
      search("Filter by rule, text or label", params.q, (q) => change({ q }, { replace: true }))),
    h("div", { class: "split" },
      card("Alerts", totalText(entry.data, found), found.length ? list(found, at, context) : placeholder(entry, emptyText(entry.data, params, state))),
      at ? detail(at, context) : null),
    silences(context),
    rules(context),
    h("div", { class: "gap" }, channelsCard(context)),
  ];
}

// What fires comes with the live connection, if it is not too much.
function alertsOf({ state }, wanted) {
  const pushed = state.alerts;
  if (wanted === "firing" && pushed && pushed.alerts.length === pushed.total) return { data: pushed };
  return use(`api/v1/alerts?state=${encodeURIComponent(wanted)}&limit=1000`, SECONDS);
}

// An alert that is over may have come several times.
const keyOf = (alert) => (alert.state === "resolved" ? `${alert.fingerprint}-${alert.seq}` : alert.fingerprint);

const totalText = (data, found) => (data?.total > found.length ? `${count(found.length)} of ${count(data.total)}` : null);

function emptyText(data, params, state) {
  if (data?.rules === 0) return "There are no rules. OpsBuilder::rule adds them.";
  if (params.q || params.severity) return "Nothing matches the filter.";
  return state === "firing" ? "Nothing fires." : "None.";
}

function matches(alert, { q, severity }) {
  if (severity && alert.severity !== severity) return false;
  return !q || `${alert.rule} ${alert.summary} ${Object.entries(alert.labels).map((pair) => pair.join("=")).join(" ")}`.toLowerCase().includes(q.toLowerCase());
}

function list(found, at, { params, now }) {
  const view = inView("alert-rows", found.length, ROW_HEIGHT);
  return h("div", { id: "alert-rows", class: view.isWindowed ? "rows windowed" : "rows" },
    h("div", { class: "spacer", style: { height: `${view.above}px` } }),
    found.slice(view.from, view.to).map((alert) => h("a", { key: keyOf(alert), class: "group", href: link("alerts", { ...params, at: keyOf(alert) }), "aria-current": keyOf(alert) === at ? "true" : undefined },
      dot(alert.state === "resolved" ? "ok" : tone(alert.severity)),
      h("span", { class: "t" }, clip(alert.summary, "strong"), clip([alert.rule, alert.severity, ago(changedAt(alert), now), whoText(alert)].filter(Boolean).join(" · "), "s")),
      h("span", { class: "state" }, statePill(alert)))),
    h("div", { class: "spacer", style: { height: `${view.below}px` } }));
}

const changedAt = (alert) => alert.resolved_at ?? alert.active_at ?? alert.started_at;

const statePill = (alert) => (alert.suppressed ? pill("silenced", "silenced", "info") : pill(alert.state));

const whoText = ({ acknowledged }) => (acknowledged ? `acknowledged${acknowledged.by ? ` by ${acknowledged.by}` : ""}` : null);

function detail(at, context) {
  const { state, now } = context;
  const [fingerprint, seq] = at.split("-");
  const entry = use(`api/v1/alerts/${encodeURIComponent(fingerprint)}`, 2);
  if (!entry.data) return h("section", { class: "card" }, placeholder(entry, "There is no such alert."));
  // The live connection knows first.
  const pushed = state.alerts?.alerts.find((each) => each.fingerprint === fingerprint);
  const alert = [pushed, entry.data.alert, ...entry.data.earlier].find((each) => each && (!seq || String(each.seq) === seq)) ?? entry.data.alert;
  const timeline = alert.seq === entry.data.alert.seq ? entry.data.timeline : [];
  const earlier = entry.data.earlier.filter((each) => each.seq < alert.seq);
  // One that is over has it in its timeline only.
  const activeAt = alert.active_at ?? timeline.find(({ what }) => what === "active")?.at;
  return h("section", { class: "card detail", key: at, tabindex: -1, "aria-label": `Alert ${alert.rule}` },
    h("h2", { class: "name" }, h("b", { class: "breaks" }, alert.rule), pill(alert.severity), statePill(alert)),
    h("p", { class: "message breaks" }, alert.summary),
    pairs(["Value", alert.value == null ? null : num(withUnit(alert.value, alert.unit))],
      ...Object.entries(alert.labels).map(([name, value]) => [name, h("span", { class: "mono breaks" }, value)]),
      ...Object.entries(alert.annotations).map(([name, text]) => annotation(name, text)),
      ["Began", time(alert.started_at, now)], ["Active", activeAt == null ? null : [time(activeAt, now), " · for ", num(span((alert.resolved_at ?? now) - activeAt))]],
      ["Resolved", alert.resolved_at == null ? null : [time(alert.resolved_at, now), ", ", alert.resolution]],
      alert.acknowledged && ["Acknowledged", [alert.acknowledged.by ? [h("b", {}, alert.acknowledged.by), ": "] : null, h("span", { class: "breaks" }, alert.acknowledged.reason)]],
      alert.flaps > 0 && ["Came back", plural(alert.flaps, "time")], ["Notified", notified(alert, alert.seq === entry.data.alert.seq ? entry.data.telling : null, now)]),
    actions(alert, state.status),
    timeline.length ? [h("h3", {}, "What happened"), h("div", { class: "lines" }, [...timeline].reverse().map((each, i) => happened(each, timeline.length - i, now)))] : null,
    earlier.length ? [h("h3", {}, "Before"), h("div", { class: "lines" }, earlier.map((each) => h("div", { class: "line", key: each.seq }, time(each.started_at, now), dot("ok"),
      h("a", { href: link("alerts", { state: "resolved", at: keyOf(each) }), class: "breaks" }, `${each.summary}, for ${span(each.resolved_at - each.started_at)}`))))] : null);
}

const UNTOLD = {
  pending: "not yet: it is pending", silenced: "no: a silence matches", acknowledged: "no: it was acknowledged before", cooldown: "no: it was told a short time ago",
  group_wait: "not yet: others of its rule may come", no_channel: "no: no channel takes alerts", min_severity: "no: all channels take more severe ones only",
};
const notified = (alert, telling, now) => UNTOLD[telling?.reason]
  ?? (alert.notified_at == null ? (alert.state === "resolved" ? "no" : "not yet") : time(alert.notified_at, now));

// A runbook is one click away; only what is called an address and is one becomes a link.
const annotation = (name, text) => (name.endsWith("_url") && /^https?:\/\//.test(text)
  ? [words(name.slice(0, -4)), h("a", { class: "link breaks", href: text, target: "_blank", rel: "noopener noreferrer" }, text)]
  : [words(name), h("span", { class: "breaks copyable" }, text)]);

const happened = (entry, key, now) => h("div", { class: "line", key }, time(entry.at, now), dot({ active: "bad", severity: "bad", resolved: "ok", pending: "warn" }[entry.what] ?? ""),
  h("span", { class: "breaks" }, h("b", {}, words(entry.what)), entry.by ? ` by ${entry.by}` : "", entry.text ? `: ${entry.text}` : ""));

function actions(alert, status) {
  if (alert.state === "resolved" || !maySwitch(status)) return null;
  const button = (text, className, onclick) => h("button", { type: "button", key: text, class: `btn ${className}`, onclick }, text);
  return h("div", { class: "acts" },
    alert.state === "active" ? button("Acknowledge", "primary", () => askAlert(alert, "acknowledge", "Acknowledge")) : null,
    button("Resolve", "", () => askAlert(alert, "resolve", "Resolve")), button("Silence…", "quiet", () => askSilence(alert)));
}

function silences({ state, now }) {
  const entry = use("api/v1/silences", SECONDS);
  const open = (entry.data?.silences ?? []).filter((silence) => silence.ends_at > now && silence.state !== "over");
  if (!open.length) return null;
  return h("div", { class: "gap", key: "silences" }, card("Silences", null, h("div", { class: "rows" }, open.map((silence) => h("div", { class: "row", key: silence.id },
    h("span", { class: "t" }, clip(silence.matchers.join(", "), "mono"), clip([silence.reason, silence.by && `by ${silence.by}`].filter(Boolean).join(" · "), "s")),
    h("span", { class: "s", title: fullTime(silence.ends_at) }, silence.starts_at > now ? `begins in ${span(silence.starts_at - now)}` : `for another ${span(silence.ends_at - now)}`),
    maySwitch(state.status) ? h("button", { type: "button", class: "btn quiet", onclick: () => askEndSilence(silence) }, "End") : null)))));
}

function rules({ now, params }) {
  const entry = use("api/v1/rules", every());
  const all = entry.data?.rules ?? [];
  return h("div", { class: "gap", key: "rules" }, card("Rules", all.length ? plural(all.length, "rule") : null,
    all.length ? table({ id: "rule-rows", label: "Rules", rows: all, rowKey: (rule) => rule.name, sort: params.sort ?? "state", onSort: (sort) => change({ sort }, { replace: true }), columns: [
      { key: "name", title: "rule", value: (rule) => rule.name, cell: (rule) => clip(rule.name, "strong") },
      { key: "state", title: "state", value: (rule) => ["active", "acknowledged", "pending", "inactive"].indexOf(rule.state), cell: (rule) => pill(rule.state) },
      { key: "when", title: "condition", hide: true, cell: (rule) => clip(whenText(rule), "mono where wide") },
      { key: "value", title: "last value", numeric: true, value: (rule) => rule.last_value, cell: (rule) => withUnit(rule.last_value, rule.unit) },
      { key: "last", title: "evaluated", numeric: true, hide: true, value: (rule) => rule.last_at, cell: (rule) => (rule.error ? clip(rule.error, "pill bad") : rule.last_at == null ? "with events" : timeAgo(rule.last_at, now)) },
    ] }) : placeholder(entry, "There are no rules.")));
}

const whenText = (rule) => `${rule.when || [rule.what, rule.comparison, rule.threshold].filter((part) => part != null).join(" ")}${rule.for_seconds ? ` for ${duration(rule.for_seconds)}` : ""}`;
