//! `GET api/v1/traces`: the traces that are kept.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State, routing::get};
use http::Uri;
use serde_json::{Value, json};

use super::{ApiResult, Problem, Route, params::Params, state::ApiState, trace_detail, trace_span};
use crate::{
    call::Outcome,
    context::TraceId,
    ops::{
        core::Core,
        traces::{KeptTrace, TraceQuery},
    },
};

/// The traces in a frame of live push.
const PUSHED: usize = 20;
/// The conditions for attributes in one query.
const MAX_CONDITIONS: usize = 8;

/// Returns the resources, in the order of `openapi.json`.
pub(super) fn resources() -> Vec<Route> {
    vec![
        ("/api/v1/traces", get(list)),
        ("/api/v1/traces/{trace_id}", get(trace_detail::detail)),
        (
            "/api/v1/traces/{trace_id}/spans/{span_id}",
            get(trace_span::span),
        ),
    ]
}

async fn list(State(state): State<ApiState>, uri: Uri) -> ApiResult<Json<Value>> {
    let known = [
        "q",
        "outcome",
        "errors",
        "min_seconds",
        "from",
        "to",
        "attribute",
        "error_group",
        "correlation_id",
        "before",
        "limit",
    ];
    let params = Params::parse(&uri, &known)?;
    let query = query(&params)?;
    let before = params.number("before", 1..=u64::MAX, u64::MAX)?;
    let limit = params.number("limit", 1..=500, 100)? as usize;
    let read = state.read(move |core| page(core, &query, before, limit));
    Ok(Json(read.await?))
}

fn query(params: &Params) -> ApiResult<TraceQuery> {
    let text = |name| params.text(name).filter(|text| !text.is_empty());
    let nanos = |seconds: f64| (seconds * 1e9) as u64;
    let min = number(params, "min_seconds")?.unwrap_or_default();
    let conditions = params.pairs().filter(|(name, _)| *name == "attribute");
    let conditions: Vec<_> = conditions
        .map(|(_, pair)| condition(pair))
        .collect::<Result<_, _>>()?;
    if conditions.len() > MAX_CONDITIONS {
        let detail = format!(
            "{} conditions, at most {MAX_CONDITIONS} are allowed",
            conditions.len()
        );
        return Err(Problem::invalid("attribute", detail));
    }
    Ok(TraceQuery {
        text: text("q").map(str::to_owned),
        outcome: text("outcome").map(outcome).transpose()?,
        errors_only: params.number("errors", 0..=1, 0)? == 1,
        min: Duration::try_from_secs_f64(min).unwrap_or(Duration::MAX),
        from: number(params, "from")?.map(nanos),
        to: number(params, "to")?.map(nanos),
        attributes: conditions,
        error_group: text("error_group").map(str::to_owned),
        correlation_id: text("correlation_id").map(str::to_owned),
    })
}

/// Returns a number of seconds that is not negative.
fn number(params: &Params, name: &'static str) -> ApiResult<Option<f64>> {
    let Some(text) = params.text(name) else {
        return Ok(None);
    };
    let number = text
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite() && *number >= 0.0);
    let number = number.ok_or_else(|| {
        Problem::invalid(
            name,
            format!("{name} is {text:?}, must be seconds, 0 or more"),
        )
    });
    number.map(Some)
}

fn outcome(text: &str) -> ApiResult<Outcome> {
    let mut all = Outcome::ALL.into_iter();
    all.find(|outcome| outcome.as_str() == text).ok_or_else(|| {
        let all = Outcome::ALL.map(Outcome::as_str).join(", ");
        Problem::invalid(
            "outcome",
            format!("outcome is {text:?}, must be one of {all}"),
        )
    })
}

/// Splits `name=value`.
fn condition(pair: &str) -> ApiResult<(String, String)> {
    let split = pair.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = split.ok_or_else(|| {
        let detail = format!("attribute is {pair:?}, must be a name and a value: http.route=/pay");
        Problem::invalid("attribute", detail)
    })?;
    Ok((name.to_owned(), value.to_owned()))
}

fn page(core: &Core, query: &TraceQuery, before: u64, limit: usize) -> Value {
    core.traces.refresh();
    let page = core.traces.search(query, before, limit);
    let traces: Vec<_> = page.traces.iter().map(|trace| row(trace)).collect();
    let stats = core.traces.stats();
    json!({
        "traces": traces, "next": page.next, "kept": stats.kept, "in_flight": stats.in_flight, "bytes": stats.bytes,
        "max_bytes": stats.max_bytes,
        "dropped": {
            "evicted": stats.evicted, "lost": stats.lost, "spans": stats.dropped_spans, "values": stats.dropped_values,
            "events": stats.dropped_events
        },
    })
}

/// Returns the latest traces, for a frame.
pub(in crate::ops) fn pushed(core: &Core) -> Value {
    let page = core.traces.search(&TraceQuery::default(), u64::MAX, PUSHED);
    let traces: Vec<_> = page.traces.iter().map(|trace| row(trace)).collect();
    json!({"traces": traces, "last": page.traces.first().map_or(0, |trace| trace.seq)})
}

/// Adds to a status what was dropped.
pub(super) fn with_dropped(mut status: Value, core: &Core) -> Value {
    let stats = core.traces.stats();
    status["dropped"]["traces"] = stats.lost.into();
    status["dropped"]["spans"] = stats.dropped_spans.into();
    status
}

pub(super) fn row(trace: &KeptTrace) -> Value {
    let summary = &trace.summary;
    json!({
        "trace_id": trace.trace_id.to_string(), "seq": trace.seq, "name": &*summary.name, "route": summary.route,
        "kind": summary.kind.as_str(), "outcome": summary.outcome.map(Outcome::as_str), "status": summary.status,
        "reason": trace.reason.as_str(), "started_at": seconds(summary.start), "seconds": seconds(summary.nanos),
        "spans": summary.spans, "errors": summary.errors, "open": summary.open, "truncated": summary.truncated,
        "correlation_id": summary.correlation_id, "request_id": summary.request_id,
        "error_groups": summary.error_groups,
    })
}

pub(super) fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

/// Returns the trace that the path is about.
pub(super) fn find(core: &Core, trace_id: &str) -> ApiResult<Arc<KeptTrace>> {
    let parsed = TraceId::from_hex(trace_id.as_bytes());
    core.traces.refresh();
    let trace = parsed.and_then(|trace_id| core.traces.get(trace_id));
    trace.ok_or_else(|| {
        Problem::not_found(
            "the trace is not kept: it was not sampled, is in flight, is of another instance, or was evicted",
        )
    })
}
