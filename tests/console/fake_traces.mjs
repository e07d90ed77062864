// Invented traces: the one of the mock, one with 10,000 spans (`bb…`) and one that is 150 deep (`dd…`).

const MOCK = "4bf92f3577b34da6a3ce929d0e0e4736";
const BIG = "b".repeat(32);
const DEEP = "d".repeat(32);
const now = () => Date.now() / 1000;

// Depth, name, kind, start and end in milliseconds, outcome.
const MOCK_SPANS = [
  [0, "POST /pay", "server", 0, 10_050, "timed_out"], [1, "authorize", "internal", 20, 150], [1, "load_order", "operation", 160, 248, "success"], [1, "payments", "internal", 260, 10_010, null, true],
  [2, "POST payments", "client", 270, 5270, "timed_out"], [2, "POST payments", "client", 5370, 9990, "timed_out", true, 2], [1, "refund_hold", "operation", 10_005, 10_046, "success"],
];

const ERRORS = ["failure", "timed_out", "rejected", "panicked", "overload"];

function bigSpans() {
  const spans = [[0, "GET /report", "server", 0, 20_000, "success"]];
  for (let i = 0; spans.length < 10_000; i++) {
    spans.push([1, `page ${i}`, "internal", i * 2, i * 2 + 1.8]);
    for (let j = 0; j < 9 && spans.length < 10_000; j++) spans.push([2, "SELECT orders", "client", i * 2 + j * 0.2, i * 2 + j * 0.2 + 0.15, j === 7 && i % 50 === 0 ? "failure" : "success"]);
  }
  return spans;
}

const deepSpans = () => Array.from({ length: 150 }, (_, i) => [i, `level ${i}`, "internal", i, 1000 - i]);

function trace(id, spans, hostile) {
  const names = [];
  const known = new Map();
  const columns = { id: [], parent: [], name: [], kind: [], start: [], micros: [], busy: [], outcome: [], error: [], events: [], attempt: [] };
  const above = [];
  spans.forEach(([depth, name, kind, start, end, outcome = null, failed, attempt = null], at) => {
    const shown = hostile && at === 0 ? hostile : name;
    if (!known.has(shown)) known.set(shown, names.push(shown) - 1);
    above[depth] = at;
    columns.id.push((at + 1).toString(16).padStart(16, "0"));
    columns.parent.push(depth ? above[depth - 1] : null);
    columns.name.push(known.get(shown));
    columns.kind.push(kind);
    columns.start.push(Math.round(start * 1000));
    columns.micros.push(Math.round((end - start) * 1000));
    columns.busy.push(Math.round((end - start) * 300));
    columns.outcome.push(outcome);
    columns.error.push(failed || ERRORS.includes(outcome) ? 1 : 0);
    columns.events.push(0);
    columns.attempt.push(attempt);
  });
  return { trace: row(id, spans, hostile), names, spans: columns };
}

const begun = now() - 60;

function row(id, spans, hostile) {
  const [, name, kind, , end, outcome = null] = spans[0];
  return {
    trace_id: id, seq: id === MOCK ? 3 : id === BIG ? 2 : 1, name: hostile ?? name, route: name.split(" ")[1] ?? null, kind, outcome, status: 200, reason: ERRORS.includes(outcome) ? "error" : "sampled", started_at: begun - (id === MOCK ? 0 : 10),
    seconds: end / 1000, spans: spans.length, errors: spans.filter((span) => ERRORS.includes(span[5])).length, open: 0, truncated: id === BIG ? 12 : 0, correlation_id: "9f2c", request_id: "9f2c", error_groups: id === MOCK ? ["aaaa000000000001"] : [],
  };
}

const all = [[MOCK, () => MOCK_SPANS], [BIG, bigSpans], [DEEP, deepSpans]];

function span(found, id, hostile) {
  const at = found.spans.id.indexOf(id);
  if (at < 0) return undefined;
  return {
    trace_id: found.trace.trace_id, span_id: id, parent_id: found.spans.id[found.spans.parent[at]] ?? null, name: found.names[found.spans.name[at]], kind: found.spans.kind[at], target: "orders::pay", level: "info", location: "src/pay.rs:118",
    started_at: begun + found.spans.start[at] / 1e6, seconds: found.spans.micros[at] / 1e6, busy_seconds: 0.001, idle_seconds: found.spans.micros[at] / 1e6 - 0.001, outcome: found.spans.outcome[at], error: found.spans.error[at] === 1,
    attributes: { "http.request.method": "POST", "url.path": hostile ?? "/pay", "http.response.status_code": 504, ...(found.spans.error[at] ? { "error.group": "aaaa000000000001" } : {}) },
    events: [{ at: begun + 1, level: "warn", target: "orders::pay", message: hostile ?? "no answer yet", fields: { waited: 3 } }],
    links: [{ trace_id: DEEP, span_id: "0000000000000001", kept: true }, { trace_id: "e".repeat(32), span_id: "0000000000000001", kept: false }],
  };
}

// Returns the answer to a path below `api/v1/`, or `undefined`.
export function traces(path, search, scenario, hostile) {
  const text = scenario === "hostile" ? hostile : undefined;
  if (path === "traces") {
    const rows = scenario === "empty" ? [] : all.map(([id, spans]) => row(id, spans(), text));
    const q = (search.get("q") ?? "").toLowerCase();
    const found = rows.filter((each) => each.name.toLowerCase().includes(q) && (search.get("errors") !== "1" || each.errors > 0) && each.seconds >= Number(search.get("min_seconds") ?? 0));
    return { traces: found, next: null, kept: rows.length, in_flight: 4, bytes: 1_234_000, max_bytes: 33_554_432, dropped: { evicted: 0, lost: 0, spans: 0, values: 0, events: 0 } };
  }
  const [, id, , spanId] = path.match(/^traces\/([^/]+)(\/spans\/([^/]+))?$/) ?? [];
  const spans = all.find(([each]) => each === id)?.[1];
  if (!spans) return undefined;
  const found = trace(id, spans(), text);
  return spanId ? span(found, spanId, text) : found;
}
