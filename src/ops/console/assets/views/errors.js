// Error groups: a list, and the newest sample of the one that is selected with the reason why these errors are one group.

import { h } from "../dom.js";
import { change, link } from "../address.js";
import { ago, count, fullTime, words } from "../format.js";
import { card, clip, num, pairs, pill, placeholder, search, segments, time, timeAgo } from "../parts.js";
import { inView } from "../windowed.js";
import { use } from "../api.js";
import { askErrorStatus, maySwitch } from "../dialogs.js";

const STATUSES = [["open", "Open"], ["resolved", "Resolved"], ["ignored", "Ignored"], ["all", "All"]];
const ROW_HEIGHT = 56;
const SECONDS = 10;

export function errors(context) {
  const { params, now } = context;
  const status = params.status ?? "open";
  const entry = groupsOf(context, status);
  const groups = (entry.data?.groups ?? []).filter((group) => matches(group, params.q));
  const at = params.at ?? params.fingerprint;
  const selected = groups.find((group) => group.fingerprint === at) ?? (at ? undefined : groups[0]);
  return [
    h("div", { class: "tools" },
      segments("Status", STATUSES, status, (value) => change({ status: value === "open" ? undefined : value, at: undefined, fingerprint: undefined })),
      search("Filter by kind, message or route", params.q, (q) => change({ q }, { replace: true }))),
    h("div", { class: "split" },
      card("Groups", totalText(entry.data, groups), groups.length ? list(groups, selected, context)
        : placeholder(entry, params.q ? "Nothing matches the filter." : status === "open" ? "No open errors." : "None.")),
      selected ? detail(selected, context) : at ? asked(at, context) : null),
  ];
}

// Open groups come with the live connection, if they are not too many.
function groupsOf({ state }, status) {
  if (status === "open" && state.errors && !state.errors.truncated) return { data: { ...state.errors, groups: state.errors.groups.filter((group) => group.status === "open") } };
  const query = status === "all" ? "" : `status=${status}&`;
  return use(`api/v1/errors?${query}limit=1000`, SECONDS);
}

// A group that is not in the list, because it has another status, is asked for.
function asked(fingerprint, context) {
  const entry = use(`api/v1/errors/${encodeURIComponent(fingerprint)}`, SECONDS);
  return entry.data ? detail(entry.data, context) : h("div", { class: "card" }, placeholder(entry, "There is no such group."));
}

const totalText = (data, groups) => (data?.total > groups.length ? `${count(groups.length)} of ${count(data.total)}, newest first` : "newest first");

function matches(group, q) {
  return !q || `${group.kind} ${group.message} ${group.route ?? ""} ${group.latest?.correlation_id ?? ""}`.toLowerCase().includes(q.toLowerCase());
}

// What is told about a group in one word.
function stateOf(group) {
  if (group.status !== "open") return group.status;
  return group.regressions > 0 ? "regressed" : group.is_new ? "new" : "ongoing";
}

function list(groups, selected, { now, params }) {
  const sorted = [...groups].sort((a, b) => b.last_at - a.last_at);
  const view = inView("error-rows", sorted.length, ROW_HEIGHT);
  return h("div", { id: "error-rows", class: view.isWindowed ? "rows windowed" : "rows" },
    h("div", { class: "spacer", style: { height: `${view.above}px` } }),
    sorted.slice(view.from, view.to).map((group) => h("a", { key: group.fingerprint, class: "group", href: link("errors", { ...params, fingerprint: undefined, at: group.fingerprint }), "aria-current": group === selected ? "true" : undefined },
      h("span", { class: "t" }, clip(group.kind, "mono strong"), clip(group.route ?? group.message, "s")),
      num(count(group.count)), h("span", { class: "s when", title: fullTime(group.last_at) }, ago(group.last_at, now)), h("span", { class: "state" }, pill(stateOf(group))))),
    h("div", { class: "spacer", style: { height: `${view.below}px` } }));
}

function detail(group, context) {
  const { now, state } = context;
  const latest = group.latest ?? {};
  const actions = maySwitch(state.status) ? ACTIONS.filter(([status]) => status !== group.status) : [];
  return h("section", { class: "card", key: group.fingerprint, "aria-label": `Error group ${group.kind}` },
    h("h2", { class: "name" }, h("b", { class: "mono breaks" }, group.kind), pill(stateOf(group)),
      h("span", { class: "aside" }, actions.map(([status, text]) => h("button", { type: "button", key: status, class: "btn", onclick: () => askErrorStatus(group, status, text) }, text)))),
    h("p", { class: "message breaks" }, withPlaceholders(group.message)),
    pairs(["Route", h("span", { class: "mono breaks" }, group.route)],
      ["Seen", [num(count(group.count)), " times, first ", time(group.first_at, now), ", last ", timeAgo(group.last_at, now)]],
      group.regressions > 0 && ["Came back", `${count(group.regressions)} times after it was resolved`],
      latest.location && ["At", h("span", { class: "mono breaks" }, latest.location)],
      latest.correlation_id && ["Correlation ID", [h("span", { class: "mono breaks copyable" }, latest.correlation_id), " ", h("a", { class: "link", href: link("logs", { correlation_id: latest.correlation_id }) }, "log")]],
      latest.request_id && ["Request ID", h("span", { class: "mono breaks copyable" }, latest.request_id)],
      latest.trace_id && ["Trace ID", latest.trace_kept ? h("a", { class: "link mono breaks", href: link("traces", { id: latest.trace_id }) }, latest.trace_id) : h("span", { class: "mono breaks copyable" }, latest.trace_id)],
      ["Traces", h("a", { class: "link", href: link("traces", { error_group: group.fingerprint }) }, "with this error")]),
    h("h3", {}, "Newest sample ", h("span", { class: "faint" }, time(latest.at, now))),
    h("pre", { tabindex: 0 }, chain(latest)),
    h("h3", {}, "Why these are one group"),
    why(group.grouping));
}

const ACTIONS = [["resolved", "Resolve"], ["ignored", "Ignore"], ["open", "Reopen"]];

// Replaced parts of the message, such as `{duration}`, look like code.
function withPlaceholders(text) {
  return String(text ?? "").split(/(\{[a-z_ ]+\})/).map((part) => (/^\{[a-z_ ]+\}$/.test(part) ? h("code", {}, part) : part));
}

function chain({ message, causes = [] }) {
  return [message ?? "", ...causes.map((cause, i) => `${"  ".repeat(i)}└ ${cause}`)].join("\n");
}

function why(grouping) {
  if (!grouping) return null;
  const parts = Object.entries(grouping).filter(([name, value]) => name !== "version" && name !== "text" && value != null);
  return [
    h("p", { class: "faint" }, `The same ${parts.map(([name]) => words(name)).join(", ")}; numbers, times and IDs in messages are replaced first.${grouping.version == null ? "" : ` Algorithm ${grouping.version}.`}`),
    pairs(...parts.map(([name, value]) => [words(name), h("span", { class: "mono breaks" }, String(value))])),
  ];
}
