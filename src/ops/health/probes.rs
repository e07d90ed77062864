//! The routes of probes.

use axum::{
    Router,
    extract::{RawQuery, State},
    http::{
        StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
    routing::get,
};

use super::{Health, probe_query::ProbeQuery, probe_text::component_lines};

/// Returns the router of the probes.
pub(super) fn router<S: Clone + Send + Sync + 'static>(health: Health) -> Router<S> {
    Router::new()
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/startupz", get(started))
        .with_state(health)
}

async fn live(State(health): State<Health>) -> Response {
    answer(health.is_live(), "not alive", None)
}

async fn ready(State(health): State<Health>, RawQuery(query): RawQuery) -> Response {
    let query = ProbeQuery::parse(query.as_deref().unwrap_or_default());
    let snapshot = health.snapshot();
    let is_ready = match query.excluded.is_empty() {
        true => snapshot.is_ready,
        false => snapshot.is_ready_without(&query.excluded),
    };
    let lines = (query.is_verbose && health.has_verbose_probes())
        .then(|| component_lines(&snapshot, &query.excluded, false));
    answer(is_ready, "not ready", lines)
}

async fn started(State(health): State<Health>) -> Response {
    answer(health.snapshot().is_started(), "not started", None)
}

/// Responds with a body that is tiny unless there are lines.
fn answer(is_ok: bool, not_ok: &'static str, lines: Option<String>) -> Response {
    let status = match is_ok {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let word = if is_ok { "ok" } else { not_ok };
    let headers = [
        (CONTENT_TYPE, "text/plain; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
    ];
    match lines {
        None => (status, headers, word).into_response(),
        Some(lines) => (status, headers, format!("{lines}{word}\n")).into_response(),
    }
}
