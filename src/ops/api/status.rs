//! `GET api/v1/status`: what is true now, in one object.

use std::time::{Duration, SystemTime};

use axum::{Extension, Json, extract::State};
use serde_json::{Map, Value, json};

use super::{alerts, state::ApiState};
pub(super) use crate::ops::call_metrics::{CALLS, FAILED};
use crate::{
    errors::{ErrorGroup, GroupStatus},
    ops::{
        Identity, Role, call_metrics,
        core::Core,
        health::{ComponentSnapshot, HealthSnapshot, HealthStatus},
        push::Greeting,
        recorder::Recorder,
        series::{Aggregation, Filter, Query},
        time::unix,
    },
    protocol::Side,
    registry::{Snapshot, Stat},
    track::CallKind,
};

/// Over how long the figures of the present are.
const PRESENT: Duration = Duration::from_secs(10);
/// The time for which a new error group is news.
pub(super) const NEWS: Duration = Duration::from_secs(15 * 60);
/// The most new error groups with a line of their own: an outage makes many.
const MAX_NEWS: usize = 2;
/// The most things that need attention in one status.
const MAX_ATTENTION: usize = 20;
const IN_FLIGHT: [&str; 2] = ["http_server_active_requests", "active_connections"];

pub(super) async fn get(
    State(state): State<ApiState>,
    Extension(identity): Extension<Identity>,
) -> Json<Value> {
    let core = &state.core;
    let guards = crate::registry::snapshots();
    let groups = core.errors.groups();
    let health = core.health.snapshot();
    let mut status = Map::new();
    status.extend(viewer_members(core, &identity));
    status.extend(shared_members(
        core,
        &guards,
        &groups,
        &health,
        SystemTime::now(),
    ));
    Json(status.into())
}

/// Returns the members that depend on who asks.
fn viewer_members(core: &Core, identity: &Identity) -> Map<String, Value> {
    let may_control = core.allow_control && identity.role() == Role::Operator;
    let members = [
        ("role", json!(identity.role().as_str())),
        ("user", json!(identity.name())),
        ("controls", json!(may_control)),
    ];
    members
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect()
}

/// Returns what a viewer of live push is told about itself.
pub(super) fn greeting(core: &Core, identity: &Identity) -> Greeting {
    let object = Value::Object(viewer_members(core, identity)).to_string();
    let members = object.trim_start_matches('{').trim_end_matches('}');
    Greeting {
        status_members: format!("{members},").into(),
    }
}

/// Returns the members that are the same for everybody.
pub(in crate::ops) fn shared_members(
    core: &Core,
    guards: &[Snapshot],
    groups: &[ErrorGroup],
    health: &HealthSnapshot,
    now: SystemTime,
) -> Map<String, Value> {
    let about = &core.about;
    let text =
        |label: &Option<crate::call::Label>| json!(label.as_ref().map(|label| label.as_str()));
    let value = json!({
        "service": about.service.as_str(),
        "version": text(&about.version),
        "instance": text(&about.instance),
        "environment": text(&about.environment),
        "started_at": unix(about.started_at),
        "uptime_seconds": about.started.elapsed().as_secs(),
        "at": unix(now),
        "every": 1,
        "health": health.status.as_str(),
        "ready": health.is_ready,
        "live": core.health.is_live(),
        "started": health.is_started(),
        "calls": calls(core),
        "counts": counts(core, guards, groups, health),
        "dropped": dropped(core),
        "attention": attention(core, guards, groups, health, now),
    });
    #[cfg(feature = "ops-logs")]
    let value = super::traces::with_dropped(value, core);
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// Returns the numbers of what there is, and of what is not as it should be.
fn counts(
    core: &Core,
    guards: &[Snapshot],
    groups: &[ErrorGroup],
    health: &HealthSnapshot,
) -> Value {
    let not_closed = guards.iter().filter(|guard| !is_quiet(guard));
    let open = groups
        .iter()
        .filter(|group| group.status() == GroupStatus::Open);
    let not_healthy = health.components.iter();
    let not_healthy = not_healthy.filter(|each| each.status != HealthStatus::Healthy);
    json!({
        "guards": guards.len(),
        "guards_not_closed": not_closed.count(),
        "errors_open": open.count(),
        "alerts_active": alerts::active(core),
        "health": health.components.len(),
        "health_not_healthy": not_healthy.count(),
    })
}

/// Returns the numbers of what was dropped, since a bound was reached.
fn dropped(core: &Core) -> Value {
    json!({
        "series": core.recorder.dropped_series(),
        "histories": core.recorder.histograms_without_history(),
        "journal": core.journal.dropped(),
        "frames": core.hub.dropped(),
        "transitions": core.guards().dropped(),
        "error_groups": core.errors.evicted(),
        "store": core.store_dropped(),
        "workflows": core.workflows.look(|board| board.missed()),
        "workflow_parts": core.workflows.dropped(),
        "logs": dropped_logs(core),
        "alerts": core.alerts.engine().dropped(),
    })
}

/// Returns how many events of the log were dropped.
fn dropped_logs(core: &Core) -> u64 {
    #[cfg(feature = "ops-logs")]
    return core.logs.figures().1;
    #[cfg(not(feature = "ops-logs"))]
    {
        let _ = core;
        0
    }
}

fn calls(core: &Core) -> Value {
    let recorder = &core.recorder;
    let oldest = core
        .calls()
        .and_then(|table| table.oldest(CallKind::Server));
    let present = |query: Query, aggregation| {
        let query = query.range(PRESENT).step(PRESENT).aggregate(aggregation);
        single(recorder, &query)
    };
    let served = || Query::new(CALLS).filter(Filter::is("kind", "server"));
    let all = present(served(), Aggregation::Count);
    // A failure of whatever kind, but nothing that the caller did.
    let failed = served().filter(Filter::one_of("outcome", FAILED));
    let failed = present(failed, Aggregation::Count);
    let quantile = |q| present(durations(), Aggregation::Quantile(q));
    // A process that has just started had all these calls in less time.
    let seconds = PRESENT.min(recorder.covered()).as_secs_f64().max(1.0);
    let ratio = all
        .filter(|all| *all > 0.0)
        .map(|all| failed.unwrap_or(0.0) / all);
    json!({
        "per_second": all.map(|all| all / seconds),
        "error_ratio": ratio,
        "p50_seconds": quantile(0.5),
        "p95_seconds": quantile(0.95),
        "p99_seconds": quantile(0.99),
        "in_flight": in_flight_now(recorder),
        "oldest_seconds": oldest.map(|age| age.as_secs_f64()),
    })
}

/// Returns a query of the durations of all calls that were served, of whatever protocol.
pub(super) fn durations() -> Query {
    call_metrics::durations(Side::Server)
}

/// Returns a query of the calls of servers in flight.
pub(super) fn in_flight() -> Query {
    let [first, second] = IN_FLIGHT;
    Query::new(first).and(second).aggregate(Aggregation::Sum)
}

fn in_flight_now(recorder: &Recorder) -> Option<f64> {
    let second = Duration::from_secs(1);
    single(recorder, &in_flight().range(second).step(second))
}

/// Returns the only number of a query that makes one point of one line.
pub(super) fn single(recorder: &Recorder, query: &Query) -> Option<f64> {
    // Fails for a name without series: there is no figure then.
    let result = recorder.query(query).ok()?;
    let points = &result.series.first()?.points;
    points.last().and_then(|(_, number)| *number)
}

/// Returns whether a guard is as it should be.
fn is_quiet(guard: &Snapshot) -> bool {
    match guard.state() {
        "open" | "half_open" | "forced_open" | "disabled" => false,
        "on" => guard.kind() != CHAOS,
        _ => true,
    }
}

/// The kind of what injects faults, which nobody must forget.
const CHAOS: &str = "chaos";

fn attention(
    core: &Core,
    guards: &[Snapshot],
    groups: &[ErrorGroup],
    health: &HealthSnapshot,
    now: SystemTime,
) -> Vec<Value> {
    let guards = guards.iter().filter(|guard| !is_quiet(guard));
    let guards = guards.map(|guard| guard_attention(core, guard, now));
    let components = health.components.iter().filter(|each| {
        matches!(
            each.status,
            HealthStatus::Degraded | HealthStatus::Unhealthy
        ) || is_unclear(each)
    });
    let components = components.map(|each| {
        let severity = match each.status {
            HealthStatus::Unhealthy if each.is_critical => "critical",
            _ => "warning",
        };
        let reason = each.text.as_ref().map(|text| format!(": {text}"));
        let text = format!(
            "Health of {} is {}{}",
            each.name,
            each.status,
            reason.unwrap_or_default()
        );
        let link = format!("#health?name={}", percent_encode(each.name.as_str()));
        json!({
            "severity": severity, "kind": "health", "name": each.name.as_str(), "text": text,
            "since": unix(each.since), "until": null, "link": link
        })
    });
    let news: Vec<_> = groups.iter().filter(|group| is_news(group, now)).collect();
    let more = news.len().checked_sub(MAX_NEWS).filter(|more| *more > 0);
    let more = more.map(|more| more_errors(more, news[MAX_NEWS].first_seen()));
    let groups = news.into_iter().take(MAX_NEWS).map(|group| {
        let route = group.route().map(|route| format!(" on {route}"));
        let text = format!("New error {}{}", group.kind(), route.unwrap_or_default());
        let link = format!("#errors?fingerprint={}", group.fingerprint());
        json!({
            "severity": "warning", "kind": "error", "name": group.kind(), "text": text,
            "since": unix(group.first_seen()), "until": null, "link": link
        })
    });
    let alerts = alerts::attention(core).into_iter();
    let all = alerts.chain(guards).chain(components).chain(groups);
    let mut all: Vec<Value> = all.chain(more).collect();
    // Stable: what is critical first, in the order of above.
    all.sort_by_key(|each| each["severity"] != "critical");
    all.truncate(MAX_ATTENTION);
    all
}

/// Returns whether a component that the process cannot work without was checked, and nobody knows how it is.
fn is_unclear(component: &ComponentSnapshot) -> bool {
    component.status == HealthStatus::Unknown && component.is_critical && component.runs > 0
}

/// Returns the line for the error groups that have none of their own.
fn more_errors(more: usize, since: SystemTime) -> Value {
    let text = format!("{more} more new errors");
    json!({
        "severity": "warning", "kind": "error", "name": "errors", "text": text, "since": unix(since), "until": null,
        "link": "#errors"
    })
}

/// Returns whether an error group is open and new.
pub(super) fn is_news(group: &ErrorGroup, now: SystemTime) -> bool {
    let age = now.duration_since(group.first_seen()).unwrap_or_default();
    group.status() == GroupStatus::Open && age < NEWS
}

fn guard_attention(core: &Core, guard: &Snapshot, now: SystemTime) -> Value {
    let open_for = match guard.stat("open_for_seconds") {
        Some(Stat::Number(seconds)) => Some(*seconds),
        _ => None,
    };
    let what = match (guard.state(), open_for) {
        ("open", Some(seconds)) => format!("is open for another {seconds:.1} s"),
        ("open", None) => "is open".to_owned(),
        ("half_open", _) => "is half open, and probes".to_owned(),
        ("forced_open", _) => "is held open".to_owned(),
        ("disabled", _) => "is disabled: it admits every call".to_owned(),
        ("on", _) if guard.kind() == CHAOS => "is on: it injects faults on purpose".to_owned(),
        (state, _) => format!("is {state}"),
    };
    let noun = match guard.kind() {
        CHAOS => "Chaos",
        "circuit_breaker" | "keyed_circuit_breaker" => "Circuit",
        "rate_limit" | "keyed_rate_limit" => "Rate limit",
        _ => "Guard",
    };
    let severity = match guard.state() {
        "open" | "forced_open" => "critical",
        _ => "warning",
    };
    let since = core.guards().since(guard.kind(), guard.name()).map(unix);
    let until = open_for.map(|seconds| unix(now) + seconds);
    let link = format!(
        "#guards?kind={}&name={}",
        guard.kind(),
        percent_encode(guard.name())
    );
    json!({
        "severity": severity, "kind": "guard", "name": guard.name(), "text": format!("{noun} {} {what}", guard.name()),
        "since": since, "until": until, "link": link
    })
}

fn percent_encode(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
