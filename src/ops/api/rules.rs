//! `GET api/v1/rules`: the rules of alerts, with what they have seen last.

use axum::{Json, extract::State};
use serde_json::{Value, json};

use super::state::ApiState;
use crate::ops::{
    alerts::{Condition, RuleState},
    time::unix,
};

pub(super) async fn list(State(state): State<ApiState>) -> Json<Value> {
    let engine = state.core.alerts.engine();
    let rules: Vec<_> = engine.rules().iter().map(object).collect();
    Json(json!({"rules": rules}))
}

fn object(state: &RuleState) -> Value {
    let settings = &state.rule.settings;
    let (what, comparison, threshold) = match &state.rule.condition {
        Condition::Event(event) => (format!("event of {}", event.kind.as_str()), None, None),
        Condition::Value(value) => {
            let comparison = value.comparison.as_str();
            (
                value.expression.name(),
                Some(comparison),
                Some(value.threshold),
            )
        }
    };
    let count = |state_word: &str| {
        state
            .alerts
            .values()
            .filter(|alert| alert.state() == state_word)
            .count()
    };
    let (pending, active, acknowledged) =
        (count("pending"), count("active"), count("acknowledged"));
    let word = match (pending, active, acknowledged) {
        (0, 0, 0) => "inactive",
        (_, 0, 0) => "pending",
        (_, 0, _) => "acknowledged",
        _ => "active",
    };
    let last = state.last.as_ref();
    json!({
        "name": state.rule.name(), "state": word, "when": settings.when, "what": what, "comparison": comparison,
        "threshold": threshold, "critical_at": settings.critical_at, "unit": state.rule.unit().as_str(),
        "severity": settings.severity.map(|severity| severity.as_str()), "for_seconds": settings.for_.as_secs_f64(),
        "keep_firing_seconds": state.rule.keep_firing_for().as_secs_f64(), "every_seconds": settings.every.as_secs_f64(),
        "no_data": settings.no_data.as_str(), "labels": settings.labels, "annotations": settings.annotations,
        "pending": pending, "active": active, "acknowledged": acknowledged, "truncated": state.truncated,
        "last_value": last.and_then(|last| last.value), "last_at": last.map(|last| unix(last.at)),
        "series": last.map(|last| last.series), "error": last.and_then(|last| last.error.as_deref()),
    })
}
