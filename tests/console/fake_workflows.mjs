// Invented workflows of the stand-in for the console's server.

const began = Date.now() / 1000;
const id = (n) => `19d1b2c3d4e${n.toString(16).padStart(5, "0")}`;

export function workflows(scenario, { long, hostile }) {
  const error = { kind: "Timeout", message: scenario === "hostile" ? hostile : "payment gateway did not answer within 10s", causes: ["client error (SendRequest)", "connection closed before message completed"], fingerprint: null };
  const step = (name, offset_seconds, seconds, more = {}) => ({ name, parent: null, child: null, state: seconds == null ? "running" : "done", offset_seconds, seconds, progress: null, text: null, error: null, ...more });
  const run = (n, name, state, ago, seconds, steps, more = {}) => {
    const shown = steps.find((each) => each.state === "failed" || each.state === "lost") ?? steps.findLast((each) => each.state === "running");
    return { id: id(n), name, state, started_at: began - ago, ended_at: seconds == null ? null : began - ago + seconds, seconds, progress: null, step_count: steps.length, steps_done: steps.filter((each) => each.state === "done").length, expected_steps: null,
      step: shown?.name ?? null, step_progress: shown?.progress?.fraction ?? null, text: shown?.text ?? null, error_message: more.error?.message ?? null, parent: null, correlation_id: "c2e003002aee7da3", trace_id: "4bf92f3577b34da6a3ce929d0e0e4736", error: null, attributes: {}, steps, dropped: 0, ...more };
  };
  const name = scenario === "long" ? long : scenario === "hostile" ? hostile : "checkout";
  const list = scenario === "empty" || scenario === "calm" ? [] : [
    run(4, "import", "running", 95, null, [step("read", 0, 12.5), step("load", 12.5, null, { progress: { fraction: 0.62, done: 62_000, total: 100_000 }, text: scenario === "long" ? long : "orders.csv" })], { expected_steps: 4, progress: 0.405 }),
    run(3, "nightly_cleanup", "running", 3_700, null, []),
    run(2, name, "failed", 240, 10.2, [step("reserve", 0, 0.12), step("stock", 0.02, 0.08, { parent: 0 }), step("pay", 0.13, 10.05, { state: "failed", error }), step("ship", 0.14, 9.9, { state: "cancelled", child: id(1) })], { error, attributes: { order: "4711", tenant: scenario === "hostile" ? hostile : "acme" } }),
    run(1, "shipping", "cancelled", 239, 9.9, [step("label", 0, 9.9, { state: "cancelled" })], { parent: { id: id(2), step: "ship" } }),
    run(0, "import", "lost", 90_000, 312, [step("read", 0, 11), step("load", 11, 301, { state: "lost", text: "items.csv" })]),
  ];
  if (scenario === "many") {
    list.push(run(900, "batch", "failed", 3_600, 1_000, Array.from({ length: 1_000 }, (_, i) => (i % 97 === 96 ? step(`chunk ${i}`, i, 1, { state: "failed", error }) : step(`chunk ${i}`, i, 1))), { error, dropped: 12 }));
    for (let i = 0; i < 400; i++) list.push(run(1_000 + i, `job-${i % 40}`, i % 9 ? "done" : "failed", 4_000 + i * 10, (i % 50) / 10, [step("work", 0, (i % 50) / 10)]));
  }
  const row = ({ steps, attributes, error: _, dropped, ...rest }) => rest;
  const count = (state) => list.filter((each) => each.state === state).length;
  const states = ["running", "done", "failed", "cancelled", "lost"];
  return {
    list: (search) => {
      const found = list.filter((each) => (!search.get("state") || each.state === search.get("state")) && JSON.stringify(each).toLowerCase().includes((search.get("q") ?? "").toLowerCase()));
      const from = search.get("before") ? found.findIndex((each) => each.id === search.get("before")) + 1 : 0;
      const page = found.slice(from, from + Number(search.get("limit")));
      return { workflows: page.map(row), next: from + page.length < found.length ? page.at(-1).id : null, running: count("running"), missed: scenario === "many" ? 7 : 0 };
    },
    detail: (wanted) => list.find((each) => each.id === wanted),
    statistics: () => ({ workflows: [...new Set(list.map((each) => each.name))].map((each) => ({ name: each, ...Object.fromEntries(states.map((state) => [state, list.filter((run) => run.name === each && run.state === state).length])), p50_seconds: 0.25, p95_seconds: 8.4, p99_seconds: 10.1, failing_steps: each === name ? [{ step: "pay", count: 1 }] : [] })) }),
    pushed: () => ({ workflows: list.slice(0, 50).map(row), counts: Object.fromEntries(states.map((state) => [state, count(state)])), truncated: false }),
  };
}
