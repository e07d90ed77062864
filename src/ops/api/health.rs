//! `GET api/v1/health`: the components, in detail; `GET health`: the document of other tools.

use axum::{Json, extract::State};
use http::{HeaderMap, Uri, header};
use serde_json::{Value, json};

use super::{ApiResult, Problem, params::Params, path::PathParams, state::ApiState};
use crate::ops::{
    health::{ComponentSnapshot, HealthDocument, HealthFormat, HealthSnapshot},
    time::unix,
};

pub(super) async fn list(State(state): State<ApiState>) -> Json<Value> {
    Json(health(&state.core.health.snapshot()))
}

pub(super) async fn detail(
    State(state): State<ApiState>,
    params: PathParams,
) -> ApiResult<Json<Value>> {
    let snapshot = state.core.health.snapshot();
    let component = snapshot.component(params.get("name"));
    let component =
        component.ok_or_else(|| Problem::not_found("there is no component of this name"))?;
    Ok(Json(object(component)))
}

/// Returns all components.
pub(in crate::ops) fn health(snapshot: &HealthSnapshot) -> Value {
    let components: Vec<_> = snapshot.components.iter().map(object).collect();
    json!({"status": snapshot.status.as_str(), "ready": snapshot.is_ready, "components": components})
}

fn object(component: &ComponentSnapshot) -> Value {
    let seconds = |time: Option<std::time::Duration>| time.map(|time| time.as_secs_f64());
    let groups: Vec<_> = component
        .groups
        .iter()
        .map(|group| group.as_str())
        .collect();
    json!({
        "name": component.name.as_str(), "kind": component.kind.as_str(), "critical": component.is_critical,
        "status": component.status.as_str(), "text": component.text.as_deref(), "since": unix(component.since),
        "last_seconds": seconds(component.last), "average_seconds": seconds(component.average),
        "worst_seconds": seconds(component.worst), "failures": component.failures, "runs": component.runs,
        "checked_at": component.checked_at.map(unix), "next_at": component.next_at.map(unix),
        "interval_seconds": component.interval.as_secs_f64(), "slower_than_seconds": seconds(component.slower_than),
        "groups": groups
    })
}

/// Answers `GET health` in the form of the `Accept` header, or for people with `?verbose`. Who asks has a role, and so sees details.
pub(super) async fn document(
    State(state): State<ApiState>,
    headers: HeaderMap,
    uri: Uri,
) -> ApiResult<HealthDocument> {
    let is_verbose = Params::parse(&uri, &["verbose"])?
        .text("verbose")
        .is_some_and(|value| !matches!(value, "0" | "false"));
    let accept = headers.get(header::ACCEPT);
    let format = match is_verbose {
        true => HealthFormat::Text,
        false => HealthFormat::negotiate(accept.and_then(|accept| accept.to_str().ok())),
    };
    Ok(HealthDocument::new(
        &state.core.health.snapshot(),
        format,
        true,
    ))
}
