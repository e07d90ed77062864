// A stand-in for the console's server while the page is developed: `node tests/console/fake.mjs --port 8787`.
// It serves the page from the source folder (or `--assets DIR`) under `--prefix /a/b/ops/`, with invented data:
// `--scenario calm|idle|incident|empty|many|long|hostile`, `--role viewer|operator`, `--user none`, `--controls off`, `--no-websocket yes`, `--uptime SECONDS`.
// POST fake/scenario, fake/trip, fake/drop, fake/silence, fake/sign-out, fake/full change it while it runs.

import { createHash } from "node:crypto";
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { dirname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { channels } from "./fake_channels.mjs";
import { traces } from "./fake_traces.mjs";
import { workflows } from "./fake_workflows.mjs";

const options = Object.fromEntries(process.argv.slice(2).join(" ").split("--").filter(Boolean).map((part) => part.trim().split(" ")));
const port = Number(options.port ?? 8787);
const prefix = options.prefix ?? "/ops/";
const assets = options.assets ?? join(dirname(fileURLToPath(import.meta.url)), "../../src/ops/console/assets");
const role = options.role ?? "operator";
const controls = options.controls !== "off";
let scenario = options.scenario ?? "incident";
let isSilent = false;
let isSignedOut = false;
let isFull = false;
const now = () => Date.now() / 1000;
const started = now() - Number(options.uptime ?? 274_320);
const hostile = '<img src=x onerror="window.hacked=true">';
const long = "a-name-of-two-hundred-characters-".repeat(7).slice(0, 200);

let seed = 7;
const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
const walk = (n, base, amp, add = () => 0) => { let v = base; return Array.from({ length: n }, (_, i) => { v += (random() - 0.5) * amp; v += (base - v) * 0.12; return Math.max(0, v + add(i / n)); }); };
const isBad = () => scenario === "incident" || scenario === "hostile" || scenario === "long";
const hit = (x) => (isBad() && x > 0.77 ? Math.min(1, (x - 0.77) / 0.05) : 0);

function overview(range = "5m") {
  const [n, step] = { "5m": [300, 1], "1h": [360, 10], "24h": [1440, 60] }[range] ?? [300, 1];
  const end = Math.floor(now());
  if (scenario === "empty") return { step, end, calls: {}, latency: { p50: [], p95: [], p99: [] }, in_flight: [], error_ratio: [], marks: [] };
  const calls = {
    success: walk(n, 1250, 70, (x) => -hit(x) * 40), client_error: walk(n, 12, 3), failure: walk(n, 1.5, 0.8, (x) => (isBad() && x > 0.75 && x < 0.87 ? 38 * random() + 12 : hit(x) * 8)),
    overload: walk(n, 0.5, 0.4), timed_out: walk(n, 0.3, 0.2, (x) => hit(x) * 3.2), cancelled: walk(n, 4, 1.5), rejected: walk(n, 0, 0.1, (x) => (isBad() && x > 0.82 ? 18 + random() * 4 : 0)), panicked: walk(n, 0, 0),
  };
  // A gap, as after a pause of the process.
  if (range === "1h") for (const column of Object.values(calls)) column.fill(null, 40, 60);
  const marks = isBad() ? [{ at: end - Math.round(n * 0.18) * step, severity: "critical", text: "payments open", seq: 17 }] : [];
  // Nearer to each other than their texts are long.
  if (scenario === "long") for (let i = 1; i <= 15; i++) marks.push({ ...marks[0], at: marks[0].at - 10 * i * step, seq: 17 + i });
  // Nothing is called for the last 20 points.
  const idle = (column) => (scenario === "idle" ? column.fill(null, -20) : column);
  return {
    step, end, calls,
    latency: { p50: idle(walk(n, 0.012, 0.001)), p95: idle(walk(n, 0.078, 0.009, (x) => hit(x) * 0.106)), p99: idle(walk(n, 0.16, 0.024, (x) => hit(x) * 0.745)) },
    in_flight: walk(n, 16, 4, (x) => hit(x) * 20).map(Math.round), error_ratio: walk(n, 0.0012, 0.0005, (x) => hit(x) * 0.022), marks,
  };
}

const point = () => (scenario === "idle" ? { at: Math.floor(now()), calls: {}, p50: null, p95: null, p99: null, in_flight: 0 } : { at: Math.floor(now()), calls: { success: 1210 + random() * 60, client_error: 12, failure: isBad() ? 9 : 1, overload: 0.4, timed_out: isBad() ? 3.2 : 0.2, cancelled: 3.9, rejected: isBad() ? 18.4 : 0, panicked: 0 }, p50: 0.012, p95: isBad() ? 0.184 : 0.078, p99: isBad() ? 0.905 : 0.16, in_flight: 37 });

function status() {
  const quiet = scenario === "empty";
  const list = guards().guards;
  const open = list.filter((guard) => ["open", "half_open", "forced_open", "disabled"].includes(guard.state));
  const components = health().components;
  const attention = [
    ...open.filter((guard) => guard.state !== "half_open").slice(0, 12).map((guard) => ({ severity: "critical", kind: "guard", name: guard.name, text: guard.held_until ? `Circuit ${guard.name} is held open by an operator` : `Circuit ${guard.name} is open for another ${(guard.stats.open_for_seconds ?? 0).toFixed(1)} s`, since: now() - 40, until: now() + (guard.stats.open_for_seconds ?? 0), link: `#guards?name=${encodeURIComponent(guard.name)}` })),
    ...components.filter((each) => each.status !== "healthy").map((each) => ({ severity: "warning", kind: "health", name: each.name, text: `Health of ${each.name} is ${each.status}: ${each.text}`, since: each.since, until: null, link: `#health?name=${encodeURIComponent(each.name)}` })),
  ];
  return {
    service: scenario === "long" ? long : "orders", version: "2.14.0", instance: "pod-7f9c", environment: "production", started_at: started, uptime_seconds: now() - started, at: now(), every: 1,
    role, user: options.user === "none" ? null : "mira", controls, health: attention.length ? "degraded" : "healthy", ready: true, live: true, started: true,
    calls: quiet ? { per_second: 0, error_ratio: null, p50_seconds: null, p95_seconds: null, p99_seconds: null, in_flight: 0, oldest_seconds: null }
      : { per_second: 1284, error_ratio: isBad() ? 0.0241 : 0.0012, p50_seconds: 0.012, p95_seconds: isBad() ? 0.184 : 0.078, p99_seconds: isBad() ? 0.905 : 0.16, in_flight: 37, oldest_seconds: 4.1 },
    counts: { guards: list.length, guards_not_closed: open.length, errors_open: errors("open").groups.length, alerts_active: alertList().filter((each) => ["active", "acknowledged"].includes(each.state)).length, health: components.length, health_not_healthy: components.filter((each) => each.status !== "healthy").length },
    dropped: { series: 0, journal: scenario === "many" ? 1200 : 0, frames: 0 }, attention,
  };
}

const tripped = new Map();
const changedSettings = new Map();
const setting = (guard, name, value, min, max, more = {}) => ({ name, value: changedSettings.has(`${guard} ${name}`) ? changedSettings.get(`${guard} ${name}`) : value, min, max, whole: false, can_be_off: false, ...more });
const breakerSettings = (name) => [setting(name, "failure_rate", 0.5, 0.001, 1, { can_be_off: true }), setting(name, "consecutive_failures", 20, 1, 10000, { whole: true, can_be_off: true }), setting(name, "probes", 3, 1, 1000, { whole: true }), setting(name, "slow_call_seconds", name === "quotes" ? 2 : null, 0.001, 86400, { can_be_off: true }), setting(name, "min_calls", 20, 1, 10000, { whole: true }), setting(name, "open_time_seconds", 5, 0.001, 86400)];
const held = new Map();
const breaker = (name, state, stats, more = {}) => {
  const forced = held.get(name);
  const actual = forced?.state ?? tripped.get(name) ?? state;
  return { kind: "circuit_breaker", name, key: null, state: actual,
    stats: { calls: 340, failures: 1, slow: 0, consecutive_failures: 0, probes_in_flight: 0, transitions: 1, open_for_seconds: actual === "open" ? 4.2 : null, reason: null, last_error: null, mode: forced?.mode ?? "on", failure_rate_threshold: 0.5, ...stats },
    controls: ["reset", "hold_open", "hold_closed", "shadow", "release"], held_until: forced?.until ?? null, settings: breakerSettings(name), strip: [["closed", 1]], transitions: [{ at: now() - 3600, from: "open", to: "closed", reason: "probes_succeeded", last_error: null }], ...more };
};
const limit = (kind, name, stats, settings = [], more = {}) => ({ kind, name, key: null, state: "on", stats, controls: [], held_until: null, settings: settings.map(([setting_, ...rest]) => setting(name, setting_, ...rest)), strip: [], transitions: [], ...more });

function guards() {
  if (scenario === "empty") return { guards: [] };
  const name = scenario === "long" ? long : scenario === "hostile" ? hostile : "payments";
  const list = [
    breaker(name, isBad() ? "open" : "closed", isBad() ? { failures: 211, reason: "failure_rate", last_error: scenario === "hostile" ? hostile : "504 from 10.1.4.9", rejected: 1204 } : {},
      { strip: [["closed", 0.52], ["open", 0.05], ["half_open", 0.03], ["closed", 0.33], ["open", 0.07]], transitions: [{ at: now() - 3000, from: "closed", to: "open", reason: "failure_rate", last_error: "504 from 10.1.4.9" }, { at: now() - 2900, from: "open", to: "half_open", reason: "open_time_elapsed", last_error: null }, { at: now() - 2890, from: "half_open", to: "closed", reason: "probes_succeeded", last_error: null }, { at: now() - 40, from: "closed", to: "open", reason: "failure_rate", last_error: "504 from 10.1.4.9" }] }),
    breaker("search", scenario === "long" ? "open" : isBad() ? "half_open" : "closed", scenario === "long" ? { calls: 20, failures: 20, consecutive_failures: 20, reason: "consecutive_failures" } : isBad() ? { calls: 1, failures: 0, probes_in_flight: 1, reason: "consecutive_failures", rejected: 88 } : {}),
    breaker("quotes", "closed", { calls: 2210, failures: 9, slow: 26, rejected: 0 }),
    { ...limit("keyed_circuit_breaker", "tenants", { keys: 1204, max_keys: 10000, closed: 1201, open: 0, half_open: 0, forced_open: 0, disabled: 3, evicted: 0, mode: "on" }), state: "closed", controls: ["reset"] },
    limit("retry", "payments", { retries: 812, unsent_retries: 4, recovered: 790, budget_available: 12, budget_capacity: 100 }),
    limit("timeout", "payments, one attempt", { limit_seconds: 10, total: 0, attempt: 31, rejected: 0 }, [["limit_seconds", 10, 0.001, 86400]]),
    limit("timeout", "payments, in all", { limit_seconds: 30, total: 0, rejected: 0 }, [["limit_seconds", 30, 0.001, 86400]]),
    limit("fallback", "quotes", { served: 17, failed: 0 }),
    limit("bulkhead", "uploads", { in_flight: 9, limit: changedSettings.get("uploads limit") ?? 25, queued: 0, queue_limit: 50, done: 48210, failed: 31, inconclusive: 4, rejected: 0, mean_wait_seconds: 0.0001, recent_wait_seconds: 0.0002, recent_run_seconds: 0.031 }, [["limit", 25, 1, 10000, { whole: true }], ["queue_limit", 50, 0, 10000, { whole: true }]], { state: "available" }),
    limit("rate_limit", "searches", { rate_per_second: 20, burst: 40, available: 31, admitted: 5120, rejected: 0, waited: 3, emptied: 0, mode: "shadow" }, [["rate_per_second", 20, 0.001, 1000000]], { state: "admitting", controls: ["reset", "hold_closed", "shadow"] }),
    limit("keyed_rate_limit", "per tenant", { rate_per_second: 50, burst: 100, keys: 1204, max_keys: 10000, admitted: 812034, rejected: 14, waited: 0, emptied: 0, evicted: 3, mode: "on" }, [["rate_per_second", 50, 0.001, 1000000], ["burst", 100, 1, 1000000, { whole: true }]], { state: "admitting", controls: ["reset", "hold_closed"] }),
    limit("chaos", "game day", { error_rate: isBad() ? 0.05 : 0, latency_rate: 0, latency_seconds: 0.25, error: 12, latency: 3, body_cut: 0, on_for_seconds: null }, [["error_rate", isBad() ? 0.05 : 0, 0, 1]], { state: isBad() ? "on" : "off", controls: ["hold_on", "reset", "release"] }),
    limit("object_pool", "orders-db", { connections: 5, wait_seconds: 0.0123, hit_ratio: 0.93, reads_per_second: 1234.5, memory_bytes: 52428800, mode: "warm_up", last_error: null }, [], { controls: ["drain"] }),
  ];
  if (scenario === "many") for (let i = 0; i < 487; i++) list.push(i % 5 ? breaker(`upstream-${String(i).padStart(3, "0")}`, i % 29 ? "closed" : "open", { failures: i % 40 }) : limit("timeout", `limit-${i}`, { limit_seconds: i / 10, total: i }));
  return { guards: list };
}

function health() {
  if (scenario === "empty") return { status: "unknown", ready: true, components: [] };
  const component = (name, kind, status, text, last, more) => ({ name, kind, critical: true, status, text, since: now() - 180, last_seconds: last, average_seconds: last * 0.8, worst_seconds: last * 3, failures: status === "healthy" ? 0 : 3, checked_at: now() - 12, next_at: now() + 18, interval_seconds: 30, group: ["readiness"], ...more });
  return { status: isBad() ? "degraded" : "healthy", ready: true, components: [
    component(scenario === "hostile" ? hostile : "ledger-db", "database", isBad() ? "degraded" : "healthy", isBad() ? "answers in 412 ms, limit 250 ms" : "answers in 31 ms", isBad() ? 0.412 : 0.031),
    component("cache", "cache", "healthy", null, 0.0008), component("payments", "external_api", "healthy", "by its circuit breaker", 0.00001, { critical: false }),
    component("disk /var", "disk", "healthy", "61 GB free", 0.0001, { critical: false }), component("sessions", "authentication", "healthy", null, 0.004),
  ] };
}

const errorStates = new Map();
function errors(wanted) {
  const group = (kind, message, route, count, ago, more) => {
    const fingerprint = createHash("sha1").update(kind + message + route).digest("hex").slice(0, 16);
    return { fingerprint, kind, message, route, count, first_at: now() - 7200, last_at: now() - ago, status: "open", regressions: 0, is_new: false,
      latest: { message: message.replace("{duration}", "10s"), causes: ["client error (SendRequest)", "connection closed before message completed"], location: "src/pay/gateway.rs:118", request_id: "0192f3a1", correlation_id: "c2e003002aee7da3", trace_id: "4bf92f3577b34da6a3ce929d0e0e4736", at: now() - ago },
      grouping: { kind, route, message, last_cause: "connection closed before message completed", location: "src/pay/gateway.rs:118", version: 1 }, ...more };
  };
  if (scenario === "empty") return { groups: [], total: 0 };
  const text = scenario === "hostile" ? `${hostile} did not answer` : "payment gateway did not answer within {duration}";
  const groups = [
    group("Timeout", text, scenario === "hostile" ? `GET /${hostile}` : "POST /pay", 1204, 2, { is_new: true }), group("PoolTimedOut", "no connection within {duration}", "GET /orders/{id}", 31, 40, { regressions: 1 }),
    group("ConnectError", "connection refused by {ip}", "POST /pay", 212, 720), group(scenario === "long" ? long : "panic: index out of bounds", "the len is {number} but the index is {number}", "POST /orders", 1, 7200), group("ParseError", "expected value at line {number}", "POST /orders", 9, 86400, { status: "resolved" }),
  ];
  if (scenario === "many") for (let i = 0; i < 300; i++) groups.push(group(`Error${i}`, "something {number}", `GET /r/${i}`, i * 7, i * 30));
  for (const each of groups) each.status = errorStates.get(each.fingerprint) ?? each.status;
  const found = groups.filter((each) => !wanted || each.status === wanted);
  return { groups: found, total: found.length };
}

function routes() {
  const trend = (base, amp, hot) => walk(30, base, amp, (x) => (hot ? hit(x) * 60 : 0));
  const route = (method, path, rate, ratio, p50, p95, p99, side = "server") => ({ service: scenario === "long" ? long : "orders", side, method, route: path, calls_per_second: rate, error_ratio: ratio, p50_seconds: p50, p95_seconds: p95, p99_seconds: p99, trend: trend(50, 14, ratio > 0.05) });
  if (scenario === "empty") return { range: "5m", routes: [], truncated: false, without_history: 0 };
  const bad = isBad();
  const list = [
    route("GET", scenario === "long" ? `/${long}` : scenario === "hostile" ? `/${hostile}` : "/orders/{id}", 640, 0.0002, 0.008, 0.022, 0.061), route("GET", "/orders", 311, 0.0001, 0.014, 0.048, 0.12), route("POST", "/pay", 187, bad ? 0.124 : 0.001, 0.096, bad ? 3.02 : 0.4, bad ? 10.004 : 0.8),
    route("POST", "/orders", 96, 0.001, 0.031, 0.084, 0.19), route("GET", "/quotes", 44, 0, 0.005, 0.009, 0.014), route(null, null, 6, 0, 0.0002, 0.0004, 0.0007), route("POST", "/charge", 183, bad ? 0.11 : 0, 0.09, 2.8, 9.9, "client"),
  ];
  if (scenario === "many") for (let i = 0; i < 193; i++) list.push(route(i % 2 ? "GET" : "POST", `/resource/${i}/{id}`, 200 / (i + 1), (i % 17) / 1000, 0.01 + i / 10000, 0.05, 0.2));
  return { range: "5m", routes: list, truncated: scenario === "many", without_history: scenario === "many" ? 12 : 0 };
}

const alertStates = new Map();
const silenceList = [];
const FINGERPRINTS = ["00000000000000a1", "00000000000000a2"];
function alertList() {
  if (scenario === "empty" || scenario === "calm" || scenario === "idle") return [];
  const alert = (n, rule, severity, summary, labels, more = {}) => ({ fingerprint: FINGERPRINTS[n] ?? n.toString(16).padStart(16, "0"), seq: n + 3, rule, state: "active", severity, suppressed: false, silenced_by: [], summary, value: 0.098, unit: "ratio", labels, annotations: {}, started_at: now() - 160, active_at: now() - 40, resolved_at: null, resolution: null, acknowledged: null, flaps: 0, notified_at: now() - 30, ...more });
  const text = (plain) => (scenario === "hostile" ? hostile : scenario === "long" ? long : plain);
  const list = [
    alert(0, text("payments_errors"), "critical", text("9.8 % of the payments fail"), { route: text("POST /pay"), team: "payments" }, { annotations: { runbook: text("see the wiki") }, flaps: 2 }),
    alert(1, "ledger_slow", "warning", "ledger-db takes 412 ms, above 250 ms", { component: "ledger-db" }, { state: "acknowledged", value: 0.412, unit: "seconds", acknowledged: { by: "mira", at: now() - 100, reason: "the index is rebuilt" } }),
  ];
  if (scenario === "many") for (let i = 2; i < 500; i++) list.push(alert(i + 100, `rule_${i}`, i % 2 ? "warning" : "critical", `load of id ${i} is ${i}, above 1`, { id: String(i) }, { value: i, unit: null, state: i % 5 ? "active" : "pending" }));
  for (const each of list) Object.assign(each, alertStates.get(each.fingerprint));
  for (const each of list) each.suppressed = silenceList.some((silence) => silence.state === "active" && silence.matchers.includes(`alertname=${each.rule}`));
  return list;
}
const pushedAlerts = () => { const list = alertList().filter((each) => each.state !== "resolved"); return { alerts: list.slice(0, 200), total: list.length, active: list.filter((each) => each.state === "active").length, rules: scenario === "empty" ? 0 : 3 }; };
const timelineOf = (alert) => [{ at: alert.started_at, what: "pending", text: "the condition holds", by: null }, { at: alert.active_at, what: "active", text: alert.summary, by: null }, ...(alert.acknowledged ? [{ at: alert.acknowledged.at, what: "acknowledged", text: alert.acknowledged.reason, by: alert.acknowledged.by }] : []), ...(alert.resolved_at ? [{ at: alert.resolved_at, what: "resolved", text: alert.resolution, by: "mira" }] : [])];
const ruleList = () => (scenario === "empty" ? [] : [["payments_errors", "active", 'error_ratio{route="POST /pay"} > 5%', 0.098, "ratio"], ["ledger_slow", "acknowledged", "", 0.412, "seconds"], ["breaker_open", "inactive", "breaker_open == 1", 0, null]].map(([name, state, when, value, unit]) => ({ name, state, when, what: "ledger", comparison: ">", threshold: 0.25, critical_at: null, unit, severity: "critical", for_seconds: 120, keep_firing_seconds: 60, every_seconds: 10, no_data: "keep", labels: {}, annotations: {}, pending: 0, active: 1, acknowledged: 0, truncated: 0, last_value: value, last_at: now() - 4, series: 1, error: null })));

function onAlert(path, method, search, body) {
  const audit = (text, data) => record({ kind: "control", severity: "info", subject: "payments_errors", text, who: "mira", data: { reason: body.reason, ...data } });
  if (method === "POST" && (role !== "operator" || !controls)) return problem(403, "controls are for operators");
  if (path === "alerts") { const wanted = search.get("state") ?? "firing"; const list = alertList().filter((each) => wanted === "all" || (each.state === "resolved") === (wanted === "resolved")); return { alerts: list, total: list.length, next_cursor: null }; }
  if (path === "rules") return { rules: ruleList() };
  if (path === "silences" && method === "POST") { silenceList.push({ id: `s${silenceList.length}`, state: "active", matchers: body.matchers, starts_at: now(), ends_at: now() + body.seconds, by: "mira", reason: body.reason }); return { id: "s", seq: audit(`silenced ${body.matchers.join(", ")}: ${body.reason}`, { silence: "s" }).seq }; }
  if (path === "silences") return { silences: silenceList };
  const [kind, id, action] = path.split("/");
  if (kind === "silences" && action === "end") { const silence = silenceList.find((each) => each.id === id); Object.assign(silence, { state: "over", ends_at: now() }); return { seq: audit("silence has ended", { silence: id }).seq }; }
  const alert = alertList().find((each) => each.fingerprint === id);
  if (!alert) return problem(404, "there is no alert of this fingerprint");
  if (method === "GET") return { alert, timeline: timelineOf(alert), telling: alert.state === "resolved" ? null : { reason: alert.suppressed ? "silenced" : null, until: null, channels: [] }, earlier: [{ ...alert, seq: 1, state: "resolved", started_at: now() - 9000, active_at: null, resolved_at: now() - 8000, resolution: "the condition no longer holds", acknowledged: null }] };
  if (action === "acknowledge") alertStates.set(id, { state: "acknowledged", acknowledged: { by: "mira", at: now(), reason: body.reason } });
  if (action === "resolve") alertStates.set(id, { state: "resolved", active_at: null, resolved_at: now(), resolution: body.reason });
  return { seq: audit(`alert ${action}d: ${body.reason}`, { alert: id }).seq };
}

let seq = 20;
const events = [
  { seq: 1, at: started, kind: "lifecycle", severity: "info", subject: "orders", text: "started, version 2.14.0", who: null, data: {} },
  { seq: 14, at: now() - 1300, kind: "log_level", severity: "info", subject: "sqlx", text: "log level set to debug for 10 min", who: "mira", data: { reason: "slow queries" } },
  { seq: 15, at: now() - 52, kind: "error", severity: "critical", subject: "Timeout", text: "new error Timeout on POST /pay", who: null, data: {} },
  { seq: 16, at: now() - 50, kind: "health", severity: "warning", subject: "ledger-db", text: "healthy → degraded", who: null, data: {} },
  { seq: 17, at: now() - 40, kind: "guard", severity: "critical", subject: "payments", text: "closed → open, failure rate 0.62", who: null, data: { last_error: "504 from 10.1.4.9" } },
];
const journal = () => {
  if (scenario === "empty") return { events: events.slice(0, 1), dropped: 0, oldest: 1 };
  if (scenario !== "many") return { events: scenario === "hostile" ? [...events, { seq: 18, at: now(), kind: "error", severity: "critical", subject: hostile, text: hostile, who: hostile, data: { reason: hostile } }] : events, dropped: 0, oldest: 1 };
  return { events: Array.from({ length: 900 }, (_, i) => ({ seq: i + 1, at: now() - (900 - i) * 60, kind: ["guard", "health", "error"][i % 3], severity: ["info", "warning", "critical"][i % 3], subject: `upstream-${i % 50}`, text: "closed → open, failure rate 0.62", who: null, data: {} })), dropped: 1200, oldest: 1 };
};
const record = (event) => { const full = { seq: ++seq, at: now(), who: null, data: {}, ...event }; events.push(full); broadcast({ type: "change", seq: full.seq, at: now(), journal: [full], guards: guards(), errors: errors(), health: health(), alerts: pushedAlerts() }); return full; };

const hello = (every) => ({ type: "hello", schema: 1, seq, at: now(), every, status: status(), overview: overview(), routes: routes(), guards: guards(), health: health(), errors: errors(), alerts: pushedAlerts(), journal: journal(), workflows: flows().pushed() });
const flows = () => workflows(scenario, { long, hostile });
const tick = (every) => ({ type: "tick", seq: ++seq, at: now(), every, status: status(), points: scenario === "empty" ? [] : [point()], routes: routes(), guards: guards(), alerts: pushedAlerts(), workflows: flows().pushed() });

function calls(slow) {
  const call = (id, method, route, seconds, more = {}) => ({ id, kind: "server", service: "orders", method, route, path: null, started_at: now() - seconds, seconds, correlation_id: `c2e003002aee7da${id}`, trace_id: "4bf92f3577b34da6a3ce929d0e0e4736", status: null, outcome: null, ...more });
  if (scenario === "empty") return { calls: [], truncated: false };
  const list = slow ? [call(3, "POST", "/pay", 10.004, { status: 504, outcome: "timed_out" }), call(2, "GET", "/orders", 1.2, { status: 200, outcome: "success" })] : [call(1, "POST", "/pay", 4.1), call(2, "POST", "/pay", 2.2), call(3, "GET", "/orders/{id}", 0.012), call(4, "POST", "/charge", 2.1, { kind: "client", service: "payments" }), call(5, null, "reindex", 0.4, { kind: "operation" })];
  if (scenario === "many") for (let i = 10; i < 400; i++) list.push(call(i, "GET", `/resource/${i}/{id}`, i / 1000));
  return { calls: list, truncated: scenario === "many", missed: scenario === "many" ? 1312 : 0 };
}

const FAMILIES = [["http_requests_total", "counter", null, "Calls that servers completed, by route, method and status", 18], ["http_request_duration_seconds", "histogram", "seconds", "Time until the end of the response body", 6], ["server_uptime_seconds", "gauge", "seconds", "Time since the start", 1], ["circuit_breaker_state", "gauge", null, "State of each circuit", 3], ["process_resident_memory_bytes", "gauge", "bytes", "Memory in use", 1]];
const families = () => ({ families: [...FAMILIES, ...(scenario === "many" ? Array.from({ length: 300 }, (_, i) => [`application_metric_${i}_total`, "counter", null, "Made up", i]) : [])].map(([name, kind, unit, help, series]) => ({ name, kind, unit, help, series })) });
function query(search) {
  const base = search.get("name").includes("bytes") ? 3e7 : search.get("agg").startsWith("p") ? 0.08 : 120;
  const by = search.get("by")?.split(",") ?? [];
  const step = Number(search.get("step") ?? 10);
  const end = Math.floor(now() / step) * step;
  const line = (labels, factor) => ({ labels, points: walk(100, base * factor, base * 0.2).map((v, i) => [end - (99 - i) * step, i === 30 ? null : v]) });
  if (by.includes("bad")) return problem(400, "by is bad, must be a label of the metric", "by");
  return { name: search.get("name"), agg: search.get("agg"), step, series: by.length ? ["/orders", "/pay", "/quotes"].map((route, i) => line({ [by[0]]: route }, 1 / (i + 1))) : [line({}, 1)], truncated: by.length > 1 };
}

const LINES = [
  ["warn", "orders::pay", "retry refused: budget is empty", { order_id: 7 }], ["error", "tower_keep::access", "call", { method: "POST", path: "/pay", status: 504, outcome: "timed_out", duration_ms: 10004.2 }],
  ["warn", "tower_keep::breaker", "payments: closed → open, failure rate 0.62 of 340", {}], ["error", "orders::pay", "payments: timeout while waiting for the gateway", { error: "connection reset" }], ["info", "orders::pay", "payments attempt 2 of 3 after 41 ms", { attempt: 2 }],
];
const line = (id, ago) => {
  const [level, target, message, fields] = LINES[id % LINES.length];
  const text = scenario === "hostile" ? hostile : scenario === "long" ? long : message;
  const inCall = id % 5 === 2 ? null : "c2e003002aee7da3";
  return { id, at: now() - ago, level, target: scenario === "long" ? long : target, message: text, fields, request_id: inCall, correlation_id: inCall, trace_id: inCall && "4bf92f3577b34da6a3ce929d0e0e4736", span_id: inCall && "00f067aa0ba902b7" };
};
let lastLine = scenario === "many" ? 5000 : 40;
const LEVELS = ["trace", "debug", "info", "warn", "error"];
function logs(search) {
  if (scenario === "empty") return { records: [], before: null, is_cut: false, source: "memory", stored: 0, kept: 0, dropped: 0, oldest_at: null };
  if (search.get("level") && !LEVELS.includes(search.get("level"))) return problem(400, "level must be one of trace, debug, info, warn, error", "level");
  const first = Number(search.get("before") ?? lastLine + 1) - 1;
  const all = Array.from({ length: first }, (_, i) => line(first - i, (lastLine - first + i) * 0.7));
  const words = (search.get("q") ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  const found = all.filter((each) => LEVELS.indexOf(each.level) >= LEVELS.indexOf(search.get("level") ?? "trace") && words.every((word) => each.message.toLowerCase().includes(word)) && (!search.get("trace_id") || each.trace_id === search.get("trace_id")));
  const limit = Number(search.get("limit") ?? 100);
  const records = found.slice(0, limit);
  return { records, before: found.length > limit ? records.at(-1).id : null, is_cut: false, source: "file", stored: lastLine, kept: lastLine, dropped: scenario === "many" ? 12 : 0, oldest_at: now() - lastLine * 0.7 };
}

const problem = (status, detail, field) => ({ $status: status, type: "about:blank", title: "Bad request", status, detail, field });

function control(name, body) {
  if (role !== "operator" || !controls) return problem(403, "controls are for operators");
  if (!body.reason) return problem(400, "reason is empty, must have 1 to 200 characters", "reason");
  const until = now() + (body.seconds ?? 600);
  if (body.action === "hold_open") held.set(name, { state: "forced_open", until });
  else if (body.action === "hold_closed") held.set(name, { state: "disabled", until });
  else if (body.action === "shadow") held.set(name, { mode: "shadow", until });
  else { held.delete(name); tripped.delete(name); if (body.action === "reset") tripped.set(name, "closed"); }
  return { seq: record({ kind: "control", severity: "warning", subject: name, text: `${body.action} for ${body.seconds ?? 0} s`, who: "mira", data: { reason: body.reason } }).seq };
}

function changeSetting(kind, name, body) {
  if (role !== "operator" || !controls) return problem(403, "controls are for operators");
  const known = guards().guards.find((guard) => guard.kind === kind && guard.name === name)?.settings.find((each) => each.name === body.setting);
  if (!known) return problem(404, "no guard of this kind and name has this setting");
  if (body.value === null ? !known.can_be_off : !(body.value >= known.min && body.value <= known.max)) return problem(400, `${body.setting} is ${body.value}, must be ${known.min} to ${known.max}`, "value");
  // As a guard that refuses what does not go with another setting.
  if (body.setting === "queue_limit" && body.value > 1000) return problem(400, "queue_limit is too large for the limit", "value");
  changedSettings.set(`${name} ${body.setting}`, body.value);
  const word = (value) => String(value ?? "off");
  return { seq: record({ kind: "control", severity: "warning", subject: name, text: `${body.setting} is ${word(body.value)}, was ${word(known.value)}: ${body.reason}`, who: "mira", data: { kind, action: "set", setting: body.setting, before: word(known.value), after: word(body.value), reason: body.reason } }).seq };
}

function api(path, search, method, body) {
  if (path === "status") return status();
  if (path === "overview") return overview(search.get("range") ?? "5m");
  if (path === "routes") return routes();
  if (path === "operations") return { range: "5m", operations: scenario === "empty" ? [] : [{ service: "orders", operation: "reindex", kind: "task", calls_per_second: 0.2, error_ratio: 0, p50_seconds: 4, p95_seconds: 9, p99_seconds: 12, trend: walk(30, 4, 1) }], truncated: false };
  if (path === "guards") return guards();
  if (path === "health") return health();
  if (path === "journal") return journal();
  if (path === "logs") return logs(search);
  const channel = () => channels(scenario, { long, hostile });
  if (path === "channels") return channel().list();
  if (/^channels\/[^/]+\/deliveries$/.test(path)) return channel().deliveries(search);
  if (/^channels\/[^/]+\/test$/.test(path) && method === "POST") return channel().test();
  const dead = path.match(/^channels\/[^/]+\/deliveries\/([^/]+)\/retry$/);
  if (dead && method === "POST") return channel().retry(dead[1]);
  if (path === "workflows") return flows().list(search);
  if (path === "workflows/statistics") return flows().statistics();
  const workflow = path.match(/^workflows\/(.+)$/);
  if (workflow) return flows().detail(workflow[1]) ?? problem(404, "there is no workflow of this ID");
  if (path === "calls") return calls(search.get("slow") === "1");
  if (path === "metrics") return families();
  if (path === "metrics/query") return query(search);
  if (path.startsWith("metrics/")) return { name: path.slice(8), kind: "histogram", unit: "seconds", help: "", series: 1, last_5m: query(search), examples: [{ labels: { route: "POST /pay" }, value: 10.05, at: now() - 60, trace_id: "4bf92f3577b34da6a3ce929d0e0e4736", trace_kept: true }] };
  if (path === "log-level") return method === "POST" ? (record({ kind: "log_level", severity: "info", subject: "log level", text: `set to ${body.filter} for ${body.seconds} s`, who: "mira", data: { reason: body.reason } }), { filter: body.filter, until: now() + body.seconds }) : { filter: "info,sqlx=debug", until: null };
  if (/^(alerts|silences|rules)(\/|$)/.test(path)) return onAlert(path, method, search, body);
  if (path.startsWith("traces")) return traces(path, search, scenario, hostile) ?? problem(404, "the trace is not kept");
  if (path === "errors") return errors(search.get("status"));
  const error = path.match(/^errors\/(.+)$/);
  if (error && method === "POST") { errorStates.set(error[1], body.status); record({ kind: "error", severity: "info", subject: "Timeout", text: `set to ${body.status}`, who: "mira", data: { reason: body.reason } }); return {}; }
  if (error) return errors().groups.find((group) => group.fingerprint === error[1]) ?? problem(404, "there is no such group");
  const controlled = path.match(/^guards\/[^/]+\/([^/]+)\/control$/);
  if (controlled && method === "POST") return control(decodeURIComponent(controlled[1]), body);
  const set = path.match(/^guards\/([^/]+)\/([^/]+)\/settings$/);
  if (set && method === "POST") return changeSetting(decodeURIComponent(set[1]), decodeURIComponent(set[2]), body);
  return problem(404, "not found");
}

const TYPES = { html: "text/html; charset=utf-8", css: "text/css; charset=utf-8", js: "text/javascript; charset=utf-8", svg: "image/svg+xml" };
const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
const viewers = new Set();
const broadcast = (frame) => { for (const viewer of viewers) viewer.send(frame); };

function fake(path, body) {
  if (path === "scenario") { scenario = body.scenario ?? scenario; broadcast(hello(1)); }
  if (path === "trip") { tripped.set(body.name, body.state ?? "open"); record({ kind: "guard", severity: "critical", subject: body.name, text: "closed → open, failure rate 0.62" }); }
  if (path === "drop") for (const viewer of viewers) viewer.end(body.code ?? 1001);
  if (path === "silence") isSilent = body.on;
  if (path === "sign-out") isSignedOut = body.on;
  if (path === "full") isFull = body.on;
  return {};
}

const server = createServer(async (request, response) => {
  const url = new URL(request.url, "http://localhost");
  let text = "";
  for await (const chunk of request) text += chunk;
  const json = (value) => { const { $status = 200, ...rest } = value; response.writeHead($status, { "content-type": $status === 200 ? "application/json" : "application/problem+json", "cache-control": "no-store" }); response.end(JSON.stringify(rest)); };
  if (!url.pathname.startsWith(prefix)) return json(problem(404, "outside of the console"));
  const path = url.pathname.slice(prefix.length);
  const isJson = request.headers["content-type"]?.startsWith("application/json");
  if (path.startsWith("fake/")) return json(fake(path.slice(5), text ? JSON.parse(text) : {}));
  if (path === "login" && request.method === "POST") return new URLSearchParams(text).get("token") === "secret" ? (isSignedOut = false, response.writeHead(303, { location: "./" }).end()) : json(problem(401, "the token is not valid"));
  if (path === "logout") { isSignedOut = true; return response.writeHead(303, { location: "login" }).end(); }
  if (path.startsWith("api/")) {
    if (isSignedOut) return json(problem(401, "sign in first"));
    if (path === "api/v1/events" && isFull) return json(problem(429, "all places for viewers are taken"));
    if (path === "api/v1/events" && request.method === "HEAD") return response.writeHead(200).end();
    if (path === "api/v1/events") return openEvents(url, response);
    if (request.method === "POST" && !isJson) return json(problem(415, "the content type must be application/json"));
    return json(api(path.slice("api/v1/".length), url.searchParams, request.method, text ? JSON.parse(text) : {}));
  }
  const file = path === "" ? "index.html" : path === "login" ? "login.html" : path.startsWith("assets/") ? normalize(path.slice(7)) : null;
  try {
    const content = await readFile(join(assets, file));
    response.writeHead(200, { "content-type": TYPES[file.split(".").pop()], "content-security-policy": POLICY, "x-content-type-options": "nosniff", "referrer-policy": "no-referrer", "cache-control": "no-store" }).end(content);
  } catch { json(problem(404, "there is no such page")); }
});

const isTail = (url) => url.searchParams.get("channels")?.split(",").includes("logs");
const rateOf = (url) => Math.min(60, Math.max(1, Number(url.searchParams.get("every")) || 2));

function openEvents(url, response) {
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
  const viewer = { tail: isTail(url), every: rateOf(url), send: (frame) => isSilent || response.write(`data: ${JSON.stringify(frame)}\n\n`), end: () => response.destroy() };
  serve(viewer, (stop) => response.on("close", stop));
}

function serve(viewer, onEnd) {
  viewer.send(hello(viewer.every));
  viewers.add(viewer);
  let timer;
  const next = () => { timer = setTimeout(() => { viewer.send({ ...tick(viewer.every), ...(viewer.tail && { logs: { records: [line(++lastLine, 0)], skipped: scenario === "many" ? 3 : 0 } }) }); next(); }, viewer.every * 1000); };
  next();
  onEnd(() => { clearTimeout(timer); viewers.delete(viewer); });
}

// Just enough of RFC 6455: unfragmented text frames, below 64 KiB from the client.
server.on("upgrade", (request, socket) => {
  const url = new URL(request.url, "http://localhost");
  if ("no-websocket" in options) return socket.end("HTTP/1.1 400 Bad Request\r\n\r\n");
  if (isSignedOut) return socket.end("HTTP/1.1 401 Unauthorized\r\n\r\n");
  const accept = createHash("sha1").update(`${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
  const write = (opcode, payload) => {
    const head = payload.length < 126 ? Buffer.from([0x80 | opcode, payload.length]) : payload.length < 65536 ? Buffer.from([0x80 | opcode, 126, payload.length >> 8, payload.length & 255]) : Buffer.concat([Buffer.from([0x80 | opcode, 127, 0, 0, 0, 0]), uint32(payload.length)]);
    if (!socket.destroyed) socket.write(Buffer.concat([head, payload]));
  };
  const viewer = { tail: isTail(url), every: rateOf(url), send: (frame) => isSilent || write(1, Buffer.from(JSON.stringify(frame))), end: (code) => { write(8, Buffer.from([code >> 8, code & 255])); socket.end(); } };
  socket.on("error", () => {});
  socket.on("data", (data) => {
    if ((data[0] & 15) === 8) return socket.end();
    const length = data[1] & 127;
    const mask = data.subarray(2, 6);
    if (length > 125) return;
    const message = JSON.parse(Buffer.from(data.subarray(6, 6 + length).map((byte, i) => byte ^ mask[i % 4])).toString());
    if (message.action === "set_every") viewer.every = message.every;
    if (message.action === "tail") viewer.tail = true;
    if (message.action === "subscribe") viewer.tail = false;
    viewer.send(tick(viewer.every));
  });
  if (isFull) return viewer.end(4429);
  serve(viewer, (stop) => socket.on("close", stop));
});
const uint32 = (n) => { const buffer = Buffer.alloc(4); buffer.writeUInt32BE(n); return buffer; };

server.listen(port, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}${prefix}`));
