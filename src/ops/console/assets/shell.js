// What surrounds each view: navigation, the bar on top, and what is said about the connection.

import { h } from "./dom.js";
import { change, link, LONG_RANGES, RANGES } from "./address.js";
import { icon, logo } from "./shapes.js";
import { span, plural, fullTime } from "./format.js";
import { dot, segments, note } from "./parts.js";
import { isPaused, serverNow, setPaused } from "./store.js";
import { connect, every, setEvery } from "./live.js";
import { toggleTheme } from "./settings.js";
import { showHelp, showLogLevel } from "./dialogs.js";
import { overview } from "./views/overview.js";
import { routes } from "./views/routes.js";
import { guards } from "./views/guards.js";
import { errors } from "./views/errors.js";
import { alerts } from "./views/alerts.js";
import { traces } from "./views/traces.js";
import { health } from "./views/health.js";
import { journal } from "./views/journal.js";
import { workflows } from "./views/workflows.js";
import { calls } from "./views/calls.js";
import { logs } from "./views/logs.js";
import { metrics } from "./views/metrics.js";
import { notifications } from "./views/notifications.js";

// The views in the order of the navigation; `ranged` ones show a range of time.
export const VIEWS = [
  { name: "overview", title: "Overview", draw: overview, ranged: true },
  { name: "routes", title: "Routes", draw: routes, ranged: true },
  { name: "guards", title: "Guards", draw: guards },
  { name: "errors", title: "Errors", draw: errors },
  { name: "alerts", title: "Alerts", draw: alerts },
  { name: "traces", title: "Traces", draw: traces },
  { name: "health", title: "Health", draw: health },
  { name: "journal", title: "Journal", draw: journal },
  { name: "logs", title: "Logs", draw: logs },
  { name: "workflows", title: "Workflows", draw: workflows },
  { name: "calls", title: "In flight", draw: calls, apart: true },
  { name: "metrics", title: "Metrics", draw: metrics, ranged: true, apart: true },
  { name: "notifications", title: "Notifications", draw: notifications, apart: true },
];

export function shell(context) {
  const view = VIEWS.find((each) => each.name === context.view) ?? VIEWS[0];
  const { phase } = context.state.connection;
  const isStale = context.state.at !== undefined && phase !== "live" && phase !== "connecting";
  return [
    navigation(context, view),
    h("div", { class: "page", key: "page" },
      bar(context, view),
      connectionBanner(context),
      // Each view begins with an element of its own: nothing of the last one is reused.
      h("main", { id: "main", tabindex: -1, class: isStale ? "stale" : undefined },
        h("div", { key: view.name }, phase === "unauthorized" && !context.state.at ? null : view.draw(context)))),
  ];
}

function navigation({ state, params }, view) {
  const counts = state.status?.counts ?? {};
  const badge = { guards: [counts.guards_not_closed, "bad"], errors: [counts.errors_open, "warn"], alerts: [counts.alerts_active, "bad"], health: [counts.health_not_healthy, "warn"] };
  const item = ({ name, title }) => h("a", { key: name, href: link(name, { range: params.range }), "aria-current": name === view.name ? "page" : undefined },
    icon(name), title, badge[name]?.[0] > 0 ? h("span", { class: `count ${badge[name][1]}` }, badge[name][0]) : null);
  return h("nav", { "aria-label": "Console", key: "nav" },
    h("div", { class: "brand" }, logo(), "tower-keep"),
    VIEWS.filter((each) => !each.apart).map(item), h("hr", { key: "line" }), VIEWS.filter((each) => each.apart).map(item),
    foot(state));
}

function foot({ status }) {
  if (!status) return null;
  return h("div", { class: "foot", key: "foot" },
    h("div", { class: "clip", title: `${status.service} ${status.version ?? ""}` }, status.service, " ", status.version),
    h("div", { title: `started ${fullTime(status.started_at)}` }, "up ", span(serverNow() - status.started_at),
      status.instance ? [" · ", h("span", { class: "mono", title: status.instance }, status.instance)] : null),
    h("div", {}, [status.user, status.role].filter(Boolean).join(", ")),
    status.role === "operator" && status.controls ? h("button", { type: "button", class: "plain", onclick: showLogLevel }, "log level…") : null,
    h("form", { method: "post", action: "logout" }, h("button", { class: "plain" }, "sign out")));
}

function bar({ state, params }, view) {
  const { status } = state;
  return h("header", {},
    h("h1", {}, view.title),
    h("span", { class: "sub clip hide-s" }, [status?.service, status?.environment].filter(Boolean).join(" · ")),
    h("span", { class: "sp" }),
    liveState(state),
    view.ranged ? segments("Time range", rangesOf(view, state).map((range) => [range, range.replace(/(\d+)/, "$1 ")]), params.range ?? "5m", (range) => change({ range })) : null,
    h("button", { type: "button", key: "pause", class: "btn", "aria-pressed": String(isPaused()), title: "Stop drawing what is new (space)", onclick: () => setPaused(!isPaused()) }, isPaused() ? "Resume" : "Pause"),
    h("button", { type: "button", key: "theme", class: "btn quiet", title: "Light or dark (t)", "aria-label": "Light or dark", onclick: () => { toggleTheme(); dispatchEvent(new Event("resize")); } }, "◐"),
    h("button", { type: "button", key: "help", class: "btn quiet", title: "Keys and words (?)", "aria-label": "Help", onclick: showHelp }, "?"));
}

const RATES = [1, 2, 5, 15, 60];

function liveState({ connection, paused }) {
  const rate = h("select", { class: "rate", "aria-label": "Seconds between updates", title: "Seconds between updates", value: String(every()), onchange: (event) => setEvery(Number(event.target.value)) },
    [...new Set([...RATES, every()])].map((seconds) => h("option", { value: String(seconds) }, `${seconds} s`)));
  if (paused) return h("span", { class: "live", key: "live" }, dot("warn"), "paused");
  if (connection.phase === "live") return h("span", { class: "live on", key: "live", title: `by ${connection.transport}` }, dot("ok"), "live ·", rate);
  return h("span", { class: "live", key: "live" }, dot("bad"), connection.phase === "unauthorized" ? "signed out" : connection.phase);
}

// Says what is wrong with the connection, how old the data is, and what happens next.
function connectionBanner({ state, view }) {
  const { connection } = state;
  const age = state.at === undefined ? null : serverNow() - state.at;
  if (connection.phase === "unauthorized") return h("div", { class: "banner", role: "alert" }, h("b", {}, "You are signed out."), " ", connection.message, " ", h("a", { href: "login", class: "btn" }, "Sign in"));
  if (connection.phase === "reconnecting") {
    const wait = connection.retryAt ? Math.max(0, (connection.retryAt - Date.now()) / 1000) : 0;
    return h("div", { class: "banner", role: "status" }, h("b", {}, "Disconnected."), " ", connection.message,
      age === null ? null : ` This data is ${span(age)} old.`, connection.retryAt ? ` Connecting again${wait > 0.5 ? ` in ${wait.toFixed(0)} s` : ""}.` : null, " ",
      h("button", { type: "button", class: "btn", onclick: connect }, "Connect now"));
  }
  const dropped = Object.entries((view === "overview" && state.status?.dropped) || {}).filter(([, n]) => n > 0);
  const lines = [
    connection.message ? note(connection.message, "warn") : null,
    state.paused ? note(`Paused ${span(serverNow() - state.pausedAt)} ago. Press space to show what is new.`, "warn") : null,
    dropped.length ? note(`Dropped because a limit was reached: ${dropped.map(([what, n]) => plural(n, DROPPED[what] ?? what, DROPPED[what] ? undefined : what)).join(", ")}.`, "warn") : null,
  ].filter(Boolean);
  return lines.length ? h("div", { class: "notes", role: "status" }, lines) : null;
}

// What is further back than a day is in the file, which is a component of the health.
const rangesOf = (view, { health }) => (view.name === "metrics" && health?.components?.some(({ name }) => name === "ops_store") ? LONG_RANGES : RANGES);

const DROPPED = { journal: "journal event", frames: "frame", transitions: "transition", error_groups: "error group", alerts: "alert", store: "stored change", logs: "log record", workflows: "workflow", workflow_parts: "workflow detail", traces: "trace", spans: "span" };
