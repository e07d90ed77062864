// Invented notification channels of the stand-in for the console's server.

const began = Date.now() / 1000;
const revived = new Set();

export function channels(scenario, { long, hostile }) {
  const isCalm = scenario === "calm";
  const title = scenario === "long" ? long : scenario === "hostile" ? hostile : "payments_errors firing";
  const tried = (error, status) => ({ at: began - 60, seconds: 0.184, status, error });
  const delivery = (n, state, more = {}) => {
    const error = state === "dead" || state === "retrying" ? (scenario === "hostile" ? hostile : "responds 404: no_service") : null;
    const last = tried(error, error ? 404 : 200);
    return { id: `msg_${n}`, kind: "alert", title, severity: "critical", queued_at: began - 60 * n, state, attempts: state === "queued" ? 0 : 1, at: last.at, seconds: last.seconds, status: last.status, error, next_at: state === "retrying" ? began + 60 : null, can_retry: state === "dead", tries: [last], ...more };
  };
  const all = isCalm ? [delivery(2, "delivered")] : [delivery(1, "retrying"), delivery(2, "delivered"), delivery(3, revived.has("msg_3") ? "queued" : "dead"), delivery(4, "cancelled")];
  const channel = (name, kind, target, more = {}) => ({ name, kind, target, min_severity: "warning", alerts: true, events: null, journal: [], circuit: "closed", queued: 0, firing: 0, dead: 0, dead_lost: 0, failures: 0, error: null, last: { id: "msg_2", title, at: began - 120, status: 200, seconds: 0.184, error: null, state: "delivered" }, ...more });
  const dead = all.filter((each) => each.state === "dead").length;
  const list = scenario === "empty" ? [] : [
    channel("slack", "slack", "https://hooks.slack.com/…wXyZ", isCalm ? {} : { queued: 1, dead, failures: 2, error: "responds 404: no_service", last: { ...channel().last, error: "responds 404: no_service", status: 404, state: "dead" } }),
    channel(scenario === "long" ? long : "oncall", "pagerduty", "routing key …cdef", { min_severity: "critical", events: [] }),
    channel("deployments", "webhook", "https://hooks.example/…hook", { min_severity: "info", alerts: false, events: ["deployment_failed"], last: null }),
  ];
  return {
    list: () => ({ channels: list }),
    deliveries: (search) => ({ deliveries: all.filter((each) => !search.get("state") || each.state === search.get("state")), truncated: false }),
    test: () => ({ seq: 1, delivery: isCalm ? delivery(0, "delivered", { kind: "test" }) : delivery(0, "dead", { kind: "test", can_retry: false }) }),
    retry: (id) => { revived.add(id); return { seq: 1 }; },
  };
}
