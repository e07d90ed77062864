//! `GET api/v1/alerts`: the alerts, and what operators do to them.

use std::time::SystemTime;

use axum::{Json, extract::State};
use http::{StatusCode, Uri};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    ApiResult, Problem,
    operator::Operator,
    params::Params,
    path::{Body, PathParams},
    state::ApiState,
    telling::Telling,
};
use crate::ops::{
    alerting,
    alerts::{Alert, AlertPhase, Engine, NotDone},
    core::Core,
    journal::Severity,
    time::unix,
};

/// The alerts in a frame of live push.
const PUSHED: usize = 200;
/// The earlier occurrences in the detail of an alert.
const MAX_EARLIER: usize = 20;

/// The alerts that are asked for.
#[derive(Debug, Default)]
struct AlertFilter {
    state: Option<&'static str>,
    severity: Option<Severity>,
    rule: Option<String>,
    is_suppressed: Option<bool>,
    /// The number before which they come, in the order of their numbers.
    before: Option<u64>,
}

pub(super) async fn list(State(state): State<ApiState>, uri: Uri) -> ApiResult<Json<Value>> {
    let known = ["state", "severity", "rule", "suppressed", "limit", "cursor"];
    let params = Params::parse(&uri, &known)?;
    let states = [
        "firing",
        "pending",
        "active",
        "acknowledged",
        "resolved",
        "all",
    ];
    let limit = params.number("limit", 1..=1_000, 100)? as usize;
    let before = match params.text("cursor") {
        Some(_) => Some(params.number("cursor", 0..=u64::MAX, 0)?),
        None => None,
    };
    let severities = [
        ("all", None),
        ("info", Some(Severity::Info)),
        ("warning", Some(Severity::Warning)),
        ("critical", Some(Severity::Critical)),
    ];
    let suppressed = [("all", None), ("true", Some(true)), ("false", Some(false))];
    let filter = AlertFilter {
        state: Some(params.choice("state", &states.map(|state| (state, state)))?),
        severity: params.choice("severity", &severities)?,
        rule: params.text("rule").map(str::to_owned),
        is_suppressed: params.choice("suppressed", &suppressed)?,
        before,
    };
    Ok(Json(page(&state.core, &filter, limit)))
}

/// Returns a page of alerts, the newest first.
fn page(core: &Core, filter: &AlertFilter, limit: usize) -> Value {
    let now = core.alerts.now(Instant::now());
    let engine = core.alerts.engine();
    let mut found: Vec<&Alert> = match filter.state {
        Some("resolved") => engine.history().collect(),
        Some("all") => engine
            .alerts()
            .filter(|it| !it.is_resolved())
            .chain(engine.history())
            .collect(),
        _ => engine
            .alerts()
            .filter(|alert| !alert.is_resolved())
            .collect(),
    };
    found.retain(|alert| filter.matches(alert, &engine, now));
    found.sort_by_key(|alert| std::cmp::Reverse(alert.seq));
    let total = found.len();
    let start = filter.before.map_or(0, |before| {
        found.partition_point(|alert| alert.seq >= before)
    });
    let shown = &found[start..total.min(start + limit)];
    let cursor = shown
        .last()
        .filter(|_| start + shown.len() < total)
        .map(|alert| alert.seq.to_string());
    let shown: Vec<_> = shown
        .iter()
        .map(|alert| object(alert, &engine, now))
        .collect();
    json!({"alerts": shown, "total": total, "next_cursor": cursor})
}

impl AlertFilter {
    fn matches(&self, alert: &Alert, engine: &Engine, now: SystemTime) -> bool {
        let is_state = match self.state {
            None | Some("firing" | "all" | "resolved") => true,
            Some(state) => alert.state() == state,
        };
        is_state
            && self
                .severity
                .is_none_or(|severity| alert.severity == severity)
            && self.rule.as_ref().is_none_or(|rule| alert.rule == *rule)
            && self
                .is_suppressed
                .is_none_or(|suppressed| suppressed == is_suppressed(alert, engine, now))
    }
}

fn is_suppressed(alert: &Alert, engine: &Engine, now: SystemTime) -> bool {
    !alert.is_resolved() && engine.silenced_by(alert, now).next().is_some()
}

/// Returns the alerts of a frame: those that fire, and the latest that no longer do.
pub(in crate::ops) fn pushed(core: &Core) -> Value {
    let now = core.alerts.now(Instant::now());
    let engine = core.alerts.engine();
    let mut open: Vec<_> = engine
        .alerts()
        .filter(|alert| !alert.is_resolved())
        .collect();
    open.sort_by_key(|alert| {
        (
            std::cmp::Reverse(alert.is_active()),
            std::cmp::Reverse(alert.seq),
        )
    });
    let total = open.len();
    let active = open.iter().filter(|alert| alert.is_active()).count();
    let alerts: Vec<_> = open
        .iter()
        .take(PUSHED)
        .map(|alert| object(alert, &engine, now))
        .collect();
    json!({"alerts": alerts, "total": total, "active": active, "rules": engine.rules().len()})
}

/// Returns what needs attention: active alerts that nobody takes care of and that are not silenced.
pub(super) fn attention(core: &Core) -> Vec<Value> {
    let now = core.alerts.now(Instant::now());
    let engine = core.alerts.engine();
    let open = engine.alerts().filter(|alert| {
        alert.is_active()
            && !alert.is_acknowledged()
            && alert.severity > Severity::Info
            && !is_suppressed(alert, &engine, now)
    });
    let mut open: Vec<_> = open.collect();
    open.sort_by_key(|alert| (std::cmp::Reverse(alert.severity), alert.seq));
    let items = open.into_iter().map(|alert| {
        json!({
            "severity": alert.severity.as_str(), "kind": "alert", "name": alert.rule, "text": format!("Alert {}: {}", alert.rule, alert.summary),
            "since": unix(active_at(alert).unwrap_or(alert.started_at)), "until": null,
            "link": format!("#alerts?at={}", alert.fingerprint)
        })
    });
    items.collect()
}

/// Returns the number of alerts that are active, acknowledged or not.
pub(super) fn active(core: &Core) -> usize {
    core.alerts
        .engine()
        .alerts()
        .filter(|alert| alert.is_active())
        .count()
}

fn active_at(alert: &Alert) -> Option<SystemTime> {
    match &alert.phase {
        AlertPhase::Active { since, .. } => Some(*since),
        _ => None,
    }
}

fn object(alert: &Alert, engine: &Engine, now: SystemTime) -> Value {
    let silenced_by: Vec<_> = match alert.is_resolved() {
        true => Vec::new(),
        false => engine.silenced_by(alert, now).collect(),
    };
    let (resolved_at, resolution) = match &alert.phase {
        AlertPhase::Resolved { at, reason } => (Some(unix(*at)), Some(reason)),
        _ => (None, None),
    };
    let acknowledged = alert
        .acknowledged()
        .map(|it| json!({"by": it.by, "at": unix(it.at), "reason": it.reason}));
    let rule = engine.state_of(alert);
    let unit = rule.and_then(|state| state.rule.unit().as_str());
    json!({
        "fingerprint": alert.fingerprint, "seq": alert.seq, "rule": alert.rule, "state": alert.state(),
        "severity": alert.severity.as_str(), "suppressed": !silenced_by.is_empty(), "silenced_by": silenced_by,
        "summary": alert.summary, "value": alert.value, "unit": unit, "labels": alert.labels,
        "annotations": alert.annotations, "started_at": unix(alert.started_at),
        "active_at": active_at(alert).map(unix), "resolved_at": resolved_at, "resolution": resolution,
        "acknowledged": acknowledged, "flaps": alert.flaps, "notified_at": alert.notified_at().map(unix),
    })
}

pub(super) async fn detail(
    State(state): State<ApiState>,
    params: PathParams,
) -> ApiResult<Json<Value>> {
    let fingerprint = params.get("fingerprint");
    let now = state.core.alerts.now(Instant::now());
    let engine = state.core.alerts.engine();
    let current = engine
        .alerts()
        .find(|alert| alert.fingerprint == fingerprint);
    let earlier = engine
        .history()
        .rev()
        .filter(|alert| alert.fingerprint == fingerprint);
    let mut earlier: Vec<_> = earlier.take(MAX_EARLIER).collect();
    let alert = match current {
        Some(alert) => alert,
        None if earlier.is_empty() => return Err(unknown()),
        None => earlier[0],
    };
    earlier.retain(|each| each.seq != alert.seq);
    let earlier: Vec<_> = earlier
        .into_iter()
        .map(|alert| object(alert, &engine, now))
        .collect();
    let timeline = alert.timeline.iter().map(|entry| {
        json!({"at": unix(entry.at), "what": entry.what, "text": entry.text, "by": entry.by})
    });
    let timeline: Vec<_> = timeline.collect();
    let telling = Telling::of(alert, &engine, now);
    let alert = object(alert, &engine, now);
    // Channels have locks of their own.
    drop(engine);
    let telling = telling.map(|telling| telling.to_json(&state.core.notifications));
    Ok(Json(
        json!({"alert": alert, "telling": telling, "timeline": timeline, "earlier": earlier}),
    ))
}

fn unknown() -> Problem {
    Problem::not_found("there is no alert of this fingerprint")
}

/// Answers `POST api/v1/alerts/{fingerprint}/acknowledge`.
pub(super) async fn acknowledge(
    State(state): State<ApiState>,
    Operator(by): Operator,
    params: PathParams,
    body: Body,
) -> ApiResult<Json<Value>> {
    let members = body.json(&["reason"])?;
    let by = (by.name(), members.reason()?);
    let seq = alerting::acknowledge(&state.core, params.get("fingerprint"), by);
    Ok(Json(json!({"seq": seq.map_err(not_done)?})))
}

/// Answers `POST api/v1/alerts/{fingerprint}/resolve`.
pub(super) async fn resolve(
    State(state): State<ApiState>,
    Operator(by): Operator,
    params: PathParams,
    body: Body,
) -> ApiResult<Json<Value>> {
    let members = body.json(&["reason"])?;
    let by = (by.name(), members.reason()?);
    let seq = alerting::resolve(&state.core, params.get("fingerprint"), by);
    Ok(Json(json!({"seq": seq.map_err(not_done)?})))
}

fn not_done(error: NotDone) -> Problem {
    match error {
        NotDone::Unknown => unknown(),
        _ => Problem::new(StatusCode::CONFLICT, "the alert is not active"),
    }
}
